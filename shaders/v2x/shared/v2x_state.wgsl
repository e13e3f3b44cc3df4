// Task v2x: the state of an environment out of its rows. Twin: `load_state` of src/tasks/v2x/physics/state.rs. A kernel
// that imports this declares the binding `state: array<f32>` [R, 10K, B], three rows more where LIMITS are those of an
// episode.
#import v2x

// Element of `state` that holds row q of vehicle i.
fn state_at(r: u32, env: u32, q: u32, i: u32) -> u32 {
    return (r * STATE_ROWS + q * K + i) * B + env;
}

fn load_state(r: u32, env: u32, s: ptr<function, State>) {
    for (var i = 0u; i < K; i++) {
        (*s).theta[i] = state[state_at(r, env, 0u, i)];
        (*s).d[i] = state[state_at(r, env, 1u, i)];
        (*s).v[i] = state[state_at(r, env, 2u, i)];
        (*s).obs_theta[i] = state[state_at(r, env, 3u, i)];
        (*s).obs_d[i] = state[state_at(r, env, 4u, i)];
        (*s).obs_v[i] = state[state_at(r, env, 5u, i)];
        (*s).obs_sinr[i] = state[state_at(r, env, 6u, i)];
        (*s).var_theta[i] = state[state_at(r, env, 7u, i)];
        (*s).var_d[i] = state[state_at(r, env, 8u, i)];
        (*s).var_v[i] = state[state_at(r, env, 9u, i)];
    }
    if (LIMITS == LIMITS_EPISODE) {
        for (var q = 0u; q < 3u; q++) { (*s).past[q] = state[state_at(r, env, 10u, q)]; }
    }
}

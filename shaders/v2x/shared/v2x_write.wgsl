// Task v2x: what reset and step write. Twin: src/tasks/v2x/physics/mod.rs. The importing kernel binds `state`
// read_write, and `params: array<V2xParams>` [R].
#import v2x_state

fn store_state(r: u32, env: u32, s: ptr<function, State>) {
    for (var i = 0u; i < K; i++) {
        state[state_at(r, env, 0u, i)] = (*s).theta[i];
        state[state_at(r, env, 1u, i)] = (*s).d[i];
        state[state_at(r, env, 2u, i)] = (*s).v[i];
        state[state_at(r, env, 3u, i)] = (*s).obs_theta[i];
        state[state_at(r, env, 4u, i)] = (*s).obs_d[i];
        state[state_at(r, env, 5u, i)] = (*s).obs_v[i];
        state[state_at(r, env, 6u, i)] = (*s).obs_sinr[i];
        state[state_at(r, env, 7u, i)] = (*s).var_theta[i];
        state[state_at(r, env, 8u, i)] = (*s).var_d[i];
        state[state_at(r, env, 9u, i)] = (*s).var_v[i];
    }
    if (LIMITS == LIMITS_EPISODE) {
        for (var q = 0u; q < 3u; q++) { state[state_at(r, env, 10u, q)] = (*s).past[q]; }
    }
}

// First state of an episode: positions as configured, speeds U(min, max), observation = truth, SINR 0.
fn reset_state(r: u32, env: u32, clock: u32, s: ptr<function, State>) {
    let key = params[r].key;
    let slowest = params[r].speed_min_m_s;
    let span = params[r].speed_max_m_s - slowest;
    for (var block = 0u; block < (K + 3u) / 4u; block++) {
        let w = philox4x32_10(vec4<u32>(block, clock, env, STREAM_RESET), key);
        for (var j = 0u; j < min(4u, K - 4u * block); j++) {
            (*s).v[4u * block + j] = slowest + span * unit_from_word(w[j]);
        }
    }
    for (var i = 0u; i < K; i++) {
        (*s).theta[i] = params[r].start_theta_rad[i];
        (*s).d[i] = params[r].start_d_m[i];
        (*s).obs_theta[i] = (*s).theta[i];
        (*s).obs_d[i] = (*s).d[i];
        (*s).obs_v[i] = (*s).v[i];
        (*s).obs_sinr[i] = 0.0f;
        (*s).var_theta[i] = 0.0f;
        (*s).var_d[i] = 0.0f;
        (*s).var_v[i] = 0.0f;
    }
    (*s).past = vec3<f32>(0.0f, 0.0f, 0.0f);
}

// Observation of vehicle i of replica r: theta, d, v and ln(1 + SINR), shifted and scaled. They go to columns i, K+i,
// 2K+i, 3K+i of a row of 4K.
fn observe(r: u32, s: ptr<function, State>, i: u32) -> vec4<f32> {
    return vec4<f32>(
        ((*s).obs_theta[i] - params[r].obs_shift[0]) * params[r].obs_scale[0],
        ((*s).obs_d[i] - params[r].obs_shift[1]) * params[r].obs_scale[1],
        ((*s).obs_v[i] - params[r].obs_shift[2]) * params[r].obs_scale[2],
        (ln_(1.0f + (*s).obs_sinr[i]) - params[r].obs_shift[3]) * params[r].obs_scale[3]);
}

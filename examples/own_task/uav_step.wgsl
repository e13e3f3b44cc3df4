// uav_step: one thread = one slot of one environment, or its first state (imm.reset). Twin: physics.rs, the same
// operations in the same order. From the prelude: R replicas, B environments of each, T slots, and the flag TRUNCATED.
#import index
#import math
#import philox

struct UavParams {
    key: array<u32, 2>,
    half_m: f32,
    height_m: f32,
    reach_m: f32,
    comm_m2: f32,
    echo_m4: f32,
    snr_min_db: f32,
    penalty: f32,
}

struct Imm { clock: u32, action_off: u32, state_off: u32, next_off: u32, obs_off: u32, reward_off: u32, full: u32, reset: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<UavParams>;      // [R]
@group(0) @binding(1) var<storage, read> action: array<f32>;            // [R, B, 3] from action_off
@group(0) @binding(2) var<storage, read_write> state: array<f32>;       // [R, 8, B] from state_off; the next one from next_off
@group(0) @binding(3) var<storage, read_write> obs: array<f32>;         // [R, B, 8] from obs_off: the next observation
@group(0) @binding(4) var<storage, read_write> final_obs: array<f32>;   // [R, B, 8], written where an episode ended
@group(0) @binding(5) var<storage, read_write> reward: array<f32>;      // [R, B] from reward_off
@group(0) @binding(6) var<storage, read_write> flags: array<u32>;       // [R, B] from reward_off
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;     // [R, 4, B], written if full

alias State = array<f32, 8>;

fn first_state(p: UavParams, env: u32, clock: u32) -> State {
    var s: State;
    for (var n = 0u; n < 2u; n++) {
        let w = philox4x32_10(vec4<u32>(n, clock, env, STREAM_RESET), vec2<u32>(p.key[0], p.key[1]));
        for (var i = 0u; i < 4u; i++) { s[4u * n + i] = (p.half_m + p.half_m) * unit_from_word(w[i]); }
    }
    return s;
}

fn seen(p: UavParams, s: State, i: u32) -> f32 {
    if (i < 2u) { return s[i] / p.half_m; }
    return (s[i] - s[i % 2u]) / p.half_m;
}

fn ground(s: State, i: u32, j: u32) -> f32 {
    let x = s[2u * i] - s[2u * j];
    let y = s[2u * i + 1u] - s[2u * j + 1u];
    return x * x + y * y;
}

fn sum_rate(a: f32, b: f32) -> f32 {
    return (ln_(1.0f + a) + ln_(1.0f + b)) * 1.44269504f;
}

@compute @workgroup_size(WG) fn uav_step(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let env = n % B;
    let row = n / B * 8u * B + env;
    let p = params[n / B];
    var s: State;
    if (imm.reset != 0u) {
        s = first_state(p, env, imm.clock);
    } else {
        for (var i = 0u; i < 8u; i++) { s[i] = state[imm.state_off + row + i * B]; }
        let a = imm.action_off + 3u * n;
        for (var i = 0u; i < 2u; i++) { s[i] = min(max(s[i] + p.reach_m * tanh_(action[a + i]), 0.0f), p.half_m + p.half_m); }
        let h2 = p.height_m * p.height_m;
        let sensing = sigmoid_(action[a + 2u]);
        let comm = p.comm_m2 * (1.0f - sensing);
        let rate = sum_rate(comm / (ground(s, 1u, 0u) + h2), comm / (ground(s, 2u, 0u) + h2));
        let d2 = ground(s, 3u, 0u) + h2;
        let snr = max(p.echo_m4 * sensing / (d2 * d2), 1e-6f);
        let shortfall = max(p.snr_min_db - ln_(snr) * 4.3429448f, 0.0f);
        let reward_now = rate - p.penalty * shortfall;
        reward[imm.reward_off + n] = reward_now;
        if (imm.full != 0u) {
            let m = n / B * 4u * B + env;
            metrics[m] = reward_now;
            metrics[m + B] = rate;
            metrics[m + 2u * B] = shortfall;
            metrics[m + 3u * B] = sum_rate(p.comm_m2 / h2, p.comm_m2 / (ground(s, 1u, 2u) * 0.25f + h2));
        }
        let ends = (imm.clock + 1u) % T == 0u;
        flags[imm.reward_off + n] = select(0u, TRUNCATED, ends);
        if (ends) {
            for (var i = 0u; i < 8u; i++) { final_obs[8u * n + i] = seen(p, s, i); }
            s = first_state(p, env, imm.clock + 1u);
        }
    }
    for (var i = 0u; i < 8u; i++) {
        state[imm.next_off + row + i * B] = s[i];
        obs[imm.obs_off + 8u * n + i] = seen(p, s, i);
    }
}

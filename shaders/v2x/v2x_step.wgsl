// v2x_step: one thread = one slot of one environment (shared/v2x_slot.wgsl) -> next observation, with automatic reset
// where (clock+1) mod T = 0. CPU twin: v2x_step_cpu in src/tasks/v2x/kernels/v2x_step.rs (the physics is
// src/tasks/v2x/physics/mod.rs, same operations in the same order).
#import index
#import v2x_slot
#import v2x_pointing

struct Imm { clock: u32, action_off: u32, obs_off: u32, reward_off: u32, full: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;      // [R]
@group(0) @binding(1) var<storage, read> action: array<f32>;            // [R, B, A] from action_off
@group(0) @binding(2) var<storage, read_write> state: array<f32>;       // [R, 10K, B]
@group(0) @binding(3) var<storage, read_write> obs: array<f32>;         // [R, B, 4K] from obs_off: the next observation
@group(0) @binding(4) var<storage, read_write> final_obs: array<f32>;   // [R, B, 4K], written where an episode ended
@group(0) @binding(5) var<storage, read_write> reward: array<f32>;      // [R, B] from reward_off
@group(0) @binding(6) var<storage, read_write> flags: array<u32>;       // [R, B] from reward_off
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;     // [R, METRIC_ROWS, B], written if full

// Start of this environment's action.
var<private> action_first: u32;

fn action_at(i: u32) -> f32 {
    return action[action_first + i];
}

@compute @workgroup_size(WG) fn v2x_step(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    let p = params[r];
    let full = imm.full != 0u;
    var s: State;
    load_state(r, env, &s);
    action_first = imm.action_off + n * A;
    // Steered by the estimates before the slot.
    var phi: array<f32, K>;
    if (full) { phi = pointed(p, &s); }
    let o = slot(p, env, imm.clock, &s);
    reward[imm.reward_off + n] = o.reward;
    if (full) {
        var snr: array<f32, K>;
        for (var j = 0u; j < K; j++) {
            snr[j] = comm_snr_per_watt(p, s.d[j]);
        }
        var fill = water_fill(p.p_max_w, &snr);
        var upper_bound = 0.0f;
        for (var j = 0u; j < K; j++) {
            upper_bound += log2_1p(fill[j] * snr[j]);
        }
        // Rows as in `metric` of src/tasks/v2x/physics/metric.rs.
        let m = r * METRIC_ROWS * B + env;
        metrics[m + METRIC_SUM_RATE * B] = o.sum_rate;
        metrics[m + METRIC_JAIN * B] = o.jain;
        metrics[m + METRIC_REWARD * B] = o.reward;
        metrics[m + METRIC_INDICATOR * B] = select(0.0f, 1.0f, o.holds);
        metrics[m + METRIC_ANGLE_SE * B] = o.angle_se * PER_VEHICLE;
        metrics[m + METRIC_DISTANCE_SE * B] = o.distance_se * PER_VEHICLE;
        metrics[m + METRIC_ANGLE_CRLB * B] = o.angle_crlb * PER_VEHICLE;
        metrics[m + METRIC_DISTANCE_CRLB * B] = o.distance_crlb * PER_VEHICLE;
        metrics[m + METRIC_UPPER_BOUND * B] = upper_bound;
        var pointing_se = 0.0f;
        for (var j = 0u; j < K; j++) {
            let off = phi[j] - s.theta[j];
            pointing_se += off * off;
            metrics[m + (METRIC_RATE + j) * B] = o.rate[j];
            metrics[m + (METRIC_RATE + K + j) * B] = abs(o.err_theta[j]);
            metrics[m + (METRIC_RATE + 2u * K + j) * B] = abs(o.err_d[j]);
            metrics[m + (METRIC_RATE + 3u * K + j) * B] = abs(off);
        }
        metrics[m + METRIC_POINTING_SE * B] = pointing_se * PER_VEHICLE;
    }

    let ends = (imm.clock + 1u) % T == 0u;
    flags[imm.reward_off + n] = select(0u, TRUNCATED, ends);
    if (ends) {
        for (var i = 0u; i < K; i++) {
            let row = observe(r, &s, i);
            let at = n * 4u * K + i;
            final_obs[at] = row.x;
            final_obs[at + K] = row.y;
            final_obs[at + 2u * K] = row.z;
            final_obs[at + 3u * K] = row.w;
        }
        reset_state(r, env, imm.clock + 1u, &s);
    }
    store_state(r, env, &s);
    for (var i = 0u; i < K; i++) {
        let row = observe(r, &s, i);
        let at = imm.obs_off + n * 4u * K + i;
        obs[at] = row.x;
        obs[at + K] = row.y;
        obs[at + 2u * K] = row.z;
        obs[at + 3u * K] = row.w;
    }
}

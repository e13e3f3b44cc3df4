// misac_step: one thread = one slot of one environment: energy (3), misalignment (7) and reward (11) with the ages
// before the decision acts, then tracking errors, ages (6) and positions, then the next observation, with automatic
// reset where (clock+1) mod T = 0. CPU twin: misac_step_cpu in src/tasks/misac/kernels/misac_step.rs (the physics is
// src/tasks/misac/physics/mod.rs, same operations in the same order).
#import index
#import misac_write

struct Imm { clock: u32, action_off: u32, state_off: u32, next_off: u32, obs_off: u32, reward_off: u32, full: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<MisacParams>;    // [R]
@group(0) @binding(1) var<storage, read> action: array<f32>;            // [R, B, K] from action_off: 0 or 1
@group(0) @binding(2) var<storage, read_write> state: array<f32>;       // [R, 7K, B] from state_off; the next one from next_off
@group(0) @binding(3) var<storage, read_write> obs: array<f32>;         // [R, B, 3K] from obs_off: the next observation
@group(0) @binding(4) var<storage, read_write> final_obs: array<f32>;   // [R, B, 3K], written where an episode ended
@group(0) @binding(5) var<storage, read_write> reward: array<f32>;      // [R, B] from reward_off
@group(0) @binding(6) var<storage, read_write> flags: array<u32>;       // [R, B] from reward_off
@group(0) @binding(7) var<storage, read_write> metrics: array<f32>;     // [R, METRIC_ROWS, B], written if full

const PER_VEHICLE: f32 = 1.0 / f32(K);
const PI: f32 = 3.14159265358979323846;

// e after a slot without a frame; z is the slot's normal number. What grows with the age counts it as (7) does.
fn grown_error(p: MisacParams, e: f32, age: f32, rate: f32, z: f32) -> f32 {
    if (EXPONENTIAL == 0u) {
        return e + (p.beam_width_rad * sqrt(rate)) * z;
    }
    // Any error is at pi after so much growth.
    var exponent = min(p.error_rate * rate, MOST_GROWTH);
    if (AGE_SATURATES != 0u) {
        exponent = select(0.0f, exponent, age < p.age_max);
    }
    return max(min(e * exp_(exponent), PI), -PI);
}

@compute @workgroup_size(WG) fn misac_step(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    let p = params[r];
    let ends = (imm.clock + 1u) % T == 0u;
    let later = imm.clock + 1u;
    var frames = 0.0f;
    var misaligned = 0.0f;
    var mae = 0.0f;
    var oldest = 0.0f;
    var over_age = 0.0f;
    var z: array<f32, 4>;
    var luck = vec4<u32>(0u, 0u, 0u, 0u);
    var range = vec2<f32>(0.0f, 0.0f);
    for (var i = 0u; i < K; i++) {
        if (i % 4u == 0u) {
            let w = philox4x32_10(vec4<u32>(i / 4u, imm.clock, env, STREAM_MISAC_TRACK), p.key);
            let a = normal_pair(w.x, w.y);
            let b = normal_pair(w.z, w.w);
            z = array<f32, 4>(a.x, a.y, b.x, b.y);
            if (REALIGN != 0u) {
                luck = philox4x32_10(vec4<u32>(i / 4u, imm.clock, env, STREAM_MISAC_RECOVERY), p.key);
            }
        }
        let noise = z[i % 4u];
        var s = load_vehicle(imm.state_off, r, env, i);
        let rate = beta_of(p, s);
        let lost = misalignment(rate, s.age);
        misaligned += lost;
        let pi = action[imm.action_off + n * K + i];
        frames += pi;
        mae += abs(seen_error(p, s, env, imm.clock, i));
        oldest = max(oldest, s.age);
        // e after the slot: fresh where a frame was taken or a sweep has found the vehicle, else grown.
        let grown = grown_error(p, s.e, s.age, rate, noise);
        var fresh = 0.0f < pi;
        if (REALIGN != 0u) {
            fresh = fresh || unit_from_word(luck[i % 4u]) < lost;
        }
        s.e = select(grown, p.sigma_vis_rad * noise, fresh);
        // Ages that were counted as A_max grow beyond it as those that are A_max do.
        let age = select(s.age + 1.0f, p.t_proc, fresh);
        over_age = select(over_age, 1.0f, p.age_max < age);
        s.age = age;
        if (AGE_SATURATES != 0u) {
            s.age = min(age, p.age_max);
        }
        s.x += s.v * p.dt_s;
        if (i % 2u == 0u) {
            range = range_noise(p.key, env, later, i);
        }
        var o = observe(p, s, env, later, i, range[i % 2u]);
        if (ends) {
            let at = n * 3u * K + i;
            final_obs[at] = o.x;
            final_obs[at + K] = o.y;
            final_obs[at + 2u * K] = o.z;
            s = reset_vehicle(p, env, later, i);
            o = observe(p, s, env, later, i, range[i % 2u]);
        }
        store_vehicle(imm.next_off, r, env, i, s);
        let at = imm.obs_off + n * 3u * K + i;
        obs[at] = o.x;
        obs[at + K] = o.y;
        obs[at + 2u * K] = o.z;
    }
    let l_bmp = misaligned * PER_VEHICLE;
    let energy = p.e_vis_j * frames + p.e_recovery_j * misaligned;
    let excess = max(l_bmp - p.gamma_misa, 0.0f);
    let reward_now = -energy - p.lambda_j * excess;
    reward[imm.reward_off + n] = reward_now;
    flags[imm.reward_off + n] = select(0u, TRUNCATED, ends);
    if (imm.full != 0u) {
        // Rows as in `metric` of src/tasks/misac/physics/mod.rs.
        let m = r * METRIC_ROWS * B + env;
        metrics[m + METRIC_ENERGY * B] = energy;
        metrics[m + METRIC_REWARD * B] = reward_now;
        metrics[m + METRIC_L_BMP * B] = l_bmp;
        metrics[m + METRIC_OVER_GAMMA * B] = select(0.0f, 1.0f, 0.0f < excess);
        metrics[m + METRIC_ANGLE_MAE * B] = mae * PER_VEHICLE;
        metrics[m + METRIC_AGE_MAX * B] = oldest;
        metrics[m + METRIC_OVER_AGE * B] = over_age;
    }
}

// Task misac: parameters, state and geometry. Twin, operation by operation: src/tasks/misac/physics/. From the
// prelude: R replicas, B environments of each, K vehicles, N antennas, T slots, UNCERTAINTY and its values, and the
// choices POWER_PRESERVING, REALIGN, AGE_SATURATES, EXPONENTIAL and RADAR_NOISE, 1 or 0 each. A kernel that imports
// this declares the binding `state: array<f32>`, in which arrays [R, 7K, B] lie.
#import math
#import philox

// Same layout as MisacParams of src/tasks/misac/physics/spec.rs (tests/library/shader_layout.rs compares the offsets);
// units are in the names.
struct MisacParams {
    key: vec2<u32>,
    beta: f32,
    e_vis_j: f32,
    e_recovery_j: f32,
    lambda_j: f32,
    gamma_misa: f32,
    t_proc: f32,
    age_max: f32,
    sigma_vis_rad: f32,
    beam_width_rad: f32,
    distance_noise: f32,
    dt_s: f32,
    road_y_m: f32,
    x_min_m: f32,
    x_max_m: f32,
    speed_min_m_s: f32,
    speed_max_m_s: f32,
    los: f32,
    scatter: f32,
    csi_error: f32,
    beam_power_w: f32,
    path_gain_m2: f32,
    noise_w: f32,
    error_rate: f32,
    radar_noise_rad: f32,
}

const STATE_ROWS: u32 = 7u;

// One vehicle: position, speed, age, tracking error, the scatterers' cosines, mean angular rate over its speed.
struct Vehicle {
    x: f32,
    v: f32,
    age: f32,
    e: f32,
    s0: f32,
    s1: f32,
    turn: f32,
}

// Element of `state` that holds row q of vehicle i, for the array [R, 7K, B] that starts at `first`.
fn state_at(first: u32, r: u32, env: u32, q: u32, i: u32) -> u32 {
    return first + ((r * STATE_ROWS + q) * K + i) * B + env;
}

fn load_vehicle(first: u32, r: u32, env: u32, i: u32) -> Vehicle {
    return Vehicle(
        state[state_at(first, r, env, 0u, i)],
        state[state_at(first, r, env, 1u, i)],
        state[state_at(first, r, env, 2u, i)],
        state[state_at(first, r, env, 3u, i)],
        state[state_at(first, r, env, 4u, i)],
        state[state_at(first, r, env, 5u, i)],
        state[state_at(first, r, env, 6u, i)]);
}

// cos theta, sin theta and d at x on the road.
fn geometry(p: MisacParams, x: f32) -> vec3<f32> {
    let y = p.road_y_m;
    let d = sqrt(x * x + y * y);
    return vec3<f32>(-x / d, y / d, d);
}

// e of vehicle i as the estimate of this slot has it.
fn seen_error(p: MisacParams, s: Vehicle, env: u32, clock: u32, i: u32) -> f32 {
    if (RADAR_NOISE == 0u) {
        return s.e;
    }
    let w = philox4x32_10(vec4<u32>(i / 2u, clock, env, STREAM_MISAC_RANGE), p.key);
    let z = normal_pair(w.z, w.w);
    let noise = max(p.radar_noise_rad * z[i % 2u], LOWEST);
    return s.e + select(0.0f, noise, p.t_proc < s.age);
}

// cos(theta + e)
fn estimated_cos(p: MisacParams, x: f32, e: f32) -> f32 {
    let g = geometry(p, x);
    let sc = sin_cos(e);
    return g.x * sc.y - g.y * sc.x;
}

// beta_k of (7) in this slot.
fn beta_of(p: MisacParams, s: Vehicle) -> f32 {
    if (UNCERTAINTY == UNCERTAINTY_CONSTANT) {
        return p.beta;
    }
    let g = geometry(p, s.x);
    return p.beta * ((g.y / g.z) / s.turn);
}

// P_misa (7). The barrier keeps a compiler from taking the 1 out of a sum over vehicles.
fn misalignment(rate: f32, age: f32) -> f32 {
    return max(1.0f - exp_(-(rate * age)), LOWEST);
}

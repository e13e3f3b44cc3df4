// Task v2x: parameters, state, noise, motion, array response and powers. Twin, operation by operation:
// src/tasks/v2x/physics/. From the prelude: R replicas, B environments of each, K vehicles, N antennas, KINEMATICS
// and LIMITS with their values.
#import math
#import philox

// Same layout as V2xParams of src/tasks/v2x/physics/spec.rs (tests/library/shader_layout.rs compares the offsets);
// units are in the names.
struct V2xParams {
    key: vec2<u32>,
    p_max_w: f32,
    comm_gain: f32,
    path_loss_exponent: f32,
    noise_comm_w: f32,
    radar_gain: f32,
    noise_radar_w: f32,
    crlb_theta_scale: f32,
    crlb_d_scale: f32,
    sigma_v_scale: f32,
    dt_s: f32,
    sigma_theta_rad: f32,
    sigma_d_m: f32,
    sigma_v_m_s: f32,
    eps_theta_rad2: f32,
    eps_d_m2: f32,
    jain_scale: f32,
    tracking_delta_rad: f32,
    speed_min_m_s: f32,
    speed_max_m_s: f32,
    d_floor_m: f32,
    cos_floor: f32,
    cap_theta_rad: f32,
    cap_d_m: f32,
    cap_v_m_s: f32,
    road_y_m: f32,
    zf_regularisation: f32,
    matrix_scale: f32,
    reward_weight_theta: f32,
    reward_weight_d: f32,
    sensing_noise: f32,
    ekf_noise: f32,
    pad: array<f32, 3>,
    obs_shift: array<f32, 4>,
    obs_scale: array<f32, 4>,
    start_theta_rad: array<f32, 8>,
    start_d_m: array<f32, 8>,
}

// Rows of the state: ten of every vehicle, and the past where limits are those of an episode.
const STATE_ROWS: u32 = 10u * K + select(0u, 3u, LIMITS == LIMITS_EPISODE);

// One environment. var_* are the variances of the last echo; past has sums over the episode's slots of the means of the
// capped CRLB_theta and CRLB_d, and how many slots.
struct State {
    theta: array<f32, K>,
    d: array<f32, K>,
    v: array<f32, K>,
    obs_theta: array<f32, K>,
    obs_d: array<f32, K>,
    obs_v: array<f32, K>,
    obs_sinr: array<f32, K>,
    var_theta: array<f32, K>,
    var_d: array<f32, K>,
    var_v: array<f32, K>,
    past: vec3<f32>,
}

// Standard normals of a slot: theta, d, v of vehicle 0, then of vehicle 1, ...; whole Philox blocks.
const NORMALS: u32 = (3u * K + 3u) / 4u * 4u;

fn normals(key: vec2<u32>, stream: u32, env: u32, clock: u32) -> array<f32, NORMALS> {
    var z: array<f32, NORMALS>;
    for (var block = 0u; block < NORMALS / 4u; block++) {
        let w = philox4x32_10(vec4<u32>(block, clock, env, stream), key);
        let a = normal_pair(w.x, w.y);
        let b = normal_pair(w.z, w.w);
        z[4u * block] = a.x;
        z[4u * block + 1u] = a.y;
        z[4u * block + 2u] = b.x;
        z[4u * block + 3u] = b.y;
    }
    return z;
}

// Truth one slot on, by (14) or on the road.
fn motion(p: V2xParams, z: ptr<function, array<f32, NORMALS>>, s: ptr<function, State>) {
    for (var i = 0u; i < K; i++) {
        let theta = (*s).theta[i];
        let d = (*s).d[i];
        let v = (*s).v[i];
        let sc = sin_cos(theta);
        let advance = v * p.dt_s;
        if (KINEMATICS == KINEMATICS_PAPER) {
            (*s).theta[i] = (theta + (advance * sc.x) / d) + p.sigma_theta_rad * (*z)[3u * i];
            (*s).d[i] = max((d - advance * sc.y) + p.sigma_d_m * (*z)[3u * i + 1u], p.d_floor_m);
        } else {
            let x = (advance - d * sc.y) + p.sigma_d_m * (*z)[3u * i + 1u];
            let y = p.road_y_m;
            (*s).d[i] = max(sqrt(x * x + y * y), p.d_floor_m);
            (*s).theta[i] = atan2_upper(y, -x);
        }
        (*s).v[i] = v + p.sigma_v_m_s * (*z)[3u * i + 2u];
    }
}

// D and dD/d(pi Delta) of N antennas for Delta in [-2, 2], D = sin(pi N Delta/2) / (N sin(pi Delta/2)).
fn dirichlet(delta: f32) -> vec2<f32> {
    let half_delta = delta * 0.5f;
    let one = sin_cos_pi_multiple(half_delta, 1u);
    let all = sin_cos_pi_multiple(half_delta, N);
    let count = f32(N);
    let near = abs(one.x) < 3e-5f;
    let s = select(one.x, 1.0f, near);
    let inv = 1.0f / (count * s);
    let d = select(all.x * inv, all.y / one.y, near);
    let slope = (count * (all.y * s) - all.x * one.y) * 0.5f * inv / s;
    return vec2<f32>(d, select(slope, 0.0f, near));
}

// Powers that water-fill p_max over channels of SNR-per-watt `gain` (all positive): maximises sum log2(1 + p gain).
fn water_fill(p_max: f32, gain: ptr<function, array<f32, K>>) -> array<f32, K> {
    var bottom: array<f32, K>;
    var wet: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        wet[i] = 1.0f;
        bottom[i] = 1.0f / (*gain)[i];
    }
    var level = 0.0f;
    // Each round drops every channel whose bottom is above the water; none that is dropped can be in the optimum.
    for (var round = 0u; round < K; round++) {
        var n = 0.0f;
        var sum = p_max;
        for (var i = 0u; i < K; i++) {
            n += wet[i];
            sum += wet[i] * bottom[i];
        }
        level = sum / n;
        for (var i = 0u; i < K; i++) {
            wet[i] = select(0.0f, wet[i], bottom[i] < level);
        }
    }
    for (var i = 0u; i < K; i++) {
        wet[i] *= max(level - bottom[i], 0.0f);
    }
    return wet;
}

// N_TA alpha_0 d^-rho
fn comm_gain(p: V2xParams, d: f32) -> f32 {
    return p.comm_gain * exp_(-p.path_loss_exponent * ln_(d));
}

// SNR per watt of a matched beam without interference.
fn comm_snr_per_watt(p: V2xParams, d: f32) -> f32 {
    return comm_gain(p, d) / p.noise_comm_w;
}

// v2x_step: one thread = one slot of one environment, in the order action -> truth moves (14) -> rates (12)(13), radar (8), CRLBs (22)(23),
// reward (27)(28) -> echo -> next observation, with automatic reset where (clock+1) mod T = 0.
// CPU twin: v2x_step_cpu in src/kernels/v2x_step.rs (the physics is src/task/v2x.rs, same operations in the same order).
// BEAM and KINEMATICS are constants: a driver drops the branches not taken.
#import index
#import v2x_write

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

const PI: f32 = 3.14159265358979323846;
const LOG2_E: f32 = 1.44269504088896340736;
const PER_ANTENNA: f32 = 1.0 / f32(N);
const PER_VEHICLE: f32 = 1.0 / f32(K);
const CENTRE: f32 = (f32(N) - 1.0) / 2.0;

// The barrier keeps a compiler from taking LOG2_E out of a sum of rates.
fn log2_1p(x: f32) -> f32 {
    return max(ln_(1.0f + x) * LOG2_E, LOWEST);
}

// gain[k][i] = |a^H(theta_k) f_i|^2, slope2[k] = |d(a^H(theta_k) f_k)/d theta|^2, power[i] in W.
struct Beams {
    gain: array<array<f32, K>, K>,
    slope2: array<f32, K>,
    power: array<f32, K>,
}

fn softmax_power(p_max: f32, logits: u32) -> array<f32, K> {
    var top = action[logits];
    for (var i = 1u; i < K; i++) {
        top = max(top, action[logits + i]);
    }
    var power: array<f32, K>;
    var sum = 0.0f;
    for (var i = 0u; i < K; i++) {
        power[i] = exp_(action[logits + i] - top);
        sum += power[i];
    }
    let scale = p_max / sum;
    for (var i = 0u; i < K; i++) {
        power[i] *= scale;
    }
    return power;
}

// Explicit beams: sums over the antennas, straight from the action at `at`.
fn matrix_beams(p: V2xParams, at: u32, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
    (*out).power = softmax_power(p.p_max_w, at + 2u * K * N);
    var norm: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        var sum = 0.0f;
        for (var m = 0u; m < N; m++) {
            let re = action[at + i * N + m];
            let im = action[at + (K + i) * N + m];
            // Without the barrier Mesa re-associates this sum.
            sum += max(re * re + im * im, LOWEST);
        }
        norm[i] = sum;
    }
    for (var j = 0u; j < K; j++) {
        // sum_n e^{+j pi n u} f_n for every beam, and sum_n n e^{...} f_n for the vehicle's own.
        var re_sum: array<f32, K>;
        var im_sum: array<f32, K>;
        for (var i = 0u; i < K; i++) {
            re_sum[i] = 0.0f;
            im_sum[i] = 0.0f;
        }
        var re_slope = 0.0f;
        var im_slope = 0.0f;
        for (var m = 0u; m < N; m++) {
            let sc = sin_cos_pi_multiple((*cosine)[j], m);
            for (var i = 0u; i < K; i++) {
                let re = action[at + i * N + m];
                let im = action[at + (K + i) * N + m];
                let x = sc.y * re - sc.x * im;
                let y = sc.y * im + sc.x * re;
                re_sum[i] += x;
                im_sum[i] += y;
                if (i == j) {
                    re_slope += f32(m) * x;
                    im_slope += f32(m) * y;
                }
            }
        }
        for (var i = 0u; i < K; i++) {
            let unit = PER_ANTENNA / max(norm[i], 1e-20f);
            (*out).gain[j][i] = (re_sum[i] * re_sum[i] + im_sum[i] * im_sum[i]) * unit;
            if (i == j) {
                let turn = PI * (*sine)[j];
                (*out).slope2[j] = (turn * turn) * ((re_slope * re_slope + im_slope * im_slope) * unit);
            }
        }
    }
}

// Beams steered at K angles (or, for BEAM_SPAN, mixed from K steering vectors): closed forms.
fn steered_beams(p: V2xParams, at: u32, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
    var w: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let a = action[at + i];
        if (BEAM == BEAM_ANGLES) {
            w[i] = sin_cos_pi_multiple(sigmoid_(a), 1u).y;
        } else if (BEAM == BEAM_TRACKING) {
            w[i] = sin_cos((*s).obs_theta[i] + p.tracking_delta_rad * tanh_(a)).y;
        } else {
            w[i] = sin_cos(a).y;
        }
    }
    if (BEAM == BEAM_STEER || BEAM == BEAM_SPAN) {
        let first = at + select(K, K + K * K, BEAM == BEAM_SPAN);
        for (var i = 0u; i < K; i++) {
            (*out).power[i] = action[first + i];
        }
    } else {
        (*out).power = softmax_power(p.p_max_w, at + K);
    }
    for (var j = 0u; j < K; j++) {
        var resp: array<f32, K>;
        for (var i = 0u; i < K; i++) {
            resp[i] = 0.0f;
        }
        var slope = 0.0f;
        for (var q = 0u; q < K; q++) {
            let de = dirichlet((*cosine)[j] - w[q]);
            if (BEAM == BEAM_SPAN) {
                for (var i = 0u; i < K; i++) {
                    resp[i] += de.x * action[at + K + q * K + i];
                }
                slope += de.y * action[at + K + q * K + j];
            } else {
                resp[q] = de.x;
                if (q == j) {
                    slope = de.y;
                }
            }
        }
        for (var i = 0u; i < K; i++) {
            (*out).gain[j][i] = resp[i] * resp[i];
        }
        let turn = PI * (*sine)[j];
        let lever = CENTRE * resp[j];
        (*out).slope2[j] = (turn * turn) * (lever * lever + slope * slope);
    }
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
    var moved = normals(p.key, STREAM_MOTION, env, imm.clock);
    motion(p, &moved, &s);
    var sine: array<f32, K>;
    var cosine: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let sc = sin_cos(s.theta[i]);
        sine[i] = sc.x;
        cosine[i] = sc.y;
    }
    var b: Beams;
    if (BEAM == BEAM_MATRIX) {
        matrix_beams(p, imm.action_off + n * A, &sine, &cosine, &b);
    } else {
        steered_beams(p, imm.action_off + n * A, &s, &sine, &cosine, &b);
    }

    var inv_d2: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        inv_d2[i] = 1.0f / (s.d[i] * s.d[i]);
    }
    var rate: array<f32, K>;
    var crlb_theta: array<f32, K>;
    var crlb_d: array<f32, K>;
    var radar: array<f32, K>;
    var sum_rate = 0.0f;
    var square = 0.0f;
    var crlb_theta_sum = 0.0f;
    var crlb_d_sum = 0.0f;
    for (var j = 0u; j < K; j++) {
        // (12), (13)
        var interference = 0.0f;
        var clutter = 0.0f;
        for (var i = 0u; i < K; i++) {
            if (i != j) {
                let power = b.power[i] * b.gain[j][i];
                interference += power;
                clutter += power * inv_d2[i];
            }
        }
        let gain = comm_gain(p, s.d[j]);
        let own = b.power[j] * b.gain[j][j];
        let sinr = (gain * own) / (gain * interference + p.noise_comm_w);
        s.obs_sinr[j] = sinr;
        rate[j] = log2_1p(sinr);
        sum_rate += rate[j];
        square += rate[j] * rate[j];
        // (8), (23), (22)
        radar[j] = max((p.radar_gain * (own * inv_d2[j])) / (p.radar_gain * clutter + p.noise_radar_w), 1e-20f);
        crlb_d[j] = p.crlb_d_scale / radar[j];
        crlb_theta[j] = p.crlb_theta_scale / max((b.power[j] * b.slope2[j]) * inv_d2[j], 1e-30f);
        crlb_d_sum += crlb_d[j];
        crlb_theta_sum += crlb_theta[j];
    }
    let mean_d = crlb_d_sum * PER_VEHICLE;
    let mean_theta = crlb_theta_sum * PER_VEHICLE;
    // (28), (27)
    let jain = (p.jain_scale * (sum_rate * sum_rate)) / (f32(K) * square + 1e-30f);
    let holds = mean_d <= p.eps_d_m2 && mean_theta <= p.eps_theta_rad2;
    let reward_now = select(0.0f, (sum_rate * jain - mean_theta) - mean_d, holds);
    reward[imm.reward_off + n] = reward_now;

    // The echo.
    var z = normals(p.key, STREAM_ECHO, env, imm.clock);
    var angle_se = 0.0f;
    var distance_se = 0.0f;
    var angle_crlb = 0.0f;
    var distance_crlb = 0.0f;
    for (var j = 0u; j < K; j++) {
        let var_theta = min(crlb_theta[j], p.cap_theta_rad * p.cap_theta_rad);
        let var_d = min(crlb_d[j], p.cap_d_m * p.cap_d_m);
        let std_v = min(p.sigma_v_scale / (sqrt(radar[j]) * max(abs(cosine[j]), p.cos_floor)), p.cap_v_m_s);
        let err_theta = sqrt(var_theta) * z[3u * j];
        let err_d = sqrt(var_d) * z[3u * j + 1u];
        s.obs_theta[j] = s.theta[j] + err_theta;
        s.obs_d[j] = s.d[j] + err_d;
        s.obs_v[j] = s.v[j] + std_v * z[3u * j + 2u];
        s.var_theta[j] = var_theta;
        s.var_d[j] = var_d;
        s.var_v[j] = std_v * std_v;
        angle_se += err_theta * err_theta;
        distance_se += err_d * err_d;
        angle_crlb += var_theta;
        distance_crlb += var_d;
    }
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
        // Rows as in `metric` of src/task/v2x.rs.
        let m = r * METRIC_ROWS * B + env;
        metrics[m + METRIC_SUM_RATE * B] = sum_rate;
        metrics[m + METRIC_JAIN * B] = jain;
        metrics[m + METRIC_REWARD * B] = reward_now;
        metrics[m + METRIC_INDICATOR * B] = select(0.0f, 1.0f, holds);
        metrics[m + METRIC_ANGLE_SE * B] = angle_se * PER_VEHICLE;
        metrics[m + METRIC_DISTANCE_SE * B] = distance_se * PER_VEHICLE;
        metrics[m + METRIC_ANGLE_CRLB * B] = angle_crlb * PER_VEHICLE;
        metrics[m + METRIC_DISTANCE_CRLB * B] = distance_crlb * PER_VEHICLE;
        metrics[m + METRIC_UPPER_BOUND * B] = upper_bound;
        for (var j = 0u; j < K; j++) {
            metrics[m + (METRIC_RATE + j) * B] = rate[j];
        }
    }

    let ends = (imm.clock + 1u) % T == 0u;
    flags[imm.reward_off + n] = select(0u, TRUNCATED, ends);
    if (ends) {
        for (var i = 0u; i < K; i++) {
            let o = observe(&s, i);
            let at = n * 4u * K + i;
            final_obs[at] = o.x;
            final_obs[at + K] = o.y;
            final_obs[at + 2u * K] = o.z;
            final_obs[at + 3u * K] = o.w;
        }
        reset_state(r, env, imm.clock + 1u, &s);
    }
    store_state(r, env, &s);
    for (var i = 0u; i < K; i++) {
        let o = observe(&s, i);
        let at = imm.obs_off + n * 4u * K + i;
        obs[at] = o.x;
        obs[at + K] = o.y;
        obs[at + 2u * K] = o.z;
        obs[at + 3u * K] = o.w;
    }
}

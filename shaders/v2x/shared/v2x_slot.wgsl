// Task v2x: one slot of one environment. Twin, operation by operation: `step` of src/tasks/v2x/physics.rs. BEAM and KINEMATICS are constants: a driver drops the
// branches not taken. The importing kernel binds `state` read_write and has `fn action_at(i: u32) -> f32`, element i of the environment's action.
#import v2x_forcing
#import v2x_write

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
    var top = action_at(logits);
    for (var i = 1u; i < K; i++) {
        top = max(top, action_at(logits + i));
    }
    var power: array<f32, K>;
    var sum = 0.0f;
    for (var i = 0u; i < K; i++) {
        power[i] = exp_(action_at(logits + i) - top);
        sum += power[i];
    }
    let scale = p_max / sum;
    for (var i = 0u; i < K; i++) {
        power[i] *= scale;
    }
    return power;
}

// Explicit beams: sums over the antennas, straight from the action.
fn matrix_beams(p: V2xParams, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
    (*out).power = softmax_power(p.p_max_w, 2u * K * N);
    var norm: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        var sum = 0.0f;
        for (var m = 0u; m < N; m++) {
            let re = action_at(i * N + m);
            let im = action_at((K + i) * N + m);
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
                let re = action_at(i * N + m);
                let im = action_at((K + i) * N + m);
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

// Beams steered at K angles (or, for BEAM_SPAN and BEAM_ZF, mixed from K steering vectors): closed forms.
fn steered_beams(p: V2xParams, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
    var w: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let a = action_at(i);
        if (BEAM == BEAM_ANGLES) {
            w[i] = sin_cos_pi_multiple(sigmoid_(a), 1u).y;
        } else if (BEAM == BEAM_TRACKING || BEAM == BEAM_ZF) {
            w[i] = sin_cos((*s).obs_theta[i] + p.tracking_delta_rad * tanh_(a)).y;
        } else {
            w[i] = sin_cos(a).y;
        }
    }
    if (BEAM == BEAM_STEER || BEAM == BEAM_SPAN) {
        let first = select(K, K + K * K, BEAM == BEAM_SPAN);
        for (var i = 0u; i < K; i++) {
            (*out).power[i] = action_at(first + i);
        }
    } else {
        (*out).power = softmax_power(p.p_max_w, K);
    }
    var mix: array<array<f32, K>, K>;
    if (BEAM == BEAM_SPAN) {
        for (var q = 0u; q < K; q++) {
            for (var i = 0u; i < K; i++) { mix[q][i] = action_at(K + q * K + i); }
        }
    } else if (BEAM == BEAM_ZF) {
        var seen = (*s).obs_d;
        mix = regularised_mix(p, &w, &seen);
    }
    for (var j = 0u; j < K; j++) {
        var resp: array<f32, K>;
        for (var i = 0u; i < K; i++) {
            resp[i] = 0.0f;
        }
        var slope = 0.0f;
        for (var q = 0u; q < K; q++) {
            let de = dirichlet((*cosine)[j] - w[q]);
            if (BEAM == BEAM_SPAN || BEAM == BEAM_ZF) {
                for (var i = 0u; i < K; i++) {
                    resp[i] += de.x * mix[q][i];
                }
                slope += de.y * mix[q][j];
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

// What a slot leaves beside the state.
struct Slot {
    rate: array<f32, K>,
    sum_rate: f32,
    jain: f32,
    reward: f32,
    holds: bool,
    // Sums over the vehicles.
    angle_se: f32,
    distance_se: f32,
    angle_crlb: f32,
    distance_crlb: f32,
}

// One slot: action -> truth moves (14) -> rates (12)(13), radar (8), CRLBs (22)(23), reward (27)(28) -> echo, into the state.
fn slot(p: V2xParams, env: u32, clock: u32, s: ptr<function, State>) -> Slot {
    var moved = normals(p.key, STREAM_MOTION, env, clock);
    motion(p, &moved, s);
    var sine: array<f32, K>;
    var cosine: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let sc = sin_cos((*s).theta[i]);
        sine[i] = sc.x;
        cosine[i] = sc.y;
    }
    var b: Beams;
    if (BEAM == BEAM_MATRIX) {
        matrix_beams(p, &sine, &cosine, &b);
    } else {
        steered_beams(p, s, &sine, &cosine, &b);
    }

    var inv_d2: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        inv_d2[i] = 1.0f / ((*s).d[i] * (*s).d[i]);
    }
    var o: Slot;
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
        let gain = comm_gain(p, (*s).d[j]);
        let own = b.power[j] * b.gain[j][j];
        let sinr = (gain * own) / (gain * interference + p.noise_comm_w);
        (*s).obs_sinr[j] = sinr;
        o.rate[j] = log2_1p(sinr);
        sum_rate += o.rate[j];
        square += o.rate[j] * o.rate[j];
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

    // The echo.
    var z = normals(p.key, STREAM_ECHO, env, clock);
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
        (*s).obs_theta[j] = (*s).theta[j] + err_theta;
        (*s).obs_d[j] = (*s).d[j] + err_d;
        (*s).obs_v[j] = (*s).v[j] + std_v * z[3u * j + 2u];
        (*s).var_theta[j] = var_theta;
        (*s).var_d[j] = var_d;
        (*s).var_v[j] = std_v * std_v;
        angle_se += err_theta * err_theta;
        distance_se += err_d * err_d;
        angle_crlb += var_theta;
        distance_crlb += var_d;
    }
    o.sum_rate = sum_rate;
    o.jain = jain;
    o.reward = reward_now;
    o.holds = holds;
    o.angle_se = angle_se;
    o.distance_se = distance_se;
    o.angle_crlb = angle_crlb;
    o.distance_crlb = distance_crlb;
    return o;
}

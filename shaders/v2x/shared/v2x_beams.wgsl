// Task v2x: the beams of an action, and what is heard of them. Twin, operation by operation: `beams` and `hear` of
// src/tasks/v2x/physics/beams.rs. BEAM is a constant: a driver drops the branches not taken. The importing kernel has
// `fn action_at(i: u32) -> f32`, element i of the environment's action.
#import v2x_forcing

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

// What explicit beams are a residual on: half the cosines of the last estimates, and how the steering vectors there are
// mixed.
struct Base {
    half_cosine: array<f32, K>,
    mix: array<array<f32, K>, K>,
}

fn base_of(p: V2xParams, s: ptr<function, State>) -> Base {
    var base: Base;
    if (IS_RAW) { return base; }
    var cosine: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        cosine[i] = sin_cos((*s).obs_theta[i]).y;
        base.half_cosine[i] = cosine[i] * 0.5f;
    }
    if (BEAM == BEAM_ON_ZF) {
        var seen = (*s).obs_d;
        base.mix = regularised_mix(p, &cosine, &seen);
    }
    return base;
}

// Element m of the K beams, (re, im) each, and of the steering vectors that turn their raw numbers.
struct Antenna {
    f: array<vec2<f32>, K>,
    a: array<vec2<f32>, K>,
}

fn antenna(p: V2xParams, base: ptr<function, Base>, m: u32) -> Antenna {
    var e: Antenna;
    for (var i = 0u; i < K; i++) {
        e.f[i] = vec2<f32>(action_at(i * N + m), action_at((K + i) * N + m));
    }
    if (IS_RAW) { return e; }
    // e^{-j pi w (2m - N + 1)/2}: the phase of the middle of the array is 0.
    let before = 2u * m < N - 1u;
    let turns = select(2u * m - (N - 1u), (N - 1u) - 2u * m, before);
    let side = select(-1.0f, 1.0f, before);
    for (var i = 0u; i < K; i++) {
        let sc = sin_cos_pi_multiple((*base).half_cosine[i], turns);
        e.a[i] = vec2<f32>(sc.y, side * sc.x);
    }
    for (var i = 0u; i < K; i++) {
        let raw = e.f[i];
        let a = e.a[i];
        var x = a.x;
        var y = a.y;
        if (BEAM == BEAM_ON_ZF) {
            x = 0.0f;
            y = 0.0f;
            for (var q = 0u; q < K; q++) {
                x += (*base).mix[q][i] * e.a[q].x;
                y += (*base).mix[q][i] * e.a[q].y;
            }
        }
        e.f[i] = vec2<f32>(x + p.matrix_scale * (a.x * raw.x - a.y * raw.y), y + p.matrix_scale * (a.x * raw.y + a.y * raw.x));
    }
    return e;
}

// What the vehicles hear of explicit beams: sum_n e^{+j pi n u} f_n of every vehicle and beam, sum_n n e^{...} f_n of
// the vehicle's own, and |f_i|^2.
struct Sums {
    beam: array<array<vec2<f32>, K>, K>,
    slope: array<vec2<f32>, K>,
    norm: array<f32, K>,
}

fn matrix_sums(p: V2xParams, base: ptr<function, Base>, cosine: ptr<function, array<f32, K>>) -> Sums {
    var o: Sums;
    for (var m = 0u; m < N; m++) {
        let e = antenna(p, base, m);
        for (var i = 0u; i < K; i++) {
            // Without the barrier Mesa re-associates this sum.
            o.norm[i] += max(e.f[i].x * e.f[i].x + e.f[i].y * e.f[i].y, LOWEST);
        }
        for (var j = 0u; j < K; j++) {
            let sc = sin_cos_pi_multiple((*cosine)[j], m);
            for (var i = 0u; i < K; i++) {
                let x = sc.y * e.f[i].x - sc.x * e.f[i].y;
                let y = sc.y * e.f[i].y + sc.x * e.f[i].x;
                o.beam[j][i] += vec2<f32>(x, y);
                if (i == j) {
                    o.slope[j] += vec2<f32>(f32(m) * x, f32(m) * y);
                }
            }
        }
    }
    return o;
}

// Beams that are the action's own numbers. As sums of plain numbers Mesa leaves them in this order, which it does not
// with those of `matrix_sums`.
fn explicit_beams(p: V2xParams, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
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

fn matrix_beams(p: V2xParams, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
    if (BEAM == BEAM_DIRECT) {
        for (var i = 0u; i < K; i++) { (*out).power[i] = action_at(2u * K * N + i); }
    } else {
        (*out).power = softmax_power(p.p_max_w, 2u * K * N);
    }
    if (IS_RAW) {
        explicit_beams(p, sine, cosine, out);
        return;
    }
    var base = base_of(p, s);
    let o = matrix_sums(p, &base, cosine);
    for (var j = 0u; j < K; j++) {
        for (var i = 0u; i < K; i++) {
            let unit = PER_ANTENNA / max(o.norm[i], 1e-20f);
            let sum = o.beam[j][i];
            (*out).gain[j][i] = (sum.x * sum.x + sum.y * sum.y) * unit;
            if (i == j) {
                let turn = PI * (*sine)[j];
                (*out).slope2[j] = (turn * turn) * ((o.slope[j].x * o.slope[j].x + o.slope[j].y * o.slope[j].y) * unit);
            }
        }
    }
}

// Sine and cosine of the steering angle of beam i, from its number a of the action.
fn aim(p: V2xParams, s: ptr<function, State>, i: u32, a: f32) -> vec2<f32> {
    if (BEAM == BEAM_ANGLES) { return sin_cos_pi_multiple(sigmoid_(a), 1u); }
    if (BEAM == BEAM_TRACKING || BEAM == BEAM_ZF) { return sin_cos((*s).obs_theta[i] + p.tracking_delta_rad * tanh_(a)); }
    return sin_cos(a);
}

// Beams steered at K angles (or, for BEAM_SPAN and BEAM_ZF, mixed from K steering vectors): closed forms.
fn steered_beams(p: V2xParams, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, out: ptr<function, Beams>) {
    var w: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        w[i] = aim(p, s, i, action_at(i)).y;
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

// Whether explicit beams are the numbers of the action themselves.
const IS_RAW: bool = BEAM == BEAM_MATRIX || BEAM == BEAM_DIRECT;
const IS_MATRIX: bool = IS_RAW || BEAM == BEAM_ON_STEERING || BEAM == BEAM_ON_ZF;

// Beams and powers of the action, as vehicles at the true angles with these sines and cosines hear them.
fn beams(p: V2xParams, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>) -> Beams {
    var b: Beams;
    if (IS_MATRIX) {
        matrix_beams(p, s, sine, cosine, &b);
    } else {
        steered_beams(p, s, sine, cosine, &b);
    }
    return b;
}

// What the vehicles and the unit hear of a slot's beams; see `Heard` of the twin.
struct Heard {
    inv_d2: array<f32, K>,
    carried: array<f32, K>,
    interference: array<f32, K>,
    sinr: array<f32, K>,
    rate: array<f32, K>,
    clutter: array<f32, K>,
    radar: array<f32, K>,
    lit: array<f32, K>,
    crlb_theta: array<f32, K>,
    crlb_d: array<f32, K>,
    sum_rate: f32,
    square: f32,
    jain: f32,
    mean_theta: f32,
    mean_d: f32,
}

// How far the mean of a bound lies beyond its limit, nepers: 0 where (24a, b) hold.
fn beyond(limit: f32, mean: f32) -> f32 {
    return max(ln_(mean) - ln_(limit), 0.0f);
}

const RADAR_FLOOR: f32 = 1e-20;
const LIT_FLOOR: f32 = 1e-30;

// (12), (13), (8), (22), (23), (28) of beams at these true distances.
fn hear(p: V2xParams, b: ptr<function, Beams>, d: ptr<function, array<f32, K>>) -> Heard {
    var h: Heard;
    for (var i = 0u; i < K; i++) {
        h.inv_d2[i] = 1.0f / ((*d)[i] * (*d)[i]);
    }
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
                let power = (*b).power[i] * (*b).gain[j][i];
                interference += power;
                clutter += power * h.inv_d2[i];
            }
        }
        let gain = comm_gain(p, (*d)[j]);
        let own = (*b).power[j] * (*b).gain[j][j];
        let sinr = (gain * own) / (gain * interference + p.noise_comm_w);
        h.sinr[j] = sinr;
        h.rate[j] = log2_1p(sinr);
        sum_rate += h.rate[j];
        square += h.rate[j] * h.rate[j];
        // (8), (23), (22)
        h.radar[j] = max((p.radar_gain * (own * h.inv_d2[j])) / (p.radar_gain * clutter + p.noise_radar_w), RADAR_FLOOR);
        h.lit[j] = max(((*b).power[j] * (*b).slope2[j]) * h.inv_d2[j], LIT_FLOOR);
        h.crlb_d[j] = p.crlb_d_scale / h.radar[j];
        h.crlb_theta[j] = p.crlb_theta_scale / h.lit[j];
        if (CAPS_IN_REWARD == 1u) {
            h.crlb_d[j] = min(h.crlb_d[j], p.cap_d_m * p.cap_d_m);
            h.crlb_theta[j] = min(h.crlb_theta[j], p.cap_theta_rad * p.cap_theta_rad);
        }
        crlb_d_sum += h.crlb_d[j];
        crlb_theta_sum += h.crlb_theta[j];
        h.carried[j] = gain;
        h.interference[j] = interference;
        h.clutter[j] = clutter;
    }
    h.sum_rate = sum_rate;
    h.square = square;
    h.mean_d = crlb_d_sum * PER_VEHICLE;
    h.mean_theta = crlb_theta_sum * PER_VEHICLE;
    // (28)
    h.jain = (p.jain_scale * (sum_rate * sum_rate)) / (f32(K) * square + 1e-30f);
    return h;
}

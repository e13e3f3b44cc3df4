// v2x_gradient: one thread = the quantity QUANTITY of one sample's slot, and its gradient by the action. Reverse mode,
// closed forms. CPU twin: v2x_gradient_cpu in src/tasks/v2x/kernels/v2x_gradient.rs, where the formulas' meaning stands
// (src/tasks/v2x/gradient.rs).
#import index
#import v2x_beams

struct Imm { weight: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;        // [R]
@group(0) @binding(1) var<storage, read> scene: array<f32>;               // [R, M, 4K]; M is B of the prelude
@group(0) @binding(2) var<storage, read> action: array<f32>;              // [R, M, A]
@group(0) @binding(3) var<storage, read_write> d_action: array<f32>;      // [R, M, A]: weight times the gradient
@group(0) @binding(4) var<storage, read_write> value: array<f32>;         // [R, M]

// Start of this sample's action.
var<private> action_first: u32;

fn action_at(i: u32) -> f32 {
    return action[action_first + i];
}

fn put(i: u32, gradient: f32) {
    d_action[action_first + i] = gradient * imm.weight;
}

// D'' by pi Delta of what `dirichlet` gives as (D, D').
fn curvature(delta: f32, de: vec2<f32>) -> f32 {
    let sc = sin_cos_pi_multiple(delta * 0.5f, 1u);
    let n = f32(N);
    let near = abs(sc.x) < 0.25f / n;
    let far = ((1.0f - n * n) / 4.0f) * de.x - (sc.y / select(sc.x, 1.0f, near)) * de.y;
    const M2 = (f32(N) * f32(N) - 1.0f) / 12.0f;
    const M4 = (f32(N) * f32(N) - 1.0f) * (3.0f * f32(N) * f32(N) - 7.0f) / 240.0f;
    const M6 = (f32(N) * f32(N) - 1.0f) * (3.0f * f32(N) * f32(N) * f32(N) * f32(N) - 18.0f * f32(N) * f32(N) + 31.0f) / 1344.0f;
    let s2 = sc.x * sc.x;
    let x = (2.0f * sc.x) * (1.0f + s2 * (1.0f / 6.0f + s2 * (3.0f / 40.0f)));
    let x2 = x * x;
    let peak = x2 * (M4 / 2.0f - x2 * (M6 / 24.0f)) - M2;
    return select(far, select(1.0f, -1.0f, de.x < 0.0f) * peak, near);
}

// The quantity, and its gradient by every rate and by the means of both CRLBs.
struct Seeds {
    value: f32,
    rate: array<f32, K>,
    mean_theta: f32,
    mean_d: f32,
}

// WIDTH ln(1 + e^{x/WIDTH}) of x = ln(mean/limit): `beyond` with its corner rounded.
fn soft_beyond(limit: f32, mean: f32) -> f32 {
    let x = ln_(mean) - ln_(limit);
    return beyond(limit, mean) + WIDTH * ln_(1.0f + exp_(-(abs(x) / WIDTH)));
}

fn holds(limit: f32, mean: f32) -> f32 {
    return sigmoid_((1.0f / WIDTH) * (ln_(limit) - ln_(mean)));
}

fn seeds(p: V2xParams, h: ptr<function, Heard>) -> Seeds {
    var o: Seeds;
    let share = f32(K) / (f32(K) * (*h).square + 1e-30f);
    let product = (*h).sum_rate * (*h).jain;
    if (QUANTITY == QUANTITY_SUM_RATE) {
        o.value = (*h).sum_rate;
        for (var j = 0u; j < K; j++) { o.rate[j] = 1.0f; }
    } else if (QUANTITY == QUANTITY_JAIN) {
        o.value = (*h).jain;
        let fair = (p.jain_scale * (*h).sum_rate) * (share * PER_VEHICLE);
        for (var j = 0u; j < K; j++) { o.rate[j] = 2.0f * (fair - (*h).jain * (share * (*h).rate[j])); }
    } else if (QUANTITY == QUANTITY_ANGLE_CRLB) {
        o.value = (*h).mean_theta;
        o.mean_theta = 1.0f;
    } else if (QUANTITY == QUANTITY_DISTANCE_CRLB) {
        o.value = (*h).mean_d;
        o.mean_d = 1.0f;
    } else {
        var both = 1.0f;
        o.value = product;
        if (QUANTITY == QUANTITY_REWARD_SMOOTH) {
            let in_theta = holds(p.eps_theta_rad2, (*h).mean_theta);
            let in_d = holds(p.eps_d_m2, (*h).mean_d);
            if (REWARD == REWARD_LAGRANGIAN) {
                let lost_theta = p.reward_weight_theta * soft_beyond(p.eps_theta_rad2, (*h).mean_theta);
                let lost_d = p.reward_weight_d * soft_beyond(p.eps_d_m2, (*h).mean_d);
                o.value = (product - lost_theta) - lost_d;
                o.mean_theta = -((p.reward_weight_theta * (1.0f - in_theta)) / (*h).mean_theta);
                o.mean_d = -((p.reward_weight_d * (1.0f - in_d)) / (*h).mean_d);
            } else {
                // Whether the bounds are charged.
                const CHARGED = REWARD == REWARD_PRODUCT;
                both = in_theta * in_d;
                o.value = both * select(product, (product - (*h).mean_theta) - (*h).mean_d, CHARGED);
                let charge = select(0.0f, both, CHARGED);
                let sharp = 1.0f / WIDTH;
                o.mean_theta = -(charge + (o.value * (1.0f - in_theta)) * (sharp / (*h).mean_theta));
                o.mean_d = -(charge + (o.value * (1.0f - in_d)) * (sharp / (*h).mean_d));
            }
        }
        for (var j = 0u; j < K; j++) {
            o.rate[j] = both * (3.0f * (*h).jain - (product * 2.0f) * (share * (*h).rate[j]));
        }
    }
    return o;
}

// The gradient by gains, slopes and powers.
fn by_beams(p: V2xParams, b: ptr<function, Beams>, h: ptr<function, Heard>, by: ptr<function, Seeds>) -> Beams {
    var d: Beams;
    for (var j = 0u; j < K; j++) {
        let by_sinr = (*by).rate[j] * LOG2_E / (1.0f + (*h).sinr[j]);
        let heard = by_sinr * ((*h).carried[j] / ((*h).carried[j] * (*h).interference[j] + p.noise_comm_w));
        // 1/x has the slope -(1/x)/x, and none at the floor of x, nor at a cap.
        var in_d = RADAR_FLOOR < (*h).radar[j];
        var in_theta = LIT_FLOOR < (*h).lit[j];
        if (CAPS_IN_REWARD == 1u) {
            in_d = in_d && (*h).crlb_d[j] < p.cap_d_m * p.cap_d_m;
            in_theta = in_theta && (*h).crlb_theta[j] < p.cap_theta_rad * p.cap_theta_rad;
        }
        let radar = select(0.0f, -((*by).mean_d * PER_VEHICLE) * ((*h).crlb_d[j] / (*h).radar[j]), in_d);
        let lit = select(0.0f, -((*by).mean_theta * PER_VEHICLE) * ((*h).crlb_theta[j] / (*h).lit[j]), in_theta);
        let echo = radar * (p.radar_gain / (p.radar_gain * (*h).clutter[j] + p.noise_radar_w));
        let own = heard + echo * (*h).inv_d2[j];
        d.gain[j][j] = own * (*b).power[j];
        d.slope2[j] = lit * ((*b).power[j] * (*h).inv_d2[j]);
        d.power[j] += own * (*b).gain[j][j] + lit * ((*b).slope2[j] * (*h).inv_d2[j]);
        let interference = heard * (*h).sinr[j];
        let clutter = echo * (*h).radar[j];
        for (var i = 0u; i < K; i++) {
            if (i != j) {
                let other = -(interference + clutter * (*h).inv_d2[i]);
                d.gain[j][i] = other * (*b).power[i];
                d.power[i] += other * (*b).gain[j][i];
            }
        }
    }
    return d;
}

// The gradient by the last K numbers of the action: logits of a softmax, or the powers themselves.
fn by_powers(p: V2xParams, b: ptr<function, Beams>, d: ptr<function, Beams>) {
    if (BEAM == BEAM_DIRECT || BEAM == BEAM_STEER || BEAM == BEAM_SPAN) {
        for (var i = 0u; i < K; i++) { put(A - K + i, (*d).power[i]); }
        return;
    }
    var mean = 0.0f;
    for (var i = 0u; i < K; i++) { mean += (*b).power[i] * (*d).power[i]; }
    mean *= 1.0f / p.p_max_w;
    for (var i = 0u; i < K; i++) { put(A - K + i, (*b).power[i] * ((*d).power[i] - mean)); }
}

// The gradient by the raw numbers of explicit beams.
fn by_matrix(p: V2xParams, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, d: ptr<function, Beams>) {
    var base = base_of(p, s);
    var o = matrix_sums(p, &base, cosine);
    // By the sums over the antennas, and by the norms of the beams.
    var by_norm: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let bottom = max(o.norm[i], 1e-20f);
        let unit = PER_ANTENNA / bottom;
        let turn = PI * (*sine)[i];
        let by_slope = ((*d).slope2[i] * (turn * turn)) * unit;
        var lost = by_slope * (o.slope[i].x * o.slope[i].x + o.slope[i].y * o.slope[i].y);
        o.slope[i] *= 2.0f * by_slope;
        for (var j = 0u; j < K; j++) {
            let by_gain = (*d).gain[j][i] * unit;
            lost += by_gain * (o.beam[j][i].x * o.beam[j][i].x + o.beam[j][i].y * o.beam[j][i].y);
            o.beam[j][i] *= 2.0f * by_gain;
        }
        by_norm[i] = select(0.0f, -(2.0f * lost) / bottom, 1e-20f < o.norm[i]);
    }
    for (var m = 0u; m < N; m++) {
        let e = antenna(p, &base, m);
        var g: array<vec2<f32>, K>;
        for (var i = 0u; i < K; i++) { g[i] = by_norm[i] * e.f[i]; }
        for (var j = 0u; j < K; j++) {
            let sc = sin_cos_pi_multiple((*cosine)[j], m);
            for (var i = 0u; i < K; i++) {
                var u = o.beam[j][i];
                if (i == j) { u += f32(m) * o.slope[j]; }
                g[i] += vec2<f32>(sc.y * u.x + sc.x * u.y, sc.y * u.y - sc.x * u.x);
            }
        }
        for (var i = 0u; i < K; i++) {
            var u = g[i];
            if (!IS_RAW) {
                let a = e.a[i];
                u = p.matrix_scale * vec2<f32>(a.x * g[i].x + a.y * g[i].y, a.x * g[i].y - a.y * g[i].x);
            }
            put(i * N + m, u.x);
            put((K + i) * N + m, u.y);
        }
    }
}

// The gradient by the cosines of the steering angles through the mix of zero-forcing, from that by the mix.
fn by_forcing(w: ptr<function, array<f32, K>>, z: ptr<function, Forced>, d_mix: ptr<function, array<array<f32, K>, K>>, d_w: ptr<function, array<f32, K>>) {
    var by_gram: array<array<f32, K>, K>;
    for (var i = 0u; i < K; i++) {
        // x = x^/|f|, |f|^2 = x^T G x
        var along = 0.0f;
        for (var a = 0u; a < K; a++) { along += (*d_mix)[a][i] * (*z).mix[a][i]; }
        var by_column: array<f32, K>;
        for (var a = 0u; a < K; a++) {
            var row = 0.0f;
            for (var b = 0u; b < K; b++) { row += (*z).gram[a][b] * (*z).mix[b][i]; }
            by_column[a] = (*z).inverse_norm[i] * ((*d_mix)[a][i] - along * row);
        }
        // x^ = A^-1 e_i: dA = -(A^-T dx^) x^T
        for (var a = 0u; a < K; a++) {
            var back = 0.0f;
            for (var b = 0u; b < K; b++) { back += (*z).inverse[b][a] * by_column[b]; }
            for (var b = 0u; b < K; b++) {
                by_gram[a][b] -= back * (*z).inverse[b][i] + (0.5f * along) * ((*z).mix[a][i] * (*z).mix[b][i]);
            }
        }
    }
    for (var a = 0u; a < K; a++) {
        for (var b = 0u; b < K; b++) {
            if (a != b) {
                (*d_w)[a] += (PI * dirichlet((*w)[a] - (*w)[b]).y) * (by_gram[a][b] + by_gram[b][a]);
            }
        }
    }
}

// The gradient by the angles of steered beams, and by the weights of BEAM_SPAN.
fn by_steering(p: V2xParams, s: ptr<function, State>, sine: ptr<function, array<f32, K>>, cosine: ptr<function, array<f32, K>>, d: ptr<function, Beams>) {
    const MIXED = BEAM == BEAM_SPAN || BEAM == BEAM_ZF;
    var w: array<f32, K>;
    var across: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let sc = aim(p, s, i, action_at(i));
        across[i] = sc.x;
        w[i] = sc.y;
    }
    var mix: array<array<f32, K>, K>;
    var z: Forced;
    if (BEAM == BEAM_SPAN) {
        for (var q = 0u; q < K; q++) {
            for (var i = 0u; i < K; i++) { mix[q][i] = action_at(K + q * K + i); }
        }
    } else if (BEAM == BEAM_ZF) {
        var seen = (*s).obs_d;
        z = forced(p, &w, &seen);
        mix = z.mix;
    }
    var d_w: array<f32, K>;
    var d_mix: array<array<f32, K>, K>;
    for (var j = 0u; j < K; j++) {
        var de: array<vec2<f32>, K>;
        var resp: array<f32, K>;
        // A variable of a loop keeps what the last round left.
        for (var i = 0u; i < K; i++) { resp[i] = 0.0f; }
        var slope = 0.0f;
        for (var q = 0u; q < K; q++) {
            de[q] = dirichlet((*cosine)[j] - w[q]);
            if (MIXED) {
                for (var i = 0u; i < K; i++) { resp[i] += de[q].x * mix[q][i]; }
                slope += de[q].y * mix[q][j];
            } else {
                resp[q] = de[q].x;
                if (q == j) { slope = de[q].y; }
            }
        }
        // gain = resp^2, slope^2 = turn^2 (lever^2 + slope^2)
        let turn = PI * (*sine)[j];
        let bent = 2.0f * (*d).slope2[j] * (turn * turn);
        var by_resp: array<f32, K>;
        for (var i = 0u; i < K; i++) { by_resp[i] = 2.0f * (*d).gain[j][i] * resp[i]; }
        by_resp[j] += bent * (CENTRE * CENTRE) * resp[j];
        let by_slope = bent * slope;
        for (var q = 0u; q < K; q++) {
            var by_d = 0.0f;
            var by_e = by_slope;
            if (MIXED) {
                for (var i = 0u; i < K; i++) {
                    by_d += by_resp[i] * mix[q][i];
                    d_mix[q][i] += by_resp[i] * de[q].x;
                }
                by_e *= mix[q][j];
                d_mix[q][j] += by_slope * de[q].y;
            } else {
                by_d = by_resp[q];
            }
            d_w[q] -= PI * (by_d * de[q].y);
            if (MIXED || q == j) {
                d_w[q] -= PI * (by_e * curvature((*cosine)[j] - w[q], de[q]));
            }
        }
    }
    if (BEAM == BEAM_ZF) {
        by_forcing(&w, &z, &d_mix, &d_w);
    } else if (BEAM == BEAM_SPAN) {
        for (var q = 0u; q < K; q++) {
            for (var i = 0u; i < K; i++) { put(K + q * K + i, d_mix[q][i]); }
        }
    }
    for (var i = 0u; i < K; i++) {
        var turned = 1.0f;
        if (BEAM == BEAM_ANGLES) {
            let share = sigmoid_(action_at(i));
            turned = PI * share * (1.0f - share);
        } else if (BEAM == BEAM_TRACKING || BEAM == BEAM_ZF) {
            let t = tanh_(action_at(i));
            turned = p.tracking_delta_rad * (1.0f - t * t);
        }
        put(i, -(d_w[i] * across[i]) * turned);
    }
}

@compute @workgroup_size(WG) fn v2x_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let p = params[n / B];
    action_first = n * A;
    var s: State;
    var sine: array<f32, K>;
    var cosine: array<f32, K>;
    let at = n * 4u * K;
    for (var i = 0u; i < K; i++) {
        s.theta[i] = scene[at + i];
        s.d[i] = scene[at + K + i];
        s.obs_theta[i] = scene[at + 2u * K + i];
        s.obs_d[i] = scene[at + 3u * K + i];
        let sc = sin_cos(s.theta[i]);
        sine[i] = sc.x;
        cosine[i] = sc.y;
    }
    var b = beams(p, &s, &sine, &cosine);
    var d = s.d;
    var h = hear(p, &b, &d);
    var by = seeds(p, &h);
    var gradient = by_beams(p, &b, &h, &by);
    by_powers(p, &b, &gradient);
    if (IS_MATRIX) {
        by_matrix(p, &s, &sine, &cosine, &gradient);
    } else {
        by_steering(p, &s, &sine, &cosine, &gradient);
    }
    value[n] = by.value;
}

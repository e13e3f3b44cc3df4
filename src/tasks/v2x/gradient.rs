//! The gradient of what a slot gives by the action taken in it, in closed form: reverse mode by hand through (28),
//! (27), (22), (23), (8), (13), (12), the beams and the parameterisation of the action.
//!
//! A slot is judged at the true angles and distances behind its motion, which no action moves; last estimates enter
//! where beams are built round them. Both are a *scene*, rows `[4K]` of θ, d, θ̂, d̂. What the action does to later
//! slots, through the echo, is not in it.

use super::array::{KMAX, dirichlet};
use super::forcing::{Forced, Square, forced};
use super::physics::{
    Base, Beam, Beams, Heard, LIT_FLOOR, PAST_ROWS, RADAR_FLOOR, Reward, State, V2xParams, V2xSpec, aim,
    antenna, base_of, beams, beyond, hear, load_state, loading, motion, motion_noise,
};
use crate::num::real::{Real, Word, c, each_group, load_rows, store_rows};

/// What is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// Σ_k log2(1+γ_k) times the Jain index: what the reward (27) is made of.
    Rate,
    /// (27) with a smooth indicator: σ((ln ε − ln CRLB)/width) for each of the two limits. Of
    /// [`Reward::Lagrangian`], with width·ln(1 + e^(x/width)) for max(0, x).
    RewardSmooth,
    /// (13), (28), and the means of (22) and (23) over the vehicles, with caps only where the reward has them.
    SumRate,
    Jain,
    AngleCrlb,
    DistanceCrlb,
}

impl Quantity {
    pub const ALL: [Quantity; 6] = [
        Quantity::Rate,
        Quantity::RewardSmooth,
        Quantity::SumRate,
        Quantity::Jain,
        Quantity::AngleCrlb,
        Quantity::DistanceCrlb,
    ];
}

/// Numbers of a scene.
pub fn scene_dim(spec: &V2xSpec) -> usize {
    4 * spec.vehicles
}

/// D″ by πΔ of what [`dirichlet`] gives with `d` = D and `e` = D′, both by πΔ. D obeys s·D″ = (1 − N²)/4·s·D − c·D′
/// with s, c = sin, cos(πΔ/2); next to a peak, where that is a difference of nearly equal numbers, the first terms of
/// its series are better.
#[inline(always)]
pub(super) fn curvature<V: Real>(delta: V, n: usize, d: V, e: V) -> V {
    let (s, c) = V::sin_cos_pi_multiple(delta * V::splat(0.5), 1);
    let n = n as f64;
    let near = s.abs().lt(V::splat(0.25 / n));
    let far = V::splat((1.0 - n * n) / 4.0) * d - (c / V::select(near, V::splat(1.0), s)) * e;
    // Means of m², m⁴, m⁶ over the antennas' places m, from the middle.
    let m2 = (n * n - 1.0) / 12.0;
    let m4 = (n * n - 1.0) * (3.0 * n * n - 7.0) / 240.0;
    let m6 = (n * n - 1.0) * (3.0 * n.powi(4) - 18.0 * n * n + 31.0) / 1344.0;
    // πΔ = 2·asin s, up to turns that only change the sign of D.
    let s2 = s * s;
    let x = (V::splat(2.0) * s) * (V::splat(1.0) + s2 * (V::splat(1.0 / 6.0) + s2 * V::splat(3.0 / 40.0)));
    let x2 = x * x;
    let peak = (x2 * (V::splat(m4 / 2.0) - x2 * V::splat(m6 / 24.0))) - V::splat(m2);
    let sign = V::select(d.lt(V::splat(0.0)), V::splat(-1.0), V::splat(1.0));
    V::select(near, sign * peak, far)
}

/// width·ln(1 + e^(x/width)) of x = ln(mean/limit): [`beyond`] with its corner rounded.
#[inline(always)]
fn soft_beyond<V: Real>(width: f32, limit: f32, mean: V) -> V {
    let (one, wide) = (V::splat(1.0), c!(width));
    let x = mean.ln() - c!(limit).ln();
    beyond(limit, mean) + wide * (one + (-(x.abs() / wide)).exp()).ln()
}

/// The quantity, and its gradient by every rate and by the means of both CRLBs.
struct Seeds<V> {
    value: V,
    rate: [V; KMAX],
    mean_theta: V,
    mean_d: V,
}

#[inline(always)]
fn seeds<V: Real>(
    of: Quantity,
    width: f32,
    reward: Reward,
    k: usize,
    p: &V2xParams,
    h: &Heard<V>,
) -> Seeds<V> {
    let (zero, one, two) = (V::splat(0.0), V::splat(1.0), V::splat(2.0));
    let mut out = Seeds { value: zero, rate: [zero; KMAX], mean_theta: zero, mean_d: zero };
    let share = V::splat(k as f64) / (V::splat(k as f64) * h.square + V::splat(1e-30));
    let product = h.sum_rate * h.jain;
    let by_product =
        |j: usize, weight: V| weight * (V::splat(3.0) * h.jain - (product * two) * (share * h.rate[j]));
    match of {
        Quantity::Rate => {
            out.value = product;
            for j in 0..k {
                out.rate[j] = by_product(j, one);
            }
        }
        Quantity::SumRate => {
            out.value = h.sum_rate;
            out.rate = [one; KMAX];
        }
        Quantity::Jain => {
            out.value = h.jain;
            let fair = (c!(p.jain_scale) * h.sum_rate) * (share * V::splat(1.0 / k as f64));
            for j in 0..k {
                out.rate[j] = two * (fair - h.jain * (share * h.rate[j]));
            }
        }
        Quantity::AngleCrlb => (out.value, out.mean_theta) = (h.mean_theta, one),
        Quantity::DistanceCrlb => (out.value, out.mean_d) = (h.mean_d, one),
        Quantity::RewardSmooth => {
            let sharp = one / c!(width);
            let holds = |limit: f32, mean: V| (sharp * (c!(limit).ln() - mean.ln())).sigmoid();
            let (in_theta, in_d) = (holds(p.eps_theta_rad2, h.mean_theta), holds(p.eps_d_m2, h.mean_d));
            // dσ = σ(1 − σ)·d(…), d ln x = dx/x
            if reward == Reward::Lagrangian {
                let (w_theta, w_d) = (c!(p.reward_weight_theta), c!(p.reward_weight_d));
                let lost_theta = w_theta * soft_beyond(width, p.eps_theta_rad2, h.mean_theta);
                let lost_d = w_d * soft_beyond(width, p.eps_d_m2, h.mean_d);
                out.value = (product - lost_theta) - lost_d;
                for j in 0..k {
                    out.rate[j] = by_product(j, one);
                }
                out.mean_theta = -((w_theta * (one - in_theta)) / h.mean_theta);
                out.mean_d = -((w_d * (one - in_d)) / h.mean_d);
                return out;
            }
            let both = in_theta * in_d;
            // Whether the bounds are charged.
            let charged = reward == Reward::Product;
            let value = if charged { (product - h.mean_theta) - h.mean_d } else { product };
            out.value = both * value;
            for j in 0..k {
                out.rate[j] = by_product(j, both);
            }
            let charge = if charged { both } else { zero };
            let by_mean = |inside: V, mean: V| -(charge + (out.value * (one - inside)) * (sharp / mean));
            (out.mean_theta, out.mean_d) = (by_mean(in_theta, h.mean_theta), by_mean(in_d, h.mean_d));
        }
    }
    out
}

/// The gradient by gains, slopes and powers.
#[inline(always)]
fn by_beams<V: Real>(
    capped: bool,
    k: usize,
    p: &V2xParams,
    b: &Beams<V>,
    h: &Heard<V>,
    by: &Seeds<V>,
) -> Beams<V> {
    let zero = V::splat(0.0);
    let mut d = Beams { gain: [[zero; KMAX]; KMAX], slope2: [zero; KMAX], power: [zero; KMAX] };
    let per_vehicle = V::splat(1.0 / k as f64);
    for j in 0..k {
        let by_sinr = by.rate[j] * V::splat(std::f64::consts::LOG2_E) / (V::splat(1.0) + h.sinr[j]);
        let heard = by_sinr * (h.carried[j] / (h.carried[j] * h.interference[j] + c!(p.noise_comm_w)));
        // 1/x has the slope −(1/x)/x, and none at the floor of x, nor at a cap.
        let (mut in_d, mut in_theta) =
            (V::splat(RADAR_FLOOR).lt(h.radar[j]), V::splat(LIT_FLOOR).lt(h.lit[j]));
        if capped {
            in_d = V::mask_and(in_d, h.crlb_d[j].lt(c!(p.cap_d_m) * c!(p.cap_d_m)));
            in_theta = V::mask_and(in_theta, h.crlb_theta[j].lt(c!(p.cap_theta_rad) * c!(p.cap_theta_rad)));
        }
        let radar = V::select(in_d, -(by.mean_d * per_vehicle) * (h.crlb_d[j] / h.radar[j]), zero);
        let lit = V::select(in_theta, -(by.mean_theta * per_vehicle) * (h.crlb_theta[j] / h.lit[j]), zero);
        let echo = radar * (c!(p.radar_gain) / (c!(p.radar_gain) * h.clutter[j] + c!(p.noise_radar_w)));
        let own = heard + echo * h.inv_d2[j];
        d.gain[j][j] = own * b.power[j];
        d.slope2[j] = lit * (b.power[j] * h.inv_d2[j]);
        d.power[j] += own * b.gain[j][j] + lit * (b.slope2[j] * h.inv_d2[j]);
        let (interference, clutter) = (heard * h.sinr[j], echo * h.radar[j]);
        for i in 0..k {
            if i != j {
                let other = -(interference + clutter * h.inv_d2[i]);
                d.gain[j][i] = other * b.power[i];
                d.power[i] += other * b.gain[j][i];
            }
        }
    }
    d
}

/// The gradient by the numbers behind the powers: logits of a softmax, or the powers themselves.
#[inline(always)]
fn by_powers<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    power: &[V; KMAX],
    d: &[V; KMAX],
    out: &mut [V],
) {
    if spec.beam.writes_powers() {
        out[..k].copy_from_slice(&d[..k]);
        return;
    }
    let mut mean = V::splat(0.0);
    for i in 0..k {
        mean += power[i] * d[i];
    }
    mean *= V::splat(1.0) / c!(p.p_max_w);
    for i in 0..k {
        out[i] = power[i] * (d[i] - mean);
    }
}

/// The gradient by the raw numbers of explicit beams.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "what was heard, what is asked, and what is written")]
fn by_matrix<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    (sin, cos): (&[V; KMAX], &[V; KMAX]),
    last: &State<V>,
    act: &[V],
    d: &Beams<V>,
    out: &mut [V],
) {
    let (zero, two, n) = (V::splat(0.0), V::splat(2.0), spec.antennas);
    let base: Base<V> = base_of(spec, k, p, last);
    let mut norm = [zero; KMAX];
    let (mut sum, mut slope) = ([[[zero; 2]; KMAX]; KMAX], [[zero; 2]; KMAX]);
    for m in 0..n {
        let (f, _) = antenna(spec, k, p, &base, act, m);
        for i in 0..k {
            norm[i] += f[i][0] * f[i][0] + f[i][1] * f[i][1];
        }
        for j in 0..k {
            let (s, c) = V::sin_cos_pi_multiple(cos[j], m as u32);
            for i in 0..k {
                let [re, im] = f[i];
                let (x, y) = (c * re - s * im, c * im + s * re);
                sum[j][i] = [sum[j][i][0] + x, sum[j][i][1] + y];
                if i == j {
                    let at = V::splat(m as f64);
                    slope[j] = [slope[j][0] + at * x, slope[j][1] + at * y];
                }
            }
        }
    }
    // By the sums over the antennas, and by the norms of the beams.
    let mut by_norm = [zero; KMAX];
    for i in 0..k {
        let floor = norm[i].max(V::splat(1e-20));
        let unit = V::splat(1.0 / n as f64) / floor;
        let turn = V::splat(std::f64::consts::PI) * sin[i];
        let by_slope = (d.slope2[i] * (turn * turn)) * unit;
        let mut lost = by_slope * (slope[i][0] * slope[i][0] + slope[i][1] * slope[i][1]);
        slope[i] = slope[i].map(
            #[inline(always)]
            |x| two * by_slope * x,
        );
        for j in 0..k {
            let by_gain = d.gain[j][i] * unit;
            lost += by_gain * (sum[j][i][0] * sum[j][i][0] + sum[j][i][1] * sum[j][i][1]);
            sum[j][i] = sum[j][i].map(
                #[inline(always)]
                |x| two * by_gain * x,
            );
        }
        by_norm[i] = V::select(V::splat(1e-20).lt(norm[i]), -(two * lost) / floor, zero);
    }
    for m in 0..n {
        let (f, a) = antenna(spec, k, p, &base, act, m);
        let mut g = [[zero; 2]; KMAX];
        for i in 0..k {
            g[i] = [by_norm[i] * f[i][0], by_norm[i] * f[i][1]];
        }
        for j in 0..k {
            let (s, c) = V::sin_cos_pi_multiple(cos[j], m as u32);
            for i in 0..k {
                let [mut x, mut y] = sum[j][i];
                if i == j {
                    x += V::splat(m as f64) * slope[j][0];
                    y += V::splat(m as f64) * slope[j][1];
                }
                g[i] = [g[i][0] + (c * x + s * y), g[i][1] + (c * y - s * x)];
            }
        }
        for i in 0..k {
            let [mut x, mut y] = g[i];
            if !spec.beam.is_raw() {
                let ([c, s], scale) = (a[i], c!(p.matrix_scale));
                (x, y) = (scale * (c * x + s * y), scale * (c * y - s * x));
            }
            (out[i * n + m], out[(k + i) * n + m]) = (x, y);
        }
    }
}

/// The gradient by the cosines of the steering angles through the mix of zero-forcing, from that by the mix.
#[inline(always)]
fn by_forcing<V: Real>(
    k: usize,
    n: usize,
    w: &[V; KMAX],
    z: &Forced<V>,
    d_mix: &Square<V>,
    d_w: &mut [V; KMAX],
) {
    let zero = V::splat(0.0);
    let mut by_gram = [[zero; KMAX]; KMAX];
    for i in 0..k {
        // x = x̂/‖f‖, ‖f‖² = x̂ᵀGx̂
        let mut along = zero;
        for a in 0..k {
            along += d_mix[a][i] * z.mix[a][i];
        }
        let mut by_column = [zero; KMAX];
        for a in 0..k {
            let mut row = zero;
            for b in 0..k {
                row += z.gram[a][b] * z.mix[b][i];
            }
            by_column[a] = z.inverse_norm[i] * (d_mix[a][i] - along * row);
        }
        // x̂ = A⁻¹e_i: dA = −(A⁻ᵀ·dx̂)·x̂ᵀ
        for a in 0..k {
            let mut back = zero;
            for b in 0..k {
                back += z.inverse[b][a] * by_column[b];
            }
            for b in 0..k {
                by_gram[a][b] -= back * z.inverse[b][i] + V::splat(0.5) * along * (z.mix[a][i] * z.mix[b][i]);
            }
        }
    }
    for a in 0..k {
        for b in 0..k {
            if a != b {
                let slope = V::splat(std::f64::consts::PI) * dirichlet(w[a] - w[b], n).1;
                d_w[a] += slope * (by_gram[a][b] + by_gram[b][a]);
            }
        }
    }
}

/// The gradient by the angles of steered beams, and by the weights of [`Beam::Span`].
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "what was heard, what is asked, and what is written")]
fn by_steering<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    (sin, cos): (&[V; KMAX], &[V; KMAX]),
    last: &State<V>,
    act: &[V],
    d: &Beams<V>,
    out: &mut [V],
) {
    let (zero, one, two, n) = (V::splat(0.0), V::splat(1.0), V::splat(2.0), spec.antennas);
    let pi = V::splat(std::f64::consts::PI);
    let (mut w, mut across) = ([zero; KMAX], [zero; KMAX]);
    for i in 0..k {
        (across[i], w[i]) = aim(spec, p, last, i, act[i]);
    }
    let mut mix = [[zero; KMAX]; KMAX];
    for i in 0..k {
        mix[i][i] = one;
    }
    let mut force = None;
    match spec.beam {
        Beam::Span => {
            for q in 0..k {
                mix[q][..k].copy_from_slice(&act[k + q * k..][..k]);
            }
        }
        Beam::Zf => {
            let z = forced(k, n, &w, &loading(k, p, &last.obs_d));
            mix = z.mix;
            force = Some(z);
        }
        _ => {}
    }
    let mixed = matches!(spec.beam, Beam::Span | Beam::Zf);
    let (mut d_w, mut d_mix) = ([zero; KMAX], [[zero; KMAX]; KMAX]);
    for j in 0..k {
        let (mut by, mut resp, mut slope) = ([(zero, zero); KMAX], [zero; KMAX], zero);
        for q in 0..k {
            by[q] = dirichlet(cos[j] - w[q], n);
            if mixed {
                for i in 0..k {
                    resp[i] += by[q].0 * mix[q][i];
                }
                slope += by[q].1 * mix[q][j];
            } else {
                resp[q] = by[q].0;
                if q == j {
                    slope = by[q].1;
                }
            }
        }
        // gain = resp², slope² = turn²·(lever² + slope²)
        let turn = pi * sin[j];
        let bent = two * d.slope2[j] * (turn * turn);
        let centre = (n as f64 - 1.0) / 2.0;
        let mut by_resp = [zero; KMAX];
        for i in 0..k {
            by_resp[i] = two * d.gain[j][i] * resp[i];
        }
        by_resp[j] += bent * V::splat(centre * centre) * resp[j];
        let by_slope = bent * slope;
        for q in 0..k {
            let (mut by_d, mut by_e) = (zero, by_slope);
            if mixed {
                for i in 0..k {
                    by_d += by_resp[i] * mix[q][i];
                    d_mix[q][i] += by_resp[i] * by[q].0;
                }
                by_e *= mix[q][j];
                d_mix[q][j] += by_slope * by[q].1;
            } else {
                by_d = by_resp[q];
            }
            d_w[q] -= pi * (by_d * by[q].1);
            if mixed || q == j {
                d_w[q] -= pi * (by_e * curvature(cos[j] - w[q], n, by[q].0, by[q].1));
            }
        }
    }
    match (&force, spec.beam) {
        (Some(z), _) => by_forcing(k, n, &w, z, &d_mix, &mut d_w),
        (None, Beam::Span) => {
            for q in 0..k {
                out[k + q * k..][..k].copy_from_slice(&d_mix[q][..k]);
            }
        }
        _ => {}
    }
    for i in 0..k {
        let turned = match spec.beam {
            Beam::Angles => {
                let share = act[i].sigmoid();
                pi * share * (one - share)
            }
            Beam::Tracking | Beam::Zf => {
                let t = act[i].tanh();
                c!(p.tracking_delta_rad) * (one - t * t)
            }
            _ => one,
        };
        out[i] = -(d_w[i] * across[i]) * turned;
    }
}

/// The quantity in a slot with this scene and action, and into `out` its gradient by the A numbers of the action. Of
/// the state only θ, d, θ̂ and d̂ are looked at.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a slot and what is asked of it")]
pub fn gradient<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    of: Quantity,
    width: f32,
    scene: &State<V>,
    act: &[V],
    out: &mut [V],
) -> V {
    let zero = V::splat(0.0);
    let (mut sin, mut cos) = ([zero; KMAX], [zero; KMAX]);
    for i in 0..k {
        (sin[i], cos[i]) = scene.theta[i].sin_cos();
    }
    let b = beams(spec, k, p, &sin, &cos, scene, act);
    let h = hear(spec, k, p, &b, scene);
    let by = seeds(of, width, spec.choices.reward, k, p, &h);
    let d = by_beams(spec.choices.caps_in_reward, k, p, &b, &h, &by);
    let (beams, powers) = out.split_at_mut(act.len() - k);
    by_powers(spec, k, p, &b.power, &d.power, powers);
    if spec.beam.is_matrix() {
        by_matrix(spec, k, p, (&sin, &cos), scene, act, &d, beams);
    } else {
        by_steering(spec, k, p, (&sin, &cos), scene, act, &d, beams);
    }
    by.value
}

/// State with the scene `x` `[4K]` in it.
#[inline(always)]
pub fn state_of<V: Real>(k: usize, x: &[V]) -> State<V> {
    let zero = [V::splat(0.0); KMAX];
    let mut s = State {
        theta: zero,
        d: zero,
        v: zero,
        obs_theta: zero,
        obs_d: zero,
        obs_v: zero,
        obs_sinr: zero,
        var: [zero; 3],
        past: [V::splat(0.0); PAST_ROWS],
    };
    for i in 0..k {
        (s.theta[i], s.d[i], s.obs_theta[i], s.obs_d[i]) = (x[i], x[k + i], x[2 * k + i], x[3 * k + i]);
    }
    s
}

/// v2x_scene over the environments [from, to) in whole lane groups: scenes `[B, 4K]` of slot `clock` out of the states
/// `[10K, B]` before it.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a range of environments")]
pub fn scene_range<V: Real>(
    spec: &V2xSpec,
    p: &V2xParams,
    (first, envs): (u32, usize),
    clock: u32,
    state: &[V::Elem],
    scene: &mut [V::Elem],
    from: usize,
    to: usize,
) {
    let k = spec.vehicles;
    each_group!(env in from, to, V, {
        let mut s = load_state::<V>(k, state, envs, env);
        let moved = motion_noise::<V>(k, p, V::Word::iota(first + env as u32), clock);
        motion(k, spec.kinematics, p, &moved, &mut s);
        let mut row = [V::splat(0.0); 4 * KMAX];
        for i in 0..k {
            (row[i], row[k + i], row[2 * k + i], row[3 * k + i]) = (s.theta[i], s.d[i], s.obs_theta[i], s.obs_d[i]);
        }
        store_rows(&row[..4 * k], scene, env);
    });
}

/// v2x_gradient over the samples [from, to) in whole lane groups: `scene` `[M, 4K]`, `action` `[M, A]`; `d_action`
/// `[M, A]`, the gradient times `weight`, `value` `[M]`.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a range of samples")]
pub fn gradient_range<V: Real, const KC: usize>(
    spec: &V2xSpec,
    p: &V2xParams,
    of: Quantity,
    width: f32,
    weight: f32,
    scene: &[V::Elem],
    action: &[V::Elem],
    d_action: &mut [V::Elem],
    value: &mut [V::Elem],
    from: usize,
    to: usize,
) {
    let k = if KC > 0 { KC } else { spec.vehicles };
    let a = spec.action_dim();
    // Large actions (explicit beam matrices) do not fit the fixed arrays.
    const FIXED: usize = 2 * KMAX + KMAX * KMAX;
    let mut fixed = [[V::splat(0.0); FIXED]; 2];
    let mut large = if a > FIXED { vec![V::splat(0.0); 2 * a] } else { Vec::new() };
    each_group!(at in from, to, V, {
        let (act, d_act) = if a > FIXED {
            large.split_at_mut(a)
        } else {
            let [act, d_act] = &mut fixed;
            (&mut act[..a], &mut d_act[..a])
        };
        load_rows(action, at, act);
        let mut row = [V::splat(0.0); 4 * KMAX];
        load_rows(scene, at, &mut row[..4 * k]);
        let s = state_of(k, &row[..4 * k]);
        gradient(spec, k, p, of, width, &s, act, d_act).store(&mut value[at..]);
        for d in d_act.iter_mut() {
            *d *= c!(weight);
        }
        store_rows(d_act, d_action, at);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::inputs::uniforms;
    use crate::tasks::v2x::kernels::v2x_batch::{self, check_params};
    use crate::tasks::v2x::kernels::v2x_gradient::check_samples;
    use crate::tasks::v2x::physics::{Choices, Kinematics, Reward, step};

    const BEAMS: [Beam; 9] = [
        Beam::Angles,
        Beam::Tracking,
        Beam::Matrix,
        Beam::Direct,
        Beam::OnSteering,
        Beam::OnZf,
        Beam::Zf,
        Beam::Steer,
        Beam::Span,
    ];
    const WIDTH: f32 = 0.5;

    /// The choices of reward and caps that a gradient can see.
    fn rewards() -> impl Iterator<Item = Choices> {
        let all = [Reward::Product, Reward::Indicator, Reward::Lagrangian];
        all.into_iter().flat_map(|reward| {
            [false, true].map(|caps_in_reward| Choices { reward, caps_in_reward, ..Choices::DEFAULT })
        })
    }

    fn batch(vehicles: usize, beam: Beam) -> v2x_batch::Spec {
        let task = V2xSpec {
            vehicles,
            antennas: 32,
            slots: 20,
            beam,
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        };
        v2x_batch::Spec { r: 3, b: 24, task }
    }

    /// Scene and action of a sample in f64.
    fn sample(batch: &v2x_batch::Spec, scenes: &[f32], actions: &[f32], n: usize) -> (State<f64>, Vec<f64>) {
        let (w, a) = (scene_dim(&batch.task), batch.task.action_dim());
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        (state_of(batch.task.vehicles, &wide(&scenes[n * w..][..w])), wide(&actions[n * a..][..a]))
    }

    #[test]
    fn central_differences_agree() {
        for (vehicles, beam) in [1, 3, 5].into_iter().flat_map(|k| BEAMS.map(|b| (k, b))) {
            let mut batch = batch(vehicles, beam);
            let params = check_params(&batch, 5);
            let (scenes, actions) = check_samples(&batch, &params, 5);
            let a = batch.task.action_dim();
            // All other choices on some beams.
            let more = rewards().skip(1).filter(|_| vehicles == 3 && BEAMS[..3].contains(&beam));
            let all = Quantity::ALL.map(|of| (of, Choices::DEFAULT)).into_iter();
            for (of, choices) in all.chain(more.map(|c| (Quantity::RewardSmooth, c))) {
                batch.task.choices = choices;
                let params = check_params(&batch, 5);
                // Of beams, and of powers.
                let (mut most, mut checked, mut apart) = (0.0f64, [0; 2], [0; 2]);
                for n in 0..batch.r * batch.b {
                    let (scene, act) = sample(&batch, &scenes, &actions, n);
                    let (p, k) = (&params[n / batch.b], vehicles);
                    let mut got = vec![f64::NAN; a];
                    let value = gradient(&batch.task, k, p, of, WIDTH, &scene, &act, &mut got);
                    let at =
                        |act: &[f64]| gradient(&batch.task, k, p, of, WIDTH, &scene, act, &mut vec![0.0; a]);
                    let largest = got.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
                    // Every number of a small action, and every seventh of a matrix.
                    for i in (n % 7..a).step_by(if a > 32 { 7 } else { 1 }) {
                        // A power near 0 is at its end.
                        if beam.writes_powers() && i >= a - k && act[i] < 1e-3 {
                            continue;
                        }
                        let step = |h: f64| {
                            let mut moved = act.clone();
                            moved[i] += h;
                            let up = at(&moved);
                            moved[i] -= 2.0 * h;
                            (up - at(&moved)) / (2.0 * h)
                        };
                        // Richardson: the error of the pair is of the fourth order.
                        let h = 2e-5 * (0.1 + act[i].abs());
                        let want = (4.0 * step(h) - step(2.0 * h)) / 3.0;
                        let size = largest + 0.05 * value.abs() + 1e-6;
                        let error = (got[i] - want).abs() / size;
                        let class = usize::from(i >= a - k);
                        checked[class] += 1;
                        // On a peak of the response its slope is taken for 0 (`dirichlet`), and bounds have ends.
                        if error >= 2e-5 {
                            apart[class] += 1;
                            continue;
                        }
                        most = most.max(error);
                    }
                }
                let few = apart.iter().zip(&checked).all(|(apart, checked)| 20 * apart <= *checked);
                let what = format!("{beam:?}, {vehicles} vehicles, {of:?}, {choices:?}");
                assert!(few, "{what}: {apart:?} of {checked:?} differ");
                println!("{what}: {most:.1e}, {apart:?} of {checked:?} apart");
            }
        }
    }

    /// What is differentiated is what a slot gives.
    #[test]
    fn values_are_those_of_the_slot() {
        for (beam, choices) in BEAMS.into_iter().flat_map(|b| rewards().map(move |c| (b, c))) {
            let mut batch = batch(3, beam);
            batch.task.choices = choices;
            let params = check_params(&batch, 9);
            let (scenes, actions) = check_samples(&batch, &params, 9);
            for n in 0..batch.r * batch.b {
                let (scene, act) = sample(&batch, &scenes, &actions, n);
                let p = &params[n / batch.b];
                // No motion: the state before the slot is the scene.
                let still = V2xParams { dt_s: 0.0, d_floor_m: 1e-3, ..*p };
                let mut s = scene;
                let quiet = [0.0; 3 * KMAX];
                let out = step(&batch.task, 3, &still, &quiet, &quiet, &act, false, &mut s);
                let value = |of, width| {
                    gradient(&batch.task, 3, p, of, width, &scene, &act, &mut vec![0.0; act.len()])
                };
                let same = |got: f64, want: f64| {
                    assert!((got - want).abs() <= 1e-9 * want.abs() + 1e-12, "{beam:?}: {got} {want}")
                };
                same(value(Quantity::SumRate, WIDTH), out.sum_rate);
                same(value(Quantity::Jain, WIDTH), out.jain);
                same(value(Quantity::Rate, WIDTH), out.sum_rate * out.jain);
                // A steep indicator is the indicator of (27), but where a bound all but meets its limit.
                let near = |mean: f64, limit: f32| (mean / f64::from(limit)).ln().abs() < 0.05;
                let (theta, d) = (value(Quantity::AngleCrlb, WIDTH), value(Quantity::DistanceCrlb, WIDTH));
                if !near(theta, p.eps_theta_rad2) && !near(d, p.eps_d_m2) {
                    let smooth = value(Quantity::RewardSmooth, 1e-3);
                    assert!(
                        (smooth - out.reward).abs() < 1e-6 * (1.0 + out.reward.abs()),
                        "{beam:?}, {choices:?}: {smooth} {}",
                        out.reward
                    );
                }
            }
        }
    }

    /// The second derivative of D, near peaks and far, against differences of its first.
    #[test]
    fn curvature_is_the_slope_of_the_slope() {
        let mut u = uniforms(3, 1);
        for n in [2, 7, 32, 100] {
            for _ in 0..2000 {
                let delta = (4.0 * u() - 2.0) * if u() < 0.5 { 1.0 } else { 0.05 };
                let (d, e) = dirichlet(delta, n);
                // Next to a peak it is taken for 0.
                if (std::f64::consts::FRAC_PI_2 * delta).sin().abs() < 1e-3 {
                    continue;
                }
                let h = 1e-4 / n as f64;
                let slope = |h: f64| {
                    (dirichlet(delta + h, n).1 - dirichlet(delta - h, n).1) / (2.0 * h * std::f64::consts::PI)
                };
                let want = (4.0 * slope(h) - slope(2.0 * h)) / 3.0;
                let got = curvature(delta, n, d, e);
                assert!((got - want).abs() < 3e-6 * (n * n) as f64, "N = {n}, Δ = {delta}: {got} {want}");
            }
        }
    }
}

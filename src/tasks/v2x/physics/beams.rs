//! Beams: what an action radiates, from the estimates of the last echo.

use super::spec::{Beam, V2xParams, V2xSpec};
use super::state::State;
use crate::num::real::{Real, c};
use crate::tasks::v2x::array::{KMAX, dirichlet};
use crate::tasks::v2x::forcing::{Square, regularised_mix};

/// Powers that water-fill `p_max` over channels of SNR-per-watt `gain` (all positive): maximises Σ log2(1 + p·gain).
#[inline(always)]
pub fn water_fill<V: Real>(k: usize, p_max: V, gain: &[V; KMAX]) -> [V; KMAX] {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut active = [one; KMAX];
    let mut floor = [zero; KMAX];
    for i in 0..k {
        floor[i] = one / gain[i];
    }
    let mut level = zero;
    // Each round drops every channel whose floor is above the water; none that is dropped can be in the optimum.
    for _ in 0..k {
        let mut n = zero;
        let mut sum = p_max;
        for i in 0..k {
            n += active[i];
            sum += active[i] * floor[i];
        }
        level = sum / n;
        for i in 0..k {
            active[i] = V::select(floor[i].lt(level), active[i], zero);
        }
    }
    let mut p = [zero; KMAX];
    for i in 0..k {
        p[i] = active[i] * (level - floor[i]).max(zero);
    }
    p
}

/// SNR per watt of a matched beam without interference: N_TA·α_0·d^−ρ/σ_c².
#[inline(always)]
pub fn comm_snr_per_watt<V: Real>(p: &V2xParams, d: V) -> V {
    comm_gain(p, d) / V::splat(f64::from(p.noise_comm_w))
}

/// l of regularised zero-forcing ([`forcing`](crate::tasks::v2x::forcing)) towards vehicles at these distances, m;
/// those below the floor count as at it.
#[inline(always)]
pub fn loading<V: Real>(k: usize, p: &V2xParams, d: &[V; KMAX]) -> [V; KMAX] {
    let mut out = [V::splat(0.0); KMAX];
    for i in 0..k {
        let snr = c!(p.p_max_w) * comm_snr_per_watt(p, d[i].max(c!(p.d_floor_m)));
        out[i] = (c!(p.zf_regularisation) * V::splat(k as f64)) / snr;
    }
    out
}

#[inline(always)]
pub(super) fn comm_gain<V: Real>(p: &V2xParams, d: V) -> V {
    V::splat(f64::from(p.comm_gain)) * (V::splat(-f64::from(p.path_loss_exponent)) * d.ln()).exp()
}

/// |aᴴ(θ_k) f_i|² as `gain[k][i]`, |d(aᴴ(θ_k) f_k)/dθ|² as `slope2[k]`, and the powers.
pub(in crate::tasks::v2x) struct Beams<V> {
    pub gain: [[V; KMAX]; KMAX],
    pub slope2: [V; KMAX],
    pub power: [V; KMAX],
}

/// What explicit beams are a residual on: half the cosines of the last estimates, and how the steering vectors there
/// are mixed.
pub(in crate::tasks::v2x) struct Base<V> {
    pub half: [V; KMAX],
    pub mix: Square<V>,
}

#[inline(always)]
pub(in crate::tasks::v2x) fn base_of<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    last: &State<V>,
) -> Base<V> {
    let zero = V::splat(0.0);
    let mut base = Base { half: [zero; KMAX], mix: [[zero; KMAX]; KMAX] };
    if spec.beam.is_raw() {
        return base;
    }
    let mut cos = [zero; KMAX];
    for i in 0..k {
        cos[i] = last.obs_theta[i].sin_cos().1;
        base.half[i] = cos[i] * V::splat(0.5);
    }
    if spec.beam == Beam::OnZf {
        base.mix = regularised_mix(k, spec.antennas, &cos, &loading(k, p, &last.obs_d));
    }
    base
}

/// Element `m` of the K beams, (re, im) each, and of the steering vectors that turn their raw numbers.
#[inline(always)]
pub(in crate::tasks::v2x) fn antenna<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    base: &Base<V>,
    act: &[V],
    m: usize,
) -> ([[V; 2]; KMAX], [[V; 2]; KMAX]) {
    let (zero, n) = (V::splat(0.0), spec.antennas);
    let (mut f, mut a) = ([[zero; 2]; KMAX], [[zero; 2]; KMAX]);
    for i in 0..k {
        f[i] = [act[i * n + m], act[(k + i) * n + m]];
    }
    if spec.beam.is_raw() {
        return (f, a);
    }
    // e^{−jπ w (2m − N + 1)/2}: the phase of the middle of the array is 0.
    let turns = (2 * m).abs_diff(n - 1) as u32;
    let side = V::splat(if 2 * m < n - 1 { 1.0 } else { -1.0 });
    for i in 0..k {
        let (s, c) = V::sin_cos_pi_multiple(base.half[i], turns);
        a[i] = [c, side * s];
    }
    let scale = c!(p.matrix_scale);
    for i in 0..k {
        let ([re, im], [c, s]) = (f[i], a[i]);
        let [mut x, mut y] = [c, s];
        if spec.beam == Beam::OnZf {
            (x, y) = (zero, zero);
            for q in 0..k {
                x += base.mix[q][i] * a[q][0];
                y += base.mix[q][i] * a[q][1];
            }
        }
        f[i] = [x + scale * (c * re - s * im), y + scale * (c * im + s * re)];
    }
    (f, a)
}

#[inline(always)]
pub(in crate::tasks::v2x) fn softmax_power<V: Real>(k: usize, p_max: f32, logits: &[V]) -> [V; KMAX] {
    let mut top = logits[0];
    for l in &logits[1..k] {
        top = top.max(*l);
    }
    let mut power = [V::splat(0.0); KMAX];
    let mut sum = V::splat(0.0);
    for i in 0..k {
        power[i] = (logits[i] - top).exp();
        sum += power[i];
    }
    let scale = V::splat(f64::from(p_max)) / sum;
    for w in power.iter_mut().take(k) {
        *w *= scale;
    }
    power
}

/// Sine and cosine of the steering angle of beam `i`, from its number `a` of the action.
#[inline(always)]
pub(in crate::tasks::v2x) fn aim<V: Real>(
    spec: &V2xSpec,
    p: &V2xParams,
    last: &State<V>,
    i: usize,
    a: V,
) -> (V, V) {
    match spec.beam {
        Beam::Angles => V::sin_cos_pi_multiple(a.sigmoid(), 1),
        Beam::Tracking | Beam::Zf => {
            (last.obs_theta[i] + V::splat(f64::from(p.tracking_delta_rad)) * a.tanh()).sin_cos()
        }
        _ => a.sin_cos(),
    }
}

/// φ_k, the angles that the beams are steered at, rad: of [`Beam::Zf`] and [`Beam::Span`] those that they are formed
/// from; of explicit beams those of their mean phase step, cos φ = −arg(Σ_n f_n* f_{n+1})/π, which a steering vector
/// has at its own angle (π/2 where that sum is 0). `last` has the estimates before the slot.
#[inline(always)]
pub fn pointed<V: Real>(spec: &V2xSpec, k: usize, p: &V2xParams, last: &State<V>, act: &[V]) -> [V; KMAX] {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut phi = [zero; KMAX];
    if spec.beam.is_matrix() {
        let base = base_of(spec, k, p, last);
        let (mut re_step, mut im_step) = ([zero; KMAX], [zero; KMAX]);
        let mut before = [[zero; 2]; KMAX];
        for m in 0..spec.antennas {
            let (f, _) = antenna(spec, k, p, &base, act, m);
            for i in 0..k {
                let ([x, y], [re, im]) = (before[i], f[i]);
                re_step[i] += x * re + y * im;
                im_step[i] += x * im - y * re;
            }
            before = f;
        }
        for i in 0..k {
            let none = (re_step[i].abs() + im_step[i].abs()).lt(V::splat(1e-30));
            let turn = im_step[i].abs().atan2_upper(V::select(none, one, re_step[i]));
            let share = turn * V::splat(std::f64::consts::FRAC_1_PI);
            let cos = V::select(im_step[i].lt(zero), share, zero - share);
            phi[i] = ((one - cos) * (one + cos)).max(zero).sqrt().atan2_upper(cos);
        }
        return phi;
    }
    for i in 0..k {
        phi[i] = match spec.beam {
            Beam::Angles => V::splat(std::f64::consts::PI) * act[i].sigmoid(),
            Beam::Tracking | Beam::Zf => last.obs_theta[i] + c!(p.tracking_delta_rad) * act[i].tanh(),
            _ => act[i],
        };
    }
    phi
}

#[inline(always)]
pub(in crate::tasks::v2x) fn beams<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    sin: &[V; KMAX],
    cos: &[V; KMAX],
    last: &State<V>,
    act: &[V],
) -> Beams<V> {
    let zero = V::splat(0.0);
    let n = spec.antennas;
    let mut out = Beams { gain: [[zero; KMAX]; KMAX], slope2: [zero; KMAX], power: [zero; KMAX] };
    let centre = V::splat((n as f64 - 1.0) / 2.0);
    if spec.beam.is_matrix() {
        match spec.beam {
            Beam::Direct => out.power[..k].copy_from_slice(&act[2 * k * n..][..k]),
            _ => out.power = softmax_power(k, p.p_max_w, &act[2 * k * n..]),
        }
        let base = base_of(spec, k, p, last);
        let mut norm = [zero; KMAX];
        // Σ_n e^{+jπ n u} f_n of every vehicle and beam, and Σ_n n e^{…} f_n of the vehicle's own.
        let (mut re_sum, mut im_sum) = ([[zero; KMAX]; KMAX], [[zero; KMAX]; KMAX]);
        let (mut re_slope, mut im_slope) = ([zero; KMAX], [zero; KMAX]);
        for m in 0..n {
            let (f, _) = antenna(spec, k, p, &base, act, m);
            for i in 0..k {
                let [re, im] = f[i];
                norm[i] += re * re + im * im;
            }
            for j in 0..k {
                let (sm, cm) = V::sin_cos_pi_multiple(cos[j], m as u32);
                for i in 0..k {
                    let [re, im] = f[i];
                    let (x, y) = (cm * re - sm * im, cm * im + sm * re);
                    re_sum[j][i] += x;
                    im_sum[j][i] += y;
                    if i == j {
                        re_slope[j] += V::splat(m as f64) * x;
                        im_slope[j] += V::splat(m as f64) * y;
                    }
                }
            }
        }
        let per_antenna = V::splat(1.0 / n as f64);
        for j in 0..k {
            for i in 0..k {
                let unit = per_antenna / norm[i].max(V::splat(1e-20));
                out.gain[j][i] = (re_sum[j][i] * re_sum[j][i] + im_sum[j][i] * im_sum[j][i]) * unit;
                if i == j {
                    let turn = V::splat(std::f64::consts::PI) * sin[j];
                    out.slope2[j] =
                        (turn * turn) * ((re_slope[j] * re_slope[j] + im_slope[j] * im_slope[j]) * unit);
                }
            }
        }
        return out;
    }
    // Steered beams: cosines of the K steering angles.
    let mut w = [zero; KMAX];
    for i in 0..k {
        w[i] = aim(spec, p, last, i, act[i]).1;
    }
    match spec.beam {
        Beam::Steer => out.power[..k].copy_from_slice(&act[k..2 * k]),
        Beam::Span => out.power[..k].copy_from_slice(&act[k + k * k..2 * k + k * k]),
        _ => out.power = softmax_power(k, p.p_max_w, &act[k..]),
    }
    let mut mix = [[zero; KMAX]; KMAX];
    match spec.beam {
        Beam::Span => {
            for q in 0..k {
                mix[q][..k].copy_from_slice(&act[k + q * k..][..k]);
            }
        }
        Beam::Zf => mix = regularised_mix(k, n, &w, &loading(k, p, &last.obs_d)),
        _ => {}
    }
    for j in 0..k {
        let mut resp = [zero; KMAX];
        let mut slope = zero;
        if matches!(spec.beam, Beam::Span | Beam::Zf) {
            for q in 0..k {
                let (d, e) = dirichlet(cos[j] - w[q], n);
                for i in 0..k {
                    resp[i] += d * mix[q][i];
                }
                slope += e * mix[q][j];
            }
        } else {
            for i in 0..k {
                let (d, e) = dirichlet(cos[j] - w[i], n);
                resp[i] = d;
                if i == j {
                    slope = e;
                }
            }
        }
        for i in 0..k {
            out.gain[j][i] = resp[i] * resp[i];
        }
        let turn = V::splat(std::f64::consts::PI) * sin[j];
        let lever = centre * resp[j];
        out.slope2[j] = (turn * turn) * (lever * lever + slope * slope);
    }
    out
}

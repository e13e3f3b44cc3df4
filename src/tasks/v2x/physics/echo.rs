//! What vehicles and radar hear of the beams: SINRs, the accuracy of the echo, and the limits of an episode.

use super::beams::{Beams, beams, comm_gain};
use super::spec::{V2xParams, V2xSpec};
use super::state::State;
use crate::num::real::{Real, c};
use crate::tasks::v2x::array::KMAX;

#[inline(always)]
pub(super) fn log2_1p<V: Real>(x: V) -> V {
    (V::splat(1.0) + x).ln() * V::splat(std::f64::consts::LOG2_E)
}

/// What the vehicles and the unit hear of a slot's beams.
pub(in crate::tasks::v2x) struct Heard<V> {
    /// 1/d², m⁻²
    pub inv_d2: [V; KMAX],
    /// What carries to a vehicle, (12) over p·|aᴴf|², and what it hears beside that of its own beam, W before it.
    pub carried: [V; KMAX],
    pub interference: [V; KMAX],
    pub sinr: [V; KMAX],
    pub rate: [V; KMAX],
    /// Of the other beams, W/m²; the radar's SINR; p·|d(aᴴf)/dθ|²/d².
    pub clutter: [V; KMAX],
    pub radar: [V; KMAX],
    pub lit: [V; KMAX],
    /// Without caps, but with [`Choices::caps_in_reward`].
    pub crlb_theta: [V; KMAX],
    pub crlb_d: [V; KMAX],
    pub sum_rate: V,
    /// Σ_k rate²
    pub square: V,
    pub jain: V,
    pub mean_theta: V,
    pub mean_d: V,
}

/// Below these SINRs of the radar and these p·|d(aᴴf)/dθ|²/d² nothing is divided.
pub(in crate::tasks::v2x) const RADAR_FLOOR: f64 = 1e-20;
pub(in crate::tasks::v2x) const LIT_FLOOR: f64 = 1e-30;

/// (12), (13), (8), (22), (23), (28) of beams at the true distances of `s`.
#[inline(always)]
pub(in crate::tasks::v2x) fn hear<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    b: &Beams<V>,
    s: &State<V>,
) -> Heard<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let each = [zero; KMAX];
    let mut h = Heard {
        inv_d2: each,
        carried: each,
        interference: each,
        sinr: s.obs_sinr,
        rate: each,
        clutter: each,
        radar: each,
        lit: each,
        crlb_theta: each,
        crlb_d: each,
        sum_rate: zero,
        square: zero,
        jain: zero,
        mean_theta: zero,
        mean_d: zero,
    };
    for i in 0..k {
        h.inv_d2[i] = one / (s.d[i] * s.d[i]);
    }
    let (mut crlb_theta_sum, mut crlb_d_sum) = (zero, zero);
    for j in 0..k {
        // (12), (13)
        let (mut interference, mut clutter) = (zero, zero);
        for i in 0..k {
            if i != j {
                let power = b.power[i] * b.gain[j][i];
                interference += power;
                clutter += power * h.inv_d2[i];
            }
        }
        let gain = comm_gain(p, s.d[j]);
        let own = b.power[j] * b.gain[j][j];
        let sinr = (gain * own) / (gain * interference + c!(p.noise_comm_w));
        h.sinr[j] = sinr;
        h.rate[j] = log2_1p(sinr);
        h.sum_rate += h.rate[j];
        h.square += h.rate[j] * h.rate[j];
        // (8), (23), (22)
        let echo = c!(p.radar_gain);
        h.radar[j] = ((echo * (own * h.inv_d2[j])) / (echo * clutter + c!(p.noise_radar_w)))
            .max(V::splat(RADAR_FLOOR));
        h.lit[j] = ((b.power[j] * b.slope2[j]) * h.inv_d2[j]).max(V::splat(LIT_FLOOR));
        h.crlb_d[j] = c!(p.crlb_d_scale) / h.radar[j];
        h.crlb_theta[j] = c!(p.crlb_theta_scale) / h.lit[j];
        if spec.choices.caps_in_reward {
            h.crlb_d[j] = h.crlb_d[j].min(c!(p.cap_d_m) * c!(p.cap_d_m));
            h.crlb_theta[j] = h.crlb_theta[j].min(c!(p.cap_theta_rad) * c!(p.cap_theta_rad));
        }
        crlb_d_sum += h.crlb_d[j];
        crlb_theta_sum += h.crlb_theta[j];
        (h.carried[j], h.interference[j], h.clutter[j]) = (gain, interference, clutter);
    }
    let per_vehicle = V::splat(1.0 / k as f64);
    (h.mean_d, h.mean_theta) = (crlb_d_sum * per_vehicle, crlb_theta_sum * per_vehicle);
    // (28)
    h.jain =
        (c!(p.jain_scale) * (h.sum_rate * h.sum_rate)) / (V::splat(k as f64) * h.square + V::splat(1e-30));
    h
}

/// How far the mean of a bound lies beyond its limit, nepers: 0 where (24a, b) hold.
#[inline(always)]
pub(in crate::tasks::v2x) fn beyond<V: Real>(limit: f32, mean: V) -> V {
    (mean.ln() - c!(limit).ln()).max(V::splat(0.0))
}

/// What [`Limits::Episode`] limits of CRLB_θ and CRLB_d, with this slot's added to the past.
#[inline(always)]
pub(super) fn so_far<V: Real>(k: usize, p: &V2xParams, h: &Heard<V>, s: &mut State<V>) -> [V; 2] {
    let (mut theta, mut d) = (V::splat(0.0), V::splat(0.0));
    for j in 0..k {
        theta += h.crlb_theta[j].min(c!(p.cap_theta_rad) * c!(p.cap_theta_rad));
        d += h.crlb_d[j].min(c!(p.cap_d_m) * c!(p.cap_d_m));
    }
    let per_vehicle = V::splat(1.0 / k as f64);
    let [sum_theta, sum_d, slots] = s.past;
    let slots = slots + V::splat(1.0);
    s.past = [sum_theta + theta * per_vehicle, sum_d + d * per_vehicle, slots];
    [s.past[0] / slots, s.past[1] / slots]
}

/// γ̂ without feedback: (12) of the beams and powers that the unit sent, at the angles and distances of the echo of
/// `s`. `last` has the estimates round which the beams were built. Distances below the floor count as at it.
#[inline(always)]
pub(super) fn own_sinr<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    act: &[V],
    last: &State<V>,
    s: &State<V>,
) -> [V; KMAX] {
    let mut seen = *s;
    let (mut sin, mut cos) = ([V::splat(0.0); KMAX], [V::splat(0.0); KMAX]);
    for i in 0..k {
        (sin[i], cos[i]) = s.obs_theta[i].sin_cos();
        seen.d[i] = s.obs_d[i].max(c!(p.d_floor_m));
    }
    hear(spec, k, p, &beams(spec, k, p, &sin, &cos, last, act), &seen).sinr
}

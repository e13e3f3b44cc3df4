//! The channel (2), (8) of a slot, beams (10), and the gains in which beams are judged and learned. The channel is
//! drawn from counters of its own, and so is the same wherever it is drawn.

use super::spec::{Ageing, KMAX, MMAX, MisacParams, MisacSpec};
use super::state::{State, beta, estimated_cos, geometry, seen_error, stream};
use crate::nets::experts::Phase;
use crate::num::philox::draw;
use crate::num::real::{Real, c};

/// Rows of what the beams of one vehicle reached in one slot: [`Gains`].
pub mod gain_row {
    /// |h^H v|² of the vehicle's own beam.
    pub const GAIN: usize = 0;
    /// (Σ_m |h_m|)²/M: the most that beams of constant modulus reach.
    pub const MATCHED: usize = 1;
    /// |h^H v|² of the phases −π·m·cos θ̂.
    pub const ESTIMATE: usize = 2;
    /// |h^H v|² of the phases −π·m·cos θ.
    pub const TRUTH: usize = 3;
    /// Signal over interference and noise of (1).
    pub const SINR: usize = 4;
    /// log2(1 + SINR), bps/Hz.
    pub const RATE: usize = 5;
    /// max_m | |v_m| − 1/√M | (9b).
    pub const MODULUS_ERROR: usize = 6;
    /// Power of the beam, W; (9c) bounds its sum over vehicles.
    pub const POWER: usize = 7;
    pub const ROWS: usize = 8;
    /// Names in files and reports.
    pub const NAMES: [&str; ROWS] = [
        "beam_gain",
        "beam_gain_matched",
        "beam_gain_estimate",
        "beam_gain_truth",
        "sinr",
        "rate_bps_hz",
        "modulus_error",
        "beam_power_w",
    ];
}

/// The channel h_k of one vehicle in one slot, `[M]` each part.
#[derive(Clone, Copy)]
pub struct Channel<V> {
    pub re: [V; MMAX],
    pub im: [V; MMAX],
}

/// (2) and (8) of vehicle `i` in the slot `clock`, for the state *before* [`step`](super::step): line of sight,
/// scatterers with fresh phases, and Δh ~ CN(0, ρ·P_misa/M·I), joined as [`Ageing`] says. E‖ĥ‖² = M; the path loss is
/// apart.
#[inline(always)]
pub fn channel<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    h: &mut Channel<V>,
) {
    channel_elements(
        spec,
        p,
        s,
        i,
        env,
        clock,
        #[inline(always)]
        |m, re, im| (h.re[m], h.im[m]) = (re, im),
    );
}

/// The elements of [`channel`] one by one: `put(m, re, im)`.
#[inline(always)]
pub fn channel_elements<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    mut put: impl FnMut(usize, V, V),
) {
    let one = V::splat(1.0);
    let (cos, _, _) = geometry(p, s.x[i]);
    let misaligned = one - (-(beta(spec, p, s, i) * s.age[i])).exp();
    // A real and an imaginary part each have half the variance.
    let (mut los, mut scatter) = (c!(p.los), c!(p.scatter));
    let sigma = match spec.choices.ageing {
        Ageing::Independent => {
            (V::splat(0.5 * f64::from(p.csi_error)) * misaligned).max(V::splat(0.0)).sqrt()
        }
        Ageing::PowerPreserving => {
            let lost = (c!(p.csi_error) * misaligned).max(V::splat(0.0)).min(one);
            let kept = (one - lost).sqrt();
            (los, scatter) = (los * kept, scatter * kept);
            (V::splat(0.5) * lost).sqrt()
        }
    };
    let phases = draw(p.key, stream::PHASE, env, clock, i as u32);
    let paths = [
        (cos, los, V::sin_cos_word(phases[0])),
        (s.scatter[0][i], scatter, V::sin_cos_word(phases[1])),
        (s.scatter[1][i], scatter, V::sin_cos_word(phases[2])),
    ];
    let blocks = spec.antennas.div_ceil(2);
    for b in 0..blocks {
        let w = draw(p.key, stream::CSI, env, clock, (i * blocks + b) as u32);
        for half in 0..2 {
            let m = 2 * b + half;
            if m >= spec.antennas {
                break;
            }
            let (z0, z1) = V::normal_pair(w[2 * half], w[2 * half + 1]);
            let (mut re, mut im) = (sigma * z0, sigma * z1);
            for (u, amplitude, (sin, cos)) in paths {
                // e^{jφ}·e^{−jπ m u}
                let (sm, cm) = V::sin_cos_pi_multiple(u, m as u32);
                re += amplitude * (cos * cm + sin * sm);
                im += amplitude * (sin * cm - cos * sm);
            }
            put(m, re, im);
        }
    }
}

/// √M·v_m = e^{jΦ_m} of (10), real and imaginary part, for the estimated cosine `cos_hat` of the vehicle.
#[inline(always)]
pub fn beam_element<V: Real>(phase: Phase, cos_hat: V, m: usize, phi: V) -> (V, V) {
    let (sin, cos) = phi.sin_cos();
    match phase {
        Phase::Direct => (cos, sin),
        Phase::Residual => {
            let (sm, cm) = V::sin_cos_pi_multiple(cos_hat, m as u32);
            (cos * cm + sin * sm, sin * cm - cos * sm)
        }
    }
}

/// conj(h)·w of one antenna.
#[inline(always)]
fn conj_product<V: Real>(h: (V, V), w: (V, V)) -> (V, V) {
    (h.0 * w.0 + h.1 * w.1, h.0 * w.1 - h.1 * w.0)
}

/// What the beams of a slot are worth to one vehicle; rows and units as in [`gain_row`].
#[derive(Clone, Copy, Debug)]
pub struct Gains<V> {
    pub gain: V,
    pub matched: V,
    pub estimate: V,
    pub truth: V,
    pub sinr: V,
    pub rate: V,
    pub modulus_error: V,
    pub power: V,
}

/// The beams of a slot, of which vehicle j has the phases `phi(j·M + m)` (rad), as vehicle `i` receives them (1); the
/// state is the one before [`step`](super::step). Every beam is sent with `beam_power_w`, over the path loss of vehicle
/// i.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a slot of one vehicle and what its beams are made of")]
pub fn gains<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    phase: Phase,
    phi: impl Fn(usize) -> V,
) -> Gains<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let (k, n) = (spec.vehicles, spec.antennas);
    let per_antenna = V::splat(1.0 / n as f64);
    let mut cos_hat = [zero; KMAX];
    for j in 0..k {
        cos_hat[j] = estimated_cos(p, s.x[j], seen_error(spec, p, s, j, env, clock));
    }
    let (cos, _, _) = geometry(p, s.x[i]);
    // Σ conj(h_m)·e^{jΦ_m} of every beam, then of the two references.
    let (mut re, mut im) = ([zero; KMAX + 2], [zero; KMAX + 2]);
    let (mut amplitudes, mut off, mut power) = (zero, zero, zero);
    channel_elements(
        spec,
        p,
        s,
        i,
        env,
        clock,
        #[inline(always)]
        |m, hr, hi| {
            for j in 0..k {
                let w = beam_element(phase, cos_hat[j], m, phi(j * n + m));
                let t = conj_product((hr, hi), w);
                re[j] += t.0;
                im[j] += t.1;
                if j == i {
                    let square = w.0 * w.0 + w.1 * w.1;
                    off = off.max((square.sqrt() - one).abs());
                    power += square;
                }
            }
            for (j, u) in [cos_hat[i], cos].into_iter().enumerate() {
                let (sm, cm) = V::sin_cos_pi_multiple(u, m as u32);
                let t = conj_product((hr, hi), (cm, -sm));
                re[KMAX + j] += t.0;
                im[KMAX + j] += t.1;
            }
            amplitudes += (hr * hr + hi * hi).sqrt();
        },
    );
    let gain = |j: usize| (re[j] * re[j] + im[j] * im[j]) * per_antenna;
    let mut interference = zero;
    for j in 0..k {
        if j != i {
            interference += gain(j);
        }
    }
    // Received power over noise of a beam of gain 1.
    let d2 = s.x[i] * s.x[i] + c!(p.road_y_m) * c!(p.road_y_m);
    let snr = ((c!(p.beam_power_w) * c!(p.path_gain_m2)) / c!(p.noise_w)) / d2;
    let sinr = (snr * gain(i)) / (snr * interference + one);
    Gains {
        gain: gain(i),
        matched: (amplitudes * amplitudes) * per_antenna,
        estimate: gain(KMAX),
        truth: gain(KMAX + 1),
        sinr,
        rate: (one + sinr).ln() * V::splat(std::f64::consts::LOG2_E),
        modulus_error: off * V::splat(1.0 / (n as f64).sqrt()),
        power: (c!(p.beam_power_w) * per_antenna) * power,
    }
}

/// The gain |h^H v|²/M of vehicle i's own beam in the slot `clock` (state before [`step`](super::step)), and the
/// derivative of M²·|h^H v|²/M by each of its phases, Φ_m: 2·Im(conj(c_m)·Σ c) with c_m = conj(h_m)·e^{jΦ_m}. `phi(m)`
/// are the vehicle's M phases (rad). What (13) is made of.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a slot of one vehicle and its beam")]
pub fn spatial_gain<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
    phase: Phase,
    phi: impl Fn(usize) -> V,
    derivative: &mut [V; MMAX],
) -> V {
    let zero = V::splat(0.0);
    let n = spec.antennas;
    let cos_hat = estimated_cos(p, s.x[i], seen_error(spec, p, s, i, env, clock));
    let mut t = Channel { re: [zero; MMAX], im: [zero; MMAX] };
    let (mut re, mut im) = (zero, zero);
    channel_elements(
        spec,
        p,
        s,
        i,
        env,
        clock,
        #[inline(always)]
        |m, hr, hi| {
            (t.re[m], t.im[m]) = conj_product((hr, hi), beam_element(phase, cos_hat, m, phi(m)));
            re += t.re[m];
            im += t.im[m];
        },
    );
    for (m, out) in derivative.iter_mut().enumerate().take(n) {
        let turned = im * t.re[m] - re * t.im[m];
        *out = turned + turned;
    }
    (re * re + im * im) * V::splat(1.0 / (n as f64 * n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::physics::state::reset;
    use crate::tasks::misac::physics::step;
    use crate::tasks::misac::physics::tests::{SPEC, params};

    #[test]
    fn channel_has_the_power_it_is_normalised_to() {
        let p = params(0.107);
        let mut power = [0.0; 2];
        let n = 400;
        for env in 0..n {
            let mut s = reset::<f64>(&SPEC, &p, env, 0);
            let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
            for (with_error, power) in power.iter_mut().enumerate() {
                s.age = [10.0 * with_error as f64; KMAX];
                channel(&SPEC, &p, &s, 0, env, 5, &mut h);
                *power += (0..64).map(|m| h.re[m] * h.re[m] + h.im[m] * h.im[m]).sum::<f64>();
            }
        }
        let misaligned = 1.0 - (-f64::from(p.beta) * 10.0).exp();
        for (got, want) in power.iter().zip([64.0, 64.0 * (1.0 + 0.1 * misaligned)]) {
            let got = got / f64::from(n);
            // The scatterers' interference with the line of sight spreads ‖h‖² by a few per cent.
            assert!((got / want - 1.0).abs() < 0.02, "{got} against {want}");
        }
    }

    #[test]
    fn beams_from_the_estimate_and_from_the_truth_reach_their_known_shares_of_matched_phases() {
        use crate::tasks::misac::dp::Schedule;
        let beta = 0.055 + 0.165 * 10f64.powf(-0.5);
        let p = params(beta as f32);
        let problem = Schedule {
            beta: vec![f64::from(p.beta); 4],
            e_vis_j: 10.0,
            e_recovery_j: 25.0,
            t_proc: 0,
            age_max: 10,
            lambda_j: 200.0,
            gamma_misa: 0.15,
            realign: false,
        };
        let values = problem.solve(1e-7, 10_000).unwrap().values;
        let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
        let (mut matched, mut truth, mut estimate) = (0.0, 0.0, 0.0);
        for env in 0..40 {
            let mut s = reset::<f64>(&SPEC, &p, env, 0);
            for n in 0..200 {
                if n % 5 == 0 {
                    for i in 0..4 {
                        channel(&SPEC, &p, &s, i, env, n, &mut h);
                        // |h^H v|² of unit-modulus phases −π m u, and of arg h.
                        let gain = |u: f64| {
                            let (mut re, mut im) = (0.0, 0.0);
                            for m in 0..64 {
                                let (sin, cos) = f64::sin_cos_pi_multiple(u, m as u32);
                                re += h.re[m] * cos - h.im[m] * sin;
                                im += h.re[m] * sin + h.im[m] * cos;
                            }
                            (re * re + im * im) / 64.0
                        };
                        truth += gain(geometry(&p, s.x[i]).0);
                        estimate += gain(estimated_cos(&p, s.x[i], s.e[i]));
                        let sum: f64 = (0..64).map(|m| h.re[m].hypot(h.im[m])).sum();
                        matched += sum * sum / 64.0;
                    }
                }
                let ages: Vec<usize> = s.age[..4].iter().map(|a| *a as usize).collect();
                let pi: Vec<f64> = problem.decide(&ages, &values).iter().map(|b| f64::from(*b)).collect();
                step(&SPEC, &p, env, n, &pi, &mut s);
            }
        }
        println!("truth {:.4}, estimate {:.4}", truth / matched, estimate / matched);
        assert!((truth / matched - 0.947).abs() < 0.006, "true angle {}", truth / matched);
        assert!((estimate / matched - 0.917).abs() < 0.012, "estimated angle {}", estimate / matched);
    }

    /// `gains` against its definition in complex arithmetic written out, with random phases, in f64; and in f32.
    #[test]
    fn gains_are_their_definitions() {
        let p = params(0.107);
        let (k, m) = (SPEC.vehicles, SPEC.antennas);
        let phase = |j: usize, m: usize| ((j * 64 + m) as f64 * 1.7).sin() * 3.0;
        let mut s = reset::<f64>(&SPEC, &p, 11, 0);
        s.e = [0.01; KMAX];
        s.age = [3.0; KMAX];
        let narrow = |x: &[f64; KMAX]| x.map(|x| x as f32);
        let t = State {
            x: narrow(&s.x),
            v: narrow(&s.v),
            age: narrow(&s.age),
            e: narrow(&s.e),
            scatter: [narrow(&s.scatter[0]), narrow(&s.scatter[1])],
            turn: narrow(&s.turn),
        };
        for i in 0..k {
            let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
            channel(&SPEC, &p, &s, i, 11, 4, &mut h);
            let phi = |n: usize| phase(n / m, n % m);
            let g = gains(&SPEC, &p, &s, i, 11, 4, Phase::Direct, phi);
            // |h^H v|² with v = e^{jΦ}/√M
            let product = |phase: &dyn Fn(usize) -> f64| {
                let sum = (0..m).fold(num_complex::Complex64::ZERO, |sum, m| {
                    let h = num_complex::Complex64::new(h.re[m], h.im[m]);
                    sum + h.conj() * num_complex::Complex64::from_polar(1.0 / 8.0, phase(m))
                });
                sum.norm_sqr()
            };
            let close = |got: f64, want: f64, what: &str| {
                assert!((got - want).abs() < 1e-9 * want.max(1.0), "{what}: {got} against {want}")
            };
            let own = product(&|m| phase(i, m));
            close(g.gain, own, "own");
            let others: f64 = (0..k).filter(|j| *j != i).map(|j| product(&|m| phase(j, m))).sum();

            close(g.matched, product(&|m| h.im[m].atan2(h.re[m])), "matched");
            let theta = (-s.x[i]).atan2(20.0);
            let cos = |theta: f64| theta.sin();
            close(g.truth, product(&|m| -std::f64::consts::PI * m as f64 * cos(theta)), "truth");
            // θ grows where its cosine falls.
            close(
                g.estimate,
                product(&|m| -std::f64::consts::PI * m as f64 * cos(theta - s.e[i])),
                "estimate",
            );
            let d2 = s.x[i] * s.x[i] + 400.0;
            let (power, noise) = (f64::from(p.beam_power_w * p.path_gain_m2) / d2, f64::from(p.noise_w));
            let sinr = power * own / (power * others + noise);
            assert!((g.rate - (1.0 + sinr).log2()).abs() < 1e-6, "rate");
            close(g.power, f64::from(p.beam_power_w), "power");
            assert!(g.modulus_error < 1e-15);
            // No correction to the steering phases is the beam of the estimate.
            close(gains(&SPEC, &p, &s, i, 11, 4, Phase::Residual, |_| 0.0).gain, g.estimate, "residual");

            let g32 = gains(&SPEC, &p, &t, i, 11, 4, Phase::Direct, |n| phi(n) as f32);
            for (a, b) in [(g32.gain, g.gain), (g32.matched, g.matched)] {
                assert!((f64::from(a) - b).abs() < 1e-3 * g.matched, "{a} in f32, {b} in f64");
            }
            assert!(g32.modulus_error < 1e-6, "{}", g32.modulus_error);
        }
    }
}

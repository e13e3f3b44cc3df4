//! L_spat (13) in lanes: the channel of every sample drawn where it is needed, gains of the beams (10), and the loss's
//! gradient by the phases.

use crate::env::BeamSamples;
use crate::num::real::{F32Lanes, LaneKernel, Real, run_lanes};
use crate::tasks::misac::physics::{Channel, MMAX, MisacParams, MisacSpec, State, channel, load_state};

/// Samples of one slot of one replica.
pub(super) struct SpatialLoss<'a> {
    pub spec: &'a MisacSpec,
    pub params: &'a MisacParams,
    pub samples: BeamSamples<'a>,
}

/// Gain |h^H v|²/M of one vehicle with v = e^{jΦ}/√M, and its gradient by Φ in place of Φ.
#[inline(always)]
pub(super) fn gain_and_slope<V: Real>(m: usize, h: &mut Channel<V>, phases: &mut [V; MMAX]) -> V {
    let (mut re, mut im) = (V::splat(0.0), V::splat(0.0));
    for i in 0..m {
        // conj(h_m)·e^{jΦ_m}
        let (sin, cos) = phases[i].sin_cos();
        let (a, b) = (h.re[i] * cos + h.im[i] * sin, h.re[i] * sin - h.im[i] * cos);
        (h.re[i], h.im[i]) = (a, b);
        re += a;
        im += b;
    }
    // |c|² = |Σ a|²/M; ∂|c|²/∂Φ_m = 2 Re(conj(c)·j·a_m)/√M
    let scale = V::splat(2.0 / (m * m) as f64);
    for i in 0..m {
        phases[i] = scale * (im * h.re[i] - re * h.im[i]);
    }
    (re * re + im * im) * V::splat(1.0 / (m * m) as f64)
}

impl SpatialLoss<'_> {
    /// Adds nothing up: writes the gradient of −weight·Σ gain, and returns Σ gain over samples and vehicles.
    pub fn run(self) -> f64 {
        run_lanes(self)
    }
}

impl LaneKernel for SpatialLoss<'_> {
    type Out = f64;
    #[inline(always)]
    fn run<V: F32Lanes>(self) -> f64 {
        let SpatialLoss { spec, params, samples } = self;
        let (k, m, stride) = (spec.vehicles, spec.antennas, samples.ids.len());
        let zero = V::splat(0.0);
        let weight = V::splat_f32(-samples.weight);
        let mut h = Channel { re: [zero; MMAX], im: [zero; MMAX] };
        let mut phases = [zero; MMAX];
        let mut lanes = [0f32; BeamSamples::GROUP];
        let mut sum = 0.0;
        for at in (0..samples.n).step_by(V::LANES) {
            let here = V::LANES.min(samples.n - at);
            for (x, id) in lanes.iter_mut().zip(&samples.ids[at..at + V::LANES]) {
                *x = f32::from_bits(*id);
            }
            let ids = V::load(&lanes).to_bits();
            let s: State<V> = load_state(k, samples.state, stride, at);
            for i in 0..k {
                channel(spec, params, &s, i, ids, samples.clock, &mut h);
                let steer = samples.steer.map(|(cos, ld)| {
                    for l in 0..here {
                        lanes[l] = cos[(at + l) * ld + i];
                    }
                    V::load(&lanes) * V::splat(-std::f64::consts::PI)
                });
                for q in 0..m {
                    for l in 0..here {
                        lanes[l] = samples.out[(at + l) * samples.ld + i * m + q];
                    }
                    phases[q] = V::load(&lanes);
                    if let Some(turn) = steer {
                        phases[q] += turn * V::splat(q as f64);
                    }
                }
                let gain = gain_and_slope(m, &mut h, &mut phases);
                gain.store(&mut lanes);
                sum += lanes[..here].iter().map(|x| f64::from(*x)).sum::<f64>();
                for q in 0..m {
                    (weight * phases[q]).store(&mut lanes);
                    for l in 0..here {
                        samples.d_out[(at + l) * samples.ld + i * m + q] = lanes[l];
                    }
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::misac::physics::{estimated_cos, reset, store_state};

    #[test]
    fn lanes_equal_the_definition_and_its_central_differences() {
        let config =
            MisacConfig::load(None, &["task.vehicles=3".into(), "task.antennas=9".into()]).expect("valid");
        let (spec, params) = (config.task.spec(), config.task.params([3, 8]));
        let (k, m, n, ld, clock) = (3, 9, 21usize, 35, 4);
        let padded = n.next_multiple_of(BeamSamples::GROUP);
        let ids: Vec<u32> = (0..padded as u32).map(|i| 100 + 7 * i).collect();
        let states: Vec<State<f32>> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| {
                let mut s = reset::<f32>(&spec, &params, *id, 0);
                s.age = [(i % 5) as f32; 8];
                s
            })
            .collect();
        let mut state = vec![0f32; spec.state_rows() * padded];
        states.iter().enumerate().for_each(|(i, s)| store_state(k, s, &mut state, padded, i));
        let cos: Vec<f32> =
            states.iter().flat_map(|s| (0..k).map(|i| estimated_cos(&params, s.x[i], s.e[i]))).collect();
        let out: Vec<f32> = (0..n * ld).map(|i| ((i * 29) % 64) as f32 * 0.1 - 3.0).collect();
        // A sample's channel in f64, from its f32 state.
        let wide = |s: &State<f32>| {
            let f = |x: [f32; 8]| x.map(f64::from);
            State {
                x: f(s.x),
                v: f(s.v),
                age: f(s.age),
                e: f(s.e),
                scatter: s.scatter.map(f),
                turn: f(s.turn),
            }
        };
        for steer in [false, true] {
            let mut d_out = vec![f32::NAN; n * ld];
            let samples = BeamSamples {
                clock,
                ids: &ids,
                n,
                state: &state,
                weight: 0.5,
                steer: steer.then_some((&cos[..], k)),
                out: &out,
                ld,
                d_out: &mut d_out,
            };
            let sum = SpatialLoss { spec: &spec, params: &params, samples }.run();
            let mut want_sum = 0.0;
            for i in 0..n {
                for vehicle in 0..k {
                    let mut h = Channel { re: [0f64; MMAX], im: [0f64; MMAX] };
                    channel(&spec, &params, &wide(&states[i]), vehicle, ids[i], clock, &mut h);
                    let at = |q: usize| i * ld + vehicle * m + q;
                    let phi: Vec<f64> = (0..m)
                        .map(|q| {
                            let turn = -std::f64::consts::PI * q as f64 * f64::from(cos[i * k + vehicle]);
                            f64::from(out[at(q)]) + if steer { turn } else { 0.0 }
                        })
                        .collect();
                    // |h^H v|²/M from complex numbers.
                    let gain = |phi: &[f64]| {
                        let c: num_complex::Complex64 = phi
                            .iter()
                            .enumerate()
                            .map(|(q, phi)| {
                                num_complex::Complex64::new(h.re[q], -h.im[q])
                                    * num_complex::Complex64::from_polar(1.0 / (m as f64).sqrt(), *phi)
                            })
                            .sum();
                        c.norm_sqr() / m as f64
                    };
                    want_sum += gain(&phi);
                    for q in 0..m {
                        let moved = |delta: f64| {
                            let mut phi = phi.clone();
                            phi[q] += delta;
                            gain(&phi)
                        };
                        let want = -0.5 * (moved(1e-6) - moved(-1e-6)) / 2e-6;
                        let got = f64::from(d_out[at(q)]);
                        assert!(
                            (got - want).abs() < 2e-5,
                            "sample {i}, vehicle {vehicle}, antenna {q}: {got} against {want}"
                        );
                    }
                }
                assert!(d_out[i * ld + k * m].is_nan(), "columns behind the phases were written");
            }
            assert!((sum - want_sum).abs() < 1e-4 * want_sum, "{sum} against {want_sum}");
        }
    }
}

//! Golden vectors of task v2x: one slot from injected states and noises, against a numpy implementation that sums over
//! antennas where the task uses closed forms. On the CPU only: the shader draws its noises itself.

use crate::config::Layered;
use crate::golden::{Backend, GoldenError, Rows, Vectors};
use crate::gpu::Gpu;
use crate::kernels::Tol;
use crate::kernels::compare::compare_f64;
use crate::num::real::Real;
use crate::tasks::v2x::config::V2xConfig;
use crate::tasks::v2x::physics::{Beam, KMAX, Kinematics, Noise, PAST_ROWS, State, V2xParams, V2xSpec, step};

/// Vehicles and antennas of the file.
const K: usize = 3;
const N: usize = 32;

/// What a slot gives, in the file's order: `[E, K]` or `[E]`.
#[derive(Default)]
struct Slots {
    per_vehicle: [Vec<f64>; 10],
    per_slot: [Vec<f64>; 4],
}

/// Names of `per_vehicle`, largest value (caps of the measurement variances), and the tolerance in f64.
const PER_VEHICLE: [(&str, f64, f64, f64); 10] = [
    ("theta1", f64::INFINITY, 2e-7, 2e-6),
    ("d1", f64::INFINITY, 2e-7, 2e-6),
    ("v1", f64::INFINITY, 2e-7, 2e-6),
    ("comm_sinr", f64::INFINITY, 2e-7, 2e-6),
    ("rate", f64::INFINITY, 2e-7, 2e-6),
    ("obs_theta", f64::INFINITY, 4e-6, 2e-6),
    ("obs_d", f64::INFINITY, 4e-6, 2e-6),
    ("obs_v", f64::INFINITY, 4e-6, 2e-6),
    ("crlb_theta", 1.0, 0.0, 1e-5),
    ("crlb_d", 25.0, 0.0, 1e-5),
];
const PER_SLOT: [(&str, f64, f64); 4] =
    [("jain", 1e-9, 2e-6), ("reward", 6e-7, 4e-6), ("indicator", 0.0, 0.0), ("upper_bound", 1e-9, 2e-6)];
const WHY_F64: &str = "parameters are f32 (6e-8); a measurement carries up to 5 m or 5 m/s of noise whose size is known to 2e-7; a reward is three rates";

struct Cases {
    e: usize,
    state: [Vec<f32>; 3],
    p_max_w: Vec<f32>,
    n_dyn: Vec<f32>,
    n_meas: Vec<f32>,
    phi: Vec<f32>,
    p: Vec<f32>,
    f: [Vec<f32>; 2],
}

impl Cases {
    fn of(v: &Vectors) -> Result<Cases, GoldenError> {
        let [e, _] = v.dims("theta")?;
        Ok(Cases {
            e,
            state: [v.f32("theta", &[e, K])?, v.f32("d", &[e, K])?, v.f32("v", &[e, K])?],
            p_max_w: v.f32("p_max_w", &[e])?,
            n_dyn: v.f32("n_dyn", &[e, K, 3])?,
            n_meas: v.f32("n_meas", &[e, K, 3])?,
            phi: v.f32("phi", &[e, K])?,
            p: v.f32("p", &[e, K])?,
            f: [v.f32("matrix.f_re", &[e, K, N])?, v.f32("matrix.f_im", &[e, K, N])?],
        })
    }

    fn run<V: Real<Elem = V> + Into<f64>>(
        &self,
        config: &V2xConfig,
        beam: Beam,
        kinematics: Kinematics,
    ) -> Slots {
        let spec = V2xSpec { beam, kinematics, ..config.task.spec() };
        let num = |x: f32| V::splat(f64::from(x));
        let mut out = Slots::default();
        for c in 0..self.e {
            let params = V2xParams { p_max_w: self.p_max_w[c], ..config.task.params([0, 0]) };
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
            let (mut moved, mut echoed): (Noise<V>, Noise<V>) =
                ([V::splat(0.0); 3 * KMAX], [V::splat(0.0); 3 * KMAX]);
            for k in 0..K {
                [s.theta[k], s.d[k], s.v[k]] = [0, 1, 2].map(|q: usize| num(self.state[q][c * K + k]));
            }
            for j in 0..3 * K {
                (moved[j], echoed[j]) = (num(self.n_dyn[c * 3 * K + j]), num(self.n_meas[c * 3 * K + j]));
            }
            let powers = &self.p[c * K..][..K];
            let mut act = Vec::new();
            if beam == Beam::Matrix {
                for part in &self.f {
                    act.extend(part[c * K * N..][..K * N].iter().map(|&x| num(x)));
                }
                // The softmax of ln p gives the powers back, whose sum is p_max.
                act.extend(powers.iter().map(|&w| V::splat(f64::from(w).ln())));
            } else {
                act.extend(self.phi[c * K..][..K].iter().chain(powers).map(|&x| num(x)));
            }
            let o = step(&spec, K, &params, &moved, &echoed, &act, true, &mut s);
            let groups = [
                &s.theta,
                &s.d,
                &s.v,
                &s.obs_sinr,
                &o.rate,
                &s.obs_theta,
                &s.obs_d,
                &s.obs_v,
                &s.var[0],
                &s.var[1],
            ];
            for (to, from) in out.per_vehicle.iter_mut().zip(groups) {
                to.extend(from[..K].iter().map(|&x| x.into()));
            }
            for (to, from) in out.per_slot.iter_mut().zip([o.jain, o.reward, o.indicator, o.upper_bound]) {
                to.push(from.into());
            }
        }
        out
    }
}

pub(crate) fn steps(v: &Vectors, _: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let cases = Cases::of(v)?;
    let config = V2xConfig::load(None, &[]).map_err(|e| v.problem("theta", e.to_string()))?;
    let settings = [
        ("", Beam::Steer, Kinematics::Paper),
        ("cart.", Beam::Steer, Kinematics::Cartesian),
        ("matrix.", Beam::Matrix, Kinematics::Paper),
    ];
    for (prefix, beam, kinematics) in settings {
        let exact = cases.run::<f64>(&config, beam, kinematics);
        for ((name, cap, abs, rel), got) in PER_VEHICLE.into_iter().zip(&exact.per_vehicle) {
            let name = format!("{prefix}{name}");
            let want: Vec<f64> = v.f64(&name, &[cases.e, K])?.into_iter().map(|x| x.min(cap)).collect();
            rows.push(Backend::CpuF64, compare_f64(&name, got, &want, Tol { abs, rel, why: WHY_F64 }));
        }
        for ((name, abs, rel), got) in PER_SLOT.into_iter().zip(&exact.per_slot) {
            let name = format!("{prefix}{name}");
            rows.push(
                Backend::CpuF64,
                compare_f64(&name, got, &v.f64(&name, &[cases.e])?, Tol { abs, rel, why: WHY_F64 }),
            );
        }

        // In f32 what no other test compares by condition: angles, rates and who passed the limits.
        let single = cases.run::<f32>(&config, beam, kinematics);
        let rate = Tol {
            abs: 2e-3,
            rel: 1e-4,
            why: "cos is rounded to 6e-8, which 32 antennas turn into a phase of 6e-6 rad; near a null a rate then changes by up to 2e-3 bps/Hz",
        };
        let theta = Tol { abs: 6e-7, rel: 0.0, why: "a few roundings (2e-7) of an angle below pi" };
        let mut row = |name: &str, got: &[f64], shape: &[usize], tol| -> Result<(), GoldenError> {
            let name = format!("{prefix}{name}");
            rows.push(Backend::CpuF32, compare_f64(&name, got, &v.f64(&name, shape)?, tol));
            Ok(())
        };
        row("rate", &single.per_vehicle[4], &[cases.e, K], rate)?;
        row("theta1", &single.per_vehicle[0], &[cases.e, K], theta)?;
        row("indicator", &single.per_slot[2], &[cases.e], Tol::EXACT)?;
    }
    Ok(rows)
}

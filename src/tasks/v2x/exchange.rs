//! What stands before and behind the networks of an exported policy of this task: estimates and SINR in, angles, powers
//! and beams out, by the equations of [`physics`](super::physics).

use super::physics::{Beam, V2xParams, V2xSpec};
use crate::exchange::graph::{Graph, Value};
use crate::exchange::{Decided, Seen, Wrap};
use std::f64::consts::PI;

/// The task with the parameters of one replica.
pub struct V2xWrap {
    pub spec: V2xSpec,
    pub params: V2xParams,
}

/// Most vehicles whose beams are forced to zeros in closed form.
const FORCED: usize = 3;

type Square = Vec<Vec<Value>>;

impl Wrap for V2xWrap {
    fn enter(&self, g: &mut Graph) -> Seen {
        let (k, p) = (self.spec.vehicles, &self.params);
        let physical = [
            ("angle_rad", "estimated angle of each vehicle by the last echo, rad"),
            ("distance_m", "estimated distance of each vehicle by the last echo, m"),
            ("speed_m_s", "estimated speed of each vehicle by the last echo, m/s"),
            ("sinr", "SINR of each vehicle in the last slot, a plain ratio"),
        ]
        .map(|(name, about)| g.input(name, &[k], about));
        let mut parts: Vec<Value> = Vec::new();
        for (n, x) in physical.iter().enumerate() {
            let x = match n {
                3 => {
                    let one = g.number(1.0);
                    let above = g.add(&one, x);
                    g.map("Log", &above)
                }
                _ => x.clone(),
            };
            let shift = g.number(f64::from(p.obs_shift[n]));
            let moved = g.sub(&x, &shift);
            parts.push(g.scaled(&moved, f64::from(p.obs_scale[n])));
        }
        Seen { obs: g.concat(&parts, 1), physical: physical.into() }
    }

    fn leave(&self, g: &mut Graph, seen: &Seen, decided: &Decided) -> Result<(), String> {
        let (k, n, p, act) = (self.spec.vehicles, self.spec.antennas, &self.params, &decided.action);
        let beam = self.spec.beam;
        if matches!(beam, Beam::Zf | Beam::OnZf) && k > FORCED {
            return Err(format!(
                "beams are forced to zeros in closed form for at most {FORCED} vehicles, not {k}: --raw gives the network"
            ));
        }
        let logits = if beam.is_matrix() { 2 * k * n } else { k };
        let logits = g.slice(act, 1, logits, logits + k);
        let shares = g.softmax(&logits, 1);
        let power = g.scaled(&shares, f64::from(p.p_max_w));
        let mut angle = None;
        match beam {
            Beam::Angles => {
                let raw = g.slice(act, 1, 0, k);
                let share = g.map("Sigmoid", &raw);
                angle = Some(g.scaled(&share, PI));
            }
            Beam::Tracking | Beam::Zf => {
                let raw = g.slice(act, 1, 0, k);
                let turn = g.map("Tanh", &raw);
                let turn = g.scaled(&turn, f64::from(p.tracking_delta_rad));
                angle = Some(g.add(&seen.physical[0], &turn));
            }
            Beam::Matrix | Beam::OnSteering | Beam::OnZf => {}
            Beam::Direct | Beam::Steer | Beam::Span => {
                return Err("no agent of this beam has networks".into());
            }
        }
        if let Some(angle) = &angle {
            g.output("beam_angle_rad", angle, &[k], "angle that each beam is steered at, rad");
        }
        g.output("power_w", &power, &[k], "transmit power of each beam, W");
        let beams = match (beam, &angle) {
            (Beam::Zf, Some(angle)) => {
                let cos = g.map("Cos", angle);
                Some(self.forced(g, &cos, &seen.physical[1]))
            }
            (_, Some(_)) => None,
            _ => Some(self.explicit(g, seen, act)),
        };
        if let Some([re, im]) = beams {
            g.output(
                "beam_re",
                &re,
                &[k, n],
                "real parts of each beam's weights, antenna by antenna; beams have norm 1",
            );
            g.output("beam_im", &im, &[k, n], "imaginary parts of each beam's weights");
        }
        Ok(())
    }
}

impl V2xWrap {
    /// Steering vectors at these cosines `[N, K]`, elements of modulus 1 with the phase of the middle of the array 0:
    /// (re, im), each `[N, K, N_TA]`.
    fn steering(&self, g: &mut Graph, cos: &Value) -> [Value; 2] {
        let (k, n) = (self.spec.vehicles, self.spec.antennas);
        let slope: Vec<f32> =
            (0..n).map(|m| (-PI * (2.0 * m as f64 - n as f64 + 1.0) / 2.0) as f32).collect();
        let slope = g.constant(&[n], &slope);
        let cos = g.reshape(cos, &[k, 1]);
        let phase = g.mul(&cos, &slope);
        [g.map("Cos", &phase), g.map("Sin", &phase)]
    }

    /// X of regularised zero-forcing, element by element `[N, 1]`: (G + diag(l))⁻¹ with columns of norm-1 beams.
    fn mix(&self, g: &mut Graph, cos: &Value, distance: &Value) -> Square {
        let (k, n, p) = (self.spec.vehicles, self.spec.antennas, &self.params);
        let one = g.number(1.0);
        let own: Vec<Value> = (0..k).map(|i| g.slice(cos, 1, i, i + 1)).collect();
        let half: Vec<f32> = (0..n).map(|m| (PI * (2.0 * m as f64 - n as f64 + 1.0) / 2.0) as f32).collect();
        let half = g.constant(&[n], &half);
        let mut gram: Square = vec![vec![one.clone(); k]; k];
        for i in 0..k {
            for j in 0..i {
                // D(x) as the mean of the array's phases, which has no gap at 0.
                let apart = g.sub(&own[i], &own[j]);
                let phases = g.mul(&apart, &half);
                let waves = g.map("Cos", &phases);
                let d = g.mean(&waves, 1);
                (gram[i][j], gram[j][i]) = (d.clone(), d);
            }
        }
        // l = factor·K·σ²/(P·gain·d^−ρ)
        let floor = g.number(f64::from(p.d_floor_m));
        let d = g.pair("Max", distance, &floor);
        let log = g.map("Log", &d);
        let log = g.scaled(&log, f64::from(p.path_loss_exponent));
        let loss = g.map("Exp", &log);
        let snr = f64::from(p.p_max_w) * f64::from(p.comm_gain) / f64::from(p.noise_comm_w);
        let loading = g.scaled(&loss, f64::from(p.zf_regularisation) * k as f64 / snr);
        let mut a = gram.clone();
        for (i, row) in a.iter_mut().enumerate() {
            let l = g.slice(&loading, 1, i, i + 1);
            row[i] = g.add(&row[i], &l);
        }
        // Gauss–Jordan without pivoting, as the slot's own.
        let zero = g.number(0.0);
        let mut inv: Square = (0..k)
            .map(|i| (0..k).map(|j| if i == j { one.clone() } else { zero.clone() }).collect())
            .collect();
        let least = g.number(1e-6);
        for c in 0..k {
            let pivot = g.pair("Max", &a[c][c], &least);
            let pivot = g.map("Reciprocal", &pivot);
            for j in 0..k {
                a[c][j] = g.mul(&a[c][j], &pivot);
                inv[c][j] = g.mul(&inv[c][j], &pivot);
            }
            for r in (0..k).filter(|r| *r != c) {
                let factor = a[r][c].clone();
                for j in 0..k {
                    let down = g.mul(&factor, &a[c][j]);
                    a[r][j] = g.sub(&a[r][j], &down);
                    let down = g.mul(&factor, &inv[c][j]);
                    inv[r][j] = g.sub(&inv[r][j], &down);
                }
            }
        }
        let tiny = g.number(1e-20);
        let mut out = inv.clone();
        for i in 0..k {
            let mut norm2 = zero.clone();
            for (a, row) in gram.iter().enumerate() {
                let mut sum = zero.clone();
                for (b, element) in row.iter().enumerate() {
                    let product = g.mul(element, &inv[b][i]);
                    sum = g.add(&sum, &product);
                }
                let product = g.mul(&inv[a][i], &sum);
                norm2 = g.add(&norm2, &product);
            }
            let norm2 = g.pair("Max", &norm2, &tiny);
            let norm = g.map("Sqrt", &norm2);
            for q in 0..k {
                out[q][i] = g.div(&inv[q][i], &norm);
            }
        }
        out
    }

    /// Σ_q X_qi ã(φ_q) of the steering vectors of modulus 1, for every beam: (re, im), each `[N, K, N_TA]`.
    fn mixed(&self, g: &mut Graph, mix: &Square, steering: &[Value; 2]) -> [Value; 2] {
        let (k, n) = (self.spec.vehicles, self.spec.antennas);
        steering.each_ref().map(|part| {
            let each: Vec<Value> = (0..k)
                .map(|q| {
                    let row = g.slice(part, 1, q, q + 1);
                    g.reshape(&row, &[n])
                })
                .collect();
            let beams: Vec<Value> = (0..k)
                .map(|i| {
                    let mut sum: Option<Value> = None;
                    for (q, row) in each.iter().enumerate() {
                        let product = g.mul(row, &mix[q][i]);
                        sum = Some(match sum {
                            None => product,
                            Some(sum) => g.add(&sum, &product),
                        });
                    }
                    let sum = sum.expect("a vehicle");
                    g.reshape(&sum, &[1, n])
                })
                .collect();
            g.concat(&beams, 1)
        })
    }

    /// Beams of regularised zero-forcing at these cosines, of norm 1.
    fn forced(&self, g: &mut Graph, cos: &Value, distance: &Value) -> [Value; 2] {
        let mix = self.mix(g, cos, distance);
        let steering = self.steering(g, cos);
        let per_antenna = 1.0 / (self.spec.antennas as f64).sqrt();
        self.mixed(g, &mix, &steering).map(|part| g.scaled(&part, per_antenna))
    }

    /// Explicit beams of raw numbers, as they are or on a base, scaled to norm 1.
    fn explicit(&self, g: &mut Graph, seen: &Seen, act: &Value) -> [Value; 2] {
        let (k, n) = (self.spec.vehicles, self.spec.antennas);
        let raw = [0, 1].map(|part| {
            let own = g.slice(act, 1, part * k * n, (part + 1) * k * n);
            g.reshape(&own, &[k, n])
        });
        let mut beams = raw.clone();
        if !self.spec.beam.is_raw() {
            let cos = g.map("Cos", &seen.physical[0]);
            let steering = self.steering(g, &cos);
            let base = match self.spec.beam {
                Beam::OnZf => {
                    let mix = self.mix(g, &cos, &seen.physical[1]);
                    self.mixed(g, &mix, &steering)
                }
                _ => steering.clone(),
            };
            let scale = f64::from(self.params.matrix_scale);
            let ([c, s], [re, im]) = (&steering, &raw);
            let products = [[c, re], [s, im], [c, im], [s, re]].map(|[a, b]| g.mul(a, b));
            let turned = [g.sub(&products[0], &products[1]), g.add(&products[2], &products[3])];
            for (beam, (base, turned)) in beams.iter_mut().zip(base.iter().zip(&turned)) {
                let scaled = g.scaled(turned, scale);
                *beam = g.add(base, &scaled);
            }
        }
        let squares = beams.each_ref().map(|x| g.mul(x, x));
        let both = g.add(&squares[0], &squares[1]);
        let norm2 = g.sum(&both, 2);
        let tiny = g.number(1e-20);
        let norm2 = g.pair("Max", &norm2, &tiny);
        let norm = g.map("Sqrt", &norm2);
        beams.map(|x| g.div(&x, &norm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::exchange::interpreter::{Array, run};
    use crate::tasks::v2x::array::KMAX;
    use crate::tasks::v2x::config::V2xConfig;
    use crate::tasks::v2x::physics::{PAST_ROWS, State, beams, observe, pointed, softmax_power};
    use std::collections::BTreeMap;

    fn padded(x: &[f64]) -> [f64; KMAX] {
        std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0))
    }

    /// Numbers between 0 and 1, one after the other.
    struct Chance(f64);

    impl Chance {
        fn next(&mut self) -> f64 {
            self.0 = (self.0 * 997.13 + 0.731).fract();
            self.0
        }
    }

    /// What the file radiates for raw actions is what a slot makes of them: powers, angles, and of beams what vehicles
    /// elsewhere hear.
    #[test]
    fn angles_powers_and_beams_are_those_of_a_slot() {
        for (beam, base) in [
            ("angles", "none"),
            ("tracking", "none"),
            ("zf", "none"),
            ("matrix", "none"),
            ("matrix", "steering"),
            ("matrix", "zf"),
        ] {
            let sets = [
                format!("task.beam={beam:?}"),
                format!("task.matrix_base={base:?}"),
                "task.antennas=12".into(),
                "task.p_max_dbm=10".into(),
            ];
            let config = V2xConfig::load(None, &sets).unwrap();
            let wrap = V2xWrap { spec: config.task.spec(), params: config.task.params([0, 0]) };
            let (k, n, p, spec) = (wrap.spec.vehicles, wrap.spec.antennas, wrap.params, wrap.spec);
            let actions = spec.action_dim();
            let mut g = Graph::new();
            let seen = wrap.enter(&mut g);
            let act = g.input("act", &[actions], "");
            g.output("obs", &seen.obs, &[4 * k], "");
            wrap.leave(&mut g, &seen, &Decided { action: act, phases: None }).unwrap();
            let mut chance = Chance(0.123);
            for _ in 0..40 {
                let theta: Vec<f64> = (0..k).map(|_| 0.3 + 2.5 * chance.next()).collect();
                let d: Vec<f64> = (0..k).map(|_| 0.5 + 40.0 * chance.next()).collect();
                let v: Vec<f64> = (0..k).map(|_| 10.0 + 4.0 * chance.next()).collect();
                let sinr: Vec<f64> = (0..k).map(|_| 1000.0 * chance.next()).collect();
                let act: Vec<f64> = (0..actions).map(|_| 4.0 * chance.next() - 2.0).collect();
                let zero = [0.0; KMAX];
                let last = State {
                    theta: zero,
                    d: zero,
                    v: zero,
                    obs_theta: padded(&theta),
                    obs_d: padded(&d),
                    obs_v: padded(&v),
                    obs_sinr: padded(&sinr),
                    var: [zero; 3],
                    past: [0.0; PAST_ROWS],
                };
                let row = |x: &[f64]| Array::new(&[1, x.len()], x.iter().map(|x| *x as f32).collect());
                let inputs: BTreeMap<&str, Array> = [
                    ("angle_rad", row(&theta)),
                    ("distance_m", row(&d)),
                    ("speed_m_s", row(&v)),
                    ("sinr", row(&sinr)),
                    ("act", row(&act)),
                ]
                .into();
                let told = run(&g, &inputs);
                let near = |what: &str, a: f32, b: f64, room: f64| {
                    assert!((f64::from(a) - b).abs() <= room, "{beam} on {base}, {what}: {a} and {b}");
                };
                observe(k, &p, &last, |i, x: f64| {
                    near("observation", told["obs"].data[i], x, 2e-6 * (1.0 + x.abs()))
                });
                let logits = if spec.beam.is_matrix() { 2 * k * n } else { k };
                let powers = softmax_power::<f64>(k, p.p_max_w, &act[logits..]);
                (0..k).for_each(|i| {
                    near("power", told["power_w"].data[i], powers[i], 1e-6 * f64::from(p.p_max_w))
                });
                let phi = pointed::<f64>(&spec, k, &p, &last, &act);
                if !spec.beam.is_matrix() {
                    (0..k).for_each(|i| near("angle", told["beam_angle_rad"].data[i], phi[i], 2e-6));
                }
                let there: Vec<f64> = (0..k).map(|_| PI * chance.next()).collect();
                let (sin, cos) = (
                    padded(&there.iter().map(|x| x.sin()).collect::<Vec<_>>()),
                    padded(&there.iter().map(|x| x.cos()).collect::<Vec<_>>()),
                );
                let want = beams::<f64>(&spec, k, &p, &sin, &cos, &last, &act).gain;
                for j in 0..k {
                    for i in 0..k {
                        // aᴴ f with a of norm 1, of the file's weights or of a beam steered at the file's angle.
                        let weight = |m: usize| match told.get("beam_re") {
                            Some(re) => {
                                [f64::from(re.data[i * n + m]), f64::from(told["beam_im"].data[i * n + m])]
                            }
                            None => {
                                let phase = -PI * m as f64 * f64::from(told["beam_angle_rad"].data[i]).cos();
                                [phase.cos(), phase.sin()].map(|x| x / (n as f64).sqrt())
                            }
                        };
                        let (mut x, mut y) = (0.0, 0.0);
                        for m in 0..n {
                            let ([re, im], (s, c)) = (weight(m), (PI * m as f64 * cos[j]).sin_cos());
                            x += (c * re - s * im) / (n as f64).sqrt();
                            y += (c * im + s * re) / (n as f64).sqrt();
                        }
                        near("gain", (x * x + y * y) as f32, want[j][i], 3e-5 * (1.0 + want[j][i]));
                    }
                }
            }
        }
    }

    #[test]
    fn more_vehicles_than_the_closed_form_has_are_refused() {
        let sets = ["task.beam=\"zf\"", "task.vehicles=4"].map(String::from);
        let config = V2xConfig::load(None, &sets).unwrap();
        let wrap = V2xWrap { spec: config.task.spec(), params: config.task.params([0, 0]) };
        let mut g = Graph::new();
        let seen = wrap.enter(&mut g);
        let action = g.input("act", &[8], "");
        let e = wrap.leave(&mut g, &seen, &Decided { action, phases: None }).unwrap_err();
        assert!(e.contains("at most 3 vehicles") && e.contains("--raw"), "{e}");
    }
}

//! The choices of a factored discrete policy: per vehicle one of a few beams and one of a few power levels, and the raw action of the task that
//! each stands for.

use crate::tasks::v2x::physics::{Beam, V2xSpec, steering_vector};

/// What the choices `beam·levels + level` of every vehicle mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Codebook {
    /// K
    pub vehicles: usize,
    /// A raw action holds K·`width` values of a beam, beam by beam, `parts` times (real and imaginary parts of explicit beams), then K power logits.
    pub parts: usize,
    pub width: usize,
    /// Raw values of each beam, [beams, parts·width].
    pub beams: Vec<f32>,
    /// Power logit of each level, ln of its relative weight.
    pub levels: Vec<f32>,
}

impl Codebook {
    /// `beams` beams on the grid u_b = −1 + (2b+1)/beams: the cosines of the steering angles, or the offsets from the last estimate in units
    /// of Δ. With as many beams as antennas the steering vectors are orthogonal, and half a step keeps away from end-fire, where the
    /// parameterisation by angles is singular.
    pub fn new(task: &V2xSpec, beams: usize, power_levels: &[f64]) -> Self {
        let grid = (0..beams).map(|b| -1.0 + (2 * b + 1) as f64 / beams as f64);
        let (parts, width) = if task.beam == Beam::Matrix { (2, task.antennas) } else { (1, 1) };
        let beams = grid.flat_map(|u| match task.beam {
            // π·sigmoid(a) = acos u
            Beam::Angles => {
                let share = u.acos() / std::f64::consts::PI;
                vec![(share / (1.0 - share)).ln() as f32]
            }
            // Δ·tanh(a) = Δ·u
            Beam::Tracking => vec![u.atanh() as f32],
            Beam::Matrix => {
                let f = steering_vector(u.acos(), task.antennas);
                f.iter().map(|x| x.re as f32).chain(f.iter().map(|x| x.im as f32)).collect()
            }
            Beam::Steer | Beam::Span => panic!("{:?} is not a learned parameterisation", task.beam),
        });
        Codebook {
            vehicles: task.vehicles,
            parts,
            width,
            beams: beams.collect(),
            levels: power_levels.iter().map(|w| w.ln() as f32).collect(),
        }
    }

    /// Values of a beam.
    pub fn values(&self) -> usize {
        self.parts * self.width
    }

    /// L: choices of a vehicle.
    pub fn choices(&self) -> usize {
        self.beams.len() / self.values() * self.levels.len()
    }

    /// A: length of a raw action.
    pub fn actions(&self) -> usize {
        self.vehicles * (self.values() + 1)
    }

    /// Writes vehicle `k`'s part of a raw action [A].
    pub fn decode(&self, k: usize, choice: usize, action: &mut [f32]) {
        let (beam, level) = (choice / self.levels.len(), choice % self.levels.len());
        let values = &self.beams[beam * self.values()..][..self.values()];
        for (part, values) in values.chunks_exact(self.width).enumerate() {
            action[(part * self.vehicles + k) * self.width..][..self.width].copy_from_slice(values);
        }
        action[self.vehicles * self.values() + k] = self.levels[level];
    }

    /// Beams behind one another, then levels: as the kernels read it.
    pub fn flat(&self) -> Vec<f32> {
        self.beams.iter().chain(&self.levels).copied().collect()
    }
}

/// Index of the largest of `q`, the first where several are equal.
pub fn argmax(q: &[f32]) -> usize {
    let mut best = 0;
    for (i, x) in q.iter().enumerate() {
        if q[best] < *x {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::num::real::Real;
    use crate::tasks::v2x::config::V2xConfig;

    fn task(beam: &str) -> V2xSpec {
        V2xConfig::load(None, &[format!("task.beam={beam}")]).unwrap().task.spec()
    }

    #[test]
    fn beams_point_where_the_grid_says() {
        let u = |b: usize| -1.0 + (2 * b + 1) as f64 / 32.0;
        let angles = Codebook::new(&task("angles"), 32, &[0.25, 0.5, 1.0]);
        let tracking = Codebook::new(&task("tracking"), 32, &[1.0]);
        let matrix = Codebook::new(&task("matrix"), 32, &[1.0]);
        assert_eq!((angles.choices(), tracking.choices(), matrix.choices()), (96, 32, 32));
        for b in 0..32 {
            let phi = std::f64::consts::PI * f64::from(angles.beams[b]).sigmoid();
            assert!((phi.cos() - u(b)).abs() < 1e-6, "beam {b}: cos φ = {}", phi.cos());
            assert!((f64::from(tracking.beams[b]).tanh() - u(b)).abs() < 1e-6);
            let f = steering_vector(u(b).acos(), 32);
            for (n, f) in f.iter().enumerate() {
                let got = [matrix.beams[b * 64 + n], matrix.beams[b * 64 + 32 + n]].map(f64::from);
                assert!((got[0] - f.re).abs() < 1e-7 && (got[1] - f.im).abs() < 1e-7);
            }
        }
    }

    #[test]
    fn the_grid_of_as_many_beams_as_antennas_is_orthogonal() {
        let book = Codebook::new(&task("matrix"), 32, &[1.0]);
        for (i, j) in [(0, 1), (3, 3), (5, 31), (0, 31), (16, 15)] {
            let (a, b) = (&book.beams[i * 64..][..64], &book.beams[j * 64..][..64]);
            let (mut re, mut im) = (0.0, 0.0);
            for n in 0..32 {
                let [ar, ai, br, bi] = [a[n], a[32 + n], b[n], b[32 + n]].map(f64::from);
                re += ar * br + ai * bi;
                im += ar * bi - ai * br;
            }
            let want = if i == j { 1.0 } else { 0.0 };
            assert!((re.hypot(im) - want).abs() < 1e-6, "beams {i} and {j}: {re} + {im}j");
        }
    }

    #[test]
    fn decoding_places_every_value_once() {
        for beam in ["angles", "tracking", "matrix"] {
            let spec = task(beam);
            let book = Codebook::new(&spec, 8, &[0.5, 1.0]);
            assert_eq!(book.actions(), spec.action_dim());
            let mut action = vec![f32::NAN; book.actions()];
            for k in 0..3 {
                book.decode(k, 2 * (k + 1) + 1, &mut action);
            }
            for k in 0..3 {
                assert_eq!(
                    action[k * book.width],
                    book.beams[(k + 1) * book.values()],
                    "{beam}, vehicle {k}"
                );
                assert_eq!(action[3 * book.values() + k], 0.0, "{beam}: level 1 of weight 1");
                if beam == "matrix" {
                    assert_eq!(action[(3 + k) * 32 + 7], book.beams[(k + 1) * 64 + 32 + 7]);
                }
            }
            assert!(action.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn argmax_takes_the_first_of_equals() {
        assert_eq!(argmax(&[0.0, 3.0, -1.0, 3.0]), 1);
        assert_eq!(argmax(&[-2.0]), 0);
    }
}

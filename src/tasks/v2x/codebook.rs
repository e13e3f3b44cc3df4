//! What `dqn` can choose in task v2x: per vehicle one of a grid of beams and one of a few power levels.

use crate::nets::Codebook;
use crate::tasks::v2x::physics::{Beam, V2xParams, V2xSpec, steering_vector};
use num_complex::Complex64;

/// `beams` beams on the grid u_b = −1 + (2b+1)/beams: the cosines of the steering angles, or the offsets from the last
/// estimate in units of Δ. With as many beams as antennas the steering vectors are orthogonal, and half a step keeps
/// away from end-fire, where the parameterisation by angles is singular. Of matrices on a base, residuals that turn
/// steering at the last estimate by such offsets of its cosine, with Δ and the scale of residuals in `params` (1
/// without). `None` for the physical parameterisations, which no agent learns.
pub fn codebook(
    task: &V2xSpec,
    params: Option<&V2xParams>,
    beams: usize,
    power_levels: &[f64],
) -> Option<Codebook> {
    let grid = (0..beams).map(|b| -1.0 + (2 * b + 1) as f64 / beams as f64);
    let (parts, width) = if task.beam.is_matrix() { (2, task.antennas) } else { (1, 1) };
    let beams = match task.beam {
        // π·sigmoid(a) = acos u
        Beam::Angles => {
            let share = |u: f64| u.acos() / std::f64::consts::PI;
            grid.map(|u| (share(u) / (1.0 - share(u))).ln() as f32).collect()
        }
        // Δ·tanh(a) = Δ·u
        Beam::Tracking | Beam::Zf => grid.map(|u| u.atanh() as f32).collect(),
        Beam::Matrix => {
            let values = |u: f64| {
                let f = steering_vector(u.acos(), task.antennas);
                f.iter().map(|x| x.re as f32).chain(f.iter().map(|x| x.im as f32)).collect::<Vec<_>>()
            };
            grid.flat_map(values).collect()
        }
        // e^{−jπΔu·(m − (N−1)/2)} − 1, over the scale
        Beam::OnSteering | Beam::OnZf => {
            let (delta, scale) =
                params.map_or((1.0, 1.0), |p| (p.tracking_delta_rad.into(), p.matrix_scale.into()));
            let values = |u: f64| {
                let turn = |m: usize| {
                    -std::f64::consts::PI * delta * u * (m as f64 - 0.5 * (task.antennas - 1) as f64)
                };
                let f =
                    (0..task.antennas).map(|m| (Complex64::cis(turn(m)) - 1.0) / scale).collect::<Vec<_>>();
                f.iter().map(|x| x.re as f32).chain(f.iter().map(|x| x.im as f32)).collect::<Vec<_>>()
            };
            grid.flat_map(values).collect()
        }
        Beam::Direct | Beam::Steer | Beam::Span => return None,
    };
    Some(Codebook {
        factors: task.vehicles,
        parts,
        width,
        beams,
        levels: power_levels.iter().map(|w| w.ln() as f32).collect(),
        additive: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::num::real::Real;
    use crate::tasks::v2x::config::V2xConfig;

    fn book(task: &V2xSpec, beams: usize, levels: &[f64]) -> Codebook {
        codebook(task, None, beams, levels).expect("a learned parameterisation")
    }

    fn task(beam: &str) -> V2xSpec {
        let sets = [format!("task.beam={beam}"), "task.matrix_base=none".into()];
        V2xConfig::load(None, &sets).unwrap().task.spec()
    }

    #[test]
    fn beams_point_where_the_grid_says() {
        let u = |b: usize| -1.0 + (2 * b + 1) as f64 / 32.0;
        let angles = book(&task("angles"), 32, &[0.25, 0.5, 1.0]);
        let tracking = book(&task("tracking"), 32, &[1.0]);
        let matrix = book(&task("matrix"), 32, &[1.0]);
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
        let book = book(&task("matrix"), 32, &[1.0]);
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
            let book = book(&spec, 8, &[0.5, 1.0]);
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
}

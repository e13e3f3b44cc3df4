//! A half-wavelength array: its steering vectors and the closed form of their products.

use crate::num::real::Real;
use num_complex::Complex64;

/// Largest number of vehicles.
pub const KMAX: usize = 8;

/// D(Δ) and dD/d(πΔ) of an N-element array for Δ in [−2, 2].
#[inline(always)]
pub fn dirichlet<V: Real>(delta: V, n: usize) -> (V, V) {
    let half = delta * V::splat(0.5);
    let (s1, c1) = V::sin_cos_pi_multiple(half, 1);
    let (sn, cn) = V::sin_cos_pi_multiple(half, n as u32);
    let count = V::splat(n as f64);
    // Below 3e-5 the slope's cancellation (1.2e-7/s) costs more than the slope itself (N²s/6) is worth.
    let near = s1.abs().lt(V::splat(3e-5));
    let s = V::select(near, V::splat(1.0), s1);
    let inv = V::splat(1.0) / (count * s);
    let d = V::select(near, cn / c1, sn * inv);
    let slope = (count * (cn * s) - sn * c1) * V::splat(0.5) * inv / s;
    (d, V::select(near, V::splat(0.0), slope))
}

/// The steering vector (3) of a half-wavelength array, a_n = e^{−jπn cos θ}/√N: what the closed forms of this module
/// stand for.
///
/// ```
/// use isacbench::tasks::v2x::array::{dirichlet, steering_vector};
/// let (theta, phi) = (1.1f64, 1.2f64);
/// let product: num_complex::Complex64 = steering_vector(theta, 32).iter().zip(steering_vector(phi, 32)).map(|(a, f)| a.conj() * f).sum();
/// let closed = dirichlet(theta.cos() - phi.cos(), 32).0;
/// assert!((product.norm() - closed.abs()).abs() < 1e-12);
/// ```
pub fn steering_vector(theta_rad: f64, antennas: usize) -> Vec<Complex64> {
    let scale = 1.0 / (antennas as f64).sqrt();
    (0..antennas)
        .map(|n| Complex64::from_polar(scale, -std::f64::consts::PI * n as f64 * theta_rad.cos()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// aᴴ(θ)a(φ) and its derivative by θ from the sums over antennas.
    fn by_sums(theta: f64, phi: f64, n: usize) -> (f64, f64) {
        let product = |theta: f64| -> Complex64 {
            steering_vector(theta, n).iter().zip(steering_vector(phi, n)).map(|(a, f)| a.conj() * f).sum()
        };
        let h = 1e-6;
        let slope = (product(theta + h) - product(theta - h)) / (2.0 * h);
        (product(theta).norm_sqr(), slope.norm_sqr())
    }

    #[test]
    fn closed_forms_equal_the_sums_over_antennas() {
        for n in [2, 7, 32, 64] {
            for (theta, phi) in
                [(0.4, 0.4000001), (0.4, 0.43), (1.3, 2.9), (1.55, 1.6), (3.0, 0.1), (2.0, 2.0)]
            {
                let (d, e) = dirichlet(f64::cos(theta) - f64::cos(phi), n);
                let lever = (n as f64 - 1.0) / 2.0 * d;
                let turn = std::f64::consts::PI * f64::sin(theta);
                let (gain, slope2) = by_sums(theta, phi, n);
                assert!(
                    (d * d - gain).abs() < 1e-9,
                    "N = {n}, θ = {theta}, φ = {phi}: gain {} against {gain}",
                    d * d
                );
                let got = turn * turn * (lever * lever + e * e);
                assert!(
                    (got - slope2).abs() < 1e-5 * (1.0 + slope2),
                    "N = {n}, θ = {theta}, φ = {phi}: slope² {got} against {slope2}"
                );
            }
        }
    }
}

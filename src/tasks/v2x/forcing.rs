//! Zero-forcing: beams mixed from the steering vectors of K angles so that each vehicle hears its own alone, f_i = Σ_j
//! ã(φ_j) X_ji with real X.
//!
//! ã(φ) is the steering vector (3) with its phase centred in the middle of the array, so that the Gram matrix G_ij =
//! ã(φ_i)ᴴã(φ_j) = D(cos φ_i − cos φ_j) is real. Plain zero-forcing has X = G⁻¹ with its columns normalised;
//! regularised zero-forcing (Peel, Hochwald, Swindlehurst, IEEE Trans. Commun. 53(1), 2005) has X = (G + diag(l))⁻¹
//! instead, for channels of SNR per watt s_i with l_i = K/(P_max·s_i), which is their α = K/ρ: so much leaks to others
//! as noise would hide.

use super::array::{KMAX, dirichlet};
use crate::num::real::Real;

/// A real matrix of which the first K rows and columns are used, row by row.
pub type Square<V> = [[V; KMAX]; KMAX];

/// G of the angles with these cosines.
#[inline(always)]
pub fn gram<V: Real>(k: usize, antennas: usize, cos: &[V; KMAX]) -> Square<V> {
    let mut g = [[V::splat(0.0); KMAX]; KMAX];
    for i in 0..k {
        for j in 0..k {
            g[i][j] = if i == j { V::splat(1.0) } else { dirichlet(cos[i] - cos[j], antennas).0 };
        }
    }
    g
}

/// Inverse of a positive definite matrix by Gauss–Jordan elimination, without pivoting.
#[inline(always)]
pub fn inverse<V: Real>(k: usize, mut g: Square<V>) -> Square<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut inv = [[zero; KMAX]; KMAX];
    for (i, row) in inv.iter_mut().enumerate() {
        row[i] = one;
    }
    for c in 0..k {
        // Vehicles in line make G singular: a floor of the order of its rounding keeps the weights finite.
        let pivot = one / g[c][c].max(V::splat(1e-6));
        for j in 0..k {
            g[c][j] *= pivot;
            inv[c][j] *= pivot;
        }
        for r in 0..k {
            if r != c {
                let factor = g[r][c];
                for j in 0..k {
                    g[r][j] -= factor * g[c][j];
                    inv[r][j] -= factor * inv[c][j];
                }
            }
        }
    }
    inv
}

/// G + diag(l).
#[inline(always)]
pub fn loaded<V: Real>(k: usize, g: &Square<V>, loading: &[V; KMAX]) -> Square<V> {
    let mut out = *g;
    for i in 0..k {
        out[i][i] += loading[i];
    }
    out
}

/// Regularised zero-forcing with what lies behind it.
pub struct Forced<V> {
    /// X
    pub mix: Square<V>,
    /// G
    pub gram: Square<V>,
    /// (G + diag(l))⁻¹
    pub inverse: Square<V>,
    /// 1/‖f_i‖ of the beams of that inverse, by which X is made of it.
    pub inverse_norm: [V; KMAX],
}

/// X of regularised zero-forcing at the angles with these cosines, with these l.
#[inline(always)]
pub fn regularised_mix<V: Real>(
    k: usize,
    antennas: usize,
    cos: &[V; KMAX],
    loading: &[V; KMAX],
) -> Square<V> {
    forced(k, antennas, cos, loading).mix
}

/// The same with what lies behind it.
#[inline(always)]
pub fn forced<V: Real>(k: usize, antennas: usize, cos: &[V; KMAX], loading: &[V; KMAX]) -> Forced<V> {
    let g = gram(k, antennas, cos);
    let inverse = inverse(k, loaded(k, &g, loading));
    let mut x = inverse;
    let mut inverse_norm = [V::splat(0.0); KMAX];
    for i in 0..k {
        // ‖f_i‖² = X_iᵀ G X_i
        let mut norm2 = V::splat(0.0);
        for a in 0..k {
            let mut row = V::splat(0.0);
            for b in 0..k {
                row += g[a][b] * x[b][i];
            }
            norm2 += x[a][i] * row;
        }
        inverse_norm[i] = V::splat(1.0) / norm2.max(V::splat(1e-20)).sqrt();
    }
    for row in x.iter_mut().take(k) {
        for (w, inverse) in row.iter_mut().zip(&inverse_norm).take(k) {
            *w *= *inverse;
        }
    }
    Forced { mix: x, gram: g, inverse, inverse_norm }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::v2x::array::steering_vector;
    use crate::tasks::v2x::config::V2xConfig;
    use crate::tasks::v2x::physics::{V2xParams, comm_snr_per_watt, loading};
    use num_complex::Complex64;

    const ANGLES: [f64; 3] = [1.0, 1.12, 1.9];
    const DISTANCES: [f64; 3] = [12.0, 20.0, 30.0];

    fn first<const N: usize>(x: [f64; N]) -> [f64; KMAX] {
        std::array::from_fn(|i| x.get(i).copied().unwrap_or(0.0))
    }

    /// The beams of a mix, antenna by antenna.
    fn beams(x: &Square<f64>, n: usize) -> Vec<Vec<Complex64>> {
        let centred = |theta: f64| {
            let half = (n as f64 - 1.0) / 2.0;
            let turn = Complex64::from_polar(1.0, std::f64::consts::PI * half * theta.cos());
            steering_vector(theta, n).into_iter().map(|a| a * turn).collect::<Vec<_>>()
        };
        let a: Vec<_> = ANGLES.into_iter().map(centred).collect();
        (0..3).map(|i| (0..n).map(|m| (0..3).map(|j| a[j][m] * x[j][i]).sum()).collect()).collect()
    }

    fn params(p_max_dbm: f64, factor: f64) -> V2xParams {
        let sets = [format!("task.p_max_dbm={p_max_dbm}"), format!("task.zf_regularisation={factor}")];
        V2xConfig::load(None, &sets).unwrap().task.params([0, 0])
    }

    /// The inverse of Hᴴ = [√s_k·ã(θ_k)]ᴴ as the textbook has it: W = H (HᴴH + αI)⁻¹, its columns normalised, computed
    /// over the antennas.
    #[test]
    fn beams_are_those_of_the_textbook() {
        let n = 32;
        for (p_max_dbm, factor) in [(40.0, 1.0), (10.0, 1.0), (10.0, 0.3), (-20.0, 1.0), (40.0, 0.0)] {
            let p = params(p_max_dbm, factor);
            let x = regularised_mix(3, n, &first(ANGLES.map(f64::cos)), &loading(3, &p, &first(DISTANCES)));
            let got = beams(&x, n);
            let snr = DISTANCES.map(|d| comm_snr_per_watt::<f64>(&p, d));
            let alpha = f64::from(p.zf_regularisation) * 3.0 / f64::from(p.p_max_w);
            let h: Vec<Vec<Complex64>> = (0..3)
                .map(|k| steering_vector(ANGLES[k], n).into_iter().map(|a| a * snr[k].sqrt()).collect())
                .collect();
            // (HᴴH + αI)·w_i = e_i is what Hᴴ f_i + α·w_i is for f_i = H·w_i; normalised, f_i is the beam up to its
            // phase.
            for i in 0..3 {
                let f = &got[i];
                let norm: f64 = f.iter().map(|x| x.norm_sqr()).sum();
                assert!((norm - 1.0).abs() < 1e-9, "{p_max_dbm} dBm: ‖f_{i}‖² = {norm}");
                // f must lie in the span of H with Hᴴf + α·w ∝ e_i, w its coordinates there.
                let heard: Vec<Complex64> =
                    h.iter().map(|h| h.iter().zip(f).map(|(h, f)| h.conj() * f).sum()).collect();
                let half = (n as f64 - 1.0) / 2.0;
                for j in (0..3).filter(|j| *j != i) {
                    let turn = Complex64::from_polar(1.0, std::f64::consts::PI * half * ANGLES[j].cos());
                    let w = turn * x[j][i] / snr[j].sqrt();
                    let residual = heard[j] + alpha * w;
                    assert!(
                        residual.norm() < 1e-7 * heard[i].norm(),
                        "{p_max_dbm} dBm: {i} in {j}: {residual}"
                    );
                }
            }
        }
    }

    #[test]
    fn much_noise_leaves_matched_beams_and_none_zero_forcing() {
        let cos = first(ANGLES.map(f64::cos));
        let mix = |p_max_dbm, factor| {
            regularised_mix(3, 32, &cos, &loading(3, &params(p_max_dbm, factor), &first(DISTANCES)))
        };
        let matched = mix(-60.0, 1.0);
        let forced = mix(40.0, 0.0);
        let g = gram(3, 32, &cos);
        for i in 0..3 {
            for j in 0..3 {
                let unit = f64::from(u8::from(i == j));
                assert!((matched[j][i] - unit).abs() < 1e-4, "{matched:?}");
                let heard: f64 = (0..3).map(|q| g[j][q] * forced[q][i]).sum();
                assert!(
                    if i == j { heard > 0.5 } else { heard.abs() < 1e-12 },
                    "vehicle {j} hears {heard} of beam {i}"
                );
            }
        }
    }

    /// Where estimates are wild, beams stay finite and of norm 1.
    #[test]
    fn vehicles_in_line_and_distances_below_the_floor() {
        for p_max_dbm in [-60.0, 0.0, 90.0] {
            let l = loading(3, &params(p_max_dbm, 1.0), &first([-4.0, 0.0, 1e-9]));
            let x = regularised_mix::<f64>(3, 32, &first([0.3, 0.3, 0.3000001]), &l);
            assert!(x.iter().flatten().all(|w| w.is_finite()), "{p_max_dbm} dBm: {x:?}");
        }
    }
}

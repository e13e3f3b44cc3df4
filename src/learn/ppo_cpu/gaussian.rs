//! Samples of a diagonal Gaussian policy and their log-densities, in vector lanes.

use crate::num::philox::{Stream, draw};
use crate::num::real::{F32Lanes, LaneKernel, Real, Word};

/// ln of the density's denominator, Σ log_std + ½ ln 2π, which sampling and loss both subtract. Summed in f64: with
/// many actions it is large, and what f32 loses of equal terms would stay in every ratio.
pub(in crate::learn) fn log_norm(log_std: &[f32]) -> f32 {
    log_std.iter().map(|s| f64::from(*s) + 0.918_938_533_204_672_7).sum::<f64>() as f32
}

/// Samples of a diagonal Gaussian policy: the fast form of `kernels::gaussian_head`, same draws.
pub struct SampleGaussian<'a> {
    pub key: [u32; 2],
    pub first: u32,
    pub clock: u32,
    /// Draws of the slot that other actions took.
    pub behind: u32,
    pub actions: usize,
    pub log_std: &'a [f32],
    /// `[envs, ld]`
    pub mean: &'a [f32],
    pub ld: usize,
    /// `[envs, A]`
    pub action: &'a mut [f32],
    /// `[envs]`
    pub logprob: &'a mut [f32],
}

impl SampleGaussian<'_> {
    #[inline(always)]
    fn span<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let a = self.actions;
        let norm = V::splat_f32(log_norm(self.log_std));
        let std: Vec<f32> = self.log_std.iter().map(|s| Real::exp(*s)).collect();
        // [A, lanes]
        let mut noise = vec![0f32; a * V::LANES];
        let mut env = from;
        while env + V::LANES <= to {
            let mut quad = V::splat(0.0);
            let ids = V::Word::iota(self.first + env as u32);
            for (block, noise) in noise.chunks_mut(4 * V::LANES).enumerate() {
                let w = draw(self.key, Stream::Action, ids, self.clock, self.behind + block as u32);
                let (z0, z1) = V::normal_pair(w[0], w[1]);
                let (z2, z3) = V::normal_pair(w[2], w[3]);
                let rows = noise.chunks_exact_mut(V::LANES).zip(&std[4 * block..]);
                for (z, (row, std)) in [z0, z1, z2, z3].into_iter().zip(rows) {
                    quad += z * z;
                    (V::splat_f32(*std) * z).store(row);
                }
            }
            let actions = self.action[env * a..(env + V::LANES) * a].chunks_exact_mut(a);
            for (l, (action, mean)) in actions.zip(self.mean[env * self.ld..].chunks(self.ld)).enumerate() {
                for (i, (x, mean)) in action.iter_mut().zip(mean).enumerate() {
                    *x = mean + noise[i * V::LANES + l];
                }
            }
            (V::splat(-0.5) * quad - norm).store(&mut self.logprob[env..]);
            env += V::LANES;
        }
    }
}

impl LaneKernel for SampleGaussian<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.logprob.len();
        let whole = n / V::LANES * V::LANES;
        self.span::<V>(0, whole);
        self.span::<f32>(whole, n);
    }
}

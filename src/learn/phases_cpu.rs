//! Phases that are drawn from a Gaussian beside a schedule (`temporal.mono_phases = "gaussian"`), on the CPU: how they
//! are drawn, their log-densities, and the gradient of the ratio that they share with the schedule.

use super::ppo_cpu::{SampleGaussian, log_norm};
use crate::env::At;
use crate::nets::experts::ExpertsCpu;
use crate::num::real::{Real, run_lanes};

/// Draws the phases `[envs, K·M]` of a slot around `mean` `[envs, K·M]`; their log-densities into `logprob` `[envs]`.
/// Draws are those behind the schedule's.
pub fn draw_phases(net: &ExpertsCpu, at: &At, mean: &[f32], phases: &mut [f32], logprob: &mut [f32]) {
    let (k, km) = (net.layout.vehicles, net.layout.phases());
    run_lanes(SampleGaussian {
        key: at.key,
        first: at.first,
        clock: at.clock,
        behind: k.div_ceil(4) as u32,
        actions: km,
        log_std: &net.log_std,
        mean,
        ld: km,
        action: phases,
        logprob,
    });
}

/// Variables that were drawn from a diagonal Gaussian.
pub(super) struct Drawn<'a> {
    /// `[A]`
    pub(super) log_std: &'a [f32],
    /// `[n, ld]`, of which the first A columns are means.
    pub(super) mean: &'a [f32],
    pub(super) ld: usize,
    /// `[n, A]`
    pub(super) drawn: &'a [f32],
}

impl Drawn<'_> {
    /// (what was drawn − mean)/σ of each variable of sample `i`.
    fn scaled<'a>(&'a self, i: usize, inverse: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let drawn = &self.drawn[i * inverse.len()..];
        drawn
            .iter()
            .zip(&self.mean[i * self.ld..])
            .zip(inverse)
            .map(|((x, mean), inverse)| (x - mean) * inverse)
    }

    /// 1/σ, `[A]`.
    fn inverse(&self) -> Vec<f32> {
        self.log_std.iter().map(|s| Real::exp(-*s)).collect()
    }

    /// ln of the densities, `[n]`.
    pub(super) fn logprobs(&self, out: &mut [f32]) {
        let (inverse, norm) = (self.inverse(), log_norm(self.log_std));
        for (i, out) in out.iter_mut().enumerate() {
            let squares: f64 = self.scaled(i, &inverse).map(|z| f64::from(z * z)).sum();
            *out = (-0.5 * squares) as f32 - norm;
        }
    }

    /// From the gradient `slope` `[n]` by the log-densities: that by the means into the first A columns of `d_mean`
    /// `[n, ld]`; that by `log_std` is added to `d_log_std` `[A]`.
    pub(super) fn gradients(&self, slope: &[f32], d_mean: &mut [f32], d_log_std: &mut [f32]) {
        let inverse = self.inverse();
        for (i, slope) in slope.iter().enumerate() {
            let rows = d_mean[i * self.ld..].iter_mut().zip(&mut *d_log_std).zip(&inverse);
            for (z, ((d_mean, d_log_std), inverse)) in self.scaled(i, &inverse).zip(rows) {
                *d_mean = slope * z * inverse;
                *d_log_std += slope * (z * z - 1.0);
            }
        }
    }

    /// Entropy of a sample, nat.
    pub(super) fn entropy(&self) -> f64 {
        f64::from(log_norm(self.log_std)) + 0.5 * self.log_std.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::twin::normals_of;
    use crate::nets::experts::definition::TRUNK;
    use crate::nets::experts::{ExpertsLayout, Phase, Widths};
    use crate::num::philox::{Stream, draw};

    /// Draws are those behind the cameras', log-densities are those of what was drawn, in sampling as in the loss.
    #[test]
    fn phases_are_drawn_behind_the_cameras() {
        // Five cameras take two draws.
        let widths =
            Widths { obs: 15, vehicles: 5, antennas: 3, lstm: 1, phases: &[], trunk: &[2], critic: &[2] };
        let layout = ExpertsLayout::new(TRUNK, Phase::Direct, &widths).drawn();
        let (km, envs, first) = (15, 21, 40);
        let mut params = vec![0.0; layout.params()];
        layout.log_std().zip(0..).for_each(|(at, i)| params[at] = -0.1 * i as f32);
        let mut net = ExpertsCpu::new(&layout);
        net.pack(&params);
        let at = At { replica: 0, key: [3, 4], first, envs, clock: 7 };
        let mean: Vec<f32> = (0..envs * km).map(|i| (i % 17) as f32).collect();
        let (mut phases, mut logprob) = (vec![0.0; envs * km], vec![0.0; envs]);
        draw_phases(&net, &at, &mean, &mut phases, &mut logprob);
        let drawn = Drawn { log_std: &net.log_std, mean: &mean, ld: km, drawn: &phases };
        let mut again = vec![0.0; envs];
        drawn.logprobs(&mut again);
        for e in 0..envs {
            let mut density = 0.0;
            for i in 0..km {
                let block = 2 + i as u32 / 4;
                let z: f64 =
                    normals_of(draw(at.key, Stream::Action, first + e as u32, at.clock, block))[i % 4];
                let log_std = f64::from(net.log_std[i]);
                let want = f64::from(mean[e * km + i]) + log_std.exp() * z;
                assert!((f64::from(phases[e * km + i]) - want).abs() < 1e-5, "environment {e}, phase {i}");
                density += -0.5 * z * z - log_std - 0.5 * (2.0 * std::f64::consts::PI).ln();
            }
            for x in [logprob[e], again[e]] {
                assert!((f64::from(x) - density).abs() < 1e-4, "environment {e}: {x} against {density}");
            }
        }
    }
}

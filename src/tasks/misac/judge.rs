//! What the beams of a slot reach, in vector lanes.

use super::physics::{MisacParams, MisacSpec, Phase, gains, load_state};
use crate::num::real::{F32Lanes, LaneKernel, Word};

/// Rows of what [`Judge`] writes: sums over vehicles of the four gains (own, matched, estimate, truth) and of the
/// rates, the largest modulus error, and the power over P_max.
pub const REACHED: usize = 7;

/// Judges the beams of one slot, in the state before the step.
pub struct Judge<'a> {
    pub task: &'a MisacSpec,
    pub params: &'a MisacParams,
    pub envs: usize,
    pub first: u32,
    pub clock: u32,
    /// `[7K, envs]`
    pub state: &'a [f32],
    /// `[envs, K·M]`; `None`: steered at the estimate.
    pub phases: Option<&'a [f32]>,
    /// [`REACHED`, envs]
    pub out: &'a mut [f32],
}

impl Judge<'_> {
    #[inline(always)]
    fn range<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let Judge { task, params, envs, first, clock, state, phases, .. } = *self;
        let (k, km) = (task.vehicles, task.vehicles * task.antennas);
        let zero = V::splat(0.0);
        let mut phi = vec![zero; km];
        let mut lanes = [0f32; 16];
        let per_p_max = V::splat(1.0 / (f64::from(params.beam_power_w) * k as f64));
        let mut env = from;
        while env < to {
            let ids = V::Word::iota(first + env as u32);
            let s = load_state::<V>(k, state, envs, env);
            let mut meaning = Phase::Residual;
            if let Some(rows) = phases {
                meaning = Phase::Direct;
                for (n, phi) in phi.iter_mut().enumerate() {
                    for (l, x) in lanes.iter_mut().enumerate().take(V::LANES) {
                        *x = rows[(env + l) * km + n];
                    }
                    *phi = V::load(&lanes);
                }
            }
            let mut sum = [zero; REACHED];
            for i in 0..k {
                let g = gains::<V>(
                    task,
                    params,
                    &s,
                    i,
                    ids,
                    clock,
                    meaning,
                    #[inline(always)]
                    |n| phi[n],
                );
                for (sum, x) in sum.iter_mut().zip([g.gain, g.matched, g.estimate, g.truth, g.rate]) {
                    *sum += x;
                }
                sum[5] = sum[5].max(g.modulus_error);
                sum[6] += g.power * per_p_max;
            }
            for (n, x) in sum.into_iter().enumerate() {
                x.store(&mut self.out[n * envs + env..]);
            }
            env += V::LANES;
        }
    }
}

impl LaneKernel for Judge<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let whole = self.envs / V::LANES * V::LANES;
        self.range::<V>(0, whole);
        self.range::<f32>(whole, self.envs);
    }
}

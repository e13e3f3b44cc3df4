//! What a slot of all environments leaves behind, as the twin of a step's kernel and its check have it.

use super::compare::{Comparison, Tol, compare_exact, compare_twins};
use super::twin::Scalar;
use crate::gpu::{Buf, Gpu, GpuError};

/// Everything a slot writes, at the offsets of the dispatch. A check has a scale of each number in the same shape.
#[derive(Default)]
pub struct Slot<F> {
    pub state: Vec<F>,
    pub obs: Vec<F>,
    pub final_obs: Vec<F>,
    pub reward: Vec<F>,
    pub flags: Vec<u32>,
    pub metrics: Vec<F>,
}

impl<F: Scalar> Slot<F> {
    /// Before a slot from `state`: elsewhere zeros, as many as there are elements of observations, final observations, rewards (and flags) and metrics.
    pub fn before(state: &[f32], [obs, final_obs, reward, metrics]: [usize; 4]) -> Self {
        let zeros = |n: usize| vec![F::splat(0.0); n];
        Slot {
            state: numbers(state),
            obs: zeros(obs),
            final_obs: zeros(final_obs),
            reward: zeros(reward),
            flags: vec![0; reward],
            metrics: zeros(metrics),
        }
    }
}

/// The same numbers for a twin.
pub fn numbers<F: Scalar>(x: &[f32]) -> Vec<F> {
    x.iter().map(|&x| F::splat(f64::from(x))).collect()
}

impl Slot<f32> {
    /// What the buffers of a step's kernel hold: state, observations, final observations, reward and metrics.
    pub fn read(gpu: &Gpu, floats: [&Buf<f32>; 5], flags: &Buf<u32>) -> Result<Self, GpuError> {
        let [state, obs, final_obs, reward, metrics] = floats.map(|buf| gpu.read(buf));
        Ok(Slot {
            state: state?,
            obs: obs?,
            final_obs: final_obs?,
            reward: reward?,
            flags: gpu.read(flags)?,
            metrics: metrics?,
        })
    }

    /// What a device wrote into poison against both twins, in a slot that `ends` episodes or not. `metrics` are the comparisons of these if they were asked
    /// for; neither they nor final observations may be written without need.
    pub fn compare(
        &self,
        gpu: &Gpu,
        (when, tol): (&str, Tol),
        [want, scale]: [&Slot<f64>; 2],
        twin: &Slot<f32>,
        ends: bool,
        metrics: Option<Vec<Comparison>>,
    ) -> Vec<Comparison> {
        let both = |what: &str, of: fn(&Slot<f32>) -> &[f32], wide: fn(&Slot<f64>) -> &[f64]| {
            compare_twins(gpu, &format!("{what}, {when}"), of(self), [wide(want), wide(scale)], tol, of(twin))
        };
        let mut rows = both("state", |s| &s.state, |s| &s.state);
        rows.extend(both("obs", |s| &s.obs, |s| &s.obs));
        rows.extend(both("reward", |s| &s.reward, |s| &s.reward));
        if ends {
            rows.extend(both("final_obs", |s| &s.final_obs, |s| &s.final_obs));
        }
        let touched = |x: &[f32]| x.iter().filter(|x| x.to_bits() != u32::MAX).count() as u32;
        let without_need = [
            if ends { 0 } else { touched(&self.final_obs) },
            if metrics.is_some() { 0 } else { touched(&self.metrics) },
        ];
        rows.extend(metrics.into_iter().flatten());
        let what = format!("elements of final_obs and metrics written without need, {when}");
        rows.push(compare_exact(&what, &without_need, &[0, 0]));
        rows.push(compare_exact(&format!("flags, {when}"), &self.flags, &want.flags));
        rows
    }
}

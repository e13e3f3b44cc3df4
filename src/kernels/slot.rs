//! The check of a step's kernel: what a slot leaves behind, at the offsets of a dispatch, on a device and in both
//! twins.

use super::compare::{Comparison, Tol, compare_exact, compare_twins};
use super::twin::Scalar;
use crate::env::Slot;
use crate::gpu::{Buf, Gpu, GpuError};

/// What the twin finds before a slot from `state`; all else is zeros, in the sizes of [`Slot::filled`].
pub fn before<F: Scalar>(state: &[f32], sizes: [usize; 4]) -> Slot<F> {
    Slot::filled(numbers(state), sizes, F::splat(0.0))
}

/// The same numbers for a twin.
pub fn numbers<F: Scalar>(x: &[f32]) -> Vec<F> {
    x.iter().map(|&x| F::splat(f64::from(x))).collect()
}

/// What the buffers of a step's kernel hold: state, observations, final observations, reward and metrics.
pub fn read(gpu: &Gpu, floats: [&Buf<f32>; 5], flags: &Buf<u32>) -> Result<Slot, GpuError> {
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

/// What a device wrote into poison against both twins, in a slot that `ends` episodes or not. `metrics` are the
/// comparisons of these if they were asked for; neither they nor final observations may be written without need.
pub fn compare(
    got: &Slot,
    gpu: &Gpu,
    (when, tol): (&str, Tol),
    [want, scale]: [&Slot<f64>; 2],
    twin: &Slot,
    ends: bool,
    metrics: Option<Vec<Comparison>>,
) -> Vec<Comparison> {
    let both = |what: &str, of: fn(&Slot) -> &[f32], wide: fn(&Slot<f64>) -> &[f64]| {
        compare_twins(gpu, &format!("{what}, {when}"), of(got), [wide(want), wide(scale)], tol, of(twin))
    };
    let mut rows = both("state", |s| &s.state, |s| &s.state);
    rows.extend(both("obs", |s| &s.obs, |s| &s.obs));
    rows.extend(both("reward", |s| &s.reward, |s| &s.reward));
    if ends {
        rows.extend(both("final_obs", |s| &s.final_obs, |s| &s.final_obs));
    }
    let touched = |x: &[f32]| x.iter().filter(|x| x.to_bits() != u32::MAX).count() as u32;
    let without_need = [
        if ends { 0 } else { touched(&got.final_obs) },
        if metrics.is_some() { 0 } else { touched(&got.metrics) },
    ];
    rows.extend(metrics.into_iter().flatten());
    let what = format!("elements of final_obs and metrics written without need, {when}");
    rows.push(compare_exact(&what, &without_need, &[0, 0]));
    rows.push(compare_exact(&format!("flags, {when}"), &got.flags, &want.flags));
    rows
}

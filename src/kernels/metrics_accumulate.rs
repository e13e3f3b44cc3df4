//! metrics_accumulate: metrics summed over the slots of an episode, environment by environment.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "metrics_accumulate");

pub const WG: usize = 64;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R·METRIC_ROWS·B.
    pub elements: usize,
}

/// `metrics` `[R, METRIC_ROWS, B]` is added to `episode` of the same shape, or (`first`) overwrites it.
pub fn metrics_accumulate_cpu<F: Scalar>(spec: &Spec, first: bool, metrics: &[F], episode: &mut [F]) {
    for (e, &x) in episode[..spec.elements].iter_mut().zip(metrics) {
        *e = if first { x } else { *e + x };
    }
}

/// What a dispatch must do that is not the first of an episode.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(spec.elements, 3 * spec.elements)
}

pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("ELEMENTS", spec.elements)
}

host! {
    MetricsAccumulate, MetricsAccumulateBound;
    /// `metrics` and `episode`, both `[R, METRIC_ROWS, B]`.
    bind |spec| { metrics: f32 = of_len(spec.elements), episode: f32 = of_len(spec.elements) }
}

impl MetricsAccumulateBound {
    /// `first`: the slot starts the sum.
    pub fn record(&self, pass: &mut wgpu::ComputePass, first: bool) {
        self.bound.record(pass, fold_groups(self.spec.elements, WG), &[u32::from(first)]);
    }
}

/// Shader against f32 twin, exactly on every device: one addition, correctly rounded everywhere.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut u = uniforms(seed, 6);
    let slots: Vec<Vec<f32>> =
        (0..3).map(|_| (0..spec.elements).map(|_| (u() - 0.5) as f32).collect()).collect();
    let mut want = vec![f32::NAN; spec.elements];
    bind!(gpu, bound = MetricsAccumulate::new(gpu, spec)?; metrics[spec.elements], episode[spec.elements]);
    for (t, slot) in slots.iter().enumerate() {
        metrics_accumulate_cpu(spec, t == 0, slot, &mut want);
        gpu.write(&metrics, slot);
        gpu.run(|pass| bound.record(pass, t == 0))?;
    }
    Ok(vec![compare_words("episode", &gpu.read(&episode)?, &want)])
}

//! obs_mask: hides the last columns of observations from a policy, in place (the ages, for the study without them).

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "obs_mask");

pub const WG: usize = 64;

/// Rows of O observations, of which those from `first` on are hidden.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub rows: usize,
    pub o: usize,
    pub first: usize,
}

pub const DEFAULT: Spec = Spec { rows: 1500, o: 12, first: 8 };

/// `obs` `[rows, O]` from element `obs_off`.
pub fn obs_mask_cpu(spec: &Spec, obs_off: usize, obs: &mut [f32]) {
    for row in obs[obs_off..].chunks_exact_mut(spec.o).take(spec.rows) {
        row[spec.first..].fill(0.0);
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, spec.rows * (spec.o - spec.first))
}

/// Constants of the shader.
pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("ROWS", s.rows).u32("O", s.o).u32("FIRST", s.first)
}

host! {
    ObsMask, ObsMaskBound;
    fits |_, spec| {
        assert!(spec.first < spec.o, "obs_mask: {spec:?} hides nothing");
        Ok(())
    };
    /// `obs` holds whatever the offset of `record` points into.
    bind |_| { obs: f32 }
}

impl ObsMaskBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, obs_off: usize) {
        let Spec { rows, o, first } = self.spec;
        assert_inside("obs_mask", "obs", obs_off, rows * o, self.obs);
        self.bound.record(pass, fold_groups(rows * (o - first), WG), &[obs_off as u32]);
    }
}

/// Shader against twin, bits of every number: numbers that are not hidden must not change, nor those before and behind
/// the rows.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let off = 5;
    let mut obs = normal(seed, 0, off + spec.rows * spec.o + 3, 1.0);
    bind!(gpu, bound = ObsMask::new(gpu, spec)?; buf = obs);
    obs_mask_cpu(spec, off, &mut obs);
    gpu.run(|pass| bound.record(pass, off))?;
    Ok(vec![compare_words("obs", &gpu.read(&buf)?, &obs)])
}

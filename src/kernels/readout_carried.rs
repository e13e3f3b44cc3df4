//! readout_carried: what a leaky read-out keeps of the slot before, where potentials are carried from slot to slot
//! ([`Membrane::Carried`](crate::nets::Membrane)): y = (1−λ)^S·y' + what the network gave from rest, in place; the new
//! output takes the place of y' among the potentials, or goes to another row of them.

use super::common::*;
use super::lif_forward::CarriedAt;

pub const SHADER: Source = shader!("shaders/", "readout_carried");

pub const WG: usize = 64;

pub const TOL: Tol =
    Tol { abs: 0.0, rel: 2e-7, why: "of |y| + |kept·y'|: a product and a sum, each to half an ulp" };

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica; the most that will be recorded.
    pub m: usize,
    /// O: outputs.
    pub o: usize,
    /// (1−λ)^S
    pub kept: f64,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 200, o: 6, kept: 1.0 / 64.0 };

/// `m` samples a replica; `y` `[R, m, O]` from `y_off`; `membrane` as `at` says, of which the places of other layers
/// are left alone.
pub fn readout_carried_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    m: usize,
    y_off: usize,
    at: CarriedAt,
    y: &mut [F],
    membrane: &mut [F],
) {
    let kept = F::splat(spec.kept);
    for (n, y) in y[y_off..].iter_mut().enumerate().take(spec.r * m * spec.o) {
        *y += kept * membrane[at.start(n, spec.o)];
        membrane[at.end(n, spec.o)] = *y;
    }
}

/// What a dispatch over all M samples must do.
pub fn cost(spec: &Spec) -> Cost {
    let outputs = spec.r * spec.m * spec.o;
    Cost::new(2 * outputs, 4 * outputs)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("O", spec.o).f32("KEPT", spec.kept as f32)
}

host! {
    ReadoutCarried, ReadoutCarriedBound;
    /// Both hold whatever the offsets of `record` point into.
    bind |_| { y: f32, membrane: f32 }
}

impl ReadoutCarriedBound {
    /// `m` samples of each replica, at least 1.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, y_off: usize, at: CarriedAt) {
        assert!(
            (1..=self.spec.m).contains(&m),
            "readout_carried: {m} samples, compiled for 1..={}",
            self.spec.m
        );
        let outputs = self.spec.r * m * self.spec.o;
        assert_inside("readout_carried", "y", y_off, outputs, self.y);
        at.assert_inside("readout_carried", self.spec.r * m, self.spec.o, self.membrane);
        let [n, y_off] = [outputs, y_off].map(|v| v as u32);
        let [start, end, width] = at.immediates();
        self.bound.record(pass, fold_groups(outputs, WG), &[n, y_off, start, end, width]);
    }
}

/// Shader against f64 twin on the same f32 inputs: into another row of potentials and in place, and what is of other
/// layers must stay.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, o, kept } = spec;
    let (width, y_off, samples) = (o + 1, 7, r * m);
    let rows = samples * width;
    let mut out = Vec::new();
    for (name, first, end) in [("to the next row", 1, rows + 1), ("in place", rows, rows)] {
        let at = CarriedAt { start: first, end, width };
        let (y, membrane) = (normal(seed, 0, y_off + samples * o, 1.0), normal(seed, 1, 2 * rows, 1.0));
        let (mut want, mut want_membrane) = (widen(&y), widen(&membrane));
        let (mut scale, mut scale_membrane) = (magnitudes(&want), magnitudes(&want_membrane));
        for n in 0..samples * o {
            scale[y_off + n] += kept * scale_membrane[at.start(n, o)];
        }
        for n in 0..samples * o {
            scale_membrane[at.end(n, o)] = scale[y_off + n];
        }
        readout_carried_cpu(spec, m, y_off, at, &mut want, &mut want_membrane);
        bind!(gpu, bound = ReadoutCarried::new(gpu, spec)?; y, membrane);
        gpu.run(|pass| bound.record(pass, m, y_off, at))?;
        let compared = vec![
            compare_scaled("y", &gpu.read(&y)?, &want, &scale, TOL),
            compare_scaled("membrane", &gpu.read(&membrane)?, &want_membrane, &scale_membrane, TOL),
        ];
        out.extend(super::registry::named(name, compared));
    }
    Ok(out)
}

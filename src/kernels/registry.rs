//! What a kernel is to those who go through all of them: checks, tests and benches.

use super::compare::Comparison;
use super::cost::Cost;
use crate::gpu::{Gpu, GpuError, Import, Prelude, Reduce, Source, compose};

/// What every kernel can import.
pub const SHARED: &[Import] = imports!["shaders/shared/":
    "activation",
    "dense_layer",
    "index",
    "lif",
    "math",
    "minibatch",
    "philox",
    "reduce_subgroups",
    "reduce_tree",
    "shuffle",
    "tile",
    "tile_results",
];

/// A kernel: what checks it at its default sizes, and what compiles it without a device.
pub struct Entry {
    /// Stem of the shader, the host file, the twin, the test and the bench.
    pub kernel: &'static str,
    pub shader: Source,
    /// Threads of a workgroup.
    pub wg: fn() -> usize,
    /// Constants of a typical instance.
    pub prelude: fn() -> Prelude,
    /// What a dispatch of that instance must do.
    pub cost: fn() -> Cost,
    pub check: fn(&Gpu) -> Result<Vec<Comparison>, GpuError>,
    /// What not every adapter has.
    pub needs: wgpu::Features,
}

impl Entry {
    /// What an adapter lacks to run the kernel.
    pub fn lacks(&self, gpu: &Gpu) -> Option<wgpu::Features> {
        let lacks = self.needs - gpu.features;
        (!lacks.is_empty()).then_some(lacks)
    }

    /// Whether the kernel adds over a workgroup, in one of the forms of [`Reduce`].
    pub fn adds(&self) -> bool {
        let source = |form| compose(&self.shader, &(self.prelude)(), form).map(|c| c.source).ok();
        source(Reduce::Tree) != source(Reduce::Subgroups)
    }
}

/// The comparisons of `check` with each form of the sum over a workgroup that the adapter has.
pub(crate) fn in_each_form(
    gpu: &Gpu,
    check: impl Fn(&Gpu) -> Result<Vec<Comparison>, GpuError>,
) -> Result<Vec<Comparison>, GpuError> {
    let mut rows = Vec::new();
    for form in Reduce::ALL {
        match gpu.with_reduce(form) {
            Ok(gpu) => rows.extend(named(form.name(), check(&gpu)?)),
            Err(GpuError::Unsupported { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(rows)
}

/// The comparisons of `check` of each of these variants, under its name.
pub(crate) fn variants<V: Copy + std::fmt::Debug>(
    all: impl IntoIterator<Item = V>,
    check: impl Fn(V) -> Result<Vec<Comparison>, GpuError>,
) -> Result<Vec<Comparison>, GpuError> {
    let mut rows = Vec::new();
    for variant in all {
        rows.extend(named(&format!("{variant:?}"), check(variant)?));
    }
    Ok(rows)
}

/// The same comparisons with `variant` in front of their names.
pub fn named(variant: &str, rows: Vec<Comparison>) -> Vec<Comparison> {
    rows.into_iter().map(|c| Comparison { quantity: format!("{variant}: {}", c.quantity), ..c }).collect()
}

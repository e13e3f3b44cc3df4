//! One case per kernel of the registry: the kernel bound to buffers of a training run's sizes, and what a dispatch of
//! it must do.

mod dense;
mod heads;
mod losses;
mod misac;
mod off_policy;
mod optimiser;
mod random;
mod recurrent;
mod rollout;
mod spiking;
mod v2x;

use bytemuck::Pod;
use isacbench::bench::grid::Kernels;
use isacbench::gpu::{Buf, Fill, Gpu, GpuError};
use isacbench::kernels::Cost;
use isacbench::kernels::inputs::normal;
use isacbench::nets::{Lif, Membrane, Readout};
use isacbench::num::real::half::f16_bits;
use isacbench::tasks::misac::kernels::misac_batch;
use isacbench::tasks::misac::physics::{
    Choices as MisacChoices, MisacParams, MisacSpec, STATE_ROWS, Uncertainty,
};
use isacbench::tasks::v2x::kernels::v2x_batch;
use isacbench::tasks::v2x::physics::{Beam, Choices, Kinematics, V2xParams, V2xSpec};
use std::cell::RefCell;

/// Width of the hidden layers.
pub const HIDDEN: usize = 128;
/// The neurons of the paper.
pub const LIF: Lif = Lif {
    steps: 6,
    lambda: 0.5,
    threshold: 1.0,
    reset: 0.0,
    eta: 3.0,
    detach_reset: false,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

/// Sizes by their letters.
pub type Sizes<'a> = &'a [(&'static str, usize)];

/// Records one dispatch.
pub type Record = Box<dyn Fn(&mut wgpu::ComputePass)>;

/// A kernel at some sizes.
pub struct Case {
    pub sizes: Vec<(&'static str, usize)>,
    pub cost: Cost,
    /// Bytes of every buffer that was made for it.
    pub buffers: Vec<(String, usize)>,
    /// None without an adapter.
    pub record: Option<Record>,
}

/// Makes buffers and remembers how large they are.
pub struct Maker<'a> {
    gpu: Option<&'a Gpu>,
    pub at: Kernels,
    buffers: RefCell<Vec<(String, usize)>>,
}

impl Maker<'_> {
    /// With an adapter, binds the kernel by `bind`.
    fn case(
        &self,
        sizes: Sizes,
        cost: Cost,
        bind: impl FnOnce(&Gpu) -> Result<Record, GpuError>,
    ) -> Result<Option<Case>, GpuError> {
        let record = self.gpu.map(bind).transpose()?;
        Ok(Some(Case { sizes: sizes.to_vec(), cost, buffers: self.buffers.take(), record }))
    }

    fn adapter(&self) -> &Gpu {
        self.gpu.expect("buffers are made where there is an adapter")
    }

    fn upload<T: Pod>(&self, name: &str, shape: &[usize], data: &[T]) -> Result<Buf<T>, GpuError> {
        self.buffers.borrow_mut().push((name.into(), size_of_val(data)));
        self.adapter().upload(name, shape, data)
    }

    fn alloc<T: Pod>(&self, name: &str, shape: &[usize]) -> Result<Buf<T>, GpuError> {
        let bytes = shape.iter().product::<usize>() * size_of::<T>();
        self.buffers.borrow_mut().push((name.into(), bytes));
        self.adapter().alloc(name, shape, Fill::Zero)
    }

    /// Normal numbers of standard deviation 0.3, which repeat.
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Buf<f32>, GpuError> {
        let some = normal(1, 0, 1 << 16, 0.3);
        let all: Vec<f32> = some.iter().copied().cycle().take(shape.iter().product()).collect();
        self.upload(name, shape, &all)
    }

    /// The same numbers as the bits of f16.
    fn halves(&self, name: &str, shape: &[usize]) -> Result<Buf<u16>, GpuError> {
        let some: Vec<u16> = normal(1, 0, 1 << 16, 0.3).into_iter().map(f16_bits).collect();
        let all: Vec<u16> = some.iter().copied().cycle().take(shape.iter().product()).collect();
        self.upload(name, shape, &all)
    }

    fn zeros(&self, name: &str, shape: &[usize]) -> Result<Buf<f32>, GpuError> {
        self.alloc(name, shape)
    }

    fn keys(&self) -> Result<Buf<[u32; 2]>, GpuError> {
        let r = self.at.r;
        self.upload("keys", &[r], &(0..r as u32).map(|i| [1, i]).collect::<Vec<_>>())
    }

    /// What a minibatch's losses need of each sample.
    fn scalars(&self) -> Result<Buf<[f32; 4]>, GpuError> {
        let Kernels { r, m, .. } = self.at;
        let row = |x: f32| [-5.0 + 0.1 * x, x, 0.5 * x, 0.4 * x];
        let rows: Vec<_> = normal(2, 0, r * m, 0.3).into_iter().map(row).collect();
        self.upload("mb_scalars", &[r, m], &rows)
    }

    /// Spike words of `rows` samples of a hidden layer.
    fn spike_words(&self, name: &str, rows: usize) -> Result<Buf<u32>, GpuError> {
        let shape = [self.at.r, rows, HIDDEN];
        let word = |x: f32| x.to_bits() >> 8 & 0x3f;
        let words: Vec<_> = normal(4, 0, shape.iter().product(), 1.0).into_iter().map(word).collect();
        self.upload(name, &shape, &words)
    }

    /// Task v2x of the preset `fast`.
    fn v2x(&self, beam: Beam) -> v2x_batch::Spec {
        let task = V2xSpec {
            vehicles: 3,
            antennas: 32,
            slots: 100,
            beam,
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        };
        v2x_batch::Spec { r: self.at.r, b: self.at.b, task }
    }

    fn v2x_params(&self, spec: &v2x_batch::Spec) -> Result<Buf<V2xParams>, GpuError> {
        self.upload("params", &[self.at.r], &v2x_batch::check_params(spec, 1))
    }

    /// States all over the road.
    fn v2x_states(&self, spec: &v2x_batch::Spec) -> Result<Buf<f32>, GpuError> {
        let shape = [spec.r, spec.task.state_rows(), spec.b];
        self.upload("state", &shape, &v2x_batch::check_states(spec, 1))
    }

    /// Task misac as in the paper.
    fn misac(&self) -> misac_batch::Spec {
        let task = MisacSpec {
            vehicles: 4,
            antennas: 64,
            slots: 200,
            uncertainty: Uncertainty::Constant,
            choices: MisacChoices::DEFAULT,
        };
        misac_batch::Spec { r: self.at.r, b: self.at.b, task }
    }

    fn misac_params(&self) -> Result<Buf<MisacParams>, GpuError> {
        self.upload("params", &[self.at.r], &misac_batch::check_params(&self.misac(), 1))
    }

    /// States all over the road.
    fn misac_states(&self) -> Result<Buf<f32>, GpuError> {
        let spec = self.misac();
        let states = misac_batch::check_states(&spec, &misac_batch::check_params(&spec, 1), 1);
        self.upload("state", &[spec.r, STATE_ROWS * spec.task.vehicles, spec.b], &states)
    }
}

/// Kernel `stem` at the sizes `at`; bound if there is an adapter, else only described.
///
/// # Panics
/// If the kernel has no case: every kernel of the registry must.
pub fn build(gpu: Option<&Gpu>, at: Kernels, stem: &str) -> Result<Case, GpuError> {
    let mk = Maker { gpu, at, buffers: RefCell::default() };
    let families = [
        random::build,
        v2x::build,
        misac::build,
        dense::build,
        spiking::build,
        recurrent::build,
        heads::build,
        rollout::build,
        losses::build,
        optimiser::build,
        off_policy::build,
    ];
    for family in families {
        if let Some(case) = family(&mk, stem)? {
            return Ok(case);
        }
    }
    panic!("kernel '{stem}' of the registry has no bench")
}

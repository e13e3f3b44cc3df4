//! Monte Carlo evaluation: whole episodes of one controller in many replicas, on the CPU or a GPU, with the same draws.
//!
//! Episode e of a replica runs under key (seed, 1 + e/4096) as environment e mod 4096, whatever the device or the
//! batch, so that results do not depend on how episodes are grouped; training uses key (seed, 0). The unit of every
//! interval is the episode's mean over its slots.

mod cpu;
mod device;
mod gpu;

pub use device::{evaluate, in_order};

use crate::energy::RuleCounts;
use crate::env::{At, Env, Samples};
use crate::gpu::{Buf, Gpu, GpuError};
use crate::kernels::quantile_count;
use crate::nets::{Activity, Policy};
use std::sync::Arc;

/// Episodes under one Philox key.
pub const KEY_BATCH: u64 = 4096;

/// What a policy's network computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision, as in training.
    F32,
    /// Weights and activations rounded to half precision, sums in single (`dense_forward_f16`): perceptrons on a GPU
    /// adapter only.
    F16,
    /// Weights and activations in 8-bit integers, sums in 32-bit ones: perceptrons, on the CPU.
    Int8,
}

impl Precision {
    /// Why a network cannot compute in it; nothing where it is that of training.
    pub fn refuse(self, why: &'static str) -> Result<(), GpuError> {
        match self {
            Precision::F32 => Ok(()),
            Precision::F16 => Err(GpuError::NoF16(why)),
            Precision::Int8 => Err(GpuError::NoInt8(why)),
        }
    }
}

/// Mean over episodes and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    /// NaN for a single episode.
    pub std_error: f64,
}

impl Estimate {
    /// From the sums (Σx, Σx²) over episodes.
    pub fn of(episodes: u64, [sum, squares]: [f64; 2]) -> Self {
        let n = episodes as f64;
        let mean = sum / n;
        let var = ((squares - sum * mean) / (n - 1.0)).max(0.0);
        Estimate { mean, std_error: if episodes > 1 { (var / n).sqrt() } else { f64::NAN } }
    }
    /// A number without a spread.
    pub fn exact(mean: f64) -> Self {
        Estimate { mean, std_error: f64::NAN }
    }
}

/// Some environments of one replica before a decision.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub at: At,
    /// `[S, envs]`
    pub state: &'a [f32],
    /// `[envs, O]`
    pub obs: &'a [f32],
}

/// An agent that acts by a rule. The rule knows the task: it is made together with the environment that it acts in.
pub trait Acts: Send + Sync {
    /// Numbers of an environment that the rule keeps from slot to slot.
    fn memory(&self) -> usize {
        0
    }
    /// Writes the actions `[envs, A]` of the coming slot. `memory`, `memory()` numbers of each environment in a layout
    /// of the rule's own, is 0 before the first slot of an episode.
    fn act(&self, now: &Moment, memory: &mut [f32], action: &mut [f32]);
    /// The same decisions by a kernel, for `b` environments of each replica; `None`: the rule decides on the CPU, and
    /// is evaluated there.
    ///
    /// # Errors
    /// What the adapter lacks.
    fn bind(&self, gpu: &Gpu, b: usize, buffers: &ActBuffers) -> Result<Option<Box<dyn ActsGpu>>, GpuError> {
        let _ = (gpu, b, buffers);
        Ok(None)
    }
    /// Whether [`Acts::bind`] gives a kernel.
    fn on_gpu(&self) -> bool {
        false
    }
    /// What a decision in the middle of an episode takes; `None` of a rule that is not counted.
    fn counts(&self) -> Option<RuleCounts> {
        None
    }
}

/// Buffers of a rule's kernel.
pub struct ActBuffers<'a> {
    /// `[R, S, B]`
    pub state: &'a Buf<f32>,
    /// `[R, memory, B]`
    pub memory: &'a Buf<f32>,
    /// `[R, B, A]`
    pub action: &'a Buf<f32>,
}

/// A rule's kernel, bound to its buffers.
pub trait ActsGpu {
    /// Draws of the dispatches submitted from now on are under these keys, one for each replica.
    fn set_keys(&self, gpu: &Gpu, keys: &[[u32; 2]]);
    fn record(&self, pass: &mut wgpu::ComputePass, clock: u32);
}

/// What acts.
#[derive(Clone)]
pub enum Controller<'a> {
    Rule(Arc<dyn Acts>),
    /// A learned policy; `params` `[R, P]`.
    Policy {
        policy: Policy,
        params: &'a [f32],
        greedy: bool,
        precision: Precision,
    },
}

/// One evaluation.
pub struct Evaluation<'a> {
    pub env: Arc<dyn Env>,
    pub controller: Controller<'a>,
    /// Episodes per replica.
    pub episodes: u64,
    /// Rows of the metrics that are also told slot by slot.
    pub slots: &'a [usize],
}

/// What one replica did.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaEstimates {
    pub episodes: u64,
    /// In the order of [`Env::metrics`].
    pub metrics: Vec<Estimate>,
    /// Each of [`Evaluation::slots`] in every slot.
    pub slots: Vec<Vec<Estimate>>,
    /// Share of episodes that keep each of [`Env::limits`].
    pub shares: Vec<Estimate>,
    /// Median and 90 % quantile of the quantities of [`Env::samples`].
    pub quantiles: Vec<[f64; 2]>,
    /// How active the policy network was, over all slots; `None` without a network.
    pub activity: Option<Activity>,
}

/// Shares of the values that lie below the quantiles which are told.
const QUANTILES: [f64; 2] = [0.5, 0.9];

/// Histograms of the quantities of [`Env::samples`] of one replica, one behind the other.
type Histograms = Vec<u64>;

/// The kernel that counts the samples of `envs` episodes of `r` replicas side by side, if there are samples.
fn counting(env: &dyn Env, r: usize, envs: usize) -> Option<quantile_count::Spec> {
    let (metric_rows, Samples { rows, quantiles }) = (env.sizes().metrics, env.samples()?);
    Some(quantile_count::Spec { r, metric_rows, b: envs, quantities: quantiles.len(), rows })
}

/// No counts yet.
fn no_counts(env: &dyn Env) -> Histograms {
    vec![0; counting(env, 1, 1).map_or(0, |spec| spec.counts())]
}

/// Adds counts of the same histograms.
fn add_counts(total: &mut [u64], counts: &[u32]) {
    for (total, n) in total.iter_mut().zip(counts) {
        *total += u64::from(*n);
    }
}

/// Sums over episodes, in f64: count, then (Σx, Σx²) per metric and, for each row that is told slot by slot, per slot.
#[derive(Clone)]
struct Sums {
    episodes: u64,
    metrics: Vec<[f64; 2]>,
    slots: Vec<Vec<[f64; 2]>>,
    /// Episodes that keep each limit.
    kept: Vec<u64>,
    /// Empty where it was not counted.
    activity: Activity,
}

impl Sums {
    fn new(eval: &Evaluation) -> Self {
        let size = eval.env.sizes();
        Sums {
            episodes: 0,
            metrics: vec![[0.0; 2]; size.metrics],
            slots: vec![vec![[0.0; 2]; size.slots]; eval.slots.len()],
            kept: vec![0; eval.env.limits().len()],
            activity: Activity::default(),
        }
    }
    fn add(&mut self, o: &Sums) {
        self.episodes += o.episodes;
        if o.activity.samples > 0 {
            self.activity.add(&o.activity);
        }
        for (a, b) in self.kept.iter_mut().zip(&o.kept) {
            *a += b;
        }
        let own = self.metrics.iter_mut().chain(self.slots.iter_mut().flatten());
        for (a, b) in own.zip(o.metrics.iter().chain(o.slots.iter().flatten())) {
            a[0] += b[0];
            a[1] += b[1];
        }
    }
    fn estimates(&self, counts: &Histograms) -> ReplicaEstimates {
        let share = |kept: &u64| Estimate::of(self.episodes, [*kept as f64; 2]);
        let estimates = |all: &Vec<[f64; 2]>| all.iter().map(|s| Estimate::of(self.episodes, *s)).collect();
        ReplicaEstimates {
            episodes: self.episodes,
            metrics: estimates(&self.metrics),
            slots: self.slots.iter().map(estimates).collect(),
            shares: self.kept.iter().map(share).collect(),
            quantiles: counts
                .chunks_exact(quantile_count::BINS)
                .map(|counts| QUANTILES.map(|q| quantile_count::quantile(counts, q)))
                .collect(),
            activity: (self.activity.samples > 0).then(|| self.activity.clone()),
        }
    }
}

impl Evaluation<'_> {
    /// Whether a GPU can make the decisions.
    pub fn decides_on_gpu(&self) -> bool {
        match &self.controller {
            Controller::Rule(rule) => rule.on_gpu(),
            Controller::Policy { precision, .. } => *precision != Precision::Int8,
        }
    }
    /// Keys of all replicas for the episodes of batch `n`.
    fn keys(&self, n: u64) -> Vec<[u32; 2]> {
        (0..self.env.replicas()).map(|r| self.key(r, n)).collect()
    }
    fn key(&self, replica: usize, n: u64) -> [u32; 2] {
        [self.env.key(replica)[0], 1 + n as u32]
    }
}

//! Rows of benchmarks. Unlike those of training and evaluation they are made of wall time, and no two runs have the same.

use super::nan_as_null;
use serde::{Deserialize, Serialize};

/// One benchmark on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchRow {
    /// Short name of the device: `cpu`, or the adapter's in small letters and hyphens.
    pub device: String,
    /// As its driver, or the processor, names it.
    pub device_name: String,
    /// `cpu`, `gpu` or `software-gpu`; the speed of the last says nothing about GPUs.
    pub device_kind: String,
    /// Driver and its version; empty for the CPU path.
    pub driver: String,
    /// Threads of the CPU path; null on GPUs.
    pub threads: Option<u32>,
    /// `kernel`, `physics`, `rollout`, `update`, `training`, `phase` or `ceiling`.
    pub section: String,
    pub group: String,
    /// `R=1,B=1024`: letters of the dimensions with their sizes.
    pub sizes: String,
    /// `v2x` or `misac`; empty where neither matters.
    pub task: String,
    /// Agent or network; empty where none acts.
    pub policy: String,
    /// R; null where the benchmark has none, as for the next two.
    pub replicas: Option<u32>,
    /// B, environments.
    pub batch: Option<u32>,
    /// H, hidden units.
    pub hidden: Option<u32>,
    /// What was compared before timing, and with what result; empty where there is nothing to compare.
    pub check: String,
    /// Samples of the wall time.
    pub samples: u32,
    /// Iterations of all samples.
    pub iterations: u64,
    /// Median wall time of an iteration, s, and its 95 % bootstrap interval over samples.
    #[serde(with = "nan_as_null")]
    pub wall_s: f64,
    #[serde(with = "nan_as_null")]
    pub wall_lo_s: f64,
    #[serde(with = "nan_as_null")]
    pub wall_hi_s: f64,
    /// Median time of an iteration on the device itself, s, with its interval; null without timestamps.
    #[serde(with = "nan_as_null")]
    pub device_s: f64,
    #[serde(with = "nan_as_null")]
    pub device_lo_s: f64,
    #[serde(with = "nan_as_null")]
    pub device_hi_s: f64,
    /// How it was taken; else empty.
    pub device_method: String,
    /// Work of one iteration; null where it does not apply.
    #[serde(with = "nan_as_null")]
    pub env_steps: f64,
    #[serde(with = "nan_as_null")]
    pub inferences: f64,
    #[serde(with = "nan_as_null")]
    pub flops: f64,
    #[serde(with = "nan_as_null")]
    pub bytes: f64,
    /// By wall time.
    #[serde(with = "nan_as_null")]
    pub env_steps_per_s: f64,
    #[serde(with = "nan_as_null")]
    pub inferences_per_s: f64,
    /// `device` or `wall`: the time behind all that follows.
    pub clock: String,
    #[serde(with = "nan_as_null")]
    pub flops_per_s: f64,
    #[serde(with = "nan_as_null")]
    pub bytes_per_s: f64,
    /// Intensity.
    #[serde(with = "nan_as_null")]
    pub flops_per_byte: f64,
    /// What a large matrix product and a large copy reached on this device in this run.
    #[serde(with = "nan_as_null")]
    pub ceiling_flops_per_s: f64,
    #[serde(with = "nan_as_null")]
    pub ceiling_bytes_per_s: f64,
    /// The smaller one of the compute ceiling and the memory ceiling times the intensity.
    #[serde(with = "nan_as_null")]
    pub roofline_flops_per_s: f64,
    /// Reached over ceiling, 1.
    #[serde(with = "nan_as_null")]
    pub compute_share: f64,
    #[serde(with = "nan_as_null")]
    pub memory_share: f64,
    #[serde(with = "nan_as_null")]
    pub roofline_share: f64,
    /// `compute` or `memory`: which ceiling is the lower one at this intensity; else empty.
    pub bound: String,
    /// Why there is no share of a ceiling; else empty.
    pub reason: String,
    /// When the samples were written, RFC 3339, UTC.
    pub taken_utc: String,
}

/// One sample of one benchmark: what intervals and comparisons start from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchSampleRow {
    pub device: String,
    pub group: String,
    pub sizes: String,
    /// `wall` or `device`.
    pub clock: String,
    pub sample: u32,
    /// Iterations of the sample; 1 for device times, each of which is of one iteration.
    pub iterations: u64,
    /// Time of one iteration, s.
    pub seconds: f64,
}

/// Throughput along one dimension, all others fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchScalingRow {
    pub device: String,
    pub group: String,
    /// `B` or `R`.
    pub axis: String,
    /// The other sizes; empty if there are none.
    pub fixed: String,
    pub size: u32,
    /// `env_steps`, `inferences`, `flops` or `bytes`: the first of them that the benchmark has.
    pub quantity: String,
    /// By wall time, with the ends of its 95 % interval.
    pub per_s: f64,
    #[serde(with = "nan_as_null")]
    pub lo_per_s: f64,
    #[serde(with = "nan_as_null")]
    pub hi_per_s: f64,
    /// Throughput over that of the smallest size, 1.
    pub gain: f64,
    /// Gain over the ratio of the sizes, 1: 1 where twice the size gives twice the throughput (the same time), small where it gives no more.
    pub efficiency: f64,
}

/// A part of a training update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchPhaseRow {
    pub device: String,
    pub task: String,
    pub policy: String,
    pub sizes: String,
    /// `rollout`, `gae`, `update`, `readback`, …
    pub phase: String,
    /// Median wall time, s.
    pub wall_s: f64,
    /// Over the sum of all phases, 1.
    pub share: f64,
}

/// Joules of one inference or environment step by one method of [`crate::energy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchEnergyRow {
    /// Device that was measured; `model` for the three methods that are models of 45 nm CMOS and not of a device.
    pub device: String,
    pub device_name: String,
    pub task: String,
    pub agent: String,
    /// `inference` or `environment-step`.
    pub unit: String,
    /// What is done: `policy` (networks alone), `rollout` (with the environment) or `training` (with all that is learned from the step).
    pub work: String,
    /// `paper`, `effective-ops`, `memory-aware` or `measured`.
    pub method: String,
    /// Number format of the constants and what else was chosen; `device` where it was measured.
    pub constants: String,
    /// J per unit; null where the method gives none.
    #[serde(with = "nan_as_null")]
    pub energy_j: f64,
    /// 95 % Student-t interval over the windows, J; null for models.
    #[serde(with = "nan_as_null")]
    pub lo_j: f64,
    #[serde(with = "nan_as_null")]
    pub hi_j: f64,
    /// Idle power that was subtracted and mean power at work, W; null for models.
    #[serde(with = "nan_as_null")]
    pub idle_w: f64,
    #[serde(with = "nan_as_null")]
    pub busy_w: f64,
    /// Integrated power readings over the counter's joules in the same windows, 1; null where the device has only one of the two.
    #[serde(with = "nan_as_null")]
    pub integrated_share: f64,
    /// Whose weights: `initial` (seed 0), or the checkpoint's file name.
    pub weights: String,
    /// Why there is no energy, or how it was measured; else empty.
    pub reason: String,
}

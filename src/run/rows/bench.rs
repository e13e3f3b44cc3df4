//! Rows of benchmarks. Unlike those of training and evaluation they are made of wall time, and no two runs have the same.

use super::columns::row;

row! {
    /// One benchmark on one device.
    BenchRow, "benchmark" in "benchmarks.parquet", by [device, section, group, replicas, batch, hidden, sizes];
    /// Short name of the device: `cpu`, or the adapter's in small letters and hyphens.
    device: String,
    /// As its driver, or the processor, names it.
    device_name: String,
    /// `cpu`, `gpu` or `software-gpu`; the speed of the last says nothing about GPUs.
    device_kind: String,
    /// Driver and its version; empty for the CPU path.
    driver: String,
    /// Threads of the CPU path; null on GPUs.
    threads: Option<u32>,
    /// `kernel`, `physics`, `rollout`, `update`, `training`, `phase` or `ceiling`.
    section: String,
    /// Criterion's group.
    group: String,
    /// `R=1,B=1024`: letters of the dimensions with their sizes.
    sizes: String,
    /// Task id; empty where it does not matter.
    task: String,
    /// Agent or network; empty where none acts.
    policy: String,
    /// R; null where the benchmark has none, as for the next two.
    replicas: Option<u32>,
    /// B, environments.
    batch: Option<u32>,
    /// H, hidden units.
    hidden: Option<u32>,
    /// What was compared before timing, and with what result; empty where there is nothing to compare.
    check: String,
    /// Samples of the wall time.
    samples: u32,
    /// Iterations of all samples.
    iterations: u64,
    /// Median wall time of an iteration, s.
    wall_s: f64,
    /// Lower end of its 95 % bootstrap interval over samples, s.
    wall_lo_s: f64,
    /// Upper end, s.
    wall_hi_s: f64,
    /// Median time of an iteration on the device itself, s; null without timestamps, as for the next two.
    device_s: f64,
    /// Lower end of its 95 % interval, s.
    device_lo_s: f64,
    /// Upper end, s.
    device_hi_s: f64,
    /// How the time on the device was taken; else empty.
    device_method: String,
    /// Environment steps of one iteration; null where they do not apply, as for the next three.
    env_steps: f64,
    /// Inferences of one iteration.
    inferences: f64,
    /// Operations of one iteration by the formula, FLOP.
    flops: f64,
    /// Bytes that must move at least in one iteration, B.
    bytes: f64,
    /// Environment steps by wall time, 1/s.
    env_steps_per_s: f64,
    /// Inferences by wall time, 1/s.
    inferences_per_s: f64,
    /// `device` or `wall`: the time behind all that follows.
    clock: String,
    /// Operations reached, FLOP/s.
    flops_per_s: f64,
    /// Bytes reached, B/s.
    bytes_per_s: f64,
    /// Intensity, FLOP/B.
    flops_per_byte: f64,
    /// What a large matrix product reached on this device in this run, FLOP/s.
    ceiling_flops_per_s: f64,
    /// What a large copy reached, B/s.
    ceiling_bytes_per_s: f64,
    /// The smaller one of the compute ceiling and the memory ceiling times the intensity, FLOP/s.
    roofline_flops_per_s: f64,
    /// Operations over the compute ceiling, 1.
    compute_share: f64,
    /// Bytes over the memory ceiling, 1; above 1 where data stays in caches.
    memory_share: f64,
    /// Operations over the roofline, 1.
    roofline_share: f64,
    /// `compute` or `memory`: which ceiling is the lower one at this intensity; else empty.
    bound: String,
    /// Why there is no share of a ceiling; else empty.
    reason: String,
    /// When the samples were written, RFC 3339, UTC.
    taken_utc: String,
}

row! {
    /// One sample of one benchmark: what intervals and comparisons start from.
    BenchSampleRow, "sample" in "samples.parquet", by [device, group, sizes, clock, sample];
    /// Short name of the device.
    device: String,
    /// Criterion's group.
    group: String,
    /// Letters of the dimensions with their sizes.
    sizes: String,
    /// `wall` or `device`.
    clock: String,
    /// Number of the sample, from 0.
    sample: u32,
    /// Iterations of the sample; 1 for device times, each of which is of one iteration.
    iterations: u64,
    /// Time of one iteration, s.
    seconds: f64,
}

row! {
    /// Throughput along one dimension, all others fixed.
    BenchScalingRow, "scaling" in "scaling.parquet", by [device, group, axis, fixed, size];
    /// Short name of the device.
    device: String,
    /// Criterion's group.
    group: String,
    /// `B` or `R`.
    axis: String,
    /// The other sizes; empty if there are none.
    fixed: String,
    /// Size along the axis.
    size: u32,
    /// `env_steps`, `inferences`, `flops` or `bytes`: the first of them that the benchmark has.
    quantity: String,
    /// Throughput by wall time, 1/s.
    per_s: f64,
    /// Lower end of its 95 % interval, 1/s.
    lo_per_s: f64,
    /// Upper end, 1/s.
    hi_per_s: f64,
    /// Throughput over that of the smallest size, 1.
    gain: f64,
    /// Gain over the ratio of the sizes, 1: 1 where twice the size gives twice the throughput (the same time), small where it gives no more.
    efficiency: f64,
}

row! {
    /// A part of a training update.
    BenchPhaseRow, "phase" in "phases.parquet", by [device, task, policy, sizes, phase];
    /// Short name of the device.
    device: String,
    /// Task id; empty where it does not matter.
    task: String,
    /// Agent or network.
    policy: String,
    /// Letters of the dimensions with their sizes.
    sizes: String,
    /// `rollout`, `gae`, `update`, `readback`, …
    phase: String,
    /// Median wall time, s.
    wall_s: f64,
    /// Over the sum of all phases, 1.
    share: f64,
}

row! {
    /// Joules of one inference or environment step by one method of [`crate::energy`].
    BenchEnergyRow, "energy" in "energy.parquet", by [task, agent, unit, work, method, constants, device];
    /// Device that was measured; `model` for the three methods that are models of 45 nm CMOS and not of a device.
    device: String,
    /// As its driver, or the processor, names it; empty for `model`.
    device_name: String,
    /// Task id; empty where it does not matter.
    task: String,
    /// Agent id.
    agent: String,
    /// `inference` or `environment-step`.
    unit: String,
    /// What is done: `policy` (networks alone), `rollout` (with the environment) or `training` (with all that is learned from the step).
    work: String,
    /// `paper`, `effective-ops`, `memory-aware` or `measured`.
    method: String,
    /// Number format of the constants and what else was chosen; `device` where it was measured.
    constants: String,
    /// J per unit; null where the method gives none.
    energy_j: f64,
    /// Lower end of the 95 % Student-t interval over the windows, J; null for models, as for the next four.
    lo_j: f64,
    /// Upper end, J.
    hi_j: f64,
    /// Idle power that was subtracted, W.
    idle_w: f64,
    /// Mean power at work, W.
    busy_w: f64,
    /// Integrated power readings over the counter's joules in the same windows, 1; null where the device has only one of the two.
    integrated_share: f64,
    /// Whose weights: `initial` (seed 0; beside checkpoints of its task in their configuration), or the checkpoint's file name.
    weights: String,
    /// Why there is no energy, or how it was measured; else empty.
    reason: String,
}

//! activity_count: how often each unit of a layer was active, added up over dispatches: values that are not zero, or
//! the spikes and the membrane updates of spike words (`lif_forward`). What NeuroBench's effective operations are
//! counted from.

use super::common::*;
use crate::nets::cpu::SATURATED;
use crate::nets::lif::MAX_STEPS;
use bytemuck::Pod;

pub const SHADER: Source = shader!("shaders/", "activity_count");

pub const WG: usize = 256;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// f32 that are not zero: counts `[R, C]`.
    Values,
    /// f32 within ±[`SATURATED`]: counts `[R, C]`.
    Inside,
    /// f16 that are not zero, two in a word, the earlier in the lower bits: counts `[R, C]`.
    Halves,
    /// The lower and the upper bits of spike words: counts `[R, 2, C]`, spikes then membrane updates.
    Spikes,
}

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica; the most that will be recorded.
    pub m: usize,
    /// C: units of the layer.
    pub c: usize,
    pub units: Units,
}

impl Spec {
    /// Length of `counts`.
    pub fn counts(&self) -> usize {
        let planes = if self.units == Units::Spikes { 2 } else { 1 };
        self.r * planes * self.c
    }

    /// Words of a source of `m` samples a replica.
    fn words(&self, m: usize) -> usize {
        let elements = self.r * m * self.c;
        if self.units == Units::Halves { elements.div_ceil(2) } else { elements }
    }
}

/// `m` samples a replica. `source` `[R, m, C]`: spike words, the bits of f32, or of two f16 a word; `counts` is added
/// to, or (`first`) overwritten.
pub fn activity_count_cpu(spec: &Spec, m: usize, first: bool, source: &[u32], counts: &mut [u32]) {
    let &Spec { r, c, units, .. } = spec;
    let planes = spec.counts() / (r * c);
    if first {
        counts[..spec.counts()].fill(0);
    }
    for e in 0..r * m * c {
        let word = source[if units == Units::Halves { e / 2 } else { e }];
        let counts = &mut counts[e / (m * c) * planes * c..][..planes * c];
        match units {
            Units::Values => counts[e % c] += u32::from(f32::from_bits(word) != 0.0),
            Units::Inside => counts[e % c] += u32::from(f32::from_bits(word).abs() <= SATURATED),
            Units::Halves => counts[e % c] += u32::from(word >> (e % 2 * 16) & 0x7fff != 0),
            Units::Spikes => {
                counts[e % c] += (word & 0xffff).count_ones();
                counts[c + e % c] += (word >> MAX_STEPS).count_ones();
            }
        }
    }
}

/// Units of a workgroup: 8 neighbouring words are one 32-byte sector of memory; fewer where there are fewer.
fn units_per_group(c: usize) -> usize {
    c.next_power_of_two().min(8)
}

/// What a dispatch over all M samples must do that adds to the counts.
pub fn cost(spec: &Spec) -> Cost {
    let words = spec.words(spec.m) + 2 * spec.counts();
    Cost::new(0, words)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new()
        .u32("WG", WG)
        .u32("CB", units_per_group(spec.c))
        .u32("C", spec.c)
        .u32("SPIKES", usize::from(spec.units == Units::Spikes))
        .u32("HALVES", usize::from(spec.units == Units::Halves))
        .u32("INSIDE", usize::from(spec.units == Units::Inside))
        .u32("SATURATED", SATURATED.to_bits() as usize)
}

/// The compiled kernel.
pub struct ActivityCount {
    spec: Spec,
    kernel: Kernel,
}

impl ActivityCount {
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<Self, GpuError> {
        let &Spec { r, m, c, .. } = spec;
        let cb = units_per_group(c);
        check_groups(gpu, "activity_count", &[r, c.div_ceil(cb)])?;
        check_trips(gpu, "activity_count", m.div_ceil(4 * (WG / cb)) + 4 + Reduce::TRIPS)?;
        Ok(ActivityCount { spec: *spec, kernel: gpu.kernel(&SHADER, &prelude(spec))? })
    }

    /// `source` holds at least the samples that are recorded; `counts` `[R, C]` or `[R, 2, C]`.
    pub fn bind<T: Pod>(&self, gpu: &Gpu, source: &Buf<T>, counts: &Buf<u32>) -> ActivityCountBound {
        let halves = self.spec.units == Units::Halves && size_of::<T>() == 2;
        assert!(halves || size_of::<T>() == 4, "words, or f16 where f16 are counted");
        let bound = self.kernel.bind(gpu, &[&source.raw, counts.of_len(self.spec.counts())]);
        let source_words = (source.len() * size_of::<T>()).div_ceil(4);
        ActivityCountBound { spec: self.spec, bound, source_words }
    }
}

/// The kernel with its buffers.
pub struct ActivityCountBound {
    spec: Spec,
    bound: Bound,
    source_words: usize,
}

impl ActivityCountBound {
    /// `m` samples of each replica, at least 1; `first` starts the counts anew.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, first: bool) {
        let &Spec { r, m: most, c, .. } = &self.spec;
        assert!((1..=most).contains(&m), "activity_count: {m} samples, compiled for 1..={most}");
        let words = self.spec.words(m);
        assert!(words <= self.source_words, "activity_count: {m} samples leave {} words", self.source_words);
        let groups = [c.div_ceil(units_per_group(c)) as u32, r as u32, 1];
        self.bound.record(pass, groups, &[m as u32, u32::from(first)]);
    }
}

/// Shader against twin over three dispatches, the first of which starts the counts, in each form of the sum over a
/// workgroup.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    in_each_form(gpu, |gpu| check_form(gpu, spec, seed))
}

fn check_form(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let m = spec.m;
    let mut s = Sample::new(seed, 0);
    let halves = spec.units == Units::Halves;
    // A quarter each of any bits, 0, −0 and the smallest number, which is not zero.
    let mut word = || match s.word() % 4 {
        0 => 0,
        1 if halves => 0x8000_8000,
        1 => (-0.0f32).to_bits(),
        2 => 1,
        _ => s.word(),
    };
    bind!(gpu, bound = ActivityCount::new(gpu, spec)?; source[spec.words(m)], counts[spec.counts()]);
    let mut want = vec![u32::MAX; spec.counts()];
    for first in [true, false, false] {
        let words: Vec<u32> = (0..spec.words(m)).map(|_| word()).collect();
        activity_count_cpu(spec, m, first, &words, &mut want);
        gpu.write(&source, &words);
        gpu.run(|pass| bound.record(pass, m, first))?;
    }
    Ok(vec![compare_exact("counts", &gpu.read(&counts)?, &want)])
}

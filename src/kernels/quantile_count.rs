//! quantile_count: histograms of the absolute values of some metrics over environments, vehicles and slots, from which
//! quantiles are read. Counts do not depend on the order or the grouping of what is counted.
//!
//! Bins go by the bits of the f32: exponent and upper five bits of the mantissa, 32 an octave. The first and the last
//! also hold what lies below 2⁻⁴⁸ and from 2⁸ on, and what is no number.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "quantile_count");

pub const WG: usize = 256;

/// Bits of an f32 behind those that tell its bin.
const SHIFT: u32 = 23 - 5;
/// Upper bits of the smallest number of the first bin, 2⁻⁴⁸.
const LEAST: u32 = (127 - 48) << 5;
/// Bins of a histogram: 56 octaves.
pub const BINS: usize = 56 << 5;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// Metrics of an environment.
    pub metric_rows: usize,
    /// B: environments of a replica.
    pub b: usize,
    /// Quantities, whose values are the last rows of the metrics.
    pub quantities: usize,
    /// Rows of each of them.
    pub rows: usize,
}

impl Spec {
    /// Length of `counts`.
    pub fn counts(&self) -> usize {
        self.r * self.quantities * BINS
    }
    /// Values of a replica's quantity.
    fn values(&self) -> usize {
        self.rows * self.b
    }
}

/// The bin of |x|.
#[inline(always)]
fn bin_of(x: f32) -> usize {
    ((x.to_bits() & 0x7fff_ffff) >> SHIFT).clamp(LEAST, LEAST + BINS as u32 - 1) as usize - LEAST as usize
}

/// The least number of a bin; of [`BINS`] the end of the last one.
fn edge(bin: usize) -> f64 {
    f64::from(f32::from_bits((LEAST + bin as u32) << SHIFT))
}

/// `metrics` `[R, METRIC_ROWS, B]`; `counts` `[R, QUANTITIES, BINS]` is added to, or (`first`) overwritten.
pub fn quantile_count_cpu(spec: &Spec, first: bool, metrics: &[f32], counts: &mut [u32]) {
    let &Spec { metric_rows, b, quantities, .. } = spec;
    if first {
        counts[..spec.counts()].fill(0);
    }
    let behind = (metric_rows - quantities * spec.rows) * b;
    let replicas = metrics.chunks_exact(metric_rows * b).zip(counts.chunks_exact_mut(quantities * BINS));
    for (metrics, counts) in replicas.take(spec.r) {
        let values = metrics[behind..].chunks_exact(spec.values());
        for (values, counts) in values.zip(counts.chunks_exact_mut(BINS)) {
            for &x in values {
                counts[bin_of(x)] += 1;
            }
        }
    }
}

/// The value below which the share `q` of a histogram's values lies, on a straight line within its bin; NaN without
/// values.
pub fn quantile(counts: &[u64], q: f64) -> f64 {
    let wanted = q * counts.iter().sum::<u64>() as f64;
    let mut below = 0.0;
    for (bin, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let n = n as f64;
        if below + n >= wanted {
            return edge(bin) + (edge(bin + 1) - edge(bin)) * ((wanted - below) / n);
        }
        below += n;
    }
    f64::NAN
}

/// What a dispatch must do that is not the first.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(0, spec.r * spec.quantities * spec.values() + 2 * spec.counts())
}

pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new()
        .u32("WG", WG)
        .u32("METRIC_ROWS", spec.metric_rows)
        .u32("B", spec.b)
        .u32("QUANTITIES", spec.quantities)
        .u32("ROWS", spec.rows)
        .u32("BINS", BINS)
        .u32("LEAST", LEAST as usize)
        .u32("SHIFT", SHIFT as usize)
}

host! {
    QuantileCount, QuantileCountBound;
    fits |gpu, spec| {
        check_groups(gpu, "quantile_count", &[spec.quantities, spec.r])?;
        check_trips(gpu, "quantile_count", spec.values().div_ceil(WG) + 2 * BINS.div_ceil(WG))
    };
    /// `metrics` `[R, METRIC_ROWS, B]`, `counts` `[R, QUANTITIES, BINS]`.
    bind |spec| { metrics: f32 = of_len(spec.r * spec.metric_rows * spec.b), counts: u32 = of_len(spec.counts()) }
}

impl QuantileCountBound {
    /// `first` starts the counts anew.
    pub fn record(&self, pass: &mut wgpu::ComputePass, first: bool) {
        let groups = [self.spec.quantities as u32, self.spec.r as u32, 1];
        self.bound.record(pass, groups, &[u32::from(first)]);
    }
}

/// Shader against twin over three dispatches, the first of which starts the counts.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let len = spec.r * spec.metric_rows * spec.b;
    let mut s = Sample::new(seed, 0);
    // Half of them within the bins, the others of any bits: 0, infinities and what is no number among them.
    let mut value = || match s.word() % 8 {
        0 => 0.0,
        1..4 => f32::from_bits(s.word()),
        _ => ((s.unit() - 0.5) * 2f64.powf(50.0 * s.unit() - 45.0)) as f32,
    };
    let mut want = vec![u32::MAX; spec.counts()];
    bind!(gpu, bound = QuantileCount::new(gpu, spec)?; metrics[len], counts[spec.counts()]);
    for first in [true, false, false] {
        let values: Vec<f32> = (0..len).map(|_| value()).collect();
        quantile_count_cpu(spec, first, &values, &mut want);
        gpu.write(&metrics, &values);
        gpu.run(|pass| bound.record(pass, first))?;
    }
    Ok(vec![compare_exact("counts", &gpu.read(&counts)?, &want)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Spec = Spec { r: 1, metric_rows: 3, b: 1000, quantities: 1, rows: 2 };

    /// Of x² for x evenly in (0, 1): quantile q is q², and a bin is at most a 32nd wide.
    #[test]
    fn quantiles_of_known_values() {
        let mut counts = vec![u32::MAX; BINS];
        let mut metrics = vec![1e6f32; 1000];
        metrics.extend((0..2000).map(|i| {
            let x = (i as f32 + 0.5) / 2000.0;
            if i % 2 == 0 { x * x } else { -x * x }
        }));
        quantile_count_cpu(&ONE, true, &metrics, &mut counts);
        quantile_count_cpu(&ONE, false, &metrics, &mut counts);
        let counts: Vec<u64> = counts.into_iter().map(u64::from).collect();
        assert_eq!(counts.iter().sum::<u64>(), 4000);
        for q in [0.1, 0.25, 0.5, 0.9, 0.99] {
            let found = quantile(&counts, q);
            assert!((found / (q * q) - 1.0).abs() < 5e-3, "quantile {q}: {found}");
        }
        assert!(quantile(&[0; BINS], 0.5).is_nan());
    }

    #[test]
    fn bins_cover_every_number_and_their_edges_are_their_own() {
        for bin in 0..BINS {
            let least = edge(bin) as f32;
            assert_eq!((bin_of(least), bin_of(-least)), (bin, bin));
            assert_eq!(bin_of(least.next_down()), bin.saturating_sub(1));
            assert!((edge(bin + 1) / edge(bin) - 1.0) <= 1.0 / 32.0);
        }
        assert_eq!((edge(0), edge(BINS)), (2f64.powi(-48), 256.0));
        assert_eq!(
            [0.0, 1e-40, f32::INFINITY, f32::NAN, 1e30].map(bin_of),
            [0, 0, BINS - 1, BINS - 1, BINS - 1]
        );
    }
}

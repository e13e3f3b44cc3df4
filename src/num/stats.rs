//! Statistics of a handful of seeds or episodes: means, standard errors, Student-t and bootstrap intervals,
//! interquartile means.

use crate::num::philox::{PhiloxRng, Stream};
use rand::Rng;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Resamples behind every bootstrap interval.
pub const RESAMPLES: usize = 10_000;

/// A closed interval, in the unit of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

impl Interval {
    /// The interval of `f(x)` for an increasing `f`.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Interval {
        Interval { lo: f(self.lo), hi: f(self.hi) }
    }
    /// The part of it that a quantity in `range` can have; an end where it lies outside.
    pub fn within(self, range: Interval) -> Interval {
        self.map(|x| x.clamp(range.lo, range.hi))
    }
}

/// Arithmetic mean, in the unit of the data; NaN when empty.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Median, in the unit of the data: of an even number of values the mean of the middle two; NaN when empty.
pub fn median(x: &[f64]) -> f64 {
    if x.is_empty() { f64::NAN } else { quantile(&mut x.to_vec(), 0.5) }
}

/// Standard error of the mean, s/√n with the n − 1 variance, in the unit of the data. `None` below two values.
pub fn standard_error(x: &[f64]) -> Option<f64> {
    if x.len() < 2 {
        return None;
    }
    let m = mean(x);
    let ss: f64 = x.iter().map(|v| (v - m) * (v - m)).sum();
    let n = x.len() as f64;
    Some((ss / (n - 1.0) / n).sqrt())
}

/// Two-sided 95 % quantile of Student's t with `dof` degrees of freedom, no unit. NaN for 0.
pub fn t_quantile_95(dof: usize) -> f64 {
    // statrs solves for the quantile to about 1e-9; the test pins it to printed tables.
    StudentsT::new(0.0, 1.0, dof as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

/// 95 % Student-t interval of the mean of `n` values from their mean and standard error, in the unit of the data.
/// `None` when `n < 2` or when the standard error is not a number.
pub fn t_interval_95(mean: f64, standard_error: f64, n: usize) -> Option<Interval> {
    if n < 2 || !standard_error.is_finite() {
        return None;
    }
    let half = t_quantile_95(n - 1) * standard_error;
    Some(Interval { lo: mean - half, hi: mean + half })
}

/// Interquartile mean, in the unit of the data: the mean of the middle half, with the two border values weighted by the
/// part of them that lies in it, so that it also works where n is no multiple of 4. NaN when empty.
pub fn iqm(x: &[f64]) -> f64 {
    let mut v = x.to_vec();
    v.sort_by(f64::total_cmp);
    let n = v.len() as f64;
    let (from, to) = (0.25 * n, 0.75 * n);
    let weighted: f64 = v
        .iter()
        .enumerate()
        .map(|(i, &x)| {
            let i = i as f64;
            let weight = (to.min(i + 1.0) - from.max(i)).max(0.0);
            if weight > 0.0 { weight * x } else { 0.0 }
        })
        .sum();
    weighted / (to - from)
}

/// The resamples of `n` seeds, drawn once and used for many quantities, so that all points of a curve see the same
/// resamples.
///
/// Shape: [`RESAMPLES`] × n indices below n. The same `(n, seed)` gives the same resamples on every machine.
pub struct Bootstrap {
    n: usize,
    index: Vec<u32>,
}

impl Bootstrap {
    /// Draws the resamples of `n` values. `None` when `n < 2`: one value says nothing about its spread.
    pub fn new(n: usize, seed: u32) -> Option<Bootstrap> {
        if n < 2 {
            return None;
        }
        let bound = u32::try_from(n).ok()?;
        let mut rng = PhiloxRng::new([seed, bound], Stream::Shuffle, 0, 0);
        // Lemire's multiplication; its bias is below n/2³².
        let draw = |_| ((u64::from(rng.next_u32()) * u64::from(bound)) >> 32) as u32;
        Some(Bootstrap { n, index: (0..RESAMPLES * n).map(draw).collect() })
    }

    /// 95 % percentile interval of the mean of `x`, in the unit of `x`. `None` when `x` is not of the length drawn for
    /// or holds a value that is not finite.
    pub fn mean_interval(&self, x: &[f64]) -> Option<Interval> {
        self.interval(x, mean)
    }

    /// 95 % percentile interval of the median of `x`; `None` as for [`Bootstrap::mean_interval`].
    pub fn median_interval(&self, x: &[f64]) -> Option<Interval> {
        self.interval(x, median)
    }

    /// 95 % percentile interval of any statistic of `x`; `None` as for [`Bootstrap::mean_interval`].
    pub fn interval(&self, x: &[f64], statistic: impl Fn(&[f64]) -> f64) -> Option<Interval> {
        if x.len() != self.n || x.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sample = vec![0.0; self.n];
        let mut values: Vec<f64> = self
            .index
            .chunks_exact(self.n)
            .map(|pick| {
                for (to, &from) in sample.iter_mut().zip(pick) {
                    *to = x[from as usize];
                }
                statistic(&sample)
            })
            .collect();
        Some(Interval { lo: quantile(&mut values, 0.025), hi: quantile(&mut values, 0.975) })
    }
}

/// 95 % percentile bootstrap interval of the mean over seeds, in the unit of `x`. `None` below two values or if one is
/// not finite.
pub fn bootstrap_mean_95(x: &[f64], seed: u32) -> Option<Interval> {
    Bootstrap::new(x.len(), seed)?.mean_interval(x)
}

/// 95 % percentile bootstrap interval of the interquartile mean over seeds; `None` as for [`bootstrap_mean_95`].
pub fn bootstrap_iqm_95(x: &[f64], seed: u32) -> Option<Interval> {
    Bootstrap::new(x.len(), seed)?.interval(x, iqm)
}

/// 95 % percentile bootstrap interval of a statistic of all values together, each stratum (the seeds of one
/// configuration) resampled for itself, as in rliable; in the unit of the values. `None` if no stratum has two values
/// or if one is not finite. Of a single stratum it is [`Bootstrap::interval`].
pub fn stratified_95(strata: &[Vec<f64>], seed: u32, statistic: impl Fn(&[f64]) -> f64) -> Option<Interval> {
    if strata.iter().all(|x| x.len() < 2) || strata.iter().flatten().any(|x| !x.is_finite()) {
        return None;
    }
    let rng = |(i, x): (usize, &Vec<f64>)| {
        let bound = u32::try_from(x.len()).ok()?;
        Some((bound, PhiloxRng::new([seed.wrapping_add(i as u32), bound], Stream::Shuffle, 0, 0)))
    };
    let mut rngs = strata.iter().enumerate().map(rng).collect::<Option<Vec<_>>>()?;
    let mut sample = Vec::new();
    let resample = |_| {
        sample.clear();
        for (x, (bound, rng)) in strata.iter().zip(&mut rngs) {
            let draw = |_| x[((u64::from(rng.next_u32()) * u64::from(*bound)) >> 32) as usize];
            sample.extend((0..x.len()).map(draw));
        }
        statistic(&sample)
    };
    let mut values: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    Some(Interval { lo: quantile(&mut values, 0.025), hi: quantile(&mut values, 0.975) })
}

/// 95 % percentile bootstrap interval of mean(a)/mean(b), no unit, for two independent groups of seeds. `None` below
/// two values in either, or if one is not finite.
pub fn bootstrap_ratio_95(a: &[f64], b: &[f64], seed: u32) -> Option<Interval> {
    ratio_95(a, b, seed, mean)
}

/// 95 % percentile bootstrap interval of median(a)/median(b), no unit, for two independent groups of samples; `None` as
/// for [`bootstrap_ratio_95`].
pub fn bootstrap_median_ratio_95(a: &[f64], b: &[f64], seed: u32) -> Option<Interval> {
    ratio_95(a, b, seed, median)
}

fn ratio_95(a: &[f64], b: &[f64], seed: u32, statistic: impl Fn(&[f64]) -> f64) -> Option<Interval> {
    let (of_a, of_b) = (Bootstrap::new(a.len(), seed)?, Bootstrap::new(b.len(), seed.wrapping_add(1))?);
    if a.iter().chain(b).any(|v| !v.is_finite()) {
        return None;
    }
    let (mut from_a, mut from_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    let resampled = |x: &[f64], pick: &[u32], to: &mut [f64]| {
        to.iter_mut().zip(pick).for_each(|(to, i)| *to = x[*i as usize]);
        statistic(to)
    };
    let pairs = of_a.index.chunks_exact(a.len()).zip(of_b.index.chunks_exact(b.len()));
    let mut values: Vec<f64> =
        pairs.map(|(i, j)| resampled(a, i, &mut from_a) / resampled(b, j, &mut from_b)).collect();
    Some(Interval { lo: quantile(&mut values, 0.025), hi: quantile(&mut values, 0.975) })
}

/// Quantile `q` in 0..=1 by linear interpolation between order statistics (type 7). Reorders `values`, which must not
/// be empty.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    let at = q * (values.len() - 1) as f64;
    let low = at.floor() as usize;
    let (_, &mut a, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let part = at - low as f64;
    if part == 0.0 {
        return a;
    }
    let b = above.iter().copied().min_by(f64::total_cmp).unwrap_or(a);
    a + part * (b - a)
}

/// Each of these once, in the order of their first appearance.
pub fn once<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut out = Vec::new();
    for item in items {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tol: f64) {
        assert!((a - b).abs() <= tol, "{a} is not within {tol} of {b}");
    }

    #[test]
    fn mean_and_standard_error_by_hand() {
        let x = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        close(mean(&x), 5.0, 0.0);
        // Sum of squares 32, variance 32/7, over 8 values.
        close(standard_error(&x).unwrap(), (32.0f64 / 56.0).sqrt(), 1e-15);
        assert_eq!(standard_error(&[1.0]), None);
        assert!(mean(&[]).is_nan());
    }

    #[test]
    fn t_quantiles_of_printed_tables() {
        for (dof, printed) in [
            (1, 12.706204736432095),
            (2, 4.302652729911275),
            (3, 3.182446305284263),
            (4, 2.776445105197793),
            (9, 2.2621571628540993),
            (31, 2.0395134463964077),
            (99, 1.9842169515086827),
            (1000, 1.9623390808264078),
        ] {
            close(t_quantile_95(dof), printed, 1e-6);
        }
    }

    #[test]
    fn t_interval_of_three_values() {
        let x = [1.0, 2.0, 3.0];
        let i = t_interval_95(mean(&x), standard_error(&x).unwrap(), 3).unwrap();
        close(i.lo, 2.0 - 4.302652729911275 / 3f64.sqrt(), 1e-6);
        close(i.hi, 2.0 + 4.302652729911275 / 3f64.sqrt(), 1e-6);
        assert_eq!(t_interval_95(2.0, 1.0, 1), None);
        assert_eq!(t_interval_95(2.0, f64::NAN, 3), None);
    }

    #[test]
    fn strata_are_resampled_apart() {
        let x = vec![1.0, 5.0, 2.0, 8.0, 3.0];
        let plain = Bootstrap::new(5, 7).unwrap().interval(&x, iqm).unwrap();
        assert_eq!(stratified_95(std::slice::from_ref(&x), 7, iqm), Some(plain));
        // Between strata there is no chance: two constant ones leave no width, all in one stratum would.
        let far = [vec![0.0; 8], vec![100.0; 8]];
        let i = stratified_95(&far, 0, mean).unwrap();
        assert_eq!((i.lo, i.hi), (50.0, 50.0));
        let mixed = bootstrap_mean_95(&far.concat(), 0).unwrap();
        assert!(mixed.hi - mixed.lo > 30.0);
        assert_eq!(stratified_95(&[vec![1.0], vec![2.0]], 0, mean), None);
        assert_eq!(stratified_95(&[vec![1.0, f64::NAN]], 0, mean), None);
        // One seed beside many: it is always taken.
        assert!(stratified_95(&[vec![1.0], x], 0, mean).is_some());
    }

    #[test]
    fn iqm_drops_the_outer_quarters() {
        close(iqm(&[100.0, 1.0, 3.0, -50.0]), 2.0, 1e-15);
        // n = 5: the middle 2.5 values, 0.75·2 + 3 + 0.75·4.
        close(iqm(&[1.0, 2.0, 3.0, 4.0, 1000.0]), (0.75 * 2.0 + 3.0 + 0.75 * 4.0) / 2.5, 1e-15);
        close(iqm(&[7.0]), 7.0, 0.0);
        // An infinite outlier has no weight and must not turn the sum into NaN.
        close(iqm(&[1.0, 2.0, 2.0, f64::INFINITY]), 2.0, 1e-15);
    }

    #[test]
    fn quantile_interpolates() {
        let mut v = vec![4.0, 1.0, 3.0, 2.0];
        close(quantile(&mut v, 0.5), 2.5, 1e-15);
        close(quantile(&mut v, 0.0), 1.0, 0.0);
        close(quantile(&mut v, 1.0), 4.0, 0.0);
    }

    #[test]
    fn bootstrap_of_two_values_is_their_range() {
        // Means of resamples of {0, 1}: 0, ½, 1 with weights ¼, ½, ¼, so the 2.5 % and 97.5 % points are 0 and 1.
        assert_eq!(bootstrap_mean_95(&[1.0, 0.0], 7), Some(Interval { lo: 0.0, hi: 1.0 }));
        assert_eq!(bootstrap_mean_95(&[1.0], 7), None);
        assert_eq!(bootstrap_mean_95(&[1.0, f64::NAN], 7), None);
        assert_eq!(bootstrap_mean_95(&[3.0; 5], 7), Some(Interval { lo: 3.0, hi: 3.0 }));
    }

    #[test]
    fn bootstrap_of_a_large_sample_is_the_normal_interval() {
        let x: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let (m, se) = (mean(&x), standard_error(&x).unwrap());
        let i = bootstrap_mean_95(&x, 1).unwrap();
        close(i.lo, m - 1.96 * se, 0.1 * se);
        close(i.hi, m + 1.96 * se, 0.1 * se);
    }

    #[test]
    fn bootstrap_repeats_with_its_seed_only() {
        let x = [1.0, 2.5, 2.7, 9.1, 4.4];
        assert_eq!(bootstrap_mean_95(&x, 3), bootstrap_mean_95(&x, 3));
        let b = |s| Bootstrap::new(5, s).unwrap().index;
        assert_ne!(b(3), b(4));
        assert!(b(3).iter().all(|&i| i < 5));
        let share = b(3).iter().filter(|&&i| i == 4).count() as f64 / (5 * RESAMPLES) as f64;
        close(share, 0.2, 0.01);
    }

    #[test]
    fn bootstrap_of_the_iqm_lies_inside_the_data() {
        let i = bootstrap_iqm_95(&[1.0, 2.0, 3.0, 4.0, 100.0], 1).unwrap();
        assert!(1.0 <= i.lo && i.lo < 3.0 && 3.0 < i.hi && i.hi <= 100.0, "{i:?}");
    }

    #[test]
    fn ratios_of_two_groups() {
        // A group without spread leaves the other's: 12 over {2, 4}, whose resampled means reach from 2 to 4.
        let i = bootstrap_ratio_95(&[12.0, 12.0, 12.0], &[2.0, 4.0], 5).unwrap();
        close(i.lo, 3.0, 1e-12);
        close(i.hi, 6.0, 1e-12);
        assert_eq!(bootstrap_ratio_95(&[1.0], &[1.0, 2.0], 5), None);
        assert_eq!(bootstrap_ratio_95(&[1.0, f64::NAN], &[1.0, 2.0], 5), None);
        // Equal groups are drawn apart: their ratio is not 1 in every resample.
        let x = [1.0, 2.0, 3.0, 4.0];
        let i = bootstrap_ratio_95(&x, &x, 5).unwrap();
        assert!(i.lo < 0.7 && i.hi > 1.4, "{i:?}");
    }

    #[test]
    fn medians_and_their_ratios() {
        close(median(&[5.0, 1.0, 100.0]), 5.0, 0.0);
        close(median(&[4.0, 1.0, 3.0, 2.0]), 2.5, 0.0);
        assert!(median(&[]).is_nan());
        // One outlier in nine moves the mean's interval, not the median's.
        let x = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 50.0];
        assert_eq!(Bootstrap::new(9, 0).unwrap().median_interval(&x), Some(Interval { lo: 1.0, hi: 1.0 }));
        assert_eq!(bootstrap_median_ratio_95(&[3.0; 9], &x, 0), Some(Interval { lo: 3.0, hi: 3.0 }));
        // Medians of resamples of {2, 4}: 2, 3, 4.
        let i = bootstrap_median_ratio_95(&[12.0, 12.0], &[2.0, 4.0], 5).unwrap();
        assert_eq!(i, Interval { lo: 3.0, hi: 6.0 });
        assert_eq!(bootstrap_median_ratio_95(&[1.0], &[1.0, 2.0], 5), None);
        assert_eq!(bootstrap_median_ratio_95(&[1.0, 2.0], &[f64::INFINITY, 2.0], 5), None);
    }

    #[test]
    fn intervals_map_through_increasing_functions() {
        assert_eq!(Interval { lo: 4.0, hi: 9.0 }.map(f64::sqrt), Interval { lo: 2.0, hi: 3.0 });
    }
}

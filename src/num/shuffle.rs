//! A keyed bijection on [0, n), evaluated index by index: the permutation of an epoch's samples, the same on CPU and
//! GPU, that no buffer holds. Twin of `shaders/shared/shuffle.wgsl`.
//!
//! Balanced Feistel network of 8 rounds over the smallest even number of bits that covers n, walked until it lands
//! below n (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Round keys: Philox blocks of
//! draws 0 and 1, slot = update, environment = epoch, stream `Shuffle`, key = the replica's.

use crate::num::philox::{Stream, draw};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

/// The permutation of one (replica, update, epoch).
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    keys: [u32; 8],
    n: u32,
    /// Bits of each half of the network.
    half: u32,
}

/// lowbias32 (Wellons, hash-prospector): every input bit flips every output bit with probability near 1/2.
#[inline(always)]
fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

impl Shuffle {
    /// The permutation of [0, n) of a replica's epoch. Panics if n is 0.
    pub fn new(key: [u32; 2], update: u32, epoch: u32, n: u32) -> Shuffle {
        assert!(n > 0, "a permutation of nothing");
        let mut keys = [0; 8];
        keys[..4].copy_from_slice(&draw(key, Stream::Shuffle, epoch, update, 0));
        keys[4..].copy_from_slice(&draw(key, Stream::Shuffle, epoch, update, 1));
        Shuffle { keys, n, half: ((33 - (n - 1).leading_zeros()) / 2).max(1) }
    }

    /// Where `i` < n goes.
    #[inline]
    pub fn index(&self, i: u32) -> u32 {
        self.walk(i).0
    }

    /// Where `first`, `first + 1`, … go: [`Shuffle::index`] of each, in lanes. Every pass runs the network once over
    /// all that still walk.
    pub fn fill(&self, first: u32, out: &mut [u32]) {
        debug_assert!(first as usize + out.len() <= self.n as usize);
        let mut at: Vec<u32> = (0..out.len() as u32).collect();
        let mut walking: Vec<u32> = (0..out.len() as u32).map(|i| first + i).collect();
        while !walking.is_empty() {
            run_lanes(Passes { shuffle: self, x: &mut walking });
            let mut left = 0;
            for i in 0..walking.len() {
                let (x, to) = (walking[i], at[i]);
                // What has not arrived is overwritten by its next pass.
                out[to as usize] = x;
                (walking[left], at[left]) = (x, to);
                left += usize::from(x >= self.n);
            }
            walking.truncate(left);
        }
    }

    /// The network, once.
    #[inline(always)]
    fn pass(&self, x: u32, mask: u32) -> u32 {
        let (mut l, mut r) = (x >> self.half, x & mask);
        for k in self.keys {
            (l, r) = (r, l ^ (mix32(r ^ k) & mask));
        }
        l << self.half | r
    }

    /// Where `i` goes and how often the network was run. The walk ends: the network is a permutation, so its cycle
    /// through `i` comes back to `i` < n.
    #[inline(always)]
    fn walk(&self, i: u32) -> (u32, u32) {
        debug_assert!(i < self.n);
        let mask = (1u32 << self.half) - 1;
        let (mut x, mut steps) = (i, 0);
        loop {
            x = self.pass(x, mask);
            steps += 1;
            if x < self.n {
                return (x, steps);
            }
        }
    }
}

/// One run of the network for every element; plain code, which the compiler turns into the vectors that [`run_lanes`]
/// allows.
struct Passes<'a> {
    shuffle: &'a Shuffle,
    x: &'a mut [u32],
}

impl LaneKernel for Passes<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let shuffle = *self.shuffle;
        let mask = (1u32 << shuffle.half) - 1;
        for x in self.x {
            *x = shuffle.pass(*x, mask);
        }
    }
}

/// Minibatch `mb` of an epoch of an update.
#[derive(Clone, Copy, Debug)]
pub struct Minibatch {
    pub update: u32,
    pub epoch: u32,
    pub mb: u32,
}

impl Minibatch {
    /// As the kernels take it.
    pub fn immediates(self) -> [u32; 3] {
        [self.update, self.epoch, self.mb]
    }

    /// Panics unless minibatch `mb` of `m` samples lies inside an epoch of `samples`.
    pub fn assert_inside(self, m: usize, samples: usize) {
        let end = (self.mb as usize + 1) * m;
        assert!(
            end <= samples,
            "minibatch {} of {m} samples ends behind the {samples} samples of an epoch",
            self.mb
        );
    }

    /// Each replica's permutation of the epoch's samples.
    pub fn shuffles(self, keys: &[[u32; 2]], samples: usize) -> Vec<Shuffle> {
        keys.iter().map(|&key| Shuffle::new(key, self.update, self.epoch, samples as u32)).collect()
    }
}

/// What an epoch shuffles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Single samples.
    Sample,
    /// Environments with all their slots, which a recurrent policy needs in order.
    Environment,
}

/// Where the samples of a minibatch lie in a rollout of T slots of B environments: sample m is number mb·M + m of the
/// shuffled T·B, or slot m / (M/T) of one of M/T shuffled environments. Twin of `shaders/shared/minibatch.wgsl`.
pub struct Samples {
    unit: Unit,
    shuffles: Vec<Shuffle>,
    /// First of the shuffled samples or environments, and environments at a time.
    first: usize,
    envs: usize,
    b: usize,
}

impl Samples {
    /// Panics unless minibatch `which` of `m` samples lies inside the epoch, and is of whole environments where these
    /// are shuffled.
    pub fn new(unit: Unit, which: Minibatch, keys: &[[u32; 2]], (t, b): (usize, usize), m: usize) -> Self {
        which.assert_inside(m, t * b);
        unit.assert_whole(t, m);
        let mb = which.mb as usize;
        match unit {
            Unit::Sample => {
                Samples { unit, shuffles: which.shuffles(keys, t * b), first: mb * m, envs: b, b }
            }
            Unit::Environment => {
                Samples { unit, shuffles: which.shuffles(keys, b), first: mb * (m / t), envs: m / t, b }
            }
        }
    }

    /// Slot and environment of sample `m` of replica `r`.
    pub fn at(&self, r: usize, m: usize) -> (usize, usize) {
        let index = |i: usize| self.shuffles[r].index(i as u32) as usize;
        match self.unit {
            Unit::Sample => {
                let s = index(self.first + m);
                (s / self.b, s % self.b)
            }
            Unit::Environment => (m / self.envs, index(self.first + m % self.envs)),
        }
    }
}

impl Unit {
    /// Panics unless `m` samples of rollouts of `t` slots are whole units.
    pub fn assert_whole(self, t: usize, m: usize) {
        assert!(
            self == Unit::Sample || (m > 0 && m.is_multiple_of(t)),
            "{m} samples are no whole environments of {t} slots"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [u32; 8] = [1, 2, 3, 5, 64, 1000, 4097, 409_600];

    fn all(key: [u32; 2], update: u32, epoch: u32, n: u32) -> Vec<u32> {
        let s = Shuffle::new(key, update, epoch, n);
        (0..n).map(|i| s.index(i)).collect()
    }

    #[test]
    fn every_size_is_permuted() {
        for n in SIZES {
            for epoch in 0..3 {
                let mut seen = vec![false; n as usize];
                for to in all([11, 4], 2, epoch, n) {
                    assert!(
                        !std::mem::replace(&mut seen[to as usize], true),
                        "n = {n}, epoch {epoch}: {to} was hit twice"
                    );
                }
            }
        }
    }

    #[test]
    fn the_largest_domains_do_not_overflow() {
        for n in [1 << 30, (1 << 30) + 1, u32::MAX] {
            let s = Shuffle::new([1, 2], 3, 4, n);
            let mut to: Vec<u32> = (0..1000).map(|i| s.index(n - 1 - i)).collect();
            assert!(to.iter().all(|&t| t < n));
            to.sort_unstable();
            to.dedup();
            assert_eq!(to.len(), 1000, "n = {n}");
        }
    }

    #[test]
    fn filling_equals_index_by_index() {
        for n in SIZES {
            let s = Shuffle::new([6, 2], 5, 1, n);
            let first = n / 3;
            let mut got = vec![u32::MAX; (n - first) as usize];
            s.fill(first, &mut got);
            let want: Vec<u32> = (first..n).map(|i| s.index(i)).collect();
            assert_eq!(got, want, "n = {n}");
        }
        Shuffle::new([6, 2], 5, 1, 7).fill(7, &mut []);
    }

    #[test]
    fn another_key_update_or_epoch_is_another_permutation() {
        let base = all([1, 2], 3, 4, 1000);
        for (name, other) in [
            ("seed", all([9, 2], 3, 4, 1000)),
            ("replica", all([1, 3], 3, 4, 1000)),
            ("update", all([1, 2], 4, 4, 1000)),
            ("epoch", all([1, 2], 3, 5, 1000)),
        ] {
            // Two independent permutations agree in one place on average; Poisson(1) exceeds 12 with probability 6e-11.
            let same = base.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same <= 12, "another {name} moves only {} of 1000", 1000 - same);
        }
    }

    #[test]
    fn every_index_goes_everywhere_equally_often() {
        // Over k keys, the place of index i is uniform: chi-square with n−1 degrees of freedom, for each i. The bound
        // is the mean plus six standard deviations.
        const KEYS: u32 = 20_000;
        for n in [2u32, 3, 5, 16, 37] {
            let mut count = vec![0u32; (n * n) as usize];
            for seed in 0..KEYS {
                for (i, to) in all([seed, 7], 0, 0, n).into_iter().enumerate() {
                    count[i * n as usize + to as usize] += 1;
                }
            }
            let expect = f64::from(KEYS) / f64::from(n);
            let dof = f64::from(n - 1);
            for (i, row) in count.chunks(n as usize).enumerate() {
                let chi2: f64 = row.iter().map(|&c| (f64::from(c) - expect).powi(2) / expect).sum();
                assert!(
                    chi2 < dof + 6.0 * (2.0 * dof).sqrt(),
                    "n = {n}, index {i}: chi-square {chi2} at {dof} degrees of freedom"
                );
            }
        }
    }

    #[test]
    fn neighbours_are_torn_apart() {
        // Serial correlation of the places of i and i+1 is 0 ± 1/√n over an epoch; 5 standard deviations.
        let n = 4097;
        let to = all([5, 6], 1, 1, n);
        let mean = f64::from(n - 1) / 2.0;
        let var = (f64::from(n).powi(2) - 1.0) / 12.0;
        let c: f64 = to.windows(2).map(|w| (f64::from(w[0]) - mean) * (f64::from(w[1]) - mean)).sum::<f64>()
            / (f64::from(n - 1) * var);
        assert!(c.abs() < 5.0 / f64::from(n).sqrt(), "correlation {c}");
    }

    #[test]
    fn walks_stay_far_below_the_trip_budget_of_a_shader() {
        // Just above a power of four the domain is almost 4 n, the worst case: (3/4)^k·n < 1e-9 at k ≈ 110.
        for n in [5u32, 17, 4097, 16_385, 65_537, 262_145] {
            let s = Shuffle::new([3, 1], 4, 1, n);
            let longest = (0..n).map(|i| s.walk(i).1).max().unwrap_or(0);
            assert!(longest < 128, "n = {n}: a walk of {longest} steps");
        }
    }
}

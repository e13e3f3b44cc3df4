//! Neurons that fired in the same steps, and products of spikes and weights group by group: forward, the weight rows of
//! a group are added once; backward, the current gradients of its steps are.

use crate::nets::dense::{PAD, RowMajor};
use crate::num::real::F32Lanes;

/// Vectors of outputs that a group's sum is made of at once: with 64 columns, the weights of 128 inputs stay in the
/// first cache.
const SPAN: usize = 4;

/// Groups of neurons that fired in the same steps, row by row; neurons that never fired are in none.
#[derive(Default)]
pub(super) struct Groups {
    /// First group of each row, and the end of the last.
    rows: Vec<usize>,
    /// Steps in which the neurons of a group fired, bit t for step t.
    pub(super) steps: Vec<u32>,
    /// End of each group in `members`.
    pub(super) ends: Vec<usize>,
    /// Room for every neuron of every row and three more.
    members: Vec<u16>,
    rest: Vec<u64>,
}

impl Groups {
    /// For up to `rows` rows of `n` neurons.
    pub(super) fn new(rows: usize, n: usize) -> Self {
        Groups { members: vec![0; rows * n + 3], ..Groups::default() }
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.rows.push(0);
        self.steps.clear();
        self.ends.clear();
    }

    /// Appends a row: `fired` `[S, words]`. Groups are ordered by the first step in which they fired, then by their
    /// first neuron: under a constant current almost the same words follow each other in every row, which the
    /// processor's branch predictor likes.
    #[inline(always)]
    pub(super) fn push_row(&mut self, fired: &[u64], words: usize) {
        let mut end = self.ends.last().copied().unwrap_or(0);
        self.rest.clear();
        self.rest.resize(words, !0);
        for (start, begins) in fired.chunks_exact(words).enumerate() {
            for first in 0..words {
                // `rest` holds the neurons that are in no group yet.
                while begins[first] & self.rest[first] != 0 {
                    let bit = (begins[first] & self.rest[first]).trailing_zeros();
                    let mut steps = 0;
                    for (t, step) in fired.chunks_exact(words).enumerate().skip(start) {
                        steps |= ((step[first] >> bit & 1) as u32) << t;
                    }
                    for k in first..words {
                        let mut group = self.rest[k];
                        for (t, step) in fired.chunks_exact(words).enumerate().skip(start) {
                            // All ones where the group is silent, so that the xor keeps the neurons that are silent
                            // too.
                            group &= step[k] ^ u64::from(steps >> t & 1).wrapping_sub(1);
                        }
                        self.rest[k] &= !group;
                        // Four at a time, whether they are there or not: the next group overwrites what is too much,
                        // and the loop ends are easier to foresee.
                        let after = end + group.count_ones() as usize;
                        while group != 0 {
                            let four: &mut [u16; 4] =
                                (&mut self.members[end..end + 4]).try_into().expect("four members");
                            for member in four {
                                *member = ((64 * k) as u16).wrapping_add(group.trailing_zeros() as u16);
                                group &= group.wrapping_sub(1);
                            }
                            end += 4;
                        }
                        end = after;
                    }
                    self.steps.push(steps);
                    self.ends.push(end);
                }
            }
        }
        self.rows.push(self.steps.len());
    }

    /// Steps and neurons of the groups of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> impl Iterator<Item = (u32, &[u16])> {
        let groups = self.rows[row]..self.rows[row + 1];
        let mut from = if groups.start == 0 { 0 } else { self.ends[groups.start - 1] };
        groups.map(move |g| {
            let members = &self.members[from..self.ends[g]];
            from = self.ends[g];
            (self.steps[g], members)
        })
    }
}

/// Currents i(t) = W s(t) + b of the rows `lo..` whose spikes the groups are, into `i` `[rows, S, ld]`.
#[inline(always)]
pub(super) fn currents<V: F32Lanes>(
    (lo, rows, steps): (usize, usize, usize),
    groups: &Groups,
    wt: RowMajor,
    bias: &[f32],
    i: &mut [f32],
    outputs: usize,
) {
    /// `sum += Wᵀ[j, c..]`
    #[inline(always)]
    fn add<V: F32Lanes, const N: usize>(sum: &mut [V; N], wt: RowMajor, j: u16, c: usize) {
        let row = usize::from(j) * wt.ld + c;
        assert!(row + N * V::LANES <= wt.data.len());
        for (q, s) in sum.iter_mut().enumerate() {
            // SAFETY: the furthest of these loads was just checked.
            *s += unsafe { V::load_ptr(wt.data.as_ptr().add(row + q * V::LANES)) };
        }
    }
    #[inline(always)]
    fn span<V: F32Lanes, const N: usize>(
        (lo, rows, steps): (usize, usize, usize),
        groups: &Groups,
        wt: RowMajor,
        bias: &[f32],
        i: &mut [f32],
        c: usize,
    ) {
        let ld = wt.ld;
        for m in 0..rows {
            let i = &mut i[m * steps * ld..(m + 1) * steps * ld];
            for t in 0..steps {
                for q in 0..N {
                    V::load(&bias[c + q * V::LANES..]).store(&mut i[t * ld + c + q * V::LANES..]);
                }
            }
            for (mut at, members) in groups.row(lo + m) {
                // Two chains, so that the additions of one need not wait for each other.
                let mut sums = [[V::splat(0.0); N]; 2];
                let mut pairs = members.chunks_exact(2);
                for pair in &mut pairs {
                    add(&mut sums[0], wt, pair[0], c);
                    add(&mut sums[1], wt, pair[1], c);
                }
                if let [j] = pairs.remainder() {
                    add(&mut sums[0], wt, *j, c);
                }
                while at != 0 {
                    let to = at.trailing_zeros() as usize * ld + c;
                    at &= at - 1;
                    for q in 0..N {
                        let here = &mut i[to + q * V::LANES..];
                        (V::load(here) + (sums[0][q] + sums[1][q])).store(here);
                    }
                }
            }
        }
    }
    let (mut c, cols) = (0, outputs.next_multiple_of(PAD));
    while c + SPAN * V::LANES <= cols {
        span::<V, SPAN>((lo, rows, steps), groups, wt, bias, i, c);
        c += SPAN * V::LANES;
    }
    while c < cols {
        span::<V, 1>((lo, rows, steps), groups, wt, bias, i, c);
        c += V::LANES;
    }
}

/// `dWᵀ[j, :] += Σ di(t)` over the steps t in which neuron j fired, for the `rows` whose spikes are among the groups;
/// `di` is `[rows, S, ld]`.
#[inline(always)]
pub(super) fn weight_gradient<V: F32Lanes>(
    (rows, steps): (&[usize], usize),
    groups: &Groups,
    di: RowMajor,
    dwt: &mut [f32],
    outputs: usize,
) {
    #[inline(always)]
    fn span<V: F32Lanes, const N: usize>(
        (rows, steps): (&[usize], usize),
        groups: &Groups,
        di: RowMajor,
        dwt: &mut [f32],
        c: usize,
    ) {
        let ld = di.ld;
        let last = c + (N - 1) * V::LANES;
        for (di, &m) in di.data.chunks_exact(steps * ld).zip(rows) {
            for (mut at, members) in groups.row(m) {
                let mut sum = [V::splat(0.0); N];
                while at != 0 {
                    let from = at.trailing_zeros() as usize * ld + c;
                    at &= at - 1;
                    for (q, s) in sum.iter_mut().enumerate() {
                        *s += V::load(&di[from + q * V::LANES..]);
                    }
                }
                for j in members {
                    let row = usize::from(*j) * ld;
                    assert!(row + last + V::LANES <= dwt.len());
                    for (q, s) in sum.iter().enumerate() {
                        // SAFETY: the furthest of these accesses was just checked.
                        unsafe {
                            let here = dwt.as_mut_ptr().add(row + c + q * V::LANES);
                            (V::load_ptr(here) + *s).store_ptr(here);
                        }
                    }
                }
            }
        }
    }
    let (mut c, cols) = (0, outputs.next_multiple_of(PAD));
    while c + SPAN * V::LANES <= cols {
        span::<V, SPAN>((rows, steps), groups, di, dwt, c);
        c += SPAN * V::LANES;
    }
    while c < cols {
        span::<V, 1>((rows, steps), groups, di, dwt, c);
        c += V::LANES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_spike_words_make_a_group() {
        let mut groups = Groups::new(3, 128);
        groups.clear();
        // Three steps, two words: neuron 1 in all steps, 3 and 64 in the first and third, 70 in the second.
        groups.push_row(&[0b1010, 0b1, 0b0010, 1 << 6, 0b1010, 0b1], 2);
        groups.push_row(&[0; 6], 2);
        groups.push_row(&[0, 1 << 63, 0, 0, 0, 0], 2);
        let rows: Vec<Vec<(u32, Vec<u16>)>> =
            (0..3).map(|r| groups.row(r).map(|(s, m)| (s, m.to_vec())).collect()).collect();
        assert_eq!(rows[0], [(0b111, vec![1]), (0b101, vec![3, 64]), (0b010, vec![70])]);
        assert_eq!(rows[1], []);
        assert_eq!(rows[2], [(0b001, vec![127])]);
    }
}

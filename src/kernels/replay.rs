//! The replay of one replica: a ring of the last transitions, slot by slot, each in one row so that a sample is one
//! read.
//!
//! Row: observation `[O]`, stored action `[D]`, next observation `[O]` (the final one where an episode ended), scaled
//! reward, 1 − terminated.

use crate::env::TERMINATED;
use crate::num::philox::{Stream, draw};

/// Sizes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// O
    pub obs: usize,
    /// D: numbers that an action is stored as.
    pub action: usize,
}

impl Row {
    /// W
    pub fn width(&self) -> usize {
        2 * self.obs + self.action + 2
    }
    /// Where the next observation starts.
    pub fn next(&self) -> usize {
        self.obs + self.action
    }
    /// Where reward and 1 − terminated are.
    pub fn scalars(&self) -> usize {
        2 * self.obs + self.action
    }

    /// One transition into `row` `[W]`.
    pub fn put(&self, row: &mut [f32], obs: &[f32], action: &[f32], next: &[f32], reward: f32, flags: u32) {
        row[..self.obs].copy_from_slice(obs);
        row[self.obs..self.next()].copy_from_slice(action);
        row[self.next()..self.scalars()].copy_from_slice(next);
        row[self.scalars()] = reward;
        row[self.scalars() + 1] = if flags & TERMINATED != 0 { 0.0 } else { 1.0 };
    }
}

/// Rows that hold a transition when the slots up to and including `clock` have been written into a ring of `slots`
/// slots of `envs` each.
pub fn filled(clock: u32, slots: usize, envs: usize) -> usize {
    (clock as usize + 1).min(slots) * envs
}

/// The four row indices of block `block` of gradient step `step` behind slot `clock`: uniform on [0, n), with
/// replacement, by the high word of a product (which prefers no row by more than n/2³²).
pub fn sample(key: [u32; 2], clock: u32, step: u32, block: u32, n: u32) -> [u32; 4] {
    draw(key, Stream::Replay, block, clock, step).map(|w| ((u64::from(w) * u64::from(n)) >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_uniform_within_the_filled_part() {
        let n = 50u32;
        let mut count = vec![0u32; n as usize];
        let blocks = 25_000;
        for block in 0..blocks {
            for i in sample([7, 3], 11, 2, block, n) {
                count[i as usize] += 1;
            }
        }
        let expected = f64::from(4 * blocks) / f64::from(n);
        let chi2: f64 = count.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        // 49 degrees of freedom: mean 49, standard deviation 9.9.
        assert!((20.0..100.0).contains(&chi2), "χ² = {chi2}");
    }

    #[test]
    fn samples_depend_on_everything() {
        let base = sample([7, 3], 11, 2, 5, 1 << 20);
        for other in [
            sample([8, 3], 11, 2, 5, 1 << 20),
            sample([7, 4], 11, 2, 5, 1 << 20),
            sample([7, 3], 12, 2, 5, 1 << 20),
            sample([7, 3], 11, 3, 5, 1 << 20),
            sample([7, 3], 11, 2, 6, 1 << 20),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_ring_fills_and_stays_full() {
        assert_eq!([0, 3, 4, 99].map(|clock| filled(clock, 5, 8)), [8, 32, 40, 40]);
    }

    #[test]
    fn only_termination_stops_the_bootstrap() {
        let row = Row { obs: 2, action: 1 };
        let mut out = [f32::NAN; 7];
        row.put(&mut out, &[1.0, 2.0], &[3.0], &[4.0, 5.0], 6.0, crate::env::TRUNCATED);
        assert_eq!(out, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0]);
        row.put(&mut out, &[1.0, 2.0], &[3.0], &[4.0, 5.0], 6.0, TERMINATED);
        assert_eq!(out[6], 0.0);
    }
}

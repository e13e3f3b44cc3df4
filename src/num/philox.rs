//! Philox4x32-10 (Salmon et al., SC'11): counter-based random numbers, the same integers on CPU and GPU.
//!
//! Key = (seed, replica id), counter = (draw, slot, environment, stream): any slot of any environment replays alone,
//! and a replica's numbers do not depend on which other replicas share its batch.

use crate::num::real::Word;

/// What a number is drawn for (last counter word). Two uses never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(u32);

#[expect(non_upper_case_globals, reason = "they are read as the variants of an enum that tasks extend")]
impl Stream {
    /// Initial state of an episode.
    pub const Reset: Stream = Stream(0);
    /// Process noise of (14).
    pub const Motion: Stream = Stream(1);
    /// Measurement noise of the echo.
    pub const Echo: Stream = Stream(2);
    /// Action sampled from a stochastic policy.
    pub const Action: Stream = Stream(3);
    /// Minibatch shuffling: slot = update, environment = epoch.
    pub const Shuffle: Stream = Stream(4);
    /// Network initialisation: slot = tensor.
    pub const Init: Stream = Stream(5);
    /// Choices of the `random` agent.
    pub const Baseline: Stream = Stream(6);
    /// Exploration of an off-policy agent: Gaussian noise, or whether and what a vehicle tries.
    pub const Explore: Stream = Stream(7);
    /// Transitions drawn from a replay: slot = slot counter, environment = block of four samples, draw = gradient step.
    pub const Replay: Stream = Stream(8);
    /// Points of a sweep that are drawn at random: environment = draw.
    pub const Sweep: Stream = Stream(9);

    /// Streams below belong to what all tasks share.
    const FIRST_OF_TASKS: u32 = 32;

    /// Stream `n` of a task. Two tasks never draw in one training, so each counts its own from 0.
    pub const fn task(n: u32) -> Stream {
        Stream(Self::FIRST_OF_TASKS + n)
    }

    /// The last counter word.
    pub const fn word(self) -> u32 {
        self.0
    }
}

pub const M0: u32 = 0xD251_1F53;
pub const M1: u32 = 0xCD9E_8D57;
pub const W0: u32 = 0x9E37_79B9;
pub const W1: u32 = 0xBB67_AE85;

/// One block: four random words from a counter and a key. `W` is one word or a vector of lanes.
#[inline(always)]
pub fn philox4x32_10<W: Word>(ctr: [W; 4], key: [u32; 2]) -> [W; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = ctr;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < 10 {
        let (h0, l0) = c0.mul_wide(M0);
        let (h1, l1) = c2.mul_wide(M1);
        (c0, c1, c2, c3) = (h1.xor(c1).xor(W::splat(k0)), l1, h0.xor(c3).xor(W::splat(k1)), l0);
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// The block at (draw, slot, env, stream) of a replica.
#[inline(always)]
pub fn draw<W: Word>(key: [u32; 2], stream: Stream, env: W, slot: u32, draw: u32) -> [W; 4] {
    philox4x32_10([W::splat(draw), W::splat(slot), env, W::splat(stream.0)], key)
}

/// A sequential generator over one stream, for host-side draws (network initialisation, tests). Implements the `rand`
/// traits.
#[derive(Clone, Debug)]
pub struct PhiloxRng {
    key: [u32; 2],
    ctr: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl PhiloxRng {
    /// Starts at draw 0 of (slot, env, stream) of a replica.
    pub fn new(key: [u32; 2], stream: Stream, env: u32, slot: u32) -> Self {
        PhiloxRng { key, ctr: [0, slot, env, stream.0], block: [0; 4], used: 4 }
    }

    fn next_word(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32_10(self.ctr, self.key);
            self.ctr[0] = self.ctr[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }
}

impl rand::TryRng for PhiloxRng {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.next_word())
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let lo = self.next_word();
        Ok(u64::from(lo) | u64::from(self.next_word()) << 32)
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in dst.chunks_mut(4) {
            let w = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&w[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random123_known_answers() {
        assert_eq!(philox4x32_10([0u32; 4], [0, 0]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([!0u32; 4], [!0, !0]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10(
                [0x243f_6a88u32, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn rand_traits_follow_the_counter() {
        use rand::Rng;
        let mut rng = PhiloxRng::new([7, 3], Stream::Init, 5, 2);
        let first = draw([7, 3], Stream::Init, 5u32, 2, 0);
        let second = draw([7, 3], Stream::Init, 5u32, 2, 1);
        for w in first.into_iter().chain(second) {
            assert_eq!(rng.next_u32(), w);
        }
    }
}

//! Leaky integrate-and-fire neurons in vector lanes: their constants, and a layer of them over all spike steps.

use super::{PAPER_STEPS, words};
use crate::nets::Lif;
use crate::nets::dense::{PAD, leading};
use crate::nets::lif::MAX_STEPS;
use crate::num::real::F32Lanes;

/// The constants of the neurons in every lane.
pub(super) struct Neurons<V> {
    /// 1−λ and λ
    pub(super) keep: V,
    pub(super) share: V,
    pub(super) threshold: V,
    pub(super) reset: V,
    /// 2/η; π·√(η/2), and that times −U_th.
    level: V,
    sharp: V,
    offset: V,
    detach: bool,
}

impl<V: F32Lanes> Neurons<V> {
    #[inline(always)]
    pub(super) fn new(lif: &Lif) -> Self {
        let sharp = std::f64::consts::PI * (0.5 * lif.eta).sqrt();
        Neurons {
            keep: V::splat(1.0 - lif.lambda),
            share: V::splat(lif.lambda),
            threshold: V::splat(lif.threshold),
            reset: V::splat(lif.reset),
            level: V::splat(2.0 / lif.eta),
            sharp: V::splat(sharp),
            offset: V::splat(-sharp * lif.threshold),
            detach: lif.detach_reset,
        }
    }

    /// Potential after a current, before the reset.
    #[inline(always)]
    fn charge(&self, v: V, i: V) -> V {
        self.keep.mul_add(v, self.share * i)
    }

    /// ds/dU = (η/2)/(1 + (πη(U−U_th)/2)²), with the factor η/2 inside the sum: 1/(2/η + (π√(η/2)(U−U_th))²).
    #[inline(always)]
    pub(super) fn slope(&self, u: V) -> V {
        let x = u.mul_add(self.sharp, self.offset);
        x.mul_add(x, self.level).recip()
    }

    /// d·dV/dU
    #[inline(always)]
    pub(super) fn carry(&self, u: V, slope: V, d: V) -> V {
        let (fires, zero) = (self.threshold.le(u), V::splat(0.0));
        if self.detach {
            V::select(fires, zero, d)
        } else {
            (V::select(fires, zero, V::splat(1.0)) - (u - self.reset) * slope) * d
        }
    }
}

/// One layer's neurons over all steps, for one sample.
pub(super) struct Fire<'a> {
    pub(super) lif: &'a Lif,
    pub(super) neurons: usize,
    /// The constant current of a first layer.
    pub(super) current: &'a [f32],
    /// Currents `[S, ld]` of another layer, replaced by the potentials.
    pub(super) u: &'a mut [f32],
    /// `[S, words]`
    pub(super) fired: &'a mut [u64],
    /// h of a last hidden layer; else empty.
    pub(super) weighted: &'a mut [f32],
    /// Potentials to start from and where to leave them; empty where they are reset.
    pub(super) start: &'a [f32],
    pub(super) end: &'a mut [f32],
    pub(super) readout: &'a [f32],
}

impl Fire<'_> {
    /// Spikes, and membrane updates if they are to be counted.
    #[inline(always)]
    pub(super) fn run<V: F32Lanes, const FIRST: bool, const COUNT: bool>(self) -> (u64, u64) {
        match self.lif.steps {
            PAPER_STEPS => self.steps::<V, FIRST, COUNT, PAPER_STEPS>(),
            _ => self.steps::<V, FIRST, COUNT, 0>(),
        }
    }

    /// The same for S steps; for any number if S is 0.
    #[inline(always)]
    fn steps<V: F32Lanes, const FIRST: bool, const COUNT: bool, const S: usize>(self) -> (u64, u64) {
        let c = Neurons::<V>::new(self.lif);
        let s = if S > 0 { S } else { self.lif.steps };
        let (ld, last) = (leading(self.neurons), !self.weighted.is_empty());
        let words = words(self.neurons);
        let cols = self.neurons.next_multiple_of(PAD);
        assert!(FIRST || self.u.len() == s * ld, "potentials of {s} steps");
        let potentials = self.u.as_mut_ptr();
        let (mut spikes, mut updates) = (0, 0);
        for k in 0..words {
            let mut sets = [0u64; MAX_STEPS];
            for j in (64 * k..cols.min(64 * k + 64)).step_by(V::LANES) {
                let (mut v, mut h) = (V::splat(0.0), V::splat(0.0));
                let mut before = V::splat(0.0);
                let drive = if FIRST { c.share * V::load(&self.current[j..]) } else { v };
                if !self.start.is_empty() {
                    v = V::load(&self.start[j..]);
                }
                for t in 0..s {
                    let u = if FIRST {
                        c.keep.mul_add(v, drive)
                    } else {
                        // SAFETY: j + LANES ≤ cols ≤ ld and t < s, and there are s·ld potentials.
                        unsafe {
                            let at = potentials.add(t * ld + j);
                            let u = c.charge(v, V::load_ptr(at));
                            u.store_ptr(at);
                            u
                        }
                    };
                    if COUNT && t > 0 {
                        let changed = V::mask_bits(u.lt(before)) | V::mask_bits(before.lt(u));
                        updates += u64::from(changed.count_ones());
                    }
                    before = u;
                    let fires = c.threshold.le(u);
                    v = V::select(fires, c.reset, u);
                    if last {
                        h = V::select(fires, h + V::splat_f32(self.readout[t]), h);
                    }
                    sets[t] |= V::mask_bits(fires) << (j - 64 * k);
                }
                if last {
                    h.store(&mut self.weighted[j..]);
                }
                if !self.end.is_empty() {
                    v.store(&mut self.end[j..]);
                }
            }
            for (t, set) in sets[..s].iter().enumerate() {
                self.fired[t * words + k] = *set;
                spikes += u64::from(set.count_ones());
            }
        }
        if COUNT {
            updates += self.neurons as u64;
        }
        (spikes, updates)
    }
}

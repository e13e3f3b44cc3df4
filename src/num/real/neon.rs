//! f32 lanes on 64-bit Arm: 4 with NEON, which every such processor has, so that nothing is detected and no function
//! needs instructions enabled. Methods are those of the x86 lanes, bit for bit.

use super::poly::polynomial_functions;
use super::traits::assign_operators;
use super::{F32Lanes, Real, Word};
use std::arch::aarch64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

// SAFETY (all unsafe blocks of this file): the instructions are enabled wherever it is compiled; loads and stores check
// the slice's length first, read arrays of four, or leave the extent to their caller.
#[derive(Clone, Copy)]
pub struct F32x4(float32x4_t);
#[derive(Clone, Copy)]
pub struct U32x4(uint32x4_t);

/// Methods that are one instruction of two vectors.
macro_rules! pairwise {
    ($of:ident: $($name:ident $instruction:ident),*) => {$(
        #[inline(always)]
        fn $name(self, o: Self) -> Self {
            unsafe { $of($instruction(self.0, o.0)) }
        }
    )*};
}

impl Add for F32x4 {
    type Output = Self;
    pairwise!(F32x4: add vaddq_f32);
}
impl Sub for F32x4 {
    type Output = Self;
    pairwise!(F32x4: sub vsubq_f32);
}
impl Mul for F32x4 {
    type Output = Self;
    pairwise!(F32x4: mul vmulq_f32);
}
impl Div for F32x4 {
    type Output = Self;
    pairwise!(F32x4: div vdivq_f32);
}
impl Neg for F32x4 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        unsafe { F32x4(vnegq_f32(self.0)) }
    }
}
assign_operators!(F32x4);

impl Real for F32x4 {
    type Elem = f32;
    type Word = U32x4;
    type Mask = uint32x4_t;
    const LANES: usize = 4;
    #[inline(always)]
    fn splat(x: f64) -> Self {
        unsafe { F32x4(vdupq_n_f32(x as f32)) }
    }
    #[inline(always)]
    fn load(src: &[f32]) -> Self {
        assert!(src.len() >= 4);
        unsafe { F32x4(vld1q_f32(src.as_ptr())) }
    }
    #[inline(always)]
    fn store(self, dst: &mut [f32]) {
        assert!(dst.len() >= 4);
        unsafe { vst1q_f32(dst.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F32x4(vsqrtq_f32(self.0)) }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        unsafe { F32x4(vabsq_f32(self.0)) }
    }
    // Not NEON's own minimum and maximum, which pass a NaN on and tell zeros apart: the second operand wins, as
    // everywhere.
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Self::select(self.lt(o), self, o)
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Self::select(o.lt(self), self, o)
    }
    #[inline(always)]
    fn lt(self, o: Self) -> uint32x4_t {
        unsafe { vcltq_f32(self.0, o.0) }
    }
    #[inline(always)]
    fn le(self, o: Self) -> uint32x4_t {
        unsafe { vcleq_f32(self.0, o.0) }
    }
    #[inline(always)]
    fn mask_and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { vandq_u32(a, b) }
    }
    #[inline(always)]
    fn select(m: uint32x4_t, a: Self, b: Self) -> Self {
        unsafe { F32x4(vbslq_f32(m, a.0, b.0)) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        unsafe { F32x4(vfmaq_f32(b.0, self.0, a.0)) }
    }
    polynomial_functions!();
}

impl F32Lanes for F32x4 {
    #[inline(always)]
    fn to_bits(self) -> U32x4 {
        unsafe { U32x4(vreinterpretq_u32_f32(self.0)) }
    }
    #[inline(always)]
    fn from_bits(w: U32x4) -> Self {
        unsafe { F32x4(vreinterpretq_f32_u32(w.0)) }
    }
    #[inline(always)]
    fn to_int(self) -> U32x4 {
        unsafe { U32x4(vreinterpretq_u32_s32(vcvtq_s32_f32(self.0))) }
    }
    #[inline(always)]
    fn from_int(w: U32x4) -> Self {
        unsafe { F32x4(vcvtq_f32_s32(vreinterpretq_s32_u32(w.0))) }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F32x4(vrndmq_f32(self.0)) }
    }
    #[inline(always)]
    fn odd(w: U32x4) -> uint32x4_t {
        unsafe { vtstq_u32(w.0, vdupq_n_u32(1)) }
    }
    #[inline(always)]
    fn splat_f32(x: f32) -> Self {
        unsafe { F32x4(vdupq_n_f32(x)) }
    }
    #[inline(always)]
    fn mask_bits(m: uint32x4_t) -> u64 {
        // A lane is all ones or zero; its bit is that of its number.
        const BITS: [u32; 4] = [1, 2, 4, 8];
        let bits = unsafe { vld1q_u32(BITS.as_ptr()) };
        unsafe { u64::from(vaddvq_u32(vandq_u32(m, bits))) }
    }
    #[inline(always)]
    fn recip(self) -> Self {
        Self::splat(1.0) / self
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let two = unsafe { vadd_f32(vget_low_f32(self.0), vget_high_f32(self.0)) };
        unsafe { vget_lane_f32::<0>(vpadd_f32(two, two)) }
    }
    #[inline(always)]
    unsafe fn load_ptr(p: *const f32) -> Self {
        unsafe { F32x4(vld1q_f32(p)) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32) {
        unsafe { vst1q_f32(p, self.0) }
    }
}

impl Word for U32x4 {
    #[inline(always)]
    fn splat(x: u32) -> Self {
        unsafe { U32x4(vdupq_n_u32(x)) }
    }
    #[inline(always)]
    fn iota(base: u32) -> Self {
        const STEPS: [u32; 4] = [0, 1, 2, 3];
        let steps = unsafe { vld1q_u32(STEPS.as_ptr()) };
        unsafe { U32x4(vaddq_u32(vdupq_n_u32(base), steps)) }
    }
    pairwise!(U32x4: add vaddq_u32, sub vsubq_u32, mul vmulq_u32, xor veorq_u32, and vandq_u32, or vorrq_u32);
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        unsafe { U32x4(vshlq_u32(self.0, vdupq_n_s32(N as i32))) }
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        // To the right is to the left by less than nothing.
        unsafe { U32x4(vshlq_u32(self.0, vdupq_n_s32(-(N as i32)))) }
    }
    #[inline(always)]
    fn mul_wide(self, k: u32) -> (Self, Self) {
        let low = unsafe { vreinterpretq_u32_u64(vmull_u32(vget_low_u32(self.0), vdup_n_u32(k))) };
        let high = unsafe { vreinterpretq_u32_u64(vmull_high_u32(self.0, vdupq_n_u32(k))) };
        unsafe { (U32x4(vuzp2q_u32(low, high)), U32x4(vuzp1q_u32(low, high))) }
    }
}

//! What the twins ask of a number: words, reals, lanes, and code that runs over lanes.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// A lane vector of `u32` (or one `u32`), wrapping arithmetic.
pub trait Word: Copy {
    fn splat(x: u32) -> Self;
    /// `base, base+1, …` over the lanes.
    fn iota(base: u32) -> Self;
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    fn xor(self, o: Self) -> Self;
    fn and(self, o: Self) -> Self;
    fn or(self, o: Self) -> Self;
    fn shl<const N: u32>(self) -> Self;
    fn shr<const N: u32>(self) -> Self;
    /// (high, low) halves of the 64-bit product with `k`.
    fn mul_wide(self, k: u32) -> (Self, Self);
}

/// A real number: `f64`, `f32`, or a vector of f32 lanes.
pub trait Real:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
{
    /// What one lane is in memory.
    type Elem: Copy + Default + Send + Sync + 'static;
    type Word: Word;
    type Mask: Copy;
    const LANES: usize;

    fn splat(x: f64) -> Self;
    fn load(src: &[Self::Elem]) -> Self;
    fn store(self, dst: &mut [Self::Elem]);
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn min(self, o: Self) -> Self;
    fn max(self, o: Self) -> Self;
    fn lt(self, o: Self) -> Self::Mask;
    fn le(self, o: Self) -> Self::Mask;
    fn mask_and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    fn select(m: Self::Mask, a: Self, b: Self) -> Self;
    /// `self·a + b`, fused where the machine can.
    fn mul_add(self, a: Self, b: Self) -> Self;

    fn exp(self) -> Self;
    /// Natural logarithm of a positive number.
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    /// atan2(y, x) with `self` = y ≥ 0.
    fn atan2_upper(self, x: Self) -> Self;
    /// (sin, cos) of an angle in rad.
    fn sin_cos(self) -> (Self, Self);
    /// (sin, cos) of π·u·n for |u| ≤ 1: u is rounded to 2⁻³⁰ and the multiple wraps exactly.
    fn sin_cos_pi_multiple(u: Self, n: u32) -> (Self, Self);
    /// (sin, cos) of a phase word.
    fn sin_cos_word(w: Self::Word) -> (Self, Self);
    /// (w >> 8)·2⁻²⁴ + 2⁻²⁵, in (0, 1).
    fn unit_from_word(w: Self::Word) -> Self;

    /// 1/(1+e^(−x))
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let one = Self::splat(1.0);
        one / (one + (-self).exp())
    }

    /// Two independent standard normals from two random words by Box–Muller: radius from the first, and the second, cut
    /// to 24 bits and centred, is the phase (the mapping of `tests/golden/box_muller.safetensors`).
    #[inline(always)]
    fn normal_pair(w1: Self::Word, w2: Self::Word) -> (Self, Self) {
        let r = (Self::splat(-2.0) * Self::unit_from_word(w1).ln()).max(Self::splat(0.0)).sqrt();
        let phase = w2.and(Self::Word::splat(0xffff_ff00)).or(Self::Word::splat(0x80));
        let (s, c) = Self::sin_cos_word(phase);
        (r * c, r * s)
    }
}

/// The f32 types, whose transcendental functions are polynomials on bits.
pub trait F32Lanes: Real<Elem = f32> {
    fn to_bits(self) -> Self::Word;
    fn from_bits(w: Self::Word) -> Self;
    /// Truncation to i32, as bits.
    fn to_int(self) -> Self::Word;
    /// From i32, as bits.
    fn from_int(w: Self::Word) -> Self;
    fn floor(self) -> Self;
    /// Lanes where the lowest bit of `w` is set.
    fn odd(w: Self::Word) -> Self::Mask;
    fn splat_f32(x: f32) -> Self;
    /// One bit per lane, lane 0 lowest.
    fn mask_bits(m: Self::Mask) -> u64;
    /// 1/x within 2 ulp for normal x. As with `mul_add`, its bits may differ between instruction sets: for the dense
    /// layers only.
    fn recip(self) -> Self;
    /// Sum over the lanes, by halves; as with `recip`, for the dense layers only.
    fn sum(self) -> f32;
    /// # Safety
    /// `LANES` floats must be readable at `p`.
    unsafe fn load_ptr(p: *const f32) -> Self;
    /// # Safety
    /// `LANES` floats must be writable at `p`.
    unsafe fn store_ptr(self, p: *mut f32);
}

/// Code written once over lanes and run with the widest vectors the machine has.
pub trait LaneKernel {
    type Out;
    /// Must be `#[inline(always)]`, so that it is compiled with the caller's instruction set.
    fn run<V: F32Lanes>(self) -> Self::Out;
}

/// `+=`, `-=` and `*=` of lanes, from their `+`, `-` and `*`.
macro_rules! assign_operators {
    ($lanes:ident: $($trait:ident $name:ident $operator:tt),*) => {$(
        impl std::ops::$trait for $lanes {
            #[inline(always)]
            fn $name(&mut self, o: Self) {
                *self = *self $operator o;
            }
        }
    )*};
    ($lanes:ident) => {
        assign_operators!($lanes: AddAssign add_assign +, SubAssign sub_assign -, MulAssign mul_assign *);
    };
}
#[allow(unused_imports, reason = "some machines have no lanes")]
pub(super) use assign_operators;

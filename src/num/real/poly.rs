//! The f32 functions of `shaders/shared/math.wgsl`, written once for one lane or sixteen. Same operations in the same
//! order as the shader. Coefficients are those of the Cephes single-precision library (Moshier).
//!
//! Largest errors against f64: exp 1.2 ulp, ln 0.8 ulp, tanh 1.3 ulp, sin/cos of a phase word 1.2e-7 absolute.

#![allow(clippy::approx_constant, reason = "the digits are those of the shader and of Cephes")]

use super::{F32Lanes, Word};

/// The functions of [`Real`](super::Real) that this file has, for a type of f32 lanes.
macro_rules! polynomial_functions {
    () => {
        #[inline(always)]
        fn exp(self) -> Self {
            crate::num::real::poly::exp(self)
        }
        #[inline(always)]
        fn ln(self) -> Self {
            crate::num::real::poly::ln(self)
        }
        #[inline(always)]
        fn tanh(self) -> Self {
            crate::num::real::poly::tanh(self)
        }
        #[inline(always)]
        fn atan2_upper(self, x: Self) -> Self {
            crate::num::real::poly::atan2_upper(self, x)
        }
        #[inline(always)]
        fn sin_cos(self) -> (Self, Self) {
            crate::num::real::poly::sin_cos(self)
        }
        #[inline(always)]
        fn sin_cos_pi_multiple(u: Self, n: u32) -> (Self, Self) {
            crate::num::real::poly::sin_cos_pi_multiple(u, n)
        }
        #[inline(always)]
        fn sin_cos_word(w: Self::Word) -> (Self, Self) {
            crate::num::real::poly::sin_cos_word::<Self>(w)
        }
        #[inline(always)]
        fn unit_from_word(w: Self::Word) -> Self {
            crate::num::real::poly::unit_from_word::<Self>(w)
        }
    };
}
pub(super) use polynomial_functions;

#[inline(always)]
fn horner<V: F32Lanes, const N: usize>(x: V, c: [f64; N]) -> V {
    let mut y = V::splat(c[0]);
    let mut i = 1;
    while i < N {
        y = y * x + V::splat(c[i]);
        i += 1;
    }
    y
}

/// e^x, clamped to x in [−87, 88].
#[inline(always)]
pub fn exp<V: F32Lanes>(x: V) -> V {
    let x = x.max(V::splat(-87.0)).min(V::splat(88.0));
    let n = (x * V::splat(1.442_695_04) + V::splat(0.5)).floor();
    let r0 = x - n * V::splat(0.693_359_375);
    let r = r0 + n * V::splat(2.121_944_4e-4);
    let p = horner(
        r,
        [1.987_569_15e-4, 1.398_199_95e-3, 8.333_451_9e-3, 4.166_579_6e-2, 1.666_666_55e-1, 5.000_000_1e-1],
    );
    let y = (p * (r * r) + r) + V::splat(1.0);
    V::from_bits(y.to_bits().add(n.to_int().shl::<23>()))
}

/// ln x for normal positive x.
#[inline(always)]
pub fn ln<V: F32Lanes>(x: V) -> V {
    let bits = x.to_bits();
    // Mantissa into [0.5, 1), exponent to match.
    let e0 = V::from_int(bits.shr::<23>().sub(V::Word::splat(126)));
    let m0 = V::from_bits(bits.and(V::Word::splat(0x007f_ffff)).or(V::Word::splat(0x3f00_0000)));
    let small = m0.lt(V::splat(0.707_106_781));
    let e = e0 - V::select(small, V::splat(1.0), V::splat(0.0));
    let m = V::select(small, m0 + m0, m0) - V::splat(1.0);
    let z = m * m;
    let p = horner(
        m,
        [
            7.037_683_6e-2,
            -1.151_461_03e-1,
            1.167_699_87e-1,
            -1.242_014_1e-1,
            1.424_932_28e-1,
            -1.666_805_77e-1,
            2.000_071_48e-1,
            -2.499_999_4e-1,
            3.333_333_1e-1,
        ],
    );
    let y0 = (m * z) * p;
    let y1 = y0 + e * V::splat(-2.121_944_4e-4);
    let y = y1 - z * V::splat(0.5);
    (m + y) + e * V::splat(0.693_359_375)
}

/// tanh x.
#[inline(always)]
pub fn tanh<V: F32Lanes>(x: V) -> V {
    let a = x.abs();
    let z = x * x;
    let p = horner(z, [-5.704_988_7e-3, 2.063_908_9e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328_2e-1]);
    let near = (p * z) * x + x;
    let far = V::splat(1.0) - V::splat(2.0) / (exp(a + a) + V::splat(1.0));
    let signed = V::select(x.lt(V::splat(0.0)), -far, far);
    V::select(a.lt(V::splat(0.625)), near, signed)
}

/// (sin, cos) of a phase word: quadrant from the top bits, polynomials on the residual |x| ≤ π/4.
#[inline(always)]
pub fn sin_cos_word<V: F32Lanes>(w: V::Word) -> (V, V) {
    let q = w.add(V::Word::splat(0x2000_0000)).shr::<30>();
    let r = w.sub(q.shl::<30>());
    let x = V::from_int(r) * V::splat(1.462_918_079_267_159_6e-9); // 2π·2⁻³²
    let z = x * x;
    let s = (horner(z, [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]) * z) * x + x;
    let c = (horner(z, [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]) * z) * z - z * V::splat(0.5)
        + V::splat(1.0);
    let swap = V::odd(q);
    let s1 = V::select(swap, c, s);
    let c1 = V::select(swap, s, c);
    // sin changes sign in quadrants 2, 3; cos in 1, 2.
    let flip_s = q.shr::<1>().shl::<31>();
    let flip_c = q.add(V::Word::splat(1)).shr::<1>().shl::<31>();
    (V::from_bits(s1.to_bits().xor(flip_s)), V::from_bits(c1.to_bits().xor(flip_c)))
}

/// (sin, cos) of x rad, |x| up to some hundred turns; absolute error about 6e-8·max(1, |x|).
#[inline(always)]
pub fn sin_cos<V: F32Lanes>(x: V) -> (V, V) {
    let turns = x * V::splat(0.159_154_943);
    let frac = turns - (turns + V::splat(0.5)).floor();
    sin_cos_word::<V>((frac * V::splat(2_147_483_648.0)).to_int().shl::<1>())
}

/// (sin, cos) of π·u·n, |u| ≤ 1.
#[inline(always)]
pub fn sin_cos_pi_multiple<V: F32Lanes>(u: V, n: u32) -> (V, V) {
    let w = (u * V::splat(1_073_741_824.0)).to_int().shl::<1>();
    sin_cos_word::<V>(w.mul(V::Word::splat(n)))
}

/// (w >> 8)·2⁻²⁴ + 2⁻²⁵
#[inline(always)]
pub fn unit_from_word<V: F32Lanes>(w: V::Word) -> V {
    V::from_int(w.shr::<8>()) * V::splat(5.960_464_477_539_063e-8) + V::splat(2.980_232_238_769_531_3e-8)
}

/// atan2(y, x) for y ≥ 0, not both zero: in [0, π].
#[inline(always)]
pub fn atan2_upper<V: F32Lanes>(y: V, x: V) -> V {
    let a = x.abs();
    let lo = a.min(y);
    let hi = a.max(y);
    let t0 = lo / hi;
    // [tan(π/8), 1] → atan(t) = π/4 + atan((t−1)/(t+1))
    let upper = V::splat(0.414_213_562).lt(t0);
    let t = V::select(upper, (t0 - V::splat(1.0)) / (t0 + V::splat(1.0)), t0);
    let z = t * t;
    let p = horner(z, [8.053_744_5e-2, -1.387_768_6e-1, 1.997_771_1e-1, -3.333_294_9e-1]);
    let r0 = (p * z) * t + t + V::select(upper, V::splat(std::f64::consts::FRAC_PI_4), V::splat(0.0));
    let r1 = V::select(a.lt(y), V::splat(std::f64::consts::FRAC_PI_2) - r0, r0);
    V::select(x.lt(V::splat(0.0)), V::splat(std::f64::consts::PI) - r1, r1)
}

//! f32 lanes on x86-64: 8 with AVX2, 16 with AVX-512. Every method compiles to one or a few instructions once it is
//! inlined into a function with the instruction set enabled (`run_avx2`, `run_avx512`), which is the only way they are
//! reached.

use super::poly::polynomial_functions;
use super::traits::assign_operators;
use super::{F32Lanes, LaneKernel, Real, Word};
use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// # Safety
/// The machine must have AVX-512 F, DQ, VL and BW, and what [`run_avx2`] asks for.
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
pub unsafe fn run_avx512<K: LaneKernel>(k: K) -> K::Out {
    k.run::<F32x16>()
}

/// # Safety
/// The machine must have AVX2, FMA, BMI 1 and 2, LZCNT and POPCNT.
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
pub unsafe fn run_avx2<K: LaneKernel>(k: K) -> K::Out {
    k.run::<F32x8>()
}

/// Methods that are one instruction of two vectors.
macro_rules! pairwise {
    ($of:ident: $($name:ident $instruction:ident),*) => {$(
        #[inline(always)]
        fn $name(self, o: Self) -> Self {
            unsafe { $of($instruction(self.0, o.0)) }
        }
    )*};
}

/// Lanes and their words, from the instructions that both widths have and, behind them, the methods of [`Real`],
/// [`F32Lanes`] and [`Word`] that each has its own of.
macro_rules! lanes {
    ($f:ident, $w:ident, $n:literal, $vf:ty, $vi:ty, $mask:ty, {
        $add:ident $sub:ident $mul:ident $div:ident $set1:ident $loadu:ident $storeu:ident $sqrt:ident $min:ident $max:ident $fma:ident
        $iset1:ident $iadd:ident $isub:ident $imul:ident $xor:ident $and:ident $or:ident $cvtt:ident $cvt:ident $castfi:ident $castif:ident
        $iloadu:ident
    }, { $($real:tt)* }, { $($lanes:tt)* }, { $($word:tt)* }) => {
        #[derive(Clone, Copy)]
        pub struct $f($vf);
        #[derive(Clone, Copy)]
        pub struct $w($vi);

        // SAFETY (all unsafe blocks of this macro): values of these types only exist inside functions that enable the
        // instruction set; loads and stores check the slice length first.
        impl Add for $f {
            type Output = Self;
            pairwise!($f: add $add);
        }
        impl Sub for $f {
            type Output = Self;
            pairwise!($f: sub $sub);
        }
        impl Mul for $f {
            type Output = Self;
            pairwise!($f: mul $mul);
        }
        impl Div for $f {
            type Output = Self;
            pairwise!($f: div $div);
        }
        impl Neg for $f {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                $f::from_bits(self.to_bits().xor($w::splat(0x8000_0000)))
            }
        }
        assign_operators!($f);

        impl Real for $f {
            type Elem = f32;
            type Word = $w;
            type Mask = $mask;
            const LANES: usize = $n;
            #[inline(always)]
            fn splat(x: f64) -> Self {
                unsafe { $f($set1(x as f32)) }
            }
            #[inline(always)]
            fn load(src: &[f32]) -> Self {
                assert!(src.len() >= $n);
                unsafe { $f($loadu(src.as_ptr())) }
            }
            #[inline(always)]
            fn store(self, dst: &mut [f32]) {
                assert!(dst.len() >= $n);
                unsafe { $storeu(dst.as_mut_ptr(), self.0) }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                unsafe { $f($sqrt(self.0)) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $f::from_bits(self.to_bits().and($w::splat(0x7fff_ffff)))
            }
            pairwise!($f: min $min, max $max);
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                unsafe { $f($fma(self.0, a.0, b.0)) }
            }
            $($real)*
            polynomial_functions!();
        }

        impl F32Lanes for $f {
            #[inline(always)]
            fn to_bits(self) -> $w {
                unsafe { $w($castfi(self.0)) }
            }
            #[inline(always)]
            fn from_bits(w: $w) -> Self {
                unsafe { $f($castif(w.0)) }
            }
            #[inline(always)]
            fn to_int(self) -> $w {
                unsafe { $w($cvtt(self.0)) }
            }
            #[inline(always)]
            fn from_int(w: $w) -> Self {
                unsafe { $f($cvt(w.0)) }
            }
            #[inline(always)]
            fn splat_f32(x: f32) -> Self {
                unsafe { $f($set1(x)) }
            }
            #[inline(always)]
            unsafe fn load_ptr(p: *const f32) -> Self {
                unsafe { $f($loadu(p)) }
            }
            #[inline(always)]
            unsafe fn store_ptr(self, p: *mut f32) {
                unsafe { $storeu(p, self.0) }
            }
            $($lanes)*
        }

        impl Word for $w {
            #[inline(always)]
            fn splat(x: u32) -> Self {
                unsafe { $w($iset1(x as i32)) }
            }
            #[inline(always)]
            fn iota(base: u32) -> Self {
                let mut a = [0u32; $n];
                let mut i = 0;
                while i < $n {
                    a[i] = base.wrapping_add(i as u32);
                    i += 1;
                }
                unsafe { $w($iloadu(a.as_ptr().cast())) }
            }
            pairwise!($w: add $iadd, sub $isub, mul $imul, xor $xor, and $and, or $or);
            $($word)*
        }
    };
}

lanes!(F32x8, U32x8, 8, __m256, __m256i, __m256, {
    _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_sqrt_ps _mm256_min_ps _mm256_max_ps _mm256_fmadd_ps
    _mm256_set1_epi32 _mm256_add_epi32 _mm256_sub_epi32 _mm256_mullo_epi32 _mm256_xor_si256 _mm256_and_si256 _mm256_or_si256 _mm256_cvttps_epi32 _mm256_cvtepi32_ps _mm256_castps_si256 _mm256_castsi256_ps
    _mm256_loadu_si256
}, {
    #[inline(always)]
    fn lt(self, o: Self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn le(self, o: Self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LE_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn mask_and(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_and_ps(a, b) }
    }
    #[inline(always)]
    fn select(m: __m256, a: Self, b: Self) -> Self {
        unsafe { F32x8(_mm256_blendv_ps(b.0, a.0, m)) }
    }
}, {
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F32x8(_mm256_floor_ps(self.0)) }
    }
    #[inline(always)]
    fn odd(w: U32x8) -> __m256 {
        // blendv looks at the sign bit only
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<31>(w.0)) }
    }
    #[inline(always)]
    fn mask_bits(m: __m256) -> u64 {
        unsafe { _mm256_movemask_ps(m) as u64 }
    }
    #[inline(always)]
    fn recip(self) -> Self {
        Self::splat(1.0) / self
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}, {
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        unsafe { U32x8(_mm256_sll_epi32(self.0, _mm_cvtsi32_si128(N as i32))) }
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        unsafe { U32x8(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(N as i32))) }
    }
    #[inline(always)]
    fn mul_wide(self, k: u32) -> (Self, Self) {
        unsafe {
            let k = _mm256_set1_epi32(k as i32);
            let even = _mm256_mul_epu32(self.0, k);
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(self.0), k);
            let hi = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
            let lo = _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
            (U32x8(hi), U32x8(lo))
        }
    }
});

lanes!(F32x16, U32x16, 16, __m512, __m512i, __mmask16, {
    _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_sqrt_ps _mm512_min_ps _mm512_max_ps _mm512_fmadd_ps
    _mm512_set1_epi32 _mm512_add_epi32 _mm512_sub_epi32 _mm512_mullo_epi32 _mm512_xor_si512 _mm512_and_si512 _mm512_or_si512 _mm512_cvttps_epi32 _mm512_cvtepi32_ps _mm512_castps_si512 _mm512_castsi512_ps
    _mm512_loadu_si512
}, {
    #[inline(always)]
    fn lt(self, o: Self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn le(self, o: Self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self.0, o.0) }
    }
    #[inline(always)]
    fn mask_and(a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn select(m: __mmask16, a: Self, b: Self) -> Self {
        unsafe { F32x16(_mm512_mask_blend_ps(m, b.0, a.0)) }
    }
}, {
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn odd(w: U32x16) -> __mmask16 {
        unsafe { _mm512_test_epi32_mask(w.0, _mm512_set1_epi32(1)) }
    }
    #[inline(always)]
    fn mask_bits(m: __mmask16) -> u64 {
        u64::from(m)
    }
    /// 14 bits and a step of Newton's method: a third of the time of a division.
    #[inline(always)]
    fn recip(self) -> Self {
        unsafe {
            let r = _mm512_rcp14_ps(self.0);
            let rest = _mm512_fnmadd_ps(self.0, r, _mm512_set1_ps(1.0));
            F32x16(_mm512_fmadd_ps(r, rest, r))
        }
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe {
            let low = _mm512_castps512_ps256(self.0);
            F32x8(_mm256_add_ps(low, _mm512_extractf32x8_ps::<1>(self.0))).sum()
        }
    }
}, {
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        unsafe { U32x16(_mm512_slli_epi32::<N>(self.0)) }
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        unsafe { U32x16(_mm512_srli_epi32::<N>(self.0)) }
    }
    #[inline(always)]
    fn mul_wide(self, k: u32) -> (Self, Self) {
        unsafe {
            let k = _mm512_set1_epi32(k as i32);
            let even = _mm512_mul_epu32(self.0, k);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(self.0), k);
            let hi = _mm512_mask_blend_epi32(0b1010_1010_1010_1010, _mm512_srli_epi64::<32>(even), odd);
            let lo = _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, _mm512_slli_epi64::<32>(odd));
            (U32x16(hi), U32x16(lo))
        }
    }
});

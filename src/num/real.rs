//! Arithmetic the CPU twins are written in: one generic source runs as f64 (the judge of the GPU), as scalar f32
//! (the bit-exact twin of the WGSL code) and as 4, 8 or 16 f32 lanes (the fast CPU backend).
//!
//! * `f64` uses the standard library's functions.
//! * every f32 type evaluates the polynomials of `shaders/shared/math.wgsl`, operation by operation and without fused
//!   multiply-adds, so that scalar code, AVX2, AVX-512, NEON and software Vulkan all give the same bits.
//!   `mul_add` exists for the dense layers only, whose results are compared by tolerance.
//!
//! Angles travel as *phase words*: a `u32` counting 2⁻³² of a turn, which wraps exactly.

pub mod counted;
pub mod half;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
mod neon;
pub mod poly;
mod traits;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use traits::{F32Lanes, LaneKernel, Real, Word};

use poly::polynomial_functions;

/// A parameter as a number of the calculation. A macro, because a closure would not be compiled with the caller's
/// instruction set. The caller's type of numbers is called `V`.
#[macro_export]
macro_rules! c {
    ($x:expr) => {
        V::splat(f64::from($x))
    };
}
pub use c;

/// Lane groups of a range: calls `$body` with `$env` = first environment of each full group of `V::LANES`.
#[macro_export]
macro_rules! each_group {
    ($env:ident in $from:expr, $to:expr, $v:ident, $body:block) => {
        let mut $env = $from;
        while $env + $v::LANES <= $to {
            $body
            $env += $v::LANES;
        }
    };
}
pub use each_group;

/// The rows of `[rows, N]` from number `from` on, one in each lane, into `x` `[N]`.
#[inline(always)]
pub fn load_rows<V: Real>(rows: &[V::Elem], from: usize, x: &mut [V]) {
    let n = x.len();
    let mut lanes = [V::Elem::default(); 16];
    for (i, x) in x.iter_mut().enumerate() {
        for (l, value) in lanes.iter_mut().enumerate().take(V::LANES) {
            *value = rows[(from + l) * n + i];
        }
        *x = V::load(&lanes);
    }
}

/// `x` `[N]` into the rows of `[rows, N]` from number `from` on, a row from each lane.
#[inline(always)]
pub fn store_rows<V: Real>(x: &[V], rows: &mut [V::Elem], from: usize) {
    let n = x.len();
    let mut lanes = [V::Elem::default(); 16];
    for (i, x) in x.iter().enumerate() {
        x.store(&mut lanes);
        for (l, value) in lanes.iter().enumerate().take(V::LANES) {
            rows[(from + l) * n + i] = *value;
        }
    }
}

impl Word for u32 {
    #[inline(always)]
    fn splat(x: u32) -> Self {
        x
    }
    #[inline(always)]
    fn iota(base: u32) -> Self {
        base
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        self.wrapping_add(o)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        self.wrapping_sub(o)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        self.wrapping_mul(o)
    }
    #[inline(always)]
    fn xor(self, o: Self) -> Self {
        self ^ o
    }
    #[inline(always)]
    fn and(self, o: Self) -> Self {
        self & o
    }
    #[inline(always)]
    fn or(self, o: Self) -> Self {
        self | o
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        self << N
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        self >> N
    }
    #[inline(always)]
    fn mul_wide(self, k: u32) -> (Self, Self) {
        let p = u64::from(self) * u64::from(k);
        ((p >> 32) as u32, p as u32)
    }
}

macro_rules! scalar_common {
    ($t:ty) => {
        type Elem = $t;
        type Word = u32;
        type Mask = bool;
        const LANES: usize = 1;
        #[inline(always)]
        fn splat(x: f64) -> Self {
            x as $t
        }
        #[inline(always)]
        fn load(src: &[$t]) -> Self {
            src[0]
        }
        #[inline(always)]
        fn store(self, dst: &mut [$t]) {
            dst[0] = self;
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            <$t>::sqrt(self)
        }
        #[inline(always)]
        fn abs(self) -> Self {
            <$t>::abs(self)
        }
        // The comparisons below fix what happens at NaN: like the vector instructions, the second operand wins.
        #[inline(always)]
        fn min(self, o: Self) -> Self {
            if self < o { self } else { o }
        }
        #[inline(always)]
        fn max(self, o: Self) -> Self {
            if self > o { self } else { o }
        }
        #[inline(always)]
        fn lt(self, o: Self) -> bool {
            self < o
        }
        #[inline(always)]
        fn le(self, o: Self) -> bool {
            self <= o
        }
        #[inline(always)]
        fn mask_and(a: bool, b: bool) -> bool {
            a && b
        }
        #[inline(always)]
        fn select(m: bool, a: Self, b: Self) -> Self {
            if m { a } else { b }
        }
    };
}

impl Real for f64 {
    scalar_common!(f64);
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    #[inline(always)]
    fn atan2_upper(self, x: Self) -> Self {
        f64::atan2(self, x)
    }
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        f64::sin_cos(self)
    }
    #[inline(always)]
    fn sin_cos_pi_multiple(u: Self, n: u32) -> (Self, Self) {
        f64::sin_cos(std::f64::consts::PI * u * f64::from(n))
    }
    #[inline(always)]
    fn sin_cos_word(w: u32) -> (Self, Self) {
        f64::sin_cos(f64::from(w as i32) * (std::f64::consts::PI / 2147483648.0))
    }
    #[inline(always)]
    fn unit_from_word(w: u32) -> Self {
        f64::from(w >> 8) * 2f64.powi(-24) + 2f64.powi(-25)
    }
}

impl Real for f32 {
    scalar_common!(f32);
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    polynomial_functions!();
}

impl F32Lanes for f32 {
    #[inline(always)]
    fn to_bits(self) -> u32 {
        f32::to_bits(self)
    }
    #[inline(always)]
    fn from_bits(w: u32) -> Self {
        f32::from_bits(w)
    }
    #[inline(always)]
    fn to_int(self) -> u32 {
        self as i32 as u32
    }
    #[inline(always)]
    fn from_int(w: u32) -> Self {
        w as i32 as f32
    }
    #[inline(always)]
    fn floor(self) -> Self {
        f32::floor(self)
    }
    #[inline(always)]
    fn odd(w: u32) -> bool {
        w & 1 == 1
    }
    #[inline(always)]
    fn splat_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn mask_bits(m: bool) -> u64 {
        u64::from(m)
    }
    #[inline(always)]
    fn recip(self) -> Self {
        1.0 / self
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn load_ptr(p: *const f32) -> Self {
        // SAFETY: the caller's.
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32) {
        // SAFETY: the caller's.
        unsafe { *p = self }
    }
}

/// Instruction set used by [`run_lanes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdLevel {
    Scalar,
    Neon,
    Avx2,
    Avx512,
}

impl SimdLevel {
    /// The widest level this machine supports; the environment variable `ISACBENCH_SIMD` (`scalar`, `avx2`) lowers it.
    pub fn detect() -> SimdLevel {
        static LEVEL: std::sync::OnceLock<SimdLevel> = std::sync::OnceLock::new();
        *LEVEL.get_or_init(|| {
            let wish = std::env::var("ISACBENCH_SIMD").unwrap_or_default();
            #[cfg(target_arch = "x86_64")]
            {
                // Bit operations came with AVX2; the neurons that fired are bits.
                let bits = is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("lzcnt")
                    && is_x86_feature_detected!("popcnt");
                let avx2 = bits && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                let avx512 = avx2
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw");
                if avx512 && wish != "scalar" && wish != "avx2" {
                    return SimdLevel::Avx512;
                }
                if avx2 && wish != "scalar" {
                    return SimdLevel::Avx2;
                }
            }
            // Every 64-bit Arm processor has it.
            if cfg!(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))
                && wish != "scalar"
            {
                return SimdLevel::Neon;
            }
            SimdLevel::Scalar
        })
    }

    /// As manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            SimdLevel::Scalar => "scalar",
            SimdLevel::Neon => "neon",
            SimdLevel::Avx2 => "avx2",
            SimdLevel::Avx512 => "avx512",
        }
    }

    /// As its maker spells it, for people.
    pub fn title(self) -> &'static str {
        match self {
            SimdLevel::Scalar => "scalar",
            SimdLevel::Neon => "NEON",
            SimdLevel::Avx2 => "AVX2",
            SimdLevel::Avx512 => "AVX-512",
        }
    }

    pub fn lanes(self) -> usize {
        match self {
            SimdLevel::Scalar => 1,
            SimdLevel::Neon => 4,
            SimdLevel::Avx2 => 8,
            SimdLevel::Avx512 => 16,
        }
    }
}

/// Runs `k` with the widest vectors the machine has. All levels give the same bits (except through `mul_add`).
#[inline]
pub fn run_lanes<K: LaneKernel>(k: K) -> K::Out {
    #[cfg(target_arch = "x86_64")]
    {
        match SimdLevel::detect() {
            // SAFETY: the level was detected on this machine.
            SimdLevel::Avx512 => unsafe { x86::run_avx512(k) },
            SimdLevel::Avx2 => unsafe { x86::run_avx2(k) },
            _ => k.run::<f32>(),
        }
    }
    #[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
    {
        match SimdLevel::detect() {
            SimdLevel::Neon => k.run::<neon::F32x4>(),
            _ => k.run::<f32>(),
        }
    }
    #[cfg(not(any(
        target_arch = "x86_64",
        all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
    )))]
    k.run::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Probe<'a> {
        xs: &'a [f32],
        out: &'a mut [f32],
    }
    impl LaneKernel for Probe<'_> {
        type Out = ();
        #[inline(always)]
        fn run<V: F32Lanes>(self) {
            let n = self.xs.len() / V::LANES;
            for i in 0..n {
                let x = V::load(&self.xs[i * V::LANES..]);
                let (s, c) = x.sin_cos();
                let (sp, _) = V::sin_cos_pi_multiple(c, 31);
                let (z0, z1) = V::normal_pair(
                    x.to_bits().mul(V::Word::splat(0x9E37_79B9)),
                    V::Word::iota(7 + (i * V::LANES) as u32),
                );
                let y = x.exp()
                    + (x * x + V::splat(0.1)).ln()
                    + x.tanh()
                    + s * c
                    + sp
                    + z0 * z1
                    + (x * x).atan2_upper(x)
                    + x.sigmoid();
                y.store(&mut self.out[i * V::LANES..]);
            }
        }
    }

    #[test]
    fn all_simd_levels_give_the_same_bits() {
        let xs: Vec<f32> = (0..4096).map(|i| (i as f32 - 2000.0) * 0.0123).collect();
        let mut scalar = vec![0f32; xs.len()];
        let mut best = vec![0f32; xs.len()];
        Probe { xs: &xs, out: &mut scalar }.run::<f32>();
        run_lanes(Probe { xs: &xs, out: &mut best });
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let mut avx2 = vec![0f32; xs.len()];
            // SAFETY: just detected.
            unsafe { x86::run_avx2(Probe { xs: &xs, out: &mut avx2 }) };
            assert!(
                scalar.iter().zip(&avx2).all(|(a, b)| a.to_bits() == b.to_bits()),
                "AVX2 lanes differ from scalar"
            );
        }
        for (i, (a, b)) in scalar.iter().zip(&best).enumerate() {
            assert_eq!(a.to_bits(), b.to_bits(), "x = {}: scalar {a}, lanes {b}", xs[i]);
        }
    }

    /// What the polynomials do not reach: words, masks, and where zeros, infinities and NaN meet. Every number ends as
    /// words, `[operations, inputs]`.
    struct Edges<'a> {
        xs: &'a [f32],
        ys: &'a [f32],
        words: &'a [u32],
    }
    impl LaneKernel for Edges<'_> {
        type Out = Vec<Vec<u32>>;
        #[inline(always)]
        fn run<V: F32Lanes>(self) -> Vec<Vec<u32>> {
            let mut out = vec![Vec::new(); 18];
            let mut row = vec![0f32; V::LANES];
            for i in (0..self.xs.len()).step_by(V::LANES) {
                let (x, y) = (V::load(&self.xs[i..]), V::load(&self.ys[i..]));
                // A word for each lane, from floats of the same bits.
                let bits: Vec<f32> = self.words[i..i + V::LANES].iter().map(|w| f32::from_bits(*w)).collect();
                let w = V::load(&bits).to_bits();
                let (high, low) = w.mul_wide(0xD251_1F53);
                let (one, two) = (V::splat(1.0), V::splat(2.0));
                let masks = V::select(V::mask_and(x.lt(y), V::odd(w)), one, two);
                let small = V::splat(1e-3);
                let numbers = [
                    x.min(y),
                    x.max(y),
                    V::select(x.le(y), x, y),
                    masks,
                    (x.min(V::splat(1e6)).max(V::splat(-1e6)) * small).floor(),
                    x.abs(),
                    -x,
                    V::from_int(w),
                    (V::from_int(w) * small).abs().sqrt(),
                    V::from_bits((V::from_int(w) * small).to_int()),
                    V::from_bits(high),
                    V::from_bits(low),
                    V::from_bits(w.shl::<7>().or(w.shr::<25>())),
                    V::from_bits(w.add(V::Word::splat(9)).xor(V::Word::iota(i as u32)).sub(w.mul(w))),
                    V::from_bits(w.and(V::Word::splat(0x00ff_ff00))),
                    V::splat_f32(0.1) / V::from_int(w),
                ];
                for (all, x) in out.iter_mut().zip(numbers) {
                    x.store(&mut row);
                    all.extend(row.iter().map(|x| x.to_bits()));
                }
                let bits = V::mask_bits(V::odd(w));
                out[16].extend((0..V::LANES).map(|l| (bits >> l & 1) as u32));
                // The lanes of a vector that holds small integers have one sum in any order.
                let mut sum = 0.0;
                V::from_int(w.and(V::Word::splat(0xff))).store(&mut row);
                row.iter().for_each(|x| sum += x);
                assert_eq!(V::load(&row).sum(), sum);
                out[17].extend(row.iter().map(|x| x.to_bits()));
            }
            out
        }
    }

    #[test]
    fn edges_are_the_same_at_all_simd_levels() {
        let special = [0.0, -0.0, 1.0, -1.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40];
        // All pairs of them, then plain numbers.
        let pair = |i: usize| [special[i % 8], special[i / 8 % 8]];
        let plain = |i: usize| [(i as f32 - 90.0) * 11.1, (i * 37 % 101) as f32 - 50.0];
        let pairs: Vec<[f32; 2]> = (0..256).map(|i| if i < 64 { pair(i) } else { plain(i) }).collect();
        let [xs, ys] = [0, 1].map(|k| pairs.iter().map(|p| p[k]).collect::<Vec<_>>());
        let words: Vec<u32> = (0..256u32).map(|i| i.wrapping_mul(0x9E37_79B9) ^ i >> 3).collect();
        let edges = || Edges { xs: &xs, ys: &ys, words: &words };
        let (scalar, best) = (edges().run::<f32>(), run_lanes(edges()));
        for (operation, (a, b)) in scalar.iter().zip(&best).enumerate() {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                let nan = [a, b].map(|x| f32::from_bits(*x).is_nan());
                // A NaN is a NaN, whatever its bits; words have their own.
                let floats = operation < 9 && nan == [true; 2];
                assert!(a == b || floats, "operation {operation}, input {i}: {a:#x} scalar, {b:#x} in lanes");
            }
        }
    }

    fn worst(lo: f64, hi: f64, f: impl Fn(f32) -> f32, g: impl Fn(f64) -> f64, relative: bool) -> f64 {
        (0..=200_000)
            .map(|i| {
                let x = (lo + (hi - lo) * f64::from(i) / 200_000.0) as f32;
                let want = g(f64::from(x));
                let err = (f64::from(f(x)) - want).abs();
                if relative { err / want.abs().max(1e-300) } else { err }
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn polynomials_are_within_their_stated_errors() {
        // 2^-24 = 6e-8 is half an ulp; bounds are those of docs in poly.rs.
        assert!(worst(-80.0, 80.0, Real::exp, f64::exp, true) < 1.5e-7);
        assert!(worst(1e-6, 100.0, Real::ln, f64::ln, false) < 5e-7);
        assert!(worst(0.7, 1.4, Real::ln, f64::ln, false) < 4e-8);
        assert!(worst(-9.0, 9.0, Real::tanh, f64::tanh, false) < 1.2e-7);
        assert!(
            worst(
                -0.01,
                0.01,
                |x| if x == 0.0 { 1.0 } else { Real::tanh(x) / x },
                |x| if x == 0.0 { 1.0 } else { x.tanh() / x },
                true
            ) < 2e-7
        );
        assert!(worst(-3.2, 3.2, |x| Real::sin_cos(x).0, f64::sin, false) < 5e-7);
        assert!(
            worst(
                -1.0,
                1.0,
                |x| f32::sin_cos_pi_multiple(x, 1).1,
                |x| (x * std::f64::consts::PI).cos(),
                false
            ) < 1.5e-7
        );
        assert!(worst(-50.0, 50.0, |x| Real::atan2_upper(10f32, x), |x| 10f64.atan2(x), false) < 4e-7);
    }
}

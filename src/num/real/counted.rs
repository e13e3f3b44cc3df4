//! A number that counts what is done with it: the CPU twins run with it to say how many floating-point operations their
//! formulas take.
//!
//! One each: addition, subtraction, multiplication, division, square root, minimum, maximum, comparison, rounding to an
//! integer; two for a fused multiply-add. None: sign changes, absolute values, choices between two numbers,
//! conversions, bits and integers. `exp`, `ln`, … count as the operations of their polynomials.

use super::{F32Lanes, Real, poly};
use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// Floating-point operations by what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Additions, subtractions, comparisons, minima and maxima, roundings to an integer.
    pub additions: u64,
    pub multiplications: u64,
    pub divisions: u64,
    /// Square roots.
    pub roots: u64,
}

impl Operations {
    const NONE: Operations = Operations { additions: 0, multiplications: 0, divisions: 0, roots: 0 };

    /// A part of these, rounded up.
    #[must_use]
    pub fn shared_by(&self, n: u64) -> Operations {
        Operations {
            additions: self.additions.div_ceil(n),
            multiplications: self.multiplications.div_ceil(n),
            divisions: self.divisions.div_ceil(n),
            roots: self.roots.div_ceil(n),
        }
    }

    /// One each.
    pub fn total(&self) -> u64 {
        self.additions + self.multiplications + self.divisions + self.roots
    }
}

thread_local! {
    static OPERATIONS: Cell<Operations> = const { Cell::new(Operations::NONE) };
}

#[inline]
fn count(kind: impl FnOnce(&mut Operations)) {
    OPERATIONS.with(|c| {
        let mut sums = c.get();
        kind(&mut sums);
        c.set(sums);
    });
}

fn addition() {
    count(|n| n.additions += 1);
}

fn multiplication() {
    count(|n| n.multiplications += 1);
}

fn division() {
    count(|n| n.divisions += 1);
}

fn root() {
    count(|n| n.roots += 1);
}

/// All operations that `work` does with [`Counted`] numbers.
pub fn operations(work: impl FnOnce() + Send) -> u64 {
    kinds(work).total()
}

/// Operations that `work` does with [`Counted`] numbers, by kind. What it splits between threads runs on one.
pub fn kinds(work: impl FnOnce() + Send) -> Operations {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a machine can start a thread");
    pool.install(|| {
        OPERATIONS.with(|c| c.set(Operations::NONE));
        work();
        OPERATIONS.with(Cell::get)
    })
}

/// Operations of the functions of `shaders/shared/math.wgsl`.
pub const EXP: usize = 23;
pub const LN: usize = 30;
pub const TANH: usize = 41;
pub const SIGMOID: usize = EXP + 2;
pub const SIN_COS: usize = 23;
pub const SIN_COS_PI_MULTIPLE: usize = 19;
pub const ATAN2_UPPER: usize = 22;
/// A word as a number in (0, 1).
pub const UNIT: usize = 2;
/// Two normal numbers from two words.
pub const NORMAL_PAIR: usize = UNIT + LN + 3 + 18 + 2;
/// An f32 that counts: what twins are run with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted(pub f32);

/// The same as lanes of f32, for the polynomials.
#[derive(Clone, Copy)]
struct Lane(f32);

macro_rules! counting {
    ($t:ident, elem $elem:ty, from $from:expr, to $to:expr) => {
        impl Add for $t {
            type Output = $t;
            fn add(self, o: $t) -> $t {
                addition();
                $t(self.0 + o.0)
            }
        }
        impl Sub for $t {
            type Output = $t;
            fn sub(self, o: $t) -> $t {
                addition();
                $t(self.0 - o.0)
            }
        }
        impl Mul for $t {
            type Output = $t;
            fn mul(self, o: $t) -> $t {
                multiplication();
                $t(self.0 * o.0)
            }
        }
        impl Div for $t {
            type Output = $t;
            fn div(self, o: $t) -> $t {
                division();
                $t(self.0 / o.0)
            }
        }
        impl Neg for $t {
            type Output = $t;
            fn neg(self) -> $t {
                $t(-self.0)
            }
        }
        impl AddAssign for $t {
            fn add_assign(&mut self, o: $t) {
                *self = *self + o;
            }
        }
        impl SubAssign for $t {
            fn sub_assign(&mut self, o: $t) {
                *self = *self - o;
            }
        }
        impl MulAssign for $t {
            fn mul_assign(&mut self, o: $t) {
                *self = *self * o;
            }
        }
        impl Real for $t {
            type Elem = $elem;
            type Word = u32;
            type Mask = bool;
            const LANES: usize = 1;
            fn splat(x: f64) -> Self {
                $t(x as f32)
            }
            fn load(src: &[$elem]) -> Self {
                $from(src[0])
            }
            fn store(self, dst: &mut [$elem]) {
                dst[0] = $to(self);
            }
            fn sqrt(self) -> Self {
                root();
                $t(self.0.sqrt())
            }
            fn abs(self) -> Self {
                $t(self.0.abs())
            }
            fn min(self, o: Self) -> Self {
                addition();
                $t(Real::min(self.0, o.0))
            }
            fn max(self, o: Self) -> Self {
                addition();
                $t(Real::max(self.0, o.0))
            }
            fn lt(self, o: Self) -> bool {
                addition();
                self.0 < o.0
            }
            fn le(self, o: Self) -> bool {
                addition();
                self.0 <= o.0
            }
            fn mask_and(a: bool, b: bool) -> bool {
                a && b
            }
            fn select(m: bool, a: Self, b: Self) -> Self {
                if m { a } else { b }
            }
            fn mul_add(self, a: Self, b: Self) -> Self {
                addition();
                multiplication();
                $t(self.0 * a.0 + b.0)
            }
            fn exp(self) -> Self {
                $t(poly::exp(Lane(self.0)).0)
            }
            fn ln(self) -> Self {
                $t(poly::ln(Lane(self.0)).0)
            }
            fn tanh(self) -> Self {
                $t(poly::tanh(Lane(self.0)).0)
            }
            fn atan2_upper(self, x: Self) -> Self {
                $t(poly::atan2_upper(Lane(self.0), Lane(x.0)).0)
            }
            fn sin_cos(self) -> (Self, Self) {
                let (s, c) = poly::sin_cos(Lane(self.0));
                ($t(s.0), $t(c.0))
            }
            fn sin_cos_pi_multiple(u: Self, n: u32) -> (Self, Self) {
                let (s, c) = poly::sin_cos_pi_multiple(Lane(u.0), n);
                ($t(s.0), $t(c.0))
            }
            fn sin_cos_word(w: u32) -> (Self, Self) {
                let (s, c) = poly::sin_cos_word::<Lane>(w);
                ($t(s.0), $t(c.0))
            }
            fn unit_from_word(w: u32) -> Self {
                $t(poly::unit_from_word::<Lane>(w).0)
            }
        }
    };
}

counting!(Counted, elem Counted, from |x| x, to |x| x);
counting!(Lane, elem f32, from Lane, to |x: Lane| x.0);

impl From<Counted> for f64 {
    fn from(x: Counted) -> f64 {
        x.0.into()
    }
}

impl PartialEq for Counted {
    fn eq(&self, o: &Self) -> bool {
        addition();
        self.0 == o.0
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        addition();
        self.0.partial_cmp(&o.0)
    }
}

impl F32Lanes for Lane {
    fn to_bits(self) -> u32 {
        self.0.to_bits()
    }
    fn from_bits(w: u32) -> Self {
        Lane(f32::from_bits(w))
    }
    fn to_int(self) -> u32 {
        F32Lanes::to_int(self.0)
    }
    fn from_int(w: u32) -> Self {
        Lane(F32Lanes::from_int(w))
    }
    fn floor(self) -> Self {
        addition();
        Lane(self.0.floor())
    }
    fn odd(w: u32) -> bool {
        <f32 as F32Lanes>::odd(w)
    }
    fn splat_f32(x: f32) -> Self {
        Lane(x)
    }
    fn mask_bits(m: bool) -> u64 {
        u64::from(m)
    }
    fn recip(self) -> Self {
        division();
        Lane(1.0 / self.0)
    }
    fn sum(self) -> f32 {
        self.0
    }
    unsafe fn load_ptr(p: *const f32) -> Self {
        // SAFETY: the caller's.
        Lane(unsafe { *p })
    }
    unsafe fn store_ptr(self, p: *mut f32) {
        // SAFETY: the caller's.
        unsafe { *p = self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_formula() {
        use rayon::prelude::*;
        let (x, y) = (Counted(1.5), Counted(0.25));
        let keep = |x: Counted| {
            std::hint::black_box(x);
        };
        let of = |work: fn(Counted, Counted) -> Counted| {
            let n = kinds(move || keep(work(x, y)));
            [n.additions, n.multiplications, n.divisions, n.roots]
        };
        assert_eq!(of(|x, y| (x * y + x) / y), [1, 1, 1, 0]);
        assert_eq!(of(|x, y| Real::max(x, y).sqrt()), [1, 0, 0, 1]);
        assert_eq!(of(|x, y| Real::mul_add(x, y, y)), [1, 1, 0, 0]);
        assert_eq!(of(|x, y| Real::select(Real::lt(Real::abs(-x), y), x, y)), [1, 0, 0, 0]);
        // What ran before is forgotten, and what several threads would share is counted whole.
        let rows = move || [1f32; 1000].par_iter().for_each(|&v| keep(Counted(v) + x));
        assert_eq!([operations(rows), operations(rows)], [1000, 1000]);
    }

    #[test]
    fn numbers_are_those_of_f32() {
        let mut out = Vec::new();
        operations(|| {
            for i in 0..1000 {
                let x = (i as f32 - 500.0) * 0.017;
                let c = Counted(x);
                let (s, k) = Real::sin_cos(c);
                out.push((x, [c.exp().0, Real::tanh(c).0, s.0, k.0, Real::ln(Counted(x.abs() + 1e-3)).0]));
            }
        });
        for (x, got) in out {
            let (s, k) = Real::sin_cos(x);
            let want = [Real::exp(x), Real::tanh(x), s, k, Real::ln(x.abs() + 1e-3)];
            assert_eq!(got.map(f32::to_bits), want.map(f32::to_bits), "x = {x}");
        }
    }
}

//! The matrix product of the CPU backend: one register-tiled product with strided A, row-major B and a fused epilogue,
//! small enough to stay in the caches at policy sizes. Results are compared with the `dense_*` twins by tolerance (sums
//! run in another order, with FMA).

use crate::num::real::F32Lanes;
use bytemuck::{Pod, Zeroable};

/// Columns are padded to this many floats: one AVX-512 register.
pub const PAD: usize = 16;
/// Leading dimension for `n` columns: padded, and never a multiple of 256 bytes, so that rows spread over the cache
/// sets.
pub fn leading(n: usize) -> usize {
    let n = n.next_multiple_of(PAD);
    if n >= 64 { n + PAD } else { n }
}

/// A cache line of floats.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; PAD]);

/// Floats that start at a cache line: with [`leading`] dimensions no vector of a matrix lies across two lines, which
/// would take two accesses.
pub struct Aligned(Vec<Line>);

impl Aligned {
    /// `len` zeros; `len` is a multiple of [`PAD`].
    pub fn zeros(len: usize) -> Self {
        assert!(len.is_multiple_of(PAD), "{len} floats do not fill lines of {PAD}");
        Aligned(vec![Line([0.0; PAD]); len / PAD])
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    #[inline(always)]
    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl std::ops::DerefMut for Aligned {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// Where A's elements lie: `A[m, k] = data[m·row + k·col]`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

/// Row-major matrix with leading dimension `ld`.
#[derive(Clone, Copy)]
pub struct RowMajor<'a> {
    pub data: &'a [f32],
    pub ld: usize,
}

/// One MR × (NR·LANES) block of C, whose upper left element is (r0, c0).
///
/// # Safety
/// `a`, `b`, `c` must point at blocks that cover it with the strides (row, col), ldb, ldc.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the arguments of every matrix product")]
unsafe fn tile<V: F32Lanes, const MR: usize, const NR: usize>(
    k: usize,
    a: *const f32,
    (row, col): (usize, usize),
    b: *const f32,
    ldb: usize,
    c: *mut f32,
    ldc: usize,
    (r0, c0): (usize, usize),
    accumulate: bool,
    epilogue: &impl Fn(V, usize, usize) -> V,
) {
    // SAFETY: the caller guarantees the extents.
    unsafe {
        let mut acc = [[V::splat(0.0); NR]; MR];
        for q in 0..k {
            let mut bv = [V::splat(0.0); NR];
            for (j, x) in bv.iter_mut().enumerate() {
                *x = V::load_ptr(b.add(q * ldb + j * V::LANES));
            }
            for (i, line) in acc.iter_mut().enumerate() {
                let av = V::splat_f32(*a.add(i * row + q * col));
                for (j, x) in line.iter_mut().enumerate() {
                    *x = av.mul_add(bv[j], *x);
                }
            }
        }
        for (i, line) in acc.iter().enumerate() {
            for (j, x) in line.iter().enumerate() {
                let out = c.add(i * ldc + j * V::LANES);
                let sum = if accumulate { *x + V::load_ptr(out) } else { *x };
                epilogue(sum, r0 + i, c0 + j * V::LANES).store_ptr(out);
            }
        }
    }
}

/// An epilogue that leaves the sums as they are.
#[inline(always)]
pub fn as_is<V>(sum: V, _: usize, _: usize) -> V {
    sum
}

/// `C[m, n] = epilogue(Σ_k A[m, k]·B[k, n] (+ C[m, n] if accumulate), m, n)` into C with its leading dimension; `cols`
/// is a multiple of [`PAD`]. `NR` vectors wide tiles: 2, or 4 where there are few rows, so that enough sums are in
/// flight.
#[inline(always)]
pub fn product<V: F32Lanes, const NR: usize>(
    [rows, cols, k]: [usize; 3],
    a: Strided,
    b: RowMajor,
    (c, ldc): (&mut [f32], usize),
    accumulate: bool,
    epilogue: impl Fn(V, usize, usize) -> V,
) {
    if rows == 0 {
        return;
    }
    assert!(
        k > 0 && cols > 0 && cols.is_multiple_of(PAD) && cols <= b.ld && cols <= ldc,
        "columns {cols}, ldb {}, ldc {ldc}",
        b.ld
    );
    assert!(a.data.len() > (rows - 1) * a.row + (k - 1) * a.col, "A is too short");
    assert!(
        b.data.len() >= (k - 1) * b.ld + cols && c.len() >= (rows - 1) * ldc + cols,
        "B or C is too short"
    );
    let (ap, bp, cp) = (a.data.as_ptr(), b.data.as_ptr(), c.as_mut_ptr());
    let strides = (a.row, a.col);
    let mut j = 0;
    while j < cols {
        let wide = j + NR * V::LANES <= cols;
        let mut i = 0;
        // SAFETY: every block lies inside the extents asserted above.
        macro_rules! block {
            ($mr:literal) => {{
                while rows - i >= $mr {
                    unsafe {
                        let (pa, pb, pc) = (ap.add(i * a.row), bp.add(j), cp.add(i * ldc + j));
                        macro_rules! tile {
                            ($nr:expr) => {
                                tile::<V, $mr, { $nr }>(
                                    k,
                                    pa,
                                    strides,
                                    pb,
                                    b.ld,
                                    pc,
                                    ldc,
                                    (i, j),
                                    accumulate,
                                    &epilogue,
                                )
                            };
                        }
                        if wide {
                            tile!(NR);
                        } else {
                            tile!(1);
                        }
                    }
                    i += $mr;
                }
            }};
        }
        // 12 × 2 or 6 × 4 accumulators fill the 32 registers of AVX-512 and of NEON (4 lanes), 6 × 2 or 3 × 4 AVX2's
        // 16.
        match (V::LANES, NR) {
            (16 | 4, 2) => {
                block!(12);
                block!(4);
            }
            (16 | 4, _) | (_, 2) => block!(6),
            _ => block!(3),
        }
        block!(1);
        j += if wide { NR * V::LANES } else { V::LANES };
    }
}

/// `C[m, 0] = Σ_k A[m, k]·w[k] + constant` of every row, into C with its leading dimension: a layer of one output, of
/// which [`product`] would compute a whole vector. `k` is a multiple of [`PAD`].
#[inline(always)]
pub fn row_sums<V: F32Lanes>(
    [rows, k]: [usize; 2],
    a: RowMajor,
    w: &[f32],
    constant: f32,
    (c, ldc): (&mut [f32], usize),
) {
    #[inline(always)]
    fn span<V: F32Lanes, const N: usize>(k: usize, a: &[f32], ld: usize, w: &[f32]) -> [f32; N] {
        let mut acc = [V::splat(0.0); N];
        for q in (0..k).step_by(V::LANES) {
            let w = V::load(&w[q..]);
            for (i, x) in acc.iter_mut().enumerate() {
                *x = V::load(&a[i * ld + q..]).mul_add(w, *x);
            }
        }
        let mut sums = [0.0; N];
        for (sum, x) in sums.iter_mut().zip(acc) {
            *sum = x.sum();
        }
        sums
    }
    assert!(k.is_multiple_of(PAD), "{k} columns");
    let mut m = 0;
    while m + 4 <= rows {
        for (i, sum) in span::<V, 4>(k, &a.data[m * a.ld..], a.ld, w).into_iter().enumerate() {
            c[(m + i) * ldc] = sum + constant;
        }
        m += 4;
    }
    while m < rows {
        c[m * ldc] = span::<V, 1>(k, &a.data[m * a.ld..], a.ld, w)[0] + constant;
        m += 1;
    }
}

/// tanh as a rational function (the minimax coefficients of Eigen's `ptanh`), within 4 ulp; the dense layers' own, with
/// FMA.
#[inline(always)]
pub fn tanh_rational<V: F32Lanes>(x: V) -> V {
    // The constants stand first, so that a NaN passes.
    let x = V::splat(7.905_311).min(V::splat(-7.905_311).max(x));
    let z = x * x;
    let mut p = V::splat(-2.760_768_477_423_55e-16);
    for a in [
        2.000_187_904_824_77e-13,
        -8.604_671_522_137_35e-11,
        5.122_297_090_371_14e-8,
        1.485_722_357_179_79e-5,
        6.372_619_288_754_36e-4,
        4.893_524_558_917_86e-3,
    ] {
        p = p.mul_add(z, V::splat(a));
    }
    let mut q = V::splat(1.198_258_394_667_02e-6);
    for b in [1.185_347_056_866_54e-4, 2.268_434_632_439e-3, 4.893_525_185_543_85e-3] {
        q = q.mul_add(z, V::splat(b));
    }
    (x * p) * q.recip()
}

/// `b[j] += Σ_m dy[m, j]`: eight vectors at a time, so that the sums do not wait for each other.
#[inline(always)]
fn column_sums<V: F32Lanes>(rows: usize, cols: usize, dy: &[f32], ld: usize, b: &mut [f32]) {
    #[inline(always)]
    fn span<V: F32Lanes, const N: usize>(rows: usize, dy: &[f32], ld: usize, b: &mut [f32]) {
        let mut sum = [V::splat(0.0); N];
        for m in 0..rows {
            for (j, s) in sum.iter_mut().enumerate() {
                *s += V::load(&dy[m * ld + j * V::LANES..]);
            }
        }
        for (j, s) in sum.into_iter().enumerate() {
            (V::load(&b[j * V::LANES..]) + s).store(&mut b[j * V::LANES..]);
        }
    }
    let mut j = 0;
    while j + 8 * V::LANES <= cols {
        span::<V, 8>(rows, &dy[j..], ld, &mut b[j..]);
        j += 8 * V::LANES;
    }
    while j < cols {
        span::<V, 1>(rows, &dy[j..], ld, &mut b[j..]);
        j += V::LANES;
    }
}

/// `dw[o, i] += Σ_m dy[m, o]·x[m, i]`, into dw with its leading dimension, and `db[o] += Σ_m dy[m, o]`: the gradients
/// by a layer's weights and biases from those by its outputs and its inputs, `rows` rows of each.
#[inline(always)]
pub(super) fn layer_sums<V: F32Lanes>(
    [rows, outputs, inputs]: [usize; 3],
    dy: RowMajor,
    x: RowMajor,
    dw: (&mut [f32], usize),
    db: &mut [f32],
) {
    let size = [outputs, inputs.next_multiple_of(PAD), rows];
    let a = Strided { data: dy.data, row: 1, col: dy.ld };
    if outputs < 12 {
        product::<V, 4>(size, a, x, dw, true, as_is);
    } else {
        product::<V, 2>(size, a, x, dw, true, as_is);
    }
    column_sums::<V>(rows, outputs.next_multiple_of(PAD), dy.data, dy.ld, db);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::real::{LaneKernel, run_lanes};

    #[test]
    fn rows_start_at_cache_lines() {
        // Several sizes at once, so that no allocation is aligned by luck.
        let buffers: Vec<Aligned> = (1..20).map(|n| Aligned::zeros(n * leading(5))).collect();
        for (n, b) in buffers.iter().enumerate() {
            assert_eq!(b.len(), (n + 1) * PAD);
            assert_eq!(b.as_ptr() as usize % 64, 0);
            assert!(b.iter().all(|x| *x == 0.0));
        }
    }

    struct Sums<'a> {
        rows: usize,
        k: usize,
        a: RowMajor<'a>,
        w: &'a [f32],
        out: &'a mut [f32],
    }

    impl LaneKernel for Sums<'_> {
        type Out = ();
        #[inline(always)]
        fn run<V: F32Lanes>(self) {
            row_sums::<V>([self.rows, self.k], self.a, self.w, 0.0, (self.out, 1));
        }
    }

    #[test]
    fn row_sums_are_products_with_a_vector() {
        // Small integers, so that every order of the sums gives the same; rows that fill no span of four; a gap between
        // rows.
        let (rows, k, ld) = (7, 48, 52);
        let a: Vec<f32> = (0..rows * ld).map(|i| (i * 7 % 23) as f32 - 11.0).collect();
        let w: Vec<f32> = (0..k).map(|i| (i * 5 % 17) as f32 - 8.0).collect();
        let want: Vec<f32> = (0..rows).map(|m| (0..k).map(|q| a[m * ld + q] * w[q]).sum::<f32>()).collect();
        let a = RowMajor { data: &a, ld };
        let mut got = vec![f32::NAN; rows];
        run_lanes(Sums { rows, k, a, w: &w, out: &mut got });
        assert_eq!(got, want);
        got.fill(f32::NAN);
        Sums { rows, k, a, w: &w, out: &mut got }.run::<f32>();
        assert_eq!(got, want);
    }

    #[test]
    fn rational_tanh_is_accurate() {
        for i in 0..200_000 {
            let x = (i as f32 - 100_000.0) * 1e-4;
            let err = (f64::from(tanh_rational(x)) - f64::from(x).tanh()).abs();
            assert!(err < 4e-7, "tanh({x}) is off by {err:e}");
        }
    }
}

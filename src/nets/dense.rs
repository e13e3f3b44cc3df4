//! The dense layers of the CPU backend: one register-tiled product with strided A, row-major B and a fused epilogue, small enough to
//! stay in the caches at policy sizes. Results are compared with the `dense_*` twins by tolerance (sums run in another order, with FMA).

use super::mlp::Layer;
use super::{Activation, MlpLayout};
use crate::num::real::{F32Lanes, LaneKernel, Real, run_lanes};
use bytemuck::{Pod, Zeroable};

/// target ← τ·online + (1 − τ)·target over `params` and `target` `[R, P]`: the twin of kernel `polyak`, and what the packed layers do.
pub fn polyak_cpu<F: Real<Elem = F>>(tau: F, params: &[F], target: &mut [F]) {
    let rest = F::splat(1.0) - tau;
    for (target, &online) in target.iter_mut().zip(params) {
        *target = tau * online + rest * *target;
    }
}

/// Columns are padded to this many floats: one AVX-512 register.
pub const PAD: usize = 16;

/// Rows that go through the layers together: what a layer reads and writes of them stays in the first cache. Whole tiles of 12.
const TALL: usize = 48;

/// Leading dimension for `n` columns: padded, and never a multiple of 256 bytes, so that rows spread over the cache sets.
pub fn leading(n: usize) -> usize {
    let n = n.next_multiple_of(PAD);
    if n >= 64 { n + PAD } else { n }
}

/// A cache line of floats.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; PAD]);

/// Floats that start at a cache line: with [`leading`] dimensions no vector of a matrix lies across two lines, which would take two accesses.
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

/// `C[m, n] = epilogue(Σ_k A[m, k]·B[k, n] (+ C[m, n] if accumulate), m, n)`; `cols` is a multiple of [`PAD`]. `NR` vectors wide tiles: 2, or
/// 4 where there are few rows, so that enough sums are in flight.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the arguments of every matrix product")]
pub fn product<V: F32Lanes, const NR: usize>(
    rows: usize,
    cols: usize,
    k: usize,
    a: Strided,
    b: RowMajor,
    c: &mut [f32],
    ldc: usize,
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
                        if wide {
                            tile::<V, $mr, NR>(
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
                            );
                        } else {
                            tile::<V, $mr, 1>(
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
                            );
                        }
                    }
                    i += $mr;
                }
            }};
        }
        // 12 × 2 or 6 × 4 accumulators fill AVX-512's 32 registers, 6 × 2 or 3 × 4 AVX2's 16.
        match (V::LANES, NR) {
            (16, 2) => {
                block!(12);
                block!(4);
            }
            (16, _) | (_, 2) => block!(6),
            _ => block!(3),
        }
        block!(1);
        j += if wide { NR * V::LANES } else { V::LANES };
    }
}

/// `Σ_k A[m, k]·w[k]` of every row, to `put(m, sum)`: a layer of one output, of which [`product`] would compute a whole vector. `k` is a multiple
/// of [`PAD`].
#[inline(always)]
pub fn row_sums<V: F32Lanes>(rows: usize, k: usize, a: RowMajor, w: &[f32], mut put: impl FnMut(usize, f32)) {
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
            put(m + i, sum);
        }
        m += 4;
    }
    while m < rows {
        put(m, span::<V, 1>(k, &a.data[m * a.ld..], a.ld, w)[0]);
        m += 1;
    }
}

/// tanh as a rational function (the minimax coefficients of Eigen's `ptanh`), within 4 ulp; the dense layers' own, with FMA.
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

/// One network's weights laid out for [`product`]: padded, and transposed for the forward pass. Rebuilt after every update.
pub struct Packed {
    pub layout: MlpLayout,
    pub(super) layers: Vec<PackedLayer>,
}

pub(super) struct PackedLayer {
    /// Wᵀ `[in, leading(out)]`, for the forward pass.
    pub wt: Aligned,
    /// W `[out, leading(in)]`, for the input gradient.
    pub w: Aligned,
    /// `[leading(out)]`
    pub bias: Aligned,
}

impl Packed {
    pub fn new(layout: &MlpLayout) -> Self {
        let layers = layout
            .layers
            .iter()
            .map(|l| PackedLayer {
                wt: Aligned::zeros(l.inputs * leading(l.outputs)),
                w: Aligned::zeros(l.outputs * leading(l.inputs)),
                bias: Aligned::zeros(leading(l.outputs)),
            })
            .collect();
        Packed { layout: layout.clone(), layers }
    }

    /// Takes the weights from the replica's flat vector.
    pub fn pack(&mut self, params: &[f32]) {
        for (l, p) in self.layout.layers.iter().zip(&mut self.layers) {
            let (ldi, ldo) = (leading(l.inputs), leading(l.outputs));
            for (o, row) in params[l.w_off..l.b_off].chunks_exact(l.inputs).enumerate() {
                p.w[o * ldi..o * ldi + l.inputs].copy_from_slice(row);
                for (i, x) in row.iter().enumerate() {
                    p.wt[i * ldo + o] = *x;
                }
            }
            p.bias[..l.outputs].copy_from_slice(&params[l.b_off..l.b_off + l.outputs]);
        }
    }

    /// self ← τ·online + (1 − τ)·self, the bits that packing the so mixed flat vectors would give.
    pub fn blend(&mut self, tau: f32, online: &Packed) {
        for (p, q) in self.layers.iter_mut().zip(&online.layers) {
            for (to, from) in [(&mut p.wt, &q.wt), (&mut p.w, &q.w), (&mut p.bias, &q.bias)] {
                polyak_cpu(tau, from, to);
            }
        }
    }

    /// Weights `[leading(inputs)]` and bias of output `o` of the last layer.
    pub fn output(&self, o: usize) -> (&[f32], f32) {
        let ld = leading(self.layout.layers.last().expect("a network has layers").inputs);
        let p = self.layers.last().expect("a network has layers");
        (&p.w[o * ld..(o + 1) * ld], p.bias[o])
    }
}

/// Outputs of every layer for up to `rows` samples; layer l is `[rows, leading(outputs)]`.
pub struct Activations {
    pub layers: Vec<Aligned>,
}

impl Activations {
    pub fn new(layout: &MlpLayout, rows: usize) -> Self {
        let of = |l: &Layer| Aligned::zeros(rows * leading(l.outputs));
        Activations { layers: layout.layers.iter().map(of).collect() }
    }
    /// Output of the network, `[rows, leading(outputs)]`.
    pub fn output(&self) -> &[f32] {
        self.layers.last().expect("a network has layers")
    }
}

struct Forward<'a> {
    net: &'a Packed,
    rows: usize,
    x: Strided<'a>,
    out: &'a mut Activations,
    /// Layers to run.
    layers: usize,
    /// Outputs of the last layer that are wanted, the first ones.
    outputs: usize,
}

impl LaneKernel for Forward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        for lo in (0..self.rows).step_by(TALL) {
            self.tile::<V>(lo, TALL.min(self.rows - lo));
        }
    }
}

impl Forward<'_> {
    /// Rows `lo..lo + rows` through the layers.
    #[inline(always)]
    fn tile<V: F32Lanes>(&mut self, lo: usize, rows: usize) {
        for (i, (l, p)) in self.net.layout.layers.iter().zip(&self.net.layers).enumerate().take(self.layers) {
            let (before, here) = self.out.layers.split_at_mut(i);
            let a = match before.last() {
                Some(h) => {
                    let row = leading(l.inputs);
                    Strided { data: &h[lo * row..], row, col: 1 }
                }
                None => Strided { data: &self.x.data[lo * self.x.row..], ..self.x },
            };
            let ld = leading(l.outputs);
            let b = RowMajor { data: &p.wt, ld };
            let (c, bias) = (&mut here[0][lo * ld..], &p.bias);
            let last = i + 1 == self.net.layers.len();
            let cols = if last { self.outputs } else { l.outputs }.next_multiple_of(PAD);
            if last && i > 0 && self.outputs == 1 && l.act == Activation::None {
                let (k, a) = (l.inputs.next_multiple_of(PAD), RowMajor { data: a.data, ld: a.row });
                row_sums::<V>(
                    rows,
                    k,
                    a,
                    &p.w,
                    #[inline(always)]
                    |m, sum| c[m * ld] = sum + bias[0],
                );
                continue;
            }
            match l.act {
                Activation::Tanh => product::<V, 2>(
                    rows,
                    cols,
                    l.inputs,
                    a,
                    b,
                    c,
                    ld,
                    false,
                    #[inline(always)]
                    |s, _, j| tanh_rational(s + V::load(&bias[j..])),
                ),
                Activation::Relu => product::<V, 2>(
                    rows,
                    cols,
                    l.inputs,
                    a,
                    b,
                    c,
                    ld,
                    false,
                    #[inline(always)]
                    |s, _, j| (s + V::load(&bias[j..])).max(V::splat(0.0)),
                ),
                Activation::None => product::<V, 2>(
                    rows,
                    cols,
                    l.inputs,
                    a,
                    b,
                    c,
                    ld,
                    false,
                    #[inline(always)]
                    |s, _, j| s + V::load(&bias[j..]),
                ),
            }
        }
    }
}

/// Forward pass of `rows` samples x into `out`.
pub fn forward(net: &Packed, rows: usize, x: Strided, out: &mut Activations) {
    let outputs = net.layout.outputs();
    run_lanes(Forward { net, rows, x, out, layers: net.layers.len(), outputs });
}

/// The same without the last layer.
pub fn forward_hidden(net: &Packed, rows: usize, x: Strided, out: &mut Activations) {
    run_lanes(Forward { net, rows, x, out, layers: net.layers.len() - 1, outputs: 0 });
}

/// The same with the first `outputs` outputs only.
pub fn forward_first(net: &Packed, rows: usize, x: Strided, outputs: usize, out: &mut Activations) {
    run_lanes(Forward { net, rows, x, out, layers: net.layers.len(), outputs });
}

/// Gradient sums of one network in padded layout, and the space its backward pass needs.
pub struct Gradient {
    /// dW `[out, leading(in)]` per layer.
    w: Vec<Aligned>,
    /// `[out]` per layer.
    b: Vec<Aligned>,
    /// Gradients by layer outputs, as [`Activations`].
    pub d: Activations,
}

impl Gradient {
    pub fn new(layout: &MlpLayout, rows: usize) -> Self {
        Gradient {
            w: layout.layers.iter().map(|l| Aligned::zeros(l.outputs * leading(l.inputs))).collect(),
            b: layout.layers.iter().map(|l| Aligned::zeros(leading(l.outputs))).collect(),
            d: Activations::new(layout, rows),
        }
    }

    pub fn clear(&mut self) {
        self.w.iter_mut().chain(&mut self.b).for_each(|v| v.fill(0.0));
    }

    /// Adds the gradient `d` at output `o` of the last layer for a sample whose last hidden outputs are `h` `[leading(inputs)]`.
    pub fn add_output(&mut self, o: usize, d: f32, h: &[f32]) {
        let w = &mut self.w.last_mut().expect("a network has layers")[o * h.len()..(o + 1) * h.len()];
        w.iter_mut().zip(h).for_each(|(w, h)| *w += d * h);
        self.b.last_mut().expect("a network has layers")[o] += d;
    }

    /// Writes the sums to their places in the flat gradient vector of the replica.
    pub fn write_to(&self, layout: &MlpLayout, grads: &mut [f32]) {
        for (l, layer) in layout.layers.iter().enumerate() {
            let ld = leading(layer.inputs);
            for (o, row) in grads[layer.w_off..layer.b_off].chunks_exact_mut(layer.inputs).enumerate() {
                row.copy_from_slice(&self.w[l][o * ld..o * ld + layer.inputs]);
            }
            grads[layer.b_off..layer.b_off + layer.outputs].copy_from_slice(&self.b[l][..layer.outputs]);
        }
    }
}

/// `b[j] += Σ_m dy[m, j]`: eight vectors at a time, so that the sums do not wait for each other.
#[inline(always)]
pub(super) fn column_sums<V: F32Lanes>(rows: usize, cols: usize, dy: &[f32], ld: usize, b: &mut [f32]) {
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

struct Backward<'a> {
    net: &'a Packed,
    rows: usize,
    /// `[rows, leading(inputs)]`, zero beyond the inputs.
    x: &'a [f32],
    acts: &'a Activations,
    grad: &'a mut Gradient,
    /// Whether the gradients by weights and biases are wanted; without, x is not read.
    weights: bool,
    /// Receives the gradient by the input, `[rows, leading(inputs)]`.
    dx: Option<&'a mut [f32]>,
    /// Layers to go through, from below.
    layers: usize,
    /// Outputs of the last layer that have a gradient, the first ones.
    outputs: usize,
}

impl LaneKernel for Backward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let layers = &self.net.layout.layers;
        for i in (0..self.layers).rev() {
            let l = &layers[i];
            let (ldi, ldo) = (leading(l.inputs), leading(l.outputs));
            let outputs = if i + 1 == layers.len() { self.outputs } else { l.outputs };
            let input = if i == 0 { self.x } else { &self.acts.layers[i - 1] };
            let (lower, upper) = self.grad.d.layers.split_at_mut(i);
            let dy = &upper[0];
            if self.weights {
                // dW[o, i] += Σ_m dy[m, o]·x[m, i]
                let (cols, at, x) = (
                    l.inputs.next_multiple_of(PAD),
                    Strided { data: dy, row: 1, col: ldo },
                    RowMajor { data: input, ld: ldi },
                );
                let dw = &mut self.grad.w[i];
                if outputs < 12 {
                    product::<V, 4>(
                        outputs,
                        cols,
                        self.rows,
                        at,
                        x,
                        dw,
                        ldi,
                        true,
                        #[inline(always)]
                        |s, _, _| s,
                    );
                } else {
                    product::<V, 2>(
                        outputs,
                        cols,
                        self.rows,
                        at,
                        x,
                        dw,
                        ldi,
                        true,
                        #[inline(always)]
                        |s, _, _| s,
                    );
                }
                column_sums::<V>(self.rows, outputs.next_multiple_of(PAD), dy, ldo, &mut self.grad.b[i]);
            }
            if i > 0 {
                // dh[m, i] = (Σ_o dy[m, o]·W[o, i])·act'(h)
                let (act, one) = (layers[i - 1].act, V::splat(1.0));
                product::<V, 2>(
                    self.rows,
                    l.inputs.next_multiple_of(PAD),
                    outputs,
                    Strided { data: dy, row: ldo, col: 1 },
                    RowMajor { data: &self.net.layers[i].w, ld: ldi },
                    &mut lower[i - 1],
                    ldi,
                    false,
                    #[inline(always)]
                    |s, m, j| {
                        let h = V::load(&input[m * ldi + j..]);
                        match act {
                            Activation::Tanh => s * (one - h * h),
                            Activation::Relu => V::select(V::splat(0.0).lt(h), s, V::splat(0.0)),
                            Activation::None => s,
                        }
                    },
                );
            } else if let Some(dx) = self.dx.as_deref_mut() {
                product::<V, 2>(
                    self.rows,
                    l.inputs.next_multiple_of(PAD),
                    outputs,
                    Strided { data: dy, row: ldo, col: 1 },
                    RowMajor { data: &self.net.layers[i].w, ld: ldi },
                    dx,
                    ldi,
                    false,
                    #[inline(always)]
                    |s, _, _| s,
                );
            }
        }
    }
}

/// Backward pass: takes the output gradient from the last layer of `grad.d` (`[rows, leading(outputs)]`, zero beyond the outputs) and adds
/// to the sums. `x` is `[rows, leading(inputs)]`.
pub fn backward(net: &Packed, rows: usize, x: &[f32], acts: &Activations, grad: &mut Gradient) {
    backward_first(net, rows, x, acts, net.layout.outputs(), grad);
}

/// The same where only the first `outputs` outputs have a gradient.
pub fn backward_first(
    net: &Packed,
    rows: usize,
    x: &[f32],
    acts: &Activations,
    outputs: usize,
    grad: &mut Gradient,
) {
    let layers = net.layers.len();
    run_lanes(Backward { net, rows, x, acts, grad, weights: true, dx: None, layers, outputs });
}

/// The same from the last hidden layer on: takes the gradient before that layer's activation.
pub fn backward_hidden(net: &Packed, rows: usize, x: &[f32], acts: &Activations, grad: &mut Gradient) {
    let layers = net.layers.len() - 1;
    run_lanes(Backward { net, rows, x, acts, grad, weights: true, dx: None, layers, outputs: 0 });
}

/// Backward pass to the input alone: takes the output gradient as [`backward`] does, leaves the sums as they are, and writes the gradient by
/// the input to `dx` `[rows, leading(inputs)]`.
pub fn backward_input(net: &Packed, rows: usize, acts: &Activations, grad: &mut Gradient, dx: &mut [f32]) {
    run_lanes(Backward {
        net,
        rows,
        x: &[],
        acts,
        grad,
        weights: false,
        dx: Some(dx),
        layers: net.layers.len(),
        outputs: net.layout.outputs(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::philox::{PhiloxRng, Stream};
    use rand::Rng;

    /// Loss Σ c·y of a small network, in f64, straight from the definition.
    fn loss(layout: &MlpLayout, params: &[f64], x: &[f64], c: &[f64]) -> f64 {
        let mut h: Vec<f64> = x.to_vec();
        for l in &layout.layers {
            h = (0..l.outputs)
                .map(|o| {
                    let z: f64 =
                        (0..l.inputs).map(|i| params[l.w_off + o * l.inputs + i] * h[i]).sum::<f64>()
                            + params[l.b_off + o];
                    l.act.apply(z)
                })
                .collect();
        }
        h.iter().zip(c).map(|(y, c)| y * c).sum()
    }

    #[test]
    fn forward_and_backward_equal_the_definition_and_its_differences() {
        for (sizes, act, rows) in [
            (vec![12, 128, 128, 6], Activation::Tanh, 37),
            (vec![5, 33, 1], Activation::Tanh, 13),
            (vec![7, 20, 70, 3], Activation::Relu, 1),
        ] {
            let layout = MlpLayout::new(&sizes, act, 3);
            let mut rng = PhiloxRng::new([1, 2], Stream::Init, 0, 9);
            let mut draw = || f64::from(rng.next_u32()) / 4294967296.0 - 0.5;
            let params: Vec<f64> = (0..layout.end()).map(|_| f64::from((draw() * 0.4) as f32)).collect();
            let flat: Vec<f32> = params.iter().map(|p| *p as f32).collect();
            let (inputs, outputs) = (layout.inputs(), layout.outputs());
            let xs: Vec<f64> = (0..rows * inputs).map(|_| f64::from((draw() * 2.0) as f32)).collect();
            let cs: Vec<f64> = (0..rows * outputs).map(|_| f64::from(draw() as f32)).collect();
            let mut net = Packed::new(&layout);
            net.pack(&flat);
            let ld = leading(inputs);
            let mut x = vec![0.0; rows * ld];
            for m in 0..rows {
                for i in 0..inputs {
                    x[m * ld + i] = xs[m * inputs + i] as f32;
                }
            }
            let mut acts = Activations::new(&layout, rows);
            forward(&net, rows, Strided { data: &x, row: ld, col: 1 }, &mut acts);
            let total: f64 = (0..rows)
                .map(|m| loss(&layout, &params, &xs[m * inputs..], &cs[m * outputs..(m + 1) * outputs]))
                .sum();
            let ldo = leading(outputs);
            let got: f64 = (0..rows)
                .flat_map(|m| (0..outputs).map(move |o| (m, o)))
                .map(|(m, o)| f64::from(acts.output()[m * ldo + o]) * cs[m * outputs + o])
                .sum();
            assert!((got - total).abs() < 1e-5 * (1.0 + total.abs()), "{sizes:?}: {got} against {total}");

            let mut grad = Gradient::new(&layout, rows);
            let top = grad.d.layers.last_mut().unwrap();
            for m in 0..rows {
                for o in 0..outputs {
                    top[m * ldo + o] = cs[m * outputs + o] as f32;
                }
            }
            let mut dx = vec![f32::NAN; rows * ld];
            backward_input(&net, rows, &acts, &mut grad, &mut dx);
            assert!(
                grad.w.iter().chain(&grad.b).flat_map(|v| v.iter()).all(|g| *g == 0.0),
                "sums were touched"
            );
            for (m, i) in [(0, 0), (rows - 1, inputs - 1), (rows / 2, inputs / 2)] {
                let h = 1e-5;
                let at = |delta: f64| {
                    let mut row = xs[m * inputs..(m + 1) * inputs].to_vec();
                    row[i] += delta;
                    loss(&layout, &params, &row, &cs[m * outputs..(m + 1) * outputs])
                };
                let want = (at(h) - at(-h)) / (2.0 * h);
                let got = f64::from(dx[m * ld + i]);
                assert!(
                    (got - want).abs() < 2e-5 * (1.0 + want.abs()),
                    "{sizes:?} input {i}: {got} against {want}"
                );
            }
            backward(&net, rows, &x, &acts, &mut grad);
            let mut grads = vec![0f32; layout.end()];
            grad.write_to(&layout, &mut grads);
            for p in (layout.offset..layout.end()).step_by(41) {
                let h = 1e-5;
                let at = |delta: f64| {
                    let mut q = params.clone();
                    q[p] += delta;
                    (0..rows)
                        .map(|m| loss(&layout, &q, &xs[m * inputs..], &cs[m * outputs..(m + 1) * outputs]))
                        .sum::<f64>()
                };
                let want = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (f64::from(grads[p]) - want).abs() < 2e-5 * (1.0 + want.abs()),
                    "{sizes:?} parameter {p}: {} against {want}",
                    grads[p]
                );
            }
        }
    }

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
            row_sums::<V>(
                self.rows,
                self.k,
                self.a,
                self.w,
                #[inline(always)]
                |m, x| self.out[m] = x,
            );
        }
    }

    #[test]
    fn row_sums_are_products_with_a_vector() {
        // Small integers, so that every order of the sums gives the same; rows that fill no span of four; a gap between rows.
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

//! lstm_backward: one step back through an LSTM, for every unit of every row: from the gradient by h and by the next
//! step's c to the gradients by the gates' sums and by c_prev. dc = dc_next + dh·o·(1 − tanh²c); d_i = dc·g·i(1−i), d_f
//! = dc·c_prev·f(1−f), d_g = dc·i·(1−g²), d_o = dh·tanh(c)·o(1−o); dc_prev = dc·f. What the step before sends back by h
//! is W_hhᵀ·d_gates, a dense input gradient.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "lstm_backward");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2e-6,
    why: "of |dh| + |dh_next| + |dc_next|, times 1 + |c_prev|: products of a few factors that are rounded or off by 1e-7 each",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica; the most that will be recorded.
    pub m: usize,
    /// H: hidden units.
    pub h: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 100, h: 64 };

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Rows of each replica in this dispatch, at least 1.
    pub m: usize,
    /// Rows from one replica to the next in `dh`, `cell`, `acts` and `d_gates`.
    pub stride: usize,
    /// Start of the step in dh.
    pub dh_off: usize,
    /// Starts of c before and after the step.
    pub c_prev_off: usize,
    pub c_off: usize,
    /// Start of the step's gates.
    pub acts_off: usize,
    /// Start of the step's gradients by the gates' sums.
    pub dg_off: usize,
    /// The sequence (or episode) ends with this step: nothing comes back from a next one.
    pub last: bool,
}

/// `dh` `[R, stride, H]` from `dh_off`: by what uses h at this step; `dh_next` `[R, m, H]`: by the next step's gates
/// (not read where `last`); `cell` from `c_prev_off` and `c_off`, `acts` from `acts_off` as [`super::lstm_forward`]
/// left them; `dc` `[R, m, H]`: in, the gradient by this step's c from the next step (not read where `last`), out, by
/// c_prev; `d_gates` `[R, stride, 4H]` from `dg_off`, and again as `d_now` `[R, m, 4H]`.
#[allow(clippy::too_many_arguments, reason = "the buffers in binding order")]
pub fn lstm_backward_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    dh: &[F],
    dh_next: &[F],
    cell: &[F],
    acts: &[F],
    dc: &mut [F],
    d_gates: &mut [F],
    d_now: &mut [F],
) {
    let &Spec { r, h, .. } = spec;
    let one = F::splat(1.0);
    for n in 0..r * at.m * h {
        let gate = n / h * (4 * h) + n % h;
        let row = n / (at.m * h) * at.stride + n / h % at.m;
        let (wide, unit) = (row * 4 * h + n % h, row * h + n % h);
        let [i, f, g, o] = [0, 1, 2, 3].map(|k| acts[at.acts_off + wide + k * h]);
        let t = cell[at.c_off + unit].tanh();
        let mut up = dh[at.dh_off + unit];
        let mut carry = F::splat(0.0);
        if !at.last {
            up += dh_next[n];
            carry = dc[n];
        }
        let d = carry + (up * o) * (one - t * t);
        let by = [
            (d * g) * (i * (one - i)),
            (d * cell[at.c_prev_off + unit]) * (f * (one - f)),
            (d * i) * (one - g * g),
            (up * t) * (o * (one - o)),
        ];
        for (k, x) in by.into_iter().enumerate() {
            d_gates[at.dg_off + wide + k * h] = x;
            d_now[gate + k * h] = x;
        }
        dc[n] = d * f;
    }
}

/// What a step of all M sequences must do that is not the last, without the product with weights behind it.
pub fn cost(spec: &Spec) -> Cost {
    let units = spec.r * spec.m * spec.h;
    Cost::new(units * (TANH + 1 + 5 + 16 + 1), 18 * units)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("H", spec.h)
}

host! {
    LstmBackward, LstmBackwardBound;
    /// `dh_next` and `dc` are `[R, M, H]`, `d_now` `[R, M, 4H]`; the others hold whatever the arguments of `record`
    /// point into.
    bind |_| {
        dh: f32,
        dh_next: f32,
        cell: f32,
        acts: f32,
        dc: f32,
        d_gates: f32,
        d_now: f32,
    }
}

impl LstmBackwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, h } = &self.spec;
        assert!((1..=m).contains(&at.m), "lstm_backward: {} rows, compiled for 1..={m}", at.m);
        let n = r * at.m * h;
        assert!(at.stride >= at.m, "lstm_backward: {at:?} overlaps replicas");
        let rows = (r - 1) * at.stride + at.m;
        let (wide, narrow) = (rows * 4 * h, rows * h);
        let cell_end = at.c_prev_off.max(at.c_off) + narrow;
        let ends = [at.dh_off + narrow, n, cell_end, at.acts_off + wide, n, at.dg_off + wide, 4 * n];
        let lens = [self.dh, self.dh_next, self.cell, self.acts, self.dc, self.d_gates, self.d_now];
        for (end, len) in ends.iter().zip(&lens) {
            assert!(end <= len, "lstm_backward: {at:?} leaves a buffer of {len} elements");
        }
        let last = usize::from(at.last);
        let imm = [at.m, at.stride, at.dh_off, at.c_prev_off, at.c_off, at.acts_off, at.dg_off, last];
        self.bound.record(pass, fold_groups(n, WG), &imm.map(|v| v as u32));
    }
}

/// Shader against f64 twin on the same f32 inputs, in slot 1 of a sequence of three (or in a single one, where three
/// would exceed the bindings of small adapters), as an inner step and as the last.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, h } = spec;
    let n = r * m * h;
    let (slots, slot) = if n > 1 << 21 { (1, 0) } else { (3, m * h) };
    let stride = slots * m;
    let dh = normal(seed, 0, slots * n, 1.0);
    let dh_next = normal(seed, 1, n, 1.0);
    let cell = normal(seed, 2, slots * n, 1.0);
    // Gates as they come out of their functions.
    let mut acts = normal(seed, 3, 4 * slots * n, 1.5);
    for (k, a) in acts.iter_mut().enumerate() {
        *a = if k / h % 4 == 2 { a.tanh() } else { 1.0 / (1.0 + (-*a).exp()) };
    }
    let dc = normal(seed, 4, n, 1.0);
    let (dh64, next64, cell64, acts64) = (widen(&dh), widen(&dh_next), widen(&cell), widen(&acts));
    let mut rows = Vec::new();
    for last in [false, true] {
        let at = Args {
            m,
            stride,
            dh_off: slot,
            c_prev_off: slot,
            c_off: 2 * slot,
            acts_off: 4 * slot,
            dg_off: 4 * slot,
            last,
        };
        let (mut dc64, mut want, mut now) = (widen(&dc), vec![0.0; 4 * slots * n], vec![0.0; 4 * n]);
        lstm_backward_cpu(spec, &at, &dh64, &next64, &cell64, &acts64, &mut dc64, &mut want, &mut now);
        let (mut dc_scale, mut scale, mut now_scale) =
            (vec![0.0; n], vec![0.0; 4 * slots * n], vec![0.0; 4 * n]);
        for k in 0..n {
            let row = k / (m * h) * stride + k / h % m;
            let unit = row * h + k % h;
            let from_next = if last { 0.0 } else { next64[k].abs() + f64::from(dc[k]).abs() };
            dc_scale[k] = dh64[at.dh_off + unit].abs() + from_next;
            for gate in 0..4 {
                let size = dc_scale[k] * (1.0 + cell64[at.c_prev_off + unit].abs());
                scale[at.dg_off + row * 4 * h + gate * h + k % h] = size;
                now_scale[k / h * 4 * h + gate * h + k % h] = size;
            }
        }
        bind!(gpu, bound = LstmBackward::new(gpu, spec)?; dh_buf = dh, next_buf = dh_next, cell_buf = cell,
            acts_buf = acts, dc_buf = dc, gates = vec![0.0; want.len()], now_buf[now.len()]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let which = if last { "last step" } else { "inner step" };
        rows.push(compare_scaled(&format!("{which}: d_gates"), &gpu.read(&gates)?, &want, &scale, TOL));
        rows.push(compare_scaled(&format!("{which}: d_now"), &gpu.read(&now_buf)?, &now, &now_scale, TOL));
        rows.push(compare_scaled(&format!("{which}: dc"), &gpu.read(&dc_buf)?, &dc64, &dc_scale, TOL));
    }
    Ok(rows)
}

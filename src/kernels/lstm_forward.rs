//! lstm_forward: one step of an LSTM after its two products, for every unit of every row. Gate order i, f, g, o along
//! the 4H gates, as PyTorch: i, f, o = sigmoid, g = tanh of W_ih x + b_ih + W_hh h_prev + b_hh; c = f·c_prev + i·g; h =
//! o·tanh(c).
//!
//! The products are dense layers without activation: W_ih x for all steps at once, W_hh h_prev step by step. A sequence
//! lies as `[R, S+1, M, ·]`: slot s of `hidden` and `cell` is the state before step s, slot s of the gates belongs to
//! step s. So the gradient by W_hh is one product over all rows.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "lstm_forward");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 5e-7,
    rel: 5e-7,
    why: "sigmoid and tanh of a rounded sum to a few 6e-8 absolute each; c is a sum of two products of them, |c_prev| up to 5",
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
    /// Rows from one replica to the next in everything but `gates_h` and `h_now`: m, or (S+1)·M in a sequence.
    pub stride: usize,
    /// Start of the step in W_ih x + b_ih.
    pub gx_off: usize,
    /// Starts of c before and after the step; equal if it is not kept.
    pub c_prev_off: usize,
    pub c_off: usize,
    /// Start of the step's gates.
    pub acts_off: usize,
    /// Start of h after the step.
    pub h_off: usize,
}

/// `gates_x` `[R, stride, 4H]` from `gx_off`, `gates_h` `[R, m, 4H]`; `cell` `[R, stride, H]` holds c_prev at
/// `c_prev_off` and receives c at `c_off`; `acts` `[R, stride, 4H]` receives the gates after their functions from
/// `acts_off`, `hidden` `[R, stride, H]` h from `h_off`, `h_now` `[R, m, H]` h again.
#[allow(clippy::too_many_arguments, reason = "the buffers in binding order")]
pub fn lstm_forward_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    gates_x: &[F],
    gates_h: &[F],
    cell: &mut [F],
    acts: &mut [F],
    hidden: &mut [F],
    h_now: &mut [F],
) {
    let &Spec { r, h, .. } = spec;
    for n in 0..r * at.m * h {
        let gate = n / h * (4 * h) + n % h;
        let row = n / (at.m * h) * at.stride + n / h % at.m;
        let (wide, unit) = (row * 4 * h + n % h, row * h + n % h);
        let sum = |k: usize| gates_x[at.gx_off + wide + k * h] + gates_h[gate + k * h];
        let (i, f, g, o) = (sum(0).sigmoid(), sum(1).sigmoid(), sum(2).tanh(), sum(3).sigmoid());
        let c = f * cell[at.c_prev_off + unit] + i * g;
        for (k, a) in [i, f, g, o].into_iter().enumerate() {
            acts[at.acts_off + wide + k * h] = a;
        }
        cell[at.c_off + unit] = c;
        h_now[n] = o * c.tanh();
        hidden[at.h_off + unit] = h_now[n];
    }
}

/// What a step of all M sequences must do, without the two products with weights in front of it.
pub fn cost(spec: &Spec) -> Cost {
    let units = spec.r * spec.m * spec.h;
    Cost::new(units * (4 + 3 * SIGMOID + 2 * TANH + 3 + 1), 16 * units)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("H", spec.h)
}

host! {
    LstmForward, LstmForwardBound;
    /// `gates_h` `[R, M, 4H]`, `h_now` `[R, M, H]`; the others hold whatever the arguments of `record` point into.
    bind |_| { gates_x: f32, gates_h: f32, cell: f32, acts: f32, hidden: f32, h_now: f32 }
}

impl LstmForwardBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, h } = &self.spec;
        assert!((1..=m).contains(&at.m), "lstm_forward: {} rows, compiled for 1..={m}", at.m);
        let n = r * at.m * h;
        assert!(at.stride >= at.m, "lstm_forward: {at:?} overlaps replicas");
        let rows = (r - 1) * at.stride + at.m;
        let (wide, narrow) = (rows * 4 * h, rows * h);
        let cell_end = at.c_prev_off.max(at.c_off) + narrow;
        let ends = [at.gx_off + wide, 4 * n, cell_end, at.acts_off + wide, at.h_off + narrow, n];
        let lens = [self.gates_x, self.gates_h, self.cell, self.acts, self.hidden, self.h_now];
        for (end, len) in ends.iter().zip(&lens) {
            assert!(end <= len, "lstm_forward: {at:?} leaves a buffer of {len} elements");
        }
        let apart = at.c_prev_off.abs_diff(at.c_off);
        assert!(apart == 0 || apart >= at.m * h, "lstm_forward: {at:?} overlaps c with c_prev");
        let imm =
            [at.m, at.stride, at.gx_off, at.c_prev_off, at.c_off, at.acts_off, at.h_off].map(|v| v as u32);
        self.bound.record(pass, fold_groups(n, WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs: one step in the middle of a sequence of three slots; one slot, in
/// place, where three would exceed the bindings of small adapters.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, h } = spec;
    let n = r * m * h;
    let (slots, slot) = if n > 1 << 21 { (1, 0) } else { (3, m * h) };
    let stride = slots * m;
    let at = Args {
        m,
        stride,
        gx_off: 4 * slot,
        c_prev_off: slot,
        c_off: 2 * slot,
        acts_off: 4 * slot,
        h_off: 2 * slot,
    };
    let gates_x = normal(seed, 0, 4 * slots * n, 1.5);
    let gates_h = normal(seed, 1, 4 * n, 1.5);
    let cell = normal(seed, 2, slots * n, 1.0);
    let (mut cell64, mut acts64, mut hidden64, mut now64) =
        (widen(&cell), vec![0.0; 4 * slots * n], vec![0.0; slots * n], vec![0.0; n]);
    let (gx64, gh64) = (widen(&gates_x), widen(&gates_h));
    lstm_forward_cpu(spec, &at, &gx64, &gh64, &mut cell64, &mut acts64, &mut hidden64, &mut now64);

    let zeros = |n: usize| vec![0.0f32; n];
    bind!(gpu, bound = LstmForward::new(gpu, spec)?; gates_x, gates_h, cell, acts = zeros(4 * slots * n),
        hidden = zeros(slots * n), h_now[n]);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![
        compare("c", &gpu.read(&cell)?, &cell64, TOL),
        compare("gates", &gpu.read(&acts)?, &acts64, TOL),
        compare("h", &gpu.read(&hidden)?, &hidden64, TOL),
        compare("h_now", &gpu.read(&h_now)?, &now64, TOL),
    ])
}

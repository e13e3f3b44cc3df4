//! Dense layers against PyTorch (tests/golden/mlp_tanh, mlp_relu): forward, and the gradient of every weight, bias and input.

mod common;
#[path = "common/golden.rs"]
mod golden;
#[path = "common/mlp.rs"]
mod mlp;

use common::gpu_or_skip;
use golden::{Golden, cast, to_f64};
use isacbench::gpu::{Buf, Fill, Gpu, GpuError};
use isacbench::kernels::dense_backward_input::{self, DenseBackwardInput};
use isacbench::kernels::dense_backward_weights::{self, DenseBackwardWeights};
use isacbench::kernels::dense_forward::{self, DenseForward};
use isacbench::kernels::grad_reduce::{self, GradReduce};
use isacbench::policy::{Activation, MlpLayout};
use isacbench::real::Real;
use mlp::{Pass, SLICES, act_before, forward_backward};

const M: usize = 32;

struct Case {
    golden: Golden,
    net: MlpLayout,
    params: Vec<f32>,
    x: Vec<f32>,
}

fn case(file: &str, act: Activation) -> Case {
    let golden = Golden::open(file);
    let net = MlpLayout::new(&[12, 128, 128, 6], act, 0);
    let mut params = vec![f32::NAN; net.params()];
    for t in net.tensors("") {
        params[t.range()].copy_from_slice(&golden.f32(&t.name));
    }
    let x = golden.f32("x");
    Case { golden, net, params, x }
}

/// Compares everything of one replica's pass by `check`.
fn compare_all<F: Copy + Into<f64>>(c: &Case, pass: &Pass<F>, check: impl Fn(&Golden, &str, &[f64])) {
    for (name, h) in ["x", "h1", "h2", "out"].into_iter().zip(&pass.h).skip(1) {
        check(&c.golden, name, &to_f64(h));
    }
    for t in c.net.tensors("") {
        check(&c.golden, &format!("grad.{}", t.name), &to_f64(&pass.grads[t.range()]));
    }
    check(&c.golden, "grad.x", &to_f64(&pass.dx));
}

fn twin<F: Real<Elem = F>>(c: &Case) -> Pass<F> {
    let target: Vec<F> = cast(&c.golden.f32("target"));
    let dloss = |y: &[F]| y.iter().zip(&target).map(|(&y, &t)| (y - t) / F::splat(M as f64)).collect();
    forward_backward(&c.net, (1, M), &cast(&c.params), &cast(&c.x), dloss)
}

/// The same on the GPU in one recorded pass, with two replicas of which the second has weights of its own (the first's, reversed). The
/// gradient at the output is the stored one.
fn on_gpu(gpu: &Gpu, c: &Case) -> Result<Pass<f32>, GpuError> {
    let (r, m, p) = (2, M, c.net.params());
    let twice = |v: &[f32]| [v.to_vec(), v.iter().rev().copied().collect()].concat();
    let params = gpu.upload("params", &[r, p], &twice(&c.params))?;
    let rows = |label: &str, width: usize| gpu.alloc::<f32>(label, &[r, m, width], Fill::Poison);
    let mut h: Vec<Buf<f32>> = vec![gpu.upload("x", &[r, m, 12], &twice(&c.x))?];
    // dy[n] is the gradient at layer n's pre-activation; dy[0] of the list is that at the input.
    let mut dy: Vec<Buf<f32>> = vec![rows("dx", 12)?];
    for l in &c.net.layers {
        h.push(rows("h", l.outputs)?);
        dy.push(rows("dy", l.outputs)?);
    }
    gpu.write(&dy[c.net.layers.len()], &twice(&c.golden.f32("grad_out")));
    let partials = gpu.alloc::<f32>("partials", &[SLICES, r, p], Fill::Poison)?;
    let grads = gpu.alloc::<f32>("grads", &[r, p], Fill::Poison)?;

    let mut forward = Vec::new();
    let mut backward = Vec::new();
    for (n, l) in c.net.layers.iter().enumerate() {
        let (i, o, w_off, b_off) = (l.inputs, l.outputs, l.w_off, l.b_off);
        let k = DenseForward::new(gpu, &dense_forward::Spec { r, m, i, o, p, act: l.act })?;
        let at = dense_forward::Args { m, w_off, b_off, x_off: 0, y_off: 0 };
        forward.push((k.bind(gpu, &params, &h[n], &h[n + 1]), at));
        let kw = DenseBackwardWeights::new(gpu, &dense_backward_weights::Spec { r, m, i, o, p, s: SLICES })?;
        let atw = dense_backward_weights::Args { m, w_off, b_off, dy_off: 0, x_off: 0 };
        let ki = DenseBackwardInput::new(
            gpu,
            &dense_backward_input::Spec { r, m, i, o, p, act: act_before(&c.net, n) },
        )?;
        let ati = dense_backward_input::Args { m, w_off, dy_off: 0, h_off: 0, dx_off: 0 };
        let kw = kw.bind(gpu, &dy[n + 1], &h[n], &partials);
        let ki = ki.bind(gpu, &params, &dy[n + 1], &h[n], &dy[n]);
        backward.push((kw, atw, ki, ati));
    }
    let reduce = GradReduce::new(gpu, &grad_reduce::Spec { r, p, s: SLICES })?.bind(gpu, &partials, &grads);
    gpu.run(|pass| {
        for (k, at) in &forward {
            k.record(pass, at);
        }
        for (kw, atw, ki, ati) in backward.iter().rev() {
            kw.record(pass, atw);
            ki.record(pass, ati);
        }
        reduce.record(pass);
    })?;

    let first = |b: &Buf<f32>| -> Result<Vec<f32>, GpuError> {
        let mut v = gpu.read(b)?;
        v.truncate(v.len() / r);
        Ok(v)
    };
    Ok(Pass { h: h.iter().map(first).collect::<Result<_, _>>()?, grads: first(&grads)?, dx: first(&dy[0])? })
}

fn all(file: &str, act: Activation) {
    let c = case(file, act);
    compare_all(&c, &twin::<f64>(&c), Golden::check_f64);
    compare_all(&c, &twin::<f32>(&c), Golden::check_f32);
    let Some(gpu) = gpu_or_skip() else { return };
    compare_all(&c, &on_gpu(gpu, &c).unwrap(), Golden::check_f32);
}

#[test]
fn tanh_network_is_pytorchs() {
    all("mlp_tanh", Activation::Tanh);
}

#[test]
fn relu_network_is_pytorchs() {
    all("mlp_relu", Activation::Relu);
}

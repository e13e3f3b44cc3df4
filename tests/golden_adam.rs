//! Adam and gradient clipping against PyTorch (tests/golden/adam).

mod common;
#[path = "common/golden.rs"]
mod golden;

use common::gpu_or_skip;
use golden::{Golden, assert_passed, cast, to_f64};
use isacbench::gpu::{Fill, Gpu, GpuError};
use isacbench::kernels::adam::{self, Adam, Args, Hyper, adam_cpu};
use isacbench::kernels::compare::{Tol, compare};
use isacbench::kernels::grad_norm::{self, GradNorm, grad_norm_cpu};
use isacbench::real::Real;
use std::ops::Range;

/// The four tensors behind each other.
const P: usize = 24 * 12 + 24 + 6 * 24 + 6;
const PARTS: [Range<usize>; 4] = [0..288, 288..312, 312..456, 456..462];
const STEPS: usize = 10;
const SPEC: adam::Spec = adam::Spec { r: 1, p: P, split: 100 };
const NORM: grad_norm::Spec = grad_norm::Spec { r: 1, p: P, split: 100, joint: true };

fn joined(golden: &Golden, prefix: &str) -> Vec<f32> {
    (0..4).flat_map(|k| golden.f32(&format!("{prefix}{k}"))).collect()
}

fn gradients(golden: &Golden) -> Vec<Vec<f32>> {
    let g: Vec<Vec<f32>> = (0..4).map(|k| golden.f32(&format!("g{k}"))).collect();
    (0..STEPS)
        .map(|t| g.iter().flat_map(|g| g[t * g.len() / STEPS..(t + 1) * g.len() / STEPS].to_vec()).collect())
        .collect()
}

/// Norm, parameters after each step, and the moments after the last.
struct Run {
    norms: Vec<[f64; 2]>,
    params: Vec<Vec<f64>>,
    m: Vec<f64>,
    v: Vec<f64>,
}

fn twin<F: Real<Elem = F, Mask = bool> + Into<f64>>(hyper: &Hyper, p0: &[f32], grads: &[Vec<f32>]) -> Run {
    let zeros = || vec![F::splat(0.0); P];
    let (mut params, mut m, mut v) = (cast::<F>(p0), zeros(), zeros());
    let mut run = Run { norms: vec![], params: vec![], m: vec![], v: vec![] };
    for (t, g) in grads.iter().enumerate() {
        let g = cast::<F>(g);
        let mut norms = [F::splat(f64::NAN); 2];
        grad_norm_cpu(&NORM, &g, &mut norms);
        let at: Args = hyper.args(t as u64 + 1);
        adam_cpu(&SPEC, &at, &mut params, &g, &norms, &mut m, &mut v, &hyper.row::<F>());
        run.norms.push(norms.map(Into::into));
        run.params.push(to_f64(&params));
    }
    Run { m: to_f64(&m), v: to_f64(&v), ..run }
}

fn on_gpu(gpu: &Gpu, hyper: &Hyper, p0: &[f32], grads: &[Vec<f32>]) -> Result<Run, GpuError> {
    let params = gpu.upload("params", &[1, P], p0)?;
    let g = gpu.alloc::<f32>("grads", &[1, P], Fill::Poison)?;
    let norms = gpu.alloc::<f32>("norms", &[1, 2], Fill::Poison)?;
    let m = gpu.alloc::<f32>("m", &[1, P], Fill::Zero)?;
    let v = gpu.alloc::<f32>("v", &[1, P], Fill::Zero)?;
    let rows = gpu.upload("hyper", &[1, 8], &hyper.row::<f32>())?;
    let norm = GradNorm::new(gpu, &NORM)?.bind(gpu, &g, &norms);
    let step = Adam::new(gpu, &SPEC)?.bind(gpu, &params, &g, &norms, &m, &v, &rows);
    let mut run = Run { norms: vec![], params: vec![], m: vec![], v: vec![] };
    for (t, gradient) in grads.iter().enumerate() {
        gpu.write(&g, gradient);
        gpu.run(|pass| {
            norm.record(pass);
            step.record(pass, &hyper.args(t as u64 + 1));
        })?;
        let n = gpu.read(&norms)?;
        run.norms.push([n[0].into(), n[1].into()]);
        run.params.push(to_f64(&gpu.read(&params)?));
    }
    Ok(Run { m: to_f64(&gpu.read(&m)?), v: to_f64(&gpu.read(&v)?), ..run })
}

/// Ten steps without clipping. What moved (parameter minus initial parameter) is compared, since a step is 1e-4 of a parameter.
#[test]
fn ten_steps_are_pytorchs() {
    let golden = Golden::open("adam");
    let p0 = joined(&golden, "p");
    let grads = gradients(&golden);
    for (label, eps) in [("eps1e-8", 1e-8), ("eps1e-5", 1e-5)] {
        let hyper = Hyper { lr: [3e-4; 2], max_norm: 0.0, beta1: 0.9, beta2: 0.999, eps };
        let moved = |run: &Run, f32_run: bool| {
            for (k, part) in PARTS.into_iter().enumerate() {
                let name = format!("{label}.p{k}");
                let (size, dev) = golden.size_and_dev(&name);
                // The stored f64 parameters were rounded to f32: half an ulp of the largest.
                let rounding = 6.1e-8 * size;
                let tol = match f32_run {
                    true => Tol { abs: 4.0 * dev, rel: 0.0, why: "4 times the f32 deviation of PyTorch" },
                    false => Tol {
                        abs: rounding,
                        rel: 0.0,
                        why: "half an ulp of f32: the reference was rounded when stored",
                    },
                };
                let initial: Vec<f64> = (0..STEPS).flat_map(|_| to_f64(&p0[part.clone()])).collect();
                let want: Vec<f64> =
                    golden.f32(&name).iter().zip(&initial).map(|(&p, p0)| f64::from(p) - p0).collect();
                let after = run.params.iter().flat_map(|p| p[part.clone()].to_vec());
                let got: Vec<f32> = after.zip(&initial).map(|(p, p0)| (p - p0) as f32).collect();
                assert_passed(if f32_run { "f32" } else { "f64" }, &compare(&name, &got, &want, tol));
            }
        };
        let moments = |run: &Run, check: fn(&Golden, &str, &[f64])| {
            for (k, part) in PARTS.into_iter().enumerate() {
                check(&golden, &format!("m{k}"), &run.m[part.clone()]);
                check(&golden, &format!("v{k}"), &run.v[part]);
            }
        };
        let judge = twin::<f64>(&hyper, &p0, &grads);
        moved(&judge, false);
        moments(&judge, Golden::check_f64);
        let single = twin::<f32>(&hyper, &p0, &grads);
        moved(&single, true);
        moments(&single, Golden::check_f32);
        if let Some(gpu) = gpu_or_skip() {
            let run = on_gpu(gpu, &hyper, &p0, &grads).unwrap();
            moved(&run, true);
            moments(&run, Golden::check_f32);
        }
    }
}

/// With beta1 = 0 the first moment is the clipped gradient itself.
#[test]
fn clipping_is_pytorchs() {
    let golden = Golden::open("adam");
    let hyper = Hyper { lr: [3e-4; 2], max_norm: 0.5, beta1: 0.0, beta2: 0.999, eps: 1e-8 };
    let p0 = vec![0.0; P];
    for case in ["clip_big", "clip_small"] {
        let g = [joined(&golden, &format!("{case}.g"))];
        let clipped = |run: &Run, check: fn(&Golden, &str, &[f64])| {
            for norm in run.norms[0] {
                check(&golden, &format!("{case}.norm"), &[norm]);
            }
            for (k, part) in PARTS.into_iter().enumerate() {
                check(&golden, &format!("{case}.clipped{k}"), &run.m[part]);
            }
        };
        clipped(&twin::<f64>(&hyper, &p0, &g), Golden::check_f64);
        clipped(&twin::<f32>(&hyper, &p0, &g), Golden::check_f32);
        if let Some(gpu) = gpu_or_skip() {
            clipped(&on_gpu(gpu, &hyper, &p0, &g).unwrap(), Golden::check_f32);
        }
    }
}

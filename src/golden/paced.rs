//! paced_adam.safetensors: Adam at a pace that follows the KL divergence, by `torch.optim.Adam`: rule, steps left out,
//! step counts and clamp.

use super::networks::moved;
use super::{Backend, GoldenError, Rows, Scalar, Vectors, real, wide};
use crate::gpu::{Fill, Gpu, GpuError};
use crate::kernels::adam::{self, Args, Clamp, Hyper};
use crate::kernels::grad_norm;
use crate::kernels::kl_control::{self, Limits, Pace};

/// As `tests/reference/paced_adam.py` has them.
const HYPER: Hyper = Hyper { lr: [3e-3, 2e-3], max_norm: 0.5, beta1: 0.9, beta2: 0.999, eps: 1e-5 };
const CLAMP: Clamp = Clamp { params: 12..16, low: -0.9, high: 0.4 };
const MINIBATCHES: usize = 4;

/// What a sequence of steps leaves: after each of them, and the moments after the last.
#[derive(Default)]
struct StepTrace {
    params: Vec<f64>,
    /// `[steps][R]`
    paces: Vec<Pace<f64>>,
    m: Vec<f64>,
    v: Vec<f64>,
}

struct Case {
    norm: grad_norm::Spec,
    adam: adam::Spec,
    control: kl_control::Spec,
    /// `[R, P]`
    p0: Vec<f32>,
    /// `[steps, R, P]`
    grads: Vec<f32>,
    /// `[steps, R]`
    divergence: Vec<f32>,
    /// Target and limit of each replica, `[R, 2]`.
    limits: Vec<f32>,
}

impl Case {
    fn of(vectors: &Vectors) -> Result<Case, GoldenError> {
        let [steps, r, p] = vectors.dims("g")?;
        let split = CLAMP.params.end;
        if p <= split {
            return Err(vectors.problem("g", format!("is of {p} parameters, not more than {split}")));
        }
        let [target, limit] = ["target", "limit"].map(|name| vectors.f32(name, &[r]));
        let limits = std::iter::zip(target?, limit?).flat_map(|(target, limit)| [target, limit]).collect();
        if steps % MINIBATCHES != 0 {
            return Err(vectors.problem("g", format!("has {steps} steps: no whole updates of {MINIBATCHES}")));
        }
        Ok(Case {
            norm: grad_norm::Spec { r, p, split, joint: false },
            adam: adam::Spec { r, p, split },
            control: kl_control::Spec { r, c: 1, column: 0 },
            p0: vectors.f32("p", &[r, p])?,
            grads: vectors.f32("g", &[steps, r, p])?,
            divergence: vectors.f32("divergence", &[steps, r])?,
            limits,
        })
    }

    fn start(&self) -> Vec<Pace<f32>> {
        vec![Pace::after(0, [HYPER.beta1, HYPER.beta2]); self.adam.r]
    }

    fn twin<F: Scalar>(&self, widened: fn(&Pace<F>) -> Pace<f64>, start: Vec<Pace<F>>) -> StepTrace {
        let (r, zeros) = (self.adam.r, || vec![F::splat(0.0); self.p0.len()]);
        let (hyper, limits) = (vec![HYPER.row::<F>(); r].concat(), self.limits());
        let (mut params, mut m, mut v, mut pace) = (real::<F>(&self.p0), zeros(), zeros(), start);
        let mut run = StepTrace::default();
        for (step, g) in self.grads.chunks(self.p0.len()).enumerate() {
            let (g, means) = (real::<F>(g), real::<F>(&self.divergence[step * r..][..r]));
            let mut norms = vec![F::splat(f64::NAN); 2 * r];
            grad_norm::grad_norm_cpu(&self.norm, &g, &mut norms);
            let first = step % MINIBATCHES == 0;
            kl_control::kl_control_cpu(&self.control, first, &means, &norms, &hyper, &limits, &mut pace);
            adam::adam_paced_cpu(&self.adam, &CLAMP, &mut params, &g, &norms, &mut m, &mut v, &hyper, &pace);
            run.params.extend(wide(&params));
            run.paces.extend(pace.iter().map(widened));
        }
        StepTrace { m: wide(&m), v: wide(&v), ..run }
    }

    fn limits<F: Scalar>(&self) -> Vec<F> {
        let rows = self.limits.as_chunks::<2>().0;
        let row = |&[target, limit]: &[f32; 2]| Limits { target: target.into(), limit: limit.into() };
        rows.iter().map(row).flat_map(|limits| limits.row()).collect()
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<StepTrace, GpuError> {
        let adam::Spec { r, p, .. } = self.adam;
        let params = gpu.upload("golden.params", &[r, p], &self.p0)?;
        let g = gpu.alloc::<f32>("golden.grads", &[r, p], Fill::Poison)?;
        let norms = gpu.alloc::<f32>("golden.norms", &[r, 2], Fill::Poison)?;
        let [m, v] = ["golden.m", "golden.v"].map(|name| gpu.alloc::<f32>(name, &[r, p], Fill::Zero));
        let (m, v) = (m?, v?);
        let hyper = gpu.upload("golden.hyper", &[r, 8], &vec![HYPER.row::<f32>(); r].concat())?;
        let means = gpu.alloc::<f32>("golden.divergence", &[MINIBATCHES, r, 1], Fill::Poison)?;
        let limits = gpu.upload("golden.limits", &[r, 2], &self.limits)?;
        let start: Vec<f32> = self.start().iter().flat_map(Pace::row).collect();
        let pace = gpu.upload("golden.pace", &[r, 8], &start)?;
        let norm = grad_norm::GradNorm::new(gpu, &self.norm)?.bind(gpu, &g, &norms);
        let control = kl_control::KlControl::new(gpu, &self.control)?;
        let control = control.bind(gpu, &means, &norms, &hyper, &limits, &pace);
        let step = adam::Adam::paced(gpu, &self.adam, &CLAMP)?;
        let step = step.bind(gpu, &params, &g, &norms, &m, &v, &hyper, &pace);
        let mut run = StepTrace::default();
        let updates = self.grads.chunks(MINIBATCHES * r * p).zip(self.divergence.chunks(MINIBATCHES * r));
        for (gradients, divergences) in updates {
            gpu.write(&means, divergences);
            for (minibatch, gradient) in gradients.chunks(r * p).enumerate() {
                gpu.write(&g, gradient);
                gpu.run(|pass| {
                    norm.record(pass);
                    control.record(pass, minibatch);
                    step.record(pass, &Args::PACED);
                })?;
                run.params.extend(wide(&gpu.read(&params)?));
                run.paces.extend(gpu.read(&pace)?.chunks_exact(8).map(|row| Pace::from_row(row).wide()));
            }
        }
        Ok(StepTrace { m: wide(&gpu.read(&m)?), v: wide(&gpu.read(&v)?), ..run })
    }
}

/// One number of a pace.
type Column = fn(&Pace<f64>) -> f64;

pub(super) fn paced_adam(vectors: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let case = Case::of(vectors)?;
    let mut rows = Rows::default();
    let mut compare = |backend, run: StepTrace| -> Result<(), GoldenError> {
        moved(&mut rows, vectors, backend, "params", &run.params, &case.p0)?;
        let columns: [(&str, Column); 4] = [
            ("rate", |pace| pace.rate),
            ("live", |pace| pace.live),
            ("steps", |pace| pace.steps),
            ("skipped", |pace| pace.skipped),
        ];
        for (name, of) in columns {
            let column: Vec<f64> = run.paces.iter().map(of).collect();
            rows.tensor_dev(vectors, backend, name, &column)?;
        }
        rows.tensor_dev(vectors, backend, "m", &run.m)?;
        rows.tensor_dev(vectors, backend, "v", &run.v)
    };
    let start = case.start();
    compare(Backend::CpuF64, case.twin(|pace| *pace, start.iter().map(Pace::wide).collect()))?;
    compare(Backend::CpuF32, case.twin(Pace::wide, start))?;
    if let Some(gpu) = gpu {
        compare(Backend::Gpu, case.on_gpu(gpu)?)?;
    }
    Ok(rows)
}

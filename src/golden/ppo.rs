//! ppo_gaussian.safetensors and ppo_bernoulli.safetensors: PPO's loss with either policy, every term and its gradient.

use super::{Case, GoldenError, Rows, Scalar, Vectors, real, wide};
use crate::gpu::{Gpu, GpuError};
use crate::kernels::{advantage_stats, bernoulli_policy_loss, ppo_policy_loss, ppo_value_loss};

/// Weight of the value loss, of the entropy, and ε of both clips in the golden PPO losses.
pub(super) const VF_COEF: f64 = 0.5;
pub(super) const ENT_COEF: f64 = 0.01;
pub(super) const CLIP_EPS: f64 = 0.2;
const HYPER: [ppo_policy_loss::Hyper; 1] =
    [ppo_policy_loss::Hyper { clip_eps: CLIP_EPS, ent_coef: ENT_COEF }];
const SQUARES: [ppo_value_loss::Hyper; 1] = [ppo_value_loss::Hyper { vf_coef: VF_COEF, clip_eps: CLIP_EPS }];

/// A policy with its outputs and actions: the loss by its kernel and by the kernel's twin, as (gradient by the outputs,
/// terms).
trait Policy {
    /// The tensor of its outputs.
    const OUTPUT: &'static str;
    /// Columns of the terms before those that every policy has.
    fn lead(&self) -> usize;
    fn twin<F: Scalar>(&self, scalars: &[[F; 4]], stats: &[[F; 2]]) -> (Vec<F>, Vec<F>);
    fn shader(
        &self,
        gpu: &Gpu,
        scalars: &[[f32; 4]],
        stats: &[[f32; 2]],
    ) -> Result<(Vec<f32>, Vec<f32>), GpuError>;
}

struct Gaussian {
    spec: ppo_policy_loss::Spec,
    /// Without the minibatch.
    x: ppo_policy_loss::Inputs,
}

impl Policy for Gaussian {
    const OUTPUT: &'static str = "mean";
    fn lead(&self) -> usize {
        self.spec.a
    }
    fn twin<F: Scalar>(&self, scalars: &[[F; 4]], stats: &[[F; 2]]) -> (Vec<F>, Vec<F>) {
        let (s, x) = (&self.spec, &self.x);
        let mut out = (vec![F::splat(0.0); s.m * s.a], vec![F::splat(0.0); s.m * (s.a + 4)]);
        let [params, mean, action] = [&x.params, &x.mean, &x.action].map(|x| real(x));
        let (d_mean, terms) = (&mut out.0, &mut out.1);
        ppo_policy_loss::ppo_policy_loss_cpu(
            s, &HYPER, &params, &mean, &action, scalars, stats, d_mean, terms,
        );
        out
    }
    fn shader(
        &self,
        gpu: &Gpu,
        scalars: &[[f32; 4]],
        stats: &[[f32; 2]],
    ) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
        let (scalars, stats) = (scalars.to_vec(), stats.to_vec());
        let x = ppo_policy_loss::Inputs { scalars, stats, ..self.x.clone() };
        ppo_policy_loss::ppo_policy_loss_gpu(gpu, &self.spec, &HYPER, &x)
    }
}

struct Bernoulli {
    spec: bernoulli_policy_loss::Spec,
    /// Without the minibatch.
    x: bernoulli_policy_loss::Inputs,
}

impl Policy for Bernoulli {
    const OUTPUT: &'static str = "logits";
    fn lead(&self) -> usize {
        0
    }
    fn twin<F: Scalar>(&self, scalars: &[[F; 4]], stats: &[[F; 2]]) -> (Vec<F>, Vec<F>) {
        let s = &self.spec;
        let mut out = (vec![F::splat(0.0); s.m * s.a], vec![F::splat(0.0); s.m * 4]);
        let (logits, action) = (real(&self.x.logits), real(&self.x.action));
        let (d_logits, terms) = (&mut out.0, &mut out.1);
        bernoulli_policy_loss::bernoulli_policy_loss_cpu(
            s, &HYPER, &logits, &action, scalars, stats, d_logits, terms,
        );
        out
    }
    fn shader(
        &self,
        gpu: &Gpu,
        scalars: &[[f32; 4]],
        stats: &[[f32; 2]],
    ) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
        let (scalars, stats) = (scalars.to_vec(), stats.to_vec());
        let x = bernoulli_policy_loss::Inputs { scalars, stats, ..self.x.clone() };
        bernoulli_policy_loss::bernoulli_policy_loss_gpu(gpu, &self.spec, &HYPER, &x)
    }
}

pub(super) fn gaussian(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let [m, a] = v.dims("mean")?;
    let policy = Gaussian {
        spec: ppo_policy_loss::Spec { r: 1, m, a, p: a, ls_off: 0 },
        x: ppo_policy_loss::Inputs {
            params: v.f32("log_std", &[a])?,
            mean: v.f32("mean", &[m, a])?,
            action: v.f32("action", &[m, a])?,
            ..Default::default()
        },
    };
    losses(v, gpu, m, &policy)
}

pub(super) fn bernoulli(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let [m, a] = v.dims("logits")?;
    let policy = Bernoulli {
        spec: bernoulli_policy_loss::Spec { r: 1, m, a, skip: 0, clip: true },
        x: bernoulli_policy_loss::Inputs {
            logits: v.f32("logits", &[m, a])?,
            action: v.i32("action", &[m, a])?.into_iter().map(|b| b as f32).collect(),
            ..Default::default()
        },
    };
    losses(v, gpu, m, &policy)
}

/// What the loss kernels make of one minibatch.
struct Loss {
    stats: [f64; 2],
    /// By the policy's outputs.
    d_output: Vec<f64>,
    terms: Vec<f64>,
    d_value: Vec<f64>,
    terms_v: Vec<f64>,
}

fn losses<P: Policy>(v: &Vectors, gpu: Option<&Gpu>, m: usize, policy: &P) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let value = v.f32("value", &[m])?;
    let columns =
        [v.f32("logp_old", &[m])?, v.f32("adv", &[m])?, v.f32("ret", &[m])?, v.f32("value_old", &[m])?];
    let scalars: Vec<[f32; 4]> = (0..m).map(|i| [0, 1, 2, 3].map(|c: usize| columns[c][i])).collect();
    let (lead, grad) = (policy.lead(), format!("grad.{}", P::OUTPUT));
    for case in v.cases(&format!(".{grad}"))? {
        // n: advantages normalised or not, b: with the biased deviation; v: value loss clipped or not.
        let (unbiased, normalise, clipped) = match case.as_str() {
            "n1v1" => (true, true, true),
            "n1v0" => (true, true, false),
            "n1bv1" => (false, true, true),
            "n1bv0" => (false, true, false),
            "n0v1" => (true, false, true),
            "n0v0" => (true, false, false),
            _ => return Err(v.problem(&format!("{case}.{grad}"), "is of a variant that is not known")),
        };
        let losses = Losses {
            policy,
            stats: advantage_stats::Spec { r: 1, m, unbiased, normalise },
            squares: ppo_value_loss::Spec { r: 1, m, tail: 0, clip: clipped },
            scalars: &scalars,
            value: &value,
        };
        losses.each(gpu, |backend, got| {
            let mean = |x: &[f64]| x.iter().sum::<f64>() / m as f64;
            let term = |c: usize| got.terms.iter().skip(c).step_by(lead + 4).copied().collect::<Vec<_>>();
            let [pg, kl, clips, entropy] = [0, 1, 2, 3].map(|c| mean(&term(lead + c)));
            let v_loss = mean(&got.terms_v);
            let adv_used: Vec<f64> =
                columns[1].iter().map(|&adv| (f64::from(adv) - got.stats[0]) * got.stats[1]).collect();
            let mut row =
                |name: &str, x: &[f64], least| rows.tensor(v, backend, &format!("{case}.{name}"), x, least);
            row("adv_used", &adv_used, 0.0)?;
            // Where the reference's own run in f32 came out closer than a rounding of the terms behind a mean, that is
            // luck: they are of order 1 and rounded by 6e-8 each. In approx_kl these stay whole in (ratio − 1) − log
            // ratio.
            for (name, x) in [
                ("pg_loss", pg),
                ("v_loss", v_loss),
                ("entropy_mean", entropy),
                ("loss", pg - ENT_COEF * entropy + VF_COEF * v_loss),
                ("approx_kl", kl),
            ] {
                row(name, &[x], 2e-8)?;
            }
            row("clipfrac", &[clips], 0.0)?;
            row(&grad, &got.d_output, 0.0)?;
            if lead > 0 {
                let d_log_std: Vec<f64> = (0..lead).map(|k| term(k).iter().sum()).collect();
                row("grad.log_std", &d_log_std, 2e-8)?;
            }
            row("grad.value", &got.d_value, 0.0)?;
            rows.tensor_dev(v, backend, "entropy", &term(lead + 3))
        })?;
    }
    Ok(rows)
}

impl Loss {
    /// From (gradient, terms) of the policy and of the value.
    fn of<F: Copy + Into<f64>>(stats: [F; 2], policy: (Vec<F>, Vec<F>), value: (Vec<F>, Vec<F>)) -> Loss {
        let [d_output, terms, d_value, terms_v] = [policy.0, policy.1, value.0, value.1].map(|x| wide(&x));
        Loss { stats: stats.map(Into::into), d_output, terms, d_value, terms_v }
    }
}

/// The losses of one minibatch.
struct Losses<'a, P> {
    policy: &'a P,
    stats: advantage_stats::Spec,
    squares: ppo_value_loss::Spec,
    scalars: &'a [[f32; 4]],
    value: &'a [f32],
}

impl<P: Policy> Case for Losses<'_, P> {
    type Out = Loss;

    fn twin<F: Scalar>(&self) -> Loss {
        let scalars: Vec<[F; 4]> =
            self.scalars.iter().map(|row| row.map(|x| F::splat(f64::from(x)))).collect();
        let mut stats = [[F::splat(0.0); 2]];
        advantage_stats::advantage_stats_cpu(&self.stats, &scalars, &mut stats);
        let (value, zeros) = (real::<F>(self.value), vec![F::splat(0.0); self.value.len()]);
        let (mut d_value, mut terms_v) = (zeros.clone(), zeros);
        let squares = &self.squares;
        ppo_value_loss::ppo_value_loss_cpu(squares, &SQUARES, &value, &scalars, &mut d_value, &mut terms_v);
        Loss::of(stats[0], self.policy.twin(&scalars, &stats), (d_value, terms_v))
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<Loss, GoldenError> {
        let Losses { policy, stats, squares, scalars, value } = self;
        let stats = advantage_stats::advantage_stats_gpu(gpu, stats, scalars)?;
        let value = ppo_value_loss::ppo_value_loss_gpu(gpu, squares, &SQUARES, value, scalars)?;
        Ok(Loss::of(stats[0], policy.shader(gpu, scalars, &stats)?, value))
    }
}

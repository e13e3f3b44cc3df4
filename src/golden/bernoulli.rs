//! ppo_bernoulli.safetensors: PPO's loss with a Bernoulli policy, every term and its gradient.

use super::{Backend, CLIP_EPS, ENT_COEF, GoldenError, PpoResult, Rows, VF_COEF, Vectors, real, wide};
use crate::gpu::Gpu;
use crate::kernels::bernoulli_policy_loss::Hyper;
use crate::kernels::{advantage_stats, bernoulli_policy_loss, ppo_value_loss};
use crate::num::real::Real;

pub(super) fn ppo_bernoulli(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [m, a] = v.dims("logits")?;
    let value = v.f32("value", &[m])?;
    let columns =
        [v.f32("logp_old", &[m])?, v.f32("adv", &[m])?, v.f32("ret", &[m])?, v.f32("value_old", &[m])?];
    let mut x = bernoulli_policy_loss::Inputs {
        logits: v.f32("logits", &[m, a])?,
        action: v.i32("action", &[m, a])?.into_iter().map(|b| b as f32).collect(),
        scalars: (0..m).map(|i| [0, 1, 2, 3].map(|c: usize| columns[c][i])).collect(),
        stats: Vec::new(),
    };
    let spec = bernoulli_policy_loss::Spec { r: 1, m, a, skip: 0 };
    let spec_v = ppo_value_loss::Spec { r: 1, m, tail: 0 };
    let hyper = Hyper { clip_eps: Some(CLIP_EPS), ent_coef: ENT_COEF };
    for case in v.cases(".grad.logits")? {
        // n: advantages normalised or not, b: with the biased deviation; v: value loss clipped or not.
        let (unbiased, normalise, clipped) = match case.as_str() {
            "n1v1" => (true, true, true),
            "n1v0" => (true, true, false),
            "n1bv1" => (false, true, true),
            "n1bv0" => (false, true, false),
            "n0v1" => (true, false, true),
            "n0v0" => (true, false, false),
            _ => return Err(v.problem(&format!("{case}.grad.logits"), "is of a variant that is not known")),
        };
        let stats_spec = advantage_stats::Spec { r: 1, m, unbiased, normalise };
        let hyper_v = ppo_value_loss::Hyper { vf_coef: VF_COEF, clip_eps: clipped.then_some(CLIP_EPS) };
        let mut compare = |backend, got: PpoResult| -> Result<(), GoldenError> {
            let mean = |x: &[f64]| x.iter().sum::<f64>() / m as f64;
            let term = |c: usize| got.terms.iter().skip(c).step_by(4).copied().collect::<Vec<_>>();
            let [pg, kl, clips, entropy] = [0, 1, 2, 3].map(|c| mean(&term(c)));
            let v_loss = mean(&got.terms_v);
            let adv_used: Vec<f64> =
                columns[1].iter().map(|&adv| (f64::from(adv) - got.stats[0]) * got.stats[1]).collect();
            let mut row =
                |name: &str, x: &[f64], least| rows.tensor(v, backend, &format!("{case}.{name}"), x, least);
            row("adv_used", &adv_used, 0.0)?;
            // Where the reference's own run in f32 came out closer than a rounding of the terms behind a mean, that is luck: they are of
            // order 1 and rounded by 6e-8 each.
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
            row("grad.logits", &got.d_mean, 0.0)?;
            row("grad.value", &got.d_value, 0.0)?;
            rows.tensor_dev(v, backend, "entropy", &term(3))
        };
        compare(Backend::CpuF64, twin::<f64>(&spec, hyper, &stats_spec, hyper_v, &x, &value))?;
        compare(Backend::CpuF32, twin::<f32>(&spec, hyper, &stats_spec, hyper_v, &x, &value))?;
        if let Some(gpu) = gpu {
            x.stats = advantage_stats::advantage_stats_gpu(gpu, &stats_spec, &x.scalars)?;
            let (d_logits, terms) = bernoulli_policy_loss::bernoulli_policy_loss_gpu(gpu, &spec, hyper, &x)?;
            let (d_value, terms_v) =
                ppo_value_loss::ppo_value_loss_gpu(gpu, &spec_v, hyper_v, &value, &x.scalars)?;
            let got = PpoResult {
                stats: x.stats[0].map(f64::from),
                d_mean: wide(&d_logits),
                terms: wide(&terms),
                d_value: wide(&d_value),
                terms_v: wide(&terms_v),
            };
            compare(Backend::Gpu, got)?;
        }
    }
    Ok(rows)
}

fn twin<F: Real + PartialOrd + Into<f64> + Send + Sync>(
    s: &bernoulli_policy_loss::Spec,
    hyper: Hyper,
    stats_spec: &advantage_stats::Spec,
    hyper_v: ppo_value_loss::Hyper,
    x: &bernoulli_policy_loss::Inputs,
    value: &[f32],
) -> PpoResult {
    let zeros = |n: usize| vec![F::splat(0.0); n];
    let scalars: Vec<[F; 4]> = x.scalars.iter().map(|row| row.map(|x| F::splat(f64::from(x)))).collect();
    let mut stats = [[F::splat(0.0); 2]];
    advantage_stats::advantage_stats_cpu(stats_spec, &scalars, &mut stats);
    let (mut d_logits, mut terms) = (zeros(s.m * s.a), zeros(s.m * 4));
    let (logits, action) = (real(&x.logits), real(&x.action));
    bernoulli_policy_loss::bernoulli_policy_loss_cpu(
        s,
        hyper,
        &logits,
        &action,
        &scalars,
        &stats,
        &mut d_logits,
        &mut terms,
    );
    let (mut d_value, mut terms_v) = (zeros(s.m), zeros(s.m));
    let spec_v = ppo_value_loss::Spec { r: 1, m: s.m, tail: 0 };
    ppo_value_loss::ppo_value_loss_cpu(&spec_v, hyper_v, &real(value), &scalars, &mut d_value, &mut terms_v);
    PpoResult {
        stats: stats[0].map(Into::into),
        d_mean: wide(&d_logits),
        terms: wide(&terms),
        d_value: wide(&d_value),
        terms_v: wide(&terms_v),
    }
}

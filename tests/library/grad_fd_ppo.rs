//! Gradients of the PPO losses against central differences of the losses themselves, in f64.

use isacbench::kernels::inputs::{widen, widen_rows};
use isacbench::kernels::ppo_policy_loss::{self, Hyper, ppo_policy_loss_cpu, sample_inputs};
use isacbench::kernels::ppo_value_loss::{self, ppo_value_loss_cpu};

/// Step of the differences: truncation ~ h² and rounding ~ 1e-16/h are both below 1e-9.
const H: f64 = 1e-6;

/// d f / d x[i] by central differences.
fn slope(x: &mut [f64], i: usize, f: impl Fn(&[f64]) -> f64) -> f64 {
    let at = x[i];
    x[i] = at + H;
    let above = f(x);
    x[i] = at - H;
    let below = f(x);
    x[i] = at;
    (above - below) / (2.0 * H)
}

/// |got − want| within 1e-8 plus 1e-6 of it: what central differences of numbers of order 1 can give.
fn assert_near(what: &str, got: f64, want: f64) {
    assert!(
        (got - want).abs() <= 1e-8 + 1e-6 * want.abs(),
        "{what}: gradient {got}, difference quotient {want}"
    );
}

#[test]
fn policy_gradients_are_the_slopes_of_the_policy_loss() {
    let s = ppo_policy_loss::Spec { r: 2, m: 61, a: 3, p: 7, ls_off: 2 };
    let hyper = [(0.2, 0.01), (0.3, 0.02)].map(|(clip_eps, ent_coef)| Hyper { clip_eps, ent_coef });
    let x = sample_inputs(&s, &hyper, 3);
    let (params, mean, action) = (widen(&x.params), widen(&x.mean), widen(&x.action));
    let (scalars, stats) = (widen_rows(&x.scalars), widen_rows(&x.stats));
    let width = s.a + 4;
    let evaluate = |params: &[f64], mean: &[f64]| {
        let (mut d_mean, mut terms) = (vec![0.0; s.r * s.m * s.a], vec![0.0; s.r * s.m * width]);
        ppo_policy_loss_cpu(&s, &hyper, params, mean, &action, &scalars, &stats, &mut d_mean, &mut terms);
        (d_mean, terms)
    };
    // The sum of the replicas' losses: each parameter belongs to one of them.
    let loss = |params: &[f64], mean: &[f64]| -> f64 {
        let (_, terms) = evaluate(params, mean);
        let of = |(i, row): (usize, &[f64])| row[s.a] - hyper[i / s.m].ent_coef * row[s.a + 3];
        terms.chunks(width).enumerate().map(of).sum::<f64>() / s.m as f64
    };
    let (d_mean, terms) = evaluate(&params, &mean);

    let mut moved = mean.clone();
    for (i, &d) in d_mean.iter().enumerate() {
        assert_near(&format!("mean[{i}]"), d, slope(&mut moved, i, |mean| loss(&params, mean)));
    }
    let mut moved = params.clone();
    for r in 0..s.r {
        for k in 0..s.a {
            let d: f64 = terms[r * s.m * width..(r + 1) * s.m * width].iter().skip(k).step_by(width).sum();
            assert_near(
                &format!("log_std[{r},{k}]"),
                d,
                slope(&mut moved, r * s.p + s.ls_off + k, |p| loss(p, &mean)),
            );
        }
    }
    // The differences met the inside of the clip range and both branches outside.
    let mut met = [0; 3];
    for (i, row) in terms.chunks(width).enumerate() {
        let outside = row[s.a + 2] == 1.0;
        let bonus = hyper[i / s.m].ent_coef / s.m as f64;
        let stopped = outside && (0..s.a).all(|k| (row[k] + bonus).abs() < 1e-15);
        met[usize::from(outside) + usize::from(stopped)] += 1;
    }
    assert!(met.iter().all(|&n| n >= 10), "inside, outside, stopped: {met:?}");
}

#[test]
fn value_gradients_are_the_slopes_of_the_value_loss() {
    let s = ppo_value_loss::Spec { r: 2, m: 67, tail: 0, clip: false };
    let hyper = [(0.5, 0.2), (0.75, 0.3)];
    let hyper = hyper.map(|(vf_coef, clip_eps)| ppo_value_loss::Hyper { vf_coef, clip_eps });
    let (value, scalars) = ppo_value_loss::sample_inputs(&s, &hyper, 3);
    let (value, scalars) = (widen(&value), widen_rows(&scalars));
    for clip in [false, true] {
        let s = ppo_value_loss::Spec { clip, ..s.clone() };
        let evaluate = |value: &[f64]| {
            let (mut d, mut terms) = (vec![0.0; value.len()], vec![0.0; value.len()]);
            ppo_value_loss_cpu(&s, &hyper, value, &scalars, &mut d, &mut terms);
            (d, terms)
        };
        let (d, _) = evaluate(&value);
        let mut moved = value.clone();
        for (i, &d) in d.iter().enumerate() {
            let coef = hyper[i / s.m].vf_coef / s.m as f64;
            let want = slope(&mut moved, i, |v| coef * evaluate(v).1.iter().sum::<f64>());
            assert_near(&format!("value[{i}], clip {clip}"), d, want);
        }
        let stopped = d.iter().filter(|d| **d == 0.0).count();
        assert_eq!(stopped >= 10, clip, "{stopped} gradients are stopped");
    }
}

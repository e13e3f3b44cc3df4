//! td_loss: one-step temporal-difference loss of a value that is a sum over K heads, and its gradient.
//!
//! `Q = Σ_k q[k, c_k]`, `y = reward + γ·(1 − terminated)·Σ_k max_c q_next[k, c]` without gradient. Huber: mean of ½d²
//! where |d| < 1, else
//! |d| − ½, d = Q − y; squared: mean of d². With one head of one choice it is the loss of a critic. A head that is split
//! has the values of beams, then those of power levels: `q[k, c]` is the sum of the two that c stands for, and so is
//! the largest.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "td_loss");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of sum|q| + |reward| + sum|max q_next|, which the error is a sum of (6e-8 each), times the error where it is squared",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica.
    pub m: usize,
    /// K: heads.
    pub k: usize,
    /// L: values of a head.
    pub l: usize,
    /// Values of its beams, behind which those of levels stand; 0: one value of each choice.
    pub split: usize,
    /// Huber's loss instead of the square.
    pub huber: bool,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 509, k: 3, l: 96, split: 0, huber: true };

/// `gamma` `[R]`; `q`, `q_next` `[R, M, K, L]`; `mb_action` `[R, M, K]` chosen indices (not read if L = 1);
/// `mb_scalars` `[R, M]` of (reward, 1 − terminated); `d_q` `[R, M, K, L]` with its 1/M; `terms` `[R, M, 2]` = the
/// sample's term of the loss (without 1/M), and y.
#[allow(clippy::too_many_arguments, reason = "the argument list is the kernel's binding list")]
pub fn td_loss_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    gamma: &[F],
    q: &[F],
    q_next: &[F],
    mb_action: &[f32],
    mb_scalars: &[[F; 2]],
    d_q: &mut [F],
    terms: &mut [F],
) {
    let &Spec { m, k, l, split, huber, .. } = spec;
    let levels = l - split;
    let [zero, half, one] = [0.0, 0.5, 1.0].map(F::splat);
    let per_sample = one / F::splat(m as f64);
    for (i, [reward, goes_on]) in mb_scalars.iter().enumerate() {
        let choice = |head: usize| if l > 1 { mb_action[i * k + head] as usize } else { 0 };
        // Of beam and level, where they are by themselves.
        let taken = |head: usize| match split {
            0 => [choice(head), choice(head)],
            _ => [choice(head) / levels, split + choice(head) % levels],
        };
        let (mut value, mut best) = (zero, zero);
        for head in 0..k {
            let (q, next) = (&q[(i * k + head) * l..][..l], &q_next[(i * k + head) * l..][..l]);
            let largest = |of: &[F]| of[1..].iter().fold(of[0], |best, x| best.max(*x));
            let [first, second] = taken(head);
            value += q[first];
            best += largest(if split > 0 { &next[..split] } else { next });
            if split > 0 {
                value += q[second];
                best += largest(&next[split..]);
            }
        }
        let y = *reward + gamma[i / m] * *goes_on * best;
        let d = value - y;
        let (term, slope) = if !huber {
            (d * d, d + d)
        } else if d.abs().lt(one) {
            (half * (d * d), d)
        } else {
            (d.abs() - half, d.max(-one).min(one))
        };
        d_q[i * k * l..(i + 1) * k * l].fill(zero);
        for head in 0..k {
            taken(head).into_iter().for_each(|at| d_q[(i * k + head) * l + at] = slope * per_sample);
        }
        terms[2 * i] = term;
        terms[2 * i + 1] = y;
    }
}

/// What a dispatch must do. Which branch of the Huber loss is taken depends on the data.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, k, l, split, huber } = spec;
    let chosen = if l > 1 { 2 * k } else { k } + if split > 0 { k } else { 0 };
    let words = r + r * m * (chosen + 2 * k * l + 2 + 2);
    match huber {
        true => Cost::moving(words),
        // Values of both sides with the best of L; target, error, square and slope; the gradients.
        false if split > 0 => Cost::moving(words),
        false => Cost::new(r * m * (2 * k + k * (l - 1) + 3 + 1 + 2 + k), words),
    }
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, m, k, l, split, huber } = spec;
    let p = Prelude::new().u32("WG", WG).u32("R", r).u32("M", m);
    p.u32("K", k).u32("L", l).u32("SPLIT", split).u32("HUBER", usize::from(huber))
}

host! {
    TdLoss, TdLossBound;
    fits |gpu, spec| check_trips(gpu, "td_loss", 2 * spec.k * (spec.l + 1));
    /// Shapes as in [`td_loss_cpu`].
    bind |&Spec { r, m, k, l, .. }| {
        gamma: f32 = of_len(r),
        q: f32 = of_len(r * m * k * l),
        q_next: f32 = of_len(r * m * k * l),
        mb_action: f32 = of_len(if l > 1 { r * m * k } else { mb_action.len() }),
        mb_scalars: [f32; 2] = of_len(r * m),
        d_q: f32 = of_len(r * m * k * l),
        terms: f32 = of_len(2 * r * m),
    }
    record |spec| fold_groups(spec.r * spec.m, WG);
}

/// Inputs of one loss.
pub struct Inputs {
    pub gamma: Vec<f32>,
    pub q: Vec<f32>,
    pub q_next: Vec<f32>,
    pub action: Vec<f32>,
    pub scalars: Vec<[f32; 2]>,
}

/// Runs the shader once: (d_q, terms).
pub fn td_loss_gpu(gpu: &Gpu, s: &Spec, x: &Inputs) -> Result<(Vec<f32>, Vec<f32>), GpuError> {
    let n = s.r * s.m;
    bind!(gpu, bound = TdLoss::new(gpu, s)?; gamma = x.gamma, q = x.q, q_next = x.q_next, mb_action = x.action,
        mb_scalars = x.scalars, d_q[n * s.k * s.l], terms[2 * n]);
    gpu.run(|pass| bound.record(pass))?;
    Ok((gpu.read(&d_q)?, gpu.read(&terms)?))
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, k, l, split, .. } = spec;
    let n = r * m;
    let choices = if split > 0 { split * (l - split) } else { l };
    // Each replica has its own; the first looks no slot ahead.
    let gamma: Vec<f32> = (0..r).map(|r| [0.0, 0.97, 0.5][(r + usize::from(spec.r == 1)) % 3]).collect();
    let mut draw = Sample::new(seed, 0);
    let (q, q_next) = (draw.normal(n * k * l, 0.5), draw.normal(n * k * l, 0.5));
    // Where L = 1 no index may be read.
    let action =
        (0..n * k).map(|_| if l > 1 { (draw.word() as usize % choices) as f32 } else { f32::NAN }).collect();
    let scalars = (0..n).map(|i| [draw.normal(1, 1.0)[0], if i % 3 == 1 { 0.0 } else { 1.0 }]).collect();
    let x = Inputs { gamma, q, q_next, action, scalars };
    let (mut d_q, mut terms) = (vec![f64::NAN; n * k * l], vec![f64::NAN; 2 * n]);
    let wide = (widen(&x.q), widen(&x.q_next), widen_rows(&x.scalars));
    td_loss_cpu(spec, &widen(&x.gamma), &wide.0, &wide.1, &x.action, &wide.2, &mut d_q, &mut terms);
    let (got_d, got_terms) = td_loss_gpu(gpu, spec, &x)?;
    let (mut d_scale, mut term_scale) = (Vec::new(), Vec::new());
    for i in 0..n {
        let largest = |q: &[f64]| -> f64 {
            let most = |q: &[f64]| q.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            q[i * k * l..][..k * l].chunks(l).map(|q| most(&q[..split]) + most(&q[split..])).sum()
        };
        let size = largest(&wide.0) + largest(&wide.1) + wide.2[i][0].abs();
        let per_sample = 2.0 * size / m as f64;
        d_scale.extend(d_q[i * k * l..][..k * l].iter().map(|d| if *d == 0.0 { 0.0 } else { per_sample }));
        let term = terms[2 * i];
        term_scale.extend([term + 2.0 * size * term.sqrt().max(1e-3), size]);
    }
    Ok(vec![
        compare_scaled("d_q", &got_d, &d_q, &d_scale, TOL),
        compare_scaled("terms", &got_terms, &terms, &term_scale, TOL),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Two heads of two choices: Q = 1 + 4, y = 0.5 + 0.5·(3 + 5) where it goes on.
        let spec = Spec { r: 1, m: 2, k: 2, l: 2, split: 0, huber: true };
        let q = [1.0, 9.0, 9.0, 4.0, 1.0, 9.0, 9.0, 4.0];
        let next = [3.0, -1.0, 2.0, 5.0, 3.0, -1.0, 2.0, 5.0];
        let (mut d, mut terms) = ([f64::NAN; 8], [f64::NAN; 4]);
        let run = |spec: &Spec, d: &mut [f64], terms: &mut [f64]| {
            let scalars = [[0.5, 1.0], [0.5, 0.0]];
            td_loss_cpu(spec, &[0.5], &q, &next, &[0.0, 1.0, 0.0, 1.0], &scalars, d, terms)
        };
        run(&spec, &mut d, &mut terms);
        // Errors 0.5 and 4.5.
        assert_eq!(terms, [0.125, 4.5, 4.0, 0.5]);
        assert_eq!(d, [0.25, 0.0, 0.0, 0.25, 0.5, 0.0, 0.0, 0.5]);
        run(&Spec { huber: false, ..spec }, &mut d, &mut terms);
        assert_eq!(terms, [0.25, 4.5, 20.25, 0.5]);
        assert_eq!(d, [0.5, 0.0, 0.0, 0.5, 4.5, 0.0, 0.0, 4.5]);
    }

    #[test]
    fn beams_and_levels_by_hand() {
        // One head of two beams and three levels; choice 5 is beam 1 at level 2: Q = 2 + 0.25, y = 0.5 + 0.5·(3 + 1).
        let spec = Spec { r: 1, m: 1, k: 1, l: 5, split: 2, huber: true };
        let (q, next) = ([9.0, 2.0, 9.0, 9.0, 0.25], [3.0, -1.0, -2.0, 0.5, 1.0]);
        let (mut d, mut terms) = ([f64::NAN; 5], [f64::NAN; 2]);
        td_loss_cpu(&spec, &[0.5], &q, &next, &[5.0], &[[0.5, 1.0]], &mut d, &mut terms);
        assert_eq!((terms, d), ([0.03125, 2.5], [0.0, -0.25, 0.0, 0.0, -0.25]));
    }
}

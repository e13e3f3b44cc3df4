//! kl_control: how far an actor may step. In front of every step of Adam, the actor's rate follows the KL divergence of
//! the minibatch from the policy of the rollout, and a step that starts too far away is left out.
//!
//! A replica's *pace* is one row of eight numbers ([`Pace`]): the share f of its scheduled rate, whether this step
//! counts, the two bias corrections and the number of its steps, and how many were left out. With D the mean over the
//! minibatch of the k3 estimate e^x − 1 − x of x = ln π − ln π_old (`ppo_policy_loss`) and D* the target,
//!
//! `f ← clamp(f·e^(clamp(g·ln(D*/D), −b, b)), f_min, 1)`,
//!
//! continuous in D, and not for the first minibatch of an update, where D is 0. So f settles where the geometric mean
//! of D over an update's minibatches is D*; the schedule caps the rate, since f ≤ 1. A step with D above the limit is
//! left out: parameters and moments stay, and so do the step count and the corrections c = 1 − βᵗ, which follow
//! `c ← βc + (1 − β)`. The same holds of a replica whose gradient is not finite. With a target of 0 the rate stays as
//! scheduled and no step is left out for its divergence.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "kl_control");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2e-6,
    why: "a logarithm and an exponential of a few 6e-8 each, a division of 2.5 ulp inside the logarithm, whose weight is below 1",
};

/// g: how strongly the rate answers to the logarithm of target over divergence.
pub const GAIN: f64 = 0.1;
/// b: the most that ln f changes by in a step.
pub const MOST: f64 = 0.05;
/// f_min
pub const LEAST: f64 = 1e-3;
/// Target over divergence beyond which the answer is the same anyway: keeps the logarithm's argument normal.
const FAR: f64 = 1e6;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// C: means of a replica's minibatch side by side, of which number `column` is the divergence.
    pub c: usize,
    pub column: usize,
}

/// What the kernel keeps of a replica between steps: a row of `pace` `[R, 8]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace<F> {
    /// f: share of its scheduled rate that the actor steps with.
    pub rate: F,
    /// 1 if the coming step counts, else 0.
    pub live: F,
    /// 1 − β₁ᵗ and 1 − β₂ᵗ of the coming step.
    pub corrections: [F; 2],
    /// t: steps that counted.
    pub steps: F,
    /// Steps that were left out because the divergence was above its limit.
    pub skipped: F,
}

impl Pace<f32> {
    /// A replica that made `steps` steps, none of them left out.
    pub fn after(steps: u64, betas: [f64; 2]) -> Self {
        let corrections = betas.map(|b| (1.0 - b.powf(steps as f64)) as f32);
        Pace { rate: 1.0, live: 1.0, corrections, steps: steps as f32, skipped: 0.0 }
    }

    /// The row as the kernels and a checkpoint hold it; its last two numbers are free.
    pub fn row(&self) -> [f32; 8] {
        let [c1, c2] = self.corrections;
        [self.rate, self.live, c1, c2, self.steps, self.skipped, 0.0, 0.0]
    }

    /// # Panics
    /// If there are not eight numbers.
    pub fn from_row(row: &[f32]) -> Self {
        let &[rate, live, c1, c2, steps, skipped, ..] = row else {
            panic!("{} numbers are no pace", row.len())
        };
        Pace { rate, live, corrections: [c1, c2], steps, skipped }
    }

    /// The same in double precision.
    pub fn wide(&self) -> Pace<f64> {
        Pace {
            rate: self.rate.into(),
            live: self.live.into(),
            corrections: self.corrections.map(f64::from),
            steps: self.steps.into(),
            skipped: self.skipped.into(),
        }
    }
}

/// What a replica may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// D*, nats; 0: no control.
    pub target: f64,
    /// Divergence above which a step is left out, nats.
    pub limit: f64,
}

impl Limits {
    /// No control.
    pub const NONE: Limits = Limits { target: 0.0, limit: 0.0 };

    /// The replica's row of `limits` `[R, 2]`.
    pub fn row<F: Real<Elem = F>>(&self) -> [F; 2] {
        [self.target, self.limit].map(F::splat)
    }
}

/// One replica's pace for the coming step, of which `divergence` is D and `norms` are its gradient's (`grad_norm`);
/// `first` in the first minibatch of an update.
pub fn advance<F: Real<Elem = F, Mask = bool>>(
    pace: &mut Pace<F>,
    divergence: F,
    norms: [F; 2],
    [target, limit]: [F; 2],
    [beta1, beta2, rest1, rest2]: [F; 4],
    first: bool,
) {
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    let finite = |x: F| x.abs().lt(F::splat(f64::INFINITY));
    let controlled = zero.lt(target) && !first;
    if controlled {
        let most = F::splat(MOST);
        let mut push = -most;
        if finite(divergence) {
            let ratio = target / divergence.max(target / F::splat(FAR));
            let ratio = ratio.max(one / F::splat(FAR));
            push = (F::splat(GAIN) * ratio.ln()).max(-most).min(most);
        }
        pace.rate = (pace.rate * push.exp()).max(F::splat(LEAST)).min(one);
    }
    let far = controlled && !(finite(divergence) && divergence.le(limit));
    let live = finite(norms[0]) && finite(norms[1]) && !far;
    pace.live = if live { one } else { zero };
    if live {
        let [c1, c2] = pace.corrections;
        pace.corrections = [beta1 * c1 + rest1, beta2 * c2 + rest2];
        pace.steps += one;
    }
    if far {
        pace.skipped += one;
    }
}

/// `means` `[R, C]`: means over the minibatch; `norms` `[R, 2]`; `hyper` `[R, 8]` as for `adam`; `limits` `[R, 2]`;
/// `pace` `[R, 8]`.
pub fn kl_control_cpu<F: Real<Elem = F, Mask = bool>>(
    spec: &Spec,
    first: bool,
    means: &[F],
    norms: &[F],
    hyper: &[F],
    limits: &[F],
    pace: &mut [Pace<F>],
) {
    for (r, pace) in pace.iter_mut().enumerate().take(spec.r) {
        let h = &hyper[8 * r..][..8];
        let divergence = means[r * spec.c + spec.column];
        let (norms, limits) = ([norms[2 * r], norms[2 * r + 1]], [limits[2 * r], limits[2 * r + 1]]);
        advance(pace, divergence, norms, limits, [h[3], h[4], h[6], h[7]], first);
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    // Ratio 4, logarithm and exponential, push 3, rate 3, limit and norms 4, corrections 4, counts 2.
    Cost::new(spec.r * (20 + 2 * EXP), spec.r * (1 + 2 + 8 + 2 + 16))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, c, column } = spec;
    let p = Prelude::new().u32("WG", WG).u32("R", r).u32("C", c).u32("COLUMN", column);
    p.f32("GAIN", GAIN as f32).f32("MOST", MOST as f32).f32("LEAST", LEAST as f32).f32("FAR", FAR as f32)
}

host! {
    KlControl, KlControlBound;
    fits |_, &Spec { c, column, .. }| {
        assert!(column < c, "kl_control: column {column} of {c}");
        Ok(())
    };
    /// `means` `[steps, R, C]` of which a dispatch reads one step; `norms` `[R, 2]`; `hyper` `[R, 8]`; `limits`
    /// `[R, 2]`; `pace` `[R, 8]`.
    bind |spec| {
        means: f32,
        norms: f32 = of_len(2 * spec.r),
        hyper: f32 = of_len(8 * spec.r),
        limits: f32 = of_len(2 * spec.r),
        pace: f32 = of_len(8 * spec.r),
    }
}

impl KlControlBound {
    /// For step `row` of the update, the first of which answers to no divergence.
    pub fn record(&self, pass: &mut wgpu::ComputePass, row: usize) {
        let Spec { r, c, .. } = self.spec;
        assert!(
            (row + 1) * r * c <= self.means,
            "kl_control: step {row} of means of {} elements",
            self.means
        );
        let immediates = [(row * r * c) as u32, u32::from(row == 0)];
        self.bound.record(pass, fold_groups(r, WG), &immediates);
    }
}

/// Replicas whose divergence is this near to its limit, relative to it, may be judged either way.
pub const MARGIN: f64 = 1e-5;

/// Divergences, as multiples of the target, that [`check`] goes through, besides numbers that are not finite. None is
/// near the limit.
const RATIOS: [f64; 8] = [0.0, 1e-9, 0.01, 0.7, 1.0, 1.3, 4.9, 40.0];

/// Shader against f64 twin over a few steps: divergences from 0 to far above the limit, NaN and infinite ones, a
/// gradient that is not finite, and replicas without control.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, c, column } = spec;
    const STEPS: usize = 4;
    let limits: Vec<[f32; 2]> = (0..r).map(|i| if i % 5 == 4 { [0.0; 2] } else { [0.02, 0.1] }).collect();
    let divergence = |step: usize, i: usize| match (seed as usize + step + i) % (RATIOS.len() + 2) {
        k if k < RATIOS.len() => (RATIOS[k] * 0.02) as f32,
        k => [f32::NAN, f32::INFINITY][k - RATIOS.len()],
    };
    let mut means = vec![f32::NAN; STEPS * r * c];
    let mut norms = vec![1f32; 2 * r];
    for i in 0..r {
        (0..STEPS).for_each(|step| means[(step * r + i) * c + column] = divergence(step, i));
        if i % 7 == 6 {
            norms[2 * i + i % 2] = if i % 3 == 0 { f32::NAN } else { f32::INFINITY };
        }
    }
    // As `adam` takes them: rates, norm, betas, eps, and 1 less the betas.
    let hyper = [1e-3, 1e-3, 0.5, 0.9, 0.999, 1e-5, 1.0 - 0.9, 1.0 - 0.999].map(|x: f64| x as f32);
    let hyper = vec![hyper; r].concat();
    let start: Vec<Pace<f32>> = (0..r)
        .map(|i| Pace { rate: [1.0, 0.3, 1e-3][i % 3], ..Pace::after(10 * i as u64, [0.9, 0.999]) })
        .collect();

    let [means64, norms64, hyper64] = [&means, &norms, &hyper].map(|x| widen(x));
    let limits64: Vec<f64> = limits.iter().flatten().map(|&x| f64::from(x)).collect();
    let mut want: Vec<Pace<f64>> = start.iter().map(Pace::wide).collect();
    for step in 0..STEPS {
        let means = &means64[step * r * c..][..r * c];
        kl_control_cpu(spec, step == 0, means, &norms64, &hyper64, &limits64, &mut want);
    }

    let (limits, pace) = (limits.concat(), start.iter().flat_map(Pace::row).collect::<Vec<f32>>());
    bind!(gpu, bound = KlControl::new(gpu, spec)?; means, norms, hyper, limits, pace);
    gpu.run(|pass| (0..STEPS).for_each(|step| bound.record(pass, step)))?;
    let got: Vec<Pace<f32>> = gpu.read(&pace)?.chunks_exact(8).map(Pace::from_row).collect();

    let got: Vec<Pace<f64>> = got.iter().map(Pace::wide).collect();
    let all = |of: fn(&Pace<f64>) -> f64| [&got, &want].map(|x| x.iter().map(of).collect::<Vec<f64>>());
    let scaled = |name: &str, of: fn(&Pace<f64>) -> f64| {
        let [got, want] = all(of);
        compare_scaled(name, &got.iter().map(|&x| x as f32).collect::<Vec<_>>(), &want, &want, TOL)
    };
    let exact = |name: &str, of: fn(&Pace<f64>) -> f64| {
        let [got, want] = all(of).map(|x| x.iter().map(|&x| (x as f32).to_bits()).collect::<Vec<_>>());
        compare_exact(name, &got, &want)
    };
    Ok(vec![
        scaled("rate", |p| p.rate),
        scaled("correction 1", |p| p.corrections[0]),
        scaled("correction 2", |p| p.corrections[1]),
        exact("live", |p| p.live),
        exact("steps", |p| p.steps),
        exact("skipped", |p| p.skipped),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BETAS: [f64; 4] = [0.9, 0.999, 1.0 - 0.9, 1.0 - 0.999];
    const LIMITS: [f64; 2] = [0.02, 0.1];

    fn start() -> Pace<f64> {
        Pace { rate: 0.5, live: 1.0, corrections: [0.0; 2], steps: 0.0, skipped: 0.0 }
    }

    fn after(divergence: f64, first: bool, limits: [f64; 2]) -> Pace<f64> {
        let mut pace = start();
        advance(&mut pace, divergence, [1.0; 2], limits, BETAS, first);
        pace
    }

    #[test]
    fn the_rate_falls_above_the_target_rises_below_and_is_continuous() {
        assert_eq!(after(0.02, false, LIMITS).rate, 0.5);
        assert!(after(0.03, false, LIMITS).rate < 0.5 && after(0.01, false, LIMITS).rate > 0.5);
        // Over the whole range, no jump.
        let rates: Vec<f64> =
            (0..4000).map(|i| after(1e-4 * 1.002f64.powi(i), false, [0.02, 1e9]).rate).collect();
        assert!(rates.windows(2).all(|w| w[1] <= w[0] && w[0] - w[1] < 2e-4));
        let (most, least) = (0.5 * MOST.exp(), 0.5 * (-MOST).exp());
        assert!((rates[0] - most).abs() < 1e-12 && (rates[3999] - least).abs() < 1e-12);
    }

    #[test]
    fn the_first_minibatch_and_no_target_change_no_rate_and_skip_nothing() {
        for (first, limits) in [(true, LIMITS), (false, [0.0, 0.0])] {
            for divergence in [0.0, 1.0, f64::NAN] {
                let pace = after(divergence, first, limits);
                assert_eq!((pace.rate, pace.live, pace.skipped), (0.5, 1.0, 0.0));
            }
        }
    }

    #[test]
    fn a_step_beyond_the_limit_counts_for_nothing_but_the_rate() {
        let before = start();
        for divergence in [0.11, f64::INFINITY, f64::NAN] {
            let pace = after(divergence, false, LIMITS);
            assert_eq!((pace.live, pace.skipped, pace.steps), (0.0, 1.0, 0.0));
            assert_eq!(pace.corrections, before.corrections);
            assert!(pace.rate < before.rate, "it slows down");
        }
        assert_eq!(after(0.1, false, LIMITS).skipped, 0.0, "the limit itself is inside");
    }

    #[test]
    fn the_rate_stays_within_its_ends() {
        let mut pace = start();
        (0..1000).for_each(|_| advance(&mut pace, 0.0, [1.0; 2], LIMITS, BETAS, false));
        assert_eq!(pace.rate, 1.0);
        (0..1000).for_each(|_| advance(&mut pace, 0.09, [1.0; 2], LIMITS, BETAS, false));
        assert_eq!(pace.rate, LEAST);
    }

    #[test]
    fn corrections_are_those_of_the_steps_that_counted() {
        let mut pace = Pace::<f32>::after(0, [0.9, 0.999]);
        let betas = [0.9, 0.999, 1.0 - 0.9, 1.0 - 0.999].map(|x: f64| x as f32);
        let mut counted = 0;
        for step in 0..20_000u32 {
            let norms = [if step % 3 == 1 { f32::NAN } else { 1.0 }, 1.0];
            let divergence = if step % 5 == 2 { 1.0 } else { 0.02 };
            advance(&mut pace, divergence, norms, [0.02, 0.1], betas, false);
            counted += u64::from(step % 3 != 1 && step % 5 != 2);
            let want = Pace::after(counted, [0.9, 0.999]);
            assert_eq!(pace.steps, want.steps);
            for (got, want) in pace.corrections.iter().zip(want.corrections) {
                // β₂ in f32 is off by 1e-8 of itself, which t steps make 1e-8·t of βᵗ.
                assert!((got - want).abs() <= 1e-5 * want, "{got} against {want} after {counted} steps");
            }
        }
        assert_eq!(pace.skipped, 4000.0);
    }
}

//! Independent Bernoulli variables in lanes: the fast forms of `kernels::bernoulli_head` (same draws, same bits) and
//! `kernels::bernoulli_policy_loss`.

use crate::num::philox::{Stream, draw};
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, run_lanes};

/// ln σ(x), without overflow on either side.
#[inline(always)]
pub fn log_sigmoid<F: Real>(x: F) -> F {
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    x.min(zero) - (one + (-(x.abs())).exp()).ln()
}

/// Elements [row][0..LANES) of column `column`, from `row` on.
#[inline(always)]
fn gather<V: F32Lanes>(rows: &[f32], ld: usize, row: usize, column: usize) -> V {
    let mut lanes = [0f32; 16];
    for (l, x) in lanes.iter_mut().enumerate().take(V::LANES) {
        *x = rows[(row + l) * ld + column];
    }
    V::load(&lanes)
}

#[inline(always)]
fn scatter<V: F32Lanes>(x: V, rows: &mut [f32], ld: usize, row: usize, column: usize) {
    let mut lanes = [0f32; 16];
    x.store(&mut lanes);
    for (l, x) in lanes.iter().enumerate().take(V::LANES) {
        rows[(row + l) * ld + column] = *x;
    }
}

/// Samples a schedule in every environment.
pub struct Sample<'a> {
    pub key: [u32; 2],
    /// Environment of the first row.
    pub first: u32,
    pub clock: u32,
    /// Take the more probable side instead.
    pub greedy: bool,
    /// `[envs, K]`
    pub logits: &'a [f32],
    /// 1 where a camera is on, else 0: `[envs, K]`.
    pub action: &'a mut [f32],
    /// `[envs]`
    pub logprob: &'a mut [f32],
}

impl Sample<'_> {
    pub fn run(self) {
        run_lanes(self);
    }

    #[inline(always)]
    fn span<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let k = self.logits.len() / self.logprob.len();
        let mut env = from;
        while env + V::LANES <= to {
            let ids = V::Word::iota(self.first + env as u32);
            let mut sum = zero;
            for block in 0..k.div_ceil(4) {
                let words = draw(self.key, Stream::Action, ids, self.clock, block as u32);
                for (j, word) in words.into_iter().enumerate().take(k - 4 * block) {
                    let x = gather::<V>(self.logits, k, env, 4 * block + j);
                    let taken =
                        if self.greedy { zero.lt(x) } else { V::unit_from_word(word).lt(x.sigmoid()) };
                    scatter(V::select(taken, one, zero), self.action, k, env, 4 * block + j);
                    sum += log_sigmoid(V::select(taken, x, -x));
                }
            }
            sum.store(&mut self.logprob[env..]);
            env += V::LANES;
        }
    }
}

impl LaneKernel for Sample<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.logprob.len();
        let whole = n / V::LANES * V::LANES;
        self.span::<V>(0, whole);
        self.span::<f32>(whole, n);
    }
}

/// What weighs the log-probabilities.
#[derive(Clone, Copy, Debug)]
pub struct LossHyper {
    /// Clip range of the surrogate; `None` for the plain policy gradient −A ln π.
    pub clip: Option<f32>,
    pub entropy_coef: f32,
    /// One over the number of samples in the mean.
    pub per_sample: f32,
    /// Advantages are normalised to (A − mean)·inverse.
    pub mean: f32,
    pub inverse: f32,
}

/// Policy loss of n samples and its gradient by their logits.
pub struct Loss<'a> {
    pub hyper: LossHyper,
    /// `[n, ld]`, of which the first K columns are logits.
    pub logits: &'a [f32],
    pub ld: usize,
    /// `[n, K]`
    pub action: &'a [f32],
    /// Log-probabilities at the rollout and advantages, `[n]`.
    pub old: &'a [f32],
    pub advantage: &'a [f32],
    /// Receives the gradient in its first K columns, `[n, ld]`.
    pub d_logits: &'a mut [f32],
    /// What the same policy draws beside the schedule.
    pub rest: Option<Rest<'a>>,
}

/// What stands in one ratio with a schedule.
pub struct Rest<'a> {
    /// Its log-probabilities, `[n]`.
    pub logprob: &'a [f32],
    /// Receives the gradient by each sample's log-probability, without the entropy's part, `[n]`.
    pub slope: &'a mut [f32],
}

/// Contributions of the samples to the mean policy loss (without entropy), the mean entropy, nat, and with a clipped
/// surrogate to the k3 estimate of the KL divergence from the policy of the rollout, nat, and the share of clipped
/// ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSums {
    pub policy: f64,
    pub entropy: f64,
    pub kl: f64,
    pub clipped: f64,
}

impl LossSums {
    pub fn add(&mut self, o: &LossSums) {
        self.policy += o.policy;
        self.entropy += o.entropy;
        self.kl += o.kl;
        self.clipped += o.clipped;
    }
}

impl Loss<'_> {
    pub fn run(self) -> LossSums {
        run_lanes(self)
    }

    #[inline(always)]
    fn span<V: F32Lanes>(&mut self, from: usize, to: usize, sums: &mut LossSums) {
        let (zero, half, one) = (V::splat(0.0), V::splat(0.5), V::splat(1.0));
        let LossHyper { clip, entropy_coef, per_sample, mean, inverse } = self.hyper;
        let (per_sample_v, ent) = (V::splat_f32(per_sample), V::splat_f32(entropy_coef * per_sample));
        let k = self.action.len() / self.old.len();
        let (mut policy, mut entropies, mut kl, mut beyond) = (zero, zero, zero, zero);
        let mut i = from;
        while i + V::LANES <= to {
            let (mut logp, mut entropy) =
                (self.rest.as_ref().map_or(zero, |rest| V::load(&rest.logprob[i..])), zero);
            for a in 0..k {
                let x = gather::<V>(self.logits, self.ld, i, a);
                let taken = gather::<V>(self.action, k, i, a);
                let (on, off, p) = (log_sigmoid(x), log_sigmoid(-x), x.sigmoid());
                logp += V::select(half.lt(taken), on, off);
                entropy += -(p * on + (one - p) * off);
            }
            let adv = (V::load(&self.advantage[i..]) - V::splat_f32(mean)) * V::splat_f32(inverse);
            let (loss, slope) = match clip {
                None => (-adv * logp, -adv),
                Some(clip) => {
                    let clip = V::splat_f32(clip);
                    let log_ratio = logp - V::load(&self.old[i..]);
                    let ratio = log_ratio.exp();
                    let free = -adv * ratio;
                    let clipped = -adv * ratio.max(one - clip).min(one + clip);
                    let outside = clip.lt((ratio - one).abs());
                    let cut = V::mask_and(outside, free.lt(clipped));
                    kl += (ratio - one) - log_ratio;
                    beyond += V::select(outside, one, zero);
                    (free.max(clipped), V::select(cut, zero, free))
                }
            };
            let slope = slope * per_sample_v;
            if let Some(rest) = &mut self.rest {
                slope.store(&mut rest.slope[i..]);
            }
            for a in 0..k {
                let x = gather::<V>(self.logits, self.ld, i, a);
                let taken = gather::<V>(self.action, k, i, a);
                let p = x.sigmoid();
                let d = slope * (taken - p) + ent * (x * (p * (one - p)));
                scatter(d, self.d_logits, self.ld, i, a);
            }
            policy += loss;
            entropies += entropy;
            i += V::LANES;
        }
        let LossSums { policy: p, entropy: e, kl: d, clipped: c } = sums;
        for (sum, lanes) in [(p, policy), (e, entropies), (d, kl), (c, beyond)] {
            let mut values = [0f32; 16];
            lanes.store(&mut values);
            *sum += values[..V::LANES].iter().map(|x| f64::from(*x)).sum::<f64>() * f64::from(per_sample);
        }
    }
}

impl LaneKernel for Loss<'_> {
    type Out = LossSums;
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) -> LossSums {
        let n = self.old.len();
        let whole = n / V::LANES * V::LANES;
        let mut sums = LossSums::default();
        self.span::<V>(0, whole, &mut sums);
        self.span::<f32>(whole, n, &mut sums);
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::bernoulli_head::{self, bernoulli_head_cpu};
    use crate::kernels::bernoulli_policy_loss::{
        self as twin, Hyper, bernoulli_policy_loss_cpu, sample_inputs,
    };

    #[test]
    fn samples_are_those_of_the_twin_bit_for_bit() {
        let (envs, first) = (37, 21);
        for (k, greedy) in [(4, false), (6, false), (3, true)] {
            // The twin counts its environments from 0.
            let all = envs + first;
            let logits: Vec<f32> = (0..all * k).map(|i| ((i * 37) % 101) as f32 * 0.06 - 3.0).collect();
            let (mut action, mut logprob) = (vec![0f32; all * k], vec![0f32; all]);
            let spec = bernoulli_head::Spec { r: 1, b: all, a: k };
            let at = bernoulli_head::Args {
                b: all,
                clock: 7,
                greedy,
                logits_off: 0,
                action_off: 0,
                logprob_off: 0,
            };
            bernoulli_head_cpu(&spec, &at, &[[5, 9]], &logits, &mut action, &mut logprob);
            let (mut got, mut got_logprob) = (vec![f32::NAN; envs * k], vec![f32::NAN; envs]);
            Sample {
                key: [5, 9],
                first: first as u32,
                clock: 7,
                greedy,
                logits: &logits[first * k..],
                action: &mut got,
                logprob: &mut got_logprob,
            }
            .run();
            assert_eq!(got, action[first * k..]);
            assert_eq!(got_logprob, logprob[first..]);
            assert!(got.contains(&0.0) && got.contains(&1.0));
        }
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_twin() {
        let (m, a, ld) = (83, 4, 16);
        let hyper = [Hyper { clip_eps: 0.2, ent_coef: 0.01 }];
        let spec = twin::Spec { r: 1, m, a, skip: 0, clip: true };
        let x = sample_inputs(&spec, &hyper, 3);
        let (mut d_want, mut terms) = (vec![0f32; m * a], vec![0f32; m * 4]);
        bernoulli_policy_loss_cpu(
            &spec,
            &hyper,
            &x.logits,
            &x.action,
            &x.scalars,
            &x.stats,
            &mut d_want,
            &mut terms,
        );
        let mut logits = vec![f32::NAN; m * ld];
        logits.chunks_mut(ld).zip(x.logits.chunks(a)).for_each(|(to, from)| to[..a].copy_from_slice(from));
        let (old, advantage): (Vec<f32>, Vec<f32>) = x.scalars.iter().map(|s| (s[0], s[1])).unzip();
        let run = |clip| {
            let mut d = vec![0f32; m * ld];
            let sums = Loss {
                hyper: LossHyper {
                    clip,
                    entropy_coef: 0.01,
                    per_sample: 1.0 / m as f32,
                    mean: x.stats[0][0],
                    inverse: x.stats[0][1],
                },
                logits: &logits,
                ld,
                action: &x.action,
                old: &old,
                advantage: &advantage,
                d_logits: &mut d,
                rest: None,
            }
            .run();
            (sums, d.chunks(ld).flat_map(|row| row[..a].to_vec()).collect::<Vec<f32>>())
        };
        let (sums, d) = run(Some(0.2));
        let mean = |c: usize| terms.iter().skip(c).step_by(4).map(|x| f64::from(*x)).sum::<f64>() / m as f64;
        assert!((sums.policy - mean(0)).abs() < 1e-5 && (sums.entropy - mean(3)).abs() < 1e-5, "{sums:?}");
        assert!(terms.iter().skip(2).step_by(4).any(|outside| *outside == 1.0), "no sample is clipped");
        for (got, want) in d.iter().zip(&d_want) {
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{got} against {want}");
        }
        // Without clipping: −A·d ln π/dx, entropy apart.
        let (_, d) = run(None);
        for (i, s) in x.scalars.iter().enumerate() {
            let adv = (s[1] - x.stats[0][0]) * x.stats[0][1];
            for j in i * a..(i + 1) * a {
                let p = 1.0 / (1.0 + (-x.logits[j]).exp());
                let want = (-adv * (x.action[j] - p) + 0.01 * x.logits[j] * p * (1.0 - p)) / m as f32;
                assert!((d[j] - want).abs() < 1e-6, "{} against {want}", d[j]);
            }
        }
    }
}

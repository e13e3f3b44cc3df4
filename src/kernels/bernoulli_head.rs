//! bernoulli_head: samples A independent Bernoulli variables, π_a = 1 with probability sigmoid(logit_a), and gives
//! logprob = Σ_a π_a·ln σ(x_a) + (1−π_a)·ln σ(−x_a) of what was drawn.
//!
//! The uniform of action a is word a mod 4 of Philox at (draw = a/4, slot = `clock`, environment, stream = action).

use super::common::*;
pub use crate::nets::bernoulli::log_sigmoid;
use crate::num::philox::{Stream, draw};

pub const SHADER: Source = shader!("shaders/", "bernoulli_head");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 0.0,
    rel: 1e-6,
    why: "of sum_a 1 + |logit|: exp and ln to an ulp or two, rounding of the sum",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// B: environments of a replica; the most that will be recorded.
    pub b: usize,
    /// A: actions.
    pub a: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, b: 500, a: 4 };

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Environments of each replica in this dispatch, at least 1.
    pub b: usize,
    /// Slot counter: no two dispatches of a training may draw at the same value.
    pub clock: u32,
    /// The more probable side of every variable.
    pub greedy: bool,
    /// Start of the logits `[R, b, A]` inside their buffer.
    pub logits_off: usize,
    /// Start of action `[R, b, A]` inside its buffer.
    pub action_off: usize,
    /// Start of logprob `[R, b]` inside its buffer.
    pub logprob_off: usize,
}

/// The uniform in (0, 1) that action `a` is drawn with.
pub fn uniform<F: Real<Word = u32>>(key: [u32; 2], env: usize, clock: u32, a: usize) -> F {
    F::unit_from_word(draw(key, Stream::Action, env as u32, clock, a as u32 / 4)[a % 4])
}

/// `keys` `[R]` = (seed, replica id); `logits` `[R, b, A]` from `logits_off`; `action` `[R, b, A]` of 0 and 1 from
/// `action_off`; `logprob` `[R, b]` from `logprob_off`.
pub fn bernoulli_head_cpu<F: Real<Elem = F, Word = u32> + PartialOrd>(
    spec: &Spec,
    at: &Args,
    keys: &[[u32; 2]],
    logits: &[F],
    action: &mut [F],
    logprob: &mut [F],
) {
    let &Spec { r, a, .. } = spec;
    let (zero, one) = (F::splat(0.0), F::splat(1.0));
    for n in 0..r * at.b {
        let mut sum = zero;
        for k in 0..a {
            let x = logits[at.logits_off + n * a + k];
            let taken = match at.greedy {
                true => x > zero,
                false => uniform::<F>(keys[n / at.b], n % at.b, at.clock, k) < x.sigmoid(),
            };
            action[at.action_off + n * a + k] = if taken { one } else { zero };
            sum += log_sigmoid(if taken { x } else { -x });
        }
        logprob[at.logprob_off + n] = sum;
    }
}

/// What a dispatch over all B environments must do that draws.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, b, a } = spec;
    Cost::new(r * b * a * (UNIT + SIGMOID + 1 + LOG_SIGMOID + 1), 2 * r + r * b * (2 * a + 1))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("A", spec.a)
}

host! {
    BernoulliHead, BernoulliHeadBound;
    // One Philox block is ten loop iterations.
    fits |gpu, spec| check_trips(gpu, "bernoulli_head", spec.a.div_ceil(4) * 15);
    /// `keys` `[R]`; the others hold whatever the offsets of `record` point into.
    bind |spec| { keys: [u32; 2] = of_len(spec.r), logits: f32, action: f32, logprob: f32 }
}

impl BernoulliHeadBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, b, a } = &self.spec;
        assert!((1..=b).contains(&at.b), "bernoulli_head: {} environments, compiled for 1..={b}", at.b);
        let n = r * at.b;
        let ends = [at.logits_off + n * a, at.action_off + n * a, at.logprob_off + n];
        for (end, len) in ends.iter().zip(&[self.logits, self.action, self.logprob]) {
            assert!(end <= len, "bernoulli_head: {at:?} leaves a buffer of {len} elements");
        }
        let [b, logits_off, action_off, logprob_off] =
            [at.b, at.logits_off, at.action_off, at.logprob_off].map(|v| v as u32);
        let imm = [b, at.clock, u32::from(at.greedy), logits_off, action_off, logprob_off];
        self.bound.record(pass, fold_groups(n, WG), &imm);
    }
}

/// Shader against f64 twin, sampled and greedy. Logits keep every probability 1e-6 away from its uniform, where f32 and
/// f64 may rightly decide differently.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, b, a } = spec;
    let mut source = Sample::new(seed, 0);
    let keys = source.keys(r);
    let at = Args { b, clock: 77, greedy: false, logits_off: 1, action_off: 2, logprob_off: 3 };
    let mut logits = source.normal(at.logits_off + r * b * a, 2.0);
    for (i, x) in logits[at.logits_off..].iter_mut().enumerate() {
        let (n, k) = (i / a, i % a);
        let u: f64 = uniform(keys[n / b], n % b, at.clock, k);
        while (f64::from(*x).sigmoid() - u).abs() < 1e-6 || x.abs() < 1e-6 {
            *x += 0.01;
        }
    }
    let logits64 = widen(&logits);
    let mut rows = Vec::new();
    for greedy in [false, true] {
        let at = Args { greedy, ..at };
        let (mut action, mut logprob) =
            (vec![0.0; at.action_off + r * b * a], vec![0.0; at.logprob_off + r * b]);
        bernoulli_head_cpu(spec, &at, &keys, &logits64, &mut action, &mut logprob);
        bind!(gpu, bound = BernoulliHead::new(gpu, spec)?; keys_buf = keys, logits_buf = logits,
            action_buf[action.len()], logprob_buf[logprob.len()]);
        gpu.write(&action_buf, &[0.0; 2]);
        gpu.write(&logprob_buf, &[0.0; 3]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let mut scale = vec![0.0; logprob.len()];
        for (i, x) in logits64[at.logits_off..].iter().enumerate() {
            scale[at.logprob_off + i / a] += 1.0 + x.abs();
        }
        let how = if greedy { "greedy" } else { "sampled" };
        let want: Vec<f32> = action.iter().map(|x| *x as f32).collect();
        rows.push(compare_words(&format!("{how} action"), &gpu.read(&action_buf)?, &want));
        rows.push(compare_scaled(&format!("{how} logprob"), &gpu.read(&logprob_buf)?, &logprob, &scale, TOL));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_have_the_probabilities_of_the_policy() {
        let (b, a) = (20_000, 5);
        let spec = Spec { r: 1, b, a };
        let at = Args { b, clock: 0, greedy: false, logits_off: 0, action_off: 0, logprob_off: 0 };
        let x = [-3.0, -1.0, 0.0, 0.7, 4.0];
        let logits: Vec<f64> = x.repeat(b);
        let (mut action, mut logprob) = (vec![0.0; b * a], vec![0.0; b]);
        bernoulli_head_cpu(&spec, &at, &[[4, 4]], &logits, &mut action, &mut logprob);
        for k in 0..a {
            let share = action.iter().skip(k).step_by(a).sum::<f64>() / b as f64;
            let p = 1.0 / (1.0 + (-x[k]).exp());
            // Five standard errors.
            let allowed = 5.0 * (p * (1.0 - p) / b as f64).sqrt();
            assert!((share - p).abs() < allowed, "logit {}: {share} against {p}", x[k]);
        }
        // e^logprob of the first environment is the product of its sides.
        let product: f64 = (0..a)
            .map(|k| {
                let p = 1.0 / (1.0 + (-x[k]).exp());
                if action[k] == 1.0 { p } else { 1.0 - p }
            })
            .product();
        assert!((logprob[0].exp() / product - 1.0).abs() < 1e-12);
    }
}

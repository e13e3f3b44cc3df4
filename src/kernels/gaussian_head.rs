//! gaussian_head: samples a diagonal Gaussian policy with state-independent standard deviation, action = mean +
//! exp(log_std)·z, and gives logprob = Σ_a −z²/2 − log_std − ln(2π)/2 of what was drawn.
//!
//! z comes from Philox at (draw = a/4, slot = `clock`, environment, stream = action): words (0, 1) of a block give z
//! for a mod 4 = 0, 1 by Box–Muller, words (2, 3) for 2, 3. An environment's actions do not depend on how many others
//! run beside it. Behind another head, draws begin after that head's, and its log-probability is the sum's first term.

use super::common::*;
use crate::num::philox::{Stream, draw};

pub const SHADER: Source = shader!("shaders/", "gaussian_head");

pub const WG: usize = 64;

pub const TOL_ACTION: Tol = Tol {
    abs: 0.0,
    rel: 2e-6,
    why: "of |mean| + std (1 + |z| + 0.05/radius): Box-Muller to 5e-7 absolute, exp to 1.2 ulp; u1 >= 1/2 needs 25 bits, which moves a radius by 3e-8/radius",
};

pub const TOL_LOGPROB: Tol = Tol {
    abs: 0.0,
    rel: 2e-6,
    why: "of sum_a z^2 + |z| (1 + 0.05/radius) + |log_std| + 1: an error dz moves z^2/2 by z dz (dz as for the action); rounding of the sum",
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
    /// P: parameters of a replica.
    pub p: usize,
    /// Draws of a slot that another head took, to whose log-probabilities these are added; 0: there is none.
    pub behind: usize,
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Environments of each replica in this dispatch, at least 1.
    pub b: usize,
    /// Slot counter: no two dispatches of a training may draw at the same value.
    pub clock: u32,
    /// `log_std` `[A]` inside a replica's parameters.
    pub ls_off: usize,
    /// No noise: action = mean, logprob that of z = 0.
    pub greedy: bool,
    /// Start of action `[R, b, A]` inside its buffer, such as a slot of a rollout.
    pub action_off: usize,
    /// Start of logprob `[R, b]` inside its buffer.
    pub logprob_off: usize,
}

/// The normals of actions 4·`block` … 4·`block` + 3.
pub(crate) fn four_normals<F: Real<Elem = F, Word = u32>>(
    key: [u32; 2],
    env: usize,
    clock: u32,
    block: usize,
) -> [F; 4] {
    normals_of(draw(key, Stream::Action, env as u32, clock, block as u32))
}

/// `params` `[R, P]` with `log_std` `[A]` at `ls_off`; `keys` `[R]` = (seed, replica id); `mean` `[R, b, A]`; `action`
/// `[R, b, A]` from `action_off`; `logprob` `[R, b]` from `logprob_off`.
pub fn gaussian_head_cpu<F: Real<Elem = F, Word = u32>>(
    spec: &Spec,
    at: &Args,
    params: &[F],
    keys: &[[u32; 2]],
    mean: &[F],
    action: &mut [F],
    logprob: &mut [F],
) {
    let &Spec { r, a, p, behind, .. } = spec;
    for n in 0..r * at.b {
        let (replica, env) = (n / at.b, n % at.b);
        let log_std = &params[replica * p + at.ls_off..][..a];
        let mean = &mean[n * a..][..a];
        let action = &mut action[at.action_off + n * a..][..a];
        let logprob = &mut logprob[at.logprob_off + n];
        let mut sum = if behind > 0 { *logprob } else { F::splat(0.0) };
        for (block, log_std) in log_std.chunks(4).enumerate() {
            let z = if at.greedy {
                [F::splat(0.0); 4]
            } else {
                four_normals(keys[replica], env, at.clock, behind + block)
            };
            for (j, (&log_std, z)) in log_std.iter().zip(z).enumerate() {
                action[4 * block + j] = mean[4 * block + j] + log_std.exp() * z;
                sum += F::splat(-0.5) * (z * z) - log_std - F::splat(0.918_938_533_204_672_7);
            }
        }
        *logprob = sum;
    }
}

/// What a dispatch over all B environments must do that draws.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, b, a, behind, .. } = spec;
    let each = a.div_ceil(4) * 2 * NORMAL_PAIR + a * (EXP + 2 + 5);
    Cost::new(r * b * each, r * (a + 2) + r * b * (2 * a + 1 + usize::from(behind > 0)))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("P", spec.p).u32("A", spec.a).u32("BEHIND", spec.behind)
}

host! {
    GaussianHead, GaussianHeadBound;
    // One Philox block is ten loop iterations.
    fits |gpu, spec| check_trips(gpu, "gaussian_head", spec.a.div_ceil(4) * 15);
    /// `params` `[R, P]`, `keys` `[R]`, `mean` `[R, B, A]`; `action` and `logprob` hold whatever the offsets of
    /// `record` point into.
    bind |spec| {
        params: f32 = of_len(spec.r * spec.p),
        keys: [u32; 2] = of_len(spec.r),
        mean: f32,
        action: f32,
        logprob: f32,
    }
}

impl GaussianHeadBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, b, a, p, .. } = &self.spec;
        assert!((1..=b).contains(&at.b), "gaussian_head: {} environments, compiled for 1..={b}", at.b);
        let n = r * at.b;
        assert!(at.ls_off + a <= p && n * a <= self.mean, "gaussian_head: {at:?} leaves params or mean");
        assert_inside("gaussian_head", "action", at.action_off, n * a, self.action);
        assert_inside("gaussian_head", "logprob", at.logprob_off, n, self.logprob);
        let [b, ls_off, action_off, logprob_off] =
            [at.b, at.ls_off, at.action_off, at.logprob_off].map(|v| v as u32);
        let imm = [b, at.clock, ls_off, u32::from(at.greedy), action_off, logprob_off];
        self.bound.record(pass, fold_groups(n, WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs and the same random words, sampled and greedy.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, b, a, p, behind } = spec;
    let params = normal(seed, 0, r * p, 0.5);
    let mean = normal(seed, 1, r * b * a, 1.0);
    let keys: Vec<[u32; 2]> = (0..r as u32).map(|id| [seed, 100 + id]).collect();
    let (params64, mean64) = (widen(&params), widen(&mean));
    let mut rows = Vec::new();
    for greedy in [false, true] {
        let at = Args { b, clock: 77, ls_off: p - a, greedy, action_off: 2, logprob_off: 3 };
        let (action_len, logprob_len) = (at.action_off + r * b * a, at.logprob_off + r * b);
        // What stands where nothing is written is 0, and what another head left is not.
        let mut before = vec![0f32; logprob_len];
        before[at.logprob_off..].fill(if behind > 0 { -1.5 } else { 0.0 });
        let (mut action, mut logprob) = (vec![0.0; action_len], widen(&before));
        gaussian_head_cpu(spec, &at, &params64, &keys, &mean64, &mut action, &mut logprob);
        let (mut action_scale, mut logprob_scale) = (vec![0.0; action_len], vec![0.0; logprob_len]);
        for n in 0..r * b {
            for k in 0..a {
                let log_std = params64[n / b * p + at.ls_off + k];
                let z = four_normals::<f64>(keys[n / b], n % b, at.clock, behind + k / 4);
                let (z, radius) = match greedy {
                    true => (0.0, f64::INFINITY),
                    false => (z[k % 4].abs(), z[k % 4].hypot(z[(k % 4) ^ 1])),
                };
                action_scale[at.action_off + n * a + k] =
                    mean64[n * a + k].abs() + log_std.exp() * (1.0 + z + 0.05 / radius);
                logprob_scale[at.logprob_off + n] += z * z + z * (1.0 + 0.05 / radius) + log_std.abs() + 1.0;
            }
        }
        bind!(gpu, bound = GaussianHead::new(gpu, spec)?; params_buf = params, keys_buf = keys, mean_buf = mean,
            action_buf[action_len], logprob_buf[logprob_len]);
        gpu.write(&action_buf, &[0.0; 2]);
        let written = if behind > 0 { logprob_len } else { at.logprob_off };
        gpu.write(&logprob_buf, &before[..written]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let how = if greedy { "greedy" } else { "sampled" };
        let (got_action, got_logprob) = (gpu.read(&action_buf)?, gpu.read(&logprob_buf)?);
        let scales = (&action_scale, &logprob_scale);
        rows.push(compare_scaled(&format!("{how} action"), &got_action, &action, scales.0, TOL_ACTION));
        rows.push(compare_scaled(&format!("{how} logprob"), &got_logprob, &logprob, scales.1, TOL_LOGPROB));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprob_is_the_density_of_the_action() {
        let spec = Spec { r: 2, b: 50, a: 6, p: 8, behind: 0 };
        let at = Args { b: 50, clock: 3, ls_off: 1, greedy: false, action_off: 0, logprob_off: 0 };
        let params = widen(&normal(1, 0, 16, 0.5));
        let mean = widen(&normal(1, 1, 600, 1.0));
        let (mut action, mut logprob) = (vec![0.0; 600], vec![0.0; 100]);
        gaussian_head_cpu(&spec, &at, &params, &[[9, 0], [9, 1]], &mean, &mut action, &mut logprob);
        for n in 0..100 {
            let density: f64 = (0..6)
                .map(|k| {
                    let std = params[n / 50 * 8 + 1 + k].exp();
                    let d = (action[n * 6 + k] - mean[n * 6 + k]) / std;
                    (-0.5 * d * d).exp() / (std * (2.0 * std::f64::consts::PI).sqrt())
                })
                .product();
            assert!(
                (density.ln() - logprob[n]).abs() < 1e-10,
                "env {n}: {} against {}",
                logprob[n],
                density.ln()
            );
        }
    }

    #[test]
    fn actions_have_the_mean_and_variance_of_the_policy() {
        let (b, a) = (20_000, 5);
        let spec = Spec { r: 1, b, a, p: a, behind: 0 };
        let at = Args { b, clock: 0, ls_off: 0, greedy: false, action_off: 0, logprob_off: 0 };
        let log_std = [-1.0, -0.5, 0.0, 0.5, 1.0];
        let (mut action, mut logprob) = (vec![0.0; b * a], vec![0.0; b]);
        gaussian_head_cpu::<f64>(
            &spec,
            &at,
            &log_std,
            &[[4, 4]],
            &vec![2.0; b * a],
            &mut action,
            &mut logprob,
        );
        for k in 0..a {
            let z: Vec<f64> = action.chunks(a).map(|row| (row[k] - 2.0) / log_std[k].exp()).collect();
            let mean = z.iter().sum::<f64>() / b as f64;
            let var = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / b as f64;
            // Five standard errors: 5/√B and 5·√(2/B).
            assert!(
                mean.abs() < 0.036 && (var - 1.0).abs() < 0.05,
                "action {k}: mean {mean}, variance {var}"
            );
            // Actions of one environment are independent.
            if k > 0 {
                let c =
                    action.chunks(a).map(|row| (row[k] - 2.0) * (row[k - 1] - 2.0)).sum::<f64>() / b as f64;
                let c = c / (log_std[k] + log_std[k - 1]).exp();
                assert!(c.abs() < 0.036, "actions {k} and {} correlate by {c}", k - 1);
            }
        }
    }
}

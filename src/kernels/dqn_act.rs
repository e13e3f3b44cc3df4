//! dqn_act: every vehicle's choice, greedy in its own Q-values or, with probability ε, uniform; and the raw actions
//! that the choices mean.
//!
//! Each vehicle explores by itself, so that most joint actions of a small ε differ from the greedy one in one vehicle.
//! Words of Philox at (draw = vehicle, slot = `clock`, environment, stream = explore): the first, cut to 24 bits,
//! decides, the second chooses. Comparisons and copies:
//! exact on every device.

use super::common::*;
use crate::nets::codebook::Codebook;
use crate::num::philox::{Stream, draw};

pub const SHADER: Source = shader!("shaders/", "dqn_act");

pub const WG: usize = 64;

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// B: environments of a replica.
    pub b: usize,
    pub codebook: Codebook,
}

/// Choices of three vehicles in each of 500 environments, between 32 beams of `parts`·`width` values at three levels,
/// in three replicas; of `additive` values beams and levels by themselves.
pub fn choices(parts: usize, width: usize, additive: bool) -> Spec {
    let beams = normal(1, 9, 32 * parts * width, 1.0);
    let levels = [0.25f32, 0.5, 1.0].map(f32::ln).to_vec();
    Spec { r: 3, b: 500, codebook: Codebook { factors: 3, parts, width, beams, levels, additive } }
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slot counter: no two dispatches of a training may draw at the same value.
    pub clock: u32,
}

/// ε in units of 2⁻²⁴.
pub fn threshold(epsilon: f64) -> u32 {
    (epsilon * f64::from(1 << 24)).round() as u32
}

/// What a vehicle tries instead of its greedy choice, out of `choices`; `None` where it does not explore.
pub fn explored(
    key: [u32; 2],
    env: u32,
    clock: u32,
    vehicle: u32,
    threshold: u32,
    choices: u32,
) -> Option<u32> {
    if threshold == 0 {
        return None;
    }
    let w = draw(key, Stream::Explore, env, clock, vehicle);
    (w[0] >> 8 < threshold).then(|| ((u64::from(w[1]) * u64::from(choices)) >> 32) as u32)
}

/// `keys` `[R]`; `thresholds` `[R]`, each replica's ε as [`threshold`] gives it, 0: greedy; `q` `[R, B, K·H]`, H =
/// [`Codebook::outputs`]; `choice` `[R, B, K]`, whole numbers; `action` `[R, B, A]`.
pub fn dqn_act_cpu(
    spec: &Spec,
    at: &Args,
    keys: &[[u32; 2]],
    thresholds: &[u32],
    q: &[f32],
    choice: &mut [f32],
    action: &mut [f32],
) {
    let book = &spec.codebook;
    let (k, l, h, a) = (book.factors, book.choices(), book.outputs(), book.actions());
    for (n, choice) in choice.iter_mut().enumerate() {
        let (env, vehicle) = (n / k, n % k);
        let r = env / spec.b;
        let tried =
            explored(keys[r], (env % spec.b) as u32, at.clock, vehicle as u32, thresholds[r], l as u32);
        let c = tried.map_or_else(|| book.greedy(&q[n * h..][..h]), |c| c as usize);
        *choice = c as f32;
        book.decode(vehicle, c, &mut action[env * a..][..a]);
    }
}

/// What a dispatch must do. Where it explores it compares nothing: the operations depend on the data.
pub fn cost(spec: &Spec) -> Cost {
    let book = &spec.codebook;
    let (k, a) = (book.factors, book.actions());
    let each = k * book.outputs() + k + a;
    Cost::moving(3 * spec.r + book.flat().len() + spec.r * spec.b * each)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let book = &spec.codebook;
    Prelude::new()
        .u32("WG", WG)
        .u32("R", spec.r)
        .u32("B", spec.b)
        .u32("K", book.factors)
        .u32("L", book.choices())
        .u32("OUTPUTS", book.outputs())
        .u32("SPLIT", book.split())
        .u32("LEVELS", book.levels.len())
        .u32("BEAMS", book.choices() / book.levels.len())
        .u32("PARTS", book.parts)
        .u32("WIDTH", book.width)
}

host! {
    DqnAct, DqnActBound;
    fits |gpu, spec| check_trips(gpu, "dqn_act", spec.codebook.choices() + spec.codebook.values() + 20);
    /// `keys` and `thresholds` `[R]`, `q` `[R, B, K·H]`, `codebook` as [`Codebook::flat`], `choice` `[R, B, K]`,
    /// `action` `[R, B, A]`.
    bind |Spec { r, b, codebook: book }| {
        keys: [u32; 2] = of_len(*r),
        thresholds: u32 = of_len(*r),
        q: f32 = of_len(r * b * book.factors * book.outputs()),
        codebook: f32 = of_len(book.beams.len() + book.levels.len()),
        choice: f32 = of_len(r * b * book.factors),
        action: f32 = of_len(r * b * book.actions()),
    }
}

impl DqnActBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        self.bound.record(pass, fold_groups(self.choice, WG), &[at.clock]);
    }
}

/// Shader against twin, bits of every number: greedy, mixed (each replica by its own ε), and always exploring. Q-values
/// have few levels, so that ties occur.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (r, b, book) = (spec.r, spec.b, &spec.codebook);
    let (k, h, a) = (book.factors, book.outputs(), book.actions());
    let mut draw = Sample::new(seed, 0);
    let keys = draw.keys(r);
    let q: Vec<f32> = (0..r * b * k * h).map(|_| (draw.word() >> 24) as f32 - 128.0).collect();
    bind!(gpu, bound = DqnAct::new(gpu, spec)?; keys_buf = keys, thresholds[r], q_buf = q, codebook = book.flat(),
        choice[r * b * k], action[r * b * a]);
    let mut rows = Vec::new();
    for (of, epsilon) in
        [("greedy", [0.0; 3]), ("epsilon = 0.3, 0.1, 0", [0.3, 0.1, 0.0]), ("always exploring", [1.0; 3])]
    {
        let at = Args { clock: 9 };
        let each: Vec<u32> = (0..r).map(|r| threshold(epsilon[r % 3])).collect();
        let (mut want_choice, mut want_action) = (vec![f32::NAN; r * b * k], vec![f32::NAN; r * b * a]);
        dqn_act_cpu(spec, &at, &keys, &each, &q, &mut want_choice, &mut want_action);
        gpu.write(&thresholds, &each);
        gpu.run(|pass| bound.record(pass, &at))?;
        let name = |what: &str| format!("{what}, {of}");
        rows.push(compare_words(&name("choice"), &gpu.read(&choice)?, &want_choice));
        rows.push(compare_words(&name("action"), &gpu.read(&action)?, &want_action));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_explore_with_probability_epsilon_each_by_itself() {
        let (envs, l, t) = (20_000u32, 96, threshold(0.25));
        let mut count = [0u32; 4];
        let mut tried = vec![0u32; l as usize];
        for env in 0..envs {
            let who = [0, 1, 2].map(|k| explored([4, 5], env, 3, k, t, l));
            count[who.iter().flatten().count()] += 1;
            who.iter().flatten().for_each(|c| tried[*c as usize] += 1);
        }
        // Binomial(3, 1/4); standard errors below 71.
        for (n, share) in [27.0, 27.0, 9.0, 1.0].iter().enumerate() {
            let expected = f64::from(envs) * share / 64.0;
            assert!((f64::from(count[n]) - expected).abs() < 350.0, "{n} explore: {count:?}");
        }
        let expected = 0.75 * f64::from(envs) / f64::from(l);
        let chi2: f64 = tried.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        // 95 degrees of freedom: standard deviation 14.
        assert!((45.0..165.0).contains(&chi2), "χ² = {chi2}");
    }

    #[test]
    fn epsilon_0_and_1_are_never_and_always() {
        assert!((0..1000).all(|env| explored([1, 1], env, 0, 0, threshold(0.0), 96).is_none()));
        assert!((0..1000).all(|env| explored([1, 1], env, 0, 0, threshold(1.0), 96).is_some_and(|c| c < 96)));
    }
}

//! misac_accumulate: what an evaluation keeps of each episode, environment by environment: sums over slots of the
//! step's metrics and of the frames, over judged slots and vehicles of what the beams reached, and the largest age and
//! modulus error.

use super::misac_batch::{self, Spec as BatchSpec, WG as BATCH_WG};
use crate::kernels::common::*;
use crate::kernels::{bind, constants, host, shader};
use crate::tasks::misac::physics::{gain_row, metric};

pub use super::misac_batch::Spec;

pub const SHADER: Source = shader!("shaders/misac/", "misac_accumulate", super::SHARED);

pub const WG: usize = BATCH_WG;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of the sum of the terms' magnitudes: K + 1 additions a slot over a few slots, 6e-8 each",
};

/// Rows of what is kept of an episode.
pub mod episode_row {
    /// Sums over slots of the rows of [`crate::tasks::misac::physics::metric`].
    pub const ENERGY: usize = 0;
    pub const REWARD: usize = 1;
    pub const L_BMP: usize = 2;
    pub const OVER_GAMMA: usize = 3;
    pub const ANGLE_MAE: usize = 4;
    /// The largest age of any slot.
    pub const AGE_MAX: usize = 5;
    /// Camera frames of all vehicles and slots.
    pub const FRAMES: usize = 6;
    /// Sums over judged slots and vehicles of the rows of [`crate::tasks::misac::physics::gain_row`].
    pub const GAIN: usize = 7;
    pub const MATCHED: usize = 8;
    pub const ESTIMATE: usize = 9;
    pub const TRUTH: usize = 10;
    pub const RATE: usize = 11;
    pub const POWER: usize = 12;
    /// The largest modulus error of any beam.
    pub const MODULUS_ERROR: usize = 13;
    /// Slots that leave an age beyond A_max.
    pub const OVER_AGE: usize = 14;
    pub const ROWS: usize = 15;
}

/// Where the summed rows of a step's metrics and of its gains go.
const OF_STEP: [(usize, usize); 6] = [
    (episode_row::ENERGY, metric::ENERGY),
    (episode_row::REWARD, metric::REWARD),
    (episode_row::L_BMP, metric::L_BMP),
    (episode_row::OVER_GAMMA, metric::OVER_GAMMA),
    (episode_row::ANGLE_MAE, metric::ANGLE_MAE),
    (episode_row::OVER_AGE, metric::OVER_AGE),
];
const OF_BEAMS: [(usize, usize); 6] = [
    (episode_row::GAIN, gain_row::GAIN),
    (episode_row::MATCHED, gain_row::MATCHED),
    (episode_row::ESTIMATE, gain_row::ESTIMATE),
    (episode_row::TRUTH, gain_row::TRUTH),
    (episode_row::RATE, gain_row::RATE),
    (episode_row::POWER, gain_row::POWER),
];

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// The slot starts the episode, and must be judged: what was kept before counts as 0.
    pub first: bool,
    /// The beams of this slot were judged: `gains` are its.
    pub judged: bool,
}

/// Elements of `episode` `[R, EPISODE_ROWS, B]`.
pub fn episode_len(spec: &Spec) -> usize {
    spec.r * episode_row::ROWS * spec.b
}

/// `metrics` `[R, METRIC_ROWS, B]`, `action` `[R, B, K]` of 0 and 1, `gains` `[R, GAIN_ROWS, B, K]` (read if judged),
/// `episode` `[R, EPISODE_ROWS, B]`.
pub fn misac_accumulate_cpu<F: Scalar>(
    spec: &Spec,
    at: &Args,
    metrics: &[F],
    action: &[F],
    gains: &[F],
    episode: &mut [F],
) {
    let (b, k, zero) = (spec.b, spec.task.vehicles, F::splat(0.0));
    for n in 0..spec.r * b {
        let (r, env) = (n / b, n % b);
        let place = |row: usize| (r * episode_row::ROWS + row) * b + env;
        let of_step = |row: usize| metrics[(r * metric::ROWS + row) * b + env];
        let of_beams = |row: usize| &gains[((r * gain_row::ROWS + row) * b + env) * k..][..k];
        let mut put = |row: usize, next: &dyn Fn(F) -> F| {
            let before = if at.first { zero } else { episode[place(row)] };
            episode[place(row)] = next(before);
        };
        let sum = |x: &[F]| x.iter().fold(zero, |sum, x| sum + *x);
        for (to, from) in OF_STEP {
            put(to, &|before| before + of_step(from));
        }
        put(episode_row::AGE_MAX, &|before| before.max(of_step(metric::AGE_MAX)));
        put(episode_row::FRAMES, &|before| before + sum(&action[n * k..][..k]));
        if at.judged {
            for (to, from) in OF_BEAMS {
                put(to, &|before| before + sum(of_beams(from)));
            }
            let worst = of_beams(gain_row::MODULUS_ERROR).iter().fold(zero, |worst, x| worst.max(*x));
            put(episode_row::MODULUS_ERROR, &|before| before.max(worst));
        }
    }
}

/// Of a judged slot that is not an episode's first; the sums over K vehicles are additions like the others.
pub fn cost(spec: &Spec) -> Cost {
    let (envs, k) = (spec.r * spec.b, spec.task.vehicles);
    let one = OF_STEP.len() + 1 + (1 + OF_BEAMS.len() + 1) * (k + 1);
    Cost::new(envs * one, envs * (OF_STEP.len() + 1 + k + (OF_BEAMS.len() + 1) * k + 2 * episode_row::ROWS))
}

pub fn prelude(spec: &Spec) -> Prelude {
    let metrics = misac_batch::with_metrics(misac_batch::constants(spec));
    let gains = constants!(metrics, "GAIN", gain_row: ROWS, GAIN, MATCHED, ESTIMATE, TRUTH, RATE, POWER, MODULUS_ERROR);
    constants!(gains, "EPISODE", episode_row: ROWS, ENERGY, REWARD, L_BMP, OVER_GAMMA, ANGLE_MAE, AGE_MAX, FRAMES, GAIN,
        MATCHED, ESTIMATE, TRUTH, RATE, POWER, MODULUS_ERROR, OVER_AGE)
}

host! {
    MisacAccumulate, MisacAccumulateBound;
    /// `metrics` `[R, METRIC_ROWS, B]`, `action` `[R, B, K]`, `gains` `[R, GAIN_ROWS, B, K]`, `episode`
    /// `[R, EPISODE_ROWS, B]`.
    bind |spec| {
        metrics: f32 = of_len(spec.r * metric::ROWS * spec.b),
        action: f32 = of_len(spec.action_len()),
        gains: f32 = of_len(gain_row::ROWS * spec.action_len()),
        episode: f32 = of_len(episode_len(spec)),
    }
}

impl MisacAccumulateBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        assert!(at.judged || !at.first, "misac_accumulate: the first slot of an episode is judged");
        let imm = [u32::from(at.first), u32::from(at.judged)];
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.b, WG), &imm);
    }
}

/// Shader against f64 twin over a few slots, of which some are judged, and on lavapipe against the bits of the f32
/// twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let BatchSpec { r, b, .. } = *spec;
    let mut u = uniforms(seed, 7);
    let (metrics_len, gains_len) = (r * metric::ROWS * b, gain_row::ROWS * spec.action_len());
    bind!(gpu, bound = MisacAccumulate::new(gpu, spec)?; metrics_buf[metrics_len], action_buf[spec.action_len()],
        gains_buf[gains_len], episode[episode_len(spec)]);
    // What lies there before the first slot must not matter.
    let (mut want, mut scale) = (vec![f64::NAN; episode_len(spec)], vec![f64::NAN; episode_len(spec)]);
    let mut twin = vec![f32::NAN; episode_len(spec)];
    for slot in 0..5 {
        let at = Args { first: slot == 0, judged: slot % 2 == 0 };
        let metrics: Vec<f32> = (0..metrics_len).map(|_| (80.0 * u() - 40.0) as f32).collect();
        let action: Vec<f32> = (0..spec.action_len()).map(|_| f32::from(u8::from(u() < 0.4))).collect();
        let gains: Vec<f32> = (0..gains_len).map(|_| (64.0 * u()) as f32).collect();
        let (metrics64, action64, gains64) = (widen(&metrics), widen(&action), widen(&gains));
        misac_accumulate_cpu(spec, &at, &metrics64, &action64, &gains64, &mut want);
        misac_accumulate_cpu(spec, &at, &metrics, &action, &gains, &mut twin);
        let magnitudes = magnitudes(&metrics64);
        misac_accumulate_cpu(spec, &at, &magnitudes, &action64, &gains64, &mut scale);
        gpu.write(&metrics_buf, &metrics);
        gpu.write(&action_buf, &action);
        gpu.write(&gains_buf, &gains);
        gpu.run(|pass| bound.record(pass, &at))?;
    }
    let got = gpu.read(&episode)?;
    Ok(compare_twins(gpu, "episode", &got, [&want, &scale], TOL, &twin))
}

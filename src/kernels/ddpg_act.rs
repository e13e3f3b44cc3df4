//! ddpg_act: actions of a deterministic policy, scale·tanh(z), with Gaussian exploration noise, held in [−scale,
//! scale].
//!
//! Noise comes from Philox at (draw = a/4, slot = `clock`, environment, stream = explore): words (0, 1) of a block give
//! the normals of a mod 4 = 0, 1 by Box–Muller, words (2, 3) those of 2, 3. Without noise nothing is drawn.

use super::common::*;
use crate::num::philox::{Stream, draw};

pub const SHADER: Source = shader!("shaders/", "ddpg_act");

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 0.0,
    rel: 2e-6,
    why: "of scale + noise (1 + |normal| + 0.05/radius): tanh to 1.3 ulp, Box-Muller to 5e-7 absolute; u1 >= 1/2 needs 25 bits, which moves a radius by 3e-8/radius",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// B: environments of a replica.
    pub b: usize,
    /// A: raw actions.
    pub a: usize,
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Slot counter: no two dispatches of a training may draw at the same value.
    pub clock: u32,
    pub scale: f32,
}

/// The normals of actions 4·`block` … 4·`block` + 3.
fn four_normals<F: Real<Elem = F, Word = u32>>(key: [u32; 2], env: u32, clock: u32, block: u32) -> [F; 4] {
    normals_of(draw(key, Stream::Explore, env, clock, block))
}

/// One environment: outputs `z` `[A]` of the network to `action` `[A]`.
pub fn act<F: Real<Elem = F, Word = u32, Mask = bool>>(
    key: [u32; 2],
    env: u32,
    clock: u32,
    scale: F,
    noise: F,
    z: &[F],
    action: &mut [F],
) {
    let noisy = F::splat(0.0).lt(noise);
    for (block, (z, action)) in z.chunks(4).zip(action.chunks_mut(4)).enumerate() {
        let n = if noisy { four_normals(key, env, clock, block as u32) } else { [F::splat(0.0); 4] };
        for ((&z, action), n) in z.iter().zip(action).zip(n) {
            *action = (scale * z.tanh() + noise * n).max(-scale).min(scale);
        }
    }
}

/// `keys` `[R]`; `noise` `[R]`, standard deviations of the noise, 0: none; `z` `[R, B, A]`; `action` `[R, B, A]`.
pub fn ddpg_act_cpu<F: Real<Elem = F, Word = u32, Mask = bool>>(
    spec: &Spec,
    at: &Args,
    keys: &[[u32; 2]],
    noise: &[F],
    z: &[F],
    action: &mut [F],
) {
    let scale = F::splat(at.scale.into());
    for (n, (z, action)) in z.chunks_exact(spec.a).zip(action.chunks_exact_mut(spec.a)).enumerate() {
        let r = n / spec.b;
        act(keys[r], (n % spec.b) as u32, at.clock, scale, noise[r], z, action);
    }
}

/// What a dispatch must do that draws.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, b, a } = spec;
    let each = a.div_ceil(4) * 2 * NORMAL_PAIR + a * (TANH + 5);
    Cost::new(r * b * each, 3 * r + 2 * r * b * a)
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("R", spec.r).u32("B", spec.b).u32("A", spec.a)
}

host! {
    DdpgAct, DdpgActBound;
    // One Philox block is ten loop iterations.
    fits |gpu, spec| check_trips(gpu, "ddpg_act", spec.a.div_ceil(4) * 15);
    /// Shapes as in [`ddpg_act_cpu`].
    bind |&Spec { r, b, a }| {
        keys: [u32; 2] = of_len(r),
        noise: f32 = of_len(r),
        z: f32 = of_len(r * b * a),
        action: f32 = of_len(r * b * a),
    }
}

impl DdpgActBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let imm = [at.clock, at.scale.to_bits()];
        self.bound.record(pass, fold_groups(self.spec.r * self.spec.b, WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs and the same random words, exploring (each replica by its own noise,
/// the third by none) and not.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, b, a } = spec;
    let z = normal(seed, 0, r * b * a, 1.5);
    let keys = Sample::new(seed, 1).keys(r);
    let z64 = widen(&z);
    bind!(gpu, bound = DdpgAct::new(gpu, spec)?; keys_buf = keys, deviations[r], z, action[r * b * a]);
    let mut rows = Vec::new();
    let exploring: Vec<f32> = (0..r).map(|r| [0.7, 0.2, 0.0][r % 3]).collect();
    for (name, noise) in [("exploring", exploring), ("without noise", vec![0.0; r])] {
        let at = Args { clock: 77, scale: 1.5 };
        let mut want = vec![0.0; r * b * a];
        ddpg_act_cpu(spec, &at, &keys, &widen(&noise), &z64, &mut want);
        let scale: Vec<f64> = (0..r * b * a)
            .map(|i| {
                let (n, k) = (i / a, i % a);
                let z = four_normals::<f64>(keys[n / b], (n % b) as u32, at.clock, (k / 4) as u32);
                let (z, radius) = (z[k % 4].abs(), z[k % 4].hypot(z[(k % 4) ^ 1]));
                1.5 + f64::from(noise[n / b]) * (1.0 + z + 0.05 / radius)
            })
            .collect();
        gpu.write(&deviations, &noise);
        gpu.run(|pass| bound.record(pass, &at))?;
        rows.push(compare_scaled(name, &gpu.read(&action)?, &want, &scale, TOL));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_its_deviation_and_stays_inside() {
        let (b, a) = (20_000, 3);
        let spec = Spec { r: 1, b, a };
        let mut wide = vec![0f64; b * a];
        ddpg_act_cpu(
            &spec,
            &Args { clock: 5, scale: 100.0 },
            &[[1, 2]],
            &[2.0],
            &vec![0.0; b * a],
            &mut wide,
        );
        let (mean, square) = wide.iter().fold((0.0, 0.0), |(m, s), x| (m + x, s + x * x));
        let n = (b * a) as f64;
        // Standard errors: 2/√n = 0.008, and 4·√(2/n) = 0.023 of the variance; five of each.
        assert!((mean / n).abs() < 0.04 && (square / n - 4.0).abs() < 0.12, "{} {}", mean / n, square / n);
        let mut held = wide.clone();
        ddpg_act_cpu(&spec, &Args { clock: 5, scale: 1.5 }, &[[1, 2]], &[2.0], &vec![9.0; b * a], &mut held);
        assert!(held.iter().all(|x| x.abs() <= 1.5) && held.iter().any(|x| *x < 1.0));
    }
}

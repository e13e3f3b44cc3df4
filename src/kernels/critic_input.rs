//! critic_input: what a critic of observation and action sees, row by row: the observation, then the action, either as
//! it is or as the policy makes it, scale·tanh(z).

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "critic_input");

pub const WG: usize = 64;

pub const TOL: Tol = Tol { abs: 1e-7, rel: 5e-7, why: "tanh to 1.3 ulp, one product; copies are exact" };

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica.
    pub m: usize,
    /// O: observations.
    pub o: usize,
    /// A: actions.
    pub a: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, m: 509, o: 12, a: 6 };

/// `obs` `[R, M, O]`; `action` `[R, M, A]`: actions, or with `scale` the outputs z of the policy network; `x`
/// `[R, M, O+A]`.
pub fn critic_input_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    scale: Option<F>,
    obs: &[F],
    action: &[F],
    x: &mut [F],
) {
    let &Spec { o, a, .. } = spec;
    for ((x, obs), action) in x.chunks_exact_mut(o + a).zip(obs.chunks_exact(o)).zip(action.chunks_exact(a)) {
        x[..o].copy_from_slice(obs);
        for (x, &z) in x[o..].iter_mut().zip(action) {
            *x = scale.map_or(z, |scale| scale * z.tanh());
        }
    }
}

/// What a dispatch must do that squashes the actions.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, o, a } = spec;
    Cost::new(r * m * a * (TANH + 1), 2 * r * m * (o + a))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, m, o, a } = spec;
    Prelude::new().u32("WG", WG).u32("R", r).u32("M", m).u32("O", o).u32("A", a)
}

host! {
    CriticInput, CriticInputBound;
    /// Shapes as in [`critic_input_cpu`].
    bind |&Spec { r, m, o, a }| {
        obs: f32 = of_len(r * m * o),
        action: f32 = of_len(r * m * a),
        x: f32 = of_len(r * m * (o + a)),
    }
}

impl CriticInputBound {
    /// `scale` as in [`critic_input_cpu`].
    pub fn record(&self, pass: &mut wgpu::ComputePass, scale: Option<f32>) {
        let Spec { r, m, o, a } = self.spec;
        let imm = [u32::from(scale.is_some()), scale.unwrap_or(1.0).to_bits()];
        self.bound.record(pass, fold_groups(r * m * (o + a), WG), &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs, as it is and through tanh.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, o, a } = spec;
    let (obs, action) = (normal(seed, 0, r * m * o, 1.0), normal(seed, 1, r * m * a, 1.5));
    bind!(gpu, bound = CriticInput::new(gpu, spec)?; obs_buf = obs, action_buf = action, x[r * m * (o + a)]);
    let mut rows = Vec::new();
    for scale in [None, Some(2.5f32)] {
        let mut want = vec![f64::NAN; r * m * (o + a)];
        critic_input_cpu(spec, scale.map(f64::from), &widen(&obs), &widen(&action), &mut want);
        gpu.run(|pass| bound.record(pass, scale))?;
        let name = if scale.is_some() { "x, of the policy" } else { "x, as it is" };
        rows.push(compare(name, &gpu.read(&x)?, &want, TOL));
    }
    Ok(rows)
}

//! expert_mix_backward: gradients of `expert_mix` by both experts' outputs and by the gate.

use super::common::*;
use super::expert_mix::SHARES;
pub use super::expert_mix::{DEFAULT, Spec, prelude};
use super::expert_mix::{pairs, shares};

pub const SHADER: Source = shader!("shaders/", "expert_mix_backward");

pub const WG: usize = super::expert_mix::WG;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2e-6,
    why: "of |dy|, and for the gate of the sum of |dy| times the experts' magnitudes: shares to 5e-7, sums of C terms as random walks of 6e-8 steps",
};

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let rows = spec.r * spec.m;
    Cost::new(rows * (SHARES + 6 * spec.c + 7), rows * (4 + 5 * spec.c))
}

/// `gate` `[R, m]` of z for both experts; `a`, `b`, `dy` `[R, m, C]`; `da`, `db` `[R, m, C]`, `d_gate` `[R, m]`.
#[expect(clippy::too_many_arguments, reason = "the buffers in binding order")]
pub fn expert_mix_backward_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    m: usize,
    gate: &[[F; 2]],
    a: &[F],
    b: &[F],
    dy: &[F],
    da: &mut [F],
    db: &mut [F],
    d_gate: &mut [[F; 2]],
) {
    for (row, (z, d_gate)) in gate.iter().zip(d_gate).take(spec.r * m).enumerate() {
        let g = shares(*z);
        let mut s = [F::splat(0.0); 2];
        for i in row * spec.c..(row + 1) * spec.c {
            da[i] = g[0] * dy[i];
            db[i] = g[1] * dy[i];
            s[0] += dy[i] * a[i];
            s[1] += dy[i] * b[i];
        }
        let mean = g[0] * s[0] + g[1] * s[1];
        *d_gate = [g[0] * (s[0] - mean), g[1] * (s[1] - mean)];
    }
}

host! {
    ExpertMixBackward, ExpertMixBackwardBound;
    fits |gpu, spec| check_trips(gpu, "expert_mix_backward", spec.c);
    /// `gate`, `d_gate` `[R, M, 2]`; the others `[R, M, C]`.
    bind |&Spec { r, m, c }| {
        gate: f32 = of_len(r * m * 2),
        a: f32 = of_len(r * m * c),
        b: f32 = of_len(r * m * c),
        dy: f32 = of_len(r * m * c),
        da: f32 = of_len(r * m * c),
        db: f32 = of_len(r * m * c),
        d_gate: f32 = of_len(r * m * 2),
    }
}

impl ExpertMixBackwardBound {
    /// `m` rows of each replica.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        let Spec { r, m: most, .. } = self.spec;
        assert!((1..=most).contains(&m), "expert_mix_backward: {m} rows, compiled for 1..={most}");
        self.bound.record(pass, fold_groups(r * m, WG), &[m as u32]);
    }
}

/// Shader against f64 twin on the same f32 inputs.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, c } = spec;
    let n = r * m * c;
    let gate = normal(seed, 0, r * m * 2, 3.0);
    let [a, b, dy] = [1, 2, 3].map(|which| normal(seed, which, n, 1.0));
    let [a64, b64, dy64] = [&a, &b, &dy].map(|x| widen(x));
    let (mut da, mut db, mut d_gate) = (vec![f64::NAN; n], vec![f64::NAN; n], vec![[f64::NAN; 2]; r * m]);
    expert_mix_backward_cpu(spec, m, &pairs(&gate), &a64, &b64, &dy64, &mut da, &mut db, &mut d_gate);
    let scale: Vec<f64> = dy64.iter().map(|d| d.abs()).collect();
    let gate_scale: Vec<f64> = (0..2 * r * m)
        .map(|k| (k / 2 * c..(k / 2 + 1) * c).map(|i| dy64[i].abs() * (a64[i].abs() + b64[i].abs())).sum())
        .collect();
    bind!(gpu, bound = ExpertMixBackward::new(gpu, spec)?; gate, a, b, dy, da_buf[n], db_buf[n], d_gate_buf[2 * r * m]);
    gpu.run(|pass| bound.record(pass, m))?;
    Ok(vec![
        compare_scaled("da", &gpu.read(&da_buf)?, &da, &scale, TOL),
        compare_scaled("db", &gpu.read(&db_buf)?, &db, &scale, TOL),
        compare_scaled("d_gate", &gpu.read(&d_gate_buf)?, d_gate.as_flattened(), &gate_scale, TOL),
    ])
}

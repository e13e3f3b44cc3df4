//! column_sum: sums over the rows of a matrix per replica, times a factor: gradients of parameters that all rows share
//! (log_std), means of per-sample quantities.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "column_sum");

pub const WG: usize = 256;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of |scale| sum|x|: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: rows of a replica; the most that will be recorded.
    pub m: usize,
    /// C: columns.
    pub c: usize,
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Rows of each replica in this dispatch, at least 1.
    pub m: usize,
    /// Elements of `out` from one replica to the next.
    pub out_stride: usize,
    /// First element of the C sums within a replica's part of `out`.
    pub out_off: usize,
    pub scale: f32,
}

/// `source` `[R, m, C]`; `out`: element r·out_stride + out_off + c is overwritten.
pub fn column_sum_cpu<F: Real<Elem = F>>(spec: &Spec, at: &Args, source: &[F], out: &mut [F]) {
    let &Spec { r, c, .. } = spec;
    for (r, rows) in source.chunks_exact(at.m * c).take(r).enumerate() {
        let out = &mut out[r * at.out_stride + at.out_off..][..c];
        out.fill(F::splat(0.0));
        for row in rows.chunks_exact(c) {
            out.iter_mut().zip(row).for_each(|(o, &x)| *o += x);
        }
        out.iter_mut().for_each(|o| *o *= F::splat(f64::from(at.scale)));
    }
}

/// Columns of a workgroup: 8 neighbouring f32 are one 32-byte sector of memory; fewer where there are fewer.
fn columns_per_group(c: usize) -> usize {
    c.next_power_of_two().min(8)
}

/// What a dispatch over all M rows must do.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, c } = spec;
    Cost::new(r * c * (m + 1), r * c * (m + 1))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { c, .. } = spec;
    let cb = columns_per_group(c);
    Prelude::new().u32("WG", WG).u32("CB", cb).u32("C", c)
}

host! {
    ColumnSum, ColumnSumBound;
    fits |gpu, &Spec { r, m, c }| {
        let cb = columns_per_group(c);
        check_groups(gpu, "column_sum", &[r, c.div_ceil(cb)])?;
        check_trips(gpu, "column_sum", m.div_ceil(4 * (WG / cb)) + 4 + Reduce::TRIPS)
    };
    /// `source` `[R, M, C]`; `out` holds whatever the offsets of `record` point into.
    bind |_| { source: f32, out: f32 }
}

impl ColumnSumBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, c } = &self.spec;
        assert!((1..=m).contains(&at.m), "column_sum: {} rows, compiled for 1..={m}", at.m);
        assert!(r * at.m * c <= self.source, "column_sum: {at:?} leaves source of {} elements", self.source);
        let end = (r - 1) * at.out_stride + at.out_off + c;
        assert!(end <= self.out, "column_sum: {at:?} leaves out of {} elements", self.out);
        let imm = [at.m as u32, at.out_stride as u32, at.out_off as u32, at.scale.to_bits()];
        self.bound.record(pass, [c.div_ceil(columns_per_group(c)) as u32, r as u32, 1], &imm);
    }
}

/// Shader against f64 twin on the same f32 inputs; 2 elements before and 3 after each replica's sums must stay as they
/// are. In each form of the sum over a workgroup.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    in_each_form(gpu, |gpu| check_form(gpu, spec, seed))
}

fn check_form(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, c } = spec;
    let at = Args { m, out_stride: c + 5, out_off: 2, scale: -0.37 };
    let source = normal(seed, 0, r * m * c, 1.0);
    let source64 = widen(&source);
    let mut before = vec![2.5f32; r * at.out_stride];
    before.chunks_exact_mut(at.out_stride).for_each(|out| out[2..2 + c].fill(f32::NAN));
    let mut want = widen(&before);
    column_sum_cpu(spec, &at, &source64, &mut want);
    let mut scale = vec![0.0; want.len()];
    column_sum_cpu(spec, &at, &magnitudes(&source64), &mut scale);

    bind!(gpu, bound = ColumnSum::new(gpu, spec)?; source, out = before);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("out", &gpu.read(&out)?, &want, &scale, TOL)])
}

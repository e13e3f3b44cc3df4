//! metrics_reduce: sum and sum of squares over the environments of each metric of each replica, in a fixed order.

use super::common::*;

pub const SHADER: Source = shader!("shaders/", "metrics_reduce");

pub const WG: usize = 128;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 2e-6,
    why: "of sum|x| or sum x^2: at most B/128 additions in a row and 7 levels of a tree, whose rounding grows like a random walk",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// Metrics of an environment.
    pub metric_rows: usize,
    /// B: environments of a replica.
    pub b: usize,
}

impl Spec {
    fn rows(&self) -> usize {
        self.r * self.metric_rows
    }
}

/// What may change from one dispatch to the next.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Every value is multiplied by this first: 1, or 1/T for sums over an episode.
    pub scale: f32,
    /// Start of sums `[R, METRIC_ROWS, 2]` inside its buffer, in elements: slot·R·METRIC_ROWS·2 of
    /// `[T, R, METRIC_ROWS, 2]`.
    pub sums_off: usize,
}

/// `metrics` `[R, METRIC_ROWS, B]`, `sums` `[R, METRIC_ROWS, 2]` from `sums_off`: Σx and Σx² over the environments.
pub fn metrics_reduce_cpu<F: Scalar>(spec: &Spec, at: &Args, metrics: &[F], sums: &mut [F]) {
    let zero = F::splat(0.0);
    let scale = F::splat(f64::from(at.scale));
    for (row, x) in metrics.chunks_exact(spec.b).take(spec.rows()).enumerate() {
        let mut partial = [[zero; 2]; WG];
        for (b, &x) in x.iter().enumerate() {
            let x = x * scale;
            partial[b % WG][0] += x;
            partial[b % WG][1] += x * x;
        }
        let mut width = WG / 2;
        while width > 0 {
            for t in 0..width {
                let other = partial[t + width];
                partial[t][0] += other[0];
                partial[t][1] += other[1];
            }
            width /= 2;
        }
        sums[at.sums_off + 2 * row..][..2].copy_from_slice(&partial[0]);
    }
}

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    Cost::new(4 * spec.rows() * spec.b, spec.rows() * (spec.b + 2))
}

pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("ROWS", spec.rows()).u32("B", spec.b)
}

host! {
    MetricsReduce, MetricsReduceBound;
    fits |gpu, spec| check_trips(gpu, "metrics_reduce", spec.b.div_ceil(WG) + Reduce::TRIPS);
    /// `metrics` `[R, METRIC_ROWS, B]`; `sums` holds whatever the offset of `record` points into.
    bind |spec| { metrics: f32 = of_len(spec.rows() * spec.b), sums: f32 }
}

impl MetricsReduceBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let rows = self.spec.rows();
        assert_inside("metrics_reduce", "sums", at.sums_off, 2 * rows, self.sums);
        self.bound.record(pass, fold_groups(rows * WG, WG), &[at.scale.to_bits(), at.sums_off as u32]);
    }
}

/// Shader against f64 twin, and on lavapipe against the bits of the f32 twin, in each form of the sum over a workgroup.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    in_each_form(gpu, |gpu| check_form(gpu, spec, seed))
}

fn check_form(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut u = uniforms(seed, 5);
    // Metrics span decades, and rewards change sign.
    let metrics: Vec<f32> =
        (0..spec.rows() * spec.b).map(|_| ((u() - 0.3) * 10f64.powf(6.0 * u() - 3.0)) as f32).collect();
    let metrics64 = widen(&metrics);
    let mut rows = Vec::new();
    for at in [Args { scale: 1.0, sums_off: 0 }, Args { scale: 0.01, sums_off: 2 * spec.rows() + 1 }] {
        let len = at.sums_off + 2 * spec.rows();
        let (mut want, mut twin, mut scale) = (vec![0f64; len], vec![0f32; len], vec![0f64; len]);
        metrics_reduce_cpu(spec, &at, &metrics64, &mut want);
        metrics_reduce_cpu(spec, &at, &metrics, &mut twin);
        metrics_reduce_cpu(spec, &at, &magnitudes(&metrics64), &mut scale);
        bind!(gpu, bound = MetricsReduce::new(gpu, spec)?; metrics_buf = metrics, sums[len]);
        gpu.write(&sums, &vec![0.0; at.sums_off]);
        gpu.run(|pass| bound.record(pass, &at))?;
        let got = gpu.read(&sums)?;
        let name = format!("sums scaled by {}", at.scale);
        rows.push(compare_scaled(&name, &got, &want, &scale, TOL));
        if gpu.reduce == Reduce::Tree {
            rows.extend(compare_bits(gpu, &name, &got, &twin));
        }
    }
    Ok(rows)
}

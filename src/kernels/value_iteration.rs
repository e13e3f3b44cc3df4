//! value_iteration: sweeps of relative value iteration for the scheduling problem of task misac (paper "rl-h-moe", (3)–(7), (11)) on the device,
//! all (A_max+1)^K joint ages and 2^K decisions of R problems at once; [`solve_gpu`] is [`Schedule::solve`] there.
//!
//! Values are f32, because WGSL has no f64. Every sweep subtracts h(0, …, 0), which keeps them of the size of the largest difference between
//! states (some 100 J), so one sweep rounds by about 1e-5 J: that is the residual that can be reached (measured in `tests/equiv/value_iteration.rs`),
//! against 1e-7 J and less in f64.

use super::compare::{Comparison, Tol, compare_exact, compare_scaled};
use super::cost::{Cost, words_of};
use super::inputs::Sample;
use crate::gpu::{Bound, Buf, Fill, Gpu, GpuError, Kernel, Prelude, fold_groups};
use crate::kernels::compare::compare_bits;
use crate::kernels::inputs::widen;
use crate::kernels::twin::{Scalar, assert_inside, assert_len, check_trips};
use crate::tasks::misac::dp::{Optimum, Schedule};
use crate::tasks::misac::physics::KMAX;

pub const WG: usize = 64;

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of the largest energy and value that are added: a handful of half-ulps of 6e-8",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: problems.
    pub r: usize,
    /// K: vehicles.
    pub k: usize,
    /// A_max, slots.
    pub age_max: usize,
}

pub const DEFAULT: Spec = Spec { r: 3, k: 4, age_max: 10 };

impl Spec {
    /// S = (A_max+1)^K
    pub fn states(&self) -> usize {
        (self.age_max + 1).pow(self.k as u32)
    }
}

/// Energies and limits of a problem, as the kernel reads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Problem {
    pub e_vis_j: f32,
    pub e_recovery_j: f32,
    pub lambda_j: f32,
    pub gamma_misa: f32,
    /// Age after a camera frame, slots.
    pub reset_age: u32,
}

impl From<&Schedule> for Problem {
    fn from(s: &Schedule) -> Problem {
        Problem {
            e_vis_j: s.e_vis_j as f32,
            e_recovery_j: s.e_recovery_j as f32,
            lambda_j: s.lambda_j as f32,
            gamma_misa: s.gamma_misa as f32,
            reset_age: s.t_proc.min(s.age_max) as u32,
        }
    }
}

/// What may change from one dispatch to the next. Offsets are in elements of `values`.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Start of h [R, S].
    pub from_off: usize,
    /// Start of the next h [R, S].
    pub to_off: usize,
    /// Whether `span` is updated.
    pub measure: bool,
}

/// Bits whose order as u32 is the order of the numbers.
pub fn ordered(x: f32) -> u32 {
    let b = x.to_bits();
    if b >> 31 == 1 { !b } else { b | 1 << 31 }
}

/// The number of [`ordered`] bits.
pub fn unordered(b: u32) -> f32 {
    f32::from_bits(if b >> 31 == 1 { b & !(1 << 31) } else { !b })
}

/// `span` before a measured sweep: nothing seen.
pub const NOTHING: [u32; 2] = [u32::MAX, 0];

/// `problems` [R], `misaligned` [R, K, A_max+1] = P_misa (7), `values` h [R, S] from `from_off` and the next from `to_off`, J; `span` [R, 2], in
/// which the bits ([`ordered`]) of the least and largest T h − h are gathered if `measure`.
pub fn value_iteration_cpu<F: Scalar + Into<f64>>(
    spec: &Spec,
    at: &Args,
    problems: &[Problem],
    misaligned: &[F],
    values: &mut [F],
    span: &mut [u32],
) {
    let (k, ages, n) = (spec.k, spec.age_max + 1, spec.states());
    let c = |x: f32| F::splat(f64::from(x));
    for (r, p) in problems.iter().enumerate().take(spec.r) {
        for s in 0..n {
            // Where the state goes without a frame, and what a frame of each vehicle changes of that index.
            let mut back = [0isize; KMAX];
            let (mut older_at, mut sum) = (0isize, F::splat(0.0));
            let (mut rest, mut place) = (s, 1isize);
            for v in 0..k {
                let age = rest % ages;
                rest /= ages;
                sum += misaligned[(r * k + v) * ages + age];
                let older = (age + 1).min(ages - 1) as isize;
                older_at += older * place;
                back[v] = (p.reset_age as isize - older) * place;
                place *= ages as isize;
            }
            let h = |i: isize| values[at.from_off + r * n + i as usize];
            let mut best = h(older_at);
            for d in 1..1u32 << k {
                let moved: isize = (0..k).filter(|v| d >> v & 1 == 1).map(|v| back[v]).sum();
                best = best.min(c(p.e_vis_j) * F::splat(f64::from(d.count_ones())) + h(older_at + moved));
            }
            let excess = (sum * F::splat(1.0 / k as f64) - c(p.gamma_misa)).max(F::splat(0.0));
            let next = (c(p.e_recovery_j) * sum + c(p.lambda_j) * excess) + best;
            let now = h(s as isize);
            if at.measure {
                let change: f64 = (next - now).into();
                let bits = ordered(change as f32);
                span[2 * r] = span[2 * r].min(bits);
                span[2 * r + 1] = span[2 * r + 1].max(bits);
            }
            let origin = h(0);
            values[at.to_off + r * n + s] = (now + next) * F::splat(0.5) - origin;
        }
    }
}

/// What a dispatch must do that measures: sums over vehicles, the best of 2^K decisions, penalty, value, change, mixing.
pub fn cost(spec: &Spec) -> Cost {
    let decisions = (1 << spec.k) - 1;
    let each = spec.k + 3 * decisions + 3 + 4 + 1 + 3;
    let table = spec.r * spec.k * (spec.age_max + 1);
    let states = spec.r * spec.states();
    Cost::new(states * each, spec.r * words_of::<Problem>() + table + 2 * states + 4 * spec.r)
}

pub fn prelude(spec: &Spec) -> Prelude {
    Prelude::new()
        .u32("WG", WG)
        .u32("R", spec.r)
        .u32("K", spec.k)
        .u32("AGES", spec.age_max + 1)
        .u32("S", spec.states())
}

/// The compiled kernel.
pub struct ValueIteration {
    spec: Spec,
    kernel: Kernel,
}

impl ValueIteration {
    pub fn new(gpu: &Gpu, spec: &Spec) -> Result<Self, GpuError> {
        assert!((1..=KMAX).contains(&spec.k), "value_iteration: {} vehicles, at most {KMAX}", spec.k);
        check_trips(gpu, "value_iteration", (1 << spec.k) + spec.k + 8)?;
        Ok(ValueIteration { spec: *spec, kernel: gpu.kernel("value_iteration", &prelude(spec))? })
    }

    /// `problems` [R], `misaligned` [R, K, A_max+1], `span` [R, 2]; `values` holds whatever the offsets of `record` point into.
    pub fn bind(
        &self,
        gpu: &Gpu,
        problems: &Buf<Problem>,
        misaligned: &Buf<f32>,
        values: &Buf<f32>,
        span: &Buf<u32>,
    ) -> ValueIterationBound {
        let spec = self.spec;
        assert_len(problems, spec.r, "[R]", &spec);
        assert_len(misaligned, spec.r * spec.k * (spec.age_max + 1), "[R, K, A_max+1]", &spec);
        assert_len(span, 2 * spec.r, "[R, 2]", &spec);
        let raw = [&problems.raw, &misaligned.raw, &values.raw, &span.raw];
        ValueIterationBound { spec, bound: self.kernel.bind(gpu, &raw), values_len: values.len() }
    }
}

/// The kernel with its buffers.
pub struct ValueIterationBound {
    spec: Spec,
    bound: Bound,
    values_len: usize,
}

impl ValueIterationBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let len = self.spec.r * self.spec.states();
        assert_inside("value_iteration", "values", at.from_off, len, self.values_len);
        assert_inside("value_iteration", "values", at.to_off, len, self.values_len);
        assert!(at.from_off.abs_diff(at.to_off) >= len, "value_iteration: a sweep is not done in place");
        let imm = [at.from_off as u32, at.to_off as u32, u32::from(at.measure)];
        // A workgroup serves one replica: S is rounded up for each.
        let groups = self.spec.r * self.spec.states().div_ceil(WG);
        self.bound.record(pass, fold_groups(groups, 1), &imm);
    }
}

/// P_misa (7) of every vehicle and age, [K, A_max+1].
fn misalignments(s: &Schedule) -> Vec<f32> {
    (0..s.vehicles()).flat_map(|k| (0..=s.age_max).map(move |a| s.misalignment(k, a) as f32)).collect()
}

/// Sweeps between two looks at the span; even, so that the values end where they began.
const SWEEPS: usize = 16;
/// Looks without a lower residual after which it counts as the least that f32 reaches.
const PATIENCE: usize = 8;

/// [`Schedule::solve`] for R problems of one K and A_max on the device: sweeps until every residual is at most `tolerance_j`, or has stopped to
/// fall because of f32 rounding (about 1e-5 J at the task's energies), or at least `most` sweeps are done. The residual is the device's
/// own figure, so it is itself only good to that rounding. Errors if the device cannot hold 2·R·(A_max+1)^K values in one buffer.
pub fn solve_gpu(
    gpu: &Gpu,
    problems: &[Schedule],
    tolerance_j: f64,
    most: usize,
) -> Result<Vec<Optimum>, GpuError> {
    let Some(first) = problems.first() else { return Ok(Vec::new()) };
    let spec = Spec { r: problems.len(), k: first.vehicles(), age_max: first.age_max };
    assert!(
        problems.iter().all(|s| s.vehicles() == spec.k && s.age_max == spec.age_max),
        "the problems of one solution have one number of vehicles and one A_max"
    );
    let n = spec.states();
    let values = gpu.alloc::<f32>("value_iteration.values", &[2, spec.r, n], Fill::Zero)?;
    let span = gpu.upload("value_iteration.span", &[spec.r, 2], &NOTHING.repeat(spec.r))?;
    let rows: Vec<Problem> = problems.iter().map(Problem::from).collect();
    let misaligned: Vec<f32> = problems.iter().flat_map(misalignments).collect();
    let bound = ValueIteration::new(gpu, &spec)?.bind(
        gpu,
        &gpu.upload("value_iteration.problems", &[spec.r], &rows)?,
        &gpu.upload("value_iteration.misaligned", &[spec.r, spec.k, spec.age_max + 1], &misaligned)?,
        &values,
        &span,
    );
    let (mut done, mut least, mut waited) = (0, f64::INFINITY, 0);
    let bounds = loop {
        gpu.write(&span, &NOTHING.repeat(spec.r));
        gpu.run(|pass| {
            for i in 0..SWEEPS {
                let (from_off, to_off) = if i % 2 == 0 { (0, spec.r * n) } else { (spec.r * n, 0) };
                bound.record(pass, &Args { from_off, to_off, measure: i + 1 == SWEEPS });
            }
        })?;
        done += SWEEPS;
        let bounds: Vec<[f64; 2]> = gpu
            .read(&span)?
            .chunks_exact(2)
            .map(|b| [f64::from(unordered(b[0])), f64::from(unordered(b[1]))])
            .collect();
        let worst = bounds.iter().map(|[lo, hi]| (hi - lo) / 2.0).fold(0.0, f64::max);
        waited = if worst < least { 0 } else { waited + 1 };
        least = least.min(worst);
        if worst <= tolerance_j || done >= most || waited >= PATIENCE {
            break bounds;
        }
    };
    let all = gpu.read(&values)?;
    let one = |(h, [lo, hi]): (&[f32], [f64; 2])| Optimum {
        cost_j: (hi + lo) / 2.0,
        values: h.iter().map(|x| f64::from(*x) - f64::from(h[0])).collect(),
        residual_j: (hi - lo) / 2.0,
        iterations: done,
    };
    Ok(all.chunks_exact(n).zip(bounds).map(one).collect())
}

/// Shader against f64 twin for two sweeps, one of them measured, and on software Vulkan against the bits of the f32 twin.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let (n, k, ages) = (spec.states(), spec.k, spec.age_max + 1);
    let mut source = Sample::new(seed, 6);
    let problems: Vec<Problem> = (0..spec.r as u32)
        .map(|r| Problem {
            e_vis_j: 10.0 + r as f32,
            e_recovery_j: 25.0,
            lambda_j: 200.0,
            gamma_misa: 0.15,
            reset_age: r % 2,
        })
        .collect();
    let misaligned = source.uniform(spec.r * k * ages, 0.0, 1.0);
    let off = 3;
    let at = Args { from_off: off, to_off: off + spec.r * n, measure: true };
    let mut values = source.uniform(off + 2 * spec.r * n, -50.0, 50.0);
    let span = NOTHING.repeat(spec.r);

    let (mut want, mut twin) = (widen(&values), values.clone());
    let (mut span64, mut span32) = (span.clone(), span.clone());
    value_iteration_cpu(spec, &at, &problems, &widen(&misaligned), &mut want, &mut span64);
    value_iteration_cpu(spec, &at, &problems, &misaligned, &mut twin, &mut span32);
    let back = Args { from_off: at.to_off, to_off: at.from_off, measure: false };

    let problems_buf = gpu.upload("value_iteration.problems", &[spec.r], &problems)?;
    let misaligned_buf = gpu.upload("value_iteration.misaligned", &[misaligned.len()], &misaligned)?;
    // The target must not be read.
    values[at.to_off..].fill(f32::NAN);
    let values_buf = gpu.upload("value_iteration.values", &[values.len()], &values)?;
    let span_buf = gpu.upload("value_iteration.span", &[spec.r, 2], &span)?;
    let bound =
        ValueIteration::new(gpu, spec)?.bind(gpu, &problems_buf, &misaligned_buf, &values_buf, &span_buf);
    gpu.run(|pass| bound.record(pass, &at))?;
    let got = gpu.read(&values_buf)?;
    let scale = 100.0 + k as f64 * (10.0 + spec.r as f64 + 25.0) + 200.0;
    let mut rows = vec![compare_scaled("values", &got, &want, &vec![scale; want.len()], TOL)];
    rows.extend(compare_bits(gpu, "values", &got, &twin));
    let bounds = |bits: &[u32]| bits.iter().map(|b| unordered(*b)).collect::<Vec<_>>();
    let got_span = gpu.read(&span_buf)?;
    rows.push(compare_scaled(
        "span",
        &bounds(&got_span),
        &widen(&bounds(&span64)),
        &vec![scale; span.len()],
        TOL,
    ));
    rows.extend(compare_bits(gpu, "span", &bounds(&got_span), &bounds(&span32)));
    // Back again from the same numbers: the span must stay as it is.
    let mut want = widen(&got);
    value_iteration_cpu(spec, &back, &problems, &widen(&misaligned), &mut want, &mut span64);
    gpu.run(|pass| bound.record(pass, &back))?;
    rows.push(compare_scaled(
        "values back",
        &gpu.read(&values_buf)?,
        &want,
        &vec![2.0 * scale; want.len()],
        TOL,
    ));
    rows.push(compare_exact("span of an unmeasured sweep", &gpu.read(&span_buf)?, &got_span));
    Ok(rows)
}

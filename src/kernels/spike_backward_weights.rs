//! spike_backward_weights: the gradient of the weight and bias between the spikes of one layer and the currents of the
//! next, summed over samples and steps. The samples are cut into slices of ⌈m/slices⌉; `grad_reduce` adds the slices in
//! a fixed order.

use super::common::*;
use super::spike_forward::random_words;
use super::tile::{BK, Tile};
use crate::nets::lif::MAX_STEPS;

pub const SHADER: Source = shader!("shaders/", "spike_backward_weights");

pub const TOL: Tol = Tol {
    abs: 1e-30,
    rel: 1e-6,
    why: "of sum|di| over the spikes of the slice: rounding of an f32 sum grows like a random walk, 16 half-ulps of the sum of magnitudes",
};

/// Sizes, fixed when the kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// R: replicas.
    pub r: usize,
    /// M: samples of a replica; the most that will be recorded.
    pub m: usize,
    /// I: neurons that fire.
    pub i: usize,
    /// O: neurons whose currents they are.
    pub o: usize,
    /// P: parameters of a replica.
    pub p: usize,
    /// S: spike steps.
    pub steps: usize,
    pub slices: usize,
}

/// What may change from one dispatch to the next. Offsets are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Samples of each replica in this dispatch, at least 1.
    pub m: usize,
    /// Weight `[O, I]` inside a replica's parameters.
    pub w_off: usize,
    /// Bias `[O]` inside a replica's parameters.
    pub b_off: usize,
}

/// `di` `[R, m, S, O]`: gradient by the currents; `spikes` `[R, m, I]` words of the layer below; `partials`
/// `[slices, R, P]`: only the layer's weight and bias are written, zeros where a slice has no samples.
pub fn spike_backward_weights_cpu<F: Real<Elem = F>>(
    spec: &Spec,
    at: &Args,
    di: &[F],
    spikes: &[u32],
    partials: &mut [F],
) {
    let &Spec { r, i, o, p, steps, slices, .. } = spec;
    let slice = at.m.div_ceil(slices);
    for (sr, partial) in partials[..slices * r * p].chunks_exact_mut(p).enumerate() {
        let (s, r) = (sr / r, sr % r);
        partial[at.w_off..][..o * i].fill(F::splat(0.0));
        partial[at.b_off..][..o].fill(F::splat(0.0));
        for m in (s * slice).min(at.m)..((s + 1) * slice).min(at.m) {
            let row = r * at.m + m;
            let spikes = &spikes[row * i..][..i];
            for t in 0..steps {
                for (j, &di) in di[(row * steps + t) * o..][..o].iter().enumerate() {
                    for (w, &word) in partial[at.w_off + j * i..][..i].iter_mut().zip(spikes) {
                        if word >> t & 1 != 0 {
                            *w += di;
                        }
                    }
                    partial[at.b_off + j] += di;
                }
            }
        }
    }
}

/// What a dispatch over all M samples must do. A gradient is added where there is a spike: the operations depend on the
/// data.
pub fn cost(spec: &Spec) -> Cost {
    let &Spec { r, m, i, o, steps, slices, .. } = spec;
    Cost::moving(r * m * (steps * o + i) + slices * r * o * (i + 1))
}

/// Constants of the shader.
pub fn prelude(spec: &Spec) -> Prelude {
    let &Spec { r, i, o, p, steps, .. } = spec;
    Tile::choose(o, i).prelude(Prelude::new().u32("R", r).u32("P", p).u32("I", i).u32("O", o).u32("S", steps))
}

host! {
    SpikeBackwardWeights, SpikeBackwardWeightsBound;
    fits |gpu, &Spec { r, m, i, o, steps, slices, .. }| {
        assert!((1..=MAX_STEPS).contains(&steps), "{steps} spike steps do not fit a spike word");
        assert!(slices >= 1, "spike_backward_weights: no slices");
        check_groups(gpu, "spike_backward_weights", &[r * slices])?;
        let (tile, rows) = (Tile::choose(o, i), m.div_ceil(slices) * steps);
        check_trips(gpu, "spike_backward_weights", tile.trips(rows) + rows.div_ceil(BK) * BK)?;
        check_index(gpu, "spike_backward_weights", r * m * steps * o)
    };
    /// `di` `[R, M, S, O]`, `spikes` `[R, M, I]`, `partials` `[slices, R, P]`.
    bind |&Spec { r, m, i, o, p, steps, slices }| {
        di: f32 = at_least(r * m * steps * o),
        spikes: u32 = at_least(r * m * i),
        partials: f32 = of_len(slices * r * p),
    }
}

impl SpikeBackwardWeightsBound {
    pub fn record(&self, pass: &mut wgpu::ComputePass, at: &Args) {
        let &Spec { r, m, i, o, p, slices, .. } = &self.spec;
        assert!((1..=m).contains(&at.m), "spike_backward_weights: {} samples, compiled for 1..={m}", at.m);
        assert!(
            at.w_off + o * i <= p && at.b_off + o <= p,
            "spike_backward_weights: {at:?} leaves the {p} parameters"
        );
        let [gx, gy] = Tile::choose(o, i).groups(o, i);
        let imm = [at.m, at.m.div_ceil(slices), at.w_off, at.b_off].map(|v| v as u32);
        self.bound.record(pass, [gx, gy, (r * slices) as u32], &imm);
    }
}

/// Shader against f64 twin on the same f32 gradients and the same spikes. The layer lies at the end of the P
/// parameters; the parameters before it belong to others and must stay as they are.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let &Spec { r, m, i, o, p, steps, slices } = spec;
    let at = Args { m, w_off: p - o * i - o, b_off: p - o };
    let di = normal(seed, 0, r * m * steps * o, 1.0);
    let spikes = random_words(seed, 1, r * m * i, steps);
    let di64 = widen(&di);
    // Poison where the kernel must write, a mark where it must not.
    let mut before = vec![f32::NAN; slices * r * p];
    before.chunks_exact_mut(p).for_each(|replica| replica[..at.w_off].fill(2.5));
    let mut want = widen(&before);
    spike_backward_weights_cpu(spec, &at, &di64, &spikes, &mut want);
    let mut scale = vec![0.0; slices * r * p];
    spike_backward_weights_cpu(spec, &at, &magnitudes(&di64), &spikes, &mut scale);

    bind!(gpu, bound = SpikeBackwardWeights::new(gpu, spec)?; di, spikes, partials = before);
    gpu.run(|pass| bound.record(pass, &at))?;
    Ok(vec![compare_scaled("partials", &gpu.read(&partials)?, &want, &scale, TOL)])
}

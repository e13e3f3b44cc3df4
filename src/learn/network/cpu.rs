//! Forward and backward passes through the CPU twins.

use super::backward::act_before;
use super::spikes::{Between, carried_at};
use super::{spike_penalty, split};
use crate::kernels::layer::Rows;
use crate::kernels::lif_backward::Upstream;
use crate::kernels::lif_forward::Current;
use crate::kernels::{
    column_sum, dense_backward_input, dense_backward_weights, dense_forward, grad_reduce, lif_backward,
    lif_forward, population_backward, population_forward, readout_carried, spike_backward_weights,
    spike_forward,
};
use crate::nets::mlp::Layer;
use crate::nets::{Activation, Lif, Membrane, MlpLayout};
use crate::num::real::Real;

/// Slices of the rows in the weight gradient of the CPU twins; more than one, so that their sum is tested too.
pub const CPU_SLICES: usize = 3;

/// What a forward and backward pass leaves.
pub struct Pass<F> {
    /// Input, hidden activations and output, each `[R, M, width]`; of spiking neurons the potentials before the reset,
    /// `[R, M, S, width]`.
    pub h: Vec<Vec<F>>,
    /// `[R, P]`; NaN where the parameters are not the network's.
    pub grads: Vec<F>,
    /// Gradient by the input `[R, M, I]`; empty where neurons encode it.
    pub dx: Vec<F>,
}

/// One dense layer through its twin: outputs `[R, M, O]`.
pub fn dense_cpu<F: Real<Elem = F>>(
    l: &Layer,
    (r, m): (usize, usize),
    b_scale: f64,
    params: &[F],
    x: &[F],
) -> Vec<F> {
    let rows = Rows { r, m, p: params.len() / r };
    let spec = dense_forward::Spec { b_scale, ..dense_forward::Spec::of(l, rows) };
    let mut y = nan(r * m * l.outputs);
    dense_forward::dense_forward_cpu(&spec, &dense_forward::Args::of(l, m), params, x, &mut y);
    y
}

fn nan<F: Real<Elem = F>>(n: usize) -> Vec<F> {
    vec![F::splat(f64::NAN); n]
}

/// What happens inside a spiking network, as [`Spikes`].
struct SpikesCpu<F> {
    current: Vec<F>,
    words: Vec<Vec<u32>>,
    trace: Vec<F>,
    /// Carried potentials before and after it, `[2, R, M, width]`.
    membrane: Vec<F>,
}

/// w `[R]` of the learned leak of hidden layer `n`; empty where it is not learned.
fn leaks_of<F: Real<Elem = F>>(net: &MlpLayout, r: usize, params: &[F], n: usize) -> Vec<F> {
    let of = |replica: &[F]| net.leaks().nth(n).map(|off| replica[off]);
    params.chunks_exact(params.len() / r).filter_map(of).collect()
}

/// Input, potentials of the hidden layers and output of a spiking network; `start` as for [`carried_forward_cpu`].
fn spiking_forward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    lif: Lif,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    start: &[F],
) -> (Vec<Vec<F>>, SpikesCpu<F>) {
    let (hidden, last) = split(net);
    let carried = carried_at(net, r * m, Between::OWN);
    let of = |layer: usize| carried.get(layer).copied().unwrap_or_default();
    let mut membrane = vec![F::splat(0.0); 2 * r * m * of(0).width];
    membrane[..start.len()].copy_from_slice(start);
    let rows = Rows { r, m, p: params.len() / r };
    let current = match net.population {
        Some(of) => {
            let (l, mut current) = (&hidden[0], nan(r * m * hidden[0].outputs));
            let (spec, at) = (population_forward::Spec::of(l, of, rows), population_forward::Args::of(l, m));
            population_forward::population_forward_cpu(&spec, &at, params, x, &mut current);
            current
        }
        None => dense_cpu(&hidden[0], (r, m), 1.0, params, x),
    };
    let (mut h, mut words) = (vec![x.to_vec()], Vec::<Vec<u32>>::new());
    let mut trace = Vec::new();
    for (n, l) in hidden.iter().enumerate() {
        let neurons = r * m * l.outputs;
        let (mut word, mut potentials) = (vec![u32::MAX; neurons], nan(neurons * lif.steps));
        trace = nan(neurons);
        if n == 0 {
            let spec = lif_forward::Spec {
                r,
                m,
                n: l.outputs,
                lif,
                current: Current::Constant,
                keep: true,
                trace: true,
            };
            let leaks = leaks_of(net, r, params, n);
            lif_forward::lif_forward_cpu(
                &spec,
                m,
                of(n),
                &leaks,
                &current,
                &mut word,
                &mut potentials,
                &mut trace,
                &mut membrane,
            );
        } else {
            let (spec, at) = (
                spike_forward::Spec::of(l, rows, lif, [true; 2]),
                spike_forward::Args::of(l, m, net.leaks().start + n, of(n)),
            );
            let (below, word, potentials) = (&words[n - 1], &mut word, &mut potentials);
            let (trace, membrane) = (&mut trace, &mut membrane);
            spike_forward::spike_forward_cpu(&spec, &at, params, below, word, potentials, trace, membrane);
        }
        h.push(potentials);
        words.push(word);
    }
    let mut y = dense_cpu(last, (r, m), lif.readout_total(), params, &trace);
    if carried.len() == net.layers.len() {
        let spec = readout_carried::Spec { r, m, o: last.outputs, kept: lif.readout_kept() };
        readout_carried::readout_carried_cpu(&spec, m, 0, of(hidden.len()), &mut y, &mut membrane);
    }
    h.push(y);
    (h, SpikesCpu { current, words, trace, membrane })
}

/// As [`forward_cpu`], of a network whose potentials are carried: from `start` `[R, M, width]`, or from rest if that is
/// empty. Also gives those that are left, layer behind layer in each row.
pub fn carried_forward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    start: &[F],
) -> (Vec<Vec<F>>, Vec<F>) {
    let lif = net.lif.filter(|lif| lif.membrane == Membrane::Carried).expect("potentials that are carried");
    let (h, mut spikes) = spiking_forward_cpu(net, lif, (r, m), params, x, start);
    let end = spikes.membrane.split_off(spikes.membrane.len() / 2);
    (h, end)
}

/// Outputs `[R, M, O]` of each layer, the input first, through the CPU twins; of spiking neurons the potentials, as in
/// [`Pass::h`].
pub fn forward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
) -> Vec<Vec<F>> {
    if let Some(lif) = net.lif {
        return spiking_forward_cpu(net, lif, (r, m), params, x, &[]).0;
    }
    let mut h = vec![x.to_vec()];
    for l in &net.layers {
        h.push(dense_cpu(l, (r, m), 1.0, params, &h[h.len() - 1]));
    }
    h
}

/// Forward, then backward from `dloss(output)`, through the CPU twins.
pub fn forward_backward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    rows: (usize, usize),
    params: &[F],
    x: &[F],
    dloss: impl FnOnce(&[F]) -> Vec<F>,
) -> Pass<F> {
    penalised_backward_cpu(net, rows, params, x, &[], 0.0, dloss)
}

/// The same with `rate_penalty` times the mean firing rate of all hidden neurons, over the M samples of a replica, in
/// the loss of a spiking network; `start` as for [`carried_forward_cpu`], which nothing goes back to.
pub fn penalised_backward_cpu<F: Real<Elem = F, Mask = bool>>(
    net: &MlpLayout,
    (r, m): (usize, usize),
    params: &[F],
    x: &[F],
    start: &[F],
    rate_penalty: f64,
    dloss: impl FnOnce(&[F]) -> Vec<F>,
) -> Pass<F> {
    let p = params.len() / r;
    let mut partials = nan(CPU_SLICES * r * p);
    let dense_back = |l: &Layer, act: Activation, b_scale: f64, x: &[F], dy: &[F], partials: &mut Vec<F>| {
        dense_weights_cpu(l, (r, m), CPU_SLICES, b_scale, x, dy, partials);
        dense_input_cpu(l, (r, m), act, params, x, dy)
    };
    let (h, dx) = match net.lif {
        None => {
            let h = forward_cpu(net, (r, m), params, x);
            let mut dy = dloss(&h[net.layers.len()]);
            for (n, l) in net.layers.iter().enumerate().rev() {
                dy = dense_back(l, act_before(net, n), 1.0, &h[n], &dy, &mut partials);
            }
            (h, dy)
        }
        Some(lif) => {
            let (hidden, last) = split(net);
            let (h, spikes) = spiking_forward_cpu(net, lif, (r, m), params, x, start);
            let carried = carried_at(net, r * m, Between::OWN);
            let penalty = F::splat(spike_penalty(net, rate_penalty, m));
            let dy = dloss(&h[net.layers.len()]);
            let (act, total) = (Activation::None, lif.readout_total());
            let mut upstream = dense_back(last, act, total, &spikes.trace, &dy, &mut partials);
            let mut d_current = Vec::new();
            for (n, l) in hidden.iter().enumerate().rev() {
                let (current, source) = match n {
                    0 => (Current::Constant, &spikes.current),
                    _ => (Current::PerStep, &h[n + 1]),
                };
                let by = if n + 1 == hidden.len() { Upstream::Readout } else { Upstream::Spikes };
                let spec = lif_backward::Spec { r, m, n: l.outputs, lif, current, upstream: by };
                d_current = nan(source.len());
                let (leaks, mut d_leak) = (leaks_of(net, r, params, n), nan(r * m * l.outputs));
                lif_backward::lif_backward_cpu(
                    &spec,
                    m,
                    carried.get(n).copied().unwrap_or_default(),
                    penalty,
                    &leaks,
                    source,
                    &upstream,
                    &mut d_current,
                    &mut d_leak,
                    &spikes.membrane,
                );
                if lif.learn_leak {
                    let off = net.leaks().start + n;
                    partials.iter_mut().skip(off).step_by(p).for_each(|x| *x = F::splat(0.0));
                    let sum = column_sum::Spec { r, m: m * l.outputs, c: 1 };
                    let at = column_sum::Args { m: sum.m, out_stride: p, out_off: off, scale: 1.0 };
                    column_sum::column_sum_cpu(&sum, &at, &d_leak, &mut partials);
                }
                if n > 0 {
                    let rows = Rows { r, m, p };
                    let spec = spike_backward_weights::Spec::of(l, rows, lif.steps, CPU_SLICES);
                    let (at, below) = (spike_backward_weights::Args::of(l, m), &spikes.words[n - 1]);
                    spike_backward_weights::spike_backward_weights_cpu(
                        &spec,
                        &at,
                        &d_current,
                        below,
                        &mut partials,
                    );
                    let rows = (r, m * lif.steps);
                    upstream = dense_input_cpu(l, rows, act, params, &[], &d_current);
                }
            }
            let dx = match net.population {
                Some(of) => {
                    let l = &hidden[0];
                    let of = population_forward::Spec::of(l, of, Rows { r, m, p });
                    let spec = population_backward::Spec { of, slices: CPU_SLICES };
                    let at = population_backward::Args::of(l, m);
                    let (current, d) = (&spikes.current, &d_current);
                    population_backward::population_backward_cpu(
                        &spec,
                        &at,
                        params,
                        x,
                        current,
                        d,
                        &mut partials,
                    );
                    Vec::new()
                }
                None => dense_back(&hidden[0], act, 1.0, x, &d_current, &mut partials),
            };
            (h, dx)
        }
    };
    let mut grads = nan(r * p);
    grad_reduce::grad_reduce_cpu(&grad_reduce::Spec { r, p, s: CPU_SLICES }, &partials, &mut grads);
    Pass { h, grads, dx }
}

/// The gradient by a dense layer's weights and bias through its twin, into `partials` `[slices, R, P]`.
pub fn dense_weights_cpu<F: Real<Elem = F>>(
    l: &Layer,
    (r, m): (usize, usize),
    slices: usize,
    b_scale: f64,
    x: &[F],
    dy: &[F],
    partials: &mut [F],
) {
    let rows = Rows { r, m, p: partials.len() / (slices * r) };
    let spec = dense_backward_weights::Spec { b_scale, ..dense_backward_weights::Spec::of(l, rows, slices) };
    let at = dense_backward_weights::Args::of(l, m);
    dense_backward_weights::dense_backward_weights_cpu(&spec, &at, dy, x, partials);
}

/// The gradient by a dense layer's input `[R, M, I]` through its twin; `act` made that input, which is not read
/// without.
pub fn dense_input_cpu<F: Real<Elem = F>>(
    l: &Layer,
    (r, m): (usize, usize),
    act: Activation,
    params: &[F],
    x: &[F],
    dy: &[F],
) -> Vec<F> {
    let rows = Rows { r, m, p: params.len() / r };
    let (spec, at) = (dense_backward_input::Spec::of(l, rows, act), dense_backward_input::Args::of(l, m));
    let mut dx = nan(r * m * l.inputs);
    dense_backward_input::dense_backward_input_cpu(&spec, &at, params, dy, x, &mut dx);
    dx
}

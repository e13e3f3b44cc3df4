//! Forward and backward passes of the policies' networks alone: perceptron and spiking network 12 → H → H → 6, LSTM 12
//! → H over 16 steps. On the CPU with all cores and with one; the dense layers there are to be held against
//! `ceiling_matmul` of the same device.
//!
//! A backward pass starts from gradients by the outputs and from what the forward pass kept. `B` is rows, of the LSTM
//! sequences.

use crate::harness::{Bench, Effort, Hosted, Passes, Ready, Subject, Timed};
use isacbench::bench::device::Place;
use isacbench::bench::grid::Learning;
use isacbench::bench::{Device, Section, Work, check, work};
use isacbench::gpu::{Buf, Fill, Gpu, GpuError};
use isacbench::kernels::REGISTRY;
use isacbench::kernels::inputs::normal;
use isacbench::learn::network::{Backward, Forward, Rows, Spikes, visible};
use isacbench::learn::recurrent::{self, LstmGpu};
use isacbench::nets::cpu::{self, Activations, Gradient};
use isacbench::nets::dense::{Packed, Strided, leading};
use isacbench::nets::lstm::LstmLayout;
use isacbench::nets::lstm_cpu::{LstmGradient, LstmPacked, Sequences};
use isacbench::nets::{Activation, Lif, Membrane, MlpLayout, Readout};
use rayon::prelude::*;
use std::sync::Arc;

/// K = 3 vehicles: observation and action of the policy.
const INPUTS: usize = 12;
const ACTIONS: usize = 6;
/// Steps of a sequence, and outputs behind the LSTM.
const STEPS: usize = 16;
const HEAD: usize = 4;

const LIF: Lif = Lif {
    steps: 6,
    lambda: 0.5,
    threshold: 1.0,
    reset: 0.0,
    eta: 3.0,
    detach_reset: true,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

#[derive(Clone, Copy)]
enum Net {
    Mlp,
    Lif,
    Lstm,
}

impl Net {
    fn name(self) -> &'static str {
        match self {
            Net::Mlp => "mlp",
            Net::Lif => "lif",
            Net::Lstm => "lstm",
        }
    }

    fn layout(self, h: usize) -> MlpLayout {
        match self {
            Net::Lif => MlpLayout::new(&[INPUTS, h, h, ACTIONS], LIF, 0),
            _ => MlpLayout::new(&[INPUTS, h, h, ACTIONS], Activation::Tanh, 0),
        }
    }
}

fn lstm(h: usize) -> (LstmLayout, MlpLayout) {
    let lstm = LstmLayout::new(INPUTS, h, 0);
    let head = MlpLayout::new(&[h, HEAD], Activation::None, lstm.end());
    (lstm, head)
}

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        let all = place.device();
        for size in bench.grid.networks(all.kind) {
            for net in [Net::Mlp, Net::Lif, Net::Lstm] {
                for back in [false, true] {
                    match &place {
                        Place::Gpu(gpu) => on_gpu(bench, gpu, &all, size, net, back),
                        Place::Cpu => {
                            let threads = rayon::current_num_threads();
                            on_cpu(bench, threads, size, net, back);
                            if threads > 1 {
                                on_cpu(bench, 1, size, net, back);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn subject(size: Learning, net: Net, back: bool) -> Subject {
    let Learning { r, b, h } = size;
    let (policy, way) = (net.name(), if back { "backward" } else { "forward" });
    let (flops, sizes, rows, p, hidden, outputs) = match net {
        Net::Lstm => {
            let (layout, head) = lstm(h);
            let m = sequences(b);
            let flops = match back {
                false => work::lstm_forward(&layout, r, STEPS, m),
                // The CPU's pass takes the linear layer behind along.
                true => work::lstm_backward(&layout, r, STEPS, m)
                    .zip(work::backward(&head, r, STEPS * m, true))
                    .map(|(a, b)| a + b),
            };
            (
                flops,
                vec![("R", r), ("B", m), ("T", STEPS), ("H", h)],
                r * m * STEPS,
                layout.params(),
                5 * h,
                h,
            )
        }
        _ => {
            let layout = net.layout(h);
            let flops =
                if back { work::backward(&layout, r, b, false) } else { work::forward(&layout, r, b) };
            (flops, vec![("R", r), ("B", b), ("H", h)], r * b, layout.params(), 2 * h, ACTIONS)
        }
    };
    // Forward: parameters and inputs in, outputs out. Backward: those, what was kept and the gradients by the outputs
    // in, gradients out. What a spiking network keeps depends on the backend.
    let words = match (back, net) {
        (false, _) => Some(r * p + rows * (INPUTS + outputs)),
        (true, Net::Lif) => None,
        (true, _) => Some(2 * r * p + rows * (INPUTS + hidden + outputs)),
    };
    Subject {
        group: format!("network_{policy}_{way}"),
        section: Section::Kernel,
        task: None,
        policy: Some(policy),
        sizes,
        work: Work {
            inferences: (!back).then_some(rows as f64),
            flops,
            bytes: words.map(|w| 4.0 * w as f64),
            env_steps: None,
        },
    }
}

/// As many rows in all as the other networks have.
fn sequences(b: usize) -> usize {
    (b / STEPS).max(1)
}

fn parameters(layout: &MlpLayout) -> Vec<f32> {
    // Weights of deviation 2/√inputs: about a quarter and an eighth of the neurons fire in a step.
    let sigma = if layout.lif.is_some() { 2.0 } else { 1.0 };
    let mut params = normal(1, 0, layout.end(), sigma);
    for l in &layout.layers {
        let scale = (l.inputs as f32).sqrt().recip();
        params[l.w_off..l.b_off].iter_mut().for_each(|w| *w *= scale);
    }
    params
}

// ---- CPU ----

/// What a thread works on.
enum Own {
    Network { rows: usize, x: Vec<f32>, acts: Activations, grad: Gradient },
    Lstm { rows: usize, seq: Sequences, d_head: Vec<f32>, grad: LstmGradient },
}

/// Weights that all threads share.
enum Weights {
    Network(Packed),
    Lstm(LstmPacked, Packed),
}

struct OnCpu {
    weights: Weights,
    parts: Vec<Own>,
    back: bool,
}

impl OnCpu {
    fn new(net: Net, Learning { b, h, .. }: Learning, threads: usize, back: bool) -> OnCpu {
        let rows = if matches!(net, Net::Lstm) { sequences(b) } else { b };
        let each = rows.div_ceil(threads);
        let counts = (0..rows).step_by(each).map(|from| each.min(rows - from));
        let padded = |rows: usize, width: usize, seed: u32| {
            let ld = leading(width);
            let mut x = normal(seed, 0, rows * ld, 1.0);
            x.chunks_exact_mut(ld).for_each(|row| row[width..].fill(0.0));
            x
        };
        match net {
            Net::Lstm => {
                let (layout, head) = lstm(h);
                let params = normal(1, 0, head.end(), 0.1);
                let (mut cells, mut linear) = (LstmPacked::new(&layout), Packed::new(&head));
                cells.pack(&params);
                linear.pack(&params);
                let part = |rows: usize| {
                    let mut seq = Sequences::new(&layout, STEPS, rows);
                    for (i, x) in normal(2, 0, STEPS * rows * INPUTS, 1.0).chunks_exact(INPUTS).enumerate() {
                        seq.x(rows, i / rows, i % rows)[..INPUTS].copy_from_slice(x);
                    }
                    seq.forward(&cells, rows);
                    let d_head = padded(STEPS * rows, HEAD, 3);
                    Own::Lstm { rows, seq, d_head, grad: LstmGradient::new(&layout, &head) }
                };
                let parts = counts.map(part).collect();
                OnCpu { parts, weights: Weights::Lstm(cells, linear), back }
            }
            _ => {
                let layout = net.layout(h);
                let mut packed = Packed::new(&layout);
                packed.pack(&parameters(&layout));
                let part = |rows: usize| {
                    let x = padded(rows, INPUTS, 2);
                    let mut acts = Activations::new(&layout, rows);
                    let ld = leading(INPUTS);
                    cpu::forward(&packed, rows, Strided { data: &x, row: ld, col: 1 }, &mut acts);
                    Own::Network { rows, x, acts, grad: Gradient::new(&layout, rows) }
                };
                let parts = counts.map(part).collect();
                OnCpu { parts, weights: Weights::Network(packed), back }
            }
        }
    }

    fn once(&mut self) {
        let (weights, back) = (&self.weights, self.back);
        let part = |own: &mut Own| match (own, weights) {
            (Own::Network { rows, x, acts, grad }, Weights::Network(net)) => {
                if back {
                    let ld = leading(ACTIONS);
                    grad.d_out().chunks_exact_mut(ld).for_each(|row| row[..ACTIONS].fill(1e-3));
                    grad.clear();
                    cpu::backward(net, *rows, x, acts, 0.0, grad);
                } else {
                    cpu::forward(net, *rows, Strided { data: x, row: leading(INPUTS), col: 1 }, acts);
                }
            }
            (Own::Lstm { rows, seq, d_head, grad }, Weights::Lstm(cells, head)) => {
                // The backward pass overwrites the gates that the forward pass has kept.
                seq.forward(cells, *rows);
                if back {
                    grad.clear();
                    seq.backward(cells, head, *rows, d_head, grad);
                }
            }
            _ => unreachable!("weights and parts are made together"),
        };
        match &mut self.parts[..] {
            [one] => part(one),
            many => many.par_iter_mut().for_each(part),
        }
    }
}

fn on_cpu(bench: &mut Bench, threads: usize, size: Learning, net: Net, back: bool) {
    let mut subject = subject(size, net, back);
    if back && matches!(net, Net::Lstm) {
        let (layout, _) = lstm(size.h);
        let forward = work::lstm_forward(&layout, 1, STEPS, sequences(size.b));
        subject.work.flops = subject.work.flops.zip(forward).map(|(a, b)| a + b);
        subject.group = "network_lstm_forward_backward".into();
        subject.work.bytes = None;
    }
    bench.measure(subject, Device::cpu(threads), Effort::SHORT, |checks| {
        let name = format!("{} {}", net.name(), size.h);
        let check = checks.once(name, || match net {
            Net::Lstm => {
                let (layout, head) = lstm(size.h);
                check::lstm_cpu(&layout, &head, 0)
            }
            _ => check::network_cpu(&net.layout(size.h)),
        })?;
        let mut own = OnCpu::new(net, size, threads, back);
        let work = move || {
            own.once();
            Ok::<_, GpuError>(())
        };
        Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu: None }) })
    });
}

// ---- Adapters ----

/// Slices of the weight gradients' sums, as in training.
fn slices(rows: usize) -> usize {
    rows.div_ceil(512).clamp(1, 64)
}

fn on_gpu(bench: &mut Bench, gpu: &Arc<Gpu>, device: &Device, size: Learning, net: Net, back: bool) {
    let stems: &[&str] = match net {
        Net::Mlp => &["dense_forward", "dense_backward_input", "dense_backward_weights"],
        Net::Lif => &[
            "dense_forward",
            "lif_forward",
            "spike_forward",
            "dense_backward_input",
            "dense_backward_weights",
            "lif_backward",
            "spike_backward_weights",
        ],
        Net::Lstm => &[
            "dense_forward",
            "lstm_forward",
            "lstm_backward",
            "dense_backward_input",
            "dense_backward_weights",
        ],
    };
    let mut subject = subject(size, net, back);
    if let (Net::Lstm, true) = (net, back) {
        let (layout, _) = lstm(size.h);
        subject.work.flops = work::lstm_backward(&layout, size.r, STEPS, sequences(size.b));
    }
    bench.measure(subject, device.clone(), Effort::SHORT, |checks| {
        let check = checks
            .once(format!("{} {}", net.name(), device.slug), || check::kernels(gpu, REGISTRY, stems))?;
        let timed: Box<dyn Timed> = match net {
            Net::Lstm => Box::new(recurrent_passes(gpu, size, back)?),
            _ => Box::new(network_passes(gpu, size, &net.layout(size.h), back)?),
        };
        Ok(Ready { check: Some(check), timed })
    });
}

fn network_passes(
    gpu: &Arc<Gpu>,
    Learning { r, b: m, .. }: Learning,
    net: &MlpLayout,
    back: bool,
) -> Result<Passes, GpuError> {
    let p = net.end();
    let (size, s) = (Rows { r, m, p }, slices(m));
    let zeros = |name: &str, shape: &[usize]| gpu.alloc::<f32>(name, shape, Fill::Zero);
    let params = gpu.upload("params", &[r, p], &parameters(net).repeat(r))?;
    let x = gpu.upload("x", &[r, m, INPUTS], &normal(2, 0, r * m * INPUTS, 1.0))?;
    let wide = |name: &str| -> Result<Vec<Buf<f32>>, GpuError> {
        visible(net).iter().map(|l| zeros(name, &[r, m, l.outputs])).collect()
    };
    let (acts, dy) = (wide("acts")?, wide("dy")?);
    let (acts, dy): (Vec<_>, Vec<_>) = (acts.iter().collect(), dy.iter().collect());
    let learn = if back { m } else { 0 };
    let spikes = Spikes::new(gpu, net, size, learn)?;
    let forward = Forward::sharing(gpu, net, size, &params, &x, &acts, spikes.as_ref(), back)?;
    if !back {
        let record = move |pass: &mut wgpu::ComputePass| forward.record(pass, m, 0, 0);
        return Ok(Passes::short(gpu, Box::new(record)));
    }
    gpu.run(|pass| forward.record(pass, m, 0, 0))?;
    let partials = zeros("partials", &[s, r, p])?;
    let last = dy[dy.len() - 1];
    gpu.write(last, &vec![1e-3f32; last.len()]);
    let backward = match &spikes {
        None => Backward::new(gpu, net, size, s, &params, &x, &acts, &dy, None, &partials)?,
        Some(spikes) => {
            Backward::spiking(gpu, net, size, s, &params, &x, spikes, last, None, &partials, 0.0)?
        }
    };
    let record = move |pass: &mut wgpu::ComputePass| backward.record(pass, m);
    Ok(Passes::short(gpu, Box::new(record)))
}

fn recurrent_passes(gpu: &Arc<Gpu>, Learning { r, b, h }: Learning, back: bool) -> Result<Passes, GpuError> {
    let (layout, _) = lstm(h);
    let (m, p) = (sequences(b), layout.end());
    let size = recurrent::Sequences { r, s: STEPS, m, p, t_seq: 0 };
    let s = slices(size.rows());
    let params = gpu.upload("params", &[r, p], &normal(1, 0, p, 0.1).repeat(r))?;
    let shape = [r, STEPS + 1, m, INPUTS];
    let x = gpu.upload("x", &shape, &normal(2, 0, shape.iter().product(), 1.0))?;
    let partials = gpu.alloc::<f32>("partials", &[s, r, p], Fill::Zero)?;
    let own = LstmGpu::new(gpu, &layout, size, s, &params, &x, None, &partials)?;
    gpu.run(|pass| own.record_forward(pass))?;
    gpu.write(&own.dh, &vec![1e-3f32; own.dh.len()]);
    let record = move |pass: &mut wgpu::ComputePass| {
        if back { own.record_backward(pass) } else { own.record_forward(pass) }
    };
    Ok(Passes::short(gpu, Box::new(record)))
}

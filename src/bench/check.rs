//! What must hold before anything is timed. Each check returns a line for the [`Record`](super::Record), or says what
//! differs. Tasks hand in their kernels, the learners of a small training and what a slot of theirs changes.

use crate::env::Slot;
use crate::gpu::{Gpu, GpuError};
use crate::kernels::compare::{compare, compare_f64, compare_words};
use crate::kernels::inputs::{normal, widen};
use crate::kernels::{Comparison, Entry, Tol};
use crate::learn::experts_cpu::ExpertsPpoCpu;
use crate::learn::experts_gpu::ExpertsPpoGpu;
use crate::learn::ppo_cpu::PpoCpu;
use crate::learn::ppo_gpu::{PpoGpu, RolloutPath};
use crate::learn::{Experts, ExpertsSpec, LearnerState, Ppo, PpoSpec, network, recurrent};
use crate::nets::MlpLayout;
use crate::nets::cpu::{self, Activations, Gradient};
use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::experts::Decision;
use crate::nets::lstm::LstmLayout;
use crate::nets::lstm_cpu::{LstmGradient, LstmPacked, Sequences};
use std::sync::Arc;
use thiserror::Error;

/// Why a benchmark is not run.
#[derive(Debug, Error)]
pub enum CheckError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("{what}: {differs}")]
    Differs { what: String, differs: String },
}

/// One line for all comparisons, if all passed.
fn passed(what: &str, rows: &[Comparison]) -> Result<String, CheckError> {
    let differs = |differs: String| CheckError::Differs { what: what.into(), differs };
    if rows.is_empty() || rows.iter().any(|c| c.elements == 0) {
        return Err(differs("nothing was compared".into()));
    }
    if let Some(c) = rows.iter().find(|c| !c.passed()) {
        return Err(differs(format!("'{}' is outside its tolerance: {}", c.quantity, c.failures.join("; "))));
    }
    let worst = rows.iter().map(|c| c.budget_share).fold(0.0, f64::max);
    Ok(format!("{what}: {} comparisons passed, worst at {:.0} % of its tolerance", rows.len(), 100.0 * worst))
}

/// The own checks of those of `all` kernels that are called `stems`: shader against twin.
pub fn kernels<'a>(
    gpu: &Gpu,
    all: impl IntoIterator<Item = &'a Entry>,
    stems: &[&str],
) -> Result<String, CheckError> {
    let all: Vec<&Entry> = all.into_iter().collect();
    let mut rows = Vec::new();
    for stem in stems {
        let entry = all.iter().find(|e| e.kernel == *stem).ok_or_else(|| CheckError::Differs {
            what: stem.to_string(),
            differs: "no kernel of this name".into(),
        })?;
        let own = (entry.check)(gpu)?;
        passed(stem, &own)?;
        rows.extend(own);
    }
    passed(&format!("{} against the CPU twin", stems.join(", ")), &rows)
}

/// The largest magnitude.
fn size(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// `got` against `want` within `share` of the largest of them.
fn shares(quantity: &str, got: &[f64], want: &[f64], share: f64, why: &'static str) -> Comparison {
    // Nothing but zeros would agree with anything that is broken alike.
    let largest = size(want);
    let abs = if largest > 0.0 { share * largest } else { f64::NAN };
    compare_f64(quantity, got, want, Tol { abs, rel: 0.0, why })
}

/// The first gradients of two learners: after one step the first moment of Adam is (1−β1)·clipped gradient.
fn first_moments(
    what: &str,
    groups: &[std::ops::Range<usize>],
    replicas: usize,
    (gpu, cpu): (&LearnerState, &LearnerState),
    (share, why): (f64, &'static str),
) -> Vec<Comparison> {
    let p = cpu.m.len() / replicas;
    let mut rows = Vec::new();
    for r in 0..replicas {
        for group in groups.iter().filter(|g| !g.is_empty()) {
            let of = |s: &LearnerState| widen(&s.m[r * p + group.start..r * p + group.end]);
            rows.push(shares(&format!("{what}, replica {r}"), &of(gpu), &of(cpu), share, why));
        }
    }
    rows
}

/// The first minibatch step of a small training: GPU against CPU backend. The rollout goes `path`, or as the adapter's
/// does.
pub fn ppo(gpu: &Arc<Gpu>, spec: &PpoSpec, path: Option<RolloutPath>) -> Result<String, CheckError> {
    let (share, why) = match spec.spiking {
        Some(_) => (2e-3, "a few spikes in a minibatch"),
        None => (1e-5, "sums in another order, of rounded rollouts"),
    };
    let start = LearnerState::new(spec);
    let step = |learner: &mut dyn Ppo| {
        learner.rollout(0)?;
        learner.advantages()?;
        learner.minibatch(0, 0, 0, &spec.learning_rates(0, 1))?;
        learner.state(0)
    };
    let path = path.unwrap_or_else(|| RolloutPath::choose(gpu, spec));
    let mut on_gpu = PpoGpu::with_path(gpu.clone(), spec, &start, path)?;
    let (got, want) = (step(&mut on_gpu)?, step(&mut PpoCpu::new(spec, &start))?);
    let (split, p) = (spec.layout().split(), spec.layout().params());
    let groups = [0..split, split..p];
    let rows = first_moments("gradient", &groups, spec.env.replicas(), (&got, &want), (share, why));
    passed("first gradients of a small training against the CPU backend", &rows)
}

/// The same of experts.
pub fn experts(gpu: &Arc<Gpu>, spec: &ExpertsSpec) -> Result<String, CheckError> {
    let start = spec.start();
    let step = |learner: &mut dyn Experts| {
        let lr = spec.learning_rates(0, 3);
        learner.rollout(0)?;
        learner.advantages()?;
        learner.minibatch(0, 0, 0, &lr)?;
        learner.spatial(0, &lr)?;
        learner.state(0)
    };
    let mut on_gpu = ExpertsPpoGpu::new(gpu.clone(), spec, &start)?;
    let (got, want) = (step(&mut on_gpu)?, step(&mut ExpertsPpoCpu::new(spec, &start))?);
    let why = "sums in another order, of rounded rollouts";
    let groups = spec.layout.groups();
    let rows = first_moments("gradient", &groups, spec.replicas(), (&got, &want), (2e-5, why));
    passed("first gradients of a small training against the CPU backend", &rows)
}

// ---- The CPU backend against the twins ----

/// Environments of a slot that is checked: no multiple of any number of lanes.
pub const ENVS: usize = 67;

/// A step in vector lanes against one through the scalar f32 twin, bit for bit.
pub fn slots(lanes: &Slot, twin: &Slot) -> Result<String, CheckError> {
    let rows = [
        compare_words("bits of state", &lanes.state, &twin.state),
        compare_words("bits of observation", &lanes.obs, &twin.obs),
        compare_words("bits of reward", &lanes.reward, &twin.reward),
    ];
    passed("a slot in vector lanes against the scalar twin, bit for bit", &rows)
}

/// Output and gradients of a network of the CPU backend against the f64 twins: perceptron or spiking, whatever `layout`
/// is.
pub fn network_cpu(layout: &MlpLayout) -> Result<String, CheckError> {
    const ROWS: usize = 37;
    let (inputs, outputs, p) = (layout.inputs(), layout.outputs(), layout.end());
    let mut params = normal(3, 0, p, if layout.lif.is_some() { 2.0 } else { 1.0 });
    for l in &layout.layers {
        let scale = (l.inputs as f32).sqrt().recip();
        params[l.w_off..l.b_off].iter_mut().for_each(|w| *w *= scale);
    }
    let (x, up) = (normal(4, 0, ROWS * inputs, 1.0), normal(5, 0, ROWS * outputs, 1.0));
    let up_wide = widen(&up);
    let want =
        network::forward_backward_cpu(layout, (1, ROWS), &widen(&params), &widen(&x), |_| up_wide.clone());

    let mut net = Packed::new(layout);
    net.pack(&params);
    let padded = rows_padded(&x, inputs);
    let mut acts = Activations::new(layout, ROWS);
    cpu::forward(&net, ROWS, Strided { data: &padded, row: leading(inputs), col: 1 }, &mut acts);
    let out: Vec<f64> = acts
        .output()
        .chunks_exact(leading(outputs))
        .take(ROWS)
        .flat_map(|row| widen(&row[..outputs]))
        .collect();
    let mut grad = Gradient::new(layout, ROWS);
    grad.clear();
    let up = rows_padded(&up, outputs);
    grad.d_out()[..up.len()].copy_from_slice(&up);
    cpu::backward(&net, ROWS, &padded, &acts, 0.0, &mut grad);
    let mut grads = vec![f32::NAN; p];
    grad.write_to(layout, &mut grads);
    let why = "f32 sums and a rational tanh";
    let rows = [
        shares("output", &out, want.h.last().expect("a network has an output"), 1e-5, why),
        shares("gradients", &widen(&grads), &want.grads, 2e-5, why),
    ];
    passed("output and gradients against the f64 twins", &rows)
}

/// Rows of `width` with the padding of the CPU backend.
fn rows_padded(x: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / width * leading(width)];
    for (to, from) in out.chunks_exact_mut(leading(width)).zip(x.chunks_exact(width)) {
        to[..width].copy_from_slice(from);
    }
    out
}

/// Hidden states and gradients of the CPU backend's LSTM against the f64 twins; the backward pass is cut behind every
/// `t_seq` steps.
pub fn lstm_cpu(lstm: &LstmLayout, head: &MlpLayout, t_seq: usize) -> Result<String, CheckError> {
    const STEPS: usize = 7;
    const ROWS: usize = 5;
    let (inputs, h, k, p) = (lstm.inputs(), lstm.hidden(), head.outputs(), head.end());
    let params = normal(6, 0, p, 0.2);
    let x = normal(7, 0, STEPS * ROWS * inputs, 1.0);
    let up = normal(8, 0, STEPS * ROWS * k, 1.0);
    // The twins' sequences have one slot more, in front of the hidden states and behind the inputs.
    let mut x_twin = widen(&x);
    x_twin.resize((STEPS + 1) * ROWS * inputs, 0.0);
    let zeros = vec![0.0; ROWS * h];
    let wide_params = widen(&params);
    let w_head = &wide_params[head.layers[0].w_off..][..k * h];
    let mut partials = vec![0.0; p];
    let size = recurrent::Sequences { r: 1, s: STEPS, m: ROWS, p, t_seq };
    let want = recurrent::forward_backward_cpu(
        lstm,
        size,
        1,
        &wide_params,
        &x_twin,
        (&zeros, &zeros),
        |_| {
            let mut dh = zeros.clone();
            for row in up.chunks_exact(k) {
                dh.extend((0..h).map(|j| {
                    row.iter().enumerate().map(|(o, d)| f64::from(*d) * w_head[o * h + j]).sum::<f64>()
                }));
            }
            dh
        },
        &mut partials,
    );

    let (mut net, mut packed) = (LstmPacked::new(lstm), Packed::new(head));
    net.pack(&params);
    packed.pack(&params);
    let mut seq = Sequences::new(lstm, STEPS, ROWS).cut(t_seq);
    for (i, from) in x.chunks_exact(inputs).enumerate() {
        seq.x(ROWS, i / ROWS, i % ROWS)[..inputs].copy_from_slice(from);
    }
    seq.forward(&net, ROWS);
    let hidden: Vec<f64> = seq
        .hidden(ROWS)
        .chunks_exact(net.sizes.ld_in)
        .take(STEPS * ROWS)
        .flat_map(|row| widen(&row[..h]))
        .collect();
    let mut grad = LstmGradient::new(lstm, head);
    grad.clear();
    seq.backward(&net, &packed, ROWS, &rows_padded(&up, k), &mut grad);
    let mut grads = vec![f32::NAN; p];
    grad.write_to(lstm, head, &mut grads);
    let own = lstm.input.w_off..lstm.end();
    let why = "f32 sums and a rational tanh";
    let rows = [
        shares("hidden states", &hidden, &want.hidden[ROWS * h..], 1e-5, why),
        shares("gradients", &widen(&grads[own.clone()]), &partials[own], 2e-5, why),
    ];
    passed("hidden states and gradients against the f64 twins", &rows)
}

/// What rollouts and updates by PPO are made of on the CPU: both networks, and the physics, whose own check has said
/// `physics`.
pub fn ppo_cpu(spec: &PpoSpec, physics: &str) -> Result<String, CheckError> {
    let layout = spec.layout();
    let [actor, critic] = [network_cpu(&layout.actor.at(0))?, network_cpu(&layout.critic.at(0))?];
    Ok(format!("{physics}; actor: {actor}; critic: {critic}"))
}

/// The same of experts that share nothing.
pub fn experts_cpu(spec: &ExpertsSpec, physics: &str) -> Result<String, CheckError> {
    let Decision::Isolated { lstm, head, phases } = &spec.layout.decision else {
        let differs = "networks that share a trunk have no check of their own".into();
        return Err(CheckError::Differs { what: "experts".into(), differs });
    };
    let [phases, critic] = [network_cpu(&phases.at(0))?, network_cpu(&spec.layout.critic.at(0))?];
    let scheduler = lstm_cpu(lstm, head, spec.temporal.t_seq)?;
    Ok(format!("{physics}; scheduler: {scheduler}; phases: {phases}; critic: {critic}"))
}

/// A product of two square matrices by `multiply` (row-major a, b, c of width n) against f64.
pub fn product(
    n: usize,
    multiply: impl FnOnce(usize, &[f32], &[f32], &mut [f32]),
) -> Result<String, CheckError> {
    let (a, b) = (normal(9, 0, n * n, 1.0), normal(10, 0, n * n, 1.0));
    let mut c = vec![f32::NAN; n * n];
    multiply(n, &a, &b, &mut c);
    let mut want = vec![0.0; n * n];
    for (row, want) in a.chunks_exact(n).zip(want.chunks_exact_mut(n)) {
        for (&x, b) in row.iter().zip(b.chunks_exact(n)) {
            want.iter_mut().zip(b).for_each(|(w, &y)| *w += f64::from(x) * f64::from(y));
        }
    }
    let tol = Tol { abs: 1e-6 * n as f64, rel: 0.0, why: "n products of order 1, each rounded" };
    passed("a small product against f64", &[compare("product", &c, &want, tol)])
}

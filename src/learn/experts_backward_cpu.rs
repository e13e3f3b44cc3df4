//! Losses and gradients of experts on the CPU: a part of a minibatch (policy and value loss; with a shared trunk L_spat
//! too, and drawn phases in the policy loss), and L_spat over a chunk of environments where the phases have a network
//! of their own.

use super::experts::ExpertsSpec;
use super::experts_memory_cpu::{BLOCK, Chunk, Minibatch, PartResult, Sums, chunk_envs, part_envs};
use super::phases_cpu::Drawn;
use crate::config::PolicyGradient;
use crate::env::BeamSamples;
use crate::nets::MlpLayout;
use crate::nets::bernoulli::{Loss, LossHyper, Rest};
use crate::nets::dense::{
    Activations, Gradient, Packed, Strided, backward, backward_first, forward, forward_first, leading,
};
use crate::nets::experts::{Decision, ExpertsCpu, Nets, Phase, softmax};
use crate::nets::lstm_cpu::{LstmGradient, Sequences};
use std::ops::Range;

/// A share of a minibatch of one replica.
pub(super) struct MinibatchPart<'a> {
    pub(super) spec: &'a ExpertsSpec,
    pub(super) net: &'a ExpertsCpu,
    pub(super) chunks: &'a [Chunk],
    pub(super) batch: &'a Minibatch,
    pub(super) envs: &'a [u32],
    pub(super) replica: usize,
    pub(super) update: u32,
    /// Clock of the episode's first slot.
    pub(super) clock: u32,
    /// Whether L_spat's gradient is wanted apart from the policy's.
    pub(super) apart: bool,
}

impl MinibatchPart<'_> {
    fn hyper(&self) -> LossHyper {
        let c = self.spec.of(self.replica);
        LossHyper {
            clip: (c.algorithm == PolicyGradient::Ppo).then_some(c.clip as f32),
            entropy_coef: c.entropy_coef as f32,
            per_sample: 1.0 / (self.batch.envs.len() * self.spec.slots()) as f32,
            mean: self.batch.mean,
            inverse: self.batch.inverse,
        }
    }
}

/// Working memory of a part.
pub(super) struct Backward {
    /// The part's samples, `[T, envs, ·]`; slots in the order of `slots`.
    x: Vec<f32>,
    action: Vec<f32>,
    /// Where they are drawn.
    phases: Vec<f32>,
    logprob: Vec<f32>,
    advantage: Vec<f32>,
    returns: Vec<f32>,
    slots: Vec<usize>,
    decision: DecisionBackward,
    critic: Activations,
    d_critic: Gradient,
}

enum DecisionBackward {
    Isolated { lstm: Box<Sequences>, head: Activations, d_head: Vec<f32>, grad: LstmGradient },
    Shared(SharedBackward),
}

impl Backward {
    pub(super) fn new(spec: &ExpertsSpec) -> Self {
        let (layout, t) = (&spec.layout, spec.slots());
        let envs = part_envs(spec.minibatch_envs());
        let (n, k) = (t * envs, spec.layout.vehicles);
        let decision = match &layout.decision {
            Decision::Isolated { lstm, head, .. } => DecisionBackward::Isolated {
                lstm: Box::new(Sequences::new(lstm, t, envs).cut(spec.temporal.t_seq)),
                head: Activations::new(head, n),
                d_head: vec![0.0; n * leading(k)],
                grad: LstmGradient::new(lstm, head),
            },
            Decision::Shared { gate, experts } => {
                DecisionBackward::Shared(SharedBackward::new(gate.as_ref(), experts, spec, envs))
            }
        };
        Backward {
            x: vec![0.0; n * leading(spec.layout.obs)],
            action: vec![0.0; n * k],
            phases: vec![0.0; n * layout.log_std().len()],
            logprob: vec![0.0; n],
            advantage: vec![0.0; n],
            returns: vec![0.0; n],
            slots: Vec::with_capacity(t),
            decision,
            critic: Activations::new(&layout.critic, BLOCK),
            d_critic: Gradient::new(&layout.critic, BLOCK),
        }
    }

    /// Losses and gradients of a part.
    pub(super) fn part(&mut self, p: &MinibatchPart, out: &mut PartResult) {
        let (spec, envs) = (p.spec, p.envs.len());
        let (t_max, k, ldx) = (spec.slots(), spec.layout.vehicles, leading(spec.layout.obs));
        let n = t_max * envs;
        // Where the trunk is shared, slots that enter L_spat come last, so that blocks are of one kind.
        self.slots.clear();
        let mut plain = t_max;
        if spec.layout.isolated() {
            self.slots.extend(0..t_max);
        } else {
            let mut entering = spec.spatial_slots(p.update).peekable();
            self.slots.extend((0..t_max).filter(|t| entering.next_if_eq(t).is_none()));
            plain = self.slots.len();
            self.slots.extend(spec.spatial_slots(p.update));
        }
        self.gather(p);
        out.sums = Sums::default();

        let hyper = p.hyper();
        match (&mut self.decision, &p.net.nets, &spec.layout.decision) {
            (
                DecisionBackward::Isolated { lstm, head: head_out, d_head, grad },
                Nets::Isolated { lstm: net, head, .. },
                Decision::Isolated { lstm: lstm_layout, head: head_layout, .. },
            ) => {
                for (t, rows) in self.x[..n * ldx].chunks_exact(envs * ldx).enumerate() {
                    for (row, x) in rows.chunks_exact(ldx).enumerate() {
                        lstm.x(envs, t, row)[..3 * k].copy_from_slice(&x[..3 * k]);
                    }
                }
                lstm.forward(net, envs);
                let h = Strided { data: lstm.hidden(envs), row: net.sizes.ld_in, col: 1 };
                forward(head, n, h, head_out);
                out.sums.loss = Loss {
                    hyper,
                    logits: head_out.output(),
                    ld: leading(k),
                    action: &self.action[..n * k],
                    old: &self.logprob[..n],
                    advantage: &self.advantage[..n],
                    d_logits: d_head,
                    rest: None,
                }
                .run();
                grad.clear();
                lstm.backward(net, head, envs, d_head, grad);
                grad.write_to(lstm_layout, head_layout, &mut out.grads);
            }
            (DecisionBackward::Shared(s), Nets::Shared { gate, experts }, _) => {
                let samples = Samples {
                    x: &self.x[..n * ldx],
                    action: &self.action[..n * k],
                    phases: &self.phases,
                    logprob: &self.logprob[..n],
                    advantage: &self.advantage[..n],
                    slots: &self.slots,
                    plain,
                };
                // Where phases are drawn, L_spat is measured only.
                let joined = spec.layout.log_std.is_none();
                let PartResult { grads, spatial, sums } = out;
                if p.apart {
                    s.run(p, gate.as_ref(), experts, &samples, Some(hyper), false, grads, sums);
                    s.run(p, gate.as_ref(), experts, &samples, None, true, spatial, sums);
                } else {
                    s.run(p, gate.as_ref(), experts, &samples, Some(hyper), joined, grads, sums);
                }
            }
            _ => unreachable!("networks are made of their layout"),
        }
        out.sums.value_loss = self.critic(p, n, hyper.per_sample);
        self.d_critic.write_to(&spec.layout.critic, &mut out.grads);
    }

    fn gather(&mut self, p: &MinibatchPart) {
        let spec = p.spec;
        let (k, ldx, size) = (spec.layout.vehicles, leading(spec.layout.obs), chunk_envs(spec.temporal.envs));
        let drawn = spec.layout.log_std().len();
        for (at, &t) in self.slots.iter().enumerate() {
            for (e, &env) in p.envs.iter().enumerate() {
                let c = &p.chunks[env as usize / size];
                let (from, to) = (t * c.envs + env as usize % size, at * p.envs.len() + e);
                self.x[to * ldx..][..ldx].copy_from_slice(&c.x[from * ldx..][..ldx]);
                self.action[to * k..][..k].copy_from_slice(&c.action[from * k..][..k]);
                self.phases[to * drawn..][..drawn].copy_from_slice(&c.phases[from * drawn..][..drawn]);
                self.logprob[to] = c.logprob[from];
                self.advantage[to] = c.advantage[from];
                self.returns[to] = c.returns[from];
            }
        }
    }

    /// Gradient of the mean of ½(V − R)² over the first `n` samples; this part's share of that mean.
    fn critic(&mut self, p: &MinibatchPart, n: usize, per_sample: f32) -> f64 {
        let (ldx, ldv) = (leading(p.spec.layout.obs), leading(1));
        self.d_critic.clear();
        let mut loss = 0.0;
        for (x, returns) in self.x[..n * ldx].chunks(BLOCK * ldx).zip(self.returns[..n].chunks(BLOCK)) {
            let rows = returns.len();
            forward(&p.net.critic, rows, Strided { data: x, row: ldx, col: 1 }, &mut self.critic);
            let d_value = self.d_critic.d.layers.last_mut().expect("a network has layers");
            let mut sum = 0f32;
            for (i, ret) in returns.iter().enumerate() {
                let err = self.critic.output()[i * ldv] - ret;
                sum += 0.5 * err * err;
                d_value[i * ldv] = err * per_sample;
            }
            loss += f64::from(sum) * f64::from(per_sample);
            backward(&p.net.critic, rows, x, &self.critic, &mut self.d_critic);
        }
        loss
    }
}

/// A part's samples, slots `plain..` of which enter L_spat.
struct Samples<'a> {
    x: &'a [f32],
    action: &'a [f32],
    /// `[n, K·M]`, where they are drawn.
    phases: &'a [f32],
    logprob: &'a [f32],
    advantage: &'a [f32],
    slots: &'a [usize],
    plain: usize,
}

/// States of the samples of one slot, gathered for [`BeamSamples`].
struct SlotStates {
    /// `[S, padded]`
    state: Vec<f32>,
    ids: Vec<u32>,
}

impl SlotStates {
    fn new() -> Self {
        SlotStates { state: Vec::new(), ids: Vec::new() }
    }

    /// Takes the slot with index `i` among those that enter L_spat of these environments, each given by its chunk and
    /// its place there; what is padded stays finite.
    fn take<'a>(&mut self, rows: usize, i: usize, envs: impl Iterator<Item = (&'a Chunk, usize)> + Clone) {
        self.ids.clear();
        self.ids.extend(envs.clone().map(|(c, at)| c.first + at as u32));
        let last = *self.ids.last().expect("a part has environments");
        self.ids.resize(self.ids.len().next_multiple_of(BeamSamples::GROUP), last);
        let stride = self.ids.len();
        self.state.resize(rows * stride, 0.0);
        for (to, (c, at)) in envs.enumerate() {
            let from = &c.states[i * rows * c.envs + at..];
            for row in 0..rows {
                self.state[row * stride + to] = from[row * c.envs];
            }
        }
    }
}

/// Weight of every sample and vehicle in L_spat over `envs` environments.
fn spatial_weight(spec: &ExpertsSpec, update: u32, envs: usize) -> f32 {
    let n = envs * spec.spatial_slots(update).count() * spec.layout.vehicles;
    (spec.spatial.loss_weight / n as f64) as f32
}

/// Backward pass of trunk or mixture.
struct SharedBackward {
    gate: Option<(Activations, Gradient)>,
    experts: Vec<(Activations, Gradient)>,
    /// Mixed outputs and their gradient, `[BLOCK, leading(K + K·M)]`.
    y: Vec<f32>,
    d_y: Vec<f32>,
    /// Of drawn phases: log-densities and the gradient by them, `[BLOCK]`, and the gradient by `log_std`, `[K·M]`.
    density: Vec<f32>,
    slope: Vec<f32>,
    d_log_std: Vec<f32>,
    slot: SlotStates,
    /// Slots of a block.
    block: usize,
}

impl SharedBackward {
    fn new(gate: Option<&MlpLayout>, experts: &[MlpLayout], spec: &ExpertsSpec, envs: usize) -> Self {
        let block = (BLOCK / envs).max(1);
        let rows = block * envs;
        let of = |l: &MlpLayout| (Activations::new(l, rows), Gradient::new(l, rows));
        let ld = leading(spec.layout.vehicles + spec.layout.phases());
        SharedBackward {
            gate: gate.map(of),
            experts: experts.iter().map(of).collect(),
            y: vec![0.0; rows * ld],
            d_y: vec![0.0; rows * ld],
            density: vec![0.0; rows],
            slope: vec![0.0; rows],
            d_log_std: vec![0.0; spec.layout.log_std().len()],
            slot: SlotStates::new(),
            block,
        }
    }

    /// Gradients of the policy loss (if `policy`) and of L_spat (if `spatial`) into `grads`.
    #[expect(clippy::too_many_arguments, reason = "the networks, the samples and where the results go")]
    fn run(
        &mut self,
        p: &MinibatchPart,
        gate: Option<&Packed>,
        experts: &[Packed],
        samples: &Samples,
        policy: Option<LossHyper>,
        spatial: bool,
        grads: &mut [f32],
        sums: &mut Sums,
    ) {
        let envs = p.envs.len();
        let (all, plain) = (samples.slots.len(), samples.plain);
        for (_, grad) in self.gate.iter_mut().chain(&mut self.experts) {
            grad.clear();
        }
        self.d_log_std.fill(0.0);
        // Blocks of slots that do not enter L_spat, then of those that do.
        let kinds = [(0..plain, false), (plain..all, spatial)];
        for (range, entering) in kinds {
            if policy.is_none() && !entering {
                continue;
            }
            for from in range.clone().step_by(self.block) {
                let slots = from..range.end.min(from + self.block);
                self.block(p, gate, experts, samples, slots, policy, entering, envs, sums);
            }
        }
        if let (Some(net), Some((_, grad))) = (gate, &self.gate) {
            grad.write_to(&net.layout, grads);
        }
        for (net, (_, grad)) in experts.iter().zip(&self.experts) {
            grad.write_to(&net.layout, grads);
        }
        grads[p.spec.layout.log_std()].copy_from_slice(&self.d_log_std);
    }

    #[expect(clippy::too_many_arguments, reason = "as run, and which slots")]
    fn block(
        &mut self,
        p: &MinibatchPart,
        gate: Option<&Packed>,
        experts: &[Packed],
        samples: &Samples,
        slots: Range<usize>,
        policy: Option<LossHyper>,
        entering: bool,
        envs: usize,
        sums: &mut Sums,
    ) {
        let spec = p.spec;
        let (k, km, ldx) = (spec.layout.vehicles, spec.layout.phases(), leading(spec.layout.obs));
        let ld = leading(k + km);
        let drawn = spec.layout.log_std().len();
        let wanted = if entering || drawn > 0 { k + km } else { k };
        let (from, to) = (slots.start * envs, slots.end * envs);
        let rows = to - from;
        let x = &samples.x[from * ldx..to * ldx];
        let strided = Strided { data: x, row: ldx, col: 1 };

        // ---- FORWARD ----
        for (net, (acts, _)) in experts.iter().zip(&mut self.experts) {
            forward_first(net, rows, strided, wanted, acts);
        }
        let lg = leading(experts.len());
        if let (Some(net), Some((acts, _))) = (gate, &mut self.gate) {
            forward(net, rows, strided, acts);
            softmax(rows, experts.len(), acts);
            for m in 0..rows {
                let y = &mut self.y[m * ld..][..wanted];
                y.fill(0.0);
                for (e, (out, _)) in self.experts.iter().enumerate() {
                    let share = acts.output()[m * lg + e];
                    y.iter_mut().zip(&out.output()[m * ld..]).for_each(|(y, x)| *y += share * x);
                }
            }
        }
        let y = if gate.is_some() { &self.y[..] } else { self.experts[0].0.output() };

        // ---- LOSSES ----
        self.d_y[..rows * ld].fill(0.0);
        if let Some(hyper) = policy {
            let phases = Drawn {
                log_std: &p.net.log_std,
                mean: &y[k..],
                ld,
                drawn: &samples.phases[from * drawn..to * drawn],
            };
            let (density, slope) = (&mut self.density[..rows], &mut self.slope[..rows]);
            if drawn > 0 {
                phases.logprobs(density);
            }
            let mut loss = Loss {
                hyper,
                logits: y,
                ld,
                action: &samples.action[from * k..to * k],
                old: &samples.logprob[from..to],
                advantage: &samples.advantage[from..to],
                d_logits: &mut self.d_y,
                rest: (drawn > 0).then_some(Rest { logprob: density, slope: &mut *slope }),
            }
            .run();
            if drawn > 0 {
                phases.gradients(slope, &mut self.d_y[k..], &mut self.d_log_std);
                let share = rows as f32 * hyper.per_sample;
                self.d_log_std.iter_mut().for_each(|d| *d -= hyper.entropy_coef * share);
                loss.entropy += phases.entropy() * f64::from(share);
            }
            sums.loss.add(&loss);
        }
        if entering {
            let weight = spatial_weight(spec, p.update, p.batch.envs.len());
            for at in slots.clone() {
                let row = (at - slots.start) * envs;
                let size = chunk_envs(spec.temporal.envs);
                let places = p.envs.iter().map(|e| (&p.chunks[*e as usize / size], *e as usize % size));
                self.slot.take(spec.sizes().state, at - samples.plain, places);
                let cos = &x[row * ldx..];
                let samples = BeamSamples {
                    clock: p.clock + samples.slots[at] as u32,
                    ids: &self.slot.ids,
                    n: envs,
                    state: &self.slot.state,
                    weight,
                    steer: (spec.layout.phase == Phase::Residual).then_some((cos, ldx)),
                    out: &y[row * ld + k..],
                    ld,
                    d_out: &mut self.d_y[row * ld + k..],
                };
                sums.gain += spec.beams().loss(p.replica, samples);
                sums.gains += (envs * k) as f64;
            }
        }

        // ---- BACKWARD ----
        for (e, (net, (acts, grad))) in experts.iter().zip(&mut self.experts).enumerate() {
            let d = grad.d.layers.last_mut().expect("a network has layers");
            match &mut self.gate {
                None => d[..rows * ld].copy_from_slice(&self.d_y[..rows * ld]),
                Some((gate_acts, gate_grad)) => {
                    let d_gate = gate_grad.d.layers.last_mut().expect("a network has layers");
                    for m in 0..rows {
                        let share = gate_acts.output()[m * lg + e];
                        let d_y = &self.d_y[m * ld..][..ld];
                        d[m * ld..][..ld].iter_mut().zip(d_y).for_each(|(d, x)| *d = share * x);
                        // The gradient by the share; below, the softmax turns it into the one by the gate's logit.
                        let out = &acts.output()[m * ld..][..wanted];
                        d_gate[m * lg + e] = d_y.iter().zip(out).map(|(d, y)| d * y).sum();
                    }
                }
            }
            backward_first(net, rows, x, acts, wanted, grad);
        }
        if let (Some(net), Some((acts, grad))) = (gate, &mut self.gate) {
            // Softmax: dz_e = g_e (dg_e − Σ g dg)
            let d = grad.d.layers.last_mut().expect("a network has layers");
            for (d, g) in d.chunks_mut(lg).zip(acts.output().chunks(lg)).take(rows) {
                let mean: f32 = d.iter().zip(g).take(experts.len()).map(|(d, g)| d * g).sum();
                d.iter_mut().zip(g).take(experts.len()).for_each(|(d, g)| *d = g * (*d - mean));
            }
            backward(net, rows, x, acts, grad);
        }
    }
}

/// Working memory of L_spat over a chunk, where phases have a network of their own.
pub(super) struct Spatial {
    x: Vec<f32>,
    acts: Activations,
    grad: Gradient,
    slot: SlotStates,
    /// Slots of a block.
    block: usize,
}

impl Spatial {
    pub(super) fn new(spec: &ExpertsSpec) -> Self {
        let Decision::Isolated { phases, .. } = &spec.layout.decision else {
            unreachable!("L_spat passes through a shared trunk with the policy loss")
        };
        let envs = chunk_envs(spec.temporal.envs);
        let block = (BLOCK / envs).max(1);
        let rows = block * envs;
        Spatial {
            x: vec![0.0; rows * leading(spec.layout.obs)],
            acts: Activations::new(phases, rows),
            grad: Gradient::new(phases, rows),
            slot: SlotStates::new(),
            block,
        }
    }

    /// Gradient of L_spat over the slots of a chunk that enter it.
    pub(super) fn chunk(
        &mut self,
        spec: &ExpertsSpec,
        net: &ExpertsCpu,
        c: &Chunk,
        update: u32,
        clock: u32,
        out: &mut PartResult,
    ) {
        let Nets::Isolated { phases, .. } = &net.nets else { unreachable!("as in new") };
        let (k, ldx, ld, n) =
            (spec.layout.vehicles, leading(spec.layout.obs), leading(spec.layout.phases()), c.envs);
        let weight = spatial_weight(spec, update, spec.temporal.envs);
        let slots: Vec<usize> = spec.spatial_slots(update).collect();
        self.grad.clear();
        out.sums = Sums::default();
        for (b, slots) in slots.chunks(self.block).enumerate() {
            let rows = slots.len() * n;
            for (x, t) in self.x.chunks_exact_mut(n * ldx).zip(slots) {
                x.copy_from_slice(&c.x[t * n * ldx..(t + 1) * n * ldx]);
            }
            forward(phases, rows, Strided { data: &self.x, row: ldx, col: 1 }, &mut self.acts);
            for (i, t) in slots.iter().enumerate() {
                let row = i * n;
                self.slot.take(spec.sizes().state, b * self.block + i, (0..n).map(|at| (c, at)));
                let samples = BeamSamples {
                    clock: clock + *t as u32,
                    ids: &self.slot.ids,
                    n,
                    state: &self.slot.state,
                    weight,
                    steer: (spec.layout.phase == Phase::Residual).then_some((&self.x[row * ldx..], ldx)),
                    out: &self.acts.output()[row * ld..],
                    ld,
                    d_out: &mut self.grad.d.layers.last_mut().expect("a network has layers")[row * ld..],
                };
                out.sums.gain += spec.beams().loss(c.replica, samples);
                out.sums.gains += (n * k) as f64;
            }
            backward(phases, rows, &self.x, &self.acts, &mut self.grad);
        }
        self.grad.write_to(&phases.layout, &mut out.grads);
    }
}

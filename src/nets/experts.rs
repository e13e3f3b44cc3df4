//! Networks of agents that schedule and form beams: a scheduler (K logits, one for each vehicle), phases of the beams
//! (K·M) and a critic, in one flat vector per replica, and how they act on the CPU.
//!
//! In the heterogeneous mixture (paper "rl-h-moe", section III) scheduler and phases are experts of their own, an LSTM
//! and a perceptron, that share no parameter; in the agents that it is compared with both come out of the same trunk.
//!
//! Of an observation's O numbers the first K are the cosines of the vehicles' estimated angles, and the last K the ages
//! of what is known of them.

use super::dense::{Activations, Packed, Strided, forward, forward_first, leading};
use super::lstm::LstmLayout;
use super::lstm_cpu::{self, LstmPacked};
use super::{Activation, MlpLayout, Tensor};
use std::f64::consts::{PI, SQRT_2};
use std::ops::Range;

/// How the phases Φ of an action become beams (10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Φ as it is.
    Direct,
    /// Φ on top of −π·m·cos θ̂, the phases of a beam steered at the estimate.
    Residual,
}

/// What the schedule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// An LSTM with a linear head; phases have a perceptron of their own.
    Lstm,
    /// One tanh trunk with two linear heads, K logits and K·M phases.
    Trunk,
    /// Tanh experts, each with both heads; a softmax gate, linear in the observation, mixes their outputs.
    Mixture { experts: usize },
}

/// An agent's networks, as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    pub scheduler: Scheduler,
    /// Whether the networks see the ages; without, these inputs are 0.
    pub ages: bool,
}

/// The networks that decide.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// `head` [H → K] behind the LSTM; `phases` [O → K·M].
    Isolated { lstm: LstmLayout, head: MlpLayout, phases: MlpLayout },
    /// Perceptrons [O → K + K·M], whose first K outputs are logits; `gate` [O → experts], if there is more than one.
    Shared { gate: Option<MlpLayout>, experts: Vec<MlpLayout> },
}

/// Inputs, outputs and widths of the networks.
#[derive(Clone, Copy, Debug)]
pub struct Widths<'a> {
    /// O
    pub obs: usize,
    /// K
    pub vehicles: usize,
    /// M
    pub antennas: usize,
    /// H, units of the LSTM.
    pub lstm: usize,
    /// Hidden layers of the phases' own perceptron, of a shared trunk (or each expert of a mixture), and of the critic.
    pub phases: &'a [usize],
    pub trunk: &'a [usize],
    pub critic: &'a [usize],
}

/// Where everything lies in the flat vector: scheduler, phases, critic.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertsLayout {
    pub architecture: Architecture,
    /// O
    pub obs: usize,
    /// K
    pub vehicles: usize,
    /// M
    pub antennas: usize,
    /// What the outputs of the phase network mean.
    pub phase: Phase,
    pub decision: Decision,
    /// First element of `log_std` `[K·M]`, where phases are drawn from a Gaussian.
    pub log_std: Option<usize>,
    /// O → 1
    pub critic: MlpLayout,
}

impl ExpertsLayout {
    /// `phase`: what the outputs of the phase network mean.
    ///
    /// # Panics
    /// If observations have no room for cosines and ages.
    pub fn new(architecture: Architecture, phase: Phase, widths: &Widths) -> Self {
        let (o, k, m) = (widths.obs, widths.vehicles, widths.antennas);
        assert!(o >= 2 * k, "{o} numbers cannot hold a cosine and an age of {k} vehicles");
        let mlp = |hidden: &[usize], outputs: usize, offset: usize| {
            MlpLayout::new(&[&[o], hidden, &[outputs]].concat(), Activation::Tanh, offset)
        };
        let (decision, end) = match architecture.scheduler {
            Scheduler::Lstm => {
                let lstm = LstmLayout::new(o, widths.lstm, 0);
                let head = MlpLayout::new(&[widths.lstm, k], Activation::None, lstm.end());
                let phases = mlp(widths.phases, k * m, head.end());
                let end = phases.end();
                (Decision::Isolated { lstm, head, phases }, end)
            }
            Scheduler::Trunk => {
                let trunk = mlp(widths.trunk, k + k * m, 0);
                let end = trunk.end();
                (Decision::Shared { gate: None, experts: vec![trunk] }, end)
            }
            Scheduler::Mixture { experts: n } => {
                let gate = MlpLayout::new(&[o, n], Activation::None, 0);
                let mut end = gate.end();
                let mut experts = Vec::with_capacity(n);
                for _ in 0..n {
                    let expert = mlp(widths.trunk, k + k * m, end);
                    end = expert.end();
                    experts.push(expert);
                }
                (Decision::Shared { gate: Some(gate), experts }, end)
            }
        };
        let critic = mlp(widths.critic, 1, end);
        ExpertsLayout {
            architecture,
            obs: o,
            vehicles: k,
            antennas: m,
            phase,
            decision,
            log_std: None,
            critic,
        }
    }

    /// With phases that are drawn from a Gaussian whose means come from the network; `log_std` lies between decision
    /// and critic.
    #[must_use]
    pub fn drawn(mut self) -> Self {
        let offset = self.critic.offset;
        self.critic = self.critic.at(offset + self.phases());
        self.log_std = Some(offset);
        self
    }

    /// Where `log_std` lies; empty where phases are not drawn.
    pub fn log_std(&self) -> Range<usize> {
        self.log_std.map_or(0..0, |offset| offset..offset + self.phases())
    }

    /// Numbers of an observation that the networks see: the first ones.
    pub fn seen(&self) -> usize {
        if self.architecture.ages { self.obs } else { self.obs - self.vehicles }
    }

    /// K·M
    pub fn phases(&self) -> usize {
        self.vehicles * self.antennas
    }

    /// P: length of the flat vector of a replica.
    pub fn params(&self) -> usize {
        self.critic.end()
    }

    /// Whether the phases have parameters of their own, which no gradient of the schedule reaches.
    pub fn isolated(&self) -> bool {
        matches!(self.decision, Decision::Isolated { .. })
    }

    /// Parameter groups, each with its own Adam, learning rate and gradient norm: scheduler (with the trunk where it is
    /// shared), critic, phases (empty where the trunk is shared).
    pub fn groups(&self) -> [Range<usize>; 3] {
        let critic = self.critic.offset;
        let phases = match &self.decision {
            Decision::Isolated { phases, .. } => phases.offset,
            Decision::Shared { .. } => critic,
        };
        [0..phases, critic..self.params(), phases..critic]
    }

    /// `lstm.weight_ih`, …, `head.weight`, …, `phases.fc1.weight`, …, or `trunk.fc1.weight`, …, or `gate.weight`, …,
    /// `expert1.fc1.weight`, …; then `log_std`, where phases are drawn, and `critic.fc1.weight`, …: in the order of the
    /// flat vector.
    pub fn tensors(&self) -> Vec<Tensor> {
        let linear = |name: &str, l: &MlpLayout| {
            let mut tensors = l.tensors("");
            tensors.iter_mut().for_each(|t| t.name = t.name.replace("fc1", name));
            tensors
        };
        let mut out = Vec::new();
        match &self.decision {
            Decision::Isolated { lstm, head, phases } => {
                out.extend(lstm.tensors(""));
                out.extend(linear("head", head));
                out.extend(phases.tensors("phases."));
            }
            Decision::Shared { gate: None, experts } => out.extend(experts[0].tensors("trunk.")),
            Decision::Shared { gate: Some(gate), experts } => {
                out.extend(linear("gate", gate));
                for (n, e) in experts.iter().enumerate() {
                    out.extend(e.tensors(&format!("expert{}.", n + 1)));
                }
            }
        }
        if let Some(offset) = self.log_std {
            out.push(Tensor { name: "log_std".into(), shape: vec![self.phases()], offset });
        }
        out.extend(self.critic.tensors("critic."));
        out
    }

    /// The initial flat vector `[P]` of the replica with this Philox key: orthogonal weights, zero biases but for the
    /// LSTM's forget gates; gain √2 in hidden layers, `head_gain` for the logits and the gate, `output_gain` for the
    /// phases, 1 for the value; `log_std` is 0.
    pub fn init(&self, key: [u32; 2], head_gain: f64, output_gain: f64) -> Vec<f32> {
        let mut params = vec![0.0; self.params()];
        let mut tensor = 0;
        match &self.decision {
            Decision::Isolated { lstm, head, phases } => {
                lstm.init(key, 0, &mut params);
                head.init(key, 4, SQRT_2, head_gain, &mut params);
                phases.init(key, 6, SQRT_2, output_gain, &mut params);
                tensor = 6 + 2 * phases.layers.len();
            }
            Decision::Shared { gate, experts } => {
                if let Some(gate) = gate {
                    gate.init(key, 0, SQRT_2, head_gain, &mut params);
                    tensor = 2;
                }
                for e in experts {
                    // Both heads are rows of one matrix; the logits' rows start with their own gain.
                    e.init(key, tensor, SQRT_2, output_gain, &mut params);
                    let last = e.layers[e.layers.len() - 1];
                    let rows = &mut params[last.w_off..last.w_off + self.vehicles * last.inputs];
                    rows.iter_mut().for_each(|w| *w *= (head_gain / output_gain) as f32);
                    tensor += 2 * e.layers.len();
                }
            }
        }
        self.critic.init(key, tensor, SQRT_2, 1.0, &mut params);
        params
    }

    /// Copies observations `[rows, O]` to padded rows `[rows, ld]`, with the ages as 0 where the agent does not see
    /// them. Elements beyond O are left.
    pub(crate) fn see(&self, obs: &[f32], to: &mut [f32], ld: usize) {
        let (o, seen) = (self.obs, self.seen());
        for (from, to) in obs.chunks_exact(o).zip(to.chunks_mut(ld)) {
            to[..seen].copy_from_slice(&from[..seen]);
            to[seen..o].fill(0.0);
        }
    }

    /// Adds the phases that steer at the estimated angle, −π m cos θ̂, where outputs are corrections to them. `obs`
    /// `[rows, O]`; `phases` `[rows, K·M]`.
    pub(crate) fn steer(&self, obs: &[f32], phases: &mut [f32]) {
        if self.phase == Phase::Direct {
            return;
        }
        let m = self.antennas;
        for (obs, phases) in obs.chunks_exact(self.obs).zip(phases.chunks_exact_mut(self.phases())) {
            for (cos, phases) in obs.iter().zip(phases.chunks_exact_mut(m)) {
                for (n, x) in phases.iter_mut().enumerate() {
                    *x -= PI as f32 * n as f32 * cos;
                }
            }
        }
    }
}

/// The networks of one replica with packed weights. Rebuilt after every update.
pub struct ExpertsCpu {
    pub layout: ExpertsLayout,
    pub(crate) nets: Nets,
    pub(crate) critic: Packed,
    /// `[K·M]` where phases are drawn, else empty.
    pub(crate) log_std: Vec<f32>,
}

pub(crate) enum Nets {
    Isolated { lstm: Box<LstmPacked>, head: Packed, phases: Packed },
    Shared { gate: Option<Packed>, experts: Vec<Packed> },
}

impl ExpertsCpu {
    pub fn new(layout: &ExpertsLayout) -> Self {
        let nets = match &layout.decision {
            Decision::Isolated { lstm, head, phases } => Nets::Isolated {
                lstm: Box::new(LstmPacked::new(lstm)),
                head: Packed::new(head),
                phases: Packed::new(phases),
            },
            Decision::Shared { gate, experts } => Nets::Shared {
                gate: gate.as_ref().map(Packed::new),
                experts: experts.iter().map(Packed::new).collect(),
            },
        };
        let log_std = vec![0.0; layout.log_std().len()];
        ExpertsCpu { layout: layout.clone(), nets, critic: Packed::new(&layout.critic), log_std }
    }

    /// Takes the weights from the flat vector `[P]` of one replica.
    pub fn pack(&mut self, params: &[f32]) {
        match &mut self.nets {
            Nets::Isolated { lstm, head, phases } => {
                lstm.pack(params);
                head.pack(params);
                phases.pack(params);
            }
            Nets::Shared { gate, experts } => {
                gate.iter_mut().chain(experts).for_each(|n| n.pack(params));
            }
        }
        self.critic.pack(params);
        self.log_std.copy_from_slice(&params[self.layout.log_std()]);
    }
}

/// Recurrent state of up to `envs` environments, and working memory to act in them.
pub struct ExpertsState {
    memory: Memory,
}

enum Memory {
    Isolated {
        /// [h | x], see [`lstm_cpu`].
        input: Vec<f32>,
        cell: Vec<f32>,
        gates: Vec<f32>,
        head: Activations,
        phases: Activations,
        /// How rows of input and cell lie, and H.
        sizes: lstm_cpu::Sizes,
        hidden: usize,
    },
    Shared {
        x: Vec<f32>,
        gate: Option<Activations>,
        experts: Vec<Activations>,
    },
}

impl ExpertsState {
    /// At the start of an episode.
    pub fn new(layout: &ExpertsLayout, envs: usize) -> Self {
        let memory = match &layout.decision {
            Decision::Isolated { lstm, head, phases } => {
                let sizes = lstm_cpu::Sizes::of(lstm);
                Memory::Isolated {
                    input: vec![0.0; envs * sizes.ld_in],
                    cell: vec![0.0; envs * sizes.units],
                    gates: vec![0.0; envs * sizes.ld_gates],
                    head: Activations::new(head, envs),
                    phases: Activations::new(phases, envs),
                    sizes,
                    hidden: lstm.hidden(),
                }
            }
            Decision::Shared { gate, experts } => Memory::Shared {
                x: vec![0.0; envs * leading(layout.obs)],
                gate: gate.as_ref().map(|g| Activations::new(g, envs)),
                experts: experts.iter().map(|e| Activations::new(e, envs)).collect(),
            },
        };
        ExpertsState { memory }
    }

    /// Numbers of an environment that outlive a slot: [h | c] of an LSTM, 2H.
    pub fn width(layout: &ExpertsLayout) -> usize {
        match &layout.decision {
            Decision::Isolated { lstm, .. } => 2 * lstm.hidden(),
            Decision::Shared { .. } => 0,
        }
    }

    /// What outlives a slot, `[envs, 2H]` of h and c.
    pub fn get(&self, out: &mut [f32]) {
        if let Memory::Isolated { input, cell, sizes, hidden, .. } = &self.memory {
            let rows = input.chunks_exact(sizes.ld_in).zip(cell.chunks_exact(sizes.units));
            for (out, (h, c)) in out.chunks_exact_mut(2 * hidden).zip(rows) {
                out[..*hidden].copy_from_slice(&h[..*hidden]);
                out[*hidden..].copy_from_slice(&c[..*hidden]);
            }
        }
    }

    /// Takes what [`ExpertsState::get`] gave.
    pub fn put(&mut self, memory: &[f32]) {
        if let Memory::Isolated { input, cell, sizes, hidden, .. } = &mut self.memory {
            let rows = input.chunks_exact_mut(sizes.ld_in).zip(cell.chunks_exact_mut(sizes.units));
            for (memory, (h, c)) in memory.chunks_exact(2 * *hidden).zip(rows) {
                h[..*hidden].copy_from_slice(&memory[..*hidden]);
                c[..*hidden].copy_from_slice(&memory[*hidden..]);
            }
        }
    }

    /// Zero, as where an episode starts.
    pub fn restart(&mut self) {
        if let Memory::Isolated { input, cell, .. } = &mut self.memory {
            input.fill(0.0);
            cell.fill(0.0);
        }
    }
}

/// One slot of `envs` environments: from `obs` `[envs, O]` the `logits` `[envs, K]` of the schedule and, if wanted, the
/// phases Φ `[envs, K·M]`, rad (their means, where they are drawn). Moves the recurrent state on by one slot, so that
/// it is called once a slot.
///
/// # Panics
/// If an array is of another size, or `state` was made for fewer environments or another layout.
pub fn act(
    net: &ExpertsCpu,
    envs: usize,
    obs: &[f32],
    state: &mut ExpertsState,
    logits: &mut [f32],
    mut phases: Option<&mut [f32]>,
) {
    put_out(net, envs, obs, state, logits, phases.as_deref_mut());
    if let Some(phases) = phases {
        net.layout.steer(obs, phases);
    }
}

/// As [`act`], with the phase network's outputs as they are.
pub(crate) fn put_out(
    net: &ExpertsCpu,
    envs: usize,
    obs: &[f32],
    state: &mut ExpertsState,
    logits: &mut [f32],
    phases: Option<&mut [f32]>,
) {
    let layout = &net.layout;
    let (k, km, o) = (layout.vehicles, layout.phases(), layout.obs);
    assert_eq!(
        (obs.len(), logits.len()),
        (envs * o, envs * k),
        "observations and logits of {envs} environments"
    );
    if let Some(phases) = &phases {
        assert_eq!(phases.len(), envs * km, "phases of {envs} environments");
    }
    match (&net.nets, &mut state.memory) {
        (
            Nets::Isolated { lstm, head, phases: perceptron },
            Memory::Isolated { input, cell, gates, head: head_out, phases: phases_out, .. },
        ) => {
            let (ld, units) = (lstm.sizes.ld_in, lstm.sizes.units);
            layout.see(obs, &mut input[units..], ld);
            if let Some(phases) = phases {
                forward(perceptron, envs, Strided { data: &input[units..], row: ld, col: 1 }, phases_out);
                copy_columns(phases_out.output(), leading(km), 0, km, phases);
            }
            lstm_cpu::step_in_place(lstm, envs, input, gates, cell);
            forward(head, envs, Strided { data: input, row: ld, col: 1 }, head_out);
            copy_columns(head_out.output(), leading(k), 0, k, logits);
        }
        (Nets::Shared { gate, experts }, Memory::Shared { x, gate: gate_out, experts: outs }) => {
            let ld = leading(o);
            layout.see(obs, x, ld);
            let x = Strided { data: x, row: ld, col: 1 };
            let wanted = if phases.is_some() { k + km } else { k };
            for (net, out) in experts.iter().zip(outs.iter_mut()) {
                forward_first(net, envs, x, wanted, out);
            }
            if let (Some(gate), Some(gate_out)) = (gate, gate_out.as_mut()) {
                forward(gate, envs, x, gate_out);
                mix(envs, wanted, leading(k + km), gate_out, outs);
            }
            let ld = leading(k + km);
            copy_columns(outs[0].output(), ld, 0, k, logits);
            if let Some(phases) = phases {
                copy_columns(outs[0].output(), ld, k, km, phases);
            }
        }
        _ => panic!("the state of another kind of network"),
    }
}

/// Columns [first, first + n) of rows with leading dimension `ld`, without gaps.
pub(crate) fn copy_columns(from: &[f32], ld: usize, first: usize, n: usize, to: &mut [f32]) {
    for (from, to) in from.chunks(ld).zip(to.chunks_exact_mut(n)) {
        to.copy_from_slice(&from[first..first + n]);
    }
}

/// Softmax of the gate's outputs in place, `[rows, leading(experts)]`.
pub(crate) fn softmax(rows: usize, experts: usize, gate: &mut Activations) {
    let ld = leading(experts);
    let z = gate.layers.last_mut().expect("a network has layers");
    for row in z.chunks_mut(ld).take(rows).map(|row| &mut row[..experts]) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|x| *x = crate::num::real::Real::exp(*x - top));
        let sum = row.iter().sum::<f32>();
        row.iter_mut().for_each(|x| *x /= sum);
    }
}

/// Σ_e softmax(gate)_e · out_e over the first `wanted` outputs, into the first expert's; rows are `ld` apart.
fn mix(rows: usize, wanted: usize, ld: usize, gate: &mut Activations, outs: &mut [Activations]) {
    softmax(rows, outs.len(), gate);
    let (lg, g) = (leading(outs.len()), gate.output());
    let (first, rest) = outs.split_first_mut().expect("a mixture has experts");
    let first = first.layers.last_mut().expect("a network has layers");
    for m in 0..rows {
        let to = &mut first[m * ld..][..wanted];
        to.iter_mut().for_each(|y| *y *= g[m * lg]);
        for (e, out) in rest.iter().enumerate() {
            let weight = g[m * lg + e + 1];
            to.iter_mut().zip(&out.output()[m * ld..]).for_each(|(y, x)| *y += weight * x);
        }
    }
}

/// The networks in f64, straight from their definitions: what tests judge the fast forms by.
#[cfg(test)]
pub(crate) mod definition {
    use super::*;

    pub const ALL: [Architecture; 4] = [ISOLATED, BLIND, TRUNK, MIXTURE];
    pub const ISOLATED: Architecture = Architecture { scheduler: Scheduler::Lstm, ages: true };
    pub const BLIND: Architecture = Architecture { ages: false, ..ISOLATED };
    pub const TRUNK: Architecture = Architecture { scheduler: Scheduler::Trunk, ages: true };
    pub const MIXTURE: Architecture =
        Architecture { scheduler: Scheduler::Mixture { experts: 2 }, ages: true };

    pub fn dense(layout: &MlpLayout, p: &[f64], x: &[f64]) -> Vec<f64> {
        layout.layers.iter().fold(x.to_vec(), |h, l| {
            let row = |o: usize| {
                p[l.w_off + o * l.inputs..][..l.inputs].iter().zip(&h).map(|(w, h)| w * h).sum::<f64>()
            };
            (0..l.outputs).map(|o| l.act.apply(row(o) + p[l.b_off + o])).collect()
        })
    }

    /// One slot of one environment, from the definitions: logits and the phase network's outputs.
    pub fn define(layout: &ExpertsLayout, p: &[f64], x: &[f64], h: &mut [f64], c: &mut [f64]) -> Vec<f64> {
        match &layout.decision {
            Decision::Isolated { lstm, head, phases } => {
                let as_net = |l| MlpLayout { layers: vec![l], lif: None, population: None, offset: 0 };
                let (a, b) = (dense(&as_net(lstm.input), p, x), dense(&as_net(lstm.recurrent), p, h));
                let (n, sigmoid) = (c.len(), |x: f64| 1.0 / (1.0 + (-x).exp()));
                for j in 0..n {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|q| a[q * n + j] + b[q * n + j]);
                    c[j] = sigmoid(f) * c[j] + sigmoid(i) * g.tanh();
                    h[j] = sigmoid(o) * c[j].tanh();
                }
                [dense(head, p, h), dense(phases, p, x)].concat()
            }
            Decision::Shared { gate: None, experts } => dense(&experts[0], p, x),
            Decision::Shared { gate: Some(gate), experts } => {
                let z: Vec<f64> = dense(gate, p, x).iter().map(|z| z.exp()).collect();
                let mut sum = vec![0.0; layout.vehicles + layout.phases()];
                for (z_e, e) in z.iter().zip(experts) {
                    let share = z_e / z.iter().sum::<f64>();
                    sum.iter_mut().zip(dense(e, p, x)).for_each(|(s, y)| *s += share * y);
                }
                sum
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::definition::{ALL, ISOLATED, MIXTURE, TRUNK, define};
    use super::*;
    use crate::num::philox::{PhiloxRng, Stream};
    use rand::Rng;

    /// Sizes that are no multiples of a vector.
    fn layout(architecture: Architecture, phase: Phase) -> ExpertsLayout {
        let widths = Widths {
            obs: 9,
            vehicles: 3,
            antennas: 7,
            lstm: 20,
            phases: &[33],
            trunk: &[18, 9],
            critic: &[10],
        };
        ExpertsLayout::new(architecture, phase, &widths)
    }

    #[test]
    fn acting_is_what_the_definitions_say() {
        for (architecture, phase) in ALL.into_iter().flat_map(|a| [(a, Phase::Direct), (a, Phase::Residual)])
        {
            let layout = layout(architecture, phase);
            let (k, km, o, envs) = (3, 21, 9, 37);
            let mut rng = PhiloxRng::new([1, 2], Stream::Init, 0, 9);
            let mut draw = || f64::from((f64::from(rng.next_u32()) / 4294967296.0 - 0.5) as f32);
            let params: Vec<f64> = (0..layout.params()).map(|_| draw()).collect();
            let mut net = ExpertsCpu::new(&layout);
            net.pack(&params.iter().map(|p| *p as f32).collect::<Vec<_>>());
            let mut state = ExpertsState::new(&layout, envs + 3);
            // Left over from another episode.
            let rubbish = vec![0.5; envs * o];
            act(&net, envs, &rubbish, &mut state, &mut vec![0.0; envs * k], None);
            state.restart();
            let mut memory = vec![(vec![0.0; 20], vec![0.0; 20]); envs];
            for slot in 0..3 {
                let obs: Vec<f64> = (0..envs * o).map(|_| 2.0 * draw()).collect();
                let flat: Vec<f32> = obs.iter().map(|x| *x as f32).collect();
                let (mut logits, mut phases) = (vec![f32::NAN; envs * k], vec![f32::NAN; envs * km]);
                let beams = (slot != 1).then_some(&mut phases[..]);
                act(&net, envs, &flat, &mut state, &mut logits, beams);
                for (env, (h, c)) in memory.iter_mut().enumerate() {
                    let mut x = obs[env * o..][..o].to_vec();
                    if !architecture.ages {
                        x[2 * k..].fill(0.0);
                    }
                    let want = define(&layout, &params, &x, h, c);
                    for (i, want) in want.into_iter().enumerate() {
                        let (got, want) = if i < k {
                            (logits[env * k + i], want)
                        } else if slot == 1 {
                            continue;
                        } else {
                            let (vehicle, m) = ((i - k) / 7, (i - k) % 7);
                            let steer =
                                if phase == Phase::Residual { -PI * m as f64 * x[vehicle] } else { 0.0 };
                            (phases[env * km + i - k], want + steer)
                        };
                        let what = format!(
                            "{architecture:?}, {phase:?}, slot {slot}, environment {env}, output {i}"
                        );
                        assert!((f64::from(got) - want).abs() < 2e-5, "{what}: {got} against {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn tensors_tile_the_flat_vector_and_groups_part_it() {
        let names = |a| {
            let layout = layout(a, Phase::Direct);
            let mut next = 0;
            let tensors = layout.tensors();
            for t in &tensors {
                assert_eq!(t.offset, next, "{a:?} {}", t.name);
                next = t.range().end;
            }
            assert_eq!(next, layout.params());
            let [policy, critic, phases] = layout.groups();
            assert_eq!((policy.start, policy.end), (0, phases.start));
            assert_eq!((phases.end, critic.end), (critic.start, layout.params()));
            assert_eq!(phases.is_empty(), !layout.isolated());
            assert_eq!(tensors.iter().find(|t| t.name == "critic.fc1.weight").unwrap().offset, critic.start);
            tensors.into_iter().map(|t| t.name).collect::<Vec<_>>()
        };
        assert_eq!(names(ISOLATED)[3..7], ["lstm.bias_hh", "head.weight", "head.bias", "phases.fc1.weight"]);
        assert_eq!(names(TRUNK)[0], "trunk.fc1.weight");
        let mixture = names(MIXTURE);
        assert_eq!(mixture[..3], ["gate.weight", "gate.bias", "expert1.fc1.weight"]);
        assert_eq!(mixture[8], "expert2.fc1.weight");
    }

    #[test]
    fn heads_start_with_their_gains() {
        for a in ALL {
            let layout = layout(a, Phase::Direct);
            let p = layout.init([3, 5], 0.01, 0.5);
            assert!(p.iter().all(|x| x.is_finite()));
            assert_eq!(p, layout.init([3, 5], 0.01, 0.5));
            let norm = |l: &super::super::mlp::Layer, row: usize| {
                p[l.w_off + row * l.inputs..][..l.inputs].iter().map(|w| w * w).sum::<f32>().sqrt()
            };
            let close =
                |got: f32, want: f32| assert!((got / want - 1.0).abs() < 1e-4, "{got} against {want}");
            match &layout.decision {
                Decision::Isolated { head, phases, .. } => {
                    close(norm(&head.layers[0], 2), 0.01);
                    close(norm(&phases.layers[1], 20), 0.5);
                }
                Decision::Shared { experts, .. } => {
                    for e in experts {
                        let l = &e.layers[2];
                        // 24 rows of 9 weights: columns are orthogonal, so the squares of all rows add up to 9.
                        let all: f32 = (0..3).map(|r| (norm(l, r) / 0.01).powi(2)).sum::<f32>()
                            + (3..24).map(|r| (norm(l, r) / 0.5).powi(2)).sum::<f32>();
                        close(all, 9.0);
                    }
                    if let [a, b] = &experts[..] {
                        assert_ne!(p[a.offset..a.offset + 20], p[b.offset..b.offset + 20]);
                    }
                }
            }
        }
    }
}

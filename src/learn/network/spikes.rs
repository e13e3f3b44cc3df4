//! What happens inside a spiking network: buffers that forward and backward pass share, and carried potentials.

use super::split;
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::layer::Rows;
use crate::kernels::lif_forward::CarriedAt;
use crate::nets::MlpLayout;
use crate::nets::mlp::Layer;

/// Carried potentials of so many slots; none where they are reset.
pub(super) fn membrane(
    gpu: &Gpu,
    net: &MlpLayout,
    slots: usize,
    rows: Rows,
) -> Result<Option<Buf<f32>>, GpuError> {
    let shape = [slots, rows.r, rows.m, net.carried().iter().sum()];
    (shape[3] > 0).then(|| gpu.alloc("spikes.membrane", &shape, Fill::Zero)).transpose()
}

/// What happens inside a spiking network, for passes that work on the same rows one after the other. A clone is the
/// same buffers.
#[derive(Clone)]
pub struct Spikes {
    /// Currents of the first hidden layer `[R, m, N]`, the same at every step.
    pub(super) current: Buf<f32>,
    /// Spike words (`lif_forward`) of each hidden layer, `[R, m, N]`.
    pub words: Vec<Buf<u32>>,
    /// Trace of the last hidden layer `[R, m, N]`: what the output layer weighs.
    pub(super) trace: Buf<f32>,
    /// Potentials of the hidden layers above the first, `[R, m, S, N]`, if a backward pass needs them.
    pub potentials: Vec<Buf<f32>>,
    /// Potentials that outlive an inference, all layers' side by side, `[slots, R, m, width]`, zero at first.
    pub membrane: Option<Buf<f32>>,
}

/// The slots among carried potentials that a pass starts from and writes to.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    pub start: usize,
    pub end: usize,
}

impl Between {
    /// For potentials of one pass alone: from the first slot (at rest, or what was put there) to the second.
    pub const OWN: Between = Between { start: 0, end: 1 };

    /// Slot `t` of a rollout of `horizon` slots, in which every episode has `slots`: to the next one, or behind the
    /// rollout where it ends an episode, whose successor finds its own still at rest.
    pub fn of_rollout(t: usize, horizon: usize, slots: usize) -> Between {
        Between { start: t, end: if (t + 1).is_multiple_of(slots) { horizon } else { t + 1 } }
    }
}

/// Where layer after layer of a network has its potentials in slots of `rows` samples.
pub(super) fn carried_at(net: &MlpLayout, rows: usize, between: Between) -> Vec<CarriedAt> {
    let carried = net.carried();
    let width = carried.iter().sum::<usize>();
    let first = carried.iter().scan(0, |next, n| Some(std::mem::replace(next, *next + n)));
    let at = |first| {
        let of = |slot: usize| slot * rows * width + first;
        CarriedAt { start: of(between.start), end: of(between.end), width }
    };
    first.map(at).collect()
}

impl Spikes {
    /// Buffers for `rows` rows; with `learn` > 0, for a backward pass over up to `learn` of them. `None` for a
    /// perceptron.
    pub fn new(gpu: &Gpu, net: &MlpLayout, rows: Rows, learn: usize) -> Result<Option<Self>, GpuError> {
        let Some(lif) = net.lif else { return Ok(None) };
        let (hidden, _) = split(net);
        let Rows { r, m, .. } = rows;
        let zero = |label: &str, shape: &[usize]| gpu.alloc::<f32>(label, shape, Fill::Zero);
        let words = |l: &Layer| gpu.alloc::<u32>("spikes.words", &[r, m, l.outputs], Fill::Zero);
        let kept = if learn > 0 { &hidden[1..] } else { &[] };
        let potentials = |l: &Layer| zero("spikes.potentials", &[r, learn, lif.steps, l.outputs]);
        Ok(Some(Spikes {
            current: zero("spikes.current", &[r, m, hidden[0].outputs])?,
            words: hidden.iter().map(words).collect::<Result<_, _>>()?,
            trace: zero("spikes.trace", &[r, m, hidden[hidden.len() - 1].outputs])?,
            potentials: kept.iter().map(potentials).collect::<Result<_, _>>()?,
            membrane: membrane(gpu, net, 2, rows)?,
        }))
    }

    /// The same with potentials of its own for a rollout of `horizon` slots of `rows`, if any are carried.
    pub fn of_rollout(
        &self,
        gpu: &Gpu,
        net: &MlpLayout,
        horizon: usize,
        rows: Rows,
    ) -> Result<Self, GpuError> {
        Ok(Spikes { membrane: membrane(gpu, net, horizon + 1, rows)?, ..self.clone() })
    }
}

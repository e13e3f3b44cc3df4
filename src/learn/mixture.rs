//! Perceptrons under a softmax gate, or one without, bound on the GPU as training records them.

use super::network::{Backward, Forward, Rows};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::{expert_mix, expert_mix_backward};
use crate::nets::MlpLayout;
use crate::nets::mlp::Layer;

/// One perceptron, or two of the same sizes with the gate [inputs → 2] that mixes their outputs.
#[derive(Clone, Debug)]
pub struct Mixture {
    pub nets: Vec<MlpLayout>,
    pub gate: Option<MlpLayout>,
}

impl Mixture {
    /// One perceptron.
    pub fn single(net: MlpLayout) -> Self {
        Mixture { nets: vec![net], gate: None }
    }

    /// C
    fn outputs(&self) -> usize {
        self.nets[0].outputs()
    }
}

/// The first `n` outputs of a perceptron and the others, as networks with the same hidden layers.
pub fn heads(net: &MlpLayout, n: usize) -> [MlpLayout; 2] {
    let last = net.layers[net.layers.len() - 1];
    assert!(last.outputs > n, "{} outputs are no {n} and others", last.outputs);
    let first = Layer { outputs: n, ..last };
    let others = Layer {
        outputs: last.outputs - n,
        w_off: last.w_off + n * last.inputs,
        b_off: last.b_off + n,
        ..last
    };
    [first, others].map(|head| {
        let mut net = net.clone();
        net.layers.pop();
        net.layers.push(head);
        net
    })
}

/// Buffers for the outputs of the hidden layers, `[R, rows, width]` each.
pub fn hidden(
    gpu: &Gpu,
    name: &str,
    net: &MlpLayout,
    r: usize,
    rows: usize,
) -> Result<Vec<Buf<f32>>, GpuError> {
    let widths = net.layers[..net.layers.len() - 1].iter().map(|l| l.outputs).enumerate();
    widths.map(|(n, w)| gpu.alloc(&format!("{name}.h{}", n + 1), &[r, rows, w], Fill::Zero)).collect()
}

/// Outputs of the hidden layers, then of the last one.
pub fn ending<'a>(hidden: &'a [Buf<f32>], last: &'a Buf<f32>) -> Vec<&'a Buf<f32>> {
    hidden.iter().chain([last]).collect()
}

/// Forward passes of all networks, and the mixture of their outputs.
pub struct MixtureForward {
    nets: Vec<Forward>,
    hidden: Vec<Vec<Buf<f32>>>,
    gate: Option<GateForward>,
}

struct GateForward {
    net: Forward,
    /// `[R, M, 2]`
    z: Buf<f32>,
    /// Of both experts, `[R, M, C]`.
    outs: [Buf<f32>; 2],
    mix: expert_mix::ExpertMixBound,
}

impl MixtureForward {
    /// `params` `[R, P]`; `x` `[R, M, I]`, or whatever the offsets of `record` point into; `y` `[R, M, C]`.
    pub fn new(
        gpu: &Gpu,
        mixture: &Mixture,
        size: Rows,
        params: &Buf<f32>,
        x: &Buf<f32>,
        y: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let Rows { r, m, .. } = size;
        let c = mixture.outputs();
        let hidden: Vec<_> =
            mixture.nets.iter().map(|net| hidden(gpu, "mixture", net, r, m)).collect::<Result<_, _>>()?;
        let gate = match &mixture.gate {
            None => None,
            Some(gate) => {
                assert_eq!((mixture.nets.len(), gate.outputs()), (2, 2), "a gate mixes two experts");
                let out = || gpu.alloc::<f32>("mixture.out", &[r, m, c], Fill::Zero);
                let (z, outs) = (gpu.alloc("mixture.gate", &[r, m, 2], Fill::Zero)?, [out()?, out()?]);
                let net = Forward::new(gpu, gate, size, params, x, &[&z])?;
                let mix = expert_mix::ExpertMix::new(gpu, &expert_mix::Spec { r, m, c })?
                    .bind(gpu, &z, &outs[0], &outs[1], y);
                Some(GateForward { net, z, outs, mix })
            }
        };
        let net = |(e, (net, hidden)): (usize, (&MlpLayout, &Vec<Buf<f32>>))| {
            let out = gate.as_ref().map_or(y, |g| &g.outs[e]);
            Forward::new(gpu, net, size, params, x, &ending(hidden, out))
        };
        let nets = mixture.nets.iter().zip(&hidden).enumerate().map(net).collect::<Result<_, _>>()?;
        Ok(MixtureForward { nets, hidden, gate })
    }

    /// `m` rows of each replica, from element `x_off` of the input.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize, x_off: usize) {
        self.nets.iter().for_each(|net| net.record(pass, m, x_off, 0));
        if let Some(gate) = &self.gate {
            gate.net.record(pass, m, x_off, 0);
            gate.mix.record(pass, m);
        }
    }
}

/// Backward passes from the gradient by the mixed outputs: weight gradients into partial sums.
pub struct MixtureBackward {
    nets: Vec<Backward>,
    gate: Option<(expert_mix_backward::ExpertMixBackwardBound, Backward)>,
}

impl MixtureBackward {
    /// Behind `forward` from the first row of `x` to `y`; `d_y` `[R, M, C]` is the gradient by `y`; `partials`
    /// `[slices, R, P]`.
    #[expect(clippy::too_many_arguments, reason = "networks with their input, activations and gradients")]
    pub fn new(
        gpu: &Gpu,
        mixture: &Mixture,
        size: Rows,
        slices: usize,
        params: &Buf<f32>,
        x: &Buf<f32>,
        forward: &MixtureForward,
        y: &Buf<f32>,
        d_y: &Buf<f32>,
        partials: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let Rows { r, m, .. } = size;
        let c = mixture.outputs();
        let back = |net: &MlpLayout, acts: &[&Buf<f32>], d_out: &Buf<f32>| {
            let d_hidden = hidden(gpu, "mixture.d", net, r, m)?;
            let dy = ending(&d_hidden, d_out);
            Backward::new(gpu, net, size, slices, params, x, acts, &dy, None, partials)
        };
        let (Some(gate), Some(net)) = (&forward.gate, &mixture.gate) else {
            let net = back(&mixture.nets[0], &ending(&forward.hidden[0], y), d_y)?;
            return Ok(MixtureBackward { nets: vec![net], gate: None });
        };
        let d_out = || gpu.alloc::<f32>("mixture.d_out", &[r, m, c], Fill::Zero);
        let (d_outs, d_z) = ([d_out()?, d_out()?], gpu.alloc("mixture.d_gate", &[r, m, 2], Fill::Zero)?);
        let [a, b] = &gate.outs;
        let mix = expert_mix_backward::ExpertMixBackward::new(gpu, &expert_mix_backward::Spec { r, m, c })?
            .bind(gpu, &gate.z, a, b, d_y, &d_outs[0], &d_outs[1], &d_z);
        let expert =
            |e: usize| back(&mixture.nets[e], &ending(&forward.hidden[e], &gate.outs[e]), &d_outs[e]);
        Ok(MixtureBackward {
            nets: vec![expert(0)?, expert(1)?],
            gate: Some((mix, back(net, &[&gate.z], &d_z)?)),
        })
    }

    /// `m` rows of each replica.
    pub fn record(&self, pass: &mut wgpu::ComputePass, m: usize) {
        if let Some((mix, gate)) = &self.gate {
            mix.record(pass, m);
            gate.record(pass, m);
        }
        self.nets.iter().for_each(|net| net.record(pass, m));
    }
}

//! lstm.safetensors: an LSTM with a linear head and binary cross entropy, at the last step only and at every step.

use super::{Case, GoldenError, Rows as Compared, Scalar, Vectors, real, wide};
use crate::gpu::{Buf, Fill, Gpu};
use crate::kernels::{dense_backward_input, dense_backward_weights, dense_forward, grad_reduce};
use crate::learn::network::{Rows, dense_cpu, dense_input_cpu, dense_weights_cpu};
use crate::learn::recurrent::{LstmGpu, Sequences, forward_backward_cpu};
use crate::nets::Activation;
use crate::nets::lstm::LstmLayout;
use crate::nets::mlp::Layer;
use crate::num::real::Real;

/// Slices of the weight gradients; more than one, so that their sum is tested too.
const SLICES: usize = 3;
/// The GPU runs the case in every replica and the first is compared.
const REPLICAS: usize = 2;

/// The two losses.
const LOSSES: [&str; 2] = ["last", "seq"];

struct Lstm {
    /// Of [`LOSSES`].
    loss: &'static str,
    layout: LstmLayout,
    head: Layer,
    s: usize,
    m: usize,
    params: Vec<f32>,
    /// `[S+1, M, I]`, zero in the last slot.
    x: Vec<f32>,
    h0: Vec<f32>,
    c0: Vec<f32>,
    /// `[S, M, O]`
    y: Vec<i32>,
}

impl Lstm {
    fn of(v: &Vectors) -> Result<Lstm, GoldenError> {
        let [s, m, inputs] = v.dims("x")?;
        let [_, hidden] = v.dims("h0")?;
        let [outputs, _] = v.dims("head.weight")?;
        let layout = LstmLayout::new(inputs, hidden, 0);
        let w_off = layout.end();
        let head =
            Layer { inputs: hidden, outputs, act: Activation::None, w_off, b_off: w_off + outputs * hidden };
        let mut params = vec![0f32; head.b_off + outputs];
        for (name, at, count) in Self::names(&layout, &head) {
            let values = v.any_f32(&name)?;
            if values.len() != count {
                return Err(v.problem(&name, format!("has {} elements, not {count}", values.len())));
            }
            params[at..at + count].copy_from_slice(&values);
        }
        let mut x = v.f32("x", &[s, m, inputs])?;
        x.resize((s + 1) * m * inputs, 0.0);
        let (h0, c0) = (v.f32("h0", &[m, hidden])?, v.f32("c0", &[m, hidden])?);
        let y = v.i32("y", &[s, m, outputs])?;
        Ok(Lstm { loss: LOSSES[0], layout, head, s, m, params, x, h0, c0, y })
    }

    fn names(layout: &LstmLayout, head: &Layer) -> Vec<(String, usize, usize)> {
        let mut out: Vec<_> =
            layout.tensors("").into_iter().map(|t| (t.name.clone(), t.offset, t.count())).collect();
        out.push(("head.weight".into(), head.w_off, head.inputs * head.outputs));
        out.push(("head.bias".into(), head.b_off, head.outputs));
        out
    }

    fn size(&self, r: usize) -> Sequences {
        Sequences { r, s: self.s, m: self.m, p: self.params.len(), t_seq: 0 }
    }

    /// Mean binary cross entropy by the logits `[S+1, M, O]` of which slot s+1 belongs to step s: (p − y)/count where a
    /// step counts.
    fn d_logits<F: Real<Elem = F>>(&self, logits: &[F]) -> Vec<F> {
        let last = self.loss == "last";
        let slot = self.m * self.head.outputs;
        let count = if last { slot } else { self.s * slot };
        let mut d = vec![F::splat(0.0); logits.len()];
        for (n, y) in self.y.iter().enumerate() {
            if !last || n / slot + 1 == self.s {
                d[slot + n] = (logits[slot + n].sigmoid() - F::splat(f64::from(*y))) / F::splat(count as f64);
            }
        }
        d
    }
}

/// Names in the file with values.
type Named = Vec<(String, Vec<f64>)>;

impl Case for Lstm {
    type Out = Named;

    /// Forward and backward through the CPU twins.
    fn twin<F: Scalar>(&self) -> Named {
        let size = self.size(1);
        let (p, rows, l) = (size.p, size.rows(), self.head);
        let params: Vec<F> = real(&self.params);
        let mut partials = vec![F::splat(0.0); SLICES * p];
        let (mut logits, mut head_partials) = (Vec::new(), partials.clone());
        let pass = forward_backward_cpu(
            &self.layout,
            size,
            SLICES,
            &params,
            &real::<F>(&self.x),
            (&real::<F>(&self.h0), &real::<F>(&self.c0)),
            |hidden| {
                logits = dense_cpu(&l, (1, rows), 1.0, &params, hidden);
                let d = self.d_logits(&logits);
                dense_weights_cpu(&l, (1, rows), SLICES, 1.0, hidden, &d, &mut head_partials);
                dense_input_cpu(&l, (1, rows), l.act, &params, hidden, &d)
            },
            &mut partials,
        );
        for slice in 0..SLICES {
            let at = slice * p + l.w_off..(slice + 1) * p;
            partials[at.clone()].copy_from_slice(&head_partials[at]);
        }
        let mut grads = vec![F::splat(0.0); p];
        grad_reduce::grad_reduce_cpu(&grad_reduce::Spec { r: 1, p, s: SLICES }, &partials, &mut grads);
        self.named(
            [&pass.hidden, &pass.cell, &logits, &pass.dx, &pass.dh0, &pass.dc0, &grads].map(|x| wide(x)),
        )
    }

    /// The kernels as training binds them.
    fn on_gpu(&self, gpu: &Gpu) -> Result<Named, GoldenError> {
        let size = self.size(REPLICAS);
        let (r, p, rows, l) = (REPLICAS, size.p, size.rows(), self.head);
        let all = |x: &[f32]| x.repeat(r);
        let params = gpu.upload("golden.params", &[r, p], &all(&self.params))?;
        let x = gpu.upload("golden.x", &[r, rows, self.layout.inputs()], &all(&self.x))?;
        let poison = |label: &str, shape: &[usize]| gpu.alloc::<f32>(label, shape, Fill::Poison);
        let dx = poison("golden.dx", &[r, rows, self.layout.inputs()])?;
        let partials = poison("golden.partials", &[SLICES, r, p])?;
        let grads = poison("golden.grads", &[r, p])?;
        let logits = poison("golden.logits", &[r, rows, l.outputs])?;
        let d_logits = gpu.alloc::<f32>("golden.d_logits", &[r, rows, l.outputs], Fill::Zero)?;
        let lstm = LstmGpu::new(gpu, &self.layout, size, SLICES, &params, &x, Some(&dx), &partials)?;
        let start = |x: &[f32]| {
            let mut all = Vec::new();
            for _ in 0..r {
                all.extend_from_slice(x);
                all.resize(all.len() + self.s * x.len(), 0.0);
            }
            all
        };
        gpu.write(&lstm.hidden, &start(&self.h0));
        gpu.write(&lstm.cell, &start(&self.c0));
        gpu.write(&lstm.h_now, &all(&self.h0));
        let sizes = Rows { r, m: rows, p };
        let spec = dense_forward::Spec::of(&l, sizes);
        let head = dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, &params, &lstm.hidden, &logits);
        let spec = dense_backward_weights::Spec::of(&l, sizes, SLICES);
        let kernel = dense_backward_weights::DenseBackwardWeights::new(gpu, &spec)?;
        let head_weights = kernel.bind(gpu, &d_logits, &lstm.hidden, &partials);
        let spec = dense_backward_input::Spec::of(&l, sizes, l.act);
        let kernel = dense_backward_input::DenseBackwardInput::new(gpu, &spec)?;
        let head_back = kernel.bind(gpu, &params, &d_logits, &lstm.hidden, &lstm.dh);
        let reduce = grad_reduce::GradReduce::new(gpu, &grad_reduce::Spec { r, p, s: SLICES })?
            .bind(gpu, &partials, &grads);
        gpu.run(|pass| {
            lstm.record_forward(pass);
            head.record(pass, &dense_forward::Args::of(&l, rows));
        })?;
        let first = |b: &Buf<f32>| gpu.read(b).map(|x| x[..x.len() / r].to_vec());
        let logits = first(&logits)?;
        gpu.write(&d_logits, &all(&self.d_logits(&logits)));
        gpu.run(|pass| {
            head_weights.record(pass, &dense_backward_weights::Args::of(&l, rows));
            head_back.record(pass, &dense_backward_input::Args::of(&l, rows));
            lstm.record_backward(pass);
            reduce.record(pass);
        })?;
        let results = [
            first(&lstm.hidden)?,
            first(&lstm.cell)?,
            logits,
            first(&dx)?,
            first(&lstm.dh0)?,
            first(&lstm.dc)?,
            first(&grads)?,
        ];
        Ok(self.named(results.map(|x| wide(&x))))
    }
}

impl Lstm {
    /// Results under the names of the file.
    fn named(&self, [hidden, cell, logits, dx, dh0, dc0, grads]: [Vec<f64>; 7]) -> Named {
        let (h, loss) = (self.layout.hidden(), self.loss);
        let (slot, o) = (self.m * h, self.m * self.head.outputs);
        let mut tensors = vec![
            (format!("grad_{loss}.x"), dx[..self.s * self.m * self.layout.inputs()].to_vec()),
            (format!("grad_{loss}.h0"), dh0),
            (format!("grad_{loss}.c0"), dc0),
        ];
        for (name, at, count) in Self::names(&self.layout, &self.head) {
            tensors.push((format!("grad_{loss}.{name}"), grads[at..at + count].to_vec()));
        }
        // The forward pass is the same for both losses.
        if loss == LOSSES[0] {
            let probs = logits[o..].iter().map(|x| x.sigmoid()).collect();
            tensors.extend([
                ("h".into(), hidden[slot..].to_vec()),
                ("c".into(), cell[slot..].to_vec()),
                ("hn".into(), hidden[self.s * slot..].to_vec()),
                ("cn".into(), cell[self.s * slot..].to_vec()),
                ("logits".into(), logits[o..].to_vec()),
                ("probs".into(), probs),
            ]);
        }
        tensors
    }
}

pub(super) fn lstm(v: &Vectors, gpu: Option<&Gpu>) -> Result<Compared, GoldenError> {
    let mut case = Lstm::of(v)?;
    let mut rows = Compared::default();
    for loss in LOSSES {
        case.loss = loss;
        case.each(gpu, |backend, tensors| {
            tensors.iter().try_for_each(|(name, values)| rows.tensor_dev(v, backend, name, values))
        })?;
    }
    Ok(rows)
}

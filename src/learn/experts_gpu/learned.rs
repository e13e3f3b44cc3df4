//! Parameters on the GPU with their gradients, their optimiser and its pace.

use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::twin::check_trips;
use crate::kernels::{adam, column_sum, grad_norm, grad_reduce, kl_control};
use crate::learn::LearnerState;
use crate::learn::experts::ExpertsSpec;
use std::ops::Range;

/// Parameters that one optimiser moves: a vector `[R, P]` out of parts of the replicas' whole vectors, its gradients
/// and Adam.
pub(super) struct Learned {
    /// Parts of a replica's whole vector, in the order in which they lie here.
    parts: Vec<Range<usize>>,
    pub(super) params: Buf<f32>,
    m: Buf<f32>,
    v: Buf<f32>,
    /// `[slices, R, P]`
    pub(super) partials: Buf<f32>,
    /// Their sum, `[R, P]`, and its norms in the two groups before clipping, `[R, 2]`.
    pub(super) grads: Buf<f32>,
    pub(super) norms: Buf<f32>,
    hyper: Buf<f32>,
    /// Of every replica; rates apart, which change with every update.
    constants: Vec<adam::Hyper>,
    r: usize,
    pub(super) reduce: grad_reduce::GradReduceBound,
    norm: grad_norm::GradNormBound,
    adam: adam::AdamBound,
    pace: Option<Paced>,
}

/// The pace of what schedules, and what it comes from.
pub(super) struct Paced {
    control: kl_control::KlControlBound,
    /// `[R, 8]`, and behind every step of an update `[steps, R, 8]`.
    pub(super) pace: Buf<f32>,
    pub(super) rows: Buf<f32>,
    sum: column_sum::ColumnSumBound,
}

impl Learned {
    /// Parameters before `split` are a group of their own, with its own learning rate and norm.
    #[expect(clippy::too_many_arguments, reason = "a vector, where it comes from and how it moves")]
    pub(super) fn new(
        g: &Gpu,
        name: &str,
        spec: &ExpertsSpec,
        start: &LearnerState,
        parts: Vec<Range<usize>>,
        split: usize,
        slices: usize,
        max_norm: impl Fn(usize) -> f64,
    ) -> Result<Self, GpuError> {
        let (r, whole) = (spec.replicas(), spec.params());
        let p = parts.iter().map(ExactSizeIterator::len).sum();
        let of = |all: &[f32]| -> Vec<f32> {
            let row = |row: &[f32]| parts.iter().flat_map(|x| row[x.clone()].to_vec()).collect::<Vec<_>>();
            all.chunks_exact(whole).flat_map(row).collect()
        };
        let vector = |what: &str, all: &[f32]| g.upload(&format!("{name}.{what}"), &[r, p], &of(all));
        let (params, m, v) =
            (vector("params", &start.params)?, vector("adam_m", &start.m)?, vector("adam_v", &start.v)?);
        let zero = |what: &str, shape: &[usize]| g.alloc::<f32>(&format!("{name}.{what}"), shape, Fill::Zero);
        let (partials, grads) = (zero("partials", &[slices, r, p])?, zero("grads", &[r, p])?);
        let (norms, hyper) = (zero("norms", &[r, 2])?, zero("adam_hyper", &[r, 8])?);
        check_trips(g, "grad_norm", p.div_ceil(grad_norm::WG) + 10)?;
        Ok(Learned {
            reduce: grad_reduce::GradReduce::new(g, &grad_reduce::Spec { r, p, s: slices })?
                .bind(g, &partials, &grads),
            norm: grad_norm::GradNorm::new(g, &grad_norm::Spec { r, p, split, joint: false })?
                .bind(g, &grads, &norms),
            adam: adam::Adam::new(g, &adam::Spec { r, p, split })?
                .bind(g, &params, &grads, &norms, &m, &v, &hyper, &hyper),
            constants: (0..r)
                .map(|i| adam::Hyper { max_norm: max_norm(i), ..spec.of(i).adam([0.0; 2]) })
                .collect(),
            parts,
            params,
            m,
            v,
            partials,
            grads,
            norms,
            hyper,
            pace: None,
            r,
        })
    }

    /// At each replica's pace, which answers to the divergences among the sums `means` `[steps, R, ·]` of the policy
    /// loss's terms, of which the last four are [`ppo_policy_loss::TERMS`](crate::kernels::ppo_policy_loss::TERMS).
    pub(super) fn paced(
        mut self,
        g: &Gpu,
        spec: &ExpertsSpec,
        start: &LearnerState,
        split: usize,
        means: &Buf<f32>,
    ) -> Result<Self, GpuError> {
        let (r, p, steps) = (self.r, self.p(), means.shape[0]);
        let limits: Vec<f32> = spec.all().flat_map(|t| t.limits().row::<f32>()).collect();
        let limits = g.upload("temporal.limits", &[r, 2], &limits)?;
        let pace = g.upload("temporal.pace", &[r, 8], &spec.paces(start))?;
        let (c, column) = (means.shape[2], means.shape[2] - 3);
        let rows = g.alloc::<f32>("update.pace_rows", &[steps, r, 8], Fill::Zero)?;
        let (m, v) = (&self.m, &self.v);
        self.adam = adam::Adam::paced(g, &adam::Spec { r, p, split }, &adam::Clamp::NONE)?.bind(
            g,
            &self.params,
            &self.grads,
            &self.norms,
            m,
            v,
            &self.hyper,
            &pace,
        );
        let control = kl_control::KlControl::new(g, &kl_control::Spec { r, c, column })?.bind(
            g,
            means,
            &self.norms,
            &self.hyper,
            &limits,
            &pace,
        );
        let sum = column_sum::ColumnSum::new(g, &column_sum::Spec { r, m: 1, c: 8 })?.bind(g, &pace, &rows);
        self.pace = Some(Paced { control, pace, rows, sum });
        Ok(self)
    }

    /// Of what schedules, which always has a pace.
    pub(super) fn paced_by(&self) -> &Paced {
        self.pace.as_ref().expect("made paced")
    }

    /// P
    fn p(&self) -> usize {
        self.params.shape[1]
    }

    /// Sets the rates of the steps submitted from now on, of every replica.
    pub(super) fn rates(&self, gpu: &Gpu, rates: impl Iterator<Item = [f64; 2]>) {
        let row = |(lr, hyper): ([f64; 2], &adam::Hyper)| adam::Hyper { lr, ..*hyper }.row::<f32>();
        gpu.write(&self.hyper, &rates.zip(&self.constants).flat_map(row).collect::<Vec<f32>>());
    }

    /// Clips the gradients and makes Adam's step `t` = 1, 2, …; at a pace of its own, the step `row` of an update.
    pub(super) fn record_step(&self, pass: &mut wgpu::ComputePass, t: u64, row: usize) {
        self.norm.record(pass);
        match &self.pace {
            None => self.adam.record(pass, &self.constants[0].args(t)),
            Some(paced) => {
                paced.control.record(pass, row);
                self.adam.record(pass, &adam::Args::PACED);
                let (m, out_stride, out_off) = (1, 8, row * self.r * 8);
                paced.sum.record(pass, &column_sum::Args { m, out_stride, out_off, scale: 1.0 });
            }
        }
    }

    /// Puts what is here into the whole vectors.
    pub(super) fn read(&self, gpu: &Gpu, whole: usize, to: &mut LearnerState) -> Result<(), GpuError> {
        for (from, to) in [(&self.params, &mut to.params), (&self.m, &mut to.m), (&self.v, &mut to.v)] {
            for (mut from, to) in gpu.read(from)?.chunks_exact(self.p()).zip(to.chunks_exact_mut(whole)) {
                for part in &self.parts {
                    let (own, rest) = from.split_at(part.len());
                    to[part.clone()].copy_from_slice(own);
                    from = rest;
                }
            }
        }
        Ok(())
    }
}

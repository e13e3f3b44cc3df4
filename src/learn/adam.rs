//! Adam on the CPU backend: the fast form of `kernels::adam`, in lanes.

use crate::kernels::adam::Hyper;
use crate::kernels::kl_control::Pace;
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

/// Constants of one Adam step.
pub(super) struct AdamStep {
    lr: [f32; 2],
    beta: [f32; 2],
    /// 1 − β, subtracted in f64: 1 − 0.999 in f32 is off by 1e-5 of itself.
    rest: [f32; 2],
    eps: f32,
    /// 1/(1−β^t)
    correction: [f32; 2],
    /// Where the second parameter group starts.
    pub split: usize,
}

impl AdamStep {
    /// Step `t` = 1, 2, …
    pub fn new(hyper: &Hyper, t: u64, split: usize) -> Self {
        let Hyper { lr, beta1, beta2, eps, .. } = *hyper;
        let correction = |b: f64| (1.0 / (1.0 - b.powf(t as f64))) as f32;
        AdamStep {
            lr: lr.map(|x| x as f32),
            beta: [beta1 as f32, beta2 as f32],
            rest: [(1.0 - beta1) as f32, (1.0 - beta2) as f32],
            eps: eps as f32,
            correction: [correction(beta1), correction(beta2)],
            split,
        }
    }

    /// The step that a replica makes at its pace.
    pub fn paced(hyper: &Hyper, pace: &Pace<f32>, split: usize) -> Self {
        let [lr, other] = hyper.lr.map(|x| x as f32);
        let correction = pace.corrections.map(|c| 1.0 / c);
        AdamStep { lr: [lr * pace.rate, other], correction, ..AdamStep::new(hyper, 1, split) }
    }

    /// Moves parameters of one group; gradients are multiplied by `scale` first.
    pub fn run(&self, group: usize, scale: f32, grads: &[f32], m: &mut [f32], v: &mut [f32], p: &mut [f32]) {
        run_lanes(AdamLanes { step: self, lr: self.lr[group], scale, grads, m, v, p })
    }
}

struct AdamLanes<'a> {
    step: &'a AdamStep,
    lr: f32,
    scale: f32,
    grads: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    p: &'a mut [f32],
}

impl AdamLanes<'_> {
    #[inline(always)]
    fn span<V: F32Lanes>(&mut self, from: usize, to: usize) {
        let [b1, b2] = self.step.beta.map(V::splat_f32);
        let [rest1, rest2] = self.step.rest.map(V::splat_f32);
        let mut i = from;
        while i + V::LANES <= to {
            let g = V::load(&self.grads[i..]) * V::splat_f32(self.scale);
            let m = V::load(&self.m[i..]) * b1 + g * rest1;
            let v = V::load(&self.v[i..]) * b2 + (g * g) * rest2;
            m.store(&mut self.m[i..]);
            v.store(&mut self.v[i..]);
            let step = (m * V::splat_f32(self.step.correction[0]))
                / ((v * V::splat_f32(self.step.correction[1])).sqrt() + V::splat_f32(self.step.eps));
            (V::load(&self.p[i..]) - V::splat_f32(self.lr) * step).store(&mut self.p[i..]);
            i += V::LANES;
        }
    }
}

impl LaneKernel for AdamLanes<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let n = self.grads.len();
        let whole = n / V::LANES * V::LANES;
        self.span::<V>(0, whole);
        self.span::<f32>(whole, n);
    }
}

//! How the agents of task v2x that need no learning act inside an evaluation: references in lanes and by their kernel,
//! rules one by one.

use super::agents::{Rule, Slot};
use super::array::KMAX;
use super::env::V2xEnv;
use super::forcing::regularised_mix;
use super::kernels::{v2x_batch, v2x_reference};
use super::physics::{Beam, V2xParams, V2xSpec, loading};
use super::reference::{Reference, reference_range};
use crate::energy::RuleCounts;
use crate::gpu::{Buf, Gpu, GpuError};
use crate::num::real::counted::{Counted, kinds};
use crate::num::real::{F32Lanes, LaneKernel, Real, run_lanes};
use crate::run::evaluate::{ActBuffers, Acts, ActsGpu, Moment};

/// A reference in an environment whose actions are in its own parameterisation.
pub struct ReferenceActs {
    pub who: Reference,
    pub env: V2xEnv,
}

impl Acts for ReferenceActs {
    fn memory(&self) -> usize {
        self.who.memory_rows(self.env.spec.vehicles)
    }

    fn act(&self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        let at = &now.at;
        run_lanes(ActChunk {
            who: self.who,
            spec: &self.env.spec,
            params: &self.env.params_at(at),
            envs: at.envs,
            first: at.first,
            state: now.state,
            memory,
            action,
            clock: at.clock,
        });
    }

    fn bind(&self, gpu: &Gpu, b: usize, buffers: &ActBuffers) -> Result<Option<Box<dyn ActsGpu>>, GpuError> {
        let r = self.env.params.len();
        let batch = v2x_batch::Spec { r, b, task: self.env.spec };
        let params = gpu.upload("evaluate.rule_params", &[r], &self.env.params)?;
        let kernel = v2x_reference::V2xReference::new(gpu, &v2x_reference::Spec { batch, who: self.who })?;
        let bound = kernel.bind(gpu, &params, buffers.state, buffers.memory, buffers.action);
        Ok(Some(Box::new(ReferenceGpu { bound, params, own: self.env.params.clone() })))
    }

    fn on_gpu(&self) -> bool {
        true
    }

    /// Of those that know no truth and draw nothing. They read the last echo's angles, the filters the whole echo with
    /// its variances.
    fn counts(&self) -> Option<RuleCounts> {
        let k = self.env.spec.vehicles;
        let inputs = match self.who {
            Reference::LastEstimate => k,
            Reference::Ekf | Reference::EkfZf | Reference::Ukf => 6 * k,
            Reference::Random | Reference::Genie | Reference::GenieZf => return None,
        };
        let batch = v2x_batch::Spec { r: 1, b: 1, task: self.env.spec };
        Some(RuleCounts {
            operations: v2x_reference::decision(&v2x_reference::Spec { batch, who: self.who }),
            inputs: inputs as u64,
            memory: self.memory() as u64,
            outputs: self.env.spec.action_dim() as u64,
        })
    }
}

struct ReferenceGpu {
    bound: v2x_reference::V2xReferenceBound,
    params: Buf<V2xParams>,
    own: Vec<V2xParams>,
}

impl ActsGpu for ReferenceGpu {
    fn set_keys(&self, gpu: &Gpu, keys: &[[u32; 2]]) {
        let params: Vec<_> =
            self.own.iter().zip(keys).map(|(p, key)| V2xParams { key: *key, ..*p }).collect();
        gpu.write(&self.params, &params);
    }
    fn record(&self, pass: &mut wgpu::ComputePass, clock: u32) {
        self.bound.record(pass, &v2x_reference::Args { clock, action_off: 0 });
    }
}

struct ActChunk<'a> {
    who: Reference,
    spec: &'a V2xSpec,
    params: &'a V2xParams,
    envs: usize,
    first: u32,
    state: &'a [f32],
    memory: &'a mut [f32],
    action: &'a mut [f32],
    clock: u32,
}

impl LaneKernel for ActChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let ActChunk { who, spec, params, envs, first, state, memory, action, clock } = self;
        let whole = envs / V::LANES * V::LANES;
        reference_range::<V, 0>(who, spec, params, envs, first, state, memory, action, clock, 0, whole);
        if whole < envs {
            reference_range::<f32, 0>(
                who, spec, params, envs, first, state, memory, action, clock, whole, envs,
            );
        }
    }
}

/// A rule in an environment whose actions are in its own parameterisation; it decides on the CPU, environment by
/// environment.
pub struct RuleActs {
    pub rule: Rule,
    pub env: V2xEnv,
}

impl Acts for RuleActs {
    fn memory(&self) -> usize {
        (self.rule.memory)(self.env.spec.vehicles)
    }

    /// `memory` is `[envs, memory]`.
    fn act(&self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        let (at, task, params) = (&now.at, &self.env.spec, &self.env.params_at(&now.at));
        let (o, a, own) = (task.obs_dim(), task.action_dim(), self.memory());
        for (env, action) in action.chunks_mut(a).enumerate() {
            let (id, obs) = (at.first + env as u32, &now.obs[env * o..][..o]);
            let slot = at.clock as usize;
            let now = Slot { task, params, state: now.state, envs: at.envs, env, id, slot, obs };
            (self.rule.act)(&now, &mut memory[env * own..][..own], action);
        }
    }
}

/// What the beams of a learned agent take beside its network in every slot: X of [`regularised_mix`] at the angles that
/// its outputs, or the last echo, give. `None` where beams are steered or written as they are: a rule's account ends at
/// angles, or at X, as well.
pub fn forcing_counts(spec: &V2xSpec, params: &V2xParams) -> Option<RuleCounts> {
    if !matches!(spec.beam, Beam::Zf | Beam::OnZf) {
        return None;
    }
    let k = spec.vehicles;
    let operations = kinds(|| {
        // A road's width apart, as in the middle of an episode.
        let place = |i: usize| (Counted(1.0 + 0.3 * i as f32), Counted(12.0 + 2.0 * i as f32));
        let mut cos = [Counted::default(); KMAX];
        let mut d = [Counted::default(); KMAX];
        for i in 0..k {
            let (theta, distance) = place(i);
            cos[i] = theta.sin_cos().1;
            d[i] = distance;
        }
        std::hint::black_box(regularised_mix(k, spec.antennas, &cos, &loading(k, params, &d)));
    });
    Some(RuleCounts { operations, inputs: 2 * k as u64, memory: 0, outputs: (k * k) as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::v2x::config::V2xConfig;

    fn of(sets: &[&str]) -> Option<RuleCounts> {
        let sets: Vec<String> = sets.iter().map(|s| format!("task.{s}")).collect();
        let c = V2xConfig::load(None, &sets).unwrap();
        forcing_counts(&c.task.spec(), &c.task.params([0, 0]))
    }

    #[test]
    fn only_beams_that_are_forced_cost_more_than_their_network() {
        for plain in [&["beam=angles"][..], &["beam=tracking"], &["beam=matrix", "matrix_base=steering"]] {
            assert_eq!(of(plain), None, "{plain:?}");
        }
        let zf = of(&["beam=zf"]).unwrap();
        assert_eq!((zf.inputs, zf.memory, zf.outputs), (6, 0, 9));
        // As docs/energy.md has them.
        let o = zf.operations;
        assert_eq!((o.additions, o.multiplications, o.divisions, o.roots), (303, 414, 30, 3));
        assert_eq!(of(&["beam=matrix", "matrix_base=zf"]), Some(zf));
    }

    /// `ekf-zf` makes the same X, beside a filter.
    #[test]
    fn forcing_is_less_than_the_filter_with_it() {
        let c = V2xConfig::load(None, &[]).unwrap();
        let batch = v2x_batch::Spec { r: 1, b: 1, task: V2xSpec { beam: Beam::Span, ..c.task.spec() } };
        let filter = v2x_reference::decision(&v2x_reference::Spec { batch, who: Reference::EkfZf });
        let zf = of(&["beam=zf"]).unwrap().operations;
        assert!(zf.total() < filter.total() && 4 * zf.total() > filter.total() / 2, "{zf:?} {filter:?}");
    }
}

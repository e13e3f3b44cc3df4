//! A trained policy that acts by itself, outside of training and evaluation, with the same decisions.

use crate::env::At;
use crate::kernels::bernoulli_head::uniform;
use crate::kernels::ddpg_act;
use crate::learn::Algorithm;
use crate::learn::phases_cpu::draw_phases;
use crate::learn::ppo_cpu::SampleGaussian;
use crate::nets::cpu::{Activations, carried_width, forward};
use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::experts::{ExpertsCpu, ExpertsState, act};
use crate::nets::{Head, Policy};
use crate::num::real::{Real, run_lanes};

/// The networks of one replica.
pub struct Actor {
    nets: Nets,
    /// O
    obs: usize,
    /// A
    action: usize,
}

enum Nets {
    Plain(Box<Plain>),
    Experts(Box<ExpertsCpu>),
}

struct Plain {
    policy: Policy,
    net: Packed,
    /// `[A]` of a Gaussian policy, else empty.
    log_std: Vec<f32>,
}

/// How to decide.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// The mean of a Gaussian and what is more probable, instead of a sample.
    pub greedy: bool,
    /// Samples are drawn under this key and clock, one environment behind the other.
    pub key: [u32; 2],
    pub clock: u32,
}

/// What an [`Actor`] writes.
pub struct Decided<'a> {
    /// `[envs, A]`
    pub action: &'a mut [f32],
    /// `[envs, K·M]`: phases of the beams, rad, of an agent that has them, if they are wanted.
    pub phases: Option<&'a mut [f32]>,
}

impl Actor {
    /// The policy of a replica with these parameters `[P]`.
    ///
    /// # Panics
    /// If there are too few parameters.
    pub fn new(algorithm: &Algorithm, params: &[f32]) -> Self {
        let (obs, action) = (algorithm.env().sizes().obs, algorithm.env().sizes().action);
        let nets = match (algorithm, algorithm.policy()) {
            (_, Some(policy)) => {
                let mut net = Packed::new(&policy.net);
                net.pack(params);
                let log_std = match policy.head {
                    Head::Gaussian { log_std_off } => params[log_std_off..][..action].to_vec(),
                    _ => Vec::new(),
                };
                Nets::Plain(Box::new(Plain { policy, net, log_std }))
            }
            (Algorithm::Experts(spec), None) => {
                let mut net = ExpertsCpu::new(&spec.layout);
                net.pack(params);
                Nets::Experts(Box::new(net))
            }
            (_, None) => unreachable!("every other algorithm has a policy"),
        };
        Actor { nets, obs, action }
    }

    /// O and A.
    pub fn sizes(&self) -> [usize; 2] {
        [self.obs, self.action]
    }
    /// K·M phases of an agent that sets them, else 0.
    pub fn phases(&self) -> usize {
        match &self.nets {
            Nets::Plain(_) => 0,
            Nets::Experts(net) => net.layout.phases(),
        }
    }
    /// Numbers of an environment that outlive a slot: [h | c] of an LSTM, carried membrane potentials. They are 0 at
    /// the start of an episode.
    pub fn memory(&self) -> usize {
        match &self.nets {
            Nets::Plain(plain) => carried_width(&plain.policy.net),
            Nets::Experts(net) => ExpertsState::width(&net.layout),
        }
    }

    /// Decides for the environments of `obs` `[envs, O]`, and moves their `memory` `[envs, memory()]` on by one slot.
    ///
    /// # Panics
    /// If an array is of another size.
    pub fn act(&self, obs: &[f32], mode: Mode, memory: &mut [f32], out: Decided) {
        let (envs, Decided { action, phases }) = (obs.len() / self.obs, out);
        assert_eq!((obs.len(), action.len()), (envs * self.obs, envs * self.action), "[envs, O], [envs, A]");
        assert_eq!(memory.len(), envs * self.memory(), "[envs, memory]");
        let at = At { replica: 0, key: mode.key, first: 0, envs, clock: mode.clock };
        match &self.nets {
            Nets::Plain(plain) => {
                let Plain { policy, net, log_std } = &**plain;
                let mut acts = Activations::forward_only(&policy.net, envs);
                acts.begin(memory);
                forward(net, envs, Strided { data: obs, row: self.obs, col: 1 }, &mut acts);
                acts.carry();
                memory.copy_from_slice(&acts.before()[..memory.len()]);
                decide(policy, log_std, &at, mode.greedy, &acts, action);
            }
            Nets::Experts(net) => {
                let mut state = ExpertsState::new(&net.layout, envs);
                state.put(memory);
                let mut logits = vec![0.0; action.len()];
                match phases {
                    Some(phases) => {
                        act(net, envs, obs, &mut state, &mut logits, Some(&mut *phases));
                        if !mode.greedy && net.layout.log_std.is_some() {
                            let means = phases.to_vec();
                            draw_phases(net, &at, &means, phases, &mut vec![0.0; envs]);
                        }
                    }
                    None => act(net, envs, obs, &mut state, &mut logits, None),
                }
                state.get(memory);
                schedule(&at, mode.greedy, &logits, action);
            }
        }
    }
}

/// Actions `[envs, A]` of what a policy's network has put out; `log_std` `[A]` of a Gaussian one. Off-policy agents act
/// without exploration, whatever `greedy` says: exploration is part of learning.
pub fn decide(
    policy: &Policy,
    log_std: &[f32],
    at: &At,
    greedy: bool,
    acts: &Activations,
    action: &mut [f32],
) {
    let (out, ld, a) = (acts.output(), leading(policy.net.outputs()), action.len() / at.envs);
    let rows = action.chunks_mut(a).zip(out.chunks(ld));
    match &policy.head {
        Head::Gaussian { .. } if greedy => rows.for_each(|(row, mean)| row.copy_from_slice(&mean[..a])),
        Head::Gaussian { .. } => run_lanes(SampleGaussian {
            key: at.key,
            first: at.first,
            clock: at.clock,
            behind: 0,
            actions: a,
            log_std,
            mean: out,
            ld,
            action,
            logprob: &mut vec![0.0; at.envs],
        }),
        Head::Tanh { scale } => {
            rows.for_each(|(row, z)| ddpg_act::act(at.key, 0, at.clock, *scale, 0.0, &z[..a], row));
        }
        Head::Factored { codebook } => rows.for_each(|(row, q)| {
            for (k, q) in q.chunks_exact(codebook.outputs()).take(codebook.factors).enumerate() {
                codebook.decode(k, codebook.greedy(q), row);
            }
        }),
    }
}

/// The cameras `[envs, K]`, 0 or 1, of a schedule with these logits.
pub fn schedule(at: &At, greedy: bool, logits: &[f32], cameras: &mut [f32]) {
    let k = cameras.len() / at.envs;
    for (n, (on, x)) in cameras.iter_mut().zip(logits).enumerate() {
        let drawn = || uniform::<f32>(at.key, at.first as usize + n / k, at.clock, n % k);
        *on = f32::from(u8::from(if greedy { *x > 0.0 } else { drawn() < Real::sigmoid(*x) }));
    }
}

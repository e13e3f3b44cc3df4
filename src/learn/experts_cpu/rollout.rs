//! Rollouts: environments that a thread carries through an episode.

use crate::env::{At, Sizes, StepSlices};
use crate::kernels::gae;
use crate::learn::experts::ExpertsSpec;
use crate::learn::experts_memory_cpu::{BLOCK, Chunk};
use crate::learn::phases_cpu::draw_phases;
use crate::nets::bernoulli::Sample;
use crate::nets::dense::{Activations, Strided, forward, leading};
use crate::nets::experts::{ExpertsCpu, ExpertsState, put_out};

/// Working memory of a rollout.
pub(super) struct Acting {
    state: ExpertsState,
    critic: Activations,
    logits: Vec<f32>,
    /// Means of the phases and log-densities of what was drawn, where phases are: `[envs, K·M]`, `[envs]`.
    means: Vec<f32>,
    density: Vec<f32>,
    metrics: Vec<f32>,
    final_x: Vec<f32>,
}

impl Acting {
    pub(super) fn new(spec: &ExpertsSpec, envs: usize) -> Self {
        let layout = &spec.layout;
        Acting {
            state: ExpertsState::new(layout, envs),
            critic: Activations::new(&layout.critic, BLOCK),
            logits: vec![0.0; envs * layout.vehicles],
            means: vec![0.0; envs * layout.log_std().len()],
            density: vec![0.0; envs],
            metrics: vec![0.0; spec.sizes().metrics * envs],
            final_x: vec![0.0; envs * leading(layout.obs)],
        }
    }
}

impl Chunk {
    /// Its environments at a moment of their training.
    pub(super) fn at(&self, spec: &ExpertsSpec, clock: u32) -> At {
        let key = spec.env.key(self.replica);
        At { replica: self.replica, key, first: self.first, envs: self.envs, clock }
    }

    /// One episode of every environment.
    pub(super) fn collect(
        &mut self,
        spec: &ExpertsSpec,
        net: &ExpertsCpu,
        s: &mut Acting,
        update: u32,
        clock: u32,
    ) {
        let env = &spec.env;
        let Sizes { obs, action: k, state: rows, slots: t_max, metrics } = env.sizes();
        let (n, ldx) = (self.envs, leading(obs));
        let mut spatial = spec.spatial_slots(update).enumerate().peekable();
        s.state.restart();
        for t in 0..t_max {
            if let Some((i, _)) = spatial.next_if(|(_, slot)| *slot == t) {
                self.states[i * rows * n..(i + 1) * rows * n].copy_from_slice(&self.state);
            }
            spec.layout.see(&self.obs, &mut self.x[t * n * ldx..(t + 1) * n * ldx], ldx);
            let logits = &mut s.logits[..n * k];
            let drawn = net.log_std.len();
            let means = &mut s.means[..n * drawn];
            put_out(net, n, &self.obs, &mut s.state, logits, (drawn > 0).then_some(&mut *means));
            let at = self.at(spec, clock + t as u32);
            let action = &mut self.action[t * n * k..(t + 1) * n * k];
            Sample {
                key: at.key,
                first: at.first,
                clock: at.clock,
                greedy: false,
                logits,
                action,
                logprob: &mut self.logprob[t * n..(t + 1) * n],
            }
            .run();
            if drawn > 0 {
                let phases = &mut self.phases[t * n * drawn..(t + 1) * n * drawn];
                draw_phases(net, &at, means, phases, &mut s.density[..n]);
                let both = self.logprob[t * n..(t + 1) * n].iter_mut().zip(&s.density);
                both.for_each(|(logprob, density)| *logprob += density);
            }
            let rows_of_slot = &mut s.metrics[..metrics * n];
            let out = StepSlices {
                final_obs: &mut self.final_obs,
                reward: &mut self.reward[t * n..(t + 1) * n],
                flags: &mut self.flags[t * n..(t + 1) * n],
                metrics: Some(rows_of_slot),
                full: false,
            };
            env.step(&at, action, &mut self.state, &mut self.obs, out);
            for (sum, row) in self.sums.iter_mut().zip(env.curve()) {
                *sum += f64::from(s.metrics[row * n..(row + 1) * n].iter().sum::<f32>());
            }
        }
        values(net, &self.x, t_max * n, &mut s.critic, &mut self.value);
        spec.layout.see(&self.final_obs, &mut s.final_x, ldx);
        values(net, &s.final_x, n, &mut s.critic, &mut self.final_value[(t_max - 1) * n..]);
    }

    /// Generalised advantage estimation. The rollout ends with an episode, so the row of values behind it is never
    /// used.
    pub(super) fn advantages(&mut self, spec: &ExpertsSpec) {
        let hyper = [spec.of(self.replica).gae()];
        gae::gae_cpu(
            &gae::Spec { t: spec.slots(), r: 1, b: self.envs },
            &self.reward,
            &self.value,
            &self.final_value,
            &self.flags,
            &hyper,
            &mut self.advantage,
            &mut self.returns,
        );
        self.moments.fill([0.0; 2]);
        for row in self.advantage.chunks_exact(self.envs) {
            for (sum, x) in self.moments.iter_mut().zip(row) {
                let x = f64::from(*x);
                *sum = [sum[0] + x, sum[1] + x * x];
            }
        }
    }
}

/// Values of `rows` observations x `[rows, leading(O)]`.
fn values(net: &ExpertsCpu, x: &[f32], rows: usize, acts: &mut Activations, out: &mut [f32]) {
    let ldx = leading(net.layout.obs);
    for (x, out) in x[..rows * ldx].chunks(BLOCK * ldx).zip(out.chunks_mut(BLOCK)) {
        forward(&net.critic, x.len() / ldx, Strided { data: x, row: ldx, col: 1 }, acts);
        out.iter_mut().zip(acts.output().chunks(leading(1))).for_each(|(v, row)| *v = row[0]);
    }
}

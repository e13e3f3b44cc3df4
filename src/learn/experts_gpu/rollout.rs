//! An episode of every environment, with what is learned from it.

use super::acting::{Acting, DrawnPhases, Nets};
use crate::config::TemporalConfig;
use crate::env::{EnvBuffers, EnvGpu, Sizes, StepArgs};
use crate::gpu::{Buf, Fill, Gpu, GpuError};
use crate::kernels::twin::check_trips;
use crate::kernels::{bernoulli_head, gae, metrics_reduce, obs_mask};
use crate::learn::experts::ExpertsSpec;
use crate::learn::mixture::{ending, hidden};
use crate::learn::network::{Forward, Rows};
use crate::learn::{Fit, fit_of};

/// What a rollout leaves: `[T(+1), R, B, ·]`.
pub(super) struct Rollout {
    pub(super) keys: Buf<[u32; 2]>,
    pub(super) obs: Buf<f32>,
    pub(super) action: Buf<f32>,
    /// Where they are drawn.
    pub(super) phases: Option<Buf<f32>>,
    pub(super) logprob: Buf<f32>,
    pub(super) value: Buf<f32>,
    /// States before the slots that enter L_spat and the present one, `[slots + 1, R, S, B]`.
    pub(super) state: Buf<f32>,
    pub(super) advantage: Buf<f32>,
    pub(super) returns: Buf<f32>,
    /// `[T, R, metrics, 2]`
    pub(super) slot_sums: Buf<f32>,

    env: Box<dyn EnvGpu>,
    /// Of observations and of the last ones, where the agent does not see ages.
    mask: Option<[obs_mask::ObsMaskBound; 2]>,
    pub(super) acting: Acting,
    sample: bernoulli_head::BernoulliHeadBound,
    drawn: Option<DrawnPhases>,
    critic: Forward,
    critic_final: Forward,
    reduce: metrics_reduce::MetricsReduceBound,
    pub(super) gae: gae::GaeBound,
    pub(super) fit: Fit,
}

impl Rollout {
    /// Up to `kept` slots enter L_spat.
    pub(super) fn new(
        g: &Gpu,
        spec: &ExpertsSpec,
        nets: &Nets,
        params: &Buf<f32>,
        kept: usize,
    ) -> Result<Self, GpuError> {
        let (r, b) = (spec.replicas(), spec.temporal.envs);
        let Sizes { obs: o, action: k, state: rows, slots: t, metrics: metric_rows } = spec.sizes();
        let zero = |label: &str, shape: &[usize]| g.alloc::<f32>(label, shape, Fill::Zero);
        let keys: Vec<_> = (0..r).map(|i| spec.env.key(i)).collect();
        let gae_hyper: Vec<_> = spec.all().map(TemporalConfig::gae).collect();

        let keys = g.upload("rollout.keys", &[r], &keys)?;
        let gae_hyper = g.upload("rollout.gae_hyper", &[r], &gae_hyper)?;
        let state = zero("rollout.state", &[kept + 1, r, rows, b])?;
        let obs = zero("rollout.obs", &[t + 1, r, b, o])?;
        let final_obs = zero("rollout.final_obs", &[r, b, o])?;
        let logits = zero("rollout.logits", &[r, b, k])?;
        let action = zero("rollout.action", &[t, r, b, k])?;
        let logprob = zero("rollout.logprob", &[t, r, b])?;
        // A slot more, as observations have it: both are gathered by the same kernel.
        let phases = match spec.layout.log_std {
            None => None,
            Some(_) => Some(zero("rollout.phases", &[t + 1, r, b, spec.layout.phases()])?),
        };
        let value = zero("rollout.value", &[t + 1, r, b])?;
        let final_value = zero("rollout.final_value", &[t, r, b])?;
        let reward = zero("rollout.reward", &[t, r, b])?;
        let flags = g.alloc::<u32>("rollout.flags", &[t, r, b], Fill::Zero)?;
        let advantage = zero("rollout.advantage", &[t, r, b])?;
        let returns = zero("rollout.returns", &[t, r, b])?;
        let metrics = zero("rollout.metrics", &[r, metric_rows, b])?;
        let slot_sums = zero("rollout.slot_sums", &[t, r, metric_rows, 2])?;

        check_trips(g, "gae", t)?;
        let size = Rows { r, m: b, p: nets.p };
        let buffers = EnvBuffers {
            action: &action,
            state: &state,
            obs: &obs,
            final_obs: &final_obs,
            reward: &reward,
            flags: &flags,
            metrics: &metrics,
        };
        let acting = Acting::new(g, &nets.scheduler, size, params, &obs, &logits)?;
        let hidden = hidden(g, "rollout.critic", &nets.critic, r, b)?;
        let critic = |x: &Buf<f32>, out: &Buf<f32>| {
            Forward::new(g, &nets.critic, size, params, x, &ending(&hidden, out))
        };
        let fit = [fit_of(g, &advantage, [t, r, b])?, fit_of(g, &returns, [t, r, b])?];
        let seen = spec.layout.seen();
        let mask = |obs: &Buf<f32>| {
            let spec = obs_mask::Spec { rows: r * b, o, first: seen };
            Ok::<_, GpuError>(obs_mask::ObsMask::new(g, &spec)?.bind(g, obs))
        };
        Ok(Rollout {
            env: spec.env.bind(g, b, &buffers)?,
            mask: if seen < o { Some([mask(&obs)?, mask(&final_obs)?]) } else { None },
            drawn: match &phases {
                None => None,
                Some(phases) => Some(DrawnPhases::new(
                    g,
                    &spec.layout,
                    &nets.phases,
                    size,
                    params,
                    &keys,
                    &obs,
                    phases,
                    &logprob,
                )?),
            },
            acting,
            sample: bernoulli_head::BernoulliHead::new(g, &bernoulli_head::Spec { r, b, a: k })?
                .bind(g, &keys, &logits, &action, &logprob),
            critic: critic(&obs, &value)?,
            critic_final: critic(&final_obs, &final_value)?,
            reduce: metrics_reduce::MetricsReduce::new(g, &metrics_reduce::Spec { r, metric_rows, b })?
                .bind(g, &metrics, &slot_sums),
            gae: gae::Gae::new(g, &gae::Spec { t, r, b })?.bind(
                g,
                &reward,
                &value,
                &final_value,
                &flags,
                &gae_hyper,
                &advantage,
                &returns,
            ),
            keys,
            obs,
            action,
            phases,
            logprob,
            value,
            state,
            advantage,
            returns,
            slot_sums,
            fit,
        })
    }

    /// One episode of every environment from `first`, the clock of its first slot. States before the slots of `kept`
    /// stay.
    pub(super) fn record(
        &self,
        pass: &mut wgpu::ComputePass,
        spec: &ExpertsSpec,
        first: u32,
        kept: impl Iterator<Item = usize>,
    ) {
        let (r, b) = (spec.replicas(), spec.temporal.envs);
        let Sizes { obs, action, state, slots: t, metrics } = spec.sizes();
        let (slot, slot_obs, slot_state) = (r * b, r * b * obs, r * state * b);
        let mut kept = kept.peekable();
        let mut state_off = 0;
        // The episode before has ended: these are the same fresh states that the automatic reset drew.
        self.env.reset(pass, first, state_off, 0);
        for t_now in 0..t {
            let (clock, x_off) = (first + t_now as u32, t_now * slot_obs);
            if let Some([mask, _]) = &self.mask {
                mask.record(pass, x_off);
            }
            self.acting.record(pass, b, x_off);
            self.critic.record(pass, b, x_off, t_now * slot);
            let action_off = t_now * slot * action;
            let sample = bernoulli_head::Args {
                b,
                clock,
                greedy: false,
                logits_off: 0,
                action_off,
                logprob_off: t_now * slot,
            };
            self.sample.record(pass, &sample);
            if let Some(drawn) = &self.drawn {
                drawn.record(pass, b, clock, x_off, t_now);
            }
            let next_off = state_off + if kept.next_if_eq(&t_now).is_some() { slot_state } else { 0 };
            let step = StepArgs {
                clock,
                action_off,
                state_off,
                next_off,
                obs_off: x_off + slot_obs,
                reward_off: t_now * slot,
                full: true,
            };
            self.env.step(pass, &step);
            state_off = next_off;
            let sums_off = t_now * r * metrics * 2;
            self.reduce.record(pass, &metrics_reduce::Args { scale: 1.0, sums_off });
        }
        if let Some([_, mask]) = &self.mask {
            mask.record(pass, 0);
        }
        self.critic_final.record(pass, b, 0, (t - 1) * slot);
    }
}

//! What is seen of episodes of task misac: the road from above, where vehicles are and where they are taken to be when
//! a slot is decided, its beams, and which cameras are on.

use super::agents::{FixedSchedule, Make, Slot as Now};
use super::config::MisacConfig;
use super::env::MisacEnv;
use super::physics::{
    ErrorGrowth, KMAX, MOST_GROWTH, MisacParams, MisacSpec, Phase, State, beam_element, beta, estimated_cos,
    gains, geometry, load_state, metric, seen_error, step, stream,
};
use crate::env::Slot;
use crate::num::philox::draw;
use crate::num::real::Real;
use crate::report::replay::{Column, GroundPlan, Line, Scene, Take};
use crate::run::actor::{Actor, Decided, Mode};
use crate::run::errors::JobError;
use crate::run::evaluate::Moment;
use crate::run::record::{Recorder, Shot, play};
use crate::run::task::{Agent, Kind};
use std::sync::Arc;

/// Agents of the replay beside a report: what the paper proposes, the best fixed period, and the optimum.
pub(super) const SHOWN: &[&str] = &["h-moe", "best-periodic", "dp-optimal"];

fn scene(config: &MisacConfig, spec: &MisacSpec, params: &MisacParams) -> Scene {
    let (k, m) = (spec.vehicles, spec.antennas);
    let column = |label, unit, digits| Column { label, unit, digits };
    let s = if k == 1 { "" } else { "s" };
    Scene {
        caption: format!(
            "A base station steers a beam at each of {k} vehicle{s}. A camera that is on renews what it knows of a \
             vehicle's angle, at {} J a frame; the older the estimate, the likelier its beam misses, and finding the \
             vehicle again costs {} J.",
            params.e_vis_j, params.e_recovery_j
        ),
        slot_s: Some(config.task.slot_s),
        plan: Some(GroundPlan {
            origin: format!("base station, {m} antennas"),
            antennas: m,
            road_y_m: Some(f64::from(params.road_y_m)),
            estimate: "estimate that the slot is decided by, with the 95 % region of its error".into(),
        }),
        movers: (1..=k).map(|i| format!("vehicle {i}")).collect(),
        columns: vec![
            column("age", "slots", 0),
            column("beam misses", "%", 1),
            column("angle error", "°", 3),
            column("SINR", "dB", 1),
            column("rate", "bps/Hz", 2),
        ],
        lamp: Some("camera".into()),
        lines: vec![
            Line::of(metric::NAMES[metric::ENERGY], "energy of cameras and recoveries", "J"),
            Line { each: true, ..Line::of("age_slots", "age of information of each vehicle", "slots") },
            Line {
                factor: 100.0,
                bound: Some("limit Γ"),
                ..Line::of(metric::NAMES[metric::L_BMP], "beams that miss, mean over vehicles", "%")
            },
            Line::of("mae_deg", "angle error, mean over vehicles", "°"),
            Line::of("sum_rate_bps_hz", "sum-rate", "bps/Hz"),
        ],
    }
}

enum Decides<'a> {
    /// With what it keeps of each episode.
    Schedule(Arc<dyn FixedSchedule>, Vec<Vec<u32>>),
    Networks {
        actor: &'a Actor,
        greedy: bool,
    },
}

struct Camera<'a> {
    decides: Decides<'a>,
    spec: MisacSpec,
    /// Under the key of the episodes.
    params: MisacParams,
    /// Φ of the coming slot, rad, `[envs, K·M]`; empty where beams steer at the estimates.
    phases: Vec<f32>,
    /// Variances of the tracking errors, rad², `[envs][K]`.
    spread: Vec<[f32; KMAX]>,
    takes: Vec<Take>,
}

impl Recorder for Camera<'_> {
    fn memory(&self) -> usize {
        match &self.decides {
            Decides::Schedule(..) => 0,
            Decides::Networks { actor, .. } => actor.memory(),
        }
    }

    fn act(&mut self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        let (task, params, at) = (&self.spec, &self.params, &now.at);
        match &mut self.decides {
            Decides::Schedule(schedule, plans) => {
                let slot = at.clock as usize;
                for (env, pi) in action.chunks_mut(task.vehicles).enumerate() {
                    let id = at.first + env as u32;
                    let now = Now { task, params, state: now.state, envs: at.envs, env, id, slot };
                    if slot == 0 {
                        plans.push(schedule.begin(&now));
                    }
                    schedule.decide(&now, &plans[env], pi);
                }
            }
            Decides::Networks { actor, greedy } => {
                let mode = Mode { greedy: *greedy, key: at.key, clock: at.clock };
                actor.act(now.obs, mode, memory, Decided { action, phases: Some(&mut self.phases) });
            }
        }
    }

    fn see(&mut self, now: &Moment, action: &[f32], after: &Slot) {
        let Camera { spec, params: p, phases, spread, takes, .. } = self;
        let (k, m, o, envs) = (spec.vehicles, spec.antennas, spec.obs_dim(), now.at.envs);
        for (env, (take, spread)) in takes.iter_mut().zip(spread).enumerate() {
            let (id, clock) = (now.at.first + env as u32, now.at.clock);
            let (obs, pi) = (&now.obs[env * o..][..o], &action[env * k..][..k]);
            let row = |n: usize| after.metrics[n * envs + env];
            let s = load_state::<f32>(k, now.state, envs, env);
            let (phase, phi): (Phase, &[f32]) = match phases.is_empty() {
                true => (Phase::Residual, &[]),
                false => (Phase::Direct, &phases[env * k * m..][..k * m]),
            };
            let phi = |n: usize| phi.get(n).copied().unwrap_or(0.0);
            let misses = step(spec, p, id, clock, pi, &mut s.clone()).misaligned;
            let mut sum_rate = 0.0;
            for i in 0..k {
                let g = gains::<f32>(spec, p, &s, i, id, clock, phase, phi);
                sum_rate += g.rate;
                let error = seen_error(spec, p, &s, i, id, clock);
                let cos_hat = estimated_cos(p, s.x[i], error);
                take.beams.extend(
                    (0..m).map(|n| <[f32; 2]>::from(beam_element(phase, cos_hat, n, phi(i * m + n)))),
                );
                let (cos, sin, d) = geometry(p, s.x[i]);
                take.truth.extend([sin.atan2(cos), d]);
                let radar =
                    if spec.choices.radar_noise && s.age[i] > p.t_proc { p.radar_noise_rad } else { 0.0 };
                let angle = (spread[i] + radar * radar).sqrt();
                let seen_d = obs[k + i] * super::physics::DISTANCE_UNIT_M as f32;
                take.estimate.extend([obs[i].clamp(-1.0, 1.0).acos(), seen_d, angle, p.distance_noise * d]);
                take.shares.push(g.power / (p.beam_power_w * k as f32));
                take.lamps.push(pi[i] > 0.0);
                let sinr_db = 10.0 * g.sinr.log10();
                take.cells.extend([s.age[i], 100.0 * misses[i], error.abs().to_degrees(), sinr_db, g.rate]);
                take.lines[1].push(s.age[i]);
                spread[i] = next_spread(spec, p, &s, i, [pi[i], misses[i], spread[i]], (id, clock));
            }
            take.lines[0].push(row(metric::ENERGY));
            take.lines[2].push(row(metric::L_BMP));
            take.bounds[2].push(p.gamma_misa);
            take.lines[3].push(f64::from(row(metric::ANGLE_MAE)).to_degrees() as f32);
            take.lines[4].push(sum_rate);
        }
    }
}

/// Variance of a vehicle's tracking error behind a slot, as the step lets the error itself grow.
fn next_spread(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<f32>,
    i: usize,
    [camera, misses, spread]: [f32; 3],
    (id, clock): (u32, u32),
) -> f32 {
    let luck = || draw(p.key, stream::RECOVERY, id, clock, i as u32 / 4)[i % 4];
    let found = spec.choices.realign && f32::unit_from_word(luck()) < misses;
    if camera > 0.0 || found {
        return p.sigma_vis_rad * p.sigma_vis_rad;
    }
    let rate = beta(spec, p, s, i);
    match spec.choices.growth {
        ErrorGrowth::RandomWalk => spread + rate * p.beam_width_rad * p.beam_width_rad,
        ErrorGrowth::Exponential if spec.choices.age_saturates && s.age[i] >= p.age_max => spread,
        ErrorGrowth::Exponential => spread * (2.0 * (p.error_rate * rate).min(MOST_GROWTH as f32)).exp(),
    }
}

/// What is seen of an agent's episodes.
pub(super) fn film(
    config: &MisacConfig,
    agent: &Agent<MisacConfig>,
    actor: Option<&Actor>,
    shot: &Shot,
) -> Result<(Scene, Vec<Take>), JobError> {
    let (spec, params) = (config.task.spec(), config.task.params([shot.seed, 1]));
    let mut phases = Vec::new();
    let decides = match (&agent.kind, actor) {
        (Kind::Fixed(Make(make)), _) => {
            let schedule = make(&spec, &params).map_err(|e| JobError::Agent(Box::new(e)))?;
            if schedule.is_bound() {
                return Err(JobError::NothingToSee(agent.id));
            }
            Decides::Schedule(schedule, Vec::new())
        }
        (Kind::Learned(_), Some(actor)) => {
            phases = vec![0.0; shot.episodes * spec.vehicles * spec.antennas];
            Decides::Networks { actor, greedy: config.evaluate.greedy }
        }
        (Kind::Learned(_), None) => return Err(JobError::NoWeights(agent.id)),
    };
    let scene = scene(config, &spec, &params);
    let empty = vec![Vec::new(); scene.lines.len()];
    let take = Take { lines: empty.clone(), bounds: empty, ..Take::default() };
    let mut camera = Camera {
        decides,
        spec,
        params,
        phases,
        spread: vec![[params.sigma_vis_rad * params.sigma_vis_rad; KMAX]; shot.episodes],
        takes: vec![take; shot.episodes],
    };
    play(&MisacEnv { spec, params: vec![params] }, shot, &mut camera);
    Ok((scene, camera.takes))
}

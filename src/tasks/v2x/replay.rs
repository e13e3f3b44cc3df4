//! What is seen of episodes of task v2x: the road from above, the beams of a slot where they meet the vehicles, and
//! what the slot's echo says of them.

use super::agents::Fixed;
use super::config::V2xConfig;
use super::forcing::regularised_mix;
use super::physics::{
    Beam, KMAX, State, V2xParams, V2xSpec, antenna, base_of, beams, echo_noise, hear, load_state, loading,
    metric, motion, motion_noise, pointed, step,
};
use crate::env::Slot;
use crate::report::replay::{Column, GroundPlan, Line, Scene, Take};
use crate::run::actor::Actor;
use crate::run::errors::JobError;
use crate::run::evaluate::Moment;
use crate::run::record::{Decider, Recorder, Shot, play};
use crate::run::task::{Agent, Kind, Task};
use std::f32::consts::PI;

/// Agents of the replay beside a report: what the paper proposes, two lines of code, and what knows the truth.
pub(super) const SHOWN: &[&str] = &["spiking-ac", "last-estimate", "genie"];

/// Metrics of the time lines.
const LINES: [usize; 4] = [metric::SUM_RATE, metric::REWARD, metric::DISTANCE_SE, metric::POINTING_SE];

fn lines() -> Vec<Line> {
    let line = |row: usize, label, unit| Line::of(metric::NAMES[row], label, unit);
    let [rate, reward, distance, pointing] = LINES;
    vec![
        Line { bound: Some("what no agent exceeds"), ..line(rate, "sum-rate", "bps/Hz") },
        line(reward, "reward", "bps/Hz"),
        Line { root: true, ..line(distance, "distance error of the echo, RMS over vehicles", "m") },
        Line {
            root: true,
            factor: 180.0 / std::f64::consts::PI,
            log: true,
            ..line(pointing, "pointing error of the beams, RMS over vehicles", "°")
        },
    ]
}

fn scene(config: &V2xConfig, spec: &V2xSpec, params: &V2xParams) -> Scene {
    let (k, n) = (spec.vehicles, spec.antennas);
    let column = |label, unit, digits| Column { label, unit, digits };
    let s = if k == 1 { "" } else { "s" };
    Scene {
        caption: format!(
            "A road-side unit serves {k} vehicle{s} with a beam each, and measures them by the echoes of the same beams. \
             A slot's beams are formed from earlier echoes; they meet the vehicles where the dots are, and the crosses \
             are what this slot's echo makes of that."
        ),
        slot_s: Some(config.task.slot_s),
        plan: Some(GroundPlan {
            origin: format!("road-side unit, {n} antennas"),
            antennas: n,
            road_y_m: Some(f64::from(params.road_y_m)),
            estimate: "estimate of the slot's echo, with the 95 % region of its noise".into(),
        }),
        movers: (1..=k).map(|i| format!("vehicle {i}")).collect(),
        columns: vec![
            column("rate", "bps/Hz", 2),
            column("SINR", "dB", 1),
            column("power", "% of P_max", 1),
            column("beam off by", "°", 3),
            column("distance error", "m", 4),
        ],
        lamp: None,
        lines: lines(),
    }
}

/// The K beams of a slot, antenna by antenna, `[K, N]`; their norm says nothing. `last` has the estimates before it.
fn weights(spec: &V2xSpec, p: &V2xParams, last: &State<f32>, act: &[f32]) -> Vec<[f32; 2]> {
    let (k, n) = (spec.vehicles, spec.antennas);
    let mut out = vec![[0.0; 2]; k * n];
    if spec.beam.is_matrix() {
        let base = base_of(spec, k, p, last);
        for m in 0..n {
            let (f, _) = antenna(spec, k, p, &base, act, m);
            for i in 0..k {
                out[i * n + m] = f[i];
            }
        }
        return out;
    }
    let phi = pointed(spec, k, p, last, act);
    let cos = phi.map(f32::cos);
    // How steering vectors are mixed into beams: one each, except for zero-forcing.
    let mut mix = [[0.0; KMAX]; KMAX];
    match spec.beam {
        Beam::Zf => mix = regularised_mix(k, n, &cos, &loading(k, p, &last.obs_d)),
        Beam::Span => {
            for (q, row) in mix.iter_mut().enumerate().take(k) {
                row[..k].copy_from_slice(&act[k + q * k..][..k]);
            }
        }
        _ => (0..k).for_each(|i| mix[i][i] = 1.0),
    }
    for m in 0..n {
        // The phase of the middle of the array is 0.
        let turn = PI * (m as f32 - (n as f32 - 1.0) / 2.0);
        for q in 0..k {
            let (sin, cos) = (-turn * cos[q]).sin_cos();
            for i in 0..k {
                out[i * n + m][0] += mix[q][i] * cos;
                out[i * n + m][1] += mix[q][i] * sin;
            }
        }
    }
    out
}

struct Camera<'a> {
    decider: Decider<'a>,
    /// With the beams of the agent's own parameterisation.
    spec: V2xSpec,
    /// Under the key of the episodes.
    params: V2xParams,
    takes: Vec<Take>,
}

impl Recorder for Camera<'_> {
    fn memory(&self) -> usize {
        self.decider.memory()
    }
    fn act(&mut self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        self.decider.act(now, memory, action);
    }

    /// What no metric says is looked at once more, with the equations of the step.
    fn see(&mut self, now: &Moment, action: &[f32], after: &Slot) {
        let Camera { spec, params: p, takes, .. } = self;
        let (k, a, envs) = (spec.vehicles, spec.action_dim(), now.at.envs);
        for (env, take) in takes.iter_mut().enumerate() {
            let (id, clock, act) = (now.at.first + env as u32, now.at.clock, &action[env * a..][..a]);
            let row = |n: usize| after.metrics[n * envs + env];
            let before = load_state::<f32>(k, now.state, envs, env);
            let (moved, echoed) = (motion_noise::<f32>(k, p, id, clock), echo_noise::<f32>(k, p, id, clock));
            let mut met = before;
            motion(k, spec.kinematics, p, &moved, &mut met);
            let (mut sin, mut cos) = ([0f32; KMAX], [0f32; KMAX]);
            for i in 0..k {
                (sin[i], cos[i]) = crate::num::real::Real::sin_cos(met.theta[i]);
            }
            let sent = beams(spec, k, p, &sin, &cos, &met, act);
            let sinr = hear(spec, k, p, &sent, &met).sinr;
            let mut left = before;
            step(spec, k, p, &moved, &echoed, act, true, &mut left);
            take.beams.extend(weights(spec, p, &met, act));
            take.aims.extend(&pointed(spec, k, p, &met, act)[..k]);
            for i in 0..k {
                take.truth.extend([met.theta[i], met.d[i]]);
                let [theta, d] = [left.var[0][i], left.var[1][i]].map(f32::sqrt);
                take.estimate.extend([left.obs_theta[i], left.obs_d[i], theta, d]);
                let share = sent.power[i] / p.p_max_w;
                take.shares.push(share);
                let error = |n: usize| row(metric::RATE + (1 + n) * k + i);
                let (rate, sinr_db) = (row(metric::RATE + i), 10.0 * sinr[i].log10());
                take.cells.extend([rate, sinr_db, 100.0 * share, error(2).to_degrees(), error(1)]);
            }
            for (line, n) in take.lines.iter_mut().zip(LINES) {
                line.push(row(n));
            }
            take.bounds[0].push(row(metric::UPPER_BOUND));
        }
    }
}

/// What is seen of an agent's episodes.
pub(super) fn film(
    config: &V2xConfig,
    agent: &Agent<V2xConfig>,
    actor: Option<&Actor>,
    shot: &Shot,
) -> Result<(Scene, Vec<Take>), JobError> {
    let (env, decider) = config.decider(agent, actor, shot.seed)?;
    let mut spec = config.task.spec();
    if let Kind::Fixed(fixed) = agent.kind {
        spec.beam = Fixed::beam(fixed);
    }
    let params = config.task.params([shot.seed, 1]);
    let take = Take {
        lines: vec![Vec::new(); LINES.len()],
        bounds: vec![Vec::new(); LINES.len()],
        ..Take::default()
    };
    let mut camera = Camera { decider, spec, params, takes: vec![take; shot.episodes] };
    play(&*env, shot, &mut camera);
    Ok((scene(config, &spec, &params), camera.takes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::report::replay::gain;

    /// The gains that a slot is computed with are those of the weights that are shown, for every kind of beam.
    #[test]
    fn weights_have_the_gains_of_the_step() {
        let config = V2xConfig::load(None, &[]).expect("valid");
        let p = config.task.params([3, 1]);
        for beam in [
            Beam::Angles,
            Beam::Tracking,
            Beam::Matrix,
            Beam::OnSteering,
            Beam::OnZf,
            Beam::Direct,
            Beam::Zf,
            Beam::Steer,
            Beam::Span,
        ] {
            let spec = V2xSpec { beam, ..config.task.spec() };
            let (k, n) = (spec.vehicles, spec.antennas);
            let mut s = super::super::physics::reset::<f32>(k, &p, 5, 0);
            motion(k, spec.kinematics, &p, &motion_noise::<f32>(k, &p, 5, 0), &mut s);
            let act: Vec<f32> = (0..spec.action_dim()).map(|i| 1.2 + (i as f32 * 0.83).sin()).collect();
            let (mut sin, mut cos) = ([0f32; KMAX], [0f32; KMAX]);
            for i in 0..k {
                (sin[i], cos[i]) = s.theta[i].sin_cos();
            }
            let sent = beams(&spec, k, &p, &sin, &cos, &s, &act);
            let shown = weights(&spec, &p, &s, &act);
            for i in 0..k {
                let beam_i = &shown[i * n..][..n];
                // Mixed beams of an agent need not be of norm 1; those of a rule are.
                let norm: f32 = beam_i.iter().flatten().map(|x| x * x).sum::<f32>() / n as f32;
                let scale = if beam == Beam::Span { f64::from(norm) } else { 1.0 };
                for j in 0..k {
                    let (want, got) =
                        (f64::from(sent.gain[j][i]), scale * gain(beam_i, f64::from(s.theta[j])));
                    assert!(
                        (got - want).abs() < 2e-4 * (1.0 + want),
                        "{beam:?} {j} {i}: {got} against {want}"
                    );
                }
            }
        }
    }
}

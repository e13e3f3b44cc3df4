//! The live page of task v2x: the road before one unit with its vehicles and beams, and what hundreds of such
//! environments earn, by the kernels of this crate in a browser.

use super::agents::{AGENTS, Fixed};
use super::config::{V2xConfig, V2xTaskConfig};
use super::kernels::v2x_reset::{self, v2x_reset_cpu};
use super::kernels::v2x_step::{self, v2x_step_cpu};
use super::kernels::{v2x_batch, v2x_reference};
use super::physics::{Beam, V2xParams, V2xSpec, metric};
use super::reference::Reference;
use crate::gpu::fold_groups;
use crate::kernels::metrics_reduce;
use crate::nets::Policy;
use crate::report::live::{
    Array, Changes, Check, Control, Curve, Dispatch, Driver, Live, LiveError, MOST_SLOTS, Network,
    NetworkArrays, PagePlan, Program, Recorded, Seen, Tick, Trained, Word, Words, Write,
};
use crate::run::actor::{Actor, Decided, Mode};
use crate::run::rows::text_of;
use crate::run::task::Kind;
use serde_json::json;

/// A small spiking policy, trained as `docs/live.md` says: what drives a page for which no other policy is named.
pub const POLICY: &[u8] = include_bytes!("policy.safetensors");

const SCRIPT: &str = include_str!("road.js");

/// Agents without weights that a page has beside the policy.
const REFERENCES: [Reference; 3] = [Reference::LastEstimate, Reference::Ekf, Reference::EkfZf];

/// Slots of the physics' check, the second of which ends an episode.
const CHECKED: usize = 4;
/// Slots of the recorded run.
const RECORDED: usize = 200;

/// The rows whose means the page draws.
const CURVES: [usize; 2] = [metric::SUM_RATE, metric::UPPER_BOUND];

/// Arrays of the environments.
struct Arrays {
    params: Array,
    state: Array,
    obs: Array,
    action: Array,
    final_obs: Array,
    reward: Array,
    flags: Array,
    metrics: Array,
    sums: Array,
    memory: Array,
}

/// Sizes, parameters and arrays of a page in the making.
struct Making<'a> {
    plan: PagePlan,
    at: Arrays,
    batch: v2x_batch::Spec,
    params: V2xParams,
    config: &'a V2xConfig,
}

/// The page of this configuration with `b` environments, driven by a trained policy, or at first by the agent `first`.
///
/// # Errors
/// What the page has no kernels or no drawing for, and an agent that is not on it.
pub fn live(config: &V2xConfig, trained: &Trained, first: Option<&str>, b: usize) -> Result<Live, LiveError> {
    let task = config.task.spec();
    if task.beam.is_matrix() {
        let what =
            format!("drawing for beams without an angle (task.beam = \"{}\")", text_of(&config.task.beam));
        return Err(LiveError::Lacks(what));
    }
    let policy = trained
        .algorithm
        .policy()
        .ok_or_else(|| LiveError::Lacks(format!("kernels for the networks of agent '{}'", trained.agent)))?;
    let key = [config.evaluate.seed, 0];
    let params = config.task.params(key);
    let batch = v2x_batch::Spec { r: 1, b, task };
    let most = |of: fn(&v2x_batch::Spec) -> usize| {
        let span = v2x_batch::Spec { task: V2xSpec { beam: Beam::Span, ..task }, ..batch };
        of(&batch).max(of(&span))
    };
    let mut plan = PagePlan::default();
    let at = Arrays {
        params: plan.filled("params", &[params]),
        state: plan.array("state", batch.state_len()),
        obs: plan.array("obs", batch.obs_len()),
        action: plan.array("action", most(v2x_batch::Spec::action_len)),
        final_obs: plan.array("final_obs", batch.obs_len()),
        reward: plan.array("reward", CHECKED * b),
        flags: plan.array("flags", CHECKED * b),
        metrics: plan.array("metrics", batch.metrics_len()),
        sums: plan.array("sums", MOST_SLOTS * task.metric_rows() * 2),
        memory: plan.array("memory", 9 * task.vehicles * b),
    };
    let keys = plan.filled("keys", &key);
    let mut m = Making { plan, at, batch, params, config };
    let reset = vec![m.reset()?];
    let mut agents = vec![m.learned(trained, &policy, keys)?];
    for who in REFERENCES {
        agents.push(m.reference(who)?);
    }
    let first = match first {
        None => 0,
        Some(id) => agents.iter().position(|a| a.id == id).ok_or_else(|| LiveError::Agent {
            agent: id.into(),
            known: agents.iter().map(|a| a.id.as_str()).collect::<Vec<_>>().join(", "),
        })?,
    };
    let (check, recorded) = (m.check(trained)?, m.recorded(trained));
    let controls = vec![m.power(), m.speed()];
    let k = task.vehicles;
    let scene = json!({
        "vehicles": k, "antennas": task.antennas, "delta": params.tracking_delta_rad,
        "starts": config.task.start_m, "rate_row": metric::RATE, "slots": task.slots, "slot_s": config.task.slot_s,
    });
    Ok(Live {
        title: "Beams on a road, computed in this browser".into(),
        about: format!(
            "A road-side unit with {} antennas serves {k} vehicles with data and tracks them by the echoes of the same \
             beams: every {} ms a policy turns what the last echoes said into beams and powers. {b} such roads run \
             side by side here, by the WGSL kernels that train and evaluate in isacbench. The first one is drawn.",
            task.antennas,
            config.task.slot_s * 1e3
        ),
        noun: "roads",
        made_by: trained.about.clone(),
        envs: b,
        slots: task.slots,
        slot_s: config.task.slot_s,
        reset,
        controls,
        agents,
        first,
        sums: m.at.sums,
        rows: task.metric_rows(),
        curves: vec![
            Curve { row: CURVES[0], label: "sum-rate", unit: "bps/Hz" },
            Curve { row: CURVES[1], label: "upper bound", unit: "bps/Hz" },
        ],
        seen: Seen {
            state: m.at.state,
            state_rows: task.state_rows(),
            action: m.at.action,
            metrics: m.at.metrics,
        },
        check,
        recorded,
        scene,
        script: SCRIPT,
        plan: m.plan,
    })
}

impl Making<'_> {
    /// Sizes with actions of another parameterisation.
    fn with(&self, beam: Beam) -> v2x_batch::Spec {
        v2x_batch::Spec { task: V2xSpec { beam, ..self.batch.task }, ..self.batch }
    }

    fn reset(&mut self) -> Result<Dispatch, LiveError> {
        let kernel = self.plan.kernel(&v2x_reset::SHADER, &v2x_reset::prelude(&self.batch))?;
        let arrays = [("params", self.at.params), ("state", self.at.state), ("obs", self.at.obs)];
        let words = [("clock", Word::CLOCK), ("obs_off", Word::ZERO)];
        Ok(self.plan.dispatch(kernel, &arrays, fold_groups(self.batch.b, v2x_reset::WG), &words))
    }

    /// A slot of these actions, which begin at `action_off`; rewards and flags go to `out_off`.
    fn step(
        &mut self,
        beam: Beam,
        action: Array,
        action_off: Word,
        out_off: Word,
    ) -> Result<Dispatch, LiveError> {
        let kernel = self.plan.kernel(&v2x_step::SHADER, &v2x_step::prelude(&self.with(beam)))?;
        let at = &self.at;
        let arrays = [
            ("params", at.params),
            ("action", action),
            ("state", at.state),
            ("obs", at.obs),
            ("final_obs", at.final_obs),
            ("reward", at.reward),
            ("flags", at.flags),
            ("metrics", at.metrics),
        ];
        let words = [
            ("clock", Word::CLOCK),
            ("action_off", action_off),
            ("obs_off", Word::ZERO),
            ("reward_off", out_off),
            ("full", Word::is(1)),
        ];
        Ok(self.plan.dispatch(kernel, &arrays, fold_groups(self.batch.b, v2x_step::WG), &words))
    }

    /// What follows a decision with actions of this parameterisation: the slot, and the sums of its metrics.
    fn after(&mut self, beam: Beam) -> Result<[Dispatch; 2], LiveError> {
        let step = self.step(beam, self.at.action, Word::ZERO, Word::ZERO)?;
        let rows = self.batch.task.metric_rows();
        let spec = metrics_reduce::Spec { r: 1, metric_rows: rows, b: self.batch.b };
        let kernel = self.plan.kernel(&metrics_reduce::SHADER, &metrics_reduce::prelude(&spec))?;
        let arrays = [("metrics", self.at.metrics), ("sums", self.at.sums)];
        let words = [("scale_bits", Word::bits(1.0)), ("sums_off", Word::slot(2 * rows))];
        let groups = fold_groups(rows * metrics_reduce::WG, metrics_reduce::WG);
        Ok([step, self.plan.dispatch(kernel, &arrays, groups, &words)])
    }

    fn learned(&mut self, trained: &Trained, policy: &Policy, keys: Array) -> Result<Driver, LiveError> {
        let beam = self.batch.task.beam;
        let arrays = NetworkArrays { obs: self.at.obs, action: self.at.action, keys };
        let net = Network::new(&mut self.plan, policy, &trained.params, self.batch.b, arrays)?;
        // Of the whole first episode, so that enough are far from any threshold.
        let mut seen = Vec::<f32>::new();
        let mut run = self.start(trained, 0);
        for clock in 0..8.min(self.batch.task.slots as u32) {
            seen.extend(&run.obs);
            self.slot(&mut run, clock);
        }
        let samples = net.samples(&seen);
        let (steps, first) = match net.steps() {
            Some((all, first)) => (all.map(Some).collect(), first),
            None => (vec![None], 0),
        };
        let program = |steps: Option<usize>| {
            let mut slot = net.decide(&mut self.plan, steps)?;
            let check = net.check(&mut self.plan, steps, &samples)?;
            slot.extend(self.after(beam)?);
            Ok(Program { steps, slot, check: Some(check) })
        };
        let programs = steps.into_iter().map(program).collect::<Result<_, LiveError>>()?;
        Ok(Driver {
            id: trained.agent.clone(),
            about: summary(&trained.agent).into(),
            programs,
            first,
            spikes: net.spikes(),
            scene: self.scene(beam),
        })
    }

    fn reference(&mut self, who: Reference) -> Result<Driver, LiveError> {
        let spec = v2x_reference::Spec { batch: self.with(who.beam()), who };
        let kernel = self.plan.kernel(&v2x_reference::SHADER, &v2x_reference::prelude(&spec))?;
        let at = &self.at;
        let arrays =
            [("params", at.params), ("state", at.state), ("memory", at.memory), ("action", at.action)];
        let words = [("clock", Word::CLOCK), ("action_off", Word::ZERO)];
        let groups = fold_groups(self.batch.b, v2x_reference::WG);
        let mut slot = vec![self.plan.dispatch(kernel, &arrays, groups, &words)];
        slot.extend(self.after(who.beam())?);
        let agent = AGENTS.iter().find(|a| matches!(a.kind, Kind::Fixed(Fixed::Reference(x)) if x == who));
        let agent = agent.expect("every reference is an agent");
        Ok(Driver {
            id: agent.id.into(),
            about: agent.summary.into(),
            programs: vec![Program { steps: None, slot, check: None }],
            first: 0,
            spikes: Vec::new(),
            scene: self.scene(who.beam()),
        })
    }

    /// What the drawing must know of actions.
    fn scene(&self, beam: Beam) -> serde_json::Value {
        let name = match beam {
            Beam::Angles => "angles",
            Beam::Tracking | Beam::Zf => "tracking",
            _ => "physical",
        };
        json!({ "beam": name, "actions": self.with(beam).task.action_dim() })
    }

    // ---- On the CPU ----

    /// Environments behind the reset at `clock`, driven by a trained policy.
    fn start(&self, trained: &Trained, clock: u32) -> Simulated {
        let spec = &self.batch;
        let mut run = Simulated {
            actor: Actor::new(&trained.algorithm, &trained.params),
            memory: Vec::new(),
            state: vec![0.0; spec.state_len()],
            obs: vec![0.0; spec.obs_len()],
            final_obs: vec![0.0; spec.obs_len()],
            action: vec![0.0; spec.action_len()],
            reward: vec![0.0; spec.b],
            flags: vec![0; spec.b],
            metrics: vec![0.0; spec.metrics_len()],
        };
        run.memory = vec![0.0; run.actor.memory() * spec.b];
        let at = v2x_reset::Args { clock, obs_off: 0 };
        v2x_reset_cpu(spec, &at, &[self.params], &mut run.state, &mut run.obs);
        run
    }

    /// A slot by the twin in f32.
    fn slot(&self, run: &mut Simulated, clock: u32) {
        let mode = Mode { greedy: true, key: self.params.key, clock };
        run.actor.act(&run.obs, mode, &mut run.memory, Decided { action: &mut run.action, phases: None });
        let at = v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: 0, full: true };
        v2x_step_cpu(
            &self.batch,
            &at,
            &[self.params],
            &run.action,
            &mut run.state,
            &mut run.obs,
            &mut run.final_obs,
            &mut run.reward,
            &mut run.flags,
            &mut run.metrics,
        );
    }

    /// Slots across an episode's end, with the policy's actions.
    fn check(&mut self, trained: &Trained) -> Result<Check, LiveError> {
        let clock = (self.batch.task.slots as u32).saturating_sub(2);
        let mut run = self.start(trained, clock);
        let (mut actions, mut rewards, mut flags) = (Vec::<f32>::new(), Vec::<f32>::new(), Vec::<u32>::new());
        for slot in 0..CHECKED as u32 {
            self.slot(&mut run, clock + slot);
            actions.extend(&run.action);
            rewards.extend(&run.reward);
            flags.extend(&run.flags);
        }
        let given = self.plan.array("checked actions", actions.len());
        let beam = self.batch.task.beam;
        let offsets = (Word::slot(self.batch.action_len()), Word::slot(self.batch.b));
        let step = self.step(beam, given, offsets.0, offsets.1)?;
        let reset = Tick { clock, slot: 0, dispatches: vec![self.reset()?] };
        let slots = (0..CHECKED as u32).map(|slot| Tick {
            clock: clock + slot,
            slot,
            dispatches: vec![step.clone()],
        });
        let (at, plan) = (&self.at, &mut self.plan);
        Ok(Check {
            what: "the physics",
            writes: vec![Write { array: given, words: plan.store(&actions) }],
            runs: std::iter::once(reset).chain(slots).collect(),
            expects: vec![
                plan.exactly(at.state, &run.state),
                plan.exactly(at.obs, &run.obs),
                plan.exactly(at.final_obs, &run.final_obs),
                plan.exactly(at.reward, &rewards),
                plan.exactly(at.flags, &flags),
                plan.exactly(at.metrics, &run.metrics),
            ],
        })
    }

    fn recorded(&self, trained: &Trained) -> Recorded {
        let b = self.batch.b;
        let one = |rows: &[f32]| rows.iter().step_by(b).copied().collect::<Vec<f32>>();
        let mut run = self.start(trained, 0);
        let (mut states, mut actions) = (one(&run.state), Vec::<f32>::new());
        let (mut metrics, mut means) = (Vec::<f32>::new(), Vec::<f32>::new());
        for clock in 0..RECORDED as u32 {
            self.slot(&mut run, clock);
            states.extend(one(&run.state));
            actions.extend(&run.action[..self.batch.task.action_dim()]);
            metrics.extend(one(&run.metrics));
            means.extend(CURVES.map(|row| run.metrics[row * b..][..b].iter().sum::<f32>() / b as f32));
        }
        Recorded {
            agent: trained.agent.clone(),
            slots: RECORDED,
            states: Words::of(&states),
            actions: Words::of(&actions),
            metrics: Words::of(&metrics),
            means: Words::of(&means),
        }
    }

    // ---- Sliders ----

    /// A slider over these values and the configured one.
    fn control(
        &self,
        values: impl Iterator<Item = f64>,
        configured: f64,
        with: impl Fn(f64) -> V2xTaskConfig,
    ) -> (Vec<f64>, usize, Vec<Changes>) {
        let mut values: Vec<f64> = values.chain([configured]).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let first = values.iter().position(|v| *v == configured).expect("it is among them");
        let words = |p: &V2xParams| bytemuck::cast_slice::<V2xParams, u32>(&[*p]).to_vec();
        let base = words(&self.params);
        let differs = |v: &f64| {
            let params = if *v == configured { self.params } else { with(*v).params(self.params.key) };
            Control::difference(&base, &words(&params))
        };
        let all = values.iter().map(differs).collect();
        (values, first, all)
    }

    fn power(&self) -> Control {
        let task = &self.config.task;
        let (values, first, words) = self.control((0..=50).map(f64::from), task.p_max_dbm, |p_max_dbm| {
            V2xTaskConfig { p_max_dbm, ..task.clone() }
        });
        Control {
            id: "power",
            label: "transmit power P_max",
            unit: "dBm",
            about: "all beams together",
            values,
            first,
            array: self.at.params,
            words,
            restarts: false,
        }
    }

    fn speed(&self) -> Control {
        let task = &self.config.task;
        let [lo, hi] = task.speed_m_s;
        let (mean, half) = (0.5 * (lo + hi), 0.5 * (hi - lo));
        let (values, first, words) = self.control((1..=40).map(f64::from), mean, |v| V2xTaskConfig {
            speed_m_s: [(v - half).max(0.0), v + half],
            ..task.clone()
        });
        Control {
            id: "speed",
            label: "vehicle speed",
            unit: "m/s",
            about: "mean at the start of an episode",
            values,
            first,
            array: self.at.params,
            words,
            restarts: true,
        }
    }
}

/// Environments on the CPU.
struct Simulated {
    actor: Actor,
    memory: Vec<f32>,
    state: Vec<f32>,
    obs: Vec<f32>,
    final_obs: Vec<f32>,
    action: Vec<f32>,
    reward: Vec<f32>,
    flags: Vec<u32>,
    metrics: Vec<f32>,
}

/// What the table of agents says of one.
fn summary(id: &str) -> &'static str {
    AGENTS.iter().find(|a| a.id == id).map_or("", |a| a.summary)
}

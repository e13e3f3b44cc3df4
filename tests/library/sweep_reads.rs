//! What an agent is said to read of a configuration, key by key: a key that it does not read changes no bit of its
//! weights and metrics, and one that it reads changes something. Else a sweep would count one experiment several times,
//! or take two for one.
#![cfg(feature = "report")]

use isacbench::learn::Learner;
use isacbench::run::sweep::task::{evaluate, shape};
use isacbench::run::task::{Agent, Task, Unit, Weights};
use isacbench::run::train::{TrainingSpan, train};
use isacbench::run::watch::Watch;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use toml::{Table, Value};

struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

/// Dotted keys with their values.
fn leaves(prefix: &str, table: &Table, out: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        match value {
            Value::Table(t) => leaves(&format!("{prefix}{key}."), t, out),
            value => out.push((format!("{prefix}{key}"), value.clone())),
        }
    }
}

/// Other values to try, the first that is valid is taken.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Float(x) => [0.75 * x, 1.25 * x, x + 0.25].map(Value::Float).into(),
        Value::Integer(n) => [2 * n, n + 1, n - 1, n / 2].map(Value::Integer).into(),
        Value::Boolean(b) => vec![Value::Boolean(!b)],
        Value::String(_) => [
            "zf",
            "tracking",
            "angles",
            "cartesian",
            "joint",
            "kinematic",
            "a2c",
            "ppo",
            "direct",
            "paper",
            "last",
            "reward-smooth",
            "steering",
            "indicator",
            "exponential",
            "power-preserving",
            "carried",
            "gaussian",
            "episode",
            "additive",
        ]
        .map(|s| Value::String(s.into()))
        .into(),
        // One element after the other, and the list without its last one.
        Value::Array(list) => {
            let mut out = Vec::new();
            for i in 0..list.len() {
                for other in others(&list[i]) {
                    let mut list = list.clone();
                    list[i] = other;
                    out.push(Value::Array(list));
                }
            }
            out.extend(list.split_last().map(|(_, rest)| Value::Array(rest.to_vec())));
            out
        }
        _ => Vec::new(),
    }
}

/// Everything that makes a difference: weights after two updates, bit for bit, and metrics, or why the agent refuses;
/// as text, in which NaN is NaN.
fn results<C: Task>(agent: &Agent<C>, config: &C) -> (Vec<u32>, String) {
    let units = [Unit { config, seed: 0 }];
    let algorithm = config.algorithm(agent, &units);
    let params = algorithm.as_ref().map(|algorithm| {
        let mut learner = Learner::new(algorithm, &algorithm.start(), None).unwrap();
        let updates = config.common().train.updates;
        let span = TrainingSpan { algorithm, updates, until: updates, log_every: updates };
        train(&span, &mut learner, 0, |_, _| (), |_| true).unwrap().params
    });
    let weights = algorithm.as_ref().zip(params.as_ref()).map(|(a, p)| Weights::trained(a, p));
    let metrics =
        format!("{:?}", evaluate(agent, &units, weights, None, &Quiet, &std::collections::BTreeSet::new()));
    (params.iter().flatten().map(|x| x.to_bits()).collect(), metrics)
}

/// Keys in which a sweep's points cannot differ anyway, and the preset, which stands for keys that are tried one by
/// one.
const TAKEN: [&str; 5] = ["preset", "task.name", "train.seeds", "evaluate.seed", "experiment"];

/// Agents, and keys that each of them reads and that change nothing at this size.
type Idle = &'static [(&'static [&'static str], &'static [&'static str])];

/// `together`: keys that are valid only with others; `idle`: what must be idle, and nothing else.
fn enumerate<C: Task>(base: &str, together: &[(&str, &str)], idle: Idle) {
    let sets: Vec<String> = base.split_whitespace().map(String::from).collect();
    let base = C::load(None, &sets).unwrap();
    let mut keys = Vec::new();
    leaves("", &base.table(), &mut keys);
    keys.retain(|(k, _)| !TAKEN.contains(&k.as_str()));
    let (mut wrong, mut idle_there) = (Vec::new(), 0);
    for agent in C::agents() {
        let before = results(agent, &base);
        for (key, value) in &keys {
            let more = together.iter().find(|t| t.0 == key).map_or("", |t| t.1);
            let more: Vec<String> = more.split_whitespace().map(String::from).collect();
            let valid = |c: &C| c.relations_for(agent.id).is_ok();
            let with =
                |v: &Value| base.with(&[&[format!("{key}={v}")], &more[..]].concat()).ok().filter(valid);
            let candidates = others(value);
            let Some(changed) = candidates.iter().filter(|v| *v != value).find_map(with) else {
                panic!("no other value of {key} is valid: {candidates:?}");
            };
            let reads = base.reads(agent, key) || changed.reads(agent, key);
            // What agents learn by differs, as text: that is enough for them, since two small updates do not need every
            // setting.
            let unit = |c: &C| c.algorithm(agent, &[Unit { config: c, seed: 0 }]).map(|a| format!("{a:?}"));
            let text = |c: &C| (unit(c), shape(c, agent));
            if reads && agent.is_learned() && text(&changed) != text(&base) {
                continue;
            }
            let same = results(agent, &changed) == before;
            let listed = idle.iter().any(|i| i.0.contains(&agent.id) && i.1.contains(&key.as_str()));
            if listed && reads && same {
                idle_there += 1;
            } else if reads == same {
                let said =
                    if reads { "is read and changes nothing" } else { "is not read and changes results" };
                wrong.push(format!("{}: {key} {said}", agent.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed: usize = idle.iter().map(|i| i.0.len() * i.1.len()).sum();
    assert_eq!(idle_there, listed, "of what is listed as idle, some is not, or stands there twice");
}

const V2X: &str = "task.slots=5 ppo.hidden=[4] spiking.hidden=[4] ppo.envs=2 ppo.horizon=5 ppo.minibatch=5 spiking.steps=2 ddpg.hidden=[4] ddpg.envs=2 \
    ddpg.capacity=40 ddpg.minibatch=4 ddpg.learning_starts=4 dqn.hidden=[4] dqn.envs=2 dqn.capacity=40 dqn.minibatch=4 \
    dqn.learning_starts=4 train.updates=2 evaluate.episodes=4 evaluate.greedy=false";

const START: &str = "task.start_m=[[-40.0,20.0],[-20.0,20.0],[0.0,20.0],[10.0,20.0],[20.0,20.0],[30.0,20.0]]";

#[test]
fn of_task_v2x() {
    let together = [("task.vehicles", START), ("task.slots", "ppo.horizon=10")];
    for beam in ["angles", "tracking", "zf"] {
        enumerate::<V2xConfig>(&format!("{V2X} task.beam={beam}"), &together, IDLE_V2X);
    }
}

#[test]
fn of_task_misac() {
    let small = "task.slots=6 task.antennas=4 task.vehicles=2 temporal.hidden=4 temporal.trunk=[4] temporal.critic=[4] temporal.envs=4 \
        temporal.minibatch_envs=2 spatial.hidden=[4] train.updates=2 evaluate.episodes=4 evaluate.gain_stride=1";
    for algorithm in ["ppo", "a2c"] {
        enumerate::<MisacConfig>(&format!("{small} temporal.algorithm={algorithm}"), &[], IDLE_MISAC);
    }
}

const IDLE_V2X: Idle = &[
    // The link is the default's, at which rewards have the same factor.
    (&["spiking-ac", "ppo", "ddpg", "dqn"], &["task.reward_by_link"]),
    // They start at least eleven metres away and move by half a metre in all.
    (
        &["random", "last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf", "upper-bound"],
        &["task.distance_floor_m"],
    ),
    (&["beam-training", "two-stage", "channel-history"], &["task.distance_floor_m", "task.cap_d_m"]),
    (
        &["beam-training", "two-stage", "channel-history"],
        &["task.cap_theta_rad", "task.eps_theta_rad2", "task.eps_d_m2", "task.limits"],
    ),
    // Of the measured speed, which only the second of them looks at.
    (&["beam-training", "channel-history"], &["task.carrier_hz", "task.alpha_mu_hz"]),
    (&["beam-training", "two-stage", "channel-history"], &["task.cap_v_m_s", "task.cos_floor"]),
    // The strongest beam is heard far above the noise of a pilot.
    (&["beam-training"], &["protocol.pilot_samples"]),
    // A cap of one radian on the error of an angle is far from what any beam gives, no slot lies between the two limits
    // that are tried, and slots keep them alike.
    (
        &["random", "last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf"],
        &["task.cap_theta_rad", "task.eps_theta_rad2", "task.eps_d_m2", "task.limits"],
    ),
    // No bound is at a cap.
    (&["random", "last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf"], &["task.caps_in_reward"]),
    (&["beam-training", "two-stage", "channel-history"], &["task.caps_in_reward"]),
    // Of the indicator in place of the product: `random` never keeps the limits, and the bounds of zero-forcing at the
    // right angles are below a rounding of the rate.
    (&["random", "ekf-zf", "genie-zf"], &["task.reward"]),
    // The beams of these are never far from their vehicles; those of `random` are.
    (&["last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf"], &["task.cap_d_m"]),
    // Of the error of the measured speed, of which no metric tells: only learned agents and the filter look at it.
    (
        &["random", "last-estimate", "genie", "genie-zf"],
        &["task.carrier_hz", "task.alpha_mu_hz", "task.cap_v_m_s", "task.cos_floor"],
    ),
    // The filter's errors of speed are below their cap, and no vehicle is abreast, where the cosine is small.
    (&["ekf", "ukf", "ekf-zf"], &["task.cap_v_m_s", "task.cos_floor"]),
];
const IDLE_MISAC: Idle = &[
    // Of the measured distance, which is a number of the observation only; schedules look at ages.
    (
        &["vision-only", "radar-only", "best-periodic", "dp-optimal", "dp-causal", "dp-bound"],
        &["task.distance_noise"],
    ),
    // Nobody grows that old in six slots, and the best period is one of the short ones.
    (&["vision-only", "radar-only", "best-periodic", "dp-causal", "dp-bound"], &["task.age_max_slots"]),
    (
        &["vision-only", "radar-only", "best-periodic", "dp-optimal", "dp-causal", "dp-bound"],
        &["task.age_saturates"],
    ),
    // It looks in every slot: no age is above 0, so nothing is misaligned or recovered, no channel is out of date, no
    // error walks on, and no angle is the radar's.
    (
        &["vision-only"],
        &[
            "task.beta_floor",
            "task.beta_slope",
            "task.snr_db",
            "task.uncertainty",
            "task.e_recovery_j",
            "task.gamma_misa",
            "task.lambda_misa_j",
            "task.csi_error",
            "task.beam_width_factor",
            "task.realign",
            "task.channel_ageing",
            "task.error_growth",
            "task.radar_noise_deg",
        ],
    ),
    // Its frames come before the limit is met.
    (&["dp-causal"], &["task.lambda_misa_j"]),
    // It never takes a frame.
    (&["radar-only"], &["task.e_vis_j", "task.t_proc_slots"]),
    // Its best period keeps L_BMP below Γ in every slot, so none pays for more.
    (&["best-periodic"], &["task.lambda_misa_j"]),
    (
        &["dp-bound"],
        &[
            // Of beams and of the errors that they are steered with: a bound on energy tells of neither.
            "evaluate.gain_stride",
            "task.antennas",
            "task.beam_width_factor",
            "task.carrier_hz",
            "task.channel_ageing",
            "task.csi_error",
            "task.error_growth",
            "task.light_speed_m_s",
            "task.noise_dbm",
            "task.p_max_dbm",
            "task.paths",
            "task.radar_noise_deg",
            "task.rician_db",
            "task.sigma_vis_deg",
            // Of the road, which β follows only where uncertainty is kinematic.
            "task.road_y_m",
            "task.slot_s",
            "task.speed_m_s",
            "task.start_x_m",
        ],
    ),
];

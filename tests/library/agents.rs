//! The agents that need no learning, over whole episodes: against the numpy results in `tests/golden/v2x_agents.json`,
//! of protocols in `v2x_protocols.json`
//! (an independent implementation, its own random numbers), GPU against CPU (the same random numbers), and that results
//! do not depend on how episodes are grouped.

use crate::common::gpu_or_skip;
use isacbench::config::{Layered, PpoConfig};
use isacbench::env::Env;
use isacbench::gpu::Gpu;
use isacbench::learn::{Algorithm, Learner, PpoSpec};
use isacbench::run::evaluate::{
    Controller, Estimate, Evaluation, KEY_BATCH, Precision, ReplicaEstimates, evaluate,
};
use isacbench::run::task::{Kind, Task, Unit};
use isacbench::run::train::{TrainingSpan, train};
use isacbench::run::watch::Watch;
use isacbench::tasks::v2x::agents::{self as agents, Fixed, Rule, Slot, V2xAgent};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::env::{V2xEnv, metric_names};
use isacbench::tasks::v2x::physics::{Beam, V2xParams, metric};
use isacbench::tasks::v2x::reference::Reference;
use serde_json::Value;

const KINEMATICS: [&str; 2] = ["paper", "cartesian"];
const POWERS_DBM: [u32; 5] = [0, 10, 20, 30, 40];
const AGENTS: [&str; 8] =
    ["random", "last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf", "upper-bound"];
/// Figure 2 of the paper.
const PROTOCOLS: [&str; 3] = ["beam-training", "two-stage", "channel-history"];
const VEHICLES: usize = 3;
/// About a thousand numbers are compared: a correct program passes all of them with 99 % at 4.5 standard errors
/// (two-sided normal, Bonferroni).
const Z: f64 = 4.5;
/// Squared errors and their bounds are skewed, so their standard errors are uncertain themselves.
const Z_SKEWED: f64 = 6.0;
/// What f32 may add to a mean, as a share of it.
const F32_SHARE: f64 = 2e-5;
/// What reading a quantile off a straight line in a bin, a 32nd wide, may add to it, as a share of it.
const BIN_SHARE: f64 = 1e-3;

fn numpy() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2x_agents.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn config(kinematics: &str) -> V2xConfig {
    V2xConfig::load(None, &[format!("task.kinematics={kinematics}")]).unwrap()
}

/// Replicas of one seed at the given powers.
fn replicas(kinematics: &str, powers: &[u32], seed: u32) -> Vec<V2xParams> {
    let at = |p: &u32| {
        let mut task = config(kinematics).task;
        task.p_max_dbm = f64::from(*p);
        task.params([seed, 0])
    };
    powers.iter().map(at).collect()
}

fn run(
    agent: &str,
    kinematics: &str,
    replicas: Vec<V2xParams>,
    episodes: u64,
    gpu: Option<&Gpu>,
) -> Vec<ReplicaEstimates> {
    let Kind::Fixed(fixed) = V2xConfig::agent(agent).unwrap().kind else { panic!("{agent} learns") };
    let of = replicas.len();
    let eval = eval(fixed, V2xEnv { spec: config(kinematics).task.spec(), params: replicas }, episodes);
    let out = evaluate(&eval, gpu, &|_| ()).unwrap();
    assert_eq!(out.len(), of);
    assert!(out.iter().all(|o| o.episodes == episodes));
    out
}

fn eval(fixed: Fixed, env: V2xEnv, episodes: u64) -> Evaluation<'static> {
    let settings = vec![config("paper").protocol; env.params.len()];
    let (env, rule) = fixed.acts(env, &settings);
    Evaluation { env, controller: Controller::Rule(rule), episodes, slots: &[metric::SUM_RATE] }
}

/// Sees nothing.
struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

/// Mean and standard error as numpy found them.
/// What the golden file calls a metric.
fn golden_name(name: &str) -> &str {
    match name.strip_suffix("_bps_hz") {
        Some(short) if short.starts_with("rate_") => short,
        _ => name,
    }
}

fn estimate(v: &Value, what: &str) -> Estimate {
    let read = |key: &str| v[key].as_f64().unwrap_or_else(|| panic!("no {key} of {what}"));
    Estimate { mean: read("mean"), std_error: read("se") }
}

/// Collects what lies too far apart, so that one run shows all of it.
#[derive(Default)]
struct Verdict {
    compared: usize,
    worst: f64,
    failures: Vec<String>,
}

impl Verdict {
    fn compare(&mut self, what: &str, ours: Estimate, theirs: Estimate, z: f64) {
        self.compare_near(what, ours, theirs, z, F32_SHARE * theirs.mean.abs());
    }

    /// With what else than chance may lie between them.
    fn compare_near(&mut self, what: &str, ours: Estimate, theirs: Estimate, z: f64, near: f64) {
        let slack = z * ours.std_error.hypot(theirs.std_error) + near;
        let difference = (ours.mean - theirs.mean).abs();
        self.compared += 1;
        self.worst = self.worst.max(difference / slack.max(f64::MIN_POSITIVE));
        // Written so that NaN fails.
        // A difference that is not a number fails too.
        if difference.is_nan() || difference > slack {
            self.failures.push(format!(
                "{what}: {:e} ± {:e} here, {:e} ± {:e} in numpy",
                ours.mean, ours.std_error, theirs.mean, theirs.std_error
            ));
        }
    }

    fn finish(self, at_least: usize) {
        println!("{} comparisons, the worst at {:.2} of its limit", self.compared, self.worst);
        assert!(self.compared >= at_least, "only {} comparisons", self.compared);
        assert!(
            self.failures.is_empty(),
            "{} of {} differ:\n{}",
            self.failures.len(),
            self.compared,
            self.failures.join("\n")
        );
    }
}

/// One agent at one power against numpy.
fn against_numpy(verdict: &mut Verdict, case: &str, agent: &str, ours: &ReplicaEstimates, theirs: &Value) {
    if agent == "upper-bound" {
        verdict.compare(
            case,
            ours.metrics[metric::UPPER_BOUND],
            estimate(&theirs["sum_rate_bps_hz"], case),
            Z,
        );
        return;
    }
    for (i, name) in metric_names(VEHICLES).iter().enumerate() {
        let what = format!("{case} {name}");
        let here = ours.metrics[i];
        match i {
            metric::UPPER_BOUND => {}
            // 1/p of a Dirichlet share p has a density that falls as 1/x²: its mean grows with the logarithm of the cap
            // and its standard error means nothing. Only the order of magnitude can be compared.
            metric::ANGLE_SE | metric::ANGLE_CRLB if agent == "random" => {
                let ratio = here.mean / estimate(&theirs[golden_name(name)], &what).mean;
                verdict.compared += 1;
                if !(0.1..=10.0).contains(&ratio) {
                    verdict.failures.push(format!("{what}: {ratio} times numpy's"));
                }
            }
            metric::ANGLE_SE | metric::DISTANCE_SE | metric::ANGLE_CRLB | metric::DISTANCE_CRLB => {
                verdict.compare(&what, here, estimate(&theirs[golden_name(name)], &what), Z_SKEWED);
            }
            // The beams of a genie hit in f64, and miss by a rounding in f32.
            metric::POINTING_SE => {
                let there = estimate(&theirs[golden_name(name)], &what);
                verdict.compare_near(&what, here, there, Z_SKEWED, F32_SHARE * there.mean + 1e-12);
            }
            _ => verdict.compare(&what, here, estimate(&theirs[golden_name(name)], &what), Z),
        }
    }
    let env = V2xEnv { spec: config("paper").task.spec(), params: replicas("paper", &[0], 0) };
    for (limit, here) in env.limits().iter().zip(&ours.shares) {
        let what = format!("{case} {}", limit.share);
        verdict.compare(&what, *here, estimate(&theirs[limit.share], &what), Z);
    }
    let names = env.samples().expect("errors of the vehicles").quantiles.as_flattened();
    for (name, here) in names.iter().zip(ours.quantiles.as_flattened()) {
        let what = format!("{case} {name}");
        let there = estimate(&theirs[golden_name(name)], &what);
        let here = quantile_of(*here, ours.episodes, there, theirs);
        let rounding = if name.starts_with("pointing") { 4e-7 } else { 0.0 };
        verdict.compare_near(&what, here, there, Z_SKEWED, BIN_SHARE * there.mean + rounding);
    }
}

/// A quantile of ours with the standard error that theirs has for as many episodes.
fn quantile_of(here: f64, episodes: u64, there: Estimate, theirs: &Value) -> Estimate {
    let more = theirs["episodes"].as_f64().unwrap() / episodes as f64;
    Estimate { mean: here, std_error: there.std_error * more.sqrt() }
}

#[test]
fn means_equal_those_of_numpy() {
    let numpy = numpy();
    let mut verdict = Verdict::default();
    for kinematics in KINEMATICS {
        for agent in AGENTS {
            let ours = run(agent, kinematics, replicas(kinematics, &POWERS_DBM, 77), 4096, None);
            for (p, o) in POWERS_DBM.iter().zip(&ours) {
                let case = format!("{kinematics} {p} dBm {agent}");
                against_numpy(
                    &mut verdict,
                    &case,
                    agent,
                    o,
                    &numpy["results"][kinematics][p.to_string()][agent],
                );
            }
        }
    }
    verdict.finish(2 * 5 * (7 * 20 + 1));
}

#[test]
fn slots_equal_those_of_numpy() {
    let numpy = numpy();
    let mut verdict = Verdict::default();
    for agent in AGENTS.iter().filter(|a| **a != "upper-bound") {
        let ours = &run(agent, "paper", replicas("paper", &[40], 78), 4096, None)[0];
        let theirs = &numpy["per_slot_sum_rate"][agent];
        for (t, here) in ours.slots[0].iter().enumerate() {
            let there = |key: &str| theirs[key][t].as_f64().unwrap();
            verdict.compare(
                &format!("{agent} slot {t}"),
                *here,
                Estimate { mean: there("mean"), std_error: there("se") },
                Z,
            );
        }
    }
    verdict.finish(7 * 100);
}

/// The protocols of figure 2 with net rate and overhead, as a job evaluates them; `beam-training-4` sweeps in every
/// fourth slot.
#[test]
fn protocols_equal_those_of_numpy() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2x_protocols.json");
    let numpy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut verdict = Verdict::default();
    for kinematics in KINEMATICS {
        for case in PROTOCOLS.into_iter().chain(["beam-training-4"]) {
            let (agent, period) = case.strip_suffix("-4").map_or((case, 1), |agent| (agent, 4));
            let powers = [0, 20, 40];
            let at = |p: &u32| {
                let sets = [
                    format!("task.kinematics={kinematics}"),
                    format!("task.p_max_dbm={p}"),
                    format!("protocol.sweep_period_slots={period}"),
                    "evaluate.episodes=1024".into(),
                ];
                V2xConfig::load(None, &sets).unwrap()
            };
            let configs = powers.each_ref().map(at);
            let units = configs.each_ref().map(|config| Unit { config, seed: 82 });
            let agent = V2xConfig::agent(agent).unwrap();
            let all = V2xConfig::evaluate(agent, &units, None, None, &Quiet).unwrap();
            for (p, o) in powers.iter().zip(all) {
                let theirs = &numpy["results"][kinematics][p.to_string()][case];
                for (name, here) in o.metrics {
                    if name == metric::NAMES[metric::UPPER_BOUND] {
                        continue;
                    }
                    let what = format!("{kinematics} {p} dBm {case} {name}");
                    let there = estimate(&theirs[golden_name(&name)], &what);
                    let skewed = ["angle", "distance", "pointing"].iter().any(|q| name.starts_with(q));
                    let z = if skewed { Z_SKEWED } else { Z };
                    if name == "overhead_share" {
                        let share = there.mean;
                        assert!((here.mean - share).abs() < 1e-9, "{what}: {} and {share}", here.mean);
                    } else if name.contains("_median_") || name.contains("_p90_") {
                        let here = quantile_of(here.mean, o.episodes, there, theirs);
                        let rounding = if name.starts_with("pointing") { 4e-7 } else { 0.0 };
                        verdict.compare_near(&what, here, there, z, BIN_SHARE * there.mean + rounding);
                    } else if name == metric::NAMES[metric::POINTING_SE] {
                        verdict.compare_near(&what, here, there, z, F32_SHARE * there.mean + 1e-12);
                    } else {
                        verdict.compare(&what, here, there, z);
                    }
                }
            }
        }
    }
    verdict.finish(2 * 3 * 4 * 21);
}

/// A replica with one episode shows that episode's means, so many seeds with one episode each show single episodes.
#[test]
fn no_episode_exceeds_the_upper_bound() {
    const SEEDS: u32 = 64;
    for kinematics in KINEMATICS {
        for agent in AGENTS.iter().filter(|a| **a != "upper-bound").chain(&PROTOCOLS) {
            let batch: Vec<V2xParams> =
                (0..SEEDS).flat_map(|s| replicas(kinematics, &POWERS_DBM, s)).collect();
            let mut closest = f64::INFINITY;
            for (i, o) in run(agent, kinematics, batch, 1, None).iter().enumerate() {
                let (rate, bound) = (o.metrics[metric::SUM_RATE].mean, o.metrics[metric::UPPER_BOUND].mean);
                closest = closest.min((bound - rate) / bound);
                // Both are f32 sums of logarithms.
                assert!(
                    rate <= bound * (1.0 + 1e-5),
                    "{kinematics} {agent}, episode {i}: {rate} bps/Hz exceeds the bound {bound}"
                );
            }
            println!("{kinematics} {agent}: at least {:.3} % below the bound", 100.0 * closest);
        }
    }
}

/// The GPU draws the same numbers, so its means equal the CPU's far within the interval that either has.
#[test]
fn the_gpu_equals_the_cpu_and_numpy() {
    let Some(gpu) = gpu_or_skip() else { return };
    const POWERS: [u32; 3] = [0, 20, 40];
    let numpy = numpy();
    let mut verdict = Verdict::default();
    for kinematics in KINEMATICS {
        for agent in AGENTS {
            let batch = || replicas(kinematics, &POWERS, 79);
            let (on_gpu, on_cpu) =
                (run(agent, kinematics, batch(), 512, Some(gpu)), run(agent, kinematics, batch(), 512, None));
            for ((p, g), c) in POWERS.iter().zip(&on_gpu).zip(&on_cpu) {
                let case = format!("{kinematics} {p} dBm {agent}");
                let row = if agent == "upper-bound" { metric::UPPER_BOUND } else { metric::SUM_RATE };
                let (a, b) = (g.metrics[row].mean, c.metrics[row].mean);
                assert!(
                    (a - b).abs() <= 1e-3 * b.abs().max(1.0),
                    "{case}: {a} bps/Hz on the GPU, {b} on the CPU"
                );
                for (t, (x, y)) in g.slots[0].iter().zip(&c.slots[0]).enumerate() {
                    assert!(
                        (x.mean - y.mean).abs() <= 5e-3 * y.mean.abs().max(1.0),
                        "{case} slot {t}: {} on the GPU, {} on the CPU",
                        x.mean,
                        y.mean
                    );
                }
                // What is counted: single values may change sides, the same ones of many.
                for (q, (x, y)) in
                    g.quantiles.as_flattened().iter().zip(c.quantiles.as_flattened()).enumerate()
                {
                    let rounding = if q < 4 { 0.0 } else { 4e-7 };
                    let near = (x - y).abs() <= 1e-3 * y + rounding;
                    assert!(near, "{case}: quantile {q} is {x} on the GPU, {y} on the CPU");
                }
                for (x, y) in g.shares.iter().zip(&c.shares) {
                    assert!(
                        (x.mean - y.mean).abs() <= 0.01,
                        "{case}: share {x:?} on the GPU, {y:?} on the CPU"
                    );
                }
                // The GPU sums squares in f32, so its own standard errors are checked before they are used.
                let (a, b) = (g.metrics[row].std_error, c.metrics[row].std_error);
                assert!((a / b - 1.0).abs() < 0.05, "{case}: standard error {a} on the GPU, {b} on the CPU");
                against_numpy(
                    &mut verdict,
                    &case,
                    agent,
                    g,
                    &numpy["results"][kinematics][p.to_string()][agent],
                );
            }
        }
    }
    verdict.finish(2 * 3 * (7 * 20 + 1));
}

/// Sums over episodes: the episodes of a short run are the first ones of a long run, whatever chunk or SIMD lane
/// carries them.
#[test]
fn a_short_run_is_the_beginning_of_a_long_one() {
    let total = |agent: &str, n: u64| {
        n as f64
            * run(agent, "paper", replicas("paper", &[40], 80), n, None)[0].metrics[metric::SUM_RATE].mean
    };
    for agent in ["random", "genie"] {
        let (least, most) = if agent == "genie" { (5.0, 35.0) } else { (0.0, 15.0) };
        // Across a lane group, a chunk and a Philox key: if one episode changed its draws with the size of the run, the
        // difference of two sums would be off by the spread of all that changed, not be one more episode.
        for n in [16, 255, 256, 4095, KEY_BATCH, KEY_BATCH + 1] {
            let one = total(agent, n + 1) - total(agent, n);
            assert!((least..=most).contains(&one), "{agent}: episode {n} has mean {one} bps/Hz");
        }
    }
    // All of the second key's episodes: 904 of them must look like the first 4096.
    let first = &run("genie", "paper", replicas("paper", &[40], 80), 4096, None)[0].metrics[metric::SUM_RATE];
    let rest = (total("genie", 5000) - total("genie", 4096)) / 904.0;
    let spread = first.std_error * (1.0f64 + 4096.0 / 904.0).sqrt();
    assert!(
        (rest - first.mean).abs() < Z * spread,
        "episodes 4096 to 4999 have mean {rest}, those before {} ± {}",
        first.mean,
        first.std_error
    );
    let beginning = total("genie", 904) / 904.0;
    assert!(
        (rest - beginning).abs() > 1e-6,
        "the second key repeats the first one's episodes: {rest} and {beginning}"
    );
}

/// The GPU groups 5000 episodes as 4096 + 904, the CPU in chunks of 256: other draws in either would show as 1e-3, not
/// as rounding.
#[test]
fn both_devices_continue_with_the_same_episodes_under_the_next_key() {
    let Some(gpu) = gpu_or_skip() else { return };
    let at = |gpu| run("genie", "paper", replicas("paper", &[40], 81), KEY_BATCH + 904, gpu)[0].clone();
    let (g, c) = (at(Some(gpu)), at(None));
    let (a, b) = (g.metrics[metric::SUM_RATE], c.metrics[metric::SUM_RATE]);
    assert!(
        (a.mean - b.mean).abs() < 0.02 * b.std_error,
        "{} on the GPU, {} ± {} on the CPU",
        a.mean,
        b.mean,
        b.std_error
    );
    for (x, y) in g.quantiles[..2].as_flattened().iter().zip(c.quantiles[..2].as_flattened()) {
        assert!((x - y).abs() <= 1e-3 * y, "quantile {x} on the GPU, {y} on the CPU");
    }
}

fn in_any_company(gpu: Option<&Gpu>, episodes: u64) {
    let one = |p: u32, seed: u32| replicas("paper", &[p], seed)[0];
    let (x, y) = (one(40, 5), one(10, 6));
    for agent in ["random", "ekf", "ukf", "ekf-zf", "genie-zf", "beam-training", "channel-history"] {
        let alone = run(agent, "paper", vec![x], episodes, gpu);
        let both = run(agent, "paper", vec![y, x], episodes, gpu);
        assert_eq!(bits(&alone[0]), bits(&both[1]), "{agent}: a replica depends on its neighbour");
        assert_ne!(bits(&both[0]), bits(&both[1]), "{agent}: two seeds and powers give one result");
        let again = run(agent, "paper", vec![y, x], episodes, gpu);
        assert_eq!(
            both.iter().map(bits).collect::<Vec<_>>(),
            again.iter().map(bits).collect::<Vec<_>>(),
            "{agent}: a second run differs"
        );
    }
}

fn bits(o: &ReplicaEstimates) -> Vec<u64> {
    o.metrics
        .iter()
        .chain(o.slots.iter().flatten())
        .flat_map(|e| [e.mean.to_bits(), e.std_error.to_bits()])
        .collect()
}

#[test]
fn a_replica_does_not_depend_on_its_neighbours() {
    in_any_company(None, 700);
}

#[test]
fn a_replica_does_not_depend_on_its_neighbours_on_the_gpu() {
    if let Some(gpu) = gpu_or_skip() {
        in_any_company(Some(gpu), 100);
    }
}

// ---- agents that are added ----

fn one_eval(fixed: Fixed, episodes: u64) -> Evaluation<'static> {
    let env = V2xEnv { spec: config("paper").task.spec(), params: replicas("paper", &[40, 10], 9) };
    eval(fixed, env, episodes)
}

/// `last-estimate` once more, as one would add it: without a kernel.
fn steer_at_the_last_echo(now: &Slot, _: &mut [f32], action: &mut [f32]) {
    let k = now.task.vehicles;
    action[..k].copy_from_slice(&now.full().obs_theta[..k]);
    action[k..].fill(now.params.p_max_w / k as f32);
}

/// The same out of the observation, one slot late, which its memory carries over.
fn steer_late(now: &Slot, memory: &mut [f32], action: &mut [f32]) {
    let k = now.task.vehicles;
    assert_eq!((memory.len(), now.obs.len(), action.len()), (k, 4 * k, 2 * k));
    if now.slot == 0 {
        assert!(memory.iter().all(|x| *x == 0.0), "an episode starts without memory");
        memory.copy_from_slice(&now.obs[..k]);
    }
    for (to, from) in action.iter_mut().zip(&*memory) {
        *to = from / now.params.obs_scale[0] + now.params.obs_shift[0];
    }
    action[k..].fill(now.params.p_max_w / k as f32);
    memory.copy_from_slice(&now.obs[..k]);
}

#[test]
fn a_rule_acts_as_the_reference_that_it_repeats() {
    let rule = |act, memory| Fixed::Rule(Rule { beam: Beam::Steer, memory, act });
    let outcomes = |fixed, gpu| evaluate(&one_eval(fixed, 300), gpu, &|_| ()).unwrap();
    let reference = outcomes(Fixed::Reference(Reference::LastEstimate), None);
    let same = outcomes(rule(steer_at_the_last_echo, |_| 0), None);
    // More than a chunk of episodes, two replicas: the same environments, parameters and draws, bit for bit.
    assert_eq!(reference, same);
    let late = outcomes(rule(steer_late, |k| k), None);
    for (late, reference) in late.iter().zip(&reference) {
        let (a, b) = (late.metrics[metric::SUM_RATE].mean, reference.metrics[metric::SUM_RATE].mean);
        assert!(a < b, "a late angle is a worse one: {a} against {b} bps/Hz");
        let first = |o: &ReplicaEstimates| o.slots[0][0].mean;
        assert!((first(late) / first(reference) - 1.0).abs() < 1e-4, "nothing is late in the first slot");
    }
    // Without a kernel it is evaluated on the CPU, whatever was asked for.
    assert!(!one_eval(rule(steer_at_the_last_echo, |_| 0), 1).decides_on_gpu());
    if let Some(gpu) = gpu_or_skip() {
        assert_eq!(same, outcomes(rule(steer_at_the_last_echo, |_| 0), Some(gpu)));
    }
}

/// PPO with other networks, in the words of a file below `src/tasks/v2x/agents/`: nothing else has to know.
#[test]
fn a_learned_agent_out_of_existing_parts_trains_and_is_evaluated() {
    const NARROW: V2xAgent = V2xAgent {
        id: "narrow-ppo",
        summary: "PPO with one hidden layer of 9",
        kind: Kind::Learned(|config, env| {
            let ppo = PpoConfig { hidden: vec![9], ..config.ppo.clone() };
            Algorithm::Ppo(PpoSpec::mlp(&ppo, env))
        }),
    };
    let sets = ["ppo.envs=4", "ppo.minibatch=200", "ppo.epochs=1", "task.p_max_dbm=40"].map(String::from);
    let config = V2xConfig::load(None, &sets).unwrap();
    let task = config.task.params([3, 0]);
    let env = config.env_of(vec![task]);
    let Kind::Learned(make) = NARROW.kind else { panic!("it learns") };
    let algorithm = make(&config, env.clone());
    let mut learner = Learner::new(&algorithm, &algorithm.start(), None).unwrap();
    let span = TrainingSpan { algorithm: &algorithm, updates: 2, until: 2, log_every: 1 };
    let mut seen = 0;
    let state = train(&span, &mut learner, 0, |_, metrics| seen += metrics.len(), |_| true).unwrap();
    assert_eq!((seen, state.updates), (2, 2));
    assert_ne!(state.params, algorithm.start().params);
    let policy = algorithm.policy().unwrap();
    assert_eq!(policy.net.layers.iter().map(|l| l.outputs).collect::<Vec<_>>(), [9, 6]);
    assert!(NARROW.is_learned() && algorithm.has_actor() && !algorithm.spikes());
    let precision = Precision::F32;
    let controller =
        Controller::Policy { policy: policy.clone(), params: &state.params, greedy: false, precision };
    let eval = Evaluation { env: env.clone(), controller, episodes: 32, slots: &[] };
    assert!(eval.decides_on_gpu());
    let o = evaluate(&eval, None, &|_| ()).unwrap().remove(0);
    assert!(o.metrics[metric::SUM_RATE].mean > 0.0);
    assert_eq!(o.activity.as_ref().unwrap().layers.len(), 2);

    // In 8-bit integers the same network acts on the CPU, nearly as it does in f32, and every product is counted as
    // before.
    let precision = Precision::Int8;
    let controller = Controller::Policy { policy, params: &state.params, greedy: false, precision };
    let eval = Evaluation { env, controller, episodes: 32, slots: &[] };
    assert!(!eval.decides_on_gpu());
    let low = evaluate(&eval, None, &|_| ()).unwrap().remove(0);
    let [f32, int8] = [&o, &low].map(|o| o.metrics[metric::SUM_RATE].mean);
    assert!(int8 != f32 && (int8 / f32 - 1.0).abs() < 0.02, "{int8} {f32}");
    let executed = |o: &ReplicaEstimates| o.activity.as_ref().unwrap().executed;
    assert_eq!(executed(&low), executed(&o));

    // What spikes is not quantised.
    let agent = V2xConfig::agent("spiking-ac").unwrap();
    let algorithm = config.algorithm(agent, &[Unit { config: &config, seed: 3 }]).unwrap();
    let (policy, state) = (algorithm.policy().unwrap(), algorithm.start());
    let controller = Controller::Policy { policy, params: &state.params, greedy: false, precision };
    let eval = Evaluation { env: config.env_of(vec![task]), controller, episodes: 32, slots: &[] };
    assert!(evaluate(&eval, None, &|_| ()).unwrap_err().to_string().contains("this network spikes"));
}

/// What the program asks of an agent beside its id, it reads from its parts.
#[test]
fn what_is_asked_of_agents_follows_from_their_parts() {
    let config = V2xConfig::load(None, &[]).unwrap();
    let ids = |of: &dyn Fn(&V2xAgent) -> bool| {
        agents::AGENTS.iter().filter(|a| of(a)).map(|a| a.id).collect::<Vec<_>>()
    };
    let learned = |f: fn(&Algorithm) -> bool| ids(&|a| config.algorithm(a, &[]).is_some_and(|a| f(&a)));
    assert_eq!(ids(&V2xAgent::is_learned), ["spiking-ac", "ppo", "ddpg", "dqn", "apg", "spiking-apg"]);
    assert_eq!(learned(Algorithm::has_actor), ["spiking-ac", "ppo", "ddpg", "apg", "spiking-apg"]);
    assert_eq!(learned(Algorithm::has_critic), ["spiking-ac", "ppo", "ddpg", "dqn"]);
    assert_eq!(learned(Algorithm::spikes), ["spiking-ac", "spiking-apg"]);
    assert_eq!(ids(&|a| matches!(a.kind, Kind::Fixed(Fixed::Bound))), ["upper-bound"]);
    let on_cpu = |a: &V2xAgent| matches!(a.kind, Kind::Fixed(f) if !one_eval(f, 1).decides_on_gpu());
    assert_eq!(ids(&on_cpu), PROTOCOLS);
    let all = [
        "spiking-ac",
        "ppo",
        "ddpg",
        "dqn",
        "apg",
        "spiking-apg",
        "random",
        "last-estimate",
        "ekf",
        "ukf",
        "ekf-zf",
        "beam-training",
        "two-stage",
        "channel-history",
        "genie",
        "genie-zf",
        "upper-bound",
    ];
    assert_eq!(ids(&|_| true), all);
}

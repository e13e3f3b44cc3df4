//! Bad input over every key of every configuration: it ends with a message that names the key, or with a configuration
//! that computes finite numbers.
#![cfg(feature = "report")]

use isacbench::config::{ConfigError, Layered, Rule, ranges};
use isacbench::learn::{Learner, UpdateMetrics};
use isacbench::nets::Membrane;
use isacbench::run::task::{Agent, Task, Unit};
use isacbench::run::train::{TrainingSpan, train};
use isacbench::run::watch::Watch;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;
use toml::{Table, Value};

/// Sizes at which a value that is accepted is tried.
const V2X: &[&str] = &[
    "task={slots=4,antennas_tx=4,antennas_rx=4}",
    "ppo={hidden=[4],envs=4,horizon=4,minibatch=8,epochs=1}",
    "spiking.steps=2",
    "ddpg={hidden=[4],envs=4,capacity=16,minibatch=4,learning_starts=4}",
    "dqn={hidden=[4],envs=4,capacity=16,minibatch=4,learning_starts=4,beams=4}",
    "train={seeds=[0],updates=2}",
    "evaluate.episodes=2",
];
const MISAC: &[&str] = &[
    "task={slots=4,antennas=4,vehicles=2,age_max_slots=4}",
    "temporal={hidden=4,trunk=[4],critic=[4],envs=4,minibatch_envs=2,epochs=1}",
    "spatial={hidden=[4],stride=1}",
    "train={seeds=[0],updates=2}",
    "evaluate={episodes=2,gain_stride=1}",
    "reproduce.t_proc_slots=[0]",
];

/// What stands for a number, a word, a list.
const BAD: &[&str] = &[
    "0",
    "0.0",
    "-1",
    "-1.0",
    "0.5",
    "1e39",
    "-1e39",
    "1e-46",
    "1e-40",
    "1e300",
    "nan",
    "inf",
    "-inf",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "true",
    "word",
    "\"\"",
    "[]",
    "{}",
    "[0,0,0,0,0,0,0,0,0]",
    "[[1]]",
    "[[]]",
    "[\"x\"]",
    "[nan]",
    "[1e39,1e39]",
    "1979-05-27",
];

/// Every leaf by dotted key.
fn leaves(prefix: &str, table: &Table, out: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(t) => leaves(&key, t, out),
            v => out.push((key, v.clone())),
        }
    }
}

fn rule_of<C: Layered>(key: &str) -> Option<&'static Rule> {
    let (section, rest) = key.split_once('.')?;
    C::RULES.iter().find(|(s, _)| *s == section)?.1.iter().find(|r| r.key() == rest)
}

/// Bad values, both ends of the key's range, and each number of a list exchanged for every other.
fn values<C: Layered>(key: &str, value: &Value) -> Vec<String> {
    let mut scalars: Vec<String> = BAD.iter().map(|b| b.to_string()).collect();
    if let Some(rule) = rule_of::<C>(key) {
        let shown = |x: f64| if rule.is_whole() { format!("{}", x as i64) } else { format!("{x:e}") };
        scalars.extend(rule.ends().map(shown));
    }
    let mut out = scalars.clone();
    if let Value::Array(list) = value {
        for at in 0..list.len().min(2) {
            for s in &scalars {
                let mut parts: Vec<String> = list.iter().map(Value::to_string).collect();
                parts[at] = s.clone();
                out.push(format!("[{}]", parts.join(",")));
            }
        }
        if let Some(Value::Array(pair)) = list.first() {
            for s in &scalars {
                let mut parts: Vec<String> = list.iter().map(Value::to_string).collect();
                parts[0] = format!("[{},{s}]", pair[0]);
                out.push(format!("[{}]", parts.join(",")));
            }
        }
        let mut longer: Vec<String> = list.iter().map(Value::to_string).collect();
        longer.extend(longer.clone());
        out.push(format!("[{}]", longer.join(",")));
    }
    out
}

/// Every configuration there is: presets, and experiments at the smallest scale.
fn tables<C: Layered>() -> Vec<(Vec<String>, Option<&'static str>, Table)> {
    let presets = C::PRESETS.iter().map(|(name, _)| {
        let sets = vec![format!("preset={name}")];
        let table = C::load(None, &sets).expect("a preset is valid").table();
        (sets, None, table)
    });
    let experiments = C::EXPERIMENTS.iter().filter(|(_, text)| !text.is_empty()).map(|(name, _)| {
        let table = C::load_experiment(name, "smoke", None, &[]).expect("an experiment is valid").table();
        (Vec::new(), Some(*name), table)
    });
    presets.chain(experiments).collect()
}

fn load<C: Layered>(experiment: Option<&str>, sets: &[String]) -> Result<C, ConfigError> {
    match experiment {
        Some(name) => C::load_experiment(name, "smoke", None, sets),
        None => C::load(None, sets),
    }
}

/// All tries of a task; returns how many there were and how many of the accepted ones were run.
fn every_key<C: Task>(tiny: &[&str], run: impl Fn(&C, &str, &str) -> bool) -> (usize, usize) {
    let (mut tries, mut ran) = (0, 0);
    for (nth, (base, experiment, table)) in tables::<C>().into_iter().enumerate() {
        let mut keys = Vec::new();
        leaves("", &table, &mut keys);
        for (place, (key, value)) in keys.iter().enumerate() {
            // A stored configuration from which the key is gone.
            let mut less = table.clone();
            let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
            let mut from = &mut less;
            for part in section.split('.').filter(|part| !part.is_empty()) {
                from = from[part].as_table_mut().unwrap();
            }
            from.remove(last);
            tries += 1;
            if let Err(e) = C::from_toml(&toml::to_string(&less).unwrap(), "less.toml") {
                let e = e.to_string();
                assert!(e.contains(last) && !e.contains('\n'), "without {key}: {e}");
            } else {
                // What configurations of earlier versions lack has the value that it had then.
                let before: toml::Table = C::BEFORE.parse().unwrap();
                let old = before.get(section).is_some_and(|s| s.get(last).is_some());
                let free = ["experiment", "readings.choices"].iter().any(|s| section.starts_with(s));
                assert!(free || old, "{key} may be absent");
            }
            // Every value on the first preset, every fifth of each key on the others.
            let (first, step) = if nth == 0 { (0, 1) } else { (place % 5, 5) };
            for value in values::<C>(key, value).into_iter().skip(first).step_by(step) {
                tries += 1;
                let set = format!("{key}={value}");
                let with = |more: &[&str]| -> Result<C, ConfigError> {
                    let more = more.iter().map(|s| s.to_string());
                    load(
                        experiment,
                        &base.iter().cloned().chain(more).chain([set.clone()]).collect::<Vec<_>>(),
                    )
                };
                let named = |e: ConfigError| {
                    let e = e.to_string();
                    assert!(e.contains(key.as_str()) && !e.contains('\n') && e.len() < 600, "{set}: {e}");
                };
                match with(&[]) {
                    Err(e) => named(e),
                    Ok(c) => {
                        c.validate().unwrap_or_else(|e| {
                            panic!("{set} was accepted and is refused when read again: {e}")
                        });
                        assert_eq!(C::from_toml(&c.to_toml(), "again").expect("its own text"), c, "{set}");
                        C::agents().iter().filter_map(|a| c.relations_for(a.id).err()).for_each(named);
                    }
                }
                // Sizes beside it are other ones: a relation between them may refuse it.
                if experiment.is_none()
                    && let Ok(c) = with(tiny)
                {
                    ran += usize::from(run(&c, key, &set));
                }
            }
        }
    }
    println!("{}: {tries} tries, {ran} of them run", C::NAME);
    (tries, ran)
}

/// Sees nothing.
struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

/// An evaluation of an agent that does not learn.
fn evaluates<C: Task>(c: &C, agent: &Agent<C>, set: &str) {
    let units = [Unit { config: c, seed: 0 }];
    let Ok(measured) = C::evaluate(agent, &units, None, None, &Quiet) else { return };
    for (metric, m) in measured.iter().flat_map(|e| &e.metrics) {
        assert!(m.mean.is_finite(), "{set}: {}: {metric} is {}", agent.id, m.mean);
    }
}

/// Two updates of an agent that learns, an evaluation of one that does not.
fn tried<C: Task>(c: &C, id: &str, set: &str) {
    if c.relations_for(id).is_err() {
        return;
    }
    let agent = C::agent(id).expect("an agent");
    let Some(algorithm) = c.algorithm_at(agent, &[(c.swept(), 0)]) else {
        return evaluates(c, agent, set);
    };
    let mut told = Vec::new();
    let mut learner = Learner::new(&algorithm, &algorithm.start(), None).unwrap();
    let span = TrainingSpan { algorithm: &algorithm, updates: 2, until: 2, log_every: 1 };
    let seen = |_, m: &[UpdateMetrics]| told.extend(m.iter().flat_map(|u| u.slots.clone()));
    let state = train(&span, &mut learner, 0, seen, |_| true).unwrap();
    finite(id, set, &state.params, &told);
}

/// A few parameters after two updates, and what the updates told.
fn finite(agent: &str, set: &str, params: &[f32], told: &[f64]) {
    assert!(params.iter().all(|p| p.is_finite()), "{set}: {agent}: parameters");
    assert!(told.iter().all(|x| x.is_finite()), "{set}: {agent}: {told:?}");
}

fn v2x(c: &V2xConfig, key: &str, set: &str) -> bool {
    let off_policy =
        |envs: usize, hidden: &[usize], minibatch: usize, steps: usize, every: usize, capacity: usize| {
            envs <= 8
                && hidden.iter().sum::<usize>() <= 64
                && minibatch <= 64
                && steps <= 4
                && every <= 8
                && capacity <= 64
        };
    let p = &c.ppo;
    let on_policy = p.envs * p.horizon <= 64 && p.hidden.iter().sum::<usize>() <= 64 && p.epochs <= 4;
    let (agents, cheap): (&[&str], bool) = match key.split('.').next().unwrap() {
        _ if c.task.slots > 8 || c.evaluate.episodes > 8 || c.train.updates > 4 => (&[], false),
        "task" => (
            &["random", "ekf", "ukf", "last-estimate", "ekf-zf", "genie", "genie-zf", "upper-bound", "ppo"],
            true,
        ),
        "protocol" => (&["beam-training", "two-stage", "channel-history", "last-estimate"], true),
        "ppo" => (&["ppo"], on_policy),
        "spiking" => (&["spiking-ac"], true),
        "ddpg" => {
            let d = &c.ddpg;
            (
                &["ddpg"],
                off_policy(d.envs, &d.hidden, d.minibatch, d.gradient_steps, d.train_every, d.capacity),
            )
        }
        "dqn" => {
            let d = &c.dqn;
            (
                &["dqn"],
                off_policy(d.envs, &d.hidden, d.minibatch, d.gradient_steps, d.train_every, d.capacity),
            )
        }
        "apg" => (&["apg"], c.apg.envs * c.apg.horizon <= 64 && c.apg.epochs <= 4 && on_policy),
        "evaluate" => (&["ekf"], true),
        _ => (&[], false),
    };
    agents.iter().filter(|_| cheap).for_each(|agent| tried(c, agent, set));
    cheap
}

fn misac(c: &MisacConfig, key: &str, set: &str) -> bool {
    let (t, p) = (&c.task, &c.temporal);
    let states = (t.age_max_slots as usize + 1).pow(t.vehicles.min(3) as u32);
    let learns = p.envs <= 8
        && p.epochs <= 4
        && p.hidden <= 64
        && p.trunk.iter().chain(&p.critic).sum::<usize>() <= 128;
    let (agents, cheap): (&[&str], bool) = match key.split('.').next().unwrap() {
        _ if t.slots > 8 || c.evaluate.episodes > 8 || t.antennas > 64 => (&[], false),
        "task" if states > 1000 || t.vehicles > 3 => (&["vision-only", "radar-only", "h-moe"], true),
        "task" => (&["vision-only", "radar-only", "best-periodic", "dp-optimal", "h-moe"], true),
        "temporal" | "spatial" => (&["h-moe"], learns && c.spatial.hidden.iter().sum::<usize>() <= 64),
        "evaluate" => (&["vision-only"], true),
        _ => (&[], false),
    };
    agents.iter().filter(|_| cheap).for_each(|agent| tried(c, agent, set));
    cheap
}

#[test]
fn every_key_of_task_v2x_says_what_is_wrong() {
    let (tries, ran) = every_key::<V2xConfig>(V2X, v2x);
    assert!(tries >= 3000 && ran >= 200, "{tries} tries, {ran} run");
}

#[test]
fn every_key_of_task_misac_says_what_is_wrong() {
    let (tries, ran) = every_key::<MisacConfig>(MISAC, misac);
    assert!(tries >= 3000 && ran >= 200, "{tries} tries, {ran} run");
}

fn covered<C: Layered>() {
    let mut known: Vec<String> = Vec::new();
    for (_, experiment, table) in tables::<C>() {
        let forgotten = ranges::without_rule(&table, C::RULES);
        assert!(forgotten.is_empty(), "{experiment:?}: numbers without a range: {forgotten:?}");
        let mut keys = Vec::new();
        leaves("", &table, &mut keys);
        known.extend(keys.into_iter().map(|k| k.0));
    }
    for (section, rules) in C::RULES {
        for rule in *rules {
            let key = format!("{section}.{}", rule.key());
            assert!(known.contains(&key), "a range for '{key}', which no configuration has");
            let [low, high] = rule.ends();
            assert!(
                low <= high
                    && (high as f32).is_finite()
                    && (rule.is_whole() || low == 0.0 || (low as f32).is_normal())
            );
        }
    }
}

#[test]
fn every_number_has_a_range_and_every_range_a_number() {
    covered::<V2xConfig>();
    covered::<MisacConfig>();
}

#[test]
fn a_normaliser_of_one_sample_is_refused_with_both_keys() {
    let says = |agent: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        V2xConfig::load(None, &sets).unwrap().relations_for(agent).map_err(|e| e.to_string())
    };
    for agent in ["ppo", "spiking-ac"] {
        for sets in [&["ppo.minibatch=1"][..], &["task.slots=1", "ppo={envs=1,horizon=1,minibatch=1}"]] {
            let e = says(agent, sets).unwrap_err();
            assert!(e.contains("ppo.minibatch") && e.contains("ppo.normalise_advantages"), "{e}");
        }
        assert_eq!(says(agent, &["ppo={minibatch=1,normalise_advantages=false}"]), Ok(()));
    }
    // Whom it does not concern.
    assert_eq!(says("ekf", &["ppo.minibatch=1", "task.slots=30"]), Ok(()));
    let says = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        MisacConfig::load(None, &sets).unwrap().relations_for("h-moe").map_err(|e| e.to_string())
    };
    for (sets, key) in [
        (&["task.slots=1", "temporal.minibatch_envs=1"][..], "temporal.minibatch_envs"),
        (&["task.slots=1", "temporal={envs=1,minibatch_envs=1,algorithm=\"a2c\"}"], "temporal.envs"),
    ] {
        let e = says(sets).unwrap_err();
        assert!(e.contains(key) && e.contains("normalise_advantages") && e.contains("task.slots"), "{e}");
    }
    assert_eq!(says(&["task.slots=2", "temporal.minibatch_envs=1"]), Ok(()));
    assert_eq!(says(&["task.slots=1", "temporal={minibatch_envs=1,algorithm=\"a2c\"}"]), Ok(()));
}

#[test]
fn a_leak_that_is_learned_starts_below_one() {
    let says = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        V2xConfig::load(None, &sets).unwrap().relations_for("spiking-ac").map_err(|e| e.to_string())
    };
    assert_eq!(says(&["spiking.lambda=1"]), Ok(()));
    let e = says(&["spiking.lambda=1", "spiking.learn_leak=true"]).unwrap_err();
    assert!(e.contains("spiking.lambda") && e.contains("spiking.learn_leak"), "{e}");
    assert_eq!(says(&["spiking.lambda=0.999", "spiking.learn_leak=true"]), Ok(()));
}

#[test]
fn potentials_are_reset_or_carried() {
    let load = |value: &str| V2xConfig::load(None, &[format!("spiking.membrane={value}")]);
    assert_eq!(load("carried").unwrap().spiking.membrane, Membrane::Carried);
    assert_eq!(V2xConfig::load(None, &[]).unwrap().spiking.membrane, Membrane::Reset);
    let e = load("kept").unwrap_err().to_string();
    assert!(e.contains("spiking.membrane") && e.contains("`reset` or `carried`"), "{e}");
    assert_eq!(e.lines().count(), 1);
}

#[test]
fn layers_are_the_same_with_a_checkpoint_and_without() {
    let sets = |s: &[&str]| s.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let stored = V2xConfig::load(None, &sets(&["preset=paper", "task.slots=50"])).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[task]\np_max_dbm = 10\n").unwrap();
    let ways = [
        stored.with(&sets(&["task.p_max_dbm=10"])),
        stored.with(&sets(&["task={p_max_dbm=10}"])),
        stored.under(Some(file.path()), &[]),
        stored.under(Some(file.path()), &sets(&["preset=paper"])),
    ];
    for c in ways {
        let c = c.unwrap();
        assert_eq!((c.task.p_max_dbm, c.task.slots, c.preset.as_str()), (10.0, 50, "paper"));
    }
    for preset in ["nonsense", "fast", "3"] {
        let e = stored.with(&sets(&[&format!("preset={preset}")])).unwrap_err().to_string();
        assert!(e.contains("preset") && e.contains(preset) && e.contains("paper"), "{e}");
    }
    // A table joins what other keys and files say; nothing of theirs is lost.
    let c = V2xConfig::load(Some(file.path()), &sets(&["task.slots=20", "task={xi=5}"])).unwrap();
    assert_eq!((c.task.p_max_dbm, c.task.slots, c.task.xi), (10.0, 20, 5.0));
    let named = |file, s: &[&str]| isacbench::config::user_sets(file, &sets(s), "task.p_max_dbm").unwrap();
    assert!(
        named(None, &["task.p_max_dbm=1"])
            && named(None, &["task={p_max_dbm=1}"])
            && named(Some(file.path()), &[])
    );
    assert!(!named(None, &["task={slots=1}", "preset=fast"]));
}

/// A task's configuration from outside the crate.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pendulum {
    preset: String,
    task: PendulumTask,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PendulumTask {
    length_m: f64,
    start_rad: [f64; 2],
}

impl Layered for Pendulum {
    const PRESETS: &'static [(&'static str, &'static str)] =
        &[("short", "preset = \"short\"\n[task]\nlength_m = 0.5\nstart_rad = [-0.1, 0.1]")];
    const SCALES: &'static [(&'static str, &'static str)] = &[];
    const EXPERIMENTS: &'static [(&'static str, &'static str)] = &[];
    const RULES: &'static [(&'static str, &'static [Rule])] = &[(
        "task",
        &[Rule::decimal("length_m", 0.01, 100.0), Rule::decimal("start_rad", -3.2, 3.2).list(2, 2)],
    )];

    isacbench::through_serde!();

    fn relations(&self) -> Result<(), ConfigError> {
        let [lo, hi] = self.task.start_rad;
        if lo > hi {
            Err(ConfigError::value("task.start_rad", "must have the lower end first"))
        } else {
            Ok(())
        }
    }

    fn relations_for(&self, _agent: &str) -> Result<(), ConfigError> {
        Ok(())
    }
}

#[test]
fn a_task_outside_the_crate_declares_its_own_ranges() {
    let load = |set: &str| Pendulum::load(None, &[set.into()]).map_err(|e| e.to_string());
    assert_eq!(load("task.length_m=2").unwrap().task.length_m, 2.0);
    assert_eq!(
        load("task.length_m=999.0").unwrap_err(),
        "config key 'task.length_m': 999.0 must be 0.01 to 100"
    );
    assert_eq!(
        load("task.start_rad=[1,0]").unwrap_err(),
        "config key 'task.start_rad': must have the lower end first"
    );
    assert_eq!(load("preset=long").unwrap_err(), "no preset 'long' (there are: short)");
    covered::<Pendulum>();
}

/// A field called `source` is what error chains print behind the error: who says it in the error itself says it twice.
#[test]
fn no_error_says_its_source_that_the_chain_says_again() {
    fn walk(dir: &std::path::Path, seen: &mut usize) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, seen);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for said in text.split("#[error(").skip(1) {
                    *seen += 1;
                    // The message, and the variant behind it.
                    let (message, variant) = said.split_once(")]").unwrap();
                    let variant = variant.lines().find(|l| l.contains('(') || l.contains('{')).unwrap_or("");
                    let twice = message.contains("{source")
                        || message.contains("{0}")
                            && (variant.contains("#[from]") || variant.contains("#[source]"));
                    assert!(!twice, "{}: {message}", path.display());
                }
            }
        }
    }
    let mut seen = 0;
    walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut seen);
    assert!(seen > 40, "{seen} errors");
}

//! Tuning of a made-up task whose best settings are known: they are found, by random search and by halving; trials
//! packed into batches give what each gives alone; and a tuning that was interrupted anywhere ends with the same files.
#![cfg(feature = "report")]

use isacbench::config::{ConfigError, DdpgConfig, EvaluateConfig, Layered, PpoConfig, Rule, TrainConfig};
use isacbench::env::{At, Component, Env, EnvBuffers, EnvGpu, Metric, Sizes, StepSlices, TRUNCATED};
use isacbench::gpu::{Gpu, GpuError};
use isacbench::learn::{Algorithm, OffPolicySpec, PpoSpec};
use isacbench::run::rows::{Named, Schema};
use isacbench::run::sweep::dataset::{Dataset, Status, read_part};
use isacbench::run::sweep::report::{Query, ask};
use isacbench::run::sweep::run::{Commits, Device, Way, batches};
use isacbench::run::sweep::{Shard, SweepError};
use isacbench::run::task::{Agent, Common, Kind, Swept, Task, Unit};
use isacbench::run::tune::run::Tuned;
use isacbench::run::tune::{Ask, SpaceFile, Tuning, page};
use isacbench::run::watch::{Quiet, Watch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

// ---- The task: guess a number that is not shown ----

/// The reward is −(guess − AIM)².
const AIM: f32 = 0.8;
const SLOTS: usize = 2;

#[derive(Clone, Debug)]
struct Guess {
    seeds: Vec<u32>,
}

impl Env for Guess {
    fn sizes(&self) -> Sizes {
        Sizes { obs: 1, action: 1, state: 1, slots: SLOTS, metrics: 1 }
    }
    fn replicas(&self) -> usize {
        self.seeds.len()
    }
    fn key(&self, replica: usize) -> [u32; 2] {
        [self.seeds[replica], 0]
    }
    fn observation(&self) -> Vec<Component> {
        vec![Component::free("one", "")]
    }
    fn action(&self) -> Vec<Component> {
        vec![Component::free("guess", "")]
    }
    fn metrics(&self) -> Vec<Metric> {
        vec![Metric { name: "reward".into(), about: "minus the squared error" }]
    }
    fn curve(&self) -> &[usize] {
        &[0]
    }
    fn reset(&self, _: &At, state: &mut [f32], obs: &mut [f32]) {
        state.fill(1.0);
        obs.fill(1.0);
    }
    fn step(&self, at: &At, action: &[f32], _: &mut [f32], obs: &mut [f32], out: StepSlices) {
        let metrics = out.metrics.expect("it is asked for");
        for env in 0..at.envs {
            out.reward[env] = -(action[env] - AIM).powi(2);
            metrics[env] = out.reward[env];
        }
        obs.fill(1.0);
        let ends = (at.clock as usize + 1).is_multiple_of(SLOTS);
        out.flags.fill(if ends { TRUNCATED } else { 0 });
        out.final_obs.fill(1.0);
    }
    fn bind(&self, gpu: &Gpu, _: usize, _: &EnvBuffers) -> Result<Box<dyn EnvGpu>, GpuError> {
        Err(GpuError::Unsupported { adapter: gpu.info.name.clone(), what: "this task".into() })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuessConfig {
    preset: String,
    task: GuessTask,
    ppo: PpoConfig,
    ddpg: DdpgConfig,
    train: TrainConfig,
    evaluate: EvaluateConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuessTask {
    name: String,
    at: f64,
}

const PRESET: &str = "
    preset = 'usual'
    task = { name = 'guess', at = 0.0 }
    ppo = { hidden = [4], envs = 32, horizon = 2, epochs = 2, minibatch = 32, gamma = 0.0, gae_lambda = 0.0, lr_actor = 1e-9, log_std_init = 1.0 }
    ddpg = { hidden = [16], envs = 4, capacity = 256, minibatch = 16, learning_starts = 16, gamma = 0.5, lr_actor = 1e-9, lr_critic = 1e-2, action_scale = 2.0 }
    train = { seeds = [0, 1], updates = 10, log_every = 1 }
    evaluate = { episodes = 64, seed = 1000, greedy = false }
";

impl Layered for GuessConfig {
    const PRESETS: &'static [(&'static str, &'static str)] = &[("usual", PRESET)];
    const SCALES: &'static [(&'static str, &'static str)] = &[("full", "train.seeds = [0, 1, 2, 3]")];
    const RULES: &'static [(&'static str, &'static [Rule])] = &[
        ("task", &[Rule::decimal("at", -1.0, 1.0)]),
        ("ppo", PpoConfig::RULES),
        ("ddpg", DdpgConfig::RULES),
        ("train", TrainConfig::RULES),
        ("evaluate", EvaluateConfig::RULES),
    ];
    isacbench::through_serde!();

    fn relations_for(&self, agent: &str) -> Result<(), ConfigError> {
        if agent == "ppo" { self.ppo.relations(SLOTS) } else { self.ddpg.relations() }
    }
}

impl Task for GuessConfig {
    type Fixed = ();

    const SCHEMA: &'static Schema = &Schema {
        task: "guess",
        labels: &[Named::new("variant", "What an experiment varies; else empty.")],
        swept: Named::new("at", "Nothing."),
        curve: &[Named::new("reward", "Minus the squared error.")],
        learner: &["value_loss", "entropy", "approx_kl", "grad_norm_critic"],
        slots: &[],
    };
    const SWEPT: Swept = Swept { unit: "", noun: "places" };
    const LEARNER: &'static str = "ppo";
    const METRIC: &'static str = "reward";

    fn agents() -> &'static [Agent<Self>] {
        const {
            &[
                Agent {
                    id: "ppo",
                    summary: "PPO",
                    kind: Kind::Learned(|config, env| Algorithm::Ppo(PpoSpec::mlp(&config.ppo, env))),
                },
                Agent {
                    id: "ddpg",
                    summary: "DDPG",
                    kind: Kind::Learned(|config, env| {
                        Algorithm::OffPolicy(OffPolicySpec::ddpg(&config.ddpg, env))
                    }),
                },
                Agent { id: "zero", summary: "always 0", kind: Kind::Fixed(()) },
            ]
        }
    }
    fn common(&self) -> Common<'_> {
        Common { train: &self.train, evaluate: self.evaluate, checkpoint_every: 3 }
    }
    fn swept(&self) -> f64 {
        self.task.at
    }
    fn at(&self, at: f64) -> Self {
        GuessConfig { task: GuessTask { at, ..self.task.clone() }, ..self.clone() }
    }
    fn env(&self, units: &[Unit<Self>]) -> Arc<dyn Env> {
        Arc::new(Guess { seeds: units.iter().map(|u| u.seed).collect() })
    }
    fn reads(&self, agent: &Agent<Self>, key: &str) -> bool {
        let section = key.split('.').next().unwrap_or_default();
        match section {
            "ppo" | "ddpg" => section == agent.id,
            "train" => key == "train.updates",
            "evaluate" => key != "evaluate.seed",
            _ => true,
        }
    }
}

// ---- Tunings of it ----

/// The best of these: rates that move the policy, and little noise that is left in the end.
const SPACE: &str = "
    task = 'guess'
    objective = 'reward'
    better = 'higher'
    seeds = [50, 51]
    [space]
    ppo.lr_actor = { choice = [1e-9, 2e-2] }
    ppo.log_std_init = { choice = [1.0, -2.0] }
    ddpg.lr_actor = { choice = [1e-9, 1e-2] }
    ddpg.gamma = { choice = [0.0, 0.5] }
";

fn asked(trials: u32, halving: Option<u32>) -> Ask<'static> {
    Ask { trials, budget: 64 * 64, halving, ..Ask::default() }
}

fn tuning(space: &str, ask: &Ask) -> Result<Tuning<GuessConfig>, SweepError> {
    Tuning::new(&SpaceFile::parse(space, "space.toml")?, ask, "space.toml")
}

fn run_with(
    tuning: &Tuning<GuessConfig>,
    dir: &Path,
    replicas: usize,
    watch: &dyn Watch,
) -> Result<Tuned, SweepError> {
    let mut dataset = Dataset::open(dir, &tuning.file("cpu"), true)?;
    let mut way = Way {
        device: Device { gpu: None, reopen: &|| Err(GpuError::Device("none".into())) },
        replicas,
        watch,
        progress: &|_| (),
        commits: &Commits::default(),
    };
    let tuned = tuning.run(&mut dataset, "cpu", &mut way)?;
    page::write(tuning, &tuned, dir)?;
    Ok(tuned)
}

fn run(tuning: &Tuning<GuessConfig>, dir: &Path, replicas: usize) -> Tuned {
    run_with(tuning, dir, replicas, &Quiet).unwrap_or_else(|e| panic!("{e}"))
}

/// Every file below a folder with its bytes, but for the lock.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for path in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                walk(root, &path, out);
            } else if path.file_name().is_some_and(|n| n != "lock") {
                out.insert(path.strip_prefix(root).unwrap().into(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

fn chosen(dir: &Path, agent: &str) -> GuessConfig {
    GuessConfig::load(Some(&dir.join(format!("chosen-{agent}.toml"))), &[]).unwrap()
}

#[test]
fn the_known_best_is_found_by_search_and_by_halving() {
    for (halving, sizes) in [(None, vec![4]), (Some(2), vec![4, 2, 1])] {
        // Four trials of each agent are all there are, so the best is among them.
        let t = tuning(SPACE, &asked(4, halving)).unwrap();
        assert_eq!((&t.agents[..], &t.sizes), (&["ppo", "ddpg"][..], &sizes));
        let dir = tempfile::tempdir().unwrap();
        let tuned = run(&t, dir.path(), 100);
        let best = chosen(dir.path(), "ppo");
        assert_eq!((best.ppo.lr_actor, best.ppo.log_std_init), (2e-2, -2.0), "{halving:?}");
        assert_eq!(chosen(dir.path(), "ddpg").ddpg.lr_actor, 1e-2, "{halving:?}: {:?}", tuned.rungs);
        for agent in 0..2 {
            let ranked = &tuned.rungs.last().unwrap()[agent];
            assert_eq!(ranked.len(), *sizes.last().unwrap());
            assert!(ranked[0].objective > Some(-0.1), "{halving:?}: {:?}", ranked[0].objective);
        }
        // Both agents' settings in one file: they share no key.
        let both = GuessConfig::load(Some(&dir.path().join("chosen.toml")), &[]).unwrap();
        assert_eq!((both.ppo, both.ddpg), (best.ppo, chosen(dir.path(), "ddpg").ddpg));
        let text = std::fs::read_to_string(dir.path().join("page/tune.md")).unwrap();
        for word in
            ["## ppo", "## ddpg", "`ppo.lr_actor`", "`train_entropy`", "ppo-ppo.lr_actor.svg", "budget"]
        {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        // The folder alone gives the same page.
        let again = tempfile::tempdir().unwrap();
        let pages = isacbench::run::tune::page::again(dir.path(), again.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&pages[1]).unwrap(), text);
        assert!(dir.path().join("page/ppo-ppo.lr_actor.svg").exists());
        assert!(std::fs::read_to_string(dir.path().join("page/tune.html")).unwrap().contains("<svg"));
        assert!(!dir.path().join("passed").exists() && !dir.path().join("work").exists());
    }
}

/// All trials of an agent differ in numbers only, so they are one batch; and what a trial gives does not depend on it.
#[test]
fn trials_share_batches_and_give_what_each_gives_alone() {
    for halving in [None, Some(2)] {
        let t = tuning(SPACE, &asked(4, halving)).unwrap();
        let of = |agent: &str| {
            let all = batches(&t.expected(), Shard::WHOLE, 100, |_| false);
            all.iter().filter(|b| b.agent == agent).map(|b| b.points.len()).collect::<Vec<_>>()
        };
        assert_eq!((of("ppo"), of("ddpg")), (t.sizes.clone(), t.sizes.clone()));
        let [together, alone] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        run(&t, together.path(), 100);
        run(&t, alone.path(), 1);
        assert_eq!(files(together.path()), files(alone.path()), "{halving:?}");
    }
}

/// A trial that goes through all rungs is the one that was never looked at on its way.
#[test]
fn halving_keeps_the_schedule_of_the_whole_run() {
    let [plain, halved] = [None, Some(2)].map(|h| tuning(SPACE, &asked(4, h)).unwrap());
    let [a, b] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (all, few) = (run(&plain, a.path(), 100), run(&halved, b.path(), 100));
    for agent in 0..2 {
        let last = few.chosen(agent).unwrap();
        let same = all.rungs[0][agent].iter().find(|t| t.number == last.number).unwrap();
        // Every number is printed so that it reads back as itself, and NaN as NaN.
        assert_eq!(format!("{same:?}"), format!("{last:?}"));
    }
    // The dataset is read by `report`: a group for each trial and rung.
    let answer = ask(b.path(), &Query::default(), &|_| None).unwrap();
    assert_eq!((answer.planned, answer.present, answer.groups.len()), (14, 14, 14));
    assert!(answer.groups.iter().all(|g| g.metric == "reward" && g.replicas == 2));
    assert_eq!(answer.by, ["agent", "trial", "slots"]);
    let kl = Query { metrics: vec!["train_approx_kl".into()], ..Query::default() };
    assert!(ask(b.path(), &kl, &|_| None).unwrap().groups.iter().any(|g| g.mean.is_finite()));
}

/// Panics after so many steps of the job, as a process that is killed there.
struct Fuse(AtomicU64);

impl Watch for Fuse {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {
        assert!(self.0.fetch_sub(1, Ordering::SeqCst) > 1, "the end of this process");
    }
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

#[test]
fn an_interrupted_tuning_leaves_the_same_files() {
    for halving in [None, Some(2)] {
        let t = tuning(SPACE, &asked(4, halving)).unwrap();
        let whole = tempfile::tempdir().unwrap();
        run(&t, whole.path(), 4);
        let want = files(whole.path());
        let broken = tempfile::tempdir().unwrap();
        let mut ends = 0;
        for steps in (20..).step_by(37) {
            let fuse = Fuse(AtomicU64::new(steps));
            let work = || run_with(&t, broken.path(), 4, &fuse).unwrap();
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok() {
                break;
            }
            ends += 1;
            // What lies there is what belongs there.
            let parts = files(broken.path()).into_iter().filter(|(p, _)| p.starts_with("data"));
            assert!(parts.into_iter().all(|(p, bytes)| want[&p] == bytes), "after {steps} steps");
        }
        assert!(ends > 3, "only {ends} interruptions");
        assert_eq!(files(broken.path()), want, "{halving:?}");
        // What trials go on from is computed again where it was lost.
        if halving.is_some() {
            let lost = tempfile::tempdir().unwrap();
            let fuse = Fuse(AtomicU64::new(150));
            let work = || run_with(&t, lost.path(), 4, &fuse).map(drop);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
            std::fs::remove_dir_all(lost.path().join("passed")).unwrap();
            run(&t, lost.path(), 4);
            assert_eq!(files(lost.path()), want);
        }
    }
}

/// Rewards beyond single precision: such a trial is there with its status, is the last, and is never chosen.
#[test]
fn a_diverged_trial_is_a_result() {
    let space = "task = 'guess'\nobjective = 'reward'\nbetter = 'higher'\nseeds = [7]\n[space]\nppo.reward_scale = { choice = [1.0, 1e38] }";
    let agents = ["ppo".to_string()];
    for halving in [None, Some(2)] {
        let sets = ["ppo.lr_actor=2e-2".to_string()];
        let t = tuning(space, &Ask { agents: &agents, sets: &sets, ..asked(2, halving) }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tuned = run(&t, dir.path(), 100);
        let status: Vec<Status> = tuned.rungs[0][0].iter().map(|t| t.replicas[0].status).collect();
        assert_eq!(status, [Status::Ok, Status::Diverged], "{halving:?}");
        assert_eq!(chosen(dir.path(), "ppo").ppo.reward_scale, 1.0);
        // It has its part in the dataset, as the other has.
        let data: Vec<_> = files(dir.path()).into_keys().filter(|p| p.starts_with("data")).collect();
        assert_eq!(data.len(), t.sizes.iter().sum::<usize>());
        let part = |p: &PathBuf| read_part(&dir.path().join(p)).unwrap()[0].status;
        assert_eq!(data.iter().filter(|p| part(p) == Status::Diverged).count(), 1);
        let text = std::fs::read_to_string(dir.path().join("page/tune.md")).unwrap();
        assert!(text.contains("1 diverged, 0 not finite"), "{text}");
    }
    // Nothing is chosen, and nothing goes on, where nothing ended well.
    for halving in [None, Some(2)] {
        let space =
            space.replace("reward_scale = { choice = [1.0, 1e38] }", "adam_beta1 = { choice = [0.8, 0.9] }");
        let sets = ["ppo.lr_actor=2e-2", "ppo.reward_scale=1e38"].map(String::from);
        let t = tuning(&space, &Ask { agents: &agents, sets: &sets, ..asked(2, halving) }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run(&t, dir.path(), 100).chosen(0), None);
        assert!(!dir.path().join("chosen-ppo.toml").exists() && !dir.path().join("chosen.toml").exists());
        let text = std::fs::read_to_string(dir.path().join("page/tune.md")).unwrap();
        assert!(text.contains("no trial ended well"), "{text}");
    }
}

#[test]
fn what_is_wrong_is_one_line_with_its_key() {
    let error = |space: &str, ask: &Ask| {
        let e = tuning(space, ask).err().unwrap_or_else(|| panic!("no error: {space} {ask:?}"));
        format!("{:#}", anyhow::Error::from(e))
    };
    let agents = |id: &str| vec![id.to_string()];
    let (nobody, zero) = (agents("nobody"), agents("zero"));
    let set = |s: &str| vec![s.to_string()];
    let (updates, drawn, bad) = (set("train.updates=3"), set("ppo.lr_actor=1e-3"), set("ppo.colour=1"));
    let usual = asked(4, None);
    for (ask, says) in [
        (Ask { agents: &nobody, ..usual.clone() }, &["--agent", "nobody", "ppo"][..]),
        (Ask { agents: &zero, ..usual.clone() }, &["--agent", "zero", "does not learn"]),
        (Ask { trials: 0, ..usual.clone() }, &["--trials", "at least 1"]),
        (Ask { trials: 5, ..usual.clone() }, &["--trials", "only 4 different settings", "ppo"]),
        (Ask { budget: 100, ..usual.clone() }, &["--budget", "100 slots are too few", "ppo", "64 an update"]),
        (Ask { halving: Some(1), ..usual.clone() }, &["--halving", "at least 2"]),
        (Ask { seeds: &[5, 5], ..usual.clone() }, &["--seeds", "listed twice"]),
        (Ask { seeds: &[1], ..usual.clone() }, &["--seeds", "1 is among train.seeds"]),
        (Ask { seeds: &[3], ..usual.clone() }, &["--seeds", "train.seeds of scale 'full'"]),
        (Ask { seeds: &[1000], ..usual.clone() }, &["--seeds", "evaluate.seed"]),
        (Ask { sets: &updates, ..usual.clone() }, &["train.updates", "--budget"]),
        (Ask { sets: &drawn, ..usual.clone() }, &["space.ppo.lr_actor", "--set"]),
        (Ask { sets: &bad, ..usual.clone() }, &["colour"]),
    ] {
        let e = error(SPACE, &ask);
        assert!(says.iter().all(|s| e.contains(s)) && !e.contains('\n'), "{says:?}: {e}");
    }
    for (from, to, says) in [
        ("task = 'guess'", "task = 'chess'", "'chess' is not task guess"),
        ("better = 'higher'", "better = 'more'", "better"),
        ("seeds = [50, 51]", "seeds = [0]", "seeds"),
        ("ppo.lr_actor = { choice = [1e-9, 2e-2] }", "ppo.lr_actor = { guess = 1 }", "space.ppo.lr_actor"),
        ("ppo.lr_actor = { choice = [1e-9, 2e-2] }", "ppo.lr_actor = { choice = [-1.0] }", "ppo.lr_actor"),
        ("ppo.lr_actor = { choice = [1e-9, 2e-2] }", "ppo.colour = { choice = [1, 2] }", "colour"),
        ("[space]", "config = { ppo.lr_actor = 1e-3 }\n[space]", "space.ppo.lr_actor"),
        ("[space]", "config = { train.updates = 3 }\n[space]", "config.train.updates"),
        ("[space]", "colour = 1\n[space]", "colour"),
        ("ddpg.gamma", "ddpg.noise_start = { choice = [1.0] }\n    ddpg.colour", "colour"),
    ] {
        assert!(SPACE.contains(from));
        let e = error(&SPACE.replace(from, to), &usual);
        assert!(e.contains("space.toml") && e.contains(says) && !e.contains('\n'), "{to}: {e}");
    }
}

#[test]
fn another_tuning_does_not_continue_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = tuning(SPACE, &asked(2, None)).unwrap();
    run(&first, dir.path(), 100);
    let before = files(dir.path());
    for (ask, key) in [
        (asked(3, None), "trials"),
        (asked(2, Some(2)), "halving"),
        (Ask { budget: 8192, ..asked(2, None) }, "budget"),
        (Ask { seeds: &[60], ..asked(2, None) }, "seeds"),
    ] {
        let other = tuning(SPACE, &ask).unwrap();
        let e = Dataset::open(dir.path(), &other.file("cpu"), true).unwrap_err().to_string();
        assert!(e.contains("plan.json") && e.contains(&format!("{key} is ")), "{e}");
    }
    let e = Dataset::open(dir.path(), &first.file("cpu"), false).unwrap_err().to_string();
    assert!(e.contains("--resume"), "{e}");
    assert_eq!(run(&first, dir.path(), 100).done.computed, 0);
    assert_eq!(files(dir.path()), before);
}

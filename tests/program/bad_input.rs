//! Bad input over every command, as processes: no panic, no success that prints what is no number, and every message
//! names the culprit.

use crate::child::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const V2X: &[&str] = &[
    "task.slots=5",
    "task.antennas_tx=4",
    "task.antennas_rx=4",
    "ppo={hidden=[4],envs=4,horizon=5,minibatch=10,epochs=1}",
    "train={seeds=[0],updates=2}",
    "evaluate.episodes=4",
];
const MISAC: &[&str] = &[
    "task={slots=5,antennas=4,vehicles=2,age_max_slots=4}",
    "temporal={hidden=4,trunk=[4],critic=[4],envs=4,minibatch_envs=2,epochs=1}",
    "spatial.hidden=[4]",
    "train={seeds=[0],updates=2}",
    "evaluate.episodes=4",
    "reproduce.t_proc_slots=[0]",
];

/// Keys of every section with values that are wrong, or that a careless check takes for right.
const KEYS: &[(&[&str], &[&str])] = &[
    (
        &[
            "task.p_max_dbm",
            "task.speed_m_s",
            "task.sigma_d_m",
            "task.cap_theta_rad",
            "spiking.lr_actor",
            "spiking.threshold",
            "ppo.hidden",
            "ppo.minibatch",
            "ddpg.capacity",
            "dqn.power_levels",
            "train.seeds",
            "evaluate.episodes",
        ],
        &["1e39", "-1", "nan", "[]"],
    ),
    (
        &[
            "task.carrier_hz",
            "task.lambda_misa_j",
            "task.start_x_m",
            "temporal.lr_policy",
            "temporal.hidden",
            "spatial.stride",
            "evaluate.seed",
            "reproduce.snr_db",
        ],
        &["1e39", "1e-300", "inf", "word"],
    ),
];

struct Tries {
    dir: TempDir,
    count: usize,
}

impl Tries {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        text(&path).to_string()
    }

    /// Ends with a message that has all of `names`, or well and with numbers.
    fn run(&mut self, args: &[&str], names: &[&str]) -> bool {
        self.count += 1;
        let o = isacbench(args);
        let (out, err) = (stdout(&o), stderr(&o));
        assert!(
            matches!(o.status.code(), Some(0..=2)) && !err.contains("panicked"),
            "{args:?}: {:?}\n{err}",
            o.status
        );
        if o.status.success() {
            let words = out.split(|c: char| !c.is_alphanumeric() && c != '.');
            let bad: Vec<&str> =
                words.filter(|w| ["nan", "inf", "-inf"].contains(&w.to_lowercase().as_str())).collect();
            assert!(bad.is_empty(), "{args:?}: exit 0 with {bad:?}\n{out}");
            return true;
        }
        for name in names {
            assert!(err.contains(name), "{args:?}: '{name}' is not in: {err}");
        }
        // A cause that its own error has said is not said again.
        let parts: Vec<&str> = err.trim_end().split(": ").collect();
        let again = parts.iter().enumerate().find(|(i, p)| p.len() > 8 && parts[..*i].contains(p));
        assert!(again.is_none(), "{args:?}: said twice: {err}");
        false
    }

    fn fails(&mut self, args: &[&str], names: &[&str]) {
        assert!(!self.run(args, names), "{args:?}: success");
    }
}

fn trained(dir: &Path, task: &str, agent: &str, sets: &[&str]) -> String {
    let out = dir.join(format!("{task}-{agent}"));
    let args =
        with_sets(&["train", "--task", task, "--agent", agent, "--device", "cpu", "--out", text(&out)], sets);
    ok(isacbench(&args));
    text(&out.join("checkpoint.safetensors")).to_string()
}

#[test]
fn every_command_names_what_is_wrong() {
    let mut t = Tries { dir: tempfile::tempdir().unwrap(), count: 0 };
    let out = text(&t.path("out")).to_string();
    let checkpoint = trained(t.dir.path(), "v2x", "ppo", V2X);
    let misac = trained(t.dir.path(), "misac", "h-moe", MISAC);

    // Keys, by every command that takes them.
    for ((keys, bad), (task, agent, tiny)) in
        KEYS.iter().zip([("v2x", "ekf", V2X), ("misac", "vision-only", MISAC)])
    {
        for key in *keys {
            for bad in *bad {
                let set = format!("{key}={bad}");
                let args =
                    with_sets(&["evaluate", "--task", task, "--agent", agent, "--device", "cpu"], tiny);
                t.run(&[&args[..], &["--set", &set]].concat(), &[key]);
            }
            // One of them where it is trained, reproduced, and laid on a checkpoint.
            let set = format!("{key}=1e39");
            let args = with_sets(&["train", "--task", task, "--device", "cpu", "--out", &out], tiny);
            t.fails(&[&args[..], &["--set", &set]].concat(), &[key]);
            let (experiment, agent, weights) = match task {
                "v2x" => ("spiking-ac", "ppo", &checkpoint),
                _ => ("rl-h-moe", "h-moe", &misac),
            };
            t.fails(&["reproduce", experiment, "--device", "cpu", "--out", &out, "--set", &set], &[key]);
            let args =
                ["evaluate", "--task", task, "--agent", agent, "--checkpoint", weights, "--device", "cpu"];
            t.fails(&[&args[..], &["--set", &set]].concat(), &[key]);
        }
    }

    // Counts and seeds beyond their bits say so.
    let evaluate = ["evaluate", "--agent", "ekf", "--device", "cpu"];
    for set in ["evaluate.seed=-1", "evaluate.seed=4294967296", "evaluate.episodes=9223372036854775808"] {
        let (key, value) = set.split_once('=').unwrap();
        t.fails(&[&evaluate[..], &["--set", set]].concat(), &[key, value, "whole number"]);
    }
    let train = with_sets(&["train", "--device", "cpu", "--out", &out], V2X);
    t.fails(&[&train[..], &["--set", "train.seeds=[-1]"]].concat(), &["train.seeds", "-1", "4294967295"]);
    t.fails(&[&train[..], &["--set", "train.seeds=[4294967296]"]].concat(), &["train.seeds", "4294967295"]);
    t.fails(
        &[&train[..], &["--set", "ppo.minibatch=1"]].concat(),
        &["ppo.minibatch", "ppo.normalise_advantages"],
    );
    // Keys of other jobs do not stand in the way.
    assert!(t.run(&[&evaluate[..], &["--set", "task.slots=30", "--episodes", "4"]].concat(), &[]));
    t.fails(&[&train[..], &["--set", "task.slots=30"]].concat(), &["ppo.horizon", "task.slots"]);

    // Devices.
    for command in
        [&["evaluate", "--agent", "ekf"][..], &["train"], &["check"], &["bench"], &["sweep", "x.toml"]]
    {
        t.fails(&[command, &["--device", ""]].concat(), &["--device"]);
    }
    assert!(t.run(&["evaluate", "--agent", "ekf", "--device", "CPU", "--episodes", "4"], &[]));

    // Layers beside a checkpoint.
    let with = ["evaluate", "--agent", "ppo", "--checkpoint", &checkpoint, "--device", "cpu", "--json"];
    let at = |more: &[&str]| object(isacbench(&[&with[..], more].concat()));
    let file = t.file("mine.toml", "[task]\np_max_dbm = 10\n");
    let by_key = at(&["--set", "task.p_max_dbm=10"]);
    assert_eq!(by_key, at(&["--set", "task={p_max_dbm=10}"]));
    assert_eq!(by_key, at(&["--config", &file]));
    assert_ne!(by_key, at(&[]));
    assert_eq!(at(&[]), at(&["--set", "preset=fast"]));
    t.count += 6;
    for preset in ["nonsense", "paper"] {
        t.fails(&[&with[..], &["--set", &format!("preset={preset}")]].concat(), &["preset", preset, "fast"]);
    }
    let wrong =
        t.file("wrong.toml", "[task]\nantennas_tx = 8\nvehicles = 2\nstart_m = [[-5, 10], [-15, 10]]\n");
    t.fails(&[&with[..], &["--config", &wrong]].concat(), &["--config", &checkpoint]);

    // Files that are not there, or hold something else.
    let text_file = t.file("text", "hello\n");
    let (none, folder) = (text(&t.path("none")).to_string(), text(t.dir.path()).to_string());
    for path in [&none, &folder, &text_file] {
        t.fails(&["evaluate", "--agent", "ppo", "--device", "cpu", "--checkpoint", path], &[path]);
        t.fails(&["evaluate", "--agent", "ekf", "--device", "cpu", "--config", path], &[path]);
        t.fails(&["train", "--device", "cpu", "--config", path, "--out", &out], &[path]);
        t.fails(&["reproduce", "spiking-ac", "--device", "cpu", "--config", path, "--out", &out], &[path]);
        t.fails(&["check", "--device", "cpu", "--golden", path], &[path]);
        t.fails(&["bench", "--from", path, "--out", &out], &[path]);
        t.fails(&["bench", "--compare", path, path], &[path]);
        t.fails(&["bench", "--from", &folder, "--checkpoint", path, "--out", &out], &[]);
        if cfg!(feature = "report") {
            t.fails(&["sweep", path, "--device", "cpu", "--out", &out], &[path]);
            t.fails(&["merge", path, path, "--out", &out], &[path]);
            t.fails(&["report", path], &[path]);
        }
    }

    // Sweeps.
    let head = "task = \"v2x\"\nagents = [\"ppo\"]\nseeds = [0]\n";
    for (name, body, says) in [
        ("grid", "[grid]\ntask.p_max_dbm = [1e39]", "task.p_max_dbm"),
        ("relation", "[grid]\ntask.slots = [30]", "ppo.horizon"),
        ("one", "[grid]\nppo.minibatch = [1]", "ppo.normalise_advantages"),
        ("unknown", "[grid]\ntask.colour = [1]", "colour"),
        ("preset", "[grid]\npreset = [\"nonsense\"]", "nonsense"),
        ("random", "draws = 3\n[random]\ntask.xi = { uniform = [1e39, 1e40] }", "task.xi"),
        ("empty", "[list]\ntask.xi = []", "list.task.xi"),
    ] {
        let file = t.file(&format!("{name}.toml"), &format!("{head}{body}\n"));
        if cfg!(feature = "report") {
            t.fails(&["sweep", &file, "--device", "cpu", "--out", &out], &[&file, says]);
        }
    }

    // Files where folders are meant, and the other way round.
    if cfg!(feature = "report") {
        let empty = t.path("empty");
        std::fs::create_dir(&empty).unwrap();
        let replay = ["replay", "v2x", "--agents", "genie", "--force", "--out"];
        t.fails(&[&replay[..], &[&folder]].concat(), &["--out", "a folder", "replay.html"]);
        let seed = ["replay", "v2x", "--agents", "genie", "--out", "x.html", "--seed", "-1"];
        t.fails(&seed, &["invalid value '-1' for '--seed"]);
        t.fails(&["page", "--live", &text_file], &["--live", "a file", "index.html"]);
        t.fails(&["report", &text_file], &["a file"]);
        t.fails(&["report", text(&empty)], &["holds no results", "a sweep"]);
    }

    // Words that are none.
    for (args, says) in [
        (&["evaluate", "--agent", "nobody"][..], "nobody"),
        (&["evaluate", "--agent", "ekf", "--task", "chess"], "chess"),
        (&["evaluate", "--agent", "ekf", "--episodes", "-1"], "--episodes"),
        (&["evaluate", "--agent", "ekf", "--seeds", "-1"], "--seeds"),
        (&["evaluate", "--agent", "ekf,"], "an agent without a name"),
        (&["evaluate", "--agent", "ekf", "--precision", "f8"], "--precision"),
        (&["train", "--agent", "ekf"], "ekf"),
        (&["train", "--set", "task"], "--set task"),
        (&["train", "--set", "=1"], "--set =1"),
        (&["train", "--set", "task..slots=1"], "--set task..slots"),
        (&["reproduce", "nonsense"], "nonsense"),
        (&["reproduce", "spiking-ac", "--scale", "huge"], "huge"),
        (&["reproduce", "spiking-ac", "--task", "misac"], "'spiking-ac' of task misac"),
        (&["bench", "--fail-below", "nan", "--compare", "a", "b"], "--fail-below"),
        (&["devices", "--colour"], "--colour"),
        (&["nonsense"], "nonsense"),
    ] {
        t.fails(args, &[says]);
    }
    assert!(!Path::new(&out).exists(), "a job that failed left something");
    println!("{} tries", t.count);
    assert!(t.count >= 150, "{} tries", t.count);
}

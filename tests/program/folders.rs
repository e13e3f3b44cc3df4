//! Folders of jobs: finished work is overwritten only when asked, one process has a folder, a manifest tells of every
//! process, and what a continued run may change.

use crate::child::*;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::tasks::v2x::config::V2xConfig;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const TINY: &[&str] = &[
    "train.seeds=[0]",
    "train.updates=3",
    "task.slots=10",
    "ppo.horizon=10",
    "ppo.envs=8",
    "ppo.minibatch=40",
    "ppo.hidden=[8]",
    "spiking.hidden=[]",
    "ppo.lr_final_share=1",
    "reproduce.checkpoint_every=1",
];

fn train_args<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = with_sets(&["train", "--device", "cpu", "--out", text(out)], TINY);
    args.extend(more);
    args
}

fn train(out: &Path, more: &[&str]) -> Output {
    isacbench(&train_args(out, more))
}

fn beams_args<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["reproduce", "spiking-ac", "--scale", "smoke", "--device", "cpu", "--out", text(out)];
    let mut args = with_sets(&fixed, TINY);
    let small = [
        "task.antennas_tx=8",
        "task.antennas_rx=8",
        "ddpg.hidden=[8]",
        "ddpg.envs=4",
        "ddpg.capacity=160",
        "ddpg.minibatch=8",
        "ddpg.learning_starts=80",
        "dqn.hidden=[8]",
        "dqn.envs=4",
        "dqn.capacity=160",
        "dqn.minibatch=8",
        "dqn.learning_starts=80",
        "evaluate.episodes=8",
        "reproduce.p_max_dbm=[40]",
    ];
    args.extend(small.iter().flat_map(|s| ["--set", *s]));
    args.extend(more);
    args
}

fn manifest(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap()
}

fn bytes(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Every file with its contents, but for the lock.
fn all(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    for e in std::fs::read_dir(dir).unwrap() {
        let path = e.unwrap().path();
        match path.is_dir() {
            true => out.extend(all(&path)),
            false if path.ends_with("lock") => {}
            false => out.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    out.sort();
    out
}

#[test]
fn finished_work_is_overwritten_only_when_asked() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ok(train(dir.path(), &[]));
    let before = all(dir.path());
    let ways = ["--resume", "--force", "another --out", "ppo"];
    is_error(&train(dir.path(), &[]), &ways);
    is_error(&train(dir.path(), &["--set", "ppo.gamma=0.5"]), &ways);
    is_error(&train(dir.path(), &["--agent", "spiking-ac"]), &ways);
    let misac = ["train", "--task", "misac", "--device", "cpu", "--out", text(dir.path())];
    is_error(&isacbench(&misac), &ways);
    is_error(&isacbench(&[&misac[..], &["--resume"]].concat()), &["misac", "v2x"]);
    is_error(&isacbench(&beams_args(dir.path(), &[])), &["holds a training", "another --out"]);
    is_error(&isacbench(&beams_args(dir.path(), &["--force"])), &["holds a training", "another --out"]);
    assert!(all(dir.path()) == before, "something was written");

    // Overwritten, nothing is left of the other: spikes have rows that ppo has not.
    ok(train(dir.path(), &["--force", "--agent", "spiking-ac"]));
    assert!(dir.path().join("activity.jsonl").exists());
    ok(train(dir.path(), &["--force", "--set", "train.updates=2"]));
    ok(train(other.path(), &["--set", "train.updates=2"]));
    for file in ["checkpoint.safetensors", "curves.jsonl"] {
        assert!(bytes(dir.path(), file) == bytes(other.path(), file), "{file}");
    }
    assert!(!dir.path().join("activity.jsonl").exists());
    assert_eq!(manifest(dir.path())["parts"].as_array().unwrap().len(), 1);
    let o = train(dir.path(), &["--force", "--resume"]);
    assert_eq!(o.status.code(), Some(2), "{}", stderr(&o));
}

#[test]
fn a_reproduction_is_overwritten_only_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    ok(isacbench(&beams_args(dir.path(), &[])));
    let before = all(dir.path());
    is_error(&isacbench(&beams_args(dir.path(), &[])), &["--resume", "--force", "another --out"]);
    // What would be refused is said by a dry run too, and it goes on.
    let dry =
        |more: &[&str]| stderr(&ok(isacbench(&beams_args(dir.path(), &[&["--dry-run"], more].concat()))));
    assert!(dry(&[]).contains("would be refused: "), "{}", dry(&[]));
    assert!(!dry(&["--resume"]).contains("refused") && !dry(&["--force"]).contains("refused"));
    is_error(&train(dir.path(), &["--force"]), &["holds a reproduction", "another --out"]);
    let misac = ["reproduce", "rl-h-moe", "--device", "cpu", "--resume", "--out", text(dir.path())];
    is_error(&isacbench(&misac), &["misac", "v2x", "--force"]);
    // Both train `ppo` in folders of one name.
    let beams = ["reproduce", "beams", "--device", "cpu", "--resume", "--out", text(dir.path())];
    is_error(&isacbench(&beams), &["'spiking-ac'", "'beams'", "--force", "another --out"]);
    assert!(all(dir.path()) == before, "something was written");

    let parts = |m: &Value| m["parts"].as_array().unwrap().clone();
    let first = manifest(dir.path());
    let updates = first["parts"][0]["updates_to"].as_u64().unwrap();
    assert!(parts(&first).len() == 1 && updates >= 3, "{first}");
    ok(isacbench(&beams_args(dir.path(), &["--resume"])));
    let second = manifest(dir.path());
    let (part, wall) = (&second["parts"][1], |m: &Value| m["wall_s"].as_f64().unwrap());
    assert_eq!((part["updates_from"].as_u64(), part["updates_to"].as_u64()), (Some(updates), Some(updates)));
    assert!(wall(&second) > wall(&first));
    assert_eq!(second["started_utc"], first["started_utc"]);

    ok(isacbench(&beams_args(dir.path(), &["--force", "--set", "train.updates=2"])));
    let third = manifest(dir.path());
    assert!(parts(&third).len() == 1 && third["parts"][0]["updates_from"] == 0, "{third}");
}

/// Waits for a file of a job that was started.
fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "no {} after 120 s", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_folder_has_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let long = ["--set", "train.updates=100000"];
    for (args, appears) in [
        (train_args(&dir.path().join("t"), &long), "t/checkpoint.safetensors"),
        (beams_args(&dir.path().join("r"), &long), "r/training"),
    ] {
        let mut first = program(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(&dir.path().join(appears));
        let who = format!("process {}", first.id());
        for more in [None, Some("--resume"), Some("--force")] {
            let args: Vec<_> = args.iter().copied().chain(more).collect();
            is_error(&isacbench(&args), &["in use", &who, "another --out"]);
        }
        first.kill().unwrap();
        first.wait().unwrap();
        // The next one follows a killed one, and says whom.
        let args: Vec<_> = args.iter().map(|a| if *a == long[1] { "train.updates=2" } else { *a }).collect();
        let o = isacbench(&[&args[..], &["--force"]].concat());
        assert!(stderr(&o).contains(&who), "{}", stderr(&o));
        ok(o);
    }
}

#[test]
fn a_folder_that_got_no_work_is_not_left() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let seeds = format!("train.seeds={:?}", (0..64).collect::<Vec<u32>>());
    is_error(&train(&out, &["--set", "ppo.envs=16000000", "--set", &seeds]), &["GiB"]);
    assert!(!out.exists());
}

#[test]
fn a_manifest_tells_of_every_process() {
    let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ok(train(whole.path(), &["--set", "train.updates=4"]));
    let long = ["--set", "train.updates=100000", "--set", "reproduce.checkpoint_every=2"];
    kill_when(&train_args(dir.path(), &long), &dir.path().join("checkpoint.safetensors"));
    let load = || Checkpoint::<V2xConfig>::load(&dir.path().join("checkpoint.safetensors")).unwrap();
    let done = u64::from(load().state.updates);
    let killed = manifest(dir.path());
    assert_eq!(killed["parts"][0]["updates_from"], 0, "{killed}");
    let total = (done + 3).to_string();
    let set = format!("train.updates={total}");
    let o = ok(train(dir.path(), &["--resume", "--set", &set]));
    // Speed is that of this process: three updates of 8 × 10 steps.
    let said = stdout(&o);
    assert!(said.starts_with(&format!("240 environment steps from update {done} to {total}")), "{said}");
    let m = manifest(dir.path());
    let parts = m["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "{m}");
    assert_eq!(
        (parts[1]["updates_from"].as_u64(), parts[1]["updates_to"].as_u64()),
        (Some(done), Some(done + 3))
    );
    let wall: f64 = parts.iter().map(|p| p["wall_s"].as_f64().unwrap()).sum();
    assert!((m["wall_s"].as_f64().unwrap() - wall).abs() < 1e-9);
    assert_eq!((&m["started_utc"], &m["git_revision"]), (&killed["started_utc"], &parts[1]["git_revision"]));
    // The program knows what it was built from, where git does.
    let asked = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"]).output();
    let known = asked.is_ok_and(|o| o.status.success());
    assert_eq!(
        (m["git_revision"].as_str().map(str::len), m["git_dirty"].is_boolean()),
        (known.then_some(40), known)
    );

    // A finished run did nothing now.
    let before = all(dir.path());
    let o = ok(train(dir.path(), &["--resume", "--set", &set]));
    assert!(
        stdout(&o).contains("nothing was left to do") && !stdout(&o).contains("per second"),
        "{}",
        stdout(&o)
    );
    assert!(all(dir.path()) == before);
}

#[test]
fn another_device_is_told() {
    let dir = tempfile::tempdir().unwrap();
    ok(train(dir.path(), &[]));
    // As if it had been a card's, by a version that kept no parts.
    let mut m = manifest(dir.path());
    m["device"] = "Card 9".into();
    m["driver"] = "carddriver 1".into();
    m["backend"] = "vulkan".into();
    m.as_object_mut().unwrap().remove("parts");
    std::fs::write(dir.path().join("manifest.json"), m.to_string()).unwrap();
    let finished = stderr(&ok(train(dir.path(), &["--resume"])));
    assert!(!finished.contains("warning"), "{finished}");
    let err = stderr(&ok(train(dir.path(), &["--resume", "--set", "train.updates=5"])));
    let warning = err.lines().find(|l| l.starts_with("warning: ")).unwrap_or_else(|| panic!("{err}"));
    assert!(["Card 9", "carddriver 1", "'cpu ("].iter().all(|w| warning.contains(w)), "{warning}");
    let m = manifest(dir.path());
    assert_eq!((&m["parts"][0]["device"], &m["parts"][1]["backend"]), (&"Card 9".into(), &"cpu".into()));
    // The same device again.
    let err = stderr(&ok(train(dir.path(), &["--resume", "--set", "train.updates=6"])));
    assert!(!err.contains("warning"), "{err}");
}

#[test]
fn a_lengthened_run_is_the_long_one() {
    let files = ["checkpoint.safetensors", "curves.jsonl"];
    for log_every in ["1", "2"] {
        let log = format!("train.log_every={log_every}");
        let (short, long) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        ok(train(long.path(), &["--set", "train.updates=7", "--set", &log]));
        ok(train(short.path(), &["--set", &log]));
        let o = ok(train(short.path(), &["--resume", "--set", "train.updates=7", "--set", &log]));
        assert!(!stderr(&o).contains("warning"), "{}", stderr(&o));
        for file in files {
            assert!(bytes(long.path(), file) == bytes(short.path(), file), "{file} at log_every {log_every}");
        }
        is_error(
            &train(short.path(), &["--resume", "--set", "train.updates=6", "--set", &log]),
            &["train.updates", "6", "7"],
        );
    }
    // Where rates follow the length, it is said which key does it.
    let dir = tempfile::tempdir().unwrap();
    let falling = ["--set", "ppo.lr_final_share=0.1"];
    ok(train(dir.path(), &falling));
    let o = ok(train(dir.path(), &[&falling[..], &["--resume", "--set", "train.updates=5"]].concat()));
    let (err, words) = (stderr(&o), ["train.updates", "ppo.lr_final_share", "update 3"]);
    let warning = err.lines().find(|l| l.starts_with("warning: ")).unwrap_or_else(|| panic!("{err}"));
    assert!(words.iter().all(|w| warning.contains(w)), "{warning}");
}

#[test]
fn keys_that_change_no_training_may_change() {
    let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at =
        |updates: &str, log: &str| [format!("train.updates={updates}"), format!("train.log_every={log}")];
    // How often the metrics are read changes at every part, so that no part has all rows of any of them.
    for (updates, log) in [("6", "4"), ("7", "3"), ("8", "5"), ("11", "2"), ("12", "7")] {
        let episodes = format!("evaluate.episodes={updates}");
        let [updates, log] = at(updates, log);
        let more = ["--resume", "--set", &updates, "--set", &log, "--set", &episodes];
        let o = ok(train(dir.path(), &more));
        assert!(!stderr(&o).contains("warning"), "{}", stderr(&o));
    }
    ok(train(whole.path(), &["--set", "train.updates=12"]));
    let state =
        |dir: &Path| Checkpoint::<V2xConfig>::load(&dir.join("checkpoint.safetensors")).unwrap().state;
    assert_eq!(state(dir.path()), state(whole.path()));
    let rows = |dir: &Path| String::from_utf8(bytes(dir, "curves.jsonl")).unwrap();
    let every = rows(whole.path());
    let own = rows(dir.path());
    assert!(own.lines().all(|row| every.lines().any(|r| r == row)), "{own}");
    assert!(own.lines().last() == every.lines().last() && own.lines().count() < 12, "{own}");
    // Rows that were cut off are still missed.
    let cut: Vec<&str> = own.lines().collect();
    std::fs::write(dir.path().join("curves.jsonl"), cut[..cut.len() - 1].join("\n")).unwrap();
    is_error(&train(dir.path(), &["--resume", "--set", "train.updates=13"]), &["curves.jsonl", "update 11"]);
}

#[test]
fn events_for_tensorboard_are_as_safe_as_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let [out, other, tb] = ["out", "other", "tb"].map(|n| dir.path().join(n));
    let with = |out: &Path, more: &[&str]| train(out, &[&["--tensorboard", text(&tb)], more].concat());
    ok(with(&out, &[]));
    let names = || -> Vec<PathBuf> { all(&tb.join("ppo/seed-0")).into_iter().map(|f| f.0).collect() };
    assert_eq!(names().len(), 1);
    assert!(names()[0].file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    let before = all(&tb);
    is_error(&with(&other, &[]), &["seed-0", "holds events already", "--force", "--tensorboard"]);
    let foreign = with(&other, &["--resume", "--set", "ppo.gamma=0.5"]);
    assert_eq!(foreign.status.code(), Some(1));
    assert!(stderr(&foreign).contains("events of another training"), "{}", stderr(&foreign));
    assert!(all(&tb) == before && !other.join("checkpoint.safetensors").exists());
    ok(with(&out, &["--resume", "--set", "train.updates=5"]));
    assert!(names().len() == 2 && all(&tb)[0] == before[0], "{:?}", names());
    ok(with(&out, &["--force"]));
    assert_eq!(names().len(), 1);
}

#[test]
fn an_unhealthy_training_is_warned_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let hot = ["--set", "ppo.lr_actor=0.3", "--set", "train.updates=12"];
    let warnings = |o: &Output| -> Vec<String> {
        let of =
            |l: &&str| l.starts_with("warning: ") && (l.contains("approx_kl") || l.contains("clip_fraction"));
        stderr(o).lines().filter(of).map(str::to_string).collect()
    };
    let first = warnings(&ok(train(dir.path(), &hot)));
    assert!(!first.is_empty(), "nothing was said of steps that are far too large");
    for words in ["ppo, seed 0 at 40 dBm", "from update", "lower ppo.lr_actor"] {
        assert!(first.iter().all(|w| w.contains(words)), "'{words}' is not in {first:?}");
    }
    let about = |column: &str| first.iter().filter(|w| w.contains(column)).count();
    assert!(about("approx_kl") <= 1 && about("clip_fraction") <= 1, "{first:?}");
    // Who continues it was told before.
    let again = ok(train(dir.path(), &[&hot[..2], &["--resume", "--set", "train.updates=24"]].concat()));
    let kinds = |w: &[String]| ["approx_kl", "clip_fraction"].map(|c| w.iter().any(|l| l.contains(c)));
    let (before, now) = (kinds(&first), kinds(&warnings(&again)));
    assert!(before.iter().zip(now).all(|(before, now)| !(*before && now)), "said twice: {again:?}");
    // Nothing is said of a training at its usual rates.
    let healthy = tempfile::tempdir().unwrap();
    let o = ok(train(healthy.path(), &["--set", "train.updates=12", "--set", "ppo.lr_actor=1e-4"]));
    assert!(warnings(&o).is_empty(), "{}", stderr(&o));
}

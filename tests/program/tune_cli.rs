//! `isacbench tune` as its user meets it: what it leaves and what reads it, kills, and wrong input. The search itself:
//! `tests/library/tune.rs`.
#![cfg(feature = "report")]

use crate::child::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// A trial in a tenth of a second.
const SMALL: &[&str] = &[
    "task.slots=10",
    "task.antennas_tx=8",
    "task.antennas_rx=8",
    "ppo={hidden=[8], envs=8, horizon=10, minibatch=40}",
    "ddpg={hidden=[8], envs=4, capacity=160, minibatch=16, learning_starts=40}",
    "evaluate.episodes=32",
    "reproduce.checkpoint_every=5",
];

fn args<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let fixed =
        ["tune", "v2x", "--agent", "ppo,ddpg", "--trials", "4", "--budget", "1600", "--device", "cpu"];
    let mut all = with_sets(&[&fixed[..], &["--seeds", "60,61", "--out", text(out)]].concat(), SMALL);
    all.extend(more);
    all
}

fn tune(out: &Path, more: &[&str]) -> Output {
    isacbench(&args(out, more))
}

/// Files below a folder with their bytes, but for the lock.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() {
                walk(root, &path, out);
            } else if path.file_name().is_some_and(|n| n != "lock")
                && let Ok(bytes) = std::fs::read(&path)
            {
                out.insert(path.strip_prefix(root).unwrap().into(), bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

#[test]
fn help_has_an_example() {
    let help = stdout(&ok(isacbench(&["tune", "--help"])));
    assert!(help.contains("Example: isacbench tune") && help.contains("--halving"), "{help}");
}

#[test]
fn what_is_chosen_is_there_for_the_other_commands() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("tuned");
    let o = ok(tune(&out, &["--dry-run"]));
    assert!(stdout(&o).contains("memory") && !out.exists(), "{}", stdout(&o));
    let o = ok(tune(&out, &[]));
    let said = stdout(&o);
    for words in [
        "4 trials of each agent (ppo, ddpg) with 2 seeds",
        "about ",
        "ppo: trial ",
        "ddpg: trial ",
        "chosen.toml",
    ] {
        assert!(said.contains(words), "'{words}' is not in {said}");
    }
    let page = std::fs::read_to_string(out.join("page/tune.html")).unwrap();
    assert!(page.contains("ddpg.lr_critic") && page.contains("<svg"), "{page}");
    // The dataset is one of a sweep.
    let o = ok(isacbench(&["report", text(&out), "--where", "agent=ddpg"]));
    let report = std::fs::read_to_string(out.join("report/report.md")).unwrap();
    assert_eq!(report.lines().filter(|l| l.starts_with("| ddpg |")).count(), 4, "{}{report}", stdout(&o));
    // The settings lie over a preset.
    let (chosen, run) = (out.join("chosen-ddpg.toml"), dir.path().join("run"));
    let train =
        ["train", "--agent", "ddpg", "--device", "cpu", "--config", text(&chosen), "--out", text(&run)];
    ok(isacbench(&with_sets(&train, &["train.seeds=[0]", "train.updates=2"])));
    let read = isacbench::config::Layered::load(Some(&chosen), &[]);
    let config: isacbench::tasks::v2x::config::V2xConfig = read.unwrap();
    assert_eq!((config.ddpg.envs, config.task.antennas_tx), (4, 8), "what was set in all trials is missing");
    // Its own settings continue it, others do not.
    let before = files(&out);
    let o = ok(tune(&out, &["--resume"]));
    assert!(stderr(&o).contains("8 points are there already"), "{}", stderr(&o));
    assert_eq!(files(&out), before);
    is_error(&tune(&out, &[]), &["--resume"]);
    for (more, key) in [
        (&["--halving"][..], "halving is none there and 3 here"),
        (&["--set", "task.xi=5"], "config.task.xi"),
        (&["--set", "ddpg.minibatch=8"], "config.ddpg.minibatch"),
    ] {
        is_error(&tune(&out, &[&["--resume"], more].concat()), &["plan.json", key]);
    }
    let sweep = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sweep-v2x-tiny.toml");
    is_error(
        &isacbench(&["sweep", sweep, "--device", "cpu", "--out", text(&out), "--resume"]),
        &["plan.json", "another job"],
    );
    assert_eq!(files(&out), before);
}

#[test]
fn kills_at_any_time_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, out) = (dir.path().join("whole"), dir.path().join("killed"));
    ok(tune(&whole, &["--halving", "2"]));
    let want = files(&whole);
    let parts = |dir: &Path| {
        let parquet = |p: &&PathBuf| p.extension().is_some_and(|e| e == "parquet");
        files(dir).keys().filter(parquet).count()
    };
    // Four, two and one trial of each agent.
    assert_eq!(parts(&whole), 14);
    for until in [1, 6, 9, 13] {
        let mut child = program(&args(&out, &["--halving", "2", "--resume", "--replicas", "2"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while parts(&out) < until && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(120), "no {until} parts after 120 s");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for (path, bytes) in
            files(&out).into_iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "parquet"))
        {
            assert!(want[&path] == bytes, "{} differs after a kill", path.display());
        }
    }
    ok(tune(&out, &["--halving", "2", "--resume"]));
    assert_eq!(files(&out).keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    assert!(files(&out) == want, "a file differs");
}

#[test]
fn what_is_wrong_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("no");
    let preset = dir.path().join("other.toml");
    std::fs::write(&preset, "preset = \"fast\"\n[task]\nname = \"misac\"\n[temporal]\nlr_policy = 1e-3\n")
        .unwrap();
    for (more, says) in [
        (&["--agent", "nobody"][..], &["--agent", "nobody", "ppo"][..]),
        (&["--agent", "ekf"], &["--agent", "ekf", "does not learn"]),
        (&["--replicas", "0"], &["--replicas"]),
        (&["--seeds", "1000"], &["--seeds", "evaluate.seed"]),
        (&["--set", "train.updates=5"], &["train.updates", "--budget"]),
        (&["--space", "no/such.toml"], &["no/such.toml"]),
        (&["--config", text(&preset)], &["task.name", "misac", "v2x"]),
        (&["--set", "ddpg.colour=1"], &["colour"]),
    ] {
        is_error(&tune(&out, more), says);
    }
    let own =
        |words: &[&str]| isacbench(&[&["tune"], words, &["--device", "cpu", "--out", text(&out)]].concat());
    is_error(&own(&["v2x", "--trials", "0", "--budget", "1e6"]), &["--trials", "at least 1"]);
    is_error(&own(&["v2x", "--trials", "2", "--budget", "1000"]), &["--budget", "1000 slots"]);
    is_error(&own(&["chess", "--trials", "2", "--budget", "1000"]), &["chess", "v2x"]);
    // A metric that no evaluation tells is known before the work begins.
    let space = dir.path().join("space.toml");
    let text_of = "task = \"v2x\"\nobjective = \"colour\"\nbetter = \"higher\"\nseeds = [60]\n[space]\nddpg.tau = { uniform = [0.01, 0.1] }\n";
    std::fs::write(&space, text_of).unwrap();
    is_error(&tune(&out, &["--space", text(&space)]), &["space", "ppo"]);
    let o = isacbench(&with_sets(
        &[
            "tune",
            "v2x",
            "--agent",
            "ddpg",
            "--trials",
            "2",
            "--budget",
            "400",
            "--device",
            "cpu",
            "--space",
            text(&space),
            "--out",
            text(&out),
        ],
        SMALL,
    ));
    is_error(&o, &["objective", "'colour' is no metric", "sum_rate_bps_hz"]);
    assert!(!out.exists(), "a folder was left");
}

//! Commands that answer a question at once, and trainings that somebody interrupts.

use crate::child::*;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn the_optimal_schedule_is_printed_slot_by_slot() {
    let sets = ["task.vehicles=6", "task.snr_db=12", "task.e_recovery_j=50"];
    let told = stdout(&ok(isacbench(&with_sets(&["schedule"], &sets))));
    let best = told.split("best-periodic").next().unwrap();
    assert!(best.contains("cost_j 43.7912") && best.contains("repeats its 2 slots"), "{told}");
    let on: Vec<usize> = best.lines().map(|l| l.matches('●').count()).filter(|n| *n > 0).collect();
    assert_eq!(on, [6], "all six together, {told}");

    let v = object(isacbench(&with_sets(&["schedule", "--json"], &sets)));
    assert!(v["about"].as_str().unwrap().contains("8008 states"), "{v}");
    let [best, periodic] = &v["schedules"].as_array().unwrap()[..] else { panic!("{v}") };
    assert_eq!(best["cycle"], serde_json::json!([vec![false; 6], vec![true; 6]]));
    let cost = |t: &Value| t["mean_per_slot"]["cost_j"].as_f64().unwrap();
    assert!(cost(periodic) >= cost(best) - 1e-6, "{v}");

    is_error(&isacbench(&["schedule", "--task", "v2x"]), &["task v2x schedules nothing"]);
    is_error(&isacbench(&["schedule", "--set", "task.vehicles=99"]), &["task.vehicles"]);
    let states = ["task.vehicles=8", "task.age_max_slots=1000"];
    let refused = isacbench(&with_sets(&["schedule"], &states));
    is_error(&refused, &["states of ages", "task.vehicles"]);
}

const TINY: &[&str] =
    &["ppo.envs=4", "ppo.horizon=100", "ppo.minibatch=100", "ppo.hidden=[8]", "train.seeds=[3]"];

fn words<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let fixed =
        ["train", "--agent", "ppo", "--device", "cpu", "--out", text(out), "--set", "train.log_every=7"];
    [with_sets(&fixed, TINY), more.to_vec()].concat()
}

#[test]
fn what_to_cite_is_printed_of_a_run_too() {
    let all = stdout(&ok(isacbench(&["cite"])));
    for text in ["@software{isacbench", "Shang, Chen", "2501.01038", "Fan, Wenqi", "2604.06697"] {
        assert!(all.contains(text), "{text}: {all}");
    }
    let one = stdout(&ok(isacbench(&["cite", "--task", "misac"])));
    assert!(one.contains("Fan, Wenqi") && !one.contains("Shang"), "{one}");

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    ok(isacbench(&words(&out, &["--set", "train.updates=1"])));
    let told = stdout(&ok(isacbench(&["cite", text(&out)])));
    let line = told.lines().last().unwrap();
    assert!(told.contains("Shang") && !told.contains("Fan, Wenqi"), "{told}");
    assert!(line.contains("isacbench train --agent ppo") && line.contains("seeds 3"), "{line}");
    is_error(&isacbench(&["cite", text(dir.path())]), &["holds no manifest.json"]);
    is_error(&isacbench(&["cite", "--task", "radar"]), &["no task 'radar'"]);

    // A folder of a training is a checkpoint.
    let file = out.join("checkpoint.safetensors");
    let of = |path: &Path| {
        let words =
            ["evaluate", "--agent", "ppo", "--episodes", "8", "--device", "cpu", "--json", "--checkpoint"];
        stdout(&ok(isacbench(&[&words[..], &[text(path)]].concat())))
    };
    assert_eq!(of(&out), of(&file));
    is_error(
        &isacbench(&["evaluate", "--agent", "ppo", "--checkpoint", text(dir.path())]),
        &["cannot read checkpoint", "checkpoint.safetensors"],
    );
}

/// An interrupt in the middle saves the update at hand, and what goes on from there ends as if nothing had happened.
#[test]
#[cfg(all(unix, feature = "report"))]
fn an_interrupted_training_saves_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| dir.path().join(name));
    let updates = ["--set", "train.updates=1500", "--set", "reproduce.checkpoint_every=1000000"];
    ok(isacbench(&words(&whole, &updates)));

    let mut child = program(&words(&cut, &updates))
        .env("ISACBENCH_PROGRESS", "json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun when it tells how far it is.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let told = lines.find(|l| l.as_ref().unwrap().starts_with('{')).unwrap().unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["total"].as_u64(), told["done"].is_u64()), (Some(1500), true), "{told}");
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let began = Instant::now();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
    let last = rest.last().unwrap();
    assert!(last.contains("of 1500 updates are saved; continue with --resume"), "{rest:?}");
    let done: u32 = last.split_whitespace().find_map(|w| w.parse().ok()).unwrap();
    assert!((1..1500).contains(&done), "{last}");

    ok(isacbench(&words(&cut, &[&updates[..], &["--resume"]].concat())));
    for file in ["checkpoint.safetensors", "curves.jsonl"] {
        let [a, b] = [&whole, &cut].map(|dir| std::fs::read(dir.join(file)).unwrap());
        assert!(a == b, "{file} is another one behind an interrupt at update {done}");
    }
}

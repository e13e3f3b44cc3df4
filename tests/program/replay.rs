//! `isacbench replay`: the page that it writes, and what it refuses.

use crate::child::*;
use std::path::Path;

const SMALL: &[&str] =
    &["task.slots=6", "task.antennas=8", "ppo={hidden=[4],envs=4,horizon=6,minibatch=24,epochs=1}"];

fn replay(task: &str, out: &Path, more: &[&str]) -> std::process::Output {
    let mut args = with_sets(&["replay", task, "--out", text(out)], if task == "v2x" { SMALL } else { &[] });
    args.extend(more);
    isacbench(&args)
}

#[test]
fn a_page_is_written_once_and_again_with_force() {
    let help = stdout(&ok(isacbench(&["replay", "--help"])));
    assert!(help.contains("Example: isacbench replay v2x") && help.contains("--checkpoint"), "{help}");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("below/replay.html");
    let told = stdout(&ok(replay("v2x", &out, &["--agents", "last-estimate,genie", "--seed", "3"])));
    assert!(
        told.contains("last-estimate, genie") && told.contains("seed 3") && told.contains(text(&out)),
        "{told}"
    );
    let page = std::fs::read_to_string(&out).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("draws of seed 3"));
    is_error(&replay("v2x", &out, &["--agents", "ekf"]), &["is there already", "--force"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), page);
    ok(replay("v2x", &out, &["--agents", "last-estimate,genie", "--seed", "3", "--force"]));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), page, "the same draws make the same page");
    ok(replay("v2x", &out, &["--agents", "ekf", "--force", "--slots", "2", "--episodes", "1"]));
    assert!(std::fs::read_to_string(&out).unwrap().contains("\"slots\":2"));
}

#[test]
fn bad_input_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("replay.html");
    let fails = |task: &str, more: &[&str], names: &[&str]| {
        is_error(&replay(task, &out, more), names);
        assert!(!out.exists(), "{more:?}");
    };
    fails("v2x", &["--agents", "nobody"], &["no agent 'nobody'", "last-estimate"]);
    fails("v2x", &["--agents", "ekf,ekf"], &["'ekf' is named twice"]);
    fails("v2x", &["--agents", "genie,ppo"], &["'ppo'", "--checkpoint"]);
    fails("v2x", &["--checkpoint", "nowhere"], &["nowhere"]);
    fails("v2x", &["--checkpoint", "genie=nowhere"], &["'genie'", "drop its --checkpoint"]);
    fails("v2x", &["--agents", "ekf", "--slots", "0"], &["--slots 0", "from 1 to 6"]);
    fails("v2x", &["--agents", "ekf", "--slots", "7"], &["--slots 7", "from 1 to 6"]);
    fails("v2x", &["--agents", "ekf", "--episodes", "0"], &["--episodes 0"]);
    fails("v2x", &["--agents", "ekf", "--set", "task.slot=9"], &["task.slot"]);
    fails("v2x", &["--agents", "genie,upper-bound"], &["'upper-bound'", "a bound"]);
    fails("misac", &["--agents", "dp-bound"], &["'dp-bound'", "a bound"]);
    fails("nothing", &["--agents", "ekf"], &["no task 'nothing'"]);
}

#[test]
fn a_checkpoint_says_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (trained, out) = (dir.path().join("ppo"), dir.path().join("replay.html"));
    let sets = [SMALL, &["train={seeds=[5,6],updates=1}"]].concat();
    ok(isacbench(&with_sets(
        &["train", "--agent", "ppo", "--device", "cpu", "--out", text(&trained)],
        &sets,
    )));
    let told = isacbench(&["replay", "v2x", "--checkpoint", text(&trained), "--out", text(&out)]);
    // As the evaluation of its first replica, under seed 1000 + 5.
    assert!(stdout(&ok(told)).contains("replay of ppo, task v2x, draws of seed 1005"));
    let named = format!("ppo={}", trained.display());
    let more = ["--checkpoint", named.as_str(), "--agents", "genie,ppo", "--replica", "1", "--force"];
    let told = stdout(&ok(isacbench(&[&["replay", "v2x", "--out", text(&out)], &more[..]].concat())));
    assert!(told.contains("replay of genie, ppo, task v2x, draws of seed 1006"), "{told}");
    assert!(std::fs::read_to_string(&out).unwrap().contains("weights of training seed 6 at update 1"));
    let args = ["replay", "v2x", "--checkpoint", text(&trained), "--out", text(&out), "--force"];
    is_error(&isacbench(&[&args[..], &["--replica", "2"]].concat()), &["--replica 2", "has 2"]);
    is_error(&isacbench(&[&args[..], &["--checkpoint", text(&trained)]].concat()), &["'ppo' has two"]);
    is_error(&isacbench(&[&args[..], &["--set", "task.beam=zf"]].concat()), &["task.beam"]);
    let other = ["replay", "misac", "--checkpoint", text(&trained), "--out", text(&out), "--force"];
    is_error(&isacbench(&other), &["task 'v2x'", "'misac'"]);
}

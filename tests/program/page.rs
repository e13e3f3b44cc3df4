//! `isacbench page`: what it writes, and what it refuses with one line.

use crate::child::*;
use serde_json::Value;
use std::path::Path;

fn page(dir: &Path, more: &[&str]) -> std::process::Output {
    isacbench(&[&["page", "--live", text(dir)], more].concat())
}

/// What the scripts of a page are given.
fn data(dir: &Path) -> Value {
    let html = std::fs::read_to_string(dir.join("index.html")).unwrap();
    let (_, rest) = html.split_once("<script id=\"data\" type=\"application/json\">").expect("data");
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_live_page_is_one_file_that_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("live");
    let said = stdout(&ok(page(&out, &["--envs", "64", "--set", "task.p_max_dbm=33"])));
    assert!(said.contains("index.html") && said.contains("64 environments"), "{said}");
    let html = std::fs::read_to_string(out.join("index.html")).unwrap();
    for asks in ["src=", "href=", "fetch(", "http://", "https://", "{{"] {
        assert!(!html.contains(asks), "the page has {asks}");
    }
    let data = data(&out);
    assert_eq!(data["envs"], 64);
    let power = data["controls"].as_array().unwrap().iter().find(|c| c["id"] == "power").unwrap();
    assert_eq!(power["values"][power["first"].as_u64().unwrap() as usize], 33.0);
    let agents: Vec<_> =
        data["agents"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(agents, ["spiking-ac", "last-estimate", "ekf", "ekf-zf"]);
    assert_eq!(data["agents"][0]["programs"].as_array().unwrap().len(), 16);

    is_error(&page(&out, &[]), &["is not empty", "--force"]);
    ok(page(&out, &["--envs", "32", "--force", "--agent", "ekf-zf"]));
    let again = self::data(&out);
    assert_eq!([&again["envs"], &again["first"]], [32, 3]);
}

#[test]
fn a_page_is_driven_by_the_checkpoint_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    ok(page(dir.path(), &["--checkpoint", "tests/networks/v2x-ppo.safetensors", "--envs", "40"]));
    let data = data(dir.path());
    assert_eq!(data["agents"][0]["id"], "ppo");
    assert_eq!(data["agents"][0]["programs"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_shown_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |more: &[&str], names: &[&str]| {
        is_error(&page(dir.path(), more), names);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{more:?} left something");
    };
    let misac = "tests/networks/misac-h-moe.safetensors";
    refused(&["--task", "misac"], &["task misac has no live page yet"]);
    refused(&["--checkpoint", misac], &["task misac has no live page yet"]);
    refused(&["--task", "v2x", "--checkpoint", misac], &["misac-h-moe.safetensors", "misac"]);
    refused(&["--task", "radar"], &["no task 'radar'"]);
    refused(&["--agent", "oracle"], &["'oracle'", "ekf-zf"]);
    refused(&["--checkpoint", "no/such/file"], &["no/such/file"]);
    refused(&["--checkpoint", "README.md"], &["README.md"]);
    refused(&["--checkpoint", "tests/networks/v2x-ppo.safetensors", "--replica", "9"], &["--replica 9"]);
    refused(&["--checkpoint", "tests/networks/v2x-dqn.safetensors"], &["no policies that choose"]);
    refused(&["--envs", "0"], &["--envs 0"]);
    refused(&["--set", "task.beam=angles"], &["task.beam"]);
    refused(&["--set", "task.nonsense=1"], &["nonsense"]);
    refused(&["--set", "task.p_max_dbm=1e9"], &["task.p_max_dbm"]);
}

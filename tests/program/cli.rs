//! The program as its user meets it: every command, the shape of its JSON, runs that repeat and continue bit for bit,
//! and bad input, which ends in one clear line that names the culprit and leaves nothing behind.

use crate::child::*;
use crate::common::gpu_or_skip;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::tasks::v2x::config::V2xConfig;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// Training that takes a fraction of a second.
const TINY: &[&str] = &[
    "ppo.envs=8",
    "ppo.minibatch=400",
    "ppo.hidden=[8]",
    "spiking.hidden=[]",
    "train.updates=3",
    "train.seeds=[0,1]",
    "reproduce.checkpoint_every=1",
];
const METRICS: [&str; 6] =
    ["sum_rate_bps_hz", "jain", "reward", "indicator_share", "angle_mse_rad2", "distance_mse_m2"];

/// The same on a machine without any Vulkan driver.
fn without_driver(args: &[&str]) -> Output {
    program(args)
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .output()
        .unwrap()
}

fn train(out: &Path, more: &[&str]) -> Output {
    let mut args = with_sets(&["train", "--device", "cpu", "--out", text(out)], TINY);
    args.extend(more);
    isacbench(&args)
}

/// A trained checkpoint that the tests share.
fn checkpoint() -> &'static Path {
    static MADE: std::sync::OnceLock<(TempDir, PathBuf)> = std::sync::OnceLock::new();
    let made = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        ok(train(dir.path(), &[]));
        let file = dir.path().join("checkpoint.safetensors");
        (dir, file)
    });
    &made.1
}

/// A `train` that must fail with one line naming `names`, and leave no file (nor folder) where its output should be.
fn train_fails(more: &[&str], names: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    is_error(&train(&out, more), names);
    assert!(
        !out.exists(),
        "{more:?} left {:?}",
        std::fs::read_dir(&out).map(|d| d.map(|e| e.unwrap().path()).collect::<Vec<_>>())
    );
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["devices", "check", "train", "evaluate", "schedule", "reproduce", "cite", "bench"] {
        let help = stdout(&ok(isacbench(&[command, "--help"])));
        assert!(help.contains(&format!("Example: isacbench {command}")), "{help}");
        assert!(stdout(&ok(isacbench(&["--help"]))).contains(command));
    }
}

/// What stands there is copied, so it has to run.
#[test]
fn without_a_command_it_says_what_people_do_first() {
    let said = stdout(&ok(isacbench(&[])));
    let commands: Vec<Vec<&str>> = said
        .lines()
        .filter_map(|line| line.strip_prefix("  isacbench "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(commands.len(), 5, "{said}");
    for words in &commands {
        let help = stdout(&ok(isacbench(&[words[0], "--help"])));
        let options = words.iter().filter(|w| w.starts_with("--"));
        options.for_each(|o| assert!(help.contains(o), "{o} in {words:?}"));
    }
    let compared = commands.iter().find(|c| c[0] == "evaluate").unwrap();
    let table = stdout(&ok(isacbench(&[compared, &["--device", "cpu", "--episodes", "8"][..]].concat())));
    assert!(table.contains("genie") && table.contains('█'), "{table}");
}

/// A dry run names every run with its size and time, and leaves nothing.
#[test]
fn what_a_reproduction_takes_is_told_before() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let args = ["reproduce", "rate-penalty", "--dry-run", "--device", "cpu", "--out", text(&out)];
    let o = ok(isacbench(&with_sets(&args, TINY)));
    let said = stdout(&o);
    for word in ["spiking-ac tracking paper rate_penalty=0.1", "ppo", "genie", "replicas", "runs, about"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(!out.exists());
    let wrong = ["reproduce", "recipes", "--dry-run", "--device", "cpu"];
    is_error(&isacbench(&wrong), &["recipes"]);
}

#[test]
fn devices_are_listed_with_what_auto_takes() {
    let o = ok(isacbench(&["devices"]));
    assert!(stdout(&o).lines().last().unwrap().starts_with("auto: "), "{}", stdout(&o));
    assert_eq!(stderr(&o), "");
    let v = object(isacbench(&["devices", "--json"]));
    assert!(v["auto"].is_string());
    let none = object(without_driver(&["devices", "--json"]));
    assert_eq!(none["adapters"].as_array().unwrap().len(), 0);
    let Some(gpu) = gpu_or_skip() else { return };
    let names: Vec<&str> =
        v["adapters"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert!(names.contains(&gpu.info.name.as_str()), "{names:?}");
}

#[test]
fn check_compares_kernels_on_the_adapter() {
    let Some(gpu) = gpu_or_skip() else { return };
    let v = object(isacbench(&["check", "--device", "gpu", "--json"]));
    assert_eq!(v["failures"], 0);
    let kernels = v["kernels"].as_array().unwrap();
    for e in isacbench::tasks::kernels() {
        let mine: Vec<_> = kernels.iter().filter(|k| k["kernel"] == e.kernel).collect();
        if e.lacks(gpu).is_some() {
            assert!(mine.len() == 1 && mine[0]["skipped"].is_string(), "{}", e.kernel);
            continue;
        }
        assert!(!mine.is_empty() && mine.iter().all(|k| k["passed"] == true), "{}", e.kernel);
    }
}

#[test]
fn check_compares_the_cpu_with_golden_vectors() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let v = object(isacbench(&["check", "--golden", golden, "--device", "cpu", "--json"]));
    assert_eq!(v["failures"], 0);
    assert!(v["golden"].as_array().unwrap().iter().filter(|g| g["passed"] == true).count() > 50);
    is_error(&isacbench(&["check", "--golden", "no/such/folder", "--device", "cpu"]), &["no/such/folder"]);
    is_error(&isacbench(&["check", "--device", "cpu"]), &["--golden"]);
}

#[test]
fn evaluate_prints_one_object_with_intervals() {
    let v = object(isacbench(&[
        "evaluate",
        "--task",
        "v2x",
        "--agent",
        "ekf",
        "--device",
        "cpu",
        "--episodes",
        "64",
        "--json",
    ]));
    assert_eq!(
        (v["task"].as_str(), v["agent"].as_str(), v["episodes"].as_u64()),
        (Some("v2x"), Some("ekf"), Some(64))
    );
    assert!(v["device"].as_str().unwrap().starts_with("cpu"));
    for name in METRICS {
        let (mean, ci) = interval(&v, name);
        assert!(ci[0] <= mean && mean <= ci[1], "{name}: {}", v["metrics"][name]);
    }
    let (rate, ci) = interval(&v, "sum_rate_bps_hz");
    assert!(rate > 15.0 && ci[1] - ci[0] > 0.0, "{rate} {ci:?}");
    let plain =
        stdout(&ok(isacbench(&["evaluate", "--agent", "ekf", "--device", "cpu", "--episodes", "64"])));
    assert!(METRICS.iter().all(|m| plain.contains(m)), "{plain}");
    let bound = object(isacbench(&[
        "evaluate",
        "--agent",
        "upper-bound",
        "--device",
        "cpu",
        "--episodes",
        "64",
        "--json",
    ]));
    assert!(interval(&bound, "sum_rate_bps_hz").0 > rate);
}

#[test]
fn the_power_limit_reaches_the_simulation() {
    let at = |set: &str| {
        let v = object(isacbench(&[
            "evaluate",
            "--agent",
            "genie",
            "--device",
            "cpu",
            "--episodes",
            "64",
            "--set",
            set,
            "--json",
        ]));
        interval(&v, "sum_rate_bps_hz").0
    };
    let (low, high) = (at("task.p_max_dbm=10"), at(" task.p_max_dbm = 30 "));
    assert!(low + 5.0 < high, "{low} bps/Hz at 10 dBm, {high} at 30 dBm");
}

#[test]
fn auto_runs_on_the_cpu_without_a_driver_and_says_why() {
    let args = ["evaluate", "--agent", "random", "--episodes", "8"];
    let o = ok(without_driver(&args));
    assert!(
        stderr(&o).contains("device: cpu") && stderr(&o).contains("no Vulkan adapter on this machine"),
        "{}",
        stderr(&o)
    );
    let v = object(without_driver(&[&args[..], &["--json"]].concat()));
    assert!(v["device"].as_str().unwrap().starts_with("cpu"));
    is_error(
        &without_driver(&[&args[..], &["--device", "gpu"]].concat()),
        &["no Vulkan adapter", "--device cpu"],
    );
    is_error(&without_driver(&["check", "--device", "gpu"]), &["no Vulkan adapter"]);
}

#[test]
fn training_twice_gives_the_same_files() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let o = ok(train(a.path(), &[]));
    assert!(stdout(&o).contains("checkpoint.safetensors"), "{}", stdout(&o));
    ok(train(b.path(), &[]));
    same_files(a.path(), b.path(), &train_files());
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(a.path().join("manifest.json")).unwrap()).unwrap();
    assert!(manifest.is_object());
    let rows = std::fs::read_to_string(a.path().join("curves.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 3 * 2, "an update of a seed is a row");
    let loaded = Checkpoint::<V2xConfig>::load(&a.path().join("checkpoint.safetensors")).unwrap();
    assert_eq!((loaded.state.updates, loaded.seeds), (3, vec![0, 1]));
}

/// Files of a training run that hold no wall-clock time.
fn train_files() -> Vec<&'static str> {
    let mut files = vec!["curves.jsonl", "checkpoint.safetensors"];
    if cfg!(feature = "report") {
        files.push("curves.parquet");
    }
    files
}

fn same_files(a: &Path, b: &Path, files: &[&str]) {
    for f in files {
        let read = |dir: &Path| std::fs::read(dir.join(f)).unwrap_or_else(|e| panic!("{f}: {e}"));
        let (x, y) = (read(a), read(b));
        assert!(!x.is_empty());
        assert!(
            x == y,
            "{f} differs: {} and {} bytes, first at {:?}",
            x.len(),
            y.len(),
            x.iter().zip(&y).position(|(p, q)| p != q)
        );
    }
}

#[test]
fn a_killed_training_continues_to_the_same_end() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let longer = ["--set", "train.updates=120", "--set", "ppo.envs=32", "--set", "ppo.lr_final_share=0.1"];
    ok(train(whole.path(), &longer));
    let saved = cut.path().join("checkpoint.safetensors");
    let mut args = with_sets(&["train", "--device", "cpu", "--out", text(cut.path())], TINY);
    args.extend(longer);
    kill_when(&args, &saved);
    let at = Checkpoint::<V2xConfig>::load(&saved).unwrap().state.updates;
    assert!(at < 120, "update {at} is the end");
    // What an interruption between the two files leaves: rows that are ahead of the checkpoint. They are cut off and
    // made again.
    let rows = cut.path().join("curves.jsonl");
    let all = std::fs::read_to_string(whole.path().join("curves.jsonl")).unwrap();
    let ahead: Vec<&str> = all.lines().take((at as usize + 1) * 2).collect();
    std::fs::write(&rows, ahead.join("\n") + "\n").unwrap();
    ok(train(cut.path(), &[&longer[..], &["--resume"]].concat()));
    same_files(whole.path(), cut.path(), &train_files());

    // Rows that are missing cannot be made again.
    std::fs::write(&rows, all.lines().take(5).collect::<Vec<_>>().join("\n")).unwrap();
    is_error(
        &train(cut.path(), &[&longer[..], &["--resume"]].concat()),
        &["curves.jsonl", "0 rows of update 119", "needs 2"],
    );
}

#[test]
fn a_finished_training_resumes_to_itself_and_a_missing_one_starts() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ok(train(a.path(), &[]));
    let o = ok(train(b.path(), &["--resume"]));
    assert!(stderr(&o).contains("no checkpoint in"), "{}", stderr(&o));
    ok(train(b.path(), &["--resume"]));
    same_files(a.path(), b.path(), &train_files());
}

#[test]
fn another_configuration_does_not_resume_and_destroys_nothing() {
    let dir = tempfile::tempdir().unwrap();
    ok(train(dir.path(), &[]));
    let before: Vec<_> = train_files().iter().map(|f| std::fs::read(dir.path().join(f)).unwrap()).collect();
    let names = ["checkpoint.safetensors", "another configuration", "ppo.gamma", "0.5 here"];
    is_error(&train(dir.path(), &["--resume", "--set", "ppo.gamma=0.5"]), &names);
    is_error(&train(dir.path(), &["--resume", "--set", "train.seeds=[0,2]"]), &["train.seeds"]);
    let after: Vec<_> = train_files().iter().map(|f| std::fs::read(dir.path().join(f)).unwrap()).collect();
    assert!(before == after);
}

#[test]
fn a_replica_that_stops_learning_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    // Returns beyond what single precision holds.
    let o = ok(train(dir.path(), &["--set", "ppo.reward_scale=1e38"]));
    let err = stderr(&o);
    let warning =
        err.lines().find(|l| l.starts_with("warning: ")).unwrap_or_else(|| panic!("no warning: {err}"));
    assert!(warning.contains("2 of 2 replicas") && warning.contains("seed 0 at 40 dBm"), "{warning}");
    let healthy = stderr(&ok(train(dir.path(), &["--force"])));
    assert!(!healthy.contains("warning"), "{healthy}");
}

#[test]
fn wrong_configuration_is_named_in_one_line() {
    train_fails(&["--set", "task.nonsense=1"], &["task", "nonsense"]);
    train_fails(&["--set", "tusk.slots=1"], &["--set", "tusk"]);
    train_fails(&["--set", "nonsense"], &["nonsense", "key=value"]);
    train_fails(&["--set", "task.slots=hundred"], &["task.slots", "hundred"]);
    train_fails(&["--set", "task=3"], &["task"]);
    train_fails(&["--set", "task.p_max_dbm=true"], &["task.p_max_dbm", "true"]);
    train_fails(&["--set", "task.p_max_dbm=1000"], &["task.p_max_dbm", "1000", "-60 to 90"]);
    train_fails(&["--set", "task.p_max_dbm=nan"], &["task.p_max_dbm", "NaN"]);
    train_fails(&["--set", "task.p_max_dbm=inf"], &["task.p_max_dbm", "inf"]);
    train_fails(&["--set", "task.xi=1e300"], &["task.xi"]);
    train_fails(
        &["--set", "task.kinematics=cartesian", "--set", "task.start_m=[[-5,10],[-15,10],[-25,12]]"],
        &["task.start_m", "road"],
    );
    train_fails(&["--set", "ppo.envs=0"], &["ppo.envs", "0"]);
    train_fails(&["--set", "ppo.minibatch=7"], &["ppo.minibatch", "7", "divide"]);
    train_fails(&["--set", "ppo.minibatch=-7"], &["ppo.minibatch", "-7"]);
    train_fails(&["--set", "ppo.max_grad_norm=inf"], &["ppo.max_grad_norm"]);
    train_fails(&["--set", "ppo.lr_actor=1e39"], &["ppo.lr_actor", "1e39", "1e-30 to"]);
    train_fails(&["--set", "train.seeds=[]"], &["train.seeds", "at least one"]);
    train_fails(&["--set", "train.seeds=[4,5,4]"], &["train.seeds", "twice"]);
    train_fails(&["--set", "reproduce.p_max_dbm=[0,40,0]"], &["reproduce.p_max_dbm", "twice"]);
    train_fails(&["--set", "preset=quickest"], &["quickest", "fast, paper"]);
    train_fails(&["--agent", "nobody"], &["nobody", "ppo"]);
    train_fails(&["--agent", "ekf"], &["ekf", "no training"]);
    train_fails(&["--config", "no/such/file.toml"], &["no/such/file.toml"]);
    is_error(
        &isacbench(&["evaluate", "--agent", "ekf", "--device", "cpu", "--episodes", "0"]),
        &["evaluate.episodes"],
    );
    is_error(&isacbench(&["evaluate", "--agent", "nobody", "--device", "cpu"]), &["nobody", "ekf"]);
}

#[test]
fn wrong_files_are_named_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |content: &str| {
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, content).unwrap();
        path
    };
    train_fails(&["--config", text(&file("[task]\nnonsense = 1\n"))], &["mine.toml", "task", "nonsense"]);
    train_fails(&["--config", text(&file("[tusk]\nslots = 3\n"))], &["mine.toml", "tusk"]);
    train_fails(&["--config", text(&file("[task]\nslots = \"x\n"))], &["mine.toml", "line 2"]);
    train_fails(&["--config", text(&file("[task]\nslots = 1.5\n"))], &["task.slots", "1.5", "whole number"]);
    train_fails(&["--config", text(dir.path())], &[text(dir.path())]);
}

#[test]
fn a_file_configures_and_a_set_key_overrides_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, "[evaluate]\nepisodes = 24\n[task]\np_max_dbm = 10\n").unwrap();
    let base = ["evaluate", "--agent", "random", "--device", "cpu", "--json", "--config", text(&path)];
    assert_eq!(object(isacbench(&base))["episodes"], 24);
    assert_eq!(object(isacbench(&[&base[..], &["--set", "evaluate.episodes=40"]].concat()))["episodes"], 40);
}

#[test]
fn memory_is_asked_for_before_work_begins() {
    let seeds = format!("train.seeds={:?}", (0..64).collect::<Vec<u32>>());
    let large = ["--set", "ppo.envs=16000000", "--set", &seeds];
    train_fails(&large, &["64 replicas", "16000000", "GiB", "train.seeds"]);
}

#[test]
fn an_unknown_device_is_named() {
    let o = isacbench(&["evaluate", "--agent", "ekf", "--device", "Voodoo 2"]);
    match gpu_or_skip() {
        Some(gpu) => is_error(&o, &["Voodoo 2", &gpu.info.name]),
        None => is_error(&o, &["adapter"]),
    }
}

#[test]
fn a_file_in_place_of_the_output_folder_stops_the_job_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    // A job of hours: it must fail before, not after.
    let sets = ["--set", "train.updates=1000000", "--set", "reproduce.checkpoint_every=1000000"];
    is_error(&train(&file, &sets), &[text(&file), "folder"]);
    is_error(&train(&file.join("below"), &sets), &[text(&file.join("below")), "folder"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let args = with_sets(&["reproduce", "spiking-ac", "--device", "cpu", "--out", text(&file)], TINY);
    is_error(&isacbench(&args), &[text(&file), "folder"]);
}

#[test]
fn damaged_checkpoints_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(checkpoint()).unwrap();
    let bad = dir.path().join("bad.safetensors");
    let fails = |content: &[u8], names: &[&str]| {
        std::fs::write(&bad, content).unwrap();
        let o = isacbench(&["evaluate", "--agent", "ppo", "--device", "cpu", "--checkpoint", text(&bad)]);
        is_error(&o, &[&[text(&bad)], names].concat());
    };
    fails(&[], &["damaged"]);
    fails(&bytes[..100], &["damaged"]);
    fails(&bytes[..bytes.len() / 2], &["damaged"]);
    fails(&bytes[..bytes.len() - 1], &["damaged"]);
    fails(&[&bytes[..], &[0]].concat(), &["damaged"]);

    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let meta: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let at = |tensor: &str| header + meta[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    let patched = |at: usize, x: f32| {
        let mut b = bytes.clone();
        b[at..at + 4].copy_from_slice(&x.to_le_bytes());
        b
    };
    let names: Vec<&str> =
        meta.as_object().unwrap().keys().map(String::as_str).filter(|k| !k.starts_with("__")).collect();
    let weights = names.iter().find(|n| !n.starts_with("adam")).unwrap();
    let moments = names.iter().find(|n| n.starts_with("adam_v.")).unwrap();
    fails(&patched(at(weights) + 8, f32::NAN), &[weights, "NaN", "element 2"]);
    fails(&patched(at(moments), f32::INFINITY), &[moments, "inf"]);
    fails(&patched(at(moments), -1.0), &[moments, "-1"]);

    // A tensor of another name, and a configuration that no longer parses, both of the same length.
    let text_patched = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let i = bytes
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap_or_else(|| panic!("no {from}"));
        let mut b = bytes.clone();
        b[i..i + to.len()].copy_from_slice(to.as_bytes());
        b
    };
    fails(
        &text_patched(&format!("\"{moments}\""), &format!("\"Adam_v.{}\"", &moments[7..])),
        &[moments, "missing"],
    );
    fails(&text_patched("vehicles = 3", "vehicles = 0"), &["task.vehicles"]);
    fails(&text_patched("vehicles", "vehikles"), &["vehikles"]);
    fails(&text_patched("isacbench-2", "isacbench-9"), &["isacbench-9"]);
}

#[test]
fn weights_and_agents_must_fit() {
    let c = text(checkpoint());
    is_error(
        &isacbench(&["evaluate", "--agent", "ppo", "--checkpoint", "no/such/file", "--device", "cpu"]),
        &["no/such/file"],
    );
    is_error(&isacbench(&["evaluate", "--agent", "ppo", "--device", "cpu"]), &["ppo", "--checkpoint"]);
    is_error(
        &isacbench(&["evaluate", "--agent", "ekf", "--checkpoint", c, "--device", "cpu"]),
        &["ekf", "--checkpoint"],
    );
    let set = |s: &str| {
        isacbench(&["evaluate", "--agent", "ppo", "--checkpoint", c, "--device", "cpu", "--set", s])
    };
    is_error(&set("ppo.hidden=[16]"), &["--set", c]);
    is_error(&set("task.beam=matrix"), &["--set", c]);
    is_error(&set("task.nonsense=1"), &["nonsense"]);
    is_error(&set("evaluate.episodes=many"), &["evaluate.episodes", "many"]);
}

#[test]
fn a_checkpoint_is_evaluated_by_sample_or_by_mode() {
    let base = [
        "evaluate",
        "--agent",
        "ppo",
        "--checkpoint",
        text(checkpoint()),
        "--device",
        "cpu",
        "--episodes",
        "128",
        "--json",
    ];
    let with = |more: &[&str]| object(isacbench(&[&base[..], more].concat()));
    let sampled = with(&["--sampled"]);
    assert_eq!((sampled["replicas"].as_u64(), sampled["episodes"].as_u64()), (Some(2), Some(256)));
    assert_eq!(sampled, with(&["--set", "evaluate.greedy=false"]));
    let greedy = with(&["--greedy"]);
    assert_eq!(greedy, with(&["--set", "evaluate.greedy=true"]));
    // As the checkpoint was configured.
    assert_eq!(greedy, with(&[]));
    let both = isacbench(&[&base[..], &["--greedy", "--sampled"]].concat());
    assert!(both.status.code() == Some(2) && stderr(&both).contains("cannot be used with"));
    let (a, b) = (interval(&sampled, "sum_rate_bps_hz").0, interval(&greedy, "sum_rate_bps_hz").0);
    assert!(a != b, "{a} bps/Hz either way");
    for name in METRICS {
        interval(&sampled, name);
        interval(&greedy, name);
    }
}

#[test]
fn f16_is_named_in_the_output_or_refused() {
    let base = ["evaluate", "--agent", "ppo", "--checkpoint", text(checkpoint()), "--episodes", "16"];
    let with = |more: &[&str]| isacbench(&[&base[..], more].concat());
    assert_eq!(object(with(&["--json", "--device", "cpu"]))["precision"], "f32");
    is_error(&with(&["--device", "cpu", "--precision", "f16"]), &["f16", "CPU"]);
    let reference = ["evaluate", "--agent", "ekf", "--device", "cpu", "--precision", "f16"];
    is_error(&isacbench(&reference), &["f16", "no network"]);
    let other =
        ["evaluate", "--task", "misac", "--agent", "dp-optimal", "--device", "cpu", "--precision", "f16"];
    is_error(&isacbench(&other), &["f16", "no network"]);
    let Some(gpu) = gpu_or_skip() else { return };
    if !gpu.features.contains(wgpu::Features::SHADER_F16) {
        is_error(&with(&["--device", "gpu", "--precision", "f16"]), &["f16", &gpu.info.name]);
        return;
    }
    let [full, half] = ["f32", "f16"].map(|precision| {
        let v = object(with(&["--json", "--device", "gpu", "--greedy", "--precision", precision]));
        assert_eq!(v["precision"], precision);
        v
    });
    let rate = |v| interval(v, "sum_rate_bps_hz").0;
    assert!(full["slots"] != half["slots"], "the same in either precision: {}", full["slots"]);
    assert!((rate(&full) / rate(&half) - 1.0).abs() < 0.02, "{} and {}", rate(&full), rate(&half));
    let text = stdout(&ok(with(&["--device", "gpu", "--precision", "f16"])));
    assert!(text.lines().next().unwrap().ends_with(", f16"), "{text}");
}

#[test]
fn a_checkpoint_gives_the_same_on_both_devices() {
    if gpu_or_skip().is_none() {
        return;
    }
    for more in [&[][..], &["--greedy"][..]] {
        let on = |device: &str| {
            let args = [
                "evaluate",
                "--agent",
                "ppo",
                "--checkpoint",
                text(checkpoint()),
                "--device",
                device,
                "--episodes",
                "256",
                "--json",
            ];
            object(isacbench(&[&args[..], more].concat()))
        };
        let (g, c) = (on("gpu"), on("cpu"));
        for name in ["sum_rate_bps_hz", "jain", "reward", "indicator_share", "upper_bound_bps_hz"] {
            let (x, y) = (interval(&g, name).0, interval(&c, name).0);
            assert!(
                (x - y).abs() <= 1e-3 * y.abs().max(1.0),
                "{name} {more:?}: {x} on the GPU, {y} on the CPU"
            );
        }
    }
}

/// What `reproduce` is made of at this scale: 2 powers, 2 seeds.
const SMALL: &[&str] = &[
    "ppo.envs=8",
    "ppo.minibatch=400",
    "ppo.hidden=[8]",
    "spiking.hidden=[]",
    "ddpg.hidden=[8]",
    "ddpg.envs=4",
    "ddpg.capacity=400",
    "ddpg.learning_starts=100",
    "ddpg.minibatch=16",
    "ddpg.train_every=10",
    "dqn.hidden=[8]",
    "dqn.envs=4",
    "dqn.capacity=400",
    "dqn.learning_starts=100",
    "dqn.minibatch=16",
    "dqn.train_every=10",
    "apg.envs=4",
    "apg.minibatch=200",
    "apg.epochs=1",
    "train.updates=2",
    "train.seeds=[0,1]",
    "evaluate.episodes=16",
    "reproduce.p_max_dbm=[0,40]",
    "reproduce.checkpoint_every=1",
];

fn reproduce_args<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = with_sets(
        &["reproduce", "spiking-ac", "--scale", "smoke", "--device", "cpu", "--out", text(out)],
        SMALL,
    );
    args.extend(more);
    args
}

/// The rows a reproduction leaves. Without the feature `report` they lie in one JSON file beside the manifest, whose
/// wall-clock time is left out.
fn reproduced_rows(out: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |f: &str| std::fs::read(out.join(f)).unwrap_or_else(|e| panic!("{f}: {e}"));
    let mut rows: Vec<(String, Vec<u8>)> =
        ["training/ppo/curves.jsonl", "training/ppo/checkpoint.safetensors"]
            .map(|f| (f.to_string(), read(f)))
            .into();
    if cfg!(feature = "report") {
        let tables =
            ["curves.parquet", "evals.parquet", "slots.parquet", "energy.parquet", "activity.parquet"];
        rows.extend(tables.map(|f| (f.to_string(), read(f))));
    } else {
        let all: Value = serde_json::from_slice(&read("rows.json")).unwrap();
        for table in ["curves", "evals", "slots", "energy", "activity"] {
            assert!(!all[table].as_array().unwrap().is_empty(), "no {table}");
            rows.push((table.into(), all[table].to_string().into_bytes()));
        }
    }
    rows
}

#[test]
fn a_killed_reproduction_continues_to_the_same_rows() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let longer = ["--set", "train.updates=60", "--set", "ppo.envs=32"];
    let o = ok(isacbench(&reproduce_args(whole.path(), &longer)));
    assert!(stdout(&o).contains(text(whole.path())), "{}", stdout(&o));
    let saved = cut.path().join("training/ppo/checkpoint.safetensors");
    kill_when(&reproduce_args(cut.path(), &longer), &saved);
    assert!(Checkpoint::<V2xConfig>::load(&saved).unwrap().state.updates < 60);
    ok(isacbench(&reproduce_args(cut.path(), &[&longer[..], &["--resume"]].concat())));
    for ((name, x), (_, y)) in reproduced_rows(whole.path()).iter().zip(&reproduced_rows(cut.path())) {
        assert!(x == y, "{name} differs after an interruption");
    }
    is_error(&isacbench(&reproduce_args(cut.path(), &["--resume"])), &["checkpoint.safetensors", "ppo.envs"]);
}

#[test]
fn a_reproduction_covers_every_agent_and_power() {
    let out = tempfile::tempdir().unwrap();
    ok(isacbench(&reproduce_args(out.path(), &[])));
    reproduced_rows(out.path());
    if cfg!(feature = "report") {
        assert!(out.path().join("manifest.json").exists());
        let replay = std::fs::read_to_string(out.path().join("replay.html")).unwrap();
        for agent in ["spiking-ac", "last-estimate", "genie"] {
            assert!(replay.contains(&format!("\"agent\":\"{agent}\"")), "{agent}");
        }
        let report = std::fs::read_to_string(out.path().join("report.html")).unwrap();
        assert!(report.contains("<a href=\"replay.html\">"));
    } else {
        let all: Value =
            serde_json::from_slice(&std::fs::read(out.path().join("rows.json")).unwrap()).unwrap();
        let evals = all["evals"].as_array().unwrap();
        for agent in isacbench::tasks::v2x::agents::AGENTS {
            for p in [0.0, 40.0] {
                for seed in [0, 1] {
                    let found = |e: &&Value| {
                        e["key"]["agent"] == agent.id
                            && e["key"]["at"] == p
                            && e["key"]["seed"] == seed
                            && e["metric"] == "sum_rate_bps_hz"
                    };
                    assert_eq!(
                        evals.iter().filter(found).count(),
                        1,
                        "{} at {p} dBm with seed {seed}",
                        agent.id
                    );
                }
            }
        }
        let learned = isacbench::tasks::v2x::agents::AGENTS.iter().filter(|a| a.is_learned()).count();
        assert_eq!(all["curves"].as_array().unwrap().len(), learned * 2 * 2 * 2);
        assert_eq!(all["manifest"]["seeds"], serde_json::json!([0, 1]));
    }

    // The checkpoint holds both powers; one is picked by its key.
    let checkpoint = out.path().join("training/ppo/checkpoint.safetensors");
    let base = ["evaluate", "--agent", "ppo", "--checkpoint", text(&checkpoint), "--device", "cpu", "--json"];
    is_error(&isacbench(&base), &["task.p_max_dbm", "0.0, 40.0"]);
    is_error(
        &isacbench(&[&base[..], &["--set", "task.p_max_dbm=20"]].concat()),
        &["task.p_max_dbm", "0.0, 40.0"],
    );
    let at = |p: &str| object(isacbench(&[&base[..], &["--set", p]].concat()));
    let (low, high) = (at("task.p_max_dbm=0"), at("task.p_max_dbm = 40"));
    assert_eq!((low["replicas"].as_u64(), low["episodes"].as_u64()), (Some(2), Some(32)));
    assert!(interval(&low, "sum_rate_bps_hz").0 + 0.5 < interval(&high, "sum_rate_bps_hz").0);
}

fn experiment_args<'a>(name: &'a str, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut args =
        with_sets(&["reproduce", name, "--scale", "smoke", "--device", "cpu", "--out", text(out)], SMALL);
    args.extend(["--set", "reproduce.p_max_dbm=[40]"]);
    args.extend(more);
    args
}

/// The bytes of every file in `out` that must not depend on when or how often a job was begun.
fn stable_files(out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(out)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "parquet" || e == "svg"))
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn experiments_lie_between_the_scale_and_the_users_keys() {
    use isacbench::config::Layered;
    use isacbench::run::task::Task;
    use isacbench::tasks::v2x::config::experiments;
    use isacbench::tasks::v2x::physics::Beam;
    let load = |name: &str, scale: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        V2xConfig::load_experiment(name, scale, None, &sets)
    };
    let config = load("rate-penalty", "quick", &[]).unwrap();
    let e = config.experiment.as_ref().unwrap();
    assert_eq!((config.task.beam, config.reproduce.p_max_dbm.as_slice()), (Beam::Tracking, &[40.0][..]));
    assert!(e.rate_penalties.len() > 3 && e.rate_penalties[0] == 0.0 && e.beams.is_empty());
    // The sizes of a scale are its own: seeds from the scale, updates from the experiment at that scale.
    assert_eq!(config.train.seeds, load("spiking-ac", "quick", &[]).unwrap().train.seeds);
    assert!(config.train.updates < load("spiking-ac", "quick", &[]).unwrap().train.updates);
    assert_eq!(load("rate-penalty", "full", &[]).unwrap().train.seeds.len(), 32);
    let smoke = load("rate-penalty", "smoke", &[]).unwrap();
    assert!(smoke.experiment.unwrap().rate_penalties.len() < e.rate_penalties.len());
    let own = ["experiment.rate_penalties=[0, 0.5]", "task.beam=angles", "train.updates=7"];
    let mine = load("rate-penalty", "smoke", &own).unwrap();
    assert_eq!(mine.experiment.as_ref().unwrap().rate_penalties, [0.0, 0.5]);
    assert_eq!((mine.task.beam, mine.train.updates), (Beam::Angles, 7));
    assert_eq!(V2xConfig::from_toml(&mine.to_toml(), "written").unwrap(), mine);

    let runs = mine.runs();
    let names: Vec<String> = runs.iter().map(|r| r.folder.display().to_string()).collect();
    assert_eq!(names[..3], ["spiking-ac/rate_penalty=0", "spiking-ac/rate_penalty=0.5", "ppo"]);
    assert_eq!((runs[1].variant.as_str(), runs[1].config.spiking.rate_penalty), ("rate_penalty=0.5", 0.5));
    assert!(runs.iter().all(|r| r.config.experiment.is_none()) && runs.len() == 3 + 11);

    // Every variant is a run with what it sets, in a folder of its own; dense ones are evaluated in other precisions
    // too, with the same weights.
    let own = [
        "experiment.variants={spiking-apg=['spiking.hidden=[8] spiking.steps=2'], apg=['ppo.hidden=[4]', 'ppo.hidden=[5]']}",
    ];
    let front = load("front", "smoke", &own).unwrap();
    assert_eq!(V2xConfig::from_toml(&front.to_toml(), "written").unwrap(), front);
    let runs = front.runs();
    let learned: Vec<_> = runs.iter().filter(|r| r.agent.is_learned()).collect();
    let named = |id: &str| learned.iter().filter(|r| r.agent.id == id).copied().collect::<Vec<_>>();
    let (spiking, dense) = (named("spiking-apg"), named("apg"));
    assert_eq!((spiking.len(), dense.len(), runs.len()), (1, 2, 3 + 11));
    assert_eq!((&spiking[0].config.spiking.hidden[..], spiking[0].config.spiking.steps), (&[8][..], 2));
    assert!(spiking[0].precisions.is_empty() && spiking[0].variant == "spiking.hidden=[8] spiking.steps=2");
    assert_eq!(dense[1].config.ppo.hidden, [5]);
    assert_eq!(dense[1].in_precision(dense[1].precisions[0]), "ppo.hidden=[5] int8");
    assert_ne!(dense[0].folder, dense[1].folder);
    for (bad, key) in [
        ("experiment.variants={ppo=['ppo.hidden=[4]']}", "experiment.variants.ppo"),
        ("experiment.variants={apg=['ppo.hiden=[4]']}", "hiden"),
        ("experiment.variants={apg=['ppo.hidden=[0]']}", "ppo.hidden"),
        ("experiment.variants={apg=['ppo.envs=8', 'ppo.envs=8']}", "twice"),
        ("experiment.variants={apg=[]}", "no variant is listed"),
        ("experiment.precisions=['int8', 'int8']", "twice"),
        ("experiment.precisions=['int4']", "int4"),
    ] {
        let error = load("front", "smoke", &[bad]).unwrap_err().to_string();
        assert!(error.contains(key), "{bad}: {error}");
    }
    let beams = load("beams", "quick", &[]).unwrap().runs();
    assert_eq!(beams.len(), 6 * 4 + 11);
    assert_eq!(
        (beams[1].folder.to_str().unwrap(), beams[1].config.task.beam),
        ("spiking-ac/tracking", Beam::Tracking)
    );
    let mut folders: Vec<_> = beams.iter().map(|r| &r.folder).collect();
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), beams.len());

    for scale in ["smoke", "quick", "study", "full"] {
        for name in experiments() {
            load(name, scale, &[]).unwrap_or_else(|e| panic!("{name} at {scale}: {e}"));
        }
    }
    assert!(load("spiking-ac", "smoke", &[]).unwrap().experiment.is_none());
}

#[test]
fn wrong_experiments_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    is_error(
        &isacbench(&experiment_args("nonsense", &out, &[])),
        &["no experiment 'nonsense' (there are: spiking-ac, rate-penalty, front, beams"],
    );
    for (name, set, words) in [
        ("rate-penalty", "experiment.rate_penalties=[0,-1]", ["experiment.rate_penalties", "-1"]),
        ("rate-penalty", "experiment.rate_penalties=[0.5,0.5]", ["experiment.rate_penalties", "twice"]),
        ("rate-penalty", "experiment.agents=[\"ekf\"]", ["experiment.agents", "ekf"]),
        (
            "beams",
            "experiment.beams=[\"steer\"]",
            ["experiment.beams", "expected one of `angles`, `tracking`"],
        ),
        ("beams", "experiment.beams=[\"direct\"]", ["experiment.beams", "angles, tracking, matrix"]),
        ("beams", "experiment.nonsense=1", ["experiment", "nonsense"]),
        ("spiking-ac", "experiment.beams=[\"angles\"]", ["experiment", "rate-penalty, front, beams"]),
    ] {
        is_error(&isacbench(&experiment_args(name, &out, &["--set", set])), &words);
    }
    assert!(!out.exists());
}

#[test]
fn experiments_run_and_continue_with_more_of_what_they_vary() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let more = ["--set", "experiment.rate_penalties=[0,0.3]"];
    ok(isacbench(&experiment_args("rate-penalty", one.path(), &more)));
    ok(isacbench(&experiment_args(
        "rate-penalty",
        two.path(),
        &["--set", "experiment.rate_penalties=[0.3]"],
    )));
    let o = ok(isacbench(&experiment_args("rate-penalty", two.path(), &[&more[..], &["--resume"]].concat())));
    assert!(stdout(&o).contains(text(two.path())), "{}", stdout(&o));
    let saved = |dir: &Path, f: &str| {
        Checkpoint::<V2xConfig>::load(&dir.join("training").join(f).join("checkpoint.safetensors")).unwrap()
    };
    let (none, some) =
        (saved(one.path(), "spiking-ac/rate_penalty=0"), saved(one.path(), "spiking-ac/rate_penalty=0.3"));
    assert!(none.state.params != some.state.params, "the penalty changes nothing");
    assert_eq!((none.config.spiking.rate_penalty, some.config.spiking.rate_penalty), (0.0, 0.3));
    assert_eq!(saved(one.path(), "ppo").agent, "ppo");
    assert_eq!(stable_files(one.path()), stable_files(two.path()));
    if cfg!(feature = "report") {
        let page = std::fs::read_to_string(one.path().join("report.md")).unwrap();
        assert!(page.contains("| `spiking-ac` | 0.3 |") && page.contains("](front-paper.svg)"), "{page}");
    }

    let beams = tempfile::tempdir().unwrap();
    ok(isacbench(&experiment_args("beams", beams.path(), &["--set", "ppo.envs=4"])));
    for agent in ["spiking-ac", "ppo", "ddpg", "dqn", "apg", "spiking-apg"] {
        for beam in ["angles", "tracking", "matrix", "zf"] {
            let c = saved(beams.path(), &format!("{agent}/{beam}"));
            assert_eq!(
                (c.agent.as_str(), format!("{:?}", c.config.task.beam).to_lowercase().as_str()),
                (agent, beam)
            );
        }
    }
    if cfg!(feature = "report") {
        let page = std::fs::read_to_string(beams.path().join("report.md")).unwrap();
        assert!(page.contains("| `dqn` | `matrix` |") && page.contains("](beams.svg)"), "{page}");
    } else {
        assert!(beams.path().join("rows.json").exists());
    }
}

/// Two tasks, one word: a page for each, with every reading, and what was done is found again.
#[test]
fn readings_of_both_papers_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("readings");
    let small = dir.path().join("small.toml");
    let choices = "[readings]\ndraws = 3\n[train]\nupdates = 1\n[evaluate]\nepisodes = 16\n";
    std::fs::write(&small, choices).unwrap();
    let args = ["reproduce", "readings", "--device", "cpu", "--config", text(&small), "--out", text(&out)];
    ok(isacbench(&args));
    let page = |task: &str| std::fs::read_to_string(out.join(task).join("report.md")).unwrap();
    for (task, claims) in [("v2x", 29), ("misac", 25)] {
        let text = page(task);
        assert!(text.contains(&format!("readings of {claims} claims")), "{task}: {text}");
        assert!(text.contains("Random readings: 3") && text.contains("greedy=false"), "{task}");
        assert!(out.join(task).join("readings.svg").is_file());
        // Every claim has a verdict in every reading.
        let rows = text.lines().filter(|l| l.starts_with("| ") && l.matches(" | ").count() > 8);
        assert!(rows.clone().count() > claims, "{task}");
    }
    let before = [page("v2x"), page("misac")];
    let again = isacbench(&[&args[..], &["--resume"]].concat());
    ok(again);
    let table =
        |text: &str| text.lines().filter(|l| l.starts_with("| ")).map(String::from).collect::<Vec<_>>();
    let same = |a: &str, b: &str| {
        // The manifest's table tells when it was run.
        let end = |t: &str| table(t.split("## How the numbers").next().unwrap());
        end(a) == end(b)
    };
    assert!(same(&before[0], &page("v2x")) && same(&before[1], &page("misac")));
    let sets = |set: &str| {
        isacbench(&["reproduce", "readings", "--task", "v2x", "--device", "cpu", "--set", set, "--out", "x"])
    };
    is_error(&sets("readings.choices={a=['task.vehicles=0']}"), &["readings.choices.a", "vehicles"]);
    is_error(&sets("readings.draws=-1"), &["readings.draws"]);
    is_error(&isacbench(&["reproduce", "readings", "--task", "uav"]), &["uav", "v2x", "misac"]);
    is_error(
        &isacbench(&[
            "reproduce",
            "spiking-ac",
            "--device",
            "cpu",
            "--set",
            "readings.draws=1",
            "--out",
            "x",
        ]),
        &["readings", "is for experiments"],
    );
}

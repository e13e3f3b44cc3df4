//! `isacbench check`: what it compares, what it says of files that are not ours, and a second implementation of Vulkan.

use crate::child::{is_error, isacbench, object, ok, program, stderr, stdout, text};
use std::path::Path;
use std::time::Instant;

/// Chromium's software Vulkan, where the package is installed.
const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

#[test]
fn kernels_agree_on_a_second_implementation() {
    if !Path::new(SWIFTSHADER).exists() {
        eprintln!("SKIPPED: no SwiftShader here ({SWIFTSHADER}; Debian's package chromium has it)");
        return;
    }
    let clock = Instant::now();
    let out = program(&["check", "--device", "gpu", "--json"])
        .env("VK_DRIVER_FILES", SWIFTSHADER)
        .env_remove("VK_ICD_FILENAMES")
        .output()
        .unwrap();
    let v = object(out);
    assert!(v["device"].as_str().unwrap().contains("SwiftShader"), "{}", v["device"]);
    assert_eq!(v["failures"], 0);
    let kernels = v["kernels"].as_array().unwrap();
    let bits = |k: &&serde_json::Value| {
        k["comparison"]["quantity"].as_str().is_some_and(|q| q.contains("bits of the f32 twin"))
    };
    assert_eq!(kernels.iter().filter(bits).count(), 0, "bits are not promised there");
    println!("{}: {} comparisons in {:.0?}", v["device"], v["comparisons"], clock.elapsed());
    assert!(v["comparisons"].as_u64().unwrap() > 400, "{}", v["comparisons"]);
}

/// A safetensors file with one f32 tensor of this name.
fn foreign(path: &Path, tensor: &str) {
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    safetensors::serialize_to_file([(tensor, view)], None, path).unwrap();
}

#[test]
fn nothing_compared_is_not_success() {
    let dir = tempfile::tempdir().unwrap();
    foreign(&dir.path().join("mine.safetensors"), "x");
    let out = isacbench(&["check", "--device", "cpu", "--golden", text(dir.path())]);
    is_error(&out, &["nothing in", text(dir.path())]);
    assert!(
        stdout(&out).contains("0 comparisons, 0 failed") && stdout(&out).contains("skipped"),
        "{}",
        stdout(&out)
    );
}

#[test]
fn one_bad_file_hides_no_other() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let dir = tempfile::tempdir().unwrap();
    for file in ["adam.safetensors", "polyak.safetensors", "GOLDEN.md"] {
        std::fs::copy(golden.join(file), dir.path().join(file)).unwrap();
    }
    let args = ["check", "--device", "cpu", "--golden", text(dir.path())];
    let whole = stdout(&ok(isacbench(&args)));
    foreign(&dir.path().join("gae.safetensors"), "a_name_of_theirs");
    let out = isacbench(&args);
    is_error(&out, &["1 file"]);
    let printed = stdout(&out);
    assert!(
        printed.contains("gae") && printed.contains("FAILED") && printed.contains("'reward' is missing"),
        "{printed}"
    );
    for line in whole.lines() {
        assert!(printed.contains(line), "'{line}' is not in:\n{printed}");
    }
    let json = isacbench(&[&args[..], &["--json"]].concat());
    assert_eq!(json.status.code(), Some(1));
    let v: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    let bad: Vec<_> = v["golden"].as_array().unwrap().iter().filter(|g| g["passed"] == false).collect();
    assert_eq!((bad.len(), &bad[0]["file"], &v["bad_files"]), (1, &"gae".into(), &1.into()), "{v}");
}

#[test]
fn composed_shaders_need_no_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let out = ok(isacbench(&["check", "--device", "cpu", "--dump-wgsl", text(dir.path())]));
    assert!(dir.path().join("gae.wgsl").exists() && stderr(&out).contains("written to"), "{}", stderr(&out));
    assert!(!stdout(&out).contains("comparisons"), "none was asked for: {}", stdout(&out));
    // The same where there is none and nobody named one; who names one, or asks for comparisons, wants it.
    let lone = |more: &[&str]| {
        let args = [&["check", "--dump-wgsl", text(dir.path())], more].concat();
        let nowhere = "/nonexistent.json";
        program(&args).env("VK_ICD_FILENAMES", nowhere).env("VK_DRIVER_FILES", nowhere).output().unwrap()
    };
    let out = ok(lone(&[]));
    assert!(stdout(&out).contains("no Vulkan adapter") && stderr(&out).contains("written to"));
    let v: serde_json::Value = serde_json::from_str(&stdout(&ok(lone(&["--json"])))).unwrap();
    assert_eq!(v["comparisons"], 0);
    is_error(&lone(&["--device", "gpu"]), &["no Vulkan adapter"]);
    is_error(&lone(&["--golden", "tests/golden"]), &["no Vulkan adapter"]);
}

#[test]
fn no_command_starts_a_hundred_thousand_threads() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("none.toml");
    for args in [
        &["devices"][..],
        &["check", "--device", "cpu", "--dump-wgsl", text(dir.path())],
        &["evaluate", "--agent", "ekf", "--device", "cpu", "--episodes", "1"],
        &["train", "--agent", "ppo", "--device", "cpu", "--out", text(&dir.path().join("out"))],
        &["sweep", text(&config), "--dry-run"],
    ] {
        for (key, value) in [
            ("RAYON_NUM_THREADS", "100000"),
            ("RAYON_NUM_THREADS", "18446744073709551616"),
            ("RAYON_NUM_THREADS", "-1"),
            ("RAYON_RS_NUM_CPUS", "100000"),
            ("POLARS_MAX_THREADS", "many"),
        ] {
            let out = program(args).env(key, value).output().unwrap();
            is_error(&out, &[key, value]);
        }
    }
    assert!(!dir.path().join("out").exists());
    // What can be started is.
    for value in ["", "1", "3", "0"] {
        ok(program(&["devices"]).env("RAYON_NUM_THREADS", value).output().unwrap());
    }
}

#[test]
fn one_episode_has_no_interval() {
    let args = ["evaluate", "--agent", "ekf", "--device", "cpu", "--episodes", "1"];
    let printed = stdout(&ok(isacbench(&args)));
    assert!(
        printed.contains("angle_rmse_rad") && !printed.contains("interval [") && !printed.contains("NaN"),
        "{printed}"
    );
    let v = object(isacbench(&[&args[..], &["--json"]].concat()));
    for (name, m) in v["metrics"].as_object().unwrap() {
        assert!(m["mean"].is_number() && m["ci95"] == serde_json::json!([null, null]), "{name}: {m}");
    }
}

#[test]
fn an_optimum_that_is_not_found_is_an_error() {
    let evaluate = |sets: &[&str]| {
        let fixed =
            ["evaluate", "--task", "misac", "--agent", "dp-optimal", "--device", "cpu", "--episodes", "2"];
        isacbench(&crate::child::with_sets(&fixed, sets))
    };
    let small = ["task.vehicles=2", "task.slots=10"];
    is_error(
        &evaluate(&[&small[..], &["task.lambda_misa_j=1e20"]].concat()),
        &["task.lambda_misa_j", "1e20", "1000000"],
    );
    // Values that are 18 orders of magnitude apart are rounded by more than the least cost.
    let apart = ["task.lambda_misa_j=1e6", "task.e_vis_j=1e-12", "task.e_recovery_j=1e-12"];
    is_error(
        &evaluate(&[&small[..], &apart].concat()),
        &["dp-optimal", "is not found", "task.lambda_misa_j"],
    );
    ok(evaluate(&small));
}

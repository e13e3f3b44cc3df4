//! The program as a child process, and what its output must be.
#![allow(dead_code, reason = "each test binary uses a part")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn program(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_isacbench"));
    // As on a machine without a desktop; the user's own choices of adapters must not decide over these tests.
    c.args(args)
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("NODEVICE_SELECT")
        .env_remove("MESA_VK_DEVICE_SELECT")
        .env_remove("DRI_PRIME");
    c.stdin(Stdio::null());
    c
}

pub fn isacbench(args: &[&str]) -> Output {
    program(args).output().unwrap()
}

pub fn stdout(o: &Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

pub fn stderr(o: &Output) -> String {
    String::from_utf8(o.stderr.clone()).unwrap()
}

pub fn ok(o: Output) -> Output {
    assert!(o.status.success(), "exit {:?}\n{}\n{}", o.status.code(), stdout(&o), stderr(&o));
    o
}

/// The one JSON object a command printed.
pub fn object(o: Output) -> Value {
    let text = stdout(&ok(o));
    let v: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(v.is_object());
    v
}

/// `fixed` followed by `--set` for every key.
pub fn with_sets<'a>(fixed: &[&'a str], sets: &[&'a str]) -> Vec<&'a str> {
    fixed.iter().copied().chain(sets.iter().flat_map(|s| ["--set", *s])).collect()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn is_error(o: &Output, names: &[&str]) {
    let err = stderr(o);
    assert_eq!(o.status.code(), Some(1), "{err}");
    assert!(!err.contains("panicked"), "{err}");
    let lines: Vec<&str> = err.lines().filter(|l| !l.starts_with("device: ")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: "), "not one line of error: {err}");
    for name in names {
        assert!(lines[0].contains(name), "'{name}' is not in: {err}");
    }
}

pub fn interval(v: &Value, metric: &str) -> (f64, [f64; 2]) {
    let m = &v["metrics"][metric];
    let get = |x: &Value| x.as_f64().unwrap_or_else(|| panic!("{metric}: {m}"));
    (get(&m["mean"]), [get(&m["ci95"][0]), get(&m["ci95"][1])])
}

/// Starts a job, waits until `appears` exists, and kills it.
pub fn kill_when(args: &[&str], appears: &Path) {
    let mut child = program(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !appears.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "no {} after 120 s", appears.display());
        assert!(child.try_wait().unwrap().is_none(), "the job ended before it wrote {}", appears.display());
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert!(
        !child.wait().unwrap().success(),
        "the job was done before it could be interrupted: make it longer"
    );
}

//! Where nobody listens, where a disk is full, and names that are not UTF-8: no panic, no lost work.

use crate::child::*;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Output, Stdio};

const TINY: &[&str] = &[
    "train.seeds=[0]",
    "train.updates=2",
    "task.slots=10",
    "ppo.horizon=10",
    "ppo.envs=8",
    "ppo.minibatch=40",
    "ppo.hidden=[8]",
    "spiking.hidden=[]",
];

const EVALUATE: [&str; 7] = ["evaluate", "--agent", "ekf", "--episodes", "4", "--device", "cpu"];

fn training(out: &str) -> Vec<&str> {
    with_sets(&["train", "--device", "cpu", "--out", out], TINY)
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk without room.
fn full() -> Option<Stdio> {
    let file: std::io::Result<File> = OpenOptions::new().write(true).open("/dev/full");
    if file.is_err() {
        eprintln!("SKIPPED: no /dev/full");
    }
    file.ok().map(Into::into)
}

fn run(args: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    program(args).stdout(stdout).stderr(stderr).spawn().unwrap().wait_with_output().unwrap()
}

/// Neither where the work runs nor how far it is.
fn is_remarkable(line: &&str) -> bool {
    !line.starts_with("device: ") && !line.contains(": done in ")
}

/// Ends with the one line that says why, behind whatever was told of the work.
fn says_why(o: &Output) {
    let err = stderr(o);
    let lines: Vec<&str> = err.lines().filter(is_remarkable).collect();
    assert_eq!(o.status.code(), Some(1), "{err}");
    assert!(
        lines.len() == 1 && lines[0].starts_with("error: cannot write to standard output: No space left"),
        "{err}"
    );
}

/// All commands that print a result at once.
fn printing() -> Vec<Vec<&'static str>> {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/physics");
    let mut all = vec![
        vec!["--help"],
        vec!["--version"],
        vec!["help", "train"],
        vec!["train", "--help"],
        vec!["devices"],
        vec!["devices", "--json"],
        EVALUATE.to_vec(),
        [&EVALUATE[..], &["--json"]].concat(),
    ];
    if Path::new(golden).exists() {
        all.push(vec!["check", "--device", "cpu", "--golden", golden]);
    }
    all
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for args in printing() {
        let o = run(&args, closed(), Stdio::piped());
        let err = stderr(&o);
        assert!(o.status.success(), "{args:?}: {:?} {err}", o.status);
        assert_eq!(err.lines().find(is_remarkable), None, "{args:?}");
        ok(run(&args, closed(), closed()));
    }
}

#[test]
fn a_full_disk_is_an_error_in_one_line() {
    for args in printing() {
        let Some(disk) = full() else { return };
        says_why(&run(&args, disk, Stdio::piped()));
    }
    // Where the error itself cannot be told, the exit status tells.
    let o = run(&EVALUATE, full().unwrap(), full().unwrap());
    assert_eq!(o.status.code(), Some(1));
    let o = run(&["evaluate", "--agent", "nobody"], Stdio::piped(), full().unwrap());
    assert_eq!((o.status.code(), stdout(&o)), (Some(1), String::new()));
    let o = run(&["evaluate", "--nonsense"], Stdio::piped(), full().unwrap());
    assert_eq!(o.status.code(), Some(2));
}

#[test]
fn training_needs_no_listener() {
    let dir = tempfile::tempdir().unwrap();
    let there = |name: &str| dir.path().join(name).join("checkpoint.safetensors");
    let heard = dir.path().join("heard");
    ok(isacbench(&training(text(&heard))));
    let want = std::fs::read(there("heard")).unwrap();
    let unheard = dir.path().join("unheard");
    ok(run(&training(text(&unheard)), closed(), closed()));
    assert!(std::fs::read(there("unheard")).unwrap() == want);
    let Some(disk) = full() else { return };
    let no_room = dir.path().join("no-room");
    ok(run(&training(text(&no_room)), Stdio::piped(), disk));
    assert!(std::fs::read(there("no-room")).unwrap() == want);
    // The result could not be printed, but it is there.
    let unprinted = dir.path().join("unprinted");
    says_why(&run(&training(text(&unprinted)), full().unwrap(), Stdio::piped()));
    assert!(std::fs::read(there("unprinted")).unwrap() == want);
}

#[cfg(unix)]
#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let name = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_os_string();
    let dir = tempfile::tempdir().unwrap();
    let trained = dir.path().join(name(b"tr\xffained"));
    if std::fs::create_dir(&trained).is_err() {
        return eprintln!("SKIPPED: this file system takes only UTF-8");
    }
    let mut train = program(&with_sets(&["train", "--device", "cpu"], TINY));
    ok(train.arg("--out").arg(&trained).output().unwrap());
    let manifest = std::fs::read_to_string(trained.join("manifest.json")).unwrap();
    assert!(manifest.contains("tr\u{fffd}ained"), "{manifest}");
    let mut evaluate = program(&["evaluate", "--agent", "ppo", "--device", "cpu", "--episodes", "4"]);
    ok(evaluate.arg("--checkpoint").arg(trained.join("checkpoint.safetensors")).output().unwrap());

    let config = dir.path().join(name(b"mine\xfe.toml"));
    std::fs::write(&config, "[task]\np_max_dbm = 10\n").unwrap();
    let mut evaluate = program(&EVALUATE);
    ok(evaluate.arg("--config").arg(&config).output().unwrap());
    // What must be text says so.
    let o = program(&["evaluate", "--agent"]).arg(name(b"\xff")).output().unwrap();
    assert_eq!(o.status.code(), Some(2));
    assert!(stderr(&o).contains("UTF-8"), "{}", stderr(&o));

    let mut dump = program(&["check", "--device", "cpu", "--dump-wgsl"]);
    ok(dump.arg(dir.path().join(name(b"wgsl\xff"))).output().unwrap());
    if cfg!(feature = "report") {
        let file = dir.path().join(name(b"sweep-\xff.toml"));
        let text = "task = \"v2x\"\nagents = [\"ekf\"]\nseeds = [0]\n[config]\nevaluate.episodes = 4\n[grid]\ntask.p_max_dbm = [10, 20]\n";
        std::fs::write(&file, text).unwrap();
        let (data, whole) = (dir.path().join(name(b"data\xff")), dir.path().join(name(b"whole\xff")));
        ok(program(&["sweep", "--device", "cpu"]).arg(&file).arg("--out").arg(&data).output().unwrap());
        ok(program(&["merge"]).arg(&data).arg("--out").arg(&whole).output().unwrap());
        ok(program(&["report"]).arg(&whole).output().unwrap());
        assert!(whole.join("report/report.md").exists());
    }
}

//! `isacbench sweep`, `merge` and `report` as their user meets them, and what can go wrong: kills, signals, two
//! processes, full and read-only disks, damaged files. Whatever happens, a sweep that is continued ends with the same
//! files.
#![cfg(feature = "report")]

use crate::child::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const V2X: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sweep-v2x-tiny.toml");
const MISAC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/sweep-misac-tiny.toml");

fn sweep_args<'a>(file: &'a str, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", file, "--device", "cpu", "--out", text(out)], more].concat()
}

fn sweep(file: &str, out: &Path, more: &[&str]) -> Output {
    isacbench(&sweep_args(file, out, more))
}

/// Files below `dir/data`, with their bytes.
fn data(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for e in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if e.path().is_dir() {
                walk(root, &e.path(), out);
            } else if let Ok(bytes) = std::fs::read(e.path()) {
                // What a running sweep writes is renamed under a reader's eyes.
                out.insert(e.path().strip_prefix(root).unwrap().into(), bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(&dir.join("data"), &dir.join("data"), &mut out);
    out
}

/// The undisturbed sweep that the tests share.
fn whole() -> &'static Path {
    static MADE: std::sync::OnceLock<TempDir> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let o = ok(sweep(V2X, &dir.path().join("all"), &[]));
        assert!(
            stdout(&o).contains("27 points in ") && stdout(&o).contains("(27 now, 0 before)"),
            "{}",
            stdout(&o)
        );
        assert!(stderr(&o).contains("27 of 27 points") && stderr(&o).contains("left"), "{}", stderr(&o));
        dir
    })
    .path()
}

fn expected() -> BTreeMap<PathBuf, Vec<u8>> {
    let d = data(&whole().join("all"));
    assert_eq!(d.len(), 27);
    d
}

/// A sweep file with something changed.
fn file(dir: &Path, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(V2X).unwrap();
    assert!(text.contains(from));
    let path = dir.join("changed.toml");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    path
}

#[test]
fn every_sweep_command_has_help_with_an_example() {
    for command in ["sweep", "merge", "report"] {
        let help = stdout(&ok(isacbench(&[command, "--help"])));
        assert!(help.contains(&format!("Example: isacbench {command}")), "{help}");
    }
}

#[test]
fn shipped_sweeps_are_planned_whole() {
    let shipped = [
        ("sweep-v2x", 40, "of 32 seeds"),
        ("sweep-v2x-quick", 40, "of 5 seeds"),
        ("sweep-misac", 20, "of 32 seeds"),
        ("sweep-misac-quick", 20, "of 5 seeds"),
    ];
    for (name, points, says) in shipped {
        // Planned, not measured: the folder is refused before anything runs.
        let file = format!("{}/configs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let o = sweep(&file, Path::new("/proc/nothing/here"), &[]);
        assert!(
            stdout(&o).contains(&format!("{points} points")) && stdout(&o).contains(says),
            "{}",
            stdout(&o)
        );
        is_error(&o, &["/proc/nothing/here"]);
    }
}

#[test]
fn a_dry_run_says_what_is_to_come_and_writes_nothing() {
    for (file, agents) in [(V2X, "spiking-ac"), (MISAC, "homogeneous-moe")] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let o = ok(sweep(file, &out, &["--dry-run", "--shard", "1/2"]));
        let said = stdout(&o);
        for says in [agents, "in shard 1/2", "batches, about", "measured here in", "replicas at once"] {
            assert!(said.contains(says), "'{says}' is not in: {said}");
        }
        assert!(!out.exists());
    }
}

#[test]
fn shards_merge_into_the_same_dataset_and_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for index in ["1", "2", "3"] {
        ok(sweep(V2X, &at(index), &["--shard", &format!("{index}/3"), "--replicas", "7"]));
    }
    let (one, two, three, out) = (at("1"), at("2"), at("3"), at("merged"));
    is_error(
        &isacbench(&["merge", text(&one), text(&three), "--out", text(&out)]),
        &["9 of 27 points are missing"],
    );
    let o = ok(isacbench(&["merge", text(&three), text(&one), text(&two), "--out", text(&out)]));
    assert!(stdout(&o).contains("27 points") && stdout(&o).contains("none missing"), "{}", stdout(&o));
    assert_eq!(data(&out), expected());

    let page = |more: &[&str]| {
        let o = ok(isacbench(&[&["report", text(&out)], more].concat()));
        assert!(stdout(&o).contains("report.md"));
        std::fs::read_to_string(out.join("report/report.md")).unwrap()
    };
    let all = page(&[]);
    assert_eq!(all.lines().filter(|l| l.contains("| 2 | 0 |")).count(), 27, "{all}");
    assert!(all.contains("| spiking-ac | angles | 40 | 2 | 0 |") && all.contains("IQM (95 %)"), "{all}");
    assert!(all.contains("sum_rate_bps_hz-2.svg") && out.join("report/sum_rate_bps_hz-2.svg").exists());
    let few = page(&[
        "--metric",
        "jain",
        "--where",
        "agent=ekf",
        "--where",
        "task.p_max_dbm=20",
        "--by",
        "task.beam",
    ]);
    // A Kalman filter has no beams to parameterise.
    assert_eq!(few.lines().filter(|l| l.starts_with("| - | 2 | 0 |")).count(), 1, "{few}");
    let (table, claims) = few.split_once("## Claims of the paper").unwrap();
    assert_eq!(table.lines().filter(|l| l.starts_with("| ")).count(), 2, "{few}");
    // The others were not asked for.
    let line = claims.lines().find(|l| l.contains("tracking by an extended Kalman filter")).unwrap();
    assert!(line.contains("not judged: needs `spiking-ac` |"), "{line}");
    let pooled = page(&["--by", "agent", "--metric", "reward", "--metric", "jain"]);
    assert_eq!(pooled.lines().filter(|l| l.contains("| 12 | 0 |")).count(), 8, "{pooled}");
    assert_eq!(pooled.lines().filter(|l| l.starts_with("| ekf | 6 | 0 |")).count(), 2, "{pooled}");
    for (more, says) in [
        (&["--metric", "beauty"][..], "sum_rate_bps_hz"),
        (&["--where", "colour=red"], "task.beam"),
        (&["--where", "task.p_max_dbm=red"], "task.p_max_dbm=red"),
        (&["--where", "agent=dqnn"], "no row"),
        (&["--where", "agent"], "COLUMN=VALUE"),
        (&["--by", "mean"], "--by mean"),
        (&["--x", "agent"], "--x agent"),
    ] {
        is_error(&isacbench(&[&["report", text(&out)], more].concat()), &[says]);
    }
    // A damaged part is named, not read.
    let part = out.join("data").join(data(&out).into_keys().next().unwrap());
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let name = part.file_name().unwrap().to_string_lossy().into_owned();
    is_error(&isacbench(&["report", text(&out)]), &[&name, "damaged"]);
    // A resume keeps it and computes the point again.
    let o = ok(sweep(V2X, &out, &["--resume"]));
    assert!(stderr(&o).contains("a part was damaged") && stdout(&o).contains("(1 now, 26 before)"));
    assert_eq!(data(&out), expected());
}

/// What Slurm sets for the tasks of an array that begins at 3.
#[test]
fn the_slurm_script_does_a_shard_per_task_and_goes_on_when_it_is_requeued() {
    let dir = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sweep.slurm");
    let task = |id: &str| {
        let mut c = Command::new("bash");
        c.args([script, V2X, text(dir.path())]).env("ISACBENCH", env!("CARGO_BIN_EXE_isacbench"));
        c.envs([("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_MIN", "3"), ("SLURM_ARRAY_TASK_COUNT", "2")]);
        c
    };
    let mut first = task("3").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let shard = dir.path().join("shard-1");
    let started = Instant::now();
    while parts(&shard) == 0 {
        assert!(started.elapsed() < Duration::from_secs(120) && first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    for id in ["3", "4"] {
        let o = ok(task(id).output().unwrap());
        assert!(
            stdout(&o).contains(if id == "3" { "14 points in " } else { "13 points in " })
                && (id == "4") == stdout(&o).contains(", 0 before"),
            "{}",
            stdout(&o)
        );
    }
    let (two, all) = (dir.path().join("shard-2"), dir.path().join("all"));
    ok(isacbench(&["merge", text(&shard), text(&two), "--out", text(&all)]));
    assert_eq!(data(&all), expected());
}

#[test]
fn task_misac_is_swept_too() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let o = ok(sweep(MISAC, &out, &[]));
    assert!(stdout(&o).contains("15 points in "), "{}", stdout(&o));
    ok(isacbench(&["report", text(&out), "--metric", "cost_j"]));
    let page = std::fs::read_to_string(out.join("report/report.md")).unwrap();
    assert_eq!(page.lines().filter(|l| l.contains("| 2 | 0 |")).count(), 15, "{page}");
    let claims = page.split("## Claims of the paper").nth(1).unwrap();
    let line = |claim: &str| claims.lines().find(|l| l.contains(claim)).unwrap();
    assert!(line("saves over 40 %").contains("not judged: needs `vision-only`"), "{claims}");
    assert!(line("keep the power limit").contains("| **holds** | by construction |"), "{claims}");
    // The same with one thread.
    let again = dir.path().join("again");
    let one = program(&sweep_args(MISAC, &again, &[])).env("RAYON_NUM_THREADS", "1").output().unwrap();
    ok(one);
    assert_eq!(data(&again), data(&out));
}

#[test]
fn checkpoints_are_evaluated_over_a_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let (trained, out) = (dir.path().join("ppo"), dir.path().join("out"));
    let sets = ["ppo.hidden=[8]", "ppo.envs=8", "ppo.minibatch=400", "train.updates=2", "train.seeds=[3,4]"];
    ok(isacbench(&with_sets(&["train", "--device", "cpu", "--out", text(&trained)], &sets)));
    let checkpoint = trained.join("checkpoint.safetensors");
    let write = |seeds: &str, more: &str| {
        let path = dir.path().join("evaluate.toml");
        let text = format!(
            "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"ppo\", \"genie\"]\nseeds = {seeds}\nconfig = {{ evaluate.episodes = 32{more} }}\n[grid]\ntask.p_max_dbm = [10, 40]\n[checkpoints]\nppo = \"{}\"\n",
            checkpoint.display()
        );
        std::fs::write(&path, text).unwrap();
        path
    };
    let o = ok(sweep(text(&write("[4, 3]", "")), &out, &[]));
    assert!(stdout(&o).contains("4 points in "), "{}", stdout(&o));
    // The replica of a seed is the one that was trained with it.
    let second = dir.path().join("second");
    ok(sweep(text(&write("[4]", "")), &second, &["--replicas", "1"]));
    let rates = |out: &Path| {
        let query = ["report", text(out), "--where", "seed=4", "--where", "agent=ppo"];
        ok(isacbench(&query));
        let page = std::fs::read_to_string(out.join("report/report.md")).unwrap();
        page.lines().filter(|l| l.starts_with("| ppo")).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!((rates(&out), rates(&out).len()), (rates(&second), 2));
    let fails =
        |path: &Path, names: &[&str]| is_error(&sweep(text(path), &dir.path().join("no"), &[]), names);
    fails(&write("[5]", ""), &["checkpoints.ppo", "no replica of seed 5"]);
    fails(&write("[3]", ", ppo.hidden = [9]"), &["checkpoints.ppo", "another value of ppo.hidden"]);
    let path = write("[3]", "");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes[..bytes.len() - 100]).unwrap();
    fails(&path, &["checkpoint.safetensors", "damaged"]);
    std::fs::remove_file(&checkpoint).unwrap();
    fails(&path, &["checkpoint.safetensors"]);
    assert!(!dir.path().join("no").exists());
}

/// The checkpoint's task is 20 dBm and 10 slots, the preset's 40 dBm and 100 slots: `ekf` beside it must give what it
/// gives at 20 dBm and 10 slots.
#[test]
fn agents_beside_a_checkpoint_have_its_task() {
    let dir = tempfile::tempdir().unwrap();
    let small = "task.slots=10 ppo.horizon=10 ppo.envs=8 ppo.minibatch=40 ppo.hidden=[8] spiking.hidden=[] train.updates=1 train.seeds=[0] evaluate.episodes=16";
    let small: Vec<&str> = small.split(' ').collect();
    let trained = |agent: &str, power: &str| {
        let out = dir.path().join(format!("{agent}-{power}"));
        let power = format!("task.p_max_dbm={power}");
        let sets = [&small[..], &[&power, "spiking.steps=2"]].concat();
        let args = ["train", "--agent", agent, "--device", "cpu", "--out", text(&out)];
        ok(isacbench(&with_sets(&args, &sets)));
        out.join("checkpoint.safetensors")
    };
    let (ppo, spiking) = (trained("ppo", "20"), trained("spiking-ac", "30"));
    let write = |name: &str, agents: &str, rest: &str| {
        let path = dir.path().join(name);
        let head = "task = \"v2x\"\nmode = \"evaluate\"\nseeds = [0]\n";
        std::fs::write(&path, format!("{head}agents = [{agents}]\n{rest}")).unwrap();
        path
    };
    let grid = "[grid]\ntask.noise_comm_dbm = [-80, -70]\n";
    let checkpoints = format!("[checkpoints]\nppo = \"{}\"\n", ppo.display());
    let beside = write("beside.toml", "\"ppo\", \"ekf\"", &format!("{grid}{checkpoints}"));
    let own = "[config]\ntask.slots = 10\nppo.horizon = 10\ntask.p_max_dbm = 20\nevaluate.episodes = 16\n";
    let alone = write("alone.toml", "\"ekf\"", &format!("{own}{grid}"));
    let rates = |file: &Path, name: &str| {
        let out = dir.path().join(name);
        ok(sweep(text(file), &out, &[]));
        ok(isacbench(&["report", text(&out)]));
        let page = std::fs::read_to_string(out.join("report/report.md")).unwrap();
        page.lines().filter(|l| l.starts_with("| ekf")).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(rates(&beside, "beside"), rates(&alone, "alone"));
    // Two checkpoints of different tasks are compared at a task that the file names, or not at all.
    let both = format!("{grid}{checkpoints}spiking-ac = \"{}\"\n", spiking.display());
    let differ = write("differ.toml", "\"ppo\", \"spiking-ac\"", &both);
    let no = dir.path().join("no");
    is_error(&sweep(text(&differ), &no, &[]), &["checkpoints.", "task.p_max_dbm", "20.0", "30.0"]);
    let preset =
        write("preset.toml", "\"ppo\"", &format!("config = {{ preset = \"paper\" }}\n{grid}{checkpoints}"));
    is_error(&sweep(text(&preset), &no, &[]), &["preset", "[checkpoints]"]);
    assert!(!no.exists());
    let named = write(
        "named.toml",
        "\"ppo\", \"spiking-ac\"",
        &format!("config = {{ task.p_max_dbm = 20 }}\n{both}"),
    );
    ok(sweep(text(&named), &no, &[]));
}

#[test]
fn another_plan_does_not_continue_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let small = file(dir.path(), "count = 2", "count = 1");
    ok(sweep(text(&small), &out, &[]));
    let before = data(&out);
    is_error(&sweep(text(&small), &out, &[]), &["--resume"]);
    is_error(&sweep(V2X, &out, &["--resume"]), &["plan.json", "1 seeds there and 2 here"]);
    is_error(&sweep(text(&small), &out, &["--resume", "--shard", "1/2"]), &["shard 1/1 there and 1/2 here"]);
    let o = ok(sweep(text(&small), &out, &["--resume"]));
    assert!(stdout(&o).contains("(0 now, 27 before)"), "{}", stdout(&o));
    assert_eq!(data(&out), before);
}

#[test]
fn a_damaged_or_wrong_sweep_file_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, names) in [
        ("task.slots = 10", "task.slots = \"ten\"", &["changed.toml", "slots"][..]),
        ("task.slots = 10", "task.slots = 0", &["changed.toml", "task.slots"]),
        ("task.slots = 10", "task.colour = 10", &["changed.toml", "colour"]),
        ("replicas = 4", "replicas = four", &["changed.toml", "line "]),
        ("replicas = 4", "replicas = \"four\"", &["changed.toml", "replicas"]),
        ("\"ekf\"", "\"nobody\"", &["changed.toml", "agents", "nobody"]),
        ("[grid]", "[gird]", &["changed.toml", "gird"]),
    ] {
        let out = dir.path().join("out");
        is_error(&sweep(text(&file(dir.path(), from, to)), &out, &[]), names);
        assert!(!out.exists(), "{to} left a folder");
    }
    let cut = dir.path().join("cut.toml");
    let whole = std::fs::read(V2X).unwrap();
    for end in [3, whole.len() / 2] {
        std::fs::write(&cut, &whole[..end]).unwrap();
        is_error(&sweep(text(&cut), &dir.path().join("out"), &[]), &["cut.toml"]);
    }
    std::fs::write(&cut, [0xff, 0xfe, 0x00]).unwrap();
    is_error(&sweep(text(&cut), &dir.path().join("out"), &[]), &["cut.toml"]);
    is_error(&sweep("no/such.toml", &dir.path().join("out"), &[]), &["no/such.toml"]);
    let bad = isacbench(&["sweep", V2X, "--shard", "3/2"]);
    assert!(!bad.status.success() && stderr(&bad).contains("3/2"), "{}", stderr(&bad));
}

/// Parts that are there, without what is being written.
fn parts(dir: &Path) -> usize {
    data(dir).keys().filter(|p| p.extension().is_some_and(|e| e == "parquet")).count()
}

/// A sweep in the background, as soon as it has committed `parts` points.
fn begun(out: &Path, parts: usize) -> std::process::Child {
    let mut args = sweep_args(V2X, out, &["--resume", "--replicas", "2"]);
    args.push("--shard=1/1");
    let mut child = program(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while self::parts(out) < parts {
        assert!(started.elapsed() < Duration::from_secs(120), "no {parts} parts after 120 s");
        assert!(child.try_wait().unwrap().is_none(), "the sweep ended too soon");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_second_process_is_told_whose_the_folder_is_and_a_dead_owner_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut child = begun(&out, 1);
    let pid = child.id().to_string();
    is_error(&sweep(V2X, &out, &["--resume"]), &["in use by process", &pid]);
    assert!(
        child.try_wait().unwrap().is_none(),
        "the sweep was over before the second one came: make it longer"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let o = ok(sweep(V2X, &out, &["--resume"]));
    assert!(stderr(&o).contains(&format!("process {pid} had this folder and is gone")), "{}", stderr(&o));
    assert_eq!(data(&out), expected());
}

#[test]
fn kills_at_any_time_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let want = expected();
    for parts in [1, 4, 9, 17, 25] {
        let mut child = begun(&out, parts);
        child.kill().unwrap();
        child.wait().unwrap();
        for (path, bytes) in
            data(&out).into_iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "parquet"))
        {
            assert!(want[&path] == bytes, "{} differs after a kill", path.display());
        }
    }
    let o = ok(sweep(V2X, &out, &["--resume"]));
    assert!(!stdout(&o).contains("(27 now"), "nothing was kept: {}", stdout(&o));
    assert_eq!(data(&out), want);
}

#[test]
fn sigint_ends_in_order_with_what_is_done() {
    for signal in ["INT", "TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let child = begun(&out, 3);
        let sent =
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let o = child.wait_with_output().unwrap();
        let said = stderr(&o);
        assert_eq!(o.status.code(), Some(if signal == "INT" { 130 } else { 143 }), "{said}");
        let line = said.lines().find(|l| l.starts_with("interrupted: ")).unwrap_or_else(|| panic!("{said}"));
        let there = data(&out);
        assert!(line.starts_with(&format!("interrupted: {} of 27 points are saved", there.len())), "{line}");
        assert!(there.keys().all(|p| p.extension().is_some_and(|e| e == "parquet")), "half a file was left");
        ok(sweep(V2X, &out, &["--resume"]));
        assert_eq!(data(&out), expected());
    }
}

/// Runs a shell script as the owner of a mount space of its own, where `$1` is the program, `$2` a folder and `$3` the
/// sweep file. `None`, with a line, where the system does not allow that.
fn with_mounts(script: &str, dir: &Path) -> Option<Output> {
    let allowed = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs none /mnt"]).output();
    if !allowed.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED (no mount space of one's own on this system)");
        return None;
    }
    let program = env!("CARGO_BIN_EXE_isacbench");
    Some(
        Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh", program, text(dir), V2X])
            .output()
            .unwrap(),
    )
}

#[test]
fn a_full_disk_is_one_clear_line_and_what_is_done_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, kept) = (dir.path().join("disk"), dir.path().join("kept"));
    std::fs::create_dir(&disk).unwrap();
    // Room for the plan and some parts; then the same folder on a disk with room.
    let script = format!(
        "mount -t tmpfs -o size=200k none '{0}' || exit 9; \"$1\" sweep \"$3\" --device cpu --out '{0}/out'; echo rc=$?; cp -r '{0}/out' '{1}'",
        text(&disk),
        text(&kept)
    );
    let Some(o) = with_mounts(&script, dir.path()) else { return };
    let said = stderr(&o);
    assert!(stdout(&o).contains("rc=1"), "{}\n{said}", stdout(&o));
    let error = said.lines().find(|l| l.starts_with("error: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(error.contains("No space left") && error.contains("out/"), "{error}");
    let there = data(&kept);
    assert!(!there.is_empty() && there.len() < 27, "{} parts fitted", there.len());
    let want = expected();
    assert!(there.iter().all(|(p, b)| want.get(p) == Some(b)), "a part is not what it should be");
    ok(sweep(V2X, &kept, &["--resume"]));
    assert_eq!(data(&kept), want);
}

#[test]
fn a_read_only_folder_is_refused_and_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=4m none '{0}' || exit 9; cp -r '{1}' '{0}/out' && mount -o remount,ro '{0}' || exit 9; \"$1\" sweep \"$3\" --device cpu --out '{0}/out' --resume; echo rc=$?; \"$1\" sweep \"$3\" --device cpu --out '{0}/new'; echo rc=$?; \"$1\" report '{0}/out'; echo rc=$?; \"$1\" report '{0}/out' --out '{2}/page'; echo rc=$?",
        text(&disk),
        text(&whole().join("all")),
        text(dir.path())
    );
    let Some(o) = with_mounts(&script, dir.path()) else { return };
    let (out, err) = (stdout(&o), stderr(&o));
    let codes: Vec<&str> = out.lines().filter(|l| l.starts_with("rc=")).collect();
    assert_eq!(codes, ["rc=1", "rc=1", "rc=1", "rc=0"], "{out}\n{err}");
    assert_eq!(
        err.lines().filter(|l| l.starts_with("error: ") && l.contains("Read-only")).count(),
        3,
        "{err}"
    );
    assert!(dir.path().join("page/report.md").exists());
}

//! An evaluation of millions of episodes takes no more memory than one of a million: sums run along. The evaluations
//! are alone in a process of their own, whose memory is looked at.
#![cfg(feature = "report")]

use isacbench::gpu::GpuError;
use isacbench::run::sweep::dataset::{Dataset, PlanFile};
use isacbench::run::sweep::plan::SweepFile;
use isacbench::run::sweep::run::{Commits, Device, Way, run};
use isacbench::run::sweep::{Plan, Shard};
use isacbench::run::watch::Watch;

struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

/// The most memory that this process has held so far, MiB.
fn peak_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn evaluate(episodes: u64) {
    let text = format!(
        "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"random\"]\nseeds = [0]\nconfig = {{ task.slots = 1, ppo.horizon = 1, ppo.minibatch = 1, task.vehicles = 1, task.start_m = [[-5.0, 10.0]], evaluate.episodes = {episodes} }}"
    );
    let plan: Plan<isacbench::tasks::v2x::config::V2xConfig> =
        Plan::new(&SweepFile::parse(&text, "x").unwrap(), "x").unwrap();
    let file = PlanFile::of(&plan, Shard::WHOLE, "cpu");
    let dir = tempfile::tempdir().unwrap();
    let mut dataset = Dataset::open(dir.path(), &file, false).unwrap();
    let mut way = Way {
        device: Device { gpu: None, reopen: &|| Err(GpuError::Device("none".into())) },
        replicas: 1,
        watch: &Quiet,
        progress: &|_| (),
        commits: &Commits::default(),
    };
    assert_eq!(run(&plan, &file, &mut dataset, &mut way).unwrap().computed, 1);
}

#[test]
fn memory_does_not_grow_with_the_episodes() {
    if peak_mib().is_none() {
        eprintln!("SKIPPED (the system does not tell how much memory a process has held)");
        return;
    }
    // The other tests of this binary take memory too.
    const ALONE: &str = "ISACBENCH_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = concat!(module_path!(), "::memory_does_not_grow_with_the_episodes");
        let (_, name) = name.split_once("::").unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
        assert!(text.contains("1 passed"), "{name} did not run: {text}");
        return;
    }
    let peak = |episodes| {
        evaluate(episodes);
        peak_mib().unwrap()
    };
    let (some, many) = (peak(1 << 20), peak(1 << 24));
    // Sixteen times as many episodes; one number for each would be 128 MiB.
    println!("peak memory: {some:.1} MiB after 1 Mi episodes, {many:.1} MiB after 16 Mi");
    assert!(many - some < 8.0, "{some:.1} MiB after 1 Mi episodes, {many:.1} MiB after 16 Mi");
}

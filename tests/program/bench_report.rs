//! The report of benchmarks from synthetic samples: rows and shares known by hand, figures without software adapters,
//! comparisons, and the command's errors.
#![cfg(feature = "report")]

use crate::child::*;
use isacbench::bench::analysis;
use isacbench::bench::energy::{INITIAL, MODEL, Named};
use isacbench::bench::samples::{Benchmark, LeftOut};
use isacbench::bench::{Device, DeviceKind, DeviceTime, Record, Section, Work};
use isacbench::config::Layered;
use isacbench::report::ReportError;
use isacbench::report::bench::{BenchPaths, Report, SOFTWARE_TITLE, read_set, write};
use isacbench::report::frames;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::registry::{AnyTask, Entry};
use isacbench::run::rows::{BenchEnergyRow, BenchPhaseRow, BenchRow, BenchScalingRow, DeviceName, Manifest};
use isacbench::run::task::Task;
use isacbench::tasks::v2x::config::V2xConfig;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn device(slug: &str, kind: DeviceKind) -> Device {
    let name = match kind {
        DeviceKind::Cpu => "Made-up processor",
        DeviceKind::Gpu => "Made-up GPU",
        DeviceKind::SoftwareGpu => "llvmpipe (LLVM 99.0.0, 256 bits)",
    };
    let driver = (kind != DeviceKind::Cpu).then(|| "driver 1.0".to_string());
    Device {
        slug: slug.into(),
        name: name.into(),
        kind,
        driver,
        threads: (kind == DeviceKind::Cpu).then_some(2),
    }
}

/// Revision of what the records are of.
const TIMED: &str = "0123456789abcdef0123";

fn record(device: &Device, group: &str, section: Section, sizes: &[(&str, u64)], work: Work) -> Record {
    Record {
        group: group.into(),
        section,
        task: None,
        policy: None,
        device: device.clone(),
        sizes: sizes.iter().map(|(l, n)| (l.to_string(), *n)).collect(),
        work,
        check: Some("equal to the twin".into()),
        device_time: None,
        git_revision: Some(TIMED.into()),
        git_dirty: Some(false),
    }
}

/// Eleven samples within ±2 % of `s`, their median.
fn around(s: f64) -> Vec<f64> {
    (0..11).map(|i| s * (1.0 + 0.004 * f64::from((i * 7) % 11 - 5))).collect()
}

fn bench(record: Record, s: f64) -> Benchmark {
    let (wall_s, iterations) = (around(s), vec![5; 11]);
    Benchmark {
        record,
        wall_s,
        iterations,
        taken: SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000),
    }
}

fn steps(n: f64, flops: Option<f64>) -> Work {
    Work { env_steps: Some(n), inferences: Some(n), flops, bytes: None }
}

fn kernel(flops: f64, bytes: f64) -> Work {
    Work { flops: Some(flops), bytes: Some(bytes), ..Work::default() }
}

/// All that a device leaves, `speed` times that of a processor with 100 GFLOP/s and 10 GB/s.
fn run_of(device: &Device, speed: f64) -> Vec<Benchmark> {
    let mut out = Vec::new();
    let mut put =
        |group: &str, section, sizes: &[(&str, u64)], work: Work, s: f64, who: Option<(&str, &str)>| {
            let mut r = record(device, group, section, sizes, work);
            if let Some((task, policy)) = who {
                (r.task, r.policy) = (Some(task.into()), Some(policy.into()));
            }
            if section == Section::Kernel && device.kind == DeviceKind::Gpu {
                let seconds = around(0.5 * s / speed);
                r.device_time = Some(DeviceTime { method: "timestamps around a pass".into(), seconds });
            }
            out.push(bench(r, s / speed));
        };
    let ceiling = |flops, bytes| Work { flops, bytes, ..Work::default() };
    put("ceiling_matmul", Section::Ceiling, &[("N", 2048)], ceiling(Some(1e11), Some(1e7)), 1.0, None);
    put("ceiling_copy", Section::Ceiling, &[("N", 5_000_000)], ceiling(None, Some(1e7)), 1e-3, None);
    for (b, s) in [(256, 1.0), (1024, 3.0), (4096, 10.0)] {
        let work = b as f64 * 1e5;
        put("physics_v2x", Section::Physics, &[("R", 1), ("B", b)], steps(work, None), 0.1 * s, None);
        for policy in ["ppo", "spiking-ac"] {
            let slow = if policy == "ppo" { 1.0 } else { 3.0 };
            for (section, part) in [("rollout", 0.2), ("update", 0.9), ("training", 1.1)] {
                let kind = match section {
                    "rollout" => Section::Rollout,
                    "update" => Section::Update,
                    _ => Section::Training,
                };
                let (group, sizes) = (format!("{section}_v2x_{policy}"), [("R", 1), ("B", b), ("H", 128)]);
                let flops = (policy == "ppo").then_some(1e6 * work);
                put(&group, kind, &sizes, steps(work, flops), slow * part * s, Some(("v2x", policy)));
            }
        }
        put(
            "mlp_forward",
            Section::Kernel,
            &[("R", 1), ("B", b), ("H", 128)],
            Work { inferences: Some(work), ..kernel(4e4 * work, 100.0 * work) },
            0.01 * s,
            None,
        );
    }
    for (phase, s) in [("rollout", 0.2), ("gae", 0.01), ("update", 0.85), ("readback", 0.0002)] {
        let group = format!("phase_{phase}_v2x_ppo");
        put(
            &group,
            Section::Phase,
            &[("R", 1), ("B", 1024), ("H", 128)],
            Work::default(),
            s,
            Some(("v2x", "ppo")),
        );
    }
    for (i, name) in KERNELS.iter().enumerate() {
        let bytes = 1e6 * (1.0 + i as f64);
        let intensity = 0.05 * 1.6f64.powi(i as i32);
        let reached = 0.03 * (1 + i % 7) as f64;
        let s = (intensity * bytes / 1e11).max(bytes / 1e10) / reached;
        put(name, Section::Kernel, &[("R", 1), ("B", 4096)], kernel(intensity * bytes, bytes), s, None);
    }
    put(
        "v2x_reset",
        Section::Kernel,
        &[("R", 1), ("B", 4096)],
        Work { bytes: Some(1e6), ..Work::default() },
        1e-3,
        None,
    );
    for r in [1, 4, 16, 64, 256] {
        let sizes = [("R", r), ("B", 64), ("H", 64)];
        let n = r as f64;
        put(
            "replicas_batched",
            Section::Update,
            &sizes,
            steps(6400.0 * n, None),
            0.01 + 0.0005 * n,
            Some(("v2x", "ppo")),
        );
        put(
            "replicas_serial",
            Section::Update,
            &sizes,
            steps(6400.0 * n, None),
            0.01 * n,
            Some(("v2x", "ppo")),
        );
    }
    out
}

const KERNELS: [&str; 22] = [
    "adam",
    "grad_norm",
    "metrics_reduce",
    "minibatch_gather",
    "gae",
    "column_sum",
    "replay_gather",
    "polyak",
    "philox_fill",
    "normal_fill",
    "lif_forward",
    "gaussian_head",
    "ppo_value_loss",
    "ppo_policy_loss",
    "lstm_forward",
    "lstm_backward",
    "misac_step",
    "v2x_step",
    "spike_forward",
    "dense_backward_weights",
    "dense_backward_input",
    "dense_forward",
];

/// Ids of the tasks.
const TASKS: [&str; 2] = ["v2x", "misac"];

fn manifest() -> Manifest {
    let device = DeviceName { device: "made up".into(), driver: None, backend: "cpu".into() };
    let words = ["isacbench", "bench"].map(String::from);
    Manifest::collect(&words, "benchmarks = 1\n", "v2x, misac", &["ppo".into()], &[], &device)
}

/// Energies of three agents, measured on the CPU only.
fn energies() -> Vec<BenchEnergyRow> {
    let mut out = Vec::new();
    for (n, (task, agent)) in
        [("v2x", "ppo"), ("v2x", "spiking-ac"), ("misac", "h-moe")].into_iter().enumerate()
    {
        let scale = [1.0, 0.4, 3.0][n];
        let row = |unit: &str, work: &str, device: &str, method: &str, constants: &str, energy_j: f64| {
            BenchEnergyRow {
                device: device.into(),
                device_name: String::new(),
                task: task.into(),
                agent: agent.into(),
                unit: unit.into(),
                work: work.into(),
                method: method.into(),
                constants: constants.into(),
                energy_j,
                lo_j: f64::NAN,
                hi_j: f64::NAN,
                idle_w: f64::NAN,
                busy_w: f64::NAN,
                integrated_share: f64::NAN,
                weights: "initial".into(),
                reason: if energy_j.is_nan() { "made up: no counter".into() } else { String::new() },
            }
        };
        for (unit, work, factor) in [
            ("inference", "policy", 1.0),
            ("environment-step", "rollout", 1.0),
            ("environment-step", "training", 30.0),
        ] {
            for (method, constants, joules) in [
                ("paper", "int32", 60e-9),
                ("paper", "fp32", 86e-9),
                ("effective-ops", "int32", 59e-9),
                ("effective-ops", "fp32", 85e-9),
                ("memory-aware", "int32", 450e-9),
            ] {
                out.push(row(unit, work, "model", method, constants, scale * factor * joules));
            }
            let mut measured = row(unit, work, "cpu", "measured", "device", 3e-6 * scale * factor);
            (measured.lo_j, measured.hi_j) = (0.95 * measured.energy_j, 1.05 * measured.energy_j);
            out.push(measured);
            out.push(row(unit, work, "made-up-gpu", "measured", "device", f64::NAN));
        }
    }
    out
}

fn written(dir: &Path, all: &[Benchmark]) -> BenchPaths {
    let (rows, energy, manifest) = (analysis::rows(all), energies(), manifest());
    let left_out = [LeftOut { path: "gae/cpu/B=1".into(), why: "new/sample.json is damaged".into() }];
    let report =
        Report { rows: &rows, energy: &energy, left_out: &left_out, manifest: &manifest, tasks: &TASKS };
    write(dir, &report).unwrap()
}

fn text_of(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn cpu_and_gpu_and_software() -> Vec<Benchmark> {
    let mut all = run_of(&device("cpu", DeviceKind::Cpu), 1.0);
    all.extend(run_of(&device("made-up-gpu", DeviceKind::Gpu), 40.0));
    all.extend(run_of(&device("llvmpipe", DeviceKind::SoftwareGpu), 0.013));
    all
}

/// Lines of the section that begins with this heading.
fn section<'a>(markdown: &'a str, heading: &str) -> &'a str {
    let from =
        markdown.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section '{heading}'"));
    let rest = &markdown[from + 4 + heading.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

#[test]
fn a_whole_report() {
    // `ISACBENCH_KEEP_REPORT` names a folder in which this page is left to be looked at.
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("ISACBENCH_KEEP_REPORT").map(PathBuf::from);
    let dir = kept.as_deref().unwrap_or(temporary.path());
    let paths = written(dir, &cpu_and_gpu_and_software());
    let names: Vec<String> =
        paths.figures.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(
        names,
        [
            "energy-inference.svg",
            "energy-training.svg",
            "phases.svg",
            "replicas.svg",
            "roofline-cpu.svg",
            "roofline-made-up-gpu.svg",
            "throughput-inference.svg",
            "throughput-physics.svg",
            "throughput-rollout.svg",
            "throughput-training.svg",
            "throughput-update.svg"
        ]
    );
    for path in &paths.figures {
        let svg = text_of(path);
        roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{}", path.display());
    }
    let summary = text_of(&paths.summary);
    let page = text_of(&paths.html);
    for name in &names {
        assert!(summary.contains(&format!("]({name})")), "{name}");
    }
    assert_eq!(page.matches("<svg ").count(), names.len());
    crate::pages::assert_page(&page, &["Throughput", "Kernels", "Energy", "What was measured", "The run"]);

    // 1e11 FLOP in 1 s; 40 times that.
    let ceilings = section(&summary, "What was measured");
    assert!(ceilings.contains("100 GFLOP/s") && ceilings.contains("4.00 TFLOP/s"), "{ceilings}");
    assert!(ceilings.contains("10.0 GB/s") && ceilings.contains("400 GB/s"), "{ceilings}");
    // 4096·1e5 steps in 10·0.2 s.
    let throughput = section(&summary, "Throughput");
    assert!(throughput.contains("205 M") && throughput.contains("8.19 G"), "{throughput}");
    // 64 replicas: 0.042 s against 0.64 s.
    assert!(section(&summary, "Many small replicas").contains("| 64 | 42.0 ms | 640 ms | 6.6 % |"));
    // 0.2 of 1.0602 s.
    assert!(section(&summary, "Phases of an update").contains("| rollout | 200 ms | 19 % |"));
    let energy = section(&summary, "Energy");
    assert!(energy.contains("60.00 nJ") && energy.contains("3.000 µJ (2.850 µJ to 3.150 µJ)"), "{energy}");
    assert!(energy.contains("No energy, made-up-gpu: made up: no counter"), "{energy}");
    assert!(section(&summary, "Left out").contains("`gae/cpu/B=1`: new/sample.json is damaged"));
    assert!(section(&summary, "The run").contains("isacbench bench"));

    let rows: Vec<BenchRow> = frames::read(&dir.join("benchmarks.parquet"), &()).unwrap();
    let gae = rows.iter().find(|r| r.group == "gae" && r.device == "made-up-gpu").unwrap();
    // Fifth kernel: 15 % of the lower ceiling by wall time, so 30 % by the device's own.
    assert_eq!((gae.clock.as_str(), gae.bound.as_str()), ("device", "memory"));
    assert!((gae.roofline_share - 0.30).abs() < 1e-9 && (gae.memory_share - 0.30).abs() < 1e-9, "{gae:?}");
    assert!((gae.compute_share - 0.3 * gae.flops_per_byte / 10.0).abs() < 1e-9, "{gae:?}");
    let phases: Vec<BenchPhaseRow> = frames::read(&dir.join("phases.parquet"), &()).unwrap();
    assert_eq!(phases.iter().filter(|p| p.device == "cpu").count(), 4);
    let scaling: Vec<BenchScalingRow> = frames::read(&dir.join("scaling.parquet"), &()).unwrap();
    let line: Vec<_> = scaling.iter().filter(|s| s.device == "cpu" && s.group == "physics_v2x").collect();
    assert!(
        line.len() == 3 && (line[2].gain - 1.6).abs() < 1e-9 && (line[2].efficiency - 0.1).abs() < 1e-9,
        "{line:?}"
    );
    let back: Vec<BenchEnergyRow> = frames::read(&dir.join("energy.parquet"), &()).unwrap();
    assert_eq!(back.len(), energies().len());
    let text: Manifest = serde_json::from_str(&text_of(dir.join("manifest.json"))).unwrap();
    assert_eq!(text.command, "isacbench bench");
}

#[test]
fn a_software_adapter_is_in_no_figure_and_in_no_table_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let all = cpu_and_gpu_and_software();
    let with = written(dir.path(), &all);
    let svgs = |paths: &BenchPaths| paths.figures.iter().map(text_of).collect::<Vec<_>>();
    let (figures, summary) = (svgs(&with), text_of(&with.summary));
    assert!(figures.iter().all(|svg| !svg.contains("llvmpipe")));
    let own = section(&summary, SOFTWARE_TITLE);
    assert!(own.contains("| adam | R=1,B=4096 | equal to the twin |"), "{own}");
    assert!(own.contains("| physics_v2x | R=1,B=256; R=1,B=1024; R=1,B=4096 |"), "{own}");
    assert!(own.contains("say nothing about GPUs") && !own.contains(" ms") && !own.contains(" s |"), "{own}");
    assert_eq!(
        summary.matches("llvmpipe").count(),
        own.matches("llvmpipe").count(),
        "it stands elsewhere too"
    );
    // The figures are those that would be drawn without it.
    let others: Vec<Benchmark> =
        all.iter().filter(|b| b.record.device.kind != DeviceKind::SoftwareGpu).cloned().collect();
    assert_eq!(svgs(&written(dir.path(), &others)), figures);
    // Alone it has a table and no figure of speed; those of the report before are gone.
    let alone: Vec<Benchmark> =
        all.into_iter().filter(|b| b.record.device.kind == DeviceKind::SoftwareGpu).collect();
    let paths = written(dir.path(), &alone);
    let names: Vec<_> = paths.figures.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["energy-inference.svg", "energy-training.svg"], "models only");
    assert!(!dir.path().join("throughput-physics.svg").exists());
    let summary = text_of(&paths.summary);
    assert!(summary.contains(SOFTWARE_TITLE) && summary.contains("0 benchmarks of no device"), "{summary}");
}

#[test]
fn equal_rows_make_equal_files_and_doubled_ones_are_refused() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut all = cpu_and_gpu_and_software();
    written(dirs[0].path(), &all);
    all.reverse();
    written(dirs[1].path(), &all);
    for file in
        ["benchmarks.parquet", "samples.parquet", "scaling.parquet", "phases.parquet", "energy.parquet"]
    {
        let [a, b] = [&dirs[0], &dirs[1]].map(|d| std::fs::read(d.path().join(file)).unwrap());
        assert!(a == b, "{file} depends on the order of the folders");
    }
    let twice = [all[0].clone(), all[0].clone()];
    let (rows, manifest) = (analysis::rows(&twice), manifest());
    let report = Report { rows: &rows, energy: &[], left_out: &[], manifest: &manifest, tasks: &TASKS };
    assert!(matches!(write(dirs[0].path(), &report), Err(ReportError::DuplicateRow { .. })));
}

/// Leaves a benchmark as criterion and a bench do.
fn leave(home: &Path, b: &Benchmark) -> PathBuf {
    b.record.save(home).unwrap();
    let folder = b.record.folder(home);
    let new = folder.join("new");
    std::fs::create_dir_all(&new).unwrap();
    let put = |name: &str, v: serde_json::Value| std::fs::write(new.join(name), v.to_string()).unwrap();
    let ns: Vec<f64> = b.wall_s.iter().zip(&b.iterations).map(|(s, n)| 1e9 * s * *n as f64).collect();
    let iters: Vec<f64> = b.iterations.iter().map(|n| *n as f64).collect();
    let r = &b.record;
    put(
        "benchmark.json",
        serde_json::json!({ "group_id": r.group, "function_id": r.device.slug, "value_str": r.sizes_id(), "throughput": null, "full_id": "x", "directory_name": "x", "title": "x" }),
    );
    put("sample.json", serde_json::json!({ "sampling_mode": "Flat", "iters": iters, "times": ns }));
    let estimate = serde_json::json!({ "confidence_interval": { "confidence_level": 0.95, "lower_bound": 0.0, "upper_bound": 1.0 }, "point_estimate": 1e9 * isacbench::num::stats::median(&b.wall_s), "standard_error": 0.0 });
    put("estimates.json", serde_json::json!({ "mean": estimate, "median": estimate, "slope": null }));
    folder
}

/// Results of `isacbench bench` in `dir`, from benchmarks that are `speed` times as fast.
fn results(dir: &Path, speed: f64) -> PathBuf {
    let (rows, manifest) = (analysis::rows(&run_of(&device("cpu", DeviceKind::Cpu), speed)), manifest());
    let out = dir.join(format!("speed-{speed}"));
    let report = Report { rows: &rows, energy: &[], left_out: &[], manifest: &manifest, tasks: &TASKS };
    write(&out, &report).unwrap();
    out
}

#[test]
fn the_command_reads_criterions_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (home, out) = (dir.path().join("criterion"), dir.path().join("out"));
    let all = run_of(&device("cpu", DeviceKind::Cpu), 1.0);
    for b in &all {
        leave(&home, b);
    }
    let broken = leave(
        &home,
        &bench(
            record(&device("cpu", DeviceKind::Cpu), "gae", Section::Kernel, &[("B", 7)], Work::default()),
            1.0,
        ),
    );
    std::fs::write(broken.join("new/sample.json"), "{").unwrap();
    std::fs::create_dir_all(home.join("old/cpu/new")).unwrap();
    let o = ok(isacbench(&["bench", "--from", text(&home), "--out", text(&out)]));
    assert!(stdout(&o).contains("report.html"), "{}", stdout(&o));
    let err = stderr(&o);
    assert!(
        err.contains("left out: gae/cpu/B=7: new/sample.json is damaged") && err.contains("old/cpu"),
        "{err}"
    );
    let (set, manifest) = read_set(&out).unwrap();
    assert_eq!(set.rows.len(), all.len());
    let manifest = manifest.unwrap();
    assert_eq!(manifest.device, "Made-up processor");
    assert!(
        manifest.config.contains(&format!("benchmarks = {}", all.len()))
            && manifest.config.contains("left_out = 2")
    );
    assert!(manifest.wall_s.is_some() && manifest.command.starts_with("isacbench bench"));
    // Of what was timed, not of the program that reports it.
    assert_eq!((manifest.git_revision.as_deref(), manifest.git_dirty), (Some(TIMED), Some(false)));
    let energy: Vec<BenchEnergyRow> = frames::read(&out.join("energy.parquet"), &()).unwrap();
    for agent in ["ppo", "spiking-ac", "h-moe"] {
        for method in ["paper", "effective-ops", "memory-aware", "measured"] {
            let has = |r: &&BenchEnergyRow| r.agent == agent && r.method == method && r.unit == "inference";
            let row = energy.iter().find(has).unwrap_or_else(|| panic!("{agent} {method}"));
            assert!(row.energy_j > 0.0 || !row.reason.is_empty(), "{row:?}");
        }
    }
    assert!(text_of(out.join("summary.md")).contains("## Energy"));
}

/// An untrained checkpoint of task v2x with networks of eight units.
fn checkpoint(path: &Path, agent: &str, more: &[&str]) {
    let sets: Vec<String> =
        ["ppo.hidden=[8]", "spiking.hidden=[]"].iter().chain(more).map(|s| s.to_string()).collect();
    let config = V2xConfig::load(None, &sets).unwrap();
    let replicas = [(config.swept(), 3)];
    let state = config.algorithm_at(V2xConfig::agent(agent).unwrap(), &replicas).unwrap().start();
    let c = Checkpoint { swept: vec![config.swept()], agent: agent.into(), seeds: vec![3], config, state };
    c.save(path).unwrap();
}

#[test]
fn agents_of_one_table_have_one_task() {
    let dir = tempfile::tempdir().unwrap();
    let (home, out) = (dir.path().join("criterion"), dir.path().join("out"));
    leave(&home, &run_of(&device("cpu", DeviceKind::Cpu), 1.0)[0]);
    let [ppo, low, sampled, equal] =
        ["ppo", "low", "sampled", "equal"].map(|n| dir.path().join(format!("{n}.safetensors")));
    let few = ["task.antennas_tx=8", "evaluate.greedy=true"];
    checkpoint(&ppo, "ppo", &few);
    checkpoint(&low, "spiking-ac", &[few[0], few[1], "task.p_max_dbm=20"]);
    checkpoint(&sampled, "spiking-ac", &[few[0], "evaluate.greedy=false"]);
    checkpoint(&equal, "spiking-ac", &[few[0], few[1], "evaluate.episodes=7", "spiking.steps=3"]);
    let with = |other: &Path| {
        let from = ["bench", "--from", text(&home), "--out", text(&out), "--checkpoint", text(&ppo)];
        isacbench(&[&from[..], &["--checkpoint", text(other)]].concat())
    };
    is_error(&with(&low), &["task.p_max_dbm", "40", "20", "low.safetensors", "ppo.safetensors"]);
    is_error(&with(&sampled), &["evaluate.greedy", "sampled.safetensors", "ppo.safetensors"]);
    assert!(!out.exists(), "a failed report leaves nothing");

    let read = || -> Vec<BenchEnergyRow> { frames::read(&out.join("energy.parquet"), &()).unwrap() };
    let of = |rows: &[BenchEnergyRow], agent: &str| -> Vec<String> {
        rows.iter().filter(|r| r.agent == agent && r.device == MODEL).map(|r| format!("{r:?}")).collect()
    };
    ok(with(&equal));
    assert!(of(&read(), "spiking-ac").iter().all(|r| r.contains("equal.safetensors")));
    // An agent without weights stands beside them in their task and settings, one of another task in its own.
    ok(isacbench(&["bench", "--from", text(&home), "--out", text(&out), "--checkpoint", text(&ppo)]));
    let rows = read();
    let task = Entry::<V2xConfig>::new();
    let beside = task.open(&ppo).unwrap().beside("spiking-ac").unwrap().unwrap();
    assert_eq!(beside.algorithm().params(), task.open(&equal).unwrap().algorithm().params());
    let models = Named { subject: beside, weights: INITIAL.into() }.models().unwrap();
    let (there, own) = (of(&rows, "spiking-ac"), of(&models, "spiking-ac"));
    assert!(!own.is_empty() && own.iter().all(|r| there.contains(r)) && own.len() == there.len());
    assert!(of(&rows, "h-moe").iter().all(|r| r.contains("initial")) && !of(&rows, "h-moe").is_empty());
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (none, empty) = (dir.path().join("none"), dir.path().join("empty"));
    std::fs::create_dir_all(&empty).unwrap();
    let out = dir.path().join("out");
    is_error(
        &isacbench(&["bench", "--from", text(&none), "--out", text(&out)]),
        &["none", "cargo bench", "--from"],
    );
    is_error(&isacbench(&["bench", "--from", text(&empty), "--out", text(&out)]), &["empty", "cargo bench"]);
    assert!(!out.exists(), "a failed report leaves nothing");
    let a = results(dir.path(), 1.0);
    let (a, none, empty) = (text(&a), text(&none), text(&empty));
    is_error(&isacbench(&["bench", "--compare", a, none]), &["none", "isacbench bench"]);
    is_error(
        &isacbench(&["bench", "--compare", empty, a]),
        &["empty", "benchmarks.parquet", "isacbench bench"],
    );
    let damaged = results(dir.path(), 3.0);
    std::fs::write(damaged.join("samples.parquet"), b"PAR1 no more").unwrap();
    is_error(&isacbench(&["bench", "--compare", a, text(&damaged)]), &["samples.parquet"]);
    // Rows of another table.
    std::fs::copy(damaged.join("benchmarks.parquet"), damaged.join("samples.parquet")).unwrap();
    is_error(&isacbench(&["bench", "--compare", a, text(&damaged)]), &["samples.parquet"]);
    is_error(&isacbench(&["bench", "--compare", a, a, "--fail-below", "-1"]), &["--fail-below", "positive"]);
    for wrong in [
        &["bench", "--fail-below", "0.9"][..],
        &["bench", "--compare", a],
        &["bench", "--compare", a, a, "--measure"],
    ] {
        assert_eq!(isacbench(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn two_results_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (results(dir.path(), 1.0), results(dir.path(), 2.0));
    let out = dir.path().join("out");
    let o = ok(isacbench(&["bench", "--compare", text(&a), text(&b), "--out", text(&out)]));
    let printed = stdout(&o);
    let n = run_of(&device("cpu", DeviceKind::Cpu), 1.0).len();
    assert!(
        printed.contains(&format!("Of {n} benchmarks in both, B is faster in {n}, slower in 0")),
        "{printed}"
    );
    assert!(printed.contains("| 2.00× |") && printed.contains("| faster |"), "{printed}");
    let (markdown, page) = (text_of(out.join("compare.md")), text_of(out.join("compare.html")));
    assert!(markdown.contains("](compare.svg)") && page.contains("<svg "));
    roxmltree::Document::parse(&text_of(out.join("compare.svg"))).unwrap();
    // The other way round everything is slower: still no failure, unless it is asked for.
    let back = ["bench", "--compare", text(&b), text(&a)];
    assert!(stdout(&ok(isacbench(&back))).contains(&format!("slower in {n}")));
    let failed = isacbench(&[&back[..], &["--fail-below", "0.9"]].concat());
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        stderr(&failed).contains("below 0.9") && stderr(&failed).contains("gae/cpu/"),
        "{}",
        stderr(&failed)
    );
    ok(isacbench(&[&back[..], &["--fail-below", "0.4"]].concat()));
    // Of a software adapter there is a number of benchmarks, and nothing to compare.
    let soft = dir.path().join("soft");
    let rows = analysis::rows(&run_of(&device("llvmpipe", DeviceKind::SoftwareGpu), 1.0));
    let report = Report { rows: &rows, energy: &[], left_out: &[], manifest: &manifest(), tasks: &TASKS };
    write(&soft, &report).unwrap();
    let none = stdout(&ok(isacbench(&["bench", "--compare", text(&soft), text(&soft)])));
    assert!(none.contains(&format!("## {SOFTWARE_TITLE}")), "{none}");
    assert!(none.contains(&format!("{n} benchmarks in both sets")) && !none.contains("| faster |"), "{none}");
    // Against itself nothing can be told apart.
    let same = stdout(&ok(isacbench(&["bench", "--compare", text(&a), text(&a), "--fail-below", "0.99"])));
    assert!(same.contains("faster in 0, slower in 0") && same.contains("| not distinguishable |"), "{same}");
}

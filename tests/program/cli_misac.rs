//! Task misac as its user meets it: evaluation, training that continues bit for bit, the reproduction job, and bad
//! input.

use crate::child::*;
use crate::common::shared_gpu;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::tasks::misac::agents::AGENTS;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::rows::SCHEMA;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// Training that takes a fraction of a second.
const TINY: &[&str] = &[
    "task.slots=20",
    "temporal.envs=8",
    "temporal.minibatch_envs=4",
    "temporal.hidden=8",
    "temporal.trunk=[8]",
    "temporal.critic=[8]",
    "spatial.hidden=[8]",
    "train.updates=4",
    "train.seeds=[0,1]",
    "evaluate.episodes=16",
    "reproduce.checkpoint_every=1",
];

fn train(out: &Path, more: &[&str]) -> Output {
    let mut args = with_sets(&["train", "--task", "misac", "--out", text(out)], TINY);
    args.extend(more);
    isacbench(&args)
}

fn evaluate(more: &[&str]) -> Value {
    object(isacbench(&[&["evaluate", "--task", "misac", "--json"], more].concat()))
}

/// Runs of one agent are told apart before they begin, and no name moves the columns.
#[test]
fn a_dry_run_names_its_runs() {
    let o = ok(isacbench(&with_sets(&["reproduce", "rl-h-moe", "--dry-run", "--device", "cpu"], TINY)));
    let said = stdout(&o);
    for word in ["h-moe a2c", "h-moe ppo direct", "dp-causal kinematic", "h-moe ppo residual kinematic"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    let table =
        said.lines().skip_while(|l| !l.starts_with("run ")).take_while(|l| !l.contains("runs, about"));
    let widths: Vec<usize> = table.map(|l| l.chars().count()).collect();
    assert!(widths.len() > 20 && widths.iter().all(|w| *w == widths[0]), "{said}");
}

#[test]
fn fixed_schedules_are_evaluated_without_weights() {
    let v = evaluate(&["--agent", "vision-only", "--episodes", "8"]);
    assert_eq!(
        (v["task"].as_str(), v["agent"].as_str(), v["episodes"].as_u64()),
        (Some("misac"), Some("vision-only"), Some(8))
    );
    assert_eq!(interval(&v, "energy_j"), (40.0, [40.0, 40.0]));
    assert_eq!(interval(&v, "share_over_gamma").0, 0.0);
    assert!(v["slots"]["energy_j"].as_array().unwrap().iter().all(|s| s["mean"] == 40.0));
    assert_eq!(v["slots"]["mae_deg"].as_array().unwrap().len(), 200);

    // The exact optimum prints its own value, how exact it is, and what no policy undercuts in an episode.
    let v = evaluate(&["--agent", "dp-optimal", "--set", "task.snr_db=20", "--episodes", "16"]);
    let of = |name: &str| v["metrics"][name]["mean"].as_f64().unwrap_or_else(|| panic!("{name} in {v}"));
    assert!((of("dp_value_j") - 19.8826).abs() < 1e-3 && of("dp_residual_j") < 1e-6);
    assert!((of("cost_j") - of("dp_value_j")).abs() < 0.3 && of("cost_j") >= of("dp_episode_j") - 1e-4);
    assert!(of("l_bmp") <= 0.15 && of("modulus_error") < 1e-6);
    assert!((of("power_share") - 1.0).abs() < 1e-6);
    assert_eq!(v["metrics"]["age_max"]["ci95"], serde_json::json!([null, null]));

    let v = evaluate(&["--agent", "dp-bound", "--set", "task.uncertainty=kinematic", "--episodes", "8"]);
    assert_eq!(v["metrics"]["cost_j"], v["metrics"]["energy_j"]);
    assert!(v["metrics"]["plan_cost_j"]["mean"].as_f64() >= v["metrics"]["cost_j"]["mean"].as_f64());
    assert!(v["metrics"].get("share_over_gamma").is_none() && v.get("slots").is_none());

    let o = ok(isacbench(&["evaluate", "--task", "misac", "--agent", "best-periodic", "--episodes", "4"]));
    assert!(stdout(&o).contains("period_slots") && stdout(&o).contains("at 10 dB"), "{}", stdout(&o));
}

#[test]
fn every_learned_agent_trains_and_is_evaluated() {
    for agent in AGENTS.iter().filter(|a| a.is_learned()) {
        let dir = tempfile::tempdir().unwrap();
        ok(train(dir.path(), &["--agent", agent.id]));
        let file = dir.path().join("checkpoint.safetensors");
        let saved = Checkpoint::<MisacConfig>::load(&file).unwrap();
        assert_eq!(
            (saved.agent.as_str(), saved.state.updates, saved.replicas()),
            (agent.id, 4, vec![(10.0, 0), (10.0, 1)])
        );
        let v = evaluate(&["--agent", agent.id, "--checkpoint", text(&file)]);
        assert_eq!((v["replicas"].as_u64(), v["episodes"].as_u64()), (Some(2), Some(32)));
        let of = |name: &str| v["metrics"][name]["mean"].as_f64().unwrap_or_else(|| panic!("{name} in {v}"));
        assert!((10.0..70.0).contains(&of("energy_j")));
        let network = if agent.id.starts_with("h-moe") { "scheduler" } else { "all" };
        let (paper, memory) = (
            of(&format!("energy_{network}_paper_int32_j_per_slot")),
            of(&format!("energy_{network}_memory_aware_int32_j_per_slot")),
        );
        assert!(paper > 0.0 && memory > paper);
        assert!(v["metrics"]["energy_measured_j_per_slot"]["reason"].is_string());
        assert!(dir.path().join("manifest.json").exists());
    }
}

/// Both backends draw the same, so that the first rollout is the same up to rounding; the GPU's run continues too.
#[test]
fn agents_train_on_the_gpu() {
    if shared_gpu().is_none() {
        return;
    }
    for agent in ["h-moe-no-aoi", "homogeneous-moe"] {
        let curves = ["cpu", "gpu"].map(|device| {
            let dir = tempfile::tempdir().unwrap();
            let run = ["--agent", agent, "--device", device, "--set", "train.updates=2"];
            ok(train(dir.path(), &run));
            ok(train(dir.path(), &[&run[..], &["--resume"]].concat()));
            let saved = Checkpoint::<MisacConfig>::load(&dir.path().join("checkpoint.safetensors")).unwrap();
            assert_eq!((saved.agent.as_str(), saved.state.updates), (agent, 2));
            let text = std::fs::read_to_string(dir.path().join("curves.jsonl")).unwrap();
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<Value>>()
        });
        let [cpu, gpu] = &curves;
        assert_eq!((cpu.len(), gpu.len()), (4, 4), "two seeds, two updates");
        for name in
            ["reward", "energy_j", "beam_gain", "policy_loss", "value_loss", "entropy", "grad_norm_actor"]
        {
            // What is measured in every slot is a list in the order of the schema.
            let of = |row: &Value| match SCHEMA.curve.iter().position(|c| c.name == name) {
                Some(place) => row["slots"][place].as_f64().unwrap(),
                None => row[name].as_f64().unwrap(),
            };
            let (a, b) = (of(&cpu[0]), of(&gpu[0]));
            assert!((a - b).abs() <= 1e-4 * a.abs().max(0.1), "{agent}, {name}: CPU {a}, GPU {b}");
        }
    }
}

/// What is printed is what the device did that is named beside it.
#[test]
fn agents_are_evaluated_on_the_gpu() {
    let Some(gpu) = shared_gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    ok(train(dir.path(), &["--agent", "h-moe-no-aoi", "--device", "cpu"]));
    let file = dir.path().join("checkpoint.safetensors");
    let fixed = ["dp-optimal", "dp-causal", "dp-bound"].map(|agent| (agent, None));
    for (agent, weights) in [("h-moe-no-aoi", Some(text(&file)))].into_iter().chain(fixed) {
        let [cpu, on_gpu] = ["cpu", &gpu.info.name[..]].map(|device| {
            let mut args = vec!["--agent", agent, "--device", device, "--episodes", "24"];
            args.extend(weights.iter().flat_map(|w| ["--checkpoint", w]));
            evaluate(&args)
        });
        assert_eq!(on_gpu["device"].as_str(), Some(&gpu.info.name[..]), "{agent}");
        assert!(cpu["device"].as_str().unwrap().starts_with("cpu ("), "{agent}");
        let (a, b) = (on_gpu["metrics"].as_object().unwrap(), cpu["metrics"].as_object().unwrap());
        assert!(a.keys().eq(b.keys()) && a.len() > 3, "{agent}: {:?} and {:?}", a.keys(), b.keys());
        for (name, b) in b.iter().filter(|(name, _)| *name != "modulus_error") {
            let (a, b) = (a[name]["mean"].as_f64(), b["mean"].as_f64());
            assert_eq!(a.is_some(), b.is_some(), "{agent}, {name}");
            let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
            assert!(
                (a - b).abs() <= 1e-3 * b.abs() + 1e-12,
                "{agent}, {name}: {a} on the GPU, {b} on the CPU"
            );
        }
    }
}

#[test]
fn a_killed_training_continues_to_the_same_end() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let longer =
        ["--set", "train.updates=150", "--set", "temporal.envs=32", "--set", "temporal.lr_final_share=0.1"];
    ok(train(whole.path(), &longer));
    let saved = cut.path().join("checkpoint.safetensors");
    let mut args = with_sets(&["train", "--task", "misac", "--out", text(cut.path())], TINY);
    args.extend(longer);
    kill_when(&args, &saved);
    assert!(Checkpoint::<MisacConfig>::load(&saved).unwrap().state.updates < 150);
    ok(train(cut.path(), &[&longer[..], &["--resume"]].concat()));
    for file in ["checkpoint.safetensors", "curves.jsonl"] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(whole.path()) == read(cut.path()), "{file} differs after an interruption");
    }
    is_error(&train(cut.path(), &["--resume"]), &["checkpoint.safetensors", "temporal.envs"]);
    is_error(
        &train(cut.path(), &[&longer[..], &["--resume", "--agent", "ppo-mono"]].concat()),
        &["agent 'h-moe' there and 'ppo-mono' here"],
    );
}

#[test]
fn checkpoints_of_one_task_are_not_those_of_the_other() {
    let (misac, v2x) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ok(train(misac.path(), &[]));
    let small = [
        "ppo.envs=8",
        "ppo.minibatch=400",
        "ppo.hidden=[8]",
        "spiking.hidden=[]",
        "train.updates=1",
        "train.seeds=[0]",
    ];
    ok(isacbench(&with_sets(&["train", "--device", "cpu", "--out", text(v2x.path())], &small)));
    let (misac, v2x) =
        (misac.path().join("checkpoint.safetensors"), v2x.path().join("checkpoint.safetensors"));
    let with = |task: &str, agent: &str, file: &Path| {
        isacbench(&[
            "evaluate",
            "--task",
            task,
            "--agent",
            agent,
            "--checkpoint",
            text(file),
            "--device",
            "cpu",
        ])
    };
    is_error(&with("misac", "h-moe", &v2x), &["holds task 'v2x', not 'misac'"]);
    is_error(&with("v2x", "ppo", &misac), &["holds task 'misac', not 'v2x'"]);
    is_error(&with("misac", "ppo-mono", &misac), &["holds agent 'h-moe', not 'ppo-mono'"]);

    // Half precision is for perceptrons.
    let half = ["evaluate", "--task", "misac", "--agent", "h-moe", "--precision", "f16", "--device", "cpu"];
    is_error(
        &isacbench(&[&half[..], &["--checkpoint", text(&misac)]].concat()),
        &["f16", "more than perceptrons"],
    );

    // What is broken is named, as for task v2x.
    let whole = std::fs::read(&misac).unwrap();
    std::fs::write(&misac, &whole[..whole.len() / 2]).unwrap();
    is_error(&with("misac", "h-moe", &misac), &["checkpoint.safetensors", "damaged"]);
    let text_of = |from: &str, to: &str| {
        let at = whole
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap_or_else(|| panic!("no {from}"));
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    std::fs::write(&misac, text_of("\"snr_db\":", "\"snr_dB\":")).unwrap();
    is_error(&with("misac", "h-moe", &misac), &["damaged", "no 'snr_db'"]);
    std::fs::write(&misac, text_of("lstm.weight_hh", "lstm.weight_hx")).unwrap();
    is_error(&with("misac", "h-moe", &misac), &["lstm.weight_hh", "missing"]);
}

#[test]
fn bad_input_is_named_in_one_line() {
    let run = |more: &[&str]| isacbench(&[&["evaluate", "--task", "misac"], more].concat());
    is_error(&run(&["--agent", "ekf"]), &["no agent 'ekf' in task misac", "h-moe", "dp-optimal"]);
    is_error(
        &isacbench(&["evaluate", "--task", "v2x", "--agent", "h-moe"]),
        &["no agent 'h-moe' in task v2x", "spiking-ac"],
    );
    // Without a task, the one that has the agent.
    is_error(&isacbench(&["evaluate", "--agent", "h-moe"]), &["'h-moe' is learned", "--checkpoint"]);
    is_error(
        &isacbench(&["evaluate", "--agent", "nobody"]),
        &["no agent 'nobody'", "upper-bound (v2x)", "dp-bound (misac)"],
    );
    is_error(&run(&["--agent", "h-moe"]), &["h-moe", "--checkpoint"]);
    is_error(&run(&["--agent", "vision-only", "--checkpoint", "x"]), &["vision-only", "no weights"]);
    is_error(&run(&["--agent", "vision-only", "--set", "task.p_max_dbmm=3"]), &["task", "p_max_dbmm"]);
    is_error(
        &run(&["--agent", "vision-only", "--set", "evaluate.gain_stride=0"]),
        &["evaluate.gain_stride", "1 to"],
    );
    is_error(
        &run(&["--agent", "dp-optimal", "--set", "task.uncertainty=kinematic"]),
        &["dp-optimal", "dp-causal and dp-bound"],
    );
    let many = ["--agent", "dp-optimal", "--set", "task.vehicles=8", "--set", "task.age_max_slots=100"];
    is_error(&run(&many), &["dp-optimal", "task.vehicles"]);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    is_error(
        &train(&out, &["--agent", "radar-only"]),
        &["needs no training", "h-moe, h-moe-no-aoi, ppo-mono, homogeneous-moe"],
    );
    is_error(&train(&out, &["--set", "temporal.minibatch_envs=3"]), &["temporal.minibatch_envs", "divide"]);
    let reproduce = |more: &[&str]| {
        isacbench(&[&["reproduce", "rl-h-moe", "--scale", "smoke", "--out", text(&out)], more].concat())
    };
    is_error(&reproduce(&["--set", "reproduce.snr_db=[1,1]"]), &["reproduce.snr_db", "twice"]);
    is_error(
        &reproduce(&["--set", "reproduce.t_proc_slots=[99]"]),
        &["reproduce.t_proc_slots", "task.age_max_slots"],
    );
    is_error(&reproduce(&["--set", "reproduce.algorithms=[\"sarsa\"]"]), &["sarsa", "a2c"]);
    is_error(&isacbench(&["reproduce", "nonsense"]), &["nonsense", "rl-h-moe"]);
    is_error(
        &isacbench(&["reproduce", "all", "--set", "task.beam=tracking"]),
        &["experiment rl-h-moe", "beam"],
    );
    assert!(!out.exists());
}

/// Few of everything.
const SMALL: &[&str] =
    &["reproduce.snr_db=[0,10]", "reproduce.t_proc_slots=[0,2]", "reproduce.kinematic_snr_db=[10]"];

fn reproduce(out: &Path, more: &[&str]) -> Output {
    let fixed = ["reproduce", "rl-h-moe", "--scale", "smoke", "--out", text(out)];
    let mut args = with_sets(&with_sets(&fixed, TINY), SMALL);
    args.extend(more);
    isacbench(&args)
}

/// Rows of a reproduction; with the feature `report` the bytes of its tables.
fn rows(out: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |f: &str| std::fs::read(out.join(f)).unwrap_or_else(|e| panic!("{f}: {e}"));
    let tables = ["curves", "evals", "slots", "energy"];
    if cfg!(feature = "report") {
        return tables.iter().map(|t| (t.to_string(), read(&format!("{t}.parquet")))).collect();
    }
    let all: Value = serde_json::from_slice(&read("rows.json")).unwrap();
    tables.iter().map(|t| (t.to_string(), all[*t].to_string().into_bytes())).collect()
}

/// A column of a row, whose labels are a list in the order of the schema.
fn column<'a>(row: &'a Value, name: &str) -> &'a Value {
    match SCHEMA.labels.iter().position(|l| l.name == name) {
        Some(place) => &row["key"]["labels"][place],
        None if name == "agent" => &row["key"]["agent"],
        None => &row[name],
    }
}

#[test]
fn a_reproduction_covers_every_agent_and_what_goes_beyond_the_paper() {
    let out = tempfile::tempdir().unwrap();
    let o = ok(reproduce(out.path(), &[]));
    assert!(stdout(&o).contains(text(out.path())), "{}", stdout(&o));
    rows(out.path());
    if cfg!(feature = "report") {
        assert!(out.path().join("report.html").exists() && out.path().join("manifest.json").exists());
        let replay = std::fs::read_to_string(out.path().join("replay.html")).unwrap();
        for agent in ["h-moe", "best-periodic", "dp-optimal"] {
            assert!(replay.contains(&format!("\"agent\":\"{agent}\"")), "{agent}");
        }
    } else {
        let all: Value =
            serde_json::from_slice(&std::fs::read(out.path().join("rows.json")).unwrap()).unwrap();
        let count = |table: &str, wanted: &[(&str, Value)]| {
            let fits = |r: &&Value| wanted.iter().all(|(k, v)| column(r, k) == v);
            all[table].as_array().unwrap().iter().filter(fits).count()
        };
        let main = |agent: &str| {
            vec![
                ("agent", agent.into()),
                ("variant", "".into()),
                ("uncertainty", "constant".into()),
                ("metric", "cost_j".into()),
            ]
        };
        for agent in AGENTS.iter().filter(|a| !["dp-causal", "dp-bound"].contains(&a.id)) {
            // Two ratios, two seeds; h-moe with three more recipes at one ratio.
            let n = if agent.id == "h-moe" { 4 + 3 * 2 } else { 4 };
            assert_eq!(count("evals", &main(agent.id)), n, "{}", agent.id);
        }
        assert_eq!(count("evals", &main("dp-causal")) + count("evals", &main("dp-bound")), 0);
        for agent in ["h-moe", "best-periodic", "dp-causal", "dp-bound"] {
            let kinematic =
                [("agent", agent.into()), ("uncertainty", "kinematic".into()), ("metric", "cost_j".into())];
            assert_eq!(count("evals", &kinematic), 2, "{agent}");
        }
        for agent in ["h-moe", "vision-only", "radar-only", "best-periodic", "dp-optimal"] {
            let delayed =
                [("agent", agent.into()), ("variant", "t_proc=2".into()), ("metric", "energy_j".into())];
            assert_eq!(count("evals", &delayed), 2, "{agent}");
        }
        assert_eq!(count("evals", &[("metric", "dp_residual_j".into())]), 4 + 2);
        // Four agents at four replicas, and h-moe with three recipes, a delay and kinematic uncertainty at two each;
        // four updates.
        assert_eq!(count("curves", &[]), 4 * (4 * 4 + 5 * 2));
        // A frame that leaves age 2 costs Vision-Only its recovery energy too.
        let energy = |variant: &str| {
            let rows = all["evals"].as_array().unwrap().iter();
            let found = rows.filter(|r| {
                column(r, "agent") == "vision-only"
                    && column(r, "variant") == variant
                    && r["metric"] == "energy_j"
            });
            found.map(|r| r["mean"].as_f64().unwrap()).fold(0.0, f64::max)
        };
        assert!(energy("") == 40.0 && energy("t_proc=2") > 50.0, "{} {}", energy(""), energy("t_proc=2"));
        for method in ["paper", "effective-ops", "memory-aware", "measured"] {
            assert!(count("energy", &[("agent", "h-moe".into()), ("method", method.into())]) > 0, "{method}");
        }
    }
    // The checkpoint holds both ratios; one is picked by its key.
    let checkpoint = out.path().join("training/h-moe/checkpoint.safetensors");
    let base =
        ["evaluate", "--task", "misac", "--agent", "h-moe", "--checkpoint", text(&checkpoint), "--json"];
    is_error(&isacbench(&base), &["task.snr_db", "0.0, 10.0"]);
    let at = |p: &str| object(isacbench(&[&base[..], &["--set", p]].concat()));
    let (low, high) = (at("task.snr_db=0"), at("task.snr_db=10"));
    assert_eq!((low["replicas"].as_u64(), high["episodes"].as_u64()), (Some(2), Some(32)));
    assert!(interval(&low, "energy_j").0 > interval(&high, "energy_j").0 + 1.0);
}

#[test]
fn a_killed_reproduction_continues_to_the_same_rows() {
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let longer = ["--set", "train.updates=40", "--set", "reproduce.algorithms=[]"];
    ok(reproduce(whole.path(), &longer));
    let saved = cut.path().join("training/ppo-mono/checkpoint.safetensors");
    let fixed = ["reproduce", "rl-h-moe", "--scale", "smoke", "--out", text(cut.path())];
    let mut args = with_sets(&with_sets(&fixed, TINY), SMALL);
    args.extend(longer);
    kill_when(&args, &saved);
    ok(reproduce(cut.path(), &[&longer[..], &["--resume"]].concat()));
    for ((name, x), (_, y)) in rows(whole.path()).iter().zip(&rows(cut.path())) {
        assert!(x == y, "{name} differs after an interruption");
    }
}

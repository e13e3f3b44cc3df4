//! Commands that answer a question at once, and trainings that somebody interrupts.

use crate::child::*;
use serde_json::Value;
use std::path::Path;
#[cfg(feature = "report")]
use std::process::Stdio;
#[cfg(feature = "report")]
use std::time::{Duration, Instant};

#[test]
fn the_optimal_schedule_is_printed_slot_by_slot() {
    let sets = ["task.vehicles=6", "task.snr_db=12", "task.e_recovery_j=50"];
    let told = stdout(&ok(isacbench(&with_sets(&["schedule"], &sets))));
    let best = told.split("best-periodic").next().unwrap();
    assert!(best.contains("cost_j 43.7912") && best.contains("repeats its 2 slots"), "{told}");
    let on: Vec<usize> = best.lines().map(|l| l.matches('●').count()).filter(|n| *n > 0).collect();
    assert_eq!(on, [6], "all six together, {told}");

    let v = object(isacbench(&with_sets(&["schedule", "--json"], &sets)));
    assert!(v["about"].as_str().unwrap().contains("8008 states"), "{v}");
    let [best, periodic] = &v["schedules"].as_array().unwrap()[..] else { panic!("{v}") };
    assert_eq!(best["cycle"], serde_json::json!([vec![false; 6], vec![true; 6]]));
    let cost = |t: &Value| t["mean_per_slot"]["cost_j"].as_f64().unwrap();
    assert!(cost(periodic) >= cost(best) - 1e-6, "{v}");

    is_error(&isacbench(&["schedule", "--task", "v2x"]), &["task v2x schedules nothing"]);
    is_error(&isacbench(&["schedule", "--set", "task.vehicles=99"]), &["task.vehicles"]);
    let states = ["task.vehicles=8", "task.age_max_slots=1000"];
    let refused = isacbench(&with_sets(&["schedule"], &states));
    is_error(&refused, &["states of ages", "task.vehicles"]);
}

const TINY: &[&str] =
    &["ppo.envs=4", "ppo.horizon=100", "ppo.minibatch=100", "ppo.hidden=[8]", "train.seeds=[3]"];

fn words<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let fixed =
        ["train", "--agent", "ppo", "--device", "cpu", "--out", text(out), "--set", "train.log_every=7"];
    [with_sets(&fixed, TINY), more.to_vec()].concat()
}

#[test]
fn what_to_cite_is_printed_of_a_run_too() {
    let all = stdout(&ok(isacbench(&["cite"])));
    for text in ["@software{isacbench", "Shang, Chen", "2501.01038", "Fan, Wenqi", "2604.06697"] {
        assert!(all.contains(text), "{text}: {all}");
    }
    let one = stdout(&ok(isacbench(&["cite", "--task", "misac"])));
    assert!(one.contains("Fan, Wenqi") && !one.contains("Shang"), "{one}");

    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    ok(isacbench(&words(&out, &["--set", "train.updates=1"])));
    let told = stdout(&ok(isacbench(&["cite", text(&out)])));
    let line = told.lines().last().unwrap();
    assert!(told.contains("Shang") && !told.contains("Fan, Wenqi"), "{told}");
    assert!(line.contains("isacbench train --agent ppo") && line.contains("seeds 3"), "{line}");
    is_error(&isacbench(&["cite", text(dir.path())]), &["holds no manifest.json"]);
    is_error(&isacbench(&["cite", "--task", "radar"]), &["no task 'radar'"]);

    // A folder of a training is a checkpoint.
    let file = out.join("checkpoint.safetensors");
    let of = |path: &Path| {
        let words =
            ["evaluate", "--agent", "ppo", "--episodes", "8", "--device", "cpu", "--json", "--checkpoint"];
        object(isacbench(&[&words[..], &[text(path)]].concat()))["metrics"].clone()
    };
    assert_eq!(of(&out), of(&file));
    is_error(
        &isacbench(&["evaluate", "--agent", "ppo", "--checkpoint", text(dir.path())]),
        &["cannot read checkpoint", "checkpoint.safetensors"],
    );
}

/// An interrupt in the middle saves the update at hand, and what goes on from there ends as if nothing had happened.
#[test]
#[cfg(all(unix, feature = "report"))]
fn an_interrupted_training_saves_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| dir.path().join(name));
    let updates = ["--set", "train.updates=1500", "--set", "reproduce.checkpoint_every=1000000"];
    ok(isacbench(&words(&whole, &updates)));

    let mut child = program(&words(&cut, &updates))
        .env("ISACBENCH_PROGRESS", "json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun when it tells how far it is.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let told = lines.find(|l| l.as_ref().unwrap().starts_with('{')).unwrap().unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["total"].as_u64(), told["done"].is_u64()), (Some(1500), true), "{told}");
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let began = Instant::now();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
    let last = rest.last().unwrap();
    assert!(last.contains("of 1500 updates are saved; continue with --resume"), "{rest:?}");
    let done: u32 = last.split_whitespace().find_map(|w| w.parse().ok()).unwrap();
    assert!((1..1500).contains(&done), "{last}");

    ok(isacbench(&words(&cut, &[&updates[..], &["--resume"]].concat())));
    for file in ["checkpoint.safetensors", "curves.jsonl"] {
        let [a, b] = [&whole, &cut].map(|dir| std::fs::read(dir.join(file)).unwrap());
        assert!(a == b, "{file} is another one behind an interrupt at update {done}");
    }
}

/// Off-policy agents of a size that a second trains.
const REPLAY: &[&str] = &[
    "dqn.hidden=[8]",
    "dqn.envs=4",
    "dqn.capacity=4000",
    "dqn.learning_starts=100",
    "dqn.minibatch=16",
    "dqn.train_every=10",
    "ppo.envs=8",
    "ppo.horizon=100",
    "ppo.minibatch=400",
    "train.seeds=[0,1]",
    "reproduce.checkpoint_every=2",
];

#[test]
fn a_training_leaves_its_best_weights_and_curves_and_not_its_replay() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let train = |more: &[&str]| {
        let fixed = ["train", "--agent", "dqn", "--device", "cpu", "--out", text(&out)];
        isacbench(&[with_sets(&fixed, REPLAY), more.to_vec()].concat())
    };
    let told = stdout(&ok(train(&["--set", "train.updates=5"])));
    assert!(told.contains("best.safetensors") && told.contains("seed 1"), "{told}");
    // Transitions of two replicas would take over half a megabyte.
    let size = std::fs::metadata(out.join("checkpoint.safetensors")).unwrap().len();
    assert!(size < 200_000, "{size}");
    let best: Value = serde_json::from_slice(&std::fs::read(out.join("best.json")).unwrap()).unwrap();
    let at: Vec<u64> = best.as_array().unwrap().iter().map(|s| s["updates"].as_u64().unwrap()).collect();
    assert!(at.len() == 2 && at.iter().all(|u| [2, 4, 5].contains(u)), "{best}");
    let evaluate = |path: &Path| {
        let args =
            ["evaluate", "--agent", "dqn", "--device", "cpu", "--episodes", "8", "--json", "--checkpoint"];
        object(isacbench(&[&args[..], &[text(path)]].concat()))
    };
    let (last, best) = (evaluate(&out), evaluate(&out.join("best.safetensors")));
    // A seed whose last checkpoint is its best one has the same weights in both.
    for (i, at) in at.iter().enumerate() {
        let of = |v: &Value| v["metrics"]["sum_rate_bps_hz"]["per_seed"][i].clone();
        assert_eq!(of(&last) == of(&best), *at == 5, "{at:?}");
    }
    ok(train(&["--set", "train.updates=5", "--resume"]));
    is_error(&train(&["--set", "train.updates=6", "--resume"]), &["finished after 5", "replay", "--force"]);
    if cfg!(feature = "report") {
        for column in ["reward", "sum_rate_bps_hz"] {
            let svg = std::fs::read_to_string(out.join(format!("curve-{column}.svg"))).unwrap();
            assert!(svg.contains("data-y=") && svg.contains("mean over 2 seeds"), "{column}: {svg}");
        }
    }
}

/// A killed training finds the same best weights as one that was left alone.
#[test]
fn the_best_weights_do_not_depend_on_interruptions() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| dir.path().join(name));
    let sets = ["train.updates=40", "train.seeds=[3,4]", "reproduce.checkpoint_every=3", "ppo.envs=32"];
    let resumed = &["--resume"][..];
    ok(isacbench(&[words(&whole, &[]), with_sets(&[], &sets)].concat()));
    let half = [words(&cut, &[]), with_sets(&[], &sets)].concat();
    kill_when(&half, &cut.join("checkpoint.safetensors"));
    ok(isacbench(&[&half[..], resumed].concat()));
    for file in ["best.json", "best.safetensors", "checkpoint.safetensors"] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(&whole) == read(&cut), "{file}");
    }
}

#[test]
fn several_agents_are_compared_on_the_same_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    ok(isacbench(&words(&out, &["--set", "train.updates=1", "--set", "train.seeds=[3,8]"])));
    let evaluate =
        |more: &[&str]| isacbench(&[&["evaluate", "--device", "cpu", "--episodes", "16"], more].concat());
    let checkpoint = format!("ppo={}", text(&out));
    let v = object(evaluate(&["--agent", "ppo, genie,random", "--checkpoint", &checkpoint, "--json"]));
    let agents = v["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 3);
    for agent in agents {
        assert_eq!(agent["seeds"], serde_json::json!([1003, 1008]), "{}", agent["agent"]);
        assert_eq!(agent["configuration"]["ppo"]["envs"], 4, "that of the checkpoint");
        assert_eq!(agent["few_seeds"], true);
    }
    let rate = &v["comparisons"][0];
    assert_eq!((rate["metric"].as_str(), rate["seeds"].as_u64()), (Some("sum_rate_bps_hz"), Some(2)));
    assert_eq!(rate["agents"][0]["agent"], "genie");
    // By hand: differences of the values of each seed.
    let per_seed = |agent: &str| -> Vec<f64> {
        let of = agents.iter().find(|a| a["agent"] == agent).unwrap();
        let all = of["metrics"]["sum_rate_bps_hz"]["per_seed"].as_array().unwrap();
        all.iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let (genie, random) = (per_seed("genie"), per_seed("random"));
    let pair = rate["pairs"].as_array().unwrap();
    let pair = pair.iter().find(|p| p["a"] == "genie" && p["b"] == "random").unwrap();
    let want = (genie[0] - random[0] + genie[1] - random[1]) / 2.0;
    assert!((pair["paired"]["difference"].as_f64().unwrap() - want).abs() < 1e-9, "{pair}");
    assert_eq!(pair["paired"]["better"], 2);
    // Alone, an agent has one seed unless more are asked for.
    assert_eq!(object(evaluate(&["--agent", "ekf", "--json"]))["seeds"], serde_json::json!([1000]));
    let three = object(evaluate(&["--agent", "ekf", "--seeds", "3", "--json"]));
    assert_eq!(three["metrics"]["jain"]["per_seed"].as_array().unwrap().len(), 3);
    let ci = &three["metrics"]["indicator_share"]["ci95"];
    assert!(ci[1].as_f64().unwrap() <= 1.0 && ci[0].as_f64().unwrap() >= 0.0, "{ci}");

    is_error(&evaluate(&["--agent", "ekf,ekf"]), &["'ekf' is named twice", "compare"]);
    is_error(&evaluate(&["--agent", "ekf", "--metric", "jain"]), &["--metric jain", "several"]);
    let unknown = evaluate(&["--agent", "ekf,genie", "--metric", "speed"]);
    assert!(unknown.status.code() == Some(1) && stderr(&unknown).contains("there are: sum_rate"));
    is_error(&evaluate(&["--agent", "ekf", "--seeds", "0"]), &["--seeds 0", "4096"]);
    is_error(&evaluate(&["--agent", "ekf,genie", "--checkpoint", text(&out)]), &["whose it is", "=PATH"]);
    is_error(&evaluate(&["--agent", "ppo,ekf"]), &["ppo", "--checkpoint"]);
    is_error(&evaluate(&["--agent", "ekf,dp-optimal"]), &["no agent 'dp-optimal' in task v2x"]);
    is_error(&evaluate(&["--agent", ""]), &["no agent ''"]);
}

#[cfg(feature = "report")]
#[test]
fn runs_of_every_kind_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, exponent) in [("near", "2.0"), ("far", "3.2")] {
        for agent in ["ekf", "last-estimate"] {
            let set = format!("task.path_loss_exponent={exponent}");
            let args = ["evaluate", "--device", "cpu", "--episodes", "16", "--seeds", "3", "--json"];
            let told = stdout(&ok(isacbench(&[&args[..], &["--agent", agent, "--set", &set]].concat())));
            std::fs::write(at(&format!("{name}-{agent}.json")), told).unwrap();
        }
    }
    let files: Vec<_> = ["near-ekf", "near-last-estimate", "far-ekf", "far-last-estimate"]
        .map(|name| at(&format!("{name}.json")))
        .into();
    let compare = |more: &[&str]| {
        let own: Vec<&str> = files.iter().map(|f| text(f)).collect();
        isacbench(&[&["compare"], &own[..], more].concat())
    };
    // A key in which one agent has two values is a condition, and one agent stays one agent.
    let v = object(compare(&["--json", "--metric", "sum_rate_bps_hz"]));
    let c = &v["comparisons"][0];
    assert_eq!((c["conditions"].as_u64(), c["shared_conditions"].as_u64()), (Some(2), Some(2)));
    assert_eq!(c["pairs"][0]["paired"]["pairs"], 6);
    assert_eq!(c["agents"][0]["by_condition"][0]["condition"]["path_loss_exponent"], "2");
    let one = object(compare(&["--json", "--where", "path_loss_exponent=3.2"]));
    assert_eq!(one["comparisons"][0]["conditions"], 1);
    // However a value is written, and a run of a sweep beside them has what its configuration says.
    let typed = object(compare(&["--json", "--where", "task.path_loss_exponent=3.20"]));
    assert_eq!(typed["comparisons"][0]["conditions"], 1);
    // A cost is better the lower it is.
    let errors = object(compare(&["--json", "--metric", "pointing_mse_rad2"]));
    assert_eq!(errors["comparisons"][0]["better"], "lower");
    assert_eq!(errors["comparisons"][0]["agents"][0]["agent"], "ekf");

    let sweep = "task = \"v2x\"\nmode = \"evaluate\"\nagents = [\"ekf\", \"genie\"]\nseeds = [0, 1, 2]\nkeep = [\"slots\", \"energy\", \"bounds\"]\n\
                 [config]\nevaluate.episodes = 8\n[grid]\ntask.sensing_noise = [1.0, 4.0]\n";
    std::fs::write(at("sweep.toml"), sweep).unwrap();
    ok(isacbench(&["sweep", text(&at("sweep.toml")), "--device", "cpu", "--out", text(&at("sweep"))]));
    // `genie` does not read the noise of the echo: it is what it is under both.
    let swept = object(isacbench(&["compare", text(&at("sweep")), "--json", "--metric", "sum_rate_bps_hz"]));
    assert_eq!(swept["comparisons"][0]["shared_conditions"], 2);
    assert_eq!(swept["comparisons"][0]["pairs"][0]["paired"]["pairs"], 6);
    ok(isacbench(&["compare", text(&at("sweep")), "--metric", "upper_bound_bps_hz"]));
    // Evaluations stand under the conditions of a sweep by what their configuration says.
    let one = ["evaluate", "--agent", "ekf", "--device", "cpu", "--episodes", "8", "--seeds", "3", "--json"];
    let noisy = ["--set", "task.sensing_noise=4", "--set", "evaluate.seed=0"];
    std::fs::write(at("noisy.json"), stdout(&ok(isacbench(&[&one[..], &noisy].concat())))).unwrap();
    let both = object(isacbench(&["compare", text(&at("sweep")), text(&at("noisy.json")), "--json"]));
    let rate = &both["comparisons"][0];
    // The same draws give the same numbers: one agent, and no condition more.
    assert_eq!(
        (rate["conditions"].as_u64(), rate["agents"].as_array().unwrap().len()),
        (Some(2), 2),
        "{rate}"
    );
    // Who knows the truth has no energy.
    let energy = ["--metric", "energy_paper_fp32_j_per_slot", "--where", "agent=ekf"];
    ok(isacbench(&[&["report", text(&at("sweep"))], &energy[..]].concat()));
    let by_slot = ["--metric", "slot_sum_rate_bps_hz", "--by", "agent", "--by", "step"];
    ok(isacbench(&[&["report", text(&at("sweep"))], &by_slot[..]].concat()));
    let page = std::fs::read_to_string(at("sweep/report/report.md")).unwrap();
    assert!(page.contains("| ekf | 99 |"), "{page}");
    // What a folder keeps is part of what it is.
    std::fs::write(at("sweep.toml"), sweep.replace("\"slots\", ", "")).unwrap();
    let (file, out) = (at("sweep.toml"), at("sweep"));
    let again = ["sweep", text(&file), "--device", "cpu", "--out", text(&out), "--resume"];
    is_error(&isacbench(&again), &["plan"]);

    ok(isacbench(&words(&at("a"), &["--set", "train.updates=2"])));
    ok(isacbench(&words(&at("b"), &["--set", "train.updates=2", "--set", "ppo.hidden=[4]"])));
    // Weights of two trainings are two agents, under whatever conditions.
    let mut judged = Vec::new();
    for (name, power) in [("a", "40"), ("b", "20")] {
        let set = format!("task.p_max_dbm={power}");
        let run = at(name);
        let words =
            ["evaluate", "--agent", "ppo", "--device", "cpu", "--episodes", "8", "--json", "--checkpoint"];
        let told = stdout(&ok(isacbench(&[&words[..], &[text(&run), "--set", &set]].concat())));
        judged.push(at(&format!("judged-{name}.json")));
        std::fs::write(&judged[judged.len() - 1], told).unwrap();
    }
    let apart = isacbench(&["compare", text(&judged[0]), text(&judged[1])]);
    let told = stdout(&ok(apart));
    assert!(told.contains("ppo (judged-a)") && told.contains("no condition has all agents"), "{told}");
    let told = stdout(&ok(isacbench(&["compare", text(&at("a")), text(&at("b"))])));
    assert!(told.contains("train_reward") && told.contains("ppo (a)") && told.contains("ppo (b)"), "{told}");

    let out = at("page");
    let drawn = ["--out", text(&out), "--scatter", "jain,sum_rate_bps_hz", "--x", "path_loss_exponent"];
    ok(compare(&drawn));
    let html = std::fs::read_to_string(out.join("compare.html")).unwrap();
    // The page again from what is beside it, whatever became of the runs.
    let again = at("again");
    ok(isacbench(&["report", text(&out), "--out", text(&again)]));
    assert!(html == std::fs::read_to_string(again.join("compare.html")).unwrap());
    is_error(&isacbench(&["report", text(&out), "--metric", "jain"]), &["--metric", "a comparison"]);
    is_error(&isacbench(&["report", text(&at("a"))]), &["a training"]);
    for text in [
        "mean sum-rate (bps/Hz) over jain",
        "over path loss exponent",
        "Performance profiles",
        "Probability of each rank",
    ] {
        assert!(html.contains(text), "{text}");
    }

    is_error(&compare(&["--metric", "speed"]), &["--metric speed", "there are: "]);
    is_error(&compare(&["--where", "path_loss_exponent=9"]), &["path_loss_exponent = 2;"]);
    is_error(&compare(&["--where", "path_loss_exponent"]), &["expected KEY=VALUE"]);
    is_error(&compare(&["--agent", "dqn"]), &["--agent dqn", "ekf; last-estimate"]);
    is_error(&compare(&["--scatter", "jain", "--out", text(&out)]), &["expected X,Y"]);
    is_error(&compare(&["--scatter", "jain,speed", "--out", text(&out)]), &["no metric 'speed'"]);
    is_error(&compare(&["--x", "speed_m_s", "--out", text(&out)]), &["--x speed_m_s", "path_loss_exponent"]);
    is_error(&compare(&["--x", "path_loss_exponent"]), &["--out"]);
    is_error(&compare(&["--out", text(&at("a"))]), &["holds a job", "another folder"]);
    is_error(&compare(&["--agent", "ekf", "--metric", "jain"]), &["only one agent has it (ekf)"]);
    is_error(&isacbench(&["compare", text(dir.path())]), &["neither a training"]);
    is_error(&isacbench(&["compare", text(&at("none"))]), &["no such file"]);
    std::fs::write(at("x.json"), "{\"a\": 1}").unwrap();
    is_error(&isacbench(&["compare", text(&at("x.json"))]), &["evaluate --json"]);
    std::fs::write(at("x.json"), "not JSON").unwrap();
    is_error(&isacbench(&["compare", text(&at("x.json"))]), &["evaluate --json"]);
    is_error(&isacbench(&["compare", text(&files[0])]), &["nothing to compare", "ekf"]);
    let misac = ["evaluate", "--agent", "vision-only", "--device", "cpu", "--episodes", "8", "--json"];
    std::fs::write(at("m.json"), stdout(&ok(isacbench(&misac)))).unwrap();
    is_error(
        &isacbench(&["compare", text(&files[0]), text(&at("m.json"))]),
        &["of task misac", "of task v2x"],
    );
}

/// Curves of a sweep that was killed half-way are those of one that was not.
#[cfg(feature = "report")]
#[test]
fn curves_are_kept_on_request_and_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("curves.toml");
    let sweep = "task = \"v2x\"\nagents = [\"ppo\"]\nseeds = [0, 1]\nkeep = [\"curves\"]\n[config]\n\
                 train.updates = 40\nreproduce.checkpoint_every = 5\nevaluate.episodes = 4\nppo.envs = 32\nppo.hidden = [8]\n\
                 [grid]\nppo.lr_actor = [1e-3]\n";
    std::fs::write(&file, sweep).unwrap();
    let args = |out: &'static str| {
        let out = dir.path().join(out).display().to_string();
        [["sweep", text(&file), "--device", "cpu", "--resume", "--out"].map(String::from).to_vec(), vec![out]]
            .concat()
    };
    let run = |out: &'static str| {
        let args = args(out);
        isacbench(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    ok(run("whole"));
    let cut = args("cut");
    let mut child =
        program(&cut.iter().map(String::as_str).collect::<Vec<_>>()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let half = || {
        std::fs::read_dir(dir.path().join("cut/work"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|d| d.path().join("curves.json").exists())
    };
    while !half() && Instant::now() < end && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    ok(run("cut"));
    let parts = |out: &str| {
        let mut all: Vec<String> = Vec::new();
        for agent in std::fs::read_dir(dir.path().join(out).join("data/agent=ppo")).unwrap().flatten() {
            for part in std::fs::read_dir(agent.path()).unwrap().flatten() {
                all.push(part.file_name().into_string().unwrap());
            }
        }
        all
    };
    // A part's name has the checksum of what it holds.
    assert_eq!(parts("whole"), parts("cut"));
    let by = ["--metric", "curve_reward", "--by", "step"];
    let whole = dir.path().join("whole");
    ok(isacbench(&[&["report", text(&whole)], &by[..]].concat()));
    let page = std::fs::read_to_string(whole.join("report/report.md")).unwrap();
    assert!(page.contains("| 39 | 2 |"), "{page}");
}

/// Every kind of file, and what cannot be written: one line, and nothing is left.
#[test]
fn policies_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let (run, file) = (dir.path().join("run"), dir.path().join("policy"));
    ok(isacbench(&words(&run, &["--set", "train.updates=1", "--set", "train.seeds=[3,4]"])));
    let export = |more: &[&str]| {
        isacbench(&[&["export", "--checkpoint", text(&run), "--out", text(&file)], more].concat())
    };
    let told = stdout(&ok(export(&["--replica", "1"])));
    assert!(told.contains("decision of agent ppo, task v2x, seed 4"), "{told}");
    let whole = std::fs::read(&file).unwrap();
    let holds = |bytes: &[u8], word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
    for word in ["beam_angle_rad", "power_w", "distance_m", "p_max_dbm", "git_revision", "Gemm"] {
        assert!(holds(&whole, word), "{word}");
    }
    ok(export(&["--raw"]));
    let raw = std::fs::read(&file).unwrap();
    assert!(holds(&raw, "observation") && !holds(&raw, "beam_angle_rad"));
    std::fs::remove_file(&file).unwrap();
    is_error(&export(&["--replica", "2"]), &["--replica 2", "0 to 1"]);
    if cfg!(feature = "nir") {
        is_error(&export(&["--format", "nir"]), &["agent 'ppo'", "spiking"]);
    }
    assert!(!file.exists());
    let torn = &std::fs::read(run.join("checkpoint.safetensors")).unwrap()[..500];
    std::fs::write(run.join("checkpoint.safetensors"), torn).unwrap();
    is_error(&export(&[]), &["checkpoint.safetensors"]);
    is_error(&isacbench(&["evaluate", "--policy", text(&file)]), &["--policy", "onnxruntime"]);
}

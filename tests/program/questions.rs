//! The commands of `docs/questions.md`, as they stand there, at small sizes.

use crate::child::{ok, stdout};
use std::path::Path;
use std::process::Command;

/// The page's parts: (name of the block, its text), with the file that the line before a `toml` block names.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let (mut open, mut file) = (false, String::new());
    for line in page.lines() {
        match (open, line.strip_prefix("```")) {
            (false, Some("toml")) => {
                out.push((file.clone(), String::new()));
                open = true;
            }
            (false, Some(kind)) => {
                out.push((kind.into(), String::new()));
                open = true;
            }
            (true, Some(_)) => open = false,
            (true, None) => {
                let text = &mut out.last_mut().expect("a block").1;
                text.push_str(line);
                text.push('\n');
            }
            (false, None) => {
                if let Some(name) = line.strip_prefix('`').and_then(|l| l.strip_suffix("`:")) {
                    file = name.into();
                }
            }
        }
    }
    out
}

/// Settings that make a command small, by the word behind the program's name.
fn small(command: &str) -> Vec<String> {
    let sets = |all: &[&str]| all.iter().flat_map(|s| ["--set".to_string(), s.to_string()]).collect();
    match command {
        "train" => sets(&[
            "train.updates=2",
            "train.seeds=[0,1]",
            "ppo.envs=8",
            "ppo.minibatch=400",
            "ppo.hidden=[8]",
            "spiking.hidden=[8]",
        ]),
        "evaluate" => ["--episodes", "16", "--device", "cpu"].map(String::from).into(),
        "sweep" => ["--device", "cpu"].map(String::from).into(),
        _ => Vec::new(),
    }
}

/// Runs a line in `dir` and gives what it printed.
fn run(line: &str, dir: &Path) -> String {
    let (line, file) = line.split_once(" > ").map_or((line, None), |(line, file)| (line, Some(file)));
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "isacbench", "{line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_isacbench"));
    command.current_dir(dir).args(&words[1..]).args(small(words[1]));
    let output = ok(command.output().unwrap());
    let text = stdout(&output);
    if let Some(file) = file {
        std::fs::write(dir.join(file), &text).unwrap();
    }
    text
}

#[test]
fn every_question_is_answered_by_the_commands_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/questions.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("results"), dir.path().join("results")).unwrap();
    let mut told: Vec<(String, String)> = Vec::new();
    for (name, text) in blocks(&page) {
        if name.ends_with(".toml") {
            let more = "ppo.envs = 8\nppo.minibatch = 400\nppo.hidden = [8]\n";
            let mut text =
                text.replace("updates = 156", "updates = 2").replace("episodes = 1024", "episodes = 16");
            assert!(text.contains("episodes = 16"), "{text}");
            if text.contains("\"ppo\"") {
                text = text.replace("[config]\n", &format!("[config]\n{more}"));
            }
            std::fs::write(dir.path().join(name), text).unwrap();
        } else if name == "sh" {
            told.extend(text.lines().map(|line| (line.to_string(), run(line, dir.path()))));
        }
    }
    let of = |start: &str| {
        let found = told.iter().find(|(line, _)| line.starts_with(start));
        found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("no line begins with '{start}'"))
    };
    assert_eq!(page.matches("\n## ").count(), 10);
    // 1: four agents, the rules with the seeds of the training, and who is ahead in pairs.
    let five = of("isacbench evaluate --agent ppo,ekf-zf,last-estimate,genie");
    for word in
        ["2 seeds, too few", "ekf-zf − ppo", "2 of 2", "P(first is better)", "reward (higher is better)"]
    {
        assert!(five.contains(word), "{word}: {five}");
    }
    let html = std::fs::read_to_string(dir.path().join("runs/five-compared/compare.html")).unwrap();
    assert!(html.contains("mean sum-rate (bps/Hz), slot by slot") && html.contains("<svg"));
    // 2: every account by its name, and what the numbers are of.
    let ten: serde_json::Value = serde_json::from_str(of("isacbench evaluate --agent spiking-ac")).unwrap();
    for account in ["paper_fp32", "effective_ops_fp32", "memory_aware_int32"] {
        let joules = ten["metrics"][format!("energy_{account}_j_per_slot")]["mean"].as_f64();
        assert!(joules.is_some_and(|j| j > 0.0), "{account}: {}", ten["metrics"]);
    }
    assert_eq!(ten["configuration"]["spiking"]["steps"], 10);
    assert_eq!(ten["seeds"].as_array().map(Vec::len), Some(2));
    assert_eq!(ten["checkpoint"], "runs/ten");
    assert_eq!(ten["metrics"]["jain"]["per_seed"].as_array().map(Vec::len), Some(2));
    // 3: one agent of two files, told apart by their names.
    let at = of("isacbench compare at-20.json");
    assert!(at.contains("ppo (at-20)") && at.contains("ppo (at-40)") && at.contains("2 of 2"), "{at}");
    // 4
    assert!(of("isacbench schedule").contains("43.79"), "{}", of("isacbench schedule"));
    // 5: list-valued keys are drawn by their mean, in the order of their numbers, and the bound is kept.
    let speeds = of("isacbench compare runs/speeds");
    assert!(speeds.contains("mean over 3 conditions") && speeds.contains("15 of 15"), "{speeds}");
    let report = std::fs::read_to_string(dir.path().join("runs/speeds/report/report.md")).unwrap();
    // The answer above the table names the best of them.
    let table = report.split_once("\n| agent |").unwrap().1;
    let places: Vec<_> = ["[5.0, 9.0]", "[10.0, 14.0]", "[25.0, 29.0]"].map(|s| table.find(s)).into();
    assert!(places.is_sorted() && places[0].is_some(), "{report}");
    let figure =
        std::fs::read_to_string(dir.path().join("runs/speeds/report/sum_rate_bps_hz-1.svg")).unwrap();
    assert!(figure.contains("mean of speed (m/s)"));
    // 6
    let slots = dir.path().join("runs/slots/slots-sum_rate_bps_hz-1.svg");
    assert!(std::fs::read_to_string(slots).unwrap().contains("genie"));
    assert!(of("isacbench evaluate --agent last-estimate,ekf-zf,genie").contains("10 of 10"));
    // 7: the slowest first.
    let bench = of("isacbench bench --compare");
    let ratio = |line: &str| line.split('|').nth_back(4).and_then(|x| x.trim().parse::<f64>().ok());
    let ratios: Vec<f64> = bench.lines().filter(|l| l.starts_with("| `")).filter_map(ratio).collect();
    assert!(bench.contains("slower in"), "{bench}");
    assert!(ratios.len() < 2 || ratios[0] <= ratios[ratios.len() - 1], "{ratios:?}");
    // 8
    let exponents = of("isacbench compare runs/exponents");
    assert!(exponents.contains("of 9") && exponents.contains("mean over 3 conditions"), "{exponents}");
    // 9: the guide's programs are doctests; the page names them.
    assert!(page.contains("guide"));
    // 10
    assert!(of("isacbench cite runs/five").contains("task.vehicles=5"), "{}", of("isacbench cite runs/five"));
}

//! What `isacbench` says where nothing is asked for: what people do first.

use super::print::say;
use super::tasks::Tasks;

/// Fixed agents that one command compares, at most.
const COMPARED: usize = 4;

/// Five commands that can be copied, with the names of the program's own tasks.
pub(super) fn first(tasks: &Tasks) {
    let name = env!("CARGO_PKG_NAME");
    say!(
        "{name} {}: learned control for integrated sensing and communication (ISAC)",
        env!("CARGO_PKG_VERSION")
    );
    say!("");
    say!("What people do first:");
    for (command, what) in commands(tasks) {
        say!("  {name} {command}");
        say!("      {what}");
    }
    say!("");
    say!("All commands: {name} --help. One of them, with examples: {name} train --help");
}

fn commands(tasks: &Tasks) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if tasks.iter().any(|t| !t.experiments().is_empty()) {
        out.push((
            "reproduce all --scale smoke".into(),
            "everything once, in minutes: figures beside printed values, in runs/index.html".into(),
        ));
    }
    let Some(task) = tasks.first() else { return out };
    let learned = task.learned();
    let fixed: Vec<&str> = task.agents().into_iter().filter(|a| !learned.contains(a)).collect();
    let some = fixed.iter().rev().take(COMPARED).rev().copied().collect::<Vec<_>>();
    if !some.is_empty() {
        out.push((
            format!("evaluate --task {} --agent {}", task.name(), some.join(",")),
            "agents beside each other on the same draws, with intervals".into(),
        ));
    }
    if let Some(agent) = learned.first() {
        out.push((
            format!("train --agent {agent} --out runs/mine"),
            "trains an agent and tells how healthy its training is".into(),
        ));
        out.push((
            format!("evaluate --agent {agent} --checkpoint runs/mine"),
            "what it reaches, and the energy of its decisions".into(),
        ));
    }
    out.push((
        "check --device gpu".into(),
        "every kernel on a graphics card, or software Vulkan, against its CPU reference".into(),
    ));
    out
}

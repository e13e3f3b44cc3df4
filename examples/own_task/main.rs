//! A task that is not in the crate: a UAV moves to serve two users on the ground and to sense a target. Every command
//! of `isacbench` is there for it:
//!
//! ```text
//! cargo run --release --example own_task -- check
//! cargo run --release --example own_task -- train --agent ppo --out runs/uav-ppo
//! cargo run --release --example own_task -- evaluate --agent ppo --checkpoint runs/uav-ppo/checkpoint.safetensors
//! cargo run --release --example own_task -- evaluate --agent bound
//! cargo run --release --example own_task -- replay uav --agents hover,direct --out runs/uav.html
//! cargo run --release --example own_task -- sweep examples/own_task/sweep.toml --out runs/uav
//! cargo run --release --example own_task -- report runs/uav
//! cargo test --example own_task
//! ```

mod physics;
mod task;
#[cfg(test)]
mod tests;

use isacbench::cli::{self, Entry, Tasks};

const TASKS: &Tasks = &[&Entry::<task::UavConfig>::new()];

fn main() -> std::process::ExitCode {
    cli::main(TASKS, isacbench::sources!("src", "shaders", "examples", "Cargo.toml", "Cargo.lock"))
}

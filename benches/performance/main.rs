//! All performance studies, one binary: `cargo bench`. Each benchmark is checked before it is timed, and leaves
//! criterion's samples with a record of what they are samples of (`isacbench::bench`), which `isacbench bench` reads.
//!
//! * `ISACBENCH_DEVICE` names the devices: `isacbench::bench::device`.
//! * `ISACBENCH_GRID` names the sizes: `isacbench::bench::grid`.
//! * An argument is criterion's filter on identifiers, such as `cargo bench -- '^ceiling|^training_v2x_ppo/cpu/'`.
//!
//! Ends with an error if a check failed or a device did, after everything else has run.

mod ceilings;
mod harness;
mod kernel_times;
#[allow(dead_code, reason = "a test of the cases uses more of them")]
mod kernels;
mod networks;
mod physics;
mod replicas;
mod rollout;
mod training;
mod update;
#[path = "../workload/mod.rs"]
#[allow(dead_code, reason = "an example uses more of it")]
mod workload;

use harness::Bench;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut bench = match Bench::new() {
        Ok(bench) => bench,
        Err(e) => {
            eprintln!("benches: {e}");
            return ExitCode::FAILURE;
        }
    };
    // What all shares are of comes first, and what the most questions are about: a run that is cut short has these.
    ceilings::run(&mut bench);
    training::run(&mut bench);
    rollout::run(&mut bench);
    update::run(&mut bench);
    physics::run(&mut bench);
    replicas::run(&mut bench);
    networks::run(&mut bench);
    kernel_times::run(&mut bench);
    bench.end()
}

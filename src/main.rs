//! The program: its commands on the tasks of the crate.

fn main() -> std::process::ExitCode {
    isacbench::cli::main(isacbench::tasks::ALL)
}

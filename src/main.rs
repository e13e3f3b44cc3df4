//! The program: its commands on the tasks of the crate.

fn main() -> std::process::ExitCode {
    let sources = isacbench::sources!("src", "shaders", "configs", "revision", "Cargo.toml", "Cargo.lock");
    isacbench::cli::main(isacbench::tasks::ALL, sources)
}

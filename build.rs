//! Writes down which revision the sources have when they are compiled. The program could not tell later: its sources may have moved on, lie on
//! another machine or belong to another user by then.

use std::path::Path;
use std::process::Command;

/// What is compiled in, and what decides how.
const SOURCES: [&str; 6] = ["src", "shaders", "configs", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    // A path that does not exist would compile the crate at every build.
    let watch = |path: &str| {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    };
    SOURCES.into_iter().for_each(watch);
    // A crate that was unpacked below some other repository must not take that one's revision.
    if git(&["ls-files", "--error-unmatch", "Cargo.toml"]).is_none() {
        return;
    }
    let Some(revision) = git(&["rev-parse", "HEAD"]) else { return };
    println!("cargo::rustc-env=ISACBENCH_REVISION={revision}");
    // Only what is compiled: results are written beside it. Sources that git does not know cannot be compiled in without one that names them.
    let status = [&["status", "--porcelain", "--untracked-files=no", "--"], &SOURCES[..]].concat();
    if let Some(changes) = git(&status) {
        println!("cargo::rustc-env=ISACBENCH_DIRTY={}", !changes.is_empty());
    }
    let place = |name: &str| git(&["rev-parse", "--git-path", name]);
    ["HEAD", "packed-refs", "reftable"].into_iter().filter_map(place).for_each(|path| watch(&path));
    if let Some(branch) = git(&["symbolic-ref", "--quiet", "HEAD"]).and_then(|name| place(&name)) {
        // A branch whose tip is packed has no file of its own until the next commit; the folder of that file hears of it.
        if let Some(there) = Path::new(&branch).ancestors().find(|path| path.exists()) {
            watch(&there.to_string_lossy());
        }
    }
}

/// What git says of the folder that is built, whoever owns it and whatever repository the environment names; `None` where it says nothing.
fn git(args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("GIT_") {
            command.env_remove(key);
        }
    }
    command.args(["--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"]);
    let output = command.args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

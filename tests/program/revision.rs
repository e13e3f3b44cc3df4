//! What the build script writes down: the revision of the sources that are compiled, and nothing of another repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate with this one's build script, that prints what it was told.
struct Crate {
    dir: PathBuf,
}

/// (revision, dirty, whether it was compiled again)
type Built = (String, String, bool);

impl Crate {
    fn new(dir: &Path) -> Crate {
        let dir = dir.to_path_buf();
        std::fs::create_dir_all(dir.join("src")).unwrap();
        std::fs::write(
            dir.join("Cargo.toml"),
            "[package]\nname = \"told\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n",
        )
        .unwrap();
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs"), dir.join("build.rs")).unwrap();
        std::fs::write(dir.join(".gitignore"), "/target\n/Cargo.lock\n").unwrap();
        let built = Crate { dir };
        built.source("");
        built
    }

    fn source(&self, more: &str) {
        let text = "fn main() {\n    println!(\"{:?} {:?}\", option_env!(\"ISACBENCH_REVISION\"), option_env!(\"ISACBENCH_DIRTY\"));\n}\n";
        std::fs::write(self.dir.join("src/main.rs"), text.to_string() + more).unwrap();
    }

    fn git(&self, args: &[&str]) -> String {
        let o = Command::new("git")
            .current_dir(&self.dir)
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"])
            .args(args)
            .output()
            .unwrap();
        assert!(o.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&o.stderr));
        String::from_utf8(o.stdout).unwrap().trim().into()
    }

    fn commit(&self) -> String {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn build(&self, environment: &[(&str, &str)]) -> Built {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.dir).args(["build", "--offline"]).env_remove("CARGO_TARGET_DIR");
        // `cargo test` hands its crate's own to what it runs.
        cargo.env_remove("ISACBENCH_REVISION").env_remove("ISACBENCH_DIRTY");
        cargo.envs(environment.iter().copied());
        let o = cargo.output().unwrap();
        let log = String::from_utf8_lossy(&o.stderr).into_owned();
        assert!(o.status.success(), "{log}");
        let told = Command::new(self.dir.join("target/debug/told")).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let (revision, dirty) = told.trim().split_once(' ').unwrap();
        (revision.into(), dirty.into(), log.contains("Compiling"))
    }
}

fn some(x: &str) -> String {
    format!("{:?}", Some(x))
}

#[test]
fn the_revision_is_that_of_the_sources_when_they_were_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let told = Crate::new(dir.path());
    told.git(&["init", "--quiet"]);
    let first = told.commit();
    assert_eq!(told.build(&[]), (some(&first), some("false"), true));
    assert_eq!(told.build(&[]), (some(&first), some("false"), false), "compiled at every build");

    told.source("// More.\n");
    assert_eq!(told.build(&[]), (some(&first), some("true"), true));
    let second = told.commit();
    assert_eq!(told.build(&[]), (some(&second), some("false"), true));
    // Results and notes beside the sources change nothing of the program.
    std::fs::write(dir.path().join("notes"), "x").unwrap();
    assert_eq!(told.build(&[]), (some(&second), some("false"), false));

    // A tip that is packed has no file.
    told.git(&["pack-refs", "--all"]);
    assert_eq!(told.build(&[]).0, some(&second));
    assert_eq!(told.build(&[]), (some(&second), some("false"), false));
    let third = told.commit();
    assert_eq!(told.build(&[]), (some(&third), some("false"), true));

    // Another repository in the environment, and a branch of the same.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = Crate::new(other.path());
    elsewhere.git(&["init", "--quiet"]);
    elsewhere.commit();
    told.git(&["checkout", "--quiet", "-b", "next"]);
    let git_dir = other.path().join(".git");
    let misleading = [("GIT_DIR", git_dir.to_str().unwrap()), ("GIT_INDEX_FILE", "/nonexistent")];
    assert_eq!(told.build(&misleading), (some(&third), some("false"), true));
}

#[test]
fn sources_outside_git_have_no_revision() {
    let none = ("None".to_string(), "None".to_string());
    let dir = tempfile::tempdir().unwrap();
    // Unpacked below a repository that does not know it.
    let above = Crate::new(dir.path());
    above.git(&["init", "--quiet"]);
    above.commit();
    let below = Crate::new(&dir.path().join("below"));
    for again in [false, true] {
        let (revision, dirty, compiled) = below.build(&[]);
        assert_eq!(((revision, dirty), compiled), (none.clone(), !again));
    }

    // A machine without git.
    let cargo = Path::new(env!("CARGO")).parent().unwrap().to_str().unwrap().to_string();
    if Path::new(&cargo).join("git").exists() {
        return eprintln!("SKIPPED: cargo and git lie in one folder");
    }
    let folders = std::env::var_os("PATH").unwrap();
    let tools = tempfile::tempdir().unwrap();
    for tool in ["cc", "ld", "as", "rustc"] {
        let found = std::env::split_paths(&folders).map(|dir| dir.join(tool)).find(|path| path.exists());
        if let Some(path) = found {
            #[cfg(unix)]
            std::os::unix::fs::symlink(path, tools.path().join(tool)).unwrap();
        }
    }
    let path = format!("{cargo}:{}", tools.path().to_str().unwrap());
    let alone = tempfile::tempdir().unwrap();
    let (revision, dirty, _) = Crate::new(alone.path()).build(&[("PATH", &path)]);
    assert_eq!((revision, dirty), none);
    // The same repository as above, with git out of reach.
    above.source("// More.\n");
    let (revision, dirty, _) = above.build(&[("PATH", &path)]);
    assert_eq!((revision, dirty), none);
}

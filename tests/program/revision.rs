//! What a program writes down of its sources when it is compiled: their revision, and nothing of another repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that prints what it was told, with a library.
struct Crate {
    dir: PathBuf,
}

/// (revision, dirty, whether the program was compiled again)
type Built = (String, String, bool);

const LIBRARY: &str = "pub const GREETING: &str = \"\";\n";
const PROGRAM: &str = "fn main() {
    print!(\"{}\", told::GREETING);
    let sources: (Option<&str>, Option<bool>) = isacbench_revision::sources!(\"src\", \"Cargo.toml\", \"data\");
    println!(\"{:?} {:?}\", sources.0, sources.1);
}
";

impl Crate {
    fn new(dir: &Path) -> Crate {
        let dir = dir.to_path_buf();
        std::fs::create_dir_all(dir.join("src")).unwrap();
        let revision = Path::new(env!("CARGO_MANIFEST_DIR")).join("revision");
        let package = format!(
            "[package]\nname = \"told\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [dependencies]\nisacbench-revision = {{ path = {revision:?} }}\n"
        );
        std::fs::write(dir.join("Cargo.toml"), package).unwrap();
        std::fs::write(dir.join(".gitignore"), "/target\n/Cargo.lock\n").unwrap();
        let built = Crate { dir };
        built.write("src/lib.rs", LIBRARY);
        built.write("src/main.rs", PROGRAM);
        built.write("data", "1\n");
        built
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).unwrap();
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

    /// Builds the program; `library` is whether its library is compiled.
    fn build(&self, library: bool, environment: &[(&str, &str)]) -> Built {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.dir).args(["build", "--offline", "--verbose"]).env_remove("CARGO_TARGET_DIR");
        cargo.envs(environment.iter().copied());
        let o = cargo.output().unwrap();
        let log = String::from_utf8_lossy(&o.stderr).into_owned();
        assert!(o.status.success(), "{log}");
        let compiled = |file: &str| log.lines().any(|l| l.contains("--crate-name told ") && l.contains(file));
        assert_eq!(compiled(" src/lib.rs "), library, "{log}");
        let told = Command::new(self.dir.join("target/debug/told")).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let (revision, dirty) = told.trim().split_once(' ').unwrap();
        (revision.into(), dirty.into(), compiled(" src/main.rs "))
    }
}

fn some<T: std::fmt::Debug>(x: T) -> String {
    format!("{:?}", Some(x))
}

#[test]
fn the_revision_is_that_of_the_sources_when_they_were_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let told = Crate::new(dir.path());
    told.git(&["init", "--quiet"]);
    let first = told.commit();
    assert_eq!(told.build(true, &[]), (some(&first), some(false), true));
    assert_eq!(told.build(false, &[]), (some(&first), some(false), false), "compiled at every build");

    told.write("src/lib.rs", &format!("{LIBRARY}// More.\n"));
    assert_eq!(told.build(true, &[]), (some(&first), some(true), true));
    let second = told.commit();
    assert_eq!(
        told.build(false, &[]),
        (some(&second), some(false), true),
        "a commit compiles the program alone"
    );
    // Results and notes beside the sources change nothing of the program; what it names is its own.
    told.write("notes", "x");
    assert_eq!(told.build(false, &[]), (some(&second), some(false), false));
    told.write("data", "2\n");
    assert_eq!(told.build(false, &[]), (some(&second), some(true), true));
    told.write("data", "1\n");
    assert_eq!(told.build(false, &[]), (some(&second), some(false), true));

    // A tip that is packed has no file.
    told.git(&["pack-refs", "--all"]);
    assert_eq!(told.build(false, &[]).0, some(&second));
    let third = told.commit();
    assert_eq!(told.build(false, &[]), (some(&third), some(false), true));

    // A repository that keeps no log.
    std::fs::remove_dir_all(told.dir.join(".git/logs")).unwrap();
    told.git(&["config", "core.logAllRefUpdates", "false"]);
    assert_eq!(told.build(false, &[]), (some(&third), some(false), true));
    told.write("data", "3\n");
    let fourth = told.commit();
    assert!(!told.dir.join(".git/logs/HEAD").exists());
    assert_eq!(told.build(false, &[]), (some(&fourth), some(false), true));

    // Another repository in the environment, and a branch of the same.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = Crate::new(other.path());
    elsewhere.git(&["init", "--quiet"]);
    elsewhere.commit();
    told.git(&["checkout", "--quiet", "-b", "next"]);
    told.write("data", "4\n");
    let fifth = told.commit();
    let git_dir = other.path().join(".git");
    let misleading = [("GIT_DIR", git_dir.to_str().unwrap()), ("GIT_INDEX_FILE", "/nonexistent")];
    assert_eq!(told.build(false, &misleading), (some(&fifth), some(false), true));
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
        let (revision, dirty, compiled) = below.build(!again, &[]);
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
    let (revision, dirty, _) = Crate::new(alone.path()).build(true, &[("PATH", &path)]);
    assert_eq!((revision, dirty), none);
    // The same repository as above, with git out of reach.
    let (revision, dirty, _) = above.build(true, &[("PATH", &path)]);
    assert_eq!((revision, dirty), none);
}

//! Writes down which revision a program's sources have when it is compiled. The program could not tell later: its
//! sources may have moved on, lie on another machine or belong to another user by then.
//!
//! A macro and no build script, which would compile all of a package again with every commit: only the file that calls
//! it is.

use proc_macro::{TokenStream, TokenTree};
use std::path::PathBuf;
use std::process::Command;

/// The revision of the package that is compiled and whether its sources differ from it, as
/// `(Option<&'static str>, Option<bool>)`: `sources!("src", "Cargo.toml")`. The arguments are the files and folders
/// that the program is made of. Without git, or where git does not know the package, both are `None`.
#[proc_macro]
pub fn sources(made_of: TokenStream) -> TokenStream {
    let paths = made_of.into_iter().filter_map(|token| match token {
        TokenTree::Literal(path) => Some(path.to_string().trim_matches('"').to_string()),
        _ => None,
    });
    let package = Package(PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()));
    let (revision, dirty, watched) = package.sources(&paths.collect::<Vec<_>>());
    // The compiler notes the files that it includes, and the program is compiled again when one of them changes.
    let watch = watched.iter().map(|path| format!("const _: &[u8] = include_bytes!({path:?});"));
    let told = format!("{{ {} ({revision:?}, {dirty:?}) }}", watch.collect::<String>());
    told.parse().expect("strings, a tuple and options are an expression")
}

/// The folder of a package.
struct Package(PathBuf);

impl Package {
    /// The revision, whether the sources differ from it, and the files that both hang on.
    fn sources(&self, made_of: &[String]) -> (Option<String>, Option<bool>, Vec<PathBuf>) {
        // A package that was unpacked below some other repository must not take that one's revision.
        if self.git(&["ls-files", "--error-unmatch", "Cargo.toml"]).is_none() {
            return (None, None, Vec::new());
        }
        let paths: Vec<&str> = made_of.iter().map(String::as_str).collect();
        let ask = |args: &[&str]| self.git(&[args, &["--"], &paths].concat());
        let files = ask(&["ls-files", "-z"]).unwrap_or_default();
        let mut watched: Vec<PathBuf> = files.split_terminator('\0').map(|file| self.0.join(file)).collect();
        // Every commit and checkout adds a line to the first; where it is not kept, both write the second.
        let moves = ["logs/HEAD", "index"].into_iter().filter_map(|name| {
            let path = self.0.join(self.git(&["rev-parse", "--git-path", name])?);
            path.exists().then_some(path)
        });
        watched.extend(moves.take(1));
        watched.retain(|path| path.is_file());
        let revision = self.git(&["rev-parse", "HEAD"]);
        // Only what is compiled: results are written beside it. Sources that git does not know cannot be compiled in
        // without one that names them.
        let changes = || ask(&["status", "--porcelain", "--untracked-files=no"]);
        let dirty = revision.as_ref().and_then(|_| changes()).map(|changes| !changes.is_empty());
        (revision, dirty, watched)
    }

    /// What git says of the folder, whoever owns it and whatever repository the environment names; `None` where it says
    /// nothing.
    fn git(&self, args: &[&str]) -> Option<String> {
        let mut command = Command::new("git");
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("GIT_") {
                command.env_remove(key);
            }
        }
        command.args(["--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"]);
        let output = command.args(args).current_dir(&self.0).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    }
}

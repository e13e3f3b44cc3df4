//! The house stands: no circle of imports between the files of `src/`, rooms import downward, and nothing outside
//! `src/tasks/` names a task.
//!
//! What counts as an import is a path in code: `use` with all its groups, and paths in bodies. Comments, strings and
//! `#[cfg(test)]` modules do not count: a test may use what stands above it, and takes a task where it needs one. A
//! name that a module passes on (`pub use`) is an import of the file that defines it, not of the file that passes it
//! on, so that a `mod.rs` may open a door to the files below it which use what it defines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms, the lowest first: each imports from itself and from those before it. A file belongs to the room with the
/// longest matching name: rows lie below the reports made of them, and jobs, which write reports, above.
const ROOMS: [&str; 18] = [
    "files",
    "num",
    "gpu",
    "nets",
    "env",
    "kernels",
    "config",
    "learn",
    "exchange",
    "energy",
    "golden",
    "run/rows",
    "report",
    "run",
    "bench",
    "report/bench",
    "cli",
    "tasks",
];

/// Imports that close a circle which stays: (file, what it imports, reason).
const CLOSING: [(&str, &str, &str); 0] = [];

/// Imports of a room above that stay: (file, room, reason).
const UPWARD: [(&str, &str, &str); 0] = [];

/// Names of the tasks of this program.
const TASKS: [&str; 2] = ["v2x", "misac"];

/// Files outside `src/tasks/` that may name a task, with the reason; at most five.
const NAMING: [(&str, &str); 2] = [
    ("cli/mod.rs", "examples of commands, which must be ones that run"),
    ("guide.rs", "shows an agent of each task, which are there to be read"),
];

// ---- Reading sources ----

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Mark(char),
}

/// Words and marks of Rust source without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let c: Vec<char> = text.chars().collect();
    let at = |i: usize| c.get(i).copied().unwrap_or('\0');
    let word = |x: char| x.is_alphanumeric() || x == '_';
    let (mut i, mut out) = (0, Vec::new());
    while i < c.len() {
        match c[i] {
            '/' if at(i + 1) == '/' => {
                while i < c.len() && c[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= c.len() {
                        break;
                    }
                }
            }
            '"' => {
                i += 1;
                while i < c.len() && c[i] != '"' {
                    i += if c[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character, or a lifetime: only a character ends with a quote right behind.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < c.len() && c[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => i += 1,
            'r' | 'b' if raw_string(&c[i..]).is_some() => i += raw_string(&c[i..]).unwrap_or(1),
            x if word(x) => {
                let start = i;
                while word(at(i)) {
                    i += 1;
                }
                out.push(Token::Word(c[start..i].iter().collect()));
            }
            ':' if at(i + 1) == ':' => {
                out.push(Token::Colons);
                i += 2;
            }
            x => {
                if !x.is_whitespace() {
                    out.push(Token::Mark(x));
                }
                i += 1;
            }
        }
    }
    out
}

/// Length of the raw string that `c` begins with.
fn raw_string(c: &[char]) -> Option<usize> {
    let start = c.iter().take_while(|x| matches!(x, 'b' | 'r')).count();
    if start > 2 || c[start - 1] != 'r' {
        return None;
    }
    let hashes = c[start..].iter().take_while(|x| **x == '#').count();
    if c.get(start + hashes) != Some(&'"') {
        return None;
    }
    let body = start + hashes + 1;
    let end = (body..c.len()).find(|&i| {
        c[i] == '"' && c.len() >= i + 1 + hashes && c[i + 1..i + 1 + hashes].iter().all(|x| *x == '#')
    })?;
    Some(end + 1 + hashes)
}

fn is(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Word(w)) if w == word)
}

fn mark(token: Option<&Token>, c: char) -> bool {
    token == Some(&Token::Mark(c))
}

/// The index behind the bracket that matches the one at `i`.
fn behind(t: &[Token], mut i: usize) -> usize {
    let mut depth = 0;
    while i < t.len() {
        match t[i] {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth == 0 {
            break;
        }
    }
    i
}

/// The same tokens without items under `#[cfg(test)]`.
fn without_tests(t: &[Token]) -> Vec<Token> {
    let (mut i, mut out) = (0, Vec::new());
    while i < t.len() {
        let attribute = mark(t.get(i), '#') && mark(t.get(i + 1), '[');
        let tests =
            attribute && is(t.get(i + 2), "cfg") && is(t.get(i + 4), "test") && mark(t.get(i + 5), ')');
        if !tests {
            out.push(t[i].clone());
            i += 1;
            continue;
        }
        i = behind(t, i + 1);
        // Other attributes, then the item up to its body or its semicolon.
        while i < t.len() && !mark(t.get(i), ';') && !mark(t.get(i), '{') {
            i = if matches!(t[i], Token::Mark('(' | '[')) { behind(t, i) } else { i + 1 };
        }
        i = if mark(t.get(i), '{') { behind(t, i) } else { i + 1 };
    }
    out
}

/// A path of a `use`: segments, the name it gives, and whether it is passed on.
#[derive(Clone, Debug)]
struct Use {
    path: Vec<String>,
    name: String,
    public: bool,
}

/// What stands in a file.
#[derive(Debug, Default)]
struct Source {
    uses: Vec<Use>,
    /// Paths of more than one segment outside of `use`.
    paths: Vec<Vec<String>>,
}

/// The tree of a `use` from `i`; the index behind it.
fn use_tree(t: &[Token], mut i: usize, before: &[String], public: bool, out: &mut Vec<Use>) -> usize {
    let mut path = before.to_vec();
    loop {
        match t.get(i) {
            Some(Token::Colons) => i += 1,
            Some(Token::Mark('{')) => {
                i += 1;
                while !mark(t.get(i), '}') && i < t.len() {
                    i = use_tree(t, i, &path, public, out);
                    i += usize::from(mark(t.get(i), ','));
                }
                return i + 1;
            }
            Some(Token::Mark('*')) => {
                out.push(Use { path, name: "*".into(), public });
                return i + 1;
            }
            Some(Token::Word(w)) if w == "as" => {
                let Some(Token::Word(name)) = t.get(i + 1) else { return i + 1 };
                // `a::{self as b}` is `a`.
                if path.len() > 1 && path.last().is_some_and(|s| s == "self") {
                    path.pop();
                }
                out.push(Use { path, name: name.clone(), public });
                return i + 2;
            }
            Some(Token::Word(w)) => {
                path.push(w.clone());
                i += 1;
            }
            _ => {
                // `a::{self}` is `a`.
                if path.len() > 1 && path.last().is_some_and(|s| s == "self") {
                    path.pop();
                }
                if let Some(name) = path.last().cloned() {
                    out.push(Use { path, name, public });
                }
                return i;
            }
        }
    }
}

fn read(text: &str) -> Source {
    let t = without_tests(&tokens(text));
    let (mut i, mut out) = (0, Source::default());
    // Where the modules inside the file end: `super` in them is the file's own module.
    let mut inside: Vec<usize> = Vec::new();
    while i < t.len() {
        inside.retain(|end| *end > i);
        if is(t.get(i), "mod") && mark(t.get(i + 2), '{') {
            inside.push(behind(&t, i + 2));
        }
        if is(t.get(i), "use") {
            let public = i > 0 && (is(t.get(i - 1), "pub") || mark(t.get(i - 1), ')'));
            let first = out.uses.len();
            i = use_tree(&t, i + 1, &[], public, &mut out.uses);
            out.uses[first..].iter_mut().for_each(|u| own(&mut u.path, inside.len()));
            continue;
        }
        let first = matches!(t[i], Token::Word(_)) && !(i > 0 && t[i - 1] == Token::Colons);
        if !first {
            i += 1;
            continue;
        }
        let mut path = Vec::new();
        while let Some(Token::Word(w)) = t.get(i) {
            path.push(w.clone());
            i += 1;
            if t.get(i) != Some(&Token::Colons) {
                break;
            }
            i += 1;
        }
        if path.len() > 1 {
            own(&mut path, inside.len());
            out.paths.push(path);
        }
    }
    out
}

/// A path of a module that lies `depth` deep inside its file, as one of the file's module.
fn own(path: &mut [String], depth: usize) {
    path.iter_mut().take(depth).take_while(|s| *s == "super").for_each(|s| *s = "self".into());
}

// ---- The graph ----

type Module = Vec<String>;

struct House {
    /// File below `src/` of each module, and what stands in it.
    files: BTreeMap<Module, (String, Source)>,
}

impl House {
    fn of(texts: impl IntoIterator<Item = (String, String)>) -> House {
        let module = |file: &str| {
            let mut m: Module = file.trim_end_matches(".rs").split('/').map(String::from).collect();
            if m.last().is_some_and(|s| s == "mod" || s == "lib") {
                m.pop();
            }
            m
        };
        House { files: texts.into_iter().map(|(file, text)| (module(&file), (file, read(&text)))).collect() }
    }

    /// A path in `module` from the crate's root; `None` if it leads out of the crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => {
                let inside = path.iter().take_while(|s| *s == "self").count();
                (module.clone(), &path[inside..])
            }
            "super" => (module.clone(), path),
            first => {
                let mut child = module.clone();
                child.push(first.into());
                if self.files.contains_key(&child) {
                    child.extend_from_slice(&path[1..]);
                    return Some(child);
                }
                return self.imported(module, path);
            }
        };
        while rest.first().is_some_and(|s| s == "super") {
            at.pop();
            rest = &rest[1..];
        }
        at.extend_from_slice(rest);
        Some(at)
    }

    /// A path in `module` that begins with a module's imported name.
    fn imported(&self, module: &Module, path: &[String]) -> Option<Module> {
        let uses = &self.files.get(module)?.1.uses;
        let rooted = |u: &&Use| matches!(u.path[0].as_str(), "crate" | "self" | "super");
        for u in uses.iter().filter(rooted) {
            let mut at = self.absolute(module, &u.path)?;
            if u.name == "*" {
                at.push(path[0].clone());
            } else if u.name != path[0] {
                continue;
            }
            if self.files.contains_key(&at) {
                at.extend_from_slice(&path[1..]);
                return Some(at);
            }
        }
        None
    }

    /// The module whose file defines what this absolute path in `from` names: imported names are followed, private ones
    /// where `from` can see them.
    fn defining(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let known = (0..=path.len()).rev().find(|&n| self.files.contains_key(&path[..n]))?;
        let (module, rest) = (path[..known].to_vec(), &path[known..]);
        let Some(name) = rest.first() else { return Some(module) };
        if depth > 0 {
            for u in self.files[&module]
                .1
                .uses
                .iter()
                .filter(|u| u.name == *name && (u.public || from.starts_with(&module)))
            {
                if let Some(mut next) = self.absolute(&module, &u.path) {
                    next.extend_from_slice(&rest[1..]);
                    return self.defining(from, &next, depth - 1);
                }
            }
        }
        Some(module)
    }

    /// Files that each file imports from.
    fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut out = BTreeMap::new();
        for (module, (file, source)) in &self.files {
            let mut to: BTreeSet<&str> = BTreeSet::new();
            let mut add = |absolute: Module, whole: bool| {
                // A module by its name alone is what is used of it, which is seen where it is used.
                if whole && self.files.contains_key(&absolute) {
                    return;
                }
                // The crate's own door has macros and no items.
                if let Some(m) = self.defining(module, &absolute, 8)
                    && m != *module
                    && !m.is_empty()
                {
                    to.insert(&self.files[&m].0);
                }
            };
            for u in source.uses.iter().filter(|u| !u.public) {
                if let Some(path) = self.absolute(module, &u.path) {
                    add(path, u.name != "*");
                }
            }
            for p in &source.paths {
                if let Some(path) = self.absolute(module, p) {
                    add(path, true);
                }
            }
            out.insert(file.as_str(), to);
        }
        out
    }
}

/// Sets of files that reach each other.
fn circles<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<BTreeSet<&'a str>> {
    let reach = |from: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(f) = open.pop() {
            for to in imports.get(f).into_iter().flatten() {
                if seen.insert(*to) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|f| (*f, reach(f))).collect();
    let mut out: Vec<BTreeSet<&str>> = Vec::new();
    for f in imports.keys().filter(|f| reached[*f].contains(*f)) {
        if !out.iter().any(|c| c.contains(f)) {
            out.push(reached[f].iter().filter(|g| reached[*g].contains(f)).copied().collect());
        }
    }
    out
}

// ---- The tests ----

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let name = |p: &Path| p.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
    files.iter().map(|p| (name(p), std::fs::read_to_string(p).expect("a source"))).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let house = House::of(sources());
    let mut imports = house.imports();
    for (file, to, _) in CLOSING {
        let all = imports.get_mut(file).unwrap_or_else(|| panic!("no file {file}"));
        assert!(all.remove(to), "{file} does not import {to} any more: take it off the list");
    }
    let told: Vec<String> = circles(&imports)
        .iter()
        .map(|circle| {
            let line = |f: &&str| {
                let to: Vec<&str> = imports[*f].iter().filter(|t| circle.contains(*t)).copied().collect();
                format!("  {f} imports {}", to.join(", "))
            };
            circle.iter().map(line).collect::<Vec<_>>().join("\n")
        })
        .collect();
    assert!(told.is_empty(), "{} circles of imports:\n{}", told.len(), told.join("\n\n"));
}

#[test]
fn rooms_import_downward() {
    let house = House::of(sources());
    let lies_in = |file: &str, room: &str| {
        file.strip_prefix(room).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    };
    let place = |file: &str| {
        let rooms = ROOMS.iter().enumerate().filter(|(_, room)| lies_in(file, room));
        rooms.max_by_key(|(_, room)| room.len()).map(|(at, _)| at)
    };
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for (file, to) in house.imports() {
        // The crate's door, its program and its guide stand outside the rooms.
        if ["lib.rs", "main.rs", "guide.rs"].contains(&file) {
            continue;
        }
        let Some(at) = place(file) else {
            wrong.push(format!("{file} is in no room"));
            continue;
        };
        for target in to {
            let Some(above) = place(target).filter(|p| *p > at) else { continue };
            match UPWARD.iter().position(|(f, r, _)| *f == file && *r == ROOMS[above]) {
                Some(n) => drop(used.insert(n)),
                None => wrong.push(format!("{file} imports {target}")),
            }
        }
    }
    let stale =
        (0..UPWARD.len()).filter(|n| !used.contains(n)).map(|n| format!("not needed: {:?}", UPWARD[n]));
    wrong.extend(stale);
    assert!(wrong.is_empty(), "{} imports go upward:\n{}", wrong.len(), wrong.join("\n"));
}

/// Lines outside of `#[cfg(test)]` modules, comments included, which name a task.
fn naming(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        if line == "#[cfg(test)]" {
            // A module at the margin ends with a brace at the margin; what is no module ends with its first line.
            let Some((_, item)) = lines.next() else { break };
            if item.starts_with("mod ") && item.ends_with('{') {
                lines.by_ref().find(|(_, l)| *l == "}");
            }
            continue;
        }
        let lower = line.to_lowercase();
        if TASKS.iter().any(|task| lower.contains(task)) {
            out.push((n + 1, line));
        }
    }
    out
}

#[test]
fn only_the_folder_of_tasks_names_them() {
    assert!(NAMING.len() <= 5);
    let mut wrong = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| !file.starts_with("tasks/")) {
        let named = naming(text);
        let may = NAMING.iter().any(|(f, _)| f == file);
        if may && named.is_empty() {
            wrong.push(format!("{file} names no task any more: take it off the list"));
        }
        if !may {
            wrong.extend(named.iter().map(|(n, line)| format!("src/{file}:{n}: {}", line.trim())));
        }
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

// ---- The tests find what they are for ----

fn house(files: &[(&str, &str)]) -> House {
    House::of(files.iter().map(|(file, text)| (file.to_string(), text.to_string())))
}

#[test]
fn a_circle_is_found_through_groups_doors_and_paths_in_bodies() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b;"),
        ("a/mod.rs", "mod x; mod y; pub use x::{X, One as Two};"),
        ("a/x.rs", "use crate::{b::{self, B}, b::deep::D}; fn f() { b::g() }"),
        ("a/y.rs", "use super::Two; fn f() -> super::super::b::B { todo() }"),
        ("b/mod.rs", "pub mod deep; pub struct B; pub fn g() {}"),
        ("b/deep.rs", "pub struct D; fn f() { crate::a::X::new(); }"),
    ];
    let house = house(&files);
    let imports = house.imports();
    assert_eq!(imports["a/y.rs"], BTreeSet::from(["a/x.rs", "b/mod.rs"]));
    assert_eq!(imports["a/x.rs"], BTreeSet::from(["b/deep.rs", "b/mod.rs"]));
    assert_eq!(imports["a/mod.rs"], BTreeSet::new(), "what is passed on is no import");
    assert_eq!(circles(&imports), [BTreeSet::from(["a/x.rs", "b/deep.rs"])]);
}

#[test]
fn comments_strings_and_tests_import_nothing() {
    let text = r##"
        //! [`crate::b::B`]
        /* use crate::b::B; /* crate::b */ */
        const A: &str = "use crate::b::B; \" crate::b::B";
        const R: &str = r#"crate::b::B "quoted" crate::b::B"#;
        const C: [char; 3] = ['"', '\'', '\u{7f}'];
        fn lifetime<'a>(x: &'a str) -> &'a str { x }
        mod inside { use super::own; }
        #[cfg(test)]
        #[allow(dead_code)]
        mod tests { use crate::b::B; fn f() { crate::b::g() } }
        #[cfg(test)]
        use crate::b::B;
    "##;
    let house = house(&[("lib.rs", ""), ("a.rs", text), ("b.rs", "pub struct B; fn f(_: crate::a::A) {}")]);
    let imports = house.imports();
    assert_eq!((&imports["a.rs"], &imports["b.rs"]), (&BTreeSet::new(), &BTreeSet::from(["a.rs"])));
}

#[test]
fn a_task_is_found_by_name_but_for_tests() {
    let text = "//! V2X\nfn f() {}\n#[cfg(test)]\nmod tests {\n    // v2x\n}\nuse crate::tasks::misac;\n";
    assert_eq!(naming(text), [(1, "//! V2X"), (7, "use crate::tasks::misac;")]);
}

/// `println!` panics where nobody listens: `cli::print` says what is said.
#[test]
fn one_place_of_the_command_line_writes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli");
    for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for macro_name in ["println!(", "print!(", "eprintln!(", "eprint!("] {
                assert!(!line.contains(macro_name), "{}:{}: {macro_name}", file.display(), n + 1);
            }
        }
    }
}

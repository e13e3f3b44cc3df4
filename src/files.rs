//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where [`write_whole`] of this process writes before `path` is renamed to: beside it, under a name that readers of
/// datasets pass over.
pub fn temporary(path: &Path) -> std::io::Result<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| std::io::Error::other("not a file name"))?);
    name.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(name))
}

/// Writes to `path` through a temporary file beside it and a rename, so that an interrupted or failed write leaves what
/// was there before.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let temporary = temporary(path)?;
    let result = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Removes what [`write_whole`] and [`writable_folder`] of a process that was killed have left anywhere below `dir`,
/// which must be this process's own.
pub fn remove_leftovers(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            remove_leftovers(&path)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number =
            |ending| name.strip_prefix('.')?.strip_suffix(ending)?.rsplit('.').next()?.parse::<u32>().ok();
        if [".tmp", ".probe"].into_iter().any(|ending| number(ending).is_some()) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// What was asked of a path; `None` where nothing is there.
pub fn if_there<T>(asked: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match asked {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        asked => asked.map(Some),
    }
}

/// What lies in a folder, in the order of the names.
pub fn entries(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Makes what was renamed into `dir` survive a loss of power too.
#[cfg(not(windows))]
pub fn sync_folder(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Windows opens no folder as a file, and writes its entries by a journal of its own.
#[cfg(windows)]
pub fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Makes the folder `dir` if it is missing and tries to write into it, so that a long job fails before its work and not
/// after.
pub fn writable_folder(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let probe = dir.join(format!(".{}.probe", std::process::id()));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_being_written_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let kept = ["rows.json", "own.tmp", "12.json", ".a.b.tmp", "note.probe", "rows.12.tmp"];
        for name in kept.into_iter().chain([".rows.json.12.tmp", ".7.probe"]) {
            std::fs::write(below.join(name), "x").unwrap();
        }
        std::fs::write(temporary(&below.join("rows.json")).unwrap(), "x").unwrap();
        remove_leftovers(dir.path()).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&below).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        let mut kept = kept.map(std::ffi::OsString::from);
        kept.sort();
        assert_eq!(left, kept);
    }
}

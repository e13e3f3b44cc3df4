//! Files that are there whole or not at all.

use std::io::Write;
use std::path::Path;

/// Writes to `path` through a temporary file beside it and a rename, so that an interrupted or failed write leaves what was there before.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let mut name = path.file_name().ok_or_else(|| std::io::Error::other("not a file name"))?.to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = parent.join(name);
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

/// Makes what was renamed into `dir` survive a loss of power too.
pub fn sync_folder(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

/// Makes the folder `dir` if it is missing and tries to write into it, so that a long job fails before its work and not after.
pub fn writable_folder(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let probe = dir.join(format!(".{}.probe", std::process::id()));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(&probe)
}

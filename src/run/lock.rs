//! One process per folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The folder is this process's until the value is dropped or the process ends, however it ends: the system itself
/// keeps the lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The process that had the folder before and died with it.
    pub stale: Option<u32>,
    /// The folder, if it was made for this lock.
    made: Option<PathBuf>,
}

/// Name of the lock file, which holds the owner's process id as text.
pub const FILE: &str = "lock";

/// Why a folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("'{dir}' is in use by {who}; wait for it, or choose another --out")]
    Held { dir: String, who: String },
    #[error("'{0}': cannot write into this folder: {1}")]
    Write(String, std::io::Error),
}

impl Lock {
    /// Takes the folder `dir`, which is made if it is missing. A folder that was made and is still empty when the lock
    /// is dropped goes with it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the owner's process id if another process has it.
    pub fn take(dir: &Path) -> Result<Lock, LockError> {
        let path = dir.join(FILE);
        let writing = |e| LockError::Write(dir.display().to_string(), e);
        loop {
            let made = !dir.exists();
            std::fs::create_dir_all(dir).map_err(writing)?;
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = open.map_err(writing)?;
            let taken = file.try_lock();
            if let Err(TryLockError::Error(e)) = taken {
                return Err(writing(e));
            }
            let mut text = String::new();
            // Whatever is in the file, the lock itself decides; its text is for people.
            let _ = file.read_to_string(&mut text);
            let owner = text.trim().parse::<u32>().ok();
            if taken.is_err() {
                let who = owner.map_or("another process".into(), |pid| format!("process {pid}"));
                return Err(LockError::Held { dir: dir.display().to_string(), who });
            }
            // An owner that left no work removes the folder with the file; who had opened that file before holds a lock
            // on nothing.
            if !is_at(&file, &path) {
                continue;
            }
            let mut lock = Lock { file, stale: owner, made: made.then(|| dir.to_path_buf()) };
            lock.put(&format!("{}\n", std::process::id())).map_err(writing)?;
            return Ok(lock);
        }
    }

    fn put(&mut self, text: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

/// Whether the open file is still the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|a| std::fs::metadata(path).is_ok_and(|b| same(a, b)))
}

/// An open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An owner that ends in order leaves no name.
        let _ = self.put("");
        if let Some(dir) = &self.made
            && std::fs::read_dir(dir).is_ok_and(|files| files.count() == 1)
            && std::fs::remove_file(dir.join(FILE)).is_ok()
        {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_a_dead_one_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        assert_eq!(first.stale, None);
        let e = Lock::take(dir.path()).unwrap_err();
        let text = e.to_string();
        assert!(matches!(e, LockError::Held { .. }), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        assert_eq!(Lock::take(dir.path()).unwrap().stale, None);
        // A process that was killed leaves its name but not its lock.
        std::fs::write(dir.path().join(FILE), "4194305\n").unwrap();
        let follower = Lock::take(dir.path()).unwrap();
        assert_eq!(follower.stale, Some(4_194_305));
        assert!(Lock::take(dir.path()).is_err());
    }

    #[test]
    fn a_folder_without_work_goes_with_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, used) = (dir.path().join("a/b"), dir.path().join("c"));
        drop(Lock::take(&empty).unwrap());
        assert!(!empty.exists());
        let lock = Lock::take(&used).unwrap();
        std::fs::write(used.join("work"), "x").unwrap();
        drop(lock);
        assert!(used.join("work").exists());
        // It was there before.
        drop(Lock::take(dir.path()).unwrap());
        assert!(dir.path().exists());
    }
}

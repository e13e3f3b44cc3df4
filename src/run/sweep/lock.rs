//! One process per folder.

use super::{SweepError, writing};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The folder is this process's until the value is dropped or the process ends, however it ends: the system itself keeps the lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// The process that had the folder before and died with it.
    pub stale: Option<u32>,
}

/// Name of the lock file, which holds the owner's process id as text.
pub const FILE: &str = "lock";

impl Lock {
    /// Takes the folder `dir`, which must exist.
    ///
    /// # Errors
    /// [`SweepError::Locked`] with the owner's process id if another process has it.
    pub fn take(dir: &Path) -> Result<Lock, SweepError> {
        let path = dir.join(FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(writing(&path))?;
        let taken = file.try_lock();
        if let Err(TryLockError::Error(e)) = taken {
            return Err(writing(&path)(e));
        }
        let mut text = String::new();
        // Whatever is in the file, the lock itself decides; its text is for people.
        let _ = file.read_to_string(&mut text);
        let owner = text.trim().parse::<u32>().ok();
        if taken.is_err() {
            let who = owner.map_or("another process".into(), |pid| format!("process {pid}"));
            return Err(SweepError::Locked { dir: dir.display().to_string(), who });
        }
        let mut lock = Lock { file, stale: owner };
        lock.put(&format!("{}\n", std::process::id())).map_err(writing(&path))?;
        Ok(lock)
    }

    fn put(&mut self, text: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An owner that ends in order leaves no name.
        let _ = self.put("");
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
        assert!(matches!(e, SweepError::Locked { .. }), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        assert_eq!(Lock::take(dir.path()).unwrap().stale, None);
        // A process that was killed leaves its name but not its lock.
        std::fs::write(dir.path().join(FILE), "4194305\n").unwrap();
        let follower = Lock::take(dir.path()).unwrap();
        assert_eq!(follower.stale, Some(4_194_305));
        assert!(Lock::take(dir.path()).is_err());
    }
}

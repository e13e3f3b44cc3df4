//! The manifest of a job's folder while the job runs: written when its work begins, after every checkpoint and at its
//! end, so that it also tells of processes that were killed.

use super::errors::JobError;
use super::rows::{Manifest, RunPart};
use crate::files::{if_there, write_whole};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// Name of the manifest in a job's folder.
pub const FILE: &str = "manifest.json";

/// Takes down what this process adds to a job.
pub struct Journal {
    path: PathBuf,
    started: Instant,
    /// With this process's part as the last one.
    manifest: Mutex<Manifest>,
    /// Device of the part before, where it is another one.
    other_device: Option<String>,
}

/// The manifest in a folder, `None` if there is none.
///
/// # Errors
/// Why it cannot be read.
pub fn read(dir: &Path) -> Result<Option<Manifest>, JobError> {
    let path = dir.join(FILE);
    let bytes = if_there(std::fs::read(&path)).map_err(|e| JobError::file(&path, e))?;
    bytes.map(|b| serde_json::from_slice(&b).map_err(|e| JobError::file(&path, e))).transpose()
}

impl Journal {
    /// A part of the job in `dir`: `now` is this process, `before` what its predecessors have left. Writes nothing yet.
    pub fn new(dir: &Path, now: Manifest, before: Option<Manifest>) -> Journal {
        let own = RunPart { updates_from: Some(0), updates_to: Some(0), ..RunPart::of(&now) };
        let mut manifest = now;
        let mut other_device = None;
        if let Some(before) = before {
            manifest.started_utc = before.started_utc.clone();
            manifest.parts = match before.parts.is_empty() {
                // Of a version that kept no parts.
                true => vec![RunPart::of(&before)],
                false => before.parts,
            };
            other_device = manifest.parts.last().and_then(|last| last.other_device(&own));
        }
        manifest.parts.push(own);
        let (path, started) = (dir.join(FILE), Instant::now());
        Journal { path, started, manifest: Mutex::new(manifest), other_device }
    }

    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// The device of the part before and this part's, in words, where they differ.
    pub fn other_device(&self) -> Option<&str> {
        self.other_device.as_deref()
    }

    /// A training run of the job goes on behind `done` updates, or was found with nothing left to do.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self, done: u32, total: u32) -> Result<(), JobError> {
        self.add(u64::from(done), u64::from(done));
        if done < total { self.write() } else { Ok(()) }
    }

    /// As many `updates` more are in a checkpoint.
    ///
    /// # Errors
    /// As [`Journal::begin`].
    pub fn saved(&self, updates: u32) -> Result<(), JobError> {
        self.add(0, u64::from(updates));
        self.write()
    }

    fn add(&self, from: u64, to: u64) {
        if let Some(own) = self.manifest().parts.last_mut() {
            own.updates_from = own.updates_from.map(|n| n + from);
            own.updates_to = own.updates_to.map(|n| n + to);
        }
    }

    /// The manifest as it is now: its wall time is the sum over all parts whose time is known.
    pub fn now(&self) -> Manifest {
        let mut m = self.manifest();
        if let Some(own) = m.parts.last_mut() {
            own.wall_s = Some(self.started.elapsed().as_secs_f64());
        }
        m.wall_s = Some(m.parts.iter().filter_map(|p| p.wall_s).sum());
        m.clone()
    }

    /// Writes it.
    ///
    /// # Errors
    /// As [`Journal::begin`].
    pub fn write(&self) -> Result<(), JobError> {
        let failed = |what: String| JobError::file(&self.path, what);
        let text = serde_json::to_string_pretty(&self.now()).map_err(|e| failed(e.to_string()))?;
        write_whole(&self.path, (text + "\n").as_bytes()).map_err(|e| failed(format!("cannot write it: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::rows::DeviceName;

    fn manifest(device: &str, backend: &str) -> Manifest {
        let device = DeviceName { device: device.into(), driver: None, backend: backend.into() };
        Manifest::collect(&["isacbench".into(), "train".into()], "", "v2x", &["ppo".into()], &[1], &device)
    }

    #[test]
    fn every_part_is_told_and_times_add_up() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let first = Journal::new(dir.path(), manifest("cpu (2 threads)", "cpu"), None);
        first.begin(0, 10).unwrap();
        first.saved(4).unwrap();
        // It is killed now. The next process finds four updates, on a CPU with more threads, which is no other device.
        let mut before = read(dir.path()).unwrap().unwrap();
        before.parts[0].wall_s = Some(100.0);
        let start = "2026-01-02T03:04:05Z".to_string();
        before.started_utc = Some(start.clone());
        let second = Journal::new(dir.path(), manifest("cpu (8 threads)", "cpu"), Some(before));
        assert_eq!(second.other_device(), None);
        second.begin(4, 10).unwrap();
        second.saved(6).unwrap();
        let there = read(dir.path()).unwrap().unwrap();
        let updates: Vec<_> = there.parts.iter().map(|p| (p.updates_from, p.updates_to)).collect();
        assert_eq!(updates, [(Some(0), Some(4)), (Some(4), Some(10))]);
        assert_eq!((there.device.as_str(), there.started_utc.clone()), ("cpu (8 threads)", Some(start)));
        assert!(there.wall_s.unwrap() > 100.0 && there.parts[1].wall_s.unwrap() < 100.0);

        let third = Journal::new(dir.path(), manifest("Card", "vulkan"), Some(there.clone()));
        let told = third.other_device().unwrap();
        assert!(told.contains("cpu (8 threads)") && told.contains("Card"), "{told}");
        // A run that was found finished changes no file.
        third.begin(10, 10).unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap(), there);
    }

    #[test]
    fn a_manifest_without_parts_is_the_first_part() {
        let dir = tempfile::tempdir().unwrap();
        let old = Manifest { wall_s: Some(7.0), ..manifest("Card", "vulkan") };
        std::fs::write(dir.path().join(FILE), serde_json::to_string(&old).unwrap()).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains("parts"), "{text}");
        let next = Journal::new(dir.path(), manifest("Card", "vulkan"), read(dir.path()).unwrap()).now();
        assert_eq!((next.parts[0].wall_s, next.parts[0].updates_to), (Some(7.0), None));
        assert!(next.wall_s.unwrap() >= 7.0 && next.parts.len() == 2);
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains(FILE));
    }
}

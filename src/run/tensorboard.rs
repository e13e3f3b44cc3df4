//! Learning curves as event files that TensorBoard reads.
//!
//! ```text
//! DIR/ppo/seed-0/events.out.tfevents.000000.0123456789abcdef    a file for each process that worked on the run, and which training it is of
//! ```
//!
//! A file is a sequence of TFRecords: the length of a message (u64, little endian), the masked CRC-32C of these eight
//! bytes, the message, and its masked CRC-32C. A message is a protobuf `tensorflow.Event`: a wall time, the number of
//! an update as the step, and a summary of simple values, whose tags are the columns of [`CurveRow`]. Of a column that
//! says nothing there is no value. Records are appended one by one, so a process that is killed leaves at most a broken
//! last one; whoever continues the run cuts it off, with all updates that are made again.

use super::errors::JobError;
use super::rows::{Column, CurveRow, Key, Row, Schema};
use crate::files::{entries, if_there};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// TensorBoard takes every file for events whose name has the last word of this in it.
const PREFIX: &str = "events.out.tfevents.";

/// CRC-32C (Castagnoli).
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    !bytes.iter().fold(!0, |crc, b| (0..8).fold(crc ^ u32::from(*b), bit))
}

/// As TFRecords store it: a checksum of bytes that hold checksums would be weak.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), message, &masked(message)].concat()
}

/// The first record of `bytes`: its message and what follows it. `None` if it is cut off or damaged.
fn first_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|_| *sum == masked(length))?;
    let (message, rest) = rest.split_at_checked(size)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    (*sum == masked(message)).then_some((message, rest))
}

// Fields of `tensorflow.Event`, `Summary`, `Summary.Value` and `SessionLog` as keys of protobuf: number · 8 + type.
const WALL_TIME: u8 = 1 << 3 | 1;
const STEP: u8 = 2 << 3;
const FILE_VERSION: u8 = 3 << 3 | 2;
const SUMMARY: u8 = 5 << 3 | 2;
const SESSION_LOG: u8 = 7 << 3 | 2;
const VALUE: u8 = 1 << 3 | 2;
const TAG: u8 = 1 << 3 | 2;
const SIMPLE_VALUE: u8 = 2 << 3 | 5;
const STATUS: u8 = 1 << 3;
/// `SessionLog.START`: what was read of this step and later ones is of a process that did not get to save it.
const START: u8 = 1;

fn varint(mut x: u64, out: &mut Vec<u8>) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

fn bytes_field(key: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(key);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// An event of now.
fn event(step: u32, field: u8, content: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
    let mut out = vec![WALL_TIME];
    out.extend(now.to_le_bytes());
    out.push(STEP);
    varint(u64::from(step), &mut out);
    bytes_field(field, content, &mut out);
    record(&out)
}

fn summary(values: &[(&str, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, x) in values {
        let mut value = Vec::new();
        bytes_field(TAG, tag.as_bytes(), &mut value);
        value.push(SIMPLE_VALUE);
        value.extend((*x as f32).to_le_bytes());
        bytes_field(VALUE, &value, &mut out);
    }
    out
}

/// The step of an event of this module, and the key of what it holds; `None` of other messages.
fn step_of(message: &[u8]) -> Option<(u32, u8)> {
    let rest = message.strip_prefix(&[WALL_TIME])?.get(8..)?.strip_prefix(&[STEP])?;
    let last = rest.iter().take(5).position(|b| b & 0x80 == 0)?;
    let step = rest[..=last].iter().rev().fold(0, |x, b| x << 7 | u64::from(b & 0x7f));
    Some((u32::try_from(step).ok()?, *rest.get(last + 1)?))
}

/// Where a training writes events.
#[derive(Clone, Debug)]
pub struct Place {
    pub dir: PathBuf,
    /// Overwrite what other trainings have written there.
    pub force: bool,
}

/// What is known of a training when it begins to write events.
pub(super) struct Training<'a> {
    pub schema: &'static Schema,
    /// Its replicas, which differ in their seeds.
    pub keys: &'a [Key],
    /// Everything that its weights depend on, as text: events of another training are not continued.
    pub of: &'a str,
    /// Whether it continues; else there must be no events yet.
    pub resume: bool,
    /// Updates that are in its checkpoint, and their rows.
    pub done: u32,
    pub rows: &'a [CurveRow],
}

/// Event files of all replicas of a training.
pub(super) struct Events {
    columns: Vec<Column<CurveRow>>,
    files: Vec<EventFile>,
}

/// The events of one replica.
struct EventFile {
    key: Key,
    path: PathBuf,
    /// Made with its first event.
    file: Option<File>,
    /// Updates before this process, if there was another.
    after: Option<u32>,
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> JobError {
    move |e| JobError::file(path, format!("cannot write events: {e}"))
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Events {
    /// Makes the folders, and cuts what is there back to the updates that are done. What a process before this one did
    /// not write is written now.
    ///
    /// # Errors
    /// [`JobError::File`] if a folder holds events that are not this training's to continue, or nothing can be written.
    pub fn open(place: &Place, training: &Training) -> Result<Events, JobError> {
        let own = format!("{:016x}", digest(training.of));
        let folder = |key: &Key| place.dir.join(&key.agent).join(format!("seed-{}", key.seed));
        let there = training.keys.iter().map(|key| files(&folder(key))).collect::<Result<Vec<_>, _>>()?;
        // All of them before the first is touched.
        for (key, files) in training.keys.iter().zip(&there).filter(|_| !place.force) {
            let foreign = |f: &PathBuf| f.extension().is_none_or(|e| e != own.as_str());
            let what = match files.iter().any(foreign) {
                true => "holds events of another training",
                false if !training.resume && !files.is_empty() => "holds events already",
                false => continue,
            };
            let what = format!("{what}; overwrite them with --force, or choose another --tensorboard");
            return Err(JobError::file(&folder(key), what));
        }
        let keys = CurveRow::keys(training.schema);
        let mut columns = CurveRow::columns(training.schema);
        columns.retain(|c| !keys.contains(&c.name));
        let mut events = Events { columns, files: Vec::new() };
        for (key, files) in training.keys.iter().zip(there) {
            let (dir, mut known) = (folder(key), BTreeSet::new());
            std::fs::create_dir_all(&dir).map_err(failed(&dir))?;
            for file in &files {
                match training.resume {
                    true => known.extend(cut(file, training.done)?),
                    false => std::fs::remove_file(file).map_err(failed(file))?,
                }
            }
            let before = if training.resume { files.len() } else { 0 };
            events.files.push(EventFile {
                key: key.clone(),
                path: dir.join(format!("{PREFIX}{before:06}.{own}")),
                file: None,
                after: (before > 0).then_some(training.done),
            });
            let missing = |r: &&CurveRow| r.key == *key && !known.contains(&r.update);
            for row in training.rows.iter().filter(missing) {
                events.add(row)?;
            }
        }
        Ok(events)
    }

    /// Appends the event of an update.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn add(&mut self, row: &CurveRow) -> Result<(), JobError> {
        // As in the table, where a number that is not finite is null.
        let value = |c: &Column<CurveRow>| Some((c.name, c.number(row).filter(|x| x.is_finite())?));
        let values: Vec<_> = self.columns.iter().filter_map(value).collect();
        let file = self.files.iter_mut().find(|r| r.key == row.key).expect("a replica of the training");
        file.append(event(row.update, SUMMARY, &summary(&values))).map_err(failed(&file.path))
    }
}

impl EventFile {
    fn append(&mut self, event_of: Vec<u8>) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                bytes.extend(event(0, FILE_VERSION, b"brain.Event:2"));
                if let Some(done) = self.after {
                    bytes.extend(event(done, SESSION_LOG, &[STATUS, START]));
                }
                OpenOptions::new().append(true).create(true).open(&self.path)?
            }
        };
        bytes.extend(event_of);
        file.write_all(&bytes)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Event files in a folder, in the order in which they were begun.
fn files(dir: &Path) -> Result<Vec<PathBuf>, JobError> {
    let mut out = if_there(entries(dir)).map_err(failed(dir))?.unwrap_or_default();
    out.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX)));
    Ok(out)
}

/// Cuts a file off where a record is broken or of an update that is not before `done`; the updates that are left.
fn cut(path: &Path, done: u32) -> Result<Vec<u32>, JobError> {
    let bytes = std::fs::read(path).map_err(failed(path))?;
    let (mut rest, mut steps) = (&bytes[..], Vec::new());
    while let Some((message, behind)) = first_record(rest) {
        match step_of(message) {
            Some((step, SUMMARY)) if step < done => steps.push(step),
            Some((step, FILE_VERSION | SESSION_LOG)) if step <= done => {}
            _ => break,
        }
        rest = behind;
    }
    if !rest.is_empty() {
        let file = OpenOptions::new().write(true).open(path).map_err(failed(path))?;
        file.set_len((bytes.len() - rest.len()) as u64).map_err(failed(path))?;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::run::reproduce::{RunId, Training as Job};
    use crate::run::task::Task;
    use crate::run::watch::Quiet;
    use crate::tasks::v2x::config::V2xConfig;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        // The first twelve bytes of every event file that TensorFlow writes.
        let length = 24u64.to_le_bytes();
        assert_eq!([&length[..], &masked(&length)].concat(), *b"\x18\0\0\0\0\0\0\0\xa3\x7fK\"");
    }

    /// Fields of a protobuf message: number, type, and the bytes of a string, a message or a fixed number, or those of
    /// a varint's value.
    fn fields(mut m: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
        fn number(m: &mut &[u8]) -> u64 {
            let (mut x, mut shift) = (0, 0);
            loop {
                let (b, rest) = m.split_first().expect("a varint");
                *m = rest;
                x |= u64::from(b & 0x7f) << shift;
                shift += 7;
                if *b < 0x80 {
                    return x;
                }
            }
        }
        let mut out = Vec::new();
        while !m.is_empty() {
            let key = number(&mut m) as u8;
            let size = match key & 7 {
                0 => {
                    out.push((key >> 3, 0, number(&mut m).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => number(&mut m) as usize,
                5 => 4,
                other => panic!("type {other}"),
            };
            let (bytes, rest) = m.split_at(size);
            out.push((key >> 3, key & 7, bytes.to_vec()));
            m = rest;
        }
        out
    }

    /// Steps of a file with their tags and values; what stands before them is checked here.
    fn read(path: &Path) -> Vec<(u32, Vec<(String, f32)>)> {
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut out) = (&bytes[..], Vec::new());
        let mut records = 0;
        while !rest.is_empty() {
            let (message, behind) = first_record(rest).expect("a whole record");
            rest = behind;
            let event = fields(message);
            let wall = f64::from_le_bytes(event[0].2[..].try_into().unwrap());
            let step = u64::from_le_bytes(event[1].2[..].try_into().unwrap());
            assert!((event[0].0, event[1].0, event.len()) == (1, 2, 3) && wall > 1.7e9, "{event:?}");
            let (field, content) = (event[2].0, &event[2].2);
            match field {
                3 => assert!(records == 0 && content == b"brain.Event:2" && step == 0),
                7 => assert!(records == 1 && fields(content) == [(1, 0, 1u64.to_le_bytes().to_vec())]),
                5 => {
                    let value = |(number, _, bytes): (u8, u8, Vec<u8>)| {
                        let value = fields(&bytes);
                        assert_eq!((number, value[0].0, value[1].0, value[1].1), (1, 1, 2, 5));
                        let x = f32::from_le_bytes(value[1].2[..].try_into().unwrap());
                        (String::from_utf8(value[0].2.clone()).unwrap(), x)
                    };
                    out.push((step as u32, fields(content).into_iter().map(value).collect()));
                }
                other => panic!("field {other}"),
            }
            records += 1;
        }
        out
    }

    /// Trains in `dir` until so many updates are done, and writes events beside it.
    fn train(
        dir: &Path,
        place: &Place,
        updates: u32,
        resume: bool,
        set: &str,
    ) -> Result<Vec<CurveRow>, String> {
        let sets = [
            "task.slots=10",
            "task.antennas_tx=8",
            "ppo.hidden=[8]",
            "spiking.hidden=[]",
            "ppo.envs=8",
            "ppo.horizon=10",
            "ppo.minibatch=40",
            "ppo.lr_final_share=1.0",
            "train.seeds=[0,7]",
            set,
            &format!("train.updates={updates}"),
        ];
        let config = V2xConfig::load(None, &sets.map(String::from)).unwrap();
        let job = Job {
            config: &config,
            run: RunId { agent: V2xConfig::agent("ppo").unwrap(), variant: String::new() },
            replicas: vec![(40.0, 0), (40.0, 7)],
            dir: dir.join("out"),
            every: 2,
            resume,
            journal: None,
            events: Some(place.clone()),
            best: false,
        };
        job.run(None, &Quiet).map(|trained| trained.curves).map_err(|e| e.to_string())
    }

    /// All events of a seed, in the order of its files.
    fn events(place: &Place, seed: u32) -> Vec<(u32, Vec<(String, f32)>)> {
        let dir = place.dir.join(format!("ppo/seed-{seed}"));
        files(&dir).unwrap().iter().flat_map(|f| read(f)).collect()
    }

    /// What the events of a seed must be.
    fn wanted(rows: &[CurveRow], seed: u32) -> Vec<(u32, Vec<(String, f32)>)> {
        let names = [
            "env_steps",
            "reward",
            "sum_rate_bps_hz",
            "jain",
            "indicator_share",
            "policy_loss",
            "value_loss",
            "entropy",
            "approx_kl",
            "clip_fraction",
            "explained_variance",
            "dead_neurons",
            "saturated_neurons",
            "rate_share",
            "skipped_share",
            "grad_norm_actor",
            "grad_norm_critic",
        ];
        let of = |r: &CurveRow| {
            let losses = [r.policy_loss, r.value_loss, r.entropy, r.approx_kl, r.clip_fraction];
            let health =
                [r.explained_variance, r.dead_neurons, r.saturated_neurons, r.rate_share, r.skipped_share];
            let norms = [r.grad_norm_actor, r.grad_norm_critic];
            let all = [&[r.env_steps as f64][..], &r.slots, &losses, &health, &norms].concat();
            let named = names.iter().zip(all).filter(|(_, x)| x.is_finite());
            (r.update, named.map(|(n, x)| (n.to_string(), x as f32)).collect())
        };
        rows.iter().filter(|r| r.key.seed == seed).map(of).collect()
    }

    #[test]
    fn every_update_is_one_event_however_often_the_run_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { dir: dir.path().join("tb"), force: false };
        let rows = train(dir.path(), &place, 2, false, "train.log_every=1").unwrap();
        for seed in [0, 7] {
            assert_eq!(events(&place, seed), wanted(&rows, seed));
        }
        // Found finished, nothing is written.
        train(dir.path(), &place, 2, true, "train.log_every=1").unwrap();
        let first = files(&place.dir.join("ppo/seed-0")).unwrap();
        assert_eq!(first.len(), 1);
        // As a kill in the fourth update leaves it: an update that no checkpoint has, and half a record.
        let mut bytes = std::fs::read(&first[0]).unwrap();
        let whole = event(2, SUMMARY, &summary(&[("reward", 1.0)]));
        bytes.extend([&whole[..], &whole[..20]].concat());
        std::fs::write(&first[0], &bytes).unwrap();
        let rows = train(dir.path(), &place, 5, true, "train.log_every=1").unwrap();
        assert_eq!(rows.len(), 10);
        for seed in [0, 7] {
            assert_eq!(events(&place, seed), wanted(&rows, seed));
            assert_eq!(files(&place.dir.join(format!("ppo/seed-{seed}"))).unwrap().len(), 2);
        }
        // Events that are asked for late begin with the first update, and a lost file is written again.
        let late = Place { dir: dir.path().join("late"), force: false };
        let rows = train(dir.path(), &late, 6, true, "train.log_every=1").unwrap();
        assert_eq!(events(&late, 7), wanted(&rows, 7));
        assert_eq!(events(&late, 7).len(), 6);
    }

    #[test]
    fn events_of_another_training_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { dir: dir.path().join("tb"), force: false };
        let other = dir.path().join("other");
        train(dir.path(), &place, 1, false, "ppo.gamma=0.5").unwrap();
        let path = files(&place.dir.join("ppo/seed-7")).unwrap()[0].clone();
        let before = std::fs::read(&path).unwrap();
        for (resume, set, says) in [
            (false, "ppo.gamma=0.5", "holds events already"),
            (false, "ppo.gamma=0.6", "another training"),
            (true, "ppo.gamma=0.6", "another training"),
        ] {
            let e = train(&other, &place, 1, resume, set).unwrap_err();
            assert!(e.contains(says) && e.contains("--force") && e.contains("seed-0"), "{e}");
        }
        assert!(
            std::fs::read(&path).unwrap() == before && !other.join("out/checkpoint.safetensors").exists()
        );
        let forced = Place { force: true, ..place.clone() };
        let rows = train(&other, &forced, 1, false, "ppo.gamma=0.6").unwrap();
        assert!(!path.exists());
        assert_eq!(events(&place, 7), wanted(&rows, 7));
        // A folder that cannot be made is an error before the training begins.
        let file = Place { dir: dir.path().join("file"), force: false };
        std::fs::write(&file.dir, "x").unwrap();
        let third = dir.path().join("third");
        assert!(train(&third, &file, 1, false, "ppo.gamma=0.5").unwrap_err().contains("file/ppo/seed-0"));
    }
}

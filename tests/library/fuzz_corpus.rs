//! The fuzz targets' functions over their corpus and changed copies of it, on the stable toolchain: whatever a file
//! holds, loading it ends with a value or an error, never with a panic. FUZZ_ROUNDS sets how many changed copies of
//! each file are tried (default 200).
#![cfg(feature = "report")]

#[path = "../../fuzz/fuzz_targets/loaders.rs"]
mod loaders;

use isacbench::num::philox::{PhiloxRng, Stream};
use rand::Rng;
use std::path::Path;

fn rounds() -> u32 {
    std::env::var("FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// A number below `n`.
fn below(rng: &mut PhiloxRng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

/// A copy with a few bytes changed, cut, repeated, or exchanged for what loaders stumble over.
fn changed(whole: &[u8], rng: &mut PhiloxRng) -> Vec<u8> {
    const TRAPS: [&[u8]; 12] = [
        b"nan",
        b"-1",
        b"1e999",
        b"18446744073709551615",
        b"[",
        b"{}",
        b"\"",
        b"\0",
        b"\n[task]\n",
        b"=",
        b"9999999999",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    ];
    let mut out = whole.to_vec();
    for _ in 0..1 + below(rng, 4) {
        let at = below(rng, out.len().max(1)).min(out.len());
        let end = (at + 1 + below(rng, 24)).min(out.len());
        match below(rng, 5) {
            0 if at < out.len() => out[at] ^= 1 << below(rng, 8),
            1 => out.truncate(at),
            2 => drop(out.drain(at..end)),
            3 => {
                let piece = out[at..end].to_vec();
                let to = below(rng, out.len() + 1);
                out.splice(to..to, piece);
            }
            _ => drop(out.splice(at..end, TRAPS[below(rng, TRAPS.len())].iter().copied())),
        }
    }
    out
}

fn corpus(target: &str, load: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", dir.display());
    for (n, file) in files.iter().enumerate() {
        let whole = std::fs::read(file).unwrap();
        load(&whole);
        for round in 0..rounds() {
            let mut rng = PhiloxRng::new([n as u32, round], Stream::Sweep, 0, 1);
            let input = changed(&whole, &mut rng);
            let kept = input.clone();
            let loaded = std::panic::catch_unwind(move || load(&input));
            if loaded.is_err() {
                let path = std::env::temp_dir().join(format!("fuzz-{target}-{n}-{round}"));
                std::fs::write(&path, kept).unwrap();
                panic!(
                    "{target}: round {round} of {} panicked; its input is {}",
                    file.display(),
                    path.display()
                );
            }
        }
    }
}

#[test]
fn configurations() {
    corpus("config", loaders::config);
}

#[test]
fn sweep_files() {
    corpus("sweep_file", loaders::sweep_file);
}

#[test]
fn checkpoints() {
    corpus("checkpoint", loaders::checkpoint);
}

#[test]
fn torch_files() {
    corpus("torch_file", loaders::torch_file);
}

#[test]
fn the_corpus_is_valid_so_that_changes_reach_deep() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    use isacbench::config::Layered;
    use isacbench::run::checkpoint::Checkpoint;
    use isacbench::run::sweep::plan::SweepFile;
    use isacbench::tasks::misac::config::MisacConfig;
    use isacbench::tasks::v2x::config::V2xConfig;
    V2xConfig::from_toml(&text("config/v2x.toml"), "v2x").unwrap();
    MisacConfig::from_toml(&text("config/misac.toml"), "misac").unwrap();
    for (name, points) in [("v2x", 30), ("misac", 15), ("random", 16)] {
        assert_eq!(
            SweepFile::parse(&text(&format!("sweep_file/{name}.toml")), name).unwrap().points(),
            points
        );
    }
    Checkpoint::<V2xConfig>::from_bytes(&read("checkpoint/dqn.safetensors"), "dqn".into()).unwrap();
    Checkpoint::<MisacConfig>::from_bytes(&read("checkpoint/h-moe.safetensors"), "h-moe".into()).unwrap();
    use isacbench::run::torch::from_torch;
    from_torch::<V2xConfig>(&read("torch_file/ppo.safetensors"), "ppo").unwrap();
    from_torch::<MisacConfig>(&read("torch_file/h-moe.safetensors"), "h-moe").unwrap();
}

//! What the fuzz targets call; any input must come back as a value or an error.

use isacbench::config::Layered;
use isacbench::run::checkpoint::Checkpoint;
use isacbench::run::sweep::Plan;
use isacbench::run::sweep::plan::SweepFile;
use isacbench::run::torch;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::v2x::config::V2xConfig;

/// Points of a sweep file that is planned: more are only parsed, so that a target stays fast.
const MOST_POINTS: usize = 64;

/// A whole configuration of either task, as a checkpoint holds it. One that is read is written and read back as the
/// same.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(c) = V2xConfig::from_toml(text, "fuzz") {
        assert_eq!(V2xConfig::from_toml(&c.to_toml(), "fuzz").expect("its own text"), c);
    }
    if let Ok(c) = MisacConfig::from_toml(text, "fuzz") {
        assert_eq!(MisacConfig::from_toml(&c.to_toml(), "fuzz").expect("its own text"), c);
    }
}

/// A sweep file of either task; its checkpoints are not opened.
pub fn sweep_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(file) = SweepFile::parse(text, "fuzz") else { return };
    if file.points() > MOST_POINTS || text.contains("checkpoints") {
        return;
    }
    if let Ok(plan) = Plan::<V2xConfig>::new(&file, "fuzz") {
        assert!(!plan.points.is_empty() && plan.points.len() <= file.points());
    }
    if let Ok(plan) = Plan::<MisacConfig>::new(&file, "fuzz") {
        assert!(!plan.points.is_empty() && plan.points.len() <= file.points());
    }
}

/// A checkpoint of either task.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(c) = Checkpoint::<V2xConfig>::from_bytes(bytes, "fuzz".into()) {
        assert!(c.state.params.iter().chain(&c.state.m).chain(&c.state.v).all(|x| x.is_finite()));
    }
    let _ = Checkpoint::<MisacConfig>::from_bytes(bytes, "fuzz".into());
}

/// A policy that comes back from PyTorch, of either task.
pub fn torch_file(bytes: &[u8]) {
    let _ = torch::task_of(bytes, "fuzz");
    if let Ok(c) = torch::from_torch::<V2xConfig>(bytes, "fuzz") {
        assert!(c.state.params.iter().all(|x| x.is_finite()));
    }
    let _ = torch::from_torch::<MisacConfig>(bytes, "fuzz");
}

//! Rows as polars frames: Parquet files, and groups with one value per seed.
//!
//! NaN becomes null on the way in and NaN again on the way out. Frames are sorted by all their keys and written by one thread with fixed
//! settings, so that equal rows give equal files whatever order they came in.

use super::{ReportError, write_whole};
use crate::rows::{ActivityRow, CurveRow, EnergyRow, EvalRow, SlotRow};
use polars::prelude::*;
use std::path::Path;

type Named<'a, R, T> = (&'a str, fn(&R) -> T);

fn strings<R>(rows: &[R], (name, get): (&str, fn(&R) -> &str)) -> Column {
    Column::new(name.into(), rows.iter().map(get).collect::<Vec<_>>())
}

fn numbers<R>(rows: &[R], (name, get): Named<R, f64>) -> Column {
    let values: Vec<Option<f64>> = rows.iter().map(|r| Some(get(r)).filter(|x| !x.is_nan())).collect();
    Column::new(name.into(), values)
}

fn counts32<R>(rows: &[R], (name, get): Named<R, u32>) -> Column {
    Column::new(name.into(), rows.iter().map(get).collect::<Vec<_>>())
}

fn counts64<R>(rows: &[R], (name, get): Named<R, u64>) -> Column {
    Column::new(name.into(), rows.iter().map(get).collect::<Vec<_>>())
}

fn table<T>(what: &str, result: PolarsResult<T>) -> Result<T, ReportError> {
    result.map_err(|source| ReportError::Table { what: what.to_string(), source })
}

/// Keys that every table starts with.
const RUN_KEYS: [&str; 5] = ["agent", "beam", "kinematics", "variant", "p_max_dbm"];

/// Sorts by all keys and refuses two rows with the same keys.
fn sorted(
    name: &'static str,
    frame: PolarsResult<DataFrame>,
    own_keys: &[&str],
) -> Result<DataFrame, ReportError> {
    let keys: Vec<&str> = RUN_KEYS.iter().chain(own_keys).copied().collect();
    let key_exprs: Vec<Expr> = keys.iter().map(|k| col(*k)).collect();
    let frame = table(name, frame)?;
    let sorted =
        frame.lazy().sort_by_exprs(&key_exprs, SortMultipleOptions::default().with_maintain_order(true));
    let repeated = sorted
        .clone()
        .group_by_stable(&key_exprs)
        .agg([len().alias("times")])
        .filter(col("times").gt(lit(1)));
    let repeated = table(name, repeated.collect())?;
    if repeated.height() > 0 {
        let cell = |k: &str| repeated.column(k).and_then(|c| c.get(0).map(|v| v.to_string()));
        let row: PolarsResult<Vec<String>> = keys.iter().map(|k| Ok(format!("{k} = {}", cell(k)?))).collect();
        let times = table(name, repeated.column("times").and_then(|c| Ok(c.u32()?.get(0).unwrap_or(0))))?;
        return Err(ReportError::DuplicateRow { table: name, row: table(name, row)?.join(", "), times });
    }
    table(name, sorted.collect())
}

/// Learning curves as a frame, one column per field of [`CurveRow`].
pub fn curves(rows: &[CurveRow]) -> Result<DataFrame, ReportError> {
    let frame = DataFrame::new(
        rows.len(),
        vec![
            strings(rows, ("agent", |r| &r.agent)),
            strings(rows, ("beam", |r| &r.beam)),
            strings(rows, ("kinematics", |r| &r.kinematics)),
            strings(rows, ("variant", |r| &r.variant)),
            numbers(rows, ("p_max_dbm", |r| r.p_max_dbm)),
            counts32(rows, ("seed", |r| r.seed)),
            counts32(rows, ("update", |r| r.update)),
            counts64(rows, ("env_steps", |r| r.env_steps)),
            numbers(rows, ("reward", |r| r.reward)),
            numbers(rows, ("sum_rate_bps_hz", |r| r.sum_rate_bps_hz)),
            numbers(rows, ("jain", |r| r.jain)),
            numbers(rows, ("indicator_share", |r| r.indicator_share)),
            numbers(rows, ("policy_loss", |r| r.policy_loss)),
            numbers(rows, ("value_loss", |r| r.value_loss)),
            numbers(rows, ("entropy", |r| r.entropy)),
            numbers(rows, ("approx_kl", |r| r.approx_kl)),
            numbers(rows, ("clip_fraction", |r| r.clip_fraction)),
            numbers(rows, ("grad_norm_actor", |r| r.grad_norm_actor)),
            numbers(rows, ("grad_norm_critic", |r| r.grad_norm_critic)),
        ],
    );
    sorted("curve", frame, &["seed", "update"])
}

/// Evaluation metrics as a frame, one column per field of [`EvalRow`].
pub fn evals(rows: &[EvalRow]) -> Result<DataFrame, ReportError> {
    let frame = DataFrame::new(
        rows.len(),
        vec![
            strings(rows, ("agent", |r| &r.agent)),
            strings(rows, ("beam", |r| &r.beam)),
            strings(rows, ("kinematics", |r| &r.kinematics)),
            strings(rows, ("variant", |r| &r.variant)),
            numbers(rows, ("p_max_dbm", |r| r.p_max_dbm)),
            counts32(rows, ("seed", |r| r.seed)),
            counts64(rows, ("episodes", |r| r.episodes)),
            strings(rows, ("metric", |r| &r.metric)),
            numbers(rows, ("mean", |r| r.mean)),
            numbers(rows, ("std_error", |r| r.std_error)),
        ],
    );
    sorted("evaluation", frame, &["metric", "seed"])
}

/// Rates over the slots of an episode as a frame, one column per field of [`SlotRow`].
pub fn slots(rows: &[SlotRow]) -> Result<DataFrame, ReportError> {
    let frame = DataFrame::new(
        rows.len(),
        vec![
            strings(rows, ("agent", |r| &r.agent)),
            strings(rows, ("beam", |r| &r.beam)),
            strings(rows, ("kinematics", |r| &r.kinematics)),
            strings(rows, ("variant", |r| &r.variant)),
            numbers(rows, ("p_max_dbm", |r| r.p_max_dbm)),
            counts32(rows, ("seed", |r| r.seed)),
            counts32(rows, ("slot", |r| r.slot)),
            numbers(rows, ("sum_rate_bps_hz", |r| r.sum_rate_bps_hz)),
        ],
    );
    sorted("slot", frame, &["slot", "seed"])
}

/// Energies as a frame, one column per field of [`EnergyRow`].
pub fn energy(rows: &[EnergyRow]) -> Result<DataFrame, ReportError> {
    let frame = DataFrame::new(
        rows.len(),
        vec![
            strings(rows, ("agent", |r| &r.agent)),
            strings(rows, ("beam", |r| &r.beam)),
            strings(rows, ("kinematics", |r| &r.kinematics)),
            strings(rows, ("variant", |r| &r.variant)),
            numbers(rows, ("p_max_dbm", |r| r.p_max_dbm)),
            counts32(rows, ("seed", |r| r.seed)),
            strings(rows, ("phase", |r| &r.phase)),
            strings(rows, ("network", |r| &r.network)),
            strings(rows, ("method", |r| &r.method)),
            strings(rows, ("constants", |r| &r.constants)),
            numbers(rows, ("energy_j", |r| r.energy_j)),
            strings(rows, ("reason", |r| &r.reason)),
        ],
    );
    sorted("energy", frame, &["phase", "network", "method", "constants", "seed"])
}

/// Activity and operations as a frame, one column per field of [`ActivityRow`].
pub fn activity(rows: &[ActivityRow]) -> Result<DataFrame, ReportError> {
    let frame = DataFrame::new(
        rows.len(),
        vec![
            strings(rows, ("agent", |r| &r.agent)),
            strings(rows, ("beam", |r| &r.beam)),
            strings(rows, ("kinematics", |r| &r.kinematics)),
            strings(rows, ("variant", |r| &r.variant)),
            numbers(rows, ("p_max_dbm", |r| r.p_max_dbm)),
            counts32(rows, ("seed", |r| r.seed)),
            strings(rows, ("phase", |r| &r.phase)),
            Column::new("update".into(), rows.iter().map(|r| r.update).collect::<Vec<_>>()),
            strings(rows, ("network", |r| &r.network)),
            counts32(rows, ("layer", |r| r.layer)),
            strings(rows, ("quantity", |r| &r.quantity)),
            numbers(rows, ("value", |r| r.value)),
        ],
    );
    sorted("activity", frame, &["phase", "network", "layer", "quantity", "update", "seed"])
}

/// Writes a frame as Parquet (Zstandard), whole or not at all. Equal frames give equal bytes.
///
/// # Errors
/// [`ReportError::Table`] if polars cannot encode it, [`ReportError::Io`] if the file system refuses.
pub fn write_parquet(path: &Path, frame: &mut DataFrame) -> Result<(), ReportError> {
    let mut bytes = Vec::new();
    let written = ParquetWriter::new(&mut bytes).set_parallel(false).finish(frame);
    table(&path.display().to_string(), written)?;
    write_whole(path, &bytes)
}

/// Reads a Parquet file.
///
/// # Errors
/// [`ReportError::Io`] if it cannot be opened, [`ReportError::Table`] if it is no Parquet file.
pub fn read_parquet(path: &Path) -> Result<DataFrame, ReportError> {
    let file =
        std::fs::File::open(path).map_err(|source| ReportError::Io { path: path.to_path_buf(), source })?;
    table(&path.display().to_string(), ParquetReader::new(file).finish())
}

/// Cells of one row, typed, by column name.
struct Reader<'a>(&'a DataFrame);

impl Reader<'_> {
    fn text(&self, name: &str) -> PolarsResult<Vec<String>> {
        Ok(self.0.column(name)?.str()?.iter().map(|v| v.unwrap_or_default().to_string()).collect())
    }
    fn number(&self, name: &str) -> PolarsResult<Vec<f64>> {
        Ok(self.0.column(name)?.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
    fn count32(&self, name: &str) -> PolarsResult<Vec<u32>> {
        let values: Option<Vec<u32>> = self.0.column(name)?.u32()?.iter().collect();
        values.ok_or_else(|| polars_err!(ComputeError: "column {name} holds a null"))
    }
    fn count64(&self, name: &str) -> PolarsResult<Vec<u64>> {
        let values: Option<Vec<u64>> = self.0.column(name)?.u64()?.iter().collect();
        values.ok_or_else(|| polars_err!(ComputeError: "column {name} holds a null"))
    }
}

/// Reads what [`curves`] and [`write_parquet`] wrote, in the file's order. Errors as [`read_parquet`], and for a missing or mistyped column.
pub fn read_curves(path: &Path) -> Result<Vec<CurveRow>, ReportError> {
    let frame = read_parquet(path)?;
    let rows = || {
        let r = Reader(&frame);
        let (agent, beam, kinematics) = (r.text("agent")?, r.text("beam")?, r.text("kinematics")?);
        let variant = r.text("variant")?;
        let (p_max_dbm, seed) = (r.number("p_max_dbm")?, r.count32("seed")?);
        let (update, env_steps) = (r.count32("update")?, r.count64("env_steps")?);
        let (reward, sum_rate) = (r.number("reward")?, r.number("sum_rate_bps_hz")?);
        let (jain, indicator_share) = (r.number("jain")?, r.number("indicator_share")?);
        let (policy_loss, value_loss) = (r.number("policy_loss")?, r.number("value_loss")?);
        let (entropy, approx_kl) = (r.number("entropy")?, r.number("approx_kl")?);
        let clip_fraction = r.number("clip_fraction")?;
        let (grad_actor, grad_critic) = (r.number("grad_norm_actor")?, r.number("grad_norm_critic")?);
        let row = |i: usize| CurveRow {
            agent: agent[i].clone(),
            beam: beam[i].clone(),
            kinematics: kinematics[i].clone(),
            variant: variant[i].clone(),
            p_max_dbm: p_max_dbm[i],
            seed: seed[i],
            update: update[i],
            env_steps: env_steps[i],
            reward: reward[i],
            sum_rate_bps_hz: sum_rate[i],
            jain: jain[i],
            indicator_share: indicator_share[i],
            policy_loss: policy_loss[i],
            value_loss: value_loss[i],
            entropy: entropy[i],
            approx_kl: approx_kl[i],
            clip_fraction: clip_fraction[i],
            grad_norm_actor: grad_actor[i],
            grad_norm_critic: grad_critic[i],
        };
        Ok((0..frame.height()).map(row).collect())
    };
    table(&path.display().to_string(), rows())
}

/// Reads what [`evals`] and [`write_parquet`] wrote, in the file's order. Errors as [`read_curves`].
pub fn read_evals(path: &Path) -> Result<Vec<EvalRow>, ReportError> {
    let frame = read_parquet(path)?;
    let rows = || {
        let r = Reader(&frame);
        let (agent, beam, kinematics) = (r.text("agent")?, r.text("beam")?, r.text("kinematics")?);
        let variant = r.text("variant")?;
        let (p_max_dbm, seed) = (r.number("p_max_dbm")?, r.count32("seed")?);
        let (episodes, metric) = (r.count64("episodes")?, r.text("metric")?);
        let (mean, std_error) = (r.number("mean")?, r.number("std_error")?);
        let row = |i: usize| EvalRow {
            agent: agent[i].clone(),
            beam: beam[i].clone(),
            kinematics: kinematics[i].clone(),
            variant: variant[i].clone(),
            p_max_dbm: p_max_dbm[i],
            seed: seed[i],
            episodes: episodes[i],
            metric: metric[i].clone(),
            mean: mean[i],
            std_error: std_error[i],
        };
        Ok((0..frame.height()).map(row).collect())
    };
    table(&path.display().to_string(), rows())
}

/// Reads what [`slots`] and [`write_parquet`] wrote, in the file's order. Errors as [`read_curves`].
pub fn read_slots(path: &Path) -> Result<Vec<SlotRow>, ReportError> {
    let frame = read_parquet(path)?;
    let rows = || {
        let r = Reader(&frame);
        let (agent, beam, kinematics) = (r.text("agent")?, r.text("beam")?, r.text("kinematics")?);
        let variant = r.text("variant")?;
        let (p_max_dbm, seed) = (r.number("p_max_dbm")?, r.count32("seed")?);
        let (slot, sum_rate) = (r.count32("slot")?, r.number("sum_rate_bps_hz")?);
        let row = |i: usize| SlotRow {
            agent: agent[i].clone(),
            beam: beam[i].clone(),
            kinematics: kinematics[i].clone(),
            variant: variant[i].clone(),
            p_max_dbm: p_max_dbm[i],
            seed: seed[i],
            slot: slot[i],
            sum_rate_bps_hz: sum_rate[i],
        };
        Ok((0..frame.height()).map(row).collect())
    };
    table(&path.display().to_string(), rows())
}

/// The values of one quantity over the seeds of one agent and power.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedGroup<K> {
    pub agent: String,
    pub beam: String,
    pub kinematics: String,
    /// What else an experiment varies; else empty.
    pub variant: String,
    /// Power limit, dBm.
    pub p_max_dbm: f64,
    /// What tells the groups of one run and power apart: metric, slot or update.
    pub key: K,
    /// Seeds with a value, ascending.
    pub seeds: Vec<u32>,
    /// One value per seed, in the quantity's unit.
    pub values: Vec<f64>,
}

/// Groups with the values of `value` over seeds; nulls are left out, so a seed without a value has no say.
fn over_seeds(frame: &DataFrame, key: &str, value: &str) -> PolarsResult<DataFrame> {
    let keys: Vec<Expr> = RUN_KEYS.iter().chain([&key]).map(|k| col(*k)).collect();
    let mut order = keys.clone();
    order.push(col("seed"));
    frame
        .clone()
        .lazy()
        .filter(col(value).is_not_null())
        .sort_by_exprs(&order, SortMultipleOptions::default().with_maintain_order(true))
        .group_by_stable(&keys)
        .agg([col("seed").alias("seeds"), col(value).alias("values")])
        .collect()
}

fn groups<K>(grouped: &DataFrame, keys: Vec<K>) -> PolarsResult<Vec<SeedGroup<K>>> {
    let r = Reader(grouped);
    let (agent, beam, kinematics) = (r.text("agent")?, r.text("beam")?, r.text("kinematics")?);
    let variant = r.text("variant")?;
    let p_max_dbm = r.number("p_max_dbm")?;
    let (seeds, values) = (grouped.column("seeds")?.list()?, grouped.column("values")?.list()?);
    let list = |column: &ListChunked, i: usize| {
        column.get_as_series(i).ok_or_else(|| polars_err!(ComputeError: "group {i} is empty"))
    };
    let group = |(i, key): (usize, K)| {
        Ok(SeedGroup {
            agent: agent[i].clone(),
            beam: beam[i].clone(),
            kinematics: kinematics[i].clone(),
            variant: variant[i].clone(),
            p_max_dbm: p_max_dbm[i],
            key,
            seeds: list(seeds, i)?.u32()?.iter().flatten().collect(),
            values: list(values, i)?.f64()?.iter().flatten().collect(),
        })
    };
    keys.into_iter().enumerate().map(group).collect()
}

/// Groups of an [`evals`] frame: one per agent, power and metric.
pub fn eval_groups(frame: &DataFrame) -> Result<Vec<SeedGroup<String>>, ReportError> {
    let grouped = table("evaluation", over_seeds(frame, "metric", "mean"))?;
    table("evaluation", Reader(&grouped).text("metric").and_then(|keys| groups(&grouped, keys)))
}

/// Groups of a [`slots`] frame: one per agent, power and slot.
pub fn slot_groups(frame: &DataFrame) -> Result<Vec<SeedGroup<u32>>, ReportError> {
    let grouped = table("slot", over_seeds(frame, "slot", "sum_rate_bps_hz"))?;
    table("slot", Reader(&grouped).count32("slot").and_then(|keys| groups(&grouped, keys)))
}

/// Groups of the column `value` of a [`curves`] frame: one per agent, power and update.
pub fn curve_groups(frame: &DataFrame, value: &str) -> Result<Vec<SeedGroup<u32>>, ReportError> {
    let grouped = table("curve", over_seeds(frame, "update", value))?;
    table("curve", Reader(&grouped).count32("update").and_then(|keys| groups(&grouped, keys)))
}

//! Rows as polars frames: Parquet files, and groups with one value per seed.
//!
//! NaN becomes null on the way in and NaN again on the way out. Frames are sorted by all their keys and written by one thread with fixed
//! settings, so that equal rows give equal files whatever order they came in.

use super::{ReportError, write_whole};
use crate::run::rows::*;
use crate::tasks::misac::rows::*;
use polars::prelude::*;
use polars_lazy::prelude::*;
use std::path::Path;

fn table<T>(what: &str, result: PolarsResult<T>) -> Result<T, ReportError> {
    result.map_err(|source| ReportError::Table { what: what.to_string(), source })
}

/// A type of cells: how a column of them is made and read back.
trait Cell: Sized + Clone {
    fn column(name: &str, values: Vec<Self>) -> Column;
    fn values(frame: &DataFrame, name: &str) -> PolarsResult<Vec<Self>>;
}

impl Cell for String {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Column::new(name.into(), values)
    }
    fn values(frame: &DataFrame, name: &str) -> PolarsResult<Vec<Self>> {
        Ok(frame.column(name)?.str()?.iter().map(|v| v.unwrap_or_default().to_string()).collect())
    }
}

impl Cell for f64 {
    fn column(name: &str, values: Vec<Self>) -> Column {
        let values: Vec<Option<f64>> = values.into_iter().map(|x| Some(x).filter(|x| !x.is_nan())).collect();
        Column::new(name.into(), values)
    }
    fn values(frame: &DataFrame, name: &str) -> PolarsResult<Vec<Self>> {
        Ok(frame.column(name)?.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

impl Cell for Option<u32> {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Column::new(name.into(), values)
    }
    fn values(frame: &DataFrame, name: &str) -> PolarsResult<Vec<Self>> {
        Ok(frame.column(name)?.u32()?.iter().collect())
    }
}

fn without_null<T>(values: Option<Vec<T>>, name: &str) -> PolarsResult<Vec<T>> {
    values.ok_or_else(|| polars_err!(ComputeError: "column {name} holds a null"))
}

impl Cell for u32 {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Column::new(name.into(), values)
    }
    fn values(frame: &DataFrame, name: &str) -> PolarsResult<Vec<Self>> {
        without_null(frame.column(name)?.u32()?.iter().collect(), name)
    }
}

impl Cell for u64 {
    fn column(name: &str, values: Vec<Self>) -> Column {
        Column::new(name.into(), values)
    }
    fn values(frame: &DataFrame, name: &str) -> PolarsResult<Vec<Self>> {
        without_null(frame.column(name)?.u64()?.iter().collect(), name)
    }
}

/// Rows that are kept as a table, one column per field.
pub trait TableRow: Sized {
    /// Name in errors.
    const NAME: &'static str;
    /// Columns that tell one row from another, in the order the table is sorted by.
    const KEYS: &'static [&'static str];
    #[doc(hidden)]
    fn columns(rows: &[Self]) -> Vec<Column>;
    #[doc(hidden)]
    fn rows(frame: &DataFrame) -> PolarsResult<Vec<Self>>;
}

/// The fields of a row, in column order. A field that is left out here does not compile.
macro_rules! table_row {
    ($row:ident, $name:literal, keys [$($key:ident),*], $($field:ident: $cell:ty),* $(,)?) => {
        impl TableRow for $row {
            const NAME: &'static str = $name;
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
            fn columns(rows: &[Self]) -> Vec<Column> {
                vec![$(<$cell as Cell>::column(
                    stringify!($field),
                    rows.iter().map(|r| r.$field.clone()).collect(),
                )),*]
            }
            fn rows(frame: &DataFrame) -> PolarsResult<Vec<Self>> {
                $(let mut $field = <$cell as Cell>::values(frame, stringify!($field))?.into_iter();)*
                let mut out = Vec::with_capacity(frame.height());
                while let ($(Some($field),)*) = ($($field.next(),)*) {
                    out.push($row { $($field),* });
                }
                Ok(out)
            }
        }
    };
}

table_row!(
    CurveRow,
    "curve",
    keys [agent, beam, kinematics, variant, p_max_dbm, seed, update],
    agent: String,
    beam: String,
    kinematics: String,
    variant: String,
    p_max_dbm: f64,
    seed: u32,
    update: u32,
    env_steps: u64,
    reward: f64,
    sum_rate_bps_hz: f64,
    jain: f64,
    indicator_share: f64,
    policy_loss: f64,
    value_loss: f64,
    entropy: f64,
    approx_kl: f64,
    clip_fraction: f64,
    grad_norm_actor: f64,
    grad_norm_critic: f64,
);
table_row!(
    EvalRow,
    "evaluation",
    keys [agent, beam, kinematics, variant, p_max_dbm, metric, seed],
    agent: String,
    beam: String,
    kinematics: String,
    variant: String,
    p_max_dbm: f64,
    seed: u32,
    episodes: u64,
    metric: String,
    mean: f64,
    std_error: f64,
);
table_row!(
    SlotRow,
    "slot",
    keys [agent, beam, kinematics, variant, p_max_dbm, slot, seed],
    agent: String,
    beam: String,
    kinematics: String,
    variant: String,
    p_max_dbm: f64,
    seed: u32,
    slot: u32,
    sum_rate_bps_hz: f64,
);
table_row!(
    EnergyRow,
    "energy",
    keys [agent, beam, kinematics, variant, p_max_dbm, phase, network, method, constants, seed],
    agent: String,
    beam: String,
    kinematics: String,
    variant: String,
    p_max_dbm: f64,
    seed: u32,
    phase: String,
    network: String,
    method: String,
    constants: String,
    energy_j: f64,
    reason: String,
);
table_row!(
    ActivityRow,
    "activity",
    keys [agent, beam, kinematics, variant, p_max_dbm, phase, network, layer, quantity, update, seed],
    agent: String,
    beam: String,
    kinematics: String,
    variant: String,
    p_max_dbm: f64,
    seed: u32,
    phase: String,
    update: Option<u32>,
    network: String,
    layer: u32,
    quantity: String,
    value: f64,
);
table_row!(
    MisacCurveRow,
    "curve",
    keys [agent, algorithm, phase, uncertainty, variant, snr_db, seed, update],
    agent: String,
    algorithm: String,
    phase: String,
    uncertainty: String,
    variant: String,
    snr_db: f64,
    seed: u32,
    update: u32,
    env_steps: u64,
    reward: f64,
    energy_j: f64,
    l_bmp: f64,
    share_over_gamma: f64,
    beam_gain: f64,
    policy_loss: f64,
    value_loss: f64,
    entropy: f64,
    grad_norm_policy: f64,
    grad_norm_critic: f64,
    grad_norm_spatial: f64,
    gradient_cosine: f64,
);
table_row!(
    MisacEvalRow,
    "evaluation",
    keys [agent, algorithm, phase, uncertainty, variant, snr_db, metric, seed],
    agent: String,
    algorithm: String,
    phase: String,
    uncertainty: String,
    variant: String,
    snr_db: f64,
    seed: u32,
    episodes: u64,
    metric: String,
    mean: f64,
    std_error: f64,
);
table_row!(
    MisacSlotRow,
    "slot",
    keys [agent, algorithm, phase, uncertainty, variant, snr_db, slot, seed],
    agent: String,
    algorithm: String,
    phase: String,
    uncertainty: String,
    variant: String,
    snr_db: f64,
    seed: u32,
    slot: u32,
    energy_j: f64,
    mae_deg: f64,
);
table_row!(
    MisacEnergyRow,
    "energy",
    keys [agent, algorithm, phase, uncertainty, variant, snr_db, stage, network, method, constants, seed],
    agent: String,
    algorithm: String,
    phase: String,
    uncertainty: String,
    variant: String,
    snr_db: f64,
    seed: u32,
    stage: String,
    network: String,
    method: String,
    constants: String,
    energy_j: f64,
    reason: String,
);

table_row!(
    BenchRow,
    "benchmark",
    keys [device, section, group, replicas, batch, hidden, sizes],
    device: String,
    device_name: String,
    device_kind: String,
    driver: String,
    threads: Option<u32>,
    section: String,
    group: String,
    sizes: String,
    task: String,
    policy: String,
    replicas: Option<u32>,
    batch: Option<u32>,
    hidden: Option<u32>,
    check: String,
    samples: u32,
    iterations: u64,
    wall_s: f64,
    wall_lo_s: f64,
    wall_hi_s: f64,
    device_s: f64,
    device_lo_s: f64,
    device_hi_s: f64,
    device_method: String,
    env_steps: f64,
    inferences: f64,
    flops: f64,
    bytes: f64,
    env_steps_per_s: f64,
    inferences_per_s: f64,
    clock: String,
    flops_per_s: f64,
    bytes_per_s: f64,
    flops_per_byte: f64,
    ceiling_flops_per_s: f64,
    ceiling_bytes_per_s: f64,
    roofline_flops_per_s: f64,
    compute_share: f64,
    memory_share: f64,
    roofline_share: f64,
    bound: String,
    reason: String,
    taken_utc: String,
);
table_row!(
    BenchSampleRow,
    "sample",
    keys [device, group, sizes, clock, sample],
    device: String,
    group: String,
    sizes: String,
    clock: String,
    sample: u32,
    iterations: u64,
    seconds: f64,
);
table_row!(
    BenchScalingRow,
    "scaling",
    keys [device, group, axis, fixed, size],
    device: String,
    group: String,
    axis: String,
    fixed: String,
    size: u32,
    quantity: String,
    per_s: f64,
    lo_per_s: f64,
    hi_per_s: f64,
    gain: f64,
    efficiency: f64,
);
table_row!(
    BenchPhaseRow,
    "phase",
    keys [device, task, policy, sizes, phase],
    device: String,
    task: String,
    policy: String,
    sizes: String,
    phase: String,
    wall_s: f64,
    share: f64,
);
table_row!(
    BenchEnergyRow,
    "energy",
    keys [task, agent, unit, work, method, constants, device],
    device: String,
    device_name: String,
    task: String,
    agent: String,
    unit: String,
    work: String,
    method: String,
    constants: String,
    energy_j: f64,
    lo_j: f64,
    hi_j: f64,
    idle_w: f64,
    busy_w: f64,
    integrated_share: f64,
    weights: String,
    reason: String,
);

/// Rows as a frame, sorted by all keys. NaN becomes null.
///
/// # Errors
/// [`ReportError::DuplicateRow`] if two rows have the same keys, [`ReportError::Table`] if polars refuses.
pub fn frame<R: TableRow>(rows: &[R]) -> Result<DataFrame, ReportError> {
    let keys: Vec<Expr> = R::KEYS.iter().map(|k| col(*k)).collect();
    let frame = table(R::NAME, DataFrame::new(rows.len(), R::columns(rows)))?;
    let sorted = frame.lazy().sort_by_exprs(&keys, SortMultipleOptions::default().with_maintain_order(true));
    let repeated =
        sorted.clone().group_by_stable(&keys).agg([len().alias("times")]).filter(col("times").gt(lit(1)));
    let repeated = table(R::NAME, repeated.collect())?;
    if repeated.height() > 0 {
        let cell = |k: &str| repeated.column(k).and_then(|c| c.get(0).map(|v| v.to_string()));
        let row: PolarsResult<Vec<String>> =
            R::KEYS.iter().map(|k| Ok(format!("{k} = {}", cell(k)?))).collect();
        let times = table(R::NAME, repeated.column("times").and_then(|c| Ok(c.u32()?.get(0).unwrap_or(0))))?;
        return Err(ReportError::DuplicateRow {
            table: R::NAME,
            row: table(R::NAME, row)?.join(", "),
            times,
        });
    }
    table(R::NAME, sorted.collect())
}

/// [`frame`] of learning curves of task v2x.
pub fn curves(rows: &[CurveRow]) -> Result<DataFrame, ReportError> {
    frame(rows)
}

/// [`frame`] of activity and operations of task v2x.
pub fn activity(rows: &[ActivityRow]) -> Result<DataFrame, ReportError> {
    frame(rows)
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

/// Reads what [`frame`] and [`write_parquet`] wrote, in the file's order; null becomes NaN.
///
/// # Errors
/// As [`read_parquet`], and [`ReportError::Table`] for a missing or mistyped column.
pub fn read<R: TableRow>(path: &Path) -> Result<Vec<R>, ReportError> {
    let frame = read_parquet(path)?;
    table(&path.display().to_string(), R::rows(&frame))
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

/// Keys of a run of task v2x.
const RUN_KEYS: [&str; 5] = ["agent", "beam", "kinematics", "variant", "p_max_dbm"];

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
    let text = |name: &str| String::values(grouped, name);
    let (agent, beam, kinematics) = (text("agent")?, text("beam")?, text("kinematics")?);
    let variant = text("variant")?;
    let p_max_dbm = f64::values(grouped, "p_max_dbm")?;
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

/// Groups of a frame of [`EvalRow`]s: one per agent, power and metric.
pub fn eval_groups(frame: &DataFrame) -> Result<Vec<SeedGroup<String>>, ReportError> {
    let grouped = table("evaluation", over_seeds(frame, "metric", "mean"))?;
    table("evaluation", String::values(&grouped, "metric").and_then(|keys| groups(&grouped, keys)))
}

/// Groups of a frame of [`SlotRow`]s: one per agent, power and slot.
pub fn slot_groups(frame: &DataFrame) -> Result<Vec<SeedGroup<u32>>, ReportError> {
    let grouped = table("slot", over_seeds(frame, "slot", "sum_rate_bps_hz"))?;
    table("slot", u32::values(&grouped, "slot").and_then(|keys| groups(&grouped, keys)))
}

/// Groups of the column `value` of a frame of [`CurveRow`]s: one per agent, power and update.
pub fn curve_groups(frame: &DataFrame, value: &str) -> Result<Vec<SeedGroup<u32>>, ReportError> {
    let grouped = table("curve", over_seeds(frame, "update", value))?;
    table("curve", u32::values(&grouped, "update").and_then(|keys| groups(&grouped, keys)))
}

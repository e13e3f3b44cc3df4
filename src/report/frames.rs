//! Rows as polars frames, and Parquet files of them.
//!
//! NaN becomes null on the way in and NaN again on the way out. Frames are sorted by all their keys and written by one
//! thread with fixed settings, so that equal rows give equal files whatever order they came in.

use super::{ReportError, write_whole};
use crate::run::rows::{Cells, Row};
use polars::prelude::*;
use polars_lazy::prelude::*;
use std::path::Path;

fn table<T>(what: &str, result: PolarsResult<T>) -> Result<T, ReportError> {
    result.map_err(|source| ReportError::Table { what: what.to_string(), source })
}

fn without_null<T>(values: Option<Vec<T>>, name: &str) -> PolarsResult<Vec<T>> {
    values.ok_or_else(|| polars_err!(ComputeError: "column {name} holds a null"))
}

/// NaN becomes null.
fn column(name: &str, cells: Cells) -> Column {
    let name = name.into();
    match cells {
        Cells::Text(x) => Column::new(name, x),
        Cells::Real(x) => {
            let x: Vec<Option<f64>> = x.into_iter().map(|x| Some(x).filter(|x| !x.is_nan())).collect();
            Column::new(name, x)
        }
        Cells::Count(x) => Column::new(name, x),
        Cells::Long(x) => Column::new(name, x),
        Cells::Maybe(x) => Column::new(name, x),
    }
}

/// The cells of a column, of the kind of `like`; null becomes NaN.
fn cells(frame: &DataFrame, name: &str, like: &Cells) -> PolarsResult<Cells> {
    let column = frame.column(name)?;
    Ok(match like {
        Cells::Text(_) => {
            Cells::Text(column.str()?.iter().map(|v| v.unwrap_or_default().to_string()).collect())
        }
        Cells::Real(_) => Cells::Real(column.f64()?.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
        Cells::Count(_) => Cells::Count(without_null(column.u32()?.iter().collect(), name)?),
        Cells::Long(_) => Cells::Long(without_null(column.u64()?.iter().collect(), name)?),
        Cells::Maybe(_) => Cells::Maybe(column.u32()?.iter().collect()),
    })
}

/// Rows as a frame, sorted by all keys. NaN becomes null.
///
/// # Errors
/// [`ReportError::DuplicateRow`] if two rows have the same keys, [`ReportError::Table`] if polars refuses.
pub fn frame<R: Row>(rows: &[R], schema: &R::Schema) -> Result<DataFrame, ReportError> {
    let key_names = R::keys(schema);
    let keys: Vec<Expr> = key_names.iter().map(|k| col(*k)).collect();
    let columns = R::columns(schema).iter().map(|c| column(c.name, c.cells(rows))).collect();
    let frame = table(R::NAME, DataFrame::new(rows.len(), columns))?;
    let sorted = frame.lazy().sort_by_exprs(&keys, SortMultipleOptions::default().with_maintain_order(true));
    let repeated =
        sorted.clone().group_by_stable(&keys).agg([len().alias("times")]).filter(col("times").gt(lit(1)));
    let repeated = table(R::NAME, repeated.collect())?;
    if repeated.height() > 0 {
        let cell = |k: &str| repeated.column(k).and_then(|c| c.get(0).map(|v| v.to_string()));
        let row: PolarsResult<Vec<String>> =
            key_names.iter().map(|k| Ok(format!("{k} = {}", cell(k)?))).collect();
        let times = table(R::NAME, repeated.column("times").and_then(|c| Ok(c.u32()?.get(0).unwrap_or(0))))?;
        return Err(ReportError::DuplicateRow {
            table: R::NAME,
            row: table(R::NAME, row)?.join(", "),
            times,
        });
    }
    table(R::NAME, sorted.collect())
}

/// Writes a frame as Parquet (Zstandard), whole or not at all. Equal frames give equal bytes.
///
/// # Errors
/// [`ReportError::Table`] if polars cannot encode it, [`ReportError::Io`] if the file system refuses.
pub fn write_parquet(path: &Path, frame: &mut DataFrame) -> Result<(), ReportError> {
    let bytes = table(&path.display().to_string(), parquet_bytes(frame))?;
    write_whole(path, &bytes)
}

/// A frame as a Parquet file (Zstandard). Words are stored as large strings: as the string views of [`ParquetWriter`],
/// which are the same bytes under another name, pyarrow and pandas can read them but neither filter nor sort by them.
pub fn parquet_bytes(frame: &mut DataFrame) -> PolarsResult<Vec<u8>> {
    use polars_parquet::write::{
        CompressionOptions, FileWriter, RowGroupIterator, StatisticsOptions, Version, WriteOptions,
        get_dtype_encoding,
    };
    const ROWS: usize = 1 << 18;
    let options = WriteOptions {
        statistics: StatisticsOptions::default(),
        version: Version::V1,
        compression: CompressionOptions::Zstd(None),
        data_page_size: None,
    };
    frame.rechunk_mut();
    let schema = frame.schema().to_arrow(CompatLevel::oldest());
    let encodings = schema.iter_values().map(|field| get_dtype_encoding(field.dtype())).collect();
    let parts: Vec<DataFrame> =
        (0..frame.height()).step_by(ROWS).map(|first| frame.slice(first as i64, ROWS)).collect();
    let batches = parts.iter().flat_map(|p| p.iter_chunks(CompatLevel::oldest(), false)).map(Ok);
    let groups = RowGroupIterator::try_new(batches, &schema, options, encodings)?;
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, schema, options)?;
    for (part, group) in parts.iter().zip(groups) {
        writer.write(part.height() as u64, group?)?;
    }
    writer.end(None)?;
    Ok(bytes)
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
pub fn read<R: Row>(path: &Path, schema: &R::Schema) -> Result<Vec<R>, ReportError> {
    rows_of(read_parquet(path)?, path, schema)
}

/// Whether a file has the rows of a frame, in their order; columns that it lacks must hold nothing.
pub(crate) fn holds(path: &Path, frame: &DataFrame) -> bool {
    let Ok(there) = read_parquet(path) else { return false };
    let same = |c: &Column| match there.column(c.name()) {
        Ok(own) => own.equals_missing(c),
        Err(_) => c.null_count() == c.len(),
    };
    there.height() == frame.height()
        && there.columns().iter().all(|c| frame.column(c.name()).is_ok())
        && frame.columns().iter().all(same)
}

/// [`read`] of a file that an earlier version may have written: measured columns that it lacks are NaN.
///
/// # Errors
/// As [`read`].
pub fn read_earlier<R: Row>(path: &Path, schema: &R::Schema) -> Result<Vec<R>, ReportError> {
    let mut frame = read_parquet(path)?;
    let height = frame.height();
    for c in R::columns(schema) {
        if matches!(c.none, Cells::Real(_)) && frame.column(c.name).is_err() {
            let nothing = column(c.name, Cells::Real(vec![f64::NAN; height]));
            table(&path.display().to_string(), frame.with_column(nothing).map(drop))?;
        }
    }
    rows_of(frame, path, schema)
}

fn rows_of<R: Row>(frame: DataFrame, path: &Path, schema: &R::Schema) -> Result<Vec<R>, ReportError> {
    let mut rows = vec![R::default(); frame.height()];
    let mut fill = || {
        for c in R::columns(schema) {
            if !c.set(&mut rows, cells(&frame, c.name, &c.none)?) {
                polars_bail!(ComputeError: "column {} holds cells of another kind", c.name);
            }
        }
        Ok(())
    };
    table(&path.display().to_string(), fill())?;
    Ok(rows)
}

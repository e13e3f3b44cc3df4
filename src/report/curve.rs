//! Learning curves of one training.

use super::ReportError;
use super::figure::{Figure, Look, Palette, Point, Series};
use crate::num::stats::{bootstrap_mean_95, mean};
use crate::run::rows::{CurveRow, Schema};

/// Most points of a curve: as many as a figure shows apart.
const POINTS: usize = 400;

/// Each column of the curves that the task names, over the slots that a replica has trained, as (file name, SVG): means
/// over seeds with 95 % intervals. Rows are of one training, update by update.
///
/// # Errors
/// [`ReportError::Figure`] if plotters fails.
pub fn curves(
    rows: &[CurveRow],
    schema: &Schema,
    palette: &Palette,
) -> Result<Vec<(String, String)>, ReportError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let replicas = rows.iter().take_while(|r| r.update == first.update).count().max(1);
    let updates = rows.len() / replicas;
    let stride = updates.div_ceil(POINTS).max(1);
    let seeds = match replicas {
        1 => "one seed".to_string(),
        n => format!("mean over {n} seeds, 95 % interval"),
    };
    let mut out = Vec::new();
    for (i, column) in schema.curve.iter().enumerate() {
        // Neighbouring updates are one point, so nothing is passed over.
        let points = rows.chunks(replicas * stride).map(|part| {
            let own = |r: usize| -> Vec<f64> {
                part.iter().skip(r).step_by(replicas).map(|x| x.slots[i]).collect()
            };
            let each: Vec<f64> = (0..replicas).map(|r| mean(&own(r))).collect();
            Point::new(part[part.len() - 1].env_steps as f64, mean(&each), bootstrap_mean_95(&each, 0))
        });
        let figure = Figure {
            title: format!("{}: {}", first.key.agent, column.name),
            x_label: format!("slots that a replica has trained ({seeds})"),
            y_label: column.name.into(),
            series: vec![Series::new(&first.key.agent, Look::Curve, points.collect())],
            ..Figure::with(palette.clone())
        };
        out.extend(figure.svg()?.map(|svg| (format!("curve-{}.svg", column.name), svg)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::v2x::rows::SCHEMA;

    #[test]
    fn a_figure_for_every_column_that_has_numbers() {
        let row = |update: u32, seed: u32| {
            let mut row = CurveRow { update, env_steps: u64::from(update + 1) * 100, ..CurveRow::default() };
            row.key.seed = seed;
            row.slots = vec![f64::from(update + seed), 1.0, f64::NAN, 0.5];
            row
        };
        let rows: Vec<CurveRow> = (0..1000).flat_map(|u| [row(u, 0), row(u, 1)]).collect();
        let all = curves(&rows, &SCHEMA, &Palette::default()).unwrap();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["curve-reward.svg", "curve-sum_rate_bps_hz.svg", "curve-indicator_share.svg"]);
        assert!(all[0].1.len() < 200_000, "{}", all[0].1.len());
        assert!(curves(&[], &SCHEMA, &Palette::default()).unwrap().is_empty());
    }
}

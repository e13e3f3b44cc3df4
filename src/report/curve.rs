//! Learning curves of one training.

use super::ReportError;
use super::figure::{Figure, Look, Palette, Point, Series, categories};
use super::words::{axis, distinct, value_of};
use crate::num::stats::{bootstrap_mean_95, mean};
use crate::run::rows::{CurveRow, Schema};

/// Most points of a curve: as many as a figure shows apart.
const POINTS: usize = 400;

/// Each column of the curves that the task names, over the slots that a replica has trained, as (file name, SVG): means
/// over seeds with 95 % intervals, a line for each place of the swept axis. Rows are of one training, update by update.
///
/// # Errors
/// [`ReportError::Figure`] if plotters fails.
pub fn curves(
    rows: &[CurveRow],
    schema: &Schema,
    palette: &Palette,
) -> Result<Vec<(String, String)>, ReportError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let agent = &first.key.agent;
    let places = distinct(rows.iter().map(|r| r.key.at));
    // A training at one place is called by its agent, in its colour.
    let name = |at: f64| match places.len() {
        0 | 1 => agent.clone(),
        _ => format!("{agent}, {}", value_of(schema.swept.name, at)),
    };
    let of_place = rows.iter().filter(|r| r.update == first.update && r.key.at == first.key.at).count();
    let seeds = match of_place {
        1 => "one seed".to_string(),
        n => format!("mean over {n} seeds, 95 % band"),
    };
    let mut out = Vec::new();
    for (i, column) in schema.curve.iter().enumerate() {
        let line = |at: &f64| {
            let mine: Vec<&CurveRow> = rows.iter().filter(|r| r.key.at == *at).collect();
            let replicas = mine.iter().take_while(|r| r.update == first.update).count().max(1);
            let stride = (mine.len() / replicas).div_ceil(POINTS).max(1);
            // Neighbouring updates are one point, so nothing is passed over.
            let points = mine.chunks(replicas * stride).map(|part| {
                let own = |r: usize| -> Vec<f64> {
                    part.iter().skip(r).step_by(replicas).map(|x| x.slots[i]).collect()
                };
                let each: Vec<f64> = (0..replicas).map(|r| mean(&own(r))).collect();
                let steps = part[part.len() - 1].env_steps as f64;
                Point::new(steps, mean(&each), bootstrap_mean_95(&each, 0)).of(replicas)
            });
            Series::new(&name(*at), Look::Curve, points.collect())
        };
        let palette = match places.len() {
            0 | 1 => palette.clone(),
            _ => categories(places.iter().map(|at| name(*at))).into(),
        };
        let figure = Figure {
            title: format!("{agent}: {}, {seeds}", axis(column.name)),
            x_label: "slots that a replica has trained".into(),
            y_label: axis(column.name),
            series: places.iter().map(line).collect(),
            ..Figure::with(palette)
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
        // Two powers are two lines, and no mean over them.
        let at = |update: u32, at: f64| {
            let mut row = row(update, 0);
            row.key.at = at;
            row.slots[0] = at;
            row
        };
        let rows: Vec<CurveRow> = (0..10).flat_map(|u| [at(u, 20.0), at(u, 40.0)]).collect();
        let svg = &curves(&rows, &SCHEMA, &Palette::default()).unwrap()[0].1;
        for (power, points) in [(20, "[[100,20,null,null,1,"), (40, "[[100,40,null,null,1,")] {
            let group =
                format!("data-series=\", P_max {power} dBm\" data-kind=\"curve\" data-points=\"{points}");
            assert!(svg.contains(&group), "no {group} in {svg}");
        }
        assert!(curves(&[], &SCHEMA, &Palette::default()).unwrap().is_empty());
    }
}

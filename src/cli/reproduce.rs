//! `isacbench reproduce`

use super::watch::Bars;
use super::{Common, manifest, place};
use crate::config::{ConfigError, Layered};
use crate::run::reproduce;
use crate::run::rows::Manifest;
use crate::tasks::misac::config::MisacConfig;
use crate::tasks::misac::rows::MisacRows;
use crate::tasks::v2x::config::V2xConfig;
use anyhow::{Result, anyhow};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Args)]
pub struct ReproduceArgs {
    /// spiking-ac or rl-h-moe (a paper's figures), rate-penalty (sum-rate against energy), beams (every learned agent with every parameterisation of
    /// the beams), or all (each in a folder of its own; --set and --config then take keys that all of them have)
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    #[command(flatten)]
    common: Common,
    /// smoke (minutes: does everything run?), quick (half an hour on two cores) or full (a GPU)
    #[arg(long, default_value = "smoke", value_parser = ["smoke", "quick", "full"])]
    scale: String,
    /// Folder for the report [default: runs/EXPERIMENT-SCALE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue an interrupted job in --out
    #[arg(long)]
    resume: bool,
    /// Read the device's energy counter, if it has one: half a minute for each learned agent
    #[arg(long)]
    measure_energy: bool,
}

/// A job with its configuration.
enum Work {
    V2x(Box<V2xConfig>),
    Misac(Box<MisacConfig>),
}

/// What task misac has a job for.
const MISAC: &str = "rl-h-moe";

pub fn reproduce_experiments(a: &ReproduceArgs) -> Result<()> {
    let all = a.experiment == "all";
    let names: Vec<&str> = if all {
        crate::tasks::v2x::config::experiments().chain([MISAC]).collect()
    } else {
        vec![&a.experiment]
    };
    let load = |name: &&str| -> Result<(String, Work)> {
        let (file, sets) = (a.common.config.as_deref(), &a.common.sets[..]);
        let work = if *name == MISAC {
            MisacConfig::load_experiment(name, &a.scale, file, sets).map(|c| Work::Misac(Box::new(c)))
        } else {
            V2xConfig::load_experiment(name, &a.scale, file, sets).map(|c| Work::V2x(Box::new(c)))
        };
        // With several experiments, a key may be right for one and wrong for another.
        let of = |e: ConfigError| if all { anyhow!("experiment {name}: {e}") } else { e.into() };
        Ok((name.to_string(), work.map_err(of)?))
    };
    let jobs: Vec<(String, Work)> = names.iter().map(load).collect::<Result<_>>()?;
    let place = &place(&a.common.device)?;
    for (name, work) in &jobs {
        let out = match &a.out {
            Some(dir) if all => dir.join(name),
            Some(dir) => dir.clone(),
            None => PathBuf::from(format!("runs/{name}-{}", a.scale)),
        };
        eprintln!("{}", place.why);
        let started = Instant::now();
        let way = reproduce::Way {
            out: &out,
            resume: a.resume,
            measure: a.measure_energy,
            gpu: place.gpu.as_ref(),
            watch: &Bars::new(),
        };
        match work {
            Work::V2x(config) => {
                let ids = crate::tasks::v2x::reproduce::runs(config).into_iter().map(|r| r.agent.id);
                let mut manifest = manifest(&**config, &distinct(ids), place);
                let rows = crate::tasks::v2x::reproduce::reproduce(config, &way)?;
                manifest.wall_s = Some(started.elapsed().as_secs_f64());
                write_report(name, &out, &rows, &manifest)?;
            }
            Work::Misac(config) => {
                let ids = crate::tasks::misac::reproduce::runs(config).into_iter().map(|r| r.agent.id);
                let mut manifest = manifest(&**config, &distinct(ids), place);
                let rows = crate::tasks::misac::reproduce::reproduce(config, &way)?;
                manifest.wall_s = Some(started.elapsed().as_secs_f64());
                write_misac_report(&out, &rows, &manifest)?;
            }
        }
    }
    Ok(())
}

/// Ids in their order, each once.
fn distinct(ids: impl Iterator<Item = &'static str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for id in ids {
        if !out.iter().any(|x| x == id) {
            out.push(id.into());
        }
    }
    out
}

#[cfg(feature = "report")]
fn write_report(
    name: &str,
    out: &Path,
    rows: &crate::tasks::v2x::reproduce::Rows,
    manifest: &Manifest,
) -> Result<()> {
    use crate::tasks::v2x::report::{self as spiking_ac, experiments};
    print_paths(match name {
        "rate-penalty" => experiments::write_rate_penalty(out, rows, manifest)?,
        "beams" => experiments::write_beams(out, rows, manifest)?,
        _ => spiking_ac::write(out, rows, manifest)?,
    });
    Ok(())
}

#[cfg(feature = "report")]
fn write_misac_report(out: &Path, rows: &MisacRows, manifest: &Manifest) -> Result<()> {
    print_paths(crate::tasks::misac::report::write(out, rows, manifest)?);
    Ok(())
}

#[cfg(feature = "report")]
fn print_paths(paths: crate::report::ReportPaths) {
    println!("report: {}", paths.html.display());
    println!("        {}", paths.markdown.display());
}

#[cfg(not(feature = "report"))]
fn write_report(
    _: &str,
    out: &Path,
    rows: &crate::tasks::v2x::reproduce::Rows,
    manifest: &Manifest,
) -> Result<()> {
    write_rows(
        out,
        serde_json::json!({ "curves": rows.curves, "evals": rows.evals, "slots": rows.slots, "energy": rows.energy, "activity": rows.activity, "manifest": manifest }),
    )
}

#[cfg(not(feature = "report"))]
fn write_misac_report(out: &Path, rows: &MisacRows, manifest: &Manifest) -> Result<()> {
    write_rows(
        out,
        serde_json::json!({ "curves": rows.curves, "evals": rows.evals, "slots": rows.slots, "energy": rows.energy, "manifest": manifest }),
    )
}

#[cfg(not(feature = "report"))]
fn write_rows(out: &Path, rows: serde_json::Value) -> Result<()> {
    crate::files::write_whole(&out.join("rows.json"), rows.to_string().as_bytes())?;
    println!("rows: {} (built without the feature 'report': no figures)", out.join("rows.json").display());
    Ok(())
}

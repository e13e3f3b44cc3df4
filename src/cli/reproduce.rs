//! `isacbench reproduce`

use super::watch::Bars;
use super::{Common, Place, manifest, place};
use crate::config::{self, Config, Layered};
use crate::reproduce;
use crate::rows::Manifest;
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Args)]
pub struct ReproduceArgs {
    /// spiking-ac (the paper's figures), rate-penalty (sum-rate against energy), beams (every learned agent with every parameterisation of
    /// the beams), or all (each in a folder of its own)
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
    /// Read the device's energy counter, if it has one: 20 s for each learned agent
    #[arg(long)]
    measure_energy: bool,
}

pub fn reproduce_experiments(a: &ReproduceArgs) -> Result<()> {
    let all = a.experiment == "all";
    let names: Vec<&str> = if all { config::experiments().collect() } else { vec![&a.experiment] };
    let load = |name: &&str| {
        Config::load_experiment(name, &a.scale, a.common.config.as_deref(), &a.common.sets)
            .map(|c| (name.to_string(), c))
    };
    let jobs: Vec<(String, Config)> = names.iter().map(load).collect::<Result<_, _>>()?;
    let place = place(&a.common.device)?;
    eprintln!("{}", place.why);
    for (name, config) in &jobs {
        let out = match &a.out {
            Some(dir) if all => dir.join(name),
            Some(dir) => dir.clone(),
            None => PathBuf::from(format!("runs/{name}-{}", a.scale)),
        };
        reproduce_one(a, name, config, &out, &place)?;
    }
    Ok(())
}

fn reproduce_one(a: &ReproduceArgs, name: &str, config: &Config, out: &Path, place: &Place) -> Result<()> {
    let started = Instant::now();
    let mut ids: Vec<String> = reproduce::runs(config).iter().map(|r| r.agent.id.to_string()).collect();
    ids.dedup();
    let mut manifest = manifest(config, &ids, place);
    let way = reproduce::Way {
        out,
        resume: a.resume,
        measure: a.measure_energy,
        gpu: place.gpu.as_ref(),
        watch: &Bars::new(),
    };
    let rows = reproduce::reproduce(config, &way)?;
    manifest.wall_s = Some(started.elapsed().as_secs_f64());
    write_report(name, out, &rows, &manifest)
}

#[cfg(feature = "report")]
fn write_report(name: &str, out: &Path, rows: &reproduce::Rows, manifest: &Manifest) -> Result<()> {
    use crate::report::{experiments, spiking_ac};
    let paths = match name {
        "rate-penalty" => experiments::write_rate_penalty(out, rows, manifest)?,
        "beams" => experiments::write_beams(out, rows, manifest)?,
        _ => spiking_ac::write(out, rows, manifest)?,
    };
    println!("report: {}", paths.html.display());
    println!("        {}", paths.markdown.display());
    Ok(())
}

#[cfg(not(feature = "report"))]
fn write_report(_: &str, out: &Path, rows: &reproduce::Rows, manifest: &Manifest) -> Result<()> {
    let text = serde_json::to_string(
        &serde_json::json!({ "curves": rows.curves, "evals": rows.evals, "slots": rows.slots, "energy": rows.energy, "activity": rows.activity, "manifest": manifest }),
    )?;
    crate::files::write_whole(&out.join("rows.json"), text.as_bytes())?;
    println!("rows: {} (built without the feature 'report': no figures)", out.join("rows.json").display());
    Ok(())
}

//! What jobs and commands ask of task v2x.

use super::acts::forcing_counts;
use super::agents::{AGENTS, BEYOND, Fixed};
use super::config::V2xConfig;
use super::env::V2xEnv;
use super::exchange::V2xWrap;
use super::physics::{Beam, metric};
use super::rows::{ERRORS, SCHEMA, labels};
use crate::config::ReadingsConfig;
use crate::config::{ConfigError, Layered};
use crate::energy::RuleCounts;
use crate::env::Env;
use crate::exchange::Wrap;
use crate::golden;
use crate::kernels::Entry;
use crate::learn::Algorithm;
use crate::run::evaluate::Estimate;
use crate::run::readings;
use crate::run::rows::{Schema, text_of};
use crate::run::task::{Acting, Agent, Common, Evaluated, Facts, Run, Swept, Task, Unit};
use std::sync::Arc;
#[cfg(feature = "report")]
use {
    crate::report::Judged,
    crate::report::live::{Live, LiveError, Trained},
    crate::report::replay::{Scene, Take},
    crate::run::actor::Actor,
    crate::run::errors::JobError,
    crate::run::record::Shot,
    crate::run::rows::{Manifest, Rows},
    std::error::Error,
    std::path::{Path, PathBuf},
};

impl Task for V2xConfig {
    type Fixed = Fixed;

    const SCHEMA: &'static Schema = &SCHEMA;
    const SWEPT: Swept = Swept { unit: "dBm", noun: "powers" };
    const LEARNER: &'static str = "ppo";
    const METRIC: &'static str = "sum_rate_bps_hz";
    const COMPARED: &'static [&'static str] = &["sum_rate_bps_hz", "reward", "jain", "indicator_share"];
    const CITE: &'static str = include_str!("paper.bib");
    const TUNE: &'static str = include_str!("../../../configs/tune-v2x.toml");
    #[cfg(feature = "report")]
    const LIVE_POLICY: Option<&'static [u8]> = Some(super::live::POLICY);
    #[cfg(feature = "report")]
    const SHOWN: &'static [&'static str] = super::replay::SHOWN;
    const MEMORY_KEYS: &'static str = "train.seeds, ppo.envs, ppo.horizon or the agent's capacity";

    fn agents() -> &'static [Agent<Self>] {
        AGENTS
    }
    fn common(&self) -> Common<'_> {
        let checkpoint_every = self.reproduce.checkpoint_every;
        Common { train: &self.train, evaluate: self.evaluate, checkpoint_every }
    }
    fn swept(&self) -> f64 {
        self.task.p_max_dbm
    }
    fn at(&self, p_max_dbm: f64) -> Self {
        let mut c = self.clone();
        c.task.p_max_dbm = p_max_dbm;
        c
    }
    fn env(&self, units: &[Unit<Self>]) -> Arc<dyn Env> {
        Arc::new(self.typed_env(units))
    }
    fn labels(&self, _: &Agent<Self>, variant: &str) -> Vec<String> {
        labels(self, variant)
    }

    fn acting(&self, fixed: Fixed, units: &[Unit<Self>]) -> Option<Acting> {
        let settings: Vec<_> = units.iter().map(|u| u.config.protocol).collect();
        let (env, rule) = fixed.acts(self.typed_env(units), &settings);
        let bound = matches!(fixed, Fixed::Bound).then_some((metric::SUM_RATE, metric::UPPER_BOUND));
        Some(Acting { env, rule, bound })
    }
    fn actions(&self) -> String {
        format!("{:?}", self.task.spec().beam)
    }
    fn after_network(&self) -> Option<RuleCounts> {
        forcing_counts(&self.task.spec(), &self.task.params([0, 0]))
    }
    fn derived(&self, agent: &Agent<Self>, evaluated: &Evaluated) -> Vec<(String, Estimate)> {
        super::overhead::derived(self, agent, evaluated)
    }

    fn wrap(&self, seed: u32) -> Option<Box<dyn Wrap>> {
        Some(Box::new(V2xWrap { spec: self.task.spec(), params: self.task.params([seed, 0]) }))
    }
    fn facts(name: &str) -> Facts {
        let is = |row: usize| name == metric::NAMES[row];
        let plain = Facts::of(name);
        let from_0 = |facts: Facts| facts.within(0.0, f64::INFINITY);
        let square = |root| Facts { root: Some(root), ..from_0(plain.lower()) };
        match name {
            _ if is(metric::ANGLE_SE) => square("angle_rmse_rad"),
            _ if is(metric::DISTANCE_SE) => square("distance_rmse_m"),
            _ if is(metric::POINTING_SE) => square("pointing_rmse_rad"),
            _ if is(metric::ANGLE_CRLB) => square("angle_crlb_root_rad"),
            _ if is(metric::DISTANCE_CRLB) => square("distance_crlb_root_m"),
            // A bound that depends on the slot alone, not on what an agent does: rows keep it only where it is asked
            // for.
            _ if is(metric::UPPER_BOUND) => Facts { in_rows: false, ..from_0(plain) },
            _ if is(metric::REWARD) => plain.higher(),
            _ if is(metric::JAIN) => plain.higher().within(0.0, 1.0),
            "overhead_share" => plain.lower(),
            _ if name.ends_with("_share") => plain.higher(),
            _ if name.ends_with("_bps_hz") => from_0(plain.higher()),
            _ if name.contains("_error_") => from_0(plain.lower()),
            _ => plain,
        }
    }

    fn places(&self) -> Vec<f64> {
        self.reproduce.p_max_dbm.clone()
    }
    fn reads(&self, agent: &Agent<Self>, key: &str) -> bool {
        super::reads::reads(self, agent, key)
    }
    fn readings(&self) -> Option<&ReadingsConfig> {
        self.readings.as_ref()
    }
    fn without_readings(&self) -> Self {
        V2xConfig { readings: None, ..self.clone() }
    }
    #[cfg(feature = "report")]
    fn claims(rows: &Rows, _: &str) -> Vec<Judged> {
        super::report::claims(rows)
    }
    fn runs(&self) -> Vec<Run<Self>> {
        match &self.readings {
            Some(readings) => readings::runs(readings, self),
            None => runs(self),
        }
    }

    #[cfg(feature = "report")]
    fn write_report(
        experiment: &str,
        out: &Path,
        rows: &Rows,
        manifest: &Manifest,
    ) -> Result<Vec<PathBuf>, Box<dyn Error + Send + Sync>> {
        use super::report::{self, experiments};
        let paths = match experiment {
            "rate-penalty" => experiments::write_rate_penalty(out, rows, manifest),
            "front" => experiments::write_front(out, rows, manifest),
            "beams" => experiments::write_beams(out, rows, manifest),
            "recipe" => experiments::write_recipe(out, rows, manifest),
            "readings" => crate::run::readings::write::<Self>(out, rows, manifest),
            _ => report::write(out, rows, manifest),
        }?;
        Ok(paths.pages())
    }
    #[cfg(feature = "report")]
    fn film(
        &self,
        agent: &Agent<Self>,
        actor: Option<&Actor>,
        shot: &Shot,
    ) -> Result<(Scene, Vec<Take>), JobError> {
        super::replay::film(self, agent, actor, shot)
    }
    #[cfg(feature = "report")]
    fn live(&self, trained: &Trained, first: Option<&str>, envs: usize) -> Option<Result<Live, LiveError>> {
        Some(super::live::live(self, trained, first, envs))
    }
    #[cfg(feature = "report")]
    fn palette() -> &'static [crate::report::figure::Swatch] {
        super::report::PALETTE
    }
    fn kernels() -> &'static [Entry] {
        super::kernels::REGISTRY
    }
    fn golden() -> &'static [golden::File] {
        &[("v2x_steps", super::golden::steps)]
    }
}

impl Run<V2xConfig> {
    /// With the keys of a variant, which a configuration that was checked has.
    fn varied(&self, text: &str) -> Self {
        let mut run = self.clone();
        run.config = self.config.varied(text).expect("variants were checked with the configuration");
        run.variant = text.into();
        run.folder.push(text);
        run
    }
}

impl V2xConfig {
    /// This configuration with what `variant` sets, and without an experiment.
    ///
    /// # Errors
    /// As of `--set`.
    pub fn varied(&self, variant: &str) -> Result<Self, ConfigError> {
        V2xConfig { experiment: None, ..self.clone() }.with_words(variant)
    }

    /// This configuration with each of `reproduce.error_factors` in its echoes, and its word.
    fn with_errors(&self) -> Vec<(String, Self)> {
        let with = |factor: &f64| {
            let mut c = self.clone();
            c.task.sensing_noise *= factor;
            (format!("{ERRORS}{factor}"), c)
        };
        self.reproduce.error_factors.iter().map(with).collect()
    }

    /// The environment of these replicas.
    pub fn typed_env(&self, units: &[Unit<Self>]) -> V2xEnv {
        let params = units.iter().map(|u| u.config.task.params([u.seed, 0])).collect();
        V2xEnv { spec: self.task.spec(), params }
    }
}

/// The runs of a job: every agent of the paper and every reference as configured or, with an `[experiment]`, the
/// agents, beams and penalties listed there, and then every agent that needs no training.
fn runs(config: &V2xConfig) -> Vec<Run<V2xConfig>> {
    let whole = |agent| config.run_of(agent);
    let mut out: Vec<Run<V2xConfig>> = Vec::new();
    match &config.experiment {
        None => {
            let agents = AGENTS.iter().filter(|a| !BEYOND.contains(&a.id));
            out.extend(agents.map(|agent| {
                let elsewhere = if agent.is_learned() { config.with_errors() } else { Vec::new() };
                Run { elsewhere, ..whole(agent) }
            }));
        }
        Some(e) => {
            for agent in AGENTS.iter().filter(|a| e.agents.iter().any(|id| id == a.id)) {
                let mut beams = vec![whole(agent)];
                if !e.beams.is_empty() {
                    let with = |beam: &Beam| {
                        let mut run = whole(agent);
                        run.config.task.beam = *beam;
                        run.folder.push(text_of(beam));
                        run
                    };
                    beams = e.beams.iter().map(with).collect();
                }
                let variants = e.variants.get(agent.id);
                let varied = |run: Run<V2xConfig>| match variants {
                    None => vec![run],
                    Some(all) => all.iter().map(|text| run.varied(text)).collect(),
                };
                for mut run in beams.into_iter().flat_map(varied) {
                    let spikes = run.config.algorithm(agent, &[]).is_some_and(|a: Algorithm| a.spikes());
                    if !spikes {
                        run.precisions.clone_from(&e.precisions);
                    }
                    if !spikes || e.rate_penalties.is_empty() {
                        out.push(run);
                        continue;
                    }
                    for p in &e.rate_penalties {
                        let penalty = format!("rate_penalty={p}");
                        let mut run = Run {
                            variant: format!("{} {penalty}", run.variant).trim_start().into(),
                            ..run.clone()
                        };
                        run.config.spiking.rate_penalty = *p;
                        run.folder.push(penalty);
                        out.push(run);
                    }
                }
            }
            out.extend(AGENTS.iter().filter(|a| !a.is_learned()).map(whole));
        }
    }
    for run in &mut out {
        run.config.experiment = None;
        run.own = run.config.clone();
    }
    out
}

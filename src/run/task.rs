//! What jobs and commands ask of a task: its typed configuration, environment and agents, how an agent is evaluated,
//! and what of a paper is reproduced.
//!
//! A task is its configuration type: [`Task`] is implemented for it. [`AnyTask`](super::registry::AnyTask) is the same
//! task without its type, as the command line holds it.

use super::errors::JobError;
use super::evaluate::{self, Acts, Controller, Estimate, Evaluation, Precision, ReplicaEstimates};
use super::rows::{Key, Manifest, Rows, Schema, text_of, with_word};
use super::watch::Watch;
use crate::config::{ConfigError, EvaluateConfig, Layered, ReadingsConfig, TrainConfig};
use crate::energy::RuleCounts;
use crate::energy::accounts::{self, Entry, Quantity};
use crate::env::Env;
use crate::exchange::Wrap;
use crate::golden;
use crate::gpu::Gpu;
use crate::kernels;
use crate::learn::Algorithm;
use crate::num::stats::Interval;
use std::error::Error;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(feature = "report")]
use {
    super::actor::Actor,
    super::record::{self, Decider, Shot},
    crate::report::live::{Live, LiveError, Trained},
    crate::report::replay::{Scene, Take},
    crate::report::{Judged, figure::Swatch},
};

/// What differs between the replicas of a job beside the seed, in messages: a key of `[task]`, called as
/// [`Schema::swept`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// As in `dBm`.
    pub unit: &'static str,
    /// Several of it, as in `powers`.
    pub noun: &'static str,
}

/// One row of the tables of a task.
pub struct Agent<C: Task> {
    pub id: &'static str,
    pub summary: &'static str,
    pub kind: Kind<C>,
}

/// What an agent id stands for.
pub enum Kind<C: Task> {
    /// Networks that are trained.
    Learned(fn(&C, Arc<dyn Env>) -> Algorithm),
    /// Something that needs no training, in the task's own words.
    Fixed(C::Fixed),
}

impl<C: Task> Agent<C> {
    /// Whether it has weights.
    pub fn is_learned(&self) -> bool {
        matches!(self.kind, Kind::Learned(_))
    }
}

/// One replica of a batch: a configuration with a seed.
pub struct Unit<'a, C> {
    pub config: &'a C,
    pub seed: u32,
}

impl<C> Clone for Unit<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Unit<'_, C> {}

/// Each configuration with its replica's seed.
pub fn units<'a, C>(configs: &'a [C], replicas: &[(f64, u32)]) -> Vec<Unit<'a, C>> {
    configs.iter().zip(replicas).map(|(config, (_, seed))| Unit { config, seed: *seed }).collect()
}

/// Weights of a learned agent, a replica each.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub algorithm: &'a Algorithm,
    /// `[R, P]`
    pub params: &'a [f32],
    pub precision: Precision,
}

impl<'a> Weights<'a> {
    /// In the precision of training.
    pub fn trained(algorithm: &'a Algorithm, params: &'a [f32]) -> Self {
        Weights { algorithm, params, precision: Precision::F32 }
    }
}

/// How an agent that needs no training acts.
pub struct Acting {
    /// The environment with actions in the agent's own parameterisation.
    pub env: Arc<dyn Env>,
    pub rule: Arc<dyn Acts>,
    /// Of a bound, the rows of [`Env::metrics`] (what it bounds, the bound): its value stands under the name of what it
    /// bounds, and alone. It is the same whatever `rule` does.
    pub bound: Option<(usize, usize)>,
}

/// What the configurations of all tasks have in common.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    pub train: &'a TrainConfig,
    pub evaluate: EvaluateConfig,
    /// Updates between two saved states.
    pub checkpoint_every: u32,
}

/// Schedules of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetables {
    /// What was solved, in a line.
    pub about: String,
    /// What is switched, a column each.
    pub columns: Vec<String>,
    pub all: Vec<Timetable>,
}

/// What is on in every slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    /// As an agent is called.
    pub name: &'static str,
    pub about: String,
    /// Means per slot in the long run, by name.
    pub costs: Vec<(&'static str, f64)>,
    /// Slots from the first of an episode on that are not repeated, `[slots, columns]`.
    pub before: Vec<Vec<bool>>,
    /// Slots that are repeated from there on.
    pub cycle: Vec<Vec<bool>>,
}

/// What one replica did.
#[derive(Clone, Debug)]
pub struct Evaluated {
    pub episodes: u64,
    /// Names and values as rows hold them. Of a bound: only what it bounds.
    pub metrics: Vec<(String, Estimate)>,
    /// Each of the schema's slot columns in every slot; empty of a bound.
    pub slots: Vec<Vec<Estimate>>,
    /// Energy of a decision of a learned agent by each model, and the counts behind it.
    pub energy: Vec<Entry>,
    pub counted: Vec<Quantity>,
    /// Whether a GPU evaluated it.
    pub on_gpu: bool,
}

impl Evaluated {
    /// What the estimates of one replica say with metrics of these names, without the samples behind them; `bound` as
    /// in [`Acting`].
    fn whole(o: &ReplicaEstimates, names: &Names, bound: Option<(usize, usize)>, on_gpu: bool) -> Self {
        let (metrics, slots) = match bound {
            Some((of, row)) => (vec![(names.means[of].clone(), o.metrics[row])], Vec::new()),
            None => {
                let values = o.metrics[..names.means.len()].iter().chain(&o.shares).copied();
                let quantiles = o.quantiles.iter().flatten().map(|x| Estimate::exact(*x));
                let all = names.means.iter().chain(&names.shares).chain(&names.quantiles).cloned();
                (all.zip(values.chain(quantiles)).collect(), o.slots.clone())
            }
        };
        Evaluated { episodes: o.episodes, metrics, slots, energy: Vec::new(), counted: Vec::new(), on_gpu }
    }
}

/// What an environment's evaluation says of a replica, in the order of its rows.
struct Names {
    /// Metrics that are means over slots.
    means: Vec<String>,
    /// Shares of episodes that keep a limit.
    shares: Vec<String>,
    /// Median and 90 % quantile of each quantity.
    quantiles: Vec<String>,
}

impl Names {
    fn of(env: &dyn Env) -> Self {
        let (samples, metrics) = (env.samples(), env.metrics());
        let means = metrics.len() - samples.map_or(0, |s| s.len());
        let quantiles = samples.iter().flat_map(|s| s.quantiles.as_flattened());
        Names {
            means: metrics.into_iter().take(means).map(|m| m.name).collect(),
            shares: env.limits().iter().map(|l| l.share.into()).collect(),
            quantiles: quantiles.map(|name| (*name).into()).collect(),
        }
    }
}

/// The rows of the metrics that are told slot by slot.
fn slot_rows<C: Task>(names: &Names) -> Vec<usize> {
    let rows = C::SCHEMA.slots.iter().map(|column| names.means.iter().position(|n| n == column.name));
    rows.collect::<Option<_>>().expect("a slot column is called by its metric")
}

/// Which values of a metric are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

impl Better {
    /// 1 where more is better, −1 where less is.
    pub fn sign(self) -> f64 {
        if self == Better::Higher { 1.0 } else { -1.0 }
    }
}

/// What is known of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// What the root of its mean is called: rows keep mean squares, since they can be averaged.
    pub root: Option<&'static str>,
    /// Whether rows keep it unasked. Not a bound that depends on the slot alone: it is the same for every agent.
    pub in_rows: bool,
    /// `None` where neither is.
    pub better: Option<Better>,
    /// The least and the greatest value that it can have, in its unit.
    pub range: Interval,
}

impl Facts {
    /// Of a metric of which nothing is known but what its name says: shares lie between 0 and 1, energies cost.
    pub fn of(name: &str) -> Facts {
        let any = Interval { lo: f64::NEG_INFINITY, hi: f64::INFINITY };
        let plain = Facts { root: None, in_rows: true, better: None, range: any };
        if name.ends_with("_share") || name.starts_with("share_") {
            return plain.within(0.0, 1.0);
        }
        if name.starts_with("energy_") { plain.lower().within(0.0, f64::INFINITY) } else { plain }
    }
    #[must_use]
    pub fn higher(self) -> Facts {
        Facts { better: Some(Better::Higher), ..self }
    }
    #[must_use]
    pub fn lower(self) -> Facts {
        Facts { better: Some(Better::Lower), ..self }
    }
    #[must_use]
    pub fn within(self, lo: f64, hi: f64) -> Facts {
        Facts { range: Interval { lo, hi }, ..self }
    }
}

/// One agent with one configuration of a job.
#[derive(Clone)]
pub struct Run<C: Task> {
    pub agent: &'static Agent<C>,
    pub config: C,
    /// What its checkpoint holds: the configuration without what the other runs of the job are, so that a longer list
    /// continues with the same ones.
    pub own: C,
    /// Places on the swept axis.
    pub swept: Vec<f64>,
    /// What tells it from other runs with the same labels, such as `rate_penalty=0.03`; else empty.
    pub variant: String,
    /// Folder of its training below the job's.
    pub folder: PathBuf,
    /// Precisions in which it is evaluated too, with the same weights; each has its own `variant`, see
    /// [`Run::in_precision`].
    pub precisions: Vec<Precision>,
    /// Configurations in which it is evaluated too at the highest swept value, with the same weights, each with its
    /// word of the variant behind [`ELSEWHERE`](super::rows::ELSEWHERE).
    pub elsewhere: Vec<(String, C)>,
}

impl<C: Task> Run<C> {
    /// `variant` where the network computes in another precision than that of training.
    pub fn in_precision(&self, precision: Precision) -> String {
        with_word(&self.variant, &text_of(&precision))
    }
}

/// Keys and sections that steer a job or an evaluation, and the length of a training.
const NOT_OF_TRAINING: [&str; 6] =
    ["evaluate", "reproduce", "experiment", "protocol", "train.log_every", "train.updates"];

/// The value of a dotted key.
pub(in crate::run) fn value_at(table: &toml::Table, key: &str) -> Option<toml::Value> {
    match key.split_once('.') {
        None => table.get(key).cloned(),
        Some((head, rest)) => value_at(table.get(head)?.as_table()?, rest),
    }
}

/// A task, implemented by its configuration.
pub trait Task: Layered + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// What agents that need no training are made of; see [`Task::acting`].
    type Fixed: Copy + Debug + Send + Sync + 'static;

    /// `task.name`
    const NAME: &'static str = Self::SCHEMA.task;
    /// Columns of the task's rows.
    const SCHEMA: &'static Schema;
    const SWEPT: Swept;
    /// The agent that `train` trains where none is named.
    const LEARNER: &'static str;
    /// What a report looks at where no metric is named.
    const METRIC: &'static str;
    /// What agents are compared by where no metric is named, the most important one first.
    const COMPARED: &'static [&'static str] = &[Self::METRIC];
    /// What the task was taken from, as BibTeX; empty where it was not.
    const CITE: &'static str = "";
    /// What `tune` varies where no file is named, as a [`SpaceFile`](crate::run::tune::SpaceFile) is written; empty for
    /// a task without.
    const TUNE: &'static str = "";
    /// Checkpoint of weights that drive the live page where no other is named; `None` of a task without such a page.
    #[cfg(feature = "report")]
    const LIVE_POLICY: Option<&'static [u8]> = None;
    /// Whether [`Task::timetables`] has any.
    const SCHEDULES: bool = false;
    /// Agents of the replay beside a report, the most telling ones first.
    #[cfg(feature = "report")]
    const SHOWN: &'static [&'static str] = &[];
    /// Keys that make a learner smaller.
    const MEMORY_KEYS: &'static str = "train.seeds, or the learner's envs, horizon or capacity";

    /// Every agent, in the order of the tables.
    fn agents() -> &'static [Agent<Self>];

    fn common(&self) -> Common<'_>;
    /// Where on the swept axis this configuration lies.
    fn swept(&self) -> f64;
    /// This configuration at another place of the swept axis.
    fn at(&self, swept: f64) -> Self;

    /// The environment with the parameters of these replicas; sizes are those of this configuration.
    fn env(&self, units: &[Unit<Self>]) -> Arc<dyn Env>;
    /// How an agent that needs no training acts in these replicas; `None` if [`Task::evaluate`] is the task's own.
    fn acting(&self, fixed: Self::Fixed, units: &[Unit<Self>]) -> Option<Acting> {
        let _ = (fixed, units);
        None
    }
    /// What making an action of a network's outputs takes in every slot, where that is more than a scale.
    fn after_network(&self) -> Option<RuleCounts> {
        None
    }
    /// Metrics of a replica with this configuration that follow from what [`Task::evaluate`] found, beside those.
    fn derived(&self, agent: &Agent<Self>, evaluated: &Evaluated) -> Vec<(String, Estimate)> {
        let _ = (agent, evaluated);
        Vec::new()
    }
    /// What tells a run of `agent` with this configuration from others, in the order of the schema's label columns; the
    /// last one is `variant`.
    fn labels(&self, agent: &Agent<Self>, variant: &str) -> Vec<String> {
        let _ = agent;
        vec![variant.into()]
    }
    /// Settings beside the task's own that an evaluation depends on, as text: replicas share a batch where it is equal.
    fn evaluation_text(&self) -> String {
        let e = self.common().evaluate;
        format!("{} {}", e.episodes, e.greedy)
    }

    /// Evaluates `agent` in these replicas, on the GPU if one is given and the agent's decisions can be made there;
    /// `weights` are a learned one's. Slot by slot it tells the metrics that the schema's slot columns are called by.
    ///
    /// # Errors
    /// What the device or the agent cannot do.
    fn evaluate(
        agent: &Agent<Self>,
        units: &[Unit<Self>],
        weights: Option<Weights>,
        gpu: Option<&Gpu>,
        watch: &dyn Watch,
    ) -> Result<Vec<Evaluated>, JobError> {
        let Some(first) = units.first() else { return Ok(Vec::new()) };
        let EvaluateConfig { episodes, greedy, .. } = first.config.common().evaluate;
        let policy = weights.and_then(|w| w.algorithm.policy());
        let mut counts = None;
        let (env, controller, bound) = match (&agent.kind, weights, policy.clone()) {
            (Kind::Fixed(fixed), ..) => {
                let acting = first.config.acting(*fixed, units).ok_or(JobError::NoRule(agent.id))?;
                counts = acting.rule.counts().filter(|_| acting.bound.is_none());
                (acting.env, Controller::Rule(acting.rule), acting.bound)
            }
            (Kind::Learned(_), Some(w), Some(policy)) => {
                let (params, precision) = (w.params, w.precision);
                (first.config.env(units), Controller::Policy { policy, params, greedy, precision }, None)
            }
            (Kind::Learned(_), ..) => return Err(JobError::NoWeights(agent.id)),
        };
        let names = Names::of(&*env);
        let slots = slot_rows::<Self>(&names);
        let eval = Evaluation { env, controller, episodes, slots: &slots };
        let on_gpu = gpu.is_some() && eval.decides_on_gpu();
        if gpu.is_some() && !on_gpu {
            watch.warn(&format!("agent '{}' decides on the CPU, and is evaluated there", agent.id));
        }
        watch.begin(&format!("evaluate {}", agent.id), episodes * units.len() as u64);
        let estimates = evaluate::evaluate(&eval, gpu, &|n| watch.advance(n, ""))?;
        watch.end();
        let mut out: Vec<Evaluated> =
            estimates.iter().map(|o| Evaluated::whole(o, &names, bound, on_gpu)).collect();
        for (e, unit) in out.iter_mut().zip(units) {
            let derived = unit.config.derived(agent, e);
            e.metrics.extend(derived);
        }
        if let Some(counts) = counts {
            for e in &mut out {
                (e.energy, e.counted) = counts.accounts();
            }
        }
        if let (Some(w), Some(policy)) = (weights, policy) {
            let networks = w.params.chunks(policy.params);
            for (((e, o), params), unit) in out.iter_mut().zip(&estimates).zip(networks).zip(units) {
                let Some(activity) = &o.activity else { continue };
                (e.energy, e.counted) = accounts::inference(&policy.net, params, activity)
                    .map_err(|error| JobError::Count(agent.id, error))?;
                if let Some(after) = unit.config.after_network() {
                    let (energy, counted) = after.after(&e.energy);
                    e.energy.extend(energy);
                    e.counted.extend(counted);
                }
            }
        }
        Ok(out)
    }
    /// The environment of these replicas as clients outside of this program step it; with `whole`, its actions also
    /// hold what [`Task::env`] leaves to learners.
    ///
    /// # Errors
    /// If there is nothing more than in [`Task::env`].
    fn client_env(&self, units: &[Unit<Self>], whole: bool) -> Result<Arc<dyn Env>, ConfigError> {
        if whole {
            let what = format!("actions of task {} have no phases beside them", Self::NAME);
            return Err(ConfigError::value("phases", what));
        }
        Ok(self.env(units))
    }
    /// Judges a policy from outside as [`Task::evaluate`] does this program's own agents, with the same draws: `rule`
    /// acts in [`Task::client_env`] and is asked by one thread, for many episodes at once, slot by slot.
    ///
    /// # Errors
    /// As [`Task::client_env`].
    fn judge(&self, rule: Arc<dyn Acts>, whole: bool, watch: &dyn Watch) -> Result<Evaluated, JobError> {
        let EvaluateConfig { episodes, seed, .. } = self.common().evaluate;
        let env = self.client_env(&[Unit { config: self, seed }], whole)?;
        let names = Names::of(&*env);
        let slots = slot_rows::<Self>(&names);
        let eval = Evaluation { env, controller: Controller::Rule(rule), episodes, slots: &slots };
        let estimates = evaluate::in_order(&eval, &|n| watch.advance(n, ""));
        Ok(Evaluated::whole(&estimates[0], &names, None, false))
    }
    /// The environment that an agent plays in with this configuration and seed, and how it decides there; `actor` is a
    /// learned one's.
    ///
    /// # Errors
    /// A bound, of which there is nothing to see, and what the agent lacks.
    #[cfg(feature = "report")]
    fn decider<'a>(
        &self,
        agent: &Agent<Self>,
        actor: Option<&'a Actor>,
        seed: u32,
    ) -> Result<(Arc<dyn Env>, Decider<'a>), JobError> {
        let unit = [Unit { config: self, seed }];
        match (&agent.kind, actor) {
            (Kind::Fixed(fixed), _) => {
                let acting = self.acting(*fixed, &unit).ok_or(JobError::NoRule(agent.id))?;
                match acting.bound {
                    Some(_) => Err(JobError::NothingToSee(agent.id)),
                    None => Ok((acting.env, Decider::Rule(acting.rule))),
                }
            }
            (Kind::Learned(_), Some(actor)) => {
                let greedy = self.common().evaluate.greedy;
                Ok((self.env(&unit), Decider::Policy { actor, greedy }))
            }
            (Kind::Learned(_), None) => Err(JobError::NoWeights(agent.id)),
        }
    }
    /// What is seen of an agent's episodes, a take each, slot by slot: the same draws and decisions as in
    /// [`Task::evaluate`] with the seed of `shot`. Without a view of the task's own: the metrics of the slots.
    ///
    /// # Errors
    /// As of [`Task::decider`].
    #[cfg(feature = "report")]
    fn film(
        &self,
        agent: &Agent<Self>,
        actor: Option<&Actor>,
        shot: &Shot,
    ) -> Result<(Scene, Vec<Take>), JobError> {
        let (env, decider) = self.decider(agent, actor, shot.seed)?;
        Ok(record::plain(&*env, decider, shot))
    }
    /// Schedules that are known for this configuration, the best one first; `None` of a task that schedules nothing.
    ///
    /// # Errors
    /// Why they cannot be found.
    fn timetables(&self, watch: &dyn Watch) -> Result<Option<Timetables>, JobError> {
        let _ = watch;
        Ok(None)
    }
    /// What stands before and behind the networks of an exported policy, in physical units, of the replica with this
    /// seed; `None` of a task that does not say.
    fn wrap(&self, seed: u32) -> Option<Box<dyn Wrap>> {
        let _ = seed;
        None
    }
    /// What is known of a metric.
    fn facts(metric: &str) -> Facts {
        Facts::of(metric)
    }

    /// Places on the swept axis that a reproduction goes through.
    fn places(&self) -> Vec<f64> {
        vec![self.swept()]
    }
    /// Whether what `agent` gives in this configuration, trained with it and evaluated, depends on a dotted key. Points
    /// of a sweep that are equal in all such keys are one point. What is said not to be read must not be; the other way
    /// round an experiment is repeated and counted once in reports.
    fn reads(&self, _agent: &Agent<Self>, _key: &str) -> bool {
        true
    }
    /// What its job varies to see which claims survive, if it is one of readings.
    fn readings(&self) -> Option<&ReadingsConfig> {
        None
    }
    /// This configuration as that of a job without readings.
    #[must_use]
    fn without_readings(&self) -> Self {
        self.clone()
    }
    /// What the papers behind the task claim, judged from the rows of one run in one mode; `config` is that of the run,
    /// as its manifest has it, or empty.
    #[cfg(feature = "report")]
    fn claims(rows: &Rows, config: &str) -> Vec<Judged> {
        let _ = (rows, config);
        Vec::new()
    }
    /// The runs of a reproduction: which agents with which configurations.
    fn runs(&self) -> Vec<Run<Self>> {
        Self::agents().iter().map(|agent| self.run_of(agent)).collect()
    }
    /// Writes what is left of an experiment of this task, and says what lies where. Without figures of the task's own:
    /// its rows.
    ///
    /// # Errors
    /// What the file system or the rows do not allow.
    fn write_report(
        experiment: &str,
        out: &Path,
        rows: &Rows,
        manifest: &Manifest,
    ) -> Result<Vec<PathBuf>, Box<dyn Error + Send + Sync>> {
        let _ = experiment;
        #[cfg(feature = "report")]
        let paths = crate::report::write_rows(out, rows, Self::SCHEMA, manifest)?;
        #[cfg(not(feature = "report"))]
        let paths = vec![rows.write_json(out, manifest)?];
        Ok(paths)
    }
    /// The page that runs this configuration in a browser, with `envs` environments and a trained policy, driven at
    /// first by the agent `first` if one is named; `None` of a task without such a page.
    ///
    /// # Errors
    /// What the page cannot show.
    #[cfg(feature = "report")]
    fn live(&self, trained: &Trained, first: Option<&str>, envs: usize) -> Option<Result<Live, LiveError>> {
        let _ = (trained, first, envs);
        None
    }
    /// Colours and markers of the agents in figures; others are given to those that are not among them.
    #[cfg(feature = "report")]
    fn palette() -> &'static [Swatch] {
        &[]
    }
    /// The task's own kernels, as `check` compares them.
    fn kernels() -> &'static [kernels::Entry] {
        &[]
    }
    /// What the task's own golden vectors are compared by.
    fn golden() -> &'static [golden::File] {
        &[]
    }

    /// The run of `agent` with this configuration, at all places.
    fn run_of(&self, agent: &'static Agent<Self>) -> Run<Self> {
        Run {
            agent,
            config: self.clone(),
            own: self.clone(),
            swept: self.places(),
            variant: String::new(),
            folder: agent.id.into(),
            precisions: Vec::new(),
            elsewhere: Vec::new(),
        }
    }
    /// This configuration with another number of episodes.
    fn with_episodes(&self, episodes: u64) -> Self {
        self.with_key(
            "evaluate",
            "episodes",
            toml::Value::Integer(i64::try_from(episodes).unwrap_or(i64::MAX)),
        )
    }
    /// This configuration with policies that decide in one mode or the other.
    fn with_greedy(&self, greedy: bool) -> Self {
        self.with_key("evaluate", "greedy", toml::Value::Boolean(greedy))
    }
    /// This configuration with trainings of another length.
    fn with_updates(&self, updates: u32) -> Self {
        self.with_key("train", "updates", toml::Value::Integer(updates.into()))
    }
    /// This configuration with another value, of the same type, of a key of its section.
    fn with_key(&self, section: &str, key: &str, value: toml::Value) -> Self {
        let mut table = self.table();
        table[section][key] = value;
        Self::typed(table).expect("only a value is another one")
    }

    /// The agent called `id`.
    fn agent(id: &str) -> Option<&'static Agent<Self>> {
        Self::agents().iter().find(|a| a.id == id)
    }
    /// What trains `agent` in these replicas, whose structures are equal ([`Algorithm::structure`]); `None` if it does
    /// not learn. Numbers that a replica may have for itself are those of its own configuration.
    fn algorithm(&self, agent: &Agent<Self>, units: &[Unit<Self>]) -> Option<Algorithm> {
        let Kind::Learned(make) = agent.kind else { return None };
        let single = |u: &Unit<Self>| make(u.config, u.config.env(&[]));
        Some(make(self, self.env(units)).with_numbers_of(&units.iter().map(single).collect::<Vec<_>>()))
    }
    /// The same with one configuration, (swept value, seed) each.
    fn algorithm_at(&self, agent: &Agent<Self>, replicas: &[(f64, u32)]) -> Option<Algorithm> {
        let configs: Vec<Self> = replicas.iter().map(|(x, _)| self.at(*x)).collect();
        self.algorithm(agent, &units(&configs, replicas))
    }
    /// The environment of (swept value, seed) each.
    fn env_at(&self, replicas: &[(f64, u32)]) -> Arc<dyn Env> {
        let configs: Vec<Self> = replicas.iter().map(|(x, _)| self.at(*x)).collect();
        self.env(&units(&configs, replicas))
    }
    /// What the numbers of an action mean, as text, as far as no size tells.
    fn actions(&self) -> String {
        String::new()
    }
    /// What decides, as text: a checkpoint serves configurations in which it is equal.
    fn decision(&self, agent: &Agent<Self>) -> String {
        let networks = self.algorithm(agent, &[]).map_or(String::new(), |a| a.decision());
        format!("{} {networks}", self.actions())
    }
    /// Keys of this configuration with any of which alone a policy that was trained as `trained` would be another one,
    /// or all that differ if only several together make it another; none if it serves.
    fn other_decision(&self, trained: &Self, agent: &Agent<Self>) -> Vec<String> {
        let text = trained.decision(agent);
        if self.decision(agent) == text {
            return Vec::new();
        }
        let (keys, table) = (trained.different_keys(self), self.table());
        let alone = |key: &&String| {
            let set = value_at(&table, key).map(|value| format!("{key}={value}"));
            let varied = set.and_then(|set| trained.with(&[set]).ok());
            varied.is_some_and(|c| c.decision(agent) != text)
        };
        let own: Vec<String> = keys.iter().filter(alone).cloned().collect();
        if own.is_empty() { keys } else { own }
    }
    /// The first key in which trainings by `before` and by this configuration differ, if there is one: keys that steer
    /// a job or an evaluation, the length of a training and what `agent` does not read are none of it.
    fn training_difference(&self, before: &Self, agent: &Agent<Self>) -> Option<String> {
        let mut keys = before.different_keys(self);
        keys.retain(|key| !key.starts_with("train.") && !self.reads(agent, key) && !before.reads(agent, key));
        let without: Vec<&str> = NOT_OF_TRAINING.into_iter().chain(keys.iter().map(String::as_str)).collect();
        before.difference_but(self, &without)
    }
    /// What [`Task::training_difference`] compares, as text.
    fn training_text(&self) -> String {
        self.table_but(&NOT_OF_TRAINING).to_string()
    }
    /// Which run a row belongs to.
    fn key(&self, agent: &Agent<Self>, variant: &str, (at, seed): (f64, u32)) -> Key {
        Key { agent: agent.id.into(), labels: self.labels(agent, variant), at, seed }
    }
}

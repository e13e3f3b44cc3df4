//! Tasks and checkpoints without their types.

use super::actor::Actor;
use super::checkpoint::Checkpoint;
use super::errors::{CheckpointError, JobError};
use super::export::{self, ExportError};
use super::rows::Schema;
#[cfg(feature = "report")]
use super::rows::{Manifest, Rows};
use super::task::{Evaluated, Facts, Task, Unit, Weights, units};
use super::torch;
use super::watch::Watch;
use crate::config::{ConfigError, Layered};
use crate::env::Env;
use crate::golden;
use crate::kernels;
use crate::learn::{Algorithm, LearnerState};
#[cfg(feature = "report")]
use crate::report::{Judged, figure::Swatch};
#[cfg(feature = "report")]
use std::error::Error;
use std::marker::PhantomData;
use std::path::Path;
#[cfg(feature = "report")]
use std::path::PathBuf;
use std::sync::Arc;

/// A task without its type.
pub trait AnyTask: Sync {
    fn name(&self) -> &'static str;
    /// Ids of all agents, in the order of the tables.
    fn agents(&self) -> Vec<&'static str>;
    /// Those that have weights.
    fn learned(&self) -> Vec<&'static str>;
    /// What a report looks at where no metric is named.
    fn metric(&self) -> &'static str;
    /// [`Task::COMPARED`]
    fn compared(&self) -> &'static [&'static str];
    /// See [`Task::facts`].
    fn facts(&self, metric: &str) -> Facts;
    /// [`Task::CITE`]
    fn cite(&self) -> &'static str;
    /// Colours and markers of the agents in figures.
    #[cfg(feature = "report")]
    fn palette(&self) -> &'static [Swatch];
    /// Columns of its rows.
    fn schema(&self) -> &'static Schema;
    /// See [`Task::claims`].
    #[cfg(feature = "report")]
    fn claims(&self, rows: &Rows, config: &str) -> Vec<Judged>;
    /// See [`Task::write_report`].
    ///
    /// # Errors
    /// What the file system or the rows do not allow.
    #[cfg(feature = "report")]
    fn write_report(
        &self,
        experiment: &str,
        out: &Path,
        rows: &Rows,
        manifest: &Manifest,
    ) -> Result<Vec<PathBuf>, Box<dyn Error + Send + Sync>>;
    /// The task's own kernels.
    fn kernels(&self) -> &'static [kernels::Entry];
    /// What the task's own golden vectors are compared by.
    fn golden(&self) -> &'static [golden::File];
    /// The task as clients outside of this program step it: with the default preset, or that of `sets`, and these keys;
    /// `whole` as in [`Task::client_env`].
    ///
    /// # Errors
    /// The key that is wrong.
    fn client(&self, sets: &[String], whole: bool) -> Result<Client, ConfigError>;
    /// A learned agent as it is before training, with the default preset and seed 0; `None` if there is no such agent.
    ///
    /// # Errors
    /// If the built-in preset is not valid.
    fn initial(&self, agent: &str) -> Result<Option<Box<dyn AnyCheckpoint>>, ConfigError>;
    /// A checkpoint of a file for PyTorch with a policy of this task: see [`torch::from_torch`].
    ///
    /// # Errors
    /// What is wrong with the file, which is called `name` in them.
    fn import(&self, bytes: &[u8], name: &str) -> Result<Box<dyn AnyCheckpoint>, CheckpointError>;
    /// Reads a checkpoint of this task.
    ///
    /// # Errors
    /// [`CheckpointError::OtherTask`] if it belongs to another task, and what else is wrong with it.
    fn open(&self, path: &Path) -> Result<Box<dyn AnyCheckpoint>, CheckpointError>;
}

/// A configured task as clients outside of this program step it.
pub struct Client {
    /// One replica.
    pub env: Arc<dyn Env>,
    /// The whole configuration, as TOML.
    pub config: String,
}

/// A checkpoint without its task's type.
pub trait AnyCheckpoint: Send + Sync {
    fn task(&self) -> &'static str;
    fn agent(&self) -> &str;
    fn replicas(&self) -> usize;
    /// What its replicas were learned by.
    fn algorithm(&self) -> Algorithm;
    /// The same of the first of them alone.
    fn first(&self) -> Algorithm;
    /// Sections of its configuration that must be equal where agents stand in one table, `[task]` and of `[evaluate]`
    /// what is not a number of episodes or a seed, at its first place of the swept axis.
    fn compared(&self) -> toml::Table;
    /// Another learned agent of its task as it is before training, with its configuration at its first place and seed
    /// 0; `None` if there is no such agent.
    ///
    /// # Errors
    /// The key of the configuration with which that agent cannot learn.
    fn beside(&self, agent: &str) -> Result<Option<Box<dyn AnyCheckpoint>>, ConfigError>;
    fn state(&self) -> &LearnerState;
    /// Drops every replica at another place of the swept axis than the first one's.
    fn keep_first_place(&mut self);
    /// The policy of a replica.
    fn actor(&self, replica: usize) -> Actor;
    /// The configuration, as TOML, that the replica was trained with.
    fn config(&self, replica: usize) -> String;
    /// Seeds, replica by replica.
    fn seeds(&self) -> &[u32];
    /// The policy of a replica as an ONNX file: see [`export::onnx`].
    ///
    /// # Errors
    /// A replica that is not there, and what cannot be written.
    fn onnx(&self, replica: usize, raw: bool) -> Result<Vec<u8>, ExportError>;
    /// The networks of a replica for PyTorch: see [`torch::torch`].
    ///
    /// # Errors
    /// A replica that is not there, and weights that are not finite.
    fn torch(&self, replica: usize) -> Result<Vec<u8>, ExportError>;
    /// Writes the weights as a checkpoint that acts and is not trained on.
    ///
    /// # Errors
    /// What the file system refuses.
    fn save_weights(&self, path: &Path) -> Result<(), CheckpointError>;
    /// The spiking network of a replica as a NIR file, and what its readers must know: see [`export::nir`].
    ///
    /// # Errors
    /// A replica that is not there, and a network that NIR has no words for.
    #[cfg(feature = "nir")]
    fn nir(&self, replica: usize) -> Result<(Vec<u8>, Vec<String>), ExportError>;
    /// Evaluates its replicas on the CPU.
    ///
    /// # Errors
    /// What the agent cannot do.
    fn evaluated(&self, episodes: u64, watch: &dyn Watch) -> Result<Vec<Evaluated>, JobError>;
}

/// The entry of the task whose configuration is `C`.
pub struct Entry<C>(PhantomData<fn() -> C>);

impl<C: Task> Entry<C> {
    pub const fn new() -> Self {
        Entry(PhantomData)
    }
}

impl<C: Task> Default for Entry<C> {
    fn default() -> Self {
        Entry::new()
    }
}

impl<C: Task> AnyTask for Entry<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }
    fn agents(&self) -> Vec<&'static str> {
        C::agents().iter().map(|a| a.id).collect()
    }
    fn learned(&self) -> Vec<&'static str> {
        C::agents().iter().filter(|a| a.is_learned()).map(|a| a.id).collect()
    }
    fn metric(&self) -> &'static str {
        C::METRIC
    }
    fn compared(&self) -> &'static [&'static str] {
        C::COMPARED
    }
    fn facts(&self, metric: &str) -> Facts {
        C::facts(metric)
    }
    fn cite(&self) -> &'static str {
        C::CITE
    }
    #[cfg(feature = "report")]
    fn palette(&self) -> &'static [Swatch] {
        C::palette()
    }
    fn schema(&self) -> &'static Schema {
        C::SCHEMA
    }
    #[cfg(feature = "report")]
    fn claims(&self, rows: &Rows, config: &str) -> Vec<Judged> {
        C::claims(rows, config)
    }
    #[cfg(feature = "report")]
    fn write_report(
        &self,
        experiment: &str,
        out: &Path,
        rows: &Rows,
        manifest: &Manifest,
    ) -> Result<Vec<PathBuf>, Box<dyn Error + Send + Sync>> {
        C::write_report(experiment, out, rows, manifest)
    }
    fn kernels(&self) -> &'static [kernels::Entry] {
        C::kernels()
    }
    fn golden(&self) -> &'static [golden::File] {
        C::golden()
    }
    fn client(&self, sets: &[String], whole: bool) -> Result<Client, ConfigError> {
        let config = C::load(None, sets)?;
        let env = config.client_env(&[Unit { config: &config, seed: 0 }], whole)?;
        Ok(Client { env, config: config.to_toml() })
    }
    fn initial(&self, agent: &str) -> Result<Option<Box<dyn AnyCheckpoint>>, ConfigError> {
        untrained(<C as Layered>::load(None, &[])?, agent)
    }
    fn import(&self, bytes: &[u8], name: &str) -> Result<Box<dyn AnyCheckpoint>, CheckpointError> {
        Ok(Box::new(torch::from_torch::<C>(bytes, name)?))
    }
    fn open(&self, path: &Path) -> Result<Box<dyn AnyCheckpoint>, CheckpointError> {
        Ok(Box::new(Checkpoint::<C>::load(path)?))
    }
}

/// An agent with this configuration as it is before training, seed 0.
fn untrained<C: Task>(config: C, agent: &str) -> Result<Option<Box<dyn AnyCheckpoint>>, ConfigError> {
    let Some(found) = C::agent(agent).filter(|a| a.is_learned()) else { return Ok(None) };
    config.relations_for(agent)?;
    let (swept, seeds) = (vec![config.swept()], vec![0]);
    let algorithm = config.algorithm_at(found, &[(config.swept(), 0)]).expect("a learned agent");
    let state = algorithm.start();
    Ok(Some(Box::new(Checkpoint { config, agent: agent.into(), seeds, swept, state })))
}

impl<C: Task> AnyCheckpoint for Checkpoint<C> {
    fn task(&self) -> &'static str {
        C::NAME
    }
    fn agent(&self) -> &str {
        &self.agent
    }
    fn replicas(&self) -> usize {
        self.seeds.len()
    }
    fn algorithm(&self) -> Algorithm {
        Checkpoint::algorithm(self)
    }
    fn first(&self) -> Algorithm {
        let agent = C::agent(&self.agent).expect("an agent of the task");
        self.config.algorithm_at(agent, &[(self.swept[0], self.seeds[0])]).expect("a learned agent")
    }
    fn compared(&self) -> toml::Table {
        let mut table = self.config.at(self.swept[0]).table();
        table.retain(|section, _| ["task", "evaluate"].contains(&section));
        if let Some(toml::Value::Table(evaluate)) = table.get_mut("evaluate") {
            evaluate.retain(|key, _| !["episodes", "seed"].contains(&key));
        }
        table
    }
    fn beside(&self, agent: &str) -> Result<Option<Box<dyn AnyCheckpoint>>, ConfigError> {
        untrained(self.config.at(self.swept[0]), agent)
    }
    fn state(&self) -> &LearnerState {
        &self.state
    }
    fn keep_first_place(&mut self) {
        self.keep(self.swept[0]);
    }
    fn actor(&self, replica: usize) -> Actor {
        let algorithm = Checkpoint::algorithm(self);
        let p = algorithm.params();
        Actor::new(&algorithm, &self.state.params[replica * p..][..p])
    }
    fn config(&self, replica: usize) -> String {
        self.config.at(self.swept[replica]).to_toml()
    }
    fn seeds(&self) -> &[u32] {
        &self.seeds
    }
    fn onnx(&self, replica: usize, raw: bool) -> Result<Vec<u8>, ExportError> {
        export::onnx(self, replica, raw)
    }
    fn torch(&self, replica: usize) -> Result<Vec<u8>, ExportError> {
        torch::torch(self, replica)
    }
    fn save_weights(&self, path: &Path) -> Result<(), CheckpointError> {
        Checkpoint::save_weights(self, path)
    }
    #[cfg(feature = "nir")]
    fn nir(&self, replica: usize) -> Result<(Vec<u8>, Vec<String>), ExportError> {
        export::nir(self, replica)
    }
    fn evaluated(&self, episodes: u64, watch: &dyn Watch) -> Result<Vec<Evaluated>, JobError> {
        let replicas = Checkpoint::replicas(self);
        let configs: Vec<C> =
            replicas.iter().map(|(x, _)| self.config.at(*x).with_episodes(episodes)).collect();
        let algorithm = Checkpoint::algorithm(self);
        let weights = Weights::trained(&algorithm, &self.state.params);
        let agent = C::agent(&self.agent).expect("an agent of the task");
        C::evaluate(agent, &units(&configs, &replicas), Some(weights), None, watch)
    }
}

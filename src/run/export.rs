//! Trained policies as ONNX files: the whole decision of a slot, from estimates in physical units to angles, powers,
//! beams, cameras and phases, or the networks alone.
//!
//! A file acts without exploration: the mean of a Gaussian, the most valuable choice, the more probable frame. Whatever
//! outlives a slot (an LSTM's state, carried membrane potentials) is an input and an output, 0 at the start of an
//! episode.

use super::checkpoint::Checkpoint;
use super::rows::sources;
use super::task::Task;
use crate::exchange::graph::Graph;
use crate::exchange::{Decided, Seen, nets};
use crate::learn::Algorithm;

/// Why a policy cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("--replica {0}: the checkpoint has replicas 0 to {1}")]
    Replica(usize, usize),
    #[error("agent '{0}': {1}")]
    Agent(String, String),
}

/// The policy of a replica as a graph; with `raw`, it takes observations as environments give them and gives raw
/// actions (or logits and phases).
///
/// # Errors
/// A replica that is not there, and what cannot be written in closed form.
pub fn graph<C: Task>(c: &Checkpoint<C>, replica: usize, raw: bool) -> Result<Graph, ExportError> {
    if replica >= c.seeds.len() {
        return Err(ExportError::Replica(replica, c.seeds.len() - 1));
    }
    let algorithm = c.algorithm();
    let width = algorithm.params();
    let params = &c.state.params[replica * width..][..width];
    let sizes = algorithm.env().sizes();
    let refused = |what: String| ExportError::Agent(c.agent.clone(), what);
    let mut g = Graph::new();
    let wrap = c.config.at(c.swept[replica]).wrap(c.seeds[replica]).filter(|_| !raw);
    let seen = match &wrap {
        Some(wrap) => wrap.enter(&mut g),
        None if raw => {
            let about = "observation as environments give it; its numbers are in the metadata";
            Seen { obs: g.input("observation", &[sizes.obs], about), physical: Vec::new() }
        }
        None => {
            return Err(refused(
                "its task does not say what its numbers are: --raw gives the networks".into(),
            ));
        }
    };
    let decided = match (&algorithm, algorithm.policy()) {
        (_, Some(policy)) => {
            let out = nets::network(&mut g, &policy.net, params, &seen.obs);
            Decided { action: nets::raw_action(&mut g, &policy, sizes.action, &out), phases: None }
        }
        (Algorithm::Experts(spec), None) => {
            let (logits, phases) = nets::experts(&mut g, &spec.layout, params, &seen.obs);
            Decided { action: logits, phases: Some(phases) }
        }
        (_, None) => unreachable!("every other algorithm has a policy"),
    };
    match &wrap {
        Some(wrap) => wrap.leave(&mut g, &seen, &decided).map_err(refused)?,
        None => match &decided.phases {
            None => {
                g.output("action", &decided.action, &[sizes.action], "raw action, as environments take it")
            }
            Some(phases) => {
                let Algorithm::Experts(spec) = &algorithm else { unreachable!("only experts have phases") };
                g.output("logit", &decided.action, &[sizes.action], "logit of a frame of each vehicle");
                g.output(
                    "phase_rad",
                    phases,
                    &[spec.layout.phases()],
                    "phases of the beams, rad, beam by beam",
                );
            }
        },
    }
    Ok(g)
}

/// What is to be known of a file with the policy of a replica, as (key, text).
pub(super) fn known<C: Task>(
    c: &Checkpoint<C>,
    replica: usize,
    more: &[(&str, String)],
) -> Vec<(String, String)> {
    let config = c.config.at(c.swept[replica]);
    let env = config.env(&[]);
    let names = |all: Vec<crate::env::Component>| {
        all.iter().map(|x| format!("{} [{}]", x.name, x.unit)).collect::<Vec<_>>().join(", ")
    };
    let (revision, dirty) = sources();
    let changed = if dirty == Some(true) { " with local changes" } else { "" };
    let text = |x: &str| x.to_string();
    let own = [
        ("task", text(C::NAME)),
        ("agent", c.agent.clone()),
        ("seed", c.seeds[replica].to_string()),
        (C::SCHEMA.swept.name, c.swept[replica].to_string()),
        ("updates", c.state.updates.to_string()),
        ("isacbench_version", text(env!("CARGO_PKG_VERSION"))),
        ("git_revision", revision.map_or(text("unknown"), |r| format!("{r}{changed}"))),
        ("observation", names(env.observation())),
        ("action", names(env.action())),
        ("configuration", config.to_toml()),
    ];
    own.iter().chain(more).map(|(key, value)| (key.to_string(), value.clone())).collect()
}

/// The file of [`graph`], with what it was made of as metadata.
///
/// # Errors
/// As [`graph`].
pub fn onnx<C: Task>(c: &Checkpoint<C>, replica: usize, raw: bool) -> Result<Vec<u8>, ExportError> {
    let g = graph(c, replica, raw)?;
    let ports = |all: &[crate::exchange::graph::Port]| {
        all.iter().map(|p| format!("{}: {}", p.name, p.about)).collect::<Vec<_>>().join("; ")
    };
    let more = [
        ("decision", if raw { "raw" } else { "whole" }.to_string()),
        ("inputs", ports(g.inputs())),
        ("outputs", ports(g.outputs())),
    ];
    let metadata = known(c, replica, &more);
    let about = format!("policy of agent {} for task {}, without exploration", c.agent, C::NAME);
    Ok(g.onnx(&format!("{}_{}", C::NAME, c.agent.replace('-', "_")), &about, &metadata))
}

/// The spiking network of a replica as a NIR file, and what its readers must know: observations as environments give
/// them in, raw actions out.
///
/// # Errors
/// A replica that is not there, and a network that NIR has no words for.
#[cfg(feature = "nir")]
pub fn nir<C: Task>(c: &Checkpoint<C>, replica: usize) -> Result<(Vec<u8>, Vec<String>), ExportError> {
    if replica >= c.seeds.len() {
        return Err(ExportError::Replica(replica, c.seeds.len() - 1));
    }
    let refused = |what: String| ExportError::Agent(c.agent.clone(), what);
    let algorithm = c.algorithm();
    let width = algorithm.params();
    let policy = algorithm
        .policy()
        .ok_or_else(|| refused("its networks have no spikes: NIR is for spiking ones".into()))?;
    let metadata = known(c, replica, &[]);
    crate::exchange::nir::file(&policy.net, &c.state.params[replica * width..][..width], &metadata)
        .map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::env::{At, StepSlices};
    use crate::exchange::interpreter::{Array, run};
    use crate::run::actor::{Actor, Decided as Written, Mode};
    use crate::run::task::Unit;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;
    use std::collections::BTreeMap;

    /// A checkpoint with weights that are far from those of an initialisation, whose outputs are all but 0.
    fn checkpoint<C: Task>(config: &C, agent: &str) -> Checkpoint<C> {
        let replicas = [(config.swept(), 3), (config.swept(), 4)];
        let found = C::agent(agent).expect("an agent");
        let algorithm = config.algorithm_at(found, &replicas).expect("a learned agent");
        let mut state = algorithm.start();
        let mut x = 0.37f32;
        for w in &mut state.params {
            x = (x * 997.13 + 0.731).fract();
            *w = *w * 0.9 + 0.3 * (x - 0.5);
        }
        let (swept, seeds) = replicas.into_iter().unzip();
        Checkpoint { config: config.clone(), agent: agent.into(), seeds, swept, state }
    }

    /// Through an episode of real observations: the networks of the file give what the policy gives.
    fn the_file_decides_as_the_policy<C: Task>(sets: &[&str], agent: &str) {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let config = C::load(None, &sets).unwrap();
        let c = checkpoint(&config, agent);
        let (g, algorithm) = (graph(&c, 1, true).unwrap(), c.algorithm());
        let width = algorithm.params();
        let actor = Actor::new(&algorithm, &c.state.params[width..]);
        let env = config.env(&[Unit { config: &config, seed: 4 }]);
        let (sizes, envs) = (env.sizes(), 17);
        let mut at = At { replica: 0, key: [4, 0], first: 0, envs, clock: 0 };
        let (mut state, mut obs) = (vec![0.0; sizes.state * envs], vec![0.0; sizes.obs * envs]);
        env.reset(&at, &mut state, &mut obs);
        let mut memory = vec![0.0; actor.memory() * envs];
        let mut held: BTreeMap<String, Array> = BTreeMap::new();
        for port in g.inputs().iter().filter(|p| p.name != "observation") {
            let n: usize = port.shape.iter().product();
            held.insert(port.name.clone(), Array::new(&[envs, n], vec![0.0; envs * n]));
        }
        assert_eq!(held.is_empty(), actor.memory() == 0, "{agent}: what outlives a slot is in the file");
        for clock in 0..sizes.slots as u32 {
            at.clock = clock;
            let mut action = vec![0.0; sizes.action * envs];
            let mut phases = vec![0.0; actor.phases() * envs];
            let mode = Mode { greedy: true, key: [4, 0], clock };
            let wanted = (!phases.is_empty()).then_some(&mut phases[..]);
            actor.act(&obs, mode, &mut memory, Written { action: &mut action, phases: wanted });
            let mut inputs: BTreeMap<&str, Array> =
                held.iter().map(|(name, x)| (name.as_str(), x.clone())).collect();
            inputs.insert("observation", Array::new(&[envs, sizes.obs], obs.clone()));
            let mut told = run(&g, &inputs);
            if let Some(logits) = told.remove("logit") {
                let cameras: Vec<f32> = logits.data.iter().map(|x| f32::from(u8::from(*x > 0.0))).collect();
                let near = logits.data.iter().zip(&cameras).zip(&action);
                assert!(near.into_iter().all(|((x, a), b)| a == b || x.abs() < 1e-4), "{agent} at {clock}");
                close(&told.remove("phase_rad").unwrap().data, &phases, agent);
            } else {
                close(&told.remove("action").unwrap().data, &action, agent);
            }
            held = told
                .into_iter()
                .map(|(name, x)| (name.strip_suffix("_next").unwrap().to_string(), x))
                .collect();
            let (mut reward, mut flags) = (vec![0.0; envs], vec![0; envs]);
            let mut final_obs = vec![0.0; sizes.obs * envs];
            let out = StepSlices {
                final_obs: &mut final_obs,
                reward: &mut reward,
                flags: &mut flags,
                metrics: None,
                full: false,
            };
            env.step(&at, &action, &mut state, &mut obs, out);
        }
        assert!(onnx(&c, 0, true).unwrap().len() > 4 * width / 4);
        assert_eq!(graph(&c, 2, true).err(), Some(ExportError::Replica(2, 1)));
        assert!(graph(&c, 0, false).is_ok(), "{agent}: the whole decision");
    }

    /// A spike more or less moves an output by a weight: a sample in a thousand may stand apart where sums are rounded
    /// in another order.
    fn close(a: &[f32], b: &[f32], what: &str) {
        assert_eq!(a.len(), b.len());
        let apart = a.iter().zip(b).filter(|(x, y)| (*x - *y).abs() > 2e-5 * (1.0 + y.abs())).count();
        assert!(apart * 1000 <= a.len(), "{what}: {apart} of {} are apart", a.len());
    }

    const SMALL: &[&str] = &["ppo.hidden=[9,7]", "task.slots=12", "ppo.horizon=12", "ppo.minibatch=96"];

    #[test]
    fn every_policy_of_v2x() {
        for agent in ["ppo", "ddpg", "dqn", "apg"] {
            for beam in ["angles", "tracking", "zf", "matrix"] {
                let set = format!("task.beam={beam:?}");
                let own =
                    [&[set.as_str(), "ddpg.hidden=[9]", "dqn.hidden=[9]", "task.antennas=8"], SMALL].concat();
                the_file_decides_as_the_policy::<V2xConfig>(&own, agent);
            }
        }
        the_file_decides_as_the_policy::<V2xConfig>(&[&["dqn.head=additive"], SMALL].concat(), "dqn");
        for agent in ["spiking-ac", "spiking-apg"] {
            for more in [
                &["spiking.hidden=[40]"][..],
                &[
                    "spiking.hidden=[24,16]",
                    "spiking.readout=last",
                    "spiking.reset=-0.2",
                    "spiking.lambda=0.3",
                ],
                &["spiking.hidden=[24,16]", "spiking.learn_leak=true", "spiking.threshold=0.7"],
                &["spiking.hidden=[24]", "spiking.membrane=carried", "spiking.readout=last"],
                &["spiking.hidden=[16,8]", "spiking.membrane=carried", "spiking.readout=mean"],
                &["spiking.hidden=[16]", "spiking.population=5", "spiking.steps=9"],
                &["spiking.hidden=[]"],
            ] {
                the_file_decides_as_the_policy::<V2xConfig>(&[more, SMALL].concat(), agent);
            }
        }
    }

    #[test]
    fn every_policy_of_misac() {
        let small = ["task.slots=12", "task.antennas=8", "task.vehicles=3"];
        for agent in MisacConfig::agents().iter().filter(|a| a.is_learned()) {
            for phase in ["temporal.phase=direct", "temporal.phase=residual"] {
                let own = [&small[..], &[phase]].concat();
                if MisacConfig::load(None, &own.iter().map(ToString::to_string).collect::<Vec<_>>()).is_ok() {
                    the_file_decides_as_the_policy::<MisacConfig>(&own, agent.id);
                }
            }
            the_file_decides_as_the_policy::<MisacConfig>(&small, agent.id);
        }
    }

    /// The file that snnTorch ran is the one that is written now, but for what tells of versions.
    #[cfg(feature = "nir")]
    #[test]
    fn a_nir_file_is_the_one_that_others_have_read() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/networks");
        let c = Checkpoint::<V2xConfig>::load(&dir.join("v2x-spiking-ac.safetensors")).unwrap();
        let now = hdf5_pure::File::from_bytes(nir(&c, 0).unwrap().0).unwrap();
        let then = hdf5_pure::File::open(dir.join("v2x-spiking-ac.nir")).unwrap();
        let mut compared = 0;
        for (node, keys) in [
            ("affine_1", &["weight", "bias"][..]),
            ("affine_2", &["weight", "bias"]),
            ("read_out", &["weight", "bias"]),
            ("lif_1", &["tau", "r", "v_leak", "v_reset", "v_threshold"]),
            ("lif_2", &["tau", "r", "v_leak", "v_reset", "v_threshold"]),
        ] {
            for key in keys {
                let path = format!("node/nodes/{node}/{key}");
                let of = |f: &hdf5_pure::File| {
                    let d = f.dataset(&path).unwrap();
                    (d.shape().unwrap(), d.read_f32().unwrap())
                };
                let (now, then) = (of(&now), of(&then));
                assert!(now == then, "{path}");
                compared += now.1.len();
            }
        }
        assert!(compared > 300, "{compared}");
        let words = |f: &hdf5_pure::File| f.dataset("node/edges").unwrap().read_string().unwrap();
        assert_eq!(words(&now), words(&then));
    }
}

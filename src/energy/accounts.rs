//! All accounts of one agent, as they go into rows: joules by every method and set of constants, and the counts behind
//! them.

use super::counts::{CountError, Counts, FirstLayer};
use super::meters::Joules;
use super::methods::{
    BYTES, CONSTANTS, Constants, FP32, INT8, INT32, WORDS, effective_ops, memory_aware, paper_formula,
};
use super::training::{TrainingSchedule, paper_episode, per_episode};
use crate::nets::{Activity, MlpLayout};

/// Inferences that share one reading of the weights in the account of a batch.
pub const SHARING_BATCH: u64 = 64;

/// Names of phases, methods and readings in rows.
pub const INFERENCE: &str = "inference";
pub const TRAINING: &str = "training-episode";
pub const PAPER: &str = "paper";
pub const EFFECTIVE: &str = "effective-ops";
pub const MEMORY: &str = "memory-aware";
pub const MEASURED: &str = "measured";
const EVERY_STEP: &str = "layer 1 at every step";

/// Products and additions of weights that the backend executed, beside `dense` and the effective operations.
pub const EXECUTED: &str = "executed_operations";

/// Joules by one method.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub phase: &'static str,
    /// `actor`, `critic`, …
    pub network: String,
    pub method: &'static str,
    /// Number format of the constants, and what else was chosen.
    pub constants: String,
    /// J per inference or per training episode; NaN where there is none.
    pub energy_j: f64,
    /// Why there is none, or how it was measured.
    pub reason: String,
}

/// What the energy of a decision by one model is called as a metric.
pub fn metric_name(network: &str, method: &str, constants: &str) -> String {
    let plain = |x: &str| x.replace(", ", "_").replace([' ', '-'], "_");
    // Where there is one network, it is the actor.
    let network = if network == "actor" { String::new() } else { format!("{}_", plain(network)) };
    format!("energy_{network}{}_{}_j_per_slot", plain(method), plain(constants))
}

/// A counted quantity of one network, or of one of its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    pub network: String,
    /// From 1; 0 for the whole network.
    pub layer: u32,
    pub name: &'static str,
    pub value: f64,
}

/// What an inference of the actor costs: energies, then the counts behind them, means per inference.
pub fn inference(
    net: &MlpLayout,
    params: &[f32],
    activity: &Activity,
) -> Result<(Vec<Entry>, Vec<Quantity>), CountError> {
    let network = "actor";
    let once = Counts::new(net, params, activity, FirstLayer::Once)?;
    let every = Counts::new(net, params, activity, FirstLayer::EveryStep)?;
    let mut entries = Vec::new();
    let mut push = |method, constants: String, energy_j| {
        let (phase, network) = (INFERENCE, network.to_string());
        entries.push(Entry { phase, network, method, constants, energy_j, reason: String::new() });
    };
    for c in [&INT32, &FP32] {
        push(PAPER, c.name.into(), paper_formula(net, &once.rates(), c).joules);
    }
    for c in &CONSTANTS {
        push(EFFECTIVE, c.name.into(), effective_ops(&once, c).joules());
        if net.lif.is_some() {
            push(EFFECTIVE, format!("{}, {EVERY_STEP}", c.name), effective_ops(&every, c).joules());
        }
    }
    push(MEMORY, INT32.name.into(), memory_aware(&once, 1, &WORDS).joules());
    if net.lif.is_some() {
        push(MEMORY, format!("{}, {EVERY_STEP}", INT32.name), memory_aware(&every, 1, &WORDS).joules());
    }
    if net.lif.is_none() {
        push(MEMORY, INT8.name.into(), memory_aware(&once, 1, &BYTES).joules());
    }
    let shared = memory_aware(&once, SHARING_BATCH, &WORDS).joules();
    push(MEMORY, format!("{}, weights shared by {SHARING_BATCH}", INT32.name), shared);

    let mut quantities = Vec::new();
    let mut quantity = |layer: usize, name, value| {
        quantities.push(Quantity { network: network.into(), layer: layer as u32, name, value })
    };
    let rate = if net.lif.is_some() { "firing_rate" } else { "active_share" };
    for (l, r) in once.rates().into_iter().enumerate() {
        quantity(l + 1, rate, r);
    }
    for (name, counts, sum) in [
        ("dense", &once, once.dense()),
        ("dense_every_step", &every, every.dense()),
        ("effective_macs", &once, once.effective_macs()),
        ("effective_macs_every_step", &every, every.effective_macs()),
        ("effective_acs", &once, once.effective_acs()),
        ("membrane_updates", &once, once.membrane_updates()),
        ("bias_additions", &once, once.bias_additions()),
    ] {
        quantity(0, name, counts.per_inference(sum));
    }
    if net.population.is_some() {
        quantity(0, "population_fields", once.per_inference(once.fields()));
        quantity(0, "population_fields_every_step", every.per_inference(every.fields()));
    }
    quantity(0, EXECUTED, once.per_inference(activity.executed));
    for (name, value) in [
        ("parameters", once.parameters),
        ("parameter_bytes", once.parameter_bytes()),
        ("state_bytes_per_environment", once.state_bytes()),
    ] {
        quantity(0, name, value as f64);
    }
    quantity(0, "largest_paper_ratio", paper_formula(net, &once.rates(), &INT32).largest_ratio);
    Ok((entries, quantities))
}

/// Firing rates (shares of active units without spikes) of an update's rollout by network and hidden layer; none if
/// there are not as many as hidden layers.
pub fn firing_rates(schedule: &TrainingSchedule, rates: &[f64]) -> Vec<Quantity> {
    let Some(split) = schedule.split_rates(rates) else { return Vec::new() };
    let mut out = Vec::new();
    for (network, mine) in schedule.trained().zip(split) {
        let name = if network.net.spikes() { "firing_rate" } else { "active_share" };
        for (l, value) in mine.iter().enumerate() {
            out.push(Quantity { network: network.name.clone(), layer: l as u32 + 1, name, value: *value });
        }
    }
    out
}

/// What a training episode costs, per network. `rates` are the mean firing rates (or active shares) of the hidden
/// layers of the networks that learn, in order; where they are missing, a dense network counts every product, and a
/// spiking one has no account.
pub fn training(schedule: &TrainingSchedule, rates: &[f64]) -> (Vec<Entry>, Vec<Quantity>) {
    let split = schedule.split_rates(rates);
    let (mut entries, mut quantities) = (Vec::new(), Vec::new());
    let mut place = 0;
    for network in &schedule.networks {
        let learns = network.forward_backward > 0;
        let mine = match (&split, learns) {
            (Some(all), true) => {
                place += 1;
                Some(all[place - 1].to_vec())
            }
            // Shares are measured of networks that learn only; a target network counts as dense.
            _ if !network.net.spikes() => Some(vec![1.0; network.net.hidden_layers()]),
            _ => None,
        };
        let mut push = |method, c: &str, energy_j: f64, reason: &str| {
            entries.push(Entry {
                phase: TRAINING,
                network: network.name.clone(),
                method,
                constants: c.into(),
                energy_j,
                reason: reason.into(),
            });
        };
        let unknown = "no firing rates of the training";
        let operations = mine.as_ref().map(|r| per_episode(network, schedule.episodes, r));
        for c in [&INT32, &FP32] {
            if learns {
                match &mine {
                    Some(r) => push(PAPER, c.name, paper_episode(network, schedule.slots, r, c), ""),
                    None => push(PAPER, c.name, f64::NAN, unknown),
                }
            }
        }
        for c in &CONSTANTS {
            match &operations {
                Some(o) => push(EFFECTIVE, c.name, o.total().joules(c), ""),
                None => push(EFFECTIVE, c.name, f64::NAN, unknown),
            }
        }
        push(MEMORY, INT32.name, f64::NAN, "the model is of inference only");
        if let Some(o) = operations {
            let parts = [
                ("forward_macs", o.forward.macs + o.forward.neurons),
                ("forward_acs", o.forward.acs + o.forward.neurons),
                ("backward_macs", o.backward.macs + o.backward.neurons),
                ("backward_acs", o.backward.acs + o.backward.neurons),
                ("update_macs", o.update.macs),
            ];
            quantities.extend(parts.map(|(name, value)| Quantity {
                network: network.name.clone(),
                layer: 0,
                name,
                value,
            }));
        }
    }
    (entries, quantities)
}

/// The measured account, or why there is none.
pub fn measured(phase: &'static str, joules: &Joules) -> Entry {
    let (energy_j, reason) = match joules {
        Ok(m) => (m.joules_per_unit, m.how()),
        Err(why) => (f64::NAN, why.clone()),
    };
    Entry { phase, network: "all".into(), method: MEASURED, constants: "device".into(), energy_j, reason }
}

/// Constants that the figures show: the paper's, and those of the numbers that the networks compute in.
pub const SHOWN: [&Constants; 2] = [&INT32, &FP32];

#[cfg(test)]
mod tests {
    use super::super::counts::tests::lif;
    use super::*;
    use crate::config::Layered;
    use crate::learn::{Algorithm, PpoSpec};
    use crate::nets::{Activation, LayerActivity};
    use crate::tasks::v2x::config::V2xConfig;

    fn activity(net: &MlpLayout, rate: u64) -> Activity {
        let layers = net.layers.iter().enumerate().map(|(l, layer)| {
            let spikes = net.lif.is_some() && l > 0;
            LayerActivity {
                presentations: if spikes { 6 } else { 1 },
                active: vec![if spikes { 6 * rate } else { 100 }; layer.inputs],
                membrane_updates: 0,
            }
        });
        Activity { samples: 100, layers: layers.collect(), executed: 123_400 }
    }

    fn joules(entries: &[Entry], method: &str, constants: &str) -> f64 {
        let found: Vec<_> =
            entries.iter().filter(|e| e.method == method && e.constants == constants).collect();
        assert_eq!(found.len(), 1, "{method}, {constants}");
        found[0].energy_j
    }

    #[test]
    fn an_inference_has_every_account_once() {
        let net = MlpLayout::new(&[12, 128, 128, 6], lif(), 0);
        let params = vec![1.0; net.params()];
        let (entries, quantities) = inference(&net, &params, &activity(&net, 20)).unwrap();
        assert!((joules(&entries, PAPER, "int32") * 1e9 - 4.608).abs() < 1e-3);
        assert!(
            joules(&entries, EFFECTIVE, "int32, layer 1 at every step")
                > joules(&entries, EFFECTIVE, "int32")
        );
        assert!(joules(&entries, MEMORY, "int32, weights shared by 64") < joules(&entries, MEMORY, "int32"));
        assert!(entries.iter().all(|e| e.energy_j > 0.0 && e.phase == INFERENCE));
        let mut keys: Vec<_> = entries.iter().map(|e| (e.method, e.constants.clone())).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), entries.len());
        let value = |name| quantities.iter().find(|q| q.name == name).unwrap().value;
        assert_eq!((value("effective_macs"), value("effective_macs_every_step")), (1536.0, 9216.0));
        assert_eq!((value("parameter_bytes"), value("firing_rate")), (75_800.0, 0.2));
        assert_eq!(value(EXECUTED), 1234.0);

        let tanh = MlpLayout::new(&[12, 128, 128, 6], Activation::Tanh, 0);
        let (entries, quantities) = inference(&tanh, &params, &activity(&tanh, 0)).unwrap();
        assert!((joules(&entries, PAPER, "int32") * 1e9 - 59.80).abs() < 0.01);
        assert!(entries.iter().all(|e| !e.constants.contains("step")));
        assert!(quantities.iter().any(|q| q.name == "active_share" && q.value == 1.0));
    }

    #[test]
    fn a_training_without_rates_is_dense_or_unknown() {
        // Networks of the same widths.
        let config = V2xConfig::load(None, &["spiking.hidden=[]".into()]).unwrap();
        let dense =
            TrainingSchedule::of(&Algorithm::Ppo(PpoSpec::mlp(&config.ppo, config.env_of(Vec::new()))));
        let spiking = TrainingSchedule::of(&Algorithm::Ppo(PpoSpec::spiking(
            &config.ppo,
            &config.spiking,
            config.env_of(Vec::new()),
        )));
        let sum = |entries: &[Entry], method: &str| -> f64 {
            let mine = entries.iter().filter(|e| e.method == method && e.constants == "int32");
            mine.map(|e| e.energy_j).sum()
        };
        let (d, quantities) = training(&dense, &[]);
        let (s, _) = training(&spiking, &[0.2; 4]);
        // By the paper's formula spikes save energy in training, with the backward pass counted they do not.
        assert!(sum(&d, PAPER) > 10.0 * sum(&s, PAPER), "{} {}", sum(&d, PAPER), sum(&s, PAPER));
        assert!(sum(&d, EFFECTIVE) < 0.7 * sum(&s, EFFECTIVE));
        assert!((sum(&d, PAPER) * 1e9 - 100.0 * 117.56).abs() < 1.0);
        assert!(quantities.iter().any(|q| q.network == "critic" && q.name == "backward_macs"));
        let (unknown, none) = training(&spiking, &[]);
        assert!(unknown.iter().all(|e| e.energy_j.is_nan() && !e.reason.is_empty()));
        assert!(none.is_empty());
    }
}

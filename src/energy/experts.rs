//! What the decision networks of the mixture of experts cost per slot: schedule and phases of all vehicles. The critic
//! decides nothing and is left out.
//!
//! An LSTM is counted as NeuroBench counts an `LSTMCell`: 4H(I+H) products with weights and 3H of gates with the state,
//! sigmoid, tanh and softmax as nothing. Inputs are active as they were measured (ages are often 0); outputs of tanh
//! units and the LSTM's state are taken as never 0, but for the state before an episode's first slot.

use super::accounts::{EFFECTIVE, Entry, INFERENCE, MEMORY, PAPER, SHARING_BATCH};
use super::counts::{CountError, Counts, Elementwise, FirstLayer, LayerCounts};
use super::methods::{CONSTANTS, FP32, INT32, WORDS, effective_ops, memory_aware};
use crate::nets::MlpLayout;
use crate::nets::Readout;
use crate::nets::experts::{Decision, ExpertsLayout};
use crate::nets::mlp::Layer;

/// Sums over `samples` decisions in episodes of `slots` slots, of each network that decides, by name. `params` `[P]` is
/// the flat vector of one replica; `active_inputs` `[O]` counts the decisions in which each input was not zero.
pub fn counts(
    layout: &ExpertsLayout,
    params: &[f32],
    active_inputs: &[u64],
    samples: u64,
    slots: usize,
) -> Result<Vec<(&'static str, Counts)>, CountError> {
    if samples == 0 {
        return Err(CountError::NoSamples);
    }
    if active_inputs.len() != layout.obs {
        return Err(CountError::Inputs { layer: 1, found: active_inputs.len(), wanted: layout.obs });
    }
    if active_inputs.iter().any(|a| *a > samples) {
        return Err(CountError::TooActive { layer: 1 });
    }
    let matrix = |l: &Layer, active: Vec<u64>| LayerCounts::dense_of(l, params, samples, active);
    let perceptron = |net: &MlpLayout| {
        let first = net.layers.iter().take(1).map(|l| matrix(l, active_inputs.to_vec()));
        first.chain(net.layers.iter().skip(1).map(|l| matrix(l, vec![samples; l.inputs]))).collect::<Vec<_>>()
    };
    let whole = |layers: Vec<LayerCounts>, elementwise: Elementwise| Counts {
        samples,
        parameters: layers.iter().map(|l| (l.inputs + 1) * l.outputs).sum(),
        layers,
        first: FirstLayer::Once,
        steps: None,
        readout: Readout::default(),
        carried: 0,
        elementwise,
    };
    Ok(match &layout.decision {
        Decision::Isolated { lstm, head, phases } => {
            let h = lstm.hidden() as u64;
            // The state is 0 before an episode's first slot, and with it one of the three products of every unit.
            let later = samples - samples / slots as u64;
            let mut layers = vec![
                matrix(&lstm.input, active_inputs.to_vec()),
                matrix(&lstm.recurrent, vec![later; lstm.hidden()]),
            ];
            layers.extend(head.layers.iter().map(|l| matrix(l, vec![samples; l.inputs])));
            let gates =
                Elementwise { dense: 3 * h * samples, effective: h * (2 * samples + later), words: h };
            vec![
                ("scheduler", whole(layers, gates)),
                ("phases", whole(perceptron(phases), Elementwise::default())),
            ]
        }
        Decision::Shared { gate, experts } => {
            let layers = gate.iter().chain(experts).flat_map(perceptron).collect();
            let outputs = (layout.vehicles + layout.phases()) as u64;
            let mixed = if gate.is_some() { experts.len() as u64 * outputs * samples } else { 0 };
            let mixing = Elementwise { dense: mixed, effective: mixed, words: outputs };
            vec![("all", whole(layers, mixing))]
        }
    })
}

/// Joules per slot of each network by every method but the device's counter. The paper "rl-h-moe" leaves its own
/// networks out; `paper` is here the formula of "spiking-ac", section V-B, for dense networks: E_MAC times all
/// products.
pub fn inference(
    layout: &ExpertsLayout,
    params: &[f32],
    active_inputs: &[u64],
    samples: u64,
    slots: usize,
) -> Result<Vec<Entry>, CountError> {
    let mut entries = Vec::new();
    for (network, counts) in counts(layout, params, active_inputs, samples, slots)? {
        let mut push = |method, constants: String, energy_j| {
            let (phase, network) = (INFERENCE, network.to_string());
            entries.push(Entry { phase, network, method, constants, energy_j, reason: String::new() });
        };
        for c in [&INT32, &FP32] {
            push(PAPER, c.name.into(), 1e-12 * c.mac_pj() * counts.per_inference(counts.dense()));
        }
        for c in &CONSTANTS {
            push(EFFECTIVE, c.name.into(), effective_ops(&counts, c).joules());
        }
        push(MEMORY, INT32.name.into(), memory_aware(&counts, 1, &WORDS).joules());
        let shared = memory_aware(&counts, SHARING_BATCH, &WORDS).joules();
        push(MEMORY, format!("{}, weights shared by {SHARING_BATCH}", INT32.name), shared);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::experts::definition::{ISOLATED, MIXTURE, TRUNK};
    use crate::nets::experts::{Architecture, Phase, Widths};

    fn layout(architecture: Architecture) -> ExpertsLayout {
        let widths = Widths {
            obs: 12,
            vehicles: 4,
            antennas: 64,
            lstm: 64,
            phases: &[128, 128],
            trunk: &[128, 128],
            critic: &[64, 64],
        };
        ExpertsLayout::new(architecture, Phase::Residual, &widths)
    }

    #[test]
    fn an_lstm_counts_as_neurobench_counts_its_cell() {
        let layout = layout(ISOLATED);
        // 50 episodes of 200 slots, every input active.
        let samples = 10_000;
        let all = counts(&layout, &vec![1.0; layout.params()], &[samples; 12], samples, 200).unwrap();
        let (scheduler, phases) = (&all[0].1, &all[1].1);
        assert_eq!((all[0].0, all[1].0, all.len()), ("scheduler", "phases", 2));
        // 4·64·(12+64) + 3·64 = 19648 of the cell (NeuroBench 2.3), 64·4 of the head.
        assert_eq!(scheduler.dense(), (19_648 + 256) * samples);
        // In the first slot of each episode 4·64·64 products with the state and the forget gate's 64 have a zero.
        assert_eq!(scheduler.effective_macs(), (19_648 + 256) * samples - 50 * (4 * 64 * 64 + 64));
        assert_eq!(phases.dense(), (12 * 128 + 128 * 128 + 128 * 256) * samples);
        assert_eq!(phases.effective_macs(), phases.dense());
        assert_eq!(scheduler.parameters + phases.parameters, layout.critic.offset as u64);
        // Zero inputs save their columns.
        let fewer = counts(
            &layout,
            &vec![1.0; layout.params()],
            &[[samples; 8].as_slice(), &[0; 4]].concat(),
            samples,
            200,
        );
        let fewer = fewer.unwrap();
        assert_eq!(scheduler.effective_macs() - fewer[0].1.effective_macs(), 4 * 256 * samples);
        assert_eq!(phases.effective_macs() - fewer[1].1.effective_macs(), 4 * 128 * samples);
    }

    #[test]
    fn shared_trunks_count_once_and_mixtures_mix() {
        let (one, two) = (layout(TRUNK), layout(MIXTURE));
        let count = |l: &ExpertsLayout| counts(l, &vec![1.0; l.params()], &[7; 12], 7, 7).unwrap();
        let trunk = 12 * 128 + 128 * 128 + 128 * 260;
        assert_eq!((count(&one)[0].0, count(&one)[0].1.dense()), ("all", 7 * trunk));
        assert_eq!(count(&two)[0].1.dense(), 7 * (2 * trunk + 12 * 2 + 2 * 260));
    }

    #[test]
    fn every_method_has_its_entry_and_bad_counts_are_refused() {
        let layout = layout(ISOLATED);
        let params = vec![1.0; layout.params()];
        let entries = inference(&layout, &params, &[100; 12], 100, 100).unwrap();
        assert_eq!(entries.len(), 2 * 8);
        assert!(entries.iter().all(|e| e.energy_j > 0.0));
        let of = |network: &str, method: &str, constants: &str| {
            let mut found = entries.iter().filter(|e| {
                (e.network.as_str(), e.method, e.constants.as_str()) == (network, method, constants)
            });
            found.next().unwrap().energy_j
        };
        // 3.2 pJ a product.
        assert!((of("scheduler", PAPER, "int32") - 3.2e-12 * 19_904.0).abs() < 1e-15);
        assert!(of("phases", MEMORY, "int32") > of("phases", EFFECTIVE, "int32"));
        assert!(of("phases", MEMORY, "int32, weights shared by 64") < of("phases", MEMORY, "int32"));
        assert_eq!(inference(&layout, &params, &[0; 12], 0, 100), Err(CountError::NoSamples));
        assert_eq!(inference(&layout, &params, &[2; 12], 1, 100), Err(CountError::TooActive { layer: 1 }));
        let few = Err(CountError::Inputs { layer: 1, found: 3, wanted: 12 });
        assert_eq!(inference(&layout, &params, &[1; 3], 1, 100), few);
    }
}

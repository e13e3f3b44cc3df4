//! Joules of an inference by three models. Each has its own result; none may stand in for another.
//!
//! The constants are of 45 nm CMOS at 0.9 V: Horowitz, "Computing's energy problem", ISSCC 2014 (arithmetic and SRAM);
//! the memory model is that of Lemaire et al., arXiv 2210.13107, as SpikingJelly 2.0 runs it, which charges Horowitz'
//! energy of a 64-bit access to 32 bits.

use super::counts::{Counts, FirstLayer, LayerCounts};
use crate::nets::{MlpLayout, Readout, population};

/// Energies of arithmetic in one number format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    pub name: &'static str,
    /// E_AC: an addition, pJ.
    pub add_pj: f64,
    pub multiply_pj: f64,
}

impl Constants {
    /// E_MAC, pJ.
    pub fn mac_pj(&self) -> f64 {
        self.add_pj + self.multiply_pj
    }
}

/// Horowitz' table. The paper "spiking-ac" takes `int32` (0.1 and 3.2 pJ) for networks that compute in `fp32`.
pub const INT8: Constants = Constants { name: "int8", add_pj: 0.03, multiply_pj: 0.2 };
pub const INT32: Constants = Constants { name: "int32", add_pj: 0.1, multiply_pj: 3.1 };
pub const FP16: Constants = Constants { name: "fp16", add_pj: 0.4, multiply_pj: 1.1 };
pub const FP32: Constants = Constants { name: "fp32", add_pj: 0.9, multiply_pj: 3.7 };
pub const CONSTANTS: [Constants; 4] = [INT8, INT32, FP16, FP32];

const PJ: f64 = 1e-12;
/// Bytes of a word.
const WORD: f64 = 4.0;
/// (capacity of a buffer in bytes, energy of an access in pJ per byte), linear between the points: SRAM of 8 KiB, 32
/// KiB and 1 MiB.
const SRAM: [(f64, f64); 4] = [(0.0, 0.0), (8192.0, 2.5), (32768.0, 5.0), (1_048_576.0, 25.0)];
/// Spikes that a queue between two layers holds (Lemaire's experiments).
const QUEUE_WORDS: f64 = 1000.0;

/// Section V-B of the paper: E_AC·S·Σ N_i·M_i·ς_i over the layers before the last + E_MAC·N_L·M_L; without spikes
/// E_MAC·Σ N_i·M_i. Currents that encode the inputs, which it does not know, are booked as E_MAC for each of their
/// products, spikes or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaperFormula {
    /// Of one inference.
    pub joules: f64,
    /// Of the network of the same sizes without spikes.
    pub dense_joules: f64,
    /// 1 + Σ_{i<L} N_i·M_i/(N_L·M_L): what dense over spiking can be at most, with no spike at all.
    pub largest_ratio: f64,
}

/// `rates` are ς_i, the firing rates of the neurons behind the layers before the last; they are not looked at without
/// spikes.
pub fn paper_formula(net: &MlpLayout, rates: &[f64], constants: &Constants) -> PaperFormula {
    let mut products: Vec<f64> = net.layers.iter().map(|l| (l.inputs * l.outputs) as f64).collect();
    let mut encoding = 0.0;
    if net.population.is_some() {
        products[0] = 0.0;
        encoding = (net.layers[0].outputs as u64 * population::MACS) as f64;
    }
    let (last, hidden) = products.split_last().expect("a network has layers");
    let dense_joules = PJ * constants.mac_pj() * (products.iter().sum::<f64>() + encoding);
    let joules = match net.lif {
        None => dense_joules,
        Some(lif) => {
            assert_eq!(rates.len(), hidden.len(), "one firing rate per hidden layer");
            let spikes: f64 = hidden.iter().zip(rates).map(|(p, s)| p * s).sum();
            PJ * (constants.add_pj * lif.steps as f64 * spikes + constants.mac_pj() * (last + encoding))
        }
    };
    PaperFormula { joules, dense_joules, largest_ratio: 1.0 + hidden.iter().sum::<f64>() / (last + encoding) }
}

/// Joules of one inference from effective operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EffectiveOps {
    /// Effective MACs.
    pub macs: f64,
    /// Effective ACs.
    pub acs: f64,
    /// Every product and addition of the currents that encode the inputs.
    pub fields: f64,
    /// One MAC and one comparison (an addition) per membrane update, the output's leaky integrator included; of one
    /// that takes the mean, one addition a step.
    pub neurons: f64,
    /// One addition per output and presentation.
    pub biases: f64,
}

impl EffectiveOps {
    pub fn joules(&self) -> f64 {
        self.macs + self.acs + self.fields + self.neurons + self.biases
    }
}

pub fn effective_ops(counts: &Counts, constants: &Constants) -> EffectiveOps {
    let (add, mac) = (PJ * constants.add_pj, PJ * constants.mac_pj());
    // The integrators of the output change at every step; NeuroBench does not see them.
    let readout = counts.layers.last().map_or(0, |l| l.neuron_steps);
    let integrate = match counts.readout {
        Readout::Last => mac + add,
        // The factor 1/S goes into the weights.
        Readout::Mean => add,
    };
    let of = |sum: u64| counts.per_inference(sum);
    EffectiveOps {
        macs: mac * of(counts.effective_macs()),
        acs: add * of(counts.effective_acs()),
        fields: mac * of(counts.fields() * population::MACS),
        neurons: (mac + add) * of(counts.membrane_updates()) + integrate * of(readout),
        biases: add * of(counts.bias_additions()),
    }
}

/// What numbers are kept and computed in, where memory is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    pub constants: Constants,
    /// Bytes of a weight, an input, an output.
    pub bytes: f64,
    /// Whether sums are integers that are scaled back in f32: two products and a scale from memory for each output, a
    /// comparison for each input.
    pub scaled: bool,
}

/// Lemaire's.
pub const WORDS: Format = Format { constants: INT32, bytes: WORD, scaled: false };
/// That of [`int8`](crate::nets::int8): biases and scales stay words.
pub const BYTES: Format = Format { constants: INT8, bytes: 1.0, scaled: true };

impl Format {
    /// Energy of reading or writing one number in a buffer that holds `numbers` of them, pJ.
    fn access_pj(&self, numbers: f64) -> f64 {
        let bytes = (numbers * self.bytes).min(SRAM[3].0);
        let i = SRAM[1..3].iter().take_while(|p| p.0 < bytes).count();
        let ((x0, y0), (x1, y1)) = (SRAM[i], SRAM[i + 1]);
        self.bytes * (y0 + (y1 - y0) / (x1 - x0) * (bytes - x0))
    }
}

/// Joules of one inference with memory (Lemaire).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryAware {
    pub operations: f64,
    pub addressing: f64,
    /// Inputs and outputs of layers; spikes go through a queue of 1000 words.
    pub inout: f64,
    /// Weights and biases.
    pub weights: f64,
    /// Membrane potentials, those carried from slot to slot included, and the current of the first layer if it is kept.
    pub potentials: f64,
}

impl MemoryAware {
    pub fn joules(&self) -> f64 {
        self.operations + self.addressing + self.inout + self.weights + self.potentials
    }
}

/// Energy of one word from a buffer of `words`, pJ.
pub(super) fn access_pj(words: f64) -> f64 {
    WORDS.access_pj(words)
}

/// Times that a column of weights is read for one inference: once for `batch` inferences that share it, and with spikes
/// only if one of them spikes (inputs taken as independent).
fn column_reads(layer: &LayerCounts, samples: u64, batch: u64) -> f64 {
    let per_sample = layer.presentations as f64 / samples as f64;
    let share = |active: &u64| {
        let rate = *active as f64 / layer.presentations as f64;
        if layer.spikes { 1.0 - (1.0 - rate).powi(batch as i32) } else { 1.0 }
    };
    per_sample * layer.active.iter().map(share).sum::<f64>() / batch as f64
}

/// Lemaire's model with two switches that it lacks: whether the first current of a spiking network is kept
/// (`counts.first`), and how many inferences share the weights that are read. [`FirstLayer::EveryStep`] and a batch of
/// 1 are the original. As there, zero weights and, in dense layers, zero inputs cost as any other, and the output
/// integrator's own arithmetic is left out.
pub fn memory_aware(counts: &Counts, batch: u64, format: &Format) -> MemoryAware {
    let (add, mac) = (format.constants.add_pj, format.constants.mac_pj());
    let access_pj = |numbers| format.access_pj(numbers);
    let n = counts.samples as f64;
    let mut e = MemoryAware { operations: 0.0, addressing: 0.0, inout: 0.0, weights: 0.0, potentials: 0.0 };
    for (i, l) in counts.layers.iter().enumerate() {
        let (inputs, outputs) = (l.inputs as f64, l.outputs as f64);
        let presented = l.presentations as f64 / n;
        let nonzero = l.nonzero() as f64 / n;
        let fields = l.fields as f64 / n;
        if l.fields == 0 {
            e.operations += add * outputs * presented;
        }
        if l.spikes {
            e.operations += add * nonzero * outputs;
            e.addressing += add * nonzero * outputs;
            e.inout += nonzero * access_pj(QUEUE_WORDS);
            e.potentials += 2.0 * nonzero * outputs * access_pj(outputs);
        } else {
            e.operations += match l.fields {
                0 => mac * inputs * outputs * presented,
                _ => mac * fields * population::MACS as f64,
            };
            e.addressing += add * (inputs + outputs) * presented;
            e.inout += inputs * presented * access_pj(inputs);
            if counts.steps.is_none() {
                e.inout += outputs * presented * access_pj(outputs);
            }
        }
        // Beside the columns a bias for each output, and what it is scaled by.
        let words = if format.scaled { 2.0 } else { 1.0 } * (WORD / format.bytes);
        let bias = words * (outputs * presented / batch as f64);
        if format.scaled {
            e.operations += (2.0 * FP32.multiply_pj * outputs + add * inputs) * presented;
        }
        e.weights += match l.fields {
            0 => {
                let reads = column_reads(l, counts.samples, batch) * outputs + bias;
                reads * access_pj(inputs * outputs + outputs)
            }
            // A sharpness and a centre.
            _ => 2.0 * bias * access_pj(2.0 * outputs),
        };
        if let (Some(steps), Some(next)) = (counts.steps, counts.layers.get(i + 1)) {
            let (neurons, spikes) = (l.neuron_steps as f64 / n, next.nonzero() as f64 / n);
            e.operations += mac * neurons + add * spikes;
            e.potentials += 2.0 * neurons * access_pj(outputs);
            e.inout += spikes * access_pj(QUEUE_WORDS);
            if i == 0 && counts.first == FirstLayer::Once {
                // The current is written once and read at every step.
                e.potentials += outputs * (1.0 + steps as f64) * access_pj(outputs);
            }
        }
    }
    // Carried potentials are read before the first step and written after the last one, from a buffer of all of them.
    let carried = counts.carried as f64;
    e.potentials += 2.0 * carried * access_pj(carried);
    // Two operands are read and a result is written, as with inputs and outputs.
    let products = counts.elementwise.dense as f64 / n;
    e.operations += mac * products;
    e.inout += 3.0 * products * access_pj(counts.elementwise.words as f64);
    for part in [&mut e.operations, &mut e.addressing, &mut e.inout, &mut e.weights, &mut e.potentials] {
        *part *= PJ;
    }
    e
}

#[cfg(test)]
mod tests {
    use super::super::counts::tests::{dense, encoded, lif, spiking};
    use super::*;
    use crate::nets::{Activation, Lif, Membrane};

    fn close(got: f64, want: f64, within: f64) {
        assert!((got - want).abs() <= within, "{got} is not within {within} of {want}");
    }

    fn nets(outputs: usize) -> (MlpLayout, MlpLayout) {
        let sizes = [12, 128, 128, outputs];
        (MlpLayout::new(&sizes, lif(), 0), MlpLayout::new(&sizes, Activation::Tanh, 0))
    }

    /// Dense over spiking by the paper's formula, at the same rate in both layers.
    fn ratio(outputs: usize, rate: f64, constants: &Constants) -> f64 {
        let (snn, ann) = nets(outputs);
        paper_formula(&ann, &[], constants).joules / paper_formula(&snn, &[rate; 2], constants).joules
    }

    #[test]
    fn constants_are_horowitz_table() {
        let macs = CONSTANTS.map(|c| c.mac_pj());
        for (got, want) in macs.into_iter().zip([0.23, 3.2, 1.5, 4.6]) {
            close(got, want, 1e-12);
        }
        for (c, want) in CONSTANTS.iter().zip([7.7, 32.0, 3.8, 5.1]) {
            close(c.mac_pj() / c.add_pj, want, 0.06);
        }
    }

    #[test]
    fn paper_formula_of_every_size() {
        // Outputs, dense nJ, ratio without spikes, ratio with all spikes.
        for (outputs, nj, at_0, at_1) in [
            (1, 57.75, 141.0, 5.17),
            (3, 58.57, 47.7, 4.89),
            (6, 59.80, 24.3, 4.53),
            (8, 60.62, 18.5, 4.32),
            (12, 62.26, 12.7, 3.97),
            (16, 63.90, 9.75, 3.69),
            (22, 66.36, 7.36, 3.36),
            (23, 66.76, 7.09, 3.31),
            (33, 70.86, 5.24, 2.92),
            (34, 71.27, 5.12, 2.89),
            (195, 137.22, 1.72, 1.51),
        ] {
            let (snn, ann) = nets(outputs);
            let e = paper_formula(&ann, &[], &INT32);
            close(e.joules * 1e9, nj, 0.0051);
            close(ratio(outputs, 0.0, &INT32), at_0, 0.005 * at_0);
            close(ratio(outputs, 1.0, &INT32), at_1, 0.0051);
            let silent = paper_formula(&snn, &[0.0; 2], &INT32);
            close(silent.largest_ratio, ratio(outputs, 0.0, &INT32), 1e-12 * at_0);
            assert_eq!(silent.dense_joules, e.joules);
        }
    }

    #[test]
    fn paper_formula_of_every_rate() {
        for (rate, six, matrix) in [
            (0.01, 23.3, 1.716),
            (0.05, 20.0, 1.706),
            (0.1, 16.9, 1.695),
            (0.2, 13.0, 1.673),
            (0.3, 10.5, 1.651),
            (0.4, 8.85, 1.630),
            (0.552, 7.125, 1.599),
            (0.7, 5.99, 1.570),
            (0.851, 5.15, 1.541),
            (1.0, 4.53, 1.514),
        ] {
            close(ratio(6, rate, &INT32), six, 0.051);
            close(ratio(195, rate, &INT32), matrix, 0.0006);
        }
        // The printed factors and the rates they need; at the first, fp32 constants leave nothing.
        close(ratio(6, 0.851, &INT32), 5.15, 0.005);
        close(ratio(6, 0.552, &INT32), 7.125, 0.005);
        close(ratio(6, 0.851, &FP32), 1.0, 0.005);
    }

    #[test]
    fn layers_count_by_their_own_rate() {
        let (snn, ann) = nets(6);
        let dense = paper_formula(&ann, &[], &INT32).joules;
        close(dense / paper_formula(&snn, &[1.0, 0.838], &INT32).joules, 5.15, 0.005);
        close(dense / paper_formula(&snn, &[1.0, 0.510], &INT32).joules, 7.125, 0.006);
    }

    /// What the formula leaves out, step by step: columns A to E of the accounting note, int32 then fp32.
    #[test]
    fn effective_operations_of_every_reading() {
        for (s, want) in [
            (50, [20.0, 1.84, 7.53, 1.70, 5.59, 10.3, 1.71, 5.47, 1.55, 4.09]),
            (100, [16.9, 1.82, 7.09, 1.67, 5.34, 6.51, 1.57, 4.27, 1.43, 3.35]),
            (200, [13.0, 1.76, 6.35, 1.63, 4.89, 3.76, 1.35, 2.97, 1.24, 2.46]),
            (552, [7.13, 1.60, 4.64, 1.48, 3.77, 1.51, 0.91, 1.43, 0.84, 1.27]),
            (851, [5.15, 1.48, 3.78, 1.38, 3.16, 1.00, 0.71, 0.99, 0.66, 0.90]),
        ] {
            for (k, c) in [&INT32, &FP32].into_iter().enumerate() {
                let (add, mac) = (PJ * c.add_pj, PJ * c.mac_pj());
                let (_, once) = spiking(6, s, s, FirstLayer::Once);
                let (_, every) = spiking(6, s, s, FirstLayer::EveryStep);
                let (e_once, e_every) = (effective_ops(&once, c), effective_ops(&every, c));
                let hidden_acs = add * once.per_inference(once.layers[1].effective);
                let last_dense = mac * 768.0;
                // A current that is kept is still added at every step.
                let kept = add * 768.0;
                let dense = mac * 18_688.0;
                let readings = [
                    dense / paper_formula(&spiking(6, s, s, FirstLayer::Once).0, &once.rates(), c).joules,
                    dense / (e_every.macs + hidden_acs + last_dense),
                    dense / (e_once.macs + kept + hidden_acs + last_dense),
                    dense / (e_every.macs + e_every.acs + e_every.neurons),
                    dense / (e_once.macs + kept + e_once.acs + e_once.neurons),
                ];
                for (got, want) in readings.into_iter().zip(&want[5 * k..]) {
                    close(got, *want, 0.006_f64.max(0.004 * want));
                }
            }
        }
    }

    #[test]
    fn effective_operations_of_the_dense_network() {
        let (_, c) = dense(6);
        let e = effective_ops(&c, &INT32);
        close(e.macs * 1e9, 59.80, 0.005);
        assert_eq!((e.acs, e.neurons), (0.0, 0.0));
        close(e.biases * 1e9, 0.0262, 1e-9);
    }

    #[test]
    fn memory_costs_by_the_size_of_the_buffer() {
        close(access_pj(2048.0), 10.0, 1e-12);
        close(access_pj(8192.0), 20.0, 1e-12);
        close(access_pj(1e9), 100.0, 1e-12);
        close(access_pj(16384.0), 22.6, 0.03);
        close(access_pj(128.0), 0.625, 1e-12);
    }

    #[test]
    fn memory_of_the_dense_network() {
        for (outputs, total, ops, weights) in [(6, 450.0, 60.0, 390.0), (195, 1162.0, 137.0, 1025.0)] {
            let e = memory_aware(&dense(outputs).1, 1, &WORDS);
            close(e.joules() * 1e9, total, 0.6);
            close(e.operations * 1e9, ops, 0.5);
            close(e.weights * 1e9, weights, 0.5);
            assert_eq!(e.potentials, 0.0);
        }
    }

    /// 12-128-128-6 in bytes, by hand: products 18,688 at 0.23 pJ, 262 biases and 268 comparisons at 0.03, 524 f32
    /// products at 3.7. A number of the three matrices with their biases takes 0.5078, 3.3464 and 0.2362 pJ; a bias and
    /// a scale are four numbers each.
    #[test]
    fn memory_of_the_dense_network_in_bytes() {
        let e = memory_aware(&dense(6).1, 1, &BYTES);
        close(e.operations * 1e12, 4298.24 + 7.86 + 8.04 + 1938.8, 0.01);
        let weights =
            (1536.0 + 1024.0) * 0.507_812 + (16_384.0 + 1024.0) * 3.346_354 + (768.0 + 48.0) * 0.236_206;
        close(e.weights * 1e12, weights, 0.1);
        assert_eq!(e.potentials, 0.0);
    }

    #[test]
    fn memory_of_the_spiking_network() {
        // Rates of the golden actor to three digits, so that sums may be off by a few tenths of a per cent.
        let e = memory_aware(&spiking(6, 220, 176, FirstLayer::EveryStep).1, 1, &WORDS);
        close(e.joules() * 1e9, 662.0, 3.0);
        close(e.operations * 1e9, 37.0, 0.5);
        close(e.weights * 1e9, 591.0, 2.5);
        close(e.potentials * 1e9, 29.0, 0.5);
        let matrix = memory_aware(&spiking(195, 220, 176, FirstLayer::EveryStep).1, 1, &WORDS);
        close(matrix.joules() * 1e9, 1414.0, 6.0);
        close(matrix.potentials * 1e9, 79.0, 0.8);
        let (dense, even) = (dense(6).1, spiking(6, 130, 60, FirstLayer::EveryStep).1);
        close(memory_aware(&dense, 1, &WORDS).joules() / memory_aware(&even, 1, &WORDS).joules(), 1.03, 0.02);
    }

    /// 262 potentials of 12-128-128-6 are read and written once a decision, at 1.2793 pJ each, where they are carried;
    /// without the output's with the mean of its currents.
    #[test]
    fn carried_potentials_are_read_and_written_once_a_decision() {
        let (_, reset) = spiking(6, 220, 176, FirstLayer::Once);
        let energies = |readout| {
            let carried = Lif { membrane: Membrane::Carried, readout, ..lif() };
            let net = MlpLayout::new(&[12, 128, 128, 6], carried, 0);
            let counts = Counts { carried: net.carried().iter().sum::<usize>() as u64, ..reset.clone() };
            memory_aware(&counts, 1, &WORDS)
        };
        let before = memory_aware(&reset, 1, &WORDS);
        for (readout, potentials) in [(Readout::Last, 262.0), (Readout::Mean, 256.0)] {
            let e = energies(readout);
            close((e.potentials - before.potentials) * 1e12, 2.0 * potentials * access_pj(potentials), 1e-6);
            assert_eq!(MemoryAware { potentials: before.potentials, ..e }, before);
        }
        close(access_pj(262.0), 1.2793, 1e-4);
    }

    #[test]
    fn keeping_the_current_and_sharing_weights_save_energy() {
        let (once, every) =
            (spiking(6, 220, 176, FirstLayer::Once).1, spiking(6, 220, 176, FirstLayer::EveryStep).1);
        let (kept, again) = (memory_aware(&once, 1, &WORDS), memory_aware(&every, 1, &WORDS));
        // Five readings of W1 and its biases of 13.5 nJ each, and their products.
        close((again.weights - kept.weights) * 1e9, 5.0 * 13.52, 0.05);
        close((kept.potentials - again.potentials) * 1e9, 7.0 * 128.0 * 0.625e-3, 1e-6);
        // With every input presented, a batch of B reads each weight once: 1/B of it.
        let d = dense(6).1;
        close(memory_aware(&d, 64, &WORDS).weights * 64.0, memory_aware(&d, 1, &WORDS).weights, 1e-20);
        // With few spikes they share less: two inferences read 1 − (1 − s)² columns between them.
        let share = |s: f64, b: i32| (1.0 - (1.0 - s).powi(b)) / f64::from(b);
        let reads = |b: u64| column_reads(&once.layers[1], once.samples, b);
        close(reads(2) / reads(1), share(0.22, 2) / 0.22, 1e-12);
        assert_eq!(memory_aware(&once, 64, &WORDS).operations, kept.operations);
    }

    /// By each method: 14 multiply-accumulates a current, and accumulation of spikes from there on.
    #[test]
    fn encoded_inputs_by_hand() {
        let (net, once) = encoded(250, 100, FirstLayer::Once);
        let every = encoded(250, 100, FirstLayer::EveryStep).1;
        let paper = paper_formula(&net, &once.rates(), &INT32);
        let encoding = 3.2 * 96.0 * 14.0;
        close(paper.joules * 1e12, 0.1 * 6.0 * 0.1 * 96.0 * 128.0 + 3.2 * 128.0 * 6.0 + encoding, 1e-6);
        close(paper.dense_joules * 1e12, 3.2 * (96.0 * 128.0 + 128.0 * 6.0) + encoding, 1e-6);
        let silent = paper_formula(&net, &[0.0; 2], &INT32);
        close(silent.largest_ratio, silent.dense_joules / silent.joules, 1e-12);

        let (a, b) = (effective_ops(&once, &INT32), effective_ops(&every, &INT32));
        close(a.fields * 1e12, encoding, 1e-6);
        close(b.fields, 6.0 * a.fields, 1e-18);
        assert_eq!((a.macs, a.acs, a.biases), (0.0, b.acs, b.biases));
        close(a.acs * 1e12, 0.1 * 6.0 * (0.25 * 96.0 * 128.0 + 0.1 * 128.0 * 6.0), 1e-6);
        close(a.joules(), a.acs + a.fields + a.neurons + a.biases, 1e-20);

        // Five times more: the currents, the readings of 96 inputs and of two parameters a neuron; less is that the
        // currents are not kept.
        let (a, b) = (memory_aware(&once, 1, &WORDS), memory_aware(&every, 1, &WORDS));
        let access = |words: f64| 4.0 * words * 4.0 * 2.5 / 8192.0;
        close((b.operations - a.operations) * 1e12, 5.0 * encoding, 1e-6);
        close((b.addressing - a.addressing) * 1e12, 5.0 * 0.1 * (12.0 + 96.0), 1e-6);
        close((b.inout - a.inout) * 1e12, 5.0 * 12.0 * access(12.0), 1e-6);
        close((b.weights - a.weights) * 1e12, 5.0 * 192.0 * access(192.0), 1e-6);
        close((a.potentials - b.potentials) * 1e12, 7.0 * 96.0 * access(96.0), 1e-6);
    }
}

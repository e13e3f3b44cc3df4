//! Networks as graphs: perceptrons, spiking networks unrolled over their steps, LSTM, experts with their gate, and what
//! makes actions of a policy's outputs.

use super::graph::{Graph, Value};
use crate::nets::experts::{Decision, ExpertsLayout, Phase};
use crate::nets::lstm::LstmLayout;
use crate::nets::mlp::Layer;
use crate::nets::{Activation, Codebook, Head, Lif, MlpLayout, Policy, Readout};
use std::f64::consts::PI;

/// Weight and bias of a layer, from the flat vector of a replica.
fn parts<'a>(l: &Layer, params: &'a [f32]) -> (&'a [f32], &'a [f32]) {
    (&params[l.w_off..][..l.inputs * l.outputs], &params[l.b_off..][..l.outputs])
}

fn linear(g: &mut Graph, l: &Layer, params: &[f32], x: &Value) -> Value {
    let (weight, bias) = parts(l, params);
    let weight = g.constant(&[l.outputs, l.inputs], weight);
    let bias = g.constant(&[l.outputs], bias);
    g.dense(x, &weight, &bias)
}

fn activated(g: &mut Graph, act: Activation, x: Value) -> Value {
    match act {
        Activation::None => x,
        Activation::Tanh => g.map("Tanh", &x),
        Activation::Relu => g.map("Relu", &x),
    }
}

/// Outputs `[N, outputs]` of a network for inputs `x` `[N, inputs]`. Potentials that outlive an inference are further
/// inputs and outputs of the graph.
pub fn network(g: &mut Graph, net: &MlpLayout, params: &[f32], x: &Value) -> Value {
    match &net.lif {
        None => net.layers.iter().fold(x.clone(), |x, l| {
            let z = linear(g, l, params, &x);
            activated(g, l.act, z)
        }),
        Some(lif) => spiking(g, net, lif, params, x),
    }
}

/// Currents of the first layer, the same in every step.
fn first_currents(g: &mut Graph, net: &MlpLayout, params: &[f32], x: &Value) -> Value {
    let l = &net.layers[0];
    let Some(population) = &net.population else { return linear(g, l, params, x) };
    // g·exp(−z²/2), z = κ(x−μ), neuron by neuron of each input.
    let shape = [l.inputs, population.fields];
    let sharpness = g.constant(&shape, &params[l.w_off..][..l.outputs]);
    let centre = g.constant(&shape, &params[l.b_off..][..l.outputs]);
    let x = g.reshape(x, &[l.inputs, 1]);
    let apart = g.sub(&x, &centre);
    let z = g.mul(&sharpness, &apart);
    let square = g.mul(&z, &z);
    let half = g.scaled(&square, -0.5);
    let bell = g.map("Exp", &half);
    let current = g.scaled(&bell, population.gain);
    g.reshape(&current, &[l.outputs])
}

/// Leaky integrate-and-fire layers, step by step: U ← (1−λ)V + λi, a spike where U ≥ U_th, then V ← U_r, else V ← U.
fn spiking(g: &mut Graph, net: &MlpLayout, lif: &Lif, params: &[f32], x: &Value) -> Value {
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    let leaks = &params[net.leaks()];
    let lambda = |l: usize| leaks.get(l).map_or(lif.lambda, |w| 1.0 / (1.0 + (-f64::from(*w)).exp()));
    let carried = net.carried();
    let mut before: Vec<Option<Value>> = vec![None; net.layers.len()];
    for (l, width) in carried.iter().enumerate() {
        let about = "potential that the slot before left; 0 at the start of an episode";
        before[l] = Some(g.input(&format!("membrane_{}", l + 1), &[*width], about));
    }
    let mut potential = before.clone();
    let threshold = g.number(lif.threshold);
    let reset = g.number(lif.reset);
    let first = if hidden.is_empty() { x.clone() } else { first_currents(g, net, params, x) };
    // Σ_t w_t s_t of the last hidden layer, w_t the share of a step in the read-out.
    let mut read: Option<Value> = None;
    for t in 0..lif.steps {
        let mut current = first.clone();
        for (l, layer) in hidden.iter().enumerate() {
            if l > 0 {
                current = linear(g, layer, params, &current);
            }
            let share = g.scaled(&current, lambda(l));
            let u = match &potential[l] {
                // At rest: V = 0.
                None => share,
                Some(v) => {
                    let kept = g.scaled(v, 1.0 - lambda(l));
                    g.add(&kept, &share)
                }
            };
            let spike = g.at_least(&u, &threshold);
            // V = U + s·(U_r − U)
            let down = g.sub(&reset, &u);
            let down = g.mul(&spike, &down);
            potential[l] = Some(g.add(&u, &down));
            current = spike;
        }
        let weighted = g.scaled(&current, lif.readout_weight(t));
        read = Some(match read {
            None => weighted,
            Some(sum) => g.add(&sum, &weighted),
        });
    }
    let read = read.expect("a step");
    let (weight, bias) = parts(last, params);
    let total = lif.readout_total();
    let bias: Vec<f32> = bias.iter().map(|b| (f64::from(*b) * total) as f32).collect();
    let weight = g.constant(&[last.outputs, last.inputs], weight);
    let bias = g.constant(&[last.outputs], &bias);
    let mut out = g.dense(&read, &weight, &bias);
    if lif.readout == Readout::Last
        && let Some(v) = &before[hidden.len()]
    {
        let kept = g.scaled(v, lif.readout_kept());
        out = g.add(&out, &kept);
        potential[hidden.len()] = Some(out.clone());
    }
    for (l, width) in carried.iter().enumerate() {
        let value = potential[l].clone().expect("a potential");
        g.output(&format!("membrane_{}_next", l + 1), &value, &[*width], "potential for the next slot");
    }
    out
}

/// Raw actions `[N, A]` of a policy's outputs, as it acts without exploration: the mean of a Gaussian, scale·tanh, the
/// best choice of every vehicle.
pub fn raw_action(g: &mut Graph, policy: &Policy, actions: usize, out: &Value) -> Value {
    match &policy.head {
        Head::Gaussian { .. } if policy.net.outputs() == actions => out.clone(),
        Head::Gaussian { .. } => g.slice(out, 1, 0, actions),
        Head::Tanh { scale } => {
            let turned = g.map("Tanh", out);
            g.scaled(&turned, f64::from(*scale))
        }
        Head::Factored { codebook } => chosen(g, codebook, out),
    }
}

/// Raw actions of the best choices by their values `[N, K·L]`.
fn chosen(g: &mut Graph, book: &Codebook, out: &Value) -> Value {
    let (k, levels) = (book.factors, book.levels.len());
    let every = |of: fn(usize, usize) -> usize, from: &[f32], width: usize| -> Vec<f32> {
        (0..book.choices()).flat_map(|c| from[of(c, levels) * width..][..width].to_vec()).collect()
    };
    // Tables of what a choice, or a beam and a level, stand for.
    let (of_beam, of_power) = match book.additive {
        true => (book.beams.clone(), book.levels.clone()),
        false => (
            every(|c, levels| c / levels, &book.beams, book.values()),
            every(|c, levels| c % levels, &book.levels, 1),
        ),
    };
    let of_beam = g.constant(&[of_beam.len() / book.values(), book.values()], &of_beam);
    let of_power = g.constant(&[of_power.len(), 1], &of_power);
    let mut values: Vec<Value> = Vec::new();
    let mut logits: Vec<Value> = Vec::new();
    for n in 0..k {
        let own = g.slice(out, 1, n * book.outputs(), (n + 1) * book.outputs());
        let (beam, power) = if book.additive {
            let first = g.slice(&own, 1, 0, book.split());
            let second = g.slice(&own, 1, book.split(), book.outputs());
            let (beam, level) = (g.argmax(&first, 1), g.argmax(&second, 1));
            (g.rows(&of_beam, &beam), g.rows(&of_power, &level))
        } else {
            let choice = g.argmax(&own, 1);
            (g.rows(&of_beam, &choice), g.rows(&of_power, &choice))
        };
        values.push(beam);
        logits.push(power);
    }
    // Part by part, beam by beam, then the powers.
    let mut all: Vec<Value> = Vec::new();
    for part in 0..book.parts {
        for own in &values {
            all.push(g.slice(own, 1, part * book.width, (part + 1) * book.width));
        }
    }
    all.extend(logits);
    g.concat(&all, 1)
}

/// Logits `[N, K]` of the schedule and phases `[N, K·M]`, rad, for observations `[N, O]` as environments give them. The
/// state of an LSTM is two further inputs and outputs.
pub fn experts(g: &mut Graph, layout: &ExpertsLayout, params: &[f32], obs: &Value) -> (Value, Value) {
    let (k, km) = (layout.vehicles, layout.phases());
    let mut x = obs.clone();
    if layout.seen() < layout.obs {
        // What the networks do not see is 0.
        let seen: Vec<f32> = (0..layout.obs).map(|i| f32::from(u8::from(i < layout.seen()))).collect();
        let mask = g.constant(&[layout.obs], &seen);
        x = g.mul(&x, &mask);
    }
    let (logits, phases) = match &layout.decision {
        Decision::Isolated { lstm, head, phases } => {
            let h = lstm_step(g, lstm, params, &x);
            (network(g, head, params, &h), network(g, phases, params, &x))
        }
        Decision::Shared { gate, experts } => {
            let outs: Vec<Value> = experts.iter().map(|e| network(g, e, params, &x)).collect();
            let mixed = match gate {
                None => outs[0].clone(),
                Some(gate) => {
                    let z = network(g, gate, params, &x);
                    let shares = g.softmax(&z, 1);
                    let mut sum: Option<Value> = None;
                    for (n, out) in outs.iter().enumerate() {
                        let share = g.slice(&shares, 1, n, n + 1);
                        let own = g.mul(out, &share);
                        sum = Some(match sum {
                            None => own,
                            Some(sum) => g.add(&sum, &own),
                        });
                    }
                    sum.expect("an expert")
                }
            };
            (g.slice(&mixed, 1, 0, k), g.slice(&mixed, 1, k, k + km))
        }
    };
    if layout.phase == Phase::Direct {
        return (logits, phases);
    }
    // On top of −π m cos θ̂.
    let m = layout.antennas;
    let cos = g.slice(obs, 1, 0, k);
    let cos = g.reshape(&cos, &[k, 1]);
    let slope: Vec<f32> = (0..m).map(|n| (-PI * n as f64) as f32).collect();
    let slope = g.constant(&[m], &slope);
    let steered = g.mul(&cos, &slope);
    let steered = g.reshape(&steered, &[km]);
    (logits, g.add(&phases, &steered))
}

/// One slot of an LSTM, gate by gate in PyTorch's order i, f, g, o: its new state `[N, H]`.
fn lstm_step(g: &mut Graph, lstm: &LstmLayout, params: &[f32], x: &Value) -> Value {
    let units = lstm.hidden();
    let about = "state that the slot before left; 0 at the start of an episode";
    let h = g.input("lstm_h", &[units], about);
    let c = g.input("lstm_c", &[units], about);
    let from_x = linear(g, &lstm.input, params, x);
    let from_h = linear(g, &lstm.recurrent, params, &h);
    let gates = g.add(&from_x, &from_h);
    let gate = |g: &mut Graph, n: usize| g.slice(&gates, 1, n * units, (n + 1) * units);
    let [i, f, o] = [0, 1, 3].map(|n| {
        let z = gate(g, n);
        g.map("Sigmoid", &z)
    });
    let z = gate(g, 2);
    let candidate = g.map("Tanh", &z);
    let kept = g.mul(&f, &c);
    let new = g.mul(&i, &candidate);
    let cell = g.add(&kept, &new);
    let squashed = g.map("Tanh", &cell);
    let out = g.mul(&o, &squashed);
    g.output("lstm_h_next", &out, &[units], "state for the next slot");
    g.output("lstm_c_next", &cell, &[units], "state for the next slot");
    out
}

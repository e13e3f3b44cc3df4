//! The fast spiking networks of the CPU backend against PyTorch, SpikingJelly and NeuroBench (`tests/golden`).

use isacbench::nets::cpu::{Activations, Gradient, backward, forward};
use isacbench::nets::dense::{Packed, Strided, leading};
use isacbench::nets::{Activity, Hidden, Lif, Membrane, MlpLayout, Population, Readout};
use safetensors::SafeTensors;

fn bytes(stem: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/{stem}.safetensors", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn f32s(file: &SafeTensors, name: &str) -> Vec<f32> {
    let data = file.tensor(name).unwrap();
    data.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The definition's constants; the files say nothing else.
fn lif(steps: usize, detach_reset: bool) -> Lif {
    Lif {
        steps,
        lambda: 0.5,
        threshold: 1.0,
        reset: 0.0,
        eta: 3.0,
        detach_reset,
        readout: Readout::Last,
        learn_leak: false,
        membrane: Membrane::Reset,
    }
}

struct Golden {
    layout: MlpLayout,
    params: Vec<f32>,
    rows: usize,
    steps: usize,
    /// [rows, leading(inputs)]
    x: Vec<f32>,
}

impl Golden {
    fn read(file: &SafeTensors, detach_reset: bool) -> Golden {
        let shape = |name: &str| file.tensor(name).unwrap().shape().to_vec();
        let x = shape("x");
        let sizes = [x[1], shape("fc1.weight")[0], shape("fc2.weight")[0], shape("out")[1]];
        let steps = shape("u1")[0];
        let lif = Lif { learn_leak: file.tensor("leak").is_ok(), ..lif(steps, detach_reset) };
        let neurons = match file.tensor("population.centre") {
            Ok(centre) => Hidden::Encoded(lif, Population::new(centre.shape()[1], &lif)),
            Err(_) => lif.into(),
        };
        let layout = MlpLayout::new(&sizes, neurons, 0);
        let params = layout.tensors("").iter().flat_map(|t| f32s(file, &t.name)).collect();
        let ld = leading(x[1]);
        let mut padded = vec![0.0; x[0] * ld];
        for (row, given) in padded.chunks_exact_mut(ld).zip(f32s(file, "x").chunks_exact(x[1])) {
            row[..x[1]].copy_from_slice(given);
        }
        Golden { layout, params, rows: x[0], steps, x: padded }
    }

    fn run(&self) -> (Packed, Activations) {
        let mut net = Packed::new(&self.layout);
        net.pack(&self.params);
        let mut acts = Activations::new(&self.layout, self.rows);
        let x = Strided { data: &self.x, row: leading(self.layout.inputs()), col: 1 };
        forward(&net, self.rows, x, &mut acts);
        (net, acts)
    }
}

fn assert_close(what: &str, got: impl Iterator<Item = f32>, want: &[f32], share: f32) {
    let largest = want.iter().fold(0f32, |m, x| m.max(x.abs()));
    let got: Vec<f32> = got.collect();
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= share * largest, "{what}[{i}]: {g} against {w}, largest {largest}");
    }
}

#[test]
fn spikes_output_and_gradients_are_the_references() {
    for stem in ["snn_actor", "snn_critic", "snn_natural", "snn_population", "snn_leaks"] {
        let bytes = bytes(stem);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for detach in [true, false] {
            let g = Golden::read(&file, detach);
            let (net, acts) = g.run();
            let Activations::Spiking(state) = &acts else { panic!("a layout with neurons spikes") };
            // No spike of these files differs in f32, the natural margins of snn_natural included (its smallest is
            // 3e-5).
            for layer in 0..g.layout.layers.len() - 1 {
                let (n, want) = (g.layout.layers[layer].outputs, f32s(&file, &format!("s{}", layer + 1)));
                let words = n.div_ceil(64);
                for (at, want) in want.iter().enumerate() {
                    let (t, m, j) = (at / n / g.rows, at / n % g.rows, at % n);
                    let set = state.fired(layer)[(m * g.steps + t) * words + j / 64];
                    assert_eq!(
                        set >> (j % 64) & 1,
                        u64::from(*want == 1.0),
                        "{stem}: layer {layer}, step {t}, sample {m}, neuron {j}"
                    );
                }
            }
            let (outputs, ld) = (g.layout.outputs(), leading(g.layout.outputs()));
            let out = acts.output().chunks_exact(ld).flat_map(|r| r[..outputs].to_vec());
            assert_close(&format!("{stem}: out"), out, &f32s(&file, "out"), 1e-6);

            let mut grad = Gradient::new(&g.layout, g.rows);
            let up = f32s(&file, "grad_out");
            for (row, up) in grad.d_out().chunks_exact_mut(ld).zip(up.chunks_exact(outputs)) {
                row[..outputs].copy_from_slice(up);
            }
            backward(&net, g.rows, &g.x, &acts, 0.0, &mut grad);
            let mut grads = vec![f32::NAN; g.params.len()];
            grad.write_to(&g.layout, &mut grads);
            for t in g.layout.tensors("") {
                let name = format!("grad_detach{}.{}", u8::from(detach), t.name);
                let got = grads[t.range()].iter().copied();
                // Their own f32 run is off by up to 1.3e-6 of the largest (snn_natural, fc1).
                assert_close(&format!("{stem}: {name}"), got, &f32s(&file, &name), 3e-6);
            }
        }
    }
}

#[test]
fn activity_gives_neurobenchs_counts() {
    let (bytes, counts) = (bytes("snn_actor"), bytes("opcounts"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let counts = SafeTensors::deserialize(&counts).unwrap();
    let want = |name: &str| f64::from(f32s(&counts, &format!("snn_actor.{name}"))[0]);
    let g = Golden::read(&file, true);
    let mut net = Packed::new(&g.layout);
    net.pack(&g.params);
    let mut acts = Activations::counting(&g.layout, g.rows);
    let x = Strided { data: &g.x, row: leading(g.layout.inputs()), col: 1 };
    let mut activity = Activity::default();
    // Two batches, of which the second is a part of the first: sums.
    for rows in [g.rows, g.rows] {
        forward(&net, rows, x, &mut acts);
        acts.count(&g.layout, rows, x, &mut activity);
    }
    let samples = 2.0 * g.rows as f64;
    assert_eq!(activity.samples, samples as u64);
    let operations = |l: usize| {
        let active: u64 = activity.layers[l].active.iter().sum();
        (active * g.layout.layers[l].outputs as u64) as f64 / samples
    };
    // NeuroBench counts the real input at every step, this program once.
    assert_eq!(operations(0) * g.steps as f64, want("effective_macs"));
    let accumulates = operations(1) + operations(2);
    assert!((accumulates - want("effective_acs")).abs() < 1e-6 * accumulates, "{accumulates}");
    let updates: u64 = activity.layers.iter().map(|l| l.membrane_updates).sum();
    let updates = updates as f64 / samples;
    assert!((updates - want("membrane_updates")).abs() < 1e-6 * updates, "{updates} membrane updates");
    let spikes: u64 = activity.layers[1..].iter().flat_map(|l| &l.active).sum();
    let neurons: usize = g.layout.layers[..2].iter().map(|l| l.outputs).sum();
    let sparsity = 1.0 - spikes as f64 / (samples * (g.steps * neurons) as f64);
    assert!((sparsity - want("activation_sparsity")).abs() < 1e-6, "{sparsity}");
}

#[test]
fn activity_of_a_perceptron_counts_zeros() {
    use isacbench::nets::Activation;
    let layout = MlpLayout::new(&[2, 3, 1], Activation::Relu, 0);
    // Unit 0 follows the first input, unit 1 its negative, unit 2 is always off.
    let params = [1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 1.0, 1.0, 1.0, 0.0];
    let mut net = Packed::new(&layout);
    net.pack(&params);
    let mut acts = Activations::counting(&layout, 4);
    let x = [1.0, 0.0, 2.0, 0.0, 0.0, 5.0, -3.0, 7.0];
    let x = Strided { data: &x, row: 2, col: 1 };
    let mut activity = Activity::default();
    forward(&net, 4, x, &mut acts);
    acts.count(&layout, 4, x, &mut activity);
    assert_eq!(activity.samples, 4);
    assert_eq!(activity.layers[0].active, [3, 2]);
    assert_eq!(activity.layers[1].active, [2, 1, 0]);
    assert!(activity.layers.iter().all(|l| l.presentations == 1 && l.membrane_updates == 0));
}

//! Forward and backward pass against the definition, step by step in f64.

use super::backward::{Gradient, backward};
use super::forward::forward;
use super::{Activations, Places, words};
use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::{Hidden, Lif, Membrane, MlpLayout, Population, Readout, normals};
use crate::num::philox::{PhiloxRng, Stream};
use rand::Rng;

/// What the definition gives for one sample: spikes [layer][step][neuron], potentials likewise, output.
struct Reference {
    fired: Vec<Vec<Vec<bool>>>,
    u: Vec<Vec<Vec<f64>>>,
    out: Vec<f64>,
    /// V of each layer before the first step and after the last one.
    start: Vec<Vec<f64>>,
    end: Vec<Vec<f64>>,
    /// Smallest |U − U_th|
    margin: f64,
}

fn affine(l: &crate::nets::mlp::Layer, params: &[f64], x: &[f64]) -> Vec<f64> {
    (0..l.outputs)
        .map(|o| {
            let w = &params[l.w_off + o * l.inputs..][..l.inputs];
            w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + params[l.b_off + o]
        })
        .collect()
}

/// λ of a layer.
fn lambda(layout: &MlpLayout, lif: &Lif, params: &[f64], l: usize) -> f64 {
    layout.leaks().nth(l).map_or(lif.lambda, |at| 1.0 / (1.0 + (-params[at]).exp()))
}

/// Currents of the neurons that encode x.
fn encoded(layout: &MlpLayout, of: Population, params: &[f64], x: &[f64]) -> Vec<f64> {
    let l = &layout.layers[0];
    let neuron = |n: usize| {
        let z = params[l.w_off + n] * (x[n / of.fields] - params[l.b_off + n]);
        of.gain * (-z * z / 2.0).exp()
    };
    (0..l.outputs).map(neuron).collect()
}

#[test]
fn a_group_is_added_once_and_then_goes_to_each_of_its_steps() {
    let lif = Lif {
        steps: 3,
        lambda: 1.0,
        threshold: 1.0,
        reset: 0.0,
        eta: 3.0,
        detach_reset: true,
        readout: Readout::Last,
        learn_leak: false,
        membrane: Membrane::Reset,
    };
    let layout = MlpLayout::new(&[1, 4, 5, 1], lif, 0);
    let mut params = vec![0f32; layout.params()];
    // With λ = 1 a neuron fires in every step or in none: three do, one does not.
    params[layout.layers[0].w_off..][..4].copy_from_slice(&[2.0, 2.0, 0.5, 2.0]);
    let mut net = Packed::new(&layout);
    net.pack(&params);
    let mut acts = Activations::new(&layout, &lif, 2, false);
    // One group of three neurons and three steps, times five outputs; nothing in the second row.
    forward(&net, &lif, 2, Strided { data: &[1.0, 0.0], row: 1, col: 1 }, &mut acts);
    assert_eq!(acts.group_additions(), (3 + 3) * 5);
}

/// (34), (35) step by step from these potentials, in f64.
fn definition(layout: &MlpLayout, lif: &Lif, params: &[f64], x: &[f64], start: Vec<Vec<f64>>) -> Reference {
    let hidden = layout.layers.len() - 1;
    let mut r = Reference {
        fired: vec![Vec::new(); hidden],
        u: vec![Vec::new(); hidden],
        out: vec![0.0; layout.outputs()],
        start: start.clone(),
        end: Vec::new(),
        margin: f64::INFINITY,
    };
    let mut v = start;
    for _ in 0..lif.steps {
        let mut s = x.to_vec();
        for (l, layer) in layout.layers.iter().enumerate() {
            let i = match layout.population {
                Some(of) if l == 0 => encoded(layout, of, params, x),
                _ => affine(layer, params, &s),
            };
            let lambda = lambda(layout, lif, params, l);
            let u: Vec<f64> = v[l].iter().zip(&i).map(|(v, i)| (1.0 - lambda) * v + lambda * i).collect();
            if l == hidden {
                v[l] = match lif.readout {
                    Readout::Last => u,
                    Readout::Mean => v[l].iter().zip(&i).map(|(v, i)| v + i / lif.steps as f64).collect(),
                };
                continue;
            }
            let fired: Vec<bool> = u.iter().map(|u| *u >= lif.threshold).collect();
            r.margin = u.iter().fold(r.margin, |m, u| m.min((u - lif.threshold).abs()));
            v[l] = u.iter().zip(&fired).map(|(u, f)| if *f { lif.reset } else { *u }).collect();
            s = fired.iter().map(|f| f64::from(u8::from(*f))).collect();
            r.u[l].push(u);
            r.fired[l].push(fired);
        }
    }
    r.out = v[hidden].clone();
    r.end = v;
    r
}

/// Backpropagation through time with the surrogate, from dloss/dout and a constant gradient on every spike, step by
/// step in f64. Adds to `grads`.
fn reference_gradient(
    layout: &MlpLayout,
    lif: &Lif,
    params: &[f64],
    (x, r): (&[f64], &Reference),
    d_out: &[f64],
    cost: f64,
    grads: &mut [f64],
) {
    let hidden = layout.layers.len() - 1;
    let mut dv: Vec<Vec<f64>> = layout.layers.iter().map(|l| vec![0.0; l.outputs]).collect();
    dv[hidden] = d_out.to_vec();
    for t in (0..lif.steps).rev() {
        let mut ds: Vec<f64> = Vec::new();
        for l in (0..=hidden).rev() {
            let layer = &layout.layers[l];
            let lambda = lambda(layout, lif, params, l);
            let mut di = vec![0.0; layer.outputs];
            for j in 0..layer.outputs {
                let du = if l == hidden {
                    dv[l][j]
                } else {
                    let u = r.u[l][t][j];
                    let y = std::f64::consts::PI * lif.eta * (u - lif.threshold) / 2.0;
                    let slope = lif.eta / 2.0 / (1.0 + y * y);
                    let s = f64::from(u8::from(r.fired[l][t][j]));
                    let carried = if lif.detach_reset { 1.0 - s } else { 1.0 - s - (u - lif.reset) * slope };
                    (ds[j] + cost) * slope + dv[l][j] * carried
                };
                (di[j], dv[l][j]) = match lif.readout {
                    Readout::Mean if l == hidden => (du / lif.steps as f64, du),
                    _ => (lambda * du, (1.0 - lambda) * du),
                };
                if let Some(leak) = layout.leaks().nth(l) {
                    let v = match t {
                        0 => r.start[l][j],
                        _ if r.fired[l][t - 1][j] => lif.reset,
                        _ => r.u[l][t - 1][j],
                    };
                    // λ(1−λ)·(i−V)
                    grads[leak] += du * (1.0 - lambda) * (r.u[l][t][j] - v);
                }
            }
            let input: Vec<f64> = if l == 0 {
                x.to_vec()
            } else {
                r.fired[l - 1][t].iter().map(|f| f64::from(u8::from(*f))).collect()
            };
            ds = vec![0.0; layer.inputs];
            if let (0, Some(of)) = (l, layout.population) {
                for (n, i) in encoded(layout, of, params, x).into_iter().enumerate() {
                    let (sharpness, off) =
                        (params[layer.w_off + n], x[n / of.fields] - params[layer.b_off + n]);
                    grads[layer.w_off + n] -= di[n] * i * sharpness * off * off;
                    grads[layer.b_off + n] += di[n] * i * sharpness * sharpness * off;
                }
                continue;
            }
            for o in 0..layer.outputs {
                grads[layer.b_off + o] += di[o];
                for k in 0..layer.inputs {
                    grads[layer.w_off + o * layer.inputs + k] += di[o] * input[k];
                    ds[k] += params[layer.w_off + o * layer.inputs + k] * di[o];
                }
            }
        }
    }
}

struct Case {
    sizes: &'static [usize],
    rows: usize,
    lif: Lif,
    cost: f64,
    /// Neurons that encode each input, or 0.
    fields: usize,
}

impl Case {
    /// At some offset.
    fn layout(&self) -> MlpLayout {
        let hidden = match self.fields {
            0 => self.lif.into(),
            fields => Hidden::Encoded(self.lif, Population::new(fields, &self.lif)),
        };
        MlpLayout::new(self.sizes, hidden, 3)
    }
}

const PAPER: Lif = Lif {
    steps: 6,
    lambda: 0.5,
    threshold: 1.0,
    reset: 0.0,
    eta: 3.0,
    detach_reset: true,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

fn carried(lif: Lif) -> Lif {
    Lif { membrane: Membrane::Carried, ..lif }
}

/// One, two and three hidden layers; sizes that are no multiple of a vector, a tile or a word; both gradients of
/// the reset; one, six and the most steps; other constants; inputs as they are and encoded; potentials from 0 and
/// from anywhere.
fn cases() -> Vec<Case> {
    let follow = Lif { detach_reset: false, ..PAPER };
    let other = Lif {
        steps: 5,
        lambda: 0.3,
        threshold: 0.8,
        reset: -0.4,
        eta: 2.0,
        detach_reset: false,
        readout: Readout::Last,
        learn_leak: false,
        membrane: Membrane::Reset,
    };
    vec![
        Case { sizes: &[12, 128, 128, 6], rows: 61, lif: PAPER, cost: 0.0, fields: 0 },
        Case { sizes: &[12, 128, 128, 6], rows: 25, lif: follow, cost: 0.02, fields: 0 },
        Case { sizes: &[5, 33, 1], rows: 13, lif: PAPER, cost: 0.0, fields: 0 },
        Case { sizes: &[5, 33, 1], rows: 30, lif: other, cost: 0.1, fields: 0 },
        Case { sizes: &[7, 20, 70, 3], rows: 1, lif: follow, cost: 0.0, fields: 0 },
        Case { sizes: &[3, 65, 17, 130, 13], rows: 29, lif: other, cost: 0.01, fields: 0 },
        Case { sizes: &[4, 40, 30, 5], rows: 26, lif: Lif { steps: 1, ..PAPER }, cost: 0.03, fields: 0 },
        Case {
            sizes: &[6, 40, 33, 7],
            rows: 28,
            lif: Lif { readout: Readout::Mean, ..PAPER },
            cost: 0.01,
            fields: 0,
        },
        Case {
            sizes: &[5, 33, 1],
            rows: 14,
            lif: Lif { readout: Readout::Mean, ..other },
            cost: 0.0,
            fields: 0,
        },
        Case {
            sizes: &[4, 48, 65, 31, 2],
            rows: 27,
            lif: Lif { steps: 16, reset: 0.2, ..other },
            cost: 0.0,
            fields: 0,
        },
        Case { sizes: &[12, 128, 6], rows: 61, lif: PAPER, cost: 0.0, fields: 8 },
        Case { sizes: &[5, 33, 20, 1], rows: 29, lif: other, cost: 0.1, fields: 7 },
        Case {
            sizes: &[6, 40, 33, 7],
            rows: 28,
            lif: Lif { learn_leak: true, ..PAPER },
            cost: 0.01,
            fields: 0,
        },
        Case {
            sizes: &[5, 33, 20, 1],
            rows: 29,
            lif: Lif { learn_leak: true, ..other },
            cost: 0.1,
            fields: 4,
        },
        Case { sizes: &[70, 9, 3], rows: 13, lif: follow, cost: 0.0, fields: 1 },
        Case { sizes: &[12, 128, 6], rows: 61, lif: carried(PAPER), cost: 0.0, fields: 0 },
        Case { sizes: &[3, 65, 17, 130, 13], rows: 29, lif: carried(other), cost: 0.01, fields: 0 },
        Case { sizes: &[5, 33, 70, 1], rows: 30, lif: carried(follow), cost: 0.0, fields: 0 },
        Case {
            sizes: &[6, 40, 33, 7],
            rows: 28,
            lif: carried(Lif { readout: Readout::Mean, ..PAPER }),
            cost: 0.01,
            fields: 0,
        },
        Case {
            sizes: &[5, 33, 20, 1],
            rows: 29,
            lif: carried(Lif { learn_leak: true, ..other }),
            cost: 0.1,
            fields: 4,
        },
    ]
}

/// Distance of every potential from the threshold below which f32 may decide otherwise.
const MARGIN: f64 = 2e-5;

struct Drawn {
    layout: MlpLayout,
    params: Vec<f64>,
    xs: Vec<Vec<f64>>,
    references: Vec<Reference>,
    d_out: Vec<f64>,
    x: Vec<f32>,
    net: Packed,
}

/// Weights, and samples in which no potential comes near the threshold.
fn drawn(case: &Case) -> Drawn {
    let layout = case.layout();
    let mut rng = PhiloxRng::new([1, 2], Stream::Init, 0, 9);
    let mut params: Vec<f64> = vec![0.0; layout.end()];
    if let Some(of) = layout.population {
        let l = &layout.layers[0];
        let (mut sharpness, mut centre) = (vec![0.0; l.outputs], vec![0.0; l.outputs]);
        of.init(&mut sharpness, &mut centre);
        let start = sharpness.iter().chain(&centre).map(|p| f64::from(*p));
        for ((p, start), z) in params[l.w_off..].iter_mut().zip(start).zip(normals(2 * l.outputs, &mut rng)) {
            *p = f64::from((start + 0.3 * z) as f32);
        }
    }
    for (at, z) in layout.leaks().zip(normals(layout.layers.len(), &mut rng)) {
        params[at] = f64::from((0.7 * z) as f32);
    }
    for l in layout.dense_layers() {
        // A mean above zero, so that the deeper layers fire too.
        let z = normals((l.inputs + 1) * l.outputs, &mut rng);
        let scale = 2.5 / (l.inputs as f64).sqrt();
        params[l.w_off..l.b_off + l.outputs]
            .iter_mut()
            .zip(z)
            .for_each(|(p, z)| *p = f64::from((scale * (z + 0.15)) as f32));
    }
    let (mut xs, mut references) = (Vec::new(), Vec::new());
    while xs.len() < case.rows {
        let x: Vec<f64> = normals(layout.inputs(), &mut rng).iter().map(|z| f64::from(*z as f32)).collect();
        let mut start: Vec<Vec<f64>> = layout.layers.iter().map(|l| vec![0.0; l.outputs]).collect();
        for (start, n) in start.iter_mut().zip(layout.carried()) {
            // No neuron is left above its threshold.
            let below = |z: f64| f64::from((0.6 * z).min(case.lif.threshold - 0.05) as f32);
            *start = normals(n, &mut rng).into_iter().map(below).collect();
        }
        let r = definition(&layout, &case.lif, &params, &x, start);
        if r.margin > MARGIN {
            xs.push(x);
            references.push(r);
        }
    }
    let mut d_out: Vec<f64> = (0..case.rows * layout.outputs())
        .map(|_| f64::from((f64::from(rng.next_u32()) / 4294967296.0 - 0.5) as f32))
        .collect();
    // Some samples have no gradient, as where PPO clips.
    d_out.chunks_exact_mut(layout.outputs()).skip(2).step_by(3).for_each(|d| d.fill(0.0));
    let ld = leading(layout.inputs());
    let mut x = vec![0.0; case.rows * ld];
    for (row, xs) in x.chunks_exact_mut(ld).zip(&xs) {
        row.iter_mut().zip(xs).for_each(|(a, b)| *a = *b as f32);
    }
    let mut net = Packed::new(&layout);
    net.pack(&params.iter().map(|p| *p as f32).collect::<Vec<_>>());
    Drawn { layout, params, xs, references, d_out, x, net }
}

fn run(case: &Case, d: &Drawn, keep: bool, count: bool) -> Activations {
    let mut acts = Activations::new(&d.layout, &case.lif, case.rows, keep);
    acts.count = count;
    let x = Strided { data: &d.x, row: leading(d.layout.inputs()), col: 1 };
    let places = Places::new(&d.layout);
    let mut start = vec![0.0; case.rows * places.width];
    for (m, r) in d.references.iter().enumerate() {
        for (layer, potentials) in r.start.iter().enumerate() {
            let to = places.of_mut(&mut start, m, layer);
            to.iter_mut().zip(potentials).for_each(|(to, v)| *to = *v as f32);
        }
    }
    acts.begin(&start);
    // Twice: nothing of an earlier pass may stay.
    for _ in 0..2 {
        forward(&d.net, &case.lif, case.rows, x, &mut acts);
    }
    acts
}

#[test]
fn forward_equals_the_definition() {
    for case in cases() {
        let d = drawn(&case);
        for keep in [true, false] {
            let acts = run(&case, &d, keep, true);
            let hidden = acts.hidden.len();
            let (mut rates, mut updates) = (vec![0u64; hidden], vec![0u64; hidden]);
            let mut active: Vec<Vec<u64>> = acts.hidden.iter().map(|l| vec![0; l.neurons]).collect();
            for (m, r) in d.references.iter().enumerate() {
                for (l, state) in acts.hidden.iter().enumerate() {
                    let w = words(state.neurons);
                    for t in 0..case.lif.steps {
                        for j in 0..state.neurons {
                            let got = state.fired[(m * case.lif.steps + t) * w + j / 64] >> (j % 64) & 1;
                            let want = u64::from(r.fired[l][t][j]);
                            assert_eq!(
                                got, want,
                                "{:?}: sample {m}, layer {l}, step {t}, neuron {j}",
                                case.sizes
                            );
                            rates[l] += want;
                            active[l][j] += want;
                            // Steps of f32 and f64 may differ by what rounding hides; a large difference is seen by
                            // both.
                            let u = &r.u[l];
                            let moved =
                                |t: usize| (u[t][j] - u[t - 1][j]).abs() > 1e-9 * u[t][j].abs().min(1.0);
                            updates[l] += u64::from(t == 0 || moved(t));
                        }
                    }
                }
                for (layer, want) in r.end.iter().enumerate().take(acts.places.first.len()) {
                    let got = acts.places.of(&acts.after, m, layer);
                    for (j, (got, want)) in got.iter().zip(want).enumerate() {
                        assert!(
                            (f64::from(*got) - want).abs() < 5e-6 * (1.0 + want.abs()),
                            "{:?}: potential {j} of layer {layer}, sample {m}: {got} against {want}",
                            case.sizes
                        );
                    }
                }
                let ld = leading(d.layout.outputs());
                for (o, want) in r.out.iter().enumerate() {
                    let got = f64::from(acts.output()[m * ld + o]);
                    assert!(
                        (got - want).abs() < 5e-6 * (1.0 + want.abs()),
                        "{:?}: output {o} of sample {m}: {got} against {want}",
                        case.sizes
                    );
                }
            }
            assert_eq!(acts.spikes().collect::<Vec<_>>(), rates, "{:?}", case.sizes);
            assert!(rates.iter().all(|&n| n > 0), "{:?}: a silent layer tests nothing", case.sizes);
            let counted = acts.activity(case.rows, case.lif.steps);
            for (l, want) in active.iter().enumerate() {
                assert_eq!(counted[l].active, *want);
            }
            for (l, want) in updates.iter().enumerate() {
                let got = acts.hidden[l].updates;
                assert!(
                    got.abs_diff(*want) as f64 <= 1e-3 * *want as f64,
                    "{:?}: {got} membrane updates of layer {l} against {want}",
                    case.sizes
                );
            }
        }
    }
}

#[test]
fn backward_equals_the_definition() {
    for case in cases() {
        let d = drawn(&case);
        let acts = run(&case, &d, true, false);
        let (p, outputs) = (d.layout.end(), d.layout.outputs());
        let mut want = vec![0.0; p];
        let mut grad = Gradient::new(&d.layout, &case.lif, case.rows);
        let ld = leading(outputs);
        // Before it, a pass in which every sample has a gradient: nothing of it may stay.
        grad.d_out.fill(1.0);
        backward(&d.net, &case.lif, case.rows, &d.x, &acts, case.cost as f32, &mut grad);
        grad.d_out.fill(0.0);
        for (m, r) in d.references.iter().enumerate() {
            let up = &d.d_out[m * outputs..(m + 1) * outputs];
            reference_gradient(&d.layout, &case.lif, &d.params, (&d.xs[m], r), up, case.cost, &mut want);
            for (o, g) in up.iter().enumerate() {
                grad.d_out[m * ld + o] = *g as f32;
            }
        }
        let mut grads = vec![0f32; p];
        grad.clear();
        backward(&d.net, &case.lif, case.rows, &d.x, &acts, case.cost as f32, &mut grad);
        grad.write_to(&d.layout, &case.lif, &mut grads);
        let tensors = d.layout.layers.iter().flat_map(|l| [l.w_off..l.b_off, l.b_off..l.b_off + l.outputs]);
        let leaks = d.layout.leaks();
        for range in tensors.chain((!leaks.is_empty()).then_some(leaks)) {
            let largest = want[range.clone()].iter().fold(0f64, |m, g| m.max(g.abs()));
            assert!(largest > 0.0);
            for i in range {
                let (got, want) = (f64::from(grads[i]), want[i]);
                assert!(
                    (got - want).abs() < 2e-5 * largest,
                    "{:?}, parameter {i}: {got} against {want}, largest {largest}",
                    case.sizes
                );
            }
        }
    }
}

/// Without carried potentials every bit is that of carried ones at rest, and nothing is kept for them.
#[test]
fn reset_potentials_are_carried_ones_at_rest() {
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for case in cases().into_iter().filter(|case| case.lif.membrane == Membrane::Reset) {
        let d = drawn(&case);
        let params: Vec<f32> = d.params.iter().map(|p| *p as f32).collect();
        let x = Strided { data: &d.x, row: leading(d.layout.inputs()), col: 1 };
        let [reset, at_rest] = [case.lif, carried(case.lif)].map(|lif| {
            let layout = Case { lif, ..case }.layout();
            let mut net = Packed::new(&layout);
            net.pack(&params);
            let mut acts = Activations::new(&layout, &lif, case.rows, true);
            forward(&net, &lif, case.rows, x, &mut acts);
            let mut grad = Gradient::new(&layout, &lif, case.rows);
            grad.d_out.fill(0.5);
            backward(&net, &lif, case.rows, &d.x, &acts, case.cost as f32, &mut grad);
            let mut grads = vec![0f32; layout.end()];
            grad.write_to(&layout, &lif, &mut grads);
            let fired: Vec<u64> = acts.hidden.iter().flat_map(|l| l.fired.clone()).collect();
            (bits(acts.output()), fired, bits(&grads), acts.before().len())
        });
        assert!(reset.0 == at_rest.0, "{:?}: outputs", case.sizes);
        assert!(reset.1 == at_rest.1, "{:?}: spikes", case.sizes);
        assert!(reset.2 == at_rest.2, "{:?}: gradients", case.sizes);
        assert!(reset.3 == 0 && at_rest.3 > 0);
    }
}

/// Two inferences of three steps, the second from where the first ended, are one of six.
#[test]
fn a_carried_inference_goes_on_where_the_last_one_ended() {
    for readout in [Readout::Last, Readout::Mean] {
        let six = carried(Lif { readout, ..PAPER });
        let case = Case { sizes: &[7, 20, 33, 4], rows: 30, lif: six, cost: 0.0, fields: 0 };
        let d = drawn(&case);
        let x = Strided { data: &d.x, row: leading(7), col: 1 };
        let three = Lif { steps: 3, ..six };
        let mut whole = Activations::new(&d.layout, &six, 30, false);
        let mut halves = Activations::new(&d.layout, &three, 30, false);
        forward(&d.net, &six, 30, x, &mut whole);
        forward(&d.net, &three, 30, x, &mut halves);
        assert!(halves.before().iter().all(|v| *v == 0.0), "a forward pass leaves where it starts");
        let first: Vec<f32> = halves.output().to_vec();
        halves.carry();
        forward(&d.net, &three, 30, x, &mut halves);
        for (layer, n) in [20, 33].into_iter().enumerate() {
            let words = words(n);
            for m in 0..30 {
                let last = &whole.fired(layer)[(6 * m + 3) * words..(6 * m + 6) * words];
                assert_eq!(last, &halves.fired(layer)[3 * m * words..(3 * m + 3) * words], "{readout:?}");
                let [a, b] = [&whole, &halves].map(|acts| &acts.places.of(&acts.after, m, layer)[..n]);
                // Groups of neurons of the layer below, and so the order of sums, differ.
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5 * (1.0 + a.abs());
                assert!(a.iter().zip(b).all(near), "{readout:?}: layer {layer}, sample {m}: {a:?} {b:?}");
            }
        }
        for (i, want) in whole.output().iter().enumerate() {
            let got = match readout {
                Readout::Last => halves.output()[i],
                Readout::Mean => 0.5 * (first[i] + halves.output()[i]),
            };
            assert!((got - want).abs() < 1e-5, "{readout:?}, output {i}: {got} against {want}");
        }
        // From rest again, the first half.
        halves.rest();
        forward(&d.net, &three, 30, x, &mut halves);
        assert_eq!(halves.output(), first, "{readout:?}");
    }
}

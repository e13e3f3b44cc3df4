//! Backward passes of spiking networks against forward-mode differentiation by the definition: a tangent goes through
//! every step as the potentials do, with ds = σ'(U)·dU where the step function has no derivative. In f64.

use crate::neurons::{LOW, ONE, OTHER, PAPER};
use isacbench::kernels::inputs::{normal, widen};
use isacbench::learn::network::{carried_forward_cpu, forward_cpu, penalised_backward_cpu};
use isacbench::nets::{Hidden, Lif, Membrane, MlpLayout, Population};

/// One replica of a network with its weights and what each moves by.
struct Moved<'a> {
    net: &'a MlpLayout,
    params: &'a [f64],
    d_params: &'a [f64],
}

impl Moved<'_> {
    /// W x + b of layer `n`, and its tangent.
    fn currents(&self, n: usize, x: &[f64], dx: &[f64]) -> Vec<[f64; 2]> {
        let l = &self.net.layers[n];
        if let (0, Some(of)) = (n, self.net.population) {
            let field = |j: usize| {
                let [sharpness, centre] = [l.w_off + j, l.b_off + j];
                let off = x[j / of.fields] - self.params[centre];
                let z = self.params[sharpness] * off;
                let dz = self.d_params[sharpness] * off
                    + self.params[sharpness] * (dx[j / of.fields] - self.d_params[centre]);
                let i = of.gain * (-z * z / 2.0).exp();
                [i, -i * z * dz]
            };
            return (0..l.outputs).map(field).collect();
        }
        let row = |j: usize| {
            let mut sum = [self.params[l.b_off + j], self.d_params[l.b_off + j]];
            for k in 0..l.inputs {
                let (w, dw) =
                    (self.params[l.w_off + j * l.inputs + k], self.d_params[l.w_off + j * l.inputs + k]);
                sum[0] += w * x[k];
                sum[1] += dw * x[k] + w * dx[k];
            }
            sum
        };
        (0..l.outputs).map(row).collect()
    }

    /// Outputs of one sample with their tangents, and the tangent of its number of spikes. `start`: potentials that
    /// were carried here, layer behind layer, which do not move.
    fn sample(&self, x: &[f64], dx: &[f64], start: &[f64]) -> (Vec<[f64; 2]>, f64) {
        let lif = self.net.lif.unwrap();
        let last = self.net.layers.len() - 1;
        // Leak of each layer, and its tangent.
        let mut leaks = vec![[lif.lambda, 0.0]; last + 1];
        for (leak, at) in leaks.iter_mut().zip(self.net.leaks()) {
            let lambda = 1.0 / (1.0 + (-self.params[at]).exp());
            *leak = [lambda, lambda * (1.0 - lambda) * self.d_params[at]];
        }
        let mut v: Vec<Vec<[f64; 2]>> = self.net.layers.iter().map(|l| vec![[0.0; 2]; l.outputs]).collect();
        v.iter_mut().flatten().zip(start).for_each(|(v, start)| v[0] = *start);
        let mut d_spikes = 0.0;
        for _ in 0..lif.steps {
            let (mut s, mut ds) = (x.to_vec(), dx.to_vec());
            for n in 0..=last {
                let i = self.currents(n, &s, &ds);
                (s, ds) = (Vec::new(), Vec::new());
                let [lambda, d_lambda] = leaks[n];
                for (v, i) in v[n].iter_mut().zip(i) {
                    let [u, du] = [0, 1].map(|k| (1.0 - lambda) * v[k] + lambda * i[k]);
                    let du = du + d_lambda * (i[0] - v[0]);
                    if n == last {
                        *v = [u, du];
                        continue;
                    }
                    let x = std::f64::consts::FRAC_PI_2 * lif.eta * (u - lif.threshold);
                    let d = lif.eta / 2.0 / (1.0 + x * x) * du;
                    let fires = u >= lif.threshold;
                    let through = if lif.detach_reset { 0.0 } else { (u - lif.reset) * d };
                    *v = if fires { [lif.reset, -through] } else { [u, du - through] };
                    s.push(if fires { 1.0 } else { 0.0 });
                    ds.push(d);
                    d_spikes += d;
                }
            }
        }
        (v[last].clone(), d_spikes)
    }
}

/// Loss of each replica = Σ c·y + ½ Σ y² over outputs + penalty·mean firing rate.
fn gradients(hidden: &[usize], neurons: Hidden) {
    let (inputs, outputs, r, m, penalty) = (5, 3, 2, 4, 0.7);
    let net = MlpLayout::new(&[&[inputs], hidden, &[outputs]].concat(), neurons, 2);
    let (lif, encodes) = (net.lif.unwrap(), net.population.is_some());
    let p = net.end() + 1; // two parameters before the network and one after belong to others
    let params: Vec<f64> = widen(&normal(1, 0, r * p, 1.0)).iter().map(|w| w + 0.3).collect();
    let x = widen(&normal(1, 1, r * m * inputs, 1.0));
    let c = widen(&normal(1, 2, r * m * outputs, 1.0));
    let width = net.carried().iter().sum::<usize>();
    let start: Vec<f64> =
        widen(&normal(1, 3, r * m * width, 0.6)).iter().map(|v| v.min(lif.threshold - 0.05)).collect();
    let pass = penalised_backward_cpu(&net, (r, m), &params, &x, &start, penalty, |y| {
        y.iter().zip(&c).map(|(y, c)| c + y).collect()
    });
    let y = &match lif.membrane {
        Membrane::Reset => forward_cpu(&net, (r, m), &params, &x),
        Membrane::Carried => carried_forward_cpu(&net, (r, m), &params, &x, &start).0,
    }[net.layers.len()];
    let neurons: usize = net.layers[..net.layers.len() - 1].iter().map(|l| l.outputs).sum();

    // One direction in which everything moves, then one for each tensor alone, and the input, which nothing goes back
    // to where it is encoded.
    let tensors = net.tensors("");
    let mut directions: Vec<(String, std::ops::Range<usize>, bool)> =
        vec![("all".into(), 2..net.end(), !encodes)];
    directions.extend(tensors.iter().map(|t| (t.name.clone(), t.range(), false)));
    if !encodes {
        directions.push(("x".into(), 0..0, true));
    }
    assert_eq!(pass.dx.is_empty(), encodes);
    let mut largest = 0.0f64;
    for (k, (name, range, with_x)) in directions.into_iter().enumerate() {
        let mut d_params = widen(&normal(2, k as u32, r * p, 1.0));
        d_params.iter_mut().enumerate().for_each(|(e, d)| {
            if !range.contains(&(e % p)) {
                *d = 0.0;
            }
        });
        let dx = if with_x { widen(&normal(3, k as u32, x.len(), 1.0)) } else { vec![0.0; x.len()] };
        for replica in 0..r {
            let of = |v: &[f64], n: usize, row: usize| v[row * n..(row + 1) * n].to_vec();
            let (params, d_params) = (of(&params, p, replica), of(&d_params, p, replica));
            let moved = Moved { net: &net, params: &params, d_params: &d_params };
            let mut want = 0.0;
            for row in replica * m..(replica + 1) * m {
                let (out, d_spikes) =
                    moved.sample(&of(&x, inputs, row), &of(&dx, inputs, row), &of(&start, width, row));
                for (j, [value, d]) in out.into_iter().enumerate() {
                    let at = row * outputs + j;
                    assert!(
                        (value - y[at]).abs() < 1e-12,
                        "{hidden:?} {lif:?} output {at}: {} {value}",
                        y[at]
                    );
                    want += (c[at] + value) * d;
                }
                want += penalty * d_spikes / (m * lif.steps * neurons) as f64;
            }
            let grads = of(&pass.grads, p, replica);
            let by_params: f64 = (2..net.end()).map(|e| grads[e] * d_params[e]).sum();
            let rows = replica * m * inputs..(replica + 1) * m * inputs;
            let by_x: f64 = rows.filter(|_| !encodes).map(|e| pass.dx[e] * dx[e]).sum();
            let got = by_params + by_x;
            assert!(
                (got - want).abs() < 1e-11 * (1.0 + want.abs()),
                "{hidden:?} {lif:?} along {name}, replica {replica}: {got} against {want}"
            );
            largest = largest.max(want.abs());
        }
    }
    assert!(largest > 0.1, "gradients of at most {largest} would pass as zeros");
}

#[test]
fn gradients_are_the_tangents_of_the_definition() {
    for lif in [PAPER, ONE, OTHER, LOW] {
        for detach_reset in [false, true] {
            for hidden in [&[7][..], &[7, 6], &[6, 5, 7]] {
                for learn_leak in [false, true] {
                    for membrane in [Membrane::Reset, Membrane::Carried] {
                        let lif = Lif { detach_reset, learn_leak, membrane, ..lif };
                        gradients(hidden, lif.into());
                        gradients(hidden, Hidden::Encoded(lif, Population::new(3, &lif)));
                    }
                }
            }
        }
    }
}

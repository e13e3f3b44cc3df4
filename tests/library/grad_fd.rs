//! Backward passes against central differences, in f64.

use isacbench::kernels::inputs::{normal, widen};
use isacbench::learn::network::{forward_backward_cpu, forward_cpu};
use isacbench::nets::{Activation, MlpLayout};

/// Loss = Σ c·y + ½ Σ y² over outputs of all replicas, so that the gradient depends on the output.
fn loss(net: &MlpLayout, (r, m): (usize, usize), params: &[f64], x: &[f64], c: &[f64]) -> f64 {
    let y = &forward_cpu(net, (r, m), params, x)[net.layers.len()];
    y.iter().zip(c).map(|(y, c)| c * y + 0.5 * y * y).sum()
}

fn dense_gradients(act: Activation) {
    let net = MlpLayout::new(&[5, 7, 6, 3], act, 2);
    let (r, m) = (2, 5);
    let p = net.end() + 1; // two parameters before the network and one after belong to others
    let mut params = widen(&normal(1, 0, r * p, 0.6));
    let mut x = widen(&normal(1, 1, r * m * 5, 1.0));
    let c = widen(&normal(1, 2, r * m * 3, 1.0));
    let pass =
        forward_backward_cpu(&net, (r, m), &params, &x, |y| y.iter().zip(&c).map(|(y, c)| c + y).collect());

    // Differences at ±1e-5 of a loss of up to some thousands: noise of 1e-16·1e3/1e-5 = 1e-8, third-derivative term of
    // 1e-10.
    let eps = 1e-5;
    let near = |got: f64, slope: f64| (got - slope).abs() < 1e-7 * (1.0 + slope.abs());
    let mut largest = 0.0f64;
    for k in 0..r * p {
        let keep = params[k];
        let at = |v: f64, params: &mut Vec<f64>| {
            params[k] = v;
            loss(&net, (r, m), params, &x, &c)
        };
        let slope = (at(keep + eps, &mut params) - at(keep - eps, &mut params)) / (2.0 * eps);
        params[k] = keep;
        if (2..net.end()).contains(&(k % p)) {
            assert!(near(pass.grads[k], slope), "{act:?} parameter {k}: {} against {slope}", pass.grads[k]);
            largest = largest.max(slope.abs());
        } else {
            assert_eq!(slope, 0.0, "{act:?} parameter {k} is not the network's");
        }
    }
    for k in 0..x.len() {
        let keep = x[k];
        let at = |v: f64, x: &mut Vec<f64>| {
            x[k] = v;
            loss(&net, (r, m), &params, x, &c)
        };
        let slope = (at(keep + eps, &mut x) - at(keep - eps, &mut x)) / (2.0 * eps);
        x[k] = keep;
        assert!(near(pass.dx[k], slope), "{act:?} input {k}: {} against {slope}", pass.dx[k]);
    }
    assert!(largest > 0.1, "{act:?}: gradients of at most {largest} would pass as zeros");
}

#[test]
fn dense_gradients_are_the_differences_of_the_loss_tanh() {
    dense_gradients(Activation::Tanh);
}

#[test]
fn dense_gradients_are_the_differences_of_the_loss_relu() {
    dense_gradients(Activation::Relu);
}

#[test]
fn dense_gradients_are_the_differences_of_the_loss_linear() {
    dense_gradients(Activation::None);
}

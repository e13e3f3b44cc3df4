//! Forward and backward pass of the policy networks (12 → H → H → 6) on one core of the CPU backend: tanh in floating-point operations per
//! second (a multiplication and an addition are two; those of the padding are not counted), spiking (6 steps) in samples per second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isacbench::philox::{PhiloxRng, Stream};
use isacbench::policy::dense::{Activations, Gradient, Packed, Strided, backward, forward, leading};
use isacbench::policy::{Activation, Lif, MlpLayout, cpu, normals};
use std::time::Duration;

/// K = 3 vehicles: observation and action of the policy.
const INPUTS: usize = 12;
const ACTIONS: usize = 6;

/// Normal numbers of standard deviation `sigma`.
fn numbers(n: usize, sigma: f64) -> Vec<f32> {
    let z = normals(n, &mut PhiloxRng::new([0, 0], Stream::Init, 0, 0));
    z.into_iter().map(|z| (sigma * z) as f32).collect()
}

fn dense(c: &mut Criterion) {
    for (rows, hidden) in [(256, 128), (120, 128), (256, 64), (256, 256)] {
        let layout = MlpLayout::new(&[INPUTS, hidden, hidden, ACTIONS], Activation::Tanh, 0);
        let mut net = Packed::new(&layout);
        net.pack(&numbers(layout.end(), 0.1));
        let ld = leading(INPUTS);
        let mut x = numbers(rows * ld, 1.0);
        x.chunks_exact_mut(ld).for_each(|row| row[INPUTS..].fill(0.0));
        let mut acts = Activations::new(&layout, rows);
        let mut grad = Gradient::new(&layout, rows);

        let products: usize = layout.layers.iter().map(|l| l.inputs * l.outputs).sum();
        let operations = (2 * rows * products) as u64;
        let id = || BenchmarkId::from_parameter(format!("B={rows},H={hidden}"));
        let mut group = c.benchmark_group("dense_forward_cpu_fast");
        group.throughput(Throughput::Elements(operations));
        group.bench_function(id(), |b| {
            b.iter(|| forward(&net, rows, Strided { data: &x, row: ld, col: 1 }, &mut acts));
        });
        group.finish();

        // Weight gradients of every layer, input gradients of all but the first.
        let first = (2 * rows * INPUTS * hidden) as u64;
        let mut group = c.benchmark_group("dense_backward_cpu_fast");
        group.throughput(Throughput::Elements(2 * operations - first));
        group.bench_function(id(), |b| {
            b.iter(|| {
                let top = grad.d.layers.last_mut().expect("a network has layers");
                top.chunks_exact_mut(leading(ACTIONS)).for_each(|row| row[..ACTIONS].fill(1e-3));
                grad.clear();
                backward(&net, rows, &x, &acts, &mut grad);
            });
        });
        group.finish();
    }
}

fn spiking(c: &mut Criterion) {
    let lif = Lif { steps: 6, lambda: 0.5, threshold: 1.0, reset: 0.0, eta: 3.0, detach_reset: true };
    for (rows, hidden) in [(256, 128), (120, 128), (256, 64), (256, 256)] {
        let layout = MlpLayout::new(&[INPUTS, hidden, hidden, ACTIONS], lif, 0);
        // Weights of standard deviation 2/√inputs: about a quarter and an eighth of the neurons fire in a step.
        let mut params = numbers(layout.end(), 2.0);
        for l in &layout.layers {
            let scale = (l.inputs as f32).sqrt().recip();
            params[l.w_off..l.b_off].iter_mut().for_each(|w| *w *= scale);
        }
        let mut net = Packed::new(&layout);
        net.pack(&params);
        let ld = leading(INPUTS);
        let mut x = numbers(rows * ld, 1.0);
        x.chunks_exact_mut(ld).for_each(|row| row[INPUTS..].fill(0.0));
        let mut acts = cpu::Activations::new(&layout, rows);
        let mut grad = cpu::Gradient::new(&layout, rows);
        let id = || BenchmarkId::from_parameter(format!("B={rows},H={hidden}"));
        let mut group = c.benchmark_group("spiking_forward_cpu_fast");
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(id(), |b| {
            b.iter(|| cpu::forward(&net, rows, Strided { data: &x, row: ld, col: 1 }, &mut acts));
        });
        group.finish();
        let mut group = c.benchmark_group("spiking_backward_cpu_fast");
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(id(), |b| {
            b.iter(|| {
                grad.d_out().chunks_exact_mut(leading(ACTIONS)).for_each(|row| row[..ACTIONS].fill(1e-3));
                grad.clear();
                cpu::backward(&net, rows, &x, &acts, 0.0, &mut grad);
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = dense, spiking
}
criterion_main!(benches);

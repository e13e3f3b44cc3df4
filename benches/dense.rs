//! Forward and backward pass of the policy network (12 → H → H → 6, tanh) on one core of the CPU backend, in floating-point operations per
//! second (a multiplication and an addition are two; those of the padding are not counted).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isacbench::philox::{PhiloxRng, Stream};
use isacbench::policy::dense::{Activations, Gradient, Packed, Strided, backward, forward, leading};
use isacbench::policy::{Activation, MlpLayout, normals};
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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = dense
}
criterion_main!(benches);

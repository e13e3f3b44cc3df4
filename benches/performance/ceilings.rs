//! What a device can reach: a large copy, bytes read and written both counted, and a large square product of f32
//! matrices. On the CPU with all cores and with one, by `copy_from_slice`, `matrixmultiply` and this program's own
//! dense layer; on adapters by a copy command, by a copying kernel, and by this program's own dense kernel.

use crate::harness::{Bench, Effort, Hosted, Passes, Ready, Subject};
use isacbench::bench::device::Place;
use isacbench::bench::{Device, Section, Work, check};
use isacbench::gpu::{Fill, Gpu, GpuError};
use isacbench::kernels::inputs::normal;
use isacbench::kernels::{REGISTRY, dense_forward, metrics_accumulate};
use isacbench::nets::dense::{Activations, Packed, Strided, forward, leading};
use isacbench::nets::{Activation, MlpLayout};
use rayon::prelude::*;
use std::sync::Arc;

pub fn run(bench: &mut Bench) {
    for place in bench.places.clone() {
        match &place {
            Place::Cpu => {
                let all = rayon::current_num_threads();
                cpu(bench, all);
                if all > 1 {
                    cpu(bench, 1);
                }
            }
            Place::Gpu(gpu) => adapter(bench, gpu, place.device()),
        }
    }
}

fn copied(group: &str, bytes: usize) -> Subject {
    Subject {
        group: group.into(),
        section: Section::Ceiling,
        task: None,
        policy: None,
        sizes: vec![("N", bytes)],
        work: Work { bytes: Some(2.0 * bytes as f64), ..Work::default() },
    }
}

fn multiplied(n: usize) -> Subject {
    let size = n as f64;
    Subject {
        group: "ceiling_matmul".into(),
        section: Section::Ceiling,
        task: None,
        policy: None,
        sizes: vec![("N", n)],
        work: Work { flops: Some(2.0 * size.powi(3)), bytes: Some(12.0 * size * size), ..Work::default() },
    }
}

/// c = a·b, rows of `c` split between `threads`.
fn sgemm(threads: usize, n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    let rows = n.div_ceil(threads);
    let part = |(a, c): (&[f32], &mut [f32])| {
        let (m, wide) = (c.len() / n, n as isize);
        // SAFETY: a is [m, n], b [n, n], c [m, n], all row-major and of that many elements.
        unsafe {
            matrixmultiply::sgemm(
                m,
                n,
                n,
                1.0,
                a.as_ptr(),
                wide,
                1,
                b.as_ptr(),
                wide,
                1,
                0.0,
                c.as_mut_ptr(),
                wide,
                1,
            );
        }
    };
    a.par_chunks(rows * n).zip(c.par_chunks_mut(rows * n)).for_each(part);
}

fn cpu(bench: &mut Bench, threads: usize) {
    let device = Device::cpu(threads);
    let (bytes, n) = bench.grid.ceiling(device.kind);
    bench.measure(copied("ceiling_copy", bytes), device.clone(), Effort::LONG, |_| {
        // Pages are touched by whoever copies them.
        let (from, mut to) = (vec![1u8; bytes], vec![2u8; bytes]);
        let part = bytes.div_ceil(threads);
        let work = move || {
            to.par_chunks_mut(part)
                .zip(from.par_chunks(part))
                .for_each(|(to, from)| to.copy_from_slice(from));
            std::hint::black_box(&mut to);
            Ok::<_, GpuError>(())
        };
        Ok(Ready { check: None, timed: Box::new(Hosted { work, gpu: None }) })
    });
    dense(bench, threads);
    bench.measure(multiplied(n), device, Effort::LONG, |checks| {
        let check = checks.once(format!("sgemm {threads}"), || {
            check::product(100, |n, a, b, c| sgemm(threads, n, a, b, c))
        })?;
        let (a, b) = (normal(1, 0, n * n, 1.0), normal(2, 0, n * n, 1.0));
        let mut c = vec![0f32; n * n];
        let work = move || {
            sgemm(threads, n, &a, &b, &mut c);
            std::hint::black_box(&mut c);
            Ok::<_, GpuError>(())
        };
        Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu: None }) })
    });
}

/// The backend's own product: many rows with a matrix that stays in the caches. More than `matrixmultiply` reaches
/// where there is AVX-512.
fn dense(bench: &mut Bench, threads: usize) {
    const ROWS: usize = 4096;
    const WIDTH: usize = 256;
    let (rows, width) = (ROWS as f64, WIDTH as f64);
    let subject = Subject {
        group: "ceiling_matmul_dense".into(),
        sizes: vec![("M", ROWS), ("H", WIDTH)],
        work: Work {
            flops: Some(2.0 * rows * width * width),
            bytes: Some(4.0 * (2.0 * rows * width + width * width)),
            ..Work::default()
        },
        ..multiplied(WIDTH)
    };
    bench.measure(subject, Device::cpu(threads), Effort::LONG, |checks| {
        let layout = MlpLayout::new(&[WIDTH, WIDTH], Activation::None, 0);
        let check = checks.once("dense 256".into(), || check::network_cpu(&layout))?;
        let mut packed = Packed::new(&layout);
        packed.pack(&normal(1, 0, layout.end(), 1.0));
        let (each, ld) = (ROWS.div_ceil(threads), leading(WIDTH));
        let part = |_| (normal(2, 0, each * ld, 1.0), Activations::new(&layout, each));
        let mut parts: Vec<_> = (0..threads).map(part).collect();
        let work = move || {
            parts.par_iter_mut().for_each(|(x, acts)| {
                forward(&packed, each, Strided { data: x, row: ld, col: 1 }, acts);
            });
            std::hint::black_box(&mut parts);
            Ok::<_, GpuError>(())
        };
        Ok(Ready { check: Some(check), timed: Box::new(Hosted { work, gpu: None }) })
    });
}

fn adapter(bench: &mut Bench, gpu: &Arc<Gpu>, device: Device) {
    let (bytes, n) = bench.grid.ceiling(device.kind);
    // Half of what the adapter can bind at most.
    let bytes = bytes.min((gpu.limits.max_storage_buffer_binding_size / 2) as usize / 4096 * 4096);
    let floats = bytes / 4;
    bench.measure(copied("ceiling_copy", bytes), device.clone(), Effort::LONG, |_| {
        let from = gpu.alloc::<f32>("copied", &[floats], Fill::Zero)?;
        let to = gpu.alloc::<f32>("copy", &[floats], Fill::Zero)?;
        let own = gpu.clone();
        let work = move || {
            let mut enc = own.device.create_command_encoder(&Default::default());
            enc.copy_buffer_to_buffer(&from.raw, 0, &to.raw, 0, bytes as u64);
            own.queue.submit([enc.finish()]);
            Ok::<_, GpuError>(())
        };
        Ok(Ready { check: None, timed: Box::new(Hosted { work, gpu: Some(gpu.clone()) }) })
    });
    bench.measure(copied("ceiling_copy_kernel", bytes), device.clone(), Effort::LONG, |checks| {
        let check = checks.once(format!("copy {}", gpu.info.name), || {
            check::kernels(gpu, REGISTRY, &["metrics_accumulate"])
        })?;
        let from = gpu.alloc::<f32>("copied", &[floats], Fill::Zero)?;
        let to = gpu.alloc::<f32>("copy", &[floats], Fill::Zero)?;
        let spec = metrics_accumulate::Spec { elements: floats };
        let bound = metrics_accumulate::MetricsAccumulate::new(gpu, &spec)?.bind(gpu, &from, &to);
        // The first slot of an episode copies.
        let record = Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, true));
        Ok(Ready { check: Some(check), timed: Box::new(Passes::short(gpu, record)) })
    });
    bench.measure(multiplied(n), device, Effort::LONG, |checks| {
        let check = checks.once(format!("matmul {}", gpu.info.name), || {
            check::kernels(gpu, REGISTRY, &["dense_forward"])
        })?;
        let p = n * n + n;
        let spec = dense_forward::Spec { r: 1, m: n, i: n, o: n, p, act: Activation::None, b_scale: 1.0 };
        let params = gpu.upload("params", &[1, p], &normal(1, 0, p, 1.0))?;
        let x = gpu.upload("x", &[1, n, n], &normal(2, 0, n * n, 1.0))?;
        let y = gpu.alloc::<f32>("y", &[1, n, n], Fill::Zero)?;
        let bound = dense_forward::DenseForward::new(gpu, &spec)?.bind(gpu, &params, &x, &y);
        let args = dense_forward::Args { m: n, w_off: 0, b_off: n * n, x_off: 0, y_off: 0 };
        let record = Box::new(move |pass: &mut wgpu::ComputePass| bound.record(pass, &args));
        Ok(Ready { check: Some(check), timed: Box::new(Passes::short(gpu, record)) })
    });
}

//! The checks in front of the benches: they pass on what is right, and find what is not.

use crate::common::shared_gpu;
use isacbench::bench::check;
use isacbench::kernels::REGISTRY;
use isacbench::learn::ppo_gpu::RolloutPath;
use isacbench::nets::lstm::LstmLayout;
use isacbench::nets::{Activation, Lif, Membrane, MlpLayout, Readout};
use isacbench::run::task::Task;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::{misac, v2x};

fn lif() -> Lif {
    Lif {
        steps: 6,
        lambda: 0.5,
        threshold: 1.0,
        reset: 0.0,
        eta: 3.0,
        detach_reset: true,
        readout: Readout::Last,
        learn_leak: false,
        membrane: Membrane::Reset,
    }
}

#[test]
fn the_cpu_backend_passes_its_checks() {
    let mlp = |act| MlpLayout::new(&[12, 64, 128, 6], act, 0);
    let lstm = LstmLayout::new(12, 64, 0);
    let head = MlpLayout::new(&[64, 4], Activation::None, lstm.end());
    for line in [
        v2x::bench::check_physics(),
        misac::bench::check_physics(),
        check::network_cpu(&mlp(Activation::Tanh)),
        check::network_cpu(&MlpLayout::new(&[12, 128, 128, 6], lif(), 0)),
        check::lstm_cpu(&lstm, &head, 0),
        check::lstm_cpu(&lstm, &head, 3),
        check::lstm_cpu(&lstm, &head, 1),
    ] {
        let line = line.unwrap_or_else(|e| panic!("{e}"));
        println!("{line}");
        assert!(line.contains("passed") && line.contains("twin"), "{line}");
    }
}

/// Row-major c = a·b.
fn multiply(n: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    for (row, c) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
        c.fill(0.0);
        for (&x, b) in row.iter().zip(b.chunks_exact(n)) {
            c.iter_mut().zip(b).for_each(|(c, &y)| *c += x * y);
        }
    }
}

#[test]
fn a_wrong_product_is_found() {
    check::product(50, multiply).expect("a product");
    let off = |n: usize, a: &[f32], b: &[f32], c: &mut [f32]| {
        multiply(n, a, b, c);
        c[n * n - 1] *= 1.001;
    };
    let error = check::product(50, off).expect_err("one element is off").to_string();
    assert!(error.contains("product") && error.contains("outside its tolerance"), "{error}");
    let unwritten = check::product(50, |_, _, _, _| {}).expect_err("nothing was written").to_string();
    assert!(unwritten.contains("outside"), "{unwritten}");
}

#[test]
fn learners_on_an_adapter_are_those_of_the_cpu() {
    let Some(gpu) = shared_gpu() else { return };
    let of = |id, path| v2x::bench::check_gpu(gpu, V2xConfig::agent(id).expect("an agent"), path);
    for line in [
        of("ppo", None),
        of("ppo", Some(RolloutPath::Fused)),
        of("ppo", Some(RolloutPath::PerSlot)),
        of("spiking-ac", None),
        misac::bench::check_gpu(gpu),
    ] {
        println!("{}", line.unwrap_or_else(|e| panic!("{e}")));
    }
}

#[test]
fn a_kernel_that_is_not_there_has_not_passed() {
    let Some(gpu) = shared_gpu() else { return };
    check::kernels(gpu, REGISTRY, &["gae", "adam"]).expect("both agree with their twins");
    let error =
        check::kernels(gpu, REGISTRY, &["gae", "no_such_kernel"]).expect_err("no such kernel").to_string();
    assert!(error.contains("no_such_kernel"), "{error}");
}

//! Sums over a workgroup by subgroups: on subgroups of other sizes than those that the device has by itself, and in a
//! whole training.

use crate::common::{assert_all, gpu_or_skip};
use crate::small_ppo::{TWO, assert_same_bits, config, spec, trained};
use isacbench::gpu::{Fill, Gpu, Prelude, Reduce, Source};
use isacbench::tasks;
use std::process::Command;
use std::sync::Arc;

/// The device with sums by subgroups.
fn subgroups_or_skip() -> Option<Gpu> {
    let gpu = gpu_or_skip()?;
    let with = gpu.with_reduce(Reduce::Subgroups);
    with.inspect_err(|e| eprintln!("SKIPPED: {e}")).ok()
}

/// Threads of a subgroup, counted.
fn subgroup_threads(gpu: &Gpu) -> u32 {
    const TEXT: &str = "
        @group(0) @binding(0) var<storage, read_write> threads: array<u32>;
        @compute @workgroup_size(256) fn subgroup_threads(@builtin(local_invocation_index) t: u32) {
            let together = subgroupAdd(1u);
            if (t == 0u) { threads[0] = together; }
        }";
    const SHADER: Source =
        Source { name: "subgroup_threads", file: "subgroups.rs", text: TEXT, imports: &[] };
    let threads = gpu.alloc::<u32>("threads", &[1], Fill::Poison).unwrap();
    let kernel = gpu.kernel(&SHADER, &Prelude::new()).unwrap();
    let bound = kernel.bind(gpu, &[threads.of_len(1)]);
    gpu.run(|pass| bound.record(pass, [1, 1, 1], &[])).unwrap();
    gpu.read(&threads).unwrap()[0]
}

const HEADING: &str = "threads of a subgroup: ";

#[test]
fn every_kernel_that_adds_matches_its_twin() {
    let Some(gpu) = subgroups_or_skip() else { return };
    println!("{HEADING}{}", subgroup_threads(&gpu));
    let mut adding = 0;
    for entry in tasks::kernels().filter(|e| e.adds() && e.lacks(&gpu).is_none()) {
        let rows = (entry.check)(&gpu);
        if let Ok(rows) = &rows {
            for form in Reduce::ALL {
                let of_form = rows.iter().filter(|r| r.quantity.starts_with(form.name())).count();
                assert!(of_form > 0, "{}: nothing was compared with {form:?}", entry.kernel);
            }
        }
        assert_all(entry.kernel, rows);
        adding += 1;
    }
    assert_eq!(adding, 6);
}

/// Software Vulkan makes subgroups of as many threads as its vectors have lanes. Its shader cache does not know that
/// width.
#[test]
fn subgroups_of_4_8_and_16_threads() {
    let Some(gpu) = subgroups_or_skip() else { return };
    if !gpu.rounds_as_twins() {
        eprintln!("SKIPPED: the width of {} is not for us to choose", gpu.info.name);
        return;
    }
    let threads = [128, 256, 512].map(|bits: u32| {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["subgroups::every_kernel_that_adds_matches_its_twin", "--exact", "--nocapture"])
            .env("LP_NATIVE_VECTOR_WIDTH", bits.to_string())
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{bits} bits: {text}{}", String::from_utf8_lossy(&child.stderr));
        let line = text.lines().find_map(|l| l.split_once(HEADING));
        line.unwrap_or_else(|| panic!("{bits} bits: {text}")).1.trim().parse::<u32>().unwrap()
    });
    assert_eq!(threads, [4, 8, 16]);
}

#[test]
fn the_same_training_gives_the_same_bits() {
    let Some(gpu) = subgroups_or_skip() else { return };
    let gpu = Arc::new(gpu);
    let sets = ["task.beam=tracking", "task.slots=5", "ppo.horizon=10", "ppo.envs=515", "ppo.minibatch=2575"];
    let small = spec(&config(&sets), &TWO);
    let (one, metrics) = trained(&small, 2, Some(&gpu));
    let (two, metrics_again) = trained(&small, 2, Some(&gpu));
    assert_same_bits("sums by subgroups, twice", &one, &two);
    assert_eq!(metrics, metrics_again);
    // Not the same because nothing was learned.
    assert_ne!(one.params, small.initial_params());
}

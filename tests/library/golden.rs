use crate::common::gpu_or_skip;
use isacbench::golden::{Backend, GoldenError, GoldenOutcome, GoldenResult};
use isacbench::gpu::Gpu;
use isacbench::{golden, tasks};
use std::path::{Path, PathBuf};

/// By the checks of the crate and of its tasks.
fn run(dir: &Path, gpu: Option<&Gpu>) -> Result<Vec<GoldenResult>, GoldenError> {
    golden::run(dir, &tasks::golden(), gpu)
}

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn every_vector_agrees() {
    let gpu = gpu_or_skip();
    let results = run(&golden_dir(), gpu).unwrap();
    for r in &results {
        match &r.outcome {
            GoldenOutcome::Skipped { reason } => println!("{}: skipped, {reason}", r.file),
            GoldenOutcome::Failed { reason } => panic!("{}: {reason}", r.file),
            GoldenOutcome::Compared(rows) => {
                for backend in [Backend::CpuF64, Backend::CpuF32, Backend::Gpu] {
                    let rows: Vec<_> = rows.iter().filter(|row| row.backend == backend).collect();
                    let worst = rows.iter().map(|row| row.comparison.budget_share).fold(0.0, f64::max);
                    println!("{}: {backend:?}, {} quantities, {worst:.3} of the budget", r.file, rows.len());
                }
            }
        }
        let failures: Vec<_> = r.failures().collect();
        assert!(failures.is_empty(), "{}: {failures:#?}", r.file);
    }
    for (file, _) in &tasks::golden() {
        let Some(GoldenOutcome::Compared(rows)) =
            results.iter().find(|r| r.file == *file).map(|r| &r.outcome)
        else {
            panic!("{file} was not compared");
        };
        assert!(rows.iter().all(|row| row.comparison.elements > 0), "{file}: a row compared nothing");
        // The noises of v2x_steps are not an input of the shader; opcounts counts what other files run.
        let on_gpu = gpu.is_some() && !["v2x_steps", "opcounts"].contains(file);
        let backends: &[Backend] = if on_gpu { &[Backend::CpuF64, Backend::Gpu] } else { &[Backend::CpuF64] };
        for &backend in backends {
            assert!(rows.iter().any(|row| row.backend == backend), "{file}: nothing ran on {backend:?}");
        }
    }
}

#[test]
fn files_that_nothing_tests_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let tensor = [0u8; 4];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &tensor).unwrap();
    for stem in ["lif_neuron_2", "a_name_from_the_future"] {
        let path = dir.path().join(format!("{stem}.safetensors"));
        safetensors::serialize_to_file([("x", view.clone())], None, &path).unwrap();
    }
    let results = run(dir.path(), None).unwrap();
    assert_eq!(results.len(), 2);
    for r in results {
        let GoldenOutcome::Skipped { reason } = r.outcome else {
            panic!("{} was compared with something", r.file)
        };
        assert!(!reason.is_empty());
    }
}

/// A copy of one golden file with one number of one tensor changed: word `at` becomes `to`.
fn changed(stem: &str, tensor: &str, at: usize, to: [u8; 4]) -> tempfile::TempDir {
    let file = format!("{stem}.safetensors");
    let mut bytes = std::fs::read(golden_dir().join(&file)).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let (begin, end) = metadata.info(tensor).unwrap().data_offsets;
    assert!(begin + 4 * at + 4 <= end);
    bytes[8 + header + begin + 4 * at..][..4].copy_from_slice(&to);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(file), bytes).unwrap();
    dir
}

#[test]
fn one_changed_number_fails_on_every_backend() {
    let gpu = gpu_or_skip();
    for (stem, tensor, at) in [
        ("philox", "run.out", 4097),
        ("philox", "digest.xor", 0),
        ("box_muller", "z1", 17),
        ("box_muller", "edge.x1", 3),
        ("gae", "trunc.adv", 9),
        ("gae", "truncated", 40),
        ("gae", "reward", 200),
        ("ppo_gaussian", "adv", 5),
        ("ppo_gaussian", "n1bv0.grad.mean", 100),
        ("ppo_gaussian", "n0v1.loss", 0),
        ("ppo_gaussian", "value_old", 7),
        ("v2x_steps", "theta", 7),
        ("v2x_steps", "matrix.f_re", 50),
        ("mlp_tanh", "fc2.weight", 700),
        ("mlp_tanh", "grad.fc1.bias", 5),
        ("mlp_relu", "x", 3),
        ("mlp_relu", "grad.x", 40),
        ("adam", "g1", 30),
        ("adam", "eps1e-5.p2", 1000),
        ("adam", "v3", 0),
        ("adam", "clip_big.norm", 0),
        ("ppo_update", "log_std", 2),
        ("ppo_update", "mb.adv", 70),
        ("ppo_update", "scalars", 12),
        ("ppo_update", "grad1.critic.fc2.weight", 9),
        ("ppo_update", "after3.actor.fc3.bias", 1),
        ("lif_neuron", "cur", 100),
        ("lif_neuron", "s", 7),
        ("lif_neuron", "up_v", 9),
        ("lif_neuron", "grad_detach0.cur", 50),
        ("lif_neuron", "grad_detach1.v0", 3),
        ("lif_neuron", "surrogate.dphi", 20),
        ("lif_neuron", "tie.s", 2),
        ("snn_actor", "fc2.weight", 900),
        ("snn_actor", "s1", 17),
        ("snn_actor", "u2", 1000),
        ("snn_actor", "grad_detach0.fc1.weight", 4),
        ("snn_actor", "grad_detach1.fc2.bias", 4),
        ("snn_critic", "x", 3),
        ("snn_critic", "out", 2),
        ("snn_natural", "s2", 60),
        ("snn_natural", "grad_detach1.x", 11),
        ("snn_population", "population.centre", 3),
        ("snn_population", "s1", 11),
        ("snn_population", "grad_detach0.population.sharpness", 4),
        ("snn_population", "grad_detach1.population.centre", 9),
        ("snn_leaks", "leak", 1),
        ("snn_leaks", "u2", 30),
        ("snn_leaks", "grad_detach1.leak", 0),
        ("snn_leaks", "grad_detach0.fc1.bias", 5),
        ("ppo_update_snn", "mb.adv", 7),
        ("ppo_update_snn", "detach1.scalars", 2),
        ("ppo_update_snn", "detach0.grad.critic.fc2.weight", 9),
        ("ppo_update_snn", "detach1.after1.actor.fc1.bias", 1),
        ("dqn", "target.fc2.weight", 20),
        ("dqn", "reward", 4),
        ("dqn", "td_target", 6),
        ("dqn", "huber.grad.fc3.weight", 8),
        ("dqn", "mse.loss", 0),
        ("ddpg", "critic.fc1.weight", 13),
        ("ddpg", "action_bias", 2),
        ("ddpg", "grad.actor.fc2.bias", 3),
        ("ddpg", "grad.critic.fc1.weight", 14),
        ("ddpg", "polyak.critic.fc3.bias", 0),
        ("polyak", "taus", 1),
        ("polyak", "tau0.k3", 500),
    ] {
        // Inputs and results alike: 3 is in none of these places.
        let three = if tensor == "truncated" { 3i32.to_le_bytes() } else { 3f32.to_le_bytes() };
        let results = run(changed(stem, tensor, at, three).path(), gpu).unwrap();
        assert_eq!(results.len(), 1);
        let mut failed: Vec<Backend> = results[0].failures().map(|row| row.backend).collect();
        failed.dedup();
        assert!(failed.contains(&Backend::CpuF64), "{stem}: {tensor}[{at}] = 3 went unnoticed on the CPU");
        assert!(
            gpu.is_none() || stem == "v2x_steps" || failed.contains(&Backend::Gpu),
            "{stem}: {tensor}[{at}] = 3 went unnoticed on the GPU"
        );
    }
}

#[test]
fn nan_in_a_result_fails() {
    let results = run(changed("gae", "term.ret", 3, f32::NAN.to_le_bytes()).path(), None).unwrap();
    assert_eq!(results[0].failures().count(), 2, "f64 and f32 must both fail: {:?}", results[0]);
}

#[test]
fn broken_folders_and_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(run(dir.path(), None), Err(GoldenError::Empty(_))));
    assert!(matches!(run(&dir.path().join("absent"), None), Err(GoldenError::Read { .. })));

    let whole = std::fs::read(golden_dir().join("gae.safetensors")).unwrap();
    // The files beside a broken one are compared, whether they come before it or after.
    for stem in ["adam", "polyak"] {
        let file = format!("{stem}.safetensors");
        std::fs::copy(golden_dir().join(&file), dir.path().join(file)).unwrap();
    }
    let reason = || {
        let results = run(dir.path(), None).unwrap();
        let files: Vec<_> = results.iter().map(|r| r.file.as_str()).collect();
        assert_eq!(files, ["adam", "gae", "polyak"]);
        for r in [&results[0], &results[2]] {
            assert!(matches!(&r.outcome, GoldenOutcome::Compared(rows) if rows.len() > 5), "{r:?}");
            assert_eq!(r.failures().count(), 0, "{r:?}");
        }
        let GoldenOutcome::Failed { reason } = &results[1].outcome else { panic!("{:?}", results[1]) };
        assert!(reason.contains("gae.safetensors"), "{reason}");
        reason.clone()
    };
    for broken in [&whole[..whole.len() - 4], &whole[..5], &[0xff; 64][..]] {
        std::fs::write(dir.path().join("gae.safetensors"), broken).unwrap();
        assert!(reason().contains("not a valid safetensors file"), "{}", reason());
    }
    std::fs::remove_file(dir.path().join("gae.safetensors")).unwrap();
    std::fs::create_dir(dir.path().join("gae.safetensors")).unwrap();
    assert!(reason().contains("cannot read"), "{}", reason());
    std::fs::remove_dir(dir.path().join("gae.safetensors")).unwrap();

    // Valid, but not what the name promises: a tensor is missing, then has another shape.
    let view = |shape: Vec<usize>| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &[0; 24]).unwrap()
    };
    let nothing = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![0, 3], &[]).unwrap();
    for (tensors, why) in [
        (vec![("value", view(vec![2, 3]))], "'reward' is missing"),
        (vec![("reward", view(vec![2, 3])), ("value", view(vec![3, 2]))], "'value' has shape [3, 2]"),
        (vec![("reward", nothing)], "no number"),
    ] {
        safetensors::serialize_to_file(tensors, None, &dir.path().join("gae.safetensors")).unwrap();
        assert!(reason().contains(why), "{}", reason());
    }
}

/// The f32 tensors of a file under other names, a number of one of them changed.
fn rewritten(
    file: &Path,
    to: &Path,
    rename: impl Fn(&str) -> String,
    change: impl Fn(&str, &mut Vec<f32>, &mut Vec<usize>),
) {
    let bytes = std::fs::read(file).unwrap();
    let all = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = Vec::new();
    for (name, t) in all.iter() {
        let (mut data, mut shape) = (t.data().to_vec(), t.shape().to_vec());
        if t.dtype() == safetensors::Dtype::F32 {
            let mut x: Vec<f32> = data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            change(name, &mut x, &mut shape);
            data = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        }
        tensors.push((rename(name), t.dtype(), shape, data));
    }
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize_to_file(views, None, to).unwrap();
}

#[test]
fn tolerances_are_those_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("polyak.safetensors");
    // Off by 3e-5 of the largest number, 3.5.
    let off = |name: &str, x: &mut Vec<f32>, _: &mut Vec<usize>| {
        if name == "tau1.k3" {
            x[7] += 1e-4;
        }
    };
    rewritten(&golden_dir().join("polyak.safetensors"), &file, str::to_string, off);
    let failed = || {
        let results = run(dir.path(), None).unwrap();
        let failures: Vec<_> = results[0].failures().collect();
        assert!(failures.iter().all(|row| row.comparison.quantity == "tau1.k3"), "{failures:?}");
        failures.iter().map(|row| (row.backend, row.comparison.tol_abs)).collect::<Vec<_>>()
    };
    let write = |name: &str, cell: &str| {
        let text = format!(
            "# Mine\n\n## polyak.safetensors\n\nHow.\n\n| tensor | shape | f32 dev |\n|---|---|---|\n| `tau1.k3` | 1000 | {cell} |\n"
        );
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    // Without a table 1e-5 of the largest number is allowed, on every backend alike.
    let without = failed();
    assert!(
        without.len() == 2 && without[0].1 == without[1].1 && (3e-5..4e-5).contains(&without[0].1),
        "{without:?}"
    );
    // A README's word counts, GOLDEN.md's before it; a table of another file or shape says nothing.
    write("README.md", "1e-6");
    assert_eq!(failed().last().unwrap(), &(Backend::CpuF32, 4e-6));
    write("GOLDEN.md", "1e-4");
    assert_eq!(
        failed().iter().map(|f| f.0).collect::<Vec<_>>(),
        [Backend::CpuF64],
        "f64 is not rounded so much"
    );
    write("GOLDEN.md", "");
    assert_eq!(failed().len(), 2, "an empty cell is a tensor that is exact");
    assert!(failed()[1].1 < 4e-6, "{:?}", failed());
    std::fs::remove_file(dir.path().join("README.md")).unwrap();
    write("GOLDEN.md", "what it is");
    assert_eq!(failed(), without, "words are no number");
    std::fs::write(
        dir.path().join("GOLDEN.md"),
        "## polyak.safetensors\n\n| tensor | meaning |\n|---|---|\n| `tau1.k3` | 1e3 |\n",
    )
    .unwrap();
    assert_eq!(failed(), without, "another column");
}

#[test]
fn a_tensor_that_no_table_knows_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let rename = |name: &str| name.replace("clip_big.", "clip_mine.");
    let adam = golden_dir().join("adam.safetensors");
    std::fs::copy(golden_dir().join("GOLDEN.md"), dir.path().join("GOLDEN.md")).unwrap();
    rewritten(&adam, &dir.path().join("adam.safetensors"), rename, |_, _, _| {});
    let results = run(dir.path(), None).unwrap();
    println!("{results:?}");
    let GoldenOutcome::Compared(rows) = &results[0].outcome else { panic!("{results:?}") };
    assert_eq!(results[0].failures().count(), 0, "{results:?}");
    assert!(rows.iter().any(|row| row.comparison.quantity == "clip_mine.norm"), "{rows:?}");
}

#[test]
fn counts_over_an_odd_batch_are_rounded_as_they_are_stored() {
    use isacbench::golden::opcounts::networks;
    let dir = tempfile::tempdir().unwrap();
    for stem in ["mlp_tanh", "mlp_relu", "snn_actor"] {
        let file = format!("{stem}.safetensors");
        rewritten(&golden_dir().join(&file), &dir.path().join(file), str::to_string, |name, x, shape| {
            if name == "x" {
                x.truncate(3 * shape[1]);
                shape[0] = 3;
            }
        });
    }
    // The file names one of the networks.
    let counted = networks(dir.path()).unwrap();
    let relu = counted.iter().find(|n| n.name == "mlp_relu").unwrap();
    let c = &relu.counts;
    let mean = c.per_inference(c.effective_macs());
    assert_ne!(mean, f64::from(mean as f32), "a third that f32 holds tests nothing");
    let write = |macs: f32| {
        let values = [
            ("effective_macs", macs),
            ("effective_acs", c.per_inference(c.effective_acs()) as f32),
            ("dense", c.per_inference(c.dense()) as f32),
            ("membrane_updates", c.per_inference(c.membrane_updates()) as f32),
            ("footprint_bytes", c.parameter_bytes() as f32),
            ("activation_sparsity", relu.sparsity as f32),
        ]
        .map(|(name, x)| (format!("mlp_relu.{name}"), x.to_le_bytes()));
        let views = values.iter().map(|(name, data)| {
            (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![], data).unwrap())
        });
        safetensors::serialize_to_file(views, None, &dir.path().join("opcounts.safetensors")).unwrap();
    };
    let failures = || {
        let results = run(dir.path(), None).unwrap();
        let counts = results.iter().find(|r| r.file == "opcounts").unwrap();
        assert!(matches!(&counts.outcome, GoldenOutcome::Compared(rows) if rows.len() == 6), "{counts:?}");
        counts.failures().count()
    };
    write(mean as f32);
    assert_eq!(failures(), 0);
    write((mean as f32).next_up());
    assert_eq!(failures(), 1);
}

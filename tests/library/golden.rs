use crate::common::gpu_or_skip;
use isacbench::golden::{Backend, FILES, GoldenError, Outcome, run};
use std::path::{Path, PathBuf};

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn every_vector_agrees() {
    let gpu = gpu_or_skip();
    let results = run(&golden_dir(), gpu).unwrap();
    for r in &results {
        match &r.outcome {
            Outcome::Skipped { reason } => println!("{}: skipped, {reason}", r.file),
            Outcome::Compared(rows) => {
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
    for (file, _) in FILES {
        let Some(Outcome::Compared(rows)) = results.iter().find(|r| r.file == *file).map(|r| &r.outcome)
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
        let Outcome::Skipped { reason } = r.outcome else { panic!("{} was compared with something", r.file) };
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
    for broken in [&whole[..whole.len() - 4], &whole[..5], &[0xff; 64][..]] {
        std::fs::write(dir.path().join("gae.safetensors"), broken).unwrap();
        let e = run(dir.path(), None).unwrap_err();
        assert!(matches!(e, GoldenError::Corrupt { .. }) && e.to_string().contains("gae.safetensors"), "{e}");
    }

    // Valid, but not what the name promises: a tensor is missing, then has another shape.
    let view = |shape: Vec<usize>| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &[0; 24]).unwrap()
    };
    for tensors in
        [vec![("value", view(vec![2, 3]))], vec![("reward", view(vec![2, 3])), ("value", view(vec![3, 2]))]]
    {
        safetensors::serialize_to_file(tensors, None, &dir.path().join("gae.safetensors")).unwrap();
        let e = run(dir.path(), None).unwrap_err();
        assert!(matches!(e, GoldenError::Tensor { .. }) && e.to_string().contains("gae.safetensors"), "{e}");
    }
}

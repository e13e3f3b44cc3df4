//! Evaluation of task v2x in f16: the network against the twins of its layers, what it changes, and who is refused.

use crate::common::gpu_or_skip;
use crate::small_ppo::{TWO, config, params, spec, spiking_spec};
use isacbench::gpu::{Fill, Gpu, GpuError};
use isacbench::kernels::dense_forward_f16::{Args, Spec, Stored, dense_forward_f16_cpu};
use isacbench::kernels::inputs::{normal, widen};
use isacbench::learn::network::{ForwardF16, Rows};
use isacbench::learn::{Algorithm, PpoSpec};
use isacbench::nets::{Activation, Hidden, MlpLayout};
use isacbench::run::evaluate::{Controller, Evaluation, Precision, ReplicaEstimates, evaluate};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::physics::metric;

fn f16_or_skip() -> Option<&'static Gpu> {
    let gpu = gpu_or_skip()?;
    if !gpu.features.contains(wgpu::Features::SHADER_F16) {
        eprintln!("SKIPPED: {} has no f16", gpu.info.name);
        return None;
    }
    Some(gpu)
}

/// Three layers in two replicas of 37 rows; the parameters start at 3.
#[test]
fn a_network_is_its_layers_one_behind_the_other() {
    let Some(gpu) = f16_or_skip() else { return };
    for sizes in [&[5, 24, 17, 6][..], &[5, 6]] {
        let net = MlpLayout::new(sizes, Hidden::Dense(Activation::Tanh), 3);
        let (r, m, p) = (2, 37, net.end() + 2);
        let (params, x) = (normal(1, 0, r * p, 0.4), normal(1, 1, r * m * net.inputs(), 1.0));
        let (mut want, last) = (widen(&x), net.layers.len() - 1);
        let params64 = widen(&params);
        for (n, l) in net.layers.iter().enumerate() {
            let y = if n < last { Stored::F16 } else { Stored::F32 };
            let spec = Spec { r, m, i: l.inputs, o: l.outputs, p, act: l.act, x: Stored::F32, y };
            let at = Args { m, w_off: l.w_off, b_off: l.b_off, x_off: 0, y_off: 0 };
            let mut out = vec![f64::NAN; r * m * l.outputs];
            dense_forward_f16_cpu(&spec, &at, &params64, &want, &mut out);
            want = out;
        }
        let buffer = |values: &[f32]| gpu.upload("test", &[values.len()], values).unwrap();
        let (params, x) = (buffer(&params), buffer(&x));
        let hidden: Vec<_> = net.layers[..last]
            .iter()
            .map(|l| gpu.alloc::<u16>("hidden", &[r, m, l.outputs], Fill::Poison).unwrap())
            .collect();
        let out = gpu.alloc::<f32>("out", &[r, m, net.outputs()], Fill::Poison).unwrap();
        let forward = ForwardF16::new(gpu, &net, Rows { r, m, p }, &params, &x, &hidden, &out).unwrap();
        gpu.run(|pass| forward.record(pass, m)).unwrap();
        // An activation next to the middle of two f16 may fall to either: a unit that differs by 2^-11 under a weight
        // of about 0.4.
        let got = gpu.read(&out).unwrap();
        let errors: Vec<f64> = got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).abs()).collect();
        assert!(errors.iter().all(|e| *e < 2e-3), "{errors:?}");
        let agree = errors.iter().filter(|e| **e < 2e-6).count();
        assert!(agree * 10 > want.len() * 9, "{agree} of {} agree", want.len());
    }
}

/// Of fresh weights of the replicas [`TWO`].
fn outcomes(
    config: &V2xConfig,
    spec: &PpoSpec,
    precision: Precision,
    gpu: Option<&Gpu>,
) -> Result<Vec<ReplicaEstimates>, GpuError> {
    let weights = spec.initial_params();
    let policy = Algorithm::Ppo(spec.clone()).policy().unwrap();
    let controller = Controller::Policy { policy, params: &weights, greedy: true, precision };
    let env = config.env_of(params(config, &TWO));
    evaluate(&Evaluation { env, controller, episodes: 48, slots: &[metric::SUM_RATE] }, gpu, &|_| {})
}

#[test]
fn f16_changes_an_evaluation_a_little() {
    let Some(gpu) = f16_or_skip() else { return };
    // Odd widths, so that units lie in either half of a word.
    let config = config(&["ppo.hidden=[17,15]", "task.slots=10", "ppo.horizon=10", "ppo.minibatch=40"]);
    let spec = spec(&config, &TWO);
    let [full, half] =
        [Precision::F32, Precision::F16].map(|p| outcomes(&config, &spec, p, Some(gpu)).unwrap());
    for (full, half) in full.iter().zip(&half) {
        let rate = |o: &ReplicaEstimates| o.metrics[metric::SUM_RATE].mean;
        assert!(full.slots != half.slots, "{} bps/Hz in either precision", rate(full));
        assert!((rate(full) / rate(half) - 1.0).abs() < 0.02, "{} and {} bps/Hz", rate(full), rate(half));
        let [full, half] = [full, half].map(|o| o.activity.as_ref().unwrap());
        assert_eq!(full.samples, half.samples);
        for (n, (full, half)) in full.layers.iter().zip(&half.layers).enumerate() {
            assert_eq!(full.active.len(), half.active.len());
            // Units of tanh are never 0, in f16 only those that are very small.
            let (full, half) = (full.active.iter().sum::<u64>(), half.active.iter().sum::<u64>());
            assert!(half.abs_diff(full) * 100 < full, "layer {n}: {half} and {full} active");
        }
    }
}

#[test]
fn f16_is_refused_where_it_cannot_be() {
    let tiny = config(&["task.slots=2", "ppo.horizon=2", "ppo.minibatch=8"]);
    let perceptron = spec(&tiny, &TWO);
    let error = outcomes(&tiny, &perceptron, Precision::F16, None).unwrap_err();
    assert!(matches!(error, GpuError::NoF16(_)) && error.to_string().contains("CPU"), "{error}");
    let Some(gpu) = gpu_or_skip() else { return };
    let mut without = gpu.clone();
    without.features.remove(wgpu::Features::SHADER_F16);
    let error = outcomes(&tiny, &perceptron, Precision::F16, Some(&without)).unwrap_err();
    assert!(matches!(error, GpuError::Unsupported { .. }) && error.to_string().contains("f16"), "{error}");
    assert!(outcomes(&tiny, &perceptron, Precision::F32, Some(&without)).is_ok());
    let spiking = spiking_spec(&tiny, &TWO);
    let error = outcomes(&tiny, &spiking, Precision::F16, Some(gpu)).unwrap_err();
    assert!(matches!(error, GpuError::NoF16(_)) && error.to_string().contains("spikes"), "{error}");
}

use crate::common::{assert_all, gpu_or_skip};
use crate::dense_forward::{AWKWARD, LAYERS};
use isacbench::gpu::Gpu;
use isacbench::kernels::dense_forward_f16::{
    Args, DenseForwardF16, Spec, Stored, check, dense_forward_f16_cpu, dense_forward_f16_gpu,
};
use isacbench::nets::Activation::{self, None};
use isacbench::num::real::half::{f16_bits, f16_value, round_f16};

/// An adapter that has f16.
fn f16_or_skip() -> Option<&'static Gpu> {
    let gpu = gpu_or_skip()?;
    if !gpu.features.contains(wgpu::Features::SHADER_F16) {
        eprintln!("SKIPPED: {} has no f16", gpu.info.name);
        return Option::None;
    }
    Some(gpu)
}

const FORMS: [(Stored, Stored); 4] = [
    (Stored::F32, Stored::F32),
    (Stored::F32, Stored::F16),
    (Stored::F16, Stored::F16),
    (Stored::F16, Stored::F32),
];

fn run(r: usize, m: usize, i: usize, o: usize, act: Activation) {
    let Some(gpu) = f16_or_skip() else { return };
    for (x, y) in FORMS {
        assert_all(
            &format!("[{r},{m},{i}] -> {o} {act:?}, {x:?} to {y:?}"),
            check(gpu, &Spec { r, m, i, o, p: o * i + o + 5, act, x, y }, 7),
        );
    }
}

#[test]
fn gpu_matches_cpu_at_the_layers_of_the_policies() {
    for (r, m, i, o, act) in LAYERS {
        run(r, m, i, o, act);
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    for (r, m, i, o, act) in AWKWARD {
        run(r, m, i, o, act);
    }
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    let Some(gpu) = f16_or_skip() else { return };
    let (x, y) = (Stored::F32, Stored::F32);
    assert_all(
        "65,535 replicas",
        check(gpu, &Spec { r: 65_535, m: 1, i: 3, o: 65, p: 265, act: None, x, y }, 7),
    );
}

/// One input, one output, weight 1: y is x as the device rounds it, on its way in and again on its way out.
fn rounded_by(gpu: &Gpu, x: &[f32], stored: Stored) -> Vec<f32> {
    let spec = Spec { r: 1, m: x.len(), i: 1, o: 1, p: 2, act: None, x: Stored::F32, y: stored };
    let at = Args { m: x.len(), w_off: 0, b_off: 1, x_off: 0, y_off: 0 };
    dense_forward_f16_gpu(gpu, &spec, &at, &[1.0, 0.0], x).unwrap()
}

/// Every f16, and what lies in the middle of two and next to it, is rounded by the device as by the twin. Numbers that
/// f16 holds without a full significand are left to lavapipe: others may flush them.
#[test]
fn the_device_rounds_as_the_twin() {
    let Some(gpu) = f16_or_skip() else { return };
    let mut x = Vec::new();
    for bits in (0..0x7bff).chain(0x8000..0xfbff) {
        let (low, high) = (f16_value(bits), f16_value(bits + 1));
        let middle = ((f64::from(low) + f64::from(high)) / 2.0) as f32;
        x.push(low);
        x.extend([-1, 0, 1].map(|d: i32| f32::from_bits(middle.to_bits().wrapping_add_signed(d))));
    }
    if !gpu.rounds_as_twins() {
        x.retain(|x| x.abs() >= f16_value(0x0400));
    }
    assert!(x.len() > 200_000);
    for stored in [Stored::F32, Stored::F16] {
        for (x, y) in x.iter().zip(rounded_by(gpu, &x, stored)) {
            // x + 0 loses the sign of −0.
            assert_eq!(y, round_f16(*x), "{x:e} stored as {stored:?}: {:#06x}", f16_bits(y));
        }
    }
}

/// By hand: 1/3 is 0.33325195 as f16, and 2049 and 0.0001 are 2048 and 0.00010001659.
#[test]
fn rounded_operands_by_hand() {
    let spec = Spec { r: 1, m: 1, i: 2, o: 1, p: 3, act: None, x: Stored::F32, y: Stored::F32 };
    let at = Args { m: 1, w_off: 0, b_off: 2, x_off: 0, y_off: 0 };
    let mut y = [0.0f64];
    // 1/3 of the bias is no f16 and stays as it is.
    dense_forward_f16_cpu(&spec, &at, &[1.0 / 3.0, 2.0, 1.0 / 3.0], &[2049.0, 1e-4], &mut y);
    let want = 0.333251953125 * 2048.0 + 2.0 * 1.000165939331054_7e-4 + 1.0 / 3.0;
    assert!((y[0] - want).abs() < 1e-12, "{} against {want}", y[0]);
    let stored = Spec { y: Stored::F16, ..spec };
    dense_forward_f16_cpu(&stored, &at, &[1.0 / 3.0, 2.0, 1.0 / 3.0], &[2049.0, 1e-4], &mut y);
    assert_eq!(y[0], 683.0);
}

#[test]
fn adapters_without_f16_are_refused() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut without = gpu.clone();
    without.features.remove(wgpu::Features::SHADER_F16);
    let spec = Spec { r: 1, m: 1, i: 1, o: 1, p: 2, act: None, x: Stored::F32, y: Stored::F32 };
    let error = DenseForwardF16::new(&without, &spec).err().expect("there is no f16").to_string();
    assert!(error.contains(&gpu.info.name) && error.contains("f16"), "{error}");
}

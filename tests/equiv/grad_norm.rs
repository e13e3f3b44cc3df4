use crate::common::{assert_all, gpu_or_skip};
use isacbench::gpu::Fill;
use isacbench::kernels::grad_norm::{GradNorm, Spec, WG, check};

fn run(r: usize, p: usize, split: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    for joint in [false, true] {
        assert_all(
            &format!("[{r},{p}] split {split} joint {joint}"),
            check(gpu, &Spec { r, p, split, joint }, 7),
        );
    }
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 0);
    run(1, 1, 1);
    run(3, WG - 1, 1);
    run(1, WG, WG);
    run(3, WG + 1, 100);
    run(3, 37_000, 18_953);
}

#[test]
fn gpu_matches_cpu_at_65535_groups() {
    run(65_535, 3, 2);
}

#[test]
fn a_gradient_that_is_not_finite_shows_in_its_own_norm_only() {
    let Some(gpu) = gpu_or_skip() else { return };
    let (r, p) = (4, 300);
    let mut grads = vec![1.0f32; r * p];
    grads[20] = f32::NAN; // replica 0, group 0
    grads[p + 299] = f32::NEG_INFINITY; // replica 1, group 1
    grads[2 * p] = 3e38; // replica 2, group 0: the square overflows
    let kernel = GradNorm::new(gpu, &Spec { r, p, split: 100, joint: false }).unwrap();
    let grads = gpu.upload("grads", &[r, p], &grads).unwrap();
    let norms = gpu.alloc::<f32>("norms", &[r, 2], Fill::Zero).unwrap();
    let bound = kernel.bind(gpu, &grads, &norms);
    gpu.run(|pass| bound.record(pass)).unwrap();
    let finite: Vec<bool> = gpu.read(&norms).unwrap().iter().map(|n| n.is_finite()).collect();
    assert_eq!(finite, [false, true, true, false, false, true, true, true]);
}

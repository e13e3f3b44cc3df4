use crate::common::{assert_all, gpu_or_skip};
use isacbench::kernels::minibatch_gather::{self, minibatch_gather_cpu};
use isacbench::kernels::slot_gather::{Args, Spec, WG, check, slot_gather_cpu};
use isacbench::num::shuffle::{Minibatch, Unit};

fn run(t: usize, r: usize, b: usize, o: usize, slots: usize, envs: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let spec = Spec { t, r, b, o, slots, envs };
    assert_all(&format!("{spec:?}"), check(gpu, &spec, 7));
}

#[test]
fn gpu_matches_cpu_at_awkward_sizes() {
    run(1, 1, 1, 1, 1, 1);
    run(7, 3, 11, 5, 3, 5);
    run(20, 2, WG + 1, 12, 20, WG + 1);
}

#[test]
fn gpu_matches_cpu_over_65535_groups() {
    run(1, 3, 65_536 * WG / 3 + 5, 1, 1, 65_536 * WG / 3 + 5);
}

/// Every third slot of what `minibatch_gather` takes.
#[test]
fn environments_are_those_of_the_minibatch() {
    let (t, r, b, o) = (6, 2, 10, 1);
    let obs: Vec<u32> = (0..7 * 2 * 10).collect();
    let keys = [[1, 0], [1, 1]];
    let which = Minibatch { update: 1, epoch: 2, mb: 1 };
    let all = minibatch_gather::Spec { t, r, b, o, a: 1, m: 30, unit: Unit::Environment, tail: 0 };
    let (mut mb_obs, mut mb_action) = (vec![0; 60], vec![0; 60]);
    minibatch_gather_cpu(&all, which, &keys, &obs, &obs[..120], &mut mb_obs, &mut mb_action);
    let mut kept = vec![0; 20];
    let spec = Spec { t, r, b, o, slots: 2, envs: 5 };
    slot_gather_cpu(&spec, &Args { which, first: 1, stride: 3, slots: 2 }, &keys, &obs, &mut kept);
    for r in 0..2 {
        let of = |slot: usize| mb_obs[30 * r + 5 * slot..][..5].to_vec();
        assert_eq!(kept[10 * r..10 * (r + 1)], [of(1), of(4)].concat());
    }
}

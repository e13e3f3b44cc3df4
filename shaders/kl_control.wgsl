// kl_control: the pace of every replica's actor for the coming step of Adam, from the KL divergence D of its minibatch.
// One thread = one replica.
//   f <- clamp(f e^clamp(GAIN ln(target / D), -MOST, MOST), LEAST, 1), not in the first minibatch of an update; a step
//   with D above the limit, or with a gradient that is not finite, does not count; c <- beta c + (1 - beta) = 1 -
//   beta^t where it does.
// CPU twin: kl_control_cpu in src/kernels/kl_control.rs. Compared by tolerance, counts exactly.
#import index
#import math

struct Imm { means_off: u32, first: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> means: array<f32>;          // [steps, R, C]
@group(0) @binding(1) var<storage, read> norms: array<f32>;          // [R, 2]
@group(0) @binding(2) var<storage, read> hyper: array<f32>;          // [R, 8], as for adam
@group(0) @binding(3) var<storage, read> limits: array<f32>;         // [R, 2]: target (0: no control) and limit
@group(0) @binding(4) var<storage, read_write> pace: array<f32>;     // [R, 8]: rate, live, two corrections, steps, skipped

// By its bits, because shaders may assume that there are no NaNs and fold comparisons away.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(WG) fn kl_control(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let r = linear_id(id, groups);
    if (r >= R) { return; }
    let target_kl = limits[2u * r];
    let divergence = means[imm.means_off + r * C + COLUMN];
    let known = is_finite(divergence);
    let controlled = target_kl > 0.0f && imm.first == 0u;
    let at = 8u * r;
    if (controlled) {
        var push = -MOST;
        if (known) {
            let ratio = max(target_kl / max(divergence, target_kl / FAR), 1.0f / FAR);
            push = min(max(GAIN * ln_(ratio), -MOST), MOST);
        }
        pace[at] = min(max(pace[at] * exp_(push), LEAST), 1.0f);
    }
    let far = controlled && !(known && divergence <= limits[2u * r + 1u]);
    let live = is_finite(norms[2u * r]) && is_finite(norms[2u * r + 1u]) && !far;
    pace[at + 1u] = select(0.0f, 1.0f, live);
    if (live) {
        pace[at + 2u] = hyper[at + 3u] * pace[at + 2u] + hyper[at + 6u];
        pace[at + 3u] = hyper[at + 4u] * pace[at + 3u] + hyper[at + 7u];
        pace[at + 4u] += 1.0f;
    }
    if (far) { pace[at + 5u] += 1.0f; }
}

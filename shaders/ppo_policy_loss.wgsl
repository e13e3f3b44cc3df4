// ppo_policy_loss: clipped surrogate and entropy of a diagonal Gaussian policy, their gradient with respect to mean and
// log_std, and what is reported of a minibatch (Schulman et al., arXiv 1707.06347, (7) and (9)). One thread = one
// sample.
//   loss = mean over M of max(-adv ratio, -adv clamp(ratio, 1-eps, 1+eps)) - ent_coef * entropy
// CPU twin: ppo_policy_loss_cpu in src/kernels/ppo_policy_loss.rs. Constants P (parameters of a replica), A, WG.
#import index
#import math

@group(0) @binding(0) var<storage, read> params: array<f32>;               // [R,P]: log_std at imm.ls_off
@group(0) @binding(1) var<storage, read> mean: array<f32>;                 // [R,M,A]
@group(0) @binding(2) var<storage, read> mb_action: array<f32>;            // [R,M,A]
@group(0) @binding(3) var<storage, read> mb_scalars: array<vec4<f32>>;     // [R,M]: old logprob, advantage, return, old value
@group(0) @binding(4) var<storage, read> stats: array<vec2<f32>>;          // [R]: what advantages are centred and scaled with
@group(0) @binding(5) var<storage, read> hyper: array<vec2<f32>>;          // [R]: eps, ent_coef
@group(0) @binding(6) var<storage, read_write> d_mean: array<f32>;         // [R,M,A]
@group(0) @binding(7) var<storage, read_write> terms: array<f32>;          // [R,M,A+4]

struct Imm {
    M: u32,
    ls_off: u32,
}
var<immediate> imm: Imm;

const HALF_LN_2PI: f32 = 0.9189385332f;

@compute @workgroup_size(WG) fn ppo_policy_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= arrayLength(&mb_scalars)) { return; }
    let r = i / imm.M;
    let eps = hyper[r].x;
    let ent_coef = hyper[r].y;
    let log_std = r * P + imm.ls_off;
    var logp = 0.0f;
    var entropy = 0.0f;
    for (var a = 0u; a < A; a++) {
        let ls = params[log_std + a];
        let z = (mb_action[i * A + a] - mean[i * A + a]) * exp_(-ls);
        logp += -0.5f * (z * z) - ls - HALF_LN_2PI;
        entropy += ls + (0.5f + HALF_LN_2PI);
    }
    let sample = mb_scalars[i];
    let log_ratio = logp - sample.x;
    let ratio = exp_(log_ratio);
    let adv = (sample.y - stats[r].x) * stats[r].y;
    let free = -adv * ratio;
    let clipped = -adv * min(max(ratio, 1.0f - eps), 1.0f + eps);
    let outside = abs(ratio - 1.0f) > eps;
    // d loss / d logp: the clamp has slope 1 inside and 0 outside, where only the free branch passes a gradient.
    let per_sample = 1.0f / f32(imm.M);
    let g = select(free, 0.0f, outside && clipped > free) * per_sample;
    for (var a = 0u; a < A; a++) {
        let inverse = exp_(-params[log_std + a]);
        let z = (mb_action[i * A + a] - mean[i * A + a]) * inverse;
        d_mean[i * A + a] = g * z * inverse;
        terms[i * (A + 4u) + a] = g * (z * z - 1.0f) - ent_coef * per_sample;
    }
    let row = i * (A + 4u) + A;
    terms[row] = max(free, clipped);
    terms[row + 1u] = (ratio - 1.0f) - log_ratio;
    terms[row + 2u] = select(0.0f, 1.0f, outside);
    terms[row + 3u] = entropy;
}

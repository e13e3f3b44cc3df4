// joint_policy_loss: clipped surrogate and entropy of K independent Bernoulli variables and A Gaussian ones in one
// ratio, their gradient with respect to logits, means and log_std, and what is reported of a minibatch (Schulman et
// al., arXiv 1707.06347, (7) and (9)). One thread = one sample; its row of outputs is K logits, then A means, and
// becomes the gradient by them.
//   loss = mean over M of max(-adv ratio, -adv clamp(ratio, 1-eps, 1+eps)) - ent_coef * entropy, or with `clip` = 0 of
//   -adv logp - ent_coef * entropy, the plain policy gradient
// CPU twin: joint_policy_loss_cpu in src/kernels/joint_policy_loss.rs. Constants P (parameters of a replica), K, A, WG.
#import index
#import math

@group(0) @binding(0) var<storage, read> params: array<f32>;               // [R,P]: log_std at imm.ls_off
@group(0) @binding(1) var<storage, read_write> outputs: array<f32>;        // [R,M,K+A]
@group(0) @binding(2) var<storage, read> mb_taken: array<f32>;             // [R,M,K]: 0 or 1
@group(0) @binding(3) var<storage, read> mb_drawn: array<f32>;             // [R,M,A]
@group(0) @binding(4) var<storage, read> mb_scalars: array<vec4<f32>>;     // [R,M]: old logprob, advantage, return, old value
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;          // [R]: what advantages are centred and scaled with
@group(0) @binding(6) var<storage, read> hyper: array<vec2<f32>>;          // [R]: eps, ent_coef
@group(0) @binding(7) var<storage, read_write> terms: array<f32>;          // [R,M,A+4]

struct Imm {
    M: u32,
    ls_off: u32,
    clip: u32,
}
var<immediate> imm: Imm;

const HALF_LN_2PI: f32 = 0.9189385332f;

fn log_sigmoid(x: f32) -> f32 {
    return min(x, 0.0f) - ln_(1.0f + exp_(-abs(x)));
}

@compute @workgroup_size(WG) fn joint_policy_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= arrayLength(&mb_scalars)) { return; }
    let r = i / imm.M;
    let eps = hyper[r].x;
    let ent_coef = hyper[r].y;
    let log_std = r * P + imm.ls_off;
    let logits = i * (K + A);
    let means = logits + K;
    var logp = 0.0f;
    var entropy = 0.0f;
    for (var k = 0u; k < K; k++) {
        let x = outputs[logits + k];
        let on = log_sigmoid(x);
        let off = log_sigmoid(-x);
        logp += select(off, on, mb_taken[i * K + k] > 0.5f);
        let p = sigmoid_(x);
        entropy -= p * on + (1.0f - p) * off;
    }
    for (var a = 0u; a < A; a++) {
        let ls = params[log_std + a];
        let z = (mb_drawn[i * A + a] - outputs[means + a]) * exp_(-ls);
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
    let per_sample = 1.0f / f32(imm.M);
    var loss = max(free, clipped);
    var g = select(free, 0.0f, outside && clipped > free) * per_sample;
    if (imm.clip == 0u) {
        loss = -adv * logp;
        g = -adv * per_sample;
    }
    for (var k = 0u; k < K; k++) {
        let x = outputs[logits + k];
        let p = sigmoid_(x);
        outputs[logits + k] = g * (mb_taken[i * K + k] - p) + (ent_coef * per_sample) * (x * (p * (1.0f - p)));
    }
    for (var a = 0u; a < A; a++) {
        let inverse = exp_(-params[log_std + a]);
        let z = (mb_drawn[i * A + a] - outputs[means + a]) * inverse;
        outputs[means + a] = g * z * inverse;
        terms[i * (A + 4u) + a] = g * (z * z - 1.0f) - ent_coef * per_sample;
    }
    let row = i * (A + 4u) + A;
    terms[row] = loss;
    terms[row + 1u] = (ratio - 1.0f) - log_ratio;
    terms[row + 2u] = select(0.0f, 1.0f, outside && imm.clip != 0u);
    terms[row + 3u] = entropy;
}

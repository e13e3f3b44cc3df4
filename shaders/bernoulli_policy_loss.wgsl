// bernoulli_policy_loss: clipped surrogate and entropy of independent Bernoulli variables, their gradient with respect
// to the logits, and what is reported of a minibatch (Schulman et al., arXiv 1707.06347, (7) and (9)). One thread = one
// row of logits; the first `skip` rows of a replica belong to no sample and get no gradient.
//   loss = mean over M of max(-adv ratio, -adv clamp(ratio, 1-eps, 1+eps)) - ent_coef * entropy, or with `clip` = 0 of
//   -adv logp - ent_coef * entropy, the plain policy gradient
// CPU twin: bernoulli_policy_loss_cpu in src/kernels/bernoulli_policy_loss.rs. Constants A, WG.
#import index
#import math

@group(0) @binding(0) var<storage, read> logits: array<f32>;               // [R,skip+M,A]
@group(0) @binding(1) var<storage, read> mb_action: array<f32>;            // [R,M,A]: 0 or 1
@group(0) @binding(2) var<storage, read> mb_scalars: array<vec4<f32>>;     // [R,M]: old logprob, advantage, return, old value
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;          // [R]: what advantages are centred and scaled with
@group(0) @binding(4) var<storage, read> hyper: array<vec2<f32>>;          // [R]: eps, ent_coef
@group(0) @binding(5) var<storage, read_write> d_logits: array<f32>;       // [R,skip+M,A]
@group(0) @binding(6) var<storage, read_write> terms: array<f32>;          // [R,M,4]

struct Imm {
    M: u32,
    skip: u32,
    clip: u32,
}
var<immediate> imm: Imm;

fn log_sigmoid(x: f32) -> f32 {
    return min(x, 0.0f) - ln_(1.0f + exp_(-abs(x)));
}

@compute @workgroup_size(WG) fn bernoulli_policy_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    let rows = imm.skip + imm.M;
    let r = i / rows;
    if (r >= arrayLength(&stats)) { return; }
    if (i % rows < imm.skip) {
        for (var a = 0u; a < A; a++) { d_logits[i * A + a] = 0.0f; }
        return;
    }
    let n = i - (r + 1u) * imm.skip;
    let eps = hyper[r].x;
    let ent_coef = hyper[r].y;
    var logp = 0.0f;
    var entropy = 0.0f;
    for (var a = 0u; a < A; a++) {
        let x = logits[i * A + a];
        let on = log_sigmoid(x);
        let off = log_sigmoid(-x);
        logp += select(off, on, mb_action[n * A + a] > 0.5f);
        let p = sigmoid_(x);
        entropy -= p * on + (1.0f - p) * off;
    }
    let sample = mb_scalars[n];
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
    for (var a = 0u; a < A; a++) {
        let x = logits[i * A + a];
        let p = sigmoid_(x);
        d_logits[i * A + a] = g * (mb_action[n * A + a] - p) + (ent_coef * per_sample) * (x * (p * (1.0f - p)));
    }
    terms[n * 4u] = loss;
    terms[n * 4u + 1u] = (ratio - 1.0f) - log_ratio;
    terms[n * 4u + 2u] = select(0.0f, 1.0f, outside && imm.clip != 0u);
    terms[n * 4u + 3u] = entropy;
}

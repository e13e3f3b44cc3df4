// bernoulli_head: one thread = one environment's decision from independent Bernoulli variables, and its
// log-probability. pi = 1 where u < sigmoid(logit) (greedy: where logit > 0), logprob = sum_a log sigmoid(logit) or log
// sigmoid(-logit). CPU twin: bernoulli_head_cpu in src/kernels/bernoulli_head.rs. Constants R, A, WG from the prelude.
#import index
#import math
#import philox

struct Imm { b: u32, clock: u32, greedy: u32, logits_off: u32, action_off: u32, logprob_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;        // [R]
@group(0) @binding(1) var<storage, read> logits: array<f32>;            // [R, B, A] from logits_off
@group(0) @binding(2) var<storage, read_write> action: array<f32>;      // [R, B, A] from action_off: 0 or 1
@group(0) @binding(3) var<storage, read_write> logprob: array<f32>;     // [R, B] from logprob_off

@compute @workgroup_size(WG) fn bernoulli_head(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.b) { return; }
    var sum = 0.0f;
    for (var block = 0u; block < (A + 3u) / 4u; block++) {
        var w = vec4<u32>();
        if (imm.greedy == 0u) {
            w = philox4x32_10(vec4<u32>(block, imm.clock, n % imm.b, STREAM_ACTION), keys[n / imm.b]);
        }
        for (var j = 0u; j < min(4u, A - 4u * block); j++) {
            let a = 4u * block + j;
            let x = logits[imm.logits_off + n * A + a];
            let taken = select(unit_from_word(w.x) < sigmoid_(x), x > 0.0f, imm.greedy != 0u);
            action[imm.action_off + n * A + a] = select(0.0f, 1.0f, taken);
            // log sigmoid of the side that was taken
            let side = select(-x, x, taken);
            sum += min(side, 0.0f) - ln_(1.0f + exp_(-abs(side)));
            w = w.yzwx;
        }
    }
    logprob[imm.logprob_off + n] = sum;
}

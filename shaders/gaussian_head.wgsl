// gaussian_head: one thread = one environment's action from a diagonal Gaussian, and its log-probability.
// action = mean + exp(log_std) z, logprob = sum_a -z^2/2 - log_std - ln(2 pi)/2, added to that of the actions whose
// BEHIND draws come before, where there are any.
// CPU twin: gaussian_head_cpu in src/kernels/gaussian_head.rs. Compared by tolerance; the random words agree exactly.
#import index
#import math
#import philox

struct Imm { b: u32, clock: u32, ls_off: u32, greedy: u32, action_off: u32, logprob_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;            // [R, P], log_std [A] at ls_off
@group(0) @binding(1) var<storage, read> keys: array<vec2<u32>>;        // [R]
@group(0) @binding(2) var<storage, read> mean: array<f32>;              // [R, B, A]
@group(0) @binding(3) var<storage, read_write> action: array<f32>;      // [R, B, A] from action_off
@group(0) @binding(4) var<storage, read_write> logprob: array<f32>;     // [R, B] from logprob_off

const HALF_LN_2PI: f32 = 0.918938533f;

@compute @workgroup_size(WG) fn gaussian_head(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.b) { return; }
    let r = n / imm.b;
    let env = n % imm.b;
    var sum = 0.0f;
    if (BEHIND > 0u) { sum = logprob[imm.logprob_off + n]; }
    for (var block = 0u; block < (A + 3u) / 4u; block++) {
        var z = vec4<f32>();
        if (imm.greedy == 0u) {
            let w = philox4x32_10(vec4<u32>(BEHIND + block, imm.clock, env, STREAM_ACTION), keys[r]);
            z = vec4<f32>(normal_pair(w.x, w.y), normal_pair(w.z, w.w));
        }
        for (var j = 0u; j < min(4u, A - 4u * block); j++) {
            let a = 4u * block + j;
            let log_std = params[r * P + imm.ls_off + a];
            action[imm.action_off + n * A + a] = mean[n * A + a] + exp_(log_std) * z.x;
            sum += -0.5f * (z.x * z.x) - log_std - HALF_LN_2PI;
            z = z.yzwx;
        }
    }
    logprob[imm.logprob_off + n] = sum;
}

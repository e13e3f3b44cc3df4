// dqn_act: one thread = one vehicle of one environment: its choice, greedy or (with probability threshold/2^24)
// uniform, and its part of the raw action. CPU twin: dqn_act_cpu in src/kernels/dqn_act.rs. Comparisons and copies:
// exact.
#import index
#import philox

struct Imm { clock: u32 }
var<immediate> imm: Imm;

const VALUES: u32 = PARTS * WIDTH;
const A: u32 = K * (VALUES + 1u);

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;        // [R]
@group(0) @binding(1) var<storage, read> thresholds: array<u32>;        // [R]: epsilon in units of 2^-24, 0 for greedy
@group(0) @binding(2) var<storage, read> q: array<f32>;                 // [R, B, K*OUTPUTS]
@group(0) @binding(3) var<storage, read> codebook: array<f32>;          // [BEAMS, VALUES], then [LEVELS]
@group(0) @binding(4) var<storage, read_write> choice: array<f32>;      // [R, B, K]
@group(0) @binding(5) var<storage, read_write> action: array<f32>;      // [R, B, A]

// Index of the largest of `count` values, the first of equals.
fn largest(first: u32, count: u32) -> u32 {
    var best = 0u;
    var top = q[first];
    for (var c = 1u; c < count; c++) {
        let x = q[first + c];
        if (top < x) {
            top = x;
            best = c;
        }
    }
    return best;
}

@compute @workgroup_size(WG) fn dqn_act(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B * K) { return; }
    let env = n / K;
    let k = n % K;
    // Where SPLIT > 0 the values of beams, then those of levels; else one of each choice.
    let first = n * OUTPUTS;
    var best = largest(first, select(OUTPUTS, SPLIT, SPLIT > 0u));
    if (SPLIT > 0u) { best = best * LEVELS + largest(first + SPLIT, OUTPUTS - SPLIT); }
    let threshold = thresholds[env / B];
    if (threshold > 0u) {
        let w = philox4x32_10(vec4<u32>(k, imm.clock, env % B, STREAM_EXPLORE), keys[env / B]);
        if ((w.x >> 8u) < threshold) { best = mulhi(w.y, L); }
    }
    choice[n] = f32(best);
    let beam = best / LEVELS;
    for (var i = 0u; i < VALUES; i++) {
        action[env * A + (i / WIDTH * K + k) * WIDTH + i % WIDTH] = codebook[beam * VALUES + i];
    }
    action[env * A + K * VALUES + k] = codebook[BEAMS * VALUES + best % LEVELS];
}

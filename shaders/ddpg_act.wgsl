// ddpg_act: one thread = one environment's action, clamp(scale tanh(z) + noise normal, -scale, scale).
// CPU twin: ddpg_act_cpu in src/kernels/ddpg_act.rs. Compared by tolerance; the random words agree exactly.
#import index
#import math
#import philox

struct Imm { clock: u32, scale: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;        // [R]
@group(0) @binding(1) var<storage, read> noise: array<f32>;             // [R]: standard deviations, 0 for none
@group(0) @binding(2) var<storage, read> z: array<f32>;                 // [R, B, A]: outputs of the network
@group(0) @binding(3) var<storage, read_write> action: array<f32>;      // [R, B, A]

@compute @workgroup_size(WG) fn ddpg_act(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let deviation = noise[n / B];
    for (var block = 0u; block < (A + 3u) / 4u; block++) {
        var normals = vec4<f32>();
        if (deviation > 0.0f) {
            let w = philox4x32_10(vec4<u32>(block, imm.clock, n % B, STREAM_EXPLORE), keys[n / B]);
            normals = vec4<f32>(normal_pair(w.x, w.y), normal_pair(w.z, w.w));
        }
        for (var j = 0u; j < min(4u, A - 4u * block); j++) {
            let i = n * A + 4u * block + j;
            action[i] = min(max(imm.scale * tanh_(z[i]) + deviation * normals.x, -imm.scale), imm.scale);
            normals = normals.yzwx;
        }
    }
}

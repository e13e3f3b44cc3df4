// normal_fill: one thread = one Philox4x32-10 block = four standard normals: words (0, 1) and (2, 3) by Box-Muller.
// CPU twin: normal_fill_cpu in src/kernels/normal_fill.rs. Constant WG.
#import index
#import math
#import philox

@group(0) @binding(0) var<storage, read> start_key: array<u32>;        // [6]: counter, key
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;  // [N]

@compute @workgroup_size(WG) fn normal_fill(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= arrayLength(&out)) { return; }
    let start = vec4<u32>(start_key[0], start_key[1], start_key[2], start_key[3]);
    let w = philox4x32_10(counter_add(start, i), vec2<u32>(start_key[4], start_key[5]));
    out[i] = vec4<f32>(normal_pair(w.x, w.y), normal_pair(w.z, w.w));
}

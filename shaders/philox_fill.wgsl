// philox_fill: one thread = one Philox4x32-10 block (Salmon et al., SC'11). out[i] = block at counter `start + i` (128
// bit). CPU twin: philox_fill_cpu in src/kernels/philox_fill.rs. Integers: must agree exactly.
#import index
#import philox

@group(0) @binding(0) var<storage, read> start_key: array<u32>;        // [6]: counter, key
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;  // [N]

@compute @workgroup_size(WG) fn philox_fill(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= arrayLength(&out)) { return; }
    let start = vec4<u32>(start_key[0], start_key[1], start_key[2], start_key[3]);
    out[i] = philox4x32_10(counter_add(start, i), vec2<u32>(start_key[4], start_key[5]));
}

// expert_mix: outputs of two experts mixed by a softmax gate, y = g_0 a + g_1 b, g = softmax(z). One thread = one
// output of one row. CPU twin: expert_mix_cpu in src/kernels/expert_mix.rs. Constants R, C, WG from the prelude.
#import index
#import math

struct Imm { m: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> gate: array<vec2<f32>>;    // [R, m]: z
@group(0) @binding(1) var<storage, read> a: array<f32>;             // [R, m, C]
@group(0) @binding(2) var<storage, read> b: array<f32>;             // [R, m, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // [R, m, C]

@compute @workgroup_size(WG) fn expert_mix(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.m * C) { return; }
    let z = gate[n / C];
    let top = max(z.x, z.y);
    let e = vec2<f32>(exp_(z.x - top), exp_(z.y - top));
    let g = e / (e.x + e.y);
    y[n] = g.x * a[n] + g.y * b[n];
}

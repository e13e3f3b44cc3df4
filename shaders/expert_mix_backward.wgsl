// expert_mix_backward: gradients of y = g_0 a + g_1 b, g = softmax(z), by both experts' outputs and by z. One thread =
// one row:
// da = g_0 dy, db = g_1 dy; with s_e = sum_c dy_c out_e,c: dz_e = g_e (s_e - g_0 s_0 - g_1 s_1).
// CPU twin: expert_mix_backward_cpu in src/kernels/expert_mix_backward.rs. Constants R, C, WG from the prelude.
#import index
#import math

struct Imm { m: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> gate: array<vec2<f32>>;            // [R, m]: z
@group(0) @binding(1) var<storage, read> a: array<f32>;                     // [R, m, C]
@group(0) @binding(2) var<storage, read> b: array<f32>;                     // [R, m, C]
@group(0) @binding(3) var<storage, read> dy: array<f32>;                    // [R, m, C]
@group(0) @binding(4) var<storage, read_write> da: array<f32>;              // [R, m, C]
@group(0) @binding(5) var<storage, read_write> db: array<f32>;              // [R, m, C]
@group(0) @binding(6) var<storage, read_write> d_gate: array<vec2<f32>>;    // [R, m]

@compute @workgroup_size(WG) fn expert_mix_backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.m) { return; }
    let z = gate[n];
    let top = max(z.x, z.y);
    let e = vec2<f32>(exp_(z.x - top), exp_(z.y - top));
    let g = e / (e.x + e.y);
    var s = vec2<f32>(0.0f, 0.0f);
    for (var c = 0u; c < C; c++) {
        let i = n * C + c;
        let d = dy[i];
        da[i] = g.x * d;
        db[i] = g.y * d;
        s += vec2<f32>(d * a[i], d * b[i]);
    }
    let mean = g.x * s.x + g.y * s.y;
    d_gate[n] = vec2<f32>(g.x * (s.x - mean), g.y * (s.y - mean));
}

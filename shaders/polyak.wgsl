// polyak: target = tau online + (1 - tau) target. One thread = one parameter.
// CPU twin: polyak_cpu in src/kernels/polyak.rs. Compared by tolerance.
#import index

struct Imm { tau: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;          // [R, P]
@group(0) @binding(1) var<storage, read_write> target_params: array<f32>;    // [R, P]

@compute @workgroup_size(WG) fn polyak(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * P) { return; }
    target_params[i] = imm.tau * params[i] + (1.0f - imm.tau) * target_params[i];
}

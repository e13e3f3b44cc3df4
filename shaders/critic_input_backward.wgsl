// critic_input_backward: dz = dx scale (1 - (mu/scale)^2) for the action part mu = scale tanh(z) of the critic's input.
// One thread = one dz. CPU twin: critic_input_backward_cpu in src/kernels/critic_input_backward.rs. Compared by
// tolerance.
#import index

struct Imm { scale: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> x: array<f32>;             // [R, M, O+A]
@group(0) @binding(1) var<storage, read> dx: array<f32>;            // [R, M, O+A]
@group(0) @binding(2) var<storage, read_write> dz: array<f32>;      // [R, M, A]

@compute @workgroup_size(WG) fn critic_input_backward(
    @builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * M * A) { return; }
    let at = i / A * (O + A) + O + i % A;
    let t = x[at] / imm.scale;
    dz[i] = dx[at] * imm.scale * (1.0f - t * t);
}

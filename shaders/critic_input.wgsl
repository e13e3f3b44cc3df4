// critic_input: observation and action side by side; the action as it is, or scale tanh(z). One thread = one number, so
// that writes are contiguous. CPU twin: critic_input_cpu in src/kernels/critic_input.rs. Compared by tolerance.
#import index
#import math

struct Imm { policy: u32, scale: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> obs: array<f32>;           // [R, M, O]
@group(0) @binding(1) var<storage, read> action: array<f32>;        // [R, M, A]
@group(0) @binding(2) var<storage, read_write> x: array<f32>;       // [R, M, O+A]

@compute @workgroup_size(WG) fn critic_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * M * (O + A)) { return; }
    let row = i / (O + A);
    let j = i % (O + A);
    if (j < O) {
        x[i] = obs[row * O + j];
    } else {
        let z = action[row * A + j - O];
        if (imm.policy != 0u) { x[i] = imm.scale * tanh_(z); } else { x[i] = z; }
    }
}

// population_forward: currents of the neurons that encode a network's inputs, i[r,m,n] = GAIN exp(-z^2/2) with
// z = sharpness[r][n] (x[r,m,n / FIELDS] - centre[r][n]). One thread = one neuron of one row.
// CPU twin: population_forward_cpu in src/kernels/population_forward.rs. Compared by tolerance.
#import index
#import math

struct Imm { m: u32, w_off: u32, b_off: u32, x_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;           // [R, P]: sharpnesses from w_off, centres from b_off
@group(0) @binding(1) var<storage, read> x: array<f32>;                // [R, M, O] from x_off
@group(0) @binding(2) var<storage, read_write> current: array<f32>;    // [R, M, N], N = O FIELDS

@compute @workgroup_size(WG) fn population_forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = linear_id(id, groups);
    if (e >= R * imm.m * N) { return; }
    let row = e / N;
    let n = e % N;
    let base = row / imm.m * P;
    let z = params[base + imm.w_off + n] * (x[imm.x_off + row * O + n / FIELDS] - params[base + imm.b_off + n]);
    current[e] = GAIN * exp_(-0.5f * (z * z));
}

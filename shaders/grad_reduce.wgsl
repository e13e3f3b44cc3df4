// grad_reduce: grads[r,p] = sum_s partials[s,r,p], s upwards on every device. One thread = one parameter of one
// replica. CPU twin: grad_reduce_cpu in src/kernels/grad_reduce.rs. Compared by tolerance.
#import index

@group(0) @binding(0) var<storage, read> partials: array<f32>;       // [S, R, P]
@group(0) @binding(1) var<storage, read_write> grads: array<f32>;    // [R, P]

@compute @workgroup_size(WG) fn grad_reduce(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= N) { return; }
    var sum = 0.0f;
    for (var s = 0u; s < S; s++) { sum += partials[s * N + i]; }
    grads[i] = sum;
}

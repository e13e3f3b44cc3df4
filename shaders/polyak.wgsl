// polyak: target = tau online + (1 - tau) target. One thread = one parameter.
// CPU twin: polyak_cpu in src/kernels/polyak.rs. Compared by tolerance.
#import index

@group(0) @binding(0) var<storage, read> tau: array<f32>;                    // [R]
@group(0) @binding(1) var<storage, read> params: array<f32>;                 // [R, P]
@group(0) @binding(2) var<storage, read_write> target_params: array<f32>;    // [R, P]

@compute @workgroup_size(WG) fn polyak(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * P) { return; }
    let share = tau[i / P];
    target_params[i] = share * params[i] + (1.0f - share) * target_params[i];
}

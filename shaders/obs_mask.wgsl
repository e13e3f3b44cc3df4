// obs_mask: the columns from FIRST on of each row of observations become 0, in place. One thread = one number.
// CPU twin: obs_mask_cpu in src/kernels/obs_mask.rs. Constants ROWS, O, FIRST, WG from the prelude.
#import index

struct Imm { obs_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read_write> obs: array<f32>;    // [ROWS, O] from obs_off

@compute @workgroup_size(WG) fn obs_mask(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    let hidden = O - FIRST;
    if (n >= ROWS * hidden) { return; }
    obs[imm.obs_off + n / hidden * O + FIRST + n % hidden] = 0.0f;
}

// v2x_reset: one thread = the first state of an episode of one environment, and its observation.
// CPU twin: v2x_reset_cpu in src/tasks/v2x/kernels/v2x_reset.rs.
#import index
#import v2x_write

struct Imm { clock: u32, obs_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;   // [R]
@group(0) @binding(1) var<storage, read_write> state: array<f32>;    // [R, 10K, B]
@group(0) @binding(2) var<storage, read_write> obs: array<f32>;      // [R, B, 4K] from obs_off

@compute @workgroup_size(WG) fn v2x_reset(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    var s: State;
    reset_state(r, env, imm.clock, &s);
    store_state(r, env, &s);
    for (var i = 0u; i < K; i++) {
        let o = observe(r, &s, i);
        let at = imm.obs_off + n * 4u * K + i;
        obs[at] = o.x;
        obs[at + K] = o.y;
        obs[at + 2u * K] = o.z;
        obs[at + 3u * K] = o.w;
    }
}

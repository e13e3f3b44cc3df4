// misac_reset: one thread = the first state of an episode of one environment, and its observation.
// CPU twin: misac_reset_cpu in src/tasks/misac/kernels/misac_reset.rs.
#import index
#import misac_write

struct Imm { clock: u32, state_off: u32, obs_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<MisacParams>; // [R]
@group(0) @binding(1) var<storage, read_write> state: array<f32>;    // [R, 7K, B] from state_off
@group(0) @binding(2) var<storage, read_write> obs: array<f32>;      // [R, B, 3K] from obs_off

@compute @workgroup_size(WG) fn misac_reset(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    let p = params[r];
    var noise = vec2<f32>(0.0f, 0.0f);
    for (var i = 0u; i < K; i++) {
        let s = reset_vehicle(p, env, imm.clock, i);
        store_vehicle(imm.state_off, r, env, i, s);
        if (i % 2u == 0u) {
            noise = range_noise(p.key, env, imm.clock, i);
        }
        let o = observe(p, s, env, imm.clock, i, noise[i % 2u]);
        let at = imm.obs_off + n * 3u * K + i;
        obs[at] = o.x;
        obs[at + K] = o.y;
        obs[at + 2u * K] = o.z;
    }
}

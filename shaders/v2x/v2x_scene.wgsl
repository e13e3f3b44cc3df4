// v2x_scene: one thread = what the coming slot of one environment is judged by beside its action: theta, d behind the
// motion, and those of the last echo. CPU twin: v2x_scene_cpu in src/tasks/v2x/kernels/v2x_scene.rs.
#import index
#import v2x_state

struct Imm { clock: u32, scene_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;   // [R]
@group(0) @binding(1) var<storage, read> state: array<f32>;          // [R, 10K, B]
@group(0) @binding(2) var<storage, read_write> scene: array<f32>;    // [R, B, 4K] from scene_off

@compute @workgroup_size(WG) fn v2x_scene(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    let p = params[r];
    var s: State;
    load_state(r, env, &s);
    var moved = normals(p.key, STREAM_MOTION, env, imm.clock);
    motion(p, &moved, &s);
    let at = imm.scene_off + n * 4u * K;
    for (var i = 0u; i < K; i++) {
        scene[at + i] = s.theta[i];
        scene[at + K + i] = s.d[i];
        scene[at + 2u * K + i] = s.obs_theta[i];
        scene[at + 3u * K + i] = s.obs_d[i];
    }
}

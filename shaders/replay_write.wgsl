// replay_write: the transitions of one slot into the rings of all replicas. One thread = one number of one row, so that
// writes are contiguous. Row: obs [O], stored action [D], next obs [O] (the final one where an episode ended), scaled
// reward, 1 - terminated. CPU twin: replay_write_cpu in src/kernels/replay_write.rs. Copies and one product: exact.
#import index

struct Imm { slot: u32, obs_off: u32, next_off: u32 }
var<immediate> imm: Imm;

const W: u32 = 2u * O + D + 2u;

@group(0) @binding(0) var<storage, read> reward_scale: array<f32>;      // [R]
@group(0) @binding(1) var<storage, read> obs: array<f32>;               // [R, B, O] from obs_off and from next_off
@group(0) @binding(2) var<storage, read> final_obs: array<f32>;         // [R, B, O]
@group(0) @binding(3) var<storage, read> action: array<f32>;            // [R, B, D]
@group(0) @binding(4) var<storage, read> reward: array<f32>;            // [R, B]
@group(0) @binding(5) var<storage, read> flags: array<u32>;             // [R, B]
@group(0) @binding(6) var<storage, read_write> replay: array<f32>;      // [R, C, B, W]

@compute @workgroup_size(WG) fn replay_write(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * B * W) { return; }
    let n = i / W;
    let j = i % W;
    var x = 0.0f;
    if (j < O) {
        x = obs[imm.obs_off + n * O + j];
    } else if (j < O + D) {
        x = action[n * D + j - O];
    } else if (j < 2u * O + D) {
        let k = n * O + j - O - D;
        if (flags[n] != 0u) { x = final_obs[k]; } else { x = obs[imm.next_off + k]; }
    } else if (j == 2u * O + D) {
        x = reward_scale[n / B] * reward[n];
    } else {
        x = select(1.0f, 0.0f, (flags[n] & TERMINATED) != 0u);
    }
    replay[((n / B * C + imm.slot) * B + n % B) * W + j] = x;
}

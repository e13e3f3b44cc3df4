// slot_gather: observations of every `stride`-th slot of the environments of a minibatch, slot by slot in the order of
// minibatch_gather. One thread = one number. Copies: exact. CPU twin: slot_gather_cpu in src/kernels/slot_gather.rs.
// Constants R, B, O, ENVS, WG from the prelude.
#import index
#import shuffle

struct Imm { update: u32, epoch: u32, mb: u32, first: u32, stride: u32, slots: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;    // [R]
@group(0) @binding(1) var<storage, read> obs: array<f32>;           // [T+1, R, B, O]
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;    // [R, slots, ENVS, O]

@compute @workgroup_size(WG) fn slot_gather(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.slots * ENVS * O) { return; }
    let row = n / O;
    let slot = imm.first + row / ENVS % imm.slots * imm.stride;
    let r = row / ENVS / imm.slots;
    let env = shuffle_index(imm.mb * ENVS + row % ENVS, B, shuffle_keys(keys[r], imm.update, imm.epoch));
    kept[n] = obs[((slot * R + r) * B + env) * O + n % O];
}

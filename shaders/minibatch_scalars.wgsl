// minibatch_scalars: what the losses need of each sample of minibatch `mb`, in the order of minibatch_gather. One
// thread = one sample. CPU twin: minibatch_scalars_cpu in src/kernels/minibatch_scalars.rs. Copies: exact. Constants T,
// R, B, M, WHOLE, WG.
#import index
#import minibatch

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;               // [R]
@group(0) @binding(1) var<storage, read> logprob: array<f32>;                  // [T,R,B]
@group(0) @binding(2) var<storage, read> advantage: array<f32>;                // [T,R,B]
@group(0) @binding(3) var<storage, read> returns: array<f32>;                  // [T,R,B]
@group(0) @binding(4) var<storage, read> value: array<f32>;                    // [T+1,R,B]
@group(0) @binding(5) var<storage, read_write> mb_scalars: array<vec4<f32>>;   // [R,M]: old logprob, advantage, return, old value

struct Imm {
    update: u32,
    epoch: u32,
    mb: u32,
}
var<immediate> imm: Imm;

@compute @workgroup_size(WG) fn minibatch_scalars(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * M) { return; }
    let r = i / M;
    let at = minibatch_row(r, i % M, imm.mb, shuffle_keys(keys[r], imm.update, imm.epoch));
    mb_scalars[i] = vec4<f32>(logprob[at], advantage[at], returns[at], value[at]);
}

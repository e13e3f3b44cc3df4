// minibatch_gather: observations and actions of minibatch `mb` of an epoch, in the order of the keyed shuffle of a
// replica's samples or environments (shaders/shared/minibatch.wgsl). One workgroup = WG samples of one replica: each
// thread places one sample, then all copy rows together, so that writes are contiguous.
// CPU twin: minibatch_gather_cpu in src/kernels/minibatch_gather.rs. Copies: exact. Constants T, R, B, O, A, M, TAIL,
// WHOLE, WG.
#import minibatch

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;           // [R]
@group(0) @binding(1) var<storage, read> obs: array<f32>;                  // [T+1,R,B,O]
@group(0) @binding(2) var<storage, read> action: array<f32>;               // [T,R,B,A]
@group(0) @binding(3) var<storage, read_write> mb_obs: array<f32>;         // [R,M+TAIL,O], the last TAIL rows untouched
@group(0) @binding(4) var<storage, read_write> mb_action: array<f32>;      // [R,M,A]

struct Imm {
    update: u32,
    epoch: u32,
    mb: u32,
}
var<immediate> imm: Imm;

// Row (t*R + r)*B + b of each sample of the workgroup.
var<workgroup> source: array<u32, WG>;

@compute @workgroup_size(WG) fn minibatch_gather(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let per_replica = (M + WG - 1u) / WG;
    let g = group.y * groups.x + group.x;
    let r = g / per_replica;
    if (r >= R) { return; }
    let m0 = (g % per_replica) * WG;
    let count = min(WG, M - m0);
    if (lane < count) {
        source[lane] = minibatch_row(r, m0 + lane, imm.mb, shuffle_keys(keys[r], imm.update, imm.epoch));
    }
    workgroupBarrier();
    let row = r * M + m0;
    for (var k = lane; k < count * O; k += WG) {
        mb_obs[(row + r * TAIL) * O + k] = obs[source[k / O] * O + k % O];
    }
    for (var k = lane; k < count * A; k += WG) {
        mb_action[row * A + k] = action[source[k / A] * A + k % A];
    }
}

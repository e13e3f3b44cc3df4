// replay_gather: one minibatch out of the ring of every replica, uniform on its filled rows, with replacement. One
// workgroup = WG samples of one replica: each thread draws one sample, then all copy rows together, so that writes are
// contiguous. CPU twin: replay_gather_cpu in src/kernels/replay_gather.rs. Integers and copies: exact.
#import philox

struct Imm { clock: u32, step: u32, filled: u32 }
var<immediate> imm: Imm;

const W: u32 = 2u * O + D + 2u;

@group(0) @binding(0) var<storage, read> keys: array<vec2<u32>>;              // [R]
@group(0) @binding(1) var<storage, read> replay: array<f32>;                  // [R, CAPACITY, W]
@group(0) @binding(2) var<storage, read_write> mb_obs: array<f32>;            // [R, M, O]
@group(0) @binding(3) var<storage, read_write> mb_action: array<f32>;         // [R, M, D]
@group(0) @binding(4) var<storage, read_write> mb_next: array<f32>;           // [R, M, O]
@group(0) @binding(5) var<storage, read_write> mb_scalars: array<vec2<f32>>;  // [R, M]: reward, 1 - terminated

// First number of the row of each sample of the workgroup.
var<workgroup> source: array<u32, WG>;

@compute @workgroup_size(WG) fn replay_gather(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let per_replica = (M + WG - 1u) / WG;
    let g = group.y * groups.x + group.x;
    let r = g / per_replica;
    if (r >= R) { return; }
    let m0 = (g % per_replica) * WG;
    let count = min(WG, M - m0);
    if (lane < count) {
        let m = m0 + lane;
        let words = philox4x32_10(vec4<u32>(imm.step, imm.clock, m / 4u, STREAM_REPLAY), keys[r]);
        let at = (r * CAPACITY + mulhi(words[m % 4u], imm.filled)) * W;
        source[lane] = at;
        mb_scalars[r * M + m] = vec2<f32>(replay[at + W - 2u], replay[at + W - 1u]);
    }
    workgroupBarrier();
    let row = r * M + m0;
    for (var k = lane; k < count * O; k += WG) {
        let at = source[k / O] + k % O;
        mb_obs[row * O + k] = replay[at];
        mb_next[row * O + k] = replay[at + O + D];
    }
    for (var k = lane; k < count * D; k += WG) {
        mb_action[row * D + k] = replay[source[k / D] + O + k % D];
    }
}

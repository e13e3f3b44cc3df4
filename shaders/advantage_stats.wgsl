// advantage_stats: mean and 1/(std + 1e-8) of the advantages of a minibatch. One workgroup = one replica: strided
// partial sums per thread, then `reduce`, so the result does not depend on the device's scheduling. Two passes, because
// the one-pass variance cancels in f32.
// CPU twin: advantage_stats_cpu in src/kernels/advantage_stats.rs, which adds as a tree. Constants R, M, UNBIASED,
// NORMALISE, WG.
#import reduce

@group(0) @binding(0) var<storage, read> mb_scalars: array<vec4<f32>>;   // [R,M]: .y is the advantage
@group(0) @binding(1) var<storage, read_write> stats: array<vec2<f32>>;  // [R]: mean, 1/(std + 1e-8)

alias Sum = f32;
const CB: u32 = 1u;

@compute @workgroup_size(WG) fn advantage_stats(thread: Thread, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let r = group.y * groups.x + group.x;
    if (r >= R) { return; }
    if (NORMALISE == 0u) {
        if (thread.index == 0u) { stats[r] = vec2<f32>(0.0f, 1.0f); }
        return;
    }
    var sum = 0.0f;
    for (var m = thread.index; m < M; m += WG) { sum += mb_scalars[r * M + m].y; }
    let mean = reduce(sum, thread) / f32(M);

    var squares = 0.0f;
    for (var m = thread.index; m < M; m += WG) {
        let d = mb_scalars[r * M + m].y - mean;
        squares += d * d;
    }
    // A single sample has no spread: 0, not 0/0.
    let variance = reduce(squares, thread) / f32(max(M - UNBIASED, 1u));
    if (thread.index == 0u) { stats[r] = vec2<f32>(mean, 1.0f / (sqrt(variance) + 1e-8f)); }
}

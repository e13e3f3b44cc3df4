// advantage_stats: mean and 1/(std + 1e-8) of the advantages of a minibatch. One workgroup = one replica: strided partial sums per
// thread, then a tree of fixed order, so the result does not depend on the device's scheduling. Two passes, because the one-pass
// variance cancels in f32.
// CPU twin: advantage_stats_cpu in src/kernels/advantage_stats.rs, same order. Constants R, M, UNBIASED, NORMALISE, WG.

@group(0) @binding(0) var<storage, read> mb_scalars: array<vec4<f32>>;   // [R,M]: .y is the advantage
@group(0) @binding(1) var<storage, read_write> stats: array<vec2<f32>>;  // [R]: mean, 1/(std + 1e-8)

var<workgroup> part: array<f32, WG>;

// Sum of part[0..WG], WG a power of two; every thread gets it. part may be overwritten afterwards.
fn tree_sum(lane: u32) -> f32 {
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) { part[lane] += part[lane + half]; }
    }
    workgroupBarrier();
    let sum = part[0];
    workgroupBarrier();
    return sum;
}

@compute @workgroup_size(WG) fn advantage_stats(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let r = group.y * groups.x + group.x;
    if (r >= R) { return; }
    if (NORMALISE == 0u) {
        if (lane == 0u) { stats[r] = vec2<f32>(0.0f, 1.0f); }
        return;
    }
    var sum = 0.0f;
    for (var m = lane; m < M; m += WG) { sum += mb_scalars[r * M + m].y; }
    part[lane] = sum;
    let mean = tree_sum(lane) / f32(M);

    var squares = 0.0f;
    for (var m = lane; m < M; m += WG) {
        let d = mb_scalars[r * M + m].y - mean;
        squares += d * d;
    }
    part[lane] = squares;
    // A single sample has no spread: 0, not 0/0.
    let variance = tree_sum(lane) / f32(max(M - UNBIASED, 1u));
    if (lane == 0u) { stats[r] = vec2<f32>(mean, 1.0f / (sqrt(variance) + 1e-8f)); }
}

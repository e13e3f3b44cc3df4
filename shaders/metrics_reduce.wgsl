// metrics_reduce: one workgroup = sum and sum of squares over the environments of one metric of one replica.
// Thread t adds x[t], x[t+WG], ... in turn, then a binary tree adds the WG partial sums: a fixed order, so the same bits every time.
// CPU twin: metrics_reduce_cpu in src/kernels/metrics_reduce.rs.

struct Imm { scale_bits: u32, sums_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> metrics: array<f32>;         // [R, METRIC_ROWS, B] = [ROWS, B]
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;      // [R, METRIC_ROWS, 2] from sums_off

var<workgroup> partial_sum: array<f32, WG>;
var<workgroup> partial_square: array<f32, WG>;

@compute @workgroup_size(WG) fn metrics_reduce(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = group.y * groups.x + group.x;
    let t = local.x;
    let scale = bitcast<f32>(imm.scale_bits);
    var sum = 0.0f;
    var square = 0.0f;
    if (row < ROWS) {
        for (var b = t; b < B; b += WG) {
            let x = metrics[row * B + b] * scale;
            sum += x;
            square += x * x;
        }
    }
    partial_sum[t] = sum;
    partial_square[t] = square;
    for (var width = WG / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if (t < width) {
            partial_sum[t] += partial_sum[t + width];
            partial_square[t] += partial_square[t + width];
        }
    }
    if (t == 0u && row < ROWS) {
        sums[imm.sums_off + 2u * row] = partial_sum[0];
        sums[imm.sums_off + 2u * row + 1u] = partial_square[0];
    }
}

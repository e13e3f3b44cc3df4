// metrics_reduce: one workgroup = sum and sum of squares over the environments of one metric of one replica.
// Thread t adds x[t], x[t+WG], ... in turn, then `reduce` the WG partial sums: the same bits every time.
// CPU twin: metrics_reduce_cpu in src/kernels/metrics_reduce.rs, which adds as a tree.
#import reduce

struct Imm { scale_bits: u32, sums_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> metrics: array<f32>;         // [R, METRIC_ROWS, B] = [ROWS, B]
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;      // [R, METRIC_ROWS, 2] from sums_off

// Of x and of x^2.
alias Sum = vec2<f32>;
const CB: u32 = 1u;

@compute @workgroup_size(WG) fn metrics_reduce(thread: Thread, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = group.y * groups.x + group.x;
    let scale = bitcast<f32>(imm.scale_bits);
    var sum = Sum();
    if (row < ROWS) {
        for (var b = thread.index; b < B; b += WG) {
            let x = metrics[row * B + b] * scale;
            sum += Sum(x, x * x);
        }
    }
    sum = reduce(sum, thread);
    if (thread.index == 0u && row < ROWS) {
        sums[imm.sums_off + 2u * row] = sum.x;
        sums[imm.sums_off + 2u * row + 1u] = sum.y;
    }
}

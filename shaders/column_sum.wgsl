// column_sum: out[r*out_stride + out_off + c] = scale * sum_m source[r,m,c]. One workgroup = CB columns of one replica.
// CPU twin: column_sum_cpu in src/kernels/column_sum.rs. Compared by tolerance.
#import reduce

struct Imm { m: u32, out_stride: u32, out_off: u32, scale: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> source: array<f32>;       // [R, M, C]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;    // element r*out_stride + out_off + c

// Threads that share a column; a thread's column is its index modulo CB.
const LANES: u32 = WG / CB;
alias Sum = f32;

@compute @workgroup_size(WG) fn column_sum(thread: Thread, @builtin(workgroup_id) group: vec3<u32>) {
    let t = thread.index;
    let r = group.y;
    let c = group.x * CB + t % CB;
    // Columns past the end repeat the last one and are not stored.
    let base = r * imm.m * C + min(c, C - 1u);
    var m = t / CB;
    // Four sums at a time, so that four loads are under way.
    var s = vec4<f32>();
    for (; m + 3u * LANES < imm.m; m += 4u * LANES) {
        let e = base + m * C;
        s += vec4<f32>(source[e], source[e + LANES * C], source[e + 2u * LANES * C], source[e + 3u * LANES * C]);
    }
    for (; m < imm.m; m += LANES) { s.x += source[base + m * C]; }
    let sum = reduce((s.x + s.y) + (s.z + s.w), thread);
    if (t < CB && c < C) { out[r * imm.out_stride + imm.out_off + c] = imm.scale * sum; }
}

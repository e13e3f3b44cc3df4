// dense_backward_weights: partial sums of the gradient of a dense layer's weight and bias over a slice of the rows:
// partials[s,r,w_off + o*I + i] = sum_{m in slice s} dy[r,m,o] x[r,m,i], partials[s,r,b_off + o] = B_SCALE sum_{m in
// slice s} dy[r,m,o]. One workgroup = BM outputs x BN inputs of one slice of one replica. Slices are summed by
// grad_reduce: no float atomics. CPU twin: dense_backward_weights_cpu in src/kernels/dense_backward_weights.rs.
// Compared by tolerance.
#import tile

struct Imm { m: u32, slice: u32, w_off: u32, b_off: u32, dy_off: u32, x_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> dy: array<f32>;               // [R, M, O] from dy_off
@group(0) @binding(1) var<storage, read> x: array<f32>;                // [R, M, I] from x_off
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;    // [S, R, P]

@compute @workgroup_size(THREADS)
fn dense_backward_weights(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let s = group.z / R;
    let r = group.z % R;
    let o0 = group.x * BM;
    let i0 = group.y * BN;
    let ty = t / BQ;
    let tx = t % BQ;
    let dy_base = imm.dy_off + r * imm.m * O;
    let x_base = imm.x_off + r * imm.m * I;
    let begin = s * imm.slice;
    let end = min(begin + imm.slice, imm.m);
    // Outputs and inputs past the end repeat the last one: they are loaded and never stored. Only the sum must be
    // padded with zeros.
    var c = Tile();
    var bias = vec4<f32>();
    for (var k0 = begin; k0 < end; k0 += BK) {
        // Quad q = outputs (inputs) q, q+AQ, q+2AQ, q+3AQ: consecutive threads read consecutive outputs (inputs) of a
        // row.
        for (var e = t; e < BK * AQ; e += THREADS) {
            let k = e / AQ;
            let q = e % AQ;
            var v = vec4<f32>();
            if (k0 + k < end) {
                let row = dy_base + (k0 + k) * O;
                let o = o0 + q;
                v = vec4<f32>(
                    dy[row + min(o, O - 1u)], dy[row + min(o + AQ, O - 1u)],
                    dy[row + min(o + 2u * AQ, O - 1u)], dy[row + min(o + 3u * AQ, O - 1u)]);
            }
            a_tile[k * A_STRIDE + q] = v;
        }
        for (var e = t; e < BK * BQ; e += THREADS) {
            let k = e / BQ;
            let q = e % BQ;
            var v = vec4<f32>();
            if (k0 + k < end) {
                let row = x_base + (k0 + k) * I;
                let i = i0 + q;
                v = vec4<f32>(
                    x[row + min(i, I - 1u)], x[row + min(i + BQ, I - 1u)],
                    x[row + min(i + 2u * BQ, I - 1u)], x[row + min(i + 3u * BQ, I - 1u)]);
            }
            b_tile[k * B_STRIDE + q] = v;
        }
        workgroupBarrier();
        multiply_staged(&c, ty, tx);
        // The bias needs no product: one warp of the first column of workgroups adds up what is staged anyway.
        if (group.y == 0u && t < AQ) {
            for (var k = 0u; k < BK; k++) { bias += a_tile[k * A_STRIDE + t]; }
        }
        workgroupBarrier();
    }

    let base = (s * R + r) * P;
    if (group.y == 0u && t < AQ) {
        let o = o0 + t;
        let b = base + imm.b_off + o;
        bias *= B_SCALE;
        if (o < O) { partials[b] = bias.x; }
        if (o + AQ < O) { partials[b + AQ] = bias.y; }
        if (o + 2u * AQ < O) { partials[b + 2u * AQ] = bias.z; }
        if (o + 3u * AQ < O) { partials[b + 3u * AQ] = bias.w; }
    }
    let i = i0 + tx;
    for (var row = 0u; row < 8u; row++) {
        // Row j of a quad q is output q + j AQ.
        let o = o0 + ty + (row & 3u) * AQ + select(0u, AQ / 2u, row > 3u);
        if (o < O) {
            let v = tile_row(&c, row);
            let w = base + imm.w_off + o * I + i;
            if (i < I) { partials[w] = v.x; }
            if (i + BQ < I) { partials[w + BQ] = v.y; }
            if (i + 2u * BQ < I) { partials[w + 2u * BQ] = v.z; }
            if (i + 3u * BQ < I) { partials[w + 3u * BQ] = v.w; }
        }
    }
}

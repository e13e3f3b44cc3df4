enable f16;
// dense_forward_f16: y[r,m,o] = act(sum_i x[r,m,i] W[r][o,i] + b[r][o]) with x and W rounded to f16, staged as f16, products and sums in f32; the
// bias stays f32. X and Y, what x and y are stored as, are f32 or f16. One workgroup = BM rows x BN outputs of one replica.
// CPU twin: dense_forward_f16_cpu in src/kernels/dense_forward_f16.rs. Compared by tolerance.
#import activation
#import tile

struct Imm { m: u32, w_off: u32, b_off: u32, x_off: u32, y_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;      // [R, P]
@group(0) @binding(1) var<storage, read> x: array<X>;             // [R, M, I] from x_off
@group(0) @binding(2) var<storage, read_write> y: array<Y>;       // [R, M, O] from y_off

@compute @workgroup_size(THREADS) fn dense_forward_f16(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let r = group.z;
    let m0 = group.x * BM;
    let o0 = group.y * BN;
    let ty = t / BQ;
    let tx = t % BQ;
    let x_base = imm.x_off + r * imm.m * I;
    let w_base = r * P + imm.w_off;
    // Rows and outputs past the end repeat the last one: they are loaded and never stored. Only the sum must be padded with zeros.
    let m_last = imm.m - 1u;
    var c = Tile();
    for (var k0 = 0u; k0 < I; k0 += BK) {
        // Quads as in dense_forward.
        for (var e = t; e < BK * AQ; e += THREADS) {
            let k = e % BK;
            let q = e / BK;
            var v = Quad();
            if (k0 + k < I) {
                let column = x_base + k0 + k;
                let m = m0 + 4u * q;
                v = Quad(
                    f16(x[column + min(m, m_last) * I]), f16(x[column + min(m + 1u, m_last) * I]),
                    f16(x[column + min(m + 2u, m_last) * I]), f16(x[column + min(m + 3u, m_last) * I]));
            }
            a_tile[k * A_STRIDE + q] = v;
        }
        for (var e = t; e < BK * BQ; e += THREADS) {
            let k = e % BK;
            let q = e / BK;
            var v = Quad();
            if (k0 + k < I) {
                let column = w_base + k0 + k;
                let o = o0 + q;
                v = Quad(
                    f16(params[column + min(o, O - 1u) * I]), f16(params[column + min(o + BQ, O - 1u) * I]),
                    f16(params[column + min(o + 2u * BQ, O - 1u) * I]), f16(params[column + min(o + 3u * BQ, O - 1u) * I]));
            }
            b_tile[k * B_STRIDE + q] = v;
        }
        workgroupBarrier();
        multiply_staged(&c, ty, tx);
        workgroupBarrier();
    }

    let o = o0 + tx;
    let bias_base = r * P + imm.b_off;
    let bias = vec4<f32>(
        params[bias_base + min(o, O - 1u)], params[bias_base + min(o + BQ, O - 1u)],
        params[bias_base + min(o + 2u * BQ, O - 1u)], params[bias_base + min(o + 3u * BQ, O - 1u)]);
    for (var i = 0u; i < 8u; i++) {
        let m = m0 + 4u * ty + (i & 3u) + select(0u, BM / 2u, i > 3u);
        if (m < imm.m) {
            let z = tile_row(&c, i) + bias;
            let row = imm.y_off + (r * imm.m + m) * O;
            if (o < O) { y[row + o] = Y(activate(z.x)); }
            if (o + BQ < O) { y[row + o + BQ] = Y(activate(z.y)); }
            if (o + 2u * BQ < O) { y[row + o + 2u * BQ] = Y(activate(z.z)); }
            if (o + 3u * BQ < O) { y[row + o + 3u * BQ] = Y(activate(z.w)); }
        }
    }
}

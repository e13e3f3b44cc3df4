// The dense layer: y[r,m,o] = act(sum_i x[r,m,i] W[r][o,i] + B_SCALE b[r][o]). One workgroup = BM rows x BN outputs of
// one replica. The kernel declares imm, params, x and y; the prelude what they are: x holds X, y holds Y, and x and W
// are staged and multiplied as Operand (f32 or f16; src/kernels/tile.rs). Sums, bias and activation are f32.
#import activation
#import tile

fn dense_layer(group: vec3<u32>, t: u32) {
    let r = group.z;
    let m0 = group.x * BM;
    let o0 = group.y * BN;
    let ty = t / BQ;
    let tx = t % BQ;
    let x_base = imm.x_off + r * imm.m * I;
    let w_base = r * P + imm.w_off;
    // Rows and outputs past the end repeat the last one: they are loaded and never stored. Only the sum must be padded
    // with zeros.
    let m_last = imm.m - 1u;
    var c = Tile();
    for (var k0 = 0u; k0 < I; k0 += BK) {
        // Quad q of A = rows 4q .. 4q+3; quad q of B = outputs q, q+BQ, q+2BQ, q+3BQ, so that neighbouring threads
        // store neighbouring outputs. Consecutive threads read consecutive k.
        for (var e = t; e < BK * AQ; e += THREADS) {
            let k = e % BK;
            let q = e / BK;
            var v = Quad();
            if (k0 + k < I) {
                let column = x_base + k0 + k;
                let m = m0 + 4u * q;
                v = Quad(
                    Operand(x[column + min(m, m_last) * I]), Operand(x[column + min(m + 1u, m_last) * I]),
                    Operand(x[column + min(m + 2u, m_last) * I]), Operand(x[column + min(m + 3u, m_last) * I]));
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
                    Operand(params[column + min(o, O - 1u) * I]), Operand(params[column + min(o + BQ, O - 1u) * I]),
                    Operand(params[column + min(o + 2u * BQ, O - 1u) * I]), Operand(params[column + min(o + 3u * BQ, O - 1u) * I]));
            }
            b_tile[k * B_STRIDE + q] = v;
        }
        workgroupBarrier();
        multiply_staged(&c, ty, tx);
        workgroupBarrier();
    }

    let o = o0 + tx;
    let bias_base = r * P + imm.b_off;
    let bias = B_SCALE * vec4<f32>(
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

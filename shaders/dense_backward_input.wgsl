// dense_backward_input: dx[r,m,i] = (sum_o dy[r,m,o] W[r][o,i]) act'(h[r,m,i]), h = the stored output of the activation
// that made this layer's input (tanh: 1 - h^2; relu: h > 0). One workgroup = BM rows x BN inputs of one replica.
// CPU twin: dense_backward_input_cpu in src/kernels/dense_backward_input.rs. Compared by tolerance.
#import tile

struct Imm { m: u32, w_off: u32, dy_off: u32, h_off: u32, dx_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;      // [R, P]
@group(0) @binding(1) var<storage, read> dy: array<f32>;          // [R, M, O] from dy_off
@group(0) @binding(2) var<storage, read> h: array<f32>;           // [R, M, I] from h_off; not read where ACT = 0
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;    // [R, M, I] from dx_off

fn store_dx(e: u32, v: f32) {
    var slope = 1.0f;
    if (ACT == 1u) {
        let a = h[imm.h_off + e];
        slope = 1.0f - a * a;
    }
    if (ACT == 2u) { slope = select(0.0f, 1.0f, h[imm.h_off + e] > 0.0f); }
    dx[imm.dx_off + e] = v * slope;
}

@compute @workgroup_size(THREADS)
fn dense_backward_input(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let r = group.z;
    let m0 = group.x * BM;
    let i0 = group.y * BN;
    let ty = t / BQ;
    let tx = t % BQ;
    let dy_base = imm.dy_off + r * imm.m * O;
    let w_base = r * P + imm.w_off;
    // Rows and inputs past the end repeat the last one: they are loaded and never stored. Only the sum must be padded
    // with zeros.
    let m_last = imm.m - 1u;
    var c = Tile();
    for (var k0 = 0u; k0 < O; k0 += BK) {
        // Quad q of A = rows 4q .. 4q+3, consecutive threads read consecutive k; quad q of B = inputs q, q+BQ, q+2BQ,
        // q+3BQ, consecutive threads read consecutive inputs.
        for (var e = t; e < BK * AQ; e += THREADS) {
            let k = e % BK;
            let q = e / BK;
            var v = vec4<f32>();
            if (k0 + k < O) {
                let column = dy_base + k0 + k;
                let m = m0 + 4u * q;
                v = vec4<f32>(
                    dy[column + min(m, m_last) * O], dy[column + min(m + 1u, m_last) * O],
                    dy[column + min(m + 2u, m_last) * O], dy[column + min(m + 3u, m_last) * O]);
            }
            a_tile[k * A_STRIDE + q] = v;
        }
        for (var e = t; e < BK * BQ; e += THREADS) {
            let k = e / BQ;
            let q = e % BQ;
            var v = vec4<f32>();
            if (k0 + k < O) {
                let row = w_base + (k0 + k) * I;
                let i = i0 + q;
                v = vec4<f32>(
                    params[row + min(i, I - 1u)], params[row + min(i + BQ, I - 1u)],
                    params[row + min(i + 2u * BQ, I - 1u)], params[row + min(i + 3u * BQ, I - 1u)]);
            }
            b_tile[k * B_STRIDE + q] = v;
        }
        workgroupBarrier();
        multiply_staged(&c, ty, tx);
        workgroupBarrier();
    }

    let i = i0 + tx;
    for (var row = 0u; row < 8u; row++) {
        let m = m0 + 4u * ty + (row & 3u) + select(0u, BM / 2u, row > 3u);
        if (m < imm.m) {
            let v = tile_row(&c, row);
            let e = (r * imm.m + m) * I + i;
            if (i < I) { store_dx(e, v.x); }
            if (i + BQ < I) { store_dx(e + BQ, v.y); }
            if (i + 2u * BQ < I) { store_dx(e + 2u * BQ, v.z); }
            if (i + 3u * BQ < I) { store_dx(e + 3u * BQ, v.w); }
        }
    }
}

// spike_backward_weights: partial sums of the gradient of the weight and bias between spikes and currents over a slice
// of the samples:
// partials[slice,r,w_off + o*I + i] = sum_{m in slice} sum_t di[r,m,t,o] s_t[r,m,i], partials[slice,r,b_off + o] =
// sum_{m in slice} sum_t di[r,m,t,o]. The product of dense_backward_weights over the rows (m, t), whose inputs are bits
// of the spike words. Slices are summed by grad_reduce. CPU twin: spike_backward_weights_cpu in
// src/kernels/spike_backward_weights.rs. Compared by tolerance.
#import tile

struct Imm { m: u32, slice: u32, w_off: u32, b_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> di: array<f32>;                // [R, M, S, O]
@group(0) @binding(1) var<storage, read> spikes: array<u32>;            // [R, M, I]: words
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;    // [slices, R, P]

fn spike(e: u32, t: u32) -> f32 { return select(0.0f, 1.0f, (spikes[e] & (1u << t)) != 0u); }

@compute @workgroup_size(THREADS)
fn spike_backward_weights(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let slice = group.z / R;
    let r = group.z % R;
    let o0 = group.x * BM;
    let i0 = group.y * BN;
    let ty = thread / BQ;
    let tx = thread % BQ;
    let di_base = r * imm.m * S * O;
    let spike_base = r * imm.m * I;
    // Row k = m S + t.
    let begin = slice * imm.slice * S;
    let end = min((slice + 1u) * imm.slice, imm.m) * S;
    // Outputs and inputs past the end repeat the last one: they are loaded and never stored. Only the sum must be
    // padded with zeros.
    var c = Tile();
    var bias = vec4<f32>();
    for (var k0 = begin; k0 < end; k0 += BK) {
        // Quad q = outputs (inputs) q, q+AQ, q+2AQ, q+3AQ: consecutive threads read consecutive outputs (inputs) of a
        // row.
        for (var e = thread; e < BK * AQ; e += THREADS) {
            let k = e / AQ;
            let q = e % AQ;
            var v = vec4<f32>();
            if (k0 + k < end) {
                let row = di_base + (k0 + k) * O;
                let o = o0 + q;
                v = vec4<f32>(
                    di[row + min(o, O - 1u)], di[row + min(o + AQ, O - 1u)],
                    di[row + min(o + 2u * AQ, O - 1u)], di[row + min(o + 3u * AQ, O - 1u)]);
            }
            a_tile[k * A_STRIDE + q] = v;
        }
        for (var e = thread; e < BK * BQ; e += THREADS) {
            let k = e / BQ;
            let q = e % BQ;
            var v = vec4<f32>();
            if (k0 + k < end) {
                let row = spike_base + (k0 + k) / S * I;
                let t = (k0 + k) % S;
                let i = i0 + q;
                v = vec4<f32>(
                    spike(row + min(i, I - 1u), t), spike(row + min(i + BQ, I - 1u), t),
                    spike(row + min(i + 2u * BQ, I - 1u), t), spike(row + min(i + 3u * BQ, I - 1u), t));
            }
            b_tile[k * B_STRIDE + q] = v;
        }
        workgroupBarrier();
        multiply_staged(&c, ty, tx);
        // The bias needs no product: one warp of the first column of workgroups adds up what is staged anyway.
        if (group.y == 0u && thread < AQ) {
            for (var k = 0u; k < BK; k++) { bias += a_tile[k * A_STRIDE + thread]; }
        }
        workgroupBarrier();
    }

    let base = (slice * R + r) * P;
    if (group.y == 0u && thread < AQ) {
        let o = o0 + thread;
        let b = base + imm.b_off + o;
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

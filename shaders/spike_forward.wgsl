// spike_forward: a layer of neurons driven by the spikes of the layer below, U[r,m,t,o] from the currents sum_i
// W[r][o,i] s_t[r,m,i] + b[r][o]. One workgroup = BM samples x BN neurons of one replica; a thread holds the currents
// of four neurons at all S steps, so that a weight and a spike word are loaded once for S steps, then runs the neurons
// in registers. CARRIED: as in lif_forward. CPU twin: spike_forward_cpu in src/kernels/spike_forward.rs. Spikes must
// agree except within a margin of the threshold.
#import lif

struct Imm { m: u32, w_off: u32, b_off: u32, leak_off: u32, v_off: u32, v_end: u32, v_width: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;             // [R, P]: also w of the leak, if LEARNED
@group(0) @binding(1) var<storage, read> spikes: array<u32>;             // [R, M, I]: words of the layer below
@group(0) @binding(2) var<storage, read_write> words: array<u32>;        // [R, M, O]
@group(0) @binding(3) var<storage, read_write> potentials: array<f32>;   // [R, M, S, O]; not written unless KEEP
@group(0) @binding(4) var<storage, read_write> traces: array<f32>;       // [R, M, O]; not written unless TRACE
@group(0) @binding(5) var<storage, read_write> membrane: array<f32>;     // sample s, neuron o: v_off + s v_width + o, and from v_end; unless CARRIED, not read or written

const BQ: u32 = BN / 4u;
// One longer than needed, so that threads that write a column meet different memory banks.
const B_STRIDE: u32 = BQ + 1u;
const W_STRIDE: u32 = BK + 1u;
var<workgroup> word_tile: array<u32, BM * W_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, BK * B_STRIDE>;

// Currents of four neurons by step. No array: a compiler that does not unroll would spill it.
struct Currents {
    t0: vec4<f32>, t1: vec4<f32>, t2: vec4<f32>, t3: vec4<f32>, t4: vec4<f32>, t5: vec4<f32>, t6: vec4<f32>, t7: vec4<f32>,
    t8: vec4<f32>, t9: vec4<f32>, t10: vec4<f32>, t11: vec4<f32>, t12: vec4<f32>, t13: vec4<f32>, t14: vec4<f32>, t15: vec4<f32>,
}

fn spike(word: u32, t: u32) -> f32 { return select(0.0f, 1.0f, (word & (1u << t)) != 0u); }

// Products with 0 and 1 and sums in the order of the inputs: the same bits with and without fused multiply-adds.
fn add_weights(c: ptr<function, Currents>, word: u32, w: vec4<f32>) {
    (*c).t0 += spike(word, 0u) * w;
    if (S > 1u) { (*c).t1 += spike(word, 1u) * w; }
    if (S > 2u) { (*c).t2 += spike(word, 2u) * w; }
    if (S > 3u) { (*c).t3 += spike(word, 3u) * w; }
    if (S > 4u) { (*c).t4 += spike(word, 4u) * w; }
    if (S > 5u) { (*c).t5 += spike(word, 5u) * w; }
    if (S > 6u) { (*c).t6 += spike(word, 6u) * w; }
    if (S > 7u) { (*c).t7 += spike(word, 7u) * w; }
    if (S > 8u) { (*c).t8 += spike(word, 8u) * w; }
    if (S > 9u) { (*c).t9 += spike(word, 9u) * w; }
    if (S > 10u) { (*c).t10 += spike(word, 10u) * w; }
    if (S > 11u) { (*c).t11 += spike(word, 11u) * w; }
    if (S > 12u) { (*c).t12 += spike(word, 12u) * w; }
    if (S > 13u) { (*c).t13 += spike(word, 13u) * w; }
    if (S > 14u) { (*c).t14 += spike(word, 14u) * w; }
    if (S > 15u) { (*c).t15 += spike(word, 15u) * w; }
}

fn keep(at: u32, o: u32, u: f32) {
    if (o < O) { potentials[at + o] = u; }
}

fn fire(n: ptr<function, Neurons>, t: u32, current: vec4<f32>, m: u32, o: u32) {
    let u = neurons_step(n, t, current);
    if (KEEP != 0u) {
        let at = (m * S + t) * O;
        keep(at, o, u.x);
        keep(at, o + BQ, u.y);
        keep(at, o + 2u * BQ, u.z);
        keep(at, o + 3u * BQ, u.w);
    }
}

fn store(m: u32, o: u32, word: u32, trace: f32, v: f32) {
    if (o < O) {
        words[m * O + o] = word;
        if (TRACE != 0u) { traces[m * O + o] = trace; }
        if (CARRIED != 0u) { membrane[imm.v_end + m * imm.v_width + o] = v; }
    }
}

@compute @workgroup_size(THREADS) fn spike_forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let r = group.z;
    let m0 = group.x * BM;
    let o0 = group.y * BN;
    let ty = thread / BQ;
    let tx = thread % BQ;
    let w_base = r * P + imm.w_off;
    // Samples and neurons past the end repeat the last one and are not stored; inputs past the end are silent.
    let m_last = imm.m - 1u;
    var c = Currents();
    for (var k0 = 0u; k0 < I; k0 += BK) {
        // Consecutive threads read consecutive inputs. Quad q of the weights = neurons q, q+BQ, q+2BQ, q+3BQ, so that
        // neighbouring threads store neighbouring neurons.
        for (var e = thread; e < BM * BK; e += THREADS) {
            let k = e % BK;
            let m = e / BK;
            var word = 0u;
            if (k0 + k < I) { word = spikes[(r * imm.m + min(m0 + m, m_last)) * I + k0 + k]; }
            word_tile[m * W_STRIDE + k] = word;
        }
        for (var e = thread; e < BK * BQ; e += THREADS) {
            let k = e % BK;
            let q = e / BK;
            var v = vec4<f32>();
            if (k0 + k < I) {
                let column = w_base + k0 + k;
                let o = o0 + q;
                v = vec4<f32>(
                    params[column + min(o, O - 1u) * I], params[column + min(o + BQ, O - 1u) * I],
                    params[column + min(o + 2u * BQ, O - 1u) * I], params[column + min(o + 3u * BQ, O - 1u) * I]);
            }
            b_tile[k * B_STRIDE + q] = v;
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k += 2u) {
            add_weights(&c, word_tile[ty * W_STRIDE + k], b_tile[k * B_STRIDE + tx]);
            add_weights(&c, word_tile[ty * W_STRIDE + k + 1u], b_tile[(k + 1u) * B_STRIDE + tx]);
        }
        workgroupBarrier();
    }

    if (m0 + ty >= imm.m) { return; }
    let m = r * imm.m + m0 + ty;
    let o = o0 + tx;
    let bias_base = r * P + imm.b_off;
    let bias = vec4<f32>(
        params[bias_base + min(o, O - 1u)], params[bias_base + min(o + BQ, O - 1u)],
        params[bias_base + min(o + 2u * BQ, O - 1u)], params[bias_base + min(o + 3u * BQ, O - 1u)]);
    var n = Neurons();
    if (LEARNED != 0u) { n.lambda = vec4<f32>(sigmoid_(params[r * P + imm.leak_off])); }
    if (CARRIED != 0u) {
        let start = imm.v_off + m * imm.v_width;
        n.v = vec4<f32>(
            membrane[start + min(o, O - 1u)], membrane[start + min(o + BQ, O - 1u)],
            membrane[start + min(o + 2u * BQ, O - 1u)], membrane[start + min(o + 3u * BQ, O - 1u)]);
    }
    fire(&n, 0u, c.t0 + bias, m, o);
    if (S > 1u) { fire(&n, 1u, c.t1 + bias, m, o); }
    if (S > 2u) { fire(&n, 2u, c.t2 + bias, m, o); }
    if (S > 3u) { fire(&n, 3u, c.t3 + bias, m, o); }
    if (S > 4u) { fire(&n, 4u, c.t4 + bias, m, o); }
    if (S > 5u) { fire(&n, 5u, c.t5 + bias, m, o); }
    if (S > 6u) { fire(&n, 6u, c.t6 + bias, m, o); }
    if (S > 7u) { fire(&n, 7u, c.t7 + bias, m, o); }
    if (S > 8u) { fire(&n, 8u, c.t8 + bias, m, o); }
    if (S > 9u) { fire(&n, 9u, c.t9 + bias, m, o); }
    if (S > 10u) { fire(&n, 10u, c.t10 + bias, m, o); }
    if (S > 11u) { fire(&n, 11u, c.t11 + bias, m, o); }
    if (S > 12u) { fire(&n, 12u, c.t12 + bias, m, o); }
    if (S > 13u) { fire(&n, 13u, c.t13 + bias, m, o); }
    if (S > 14u) { fire(&n, 14u, c.t14 + bias, m, o); }
    if (S > 15u) { fire(&n, 15u, c.t15 + bias, m, o); }
    store(m, o, n.word.x, n.trace.x, n.v.x);
    store(m, o + BQ, n.word.y, n.trace.y, n.v.y);
    store(m, o + 2u * BQ, n.word.z, n.trace.z, n.v.z);
    store(m, o + 3u * BQ, n.word.w, n.trace.w, n.v.w);
}

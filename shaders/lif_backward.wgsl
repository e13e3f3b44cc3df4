// lif_backward: the gradient by the currents of leaky integrate-and-fire neurons, backwards through the S steps with
// the surrogate (36), (39) ds/dU = (eta/2) / (1 + (pi eta (U - U_th) / 2)^2). LEARNED: also by w of the leak lambda =
// sigmoid(w), dU/dw = (1 - lambda) (U - V) at one step. CARRIED: potentials before the first step are given and taken
// as constants, else 0. One thread = one neuron. CPU twin: lif_backward_cpu in src/kernels/lif_backward.rs. Compared by
// tolerance.
#import index
#import math

struct Imm { elements: u32, penalty: f32, replica: u32, stride: u32, leak_off: u32, v_off: u32, v_width: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;          // [R, P]: w of the leak; not read unless LEARNED
@group(0) @binding(1) var<storage, read> source: array<f32>;          // potentials [R, M, S, N]; CONSTANT: currents [R, M, N], from which they are made again
@group(0) @binding(2) var<storage, read> upstream: array<f32>;        // by the spikes [R, M, S, N]; READOUT: by the read-out's trace [R, M, N]
@group(0) @binding(3) var<storage, read_write> d_current: array<f32>; // [R, M, S, N]; CONSTANT: summed over the steps, [R, M, N]
@group(0) @binding(4) var<storage, read_write> d_leak: array<f32>;    // by w, of each neuron [R, M, N]; not written unless LEARNED
@group(0) @binding(5) var<storage, read> membrane: array<f32>;        // sample s, neuron n: v_off + s v_width + n; not read unless CARRIED

@compute @workgroup_size(WG) fn lif_backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = linear_id(id, groups);
    if (e >= imm.elements) { return; }
    let first = e / N * S * N + e % N;
    var lambda = LAMBDA;
    var leak = LEAK;
    if (LEARNED != 0u) {
        lambda = sigmoid_(params[e / imm.replica * imm.stride + imm.leak_off]);
        leak = 1.0f - lambda;
    }
    var start = 0.0f;
    if (CARRIED != 0u) { start = membrane[imm.v_off + e / N * imm.v_width + e % N]; }
    var made = array<f32, S>();
    if (CONSTANT != 0u) {
        let drive = source[e];
        var v = start;
        for (var t = 0u; t < S; t++) {
            let u = leak * v + lambda * drive;
            made[t] = u;
            v = select(u, RESET, u >= THRESHOLD);
        }
    }
    var by_trace = 0.0f;
    if (READOUT != 0u) { by_trace = upstream[e]; }
    var weight = SHARE;
    // Gradient by the potential after the reset.
    var dv = 0.0f;
    var sum = 0.0f;
    var by_leak = 0.0f;
    for (var back = 1u; back <= S; back++) {
        let t = S - back;
        var u = 0.0f;
        if (CONSTANT != 0u) { u = made[t]; } else { u = source[first + t * N]; }
        var ds = imm.penalty;
        if (READOUT != 0u) { ds += weight * by_trace; } else { ds += upstream[first + t * N]; }
        let x = SLOPE * (u - THRESHOLD);
        let surrogate = HALF_ETA / (1.0f + x * x);
        var through = select(1.0f, 0.0f, u >= THRESHOLD);
        if (DETACH == 0u) { through -= (u - RESET) * surrogate; }
        let du = ds * surrogate + dv * through;
        if (CONSTANT != 0u) { sum += lambda * du; } else { d_current[first + t * N] = lambda * du; }
        if (LEARNED != 0u) {
            // V of the step before.
            var v = start;
            if (t > 0u) {
                if (CONSTANT != 0u) { v = made[t - 1u]; } else { v = source[first + (t - 1u) * N]; }
                v = select(v, RESET, v >= THRESHOLD);
            }
            by_leak += du * (u - v);
        }
        dv = leak * du;
        weight *= KEPT;
    }
    if (CONSTANT != 0u) { d_current[e] = sum; }
    if (LEARNED != 0u) { d_leak[e] = leak * by_leak; }
}

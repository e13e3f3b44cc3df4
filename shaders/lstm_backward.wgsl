// lstm_backward: one thread = one hidden unit of one row, one step back through an LSTM. From dh (what uses h at this
// step, plus what the step after it sends back) and dc of the step after it to the gradient by the gates' sums and by
// c_prev:
// dc = dc_next + dh o (1 - tanh(c)^2); d_i = dc g i (1-i), d_f = dc c_prev f (1-f), d_g = dc i (1-g^2), d_o = dh
// tanh(c) o (1-o); dc_prev = dc f. CPU twin: lstm_backward_cpu in src/kernels/lstm_backward.rs. Constants R, H, WG from
// the prelude.
#import index
#import math

// Rows of replica r start at row r stride; offsets lead to the step.
struct Imm { m: u32, stride: u32, dh_off: u32, c_prev_off: u32, c_off: u32, acts_off: u32, dg_off: u32, last: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> dh: array<f32>;            // [R, stride, H] from dh_off: by the users of h at this step
@group(0) @binding(1) var<storage, read> dh_next: array<f32>;       // [R, m, H]: from the step after, not read where last
@group(0) @binding(2) var<storage, read> cell: array<f32>;          // [R, stride, H] from c_prev_off and from c_off
@group(0) @binding(3) var<storage, read> acts: array<f32>;          // [R, stride, 4H] from acts_off
@group(0) @binding(4) var<storage, read_write> dc: array<f32>;      // [R, m, H]: in, from the step after (not read where last); out, by c_prev
@group(0) @binding(5) var<storage, read_write> d_gates: array<f32>; // [R, stride, 4H] from dg_off
@group(0) @binding(6) var<storage, read_write> d_now: array<f32>;   // [R, m, 4H]: the same, for the product with W_hh

@compute @workgroup_size(WG) fn lstm_backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.m * H) { return; }
    let gate = n / H * (4u * H) + n % H;
    let row = n / (imm.m * H) * imm.stride + n / H % imm.m;
    let unit = row * H + n % H;
    let a = imm.acts_off + row * (4u * H) + n % H;
    let i = acts[a];
    let f = acts[a + H];
    let g = acts[a + 2u * H];
    let o = acts[a + 3u * H];
    let t = tanh_(cell[imm.c_off + unit]);
    var up = dh[imm.dh_off + unit];
    var carry = 0.0f;
    if (imm.last == 0u) {
        up += dh_next[n];
        carry = dc[n];
    }
    let d = carry + (up * o) * (1.0f - t * t);
    let di = (d * g) * (i * (1.0f - i));
    let df = (d * cell[imm.c_prev_off + unit]) * (f * (1.0f - f));
    let dg = (d * i) * (1.0f - g * g);
    let dout = (up * t) * (o * (1.0f - o));
    let out = imm.dg_off + row * (4u * H) + n % H;
    d_gates[out] = di;
    d_gates[out + H] = df;
    d_gates[out + 2u * H] = dg;
    d_gates[out + 3u * H] = dout;
    d_now[gate] = di;
    d_now[gate + H] = df;
    d_now[gate + 2u * H] = dg;
    d_now[gate + 3u * H] = dout;
    dc[n] = d * f;
}

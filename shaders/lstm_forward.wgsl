// lstm_forward: one thread = one hidden unit of one row, one step of an LSTM after its two products (Hochreiter &
// Schmidhuber 1997, with the forget gate of Gers et al. 2000; gate order i, f, g, o as in PyTorch):
// i, f, o = sigmoid, g = tanh of gates_x + gates_h; c = f c_prev + i g; h = o tanh(c).
// CPU twin: lstm_forward_cpu in src/kernels/lstm_forward.rs. Constants R, H, WG from the prelude.
#import index
#import math

// Rows of replica r start at row r stride; offsets lead to the step.
struct Imm { m: u32, stride: u32, gx_off: u32, c_prev_off: u32, c_off: u32, acts_off: u32, h_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> gates_x: array<f32>;       // [R, stride, 4H], m rows from gx_off: W_ih x + b_ih
@group(0) @binding(1) var<storage, read> gates_h: array<f32>;       // [R, m, 4H]: W_hh h_prev + b_hh
@group(0) @binding(2) var<storage, read_write> cell: array<f32>;    // [R, stride, H], from c_prev_off (read) and from c_off (written)
@group(0) @binding(3) var<storage, read_write> acts: array<f32>;    // [R, stride, 4H] from acts_off: the gates after their functions
@group(0) @binding(4) var<storage, read_write> hidden: array<f32>;  // [R, stride, H] from h_off
@group(0) @binding(5) var<storage, read_write> h_now: array<f32>;   // [R, m, H]: the same, for the next step's product

@compute @workgroup_size(WG) fn lstm_forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * imm.m * H) { return; }
    let gate = n / H * (4u * H) + n % H;
    let row = n / (imm.m * H) * imm.stride + n / H % imm.m;
    let x = imm.gx_off + row * (4u * H) + n % H;
    let i = sigmoid_(gates_x[x] + gates_h[gate]);
    let f = sigmoid_(gates_x[x + H] + gates_h[gate + H]);
    let g = tanh_(gates_x[x + 2u * H] + gates_h[gate + 2u * H]);
    let o = sigmoid_(gates_x[x + 3u * H] + gates_h[gate + 3u * H]);
    let c = f * cell[imm.c_prev_off + row * H + n % H] + i * g;
    let a = imm.acts_off + row * (4u * H) + n % H;
    acts[a] = i;
    acts[a + H] = f;
    acts[a + 2u * H] = g;
    acts[a + 3u * H] = o;
    cell[imm.c_off + row * H + n % H] = c;
    let h = o * tanh_(c);
    hidden[imm.h_off + row * H + n % H] = h;
    h_now[n] = h;
}

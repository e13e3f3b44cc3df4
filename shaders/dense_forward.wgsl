// dense_forward: y[r,m,o] = act(sum_i x[r,m,i] W[r][o,i] + B_SCALE b[r][o]), shared/dense_layer.wgsl in f32.
// CPU twin: dense_forward_cpu in src/kernels/dense_forward.rs. Compared by tolerance.
#import dense_layer

struct Imm { m: u32, w_off: u32, b_off: u32, x_off: u32, y_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;      // [R, P]
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [R, M, I] from x_off
@group(0) @binding(2) var<storage, read_write> y: array<f32>;     // [R, M, O] from y_off

@compute @workgroup_size(THREADS) fn dense_forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    dense_layer(group, t);
}

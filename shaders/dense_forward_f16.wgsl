enable f16;
// dense_forward_f16: y[r,m,o] = act(sum_i x[r,m,i] W[r][o,i] + b[r][o]) with x and W rounded to f16:
// shared/dense_layer.wgsl with f16 as what is staged; products and sums in f32, the bias stays f32. X and Y, what x and
// y are stored as, are f32 or f16. CPU twin: dense_forward_f16_cpu in src/kernels/dense_forward_f16.rs. Compared by
// tolerance.
#import dense_layer

struct Imm { m: u32, w_off: u32, b_off: u32, x_off: u32, y_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;      // [R, P]
@group(0) @binding(1) var<storage, read> x: array<X>;             // [R, M, I] from x_off
@group(0) @binding(2) var<storage, read_write> y: array<Y>;       // [R, M, O] from y_off

@compute @workgroup_size(THREADS) fn dense_forward_f16(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    dense_layer(group, t);
}

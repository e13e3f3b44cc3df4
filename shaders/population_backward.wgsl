// population_backward: partial sums of the gradients by sharpness and centre of the neurons that encode a network's
// inputs over a slice of the rows: with d = x[r,m,n / FIELDS] - centre[r][n] and g = sharpness[r][n] d i[r,m,n]
// di[r,m,n], which is minus the gradient by z, partials[slice,r,w_off + n] = -sum_m g d and partials[slice,r,b_off + n]
// = sum_m g sharpness[r][n]. Slices are summed by grad_reduce. One workgroup = COLUMNS neurons of a slice; each thread
// adds every LANES-th row, then the first of a column adds the threads in their order. CPU twin:
// population_backward_cpu in src/kernels/population_backward.rs. Compared by tolerance.

struct Imm { m: u32, slice: u32, w_off: u32, b_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;            // [R, P]: sharpnesses from w_off, centres from b_off
@group(0) @binding(1) var<storage, read> x: array<f32>;                 // [R, M, O]
@group(0) @binding(2) var<storage, read> current: array<f32>;           // [R, M, N], N = O FIELDS
@group(0) @binding(3) var<storage, read> d_current: array<f32>;         // [R, M, N]
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;    // [slices, R, P]

const LANES: u32 = WG / COLUMNS;
var<workgroup> sums: array<vec2<f32>, WG>;

@compute @workgroup_size(WG)
fn population_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let slice = group.z / R;
    let r = group.z % R;
    // Neurons past the end repeat the last one and are not stored.
    let wanted = group.x * COLUMNS + thread % COLUMNS;
    let n = min(wanted, N - 1u);
    let sharpness = params[r * P + imm.w_off + n];
    let centre = params[r * P + imm.b_off + n];
    let end = min((slice + 1u) * imm.slice, imm.m);
    var sum = vec2<f32>();
    for (var m = slice * imm.slice + thread / COLUMNS; m < end; m += LANES) {
        let row = r * imm.m + m;
        let d = x[row * O + n / FIELDS] - centre;
        let g = sharpness * d * current[row * N + n] * d_current[row * N + n];
        sum += vec2<f32>(g * d, g);
    }
    sums[thread] = sum;
    workgroupBarrier();
    if (thread < COLUMNS && wanted < N) {
        for (var lane = 1u; lane < LANES; lane++) { sum += sums[lane * COLUMNS + thread]; }
        let base = (slice * R + r) * P;
        partials[base + imm.w_off + n] = -sum.x;
        partials[base + imm.b_off + n] = sharpness * sum.y;
    }
}

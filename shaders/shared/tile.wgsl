// Register-tiled product of two matrices, the core of the dense kernels: C[BM, BN] += A[BM, BK] B[BK, BN] per workgroup, 8x4
// results per thread, THREADS = BM/8 * BN/4 threads. Sizes from the prelude (src/kernels/tile.rs).
//
// Both operands are staged in workgroup memory k-major, as quads of four rows (A) or four columns (B). A row of quads is one quad
// longer than needed, so that threads that write consecutive k to the same quad meet different memory banks. Which rows or columns
// share a quad is up to the kernel: it loads and stores by the same rule.
// No array is indexed by a loop variable in registers: a compiler that does not unroll would spill it.
// A Quad is a vec4 of f32 or of f16 (src/kernels/tile.rs); products and sums are f32.
const AQ: u32 = BM / 4u;
const BQ: u32 = BN / 4u;
const A_STRIDE: u32 = AQ + 1u;
const B_STRIDE: u32 = BQ + 1u;
var<workgroup> a_tile: array<Quad, BK * A_STRIDE>;
var<workgroup> b_tile: array<Quad, BK * B_STRIDE>;

// One row of results per field, the thread's four columns in the vector. Rows 0..3 are quad `ty` of A, rows 4..7 quad `ty + AQ/2`;
// the columns are quad `tx` of B (ty = thread / BQ, tx = thread % BQ).
struct Tile {
    r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>,
    r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32>,
}

fn multiply_step(c: ptr<function, Tile>, k: u32, ty: u32, tx: u32) {
    let lo = vec4<f32>(a_tile[k * A_STRIDE + ty]);
    let hi = vec4<f32>(a_tile[k * A_STRIDE + ty + AQ / 2u]);
    let b = vec4<f32>(b_tile[k * B_STRIDE + tx]);
    (*c).r0 += lo.x * b;
    (*c).r1 += lo.y * b;
    (*c).r2 += lo.z * b;
    (*c).r3 += lo.w * b;
    (*c).r4 += hi.x * b;
    (*c).r5 += hi.y * b;
    (*c).r6 += hi.z * b;
    (*c).r7 += hi.w * b;
}

// c += (staged A)(staged B). The sum over k runs upwards, one term at a time, on every device.
fn multiply_staged(c: ptr<function, Tile>, ty: u32, tx: u32) {
    for (var k = 0u; k < BK; k += 4u) {
        multiply_step(c, k, ty, tx);
        multiply_step(c, k + 1u, ty, tx);
        multiply_step(c, k + 2u, ty, tx);
        multiply_step(c, k + 3u, ty, tx);
    }
}

// Row i of the thread's results.
fn tile_row(c: ptr<function, Tile>, i: u32) -> vec4<f32> {
    switch i {
        case 0u: { return (*c).r0; }
        case 1u: { return (*c).r1; }
        case 2u: { return (*c).r2; }
        case 3u: { return (*c).r3; }
        case 4u: { return (*c).r4; }
        case 5u: { return (*c).r5; }
        case 6u: { return (*c).r6; }
        default: { return (*c).r7; }
    }
}

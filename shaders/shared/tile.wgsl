// Register-tiled product of two matrices, the core of the dense kernels: C[BM, BN] += A[BM, BK] B[BK, BN] per
// workgroup, 8x4 results per thread, THREADS = BM/8 * BN/4 threads. Sizes from the prelude (src/kernels/tile.rs).
//
// Both operands are staged in workgroup memory k-major, as quads of four rows (A) or four columns (B). A row of quads
// is one quad longer than needed, so that threads that write consecutive k to the same quad meet different memory
// banks. Which rows or columns share a quad is up to the kernel: it loads and stores by the same rule.
// An Operand is f32 or f16 (src/kernels/tile.rs); products and sums are f32.
#import tile_results
alias Quad = vec4<Operand>;
const AQ: u32 = BM / 4u;
const BQ: u32 = BN / 4u;
const A_STRIDE: u32 = AQ + 1u;
const B_STRIDE: u32 = BQ + 1u;
var<workgroup> a_tile: array<Quad, BK * A_STRIDE>;
var<workgroup> b_tile: array<Quad, BK * B_STRIDE>;

fn multiply_step(c: ptr<function, Tile>, k: u32, ty: u32, tx: u32) {
    let lo = vec4<f32>(a_tile[k * A_STRIDE + ty]);
    let hi = vec4<f32>(a_tile[k * A_STRIDE + ty + AQ / 2u]);
    add_outer(c, lo, hi, vec4<f32>(b_tile[k * B_STRIDE + tx]));
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

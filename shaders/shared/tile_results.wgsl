// The 8x4 results of one thread of a register-tiled product, in registers. No array is indexed by a loop variable
// there: a compiler that does not unroll would spill it.

// One row of results per field, the thread's four columns in the vector. Rows 0..3 and 4..7 are two quads of the rows
// of A.
struct Tile {
    r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>,
    r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32>,
}

// c += one term of the sums: rows `lo` and `hi` of a column of A, a quad of a row of B.
fn add_outer(c: ptr<function, Tile>, lo: vec4<f32>, hi: vec4<f32>, b: vec4<f32>) {
    (*c).r0 += lo.x * b;
    (*c).r1 += lo.y * b;
    (*c).r2 += lo.z * b;
    (*c).r3 += lo.w * b;
    (*c).r4 += hi.x * b;
    (*c).r5 += hi.y * b;
    (*c).r6 += hi.z * b;
    (*c).r7 += hi.w * b;
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

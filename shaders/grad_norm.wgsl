// grad_norm: norms[r, g] = sqrt(sum of squared gradients) of parameter group g: group 0 = [0, SPLIT), group 1 = [SPLIT,
// P). With JOINT = 1 both entries hold the norm over all parameters. One workgroup = one replica.
// CPU twin: grad_norm_cpu in src/kernels/grad_norm.rs. Compared by tolerance.
#import reduce

@group(0) @binding(0) var<storage, read> grads: array<f32>;          // [R, P]
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;    // [R, 2]

// Of either group.
alias Sum = vec2<f32>;
const CB: u32 = 1u;

@compute @workgroup_size(WG) fn grad_norm(thread: Thread, @builtin(workgroup_id) group: vec3<u32>) {
    let r = group.x;
    var s0 = 0.0f;
    var s1 = 0.0f;
    for (var p = thread.index; p < SPLIT; p += WG) {
        let g = grads[r * P + p];
        s0 += g * g;
    }
    for (var p = SPLIT + thread.index; p < P; p += WG) {
        let g = grads[r * P + p];
        s1 += g * g;
    }
    var squares = reduce(Sum(s0, s1), thread);
    if (thread.index == 0u) {
        if (JOINT == 1u) { squares = vec2<f32>(squares.x + squares.y); }
        norms[2u * r] = sqrt(squares.x);
        norms[2u * r + 1u] = sqrt(squares.y);
    }
}

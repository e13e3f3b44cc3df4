// grad_norm: norms[r, g] = sqrt(sum of squared gradients) of parameter group g: group 0 = [0, SPLIT), group 1 = [SPLIT, P). With JOINT = 1
// both entries hold the norm over all parameters. One workgroup = one replica; a fixed tree, the same on every device.
// CPU twin: grad_norm_cpu in src/kernels/grad_norm.rs. Compared by tolerance.

@group(0) @binding(0) var<storage, read> grads: array<f32>;          // [R, P]
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;    // [R, 2]

var<workgroup> sums: array<vec2<f32>, WG>;

@compute @workgroup_size(WG) fn grad_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let r = group.x;
    var s0 = 0.0f;
    var s1 = 0.0f;
    for (var p = t; p < SPLIT; p += WG) {
        let g = grads[r * P + p];
        s0 += g * g;
    }
    for (var p = SPLIT + t; p < P; p += WG) {
        let g = grads[r * P + p];
        s1 += g * g;
    }
    sums[t] = vec2<f32>(s0, s1);
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (t < half) { sums[t] += sums[t + half]; }
    }
    if (t == 0u) {
        var squares = sums[0];
        if (JOINT == 1u) { squares = vec2<f32>(squares.x + squares.y); }
        norms[2u * r] = sqrt(squares.x);
        norms[2u * r + 1u] = sqrt(squares.y);
    }
}

// grad_join: adds the gradient of a second loss to that of the first, and compares the two on the parameters that both losses pass through:
// out[r] = (sum a b, sum a^2, sum b^2) over mask = 1, before the sum. One workgroup = one replica; a fixed tree, the same on every device.
// CPU twin: grad_join_cpu in src/kernels/grad_join.rs. Constants P, WG from the prelude.

struct Imm { out_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> mask: array<f32>;           // [P]: 0 or 1
@group(0) @binding(1) var<storage, read> other: array<f32>;          // [R, P]
@group(0) @binding(2) var<storage, read_write> grads: array<f32>;    // [R, P]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;      // [R, 3] from out_off

var<workgroup> sums: array<vec3<f32>, WG>;

@compute @workgroup_size(WG) fn grad_join(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let r = group.x;
    var s = vec3<f32>(0.0f, 0.0f, 0.0f);
    for (var p = t; p < P; p += WG) {
        let a = grads[r * P + p];
        let b = other[r * P + p];
        s += mask[p] * vec3<f32>(a * b, a * a, b * b);
        grads[r * P + p] = a + b;
    }
    sums[t] = s;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (t < half) { sums[t] += sums[t + half]; }
    }
    if (t == 0u) {
        out[imm.out_off + 3u * r] = sums[0].x;
        out[imm.out_off + 3u * r + 1u] = sums[0].y;
        out[imm.out_off + 3u * r + 2u] = sums[0].z;
    }
}

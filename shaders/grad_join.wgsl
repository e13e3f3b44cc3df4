// grad_join: adds the gradient of a second loss to that of the first, and compares the two on the parameters that both
// losses pass through:
// out[r] = (sum a b, sum a^2, sum b^2) over mask = 1, before the sum. One workgroup = one replica.
// CPU twin: grad_join_cpu in src/kernels/grad_join.rs. Constants P, WG from the prelude.
#import reduce

struct Imm { out_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> mask: array<f32>;           // [P]: 0 or 1
@group(0) @binding(1) var<storage, read> other: array<f32>;          // [R, P]
@group(0) @binding(2) var<storage, read_write> grads: array<f32>;    // [R, P]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;      // [R, 3] from out_off

// Of a b, a^2 and b^2.
alias Sum = vec3<f32>;
const CB: u32 = 1u;

@compute @workgroup_size(WG) fn grad_join(thread: Thread, @builtin(workgroup_id) group: vec3<u32>) {
    let r = group.x;
    var s = Sum();
    for (var p = thread.index; p < P; p += WG) {
        let a = grads[r * P + p];
        let b = other[r * P + p];
        s += mask[p] * Sum(a * b, a * a, b * b);
        grads[r * P + p] = a + b;
    }
    s = reduce(s, thread);
    if (thread.index == 0u) {
        out[imm.out_off + 3u * r] = s.x;
        out[imm.out_off + 3u * r + 1u] = s.y;
        out[imm.out_off + 3u * r + 2u] = s.z;
    }
}

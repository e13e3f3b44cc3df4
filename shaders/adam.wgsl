// adam: one step of torch.optim.Adam with the clipping of torch.nn.utils.clip_grad_norm_ fused in. One thread = one
// parameter. g *= min(1, max_norm / (norm + 1e-6)) of the parameter's group; m = b1 m + (1-b1) g; v = b2 v + (1-b2)
// g^2; p -= lr (m / bc1) / (sqrt(v / bc2) + eps). A replica with a norm that is not finite is left untouched. PACED:
// which replica steps, its share of the first group's rate and its bias corrections come from `pace` (kl_control), and
// parameters [CLAMP_FROM, CLAMP_TO) are clamped behind the step. CPU twin: adam_cpu in src/kernels/adam.rs. Compared by
// tolerance.
#import index

struct Imm { bias_correction1: f32, bias_correction2: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read_write> params: array<f32>;    // [R, P]
@group(0) @binding(1) var<storage, read> grads: array<f32>;           // [R, P]
@group(0) @binding(2) var<storage, read> norms: array<f32>;           // [R, 2]
@group(0) @binding(3) var<storage, read_write> m: array<f32>;         // [R, P]
@group(0) @binding(4) var<storage, read_write> v: array<f32>;         // [R, P]
@group(0) @binding(5) var<storage, read> hyper: array<f32>;           // [R, 8]
@group(0) @binding(6) var<storage, read> pace: array<f32>;            // [R, 8]; not read unless PACED

// By its bits, because shaders may assume that there are no NaNs and fold comparisons away.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(WG) fn adam(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * P) { return; }
    let r = i / P;
    let h = 8u * r;
    var rate = 1.0f;
    var correction1 = imm.bias_correction1;
    var correction2 = imm.bias_correction2;
    if (PACED != 0u) {
        if (pace[h + 1u] == 0.0f) { return; }
        rate = pace[h];
        correction1 = pace[h + 2u];
        correction2 = pace[h + 3u];
    } else if (!is_finite(norms[2u * r]) || !is_finite(norms[2u * r + 1u])) {
        return;
    }
    let group = select(0u, 1u, i % P >= SPLIT);
    var lr = hyper[h + group];
    if (group == 0u) { lr *= rate; }
    let max_norm = hyper[h + 2u];
    let beta1 = hyper[h + 3u];
    let beta2 = hyper[h + 4u];
    let eps = hyper[h + 5u];
    let rest1 = hyper[h + 6u];
    let rest2 = hyper[h + 7u];
    var g = grads[i];
    if (max_norm > 0.0f) { g *= min(1.0f, max_norm / (norms[2u * r + group] + 1e-6f)); }
    let m1 = beta1 * m[i] + rest1 * g;
    let v1 = beta2 * v[i] + rest2 * (g * g);
    m[i] = m1;
    v[i] = v1;
    var x = params[i] - lr * (m1 / correction1) / (sqrt(v1 / correction2) + eps);
    if (i % P >= CLAMP_FROM && i % P < CLAMP_TO) { x = min(max(x, CLAMP_LOW), CLAMP_HIGH); }
    params[i] = x;
}

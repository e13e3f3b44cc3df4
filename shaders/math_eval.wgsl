// math_eval: one function of shaders/shared/math.wgsl, chosen by the constant FN, applied to pairs of arguments.
// Arguments travel as bits, so that words and floats can be mixed. A function with one result leaves 0 in the second
// place. CPU twin: math_eval_cpu in src/kernels/math_eval.rs, which numbers the functions. Constants FN, WG.
#import index
#import math

@group(0) @binding(0) var<storage, read> args: array<vec2<u32>>;       // [N]
@group(0) @binding(1) var<storage, read_write> out: array<vec2<f32>>;  // [N]

fn apply(w: vec2<u32>) -> vec2<f32> {
    let x = bitcast<f32>(w.x);
    if (FN == 0u) { return vec2<f32>(exp_(x), 0.0f); }
    if (FN == 1u) { return vec2<f32>(ln_(x), 0.0f); }
    if (FN == 2u) { return vec2<f32>(tanh_(x), 0.0f); }
    if (FN == 3u) { return vec2<f32>(sigmoid_(x), 0.0f); }
    if (FN == 4u) { return sin_cos(x); }
    if (FN == 5u) { return sin_cos_pi_multiple(x, w.y); }
    if (FN == 6u) { return vec2<f32>(atan2_upper(x, bitcast<f32>(w.y)), 0.0f); }
    return normal_pair(w.x, w.y);
}

@compute @workgroup_size(WG) fn math_eval(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= arrayLength(&out)) { return; }
    out[i] = apply(args[i]);
}

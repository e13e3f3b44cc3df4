// ppo_value_loss: PPO's value loss, clipped around the old value or not, and its gradient. One thread = one value; the
// last `tail` values of a replica belong to no sample and get no gradient.
//   v_loss = mean over M of 0.5 max((V - ret)^2, (V_old + clamp(V - V_old, -eps, eps) - ret)^2), or 0.5 (V - ret)^2
//   unclipped
// CPU twin: ppo_value_loss_cpu in src/kernels/ppo_value_loss.rs. Constant WG.
#import index

@group(0) @binding(0) var<storage, read> value: array<f32>;                // [R,M+tail]
@group(0) @binding(1) var<storage, read> mb_scalars: array<vec4<f32>>;     // [R,M]: old logprob, advantage, return, old value
@group(0) @binding(2) var<storage, read> hyper: array<vec2<f32>>;          // [R]: vf_coef, eps
@group(0) @binding(3) var<storage, read_write> d_value: array<f32>;        // [R,M+tail]: vf_coef d v_loss / d V, with its 1/M
@group(0) @binding(4) var<storage, read_write> terms_v: array<f32>;        // [R,M,1]: the sample's term of v_loss, without 1/M

struct Imm {
    M: u32,
    tail: u32,
    clip: u32,
}
var<immediate> imm: Imm;

@compute @workgroup_size(WG) fn ppo_value_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= arrayLength(&value)) { return; }
    let m = i % (imm.M + imm.tail);
    if (m >= imm.M) {
        d_value[i] = 0.0f;
        return;
    }
    let r = i / (imm.M + imm.tail);
    let sample = r * imm.M + m;
    let vf_coef = hyper[r].x;
    let eps = hyper[r].y;
    let ret = mb_scalars[sample].z;
    let old = mb_scalars[sample].w;
    let v = value[i];
    let error = v - ret;
    var square = error * error;
    var slope = error;
    if (imm.clip != 0u) {
        let step = v - old;
        let held = (old + min(max(step, -eps), eps)) - ret;
        // Inside the clip range both branches are the same function of V; outside, the clipped one is constant.
        if (abs(step) > eps && held * held > square) {
            square = held * held;
            slope = 0.0f;
        }
    }
    d_value[i] = vf_coef * slope * (1.0f / f32(imm.M));
    terms_v[sample] = 0.5f * square;
}

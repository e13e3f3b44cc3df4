// gae: one thread = one environment of one replica, walking its T slots backwards. Generalised advantage estimation
// (Schulman et al., arXiv 1506.02438, (11)-(16)) with the two ends of an episode kept apart: a termination cuts
// bootstrap and trace, a truncation bootstraps from V(final_obs) and cuts the trace only.
// CPU twin: gae_cpu in src/kernels/gae.rs. Constants T, R, B, WG from the prelude.
#import index

@group(0) @binding(0) var<storage, read> reward: array<f32>;            // [T,R,B]
@group(0) @binding(1) var<storage, read> value: array<f32>;             // [T+1,R,B]
@group(0) @binding(2) var<storage, read> final_value: array<f32>;       // [T,R,B], read where truncated
@group(0) @binding(3) var<storage, read> flags: array<u32>;             // [T,R,B]: bit 0 terminated, bit 1 truncated
@group(0) @binding(4) var<storage, read> hyper: array<vec4<f32>>;       // [R]: gamma, lambda, reward scale, 0
@group(0) @binding(5) var<storage, read_write> advantage: array<f32>;   // [T,R,B]
@group(0) @binding(6) var<storage, read_write> returns: array<f32>;     // [T,R,B]

@compute @workgroup_size(WG) fn gae(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * B) { return; }
    let h = hyper[i / B];
    let decay = h.x * h.y;
    var at = T * R * B + i;
    var after = value[at];
    var adv = 0.0f;
    for (var k = 0u; k < T; k++) {
        at -= R * B;
        let f = flags[at];
        let v = value[at];
        var next = after;
        if ((f & 1u) != 0u) {
            next = 0.0f;
        } else if ((f & 2u) != 0u) {
            next = final_value[at];
        }
        let delta = (reward[at] * h.z + h.x * next) - v;
        adv = delta + select(decay * adv, 0.0f, (f & 3u) != 0u);
        advantage[at] = adv;
        returns[at] = adv + v;
        after = v;
    }
}

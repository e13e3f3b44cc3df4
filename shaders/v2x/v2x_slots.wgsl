// v2x_slots: one thread = `slots` slots of one environment, its state in registers, under the policy that looks at
// nothing: standard normal actions. What physics alone can do, without the traffic of actions and observations. For
// each slot: action z ~ N(0, 1) (the draws of gaussian_head) -> slot (shared/v2x_slot.wgsl) -> sums, with automatic
// reset where (clock+1) mod T = 0; after the last, the observation. CPU twin: v2x_slots_cpu in
// src/tasks/v2x/kernels/v2x_slots.rs (same operations in the same order).
#import index
#import v2x_slot

struct Imm { clock: u32, slots: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;      // [R]
@group(0) @binding(1) var<storage, read_write> state: array<f32>;       // [R, 10K, B]
@group(0) @binding(2) var<storage, read_write> obs: array<f32>;         // [R, B, 4K]: the observation after the last slot
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;        // [R, 2, B]: of the rewards, of the sum-rates

// Whole Philox blocks.
const DRAWS: u32 = (A + 3u) / 4u * 4u;

var<private> drawn: array<f32, DRAWS>;

fn action_at(i: u32) -> f32 {
    return drawn[i];
}

@compute @workgroup_size(WG) fn v2x_slots(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    let p = params[r];
    var s: State;
    load_state(r, env, &s);
    var reward = 0.0f;
    var sum_rate = 0.0f;
    for (var t = 0u; t < imm.slots; t++) {
        let clock = imm.clock + t;
        for (var block = 0u; block < DRAWS / 4u; block++) {
            let w = philox4x32_10(vec4<u32>(block, clock, env, STREAM_ACTION), p.key);
            let a = normal_pair(w.x, w.y);
            let b = normal_pair(w.z, w.w);
            drawn[4u * block] = a.x;
            drawn[4u * block + 1u] = a.y;
            drawn[4u * block + 2u] = b.x;
            drawn[4u * block + 3u] = b.y;
        }
        let o = slot(p, env, clock, &s);
        // The barriers keep these sums in the order of the slots.
        reward = max(reward + o.reward, LOWEST);
        sum_rate = max(sum_rate + o.sum_rate, LOWEST);
        if ((clock + 1u) % T == 0u) {
            reset_state(r, env, clock + 1u, &s);
        }
    }
    store_state(r, env, &s);
    for (var i = 0u; i < K; i++) {
        let row = observe(r, &s, i);
        let at = n * 4u * K + i;
        obs[at] = row.x;
        obs[at + K] = row.y;
        obs[at + 2u * K] = row.z;
        obs[at + 3u * K] = row.w;
    }
    sums[2u * r * B + env] = reward;
    sums[(2u * r + 1u) * B + env] = sum_rate;
}

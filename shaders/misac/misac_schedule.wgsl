// misac_schedule: one thread = the decision of a fixed schedule (SCHEDULE) for the coming slot of one environment.
// CPU twin: misac_schedule_cpu in src/tasks/misac/kernels/misac_schedule.rs. Integers: exact.
#import index
#import misac

struct Imm { clock: u32, state_off: u32, action_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> state: array<f32>;            // [R, 7K, B] from state_off
@group(0) @binding(1) var<storage, read> rule: array<u32>;             // [R] periods, or [R, (A_max+1)^K] or [R, B, T] decisions (bit k: camera of vehicle k)
@group(0) @binding(2) var<storage, read_write> action: array<f32>;     // [R, B, K] from action_off: 0 or 1

@compute @workgroup_size(WG) fn misac_schedule(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    var bits = 0u;
    if (SCHEDULE == SCHEDULE_ALWAYS) {
        bits = (1u << K) - 1u;
    } else if (SCHEDULE == SCHEDULE_PERIODIC) {
        let period = rule[r];
        for (var i = 0u; i < K; i++) {
            bits |= select(0u, 1u << i, (imm.clock % T + i * period / K) % period == 0u);
        }
    } else if (SCHEDULE == SCHEDULE_TABLE) {
        // Joint age, vehicle 0 fastest; the table ends at A_max.
        var at = 0u;
        for (var j = 0u; j < K; j++) {
            at = at * AGES + min(u32(state[state_at(imm.state_off, r, env, 2u, K - 1u - j)]), AGES - 1u);
        }
        bits = rule[r * JOINT_AGES + at];
    } else if (SCHEDULE == SCHEDULE_PLAN) {
        bits = rule[n * T + imm.clock % T];
    }
    for (var i = 0u; i < K; i++) {
        action[imm.action_off + n * K + i] = f32((bits >> i) & 1u);
    }
}

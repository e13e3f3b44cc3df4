// value_iteration: one damped sweep h <- (h + T h)/2 - h(0) of relative value iteration over the joint ages of the scheduling problem of task
// misac (energy (3), penalty of (11)). One thread = one state: the minimum over the 2^K decisions, walked in Gray code so that one index changes
// by one term per decision. With `measure` the least and largest T h - h go into `span`.
// CPU twin: value_iteration_cpu in src/kernels/value_iteration.rs. Constants R, K, AGES = A_max+1, S = AGES^K, WG.

struct Problem { e_vis_j: f32, e_recovery_j: f32, lambda_j: f32, gamma_misa: f32, reset_age: u32 }
struct Imm { from_off: u32, to_off: u32, measure: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> problems: array<Problem>;             // [R]
@group(0) @binding(1) var<storage, read> misaligned: array<f32>;               // [R, K, AGES]: P_misa (7)
@group(0) @binding(2) var<storage, read_write> values: array<f32>;             // h [R, S] from from_off, the next from to_off, J
@group(0) @binding(3) var<storage, read_write> span: array<atomic<u32>>;       // [R, 2]: ordered bits of min and max of T h - h

// max(v, LOWEST) keeps a compiler from re-associating; it changes no value.
const LOWEST: f32 = -1e30f;
const PER_VEHICLE: f32 = 1.0 / f32(K);
var<workgroup> lowest: array<f32, WG>;
var<workgroup> highest: array<f32, WG>;

// Bits whose order as u32 is the order of the numbers.
fn ordered(x: f32) -> u32 {
    let b = bitcast<u32>(x);
    return select(b | 0x80000000u, ~b, b >= 0x80000000u);
}

@compute @workgroup_size(WG) fn value_iteration(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // A workgroup serves one replica.
    const PER_REPLICA: u32 = (S + WG - 1u) / WG;
    let g = group.y * groups.x + group.x;
    let r = g / PER_REPLICA;
    if (r >= R) { return; }
    let s = (g % PER_REPLICA) * WG + lane;
    let inside = s < S;
    let h = imm.from_off + r * S;
    let p = problems[r];
    var change = 0.0f;
    if (inside) {
        // Where the state goes without a frame, and what a frame of each vehicle changes of that index (modulo 2^32).
        var back: array<u32, K>;
        var at = 0u;
        var sum = 0.0f;
        var rest = s;
        var place = 1u;
        for (var k = 0u; k < K; k++) {
            let age = rest % AGES;
            rest /= AGES;
            sum += misaligned[(r * K + k) * AGES + age];
            let older = min(age + 1u, AGES - 1u);
            at += older * place;
            back[k] = (p.reset_age - older) * place;
            place *= AGES;
        }
        var best = values[h + at];
        for (var d = 1u; d < (1u << K); d++) {
            let gray = d ^ (d >> 1u);
            let k = countTrailingZeros(d);
            at += select(0u - back[k], back[k], ((gray >> k) & 1u) == 1u);
            best = min(best, p.e_vis_j * f32(countOneBits(gray)) + values[h + at]);
        }
        let excess = max(sum * PER_VEHICLE - p.gamma_misa, 0.0f);
        let cost = max(p.e_recovery_j * sum + p.lambda_j * excess, LOWEST);
        let now = values[h + s];
        let next = max(cost + best, LOWEST);
        change = next - now;
        values[imm.to_off + r * S + s] = max((now + next) * 0.5f, LOWEST) - values[h];
    }
    if (imm.measure != 0u) {
        lowest[lane] = select(3e38f, change, inside);
        highest[lane] = select(-3e38f, change, inside);
        for (var width = WG / 2u; width > 0u; width /= 2u) {
            workgroupBarrier();
            if (lane < width) {
                lowest[lane] = min(lowest[lane], lowest[lane + width]);
                highest[lane] = max(highest[lane], highest[lane + width]);
            }
        }
        if (lane == 0u) {
            atomicMin(&span[2u * r], ordered(lowest[0]));
            atomicMax(&span[2u * r + 1u], ordered(highest[0]));
        }
    }
}

// activity_count: how often the units of a layer were active, per unit, added to the counts of the dispatches before: values that are not
// zero, or the spikes and the membrane updates of spike words. One workgroup = CB units of one replica. Integers: the same on every device.
// CPU twin: activity_count_cpu in src/kernels/activity_count.rs. Must agree exactly.

struct Imm { m: u32, first: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> source: array<u32>;         // [R, M, C]: spike words, or the bits of f32
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;   // SPIKES: [R, 2, C], spikes then membrane updates; else [R, C]

// Threads that share a unit; a thread's unit is its index modulo CB.
const LANES: u32 = WG / CB;
var<workgroup> sums: array<vec2<u32>, WG>;

fn activity(word: u32) -> vec2<u32> {
    if (SPIKES != 0u) { return vec2<u32>(countOneBits(word & 0xffffu), countOneBits(word >> 16u)); }
    // Neither 0 nor -0.
    return vec2<u32>(select(0u, 1u, (word & 0x7fffffffu) != 0u), 0u);
}

fn add(at: u32, count: u32) {
    if (imm.first != 0u) {
        counts[at] = count;
    } else {
        counts[at] += count;
    }
}

@compute @workgroup_size(WG) fn activity_count(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let r = group.y;
    let c = group.x * CB + t % CB;
    // Units past the end repeat the last one and are not stored.
    let base = r * imm.m * C + min(c, C - 1u);
    var s = vec2<u32>();
    var m = t / CB;
    // Four at a time, so that four loads are under way.
    for (; m + 3u * LANES < imm.m; m += 4u * LANES) {
        let e = base + m * C;
        s += (activity(source[e]) + activity(source[e + LANES * C]))
            + (activity(source[e + 2u * LANES * C]) + activity(source[e + 3u * LANES * C]));
    }
    for (; m < imm.m; m += LANES) { s += activity(source[base + m * C]); }
    sums[t] = s;
    for (var half = WG / 2u; half >= CB; half /= 2u) {
        workgroupBarrier();
        if (t < half) { sums[t] += sums[t + half]; }
    }
    if (t < CB && c < C) {
        if (SPIKES != 0u) {
            add(r * 2u * C + c, sums[t].x);
            add((r * 2u + 1u) * C + c, sums[t].y);
        } else {
            add(r * C + c, sums[t].x);
        }
    }
}

// activity_count: how often the units of a layer were active, per unit, added to the counts of the dispatches before:
// values (f32 or f16) that are not zero, values that are not saturated, or the spikes and the membrane updates of spike
// words. One workgroup = CB units of one replica. Integers: the same on every device. CPU twin: activity_count_cpu in
// src/kernels/activity_count.rs. Must agree exactly.
#import reduce

struct Imm { m: u32, first: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> source: array<u32>;         // [R, M, C]: spike words, the bits of f32, or of two f16 a word
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;   // SPIKES: [R, 2, C], spikes then membrane updates; else [R, C]

// Threads that share a unit; a thread's unit is its index modulo CB.
const LANES: u32 = WG / CB;
// Of values or spikes, and of membrane updates.
alias Sum = vec2<u32>;

// Of element e of the source.
fn activity(e: u32) -> Sum {
    if (HALVES != 0u) {
        // The lower bits of a word are the earlier element.
        let half = source[e / 2u] >> (e % 2u * 16u);
        return Sum(select(0u, 1u, (half & 0x7fffu) != 0u), 0u);
    }
    let word = source[e];
    if (SPIKES != 0u) { return Sum(countOneBits(word & 0xffffu), countOneBits(word >> 16u)); }
    if (INSIDE != 0u) { return Sum(select(0u, 1u, (word & 0x7fffffffu) <= SATURATED), 0u); }
    // Neither 0 nor -0.
    return Sum(select(0u, 1u, (word & 0x7fffffffu) != 0u), 0u);
}

fn add(at: u32, count: u32) {
    if (imm.first != 0u) {
        counts[at] = count;
    } else {
        counts[at] += count;
    }
}

@compute @workgroup_size(WG) fn activity_count(thread: Thread, @builtin(workgroup_id) group: vec3<u32>) {
    let t = thread.index;
    let r = group.y;
    let c = group.x * CB + t % CB;
    // Units past the end repeat the last one and are not stored.
    let base = r * imm.m * C + min(c, C - 1u);
    var s = Sum();
    var m = t / CB;
    // Four at a time, so that four loads are under way.
    for (; m + 3u * LANES < imm.m; m += 4u * LANES) {
        let e = base + m * C;
        s += (activity(e) + activity(e + LANES * C)) + (activity(e + 2u * LANES * C) + activity(e + 3u * LANES * C));
    }
    for (; m < imm.m; m += LANES) { s += activity(base + m * C); }
    s = reduce(s, thread);
    if (t < CB && c < C) {
        if (SPIKES != 0u) {
            add(r * 2u * C + c, s.x);
            add((r * 2u + 1u) * C + c, s.y);
        } else {
            add(r * C + c, s.x);
        }
    }
}

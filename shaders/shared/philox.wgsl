// Philox4x32-10 (Salmon et al., SC'11). CPU twin: src/num/philox.rs. Integers, so CPU and GPU agree exactly.
// Counter = (draw, slot, environment, stream), key = (seed, replica id).
const STREAM_RESET: u32 = 0u;
const STREAM_MOTION: u32 = 1u;
const STREAM_ECHO: u32 = 2u;
const STREAM_ACTION: u32 = 3u;
const STREAM_SHUFFLE: u32 = 4u;
const STREAM_INIT: u32 = 5u;
const STREAM_BASELINE: u32 = 6u;
const STREAM_EXPLORE: u32 = 7u;
const STREAM_REPLAY: u32 = 8u;
const STREAM_MISAC_RESET: u32 = 32u;
const STREAM_MISAC_RANGE: u32 = 33u;
const STREAM_MISAC_TRACK: u32 = 34u;
const STREAM_MISAC_PHASE: u32 = 35u;
const STREAM_MISAC_CSI: u32 = 36u;
const STREAM_MISAC_RECOVERY: u32 = 37u;

// High word of a 32x32 bit product from 16-bit halves.
fn mulhi(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let ll = al * bl;
    let lh = al * bh;
    let hl = ah * bl;
    let mid = (ll >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
    return ah * bh + (lh >> 16u) + (hl >> 16u) + (mid >> 16u);
}

fn philox4x32_10(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let h0 = mulhi(c.x, 0xD2511F53u);
        let l0 = c.x * 0xD2511F53u;
        let h1 = mulhi(c.z, 0xCD9E8D57u);
        let l1 = c.z * 0xCD9E8D57u;
        c = vec4<u32>(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// Counter `start` plus i, carrying from word to word (128 bit, lowest word first).
fn counter_add(start: vec4<u32>, i: u32) -> vec4<u32> {
    var c = start;
    c.x += i;
    if (c.x < i) {
        c.y += 1u;
        if (c.y == 0u) {
            c.z += 1u;
            if (c.z == 0u) { c.w += 1u; }
        }
    }
    return c;
}

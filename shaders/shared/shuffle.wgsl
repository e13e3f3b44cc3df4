// A keyed bijection on [0, n), evaluated index by index: a permutation of the samples of an epoch that no buffer holds.
// Balanced Feistel network of 8 rounds over the smallest even number of bits that covers n, walked until it lands below
// n (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Twin: src/num/shuffle.rs. Integers:
// exact.
#import philox

struct ShuffleKeys {
    first: vec4<u32>,
    second: vec4<u32>,
}

// The 8 round keys of (replica key, update, epoch).
fn shuffle_keys(key: vec2<u32>, update: u32, epoch: u32) -> ShuffleKeys {
    return ShuffleKeys(
        philox4x32_10(vec4<u32>(0u, update, epoch, STREAM_SHUFFLE), key),
        philox4x32_10(vec4<u32>(1u, update, epoch, STREAM_SHUFFLE), key));
}

// lowbias32 (Wellons, hash-prospector): every input bit flips every output bit with probability near 1/2.
fn mix32(x0: u32) -> u32 {
    var x = x0;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

fn feistel_round(lr: vec2<u32>, key: u32, mask: u32) -> vec2<u32> {
    return vec2<u32>(lr.y, lr.x ^ (mix32(lr.y ^ key) & mask));
}

// Where index i < n goes. The walk ends: the network is a permutation, so its cycle through i comes back to i < n. The
// domain is less than 4 n, so a walk longer than k steps has probability below (3/4)^k.
fn shuffle_index(i: u32, n: u32, keys: ShuffleKeys) -> u32 {
    let half = max((33u - countLeadingZeros(n - 1u)) / 2u, 1u);
    let mask = (1u << half) - 1u;
    var x = i;
    loop {
        var lr = vec2<u32>(x >> half, x & mask);
        lr = feistel_round(lr, keys.first.x, mask);
        lr = feistel_round(lr, keys.first.y, mask);
        lr = feistel_round(lr, keys.first.z, mask);
        lr = feistel_round(lr, keys.first.w, mask);
        lr = feistel_round(lr, keys.second.x, mask);
        lr = feistel_round(lr, keys.second.y, mask);
        lr = feistel_round(lr, keys.second.z, mask);
        lr = feistel_round(lr, keys.second.w, mask);
        x = (lr.x << half) | lr.y;
        if (x < n) { break; }
    }
    return x;
}

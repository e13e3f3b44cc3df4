// f32 functions with known error, because WGSL's built-ins are specified loosely. Twin, operation by operation:
// src/num/real/poly.rs (Cephes coefficients). Errors against f64: exp 1.2 ulp, ln 0.8 ulp, tanh 1.3 ulp, sin/cos of a
// phase word 1.2e-7 absolute.
// max(v, LOWEST) marks places where a compiler that reassociates would merge constants; it changes no value.
const LOWEST: f32 = -1e30f;

// e^x, clamped to x in [-87, 88].
fn exp_(x0: f32) -> f32 {
    let x = min(max(x0, -87.0f), 88.0f);
    let n = floor(x * 1.44269504f + 0.5f);
    let r0 = max(x - n * 0.693359375f, LOWEST);
    let r = max(r0 + n * 2.1219444e-4f, LOWEST);
    var p = 1.98756915e-4f;
    p = p * r + 1.39819995e-3f;
    p = p * r + 8.3334519e-3f;
    p = p * r + 4.1665796e-2f;
    p = p * r + 1.66666655e-1f;
    p = p * r + 5.0000001e-1f;
    let y = max(p * (r * r) + r, LOWEST) + 1.0f;
    return bitcast<f32>(bitcast<u32>(y) + (bitcast<u32>(i32(n)) << 23u));
}

// Natural logarithm of a normal positive number.
fn ln_(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let e0 = f32(bitcast<i32>((bits >> 23u) - 126u));
    let m0 = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
    let small = m0 < 0.707106781f;
    let e = e0 - select(0.0f, 1.0f, small);
    let m = select(m0, m0 + m0, small) - 1.0f;
    let z = m * m;
    var p = 7.0376836e-2f;
    p = p * m + -1.15146103e-1f;
    p = p * m + 1.16769987e-1f;
    p = p * m + -1.2420141e-1f;
    p = p * m + 1.42493228e-1f;
    p = p * m + -1.66680577e-1f;
    p = p * m + 2.00007148e-1f;
    p = p * m + -2.4999994e-1f;
    p = p * m + 3.3333331e-1f;
    let y0 = (m * z) * p;
    let y1 = max(y0 + e * -2.1219444e-4f, LOWEST);
    let y = max(y1 - z * 0.5f, LOWEST);
    return max(m + y, LOWEST) + e * 0.693359375f;
}

fn tanh_(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    var p = -5.7049887e-3f;
    p = p * z + 2.0639089e-2f;
    p = p * z + -5.3739716e-2f;
    p = p * z + 1.3331442e-1f;
    p = p * z + -3.3333282e-1f;
    let near = (p * z) * x + x;
    let far = 1.0f - 2.0f / (exp_(a + a) + 1.0f);
    return select(select(far, -far, x < 0.0f), near, a < 0.625f);
}

fn sigmoid_(x: f32) -> f32 {
    return 1.0f / (1.0f + exp_(-x));
}

// (sin, cos) of a phase word: a u32 counting 2^-32 of a turn.
fn sin_cos_word(w: u32) -> vec2<f32> {
    let q = (w + 0x20000000u) >> 30u;
    let x = f32(bitcast<i32>(w - (q << 30u))) * 1.4629180792671596e-9f;
    let z = x * x;
    let s = (((-1.9515296e-4f * z + 8.332161e-3f) * z + -1.6666655e-1f) * z) * x + x;
    let c0 = (((2.4433157e-5f * z + -1.3887316e-3f) * z + 4.1666646e-2f) * z) * z;
    let c = max(c0 - z * 0.5f, LOWEST) + 1.0f;
    let swap = (q & 1u) == 1u;
    let s1 = select(s, c, swap);
    let c1 = select(c, s, swap);
    return vec2<f32>(
        bitcast<f32>(bitcast<u32>(s1) ^ ((q >> 1u) << 31u)),
        bitcast<f32>(bitcast<u32>(c1) ^ (((q + 1u) >> 1u) << 31u)));
}

// (sin, cos) of x rad.
fn sin_cos(x: f32) -> vec2<f32> {
    let turns = x * 0.159154943f;
    let frac = turns - floor(turns + 0.5f);
    return sin_cos_word(bitcast<u32>(i32(frac * 2147483648.0f)) << 1u);
}

// (sin, cos) of pi*u*n, |u| <= 1: u rounded to 2^-30, the multiple wraps exactly.
fn sin_cos_pi_multiple(u: f32, n: u32) -> vec2<f32> {
    return sin_cos_word((bitcast<u32>(i32(u * 1073741824.0f)) << 1u) * n);
}

// atan2(y, x) for y >= 0, in [0, pi].
fn atan2_upper(y: f32, x: f32) -> f32 {
    let a = abs(x);
    let t0 = min(a, y) / max(a, y);
    let upper = 0.414213562f < t0;
    let t = select(t0, (t0 - 1.0f) / (t0 + 1.0f), upper);
    let z = t * t;
    let p = ((8.0537445e-2f * z + -1.3877686e-1f) * z + 1.9977711e-1f) * z + -3.3332949e-1f;
    let r0 = max((p * z) * t + t, LOWEST) + select(0.0f, 0.78539816f, upper);
    let r1 = select(r0, 1.57079633f - r0, a < y);
    return select(r1, 3.14159265f - r1, x < 0.0f);
}

// (w >> 8) 2^-24 + 2^-25, in (0, 1).
fn unit_from_word(w: u32) -> f32 {
    return f32(w >> 8u) * 5.9604645e-8f + 2.9802322e-8f;
}

// Two standard normals from two random words (Box-Muller; the second word, cut to 24 bits and centred, is the phase).
fn normal_pair(w1: u32, w2: u32) -> vec2<f32> {
    let r = sqrt(max(-2.0f * ln_(unit_from_word(w1)), 0.0f));
    let sc = sin_cos_word((w2 & 0xffffff00u) | 0x80u);
    return vec2<f32>(r * sc.y, r * sc.x);
}

// Task misac: the channel (2), (8) and beam elements (10). Twin, operation by operation: `channel_elements`,
// `beam_element` of src/tasks/misac/physics/channel.rs.
#import misac

// The paths of one vehicle's channel in one slot, line of sight first, and the standard deviation of each part of an
// element of Delta h.
struct Paths {
    u: array<f32, 3>,
    amplitude: array<f32, 3>,
    turn: array<vec2<f32>, 3>,
    sigma: f32,
}

fn paths_of(p: MisacParams, s: Vehicle, env: u32, clock: u32, i: u32) -> Paths {
    var out: Paths;
    let misaligned = misalignment(beta_of(p, s), s.age);
    var los = p.los;
    var scatter = p.scatter;
    if (POWER_PRESERVING == 0u) {
        out.sigma = sqrt(max((0.5f * p.csi_error) * misaligned, 0.0f));
    } else {
        let lost = min(max(p.csi_error * misaligned, 0.0f), 1.0f);
        let kept = sqrt(1.0f - lost);
        los = max(los * kept, LOWEST);
        scatter = max(scatter * kept, LOWEST);
        out.sigma = sqrt(0.5f * lost);
    }
    let w = philox4x32_10(vec4<u32>(i, clock, env, STREAM_MISAC_PHASE), p.key);
    out.u = array<f32, 3>(geometry(p, s.x).x, s.s0, s.s1);
    out.amplitude = array<f32, 3>(los, scatter, scatter);
    out.turn = array<vec2<f32>, 3>(sin_cos_word(w.x), sin_cos_word(w.y), sin_cos_word(w.z));
    return out;
}

const ANTENNA_PAIRS: u32 = (N + 1u) / 2u;

// The words of Delta h for antennas 2 pair and 2 pair + 1 of vehicle i.
fn csi_words(key: vec2<u32>, env: u32, clock: u32, i: u32, pair: u32) -> vec4<u32> {
    return philox4x32_10(vec4<u32>(i * ANTENNA_PAIRS + pair, clock, env, STREAM_MISAC_CSI), key);
}

// h_m; `words` are the two of the antenna.
fn channel_element(c: ptr<function, Paths>, words: vec2<u32>, m: u32) -> vec2<f32> {
    let z = normal_pair(words.x, words.y);
    var re = (*c).sigma * z.x;
    var im = (*c).sigma * z.y;
    for (var l = 0u; l < 3u; l++) {
        // e^{j phi} e^{-j pi m u}; the barriers keep a compiler from joining the two paths of equal amplitude.
        let t = (*c).turn[l];
        let sc = sin_cos_pi_multiple((*c).u[l], m);
        re += max((*c).amplitude[l] * (t.y * sc.y + t.x * sc.x), LOWEST);
        im += max((*c).amplitude[l] * (t.x * sc.y - t.y * sc.x), LOWEST);
    }
    return vec2<f32>(re, im);
}

// sqrt(N) v_m = e^{j Phi_m}
fn beam_element(cos_hat: f32, m: u32, phi: f32) -> vec2<f32> {
    let sc = sin_cos(phi);
    if (PHASE == PHASE_DIRECT) {
        return vec2<f32>(sc.y, sc.x);
    }
    let b = sin_cos_pi_multiple(cos_hat, m);
    return vec2<f32>(sc.y * b.y + sc.x * b.x, sc.x * b.y - sc.y * b.x);
}

// conj(h) w. Without the barriers Mesa re-associates sums of these.
fn conj_product(h: vec2<f32>, w: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(max(h.x * w.x + h.y * w.y, LOWEST), max(h.x * w.y - h.y * w.x, LOWEST));
}

// misac_gain: one thread = what the beams of one slot are worth to one vehicle: its own gain, matched and steered
// references, SINR and rate with the interference of all K beams (1). The channel (2), (8) is drawn here, from the
// state before the step and the slot's clock. CPU twin: misac_gain_cpu in src/tasks/misac/kernels/misac_gain.rs
// (`gains` of src/tasks/misac/physics/channel.rs, same operations in the same order).
#import index
#import misac_beam

struct Imm { clock: u32, state_off: u32, phases_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<MisacParams>;   // [R]
@group(0) @binding(1) var<storage, read> state: array<f32>;            // [R, 7K, B] from state_off
@group(0) @binding(2) var<storage, read> phases: array<f32>;           // [R, B, K, N] from phases_off, rad
@group(0) @binding(3) var<storage, read_write> gains: array<f32>;      // [R, GAIN_ROWS, B, K]

// max(v, LOWEST) keeps Mesa from re-associating products and sums; it changes no value.
const PER_ANTENNA: f32 = 1.0 / f32(N);
const LOG2_E: f32 = 1.44269504088896340736;

fn power_of(c: vec2<f32>) -> f32 {
    return max(max(c.x * c.x + c.y * c.y, LOWEST) * PER_ANTENNA, LOWEST);
}

@compute @workgroup_size(WG) fn misac_gain(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B * K) { return; }
    let i = n % K;
    let env = n / K % B;
    let r = n / (K * B);
    let p = params[r];
    let s = load_vehicle(imm.state_off, r, env, i);
    var cos_hat: array<f32, K>;
    for (var j = 0u; j < K; j++) {
        let other = load_vehicle(imm.state_off, r, env, j);
        cos_hat[j] = estimated_cos(p, other.x, seen_error(p, other, env, imm.clock, j));
    }
    let g = geometry(p, s.x);
    var c = paths_of(p, s, env, imm.clock, i);
    // sum conj(h_m) e^{j Phi_m} of every beam, then of the phases from the estimate and from the truth.
    var sum: array<vec2<f32>, K>;
    for (var j = 0u; j < K; j++) {
        sum[j] = vec2<f32>(0.0f, 0.0f);
    }
    var estimate = vec2<f32>(0.0f, 0.0f);
    var truth = vec2<f32>(0.0f, 0.0f);
    var amplitudes = 0.0f;
    var off = 0.0f;
    var power = 0.0f;
    let first = imm.phases_off + (n / K) * K * N;
    for (var pair = 0u; pair < ANTENNA_PAIRS; pair++) {
        let w = csi_words(p.key, env, imm.clock, i, pair);
        for (var half = 0u; half < min(2u, N - 2u * pair); half++) {
            let m = 2u * pair + half;
            let h = channel_element(&c, vec2<u32>(w[2u * half], w[2u * half + 1u]), m);
            for (var j = 0u; j < K; j++) {
                let beam = beam_element(cos_hat[j], m, phases[first + j * N + m]);
                sum[j] += conj_product(h, beam);
                if (j == i) {
                    let square = beam.x * beam.x + beam.y * beam.y;
                    off = max(off, abs(sqrt(square) - 1.0f));
                    power += max(square, LOWEST);
                }
            }
            let a = sin_cos_pi_multiple(cos_hat[i], m);
            estimate += conj_product(h, vec2<f32>(a.y, -a.x));
            let b = sin_cos_pi_multiple(g.x, m);
            truth += conj_product(h, vec2<f32>(b.y, -b.x));
            amplitudes += sqrt(max(h.x * h.x + h.y * h.y, LOWEST));
        }
    }
    var interference = 0.0f;
    for (var j = 0u; j < K; j++) {
        if (j != i) {
            interference += power_of(sum[j]);
        }
    }
    let own = power_of(sum[i]);
    // Received power over noise of a beam of gain 1.
    let at_1_m = max(max(p.beam_power_w * p.path_gain_m2, LOWEST) / p.noise_w, LOWEST);
    let snr = max(at_1_m / max(s.x * s.x + p.road_y_m * p.road_y_m, LOWEST), LOWEST);
    let sinr = max(snr * own, LOWEST) / max(snr * interference + 1.0f, LOWEST);
    // Rows as in `gain_row` of src/tasks/misac/physics/channel.rs.
    let at = r * GAIN_ROWS * B * K + env * K + i;
    gains[at + GAIN_GAIN * B * K] = own;
    gains[at + GAIN_MATCHED * B * K] = max(amplitudes * amplitudes, LOWEST) * PER_ANTENNA;
    gains[at + GAIN_ESTIMATE * B * K] = power_of(estimate);
    gains[at + GAIN_TRUTH * B * K] = power_of(truth);
    gains[at + GAIN_SINR * B * K] = sinr;
    gains[at + GAIN_RATE * B * K] = ln_(1.0f + sinr) * LOG2_E;
    gains[at + GAIN_MODULUS_ERROR * B * K] = off * PER_ROOT_ANTENNA;
    gains[at + GAIN_POWER * B * K] = max(p.beam_power_w * PER_ANTENNA, LOWEST) * power;
}

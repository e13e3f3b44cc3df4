// spatial_loss: gradient of L_spat = -lambda mean |h^H v|^2 / N (13) by the phases, for samples out of a rollout. One
// thread = one vehicle of one sample: it draws the channel (2), (8) of the sample's slot again, so that none is stored.
// CPU twin: spatial_loss_cpu in src/tasks/misac/kernels/spatial_loss.rs (`spatial_gain` of
// src/tasks/misac/physics/channel.rs, same operations in the same order).
#import index
#import misac_beam
#import shuffle

struct Imm { update: u32, epoch: u32, mb: u32, clock: u32, clock_step: u32, state_off: u32, factor: f32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<MisacParams>;    // [R]
@group(0) @binding(1) var<storage, read> state: array<f32>;             // [SLOTS, R, 7K, B] from state_off: before the step of each slot
@group(0) @binding(2) var<storage, read> phases: array<f32>;            // [R, M, K, N], rad
@group(0) @binding(3) var<storage, read_write> d_phases: array<f32>;    // [R, M, K, N]
@group(0) @binding(4) var<storage, read_write> gain: array<f32>;        // [R, M, K]: |h^H v|^2 / N

const PER_ANTENNA2: f32 = 1.0 / (f32(N) * f32(N));

@compute @workgroup_size(WG) fn spatial_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * M * K) { return; }
    let i = n % K;
    let r = n / (K * M);
    let p = params[r];
    // The sample: slot by slot of the minibatch's environments, in the order of minibatch_gather.
    let envs = M / SLOTS;
    let slot = n / K % M / envs;
    let env = shuffle_index(imm.mb * envs + n / K % envs, B, shuffle_keys(p.key, imm.update, imm.epoch));
    let clock = imm.clock + slot * imm.clock_step;
    let s = load_vehicle(imm.state_off + slot * (R * STATE_ROWS * K * B), r, env, i);
    let cos_hat = estimated_cos(p, s.x, seen_error(p, s, env, clock, i));
    var c = paths_of(p, s, env, clock, i);
    var re: array<f32, N>;
    var im: array<f32, N>;
    var sum = vec2<f32>(0.0f, 0.0f);
    let first = n * N;
    for (var pair = 0u; pair < ANTENNA_PAIRS; pair++) {
        let w = csi_words(p.key, env, clock, i, pair);
        for (var half = 0u; half < min(2u, N - 2u * pair); half++) {
            let m = 2u * pair + half;
            let h = channel_element(&c, vec2<u32>(w[2u * half], w[2u * half + 1u]), m);
            let t = conj_product(h, beam_element(cos_hat, m, phases[first + m]));
            re[m] = t.x;
            im[m] = t.y;
            sum += t;
        }
    }
    for (var m = 0u; m < N; m++) {
        let turned = sum.y * re[m] - sum.x * im[m];
        d_phases[first + m] = imm.factor * (turned + turned);
    }
    gain[n] = max(sum.x * sum.x + sum.y * sum.y, LOWEST) * PER_ANTENNA2;
}

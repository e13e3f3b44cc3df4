// misac_accumulate: one slot of an evaluation added to what is kept of each episode, or starting it: the metrics of the
// step, the decision and, where the slot is judged, what the beams reached, summed over vehicles. One thread = one
// environment. CPU twin: misac_accumulate_cpu in src/tasks/misac/kernels/misac_accumulate.rs.
#import index

struct Imm { first: u32, judged: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> metrics: array<f32>;         // [R, METRIC_ROWS, B]
@group(0) @binding(1) var<storage, read> action: array<f32>;          // [R, B, K]: 0 or 1
@group(0) @binding(2) var<storage, read> gains: array<f32>;           // [R, GAIN_ROWS, B, K], read if judged
@group(0) @binding(3) var<storage, read_write> episode: array<f32>;   // [R, EPISODE_ROWS, B]

fn of_step(n: u32, row: u32) -> f32 {
    return metrics[(n / B * METRIC_ROWS + row) * B + n % B];
}

// Over the vehicles of an environment.
fn sum_of_beams(n: u32, row: u32) -> f32 {
    let first = ((n / B * GAIN_ROWS + row) * B + n % B) * K;
    var sum = 0.0f;
    for (var i = 0u; i < K; i++) {
        sum += gains[first + i];
    }
    return sum;
}

fn worst_of_beams(n: u32, row: u32) -> f32 {
    let first = ((n / B * GAIN_ROWS + row) * B + n % B) * K;
    var worst = 0.0f;
    for (var i = 0u; i < K; i++) {
        worst = max(worst, gains[first + i]);
    }
    return worst;
}

fn before(n: u32, row: u32) -> f32 {
    // What lies there when an episode starts belongs to another one.
    if (imm.first != 0u) { return 0.0f; }
    return episode[(n / B * EPISODE_ROWS + row) * B + n % B];
}

fn put(n: u32, row: u32, x: f32) {
    episode[(n / B * EPISODE_ROWS + row) * B + n % B] = x;
}

@compute @workgroup_size(WG) fn misac_accumulate(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    put(n, EPISODE_ENERGY, before(n, EPISODE_ENERGY) + of_step(n, METRIC_ENERGY));
    put(n, EPISODE_REWARD, before(n, EPISODE_REWARD) + of_step(n, METRIC_REWARD));
    put(n, EPISODE_L_BMP, before(n, EPISODE_L_BMP) + of_step(n, METRIC_L_BMP));
    put(n, EPISODE_OVER_GAMMA, before(n, EPISODE_OVER_GAMMA) + of_step(n, METRIC_OVER_GAMMA));
    put(n, EPISODE_ANGLE_MAE, before(n, EPISODE_ANGLE_MAE) + of_step(n, METRIC_ANGLE_MAE));
    put(n, EPISODE_OVER_AGE, before(n, EPISODE_OVER_AGE) + of_step(n, METRIC_OVER_AGE));
    put(n, EPISODE_AGE_MAX, max(before(n, EPISODE_AGE_MAX), of_step(n, METRIC_AGE_MAX)));
    var frames = 0.0f;
    for (var i = 0u; i < K; i++) {
        frames += action[n * K + i];
    }
    put(n, EPISODE_FRAMES, before(n, EPISODE_FRAMES) + frames);
    if (imm.judged != 0u) {
        put(n, EPISODE_GAIN, before(n, EPISODE_GAIN) + sum_of_beams(n, GAIN_GAIN));
        put(n, EPISODE_MATCHED, before(n, EPISODE_MATCHED) + sum_of_beams(n, GAIN_MATCHED));
        put(n, EPISODE_ESTIMATE, before(n, EPISODE_ESTIMATE) + sum_of_beams(n, GAIN_ESTIMATE));
        put(n, EPISODE_TRUTH, before(n, EPISODE_TRUTH) + sum_of_beams(n, GAIN_TRUTH));
        put(n, EPISODE_RATE, before(n, EPISODE_RATE) + sum_of_beams(n, GAIN_RATE));
        put(n, EPISODE_POWER, before(n, EPISODE_POWER) + sum_of_beams(n, GAIN_POWER));
        put(n, EPISODE_MODULUS_ERROR, max(before(n, EPISODE_MODULUS_ERROR), worst_of_beams(n, GAIN_MODULUS_ERROR)));
    }
}

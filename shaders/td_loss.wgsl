// td_loss: temporal-difference loss of a value that is a sum over K heads, and its gradient. One thread = one sample.
//   Q = sum_k q[k, c_k], y = reward + gamma (1 - terminated) sum_k max_c q_next[k, c], d = Q - y
//   where SPLIT > 0 q[k, c] is the sum of a beam's value and a level's, SPLIT of the first before the others
//   Huber: mean of 0.5 d^2 where |d| < 1, else |d| - 0.5; squared: mean of d^2
// CPU twin: td_loss_cpu in src/kernels/td_loss.rs. Compared by tolerance.
#import index

@group(0) @binding(0) var<storage, read> gamma: array<f32>;              // [R]
@group(0) @binding(1) var<storage, read> q: array<f32>;                  // [R, M, K, L]
@group(0) @binding(2) var<storage, read> q_next: array<f32>;             // [R, M, K, L]
@group(0) @binding(3) var<storage, read> mb_action: array<f32>;          // [R, M, K]: chosen indices, not read if L = 1
@group(0) @binding(4) var<storage, read> mb_scalars: array<vec2<f32>>;   // [R, M]: reward, 1 - terminated
@group(0) @binding(5) var<storage, read_write> d_q: array<f32>;          // [R, M, K, L]: d loss / d q, with its 1/M
@group(0) @binding(6) var<storage, read_write> terms: array<vec2<f32>>;  // [R, M]: the sample's term of the loss without 1/M, y

const LEVELS: u32 = L - SPLIT;
const PARTS: u32 = select(1u, 2u, SPLIT > 0u);

// Where the value that a head's choice takes of a part is.
fn taken(head: u32, part: u32) -> u32 {
    if (L == 1u) { return head * L; }
    let choice = u32(mb_action[head]);
    if (SPLIT == 0u) { return head * L + choice; }
    return head * L + select(choice / LEVELS, SPLIT + choice % LEVELS, part > 0u);
}

@compute @workgroup_size(WG) fn td_loss(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= R * M) { return; }
    var value = 0.0f;
    var best = 0.0f;
    for (var k = 0u; k < K; k++) {
        let head = i * K + k;
        for (var part = 0u; part < PARTS; part++) {
            value += q[taken(head, part)];
            let first = head * L + part * SPLIT;
            let count = select(LEVELS, SPLIT, part + 1u < PARTS);
            var top = q_next[first];
            for (var c = 1u; c < count; c++) {
                top = max(top, q_next[first + c]);
            }
            best += top;
        }
    }
    let y = mb_scalars[i].x + gamma[i / M] * mb_scalars[i].y * best;
    let d = value - y;
    var term = d * d;
    var slope = d + d;
    if (HUBER == 1u) {
        term = select(abs(d) - 0.5f, 0.5f * (d * d), abs(d) < 1.0f);
        slope = min(max(d, -1.0f), 1.0f);
    }
    for (var k = 0u; k < K; k++) {
        let head = i * K + k;
        for (var c = 0u; c < L; c++) {
            d_q[head * L + c] = 0.0f;
        }
        for (var part = 0u; part < PARTS; part++) {
            d_q[taken(head, part)] = slope * (1.0f / f32(M));
        }
    }
    terms[i] = vec2<f32>(term, y);
}

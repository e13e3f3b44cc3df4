// v2x_rollout: one workgroup = `slots` slots of E environments of one replica under the actor's perceptron. For each
// slot: observation -> dense layers -> action from a diagonal Gaussian (the draws of gaussian_head) -> slot
// (shared/v2x_slot.wgsl) -> next observation, with automatic reset where (clock+1) mod T = 0. The first E threads keep
// the state of one environment each in registers; activations and weights are in workgroup memory. CPU twin:
// v2x_rollout_cpu in src/tasks/v2x/kernels/v2x_rollout.rs.
//
// Every thread has 8x4 results of a hidden layer: 8 environments, 4 neurons. RESIDENT: all weights are staged once for
// the whole dispatch; else each layer's go through workgroup memory in slices of BK inputs, at every slot. The sum over
// the inputs runs upwards, one term at a time, either way.
#import activation
#import tile_results
#import v2x_slot

// `first` is the rollout's slot that `clock` is.
struct Imm { clock: u32, first: u32, slots: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;      // [R]
@group(0) @binding(1) var<storage, read> net: array<f32>;               // [R, P]: the actor at NET_OFF, log_std [A] at LS_OFF
@group(0) @binding(2) var<storage, read_write> state: array<f32>;       // [R, 10K, B]
@group(0) @binding(3) var<storage, read_write> obs: array<f32>;         // [SLOTS + 2, R, B, O]; the last row is the final observation
@group(0) @binding(4) var<storage, read_write> action: array<f32>;      // [SLOTS, R, B, A]
@group(0) @binding(5) var<storage, read_write> logprob: array<f32>;     // [SLOTS, R, B]
@group(0) @binding(6) var<storage, read_write> flags: array<u32>;       // [SLOTS, R, B]
@group(0) @binding(7) var<storage, read_write> outcome: array<f32>;     // [OUTCOMES, SLOTS, R, B]

// Rows of quads are one quad longer than needed, so that threads that write a column meet different memory banks.
const AQ: u32 = E / 4u;
const A_STRIDE: u32 = AQ + 1u;
const B_STRIDE: u32 = BQ + 1u;
// Inputs of a layer, as quads of four environments: quad q of input k at k * A_STRIDE + q.
var<workgroup> act: array<vec4<f32>, ACT_ROWS * A_STRIDE>;
// Weights, as quads of four outputs of a layer: quad q of input k at k * stride + q.
var<workgroup> staged: array<vec4<f32>, STAGED>;
// Means, then actions, 4j .. 4j+3 of environment e at j * E + e.
var<workgroup> mean: array<vec4<f32>, OUTQ * E>;
// Observations [E, O].
var<workgroup> fresh: array<f32, E * O>;

const HALF_LN_2PI: f32 = 0.918938533f;

// This environment's action, in whole Philox blocks.
var<private> drawn: array<f32, 4u * OUTQ>;

fn action_at(i: u32) -> f32 {
    return drawn[i];
}

// Outputs of hidden layer l.
fn width(l: u32) -> u32 {
    switch l {
        case 0u: { return WIDTH_0; }
        case 1u: { return WIDTH_1; }
        case 2u: { return WIDTH_2; }
        case 3u: { return WIDTH_3; }
        case 4u: { return WIDTH_4; }
        case 5u: { return WIDTH_5; }
        case 6u: { return WIDTH_6; }
        default: { return WIDTH_7; }
    }
}

// A dense layer: its weight [outputs, inputs] starts at `w_off` of `net`, its bias behind it, and at `staged_off` of
// `staged` if RESIDENT.
struct Layer { inputs: u32, outputs: u32, w_off: u32, staged_off: u32 }

// Inputs, rounded up to what a step of the products takes: the weights of the others are zeros.
fn terms(l: Layer) -> u32 {
    return (l.inputs + 3u) / 4u * 4u;
}

fn outputs_of(l: u32) -> u32 {
    return select(A, width(l), l < HIDDEN);
}

fn first_layer(r: u32) -> Layer {
    return Layer(O, outputs_of(0u), r * P + NET_OFF, 0u);
}

// Layer n, which follows l.
fn next_layer(l: Layer, n: u32) -> Layer {
    return Layer(l.outputs, outputs_of(n), l.w_off + l.outputs * (l.inputs + 1u), l.staged_off + terms(l) * B_STRIDE);
}

// Weights of inputs k0 .. k0 + BK to `staged` from `at`. Quad q of a hidden layer = outputs q, q+BQ, q+2BQ, q+3BQ, so
// that neighbouring threads have neighbouring neurons; of the last layer, outputs 4q .. 4q+3. Outputs past the end
// repeat the last one: nobody looks at their sums.
fn stage(t: u32, l: Layer, last: bool, k0: u32, at: u32) {
    let quads = select(BQ, OUTQ, last);
    let stride = select(B_STRIDE, OUTQ, last);
    let step = select(BQ, 1u, last);
    let top = l.outputs - 1u;
    let end = min(BK, terms(l) - k0);
    for (var e = t; e < BK * quads; e += THREADS) {
        let k = e % BK;
        let q = e / BK;
        let o = select(q, 4u * q, last);
        if (k < end) {
            var v = vec4<f32>();
            if (k0 + k < l.inputs) {
                let column = l.w_off + k0 + k;
                v = vec4<f32>(
                    net[column + min(o, top) * l.inputs], net[column + min(o + step, top) * l.inputs],
                    net[column + min(o + 2u * step, top) * l.inputs], net[column + min(o + 3u * step, top) * l.inputs]);
            }
            staged[at + k * stride + q] = v;
        }
    }
}

fn multiply_step(c: ptr<function, Tile>, a: u32, b: u32) {
    add_outer(c, act[a], act[a + AQ / 2u], staged[b]);
}

// c += inputs k0 .. k0 + count, whose weights stand from `at`.
fn multiply(c: ptr<function, Tile>, k0: u32, count: u32, at: u32, ty: u32, tx: u32) {
    for (var k = 0u; k < count; k += 4u) {
        let a = (k0 + k) * A_STRIDE + ty;
        let b = at + k * B_STRIDE + tx;
        multiply_step(c, a, b);
        multiply_step(c, a + A_STRIDE, b + B_STRIDE);
        multiply_step(c, a + 2u * A_STRIDE, b + 2u * B_STRIDE);
        multiply_step(c, a + 3u * A_STRIDE, b + 3u * B_STRIDE);
    }
}

// Four environments' sums of one of the thread's neurons: neuron i/2, the lower or the upper quad of environments.
fn tile_column(c: ptr<function, Tile>, i: u32) -> vec4<f32> {
    switch i {
        case 0u: { return vec4<f32>((*c).r0.x, (*c).r1.x, (*c).r2.x, (*c).r3.x); }
        case 1u: { return vec4<f32>((*c).r4.x, (*c).r5.x, (*c).r6.x, (*c).r7.x); }
        case 2u: { return vec4<f32>((*c).r0.y, (*c).r1.y, (*c).r2.y, (*c).r3.y); }
        case 3u: { return vec4<f32>((*c).r4.y, (*c).r5.y, (*c).r6.y, (*c).r7.y); }
        case 4u: { return vec4<f32>((*c).r0.z, (*c).r1.z, (*c).r2.z, (*c).r3.z); }
        case 5u: { return vec4<f32>((*c).r4.z, (*c).r5.z, (*c).r6.z, (*c).r7.z); }
        case 6u: { return vec4<f32>((*c).r0.w, (*c).r1.w, (*c).r2.w, (*c).r3.w); }
        default: { return vec4<f32>((*c).r4.w, (*c).r5.w, (*c).r6.w, (*c).r7.w); }
    }
}

// `act` becomes the outputs of a hidden layer.
fn hidden_layer(t: u32, l: Layer) {
    let ty = t / BQ;
    let tx = t % BQ;
    var c = Tile();
    if (RESIDENT != 0u) {
        workgroupBarrier();
        multiply(&c, 0u, terms(l), l.staged_off, ty, tx);
    } else {
        for (var k0 = 0u; k0 < l.inputs; k0 += BK) {
            workgroupBarrier();
            stage(t, l, false, k0, 0u);
            workgroupBarrier();
            multiply(&c, k0, min(BK, terms(l) - k0), 0u, ty, tx);
        }
    }
    // The outputs take the place of the inputs, when all threads are done with these.
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
        let o = tx + (i / 2u) * BQ;
        if (o < l.outputs) {
            let z = tile_column(&c, i) + net[l.w_off + l.outputs * l.inputs + o];
            act[o * A_STRIDE + ty + (i % 2u) * (AQ / 2u)] = vec4<f32>(activate(z.x), activate(z.y), activate(z.z), activate(z.w));
        }
    }
}

// Input k of environment e.
fn input(k: u32, e: u32) -> f32 {
    return act[k * A_STRIDE + e / 4u][e % 4u];
}

// `mean` becomes the outputs of the last layer. A thread has four of them, of one environment.
fn output_layer(t: u32, l: Layer) {
    let e = t % E;
    let q = t / E;
    var sum = vec4<f32>();
    for (var k0 = 0u; k0 < l.inputs; k0 += BK) {
        workgroupBarrier();
        if (RESIDENT == 0u) {
            stage(t, l, true, k0, 0u);
            workgroupBarrier();
        }
        if (q < OUTQ) {
            let base = select(0u, l.staged_off + k0 * OUTQ, RESIDENT != 0u) + q;
            for (var k = 0u; k < min(BK, terms(l) - k0); k += 4u) {
                sum += input(k0 + k, e) * staged[base + k * OUTQ];
                sum += input(k0 + k + 1u, e) * staged[base + (k + 1u) * OUTQ];
                sum += input(k0 + k + 2u, e) * staged[base + (k + 2u) * OUTQ];
                sum += input(k0 + k + 3u, e) * staged[base + (k + 3u) * OUTQ];
            }
        }
    }
    if (q < OUTQ) {
        let b_off = l.w_off + l.outputs * l.inputs;
        let o = 4u * q;
        mean[q * E + e] = sum + vec4<f32>(
            net[b_off + min(o, A - 1u)], net[b_off + min(o + 1u, A - 1u)], net[b_off + min(o + 2u, A - 1u)], net[b_off + min(o + 3u, A - 1u)]);
    }
}

fn stage_all(r: u32, t: u32) {
    var l = first_layer(r);
    for (var n = 0u; n <= HIDDEN; n++) {
        let last = n == HIDDEN;
        for (var k0 = 0u; k0 < l.inputs; k0 += BK) {
            stage(t, l, last, k0, l.staged_off + k0 * select(B_STRIDE, OUTQ, last));
        }
        l = next_layer(l, n + 1u);
    }
}

// Means of the observations in `act`.
fn actor(r: u32, t: u32) {
    var l = first_layer(r);
    for (var n = 0u; n < HIDDEN; n++) {
        hidden_layer(t, l);
        l = next_layer(l, n + 1u);
    }
    output_layer(t, l);
}

// The action of environment `env`, the workgroup's t-th, into `drawn` and `mean`; its log-probability.
fn draw_action(r: u32, env: u32, t: u32, clock: u32, key: vec2<u32>) -> f32 {
    var sum = 0.0f;
    for (var block = 0u; block < OUTQ; block++) {
        let w = philox4x32_10(vec4<u32>(block, clock, env, STREAM_ACTION), key);
        var z = vec4<f32>(normal_pair(w.x, w.y), normal_pair(w.z, w.w));
        var m = mean[block * E + t];
        for (var j = 0u; j < min(4u, A - 4u * block); j++) {
            let log_std = net[r * P + LS_OFF + 4u * block + j];
            drawn[4u * block + j] = m.x + exp_(log_std) * z.x;
            sum += -0.5f * (z.x * z.x) - log_std - HALF_LN_2PI;
            z = z.yzwx;
            m = m.yzwx;
        }
        mean[block * E + t] = vec4<f32>(drawn[4u * block], drawn[4u * block + 1u], drawn[4u * block + 2u], drawn[4u * block + 3u]);
    }
    return sum;
}

fn put_fresh(r: u32, t: u32, s: ptr<function, State>) {
    for (var i = 0u; i < K; i++) {
        let row = observe(r, s, i);
        fresh[t * O + i] = row.x;
        fresh[t * O + K + i] = row.y;
        fresh[t * O + 2u * K + i] = row.z;
        fresh[t * O + 3u * K + i] = row.w;
    }
}

// The fresh observations as the first layer's inputs.
fn take_in(t: u32) {
    for (var i = t; i < O * AQ; i += THREADS) {
        let k = i / AQ;
        let e = 4u * (i % AQ);
        act[k * A_STRIDE + i % AQ] = vec4<f32>(fresh[e * O + k], fresh[(e + 1u) * O + k], fresh[(e + 2u) * O + k], fresh[(e + 3u) * O + k]);
    }
}

@compute @workgroup_size(THREADS) fn v2x_rollout(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let r = group.z;
    let e0 = group.x * E;
    let env = e0 + t;
    let mine = t < E && env < B;
    let count = min(E, B - e0);
    var s: State;
    if (mine) {
        load_state(r, env, &s);
        put_fresh(r, t, &s);
    }
    if (RESIDENT != 0u) {
        stage_all(r, t);
    }
    workgroupBarrier();
    take_in(t);
    for (var n = 0u; n < imm.slots; n++) {
        let clock = imm.clock + n;
        let row = (imm.first + n) * R + r;
        actor(r, t);
        workgroupBarrier();
        if (mine) {
            let p = params[r];
            let ends = (clock + 1u) % T == 0u;
            let at = row * B + env;
            logprob[at] = draw_action(r, env, t, clock, p.key);
            let o = slot(p, env, clock, &s);
            flags[at] = select(0u, TRUNCATED, ends);
            outcome[OUTCOME_REWARD * SLOTS * R * B + at] = o.reward;
            outcome[OUTCOME_SUM_RATE * SLOTS * R * B + at] = o.sum_rate;
            outcome[OUTCOME_JAIN * SLOTS * R * B + at] = o.jain;
            outcome[OUTCOME_INDICATOR * SLOTS * R * B + at] = select(0.0f, 1.0f, o.holds);
            if (ends) {
                for (var i = 0u; i < K; i++) {
                    let seen = observe(r, &s, i);
                    let to = (((SLOTS + 1u) * R + r) * B + env) * O + i;
                    obs[to] = seen.x;
                    obs[to + K] = seen.y;
                    obs[to + 2u * K] = seen.z;
                    obs[to + 3u * K] = seen.w;
                }
                reset_state(r, env, clock + 1u, &s);
            }
            put_fresh(r, t, &s);
        }
        workgroupBarrier();
        // All threads write what the environments of a workgroup have side by side.
        let obs_base = ((row + R) * B + e0) * O;
        for (var i = t; i < count * O; i += THREADS) {
            obs[obs_base + i] = fresh[i];
        }
        let action_base = (row * B + e0) * A;
        for (var i = t; i < count * A; i += THREADS) {
            let a = i % A;
            action[action_base + i] = mean[a / 4u * E + i / A][a % 4u];
        }
        take_in(t);
    }
    if (mine) {
        store_state(r, env, &s);
    }
}

// lif_forward: S steps of leaky integrate-and-fire neurons from given currents, constant over the steps or one a step:
// spike words, and where training needs them the potentials and the read-out's trace. CARRIED: the neurons start from
// potentials of the slot before and leave theirs to the next one. One thread = four neurons, WG apart. CPU twin:
// lif_forward_cpu in src/kernels/lif_forward.rs. Spikes must agree except within a margin of the threshold.
#import index
#import lif

struct Imm { elements: u32, replica: u32, stride: u32, leak_off: u32, v_off: u32, v_end: u32, v_width: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<f32>;             // [R, P]: w of the leak; not read unless LEARNED
@group(0) @binding(1) var<storage, read> current: array<f32>;            // [R, M, N], or PER_STEP: [R, M, S, N]
@group(0) @binding(2) var<storage, read_write> words: array<u32>;        // [R, M, N]
@group(0) @binding(3) var<storage, read_write> potentials: array<f32>;   // [R, M, S, N]; not written unless KEEP
@group(0) @binding(4) var<storage, read_write> traces: array<f32>;       // [R, M, N]; not written unless TRACE
@group(0) @binding(5) var<storage, read_write> membrane: array<f32>;     // sample s, neuron n: v_off + s v_width + n, and from v_end; unless CARRIED, not read or written

// Element e = (r M + m) N + n at step t of an array [R, M, S, N].
fn at_step(e: u32, t: u32) -> u32 { return (e / N * S + t) * N + e % N; }

// The leak of element e, whose replica has imm.replica of them and imm.stride parameters.
fn lambda_of(e: u32) -> f32 { return sigmoid_(params[e / imm.replica * imm.stride + imm.leak_off]); }

fn keep(e: u32, t: u32, u: f32) {
    if (e < imm.elements) { potentials[at_step(e, t)] = u; }
}

// Element e among the potentials of all layers, from `first` on.
fn place(e: u32, first: u32) -> u32 { return first + e / N * imm.v_width + e % N; }

fn store(e: u32, word: u32, trace: f32, v: f32) {
    if (e < imm.elements) {
        words[e] = word;
        if (TRACE != 0u) { traces[e] = trace; }
        if (CARRIED != 0u) { membrane[place(e, imm.v_end)] = v; }
    }
}

@compute @workgroup_size(WG) fn lif_forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    // Neurons past the end repeat the last one and are not stored.
    let first = i / WG * (4u * WG) + i % WG;
    let e = vec4<u32>(first, first + WG, first + 2u * WG, first + 3u * WG);
    let last = imm.elements - 1u;
    let source = min(e, vec4<u32>(last));
    var drive = vec4<f32>();
    if (PER_STEP == 0u) { drive = vec4<f32>(current[source.x], current[source.y], current[source.z], current[source.w]); }
    var n = Neurons();
    if (LEARNED != 0u) {
        n.lambda = vec4<f32>(lambda_of(source.x), lambda_of(source.y), lambda_of(source.z), lambda_of(source.w));
    }
    if (CARRIED != 0u) {
        n.v = vec4<f32>(
            membrane[place(source.x, imm.v_off)], membrane[place(source.y, imm.v_off)],
            membrane[place(source.z, imm.v_off)], membrane[place(source.w, imm.v_off)]);
    }
    for (var t = 0u; t < S; t++) {
        if (PER_STEP != 0u) {
            drive = vec4<f32>(
                current[at_step(source.x, t)], current[at_step(source.y, t)],
                current[at_step(source.z, t)], current[at_step(source.w, t)]);
        }
        let u = neurons_step(&n, t, drive);
        if (KEEP != 0u) {
            keep(e.x, t, u.x);
            keep(e.y, t, u.y);
            keep(e.z, t, u.z);
            keep(e.w, t, u.w);
        }
    }
    store(e.x, n.word.x, n.trace.x, n.v.x);
    store(e.y, n.word.y, n.trace.y, n.v.y);
    store(e.z, n.word.z, n.trace.z, n.v.z);
    store(e.w, n.word.w, n.trace.w, n.v.w);
}

// metrics_accumulate: one thread = one metric of one environment, added to its sum over the episode (or starting it).
// CPU twin: metrics_accumulate_cpu in src/kernels/metrics_accumulate.rs. One addition: must agree exactly.
#import index

struct Imm { first: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> metrics: array<f32>;         // [R, METRIC_ROWS, B] = [ELEMENTS]
@group(0) @binding(1) var<storage, read_write> episode: array<f32>;   // as metrics

@compute @workgroup_size(WG) fn metrics_accumulate(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(id, groups);
    if (i >= ELEMENTS) { return; }
    let x = metrics[i];
    if (imm.first != 0u) {
        episode[i] = x;
    } else {
        episode[i] += x;
    }
}

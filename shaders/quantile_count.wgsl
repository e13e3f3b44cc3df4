// quantile_count: one workgroup = the histogram of one quantity of one replica, to which a slot's values are added:
// bins of |x| by exponent and the upper five bits of the mantissa, 32 an octave. Integers: the same on every device.
// CPU twin: quantile_count_cpu in src/kernels/quantile_count.rs. Must agree exactly.
struct Imm { first: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> metrics: array<f32>;        // [R, METRIC_ROWS, B]: QUANTITIES times ROWS rows at the end
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;   // [R, QUANTITIES, BINS]

var<workgroup> seen: array<atomic<u32>, BINS>;

@compute @workgroup_size(WG) fn quantile_count(@builtin(local_invocation_index) t: u32, @builtin(workgroup_id) group: vec3<u32>) {
    for (var bin = t; bin < BINS; bin += WG) { atomicStore(&seen[bin], 0u); }
    workgroupBarrier();
    let first_row = group.y * METRIC_ROWS + METRIC_ROWS - (QUANTITIES - group.x) * ROWS;
    for (var e = t; e < ROWS * B; e += WG) {
        let bits = bitcast<u32>(metrics[first_row * B + e]) & 0x7fffffffu;
        atomicAdd(&seen[clamp(bits >> SHIFT, LEAST, LEAST + BINS - 1u) - LEAST], 1u);
    }
    workgroupBarrier();
    let own = (group.y * QUANTITIES + group.x) * BINS;
    for (var bin = t; bin < BINS; bin += WG) {
        let count = atomicLoad(&seen[bin]);
        if (imm.first != 0u) {
            counts[own + bin] = count;
        } else {
            counts[own + bin] += count;
        }
    }
}

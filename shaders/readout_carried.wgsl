// readout_carried: what a leaky read-out keeps of the slot before: y += KEPT y', where y' is the output that stands
// among the carried potentials, and the new y goes there too. One thread = one output. CPU twin: readout_carried_cpu in
// src/kernels/readout_carried.rs. Compared by tolerance. Constants O, KEPT, WG.
#import index

struct Imm { outputs: u32, y_off: u32, v_off: u32, v_end: u32, v_width: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read_write> y: array<f32>;           // [R, M, O] from y_off
@group(0) @binding(1) var<storage, read_write> membrane: array<f32>;    // sample s, output o: v_off + s v_width + o, and from v_end

@compute @workgroup_size(WG) fn readout_carried(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= imm.outputs) { return; }
    let place = n / O * imm.v_width + n % O;
    let now = y[imm.y_off + n] + KEPT * membrane[imm.v_off + place];
    y[imm.y_off + n] = now;
    membrane[imm.v_end + place] = now;
}

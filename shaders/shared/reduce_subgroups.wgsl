// Sum over the threads of a workgroup: by the device inside each subgroup, then over the subgroups in turn. One device
// always adds in the same order, so its bits do not vary; another may have another order. The other form, and what the
// kernel declares: reduce_tree.
//
// Nothing here rests on the subgroups' size, on all of them being full, or on which threads form one.
struct Thread {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}

// No subgroup is smaller than 4 threads (src/gpu/reduce.rs).
var<workgroup> part: array<Sum, WG / 4u * CB>;

// The sum of `term` over the threads that share a sum with this one. All threads of the workgroup must come here
// together.
fn reduce(term: Sum, thread: Thread) -> Sum {
    for (var c = 0u; c < CB; c++) {
        let sum = subgroupAdd(select(Sum(), term, thread.index % CB == c));
        if (thread.lane == 0u) { part[thread.subgroup * CB + c] = sum; }
    }
    workgroupBarrier();
    var sum = part[thread.index % CB];
    for (var s = 1u; s < thread.subgroups; s++) { sum += part[s * CB + thread.index % CB]; }
    // The next sum overwrites the parts.
    workgroupBarrier();
    return sum;
}

// Sum over the threads of a workgroup as a binary tree in workgroup memory: a fixed order, so the same bits on every
// device. The other form is reduce_subgroups; `#import reduce` takes the one that the device's Gpu::reduce names.
//
// The kernel declares `Sum`, a number or a vector, and CB, a power of two up to 8: threads whose index is the same
// modulo CB share a sum. WG is a power of two.
struct Thread { @builtin(local_invocation_index) index: u32 }

var<workgroup> part: array<Sum, WG>;

// The sum of `term` over the threads that share a sum with this one. All threads of the workgroup must come here
// together.
fn reduce(term: Sum, thread: Thread) -> Sum {
    part[thread.index] = term;
    for (var half = WG / 2u; half >= CB; half /= 2u) {
        workgroupBarrier();
        if (thread.index < half) { part[thread.index] += part[thread.index + half]; }
    }
    workgroupBarrier();
    let sum = part[thread.index % CB];
    // The next sum overwrites the parts.
    workgroupBarrier();
    return sum;
}

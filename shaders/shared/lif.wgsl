// Leaky integrate-and-fire neurons, (34) and (35), four at once: U <- (1-lambda) V + lambda i, a spike where U >= U_th,
// then V <- U_r there and V <- U elsewhere. S (<= 16 steps), LAMBDA, LEAK = 1 - lambda, THRESHOLD, RESET and the
// read-out's SHARE and KEPT from the prelude (src/kernels/lif_forward.rs). LEARNED: lambda is that of the neurons,
// sigmoid_(w) of a learned w, and LAMBDA and LEAK are not read. CARRIED: V starts where the slot before left it.
#import math

struct Neurons {
    // Not read unless LEARNED.
    lambda: vec4<f32>,
    // Potential after the reset, and before it.
    v: vec4<f32>,
    u: vec4<f32>,
    // Bit t: spike at step t; bit 16 + t: U differs from that of the step before (always so at t = 0).
    word: vec4<u32>,
    // The output layer's integrator on the spikes alone: sum_t SHARE KEPT^(S-1-t) s(t) after the last step.
    trace: vec4<f32>,
}

// Step t with these currents; the potentials U before the reset.
fn neurons_step(n: ptr<function, Neurons>, t: u32, current: vec4<f32>) -> vec4<f32> {
    var u = vec4<f32>();
    if (LEARNED != 0u) {
        u = (1.0f - (*n).lambda) * (*n).v + (*n).lambda * current;
    } else {
        u = LEAK * (*n).v + LAMBDA * current;
    }
    let fires = u >= vec4<f32>(THRESHOLD);
    let changed = (u != (*n).u) | vec4<bool>(t == 0u);
    (*n).word |= select(vec4<u32>(), vec4<u32>(1u << t), fires) | select(vec4<u32>(), vec4<u32>(0x10000u << t), changed);
    (*n).trace = KEPT * (*n).trace + SHARE * select(vec4<f32>(), vec4<f32>(1.0f), fires);
    (*n).v = select(u, vec4<f32>(RESET), fires);
    (*n).u = u;
    return u;
}

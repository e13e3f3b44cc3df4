// act(z) of a dense layer, by the constant ACT (`Activation::code` of src/nets/mod.rs).
#import math

fn activate(z: f32) -> f32 {
    if (ACT == 1u) { return tanh_(z); }
    if (ACT == 2u) { return select(0.0f, z, z > 0.0f); }
    return z;
}

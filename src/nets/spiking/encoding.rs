//! Neurons that encode the inputs ([`Population`]): their currents and the gradients of their sharpness and centres.

use crate::nets::dense::{Packed, Strided, leading};
use crate::nets::{Population, population};
use crate::num::real::F32Lanes;

/// `x` of each neuron that encodes it: every input of a row as often as it has `fields`.
pub(super) fn spread(x: impl Iterator<Item = f32>, fields: usize, to: &mut [f32]) {
    to.chunks_exact_mut(fields).zip(x).for_each(|(to, x)| to.fill(x));
}

/// Currents of the neurons that encode rows of x, into `i` `[rows, ld]`.
#[inline(always)]
pub(super) fn encode<V: F32Lanes>(net: &Packed, of: Population, x: Strided, i: &mut [f32]) {
    let (l, sharpness, centre) = (&net.layout.layers[0], &net.layers[0].w, &net.layers[0].bias);
    let gain = V::splat(of.gain);
    for (m, i) in i.chunks_exact_mut(leading(l.outputs)).enumerate() {
        spread((0..l.inputs).map(|k| x.data[m * x.row + k * x.col]), of.fields, &mut i[..l.outputs]);
        for j in (0..l.outputs).step_by(V::LANES) {
            let [x, sharpness, centre] = [&i[j..], &sharpness[j..], &centre[j..]].map(V::load);
            population::current(gain, sharpness, centre, x).store(&mut i[j..]);
        }
        // What fills the last vector must stay silent.
        i[l.outputs..].fill(0.0);
    }
}

/// Adds the gradients by sharpness and centre of a row: `x` of each neuron, its current i and the gradient d by it, all
/// as long as whole vectors.
#[inline(always)]
pub(super) fn encode_back<V: F32Lanes>(
    net: &Packed,
    [x, i, d]: [&[f32]; 3],
    by_sharpness: &mut [f32],
    by_centre: &mut [f32],
) {
    let (sharpness, centre) = (&net.layers[0].w, &net.layers[0].bias);
    for j in (0..net.layout.layers[0].outputs).step_by(V::LANES) {
        let [x, i, d, sharpness, centre] =
            [&x[j..], &i[j..], &d[j..], &sharpness[j..], &centre[j..]].map(V::load);
        let off = x - centre;
        let by_z = sharpness * off * i * d;
        (V::load(&by_sharpness[j..]) - by_z * off).store(&mut by_sharpness[j..]);
        (V::load(&by_centre[j..]) + by_z * sharpness).store(&mut by_centre[j..]);
    }
}

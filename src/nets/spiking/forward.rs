//! The forward pass, tile by tile through all layers.

use super::encoding::encode;
use super::groups::currents;
use super::neurons::Fire;
use super::{Activations, TILE, of_layer, words};
use crate::nets::Lif;
use crate::nets::dense::{PAD, Packed, RowMajor, Strided, leading, product, row_sums};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

struct Forward<'a> {
    net: &'a Packed,
    lif: &'a Lif,
    rows: usize,
    x: Strided<'a>,
    acts: &'a mut Activations,
}

impl LaneKernel for Forward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(self) {
        let Forward { net, lif, rows, x, acts } = self;
        let (layers, s) = (&net.layout.layers, lif.steps);
        let hidden = layers.len() - 1;
        let readout: Vec<f32> = (0..s).map(|t| lif.readout_weight(t) as f32).collect();
        for l in &mut acts.hidden {
            (l.spikes, l.updates) = (0, 0);
            l.groups.clear();
        }
        let Activations { hidden: states, current, weighted, out, keep, count, places, before, after } = acts;
        for lo in (0..rows).step_by(TILE) {
            let n = TILE.min(rows - lo);
            let ld0 = leading(layers[0].outputs);
            let bias = &net.layers[0].bias;
            let (tile, first) = (Strided { data: &x.data[lo * x.row..], ..x }, &mut current[lo * ld0..]);
            match net.layout.population {
                Some(of) => encode::<V>(net, of, tile, &mut first[..n * ld0]),
                None => product::<V, 2>(
                    [n, layers[0].outputs.next_multiple_of(PAD), layers[0].inputs],
                    tile,
                    RowMajor { data: &net.layers[0].wt, ld: ld0 },
                    (first, ld0),
                    false,
                    #[inline(always)]
                    |z, _, j| z + V::load(&bias[j..]),
                ),
            }
            for i in 0..hidden {
                let lif = &of_layer(net, lif, i);
                let (below, here) = states.split_at_mut(i);
                let state = &mut here[0];
                let (ld, words, ldh) = (leading(state.neurons), words(state.neurons), leading(state.neurons));
                let from = if *keep { lo * s * ld } else { 0 };
                if let Some(below) = below.last() {
                    let wt = RowMajor { data: &net.layers[i].wt, ld };
                    let (bias, u) = (&net.layers[i].bias, &mut state.u[from..]);
                    currents::<V>((lo, n, s), &below.groups, wt, bias, u, state.neurons);
                }
                for m in lo..lo + n {
                    let u = from + (m - lo) * s * ld;
                    let fired = &mut state.fired[m * s * words..(m + 1) * s * words];
                    let fire = Fire {
                        lif,
                        neurons: state.neurons,
                        current: if i == 0 { &current[m * ld0..(m + 1) * ld0] } else { &[] },
                        u: if i == 0 { &mut [] } else { &mut state.u[u..u + s * ld] },
                        fired,
                        weighted: if i + 1 == hidden {
                            &mut weighted[m * ldh..(m + 1) * ldh]
                        } else {
                            &mut []
                        },
                        readout: &readout,
                        start: places.of(before, m, i),
                        end: places.of_mut(after, m, i),
                    };
                    let (spikes, updates) = match (i == 0, *count) {
                        (true, false) => fire.run::<V, true, false>(),
                        (true, true) => fire.run::<V, true, true>(),
                        (false, false) => fire.run::<V, false, false>(),
                        (false, true) => fire.run::<V, false, true>(),
                    };
                    state.spikes += spikes;
                    state.updates += updates;
                    if i + 1 < hidden {
                        state.groups.push_row(&state.fired[m * s * words..(m + 1) * s * words], words);
                    }
                }
            }
        }
        let l = &layers[hidden];
        let (ldh, ldo) = (leading(l.inputs), leading(l.outputs));
        let (bias, total) = (&net.layers[hidden].bias, lif.readout_total());
        if l.outputs == 1 {
            let (size, w) = ([rows, l.inputs.next_multiple_of(PAD)], &net.layers[hidden].w);
            let h = RowMajor { data: weighted, ld: ldh };
            row_sums::<V>(size, h, w, total as f32 * bias[0], (out, ldo));
        } else {
            let total = V::splat(total);
            product::<V, 2>(
                [rows, l.outputs.next_multiple_of(PAD), l.inputs],
                Strided { data: weighted, row: ldh, col: 1 },
                RowMajor { data: &net.layers[hidden].wt, ld: ldo },
                (out, ldo),
                false,
                #[inline(always)]
                |z, _, j| V::load(&bias[j..]).mul_add(total, z),
            );
        }
        // What the output's integrators keep of the slot before.
        if places.first.len() > hidden {
            let kept = lif.readout_kept() as f32;
            for m in 0..rows {
                let (start, end) = (places.of(before, m, hidden), places.of_mut(after, m, hidden));
                for (o, y) in out[m * ldo..][..l.outputs].iter_mut().enumerate() {
                    *y += kept * start[o];
                    end[o] = *y;
                }
            }
        }
    }
}

/// Forward pass of `rows` samples x into `acts`.
pub fn forward(net: &Packed, lif: &Lif, rows: usize, x: Strided, acts: &mut Activations) {
    run_lanes(Forward { net, lif, rows, x, acts });
}

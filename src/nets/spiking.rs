//! Spiking networks on the CPU backend: leaky integrate-and-fire layers as [`Lif`] defines them, direct encoding, any
//! number of hidden layers.
//!
//! What makes it fast:
//! * The input is the same in every spike step, so i₁ = W₁x + b₁ is one product, or one Gaussian a neuron
//!   ([`Population`]); the potentials of the first layer are computed from it again in the backward pass and never
//!   stored.
//! * Behind a hidden layer, the neurons of a sample that fired in the same steps are a group: their weight rows are
//!   added once, and the sum then goes to every step of the group (under a constant current there are at most S
//!   groups). Silent neurons cost nothing. The weight gradient is the transpose: the current gradients of a group's
//!   steps are added once, then go to the rows of its neurons.
//! * The output layer is linear in the spikes: one product with h = Σ_t λ(1−λ)^(S−1−t)·s(t).
//! * The gradient by the spikes, Wᵀ·di(t), is dense, since surrogate slopes are nowhere 0: one product over samples ×
//!   steps.
//!
//! Measured on a Xeon with AVX-512, 12-128-128-6, S = 6, rates 0.11 and 0.16, µs a sample and core: forward 0.90, of
//! which the currents of the second layer are 0.30, the neurons 0.21 and the grouping 0.18; backward 2.21, of which
//! Wᵀ·di(t) is 1.32, the sparse weight gradient 0.26 and the neurons 0.43 (a tanh network: 0.38 and 0.57). So the
//! potentials of later layers are kept for the backward pass, since to compute them again costs those 0.30, and those
//! of the first are not: they are a few instructions of the 0.20 that its gradient takes. Wᵀ·di(t) is bound by its
//! multiply-adds. Tiles of 24 to 120 rows, parts of them in the first cache, and spans of 4 or 8 vectors made no
//! difference.
//!
//! Potentials that outlive an inference ([`Membrane::Carried`](super::Membrane)) start from
//! [`Activations::begin`]'s and end in arrays of their own, so that a backward pass finds the former. It takes them as
//! constants: nothing goes back to the slot before.
//!
//! Rows are carried through all layers a tile at a time, so that potentials of all steps stay in the second cache. Sums
//! run in an order that depends on the samples alone.

use super::dense::{Aligned, PAD, Packed, RowMajor, Strided, as_is, layer_sums, leading, product, row_sums};
use super::lif::MAX_STEPS;
use super::{LayerActivity, Lif, MlpLayout, Population, population};
use crate::num::real::{F32Lanes, LaneKernel, run_lanes};

/// Rows that go through the layers together; times any number of steps a multiple of the 12 rows of a tile of
/// [`product`].
const TILE: usize = 24;
/// Rows of a tile, times steps, that the backward pass carries through the layers at once: with the operands of the
/// product by Wᵀ they stay in the first cache. A multiple of 12, too.
const PART: usize = 48;
/// Vectors of outputs that a group's sum is made of at once: with 64 columns, the weights of 128 inputs stay in the
/// first cache.
const SPAN: usize = 4;

/// Rows of a part of a tile.
fn part_rows(steps: usize) -> usize {
    (PART / steps).clamp(1, TILE)
}

/// Spike steps for which the loops over steps are unrolled: those of the paper.
const PAPER_STEPS: usize = 6;

/// Words of a set of `n` neurons.
fn words(n: usize) -> usize {
    n.div_ceil(64)
}

/// Groups of neurons that fired in the same steps, row by row; neurons that never fired are in none.
#[derive(Default)]
struct Groups {
    /// First group of each row, and the end of the last.
    rows: Vec<usize>,
    /// Steps in which the neurons of a group fired, bit t for step t.
    steps: Vec<u32>,
    /// End of each group in `members`.
    ends: Vec<usize>,
    /// Room for every neuron of every row and three more.
    members: Vec<u16>,
    rest: Vec<u64>,
}

impl Groups {
    /// For up to `rows` rows of `n` neurons.
    fn new(rows: usize, n: usize) -> Self {
        Groups { members: vec![0; rows * n + 3], ..Groups::default() }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.rows.push(0);
        self.steps.clear();
        self.ends.clear();
    }

    /// Appends a row: `fired` `[S, words]`. Groups are ordered by the first step in which they fired, then by their
    /// first neuron: under a constant current almost the same words follow each other in every row, which the
    /// processor's branch predictor likes.
    #[inline(always)]
    fn push_row(&mut self, fired: &[u64], words: usize) {
        let mut end = self.ends.last().copied().unwrap_or(0);
        self.rest.clear();
        self.rest.resize(words, !0);
        for (start, begins) in fired.chunks_exact(words).enumerate() {
            for first in 0..words {
                // `rest` holds the neurons that are in no group yet.
                while begins[first] & self.rest[first] != 0 {
                    let bit = (begins[first] & self.rest[first]).trailing_zeros();
                    let mut steps = 0;
                    for (t, step) in fired.chunks_exact(words).enumerate().skip(start) {
                        steps |= ((step[first] >> bit & 1) as u32) << t;
                    }
                    for k in first..words {
                        let mut group = self.rest[k];
                        for (t, step) in fired.chunks_exact(words).enumerate().skip(start) {
                            // All ones where the group is silent, so that the xor keeps the neurons that are silent
                            // too.
                            group &= step[k] ^ u64::from(steps >> t & 1).wrapping_sub(1);
                        }
                        self.rest[k] &= !group;
                        // Four at a time, whether they are there or not: the next group overwrites what is too much,
                        // and the loop ends are easier to foresee.
                        let after = end + group.count_ones() as usize;
                        while group != 0 {
                            let four: &mut [u16; 4] =
                                (&mut self.members[end..end + 4]).try_into().expect("four members");
                            for member in four {
                                *member = ((64 * k) as u16).wrapping_add(group.trailing_zeros() as u16);
                                group &= group.wrapping_sub(1);
                            }
                            end += 4;
                        }
                        end = after;
                    }
                    self.steps.push(steps);
                    self.ends.push(end);
                }
            }
        }
        self.rows.push(self.steps.len());
    }

    /// Steps and neurons of the groups of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> impl Iterator<Item = (u32, &[u16])> {
        let groups = self.rows[row]..self.rows[row + 1];
        let mut from = if groups.start == 0 { 0 } else { self.ends[groups.start - 1] };
        groups.map(move |g| {
            let members = &self.members[from..self.ends[g]];
            from = self.ends[g];
            (self.steps[g], members)
        })
    }
}

/// A hidden layer of neurons.
struct Layer {
    neurons: usize,
    /// U(t) before the reset, `[rows, S, leading(neurons)]`; empty in the first layer, one tile if no backward pass
    /// will follow.
    u: Aligned,
    /// Sets of neurons that fired, `[rows, S, words]`.
    fired: Vec<u64>,
    /// Of the rows of the last forward pass; unused in the last hidden layer.
    groups: Groups,
    /// Spikes and membrane updates of the last forward pass.
    spikes: u64,
    updates: u64,
}

/// What a forward pass leaves for the backward pass and for counting.
pub struct Activations {
    hidden: Vec<Layer>,
    /// i₁ `[rows, leading(N₁)]`
    current: Aligned,
    /// h: spikes of the last hidden layer weighted by what is left of them at the end, `[rows, leading(N)]`.
    weighted: Aligned,
    out: Aligned,
    keep: bool,
    /// Count membrane updates.
    pub count: bool,
    places: Places,
    /// Potentials that the next forward pass starts from, and those that the last one ended at: rows of
    /// [`Places::width`]; empty where they are reset.
    before: Aligned,
    after: Aligned,
}

/// Where the potentials of each layer stand in a row of those that outlive an inference.
pub struct Places {
    /// The first of each layer, which has whole vectors of them; empty where potentials are reset.
    first: Vec<usize>,
    /// Floats of a row.
    pub width: usize,
}

impl Places {
    pub fn new(layout: &MlpLayout) -> Self {
        let (mut first, mut width) = (Vec::new(), 0);
        for neurons in layout.carried() {
            first.push(width);
            width += neurons.next_multiple_of(PAD);
        }
        Places { first, width }
    }

    /// Of all potentials, row `m`'s from those of a layer on; nothing where they are reset.
    #[inline(always)]
    fn of<'a>(&self, all: &'a [f32], m: usize, layer: usize) -> &'a [f32] {
        self.first.get(layer).map_or(&[], |first| &all[m * self.width + first..])
    }

    #[inline(always)]
    fn of_mut<'a>(&self, all: &'a mut [f32], m: usize, layer: usize) -> &'a mut [f32] {
        self.first.get(layer).map_or(&mut [], |first| &mut all[m * self.width + first..])
    }
}

impl Activations {
    /// For up to `rows` samples; `keep` what a backward pass needs.
    pub fn new(layout: &MlpLayout, lif: &Lif, rows: usize, keep: bool) -> Self {
        let layers = &layout.layers;
        assert!(layers.len() >= 2, "a spiking network needs a hidden layer");
        let tall = if keep { rows } else { TILE.min(rows) };
        let hidden = layers[..layers.len() - 1].iter().enumerate().map(|(i, l)| {
            assert!(l.outputs <= usize::from(u16::MAX), "at most 65535 neurons in a layer");
            Layer {
                neurons: l.outputs,
                u: Aligned::zeros(if i == 0 { 0 } else { tall * lif.steps * leading(l.outputs) }),
                fired: vec![0; rows * lif.steps * words(l.outputs)],
                groups: Groups::new(rows, l.outputs),
                spikes: 0,
                updates: 0,
            }
        });
        let ld = |l: usize| leading(layers[l].outputs);
        let places = Places::new(layout);
        let potentials = || Aligned::zeros(rows * places.width);
        Activations {
            before: potentials(),
            after: potentials(),
            hidden: hidden.collect(),
            current: Aligned::zeros(rows * ld(0)),
            weighted: Aligned::zeros(rows * ld(layers.len() - 2)),
            out: Aligned::zeros(rows * ld(layers.len() - 1)),
            keep,
            count: false,
            places,
        }
    }

    /// Potentials that the next forward pass starts from, rows of [`Places::width`]; empty where they are reset.
    pub fn before(&self) -> &[f32] {
        &self.before
    }

    /// Starts the next forward pass of as many rows from these potentials.
    pub fn begin(&mut self, potentials: &[f32]) {
        self.before[..potentials.len()].copy_from_slice(potentials);
    }

    /// Starts the next forward pass where the last one ended.
    pub fn carry(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
    }

    /// Starts the next forward pass at rest.
    pub fn rest(&mut self) {
        self.before.fill(0.0);
    }

    /// Output of the network, `[rows, leading(outputs)]`.
    pub fn output(&self) -> &[f32] {
        &self.out
    }

    /// Spikes of each hidden layer in the last forward pass.
    pub fn spikes(&self) -> impl Iterator<Item = u64> {
        self.hidden.iter().map(|l| l.spikes)
    }

    /// What the last forward pass of `rows` samples did; the input layer is left to the caller.
    pub fn activity(&self, rows: usize, steps: usize) -> Vec<LayerActivity> {
        let behind = |i: usize| self.hidden.get(i + 1).map_or(0, |l| l.updates);
        let counted = self.hidden.iter().enumerate().map(|(i, l)| LayerActivity {
            presentations: steps as u64,
            active: count_bits(&l.fired[..rows * steps * words(l.neurons)], l.neurons),
            membrane_updates: behind(i),
        });
        counted.collect()
    }

    /// Membrane updates of the first hidden layer in the last forward pass.
    pub fn first_updates(&self) -> u64 {
        self.hidden[0].updates
    }

    /// Additions of weights between hidden layers in the last forward pass: every member of a group once, and the
    /// group's sum once per step in which it fired.
    pub fn group_additions(&self) -> u64 {
        let rows = |g: &Groups| {
            let members = g.ends.last().copied().unwrap_or(0) as u64;
            members + g.steps.iter().map(|s| u64::from(s.count_ones())).sum::<u64>()
        };
        self.hidden.windows(2).map(|w| rows(&w[0].groups) * w[1].neurons as u64).sum()
    }

    /// Sets of neurons of a hidden layer that fired, `[rows, S, words of 64 neurons]`.
    pub fn fired(&self, layer: usize) -> &[u64] {
        &self.hidden[layer].fired
    }
}

/// How often each of `n` units is in the sets `[·, words(n)]`: counters whose bits lie in planes, 64 units beside each
/// other.
fn count_bits(sets: &[u64], n: usize) -> Vec<u64> {
    let mut counts = vec![0; n];
    for (k, counts) in counts.chunks_mut(64).enumerate() {
        let mut planes = [0u64; 64];
        for set in sets.chunks_exact(words(n)) {
            let mut carry = set[k];
            for plane in &mut planes {
                if carry == 0 {
                    break;
                }
                (*plane, carry) = (*plane ^ carry, *plane & carry);
            }
        }
        for (bit, count) in counts.iter_mut().enumerate() {
            *count = planes.iter().enumerate().map(|(p, plane)| (plane >> bit & 1) << p).sum();
        }
    }
    counts
}

/// The neurons of hidden layer `i`, whose leak may be a learned one.
fn of_layer(net: &Packed, lif: &Lif, i: usize) -> Lif {
    Lif { lambda: net.leaks.get(i).map_or(lif.lambda, |leak| f64::from(*leak)), ..*lif }
}

/// The constants of the neurons in every lane.
struct Neurons<V> {
    /// 1−λ and λ
    keep: V,
    share: V,
    threshold: V,
    reset: V,
    /// 2/η; π·√(η/2), and that times −U_th.
    level: V,
    sharp: V,
    offset: V,
    detach: bool,
}

impl<V: F32Lanes> Neurons<V> {
    #[inline(always)]
    fn new(lif: &Lif) -> Self {
        let sharp = std::f64::consts::PI * (0.5 * lif.eta).sqrt();
        Neurons {
            keep: V::splat(1.0 - lif.lambda),
            share: V::splat(lif.lambda),
            threshold: V::splat(lif.threshold),
            reset: V::splat(lif.reset),
            level: V::splat(2.0 / lif.eta),
            sharp: V::splat(sharp),
            offset: V::splat(-sharp * lif.threshold),
            detach: lif.detach_reset,
        }
    }

    /// Potential after a current, before the reset.
    #[inline(always)]
    fn charge(&self, v: V, i: V) -> V {
        self.keep.mul_add(v, self.share * i)
    }

    /// ds/dU = (η/2)/(1 + (πη(U−U_th)/2)²), with the factor η/2 inside the sum: 1/(2/η + (π√(η/2)(U−U_th))²).
    #[inline(always)]
    fn slope(&self, u: V) -> V {
        let x = u.mul_add(self.sharp, self.offset);
        x.mul_add(x, self.level).recip()
    }

    /// d·dV/dU
    #[inline(always)]
    fn carry(&self, u: V, slope: V, d: V) -> V {
        let (fires, zero) = (self.threshold.le(u), V::splat(0.0));
        if self.detach {
            V::select(fires, zero, d)
        } else {
            (V::select(fires, zero, V::splat(1.0)) - (u - self.reset) * slope) * d
        }
    }
}

/// One layer's neurons over all steps, for one sample.
struct Fire<'a> {
    lif: &'a Lif,
    neurons: usize,
    /// The constant current of a first layer.
    current: &'a [f32],
    /// Currents `[S, ld]` of another layer, replaced by the potentials.
    u: &'a mut [f32],
    /// `[S, words]`
    fired: &'a mut [u64],
    /// h of a last hidden layer; else empty.
    weighted: &'a mut [f32],
    /// Potentials to start from and where to leave them; empty where they are reset.
    start: &'a [f32],
    end: &'a mut [f32],
    readout: &'a [f32],
}

impl Fire<'_> {
    /// Spikes, and membrane updates if they are to be counted.
    #[inline(always)]
    fn run<V: F32Lanes, const FIRST: bool, const COUNT: bool>(self) -> (u64, u64) {
        match self.lif.steps {
            PAPER_STEPS => self.steps::<V, FIRST, COUNT, PAPER_STEPS>(),
            _ => self.steps::<V, FIRST, COUNT, 0>(),
        }
    }

    /// The same for S steps; for any number if S is 0.
    #[inline(always)]
    fn steps<V: F32Lanes, const FIRST: bool, const COUNT: bool, const S: usize>(self) -> (u64, u64) {
        let c = Neurons::<V>::new(self.lif);
        let s = if S > 0 { S } else { self.lif.steps };
        let (ld, last) = (leading(self.neurons), !self.weighted.is_empty());
        let words = words(self.neurons);
        let cols = self.neurons.next_multiple_of(PAD);
        assert!(FIRST || self.u.len() == s * ld, "potentials of {s} steps");
        let potentials = self.u.as_mut_ptr();
        let (mut spikes, mut updates) = (0, 0);
        for k in 0..words {
            let mut sets = [0u64; MAX_STEPS];
            for j in (64 * k..cols.min(64 * k + 64)).step_by(V::LANES) {
                let (mut v, mut h) = (V::splat(0.0), V::splat(0.0));
                let mut before = V::splat(0.0);
                let drive = if FIRST { c.share * V::load(&self.current[j..]) } else { v };
                if !self.start.is_empty() {
                    v = V::load(&self.start[j..]);
                }
                for t in 0..s {
                    let u = if FIRST {
                        c.keep.mul_add(v, drive)
                    } else {
                        // SAFETY: j + LANES ≤ cols ≤ ld and t < s, and there are s·ld potentials.
                        unsafe {
                            let at = potentials.add(t * ld + j);
                            let u = c.charge(v, V::load_ptr(at));
                            u.store_ptr(at);
                            u
                        }
                    };
                    if COUNT && t > 0 {
                        let changed = V::mask_bits(u.lt(before)) | V::mask_bits(before.lt(u));
                        updates += u64::from(changed.count_ones());
                    }
                    before = u;
                    let fires = c.threshold.le(u);
                    v = V::select(fires, c.reset, u);
                    if last {
                        h = V::select(fires, h + V::splat_f32(self.readout[t]), h);
                    }
                    sets[t] |= V::mask_bits(fires) << (j - 64 * k);
                }
                if last {
                    h.store(&mut self.weighted[j..]);
                }
                if !self.end.is_empty() {
                    v.store(&mut self.end[j..]);
                }
            }
            for (t, set) in sets[..s].iter().enumerate() {
                self.fired[t * words + k] = *set;
                spikes += u64::from(set.count_ones());
            }
        }
        if COUNT {
            updates += self.neurons as u64;
        }
        (spikes, updates)
    }
}

/// `x` of each neuron that encodes it: every input of a row as often as it has `fields`.
fn spread(x: impl Iterator<Item = f32>, fields: usize, to: &mut [f32]) {
    to.chunks_exact_mut(fields).zip(x).for_each(|(to, x)| to.fill(x));
}

/// Currents of the neurons that encode rows of x, into `i` `[rows, ld]`.
#[inline(always)]
fn encode<V: F32Lanes>(net: &Packed, of: Population, x: Strided, i: &mut [f32]) {
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
fn encode_back<V: F32Lanes>(
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

/// Currents i(t) = W s(t) + b of the rows `lo..` whose spikes the groups are, into `i` `[rows, S, ld]`.
#[inline(always)]
fn currents<V: F32Lanes>(
    (lo, rows, steps): (usize, usize, usize),
    groups: &Groups,
    wt: RowMajor,
    bias: &[f32],
    i: &mut [f32],
    outputs: usize,
) {
    /// `sum += Wᵀ[j, c..]`
    #[inline(always)]
    fn add<V: F32Lanes, const N: usize>(sum: &mut [V; N], wt: RowMajor, j: u16, c: usize) {
        let row = usize::from(j) * wt.ld + c;
        assert!(row + N * V::LANES <= wt.data.len());
        for (q, s) in sum.iter_mut().enumerate() {
            // SAFETY: the furthest of these loads was just checked.
            *s += unsafe { V::load_ptr(wt.data.as_ptr().add(row + q * V::LANES)) };
        }
    }
    #[inline(always)]
    fn span<V: F32Lanes, const N: usize>(
        (lo, rows, steps): (usize, usize, usize),
        groups: &Groups,
        wt: RowMajor,
        bias: &[f32],
        i: &mut [f32],
        c: usize,
    ) {
        let ld = wt.ld;
        for m in 0..rows {
            let i = &mut i[m * steps * ld..(m + 1) * steps * ld];
            for t in 0..steps {
                for q in 0..N {
                    V::load(&bias[c + q * V::LANES..]).store(&mut i[t * ld + c + q * V::LANES..]);
                }
            }
            for (mut at, members) in groups.row(lo + m) {
                // Two chains, so that the additions of one need not wait for each other.
                let mut sums = [[V::splat(0.0); N]; 2];
                let mut pairs = members.chunks_exact(2);
                for pair in &mut pairs {
                    add(&mut sums[0], wt, pair[0], c);
                    add(&mut sums[1], wt, pair[1], c);
                }
                if let [j] = pairs.remainder() {
                    add(&mut sums[0], wt, *j, c);
                }
                while at != 0 {
                    let to = at.trailing_zeros() as usize * ld + c;
                    at &= at - 1;
                    for q in 0..N {
                        let here = &mut i[to + q * V::LANES..];
                        (V::load(here) + (sums[0][q] + sums[1][q])).store(here);
                    }
                }
            }
        }
    }
    let (mut c, cols) = (0, outputs.next_multiple_of(PAD));
    while c + SPAN * V::LANES <= cols {
        span::<V, SPAN>((lo, rows, steps), groups, wt, bias, i, c);
        c += SPAN * V::LANES;
    }
    while c < cols {
        span::<V, 1>((lo, rows, steps), groups, wt, bias, i, c);
        c += V::LANES;
    }
}

/// `dWᵀ[j, :] += Σ di(t)` over the steps t in which neuron j fired, for the `rows` whose spikes are among the groups;
/// `di` is `[rows, S, ld]`.
#[inline(always)]
fn weight_gradient<V: F32Lanes>(
    (rows, steps): (&[usize], usize),
    groups: &Groups,
    di: RowMajor,
    dwt: &mut [f32],
    outputs: usize,
) {
    #[inline(always)]
    fn span<V: F32Lanes, const N: usize>(
        (rows, steps): (&[usize], usize),
        groups: &Groups,
        di: RowMajor,
        dwt: &mut [f32],
        c: usize,
    ) {
        let ld = di.ld;
        let last = c + (N - 1) * V::LANES;
        for (di, &m) in di.data.chunks_exact(steps * ld).zip(rows) {
            for (mut at, members) in groups.row(m) {
                let mut sum = [V::splat(0.0); N];
                while at != 0 {
                    let from = at.trailing_zeros() as usize * ld + c;
                    at &= at - 1;
                    for (q, s) in sum.iter_mut().enumerate() {
                        *s += V::load(&di[from + q * V::LANES..]);
                    }
                }
                for j in members {
                    let row = usize::from(*j) * ld;
                    assert!(row + last + V::LANES <= dwt.len());
                    for (q, s) in sum.iter().enumerate() {
                        // SAFETY: the furthest of these accesses was just checked.
                        unsafe {
                            let here = dwt.as_mut_ptr().add(row + c + q * V::LANES);
                            (V::load_ptr(here) + *s).store_ptr(here);
                        }
                    }
                }
            }
        }
    }
    let (mut c, cols) = (0, outputs.next_multiple_of(PAD));
    while c + SPAN * V::LANES <= cols {
        span::<V, SPAN>((rows, steps), groups, di, dwt, c);
        c += SPAN * V::LANES;
    }
    while c < cols {
        span::<V, 1>((rows, steps), groups, di, dwt, c);
        c += V::LANES;
    }
}

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

/// Gradient sums of one network in padded layout, and the space its backward pass needs.
pub struct Gradient {
    /// dW `[out, leading(in)]` of the first and the last layer, dWᵀ `[in, leading(out)]` of those between; of a
    /// [`Population`] `[leading(out)]`.
    w: Vec<Aligned>,
    /// `[leading(out)]` per layer; of the last, without the factor of the constant current.
    b: Vec<Aligned>,
    /// By w of every hidden layer's leak, where it is learned.
    leaks: Vec<f64>,
    /// Gradient by the outputs, `[rows, leading(outputs)]`.
    pub d_out: Aligned,
    /// Gradient by i₁ `[rows, leading(N₁)]`.
    d_current: Aligned,
    /// Of a tile, by the currents of each hidden layer but the first: `[TILE, S, leading(neurons)]`.
    d_currents: Vec<Aligned>,
    /// Of a part of a tile, with the widest layer's ld: by outputs and h `[PART, ld]`, by spikes `[PART, S, ld]`.
    d_top: Aligned,
    d_weighted: Aligned,
    d_spikes: Aligned,
    /// Inputs of a row, of each neuron that encodes them: `[leading(N₁)]`, or empty.
    spread: Aligned,
    /// Rows that have a gradient.
    live: Vec<usize>,
}

impl Gradient {
    pub fn new(layout: &MlpLayout, lif: &Lif, rows: usize) -> Self {
        let layers = &layout.layers;
        let last = layers.len() - 1;
        let encodes = |i: usize| i == 0 && layout.population.is_some();
        let size = |(i, l): (usize, &super::mlp::Layer)| {
            if encodes(i) {
                leading(l.outputs)
            } else if i == 0 || i == last {
                l.outputs * leading(l.inputs)
            } else {
                l.inputs * leading(l.outputs)
            }
        };
        let widest = layers[..last].iter().map(|l| leading(l.outputs)).max().expect("a hidden layer");
        let part = part_rows(lif.steps);
        Gradient {
            w: layers.iter().enumerate().map(|l| Aligned::zeros(size(l))).collect(),
            b: layers.iter().map(|l| Aligned::zeros(leading(l.outputs))).collect(),
            leaks: vec![0.0; layout.leaks().len()],
            d_out: Aligned::zeros(rows * leading(layout.outputs())),
            d_current: Aligned::zeros(rows * leading(layers[0].outputs)),
            d_currents: layers[1..last]
                .iter()
                .map(|l| Aligned::zeros(TILE * lif.steps * leading(l.outputs)))
                .collect(),
            d_top: Aligned::zeros(part * leading(layout.outputs())),
            d_weighted: Aligned::zeros(part * widest),
            d_spikes: Aligned::zeros(if last > 1 { part * lif.steps * widest } else { 0 }),
            spread: Aligned::zeros(if encodes(0) { leading(layers[0].outputs) } else { 0 }),
            live: Vec::with_capacity(rows),
        }
    }

    pub fn clear(&mut self) {
        self.w.iter_mut().chain(&mut self.b).for_each(|v| v.fill(0.0));
        self.leaks.fill(0.0);
    }

    /// Writes the sums to their places in the flat gradient vector of the replica.
    pub fn write_to(&self, layout: &MlpLayout, lif: &Lif, grads: &mut [f32]) {
        grads[layout.leaks()].iter_mut().zip(&self.leaks).for_each(|(g, sum)| *g = *sum as f32);
        let last = layout.layers.len() - 1;
        for (i, l) in layout.layers.iter().enumerate() {
            let (ldi, ldo, w) = (leading(l.inputs), leading(l.outputs), &self.w[i]);
            if i == 0 && layout.population.is_some() {
                grads[l.w_off..l.b_off].copy_from_slice(&w[..l.outputs]);
                grads[l.b_off..][..l.outputs].copy_from_slice(&self.b[i][..l.outputs]);
                continue;
            }
            for (o, row) in grads[l.w_off..l.b_off].chunks_exact_mut(l.inputs).enumerate() {
                if i == 0 || i == last {
                    row.copy_from_slice(&w[o * ldi..o * ldi + l.inputs]);
                } else {
                    row.iter_mut().enumerate().for_each(|(j, g)| *g = w[j * ldo + o]);
                }
            }
            let total = if i == last { lif.readout_total() as f32 } else { 1.0 };
            let b = &mut grads[l.b_off..l.b_off + l.outputs];
            b.iter_mut().zip(self.b[i].iter()).for_each(|(g, b)| *g = total * b);
        }
    }
}

/// Gradients by the spikes of one sample.
enum Upstream<'a> {
    /// By h `[ld]`, with the weights of the steps.
    Weighted(&'a [f32], &'a [f32]),
    /// `[S, ld]`
    Steps(&'a [f32]),
}

/// The gradient by the currents of one sample and layer, from the gradient by its spikes.
struct Descend<'a> {
    lif: &'a Lif,
    /// Neurons, whole vectors.
    cols: usize,
    up: Upstream<'a>,
    cost: f32,
    /// Potentials before the first step; empty where they are reset.
    start: &'a [f32],
}

impl Descend<'_> {
    /// Gradient by the spikes of step `t`, with what they cost.
    #[inline(always)]
    fn up<V: F32Lanes>(&self, t: usize, ld: usize, j: usize) -> V {
        let cost = V::splat_f32(self.cost);
        match self.up {
            Upstream::Weighted(h, readout) => V::splat_f32(readout[t]).mul_add(V::load(&h[j..]), cost),
            Upstream::Steps(d) => V::load(&d[t * ld + j..]) + cost,
        }
    }

    /// Potentials before the first step.
    #[inline(always)]
    fn start<V: F32Lanes>(&self, j: usize) -> V {
        if self.start.is_empty() { V::splat(0.0) } else { V::load(&self.start[j..]) }
    }

    /// Gradient by the constant current of a first layer: Σ_t ds(t)·ds/dU(t)·dU(t)/di, with dU/di carried forward
    /// through the steps. Returns the gradient by w of the leak sigmoid(w), if it is learned.
    #[inline(always)]
    fn constant<V: F32Lanes>(&self, i: &[f32], di: &mut [f32]) -> f32 {
        match (self.lif.steps, self.lif.learn_leak) {
            (PAPER_STEPS, false) => self.constant_of::<V, PAPER_STEPS, false>(i, di),
            (_, false) => self.constant_of::<V, 0, false>(i, di),
            (_, true) => self.constant_of::<V, 0, true>(i, di),
        }
    }

    /// Gradients by the currents of a later layer, from its potentials; adds their sum to the bias gradient. Returns
    /// the gradient by w as [`Descend::constant`].
    #[inline(always)]
    fn stepwise<V: F32Lanes>(&self, u: &[f32], di: &mut [f32], b: &mut [f32]) -> f32 {
        match (self.lif.steps, self.lif.learn_leak) {
            (PAPER_STEPS, false) => self.stepwise_of::<V, PAPER_STEPS, false>(u, di, b),
            (_, false) => self.stepwise_of::<V, 0, false>(u, di, b),
            (_, true) => self.stepwise_of::<V, 0, true>(u, di, b),
        }
    }

    // dU/dw = λ(1−λ)·(i−V) at one step, and i−V = (U−V)/λ, since U = V + λ(i−V). Factors (1−λ) are left to the end.

    #[inline(always)]
    fn constant_of<V: F32Lanes, const S: usize, const LEAK: bool>(&self, i: &[f32], di: &mut [f32]) -> f32 {
        let steps = if S > 0 { S } else { self.lif.steps };
        let (c, ld) = (Neurons::<V>::new(self.lif), i.len());
        let mut by_leak = V::splat(0.0);
        for j in (0..self.cols).step_by(V::LANES) {
            let drive = c.share * V::load(&i[j..]);
            let (mut v, mut dv, mut sum) = (self.start(j), V::splat(0.0), V::splat(0.0));
            // dV/dw
            let mut dw = V::splat(0.0);
            for t in 0..steps {
                let u = c.keep.mul_add(v, drive);
                let du = c.keep.mul_add(dv, c.share);
                let slope = c.slope(u);
                let up = self.up::<V>(t, ld, j) * slope;
                sum = up.mul_add(du, sum);
                dv = c.carry(u, slope, du);
                if LEAK {
                    let by_w = c.keep.mul_add(dw, u - v);
                    by_leak = up.mul_add(by_w, by_leak);
                    dw = c.carry(u, slope, by_w);
                }
                v = V::select(c.threshold.le(u), c.reset, u);
            }
            sum.store(&mut di[j..]);
        }
        if LEAK { (c.keep * by_leak).sum() } else { 0.0 }
    }

    #[inline(always)]
    fn stepwise_of<V: F32Lanes, const S: usize, const LEAK: bool>(
        &self,
        u: &[f32],
        di: &mut [f32],
        b: &mut [f32],
    ) -> f32 {
        let steps = if S > 0 { S } else { self.lif.steps };
        let (c, ld) = (Neurons::<V>::new(self.lif), u.len() / steps);
        let mut by_leak = V::splat(0.0);
        for j in (0..self.cols).step_by(V::LANES) {
            let (mut dv, mut sum) = (V::splat(0.0), V::splat(0.0));
            for t in (0..steps).rev() {
                let here = V::load(&u[t * ld + j..]);
                let slope = c.slope(here);
                let du = self.up::<V>(t, ld, j).mul_add(slope, c.carry(here, slope, dv));
                let d = c.share * du;
                d.store(&mut di[t * ld + j..]);
                sum += d;
                dv = c.keep * du;
                if LEAK {
                    let v = if t == 0 {
                        self.start(j)
                    } else {
                        let before = V::load(&u[(t - 1) * ld + j..]);
                        V::select(c.threshold.le(before), c.reset, before)
                    };
                    by_leak = du.mul_add(here - v, by_leak);
                }
            }
            (V::load(&b[j..]) + sum).store(&mut b[j..]);
        }
        if LEAK { (c.keep * by_leak).sum() } else { 0.0 }
    }
}

struct Backward<'a> {
    net: &'a Packed,
    lif: &'a Lif,
    rows: usize,
    /// `[rows, leading(inputs)]`, zero beyond the inputs.
    x: &'a [f32],
    acts: &'a Activations,
    cost: f32,
    grad: &'a mut Gradient,
}

impl Backward<'_> {
    /// Rows of a tile through the hidden layers, down to the gradient by i₁.
    #[inline(always)]
    fn tile<V: F32Lanes>(&mut self, readout: &[f32], rows: &[usize]) {
        let (layers, lif, s) = (&self.net.layout.layers, self.lif, self.lif.steps);
        let hidden = layers.len() - 1;
        let Gradient { w, b, leaks, d_out, d_current, d_currents, d_top, d_weighted, d_spikes, .. } =
            &mut *self.grad;
        let top = &layers[hidden];
        let (ldh, ldo) = (leading(top.inputs), leading(top.outputs));
        for (part, rows) in rows.chunks(part_rows(s)).enumerate() {
            let first = part * part_rows(s);
            for (d, m) in d_top.chunks_exact_mut(ldo).zip(rows) {
                d.copy_from_slice(&d_out[m * ldo..(m + 1) * ldo]);
            }
            let size = [rows.len(), top.inputs.next_multiple_of(PAD), top.outputs];
            let d = Strided { data: d_top, row: ldo, col: 1 };
            let w = RowMajor { data: &self.net.layers[hidden].w, ld: ldh };
            product::<V, 2>(size, d, w, (d_weighted, ldh), false, as_is);
            for i in (0..hidden).rev() {
                let (state, lif) = (&self.acts.hidden[i], &of_layer(self.net, lif, i));
                let (ld, cols) = (leading(state.neurons), state.neurons.next_multiple_of(PAD));
                for (q, &m) in rows.iter().enumerate() {
                    let up = if i + 1 == hidden {
                        Upstream::Weighted(&d_weighted[q * ld..(q + 1) * ld], readout)
                    } else {
                        Upstream::Steps(&d_spikes[q * s * ld..(q + 1) * s * ld])
                    };
                    let start = self.acts.places.of(&self.acts.before, m, i);
                    let descend = Descend { lif, cols, up, cost: self.cost, start };
                    let by_leak = if i == 0 {
                        let at = m * ld..(m + 1) * ld;
                        descend.constant::<V>(&self.acts.current[at.clone()], &mut d_current[at])
                    } else {
                        let u = &state.u[m * s * ld..(m + 1) * s * ld];
                        let at = (first + q) * s * ld..(first + q + 1) * s * ld;
                        descend.stepwise::<V>(u, &mut d_currents[i - 1][at], &mut b[i])
                    };
                    if let Some(leak) = leaks.get_mut(i) {
                        *leak += f64::from(by_leak);
                    }
                }
                if i > 0 {
                    let l = &layers[i];
                    let ldi = leading(l.inputs);
                    let size = [rows.len() * s, l.inputs.next_multiple_of(PAD), l.outputs];
                    let d = Strided { data: &d_currents[i - 1][first * s * ld..], row: ld, col: 1 };
                    let w = RowMajor { data: &self.net.layers[i].w, ld: ldi };
                    product::<V, 2>(size, d, w, (d_spikes, ldi), false, as_is);
                }
            }
        }
        for i in 1..hidden {
            let outputs = layers[i].outputs;
            let di = RowMajor { data: &d_currents[i - 1], ld: leading(outputs) };
            weight_gradient::<V>((rows, s), &self.acts.hidden[i - 1].groups, di, &mut w[i], outputs);
        }
    }
}

impl LaneKernel for Backward<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let (rows, s) = (self.rows, self.lif.steps);
        let readout: Vec<f32> = (0..s).map(|t| self.lif.readout_weight(t) as f32).collect();
        let layers = &self.net.layout.layers;
        let last = layers.len() - 1;
        let (ld0, ldo) = (leading(layers[0].outputs), leading(layers[last].outputs));
        // Nothing goes back from a sample whose outputs have no gradient, such as one that PPO clips, unless spikes
        // cost.
        let mut live = std::mem::take(&mut self.grad.live);
        live.clear();
        for m in 0..rows {
            if self.cost != 0.0 || self.grad.d_out[m * ldo..(m + 1) * ldo].iter().any(|d| *d != 0.0) {
                live.push(m);
            } else {
                self.grad.d_current[m * ld0..(m + 1) * ld0].fill(0.0);
            }
        }
        for tile in live.chunks(TILE) {
            self.tile::<V>(&readout, tile);
        }
        self.grad.live = live;
        let Gradient { w, b, d_out, d_current, spread: x, .. } = self.grad;
        let encoded = self.net.layout.population;
        let first = encoded.is_none().then_some((0, &*d_current, self.x));
        // A loop and no closure: one that is called twice is not compiled for the vector unit.
        for (i, dy, input) in first.into_iter().chain([(last, &*d_out, &self.acts.weighted[..])]) {
            let l = &layers[i];
            let (ldi, ldo) = (leading(l.inputs), leading(l.outputs));
            let (dy, x) = (RowMajor { data: dy, ld: ldo }, RowMajor { data: input, ld: ldi });
            layer_sums::<V>([rows, l.outputs, l.inputs], dy, x, (&mut w[i], ldi), &mut b[i]);
        }
        if let Some(Population { fields, .. }) = encoded {
            let l = &layers[0];
            let each = self.x.chunks_exact(leading(l.inputs)).zip(self.acts.current.chunks_exact(ld0));
            for ((row, i), d) in each.zip(d_current.chunks_exact(ld0)).take(rows) {
                spread(row.iter().copied(), fields, &mut x[..l.outputs]);
                encode_back::<V>(self.net, [x, i, d], &mut w[0], &mut b[0]);
            }
        }
    }
}

/// Backward pass: takes the output gradient from `grad.d_out` (`[rows, leading(outputs)]`, zero beyond the outputs) and
/// adds to the sums. `x` is `[rows, leading(inputs)]`; `cost` is added to the gradient by every spike.
pub fn backward(
    net: &Packed,
    lif: &Lif,
    rows: usize,
    x: &[f32],
    acts: &Activations,
    cost: f32,
    grad: &mut Gradient,
) {
    assert!(acts.keep, "the forward pass did not keep what its gradient needs");
    run_lanes(Backward { net, lif, rows, x, acts, cost, grad });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Hidden, Membrane, Readout, normals};
    use crate::num::philox::{PhiloxRng, Stream};
    use rand::Rng;

    /// What the definition gives for one sample: spikes [layer][step][neuron], potentials likewise, output.
    struct Reference {
        fired: Vec<Vec<Vec<bool>>>,
        u: Vec<Vec<Vec<f64>>>,
        out: Vec<f64>,
        /// V of each layer before the first step and after the last one.
        start: Vec<Vec<f64>>,
        end: Vec<Vec<f64>>,
        /// Smallest |U − U_th|
        margin: f64,
    }

    fn affine(l: &crate::nets::mlp::Layer, params: &[f64], x: &[f64]) -> Vec<f64> {
        (0..l.outputs)
            .map(|o| {
                let w = &params[l.w_off + o * l.inputs..][..l.inputs];
                w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + params[l.b_off + o]
            })
            .collect()
    }

    /// λ of a layer.
    fn lambda(layout: &MlpLayout, lif: &Lif, params: &[f64], l: usize) -> f64 {
        layout.leaks().nth(l).map_or(lif.lambda, |at| 1.0 / (1.0 + (-params[at]).exp()))
    }

    /// Currents of the neurons that encode x.
    fn encoded(layout: &MlpLayout, of: Population, params: &[f64], x: &[f64]) -> Vec<f64> {
        let l = &layout.layers[0];
        let neuron = |n: usize| {
            let z = params[l.w_off + n] * (x[n / of.fields] - params[l.b_off + n]);
            of.gain * (-z * z / 2.0).exp()
        };
        (0..l.outputs).map(neuron).collect()
    }

    #[test]
    fn a_group_is_added_once_and_then_goes_to_each_of_its_steps() {
        let lif = Lif {
            steps: 3,
            lambda: 1.0,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: true,
            readout: Readout::Last,
            learn_leak: false,
            membrane: Membrane::Reset,
        };
        let layout = MlpLayout::new(&[1, 4, 5, 1], lif, 0);
        let mut params = vec![0f32; layout.params()];
        // With λ = 1 a neuron fires in every step or in none: three do, one does not.
        params[layout.layers[0].w_off..][..4].copy_from_slice(&[2.0, 2.0, 0.5, 2.0]);
        let mut net = Packed::new(&layout);
        net.pack(&params);
        let mut acts = Activations::new(&layout, &lif, 2, false);
        // One group of three neurons and three steps, times five outputs; nothing in the second row.
        forward(&net, &lif, 2, Strided { data: &[1.0, 0.0], row: 1, col: 1 }, &mut acts);
        assert_eq!(acts.group_additions(), (3 + 3) * 5);
    }

    /// (34), (35) step by step from these potentials, in f64.
    fn definition(
        layout: &MlpLayout,
        lif: &Lif,
        params: &[f64],
        x: &[f64],
        start: Vec<Vec<f64>>,
    ) -> Reference {
        let hidden = layout.layers.len() - 1;
        let mut r = Reference {
            fired: vec![Vec::new(); hidden],
            u: vec![Vec::new(); hidden],
            out: vec![0.0; layout.outputs()],
            start: start.clone(),
            end: Vec::new(),
            margin: f64::INFINITY,
        };
        let mut v = start;
        for _ in 0..lif.steps {
            let mut s = x.to_vec();
            for (l, layer) in layout.layers.iter().enumerate() {
                let i = match layout.population {
                    Some(of) if l == 0 => encoded(layout, of, params, x),
                    _ => affine(layer, params, &s),
                };
                let lambda = lambda(layout, lif, params, l);
                let u: Vec<f64> = v[l].iter().zip(&i).map(|(v, i)| (1.0 - lambda) * v + lambda * i).collect();
                if l == hidden {
                    v[l] = match lif.readout {
                        Readout::Last => u,
                        Readout::Mean => v[l].iter().zip(&i).map(|(v, i)| v + i / lif.steps as f64).collect(),
                    };
                    continue;
                }
                let fired: Vec<bool> = u.iter().map(|u| *u >= lif.threshold).collect();
                r.margin = u.iter().fold(r.margin, |m, u| m.min((u - lif.threshold).abs()));
                v[l] = u.iter().zip(&fired).map(|(u, f)| if *f { lif.reset } else { *u }).collect();
                s = fired.iter().map(|f| f64::from(u8::from(*f))).collect();
                r.u[l].push(u);
                r.fired[l].push(fired);
            }
        }
        r.out = v[hidden].clone();
        r.end = v;
        r
    }

    /// Backpropagation through time with the surrogate, from dloss/dout and a constant gradient on every spike, step by
    /// step in f64. Adds to `grads`.
    fn reference_gradient(
        layout: &MlpLayout,
        lif: &Lif,
        params: &[f64],
        (x, r): (&[f64], &Reference),
        d_out: &[f64],
        cost: f64,
        grads: &mut [f64],
    ) {
        let hidden = layout.layers.len() - 1;
        let mut dv: Vec<Vec<f64>> = layout.layers.iter().map(|l| vec![0.0; l.outputs]).collect();
        dv[hidden] = d_out.to_vec();
        for t in (0..lif.steps).rev() {
            let mut ds: Vec<f64> = Vec::new();
            for l in (0..=hidden).rev() {
                let layer = &layout.layers[l];
                let lambda = lambda(layout, lif, params, l);
                let mut di = vec![0.0; layer.outputs];
                for j in 0..layer.outputs {
                    let du = if l == hidden {
                        dv[l][j]
                    } else {
                        let u = r.u[l][t][j];
                        let y = std::f64::consts::PI * lif.eta * (u - lif.threshold) / 2.0;
                        let slope = lif.eta / 2.0 / (1.0 + y * y);
                        let s = f64::from(u8::from(r.fired[l][t][j]));
                        let carried =
                            if lif.detach_reset { 1.0 - s } else { 1.0 - s - (u - lif.reset) * slope };
                        (ds[j] + cost) * slope + dv[l][j] * carried
                    };
                    (di[j], dv[l][j]) = match lif.readout {
                        Readout::Mean if l == hidden => (du / lif.steps as f64, du),
                        _ => (lambda * du, (1.0 - lambda) * du),
                    };
                    if let Some(leak) = layout.leaks().nth(l) {
                        let v = match t {
                            0 => r.start[l][j],
                            _ if r.fired[l][t - 1][j] => lif.reset,
                            _ => r.u[l][t - 1][j],
                        };
                        // λ(1−λ)·(i−V)
                        grads[leak] += du * (1.0 - lambda) * (r.u[l][t][j] - v);
                    }
                }
                let input: Vec<f64> = if l == 0 {
                    x.to_vec()
                } else {
                    r.fired[l - 1][t].iter().map(|f| f64::from(u8::from(*f))).collect()
                };
                ds = vec![0.0; layer.inputs];
                if let (0, Some(of)) = (l, layout.population) {
                    for (n, i) in encoded(layout, of, params, x).into_iter().enumerate() {
                        let (sharpness, off) =
                            (params[layer.w_off + n], x[n / of.fields] - params[layer.b_off + n]);
                        grads[layer.w_off + n] -= di[n] * i * sharpness * off * off;
                        grads[layer.b_off + n] += di[n] * i * sharpness * sharpness * off;
                    }
                    continue;
                }
                for o in 0..layer.outputs {
                    grads[layer.b_off + o] += di[o];
                    for k in 0..layer.inputs {
                        grads[layer.w_off + o * layer.inputs + k] += di[o] * input[k];
                        ds[k] += params[layer.w_off + o * layer.inputs + k] * di[o];
                    }
                }
            }
        }
    }

    struct Case {
        sizes: &'static [usize],
        rows: usize,
        lif: Lif,
        cost: f64,
        /// Neurons that encode each input, or 0.
        fields: usize,
    }

    impl Case {
        /// At some offset.
        fn layout(&self) -> MlpLayout {
            let hidden = match self.fields {
                0 => self.lif.into(),
                fields => Hidden::Encoded(self.lif, Population::new(fields, &self.lif)),
            };
            MlpLayout::new(self.sizes, hidden, 3)
        }
    }

    const PAPER: Lif = Lif {
        steps: 6,
        lambda: 0.5,
        threshold: 1.0,
        reset: 0.0,
        eta: 3.0,
        detach_reset: true,
        readout: Readout::Last,
        learn_leak: false,
        membrane: Membrane::Reset,
    };

    fn carried(lif: Lif) -> Lif {
        Lif { membrane: Membrane::Carried, ..lif }
    }

    /// One, two and three hidden layers; sizes that are no multiple of a vector, a tile or a word; both gradients of
    /// the reset; one, six and the most steps; other constants; inputs as they are and encoded; potentials from 0 and
    /// from anywhere.
    fn cases() -> Vec<Case> {
        let follow = Lif { detach_reset: false, ..PAPER };
        let other = Lif {
            steps: 5,
            lambda: 0.3,
            threshold: 0.8,
            reset: -0.4,
            eta: 2.0,
            detach_reset: false,
            readout: Readout::Last,
            learn_leak: false,
            membrane: Membrane::Reset,
        };
        vec![
            Case { sizes: &[12, 128, 128, 6], rows: 61, lif: PAPER, cost: 0.0, fields: 0 },
            Case { sizes: &[12, 128, 128, 6], rows: 25, lif: follow, cost: 0.02, fields: 0 },
            Case { sizes: &[5, 33, 1], rows: 13, lif: PAPER, cost: 0.0, fields: 0 },
            Case { sizes: &[5, 33, 1], rows: 30, lif: other, cost: 0.1, fields: 0 },
            Case { sizes: &[7, 20, 70, 3], rows: 1, lif: follow, cost: 0.0, fields: 0 },
            Case { sizes: &[3, 65, 17, 130, 13], rows: 29, lif: other, cost: 0.01, fields: 0 },
            Case { sizes: &[4, 40, 30, 5], rows: 26, lif: Lif { steps: 1, ..PAPER }, cost: 0.03, fields: 0 },
            Case {
                sizes: &[6, 40, 33, 7],
                rows: 28,
                lif: Lif { readout: Readout::Mean, ..PAPER },
                cost: 0.01,
                fields: 0,
            },
            Case {
                sizes: &[5, 33, 1],
                rows: 14,
                lif: Lif { readout: Readout::Mean, ..other },
                cost: 0.0,
                fields: 0,
            },
            Case {
                sizes: &[4, 48, 65, 31, 2],
                rows: 27,
                lif: Lif { steps: 16, reset: 0.2, ..other },
                cost: 0.0,
                fields: 0,
            },
            Case { sizes: &[12, 128, 6], rows: 61, lif: PAPER, cost: 0.0, fields: 8 },
            Case { sizes: &[5, 33, 20, 1], rows: 29, lif: other, cost: 0.1, fields: 7 },
            Case {
                sizes: &[6, 40, 33, 7],
                rows: 28,
                lif: Lif { learn_leak: true, ..PAPER },
                cost: 0.01,
                fields: 0,
            },
            Case {
                sizes: &[5, 33, 20, 1],
                rows: 29,
                lif: Lif { learn_leak: true, ..other },
                cost: 0.1,
                fields: 4,
            },
            Case { sizes: &[70, 9, 3], rows: 13, lif: follow, cost: 0.0, fields: 1 },
            Case { sizes: &[12, 128, 6], rows: 61, lif: carried(PAPER), cost: 0.0, fields: 0 },
            Case { sizes: &[3, 65, 17, 130, 13], rows: 29, lif: carried(other), cost: 0.01, fields: 0 },
            Case { sizes: &[5, 33, 70, 1], rows: 30, lif: carried(follow), cost: 0.0, fields: 0 },
            Case {
                sizes: &[6, 40, 33, 7],
                rows: 28,
                lif: carried(Lif { readout: Readout::Mean, ..PAPER }),
                cost: 0.01,
                fields: 0,
            },
            Case {
                sizes: &[5, 33, 20, 1],
                rows: 29,
                lif: carried(Lif { learn_leak: true, ..other }),
                cost: 0.1,
                fields: 4,
            },
        ]
    }

    /// Distance of every potential from the threshold below which f32 may decide otherwise.
    const MARGIN: f64 = 2e-5;

    struct Drawn {
        layout: MlpLayout,
        params: Vec<f64>,
        xs: Vec<Vec<f64>>,
        references: Vec<Reference>,
        d_out: Vec<f64>,
        x: Vec<f32>,
        net: Packed,
    }

    /// Weights, and samples in which no potential comes near the threshold.
    fn drawn(case: &Case) -> Drawn {
        let layout = case.layout();
        let mut rng = PhiloxRng::new([1, 2], Stream::Init, 0, 9);
        let mut params: Vec<f64> = vec![0.0; layout.end()];
        if let Some(of) = layout.population {
            let l = &layout.layers[0];
            let (mut sharpness, mut centre) = (vec![0.0; l.outputs], vec![0.0; l.outputs]);
            of.init(&mut sharpness, &mut centre);
            let start = sharpness.iter().chain(&centre).map(|p| f64::from(*p));
            for ((p, start), z) in
                params[l.w_off..].iter_mut().zip(start).zip(normals(2 * l.outputs, &mut rng))
            {
                *p = f64::from((start + 0.3 * z) as f32);
            }
        }
        for (at, z) in layout.leaks().zip(normals(layout.layers.len(), &mut rng)) {
            params[at] = f64::from((0.7 * z) as f32);
        }
        for l in layout.dense_layers() {
            // A mean above zero, so that the deeper layers fire too.
            let z = normals((l.inputs + 1) * l.outputs, &mut rng);
            let scale = 2.5 / (l.inputs as f64).sqrt();
            params[l.w_off..l.b_off + l.outputs]
                .iter_mut()
                .zip(z)
                .for_each(|(p, z)| *p = f64::from((scale * (z + 0.15)) as f32));
        }
        let (mut xs, mut references) = (Vec::new(), Vec::new());
        while xs.len() < case.rows {
            let x: Vec<f64> =
                normals(layout.inputs(), &mut rng).iter().map(|z| f64::from(*z as f32)).collect();
            let mut start: Vec<Vec<f64>> = layout.layers.iter().map(|l| vec![0.0; l.outputs]).collect();
            for (start, n) in start.iter_mut().zip(layout.carried()) {
                // No neuron is left above its threshold.
                let below = |z: f64| f64::from((0.6 * z).min(case.lif.threshold - 0.05) as f32);
                *start = normals(n, &mut rng).into_iter().map(below).collect();
            }
            let r = definition(&layout, &case.lif, &params, &x, start);
            if r.margin > MARGIN {
                xs.push(x);
                references.push(r);
            }
        }
        let mut d_out: Vec<f64> = (0..case.rows * layout.outputs())
            .map(|_| f64::from((f64::from(rng.next_u32()) / 4294967296.0 - 0.5) as f32))
            .collect();
        // Some samples have no gradient, as where PPO clips.
        d_out.chunks_exact_mut(layout.outputs()).skip(2).step_by(3).for_each(|d| d.fill(0.0));
        let ld = leading(layout.inputs());
        let mut x = vec![0.0; case.rows * ld];
        for (row, xs) in x.chunks_exact_mut(ld).zip(&xs) {
            row.iter_mut().zip(xs).for_each(|(a, b)| *a = *b as f32);
        }
        let mut net = Packed::new(&layout);
        net.pack(&params.iter().map(|p| *p as f32).collect::<Vec<_>>());
        Drawn { layout, params, xs, references, d_out, x, net }
    }

    fn run(case: &Case, d: &Drawn, keep: bool, count: bool) -> Activations {
        let mut acts = Activations::new(&d.layout, &case.lif, case.rows, keep);
        acts.count = count;
        let x = Strided { data: &d.x, row: leading(d.layout.inputs()), col: 1 };
        let places = Places::new(&d.layout);
        let mut start = vec![0.0; case.rows * places.width];
        for (m, r) in d.references.iter().enumerate() {
            for (layer, potentials) in r.start.iter().enumerate() {
                let to = places.of_mut(&mut start, m, layer);
                to.iter_mut().zip(potentials).for_each(|(to, v)| *to = *v as f32);
            }
        }
        acts.begin(&start);
        // Twice: nothing of an earlier pass may stay.
        for _ in 0..2 {
            forward(&d.net, &case.lif, case.rows, x, &mut acts);
        }
        acts
    }

    #[test]
    fn forward_equals_the_definition() {
        for case in cases() {
            let d = drawn(&case);
            for keep in [true, false] {
                let acts = run(&case, &d, keep, true);
                let hidden = acts.hidden.len();
                let (mut rates, mut updates) = (vec![0u64; hidden], vec![0u64; hidden]);
                let mut active: Vec<Vec<u64>> = acts.hidden.iter().map(|l| vec![0; l.neurons]).collect();
                for (m, r) in d.references.iter().enumerate() {
                    for (l, state) in acts.hidden.iter().enumerate() {
                        let w = words(state.neurons);
                        for t in 0..case.lif.steps {
                            for j in 0..state.neurons {
                                let got = state.fired[(m * case.lif.steps + t) * w + j / 64] >> (j % 64) & 1;
                                let want = u64::from(r.fired[l][t][j]);
                                assert_eq!(
                                    got, want,
                                    "{:?}: sample {m}, layer {l}, step {t}, neuron {j}",
                                    case.sizes
                                );
                                rates[l] += want;
                                active[l][j] += want;
                                // Steps of f32 and f64 may differ by what rounding hides; a large difference is seen by
                                // both.
                                let u = &r.u[l];
                                let moved =
                                    |t: usize| (u[t][j] - u[t - 1][j]).abs() > 1e-9 * u[t][j].abs().min(1.0);
                                updates[l] += u64::from(t == 0 || moved(t));
                            }
                        }
                    }
                    for (layer, want) in r.end.iter().enumerate().take(acts.places.first.len()) {
                        let got = acts.places.of(&acts.after, m, layer);
                        for (j, (got, want)) in got.iter().zip(want).enumerate() {
                            assert!(
                                (f64::from(*got) - want).abs() < 5e-6 * (1.0 + want.abs()),
                                "{:?}: potential {j} of layer {layer}, sample {m}: {got} against {want}",
                                case.sizes
                            );
                        }
                    }
                    let ld = leading(d.layout.outputs());
                    for (o, want) in r.out.iter().enumerate() {
                        let got = f64::from(acts.output()[m * ld + o]);
                        assert!(
                            (got - want).abs() < 5e-6 * (1.0 + want.abs()),
                            "{:?}: output {o} of sample {m}: {got} against {want}",
                            case.sizes
                        );
                    }
                }
                assert_eq!(acts.spikes().collect::<Vec<_>>(), rates, "{:?}", case.sizes);
                assert!(rates.iter().all(|&n| n > 0), "{:?}: a silent layer tests nothing", case.sizes);
                let counted = acts.activity(case.rows, case.lif.steps);
                for (l, want) in active.iter().enumerate() {
                    assert_eq!(counted[l].active, *want);
                }
                for (l, want) in updates.iter().enumerate() {
                    let got = acts.hidden[l].updates;
                    assert!(
                        got.abs_diff(*want) as f64 <= 1e-3 * *want as f64,
                        "{:?}: {got} membrane updates of layer {l} against {want}",
                        case.sizes
                    );
                }
            }
        }
    }

    #[test]
    fn backward_equals_the_definition() {
        for case in cases() {
            let d = drawn(&case);
            let acts = run(&case, &d, true, false);
            let (p, outputs) = (d.layout.end(), d.layout.outputs());
            let mut want = vec![0.0; p];
            let mut grad = Gradient::new(&d.layout, &case.lif, case.rows);
            let ld = leading(outputs);
            // Before it, a pass in which every sample has a gradient: nothing of it may stay.
            grad.d_out.fill(1.0);
            backward(&d.net, &case.lif, case.rows, &d.x, &acts, case.cost as f32, &mut grad);
            grad.d_out.fill(0.0);
            for (m, r) in d.references.iter().enumerate() {
                let up = &d.d_out[m * outputs..(m + 1) * outputs];
                reference_gradient(&d.layout, &case.lif, &d.params, (&d.xs[m], r), up, case.cost, &mut want);
                for (o, g) in up.iter().enumerate() {
                    grad.d_out[m * ld + o] = *g as f32;
                }
            }
            let mut grads = vec![0f32; p];
            grad.clear();
            backward(&d.net, &case.lif, case.rows, &d.x, &acts, case.cost as f32, &mut grad);
            grad.write_to(&d.layout, &case.lif, &mut grads);
            let tensors =
                d.layout.layers.iter().flat_map(|l| [l.w_off..l.b_off, l.b_off..l.b_off + l.outputs]);
            let leaks = d.layout.leaks();
            for range in tensors.chain((!leaks.is_empty()).then_some(leaks)) {
                let largest = want[range.clone()].iter().fold(0f64, |m, g| m.max(g.abs()));
                assert!(largest > 0.0);
                for i in range {
                    let (got, want) = (f64::from(grads[i]), want[i]);
                    assert!(
                        (got - want).abs() < 2e-5 * largest,
                        "{:?}, parameter {i}: {got} against {want}, largest {largest}",
                        case.sizes
                    );
                }
            }
        }
    }

    /// Without carried potentials every bit is that of carried ones at rest, and nothing is kept for them.
    #[test]
    fn reset_potentials_are_carried_ones_at_rest() {
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for case in cases().into_iter().filter(|case| case.lif.membrane == Membrane::Reset) {
            let d = drawn(&case);
            let params: Vec<f32> = d.params.iter().map(|p| *p as f32).collect();
            let x = Strided { data: &d.x, row: leading(d.layout.inputs()), col: 1 };
            let [reset, at_rest] = [case.lif, carried(case.lif)].map(|lif| {
                let layout = Case { lif, ..case }.layout();
                let mut net = Packed::new(&layout);
                net.pack(&params);
                let mut acts = Activations::new(&layout, &lif, case.rows, true);
                forward(&net, &lif, case.rows, x, &mut acts);
                let mut grad = Gradient::new(&layout, &lif, case.rows);
                grad.d_out.fill(0.5);
                backward(&net, &lif, case.rows, &d.x, &acts, case.cost as f32, &mut grad);
                let mut grads = vec![0f32; layout.end()];
                grad.write_to(&layout, &lif, &mut grads);
                let fired: Vec<u64> = acts.hidden.iter().flat_map(|l| l.fired.clone()).collect();
                (bits(acts.output()), fired, bits(&grads), acts.before().len())
            });
            assert!(reset.0 == at_rest.0, "{:?}: outputs", case.sizes);
            assert!(reset.1 == at_rest.1, "{:?}: spikes", case.sizes);
            assert!(reset.2 == at_rest.2, "{:?}: gradients", case.sizes);
            assert!(reset.3 == 0 && at_rest.3 > 0);
        }
    }

    /// Two inferences of three steps, the second from where the first ended, are one of six.
    #[test]
    fn a_carried_inference_goes_on_where_the_last_one_ended() {
        for readout in [Readout::Last, Readout::Mean] {
            let six = carried(Lif { readout, ..PAPER });
            let case = Case { sizes: &[7, 20, 33, 4], rows: 30, lif: six, cost: 0.0, fields: 0 };
            let d = drawn(&case);
            let x = Strided { data: &d.x, row: leading(7), col: 1 };
            let three = Lif { steps: 3, ..six };
            let mut whole = Activations::new(&d.layout, &six, 30, false);
            let mut halves = Activations::new(&d.layout, &three, 30, false);
            forward(&d.net, &six, 30, x, &mut whole);
            forward(&d.net, &three, 30, x, &mut halves);
            assert!(halves.before().iter().all(|v| *v == 0.0), "a forward pass leaves where it starts");
            let first: Vec<f32> = halves.output().to_vec();
            halves.carry();
            forward(&d.net, &three, 30, x, &mut halves);
            for (layer, n) in [20, 33].into_iter().enumerate() {
                let words = words(n);
                for m in 0..30 {
                    let last = &whole.fired(layer)[(6 * m + 3) * words..(6 * m + 6) * words];
                    assert_eq!(last, &halves.fired(layer)[3 * m * words..(3 * m + 3) * words], "{readout:?}");
                    let [a, b] = [&whole, &halves].map(|acts| &acts.places.of(&acts.after, m, layer)[..n]);
                    // Groups of neurons of the layer below, and so the order of sums, differ.
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5 * (1.0 + a.abs());
                    assert!(a.iter().zip(b).all(near), "{readout:?}: layer {layer}, sample {m}: {a:?} {b:?}");
                }
            }
            for (i, want) in whole.output().iter().enumerate() {
                let got = match readout {
                    Readout::Last => halves.output()[i],
                    Readout::Mean => 0.5 * (first[i] + halves.output()[i]),
                };
                assert!((got - want).abs() < 1e-5, "{readout:?}, output {i}: {got} against {want}");
            }
            // From rest again, the first half.
            halves.rest();
            forward(&d.net, &three, 30, x, &mut halves);
            assert_eq!(halves.output(), first, "{readout:?}");
        }
    }

    #[test]
    fn equal_spike_words_make_a_group() {
        let mut groups = Groups::new(3, 128);
        groups.clear();
        // Three steps, two words: neuron 1 in all steps, 3 and 64 in the first and third, 70 in the second.
        groups.push_row(&[0b1010, 0b1, 0b0010, 1 << 6, 0b1010, 0b1], 2);
        groups.push_row(&[0; 6], 2);
        groups.push_row(&[0, 1 << 63, 0, 0, 0, 0], 2);
        let rows: Vec<Vec<(u32, Vec<u16>)>> =
            (0..3).map(|r| groups.row(r).map(|(s, m)| (s, m.to_vec())).collect()).collect();
        assert_eq!(rows[0], [(0b111, vec![1]), (0b101, vec![3, 64]), (0b010, vec![70])]);
        assert_eq!(rows[1], []);
        assert_eq!(rows[2], [(0b001, vec![127])]);
    }
}

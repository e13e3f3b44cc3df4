//! A trained policy on a page: its network by the kernels that evaluation uses, and what these must make of
//! observations.

use super::{Array, Check, Dispatch, Expect, LiveError, PagePlan, Tick, Word, Write};
use crate::gpu::fold_groups;
use crate::kernels::layer::Rows;
use crate::kernels::lif_forward::{self, Current};
use crate::kernels::tile::Tile;
use crate::kernels::{ddpg_act, dense_forward, gaussian_head, spike_forward};
use crate::learn::network::forward_cpu;
use crate::nets::lif::MAX_STEPS;
use crate::nets::mlp::Layer;
use crate::nets::{Head, Lif, Membrane, MlpLayout, Policy};

/// Arrays of the page that a network reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct NetworkArrays {
    /// `[B, O]`
    pub obs: Array,
    /// `[B, A]` or longer.
    pub action: Array,
    /// `[1]`
    pub keys: Array,
}

/// A policy on a page, one replica.
pub struct Network {
    /// At the start of its own parameters.
    net: MlpLayout,
    head: Head,
    /// The actor's, then what the head has.
    params: Vec<f32>,
    b: usize,
    at: NetworkArrays,
    weights: Array,
    logprob: Array,
    /// Outputs `[B, N]`: of each layer of a perceptron; of a spiking network of the first, as currents, and of the
    /// last.
    outputs: Vec<Array>,
    /// Spike words `[B, N]` of each hidden layer of a spiking network, and the last one's trace.
    words: Vec<Array>,
    trace: Array,
}

/// Observations of which the whole network is checked.
const SAMPLES: usize = 32;

/// How near to the threshold a neuron of a checked sample may come: ten times what the kernels' own checks allow, whose
/// currents are given, while here they come of a layer that rounds in its own order.
const MARGIN: f64 = 10.0 * lif_forward::MARGIN;

impl Network {
    /// `params` `[P]` are all of the replica's.
    ///
    /// # Errors
    /// What the page has no kernels for.
    pub fn new(
        plan: &mut PagePlan,
        policy: &Policy,
        params: &[f32],
        b: usize,
        at: NetworkArrays,
    ) -> Result<Self, LiveError> {
        let lacks = |what: &str| Err(LiveError::Lacks(what.into()));
        let net = &policy.net;
        if net.population.is_some() {
            return lacks("networks that encode observations in populations (spiking.population)");
        }
        if net.lif.is_some_and(|lif| lif.membrane == Membrane::Carried) {
            return lacks("networks that carry potentials from slot to slot (spiking.membrane)");
        }
        let mut own = params[net.offset..net.end()].to_vec();
        let head = match &policy.head {
            Head::Gaussian { log_std_off } => {
                own.extend(&params[*log_std_off..][..net.outputs()]);
                Head::Gaussian { log_std_off: net.params() }
            }
            Head::Tanh { scale } => Head::Tanh { scale: *scale },
            Head::Factored { .. } => return lacks("policies that choose from a codebook"),
        };
        let net = net.at(0);
        let weights = plan.filled("weights", &own);
        let (logprob, trace_len) =
            (plan.array("logprob", b), net.lif.map_or(1, |_| b * net.layers[net.layers.len() - 1].inputs));
        let (last, hidden) = net.layers.split_last().expect("a network has layers");
        let with_outputs: Vec<&Layer> = match net.lif {
            Some(_) => vec![&net.layers[0], last],
            None => net.layers.iter().collect(),
        };
        let outputs = with_outputs.iter().map(|l| plan.array("outputs", b * l.outputs)).collect();
        let spiking = hidden.iter().filter(|_| net.lif.is_some());
        let words = spiking.map(|l| plan.array("spikes", b * l.outputs)).collect();
        let trace = plan.array("trace", trace_len);
        Ok(Network { head, params: own, b, at, weights, logprob, outputs, words, trace, net })
    }

    /// Spike steps that it can run with, and those that it was trained with, counted along them; none of a perceptron.
    pub fn steps(&self) -> Option<(std::ops::RangeInclusive<usize>, usize)> {
        self.net.lif.map(|lif| (1..=MAX_STEPS, lif.steps - 1))
    }

    /// As [`Driver::spikes`](super::Driver::spikes).
    pub fn spikes(&self) -> Vec<(Array, usize)> {
        self.words.iter().zip(&self.net.layers).map(|(array, l)| (*array, l.outputs)).collect()
    }

    /// With so many spike steps.
    fn with(&self, steps: Option<usize>) -> MlpLayout {
        let mut net = self.net.clone();
        if let (Some(lif), Some(steps)) = (&mut net.lif, steps) {
            lif.steps = steps;
        }
        net
    }

    fn rows(&self) -> Rows {
        Rows { r: 1, m: self.b, p: self.params.len() }
    }

    fn dense(
        &self,
        plan: &mut PagePlan,
        l: &Layer,
        b_scale: f64,
        x: Array,
        y: Array,
    ) -> Result<Dispatch, LiveError> {
        let spec = dense_forward::Spec { b_scale, ..dense_forward::Spec::of(l, self.rows()) };
        let kernel = plan.kernel(&dense_forward::SHADER, &dense_forward::prelude(&spec))?;
        let [x_groups, y_groups] = Tile::choose(self.b, l.outputs).groups(self.b, l.outputs);
        let words = [
            ("m", Word::is(self.b)),
            ("w_off", Word::is(l.w_off)),
            ("b_off", Word::is(l.b_off)),
            ("x_off", Word::ZERO),
            ("y_off", Word::ZERO),
        ];
        let arrays = [("params", self.weights), ("x", x), ("y", y)];
        Ok(plan.dispatch(kernel, &arrays, [x_groups, y_groups, 1], &words))
    }

    /// Neurons of the first hidden layer, on its currents.
    fn first(&self, plan: &mut PagePlan, net: &MlpLayout, lif: Lif) -> Result<Dispatch, LiveError> {
        let n = net.layers[0].outputs;
        let trace = self.words.len() == 1;
        let spec =
            lif_forward::Spec { r: 1, m: self.b, n, lif, current: Current::Constant, keep: false, trace };
        let kernel = plan.kernel(&lif_forward::SHADER, &lif_forward::prelude(&spec))?;
        let params = if lif.learn_leak { self.weights } else { plan.spare(0) };
        let trace = if trace { self.trace } else { plan.spare(1) };
        let arrays = [
            ("params", params),
            ("current", self.outputs[0]),
            ("words", self.words[0]),
            ("potentials", plan.spare(2)),
            ("traces", trace),
            ("membrane", plan.spare(3)),
        ];
        let words = [
            ("elements", Word::is(self.b * n)),
            ("replica", Word::is(self.b * n)),
            ("stride", Word::is(self.params.len())),
            ("leak_off", Word::is(net.leaks().start)),
            ("v_off", Word::ZERO),
            ("v_end", Word::ZERO),
            ("v_width", Word::ZERO),
        ];
        let groups = fold_groups((self.b * n).div_ceil(4), lif_forward::WG);
        Ok(plan.dispatch(kernel, &arrays, groups, &words))
    }

    /// Neurons of hidden layer `n`, on the spikes below.
    fn above(&self, plan: &mut PagePlan, net: &MlpLayout, lif: Lif, n: usize) -> Result<Dispatch, LiveError> {
        let l = &net.layers[n];
        let trace = n + 1 == self.words.len();
        let spec = spike_forward::Spec::of(l, self.rows(), lif, [false, trace]);
        let kernel = plan.kernel(&spike_forward::SHADER, &spike_forward::prelude(&spec))?;
        let trace = if trace { self.trace } else { plan.spare(1) };
        let arrays = [
            ("params", self.weights),
            ("spikes", self.words[n - 1]),
            ("words", self.words[n]),
            ("potentials", plan.spare(2)),
            ("traces", trace),
            ("membrane", plan.spare(3)),
        ];
        let words = [
            ("m", Word::is(self.b)),
            ("w_off", Word::is(l.w_off)),
            ("b_off", Word::is(l.b_off)),
            ("leak_off", Word::is(net.leaks().start + n)),
            ("v_off", Word::ZERO),
            ("v_end", Word::ZERO),
            ("v_width", Word::ZERO),
        ];
        Ok(plan.dispatch(kernel, &arrays, spike_forward::groups(&spec, self.b), &words))
    }

    /// Outputs to actions, without exploration.
    fn act(&self, plan: &mut PagePlan, a: usize) -> Result<Dispatch, LiveError> {
        let out = self.outputs[self.outputs.len() - 1];
        match self.head {
            Head::Gaussian { log_std_off } => {
                let spec = gaussian_head::Spec { r: 1, b: self.b, a, p: self.params.len(), behind: 0 };
                let kernel = plan.kernel(&gaussian_head::SHADER, &gaussian_head::prelude(&spec))?;
                let arrays = [
                    ("params", self.weights),
                    ("keys", self.at.keys),
                    ("mean", out),
                    ("action", self.at.action),
                    ("logprob", self.logprob),
                ];
                let words = [
                    ("b", Word::is(self.b)),
                    ("clock", Word::CLOCK),
                    ("ls_off", Word::is(log_std_off)),
                    ("greedy", Word::is(1)),
                    ("action_off", Word::ZERO),
                    ("logprob_off", Word::ZERO),
                ];
                Ok(plan.dispatch(kernel, &arrays, fold_groups(self.b, gaussian_head::WG), &words))
            }
            Head::Tanh { scale } => {
                let spec = ddpg_act::Spec { r: 1, b: self.b, a };
                let kernel = plan.kernel(&ddpg_act::SHADER, &ddpg_act::prelude(&spec))?;
                // Its noise is 0.
                let arrays = [
                    ("keys", self.at.keys),
                    ("noise", plan.spare(4)),
                    ("z", out),
                    ("action", self.at.action),
                ];
                let words = [("clock", Word::CLOCK), ("scale", Word::bits(scale))];
                Ok(plan.dispatch(kernel, &arrays, fold_groups(self.b, ddpg_act::WG), &words))
            }
            Head::Factored { .. } => unreachable!("refused when it was made"),
        }
    }

    /// What a decision takes, with so many spike steps.
    ///
    /// # Errors
    /// As of [`PagePlan::kernel`].
    pub fn decide(&self, plan: &mut PagePlan, steps: Option<usize>) -> Result<Vec<Dispatch>, LiveError> {
        let net = self.with(steps);
        let last = net.layers.len() - 1;
        let mut out = Vec::new();
        match net.lif {
            Some(lif) => {
                out.push(self.dense(plan, &net.layers[0], 1.0, self.at.obs, self.outputs[0])?);
                out.push(self.first(plan, &net, lif)?);
                for n in 1..last {
                    out.push(self.above(plan, &net, lif, n)?);
                }
                let total = lif.readout_total();
                out.push(self.dense(plan, &net.layers[last], total, self.trace, self.outputs[1])?);
            }
            None => {
                for (n, l) in net.layers.iter().enumerate() {
                    let x = if n == 0 { self.at.obs } else { self.outputs[n - 1] };
                    out.push(self.dense(plan, l, 1.0, x, self.outputs[n])?);
                }
            }
        }
        out.push(self.act(plan, net.outputs())?);
        Ok(out)
    }

    /// Observations `[SAMPLES, O]` among these `[m, O]`: of a spiking network those of which the twin in f64 says for
    /// sure what every neuron does, whatever the rounding.
    pub fn samples(&self, obs: &[f32]) -> Vec<f32> {
        let o = self.net.inputs();
        let all = obs.chunks_exact(o);
        let Some(lif) = self.with(Some(MAX_STEPS)).lif else {
            return all.take(SAMPLES).flatten().copied().collect();
        };
        let m = obs.len() / o;
        let potentials = self.layers(Some(MAX_STEPS), obs);
        let hidden = &potentials[1..potentials.len() - 1];
        let sure = |sample: usize| {
            hidden.iter().all(|u| {
                let each = u.len() / m;
                u[sample * each..][..each].iter().all(|u| (u - lif.threshold).abs() > MARGIN)
            })
        };
        all.enumerate().filter(|(i, _)| sure(*i)).take(SAMPLES).flat_map(|(_, x)| x).copied().collect()
    }

    /// Input, potentials or activations of the hidden layers, and output, by the twins in f64.
    fn layers(&self, steps: Option<usize>, obs: &[f32]) -> Vec<Vec<f64>> {
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let net = self.with(steps);
        forward_cpu(&net, (1, obs.len() / net.inputs()), &wide(&self.params), &wide(obs))
    }

    /// What the network must make of these [`Network::samples`]: spikes bit by bit, and actions within the tolerance of
    /// the kernels.
    ///
    /// # Errors
    /// As of [`PagePlan::kernel`].
    pub fn check(
        &self,
        plan: &mut PagePlan,
        steps: Option<usize>,
        samples: &[f32],
    ) -> Result<Check, LiveError> {
        let net = self.with(steps);
        let h = self.layers(steps, samples);
        let m = samples.len() / net.inputs();
        let mut expects = Vec::new();
        if let Some(lif) = net.lif {
            // The first steps of more steps are those of fewer: words of the most serve all.
            let most = Lif { steps: MAX_STEPS, ..lif };
            let all = self.layers(Some(MAX_STEPS), samples);
            for (array, u) in self.words.iter().zip(&all[1..]) {
                let words = plan.exactly(*array, &spike_words(&most, u, m));
                expects.push(Expect { mask: (1u32 << lif.steps) - 1, ..words });
            }
        }
        let (actions, tolerance) = self.actions(&net, &h, m);
        let tolerance = Some(plan.store(&tolerance));
        let words = plan.store(&actions);
        expects.push(Expect { array: self.at.action, words, mask: 0, tolerance });
        let words = plan.store(samples);
        Ok(Check {
            what: "the policy",
            writes: vec![Write { array: self.at.obs, words }],
            runs: vec![Tick { clock: 0, slot: 0, dispatches: self.decide(plan, steps)? }],
            expects,
        })
    }

    /// Actions `[m, A]` of these layers, and how far they may be off.
    fn actions(&self, net: &MlpLayout, h: &[Vec<f64>], m: usize) -> (Vec<f32>, Vec<f32>) {
        let last = net.layers.len() - 1;
        let out = &h[h.len() - 1];
        let mut bounds: Vec<Vec<f64>> = match net.lif {
            // The trace is of the spikes alone, which are certain.
            Some(lif) => {
                let traces = traces(&lif, &h[last], m);
                let off = vec![lif_forward::TOL.abs; net.layers[last].inputs];
                (0..m).map(|s| self.off(&net.layers[last], lif.readout_total(), &traces[s], &off)).collect()
            }
            None => (0..m)
                .map(|s| {
                    let first = vec![0.0; net.inputs()];
                    net.layers
                        .iter()
                        .zip(h)
                        .fold(first, |off, (l, x)| self.off(l, 1.0, &x[s * l.inputs..][..l.inputs], &off))
                })
                .collect(),
        };
        let actions = match self.head {
            Head::Tanh { scale } => {
                let scale = f64::from(scale);
                bounds.iter_mut().flatten().for_each(|b| *b = scale * (*b + ddpg_act::TOL.rel));
                out.iter().map(|z| (scale * z.tanh()) as f32).collect()
            }
            _ => out.iter().map(|z| *z as f32).collect(),
        };
        (actions, bounds.into_iter().flatten().map(|b| b as f32).collect())
    }

    /// How far outputs of a dense layer may be off whose inputs `x` are off by `off` at most: no activation is steeper
    /// than 1.
    fn off(&self, l: &Layer, b_scale: f64, x: &[f64], off: &[f64]) -> Vec<f64> {
        let tol = dense_forward::TOL;
        let of = |o: usize| {
            let w = &self.params[l.w_off + o * l.inputs..][..l.inputs];
            let bias = (b_scale * f64::from(self.params[l.b_off + o])).abs();
            let (mut size, mut passed) = (bias, 0.0);
            for ((w, x), off) in w.iter().zip(x).zip(off) {
                let w = f64::from(*w).abs();
                size += w * x.abs();
                passed += w * off;
            }
            tol.abs + tol.rel * size + passed
        };
        (0..l.outputs).map(of).collect()
    }
}

/// Spike words `[m, N]` of potentials `[m, S, N]`.
fn spike_words(lif: &Lif, u: &[f64], m: usize) -> Vec<u32> {
    let n = u.len() / m / lif.steps;
    let word = |e: usize| {
        let fires = |t: &usize| u[(e / n * lif.steps + t) * n + e % n] >= lif.threshold;
        (0..lif.steps).filter(fires).fold(0, |word, t| word | 1u32 << t)
    };
    (0..m * n).map(word).collect()
}

/// What the read-out makes of the same: `[m][N]`.
fn traces(lif: &Lif, u: &[f64], m: usize) -> Vec<Vec<f64>> {
    let words = spike_words(lif, u, m);
    let trace = |word: &u32| {
        (0..lif.steps).filter(|t| word >> t & 1 == 1).map(|t| lif.readout_weight(t)).sum::<f64>()
    };
    words.chunks(words.len() / m).map(|row| row.iter().map(trace).collect()).collect()
}

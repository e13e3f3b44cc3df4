//! Golden vectors of PyTorch: dense networks, Adam with clipping, and a whole PPO update.

use super::{Backend, Case, GoldenError, Rows, Scalar, Vectors, real, wide};
use crate::config::{ClipScope, PpoConfig};
use crate::gpu::{Buf, Fill, Gpu};
use crate::kernels::Tol;
use crate::kernels::adam::{self, Clamp, Hyper};
use crate::kernels::compare::compare_f64;
use crate::kernels::kl_control::Pace;
use crate::kernels::{advantage_stats, grad_norm, grad_reduce, ppo_policy_loss, ppo_value_loss};
use crate::learn::network::{Backward, Forward, Rows as NetRows, Spikes, forward_backward_cpu, visible};
use crate::learn::step_gpu::{Learners, StepGpu};
use crate::learn::{Extra, LearnerState};
use crate::nets::{Activation, ActorCriticLayout, Hidden, Lif, Membrane, MlpLayout, Readout, Tensor};

/// A flat parameter vector out of the file's tensors, named `prefix` + their own name.
pub(super) fn flat(
    v: &Vectors,
    prefix: &str,
    tensors: &[Tensor],
    len: usize,
) -> Result<Vec<f32>, GoldenError> {
    let mut params = vec![f32::NAN; len];
    for t in tensors {
        params[t.range()].copy_from_slice(&v.f32(&format!("{prefix}{}", t.name), &t.shape)?);
    }
    Ok(params)
}

/// Compares what parameters moved by, because a step is small against them: the tensor `name` and `got`, both minus
/// `initial`.
pub(super) fn moved(
    rows: &mut Rows,
    v: &Vectors,
    backend: Backend,
    name: &str,
    got: &[f64],
    initial: &[f32],
) -> Result<(), GoldenError> {
    let want = v.any_f32(name)?;
    let largest = want.iter().fold(0f64, |m, x| m.max(f64::from(x.abs())));
    let tol = match (v.dev(name), backend) {
        (None, _) => Tol {
            abs: super::DEFAULT_SHARE * largest,
            rel: 0.0,
            why: "the folder's tables have no 'f32 dev' of it: 1e-5 of the largest number",
        },
        (_, Backend::CpuF64) => Tol {
            abs: 6.1e-8 * largest,
            rel: 0.0,
            why: "half an ulp of the largest: the reference was rounded to f32",
        },
        (Some(dev), _) => Tol {
            abs: (super::DEV_MULTIPLE * dev).max(1.2e-7 * largest),
            rel: 0.0,
            why: "4 times the error of the reference run in f32, at least an ulp of the largest parameter",
        },
    };
    let minus = |x: f64, i: usize| x - f64::from(initial[i % initial.len()]);
    let want: Vec<f64> = want.iter().enumerate().map(|(i, x)| minus(f64::from(*x), i)).collect();
    let got: Vec<f64> = got.iter().enumerate().map(|(i, x)| minus(*x, i)).collect();
    rows.push(backend, compare_f64(&format!("{name} - initial"), &got, &want, tol));
    Ok(())
}

/// The neurons of all files; each has gradients of both conventions.
pub(super) const NEURONS: Lif = Lif {
    steps: 6,
    lambda: 0.5,
    threshold: 1.0,
    reset: 0.0,
    eta: 3.0,
    detach_reset: false,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

/// Names of the two conventions, and whether the reset is detached.
pub(super) const CONVENTIONS: [(&str, bool); 2] = [("detach0", false), ("detach1", true)];

/// Replicas on the GPU: the second has data of its own (the first's, reversed), of which nothing may leak into the
/// first.
pub(super) const REPLICAS: usize = 2;

pub(super) fn both<T: Copy>(x: &[T]) -> Vec<T> {
    x.iter().chain(x.iter().rev()).copied().collect()
}

/// Two replicas before their first step; the second has these weights reversed.
pub(super) fn start(params: &[f32], extra: Vec<Extra>) -> LearnerState {
    let zeros = vec![0.0; REPLICAS * params.len()];
    LearnerState { params: both(params), m: zeros.clone(), v: zeros, adam_steps: 0, updates: 0, extra }
}

// ---- mlp_tanh, mlp_relu, and what spiking networks have in common with them ----

/// Sizes of three layers whose tensors are named `prefix` + `fc1`, `fc2`, `fc3`.
pub(super) fn sizes(v: &Vectors, prefix: &str, inputs: usize) -> Result<[usize; 4], GoldenError> {
    let outputs = |layer: &str| v.dims(&format!("{prefix}{layer}.weight")).map(|[outputs, _]| outputs);
    Ok([inputs, outputs("fc1")?, outputs("fc2")?, outputs("fc3")?])
}

/// A network of three layers with its parameters.
pub(super) fn network(
    v: &Vectors,
    inputs: usize,
    neurons: impl Into<Hidden>,
) -> Result<(MlpLayout, Vec<f32>), GoldenError> {
    let net = MlpLayout::new(&sizes(v, "", inputs)?, neurons, 0);
    let params = flat(v, "", &net.tensors(""), net.params())?;
    Ok((net, params))
}

/// A network of one file with its minibatch.
pub(super) struct Network {
    pub(super) net: MlpLayout,
    pub(super) m: usize,
    params: Vec<f32>,
    x: Vec<f32>,
    target: Vec<f32>,
    grad_out: Vec<f32>,
}

/// What a forward and a backward pass leave.
pub(super) struct Passed {
    /// Of each hidden layer the outputs `[M, N]`, or of spiking neurons the potentials before the reset `[M, S, N]`,
    /// where they are kept.
    pub(super) hidden: Vec<Option<Vec<f64>>>,
    /// Spikes of each hidden layer `[M, S, N]`; none of a perceptron.
    pub(super) spikes: Vec<Vec<bool>>,
    pub(super) out: Vec<f64>,
    pub(super) grads: Vec<f64>,
    pub(super) dx: Vec<f64>,
}

impl Network {
    pub(super) fn of(v: &Vectors, neurons: impl Into<Hidden>) -> Result<Network, GoldenError> {
        let [m, inputs] = v.dims("x")?;
        let (net, params) = network(v, inputs, neurons)?;
        let of_output = |name: &str| v.f32(name, &[m, net.outputs()]);
        let (target, grad_out) = (of_output("target")?, of_output("grad_out")?);
        Ok(Network { m, params, x: v.f32("x", &[m, inputs])?, target, grad_out, net })
    }
}

impl Case for Network {
    type Out = Passed;

    /// Loss ½ mean over samples of Σ (out − target)².
    fn twin<F: Scalar>(&self) -> Passed {
        let target: Vec<F> = real(&self.target);
        let m = F::splat(self.m as f64);
        let dloss = |y: &[F]| y.iter().zip(&target).map(|(&y, &t)| (y - t) / m).collect();
        let (params, x) = (real::<F>(&self.params), real(&self.x));
        let pass = forward_backward_cpu(&self.net, (1, self.m), &params, &x, dloss);
        let mut hidden: Vec<Vec<f64>> = pass.h[1..].iter().map(|h| wide(h)).collect();
        let out = hidden.pop().expect("a network has layers");
        let fired = |lif: &Lif, u: &[f64]| u.iter().map(|&u| u >= lif.threshold).collect();
        Passed {
            spikes: self.net.lif.iter().flat_map(|lif| hidden.iter().map(|u| fired(lif, u))).collect(),
            hidden: hidden.into_iter().map(Some).collect(),
            out,
            grads: wide(&pass.grads),
            dx: wide(&pass.dx),
        }
    }

    /// The kernels as training binds them, from the stored gradient at the output. The first replica's results.
    fn on_gpu(&self, gpu: &Gpu) -> Result<Passed, GoldenError> {
        const SLICES: usize = 3;
        let Network { net, m, .. } = self;
        let (r, m, p) = (REPLICAS, *m, net.params());
        let size = NetRows { r, m, p };
        let rows = |label: &str, width: usize| gpu.alloc::<f32>(label, &[r, m, width], Fill::Poison);
        let each = |label: &str| visible(net).iter().map(|l| rows(label, l.outputs)).collect();
        let (acts, dy): (Result<Vec<_>, _>, Result<Vec<_>, _>) = (each("golden.h"), each("golden.dy"));
        let (acts, dy) = (acts?, dy?);
        let params = gpu.upload("golden.params", &[r, p], &both(&self.params))?;
        let x = gpu.upload("golden.x", &[r, m, net.inputs()], &both(&self.x))?;
        let dx = rows("golden.dx", net.inputs())?;
        // Gradients of leaks are summed into the first slice only; training keeps the other ones 0.
        let fill = if net.leaks().is_empty() { Fill::Poison } else { Fill::Zero };
        let partials = gpu.alloc::<f32>("golden.partials", &[SLICES, r, p], fill)?;
        let grads = gpu.alloc::<f32>("golden.grads", &[r, p], Fill::Poison)?;
        gpu.write(&dy[dy.len() - 1], &both(&self.grad_out));
        let (acts_ref, dy_ref): (Vec<_>, Vec<_>) = (acts.iter().collect(), dy.iter().collect());
        let spikes = Spikes::new(gpu, net, size, m)?;
        let forward = Forward::sharing(gpu, net, size, &params, &x, &acts_ref, spikes.as_ref(), true)?;
        // Nothing goes back to inputs that are encoded.
        let dx_ref = net.population.is_none().then_some(&dx);
        let backward = match &spikes {
            None => {
                Backward::new(gpu, net, size, SLICES, &params, &x, &acts_ref, &dy_ref, dx_ref, &partials)?
            }
            Some(s) => {
                Backward::spiking(gpu, net, size, SLICES, &params, &x, s, &dy[0], dx_ref, &partials, 0.0)?
            }
        };
        let reduce = grad_reduce::GradReduce::new(gpu, &grad_reduce::Spec { r, p, s: SLICES })?
            .bind(gpu, &partials, &grads);
        gpu.run(|pass| {
            forward.record(pass, m, 0, 0);
            backward.record(pass, m);
            reduce.record(pass);
        })?;
        let first = |b: &Buf<f32>| gpu.read(b).map(|x| wide(&x[..x.len() / r]));
        let (mut hidden, mut fired) = (Vec::new(), Vec::new());
        let (out, below) = acts.split_last().expect("a network has layers");
        if let (Some(s), Some(lif)) = (&spikes, net.lif) {
            for words in &s.words {
                let n = words.len() / (r * m);
                let words = gpu.read(words)?;
                let of = |k: usize| words[k / (n * lif.steps) * n + k % n] >> (k / n % lif.steps) & 1 != 0;
                fired.push((0..m * lif.steps * n).map(of).collect());
            }
            hidden.push(None);
        }
        for kept in spikes.iter().flat_map(|s| &s.potentials).chain(below) {
            hidden.push(Some(first(kept)?));
        }
        let dx = dx_ref.map_or(Ok(Vec::new()), first)?;
        Ok(Passed { hidden, spikes: fired, out: first(out)?, grads: first(&grads)?, dx })
    }
}

pub(super) fn mlp_tanh(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    mlp(v, gpu, Activation::Tanh)
}

pub(super) fn mlp_relu(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    mlp(v, gpu, Activation::Relu)
}

fn mlp(v: &Vectors, gpu: Option<&Gpu>, act: Activation) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let case = Network::of(v, act)?;
    case.each(gpu, |backend, pass| {
        for (name, h) in ["h1", "h2"].into_iter().zip(pass.hidden.iter().flatten()) {
            rows.tensor_dev(v, backend, name, h)?;
        }
        rows.tensor_dev(v, backend, "out", &pass.out)?;
        for t in case.net.tensors("") {
            rows.tensor_dev(v, backend, &format!("grad.{}", t.name), &pass.grads[t.range()])?;
        }
        rows.tensor_dev(v, backend, "grad.x", &pass.dx)
    })?;
    Ok(rows)
}

// ---- adam ----

/// The norm over a replica's gradient and the step that clips by it.
fn optimiser(r: usize, p: usize, split: usize) -> (grad_norm::Spec, adam::Spec) {
    (grad_norm::Spec { r, p, split, joint: true }, adam::Spec { r, p, split })
}

/// Parameters and moments of one replica.
struct Optimised<F> {
    params: Vec<F>,
    m: Vec<F>,
    v: Vec<F>,
}

impl<F: Scalar> Optimised<F> {
    fn new(params: &[f32]) -> Self {
        let zeros = vec![F::splat(0.0); params.len()];
        Optimised { params: real(params), m: zeros.clone(), v: zeros }
    }

    /// Step `t` = 1, 2, … The norms before clipping.
    fn step(&mut self, hyper: &Hyper, t: usize, split: usize, grads: &[F]) -> [F; 2] {
        let (norm, spec) = optimiser(1, grads.len(), split);
        let mut norms = [F::splat(f64::NAN); 2];
        grad_norm::grad_norm_cpu(&norm, grads, &mut norms);
        let (at, Optimised { params, m, v }) = (hyper.args(t as u64), self);
        adam::adam_cpu(&spec, &at, params, grads, &norms, m, v, &hyper.row::<F>());
        norms
    }
}

/// What a sequence of Adam steps leaves.
#[derive(Default)]
struct AdamRun {
    /// Before clipping, of each step.
    norms: Vec<[f64; 2]>,
    /// After each step.
    params: Vec<Vec<f64>>,
    m: Vec<f64>,
    v: Vec<f64>,
}

/// Shapes of the tensors p0, p1, … that are joined into one flat vector, and the steps of their gradients.
struct AdamShapes {
    shapes: Vec<Vec<usize>>,
    steps: usize,
}

impl AdamShapes {
    fn of(v: &Vectors) -> Result<AdamShapes, GoldenError> {
        let count = (0..).take_while(|k| v.has(&format!("p{k}"))).count();
        let shapes = (0..count).map(|k| v.shape(&format!("p{k}"))).collect::<Result<Vec<_>, _>>()?;
        Ok(AdamShapes { shapes, steps: v.shape("g0")?[0] })
    }

    fn part(&self, k: usize) -> std::ops::Range<usize> {
        let count = |s: &Vec<usize>| s.iter().product::<usize>();
        let start = self.shapes[..k].iter().map(count).sum();
        start..start + count(&self.shapes[k])
    }

    fn joined(&self, v: &Vectors, prefix: &str) -> Result<Vec<f32>, GoldenError> {
        let parts = self.shapes.iter().enumerate().map(|(k, s)| v.f32(&format!("{prefix}{k}"), s));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The joined gradient of each step.
    fn gradients(&self, v: &Vectors) -> Result<Vec<Vec<f32>>, GoldenError> {
        let mut steps = vec![Vec::new(); self.steps];
        for (k, shape) in self.shapes.iter().enumerate() {
            let all = v.f32(&format!("g{k}"), &[&[self.steps], &shape[..]].concat())?;
            steps.iter_mut().zip(all.chunks(all.len() / self.steps)).for_each(|(s, g)| s.extend(g));
        }
        Ok(steps)
    }
}

struct AdamCase {
    hyper: Hyper,
    p0: Vec<f32>,
    grads: Vec<Vec<f32>>,
}

impl AdamCase {
    /// The parameter groups are split inside the first tensor, since one rule serves both.
    fn split(&self) -> usize {
        100.min(self.p0.len())
    }
}

impl Case for AdamCase {
    type Out = AdamRun;

    fn twin<F: Scalar>(&self) -> AdamRun {
        let mut state = Optimised::<F>::new(&self.p0);
        let mut run = AdamRun::default();
        for (t, g) in self.grads.iter().enumerate() {
            let norms = state.step(&self.hyper, t + 1, self.split(), &real(g));
            run.norms.push(norms.map(Into::into));
            run.params.push(wide(&state.params));
        }
        AdamRun { m: wide(&state.m), v: wide(&state.v), ..run }
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<AdamRun, GoldenError> {
        let AdamCase { hyper, p0, grads } = self;
        let (r, p) = (REPLICAS, p0.len());
        let (norm, spec) = optimiser(r, p, self.split());
        let params = gpu.upload("golden.params", &[r, p], &both(p0))?;
        let g = gpu.alloc::<f32>("golden.grads", &[r, p], Fill::Poison)?;
        let norms = gpu.alloc::<f32>("golden.norms", &[r, 2], Fill::Poison)?;
        let m = gpu.alloc::<f32>("golden.m", &[r, p], Fill::Zero)?;
        let v = gpu.alloc::<f32>("golden.v", &[r, p], Fill::Zero)?;
        let rows = gpu.upload("golden.hyper", &[r, 8], &[hyper.row::<f32>(); REPLICAS].concat())?;
        let norm = grad_norm::GradNorm::new(gpu, &norm)?.bind(gpu, &g, &norms);
        let step = adam::Adam::new(gpu, &spec)?.bind(gpu, &params, &g, &norms, &m, &v, &rows, &rows);
        let first = |b: &Buf<f32>| gpu.read(b).map(|x| wide(&x[..p]));
        let mut run = AdamRun::default();
        for (t, gradient) in grads.iter().enumerate() {
            gpu.write(&g, &both(gradient));
            gpu.run(|pass| {
                norm.record(pass);
                step.record(pass, &hyper.args(t as u64 + 1));
            })?;
            let n = gpu.read(&norms)?;
            run.norms.push([n[0].into(), n[1].into()]);
            run.params.push(first(&params)?);
        }
        Ok(AdamRun { m: first(&m)?, v: first(&v)?, ..run })
    }
}

pub(super) fn adam(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let shapes = AdamShapes::of(v)?;
    let (p0, grads) = (shapes.joined(v, "p")?, shapes.gradients(v)?);
    let lr = f64::from(v.f32("lr", &[])?[0]);
    let parts = || (0..shapes.shapes.len()).map(|k| (k, shapes.part(k)));

    // Steps without clipping.
    for (label, eps) in [("eps1e-8", 1e-8), ("eps1e-5", 1e-5)] {
        let hyper = Hyper { lr: [lr; 2], max_norm: 0.0, beta1: 0.9, beta2: 0.999, eps };
        AdamCase { hyper, p0: p0.clone(), grads: grads.clone() }.each(gpu, |backend, run| {
            for (k, part) in parts() {
                let after: Vec<f64> =
                    run.params.iter().flat_map(|p| p[part.clone()].iter().copied()).collect();
                moved(&mut rows, v, backend, &format!("{label}.p{k}"), &after, &p0[part.clone()])?;
                rows.tensor_dev(v, backend, &format!("m{k}"), &run.m[part.clone()])?;
                rows.tensor_dev(v, backend, &format!("v{k}"), &run.v[part])?;
            }
            Ok(())
        })?;
    }

    // Clipping: with beta1 = 0 the first moment is the clipped gradient itself.
    let hyper = Hyper { lr: [lr; 2], max_norm: 0.5, beta1: 0.0, beta2: 0.999, eps: 1e-8 };
    for clip in v.cases(".norm")? {
        let grads = vec![shapes.joined(v, &format!("{clip}.g"))?];
        AdamCase { hyper, p0: vec![0.0; p0.len()], grads }.each(gpu, |backend, run| {
            for norm in run.norms[0] {
                rows.tensor_dev(v, backend, &format!("{clip}.norm"), &[norm])?;
            }
            for (k, part) in parts() {
                rows.tensor_dev(v, backend, &format!("{clip}.clipped{k}"), &run.m[part])?;
            }
            Ok(())
        })?;
    }
    Ok(rows)
}

// ---- ppo_update, ppo_update_snn ----

/// What a PPO update leaves: of each step loss, policy loss, value loss, entropy, KL, clip share and joint norm; the
/// first gradient; the parameters after each step.
#[derive(Default)]
struct UpdateRun {
    scalars: Vec<f64>,
    /// Of the first step: the actor's output and the critic's.
    outputs: [Vec<f64>; 2],
    first_grads: Vec<f64>,
    params: Vec<Vec<f64>>,
}

struct UpdateCase {
    layout: ActorCriticLayout,
    ppo: PpoConfig,
    params: Vec<f32>,
    steps: usize,
    x: Vec<f32>,
    action: Vec<f32>,
    /// (old log-probability, advantage, return, old value) of each sample.
    scalars: Vec<[f32; 4]>,
}

impl UpdateCase {
    /// The tensors of minibatches are `[steps, M, …]`, or `[M, …]` of a single step.
    fn of(v: &Vectors, neurons: impl Into<Hidden>) -> Result<UpdateCase, GoldenError> {
        let (steps, m, inputs) = match v.shape("mb.x")?[..] {
            [steps, m, inputs] => (steps, m, inputs),
            [m, inputs] => (1, m, inputs),
            _ => return Err(v.problem("mb.x", "is no minibatch")),
        };
        let single = v.shape("mb.x")?.len() == 2;
        let shape = |of_sample: &[usize]| {
            let steps: &[usize] = if single { &[] } else { &[steps] };
            [steps, &[m], of_sample].concat()
        };
        let [h1, _] = v.dims("actor.fc1.weight")?;
        let [h2, _] = v.dims("actor.fc2.weight")?;
        let [a] = v.dims("log_std")?;
        let layout = ActorCriticLayout::new(inputs, &[h1, h2], a, neurons);
        let params = flat(v, "", &layout.tensors(), layout.params())?;
        let columns = ["logp_old", "adv", "ret", "value_old"].map(|n| v.f32(&format!("mb.{n}"), &shape(&[])));
        let [logp, adv, ret, old] = columns;
        let (logp, adv, ret, old) = (logp?, adv?, ret?, old?);
        let ppo = PpoConfig {
            hidden: vec![h1, h2],
            minibatch: m,
            clip: super::ppo::CLIP_EPS,
            clip_value: true,
            lr_actor: 3e-4,
            lr_critic: 3e-4,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_eps: 1e-5,
            max_grad_norm: 0.5,
            clip_scope: ClipScope::Joint,
            vf_coef: super::ppo::VF_COEF,
            entropy_coef: super::ppo::ENT_COEF,
            normalise_advantages: true,
            // A single step on a finished rollout: nothing of these is used.
            envs: 1,
            horizon: m,
            epochs: 1,
            gamma: 1.0,
            gae_lambda: 1.0,
            lr_final_share: 1.0,
            reward_scale: 1.0,
            log_std_init: 0.0,
            actor_gain: 1.0,
            // The vectors know no trust region: nothing is clamped or left out.
            log_std_min: -20.0,
            log_std_max: 5.0,
            trust_region: false,
            target_kl: 1.0,
            kl_skip_ratio: 1.0,
        };
        Ok(UpdateCase {
            x: v.f32("mb.x", &shape(&[inputs]))?,
            action: v.f32("mb.action", &shape(&[a]))?,
            scalars: (0..steps * m).map(|i| [logp[i], adv[i], ret[i], old[i]]).collect(),
            layout,
            ppo,
            params,
            steps,
        })
    }

    /// What the vectors hold of a step, in their order.
    fn scalars(&self, [pg, v, entropy, kl, clips, norm]: [f64; 6]) -> [f64; 7] {
        let loss = pg - self.ppo.entropy_coef * entropy + self.ppo.vf_coef * v;
        [loss, pg, v, entropy, kl, clips, norm]
    }

    /// Against `{prefix}scalars`, `{grads}.…` of the first step and the parameters `{prefix}after….…`.
    fn compare(
        &self,
        rows: &mut Rows,
        v: &Vectors,
        backend: Backend,
        [prefix, grads]: [&str; 2],
        run: &UpdateRun,
    ) -> Result<(), GoldenError> {
        rows.tensor_dev(v, backend, &format!("{prefix}scalars"), &run.scalars)?;
        for t in self.layout.tensors() {
            rows.tensor_dev(v, backend, &format!("{grads}.{}", t.name), &run.first_grads[t.range()])?;
            let mut after = vec![1, self.steps];
            after.dedup();
            for after in after {
                let name = format!("{prefix}after{after}.{}", t.name);
                let got = &run.params[after - 1][t.range()];
                moved(rows, v, backend, &name, got, &self.params[t.range()])?;
            }
        }
        Ok(())
    }
}

impl Case for UpdateCase {
    type Out = UpdateRun;

    /// Actor and critic through the dense twins, the losses through theirs, joint clipping, Adam.
    fn twin<F: Scalar>(&self) -> UpdateRun {
        let (l, ppo, m) = (&self.layout, &self.ppo, self.ppo.minibatch);
        let (p, a, n) = (l.params(), l.actions(), l.log_std_off);
        let zeros = |n: usize| vec![F::splat(0.0); n];
        let hyper = ppo.adam([ppo.lr_actor, ppo.lr_critic]);
        let mut state = Optimised::<F>::new(&self.params);
        let mut run = UpdateRun::default();
        for step in 0..self.steps {
            let of =
                |x: &[f32]| real::<F>(&x[step * x.len() / self.steps..(step + 1) * x.len() / self.steps]);
            let (x, action) = (of(&self.x), of(&self.action));
            let scalars: Vec<[F; 4]> = self.scalars[step * m..(step + 1) * m]
                .iter()
                .map(|s| s.map(|x| F::splat(f64::from(x))))
                .collect();
            let mut stats = [[F::splat(0.0); 2]];
            advantage_stats::advantage_stats_cpu(
                &advantage_stats::Spec { r: 1, m, unbiased: true, normalise: true },
                &scalars,
                &mut stats,
            );
            let params = &state.params;
            let (mut terms, mut terms_v) = (zeros(m * (a + 4)), zeros(m));
            let actor = forward_backward_cpu(&l.actor, (1, m), params, &x, |mean| {
                let mut d_mean = zeros(m * a);
                let spec = ppo_policy_loss::Spec { r: 1, m, a, p, ls_off: n };
                ppo_policy_loss::ppo_policy_loss_cpu(
                    &spec,
                    &[ppo.surrogate()],
                    params,
                    mean,
                    &action,
                    &scalars,
                    &stats,
                    &mut d_mean,
                    &mut terms,
                );
                d_mean
            });
            let critic = forward_backward_cpu(&l.critic, (1, m), params, &x, |value| {
                let mut d_value = zeros(m);
                ppo_value_loss::ppo_value_loss_cpu(
                    &ppo_value_loss::Spec { r: 1, m, tail: 0, clip: ppo.clip_value },
                    &[ppo.squares()],
                    value,
                    &scalars,
                    &mut d_value,
                    &mut terms_v,
                );
                d_value
            });
            let sum = |c: usize| {
                let mut s = F::splat(0.0);
                terms.iter().skip(c).step_by(a + 4).for_each(|&x| s += x);
                s
            };
            let mut grads = actor.grads.clone();
            (0..a).for_each(|k| grads[n + k] = sum(k));
            grads[l.split()..].copy_from_slice(&critic.grads[l.split()..]);
            let norms = state.step(&hyper, step + 1, l.split(), &grads);
            let mean = |c: usize| sum(c).into() / m as f64;
            let v_loss = wide(&terms_v).iter().sum::<f64>() / m as f64;
            let (pg, kl, clips, entropy) = (mean(a), mean(a + 1), mean(a + 2), mean(a + 3));
            run.scalars.extend(self.scalars([pg, v_loss, entropy, kl, clips, norms[0].into()]));
            if step == 0 {
                run.first_grads = wide(&grads);
                run.outputs = [actor.h, critic.h].map(|h| wide(&h[h.len() - 1]));
            }
            run.params.push(wide(&state.params));
        }
        run
    }

    /// The minibatch step of training, of two replicas.
    fn on_gpu(&self, gpu: &Gpu) -> Result<UpdateRun, GoldenError> {
        let (r, m, p) = (REPLICAS, self.ppo.minibatch, self.layout.params());
        let start = start(&self.params, Vec::new());
        let paces = [Pace::after(0, [self.ppo.adam_beta1, self.ppo.adam_beta2]).row(); REPLICAS].concat();
        let each = vec![self.ppo.clone(); r];
        let learners = Learners { start: &start, each: &each, paces: &paces, clamp: &Clamp::NONE };
        let step = StepGpu::new(gpu, &self.layout, 0.0, m, self.steps, &learners)?;
        step.learning_rates(gpu, &[[self.ppo.lr_actor, self.ppo.lr_critic]; REPLICAS]);
        let first = |b: &Buf<f32>| gpu.read(b).map(|x| wide(&x[..p]));
        let mut run = UpdateRun::default();
        for k in 0..self.steps {
            let of = |x: &[f32]| both(&x[k * x.len() / self.steps..(k + 1) * x.len() / self.steps]);
            gpu.write(&step.obs, &of(&self.x));
            gpu.write(&step.action, &of(&self.action));
            gpu.write(&step.scalars, &both(&self.scalars[k * m..(k + 1) * m]));
            gpu.run(|pass| step.record(pass, k))?;
            if k == 0 {
                run.first_grads = first(&step.grads)?;
            }
            run.params.push(first(&step.params)?);
        }
        for s in step.metrics(gpu)? {
            let s = s[0];
            let norm = s.norms[0].hypot(s.norms[1]);
            let own = [s.policy_loss, s.value_loss, s.entropy, s.approx_kl, s.clip_fraction, norm];
            run.scalars.extend(self.scalars(own));
        }
        Ok(run)
    }
}

pub(super) fn ppo_update(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let case = UpdateCase::of(v, Activation::Tanh)?;
    case.each(gpu, |backend, run| case.compare(&mut rows, v, backend, ["", "grad1"], &run))?;
    Ok(rows)
}

pub(super) fn ppo_update_snn(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    for (name, detach_reset) in CONVENTIONS {
        let case = UpdateCase::of(v, Lif { detach_reset, ..NEURONS })?;
        let (prefix, grads) = (format!("{name}."), format!("{name}.grad"));
        case.each(gpu, |backend, run| {
            // The GPU keeps its outputs to itself.
            if backend != Backend::Gpu {
                rows.tensor_dev(v, backend, "mean", &run.outputs[0])?;
                rows.tensor_dev(v, backend, "value", &run.outputs[1])?;
            }
            case.compare(&mut rows, v, backend, [&prefix, &grads], &run)
        })?;
    }
    Ok(rows)
}

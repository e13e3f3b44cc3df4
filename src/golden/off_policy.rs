//! Golden vectors of PyTorch: the losses of DQN and DDPG, and Polyak's targets.

use super::networks::{REPLICAS, both, flat, sizes, start};
use super::{Case, GoldenError, Rows, Scalar, Vectors, real, wide};
use crate::gpu::Gpu;
use crate::kernels::adam::Hyper;
use crate::kernels::{critic_input, critic_input_backward, polyak, td_loss};
use crate::learn::Extra;
use crate::learn::network::{forward_backward_cpu, forward_cpu};
use crate::learn::off_policy::Nets;
use crate::learn::off_policy_step_gpu::{Loss, OffPolicyStep, Spec};
use crate::nets::{Activation, MlpLayout, Tensor};

const GAMMA: f64 = 0.99;
const TAU: f64 = 0.005;

/// (reward, 1 − done) of each sample.
fn scalars(v: &Vectors, m: usize) -> Result<Vec<[f32; 2]>, GoldenError> {
    let (reward, done) = (v.f32("reward", &[m])?, v.i32("done", &[m])?);
    Ok(reward.into_iter().zip(done).map(|(r, d)| [r, if d != 0 { 0.0 } else { 1.0 }]).collect())
}

/// An optimiser: only what comes before it is looked at.
const OPTIMISER: Hyper = Hyper { lr: [1e-3; 2], max_norm: 0.0, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

/// A minibatch with the weights and targets of a replica.
struct Batch<'a> {
    params: &'a [f32],
    target: &'a [f32],
    x: &'a [f32],
    next: &'a [f32],
    action: &'a [f32],
    scalars: &'a [[f32; 2]],
}

impl Batch<'_> {
    /// The step of training, of two replicas; of the first the (term, y) of each sample and the gradient.
    fn step(
        &self,
        gpu: &Gpu,
        nets: Nets,
        loss: Loss,
        d: usize,
    ) -> Result<(OffPolicyStep, [Vec<f64>; 2]), GoldenError> {
        let m = self.scalars.len();
        let (gamma, tau) = (vec![GAMMA as f32; REPLICAS], vec![TAU as f32; REPLICAS]);
        let spec = Spec { nets, loss, r: REPLICAS, m, d, gamma, tau, steps: 1 };
        let (name, shape) = ("target".into(), vec![self.target.len()]);
        let target = Extra { name, shape, data: both(self.target) };
        let step = OffPolicyStep::new(gpu, &spec, &start(self.params, vec![target]))?;
        for (buffer, x) in [(&step.obs, self.x), (&step.next, self.next), (&step.action, self.action)] {
            gpu.write(buffer, &both(x));
        }
        gpu.write(&step.scalars, &both(self.scalars));
        step.optimiser(gpu, &[OPTIMISER; REPLICAS]);
        gpu.run(|pass| step.record(pass, &OPTIMISER, 1, 0))?;
        let terms = wide(&gpu.read(&step.terms)?[..2 * m]);
        let grads = wide(&gpu.read(&step.grads)?[..self.params.len()]);
        Ok((step, [terms, grads]))
    }
}

/// The terms of the loss and the targets y of all samples.
fn unzipped(terms: &[f64]) -> (Vec<f64>, Vec<f64>) {
    terms.chunks_exact(2).map(|x| (x[0], x[1])).unzip()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

// ---- dqn ----

struct Dqn {
    net: MlpLayout,
    loss: td_loss::Spec,
    params: Vec<f32>,
    target: Vec<f32>,
    x: Vec<f32>,
    next: Vec<f32>,
    /// The loss on the reference's own values.
    own: td_loss::Inputs,
}

/// What a loss leaves. Empty where a backend does not say.
#[derive(Default)]
struct DqnResult {
    q: Vec<f64>,
    q_next: Vec<f64>,
    d_q: Vec<f64>,
    /// (term, y) of each sample.
    terms: Vec<f64>,
    grads: Vec<f64>,
    dx: Vec<f64>,
}

impl Case for Dqn {
    type Out = DqnResult;

    fn twin<F: Scalar>(&self) -> DqnResult {
        let &td_loss::Spec { m, l, .. } = &self.loss;
        let next = forward_cpu(&self.net, (1, m), &real::<F>(&self.target), &real(&self.next));
        let q_next = next.last().expect("a network has layers");
        let td_loss::Inputs { action, scalars, .. } = &self.own;
        let scalars: Vec<[F; 2]> = scalars.iter().map(|s| s.map(|x| F::splat(f64::from(x)))).collect();
        let mut terms = vec![F::splat(f64::NAN); 2 * m];
        let mut d_q = vec![F::splat(f64::NAN); m * l];
        let pass = forward_backward_cpu(&self.net, (1, m), &real(&self.params), &real(&self.x), |q| {
            let gamma = [F::splat(GAMMA)];
            td_loss::td_loss_cpu(&self.loss, &gamma, q, q_next, action, &scalars, &mut d_q, &mut terms);
            d_q.clone()
        });
        DqnResult {
            q: wide(pass.h.last().expect("a network has layers")),
            q_next: wide(q_next),
            d_q: wide(&d_q),
            terms: wide(&terms),
            grads: wide(&pass.grads),
            dx: wide(&pass.dx),
        }
    }

    /// The step of training, up to the gradient; the loss kernel once more on the reference's own values.
    fn on_gpu(&self, gpu: &Gpu) -> Result<DqnResult, GoldenError> {
        let Dqn { params, target, x, next, own, loss, .. } = self;
        let batch = Batch { params, target, x, next, action: &own.action, scalars: &own.scalars };
        let nets = Nets { policy: self.net.clone(), critic: None };
        let how = Loss::Dqn { k: 1, l: loss.l, split: loss.split, huber: loss.huber };
        let (_, [terms, grads]) = batch.step(gpu, nets, how, 1)?;
        let (d_q, _) = td_loss::td_loss_gpu(gpu, loss, own)?;
        Ok(DqnResult { d_q: wide(&d_q), terms, grads, ..Default::default() })
    }
}

pub(super) fn dqn(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [m, inputs] = v.dims("x")?;
    let net = MlpLayout::new(&sizes(v, "q.", inputs)?, Activation::Relu, 0);
    let l = net.outputs();
    let of = |prefix: &str| flat(v, "", &net.tensors(prefix), net.params());
    let mut case = Dqn {
        loss: td_loss::Spec { r: 1, m, k: 1, l, split: 0, huber: true },
        params: of("q.")?,
        target: of("target.")?,
        x: v.f32("x", &[m, inputs])?,
        next: v.f32("next_x", &[m, inputs])?,
        own: td_loss::Inputs {
            gamma: vec![GAMMA as f32],
            q: v.f32("q", &[m, l])?,
            q_next: v.f32("q_next", &[m, l])?,
            action: v.i32("action", &[m])?.into_iter().map(|a| a as f32).collect(),
            scalars: scalars(v, m)?,
        },
        net,
    };
    if case.own.action.iter().any(|a| !(0.0..l as f32).contains(a)) {
        return Err(v.problem("action", format!("names an action outside 0 … {}", l - 1)));
    }
    for (name, huber) in [("huber", true), ("mse", false)] {
        case.loss.huber = huber;
        case.each(gpu, |backend, got| {
            let action = |i: usize| case.own.action[i] as usize;
            let taken = |q: &[f64]| (0..m).map(|i| q[i * l + action(i)]).collect::<Vec<_>>();
            let (terms, targets) = unzipped(&got.terms);
            rows.tensor_dev(v, backend, "td_target", &targets)?;
            rows.tensor_dev(v, backend, &format!("{name}.loss"), &[mean(&terms)])?;
            rows.tensor_dev(v, backend, &format!("{name}.grad.q_taken"), &taken(&got.d_q))?;
            for t in case.net.tensors("") {
                rows.tensor_dev(v, backend, &format!("{name}.grad.{}", t.name), &got.grads[t.range()])?;
            }
            if !got.q.is_empty() {
                rows.tensor_dev(v, backend, "q", &got.q)?;
                rows.tensor_dev(v, backend, "q_taken", &taken(&got.q))?;
                rows.tensor_dev(v, backend, "q_next", &got.q_next)?;
                rows.tensor_dev(v, backend, &format!("{name}.grad.x"), &got.dx)?;
            }
            Ok(())
        })?;
    }
    Ok(rows)
}

// ---- ddpg ----

/// The reference scales and shifts each action, μ = s·tanh(z) + b; here one scale serves all. With t = (a − b)/s in
/// place of the action, weights W·s and bias c + W·b in the critic's first layer, the critic is the same function, and
/// its gradients follow by the chain rule.
struct Ddpg {
    nets: Nets,
    critic: MlpLayout,
    m: usize,
    scale: Vec<f64>,
    bias: Vec<f64>,
    /// With the critic in terms of t.
    params: Vec<f64>,
    target: Vec<f64>,
    x: Vec<f32>,
    next: Vec<f32>,
    action: Vec<f64>,
    scalars: Vec<[f32; 2]>,
}

/// What both losses leave, in terms of t. Empty where a backend does not say.
#[derive(Default)]
struct DdpgResult {
    /// tanh(z) at the observations and, by the target, at the next ones.
    policy: Vec<f64>,
    next_policy: Vec<f64>,
    q: Vec<f64>,
    /// (term, y) of each sample.
    terms: Vec<f64>,
    actor_loss: f64,
    grads: Vec<f64>,
    /// Gradients by the action part of the critic's input, `[M, A]`.
    d_action: Vec<f64>,
    d_policy: Vec<f64>,
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|x| *x as f32).collect()
}

impl Ddpg {
    fn actions(&self) -> usize {
        self.nets.policy.outputs()
    }

    /// Weights of the critic's first layer at action j.
    fn column(&self, j: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (l, o) = (self.critic.layers[0], self.nets.policy.inputs());
        (0..l.outputs).map(move |h| (l.w_off + h * l.inputs + o + j, l.b_off + h))
    }

    /// The flat vector of the file in terms of t.
    fn of_file(&self, flat: &[f32]) -> Vec<f64> {
        let mut out: Vec<f64> = flat.iter().map(|x| f64::from(*x)).collect();
        for j in 0..self.actions() {
            for (w, b) in self.column(j) {
                out[b] += out[w] * self.bias[j];
                out[w] *= self.scale[j];
            }
        }
        out
    }

    /// The gradient by the file's weights.
    fn gradient_of_file(&self, grads: &[f64]) -> Vec<f64> {
        let mut out = grads.to_vec();
        for j in 0..self.actions() {
            for (w, b) in self.column(j) {
                out[w] = grads[w] * self.scale[j] + grads[b] * self.bias[j];
            }
        }
        out
    }

    fn of_action(&self, x: &[f64], f: impl Fn(f64, usize) -> f64) -> Vec<f64> {
        x.iter().enumerate().map(|(i, x)| f(*x, i % self.actions())).collect()
    }
}

impl Case for Ddpg {
    type Out = DdpgResult;

    fn twin<F: Scalar>(&self) -> DdpgResult {
        let (m, o, a) = (self.m, self.nets.policy.inputs(), self.actions());
        let exact = |x: &[f64]| x.iter().map(|x| F::splat(*x)).collect::<Vec<F>>();
        let (params, target) = (exact(&self.params), exact(&self.target));
        let (obs, next): (Vec<F>, Vec<F>) = (real(&self.x), real(&self.next));
        let spec = critic_input::Spec { r: 1, m, o, a };
        let input = |scale: Option<F>, obs: &[F], action: &[F]| {
            let mut x = vec![F::splat(f64::NAN); m * (o + a)];
            critic_input::critic_input_cpu(&spec, scale, obs, action, &mut x);
            x
        };
        let part = |x: &[F]| -> Vec<f64> { x.chunks(o + a).flat_map(|row| wide(&row[o..])).collect() };
        let one = F::splat(1.0);
        let last = |h: &[Vec<F>]| h.last().expect("a network has layers").clone();

        let z = last(&forward_cpu(&self.nets.policy, (1, m), &target, &next));
        let x_next = input(Some(one), &next, &z);
        let q_next = last(&forward_cpu(&self.critic, (1, m), &target, &x_next));

        let scalars: Vec<[F; 2]> = self.scalars.iter().map(|s| s.map(|x| F::splat(f64::from(x)))).collect();
        let mut terms = vec![F::splat(f64::NAN); 2 * m];
        let x_taken = input(None, &obs, &exact(&self.action));
        let critic = forward_backward_cpu(&self.critic, (1, m), &params, &x_taken, |q| {
            let loss = td_loss::Spec { r: 1, m, k: 1, l: 1, split: 0, huber: false };
            let mut d = vec![F::splat(f64::NAN); m];
            td_loss::td_loss_cpu(&loss, &[F::splat(GAMMA)], q, &q_next, &[], &scalars, &mut d, &mut terms);
            d
        });

        let z = last(&forward_cpu(&self.nets.policy, (1, m), &params, &obs));
        let x_policy = input(Some(one), &obs, &z);
        let climbed = forward_backward_cpu(&self.critic, (1, m), &params, &x_policy, |q| {
            vec![F::splat(-1.0) / F::splat(m as f64); q.len()]
        });
        let actor = forward_backward_cpu(&self.nets.policy, (1, m), &params, &obs, |_| {
            let mut dz = vec![F::splat(f64::NAN); m * a];
            critic_input_backward::critic_input_backward_cpu(&spec, one, &x_policy, &climbed.dx, &mut dz);
            dz
        });
        let split = self.nets.split();
        DdpgResult {
            policy: part(&x_policy),
            next_policy: part(&x_next),
            q: wide(&last(&critic.h)),
            terms: wide(&terms),
            actor_loss: -mean(&wide(&last(&climbed.h))),
            grads: wide(&[&actor.grads[..split], &critic.grads[split..]].concat()),
            d_action: part(&critic.dx),
            d_policy: part(&climbed.dx),
        }
    }

    /// The step of training, up to the gradient.
    fn on_gpu(&self, gpu: &Gpu) -> Result<DdpgResult, GoldenError> {
        let [params, target, action] = [&self.params, &self.target, &self.action].map(|x| narrow(x));
        let (x, next, scalars) = (&self.x[..], &self.next[..], &self.scalars[..]);
        let batch = Batch { params: &params, target: &target, x, next, action: &action, scalars };
        let (step, [terms, grads]) =
            batch.step(gpu, self.nets.clone(), Loss::Ddpg { scale: 1.0 }, self.actions())?;
        let actor_loss = step.metrics(gpu, 1)?[0][0].policy_loss;
        Ok(DdpgResult { terms, actor_loss, grads, ..Default::default() })
    }
}

pub(super) fn ddpg(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let ([m, o], [_, a]) = (v.dims("x")?, v.dims("action")?);
    let policy = MlpLayout::new(&sizes(v, "actor.", o)?, Activation::Relu, 0);
    let critic = MlpLayout::new(&sizes(v, "critic.", o + a)?, Activation::Relu, policy.end());
    let tensors = |suffix: &str| -> Vec<Tensor> {
        [policy.tensors(&format!("actor{suffix}.")), critic.tensors(&format!("critic{suffix}."))].concat()
    };
    let of = |suffix: &str| flat(v, "", &tensors(suffix), critic.end());
    let (online, target) = (of("")?, of("_target")?);
    let (scale, bias) = (v.f32("action_scale", &[a])?, v.f32("action_bias", &[a])?);
    let mut case = Ddpg {
        nets: Nets { policy: policy.clone(), critic: Some(critic.clone()) },
        critic: critic.clone(),
        m,
        scale: scale.iter().map(|x| f64::from(*x)).collect(),
        bias: bias.iter().map(|x| f64::from(*x)).collect(),
        params: Vec::new(),
        target: Vec::new(),
        x: v.f32("x", &[m, o])?,
        next: v.f32("next_x", &[m, o])?,
        action: Vec::new(),
        scalars: scalars(v, m)?,
    };
    (case.params, case.target) = (case.of_file(&online), case.of_file(&target));
    let action: Vec<f64> = v.f32("action", &[m, a])?.into_iter().map(f64::from).collect();
    case.action = case.of_action(&action, |x, j| (x - case.bias[j]) / case.scale[j]);

    case.each(gpu, |backend, got| {
        let (terms, targets) = unzipped(&got.terms);
        rows.tensor_dev(v, backend, "td_target", &targets)?;
        rows.tensor_dev(v, backend, "critic_loss", &[mean(&terms)])?;
        rows.tensor_dev(v, backend, "actor_loss", &[got.actor_loss])?;
        let grads = case.gradient_of_file(&got.grads);
        for t in tensors("") {
            rows.tensor_dev(v, backend, &format!("grad.{}", t.name), &grads[t.range()])?;
        }
        if !got.q.is_empty() {
            let physical = |x: &[f64]| case.of_action(x, |t, j| case.scale[j] * t + case.bias[j]);
            rows.tensor_dev(v, backend, "mu", &physical(&got.policy))?;
            rows.tensor_dev(v, backend, "next_action", &physical(&got.next_policy))?;
            rows.tensor_dev(v, backend, "q", &got.q)?;
            let by_action = |x: &[f64]| case.of_action(x, |d, j| d / case.scale[j]);
            rows.tensor_dev(v, backend, "grad.critic.action", &by_action(&got.d_action))?;
            rows.tensor_dev(v, backend, "grad.actor.mu", &by_action(&got.d_policy))?;
        }
        Ok(())
    })?;
    let (online, target) = (&online, &target);
    Polyak { tau: TAU, steps: 1, online, target }.each(gpu, |backend, after| {
        for t in tensors("") {
            rows.tensor_dev(v, backend, &format!("polyak.{}", t.name), &after[0][t.range()])?;
        }
        Ok(())
    })?;
    Ok(rows)
}

// ---- polyak ----

struct Polyak<'a> {
    tau: f64,
    steps: usize,
    online: &'a [f32],
    target: &'a [f32],
}

impl Case for Polyak<'_> {
    /// Targets after each update.
    type Out = Vec<Vec<f64>>;

    fn twin<F: Scalar>(&self) -> Vec<Vec<f64>> {
        let (online, mut target) = (real::<F>(self.online), real::<F>(self.target));
        let mut step = |_| {
            polyak::polyak_cpu(F::splat(self.tau), &online, &mut target);
            wide(&target)
        };
        (0..self.steps).map(&mut step).collect()
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<Vec<Vec<f64>>, GoldenError> {
        let (r, p) = (REPLICAS, self.online.len());
        let params = gpu.upload("golden.params", &[r, p], &both(self.online))?;
        let target = gpu.upload("golden.target", &[r, p], &both(self.target))?;
        let tau = gpu.upload("golden.tau", &[r], &vec![self.tau as f32; r])?;
        let bound = polyak::Polyak::new(gpu, &polyak::Spec { r, p })?.bind(gpu, &tau, &params, &target);
        let mut step = |_| {
            gpu.run(|pass| bound.record(pass))?;
            Ok(wide(&gpu.read(&target)?[..p]))
        };
        (0..self.steps).map(&mut step).collect()
    }
}

pub(super) fn polyak(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [n] = v.dims("online")?;
    let (online, target) = (v.f32("online", &[n])?, v.f32("target", &[n])?);
    let [cases] = v.dims("taus")?;
    for (i, tau) in v.f32("taus", &[cases])?.into_iter().enumerate() {
        let (online, target) = (&online, &target);
        Polyak { tau: f64::from(tau), steps: 3, online, target }.each(gpu, |backend, after| {
            rows.tensor_dev(v, backend, &format!("tau{i}.k1"), &after[0])?;
            rows.tensor_dev(v, backend, &format!("tau{i}.k3"), &after[2])
        })?;
    }
    Ok(rows)
}

//! Golden vectors of PyTorch: the losses of DQN and DDPG, and Polyak's targets.

use super::networks::{REPLICAS, Scalar, both, flat};
use super::{Backend, GoldenError, Rows, Vectors, real, wide};
use crate::gpu::Gpu;
use crate::kernels::adam::Hyper;
use crate::kernels::{critic_input, critic_input_backward, polyak, td_loss};
use crate::learn::network::{forward_backward_cpu, forward_cpu};
use crate::learn::off_policy::Nets;
use crate::learn::off_policy_step_gpu::{Loss, OffPolicyStep, Spec};
use crate::learn::{Extra, LearnerState};
use crate::nets::{Activation, MlpLayout, Tensor};

const GAMMA: f64 = 0.99;
const TAU: f64 = 0.005;

/// (reward, 1 − done) of each sample.
fn scalars(v: &Vectors, m: usize) -> Result<Vec<[f32; 2]>, GoldenError> {
    let (reward, done) = (v.f32("reward", &[m])?, v.i32("done", &[m])?);
    Ok(reward.into_iter().zip(done).map(|(r, d)| [r, if d != 0 { 0.0 } else { 1.0 }]).collect())
}

/// Two replicas with these weights and targets; the second has them reversed.
fn start(params: &[f32], target: &[f32]) -> LearnerState {
    let zeros = vec![0.0; REPLICAS * params.len()];
    let target = Extra { name: "target".into(), shape: vec![target.len()], data: both(target) };
    LearnerState {
        params: both(params),
        m: zeros.clone(),
        v: zeros,
        adam_steps: 0,
        updates: 0,
        extra: vec![target],
    }
}

/// An optimiser: only what comes before it is looked at.
const OPTIMISER: Hyper = Hyper { lr: [1e-3; 2], max_norm: 0.0, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

// ---- dqn ----

struct Dqn {
    net: MlpLayout,
    m: usize,
    l: usize,
    params: Vec<f32>,
    target: Vec<f32>,
    x: Vec<f32>,
    next: Vec<f32>,
    action: Vec<f32>,
    scalars: Vec<[f32; 2]>,
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

impl Dqn {
    fn twin<F: Scalar>(&self, huber: bool) -> DqnResult {
        let spec = td_loss::Spec { r: 1, m: self.m, k: 1, l: self.l, huber };
        let next = forward_cpu(&self.net, (1, self.m), &real::<F>(&self.target), &real(&self.next));
        let q_next = next.last().expect("a network has layers");
        let scalars: Vec<[F; 2]> = self.scalars.iter().map(|s| s.map(|x| F::splat(f64::from(x)))).collect();
        let mut terms = vec![F::splat(f64::NAN); 2 * self.m];
        let mut d_q = vec![F::splat(f64::NAN); self.m * self.l];
        let pass = forward_backward_cpu(&self.net, (1, self.m), &real(&self.params), &real(&self.x), |q| {
            let gamma = [F::splat(GAMMA)];
            td_loss::td_loss_cpu(&spec, &gamma, q, q_next, &self.action, &scalars, &mut d_q, &mut terms);
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
    fn on_gpu(&self, v: &Vectors, gpu: &Gpu, huber: bool) -> Result<DqnResult, GoldenError> {
        let (m, l, p) = (self.m, self.l, self.params.len());
        let spec = Spec {
            nets: Nets { policy: self.net.clone(), critic: None },
            loss: Loss::Dqn { k: 1, l, huber },
            r: REPLICAS,
            m,
            d: 1,
            gamma: vec![GAMMA as f32; REPLICAS],
            tau: vec![TAU as f32; REPLICAS],
            steps: 1,
        };
        let step = OffPolicyStep::new(gpu, &spec, &start(&self.params, &self.target))?;
        gpu.write(&step.obs, &both(&self.x));
        gpu.write(&step.next, &both(&self.next));
        gpu.write(&step.action, &both(&self.action));
        gpu.write(&step.scalars, &both(&self.scalars));
        step.optimiser(gpu, &[OPTIMISER; REPLICAS]);
        gpu.run(|pass| step.record(pass, &OPTIMISER, 1, 0))?;
        let alone = td_loss::Spec { r: 1, m, k: 1, l, huber };
        let inputs = td_loss::Inputs {
            gamma: vec![GAMMA as f32],
            q: v.f32("q", &[m, l])?,
            q_next: v.f32("q_next", &[m, l])?,
            action: self.action.clone(),
            scalars: self.scalars.clone(),
        };
        let (d_q, _) = td_loss::td_loss_gpu(gpu, &alone, &inputs)?;
        Ok(DqnResult {
            d_q: wide(&d_q),
            terms: wide(&gpu.read(&step.terms)?[..2 * m]),
            grads: wide(&gpu.read(&step.grads)?[..p]),
            ..Default::default()
        })
    }
}

pub(super) fn dqn(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [m, inputs] = v.dims("x")?;
    let [h1, _] = v.dims("q.fc1.weight")?;
    let [h2, _] = v.dims("q.fc2.weight")?;
    let [l, _] = v.dims("q.fc3.weight")?;
    let net = MlpLayout::new(&[inputs, h1, h2, l], Activation::Relu, 0);
    let of = |prefix: &str| flat(v, "", &net.tensors(prefix), net.params());
    let case = Dqn {
        m,
        l,
        params: of("q.")?,
        target: of("target.")?,
        x: v.f32("x", &[m, inputs])?,
        next: v.f32("next_x", &[m, inputs])?,
        action: v.i32("action", &[m])?.into_iter().map(|a| a as f32).collect(),
        scalars: scalars(v, m)?,
        net,
    };
    if case.action.iter().any(|a| !(0.0..l as f32).contains(a)) {
        return Err(v.problem("action", format!("names an action outside 0 … {}", l - 1)));
    }
    for (name, huber) in [("huber", true), ("mse", false)] {
        let mut compare = |backend, got: DqnResult| -> Result<(), GoldenError> {
            let taken = |q: &[f64]| (0..m).map(|i| q[i * l + case.action[i] as usize]).collect::<Vec<_>>();
            let terms: Vec<f64> = got.terms.iter().step_by(2).copied().collect();
            let targets: Vec<f64> = got.terms.iter().skip(1).step_by(2).copied().collect();
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
        };
        compare(Backend::CpuF64, case.twin::<f64>(huber))?;
        compare(Backend::CpuF32, case.twin::<f32>(huber))?;
        if let Some(gpu) = gpu {
            compare(Backend::Gpu, case.on_gpu(v, gpu, huber)?)?;
        }
    }
    Ok(rows)
}

// ---- ddpg ----

/// The reference scales and shifts each action, μ = s·tanh(z) + b; here one scale serves all. With t = (a − b)/s in place of the action, weights
/// W·s and bias c + W·b in the critic's first layer, the critic is the same function, and its gradients follow by the chain rule.
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
            let loss = td_loss::Spec { r: 1, m, k: 1, l: 1, huber: false };
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
        let (m, p) = (self.m, self.params.len());
        let spec = Spec {
            nets: self.nets.clone(),
            loss: Loss::Ddpg { scale: 1.0 },
            r: REPLICAS,
            m,
            d: self.actions(),
            gamma: vec![GAMMA as f32; REPLICAS],
            tau: vec![TAU as f32; REPLICAS],
            steps: 1,
        };
        let step = OffPolicyStep::new(gpu, &spec, &start(&narrow(&self.params), &narrow(&self.target)))?;
        gpu.write(&step.obs, &both(&self.x));
        gpu.write(&step.next, &both(&self.next));
        gpu.write(&step.action, &both(&narrow(&self.action)));
        gpu.write(&step.scalars, &both(&self.scalars));
        step.optimiser(gpu, &[OPTIMISER; REPLICAS]);
        gpu.run(|pass| step.record(pass, &OPTIMISER, 1, 0))?;
        Ok(DdpgResult {
            terms: wide(&gpu.read(&step.terms)?[..2 * m]),
            actor_loss: step.metrics(gpu, 1)?[0][0].policy_loss,
            grads: wide(&gpu.read(&step.grads)?[..p]),
            ..Default::default()
        })
    }
}

pub(super) fn ddpg(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let ([m, o], [_, a]) = (v.dims("x")?, v.dims("action")?);
    let [h1, _] = v.dims("actor.fc1.weight")?;
    let [h2, _] = v.dims("actor.fc2.weight")?;
    let policy = MlpLayout::new(&[o, h1, h2, a], Activation::Relu, 0);
    let [h1, _] = v.dims("critic.fc1.weight")?;
    let [h2, _] = v.dims("critic.fc2.weight")?;
    let critic = MlpLayout::new(&[o + a, h1, h2, 1], Activation::Relu, policy.end());
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

    let mut compare = |backend, got: DdpgResult| -> Result<(), GoldenError> {
        let terms: Vec<f64> = got.terms.iter().step_by(2).copied().collect();
        let targets: Vec<f64> = got.terms.iter().skip(1).step_by(2).copied().collect();
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
    };
    compare(Backend::CpuF64, case.twin::<f64>())?;
    compare(Backend::CpuF32, case.twin::<f32>())?;
    if let Some(gpu) = gpu {
        compare(Backend::Gpu, case.on_gpu(gpu)?)?;
    }

    each_polyak(gpu, TAU, 1, &online, &target, |backend, after| {
        for t in tensors("") {
            rows.tensor_dev(v, backend, &format!("polyak.{}", t.name), &after[0][t.range()])?;
        }
        Ok(())
    })?;
    Ok(rows)
}

// ---- polyak ----

/// Targets after each of `steps` updates, on every backend.
fn each_polyak(
    gpu: Option<&Gpu>,
    tau: f64,
    steps: usize,
    online: &[f32],
    target: &[f32],
    mut compare: impl FnMut(Backend, Vec<Vec<f64>>) -> Result<(), GoldenError>,
) -> Result<(), GoldenError> {
    fn twin<F: Scalar>(tau: f64, steps: usize, online: &[f32], target: &[f32]) -> Vec<Vec<f64>> {
        let (online, mut target) = (real::<F>(online), real::<F>(target));
        let mut step = |_| {
            polyak::polyak_cpu(F::splat(tau), &online, &mut target);
            wide(&target)
        };
        (0..steps).map(&mut step).collect()
    }
    compare(Backend::CpuF64, twin::<f64>(tau, steps, online, target))?;
    compare(Backend::CpuF32, twin::<f32>(tau, steps, online, target))?;
    if let Some(gpu) = gpu {
        let (r, p) = (REPLICAS, online.len());
        let params = gpu.upload("golden.params", &[r, p], &both(online))?;
        let target = gpu.upload("golden.target", &[r, p], &both(target))?;
        let tau = gpu.upload("golden.tau", &[r], &vec![tau as f32; r])?;
        let bound = polyak::Polyak::new(gpu, &polyak::Spec { r, p })?.bind(gpu, &tau, &params, &target);
        let mut after = Vec::new();
        for _ in 0..steps {
            gpu.run(|pass| bound.record(pass))?;
            after.push(wide(&gpu.read(&target)?[..p]));
        }
        compare(Backend::Gpu, after)?;
    }
    Ok(())
}

pub(super) fn polyak(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [n] = v.dims("online")?;
    let (online, target) = (v.f32("online", &[n])?, v.f32("target", &[n])?);
    let [cases] = v.dims("taus")?;
    for (i, tau) in v.f32("taus", &[cases])?.into_iter().enumerate() {
        each_polyak(gpu, f64::from(tau), 3, &online, &target, |backend, after| {
            rows.tensor_dev(v, backend, &format!("tau{i}.k1"), &after[0])?;
            rows.tensor_dev(v, backend, &format!("tau{i}.k3"), &after[2])
        })?;
    }
    Ok(rows)
}

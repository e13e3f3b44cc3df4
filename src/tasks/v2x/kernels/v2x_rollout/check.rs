//! v2x_rollout on a device against its twins, and many slots in one dispatch against one dispatch a slot.

use super::{Args, METRICS, SHADER, Spec, TOL, TOL_ACTION, V2xRollout, v2x_rollout_cpu};
use crate::kernels::common::*;
use crate::kernels::gaussian_head::four_normals;
use crate::kernels::{bind, gaussian_head};
use crate::tasks::v2x::kernels::v2x_batch::{check_params, check_states};
use crate::tasks::v2x::kernels::v2x_step::{compare_near, metric_row, of_twin, scales};
use crate::tasks::v2x::kernels::{v2x_batch, v2x_step};
use crate::tasks::v2x::physics::{V2xParams, metric, observe};

/// Everything that dispatches leave.
struct Written<F> {
    state: Vec<F>,
    obs: Vec<F>,
    action: Vec<F>,
    logprob: Vec<F>,
    flags: Vec<u32>,
    outcome: Vec<F>,
}

/// What stands where nothing was written.
const POISON: f32 = f32::from_bits(u32::MAX);

impl<F: Scalar> Written<F> {
    /// By the twin, over `poison`.
    fn of_twin(spec: &Spec, at: &Args, params: &[V2xParams], net: &[F], state: &[F], poison: F) -> Self {
        let mut w = Written {
            state: state.to_vec(),
            obs: vec![poison; spec.obs_len()],
            action: vec![poison; spec.action_len()],
            logprob: vec![poison; spec.slots_len()],
            flags: vec![u32::MAX; spec.slots_len()],
            outcome: vec![poison; spec.outcome_len()],
        };
        v2x_rollout_cpu(
            spec,
            at,
            params,
            net,
            &mut w.state,
            &mut w.obs,
            &mut w.action,
            &mut w.logprob,
            &mut w.flags,
            &mut w.outcome,
        );
        w
    }
}

impl Written<f32> {
    /// By one dispatch after another, over poison.
    fn of_device(
        gpu: &Gpu,
        kernel: &V2xRollout,
        at: &[Args],
        params: &[V2xParams],
        net: &[f32],
        state: &[f32],
    ) -> Result<Self, GpuError> {
        let spec = &kernel.spec;
        bind!(gpu, bound = kernel; params, net, state, obs[spec.obs_len()], action[spec.action_len()],
            logprob[spec.slots_len()], flags[spec.slots_len()], outcome[spec.outcome_len()]);
        for at in at {
            gpu.run(|pass| bound.record(pass, at))?;
        }
        Ok(Written {
            state: gpu.read(&state)?,
            obs: gpu.read(&obs)?,
            action: gpu.read(&action)?,
            logprob: gpu.read(&logprob)?,
            flags: gpu.read(&flags)?,
            outcome: gpu.read(&outcome)?,
        })
    }

    fn floats(&self) -> [(&'static str, &[f32]); 5] {
        [
            ("state", &self.state),
            ("obs", &self.obs),
            ("action", &self.action),
            ("logprob", &self.logprob),
            ("outcome", &self.outcome),
        ]
    }
}

/// How far f32 may be from the f64 action and log-probability of every environment, in units of [`TOL_ACTION`].
fn action_scales(
    spec: &Spec,
    params: &[V2xParams],
    net: &[f64],
    states: &[f32],
    clock: u32,
) -> (Vec<f64>, Vec<f64>) {
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let (mut action, mut logprob) = (Vec::new(), Vec::new());
    for n in 0..r * b {
        let (replica, env) = (n / b, n % b);
        let net = &net[replica * spec.p..][..spec.p];
        let mut x = vec![0.0; task.obs_dim()];
        let s = v2x_batch::state_of(&spec.batch, states, replica, env);
        observe(task.vehicles, &params[replica], &s, |i, v| x[i] = v);
        // Three roundings of each number before its shift, and of 1 + γ.
        let p = &params[replica];
        let shift = |i: usize| f64::from(p.obs_shift[i / task.vehicles] * p.obs_scale[i / task.vehicles]);
        let by = |i: usize| f64::from(p.obs_scale[i / task.vehicles]);
        let mut error: Vec<f64> =
            x.iter().enumerate().map(|(i, x)| 0.15 * (x.abs() + shift(i).abs()) + 0.1 * by(i)).collect();
        for l in &spec.net.layers {
            let out = (0..l.outputs).map(|j| {
                let (w, bias) = (&net[l.w_off + j * l.inputs..][..l.inputs], net[l.b_off + j]);
                let (mut sum, mut size, mut carried) = (bias, bias.abs(), 0.0);
                for ((w, x), e) in w.iter().zip(&x).zip(&error) {
                    sum += w * x;
                    size += (w * x).abs();
                    carried += (w * e).powi(2);
                }
                (l.act.apply(sum), (carried + (0.5 * size).powi(2)).sqrt() + 0.15)
            });
            (x, error) = out.unzip();
        }
        let mut sum = 0.0;
        for (k, (mean, error)) in x.iter().zip(&error).enumerate() {
            let log_std = net[spec.ls_off + k];
            let z = four_normals::<f64>(params[replica].key, env, clock, k / 4);
            let (z, radius) = (z[k % 4].abs(), z[k % 4].hypot(z[(k % 4) ^ 1]));
            action.push(mean.abs() + error + log_std.exp() * (1.0 + z + 0.05 / radius));
            sum += z * z + z * (1.0 + 0.05 / radius) + log_std.abs() + 1.0;
        }
        logprob.push(sum);
    }
    (action, logprob)
}

/// One slot in the middle and one at the end of an episode: actions against the f64 twin, the physics against the f64
/// twin of v2x_step from the device's actions, on lavapipe all but log-probabilities against the bits of the f32 twin,
/// and that nothing else is written; then several slots across an episode's end in one dispatch against one dispatch a
/// slot, bit by bit, on any device. What of the parameters is not the actor's is not a number.
pub fn check(gpu: &Gpu, spec: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    const SLOTS: usize = 5;
    let spec = &Spec { horizon: SLOTS + 2, ..spec.clone() };
    let v2x_batch::Spec { r, b, task } = spec.batch;
    let (n, o, a, t) = (r * b, task.obs_dim(), task.action_dim(), task.slots as u32);
    let params = check_params(&spec.batch, seed);
    let states = check_states(&spec.batch, seed);
    let mut net = normal(seed, 2, r * spec.p, 0.15);
    for (i, x) in net.iter_mut().enumerate() {
        let i = i % spec.p;
        let used =
            (spec.net.offset..spec.net.end()).contains(&i) || (spec.ls_off..spec.ls_off + a).contains(&i);
        *x = if used { *x } else { f32::NAN };
    }
    let net64 = widen(&net);
    let kernel = V2xRollout::new(gpu, spec, SLOTS)?;
    // Mesa merges the constants of a log-probability's sum, as in gaussian_head.
    let twin_bits = |what: &str, name: &str, got: &[f32], twin: &[f32]| {
        (what != "logprob").then(|| compare_bits(gpu, name, got, twin)).flatten()
    };
    let mut rows = Vec::new();
    for (when, clock) in [("middle", 2 * t), ("end", 3 * t - 1)] {
        let ends = (clock + 1).is_multiple_of(t);
        let at = Args { clock, first: 1, slots: 1 };
        let want = Written::<f64>::of_twin(spec, &at, &params, &net64, &widen(&states), 0.0);
        let twin = Written::<f32>::of_twin(spec, &at, &params, &net, &states, POISON);
        let got = Written::of_device(gpu, &kernel, &[at], &params, &net, &states)?;

        let (action_scale, logprob_scale) = action_scales(spec, &params, &net64, &states, clock);
        let action = &got.action[n * a..][..n * a];
        let name = |what: &str| format!("{what}, {when}");
        rows.push(compare_scaled(
            &name("action"),
            action,
            &want.action[n * a..][..n * a],
            &action_scale,
            TOL_ACTION,
        ));
        rows.push(compare_scaled(
            &name("logprob"),
            &got.logprob[n..][..n],
            &want.logprob[n..][..n],
            &logprob_scale,
            gaussian_head::TOL_LOGPROB,
        ));

        let step = v2x_step::Args { clock, action_off: 0, obs_off: 0, reward_off: 0, full: true };
        let physics = of_twin::<f64>(&spec.batch, &step, &params, &states, action);
        let (scales, near_threshold) = scales(&spec.batch, &step, &params, &states, action, &physics);
        let mut judge = |what: &str, got: &[f32], want: &[f64], scale: &[f64]| {
            rows.push(compare_scaled(&name(what), got, want, scale, TOL));
        };
        judge("state", &got.state, &physics.state, &scales.state);
        judge("obs", &got.obs[2 * n * o..][..n * o], &physics.obs, &scales.obs);
        if ends {
            judge("final obs", &got.obs[spec.final_off()..], &physics.final_obs, &scales.final_obs);
        }
        for (q, from) in METRICS.into_iter().enumerate() {
            let [want, scale] = [&physics, &scales].map(|slot| metric_row(&spec.batch, &slot.metrics, from));
            let got = &got.outcome[q * spec.slots_len() + n..][..n];
            judge(metric::NAMES[from], got, &want, &scale);
        }
        rows.push(compare_near(spec.batch.task.beam, near_threshold, n));
        rows.push(compare_exact(&name("flags"), &got.flags, &twin.flags));
        for ((what, got), (_, twin)) in got.floats().into_iter().zip(twin.floats()) {
            let left = |x: &[f32]| x.iter().map(|x| u32::from(x.to_bits() == u32::MAX)).collect::<Vec<_>>();
            rows.push(compare_exact(
                &name(&format!("what is left alone of {what}")),
                &left(got),
                &left(twin),
            ));
            rows.extend(twin_bits(what, &name(what), got, twin));
        }
    }

    let clock = 3 * t - 3;
    let one = |n: usize| Args { clock: clock + n as u32, first: 1 + n, slots: 1 };
    let all = [Args { clock, first: 1, slots: SLOTS }];
    let together = Written::of_device(gpu, &kernel, &all, &params, &net, &states)?;
    let each: Vec<_> = (0..SLOTS).map(one).collect();
    let apart = Written::of_device(gpu, &kernel, &each, &params, &net, &states)?;
    let twin = Written::<f32>::of_twin(spec, &all[0], &params, &net, &states, POISON);
    for (((what, a), (_, b)), (_, twin)) in
        together.floats().into_iter().zip(apart.floats()).zip(twin.floats())
    {
        let name = format!("{what}, {SLOTS} slots in one dispatch");
        rows.push(compare_words(&format!("{name} and in {SLOTS}"), a, b));
        rows.extend(twin_bits(what, &name, a, twin));
    }
    rows.push(compare_exact("flags of several slots", &together.flags, &twin.flags));
    Ok(rows)
}

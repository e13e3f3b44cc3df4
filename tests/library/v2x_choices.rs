//! What the paper of task v2x leaves open: each key changes what it should of a slot, and no bit of anything else.

use isacbench::config::Layered;
use isacbench::env::{At, StepSlices};
use isacbench::kernels::inputs::normal;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::kernels::v2x_batch::{self, check_states, state_of};
use isacbench::tasks::v2x::physics::{KMAX, Noise, SlotOut, State, V2xParams, V2xSpec, metric, step};
use isacbench::tasks::v2x::reference::{Reference, act};

const K: usize = 3;
const SLOTS: usize = 60;

/// One slot: what was drawn and done, what it gave, and the state before and after.
struct Slot {
    moved: Noise<f64>,
    echoed: Noise<f64>,
    action: Vec<f64>,
    before: State<f64>,
    out: SlotOut<f64>,
    after: State<f64>,
}

/// The task with these keys.
fn task(sets: &[&str]) -> (V2xSpec, V2xParams) {
    let sets: Vec<String> = sets.iter().map(|s| format!("task.{s}")).collect();
    let task = V2xConfig::load(None, &sets).unwrap().task;
    (task.spec(), task.params([3, 0]))
}

/// Slots that look at every regime: angles from on the vehicle to anywhere, under the same draws whatever the keys.
fn slots(sets: &[&str]) -> Vec<Slot> {
    let (spec, p) = task(sets);
    let batch = v2x_batch::Spec { r: 1, b: SLOTS, task: spec };
    let states = check_states(&batch, 11);
    let (noise, raw) = (normal(4, 0, 6 * KMAX * SLOTS, 1.0), normal(5, 0, 2 * K * SLOTS, 1.0));
    (0..SLOTS)
        .map(|e| {
            let draws = &noise[6 * KMAX * e..][..6 * KMAX];
            let wide = |x: &[f32]| std::array::from_fn(|i| f64::from(x[i]));
            let (moved, echoed) = (wide(&draws[..3 * KMAX]), wide(&draws[3 * KMAX..]));
            let before = state_of(&batch, &states, 0, e);
            let mut action: Vec<f64> = raw[2 * K * e..][..2 * K].iter().map(|x| f64::from(*x)).collect();
            if e % 3 > 0 {
                // φ = π·sigmoid(a) on the last estimate, or next to it.
                for i in 0..K {
                    let share = before.obs_theta[i] / std::f64::consts::PI + 0.002 * (e % 3 - 1) as f64;
                    action[i] = (share / (1.0 - share)).ln();
                }
            }
            let mut after = before;
            let out = step(&spec, K, &p, &moved, &echoed, &action, true, &mut after);
            Slot { moved, echoed, action, before, out, after }
        })
        .collect()
}

/// Everything that a slot gives, by name.
fn numbers(s: &Slot) -> Vec<(&'static str, u64)> {
    let (o, a) = (&s.out, &s.after);
    let metrics = [
        ("sum_rate", o.sum_rate),
        ("jain", o.jain),
        ("reward", o.reward),
        ("indicator", o.indicator),
        ("angle_se", o.angle_se),
        ("distance_se", o.distance_se),
        ("angle_crlb", o.angle_crlb),
        ("distance_crlb", o.distance_crlb),
        ("upper_bound", o.upper_bound),
    ];
    let state = [
        ("rate", o.rate),
        ("theta", a.theta),
        ("d", a.d),
        ("v", a.v),
        ("obs_theta", a.obs_theta),
        ("obs_d", a.obs_d),
        ("obs_v", a.obs_v),
        ("obs_sinr", a.obs_sinr),
        ("var_theta", a.var[0]),
        ("var_d", a.var[1]),
        ("var_v", a.var[2]),
    ];
    let state = state.into_iter().flat_map(|(name, x)| (0..K).map(move |i| (name, x[i])));
    let past = a.past.into_iter().map(|x| ("past", x));
    metrics.into_iter().chain(state).chain(past).map(|(name, x)| (name, x.to_bits())).collect()
}

/// That of everything `a` and `b` give, just these differ, in some slot or other.
fn just(changed: &[&str], a: &[Slot], b: &[Slot]) {
    let mut differ: Vec<&str> = Vec::new();
    for (x, y) in a.iter().zip(b).flat_map(|(a, b)| numbers(a).into_iter().zip(numbers(b))) {
        if x.1 != y.1 && !differ.contains(&x.0) {
            differ.push(x.0);
        }
    }
    differ.sort_unstable();
    let mut want = changed.to_vec();
    want.sort_unstable();
    assert_eq!(differ, want);
}

#[track_caller]
fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + 1e-300, "{a:e} {b:e}");
}

/// The bounds of the metrics are without caps where those are far.
const FAR: [&str; 4] = ["cap_theta_rad=10.0", "cap_d_m=1e6", "eps_theta_rad2=1e-16", "eps_d_m2=0.5"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FAR[..], more].concat()
}

#[test]
fn reward() {
    let product = slots(&FAR);
    let held = product.iter().filter(|s| s.out.indicator == 1.0).count();
    assert!((5..SLOTS - 5).contains(&held), "{held} of {SLOTS} slots keep the limits");
    let value = |s: &Slot| s.out.sum_rate * s.out.jain;
    for s in &product {
        let charged = value(s) - s.out.angle_crlb - s.out.distance_crlb;
        close(s.out.reward, s.out.indicator * charged);
    }
    let indicator = slots(&with(&["reward=indicator"]));
    just(&["reward"], &product, &indicator);
    indicator.iter().for_each(|s| close(s.out.reward, s.out.indicator * value(s)));
    let lagrangian = slots(&with(&["reward=lagrangian", "reward_weights=[0.5,2.0]"]));
    just(&["reward"], &product, &lagrangian);
    for s in &lagrangian {
        let (theta, d) = ((s.out.angle_crlb / f64::from(1e-16f32)).ln(), (s.out.distance_crlb / 0.5).ln());
        close(s.out.reward, value(s) - 0.5 * theta.max(0.0) - 2.0 * d.max(0.0));
    }
    let beyond = |of: fn(&Slot) -> f64, limit: f64| product.iter().filter(|s| of(s) > limit).count();
    let missed = [beyond(|s| s.out.angle_crlb, 1e-16), beyond(|s| s.out.distance_crlb, 0.5)];
    assert!(missed.iter().all(|n| (3..SLOTS - 3).contains(n)), "{missed:?} of {SLOTS} slots miss a limit");
    // Weights of another reward change nothing.
    just(&[], &product, &slots(&with(&["reward_weights=[0.5,2.0]"])));
}

/// The limits are asked of the means over the slots so far, this one among them; the bounds that are charged are those
/// of the slot.
#[test]
fn limits() {
    let slot = slots(&FAR);
    let episode = slots(&with(&["limits=episode"]));
    just(&["indicator", "past", "reward"], &slot, &episode);
    assert!(slot.iter().all(|s| s.after.past == [0.0; 3]));
    let mut turned = [0, 0];
    for (s, alone) in episode.iter().zip(&slot) {
        let (before, after, o) = (s.before.past, s.after.past, &s.out);
        close(after[0], before[0] + o.angle_crlb);
        close(after[1], before[1] + o.distance_crlb);
        assert_eq!(after[2], before[2] + 1.0);
        let keeps = after[0] / after[2] <= f64::from(1e-16f32) && after[1] / after[2] <= 0.5;
        assert_eq!(o.indicator, f64::from(u8::from(keeps)));
        close(o.reward, o.indicator * (o.sum_rate * o.jain - o.angle_crlb - o.distance_crlb));
        if o.indicator != alone.out.indicator {
            turned[usize::from(keeps)] += 1;
        }
    }
    assert!(turned[0] > 0, "no past takes a slot beyond the limits: {turned:?}");
    let lagrangian = slots(&with(&["limits=episode", "reward=lagrangian", "reward_weights=[0.5,2.0]"]));
    just(&["reward"], &episode, &lagrangian);
    for s in &lagrangian {
        let mean = [0, 1].map(|q| s.after.past[q] / s.after.past[2]);
        let (theta, d) = ((mean[0] / f64::from(1e-16f32)).ln(), (mean[1] / 0.5).ln());
        close(s.out.reward, s.out.sum_rate * s.out.jain - 0.5 * theta.max(0.0) - 2.0 * d.max(0.0));
    }
    // One bad slot does not end an episode's chances.
    let mild = ["limits=episode", "eps_theta_rad2=1e-9", "eps_d_m2=1.0"];
    let redeemed = |s: &&Slot| s.out.indicator == 1.0 && s.out.distance_crlb > 1.0;
    assert!(slots(&mild).iter().any(|s| redeemed(&s)), "no slot beyond a limit is made up for");
}

/// Two episodes through the environment: the first slot is asked by itself, the last one what the long-run shares ask
/// of a whole episode, and the next episode starts anew.
#[test]
fn limits_over_an_episode() {
    const ENVS: usize = 40;
    let played = |limits: &str, eps_d: f32| {
        let sets = ["task.slots=7".to_string(), limits.into(), format!("task.eps_d_m2={eps_d:e}")];
        let config = V2xConfig::load(None, &sets).unwrap();
        let env = config.env_of(vec![config.task.params([3, 0])]);
        let sizes = env.sizes();
        let at = At { replica: 0, key: [3, 0], first: 0, envs: ENVS, clock: 0 };
        let (mut state, mut obs) = (vec![f32::NAN; sizes.state * ENVS], vec![0.0; sizes.obs * ENVS]);
        env.reset(&at, &mut state, &mut obs);
        let (mut final_obs, mut reward) = (obs.clone(), vec![0.0; ENVS]);
        let (mut flags, mut metrics) = (vec![0; ENVS], vec![0.0; sizes.metrics * ENVS]);
        let mut all = Vec::new();
        for clock in 0..14 {
            // Beams at the estimates, off by a fixed amount that differs between environments.
            let action: Vec<f32> = (0..ENVS)
                .flat_map(|e| {
                    let theta = (0..K).map(|i| state[(3 * K + i) * ENVS + e]).collect::<Vec<_>>();
                    let off = 0.0015 * e as f32 * if clock % 2 == 0 { 1.0 } else { -0.3 };
                    let logit = |t: f32| {
                        let share = (t + off) / std::f32::consts::PI;
                        (share / (1.0 - share)).ln()
                    };
                    theta.into_iter().map(logit).chain([0.0; K]).collect::<Vec<_>>()
                })
                .collect();
            let out = StepSlices {
                final_obs: &mut final_obs,
                reward: &mut reward,
                flags: &mut flags,
                metrics: Some(&mut metrics),
                full: true,
            };
            env.step(&At { clock, ..at }, &action, &mut state, &mut obs, out);
            all.push(metrics.clone());
        }
        let most = env.limits().iter().map(|l| (l.row, l.most[0])).collect::<Vec<_>>();
        (all, obs, sizes.state, most)
    };
    // Half of the episodes keep this limit of the distance.
    let (free, ..) = played("task.limits=slot", 1.0);
    let mean = |all: &[Vec<f32>], row: usize, e: usize| {
        all.iter().map(|m| m[row * ENVS + e]).sum::<f32>() / all.len() as f32
    };
    let means = |start: usize| {
        let free = &free[start..start + 7];
        (0..ENVS).map(move |e| mean(free, metric::DISTANCE_CRLB, e))
    };
    let mut means: Vec<f32> = means(0).chain(means(7)).collect();
    means.sort_unstable_by(f32::total_cmp);
    let middle = 0.5 * (means[ENVS - 1] + means[ENVS]);
    let (slot, obs, rows, _) = played("task.limits=slot", middle);
    let (episode, obs_too, rows_too, most) = played("task.limits=episode", middle);
    assert_eq!((rows, rows_too), (10 * K, 10 * K + 3));
    assert_eq!(obs, obs_too, "what is seen tells nothing of it");
    let indicator = |m: &[f32], e: usize| m[metric::INDICATOR * ENVS + e];
    let mut seen = [0, 0, 0];
    for e in 0..ENVS {
        for start in [0, 7] {
            assert_eq!(indicator(&slot[start], e), indicator(&episode[start], e));
            let keeps = most.iter().all(|(row, most)| {
                let mean = mean(&episode[start..start + 7], *row, e);
                // No mean is so near that the order of a sum decides.
                assert!((mean / most - 1.0).abs() > 1e-6);
                mean <= *most
            });
            assert_eq!(indicator(&episode[start + 6], e) == 1.0, keeps);
            seen[usize::from(keeps)] += 1;
            seen[2] += usize::from(indicator(&slot[start + 6], e) != indicator(&episode[start + 6], e));
        }
    }
    assert!(seen.iter().all(|n| *n > 3), "{seen:?}");
    let of = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        V2xConfig::load(None, &sets).unwrap()
    };
    let smooth = of(&["apg.objective=reward-smooth", "task.limits=episode"]);
    for agent in ["apg", "spiking-apg"] {
        let said = smooth.relations_for(agent).unwrap_err().to_string();
        assert!(said.contains("apg.objective") && said.contains("task.limits"), "{said}");
        assert!(of(&["task.limits=episode"]).relations_for(agent).is_ok());
        assert!(of(&["apg.objective=reward-smooth"]).relations_for(agent).is_ok());
    }
    assert!(smooth.relations_for("ppo").is_ok());
}

#[test]
fn caps_in_reward() {
    // A limit above the cap: with caps in the reward, every slot keeps it. Each bound by itself.
    for keys in [
        ["cap_theta_rad=1e-8", "eps_theta_rad2=1e-15", "eps_d_m2=1e12"],
        ["cap_d_m=0.1", "eps_d_m2=0.02", "eps_theta_rad2=10.0"],
    ] {
        let (without, capped) = (slots(&keys), slots(&[&keys[..], &["caps_in_reward=true"]].concat()));
        just(&["reward", "indicator"], &without, &capped);
        assert!(without.iter().any(|s| s.out.indicator == 0.0));
        for s in &capped {
            assert_eq!(s.out.indicator, 1.0);
            close(s.out.reward, s.out.sum_rate * s.out.jain - s.out.angle_crlb - s.out.distance_crlb);
        }
    }
}

#[test]
fn sensing_noise() {
    let (plain, twice) = (slots(&[]), slots(&["sensing_noise=2.0"]));
    let echo = ["obs_theta", "obs_d", "obs_v", "var_theta", "var_d", "var_v", "angle_se", "distance_se"];
    just(&echo, &plain, &twice);
    for (a, b) in plain.iter().zip(&twice) {
        close(4.0 * a.out.angle_se, b.out.angle_se);
        close(4.0 * a.out.distance_se, b.out.distance_se);
        for i in 0..K {
            let errors = |s: &Slot| {
                let a = &s.after;
                [a.obs_theta[i] - a.theta[i], a.obs_d[i] - a.d[i], a.obs_v[i] - a.v[i]]
            };
            for (q, (x, y)) in errors(a).into_iter().zip(errors(b)).enumerate() {
                assert!((2.0 * x - y).abs() < 1e-12 + 1e-9 * y.abs(), "{q}: {x:e} {y:e}");
                close(4.0 * a.after.var[q][i], b.after.var[q][i]);
            }
        }
    }
}

/// γ̂ without feedback is what vehicles would report that stood where the echo has them.
#[test]
fn sinr_feedback() {
    let mut floored = 0;
    for beam in ["beam=angles", "beam=tracking", "beam=zf"] {
        // Estimates as bad as the floor of the distance asks for.
        let keys = [beam, "sensing_noise=20.0", "distance_floor_m=6.0"];
        let (reported, own) = (slots(&keys), slots(&[&keys[..], &["sinr_feedback=false"]].concat()));
        just(&["obs_sinr"], &reported, &own);
        let (spec, p) = task(&keys);
        let still = V2xParams { dt_s: 0.0, sigma_theta_rad: 0.0, sigma_d_m: 0.0, ..p };
        for s in &own {
            let mut there = s.before;
            there.theta = s.after.obs_theta;
            there.d = s.after.obs_d.map(|d| d.max(6.0));
            floored += s.after.obs_d[..K].iter().filter(|d| **d < 6.0).count();
            step(&spec, K, &still, &s.moved, &s.echoed, &s.action, false, &mut there);
            (0..K).for_each(|i| close(s.after.obs_sinr[i], there.obs_sinr[i]));
        }
    }
    assert!(floored > 0, "no estimate lies below the floor");
}

/// The filters take the echo for better or worse by a factor of its variances; nobody else asks.
#[test]
fn ekf_noise() {
    let acted = |who: Reference, sets: &[&str], by: f64| {
        let (spec, p) = task(sets);
        let spec = V2xSpec { beam: who.beam(), ..spec };
        let mut out = Vec::new();
        for s in &slots(&[]) {
            // Two slots: the first prediction is that of the start.
            let mut memory = vec![0.0; who.memory_rows(K)];
            let mut action = vec![f64::NAN; spec.action_dim()];
            let mut seen = s.after;
            seen.var = seen.var.map(|row| row.map(|x| by * x));
            act(who, &spec, K, &p, 7, 0, &s.before, &mut memory, &mut action);
            act(who, &spec, K, &p, 7, 1, &seen, &mut memory, &mut action);
            out.extend(action.into_iter().chain(memory).map(f64::to_bits));
        }
        out
    };
    for who in [Reference::Ekf, Reference::EkfZf, Reference::Ukf] {
        assert_ne!(acted(who, &[], 1.0), acted(who, &["ekf_noise=4.0"], 1.0));
        assert_eq!(acted(who, &["ekf_noise=4.0"], 1.0), acted(who, &[], 4.0));
    }
    for who in [Reference::Random, Reference::LastEstimate, Reference::Genie, Reference::GenieZf] {
        assert_eq!(acted(who, &[], 1.0), acted(who, &["ekf_noise=4.0"], 1.0));
    }
}

/// Nothing changes the start of an episode, nor the slots of a configuration that asks for nothing.
#[test]
fn defaults_ask_for_nothing() {
    let spelt =
        ["reward=product", "limits=slot", "caps_in_reward=false", "sensing_noise=1.0", "sinr_feedback=true"];
    just(&[], &slots(&[]), &slots(&[&spelt[..], &["ekf_noise=1.0", "reward_weights=[1.0,1.0]"]].concat()));
}

//! What the paper of task v2x leaves open: each key changes what it should of a slot, and no bit of anything else.

use isacbench::config::Layered;
use isacbench::kernels::inputs::normal;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::kernels::v2x_batch::{self, check_states, state_of};
use isacbench::tasks::v2x::physics::{KMAX, Noise, SlotOut, State, V2xParams, V2xSpec, step};
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
    metrics.into_iter().chain(state).map(|(name, x)| (name, x.to_bits())).collect()
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
    let spelt = ["reward=product", "caps_in_reward=false", "sensing_noise=1.0", "sinr_feedback=true"];
    just(&[], &slots(&[]), &slots(&[&spelt[..], &["ekf_noise=1.0", "reward_weights=[1.0,1.0]"]].concat()));
}

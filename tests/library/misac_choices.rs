//! What the paper of task misac leaves open: each key changes what it should of a slot, and no bit of anything else.

use isacbench::config::Layered;
use isacbench::env::Env;
use isacbench::num::philox::draw;
use isacbench::num::real::Real;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::kernels::misac_batch::{self, check_states, state_of};
use isacbench::tasks::misac::physics::{
    Channel, Choices, KMAX, MMAX, MisacParams, MisacSpec, Phase, SlotOut, State, channel, gains, geometry,
    observe, reset, step, stream,
};

const K: usize = 4;
const SLOTS: usize = 60;
const CLOCK: u32 = 5;

/// One slot of one environment: what was observed and what beams reached before it, what it gave, and the state before
/// and after.
struct Slot {
    seen: [f64; 3 * K],
    beams: Vec<[f64; 4]>,
    frames: [f64; K],
    before: State<f64>,
    out: SlotOut<f64>,
    after: State<f64>,
}

fn task(sets: &[&str]) -> (MisacSpec, MisacParams) {
    let sets: Vec<String> = sets.iter().map(|s| format!("task.{s}")).collect();
    let task = MisacConfig::load(None, &sets).unwrap().task;
    (task.spec(), task.params([3, 0]))
}

/// Slots from ages of 0 to A_max, with and without frames, under the same draws whatever the keys.
fn slots(sets: &[&str]) -> Vec<Slot> {
    let (spec, p) = task(sets);
    let plain = MisacSpec { choices: Choices::DEFAULT, ..spec };
    let batch = misac_batch::Spec { r: 1, b: SLOTS, task: plain };
    let states: Vec<f64> = check_states(&batch, &[p], 11).into_iter().map(f64::from).collect();
    (0..SLOTS)
        .map(|e| {
            let before = state_of(&batch, &states, 0, e);
            let id = e as u32;
            let mut seen = [0.0; 3 * K];
            observe(&spec, &p, &before, id, CLOCK, |i, x| seen[i] = x);
            let beam = |i: usize| {
                let g = gains(&spec, &p, &before, i, id, CLOCK, Phase::Residual, |_| 0.1);
                [g.gain, g.matched, g.estimate, g.truth]
            };
            let frames = std::array::from_fn(|i| f64::from(u8::from((e + i).is_multiple_of(3))));
            let mut after = before;
            let out = step(&spec, &p, id, CLOCK, &frames, &mut after);
            Slot { seen, beams: (0..K).map(beam).collect(), frames, before, out, after }
        })
        .collect()
}

/// Everything that a slot gives, by name.
fn numbers(s: &Slot) -> Vec<(&'static str, u64)> {
    let o = &s.out;
    let slot = [
        ("energy", o.energy),
        ("reward", o.reward),
        ("l_bmp", o.l_bmp),
        ("over", o.over),
        ("mae", o.mae),
        ("age_max", o.age_max),
        ("over_age", o.over_age),
    ];
    let vehicle = |i: usize| {
        [
            ("seen_angle", s.seen[i]),
            ("seen_distance", s.seen[K + i]),
            ("seen_age", s.seen[2 * K + i]),
            ("gain", s.beams[i][0]),
            ("matched", s.beams[i][1]),
            ("estimate", s.beams[i][2]),
            ("truth", s.beams[i][3]),
            ("x", s.after.x[i]),
            ("age", s.after.age[i]),
            ("e", s.after.e[i]),
        ]
    };
    let all = slot.into_iter().chain((0..K).flat_map(vehicle));
    all.map(|(name, x)| (name, x.to_bits())).collect()
}

/// That of everything `a` and `b` give, just these differ, in some slot or other.
#[track_caller]
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
    assert!((a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + 1e-12, "{a:e} {b:e}");
}

#[test]
fn age_saturates() {
    let (capped, free) = (slots(&[]), slots(&["age_saturates=false"]));
    just(&["age"], &capped, &free);
    let mut older = 0;
    for (a, b) in capped.iter().zip(&free) {
        for i in 0..K {
            assert_eq!(a.after.age[i], b.after.age[i].min(10.0));
            older += usize::from(b.after.age[i] == 11.0);
        }
        assert_eq!(f64::from(u8::from(b.after.age[..K].contains(&11.0))), b.out.over_age);
    }
    assert!(older > 5, "{older} ages beyond A_max");
    // (7) of the true age, in units of A_max in the observation, slot after slot.
    let (spec, p) = task(&["age_saturates=false"]);
    let mut s = reset::<f64>(&spec, &p, 2, 0);
    for n in 0..40 {
        let mut seen = [0.0; 3 * K];
        observe(&spec, &p, &s, 2, n, |i, x| seen[i] = x);
        close(seen[2 * K], f64::from(n) / 10.0);
        let out = step(&spec, &p, 2, n, &[0.0; K], &mut s);
        close(out.l_bmp, 1.0 - (-f64::from(p.beta) * f64::from(n)).exp());
        assert_eq!((out.age_max, out.over_age), (f64::from(n), f64::from(u8::from(n >= 10))));
    }
    let high = |set: &str| {
        let config = MisacConfig::load(None, &[set.into()]).unwrap();
        config.typed_env(&[(10.0, 1)]).observation()[2 * K].high
    };
    assert_eq!([high("task.age_saturates=true"), high("task.age_saturates=false")], [1.0, f32::INFINITY]);
}

#[test]
fn realign() {
    let (never, drawn) = (slots(&[]), slots(&["realign=true"]));
    just(&["age", "e", "over_age"], &never, &drawn);
    let (_, p) = task(&[]);
    let mut found = 0;
    for (e, (a, b)) in never.iter().zip(&drawn).enumerate() {
        let words = draw(p.key, stream::RECOVERY, e as u32, CLOCK, 0);
        let w = draw(p.key, stream::TRACK, e as u32, CLOCK, 0);
        let (z0, z1) = f64::normal_pair(w[0], w[1]);
        let (z2, z3) = f64::normal_pair(w[2], w[3]);
        for (i, z) in [z0, z1, z2, z3].into_iter().enumerate() {
            let sweep = f64::unit_from_word(words[i]) < b.out.misaligned[i];
            if sweep && b.frames[i] == 0.0 {
                found += 1;
                assert_eq!(b.after.age[i], 0.0);
                close(b.after.e[i], f64::from(p.sigma_vis_rad) * z);
                assert_ne!(a.after.age[i], 0.0);
            } else {
                assert_eq!((a.after.age[i], a.after.e[i]), (b.after.age[i], b.after.e[i]));
            }
        }
    }
    assert!(found > 20, "{found} vehicles found by a sweep");
    // As often as (7) says, by vehicle; and T_proc is the age behind it.
    let (spec, p) = task(&["realign=true", "t_proc_slots=2"]);
    let (mut sum, mut count) = ([0.0; K], [0.0; K]);
    for env in 0..4000 {
        let mut s = reset::<f64>(&spec, &p, env, 0);
        s.age = [1.0, 3.0, 6.0, 10.0, 0.0, 0.0, 0.0, 0.0];
        let out = step(&spec, &p, env, 9, &[0.0; K], &mut s);
        for i in 0..K {
            sum[i] += out.misaligned[i];
            count[i] += f64::from(u8::from(s.age[i] == 2.0));
        }
    }
    for i in 1..K {
        let (want, got) = (sum[i] / 4000.0, count[i] / 4000.0);
        let error = (want * (1.0 - want) / 4000.0).sqrt();
        assert!((got - want).abs() < 4.0 * error, "vehicle {i}: {got} of {want}");
    }
}

#[test]
fn channel_ageing() {
    let (added, kept) = (slots(&[]), slots(&["channel_ageing=power-preserving"]));
    just(&["gain", "matched", "estimate", "truth"], &added, &kept);
    let mut fresh = 0;
    for (a, b) in added.iter().zip(&kept) {
        for i in (0..K).filter(|i| a.before.age[*i] == 0.0) {
            fresh += 1;
            assert_eq!(a.beams[i], b.beams[i]);
        }
    }
    assert!(fresh > 5, "{fresh} vehicles of age 0");
    // h = √(1−c)·ĥ + Δh with the same draws: what is left of h without Δh, element by element.
    let at = |set: &str, csi: f32, age: f64| {
        let (spec, p) = task(&[set]);
        let p = MisacParams { csi_error: csi, ..p };
        let mut s = reset::<f64>(&spec, &p, 7, 0);
        s.age = [age; KMAX];
        let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
        channel(&spec, &p, &s, 1, 7, CLOCK, &mut h);
        (h.re[..64].to_vec(), 1.0 - (-f64::from(p.beta) * age).exp())
    };
    let (clean, lost) = at("channel_ageing=independent", 0.0, 10.0);
    let (independent, _) = at("channel_ageing=independent", 0.1, 10.0);
    for (csi, c) in [(0.1f32, f64::from(0.1f32) * lost), (10.0, 1.0)] {
        let (preserving, _) = at("channel_ageing=power-preserving", csi, 10.0);
        let factor = (c / (f64::from(0.1f32) * lost)).sqrt();
        for m in 0..64 {
            let error = factor * (independent[m] - clean[m]);
            assert!((preserving[m] - ((1.0 - c).sqrt() * clean[m] + error)).abs() < 1e-9, "{csi}, {m}");
        }
    }
}

/// Power, gain of the beam at the true angle and matched gain by the age, against what `tests/reference` found in
/// numpy.
#[test]
fn a_fixed_beam_loses_gain_only_if_the_channel_keeps_its_power() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../golden/misac_channel.json")).expect("JSON");
    let of = |ageing: &str, age: f64| {
        let (spec, p) = task(&[&format!("channel_ageing={ageing}")]);
        let n = 1500;
        let mut sums = [[0.0; 2]; 3];
        for env in 0..n {
            let mut s = reset::<f64>(&spec, &p, env, 0);
            s.age = [age; KMAX];
            let mut h = Channel { re: [0.0; MMAX], im: [0.0; MMAX] };
            channel(&spec, &p, &s, 0, env, CLOCK, &mut h);
            let power = (0..64).map(|m| h.re[m] * h.re[m] + h.im[m] * h.im[m]).sum::<f64>();
            let (cos, _, _) = geometry(&p, s.x[0]);
            let sum = (0..64).fold((0.0, 0.0), |(re, im), m| {
                let (sin, cos) = (std::f64::consts::PI * m as f64 * cos).sin_cos();
                (re + h.re[m] * cos - h.im[m] * sin, im + h.re[m] * sin + h.im[m] * cos)
            });
            let gain = (sum.0 * sum.0 + sum.1 * sum.1) / 64.0;
            let matched = (0..64).map(|m| h.re[m].hypot(h.im[m])).sum::<f64>().powi(2) / 64.0;
            for (sum, x) in sums.iter_mut().zip([power, gain, matched]) {
                *sum = [sum[0] + x, sum[1] + x * x];
            }
        }
        let n = f64::from(n);
        sums.map(|[sum, squares]| [sum / n, ((squares / n - (sum / n).powi(2)) / n).sqrt()])
    };
    let mut gains = Vec::new();
    for ageing in ["independent", "power-preserving"] {
        for age in ["0", "5", "10"] {
            let found = of(ageing, age.parse().unwrap());
            for (name, [mean, error]) in ["power", "gain", "matched"].into_iter().zip(found) {
                let golden = &golden["results"][ageing][age][name];
                let (want, se) = (golden["mean"].as_f64().unwrap(), golden["se"].as_f64().unwrap());
                let within = 5.0 * error.hypot(se);
                assert!(
                    (mean - want).abs() < within,
                    "{ageing}, age {age}, {name}: {mean}, not {want} ± {within}"
                );
            }
            gains.push(found[1][0]);
        }
    }
    // As printed, no beam loses anything by ageing.
    assert!(gains[2] > gains[0] - 0.2 && gains[5] < gains[3] - 3.0, "{gains:?}");
}

#[test]
fn error_growth() {
    let (walk, grown) = (slots(&[]), slots(&["error_growth=exponential"]));
    just(&["e"], &walk, &grown);
    let (_, p) = task(&[]);
    let factor = (f64::from(p.error_rate) * f64::from(p.beta)).exp();
    for (a, b) in walk.iter().zip(&grown) {
        for i in 0..K {
            match b.frames[i] > 0.0 {
                true => assert_eq!(a.after.e[i], b.after.e[i]),
                false if b.before.age[i] < f64::from(p.age_max) => {
                    close(b.after.e[i], b.before.e[i] * factor)
                }
                false => assert_eq!(b.after.e[i], b.before.e[i]),
            }
        }
    }
    // Another rate; and no rate where the error walks.
    let faster = slots(&["error_growth=exponential", "error_rate=5.0"]);
    just(&["e"], &grown, &faster);
    just(&[], &walk, &slots(&["error_rate=5.0"]));
    // σ(A) = σ_vis·e^(r·β·A) with the age that counts, and an angle's error ends at π.
    for (saturates, oldest) in [(true, 10), (false, 100)] {
        let (spec, p) = task(&["error_growth=exponential", &format!("age_saturates={saturates}")]);
        let mut s = reset::<f64>(&spec, &p, 2, 0);
        let first = s.e;
        for n in 0..100 {
            for i in 0..K {
                let free = first[i] * factor.powi((n as i32).min(oldest));
                let want = free.abs().min(f64::from(std::f32::consts::PI));
                assert!((s.e[i].abs() - want).abs() < 1e-9 * want, "{} at age {n}", s.e[i]);
            }
            step(&spec, &p, 2, n, &[0.0; K], &mut s);
        }
        assert_eq!(s.e[..K].iter().all(|e| e.abs() > 3.1), !saturates, "{:?}", s.e);
    }
    let (_, p) = task(&["error_growth=exponential"]);
    // The default rate: the walk's standard deviation where β·A = 1.
    let (sigma, width) = (f64::from(p.sigma_vis_rad), f64::from(p.beam_width_rad));
    let at_one = sigma * f64::from(p.error_rate).exp();
    assert!((at_one / (sigma * sigma + width * width).sqrt() - 1.0).abs() < 0.01, "{at_one}");
}

#[test]
fn radar_noise() {
    let (plain, noisy) = (slots(&[]), slots(&["radar_noise_deg=0.3"]));
    just(&["seen_angle", "mae", "gain", "estimate"], &plain, &noisy);
    let (mut n, mut squares) = (0.0, 0.0);
    for (a, b) in plain.iter().zip(&noisy) {
        let mut errors = 0.0;
        for i in 0..K {
            let theta = |s: &Slot| s.seen[i].acos();
            let noise = theta(b) - theta(a);
            errors += (a.before.e[i] + noise).abs();
            if a.before.age[i] == 0.0 {
                assert_eq!(a.seen[i], b.seen[i], "a frame's estimate has no radar noise");
                assert_eq!(a.beams[i], b.beams[i]);
            } else {
                assert_ne!(a.seen[i], b.seen[i]);
                (n, squares) = (n + 1.0, squares + noise * noise);
            }
        }
        assert!((b.out.mae - errors / K as f64).abs() < 1e-9, "{} {}", b.out.mae, errors / K as f64);
    }
    let std = (squares / n).sqrt().to_degrees();
    assert!((std - 0.3).abs() < 4.0 * 0.3 / (2.0 * n).sqrt(), "{std} of 0.3 in {n} angles");
    // Beams steer at the angle that is observed.
    let (spec, p) = task(&["radar_noise_deg=0.3"]);
    for (e, s) in noisy.iter().enumerate() {
        for i in 0..K {
            let steered = |m: usize| -std::f64::consts::PI * (m % 64) as f64 * s.seen[i];
            let g = gains(&spec, &p, &s.before, i, e as u32, CLOCK, Phase::Direct, steered);
            assert!((g.gain - s.beams[i][2]).abs() < 1e-6 * g.matched, "{} {}", g.gain, s.beams[i][2]);
        }
    }
}

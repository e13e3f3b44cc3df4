//! Agents of task misac in evaluation: fixed schedules against their closed forms, the exact optimum against its own
//! value, bounds, constraints.

use isacbench::config::Layered;
use isacbench::learn::{Algorithm, ExpertsSpec};
use isacbench::run::evaluate::Estimate;
use isacbench::run::task::{Kind, Task, Unit};
use isacbench::tasks::misac::agents::{AGENTS, FixedSchedule, Make};
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::dp::Schedule;
use isacbench::tasks::misac::evaluate::{
    AGE_MAX, BEAM_GAIN, COST, Controller, ENERGY, ESTIMATE_GAIN, FRAMES, L_BMP, MAE, METRICS, MODULUS_ERROR,
    MisacEstimates, MisacEvaluation, POWER, REWARD, SHARE_OVER_AGE, SHARE_OVER_GAMMA, SUM_RATE,
    TRUE_ANGLE_GAIN, evaluate,
};
use isacbench::tasks::misac::physics::{MisacParams, Uncertainty};
use std::sync::Arc;

fn config(sets: &[&str]) -> MisacConfig {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    MisacConfig::load(None, &sets).unwrap()
}

fn schedule(id: &str, config: &MisacConfig) -> Arc<dyn FixedSchedule> {
    match MisacConfig::agent(id).unwrap().kind {
        Kind::Fixed(Make(make)) => make(&config.task.spec(), &config.task.params([0, 0])).unwrap(),
        Kind::Learned(_) => panic!("{id} is learned"),
    }
}

/// One replica of a fixed schedule under seed 5.
fn run(
    schedule: Arc<dyn FixedSchedule>,
    config: &MisacConfig,
    episodes: u64,
    gain_stride: usize,
) -> MisacEstimates {
    let eval = MisacEvaluation {
        task: config.task.spec(),
        replicas: vec![config.task.params([5, 0])],
        controller: Controller::Fixed(&[schedule]),
        episodes,
        gain_stride,
    };
    evaluate(&eval, None, &|_| {}).unwrap().remove(0)
}

fn fixed(id: &str, config: &MisacConfig) -> MisacEstimates {
    run(schedule(id, config), config, 40, 20)
}

fn fact(schedule: &dyn FixedSchedule, name: &str) -> f64 {
    schedule.facts().into_iter().find(|f| f.0 == name).unwrap_or_else(|| panic!("no {name}")).1
}

fn close(got: f64, want: f64, within: f64, what: &str) {
    assert!((got - want).abs() <= within, "{what}: {got}, not within {within} of {want}");
}

#[test]
fn vision_only_costs_exactly_40_joules_in_every_slot() {
    let config = config(&[]);
    let o = fixed("vision-only", &config);
    assert_eq!(o.metrics[ENERGY], Estimate { mean: 40.0, std_error: 0.0 });
    assert_eq!((o.metrics[REWARD].mean, o.metrics[COST].mean), (-40.0, 40.0));
    assert!(o.slot_energy_j.len() == 200 && o.slot_energy_j.iter().all(|e| e.mean == 40.0));
    assert_eq!((o.metrics[AGE_MAX].mean, o.metrics[FRAMES].mean, o.metrics[L_BMP].mean), (0.0, 4.0, 0.0));
    assert_eq!(o.metrics[SHARE_OVER_AGE].mean, 0.0);
    // σ_vis·√(2/π) degrees.
    close(o.metrics[MAE].mean, 0.05 * (2.0 / std::f64::consts::PI).sqrt(), 0.001, "mean error of a frame");
}

#[test]
fn radar_only_is_its_closed_form_once_ages_have_saturated() {
    for snr in ["0", "10", "20"] {
        let config = config(&[&format!("task.snr_db={snr}")]);
        let o = fixed("radar-only", &config);
        let saturated = 100.0 * (1.0 - (-10.0 * f64::from(config.task.params([0, 0]).beta)).exp());
        for (slot, e) in o.slot_energy_j.iter().enumerate().skip(10) {
            close(e.mean, saturated, 1e-4, &format!("slot {slot} at {snr} dB"));
        }
        assert_eq!(
            (o.slot_energy_j[0].mean, o.metrics[AGE_MAX].mean, o.metrics[FRAMES].mean),
            (0.0, 10.0, 0.0)
        );
        // Slot 9 leaves ages of 10 behind, slot 10 of 11.
        close(o.metrics[SHARE_OVER_AGE].mean, 190.0 / 200.0, 1e-12, "slots that leave an age beyond 10");
        assert!(o.metrics[MAE].mean > 10.0 * 0.05, "without frames the error grows: {}", o.metrics[MAE].mean);
    }
}

/// The mean over an episode of what the schedule costs in `misac_dp`'s f64 arithmetic.
fn simulated(config: &MisacConfig, mut decide: impl FnMut(usize, &[usize]) -> Vec<bool>) -> f64 {
    let problem = Schedule::new(&config.task.spec(), &config.task.params([0, 0]));
    problem.simulate(&[0; 4], config.task.slots, |n, ages| decide(n, ages)).cost_j()
}

#[test]
fn best_periodic_is_the_sum_over_its_period() {
    for snr in ["0", "10", "20"] {
        // Whole periods of any length up to 11, so that nothing but the first one differs from the sum over a period.
        let config = config(&[&format!("task.snr_db={snr}"), "task.slots=27720"]);
        let best = schedule("best-periodic", &config);
        let (period, cost) = (fact(&*best, "period_slots") as usize, fact(&*best, "period_cost_j"));
        let problem = Schedule::new(&config.task.spec(), &config.task.params([0, 0]));
        assert_eq!(problem.best_period(), (period, problem.period_cost(period)));
        close(cost, problem.period_cost(period).cost_j(), 1e-12, "its cost");
        let o = run(best, &config, 3, 30_000);
        close(o.metrics[COST].mean, cost, 0.01, &format!("period {period} at {snr} dB"));
        let exact = simulated(&config, |n, _| (0..4).map(|k| problem.periodic(k, period, n)).collect());
        close(o.metrics[COST].mean, exact, 1e-4, "the same schedule in f64");
    }
}

#[test]
fn the_optimum_costs_its_value_and_nobody_undercuts_it() {
    for (snr, value) in [("0", 29.8741), ("10", 23.1524), ("20", 19.8826)] {
        let config = config(&[&format!("task.snr_db={snr}")]);
        let dp = schedule("dp-optimal", &config);
        let (found, residual, floor) =
            (fact(&*dp, "dp_value_j"), fact(&*dp, "dp_residual_j"), fact(&*dp, "dp_episode_j"));
        assert!(residual < 1e-6, "{residual}");
        close(found, value, 2e-4, "value");
        let o = run(dp.clone(), &config, 40, 20);
        // T·cost = T·g + h(start) − h(end): what an episode of T slots may lie beside the long-run mean.
        let problem = Schedule::new(&config.task.spec(), &config.task.params([0, 0]));
        let h = problem.solve(1e-7, 100_000).unwrap().values;
        let span = h.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        close(o.metrics[COST].mean, found, span / 200.0, "cost of an episode");
        let exact = simulated(&config, |_, ages| problem.decide(ages, &h));
        close(o.metrics[COST].mean, exact, 1e-4, "the same schedule in f64");
        // The long run itself.
        let long = MisacConfig {
            task: isacbench::tasks::misac::config::MisacTaskConfig { slots: 27_720, ..config.task.clone() },
            ..config.clone()
        };
        close(run(dp, &long, 2, 30_000).metrics[COST].mean, found, 2e-3, "cost of a long episode");

        assert!(floor <= o.metrics[COST].mean + 1e-4 && floor <= found, "{floor} bounds every episode");
        for agent in AGENTS {
            if let Kind::Fixed(_) = agent.kind {
                let cost = fixed(agent.id, &config).metrics[COST].mean;
                assert!(
                    cost >= floor - 1e-4,
                    "{} undercuts the optimum at {snr} dB: {cost} under {floor}",
                    agent.id
                );
            }
        }
    }
}

#[test]
fn the_bound_that_knows_the_trajectory_is_below_every_agent() {
    for sets in [&["task.uncertainty=kinematic"][..], &["task.uncertainty=kinematic", "task.snr_db=0"], &[]] {
        let config = config(sets);
        let bound = fixed("dp-bound", &config).metrics[ENERGY].mean;
        let periodic = fixed("best-periodic", &config);
        assert!(bound <= periodic.metrics[COST].mean, "{sets:?}: {bound} above the best period");
        assert!(bound > 10.0, "{bound}");
        if config.task.uncertainty == Uncertainty::Kinematic {
            // Knowing the trajectory is worth something.
            assert!(bound < periodic.metrics[ENERGY].mean - 0.2, "{bound} {:?}", periodic.metrics[ENERGY]);
            // And nearly as much what is observed of it.
            let causal = fixed("dp-causal", &config).metrics[COST].mean;
            let saved = (periodic.metrics[COST].mean - causal) / (periodic.metrics[COST].mean - bound);
            assert!((0.85..=1.0).contains(&saved), "{sets:?}: {causal} is {saved} of what {bound} saves");
        }
    }
    let kinematic = config(&["task.uncertainty=kinematic"]);
    let make = |id: &str, c: &MisacConfig| match MisacConfig::agent(id).unwrap().kind {
        Kind::Fixed(Make(make)) => make(&c.task.spec(), &c.task.params([0, 0])).err().map(|e| e.to_string()),
        Kind::Learned(_) => None,
    };
    assert!(make("dp-optimal", &kinematic).unwrap().contains("dp-causal and dp-bound"));
    let many = config(&["task.vehicles=8", "task.age_max_slots=100"]);
    assert!(make("dp-optimal", &many).unwrap().contains("task.vehicles"));
    let six = config(&["task.vehicles=6"]);
    assert_eq!(make("dp-optimal", &six), None, "six vehicles that are alike have 8,008 states");
}

#[test]
fn the_optimum_with_sweeps_that_realign_is_what_it_costs() {
    let config = config(&["task.realign=true", "task.vehicles=2", "task.slots=60"]);
    let dp = schedule("dp-optimal", &config);
    let (value, floor) = (fact(&*dp, "dp_value_j"), fact(&*dp, "dp_episode_j"));
    let o = run(dp, &config, 400, 60);
    let Estimate { mean, std_error } = o.metrics[COST];
    assert!(std_error > 0.0 && (mean - value).abs() < 20.0 / 60.0, "{mean} of {value}");
    assert!(floor <= mean + 4.0 * std_error, "{floor} is below {mean}");
    let (bound, periodic) = (
        run(schedule("dp-bound", &config), &config, 400, 60),
        run(schedule("best-periodic", &config), &config, 400, 60),
    );
    assert!(bound.metrics[ENERGY].mean <= mean + 4.0 * std_error, "{:?}", bound.metrics[ENERGY]);
    assert!(periodic.metrics[COST].mean >= mean - 4.0 * std_error);
    // The period's own cost, from other episodes.
    let best = schedule("best-periodic", &config);
    let found = periodic.metrics[COST];
    close(found.mean, fact(&*best, "period_cost_j"), 8.0 * found.std_error, "period");
    // A vehicle that nobody looks at is found by sweeps: the chain's stationary mean of (5) and (11).
    let never = run(schedule("radar-only", &config), &config, 400, 60);
    let beta = f64::from(config.task.params([0, 0]).beta);
    let lost = |age: usize| 1.0 - (-beta * age as f64).exp();
    let (mut share, mut sum) = ([0.0; 11], 0.0);
    share[0] = 1.0;
    for _ in 0..60 {
        let mut next = [0.0; 11];
        for (age, p) in share.iter().enumerate() {
            sum += 2.0 * 25.0 * p * lost(age) / 60.0;
            next[0] += p * lost(age);
            next[(age + 1).min(10)] += p * (1.0 - lost(age));
        }
        share = next;
    }
    close(never.metrics[ENERGY].mean, sum, 5.0 * never.metrics[ENERGY].std_error, "energy of Radar-Only");
}

#[test]
fn ages_without_a_limit_have_the_same_optimum_or_none() {
    let free = config(&["task.age_saturates=false", "task.slots=100"]);
    let capped = config(&["task.slots=100"]);
    let [a, b] = [&free, &capped].map(|c| fixed("dp-optimal", c));
    assert_eq!(a.metrics[COST], b.metrics[COST]);
    assert_eq!(schedule("best-periodic", &free).facts(), schedule("best-periodic", &capped).facts());
    let [a, b] = [&free, &capped].map(|c| fixed("radar-only", c));
    assert_eq!((a.metrics[AGE_MAX].mean, b.metrics[AGE_MAX].mean), (99.0, 10.0));
    assert_eq!(a.metrics[SHARE_OVER_AGE], b.metrics[SHARE_OVER_AGE]);
    let beta = f64::from(free.task.params([0, 0]).beta);
    for (slot, e) in a.slot_energy_j.iter().enumerate() {
        close(e.mean, 100.0 * (1.0 - (-beta * slot as f64).exp()), 1e-3, &format!("slot {slot}"));
    }
    let refused = |sets: &[&str], id: &str| {
        let c = config(sets);
        match MisacConfig::agent(id).unwrap().kind {
            Kind::Fixed(Make(make)) => {
                make(&c.task.spec(), &c.task.params([0, 0])).err().expect("refused").to_string()
            }
            Kind::Learned(_) => panic!("{id} is learned"),
        }
    };
    let free = "task.age_saturates=false";
    for (sets, id, key) in [
        (
            &[free, "task.age_max_slots=2", "reproduce.t_proc_slots=[]"][..],
            "dp-optimal",
            "task.age_max_slots",
        ),
        (&[free, "task.realign=true"], "dp-optimal", "task.realign"),
        (&[free, "task.slots=5000"], "dp-bound", "task.slots"),
    ] {
        let line = refused(sets, id);
        assert!(line.contains(key) && line.contains(id) && !line.contains('\n'), "{line}");
    }
}

/// Networks as they are before any training, one replica per seed.
fn untrained(
    config: &MisacConfig,
    id: &str,
    seeds: &[u32],
    episodes: u64,
    greedy: bool,
) -> Vec<MisacEstimates> {
    let Some(Algorithm::Experts(ExpertsSpec { layout, .. })) =
        config.algorithm(MisacConfig::agent(id).unwrap(), &[])
    else {
        panic!("{id} learns otherwise")
    };
    let init = |s: &u32| layout.init([*s, 0], config.temporal.head_gain, config.spatial.output_gain);
    let params: Vec<f32> = seeds.iter().flat_map(init).collect();
    let replicas: Vec<MisacParams> = seeds.iter().map(|s| config.task.params([*s, 0])).collect();
    let eval = MisacEvaluation {
        task: config.task.spec(),
        replicas,
        controller: Controller::Learned { layout: &layout, params: &params, greedy },
        episodes,
        gain_stride: 7,
    };
    evaluate(&eval, None, &|_| {}).unwrap()
}

#[test]
fn networks_keep_the_constraints_and_start_as_a_coin_flip_that_steers_at_the_estimate() {
    let config = config(&["task.slots=50"]);
    for agent in AGENTS.iter().filter(|a| a.is_learned()) {
        let o = untrained(&config, agent.id, &[1], 64, false).remove(0);
        let m = |metric: usize| o.metrics[metric].mean;
        assert_eq!(o.metrics.len(), METRICS.len());
        assert!(m(MODULUS_ERROR) < 1e-6, "{}: modulus error {}", agent.id, m(MODULUS_ERROR));
        close(m(POWER), 1.0, 1e-6, "power over P_max");
        close(m(FRAMES), 2.0, 0.1, agent.id);
        close(m(BEAM_GAIN), m(ESTIMATE_GAIN), 0.02, agent.id);
        assert!(m(ESTIMATE_GAIN) < m(TRUE_ANGLE_GAIN) && m(TRUE_ANGLE_GAIN) < 1.0, "{}", agent.id);
        assert!(m(SUM_RATE) > 1.0 && (0.0..=1.0).contains(&m(SHARE_OVER_GAMMA)));
        close(m(COST), -m(REWARD), 0.0, "cost");
        assert!(m(COST) >= m(ENERGY));
        // Cosines and distances are never 0; the ages are 0 after a frame, and everywhere where they are masked.
        let slots = 64 * 50;
        assert!(o.active_inputs[..8].iter().all(|n| *n == slots), "{:?}", o.active_inputs);
        for n in &o.active_inputs[8..] {
            let masked = agent.id == "h-moe-no-aoi";
            assert!(if masked { *n == 0 } else { *n > slots / 4 && *n < slots * 3 / 4 }, "{}: {n}", agent.id);
        }
    }
}

/// Phases that are drawn: the mode is their mean, whatever their noise; a sample is spread about it, which costs gain
/// and changes nothing else.
#[test]
fn drawn_phases_are_evaluated_as_the_policy_has_them() {
    let run = |sets: &[&str], greedy| {
        let config = config(&[&["task.slots=50"], sets].concat());
        let agent = MisacConfig::agent("ppo-mono").unwrap();
        let algorithm = config.algorithm(agent, &[Unit { config: &config, seed: 1 }]).unwrap();
        let Algorithm::Experts(spec) = &algorithm else { panic!("it learns otherwise") };
        let (layout, params) = (&spec.layout, &spec.start().params);
        let eval = MisacEvaluation {
            task: config.task.spec(),
            replicas: vec![config.task.params([1, 0])],
            controller: Controller::Learned { layout, params, greedy },
            episodes: 64,
            gain_stride: 7,
        };
        evaluate(&eval, None, &|_| {}).unwrap().remove(0)
    };
    let narrow = ["temporal.mono_phases=gaussian"];
    let wide = ["temporal.mono_phases=gaussian", "temporal.log_std_init=1.0"];
    let mode = format!("{:?}", run(&[], true));
    assert_eq!((&mode, &mode), (&format!("{:?}", run(&narrow, true)), &format!("{:?}", run(&wide, true))));
    let plain = run(&[], false);
    let antennas = 64.0;
    for (sets, log_std) in [(&narrow[..], -0.5f64), (&wide[..], 1.0)] {
        let o = run(sets, false);
        for m in (0..METRICS.len()).filter(|m| ![BEAM_GAIN, SUM_RATE, MODULUS_ERROR].contains(m)) {
            let [a, b] = [&o, &plain].map(|o| format!("{:?}", o.metrics[m]));
            assert_eq!(a, b, "{}", METRICS[m]);
        }
        // E|Σ h e^(jσz)|² = e^(−σ²)·|Σ h|² + (1 − e^(−σ²))·Σ|h|²
        let kept = (-(2.0 * log_std).exp()).exp();
        let want = kept * plain.metrics[BEAM_GAIN].mean + (1.0 - kept) / antennas;
        close(o.metrics[BEAM_GAIN].mean, want, 0.01, "gain of drawn phases");
        assert!(o.metrics[SUM_RATE].mean < plain.metrics[SUM_RATE].mean);
    }
}

#[test]
fn results_do_not_depend_on_groups_threads_or_other_replicas() {
    let config = config(&["task.slots=20"]);
    // As text, in which the standard errors that are NaN are equal.
    let same = |a: &MisacEstimates, b: &MisacEstimates, what: &str| {
        assert_eq!(format!("{a:?}"), format!("{b:?}"), "{what}")
    };
    let whole = untrained(&config, "h-moe", &[1, 2], 300, false);
    same(&whole[1], &untrained(&config, "h-moe", &[2], 300, false)[0], "alone or beside another replica");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let alone = pool.install(|| untrained(&config, "h-moe", &[1, 2], 300, false));
    same(&whole[0], &alone[0], "one thread");
    same(&whole[1], &alone[1], "one thread");
    assert_ne!(whole[0].metrics[ENERGY], whole[1].metrics[ENERGY]);
    let greedy = untrained(&config, "h-moe", &[1], 300, true);
    assert_ne!(whole[0].metrics[FRAMES], greedy[0].metrics[FRAMES]);
    // Episodes beyond the first group of 256 are their own: 300 episodes are not 256 with 44 of them twice.
    let first = untrained(&config, "h-moe", &[1], 256, false);
    assert_ne!(first[0].metrics[MAE], whole[0].metrics[MAE]);
    // A judged slot is the same slot, however many others are judged.
    let sparse = run(schedule("vision-only", &config), &config, 8, 20);
    let dense = run(schedule("vision-only", &config), &config, 8, 1);
    assert_eq!(sparse.metrics[ENERGY], dense.metrics[ENERGY]);
    assert!((sparse.metrics[BEAM_GAIN].mean - dense.metrics[BEAM_GAIN].mean).abs() < 0.05);
}

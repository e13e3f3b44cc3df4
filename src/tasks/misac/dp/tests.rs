//! Schedules against closed forms, exhaustive search and each other.

use super::trajectory::Trajectory;
use super::{Schedule, expect_sweeps};

/// The defaults of the task at an RF SNR.
fn at(snr_db: f64, vehicles: usize) -> Schedule {
    Schedule {
        beta: vec![0.055 + 0.165 * 10f64.powf(-snr_db / 20.0); vehicles],
        e_vis_j: 10.0,
        e_recovery_j: 25.0,
        t_proc: 0,
        age_max: 10,
        lambda_j: 200.0,
        gamma_misa: 0.15,
        realign: false,
    }
}

#[test]
fn index_and_ages_are_inverse() {
    let alike = at(10.0, 4);
    let apart = Schedule { beta: vec![0.1, 0.2, 0.1, 0.1], ..alike.clone() };
    assert_eq!((alike.states(), apart.states()), (1001, 14_641));
    for s in [&alike, &apart, &at(10.0, 1), &Schedule { age_max: 0, ..alike.clone() }] {
        for i in 0..s.states() {
            assert_eq!(s.index(&s.ages(i)), i);
        }
    }
    assert_eq!(alike.index(&[7, 0, 10, 7]), alike.index(&[0, 7, 7, 10]));
    assert_eq!((at(0.0, 6).states(), at(0.0, 8).states()), (8008, 43_758));
    let wide = |k| Schedule { age_max: 10_000, ..at(0.0, k) }.count();
    assert_eq!((wide(2), wide(8)), (Some(10_001 * 10_002 / 2), None));
}

/// Sorted ages have the values and decisions of joint ones.
#[test]
fn vehicles_that_are_alike_are_solved_by_their_sorted_ages() {
    for (realign, t_proc, vehicles) in [(false, 0, 3), (true, 1, 3), (false, 0, 4)] {
        let alike = Schedule { age_max: 5, t_proc, realign, ..at(10.0, vehicles) };
        // So near that it changes nothing, and told apart.
        let mut apart = alike.clone();
        apart.beta[0] *= 1.0 + 1e-14;
        assert!(alike.alike() && !apart.alike());
        let [few, many] = [&alike, &apart].map(|s| s.solve(1e-9, 100_000).unwrap());
        assert!((few.cost_j - many.cost_j).abs() < 1e-7, "{} and {}", few.cost_j, many.cost_j);
        let table = alike.table(&few.values);
        let joint = alike.joint_table(&table, 1 << 20).unwrap();
        assert_eq!(joint.len(), apart.states());
        for (i, word) in joint.iter().enumerate() {
            let ages = apart.ages(i);
            let off = few.values[alike.index(&ages)] - many.values[i];
            assert!(off.abs() < 1e-6, "{ages:?}: {off:e}");
            // Several decisions may cost the same; decisions with as many frames for vehicles of equal age are one.
            let pi: Vec<bool> = (0..vehicles).map(|k| word >> k & 1 == 1).collect();
            let paid = |pi: &[bool]| {
                let mut after: Vec<f64> =
                    apart.decisions().map(|pi| many.values[apart.index(&apart.next(&ages, &pi))]).collect();
                if realign {
                    expect_sweeps(&mut after, &apart.lost(&ages));
                }
                let bits: usize = pi.iter().enumerate().map(|(k, on)| usize::from(*on) << k).sum();
                10.0 * f64::from(bits.count_ones()) + after[bits]
            };
            let least = paid(&apart.decide(&ages, &many.values));
            assert!(paid(&pi) < least + 1e-6, "{ages:?}: {pi:?}");
        }
        assert_eq!(alike.joint_table(&table, 10), None);
    }
}

/// Six vehicles at 12 dB whose recovery takes 50 J: all cameras together in every second slot, 43.79 J.
#[test]
fn six_vehicles_are_solved() {
    let s = Schedule { e_recovery_j: 50.0, ..at(12.0, 6) };
    let o = s.solve(1e-7, 100_000).unwrap();
    let closed = (60.0 + 300.0 * s.misalignment(0, 1)) / 2.0;
    assert!((o.cost_j - closed).abs() < 1e-6 && (closed - 43.79).abs() < 5e-3, "{} {closed}", o.cost_j);
    let (before, cycle) = s.course(&s.table(&o.values));
    assert_eq!((before, cycle), (Vec::new(), vec![vec![false; 6], vec![true; 6]]));
}

#[test]
fn fixed_policies_cost_their_closed_forms() {
    let s = at(10.0, 4);
    let all = s.simulate(&[0; 4], 200, |_, _| vec![true; 4]);
    assert_eq!(all.energy_j, 40.0);
    // Never a frame: all ages saturate, and a slot costs K·E_recovery·(1 − e^{−β·A_max}).
    let none = s.simulate(&[10; 4], 50, |_, _| vec![false; 4]);
    let closed = 100.0 * (1.0 - (-s.beta[0] * 10.0).exp());
    assert!((none.energy_j - closed).abs() < 1e-9, "{} against {closed}", none.energy_j);
    assert!(closed > 60.0);
    // One frame in p slots: (e_vis + E_recovery·Σ_{a<p} (1 − e^{−βa}))/p per vehicle.
    let p = 3;
    let recovery: f64 = (0..p).map(|a| s.misalignment(0, a)).sum();
    let want = 4.0 * (10.0 + 25.0 * recovery) / p as f64;
    assert!((s.period_cost(p).energy_j - want).abs() < 1e-9);
}

#[test]
fn value_iteration_meets_its_own_value_and_no_period_beats_it() {
    for snr in [0.0, 10.0, 20.0] {
        let s = at(snr, 4);
        let o = s.solve(1e-7, 100_000).unwrap();
        assert!(o.residual_j <= 1e-7, "residual {} after {}", o.residual_j, o.iterations);
        // From where the greedy policy has settled, its mean over many slots is the value.
        let mut ages = vec![0; 4];
        for _ in 0..500 {
            ages = s.next(&ages, &s.decide(&ages, &o.values));
        }
        // 27720 is a multiple of every period up to 12.
        let run = s.simulate(&ages, 27_720, |_, a| s.decide(a, &o.values));
        assert!((run.cost_j() - o.cost_j).abs() < 1e-3, "{snr} dB: {} against {}", run.cost_j(), o.cost_j);
        let (period, best) = s.best_period();
        assert!(best.cost_j() >= o.cost_j - 1e-6, "{snr} dB: period {period} undercuts the optimum");
        println!(
            "{snr} dB: optimum {:.4} J, period {period} {:.4} J, {} sweeps",
            o.cost_j,
            best.cost_j(),
            o.iterations
        );
    }
}

#[test]
fn one_vehicle_is_solved_by_its_best_period() {
    // With one vehicle every stationary policy is a period (or no frame at all), so enumeration is exact.
    let s = Schedule { lambda_j: 0.0, ..at(5.0, 1) };
    let never = s.simulate(&[10], 10, |_, _| vec![false]).cost_j();
    let best = s.best_period().1.cost_j().min(never);
    assert!((s.solve(1e-9, 100_000).unwrap().cost_j - best).abs() < 1e-7);
}

#[test]
fn what_is_not_found_is_an_error() {
    // Values of 1e20 J are rounded by 1e4 J, which is more than everything that is to be found.
    let hard = Schedule { lambda_j: 1e20, age_max: 5, ..at(10.0, 2) };
    let e = hard.solve(1e-7, 100_000).unwrap_err();
    assert!(e.residual_j > 1.0 && e.tolerance_j < 1e-6 && e.iterations < 1000, "{e:?}");
    // Too few sweeps.
    let e = at(10.0, 2).solve(1e-7, 3).unwrap_err();
    assert!(e.iterations == 3 && e.to_string().contains("3 sweeps"), "{e}");
    // Energies a million times smaller or larger change the unit and nothing else; nor does a part that costs
    // nothing.
    let unit = Schedule { age_max: 5, ..at(10.0, 2) };
    let whole = unit.solve(1e-7, 100_000).unwrap();
    for factor in [1e-20, 1e-6, 1e6, 1e20] {
        let scaled = Schedule {
            e_vis_j: factor * unit.e_vis_j,
            e_recovery_j: factor * unit.e_recovery_j,
            lambda_j: factor * unit.lambda_j,
            ..unit.clone()
        };
        let o = scaled.solve(1e-7, 100_000).unwrap();
        assert!((o.cost_j / (factor * whole.cost_j) - 1.0).abs() < 1e-6, "{factor}: {}", o.cost_j);
        assert_eq!(scaled.table(&o.values), unit.table(&whole.values), "{factor}");
    }
    for (e_vis_j, e_recovery_j, lambda_j) in
        [(0.0, 25.0, 200.0), (10.0, 0.0, 200.0), (10.0, 25.0, 0.0), (0.0, 0.0, 200.0), (0.0, 0.0, 0.0)]
    {
        let o = Schedule { e_vis_j, e_recovery_j, lambda_j, ..unit.clone() }.solve(1e-7, 100_000);
        let o = o.unwrap_or_else(|e| panic!("{e_vis_j}, {e_recovery_j}, {lambda_j}: {e}"));
        assert!(e_vis_j > 0.0 || o.cost_j.abs() < 1e-6, "free cameras cost nothing: {o:?}");
    }
}

#[test]
fn plans_are_the_best_of_all_schedules() {
    // Every schedule of ten slots, one by one; β that rises and falls over the episode.
    let beta: Vec<f64> = (0..10).map(|n| 0.05 + 0.4 * (f64::from(n) * 0.7).sin().powi(2)).collect();
    for (age_max, t_proc, e_vis_j) in [(3, 0, 10.0), (4, 1, 6.0), (9, 2, 3.0), (2, 0, 1e6)] {
        let t = Trajectory { beta: &beta, e_vis_j, e_recovery_j: 25.0, t_proc, age_max, realign: false };
        let energy = |frames: &[bool]| {
            let (mut age, mut sum) = (0usize, 0.0);
            for (on, beta) in frames.iter().zip(&beta) {
                sum += if *on { e_vis_j } else { 0.0 } + 25.0 * (1.0 - (-beta * age as f64).exp());
                age = if *on { t_proc } else { (age + 1).min(age_max) };
            }
            sum
        };
        let schedules = (0..1u32 << 10).map(|bits| (0..10).map(|n| bits >> n & 1 == 1).collect::<Vec<_>>());
        let best = schedules.map(|s| energy(&s)).fold(f64::INFINITY, f64::min);
        let plan = t.plan();
        assert!((plan.energy_j - best).abs() < 1e-9, "{} against {best}", plan.energy_j);
        assert!((energy(&plan.frames) - best).abs() < 1e-9, "the plan's own frames cost what it says");
    }
}

/// Where each vehicle may be after a slot with sweeps that realign, outcome by outcome, with its probability.
fn outcomes(s: &Schedule, ages: &[usize], pi: &[bool]) -> Vec<(f64, Vec<usize>)> {
    let k = ages.len();
    (0..1usize << k)
        .map(|found| {
            let mut probability = 1.0;
            let one = |v: usize| {
                let lost = s.misalignment(v, ages[v]);
                let found = found >> v & 1 == 1;
                probability *= if found { lost } else { 1.0 - lost };
                if found || pi[v] { s.t_proc } else { (ages[v] + 1).min(s.age_max) }
            };
            let next = (0..k).map(one).collect();
            (probability, next)
        })
        .collect()
}

#[test]
fn sweeps_that_realign_are_expected_exactly() {
    for (vehicles, t_proc) in [(1, 0), (2, 1), (3, 0)] {
        let s = Schedule { age_max: 4, t_proc, lambda_j: 20.0, realign: true, ..at(10.0, vehicles) };
        let o = s.solve(1e-9, 100_000).unwrap();
        let all: Vec<Vec<bool>> =
            (0..1usize << vehicles).map(|b| (0..vehicles).map(|v| b >> v & 1 == 1).collect()).collect();
        for i in 0..s.states() {
            let ages = s.ages(i);
            let cost = |pi: &Vec<bool>| {
                let (energy, l_bmp) = s.slot(&ages, pi);
                let after: f64 = outcomes(&s, &ages, pi).iter().map(|(p, a)| p * o.values[s.index(a)]).sum();
                energy + s.penalty(l_bmp) + after
            };
            let least = all.iter().map(cost).fold(f64::INFINITY, f64::min);
            let off = least - o.values[i] - o.cost_j;
            assert!(off.abs() < 1e-6, "{ages:?}: Bellman's equation is off by {off:e}");
            assert!(cost(&s.decide(&ages, &o.values)) < least + 1e-9, "{ages:?}");
        }
        // A sweep that leaves something is worth something; without it the equation has another solution.
        let none = Schedule { realign: false, ..s.clone() }.solve(1e-9, 100_000).unwrap();
        assert!(o.cost_j < none.cost_j - 0.01, "{} and {}", o.cost_j, none.cost_j);
    }
}

#[test]
fn a_trajectory_with_sweeps_is_decided_by_age() {
    let beta: Vec<f64> = (0..9).map(|n| 0.05 + 0.4 * (f64::from(n) * 0.7).sin().powi(2)).collect();
    for (age_max, t_proc, e_vis_j) in [(3, 0, 10.0), (9, 1, 6.0)] {
        let t = Trajectory { beta: &beta, e_vis_j, e_recovery_j: 25.0, t_proc, age_max, realign: true };
        let values = t.values();
        // Mean energy of decisions by slot and age, by the probability of each age.
        let energy = |decide: &dyn Fn(usize, usize) -> bool| {
            let (mut share, mut sum) = (vec![0.0; age_max + 1], 0.0);
            share[0] = 1.0;
            for (n, beta) in beta.iter().enumerate() {
                let mut next = vec![0.0; age_max + 1];
                for (age, p) in share.iter().enumerate() {
                    let lost = 1.0 - (-beta * age as f64).exp();
                    let on = decide(n, age);
                    sum += p * (25.0 * lost + if on { e_vis_j } else { 0.0 });
                    next[t_proc] += p * if on { 1.0 } else { lost };
                    next[(age + 1).min(age_max)] += p * if on { 0.0 } else { 1.0 - lost };
                }
                share = next;
            }
            sum
        };
        let own = energy(&|n, age| t.takes_frame(&values, n, age));
        assert!((own - values[0]).abs() < 1e-9, "{own} against {}", values[0]);
        for seed in 0..300u32 {
            // Decisions that differ from the best in some slots and ages.
            let other = |n: usize, age: usize| {
                let word = crate::num::philox::philox4x32_10([seed, n as u32, age as u32, 0], [1, 2])[0];
                t.takes_frame(&values, n, age) != word.is_multiple_of(8)
            };
            let cost = energy(&other);
            assert!(cost >= own - 1e-9, "{cost} below {own}");
        }
    }
}

#[test]
fn ages_that_do_not_saturate_have_the_optimum_of_ages_that_do() {
    let s = at(10.0, 2);
    let solved = s.solve(1e-9, 100_000).unwrap();
    assert!(s.keeps_ages(&s.table(&solved.values)));
    let wide = Schedule { age_max: 25, ..s.clone() }.solve(1e-9, 100_000).unwrap();
    assert!((solved.cost_j - wide.cost_j).abs() < 1e-7, "{} and {}", solved.cost_j, wide.cost_j);
    // Nobody keeps ages within 1, and where all later ones are as good as it they cost less than they do.
    let low = Schedule { age_max: 1, ..s };
    let o = low.solve(1e-9, 100_000).unwrap();
    assert!(!low.keeps_ages(&low.table(&o.values)) && o.cost_j < wide.cost_j - 0.1);
    assert_eq!(low.unsaturated().next(&[70_000], &[false]), [70_001]);
}

#[test]
fn an_episode_costs_at_least_its_backward_induction() {
    // Two vehicles, ages up to 2, five slots: 4^5 schedules.
    let s = Schedule { age_max: 2, gamma_misa: 0.1, ..at(0.0, 2) };
    let slots = 5;
    let all = (0..1usize << (2 * slots)).map(|bits| {
        s.simulate(&[0, 0], slots, |n, _| (0..2).map(|k| bits >> (2 * n + k) & 1 == 1).collect()).cost_j()
    });
    let best = all.fold(f64::INFINITY, f64::min);
    assert!((s.episode_cost(slots) - best).abs() < 1e-12, "{} against {best}", s.episode_cost(slots));
    // Long episodes cost what the long run costs: T·cost = T·g + h(start) − h(end).
    let (o, long) = (s.solve(1e-9, 100_000).unwrap(), s.episode_cost(2000));
    assert!((long - o.cost_j).abs() < 40.0 / 2000.0, "{long} against {}", o.cost_j);
}

#[test]
fn uncoupled_plans_bound_the_coupled_optimum_from_below() {
    for snr_db in [0.0, 10.0, 20.0] {
        let free = Schedule { lambda_j: 0.0, ..at(snr_db, 4) };
        let beta = vec![free.beta[0]; 200];
        let t = Trajectory {
            beta: &beta,
            e_vis_j: 10.0,
            e_recovery_j: 25.0,
            t_proc: 0,
            age_max: 10,
            realign: false,
        };
        let bound = 4.0 * t.plan().energy_j / 200.0;
        let coupled = at(snr_db, 4).episode_cost(200);
        assert!(bound <= coupled + 1e-9, "{bound} above {coupled}");
        // Without the penalty nothing couples the vehicles, and the bound is the optimum.
        assert!((bound - free.episode_cost(200)).abs() < 1e-9, "{bound}");
    }
}

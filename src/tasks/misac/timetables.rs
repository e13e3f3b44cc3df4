//! What there is to see of a solved scheduling problem: which cameras are on in every slot, and what that costs.

use super::agents::{AgentError, dp_optimal};
use super::config::MisacConfig;
use super::dp::{MeanCost, Schedule};
use crate::run::task::{Timetable, Timetables};
use crate::run::watch::Watch;

/// The optimum and the best fixed period of a configuration with one constant β, from fresh frames on, if no sweep
/// finds a vehicle.
pub(super) fn timetables(config: &MisacConfig, watch: &dyn Watch) -> Result<Timetables, AgentError> {
    let (spec, params) = (config.task.spec(), config.task.params([0, 0]));
    let problem = dp_optimal::problem(&spec, &params)?;
    let (k, states) = (problem.vehicles(), problem.states());
    let decisions = 1u32 << k;
    let about = format!(
        "{k} vehicles, ages up to {} slots: {states} states of ages, {decisions} decisions in each",
        problem.age_max
    );
    watch.begin(&format!("solve {about}"), 1);
    let (optimum, table) = dp_optimal::solved(&problem, &spec)?;
    watch.end();
    let (before, cycle) = problem.course(&table);
    let best = Timetable {
        name: "dp-optimal",
        about: format!("least mean cost, known to ± {:.0e} J", optimum.residual_j),
        costs: costs(optimum.cost_j, &mean(&problem, &before, &cycle)),
        before,
        cycle,
    };
    let (period, cost) = problem.best_period();
    let slots = (0..period).map(|n| (0..k).map(|v| problem.periodic(v, period, n)).collect()).collect();
    let periodic = Timetable {
        name: "best-periodic",
        about: format!("every vehicle once in {period} slots, staggered"),
        costs: costs(cost.cost_j(), &cost),
        before: Vec::new(),
        cycle: slots,
    };
    let columns = (1..=k).map(|v| format!("camera_{v}")).collect();
    Ok(Timetables { about, columns, all: vec![best, periodic] })
}

/// Means over the cycle that a course ends in.
fn mean(problem: &Schedule, before: &[Vec<bool>], cycle: &[Vec<bool>]) -> MeanCost {
    let mut ages = vec![0; problem.vehicles()];
    for pi in before {
        ages = problem.next(&ages, pi);
    }
    problem.simulate(&ages, cycle.len(), |n, _| cycle[n].clone())
}

fn costs(cost_j: f64, mean: &MeanCost) -> Vec<(&'static str, f64)> {
    vec![
        ("cost_j", cost_j),
        ("energy_j", mean.energy_j),
        ("penalty_j", mean.penalty_j),
        ("l_bmp", mean.l_bmp),
        ("share_over_gamma", mean.share_over_gamma),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::run::watch::Quiet;

    #[test]
    fn the_table_costs_what_it_says() {
        let sets = ["task.vehicles=6", "task.snr_db=12", "task.e_recovery_j=50"].map(String::from);
        let found = timetables(&MisacConfig::load(None, &sets).expect("valid"), &Quiet).expect("solved");
        assert_eq!((found.columns.len(), found.all.len()), (6, 2));
        let [best, periodic] = &found.all[..] else { panic!("two schedules") };
        assert_eq!(best.cycle, [vec![false; 6], vec![true; 6]]);
        for t in [best, periodic] {
            let of = |name: &str| t.costs.iter().find(|c| c.0 == name).expect("it has one").1;
            assert!((of("cost_j") - of("energy_j") - of("penalty_j")).abs() < 1e-6, "{t:?}");
            assert!((of("cost_j") - 43.79).abs() < 0.01, "{t:?}");
        }
        let kinematic = MisacConfig::load(None, &["task.uncertainty=kinematic".into()]).expect("valid");
        assert!(timetables(&kinematic, &Quiet).is_err());
    }
}

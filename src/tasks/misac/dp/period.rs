//! The staggered camera period of least mean cost as the task draws its episodes.

use super::Schedule;
use crate::tasks::misac::physics;
use crate::tasks::misac::physics::{KMAX, MisacParams, MisacSpec, Uncertainty};
use rayon::prelude::*;

/// Episodes of its own over which a period is chosen, where its cost has no closed form.
const EPISODES: u32 = 256;

/// β of vehicle `i` in every slot of the episode that starts in this state of one environment.
pub fn beta_of_episode(spec: &MisacSpec, p: &MisacParams, start: &physics::State<f32>, i: usize) -> Vec<f64> {
    let mut s = *start;
    let one = |_| {
        let beta = f64::from(physics::beta(spec, p, &s, i));
        s.x[i] += s.v[i] * p.dt_s;
        beta
    };
    (0..spec.slots).map(one).collect()
}

/// The staggered camera period of least mean cost among 1, …, A_max+1, with its cost, J per slot. With one constant β
/// as [`Schedule::best_period`]; with `kinematic` uncertainty on average over 256 episodes of its own, trajectories as
/// the task draws them, and with sweeps that realign likewise, with the sweeps that it draws.
pub fn best_period(spec: &MisacSpec, p: &MisacParams) -> (usize, f64) {
    let mut constant = Schedule::new(spec, p);
    let most = constant.age_max + 1;
    if !spec.choices.age_saturates {
        constant = constant.unsaturated();
    }
    if spec.uncertainty == Uncertainty::Constant && !spec.choices.realign {
        let (period, mean) = constant.best_period_up_to(most);
        return (period, mean.cost_j());
    }
    // A key of its own, whatever the replica's: the period belongs to the task.
    let p = MisacParams { key: [0, u32::MAX], ..*p };
    let starts: Vec<_> = (0..EPISODES).map(|env| physics::reset::<f32>(spec, &p, env, 0)).collect();
    if spec.choices.realign {
        let cost = |period: usize| {
            let one = |(env, start): (usize, &physics::State<f32>)| {
                let (mut s, mut sum) = (*start, 0.0);
                for n in 0..spec.slots {
                    let mut pi = [0.0; KMAX];
                    for (k, pi) in pi.iter_mut().enumerate().take(spec.vehicles) {
                        *pi = f32::from(u8::from(constant.periodic(k, period, n)));
                    }
                    let slot = physics::step(spec, &p, env as u32, n as u32, &pi, &mut s);
                    sum -= f64::from(slot.reward);
                }
                sum / spec.slots as f64
            };
            starts.iter().enumerate().map(one).sum::<f64>() / starts.len() as f64
        };
        return least_of(most, cost);
    }
    let betas =
        |start| (0..spec.vehicles).map(|i| beta_of_episode(spec, &p, start, i)).collect::<Vec<Vec<f64>>>();
    let episodes: Vec<Vec<Vec<f64>>> = starts.iter().map(betas).collect();
    let cost = |period: usize| {
        let one = |beta: &Vec<Vec<f64>>| {
            let mut ages = vec![0; spec.vehicles];
            let mut sum = 0.0;
            for n in 0..spec.slots {
                let now = Schedule { beta: beta.iter().map(|b| b[n]).collect(), ..constant.clone() };
                let pi: Vec<bool> = (0..spec.vehicles).map(|k| constant.periodic(k, period, n)).collect();
                let (energy, l_bmp) = now.slot(&ages, &pi);
                sum += energy + now.penalty(l_bmp);
                ages = now.next(&ages, &pi);
            }
            sum / spec.slots as f64
        };
        episodes.iter().map(one).sum::<f64>() / episodes.len() as f64
    };
    least_of(most, cost)
}

/// The period of least cost among 1, …, `most`, with its cost.
fn least_of(most: usize, cost: impl Fn(usize) -> f64 + Sync) -> (usize, f64) {
    (1..=most)
        .into_par_iter()
        .map(|period| (period, cost(period)))
        .collect::<Vec<_>>()
        .into_iter()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("there is a period")
}

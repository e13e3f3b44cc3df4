//! The scheduling problem of task misac solved exactly (paper "rl-h-moe", (3)–(7), (11)): which cameras to switch on,
//! as a Markov decision process on the joint age of information, and the best fixed camera period beside it.
//!
//! With one constant β per vehicle the ages A ∈ {0, …, A_max}^K follow from the schedule alone, so the problem is
//! finite and deterministic. [`Schedule::solve`] runs relative value iteration on all states and 2^K actions. Where all
//! vehicles have the same β, who has which age makes no difference: states are then sorted ages, (A_max+K choose K) of
//! them for (A_max+1)^K, 8,008 for 1.8 million with six vehicles.
//!
//! With `task.realign` a vehicle without a frame is also back at T_proc with probability P_misa, each by itself, and
//! values are expectations over that. Where ages do not saturate the same states are solved, which makes no schedule
//! dearer than it is; [`Schedule::keeps_ages`] says whether the one that is found is exact.

mod period;
mod trajectory;

pub use period::{best_period, beta_of_episode};
pub use trajectory::{FramePlan, Trajectory};

use super::physics::{KMAX, MisacParams, MisacSpec};
use rayon::prelude::*;

/// Sweeps between two looks at how large the values have become.
const LOOK: usize = 256;

fn largest(values: &[f64]) -> f64 {
    values.par_iter().map(|x| x.abs()).reduce(|| 0.0, f64::max)
}

/// (n choose k), if that is below 2^64.
fn choose(n: u64, k: u64) -> Option<u64> {
    // Every partial product is a whole number.
    let step =
        |product: u128, i: u64| Some(product.checked_mul(u128::from(n.checked_sub(i)?))? / u128::from(i + 1));
    if n < k {
        return Some(0);
    }
    (0..k).try_fold(1u128, step).and_then(|x| u64::try_from(x).ok())
}

/// Index of joint ages; vehicle 0 counts fastest.
fn joint(ages: &[usize], age_max: usize) -> usize {
    ages.iter().rev().fold(0, |i, a| i * (age_max + 1) + a)
}

/// Joint ages of `k` vehicles at an index.
fn joint_ages(mut index: usize, k: usize, age_max: usize) -> Vec<usize> {
    let next = |_| {
        let age = index % (age_max + 1);
        index /= age_max + 1;
        age
    };
    (0..k).map(next).collect()
}

/// Energies, limits and rates of the scheduling problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// β_k of (7), per slot of age; one per vehicle.
    pub beta: Vec<f64>,
    /// e_vis of (4), J per camera frame.
    pub e_vis_j: f64,
    /// E_recovery of (5), J per vehicle.
    pub e_recovery_j: f64,
    /// Age after a camera frame, slots (6).
    pub t_proc: usize,
    /// Age at which it saturates, slots.
    pub age_max: usize,
    /// λ_misa of (11), J.
    pub lambda_j: f64,
    /// Γ_misa of (9e).
    pub gamma_misa: f64,
    /// Whether the sweep of (5), which runs with probability P_misa, leaves an age as a frame does.
    pub realign: bool,
}

/// Expectations over which vehicles a sweep finds, of values that stand by which have a fresh age (bit v: vehicle v):
/// those of `fresh` are found by their frames, any other one with probability `lost[v]`.
pub(super) fn expect_sweeps(fresh: &mut [f64], lost: &[f64]) {
    for (v, p) in lost.iter().enumerate() {
        for bits in 0..fresh.len() {
            if bits >> v & 1 == 0 {
                fresh[bits] = (1.0 - p) * fresh[bits] + p * fresh[bits | 1 << v];
            }
        }
    }
}

/// A schedule that is fixed in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every camera in every slot (Vision-Only).
    Always,
    /// No camera ever (Radar-Only).
    Never,
    /// [`Schedule::periodic`].
    Periodic,
    /// A decision for every joint age: [`Schedule::table`].
    Table,
    /// Decisions for every slot of an episode, made when it starts.
    Plan,
}

/// The optimum of a [`Schedule`].
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// Mean cost per slot (energy and penalty), J.
    pub cost_j: f64,
    /// Relative values h(A) of all states, J; h(0, …, 0) = 0.
    pub values: Vec<f64>,
    /// Half the span of T h − h: the mean cost of the greedy policy is within this of the optimum, J.
    pub residual_j: f64,
    pub iterations: usize,
}

/// Why there is no [`Optimum`]: its mean cost is not as exact as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "the least mean cost is not found: after {iterations} sweeps it is known to ± {residual_j:e} J, not {tolerance_j:e} J"
)]
pub struct NotConverged {
    pub residual_j: f64,
    pub tolerance_j: f64,
    pub iterations: usize,
}

/// What a slot costs on average under a schedule that repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanCost {
    /// (3), J per slot.
    pub energy_j: f64,
    /// λ_misa·max(0, L_BMP − Γ_misa), J per slot.
    pub penalty_j: f64,
    /// Share of slots with L_BMP > Γ_misa.
    pub share_over_gamma: f64,
    /// Mean L_BMP.
    pub l_bmp: f64,
}

impl MeanCost {
    pub fn cost_j(&self) -> f64 {
        self.energy_j + self.penalty_j
    }
}

impl Schedule {
    /// The scheduling problem of a replica, with the one β that holds for all its vehicles.
    pub fn new(spec: &MisacSpec, p: &MisacParams) -> Self {
        Schedule {
            beta: vec![f64::from(p.beta); spec.vehicles],
            e_vis_j: f64::from(p.e_vis_j),
            e_recovery_j: f64::from(p.e_recovery_j),
            t_proc: p.t_proc as usize,
            age_max: p.age_max as usize,
            lambda_j: f64::from(p.lambda_j),
            gamma_misa: f64::from(p.gamma_misa),
            realign: spec.choices.realign,
        }
    }
    /// The same with ages that do not saturate, for what looks at no table of states.
    pub fn unsaturated(self) -> Self {
        Schedule { age_max: u32::MAX as usize, ..self }
    }
    /// K
    pub fn vehicles(&self) -> usize {
        self.beta.len()
    }
    /// Whether vehicles differ in nothing but their ages.
    pub fn alike(&self) -> bool {
        self.beta.iter().all(|b| *b == self.beta[0])
    }
    /// Sorted ages where vehicles are alike, (A_max+K choose K), else joint ages, (A_max+1)^K; `None` above 2^64.
    pub fn count(&self) -> Option<u64> {
        let (k, base) = (self.vehicles(), self.age_max as u64 + 1);
        if self.alike() {
            choose(self.age_max as u64 + k as u64, k as u64)
        } else {
            base.checked_pow(k as u32)
        }
    }
    /// [`Schedule::count`] of a problem that is small enough to be solved.
    pub fn states(&self) -> usize {
        self.count().and_then(|n| usize::try_from(n).ok()).expect("few enough to be solved")
    }
    /// Index of ages: where vehicles are alike, whoever has them; else vehicle 0 counts fastest.
    pub fn index(&self, ages: &[usize]) -> usize {
        if !self.alike() {
            return joint(ages, self.age_max);
        }
        let mut sorted = [0; KMAX];
        let sorted = &mut sorted[..ages.len()];
        sorted.copy_from_slice(ages);
        sorted.sort_unstable();
        // The i-th smallest and i are a strictly rising sequence, which the combinatorial number system counts.
        let rank = |(i, a): (usize, &usize)| choose((a + i) as u64, i as u64 + 1).expect("below the count");
        sorted.iter().enumerate().map(rank).sum::<u64>() as usize
    }
    /// Ages at an index; rising where vehicles are alike.
    pub fn ages(&self, index: usize) -> Vec<usize> {
        if !self.alike() {
            return joint_ages(index, self.vehicles(), self.age_max);
        }
        let mut ages = vec![0; self.vehicles()];
        let mut left = index as u64;
        for (i, age) in ages.iter_mut().enumerate().rev() {
            let below = |a: usize| choose((a + i) as u64, i as u64 + 1).is_some_and(|n| n <= left);
            // The largest age whose share of the index fits.
            let (mut low, mut high) = (0, self.age_max);
            while low < high {
                let mid = (low + high).div_ceil(2);
                if below(mid) { low = mid } else { high = mid - 1 }
            }
            *age = low;
            left -= choose((low + i) as u64, i as u64 + 1).expect("it fits");
        }
        ages
    }
    /// P_misa of vehicle k at an age (7).
    pub fn misalignment(&self, k: usize, age: usize) -> f64 {
        1.0 - (-self.beta[k] * age as f64).exp()
    }
    /// Ages one slot on under the decision π (6), saturated at A_max, if no sweep finds a vehicle.
    pub fn next(&self, ages: &[usize], pi: &[bool]) -> Vec<usize> {
        let one = |(a, p): (&usize, &bool)| {
            if *p { self.t_proc.min(self.age_max) } else { (a + 1).min(self.age_max) }
        };
        ages.iter().zip(pi).map(one).collect()
    }
    /// Energy (3) and L_BMP of a slot that starts with these ages and decides π.
    pub fn slot(&self, ages: &[usize], pi: &[bool]) -> (f64, f64) {
        let misaligned: f64 = ages.iter().enumerate().map(|(k, a)| self.misalignment(k, *a)).sum();
        let frames = pi.iter().filter(|p| **p).count() as f64;
        (self.e_vis_j * frames + self.e_recovery_j * misaligned, misaligned / self.vehicles() as f64)
    }
    /// One vehicle of it alone, with β slot by slot.
    pub fn trajectory<'a>(&self, beta: &'a [f64]) -> Trajectory<'a> {
        let &Schedule { e_vis_j, e_recovery_j, t_proc, age_max, realign, .. } = self;
        Trajectory { beta, e_vis_j, e_recovery_j, t_proc, age_max, realign }
    }
    /// P_misa of every vehicle at these ages.
    fn lost(&self, ages: &[usize]) -> Vec<f64> {
        ages.iter().enumerate().map(|(k, a)| self.misalignment(k, *a)).collect()
    }
    /// λ_misa·max(0, L_BMP − Γ_misa), J.
    pub fn penalty(&self, l_bmp: f64) -> f64 {
        self.lambda_j * (l_bmp - self.gamma_misa).max(0.0)
    }

    /// Every decision π of K cameras.
    fn decisions(&self) -> impl Iterator<Item = Vec<bool>> {
        let k = self.vehicles();
        (0..1usize << k).map(move |bits| (0..k).map(|v| bits >> v & 1 == 1).collect())
    }

    /// One sweep of value iteration, h → T h with (T h)(A) = min over π of cost(A, π) + h(next(A, π)).
    fn sweep(&self) -> impl Fn(&[f64]) -> Vec<f64> {
        let k = self.vehicles();
        // Of a state: its cost before the decision, P_misa of its vehicles if sweeps realign, and where it goes by each
        // decision.
        let moves: Vec<(f64, Vec<f64>, Vec<u32>)> = (0..self.states())
            .into_par_iter()
            .map(|i| {
                let ages = self.ages(i);
                let (energy, l_bmp) = self.slot(&ages, &vec![false; k]);
                let lost = if self.realign { self.lost(&ages) } else { Vec::new() };
                let next = self.decisions().map(|pi| self.index(&self.next(&ages, &pi)) as u32).collect();
                (energy + self.penalty(l_bmp), lost, next)
            })
            .collect();
        let (e_vis_j, realign) = (self.e_vis_j, self.realign);
        move |h: &[f64]| {
            moves
                .par_iter()
                .map(|(cost, lost, next)| {
                    let mut after = [0.0; 1 << KMAX];
                    let after = &mut after[..next.len()];
                    for (after, next) in after.iter_mut().zip(next) {
                        *after = h[*next as usize];
                    }
                    if realign {
                        expect_sweeps(after, lost);
                    }
                    let paid = |(bits, after): (usize, &f64)| e_vis_j * f64::from(bits.count_ones()) + after;
                    cost + after.iter().enumerate().map(paid).fold(f64::INFINITY, f64::min)
                })
                .collect()
        }
    }

    /// How exact a mean cost of `cost_j` must be, J: `tolerance_j` from 1 J to 1 kJ, below in proportion to the cost,
    /// above a thousandth of that. A cost near 0 counts as the least of the energies that it is made of.
    fn within_j(&self, tolerance_j: f64, cost_j: f64) -> f64 {
        let parts = [self.e_vis_j, self.e_recovery_j, self.lambda_j];
        let least = parts.into_iter().filter(|j| *j > 0.0).reduce(f64::min).unwrap_or(0.0);
        let scale = cost_j.abs().max(least);
        tolerance_j * scale.min(1.0).max(1e-3 * scale)
    }

    /// Relative value iteration until half the span of T h − h is at most `tolerance_j` (where the mean cost is 1 J to
    /// 1 kJ, else in proportion to it); an error if that is not so after `most` sweeps, or can never be because values
    /// of this size are rounded by more. Half of every step is kept back (h ← (h + T h)/2), because optimal schedules
    /// are periodic and the plain iteration would circle.
    pub fn solve(&self, tolerance_j: f64, most: usize) -> Result<Optimum, NotConverged> {
        let sweep = self.sweep();
        let mut h = vec![0.0; self.states()];
        let mut iterations = 0;
        loop {
            let next = sweep(&h);
            iterations += 1;
            let (lo, hi) = next
                .par_iter()
                .zip(&h)
                .map(|(a, b)| (a - b, a - b))
                .reduce(|| (f64::INFINITY, f64::NEG_INFINITY), |x, y| (x.0.min(y.0), x.1.max(y.1)));
            let residual_j = (hi - lo) / 2.0;
            let cost_j = (hi + lo) / 2.0;
            let within_j = self.within_j(tolerance_j, cost_j);
            if residual_j <= within_j {
                let origin = h[0];
                h.iter_mut().for_each(|x| *x -= origin);
                return Ok(Optimum { cost_j, values: h, residual_j, iterations });
            }
            if iterations >= most || (iterations % LOOK == 0 && largest(&h) * f64::EPSILON > within_j) {
                return Err(NotConverged { residual_j, tolerance_j: within_j, iterations });
            }
            let origin = (h[0] + next[0]) / 2.0;
            h.par_iter_mut().zip(&next).for_each(|(h, t)| *h = (*h + t) / 2.0 - origin);
        }
    }

    /// Least mean cost per slot, J, of an episode of `slots` slots that starts with all ages 0: no policy at all gets
    /// below it. It lies a little below the long-run optimum, because an episode starts with fresh frames and nothing
    /// is paid for the ages at its end.
    pub fn episode_cost(&self, slots: usize) -> f64 {
        let sweep = self.sweep();
        let mut h = vec![0.0; self.states()];
        for _ in 0..slots {
            h = sweep(&h);
        }
        h[0] / slots as f64
    }

    /// The decision that is optimal for these ages under the values of [`Schedule::solve`]; of equals the one with the
    /// fewest frames.
    pub fn decide(&self, ages: &[usize], values: &[f64]) -> Vec<bool> {
        let k = self.vehicles();
        // Closer than this is equal but for rounding.
        let tie = 1e-12 * self.e_vis_j.min(1.0);
        let mut best = (f64::INFINITY, Vec::new());
        let decision = |bits: usize| -> Vec<bool> { (0..k).map(|v| bits >> v & 1 == 1).collect() };
        let mut after: Vec<f64> =
            (0..1 << k).map(|bits| values[self.index(&self.next(ages, &decision(bits)))]).collect();
        if self.realign {
            expect_sweeps(&mut after, &self.lost(ages));
        }
        for (bits, after) in after.into_iter().enumerate() {
            let cost = self.e_vis_j * f64::from((bits as u32).count_ones()) + after;
            if cost < best.0 - tie {
                best = (cost, decision(bits));
            }
        }
        best.1
    }

    /// Whether no vehicle is ever without a frame at A_max, from fresh frames on, under the decisions of a table
    /// ([`Schedule::table`]), so that its cost and the ages of its states are the same where ages do not saturate.
    /// Nothing is cheaper there, since P_misa only grows with the age: the table is the optimum of both. Not so with
    /// sweeps that realign, of which an age beyond A_max has more.
    pub fn keeps_ages(&self, table: &[u32]) -> bool {
        let (before, cycle) = self.course(table);
        let mut ages = vec![0; self.vehicles()];
        for pi in before.iter().chain(&cycle) {
            if ages.iter().zip(pi).any(|(a, on)| !on && *a >= self.age_max) {
                return false;
            }
            ages = self.next(&ages, pi);
        }
        true
    }

    /// The decisions of a table from fresh frames on, slot by slot, if no sweep finds a vehicle: those before it comes
    /// to ages that it has been at, of the same vehicles, and those that it repeats from there on.
    pub fn course(&self, table: &[u32]) -> (Vec<Vec<bool>>, Vec<Vec<bool>>) {
        let mut ages = vec![0; self.vehicles()];
        let (mut seen, mut course) = (Vec::new(), Vec::new());
        loop {
            if let Some(first) = seen.iter().position(|s| *s == ages) {
                let cycle = course.split_off(first);
                return (course, cycle);
            }
            let bits = self.bits(table, &ages);
            let pi: Vec<bool> = (0..ages.len()).map(|k| bits >> k & 1 == 1).collect();
            seen.push(ages.clone());
            ages = self.next(&ages, &pi);
            course.push(pi);
        }
    }

    /// [`Schedule::decide`] for every state: bit k of a word is the camera of vehicle k or, where vehicles are alike,
    /// of the one with the k-th smallest age.
    pub fn table(&self, values: &[f64]) -> Vec<u32> {
        let bits = |i: usize| {
            let pi = self.decide(&self.ages(i), values);
            pi.iter().enumerate().map(|(k, on)| u32::from(*on) << k).sum()
        };
        (0..self.states()).into_par_iter().map(bits).collect()
    }

    /// The decision of a table at these ages, at most A_max: bit k is the camera of vehicle k.
    pub fn bits(&self, table: &[u32], ages: &[usize]) -> u32 {
        let word = table[self.index(ages)];
        if !self.alike() {
            return word;
        }
        let mut order: [usize; KMAX] = std::array::from_fn(|k| k);
        let order = &mut order[..ages.len()];
        order.sort_by_key(|k| ages[*k]);
        order.iter().enumerate().map(|(place, k)| (word >> place & 1) << k).sum()
    }

    /// The decisions of a table for all joint ages, (A_max+1)^K words of which vehicle 0 counts fastest; `None` if that
    /// is more than `most`.
    pub fn joint_table(&self, table: &[u32], most: usize) -> Option<Vec<u32>> {
        let all = (self.age_max + 1).checked_pow(self.vehicles() as u32).filter(|n| *n <= most)?;
        let bits = |i| self.bits(table, &joint_ages(i, self.vehicles(), self.age_max));
        Some((0..all).into_par_iter().map(bits).collect())
    }

    /// Means over `slots` slots from these ages under a schedule.
    pub fn simulate(
        &self,
        ages: &[usize],
        slots: usize,
        mut decide: impl FnMut(usize, &[usize]) -> Vec<bool>,
    ) -> MeanCost {
        let mut ages = ages.to_vec();
        let mut sum = MeanCost::default();
        for n in 0..slots {
            let pi = decide(n, &ages);
            let (energy, l_bmp) = self.slot(&ages, &pi);
            sum.energy_j += energy;
            sum.penalty_j += self.penalty(l_bmp);
            sum.l_bmp += l_bmp;
            sum.share_over_gamma += f64::from(l_bmp > self.gamma_misa);
            ages = self.next(&ages, &pi);
        }
        let per = 1.0 / slots as f64;
        MeanCost {
            energy_j: sum.energy_j * per,
            penalty_j: sum.penalty_j * per,
            share_over_gamma: sum.share_over_gamma * per,
            l_bmp: sum.l_bmp * per,
        }
    }

    /// Whether vehicle k's camera is on in slot n when every vehicle has one frame in `period` slots, staggered evenly.
    pub fn periodic(&self, k: usize, period: usize, n: usize) -> bool {
        (n + k * period / self.vehicles()).is_multiple_of(period)
    }

    /// Mean cost of the staggered camera period, after its transient: the sum over one period.
    pub fn period_cost(&self, period: usize) -> MeanCost {
        let k = self.vehicles();
        let mut ages = vec![0; k];
        let pi = |n: usize| (0..k).map(|v| self.periodic(v, period, n)).collect::<Vec<_>>();
        for n in 0..2 * period {
            ages = self.next(&ages, &pi(n));
        }
        self.simulate(&ages, period, |n, _| pi(n))
    }

    /// The period of least mean cost among 1, …, A_max+1.
    pub fn best_period(&self) -> (usize, MeanCost) {
        self.best_period_up_to(self.age_max + 1)
    }

    /// The period of least mean cost among 1, …, `most`.
    pub fn best_period_up_to(&self, most: usize) -> (usize, MeanCost) {
        (1..=most)
            .map(|p| (p, self.period_cost(p)))
            .min_by(|a, b| a.1.cost_j().total_cmp(&b.1.cost_j()))
            .expect("there is a period")
    }
}

#[cfg(test)]
mod tests;

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

use super::physics::{self, KMAX, MisacParams, MisacSpec, Uncertainty};
use rayon::prelude::*;

/// Sweeps between two looks at how large the values have become.
const LOOK: usize = 256;
/// Episodes of its own over which a period is chosen, where its cost has no closed form.
const EPISODES: u32 = 256;

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
    /// below it. It lies a little below the long-run optimum, because an episode starts with fresh frames and leaves
    /// the ages at its end to nobody.
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

/// One vehicle over an episode in which its β is known slot by slot, as with `uncertainty = "kinematic"`.
///
/// The vehicles of an episode are coupled by the penalty on L_BMP alone, which is never negative. So the sum over
/// vehicles of [`Trajectory::plan`]'s energies is a lower bound on the cost (11) of every policy, even of one that
/// knows the whole trajectory beforehand; and where no slot of these plans together exceeds Γ_misa it is the optimum
/// itself.
#[derive(Clone, Debug)]
pub struct Trajectory<'a> {
    /// β of each slot of the episode, per slot of age.
    pub beta: &'a [f64],
    /// e_vis of (4), J per camera frame.
    pub e_vis_j: f64,
    /// E_recovery of (5), J.
    pub e_recovery_j: f64,
    /// Age after a camera frame, slots (6).
    pub t_proc: usize,
    /// Age at which it saturates, slots.
    pub age_max: usize,
    /// As of [`Schedule`].
    pub realign: bool,
}

/// What [`Trajectory::plan`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Energy of the whole episode, J.
    pub energy_j: f64,
    /// Slots in which the camera is on.
    pub frames: Vec<bool>,
}

impl Trajectory<'_> {
    /// Least energy from slot n on at an age, J, `[T+1, A_max+1]`, by backward induction; 0 behind the last slot.
    pub fn values(&self) -> Vec<f64> {
        let ages = self.age_max + 1;
        let mut values = vec![0.0; (self.beta.len() + 1) * ages];
        for (n, beta) in self.beta.iter().enumerate().rev() {
            let (here, after) = values[n * ages..].split_at_mut(ages);
            for (age, value) in here.iter_mut().enumerate() {
                let (without, with) = self.choices(*beta, age, after);
                *value = self.e_recovery_j * (1.0 - (-beta * age as f64).exp()) + with.min(without);
            }
        }
        values
    }

    /// What is paid behind a slot without a frame, and for a frame and behind it, J; `after` begins with the values of
    /// the next slot, `beta` is that of the slot at hand.
    fn choices(&self, beta: f64, age: usize, after: &[f64]) -> (f64, f64) {
        let reset = self.t_proc.min(self.age_max);
        let without = after[(age + 1).min(self.age_max)];
        let without = match self.realign {
            true => {
                let lost = 1.0 - (-beta * age as f64).exp();
                (1.0 - lost) * without + lost * after[reset]
            }
            false => without,
        };
        (without, self.e_vis_j + after[reset])
    }

    /// Whether a frame is worth its energy in slot n at an age, by [`Trajectory::values`]; of equals, no frame.
    pub fn takes_frame(&self, values: &[f64], n: usize, age: usize) -> bool {
        let (without, with) =
            self.choices(self.beta[n], age.min(self.age_max), &values[(n + 1) * (self.age_max + 1)..]);
        with < without
    }

    /// The frames of least energy over the episode, which starts at age 0, if no sweep finds the vehicle; of equals the
    /// ones without a frame.
    pub fn plan(&self) -> Plan {
        let values = self.values();
        let mut age = 0;
        let frames = values.chunks(self.age_max + 1).skip(1).zip(self.beta).map(|(after, beta)| {
            let (without, with) = self.choices(*beta, age, after);
            age = if with < without { self.t_proc } else { age + 1 }.min(self.age_max);
            with < without
        });
        Plan { frames: frames.collect(), energy_j: values[0] }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
                // Of equal cost there may be several; as many cameras of the same ages are one.
                let pi: Vec<bool> = (0..vehicles).map(|k| word >> k & 1 == 1).collect();
                let paid = |pi: &[bool]| {
                    let mut after: Vec<f64> = apart
                        .decisions()
                        .map(|pi| many.values[apart.index(&apart.next(&ages, &pi))])
                        .collect();
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
            assert!(
                (run.cost_j() - o.cost_j).abs() < 1e-3,
                "{snr} dB: {} against {}",
                run.cost_j(),
                o.cost_j
            );
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
            let schedules =
                (0..1u32 << 10).map(|bits| (0..10).map(|n| bits >> n & 1 == 1).collect::<Vec<_>>());
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
                    let after: f64 =
                        outcomes(&s, &ages, pi).iter().map(|(p, a)| p * o.values[s.index(a)]).sum();
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
}

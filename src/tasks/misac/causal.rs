//! A causal reference for `uncertainty = "kinematic"`: camera frames by a dynamic program that knows of a trajectory
//! what has been observed of it.
//!
//! **What it knows** in slot n is what an agent with a memory knows: the observations of slots 0 to n
//! ([`observe`](super::physics::observe): cos θ̂, d̂ and A of every vehicle), its own decisions, the number n, and the
//! task (road, ranges of positions and speeds, variances, energies, limits). It knows neither x, v, e nor the mean
//! angular rate of the episode, which β is relative to and which follows from x, v and T.
//!
//! **Estimate.** Vehicles keep their speed: x(n+1) = x(n) + v·ΔT. An extended Kalman filter per vehicle holds (x̂, v̂)
//! and their covariance:
//! * it begins with x̂ = −y·cot θ̂(0), variance (σ_vis·d²/y)², and the mean and variance of the uniform speed;
//! * behind a frame, θ̂(n) = θ(x(n)) + N(0, σ_vis²); without one e walks on, so that θ̂(n) − θ̂(n−1) = θ(x(n)) − θ(x(n)
//!   − v·ΔT) + N(0, q²·β(n−1)), q = 0.886/M: both are independent of everything before;
//! * d̂(n) = d(x(n))·(1 + N(0, σ²)).
//!
//! **Decision.** The estimates are taken for the truth (certainty equivalence): they give β̂_k(m) of all coming slots
//! m. With V_k(m, a) the least energy of vehicle k alone ([`values`](super::dp::Trajectory::values)) and the slots up
//! to n+L taken together,
//!
//! J(m, A) = E_recovery·Σ P_k + λ·max(0, L_BMP − Γ) + min over π of e_vis·Σ π_k + J(m+1, next(A, π)), J(n+L, A) = Σ
//! V_k(n+L, A_k)
//!
//! (with `task.realign` the expectation of J(m+1, ·) over which vehicles a sweep finds),
//!
//! the π that attains J(n, A(n)) is decided, and in the next slot everything is done anew. This leaves out what could
//! be gained by looking in order to learn, the penalty behind n+L, and slots behind the horizon. It is a policy, so it
//! costs no less than the best causal one, and that one no less than `dp-bound`:
//! the difference between these two rows bounds what is left out.
//!
//! With `task.error_growth = "exponential"` or `task.radar_noise_deg` the filter takes what the error has grown by in a
//! slot, and the radar's noise in both, for independent of everything before, which they are not.

use super::dp::{Schedule, expect_sweeps};
use super::physics::{DISTANCE_UNIT_M, ErrorGrowth, MOST_GROWTH, MisacParams, MisacSpec, Uncertainty};

/// L: slots in which the vehicles are planned together, at most.
const LOOKAHEAD: usize = 6;
/// Joint ages behind them, at most.
const MOST_JOINT_AGES: usize = 8192;
/// Slots that are planned for, at most.
const HORIZON: usize = 64;

/// θ of a vehicle at x, rad.
fn angle(p: &MisacParams, x: f64) -> f64 {
    f64::from(p.road_y_m).atan2(-x)
}

/// dθ/dx, rad/m: the angular rate over the speed.
fn turning(p: &MisacParams, x: f64) -> f64 {
    let y = f64::from(p.road_y_m);
    y / (x * x + y * y)
}

/// What is known of a vehicle's motion: means and covariance of its position (m) and speed (m/s).
#[derive(Clone, Debug)]
struct Estimate {
    x: f64,
    v: f64,
    /// Variances of x and v, and what they share.
    xx: f64,
    vv: f64,
    xv: f64,
    /// θ̂ of the last slot, rad.
    angle: f64,
}

impl Estimate {
    /// From the first θ̂ of an episode, whose error is that of a frame.
    fn new(p: &MisacParams, angle: f64) -> Self {
        let (lo, hi) = (f64::from(p.x_min_m), f64::from(p.x_max_m));
        let x = (-f64::from(p.road_y_m) / angle.tan()).clamp(lo, hi);
        let (slow, fast) = (f64::from(p.speed_min_m_s), f64::from(p.speed_max_m_s));
        let seen = (f64::from(p.sigma_vis_rad) / turning(p, x)).powi(2);
        Estimate {
            x,
            v: (slow + fast) / 2.0,
            xx: seen.min((hi - lo).powi(2) / 12.0),
            vv: (fast - slow).powi(2) / 12.0,
            xv: 0.0,
            angle,
        }
    }

    /// A slot later.
    fn advance(&mut self, dt_s: f64) {
        self.x += self.v * dt_s;
        self.xx += dt_s * (2.0 * self.xv + dt_s * self.vv);
        self.xv += dt_s * self.vv;
    }

    /// Takes in a measurement that is `miss` above what was expected of it; `slope`: its derivatives by x and v.
    fn measure(&mut self, miss: f64, slope: [f64; 2], variance: f64) {
        let with = [slope[0] * self.xx + slope[1] * self.xv, slope[0] * self.xv + slope[1] * self.vv];
        let spread = slope[0] * with[0] + slope[1] * with[1] + variance;
        // What is known exactly cannot be known better.
        if spread > 0.0 {
            let gain = with.map(|w| w / spread);
            self.x += gain[0] * miss;
            self.v += gain[1] * miss;
            self.xx -= gain[0] * with[0];
            self.xv -= gain[0] * with[1];
            self.vv -= gain[1] * with[1];
        }
    }

    /// β of the coming `slots` slots, the one at hand first, if this is the truth in slot `n`.
    fn beta(&self, spec: &MisacSpec, p: &MisacParams, n: usize, slots: usize) -> Vec<f64> {
        let beta = f64::from(p.beta);
        if spec.uncertainty == Uncertainty::Constant {
            return vec![beta; slots];
        }
        let dt_s = f64::from(p.dt_s);
        let v = self.v.clamp(f64::from(p.speed_min_m_s), f64::from(p.speed_max_m_s));
        let (first, way) = (self.x - v * dt_s * n as f64, v * dt_s * spec.slots as f64);
        let mean = (angle(p, first + way) - angle(p, first)) / way;
        (0..slots).map(|m| beta * turning(p, self.x + v * dt_s * m as f64) / mean).collect()
    }
}

/// The reference in one environment, from the start of an episode on.
pub struct Causal<'a> {
    spec: &'a MisacSpec,
    p: &'a MisacParams,
    problem: Schedule,
    /// Slot that is decided next.
    n: usize,
    estimates: Vec<Estimate>,
    /// Cameras of the last slot.
    cameras: u32,
    /// Ages in the last slot, slots.
    ages: Vec<usize>,
}

impl<'a> Causal<'a> {
    pub fn new(spec: &'a MisacSpec, p: &'a MisacParams) -> Self {
        let (problem, estimates, ages) = (Schedule::new(spec, p), Vec::new(), vec![0; spec.vehicles]);
        Causal { spec, p, problem, n: 0, estimates, cameras: 0, ages }
    }

    /// The cameras of the next slot, that of vehicle k in bit k, after its observation `obs` `[3K]`.
    ///
    /// # Panics
    /// If the episode is over.
    pub fn decide(&mut self, obs: &[f32]) -> u32 {
        assert!(self.n < self.spec.slots, "an episode has {} slots", self.spec.slots);
        let k = self.spec.vehicles;
        let measured =
            |i: usize| (f64::from(obs[i]).clamp(-1.0, 1.0).acos(), DISTANCE_UNIT_M * f64::from(obs[k + i]));
        if self.n == 0 {
            self.estimates = (0..k).map(|i| Estimate::new(self.p, measured(i).0)).collect();
        }
        let ages: Vec<usize> = (0..k).map(|i| (obs[2 * k + i] * self.p.age_max).round() as usize).collect();
        (0..k).for_each(|i| self.observe(i, measured(i), ages[i]));
        let slots = HORIZON.min(self.spec.slots - self.n);
        if !self.spec.choices.age_saturates {
            // No age of the plan is above this.
            self.problem.age_max = ages.iter().fold(self.problem.t_proc, |a, b| a.max(*b)) + slots;
        }
        let beta: Vec<Vec<f64>> =
            self.estimates.iter().map(|e| e.beta(self.spec, self.p, self.n, slots)).collect();
        self.cameras = first_of_plan(&self.problem, &ages, &beta);
        self.ages = ages;
        self.n += 1;
        self.cameras
    }

    /// Variance of what the tracking error of vehicle `i` has grown by in the last slot, in which its β was `rate`, and
    /// of the radar's noise in θ̂ of this slot and of the last, rad².
    fn grown(&self, i: usize, rate: f64, age: usize) -> f64 {
        let p = self.p;
        let grown = match self.spec.choices.growth {
            ErrorGrowth::RandomWalk => rate * f64::from(p.beam_width_rad).powi(2),
            ErrorGrowth::Exponential => {
                let exponent = (f64::from(p.error_rate) * rate).min(MOST_GROWTH);
                let before = f64::from(p.sigma_vis_rad) * (exponent * self.ages[i] as f64).exp();
                (before.min(std::f64::consts::PI) * exponent.exp_m1()).powi(2)
            }
        };
        let radar = match self.spec.choices.radar_noise {
            true => f64::from(p.radar_noise_rad).powi(2),
            false => return grown,
        };
        let noisy = [self.ages[i], age].into_iter().filter(|a| *a > self.problem.t_proc).count();
        grown + radar * noisy as f64
    }

    /// Takes in angle, distance and age of vehicle `i`.
    fn observe(&mut self, i: usize, (seen, distance): (f64, f64), age: usize) {
        let (p, n) = (self.p, self.n);
        let last = self.estimates[i].beta(self.spec, p, n.saturating_sub(1), 1)[0];
        let walk = self.grown(i, last, age);
        // A sweep that found the vehicle leaves what a frame does.
        let found = self.spec.choices.realign && age < (self.ages[i] + 1).min(self.problem.age_max);
        let fresh = found || self.cameras >> i & 1 == 1;
        let e = &mut self.estimates[i];
        if n > 0 {
            let dt_s = f64::from(p.dt_s);
            e.advance(dt_s);
            if fresh {
                let variance = f64::from(p.sigma_vis_rad).powi(2);
                e.measure(seen - angle(p, e.x), [turning(p, e.x), 0.0], variance);
            } else {
                let before = e.x - e.v * dt_s;
                let turned = angle(p, e.x) - angle(p, before);
                let (now, then) = (turning(p, e.x), turning(p, before));
                e.measure(seen - e.angle - turned, [now - then, dt_s * then], walk);
            }
            e.angle = seen;
        }
        let d = e.x.hypot(f64::from(p.road_y_m));
        e.measure(distance - d, [e.x / d, 0.0], (f64::from(p.distance_noise) * d).powi(2));
    }
}

/// Σ_k `parts[k][c_k]` of every (c_0, c_1, …), c_0 fastest.
fn sums(parts: &[Vec<f64>]) -> Vec<f64> {
    parts.iter().fold(vec![0.0], |sums, part| {
        let mut longer = Vec::with_capacity(sums.len() * part.len());
        part.iter().for_each(|x| longer.extend(sums.iter().map(|s| s + x)));
        longer
    })
}

/// What is paid behind a slot and for its frames under the best decision, in expectation over the sweeps, of every
/// `(c_0, c_1, …)` with c_v below the length of `lost[v]`. `after`, of the next slot, has `side` entries a vehicle: 0
/// behind a frame or a sweep, else c_v + 1. `lost[v][c_v]`: P_misa in this slot.
fn expected(problem: &Schedule, after: &[f64], side: usize, lost: &[Vec<f64>]) -> Vec<f64> {
    let (k, here) = (lost.len(), side - 1);
    let mut fresh = vec![0.0; 1 << k];
    let one = |index: usize| {
        let entry = |v: usize| index / here.pow(v as u32) % here;
        for (bits, fresh) in fresh.iter_mut().enumerate() {
            let at = |v: usize| if bits >> v & 1 == 1 { 0 } else { entry(v) + 1 };
            *fresh = after[(0..k).rev().fold(0, |i, v| i * side + at(v))];
        }
        expect_sweeps(&mut fresh, &(0..k).map(|v| lost[v][entry(v)]).collect::<Vec<_>>());
        let cost = |(bits, x): (usize, &f64)| problem.e_vis_j * f64::from(bits.count_ones()) + x;
        fresh.iter().enumerate().map(cost).fold(f64::INFINITY, f64::min)
    };
    (0..here.pow(k as u32)).map(one).collect()
}

/// The cameras of the first slot of a schedule from these ages on, whose vehicles are planned together in its first
/// slots and each alone behind them. `beta[k]`: β of vehicle k in all slots that are planned for, at least one.
fn first_of_plan(problem: &Schedule, ages: &[usize], beta: &[Vec<f64>]) -> u32 {
    let k = ages.len();
    let fits = |depth: &usize| (depth + 1).pow(k as u32) <= MOST_JOINT_AGES;
    let together = (1..=LOOKAHEAD.min(beta[0].len())).rev().find(fits).unwrap_or(1);
    let (reset, most) = (problem.t_proc, problem.age_max);
    // Ages of vehicle v after `depth` slots: c slots behind its last frame, or, as entry c = depth, without any.
    let ages_at = |v: usize, depth: usize| {
        let age = ages[v];
        (0..=depth).map(move |c| if c < depth { reset + c } else { age + depth }.min(most))
    };
    let alone: Vec<Vec<f64>> = (0..k)
        .map(|v| {
            let values = problem.trajectory(&beta[v]).values();
            ages_at(v, together).map(|age| values[together * (most + 1) + age]).collect()
        })
        .collect();
    let mut joint = sums(&alone);
    let age_at = |v: usize, depth: usize| ages_at(v, depth).collect::<Vec<_>>();
    let lost = |v: usize, n: usize, age: usize| 1.0 - (-beta[v][n] * age as f64).exp();
    for depth in (1..together).rev() {
        // Frames cost the sum of what each costs, so the least over all decisions is taken camera by camera.
        let (after, here) = (depth + 2, depth + 1);
        if problem.realign {
            let of_age: Vec<Vec<f64>> = (0..k)
                .map(|v| age_at(v, depth).into_iter().map(|age| lost(v, depth, age)).collect())
                .collect();
            joint = expected(problem, &joint, after, &of_age);
        }
        for v in 0..if problem.realign { 0 } else { k } {
            let step = here.pow(v as u32);
            let mut least = Vec::with_capacity(joint.len() / after * here);
            for block in joint.chunks(after * step) {
                let (frame, without) = block.split_at(step);
                for without in without.chunks(step) {
                    let each = without.iter().zip(frame);
                    least.extend(each.map(|(without, frame)| without.min(problem.e_vis_j + frame)));
                }
            }
            joint = least;
        }
        let misaligned =
            |v: usize| ages_at(v, depth).map(|age| 1.0 - (-beta[v][depth] * age as f64).exp()).collect();
        let misaligned = sums(&(0..k).map(misaligned).collect::<Vec<_>>());
        for (value, sum) in joint.iter_mut().zip(misaligned) {
            *value += problem.e_recovery_j * sum + problem.penalty(sum / k as f64);
        }
    }
    // What the slot at hand costs without frames is the same for all decisions. Entry 0 of a vehicle is behind a frame.
    let none = (1u32 << k) - 1;
    if problem.realign {
        let mut fresh: Vec<f64> = (0..=none).map(|cameras| joint[(none ^ cameras) as usize]).collect();
        expect_sweeps(&mut fresh, &(0..k).map(|v| lost(v, 0, ages[v])).collect::<Vec<_>>());
        (0..=none).for_each(|cameras| joint[(none ^ cameras) as usize] = fresh[cameras as usize]);
    }
    let cost =
        |cameras: &u32| problem.e_vis_j * f64::from(cameras.count_ones()) + joint[(none ^ cameras) as usize];
    (0..=none).min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("there is a decision")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::misac::dp::beta_of_episode;
    use crate::tasks::misac::physics::{KMAX, State, observe, reset, step};

    fn task(sets: &[&str]) -> (MisacSpec, MisacParams) {
        let sets: Vec<String> =
            ["task.uncertainty=kinematic"].iter().chain(sets).map(|s| s.to_string()).collect();
        let config = MisacConfig::load(None, &sets).expect("a valid configuration");
        (config.task.spec(), config.task.params([3, 1]))
    }

    /// Plays an episode; `each` gets the reference and the state after every decision. Mean cost (11) per slot, J.
    fn play(
        spec: &MisacSpec,
        p: &MisacParams,
        env: u32,
        mut each: impl FnMut(&Causal, &State<f32>, u32),
    ) -> f64 {
        let (mut s, mut reference) = (reset::<f32>(spec, p, env, 0), Causal::new(spec, p));
        let mut sum = 0.0;
        for n in 0..spec.slots as u32 {
            let mut obs = vec![0.0; spec.obs_dim()];
            observe(spec, p, &s, env, n, |i, x| obs[i] = x);
            let cameras = reference.decide(&obs);
            each(&reference, &s, cameras);
            let pi: [f32; KMAX] = std::array::from_fn(|k| (cameras >> k & 1) as f32);
            sum -= f64::from(step(spec, p, env, n, &pi, &mut s).reward);
        }
        sum / spec.slots as f64
    }

    /// Position and speed are known within what the filter says of its own errors, and better and better.
    #[test]
    fn the_filter_knows_its_errors() {
        let (spec, p) = task(&["task.slots=80"]);
        let (mut squares, mut n) = ([0.0; 2], 0.0);
        let mut speed = [0.0; 3];
        for env in 0..60 {
            play(&spec, &p, env, |reference, s, _| {
                for (i, e) in reference.estimates.iter().enumerate() {
                    let (x, v) = (e.x - f64::from(s.x[i]), e.v - f64::from(s.v[i]));
                    if reference.n > 20 {
                        squares[0] += x * x / e.xx;
                        squares[1] += v * v / e.vv;
                        n += 1.0;
                    }
                    if let Some(at) = [1, 20, 80].iter().position(|n| *n == reference.n) {
                        speed[at] += v * v / 240.0;
                    }
                }
            });
        }
        for mean in squares {
            assert!((0.6..1.6).contains(&(mean / n)), "squared errors over their variances: {}", mean / n);
        }
        let [first, later, last] = speed.map(f64::sqrt);
        // The speed is uniform within 15 to 25 m/s.
        assert!((2.4..3.4).contains(&first) && later < 0.8 && last < 0.1, "{first} {later} {last} m/s");
    }

    /// Without noise the trajectory is seen as it is, and β foreseen as it will be.
    #[test]
    fn without_noise_beta_is_foreseen() {
        let (spec, p) = task(&["task.sigma_vis_deg=0", "task.distance_noise=0", "task.slots=30"]);
        for env in 0..20 {
            let start = reset::<f32>(&spec, &p, env, 0);
            let truth: Vec<Vec<f64>> = (0..4).map(|i| beta_of_episode(&spec, &p, &start, i)).collect();
            play(&spec, &p, env, |reference, _, _| {
                let n = reference.n - 1;
                for (e, truth) in reference.estimates.iter().zip(&truth).filter(|_| n > 3) {
                    for (got, want) in e.beta(&spec, &p, n, 30 - n).iter().zip(&truth[n..]) {
                        assert!((got / want - 1.0).abs() < 0.02, "slot {n}: {got} against {want}");
                    }
                }
            });
        }
    }

    /// As long as all slots are planned together, the decisions are the best of all schedules.
    #[test]
    fn the_plan_is_the_best_of_all_schedules() {
        let slots = 5;
        let beta: Vec<Vec<f64>> = (0..2)
            .map(|k| (0..slots).map(|n| 0.05 + 0.4 * f64::from((3 * n + 5 * k) % 7) / 7.0).collect())
            .collect();
        for (age_max, t_proc, gamma_misa) in [(4, 0, 0.1), (3, 1, 0.3), (10, 0, 0.02)] {
            let problem = Schedule {
                beta: vec![0.0; 2],
                e_vis_j: 6.0,
                e_recovery_j: 25.0,
                t_proc,
                age_max,
                lambda_j: 100.0,
                gamma_misa,
                realign: false,
            };
            let at = |n: usize| Schedule { beta: beta.iter().map(|b| b[n]).collect(), ..problem.clone() };
            let cost = |start: &[usize], from: usize, cameras: &[u32]| {
                let (mut ages, mut sum) = (start.to_vec(), 0.0);
                for (n, word) in cameras.iter().enumerate() {
                    let pi = [word & 1 == 1, word >> 1 & 1 == 1];
                    let (energy, l_bmp) = at(from + n).slot(&ages, &pi);
                    sum += energy + problem.penalty(l_bmp);
                    ages = problem.next(&ages, &pi);
                }
                sum
            };
            for start in [[0, 0], [2, 1], [3, 3]] {
                let schedules = (0..1u32 << (2 * slots))
                    .map(|bits| (0..slots).map(|n| bits >> (2 * n) & 3).collect::<Vec<_>>());
                let best = schedules.map(|s| cost(&start, 0, &s)).fold(f64::INFINITY, f64::min);
                let (mut ages, mut taken) = (start.to_vec(), Vec::new());
                for n in 0..slots as usize {
                    let rest: Vec<Vec<f64>> = beta.iter().map(|b| b[n..].to_vec()).collect();
                    let word = first_of_plan(&problem, &ages, &rest);
                    ages = problem.next(&ages, &[word & 1 == 1, word >> 1 & 1 == 1]);
                    taken.push(word);
                }
                let own = cost(&start, 0, &taken);
                assert!((own - best).abs() < 1e-9, "{own} against {best} from {start:?} with {age_max}");
            }
        }
    }

    /// With sweeps that realign: decisions whose cost, outcome by outcome over the whole episode, is the least.
    #[test]
    fn sweeps_that_realign_are_expected() {
        let slots = 4;
        let beta: Vec<Vec<f64>> = (0..2)
            .map(|k| (0..slots).map(|n| 0.1 + 0.5 * ((3 * n + 5 * k) % 7) as f64 / 7.0).collect())
            .collect();
        let mut decided = Vec::new();
        for (t_proc, gamma_misa) in [(0, 0.1), (1, 0.3)] {
            let problem = Schedule {
                beta: vec![0.0; 2],
                e_vis_j: 6.0,
                e_recovery_j: 25.0,
                t_proc,
                age_max: 3,
                lambda_j: 100.0,
                gamma_misa,
                realign: true,
            };
            // What decision `cameras` costs in slot n with the best ones behind it.
            fn cost(s: &Schedule, beta: &[Vec<f64>], n: usize, ages: &[usize], cameras: u32) -> f64 {
                let lost: Vec<f64> =
                    ages.iter().zip(beta).map(|(a, b)| 1.0 - (-b[n] * *a as f64).exp()).collect();
                let sum: f64 = lost.iter().sum();
                let now =
                    s.e_recovery_j * sum + s.penalty(sum / 2.0) + s.e_vis_j * f64::from(cameras.count_ones());
                if n + 1 == beta[0].len() {
                    return now;
                }
                let after = |found: u32| {
                    let fresh = |v: usize| (cameras | found) >> v & 1 == 1;
                    let next: Vec<usize> = (0..2)
                        .map(|v| if fresh(v) { s.t_proc } else { (ages[v] + 1).min(s.age_max) })
                        .collect();
                    let chance = |v: usize| if found >> v & 1 == 1 { lost[v] } else { 1.0 - lost[v] };
                    let least = (0..4).map(|c| cost(s, beta, n + 1, &next, c)).fold(f64::INFINITY, f64::min);
                    chance(0) * chance(1) * least
                };
                now + (0..4).map(after).sum::<f64>()
            }
            for ages in [[0, 0], [2, 1], [3, 3], [1, 3]] {
                let taken = first_of_plan(&problem, &ages, &beta);
                let all: Vec<f64> = (0..4).map(|c| cost(&problem, &beta, 0, &ages, c)).collect();
                let least = all.iter().copied().fold(f64::INFINITY, f64::min);
                assert!(all[taken as usize] < least + 1e-9, "{taken} of {all:?} from {ages:?}");
                decided.push(taken);
            }
        }
        decided.sort_unstable();
        decided.dedup();
        assert!(decided.len() > 2, "{decided:?} say little");
    }

    /// No less than the bound, not far above it, and well below the best period.
    #[test]
    fn it_costs_little_more_than_the_bound() {
        use crate::tasks::misac::dp::best_period;
        let (spec, p) = task(&["task.slots=60", "task.snr_db=0"]);
        let problem = Schedule::new(&spec, &p);
        let (mut own, mut bound, episodes) = (0.0, 0.0, 24);
        for env in 0..episodes {
            own += play(&spec, &p, env, |_, _, _| ()) / f64::from(episodes);
            let start = reset::<f32>(&spec, &p, env, 0);
            for i in 0..4 {
                let beta = beta_of_episode(&spec, &p, &start, i);
                bound += problem.trajectory(&beta).plan().energy_j / (60.0 * f64::from(episodes));
            }
        }
        let period = best_period(&spec, &p).1;
        assert!(bound <= own && own < bound + 0.4, "{own} J against {bound} J");
        assert!(own < period - 0.3, "{own} J against {period} J of the best period");
    }

    /// Eight vehicles, an age that never rises, a camera without error: all is still decided.
    #[test]
    fn extremes_are_decided() {
        for sets in [
            &["task.vehicles=8", "task.slots=9"][..],
            &["task.vehicles=1", "task.slots=1"],
            &["task.age_max_slots=1", "task.t_proc_slots=1", "reproduce.t_proc_slots=[1]", "task.slots=12"],
            &["task.sigma_vis_deg=0", "task.distance_noise=0", "task.beam_width_factor=0", "task.slots=12"],
            &["task.sigma_vis_deg=90", "task.distance_noise=1", "task.slots=12"],
            &["task.start_x_m=[-5, -5]", "task.speed_m_s=[20, 20]", "task.slots=12"],
            &["task.realign=true", "task.vehicles=8", "task.slots=5"],
            &["task.realign=true", "task.age_saturates=false", "task.slots=30", "task.vehicles=2"],
            &["task.error_growth=exponential", "task.radar_noise_deg=3", "task.slots=30", "task.vehicles=2"],
        ] {
            let (spec, p) = task(sets);
            let cost = play(&spec, &p, 7, |_, _, cameras| assert!(cameras < 1 << spec.vehicles));
            assert!(cost.is_finite(), "{sets:?}");
        }
    }
}

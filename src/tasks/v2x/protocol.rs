//! The beamforming protocols of figure 2 of the paper, as agents (`beam-training`, `two-stage`, `channel-history`);
//! what they cost is in [`overhead`](super::overhead).
//!
//! Each protocol writes a physical action of [`Beam::Steer`]: K angles, equal powers. A pilot sees the channel of the
//! slot that it is sent in. Its noise is that of the link over the samples of a pilot, in a Philox stream of its own.

use super::array::{KMAX, dirichlet};
use super::config::{HISTORY_MAX, ProtocolConfig};
use super::env::V2xEnv;
use super::physics::{Beam, State, V2xParams, V2xSpec, comm_snr_per_watt, load_state, motion, motion_noise};
use crate::energy::RuleCounts;
use crate::num::philox::{Stream, draw};
use crate::num::real::counted::{Counted, kinds};
use crate::num::real::{F32Lanes, LaneKernel, Real, Word, run_lanes};
use crate::run::evaluate::{Acts, Moment};

/// Noise of pilots.
const PILOT: Stream = Stream::task(0);

/// Which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Figure 2a. A pilot over each of N_TA beams; each vehicle reports the strongest, which is kept until the next
    /// sweep.
    BeamTraining,
    /// Figure 2b. The echo's estimates, one slot on by (14); beams are steered there after a pilot over each has been
    /// reported.
    TwoStage,
    /// Figure 2c. Angles of the last slots by the phase progression of uplink pilots, extrapolated along a line.
    ChannelHistory,
}

impl Protocol {
    /// Rows of its own memory per environment.
    pub fn memory_rows(self, vehicles: usize) -> usize {
        match self {
            Protocol::BeamTraining => vehicles,
            Protocol::TwoStage => 0,
            Protocol::ChannelHistory => HISTORY_MAX * vehicles,
        }
    }
}

impl ProtocolConfig {
    /// Whether beams are swept at the start of this slot of an episode.
    pub fn sweeps_in(&self, slot: usize) -> bool {
        slot.is_multiple_of(self.sweep_period_slots)
    }
}

/// Circular Gaussian numbers of variance 1, one after the other.
struct Samples<W> {
    key: [u32; 2],
    env: W,
    clock: u32,
    taken: u32,
    words: [W; 4],
}

impl<W: Word> Samples<W> {
    fn new(key: [u32; 2], env: W, clock: u32) -> Self {
        Samples { key, env, clock, taken: 0, words: [W::splat(0); 4] }
    }

    #[inline(always)]
    fn next<V: Real<Word = W>>(&mut self) -> [V; 2] {
        let second = !self.taken.is_multiple_of(2);
        if !second {
            self.words = draw(self.key, PILOT, self.env, self.clock, self.taken / 2);
        }
        self.taken += 1;
        let (re, im) = if second {
            V::normal_pair(self.words[2], self.words[3])
        } else {
            V::normal_pair(self.words[0], self.words[1])
        };
        let half = V::splat(std::f64::consts::FRAC_1_SQRT_2);
        [half * re, half * im]
    }
}

/// cos φ of beam `b` of a DFT codebook of `beams`, the grid of [`codebook`](super::codebook).
pub fn beam_cosine(b: usize, beams: usize) -> f64 {
    -1.0 + (2 * b + 1) as f64 / beams as f64
}

/// Takes the beam at `angle` if more power was received over it than over those before: (largest power, its angle).
#[inline(always)]
fn prefer<V: Real>(best: &mut [V; 2], [re, im]: [V; 2], angle: f64) {
    let power = re * re + im * im;
    let better = best[0].lt(power);
    best[0] = V::select(better, power, best[0]);
    best[1] = V::select(better, V::splat(angle), best[1]);
}

/// Adds y*_m y_{m+1} of two neighbours to a sum.
#[inline(always)]
fn correlate<V: Real>(sum: &mut [V; 2], last: [V; 2], here: [V; 2]) {
    sum[0] += last[0] * here[0] + last[1] * here[1];
    sum[1] += last[0] * here[1] - last[1] * here[0];
}

/// θ of cos θ = −arg(sum)/π.
#[inline(always)]
fn angle_of<V: Real>([re, im]: [V; 2]) -> V {
    let turn = im.abs().atan2_upper(re) * V::splat(std::f64::consts::FRAC_1_PI);
    let u = V::select(im.lt(V::splat(0.0)), turn, -turn);
    (V::splat(1.0) - u * u).max(V::splat(0.0)).sqrt().atan2_upper(u)
}

/// Angle of the beam with the largest received power, of N_TA that are sent with the whole power one after the other,
/// towards a vehicle at `theta` and `d`.
#[inline(always)]
fn strongest<V: Real>(
    antennas: usize,
    p: &V2xParams,
    samples: u32,
    noise: &mut Samples<V::Word>,
    theta: V,
    d: V,
) -> V {
    let cos = theta.sin_cos().1;
    // Over the noise of a pilot, whose samples are added up.
    let snr = V::splat(f64::from(p.p_max_w) * f64::from(samples)) * comm_snr_per_watt(p, d);
    let amplitude = snr.sqrt();
    let mut best = [V::splat(-1.0), V::splat(0.0)];
    for b in 0..antennas {
        let u = beam_cosine(b, antennas);
        let gain = dirichlet(cos - V::splat(u), antennas).0;
        let [re, im] = noise.next::<V>();
        prefer(&mut best, [amplitude * gain + re, im], u.acos());
    }
    best[1]
}

/// θ one slot on, (14) with estimates.
#[inline(always)]
fn predicted<V: Real>(p: &V2xParams, theta: V, d: V, v: V) -> V {
    let sin = theta.sin_cos().0;
    theta + (v * V::splat(f64::from(p.dt_s)) * sin) / d.max(V::splat(f64::from(p.d_floor_m)))
}

/// Angle whose phase progression from antenna to antenna is that of a received uplink pilot: y_m = √SNR·e^{−jπm cos θ}
/// + noise, cos θ̂ = −arg(Σ_m y*_m y_{m+1})/π.
#[inline(always)]
fn heard<V: Real>(
    antennas: usize,
    p: &V2xParams,
    set: &ProtocolConfig,
    noise: &mut Samples<V::Word>,
    theta: V,
    d: V,
) -> V {
    let cos = theta.sin_cos().1;
    // Of one antenna: the gain of the link is that of N_TA.
    let per_antenna = set.uplink_w() * f64::from(set.pilot_samples) / antennas as f64;
    let amplitude = (V::splat(per_antenna) * comm_snr_per_watt(p, d)).sqrt();
    let mut sum = [V::splat(0.0); 2];
    let mut last = [V::splat(0.0); 2];
    for m in 0..antennas {
        let (s, c) = V::sin_cos_pi_multiple(cos, m as u32);
        let [x, y] = noise.next::<V>();
        let here = [amplitude * c + x, y - amplitude * s];
        correlate(&mut sum, last, here);
        last = here;
    }
    angle_of(sum)
}

/// The line of least squares through past values, newest first, one slot on. One value is kept.
#[inline(always)]
fn extrapolated<V: Real>(past: &[V]) -> V {
    let n = past.len() as f64;
    let middle = -(n - 1.0) / 2.0;
    let spread = n * (n * n - 1.0) / 12.0;
    let mut out = V::splat(0.0);
    for (j, x) in past.iter().enumerate() {
        let slope = if past.len() > 1 { (1.0 - middle) * (-(j as f64) - middle) / spread } else { 0.0 };
        out += V::splat(1.0 / n + slope) * *x;
    }
    out
}

/// The action of one slot into `act` (2K values). `memory` are the agent's own rows of these lanes, all zero before the
/// first slot.
#[allow(clippy::too_many_arguments, reason = "the replica, the slot, the state and what is written")]
#[inline(always)]
pub fn act<V: Real>(
    who: Protocol,
    spec: &V2xSpec,
    p: &V2xParams,
    set: &ProtocolConfig,
    env: V::Word,
    clock: u32,
    s: &State<V>,
    memory: &mut [V],
    act: &mut [V],
) {
    let k = spec.vehicles;
    let slot = clock as usize % spec.slots;
    let mut noise = Samples::new(p.key, env, clock);
    match who {
        Protocol::BeamTraining => {
            if set.sweeps_in(slot) {
                // The draws are counter-based, so the channel of the coming slot can be had before it happens.
                let mut next = *s;
                motion(k, spec.kinematics, p, &motion_noise::<V>(k, p, env, clock), &mut next);
                for i in 0..k {
                    let (theta, d) = (next.theta[i], next.d[i]);
                    memory[i] = strongest(spec.antennas, p, set.pilot_samples, &mut noise, theta, d);
                }
            }
            act[..k].copy_from_slice(&memory[..k]);
        }
        Protocol::TwoStage => {
            for i in 0..k {
                act[i] = predicted(p, s.obs_theta[i], s.obs_d[i], s.obs_v[i]);
            }
        }
        Protocol::ChannelHistory => {
            let known = (slot + 1).min(set.history_slots);
            for i in 0..k {
                let own = &mut memory[HISTORY_MAX * i..][..HISTORY_MAX];
                own.copy_within(..HISTORY_MAX - 1, 1);
                own[0] = heard(spec.antennas, p, set, &mut noise, s.theta[i], s.d[i]);
                act[i] = extrapolated(&own[..known]);
            }
        }
    }
    act[k..2 * k].fill(V::splat(f64::from(p.p_max_w) / k as f64));
}

/// What a decision takes of what was received: pilots over beams or antennas, or an echo. What nature does to a pilot,
/// and what a receiver needs to hear it, is no part of it. Of sweeps, the mean over their period.
pub fn counts(who: Protocol, spec: &V2xSpec, p: &V2xParams, set: &ProtocolConfig) -> RuleCounts {
    let (k, n) = (spec.vehicles, spec.antennas);
    let one = Counted(1.0);
    let operations = kinds(|| {
        for _ in 0..k {
            match who {
                Protocol::BeamTraining => {
                    let mut best = [Counted(-1.0), Counted(0.0)];
                    (0..n).for_each(|_| prefer(&mut best, [one; 2], 1.0));
                }
                Protocol::TwoStage => drop_counted(predicted(p, one, one, one)),
                Protocol::ChannelHistory => {
                    let mut sum = [Counted(0.0); 2];
                    (0..n).for_each(|_| correlate(&mut sum, [one; 2], [one; 2]));
                    drop_counted(angle_of(sum));
                    drop_counted(extrapolated(&[one; HISTORY_MAX][..set.history_slots]));
                }
            }
        }
    });
    let (inputs, memory) = match who {
        Protocol::BeamTraining => (2 * k * n, k),
        Protocol::TwoStage => (3 * k, 0),
        Protocol::ChannelHistory => (2 * k * n, k * set.history_slots),
    };
    let period = if who == Protocol::BeamTraining { set.sweep_period_slots as u64 } else { 1 };
    RuleCounts {
        operations: operations.shared_by(period),
        inputs: (inputs as u64).div_ceil(period),
        memory: memory as u64,
        outputs: spec.action_dim() as u64,
    }
}

/// Keeps a number whose operations are counted.
fn drop_counted(x: Counted) {
    std::hint::black_box(x);
}

/// A protocol in an environment whose actions are [`Beam::Steer`]; it decides on the CPU.
pub struct ProtocolActs {
    pub who: Protocol,
    pub env: V2xEnv,
    /// `[R]`
    pub settings: Vec<ProtocolConfig>,
}

impl Acts for ProtocolActs {
    fn memory(&self) -> usize {
        self.who.memory_rows(self.env.spec.vehicles)
    }

    /// `memory` is `[memory, envs]`.
    fn act(&self, now: &Moment, memory: &mut [f32], action: &mut [f32]) {
        debug_assert_eq!(self.env.spec.beam, Beam::Steer);
        let (params, settings) = (&self.env.params_at(&now.at), &self.settings[now.at.replica]);
        run_lanes(ActChunk { acts: self, params, settings, now, memory, action });
    }

    /// None where the replicas' settings differ.
    fn counts(&self) -> Option<RuleCounts> {
        let (p, set) = (self.env.params.first()?, self.settings.first()?);
        self.settings.iter().all(|s| s == set).then(|| counts(self.who, &self.env.spec, p, set))
    }
}

struct ActChunk<'a> {
    acts: &'a ProtocolActs,
    params: &'a V2xParams,
    settings: &'a ProtocolConfig,
    now: &'a Moment<'a>,
    memory: &'a mut [f32],
    action: &'a mut [f32],
}

impl LaneKernel for ActChunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<V: F32Lanes>(mut self) {
        let envs = self.now.at.envs;
        let whole = envs / V::LANES * V::LANES;
        act_range::<V>(&mut self, 0, whole);
        if whole < envs {
            act_range::<f32>(&mut self, whole, envs);
        }
    }
}

/// The environments [from, to) of a chunk, in whole lane groups.
#[inline(always)]
fn act_range<V: Real<Elem = f32>>(c: &mut ActChunk, from: usize, to: usize) {
    let (at, spec) = (&c.now.at, &c.acts.env.spec);
    let (k, a, rows) = (spec.vehicles, spec.action_dim(), c.acts.memory());
    let mut values = [V::splat(0.0); 2 * KMAX];
    let mut own = [V::splat(0.0); HISTORY_MAX * KMAX];
    let mut lanes = [0f32; 16];
    let mut env = from;
    while env + V::LANES <= to {
        let s = load_state::<V>(k, c.now.state, at.envs, env);
        for (r, m) in own.iter_mut().enumerate().take(rows) {
            *m = V::load(&c.memory[r * at.envs + env..]);
        }
        let ids = V::Word::iota(at.first + env as u32);
        act(c.acts.who, spec, c.params, c.settings, ids, at.clock, &s, &mut own[..rows], &mut values[..a]);
        for (r, m) in own.iter().enumerate().take(rows) {
            m.store(&mut c.memory[r * at.envs + env..]);
        }
        for (i, x) in values.iter().enumerate().take(a) {
            x.store(&mut lanes);
            for (l, value) in lanes.iter().enumerate().take(V::LANES) {
                c.action[(env + l) * a + i] = *value;
            }
        }
        env += V::LANES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::env::At;
    use crate::tasks::v2x::config::V2xConfig;

    fn config(sets: &[&str]) -> V2xConfig {
        V2xConfig::load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    /// Pilots in which noise is nothing.
    const LOUD: [&str; 3] = ["protocol.pilot_samples=1000000", "protocol.uplink_dbm=80", "task.p_max_dbm=80"];

    fn zero() -> State<f64> {
        use crate::tasks::v2x::physics::PAST_ROWS;
        let each = [0.0; KMAX];
        State {
            theta: each,
            d: [10.0; KMAX],
            v: each,
            obs_theta: each,
            obs_d: [10.0; KMAX],
            obs_v: each,
            obs_sinr: each,
            var: [each; 3],
            past: [0.0; PAST_ROWS],
        }
    }

    /// The action of a slot with f64 numbers.
    fn acted(who: Protocol, c: &V2xConfig, clock: u32, s: &State<f64>, memory: &mut [f64]) -> Vec<f64> {
        let spec = V2xSpec { beam: Beam::Steer, ..c.task.spec() };
        let mut action = vec![f64::NAN; spec.action_dim()];
        act(who, &spec, &c.task.params([1, 0]), &c.protocol, 0u32, clock, s, memory, &mut action);
        action
    }

    #[test]
    fn a_loud_sweep_names_the_nearest_beam() {
        for antennas in [5, 32] {
            let c = config(&[&LOUD[..], &[&format!("task.antennas_tx={antennas}")]].concat());
            let mut noise = Samples::new([3, 0], 7u32, 0);
            for i in 0..400 {
                let theta = 0.3 + 2.5 * f64::from(i) / 400.0;
                let p = c.task.params([3, 0]);
                let got = strongest(antennas, &p, c.protocol.pilot_samples, &mut noise, theta, 20.0);
                let off = |b: &usize| (beam_cosine(*b, antennas) - theta.cos()).abs();
                let nearest = (0..antennas).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap();
                assert!(
                    (got.cos() - beam_cosine(nearest, antennas)).abs() < 1e-12,
                    "{antennas}: θ = {theta}"
                );
            }
        }
    }

    #[test]
    fn a_sweep_sees_its_own_slot_and_is_kept_until_the_next() {
        let c = config(&[&LOUD[..], &["protocol.sweep_period_slots=3", "task.sigma_theta_deg=0"]].concat());
        let mut memory = [0.0; 3];
        let mut s = zero();
        let mut sent = Vec::new();
        for slot in 0..7u32 {
            // A quarter of a radian from slot to slot: v·Δt·sin θ/d is most of it.
            (s.v, s.theta) = ([100.0; KMAX], [0.6 + 0.25 * f64::from(slot); KMAX]);
            let next = predicted(&c.task.params([1, 0]), s.theta[0], s.d[0], s.v[0]);
            let action = acted(Protocol::BeamTraining, &c, slot, &s, &mut memory);
            assert!(action[3..].iter().all(|p| (p / (1e5 / 3.0) - 1.0).abs() < 1e-6), "equal power");
            if slot % 3 == 0 {
                let off = (action[0].cos() - next.cos()).abs();
                assert!(off <= 1.0 / 32.0 + 1e-9, "slot {slot}: {off} from the coming angle");
            }
            sent.push(action[0]);
        }
        assert!(sent[0] == sent[1] && sent[1] == sent[2] && sent[3] == sent[5]);
        assert!(sent[2] != sent[3] && sent[5] != sent[6]);
    }

    #[test]
    fn two_stages_steer_at_the_angle_of_the_motion() {
        let c = config(&[]);
        let mut s = zero();
        (s.obs_theta[0], s.obs_d[0], s.obs_v[0]) = (0.9, 12.0, 13.0);
        // Nothing divides by a distance below the floor.
        (s.obs_theta[1], s.obs_d[1], s.obs_v[1]) = (1.2, -3.0, 10.0);
        // The true state, which the protocol must not read.
        (s.theta, s.v) = ([2.0; KMAX], [50.0; KMAX]);
        let action = acted(Protocol::TwoStage, &c, 4, &s, &mut []);
        let by_hand = [0.9 + 13.0 * 0.02 * 0.9f64.sin() / 12.0, 1.2 + 10.0 * 0.02 * 1.2f64.sin()];
        for (got, want) in action.iter().zip(by_hand) {
            assert!((got - want).abs() < 1e-8, "{got} {want}");
        }
        assert!(action[3..].iter().all(|p| (p - 10.0 / 3.0).abs() < 1e-6));
        // With the truth as estimate and no noise of motion, this is the coming angle.
        let mut next = s;
        let p = V2xParams { sigma_theta_rad: 0.0, ..c.task.params([1, 0]) };
        motion(3, crate::tasks::v2x::physics::Kinematics::Paper, &p, &[0.0; 24], &mut next);
        assert!((predicted(&p, 2.0, 10.0, 50.0) - next.theta[0]).abs() < 1e-15);
    }

    #[test]
    fn a_line_is_continued_exactly() {
        for n in 2..=HISTORY_MAX {
            let past: Vec<f64> = (0..n).map(|j| 1.7 - 0.03 * j as f64).collect();
            assert!((extrapolated(&past) - 1.73).abs() < 1e-12, "{n} estimates");
        }
        assert_eq!(extrapolated(&[0.4]), 0.4);
        // Two estimates: the difference is added once more; of three, (4a + b − 2c)/3.
        assert!((extrapolated(&[0.5, 0.3f64]) - 0.7).abs() < 1e-15);
        assert!((extrapolated(&[0.9, 0.3, 0.6f64]) - (4.0 * 0.9 + 0.3 - 2.0 * 0.6) / 3.0).abs() < 1e-12);

        let c = config(&[&LOUD[..], &["protocol.history_slots=3"]].concat());
        let mut memory = [0.0; 3 * HISTORY_MAX];
        for slot in 0..6u32 {
            let mut s = zero();
            s.theta =
                [0.5 + 0.1 * f64::from(slot), 2.9 - 0.1 * f64::from(slot), 1.5, 0.0, 0.0, 0.0, 0.0, 0.0];
            let action = acted(Protocol::ChannelHistory, &c, slot, &s, &mut memory);
            let step = if slot == 0 { 0.0 } else { 0.1 };
            for (got, want) in action.iter().zip([s.theta[0] + step, s.theta[1] - step, 1.5]) {
                assert!((got - want).abs() < 1e-4, "slot {slot}: {got} {want}");
            }
        }
    }

    /// The phases between neighbours add up to that between the ends: noise of two antennas over N − 1 steps.
    #[test]
    fn an_uplink_pilot_has_the_noise_of_the_link() {
        let c = config(&[]);
        let (p, theta, d) = (c.task.params([5, 0]), 1.1f64, 12.0);
        let n = 4000;
        let mut squares = 0.0;
        for env in 0..n {
            let mut noise = Samples::new(p.key, env, 3);
            squares += (heard(32, &p, &c.protocol, &mut noise, theta, d).cos() - theta.cos()).powi(2);
        }
        // Per antenna: 0.2 W over a path of 1e-7·12^−2.55, 127 samples, 1e-11 W of noise.
        let snr = 10f64.powf(-0.7) * 1e-7 * 12f64.powf(-2.55) * 127.0 / 1e-11;
        let want = 1.0 / (31.0f64 * 31.0 * snr) / std::f64::consts::PI.powi(2);
        let ratio = squares / f64::from(n) / want;
        assert!((ratio - 1.0).abs() < 0.1, "{ratio} times the variance of the phase's ends, SNR {snr}");
    }

    /// A pilot over the beam that points at a vehicle, at an SNR at which the strongest is another one now and then.
    #[test]
    fn a_weak_sweep_errs_as_often_as_its_noise_says() {
        let c = config(&["task.p_max_dbm=-10"]);
        let p = c.task.params([6, 0]);
        let (own, d) = (beam_cosine(20, 32), 25.0f64);
        let n = 4000;
        let wrong = (0..n)
            .filter(|env| {
                let mut noise = Samples::new(p.key, *env, 0);
                let got = strongest(32, &p, 127, &mut noise, own.acos(), d);
                (got.cos() - own).abs() > 1e-9
            })
            .count();
        // The other 31 beams are orthogonal and hold noise alone: each power is exponential, and the own one is above
        // all of them with probability E[(1 − e^−x)^31], x of the non-central law with this SNR.
        let snr = 32.0 * 1e-7 * d.powf(-2.55) * 1e-4 * 127.0 / 1e-11;
        let mut right = 0.0;
        let (steps, half) = (800, 6.0f64);
        for i in 0..steps {
            for j in 0..steps {
                let at =
                    |q: usize| half * (2.0 * (f64::from(q as u32) + 0.5) / f64::from(steps as u32) - 1.0);
                let (a, b) = (at(i), at(j));
                let density = (-(a * a + b * b)).exp() / std::f64::consts::PI;
                let power = (snr.sqrt() + a).powi(2) + b * b;
                right += density
                    * (1.0 - (-power).exp()).powi(31)
                    * (2.0 * half / f64::from(steps as u32)).powi(2);
            }
        }
        let (got, want) = (wrong as f64 / f64::from(n), 1.0 - right);
        let error = (want * right / f64::from(n)).sqrt();
        assert!((0.1..0.9).contains(&want), "{want}");
        assert!(
            (got - want).abs() < 4.0 * error,
            "{got} of sweeps are wrong, {want} ± {error} by their noise"
        );
    }

    /// By hand: a power and a comparison for each beam; (14); the products of neighbours, an angle and a line.
    #[test]
    fn a_decision_is_counted_without_the_channel() {
        let of = |who: Protocol, sets: &[&str]| {
            let c = config(sets);
            let (spec, p) = (V2xSpec { beam: Beam::Steer, ..c.task.spec() }, c.task.params([1, 0]));
            counts(who, &spec, &p, &c.protocol)
        };
        let kinds = |c: &RuleCounts| {
            let o = &c.operations;
            [o.additions, o.multiplications, o.divisions, o.roots]
        };
        let sweep = of(Protocol::BeamTraining, &[]);
        assert_eq!(kinds(&sweep), [3 * 32 * 2, 3 * 32 * 2, 0, 0]);
        assert_eq!((sweep.inputs, sweep.memory, sweep.outputs), (3 * 32 * 2, 3, 6));
        let rare = of(Protocol::BeamTraining, &["protocol.sweep_period_slots=4"]);
        assert_eq!((kinds(&rare), rare.inputs), ([48, 48, 0, 0], 48));
        let small = of(Protocol::BeamTraining, &["task.antennas_tx=16"]);
        assert_eq!(kinds(&small)[0], 3 * 16 * 2);
        // v Δt sin θ over max(d, floor), and an addition.
        let two = of(Protocol::TwoStage, &[]);
        assert_eq!((kinds(&two)[2], two.inputs, two.memory), (3, 9, 0));
        let sin_cos = crate::num::real::counted::SIN_COS as u64;
        assert_eq!(two.operations.total(), 3 * (sin_cos + 5));
        let (past, more) =
            (of(Protocol::ChannelHistory, &[]), of(Protocol::ChannelHistory, &["protocol.history_slots=5"]));
        assert_eq!((past.inputs, past.memory, more.memory), (3 * 64, 6, 15));
        // A product and an addition for each more estimate of a vehicle.
        assert_eq!(more.operations.total() - past.operations.total(), 3 * 3 * 2);
        let small = of(Protocol::ChannelHistory, &["task.antennas_tx=16"]);
        assert_eq!(past.operations.total() - small.operations.total(), 3 * 16 * 8);
        assert!(past.operations.roots == 3 && past.operations.divisions >= 6);
        // An evaluation asks for it where all replicas have one setting.
        let (c, other) = (config(&[]), config(&["protocol.history_slots=5"]));
        let spec = V2xSpec { beam: Beam::Steer, ..c.task.spec() };
        let acts = |settings: Vec<ProtocolConfig>| {
            let params = vec![c.task.params([1, 0]); settings.len()];
            ProtocolActs { who: Protocol::ChannelHistory, env: V2xEnv { spec, params }, settings }.counts()
        };
        assert_eq!(acts(vec![c.protocol; 2]), Some(past));
        assert_eq!(acts(vec![c.protocol, other.protocol]), None);
    }

    /// Lanes, the rest that fills none, and other groups of environments decide the same, bit for bit.
    #[test]
    fn decisions_do_not_depend_on_how_environments_are_grouped() {
        let config = config(&["protocol.history_slots=3", "protocol.sweep_period_slots=2"]);
        for who in [Protocol::BeamTraining, Protocol::TwoStage, Protocol::ChannelHistory] {
            let env = V2xEnv {
                spec: V2xSpec { beam: Beam::Steer, ..config.task.spec() },
                params: vec![config.task.params([9, 0])],
            };
            let acts = ProtocolActs { who, env, settings: vec![config.protocol] };
            let (all, rows, own) = (21, 30, acts.memory());
            let state = |envs: usize, first: usize| -> Vec<f32> {
                let value = |row: usize, env: usize| match row / 3 {
                    0 | 3 => 0.3 + 0.02 * (first + env) as f32 + 0.4 * (row % 3) as f32,
                    1 | 4 => 8.0 + (first + env) as f32,
                    _ => 11.0 + 0.1 * (first + env) as f32,
                };
                (0..rows * envs).map(|i| value(i / envs, i % envs)).collect()
            };
            let run = |envs: usize, first: usize| {
                let (mut memory, mut action) = (vec![0f32; own * envs], vec![f32::NAN; 6 * envs]);
                let state = state(envs, first);
                for clock in 0..3 {
                    let at = At { replica: 0, key: [9, 1], first: first as u32, envs, clock };
                    acts.act(&Moment { at, state: &state, obs: &[] }, &mut memory, &mut action);
                }
                action
            };
            let whole = run(all, 0);
            assert!(whole.iter().all(|x| x.is_finite()));
            for from in [0, 7, 20] {
                assert_eq!(run(1, from), whole[6 * from..][..6], "{who:?}, environment {from}");
            }
        }
    }
}

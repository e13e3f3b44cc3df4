//! The state of an environment: its draw, its motion, what is seen of it, and its place in rows of many.

use super::spec::{Kinematics, Limits, PAST_ROWS, STATE_ROWS, V2xParams, V2xSpec};
use crate::num::philox::{Stream, draw};
use crate::num::real::{Real, c};
use crate::tasks::v2x::array::KMAX;

/// State of one environment (or one per lane).
#[derive(Clone, Copy)]
pub struct State<V> {
    pub theta: [V; KMAX],
    pub d: [V; KMAX],
    pub v: [V; KMAX],
    pub obs_theta: [V; KMAX],
    pub obs_d: [V; KMAX],
    pub obs_v: [V; KMAX],
    pub obs_sinr: [V; KMAX],
    /// Variances of the last echo: θ, d, v.
    pub var: [[V; KMAX]; 3],
    /// Over the slots of the episode: sums of the means over vehicles of the capped CRLB_θ and CRLB_d, and how many
    /// slots; 0 with [`Limits::Slot`].
    pub past: [V; PAST_ROWS],
}

/// Standard normals at (stream, env, clock): the first `n` of them.
#[inline(always)]
fn normals<V: Real>(key: [u32; 2], stream: Stream, env: V::Word, clock: u32, n: usize) -> [V; 3 * KMAX] {
    let mut z = [V::splat(0.0); 3 * KMAX];
    let mut block = 0;
    while 4 * block < n {
        let w = draw(key, stream, env, clock, block as u32);
        (z[4 * block], z[4 * block + 1]) = V::normal_pair(w[0], w[1]);
        (z[4 * block + 2], z[4 * block + 3]) = V::normal_pair(w[2], w[3]);
        block += 1;
    }
    z
}

/// The first state of an episode: positions as configured, speeds U(min, max), observation = truth, γ̂ = 0.
#[inline(always)]
pub fn reset<V: Real>(k: usize, p: &V2xParams, env: V::Word, clock: u32) -> State<V> {
    let zero = V::splat(0.0);
    let mut s = State {
        theta: [zero; KMAX],
        d: [zero; KMAX],
        v: [zero; KMAX],
        obs_theta: [zero; KMAX],
        obs_d: [zero; KMAX],
        obs_v: [zero; KMAX],
        obs_sinr: [zero; KMAX],
        var: [[zero; KMAX]; 3],
        past: [zero; PAST_ROWS],
    };
    let span = V::splat(f64::from(p.speed_max_m_s - p.speed_min_m_s));
    for b in 0..k.div_ceil(4) {
        let w = draw(p.key, Stream::Reset, env, clock, b as u32);
        for (j, word) in w.into_iter().enumerate().take(k - 4 * b) {
            s.v[4 * b + j] = V::splat(f64::from(p.speed_min_m_s)) + span * V::unit_from_word(word);
        }
    }
    for i in 0..k {
        s.theta[i] = V::splat(f64::from(p.start_theta_rad[i]));
        s.d[i] = V::splat(f64::from(p.start_d_m[i]));
    }
    s.obs_theta = s.theta;
    s.obs_d = s.d;
    s.obs_v = s.v;
    s
}

/// Standard normals of a slot: θ, d, v of vehicle 0, then of vehicle 1, …
pub type Noise<V> = [V; 3 * KMAX];

/// The process noise of a slot.
#[inline(always)]
pub fn motion_noise<V: Real>(k: usize, p: &V2xParams, env: V::Word, clock: u32) -> Noise<V> {
    normals::<V>(p.key, Stream::Motion, env, clock, 3 * k)
}

/// The measurement noise of a slot.
#[inline(always)]
pub fn echo_noise<V: Real>(k: usize, p: &V2xParams, env: V::Word, clock: u32) -> Noise<V> {
    normals::<V>(p.key, Stream::Echo, env, clock, 3 * k)
}

/// Truth one slot on, by (14) or on the road. Also what `genie` looks ahead with.
#[inline(always)]
pub fn motion<V: Real>(k: usize, kin: Kinematics, p: &V2xParams, z: &Noise<V>, s: &mut State<V>) {
    for i in 0..k {
        let (theta, d, v) = (s.theta[i], s.d[i], s.v[i]);
        let (sin, cos) = theta.sin_cos();
        let advance = v * c!(p.dt_s);
        match kin {
            Kinematics::Paper => {
                s.theta[i] = (theta + (advance * sin) / d) + c!(p.sigma_theta_rad) * z[3 * i];
                s.d[i] = ((d - advance * cos) + c!(p.sigma_d_m) * z[3 * i + 1]).max(c!(p.d_floor_m));
            }
            Kinematics::Cartesian => {
                let x = (advance - d * cos) + c!(p.sigma_d_m) * z[3 * i + 1];
                let y = c!(p.road_y_m);
                s.d[i] = (x * x + y * y).sqrt().max(c!(p.d_floor_m));
                s.theta[i] = y.atan2_upper(-x);
            }
        }
        s.v[i] = v + c!(p.sigma_v_m_s) * z[3 * i + 2];
    }
}

/// The observation of a state, 4K values written through `put(index, value)`.
#[inline(always)]
pub fn observe<V: Real>(k: usize, p: &V2xParams, s: &State<V>, mut put: impl FnMut(usize, V)) {
    for i in 0..k {
        let seen = [s.obs_theta[i], s.obs_d[i], s.obs_v[i], (V::splat(1.0) + s.obs_sinr[i]).ln()];
        for (n, x) in seen.into_iter().enumerate() {
            put(n * k + i, (x - c!(p.obs_shift[n])) * c!(p.obs_scale[n]));
        }
    }
}

/// Reads the state of the lanes starting at `env` from rows `[10K, B]`, without [`State::past`].
#[inline(always)]
pub fn load_state<V: Real>(k: usize, rows: &[V::Elem], stride: usize, env: usize) -> State<V> {
    let zero = V::splat(0.0);
    let mut all = [[zero; KMAX]; STATE_ROWS];
    for (q, group) in all.iter_mut().enumerate() {
        for (i, x) in group.iter_mut().enumerate().take(k) {
            *x = V::load(&rows[(q * k + i) * stride + env..]);
        }
    }
    let [theta, d, v, obs_theta, obs_d, obs_v, obs_sinr, v0, v1, v2] = all;
    State { theta, d, v, obs_theta, obs_d, obs_v, obs_sinr, var: [v0, v1, v2], past: [zero; PAST_ROWS] }
}

/// Reads [`State::past`], where there are rows of it, for the lanes starting at `env`.
#[inline(always)]
pub(super) fn load_past<V: Real>(
    spec: &V2xSpec,
    k: usize,
    rows: &[V::Elem],
    stride: usize,
    env: usize,
) -> [V; PAST_ROWS] {
    let mut past = [V::splat(0.0); PAST_ROWS];
    if spec.choices.limits == Limits::Episode {
        for (q, x) in past.iter_mut().enumerate() {
            *x = V::load(&rows[(STATE_ROWS * k + q) * stride + env..]);
        }
    }
    past
}

/// Writes what [`load_state`] reads, and the past.
#[inline(always)]
pub fn store_state<V: Real>(
    spec: &V2xSpec,
    k: usize,
    s: &State<V>,
    rows: &mut [V::Elem],
    stride: usize,
    env: usize,
) {
    let all = [
        &s.theta,
        &s.d,
        &s.v,
        &s.obs_theta,
        &s.obs_d,
        &s.obs_v,
        &s.obs_sinr,
        &s.var[0],
        &s.var[1],
        &s.var[2],
    ];
    for (q, group) in all.into_iter().enumerate() {
        for (i, x) in group.iter().enumerate().take(k) {
            x.store(&mut rows[(q * k + i) * stride + env..]);
        }
    }
    if spec.choices.limits == Limits::Episode {
        for (q, x) in s.past.iter().enumerate() {
            x.store(&mut rows[(STATE_ROWS * k + q) * stride + env..]);
        }
    }
}

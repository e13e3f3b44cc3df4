//! The state of an environment: its draw, what is seen of it, and its place in rows of many.

use super::spec::{
    DISTANCE_UNIT_M, ErrorGrowth, KMAX, MOST_GROWTH, MisacParams, MisacSpec, SCATTERERS, STATE_ROWS,
    Uncertainty,
};
use crate::num::philox::draw;
use crate::num::real::{Real, c};

/// What the numbers of this task are drawn for.
pub mod stream {
    use crate::num::philox::Stream;

    /// Initial state of an episode.
    pub const RESET: Stream = Stream::task(0);
    /// Noise of the range estimate, and the radar's own noise of the angle.
    pub const RANGE: Stream = Stream::task(1);
    /// Tracking error.
    pub const TRACK: Stream = Stream::task(2);
    /// Phases of the propagation paths.
    pub const PHASE: Stream = Stream::task(3);
    /// Channel error Δh.
    pub const CSI: Stream = Stream::task(4);
    /// Whether a beam is lost and found again by a sweep.
    pub const RECOVERY: Stream = Stream::task(5);
}

/// State of one environment (or one per lane).
#[derive(Clone, Copy)]
pub struct State<V> {
    pub x: [V; KMAX],
    pub v: [V; KMAX],
    pub age: [V; KMAX],
    pub e: [V; KMAX],
    /// Cosines of the scatterers' angles.
    pub scatter: [[V; KMAX]; SCATTERERS],
    /// Mean angular rate of the episode over its speed, rad/m; what `kinematic` uncertainty is relative to.
    pub turn: [V; KMAX],
}

/// cos θ, sin θ and d of a vehicle at x on the road; θ grows as it approaches from x < 0.
#[inline(always)]
pub fn geometry<V: Real>(p: &MisacParams, x: V) -> (V, V, V) {
    let y = c!(p.road_y_m);
    let d = (x * x + y * y).sqrt();
    (-x / d, y / d, d)
}

/// The first state of an episode: x and v uniform, ages 0, e as after a camera frame, scatterers uniform in angle.
#[inline(always)]
pub fn reset<V: Real>(spec: &MisacSpec, p: &MisacParams, env: V::Word, clock: u32) -> State<V> {
    let zero = V::splat(0.0);
    let mut s = State {
        x: [zero; KMAX],
        v: [zero; KMAX],
        age: [zero; KMAX],
        e: [zero; KMAX],
        scatter: [[zero; KMAX]; SCATTERERS],
        turn: [zero; KMAX],
    };
    let time = V::splat(f64::from(p.dt_s) * spec.slots as f64);
    for i in 0..spec.vehicles {
        let w = draw(p.key, stream::RESET, env, clock, 2 * i as u32);
        s.x[i] = c!(p.x_min_m) + c!(p.x_max_m - p.x_min_m) * V::unit_from_word(w[0]);
        s.v[i] = c!(p.speed_min_m_s) + c!(p.speed_max_m_s - p.speed_min_m_s) * V::unit_from_word(w[1]);
        // cos of an angle in (0, π)
        s.scatter[0][i] = V::sin_cos_pi_multiple(V::unit_from_word(w[2]), 1).1;
        s.scatter[1][i] = V::sin_cos_pi_multiple(V::unit_from_word(w[3]), 1).1;
        let w = draw(p.key, stream::RESET, env, clock, 2 * i as u32 + 1);
        s.e[i] = c!(p.sigma_vis_rad) * V::normal_pair(w[0], w[1]).0;
        // θ at both ends of the episode; the rate is v·y/d², its mean over time (θ_T − θ_0)/T.
        let way = s.v[i] * time;
        let y = c!(p.road_y_m);
        let turned = y.atan2_upper(-(s.x[i] + way)) - y.atan2_upper(-s.x[i]);
        s.turn[i] = turned / way;
    }
    s
}

/// β_k of this slot.
#[inline(always)]
pub fn beta<V: Real>(spec: &MisacSpec, p: &MisacParams, s: &State<V>, i: usize) -> V {
    match spec.uncertainty {
        Uncertainty::Constant => c!(p.beta),
        Uncertainty::Kinematic => {
            let (_, sin, d) = geometry(p, s.x[i]);
            c!(p.beta) * ((sin / d) / s.turn[i])
        }
    }
}

/// The observation of a state at `clock`, 3K values written through `put(index, value)`: cos θ̂, d̂/80, A/A_max.
#[inline(always)]
pub fn observe<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    env: V::Word,
    clock: u32,
    mut put: impl FnMut(usize, V),
) {
    let k = spec.vehicles;
    let mut noise = V::splat(0.0);
    for i in 0..k {
        if i.is_multiple_of(2) {
            let w = draw(p.key, stream::RANGE, env, clock, i as u32 / 2);
            let z = V::normal_pair(w[0], w[1]);
            put(k + i, ranged(p, s.x[i], z.0));
            noise = z.1;
        } else {
            put(k + i, ranged(p, s.x[i], noise));
        }
        put(i, estimated_cos(p, s.x[i], seen_error(spec, p, s, i, env, clock)));
        put(2 * k + i, s.age[i] * V::splat(1.0 / f64::from(p.age_max)));
    }
}

#[inline(always)]
fn ranged<V: Real>(p: &MisacParams, x: V, z: V) -> V {
    let d = geometry(p, x).2;
    (d * (V::splat(1.0) + c!(p.distance_noise) * z)) * V::splat(1.0 / DISTANCE_UNIT_M)
}

/// e of vehicle `i` as θ̂ of the slot `clock` has it: the tracking error, and the radar's own noise where the estimate
/// is no frame's.
#[inline(always)]
pub fn seen_error<V: Real>(
    spec: &MisacSpec,
    p: &MisacParams,
    s: &State<V>,
    i: usize,
    env: V::Word,
    clock: u32,
) -> V {
    if !spec.choices.radar_noise {
        return s.e[i];
    }
    let w = draw(p.key, stream::RANGE, env, clock, i as u32 / 2);
    let z = V::normal_pair(w[2], w[3]);
    let noise = c!(p.radar_noise_rad) * if i.is_multiple_of(2) { z.0 } else { z.1 };
    s.e[i] + V::select(c!(p.t_proc).lt(s.age[i]), noise, V::splat(0.0))
}

/// e after a slot without a frame; `rate` is β_k, `z` the slot's normal number. What grows with the age counts it as
/// (7) does.
#[inline(always)]
pub(super) fn grown_error<V: Real>(spec: &MisacSpec, p: &MisacParams, [e, age]: [V; 2], rate: V, z: V) -> V {
    match spec.choices.growth {
        ErrorGrowth::RandomWalk => e + (c!(p.beam_width_rad) * rate.sqrt()) * z,
        ErrorGrowth::Exponential => {
            // Any error is at π after so much growth.
            let mut exponent = (c!(p.error_rate) * rate).min(V::splat(MOST_GROWTH));
            if spec.choices.age_saturates {
                exponent = V::select(age.lt(c!(p.age_max)), exponent, V::splat(0.0));
            }
            let most = c!(std::f32::consts::PI);
            (e * exponent.exp()).min(most).max(-most)
        }
    }
}

/// cos θ̂ = cos(θ + e).
#[inline(always)]
pub fn estimated_cos<V: Real>(p: &MisacParams, x: V, e: V) -> V {
    let (cos, sin, _) = geometry(p, x);
    let (se, ce) = e.sin_cos();
    cos * ce - sin * se
}

/// Reads the state of the lanes starting at `env` from rows `[7K, B]`.
#[inline(always)]
pub fn load_state<V: Real>(k: usize, rows: &[V::Elem], stride: usize, env: usize) -> State<V> {
    let zero = V::splat(0.0);
    let mut all = [[zero; KMAX]; STATE_ROWS];
    for (q, group) in all.iter_mut().enumerate() {
        for (i, x) in group.iter_mut().enumerate().take(k) {
            *x = V::load(&rows[(q * k + i) * stride + env..]);
        }
    }
    let [x, v, age, e, s0, s1, turn] = all;
    State { x, v, age, e, scatter: [s0, s1], turn }
}

/// Writes what [`load_state`] reads.
#[inline(always)]
pub fn store_state<V: Real>(k: usize, s: &State<V>, rows: &mut [V::Elem], stride: usize, env: usize) {
    let all = [&s.x, &s.v, &s.age, &s.e, &s.scatter[0], &s.scatter[1], &s.turn];
    for (q, group) in all.into_iter().enumerate() {
        for (i, x) in group.iter().enumerate().take(k) {
            x.store(&mut rows[(q * k + i) * stride + env..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::physics::step;
    use crate::tasks::misac::physics::tests::{SPEC, params};

    #[test]
    fn kinematic_uncertainty_has_mean_one_over_the_episode() {
        let spec = MisacSpec { uncertainty: Uncertainty::Kinematic, ..SPEC };
        let p = params(0.107);
        let mut s = reset::<f64>(&spec, &p, 9, 0);
        let mut sum = [0.0; 4];
        for n in 0..200 {
            for (i, sum) in sum.iter_mut().enumerate() {
                *sum += beta(&spec, &p, &s, i) / f64::from(p.beta);
            }
            step(&spec, &p, 9, n, &[0.0; 4], &mut s);
        }
        for (i, sum) in sum.iter().enumerate() {
            // A left Riemann sum of the rate.
            assert!((sum / 200.0 - 1.0).abs() < 0.01, "vehicle {i}: {}", sum / 200.0);
        }
    }
}

//! Invariants of the physics over random configurations, states and actions (proptest), in double precision: what must
//! hold whatever the numbers are.

use isacbench::config::Layered;
use isacbench::tasks::misac::config::MisacConfig;
use isacbench::tasks::misac::physics::{self as misac, MisacParams, MisacSpec, Phase, Uncertainty};
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::physics::PAST_ROWS;
use isacbench::tasks::v2x::physics::{
    self as v2x, Beam, Choices, Kinematics, SlotOut, State, V2xParams, V2xSpec, pointed, steering_vector,
};
use num_complex::Complex64;
use proptest::prelude::*;

/// Most vehicles, as both tasks have it.
const KMAX: usize = v2x::KMAX;

fn v2x_params() -> V2xParams {
    V2xConfig::load(None, &[]).unwrap().task.params([0, 0])
}

fn misac_params() -> MisacParams {
    MisacConfig::load(None, &[]).unwrap().task.params([3, 0])
}

/// A slot of task v2x: where vehicles are, and what is done.
#[derive(Clone, Debug)]
struct Scene {
    vehicles: usize,
    antennas: usize,
    theta: Vec<f64>,
    distance: Vec<f64>,
    /// Angles φ_k (rad), then shares of the power.
    action: Vec<f64>,
}

fn scene(vehicles: impl Strategy<Value = usize>) -> impl Strategy<Value = Scene> {
    vehicles.prop_flat_map(|k| {
        let list = |range: std::ops::Range<f64>| prop::collection::vec(range, k);
        (2usize..64, list(0.05..3.09), list(2.0..80.0), list(0.05..3.09), list(0.01..1.0)).prop_map(
            move |(antennas, theta, distance, phi, share)| Scene {
                vehicles: k,
                antennas,
                theta,
                distance,
                action: [phi, share].concat(),
            },
        )
    })
}

impl Scene {
    /// The action at a power of `p_max_w` W in all.
    fn action(&self, p_max_w: f64) -> Vec<f64> {
        let k = self.vehicles;
        let total: f64 = self.action[k..].iter().sum();
        let power = self.action[k..].iter().map(|x| p_max_w * x / total);
        self.action[..k].iter().copied().chain(power).collect()
    }

    /// What the slot gives with these parameters, with vehicles that stand still.
    fn step(&self, p: &V2xParams) -> (SlotOut<f64>, State<f64>) {
        let k = self.vehicles;
        let spec = V2xSpec {
            vehicles: k,
            antennas: self.antennas,
            slots: 10,
            beam: Beam::Steer,
            kinematics: Kinematics::Paper,
            choices: Choices::DEFAULT,
        };
        let zero = [0.0; KMAX];
        let mut s = State {
            theta: zero,
            d: zero,
            v: zero,
            obs_theta: zero,
            obs_d: zero,
            obs_v: zero,
            obs_sinr: zero,
            var: [zero; 3],
            past: [0.0; PAST_ROWS],
        };
        s.theta[..k].copy_from_slice(&self.theta);
        s.d[..k].copy_from_slice(&self.distance);
        let still = [0.0; 3 * KMAX];
        let act = self.action(f64::from(p.p_max_w));
        let out = v2x::step::<f64>(&spec, k, p, &still, &still, &act, true, &mut s);
        (out, s)
    }
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs())
}

/// Errors of single vehicles and their means belong together.
#[test]
fn errors_of_a_slot_are_those_of_its_vehicles() {
    let p = v2x_params();
    let scene = Scene {
        vehicles: 3,
        antennas: 32,
        theta: vec![1.0, 1.5, 2.0],
        distance: vec![10.0, 20.0, 30.0],
        action: vec![1.25, 1.0, 2.5, 1.0, 2.0, 3.0],
    };
    let (out, _) = scene.step(&p);
    for (error, wanted) in out.error[2].iter().zip([0.25, 0.5, 0.5]) {
        assert!(close(*error, wanted, 1e-12), "{error} for {wanted}");
    }
    assert!(close(out.pointing_se, (0.0625 + 0.25 + 0.25) / 3.0, 1e-12), "{}", out.pointing_se);
}

/// A steering vector is steered at its own angle, whatever its phase and size; so is each parameterisation at the angle
/// that it is made from.
#[test]
fn beams_point_where_they_are_steered() {
    let (p, k, n) = (v2x_params(), 3, 32);
    let phi = [0.2, 1.9, 3.0];
    let mut last = reset_state(&phi);
    let spec = |beam| V2xSpec {
        vehicles: k,
        antennas: n,
        slots: 10,
        beam,
        kinematics: Kinematics::Paper,
        choices: Choices::DEFAULT,
    };
    let found = |beam, act: &[f64], last: &State<f64>| pointed::<f64>(&spec(beam), k, &p, last, act);
    let check = |beam, found: [f64; KMAX], wanted: [f64; 3]| {
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-7, "{beam:?}: {found} for {wanted}");
        }
    };
    let raw = |part: fn(Complex64) -> f64| {
        let beams = phi.iter().enumerate().flat_map(move |(i, &phi)| {
            let turn = Complex64::from_polar(1.0 + i as f64, 0.7 * i as f64);
            steering_vector(phi, n).into_iter().map(move |f| part(turn * f))
        });
        beams.collect::<Vec<f64>>()
    };
    let matrix = [raw(|f| f.re), raw(|f| f.im), vec![0.0; k]].concat();
    check(Beam::Matrix, found(Beam::Matrix, &matrix, &last), phi);
    let zeros = vec![0.0; matrix.len()];
    check(Beam::OnSteering, found(Beam::OnSteering, &zeros, &last), phi);
    check(Beam::Matrix, found(Beam::Matrix, &zeros, &last), [std::f64::consts::FRAC_PI_2; 3]);
    // Vehicles this far apart are heard by no other beam: zero-forcing steers.
    let forced = found(Beam::OnZf, &zeros, &last);
    assert!(forced.iter().zip(phi).all(|(found, wanted)| (found - wanted).abs() < 0.05), "{forced:?}");

    last.obs_theta[..k].copy_from_slice(&[0.3, 1.8, 2.9]);
    let delta = f64::from(p.tracking_delta_rad);
    let turns = [0.5f64, -0.5, 0.25, 0.0, 0.0, 0.0];
    let wanted = [0, 1, 2].map(|i| last.obs_theta[i] + delta * turns[i].tanh());
    for beam in [Beam::Tracking, Beam::Zf] {
        check(beam, found(beam, &turns, &last), wanted);
    }
    let logits = phi.map(|phi| (phi / (std::f64::consts::PI - phi)).ln());
    check(Beam::Angles, found(Beam::Angles, &logits, &last), phi);
    check(Beam::Steer, found(Beam::Steer, &phi, &last), phi);
    check(Beam::Span, found(Beam::Span, &phi, &last), phi);
}

/// Vehicles that were last seen at these angles, 20 m away.
fn reset_state(theta: &[f64]) -> State<f64> {
    let (zero, mut seen) = ([0.0; KMAX], [0.0; KMAX]);
    seen[..theta.len()].copy_from_slice(theta);
    State {
        theta: zero,
        d: [20.0; KMAX],
        v: zero,
        obs_theta: seen,
        obs_d: [20.0; KMAX],
        obs_v: zero,
        obs_sinr: zero,
        var: [zero; 3],
        past: [0.0; PAST_ROWS],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Rates are not negative, their sum is the sum-rate and below the bound, and Jain's index lies in [1/K, 1].
    #[test]
    fn rates_and_fairness(scene in scene(1usize..=KMAX), p_max_dbm in -10.0..50.0f64) {
        let p = V2xParams { p_max_w: 10f64.powf((p_max_dbm - 30.0) / 10.0) as f32, ..v2x_params() };
        let (out, s) = scene.step(&p);
        let rates = &out.rate[..scene.vehicles];
        prop_assert!(rates.iter().chain(&s.obs_sinr[..scene.vehicles]).all(|r| r.is_finite() && *r >= 0.0), "{rates:?}");
        prop_assert!(close(rates.iter().sum(), out.sum_rate, 1e-12));
        prop_assert!(out.sum_rate <= out.upper_bound * (1.0 + 1e-9), "{} > {}", out.sum_rate, out.upper_bound);
        prop_assert!(out.angle_crlb > 0.0 && out.distance_crlb > 0.0);
        // Below this the index is held together by its floor.
        if out.sum_rate > 1e-6 {
            let least = 1.0 / scene.vehicles as f64;
            prop_assert!((least - 1e-9..=1.0 + 1e-9).contains(&out.jain), "{} of {rates:?}", out.jain);
        }
    }

    /// Powers and noises that grow together change no SINR, neither of communication nor of the echo.
    #[test]
    fn sinr_is_a_ratio(scene in scene(2usize..=KMAX), exponent in -8i32..9) {
        // A power of two, so that the parameters' single precision rounds nothing.
        let c = 2f32.powi(exponent);
        let p = v2x_params();
        let scaled = V2xParams { p_max_w: p.p_max_w * c, noise_comm_w: p.noise_comm_w * c, noise_radar_w: p.noise_radar_w * c, ..p };
        let ((a, sa), (b, sb)) = (scene.step(&p), scene.step(&scaled));
        for j in 0..scene.vehicles {
            prop_assert!(close(sa.obs_sinr[j], sb.obs_sinr[j], 1e-9));
            prop_assert!(close(a.rate[j], b.rate[j], 1e-9));
        }
        prop_assert!(close(a.distance_crlb, b.distance_crlb, 1e-9));
    }

    /// Alone, a vehicle's SINR is proportional to power over noise, and falls with the distance by the path-loss
    /// exponent.
    #[test]
    fn sinr_of_a_single_vehicle(scene in scene(Just(1usize)), exponent in -8i32..9, farther in 1.0..10.0f64) {
        let p = v2x_params();
        let c = 2f32.powi(exponent);
        let sinr = |s: &Scene, p: &V2xParams| s.step(p).1.obs_sinr[0];
        let base = sinr(&scene, &p);
        prop_assume!(base > 1e-30);
        let stronger = sinr(&scene, &V2xParams { p_max_w: p.p_max_w * c, ..p });
        prop_assert!(close(stronger, base * f64::from(c), 1e-9));
        let noisier = sinr(&scene, &V2xParams { noise_comm_w: p.noise_comm_w * c, ..p });
        prop_assert!(close(noisier, base / f64::from(c), 1e-9));
        let mut far = scene.clone();
        far.distance[0] *= farther;
        let loss = farther.powf(-f64::from(p.path_loss_exponent));
        prop_assert!(close(sinr(&far, &p), base * loss, 1e-9));
    }

    /// CRLB_θ (22) and CRLB_d (23) are the inverse curvature of the likelihood of the matched filter's output, which is
    /// made here antenna by antenna.
    #[test]
    fn crlb_is_the_curvature_of_the_likelihood(scene in scene(Just(1usize)), off in -0.4..0.4f64) {
        let task = V2xConfig::load(None, &[]).unwrap().task;
        let rx = task.antennas_rx as f64;
        let n = scene.antennas;
        // The gains of an array of this size, as the configuration makes them.
        let mut own = task.clone();
        own.antennas_tx = n;
        let p = V2xParams { cap_theta_rad: 1e15, cap_d_m: 1e15, ..own.params([0, 0]) };
        let mut scene = scene;
        // Within a lobe or two, so that the slope is not lost in rounding.
        scene.action[0] = (scene.theta[0] + off / n as f64).clamp(0.05, 3.09);
        let (out, _) = scene.step(&p);

        let (theta, phi, d) = (scene.theta[0], scene.action[0], scene.distance[0]);
        let beta = task.kappa[0].hypot(task.kappa[1]) / (2.0 * d);
        let sigma_y2 = task.xi * 10f64.powf((task.noise_radar_dbm - 30.0) / 10.0);
        let amplitude = task.xi * (n as f64 * rx).sqrt() * beta * f64::from(p.p_max_w).sqrt();
        let beam = steering_vector(phi, n);
        let output = |theta: f64| -> Complex64 {
            let a = steering_vector(theta, n);
            a.iter().zip(&beam).map(|(a, f)| a.conj() * f).sum::<Complex64>() * amplitude
        };
        // −ln of the likelihood of the output at θ, had it been made at θ': |y − y'|²/(2σ²) per component.
        let misfit = |theta: f64, other: f64| (output(theta) - output(other)).norm_sqr() / (2.0 * sigma_y2);
        let h = 1e-5 / n as f64;
        let curvature = (misfit(theta, theta + h) + misfit(theta, theta - h)) / (h * h);
        prop_assert!(close(out.angle_crlb, 1.0 / curvature, 1e-3), "{} and {}", out.angle_crlb, 1.0 / curvature);

        // A delay measured with variance α_τ²/SINR: its likelihood in d, through τ = 2d/c.
        let gain = output(theta).norm_sqr() / (task.xi * task.xi);
        let sinr = gain / 10f64.powf((task.noise_radar_dbm - 30.0) / 10.0);
        prop_assume!(sinr > 1e-12);
        let tau = |d: f64| 2.0 * d / task.light_speed_m_s;
        let miss = |other: f64| (tau(d) - tau(other)).powi(2) * sinr / (2.0 * task.alpha_tau_s.powi(2));
        let step = 1e-3 * d;
        let curvature = (miss(d + step) + miss(d - step)) / (step * step);
        prop_assert!(close(out.distance_crlb, 1.0 / curvature, 1e-3), "{} and {}", out.distance_crlb, 1.0 / curvature);
    }

    /// Ages follow (6), energies (3) to (5), and the reward (11).
    #[test]
    fn ages_and_energies(
        k in 1usize..=KMAX,
        cameras in prop::collection::vec(0u8..=255, 40),
        t_proc in 0u8..4,
        age_max in 4u8..20,
        env in 0u32..1000,
    ) {
        let p = MisacParams { t_proc: f32::from(t_proc), age_max: f32::from(age_max), ..misac_params() };
        let (uncertainty, choices) = (Uncertainty::Constant, misac::Choices::DEFAULT);
        let spec = MisacSpec { vehicles: k, antennas: 8, slots: 40, uncertainty, choices };
        let mut s = misac::reset::<f64>(&spec, &p, env, 0);
        let mut ages = vec![0u32; k];
        for (clock, bits) in cameras.iter().enumerate() {
            let pi: Vec<f64> = (0..k).map(|i| f64::from(bits >> i & 1)).collect();
            let out = misac::step::<f64>(&spec, &p, env, clock as u32, &pi, &mut s);
            let misaligned: Vec<f64> = ages.iter().map(|a| 1.0 - (-f64::from(p.beta) * f64::from(*a)).exp()).collect();
            let (sum, frames) = (misaligned.iter().sum::<f64>(), pi.iter().sum::<f64>());
            let energy = f64::from(p.e_vis_j) * frames + f64::from(p.e_recovery_j) * sum;
            let excess = (sum / k as f64 - f64::from(p.gamma_misa)).max(0.0);
            prop_assert!((out.energy - energy).abs() < 1e-9 && out.energy >= 0.0);
            prop_assert!((out.reward + energy + f64::from(p.lambda_j) * excess).abs() < 1e-9);
            prop_assert!((0.0..1.0).contains(&out.l_bmp));
            for (i, age) in ages.iter_mut().enumerate() {
                *age = if pi[i] > 0.0 { u32::from(t_proc) } else { *age + 1 }.min(u32::from(age_max));
                prop_assert_eq!(s.age[i], f64::from(*age));
            }
        }
    }

    /// Beams have the modulus of (9b) and the power of (9c) whatever the phases, and reach at most what phases matched
    /// to the channel reach.
    #[test]
    fn modulus_power_and_gain(
        k in 1usize..=4,
        antennas in 2usize..=64,
        phases in prop::collection::vec(-50.0..50.0f64, 4 * 64),
        direct in any::<bool>(),
        env in 0u32..1000,
        clock in 0u32..1000,
    ) {
        let p = misac_params();
        let (uncertainty, choices) = (Uncertainty::Constant, misac::Choices::DEFAULT);
        let spec = MisacSpec { vehicles: k, antennas, slots: 40, uncertainty, choices };
        let s = misac::reset::<f64>(&spec, &p, env, 0);
        let meaning = if direct { Phase::Direct } else { Phase::Residual };
        for i in 0..k {
            let g = misac::gains::<f64>(&spec, &p, &s, i, env, clock, meaning, |n| phases[n]);
            prop_assert!(g.modulus_error < 1e-12, "{}", g.modulus_error);
            prop_assert!(close(g.power, f64::from(p.beam_power_w), 1e-12));
            prop_assert!(g.gain >= 0.0 && g.sinr >= 0.0 && g.rate >= 0.0);
            for reached in [g.gain, g.estimate, g.truth] {
                prop_assert!(reached <= g.matched * (1.0 + 1e-9), "{reached} > {}", g.matched);
            }
        }
    }
}

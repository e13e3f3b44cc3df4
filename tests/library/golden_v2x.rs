//! Zero-forcing and water-filling of task v2x against an independent numpy implementation of the printed equations
//! (tests/reference/v2x_reference.py). The slots themselves are compared by `isacbench::golden`.

use isacbench::config::Layered;
use isacbench::tasks::v2x::config::V2xConfig;
use isacbench::tasks::v2x::physics::PAST_ROWS;
use isacbench::tasks::v2x::physics::{
    Beam, KMAX, Kinematics, Noise, State, V2xParams, V2xSpec, step, water_fill,
};
use safetensors::SafeTensors;

struct Vectors(Vec<u8>);
impl Vectors {
    fn get(&self, name: &str) -> Vec<f64> {
        let st = SafeTensors::deserialize(&self.0).unwrap();
        let t = st.tensor(name).unwrap_or_else(|_| panic!("no tensor {name}"));
        match t.dtype() {
            safetensors::Dtype::F32 => {
                t.data().chunks(4).map(|c| f64::from(f32::from_le_bytes(c.try_into().unwrap()))).collect()
            }
            safetensors::Dtype::F64 => {
                t.data().chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect()
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

const CASES: usize = 512;

/// |got − want| ≤ abs + rel·|want|
fn close(what: &str, case: usize, got: f64, want: f64, abs: f64, rel: f64) {
    let err = (got - want).abs();
    assert!(err <= abs + rel * want.abs(), "{what}, case {case}: got {got:e}, numpy {want:e}");
}

fn vectors() -> Vectors {
    vectors_of("/tests/golden/v2x_steps.safetensors")
}

fn vectors_of(path: &str) -> Vectors {
    Vectors(std::fs::read(format!("{}{path}", env!("CARGO_MANIFEST_DIR"))).unwrap())
}

/// Gradients of slots against automatic differentiation of sums over antennas (tests/reference/v2x_gradient_jax.py).
#[test]
fn slot_gradients_equal_jax() {
    use isacbench::tasks::v2x::gradient::{Quantity, gradient, state_of};
    let vectors = vectors_of("/tests/reference/v2x_gradient.safetensors");
    let config = V2xConfig::load(None, &[]).unwrap();
    let (scenes, p_max) = (vectors.get("scene"), vectors.get("p_max_w"));
    for (name, beam) in [
        ("angles", Beam::Angles),
        ("tracking", Beam::Tracking),
        ("zf", Beam::Zf),
        ("matrix", Beam::Matrix),
        ("on_steering", Beam::OnSteering),
        ("on_zf", Beam::OnZf),
    ] {
        let spec = V2xSpec { beam, ..config.task.spec() };
        let (a, actions) = (spec.action_dim(), vectors.get(&format!("{name}.action")));
        for (quantity, of) in [
            ("rate", Quantity::Rate),
            ("reward_smooth", Quantity::RewardSmooth),
            ("angle_crlb", Quantity::AngleCrlb),
            ("distance_crlb", Quantity::DistanceCrlb),
        ] {
            let values = vectors.get(&format!("{name}.{quantity}.value"));
            let gradients = vectors.get(&format!("{name}.{quantity}.gradient"));
            assert_eq!((values.len() * a, values.len()), (gradients.len(), p_max.len()));
            let mut worst = 0.0f64;
            for (c, value) in values.iter().enumerate() {
                let params = V2xParams { p_max_w: p_max[c] as f32, ..config.task.params([0, 0]) };
                let (scene, mut got) = (state_of(3, &scenes[c * 12..][..12]), vec![f64::NAN; a]);
                let of_slot = gradient(&spec, 3, &params, of, 0.5, &scene, &actions[c * a..][..a], &mut got);
                // Parameters are f32.
                close(&format!("{name} {quantity}"), c, of_slot, *value, 1e-18, 3e-6);
                let want = &gradients[c * a..][..a];
                let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                for (got, want) in got.iter().zip(want) {
                    worst = worst.max((got - want).abs() / largest);
                    close(&format!("d {name} {quantity}"), c, *got, *want, 5e-6 * largest, 0.0);
                }
            }
            println!("{name} {quantity}: gradients differ by {worst:.1e} of the largest");
        }
    }
}

#[test]
fn zero_forcing_equals_numpy() {
    use isacbench::tasks::v2x::reference::{Reference, act};
    let vectors = vectors();
    let config = V2xConfig::load(None, &[]).unwrap();
    let spec = V2xSpec { beam: Beam::Span, ..config.task.spec() };
    // The agent looks ahead by the counter-based draws; noise-free motion makes its look-ahead that of a case without
    // noise.
    let (theta, d, v, p_max) =
        (vectors.get("theta"), vectors.get("d"), vectors.get("v"), vectors.get("p_max_w"));
    for c in 0..CASES {
        let mut params = V2xParams { p_max_w: p_max[c] as f32, ..config.task.params([1, 2]) };
        (params.sigma_theta_rad, params.sigma_d_m, params.sigma_v_m_s) = (0.0, 0.0, 0.0);
        let zero = [0f64; KMAX];
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
        for k in 0..3 {
            (s.theta[k], s.d[k], s.v[k]) = (theta[c * 3 + k], d[c * 3 + k], v[c * 3 + k]);
        }
        let mut action = vec![0.0; spec.action_dim()];
        act(Reference::GenieZf, &spec, 3, &params, 0u32, 0, &s, &mut [], &mut action);
        let quiet: Noise<f64> = [0.0; 24];
        let out = step(&spec, 3, &params, &quiet, &quiet, &action, true, &mut s);
        let total: f64 = action[12..].iter().sum();
        close("zf power", c, total, f64::from(params.p_max_w), 0.0, 1e-9);
        // Zero-forcing leaves no interference: each SINR is its own SNR, and the bound is not passed.
        for k in 0..3 {
            let own = action[12 + k];
            if own > 0.0 {
                let snr = s.obs_sinr[k];
                let column = [action[3 + k], action[6 + k], action[9 + k]];
                assert!(column.iter().all(|x| x.is_finite()), "case {c}");
                assert!(snr > 0.0, "case {c}");
            }
        }
        assert!(out.sum_rate <= out.upper_bound * (1.0 + 1e-9), "case {c}");
    }
    // With the noises of the file: powers and rates of the numpy agent, from the post-motion state that the file holds.
    let (zf_p, zf_rate) = (vectors.get("zf.p"), vectors.get("zf.rate"));
    let (n_dyn, n_meas) = (vectors.get("n_dyn"), vectors.get("n_meas"));
    for c in 0..CASES {
        let params = V2xParams { p_max_w: p_max[c] as f32, ..config.task.params([1, 2]) };
        let mut still = params;
        (still.sigma_theta_rad, still.sigma_d_m, still.sigma_v_m_s, still.dt_s) = (0.0, 0.0, 0.0, 0.0);
        let zero = [0f64; KMAX];
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
        let (mut moved, mut echoed): (Noise<f64>, Noise<f64>) = ([0.0; 24], [0.0; 24]);
        for k in 0..3 {
            (s.theta[k], s.d[k], s.v[k]) = (theta[c * 3 + k], d[c * 3 + k], v[c * 3 + k]);
            for j in 0..3 {
                moved[3 * k + j] = n_dyn[(c * 3 + k) * 3 + j];
                echoed[3 * k + j] = n_meas[(c * 3 + k) * 3 + j];
            }
        }
        isacbench::tasks::v2x::physics::motion(3, Kinematics::Paper, &params, &moved, &mut s);
        let mut action = vec![0.0; spec.action_dim()];
        act(Reference::GenieZf, &spec, 3, &still, 0u32, 0, &s, &mut [], &mut action);
        let out = step(&spec, 3, &still, &[0.0; 24], &echoed, &action, true, &mut s);
        for k in 0..3 {
            close("zf.p", c, action[12 + k], zf_p[c * 3 + k], 1e-6 * p_max[c], 1e-4);
            close("zf.rate", c, out.rate[k], zf_rate[c * 3 + k], 1e-5, 1e-5);
        }
    }
}

#[test]
fn water_filling_by_hand() {
    let mut gain = [1.0; KMAX];
    (gain[0], gain[1], gain[2]) = (2.0, 1.0, 0.1);
    // Floors 0.5, 1, 10; water level over the first two with P = 2: (2 + 1.5)/2 = 1.75 < 10, so the third stays dry.
    let p = water_fill(3, 2.0, &gain);
    assert!((p[0] - 1.25f64).abs() < 1e-12 && (p[1] - 0.75).abs() < 1e-12 && p[2] == 0.0, "{p:?}");
    let all = water_fill(3, 30.0, &gain);
    assert!((all.iter().sum::<f64>() - 30.0).abs() < 1e-12 && all[2] > 0.0);
}

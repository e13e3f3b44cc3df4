//! Task v2x against an independent numpy implementation of the printed equations (tests/reference/v2x_reference.py): one slot from injected
//! states and noises. The reference sums over antennas; the code under test uses closed forms.

use isacbench::config::Config;
use isacbench::real::Real;
use isacbench::task::v2x::{Beam, KMAX, Kinematics, Noise, SlotOut, State, V2xParams, V2xSpec, step, water_fill};
use safetensors::SafeTensors;

struct Vectors(Vec<u8>);
impl Vectors {
    fn get(&self, name: &str) -> Vec<f64> {
        let st = SafeTensors::deserialize(&self.0).unwrap();
        let t = st.tensor(name).unwrap_or_else(|_| panic!("no tensor {name}"));
        match t.dtype() {
            safetensors::Dtype::F32 => t.data().chunks(4).map(|c| f64::from(f32::from_le_bytes(c.try_into().unwrap()))).collect(),
            safetensors::Dtype::F64 => t.data().chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect(),
            other => panic!("{name}: {other:?}"),
        }
    }
}

const CASES: usize = 512;

/// Runs the 512 cases in V (f64 or f32) and hands each (case, state after, outputs, params) to `look`.
fn run<V: Real>(vectors: &Vectors, beam: Beam, kinematics: Kinematics, look: impl Fn(usize, &State<V>, &SlotOut<V>)) {
    let config = Config::load(None, &[]).unwrap();
    let spec = V2xSpec { beam, kinematics, ..config.task.spec() };
    let names = ["theta", "d", "v"];
    let [theta, d, v] = names.map(|n| vectors.get(n));
    let (phi, p, p_max) = (vectors.get("phi"), vectors.get("p"), vectors.get("p_max_w"));
    let (n_dyn, n_meas) = (vectors.get("n_dyn"), vectors.get("n_meas"));
    let (f_re, f_im) = (vectors.get("matrix.f_re"), vectors.get("matrix.f_im"));
    for c in 0..CASES {
        let params = V2xParams { p_max_w: p_max[c] as f32, ..config.task.params([0, 0]) };
        let zero = [V::splat(0.0); KMAX];
        let mut s = State { theta: zero, d: zero, v: zero, obs_theta: zero, obs_d: zero, obs_v: zero, obs_sinr: zero, var: [zero; 3] };
        let (mut moved, mut echoed): (Noise<V>, Noise<V>) = ([V::splat(0.0); 24], [V::splat(0.0); 24]);
        let mut act = Vec::new();
        for k in 0..3 {
            s.theta[k] = V::splat(theta[c * 3 + k]);
            s.d[k] = V::splat(d[c * 3 + k]);
            s.v[k] = V::splat(v[c * 3 + k]);
            for j in 0..3 {
                moved[3 * k + j] = V::splat(n_dyn[(c * 3 + k) * 3 + j]);
                echoed[3 * k + j] = V::splat(n_meas[(c * 3 + k) * 3 + j]);
            }
        }
        let powers = (0..3).map(|k| p[c * 3 + k]);
        if beam == Beam::Matrix {
            act.extend((0..96).map(|i| V::splat(f_re[c * 96 + i])));
            act.extend((0..96).map(|i| V::splat(f_im[c * 96 + i])));
            // softmax of ln p gives the powers back, whose sum is p_max
            act.extend(powers.map(|w| V::splat(w.ln())));
        } else {
            act.extend((0..3).map(|k| V::splat(phi[c * 3 + k])));
            act.extend(powers.map(V::splat));
        }
        let out = step(&spec, 3, &params, &moved, &echoed, &act, true, &mut s);
        look(c, &s, &out);
    }
}

/// |got − want| ≤ abs + rel·|want|
fn close(what: &str, case: usize, got: f64, want: f64, abs: f64, rel: f64) {
    let err = (got - want).abs();
    assert!(err <= abs + rel * want.abs(), "{what}, case {case}: got {got:e}, numpy {want:e}");
}

fn vectors() -> Vectors {
    Vectors(std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2x_steps.safetensors")).unwrap())
}

fn prefix_of(beam: Beam, kinematics: Kinematics) -> &'static str {
    match (beam, kinematics) {
        (Beam::Matrix, _) => "matrix.",
        (_, Kinematics::Cartesian) => "cart.",
        _ => "",
    }
}

#[test]
fn f64_step_equals_numpy() {
    let vectors = vectors();
    for (beam, kinematics) in [(Beam::Steer, Kinematics::Paper), (Beam::Steer, Kinematics::Cartesian), (Beam::Matrix, Kinematics::Paper)] {
        let prefix = prefix_of(beam, kinematics);
        let get = |n: &str| vectors.get(&format!("{prefix}{n}"));
        let names = ["theta1", "d1", "v1", "comm_sinr", "rate", "obs_theta", "obs_d", "obs_v"];
        let want = names.map(get);
        let (jain, reward, indicator, bound) = (get("jain"), get("reward"), get("indicator"), get("upper_bound"));
        let (crlb_theta, crlb_d) = (get("crlb_theta"), get("crlb_d"));
        // Parameters are f32 (6e-8 relative), hence 1e-6; the physics itself runs in f64.
        run::<f64>(&vectors, beam, kinematics, |c, s, o| {
            for k in 0..3 {
                let got = [s.theta[k], s.d[k], s.v[k], s.obs_sinr[k], o.rate[k], s.obs_theta[k], s.obs_d[k], s.obs_v[k]];
                for ((name, want), got) in names.iter().zip(&want).zip(got) {
                    // A measured value carries up to 5 m or 5 m/s of noise whose size is known to 2e-7.
                    let abs = if name.starts_with("obs") { 4e-6 } else { 2e-7 };
                    close(&format!("{prefix}{name}"), c, got, want[c * 3 + k], abs, 2e-6);
                }
                close(&format!("{prefix}var theta"), c, s.var[0][k], crlb_theta[c * 3 + k].min(1.0), 0.0, 1e-5);
                close(&format!("{prefix}var d"), c, s.var[1][k], crlb_d[c * 3 + k].min(25.0), 0.0, 1e-5);
            }
            close(&format!("{prefix}jain"), c, o.jain, jain[c], 1e-9, 2e-6);
            close(&format!("{prefix}reward"), c, o.reward, reward[c], 1e-9, 4e-6);
            assert_eq!(o.indicator, indicator[c], "{prefix}indicator, case {c}");
            close(&format!("{prefix}upper bound"), c, o.upper_bound, bound[c], 1e-9, 2e-6);
            assert!(o.sum_rate <= o.upper_bound * (1.0 + 1e-9), "{prefix}case {c}: sum-rate above the bound");
        });
    }
}

#[test]
fn f32_step_is_close_to_numpy() {
    let vectors = vectors();
    for (beam, kinematics) in [(Beam::Steer, Kinematics::Paper), (Beam::Steer, Kinematics::Cartesian), (Beam::Matrix, Kinematics::Paper)] {
        let prefix = prefix_of(beam, kinematics);
        let get = |n: &str| vectors.get(&format!("{prefix}{n}"));
        let (rate, theta1, indicator) = (get("rate"), get("theta1"), get("indicator"));
        run::<f32>(&vectors, beam, kinematics, |c, s, o| {
            for k in 0..3 {
                // cos θ is rounded to 6e-8, which 32 antennas turn into a phase error of N·π·6e-8 = 6e-6 rad. A rate changes by
                // its share of a gain near a null, 2·6e-6·(16)/|D|; 2e-3 bps/Hz is the largest such change.
                close(&format!("{prefix}rate"), c, f64::from(o.rate[k]), rate[c * 3 + k], 2e-3, 1e-4);
                close(&format!("{prefix}theta1"), c, f64::from(s.theta[k]), theta1[c * 3 + k], 6e-7, 0.0);
            }
            assert_eq!(f64::from(o.indicator), indicator[c], "{prefix}indicator, case {c}");
        });
    }
}

#[test]
fn zero_forcing_equals_numpy() {
    use isacbench::task::v2x_reference::{Reference, act};
    let vectors = vectors();
    let config = Config::load(None, &[]).unwrap();
    let spec = V2xSpec { beam: Beam::Span, ..config.task.spec() };
    // The agent looks ahead by the counter-based draws; noise-free motion makes its look-ahead that of a case without noise.
    let (theta, d, v, p_max) = (vectors.get("theta"), vectors.get("d"), vectors.get("v"), vectors.get("p_max_w"));
    for c in 0..CASES {
        let mut params = V2xParams { p_max_w: p_max[c] as f32, ..config.task.params([1, 2]) };
        (params.sigma_theta_rad, params.sigma_d_m, params.sigma_v_m_s) = (0.0, 0.0, 0.0);
        let zero = [0f64; KMAX];
        let mut s = State { theta: zero, d: zero, v: zero, obs_theta: zero, obs_d: zero, obs_v: zero, obs_sinr: zero, var: [zero; 3] };
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
        let mut s = State { theta: zero, d: zero, v: zero, obs_theta: zero, obs_d: zero, obs_v: zero, obs_sinr: zero, var: [zero; 3] };
        let (mut moved, mut echoed): (Noise<f64>, Noise<f64>) = ([0.0; 24], [0.0; 24]);
        for k in 0..3 {
            (s.theta[k], s.d[k], s.v[k]) = (theta[c * 3 + k], d[c * 3 + k], v[c * 3 + k]);
            for j in 0..3 {
                moved[3 * k + j] = n_dyn[(c * 3 + k) * 3 + j];
                echoed[3 * k + j] = n_meas[(c * 3 + k) * 3 + j];
            }
        }
        isacbench::task::v2x::motion(3, Kinematics::Paper, &params, &moved, &mut s);
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

//! Task v2x: one-step ISAC beamforming for K vehicles (paper "spiking-ac"; equation numbers below are its own).
//!
//! Shapes: state rows `[10K, B]` (environment fastest): θ, d, v, θ̂, d̂, v̂, γ̂ and the three variances of the last
//! echo, K rows each; with [`Limits::Episode`] three more, [`State::past`]. Observation rows `[B, 4K]` = (x −
//! shift)·scale of x = (θ̂, d̂, v̂, log10(1+γ̂)), each with its own shift and scale. Angles in rad, distances in m,
//! speeds in m/s, powers in W.
//!
//! [`step`] is one source for f64, f32 and vector lanes; `shaders/v2x/v2x_step.wgsl` repeats it operation by operation.
//! Array gains of steered beams use the closed form aᴴ(θ)a(φ) = e^{jπ(N−1)Δ/2}·D(Δ), D(Δ) = sin(πNΔ/2)/(N sin(πΔ/2)), Δ
//! = cos θ − cos φ; explicit beam matrices are summed over the antennas.

pub use super::array::{KMAX, dirichlet, steering_vector};
use super::forcing::{Square, regularised_mix};
use crate::env::{Batch, StepSlices, TRUNCATED};
use crate::num::philox::{Stream, draw};
use crate::num::real::{Real, Word, c, each_group, load_rows};

/// State rows per vehicle.
pub const STATE_ROWS: usize = 10;
/// Those behind them that [`Limits::Episode`] has.
pub const PAST_ROWS: usize = 3;

/// How an action becomes beams and powers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beam {
    /// φ_k = π·sigmoid(a_k), p = P_max·softmax(a_{K..2K}). A = 2K.
    Angles,
    /// φ_k = θ̂_k + Δ·tanh(a_k), powers as above. A = 2K.
    Tracking,
    /// Raw complex F of (26): K·N_TA real parts (beam by beam), as many imaginary parts, K power logits; columns
    /// normalised.
    Matrix,
    /// [`Beam::Matrix`] as a residual on steering at the last estimates ([`MatrixBase::Steering`]): f_k = a_k ⊙ (1 +
    /// s·raw), a_k the steering vector at θ̂_k with elements of modulus 1 and its phase centred in the middle of the
    /// array, s of `task.matrix_scale`.
    #[serde(skip)]
    OnSteering,
    /// The same on regularised zero-forcing at the last estimates ([`MatrixBase::Zf`]): f_k = b_k + s·raw ⊙ a_k, ‖b_k‖
    /// = ‖a_k‖.
    #[serde(skip)]
    OnZf,
    /// [`Beam::Matrix`] with its last K numbers as they are: powers p_k, W. Σ p_k ≤ P_max is for whoever acts to keep.
    Direct,
    /// Regularised zero-forcing at the angles of [`Beam::Tracking`] and the distances of the last echo
    /// ([`forcing`](super::forcing)), powers as above. A = 2K.
    Zf,
    /// Physical action of a reference agent: φ_k (rad), p_k (W). A = 2K.
    #[serde(skip)]
    Steer,
    /// Physical action of a reference agent: angles φ_j, real mixing weights `X[j][i]` of the centred steering vectors,
    /// powers p_i (W):
    /// f_i = Σ_j ã(φ_j) X_ji. A = 2K + K².
    #[serde(skip)]
    Span,
}

/// What the raw numbers of [`Beam::Matrix`] are a residual on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixBase {
    /// Nothing: they are the beams, as the paper has them.
    None,
    /// Steering at the last estimates.
    Steering,
    /// Regularised zero-forcing at the last estimates.
    Zf,
}

impl Beam {
    /// Whether an action holds complex beams, antenna by antenna.
    pub fn is_matrix(self) -> bool {
        self.is_raw() || matches!(self, Beam::OnSteering | Beam::OnZf)
    }
    /// Whether these beams are the numbers themselves.
    pub fn is_raw(self) -> bool {
        matches!(self, Beam::Matrix | Beam::Direct)
    }
    /// Whether the last K numbers of an action are powers, not the logits of their shares.
    pub fn writes_powers(self) -> bool {
        matches!(self, Beam::Direct | Beam::Steer | Beam::Span)
    }
    /// This parameterisation with raw matrices on `base`.
    #[must_use]
    pub fn on(self, base: MatrixBase) -> Beam {
        match (self, base) {
            (Beam::Matrix, MatrixBase::Steering) => Beam::OnSteering,
            (Beam::Matrix, MatrixBase::Zf) => Beam::OnZf,
            _ => self,
        }
    }
}

/// Motion model behind (14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kinematics {
    /// (14) as printed; θ and d drift apart over time.
    Paper,
    /// Position and speed on the road; θ and d derived from them.
    Cartesian,
}

/// How (27) is read. R is the sum-rate (13), J the Jain index (28); the bounds are means over the vehicles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reward {
    /// Value times indicator: R·J − CRLB_θ − CRLB_d where (24a) and (24b) hold, else 0.
    Product,
    /// R·J where (24a) and (24b) hold, else 0.
    Indicator,
    /// R·J − w_θ·max(0, ln(CRLB_θ/ε_θ)) − w_d·max(0, ln(CRLB_d/ε_d)): the Lagrangian of (24) with fixed multipliers and
    /// both limits in logarithms.
    Lagrangian,
}

/// Which bounds (24a) and (24b) limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limits {
    /// The slot's.
    Slot,
    /// The mean over the slots of the episode so far, this one among them, of bounds that are capped as the echo is.
    Episode,
}

/// What the paper leaves open of a slot's reward and of the observation, as code paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choices {
    pub reward: Reward,
    pub limits: Limits,
    /// Whether the bounds of the reward and of its limits are capped as the echo is.
    pub caps_in_reward: bool,
    /// Whether γ̂ is what the vehicles report, or (12) at the estimates.
    pub sinr_feedback: bool,
}

impl Choices {
    /// As every configuration had it before there was a choice.
    pub const DEFAULT: Choices =
        Choices { reward: Reward::Product, limits: Limits::Slot, caps_in_reward: false, sinr_feedback: true };
}

/// What fixes array sizes and code paths (becomes constants of the shaders).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct V2xSpec {
    /// Vehicles K.
    pub vehicles: usize,
    /// Transmit antennas N_TA.
    pub antennas: usize,
    /// Slots T of an episode.
    pub slots: usize,
    pub beam: Beam,
    pub kinematics: Kinematics,
    pub choices: Choices,
}

impl V2xSpec {
    /// Length A of an action.
    pub fn action_dim(&self) -> usize {
        let k = self.vehicles;
        match self.beam {
            Beam::Angles | Beam::Tracking | Beam::Zf | Beam::Steer => 2 * k,
            Beam::Matrix | Beam::Direct | Beam::OnSteering | Beam::OnZf => 2 * k * self.antennas + k,
            Beam::Span => 2 * k + k * k,
        }
    }
    /// Length O of an observation.
    pub fn obs_dim(&self) -> usize {
        4 * self.vehicles
    }
    /// Rows of the state.
    pub fn state_rows(&self) -> usize {
        let past = if self.choices.limits == Limits::Episode { PAST_ROWS } else { 0 };
        STATE_ROWS * self.vehicles + past
    }
    /// Metrics per environment and slot: see [`metric`].
    pub fn metric_rows(&self) -> usize {
        self.sample_row() + metric::SAMPLES * self.vehicles
    }
    /// First row of the errors of single vehicles: [`metric::SAMPLES`] times K rows.
    pub fn sample_row(&self) -> usize {
        metric::RATE + self.vehicles
    }
}

/// Rows of the metrics of one slot.
pub mod metric {
    /// Σ_k log2(1+γ_k), bps/Hz (13).
    pub const SUM_RATE: usize = 0;
    /// Jain index (28).
    pub const JAIN: usize = 1;
    /// Reward (27).
    pub const REWARD: usize = 2;
    /// 1 where the indicator of (27) holds.
    pub const INDICATOR: usize = 3;
    /// Mean over vehicles of (θ̂−θ)², rad², of the drawn measurement noise.
    pub const ANGLE_SE: usize = 4;
    /// Mean over vehicles of (d̂−d)², m².
    pub const DISTANCE_SE: usize = 5;
    /// Mean over vehicles of CRLB_θ (22), rad², capped as the measurement is; `task.sensing_noise` is not in it.
    pub const ANGLE_CRLB: usize = 6;
    /// Mean over vehicles of CRLB_d (23), m², capped as the measurement is.
    pub const DISTANCE_CRLB: usize = 7;
    /// Sum-rate with matched beams, no interference and water-filled power, bps/Hz: no agent can exceed it.
    pub const UPPER_BOUND: usize = 8;
    /// Mean over vehicles of (φ−θ)², rad², φ the angle that the vehicle's beam is steered at ([`super::pointed`]) and θ
    /// the true one of the slot in which it acts.
    pub const POINTING_SE: usize = 9;
    /// First of the K rates of the vehicles, bps/Hz.
    pub const RATE: usize = 10;
    /// Behind the rates, K rows each: |θ̂−θ| (rad) and |d̂−d| (m) of the drawn measurement noise, |φ−θ| (rad).
    pub const SAMPLES: usize = 3;
    /// What they are called, each with the number of its vehicle behind it.
    pub const SAMPLE_NAMES: [&str; SAMPLES] = ["angle_error_rad", "distance_error_m", "pointing_error_rad"];
    /// Names in files and reports.
    pub const NAMES: [&str; 10] = [
        "sum_rate_bps_hz",
        "jain",
        "reward",
        "indicator_share",
        "angle_mse_rad2",
        "distance_mse_m2",
        "angle_crlb_rad2",
        "distance_crlb_m2",
        "upper_bound_bps_hz",
        "pointing_mse_rad2",
    ];

    /// Name of a row of the metrics of `vehicles` vehicles.
    pub fn name(vehicles: usize, row: usize) -> String {
        match row.checked_sub(RATE) {
            None => NAMES[row].into(),
            Some(i) if i < vehicles => format!("rate_{i}_bps_hz"),
            Some(i) => format!("{}_{}", SAMPLE_NAMES[i / vehicles - 1], i % vehicles),
        }
    }
}

/// Task parameters of one replica, as the kernels read them (f32, linear units).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct V2xParams {
    /// Philox key: seed and replica id.
    pub key: [u32; 2],
    pub p_max_w: f32,
    /// N_TA·α_0: communication gain at 1 m times the array gain 𝓔̄² of (12).
    pub comm_gain: f32,
    /// Path-loss exponent.
    pub path_loss_exponent: f32,
    /// σ_c², W.
    pub noise_comm_w: f32,
    /// N_TA·N_RA·|κ|²/4: radar gain at 1 m, 𝓔²|β|²d² of (8).
    pub radar_gain: f32,
    /// σ_z², W.
    pub noise_radar_w: f32,
    /// CRLB_θ of (22) is this over p·|dg/dθ|²/d²: ξσ_z²·4/(ξ²·N_TA·N_RA·|κ|²).
    pub crlb_theta_scale: f32,
    /// α_τ²(c/2)², m²: CRLB_d of (23) is this over the radar SINR.
    pub crlb_d_scale: f32,
    /// α_μ·c/(2f_c), m/s.
    pub sigma_v_scale: f32,
    pub dt_s: f32,
    pub sigma_theta_rad: f32,
    pub sigma_d_m: f32,
    pub sigma_v_m_s: f32,
    pub eps_theta_rad2: f32,
    pub eps_d_m2: f32,
    pub jain_scale: f32,
    /// Δ of `beam = "tracking"` and `"zf"`.
    pub tracking_delta_rad: f32,
    pub speed_min_m_s: f32,
    pub speed_max_m_s: f32,
    pub d_floor_m: f32,
    pub cos_floor: f32,
    pub cap_theta_rad: f32,
    pub cap_d_m: f32,
    pub cap_v_m_s: f32,
    /// Distance of the road from the unit (cartesian kinematics).
    pub road_y_m: f32,
    /// Factor of the regularisation of `beam = "zf"`, and of the base of matrices on it.
    pub zf_regularisation: f32,
    /// s of [`Beam::OnSteering`] and [`Beam::OnZf`].
    pub matrix_scale: f32,
    /// w_θ and w_d of [`Reward::Lagrangian`], bps/Hz.
    pub reward_weight_theta: f32,
    pub reward_weight_d: f32,
    /// Factor of the standard deviations of the echo, after their caps.
    pub sensing_noise: f32,
    /// Factor of the variances of the echo that the filters believe.
    pub ekf_noise: f32,
    pub pad: [f32; 3],
    /// What observations are made of θ̂, d̂, v̂ and ln(1+γ̂) with: (x − shift)·scale.
    pub obs_shift: [f32; 4],
    pub obs_scale: [f32; 4],
    pub start_theta_rad: [f32; KMAX],
    pub start_d_m: [f32; KMAX],
}

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

/// What one slot produced.
#[derive(Clone, Copy)]
pub struct SlotOut<V> {
    pub sum_rate: V,
    pub jain: V,
    pub reward: V,
    pub indicator: V,
    pub angle_se: V,
    pub distance_se: V,
    pub angle_crlb: V,
    pub distance_crlb: V,
    pub upper_bound: V,
    pub pointing_se: V,
    pub rate: [V; KMAX],
    /// Of each vehicle: |θ̂−θ|, |d̂−d|, |φ−θ|.
    pub error: [[V; KMAX]; metric::SAMPLES],
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

/// Powers that water-fill `p_max` over channels of SNR-per-watt `gain` (all positive): maximises Σ log2(1 + p·gain).
#[inline(always)]
pub fn water_fill<V: Real>(k: usize, p_max: V, gain: &[V; KMAX]) -> [V; KMAX] {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut active = [one; KMAX];
    let mut floor = [zero; KMAX];
    for i in 0..k {
        floor[i] = one / gain[i];
    }
    let mut level = zero;
    // Each round drops every channel whose floor is above the water; none that is dropped can be in the optimum.
    for _ in 0..k {
        let mut n = zero;
        let mut sum = p_max;
        for i in 0..k {
            n += active[i];
            sum += active[i] * floor[i];
        }
        level = sum / n;
        for i in 0..k {
            active[i] = V::select(floor[i].lt(level), active[i], zero);
        }
    }
    let mut p = [zero; KMAX];
    for i in 0..k {
        p[i] = active[i] * (level - floor[i]).max(zero);
    }
    p
}

/// SNR per watt of a matched beam without interference: N_TA·α_0·d^−ρ/σ_c².
#[inline(always)]
pub fn comm_snr_per_watt<V: Real>(p: &V2xParams, d: V) -> V {
    comm_gain(p, d) / V::splat(f64::from(p.noise_comm_w))
}

/// l of regularised zero-forcing ([`forcing`](super::forcing)) towards vehicles at these distances, m; those below the
/// floor count as at it.
#[inline(always)]
pub fn loading<V: Real>(k: usize, p: &V2xParams, d: &[V; KMAX]) -> [V; KMAX] {
    let mut out = [V::splat(0.0); KMAX];
    for i in 0..k {
        let snr = c!(p.p_max_w) * comm_snr_per_watt(p, d[i].max(c!(p.d_floor_m)));
        out[i] = (c!(p.zf_regularisation) * V::splat(k as f64)) / snr;
    }
    out
}

#[inline(always)]
fn comm_gain<V: Real>(p: &V2xParams, d: V) -> V {
    V::splat(f64::from(p.comm_gain)) * (V::splat(-f64::from(p.path_loss_exponent)) * d.ln()).exp()
}

#[inline(always)]
fn log2_1p<V: Real>(x: V) -> V {
    (V::splat(1.0) + x).ln() * V::splat(std::f64::consts::LOG2_E)
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

/// |aᴴ(θ_k) f_i|² as `gain[k][i]`, |d(aᴴ(θ_k) f_k)/dθ|² as `slope2[k]`, and the powers.
pub(super) struct Beams<V> {
    pub gain: [[V; KMAX]; KMAX],
    pub slope2: [V; KMAX],
    pub power: [V; KMAX],
}

/// What explicit beams are a residual on: half the cosines of the last estimates, and how the steering vectors there
/// are mixed.
pub(super) struct Base<V> {
    pub half: [V; KMAX],
    pub mix: Square<V>,
}

#[inline(always)]
pub(super) fn base_of<V: Real>(spec: &V2xSpec, k: usize, p: &V2xParams, last: &State<V>) -> Base<V> {
    let zero = V::splat(0.0);
    let mut base = Base { half: [zero; KMAX], mix: [[zero; KMAX]; KMAX] };
    if spec.beam.is_raw() {
        return base;
    }
    let mut cos = [zero; KMAX];
    for i in 0..k {
        cos[i] = last.obs_theta[i].sin_cos().1;
        base.half[i] = cos[i] * V::splat(0.5);
    }
    if spec.beam == Beam::OnZf {
        base.mix = regularised_mix(k, spec.antennas, &cos, &loading(k, p, &last.obs_d));
    }
    base
}

/// Element `m` of the K beams, (re, im) each, and of the steering vectors that turn their raw numbers.
#[inline(always)]
pub(super) fn antenna<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    base: &Base<V>,
    act: &[V],
    m: usize,
) -> ([[V; 2]; KMAX], [[V; 2]; KMAX]) {
    let (zero, n) = (V::splat(0.0), spec.antennas);
    let (mut f, mut a) = ([[zero; 2]; KMAX], [[zero; 2]; KMAX]);
    for i in 0..k {
        f[i] = [act[i * n + m], act[(k + i) * n + m]];
    }
    if spec.beam.is_raw() {
        return (f, a);
    }
    // e^{−jπ w (2m − N + 1)/2}: the phase of the middle of the array is 0.
    let turns = (2 * m).abs_diff(n - 1) as u32;
    let side = V::splat(if 2 * m < n - 1 { 1.0 } else { -1.0 });
    for i in 0..k {
        let (s, c) = V::sin_cos_pi_multiple(base.half[i], turns);
        a[i] = [c, side * s];
    }
    let scale = c!(p.matrix_scale);
    for i in 0..k {
        let ([re, im], [c, s]) = (f[i], a[i]);
        let [mut x, mut y] = [c, s];
        if spec.beam == Beam::OnZf {
            (x, y) = (zero, zero);
            for q in 0..k {
                x += base.mix[q][i] * a[q][0];
                y += base.mix[q][i] * a[q][1];
            }
        }
        f[i] = [x + scale * (c * re - s * im), y + scale * (c * im + s * re)];
    }
    (f, a)
}

#[inline(always)]
pub(super) fn softmax_power<V: Real>(k: usize, p_max: f32, logits: &[V]) -> [V; KMAX] {
    let mut top = logits[0];
    for l in &logits[1..k] {
        top = top.max(*l);
    }
    let mut power = [V::splat(0.0); KMAX];
    let mut sum = V::splat(0.0);
    for i in 0..k {
        power[i] = (logits[i] - top).exp();
        sum += power[i];
    }
    let scale = V::splat(f64::from(p_max)) / sum;
    for w in power.iter_mut().take(k) {
        *w *= scale;
    }
    power
}

/// Sine and cosine of the steering angle of beam `i`, from its number `a` of the action.
#[inline(always)]
pub(super) fn aim<V: Real>(spec: &V2xSpec, p: &V2xParams, last: &State<V>, i: usize, a: V) -> (V, V) {
    match spec.beam {
        Beam::Angles => V::sin_cos_pi_multiple(a.sigmoid(), 1),
        Beam::Tracking | Beam::Zf => {
            (last.obs_theta[i] + V::splat(f64::from(p.tracking_delta_rad)) * a.tanh()).sin_cos()
        }
        _ => a.sin_cos(),
    }
}

/// φ_k, the angles that the beams are steered at, rad: of [`Beam::Zf`] and [`Beam::Span`] those that they are formed
/// from; of explicit beams those of their mean phase step, cos φ = −arg(Σ_n f_n* f_{n+1})/π, which a steering vector
/// has at its own angle (π/2 where that sum is 0). `last` has the estimates before the slot.
#[inline(always)]
pub fn pointed<V: Real>(spec: &V2xSpec, k: usize, p: &V2xParams, last: &State<V>, act: &[V]) -> [V; KMAX] {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut phi = [zero; KMAX];
    if spec.beam.is_matrix() {
        let base = base_of(spec, k, p, last);
        let (mut re_step, mut im_step) = ([zero; KMAX], [zero; KMAX]);
        let mut before = [[zero; 2]; KMAX];
        for m in 0..spec.antennas {
            let (f, _) = antenna(spec, k, p, &base, act, m);
            for i in 0..k {
                let ([x, y], [re, im]) = (before[i], f[i]);
                re_step[i] += x * re + y * im;
                im_step[i] += x * im - y * re;
            }
            before = f;
        }
        for i in 0..k {
            let none = (re_step[i].abs() + im_step[i].abs()).lt(V::splat(1e-30));
            let turn = im_step[i].abs().atan2_upper(V::select(none, one, re_step[i]));
            let share = turn * V::splat(std::f64::consts::FRAC_1_PI);
            let cos = V::select(im_step[i].lt(zero), share, zero - share);
            phi[i] = ((one - cos) * (one + cos)).max(zero).sqrt().atan2_upper(cos);
        }
        return phi;
    }
    for i in 0..k {
        phi[i] = match spec.beam {
            Beam::Angles => V::splat(std::f64::consts::PI) * act[i].sigmoid(),
            Beam::Tracking | Beam::Zf => last.obs_theta[i] + c!(p.tracking_delta_rad) * act[i].tanh(),
            _ => act[i],
        };
    }
    phi
}

#[inline(always)]
pub(super) fn beams<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    sin: &[V; KMAX],
    cos: &[V; KMAX],
    last: &State<V>,
    act: &[V],
) -> Beams<V> {
    let zero = V::splat(0.0);
    let n = spec.antennas;
    let mut out = Beams { gain: [[zero; KMAX]; KMAX], slope2: [zero; KMAX], power: [zero; KMAX] };
    let centre = V::splat((n as f64 - 1.0) / 2.0);
    if spec.beam.is_matrix() {
        match spec.beam {
            Beam::Direct => out.power[..k].copy_from_slice(&act[2 * k * n..][..k]),
            _ => out.power = softmax_power(k, p.p_max_w, &act[2 * k * n..]),
        }
        let base = base_of(spec, k, p, last);
        let mut norm = [zero; KMAX];
        // Σ_n e^{+jπ n u} f_n of every vehicle and beam, and Σ_n n e^{…} f_n of the vehicle's own.
        let (mut re_sum, mut im_sum) = ([[zero; KMAX]; KMAX], [[zero; KMAX]; KMAX]);
        let (mut re_slope, mut im_slope) = ([zero; KMAX], [zero; KMAX]);
        for m in 0..n {
            let (f, _) = antenna(spec, k, p, &base, act, m);
            for i in 0..k {
                let [re, im] = f[i];
                norm[i] += re * re + im * im;
            }
            for j in 0..k {
                let (sm, cm) = V::sin_cos_pi_multiple(cos[j], m as u32);
                for i in 0..k {
                    let [re, im] = f[i];
                    let (x, y) = (cm * re - sm * im, cm * im + sm * re);
                    re_sum[j][i] += x;
                    im_sum[j][i] += y;
                    if i == j {
                        re_slope[j] += V::splat(m as f64) * x;
                        im_slope[j] += V::splat(m as f64) * y;
                    }
                }
            }
        }
        let per_antenna = V::splat(1.0 / n as f64);
        for j in 0..k {
            for i in 0..k {
                let unit = per_antenna / norm[i].max(V::splat(1e-20));
                out.gain[j][i] = (re_sum[j][i] * re_sum[j][i] + im_sum[j][i] * im_sum[j][i]) * unit;
                if i == j {
                    let turn = V::splat(std::f64::consts::PI) * sin[j];
                    out.slope2[j] =
                        (turn * turn) * ((re_slope[j] * re_slope[j] + im_slope[j] * im_slope[j]) * unit);
                }
            }
        }
        return out;
    }
    // Steered beams: cosines of the K steering angles.
    let mut w = [zero; KMAX];
    for i in 0..k {
        w[i] = aim(spec, p, last, i, act[i]).1;
    }
    match spec.beam {
        Beam::Steer => out.power[..k].copy_from_slice(&act[k..2 * k]),
        Beam::Span => out.power[..k].copy_from_slice(&act[k + k * k..2 * k + k * k]),
        _ => out.power = softmax_power(k, p.p_max_w, &act[k..]),
    }
    let mut mix = [[zero; KMAX]; KMAX];
    match spec.beam {
        Beam::Span => {
            for q in 0..k {
                mix[q][..k].copy_from_slice(&act[k + q * k..][..k]);
            }
        }
        Beam::Zf => mix = regularised_mix(k, n, &w, &loading(k, p, &last.obs_d)),
        _ => {}
    }
    for j in 0..k {
        let mut resp = [zero; KMAX];
        let mut slope = zero;
        if matches!(spec.beam, Beam::Span | Beam::Zf) {
            for q in 0..k {
                let (d, e) = dirichlet(cos[j] - w[q], n);
                for i in 0..k {
                    resp[i] += d * mix[q][i];
                }
                slope += e * mix[q][j];
            }
        } else {
            for i in 0..k {
                let (d, e) = dirichlet(cos[j] - w[i], n);
                resp[i] = d;
                if i == j {
                    slope = e;
                }
            }
        }
        for i in 0..k {
            out.gain[j][i] = resp[i] * resp[i];
        }
        let turn = V::splat(std::f64::consts::PI) * sin[j];
        let lever = centre * resp[j];
        out.slope2[j] = (turn * turn) * (lever * lever + slope * slope);
    }
    out
}

/// What the vehicles and the unit hear of a slot's beams.
pub(super) struct Heard<V> {
    /// 1/d², m⁻²
    pub inv_d2: [V; KMAX],
    /// What carries to a vehicle, (12) over p·|aᴴf|², and what it hears beside that of its own beam, W before it.
    pub carried: [V; KMAX],
    pub interference: [V; KMAX],
    pub sinr: [V; KMAX],
    pub rate: [V; KMAX],
    /// Of the other beams, W/m²; the radar's SINR; p·|d(aᴴf)/dθ|²/d².
    pub clutter: [V; KMAX],
    pub radar: [V; KMAX],
    pub lit: [V; KMAX],
    /// Without caps, but with [`Choices::caps_in_reward`].
    pub crlb_theta: [V; KMAX],
    pub crlb_d: [V; KMAX],
    pub sum_rate: V,
    /// Σ_k rate²
    pub square: V,
    pub jain: V,
    pub mean_theta: V,
    pub mean_d: V,
}

/// Below these SINRs of the radar and these p·|d(aᴴf)/dθ|²/d² nothing is divided.
pub(super) const RADAR_FLOOR: f64 = 1e-20;
pub(super) const LIT_FLOOR: f64 = 1e-30;

/// (12), (13), (8), (22), (23), (28) of beams at the true distances of `s`.
#[inline(always)]
pub(super) fn hear<V: Real>(spec: &V2xSpec, k: usize, p: &V2xParams, b: &Beams<V>, s: &State<V>) -> Heard<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let each = [zero; KMAX];
    let mut h = Heard {
        inv_d2: each,
        carried: each,
        interference: each,
        sinr: s.obs_sinr,
        rate: each,
        clutter: each,
        radar: each,
        lit: each,
        crlb_theta: each,
        crlb_d: each,
        sum_rate: zero,
        square: zero,
        jain: zero,
        mean_theta: zero,
        mean_d: zero,
    };
    for i in 0..k {
        h.inv_d2[i] = one / (s.d[i] * s.d[i]);
    }
    let (mut crlb_theta_sum, mut crlb_d_sum) = (zero, zero);
    for j in 0..k {
        // (12), (13)
        let (mut interference, mut clutter) = (zero, zero);
        for i in 0..k {
            if i != j {
                let power = b.power[i] * b.gain[j][i];
                interference += power;
                clutter += power * h.inv_d2[i];
            }
        }
        let gain = comm_gain(p, s.d[j]);
        let own = b.power[j] * b.gain[j][j];
        let sinr = (gain * own) / (gain * interference + c!(p.noise_comm_w));
        h.sinr[j] = sinr;
        h.rate[j] = log2_1p(sinr);
        h.sum_rate += h.rate[j];
        h.square += h.rate[j] * h.rate[j];
        // (8), (23), (22)
        let echo = c!(p.radar_gain);
        h.radar[j] = ((echo * (own * h.inv_d2[j])) / (echo * clutter + c!(p.noise_radar_w)))
            .max(V::splat(RADAR_FLOOR));
        h.lit[j] = ((b.power[j] * b.slope2[j]) * h.inv_d2[j]).max(V::splat(LIT_FLOOR));
        h.crlb_d[j] = c!(p.crlb_d_scale) / h.radar[j];
        h.crlb_theta[j] = c!(p.crlb_theta_scale) / h.lit[j];
        if spec.choices.caps_in_reward {
            h.crlb_d[j] = h.crlb_d[j].min(c!(p.cap_d_m) * c!(p.cap_d_m));
            h.crlb_theta[j] = h.crlb_theta[j].min(c!(p.cap_theta_rad) * c!(p.cap_theta_rad));
        }
        crlb_d_sum += h.crlb_d[j];
        crlb_theta_sum += h.crlb_theta[j];
        (h.carried[j], h.interference[j], h.clutter[j]) = (gain, interference, clutter);
    }
    let per_vehicle = V::splat(1.0 / k as f64);
    (h.mean_d, h.mean_theta) = (crlb_d_sum * per_vehicle, crlb_theta_sum * per_vehicle);
    // (28)
    h.jain =
        (c!(p.jain_scale) * (h.sum_rate * h.sum_rate)) / (V::splat(k as f64) * h.square + V::splat(1e-30));
    h
}

/// How far the mean of a bound lies beyond its limit, nepers: 0 where (24a, b) hold.
#[inline(always)]
pub(super) fn beyond<V: Real>(limit: f32, mean: V) -> V {
    (mean.ln() - c!(limit).ln()).max(V::splat(0.0))
}

/// What [`Limits::Episode`] limits of CRLB_θ and CRLB_d, with this slot's added to the past.
#[inline(always)]
fn so_far<V: Real>(k: usize, p: &V2xParams, h: &Heard<V>, s: &mut State<V>) -> [V; 2] {
    let (mut theta, mut d) = (V::splat(0.0), V::splat(0.0));
    for j in 0..k {
        theta += h.crlb_theta[j].min(c!(p.cap_theta_rad) * c!(p.cap_theta_rad));
        d += h.crlb_d[j].min(c!(p.cap_d_m) * c!(p.cap_d_m));
    }
    let per_vehicle = V::splat(1.0 / k as f64);
    let [sum_theta, sum_d, slots] = s.past;
    let slots = slots + V::splat(1.0);
    s.past = [sum_theta + theta * per_vehicle, sum_d + d * per_vehicle, slots];
    [s.past[0] / slots, s.past[1] / slots]
}

/// γ̂ without feedback: (12) of the beams and powers that the unit sent, at the angles and distances of the echo of
/// `s`. `last` has the estimates round which the beams were built. Distances below the floor count as at it.
#[inline(always)]
fn own_sinr<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    act: &[V],
    last: &State<V>,
    s: &State<V>,
) -> [V; KMAX] {
    let mut seen = *s;
    let (mut sin, mut cos) = ([V::splat(0.0); KMAX], [V::splat(0.0); KMAX]);
    for i in 0..k {
        (sin[i], cos[i]) = s.obs_theta[i].sin_cos();
        seen.d[i] = s.obs_d[i].max(c!(p.d_floor_m));
    }
    hear(spec, k, p, &beams(spec, k, p, &sin, &cos, last, act), &seen).sinr
}

/// One slot in the order of the task: action → truth moves → rates, sensing, reward → echo. `act` holds the A action
/// values (one V each); `full` adds the metrics that only evaluation needs.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "two noise arrays are inputs so that recorded slots can be replayed"
)]
pub fn step<V: Real>(
    spec: &V2xSpec,
    k: usize,
    p: &V2xParams,
    moved: &Noise<V>,
    echoed: &Noise<V>,
    act: &[V],
    full: bool,
    s: &mut State<V>,
) -> SlotOut<V> {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    motion(k, spec.kinematics, p, moved, s);
    let (mut sin, mut cos) = ([zero; KMAX], [zero; KMAX]);
    for i in 0..k {
        (sin[i], cos[i]) = s.theta[i].sin_cos();
    }
    let b = beams(spec, k, p, &sin, &cos, s, act);
    let phi = if full { pointed(spec, k, p, s, act) } else { [zero; KMAX] };

    let h = hear(spec, k, p, &b, s);
    s.obs_sinr = h.sinr;
    let (per_vehicle, radar) = (V::splat(1.0 / k as f64), h.radar);
    let mut out = SlotOut {
        sum_rate: h.sum_rate,
        jain: h.jain,
        reward: zero,
        indicator: zero,
        angle_se: zero,
        distance_se: zero,
        angle_crlb: zero,
        distance_crlb: zero,
        upper_bound: zero,
        pointing_se: zero,
        rate: h.rate,
        error: [[zero; KMAX]; metric::SAMPLES],
    };
    // (24a), (24b)
    let [limited_theta, limited_d] = match spec.choices.limits {
        Limits::Slot => [h.mean_theta, h.mean_d],
        Limits::Episode => so_far(k, p, &h, s),
    };
    // (27)
    let pass = V::mask_and(limited_d.le(c!(p.eps_d_m2)), limited_theta.le(c!(p.eps_theta_rad2)));
    out.indicator = V::select(pass, one, zero);
    out.reward = match spec.choices.reward {
        Reward::Product => V::select(pass, (h.sum_rate * h.jain - h.mean_theta) - h.mean_d, zero),
        Reward::Indicator => V::select(pass, h.sum_rate * h.jain, zero),
        Reward::Lagrangian => {
            let lost_theta = c!(p.reward_weight_theta) * beyond(p.eps_theta_rad2, limited_theta);
            let lost_d = c!(p.reward_weight_d) * beyond(p.eps_d_m2, limited_d);
            (h.sum_rate * h.jain - lost_theta) - lost_d
        }
    };

    // The echo.
    let z = echoed;
    let (last_theta, last_d) = (s.obs_theta, s.obs_d);
    let noise = c!(p.sensing_noise);
    for j in 0..k {
        let var_theta = h.crlb_theta[j].min(c!(p.cap_theta_rad) * c!(p.cap_theta_rad));
        let var_d = h.crlb_d[j].min(c!(p.cap_d_m) * c!(p.cap_d_m));
        let std_v = (c!(p.sigma_v_scale) / (radar[j].sqrt() * cos[j].abs().max(c!(p.cos_floor))))
            .min(c!(p.cap_v_m_s));
        let err_theta = (noise * var_theta.sqrt()) * z[3 * j];
        let err_d = (noise * var_d.sqrt()) * z[3 * j + 1];
        let noisy_v = noise * std_v;
        s.obs_theta[j] = s.theta[j] + err_theta;
        s.obs_d[j] = s.d[j] + err_d;
        s.obs_v[j] = s.v[j] + noisy_v * z[3 * j + 2];
        s.var[0][j] = (noise * noise) * var_theta;
        s.var[1][j] = (noise * noise) * var_d;
        s.var[2][j] = noisy_v * noisy_v;
        if full {
            out.angle_se += err_theta * err_theta;
            out.distance_se += err_d * err_d;
            out.angle_crlb += var_theta;
            out.distance_crlb += var_d;
            let off = phi[j] - s.theta[j];
            out.pointing_se += off * off;
            out.error[0][j] = err_theta.abs();
            out.error[1][j] = err_d.abs();
            out.error[2][j] = off.abs();
        }
    }
    if !spec.choices.sinr_feedback {
        let last = State { obs_theta: last_theta, obs_d: last_d, ..*s };
        s.obs_sinr = own_sinr(spec, k, p, act, &last, s);
    }
    if full {
        out.angle_se *= per_vehicle;
        out.distance_se *= per_vehicle;
        out.angle_crlb *= per_vehicle;
        out.distance_crlb *= per_vehicle;
        out.pointing_se *= per_vehicle;
        let mut snr = [one; KMAX];
        for j in 0..k {
            snr[j] = comm_snr_per_watt(p, s.d[j]);
        }
        let fill = water_fill(k, c!(p.p_max_w), &snr);
        for j in 0..k {
            out.upper_bound += log2_1p(fill[j] * snr[j]);
        }
    }
    out
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
fn load_past<V: Real>(
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

#[inline(always)]
fn put_rows<V: Real>(k: usize, p: &V2xParams, s: &State<V>, rows: &mut [V::Elem], env: usize) {
    let o = 4 * k;
    let mut lanes = [V::Elem::default(); 16];
    observe(
        k,
        p,
        s,
        #[inline(always)]
        |i, x| {
            x.store(&mut lanes);
            for (l, value) in lanes.iter().enumerate().take(V::LANES) {
                rows[(env + l) * o + i] = *value;
            }
        },
    );
}

/// v2x_reset over the environments [from, to) of a batch, in whole lane groups: fresh states and their observations.
#[inline(always)]
pub fn reset_range<V: Real, const KC: usize>(
    spec: &V2xSpec,
    b: &mut Batch<V2xParams, V::Elem>,
    clock: u32,
    from: usize,
    to: usize,
) {
    let k = if KC > 0 { KC } else { spec.vehicles };
    each_group!(env in from, to, V, {
        let s = reset::<V>(k, b.params, V::Word::iota(b.first + env as u32), clock);
        store_state(spec, k, &s, b.state, b.envs, env);
        put_rows(k, b.params, &s, b.obs, env);
    });
}

/// v2x_step over the environments [from, to) of a batch, in whole lane groups. `clock` counts the slots since the first
/// reset; the episode ends where (clock+1) mod T = 0, and the state is then reset with the draws of clock+1.
#[inline(always)]
pub fn step_range<V: Real, const KC: usize>(
    spec: &V2xSpec,
    b: &mut Batch<V2xParams, V::Elem>,
    action: &[V::Elem],
    out: &mut StepSlices<V::Elem>,
    clock: u32,
    from: usize,
    to: usize,
) {
    let k = if KC > 0 { KC } else { spec.vehicles };
    let a = spec.action_dim();
    let ends = (clock as usize + 1).is_multiple_of(spec.slots);
    // Large actions (explicit beam matrices) do not fit the fixed array.
    let mut fixed = [V::splat(0.0); 2 * KMAX + KMAX * KMAX];
    let mut large = if a > fixed.len() { vec![V::splat(0.0); a] } else { Vec::new() };
    each_group!(env in from, to, V, {
        let act: &mut [V] = if a > fixed.len() { &mut large } else { &mut fixed[..a] };
        load_rows(action, env, act);
        let ids = V::Word::iota(b.first + env as u32);
        let mut s = load_state::<V>(k, b.state, b.envs, env);
        s.past = load_past(spec, k, b.state, b.envs, env);
        let moved = motion_noise::<V>(k, b.params, ids, clock);
        let echoed = echo_noise::<V>(k, b.params, ids, clock);
        let o = step(spec, k, b.params, &moved, &echoed, act, out.full, &mut s);
        o.reward.store(&mut out.reward[env..]);
        out.flags[env..env + V::LANES].fill(if ends { TRUNCATED } else { 0 });
        if let Some(m) = out.metrics.as_deref_mut() {
            let fixed = [o.sum_rate, o.jain, o.reward, o.indicator, o.angle_se, o.distance_se, o.angle_crlb, o.distance_crlb, o.upper_bound, o.pointing_se];
            let rows = if out.full { metric::RATE + k } else { 4 };
            for (row, x) in fixed.into_iter().chain(o.rate).enumerate().take(rows) {
                x.store(&mut m[row * b.envs + env..]);
            }
            if out.full {
                for (q, group) in o.error.iter().enumerate() {
                    for (i, x) in group.iter().enumerate().take(k) {
                        x.store(&mut m[(metric::RATE + (1 + q) * k + i) * b.envs + env..]);
                    }
                }
            }
        }
        if ends {
            put_rows(k, b.params, &s, out.final_obs, env);
            s = reset::<V>(k, b.params, ids, clock + 1);
        }
        store_state(spec, k, &s, b.state, b.envs, env);
        put_rows(k, b.params, &s, b.obs, env);
    });
}

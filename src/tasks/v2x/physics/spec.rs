//! What is fixed of the task when a kernel is compiled, and the parameters of a replica.

use super::metric;
use crate::tasks::v2x::array::KMAX;

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
    /// ([`forcing`](crate::tasks::v2x::forcing)), powers as above. A = 2K.
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

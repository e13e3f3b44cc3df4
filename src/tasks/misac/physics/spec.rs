//! What is fixed of the task when a kernel is compiled, and the parameters of a replica.

/// Largest number of vehicles.
pub const KMAX: usize = 8;

/// Largest number of antennas.
pub const MMAX: usize = 256;

/// State rows per vehicle.
pub const STATE_ROWS: usize = 7;

/// Unit of the distance in an observation, m.
pub const DISTANCE_UNIT_M: f64 = 80.0;

/// Logarithm of the factor by which an error grows in a slot, at most.
pub const MOST_GROWTH: f64 = 20.0;

/// L_p − 1: scatterers of a vehicle's channel.
pub const SCATTERERS: usize = 2;

/// β_k of (7) over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uncertainty {
    /// One β for every vehicle and slot, as printed.
    Constant,
    /// β times the vehicle's angular rate over its mean in the episode.
    Kinematic,
}

/// The channel (8) of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ageing {
    /// h = ĥ + Δh, as printed: Δh adds its power.
    Independent,
    /// h = √(1−c)·ĥ + Δh with c = min(1, ρ·P_misa/M), the variance of an element of Δh: E‖h‖² = M at every age.
    PowerPreserving,
}

/// How the angle error grows from one slot without a frame to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorGrowth {
    /// By independent steps: with the root of the age.
    RandomWalk,
    /// By the factor e^(r·β_k), so that σ(A) = σ_vis·e^(r·β·A) A slots behind a frame; at most π.
    Exponential,
}

/// What the paper leaves open of a slot, as code paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choices {
    pub ageing: Ageing,
    /// Whether the sweep of (5), which runs with probability P_misa, leaves angle and age as a frame does.
    pub realign: bool,
    /// Whether an age counts as A_max at most.
    pub age_saturates: bool,
    pub growth: ErrorGrowth,
    /// Whether the angle has the radar's own noise beside the tracking error where A > T_proc.
    pub radar_noise: bool,
}

impl Choices {
    /// As every configuration had it before there was a choice.
    pub const DEFAULT: Choices = Choices {
        ageing: Ageing::Independent,
        realign: false,
        age_saturates: true,
        growth: ErrorGrowth::RandomWalk,
        radar_noise: false,
    };
    /// The default, each other choice by itself, and all others together.
    pub const EACH: [Choices; 7] = [
        Choices::DEFAULT,
        Choices { ageing: Ageing::PowerPreserving, ..Choices::DEFAULT },
        Choices { realign: true, ..Choices::DEFAULT },
        Choices { age_saturates: false, ..Choices::DEFAULT },
        Choices { growth: ErrorGrowth::Exponential, ..Choices::DEFAULT },
        Choices { radar_noise: true, ..Choices::DEFAULT },
        Choices {
            ageing: Ageing::PowerPreserving,
            realign: true,
            age_saturates: false,
            growth: ErrorGrowth::Exponential,
            radar_noise: true,
        },
    ];
}

/// What fixes array sizes and code paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MisacSpec {
    /// Vehicles K.
    pub vehicles: usize,
    /// Antennas M.
    pub antennas: usize,
    /// Slots T of an episode.
    pub slots: usize,
    pub uncertainty: Uncertainty,
    pub choices: Choices,
}

impl MisacSpec {
    /// O: cosines, distances, ages.
    pub fn obs_dim(&self) -> usize {
        3 * self.vehicles
    }
    /// Rows of the state.
    pub fn state_rows(&self) -> usize {
        STATE_ROWS * self.vehicles
    }
}

/// Task parameters of one replica, as the kernels read them (f32, linear units).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct MisacParams {
    /// Philox key: seed and replica id.
    pub key: [u32; 2],
    /// β(SNR) of (7), per slot of age.
    pub beta: f32,
    /// e_vis of (4), J.
    pub e_vis_j: f32,
    /// E_recovery of (5), J.
    pub e_recovery_j: f32,
    /// λ_misa of (11), J.
    pub lambda_j: f32,
    /// Γ_misa of (9e).
    pub gamma_misa: f32,
    /// T_proc of (6), slots.
    pub t_proc: f32,
    /// A_max, slots.
    pub age_max: f32,
    /// Standard deviation of e on a camera frame, rad.
    pub sigma_vis_rad: f32,
    /// 0.886/M: without a frame e walks with standard deviation √β times this, rad.
    pub beam_width_rad: f32,
    /// Relative standard deviation of d̂.
    pub distance_noise: f32,
    pub dt_s: f32,
    /// Distance of the road from the unit, m.
    pub road_y_m: f32,
    pub x_min_m: f32,
    pub x_max_m: f32,
    pub speed_min_m_s: f32,
    pub speed_max_m_s: f32,
    /// Amplitude of the line of sight, √(κ/(κ+1)).
    pub los: f32,
    /// Amplitude of each scatterer, √(1/((κ+1)(L_p−1))).
    pub scatter: f32,
    /// ρ/M: variance of an element of Δh per unit of P_misa.
    pub csi_error: f32,
    /// P_max/K, W: power of a beam.
    pub beam_power_w: f32,
    /// (λ_c/4π)², m²: path gain at 1 m.
    pub path_gain_m2: f32,
    /// σ², W.
    pub noise_w: f32,
    /// r of [`ErrorGrowth::Exponential`].
    pub error_rate: f32,
    /// Standard deviation of the radar's own noise of the angle, rad.
    pub radar_noise_rad: f32,
}

//! Rows of the metrics of one slot.

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

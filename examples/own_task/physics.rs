//! The equations: a UAV at a fixed altitude flies over a square, serves two users on the ground and looks at a target
//! with the rest of its power.

use isacbench::env::Component;
use isacbench::env::lanes::{Physics, PlainEnv};
use isacbench::gpu::Source;
use isacbench::kernels::{Tol, shader};
use isacbench::num::philox::{Stream, draw};
use isacbench::num::real::{Real, c};
use isacbench::run::check::{Checked, PlainKernel};

/// R replicas of the task.
pub type UavEnv = PlainEnv<UavParams, S, O, A, M>;
/// The kernel of its slots.
pub type UavKernel = PlainKernel<UavParams, S, O, A, M>;

/// Numbers of the state: x and y (m) of the UAV, of both users and of the target.
pub const S: usize = 8;
/// Numbers of an observation: as the state, but users and target as seen from the UAV; over half the square's side.
pub const O: usize = 8;
/// Numbers of an action: x and y of the velocity before tanh, the share of the power that senses before the logistic
/// function.
pub const A: usize = 3;

/// Rows of the metrics of a slot.
pub const M: usize = 4;
pub const SUM_RATE: usize = 1;
pub const UPPER_BOUND: usize = 3;

/// Parameters of a replica in linear units, as the kernel reads them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct UavParams {
    /// Philox key: (seed, 0) in training.
    pub key: [u32; 2],
    /// Half the side of the square.
    pub half_m: f32,
    pub height_m: f32,
    /// Farthest flight of a slot along each axis.
    pub reach_m: f32,
    /// SNR of a user at 1 m with half of the power: the users share alike.
    pub comm_m2: f32,
    /// SNR of the echo from 1 m with all of the power.
    pub echo_m4: f32,
    /// Γ, dB.
    pub snr_min_db: f32,
    /// λ, bps/Hz per dB.
    pub penalty: f32,
}

/// Squared distance of two of UAV (0), users (1, 2) and target (3) along the ground, m².
#[inline(always)]
fn ground<V: Real>(s: &[V; S], i: usize, j: usize) -> V {
    let (x, y) = (s[2 * i] - s[2 * j], s[2 * i + 1] - s[2 * j + 1]);
    x * x + y * y
}

/// log2(1 + a) + log2(1 + b)
#[inline(always)]
fn sum_rate<V: Real>(a: V, b: V) -> V {
    let one = V::splat(1.0);
    ((one + a).ln() + (one + b).ln()) * V::splat(std::f64::consts::LOG2_E)
}

/// 20 dBm over a noise of -90 dBm, a gain at 1 m of -60 dB to users and, antennas and matched filter included, of -5 dB
/// to the target and back.
pub const EXAMPLE: UavParams = UavParams {
    key: [1, 0],
    half_m: 100.0,
    height_m: 100.0,
    reach_m: 15.0,
    comm_m2: 0.5e5,
    echo_m4: 3.16e10,
    snr_min_db: 13.0,
    penalty: 0.5,
};

impl Checked<S, O, A, M> for UavParams {
    const EXAMPLES: &'static [Self] = &[EXAMPLE, UavParams { comm_m2: 0.5e4, echo_m4: 1e10, ..EXAMPLE }];
    const TOL: Tol =
        Tol { abs: 0.0, rel: 3e-6, why: "logarithms of fourth powers of distances, some ulps each" };
}

impl Physics<S, O, A, M> for UavParams {
    const SHADER: Source = shader!("examples/own_task/", "uav_step");
    const METRICS: [(&'static str, &'static str); M] = [
        ("reward", "Sum-rate less the penalty for too weak an echo, bps/Hz."),
        ("sum_rate_bps_hz", "Sum of log2(1 + SNR) over both users."),
        ("snr_shortfall_db", "How far the echo's SNR is below the required one."),
        ("upper_bound_bps_hz", "Sum-rate that no flight exceeds."),
    ];
    const CURVE: &'static [usize] = &[0, SUM_RATE, 2];

    fn observation() -> Vec<Component> {
        let of = |who: &str, low| {
            let named = |axis| Component { name: format!("{who}_{axis}"), unit: "half side", low, high: 2.0 };
            ["x", "y"].map(named)
        };
        [of("uav", 0.0), of("user_1", -2.0), of("user_2", -2.0), of("target", -2.0)].concat()
    }
    fn action() -> Vec<Component> {
        ["velocity_x_atanh", "velocity_y_atanh", "sensing_logit"].map(|name| Component::free(name, "")).into()
    }
    fn key(&self) -> [u32; 2] {
        self.key
    }
    #[inline(always)]
    fn keyed(self, key: [u32; 2]) -> Self {
        UavParams { key, ..self }
    }

    /// Everything uniform over the square.
    #[inline(always)]
    fn reset<V: Real>(&self, env: V::Word, clock: u32) -> [V; S] {
        let mut s = [c!(self.half_m) + c!(self.half_m); S];
        for (i, x) in s.iter_mut().enumerate() {
            // A draw has four words.
            *x *= V::unit_from_word(draw(self.key, Stream::Reset, env, clock, i as u32 / 4)[i % 4]);
        }
        s
    }

    #[inline(always)]
    fn observe<V: Real>(&self, s: &[V; S]) -> [V; O] {
        let mut o = *s;
        for i in 0..O {
            o[i] = if i < 2 { s[i] } else { s[i] - s[i % 2] } / c!(self.half_m);
        }
        o
    }

    /// The UAV flies, then transmits from where it is. Sensing is a constraint, SNR >= Γ; as usual where such a problem
    /// is learned, the reward pays for what is missing: R - λ·max(0, Γ - SNR) in dB.
    #[inline(always)]
    fn step<V: Real>(&self, _: V::Word, _: u32, action: &[V; A], s: &mut [V; S]) -> [V; M] {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        for i in 0..2 {
            let side = c!(self.half_m) + c!(self.half_m);
            s[i] = (s[i] + c!(self.reach_m) * action[i].tanh()).max(zero).min(side);
        }
        let h2 = c!(self.height_m) * c!(self.height_m);
        let sensing = action[2].sigmoid();
        let comm = c!(self.comm_m2) * (one - sensing);
        let rate = sum_rate(comm / (ground(s, 1, 0) + h2), comm / (ground(s, 2, 0) + h2));

        let d2 = ground(s, 3, 0) + h2;
        // An echo of -60 dB is none; the logarithm of less may not exist.
        let snr = (c!(self.echo_m4) * sensing / (d2 * d2)).max(V::splat(1e-6));
        let shortfall =
            (c!(self.snr_min_db) - snr.ln() * V::splat(10.0 * std::f64::consts::LOG10_E)).max(zero);

        // Nothing is sensed, no user is nearer than the altitude, and one of two is at least half their distance away
        // along the ground.
        let apart = ground(s, 1, 2) * V::splat(0.25);
        let bound = sum_rate(c!(self.comm_m2) / h2, c!(self.comm_m2) / (apart + h2));
        [rate - c!(self.penalty) * shortfall, rate, shortfall, bound]
    }
}

//! What pilots, reports and waiting cost every agent of task v2x, and the net rate that is left.

use super::agents::{Fixed, V2xAgent};
use super::config::V2xConfig;
use super::physics::metric;
use super::protocol::Protocol;
use super::rows::SCHEMA;
use crate::run::evaluate::Estimate;
use crate::run::rows::Schema;
use crate::run::task::{Evaluated, Kind};

/// Symbols of a slot without data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    pub pilots: u64,
    /// In which vehicles report.
    pub reports: u64,
    /// In which nothing is sent until the vehicles have computed what they report.
    pub waiting: u64,
}

impl Symbols {
    pub fn total(&self) -> u64 {
        self.pilots + self.reports + self.waiting
    }
}

/// What a slot of `agent` spends. Agents that learn see γ̂, which vehicles report in every slot unless the unit
/// computes it (`task.sinr_feedback`); other references and bounds are told nothing, or everything.
pub fn symbols(config: &V2xConfig, agent: &V2xAgent, slot: usize) -> Symbols {
    let (set, task) = (&config.protocol, &config.task);
    let (vehicles, beams) = (task.vehicles as u64, task.antennas_tx as u64);
    let (pilot, waiting) = (u64::from(set.pilot_symbols), u64::from(set.stage_symbols));
    let reports = vehicles * u64::from(set.feedback_symbols);
    match agent.kind {
        Kind::Learned(_) if task.sinr_feedback => Symbols { reports, ..Symbols::default() },
        Kind::Fixed(Fixed::Protocol(who)) => match who {
            Protocol::BeamTraining if set.sweeps_in(slot) => {
                Symbols { pilots: beams * pilot, reports, waiting }
            }
            Protocol::BeamTraining => Symbols::default(),
            Protocol::TwoStage => Symbols { pilots: vehicles * pilot, reports, waiting },
            Protocol::ChannelHistory => Symbols { pilots: vehicles * pilot, ..Symbols::default() },
        },
        Kind::Learned(_) | Kind::Fixed(_) => Symbols::default(),
    }
}

/// Share of this slot in which no data is sent: 1 where its pilots fill it.
pub fn overhead(config: &V2xConfig, agent: &V2xAgent, slot: usize) -> f64 {
    let seconds = symbols(config, agent, slot).total() as f64 * config.protocol.symbol_s;
    (seconds / config.task.slot_s).min(1.0)
}

/// Metrics beside those of the slots.
pub const NET_RATE: &str = "net_rate_bps_hz";
pub const OVERHEAD_SHARE: &str = "overhead_share";

const SLOT_RATE: usize = Schema::place(SCHEMA.slots, "sum_rate_bps_hz");

/// [`NET_RATE`], the mean over slots of sum-rate times 1 − overhead, and the mean [`OVERHEAD_SHARE`]. Each slot counts
/// with its own overhead. The net rate's standard error is the rate's in proportion: exact where all slots have one
/// overhead. Nothing of a bound, which has no slots.
pub(super) fn derived(config: &V2xConfig, agent: &V2xAgent, e: &Evaluated) -> Vec<(String, Estimate)> {
    let Some(slots) = e.slots.get(SLOT_RATE) else { return Vec::new() };
    let (mut gross, mut net, mut spent) = (0.0, 0.0, 0.0);
    for (slot, rate) in slots.iter().enumerate() {
        let share = overhead(config, agent, slot);
        gross += rate.mean;
        net += (1.0 - share) * rate.mean;
        spent += share;
    }
    let n = slots.len() as f64;
    let rate = e.metrics.iter().find(|m| m.0 == metric::NAMES[metric::SUM_RATE]).map(|m| m.1);
    let Some(rate) = rate else { return Vec::new() };
    let kept = if gross > 0.0 { net / gross } else { 1.0 - spent / n };
    let net = Estimate { mean: rate.mean * kept, std_error: rate.std_error * kept };
    vec![(NET_RATE.into(), net), (OVERHEAD_SHARE.into(), Estimate::exact(spent / n))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::run::task::Task;

    fn config(sets: &[&str]) -> V2xConfig {
        V2xConfig::load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn agent(id: &str) -> &'static V2xAgent {
        V2xConfig::agent(id).unwrap()
    }

    #[test]
    fn what_a_slot_costs() {
        let c = config(&["protocol.sweep_period_slots=4"]);
        let of = |id: &str, slot: usize| overhead(&c, agent(id), slot);
        // Symbols of 8.93 µs in a slot of 20 ms: 32 beams, 3 vehicles, 36 of waiting.
        for (id, slot, symbols) in [
            ("beam-training", 0, 32 + 3 + 36),
            ("beam-training", 1, 0),
            ("beam-training", 4, 32 + 3 + 36),
            ("two-stage", 1, 3 + 3 + 36),
            ("channel-history", 1, 3),
            ("spiking-ac", 1, 3),
            ("dqn", 0, 3),
        ] {
            let want = f64::from(symbols) * 8.93e-6 / 0.02;
            assert!((of(id, slot) - want).abs() < 1e-15, "{id}, slot {slot}: {}", of(id, slot));
        }
        for id in ["random", "last-estimate", "ekf", "ukf", "ekf-zf", "genie", "genie-zf", "upper-bound"] {
            assert_eq!(of(id, 0), 0.0, "{id}");
        }
        let unasked = config(&["task.sinr_feedback=false"]);
        assert_eq!(overhead(&unasked, agent("ppo"), 0), 0.0, "nobody reports");
        assert!(overhead(&unasked, agent("two-stage"), 0) > 0.0);
        let full = config(&["task.slot_s=1e-4"]);
        assert_eq!(overhead(&full, agent("beam-training"), 0), 1.0, "pilots fill the slot");
        assert!(overhead(&full, agent("channel-history"), 0) < 1.0);
    }

    #[test]
    fn a_net_rate_by_hand() {
        let rates = [10.0, 20.0, 30.0, 60.0];
        let e = Evaluated {
            episodes: 5,
            metrics: vec![("sum_rate_bps_hz".into(), Estimate { mean: 30.0, std_error: 0.5 })],
            slots: vec![rates.map(Estimate::exact).to_vec()],
            energy: Vec::new(),
            counted: Vec::new(),
            on_gpu: false,
        };
        // A sweep of 5 + 1 + 4 symbols of 1 ms fills half a slot, in every second one.
        let c = config(&[
            "task.antennas_tx=5",
            "task.vehicles=1",
            "task.start_m=[[-5.0, 10.0]]",
            "protocol.symbol_s=1e-3",
            "protocol.stage_symbols=4",
            "protocol.sweep_period_slots=2",
        ]);
        let of = |id: &str| {
            let [(net, n), (share, s)] = &derived(&c, agent(id), &e)[..] else { panic!("{id}") };
            assert_eq!((net.as_str(), share.as_str()), (NET_RATE, OVERHEAD_SHARE));
            (*n, s.mean)
        };
        let (net, share) = of("beam-training");
        assert!((net.mean - (5.0 + 20.0 + 15.0 + 60.0) / 4.0).abs() < 1e-12 && (share - 0.25).abs() < 1e-12);
        // By the mean share it would be 22.5.
        assert!((net.std_error - 0.5 * 25.0 / 30.0).abs() < 1e-12);
        // 1 + 1 + 4 symbols.
        let (net, share) = of("two-stage");
        assert!((net.mean - 30.0 * 0.7).abs() < 1e-12 && (share - 0.3).abs() < 1e-12);
        let (net, share) = of("ekf");
        assert_eq!((net.mean, net.std_error, share), (30.0, 0.5, 0.0));
        let bound = Evaluated { slots: Vec::new(), ..e };
        assert!(derived(&c, agent("upper-bound"), &bound).is_empty());
    }
}

//! What a decision of an agent without a network costs: the operations of its twin, by the methods that networks are
//! counted by.
//!
//! Exponentials, sines, … count as the operations of their polynomials ([`crate::num::real::counted`]). Divisions and
//! square roots count as what Newton's method takes from a seed with half of the bits: [`DIVISION`] and [`ROOT`].
//! Horowitz' table has neither.

use super::accounts::{EFFECTIVE, Entry, INFERENCE, MEASURED, MEMORY, PAPER, Quantity};
use super::methods::{CONSTANTS, Constants, FP32, INT8, INT32, access_pj};
use crate::num::real::counted::Operations;

/// Multiplications and additions of a division: two steps r ← r(2 − xr) for the reciprocal, the quotient, and its
/// correction by the remainder.
pub const DIVISION: [u64; 2] = [7, 4];
/// Multiplications and additions of a square root: two steps r ← r(3/2 − (x/2)r²) for the reciprocal root, the root xr,
/// and its correction.
pub const ROOT: [u64; 2] = [11, 4];

/// The name of its network in rows.
pub const RULE: &str = "rule";
/// The name of what makes a network's outputs into an action, beside the network in rows.
pub const AFTER: &str = "after-network";

const PJ: f64 = 1e-12;

/// What one decision takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleCounts {
    pub operations: Operations,
    /// Words that it reads of what was observed.
    pub inputs: u64,
    /// Words that it keeps from slot to slot: read and written once a decision.
    pub memory: u64,
    /// Words of the action.
    pub outputs: u64,
}

impl RuleCounts {
    /// Multiplications and additions, those of divisions and roots among them.
    pub fn products_and_sums(&self) -> [u64; 2] {
        let o = &self.operations;
        let of = |i: usize| o.divisions * DIVISION[i] + o.roots * ROOT[i];
        [o.multiplications + of(0), o.additions + of(1)]
    }

    /// The formula of the paper "spiking-ac" books a MAC for every product: J.
    pub fn paper_j(&self, c: &Constants) -> f64 {
        PJ * c.mac_pj() * self.products_and_sums()[0] as f64
    }

    /// Every operation by itself: J.
    pub fn effective_j(&self, c: &Constants) -> f64 {
        let [products, sums] = self.products_and_sums();
        PJ * (c.multiply_pj * products as f64 + c.add_pj * sums as f64)
    }

    /// With inputs, memory and outputs, each in a buffer of its own, int32: J. There are no weights; intermediate
    /// results stay in registers, as a network's sums do.
    pub fn memory_j(&self) -> f64 {
        let buffer = |words: u64, accesses: u64| accesses as f64 * access_pj(words as f64);
        let words = buffer(self.inputs, self.inputs)
            + buffer(self.memory, 2 * self.memory)
            + buffer(self.outputs, self.outputs);
        self.effective_j(&INT32) + PJ * words
    }

    /// Energies of a decision, then the counts behind them.
    pub fn accounts(&self) -> (Vec<Entry>, Vec<Quantity>) {
        let mut entries = Vec::new();
        let mut push = |method, c: &Constants, energy_j| {
            entries.push(Entry {
                phase: INFERENCE,
                network: RULE.into(),
                method,
                constants: c.name.into(),
                energy_j,
                reason: String::new(),
            });
        };
        for c in [&INT32, &FP32] {
            push(PAPER, c, self.paper_j(c));
        }
        for c in &CONSTANTS {
            push(EFFECTIVE, c, self.effective_j(c));
        }
        push(MEMORY, &INT32, self.memory_j());
        (entries, self.quantities(RULE))
    }

    /// The accounts of what follows a network in every inference: an entry for each of the network's, so that a sum
    /// over names holds both, then the counts. Arithmetic is that of the account, but of 32 bits where the network has
    /// fewer, since angles and powers are.
    pub fn after(&self, network: &[Entry]) -> (Vec<Entry>, Vec<Quantity>) {
        let computed = network.iter().filter(|e| e.phase == INFERENCE && e.method != MEASURED);
        let entries = computed.map(|e| {
            let c = match e.constants.split(',').next() {
                Some(name) if name == INT32.name || name == INT8.name => &INT32,
                _ => &FP32,
            };
            let energy_j = match e.method {
                PAPER => self.paper_j(c),
                MEMORY => self.memory_j(),
                _ => self.effective_j(c),
            };
            Entry { network: AFTER.into(), energy_j, reason: String::new(), ..e.clone() }
        });
        (entries.collect(), self.quantities(AFTER))
    }

    fn quantities(&self, network: &str) -> Vec<Quantity> {
        let o = &self.operations;
        let values = [
            ("additions", o.additions),
            ("multiplications", o.multiplications),
            ("divisions", o.divisions),
            ("roots", o.roots),
            ("words", self.inputs + 2 * self.memory + self.outputs),
        ];
        let quantity =
            |(name, value)| Quantity { network: network.into(), layer: 0, name, value: value as f64 };
        values.map(quantity).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: RuleCounts = RuleCounts {
        operations: Operations { additions: 10, multiplications: 20, divisions: 2, roots: 1 },
        inputs: 3,
        memory: 9,
        outputs: 6,
    };

    #[test]
    fn joules_are_those_of_the_table() {
        assert_eq!(COUNTS.products_and_sums(), [20 + 14 + 11, 10 + 8 + 4]);
        let close = |got: f64, pj: f64| assert!((got * 1e12 - pj).abs() < 1e-9, "{got} is not {pj} pJ");
        close(COUNTS.effective_j(&FP32), 45.0 * 3.7 + 22.0 * 0.9);
        close(COUNTS.paper_j(&INT32), 45.0 * 3.2);
        // An access to a buffer of w words takes w times 4 bytes times 4 bytes times 2.5 pJ over 8192.
        let access = |words: f64| 4.0 * words * 4.0 * 2.5 / 8192.0;
        let words = 3.0 * access(3.0) + 18.0 * access(9.0) + 6.0 * access(6.0);
        close(COUNTS.memory_j(), 45.0 * 3.1 + 22.0 * 0.1 + words);
    }

    #[test]
    fn an_agent_that_copies_takes_nothing_but_traffic() {
        let copies = RuleCounts { operations: Operations::default(), memory: 0, ..COUNTS };
        assert_eq!((copies.effective_j(&FP32), copies.paper_j(&INT32)), (0.0, 0.0));
        assert!(copies.memory_j() > 0.0);
        let (entries, quantities) = copies.accounts();
        assert_eq!(entries.len(), 7);
        assert!(quantities.iter().all(|q| q.network == RULE && q.layer == 0));
    }

    #[test]
    fn what_follows_a_network_is_in_every_account_of_it() {
        let entry = |method, constants: &str| Entry {
            phase: INFERENCE,
            network: "actor".into(),
            method,
            constants: constants.into(),
            energy_j: 1.0,
            reason: String::new(),
        };
        let network = [
            entry(PAPER, "int32"),
            entry(EFFECTIVE, "fp32, layer 1 at every step"),
            entry(EFFECTIVE, "int8"),
            entry(EFFECTIVE, "fp16"),
            entry(MEMORY, "int32, weights shared by 64"),
            entry(MEASURED, "device"),
        ];
        let (entries, quantities) = COUNTS.after(&network);
        let got: Vec<_> = entries.iter().map(|e| (e.method, e.constants.as_str(), e.energy_j)).collect();
        let want = [
            (PAPER, "int32", COUNTS.paper_j(&INT32)),
            (EFFECTIVE, "fp32, layer 1 at every step", COUNTS.effective_j(&FP32)),
            (EFFECTIVE, "int8", COUNTS.effective_j(&INT32)),
            (EFFECTIVE, "fp16", COUNTS.effective_j(&FP32)),
            (MEMORY, "int32, weights shared by 64", COUNTS.memory_j()),
        ];
        assert_eq!(got, want);
        assert!(entries.iter().all(|e| e.network == AFTER));
        assert!(quantities.iter().all(|q| q.network == AFTER));
    }
}

//! Neurons for the tests: the paper's and others that differ in every constant.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::nets::{Lif, Membrane, Readout};

pub const PAPER: Lif = Lif {
    steps: 6,
    lambda: 0.5,
    threshold: 1.0,
    reset: 0.0,
    eta: 3.0,
    detach_reset: false,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

/// One step.
pub const ONE: Lif = Lif { steps: 1, ..PAPER };

/// As many steps as there can be; potentials that forget slowly, start below their reset and are reset above 0.
pub const OTHER: Lif = Lif {
    steps: 16,
    lambda: 0.3,
    threshold: 0.7,
    reset: 0.2,
    eta: 2.0,
    detach_reset: true,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

/// A reset below 0, and an odd number of steps.
pub const LOW: Lif = Lif {
    steps: 7,
    lambda: 0.8,
    threshold: 1.3,
    reset: -0.4,
    eta: 5.0,
    detach_reset: false,
    readout: Readout::Last,
    learn_leak: false,
    membrane: Membrane::Reset,
};

//! The table of golden vectors that belong to no task.

use super::{File, gae_file, networks, off_policy, opcounts, paced, ppo, random, recurrent, spiking};

/// Files that belong to no task.
pub const FILES: &[File] = &[
    ("philox", random::philox),
    ("box_muller", random::box_muller),
    ("gae", gae_file),
    ("ppo_gaussian", ppo::gaussian),
    ("mlp_tanh", networks::mlp_tanh),
    ("mlp_relu", networks::mlp_relu),
    ("lstm", recurrent::lstm),
    ("ppo_bernoulli", ppo::bernoulli),
    ("adam", networks::adam),
    ("paced_adam", paced::paced_adam),
    ("ppo_update", networks::ppo_update),
    ("lif_neuron", spiking::lif_neuron),
    ("snn_actor", spiking::snn),
    ("snn_critic", spiking::snn),
    ("snn_natural", spiking::snn),
    ("snn_population", spiking::snn_population),
    ("snn_leaks", spiking::snn_leaks),
    ("ppo_update_snn", networks::ppo_update_snn),
    ("dqn", off_policy::dqn),
    ("ddpg", off_policy::ddpg),
    ("polyak", off_policy::polyak),
    ("opcounts", opcounts::opcounts),
];

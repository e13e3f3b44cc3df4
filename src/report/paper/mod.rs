//! What the papers print. The only place with printed values: nothing else in this crate may hold one.

pub mod rl_h_moe;
pub mod spiking_ac;

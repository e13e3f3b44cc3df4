//! The environments: physics by the equations of the papers, and the step contract.
//!
//! A step writes `reward`, the flags `terminated` (bit 0) and `truncated` (bit 1), `final_obs` where an episode ended, and then the
//! next observation, which after an end is the first one of a fresh episode (automatic reset).

/// Bit of the flags word: the episode ended by the task's own rule; nothing is to be bootstrapped.
pub const TERMINATED: u32 = 1;
/// Bit of the flags word: the time limit cut the episode; bootstrap from V(final_obs).
pub const TRUNCATED: u32 = 2;

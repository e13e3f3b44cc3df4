//! What the shaders of task v2x import.

use crate::gpu::Import;
use crate::kernels::imports;

/// What the kernels of this task can import beside what all can.
pub const SHARED: &[Import] = imports!["shaders/v2x/shared/": "v2x", "v2x_beams", "v2x_forcing", "v2x_pointing", "v2x_slot", "v2x_state", "v2x_write"];

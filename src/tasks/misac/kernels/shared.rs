//! What the shaders of task misac import.

use crate::gpu::Import;
use crate::kernels::imports;

/// What the kernels of this task can import beside what all can.
pub const SHARED: &[Import] = imports!["shaders/misac/shared/": "misac", "misac_beam", "misac_write"];

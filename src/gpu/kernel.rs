//! What a device keeps of a compiled kernel.

use super::immediates::Immediates;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// How a kernel uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

/// Kernels by their name and their whole text, which holds their constants. Learners, sweeps and tests ask for the same
/// ones again and again; one is some ten kilobytes here and some ten milliseconds to make.
pub(super) type Compiled = Arc<Mutex<HashMap<(&'static str, String), Kernel>>>;

/// A compiled pipeline with its binding layout.
#[derive(Clone)]
pub struct Kernel {
    pub name: &'static str,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) bindings: Vec<(String, Access)>,
    pub(super) immediates: Immediates,
}

//! What the module of a kernel needs whatever it computes: its host side, the number types of its twin, and what its
//! check is made of.

pub(crate) use super::compare::*;
pub(crate) use super::cost::*;
pub(crate) use super::inputs::*;
pub(crate) use super::registry::in_each_form;
pub(crate) use super::twin::*;
pub(crate) use crate::gpu::{Bound, Buf, Fill, Gpu, GpuError, Kernel, Prelude, Reduce, Source, fold_groups};
pub(crate) use crate::num::real::Real;

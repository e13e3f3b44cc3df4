//! Numbers: one source for f64, f32 and vector lanes ([`real`]), counter-based randomness ([`philox`]), shuffles
//! ([`shuffle`](mod@shuffle)) and statistics ([`stats`]).

pub mod compare;
pub mod philox;
pub mod real;
pub mod shuffle;
pub mod stats;
pub mod text;

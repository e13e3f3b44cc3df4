//! Episodes as one sees them: one HTML file that plays what was recorded, slot by slot, and needs nothing beside it.
//!
//! The page knows no task. A [`Scene`] says what the numbers of a [`Take`] mean, in primitives that every task can
//! fill: points and their error ellipses, lobes of an array's beams, lamps, numbers of a slot and time lines. Nothing
//! is computed of them in the page but places on the screen and the lobes, which are the recorded weights seen from a
//! direction.
//!
//! Places are polar, as an array at the origin measures them: the angle grows clockwise from the negative x axis, so
//! that (θ, d) lies at x = −d cos θ, y = d sin θ. The array lies along the x axis, its elements half a wavelength
//! apart.

mod markup;
mod page;
mod scene;
mod still;

pub(super) use page::linked;
pub use page::{FILE, LARGE};
pub use scene::{Cast, Column, GroundPlan, Line, Replay, Scene, Take, gain};

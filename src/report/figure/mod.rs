//! Figures as SVG: one colour and marker per agent id in every figure, 95 % bands or error bars, hollow markers for
//! what a paper prints, and the legend below the plot. plotters draws axes and their ticks.
//!
//! Groups of elements carry the values behind them: `data-series` is what the legend calls them, and `data-points` a
//! JSON list of `[x, y, lo, hi, seeds, left, top]` (`null` for what there is not; the place is in units of the drawing)
//! that the script of a page shows beside the pointer. A reader without scripts has the same words in `<title>`.

mod bars;
mod canvas;
mod dots;
mod lines;
mod matrix;
mod palette;
mod plate;
mod ticks;
mod values;

pub use bars::{Bar, Bars};
pub use canvas::WIDTH_PX;
pub use dots::{Dot, Dots};
pub use lines::{Figure, Look, Note, PaperMark, Point, Reach, Series};
pub use matrix::{Matrix, Square};
pub(crate) use palette::colour_of;
#[cfg(test)]
pub(crate) use palette::tell_apart;
pub use palette::{Palette, Shape, Swatch, categories};
pub(crate) use plate::{Picture, Plate};
pub(crate) use ticks::extent;

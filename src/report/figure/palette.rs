//! Colours and markers: one of each per agent in every figure.

use crate::report::pen::Rgb;
use std::borrow::Cow;

/// Shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    None,
    Circle,
    Square,
    Up,
    Down,
    Left,
    Right,
    Diamond,
    Plus,
    Cross,
    Pentagon,
    Hexagon,
    Star,
    /// Filled stars of so many points.
    Star3,
    Star4,
    Star5,
    Star6,
}

/// The colour and marker of one agent, or of another kind of series. Within a figure they are told apart by both, so
/// with any colour vision.
#[derive(Clone, Debug, PartialEq)]
pub struct Swatch {
    pub name: Cow<'static, str>,
    pub rgb: (u8, u8, u8),
    /// [`Shape::None`] for what has no marker, such as a bound.
    pub shape: Shape,
}

impl Swatch {
    pub const fn new(name: &'static str, rgb: (u8, u8, u8), shape: Shape) -> Swatch {
        Swatch { name: Cow::Borrowed(name), rgb, shape }
    }
}

/// The swatches of a figure: those of a task's agents, or [`categories`].
pub type Palette = Cow<'static, [Swatch]>;

/// For names without a swatch; which one depends on the name alone.
pub(super) const SPARE: [((u8, u8, u8), Shape); 4] = [
    ((0x11, 0x77, 0x33), Shape::Circle),
    ((0x99, 0x99, 0x33), Shape::Square),
    ((0xAA, 0x44, 0x99), Shape::Diamond),
    ((0x66, 0x33, 0x00), Shape::Up),
];

/// Of series that are no agents, by their place. Colours of Okabe and Ito, with dark ones of Paul Tol's.
pub(super) const CATEGORIES: [((u8, u8, u8), Shape); 10] = [
    ((0x00, 0x72, 0xB2), Shape::Square),
    ((0xD5, 0x5E, 0x00), Shape::Circle),
    ((0x00, 0x9E, 0x73), Shape::Up),
    ((0xCC, 0x79, 0xA7), Shape::Diamond),
    ((0xE6, 0x9F, 0x00), Shape::Down),
    ((0x56, 0xB4, 0xE9), Shape::Pentagon),
    ((0x33, 0x22, 0x88), Shape::Cross),
    ((0x88, 0x22, 0x55), Shape::Plus),
    ((0x99, 0x99, 0x33), Shape::Star),
    ((0x66, 0x66, 0x66), Shape::Circle),
];

/// A palette of series that are no agents, in the order of their names.
pub fn categories<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<Swatch> {
    let swatch = |(i, name): (usize, S)| {
        let (rgb, shape) = CATEGORIES[i % CATEGORIES.len()];
        Swatch { name: Cow::Owned(name.into()), rgb, shape }
    };
    names.into_iter().enumerate().map(swatch).collect()
}

pub(super) fn style_in(palette: &[Swatch], name: &str) -> (Rgb, Shape) {
    let known = palette.iter().find(|s| s.name == name).map(|s| (s.rgb, s.shape));
    known.unwrap_or_else(|| {
        let sum: usize = name.bytes().map(usize::from).sum();
        SPARE[sum % SPARE.len()]
    })
}

/// The colour of an agent in every figure.
pub(crate) fn colour_of(palette: &[Swatch], name: &str) -> (u8, u8, u8) {
    style_in(palette, name).0
}

/// Panics unless every swatch has a name and a colour of its own, and all that have a marker another one.
#[cfg(test)]
pub(crate) fn tell_apart(palette: &[Swatch]) {
    for (i, a) in palette.iter().enumerate() {
        let unlike =
            |b: &Swatch| a.name != b.name && a.rgb != b.rgb && (a.shape != b.shape || a.shape == Shape::None);
        assert!(palette[i + 1..].iter().all(unlike), "{}", a.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_told_apart_whatever_they_are_called() {
        let names = || (0..CATEGORIES.len()).map(|i| format!("series {i}"));
        let all = categories(names());
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a.name != b.name && a.rgb != b.rgb), "{}", a.name);
        }
        // Without a swatch, a name keeps its colour.
        assert_eq!(style_in(&all, "ppo"), style_in(&[], "ppo"));
    }
}

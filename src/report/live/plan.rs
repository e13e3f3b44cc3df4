//! Kernels, arrays and dispatches of a page, checked against the kernels' own texts while they are put together.

use super::{Expect, LiveError, Words};
use crate::gpu::{Access, Prelude, Reduce, Source, bindings, compose, portable};
use bytemuck::Pod;
use serde::Serialize;

/// An array of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Array(usize);

/// A kernel of the page, with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Kernel(usize);

/// Words of checks, kept once however many checks have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Stored(usize);

/// What was an immediate: a number, what is added for each tick of the clock, and for each slot since the last picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Word([u32; 3]);

impl Word {
    pub const CLOCK: Word = Word([0, 1, 0]);
    pub const ZERO: Word = Word([0, 0, 0]);

    pub fn is(x: usize) -> Word {
        Word([u32::try_from(x).expect("offsets are u32"), 0, 0])
    }
    pub fn bits(x: f32) -> Word {
        Word([x.to_bits(), 0, 0])
    }
    /// So much for each slot.
    pub fn slot(by: usize) -> Word {
        Word([0, 0, u32::try_from(by).expect("offsets are u32")])
    }
    /// Its value at a clock and a slot.
    pub fn at(self, clock: u32, slot: u32) -> u32 {
        let Word([base, by_clock, by_slot]) = self;
        base.wrapping_add(by_clock.wrapping_mul(clock)).wrapping_add(by_slot.wrapping_mul(slot))
    }
}

/// A kernel with its arrays in binding order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dispatch {
    pub kernel: Kernel,
    pub arrays: Vec<Array>,
    pub groups: [u32; 3],
    pub words: Vec<Word>,
}

/// Kernels and arrays of a page. Texts are kept once: kernels that differ in their constants share one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PagePlan {
    texts: Vec<String>,
    kernels: Vec<Text>,
    arrays: Vec<Room>,
    stored: Vec<Words>,
    /// One element each, for bindings that a kernel is compiled not to look at.
    #[serde(skip)]
    spare: Vec<Array>,
}

/// A kernel's text: constants, then what all of that name have in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Text {
    name: &'static str,
    prelude: String,
    text: usize,
    /// Whether the kernel writes to it, binding by binding.
    writes: Vec<bool>,
    #[serde(skip)]
    bindings: Vec<String>,
    #[serde(skip)]
    immediates: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Room {
    name: String,
    /// Elements, one word each.
    len: usize,
    /// Zeros without.
    data: Option<Words>,
}

impl PagePlan {
    /// An array of zeros.
    pub fn array(&mut self, name: &str, len: usize) -> Array {
        self.room(name, len, None)
    }

    /// An array of these numbers.
    pub fn filled<T: Pod>(&mut self, name: &str, data: &[T]) -> Array {
        assert_eq!(size_of::<T>() % 4, 0, "arrays are of words");
        self.room(name, size_of_val(data) / 4, Some(Words::of(data)))
    }

    fn room(&mut self, name: &str, len: usize, data: Option<Words>) -> Array {
        self.arrays.push(Room { name: name.into(), len: len.max(1), data });
        Array(self.arrays.len() - 1)
    }

    /// An array in place of the `n`-th that a kernel is compiled not to look at: two that it could write to must not be
    /// one.
    pub fn spare(&mut self, n: usize) -> Array {
        while self.spare.len() <= n {
            let array = self.array("spare", 1);
            self.spare.push(array);
        }
        self.spare[n]
    }

    /// Keeps words for checks.
    pub fn store<T: Pod>(&mut self, data: &[T]) -> Stored {
        let words = Words::of(data);
        Stored(self.stored.iter().position(|w| *w == words).unwrap_or_else(|| {
            self.stored.push(words);
            self.stored.len() - 1
        }))
    }

    /// Words that an array must hold after a check, bit by bit.
    pub fn exactly<T: Pod>(&mut self, array: Array, data: &[T]) -> Expect {
        Expect { array, words: self.store(data), mask: u32::MAX, tolerance: None }
    }

    /// What was stored.
    pub fn words(&self, stored: Stored) -> Vec<u32> {
        self.stored[stored.0].to_vec()
    }

    /// Elements of an array.
    pub fn len(&self, array: Array) -> usize {
        self.arrays[array.0].len
    }

    /// What an array holds at first, if it is not zeros.
    pub fn data(&self, array: Array) -> Option<&Words> {
        self.arrays[array.0].data.as_ref()
    }

    /// A kernel with these constants, as browsers take it.
    ///
    /// # Errors
    /// If it cannot be composed, or needs what browsers may lack.
    pub fn kernel(&mut self, source: &Source, prelude: &Prelude) -> Result<Kernel, LiveError> {
        let whole = portable(&compose(source, prelude, Reduce::Tree)?.source);
        let Some(body) = whole.source.strip_prefix(prelude.text()) else {
            return Err(LiveError::Lacks(format!("kernel '{}': it needs extensions of WGSL", source.name)));
        };
        let text = self.texts.iter().position(|t| t == body).unwrap_or_else(|| {
            self.texts.push(body.into());
            self.texts.len() - 1
        });
        let (names, access): (Vec<_>, Vec<_>) = bindings(&whole.source)
            .into_iter()
            .map(|(name, access)| (name, access == Access::ReadWrite))
            .unzip();
        let kernel = Text {
            name: source.name,
            prelude: prelude.text().into(),
            text,
            writes: access,
            bindings: names,
            immediates: whole.immediates,
        };
        Ok(Kernel(self.kernels.iter().position(|k| *k == kernel).unwrap_or_else(|| {
            self.kernels.push(kernel);
            self.kernels.len() - 1
        })))
    }

    /// A dispatch of `kernel`; arrays and immediates under the names that they have in its text, in that order.
    ///
    /// # Panics
    /// If a name or a number of them is another one, or an array that is written to is bound twice.
    pub fn dispatch(
        &self,
        kernel: Kernel,
        arrays: &[(&str, Array)],
        groups: [u32; 3],
        words: &[(&str, Word)],
    ) -> Dispatch {
        let text = &self.kernels[kernel.0];
        let names: Vec<_> = arrays.iter().map(|a| a.0).collect();
        assert_eq!(names, text.bindings, "arrays of kernel '{}'", text.name);
        let names: Vec<_> = words.iter().map(|w| w.0).collect();
        assert_eq!(names, text.immediates, "immediates of kernel '{}'", text.name);
        for (i, (name, array)) in arrays.iter().enumerate() {
            let other = arrays.iter().enumerate().any(|(j, a)| i != j && a.1 == *array);
            assert!(!(other && text.writes[i]), "'{name}' of kernel '{}' is bound twice", text.name);
        }
        Dispatch {
            kernel,
            arrays: arrays.iter().map(|a| a.1).collect(),
            groups,
            words: words.iter().map(|w| w.1).collect(),
        }
    }

    /// Name and whole text of every kernel.
    pub fn shaders(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.kernels.iter().map(|k| (k.name, k.prelude.clone() + &self.texts[k.text]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::metrics_reduce;

    fn plan() -> (PagePlan, Kernel) {
        let mut plan = PagePlan::default();
        let spec = metrics_reduce::Spec { r: 1, metric_rows: 3, b: 5 };
        let kernel = plan.kernel(&metrics_reduce::SHADER, &metrics_reduce::prelude(&spec)).unwrap();
        (plan, kernel)
    }

    #[test]
    fn texts_are_kept_once() {
        let (mut plan, kernel) = plan();
        let other = metrics_reduce::Spec { r: 1, metric_rows: 4, b: 5 };
        let other = plan.kernel(&metrics_reduce::SHADER, &metrics_reduce::prelude(&other)).unwrap();
        let again = metrics_reduce::Spec { r: 1, metric_rows: 3, b: 5 };
        let again = plan.kernel(&metrics_reduce::SHADER, &metrics_reduce::prelude(&again)).unwrap();
        assert!(kernel != other && kernel == again);
        assert_eq!([plan.texts.len(), plan.kernels.len()], [1, 2]);
    }

    #[test]
    #[should_panic(expected = "immediates of kernel 'metrics_reduce'")]
    fn immediates_go_by_their_names() {
        let (mut plan, kernel) = plan();
        let (a, b) = (plan.array("a", 15), plan.array("b", 6));
        plan.dispatch(kernel, &[("metrics", a), ("sums", b)], [1; 3], &[("sums_off", Word::ZERO)]);
    }

    #[test]
    #[should_panic(expected = "is bound twice")]
    fn what_is_written_is_bound_once() {
        let (mut plan, kernel) = plan();
        let a = plan.array("a", 15);
        let words = [("scale_bits", Word::bits(1.0)), ("sums_off", Word::slot(6))];
        plan.dispatch(kernel, &[("metrics", a), ("sums", a)], [1; 3], &words);
    }

    #[test]
    fn words_follow_the_clock() {
        assert_eq!([Word::CLOCK.at(7, 3), Word::is(5).at(7, 3), Word::slot(10).at(7, 3)], [7, 5, 30]);
    }
}

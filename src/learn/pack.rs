//! Replicas with numbers of their own in one batch: what all of them must have in common, how algorithms of single configurations become one, and the
//! states of some replicas of a batch.

use super::off_policy::Numbers;
use super::{Algorithm, Extra, LearnerState};

impl Algorithm {
    /// What the replicas of a batch must have in common, as text: all but the numbers that each of them has for itself.
    pub fn structure(&self) -> String {
        // The debug form of a number is read back as the same number, so equal texts are equal settings.
        match self {
            Algorithm::OffPolicy(s) => {
                let mut s = s.clone();
                (s.numbers, s.each) = (Numbers::default(), Vec::new());
                format!("{s:?}")
            }
            _ => format!("{self:?}"),
        }
    }

    /// This algorithm with the numbers of `single`, one for each replica; their structures are equal.
    ///
    /// # Panics
    /// If one of them is of another kind.
    #[must_use]
    pub fn with_numbers_of(mut self, single: &[Algorithm]) -> Algorithm {
        match &mut self {
            Algorithm::OffPolicy(s) => {
                let of = |a: &Algorithm| match a {
                    Algorithm::OffPolicy(s) => s.numbers,
                    _ => unreachable!("algorithms of equal structure"),
                };
                s.each = differing(single.iter().map(of).collect(), &s.numbers);
            }
            Algorithm::Ppo(_) | Algorithm::Experts(_) => {}
        }
        self
    }
}

/// `each`, or nothing where all are `usual`.
fn differing<T: PartialEq>(each: Vec<T>, usual: &T) -> Vec<T> {
    if each.iter().all(|x| x == usual) { Vec::new() } else { each }
}

impl LearnerState {
    /// The state of replica `r` of `of` alone.
    pub fn replica(&self, r: usize, of: usize) -> LearnerState {
        let row = |x: &[f32]| {
            let width = x.len() / of;
            x[r * width..(r + 1) * width].to_vec()
        };
        let extra = |e: &Extra| Extra { data: row(&e.data), ..e.clone() };
        LearnerState {
            params: row(&self.params),
            m: row(&self.m),
            v: row(&self.v),
            extra: self.extra.iter().map(extra).collect(),
            ..*self
        }
    }

    /// The states of single replicas side by side; `None` of none, and where they have not come equally far or are of other shapes.
    pub fn side_by_side(states: &[LearnerState]) -> Option<LearnerState> {
        let first = states.first()?;
        let shapes = |s: &LearnerState| {
            let extra: Vec<_> =
                s.extra.iter().map(|e| (e.name.clone(), e.shape.clone(), e.data.len())).collect();
            (s.params.len(), s.m.len(), s.v.len(), s.adam_steps, s.updates, extra)
        };
        if states.iter().any(|s| shapes(s) != shapes(first)) {
            return None;
        }
        let all = |of: &dyn Fn(&LearnerState) -> &Vec<f32>| {
            states.iter().flat_map(|s| of(s).iter().copied()).collect::<Vec<f32>>()
        };
        let extra = |(i, e): (usize, &Extra)| Extra { data: all(&|s| &s.extra[i].data), ..e.clone() };
        Some(LearnerState {
            params: all(&|s| &s.params),
            m: all(&|s| &s.m),
            v: all(&|s| &s.v),
            extra: first.extra.iter().enumerate().map(extra).collect(),
            ..*first
        })
    }
}

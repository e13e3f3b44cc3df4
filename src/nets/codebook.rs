//! The choices of a factored discrete policy: per factor (a vehicle) one of a few beams and one of a few power levels,
//! and the raw action that each stands for. Which beams there are is the task's to say:
//! [`Env::codebook`](crate::env::Env::codebook).

/// What the choices `beam·levels + level` of every factor mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Codebook {
    /// K: factors of the policy.
    pub factors: usize,
    /// A raw action holds K·`width` values of a beam, beam by beam, `parts` times (real and imaginary parts of explicit
    /// beams), then K power logits.
    pub parts: usize,
    pub width: usize,
    /// Raw values of each beam, `[beams, parts·width]`.
    pub beams: Vec<f32>,
    /// Power logit of each level, ln of its relative weight.
    pub levels: Vec<f32>,
    /// Whether a choice is worth what its beam and its level are, each by itself, not what the pair is.
    pub additive: bool,
}

impl Codebook {
    /// Values of a beam.
    pub fn values(&self) -> usize {
        self.parts * self.width
    }

    /// L: choices of a factor.
    pub fn choices(&self) -> usize {
        self.beams.len() / self.values() * self.levels.len()
    }

    /// Values of a factor, from which [`Codebook::greedy`] reads what its choices are worth: one each, or one of every
    /// beam and then one of every level.
    pub fn outputs(&self) -> usize {
        if self.additive { self.split() + self.levels.len() } else { self.choices() }
    }

    /// Where the values of levels start, behind those of beams; 0 where every choice has its own.
    pub fn split(&self) -> usize {
        if self.additive { self.choices() / self.levels.len() } else { 0 }
    }

    /// Which values of a factor a choice is the sum of.
    pub fn parts_of(&self, choice: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let levels = self.levels.len();
        let [first, second] = match self.additive {
            true => [choice / levels, self.split() + choice % levels].map(Some),
            false => [Some(choice), None],
        };
        first.into_iter().chain(second)
    }

    /// The choice that is worth most by a factor's values; of equals the first.
    pub fn greedy(&self, values: &[f32]) -> usize {
        if !self.additive {
            return argmax(values);
        }
        let (beams, levels) = values.split_at(self.split());
        argmax(beams) * self.levels.len() + argmax(levels)
    }

    /// What that choice is worth.
    pub fn best(&self, values: &[f32]) -> f32 {
        let (beams, levels) = values.split_at(self.split());
        if self.additive { largest(beams) + largest(levels) } else { largest(values) }
    }

    /// A: length of a raw action.
    pub fn actions(&self) -> usize {
        self.factors * (self.values() + 1)
    }

    /// Writes factor `k`'s part of a raw action `[A]`.
    pub fn decode(&self, k: usize, choice: usize, action: &mut [f32]) {
        let (beam, level) = (choice / self.levels.len(), choice % self.levels.len());
        let values = &self.beams[beam * self.values()..][..self.values()];
        for (part, values) in values.chunks_exact(self.width).enumerate() {
            action[(part * self.factors + k) * self.width..][..self.width].copy_from_slice(values);
        }
        action[self.factors * self.values() + k] = self.levels[level];
    }

    /// Beams behind one another, then levels: as the kernels read it.
    pub fn flat(&self) -> Vec<f32> {
        self.beams.iter().chain(&self.levels).copied().collect()
    }
}

fn largest(q: &[f32]) -> f32 {
    q.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Index of the largest of `q`, the first where several are equal.
pub fn argmax(q: &[f32]) -> usize {
    let mut best = 0;
    for (i, x) in q.iter().enumerate() {
        if q[best] < *x {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals() {
        assert_eq!(argmax(&[0.0, 3.0, -1.0, 3.0]), 1);
        assert_eq!(argmax(&[-2.0]), 0);
    }

    /// Every choice's worth by its parts, beside what the codebook says is best.
    #[test]
    fn the_best_choice_is_worth_most() {
        let levels = vec![0.0, 1.0];
        let branches =
            Codebook { factors: 1, parts: 1, width: 1, beams: vec![0.0; 3], levels, additive: false };
        let additive = Codebook { additive: true, ..branches.clone() };
        assert_eq!((branches.outputs(), branches.split()), (6, 0));
        assert_eq!((additive.outputs(), additive.split()), (5, 3));
        for (book, values, best) in [
            (&branches, &[1.0, 7.0, 3.0, 2.0, 5.0, 4.0][..], 1),
            (&additive, &[1.0, 2.0, 9.0, -1.0, 4.0], 5),
            (&additive, &[3.0, 3.0, -5.0, 0.5, -1.0], 0),
        ] {
            let worth: Vec<f32> = (0..6).map(|c| book.parts_of(c).map(|i| values[i]).sum::<f32>()).collect();
            assert_eq!(book.greedy(values), best, "{worth:?}");
            assert_eq!((argmax(&worth), worth[best]), (best, book.best(values)));
        }
    }
}

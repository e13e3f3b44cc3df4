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
}

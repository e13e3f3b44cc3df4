//! How active the units of a network were: what operation counting starts from (NeuroBench's effective operations).

/// Counts over samples of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Inferences counted.
    pub samples: u64,
    /// One per weight matrix, input side first.
    pub layers: Vec<LayerActivity>,
    /// Products and additions of weights that the backend executed for these samples, padding left out: what its
    /// handling of zeros saves is the distance to every product.
    pub executed: u64,
}

/// What entered one weight matrix, and what the neurons behind it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerActivity {
    /// Presentations of an input vector per inference: 1, or S where the input is spikes.
    pub presentations: u64,
    /// `[inputs]` Per input unit, presentations in which it was not zero, summed over all inferences.
    pub active: Vec<u64>,
    /// Membrane potentials (before the reset) of the neurons behind this matrix that were written, summed over all
    /// inferences: all of the first spike step, later those that changed (NeuroBench's `MembraneUpdates`). 0 where no
    /// spiking neurons follow.
    pub membrane_updates: u64,
}

impl LayerActivity {
    /// Share of presentations in which a unit was not zero, mean over the units: the firing rate where the input is
    /// spikes.
    pub fn rate(&self, samples: u64) -> f64 {
        let all = samples * self.presentations * self.active.len() as u64;
        self.active.iter().sum::<u64>() as f64 / all as f64
    }
}

impl Activity {
    /// Adds the counts of other samples of the same network. An empty one takes their shape.
    pub fn add(&mut self, other: &Activity) {
        if self.layers.is_empty() {
            *self = other.clone();
            return;
        }
        assert_eq!(self.layers.len(), other.layers.len(), "activities of different networks");
        self.samples += other.samples;
        self.executed += other.executed;
        for (a, b) in self.layers.iter_mut().zip(&other.layers) {
            assert_eq!((a.presentations, a.active.len()), (b.presentations, b.active.len()));
            a.active.iter_mut().zip(&b.active).for_each(|(x, y)| *x += y);
            a.membrane_updates += b.membrane_updates;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_the_mean_share_of_active_presentations() {
        let layer = LayerActivity { presentations: 6, active: vec![12, 0, 3, 3], membrane_updates: 0 };
        // Two samples of six steps: 18 of 48.
        assert_eq!(layer.rate(2), 0.375);
    }

    #[test]
    fn adding_keeps_counts_per_unit() {
        let one = Activity {
            samples: 2,
            layers: vec![LayerActivity { presentations: 1, active: vec![2, 1], membrane_updates: 5 }],
            executed: 9,
        };
        let mut sum = Activity::default();
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.samples, sum.executed), (4, 18));
        assert_eq!(sum.layers[0].active, [4, 2]);
        assert_eq!(sum.layers[0].membrane_updates, 10);
    }
}

//! One vehicle over an episode whose β is known slot by slot, and its frames of least energy.

/// One vehicle over an episode in which its β is known slot by slot, as with `uncertainty = "kinematic"`.
///
/// The vehicles of an episode are coupled by the penalty on L_BMP alone, which is never negative. So the sum over
/// vehicles of [`Trajectory::plan`]'s energies is a lower bound on the cost (11) of every policy, even of one that
/// knows the whole trajectory beforehand; and where no slot of these plans together exceeds Γ_misa it is the optimum
/// itself.
#[derive(Clone, Debug)]
pub struct Trajectory<'a> {
    /// β of each slot of the episode, per slot of age.
    pub beta: &'a [f64],
    /// e_vis of (4), J per camera frame.
    pub e_vis_j: f64,
    /// E_recovery of (5), J.
    pub e_recovery_j: f64,
    /// Age after a camera frame, slots (6).
    pub t_proc: usize,
    /// Age at which it saturates, slots.
    pub age_max: usize,
    /// As of [`Schedule`](super::Schedule).
    pub realign: bool,
}

/// What [`Trajectory::plan`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct FramePlan {
    /// Energy of the whole episode, J.
    pub energy_j: f64,
    /// Slots in which the camera is on.
    pub frames: Vec<bool>,
}

impl Trajectory<'_> {
    /// Least energy from slot n on at an age, J, `[T+1, A_max+1]`, by backward induction; 0 behind the last slot.
    pub fn values(&self) -> Vec<f64> {
        let ages = self.age_max + 1;
        let mut values = vec![0.0; (self.beta.len() + 1) * ages];
        for (n, beta) in self.beta.iter().enumerate().rev() {
            let (here, after) = values[n * ages..].split_at_mut(ages);
            for (age, value) in here.iter_mut().enumerate() {
                let (without, with) = self.choices(*beta, age, after);
                *value = self.e_recovery_j * (1.0 - (-beta * age as f64).exp()) + with.min(without);
            }
        }
        values
    }

    /// What is paid behind a slot without a frame, and for a frame and behind it, J; `after` begins with the values of
    /// the next slot, `beta` is that of the slot at hand.
    fn choices(&self, beta: f64, age: usize, after: &[f64]) -> (f64, f64) {
        let reset = self.t_proc.min(self.age_max);
        let without = after[(age + 1).min(self.age_max)];
        let without = match self.realign {
            true => {
                let lost = 1.0 - (-beta * age as f64).exp();
                (1.0 - lost) * without + lost * after[reset]
            }
            false => without,
        };
        (without, self.e_vis_j + after[reset])
    }

    /// Whether a frame is worth its energy in slot n at an age, by [`Trajectory::values`]; of equals, no frame.
    pub fn takes_frame(&self, values: &[f64], n: usize, age: usize) -> bool {
        let (without, with) =
            self.choices(self.beta[n], age.min(self.age_max), &values[(n + 1) * (self.age_max + 1)..]);
        with < without
    }

    /// The frames of least energy over the episode, which starts at age 0, if no sweep finds the vehicle; of equals the
    /// ones without a frame.
    pub fn plan(&self) -> FramePlan {
        let values = self.values();
        let mut age = 0;
        let frames = values.chunks(self.age_max + 1).skip(1).zip(self.beta).map(|(after, beta)| {
            let (without, with) = self.choices(*beta, age, after);
            age = if with < without { self.t_proc } else { age + 1 }.min(self.age_max);
            with < without
        });
        FramePlan { frames: frames.collect(), energy_j: values[0] }
    }
}

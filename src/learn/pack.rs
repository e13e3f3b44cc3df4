//! Replicas with numbers of their own in one batch: what all of them must have in common, how algorithms of single
//! configurations become one, and the states of some replicas of a batch.

use super::off_policy::Numbers;
use super::{Algorithm, ApgSpec, ExpertsSpec, Extra, LearnerState, OffPolicySpec, PpoSpec};
use crate::config::SpikingConfig;
use std::ops::Range;

impl Algorithm {
    /// What the replicas of a batch must have in common, as text: all but the numbers that each of them has for itself.
    pub fn structure(&self) -> String {
        // The debug form of a number is read back as the same number, so equal texts are equal settings.
        match self {
            Algorithm::Ppo(s) => {
                let spiking = s.spiking.as_ref().map(SpikingConfig::structure);
                format!("{:?}", PpoSpec { ppo: s.ppo.structure(), spiking, each: Vec::new(), ..s.clone() })
            }
            Algorithm::OffPolicy(s) => {
                let numbers = Numbers::default();
                format!("{:?}", OffPolicySpec { numbers, each: Vec::new(), ..s.clone() })
            }
            Algorithm::Apg(s) => {
                let spiking = s.spiking.as_ref().map(SpikingConfig::structure);
                format!("{:?}", ApgSpec { apg: s.apg.structure(), spiking, each: Vec::new(), ..s.clone() })
            }
            Algorithm::Experts(s) => {
                let (temporal, spatial) = (s.temporal.structure(), s.spatial.structure());
                let (each, each_spatial) = (Vec::new(), Vec::new());
                format!("{:?}", ExpertsSpec { temporal, spatial, each, each_spatial, ..s.clone() })
            }
        }
    }

    /// This algorithm with the numbers of `single`, one for each replica; their structures are equal.
    ///
    /// # Panics
    /// If one of them is of another kind.
    #[must_use]
    pub fn with_numbers_of(mut self, single: &[Algorithm]) -> Algorithm {
        /// The numbers of each, or nothing where all are `usual`.
        fn each<T: PartialEq>(single: &[Algorithm], usual: &T, of: fn(&Algorithm) -> Option<T>) -> Vec<T> {
            let each: Option<Vec<T>> = single.iter().map(of).collect();
            let each = each.expect("algorithms of one kind");
            if each.iter().all(|x| x == usual) { Vec::new() } else { each }
        }
        fn experts(a: &Algorithm) -> Option<&ExpertsSpec> {
            if let Algorithm::Experts(s) = a { Some(s) } else { None }
        }
        match &mut self {
            Algorithm::Ppo(s) => {
                let of = |a: &Algorithm| if let Algorithm::Ppo(s) = a { Some(s.ppo.clone()) } else { None };
                s.each = each(single, &s.ppo, of);
            }
            Algorithm::OffPolicy(s) => {
                let of = |a: &Algorithm| if let Algorithm::OffPolicy(s) = a { Some(s.numbers) } else { None };
                s.each = each(single, &s.numbers, of);
            }
            Algorithm::Apg(s) => {
                let of = |a: &Algorithm| if let Algorithm::Apg(s) = a { Some(s.apg.clone()) } else { None };
                s.each = each(single, &s.apg, of);
            }
            Algorithm::Experts(s) => {
                s.each = each(single, &s.temporal, |a| Some(experts(a)?.temporal.clone()));
                s.each_spatial = each(single, &s.spatial, |a| Some(experts(a)?.spatial.clone()));
            }
        }
        self
    }
}

impl Algorithm {
    /// The same of some of the replicas alone; `None` where the environment cannot be parted.
    pub fn part(&self, replicas: Range<usize>) -> Option<Algorithm> {
        /// The numbers of these replicas, or nothing where none has its own.
        fn each<T: Clone>(all: &[T], replicas: &Range<usize>) -> Vec<T> {
            all.get(replicas.clone()).map(<[T]>::to_vec).unwrap_or_default()
        }
        let mut part = self.clone();
        let env = self.env().part(replicas.clone())?;
        match &mut part {
            Algorithm::Ppo(s) => (s.env, s.each) = (env, each(&s.each, &replicas)),
            Algorithm::OffPolicy(s) => (s.env, s.each) = (env, each(&s.each, &replicas)),
            Algorithm::Apg(s) => (s.env, s.each) = (env, each(&s.each, &replicas)),
            Algorithm::Experts(s) => {
                (s.env, s.each) = (env, each(&s.each, &replicas));
                s.each_spatial = each(&s.each_spatial, &replicas);
            }
        }
        Some(part)
    }
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

    /// The states of single replicas side by side; `None` if there is no state, or if they differ in their
    /// number of updates or in shape.
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

//! What stands before and behind the networks of an exported policy of this task: estimates and ages in, cameras and
//! phases out.

use super::physics::{MisacParams, MisacSpec};
use crate::exchange::graph::Graph;
use crate::exchange::{Decided, Seen, Wrap};

/// d̂ of an observation is in units of so many metres.
const DISTANCE_M: f64 = 80.0;

/// The task with the parameters of one replica.
pub struct MisacWrap {
    pub spec: MisacSpec,
    pub params: MisacParams,
}

impl Wrap for MisacWrap {
    fn enter(&self, g: &mut Graph) -> Seen {
        let k = self.spec.vehicles;
        let angle = g.input("angle_rad", &[k], "estimated angle of each vehicle, rad");
        let distance = g.input("distance_m", &[k], "measured distance of each vehicle, m");
        let age = g.input("age_slots", &[k], "age of what is known of each vehicle, slots");
        let parts = [
            g.map("Cos", &angle),
            g.scaled(&distance, 1.0 / DISTANCE_M),
            g.scaled(&age, 1.0 / f64::from(self.params.age_max)),
        ];
        Seen { obs: g.concat(&parts, 1), physical: vec![angle, distance, age] }
    }

    fn leave(&self, g: &mut Graph, _: &Seen, decided: &Decided) -> Result<(), String> {
        let (k, m) = (self.spec.vehicles, self.spec.antennas);
        let probability = g.map("Sigmoid", &decided.action);
        let zero = g.number(0.0);
        let camera = g.above(&decided.action, &zero);
        g.output("camera_probability", &probability, &[k], "probability of a frame of each vehicle");
        g.output("camera", &camera, &[k], "1 where a frame is more probable than none, else 0");
        if let Some(phases) = &decided.phases {
            let phases = g.reshape(phases, &[k, m]);
            g.output(
                "phase_rad",
                &phases,
                &[k, m],
                "phase of each beam's weights, rad; all have modulus 1/sqrt(M)",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;
    use crate::exchange::interpreter::{Array, run};
    use crate::tasks::misac::config::MisacConfig;
    use std::collections::BTreeMap;

    #[test]
    fn observations_cameras_and_phases_by_hand() {
        let sets = ["task.vehicles=2", "task.antennas=4"].map(String::from);
        let config = MisacConfig::load(None, &sets).unwrap();
        let wrap = MisacWrap { spec: config.task.spec(), params: config.task.params([0, 0]) };
        let mut g = Graph::new();
        let seen = wrap.enter(&mut g);
        let action = g.input("logit", &[2], "");
        let phases = Some(g.input("phases", &[8], ""));
        g.output("obs", &seen.obs, &[6], "");
        wrap.leave(&mut g, &seen, &Decided { action, phases }).unwrap();
        let row = |x: &[f32]| Array::new(&[1, x.len()], x.to_vec());
        let phases = [0.0, 0.1, 0.2, 0.3, 1.0, 1.1, 1.2, 1.3];
        let inputs: BTreeMap<&str, Array> = [
            ("angle_rad", row(&[0.0, std::f32::consts::FRAC_PI_3])),
            ("distance_m", row(&[40.0, 160.0])),
            ("age_slots", row(&[5.0, 10.0])),
            ("logit", row(&[-1.0, 2.0])),
            ("phases", row(&phases)),
        ]
        .into();
        let told = run(&g, &inputs);
        let want = [1.0, 0.5, 0.5, 2.0, 0.5, 1.0];
        assert!(told["obs"].data.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", told["obs"]);
        assert_eq!(told["camera"].data, [0.0, 1.0]);
        assert!((told["camera_probability"].data[1] - 0.880_797).abs() < 1e-5);
        assert_eq!(
            (told["phase_rad"].shape.as_slice(), told["phase_rad"].data.as_slice()),
            (&[1, 2, 4][..], &phases[..])
        );
    }
}

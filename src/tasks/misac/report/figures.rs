//! The figures of the paper, and those it lacks.

use super::*;

/// Between the last slot and the paper's marks, as a share of the episode.
const MARK_GAP: f64 = 0.03;

fn thousands(points: &[(f64, Estimate)]) -> Vec<Point> {
    points.iter().map(|(steps, e)| e.point(steps / 1e3)).collect()
}

fn x_ends(all: &[Series]) -> Option<(f64, f64)> {
    let (lo, hi) = extent(all.iter().flat_map(|s| &s.points).map(|p| p.x));
    (lo <= hi).then_some((lo, hi))
}

fn mark(v: &paper::PrintedEnergy, x: f64) -> PaperMark {
    let (y, reach) = match v.value {
        Printed::Exactly(y) | Printed::About(y) => (y, Reach::At),
        Printed::Above(y) => (y, Reach::Above),
        Printed::Between(lo, hi) => (lo, Reach::To(hi)),
    };
    PaperMark { agent: v.agent.to_string(), x, y, reach }
}

const MARKS_WORDS: &str =
    "Hollow markers: what the text of the paper prints (a bar for a range, an arrow for a lower limit).";

impl View<'_> {
    pub(super) fn plates(&self) -> Vec<Plate> {
        vec![
            self.fig3(),
            self.fig4(),
            self.fig5(),
            self.fig_learning(),
            self.fig_gap(),
            self.fig_gain(),
            self.fig_t_proc(),
            self.fig_kinematic(),
            self.fig_cosine(),
            self.fig_networks(),
        ]
    }

    fn at(snr_db: Option<f64>) -> String {
        snr_db.map(|s| format!(" at {s} dB")).unwrap_or_default()
    }

    /// Said where figures 3 and 4 cannot be at the paper's SNR.
    fn substitute(snr_db: Option<f64>) -> String {
        match snr_db {
            Some(s) if s != HEADLINE_SNR_DB => {
                format!(" The paper shows {HEADLINE_SNR_DB} dB, which this run lacks.")
            }
            _ => String::new(),
        }
    }

    fn fig3(&self) -> Plate {
        let look = |agent: &str| if agent == OPTIMUM { Look::Bound } else { Look::Curve };
        let curve = |agent: &str| {
            let points = self.over_slots(agent, |r| r.values[SLOT_ENERGY]);
            Series::new(agent, look(agent), points.iter().map(|(x, e)| e.point(*x)).collect())
        };
        let series: Vec<Series> = self.ids().map(curve).collect();
        let beyond = x_ends(&series).map_or(0.0, |(lo, hi)| hi + MARK_GAP * (hi - lo));
        let printed = paper::VALUES.iter().filter(|v| v.figure == "3" && Some(v.snr_db) == self.slot_db);
        Plate {
            file: "fig3.svg",
            number: "3",
            picture: Picture::Lines(Figure {
                title: format!("System energy over time{}", Self::at(self.slot_db)),
                x_label: "slot".into(),
                y_label: "mean energy from the first slot on (J)".into(),
                from_zero: true,
                bound_label: format!("{OPTIMUM} (exact)"),
                series,
                marks: printed.map(|v| mark(v, beyond)).collect(),
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Figure 3. Energy (3) per slot{}, averaged from the first slot to each, mean over seeds with a 95 % band. All ages begin at 0, \
                 so the first slots are cheap for whoever saves cameras. {MARKS_WORDS}{}",
                Self::at(self.slot_db),
                Self::substitute(self.slot_db)
            ),
            needs: "no slot rows",
        }
    }

    fn fig4(&self) -> Plate {
        let curve = |agent: &str| {
            let points = self.over_slots(agent, |r| r.values[SLOT_MAE]);
            Series::new(agent, Look::Curve, points.iter().map(|(x, e)| e.point(*x)).collect())
        };
        // The optimum's line would be hidden under that of the best period; the table has both.
        let shown: Vec<Series> = self.ids().filter(|a| *a != OPTIMUM).map(curve).collect();
        Plate {
            file: "fig4.svg",
            number: "4",
            picture: Picture::Lines(Figure {
                title: format!("Sensing error over time{}", Self::at(self.slot_db)),
                x_label: "slot".into(),
                y_label: "mean absolute angle error from the first slot on (°)".into(),
                log_y: true,
                series: shown,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Figure 4. Mean absolute angle error over vehicles{}, averaged from the first slot to each, log scale, mean over seeds with a 95 % band. \
                 The paper prints no numbers here.{}",
                Self::at(self.slot_db),
                Self::substitute(self.slot_db)
            ),
            needs: "no slot rows with a sensing error",
        }
    }

    fn against_snr(
        &self,
        runs: &[&Run],
        look: impl Fn(&str) -> Look,
        get: impl Fn(&Run, f64) -> Option<Estimate>,
    ) -> Vec<Series> {
        let snrs = distinct(self.cells.iter().map(|c| c.snr_db));
        let points = |run: &Run| snrs.iter().filter_map(|&s| get(run, s).map(|e| e.point(s))).collect();
        let all = runs.iter().map(|run| Series::new(&run.agent, look(&run.agent), points(run)));
        all.filter(|s| !s.points.is_empty()).collect()
    }

    fn fig5(&self) -> Plate {
        let runs: Vec<&Run> = self.shown().collect();
        let look = |agent: &str| if agent == OPTIMUM { Look::Bound } else { Look::Points };
        // Figure 3's numbers are of 10 dB in steady state, where this figure has them too.
        let marks: Vec<PaperMark> = paper::VALUES.iter().map(|v| mark(v, v.snr_db)).collect();
        let ticks = distinct(self.snrs_db.iter().copied().chain(marks.iter().map(|m| m.x)));
        Plate {
            file: "fig5.svg",
            number: "5",
            picture: Picture::Lines(Figure {
                title: "Long-term system energy against the RF SNR".into(),
                x_label: "RF signal-to-noise ratio (dB)".into(),
                y_label: "energy per slot (J)".into(),
                x_ticks: ticks,
                from_zero: true,
                bound_label: format!("{OPTIMUM} (exact)"),
                series: self.against_snr(&runs, look, |r, s| self.metric_of(r, ENERGY, s)),
                marks,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Figure 5. Energy (3) per slot against the SNR, mean over episodes and seeds with 95 % error bars. {MARKS_WORDS} Those at \
                 {HEADLINE_SNR_DB} dB belong to figure 3."
            ),
            needs: "no evaluated energy",
        }
    }

    fn fig_learning(&self) -> Plate {
        let mut all: Vec<Series> = self
            .learning
            .iter()
            .map(|l| Series::new(&l.run.agent, Look::Curve, thousands(&l.energy)))
            .collect();
        if let Some(ends) = x_ends(&all) {
            for agent in [VISION, OPTIMUM] {
                let e = self.curve_db.and_then(|s| self.metric(agent, ENERGY, s));
                all.extend(e.map(|e| Series::level(agent, e.mean, ends)));
            }
        }
        Plate {
            file: "learning.svg",
            number: "learning",
            picture: Picture::Lines(Figure {
                title: format!("Energy during training{}", Self::at(self.curve_db)),
                x_label: "environment steps of one seed (thousands)".into(),
                y_label: "energy per slot (J)".into(),
                log_x: true,
                series: all,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Energy (3) per slot of the rollouts of training{}, without the penalty of (11), mean over seeds with a 95 % band. Dotted: \
                 evaluated energy of agents that do not learn. Not in the paper.",
                Self::at(self.curve_db)
            ),
            needs: "no learning curves",
        }
    }

    fn fig_gap(&self) -> Plate {
        let runs: Vec<&Run> = self.shown().filter(|r| r.agent != OPTIMUM).collect();
        let all = self.against_snr(&runs, |_| Look::Points, |r, s| self.gap_percent(&r.agent, s));
        let left_out = |s: &Series| s.points.iter().any(|p| p.y <= 0.0).then(|| code(&s.agent));
        let left_out: Vec<String> = all.iter().filter_map(left_out).collect();
        let left_out = match left_out.as_slice() {
            [] => String::new(),
            some => format!(" Points at or below 0 cannot be shown on it: {}.", listed(some)),
        };
        Plate {
            file: "gap.svg",
            number: "gap",
            picture: Picture::Lines(Figure {
                title: format!("Cost above the exact optimum, {OPTIMUM}"),
                x_label: "RF signal-to-noise ratio (dB)".into(),
                y_label: "cost above the optimum (%)".into(),
                x_ticks: self.snrs_db.clone(),
                log_y: true,
                series: all,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Optimality gap: cost (11), energy and penalty, above that of the exact optimum on the same episodes, in percent of it, log \
                 scale, mean over seeds with 95 % error bars.{left_out} Not in the paper."
            ),
            needs: "no cost of `dp-optimal` beside that of another agent",
        }
    }

    fn fig_gain(&self) -> Plate {
        let group = |(label, metric): (&str, &str)| {
            let snr = self.headline_db?;
            let bar = |agent: &str| {
                let e = self.metric(agent, metric, snr)?;
                Some(Bar {
                    agent: agent.to_string(),
                    y: 100.0 * e.mean,
                    interval: e.interval.map(|i| i.map(|x| 100.0 * x)),
                    seeds: Some(e.seeds),
                })
            };
            let bars: Vec<Bar> = self.ids().filter_map(bar).collect();
            (!bars.is_empty()).then(|| (label.to_string(), bars))
        };
        let groups = [
            ("the agent's beams", "beam_gain_share"),
            ("steering at its estimated angle", "estimate_gain_share"),
            ("steering at the true angle", "true_angle_gain_share"),
        ];
        Plate {
            file: "gain.svg",
            number: "gain",
            picture: Picture::Bars(Bars {
                title: format!("Beam gain{}", Self::at(self.headline_db)),
                y_label: "gain over that of matched phases (%)".into(),
                groups: groups.into_iter().filter_map(group).collect(),
                ..Bars::with(PALETTE)
            }),
            caption: format!(
                "Beam gain |h^H v|²{} in percent of what constant-modulus phases matched to the true channel give, mean over vehicles, slots and \
                 seeds with 95 % error bars; beside it what steering at the agent's own angle estimates and at the true angles would give. \
                 Agents without a phase network steer at their estimates. Not in the paper.",
                Self::at(self.headline_db)
            ),
            needs: "no beam gains",
        }
    }

    /// Runs of the sweep of T_proc with it, slots: of each agent one run per value, and the main run at the value of
    /// the configuration.
    pub(super) fn sweep(&self) -> Vec<(f64, &Run)> {
        let swept = |run: &&Run| run.uncertainty == self.uncertainty && run.variant.starts_with(T_PROC);
        let mut all: Vec<(f64, &Run)> = Vec::new();
        for run in self.runs.iter().filter(swept) {
            let Ok(slots) = run.variant[T_PROC.len()..].parse::<f64>() else { continue };
            if self.run(&run.agent, &self.uncertainty, &run.variant) == Some(run) {
                all.push((slots, run));
            }
        }
        if let (Some(task), false) = (&self.task, all.is_empty()) {
            let own = f64::from(task.t_proc_slots);
            let main: Vec<&Run> = self
                .shown()
                .filter(|m| all.iter().any(|(_, r)| r.agent == m.agent))
                .filter(|m| !all.iter().any(|(t, r)| *t == own && r.agent == m.agent))
                .collect();
            all.extend(main.into_iter().map(|r| (own, r)));
        }
        all.sort_by(|a, b| {
            a.1.place.cmp(&b.1.place).then(a.1.agent.cmp(&b.1.agent)).then(a.0.total_cmp(&b.0))
        });
        all
    }

    pub(super) fn sweep_db(&self) -> Option<f64> {
        let sweep = self.sweep();
        let swept = sweep.iter().filter(|(_, r)| !r.variant.is_empty());
        let runs: Vec<&Run> = swept.map(|(_, r)| *r).collect();
        headline(self.cells.iter().filter(|c| runs.contains(&&c.run)).map(|c| c.snr_db))
    }

    fn fig_t_proc(&self) -> Plate {
        let snr = self.sweep_db();
        let mut all: Vec<Series> = Vec::new();
        for (slots, run) in self.sweep() {
            let Some(e) = snr.and_then(|s| self.metric_of(run, ENERGY, s)) else { continue };
            let look = if run.agent == OPTIMUM { Look::Bound } else { Look::Points };
            match all.iter_mut().find(|s| s.agent == run.agent) {
                Some(s) => s.points.push(e.point(slots)),
                None => all.push(Series::new(&run.agent, look, vec![e.point(slots)])),
            }
        }
        Plate {
            file: "t_proc.svg",
            number: "T_proc",
            picture: Picture::Lines(Figure {
                title: format!("Energy against the processing delay of a frame{}", Self::at(snr)),
                x_label: "T_proc (slots)".into(),
                y_label: "energy per slot (J)".into(),
                x_ticks: distinct(all.iter().flat_map(|s| &s.points).map(|p| p.x)),
                from_zero: true,
                bound_label: format!("{OPTIMUM} (exact)"),
                series: all,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Energy (3) per slot{} against T_proc of (6), the age a frame leaves, with 95 % error bars over seeds. The paper gives no value; \
                 with T_proc = 0 Vision-Only costs what it prints. Not in the paper.",
                Self::at(snr)
            ),
            needs: "no rows with a `t_proc` variant",
        }
    }

    /// The runs under `kinematic` uncertainty, in table order, the bound last.
    pub(super) fn kinematic(&self) -> Vec<&Run> {
        let mine = |r: &&Run| r.uncertainty == KINEMATIC && r.variant.is_empty();
        self.runs.iter().filter(mine).filter(|r| self.run(&r.agent, KINEMATIC, "") == Some(*r)).collect()
    }

    fn fig_kinematic(&self) -> Plate {
        let look = |agent: &str| if agent == BOUND { Look::Bound } else { Look::Points };
        let all = self.against_snr(&self.kinematic(), look, |r, s| self.cost_of(r, s));
        Plate {
            file: "kinematic.svg",
            number: "kinematic",
            picture: Picture::Lines(Figure {
                title: "Cost where uncertainty follows the vehicles' angular rates".into(),
                x_label: "RF signal-to-noise ratio (dB)".into(),
                y_label: "cost per slot (J)".into(),
                x_ticks: distinct(all.iter().flat_map(|s| &s.points).map(|p| p.x)),
                bound_label: format!("{BOUND} (knows the trajectories)"),
                series: all,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Cost (11) per slot with `uncertainty = \"kinematic\"`: β_k(n) is β(SNR) times vehicle k's angular rate over its mean along the \
                 road, so that no fixed period fits. Mean over seeds with 95 % error bars. `{CAUSAL}` is a dynamic program that knows what an agent \
                 observes. Dashed: `{BOUND}`, which knows the trajectories and leaves out the penalty; no schedule can cost less. γ and λ are `kinematic_gamma` and `kinematic_gae_lambda` of `[reproduce]` here. \
                 Not in the paper."
            ),
            needs: "no rows with uncertainty `kinematic`",
        }
    }

    fn fig_cosine(&self) -> Plate {
        let curves = self.learning.iter().filter(|l| !l.cosine.is_empty());
        let mut all: Vec<Series> =
            curves.map(|l| Series::new(&l.run.agent, Look::Curve, thousands(&l.cosine))).collect();
        if let Some(ends) = x_ends(&all) {
            // In the black of the bounds; the legend says what it is.
            all.push(Series { look: Look::Bound, ..Series::level(OPTIMUM, 0.0, ends) });
        }
        Plate {
            file: "cosine.svg",
            number: "cosine",
            picture: Picture::Lines(Figure {
                title: format!("Do the two tasks' gradients conflict?{}", Self::at(self.curve_db)),
                x_label: "environment steps of one seed (thousands)".into(),
                y_label: "cosine between the gradients".into(),
                log_x: true,
                bound_label: "no relation".into(),
                series: all,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Cosine between the gradients of the policy loss and of L_spat (13) on the parameters that both reach{}, mean over seeds with a \
                 95 % band. Below 0 the tasks conflict, as the paper holds; agents whose experts share nothing have none.",
                Self::at(self.curve_db)
            ),
            needs: "no gradient cosines",
        }
    }
}

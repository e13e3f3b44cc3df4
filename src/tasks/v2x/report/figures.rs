//! The figures of the paper, those of other readings of its RMSE, and the errors slot by slot.

use super::*;

/// What the RMSE of a figure may mean beside the error of the echo, as a figure of its own.
pub(super) struct Reading {
    file: &'static str,
    number: &'static str,
    /// Figure of the paper.
    of: &'static str,
    title: &'static str,
    /// Of the y axis.
    label: &'static str,
    metric: &'static str,
    /// What rows keep is squared, and drawn as its root.
    root: bool,
    caption: &'static str,
    needs: &'static str,
}

const POINTING: Reading = Reading {
    file: "fig6p.svg",
    number: "6p",
    of: "6",
    title: "Pointing error against the power limit",
    label: "pointing RMSE (rad)",
    metric: "pointing_mse_rad2",
    root: true,
    caption: "Figure 6p. Figure 6 with another reading of its RMSE: the difference between the angle that a beam is steered at and the \
              true angle of the slot in which it acts. Root of the mean square over episodes and seeds, with 95 % error bars. Hollow \
              black markers: values printed for figure 6.",
    needs: "no evaluated pointing error",
};
const ANGLE_VARIANCE: Reading = Reading {
    file: "fig6v.svg",
    number: "6v",
    of: "6",
    title: "Mean square of the angle error",
    label: "mean square angle error (rad²)",
    metric: "angle_mse_rad2",
    root: false,
    caption: "Figure 6v. Figure 6 with the paper's \"the variance is equal to the RMSE\" taken literally: the mean square of the echo's \
              angle error, with 95 % error bars. Hollow markers: values printed for figure 6.",
    needs: "no evaluated angle error",
};
const DISTANCE_VARIANCE: Reading = Reading {
    file: "fig7v.svg",
    number: "7v",
    of: "7",
    title: "Mean square of the distance error",
    label: "mean square distance error (m²)",
    metric: "distance_mse_m2",
    root: false,
    caption: "Figure 7v. Figure 7 read as figure 6v is: the mean square of the echo's distance error, with 95 % error bars. Hollow markers: values printed for figure 7.",
    needs: "no evaluated distance error",
};

/// An error of the echo over the slots of an episode.
pub(super) struct SlotErrors {
    file: &'static str,
    number: &'static str,
    title: &'static str,
    label: &'static str,
    /// Place among the means of a slot.
    column: usize,
}

const SLOT_ERRORS: [SlotErrors; 3] = [
    SlotErrors {
        file: "slots-rmse.svg",
        number: "of the angle error over slots",
        title: "Angle RMSE over the slots of an episode",
        label: "angle RMSE (rad)",
        column: SLOT_ANGLE,
    },
    SlotErrors {
        file: "slots-rmse-distance.svg",
        number: "of the distance error over slots",
        title: "Distance RMSE over the slots of an episode",
        label: "distance RMSE (m)",
        column: SLOT_DISTANCE,
    },
    SlotErrors {
        file: "slots-rmse-pointing.svg",
        number: "of the pointing error over slots",
        title: "Pointing RMSE over the slots of an episode",
        label: "pointing RMSE (rad)",
        column: SLOT_POINTING,
    },
];

impl View {
    pub(super) fn plates(&self) -> Vec<Plate> {
        let mut plates =
            vec![self.story(), self.fig4a(), self.fig4b(), self.fig4c(), self.fig5a(), self.fig5b()];
        plates.extend([self.fig6(), self.reading(&POINTING), self.reading(&ANGLE_VARIANCE)]);
        plates.extend([self.fig7(), self.reading(&DISTANCE_VARIANCE)]);
        plates.extend(SLOT_ERRORS.iter().map(|of| self.slot_errors(of)));
        plates
    }

    pub(super) fn marks(&self, figure: &str) -> Vec<PaperMark> {
        let here = paper::VALUES.iter().filter(|v| v.figure == figure);
        here.map(|v| PaperMark { agent: v.agent.to_string(), x: v.p_max_dbm, y: v.value, reach: Reach::At })
            .collect()
    }

    pub(super) fn fig4a(&self) -> Plate {
        let mut series: Vec<Series> = Vec::new();
        let ends = |l: &Learning| Some((l.curve.first()?.0, l.curve.last()?.0));
        let spans: Vec<(f64, f64)> = self.learning.iter().filter_map(ends).collect();
        let ends = extent(spans.iter().flat_map(|s| [s.0, s.1]));
        let mut levels: Vec<String> = Vec::new();
        for agent in self.ids() {
            if let Some(l) = self.learning.iter().find(|l| l.agent == agent) {
                let points = l.curve.iter().map(|(x, e)| e.point(*x)).collect();
                series.push(Series::new(agent, Look::Curve, points));
            } else if let (Some(e), false) =
                (self.curve_dbm.and_then(|p| self.metric(agent, "reward", p)), spans.is_empty())
            {
                series.push(Series::level(agent, e.mean, ends));
                levels.push(code(agent));
            }
        }
        let at = self.curve_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        let mut caption = format!(
            "Figure 4a. Reward (27) per training iteration{at}, mean over seeds with a 95 % band. One iteration is one update; \
             how many environment steps that is for each agent stands under Training. The paper prints no numbers here and \
             does not state the power."
        );
        if let Some(l) = self.learning.iter().filter(|l| l.span > 1).max_by_key(|l| l.span) {
            let _ = write!(caption, " Long curves are averaged over spans of up to {} updates.", l.span);
        }
        if !levels.is_empty() {
            let _ = write!(
                caption,
                " Dotted: evaluated reward of {}, which train nothing here.",
                listed(&levels)
            );
        }
        Plate {
            file: "fig4a.svg",
            number: "4a",
            picture: Picture::Lines(Figure {
                title: format!("Reward during training{at}"),
                x_label: "training iteration (update)".into(),
                y_label: "reward per slot (bps/Hz)".into(),
                series,
                ..Figure::with(PALETTE)
            }),
            caption,
            needs: "no learning curves",
        }
    }

    pub(super) fn fig5a(&self) -> Plate {
        let curve = |agent| {
            let slots = self.slot_curve(agent, SLOT_RATE);
            let points = slots.iter().map(|(slot, e)| e.point(f64::from(*slot)));
            Series::new(agent, Look::Curve, points.collect())
        };
        let series = self.ids().map(curve).collect();
        let at = self.slot_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        let substitute = match self.slot_dbm {
            Some(p) if p != HEADLINE_DBM => {
                format!(" The paper shows {HEADLINE_DBM} dBm, which this run lacks.")
            }
            _ => String::new(),
        };
        Plate {
            file: "fig5a.svg",
            number: "5a",
            picture: Picture::Lines(Figure {
                title: format!("Mean sum-rate over the slots of an episode{at}"),
                x_label: "slot".into(),
                y_label: "mean sum-rate (bps/Hz)".into(),
                from_zero: true,
                series,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Figure 5a. Mean sum-rate over slots{at}, mean over seeds with a 95 % band. The paper prints no numbers \
                 here.{substitute}"
            ),
            needs: "no slot rows",
        }
    }

    pub(super) fn against_power(
        &self,
        get: impl Fn(&str, f64) -> Option<Estimate>,
        look: Look,
    ) -> Vec<Series> {
        let points = |agent: &str| {
            self.powers_dbm.iter().filter_map(|&p| get(agent, p).map(|e| e.point(p))).collect::<Vec<_>>()
        };
        let series = |agent: &str| Series::new(agent, look, points(agent));
        self.ids().map(series).filter(|s| !s.points.is_empty()).collect()
    }

    pub(super) fn power_ticks(&self, marks: &[PaperMark]) -> Vec<f64> {
        distinct(self.powers_dbm.iter().copied().chain(marks.iter().map(|m| m.x)))
    }

    pub(super) fn fig5b(&self) -> Plate {
        let marks = self.marks("5b");
        Plate {
            file: "fig5b.svg",
            number: "5b",
            picture: Picture::Lines(Figure {
                title: "Mean sum-rate against the power limit".into(),
                x_label: "P_max (dBm)".into(),
                y_label: "mean sum-rate (bps/Hz)".into(),
                x_ticks: self.power_ticks(&marks),
                from_zero: true,
                series: self.against_power(|a, p| self.quantity(a, Quantity::SumRate, p), Look::Points),
                marks,
                ..Figure::with(PALETTE)
            }),
            caption: "Figure 5b. Mean sum-rate against P_max, mean over seeds with 95 % error bars. Hollow markers: values \
                      printed in the paper."
                .into(),
            needs: "no evaluated sum-rate",
        }
    }

    pub(super) fn error_figure(&self, quantity: Quantity, bound_metric: &str) -> Figure {
        let number = if quantity == Quantity::AngleRmse { "6" } else { "7" };
        let marks = self.marks(number);
        let mut series = self.against_power(|a, p| self.root(a, bound_metric, p), Look::Bound);
        series.extend(self.against_power(|a, p| self.quantity(a, quantity, p), Look::Points));
        let what = if quantity == Quantity::AngleRmse { "Angle" } else { "Distance" };
        Figure {
            title: format!("{what} error against the power limit"),
            x_label: "P_max (dBm)".into(),
            y_label: format!("{} ({})", quantity.name(), quantity.unit()),
            x_ticks: self.power_ticks(&marks),
            log_y: true,
            bound_label: "√CRLB, same colour".into(),
            series,
            marks,
            ..Figure::with(PALETTE)
        }
    }

    fn reading(&self, r: &Reading) -> Plate {
        let marks = self.marks(r.of);
        let get = |agent: &str, p: f64| match r.root {
            true => self.root(agent, r.metric, p),
            false => self.metric(agent, r.metric, p),
        };
        Plate {
            file: r.file,
            number: r.number,
            picture: Picture::Lines(Figure {
                title: r.title.into(),
                x_label: "P_max (dBm)".into(),
                y_label: r.label.into(),
                x_ticks: self.power_ticks(&marks),
                log_y: true,
                series: self.against_power(get, Look::Points),
                // Without a value of ours there is nothing to stand beside them.
                marks: if self.cells.iter().any(|c| c.metric == r.metric) { marks } else { Vec::new() },
                ..Figure::with(PALETTE)
            }),
            caption: r.caption.into(),
            needs: r.needs,
        }
    }

    fn slot_errors(&self, of: &SlotErrors) -> Plate {
        let curve = |agent| {
            let slots = self.slot_curve(agent, of.column);
            let points = slots.iter().map(|(slot, e)| e.map(f64::sqrt).point(f64::from(*slot)));
            Series::new(agent, Look::Curve, points.collect())
        };
        let at = self.slot_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        Plate {
            file: of.file,
            number: of.number,
            picture: Picture::Lines(Figure {
                title: format!("{}{at}", of.title),
                x_label: "slot".into(),
                y_label: of.label.into(),
                log_y: true,
                series: self.ids().map(curve).filter(|s| !s.points.is_empty()).collect(),
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "{}{at}, log scale: root of the mean square over episodes and seeds, with a 95 % band. The vehicles are nearest \
                 to the unit in slots {}–{}.",
                of.title, PEAK_SLOTS.0, PEAK_SLOTS.1
            ),
            needs: "no slot rows of it",
        }
    }

    /// Which reading of the RMSE of figure 6 or 7 comes nearest to the values printed for it; `None` where fewer than
    /// two stand beside them.
    pub(super) fn nearest_reading(&self, figure: &str) -> Option<String> {
        let readings: &[(&str, &str, bool)] = match figure {
            "6" => &[
                ("the error of the echo (figure 6)", "angle_mse_rad2", true),
                ("the pointing error (figure 6p)", "pointing_mse_rad2", true),
                ("the variance (figure 6v)", "angle_mse_rad2", false),
            ],
            "7" => &[
                ("the error of the echo (figure 7)", "distance_mse_m2", true),
                ("the variance (figure 7v)", "distance_mse_m2", false),
            ],
            _ => return None,
        };
        // Geometric mean of how many times above or below the printed values ours lie.
        let off = |&(name, metric, root): &(&'static str, &str, bool)| {
            let ours = |v: &paper::PrintedValue| {
                let e = self.metric(v.agent, metric, v.p_max_dbm)?.mean;
                Some((if root { e.sqrt() } else { e } / v.value).ln().abs()).filter(|x| x.is_finite())
            };
            let printed = paper::VALUES.iter().filter(|v| v.figure == figure);
            let all: Vec<f64> = printed.filter_map(ours).collect();
            (!all.is_empty()).then(|| (name, stats::mean(&all).exp(), all.len()))
        };
        let mut known: Vec<_> = readings.iter().filter_map(off).collect();
        known.sort_by(|a, b| a.1.total_cmp(&b.1));
        let ((name, least, n), others) = known.split_first().filter(|(_, others)| !others.is_empty())?;
        let others: Vec<String> =
            others.iter().map(|(name, off, _)| format!("{name} by {}", times(*off))).collect();
        Some(format!(
            "Of the readings of the RMSE of figure {figure}, {name} comes nearest to the printed values: it is off by {} in the \
             geometric mean over {n} of them, {}.",
            times(*least),
            listed(&others)
        ))
    }

    pub(super) fn fig6(&self) -> Plate {
        Plate {
            file: "fig6.svg",
            number: "6",
            picture: Picture::Lines(self.error_figure(Quantity::AngleRmse, "angle_crlb_rad2")),
            caption: "Figure 6. Angle RMSE against P_max, log scale, square root of the mean square over episodes and seeds, with 95 % \
                      error bars. Dashed: square root of the mean CRLB (22) of the same agent. Hollow markers: values printed in \
                      the paper."
                .into(),
            needs: "no evaluated angle error",
        }
    }

    pub(super) fn fig7(&self) -> Plate {
        Plate {
            file: "fig7.svg",
            number: "7",
            picture: Picture::Lines(self.error_figure(Quantity::DistanceRmse, "distance_crlb_m2")),
            caption: "Figure 7. Distance RMSE against P_max, log scale, made like figure 6. Dashed: square root of the mean CRLB (23). \
                      Hollow markers: values printed in the paper."
                .into(),
            needs: "no evaluated distance error",
        }
    }
}

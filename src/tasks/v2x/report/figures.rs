//! The figures of the paper.

use super::*;

impl View {
    pub(super) fn plates(&self) -> Vec<Plate> {
        let paper =
            [self.fig4a(), self.fig4b(), self.fig4c(), self.fig5a(), self.fig5b(), self.fig6(), self.fig7()];
        [self.story()].into_iter().chain(paper).collect()
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
            "Figure 4a. Reward (27) per training iteration{at}, mean over seeds with a 95 % band. One iteration is one update and \
             takes a different number of environment steps for each algorithm (table below). The paper prints no numbers here and \
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
            let slots = self.slot_curve(agent);
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
            caption: "Figure 5b. Mean sum-rate against P_max, mean over seeds with 95 % error bars. Hollow black markers: values \
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

    pub(super) fn fig6(&self) -> Plate {
        Plate {
            file: "fig6.svg",
            number: "6",
            picture: Picture::Lines(self.error_figure(Quantity::AngleRmse, "angle_crlb_rad2")),
            caption: "Figure 6. Angle RMSE against P_max, log scale, square root of the mean square over episodes and seeds, with 95 % \
                      error bars. Dashed: square root of the mean CRLB (22) of the same agent. Hollow black markers: values printed in \
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
                      Hollow black markers: values printed in the paper."
                .into(),
            needs: "no evaluated distance error",
        }
    }
}

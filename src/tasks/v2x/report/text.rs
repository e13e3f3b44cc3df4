//! The text and the tables of the report.

use super::*;

/// Numbers of the figures that the paper has, in its order.
const PAPER_FIGURES: [&str; 7] = ["4a", "4b", "4c", "5a", "5b", "6", "7"];

impl View {
    pub(super) fn markdown(
        &self,
        plates: &[Plate],
        drawn: impl Fn(&str) -> bool,
        manifest: &Manifest,
    ) -> String {
        let mut judgements = self.judgements();
        let mut other = self.other.as_ref().map(|o| (o.mode, o.view.judgements()));
        if too_small::<V2xConfig>(manifest.seeds.len(), &manifest.config).is_some() {
            let bases = || paper::CLAIMS.iter().map(|c| c.0.basis().text());
            take_back(&mut judgements, bases());
            if let Some((_, judgements)) = &mut other {
                take_back(judgements, bases());
            }
        }
        let other = other.as_ref().map(|(mode, judgements)| OtherMode { mode, judgements });
        let small = too_small::<V2xConfig>(manifest.seeds.len(), &manifest.config);
        let mut out = String::new();
        let answer = self.answer(&judgements, small.is_some());
        write_opening(&mut out, TITLE, &answer, &self.numbers(&judgements));
        out.push_str(&smoke_words(small.as_deref()));
        let of_paper = |p: &&Plate| PAPER_FIGURES.contains(&p.number);
        out.push_str("## The paper's figures, ours\n\n");
        for plate in plates.iter().filter(of_paper) {
            plate.write(&mut out, drawn(plate.file));
        }
        self.write_claims(&mut out, &judgements, other.as_ref());
        self.write_in_short(&mut out, &judgements, other.as_ref());
        self.write_printed(&mut out);
        self.write_simple(&mut out);
        self.write_distance(&mut out);
        self.write_overhead(&mut out);
        self.write_training(&mut out);
        self.write_energy(&mut out);
        self.write_grids(&mut out);
        out.push_str("## Figures that the paper lacks\n\n");
        for plate in plates.iter().filter(|p| !of_paper(p)) {
            plate.write_folded(&mut out, drawn(plate.file), "");
        }
        for figure in ["6", "7"] {
            if let Some(sentence) = self.nearest_reading(figure) {
                let _ = writeln!(out, "{sentence}\n");
            }
        }
        self.write_variants(&mut out);
        self.write_method(&mut out);
        if small.is_some() {
            out = plainly(&out);
        }
        let mut scope = String::new();
        self.write_scope(&mut scope, manifest);
        scope.push_str(&health::section(&self.ill, V2xConfig::SWEPT.unit));
        write_manifest(&mut out, &scope, manifest);
        out
    }

    /// The page in one sentence.
    fn answer(&self, judgements: &[Judgement], small: bool) -> String {
        let p = self.headline_dbm;
        let rate = |agent: &str| self.quantity(agent, Quantity::SumRate, p?);
        let Some((p, own)) = p.zip(rate("spiking-ac")) else {
            return "This run has no evaluated sum-rate of `spiking-ac`.".into();
        };
        if small {
            return format!(
                "A smoke run: everything runs, and no claim about what was measured is judged; `spiking-ac` has {} bps/Hz at {p} dBm \
                 after hardly any training.",
                num(own.mean)
            );
        }
        let printed = View::printed_rate("spiking-ac").filter(|_| p == HEADLINE_DBM);
        let printed =
            printed.map_or(String::new(), |v| format!(", {} the printed rate", times(own.mean / v)));
        let rivals = LEARNED.iter().filter(|a| **a != "spiking-ac").filter_map(|a| Some((*a, rate(a)?)));
        let best = rivals.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        let beside = best.map_or(String::new(), |(agent, e)| {
            let words = match order(&own, &e) {
                Order::Above => "ahead of",
                Order::Below => "behind",
                Order::Level => "level with",
            };
            format!(", and is {words} {} with {} bps/Hz", code(agent), num(e.mean))
        });
        let holds = judgements.iter().filter(|j| j.verdict == Verdict::Holds).count();
        format!(
            "{holds} of the paper's {} claims hold{}: `spiking-ac` reaches {} bps/Hz at {p} dBm{printed}{beside}.",
            judgements.len(),
            if holds == 0 { " in this run" } else { "" },
            num(own.mean)
        )
    }

    /// The numbers at the top of the page.
    fn numbers(&self, judgements: &[Judgement]) -> Vec<Number> {
        let mut out = Vec::new();
        if let Some(p) = self.headline_dbm {
            let rate = |agent: &str| self.quantity(agent, Quantity::SumRate, p);
            let with = |e: &Estimate| format!("95 %: {}, {}", e.interval_text(), seeds_in_words(e.seeds));
            if let Some(e) = rate("spiking-ac") {
                let printed = View::printed_rate("spiking-ac").filter(|_| p == HEADLINE_DBM);
                let printed = printed.map_or(String::new(), |v| format!("; the paper prints {v}"));
                let what = format!("sum-rate of `spiking-ac` at {p} dBm ({}){printed}", with(&e));
                out.push(Number::new(format!("{} bps/Hz", num(e.mean)), what));
            }
            let known = COUNTED.iter().filter_map(|a| Some((*a, rate(a)?)));
            if let Some((agent, e)) = known.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) {
                let what = AGENTS.iter().find(|(id, _)| *id == agent).map_or("", |(_, what)| what);
                let what =
                    format!("{}, the best that learns nothing and could be built: {what}", code(agent));
                out.push(Number::new(format!("{} bps/Hz", num(e.mean)), what));
            }
        }
        out.push(claims_number(judgements));
        out
    }

    pub(super) fn write_scope(&self, out: &mut String, manifest: &Manifest) {
        write_cited(out, V2xConfig::CITE);
        let _ = writeln!(
            out,
            "Beam `{}`, kinematics `{}`; P_max {} dBm; {} on {} ({}).\n",
            if self.beam.is_empty() { "-" } else { &self.beam },
            if self.kinematics.is_empty() { "-" } else { &self.kinematics },
            numbers(&self.powers_dbm),
            seeds_words(self.cells.iter().map(|c| c.estimate.seeds).max()),
            manifest.device,
            manifest.backend,
        );
        if let Some(o) = &self.other {
            let _ = writeln!(out, "{}\n", mode_words(o.mode));
        }
        if let Some(less) = trained_less::<V2xConfig>(manifest) {
            let _ = writeln!(out, "{less}\n");
        }
        let other: Vec<String> = self
            .agents
            .iter()
            .filter(|(_, beam)| *beam != self.beam)
            .map(|(id, beam)| format!("{} (beam `{beam}`)", code(id)))
            .collect();
        if !other.is_empty() {
            let _ = writeln!(out, "Shown with the beam their rows have: {}.\n", listed(&other));
        }
        let wanted: Vec<&str> = AGENTS.iter().map(|a| a.0).filter(|a| !BEYOND.contains(a)).collect();
        let absent = self.missing(&wanted);
        if !absent.is_empty() {
            let _ = writeln!(out, "Not in this run: {}.\n", listed(&absent));
        }
        if let Some(p) = self.headline_dbm.filter(|p| *p != HEADLINE_DBM) {
            let _ = writeln!(
                out,
                "This run has no evaluation at {HEADLINE_DBM} dBm, the power of most printed values. Where one power is needed, its \
                 highest, {p} dBm, stands in, and nothing of ours stands beside the values printed for {HEADLINE_DBM} dBm.\n"
            );
        }
        if self.headline_dbm.is_none() {
            out.push_str("This run has no evaluation rows: tables of ours show `-`.\n\n");
        }
    }

    pub(super) fn best_learned(
        &self,
        quantity: Quantity,
        p_max_dbm: f64,
    ) -> Option<(&'static str, Estimate)> {
        let known = LEARNED.iter().filter_map(|a| Some((*a, self.quantity(a, quantity, p_max_dbm)?)));
        let sign = if quantity == Quantity::SumRate { 1.0 } else { -1.0 };
        known
            .filter(|(_, e)| e.mean.is_finite())
            .max_by(|a, b| (sign * a.1.mean).total_cmp(&(sign * b.1.mean)))
    }

    pub(super) fn printed_rate(agent: &str) -> Option<f64> {
        View::printed(agent, Quantity::SumRate, HEADLINE_DBM)
    }

    fn printed(agent: &str, quantity: Quantity, p_max_dbm: f64) -> Option<f64> {
        let wanted =
            |v: &&paper::PrintedValue| (v.agent, v.quantity, v.p_max_dbm) == (agent, quantity, p_max_dbm);
        paper::VALUES.iter().find(wanted).map(|v| v.value)
    }

    pub(super) fn judgements(&self) -> Vec<Judgement> {
        paper::CLAIMS.iter().map(|(claim, ..)| self.judge(*claim)).collect()
    }

    pub(super) fn write_in_short(
        &self,
        out: &mut String,
        judgements: &[Judgement],
        other: Option<&OtherMode>,
    ) {
        out.push_str("## Findings\n\n");
        let _ = writeln!(
            out,
            "- {}",
            tally(
                judgements,
                "about reward, rate, sensing, energy and overhead",
                paper::CLAIMS.iter().map(|c| c.0.basis().text())
            )
        );
        if let Some(other) = other {
            let sentence = other_mode_sentence(paper::CLAIMS.iter().map(|c| c.2), judgements, other);
            let _ = writeln!(out, "- {sentence}");
        }
        if let (Some(ours), Some(printed)) =
            (self.quantity("spiking-ac", Quantity::SumRate, HEADLINE_DBM), View::printed_rate("spiking-ac"))
        {
            let _ = writeln!(
                out,
                "- `spiking-ac` reaches {} bps/Hz at {HEADLINE_DBM} dBm; the paper prints {printed} bps/Hz ({}).",
                ours.short(),
                times(ours.mean / printed)
            );
        }
        for line in self.simple_against_printed() {
            let _ = writeln!(out, "- {line}");
        }
        for line in self.bound_sentences() {
            let _ = writeln!(out, "- {line}");
        }
        out.push('\n');
    }

    /// The references that could run on a road-side unit, against the value printed for Spiking-AC.
    pub(super) fn simple_against_printed(&self) -> Vec<String> {
        let Some(printed) = View::printed_rate("spiking-ac") else { return Vec::new() };
        let sentence = |agent: &&str| {
            let ours = self.quantity(agent, Quantity::SumRate, HEADLINE_DBM)?.mean;
            let side = if ours > printed {
                "more than"
            } else if ours < printed {
                "less than"
            } else {
                "the same as"
            };
            let what = AGENTS.iter().find(|(id, _)| id == agent).map(|(_, what)| *what).unwrap_or_default();
            Some(format!(
                "{} ({what}; nothing learned) reaches {} bps/Hz at {HEADLINE_DBM} dBm, {side} the {printed} bps/Hz printed for \
                 Spiking-AC ({}).",
                code(agent),
                num(ours),
                times(ours / printed)
            ))
        };
        ["last-estimate", "ekf"].iter().filter_map(sentence).collect()
    }

    pub(super) fn write_printed(&self, out: &mut String) {
        out.push_str("## Ours beside the printed values\n\nIntervals are over seeds.\n\n");
        let mut header =
            "figure | quantity | agent | P_max (dBm) | paper | ours | 95 % interval | seeds | ours / paper"
                .to_string();
        if let Some(o) = &self.other {
            let _ = write!(header, " | ours, {0} | {0} / paper", o.mode);
        }
        write_table(out, &header, 3, paper::VALUES, |v| {
            let ours = self.quantity(v.agent, v.quantity, v.p_max_dbm);
            let mut cells = vec![
                v.figure.to_string(),
                format!("{} ({})", v.quantity.name(), v.quantity.unit()),
                code(v.agent),
                format!("{}", v.p_max_dbm),
                format!("{}", v.value),
                ours.map_or("-".into(), |e| num(e.mean)),
                ours.map_or("-".into(), |e| e.interval_text()),
                ours.map_or("-".into(), |e| e.seeds.to_string()),
                ours.map_or("-".into(), |e| times(e.mean / v.value)),
            ];
            if let Some(o) = &self.other {
                let other = o.view.quantity(v.agent, v.quantity, v.p_max_dbm);
                cells.push(other.map_or("-".into(), |e| num(e.mean)));
                cells.push(other.map_or("-".into(), |e| times(e.mean / v.value)));
            }
            cells
        });

        out.push_str(
            "Advantages of Spiking-AC that the paper prints in percent (rate gained over the other, or error removed from it), beside what \
             its own printed values give and what ours give:\n\n",
        );
        let header =
            "figure | quantity | against | P_max (dBm) | paper (%) | paper's values give (%) | ours (%)";
        write_table(out, header, 3, paper::GAINS, |g| {
            let percent = |sac: f64, other: f64| match g.quantity {
                Quantity::SumRate => 100.0 * (sac / other - 1.0),
                Quantity::AngleRmse | Quantity::DistanceRmse => 100.0 * (1.0 - sac / other),
            };
            let printed = |agent: &str| View::printed(agent, g.quantity, g.p_max_dbm);
            let own = printed("spiking-ac").zip(printed(g.versus)).map(|(a, b)| percent(a, b));
            let mean = |agent: &str| self.quantity(agent, g.quantity, g.p_max_dbm).map(|e| e.mean);
            let ours = mean("spiking-ac").zip(mean(g.versus)).map(|(a, b)| percent(a, b));
            let text = |x: Option<f64>| x.filter(|x| x.is_finite()).map_or("-".into(), |x| format!("{x:.2}"));
            vec![
                g.figure.to_string(),
                g.quantity.name().to_string(),
                code(g.versus),
                format!("{}", g.p_max_dbm),
                format!("{}", g.percent),
                text(own),
                text(ours),
            ]
        });

        self.write_energy_factors(out);
    }

    pub(super) fn write_claims(&self, out: &mut String, judgements: &[Judgement], other: Option<&OtherMode>) {
        out.push_str("## Which claims of the paper hold\n\n");
        out.push_str(
            "One agent counts as above another if its 95 % interval lies above the other's; where they overlap the comparison stays open. \
             Simple references are not among the paper's agents and are not part of these claims.\n\n",
        );
        out.push_str(&claims_table(
            paper::CLAIMS.iter().map(|(claim, figure, text)| (*figure, *text, claim.basis().text())),
            judgements,
            other,
        ));
    }

    pub(super) fn write_simple(&self, out: &mut String) {
        out.push_str("## Simple references against the learned agents\n\n");
        let Some(p) = self.headline_dbm else {
            out.push_str("No evaluation rows in this run.\n\n");
            return;
        };
        let learned: Vec<(&str, Estimate)> =
            LEARNED.iter().filter_map(|a| Some((*a, self.quantity(a, Quantity::SumRate, p)?))).collect();
        if learned.is_empty() {
            let _ = writeln!(out, "No learned agent is evaluated at {p} dBm in this run.\n");
        }
        for agent in SIMPLE {
            let Some(own) = self.quantity(agent, Quantity::SumRate, p) else { continue };
            let printed = match (View::printed_rate("spiking-ac"), p == HEADLINE_DBM) {
                (Some(value), true) if own.mean > value => {
                    format!(", above the {value} bps/Hz printed for Spiking-AC ({})", times(own.mean / value))
                }
                (Some(value), true) => format!(", not above the {value} bps/Hz printed for Spiking-AC"),
                _ => String::new(),
            };
            let _ = write!(out, "- {} has {} bps/Hz at {p} dBm{printed}. ", code(agent), own.short());
            let told = |with: Order, words: &str| -> Option<String> {
                let those: Vec<String> = learned
                    .iter()
                    .filter(|(_, e)| order(&own, e) == with)
                    .map(|(id, e)| {
                        let gap = own.mean - e.mean;
                        let size = format!("{} bps/Hz", num(gap.abs()));
                        let ratio = times(own.mean / e.mean);
                        match with {
                            Order::Level if gap < 0.0 => format!("{} (mean {size} lower, {ratio})", code(id)),
                            Order::Level => format!("{} (mean {size} higher, {ratio})", code(id)),
                            Order::Above | Order::Below => format!("{} by {size} ({ratio})", code(id)),
                        }
                    })
                    .collect();
                let all = if those.len() == learned.len() && those.len() > 1 {
                    "every learned agent: "
                } else {
                    ""
                };
                (!those.is_empty()).then(|| format!("{words} {all}{}.", listed(&those)))
            };
            let parts = [
                told(Order::Above, "It beats"),
                told(Order::Level, "Its interval overlaps that of"),
                told(Order::Below, "It is beaten by"),
            ];
            let _ = writeln!(out, "{}", parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
        let absent = self.missing(&SIMPLE);
        if !absent.is_empty() {
            let _ = writeln!(out, "- Not in this run: {}.", listed(&absent));
        }
        out.push('\n');
        let quantities = [Quantity::SumRate, Quantity::AngleRmse, Quantity::DistanceRmse];
        let rows = rows_of(SIMPLE.iter().filter(|a| self.has(a)), |agent| {
            let mut row = vec![code(agent)];
            for q in quantities {
                let (own, best) = (self.quantity(agent, q, p), self.best_learned(q, p));
                row.push(own.map_or("-".into(), |e| num(e.mean)));
                row.push(own.zip(best).map_or("-".into(), |(o, (_, b))| times(o.mean / b.mean)));
            }
            row
        });
        if !rows.is_empty() && !learned.is_empty() {
            let best: Vec<String> = quantities
                .iter()
                .filter_map(|q| {
                    let (agent, e) = self.best_learned(*q, p)?;
                    Some(format!("{} {} {} ({})", q.name(), num(e.mean), q.unit(), code(agent)))
                })
                .collect();
            let _ = writeln!(
                out,
                "Best learned agent of this run at {p} dBm: {}. Each reference over it:\n",
                best.join(", ")
            );
            let header = "reference | sum-rate (bps/Hz) | over best | angle RMSE (rad) | over best | \
                 distance RMSE (m) | over best";
            out.push_str(&table(header, 1, &rows));
        }
    }

    /// The best learned agent against `genie` and `upper-bound`, and whether the bound is kept.
    pub(super) fn bound_sentences(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(p) = self.headline_dbm else { return lines };
        if let Some((agent, best)) = self.best_learned(Quantity::SumRate, p) {
            let against = |reference: &str| {
                let rate = self.quantity(reference, Quantity::SumRate, p)?.mean;
                Some(format!(
                    "{:.1} % of {} ({} bps/Hz)",
                    100.0 * best.mean / rate,
                    code(reference),
                    num(rate)
                ))
            };
            let told: Vec<String> = [GENIE, BOUND].iter().filter_map(|r| against(r)).collect();
            if !told.is_empty() {
                lines.push(format!(
                    "The best learned agent at {p} dBm, {} with {} bps/Hz, has {}.",
                    code(agent),
                    num(best.mean),
                    listed(&told)
                ));
            }
        }
        if self.has(BOUND) {
            let mut compared = 0;
            let mut broken: Vec<String> = Vec::new();
            for &p in &self.powers_dbm {
                let Some(bound) = self.quantity(BOUND, Quantity::SumRate, p) else { continue };
                for agent in self.ids().filter(|a| *a != BOUND) {
                    let Some(own) = self.quantity(agent, Quantity::SumRate, p) else { continue };
                    compared += 1;
                    if own.mean > bound.mean {
                        let what = format!("{} {} against {}", code(agent), num(own.mean), num(bound.mean));
                        broken.push(format!("{what} at {p} dBm"));
                    }
                }
            }
            if !broken.is_empty() {
                lines.push(format!(
                    "**`upper-bound` is exceeded, which must not happen and means an error in the physics or a bound evaluated on other \
                     episodes: {}.**",
                    broken.join("; ")
                ));
            } else if compared > 0 {
                lines.push(format!("No agent exceeds `upper-bound` at any power ({compared} comparisons)."));
            }
        }
        lines
    }

    pub(super) fn write_distance(&self, out: &mut String) {
        let Some(p) = self.headline_dbm else { return };
        let _ = writeln!(out, "## Distance to `genie` and `upper-bound` at {p} dBm\n");
        let rate = |agent: &str| self.quantity(agent, Quantity::SumRate, p);
        let (genie, bound) = (rate(GENIE), rate(BOUND));
        let rows = rows_of(self.in_all_modes(), |(name, view, agent)| {
            let own = view.quantity(agent, Quantity::SumRate, p)?;
            let mut row = vec![name, num(own.mean)];
            for reference in [genie, bound] {
                row.push(reference.map_or("-".into(), |r| format!("{:.1}", 100.0 * own.mean / r.mean)));
                row.push(reference.map_or("-".into(), |r| num(r.mean - own.mean)));
            }
            Some(row)
        });
        if rows.is_empty() {
            out.push_str("No evaluated sum-rate in this run.\n\n");
            return;
        }
        let header = "agent | sum-rate (bps/Hz) | of `genie` (%) | short of it (bps/Hz) | of `upper-bound` (%) | \
             short of it (bps/Hz)";
        out.push_str(&table(header, 1, &rows));
        for line in self.bound_sentences() {
            let _ = writeln!(out, "{line}\n");
        }
    }

    /// What is left of the rates when pilots, reports and waiting are taken off.
    pub(super) fn write_overhead(&self, out: &mut String) {
        let Some(p) = self.headline_dbm else { return };
        let rows = rows_of(self.ids(), |agent| {
            let rate = self.quantity(agent, Quantity::SumRate, p)?;
            let (share, net) = (self.metric(agent, OVERHEAD_SHARE, p)?, self.metric(agent, NET_RATE, p)?);
            Some(vec![
                code(agent),
                num(rate.mean),
                percent_of_slot(share.mean),
                num(net.mean),
                net.interval_text(),
            ])
        });
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "## Overhead and net rate at {p} dBm\n\n\
             Overhead is the share of the slots' time without data: pilots, reports of the vehicles and waiting for them \
             (`[protocol]`). Agents that learn see the SINR that vehicles report in every slot, and pay for it; echoes of the data \
             itself cost nothing.\n"
        );
        let header = "agent | sum-rate (bps/Hz) | overhead | net rate (bps/Hz) | 95 % interval";
        out.push_str(&table(header, 1, &rows));
    }

    pub(super) fn write_training(&self, out: &mut String) {
        if self.learning.is_empty() {
            return;
        }
        out.push_str("## Training\n\n");
        let goal =
            self.common_reward().map_or("a common reward".to_string(), |g| format!("reward {}", num(g)));
        let header = format!(
            "agent | updates | steps per update | environment steps per seed | first reward | \
             last reward | 95 % interval | steps to {goal}"
        );
        write_table(out, &header, 1, &self.learning, |l| {
            vec![
                code(&l.agent),
                l.updates.to_string(),
                format!("{:.0}", l.steps_per_update),
                l.env_steps.to_string(),
                num(l.first.mean),
                num(l.last.mean),
                l.last.interval_text(),
                self.steps_to_common(l).map_or("-".into(), |s| format!("{s:.0}")),
            ]
        });
    }

    pub(super) fn write_grids(&self, out: &mut String) {
        out.push_str("## All agents over P_max\n\n");
        if self.powers_dbm.is_empty() {
            out.push_str("No evaluation rows in this run.\n\n");
            return;
        }
        out.push_str("Mean over seeds, with the 95 % interval in brackets.");
        if self.cells.iter().any(|c| c.estimate.seeds == 1) {
            out.push_str(" A value without brackets is of one seed: no interval.");
        }
        out.push_str("\n\n");
        let plain = |e: Estimate| e;
        let root = |e: Estimate| e.map(f64::sqrt);
        type Change = fn(Estimate) -> Estimate;
        let grids: [(&str, &str, Change); 18] = [
            ("Mean sum-rate (bps/Hz)", "sum_rate_bps_hz", plain),
            ("Net rate: sum-rate less overhead (bps/Hz)", NET_RATE, plain),
            ("Angle RMSE (rad)", "angle_mse_rad2", root),
            ("√CRLB of the angle (rad)", "angle_crlb_rad2", root),
            ("Distance RMSE (m)", "distance_mse_m2", root),
            ("√CRLB of the distance (m)", "distance_crlb_m2", root),
            ("Pointing RMSE (rad)", "pointing_mse_rad2", root),
            ("Median of the angle error (rad)", "angle_error_median_rad", plain),
            ("90 % quantile of the angle error (rad)", "angle_error_p90_rad", plain),
            ("Median of the distance error (m)", "distance_error_median_m", plain),
            ("90 % quantile of the distance error (m)", "distance_error_p90_m", plain),
            ("Median of the pointing error (rad)", "pointing_error_median_rad", plain),
            ("90 % quantile of the pointing error (rad)", "pointing_error_p90_rad", plain),
            ("Jain index", "jain", plain),
            ("Share of slots within the sensing limits of (27)", "indicator_share", plain),
            ("Share of episodes whose mean bound of the angle keeps (24a)", "long_run_angle_share", plain),
            (
                "Share of episodes whose mean bound of the distance keeps (24b)",
                "long_run_distance_share",
                plain,
            ),
            ("Reward per slot (bps/Hz)", "reward", plain),
        ];
        let mut absent: Vec<&str> = Vec::new();
        for (title, metric, change) in grids {
            let known = self.in_all_modes().into_iter();
            let known = known.filter(|(_, view, agent)| {
                self.powers_dbm.iter().any(|&p| view.metric(agent, metric, p).is_some())
            });
            let rows = rows_of(known, |(name, view, agent)| -> Vec<String> {
                let value =
                    |&p: &f64| view.metric(agent, metric, p).map_or("-".into(), |e| change(e).short());
                [name].into_iter().chain(self.powers_dbm.iter().map(value)).collect()
            });
            let header = header_over("agent", &self.powers_dbm, "dBm");
            match rows.is_empty() {
                true => absent.push(title),
                false => fold(out, title, &table(&header, 1, &rows)),
            }
        }
        if !absent.is_empty() {
            let _ = writeln!(out, "Not in this run: {}.\n", absent.join("; "));
        }
    }

    pub(super) fn write_variants(&self, out: &mut String) {
        let main = |c: &Cell| {
            c.kinematics == self.kinematics
                && self.agents.iter().any(|(id, beam)| *id == c.agent && *beam == c.beam)
        };
        let others = self.cells.iter().filter(|c| !main(c));
        let mut other =
            once(others.map(|c| (c.agent.as_str(), c.beam.as_str(), c.kinematics.as_str(), c.p_max_dbm)));
        if other.is_empty() {
            return;
        }
        other.sort_by(|a, b| (rank(a.0), a.1, a.2).cmp(&(rank(b.0), b.1, b.2)).then(a.3.total_cmp(&b.3)));
        out.push_str("## Other variants in this run\n\n");
        let header = "agent | beam | kinematics | P_max (dBm) | sum-rate (bps/Hz) | angle RMSE (rad) | \
             distance RMSE (m)";
        write_table(out, header, 3, other, |(agent, beam, kin, p)| {
            let get = |metric: &str| {
                let found = |c: &&Cell| {
                    (c.agent.as_str(), c.beam.as_str(), c.kinematics.as_str(), c.metric.as_str())
                        == (agent, beam, kin, metric)
                        && c.p_max_dbm == p
                };
                self.cells.iter().find(found).map(|c| c.estimate)
            };
            let root = |metric: &str| get(metric).map_or("-".into(), |e| e.map(f64::sqrt).short());
            vec![
                code(agent),
                format!("`{beam}`"),
                format!("`{kin}`"),
                format!("{p}"),
                get("sum_rate_bps_hz").map_or("-".into(), |e| e.short()),
                root("angle_mse_rad2"),
                root("distance_mse_m2"),
            ]
        });
    }

    pub(super) fn write_method(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "## How the numbers are made\n\n\
             - Intervals are 95 % percentile bootstrap intervals of the mean over seeds, {RESAMPLES} resamples, the same resamples for all \
             quantities. They tell the spread between trainings, not between episodes.{}\n\
             - An RMSE is the square root of the mean square error over episodes, vehicles, slots and seeds; its interval is the square root \
             of that mean's interval. √CRLB likewise.\n\
             - Medians and quantiles are of absolute errors over episodes, vehicles and slots of a seed, then averaged over seeds. \
             An episode keeps (24a) or (24b) if the mean of the bounds, as they are capped, over its slots and vehicles does.\n\
             - \"After training\" is the mean over the last {:.0} % of a run's updates.\n\
             - Printed values come from the text of the paper; its figures are not read off.\n\
             - `-` stands for what this run does not have. The rows are beside this page as Parquet.\n",
            few_seeds(self.cells.iter().map(|c| c.estimate)),
            100.0 * LAST_SHARE
        );
    }
}

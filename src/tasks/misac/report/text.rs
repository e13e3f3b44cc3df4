//! The text and the tables of the report.

use super::claims::{one_seed, printed_text};
use super::*;

/// Numbers of the figures that the paper has, in its order.
const PAPER_FIGURES: [&str; 3] = ["3", "4", "5"];
/// Of `dp-optimal`: the least that any schedule pays per slot of an episode, J.
const EPISODE: &str = "dp_episode_j";
/// Relative room for sums in single precision.
const SUMMING: f64 = 1e-5;

fn cell_of(e: Option<Estimate>) -> String {
    e.map_or("-".into(), |e| e.brief())
}

/// "5.2 J less than" or "5.2 J more than".
fn against(difference: f64, unit: &str) -> String {
    let side = if difference < 0.0 { "less than" } else { "more than" };
    format!("{} {unit} {side}", rounded(difference.abs()))
}

impl View<'_> {
    pub(super) fn markdown(
        &self,
        plates: &[Plate],
        drawn: impl Fn(&str) -> bool,
        manifest: &Manifest,
    ) -> String {
        let mut judgements = self.judgements();
        let mut other = self.other.as_ref().map(|o| (o.mode, o.view.judgements()));
        if too_small::<MisacConfig>(manifest.seeds.len(), &manifest.config).is_some() {
            let bases = || paper::CLAIMS.iter().map(|c| c.0.basis().text());
            take_back(&mut judgements, bases());
            if let Some((_, judgements)) = &mut other {
                take_back(judgements, bases());
            }
        }
        let other = other.as_ref().map(|(mode, judgements)| OtherMode { mode, judgements });
        let small = too_small::<MisacConfig>(manifest.seeds.len(), &manifest.config);
        let mut out = String::new();
        let answer = self.answer(&judgements, small.is_some());
        write_opening(&mut out, TITLE, &answer, &self.numbers(&judgements));
        out.push_str(&smoke_words(small.as_deref()));
        let of_paper = |p: &&Plate| PAPER_FIGURES.contains(&p.number);
        out.push_str("## The paper's figures, ours\n\n");
        for plate in plates.iter().filter(of_paper) {
            plate.write(&mut out, drawn(plate.file));
        }
        out.push_str("## Which claims of the paper hold\n\n");
        out.push_str(
            "One agent counts as above another if its 95 % interval lies above the other's; where they overlap, or where an interval reaches \
             over a limit, the comparison stays open. Agents that the paper lacks are not part of these claims.\n\n",
        );
        out.push_str(&claims_table(
            paper::CLAIMS.iter().map(|(claim, place, text)| (*place, *text, claim.basis().text())),
            &judgements,
            other.as_ref(),
        ));
        self.write_in_short(&mut out, &judgements, other.as_ref());
        self.write_printed(&mut out);
        self.write_simple(&mut out);
        self.write_training(&mut out);
        self.write_grids(&mut out);
        out.push_str("## Figures that the paper lacks\n\n");
        for plate in plates.iter().filter(|p| !of_paper(p)) {
            let mut more = String::new();
            match plate.number {
                "gap" => self.write_gaps(&mut more),
                "T_proc" => self.write_sweep(&mut more),
                "kinematic" => self.write_kinematic(&mut more),
                "networks" => self.write_networks(&mut more),
                _ => {}
            }
            plate.write_folded(&mut out, drawn(plate.file), &more);
        }
        self.write_variants(&mut out);
        self.write_method(&mut out);
        if small.is_some() {
            out = plainly(&out);
        }
        let mut scope = String::new();
        self.write_scope(&mut scope, manifest);
        scope.push_str(&health::section(&self.ill, MisacConfig::SWEPT.unit));
        write_manifest(&mut out, &scope, manifest);
        out
    }

    /// The page in one sentence.
    fn answer(&self, judgements: &[Judgement], small: bool) -> String {
        let Some((snr, own)) = self.headline_db.and_then(|s| Some((s, self.metric(PROPOSED, ENERGY, s)?)))
        else {
            return format!("This run has no evaluated energy of `{PROPOSED}`.");
        };
        if small {
            return format!(
                "A smoke run: everything runs, and no claim about what was measured is judged; `{PROPOSED}` takes {} J per slot at {snr} dB \
                 after hardly any training.",
                num(own.mean)
            );
        }
        let printed = paper::VALUES.iter().find(|v| v.agent == PROPOSED && v.snr_db == snr);
        let printed = printed.map_or(String::new(), |v| format!(" ({} J printed)", printed_text(v.value)));
        let beside = self.cost(PERIODIC, snr).zip(self.cost(PROPOSED, snr)).map(|(simple, learned)| {
            let words = match order(&learned, &simple) {
                Order::Above => "costs more than",
                Order::Below => "costs less than",
                Order::Level => "costs as much as",
            };
            let gap = rounded((100.0 * (learned.mean / simple.mean - 1.0)).abs());
            let gap = if order(&learned, &simple) == Order::Level {
                String::new()
            } else {
                format!(", by {gap} %")
            };
            format!(", and {words} a fixed camera period with nothing learned{gap}")
        });
        let holds = judgements.iter().filter(|j| j.verdict == Verdict::Holds).count();
        format!(
            "{holds} of the paper's {} claims hold: `{PROPOSED}`{} takes {} J per slot at {snr} dB{printed}{}.",
            judgements.len(),
            self.trained_with(),
            num(own.mean),
            beside.unwrap_or_default()
        )
    }

    /// What the learned agents of the page were trained with, as an insertion.
    fn trained_with(&self) -> String {
        match self.recipe.0.as_str() {
            "" => String::new(),
            algorithm => format!(", trained with `{algorithm}`,"),
        }
    }

    /// The numbers at the top of the page.
    fn numbers(&self, judgements: &[Judgement]) -> Vec<Number> {
        let mut out = Vec::new();
        if let Some(snr) = self.headline_db {
            let printed = paper::VALUES.iter().find(|v| v.agent == PROPOSED && v.snr_db == snr);
            let printed =
                printed.map_or(String::new(), |v| format!("; the paper prints {} J", printed_text(v.value)));
            if let Some(e) = self.metric(PROPOSED, ENERGY, snr) {
                let with = format!("95 %: {}, {}", e.interval_text(), seeds_in_words(e.seeds));
                let what = format!("energy per slot of `{PROPOSED}` at {snr} dB ({with}){printed}");
                out.push(Number::new(format!("{} J", num(e.mean)), what));
            }
            if let Some(gap) = self.gap_percent(PROPOSED, snr) {
                let what = format!("cost of `{PROPOSED}` above the exact optimum (`{OPTIMUM}`) at {snr} dB");
                out.push(Number::new(format!("{} %", rounded(gap.mean)), what));
            }
        }
        out.push(claims_number(judgements));
        out
    }

    fn write_scope(&self, out: &mut String, manifest: &Manifest) {
        write_cited(out, MisacConfig::CITE);
        let recipe = match self.recipe.0.is_empty() {
            true => String::new(),
            false => format!("; learned agents: algorithm `{}`, phases `{}`", self.recipe.0, self.recipe.1),
        };
        let _ = writeln!(
            out,
            "Uncertainty `{}`{recipe}; SNR {} dB; {} on {} ({}).\n",
            self.uncertainty,
            numbers(&self.snrs_db),
            seeds_words(self.cells.iter().map(|c| c.estimate.seeds).max()),
            manifest.device,
            manifest.backend,
        );
        if let Some(o) = &self.other {
            let _ = writeln!(out, "{}\n", mode_words(o.mode));
        }
        if let Some(less) = trained_less::<MisacConfig>(manifest) {
            let _ = writeln!(out, "{less}\n");
        }
        let is_other = |r: &&Run| {
            !r.algorithm.is_empty() && (&r.algorithm, &r.phase) != (&self.recipe.0, &self.recipe.1)
        };
        let other: Vec<String> = self
            .shown()
            .filter(is_other)
            .map(|r| format!("{} (algorithm `{}`, phases `{}`)", code(&r.agent), r.algorithm, r.phase))
            .collect();
        if !other.is_empty() {
            let _ = writeln!(out, "Shown with the recipe their rows have: {}.\n", listed(&other));
        }
        let absent = self.missing(&AGENTS.map(|(id, _)| id));
        if !absent.is_empty() {
            let _ = writeln!(out, "Not in this run: {}.\n", listed(&absent));
        }
        match self.headline_db {
            None => out.push_str("This run has no evaluation rows: tables of ours show `-`.\n\n"),
            Some(s) if s != HEADLINE_SNR_DB => {
                let _ = writeln!(
                    out,
                    "This run has no evaluation at {HEADLINE_SNR_DB} dB, the SNR of most printed values. Where one SNR is needed, {s} dB \
                     stands in, and nothing of ours stands beside the values printed for {HEADLINE_SNR_DB} dB.\n"
                );
            }
            Some(_) => {}
        }
    }

    pub(super) fn judgements(&self) -> Vec<Judgement> {
        paper::CLAIMS.iter().map(|(claim, ..)| self.judge(*claim)).collect()
    }

    fn write_in_short(&self, out: &mut String, judgements: &[Judgement], other: Option<&OtherMode>) {
        out.push_str("## Findings\n\n");
        let _ = writeln!(
            out,
            "- {}",
            tally(
                judgements,
                "about energy, sensing and learning",
                paper::CLAIMS.iter().map(|c| c.0.basis().text())
            )
        );
        if let Some(other) = other {
            let sentence = other_mode_sentence(paper::CLAIMS.iter().map(|c| c.2), judgements, other);
            let _ = writeln!(out, "- {sentence}");
        }
        let lines = [
            self.proposed_sentence(),
            self.simple_sentence(),
            self.coin_sentence(),
            self.optimal_sentence(),
            self.undercut_sentence(),
        ];
        let shared = SHARED.iter().map(|a| self.shared_sentence(a));
        let more = [
            self.other_recipes_sentence(),
            self.masking_sentence(),
            self.conflict_sentence(),
            self.kinematic_sentence(),
            self.networks_sentence(),
        ];
        for line in lines.into_iter().chain(shared).chain(more).flatten() {
            let _ = writeln!(out, "- {line}");
        }
        out.push('\n');
    }

    fn proposed_sentence(&self) -> Option<String> {
        let v = paper::VALUES.iter().find(|v| v.agent == PROPOSED && v.snr_db == HEADLINE_SNR_DB)?;
        let e = self.metric(PROPOSED, ENERGY, v.snr_db)?;
        let saving = self.saving_percent(PROPOSED, v.snr_db);
        let saving = saving.map_or(String::new(), |s| {
            format!(
                " That saves {} % against Vision-Only; the paper says over {} %.",
                s.brief(),
                paper::SAVING_PERCENT
            )
        });
        Some(format!(
            "`{PROPOSED}` takes {} J per slot at {} dB; the paper prints {} J.{saving}",
            e.brief(),
            v.snr_db,
            printed_text(v.value)
        ))
    }

    /// What a fixed period reaches without any learning.
    fn simple_sentence(&self) -> Option<String> {
        let snr = self.headline_db?;
        let (simple, learned) = (self.cost(PERIODIC, snr)?, self.cost(PROPOSED, snr));
        let optimum = self.cost(OPTIMUM, snr).map(|o| {
            let gap = simple.mean - o.mean;
            format!(", {} the exact optimum ({:.2} % of it)", against(gap, "J"), 100.0 * gap.abs() / o.mean)
        });
        let learned = learned.map(|l| {
            let words = match order(&l, &simple) {
                Order::Above => "Learning costs more: ",
                Order::Below => "Learning costs less: ",
                Order::Level => "Learning is level with it: ",
            };
            format!(" {words}`{PROPOSED}` {} J.", l.brief())
        });
        Some(format!(
            "A fixed camera period (`{PERIODIC}`; nothing learned) costs {} J per slot at {snr} dB, energy and \
             penalty{}.{}",
            simple.brief(),
            optimum.unwrap_or_default(),
            learned.unwrap_or_default()
        ))
    }

    fn coin_sentence(&self) -> Option<String> {
        let snr = self.headline_db?;
        let coin = self.coin_flip_j(snr)?;
        let about = |v: &&paper::PrintedEnergy| v.snr_db == snr && SHARED.contains(&v.agent);
        let printed = paper::VALUES
            .iter()
            .filter(about)
            .map(|v| format!("{} J printed for {}", printed_text(v.value), code(v.agent)));
        let printed: Vec<String> = printed.collect();
        let beside = match printed.is_empty() {
            true => String::new(),
            false => format!(" Beside it: {}.", listed(&printed)),
        };
        Some(format!(
            "Switching each camera on by the flip of a coin costs {} J per slot at {snr} dB in steady state (a closed form).{beside}",
            num(coin)
        ))
    }

    fn optimal_sentence(&self) -> Option<String> {
        let gaps: Vec<(f64, Estimate, Option<Estimate>)> = self
            .snrs_db
            .iter()
            .filter_map(|&s| Some((s, self.gap_percent(PROPOSED, s)?, self.percent_over(PROPOSED, s))))
            .collect();
        let worst = gaps.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
        let reached = gaps.iter().filter(|g| g.1.mean <= OPTIMAL_GAP_PERCENT).count();
        let over = gaps.iter().filter_map(|g| Some((g.0, g.2?))).max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        let over = over.map_or(String::new(), |(snr, e)| match e.mean > 0.0 {
            true => format!(" At most {} % of its slots break Γ_misa, at {snr} dB.", e.brief()),
            false => " None of its slots breaks Γ_misa.".to_string(),
        });
        Some(format!(
            "`{PROPOSED}` costs within {OPTIMAL_GAP_PERCENT} % of the exact optimum at {reached} of {} SNRs; the largest gap is {} %, at {} dB.{over}",
            gaps.len(),
            worst.1.brief(),
            worst.0
        ))
    }

    /// Whether the optimum is one: no agent may cost less than the least that an episode can cost, and none less than
    /// the optimum of the long run, but for what the ends of an episode are worth.
    fn undercut_sentence(&self) -> Option<String> {
        let (mut compared, mut below, mut broken) = (0, Vec::new(), Vec::new());
        for &snr in &self.snrs_db {
            let Some(optimum) = self.cost(OPTIMUM, snr) else { continue };
            let floor = self.metric(OPTIMUM, EPISODE, snr).map_or(0.0, |e| e.mean * (1.0 - SUMMING));
            for agent in self.ids() {
                let Some(own) = self.cost(agent, snr) else { continue };
                if own.mean < floor {
                    broken.push(format!(
                        "{} {} J against {} J at {snr} dB",
                        code(agent),
                        num(own.mean),
                        num(floor)
                    ));
                }
                if agent != OPTIMUM {
                    compared += 1;
                    if order(&own, &optimum) == Order::Below {
                        let gap = rounded(optimum.mean - own.mean);
                        below.push(format!("{} by {gap} J at {snr} dB", code(agent)));
                    }
                }
            }
        }
        if !broken.is_empty() {
            return Some(format!(
                "**Less than any schedule can cost in an episode, which must not happen and means an error in the physics or in the optimum: {}.**",
                broken.join("; ")
            ));
        }
        match (compared, below.as_slice()) {
            (0, _) => None,
            (n, []) => Some(format!("No agent costs less than `{OPTIMUM}` at any SNR ({n} comparisons).")),
            (_, some) => Some(format!(
                "Below `{OPTIMUM}`: {}. It is the optimum of the long run; an episode lets others gain what its first and last slots are worth.",
                some.join("; ")
            )),
        }
    }

    /// Whether an agent with a shared network stagnates where the paper says.
    fn shared_sentence(&self, agent: &str) -> Option<String> {
        let v = paper::VALUES.iter().find(|v| v.agent == agent)?;
        let own = self.metric(agent, ENERGY, v.snr_db)?;
        let beside = self.metric(PROPOSED, ENERGY, v.snr_db).map(|e| {
            let words = match order(&own, &e) {
                Order::Above => "more than",
                Order::Below => "less than",
                Order::Level => "level with",
            };
            format!(", {words} `{PROPOSED}` ({} J)", e.brief())
        });
        let over = self
            .percent_over(agent, v.snr_db)
            .map(|e| format!("; {} % of its slots break Γ_misa", e.brief()));
        let Printed::About(printed) = v.value else { return None };
        let verdict = match within(&own, printed * (1.0 - ABOUT), printed * (1.0 + ABOUT)) {
            Verdict::Holds => "ends where the paper has it stagnate",
            Verdict::Fails if own.mean < printed => "does not stagnate where the paper says",
            Verdict::Fails => "ends above where the paper has it stagnate",
            _ => "ends in part where the paper has it stagnate",
        };
        Some(format!(
            "{} {verdict}: {} J at {} dB against {} J printed{}{}.",
            code(agent),
            own.brief(),
            v.snr_db,
            printed_text(v.value),
            beside.unwrap_or_default(),
            over.unwrap_or_default()
        ))
    }

    fn masking_sentence(&self) -> Option<String> {
        let snr = self.headline_db?;
        let (masked, full) = (self.cost(MASKED, snr)?, self.cost(PROPOSED, snr)?);
        let vision = self.cost(VISION, snr)?;
        let more = 100.0 * (masked.mean / full.mean - 1.0);
        let words = if order(&masked, &vision) == Order::Below {
            "does not make the agent fail entirely"
        } else {
            "leaves the agent no better than cameras that are always on"
        };
        let otherwise = self.masked_otherwise(snr).map_or(String::new(), |told| format!("; {told}"));
        Some(format!(
            "Masking the ages {words}: the cost is {} J per slot at {snr} dB, {} % {} than with them ({} J); Vision-Only costs {} J{otherwise}.",
            masked.brief(),
            num(more.abs()),
            if more < 0.0 { "less" } else { "more" },
            full.brief(),
            num(vision.mean)
        ))
    }

    /// What the proposed agent costs with other algorithms and phases, where this run has them.
    fn other_recipes_sentence(&self) -> Option<String> {
        let snr = self.headline_db?;
        let own = |r: &&Run| {
            r.agent == PROPOSED
                && r.uncertainty == self.uncertainty
                && r.variant.is_empty()
                && !r.algorithm.is_empty()
        };
        let is_shown = |r: &Run| (&r.algorithm, &r.phase) == (&self.recipe.0, &self.recipe.1);
        let told = |r: &Run| {
            let cost = self.cost_of(r, snr)?;
            Some(format!("{} J with `{}` and phases `{}`", cost.brief(), r.algorithm, r.phase))
        };
        let others: Vec<String> =
            self.runs.iter().filter(own).filter(|r| !is_shown(r)).filter_map(told).collect();
        (!others.is_empty()).then(|| {
            format!(
                "All numbers of `{PROPOSED}` on this page are of training with `{}` and phases `{}`. The paper's Algorithm 1 is `a2c`. At \
                 {snr} dB the cost per slot is {}.",
                self.recipe.0,
                self.recipe.1,
                listed(&others)
            )
        })
    }

    fn conflict_sentence(&self) -> Option<String> {
        let known = self.cosines();
        let told: Vec<String> = known
            .iter()
            .map(|(a, e)| {
                let words = match within(e, -1.0, -f64::MIN_POSITIVE) {
                    Verdict::Holds => "in conflict",
                    Verdict::Fails => "not in conflict",
                    _ => "neither in conflict nor in agreement beyond the interval",
                };
                format!("{} in {} ({words})", e.brief(), code(a))
            })
            .collect();
        (!told.is_empty()).then(|| {
            format!(
                "Gradient conflict, measured: the mean cosine between the gradients of the two tasks on the shared parameters is {}. \
                 −1 would be opposite, 0 unrelated.",
                listed(&told)
            )
        })
    }

    fn kinematic_sentence(&self) -> Option<String> {
        let runs = self.kinematic();
        let of = |agent: &str| runs.iter().find(|r| r.agent == agent).copied();
        let (own, simple) = (of(PROPOSED)?, of(PERIODIC)?);
        let snr = headline(self.snr_of(own).into_iter().filter(|s| self.cost_of(simple, *s).is_some()))?;
        let (learned, period) = (self.cost_of(own, snr)?, self.cost_of(simple, snr)?);
        let gain = match order(&learned, &period) {
            Order::Below => format!("learning saves {} J", num(period.mean - learned.mean)),
            Order::Above => format!("learning costs {} J more", num(learned.mean - period.mean)),
            Order::Level => "learning gains nothing beyond the intervals".to_string(),
        };
        let causal = of(CAUSAL).and_then(|r| self.cost_of(r, snr)).map_or(String::new(), |c| {
            let share = 100.0 * (period.mean - learned.mean) / (period.mean - c.mean);
            let cost = format!(
                "`{CAUSAL}`, a dynamic program that knows what the agent observes, costs {} J",
                c.brief()
            );
            if c.mean < period.mean {
                format!("; {cost}, and the agent has {} % of what that saves", num(share))
            } else {
                format!("; {cost}")
            }
        });
        let bound = of(BOUND).and_then(|r| self.cost_of(r, snr)).map_or(String::new(), |b| {
            let room = period.mean - b.mean;
            let share = 100.0 * (period.mean - learned.mean) / room;
            if room > 0.0 && share > 0.0 {
                format!("; that is {} % of the room above the lower bound of {} J", num(share), num(b.mean))
            } else {
                format!("; no schedule can cost less than {} J", num(b.mean))
            }
        });
        Some(format!(
            "Where uncertainty follows the vehicles' angular rates no fixed period fits: at {snr} dB the best one costs {} J and `{PROPOSED}` \
             {} J, so {gain}{causal}{bound}.",
            period.brief(),
            learned.brief()
        ))
    }

    /// SNRs at which a run has a cost, ascending, dB.
    fn snr_of(&self, run: &Run) -> Vec<f64> {
        let all = distinct(self.cells.iter().filter(|c| c.run == *run).map(|c| c.snr_db));
        all.into_iter().filter(|s| self.cost_of(run, *s).is_some()).collect()
    }

    fn write_printed(&self, out: &mut String) {
        out.push_str(
            "## Ours beside the printed values\n\nEnergy per slot, J. Intervals are over seeds.\n\n",
        );
        let mut header =
            "figure | agent | SNR (dB) | paper (J) | ours (J) | 95 % interval (J) | seeds".to_string();
        if let Some(o) = &self.other {
            let _ = write!(header, " | ours, {} (J)", o.mode);
        }
        write_table(out, &header, 2, paper::VALUES, |v| {
            let ours = self.metric(v.agent, ENERGY, v.snr_db);
            let mut cells = vec![
                v.figure.to_string(),
                code(v.agent),
                format!("{}", v.snr_db),
                printed_text(v.value),
                ours.map_or("-".into(), |e| num(e.mean)),
                ours.map_or("-".into(), |e| e.interval_text()),
                ours.map_or("-".into(), |e| e.seeds.to_string()),
            ];
            if let Some(o) = &self.other {
                let other = o.view.metric(v.agent, ENERGY, v.snr_db);
                cells.push(other.map_or("-".into(), |e| num(e.mean)));
            }
            cells
        });
        let saving = self.saving_percent(PROPOSED, HEADLINE_SNR_DB);
        let _ = writeln!(
            out,
            "Energy saved by RL-H-MoE against Vision-Only at {HEADLINE_SNR_DB} dB: printed over {} %, ours {} %.{}",
            paper::SAVING_PERCENT,
            cell_of(saving),
            saving.map_or("", |e| one_seed(&e).trim_start_matches('.'))
        );
        let range = paper::VALUES.iter().find_map(|v| match v.value {
            Printed::Between(lo, hi) if v.agent == PROPOSED => Some((lo, hi)),
            _ => None,
        });
        if let Some((lo, hi)) = range {
            let saved = |j: f64| format!("{:.1} %", 100.0 * (1.0 - j / paper::CAMERA_SLOT_J));
            let _ = writeln!(
                out,
                "The printed range of {lo} to {hi} J would save {} to {}.\n",
                saved(hi),
                saved(lo)
            );
        }
    }

    /// Everything that needs no learning beside `h-moe`.
    fn write_simple(&self, out: &mut String) {
        out.push_str("## What needs no learning\n\n");
        if self.snrs_db.is_empty() {
            out.push_str("No evaluation rows in this run.\n\n");
            return;
        }
        let mut rows = Vec::new();
        let line = |name: String, get: &dyn Fn(f64) -> Option<String>| -> Vec<String> {
            let cells = self.snrs_db.iter().map(|&s| get(s).unwrap_or_else(|| "-".into()));
            [name].into_iter().chain(cells).collect()
        };
        for agent in [OPTIMUM, PERIODIC, VISION, RADAR, PROPOSED] {
            if self.has(agent) {
                rows.push(line(code(agent), &|s| self.cost(agent, s).map(|e| e.brief())));
            }
        }
        if self.snrs_db.iter().any(|s| self.coin_flip_j(*s).is_some()) {
            rows.push(line("coin flip (energy, closed form)".into(), &|s| self.coin_flip_j(s).map(num)));
        }
        let above =
            |agent: &str, s: f64| Some(rounded(self.cost(agent, s)?.mean - self.cost(OPTIMUM, s)?.mean));
        for agent in [PERIODIC, PROPOSED] {
            if self.has(agent) && self.has(OPTIMUM) {
                rows.push(line(format!("{} above `{OPTIMUM}`", code(agent)), &|s| above(agent, s)));
            }
        }
        let facts = [
            (OPTIMUM, "dp_value_j", "value of the dynamic program in the long run"),
            (OPTIMUM, "dp_residual_j", "its Bellman residual"),
            (OPTIMUM, EPISODE, "least that any schedule pays in an episode"),
            (PERIODIC, "period_slots", "slots of the best period"),
        ];
        for (agent, metric, words) in facts {
            if self.snrs_db.iter().any(|s| self.metric(agent, metric, *s).is_some()) {
                rows.push(line(words.into(), &|s| self.metric(agent, metric, s).map(|e| num(e.mean))));
            }
        }
        out.push_str(&table(&header_over("cost (11) per slot, J", &self.snrs_db, "dB"), 1, &rows));
        let _ = writeln!(
            out,
            "Episodes begin with all ages at 0, so a mean over an episode lies a little below the long run. What they are: {}.\n",
            listed(&AGENTS[4..].iter().map(|(id, what)| format!("{}: {what}", code(id))).collect::<Vec<_>>())
        );
    }

    fn write_training(&self, out: &mut String) {
        if self.learning.is_empty() {
            return;
        }
        out.push_str("## Training\n\n");
        let goal = format!("steps to {OPTIMAL_GAP_PERCENT} % above `{OPTIMUM}`");
        let header = format!(
            "agent | algorithm | phases | updates | environment steps per seed | first energy (J) | \
             last energy (J) | last slots over Γ_misa (%) | {goal} | mean gradient cosine"
        );
        write_table(out, &header, 3, &self.learning, |l| {
            vec![
                code(&l.run.agent),
                l.run.algorithm.clone(),
                l.run.phase.clone(),
                l.updates.to_string(),
                l.env_steps.to_string(),
                cell_of(l.first_energy),
                cell_of(l.last_energy),
                cell_of(l.last_over_gamma.map(|e| e.map(|x| 100.0 * x))),
                self.steps_to_optimal(l).map_or("-".into(), |s| format!("{s:.0}")),
                cell_of(l.mean_cosine),
            ]
        });
    }

    fn write_gaps(&self, out: &mut String) {
        let rows = rows_of(self.ids().filter(|a| *a != OPTIMUM), |agent| {
            let gaps: Vec<_> = self.snrs_db.iter().map(|&s| self.gap_percent(agent, s)).collect();
            let row = || [code(agent)].into_iter().chain(gaps.iter().map(|gap| cell_of(*gap))).collect();
            gaps.iter().any(Option::is_some).then(row)
        });
        if !rows.is_empty() {
            out.push_str(&table(&header_over("cost above the optimum, %", &self.snrs_db, "dB"), 1, &rows));
        }
    }

    fn write_sweep(&self, out: &mut String) {
        let (sweep, Some(snr)) = (self.sweep(), self.sweep_db()) else { return };
        let header =
            "agent | T_proc (slots) | energy (J) | cost (J) | frames per slot | slots over Γ_misa (%)";
        write_table(out, header, 1, sweep, |(slots, run)| {
            vec![
                code(&run.agent),
                format!("{slots}"),
                cell_of(self.metric_of(run, ENERGY, snr)),
                cell_of(self.cost_of(run, snr)),
                cell_of(self.metric_of(run, FRAMES, snr)),
                cell_of(self.metric_of(run, OVER_GAMMA, snr).map(|e| e.map(|x| 100.0 * x))),
            ]
        });
    }

    fn write_kinematic(&self, out: &mut String) {
        let runs = self.kinematic();
        if runs.is_empty() {
            return;
        }
        let snrs = distinct(runs.iter().flat_map(|r| self.snr_of(r)));
        write_table(out, &header_over("cost (11) per slot, J", &snrs, "dB"), 1, runs, |run| -> Vec<String> {
            let cells = snrs.iter().map(|&s| cell_of(self.cost_of(run, s)));
            [code(&run.agent)].into_iter().chain(cells).collect()
        });
        if let Some(line) = self.kinematic_sentence() {
            let _ = writeln!(out, "{line}\n");
        }
    }

    fn write_grids(&self, out: &mut String) {
        out.push_str("## All agents over the SNR\n\n");
        if self.snrs_db.is_empty() {
            out.push_str("No evaluation rows in this run.\n\n");
            return;
        }
        out.push_str("Mean over seeds, with the 95 % interval in brackets.");
        if self.cells.iter().any(|c| c.estimate.interval.is_none_or(|i| i.lo == i.hi)) {
            out.push_str(" A value without brackets is of one seed, or the same for all: no interval.");
        }
        out.push_str("\n\n");
        let grids: [(&str, &str, f64); 13] = [
            ("Energy (3) per slot (J)", ENERGY, 1.0),
            ("Cost (11) per slot, energy and penalty (J)", COST, 1.0),
            ("L_BMP", "l_bmp", 1.0),
            ("Slots with L_BMP above Γ_misa (9e) (%)", OVER_GAMMA, 100.0),
            ("Largest age (9d) (slots)", "age_max", 1.0),
            ("Slots that leave an age beyond A_max (9d) (%)", "share_over_age", 100.0),
            ("Sensing MAE (°)", MAE, 1.0),
            ("Camera frames per slot", FRAMES, 1.0),
            ("Beam gain over matched phases (%)", "beam_gain_share", 100.0),
            ("Beam gain of steering at θ̂ over matched phases (%)", "estimate_gain_share", 100.0),
            ("Sum-rate with multi-user interference (1) (bps/Hz)", "sum_rate_bps_hz", 1.0),
            ("Largest deviation of |v_k,m| from 1/√M (9b)", "modulus_error", 1.0),
            ("Radiated power over P_max (9c)", "power_share", 1.0),
        ];
        let mut absent: Vec<&str> = Vec::new();
        for (title, metric, unit) in grids {
            let get = |view: &View, agent: &str, s: f64| match metric {
                COST => view.cost(agent, s),
                _ => view.metric(agent, metric, s).map(|e| e.map(|x| unit * x)),
            };
            let known = self.in_all_modes().into_iter();
            let known: Vec<_> = known
                .filter(|(_, view, agent)| self.snrs_db.iter().any(|&s| get(view, agent, s).is_some()))
                .collect();
            if known.is_empty() {
                absent.push(title);
                continue;
            }
            let header = header_over("agent", &self.snrs_db, "dB");
            let rows = rows_of(known, |(name, view, agent)| -> Vec<String> {
                let cells = self.snrs_db.iter().map(|&s| cell_of(get(view, agent, s)));
                [name].into_iter().chain(cells).collect()
            });
            fold(out, title, &table(&header, 1, &rows));
        }
        if !absent.is_empty() {
            let _ = writeln!(out, "Not in this run: {}.\n", absent.join("; "));
        }
    }

    /// Runs that no figure and no table above shows: other recipes and variants.
    fn write_variants(&self, out: &mut String) {
        let mut above: Vec<&Run> = self.shown().collect();
        above.extend(self.sweep().into_iter().map(|(_, r)| r));
        above.extend(self.kinematic());
        let mut rows = Vec::new();
        for run in self.runs.iter().filter(|r| !above.contains(r)) {
            for snr in self.snr_of(run) {
                let of = |metric: &str, unit: f64| {
                    cell_of(self.metric_of(run, metric, snr).map(|e| e.map(|x| unit * x)))
                };
                let optimum = self.run(OPTIMUM, &run.uncertainty, "").and_then(|o| self.cost_of(o, snr));
                let gap = self.cost_of(run, snr).zip(optimum).map(|(c, o)| 100.0 * (c.mean / o.mean - 1.0));
                let word = |w: &str| if w.is_empty() { "-".to_string() } else { format!("`{w}`") };
                rows.push(vec![
                    code(&run.agent),
                    word(&run.algorithm),
                    word(&run.phase),
                    word(&run.uncertainty),
                    word(&run.variant),
                    format!("{snr}"),
                    of(ENERGY, 1.0),
                    cell_of(self.cost_of(run, snr)),
                    gap.map_or("-".into(), num),
                    of(OVER_GAMMA, 100.0),
                    of("beam_gain_share", 100.0),
                ]);
            }
        }
        if rows.is_empty() {
            return;
        }
        out.push_str("## Other recipes and variants in this run\n\n");
        let header = "agent | algorithm | phases | uncertainty | variant | SNR (dB) | energy (J) | cost (J) | \
             above `dp-optimal` (%) | slots over Γ_misa (%) | beam gain (%)";
        out.push_str(&table(header, 5, &rows));
    }

    fn write_method(&self, out: &mut String) {
        let few = few_seeds(self.cells.iter().map(|c| c.estimate));
        let task = match &self.task {
            Some(t) => format!(
                " Here Γ_misa = {}, λ_misa = {} J, T_proc = {} slots, A_max = {} slots, {} slots per episode.",
                t.gamma_misa, t.lambda_misa_j, t.t_proc_slots, t.age_max_slots, t.slots
            ),
            None => {
                " The manifest's configuration cannot be read, so that closed forms are left out.".to_string()
            }
        };
        let _ = writeln!(
            out,
            "## How the numbers are made\n\n\
             - Intervals are 95 % percentile bootstrap intervals of the mean over seeds, {RESAMPLES} resamples, the same resamples for all \
             quantities. They tell the spread between trainings, not between episodes.{few}\n\
             - Cost is what (11) charges: energy (3) and λ_misa·max(0, L_BMP − Γ_misa). An agent can save energy by breaking (9e); cost tells.\n\
             - The paper prints neither Γ_misa, λ_misa, A_max, T_proc, β(SNR) nor the length of an episode.{task} Levels of energy follow from these \
             choices; orders between agents and gaps to the optimum say more.\n\
             - (9b) and (9c) contradict each other as printed: K beams of unit norm radiate more than P_max. A beam has the modulus of (9b) and is \
             transmitted with √(P_max/K).\n\
             - \"After training\" and \"last\" are means over the last {:.0} % of a run's updates.\n\
             - Printed values come from the text of the paper; its figures are not read off.\n\
             - `-` stands for what this run does not have. The rows are beside this page as Parquet.\n",
            100.0 * LAST_SHARE
        );
    }
}

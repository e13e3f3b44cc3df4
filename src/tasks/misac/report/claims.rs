//! The claims of the paper, judged from the rows.

use super::*;

/// Relative room for sums in single precision where the paper says "exactly", and for limits that hold by construction.
const ROUNDING: f64 = 1e-6;

/// Gradients whose mean cosine is nearer to 0 than this are unrelated, not opposed.
const CONFLICT: f64 = 0.05;

/// Parts of a training whose mean costs are compared.
const SPANS: usize = 20;

/// The most by which a mean over a part of the second half of a training is above the lowest before it, %; `None` with
/// fewer costs than parts.
fn relapse_percent(costs: &[f64]) -> Option<f64> {
    if costs.len() < SPANS {
        return None;
    }
    let part = |i: usize| {
        let part = &costs[i * costs.len() / SPANS..(i + 1) * costs.len() / SPANS];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let (mut lowest, mut worst) = (part(0), 0f64);
    for i in 1..SPANS {
        let now = part(i);
        if 2 * i >= SPANS {
            worst = worst.max(100.0 * (now / lowest - 1.0));
        }
        lowest = lowest.min(now);
    }
    Some(worst)
}

fn no_data(evidence: impl Into<String>) -> Judgement {
    Judgement::new(Verdict::NoData, evidence)
}

/// Whether an estimate is what the text prints.
fn matches(e: &Estimate, value: Printed) -> Verdict {
    let about = |x: f64, part: f64| within(e, x * (1.0 - part), x * (1.0 + part));
    match value {
        Printed::Exactly(x) => about(x, ROUNDING),
        Printed::About(x) => about(x, ABOUT),
        Printed::Above(x) => within(e, x, f64::INFINITY),
        Printed::Between(lo, hi) => within(e, lo, hi),
    }
}

pub(super) fn printed_text(value: Printed) -> String {
    match value {
        Printed::Exactly(x) => format!("exactly {x}"),
        Printed::About(x) => format!("about {x}"),
        Printed::Above(x) => format!("above {x}"),
        Printed::Between(lo, hi) => format!("{lo} to {hi}"),
    }
}

pub(super) fn one_seed(e: &Estimate) -> &'static str {
    if e.seeds < 2 { ". One seed: no interval, means compared" } else { "" }
}

impl View<'_> {
    /// The verdict on a claim; none on one that speaks of an agent whose training went astray.
    pub(super) fn judge(&self, claim: Claim) -> Judgement {
        let astray = health::astray(&self.ill, claim.agents(), MisacConfig::SWEPT.unit);
        unless(astray, || self.judge_rows(claim))
    }

    fn judge_rows(&self, claim: Claim) -> Judgement {
        match claim {
            Claim::VisionEnergy => self.judge_printed(VISION, "3"),
            Claim::RadarEnergy => self.judge_printed(RADAR, "3"),
            Claim::PpoStagnates => self.judge_printed(MONO, "3"),
            Claim::HomogeneousStagnates => self.judge_printed(HOMOGENEOUS, "3"),
            Claim::ProposedEnergy => self.judge_printed(PROPOSED, "3"),
            Claim::EnergyAtHighSnr => self.judge_printed(PROPOSED, "5"),
            Claim::MaskingFails => self.judge_masking(),
            Claim::ProposedLowest => self.lower(PROPOSED, ENERGY, " J", self.headline_db.as_slice()),
            Claim::LowestEverywhere => self.lower(PROPOSED, ENERGY, " J", &self.snrs_db),
            Claim::VisionMae => self.lower(VISION, MAE, "°", self.headline_db.as_slice()),
            Claim::Saving => self.judge_saving(),
            Claim::ProposedMae => self.judge_mae(),
            Claim::RadarDiverges => self.judge_divergence(),
            Claim::EnergyFalls => self.judge_falling(ENERGY, " J"),
            Claim::FewerFrames => self.judge_falling(FRAMES, " frames per slot"),
            Claim::Optimal => self.judge_optimal(),
            Claim::LinkGuaranteed => {
                self.judge_limit(OVER_GAMMA, 0.0, 100.0, "slots with L_BMP above Γ_misa, %")
            }
            Claim::AgeGuaranteed => {
                self.judge_limit(OVER_AGE, 0.0, 100.0, "slots that leave an age beyond A_max, %")
            }
            Claim::ReliableLinks => self.judge_links(),
            Claim::AgeingLowersGain => self.judge_ageing(),
            Claim::MaximisesGain => self.judge_gain(),
            Claim::StableConvergence => self.judge_stability(),
            Claim::Modulus => {
                self.judge_limit("modulus_error", ROUNDING, 1.0, "largest deviation of |v_k,m| from 1/√M")
            }
            Claim::Power => self.judge_limit("power_share", 1.0 + ROUNDING, 1.0, "radiated power over P_max"),
            Claim::Conflict => self.judge_conflict(),
        }
    }

    fn judge_printed(&self, agent: &str, figure: &str) -> Judgement {
        let Some(v) = paper::VALUES.iter().find(|v| v.agent == agent && v.figure == figure) else {
            return no_data("");
        };
        match self.metric(agent, ENERGY, v.snr_db) {
            None => no_data(format!("no evaluation of {} at {} dB", code(agent), v.snr_db)),
            Some(e) => {
                let reading = match v.value {
                    Printed::About(_) => format!(", read as within {:.0} %", 100.0 * ABOUT),
                    _ => String::new(),
                };
                Judgement::new(
                    matches(&e, v.value),
                    format!(
                        "{} {} J at {} dB, printed {}{reading}{}",
                        code(agent),
                        e.brief(),
                        v.snr_db,
                        printed_text(v.value),
                        one_seed(&e)
                    ),
                )
            }
        }
    }

    /// Whether `agent` has less of a metric than each other agent of the paper at these SNRs.
    fn lower(&self, agent: &str, metric: &str, unit: &str, snrs_db: &[f64]) -> Judgement {
        if snrs_db.is_empty() {
            return no_data("no evaluation");
        }
        let pair = |other: &str, snr: f64| {
            Some(Pair {
                a: (code(other), self.metric(other, metric, snr)?),
                b: (code(agent), self.metric(agent, metric, snr)?),
                place: format!("{unit} at {snr} dB"),
                strict: true,
            })
        };
        let others = || paper::AGENTS.iter().filter(|a| **a != agent);
        let pairs = snrs_db.iter().flat_map(|snr| others().filter_map(move |other| pair(other, *snr)));
        judge(&pairs.collect::<Vec<_>>(), &paper::AGENTS)
    }

    /// "Fails" is read as: no better than the cheaper of the two schedules that look at nothing.
    fn judge_masking(&self) -> Judgement {
        let Some(snr) = self.headline_db else { return no_data("no evaluation") };
        let blind = [VISION, RADAR].iter().filter_map(|a| Some((*a, self.cost(a, snr)?)));
        let cheapest = blind.min_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        let (Some(own), Some((name, level))) = (self.cost(MASKED, snr), cheapest) else {
            return no_data("no cost of `h-moe-no-aoi`, or of `vision-only` and `radar-only`");
        };
        let verdict = match order(&own, &level) {
            Order::Above => Verdict::Holds,
            Order::Level => Verdict::Open,
            Order::Below => Verdict::Fails,
        };
        let drawn = self.masked_otherwise(snr).map_or(String::new(), |told| format!("; {told}"));
        let full = match self.cost(PROPOSED, snr) {
            Some(full) => format!(
                "; with the ages ({}) {} J, so masking costs {} J more",
                code(PROPOSED),
                full.brief(),
                num(own.mean - full.mean)
            ),
            None => String::new(),
        };
        Judgement::new(
            verdict,
            format!(
                "cost (11) of {} {} J at {snr} dB, of {} {} J{full}{drawn}. Failing is read as no better than the cheaper of Vision-Only \
                 and Radar-Only{}",
                code(MASKED),
                own.brief(),
                code(name),
                level.brief(),
                one_seed(&own)
            ),
        )
    }

    /// What the same weights without ages cost where they decide in the other way.
    pub(super) fn masked_otherwise(&self, snr_db: f64) -> Option<String> {
        let other = self.other.as_ref()?;
        let cost = other.view.cost(MASKED, snr_db)?;
        Some(format!("with actions `{}` the same weights cost {} J", other.mode, cost.brief()))
    }

    /// Energy saved against Vision-Only, %.
    pub(super) fn saving_percent(&self, agent: &str, snr_db: f64) -> Option<Estimate> {
        let vision = self.metric(VISION, ENERGY, snr_db)?.mean;
        Some(self.metric(agent, ENERGY, snr_db)?.map_down(|e| 100.0 * (1.0 - e / vision)))
    }

    fn judge_saving(&self) -> Judgement {
        let saving = self.headline_db.and_then(|snr| Some((snr, self.saving_percent(PROPOSED, snr)?)));
        let Some((snr, saving)) = saving else {
            return no_data("no evaluation of `h-moe` and `vision-only` at one SNR");
        };
        Judgement::new(
            within(&saving, paper::SAVING_PERCENT, f64::INFINITY),
            format!("{} saves {} % at {snr} dB{}", code(PROPOSED), saving.brief(), one_seed(&saving)),
        )
    }

    fn judge_mae(&self) -> Judgement {
        let both = self
            .headline_db
            .and_then(|snr| Some((snr, self.metric(PROPOSED, MAE, snr)?, self.metric(VISION, MAE, snr)?)));
        let Some((snr, own, vision)) = both else {
            return no_data("no sensing error of `h-moe` and `vision-only` at one SNR");
        };
        Judgement::new(
            within(&own, 0.0, (1.0 + ABOUT) * vision.mean),
            format!(
                "{} {}°, {} {}° ({}) at {snr} dB. Nearly is read as within {:.0} %{}",
                code(PROPOSED),
                own.brief(),
                code(VISION),
                vision.brief(),
                times(own.mean / vision.mean),
                100.0 * ABOUT,
                one_seed(&own)
            ),
        )
    }

    fn judge_divergence(&self) -> Judgement {
        let part = |from: f64, to: f64| self.slot_mean(RADAR, |r| r.values[SLOT_MAE], (from, to));
        let pair = part(0.9, 1.0).zip(part(0.4, 0.5)).map(|(late, mid)| Pair {
            a: ("MAE in the last tenth of the slots".into(), late),
            b: ("in the fifth tenth".into(), mid),
            place: "°".into(),
            strict: true,
        });
        let j = judge(pair.as_slice(), &[]);
        match pair {
            None => no_data("no slot rows of `radar-only`"),
            Some(_) => j,
        }
    }

    fn judge_falling(&self, metric: &str, unit: &str) -> Judgement {
        let named = |&snr: &f64| {
            let e = self.metric(PROPOSED, metric, snr)?;
            Some((format!("{} at {snr} dB", code(PROPOSED)), e))
        };
        let known: Vec<(String, Estimate)> = self.snrs_db.iter().filter_map(named).collect();
        if known.len() < 2 {
            return no_data("fewer than two SNRs");
        }
        let mut j = judge(&falling(&known, unit), &[]);
        let (first, last) = (&known[0], &known[known.len() - 1]);
        let _ = write!(j.evidence, ". From {} to {}{unit}", first.1.brief(), last.1.brief());
        j
    }

    fn judge_optimal(&self) -> Judgement {
        let (mut gaps, mut overs) = (Vec::new(), Vec::new());
        for &snr in &self.snrs_db {
            let (Some(gap), Some(over)) = (self.gap_percent(PROPOSED, snr), self.percent_over(PROPOSED, snr))
            else {
                continue;
            };
            let told = format!("{} % above the optimum at {snr} dB", gap.brief());
            gaps.push(Check::new(&gap, f64::NEG_INFINITY, OPTIMAL_GAP_PERCENT, told));
            let told = format!("{} % of slots over Γ_misa at {snr} dB", over.brief());
            overs.push(Check::new(&over, 0.0, OPTIMAL_OVER_PERCENT, told));
        }
        if gaps.is_empty() {
            return no_data("no cost of `h-moe` and `dp-optimal` at one SNR");
        }
        let [gaps, overs] = [gaps, overs].map(|checks| judge_checks(&checks, str::to_string));
        let verdict = all_of(&[gaps.verdict, overs.verdict]);
        let deciding: Vec<&str> = [&gaps, &overs]
            .into_iter()
            .filter(|j| j.verdict == verdict)
            .map(|j| j.deciding.as_str())
            .collect();
        let evidence = format!(
            "{}; {}. Read as cost (11) within {OPTIMAL_GAP_PERCENT} % of {} and at most {OPTIMAL_OVER_PERCENT} % of slots over Γ_misa",
            gaps.evidence,
            overs.evidence,
            code(OPTIMUM)
        );
        Judgement::new(verdict, evidence).decided_by(&format!("at worst {}", deciding.join(", ")))
    }

    /// Whether a metric of `h-moe` is at most `limit` at every SNR; `unit` multiplies it for the text.
    fn judge_limit(&self, metric: &str, limit: f64, unit: f64, what: &str) -> Judgement {
        let at = |&snr: &f64| Some((snr, self.metric(PROPOSED, metric, snr)?));
        let known: Vec<(f64, Estimate)> = self.snrs_db.iter().filter_map(at).collect();
        let Some(worst) = known.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) else {
            return no_data(format!("`h-moe` has no `{metric}`"));
        };
        let told = match worst.1.mean > 0.0 {
            true => format!("{what}: at most {}, at {} dB", worst.1.map(|x| unit * x).brief(), worst.0),
            false => format!("{what}: 0 at every SNR"),
        };
        holds_or_not(worst.1.mean <= limit, told, &[])
    }

    /// Whether the sum-rate is nearly that of the agent whose beams always know where the vehicles are.
    fn judge_links(&self) -> Judgement {
        let mut checks = Vec::new();
        for &snr in &self.snrs_db {
            let of = |agent: &str| self.metric(agent, SUM_RATE, snr);
            let (Some(own), Some(vision)) = (of(PROPOSED), of(VISION)) else { continue };
            let share = own.map(|x| x / vision.mean);
            let told = format!("{} against {} bps/Hz at {snr} dB", own.brief(), vision.brief());
            checks.push(Check::new(&share, 1.0 - ABOUT, f64::INFINITY, told));
        }
        if checks.is_empty() {
            return no_data("no sum-rate of `h-moe` and `vision-only` at one SNR");
        }
        judge_checks(&checks, |told| {
            format!(
                "sum-rates of {} and {}: {told}. Nearly is read as within {:.0} %",
                code(PROPOSED),
                code(VISION),
                100.0 * ABOUT
            )
        })
    }

    /// Whether beams at the true angle, which (8) alone disturbs, reach less of the gain of matched phases where no
    /// frame is taken than where all are.
    fn judge_ageing(&self) -> Judgement {
        let pair = |&snr: &f64| {
            let named = |agent: &str| Some((code(agent), self.metric(agent, TRUE_ANGLE_GAIN, snr)?));
            Some(Pair { a: named(VISION)?, b: named(RADAR)?, place: format!(" at {snr} dB"), strict: true })
        };
        let pairs: Vec<Pair> = self.snrs_db.iter().filter_map(pair).collect();
        if pairs.is_empty() {
            return no_data(
                "no gain of beams at the true angle of `vision-only` and `radar-only` at one SNR",
            );
        }
        let mut j = judge(&pairs, &[]);
        let own = self.headline_db.and_then(|snr| {
            let of = |agent: &str| self.metric(agent, BEAM_GAIN, snr);
            Some((snr, of(VISION)?, of(RADAR)?))
        });
        j.evidence.push_str(". Share of the gain of matched phases that beams at the true angle reach");
        if let Some((snr, vision, radar)) = own {
            let _ = write!(
                j.evidence,
                "; at the estimated angle, whose error grows too, {} and {} at {snr} dB",
                vision.brief(),
                radar.brief()
            );
        }
        j
    }

    /// Whether the phases of the network reach what steering at the estimated angle does, which is all they are told.
    fn judge_gain(&self) -> Judgement {
        let mut checks = Vec::new();
        for &snr in &self.snrs_db {
            let of = |metric: &str| self.metric(PROPOSED, metric, snr);
            let (Some(own), Some(steered)) = (of(BEAM_GAIN), of(ESTIMATE_GAIN)) else { continue };
            let share = own.map(|x| x / steered.mean);
            let told = format!("{} % at {snr} dB", share.map(|x| 100.0 * x).brief());
            checks.push(Check::new(&share, MAXIMAL_SHARE, f64::INFINITY, told));
        }
        if checks.is_empty() {
            return no_data("no beam gain of `h-moe`");
        }
        judge_checks(&checks, |told| {
            format!(
                "gain of the beams of {} over that of beams that steer at the estimated angle: {told}. Maximising is read as at least {:.0} %",
                code(PROPOSED),
                100.0 * MAXIMAL_SHARE
            )
        })
    }

    /// How far the cost of an agent's training rises above the lowest before, %: the worst in its second half, at the
    /// SNR where that is most.
    fn relapse(&self, agent: &str) -> Option<(f64, Estimate)> {
        let run = self.main(agent)?;
        let snrs_db = distinct(self.rows.curves.iter().filter(|r| run.has(&r.key)).map(|r| r.key.at));
        let at = |snr: f64| {
            let mut seeds: BTreeMap<u32, Vec<(u32, f64)>> = BTreeMap::new();
            for r in self.rows.curves.iter().filter(|r| r.key.at == snr && run.has(&r.key)) {
                seeds.entry(r.key.seed).or_default().push((r.update, -r.slots[CURVE_REWARD]));
            }
            let worst = |mut costs: Vec<(u32, f64)>| {
                costs.sort_by_key(|(update, _)| *update);
                relapse_percent(&costs.into_iter().map(|(_, cost)| cost).collect::<Vec<_>>())
            };
            let all = seeds.into_iter().map(|(seed, costs)| Some((seed, worst(costs)?)));
            Some((snr, over_seeds(&self.resamples, &all.collect::<Option<BySeed>>()?)?))
        };
        let known = snrs_db.into_iter().filter_map(at);
        known.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))
    }

    fn judge_stability(&self) -> Judgement {
        let Some((snr, own)) = self.relapse(PROPOSED) else {
            return no_data(format!("no learning curve of `h-moe` with at least {SPANS} updates"));
        };
        let verdict = within(&own, f64::NEG_INFINITY, RELAPSE_PERCENT);
        let shared: Vec<(&str, f64, Estimate)> =
            SHARED.iter().filter_map(|a| self.relapse(a).map(|(snr, e)| (*a, snr, e))).collect();
        let told =
            |(agent, snr, e): &(&str, f64, Estimate)| format!("{} {} % at {snr} dB", code(agent), e.brief());
        let mut evidence = format!(
            "the cost of a training rises above the lowest before by {} in its second half (means of twentieths, at the worst SNR)",
            told(&(PROPOSED, snr, own))
        );
        if !shared.is_empty() {
            let _ = write!(
                evidence,
                ", that of shared networks by {}",
                listed(&shared.iter().map(told).collect::<Vec<_>>())
            );
        }
        let _ = write!(evidence, ". Stable is read as at most {RELAPSE_PERCENT} %");
        let as_stable =
            |s: &(&str, f64, Estimate)| within(&s.2, f64::NEG_INFINITY, RELAPSE_PERCENT) == Verdict::Holds;
        if verdict == Verdict::Holds && shared.iter().any(as_stable) {
            evidence.push_str(
                ". A shared network is as stable by this measure: the isolation is not what it takes",
            );
        }
        Judgement::new(verdict, evidence)
    }

    fn judge_conflict(&self) -> Judgement {
        let known = self.cosines();
        if known.is_empty() {
            return no_data("no gradient cosine of an agent with a shared network");
        }
        let mut verdicts: Vec<Verdict> = known.iter().map(|(_, e)| within(e, -1.0, -CONFLICT)).collect();
        verdicts.extend((known.len() < SHARED.len()).then_some(Verdict::NoData));
        let told: Vec<String> = known.iter().map(|(a, e)| format!("{} {}", code(a), e.brief())).collect();
        Judgement::new(
            all_of(&verdicts),
            format!(
                "mean cosine between the gradients of the policy loss and of L_spat over the training: {}. Conflict is read as an \
                 interval below −{CONFLICT}; −1 is opposite, 0 unrelated",
                listed(&told)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relapse_is_a_rise_above_the_lowest_before_late_in_a_training() {
        let falling: Vec<f64> = (0..100).map(|i| 40.0 - 0.1 * f64::from(i)).collect();
        assert_eq!(relapse_percent(&falling), Some(0.0));
        assert_eq!(relapse_percent(&falling[..19]), None);
        // Five updates are a part: 60 against 34.7, the mean of the part before.
        let mut back = falling.clone();
        back[55..60].fill(60.0);
        let got = relapse_percent(&back).unwrap();
        assert!((got - 100.0 * (60.0 / 34.8 - 1.0)).abs() < 0.5, "{got}");
        // Early on, a training may wander; and of what it never regains, the second half tells.
        let mut early = falling.clone();
        early[20..25].fill(60.0);
        assert_eq!(relapse_percent(&early), Some(0.0));
        let mut lost = falling;
        lost[30..].fill(60.0);
        assert!(relapse_percent(&lost).unwrap() > 50.0);
    }
}

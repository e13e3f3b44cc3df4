//! The claims of the paper, judged from the rows.

use super::*;

/// Relative room for sums in single precision where the paper says "exactly", and for limits that hold by construction.
const ROUNDING: f64 = 1e-6;

/// Gradients whose mean cosine is nearer to 0 than this are unrelated, not opposed.
const CONFLICT: f64 = 0.05;

fn no_data(evidence: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::NoData, evidence: evidence.into() }
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
            Claim::ProposedLowest => self.lower(PROPOSED, ENERGY, " J"),
            Claim::VisionMae => self.lower(VISION, MAE, "°"),
            Claim::Saving => self.judge_saving(),
            Claim::ProposedMae => self.judge_mae(),
            Claim::RadarDiverges => self.judge_divergence(),
            Claim::EnergyFalls => self.judge_falling(ENERGY, " J"),
            Claim::FewerFrames => self.judge_falling(FRAMES, " frames per slot"),
            Claim::Optimal => self.judge_optimal(),
            Claim::LinkGuaranteed => {
                self.judge_limit(OVER_GAMMA, 0.0, 100.0, "slots with L_BMP above Γ_misa, %")
            }
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
                Judgement {
                    verdict: matches(&e, v.value),
                    evidence: format!(
                        "{} {} J at {} dB, printed {}{reading}{}",
                        code(agent),
                        e.brief(),
                        v.snr_db,
                        printed_text(v.value),
                        one_seed(&e)
                    ),
                }
            }
        }
    }

    /// Whether `agent` has less of a metric than each other agent of the paper at the SNR of figures 3 and 4.
    fn lower(&self, agent: &str, metric: &str, unit: &str) -> Judgement {
        let Some(snr) = self.headline_db else { return no_data("no evaluation") };
        let get = |a: &str| self.metric(a, metric, snr);
        let pair = |other: &&str| {
            Some(Pair {
                a: (code(other), get(other)?),
                b: (code(agent), get(agent)?),
                place: format!("{unit} at {snr} dB"),
                strict: true,
            })
        };
        let others = paper::AGENTS.iter().filter(|a| **a != agent);
        judge(&others.filter_map(pair).collect::<Vec<_>>(), &paper::AGENTS)
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
        let full = match self.cost(PROPOSED, snr) {
            Some(full) => format!(
                "; with the ages ({}) {} J, so masking costs {} J more",
                code(PROPOSED),
                full.brief(),
                num(own.mean - full.mean)
            ),
            None => String::new(),
        };
        Judgement {
            verdict,
            evidence: format!(
                "cost (11) of {} {} J at {snr} dB, of {} {} J{full}. Failing is read as no better than the cheaper of Vision-Only and \
                 Radar-Only{}",
                code(MASKED),
                own.brief(),
                code(name),
                level.brief(),
                one_seed(&own)
            ),
        }
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
        Judgement {
            verdict: within(&saving, paper::SAVING_PERCENT, f64::INFINITY),
            evidence: format!(
                "{} saves {} % at {snr} dB{}",
                code(PROPOSED),
                saving.brief(),
                one_seed(&saving)
            ),
        }
    }

    fn judge_mae(&self) -> Judgement {
        let both = self
            .headline_db
            .and_then(|snr| Some((snr, self.metric(PROPOSED, MAE, snr)?, self.metric(VISION, MAE, snr)?)));
        let Some((snr, own, vision)) = both else {
            return no_data("no sensing error of `h-moe` and `vision-only` at one SNR");
        };
        Judgement {
            verdict: within(&own, 0.0, (1.0 + ABOUT) * vision.mean),
            evidence: format!(
                "{} {}°, {} {}° ({}) at {snr} dB. Nearly is read as within {:.0} %{}",
                code(PROPOSED),
                own.brief(),
                code(VISION),
                vision.brief(),
                times(own.mean / vision.mean),
                100.0 * ABOUT,
                one_seed(&own)
            ),
        }
    }

    fn judge_divergence(&self) -> Judgement {
        let part = |from: f64, to: f64| self.slot_mean(RADAR, |r| r.values[SLOT_MAE], (from, to));
        let pair = part(0.9, 1.0).zip(part(0.4, 0.5)).map(|(late, mid)| Pair {
            a: ("MAE in the last tenth of the slots (°)".into(), late),
            b: ("in the fifth tenth".into(), mid),
            place: String::new(),
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
        let mut j = judge(&falling(&known), &[]);
        let (first, last) = (&known[0], &known[known.len() - 1]);
        let _ = write!(j.evidence, ". From {} to {}{unit}", first.1.brief(), last.1.brief());
        j
    }

    fn judge_optimal(&self) -> Judgement {
        let mut verdicts = Vec::new();
        let mut told = Vec::new();
        for &snr in &self.snrs_db {
            let (Some(gap), Some(over)) = (self.gap_percent(PROPOSED, snr), self.percent_over(PROPOSED, snr))
            else {
                continue;
            };
            verdicts.push(within(&gap, f64::NEG_INFINITY, OPTIMAL_GAP_PERCENT));
            verdicts.push(within(&over, 0.0, OPTIMAL_OVER_PERCENT));
            told.push(format!(
                "{} % above the optimum and {} % of slots over Γ_misa at {snr} dB",
                gap.brief(),
                over.brief()
            ));
        }
        if told.is_empty() {
            return no_data("no cost of `h-moe` and `dp-optimal` at one SNR");
        }
        Judgement {
            verdict: all_of(&verdicts),
            evidence: format!(
                "{}. Read as cost (11) within {OPTIMAL_GAP_PERCENT} % of {} and at most {OPTIMAL_OVER_PERCENT} % of slots over Γ_misa",
                told.join("; "),
                code(OPTIMUM)
            ),
        }
    }

    /// Whether a metric of `h-moe` is at most `limit` at every SNR; `unit` multiplies it for the text.
    fn judge_limit(&self, metric: &str, limit: f64, unit: f64, what: &str) -> Judgement {
        let at = |&snr: &f64| Some((snr, self.metric(PROPOSED, metric, snr)?));
        let known: Vec<(f64, Estimate)> = self.snrs_db.iter().filter_map(at).collect();
        let Some(worst) = known.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) else {
            return no_data(format!("`h-moe` has no `{metric}`"));
        };
        Judgement {
            verdict: if worst.1.mean <= limit { Verdict::Holds } else { Verdict::Fails },
            evidence: format!("{what}: at most {}, at {} dB", worst.1.map(|x| unit * x).brief(), worst.0),
        }
    }

    fn judge_conflict(&self) -> Judgement {
        let known = self.cosines();
        if known.is_empty() {
            return no_data("no gradient cosine of an agent with a shared network");
        }
        let mut verdicts: Vec<Verdict> = known.iter().map(|(_, e)| within(e, -1.0, -CONFLICT)).collect();
        verdicts.extend((known.len() < SHARED.len()).then_some(Verdict::NoData));
        let told: Vec<String> = known.iter().map(|(a, e)| format!("{} {}", code(a), e.brief())).collect();
        Judgement {
            verdict: all_of(&verdicts),
            evidence: format!(
                "mean cosine between the gradients of the policy loss and of L_spat over the training: {}. Conflict is read as an \
                 interval below −{CONFLICT}; −1 is opposite, 0 unrelated",
                listed(&told)
            ),
        }
    }
}

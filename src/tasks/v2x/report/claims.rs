//! The claims of the paper, judged from the rows.

use super::*;

impl View {
    pub(super) fn reward_after_training(&self, agent: &str) -> Option<Estimate> {
        let learned = self.learning.iter().find(|l| l.agent == agent).map(|l| l.last);
        learned.or_else(|| self.metric(agent, "reward", self.curve_dbm.or(self.headline_dbm)?))
    }

    /// What `wanted` says (a above b, strictly or not) and what follows from it, of those that have a value.
    pub(super) fn pairs(
        &self,
        wanted: &[(&str, &str, bool)],
        place: &str,
        get: impl Fn(&str) -> Option<Estimate>,
    ) -> Vec<Pair> {
        let pair = |(a, b, strict): (&str, &str, bool)| {
            Some(Pair { a: (code(a), get(a)?), b: (code(b), get(b)?), place: place.to_string(), strict })
        };
        implied(wanted).into_iter().filter_map(pair).collect()
    }

    /// Spiking-AC against each other agent of the paper at each power; `low` if the lower value leads.
    pub(super) fn leads(&self, quantity: Quantity, low: bool) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for &p in &self.powers_dbm {
            for other in &paper::AGENTS[1..] {
                let (Some(sac), Some(rival)) =
                    (self.quantity("spiking-ac", quantity, p), self.quantity(other, quantity, p))
                else {
                    continue;
                };
                let (sac, rival) = ((code("spiking-ac"), sac), (code(other), rival));
                let (a, b) = if low { (rival, sac) } else { (sac, rival) };
                pairs.push(Pair { a, b, place: format!(" {} at {p} dBm", quantity.unit()), strict: true });
            }
        }
        pairs
    }

    /// Whether the error falls with the power: level is allowed between any two, but for the lowest and the highest.
    pub(super) fn falls(&self, quantity: Quantity, agents: &[&str]) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for agent in agents {
            let known: Vec<(f64, Estimate)> = self
                .powers_dbm
                .iter()
                .filter_map(|&p| Some((p, self.quantity(agent, quantity, p)?)))
                .collect();
            let named = |(p, e): (f64, Estimate)| (format!("{} at {p} dBm", code(agent)), e);
            let known: Vec<(String, Estimate)> = known.into_iter().map(named).collect();
            pairs.extend(falling(&known, &format!(" {}", quantity.unit())));
        }
        pairs
    }

    /// The verdict on a claim; none on one that speaks of an agent whose training went astray.
    pub(super) fn judge(&self, claim: Claim) -> Judgement {
        let astray = health::astray(&self.ill, claim.agents(), V2xConfig::SWEPT.unit);
        unless(astray, || self.judge_rows(claim))
    }

    fn judge_rows(&self, claim: Claim) -> Judgement {
        match claim {
            Claim::RewardOrder => {
                let wanted = [
                    ("spiking-ac", "ppo", false),
                    ("ppo", "ddpg", true),
                    ("ddpg", "dqn", true),
                    ("ddpg", "random", true),
                ];
                judge(&self.pairs(&wanted, "", |a| self.reward_after_training(a)), &paper::AGENTS)
            }
            Claim::RandomPoorest => {
                let wanted = LEARNED.map(|a| (a, "random", true));
                judge(&self.pairs(&wanted, "", |a| self.reward_after_training(a)), &paper::AGENTS)
            }
            Claim::FastestConvergence => self.judge_convergence(),
            Claim::FasterThanPpo => self.judge_faster(),
            Claim::DqnFindsNothing => {
                let dqn = self.learning.iter().find(|l| l.agent == "dqn");
                let pair = dqn.map(|l| Pair {
                    a: ("reward of `dqn` in its first update".into(), l.first),
                    b: ("in its last tenth".into(), l.last),
                    place: String::new(),
                    strict: false,
                });
                judge(pair.as_slice(), &["dqn"])
            }
            Claim::SlotPeak => self.judge_peak(),
            Claim::FirstSlots => {
                let wanted = ["ppo", "ddpg", "dqn", "random"].map(|a| ("spiking-ac", a, true));
                let pairs = self.pairs(&wanted, " bps/Hz", |a| self.slot_mean(a, |slot| slot < LEAD_SLOTS));
                judge(&pairs, &paper::AGENTS)
            }
            Claim::PpoSecond => {
                let wanted = [
                    ("spiking-ac", "ppo", true),
                    ("ppo", "ddpg", true),
                    ("ppo", "dqn", true),
                    ("ppo", "random", true),
                ];
                let pairs = self.pairs(&wanted, " bps/Hz", |a| self.slot_mean(a, |slot| slot < LEAD_SLOTS));
                judge(&pairs, &paper::AGENTS)
            }
            Claim::DqnWorseNear => {
                let near = |slot: u32| (PEAK_SLOTS.0..=PEAK_SLOTS.1).contains(&slot);
                let (a, b) = (self.slot_mean("dqn", |s| !near(s)), self.slot_mean("dqn", near));
                let pair = a.zip(b).map(|(a, b)| Pair {
                    a: ("`dqn` in the other slots".into(), a),
                    b: (format!("`dqn` in slots {}–{}", PEAK_SLOTS.0, PEAK_SLOTS.1), b),
                    place: " bps/Hz".into(),
                    strict: true,
                });
                judge(pair.as_slice(), &["dqn"])
            }
            Claim::RateOrder => judge(&self.leads(Quantity::SumRate, false), &paper::AGENTS),
            Claim::RateGap => self.judge_gap(),
            Claim::AngleOrder => judge(&self.leads(Quantity::AngleRmse, true), &paper::AGENTS),
            Claim::AngleFalls => judge(&self.falls(Quantity::AngleRmse, &paper::AGENTS), &paper::AGENTS),
            Claim::DistanceOrder => judge(&self.leads(Quantity::DistanceRmse, true), &paper::AGENTS),
            Claim::DistanceFalls => {
                let agents = ["spiking-ac", "ppo", "ddpg"];
                judge(&self.falls(Quantity::DistanceRmse, &agents), &agents)
            }
            Claim::DistanceWorsens => {
                let agents = ["dqn", "random"];
                let mut pairs = Vec::new();
                if let [low, .., high] = self.powers_dbm[..] {
                    for agent in agents {
                        let named = |p: f64| {
                            let e = self.quantity(agent, Quantity::DistanceRmse, p)?;
                            Some((format!("{} at {p} dBm", code(agent)), e))
                        };
                        if let (Some(a), Some(b)) = (named(high), named(low)) {
                            pairs.push(Pair { a, b, place: " m".into(), strict: true });
                        }
                    }
                }
                judge(&pairs, &agents)
            }
            Claim::SensingPeak => self.judge_sensing_peak(),
            Claim::KeepsLimits => self.judge_limits(),
            Claim::ToleratesErrors => self.judge_tolerance(),
            Claim::BeatsTracking => {
                let wanted = [("spiking-ac", paper::TRACKING, true)];
                let at = |&p: &f64| {
                    self.pairs(&wanted, &format!(" bps/Hz at {p} dBm"), |a| {
                        self.quantity(a, Quantity::SumRate, p)
                    })
                };
                judge(&self.powers_dbm.iter().flat_map(at).collect::<Vec<_>>(), claim.agents())
            }
            Claim::TrainingEnergy
            | Claim::DqnEnergy
            | Claim::InferenceEnergy
            | Claim::InferenceSavesMore
            | Claim::HalfEnergy
            | Claim::EqualEnergy
            | Claim::TwiceDqn => self.judge_energy(claim).unwrap_or_else(|| judge(&[], claim.agents())),
            Claim::LessOverhead => self.judge_overhead(),
            Claim::NetRate => {
                let mut pairs = Vec::new();
                for &p in &self.powers_dbm {
                    let wanted = [1, 2, 3].map(|i| (paper::PROTOCOLS[0], paper::PROTOCOLS[i], true));
                    let place = format!(" bps/Hz at {p} dBm");
                    pairs.extend(self.pairs(&wanted, &place, |a| self.metric(a, NET_RATE, p)));
                }
                judge(&pairs, &paper::PROTOCOLS)
            }
        }
    }

    /// Shares of a slot, the same at every power and with every seed.
    fn judge_overhead(&self) -> Judgement {
        let [own, rivals @ ..] = paper::PROTOCOLS;
        let share = |agent: &str| Some(self.metric(agent, OVERHEAD_SHARE, self.headline_dbm?)?.mean);
        let there: Vec<(&str, f64)> = rivals.iter().filter_map(|a| Some((*a, share(a)?))).collect();
        let Some(least) = share(own).filter(|_| !there.is_empty()) else {
            return judge(&[], &paper::PROTOCOLS);
        };
        let told = |(agent, x): &(&str, f64)| format!("{} {}", code(agent), percent_of_slot(*x));
        let missing: Vec<String> = rivals.iter().filter(|a| share(a).is_none()).map(|a| code(a)).collect();
        let others = listed(&there.iter().map(told).collect::<Vec<_>>());
        let told = format!("{} of the slots' time against {others}", told(&(own, least)));
        holds_or_not(there.iter().all(|(_, x)| least < *x), told, &missing)
    }

    /// Reward that counts as converged: 90 % of the way from the lowest first to the highest last reward of the learned
    /// agents.
    pub(super) fn common_reward(&self) -> Option<f64> {
        let learned = || self.learning.iter().filter(|l| LEARNED.contains(&l.agent.as_str()));
        let low = learned().map(|l| l.first.mean).fold(f64::INFINITY, f64::min);
        let high = learned().map(|l| l.last.mean).fold(f64::NEG_INFINITY, f64::max);
        (high > low && low.is_finite()).then_some(low + 0.9 * (high - low))
    }

    /// Environment steps of one seed until the mean curve reaches [`View::common_reward`].
    pub(super) fn steps_to_common(&self, l: &Learning) -> Option<f64> {
        let goal = self.common_reward()?;
        l.curve.iter().find(|(_, e)| e.mean >= goal).map(|(update, _)| (update + 1.0) * l.steps_per_update)
    }

    pub(super) fn judge_convergence(&self) -> Judgement {
        let steps = |ids: &[&str]| -> Vec<(String, f64)> {
            let mine = self.learning.iter().filter(|l| ids.contains(&l.agent.as_str()));
            mine.map(|l| (code(&l.agent), self.steps_to_common(l).unwrap_or(f64::INFINITY))).collect()
        };
        let (fast, slow) = (steps(&["spiking-ac", "ppo"]), steps(&["ddpg", "dqn"]));
        let Some(goal) = self.common_reward().filter(|_| !fast.is_empty() && !slow.is_empty()) else {
            return judge(&[], &LEARNED);
        };
        let last_fast = fast.iter().map(|f| f.1).fold(0.0, f64::max);
        let first_slow = slow.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
        let holds = last_fast.is_finite() && last_fast < first_slow;
        let told = fast.iter().chain(&slow).map(|(id, s)| match s.is_finite() {
            true => format!("{id} after {s:.0} environment steps per seed"),
            false => format!("{id} never"),
        });
        let known = |a: &&&str| self.learning.iter().any(|l| l.agent == **a);
        let missing: Vec<String> = LEARNED.iter().filter(|a| !known(a)).map(|a| code(a)).collect();
        let told = format!(
            "Mean reward reaches {}, 90 % of the way up: {}",
            num(goal),
            told.collect::<Vec<_>>().join(", ")
        );
        holds_or_not(holds, told, &missing)
    }

    fn judge_faster(&self) -> Judgement {
        let steps = |agent: &str| {
            let l = self.learning.iter().find(|l| l.agent == agent)?;
            Some(self.steps_to_common(l).unwrap_or(f64::INFINITY))
        };
        let (Some(own), Some(other), Some(goal)) = (steps("spiking-ac"), steps("ppo"), self.common_reward())
        else {
            return judge(&[], &paper::AGENTS[..2]);
        };
        let told = |x: f64| match x.is_finite() {
            true => format!("after {x:.0} environment steps per seed"),
            false => "never".to_string(),
        };
        let told = format!(
            "Mean reward reaches {}, 90 % of the way up: `spiking-ac` {}, `ppo` {}",
            num(goal),
            told(own),
            told(other)
        );
        // Points of a curve stand for a span of updates each: within one, nobody is first.
        let level = own == other && own.is_finite();
        match level {
            true => Judgement::new(Verdict::Open, told),
            false => holds_or_not(own < other, told, &[]),
        }
    }

    /// Means of [`paper::SMOOTH_SLOTS`] of `spiking-ac`, by the slot in their middle, so that the noise of one slot
    /// makes no peak; else what is missing.
    fn smooth_slots(&self, column: usize) -> Result<Vec<(u32, f64)>, Judgement> {
        let curve = self.slot_curve("spiking-ac", column);
        let none = |evidence: String| Err(Judgement::new(Verdict::NoData, evidence));
        match curve.last() {
            None => return none("no slot rows of `spiking-ac`".into()),
            Some((slot, _)) if *slot <= PEAK_SLOTS.1 => {
                return none(format!("`spiking-ac` has slots up to {slot} only"));
            }
            Some(_) => {}
        }
        let mean = |w: &[(u32, Estimate)]| {
            let values: Vec<f64> = w.iter().map(|(_, e)| e.mean).collect();
            (w[w.len() / 2].0, stats::mean(&values))
        };
        match curve.windows(paper::SMOOTH_SLOTS).map(mean).collect::<Vec<_>>() {
            few if few.is_empty() => none("fewer than five slots".into()),
            smooth => Ok(smooth),
        }
    }

    /// Whether both errors have their lowest point where the vehicles are nearest.
    fn judge_sensing_peak(&self) -> Judgement {
        let mut told = Vec::new();
        let mut holds = true;
        for (column, what, unit) in [(SLOT_ANGLE, "angle", "rad"), (SLOT_DISTANCE, "distance", "m")] {
            let smooth = match self.smooth_slots(column) {
                Ok(smooth) => smooth,
                Err(judgement) => return judgement,
            };
            let root = |(slot, square): &(u32, f64)| (*slot, square.sqrt());
            let all: Vec<(u32, f64)> = smooth.iter().map(root).collect();
            let (first, last) = (all[0], all[all.len() - 1]);
            let least = all.iter().fold(first, |best, s| if s.1 < best.1 { *s } else { best });
            holds &= (PEAK_SLOTS.0..=PEAK_SLOTS.1).contains(&least.0);
            told.push(format!(
                "{what} RMSE least in slot {} with {} {unit} (mean square of five slots), from {} at the start and {} at the end",
                least.0,
                num(least.1),
                num(first.1),
                num(last.1)
            ));
        }
        holds_or_not(holds, format!("`spiking-ac`: {}", told.join("; ")), &[])
    }

    /// Whether the limits hold in nearly all episodes at every power.
    fn judge_limits(&self) -> Judgement {
        let mut checks = Vec::new();
        for &p in &self.powers_dbm {
            for (metric, limit) in [("long_run_angle_share", "(24a)"), ("long_run_distance_share", "(24b)")] {
                let Some(share) = self.metric("spiking-ac", metric, p) else { continue };
                let told = format!("{limit} at {p} dBm in {} %", share.map(|x| 100.0 * x).brief());
                checks.push(Check::new(&share, paper::KEPT_SHARE, f64::INFINITY, told));
            }
        }
        if checks.is_empty() {
            return judge(&[], &paper::AGENTS[..1]);
        }
        judge_checks(&checks, |told| {
            format!(
                "share of episodes in which `spiking-ac` keeps {told}. Ensuring is read as at least {:.0} %",
                100.0 * paper::KEPT_SHARE
            )
        })
    }

    /// Whether the sum-rate is left where the echo errs more than in training.
    fn judge_tolerance(&self) -> Judgement {
        let own: Vec<&Tolerated> = self.tolerated.iter().filter(|t| t.agent == "spiking-ac").collect();
        if own.is_empty() {
            let evidence = "no evaluation of `spiking-ac` with other errors (`reproduce.error_factors`)";
            return Judgement::new(Verdict::NoData, evidence);
        }
        let told = |t: &Tolerated| {
            format!(
                "{} {} % with {} times the errors of the echo (distance RMSE {} m)",
                code(&t.agent),
                t.share.map(|x| 100.0 * x).brief(),
                t.factor,
                num(t.distance_rmse_m)
            )
        };
        let all: Vec<String> = self.tolerated.iter().map(told).collect();
        let check = |t: &&Tolerated| Check::new(&t.share, paper::TOLERATED_SHARE, f64::INFINITY, told(t));
        judge_checks(&own.iter().map(check).collect::<Vec<_>>(), |_| {
            format!(
                "share of its sum-rate at {} dBm that an agent keeps, not trained again: {}. Tolerating is read as at least {:.0} %",
                own[0].p_max_dbm,
                all.join("; "),
                100.0 * paper::TOLERATED_SHARE
            )
        })
    }

    pub(super) fn judge_peak(&self) -> Judgement {
        let smooth = match self.smooth_slots(SLOT_RATE) {
            Ok(smooth) => smooth,
            Err(judgement) => return judgement,
        };
        let (first, last) = (&smooth[0], &smooth[smooth.len() - 1]);
        let peak = smooth.iter().fold(*first, |best, s| if s.1 > best.1 { *s } else { best });
        let inside = (PEAK_SLOTS.0..=PEAK_SLOTS.1).contains(&peak.0);
        let holds = inside && first.1 < peak.1 && last.1 < peak.1;
        let told = format!(
            "`spiking-ac` peaks in slot {} with {} bps/Hz (mean of five slots), from {} at the start and {} at the end",
            peak.0,
            num(peak.1),
            num(first.1),
            num(last.1)
        );
        holds_or_not(holds, told, &[])
    }

    pub(super) fn judge_gap(&self) -> Judgement {
        let lead = |p: f64| {
            let sac = self.quantity("spiking-ac", Quantity::SumRate, p)?.mean;
            let rivals = paper::AGENTS[1..]
                .iter()
                .filter_map(|a| Some((*a, self.quantity(a, Quantity::SumRate, p)?.mean)));
            let (rival, rate) = rivals.max_by(|a, b| a.1.total_cmp(&b.1))?;
            Some((sac - rate, rival))
        };
        let ends = match self.powers_dbm[..] {
            [low, .., high] => lead(low).zip(lead(high)).map(|(l, h)| (low, l, high, h)),
            _ => None,
        };
        let Some((low, at_low, high, at_high)) = ends else {
            return judge(&[], &paper::AGENTS);
        };
        let holds = at_high.0 > 0.0 && at_low.0.abs() < at_high.0;
        let told = |p: f64, (lead, rival): (f64, &str)| {
            let side = if lead >= 0.0 { "ahead of" } else { "behind" };
            format!("{} bps/Hz {side} {} at {p} dBm", num(lead.abs()), code(rival))
        };
        let everywhere =
            |a: &str| [low, high].iter().all(|&p| self.quantity(a, Quantity::SumRate, p).is_some());
        let missing: Vec<String> = paper::AGENTS.iter().filter(|a| !everywhere(a)).map(|a| code(a)).collect();
        let told =
            format!("`spiking-ac` is {} and {} (means compared)", told(high, at_high), told(low, at_low));
        holds_or_not(holds, told, &missing)
    }
}

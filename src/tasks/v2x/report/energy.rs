//! Figures 4b and 4c and their tables: energies by every account, ratios to `spiking-ac`, firing rates and operations.

use super::*;
use crate::energy::accounts::{EFFECTIVE, INFERENCE, MEASURED, MEMORY, PAPER, TRAINING};
use crate::run::rows::EnergyRow;

/// An account: method, constants and the words for it. A reading that only spiking networks have stands for the plain
/// one elsewhere.
struct Account {
    method: &'static str,
    constants: &'static str,
    words: &'static str,
    /// Label of its bars; `None` if it is in the tables only.
    bars: Option<&'static str>,
}

const fn account(
    method: &'static str,
    constants: &'static str,
    words: &'static str,
    bars: Option<&'static str>,
) -> Account {
    Account { method, constants, words, bars }
}

const ACCOUNTS: [Account; 8] = [
    account(PAPER, "int32", "paper formula, int32", Some("paper formula\nint32")),
    account(PAPER, "fp32", "paper formula, fp32", Some("paper formula\nfp32")),
    account(EFFECTIVE, "int32", "effective operations, int32", Some("effective ops\nint32")),
    account(EFFECTIVE, "fp32", "effective operations, fp32", Some("effective ops\nfp32")),
    account(
        EFFECTIVE,
        "fp32, layer 1 at every step",
        "effective operations, fp32, layer 1 at every step",
        None,
    ),
    account(MEMORY, "int32", "with memory, int32", Some("with memory\nint32")),
    account(MEMORY, "int32, layer 1 at every step", "with memory, int32, layer 1 at every step", None),
    account(MEASURED, "device", "measured", Some("measured")),
];

/// The paper's own account.
const FORMULA: &Account = &ACCOUNTS[0];

impl View {
    /// The energies of the runs that are shown.
    pub(super) fn energies(rows: &Rows, shown: &dyn Fn(&Key) -> bool) -> Energies {
        let mine = |r: &&EnergyRow| shown(&r.key);
        let p_max_dbm = headline(&distinct(rows.energy.iter().filter(mine).map(|r| r.key.at)));
        type Sum = (String, String, String, String);
        let mut sums: BTreeMap<Sum, (BTreeMap<u32, f64>, String)> = BTreeMap::new();
        for r in rows.energy.iter().filter(mine).filter(|r| Some(r.key.at) == p_max_dbm) {
            let sum = (r.key.agent.clone(), r.stage.clone(), r.method.clone(), r.constants.clone());
            let (seeds, reason) = sums.entry(sum).or_default();
            *seeds.entry(r.key.seed).or_default() += r.energy_j;
            reason.clone_from(&r.reason);
        }
        let group =
            |((agent, stage, method, constants), (seeds, reason)): (Sum, (BTreeMap<u32, f64>, String))| {
                let values = seeds.into_values().filter(|v| v.is_finite()).collect();
                Group { agent, stage, method, constants, values, reason }
            };
        let activity = rows.activity.iter().filter(|r| shown(&r.key) && Some(r.key.at) == p_max_dbm);
        Energies {
            groups: sums.into_iter().map(group).collect(),
            activity: activity.cloned().collect(),
            p_max_dbm,
        }
    }
}

impl Energies {
    fn group(&self, agent: &str, stage: &str, a: &Account) -> Option<&Group> {
        let find = |constants: &str| {
            let is = |g: &&Group| {
                g.agent == agent && g.stage == stage && g.method == a.method && g.constants == constants
            };
            self.groups.iter().find(is)
        };
        match a.constants.split_once(", ") {
            Some((plain, _)) if agent != "spiking-ac" => {
                self.group("spiking-ac", stage, a).and_then(|_| find(plain))
            }
            _ => find(a.constants),
        }
    }

    fn values(&self, agent: &str, stage: &str, a: &Account) -> Option<&[f64]> {
        self.group(agent, stage, a).map(|g| g.values.as_slice()).filter(|v| !v.is_empty())
    }

    /// Energy of `agent` over that of `spiking-ac`.
    fn ratio(&self, agent: &str, stage: &str, a: &Account) -> Option<Estimate> {
        self.over(agent, "spiking-ac", stage, a)
    }

    /// Energy of one agent over that of another.
    fn over(&self, agent: &str, other: &str, stage: &str, a: &Account) -> Option<Estimate> {
        let (own, other) = (self.values(agent, stage, a)?, self.values(other, stage, a)?);
        Some(Estimate {
            mean: stats::mean(own) / stats::mean(other),
            interval: stats::bootstrap_ratio_95(own, other, BOOTSTRAP_SEED),
            seeds: own.len().min(other.len()),
        })
    }

    /// Values over seeds of a quantity; with `update`, those of single updates, averaged over the updates of each seed.
    fn quantity(&self, agent: &str, stage: &str, network: &str, layer: u32, name: &str) -> Vec<f64> {
        let mine = |r: &&ActivityRow| {
            (r.key.agent.as_str(), r.stage.as_str(), r.network.as_str(), r.layer, r.quantity.as_str())
                == (agent, stage, network, layer, name)
        };
        let values = self.activity.iter().filter(mine).map(|r| (r.key.seed, r.value));
        seed_means(values).into_values().collect()
    }

    fn mean(&self, agent: &str, stage: &str, network: &str, name: &str) -> Option<f64> {
        let values = self.quantity(agent, stage, network, 0, name);
        (!values.is_empty()).then(|| stats::mean(&values))
    }
}

fn stage_words(stage: &str) -> &'static str {
    if stage == INFERENCE { "inference" } else { "training episode" }
}

/// Agents with an energy: those that learn, and in an inference the counted ones that follow a rule.
fn deciders(stage: &str) -> impl Iterator<Item = &'static str> {
    LEARNED.into_iter().chain(COUNTED.into_iter().filter(move |_| stage == INFERENCE))
}

impl View {
    fn energy_bars(&self, stage: &str) -> Bars {
        let group = |a: &Account| {
            let bars = deciders(stage).filter_map(|agent| {
                let e = self.resamples.estimate(self.energy.values(agent, stage, a)?);
                // A copied number takes no operation, and a logarithmic axis has no place for it.
                (e.mean > 0.0).then_some(())?;
                Some(Bar { agent: agent.to_string(), y: e.mean, interval: e.interval, seeds: Some(e.seeds) })
            });
            let bars: Vec<Bar> = bars.collect();
            (!bars.is_empty()).then(|| a.bars.map(|label| (label.to_string(), bars))).flatten()
        };
        let at = self.energy.p_max_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        Bars {
            title: format!("Energy per {}{at}, by method", stage_words(stage)),
            y_label: format!("energy per {} (J)", stage_words(stage)),
            log_y: true,
            groups: ACCOUNTS.iter().filter_map(group).collect(),
            ..Bars::with(PALETTE)
        }
    }

    pub(super) fn fig4b(&self) -> Plate {
        Plate {
            file: "fig4b.svg",
            number: "4b",
            picture: Picture::Bars(self.energy_bars(TRAINING)),
            caption: "Figure 4b. Energy per training episode of one environment, log scale, mean over seeds with 95 % error bars. The paper \
                      formula books one pass forward of each network in every slot; effective operations also count the epochs, the \
                      backward pass and the optimiser. Bars of two methods do not compare: each has constants of its own."
                .into(),
            needs: "no energies of a training",
        }
    }

    pub(super) fn fig4c(&self) -> Plate {
        Plate {
            file: "fig4c.svg",
            number: "4c",
            picture: Picture::Bars(self.energy_bars(INFERENCE)),
            caption: "Figure 4c. Energy per inference (one action of the policy network or of the rule), log scale, mean over seeds with 95 % \
                      error bars. `last-estimate` copies an angle: no operation, and no bar but with memory. Bars of two methods do not \
                      compare."
                .into(),
            needs: "no energies of an inference",
        }
    }

    /// Every agent on the way from `random` to the bound, by what a decision takes.
    pub(super) fn story(&self) -> Plate {
        let account = ACCOUNTS.iter().find(|a| (a.method, a.constants) == (EFFECTIVE, "fp32"));
        let account = account.expect("an account of the table");
        let rate = |agent: &str| self.metric(agent, "sum_rate_bps_hz", self.energy.p_max_dbm?);
        let nano = 1e9;
        let (mut series, mut levels, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for agent in self.ids() {
            let Some(y) = rate(agent) else { continue };
            let energy = self.energy.values(agent, INFERENCE, account).map(|v| self.resamples.estimate(v));
            match energy.filter(|e| e.mean > 0.0) {
                Some(e) => {
                    let x = e.map(|x| nano * x);
                    let point = Point { x_interval: x.interval, ..y.point(x.mean) };
                    series.push(Series::new(agent, Look::Points, vec![point]));
                    let name = || agent.to_string();
                    notes.push(Note { x: x.mean, y: y.mean, text: name(), series: name() });
                }
                None => levels.push((agent, y.mean)),
            }
        }
        if !series.is_empty() {
            let (lo, hi) = extent(series.iter().flat_map(|s: &Series| &s.points).map(|p| p.x));
            let ends = (lo / 2.0, hi * 2.0);
            series.extend(levels.into_iter().map(|(agent, y)| Series::level(agent, y, ends)));
        }
        let at = self.energy.p_max_dbm.map(|p| format!(" at {p} dBm")).unwrap_or_default();
        Plate {
            file: "story.svg",
            number: "S",
            picture: Picture::Lines(Figure {
                title: format!("Sum-rate against energy per decision{at}"),
                x_label: format!("energy per decision (nJ), {}", account.words),
                y_label: "mean sum-rate (bps/Hz)".into(),
                log_x: true,
                from_zero: true,
                series,
                notes,
                ..Figure::with(PALETTE)
            }),
            caption: format!(
                "Figure S. All agents{at}: mean sum-rate against the energy of one decision ({}), log scale, with 95 % intervals over \
                 seeds. Dotted: the bound, and agents that know the truth, draw at random or copy a number. What the antennas need for \
                 any beam is counted for none.",
                account.words
            ),
            needs: "no energies of an inference",
        }
    }

    /// The verdict on a claim about energies; `None` of another.
    pub(super) fn judge_energy(&self, claim: Claim) -> Option<Judgement> {
        let factor = |figure: &str, versus: &str| {
            paper::ENERGY.iter().find(|e| e.figure == figure && e.versus.contains(&versus)).map(|e| e.factor)
        };
        Some(match claim {
            Claim::TrainingEnergy => self.judge_factor(TRAINING, &["ppo", "ddpg"], factor("4b", "ppo")?),
            Claim::DqnEnergy => self.judge_factor(TRAINING, &["dqn"], factor("4b", "dqn")?),
            Claim::InferenceEnergy => self.judge_factor(INFERENCE, &["ppo"], factor("4c", "ppo")?),
            Claim::InferenceSavesMore => {
                let saved = |stage, what: &str| {
                    Some((
                        format!("`ppo` over `spiking-ac`, {what}"),
                        self.energy.ratio("ppo", stage, FORMULA)?,
                    ))
                };
                let pair = saved(INFERENCE, "inference").zip(saved(TRAINING, "training"));
                let pair = pair.map(|(a, b)| Pair {
                    a,
                    b,
                    place: format!(" by the {}", FORMULA.words),
                    strict: true,
                });
                judge(pair.as_slice(), &["ppo"])
            }
            Claim::HalfEnergy => self.judge_half(),
            Claim::EqualEnergy => self.judge_equal("ppo", "ddpg", 1.0, paper::IDENTICAL),
            Claim::TwiceDqn => {
                let both = ["ppo", "ddpg"].map(|a| self.judge_equal(a, "dqn", 2.0, paper::ABOUT));
                let evidence = both.iter().map(|j| j.evidence.clone()).collect::<Vec<_>>().join(". ");
                Judgement::new(all_of(&both.map(|j| j.verdict)), evidence)
            }
            _ => return None,
        })
    }

    /// That each of `versus` takes at least the printed factor, but for [`paper::ABOUT`], by the paper's own formula;
    /// what other accounts say is told.
    fn judge_factor(&self, stage: &str, versus: &[&str], printed: f64) -> Judgement {
        let (mut verdicts, mut told) = (Vec::new(), Vec::new());
        for other in versus {
            let by = |a: &Account| self.energy.ratio(other, stage, a);
            verdicts.push(
                by(FORMULA)
                    .map_or(Verdict::NoData, |r| within(&r, printed * (1.0 - paper::ABOUT), f64::INFINITY)),
            );
            let each = ACCOUNTS.iter().filter_map(|a| Some(format!("{} by {}", by(a)?.short(), a.words)));
            let each: Vec<String> = each.collect();
            if !each.is_empty() {
                told.push(format!("{} over `spiking-ac`: {}", code(other), listed(&each)));
            }
        }
        let verdict = all_of(&verdicts);
        if told.is_empty() {
            return Judgement::new(verdict, "no energies of both in this run");
        }
        let evidence = format!(
            "{}. Printed {printed}; judged by the paper's formula, read as at least 90 % of it",
            told.join("; ")
        );
        Judgement::new(verdict, evidence)
    }

    /// That every rival takes over twice as much, in training and inference, by every account of the whole network.
    fn judge_half(&self) -> Judgement {
        let rivals = LEARNED.iter().filter(|a| **a != "spiking-ac");
        let mut found: Vec<(Estimate, String)> = Vec::new();
        for other in rivals {
            for stage in [TRAINING, INFERENCE] {
                for a in ACCOUNTS.iter().filter(|a| a.bars.is_some()) {
                    if let Some(r) = self.energy.ratio(other, stage, a) {
                        found.push((r, format!("{} {}, {stage}, {}", code(other), r.short(), a.words)));
                    }
                }
            }
        }
        let verdicts: Vec<Verdict> = found.iter().map(|f| within(&f.0, 2.0, f64::INFINITY)).collect();
        let verdict = all_of(&verdicts);
        let Some(least) = found.iter().min_by(|a, b| a.0.mean.total_cmp(&b.0.mean)) else {
            return Judgement::new(Verdict::NoData, "no energies in this run");
        };
        let over = verdicts.iter().filter(|v| **v == Verdict::Holds).count();
        let evidence = format!(
            "over twice as much in {over} of {} comparisons (rival, training or inference, account). Least: {}",
            found.len(),
            least.1
        );
        Judgement::new(verdict, evidence).decided_by(&format!("least: {}", least.1))
    }

    /// That one agent's training takes `wanted` times another's by the paper's formula.
    fn judge_equal(&self, agent: &str, other: &str, wanted: f64, room: f64) -> Judgement {
        match self.energy.over(agent, other, TRAINING, FORMULA) {
            None => {
                Judgement::new(Verdict::NoData, format!("no energies of {} and {}", code(agent), code(other)))
            }
            Some(r) => Judgement::new(
                within(&r, wanted * (1.0 - room), wanted * (1.0 + room)),
                format!("{} over {}: {} by the {}", code(agent), code(other), r.short(), FORMULA.words),
            ),
        }
    }

    pub(super) fn write_energy_factors(&self, out: &mut String) {
        out.push_str(
            "Energy factors that the paper prints (energy of the other over that of Spiking-AC) beside ours by each method, with 95 % \
             intervals over seeds. Below 1, Spiking-AC takes more:\n\n",
        );
        let mut header = vec!["method".to_string()];
        let mut printed = vec!["printed".to_string()];
        let mut wanted = Vec::new();
        for e in paper::ENERGY {
            for versus in e.versus {
                header.push(format!("{}: {}, {}", e.figure, e.what, code(versus)));
                printed.push(format!("{}", e.factor));
                wanted.push((if e.what == "inference" { INFERENCE } else { TRAINING }, *versus));
            }
        }
        let mut rows = vec![printed];
        for a in &ACCOUNTS {
            let ratio = |(stage, versus): &(&str, &str)| {
                self.energy.ratio(versus, stage, a).map_or("-".to_string(), |r| r.short())
            };
            rows.push([a.words.to_string()].into_iter().chain(wanted.iter().map(ratio)).collect());
        }
        out.push_str(&table(&header.join(" | "), 1, &rows));
        if self.energy.groups.is_empty() {
            out.push_str("No energy in this run.\n\n");
        }
    }

    pub(super) fn write_energy(&self, out: &mut String) {
        if self.energy.groups.is_empty() {
            return;
        }
        out.push_str("## Energy by every account\n\n");
        let learned: Vec<&str> = LEARNED.into_iter().filter(|a| self.has(a)).collect();
        for stage in [TRAINING, INFERENCE] {
            let mut rows = Vec::new();
            for a in &ACCOUNTS {
                for agent in deciders(stage).filter(|a| self.has(a)) {
                    let Some(group) = self.energy.group(agent, stage, a) else { continue };
                    let estimate = self.energy.values(agent, stage, a).map(|v| self.resamples.estimate(v));
                    rows.push(vec![
                        a.words.to_string(),
                        code(agent),
                        estimate.map_or_else(|| format!("none: {}", group.reason), |e| joules(e.mean)),
                        estimate.map_or("-".into(), |e| e.joules_text()),
                        match self.energy.ratio(agent, stage, a) {
                            Some(_) if agent == "spiking-ac" => "1".into(),
                            ratio => ratio.map_or("-".into(), |r| r.short()),
                        },
                    ]);
                }
            }
            if !rows.is_empty() {
                let title = format!("energy per {}", stage_words(stage));
                let header = format!("method | agent | {title} | 95 % interval | over `spiking-ac`");
                fold(out, &format!("Energy per {}", stage_words(stage)), &table(&header, 3, &rows));
            }
            if let Some(line) = self.energy_winners(stage) {
                let _ = writeln!(out, "{line}\n");
            }
        }
        if let Some(text) = self.energy_causes() {
            let _ = writeln!(out, "{text}\n");
        }
        self.write_activity(out, &learned);
    }

    /// Who takes least, method by method.
    fn energy_winners(&self, stage: &str) -> Option<String> {
        let mut wins: Vec<(&str, Vec<String>)> = Vec::new();
        for a in &ACCOUNTS {
            let known =
                |agent: &'static str| Some((agent, stats::mean(self.energy.values(agent, stage, a)?)));
            let mut all: Vec<(&str, f64)> = deciders(stage).filter_map(known).collect();
            all.sort_by(|x, y| x.1.total_cmp(&y.1));
            let [(least, x), (next, y), ..] = all[..] else { continue };
            let told = format!("{} ({} against {} of {})", a.words, joules(x), joules(y), code(next));
            match wins.iter_mut().find(|w| w.0 == least) {
                Some(w) => w.1.push(told),
                None => wins.push((least, vec![told])),
            }
        }
        let told: Vec<String> =
            wins.iter().map(|(agent, by)| format!("{} by {}", code(agent), listed(by))).collect();
        let agree = match wins.len() {
            0 => return None,
            1 => "All methods name the same agent".to_string(),
            n => format!("The methods name {n} different agents"),
        };
        Some(format!(
            "{agree} as the one with the least energy per {}: {}.",
            stage_words(stage),
            told.join("; ")
        ))
    }

    /// What makes the methods differ, in the numbers of this run.
    fn energy_causes(&self) -> Option<String> {
        let e = &self.energy;
        let get = |name: &str| e.mean("spiking-ac", "evaluate", "actor", name);
        let (macs, every, acs, updates) = (
            get("effective_macs")?,
            get("effective_macs_every_step")?,
            get("effective_acs")?,
            get("membrane_updates")?,
        );
        let pj = |ops: f64, each: f64| joules(ops * each * 1e-12);
        let (int32, fp32) = (crate::energy::methods::INT32, crate::energy::methods::FP32);
        let mut text = format!(
            "What makes the methods differ, in an inference of `spiking-ac`: the real-valued input needs {} multiply-accumulates in the first \
             layer ({} with int32 constants; {} where they are repeated at every spike step), which the paper formula books as additions \
             weighted by a firing rate; {} accumulates over spikes ({}) and {} membrane updates ({}), which it leaves out. With fp32 \
             constants, in which the networks compute, an accumulate is {} pJ instead of {} and a multiply-accumulate {} instead of {}.",
            num(macs),
            pj(macs, int32.mac_pj()),
            pj(every, int32.mac_pj()),
            num(acs),
            pj(acs, int32.add_pj),
            num(updates),
            pj(updates, int32.mac_pj() + int32.add_pj),
            num(fp32.add_pj),
            num(int32.add_pj),
            num(fp32.mac_pj()),
            num(int32.mac_pj()),
        );
        if let (Some(all), Some(executed)) = (get("dense"), get("executed_operations")) {
            let _ = write!(
                text,
                " Of the {} products that these layers have with the first one once, {} are effective, and this run executed {} products and \
                 additions: {:.0} % of all. The GPU kernels select every product of a hidden layer, so that silent neurons save nothing there.",
                num(all),
                num(macs + acs),
                num(executed),
                100.0 * executed / all,
            );
        }
        if let Some(most) = get("largest_paper_ratio") {
            let _ = write!(
                text,
                " By the paper formula a network of these sizes without a single spike would take 1/{most:.3} of what a dense network of the \
                 same layers takes; no firing rate saves more."
            );
            let products = |agent: &str| e.mean(agent, "evaluate", "actor", "dense");
            if let Some((own, other)) = products("spiking-ac").zip(products("ppo"))
                && own != other
            {
                let _ = write!(
                    text,
                    " What is saved beyond that against `ppo` is saved by sizes: its layers have {} products, those of `spiking-ac` {}.",
                    num(other),
                    num(own)
                );
            }
        }
        let train = |agent: &str, name: &str| {
            let sum: f64 =
                ["actor", "critic"].iter().map(|n| e.mean(agent, "train", n, name).unwrap_or(f64::NAN)).sum();
            sum.is_finite().then_some(sum)
        };
        if let (Some(own), Some(dense)) =
            (train("spiking-ac", "backward_macs"), train("ppo", "backward_macs"))
        {
            let _ = write!(
                text,
                " In training, the backward pass multiplies real numbers at every spike step: {} multiply-accumulates per episode against \
                 {} of `ppo` ({}).",
                num(own),
                num(dense),
                times(own / dense)
            );
        }
        Some(text)
    }

    fn write_activity<'a>(&'a self, out: &mut String, learned: &[&str]) {
        let e = &self.energy;
        let key =
            |r: &'a ActivityRow| (r.key.agent.as_str(), r.network.as_str(), r.layer, r.quantity.as_str());
        let mut keys = once(e.activity.iter().filter(|r| r.layer > 0).map(key));
        keys.sort_by(|a, b| (rank(a.0), a.1, a.2).cmp(&(rank(b.0), b.1, b.2)));
        let rows = rows_of(keys, |(agent, network, layer, name)| {
            let of = |stage: &str| {
                let values = e.quantity(agent, stage, network, layer, name);
                if values.is_empty() { "-".into() } else { self.resamples.estimate(&values).short() }
            };
            let words = name.replace('_', " ");
            vec![code(agent), network.into(), layer.to_string(), words, of("evaluate"), of("train")]
        });
        if !rows.is_empty() {
            out.push_str("Activity of hidden layers: spikes per neuron and spike step, or share of outputs that are not zero.\n\n");
            let header = "agent | network | layer | quantity | in evaluation | mean over the training";
            fold(out, "Activity, layer by layer", &table(header, 2, &rows));
        }
        let names = [
            ("dense", "products"),
            ("effective_macs", "effective MACs"),
            ("effective_acs", "effective ACs"),
            ("executed_operations", "executed here"),
            ("membrane_updates", "membrane updates"),
            ("bias_additions", "bias additions"),
            ("parameters", "parameters"),
            ("parameter_bytes", "parameters (B)"),
            ("state_bytes_per_environment", "state per environment (B)"),
            ("largest_paper_ratio", "largest ratio of the paper formula"),
        ];
        let known = learned.iter().filter(|a| e.mean(a, "evaluate", "actor", "dense").is_some());
        let rows = rows_of(known, |agent| -> Vec<String> {
            let value = |(name, _): &(&str, &str)| {
                let mean = e.mean(agent, "evaluate", "actor", name);
                mean.map_or("-".into(), |x| if x.fract() == 0.0 { format!("{x}") } else { num(x) })
            };
            [code(agent)].into_iter().chain(names.iter().map(value)).collect()
        });
        if !rows.is_empty() {
            out.push_str("Operations of an inference of the policy network, as NeuroBench counts them, with the first layer once:\n\n");
            let header: Vec<&str> = ["agent"].into_iter().chain(names.iter().map(|n| n.1)).collect();
            fold(out, "Operations of an inference", &table(&header.join(" | "), 1, &rows));
        }
    }
}

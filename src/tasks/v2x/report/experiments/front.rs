//! Sum-rate against energy of a decision: spiking networks beside dense ones of many sizes, in f32 and in 8-bit
//! integers.

use super::*;
use crate::energy::accounts::{EFFECTIVE, MEMORY, PAPER};
use crate::num::stats::once;
use crate::report::figure::{Figure, Look, Note, Point, Series, categories, extent};
use crate::report::{ReportError, ReportPaths, Tables};
use crate::run::evaluate::Precision;
use crate::run::rows::text_of;
use crate::run::task::Task;
use crate::tasks::v2x::config::V2xConfig;
use std::path::Path;

const TITLE: &str = "Front (task v2x): sum-rate against energy of a decision";
const GENIE: &str = "genie";
/// Share of the genie's sum-rate from which a network counts as one that does the work.
const GOOD: f64 = 0.95;

/// An account of energy with its figure; the constants are those of a network in f32, and of one in 8-bit integers
/// where it has an account.
struct Account {
    method: &'static str,
    constants: &'static str,
    int8: Option<&'static str>,
    words: &'static str,
    /// In a sentence.
    by: &'static str,
    file: &'static str,
}

/// Place of the paper's own account.
const PAPERS: usize = 2;

/// The one that decides first.
const ACCOUNTS: [Account; 3] = [
    Account {
        method: MEMORY,
        constants: "int32",
        int8: Some("int8"),
        words: "with memory",
        by: "counted with memory",
        file: "front-memory.svg",
    },
    Account {
        method: EFFECTIVE,
        constants: "fp32",
        int8: Some("int8"),
        words: "effective operations",
        by: "by effective operations",
        file: "front-effective.svg",
    },
    Account {
        method: PAPER,
        constants: "int32",
        int8: None,
        words: "paper formula",
        by: "by the paper's formula",
        file: "front-paper.svg",
    },
];

/// One network.
struct Net<'a> {
    run: &'a Run,
    /// What is varied of it, without the precision.
    what: &'a str,
    spikes: bool,
    int8: bool,
    rate: Estimate,
    activity: Vec<Estimate>,
    /// J per decision in the order of [`ACCOUNTS`].
    energy: Vec<Option<Estimate>>,
}

impl Net<'_> {
    /// As figures and legends call it.
    fn kind(&self) -> String {
        let name = if self.run.beam == MAIN { String::new() } else { format!(" {}", self.run.beam) };
        format!("{}{name}{}", self.run.agent, if self.int8 { " int8" } else { "" })
    }
    fn told(&self) -> String {
        match self.what {
            "" => code(&self.kind()),
            what => format!("{} with {}", code(&self.kind()), code(what)),
        }
    }
}

const MAIN: &str = "angles";
/// Agents without a network that stand beside the networks.
const REFERENCES: [&str; 6] = [BASELINE, "ekf", "ekf-zf", GENIE, "genie-zf", "upper-bound"];

/// Writes Parquet rows, manifest, figures, `report.md` and `report.html` of the experiment `front` to `dir`.
///
/// # Errors
/// As [`super::super::write`].
pub fn write_front(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let tables = Tables::of_rows(dir, rows, &SCHEMA, manifest)?;
    let view = View::new(rows);
    let nets = nets(&view);
    let svgs: Result<Vec<_>, ReportError> =
        ACCOUNTS.iter().enumerate().map(|(i, a)| Ok((a.file, figure(&view, &nets, i).svg()?))).collect();
    tables.pages(TITLE, svgs?, |drawn| {
        let mut out = String::new();
        let (answer, numbers) = answer(&view, &nets);
        let small = view.open(&mut out, TITLE, manifest, answer, &numbers);
        out.push_str("## The front\n\n");
        for a in &ACCOUNTS {
            if drawn(a.file) {
                let _ = writeln!(
                    out,
                    "![Mean sum-rate against energy of a decision ({}), log scale, with 95 % error bars over seeds. Hidden units stand beside \
                     the networks that none surpasses in both. Dotted: rates of references; `ekf` and `ekf-zf` have no network.]({})\n",
                    a.words, a.file
                );
            } else {
                let _ = writeln!(out, "{} is not drawn: no energy by this method in this run.\n", a.file);
            }
        }
        if !small {
            out.push_str("## Findings\n\n");
            for line in sentences(&view, &nets) {
                let _ = writeln!(out, "- {line}");
            }
            out.push('\n');
        }
        out.push_str("## Numbers\n\n");
        table_of(&view, &nets, &mut out);
        view.method(
            &mut out,
            "- A dense network is *as good* as another where its mean sum-rate is at least the other's. Ratios are over the dense \
             network that is as good and takes least by that method; `-` where none is.\n\
             - `int8`: the weights of the same training and all activations in 8-bit integers, at the sum-rate that they then have. With memory, \
             int8 networks are charged bytes and int8 arithmetic, others words of 32 bits and int32 arithmetic; by effective operations int8 \
             against fp32. Spiking networks in 8 bits are not run here, so no account of one is shown.\n\
             - In all accounts of spiking networks, the first layer's current is computed once a decision and kept.\n",
        );
        let mut scope = String::new();
        view.scope(&mut scope, manifest);
        write_manifest(&mut out, &scope, manifest);
        out
    })
}

fn nets<'a>(view: &'a View) -> Vec<Net<'a>> {
    let int8 = text_of(&Precision::Int8);
    let net = |run: &'a Run| {
        let agent = V2xConfig::agent(&run.agent).filter(|a| a.is_learned())?;
        let (what, low) = match run.variant.strip_suffix(&int8) {
            Some(what) => (what.trim_end(), true),
            None => (run.variant.as_str(), false),
        };
        let energy = ACCOUNTS.iter().map(|a| {
            let constants = if low { a.int8? } else { a.constants };
            view.energy(run, a.method, constants)
        });
        Some(Net {
            run,
            what,
            spikes: agent.id.starts_with("spiking"),
            int8: low,
            rate: view.metric(run, SUM_RATE)?,
            activity: view.activity(run),
            energy: energy.collect(),
        })
    };
    let mut out: Vec<Net> = view.runs.iter().filter_map(net).collect();
    // By what they take; without an account last.
    let key = |n: &Net| n.energy[0].map_or(f64::INFINITY, |e| e.mean);
    out.sort_by(|a, b| {
        let kind = rank(&a.run.agent).cmp(&rank(&b.run.agent)).then_with(|| a.kind().cmp(&b.kind()));
        kind.then_with(|| key(a).total_cmp(&key(b)))
    });
    out
}

/// Networks that none has at least the rate of for at most the energy.
fn best<'n, 'a>(nets: &'n [Net<'a>], account: usize) -> Vec<&'n Net<'a>> {
    let at = |n: &Net| n.energy[account].map(|e| e.mean);
    let surpassed = |n: &Net, e: f64| {
        nets.iter().any(|o| {
            at(o)
                .is_some_and(|x| x <= e && o.rate.mean >= n.rate.mean && (x < e || o.rate.mean > n.rate.mean))
        })
    };
    nets.iter().filter(|n| at(n).is_some_and(|e| !surpassed(n, e))).collect()
}

/// Of dense networks that are as good, the one that takes least.
fn rival<'n, 'a>(nets: &'n [Net<'a>], net: &Net, account: usize, int8: bool) -> Option<&'n Net<'a>> {
    let as_good = |o: &&Net| !o.spikes && o.int8 == int8 && o.rate.mean >= net.rate.mean;
    let with = nets.iter().filter(as_good).filter_map(|o| Some((o, o.energy[account]?.mean)));
    with.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(o, _)| o)
}

/// What a network takes over what its [`rival`] takes.
fn ratio(nets: &[Net], net: &Net, account: usize, int8: bool) -> Option<f64> {
    Some(net.energy[account]?.mean / rival(nets, net, account, int8)?.energy[account]?.mean)
}

fn figure(view: &View, nets: &[Net], account: usize) -> Figure {
    let nano = 1e9;
    let kinds = once(nets.iter().map(Net::kind));
    let point = |n: &Net| {
        let e = n.energy[account].filter(|e| e.mean > 0.0)?.map(|x| nano * x);
        Some(Point { x_interval: e.interval, ..n.rate.point(e.mean) })
    };
    let of_kind = |kind: &String| {
        let mut points: Vec<Point> = nets.iter().filter(|n| n.kind() == *kind).filter_map(point).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series::new(kind, Look::Marks, points)
    };
    let mut series: Vec<Series> = kinds.iter().map(of_kind).collect();
    let (lo, hi) = extent(series.iter().flat_map(|s: &Series| &s.points).map(|p| p.x));
    let levels = [GENIE, BASELINE];
    if hi > 0.0 {
        for agent in levels {
            if let Some(e) = view.of(agent).next().and_then(|r| view.metric(r, SUM_RATE)) {
                series.push(Series::level(agent, e.mean, (lo, hi)));
            }
        }
    } else {
        series.clear();
    }
    // Rules without a network that have an account stand among the networks.
    if hi > 0.0 {
        for agent in REFERENCES {
            let a = &ACCOUNTS[account];
            let known = view.of(agent).next();
            let known =
                known.and_then(|r| Some((view.metric(r, SUM_RATE)?, view.energy(r, a.method, a.constants)?)));
            let Some((rate, e)) = known.filter(|(_, e)| nano * e.mean >= lo) else { continue };
            let points = vec![Point { x_interval: None, ..rate.point(nano * e.mean) }];
            series.push(Series::new(agent, Look::Marks, points));
        }
    }
    // The keys' last words are enough beside a point.
    let short = |what: &str| what.replace("spiking.", "").replace("ppo.", "").replace("hidden=", "");
    let note = |n: &Net| point(n).map(|p| Note { x: p.x, y: p.y, text: short(n.what), series: n.kind() });
    let words = ACCOUNTS[account].words;
    Figure {
        title: format!("Sum-rate against energy of a decision: {words}"),
        x_label: format!("energy of a decision (nJ), {words}"),
        y_label: "mean sum-rate (bps/Hz)".into(),
        log_x: true,
        series,
        notes: best(nets, account).into_iter().filter_map(note).collect(),
        ..Figure::with(categories(kinds.iter().map(String::as_str).chain(REFERENCES)))
    }
}

/// The page in one sentence, with its numbers: the spiking network that comes nearest to a dense one as good, by the
/// account that decides first.
fn answer(view: &View, nets: &[Net]) -> (String, Vec<Number>) {
    let words = ACCOUNTS[0].words;
    let genie = view.of(GENIE).next().and_then(|r| view.metric(r, SUM_RATE));
    let good = |n: &&Net| n.spikes && genie.is_none_or(|g| n.rate.mean >= GOOD * g.mean);
    let with = nets.iter().filter(good).filter_map(|n| Some((n, ratio(nets, n, 0, false)?)));
    // Where none does the work, the one with the highest rate.
    let all = nets.iter().filter(|n| n.spikes).filter_map(|n| Some((n, ratio(nets, n, 0, false)?)));
    let highest = all.max_by(|a, b| a.0.rate.mean.total_cmp(&b.0.rate.mean));
    let found = with.min_by(|a, b| a.1.total_cmp(&b.1)).or(highest);
    let Some((net, dense, least)) = found.and_then(|(n, x)| Some((n, rival(nets, n, 0, false)?, x))) else {
        return (
            "No spiking network of this run stands beside a dense one that is as good.".into(),
            Vec::new(),
        );
    };
    let side = if least < 1.0 { "saves energy" } else { "saves no energy" };
    let short = genie.filter(|g| net.rate.mean < GOOD * g.mean);
    let short = short.map_or(String::new(), |g| {
        format!(", at {:.0} % of the rate of `{GENIE}`,", 100.0 * net.rate.mean / g.mean)
    });
    let text = format!(
        "A spiking network {side} here, {}: the best one{short} takes {} the energy of a dense network as good{}.{}",
        ACCOUNTS[0].by,
        times(least),
        ratio(nets, net, PAPERS, false).map_or(String::new(), |x| format!(
            " ({} {})",
            times(x),
            ACCOUNTS[PAPERS].by
        )),
        unlearned(view, nets).map_or(String::new(), |told| format!(" {told}"))
    );
    let joined = |n: &Net| n.energy[0].map_or("-".into(), |e| joules(e.mean));
    let of = |n: &Net| format!("{} ({} bps/Hz), a decision, {words}", n.told(), num(n.rate.mean));
    let (spiking, dense) = (Number::new(joined(net), of(net)), Number::new(joined(dense), of(dense)));
    let spikes = nets.iter().filter(|n| n.spikes).count();
    let counts = format!("networks: {spikes} spiking, {} dense", nets.len() - spikes);
    (text, vec![spiking, dense, Number::new(nets.len().to_string(), counts)])
}

/// Which rule without a network has the highest rate of those that have an account, where no network has as much.
fn unlearned(view: &View, nets: &[Net]) -> Option<String> {
    let known = REFERENCES.iter().filter_map(|agent| {
        let run = view.of(agent).next()?;
        Some((
            *agent,
            view.metric(run, SUM_RATE)?,
            view.energy(run, ACCOUNTS[0].method, ACCOUNTS[0].constants)?,
        ))
    });
    let (agent, rate, energy) = known.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    let most = nets.iter().max_by(|a, b| a.rate.mean.total_cmp(&b.rate.mean))?;
    (order(&rate, &most.rate) == Order::Above).then(|| {
        format!(
            "A rule that learns nothing has a higher rate than every network: `{agent}`, {} bps/Hz for {} a decision; the best network{} has \
             {} bps/Hz.",
            num(rate.mean),
            joules(energy.mean),
            match most.run.beam.as_str() {
                "" => String::new(),
                beam => format!(", whose beams are `{beam}`,"),
            },
            num(most.rate.mean)
        )
    })
}

fn capital(words: &str) -> String {
    words[..1].to_uppercase() + &words[1..]
}

fn sentences(view: &View, nets: &[Net]) -> Vec<String> {
    let spiking: Vec<&Net> = nets.iter().filter(|n| n.spikes).collect();
    if spiking.is_empty() || spiking.len() == nets.len() {
        return vec!["This run lacks spiking networks, or dense ones to hold them against.".into()];
    }
    let mut out = Vec::new();
    let genie = view.of(GENIE).next().and_then(|r| view.metric(r, SUM_RATE));
    let good = |n: &&&Net| genie.is_none_or(|g| n.rate.mean >= GOOD * g.mean);
    for (i, a) in ACCOUNTS.iter().enumerate() {
        for int8 in [false, true] {
            let with = spiking.iter().filter(good).filter_map(|n| Some((*n, ratio(nets, n, i, int8)?)));
            let Some((net, least)) = with.min_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
            let (Some(dense), Some(e)) = (rival(nets, net, i, int8), net.energy[i]) else { continue };
            let Some(of_dense) = dense.energy[i] else { continue };
            let verdict = match least {
                x if x < 0.5 => "less than half",
                x if x < 1.0 => "less",
                _ => "not less",
            };
            out.push(format!(
                "{}, among spiking networks of at least {:.0} % of `{GENIE}`: {} takes {verdict} than the cheapest dense network {} that is as \
                 good, {} of {} ({} bps/Hz for {} against {} bps/Hz for {}).",
                capital(a.words),
                100.0 * GOOD,
                net.told(),
                if int8 { "in int8" } else { "in f32" },
                times(least),
                dense.told(),
                net.rate.short(),
                joules(e.mean),
                dense.rate.short(),
                joules(of_dense.mean),
            ));
        }
    }
    if out.is_empty() {
        let most = spiking.iter().map(|n| n.rate.mean).fold(0.0, f64::max);
        out.push(format!(
            "No spiking network of this run reaches {:.0} % of `{GENIE}` beside a dense one that is as good; the best has {} bps/Hz.",
            100.0 * GOOD,
            num(most)
        ));
    }
    for (i, a) in ACCOUNTS.iter().enumerate() {
        let front = best(nets, i);
        let spikes = front.iter().filter(|n| n.spikes).count();
        if !front.is_empty() {
            let named: Vec<String> = front.iter().map(|n| n.told()).collect();
            out.push(format!(
                "{}, {} of {} networks are surpassed by none in both rate and energy, {} of them spiking: {}.",
                capital(a.words),
                front.len(),
                nets.iter().filter(|n| n.energy[i].is_some()).count(),
                if spikes == 0 { "none".to_string() } else { spikes.to_string() },
                listed(&named)
            ));
        }
    }
    out
}

fn table_of(view: &View, nets: &[Net], out: &mut String) {
    let layers = nets.iter().map(|n| n.activity.len()).max().unwrap_or(0);
    let genie = view.of(GENIE).next().and_then(|r| view.metric(r, SUM_RATE));
    let lines: Vec<Vec<String>> = nets
        .iter()
        .map(|n| {
            let share = genie.map_or("-".into(), |g| format!("{:.1} %", 100.0 * n.rate.mean / g.mean));
            let mut cells = vec![code(&n.kind()), code(n.what), n.rate.short(), share];
            cells.extend((0..layers).map(|l| n.activity.get(l).map_or("-".into(), Estimate::short)));
            for i in 0..ACCOUNTS.len() {
                cells.push(n.energy[i].map_or("-".into(), |e| joules(e.mean)));
                for int8 in [false, true] {
                    cells.push(ratio(nets, n, i, int8).map_or("-".into(), times));
                }
            }
            cells
        })
        .collect();
    let mut header: Vec<String> =
        ["agent", "settings", "sum-rate (bps/Hz)", "of `genie`"].map(String::from).to_vec();
    header.extend((1..=layers).map(|l| format!("activity, layer {l}")));
    for a in &ACCOUNTS {
        header.extend([a.words.to_string(), "over dense f32".into(), "over dense int8".into()]);
    }
    out.push_str("Mean over seeds, with the 95 % interval in brackets; energies of a decision. Activity: firing rate, or share of units that are not zero.\n\n");
    fold(out, &format!("All {} networks", nets.len()), &table(&header.join(" | "), 2, &lines));
    let references: Vec<Vec<String>> = REFERENCES
        .iter()
        .filter_map(|agent| {
            let run = view.of(agent).next()?;
            let rate = view.metric(run, SUM_RATE)?;
            let share = genie.map_or("-".into(), |g| format!("{:.1} %", 100.0 * rate.mean / g.mean));
            let energy = ACCOUNTS
                .iter()
                .map(|a| view.energy(run, a.method, a.constants).map_or("-".into(), |e| joules(e.mean)));
            Some([code(agent), rate.short(), share].into_iter().chain(energy).collect())
        })
        .collect();
    if !references.is_empty() {
        out.push_str(
            "What has no network, beside them: its arithmetic is counted by the same methods. `genie`, `genie-zf` and `upper-bound` know what \
             nobody can, so that they have no account.\n\n",
        );
        let accounts: Vec<&str> = ACCOUNTS.iter().map(|a| a.words).collect();
        let header = format!("agent | sum-rate (bps/Hz) | of `genie` | {}", accounts.join(" | "));
        out.push_str(&table(&header, 1, &references));
    }
}

//! The page of a job of readings: which claims hold under which of them, what each choice does to each verdict, and the
//! share of random readings in which each claim holds.

use crate::config::{AS_CONFIGURED, Reading};
use crate::report::figure::{Matrix, Square};
use crate::report::judge::{hardly_trained, smoke_words};
use crate::report::opening::{Number, fold, write_opening};
use crate::report::words::*;
use crate::report::{Judged, ReportError, ReportPaths, Tables, Verdict, take_back_claims};
use crate::run::rows::{Manifest, Rows, mode_name};
use crate::run::task::Task;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const FIGURE: &str = "readings.svg";

/// What was judged.
struct View {
    readings: Vec<Reading>,
    /// In the order of `readings`, each in the order of the claims.
    judged: Vec<Vec<Judged>>,
}

/// Writes Parquet rows, manifest, a figure, `report.md` and `report.html` of readings of task `C` to `dir`.
///
/// # Errors
/// As of a paper's report; [`ReportError::Config`] of a manifest whose configuration has no readings.
pub fn write<C: Task>(dir: &Path, rows: &Rows, manifest: &Manifest) -> Result<ReportPaths, ReportError> {
    let config =
        C::from_toml(&manifest.config, "manifest.json").map_err(|e| ReportError::Config(e.to_string()))?;
    let Some(choices) = config.readings() else {
        return Err(ReportError::Config("manifest.json has no [readings]".into()));
    };
    let choices = choices.beside(&config.without_readings());
    let tables = Tables::of_rows(dir, rows, C::SCHEMA, manifest)?;
    let readings = choices.all(config.common().evaluate.greedy);
    let modes = [rows.in_mode(false), rows.in_mode(true)];
    let plain = config.without_readings();
    // Which choices matter shows before agents are at their end.
    let small = hardly_trained::<C>(manifest.seeds.len(), &manifest.config);
    let judged = readings.iter().map(|r| {
        let varied = plain.with_words(&r.variant).map_err(|e| ReportError::Config(e.to_string()))?;
        let agents: BTreeSet<&str> = varied.runs().iter().map(|run| run.agent.id).collect();
        let rows = modes[usize::from(r.other_mode)].of_variant(&r.variant, |agent| agents.contains(agent));
        let mut claims = C::claims(&rows, &manifest.config);
        if small.is_some() {
            take_back_claims(&mut claims);
        }
        Ok(claims)
    });
    let judged = judged.collect::<Result<Vec<_>, ReportError>>()?;
    let view = View { judged, readings };
    let title = format!("Readings (task {}): under which of them each claim holds", C::NAME);
    tables.pages(&title, vec![(FIGURE, view.figure(&title).svg()?)], |drawn| {
        let mut out = String::new();
        view.open(&mut out, &title, small.is_some());
        out.push_str(&smoke_words(small.as_deref()));
        out.push_str("## Claims by readings\n\n");
        if drawn(FIGURE) {
            let _ = writeln!(
                out,
                "![Claims by readings: as configured, every alternative by itself, and random draws of all choices. Blue: the claim \
                 holds; orange: it does not; grey: intervals overlap; empty: not judged.]({FIGURE})\n"
            );
        }
        view.findings(&mut out);
        view.one_at_a_time(&mut out);
        view.changes(&mut out);
        view.draws(&mut out);
        view.values(&mut out);
        out.push_str(METHOD);
        let mut scope = String::new();
        view.scope(&mut scope, &config, rows, manifest);
        write_manifest(&mut out, &scope, manifest);
        out
    })
}

const METHOD: &str = "## How the numbers are made\n\n\
    - A reading is the paper's job with other values of some keys. Every agent that a reading changes is trained again, with as many slots \
      as without it; the others are those of what is configured.\n\
    - A verdict is that of the paper's own report, with the rows of the reading. Means are compared with 95 % bootstrap intervals over \
      seeds; with few seeds these are too narrow, so verdicts are to be read as hints.\n\
    - In a draw each choice is left as configured or set to one of its alternatives, all with the same probability. The share of draws in \
      which a claim holds weighs them as these alternatives do, and no other way: a choice that is not listed has no part in it.\n\
    - Agents whose training left its trust region are not judged; where a preset has no trust region, they often are not.\n\n";

/// In a narrow column.
fn short(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "**yes**",
        Verdict::HoldsInPart => "yes, in part",
        Verdict::Fails => "no",
        Verdict::Open => "open",
        Verdict::NoData => "-",
        Verdict::LeftTrustRegion | Verdict::Smoke => "not judged",
    }
}

/// A setting in few words: the values without the keys' sections.
fn words(text: &str) -> String {
    let word = |w: &str| match w.split_once('=') {
        Some((key, value)) => format!("{}={value}", key.rsplit('.').next().unwrap_or(key)),
        None => w.to_string(),
    };
    let mut all: Vec<String> = Vec::new();
    for w in text.split_whitespace().map(word) {
        // One value of several agents is said once.
        if !all.contains(&w) {
            all.push(w);
        }
    }
    all.join(" ")
}

impl View {
    fn claims(&self) -> &[Judged] {
        self.judged.first().map_or(&[], Vec::as_slice)
    }

    fn verdicts(&self, claim: usize, drawn: bool) -> impl Iterator<Item = Verdict> {
        let mine = self.readings.iter().zip(&self.judged).filter(move |(r, _)| r.drawn == drawn);
        mine.map(move |(_, j)| j[claim].verdict)
    }

    /// The readings that are not drawn, with their verdicts.
    fn singles(&self) -> impl Iterator<Item = (&Reading, &Vec<Judged>)> {
        self.readings.iter().zip(&self.judged).filter(|(r, _)| !r.drawn)
    }

    fn drawn(&self) -> impl Iterator<Item = (&Reading, &Vec<Judged>)> {
        self.readings.iter().zip(&self.judged).filter(|(r, _)| r.drawn)
    }

    fn figure(&self, title: &str) -> Matrix {
        let row = |(i, claim): (usize, &Judged)| {
            let squares = self.judged.iter().map(|j| j[i].verdict.square());
            (format!("{}: {}", claim.place, claim.text), squares.collect())
        };
        let mut groups = vec![("default".to_string(), 1)];
        for r in self.readings.iter().filter(|r| !r.drawn && !r.settings.is_empty()) {
            match groups.last_mut().filter(|g| g.0 == r.settings[0].choice) {
                Some(g) => g.1 += 1,
                None => groups.push((r.settings[0].choice.clone(), 1)),
            }
        }
        let draws = self.readings.iter().filter(|r| r.drawn).count();
        groups.extend((draws > 0).then(|| (format!("{draws} draws of all"), draws)));
        Matrix {
            title: title.into(),
            rows: self.claims().iter().enumerate().map(row).collect(),
            groups,
            columns: self.readings.iter().map(|r| words(&r.name)).collect(),
            legend: Verdict::LEGEND,
        }
    }

    fn scope<C: Task>(&self, out: &mut String, config: &C, rows: &Rows, manifest: &Manifest) {
        write_cited(out, C::CITE);
        let seeds: BTreeSet<u32> = rows.evals.iter().map(|r| r.key.seed).collect();
        let steps: Vec<f64> = distinct(
            rows.curves
                .iter()
                .filter(|r| r.key.labels.last().is_some_and(String::is_empty))
                .map(|r| r.env_steps as f64),
        );
        let swept: Vec<f64> = distinct(rows.evals.iter().map(|r| r.key.at));
        let _ = writeln!(
            out,
            "{} readings of {} claims; {} {} {}; {}, {} slots of each in a training; on {} ({}). As configured, stochastic policies decide \
             by `{}`.\n",
            self.readings.len(),
            self.claims().len(),
            C::SWEPT.noun,
            numbers(&swept),
            C::SWEPT.unit,
            seeds_words(Some(seeds.len())),
            steps.last().map_or("no".to_string(), |s| format!("{s:.0}")),
            manifest.device,
            manifest.backend,
            mode_name(config.common().evaluate.greedy),
        );
        if let Some(less) = trained_less::<C>(manifest) {
            let _ = writeln!(out, "{less}\n");
        }
    }

    /// Claims that hold under every reading, under none of those that judge them, and that none judges.
    fn kinds(&self) -> [Vec<String>; 3] {
        let holds = |v: Verdict| matches!(v, Verdict::Holds | Verdict::HoldsInPart);
        let all = |claim: usize| self.judged.iter().map(move |j| j[claim].verdict);
        let judged = |v: Verdict| !matches!(v, Verdict::NoData | Verdict::Smoke);
        let names = |of: &dyn Fn(usize) -> bool| -> Vec<String> {
            let mine = (0..self.claims().len()).filter(|i| of(*i));
            mine.map(|i| format!("\"{}\"", self.claims()[i].text)).collect()
        };
        [
            names(&|i| all(i).all(holds)),
            names(&|i| !all(i).any(holds) && all(i).any(judged)),
            names(&|i| !all(i).any(judged)),
        ]
    }

    /// The page's answer and numbers.
    fn open(&self, out: &mut String, title: &str, small: bool) {
        let (claims, readings) = (self.claims().len(), self.readings.len());
        let [always, never, unjudged] = self.kinds().map(|names| names.len());
        let depends = claims - always - never - unjudged;
        if small {
            let by = if always == 0 { String::new() } else { format!("; {always} hold by construction") };
            let answer = format!(
                "A smoke run: everything runs, and {unjudged} of {claims} claims are not judged under any of {readings} readings{by}."
            );
            return write_opening(out, title, &answer, &[]);
        }
        let none = |n: usize| if n == 0 { "none".to_string() } else { n.to_string() };
        let answer = format!(
            "Of {claims} claims {} hold under all of {readings} readings and {} under none; {} depend on the reading.",
            none(always),
            none(never),
            none(depends)
        );
        let numbers = [
            Number::new(always.to_string(), format!("claims hold under every one of {readings} readings")),
            Number::new(never.to_string(), "hold under none"),
            Number::new(depends.to_string(), "depend on what the paper leaves open"),
        ];
        write_opening(out, title, &answer, &numbers);
    }

    fn findings(&self, out: &mut String) {
        out.push_str("## Findings\n\n");
        let holds = |v: Verdict| matches!(v, Verdict::Holds | Verdict::HoldsInPart);
        let told = |names: &[String]| match names.len() {
            0 => "none".to_string(),
            n => format!("{n} ({})", names.join("; ")),
        };
        let [always, never, unjudged] = self.kinds();
        let depends = self.claims().len() - always.len() - never.len() - unjudged.len();
        let _ = writeln!(out, "- Claims that hold under every reading: {}.", told(&always));
        if !never.is_empty() || unjudged.is_empty() {
            let _ = writeln!(out, "- Claims that hold under none: {}.", told(&never));
        }
        if !unjudged.is_empty() {
            let _ = writeln!(out, "- Claims that this run judges under none: {}.", told(&unjudged));
        }
        if depends > 0 {
            let _ = writeln!(out, "- {depends} depend on the reading.");
        }
        let mut turned: Vec<(usize, &Reading)> = Vec::new();
        if let Some(base) = self.judged.first() {
            for (r, j) in self.singles().skip(1) {
                let n = base.iter().zip(j).filter(|(a, b)| holds(a.verdict) != holds(b.verdict)).count();
                turned.push((n, r));
            }
        }
        turned.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        let most: Vec<String> = turned
            .iter()
            .take(3)
            .filter(|(n, _)| *n > 0)
            .map(|(n, r)| format!("{} (`{}`): {n}", r.settings[0].choice, words(&r.name)))
            .collect();
        if !most.is_empty() {
            let _ = writeln!(
                out,
                "- Alternatives that turn most claims from holding to not holding or back: {}.",
                most.join(", ")
            );
        }
        out.push('\n');
    }

    fn one_at_a_time(&self, out: &mut String) {
        out.push_str("## One choice at a time\n\n");
        let singles: Vec<_> = self.singles().collect();
        let mut header = "where | claim".to_string();
        for (r, _) in &singles {
            let name = if r.name == AS_CONFIGURED { r.name.clone() } else { words(&r.name) };
            let _ = write!(header, " | {name}");
        }
        let mut body = String::new();
        write_table(&mut body, &header, singles.len() + 2, self.claims().iter().enumerate(), |(i, claim)| {
            let mut cells = vec![claim.place.to_string(), claim.text.to_string()];
            cells.extend(singles.iter().map(|(_, j)| short(j[i].verdict).to_string()));
            cells
        });
        fold(out, "Every claim under every single choice", &body);
    }

    /// What each alternative does to each verdict.
    fn changes(&self, out: &mut String) {
        out.push_str("## What each choice does\n\n");
        let Some(base) = self.judged.first() else { return };
        write_table(out, "choice | set to | verdicts that change", 3, self.singles().skip(1), |(r, j)| {
            let changed: Vec<String> = base
                .iter()
                .zip(j)
                .filter(|(a, b)| a.verdict != b.verdict)
                .map(|(a, b)| format!("{}: {} → {}", a.text, short(a.verdict), short(b.verdict)))
                .collect();
            let told = if changed.is_empty() { "none".to_string() } else { changed.join("; ") };
            vec![r.settings[0].choice.clone(), format!("`{}`", words(&r.name)), told]
        });
    }

    fn draws(&self, out: &mut String) {
        let n = self.drawn().count();
        if n == 0 {
            return;
        }
        let _ = writeln!(out, "## Random readings: {n}\n");
        let header = "where | claim | rests on | as configured | holds | does not hold | open | not judged";
        write_table(out, header, 4, self.claims().iter().enumerate(), |(i, claim)| {
            let share = |of: &[Square]| {
                let k = self.verdicts(i, true).filter(|v| of.contains(&v.square())).count();
                format!("{:.0} %", 100.0 * k as f64 / n as f64)
            };
            vec![
                claim.place.to_string(),
                claim.text.to_string(),
                claim.basis.to_string(),
                short(claim.verdict).to_string(),
                share(&[Square::Yes, Square::Part]),
                share(&[Square::No]),
                share(&[Square::Open]),
                share(&[Square::Blank]),
            ]
        });
        let mut body = String::new();
        write_table(&mut body, "draw | set to | claims that hold", 2, self.drawn(), |(r, j)| {
            let set: Vec<String> =
                r.settings.iter().map(|s| format!("{} `{}`", s.choice, words(&s.words))).collect();
            let holds = j.iter().filter(|j| matches!(j.verdict.square(), Square::Yes | Square::Part)).count();
            let set = if set.is_empty() { AS_CONFIGURED.to_string() } else { set.join(", ") };
            vec![r.name.clone(), set, holds.to_string()]
        });
        fold(out, "Every draw", &body);
    }

    /// Of the draws with each value of each choice, how many claims hold.
    fn values(&self, out: &mut String) {
        let mut values: Vec<(&str, Option<&str>)> = Vec::new();
        for (r, _) in self.singles().skip(1) {
            let s = &r.settings[0];
            if !values.contains(&(s.choice.as_str(), None)) {
                values.push((&s.choice, None));
            }
            values.push((&s.choice, Some(&s.words)));
        }
        if self.drawn().next().is_none() || values.is_empty() {
            return;
        }
        out.push_str("Means over the draws in which a choice has a value:\n\n");
        write_table(out, "choice | value | draws | claims that hold", 2, values, |(choice, value)| {
            let of = |r: &Reading| r.settings.iter().find(|s| s.choice == choice).map(|s| s.words.clone());
            let mine: Vec<f64> = self
                .drawn()
                .filter(|(r, _)| of(r).as_deref() == value)
                .map(|(_, j)| {
                    j.iter().filter(|j| matches!(j.verdict.square(), Square::Yes | Square::Part)).count()
                        as f64
                })
                .collect();
            let mean = mine.iter().sum::<f64>() / mine.len() as f64;
            vec![
                choice.to_string(),
                value.map_or(AS_CONFIGURED.to_string(), |v| format!("`{}`", words(v))),
                mine.len().to_string(),
                if mine.is_empty() { "-".into() } else { format!("{mean:.1}") },
            ]
        });
    }
}

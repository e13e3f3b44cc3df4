//! Claims of a paper, judged from comparisons of estimates.

use super::figure::Square;
use super::opening::{Number, brief, fold_in_cell};
use super::words::*;
use crate::config::Layered;
use crate::num::text::FEW_SEEDS;
use crate::run::rows::MEAN_ACTION;

/// What a verdict rests on that is decided before anything is run.
pub const BY_CONSTRUCTION: &str = "by construction";

/// Verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Holds,
    /// Holds as far as it goes: agents the claim speaks of are missing.
    HoldsInPart,
    Fails,
    /// Means agree with the claim or contradict it by less than the intervals.
    Open,
    /// The rows lack what it speaks of.
    NoData,
    /// An agent that the claim speaks of was trained with steps outside its trust region: the comparison would judge
    /// the optimiser.
    LeftTrustRegion,
    /// The run is too small to say anything: see [`too_small`].
    Smoke,
}

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Where it stands: a figure, a section.
    pub place: &'static str,
    /// In the paper's sense.
    pub text: &'static str,
    /// What a verdict on it rests on, in words.
    pub basis: &'static str,
    /// Agents that it cannot be judged without.
    pub needs: &'static [&'static str],
    /// Rows that it needs beyond metrics of evaluations, in words.
    pub beyond: Option<&'static str>,
    pub verdict: Verdict,
    /// The numbers behind it.
    pub evidence: String,
}

impl Verdict {
    /// In a table.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Holds => "**holds**",
            Verdict::HoldsInPart => "holds for those compared",
            Verdict::Fails => "**does not hold**",
            Verdict::Open => "open: intervals overlap",
            Verdict::NoData => "not in this run",
            Verdict::LeftTrustRegion => "not judged: training left its trust region",
            Verdict::Smoke => "not judged (smoke)",
        }
    }

    /// What the squares of a figure of verdicts mean.
    pub const LEGEND: [&'static str; 5] =
        ["holds", "holds for those compared", "does not hold", "intervals overlap", "not judged"];

    /// In a figure.
    pub fn square(self) -> Square {
        match self {
            Verdict::Holds => Square::Yes,
            Verdict::HoldsInPart => Square::Part,
            Verdict::Fails => Square::No,
            Verdict::Open => Square::Open,
            Verdict::NoData | Verdict::LeftTrustRegion | Verdict::Smoke => Square::Blank,
        }
    }
}

/// The share of a preset's updates below which learned agents have not learned enough to judge a paper by them.
const ENOUGH: f64 = 0.2;
/// The share below which they have hardly learned, and tell nothing of each other.
const TRAINED: f64 = 0.05;

/// Why a run is too small for verdicts on what was measured, if it is: it has fewer than five seeds, or its agents were
/// trained for less than a fifth of what their preset has. `config` is that of the run, as its manifest has it, or
/// empty.
pub fn too_small<C: Layered>(seeds: usize, config: &str) -> Option<String> {
    smaller_than::<C>(ENOUGH, seeds, config)
}

/// The same of an experiment that holds our agents against each other after equal training.
pub(crate) fn hardly_trained<C: Layered>(seeds: usize, config: &str) -> Option<String> {
    smaller_than::<C>(TRAINED, seeds, config)
}

fn smaller_than<C: Layered>(share: f64, seeds: usize, config: &str) -> Option<String> {
    let few = (seeds < FEW_SEEDS).then(|| format!("{seeds} seeds where {FEW_SEEDS} are needed"));
    let short = updates_of::<C>(config).filter(|(here, whole)| f64::from(*here) < share * f64::from(*whole));
    let short = short.map(|(here, whole)| format!("{here} updates of the preset's {whole}"));
    let why: Vec<String> = few.into_iter().chain(short).collect();
    (!why.is_empty()).then(|| why.join(", "))
}

/// What a verdict on something measured is in a run that is too small.
fn gated(verdict: Verdict, basis: &str) -> Verdict {
    if verdict == Verdict::NoData || basis == BY_CONSTRUCTION { verdict } else { Verdict::Smoke }
}

/// Takes back the verdicts that a run is too small for; what was decided by construction stays.
pub(crate) fn take_back<'a>(judgements: &mut [Judgement], bases: impl Iterator<Item = &'a str>) {
    judgements.iter_mut().zip(bases).for_each(|(j, basis)| j.verdict = gated(j.verdict, basis));
}

/// The text of a page with verdicts that do not stand out, as of a run that is too small for any.
pub(crate) fn plainly(page: &str) -> String {
    let bold = [Verdict::Holds, Verdict::Fails].map(Verdict::text);
    bold.iter().fold(page.to_string(), |page, v| page.replace(v, &v.replace("**", "")))
}

/// The same of claims.
pub fn take_back_claims(claims: &mut [Judged]) {
    claims.iter_mut().for_each(|j| j.verdict = gated(j.verdict, j.basis));
}

/// "`a` is above `b`", as part of a claim.
pub(crate) struct Pair {
    pub(crate) a: (String, Estimate),
    pub(crate) b: (String, Estimate),
    /// Where they are compared, e.g. " at 40 dBm".
    pub(crate) place: String,
    /// Whether level does not suffice.
    pub(crate) strict: bool,
}

impl Pair {
    pub(crate) fn verdict(&self) -> Verdict {
        match order(&self.a.1, &self.b.1) {
            Order::Above => Verdict::Holds,
            Order::Below => Verdict::Fails,
            Order::Level if self.strict => Verdict::Open,
            Order::Level => Verdict::Holds,
        }
    }

    /// How far `a` is above `b`, as a share of the larger; no unit.
    pub(crate) fn lead(&self) -> f64 {
        let (a, b) = (self.a.1.mean, self.b.1.mean);
        (a - b) / a.abs().max(b.abs()).max(f64::MIN_POSITIVE)
    }

    pub(crate) fn text(&self) -> String {
        format!("{} {} against {} {}{}", self.a.0, self.a.1.short(), self.b.0, self.b.1.short(), self.place)
    }
}

pub(crate) fn in_part(verdict: Verdict, missing: &[String]) -> Verdict {
    if verdict == Verdict::Holds && !missing.is_empty() { Verdict::HoldsInPart } else { verdict }
}

pub(crate) fn not_compared(missing: &[String]) -> Option<String> {
    (!missing.is_empty()).then(|| format!("Not compared, for want of rows: {}", listed(missing)))
}

/// What the rows say of a claim.
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) evidence: String,
    /// The numbers that the verdict turned on, in few words.
    pub(crate) deciding: String,
}

impl Judgement {
    /// What decides is looked for in the evidence: what contradicts the claim, leaves it open, or comes nearest; else
    /// what is said first.
    pub(crate) fn new(verdict: Verdict, evidence: impl Into<String>) -> Judgement {
        let evidence = evidence.into();
        let words = ["Against it: ", "Intervals overlap: ", "Closest: "];
        let told = words.iter().find_map(|words| Some(evidence.split_once(words)?.1));
        let deciding = brief(told.unwrap_or(&evidence));
        Judgement { verdict, evidence, deciding }
    }

    /// With these words for what decided.
    pub(crate) fn decided_by(self, deciding: &str) -> Judgement {
        Judgement { deciding: brief(deciding), ..self }
    }
}

/// One of several comparisons with limits, all of which a claim asks for.
pub(crate) struct Check {
    pub(crate) verdict: Verdict,
    /// How far the mean is within the limits; negative outside. Compared among checks of one quantity only.
    room: f64,
    text: String,
}

impl Check {
    /// Whether an estimate lies in `lo..=hi`, told as `text`.
    pub(crate) fn new(e: &Estimate, lo: f64, hi: f64, text: String) -> Check {
        Check { verdict: within(e, lo, hi), room: (e.mean - lo).min(hi - e.mean), text }
    }
}

/// The judgement of a claim that asks for all `checks`; `around` puts what is said of them in a sentence.
pub(crate) fn judge_checks(checks: &[Check], around: impl Fn(&str) -> String) -> Judgement {
    let verdicts: Vec<Verdict> = checks.iter().map(|c| c.verdict).collect();
    let verdict = all_of(&verdicts);
    let all: Vec<&str> = checks.iter().map(|c| c.text.as_str()).collect();
    let judgement = Judgement::new(verdict, around(&all.join("; ")));
    let own = checks.iter().filter(|c| c.verdict == verdict || verdict == Verdict::HoldsInPart);
    match own.min_by(|a, b| a.room.total_cmp(&b.room)) {
        Some(worst) => judgement.decided_by(&worst.text),
        None => judgement,
    }
}

/// The judgement `of` a claim; none where `astray` says that trainings of agents it speaks of left their trust region.
pub(crate) fn unless(astray: String, of: impl FnOnce() -> Judgement) -> Judgement {
    if astray.is_empty() {
        return of();
    }
    Judgement::new(Verdict::LeftTrustRegion, astray)
}

/// A claim that holds or not by what is told, of agents of which some are missing.
pub(crate) fn holds_or_not(holds: bool, told: String, missing: &[String]) -> Judgement {
    let evidence: Vec<String> = std::iter::once(told).chain(not_compared(missing)).collect();
    let verdict = in_part(if holds { Verdict::Holds } else { Verdict::Fails }, missing);
    Judgement::new(verdict, evidence.join(". "))
}

/// Judges a claim about `wanted` agents from its comparisons.
pub(crate) fn judge(pairs: &[Pair], wanted: &[&str]) -> Judgement {
    let with = |v: Verdict| pairs.iter().filter(move |p| p.verdict() == v);
    let count = |v: Verdict| with(v).count();
    let verdict = if pairs.is_empty() {
        Verdict::NoData
    } else if count(Verdict::Fails) > 0 {
        Verdict::Fails
    } else if count(Verdict::Open) > 0 {
        Verdict::Open
    } else {
        Verdict::Holds
    };
    let mut parts: Vec<String> = Vec::new();
    let some = |v: Verdict, most: usize| {
        let mut texts: Vec<String> = with(v).take(most).map(Pair::text).collect();
        if count(v) > most {
            texts.push(format!("{} more", count(v) - most));
        }
        texts.join("; ")
    };
    if pairs.len() > 1 {
        let holds = match count(Verdict::Holds) {
            0 => "none".to_string(),
            n => n.to_string(),
        };
        parts.push(format!("{holds} of {} comparisons hold", pairs.len()));
    }
    if count(Verdict::Fails) > 0 {
        parts.push(format!("Against it: {}", some(Verdict::Fails, 3)));
    }
    if count(Verdict::Open) > 0 {
        parts.push(format!("Intervals overlap: {}", some(Verdict::Open, 3)));
    }
    if verdict == Verdict::Holds && pairs.len() <= 2 {
        parts.push(some(Verdict::Holds, 2));
    } else if verdict == Verdict::Holds {
        let closest = pairs.iter().min_by(|p, q| p.lead().total_cmp(&q.lead()));
        parts.extend(closest.map(|p| format!("Closest: {}", p.text())));
    }
    if pairs.iter().any(|p| p.a.1.seeds < 2 || p.b.1.seeds < 2) {
        parts.push("One seed: no interval, means compared".to_string());
    }
    let compared =
        |agent: &str| pairs.iter().any(|p| p.a.0.contains(&code(agent)) || p.b.0.contains(&code(agent)));
    let missing: Vec<String> = wanted.iter().filter(|a| !compared(a)).map(|a| code(a)).collect();
    let verdict = in_part(verdict, &missing);
    parts.extend(not_compared(&missing));
    Judgement::new(verdict, parts.join(". "))
}

/// What follows from `links`, each "a is above b", strictly or not: "a ≥ b" and "b > c" say "a > c" too. A wide
/// interval in the middle of a chain does not hide that its ends stand the other way round.
pub(crate) fn implied<T: Copy + PartialEq>(links: &[(T, T, bool)]) -> Vec<(T, T, bool)> {
    let mut all = links.to_vec();
    let mut i = 0;
    while i < all.len() {
        let (a, b, strict) = all[i];
        for &(c, d, also) in links {
            let known = |l: &(T, T, bool)| l.0 == a && l.1 == d;
            if c == b && a != d && !all.iter().any(known) {
                all.push((a, d, strict || also));
            }
        }
        i += 1;
    }
    all
}

/// Whether a quantity falls along its (name, value): level is allowed between any two, but for the first and the last.
/// `unit` stands behind the values, with what separates it from them.
pub(crate) fn falling(known: &[(String, Estimate)], unit: &str) -> Vec<Pair> {
    let steps: Vec<(usize, usize, bool)> = (1..known.len()).map(|i| (i - 1, i, false)).collect();
    let ends = |from: usize, to: usize| from == 0 && to + 1 == known.len();
    let pair = |(from, to, _): (usize, usize, bool)| Pair {
        a: known[from].clone(),
        b: known[to].clone(),
        place: unit.to_string(),
        strict: ends(from, to),
    };
    implied(&steps).into_iter().map(pair).collect()
}

/// Whether a value lies in `lo..=hi`, with the whole of its interval.
pub(crate) fn within(e: &Estimate, lo: f64, hi: f64) -> Verdict {
    let (from, to) = e.ends();
    if from >= lo && to <= hi {
        Verdict::Holds
    } else if to < lo || from > hi {
        Verdict::Fails
    } else {
        Verdict::Open
    }
}

/// The verdict on several parts of one claim: it fails with one of them.
pub(crate) fn all_of(verdicts: &[Verdict]) -> Verdict {
    let any = |v: Verdict| verdicts.contains(&v);
    if any(Verdict::Fails) {
        Verdict::Fails
    } else if any(Verdict::Open) {
        Verdict::Open
    } else if !any(Verdict::Holds) {
        Verdict::NoData
    } else if any(Verdict::NoData) {
        Verdict::HoldsInPart
    } else {
        Verdict::Holds
    }
}

/// How many claims hold, as sentences; `about` says of what they are, `basis` what each verdict rests on.
pub(crate) fn tally(
    judgements: &[Judgement],
    about: &str,
    basis: impl Iterator<Item = &'static str>,
) -> String {
    let count = |v: Verdict| judgements.iter().filter(|j| j.verdict == v).count();
    let ill = match count(Verdict::LeftTrustRegion) {
        0 => String::new(),
        n => format!(" {n} {} not judged, since a training left its trust region.", are(n)),
    };
    let smoke = match count(Verdict::Smoke) {
        0 => String::new(),
        n => format!(" {n} {} not judged (smoke): the run is too small.", are(n)),
    };
    let mut on: Vec<(&str, usize)> = Vec::new();
    for (basis, _) in basis.zip(judgements).filter(|(_, j)| j.verdict == Verdict::Holds) {
        match on.iter_mut().find(|(known, _)| *known == basis) {
            Some((_, n)) => *n += 1,
            None => on.push((basis, 1)),
        }
    }
    let on: Vec<String> = on.iter().map(|(basis, n)| format!("{n} {basis}")).collect();
    let on = if on.is_empty() { String::new() } else { format!(" Of those that hold, {}.", listed(&on)) };
    format!(
        "Of {} claims of the paper {about}, {}.{ill}{smoke}{on}",
        judgements.len(),
        listed(&counts(judgements))
    )
}

/// How many claims hold, do not, and so on, but for those that are not judged for what the run is; none is told where
/// there is none.
fn counts(judgements: &[Judgement]) -> Vec<String> {
    // In the singular and in the plural.
    let told = [
        (Verdict::Holds, ["holds in this run", "hold in this run"]),
        (
            Verdict::HoldsInPart,
            ["holds for those agents that can be compared", "hold for those agents that can be compared"],
        ),
        (Verdict::Fails, ["does not hold", "do not hold"]),
        (Verdict::Open, ["stays open because intervals overlap", "stay open because intervals overlap"]),
        (Verdict::NoData, ["cannot be judged from its rows", "cannot be judged from its rows"]),
    ];
    let count = |v: Verdict| judgements.iter().filter(|j| j.verdict == v).count();
    // That none holds is worth a word.
    let all = told.iter().filter(|(v, _)| *v == Verdict::Holds || count(*v) > 0);
    let number = |n: usize| if n == 0 { "none".to_string() } else { n.to_string() };
    all.map(|(v, words)| format!("{} {}", number(count(*v)), words[usize::from(count(*v) != 1)])).collect()
}

/// The claims as one of the large numbers of a page.
pub(crate) fn claims_number(judgements: &[Judgement]) -> Number {
    let count = |v: Verdict| judgements.iter().filter(|j| j.verdict == v).count();
    let told = [
        (Verdict::HoldsInPart, ["holds in part", "hold in part"]),
        (Verdict::Fails, ["does not", "do not"]),
        (Verdict::Open, ["stays open", "stay open"]),
        (Verdict::NoData, ["lacks rows", "lack rows"]),
        (
            Verdict::LeftTrustRegion,
            [
                "is not judged: a training left its trust region",
                "are not judged: a training left its trust region",
            ],
        ),
        (Verdict::Smoke, ["is not judged (smoke)", "are not judged (smoke)"]),
    ];
    let told = told.iter().filter(|(v, _)| count(*v) > 0);
    let told = told.map(|(v, words)| format!("{} {}", count(*v), words[usize::from(count(*v) != 1)]));
    let told: Vec<String> = told.collect();
    let rest = if told.is_empty() { String::new() } else { format!("; {}", listed(&told)) };
    Number::new(
        format!("{} of {}", count(Verdict::Holds), judgements.len()),
        format!("claims of the paper hold in this run{rest}"),
    )
}

/// Why the verdicts of a page on what was measured are not there, as a sentence; empty where they are.
pub(crate) fn smoke_words(why: Option<&str>) -> String {
    why.map_or(String::new(), |why| {
        format!(
            "A smoke run ({why}): it shows that everything runs, and judges nothing that was measured.\n\n"
        )
    })
}

/// The judgements of all claims by policies that decide in another way than the page's.
pub(crate) struct OtherMode<'a> {
    pub(crate) mode: &'a str,
    pub(crate) judgements: &'a [Judgement],
}

/// The table of claims, a line each: (figure, claim, what its verdict rests on) in the order of `judgements`. Behind
/// the value that decided, all numbers are folded away.
pub(crate) fn claims_table<'a>(
    claims: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
    judgements: &[Judgement],
    other: Option<&OtherMode>,
) -> String {
    let mut place = 0..;
    let rows = rows_of(claims.zip(judgements), |((figure, text, basis), j)| {
        let i = place.next().unwrap_or_default();
        let mut cells = [figure, text, j.verdict.text()].map(String::from).to_vec();
        cells.extend(other.as_ref().map(|o| o.judgements[i].verdict.text().to_string()));
        let all = format!("Rests on: {basis}. {}", j.evidence);
        cells.push(fold_in_cell(&j.deciding, &all));
        cells
    });
    match &other {
        Some(o) => table(&format!("figure | claim | here | {} | our value", o.mode), 5, &rows),
        None => table("figure | claim | here | our value", 4, &rows),
    }
}

/// How many claims hold in the other mode, and which verdicts are others there.
pub(crate) fn other_mode_sentence<'a>(
    claims: impl Iterator<Item = &'a str>,
    judgements: &[Judgement],
    other: &OtherMode,
) -> String {
    let holds = other.judgements.iter().filter(|j| j.verdict == Verdict::Holds).count();
    let changed: Vec<String> = claims
        .zip(judgements.iter().zip(other.judgements))
        .filter(|(_, (own, other))| own.verdict != other.verdict)
        .map(|(text, (_, other))| format!("\"{text}\" ({})", other.verdict.text().replace("**", "")))
        .collect();
    let changed = match changed.is_empty() {
        true => "every verdict is the same".to_string(),
        false => format!("other verdicts: {}", changed.join("; ")),
    };
    format!("With actions `{}`, {holds} of them hold; {changed}.", other.mode)
}

/// What the page's numbers are of, where policies can decide in two ways and `other` is not the page's.
pub(crate) fn mode_words(other: &str) -> String {
    let [mean, sampled] = ["take the mean action, or what is more probable", "draw their actions"];
    let (own, there) = if other == MEAN_ACTION { (sampled, mean) } else { (mean, sampled) };
    format!(
        "Stochastic policies {own}, on the whole page and in its figures, but where `{other}` is said: there the same weights {there}. \
         All other agents have one way to decide."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::stats::Interval;

    fn between(lo: f64, hi: f64) -> Estimate {
        Estimate { mean: (lo + hi) / 2.0, interval: Some(Interval { lo, hi }), seeds: 5 }
    }

    fn named(name: &str, lo: f64, hi: f64) -> (String, Estimate) {
        (name.to_string(), between(lo, hi))
    }

    #[test]
    fn a_chain_says_something_of_any_two_of_its_links() {
        let chain = implied(&[("a", "b", false), ("b", "c", true), ("b", "d", true)]);
        for link in [("a", "b", false), ("b", "c", true), ("a", "c", true), ("a", "d", true)] {
            assert!(chain.contains(&link), "{link:?} in {chain:?}");
        }
        assert_eq!(chain.len(), 5);
        assert_eq!(implied::<u8>(&[]), []);
        // Weak links only say that level is allowed.
        assert!(implied(&[(0, 1, false), (1, 2, false)]).contains(&(0, 2, false)));
    }

    /// The middle overlaps both of its neighbours, whose order is the wrong one.
    #[test]
    fn a_wide_middle_hides_no_refutation() {
        let rising = [named("a", 1.0, 2.0), named("b", 0.0, 9.0), named("c", 3.0, 4.0), named("d", 0.0, 9.0)];
        let judged = judge(&falling(&rising, " J"), &[]);
        assert_eq!(judged.verdict, Verdict::Fails);
        assert_eq!(judged.deciding, "a 1.500 against c 3.500 J");
        let falls = [named("a", 8.0, 9.0), named("b", 4.0, 8.5), named("c", 4.0, 5.0), named("d", 1.0, 2.0)];
        assert_eq!(judge(&falling(&falls, ""), &[]).verdict, Verdict::Holds);
        // Level between the ends is no fall.
        let level = [named("a", 1.0, 3.0), named("b", 1.0, 3.0), named("c", 2.0, 3.0)];
        assert_eq!(judge(&falling(&level, ""), &[]).verdict, Verdict::Open);
    }

    #[test]
    fn what_decided_is_shown_and_not_what_came_first() {
        let check = |lo, hi, name: &str| Check::new(&between(lo, hi), f64::NEG_INFINITY, 1.0, name.into());
        let of = |checks: &[Check]| {
            let j = judge_checks(checks, |all| format!("of {all}"));
            (j.verdict, j.deciding, j.evidence)
        };
        let (verdict, deciding, evidence) = of(&[check(-0.2, 0.0, "first"), check(0.1, 0.5, "nearest")]);
        assert_eq!((verdict, deciding.as_str()), (Verdict::Holds, "nearest"));
        assert_eq!(evidence, "of first; nearest");
        let open = of(&[check(0.1, 0.2, "first"), check(0.9, 1.2, "second")]);
        assert_eq!((open.0, open.1.as_str()), (Verdict::Open, "second"));
        let fails = of(&[check(0.9, 1.2, "first"), check(1.1, 1.2, "second"), check(2.0, 3.0, "worst")]);
        assert_eq!((fails.0, fails.1.as_str()), (Verdict::Fails, "worst"));
    }

    #[test]
    fn one_claim_is_one() {
        let of = |verdicts: &[Verdict]| -> Vec<Judgement> {
            verdicts.iter().map(|v| Judgement::new(*v, "")).collect()
        };
        let one = of(&[Verdict::Holds, Verdict::Fails, Verdict::Open, Verdict::Smoke]);
        assert_eq!(
            claims_number(&one).what,
            "claims of the paper hold in this run; 1 does not, 1 stays open and 1 is not judged (smoke)"
        );
        let two = of(&[Verdict::Fails, Verdict::Fails]);
        assert_eq!(counts(&two), ["none hold in this run", "2 do not hold"]);
        assert_eq!(counts(&one)[..2], ["1 holds in this run", "1 does not hold"]);
    }
}

//! Whether a training stays in its healthy range, from its learning curve alone.
//!
//! A range is that of a column in [`RULES`]; it counts as left when it was so in [`IN_A_ROW`] reads one after the
//! other. A column that an algorithm or a task does not have is never out of its range. Entropy and gradient norms have
//! no range that holds for all agents: the entropy of a density has no zero and grows with the number of actions, and a
//! norm is clipped or goes through Adam, to which its size is nothing.

use super::rows::{ActivityRow, Column, CurveRow, Key, Row, Schema};
use crate::learn::Algorithm;
use crate::learn::off_policy::Method;
use crate::num::stats;
use std::collections::{BTreeMap, BTreeSet};

/// Reads of the metrics behind one another that make a finding.
pub const IN_A_ROW: usize = 5;
/// How far a policy may end below its own best, as a share.
pub const FALL: f64 = 0.03;
/// Quantity of [`ActivityRow`] that counts as a column.
pub const FIRING_RATE: &str = "firing_rate";

/// What to turn when a range is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    PolicyRate,
    CriticRate,
    Gain,
}

/// The healthy range of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub column: &'static str,
    pub low: f64,
    pub high: f64,
    /// Share of the run before which it is not asked for.
    pub from: f64,
    /// Whether steps outside are larger than what they were estimated for holds: nothing is said of an algorithm by
    /// such a run.
    pub trust_region: bool,
    turn: Turn,
}

impl Rule {
    const fn within(column: &'static str, low: f64, high: f64, turn: Turn) -> Rule {
        Rule { column, low, high, from: 0.0, trust_region: false, turn }
    }
}

/// The most of a distance between policies, or of a share, that is healthy.
const fn most(column: &'static str, high: f64, turn: Turn) -> Rule {
    Rule::within(column, f64::NEG_INFINITY, high, turn)
}

/// All ranges. Trainings that end beside the best keep 0.02 to 0.5 nat and clip up to 0.68 of their samples; those that
/// collapse have several nats, and clip 0.7 to 0.96.
pub const RULES: &[Rule] = &[
    Rule { trust_region: true, ..most("approx_kl", 1.0, Turn::PolicyRate) },
    Rule { trust_region: true, ..most("clip_fraction", 0.7, Turn::PolicyRate) },
    // A critic that is worse than a constant after half of the run.
    Rule { from: 0.5, ..Rule::within("explained_variance", 0.0, f64::INFINITY, Turn::CriticRate) },
    most("dead_neurons", 0.5, Turn::PolicyRate),
    most("saturated_neurons", 0.5, Turn::PolicyRate),
    Rule::within(FIRING_RATE, 0.01, 0.95, Turn::Gain),
];

/// Keys that steer how an agent learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    pub policy_rate: &'static str,
    pub critic_rate: &'static str,
    /// Of initial weights that decide how often neurons spike.
    pub gain: &'static str,
}

impl Keys {
    pub fn of(algorithm: &Algorithm) -> Keys {
        let [policy_rate, critic_rate] = match algorithm {
            Algorithm::Ppo(s) if s.spiking.is_some() => ["spiking.lr_actor", "spiking.lr_critic"],
            Algorithm::Ppo(_) => ["ppo.lr_actor", "ppo.lr_critic"],
            Algorithm::OffPolicy(s) => match s.method {
                Method::Ddpg { .. } => ["ddpg.lr_actor", "ddpg.lr_critic"],
                Method::Dqn(..) => ["dqn.lr", "dqn.lr"],
            },
            Algorithm::Apg(s) if s.spiking.is_some() => ["apg.lr_spiking"; 2],
            Algorithm::Apg(_) => ["apg.lr"; 2],
            Algorithm::Experts(_) => ["temporal.lr_policy", "temporal.lr_critic"],
        };
        Keys { policy_rate, critic_rate, gain: "spiking.hidden_gain" }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A range was left in this update; `high`: above it.
    Left { rule: &'static Rule, since: u32, high: bool },
    /// The reward was higher before, in a mean around this update; `scale`: what a fall is judged by.
    BelowPeak { peak: f64, at: u32, scale: f64 },
}

/// Something that is wrong with a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    kind: Kind,
    /// When it became certain, and the value then.
    pub update: u32,
    pub value: f64,
}

impl Finding {
    /// The column of the learning curve that it was found in; findings in one column are one kind.
    pub fn column(&self) -> &'static str {
        match self.kind {
            Kind::Left { rule, .. } => rule.column,
            Kind::BelowPeak { .. } => "reward",
        }
    }

    /// See [`Rule::trust_region`].
    pub fn left_trust_region(&self) -> bool {
        matches!(self.kind, Kind::Left { rule, .. } if rule.trust_region)
    }

    /// In a line, without an end.
    pub fn text(&self) -> String {
        let (value, update) = (short(self.value), self.update);
        match self.kind {
            Kind::Left { rule, since, high } => {
                let (side, limit) = if high { ("above", rule.high) } else { ("below", rule.low) };
                let column = rule.column;
                format!("{column} is {side} {limit} from update {since} to {update}, where it is {value}")
            }
            Kind::BelowPeak { peak, at, scale } => {
                let percent = 100.0 * (peak - self.value) / scale;
                let of = if scale > peak.abs() { " of its range" } else { "" };
                format!(
                    "its reward ends at {value} in update {update}, {percent:.1} %{of} below its own peak of {} near update {at}",
                    short(peak)
                )
            }
        }
    }

    /// [`Finding::text`] with the key to turn.
    pub fn advice(&self, keys: &Keys) -> String {
        let (verb, key) = match self.kind {
            Kind::Left { rule: Rule { turn: Turn::Gain, .. }, high, .. } => {
                (if high { "lower" } else { "raise" }, keys.gain)
            }
            Kind::Left { rule: Rule { turn: Turn::CriticRate, .. }, .. } => ("change", keys.critic_rate),
            _ => ("lower", keys.policy_rate),
        };
        format!("{}; {verb} {key}", self.text())
    }
}

fn short(x: f64) -> String {
    if x != 0.0 && !(0.01..1e4).contains(&x.abs()) { format!("{x:.2e}") } else { format!("{x:.3}") }
}

/// Looks after one run.
pub struct Health {
    columns: Vec<(&'static Rule, Option<Column<CurveRow>>, Streak)>,
    /// Updates of the whole run.
    updates: u32,
    rewards: Vec<(u32, f64)>,
}

/// Reads outside a range behind one another.
#[derive(Clone, Copy, Default)]
struct Streak {
    count: usize,
    since: u32,
    told: bool,
}

impl Health {
    /// Of a run of so many updates, with rows of this task.
    pub fn new(schema: &Schema, updates: u32) -> Health {
        let mut there = CurveRow::columns(schema);
        let column = |rule: &'static Rule| {
            let at = there.iter().position(|c| c.name == rule.column);
            (rule, at.map(|i| there.swap_remove(i)), Streak::default())
        };
        Health { columns: RULES.iter().map(column).collect(), updates, rewards: Vec::new() }
    }

    /// The next read of the metrics, with the firing rates of all layers that spike. Returns what it makes certain:
    /// once for every column.
    pub fn see(&mut self, row: &CurveRow, firing_rates: &[f64]) -> Vec<Finding> {
        self.rewards.extend(row.slots.first().filter(|x| x.is_finite()).map(|x| (row.update, *x)));
        let (mut out, update) = (Vec::new(), row.update);
        for (rule, column, streak) in &mut self.columns {
            let own = column.as_ref().and_then(|c| c.number(row));
            let values = if rule.column == FIRING_RATE { firing_rates } else { own.as_slice() };
            if values.is_empty() || f64::from(update) < rule.from * f64::from(self.updates) {
                continue;
            }
            let Some(value) = values.iter().find(|x| !(rule.low..=rule.high).contains(*x)) else {
                streak.count = 0;
                continue;
            };
            if streak.count == 0 {
                streak.since = update;
            }
            streak.count += 1;
            if streak.count == IN_A_ROW && !std::mem::replace(&mut streak.told, true) {
                let kind = Kind::Left { rule, since: streak.since, high: *value > rule.high };
                out.push(Finding { kind, update, value: *value });
            }
        }
        out
    }

    /// When the run is over: whether its policy ends below its own best, in means over at least ten reads and a
    /// twentieth of the run, by more than [`FALL`] and more than twice the standard error of the difference.
    pub fn end(&self) -> Option<Finding> {
        let span = (self.rewards.len() / 20).max(10);
        if self.rewards.len() < 4 * span {
            return None;
        }
        let means = self.rewards.windows(span).map(|w| {
            let values: Vec<f64> = w.iter().map(|r| r.1).collect();
            (stats::mean(&values), stats::standard_error(&values).unwrap_or(0.0), w[span / 2].0)
        });
        let means: Vec<(f64, f64, u32)> = means.collect();
        let (last, last_error, _) = *means.last()?;
        let (peak, peak_error, at) = *means.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let lowest = means.iter().map(|m| m.0).fold(f64::INFINITY, f64::min);
        // Of a reward that is near 0 at its best, a share of how far it has come.
        let scale = peak.abs().max(peak - lowest);
        let fall = peak - last;
        let found = fall > FALL * scale && fall > 2.0 * last_error.hypot(peak_error);
        let update = self.rewards.last()?.0;
        found.then_some(Finding { kind: Kind::BelowPeak { peak, at, scale }, update, value: last })
    }
}

/// What is wrong with one or more of an agent's trainings.
#[derive(Clone, Debug, PartialEq)]
pub struct Ill {
    pub agent: String,
    /// Trainings that it was found in, and how many the agent has.
    pub count: usize,
    pub of: usize,
    /// The first of them.
    pub run: Key,
    pub finding: Finding,
}

impl Ill {
    /// In a line; `unit` is that of the swept value.
    pub fn text(&self, unit: &str) -> String {
        let Ill { agent, count, of, run, finding } = self;
        let which = match (count, of) {
            (1, 1) => "its training".to_string(),
            _ => format!("{count} of {of} trainings, first"),
        };
        format!("`{agent}`, {which} (seed {} at {} {unit}): {}", run.seed, run.at, finding.text())
    }
}

/// Which trainings of `agents` left their trust region, in sentences; nothing where none did. `unit` is that of the
/// swept value.
pub fn astray(ill: &[Ill], agents: &[&str], unit: &str) -> String {
    let those = ill.iter().filter(|i| i.finding.left_trust_region() && agents.contains(&i.agent.as_str()));
    those.map(|i| i.text(unit)).collect::<Vec<_>>().join(". ")
}

/// What a page says of these trainings, in Markdown; nothing where all were healthy. `unit` is that of the swept value.
pub fn section(ill: &[Ill], unit: &str) -> String {
    if ill.is_empty() {
        return String::new();
    }
    let lines: String = ill.iter().map(|i| format!("- {}\n", i.text(unit))).collect();
    format!(
        "Trainings that were not healthy, and are not to be taken for what the agent can do:\n\n{lines}\n"
    )
}

/// [`findings`] by agent and column.
pub fn by_agent<'a>(
    curves: impl IntoIterator<Item = &'a CurveRow>,
    activity: &'a [ActivityRow],
    schema: &Schema,
) -> Vec<Ill> {
    let curves: Vec<&CurveRow> = curves.into_iter().collect();
    let runs: BTreeSet<Id> = curves.iter().map(|r| id(&r.key)).collect();
    let mut out: Vec<Ill> = Vec::new();
    for (run, finding) in findings(curves.iter().copied(), activity, schema) {
        let same = |i: &&mut Ill| i.agent == run.agent && i.finding.column() == finding.column();
        match out.iter_mut().find(same) {
            Some(ill) => ill.count += 1,
            None => {
                let of = runs.iter().filter(|r| r.0 == run.agent).count();
                out.push(Ill { agent: run.agent.clone(), count: 1, of, run, finding });
            }
        }
    }
    out
}

/// A run's key in an order.
type Id<'a> = (&'a str, &'a [String], u64, u32);

fn id(k: &Key) -> Id<'_> {
    (&k.agent, &k.labels, k.at.to_bits(), k.seed)
}

/// Everything that is wrong with the runs behind these rows, which may come in any order.
pub fn findings<'a>(
    curves: impl IntoIterator<Item = &'a CurveRow>,
    activity: &'a [ActivityRow],
    schema: &Schema,
) -> Vec<(Key, Finding)> {
    let mut runs: BTreeMap<Id, BTreeMap<u32, &CurveRow>> = BTreeMap::new();
    for row in curves {
        runs.entry(id(&row.key)).or_default().insert(row.update, row);
    }
    let mut rates: BTreeMap<(Id, u32), Vec<f64>> = BTreeMap::new();
    for r in activity.iter().filter(|r| r.quantity == FIRING_RATE) {
        if let Some(update) = r.update {
            rates.entry((id(&r.key), update)).or_default().push(r.value);
        }
    }
    let mut out = Vec::new();
    for (run, rows) in runs {
        let Some((last, row)) = rows.last_key_value() else { continue };
        let mut health = Health::new(schema, last + 1);
        let rates = |update: u32| rates.get(&(run, update)).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<Finding> =
            rows.iter().flat_map(|(update, row)| health.see(row, rates(*update))).collect();
        found.extend(health.end());
        out.extend(found.into_iter().map(|f| (row.key.clone(), f)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::rows::Named;
    use crate::run::task::Task;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    const SCHEMA: Schema = Schema {
        task: "toy",
        labels: &[],
        swept: Named::new("height_m", "Height, m."),
        curve: &[Named::new("reward", "Mean reward.")],
        learner: &["approx_kl", "clip_fraction"],
        slots: &[],
    };
    const KEYS: Keys = Keys { policy_rate: "ppo.lr_actor", critic_rate: "ppo.lr_critic", gain: "a.gain" };

    fn row(update: u32, reward: f64, approx_kl: f64, clip_fraction: f64) -> CurveRow {
        let key = Key { agent: "ppo".into(), labels: vec![], at: 1.0, seed: 3 };
        CurveRow { key, update, slots: vec![reward], approx_kl, clip_fraction, ..CurveRow::default() }
    }

    /// Findings of a run with these divergences, update by update.
    fn of_kl(kl: &[f64]) -> Vec<Finding> {
        let rows: Vec<CurveRow> = (0..).zip(kl).map(|(i, kl)| row(i, 1.0, *kl, f64::NAN)).collect();
        findings(rows.iter().rev(), &[], &SCHEMA).into_iter().map(|f| f.1).collect()
    }

    #[test]
    fn a_range_is_left_after_several_reads_in_a_row_and_told_once() {
        assert_eq!(of_kl(&[0.02; 60]), []);
        // Four, one that is healthy, four again.
        assert_eq!(of_kl(&[&[2.0; 4][..], &[0.1], &[2.0; 4]].concat()), []);
        let found =
            of_kl(&[&[0.1; 7][..], &[2.0, 2.0, 2.0, 2.0, 2.5], &[3.0; 9], &[0.1], &[9.0; 9]].concat());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].update, found[0].value, found[0].column()), (11, 2.5, "approx_kl"));
        assert!(found[0].left_trust_region());
        let advice = "approx_kl is above 1 from update 7 to 11, where it is 2.500; lower ppo.lr_actor";
        assert_eq!(found[0].advice(&KEYS), advice);
        // Where there is no number, nothing is broken off and nothing is found.
        assert_eq!(of_kl(&[f64::NAN; 60]), []);
        assert_eq!(of_kl(&[2.0, f64::NAN, 2.0, 2.0, f64::NAN, 2.0, 2.0])[0].update, 6);
        // What is infinite is more than any limit.
        assert_eq!(of_kl(&[f64::INFINITY; 5])[0].value, f64::INFINITY);
    }

    #[test]
    fn columns_of_one_run_are_judged_apart_and_runs_too() {
        let rows: Vec<CurveRow> = (0..30).map(|i| row(i, 1.0, 5.0, 0.8)).collect();
        let mut other = rows.clone();
        other.iter_mut().for_each(|r| (r.key.seed, r.approx_kl, r.clip_fraction) = (4, 0.1, 0.2));
        let found = findings(rows.iter().chain(&other), &[], &SCHEMA);
        let told: Vec<_> = found.iter().map(|(k, f)| (k.seed, f.column(), f.update)).collect();
        assert_eq!(told, [(3, "approx_kl", 4), (3, "clip_fraction", 4)]);
        // By agent: one of two trainings.
        let ill = by_agent(other.iter().chain(&rows), &[], &SCHEMA);
        assert_eq!((ill.len(), ill[0].count, ill[0].of, ill[0].run.seed), (2, 1, 2, 3));
        let text = "`ppo`, 1 of 2 trainings, first (seed 3 at 1 m): approx_kl is above 1 from update 0 to 4, where it is 5.000";
        assert_eq!(ill[0].text("m"), text);
    }

    #[test]
    fn silent_and_saturated_spikes_are_found() {
        let rates = |rate: f64| -> Vec<Finding> {
            let mut health = Health::new(&SCHEMA, 20);
            (0..20).flat_map(|i| health.see(&row(i, 1.0, 0.1, 0.1), &[0.2, rate])).collect()
        };
        assert_eq!(rates(0.3), []);
        let (low, high) = (rates(0.001), rates(0.97));
        assert!(low[0].advice(&KEYS).contains("firing_rate is below 0.01") && low.len() == 1);
        assert!(low[0].advice(&KEYS).ends_with("raise a.gain") && !low[0].left_trust_region());
        assert!(
            high[0].advice(&KEYS).contains("above 0.95") && high[0].advice(&KEYS).ends_with("lower a.gain")
        );
        // The same from rows.
        let key = row(0, 0.0, 0.0, 0.0).key;
        let active = |i: u32, value| ActivityRow {
            key: key.clone(),
            update: Some(i),
            quantity: FIRING_RATE.into(),
            value,
            ..ActivityRow::default()
        };
        let activity: Vec<_> = (0..20).flat_map(|i| [active(i, 0.2), active(i, 0.001)]).collect();
        let rows: Vec<_> = (0..20).map(|i| row(i, 1.0, 0.1, 0.1)).collect();
        let found = findings(&rows, &activity, &SCHEMA);
        assert_eq!((found.len(), found[0].1), (1, low[0]));
    }

    #[test]
    fn a_range_of_the_second_half_is_not_asked_for_before() {
        let rule = RULES.iter().find(|r| r.column == "explained_variance").unwrap();
        assert_eq!((rule.from, rule.low), (0.5, 0.0));
        // The same with a column that is there: only the place of its rule differs.
        let mut health = Health::new(&SCHEMA, 20);
        let late: &'static Rule = Box::leak(Box::new(Rule { from: 0.5, ..RULES[0] }));
        health.columns[0].0 = late;
        let found: Vec<_> = (0..20).flat_map(|i| health.see(&row(i, 1.0, 5.0, 0.1), &[])).collect();
        assert_eq!((found.len(), found[0].update), (1, 14));
    }

    /// A reward that rises to `peak`, and falls to `last` in the second half, with noise of this size.
    fn ending(peak: f64, last: f64, noise: f64, updates: u32) -> Option<Finding> {
        let mut health = Health::new(&SCHEMA, updates);
        for i in 0..updates {
            let t = f64::from(i) / f64::from(updates);
            let reward =
                if t < 0.5 { peak * (0.2 + 1.6 * t) } else { peak + (last - peak) * (2.0 * t - 1.0) };
            let jump = if i % 2 == 0 { noise } else { -noise };
            assert_eq!(health.see(&row(i, reward + jump, 0.1, 0.1), &[]), []);
        }
        health.end()
    }

    #[test]
    fn a_policy_below_its_own_peak_is_found() {
        let found = ending(15.0, 8.0, 0.1, 200).unwrap();
        assert!((found.value - 8.0).abs() < 0.5 && found.update == 199, "{found:?}");
        let advice = found.advice(&KEYS);
        assert!(
            advice.contains("4")
                && advice.contains("% below its own peak of 14")
                && advice.ends_with("lower ppo.lr_actor"),
            "{advice}"
        );
        assert_eq!((found.column(), found.left_trust_region()), ("reward", false));
        // Level, or higher at the end, or less than three percent lower.
        assert_eq!(ending(15.0, 15.0, 0.1, 200), None);
        assert_eq!(ending(15.0, 16.0, 0.1, 200), None);
        assert_eq!(ending(15.0, 14.8, 0.01, 200), None);
        // Within its noise, or too short to have means.
        assert_eq!(ending(15.0, 14.0, 6.0, 200), None);
        assert_eq!(ending(15.0, 8.0, 0.1, 39), None);
        // Costs are negative rewards.
        let costs = |last: f64| {
            let mut health = Health::new(&SCHEMA, 100);
            for i in 0..100 {
                health.see(&row(i, if i < 50 { -40.0 } else { last }, 0.1, 0.1), &[]);
            }
            health.end()
        };
        assert_eq!(costs(-41.0), None);
        assert!(costs(-50.0).unwrap().text().contains("25.0 % below its own peak of -40"));
        // From -10 to about nothing and half the way back.
        let mut health = Health::new(&SCHEMA, 300);
        for i in 0..300 {
            health.see(&row(i, [-10.0, 0.001, -5.0][i as usize / 100], 0.1, 0.1), &[]);
        }
        let text = health.end().unwrap().text();
        assert!(text.contains("50.0 % of its range below its own peak of 1.00e-3"), "{text}");
    }

    #[test]
    fn keys_to_turn_are_keys_of_the_agent() {
        fn check<C: Task>() {
            let config = C::load(None, &[]).unwrap();
            let table = config.table();
            for agent in C::agents().iter().filter(|a| a.is_learned()) {
                let algorithm = config.algorithm(agent, &[]).unwrap();
                let keys = Keys::of(&algorithm);
                let gain = algorithm.spikes().then_some(keys.gain);
                for key in [keys.policy_rate, keys.critic_rate].into_iter().chain(gain) {
                    let (section, name) = key.split_once('.').unwrap();
                    assert!(table[section].get(name).is_some(), "{}: no key {key}", agent.id);
                    assert!(config.reads(agent, key), "{} does not read {key}", agent.id);
                }
            }
        }
        check::<V2xConfig>();
        check::<MisacConfig>();
    }
}

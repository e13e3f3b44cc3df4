//! Layers of a configuration: preset, scale and experiment compiled into the program, then the user's file, then single
//! keys.

use super::{ConfigError, Rule, ranges};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// A task's typed configuration, read from layers of TOML.
pub trait Layered: Serialize + DeserializeOwned {
    /// Configurations by name; the first is the one that holds where none is named. What a learner's section (`[ppo]`,
    /// `[spiking]`, `[ddpg]`, `[dqn]`) leaves out is as in [`LEARNERS`].
    const PRESETS: &'static [(&'static str, &'static str)];
    /// How large a reproduction is: laid between the preset and the user's own keys.
    const SCALES: &'static [(&'static str, &'static str)] = &[];
    /// What a named job lays between scale and the user's own keys; the sizes it has at each scale stand below `scale`.
    const EXPERIMENTS: &'static [(&'static str, &'static str)] = &[];

    /// Keys that configurations of earlier versions lack, with the values of what was done then.
    const BEFORE: &'static str = "";
    /// Sections of [`Layered::BEFORE`] that earlier versions lack as a whole.
    const LATER: &'static [&'static str] = &[];

    /// The range of every number, section by section.
    const RULES: &'static [(&'static str, &'static [Rule])];

    /// What no single key shows and every job needs: lists of one length, a lower end below an upper one.
    fn relations(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// The same of the keys that `agent` learns by. Keys of other agents must not stand in its way, so it is asked
    /// where the agent is named.
    fn relations_for(&self, agent: &str) -> Result<(), ConfigError> {
        let _ = agent;
        Ok(())
    }

    /// Writes out what a user's keys stand for: keys that are short for others, and what follows from one of them where
    /// the user does not say it. `below` are the layers that they lie upon.
    fn written_out(user: &mut toml::Table, below: &toml::Table) {
        let _ = (user, below);
    }

    /// The first key that is out of range, if there is one.
    fn validate(&self) -> Result<(), ConfigError> {
        ranges::check(&self.table(), Self::RULES)?;
        self.relations()
    }

    /// The keys and values. This, [`Layered::typed`] and [`Layered::to_toml`] are of the type itself
    /// (`through_serde!`): what serde makes of a configuration is large, and whoever names a method of a trait's own
    /// compiles it again.
    fn table(&self) -> toml::Table;

    /// What [`Layered::table`] gave, not yet validated.
    fn typed(table: toml::Table) -> Result<Self, toml::de::Error>;

    /// The configuration as TOML, as it is stored in checkpoints and manifests.
    fn to_toml(&self) -> String;

    /// Preset, then file, then `key=value` overrides, then validation. The preset's name comes from the last of these
    /// that sets `preset`.
    fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        let (table, origin) = layers(&Texts::of::<Self>(), None, None, file, sets)?;
        validated(table, &origin)
    }

    /// As [`Layered::load`], with a scale of reproduction and then what the experiment adds to it between preset and
    /// file.
    fn load_experiment(
        experiment: &str,
        scale: &str,
        file: Option<&Path>,
        sets: &[String],
    ) -> Result<Self, ConfigError> {
        let (table, origin) = layers(&Texts::of::<Self>(), None, Some((experiment, scale)), file, sets)?;
        validated(table, &origin)
    }

    /// This configuration with `key=value` overrides.
    fn with(&self, sets: &[String]) -> Result<Self, ConfigError> {
        self.under(None, sets)
    }

    /// This configuration with what a text of `key=value` words sets. `preset=NAME` stands for every key in which that
    /// preset differs from this configuration's own, but for those of jobs (`[train]`, `[evaluate]`, `[reproduce]`).
    fn with_words(&self, text: &str) -> Result<Self, ConfigError> {
        let (presets, sets): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| word.starts_with("preset="));
        let mut table = self.table();
        for word in presets {
            let name = word.trim_start_matches("preset=").trim_matches('"');
            let of = |name: &str| over_learners(parse(named("preset", Self::PRESETS, name)?, name)?);
            let own = table.get("preset").and_then(toml::Value::as_str).unwrap_or_default().to_string();
            let (mut own, mut other) = (of(&own)?, of(name)?);
            for section in OF_JOBS {
                own.remove(section);
                other.remove(section);
            }
            take_differences(&mut table, &own, &other);
        }
        let sets: Vec<String> = sets.into_iter().map(String::from).collect();
        let mut own = toml::Table::new();
        put_all(&mut own, &sets)?;
        Self::written_out(&mut own, &table);
        merge(&mut table, own);
        validated(table, text)
    }

    /// Dotted keys in which `other` differs from this configuration.
    fn different_keys(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        different_keys("", &self.table(), &other.table(), &mut out);
        out
    }

    /// As [`Layered::load`] with this configuration, that of a checkpoint, in the place of a preset. Another `preset`
    /// than its own is an error.
    fn under(&self, file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        let (table, origin) = layers(&Texts::of::<Self>(), Some(self.table()), None, file, sets)?;
        validated(table, &origin)
    }

    /// The first key in which `other` differs from this configuration, with both values; `None` if they are equal.
    fn difference(&self, other: &Self) -> Option<String> {
        first_difference("", &self.table(), &other.table())
    }

    /// The same without these keys and sections, such as `train.updates` or `evaluate`.
    fn difference_but(&self, other: &Self, without: &[&str]) -> Option<String> {
        first_difference("", &self.table_but(without), &other.table_but(without))
    }

    /// [`Layered::table`] without these keys and sections.
    fn table_but(&self, without: &[&str]) -> toml::Table {
        let mut table = self.table();
        for key in without {
            match key.split_once('.') {
                Some((section, key)) => {
                    if let Some(toml::Value::Table(section)) = table.get_mut(section) {
                        section.remove(key);
                    }
                }
                None => drop(table.remove(*key)),
            }
        }
        table
    }

    /// Reads what [`Layered::to_toml`] wrote, in this version or an earlier one.
    fn from_toml(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let mut table = parse(Self::BEFORE, "earlier versions")?;
        let own = parse(text, origin)?;
        table.retain(|section, _| own.contains_key(section) || Self::LATER.contains(&section));
        merge(&mut table, own);
        validated(table, origin)
    }
}

/// Sections that say how large a job is, not what is trained.
const OF_JOBS: [&str; 3] = ["train", "evaluate", "reproduce"];

/// Sets in `table` what `other` has where it differs from `own`.
fn take_differences(table: &mut toml::Table, own: &toml::Table, other: &toml::Table) {
    for (key, value) in other {
        match (table.get_mut(key), own.get(key), value) {
            (Some(toml::Value::Table(t)), Some(toml::Value::Table(own)), toml::Value::Table(other)) => {
                take_differences(t, own, other);
            }
            (_, own, _) if own == Some(value) => {}
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

/// The dotted keys below `prefix` in which two tables differ.
fn different_keys(prefix: &str, a: &toml::Table, b: &toml::Table, out: &mut Vec<String>) {
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    for key in keys {
        match (a.get(key), b.get(key)) {
            (Some(toml::Value::Table(a)), Some(toml::Value::Table(b))) => {
                different_keys(&format!("{prefix}{key}."), a, b, out);
            }
            (a, b) if a == b => {}
            _ => out.push(format!("{prefix}{key}")),
        }
    }
}

/// [`Layered`]'s conversions, in an implementation of it.
#[macro_export]
macro_rules! through_serde {
    () => {
        fn table(&self) -> $crate::config::toml::Table {
            $crate::config::toml::Table::try_from(self)
                .expect("a configuration is always representable as TOML")
        }

        fn typed(table: $crate::config::toml::Table) -> Result<Self, $crate::config::toml::de::Error> {
            table.try_into()
        }

        fn to_toml(&self) -> String {
            $crate::config::toml::to_string(self).expect("a configuration is always representable as TOML")
        }
    };
}

fn validated<C: Layered>(table: toml::Table, origin: &str) -> Result<C, ConfigError> {
    // Before types: −1 for a count is out of a range, not "invalid type".
    ranges::check(&table, C::RULES)?;
    let known = table.clone();
    let config = C::typed(table).map_err(|e| ConfigError::Parse(origin.into(), explained::<C>(&e, known)))?;
    config.relations()?;
    Ok(config)
}

/// What is wrong with a table of the right shape: of a key that there is not, which one may have been meant; of a word
/// in another type, the words.
fn explained<C: Layered>(e: &toml::de::Error, mut table: toml::Table) -> String {
    let said = one_line(e, "");
    let (section, message) = said.split_once(": ").filter(|s| !s.0.contains(' ')).unwrap_or(("", &said));
    if let Some(name) = message.strip_prefix("unknown field `").and_then(|m| m.split('`').next()) {
        let key = if section.is_empty() { name.to_string() } else { format!("{section}.{name}") };
        let mut all = Vec::new();
        leaf_keys("", &table, &mut all);
        let below = |other: &String| *other == key || other.starts_with(&format!("{key}."));
        all.retain(|other| !below(other));
        return match nearest(&key, &all) {
            Some(near) => format!("unknown key '{key}'; did you mean '{near}'?"),
            None => {
                let list = message.split_once("expected ").map_or("", |m| m.1).trim_start_matches("one of ");
                format!("unknown key '{key}'; there are: {}", list.replace('`', ""))
            }
        };
    }
    // A number where a word belongs is told as a "unit variant"; a wrong word, with all words.
    if message.contains("unit variant")
        && let Some(found) = value_mut(&mut table, section)
    {
        let wrong = std::mem::replace(found, toml::Value::String(String::new()));
        if let Err(e) = C::typed(table) {
            let words = one_line(&e, "");
            if let Some((_, words)) = words.split_once("expected ") {
                return format!("{section}: {wrong} is no word, expected {words}");
            }
        }
    }
    said
}

/// Dotted keys of all values that are no tables, and of all tables.
fn leaf_keys(prefix: &str, table: &toml::Table, out: &mut Vec<String>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        if let toml::Value::Table(inner) = value {
            leaf_keys(&format!("{key}."), inner, out);
        }
        out.push(key);
    }
}

fn value_mut<'a>(table: &'a mut toml::Table, key: &str) -> Option<&'a mut toml::Value> {
    match key.split_once('.') {
        None => table.get_mut(key),
        Some((head, rest)) => value_mut(table.get_mut(head)?.as_table_mut()?, rest),
    }
}

/// How like two names must be for one to be taken for the other.
const LIKE: f64 = 0.84;

/// The key that somebody may have meant who wrote `key`: the name in its section that is spelled most like it, else one
/// elsewhere.
fn nearest<'a>(key: &str, all: &'a [String]) -> Option<&'a str> {
    fn split(key: &str) -> (&str, &str) {
        key.rsplit_once('.').unwrap_or(("", key))
    }
    let (section, name) = split(key);
    let best = |here: bool| {
        let keys = all.iter().filter(|k| (split(k).0 == section) == here);
        let like = keys.map(|k| (strsim::jaro_winkler(name, split(k).1), k.as_str()));
        like.filter(|(x, _)| *x >= LIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
    };
    best(true).or_else(|| best(false))
}

/// Whether the user's file or keys set this dotted key, however it is spelled (`task.x=1`, `task={x=1}`).
///
/// # Errors
/// As [`Layered::load`] of a file or a key that cannot be read.
pub fn user_sets(file: Option<&Path>, sets: &[String], key: &str) -> Result<bool, ConfigError> {
    let (table, _) = user_layers(file, sets)?;
    let mut at = Some(&toml::Value::Table(table));
    for part in key.split('.') {
        at = at.and_then(|v| v.get(part));
    }
    Ok(at.is_some())
}

/// Names with their TOML.
type Named = &'static [(&'static str, &'static str)];

/// The layers that a task has.
struct Texts {
    presets: Named,
    scales: Named,
    experiments: Named,
    written_out: fn(&mut toml::Table, &toml::Table),
}

impl Texts {
    fn of<C: Layered>() -> Texts {
        Texts {
            presets: C::PRESETS,
            scales: C::SCALES,
            experiments: C::EXPERIMENTS,
            written_out: C::written_out,
        }
    }
}

fn no_such(what: &'static str, all: Named, name: String) -> ConfigError {
    ConfigError::NoSuch { what, name, known: all.iter().map(|x| x.0).collect::<Vec<_>>().join(", ") }
}

fn named(what: &'static str, all: Named, name: &str) -> Result<&'static str, ConfigError> {
    let found = all.iter().find(|x| x.0 == name);
    found.map(|x| x.1).ok_or_else(|| no_such(what, all, name.into()))
}

/// Settings of every learner that a preset's sections lie upon.
pub const LEARNERS: &str = include_str!("../../configs/learners.toml");

/// A preset with what its learners' sections leave out; one that has no section of a learner gets none.
fn over_learners(preset: toml::Table) -> Result<toml::Table, ConfigError> {
    let mut table = parse(LEARNERS, "learners")?;
    table.retain(|section, _| preset.contains_key(section));
    merge(&mut table, preset);
    Ok(table)
}

/// The user's file and keys on each other, and where they came from.
fn user_layers(file: Option<&Path>, sets: &[String]) -> Result<(toml::Table, String), ConfigError> {
    let mut user = toml::Table::new();
    let mut origin = "config".to_string();
    if let Some(path) = file {
        origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(origin.clone(), e))?;
        user = parse(&text, &origin)?;
    }
    put_all(&mut user, sets)?;
    // With both, an error names the file and the key; with --set alone, the key came from there.
    match (file.is_some(), sets.is_empty()) {
        (true, false) => origin += " with --set",
        (false, false) => origin = "--set".into(),
        _ => {}
    }
    Ok((user, origin))
}

/// All layers on each other, and where the topmost ones came from. Without `stored`, a checkpoint's configuration, the
/// lowest is a preset; a job is an experiment with its scale.
fn layers(
    texts: &Texts,
    stored: Option<toml::Table>,
    job: Option<(&str, &str)>,
    file: Option<&Path>,
    sets: &[String],
) -> Result<(toml::Table, String), ConfigError> {
    let (mut user, origin) = user_layers(file, sets)?;
    let mut job = match job {
        None => None,
        Some((experiment, scale)) => {
            let own = parse(named("experiment", texts.experiments, experiment)?, experiment)?;
            Some((own, scale))
        }
    };
    // An experiment may start from another preset than the first one.
    let usual = job.as_mut().and_then(|(own, _)| own.remove("preset"));
    let mut table = match stored {
        None => {
            let preset = match user.get("preset").or(usual.as_ref()) {
                Some(toml::Value::String(s)) => s.as_str(),
                None => texts.presets.first().map_or("", |p| p.0),
                Some(other) => return Err(no_such("preset", texts.presets, other.to_string())),
            };
            over_learners(parse(named("preset", texts.presets, preset)?, preset)?)?
        }
        Some(table) => {
            let own = table.get("preset");
            if let Some(other) = user.get("preset").filter(|p| Some(*p) != own) {
                let own = own.map_or("none".to_string(), |p| p.to_string());
                let what =
                    format!("{other} beside a checkpoint, whose configuration started from {own}: drop it");
                return Err(ConfigError::value("preset", what));
            }
            table
        }
    };
    if let Some((mut own, scale)) = job {
        merge(&mut table, parse(named("scale", texts.scales, scale)?, scale)?);
        let mut sizes = own.remove("scale");
        merge(&mut table, own);
        let sizes = sizes.as_mut().and_then(toml::Value::as_table_mut).and_then(|s| s.remove(scale));
        if let Some(toml::Value::Table(sizes)) = sizes {
            merge(&mut table, sizes);
        }
    }
    // What jobs of some names vary.
    for section in ["experiment", "readings"] {
        if !user.contains_key(section) || table.contains_key(section) {
            continue;
        }
        let mut own = Vec::new();
        for (name, text) in texts.experiments {
            if parse(text, name)?.contains_key(section) {
                own.push(*name);
            }
        }
        return Err(ConfigError::value(
            section,
            match own[..] {
                [] => "is for experiments, and this task has none that varies anything".to_string(),
                _ => format!("is for experiments that have it only: {}", own.join(", ")),
            },
        ));
    }
    // Of another task, every key would be wrong: the name says it better.
    let task = |t: &toml::Table| t.get("task").and_then(|t| t.get("name")).cloned();
    if let (Some(own), Some(other)) = (task(&table), task(&user))
        && own != other
    {
        return Err(ConfigError::value("task.name", format!("{other} is not {own}, the task at hand")));
    }
    (texts.written_out)(&mut user, &table);
    merge(&mut table, user);
    Ok((table, origin))
}

/// A TOML error in one line: where, what, and the key it was found in, without the excerpt of the file.
pub(crate) fn one_line(e: &toml::de::Error, text: &str) -> String {
    let message = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(span) = e.span().filter(|_| !text.is_empty()) {
        let line = 1 + text.bytes().take(span.start).filter(|b| *b == b'\n').count();
        return format!("line {line}: {message}");
    }
    // The excerpt is missing where a table is read instead of a text; what is left is the key.
    match e.to_string().lines().find_map(|l| l.strip_prefix("in `")?.strip_suffix('`').map(str::to_string)) {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}

fn parse(text: &str, origin: &str) -> Result<toml::Table, ConfigError> {
    text.parse().map_err(|e| ConfigError::Parse(origin.into(), one_line(&e, text)))
}

/// The first key below `prefix` in which two tables differ, with both values.
pub(crate) fn first_difference(prefix: &str, a: &toml::Table, b: &toml::Table) -> Option<String> {
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    keys.into_iter().find_map(|k| match (a.get(k), b.get(k)) {
        (Some(toml::Value::Table(x)), Some(toml::Value::Table(y))) => {
            first_difference(&format!("{prefix}{k}."), x, y)
        }
        (x, y) if x == y => None,
        (x, y) => {
            let show = |v: Option<&toml::Value>| v.map_or("nothing".to_string(), |v| v.to_string());
            Some(format!("{prefix}{k} is {} there and {} here", show(x), show(y)))
        }
    })
}

fn put_all(table: &mut toml::Table, sets: &[String]) -> Result<(), ConfigError> {
    for set in sets {
        let (key, value) = set.split_once('=').ok_or_else(|| ConfigError::Set(set.clone()))?;
        put(table, key.trim(), value.trim()).ok_or_else(|| ConfigError::Set(set.clone()))?;
    }
    Ok(())
}

/// Sets a dotted key; the value is read as TOML, or taken as a string if it is none. A table joins what stands there,
/// as a file's section does.
fn put(table: &mut toml::Table, key: &str, value: &str) -> Option<()> {
    let parts: Vec<&str> = key.split('.').collect();
    if parts.iter().any(|p| p.is_empty()) {
        return None;
    }
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().filter(|t| t.len() == 1);
    let mut value =
        parsed.and_then(|mut t| t.remove("v")).unwrap_or_else(|| toml::Value::String(value.into()));
    for part in parts.into_iter().rev() {
        value = toml::Value::Table([(part.to_string(), value)].into_iter().collect());
    }
    let toml::Value::Table(layer) = value else { unreachable!("a dotted key has a part") };
    merge(table, layer);
    Some(())
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(b)), toml::Value::Table(o)) => merge(b, o),
            // A whole number where the preset has a decimal one is meant as such.
            (Some(b @ toml::Value::Float(_)), toml::Value::Integer(i)) => *b = toml::Value::Float(i as f64),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::misac::config::MisacConfig;
    use crate::tasks::v2x::config::V2xConfig;

    fn said<C: Layered + std::fmt::Debug>(set: &str) -> String {
        C::load(None, &[set.into()]).expect_err(set).to_string()
    }

    #[test]
    fn an_unknown_key_names_the_one_that_was_meant() {
        for (set, near) in [
            ("task.p_max=3", "task.p_max_dbm"),
            ("p_max_dbm=3", "task.p_max_dbm"),
            ("task.antenas_tx=8", "task.antennas_tx"),
            ("taks.slots=3", "task"),
            ("task.clip=0.1", "ppo.clip"),
            ("train.seed=[1]", "train.seeds"),
        ] {
            let key = set.split('=').next().unwrap_or_default();
            let key = if near == "task" { "taks" } else { key };
            assert_eq!(said::<V2xConfig>(set), format!("--set: unknown key '{key}'; did you mean '{near}'?"));
        }
        let text = said::<MisacConfig>("task.zzz=1");
        assert!(
            text.starts_with("--set: unknown key 'task.zzz'; there are: name, vehicles, antennas"),
            "{text}"
        );
    }

    #[test]
    fn a_word_in_another_type_is_told_with_all_words() {
        for (set, text) in [
            (
                "task.beam=3",
                "task.beam: 3 is no word, expected one of `angles`, `tracking`, `matrix`, `direct`, `zf`",
            ),
            ("task.kinematics=true", "task.kinematics: true is no word, expected `paper` or `cartesian`"),
        ] {
            assert_eq!(said::<V2xConfig>(set), format!("--set: {text}"));
        }
    }
}

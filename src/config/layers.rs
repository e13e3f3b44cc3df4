//! Layers of a configuration: preset, scale and experiment compiled into the program, then the user's file, then single keys.

use super::ConfigError;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// A task's typed configuration, read from layers of TOML.
pub trait Layered: Serialize + DeserializeOwned {
    /// Whole configurations by name; `fast` is the one that holds where none is named.
    const PRESETS: &'static [(&'static str, &'static str)];
    /// How large a reproduction is: laid between the preset and the user's own keys.
    const SCALES: &'static [(&'static str, &'static str)];
    /// What a named job lays between scale and the user's own keys; the sizes it has at each scale stand below `scale`.
    const EXPERIMENTS: &'static [(&'static str, &'static str)];

    /// The first key that is out of range, if there is one.
    fn validate(&self) -> Result<(), ConfigError>;

    /// The keys and values. This, [`Layered::typed`] and [`Layered::to_toml`] are of the type itself (`through_serde!`): what serde makes of a
    /// configuration is large, and whoever names a method of a trait's own compiles it again.
    fn table(&self) -> toml::Table;

    /// What [`Layered::table`] gave, not yet validated.
    fn typed(table: toml::Table) -> Result<Self, toml::de::Error>;

    /// The configuration as TOML, as it is stored in checkpoints and manifests.
    fn to_toml(&self) -> String;

    /// Preset, then file, then `key=value` overrides, then validation. The preset's name comes from the last of these that sets `preset`.
    fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        let (table, origin) = layers(Self::PRESETS, None, file, sets)?;
        validated(table, &origin)
    }

    /// As [`Layered::load`], with a scale of reproduction and then what the experiment adds to it between preset and file.
    fn load_experiment(
        experiment: &str,
        scale: &str,
        file: Option<&Path>,
        sets: &[String],
    ) -> Result<Self, ConfigError> {
        let job = Job { experiments: Self::EXPERIMENTS, experiment, scales: Self::SCALES, scale };
        let (table, origin) = layers(Self::PRESETS, Some(job), file, sets)?;
        validated(table, &origin)
    }

    /// This configuration with `key=value` overrides.
    fn with(&self, sets: &[String]) -> Result<Self, ConfigError> {
        let mut table = self.table();
        let mut user = toml::Table::new();
        put_all(&mut user, sets)?;
        merge(&mut table, user);
        validated(table, "--set")
    }

    /// The first key in which `other` differs from this configuration, with both values; `None` if they are equal.
    fn difference(&self, other: &Self) -> Option<String> {
        first_difference("", &self.table(), &other.table())
    }

    /// Reads what [`Layered::to_toml`] wrote.
    fn from_toml(text: &str, origin: &str) -> Result<Self, ConfigError> {
        validated(parse(text, origin)?, origin)
    }
}

/// [`Layered`]'s conversions, in an implementation of it.
macro_rules! through_serde {
    () => {
        fn table(&self) -> toml::Table {
            toml::Table::try_from(self).expect("a configuration is always representable as TOML")
        }

        fn typed(table: toml::Table) -> Result<Self, toml::de::Error> {
            table.try_into()
        }

        fn to_toml(&self) -> String {
            toml::to_string(self).expect("a configuration is always representable as TOML")
        }
    };
}
pub(crate) use through_serde;

fn validated<C: Layered>(table: toml::Table, origin: &str) -> Result<C, ConfigError> {
    let config = C::typed(table).map_err(|e| ConfigError::Parse(origin.into(), one_line(&e, "")))?;
    config.validate()?;
    Ok(config)
}

type Texts = &'static [(&'static str, &'static str)];

struct Job<'a> {
    experiments: Texts,
    experiment: &'a str,
    scales: Texts,
    scale: &'a str,
}

/// All layers on each other, and where the topmost ones came from.
fn layers(
    presets: Texts,
    job: Option<Job>,
    file: Option<&Path>,
    sets: &[String],
) -> Result<(toml::Table, String), ConfigError> {
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
    let preset = match user.get("preset") {
        Some(toml::Value::String(s)) => s.clone(),
        None => "fast".into(),
        Some(other) => return Err(ConfigError::Preset(other.to_string())),
    };
    let of = |list: &[(&str, &'static str)], name: &str| list.iter().find(|p| p.0 == name).map(|p| p.1);
    let text = of(presets, &preset).ok_or_else(|| ConfigError::Preset(preset.clone()))?;
    let mut table = parse(text, &preset)?;
    if let Some(Job { experiments, experiment, scales, scale }) = job {
        let own = of(experiments, experiment).ok_or_else(|| ConfigError::Experiment(experiment.into()))?;
        let text = of(scales, scale).ok_or_else(|| ConfigError::Scale(scale.into()))?;
        merge(&mut table, parse(text, scale)?);
        let mut own = parse(own, experiment)?;
        let mut sizes = own.remove("scale");
        merge(&mut table, own);
        let sizes = sizes.as_mut().and_then(toml::Value::as_table_mut).and_then(|s| s.remove(scale));
        if let Some(toml::Value::Table(sizes)) = sizes {
            merge(&mut table, sizes);
        }
    }
    if user.contains_key("experiment") && !table.contains_key("experiment") {
        let what = "is for the experiments rate-penalty and beams only".into();
        return Err(ConfigError::Value { key: "experiment", what });
    }
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
fn first_difference(prefix: &str, a: &toml::Table, b: &toml::Table) -> Option<String> {
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

/// Sets a dotted key; the value is read as TOML, or taken as a string if it is none.
fn put(table: &mut toml::Table, key: &str, value: &str) -> Option<()> {
    let (head, rest) = match key.split_once('.') {
        Some((h, r)) => (h, Some(r)),
        None => (key, None),
    };
    if head.is_empty() {
        return None;
    }
    if let Some(rest) = rest {
        let child = table.entry(head).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        return put(child.as_table_mut()?, rest, value);
    }
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    table.insert(head.into(), parsed.unwrap_or_else(|| toml::Value::String(value.into())));
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

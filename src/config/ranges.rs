//! What numbers a configuration may hold: one table beside each section's fields, applied to all of them at once.
//!
//! A task of your own declares its sections the same way:
//!
//! ```
//! use isacbench::config::{Rule, ranges};
//!
//! /// Section `[task]`: a position on a line and the widths of a network.
//! const TASK: &[Rule] = &[
//!     Rule::whole("slots", 1.0, 1e5),
//!     Rule::decimal("speed_m_s", 0.0, 100.0),
//!     Rule::decimal("discount", 0.0, 1.0).below(),
//!     Rule::whole("hidden", 1.0, 4096.0).list(1, 8),
//! ];
//! const RULES: &[(&str, &[Rule])] = &[("task", TASK)];
//!
//! let table = |text: &str| text.parse::<toml::Table>().unwrap();
//! let preset = table("[task]\nslots = 100\nspeed_m_s = 3.0\ndiscount = 0.9\nhidden = [64, 64]");
//! assert!(ranges::check(&preset, RULES).is_ok());
//! // For a test of the task: a number that was forgotten.
//! assert!(ranges::without_rule(&preset, RULES).is_empty());
//! assert_eq!(ranges::without_rule(&table("task.mass_kg = 1.0"), RULES), ["task.mass_kg"]);
//!
//! let e = ranges::check(&table("task.speed_m_s = 999.0"), RULES).unwrap_err();
//! assert_eq!(e.to_string(), "config key 'task.speed_m_s': 999.0 must be 0 to 100");
//! ```

use super::ConfigError;
use std::fmt::Write;
use toml::{Table, Value};

/// The values of one key of a section: a number, a list of numbers, or a list of pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    key: &'static str,
    whole: bool,
    low: f64,
    high: f64,
    /// `high` itself is no value.
    below: bool,
    shape: Shape,
    distinct: bool,
}

/// How many numbers a key holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    One,
    /// A list with its least and largest length.
    List(usize, usize),
    /// The same of lists of two numbers.
    Pairs(usize, usize),
}

impl Rule {
    const fn new(key: &'static str, whole: bool, low: f64, high: f64) -> Rule {
        Rule { key, whole, low, high, below: false, shape: Shape::One, distinct: false }
    }

    /// A whole number of `low` to `high`.
    pub const fn whole(key: &'static str, low: f64, high: f64) -> Rule {
        Rule::new(key, true, low, high)
    }

    /// A number of `low` to `high` that is 0 or normal in single precision too: 1e39 would be infinite there and 1e-46
    /// zero.
    pub const fn decimal(key: &'static str, low: f64, high: f64) -> Rule {
        Rule::new(key, false, low, high)
    }

    /// A share: 0 to 1.
    pub const fn share(key: &'static str) -> Rule {
        Rule::decimal(key, 0.0, 1.0)
    }

    /// The upper end itself is no value, nor what single precision rounds to it.
    pub const fn below(self) -> Rule {
        Rule { below: true, ..self }
    }

    /// A list of `least` to `most` such numbers.
    pub const fn list(self, least: usize, most: usize) -> Rule {
        Rule { shape: Shape::List(least, most), ..self }
    }

    /// A list of `least` to `most` pairs of such numbers.
    pub const fn pairs(self, least: usize, most: usize) -> Rule {
        Rule { shape: Shape::Pairs(least, most), ..self }
    }

    /// No number of the list may stand there twice.
    pub const fn distinct(self) -> Rule {
        Rule { distinct: true, ..self }
    }

    /// The key in its section.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// The least and the largest number.
    pub const fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Whether the key holds whole numbers only.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// What one number must be, as messages say it: `-60 to 90`.
    pub fn range(&self) -> String {
        let mut out = String::new();
        if self.whole {
            out += "a whole number, ";
        }
        let (low, high) = (self.shown(self.low), self.shown(self.high));
        let _ = match (self.below, self.low == self.high) {
            (true, _) => write!(out, "at least {low} and below {high}"),
            (false, true) => write!(out, "{low}"),
            (false, false) => write!(out, "{low} to {high}"),
        };
        out
    }

    fn shown(&self, x: f64) -> String {
        if self.whole || x == 0.0 || (1e-3..1e7).contains(&x.abs()) {
            format!("{x}")
        } else {
            format!("{x:e}")
        }
    }

    /// What is wrong with the value of this key, if anything is.
    fn fault(&self, value: &Value) -> Option<String> {
        let Some(list) = value.as_array() else {
            return match self.shape {
                Shape::One => self.number_fault(value),
                Shape::List(..) => {
                    Some(format!("{value} must be a list of numbers, such as [{}]", self.shown(self.low)))
                }
                Shape::Pairs(..) => Some(format!("{value} must be a list of pairs of numbers")),
            };
        };
        let (least, most) = match self.shape {
            Shape::One => return Some(format!("{value} must be one number, {}", self.range())),
            Shape::List(least, most) | Shape::Pairs(least, most) => (least, most),
        };
        if let Shape::Pairs(..) = self.shape {
            if let Some(v) = list.iter().find(|v| v.as_array().is_none_or(|pair| pair.len() != 2)) {
                return Some(format!("{v} must be a pair of numbers"));
            }
            let all = list.iter().filter_map(Value::as_array).flatten();
            if let Some(fault) = all.filter_map(|v| self.number_fault(v)).next() {
                return Some(fault);
            }
        } else if let Some(fault) = list.iter().filter_map(|v| self.number_fault(v)).next() {
            return Some(fault);
        }
        if !(least..=most).contains(&list.len()) {
            let n = list.len();
            return Some(match (least, most) {
                (1, _) if n == 0 => "[] must list at least one value".into(),
                (l, m) if l == m => format!("{value} must list {l} values, not {n}"),
                (l, m) => format!("must list {l} to {m} values, not {n}"),
            });
        }
        if !self.distinct {
            return None;
        }
        // 0 and 0.0 are one number, and so are 0.0 and -0.0.
        let number = |v: &Value| v.as_float().or(v.as_integer().map(|i| i as f64));
        let mut sorted: Vec<f64> = list.iter().filter_map(number).collect();
        sorted.sort_unstable_by(|a, b| a.partial_cmp(b).expect("in range"));
        sorted.windows(2).find(|w| w[0] == w[1]).map(|w| format!("{} is listed twice", w[0]))
    }

    fn number_fault(&self, value: &Value) -> Option<String> {
        // 1e300 and NaN as Rust writes them; TOML's own writing has all zeros.
        let said = value.as_float().map_or_else(|| value.to_string(), |x| format!("{x:?}"));
        let wrong = || Some(format!("{said} must be {}", self.range()));
        let x = match value {
            Value::Integer(i) => *i as f64,
            Value::Float(x) if !self.whole => *x,
            // A number that is no whole one, or too large for TOML and therefore read as text.
            _ => return wrong(),
        };
        let in_range = self.low <= x && x <= self.high;
        // What single precision rounds to the upper end is that end to whoever computes with it.
        let excluded = self.below && (x >= self.high || x as f32 >= self.high as f32);
        if !in_range || excluded {
            return wrong();
        }
        if !self.whole && x != 0.0 && !(x as f32).is_normal() {
            return Some(format!(
                "{said} must be {}, and 0 or at least 1.2e-38 for single precision",
                self.range()
            ));
        }
        None
    }
}

/// The first number of `table` that breaks its rule. What is no number where a number belongs is told too; absent and
/// unknown keys are not.
///
/// # Errors
/// [`ConfigError::Value`] with the dotted key.
pub fn check(table: &Table, sections: &[(&str, &[Rule])]) -> Result<(), ConfigError> {
    for (section, rules) in sections {
        let Some(values) = table.get(*section).and_then(Value::as_table) else { continue };
        for rule in *rules {
            if let Some(what) = values.get(rule.key).and_then(|v| rule.fault(v)) {
                return Err(ConfigError::Value { key: format!("{section}.{}", rule.key), what });
            }
        }
    }
    Ok(())
}

/// Dotted keys of `table` that hold numbers, alone or in lists, and have no rule. A test of every task asks that there
/// are none.
pub fn without_rule(table: &Table, sections: &[(&str, &[Rule])]) -> Vec<String> {
    fn numeric(v: &Value) -> bool {
        match v {
            Value::Integer(_) | Value::Float(_) => true,
            Value::Array(list) => list.iter().any(numeric),
            _ => false,
        }
    }
    fn walk(prefix: &str, table: &Table, known: &dyn Fn(&str) -> bool, out: &mut Vec<String>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(t) => walk(&key, t, known, out),
                v if numeric(v) && !known(&key) => out.push(key),
                _ => {}
            }
        }
    }
    let known = |key: &str| {
        key.split_once('.').is_some_and(|(section, rest)| {
            sections.iter().any(|(s, rules)| *s == section && rules.iter().any(|r| r.key == rest))
        })
    };
    let mut out = Vec::new();
    walk("", table, &known, &mut out);
    out
}

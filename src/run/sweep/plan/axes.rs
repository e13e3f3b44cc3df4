//! Axes of a sweep: leaves of nested tables, values drawn at random, and combinations of all values.

use crate::num::philox::{PhiloxRng, Stream};
use crate::run::sweep::digest;
use rand::Rng;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// How one axis is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::run) enum Draw {
    Uniform([f64; 2]),
    LogUniform([f64; 2]),
    Integer([i64; 2]),
    Choice(Vec<Value>),
}

/// Leaves of nested tables by dotted key, in alphabetical order.
pub(in crate::run) fn leaves(table: &Table, is_leaf: fn(&Table) -> bool) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, table: &Table, is_leaf: fn(&Table) -> bool, out: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(t) if !is_leaf(t) => walk(&key, t, is_leaf, out),
                value => drop(out.insert(key, value.clone())),
            }
        }
    }
    let mut out = BTreeMap::new();
    walk("", table, is_leaf, &mut out);
    out
}

pub(in crate::run) fn is_draw(t: &Table) -> bool {
    t.keys().any(|k| ["uniform", "log_uniform", "integer", "choice"].contains(&k.as_str()))
}

pub(in crate::run) fn draw_of(value: &Value) -> Result<Draw, String> {
    const WANT: &str = "must be one of { uniform = [lo, hi] }, { log_uniform = [lo, hi] }, { integer = [lo, hi] }, { choice = […] }";
    let (Some(t), 1) = (value.as_table(), value.as_table().map_or(0, Table::len)) else {
        return Err(WANT.into());
    };
    let Some((how, Value::Array(list))) = t.iter().next() else { return Err(WANT.into()) };
    let number = |v: &Value| v.as_float().or(v.as_integer().map(|i| i as f64)).filter(|x| x.is_finite());
    let range = |least: f64| match list.iter().map(number).collect::<Option<Vec<_>>>().as_deref() {
        Some(&[lo, hi]) if lo < hi && lo >= least => Ok([lo, hi]),
        _ => Err(format!(
            "{how} must be two numbers, the smaller one first{}",
            if least > 0.0 { ", above 0" } else { "" }
        )),
    };
    match how.as_str() {
        "uniform" => range(f64::MIN).map(Draw::Uniform),
        "log_uniform" => range(f64::MIN_POSITIVE).map(Draw::LogUniform),
        "integer" => match list.iter().map(Value::as_integer).collect::<Option<Vec<_>>>().as_deref() {
            Some(&[lo, hi]) if lo <= hi && hi.checked_sub(lo).is_some_and(|n| n < i64::from(u32::MAX)) => {
                Ok(Draw::Integer([lo, hi]))
            }
            _ => Err("integer must be two whole numbers, the smaller one first".into()),
        },
        "choice" if !list.is_empty() => Ok(Draw::Choice(list.clone())),
        _ => Err(WANT.into()),
    }
}

impl std::fmt::Display for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Draw::Uniform([lo, hi]) => write!(f, "uniform {lo} to {hi}"),
            Draw::LogUniform([lo, hi]) => write!(f, "log_uniform {lo} to {hi}"),
            Draw::Integer([lo, hi]) => write!(f, "integer {lo} to {hi}"),
            Draw::Choice(list) => write!(f, "choice of {}", Value::Array(list.clone())),
        }
    }
}

impl Draw {
    /// The value of the `n`-th point. Depends on the sweep's seed, the key and `n` alone, so that another axis changes
    /// nothing.
    pub(in crate::run) fn value(&self, random_seed: u32, key: &str, n: u32) -> Value {
        let name = u32::from_str_radix(&digest(&[key.as_bytes()])[..8], 16).expect("hexadecimal digits");
        let mut rng = PhiloxRng::new([random_seed, name], Stream::Sweep, n, 0);
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        // Six digits: exp and ln differ in the last bits between machines, and all shards must draw the same points.
        let rounded = |x: f64| Value::Float(format!("{x:.5e}").parse().expect("a number"));
        match self {
            Draw::Uniform([lo, hi]) => rounded((lo + unit * (hi - lo)).clamp(*lo, *hi)),
            Draw::LogUniform([lo, hi]) => rounded((lo.ln() + unit * (hi.ln() - lo.ln())).exp()),
            Draw::Integer([lo, hi]) => Value::Integer((lo + (unit * (hi - lo + 1) as f64) as i64).min(*hi)),
            Draw::Choice(list) => list[((unit * list.len() as f64) as usize).min(list.len() - 1)].clone(),
        }
    }
}

/// Every combination of the axes' values, the last axis fastest.
pub(super) fn combinations<'a>(axes: &'a BTreeMap<String, Vec<Value>>) -> Vec<Vec<(&'a str, Value)>> {
    let mut out: Vec<Vec<(&'a str, Value)>> = vec![Vec::new()];
    for (key, values) in axes {
        let mut longer = Vec::with_capacity(out.len() * values.len());
        for row in &out {
            longer.extend(values.iter().map(|v| [&row[..], &[(key.as_str(), v.clone())]].concat()));
        }
        out = longer;
    }
    out
}

//! Columns, each declared once: field, cells, name in tables and JSON, and the line of the dictionary.
//!
//! [`row!`] makes a struct and its columns from one list. The columns that a task names for itself (labels, what it
//! sweeps, what it measures in every slot) stand in its [`Schema`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A column that a task names: its name, with the unit as a suffix where it has one, and what it holds, in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: &'static str,
    pub about: &'static str,
}

impl Named {
    pub const fn new(name: &'static str, about: &'static str) -> Named {
        Named { name, about }
    }
    /// A column of a metric as [`Physics::METRICS`](crate::env::lanes::Physics::METRICS) has it.
    pub const fn of((name, about): (&'static str, &'static str)) -> Named {
        Named { name, about }
    }
}

/// What the columns of a task's rows are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Task id.
    pub task: &'static str,
    /// What tells the runs of an agent apart: [`Key::labels`], in this order.
    pub labels: &'static [Named],
    /// What the task sweeps: [`Key::at`].
    pub swept: Named,
    /// Means per slot of an update's rollout: [`CurveRow::slots`](super::CurveRow::slots), in this order.
    pub curve: &'static [Named],
    /// The columns of [`CurveRow`](super::CurveRow) behind `slots` that its learners fill.
    pub learner: &'static [&'static str],
    /// Means of one slot of an episode: [`SlotRow::values`](super::SlotRow::values), in this order.
    pub slots: &'static [Named],
}

impl Schema {
    /// Place of a column among `columns`, such as [`Schema::labels`]. For constants, so that a name without a column
    /// does not compile.
    ///
    /// # Panics
    /// Without such a column.
    pub const fn place(columns: &[Named], name: &str) -> usize {
        let mut i = 0;
        while i < columns.len() {
            if same(columns[i].name.as_bytes(), name.as_bytes()) {
                return i;
            }
            i += 1;
        }
        panic!("no such column")
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The text of a variant without fields in data: its serde name, whatever Rust calls it.
///
/// # Panics
/// For anything else.
pub fn text_of<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(text)) => text,
        other => panic!("not a variant without fields: {other:?}"),
    }
}

/// Which run a row belongs to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Agent id, e.g. `ppo`.
    pub agent: String,
    /// What tells the runs of an agent apart, in the order of [`Schema::labels`].
    pub labels: Vec<String>,
    /// The swept value, in the unit of [`Schema::swept`].
    pub at: f64,
    /// Seed of the replica.
    pub seed: u32,
}

/// The cells of a column, one per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    Text(Vec<String>),
    /// NaN where there is no number.
    Real(Vec<f64>),
    Count(Vec<u32>),
    Long(Vec<u64>),
    /// A count that some rows lack.
    Maybe(Vec<Option<u32>>),
}

/// What a cell can hold.
pub trait Cell: Clone + Serialize + DeserializeOwned {
    /// Of a row that says nothing.
    fn blank() -> Self;
    fn pack(cells: Vec<Self>) -> Cells;
    /// `None` for cells of another kind.
    fn unpack(cells: Cells) -> Option<Vec<Self>>;
    /// As JSON; not finite numbers are null.
    fn write<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.serialize(s)
    }
    /// From JSON; a number that is null is NaN.
    fn read<'de, D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::deserialize(d)
    }
}

macro_rules! cell {
    ($($cell:ty: $kind:ident, $blank:expr $(, { $($json:item)* })?;)*) => {$(
        impl Cell for $cell {
            fn blank() -> Self {
                $blank
            }
            fn pack(cells: Vec<Self>) -> Cells {
                Cells::$kind(cells)
            }
            fn unpack(cells: Cells) -> Option<Vec<Self>> {
                match cells {
                    Cells::$kind(cells) => Some(cells),
                    _ => None,
                }
            }
            $($($json)*)?
        }
    )*};
}
cell! {
    String: Text, String::new();
    u32: Count, 0;
    u64: Long, 0;
    Option<u32>: Maybe, None;
    f64: Real, f64::NAN, {
        fn write<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            self.is_finite().then_some(*self).serialize(s)
        }
        fn read<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
            Ok(Option::<f64>::deserialize(d)?.unwrap_or(f64::NAN))
        }
    };
}

/// A cell in JSON.
pub(crate) mod json {
    use super::Cell;
    use serde::{Deserializer, Serializer};

    pub fn serialize<T: Cell, S: Serializer>(x: &T, s: S) -> Result<S::Ok, S::Error> {
        x.write(s)
    }

    pub fn deserialize<'de, T: Cell, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        T::read(d)
    }
}

/// A list of numbers in JSON.
pub(crate) mod json_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &[f64], s: S) -> Result<S::Ok, S::Error> {
        x.iter().map(|x| x.is_finite().then_some(*x)).collect::<Vec<_>>().serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Option<f64>>::deserialize(d)?.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect())
    }
}

type Get<R> = Box<dyn Fn(&[R]) -> Cells>;
type Set<R> = Box<dyn Fn(&mut [R], Cells) -> bool>;

/// A column of the table of rows `R`.
pub struct Column<R> {
    pub name: &'static str,
    /// What it holds, in one line.
    pub about: &'static str,
    /// No cells, of the column's kind.
    pub none: Cells,
    get: Get<R>,
    set: Set<R>,
}

impl<R: 'static> Column<R> {
    pub(super) fn of<T: Cell>(
        name: &'static str,
        about: &'static str,
        get: impl Fn(&R) -> T + 'static,
        set: impl Fn(&mut R, T) + 'static,
    ) -> Column<R> {
        Column {
            name,
            about: about.trim(),
            none: T::pack(Vec::new()),
            get: Box::new(move |rows| T::pack(rows.iter().map(&get).collect())),
            set: Box::new(move |rows, cells| match T::unpack(cells) {
                Some(cells) => {
                    rows.iter_mut().zip(cells).for_each(|(row, cell)| set(row, cell));
                    true
                }
                None => false,
            }),
        }
    }

    /// One of a list of numbers.
    pub(super) fn of_list(
        named: &Named,
        i: usize,
        get: fn(&R) -> &Vec<f64>,
        set: fn(&mut R) -> &mut Vec<f64>,
    ) -> Column<R> {
        let put = move |row: &mut R, x| {
            let list = set(row);
            list.resize(list.len().max(i + 1), f64::NAN);
            list[i] = x;
        };
        Column::of(named.name, named.about, move |row| get(row)[i], put)
    }

    /// The cells of all rows.
    ///
    /// # Panics
    /// If a row has fewer labels or values than its schema.
    pub fn cells(&self, rows: &[R]) -> Cells {
        (self.get)(rows)
    }

    /// The number in a row; `None` of text, and where there is none.
    pub fn number(&self, row: &R) -> Option<f64> {
        let x = match self.cells(std::slice::from_ref(row)) {
            Cells::Real(x) => x[0],
            Cells::Count(x) => f64::from(x[0]),
            Cells::Long(x) => x[0] as f64,
            Cells::Maybe(x) => f64::from(x[0]?),
            Cells::Text(_) => return None,
        };
        (!x.is_nan()).then_some(x)
    }

    /// Sets the cells of all rows; false for cells of another kind.
    #[must_use]
    pub fn set(&self, rows: &mut [R], cells: Cells) -> bool {
        (self.set)(rows, cells)
    }
}

/// Rows that are kept as a table. The default row has no text and no numbers: NaN, and 0 where counts cannot be absent.
pub trait Row: Clone + Default + 'static {
    /// What names its columns: a [`Schema`], or nothing.
    type Schema;
    /// Name in errors.
    const NAME: &'static str;
    /// File of its table.
    const FILE: &'static str;
    /// In the order of the table.
    fn columns(schema: &Self::Schema) -> Vec<Column<Self>>;
    /// Columns that tell one row from another, in the order the table is sorted by.
    fn keys(schema: &Self::Schema) -> Vec<&'static str>;
}

/// The columns of a row's key.
pub(super) fn key_columns<R: 'static>(
    schema: &Schema,
    get: fn(&R) -> &Key,
    set: fn(&mut R) -> &mut Key,
) -> Vec<Column<R>> {
    let mut all =
        vec![Column::of("agent", "Agent id.", move |r| get(r).agent.clone(), move |r, x| set(r).agent = x)];
    for (i, label) in schema.labels.iter().enumerate() {
        let put = move |r: &mut R, x| {
            let labels = &mut set(r).labels;
            labels.resize(labels.len().max(i + 1), String::new());
            labels[i] = x;
        };
        all.push(Column::of(label.name, label.about, move |r| get(r).labels[i].clone(), put));
    }
    let (at, seed) = (schema.swept, "Seed of the replica.");
    all.push(Column::of(at.name, at.about, move |r| get(r).at, move |r, x| set(r).at = x));
    all.push(Column::of("seed", seed, move |r| get(r).seed, move |r, x| set(r).seed = x));
    all
}

/// Declares a row: its doc, name, file, the columns that tell rows apart, and its fields with one line of doc each,
/// which is that of the dictionary. With `keyed`, a row has a [`Key`], whose columns come first. `[list of columns]`
/// stands for a list of numbers, whose columns the schema names; fields behind it are columns where the schema's
/// `learner` names them.
macro_rules! row {
    (keyed $(#[doc = $what:literal])+ $row:ident, $name:literal in $file:literal, by [$($by:ident),*];
        $(#[doc = $about:literal] $field:ident: $cell:ty,)*
        $(
            [#[doc = $list_about:literal] $list:ident of $names:ident]
            $(#[doc = $more_about:literal] $more:ident: $more_cell:ty,)*
        )?
    ) => {
        $(#[doc = $what])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $row {
            /// Which run the row belongs to.
            pub key: $crate::run::rows::Key,
            $(#[doc = $about] #[serde(with = "crate::run::rows::columns::json")] pub $field: $cell,)*
            $(
                #[doc = $list_about] #[serde(with = "crate::run::rows::columns::json_list")] pub $list: Vec<f64>,
                $(#[doc = $more_about] #[serde(with = "crate::run::rows::columns::json")] pub $more: $more_cell,)*
            )?
        }

        impl Default for $row {
            fn default() -> Self {
                use $crate::run::rows::Cell;
                $row {
                    key: Default::default(),
                    $($field: <$cell>::blank(),)*
                    $($list: Vec::new(), $($more: <$more_cell>::blank(),)*)?
                }
            }
        }

        impl $crate::run::rows::Row for $row {
            type Schema = $crate::run::rows::Schema;
            const NAME: &'static str = $name;
            const FILE: &'static str = $file;
            fn columns(schema: &Self::Schema) -> Vec<$crate::run::rows::Column<Self>> {
                use $crate::run::rows::Column;
                let mut all = $crate::run::rows::columns::key_columns(schema, |r: &$row| &r.key, |r| &mut r.key);
                $(all.push(Column::of(stringify!($field), $about, |r: &$row| r.$field.clone(), |r, x| r.$field = x));)*
                $(
                    for (i, named) in schema.$names.iter().enumerate() {
                        all.push(Column::of_list(named, i, |r: &$row| &r.$list, |r| &mut r.$list));
                    }
                    $(if schema.learner.contains(&stringify!($more)) {
                        let set = |r: &mut $row, x| r.$more = x;
                        all.push(Column::of(stringify!($more), $more_about, |r: &$row| r.$more.clone(), set));
                    })*
                )?
                all
            }
            fn keys(schema: &Self::Schema) -> Vec<&'static str> {
                let labels = schema.labels.iter().map(|l| l.name);
                ["agent"].into_iter().chain(labels).chain([schema.swept.name $(, stringify!($by))*]).collect()
            }
        }
    };
    ($(#[doc = $what:literal])+ $row:ident, $name:literal in $file:literal, by [$($by:ident),*];
        $(#[doc = $about:literal] $field:ident: $cell:ty,)*
    ) => {
        $(#[doc = $what])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $row {
            $(#[doc = $about] #[serde(with = "crate::run::rows::columns::json")] pub $field: $cell,)*
        }

        impl Default for $row {
            fn default() -> Self {
                use $crate::run::rows::Cell;
                $row { $($field: <$cell>::blank(),)* }
            }
        }

        impl $crate::run::rows::Row for $row {
            type Schema = ();
            const NAME: &'static str = $name;
            const FILE: &'static str = $file;
            fn columns((): &()) -> Vec<$crate::run::rows::Column<Self>> {
                use $crate::run::rows::Column;
                vec![$(Column::of(stringify!($field), $about, |r: &$row| r.$field.clone(), |r, x| r.$field = x)),*]
            }
            fn keys((): &()) -> Vec<&'static str> {
                vec![$(stringify!($by)),*]
            }
        }
    };
}
pub(crate) use row;

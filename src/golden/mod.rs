//! Golden vectors: results of PyTorch, torchrl, Random123 and others, against our CPU twins (f64 and f32) and the GPU.
//!
//! [`run`] goes through the `*.safetensors` of a folder. What a file tests follows from its stem by a table: [`FILES`]
//! and those of the tasks; the tensors' names are those of `tests/golden/GOLDEN.md`, and all sizes are taken from the
//! tensors. How far a result may be off is what the folder's own tables say of the tensor, else [`DEFAULT_SHARE`]. To
//! add a kernel, write a function over [`Vectors`] and add its line to [`FILES`] or, if it is a task's own, to
//! [`Task::golden`](crate::run::task::Task::golden).

mod files;
mod networks;
mod off_policy;
pub mod opcounts;
mod paced;
mod ppo;
mod random;
mod recurrent;
mod spiking;

pub use files::FILES;

use crate::files::{entries, if_there};
use crate::gpu::{Gpu, GpuError};
use crate::kernels::compare::compare_f64;
use crate::kernels::gae;
use crate::kernels::{Comparison, Tol};
use crate::num::real::Real;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What can be wrong with golden vectors, apart from their numbers.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    #[error("cannot read {path}: {cause}")]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{0} holds no *.safetensors file")]
    Empty(PathBuf),
    #[error("{file} is not a valid safetensors file: {cause}")]
    Corrupt { file: String, cause: SafeTensorError },
    #[error("{0} holds no case that is compared")]
    Nothing(String),
    #[error("{file}: tensor '{tensor}' {problem}")]
    Tensor { file: String, tensor: String, problem: String },
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// Who computed the numbers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The CPU twin in f64.
    CpuF64,
    /// The CPU twin in f32.
    CpuF32,
    /// The shader.
    Gpu,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Backend::CpuF64 => "cpu f64",
            Backend::CpuF32 => "cpu f32",
            Backend::Gpu => "gpu",
        })
    }
}

/// One quantity of one backend.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    pub backend: Backend,
    pub comparison: Comparison,
}

/// What became of one file.
#[derive(Clone, Debug, serde::Serialize)]
pub enum GoldenOutcome {
    Compared(Vec<Row>),
    /// Nothing tests a file of this name.
    Skipped {
        reason: String,
    },
    /// The file cannot be compared: it cannot be read, or lacks what its name promises.
    Failed {
        reason: String,
    },
}

/// One file of the folder.
#[derive(Clone, Debug, serde::Serialize)]
pub struct GoldenResult {
    /// File name without its extension.
    pub file: String,
    pub outcome: GoldenOutcome,
}

impl GoldenResult {
    /// The rows that differ.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        let rows: &[Row] = match &self.outcome {
            GoldenOutcome::Compared(rows) => rows,
            GoldenOutcome::Skipped { .. } | GoldenOutcome::Failed { .. } => &[],
        };
        rows.iter().filter(|r| !r.comparison.passed())
    }
}

/// Runs what one file tests, on the CPU and, where there is one, on the GPU.
pub type Check = fn(&Vectors, Option<&Gpu>) -> Result<Rows, GoldenError>;

/// A file's stem, and what it tests.
pub type File = (&'static str, Check);

/// Compares every `*.safetensors` file of `dir`, in order of name, by these checks. A file that nothing tests is
/// [`GoldenOutcome::Skipped`], one that cannot be compared [`GoldenOutcome::Failed`]: neither keeps the others from
/// being compared. Errors if the folder or its table cannot be read.
pub fn run(dir: &Path, files: &[File], gpu: Option<&Gpu>) -> Result<Vec<GoldenResult>, GoldenError> {
    let mut paths = entries(dir).map_err(reading(dir))?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    if paths.is_empty() {
        return Err(GoldenError::Empty(dir.to_path_buf()));
    }
    let mut table = String::new();
    for path in TABLES.map(|name| dir.join(name)) {
        let text = if_there(std::fs::read_to_string(&path)).map_err(reading(&path))?;
        text.iter().for_each(|text| table.extend(["\n", text]));
    }
    let result = |path: PathBuf| {
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = match files.iter().find(|(stem, _)| *stem == file) {
            Some((_, check)) => match compare_file(&path, &file, &table, *check, gpu) {
                Ok(rows) => GoldenOutcome::Compared(rows),
                Err(e) => GoldenOutcome::Failed { reason: e.to_string() },
            },
            None => GoldenOutcome::Skipped { reason: "nothing here tests a file of this name".into() },
        };
        GoldenResult { file, outcome }
    };
    Ok(paths.into_iter().map(result).collect())
}

fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> GoldenError {
    let path = path.to_path_buf();
    |cause| GoldenError::Read { path, cause }
}

fn compare_file(
    path: &Path,
    stem: &str,
    table: &str,
    check: Check,
    gpu: Option<&Gpu>,
) -> Result<Vec<Row>, GoldenError> {
    let bytes = std::fs::read(path).map_err(reading(path))?;
    let vectors = Vectors::of(path, &bytes, devs(table, stem))?;
    let rows = check(&vectors, gpu)?.rows;
    if rows.is_empty() {
        return Err(GoldenError::Nothing(vectors.file));
    }
    Ok(rows)
}

/// What a folder may have to say of its vectors, the first before the second.
const TABLES: [&str; 2] = ["GOLDEN.md", "README.md"];

/// "f32 dev" by tensor, from the tables under the headings `## STEM.safetensors` whose last column has this name: rows
/// begin with a tensor in backticks, and one without a number is exact. Of equal names the first counts.
fn devs(text: &str, stem: &str) -> BTreeMap<String, f64> {
    let mut devs = BTreeMap::new();
    let of_file = |section: &&str| section.strip_prefix(stem).is_some_and(|s| s.starts_with(".safetensors"));
    let mut inside = false;
    for row in text.split("\n## ").skip(1).filter(of_file).flat_map(str::lines) {
        let cells = row.trim().strip_prefix('|').and_then(|r| r.strip_suffix('|'));
        let Some((first, (_, last))) = cells.and_then(|c| Some((c.split_once('|')?.0, c.rsplit_once('|')?)))
        else {
            inside = false;
            continue;
        };
        let last = last.trim();
        inside |= last == "f32 dev";
        let name = first.trim().strip_prefix('`').and_then(|c| c.strip_suffix('`')).filter(|_| inside);
        let dev = if last.is_empty() { Some(0.0) } else { last.parse().ok() };
        if let (Some(name), Some(dev)) = (name, dev.filter(|d| (0.0..f64::INFINITY).contains(d))) {
            devs.entry(name.to_string()).or_insert(dev);
        }
    }
    devs
}

/// The tensors of one file.
pub struct Vectors<'a> {
    /// "f32 dev" by tensor.
    devs: BTreeMap<String, f64>,
    file: String,
    tensors: SafeTensors<'a>,
}

impl<'a> Vectors<'a> {
    /// The tensors in the bytes of a file, none of them empty.
    fn of(path: &Path, bytes: &'a [u8], devs: BTreeMap<String, f64>) -> Result<Self, GoldenError> {
        let file = path.display().to_string();
        let corrupt = |cause| GoldenError::Corrupt { file: file.clone(), cause };
        let v = Vectors { tensors: SafeTensors::deserialize(bytes).map_err(corrupt)?, devs, file };
        let empty = v.tensors.iter().find(|(_, t)| t.shape().contains(&0));
        let empty = empty.map(|(name, t)| v.problem(name, format!("has shape {:?}: no number", t.shape())));
        empty.map_or(Ok(v), Err)
    }

    /// An error about one tensor of this file.
    pub fn problem(&self, tensor: &str, problem: impl Into<String>) -> GoldenError {
        GoldenError::Tensor { file: self.file.clone(), tensor: tensor.into(), problem: problem.into() }
    }

    /// What stands before `suffix` in the names that end with it, in order; an error if there is none.
    pub fn cases(&self, suffix: &str) -> Result<Vec<String>, GoldenError> {
        let mut cases: Vec<String> = self
            .tensors
            .names()
            .into_iter()
            .filter_map(|n| n.strip_suffix(suffix))
            .map(str::to_string)
            .collect();
        if cases.is_empty() {
            return Err(self.problem(&format!("*{suffix}"), "is missing"));
        }
        cases.sort();
        Ok(cases)
    }

    /// "f32 dev" of a tensor in the folder's table: how far the reference's own run in f32 is off.
    pub fn dev(&self, name: &str) -> Option<f64> {
        self.devs.get(name).copied()
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, GoldenError> {
        self.tensors.tensor(name).map_err(|_| self.problem(name, "is missing"))
    }

    /// The sizes of a tensor.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, GoldenError> {
        Ok(self.tensor(name)?.shape().to_vec())
    }

    /// The sizes of a tensor of N dimensions.
    pub fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N], GoldenError> {
        let shape = self.shape(name)?;
        let wrong = |s| self.problem(name, format!("has shape {s:?}, not {N} dimensions"));
        shape.try_into().map_err(wrong)
    }

    /// The numbers of W bytes of a tensor of this type and, if one is given, this shape.
    fn numbers<T, const W: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        shape: Option<&[usize]>,
        number: fn([u8; W]) -> T,
    ) -> Result<Vec<T>, GoldenError> {
        let t = self.tensor(name)?;
        if t.dtype() != dtype {
            return Err(self.problem(name, format!("has type {:?}, not {dtype:?}", t.dtype())));
        }
        if let Some(shape) = shape.filter(|s| *s != t.shape()) {
            return Err(self.problem(name, format!("has shape {:?}, not {shape:?}", t.shape())));
        }
        Ok(t.data().as_chunks().0.iter().map(|bytes| number(*bytes)).collect())
    }

    /// An f64 tensor of this shape.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, GoldenError> {
        self.numbers(name, Dtype::F64, Some(shape), f64::from_le_bytes)
    }

    /// An f32 tensor of any shape.
    pub fn any_f32(&self, name: &str) -> Result<Vec<f32>, GoldenError> {
        self.numbers(name, Dtype::F32, None, f32::from_le_bytes)
    }

    /// An f32 tensor of so many numbers.
    pub fn f32s(&self, name: &str, len: usize) -> Result<Vec<f32>, GoldenError> {
        let x = self.any_f32(name)?;
        if x.len() != len {
            return Err(self.problem(name, format!("has {} numbers, not {len}", x.len())));
        }
        Ok(x)
    }

    /// `steps`: how often a spiking network steps, from 1 to 1024 times.
    pub fn steps(&self) -> Result<usize, GoldenError> {
        let n = self.i32("steps", &[])?[0];
        let steps = usize::try_from(n).ok().filter(|n| (1..=MOST_STEPS).contains(n));
        steps.ok_or_else(|| self.problem("steps", format!("is {n}, not from 1 to {MOST_STEPS}")))
    }

    /// An f32 tensor of this shape.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, GoldenError> {
        self.numbers(name, Dtype::F32, Some(shape), f32::from_le_bytes)
    }

    /// An i32 tensor of this shape.
    pub fn i32(&self, name: &str, shape: &[usize]) -> Result<Vec<i32>, GoldenError> {
        self.numbers(name, Dtype::I32, Some(shape), i32::from_le_bytes)
    }

    /// An i32 tensor of this shape that holds the bits of u32.
    pub fn u32(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>, GoldenError> {
        Ok(self.i32(name, shape)?.into_iter().map(i32::cast_unsigned).collect())
    }
}

/// How far a result may be off where the folder's table says nothing of the tensor, of its largest number: about ten
/// times what "f32 dev" comes to for the sums of these files. Such a reference may have been made in f32, so it holds
/// for the twin in f64 too.
pub const DEFAULT_SHARE: f64 = 1e-5;

/// Steps of a spiking network that are taken for meant.
const MOST_STEPS: usize = 1024;

/// How many times "f32 dev" (the error of a plain f32 run of the reference) a result in f32 may be off.
pub const DEV_MULTIPLE: f64 = 4.0;

/// The comparisons of one file, as they are made.
#[derive(Default)]
pub struct Rows {
    pub rows: Vec<Row>,
}

impl Rows {
    pub fn push(&mut self, backend: Backend, comparison: Comparison) {
        self.rows.push(Row { backend, comparison });
    }

    /// Compares with the tensor `name`, whatever its shape. In f64 the reference's one rounding to f32 is allowed; in
    /// f32 [`DEV_MULTIPLE`] times its "f32 dev", which counts as `least_dev` at least, and at least 1e-6 of the
    /// tensor's largest number. Of a tensor without an "f32 dev", [`DEFAULT_SHARE`] of its largest number, and at least
    /// 4 times `least_dev`.
    pub fn tensor(
        &mut self,
        v: &Vectors,
        backend: Backend,
        name: &str,
        got: &[f64],
        least_dev: f64,
    ) -> Result<(), GoldenError> {
        let want: Vec<f64> = v.any_f32(name)?.into_iter().map(f64::from).collect();
        let largest = want.iter().fold(0f64, |m, w| m.max(w.abs()));
        let tol = match (v.dev(name), backend) {
            (None, _) => Tol {
                abs: (DEV_MULTIPLE * least_dev).max(DEFAULT_SHARE * largest),
                rel: 0.0,
                why: "the folder's tables have no 'f32 dev' of it: 1e-5 of the largest number",
            },
            (_, Backend::CpuF64) => Tol {
                abs: 1e-13 * largest,
                rel: 6e-8,
                why: "the reference is rounded to f32 once (half an ulp)",
            },
            (Some(dev), _) => Tol {
                abs: (DEV_MULTIPLE * dev.max(least_dev)).max(1e-6 * largest),
                rel: 0.0,
                why: "4 times the error of the reference run in f32, at least 1e-6 of the largest number",
            },
        };
        self.push(backend, compare_f64(name, got, &want, tol));
        Ok(())
    }

    /// The same, where "f32 dev" may be as small as it is.
    pub fn tensor_dev(
        &mut self,
        v: &Vectors,
        backend: Backend,
        name: &str,
        got: &[f64],
    ) -> Result<(), GoldenError> {
        self.tensor(v, backend, name, got, 0.0)
    }
}

/// Numbers as F.
fn real<F: Real>(x: &[f32]) -> Vec<F> {
    x.iter().map(|&x| F::splat(f64::from(x))).collect()
}

/// Numbers as f64.
fn wide<F: Copy + Into<f64>>(x: &[F]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// What all twins here can run in.
pub trait Scalar: Real<Elem = Self, Mask = bool> + PartialOrd + Into<f64> + Send + Sync {}
impl<F: Real<Elem = F, Mask = bool> + PartialOrd + Into<f64> + Send + Sync> Scalar for F {}

/// Something that kernels and their twins both do.
trait Case {
    /// What is compared of it.
    type Out;
    fn twin<F: Scalar>(&self) -> Self::Out;
    fn on_gpu(&self, gpu: &Gpu) -> Result<Self::Out, GoldenError>;

    /// Compares what each backend makes of it.
    fn each(
        &self,
        gpu: Option<&Gpu>,
        mut compare: impl FnMut(Backend, Self::Out) -> Result<(), GoldenError>,
    ) -> Result<(), GoldenError> {
        compare(Backend::CpuF64, self.twin::<f64>())?;
        compare(Backend::CpuF32, self.twin::<f32>())?;
        gpu.map_or(Ok(()), |gpu| compare(Backend::Gpu, self.on_gpu(gpu)?))
    }
}

/// A rollout.
struct Gae {
    spec: gae::Spec,
    x: gae::Inputs,
    /// As in `x`, before they were rounded.
    hyper: [f64; 4],
}

impl Case for Gae {
    /// Advantages and returns.
    type Out = [Vec<f64>; 2];

    fn twin<F: Scalar>(&self) -> [Vec<f64>; 2] {
        let x = &self.x;
        let mut out = [(); 2].map(|()| vec![F::splat(0.0); x.reward.len()]);
        let [adv, ret] = &mut out;
        let [reward, value, final_value] = [&x.reward, &x.value, &x.final_value].map(|x| real::<F>(x));
        let hyper = [self.hyper.map(F::splat)];
        gae::gae_cpu(&self.spec, &reward, &value, &final_value, &x.flags, &hyper, adv, ret);
        out.map(|x| wide(&x))
    }

    fn on_gpu(&self, gpu: &Gpu) -> Result<[Vec<f64>; 2], GoldenError> {
        let (adv, ret) = gae::gae_gpu(gpu, &self.spec, &self.x)?;
        Ok([adv, ret].map(|x| wide(&x)))
    }
}

fn gae_file(v: &Vectors, gpu: Option<&Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let [t, b] = v.dims("reward")?;
    let mut value = v.f32("value", &[t, b])?;
    value.extend(v.f32("bootstrap_value", &[b])?);
    let (reward, final_value) = (v.f32("reward", &[t, b])?, v.f32("next_value", &[t, b])?);
    let (terminated, truncated) = (v.i32("terminated", &[t, b])?, v.i32("truncated", &[t, b])?);

    for case in v.cases(".adv")? {
        let unknown = || v.problem(&format!("{case}.adv"), "is of a case that is not known");
        let (ends, hyper) = case.split_once('_').unwrap_or((&case, "g99l95"));
        let percent = |s: &str| s.parse::<u32>().ok().map(|p| f64::from(p) / 100.0);
        let (gamma, lambda) = hyper
            .strip_prefix('g')
            .and_then(|h| h.split_once('l'))
            .and_then(|(g, l)| Some((percent(g)?, percent(l)?)))
            .ok_or_else(unknown)?;
        // The flag of an end, and what a cut counts as.
        let cut = match ends {
            "term" => 0,
            "trunc" => gae::TRUNCATED,
            "cleanrl" => gae::TERMINATED,
            _ => return Err(unknown()),
        };
        let flag = |(&d, &c): (&i32, &i32)| {
            (if d != 0 { gae::TERMINATED } else { 0 }) | (if c != 0 { cut } else { 0 })
        };
        let hyper = [gamma, lambda, 1.0, 0.0];
        let x = gae::Inputs {
            reward: reward.clone(),
            value: value.clone(),
            final_value: final_value.clone(),
            flags: terminated.iter().zip(&truncated).map(flag).collect(),
            hyper: vec![hyper.map(|x| x as f32)],
        };
        Gae { spec: gae::Spec { t, r: 1, b }, x, hyper }.each(gpu, |backend, [adv, ret]| {
            rows.tensor_dev(v, backend, &format!("{case}.adv"), &adv)?;
            rows.tensor_dev(v, backend, &format!("{case}.ret"), &ret)
        })?;
    }
    Ok(rows)
}

//! math_eval: the functions of `shaders/shared/math.wgsl`, each against f64 with its stated error, and on lavapipe
//! against the bits of their f32 twins in [`crate::num::real::poly`], where a miscompiled shader shows at once.

use super::common::*;
use super::cost;
use super::normal_fill::{self, radius_condition};

pub const SHADER: Source = shader!("shaders/", "math_eval");

pub const WG: usize = 64;

/// The functions, numbered as in the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Function {
    Exp = 0,
    Ln = 1,
    Tanh = 2,
    Sigmoid = 3,
    /// (sin, cos) of the first argument in rad.
    SinCos = 4,
    /// (sin, cos) of π·u·n; n is a word.
    SinCosPiMultiple = 5,
    /// atan2(first, second), first ≥ 0.
    Atan2Upper = 6,
    /// Two normals from two words.
    NormalPair = 7,
}

pub const FUNCTIONS: [Function; 8] = [
    Function::Exp,
    Function::Ln,
    Function::Tanh,
    Function::Sigmoid,
    Function::SinCos,
    Function::SinCosPiMultiple,
    Function::Atan2Upper,
    Function::NormalPair,
];

#[derive(Clone, Debug)]
pub struct Spec {
    pub function: Function,
    /// Number of pairs of arguments.
    pub n: usize,
}

pub const DEFAULT: Spec = Spec { function: Function::Exp, n: 4099 };

/// What a dispatch must do.
pub fn cost(spec: &Spec) -> Cost {
    let each = match spec.function {
        Function::Exp => cost::EXP,
        Function::Ln => cost::LN,
        Function::Tanh => cost::TANH,
        Function::Sigmoid => cost::SIGMOID,
        Function::SinCos => cost::SIN_COS,
        Function::SinCosPiMultiple => cost::SIN_COS_PI_MULTIPLE,
        Function::Atan2Upper => cost::ATAN2_UPPER,
        Function::NormalPair => cost::NORMAL_PAIR,
    };
    Cost::new(each * spec.n, 4 * spec.n)
}

pub fn prelude(s: &Spec) -> Prelude {
    Prelude::new().u32("WG", WG).u32("FN", s.function as usize)
}

/// `args` `[N]` pairs of f32 bits or words; `out` `[N]` pairs, the second 0 where the function has one result.
pub fn math_eval_cpu<F: Real<Word = u32>>(s: &Spec, args: &[[u32; 2]], out: &mut [[F; 2]]) {
    let number = |w: u32| F::splat(f64::from(f32::from_bits(w)));
    for (&[v, w], out) in args.iter().zip(out) {
        let x = number(v);
        let one = |y: F| (y, F::splat(0.0));
        let (a, b) = match s.function {
            Function::Exp => one(x.exp()),
            Function::Ln => one(x.ln()),
            Function::Tanh => one(x.tanh()),
            Function::Sigmoid => one(x.sigmoid()),
            Function::SinCos => x.sin_cos(),
            Function::SinCosPiMultiple => F::sin_cos_pi_multiple(x, w),
            Function::Atan2Upper => one(x.atan2_upper(number(w))),
            Function::NormalPair => F::normal_pair(v, w),
        };
        *out = [a, b];
    }
}

host! {
    MathEval, MathEvalBound;
    /// Shapes as in [`math_eval_cpu`].
    bind |_| { args: [u32; 2] = of_len(out.len()), out: [f32; 2] }
    record |spec| fold_groups(spec.n, WG);
}

/// Runs the shader once.
pub fn math_eval_gpu(gpu: &Gpu, s: &Spec, args: &[[u32; 2]]) -> Result<Vec<[f32; 2]>, GpuError> {
    bind!(gpu, bound = MathEval::new(gpu, s)?; args, out[s.n]);
    gpu.run(|pass| bound.record(pass))?;
    gpu.read(&out)
}

/// Arguments over the range a function is used on; half of those of ln, tanh and atan2 lie where built-in functions are
/// poor.
fn arguments(s: &Spec, seed: u32) -> Vec<[u32; 2]> {
    let mut draw = Sample::new(seed, 7);
    let mut uniform = |lo: f64, hi: f64| draw.uniform(1, lo, hi)[0];
    (0..s.n)
        .map(|i| {
            let odd = i % 2 == 1;
            let (x, y) = match s.function {
                Function::Exp => (uniform(-87.0, 88.0), 0.0),
                Function::Ln if odd => (uniform(0.9, 1.1), 0.0),
                Function::Ln => (uniform(-69.0, 69.0).exp(), 0.0),
                Function::Tanh if odd => (uniform(-0.7, 0.7), 0.0),
                Function::Tanh => (uniform(-10.0, 10.0), 0.0),
                Function::Sigmoid => (uniform(-20.0, 20.0), 0.0),
                Function::SinCos => (uniform(-200.0, 200.0), 0.0),
                Function::SinCosPiMultiple => {
                    return [uniform(-1.0, 1.0).to_bits(), (uniform(0.0, 64.0)) as u32];
                }
                Function::Atan2Upper if odd => (uniform(1e-6, 1e-3), uniform(-1.0, 1.0)),
                Function::Atan2Upper => (uniform(1e-3, 50.0), uniform(-50.0, 50.0)),
                Function::NormalPair => {
                    let mut word =
                        || (uniform(0.0, 1.0).to_bits() << 9) ^ uniform(0.0, 1.0).to_bits().rotate_left(20);
                    return [word(), word()];
                }
            };
            [x.to_bits(), y.to_bits()]
        })
        .collect()
}

/// One ulp, at most, relative to the number it belongs to.
const ULP: f64 = 1.0 / 8_388_608.0;

/// What a function's error is measured in (given the reference) and how large it may be. On a device that `rounds` as
/// the twins the errors stated in math.wgsl hold; another device may fuse and divide less exactly, and gets 4 ulp or
/// 4e-7.
fn tolerance(s: &Spec, args: &[[u32; 2]], want: &[f64], rounds: bool) -> (Vec<f64>, Tol) {
    let number = |i: usize, c: usize| f64::from(f32::from_bits(args[i / 2][c]));
    let ulps = |n: f64| if rounds { n * ULP } else { n.max(4.0) * ULP };
    let abs = if rounds { 1.25e-7 } else { 4e-7 };
    let relative = |n: f64, why| (want.to_vec(), Tol { abs: 0.0, rel: ulps(n), why });
    match s.function {
        Function::Exp => relative(1.2, "math.wgsl: 1.2 ulp"),
        Function::Ln => relative(0.8, "math.wgsl: 0.8 ulp"),
        Function::Tanh => relative(1.3, "math.wgsl: 1.3 ulp"),
        Function::Sigmoid => relative(2.2, "1.2 ulp of exp, one rounding each of a sum and a quotient"),
        Function::Atan2Upper => relative(
            3.2,
            "a quotient, a second one that cancels, a polynomial and two differences: 3.2 ulp measured",
        ),
        Function::SinCos => {
            let turns = (0..want.len()).map(|i| number(i, 0).abs()).collect();
            (
                turns,
                Tol {
                    abs: abs + 1e-7,
                    rel: 1.2e-7,
                    why: "1.2e-7 of the polynomials and two roundings (6e-8 each) of the angle, in rad",
                },
            )
        }
        Function::SinCosPiMultiple => {
            let multiple = (0..want.len()).map(|i| f64::from(args[i / 2][1])).collect();
            (
                multiple,
                Tol { abs, rel: 2.93e-9, why: "1.2e-7 of the polynomials and pi n 2^-30 of the rounded u" },
            )
        }
        Function::NormalPair => (radius_condition(want), normal_fill::TOL),
    }
}

/// Shader against f64 and, on lavapipe, against the bits of the f32 twin.
pub fn check(gpu: &Gpu, s: &Spec, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let args = arguments(s, seed);
    let mut want = vec![[0f64; 2]; s.n];
    math_eval_cpu(s, &args, &mut want);
    let got = math_eval_gpu(gpu, s, &args)?;
    let (want, name) = (want.as_flattened(), format!("{:?}", s.function));
    let (scale, tol) = tolerance(s, &args, want, gpu.rounds_as_twins());
    let mut rows = vec![compare_scaled(&name, got.as_flattened(), want, &scale, tol)];
    if gpu.rounds_as_twins() {
        let mut twin = vec![[0f32; 2]; s.n];
        math_eval_cpu(s, &args, &mut twin);
        rows.push(if s.function == Function::Tanh {
            let unlike = got.iter().zip(&twin).filter(|(g, t)| g[0].to_bits() != t[0].to_bits()).count();
            let share = [unlike as f32 / s.n as f32];
            let why = "Mesa may rewrite the quotient of tanh (99.6 % equal bits were seen, later all)";
            compare_scaled(
                "Tanh, share of bits unlike the f32 twin",
                &share,
                &[0.0],
                &[0.0],
                Tol { abs: 0.01, rel: 0.0, why },
            )
        } else {
            let name = format!("{name}, bits of the f32 twin");
            compare_words(&name, got.as_flattened(), twin.as_flattened())
        });
    }
    Ok(rows)
}

/// [`check`] for every function.
pub fn check_all(gpu: &Gpu, n: usize, seed: u32) -> Result<Vec<Comparison>, GpuError> {
    let mut rows = Vec::new();
    for function in FUNCTIONS {
        rows.extend(check(gpu, &Spec { function, n }, seed)?);
    }
    Ok(rows)
}

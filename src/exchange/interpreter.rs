//! Graphs computed by the definitions of ONNX's operators, one by one and slowly: what an exported file means,
//! independently of the networks that it was made from. For tests.

use super::graph::Graph;
use std::collections::BTreeMap;

/// A tensor of floats; integers are kept as floats too.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Array {
    pub fn new(shape: &[usize], data: Vec<f32>) -> Array {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Array { shape: shape.into(), data }
    }
}

/// The shape to which two stretch, and where element `i` of it lies in an array of `shape`.
fn stretched(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank)
        .map(|i| {
            let (x, y) = (at(a, i), at(b, i));
            assert!(x == y || x == 1 || y == 1, "{a:?} and {b:?} do not fit");
            x.max(y)
        })
        .collect()
}

fn place(out: &[usize], shape: &[usize], mut i: usize) -> usize {
    let mut at = vec![0; out.len()];
    for d in (0..out.len()).rev() {
        at[d] = i % out[d];
        i /= out[d];
    }
    let skip = out.len() - shape.len();
    shape.iter().enumerate().fold(0, |sum, (d, n)| sum * n + if *n == 1 { 0 } else { at[skip + d] })
}

fn pairwise(a: &Array, b: &Array, f: impl Fn(f32, f32) -> f32) -> Array {
    let shape = stretched(&a.shape, &b.shape);
    let n = shape.iter().product();
    let data = (0..n).map(|i| f(a.data[place(&shape, &a.shape, i)], b.data[place(&shape, &b.shape, i)]));
    Array { data: data.collect(), shape }
}

fn each(a: &Array, f: impl Fn(f32) -> f32) -> Array {
    Array { shape: a.shape.clone(), data: a.data.iter().map(|x| f(*x)).collect() }
}

/// (elements before the axis, along it, behind it)
fn about(shape: &[usize], axis: i64) -> (usize, usize, usize, usize) {
    let axis = if axis < 0 { (shape.len() as i64 + axis) as usize } else { axis as usize };
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product(), axis)
}

/// Runs a graph on its inputs by name, and gives its outputs by name.
pub fn run(g: &Graph, inputs: &BTreeMap<&str, Array>) -> BTreeMap<String, Array> {
    let mut known: BTreeMap<String, Array> = g.constants_for_tests();
    known.extend(inputs.iter().map(|(name, x)| (name.to_string(), x.clone())));
    for (op, from, to, attributes) in g.nodes_for_tests() {
        let x: Vec<&Array> = from
            .iter()
            .map(|name| known.get(name).unwrap_or_else(|| panic!("{op}: no {name} yet")))
            .collect();
        let int = |name: &str| attributes.iter().find(|a| a.0 == name).map(|a| a.1[0]);
        let out = match op {
            "Identity" | "Cast" => x[0].clone(),
            "Tanh" => each(x[0], f32::tanh),
            "Sigmoid" => each(x[0], |x| 1.0 / (1.0 + (-x).exp())),
            "Relu" => each(x[0], |x| x.max(0.0)),
            "Exp" => each(x[0], f32::exp),
            "Log" => each(x[0], f32::ln),
            "Cos" => each(x[0], f32::cos),
            "Sin" => each(x[0], f32::sin),
            "Sqrt" => each(x[0], f32::sqrt),
            "Reciprocal" => each(x[0], |x| 1.0 / x),
            "Add" => pairwise(x[0], x[1], |a, b| a + b),
            "Sub" => pairwise(x[0], x[1], |a, b| a - b),
            "Mul" => pairwise(x[0], x[1], |a, b| a * b),
            "Div" => pairwise(x[0], x[1], |a, b| a / b),
            "Max" => pairwise(x[0], x[1], f32::max),
            "GreaterOrEqual" => pairwise(x[0], x[1], |a, b| f32::from(u8::from(a >= b))),
            "Greater" => pairwise(x[0], x[1], |a, b| f32::from(u8::from(a > b))),
            "Gemm" => {
                let (n, k, m) = (x[0].shape[0], x[0].shape[1], x[1].shape[0]);
                assert_eq!((int("transB"), x[1].shape[1]), (Some(1), k));
                let cell = |i: usize| {
                    let (r, c) = (i / m, i % m);
                    let sum: f32 = (0..k).map(|j| x[0].data[r * k + j] * x[1].data[c * k + j]).sum();
                    sum + x[2].data[c]
                };
                Array { shape: vec![n, m], data: (0..n * m).map(cell).collect() }
            }
            "Slice" => {
                let (from, to, axis) = (x[1].data[0] as usize, x[2].data[0] as usize, x[3].data[0] as i64);
                let (before, along, behind, axis) = about(&x[0].shape, axis);
                assert!(from < to && to <= along, "{from}..{to} of {along}");
                let mut shape = x[0].shape.clone();
                shape[axis] = to - from;
                let row = |b: usize| &x[0].data[(b * along + from) * behind..(b * along + to) * behind];
                Array { data: (0..before).flat_map(row).copied().collect(), shape }
            }
            "Concat" => {
                let axis = int("axis").expect("an axis");
                let (before, _, behind, place) = about(&x[0].shape, axis);
                let mut shape = x[0].shape.clone();
                shape[place] = x.iter().map(|a| a.shape[place]).sum();
                let mut data = Vec::new();
                for b in 0..before {
                    for a in &x {
                        let n = a.shape[place] * behind;
                        data.extend(&a.data[b * n..][..n]);
                    }
                }
                Array { shape, data }
            }
            "Reshape" => {
                let rest: usize = x[1].data[1..].iter().map(|n| *n as usize).product();
                assert_eq!(x[1].data[0], -1.0);
                let mut shape = vec![x[0].data.len() / rest];
                shape.extend(x[1].data[1..].iter().map(|n| *n as usize));
                Array { shape, data: x[0].data.clone() }
            }
            "Softmax" => {
                let (before, along, behind, _) = about(&x[0].shape, int("axis").expect("an axis"));
                assert_eq!(behind, 1);
                let mut out = x[0].clone();
                for row in out.data.chunks_mut(along).take(before) {
                    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    row.iter_mut().for_each(|x| *x = (*x - top).exp());
                    let sum: f32 = row.iter().sum();
                    row.iter_mut().for_each(|x| *x /= sum);
                }
                out
            }
            "ReduceSum" | "ReduceMean" => {
                let axis = match op {
                    "ReduceSum" => x[1].data[0] as i64,
                    _ => int("axes").expect("axes"),
                };
                assert_eq!(int("keepdims"), Some(1));
                let (before, along, behind, place) = about(&x[0].shape, axis);
                let mut shape = x[0].shape.clone();
                shape[place] = 1;
                let cell = |i: usize| {
                    let (b, c) = (i / behind, i % behind);
                    let sum: f32 = (0..along).map(|a| x[0].data[(b * along + a) * behind + c]).sum();
                    if op == "ReduceSum" { sum } else { sum / along as f32 }
                };
                Array { data: (0..before * behind).map(cell).collect(), shape }
            }
            "ArgMax" => {
                let (before, along, behind, place) = about(&x[0].shape, int("axis").expect("an axis"));
                assert_eq!((behind, int("keepdims")), (1, Some(0)));
                let best = |b: usize| {
                    let row = &x[0].data[b * along..][..along];
                    (0..along).fold(0, |best, i| if row[best] < row[i] { i } else { best }) as f32
                };
                let mut shape = x[0].shape.clone();
                shape.remove(place);
                Array { data: (0..before).map(best).collect(), shape }
            }
            "Gather" => {
                assert_eq!((int("axis"), x[0].shape.len()), (Some(0), 2));
                let width = x[0].shape[1];
                let rows = x[1].data.iter().flat_map(|i| x[0].data[*i as usize * width..][..width].to_vec());
                Array { shape: [x[1].shape.as_slice(), &[width]].concat(), data: rows.collect() }
            }
            other => panic!("operator {other}"),
        };
        known.insert(to.to_string(), out);
    }
    g.outputs().iter().map(|p| (p.name.clone(), known[&p.name].clone())).collect()
}

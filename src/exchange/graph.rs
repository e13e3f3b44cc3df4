//! A computation as ONNX has it: nodes between named tensors, constants, inputs and outputs. Operators are those of
//! opset 17; the file has IR version 8, which runtimes from 2022 on read.

use super::proto::Message;

/// Opset of the standard operators.
pub const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// A tensor of the graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value(String);

impl Value {
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An input or an output: `[N, shape…]`, N the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// Without the batch.
    pub shape: Vec<usize>,
    /// What it holds, with units, in a line.
    pub about: String,
}

enum Attribute {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
}

struct Node {
    op: &'static str,
    inputs: Vec<String>,
    output: String,
    attributes: Vec<Attribute>,
}

enum Data {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

struct Constant {
    name: String,
    shape: Vec<usize>,
    data: Data,
}

/// A graph being built. Values keep their order, so that equal policies give equal files.
#[derive(Default)]
pub struct Graph {
    nodes: Vec<Node>,
    constants: Vec<Constant>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Graph {
    pub fn new() -> Graph {
        Graph::default()
    }

    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// An input `[N, shape…]`.
    pub fn input(&mut self, name: &str, shape: &[usize], about: &str) -> Value {
        self.inputs.push(Port { name: name.into(), shape: shape.into(), about: about.into() });
        Value(name.into())
    }

    /// Gives a value out as `[N, shape…]`, under this name.
    pub fn output(&mut self, name: &str, value: &Value, shape: &[usize], about: &str) {
        self.outputs.push(Port { name: name.into(), shape: shape.into(), about: about.into() });
        let node =
            Node { op: "Identity", inputs: vec![value.0.clone()], output: name.into(), attributes: vec![] };
        self.nodes.push(node);
    }

    /// Numbers that do not change.
    pub fn constant(&mut self, shape: &[usize], data: &[f32]) -> Value {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "a constant {shape:?}");
        self.keep(shape, Data::Floats(data.into()))
    }

    /// One number, of shape `[1]`, which stretches over any tensor.
    pub fn number(&mut self, x: f64) -> Value {
        self.constant(&[1], &[x as f32])
    }

    fn ints(&mut self, data: &[i64]) -> Value {
        self.keep(&[data.len()], Data::Ints(data.into()))
    }

    fn keep(&mut self, shape: &[usize], data: Data) -> Value {
        let name = format!("c{}", self.constants.len());
        self.constants.push(Constant { name: name.clone(), shape: shape.into(), data });
        Value(name)
    }

    fn node(&mut self, op: &'static str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        let output = format!("v{}", self.nodes.len());
        let inputs = inputs.iter().map(|v| v.0.clone()).collect();
        self.nodes.push(Node { op, inputs, output: output.clone(), attributes });
        Value(output)
    }

    /// An operator of one tensor without attributes, element by element.
    pub fn map(&mut self, op: &'static str, x: &Value) -> Value {
        self.node(op, &[x], vec![])
    }

    /// An operator of two tensors without attributes, element by element; shapes stretch as numpy's do.
    pub fn pair(&mut self, op: &'static str, a: &Value, b: &Value) -> Value {
        self.node(op, &[a, b], vec![])
    }
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.pair("Add", a, b)
    }
    pub fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.pair("Sub", a, b)
    }
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.pair("Mul", a, b)
    }
    pub fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.pair("Div", a, b)
    }
    pub fn scaled(&mut self, a: &Value, by: f64) -> Value {
        let by = self.number(by);
        self.mul(a, &by)
    }

    /// x Wᵀ + b, `weight` `[outputs, inputs]`.
    pub fn dense(&mut self, x: &Value, weight: &Value, bias: &Value) -> Value {
        self.node("Gemm", &[x, weight, bias], vec![Attribute::Int("transB", 1)])
    }

    pub fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.pair("MatMul", a, b)
    }

    /// 1 where `a` ≥ `b`, else 0, as floats.
    pub fn at_least(&mut self, a: &Value, b: &Value) -> Value {
        let yes = self.pair("GreaterOrEqual", a, b);
        self.node("Cast", &[&yes], vec![Attribute::Int("to", FLOAT)])
    }

    /// 1 where `a` > `b`, else 0, as floats.
    pub fn above(&mut self, a: &Value, b: &Value) -> Value {
        let yes = self.pair("Greater", a, b);
        self.node("Cast", &[&yes], vec![Attribute::Int("to", FLOAT)])
    }

    /// Elements `from..to` along an axis.
    pub fn slice(&mut self, x: &Value, axis: i64, from: usize, to: usize) -> Value {
        let [from, to, axes] = [from as i64, to as i64, axis].map(|n| self.ints(&[n]));
        self.node("Slice", &[x, &from, &to, &axes], vec![])
    }

    pub fn concat(&mut self, parts: &[Value], axis: i64) -> Value {
        let parts: Vec<&Value> = parts.iter().collect();
        self.node("Concat", &parts, vec![Attribute::Int("axis", axis)])
    }

    /// The same numbers as `[N, shape…]`.
    pub fn reshape(&mut self, x: &Value, shape: &[usize]) -> Value {
        let whole: Vec<i64> = std::iter::once(-1).chain(shape.iter().map(|n| *n as i64)).collect();
        let whole = self.ints(&whole);
        self.node("Reshape", &[x, &whole], vec![])
    }

    pub fn softmax(&mut self, x: &Value, axis: i64) -> Value {
        self.node("Softmax", &[x], vec![Attribute::Int("axis", axis)])
    }

    /// Sum over an axis, which stays with one element.
    pub fn sum(&mut self, x: &Value, axis: i64) -> Value {
        let axes = self.ints(&[axis]);
        self.node("ReduceSum", &[x, &axes], vec![Attribute::Int("keepdims", 1)])
    }

    /// Mean over an axis, which stays with one element.
    pub fn mean(&mut self, x: &Value, axis: i64) -> Value {
        self.node(
            "ReduceMean",
            &[x],
            vec![Attribute::Ints("axes", vec![axis]), Attribute::Int("keepdims", 1)],
        )
    }

    /// Place of the largest element along an axis, of equals the first; the axis is gone.
    pub fn argmax(&mut self, x: &Value, axis: i64) -> Value {
        self.node("ArgMax", &[x], vec![Attribute::Int("axis", axis), Attribute::Int("keepdims", 0)])
    }

    /// Rows of a table by their places.
    pub fn rows(&mut self, table: &Value, places: &Value) -> Value {
        self.node("Gather", &[table, places], vec![Attribute::Int("axis", 0)])
    }

    #[cfg(test)]
    pub(crate) fn constants_for_tests(
        &self,
    ) -> std::collections::BTreeMap<String, super::interpreter::Array> {
        let of = |c: &Constant| {
            let data = match &c.data {
                Data::Floats(x) => x.clone(),
                Data::Ints(x) => x.iter().map(|x| *x as f32).collect(),
            };
            (c.name.clone(), super::interpreter::Array::new(&c.shape, data))
        };
        self.constants.iter().map(of).collect()
    }

    #[cfg(test)]
    #[allow(clippy::type_complexity, reason = "a node's parts")]
    pub(crate) fn nodes_for_tests(
        &self,
    ) -> Vec<(&'static str, Vec<String>, &str, Vec<(&'static str, Vec<i64>)>)> {
        let attribute = |a: &Attribute| match a {
            Attribute::Int(name, x) => (*name, vec![*x]),
            Attribute::Ints(name, all) => (*name, all.clone()),
        };
        self.nodes
            .iter()
            .map(|n| {
                let attributes = n.attributes.iter().map(attribute).collect();
                (n.op, n.inputs.clone(), n.output.as_str(), attributes)
            })
            .collect()
    }

    /// The file, with what is to be known of it as (key, text).
    pub fn onnx(&self, name: &str, about: &str, metadata: &[(String, String)]) -> Vec<u8> {
        let tensor = |c: &Constant| {
            let (kind, bytes): (i64, Vec<u8>) = match &c.data {
                Data::Floats(x) => (FLOAT, x.iter().flat_map(|x| x.to_le_bytes()).collect()),
                Data::Ints(x) => (INT64, x.iter().flat_map(|x| x.to_le_bytes()).collect()),
            };
            Message::new()
                .each(&c.shape, |m, n| m.int(1, *n as i64))
                .int(2, kind)
                .text(8, &c.name)
                .bytes(9, &bytes)
        };
        let attribute = |a: &Attribute| match a {
            Attribute::Int(name, x) => Message::new().text(1, name).int(3, *x).int(20, 2),
            Attribute::Ints(name, all) => {
                Message::new().text(1, name).each(all, |m, x| m.int(8, *x)).int(20, 7)
            }
        };
        let node = |n: &Node| {
            Message::new()
                .each(&n.inputs, |m, x| m.text(1, x))
                .text(2, &n.output)
                .text(3, &format!("{}_{}", n.op, n.output))
                .text(4, n.op)
                .each(&n.attributes, |m, a| m.message(5, attribute(a)))
        };
        let port = |p: &Port| {
            let batch = Message::new().text(2, "N");
            let shape = Message::new()
                .message(1, batch)
                .each(&p.shape, |m, n| m.message(1, Message::new().int(1, *n as i64)));
            let tensor = Message::new().int(1, FLOAT).message(2, shape);
            Message::new().text(1, &p.name).message(2, Message::new().message(1, tensor)).text(3, &p.about)
        };
        let graph = Message::new()
            .each(&self.nodes, |m, n| m.message(1, node(n)))
            .text(2, name)
            .each(&self.constants, |m, c| m.message(5, tensor(c)))
            .text(10, about)
            .each(&self.inputs, |m, p| m.message(11, port(p)))
            .each(&self.outputs, |m, p| m.message(12, port(p)));
        let entry = |m: Message, (key, value): &(String, String)| {
            m.message(14, Message::new().text(1, key).text(2, value))
        };
        Message::new()
            .int(1, IR_VERSION)
            .text(2, "isacbench")
            .text(3, env!("CARGO_PKG_VERSION"))
            .text(6, about)
            .message(7, graph)
            .message(8, Message::new().text(1, "").int(2, OPSET))
            .each(metadata, entry)
            .finish()
    }
}

//! Operation counts by NeuroBench for networks of other golden files, against ours.

use super::networks::NEURONS;
use super::{Backend, GoldenError, Rows, Vectors, reading, wide};
use crate::energy::{Counts, FirstLayer};
use crate::kernels::Tol;
use crate::kernels::compare::compare_f64;
use crate::nets::{Activation, Activity, Hidden, LayerActivity, Lif, MlpLayout};
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes that snnTorch's two neurons hold as buffers beside their potentials; part of NeuroBench's footprint.
const SNNTORCH_BUFFERS: f64 = 40.0;

/// A network of a golden file with the counts of its inferences on the file's inputs.
pub struct Counted {
    pub name: &'static str,
    /// Inferences.
    pub batch: usize,
    /// Share of outputs of hooked activation modules that were zero: those that NeuroBench hooks, not tanh.
    pub sparsity: f64,
    pub counts: Counts,
}

const NETWORKS: [&str; 3] = ["mlp_tanh", "mlp_relu", "snn_actor"];

/// Runs the networks of the folder in f64, step by step, and counts.
pub fn networks(dir: &Path) -> Result<Vec<Counted>, GoldenError> {
    NETWORKS.into_iter().map(|name| network(dir, name)).collect()
}

fn network(dir: &Path, name: &'static str) -> Result<Counted, GoldenError> {
    let path = dir.join(format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).map_err(reading(&path))?;
    let v = Vectors::of(&path, &bytes, BTreeMap::new())?;
    let [batch, inputs] = v.dims("x")?;
    let neurons: Hidden = match name {
        "mlp_tanh" => Activation::Tanh.into(),
        "mlp_relu" => Activation::Relu.into(),
        _ => Lif { steps: v.steps()?, ..NEURONS }.into(),
    };
    let (net, params) = super::networks::network(&v, inputs, neurons)?;
    let x = wide(&v.f32("x", &[batch, inputs])?);
    let mut activity = Activity { samples: batch as u64, layers: Vec::new(), executed: 0 };
    for (l, layer) in net.layers.iter().enumerate() {
        let presentations = net.lif.filter(|_| l > 0).map_or(1, |n| n.steps as u64);
        activity.layers.push(LayerActivity {
            presentations,
            active: vec![0; layer.inputs],
            membrane_updates: 0,
        });
    }
    for x in x.chunks(inputs) {
        match &net.lif {
            Some(lif) => spiking(&net, lif, &params, x, &mut activity),
            None => dense(&net, &params, x, &mut activity),
        }
    }
    let counts = Counts::new(&net, &params, &activity, FirstLayer::EveryStep)
        .expect("the activity was made for this network");
    let hooked = name != "mlp_tanh";
    let units: u64 = counts.layers[1..].iter().map(|l| l.inputs * l.presentations).sum();
    let nonzero: u64 = counts.layers[1..].iter().map(|l| l.nonzero()).sum();
    let sparsity = if hooked { 1.0 - nonzero as f64 / units as f64 } else { 0.0 };
    Ok(Counted { name, batch, sparsity, counts })
}

/// W·x + b of layer `l`.
fn current(net: &MlpLayout, l: usize, params: &[f32], x: &[f64]) -> Vec<f64> {
    let layer = net.layers[l];
    let weights = params[layer.w_off..layer.b_off].chunks(layer.inputs);
    weights
        .zip(&params[layer.b_off..])
        .map(|(row, b)| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(*b))
        .collect()
}

fn see(layer: &mut LayerActivity, x: &[f64]) {
    layer.active.iter_mut().zip(x).for_each(|(n, x)| *n += u64::from(*x != 0.0));
}

fn dense(net: &MlpLayout, params: &[f32], x: &[f64], activity: &mut Activity) {
    let mut h = x.to_vec();
    for (l, layer) in net.layers.iter().enumerate() {
        see(&mut activity.layers[l], &h);
        h = current(net, l, params, &h).into_iter().map(|z| layer.act.apply(z)).collect();
    }
}

fn spiking(net: &MlpLayout, lif: &Lif, params: &[f32], x: &[f64], activity: &mut Activity) {
    see(&mut activity.layers[0], x);
    let hidden = net.layers.len() - 1;
    let mut v: Vec<Vec<f64>> = net.layers[..hidden].iter().map(|l| vec![0.0; l.outputs]).collect();
    let mut before: Vec<Option<Vec<f64>>> = vec![None; hidden];
    for _ in 0..lif.steps {
        let mut spikes = x.to_vec();
        for l in 0..hidden {
            let i = current(net, l, params, &spikes);
            let u: Vec<f64> =
                v[l].iter().zip(&i).map(|(v, i)| (1.0 - lif.lambda) * v + lif.lambda * i).collect();
            let changed = match &before[l] {
                None => u.len(),
                Some(last) => u.iter().zip(last).filter(|(a, b)| a != b).count(),
            };
            activity.layers[l].membrane_updates += changed as u64;
            spikes = u.iter().map(|u| f64::from(u8::from(*u >= lif.threshold))).collect();
            v[l] = u.iter().zip(&spikes).map(|(u, s)| if *s == 1.0 { lif.reset } else { *u }).collect();
            before[l] = Some(u);
            see(&mut activity.layers[l + 1], &spikes);
        }
    }
}

/// Counts per sample and bytes of the networks that the file names, after their one rounding to f32; the sparsity,
/// which the reference computes in f32, by an ulp.
pub(super) fn opcounts(v: &Vectors, _: Option<&crate::gpu::Gpu>) -> Result<Rows, GoldenError> {
    let mut rows = Rows::default();
    let dir = Path::new(&v.file).parent().unwrap_or(Path::new("."));
    let named = |name: &&str| v.has(&format!("{name}.dense"));
    for n in NETWORKS.into_iter().filter(named).map(|name| network(dir, name)) {
        let n = n?;
        let c = &n.counts;
        // NeuroBench also counts the potentials of the whole batch, which the modules keep after a run.
        let footprint = match c.steps {
            None => c.parameter_bytes() as f64,
            Some(_) => {
                let hidden: u64 = c.layers[1..].iter().map(|l| l.inputs).sum();
                (c.parameter_bytes() + 4 * n.batch as u64 * hidden) as f64 + SNNTORCH_BUFFERS
            }
        };
        for (quantity, got, rel) in [
            ("effective_macs", c.per_inference(c.effective_macs()), 0.0),
            ("effective_acs", c.per_inference(c.effective_acs()), 0.0),
            ("dense", c.per_inference(c.dense()), 0.0),
            ("membrane_updates", c.per_inference(c.membrane_updates()), 0.0),
            ("footprint_bytes", footprint, 0.0),
            ("activation_sparsity", n.sparsity, 1.2e-7),
        ] {
            let name = format!("{}.{quantity}", n.name);
            let want = f64::from(v.f32(&name, &[])?[0]);
            let why = if rel == 0.0 {
                "counts are integers over the batch, rounded once"
            } else {
                "computed in f32"
            };
            let got = if rel == 0.0 { f64::from(got as f32) } else { got };
            rows.push(Backend::CpuF64, compare_f64(&name, &[got], &[want], Tol { abs: 0.0, rel, why }));
        }
    }
    Ok(rows)
}

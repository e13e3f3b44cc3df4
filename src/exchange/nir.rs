//! Spiking networks as NIR (Neuromorphic Intermediate Representation, Pedersen et al., Nature Communications 2024): an
//! HDF5 file that snnTorch, Norse, SpikingJelly and others read.
//!
//! NIR's neuron is τ dv/dt = (v_leak − v) + r·i; it fires above v_threshold and falls to v_reset. One Euler step of dt
//! with τ = dt/λ, r = 1 and v_leak = 0 is U ← (1−λ)V + λi, this program's. Ours fires at U ≥ U_th, readers at v >
//! v_threshold: the file has the largest f32 below U_th.
//!
//! The output layer is an Affine without state. What it is read by stands in the metadata: the output is Σ_t w_t
//! (W s_t + b) over the steps, with `readout_weights` w. NIR's LI would say the same of a leaky integrator, but
//! snnTorch refuses it and Norse drops it.

use crate::nets::{Lif, Membrane, MlpLayout, Readout};
use hdf5_pure::FileBuilder;

/// One Euler step, s, that readers take.
pub const DT_S: f64 = 1e-4;
/// Of the format.
const VERSION: &str = "1.0";

/// The network of a policy as a file, and what a reader of it must know.
///
/// # Errors
/// A network that NIR has no words for.
pub fn file(
    net: &MlpLayout,
    params: &[f32],
    metadata: &[(String, String)],
) -> Result<(Vec<u8>, Vec<String>), String> {
    let Some(lif) = &net.lif else { return Err("its network has no spikes: NIR is for spiking ones".into()) };
    if net.population.is_some() {
        return Err("its inputs are coded by populations, for whose receptive fields NIR has no node".into());
    }
    let (last, hidden) = net.layers.split_last().expect("a network has layers");
    let leaks = &params[net.leaks()];
    let lambda = |l: usize| leaks.get(l).map_or(lif.lambda, |w| 1.0 / (1.0 + (-f64::from(*w)).exp()));
    let mut file = FileBuilder::new();
    file.create_dataset("version").with_vlen_strings(&[VERSION]).with_shape(&[]);
    let mut graph = file.create_group("node");
    graph.create_dataset("type").with_vlen_strings(&["NIRGraph"]).with_shape(&[]);
    let mut nodes = graph.create_group("nodes");
    let mut names: Vec<String> = vec!["input".into()];
    let mut input = nodes.create_group("input");
    input.create_dataset("type").with_vlen_strings(&["Input"]).with_shape(&[]);
    input.create_dataset("shape").with_i64_data(&[net.inputs() as i64]);
    nodes.add_group(input.finish());
    for (l, layer) in net.layers.iter().enumerate() {
        let name = if l < hidden.len() { format!("affine_{}", l + 1) } else { "read_out".into() };
        let mut affine = nodes.create_group(&name);
        affine.create_dataset("type").with_vlen_strings(&["Affine"]).with_shape(&[]);
        affine
            .create_dataset("weight")
            .with_f32_data(&params[layer.w_off..][..layer.inputs * layer.outputs])
            .with_shape(&[layer.outputs as u64, layer.inputs as u64]);
        affine.create_dataset("bias").with_f32_data(&params[layer.b_off..][..layer.outputs]);
        nodes.add_group(affine.finish());
        names.push(name);
        if l == hidden.len() {
            break;
        }
        let name = format!("lif_{}", l + 1);
        let mut neuron = nodes.create_group(&name);
        neuron.create_dataset("type").with_vlen_strings(&["LIF"]).with_shape(&[]);
        let threshold = (lif.threshold as f32).next_down();
        for (key, x) in [
            ("tau", (DT_S / lambda(l)) as f32),
            ("r", 1.0),
            ("v_leak", 0.0),
            ("v_reset", lif.reset as f32),
            ("v_threshold", threshold),
        ] {
            neuron.create_dataset(key).with_f32_data(&vec![x; layer.outputs]);
        }
        nodes.add_group(neuron.finish());
        names.push(name);
    }
    let mut output = nodes.create_group("output");
    output.create_dataset("type").with_vlen_strings(&["Output"]).with_shape(&[]);
    output.create_dataset("shape").with_i64_data(&[last.outputs as i64]);
    nodes.add_group(output.finish());
    names.push("output".into());
    graph.add_group(nodes.finish());
    let edges: Vec<&str> = names.windows(2).flat_map(|pair| [pair[0].as_str(), pair[1].as_str()]).collect();
    graph.create_dataset("edges").with_vlen_strings(&edges).with_shape(&[names.len() as u64 - 1, 2]);
    let mut told = graph.create_group("metadata");
    for (key, value) in metadata {
        told.create_dataset(key).with_vlen_strings(&[value.as_str()]).with_shape(&[]);
    }
    let weights: Vec<f64> = (0..lif.steps).map(|t| lif.readout_weight(t)).collect();
    told.create_dataset("readout_weights").with_f64_data(&weights);
    told.create_dataset("steps").with_i64_data(&[lif.steps as i64]).with_shape(&[]);
    told.create_dataset("dt_s").with_f64_data(&[DT_S]).with_shape(&[]);
    graph.add_group(told.finish());
    file.add_group(graph.finish());
    let bytes = file.finish().map_err(|e| e.to_string())?;
    Ok((bytes, warnings(lif)))
}

/// What readers do otherwise than this program.
fn warnings(lif: &Lif) -> Vec<String> {
    let mut out = Vec::new();
    if lif.reset != 0.0 {
        out.push(format!(
            "neurons fall to {} (spiking.reset); snnTorch and Norse let them fall to 0",
            lif.reset
        ));
    }
    if lif.membrane == Membrane::Carried {
        out.push("potentials outlive a slot (spiking.membrane): do not reset neurons between slots".into());
    }
    if lif.membrane == Membrane::Carried && lif.readout == Readout::Last {
        out.push("so does the output's potential, which the file's read-out has not".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Hidden;
    use hdf5_pure::File;

    fn lif() -> Lif {
        Lif {
            steps: 6,
            lambda: 0.5,
            threshold: 1.0,
            reset: 0.0,
            eta: 3.0,
            detach_reset: true,
            readout: Readout::Mean,
            learn_leak: false,
            membrane: Membrane::Reset,
        }
    }

    #[test]
    fn a_file_holds_the_network() {
        let net = MlpLayout::new(&[3, 4, 5, 2], Hidden::Lif(lif()), 0);
        let params: Vec<f32> = (0..net.params()).map(|i| i as f32).collect();
        let (bytes, warnings) = file(&net, &params, &[("agent".into(), "spiking-ac".into())]).unwrap();
        assert!(warnings.is_empty());
        let read = File::from_bytes(bytes).unwrap();
        let floats = |path: &str| read.dataset(path).unwrap().read_f32().unwrap();
        let words = |path: &str| read.dataset(path).unwrap().read_string().unwrap();
        assert_eq!(words("node/type"), ["NIRGraph"]);
        assert_eq!(read.dataset("node/edges").unwrap().shape().unwrap(), [6, 2]);
        assert_eq!(words("node/edges")[..4], ["input", "affine_1", "affine_1", "lif_1"]);
        assert_eq!(floats("node/nodes/affine_1/weight"), params[..12]);
        assert_eq!(read.dataset("node/nodes/read_out/weight").unwrap().shape().unwrap(), [2, 5]);
        assert_eq!(floats("node/nodes/read_out/bias"), params[params.len() - 2..]);
        assert_eq!(floats("node/nodes/lif_2/tau"), [2e-4f32; 5]);
        assert_eq!(floats("node/nodes/lif_1/v_threshold"), [0.999_999_94f32; 4]);
        assert_eq!(words("node/metadata/agent"), ["spiking-ac"]);
        let weights = read.dataset("node/metadata/readout_weights").unwrap().read_f64().unwrap();
        assert!(weights.len() == 6 && weights.iter().all(|w| (w - 1.0 / 6.0).abs() < 1e-15));
    }

    #[test]
    fn what_would_be_misread_is_refused_or_warned_of() {
        let plain = MlpLayout::new(&[3, 4, 2], crate::nets::Activation::Tanh, 0);
        let params = vec![0.0; 1000];
        assert!(file(&plain, &params, &[]).unwrap_err().contains("spiking"));
        let population = crate::nets::Population::new(5, &lif());
        let coded = MlpLayout::new(&[3, 4, 2], Hidden::Encoded(lif(), population), 0);
        assert!(file(&coded, &params, &[]).unwrap_err().contains("populations"));
        let odd = Lif { reset: -0.5, membrane: Membrane::Carried, readout: Readout::Last, ..lif() };
        let net = MlpLayout::new(&[3, 4, 2], Hidden::Lif(odd), 0);
        let (_, warnings) = file(&net, &params, &[]).unwrap();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].contains("snnTorch") && warnings[1].contains("reset neurons"));
    }
}

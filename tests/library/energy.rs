//! Our operation counts and memory model against NeuroBench and SpikingJelly, run by
//! `tests/reference/neurobench_counts.py`.

use isacbench::energy::methods::{WORDS, memory_aware};
use isacbench::golden::opcounts::networks;
use serde_json::Value;
use std::path::Path;

#[test]
fn counts_equal_neurobench_and_memory_energy_equals_spikingjelly() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let reference: Value =
        serde_json::from_slice(&std::fs::read(dir.join("neurobench_counts.json")).unwrap()).unwrap();
    let all = networks(&dir).unwrap();
    assert_eq!(all.len(), reference["networks"].as_object().unwrap().len());
    for n in &all {
        let (want, c) = (&reference["networks"][n.name], &n.counts);
        for (quantity, got) in [
            ("samples", c.samples),
            ("effective_macs", c.effective_macs()),
            ("effective_acs", c.effective_acs()),
            ("dense", c.dense()),
            ("membrane_updates", c.membrane_updates()),
        ] {
            let integer = want[quantity].as_u64().unwrap_or(0);
            assert_eq!(got, integer, "{}: {quantity}", n.name);
        }
        // The first current multiplied at every step and no sharing of weights are the model as SpikingJelly runs it.
        let e = memory_aware(c, 1, &WORDS);
        for (part, joules) in [
            ("total_pj", e.joules()),
            ("ops_pj", e.operations),
            ("addressing_pj", e.addressing),
            ("inout_pj", e.inout),
            ("params_pj", e.weights),
            ("potential_pj", e.potentials),
        ] {
            let pj = want["lemaire_pj"][part].as_f64().unwrap();
            assert!(
                (1e12 * joules - pj).abs() <= 1e-9 * pj,
                "{}: {part} {} against {pj}",
                n.name,
                1e12 * joules
            );
        }
    }
}

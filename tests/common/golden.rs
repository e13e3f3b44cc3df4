//! The vectors of tests/golden and the tolerances that GOLDEN.md gives for them.
#![allow(dead_code, reason = "each test binary uses a part")]

use isacbench::kernels::compare::{Comparison, Tol, compare_scaled};

/// One file of vectors.
pub struct Golden {
    file: String,
    bytes: Vec<u8>,
}

impl Golden {
    /// `name` without directory and extension.
    pub fn open(name: &str) -> Golden {
        let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Golden { file: name.into(), bytes }
    }

    /// A tensor's elements, last index fastest.
    pub fn f32(&self, tensor: &str) -> Vec<f32> {
        let all = safetensors::SafeTensors::deserialize(&self.bytes).unwrap();
        let view = all.tensor(tensor).unwrap_or_else(|e| panic!("{}: '{tensor}': {e}", self.file));
        assert_eq!(view.dtype(), safetensors::Dtype::F32, "{}: '{tensor}'", self.file);
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// Columns "max abs" and "f32 dev" of the tensor's row in GOLDEN.md.
    pub fn size_and_dev(&self, tensor: &str) -> (f64, f64) {
        let table = include_str!("../golden/GOLDEN.md");
        let section =
            table.split("\n## ").find(|s| s.starts_with(&format!("{}.safetensors", self.file))).unwrap();
        let row = section.lines().find(|l| l.starts_with(&format!("| `{tensor}` |"))).unwrap();
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        (cells[cells.len() - 2].parse().unwrap(), cells[cells.len() - 1].parse().unwrap())
    }

    /// What an f32 computation is compared with: the tensor, within four times what PyTorch's own f32 run is off, at least 1e-6 of the
    /// largest element.
    pub fn check_f32(&self, tensor: &str, got: &[f64]) {
        let (size, dev) = self.size_and_dev(tensor);
        let tol =
            Tol { abs: (4.0 * dev).max(1e-6 * size), rel: 0.0, why: "4 times the f32 deviation of PyTorch" };
        self.check(tensor, got, tol, "f32");
    }

    /// What an f64 computation is compared with: the tensor, which was rounded to f32 once.
    pub fn check_f64(&self, tensor: &str, got: &[f64]) {
        let tol =
            Tol { abs: 1e-13, rel: 6.1e-8, why: "half an ulp of f32: the reference was rounded when stored" };
        self.check(tensor, got, tol, "f64");
    }

    fn check(&self, tensor: &str, got: &[f64], tol: Tol, what: &str) {
        // `compare` takes its f32 side first: here that is the stored tensor.
        let c = compare_scaled(tensor, &self.f32(tensor), got, got, tol);
        assert_passed(&format!("{} {what}", self.file), &c);
    }
}

/// The comparison passed and compared something.
pub fn assert_passed(case: &str, c: &Comparison) {
    assert!(c.elements > 0, "{case}: '{}' compared no element", c.quantity);
    assert!(
        c.passed(),
        "{case}: '{}' differs: max |err| {:e}, {:.2} of the budget ({}); {:?}",
        c.quantity,
        c.max_abs_err,
        c.budget_share,
        c.why,
        c.failures
    );
    println!("{case}: '{}' max |err| {:e}, {:.2} of the budget", c.quantity, c.max_abs_err, c.budget_share);
}

/// The same numbers in the twin's type.
pub fn cast<F: isacbench::real::Real<Elem = F>>(x: &[f32]) -> Vec<F> {
    x.iter().map(|&x| F::splat(f64::from(x))).collect()
}

pub fn to_f64<F: Copy + Into<f64>>(x: &[F]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

//! Comparing a device's numbers with a reference: |got − want| ≤ abs + rel·|want|, where any NaN or infinity on either
//! side fails.

use crate::gpu::Gpu;

/// A kernel's tolerance and the reason for its size.
#[derive(Clone, Copy, Debug)]
pub struct Tol {
    pub abs: f64,
    pub rel: f64,
    pub why: &'static str,
}

impl Tol {
    /// Equality.
    pub const EXACT: Tol = Tol { abs: 0.0, rel: 0.0, why: "integers" };
}

/// The outcome of comparing one quantity.
#[derive(Clone, Debug, serde::Serialize)]
#[must_use = "a comparison says nothing until it is looked at"]
pub struct Comparison {
    pub quantity: String,
    pub elements: usize,
    /// Largest |got − want|.
    pub max_abs_err: f64,
    /// Largest |got − want| / (abs + rel·|want|); above 1 the comparison fails. For exact comparisons 0 or infinity.
    pub budget_share: f64,
    pub tol_abs: f64,
    pub tol_rel: f64,
    pub why: &'static str,
    /// The first failures, written out; empty when the comparison passed.
    pub failures: Vec<String>,
}

impl Comparison {
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

fn compare_by(
    quantity: &str,
    n: usize,
    m: usize,
    tol: Tol,
    at: impl Fn(usize) -> (f64, f64, f64),
) -> Comparison {
    let mut c = Comparison {
        quantity: quantity.into(),
        elements: n,
        max_abs_err: 0.0,
        budget_share: 0.0,
        tol_abs: tol.abs,
        tol_rel: tol.rel,
        why: tol.why,
        failures: Vec::new(),
    };
    if n != m {
        c.failures.push(format!("{n} elements against {m}"));
        c.budget_share = f64::INFINITY;
        return c;
    }
    for i in 0..n {
        let (got, want, scale) = at(i);
        let err = (got - want).abs();
        let budget = tol.abs + tol.rel * scale.abs();
        let finite = got.is_finite() && want.is_finite();
        let share = match (finite, err == 0.0) {
            (false, _) => f64::INFINITY,
            (true, true) => 0.0,
            (true, false) => err / budget,
        };
        c.max_abs_err = if finite { c.max_abs_err.max(err) } else { f64::INFINITY };
        c.budget_share = c.budget_share.max(share);
        // A NaN share, of a NaN budget, is not within it.
        let within = share <= 1.0;
        if !within && c.failures.len() < 5 {
            c.failures.push(format!("[{i}]: got {got:e}, want {want:e}, allowed ±{budget:e}"));
        }
    }
    c
}

/// f32 results against an f64 reference.
pub fn compare(quantity: &str, got: &[f32], want: &[f64], tol: Tol) -> Comparison {
    compare_by(quantity, got.len(), want.len(), tol, |i| (f64::from(got[i]), want[i], want[i]))
}

/// As [`compare`], with the relative part scaled by `scale[i]` (for sums whose terms are larger than the result).
pub fn compare_scaled(quantity: &str, got: &[f32], want: &[f64], scale: &[f64], tol: Tol) -> Comparison {
    assert_eq!(scale.len(), want.len(), "one scale per element of '{quantity}'");
    compare_by(quantity, got.len(), want.len(), tol, |i| (f64::from(got[i]), want[i], scale[i]))
}

/// f64 results (a twin run in f64) against a reference.
pub fn compare_f64(quantity: &str, got: &[f64], want: &[f64], tol: Tol) -> Comparison {
    compare_by(quantity, got.len(), want.len(), tol, |i| (got[i], want[i], want[i]))
}

/// The bits of every number.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Numbers by their bits, exactly.
pub fn compare_words(quantity: &str, got: &[f32], want: &[f32]) -> Comparison {
    compare_exact(quantity, &bits(got), &bits(want))
}

/// Integers, exactly.
pub fn compare_exact(quantity: &str, got: &[u32], want: &[u32]) -> Comparison {
    compare_by(quantity, got.len(), want.len(), Tol::EXACT, |i| (f64::from(got[i]), f64::from(want[i]), 0.0))
}

/// What the names of the rows of [`compare_bits`] end with.
pub const TWIN_BITS: &str = ", bits of the f32 twin";

/// The bits of every number, those of 0 for −0: WGSL lets a device ignore the sign of a zero ("Differences from
/// IEEE-754"), and Mesa's compiler does where other shader words let it fold another product.
fn bits_of_a_device(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if *x == 0.0 { 0 } else { x.to_bits() }).collect()
}

/// Where the adapter promises them ([`Gpu::rounds_as_twins`]): every bit as the f32 twin, but for the sign of a zero.
/// Other devices may fuse and reassociate, so no row there.
pub fn compare_bits(gpu: &Gpu, quantity: &str, got: &[f32], want: &[f32]) -> Option<Comparison> {
    let judged = || {
        let name = format!("{quantity}{TWIN_BITS}");
        compare_exact(&name, &bits_of_a_device(got), &bits_of_a_device(want))
    };
    gpu.rounds_as_twins().then(judged)
}

/// Both judgements of a shader: [`compare_scaled`] with the f64 twin, whose numbers come with their scales, and
/// [`compare_bits`] with the f32 twin.
pub fn compare_twins(
    gpu: &Gpu,
    quantity: &str,
    got: &[f32],
    [want, scale]: [&[f64]; 2],
    tol: Tol,
    twin: &[f32],
) -> Vec<Comparison> {
    let judged = compare_scaled(quantity, got, want, scale, tol);
    std::iter::once(judged).chain(compare_bits(gpu, quantity, got, twin)).collect()
}

/// A share of elements against its cap.
pub fn compare_share(quantity: &str, hits: usize, of: usize, cap: f64, why: &'static str) -> Comparison {
    compare(quantity, &[hits as f32 / of as f32], &[0.0], Tol { abs: cap, rel: 0.0, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sign_of_a_zero_is_a_device_s_own() {
        let of = |got: &[f32], want: &[f32]| {
            compare_exact("x", &bits_of_a_device(got), &bits_of_a_device(want)).passed()
        };
        assert!(of(&[-0.0, 1.0, 0.0], &[0.0, 1.0, -0.0]));
        assert!(!of(&[-1.0], &[1.0]) && !of(&[f32::from_bits(1)], &[0.0]) && !of(&[f32::NAN], &[0.0]));
        assert!(!compare_words("x", &[-0.0], &[0.0]).passed(), "lanes of the CPU have no such freedom");
    }
}

//! The comparer can fail: every equivalence test rests on this.

use isacbench::kernels::compare::{compare, compare_exact, compare_f64, compare_scaled};
use isacbench::kernels::{Comparison, Tol};

const TOL: Tol = Tol { abs: 0.25, rel: 0.125, why: "exact in binary, so that edges can be met" };
const WANT: [f64; 4] = [0.0, -2.0, 4.0, 1024.0];

fn got() -> Vec<f32> {
    WANT.iter().map(|&w| w as f32).collect()
}

/// All three comparers, on the same numbers.
fn all(got: &[f32], want: &[f64]) -> [Comparison; 3] {
    let wide: Vec<f64> = got.iter().map(|&g| f64::from(g)).collect();
    [
        compare("f32", got, want, TOL),
        compare_f64("f64", &wide, want, TOL),
        compare_scaled("scaled", got, want, want, TOL),
    ]
}

#[test]
fn equal_numbers_pass_with_nothing_used() {
    for c in all(&got(), &WANT) {
        assert!(c.passed() && c.budget_share == 0.0 && c.max_abs_err == 0.0 && c.elements == 4, "{c:?}");
    }
    // Equal numbers need no tolerance.
    assert!(compare("exact", &got(), &WANT, Tol::EXACT).passed());
}

#[test]
fn one_perturbed_element_fails() {
    for i in 0..4 {
        let mut x = got();
        x[i] += 0.25 + 0.125 * x[i].abs() + 0.001 * (1.0 + x[i].abs());
        for c in all(&x, &WANT) {
            assert!(!c.passed() && c.budget_share > 1.0, "element {i}: {c:?}");
            assert!(c.failures.len() == 1 && c.failures[0].starts_with(&format!("[{i}]")), "{c:?}");
        }
        assert!(!compare("exact", &x, &WANT, Tol::EXACT).passed());
    }
}

#[test]
fn the_edge_of_the_budget_passes() {
    for i in 0..4 {
        for sign in [-1.0, 1.0] {
            let mut x = got();
            x[i] += sign * (0.25 + 0.125 * x[i].abs());
            for c in all(&x, &WANT) {
                assert!(c.passed() && c.budget_share == 1.0, "{c:?}");
            }
        }
    }
}

#[test]
fn nan_and_infinity_fail_on_either_side() {
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = got();
        x[2] = bad;
        let mut w = WANT;
        w[2] = f64::from(bad);
        // The third is bad on both sides, which is not agreement either.
        for c in all(&x, &WANT).into_iter().chain(all(&got(), &w)).chain(all(&x, &w)) {
            assert!(!c.passed() && c.budget_share == f64::INFINITY, "{bad}: {c:?}");
        }
    }
    // Poison of an output that was never written.
    assert!(!compare("poison", &[f32::from_bits(u32::MAX)], &[0.0], TOL).passed());
}

#[test]
fn infinite_budgets_do_not_excuse_infinities() {
    let lenient = Tol { abs: f64::INFINITY, rel: 0.0, why: "none" };
    assert!(!compare("inf", &[f32::INFINITY], &[0.0], lenient).passed());
    let broken = Tol { abs: f64::NAN, rel: 0.0, why: "none" };
    assert!(!compare("NaN budget", &[1.0], &[0.0], broken).passed());
}

#[test]
fn wrong_lengths_fail() {
    for n in [0, 3] {
        for c in all(&got()[..n], &WANT) {
            assert!(!c.passed(), "{n} elements: {c:?}");
        }
        assert!(!compare("long", &got(), &WANT[..n], TOL).passed());
        assert!(!compare_exact("short", &[1, 2, 3, 4][..n], &[1, 2, 3, 4]).passed());
    }
}

#[test]
#[should_panic(expected = "one scale per element")]
fn a_missing_scale_is_a_mistake_of_the_test() {
    let _ = compare_scaled("scale", &got(), &WANT, &WANT[..3], TOL);
}

#[test]
fn integers_are_compared_exactly() {
    assert!(compare_exact("words", &[0, 7, u32::MAX], &[0, 7, u32::MAX]).passed());
    for (got, want) in [([0, 7, u32::MAX], [0, 7, u32::MAX - 1]), ([1, 7, 9], [0, 7, 9])] {
        let c = compare_exact("words", &got, &want);
        assert!(!c.passed() && c.budget_share == f64::INFINITY, "{c:?}");
    }
}

//! Who sees how far a job is.

/// Sees how far a job is.
pub trait Watch: Sync {
    /// Run `n` of a job of several runs begins, counted from 0; its stages follow.
    fn run(&self, n: usize) {
        let _ = n;
    }
    /// A stage of `total` units begins.
    fn begin(&self, what: &str, total: u64);
    /// `units` more are done.
    fn advance(&self, units: u64, note: &str);
    fn end(&self);
    /// Something the reader of the results must know.
    fn warn(&self, what: &str);
    /// Whether the job is to save what it has and end.
    fn stops(&self) -> bool {
        false
    }
}

/// Sees nothing.
pub struct Quiet;

impl Watch for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: &str) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

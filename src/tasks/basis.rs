//! What the verdict on a claim of a paper rests on, whatever the task.

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Rows of trained or evaluated agents that could have turned out otherwise.
    Measured,
    /// Sizes, prices or equations that decide it before anything is run.
    Construction,
    /// A number that the paper leaves open and that was chosen here so that printed ones come out.
    Calibration,
}

impl Basis {
    /// In a table.
    pub fn text(self) -> &'static str {
        match self {
            Basis::Measured => "measured",
            Basis::Construction => "by construction",
            Basis::Calibration => "by calibration",
        }
    }
}

#[cfg(all(test, feature = "report"))]
mod tests {
    use super::*;

    /// Verdicts on such claims are not taken back in small runs.
    #[test]
    fn reports_know_what_is_decided_beforehand() {
        assert_eq!(Basis::Construction.text(), crate::report::BY_CONSTRUCTION);
    }
}

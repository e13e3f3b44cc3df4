//! A figure of a report with its file and its caption.

use super::bars::Bars;
use super::lines::Figure;
use crate::report::ReportError;
use crate::report::opening::fold;

/// What a report draws.
pub(crate) enum Picture {
    Lines(Figure),
    Bars(Bars),
}

impl Picture {
    pub(crate) fn svg(&self) -> Result<Option<String>, ReportError> {
        match self {
            Picture::Lines(f) => f.svg(),
            Picture::Bars(b) => b.svg(),
        }
    }
}

/// One figure with its file and caption.
pub(crate) struct Plate {
    pub(crate) file: &'static str,
    pub(crate) number: &'static str,
    pub(crate) picture: Picture,
    pub(crate) caption: String,
    /// What is missing if it cannot be drawn.
    pub(crate) needs: &'static str,
}

impl Plate {
    /// Files and documents of all, `None` for one that has nothing to show.
    ///
    /// # Errors
    /// [`ReportError::Figure`] if plotters fails.
    pub(crate) fn svgs(plates: &[Plate]) -> Result<Vec<(&'static str, Option<String>)>, ReportError> {
        plates.iter().map(|p| Ok((p.file, p.picture.svg()?))).collect()
    }

    /// The figure with its caption and `more` below it, folded away under its title; or what is missing for it.
    pub(crate) fn write_folded(&self, out: &mut String, drawn: bool, more: &str) {
        let mut body = String::new();
        self.write(&mut body, drawn);
        if !drawn && more.is_empty() {
            return out.push_str(&body);
        }
        let title = match &self.picture {
            Picture::Lines(f) => &f.title,
            Picture::Bars(b) => &b.title,
        };
        fold(out, title, &(body + more));
    }

    /// The figure with its caption, or what is missing for it.
    pub(crate) fn write(&self, out: &mut String, drawn: bool) {
        out.push_str(&match drawn {
            true => format!("![{}]({})\n\n", self.caption, self.file),
            false => format!("Figure {} is not drawn: {} in this run.\n\n", self.number, self.needs),
        });
    }
}

//! Words of reports that a stranger may not know, once: every page ends with those that it uses, and `docs/glossary.md`
//! has all of them.

use std::fmt::Write;

/// A word with what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub word: &'static str,
    /// What a page that uses it holds, in small letters; the word itself where this is empty.
    pub used: &'static [&'static str],
    pub meaning: &'static str,
}

const fn word(word: &'static str, used: &'static [&'static str], meaning: &'static str) -> Word {
    Word { word, used, meaning }
}

/// In the order of the alphabet.
pub const WORDS: &[Word] = &[
    word(
        "95 % interval",
        &["95 %"],
        "Where the mean would lie in 95 of 100 repetitions with other seeds, by bootstrap: the values are \
         drawn anew from themselves many times, and the outer 2.5 % of the means are cut off at both ends.",
    ),
    word(
        "account",
        &["account"],
        "A method of counting energy with its constants. Numbers of two accounts are not to be compared.",
    ),
    word("age", &["ages"], "Slots since the camera frame was taken that an estimate rests on."),
    word("agent", &[], "What decides in every slot. Learned agents have weights; the others follow a rule."),
    word(
        "beam kind",
        &["`angles`", "`tracking`", "`zf`"],
        "What a learned agent decides: absolute angles (`angles`), corrections of the last estimates (`tracking`), \
         corrections of the angles of zero-forcing beams (`zf`), or every weight of every antenna (`matrix`).",
    ),
    word(
        "bound",
        &["bound"],
        "A value that no agent can exceed (or undercut, where less is better). It need not be reachable.",
    ),
    word("bps/Hz", &["bps/hz"], "Bits per second and hertz: a data rate over the bandwidth that it takes."),
    word(
        "by construction",
        &[],
        "A verdict that follows from how the environment or an account is built, before anything is learned.",
    ),
    word(
        "ceiling",
        &[],
        "The most that a device reached in the same run: operations a second in a large matrix product, bytes \
         a second in a large copy.",
    ),
    word("claim", &["claims"], "A sentence of a paper that rows can contradict, with our verdict on it."),
    word("condition", &["conditions"], "Values of the swept keys under which agents are compared."),
    word("CRLB", &["crlb"], "Cramér–Rao lower bound: no unbiased estimate has a smaller mean square error."),
    word("diverged", &[], "A training whose numbers are no longer finite."),
    word(
        "effective operations",
        &["effective op"],
        "Energy of the operations that are not with a zero, as NeuroBench counts them, on 45 nm CMOS.",
    ),
    word(
        "episode",
        &["episodes"],
        "A run of the environment from its beginning to its end, of a fixed number of slots.",
    ),
    word("firing rate", &["firing rate"], "Spikes per neuron and spike step."),
    word(
        "genie",
        &[],
        "An agent that is told the truth which others have to estimate. It shows what perfect knowledge would \
         give, and cannot be built.",
    ),
    word("IQM", &["iqm"], "Interquartile mean: the mean of the middle half of the runs."),
    word(
        "Jain index",
        &["jain"],
        "How evenly rates are shared: 1 where all vehicles have the same rate, 1/K where one of K has all of it.",
    ),
    word(
        "L_BMP",
        &["l_bmp"],
        "The probability that a beam misses its vehicle, mean over vehicles; its limit is Γ_misa.",
    ),
    word(
        "mean action",
        &[],
        "A stochastic policy takes the middle of its distribution, or what is most probable, instead of drawing.",
    ),
    word(
        "measured",
        &[],
        "Of energies: read from the device's own counter. Of verdicts: from the rows of the run.",
    ),
    word(
        "paired difference",
        &["paired"],
        "Difference of two agents with one seed under one condition, so with the same draws of the environment.",
    ),
    word(
        "paper formula",
        &["paper formula", "paper's formula"],
        "Energy as the paper books it, with its own constants.",
    ),
    word("preset", &[], "Settings of a whole configuration under one name; single keys are laid over it."),
    word("reading", &["readings"], "One way to fill in what a paper leaves open."),
    word(
        "replica",
        &["replicas"],
        "One agent with its own weights, seed and task parameters among many that a job steps side by side.",
    ),
    word("RMSE", &["rmse"], "Root of the mean square error."),
    word(
        "roofline",
        &[],
        "The most operations a second that a device can do at so many operations per byte: the lower one of \
         its two ceilings.",
    ),
    word("sampled", &[], "A stochastic policy draws its action, as it does in training."),
    word(
        "seed",
        &["seeds"],
        "Number from which a replica draws everything random. Intervals are over seeds, so over whole trainings.",
    ),
    word("slot", &["slots"], "One step of the environment: the agents decide once in it."),
    word(
        "smoke",
        &[],
        "The smallest scale of a job: it shows in minutes that everything runs, and its agents have hardly \
         learned. `quick` takes half an hour or more, `full` is the study.",
    ),
    word(
        "spike step",
        &["spike step"],
        "A step in which neurons of a spiking network integrate and may fire; one decision has several.",
    ),
    word("trial", &["trials"], "One drawn set of settings of a tuning."),
    word(
        "trust region",
        &["trust region"],
        "How far one update may move a policy; a training that left it was one of another algorithm.",
    ),
    word(
        "twin",
        &["twin"],
        "The same arithmetic on a CPU, which judges a kernel of the GPU; of a network, one of equal sizes \
         without spikes.",
    ),
    word("update", &["updates"], "One round of a training: slots are stepped, then weights change."),
    word("with memory", &["with memory"], "Energy of effective operations and of the bytes that they move."),
    word(
        "zero-forcing",
        &["zero-forcing", "-zf"],
        "Beams that put the signal of each user where the others do not hear it.",
    ),
];

/// The words that a page uses; `text` is what it says.
pub fn used(text: &str) -> Vec<&'static Word> {
    let text = text.to_lowercase();
    let holds = |w: &&Word| match w.used {
        [] => text.contains(&w.word.to_lowercase()),
        some => some.iter().any(|s| text.contains(s)),
    };
    WORDS.iter().filter(holds).collect()
}

/// The page `docs/glossary.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Words\n\nEvery report ends with those of them that it uses. The list is that of \
         `src/report/glossary.rs`.\n\n| word | meaning |\n|---|---|\n",
    );
    for w in WORDS {
        let _ = writeln!(out, "| {} | {} |", w.word, w.meaning);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_said_once() {
        let names: Vec<String> = WORDS.iter().map(|w| w.word.to_lowercase()).collect();
        assert!(names.is_sorted(), "{names:?}");
        let small = |s: &&str| s.to_lowercase() == **s;
        assert!(WORDS.iter().all(|w| w.meaning.ends_with('.') && w.used.iter().all(small)));
    }

    #[test]
    fn a_page_has_the_words_that_it_uses() {
        let names = |text: &str| used(text).iter().map(|w| w.word).collect::<Vec<_>>();
        assert_eq!(names("Of `genie-zf`, over 5 seeds"), ["genie", "seed", "zero-forcing"]);
        assert!(names("nothing").is_empty());
    }
}

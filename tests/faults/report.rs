//! What a test counted, and every violation it found: it goes on to the end and fails there, because the
//! second violation often explains the first.

use crate::model::Wrong;

/// How many violations are shown whole.
const SHOWN: usize = 5;

/// Counts of one test.
#[derive(Default)]
pub struct Report {
    /// How often a home was put through it.
    pub rounds: usize,
    /// How many faults it met.
    pub faults: usize,
    /// How many operations had been acknowledged when it was held against the model.
    pub acknowledged: usize,
    /// How many commands or starts refused with a sentence.
    pub refused: usize,
    wrong: Vec<String>,
}

impl Report {
    /// Notes the violation, if there is one, with where it was met.
    pub fn hold<T>(&mut self, label: &str, checked: Result<T, Wrong>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(label, &wrong);
                None
            }
        }
    }

    /// Notes a violation.
    pub fn wrong(&mut self, label: &str, wrong: &str) {
        self.wrong.push(format!("{label}: {wrong}"));
    }

    /// Prints the counts, and fails over any violation, or if nothing was put to the test.
    #[track_caller]
    pub fn finish(self, name: &str) {
        let Report {
            rounds,
            faults,
            acknowledged,
            refused,
            wrong,
        } = self;
        println!(
            "{name}: {rounds} rounds, {faults} faults, {acknowledged} acknowledged, {refused} refused with a \
             sentence, {} wrong",
            wrong.len()
        );
        for line in wrong.iter().skip(SHOWN) {
            println!("  also wrong: {}", line.lines().next().unwrap_or_default());
        }
        assert!(
            wrong.is_empty(),
            "{name}: {} wrong, the first of them:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(SHOWN)].join("\n\n")
        );
        assert!(
            rounds > 0 && faults > 0,
            "{name}: nothing was put to the test"
        );
    }
}

//! What the work costs, beside the least it could cost, in one run: `cargo bench -p bowline-tests`.
//!
//! Every benchmark measures the raw primitive and the whole path one after the other, several times,
//! so that a busy machine slows both. See docs/benchmarks.md for how to read the table.

mod authorize;
mod clock;
mod exchange;
mod issue;
mod one_shot;
mod policy;
mod primitive;
mod report;
mod revoke;
mod sample;
mod scene;
mod store;

use report::Report;

/// A benchmark: its name on the command line and what it runs.
type Benchmark = (&'static str, fn(&Arguments, &mut Report));

/// In the order of docs/benchmarks.md.
const BENCHMARKS: [Benchmark; 8] = [
    ("issue-durable", issue::run),
    ("exchange", exchange::run),
    ("authorize", authorize::run),
    ("policy", policy::run),
    ("store", store::run),
    ("one-shot", one_shot::run),
    ("revoke", revoke::run),
    (MEMORY, exchange::memory),
];

/// Takes minutes, and runs only where it is named.
const MEMORY: &str = "exchange-memory";

/// After how many exchanges memory is looked at last, if no number is given.
const EXCHANGES: usize = 500_000;

/// How many certificates are revoked already where it shall not matter, if no number is given.
const REVOKED: usize = 10_000;

/// What stands behind `--` on the command line.
struct Arguments {
    wanted: Vec<String>,
    revoked: usize,
    exchanges: usize,
    times: u32,
}

fn main() {
    let arguments = Arguments::read(std::env::args().skip(1)).unwrap_or_else(|wrong| {
        eprintln!("{wrong}\n{}", usage());
        std::process::exit(2);
    });
    let mut report = Report::begin();
    for (name, run) in BENCHMARKS {
        if arguments.wants(name) {
            run(&arguments, &mut report);
        }
    }
    report.finish();
}

impl Arguments {
    fn read(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            wanted: Vec::new(),
            revoked: REVOKED,
            exchanges: EXCHANGES,
            times: 1,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut number = || {
                let text = words.next().unwrap_or_default();
                text.parse()
                    .map_err(|_| format!("{word} takes a number, not {text:?}"))
            };
            match word.as_str() {
                // cargo adds it for test harnesses, which this is not.
                "--bench" => {}
                "--revoked" => arguments.revoked = number()? as usize,
                "--exchanges" => arguments.exchanges = number()? as usize,
                "--times" => arguments.times = number()?,
                name if BENCHMARKS.iter().any(|(known, _)| *known == name) => {
                    arguments.wanted.push(word);
                }
                _ => return Err(format!("no benchmark is called {word:?}")),
            }
        }
        Ok(arguments)
    }

    fn wants(&self, name: &str) -> bool {
        (self.wanted.is_empty() && name != MEMORY)
            || self.wanted.iter().any(|wanted| wanted == name)
    }
}

fn usage() -> String {
    let names: Vec<&str> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
    format!(
        "usage: cargo bench -p bowline-tests -- [--times N] [--revoked N] [--exchanges N] [NAME]...\n\
         names: {}",
        names.join(", ")
    )
}

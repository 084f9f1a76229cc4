//! The table, and one line for every bar.

use crate::sample::Samples;
use std::time::Duration;

/// Collects rows while benchmarks run, and prints them as they come.
pub struct Report {
    bars: Vec<String>,
}

/// What a row says beside the costs.
#[derive(Default)]
struct Beside {
    throughput: Option<f64>,
    p50: Option<Duration>,
    p99: Option<Duration>,
}

impl Report {
    /// Prints the head of the table.
    pub fn begin() -> Report {
        print_line(&[
            "work",
            "primitive",
            "ours",
            "ratio",
            "per second",
            "p50",
            "p99",
        ]);
        Report { bars: Vec::new() }
    }

    /// A path beside its primitive. Gives the ratio: CPU of the primitive ÷ our CPU, for one operation.
    pub fn compare(&mut self, work: &str, primitive: &Samples, ours: &Samples) -> f64 {
        self.compare_costs(work, primitive.cost(), ours)
    }

    /// The same where the primitive's cost is a sum.
    pub fn compare_costs(&mut self, work: &str, primitive: f64, ours: &Samples) -> f64 {
        let beside = Beside {
            throughput: Some(ours.throughput()),
            p50: ours.percentile(0.5),
            p99: ours.percentile(0.99),
        };
        let ratio = primitive / ours.cost();
        row(work, Some(primitive), ours.cost(), Some(ratio), &beside);
        ratio
    }

    /// A part of a primitive.
    pub fn part(&mut self, work: &str, part: &Samples) {
        print_line(&[work, &time(part.cost()), "", "", "", "", ""]);
    }

    /// A cost with nothing beside it.
    pub fn note(&mut self, work: &str, ours: &Samples) {
        let beside = Beside {
            throughput: Some(ours.throughput()),
            p50: ours.percentile(0.5),
            p99: ours.percentile(0.99),
        };
        row(work, None, ours.cost(), None, &beside);
    }

    /// A bar that is reached by being at least `bar`.
    pub fn at_least(&mut self, what: &str, found: f64, bar: f64) {
        let word = verdict(found >= bar);
        let bar = format!("{what}: {word}: {} (bar: at least {})", n(found), n(bar));
        self.bars.push(bar);
    }

    /// A bar that is reached by being at most `bar`.
    pub fn at_most(&mut self, what: &str, found: f64, bar: f64) {
        let word = verdict(found <= bar);
        let bar = format!("{what}: {word}: {} (bar: at most {})", n(found), n(bar));
        self.bars.push(bar);
    }

    /// Something that could not be measured, and why.
    pub fn missing(&mut self, what: &str, why: &str) {
        self.bars.push(format!("{what}: NOT measured: {why}"));
    }

    /// Prints the bars.
    pub fn finish(self) {
        println!();
        for bar in self.bars {
            println!("{bar}");
        }
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "NOT reached" }
}

/// A number as it reads best: few digits, thousands grouped.
fn n(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.2}");
    }
    grouped(number)
}

fn row(work: &str, primitive: Option<f64>, ours: f64, ratio: Option<f64>, beside: &Beside) {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let wait = |wait: Option<Duration>| or_dash(wait.map(|wait| time(wait.as_nanos() as f64)));
    print_line(&[
        work,
        &or_dash(primitive.map(time)),
        &time(ours),
        &or_dash(ratio.map(n)),
        &or_dash(beside.throughput.map(grouped)),
        &wait(beside.p50),
        &wait(beside.p99),
    ]);
}

fn print_line(cells: &[&str; 7]) {
    let [work, rest @ ..] = cells;
    let mut line = format!("{work:<44}");
    for cell in rest {
        line.push_str(&format!("{cell:>12}"));
    }
    println!("{line}");
}

fn time(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e4 => format!("{nanos:.0} ns"),
        _ if nanos < 1e7 => format!("{:.1} µs", nanos / 1e3),
        _ => format!("{:.1} ms", nanos / 1e6),
    }
}

fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

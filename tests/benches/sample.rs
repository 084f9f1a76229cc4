//! Measurements: the cost of one operation, and how long callers waited.

use crate::clock;
use std::time::{Duration, Instant};

/// What some operations together cost, and how long each took.
#[derive(Default)]
pub struct Sample {
    /// CPU time of all of them.
    pub cpu: Duration,
    /// From the first to the last.
    pub elapsed: Duration,
    /// How many.
    pub operations: u64,
    /// How long each caller waited; empty where nobody noted it.
    pub waits: Vec<Duration>,
}

impl Sample {
    /// CPU nanoseconds of one operation.
    pub fn cost(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.operations as f64
    }
}

/// Samples of one kind of operation.
#[derive(Default)]
pub struct Samples(Vec<Sample>);

impl Samples {
    pub fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, more: Samples) {
        self.0.extend(more.0);
    }

    /// CPU nanoseconds of one operation: the median sample's, so that a busy moment counts for nothing.
    pub fn cost(&self) -> f64 {
        let mut costs: Vec<f64> = self.0.iter().map(Sample::cost).collect();
        costs.sort_by(f64::total_cmp);
        costs.get(costs.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Operations a second, over all samples.
    pub fn throughput(&self) -> f64 {
        let operations: u64 = self.0.iter().map(|sample| sample.operations).sum();
        let elapsed: Duration = self.0.iter().map(|sample| sample.elapsed).sum();
        operations as f64 / elapsed.as_secs_f64()
    }

    /// The wait that this share of all callers did not exceed.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let mut waits: Vec<Duration> = self.0.iter().flat_map(|s| s.waits.clone()).collect();
        waits.sort();
        let index = (waits.len() as f64 * share) as usize;
        waits.get(index.min(waits.len().checked_sub(1)?)).copied()
    }
}

/// Calls `operation` on this thread for about `budget`, in the given number of rounds.
pub fn repeat(rounds: u32, budget: Duration, mut operation: impl FnMut()) -> Samples {
    let calls = calls_in(budget / rounds, &mut operation);
    let mut samples = Samples::default();
    for _ in 0..rounds {
        samples.push(on_this_thread(calls, &mut operation));
    }
    samples
}

/// Two operations, a round of one after a round of the other, so that both see the same machine.
pub fn alternate(
    rounds: u32,
    budget: Duration,
    mut first: impl FnMut(),
    mut second: impl FnMut(),
) -> (Samples, Samples) {
    let round = budget / (2 * rounds);
    let calls = (calls_in(round, &mut first), calls_in(round, &mut second));
    let mut samples = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        samples.0.push(on_this_thread(calls.0, &mut first));
        samples.1.push(on_this_thread(calls.1, &mut second));
    }
    samples
}

/// How often the operation fits into the time, found by doing it.
fn calls_in(time: Duration, operation: &mut impl FnMut()) -> u64 {
    let mut calls = 1;
    loop {
        let sample = on_this_thread(calls, operation);
        if sample.elapsed * 8 >= time {
            let times = time.as_secs_f64() / sample.elapsed.as_secs_f64();
            return ((calls as f64 * times) as u64).max(1);
        }
        calls *= 4;
    }
}

/// Calls `operation` so often on this thread.
pub fn on_this_thread(calls: u64, operation: &mut impl FnMut()) -> Sample {
    let (cpu, begun) = (clock::of_thread(), Instant::now());
    for _ in 0..calls {
        operation();
    }
    Sample {
        cpu: clock::of_thread() - cpu,
        elapsed: begun.elapsed(),
        operations: calls,
        waits: Vec::new(),
    }
}

/// Runs `callers` threads, each with its own work, and counts the whole process's CPU time.
/// Each caller gives the waits of its operations.
pub fn concurrently(callers: Vec<impl FnOnce() -> Vec<Duration> + Send>) -> Sample {
    let (cpu, begun) = (clock::of_process(), Instant::now());
    let waits: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = callers.into_iter().map(|work| scope.spawn(work)).collect();
        let finished = running.into_iter();
        finished
            .flat_map(|thread| thread.join().expect("a caller does not panic"))
            .collect()
    });
    Sample {
        cpu: clock::of_process() - cpu,
        elapsed: begun.elapsed(),
        operations: waits.len() as u64,
        waits,
    }
}

/// Calls the operation and notes how long it took.
pub fn timed<T>(waits: &mut Vec<Duration>, operation: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let answer = operation();
    waits.push(begun.elapsed());
    answer
}

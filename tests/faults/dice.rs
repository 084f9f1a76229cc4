//! Chance that is the same on every run of the same test, and how much of it there shall be.

use std::time::Duration;

/// A generator that gives the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    /// One that was not thrown yet. The seed must not be zero.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*; its low bits are its weakest.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound.max(1)
    }

    /// An index below the length.
    pub fn index(&mut self, length: usize) -> usize {
        // Fits: below a length that is a usize.
        self.below(length as u64) as usize
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time below the longest.
    pub fn time(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).expect("a short time")))
    }
}

/// How often, by the environment or else as in a normal run.
pub fn size(variable: &str, normal: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(normal, |text| {
        let parsed = text.parse();
        parsed.unwrap_or_else(|_| panic!("{variable} is {text:?}, and should be a number"))
    })
}

/// All of 1..=last if there are no more than `most`, else so many, evenly spread, with both ends.
pub fn spread(last: u64, most: usize) -> Vec<u64> {
    let most = most.max(2) as u64;
    match last <= most {
        true => (1..=last).collect(),
        false => (0..most)
            .map(|step| 1 + step * (last - 1) / (most - 1))
            .collect(),
    }
}

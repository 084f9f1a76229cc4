//! The world, as far as operations may see it: a clock and a source of random bytes.
//!
//! Everything below this crate receives `now` and drawn bytes as arguments.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bowline_x509::Time;
use chrono::{DurationRound, TimeDelta, Utc};

/// Tells the time. Asked once an operation, so that an operation sees one instant.
pub trait Clock: Send + Sync {
    /// The current time in whole seconds.
    fn now(&self) -> Time;
}

/// Draws unpredictable bytes: serial numbers, nonces, key ring roots, access key ids.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`. Panics only where the operating system has no randomness left to
    /// give, when nothing a certificate authority does would be safe.
    fn fill(&self, bytes: &mut [u8]);
}

/// Draws a fixed number of bytes.
pub(crate) fn draw<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let now = Utc::now();
        // Truncation to a second only fails outside the years chrono can hold in nanoseconds (1677 to 2262).
        now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now)
    }
}

/// The operating system's random generator.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom::new()
            .fill(bytes)
            // Without randomness every serial and nonce would be a lie; there is no safe way on.
            .expect("the operating system gives random bytes");
    }
}

//! The session tokens of the instance metadata service.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bowline_service::{Entropy, Secret, Time};

/// The tokens that are good.
#[derive(Default)]
pub(super) struct Tokens {
    kept: Vec<Token>,
}

struct Token {
    text: Secret,
    ends: Time,
}

impl Tokens {
    /// A new token. Where there are as many as may be, the one that would end first ends now.
    pub(super) fn grant(&mut self, seconds: u32, now: Time, entropy: &dyn Entropy) -> Secret {
        self.kept.retain(|token| token.ends > now);
        if self.kept.len() >= TOKENS_MAX {
            let first = (0..self.kept.len()).min_by_key(|index| self.kept[*index].ends);
            if let Some(first) = first {
                self.kept.swap_remove(first);
            }
        }
        let mut bytes = [0; TOKEN_BYTES];
        entropy.fill(&mut bytes);
        let text = Secret::from(URL_SAFE.encode(bytes));
        self.kept.push(Token {
            text: text.clone(),
            ends: now + Duration::from_secs(seconds.into()),
        });
        text
    }

    /// Whether a token is good now.
    pub(super) fn accepts(&self, shown: &str, now: Time) -> bool {
        // Every one is looked at, so that the time taken tells nothing.
        self.kept.iter().fold(false, |accepted, token| {
            accepted | (same(token.text.reveal(), shown) & (token.ends > now))
        })
    }
}

/// Whether two secrets are the same, in a time that depends on their length only.
pub(super) fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let differing = one.iter().zip(other).fold(0, |differing, (a, b)| {
        std::hint::black_box(differing | (a ^ b))
    });
    one.len() == other.len() && differing == 0
}

/// Tokens at once: a process takes one and keeps it, and a machine with more clients than this makes them ask again.
const TOKENS_MAX: usize = 256;
/// Nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_service::{SystemEntropy, parse_time};

    fn noon() -> Time {
        parse_time("2026-06-01T12:00:00Z").unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_ends() {
        let mut tokens = Tokens::default();
        let token = tokens.grant(60, noon(), &SystemEntropy);
        assert!(tokens.accepts(token.reveal(), noon() + Duration::from_secs(59)));
        assert!(!tokens.accepts(token.reveal(), noon() + Duration::from_secs(60)));
        assert!(!tokens.accepts("", noon()) && !tokens.accepts(&token.reveal()[1..], noon()));
    }

    #[test]
    fn the_one_that_ends_first_makes_room() {
        let mut tokens = Tokens::default();
        let long = tokens.grant(600, noon(), &SystemEntropy);
        let short = tokens.grant(1, noon(), &SystemEntropy);
        for _ in 2..=TOKENS_MAX {
            tokens.grant(600, noon(), &SystemEntropy);
        }
        assert_eq!(tokens.kept.len(), TOKENS_MAX);
        assert!(tokens.accepts(long.reveal(), noon()));
        assert!(!tokens.accepts(short.reveal(), noon()));
    }

    #[test]
    fn secrets_are_the_same_only_whole() {
        assert!(same("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "xbc"] {
            assert!(!same("abc", other), "{other}");
        }
    }
}

//! Time-based one time passwords (RFC 6238) of the kind that every authenticator makes: HMAC-SHA-1, 30 seconds, six
//! digits.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use bowline_x509::Time;
use zeroize::Zeroizing;

/// What a device and the service share.
pub(super) struct TotpSecret(Zeroizing<[u8; SECRET_LEN]>);

impl TotpSecret {
    /// A secret of drawn bytes.
    pub(super) fn from_random(bytes: [u8; SECRET_LEN]) -> TotpSecret {
        TotpSecret(Zeroizing::new(bytes))
    }

    /// The secret that a record holds, once it is unsealed; `None` if it is none.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<TotpSecret> {
        Some(TotpSecret(Zeroizing::new(bytes.try_into().ok()?)))
    }

    /// The bytes, for sealing.
    pub(super) fn as_bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    /// As authenticators take it: base32 (RFC 4648 §6). 20 bytes are 32 characters, and need no padding.
    pub(super) fn to_base32(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(SECRET_LEN * 8 / 5));
        for group in self.0.chunks(5) {
            let bits = group
                .iter()
                .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            for at in (0..8).rev() {
                text.push(char::from(ALPHABET[(bits >> (5 * at) & 31) as usize]));
            }
        }
        text
    }

    /// The code of a time step (RFC 4226 §5.3).
    pub(super) fn code(&self, step: u64) -> String {
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*self.0);
        let tag = sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        // The low four bits of the last byte choose four bytes, of which the first bit does not count.
        let at = usize::from(tag[tag.len() - 1] & 0x0f);
        let word = u32::from_be_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
        format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
    }

    /// Whether a code is that of a step. Takes the same time whichever digit is wrong.
    pub(super) fn fits(&self, step: u64, code: &str) -> bool {
        verify_slices_are_equal(self.code(step).as_bytes(), code.as_bytes()).is_ok()
    }

    /// Which of the steps around a time a code is of. All are looked at, so that time tells nothing.
    pub(super) fn steps(&self, code: &str, now: Time) -> Vec<u64> {
        around(now).filter(|&step| self.fits(step, code)).collect()
    }

    /// The step of the second of two codes after one another.
    pub(super) fn step_of_two(&self, codes: &[String; 2], now: Time) -> Option<u64> {
        let [first, second] = codes;
        around(now).rfind(|&step| {
            let before = step
                .checked_sub(1)
                .is_some_and(|step| self.fits(step, first));
            self.fits(step, second) && before
        })
    }
}

/// The steps of which a code is taken: this one, the one before and the one after, for clocks that differ a little and
/// people who type (RFC 6238 §5.2).
fn around(now: Time) -> std::ops::RangeInclusive<u64> {
    // Before 1970 there is no step.
    let step = u64::try_from(now.timestamp()).unwrap_or(0) / STEP_SECONDS;
    step.saturating_sub(1)..=step + 1
}

/// Whether a text can be a code.
pub(super) fn is_code(text: &str) -> bool {
    text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How many bytes a secret has: the length of the hash (RFC 4226 §4).
pub(super) const SECRET_LEN: usize = 20;
/// How many digits a code has (STS: TokenCode).
pub(super) const CODE_DIGITS: usize = 6;
/// How long a step is, in seconds (RFC 6238 §4.1).
pub(super) const STEP_SECONDS: u64 = 30;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret::from_random(*b"12345678901234567890")
    }

    fn at(seconds: i64) -> Time {
        chrono::DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// RFC 4226 appendix D.
    #[test]
    fn the_codes_of_rfc_4226_are_made() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (step, code) in codes.into_iter().enumerate() {
            assert_eq!(secret().code(step as u64), code, "{step}");
        }
    }

    /// RFC 6238 appendix B, the last six of its eight digits.
    #[test]
    fn the_codes_of_rfc_6238_are_made() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = seconds / STEP_SECONDS;
            assert_eq!(secret().code(step), code, "{seconds}");
            assert_eq!(secret().steps(code, at(seconds as i64)), [step]);
        }
    }

    #[test]
    fn a_code_is_taken_a_step_early_and_a_step_late_and_no_further() {
        let code = secret().code(1_000);
        for (seconds, taken) in [
            (999 * 30 - 1, false),
            (999 * 30, true),
            (1_000 * 30, true),
            (1_002 * 30 - 1, true),
            (1_002 * 30, false),
            (-1, false),
        ] {
            assert_eq!(
                !secret().steps(&code, at(seconds)).is_empty(),
                taken,
                "{seconds}"
            );
        }
    }

    #[test]
    fn two_codes_are_after_one_another_or_prove_nothing() {
        let codes = |first, second| [secret().code(first), secret().code(second)];
        let now = at(1_000 * 30);
        assert_eq!(secret().step_of_two(&codes(999, 1_000), now), Some(1_000));
        assert_eq!(secret().step_of_two(&codes(1_000, 1_001), now), Some(1_001));
        for (first, second) in [(1_000, 999), (1_000, 1_000), (999, 1_001), (996, 997)] {
            assert_eq!(secret().step_of_two(&codes(first, second), now), None);
        }
    }

    #[test]
    fn a_secret_is_written_as_authenticators_take_it() {
        assert_eq!(*secret().to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_code_is_six_digits() {
        assert!(is_code("012345"));
        for text in ["", "12345", "1234567", "12345a", "١٢٣", "+12345"] {
            assert!(!is_code(text), "{text}");
        }
    }
}

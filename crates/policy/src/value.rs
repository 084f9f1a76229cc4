//! The typed values of conditions: decimals, dates, networks, booleans, bytes.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDate;

/// A decimal number, compared exactly: `f64` would call 2⁵³ and 2⁵³ + 1 equal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads `-12`, `3.50`, `1e3`; nothing may stand before or after.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if mantissa.len() == usize::from(mantissa.contains('.'))
            || !digits(integer)
            || !digits(fraction)
        {
            return None;
        }
        Some(Self {
            negative,
            integer: integer.as_bytes(),
            fraction: fraction.as_bytes(),
            exponent,
        })
    }

    /// Digits from the first that is not zero, without the zeros at the end.
    fn significant(self) -> impl Iterator<Item = u8> + Clone {
        let digits = self.integer.iter().chain(self.fraction).copied();
        let length = self.integer.len() + self.fraction.len();
        let trailing = digits.clone().rev().take_while(|d| *d == b'0').count();
        digits
            .take(length - trailing)
            .skip_while(|digit| *digit == b'0')
    }

    fn is_zero(self) -> bool {
        self.significant().next().is_none()
    }

    /// The power of ten of the first digit that is not zero.
    fn magnitude(self) -> i64 {
        let zeros = self.integer.iter().chain(self.fraction);
        let zeros = zeros.take_while(|digit| **digit == b'0').count();
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.exponent
            .saturating_add(length(self.integer.len()))
            .saturating_sub(length(zeros))
    }

    /// Compares by value: `10`, `10.0` and `1e1` are equal.
    pub(crate) fn compare(self, other: Decimal<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return sign(!other.negative),
            (false, true) => return sign(self.negative),
            (false, false) => {}
        }
        if self.negative != other.negative {
            return sign(self.negative);
        }
        let by_size = self
            .magnitude()
            .cmp(&other.magnitude())
            .then_with(|| self.significant().cmp(other.significant()));
        if self.negative {
            by_size.reverse()
        } else {
            by_size
        }
    }
}

fn sign(less: bool) -> Ordering {
    if less {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

/// At most nine digits, so that sums with lengths cannot overflow.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i64 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}

/// A point in time, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    seconds: i64,
    nanoseconds: u32,
}

impl Moment {
    /// Reads the W3C profile of ISO 8601 (`YYYY` … `YYYY-MM-DDThh:mm:ss.sTZD`), or seconds since
    /// 1970. Four digits alone are a year.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if numeric && !(text.len() == 4 && digits.len() == 4) {
            let seconds = text.parse().ok()?;
            return Some(Self {
                seconds,
                nanoseconds: 0,
            });
        }
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let year = number(parts.next()?, 4)?;
        let month = parts.next().map(|part| number(part, 2));
        let day = parts.next().map(|part| number(part, 2));
        if parts.next().is_some() || (time.is_some() && day.is_none()) {
            return None;
        }
        let or_first = |part: Option<Option<u32>>| part.unwrap_or(Some(1));
        let year = i32::try_from(year).ok()?;
        let date = NaiveDate::from_ymd_opt(year, or_first(month)?, or_first(day)?)?;
        let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
        let (offset, nanoseconds) = match time {
            Some(time) => time_of_day(time)?,
            None => (0, 0),
        };
        Some(Self {
            seconds: midnight + offset,
            nanoseconds,
        })
    }
}

/// Seconds after midnight UTC, and nanoseconds, of `hh:mm[:ss[.s]]TZD`.
fn time_of_day(text: &str) -> Option<(i64, u32)> {
    let zone_at = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at(zone_at);
    let behind = if zone == "Z" {
        0
    } else {
        let (hours, minutes) = zone[1..].split_once(':')?;
        let seconds = clock_seconds(number(hours, 2)?, number(minutes, 2)?, 0)?;
        if zone.starts_with('-') {
            -seconds
        } else {
            seconds
        }
    };
    let mut parts = clock.splitn(3, ':');
    let hours = number(parts.next()?, 2)?;
    let minutes = number(parts.next()?, 2)?;
    let (seconds, nanoseconds) = match parts.next() {
        None => (0, 0),
        Some(text) => match text.split_once('.') {
            None => (number(text, 2)?, 0),
            Some((seconds, fraction)) => (number(seconds, 2)?, nanoseconds(fraction)?),
        },
    };
    Some((
        clock_seconds(hours, minutes, seconds)? - behind,
        nanoseconds,
    ))
}

fn clock_seconds(hours: u32, minutes: u32, seconds: u32) -> Option<i64> {
    let fits = hours < 24 && minutes < 60 && seconds < 60;
    fits.then(|| i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds))
}

/// The first nine digits of a fraction; more are cut off.
fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    Some(digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// Exactly `length` digits.
fn number(text: &str, length: usize) -> Option<u32> {
    let fits = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// An address or a block of addresses. IPv4 and IPv6 never meet, mapped addresses neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Network {
    /// Reads `address` or `address/prefix`; host bits are masked off.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix_length(prefix)?)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(address) => {
                let host = 32_u32.checked_sub(prefix.unwrap_or(32))?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                let bits = u32::from(address) & mask;
                Some(Self::V4 { bits, mask })
            }
            IpAddr::V6(address) => {
                let host = 128_u32.checked_sub(prefix.unwrap_or(128))?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                let bits = u128::from(address) & mask;
                Some(Self::V6 { bits, mask })
            }
        }
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { bits, mask }, IpAddr::V4(own)) => u32::from(own) & mask == bits,
            (Self::V6 { bits, mask }, IpAddr::V6(own)) => u128::from(own) & mask == bits,
            _ => false,
        }
    }
}

fn prefix_length(text: &str) -> Option<u32> {
    let fits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// `true` or `false` in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The bytes of padded base64 (RFC 4648 §4).
pub(crate) fn binary(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(a: &str, b: &str) -> Option<Ordering> {
        Some(Decimal::parse(a)?.compare(Decimal::parse(b)?))
    }

    #[test]
    fn decimals_compare_by_value() {
        for (a, b, expected) in [
            ("10", "10.0", Ordering::Equal),
            ("1e1", "10", Ordering::Equal),
            ("0.1e-1", "0.010", Ordering::Equal),
            ("-0", "0.000", Ordering::Equal),
            ("0010", "10", Ordering::Equal),
            ("9007199254740992", "9007199254740993", Ordering::Less),
            ("0.1", "0.10000000000000000001", Ordering::Less),
            ("-1", "0", Ordering::Less),
            ("-2", "-1", Ordering::Less),
            ("9", "10", Ordering::Less),
            ("100", "99.999", Ordering::Greater),
            ("1e999999999", "2", Ordering::Greater),
            ("1e-999999999", "0", Ordering::Greater),
            ("0e999999999", "0", Ordering::Equal),
            (".5", "0.5", Ordering::Equal),
            ("5.", "5", Ordering::Equal),
        ] {
            assert_eq!(compare(a, b), Some(expected), "{a} {b}");
            assert_eq!(compare(b, a), Some(expected.reverse()), "{b} {a}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_none() {
        for text in [
            "", "-", ".", "1abc", " 1", "1 ", "1.2.3", "0x1", "1e", "1e1.5", "NaN", "١",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn dates_in_every_profile_name_one_moment() {
        let newyear = Moment::parse("2030-01-01T00:00:00Z");
        for text in [
            "2030",
            "2030-01",
            "2030-01-01",
            "2030-01-01T00:00Z",
            "2030-01-01T01:00+01:00",
            "2029-12-31T19:30:00-04:30",
            "2030-01-01T00:00:00.000Z",
            "1893456000",
        ] {
            assert_eq!(Moment::parse(text), newyear, "{text}");
            assert!(newyear.is_some());
        }
        assert!(Moment::parse("2030-01-01T00:00:00.1Z") > newyear);
        assert!(Moment::parse("-1") < Moment::parse("1970"));
        assert!(Moment::parse("-200").is_some_and(|moment| moment.seconds == -200));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "-",
            "20301",
            "2030-1",
            "2030-13",
            "2030-02-30",
            "2030-01T00:00Z",
            "2030-01-01T00:00",
            "2030-01-01T24:00Z",
            "2030-01-01T00:00:60Z",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00+0100",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00z",
            "99999999999999999999",
            "2030-01-01-01",
            "2030-01-01T00:00Zx",
        ] {
            let moment = Moment::parse(text);
            // Five digits are seconds since 1970.
            assert_eq!(moment.is_none(), text != "20301", "{text:?} {moment:?}");
        }
    }

    #[test]
    fn networks_mask_host_bits_and_keep_families_apart() {
        let contains = |network: &str, address: &str| {
            Network::parse(network)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("10.1.2.3/8", "10.9.9.9"));
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "::ffff:1.2.3.4"));
        assert!(contains("2001:DB8::/32", "2001:db8:ffff::"));
        assert!(!contains("203.0.113.9", "203.0.113.8"));
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0/8",
            "10.0.0.0/",
            "x",
        ] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn booleans_and_bytes() {
        assert_eq!(boolean("TRUE"), Some(true));
        assert_eq!(boolean("maybe"), None);
        assert_eq!(binary("QmluYXJ5"), Some(b"Binary".to_vec()));
        assert_ne!(binary("qmluyxj5"), binary("QmluYXJ5"));
        assert_eq!(binary("QmluYXJ"), None);
    }

    proptest! {
        #[test]
        fn decimals_agree_with_integers(a in any::<i64>(), b in any::<i64>(), zeros in 0..3_usize) {
            let text = format!("{b}.{}", "0".repeat(zeros));
            prop_assert_eq!(compare(&a.to_string(), &text), Some(a.cmp(&b)));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9eETZ:./a]{0,24}") {
            if let Some(decimal) = Decimal::parse(&text) {
                prop_assert_eq!(decimal.compare(decimal), Ordering::Equal);
            }
            let _ = Moment::parse(&text);
            let _ = Network::parse(&text);
        }
    }
}

//! The times of certificates and CRLs (RFC 5280 §4.1.2.5).

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

use crate::asn1::{self, DerError, Element};

/// A moment in whole seconds of UTC, as certificates count them.
pub type Time = DateTime<Utc>;

/// The period a certificate is good for, both ends included (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    /// The first second.
    pub not_before: Time,
    /// The last second.
    pub not_after: Time,
}

impl Validity {
    /// Whether the moment lies in the period. A moment inside the last second is still in it.
    pub fn contains(&self, now: Time) -> bool {
        self.not_before <= now && now.timestamp() <= self.not_after.timestamp()
    }
}

/// Which of the two ASN.1 types a time was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeEncoding {
    /// UTCTime: two digits of year, 1950 to 2049.
    Utc,
    /// GeneralizedTime: four digits of year.
    Generalized,
}

/// A time as it stands in a certificate or CRL: the moment, and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncodedTime {
    /// The moment.
    pub time: Time,
    /// The type it was written in.
    pub encoding: TimeEncoding,
}

impl EncodedTime {
    /// Whether the type is the one RFC 5280 §4.1.2.5 demands: UTCTime through 2049, GeneralizedTime from 2050.
    pub fn is_conforming(&self) -> bool {
        (self.time.year() >= GENERALIZED_FROM_YEAR) == (self.encoding == TimeEncoding::Generalized)
    }

    /// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms RFC 5280 §4.1.2.5.1–2 admits.
    pub(crate) fn from_element(
        element: &Element<'_>,
        field: &'static str,
    ) -> Result<EncodedTime, DerError> {
        let invalid = DerError::Value {
            field,
            rule: "a time is YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ and a real date",
        };
        let (encoding, year_digits) = match element.tag {
            asn1::UTC_TIME => (TimeEncoding::Utc, 2),
            asn1::GENERALIZED_TIME => (TimeEncoding::Generalized, 4),
            found => {
                return Err(DerError::Tag {
                    field,
                    expected: asn1::UTC_TIME,
                    found,
                });
            }
        };
        let Some((b'Z', digits)) = element.content.split_last() else {
            return Err(invalid);
        };
        if digits.len() != year_digits + TWO_DIGIT_PARTS * 2
            || !digits.iter().all(u8::is_ascii_digit)
        {
            return Err(invalid);
        }
        let (year, parts) = digits.split_at(year_digits);
        let number = |digits: &[u8]| {
            digits
                .iter()
                .fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))
        };
        let part = |index: usize| number(&parts[index * 2..index * 2 + 2]);
        let year = match (encoding, number(year)) {
            (TimeEncoding::Generalized, year) => year,
            (TimeEncoding::Utc, year) if year >= 50 => 1900 + year,
            (TimeEncoding::Utc, year) => 2000 + year,
        };
        // Cannot overflow: four decimal digits.
        let date = NaiveDate::from_ymd_opt(year as i32, part(0), part(1));
        let moment = date.and_then(|date| date.and_hms_opt(part(2), part(3), part(4)));
        let time = moment.ok_or(invalid)?.and_utc();
        Ok(EncodedTime { time, encoding })
    }
}

/// Encodes a moment in the type RFC 5280 §4.1.2.5 demands for its year. Parts of a second are dropped.
///
/// Years outside 0 to 9999 cannot be written; they become the nearest year's end that can.
pub fn time_to_der(time: Time) -> Vec<u8> {
    let year = time.year();
    if year > 9999 {
        return asn1::element(asn1::GENERALIZED_TIME, NO_EXPIRY);
    }
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    if (1950..GENERALIZED_FROM_YEAR).contains(&year) {
        asn1::element(
            asn1::UTC_TIME,
            format!("{:02}{rest}", year.rem_euclid(100)).as_bytes(),
        )
    } else {
        asn1::element(
            asn1::GENERALIZED_TIME,
            format!("{:04}{rest}", year.max(0)).as_bytes(),
        )
    }
}

/// The first year that UTCTime must not carry (RFC 5280 §4.1.2.5).
const GENERALIZED_FROM_YEAR: i32 = 2050;

/// Month, day, hour, minute, second.
const TWO_DIGIT_PARTS: usize = 5;

/// The time for "no well-defined expiration date" (RFC 5280 §4.1.2.5).
const NO_EXPIRY: &[u8] = b"99991231235959Z";

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn encoded(text: &str) -> (u8, String) {
        let der = time_to_der(time(text));
        (der[0], String::from_utf8(der[2..].to_vec()).unwrap())
    }

    #[test]
    fn both_ends_are_included() {
        let validity = Validity {
            not_before: time("2026-01-01T00:00:00Z"),
            not_after: time("2026-01-02T00:00:00Z"),
        };
        assert!(validity.contains(validity.not_before));
        assert!(validity.contains(validity.not_after));
        assert!(validity.contains(time("2026-01-02T00:00:00.9Z")));
        assert!(!validity.contains(time("2026-01-02T00:00:01Z")));
        assert!(!validity.contains(time("2025-12-31T23:59:59Z")));
    }

    #[test]
    fn the_type_follows_the_year() {
        assert_eq!(
            encoded("2049-12-31T23:59:59Z"),
            (asn1::UTC_TIME, "491231235959Z".into())
        );
        assert_eq!(
            encoded("2050-01-01T00:00:00Z"),
            (asn1::GENERALIZED_TIME, "20500101000000Z".into())
        );
        assert_eq!(
            encoded("1950-01-01T00:00:00Z"),
            (asn1::UTC_TIME, "500101000000Z".into())
        );
        assert_eq!(
            encoded("1949-12-31T23:59:59Z"),
            (asn1::GENERALIZED_TIME, "19491231235959Z".into())
        );
        assert_eq!(
            encoded("9999-12-31T23:59:59Z"),
            (asn1::GENERALIZED_TIME, "99991231235959Z".into())
        );
        assert_eq!(time_to_der(Time::MAX_UTC)[2..], *NO_EXPIRY);
    }

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "1950-01-01T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "2000-02-29T12:30:45Z",
            "2050-01-01T00:00:00Z",
        ] {
            let der = time_to_der(time(text));
            let element = asn1::Cursor::new(&der).any("time").unwrap();
            let read = EncodedTime::from_element(&element, "time").unwrap();
            assert_eq!(read.time, time(text));
            assert!(read.is_conforming());
        }
    }
}

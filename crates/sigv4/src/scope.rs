//! Dates, credential scopes and the `Authorization` header.

use crate::error::{SignatureError, quoted};
use bowline_x509::Time;
use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

/// The last part of every credential scope.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// The longest access key id, region or service: AWS's own stay under 128 (STS model).
const SCOPE_PART_BYTES_MAX: usize = 128;

/// The second a request was signed, beside its text `YYYYMMDDTHHMMSSZ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub time: Time,
    text: [u8; 16],
}

impl Timestamp {
    /// Reads exactly `YYYYMMDDTHHMMSSZ` (ISO 8601 basic form).
    pub fn parse(text: &str) -> Result<Timestamp, SignatureError> {
        read_basic(text).ok_or_else(|| SignatureError::MalformedDate {
            value: quoted(text),
        })
    }

    /// Reads a `Date` header, which signers without `x-amz-date` send in either form:
    /// the basic one or HTTP's own (RFC 9110 §5.6.7).
    pub fn parse_date_header(text: &str) -> Result<Timestamp, SignatureError> {
        if let Some(timestamp) = read_basic(text) {
            return Ok(timestamp);
        }
        DateTime::parse_from_rfc2822(text)
            .ok()
            .and_then(|t| Timestamp::from_time(t.with_timezone(&Utc)))
            .ok_or_else(|| SignatureError::MalformedDate {
                value: quoted(text),
            })
    }

    /// `None` outside the years 0 to 9999, which the text form cannot hold.
    pub fn from_time(time: Time) -> Option<Timestamp> {
        let year = u32::try_from(time.year()).ok().filter(|y| *y <= 9999)?;
        let mut text = *b"00000000T000000Z";
        write_digits(&mut text[0..4], year);
        write_digits(&mut text[4..6], time.month());
        write_digits(&mut text[6..8], time.day());
        write_digits(&mut text[9..11], time.hour());
        write_digits(&mut text[11..13], time.minute());
        write_digits(&mut text[13..15], time.second());
        // Whole seconds: the text has no fraction.
        let time = time.with_nanosecond(0)?;
        Some(Timestamp { time, text })
    }

    /// `YYYYMMDDTHHMMSSZ`.
    pub fn text(&self) -> &str {
        // Cannot fail: only ASCII digits and the two letters are ever written.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `YYYYMMDD`.
    pub fn day(&self) -> &str {
        &self.text()[..8]
    }
}

fn read_basic(text: &str) -> Option<Timestamp> {
    let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let year = i32::try_from(digits(&bytes[0..4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, digits(&bytes[4..6])?, digits(&bytes[6..8])?)?;
    let time = date.and_hms_opt(
        digits(&bytes[9..11])?,
        digits(&bytes[11..13])?,
        digits(&bytes[13..15])?,
    )?;
    Some(Timestamp {
        time: time.and_utc(),
        text: bytes,
    })
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}

fn write_digits(out: &mut [u8], mut number: u32) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// What a signature is good for: one day, one region, one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `YYYYMMDD`.
    pub date: String,
    /// For example `us-east-1`.
    pub region: String,
    /// For example `s3` or `rolesanywhere`.
    pub service: String,
}

impl Scope {
    /// Appends `YYYYMMDD/region/service/aws4_request`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for part in [&self.date, &self.region, &self.service] {
            out.extend_from_slice(part.as_bytes());
            out.push(b'/');
        }
        out.extend_from_slice(TERMINATOR.as_bytes());
    }
}

/// The five parts of a credential as sent; only their form is known to be right.
#[derive(Clone, Copy)]
pub(crate) struct Credential<'a> {
    pub id: &'a str,
    date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    terminator: &'a str,
}

/// Splits `ID/YYYYMMDD/REGION/SERVICE/aws4_request`.
pub(crate) fn split_credential(credential: &str) -> Result<Credential<'_>, SignatureError> {
    let malformed = || SignatureError::MalformedScope {
        credential: quoted(credential),
    };
    let mut parts = credential.split('/');
    let mut next = || {
        parts.next().filter(|part| {
            (1..=SCOPE_PART_BYTES_MAX).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_graphic() && b != b',')
        })
    };
    let (Some(id), Some(date), Some(region), Some(service), Some(terminator)) =
        (next(), next(), next(), next(), next())
    else {
        return Err(malformed());
    };
    if parts.next().is_some() {
        return Err(malformed());
    }
    Ok(Credential {
        id,
        date,
        region,
        service,
        terminator,
    })
}

impl Credential<'_> {
    /// The scope, if the end and the day are right too. Everything that is wrong is told at once, in the order in
    /// which AWS tells it: who signs for the wrong region mostly signs for the wrong day as well.
    pub fn scope(
        &self,
        timestamp: &Timestamp,
        region: Result<(), SignatureError>,
        service: Result<(), SignatureError>,
    ) -> Result<Scope, SignatureError> {
        let mut faults: Vec<SignatureError> = [region.err(), service.err()]
            .into_iter()
            .flatten()
            .collect();
        if self.terminator != TERMINATOR {
            faults.push(SignatureError::ScopeTerminator {
                found: quoted(self.terminator),
            });
        }
        if self.date != timestamp.day() {
            faults.push(SignatureError::ScopeDateMismatch {
                scope: quoted(self.date),
                date: timestamp.day().to_owned(),
            });
        }
        match faults.pop() {
            None => Ok(Scope {
                date: self.date.to_owned(),
                region: self.region.to_owned(),
                service: self.service.to_owned(),
            }),
            Some(only) if faults.is_empty() => Err(only),
            Some(last) => {
                faults.push(last);
                Err(SignatureError::ScopeFaults { faults })
            }
        }
    }
}

/// The fields of an `Authorization` header: `ALG Credential=…, SignedHeaders=…, Signature=…`.
pub(crate) struct Authorization<'a> {
    pub credential: &'a str,
    pub signed_headers: &'a str,
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Fields stand in any order, separated by a comma with or without spaces, each exactly once. Whatever is missing
    /// is told at once, together with what the caller knows to be missing beside them.
    pub fn parse(
        fields: &'a str,
        also_missing: Option<&'static str>,
    ) -> Result<Authorization<'a>, SignatureError> {
        let malformed = |reason| SignatureError::MalformedAuthorization { reason };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        // No fields at all are missing, not malformed.
        for field in fields.split(',').filter(|_| !fields.is_empty()) {
            let (key, value) = field
                .trim_matches([' ', '\t'])
                .split_once('=')
                .ok_or(malformed("a field is not of the form Key=value"))?;
            let place = match key {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => {
                    return Err(malformed(
                        "a field is none of Credential, SignedHeaders, Signature",
                    ));
                }
            };
            if place.replace(value).is_some() {
                return Err(malformed("a field is repeated"));
            }
        }
        match (credential, signed_headers, signature, also_missing) {
            (Some(credential), Some(signed_headers), Some(signature), None) => Ok(Authorization {
                credential,
                signed_headers,
                signature,
            }),
            _ => {
                let names = [
                    credential.is_none().then_some("Credential"),
                    signature.is_none().then_some("Signature"),
                    signed_headers.is_none().then_some("SignedHeaders"),
                    also_missing,
                ];
                Err(SignatureError::MissingParameter {
                    names: names.into_iter().flatten().collect(),
                })
            }
        }
    }
}

/// Splits an `Authorization` value into its scheme and the rest.
pub(crate) fn split_scheme(value: &str) -> (&str, &str) {
    match value.split_once([' ', '\t']) {
        Some((scheme, rest)) => (scheme, rest.trim_matches([' ', '\t'])),
        None => (value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written_exactly() {
        let timestamp = Timestamp::parse("20260601T120003Z").unwrap();
        assert_eq!(timestamp.time.to_rfc3339(), "2026-06-01T12:00:03+00:00");
        assert_eq!(timestamp.day(), "20260601");
        assert_eq!(Timestamp::from_time(timestamp.time), Some(timestamp));
        for bad in [
            "",
            "20260601T120003",
            "20260601T120003z",
            "20260601 120003Z",
            "20261301T120003Z",
            "20260230T120003Z",
            "20260601T240000Z",
            "20260601T120060Z",
            "+0260601T120003Z",
            "2026-06-01T12:00",
        ] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_header_may_be_in_either_form() {
        for text in ["20110909T233600Z", "Fri, 09 Sep 2011 23:36:00 GMT"] {
            let timestamp = Timestamp::parse_date_header(text).unwrap();
            assert_eq!(timestamp.text(), "20110909T233600Z");
        }
        assert!(Timestamp::parse_date_header("yesterday").is_err());
    }

    #[test]
    fn years_beyond_four_digits_have_no_text() {
        assert_eq!(Timestamp::from_time(Time::MAX_UTC), None);
        assert_eq!(Timestamp::from_time(Time::MIN_UTC), None);
    }

    #[test]
    fn a_credential_has_five_parts_and_the_day_of_the_request() {
        let timestamp = Timestamp::parse("20260601T120003Z").unwrap();
        let split = |c: &'static str| {
            let credential = split_credential(c).map_err(|e| e.code())?;
            let scope = credential.scope(&timestamp, Ok(()), Ok(()));
            scope
                .map(|scope| (credential.id, scope.region, scope.service))
                .map_err(|e| e.code())
        };
        assert_eq!(
            split("A/20260601/us-east-1/s3/aws4_request"),
            Ok(("A", "us-east-1".to_owned(), "s3".to_owned()))
        );
        for bad in [
            "",
            "A",
            "A/20260601/us-east-1/s3",
            "A/20260601/us-east-1/s3/aws4_request/",
            "A/20260601//s3/aws4_request",
            "/20260601/us-east-1/s3/aws4_request",
            "A/20260601/us east/s3/aws4_request",
        ] {
            assert_eq!(split(bad), Err("malformed_scope"), "{bad}");
        }
        for other in ["20260602", "2026060", "2026O601", "+0260601"] {
            let credential = format!("A/{other}/us-east-1/s3/aws4_request");
            let split = split_credential(&credential).unwrap();
            let refused = split.scope(&timestamp, Ok(()), Ok(())).unwrap_err();
            assert_eq!(refused.code(), "scope_date_mismatch", "{other}");
        }
        assert_eq!(
            split("A/20260601/us-east-1/s3/aws5_request"),
            Err("scope_terminator")
        );
    }

    #[test]
    fn all_faults_of_a_scope_are_told_at_once() {
        let timestamp = Timestamp::parse("20260601T120003Z").unwrap();
        let credential = split_credential("A/20260602/r/s3/aws5_request").unwrap();
        let region = SignatureError::RegionNotAllowed {
            region: "r".to_owned(),
            allowed: "us-east-1".to_owned(),
        };
        let refused = credential.scope(&timestamp, Err(region), Ok(()));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "region r is not accepted, only us-east-1; the credential scope ends in \"aws5_request\", not in \
             aws4_request; the credential scope is for 20260602 but the request is dated 20260601"
        );
    }

    #[test]
    fn authorization_fields_stand_once_in_any_order() {
        let parse = |fields| {
            Authorization::parse(fields, None)
                .map(|a| format!("{}|{}|{}", a.credential, a.signed_headers, a.signature))
                .map_err(|e| e.code())
        };
        assert_eq!(
            parse("Credential=a/b,SignedHeaders=c;d,Signature=e").as_deref(),
            Ok("a/b|c;d|e")
        );
        assert_eq!(
            parse("Signature=e,  SignedHeaders=c;d , Credential=a/b").as_deref(),
            Ok("a/b|c;d|e")
        );
        for bad in [
            "Credential",
            "Credential=a, Credential=b, SignedHeaders=c, Signature=d",
            "Credential=a, SignedHeaders=c, Signature=d, Other=e",
            "credential=a, SignedHeaders=c, Signature=d",
            "Credential=a, SignedHeaders=c, Signature=d,",
        ] {
            assert_eq!(parse(bad), Err("malformed_authorization"), "{bad}");
        }
        for (fields, missing) in [
            ("Credential=a, Signature=d", "SignedHeaders, x-amz-date"),
            ("", "Credential, Signature, SignedHeaders, x-amz-date"),
        ] {
            let refused = Authorization::parse(fields, Some("x-amz-date"))
                .err()
                .unwrap();
            assert_eq!(refused.code(), "missing_parameter");
            assert!(refused.to_string().ends_with(missing), "{refused}");
        }
    }
}

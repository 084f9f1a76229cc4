//! What a signature itself tells: the condition keys of S3 about it, and until when a presigned URL lives.

use std::collections::BTreeMap;

use bowline_x509::Time;
use chrono::{DateTime, NaiveDateTime, TimeDelta};

use super::decision::ContextValue;
use crate::s3::decode;

/// The query form of a signature, once it was verified.
pub(crate) struct Presigned {
    /// When it was signed.
    pub(crate) signed_at: Time,
    /// The last second in which it counts.
    pub(crate) until: Time,
}

impl Presigned {
    /// Reads a target. `None` where it carries no signature, or one that no verifier accepted.
    pub(crate) fn of(target: &str) -> Option<Presigned> {
        if !target.contains('?') {
            return None;
        }
        parameter(target, "X-Amz-Signature")?;
        let date = parameter(target, "X-Amz-Date")?;
        let signed_at = NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ").ok()?;
        let seconds: i64 = parameter(target, "X-Amz-Expires")?.parse().ok()?;
        let signed_at: DateTime<_> = signed_at.and_utc();
        Some(Presigned {
            signed_at,
            until: signed_at.checked_add_signed(TimeDelta::try_seconds(seconds)?)?,
        })
    }
}

/// `s3:authType`, `s3:signatureversion`, `s3:signatureAge` and `s3:x-amz-content-sha256`.
pub(super) fn signature_keys(
    target: &str,
    headers: &[(String, String)],
    presigned: Option<&Presigned>,
    now: Time,
    given: &mut BTreeMap<String, ContextValue>,
) {
    let mut set = |key: &str, value: String| {
        given.retain(|known, _| !known.eq_ignore_ascii_case(key));
        given.insert(key.to_owned(), ContextValue::One(value));
    };
    let (kind, age) = match presigned {
        Some(presigned) => {
            let age = now.signed_duration_since(presigned.signed_at);
            ("REST-QUERY-STRING", Some(age.num_milliseconds().max(0)))
        }
        None => ("REST-HEADER", None),
    };
    set("s3:authType", kind.into());
    set("s3:signatureversion", "AWS4-HMAC-SHA256".into());
    if let Some(age) = age {
        set("s3:signatureAge", age.to_string());
    }
    let declared = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"))
        .map(|(_, value)| value.trim().to_owned())
        .or_else(|| {
            presigned?;
            parameter(target, "X-Amz-Content-Sha256").or(Some("UNSIGNED-PAYLOAD".into()))
        });
    if let Some(declared) = declared {
        set("s3:x-amz-content-sha256", declared);
    }
}

/// The decoded value of a parameter.
fn parameter(target: &str, name: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|part| {
        let (known, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(known)? == name).then(|| decode(value)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(target: &str, headers: &[(&str, &str)], age: i64) -> Vec<String> {
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let now = NaiveDateTime::parse_from_str("20260601T120000Z", "%Y%m%dT%H%M%SZ").unwrap();
        let now = now.and_utc() + TimeDelta::seconds(age);
        let mut given = BTreeMap::new();
        signature_keys(
            target,
            &headers,
            Presigned::of(target).as_ref(),
            now,
            &mut given,
        );
        given
            .into_iter()
            .map(|(key, value)| match value {
                ContextValue::One(value) => format!("{key}={value}"),
                ContextValue::Many(_) => unreachable!("none of them is a set"),
            })
            .collect()
    }

    #[test]
    fn a_presigned_url_tells_its_age() {
        let target = "/b/k?X-Amz-Date=20260601T120000Z&X-Amz-Expires=60&X-Amz-Signature=s";
        assert_eq!(
            keys(target, &[], 5),
            [
                "s3:authType=REST-QUERY-STRING",
                "s3:signatureAge=5000",
                "s3:signatureversion=AWS4-HMAC-SHA256",
                "s3:x-amz-content-sha256=UNSIGNED-PAYLOAD",
            ]
        );
        let presigned = Presigned::of(target).unwrap();
        assert_eq!((presigned.until - presigned.signed_at).num_seconds(), 60);
        // The verifier decodes names too.
        let spelled = target.replace("X-Amz-Expires", "X%2DAmz%2DExpires");
        assert!(Presigned::of(&spelled).is_some());
    }

    #[test]
    fn a_header_signature_has_no_age() {
        let headers = [("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")];
        assert_eq!(
            keys("/b/k?acl", &headers, 5),
            [
                "s3:authType=REST-HEADER",
                "s3:signatureversion=AWS4-HMAC-SHA256",
                "s3:x-amz-content-sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            ]
        );
    }
}

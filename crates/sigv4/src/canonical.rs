//! The canonical request and the string to sign.

use crate::error::{SignatureError, quoted};
use crate::payload::{hex_of, sha256};
use crate::request::{View, any_byte, has_prefix, is_space, is_token, trimmed};
use crate::scope::{Scope, Timestamp};
use crate::uri::EqualsSign;

/// The names in `SignedHeaders`: lower case, sorted, distinct, and all of them in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedHeaders {
    /// As it stands in the canonical request: `a;b;c`.
    pub text: String,
}

impl SignedHeaders {
    /// Checks the list itself, then against the request: `host` and every `x-amz-*` header must be on it
    /// (an unsigned one would be free input for whoever holds the request), and nothing that is absent.
    pub fn parse(text: &str, view: &View<'_>) -> Result<SignedHeaders, SignatureError> {
        check_list(text)?;
        let signed = SignedHeaders {
            text: text.to_owned(),
        };
        let unsigned = |name: &str| SignatureError::UnsignedHeader {
            name: name.to_ascii_lowercase(),
        };
        check_host_is_signed(text)?;
        for (name, _) in view.headers {
            if has_prefix(name, "x-amz-")
                && !signed.holds(name)
                && !is_repeated_in_query(name, view)
            {
                return Err(unsigned(name));
            }
        }
        for name in signed.names() {
            let present = match name {
                "host" => view.host.is_some(),
                _ => view.header(name).is_some(),
            };
            if !present {
                return Err(SignatureError::SignedHeaderAbsent { name: quoted(name) });
            }
        }
        Ok(signed)
    }

    /// The names in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.text.split(';')
    }

    /// Whether a name is on the list, in any case.
    pub fn holds(&self, name: &str) -> bool {
        self.text
            .as_bytes()
            .split(|b| *b == b';')
            .any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Refuses a list without the host: a signature for no host in particular would be one for every host.
pub(crate) fn check_host_is_signed(list: &str) -> Result<(), SignatureError> {
    if list
        .split(';')
        .any(|name| name.eq_ignore_ascii_case("host"))
    {
        return Ok(());
    }
    Err(SignatureError::UnsignedHeader {
        name: "host".to_owned(),
    })
}

fn check_list(text: &str) -> Result<(), SignatureError> {
    let malformed = |reason| SignatureError::MalformedSignedHeaders { reason };
    let mut before = "";
    for name in text.split(';') {
        if name.is_empty() {
            return Err(malformed("it is empty or holds an empty name"));
        }
        if !name.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase()) {
            return Err(malformed("a name is not a lower-case header name"));
        }
        if name <= before {
            return Err(malformed("its names are not sorted, or one is repeated"));
        }
        before = name;
    }
    Ok(())
}

/// A presigning client may send its `X-Amz-Date` and token as headers too, unsigned. With the very value
/// that the query holds, and therefore signs, the header says nothing new.
fn is_repeated_in_query(name: &str, view: &View<'_>) -> bool {
    [
        ("x-amz-date", "X-Amz-Date"),
        ("x-amz-security-token", "X-Amz-Security-Token"),
    ]
    .into_iter()
    .any(|(header, parameter)| {
        name.eq_ignore_ascii_case(header)
            && view.query.has("X-Amz-Signature")
            && view
                .query
                .value(parameter)
                .is_some_and(|value| view.header(header) == Some(&value))
    })
}

/// How one canonical request is spelled; a verifier may have to try several.
#[derive(Clone, Copy)]
pub(crate) struct Spelling<'a> {
    /// Encoded already.
    pub path: &'a [u8],
    pub equals: EqualsSign,
    /// A query parameter to leave out: the one that holds the signature.
    pub without: Option<&'static str>,
    pub host: &'a [u8],
}

/// Builds the canonical request.
pub(crate) fn canonical_request(
    view: &View<'_>,
    spelling: &Spelling<'_>,
    signed: &SignedHeaders,
    payload: &[u8],
) -> Vec<u8> {
    let headers: usize = view
        .headers
        .iter()
        .map(|(n, v)| n.len() + v.len() + 2)
        .sum();
    let mut out = Vec::with_capacity(headers + signed.text.len() + spelling.path.len() + 512);
    out.extend_from_slice(view.method.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(spelling.path);
    out.push(b'\n');
    view.query
        .write(&mut out, spelling.equals, spelling.without);
    out.push(b'\n');
    for name in signed.names() {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        if name == "host" {
            write_value(&mut out, spelling.host);
        } else {
            write_values(&mut out, view, name);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed.text.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload);
    out
}

/// All values of a header in the order they came, joined by commas. The lines of a folded header
/// (RFC 9112 §5.2) count as values of their own, as in AWS's test suite.
fn write_values(out: &mut Vec<u8>, view: &View<'_>, name: &str) {
    let values = view
        .headers
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case(name));
    for (i, (_, value)) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_lines(out, trimmed(value));
    }
}

fn write_lines(out: &mut Vec<u8>, value: &[u8]) {
    if !any_byte(value, |b| b == b'\n') {
        write_value(out, value);
        return;
    }
    for (i, line) in value.split(|b| *b == b'\n').enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_value(out, line);
    }
}

/// Trims, and makes one space of every run of white space.
fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    let value = trimmed(value);
    if !any_byte(value, |b| b <= b' ') {
        out.extend_from_slice(value);
        return;
    }
    let mut in_space = false;
    for &byte in value {
        let space = is_space(byte);
        if !space {
            out.push(byte);
        } else if !in_space {
            out.push(b' ');
        }
        in_space = space;
    }
}

/// Builds the string to sign: label, date, scope, hash of the canonical request.
pub(crate) fn string_to_sign(
    algorithm: &str,
    timestamp: &Timestamp,
    scope: &Scope,
    canonical_request_hash: &[u8; 32],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.extend_from_slice(algorithm.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(timestamp.text().as_bytes());
    out.push(b'\n');
    scope.write(&mut out);
    out.push(b'\n');
    out.extend_from_slice(&hex_of(canonical_request_hash));
    out
}

/// The hash of a canonical request.
pub(crate) fn hash(
    view: &View<'_>,
    spelling: &Spelling<'_>,
    signed: &SignedHeaders,
    payload: &[u8],
) -> [u8; 32] {
    sha256(&canonical_request(view, spelling, signed, payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Body, SignedRequest};

    fn parse(list: &str, target: &str, headers: &[(&str, &str)]) -> Result<String, String> {
        let request = SignedRequest::new("GET", target, headers, Body::Unknown);
        let view = View::new(&request).unwrap();
        let signed = SignedHeaders::parse(list, &view).map_err(|e| e.code().to_owned())?;
        let spelling = Spelling {
            path: b"/",
            equals: EqualsSign::Once,
            without: None,
            host: view.host.unwrap(),
        };
        let out = canonical_request(&view, &spelling, &signed, b"HASH");
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn headers_are_lowered_trimmed_collapsed_and_joined() {
        let headers = [
            ("Host", " example.com "),
            ("X-Multi", "  a   b\t\tc "),
            ("x-multi", "\"d  e\""),
            ("X-MULTI", ""),
            ("folded", " one\r\n  two\n three "),
            ("other", "unsigned"),
        ];
        assert_eq!(
            parse("folded;host;x-multi", "/?b&a", &headers).as_deref(),
            Ok(
                "GET\n/\na=&b=\nfolded:one,two,three\nhost:example.com\nx-multi:a b c,\"d e\",\n\nfolded;host;x-multi\nHASH"
            )
        );
    }

    #[test]
    fn a_list_is_sorted_lower_case_and_without_repeats() {
        for bad in [
            "",
            ";",
            "host;",
            ";host",
            "Host",
            "host;a",
            "host;host",
            "a b;host",
            "a,host",
        ] {
            assert_eq!(
                parse(bad, "/", &[("host", "h"), ("a", "1")]).unwrap_err(),
                "malformed_signed_headers",
                "{bad:?}"
            );
        }
    }

    #[test]
    fn host_and_every_amazon_header_must_be_signed() {
        let code = |list, headers: &[(&str, &str)]| parse(list, "/", headers).unwrap_err();
        assert_eq!(code("a", &[("host", "h"), ("a", "1")]), "unsigned_header");
        assert_eq!(
            code("host", &[("host", "h"), ("X-AMZ-Acl", "public-read")]),
            "unsigned_header"
        );
        assert_eq!(code("a;host", &[("host", "h")]), "signed_header_absent");
        assert_eq!(code("host", &[]), "signed_header_absent");
    }

    #[test]
    fn an_unsigned_date_header_must_say_what_the_signed_query_says() {
        let target = "/?X-Amz-Date=20260601T120000Z&X-Amz-Signature=0";
        let same = [("host", "h"), ("X-Amz-Date", "20260601T120000Z")];
        assert!(parse("host", target, &same).is_ok());
        let other = [("host", "h"), ("X-Amz-Date", "20260601T120001Z")];
        assert_eq!(
            parse("host", target, &other).unwrap_err(),
            "unsigned_header"
        );
        let unsigned_query = "/?X-Amz-Date=20260601T120000Z";
        assert_eq!(
            parse("host", unsigned_query, &same).unwrap_err(),
            "unsigned_header"
        );
    }
}

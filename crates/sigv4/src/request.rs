//! The request as it came over the wire, and the checks that hold for every form of signature.

use crate::error::{SignatureError, quoted};
use crate::uri::{self, Query};
use std::fmt;

/// The most headers a request may have. Clients send 8 to 20.
pub const HEADERS_MAX: usize = 128;

/// The most bytes of header names and values together. Chains of large certificates pass 50 KB.
pub const HEADER_BYTES_MAX: usize = 128 * 1024;

/// The longest request target in bytes: a presigned URL with the largest session token takes under 10 KB.
pub const TARGET_BYTES_MAX: usize = 32 * 1024;

/// The most query parameters. CreateSession and STS have under 120 even with 50 tags.
pub const PARAMETERS_MAX: usize = 256;

/// A request as it came over the wire. Nothing may be normalised, decoded, merged or reordered on the way here.
#[derive(Clone)]
pub struct SignedRequest<'a> {
    /// The method as sent.
    pub method: &'a str,
    /// Path and query as sent. The absolute form (`https://host/path?query`) is understood: its authority
    /// stands for the `Host` header where there is none, as with HTTP/2.
    pub target: &'a str,
    /// Names and values in their order, repeats kept. HTTP/2's `:authority` is passed as `host`.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// What is known of the body.
    pub body: Body<'a>,
}

/// What is known of the body of a request.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// The whole body, after transfer decoding.
    Bytes(&'a [u8]),
    /// Its SHA-256.
    Hash([u8; 32]),
    /// Nothing: only requests whose signature names the hash (or leaves the body out) can be verified.
    Unknown,
}

impl<'a> SignedRequest<'a> {
    /// Takes names and values from any list of pairs of text or bytes.
    pub fn new<N: AsRef<str>, V: AsRef<[u8]>>(
        method: &'a str,
        target: &'a str,
        headers: &'a [(N, V)],
        body: Body<'a>,
    ) -> SignedRequest<'a> {
        SignedRequest {
            method,
            target,
            headers: headers
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref()))
                .collect(),
            body,
        }
    }
}

/// Leaves out what could hold a session token.
impl fmt::Debug for SignedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// A request whose parts are well formed and unambiguous: what canonicalisation starts from.
pub(crate) struct View<'a> {
    pub method: &'a str,
    /// The path as sent; it begins with `/`.
    pub path: &'a str,
    pub query: Query<'a>,
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The `Host` header, else the authority of the target.
    pub host: Option<&'a [u8]>,
    pub body: Body<'a>,
}

impl<'a> View<'a> {
    /// Checks limits, syntax and repeats.
    pub fn new(request: &'a SignedRequest<'a>) -> Result<View<'a>, SignatureError> {
        check_method(request.method)?;
        check_headers(&request.headers)?;
        if request.target.len() > TARGET_BYTES_MAX {
            return Err(SignatureError::TargetTooLong {
                bytes: request.target.len(),
                limit: TARGET_BYTES_MAX,
            });
        }
        let target = uri::split(request.target)?;
        let query = Query::parse(target.query, PARAMETERS_MAX)?;
        let host = find(&request.headers, "host").map(trimmed);
        if let (Some(host), Some(authority)) = (host, target.authority)
            && !uri::same_host(target.scheme, authority, host)
        {
            return Err(SignatureError::HostConflict {
                authority: quoted(authority),
                host: quoted(host),
            });
        }
        Ok(View {
            method: request.method,
            path: target.path,
            query,
            headers: &request.headers,
            host: host.or(target.authority.map(str::as_bytes)),
            body: request.body,
        })
    }

    /// The trimmed value of the first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        find(self.headers, name).map(trimmed)
    }

    /// The same as text, for values that are ASCII by definition.
    pub fn header_text(&self, name: &str) -> Result<Option<&'a str>, SignatureError> {
        let Some(value) = self.header(name) else {
            return Ok(None);
        };
        match std::str::from_utf8(value) {
            Ok(text) if text.is_ascii() => Ok(Some(text)),
            _ => Err(SignatureError::MalformedHeader {
                name: name.to_owned(),
                reason: "it must be ASCII",
            }),
        }
    }
}

fn find<'a>(headers: &[(&'a str, &'a [u8])], name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

fn check_method(method: &str) -> Result<(), SignatureError> {
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(SignatureError::MalformedMethod {
            method: quoted(method),
        });
    }
    Ok(())
}

fn check_headers(headers: &[(&str, &[u8])]) -> Result<(), SignatureError> {
    if headers.len() > HEADERS_MAX {
        return Err(SignatureError::TooManyHeaders {
            count: headers.len(),
            limit: HEADERS_MAX,
        });
    }
    let bytes = headers.iter().map(|(n, v)| n.len() + v.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(SignatureError::HeadersTooLarge {
            bytes,
            limit: HEADER_BYTES_MAX,
        });
    }
    for (i, (name, value)) in headers.iter().enumerate() {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(malformed(name, "its name is not a token"));
        }
        check_value(name, value)?;
        if stands_once(name)
            && headers[..i]
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        {
            return Err(SignatureError::RepeatedHeader {
                name: name.to_ascii_lowercase(),
            });
        }
    }
    Ok(())
}

/// Refuses NUL, and line ends except those of a folded line (RFC 9112 §5.2), which count as white space.
fn check_value(name: &str, value: &[u8]) -> Result<(), SignatureError> {
    if !any_byte(value, |b| (b == 0) | (b == b'\r') | (b == b'\n')) {
        return Ok(());
    }
    let mut rest = value.iter().peekable();
    while let Some(byte) = rest.next() {
        let next = rest.peek().copied();
        let fine = match byte {
            0 => false,
            b'\r' => next == Some(&b'\n'),
            b'\n' => matches!(next, Some(b' ' | b'\t')),
            _ => true,
        };
        if !fine {
            return Err(malformed(name, "its value holds a line end or a NUL"));
        }
    }
    Ok(())
}

fn malformed(name: &str, reason: &'static str) -> SignatureError {
    SignatureError::MalformedHeader {
        name: quoted(name),
        reason,
    }
}

/// Headers of which a second one could be read by one program and overlooked by the next.
const STAND_ONCE: [&str; 7] = [
    "authorization",
    "content-length",
    "date",
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
];

fn stands_once(name: &str) -> bool {
    has_prefix(name, "x-amz-x509") || STAND_ONCE.iter().any(|n| n.eq_ignore_ascii_case(name))
}

/// Whether a header name begins with a lower-case prefix, in any case.
pub(crate) fn has_prefix(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len()
        && name.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}

/// Whether any byte passes the test. Looks at many at once: session tokens and certificates are long.
pub(crate) fn any_byte(bytes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    let (chunks, rest) = bytes.as_chunks::<32>();
    chunks.iter().any(|chunk| {
        chunk
            .iter()
            .fold(0, |found, byte| found | u8::from(test(*byte)))
            != 0
    }) || rest.iter().any(|byte| test(*byte))
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
};

/// White space inside a header value, the line ends of folded lines included.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(crate) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_space(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let request = SignedRequest::new("GET", "/", headers, Body::Bytes(b""));
        View::new(&request).map(|_| ()).map_err(|e| e.code())
    }

    #[test]
    fn headers_of_the_authentication_stand_once_in_any_case() {
        for name in STAND_ONCE.iter().chain(&["x-amz-x509", "x-amz-x509-chain"]) {
            let upper = name.to_ascii_uppercase();
            assert_eq!(
                check(&[(name, "a"), (&upper, "a")]),
                Err("repeated_header"),
                "{name}"
            );
        }
        assert_eq!(check(&[("x-multi", "a"), ("X-Multi", "b")]), Ok(()));
    }

    #[test]
    fn only_folded_lines_may_hold_line_ends() {
        assert_eq!(check(&[("a", "b\n c")]), Ok(()));
        assert_eq!(check(&[("a", "b\r\n\tc")]), Ok(()));
        for bad in ["b\nc", "b\n", "b\rc", "b\r", "b\r c", "\0", "b\n\n c"] {
            assert_eq!(check(&[("a", bad)]), Err("malformed_header"), "{bad:?}");
        }
        for bad in ["", "a b", "a:", ":authority", "é"] {
            assert_eq!(check(&[(bad, "v")]), Err("malformed_header"), "{bad:?}");
        }
    }

    #[test]
    fn limits_hold_at_the_number() {
        let many = vec![("a", "b"); HEADERS_MAX];
        assert_eq!(check(&many), Ok(()));
        let more = vec![("a", "b"); HEADERS_MAX + 1];
        assert_eq!(check(&more), Err("too_many_headers"));
        let large = "v".repeat(HEADER_BYTES_MAX - 1);
        assert_eq!(check(&[("a", &large)]), Ok(()));
        assert_eq!(check(&[("ab", &large)]), Err("headers_too_large"));
        let target = format!("/{}", "a".repeat(TARGET_BYTES_MAX));
        let request = SignedRequest::new("GET", &target, &[] as &[(&str, &str)], Body::Unknown);
        assert_eq!(
            View::new(&request).err().map(|e| e.code()),
            Some("target_too_long")
        );
    }

    #[test]
    fn a_method_is_a_token() {
        for bad in ["", "GET ", "G\nT"] {
            let request = SignedRequest::new(bad, "/", &[] as &[(&str, &str)], Body::Unknown);
            assert_eq!(
                View::new(&request).err().map(|e| e.code()),
                Some("malformed_method")
            );
        }
    }

    #[test]
    fn the_authority_of_the_target_stands_in_for_the_host_but_never_beside_another() {
        let host = |target, headers: &[(&str, &str)]| {
            let request = SignedRequest::new("GET", target, headers, Body::Unknown);
            View::new(&request)
                .map(|v| v.host.map(|h| String::from_utf8_lossy(h).into_owned()))
                .map_err(|e| e.code())
        };
        let some = |s: &str| Ok(Some(s.to_owned()));
        assert_eq!(host("/", &[]), Ok(None));
        assert_eq!(host("https://a.example/x", &[]), some("a.example"));
        assert_eq!(
            host("https://a.example/x", &[("Host", "A.example:443")]),
            some("A.example:443")
        );
        assert_eq!(
            host("https://a.example/x", &[("Host", "b.example")]),
            Err("host_conflict")
        );
        assert_eq!(
            host("https://a.example:1/x", &[("Host", "a.example:2")]),
            Err("host_conflict")
        );
    }

    #[test]
    fn debug_output_holds_no_header_value() {
        let request = SignedRequest::new(
            "GET",
            "/?X-Amz-Security-Token=hidden",
            &[("x-amz-security-token", "hidden")],
            Body::Unknown,
        );
        assert!(!format!("{request:?}").contains("hidden"));
    }
}

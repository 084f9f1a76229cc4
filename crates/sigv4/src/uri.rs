//! Paths and queries: RFC 3986 percent-encoding the way Signature Version 4 wants it.

use crate::error::{SignatureError, quoted};
use crate::request::any_byte;
use std::borrow::Cow;

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// A request target in its parts, all as sent.
pub(crate) struct Target<'a> {
    pub scheme: &'a str,
    pub authority: Option<&'a str>,
    pub path: &'a str,
    pub query: &'a str,
}

/// Splits origin form (`/path?query`) and absolute form (`https://host/path?query`, RFC 9112 §3.2).
pub(crate) fn split(target: &str) -> Result<Target<'_>, SignatureError> {
    // Raw spaces and non-ASCII are let through: signers encode them, and some clients send them bare.
    if any_byte(target.as_bytes(), |b| {
        (b < b' ') | (b == 0x7f) | (b == b'#')
    }) {
        return Err(malformed("it holds a control character or a fragment"));
    }
    let (scheme, authority, rest) = if target.starts_with('/') {
        ("", None, target)
    } else {
        let Some((scheme, rest)) = target.split_once("://") else {
            return Err(malformed("it is neither a path nor an absolute URL"));
        };
        if !matches!(scheme, "http" | "https") {
            return Err(malformed("its scheme is neither http nor https"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return Err(malformed(
                "its authority is empty or holds user information",
            ));
        }
        (scheme, Some(authority), rest)
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok(Target {
        scheme,
        authority,
        path: if path.is_empty() { "/" } else { path },
        query,
    })
}

fn malformed(reason: &'static str) -> SignatureError {
    SignatureError::MalformedTarget { reason }
}

/// Whether an authority and a `Host` header mean the same server; the scheme's own port may be left out.
pub(crate) fn same_host(scheme: &str, authority: &str, host: &[u8]) -> bool {
    let port = if scheme == "https" { ":443" } else { ":80" };
    let plain = |name: &'_ [u8]| -> usize {
        name.len() - usize::from(name.ends_with(port.as_bytes())) * port.len()
    };
    let authority = authority.as_bytes();
    authority[..plain(authority)].eq_ignore_ascii_case(&host[..plain(host)])
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~')
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[
        b'%',
        HEX_UPPER[usize::from(byte >> 4)],
        HEX_UPPER[usize::from(byte & 15)],
    ]);
}

fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    if is_unreserved(byte) {
        out.push(byte);
    } else {
        push_escape(out, byte);
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|d| d as u8)
}

/// Percent-decodes; `+` stays `+`. `None`: an escape is not `%` and two hexadecimal digits.
pub(crate) fn decode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            out.push(byte);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return None;
        };
        out.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
        rest = tail;
    }
    Some(Cow::Owned(out))
}

/// Encodes everything but unreserved characters.
pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        push_encoded(&mut out, byte);
    }
    out
}

/// Decodes and encodes again, so that every spelling of one text becomes the same.
fn recode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if text.iter().all(|&b| is_unreserved(b)) {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(encode(&decode(text)?)))
}

/// The S3 way: decoded and encoded once; `//`, `.` and `..` are names like others.
pub(crate) fn s3_path(path: &str) -> Result<Cow<'_, [u8]>, SignatureError> {
    let path = path.as_bytes();
    if path.iter().all(|&b| is_unreserved(b) || b == b'/') {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path).ok_or(malformed(BAD_PATH_ESCAPE))?;
    Ok(Cow::Owned(encode_path(&decoded)))
}

/// The way of every other service: the path as sent is encoded once more.
pub(crate) fn encoded_again(path: &str) -> Result<Cow<'_, [u8]>, SignatureError> {
    let path = path.as_bytes();
    if path.iter().all(|&b| is_unreserved(b) || b == b'/') {
        return Ok(Cow::Borrowed(path));
    }
    // The text is not needed, only that it has one.
    decode(path).ok_or(malformed(BAD_PATH_ESCAPE))?;
    Ok(Cow::Owned(encode_path(path)))
}

const BAD_PATH_ESCAPE: &str = "its path holds a % without two hexadecimal digits";

fn encode_path(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 16);
    for &byte in path {
        if byte == b'/' {
            out.push(byte);
        } else {
            push_encoded(&mut out, byte);
        }
    }
    out
}

/// Removes empty, `.` and `..` segments as AWS signers do: a closing slash stays where one was sent.
/// `None` when there is nothing to remove.
pub(crate) fn normalised(path: &str) -> Result<Option<String>, SignatureError> {
    let plain = path[1..]
        .split('/')
        .rev()
        .skip(1)
        .all(|s| !matches!(s, "" | "." | ".."))
        && !path.ends_with("/.")
        && !path.ends_with("/..");
    if plain {
        return Ok(None);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop()
                    .ok_or(malformed("its path climbs above the root"))?;
            }
            name => kept.push(name),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() || path.ends_with('/') {
        out.push('/');
    }
    Ok(Some(out))
}

/// A query parameter: as sent, and as it stands in the canonical request.
pub(crate) struct Parameter<'a> {
    name: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
    sent: &'a str,
}

/// A query, sorted as the canonical request wants it.
pub(crate) struct Query<'a> {
    parameters: Vec<Parameter<'a>>,
}

impl<'a> Query<'a> {
    /// Splits at `&`, decodes, encodes and sorts by name, then value. A bare `+` is the character plus
    /// (RFC 3986), not a space: AWS and today's clients agree on `%2B`. Empty parts (`a&&b`) do not count.
    pub fn parse(query: &'a str, limit: usize) -> Result<Query<'a>, SignatureError> {
        let parts = || query.split('&').filter(|p| !p.is_empty());
        let count = parts().count();
        if count > limit {
            return Err(SignatureError::TooManyParameters { count, limit });
        }
        let bad_escape = || malformed("its query holds a % without two hexadecimal digits");
        let mut parameters = Vec::with_capacity(count);
        for part in parts() {
            let (name, sent) = part.split_once('=').unwrap_or((part, ""));
            parameters.push(Parameter {
                name: recode(name.as_bytes()).ok_or_else(bad_escape)?,
                value: recode(sent.as_bytes()).ok_or_else(bad_escape)?,
                sent,
            });
        }
        parameters.sort_unstable_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
        let query = Query { parameters };
        query.check_repeats()?;
        Ok(query)
    }

    /// `X-Amz-*` stands once, whatever the case: a second one could be read by the next program.
    fn check_repeats(&self) -> Result<(), SignatureError> {
        let mut seen: Vec<&[u8]> = Vec::new();
        for parameter in &self.parameters {
            let name: &[u8] = &parameter.name;
            if name.len() < 6 || !name[..6].eq_ignore_ascii_case(b"x-amz-") {
                continue;
            }
            if seen.iter().any(|s| s.eq_ignore_ascii_case(name)) {
                return Err(SignatureError::RepeatedParameter { name: quoted(name) });
            }
            seen.push(name);
        }
        Ok(())
    }

    /// Whether there is a parameter of this name, which must consist of unreserved characters.
    pub fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|p| *p.name == *name.as_bytes())
    }

    /// The decoded value of the first parameter of this name, which must consist of unreserved characters.
    pub fn value(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let found = self
            .parameters
            .iter()
            .find(|p| *p.name == *name.as_bytes())?;
        // Cannot fail: Query::parse decoded the same text.
        decode(found.sent.as_bytes())
    }

    /// Whether a value holds `=`, which some signers encode twice.
    pub fn has_equals_sign_in_a_value(&self) -> bool {
        self.parameters
            .iter()
            .any(|p| p.value.windows(3).any(|w| w == b"%3D"))
    }

    /// Writes the canonical query, without the parameter that holds the signature where one is named.
    pub fn write(&self, out: &mut Vec<u8>, equals: EqualsSign, without: Option<&str>) {
        let mut first = true;
        for parameter in &self.parameters {
            if without.is_some_and(|name| *parameter.name == *name.as_bytes()) {
                continue;
            }
            if !first {
                out.push(b'&');
            }
            first = false;
            out.extend_from_slice(&parameter.name);
            out.push(b'=');
            match equals {
                EqualsSign::Once => out.extend_from_slice(&parameter.value),
                EqualsSign::Twice => write_equals_twice(out, &parameter.value),
            }
        }
    }
}

/// How often `=` inside a query value is encoded. The AWS4-X509 guide says twice, AWS's own client does it once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EqualsSign {
    Once,
    Twice,
}

fn write_equals_twice(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = rest.windows(3).position(|w| w == b"%3D") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"%253D");
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<String, &'static str> {
        let query = Query::parse(text, 8).map_err(|e| e.code())?;
        let mut out = Vec::new();
        query.write(&mut out, EqualsSign::Once, Some("X-Amz-Signature"));
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn queries_are_recoded_and_sorted_by_name_then_value() {
        let cases = [
            ("", ""),
            ("b=2&a=1&a=0", "a=0&a=1&b=2"),
            ("a", "a="),
            ("a=b=c", "a=b%3Dc"),
            ("a=%7e%2f%c3%a9", "a=~%2F%C3%A9"),
            ("a b=c d", "a%20b=c%20d"),
            ("a=1+2", "a=1%2B2"),
            ("&&a=1&&", "a=1"),
            (
                "Param-3=3&Param=2&%E1%88%B4=1",
                "%E1%88%B4=1&Param=2&Param-3=3",
            ),
            ("ሴ=bar", "%E1%88%B4=bar"),
            ("b=1&X-Amz-Signature=ff&a=2", "a=2&b=1"),
            ("b=1&X%2DAmz-%53ignature=ff", "b=1"),
        ];
        for (sent, canonical) in cases {
            assert_eq!(query(sent).as_deref(), Ok(canonical), "{sent}");
        }
    }

    #[test]
    fn ambiguous_or_broken_queries_are_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "%=1", "a=%+1"] {
            assert_eq!(query(bad), Err("malformed_target"), "{bad}");
        }
        for bad in [
            "X-Amz-Date=1&X-Amz-Date=1",
            "X-Amz-Date=1&x-amz-date=2",
            "X-Amz-Other=1&X%2dAmz-Other=1",
        ] {
            assert_eq!(query(bad), Err("repeated_parameter"), "{bad}");
        }
        assert_eq!(query("a=1&a=1").as_deref(), Ok("a=1&a=1"));
        assert!(query("a&b&c&d&e&f&g&h").is_ok());
        assert_eq!(query("a&b&c&d&e&f&g&h&i"), Err("too_many_parameters"));
    }

    #[test]
    fn an_equals_sign_in_a_value_can_be_encoded_twice() {
        let query = Query::parse("a=b=c==&d=e", 8).unwrap();
        assert!(query.has_equals_sign_in_a_value());
        let mut out = Vec::new();
        query.write(&mut out, EqualsSign::Twice, None);
        assert_eq!(out, b"a=b%253Dc%253D%253D&d=e");
        assert!(!Query::parse("a=b", 8).unwrap().has_equals_sign_in_a_value());
    }

    #[test]
    fn s3_paths_are_encoded_once_and_keep_their_dots() {
        let cases = [
            ("/", "/"),
            ("/b/x//y/../z/./w", "/b/x//y/../z/./w"),
            (
                "/a%20b%2Bc/%C3%A9~%2A%281%29%21",
                "/a%20b%2Bc/%C3%A9~%2A%281%29%21",
            ),
            ("/a+b c/é", "/a%2Bb%20c/%C3%A9"),
            ("/a%2fb%7E", "/a/b~"),
        ];
        for (sent, canonical) in cases {
            assert_eq!(*s3_path(sent).unwrap(), *canonical.as_bytes(), "{sent}");
        }
        assert!(s3_path("/%zz").is_err());
    }

    #[test]
    fn other_paths_are_encoded_again() {
        let cases = [
            ("/a%20b/c%2Fd/../e", "/a%2520b/c%252Fd/../e"),
            ("/example space/", "/example%20space/"),
            ("/ሴ", "/%E1%88%B4"),
        ];
        for (sent, canonical) in cases {
            assert_eq!(
                *encoded_again(sent).unwrap(),
                *canonical.as_bytes(),
                "{sent}"
            );
        }
        assert!(encoded_again("/%z").is_err());
    }

    #[test]
    fn normalising_drops_dots_and_empty_segments() {
        let cases = [
            ("/", None),
            ("/a/b", None),
            ("/a/b/", None),
            ("/a/.b/..c/d.", None),
            ("//", Some("/")),
            ("//a//", Some("/a/")),
            ("/./a", Some("/a")),
            ("/a/.", Some("/a")),
            ("/a/..", Some("/")),
            ("/a/b/../..", Some("/")),
            ("/a/b/../", Some("/a/")),
            ("/a%20b/c%2Fd/../e", Some("/a%20b/e")),
        ];
        for (sent, plain) in cases {
            assert_eq!(normalised(sent).unwrap().as_deref(), plain, "{sent}");
        }
        for bad in ["/..", "/../a", "/a/../../b"] {
            assert!(normalised(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_are_split_as_sent() {
        let parts = |t| {
            split(t)
                .map(|t| (t.authority, t.path, t.query))
                .map_err(|e| e.code())
        };
        assert_eq!(parts("/a?b?c"), Ok((None, "/a", "b?c")));
        assert_eq!(parts("http://h:1/a"), Ok((Some("h:1"), "/a", "")));
        assert_eq!(parts("https://h?q=/"), Ok((Some("h"), "/", "q=/")));
        assert_eq!(parts("https://h"), Ok((Some("h"), "/", "")));
        for bad in [
            "",
            "a",
            "*",
            "?a",
            "ftp://h/",
            "http:///a",
            "http://u@h/",
            "/a#b",
            "/a\n",
        ] {
            assert_eq!(parts(bad), Err("malformed_target"), "{bad:?}");
        }
    }
}

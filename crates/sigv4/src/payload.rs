//! What a signature says about the body.

use crate::error::{SignatureError, quoted};
use crate::request::Body;
use aws_lc_rs::digest;

/// What a verified signature says about the body of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The body that arrived is the body that was signed.
    Verified,
    /// The signature covers a body of this SHA-256; whoever receives the body must compare.
    Declared([u8; 32]),
    /// The signature says nothing about the body.
    Unsigned,
    /// The body is a chunked stream of its own signature scheme, which is not checked here.
    Streaming,
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Streams that Signature Version 4 with a shared secret knows.
const STREAMING: [&str; 3] = [
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
];

/// The last line of the canonical request, and what it proves.
pub(crate) struct PayloadLine {
    pub text: Line,
    pub payload: Payload,
}

/// The text of the last line.
pub(crate) enum Line {
    Hash([u8; 64]),
    Mode(&'static str),
}

impl Line {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Line::Hash(hex) => hex,
            Line::Mode(mode) => mode.as_bytes(),
        }
    }
}

/// The line for a body that is always part of the signature.
pub(crate) fn of_body(body: Body<'_>) -> Result<PayloadLine, SignatureError> {
    let hash = hash_of(body).ok_or(SignatureError::PayloadHashRequired)?;
    Ok(PayloadLine {
        text: Line::Hash(hex_of(&hash)),
        payload: Payload::Verified,
    })
}

/// The line for a presigned S3 URL without a declared mode.
pub(crate) fn unsigned(allowed: bool) -> Result<PayloadLine, SignatureError> {
    mode(UNSIGNED, Payload::Unsigned, allowed)
}

/// The line that `x-amz-content-sha256` declares, held against the body.
pub(crate) fn declared(
    value: &[u8],
    body: Body<'_>,
    unsigned_allowed: bool,
) -> Result<PayloadLine, SignatureError> {
    if value == UNSIGNED.as_bytes() {
        return unsigned(unsigned_allowed);
    }
    if let Some(name) = STREAMING.iter().find(|m| m.as_bytes() == value) {
        return mode(name, Payload::Streaming, unsigned_allowed);
    }
    let Some(expected) = read_hash(value) else {
        return Err(SignatureError::UnknownPayloadMode {
            value: quoted(value),
        });
    };
    let payload = match hash_of(body) {
        None => Payload::Declared(expected),
        Some(actual) if actual == expected => Payload::Verified,
        Some(actual) => {
            return Err(SignatureError::PayloadHashMismatch {
                declared: hex::encode(expected),
                actual: hex::encode(actual),
            });
        }
    };
    Ok(PayloadLine {
        text: Line::Hash(hex_of(&expected)),
        payload,
    })
}

fn mode(
    name: &'static str,
    payload: Payload,
    allowed: bool,
) -> Result<PayloadLine, SignatureError> {
    if !allowed {
        return Err(SignatureError::UnsignedPayload { mode: name });
    }
    Ok(PayloadLine {
        text: Line::Mode(name),
        payload,
    })
}

fn hash_of(body: Body<'_>) -> Option<[u8; 32]> {
    match body {
        Body::Bytes(bytes) => Some(sha256(bytes)),
        Body::Hash(hash) => Some(hash),
        Body::Unknown => None,
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn hex_of(hash: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(hash) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

/// Reads exactly 64 lower-case hexadecimal digits.
pub(crate) fn read_hash(text: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(value: &str, body: Body<'_>, allowed: bool) -> Result<Payload, &'static str> {
        declared(value.as_bytes(), body, allowed)
            .map(|line| {
                assert_eq!(line.text.as_bytes(), value.as_bytes());
                line.payload
            })
            .map_err(|e| e.code())
    }

    #[test]
    fn a_declared_hash_is_held_against_the_body() {
        assert_eq!(check(EMPTY, Body::Bytes(b""), false), Ok(Payload::Verified));
        assert_eq!(
            check(EMPTY, Body::Hash(sha256(b"")), false),
            Ok(Payload::Verified)
        );
        assert_eq!(
            check(EMPTY, Body::Unknown, false),
            Ok(Payload::Declared(sha256(b"")))
        );
        assert_eq!(
            check(EMPTY, Body::Bytes(b"x"), true),
            Err("payload_hash_mismatch")
        );
    }

    #[test]
    fn modes_that_leave_the_body_out_need_permission() {
        assert_eq!(check(UNSIGNED, Body::Unknown, true), Ok(Payload::Unsigned));
        assert_eq!(
            check(UNSIGNED, Body::Bytes(b""), false),
            Err("unsigned_payload")
        );
        for mode in STREAMING {
            assert_eq!(check(mode, Body::Unknown, true), Ok(Payload::Streaming));
            assert_eq!(check(mode, Body::Unknown, false), Err("unsigned_payload"));
        }
    }

    #[test]
    fn unknown_modes_are_refused() {
        for bad in [
            "",
            "unsigned-payload",
            "UNSIGNED-PAYLOAD ",
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "STREAMING-SOMETHING",
            &EMPTY[1..],
            &EMPTY.to_uppercase(),
        ] {
            assert_eq!(
                check(bad, Body::Unknown, true),
                Err("unknown_payload_mode"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_body_that_must_be_signed_must_be_known() {
        assert_eq!(
            of_body(Body::Unknown).err(),
            Some(SignatureError::PayloadHashRequired)
        );
        let line = of_body(Body::Bytes(b"")).unwrap();
        assert_eq!(line.text.as_bytes(), EMPTY.as_bytes());
    }
}

//! The worked examples of AWS, and what becomes of them when a byte is changed.

use super::*;

const DATE: &str = "20130524T000000Z";

/// The signing key of AWS's example credentials for that day.
fn key() -> [u8; 32] {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    *bowline_sigv4::signing_key(secret, "20130524", "us-east-1", "s3").as_bytes()
}

fn signing(seed: &str) -> ChunkKey {
    ChunkKey {
        key: key(),
        date: DATE.into(),
        scope: "20130524/us-east-1/s3/aws4_request".into(),
        seed: seed.into(),
    }
}

/// Feeds a body in pieces of `size` bytes.
fn decode(mut decoder: Decoder, body: &[u8], size: usize) -> Result<Vec<u8>, ChunkError> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        decoder.push(piece)?;
        while let Some(bytes) = decoder.next() {
            out.extend_from_slice(&bytes);
        }
    }
    // What is still held is the last of it.
    assert!(!body.is_empty() && decoder.next().is_none());
    decoder.finish()?;
    while let Some(bytes) = decoder.next() {
        out.extend_from_slice(&bytes);
    }
    Ok(out)
}

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

fn example() -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [
        (
            65536,
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            1024,
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        ),
        (
            0,
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
    ] {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(vec![b'a'; size]);
        body.extend(b"\r\n");
    }
    body
}

/// Bytes of the last chunk, which is empty.
const LAST: usize = "0;chunk-signature=".len() + 64 + 4;

fn signed() -> Decoder {
    Decoder::new(Some(signing(SEED)), &[], 66560).unwrap()
}

#[test]
fn the_published_example_decodes_in_pieces_of_any_size() {
    for size in [1, 7, 1000, 65536, 100_000] {
        let out = decode(signed(), &example(), size).unwrap();
        assert_eq!(out, vec![b'a'; 66560], "pieces of {size}");
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let body = example();
    for at in (0..body.len())
        .step_by(611)
        .chain(body.len() - 90..body.len() - 4)
    {
        let mut changed = body.clone();
        changed[at] ^= 1;
        assert!(decode(signed(), &changed, 4096).is_err(), "byte {at}");
    }
}

#[test]
fn a_body_cut_short_never_ends_well() {
    let body = example();
    for end in [10, 66_000, body.len() - LAST, body.len() - 5] {
        assert!(decode(signed(), &body[..end], 4096).is_err(), "{end}");
    }
    // Not even the second chunk is given away before the last one vouched for the end.
    let mut decoder = signed();
    decoder.push(&body[..body.len() - LAST]).unwrap();
    let given: usize = std::iter::from_fn(|| decoder.next())
        .map(|bytes| bytes.len())
        .sum();
    assert_eq!(given, 65536);
}

#[test]
fn chunks_in_another_order_are_refused() {
    let body = example();
    let first = 65536 + 5 + 1 + 16 + 64 + 2 + 2;
    let mut swapped = body[first..first + 1024 + 3 + 81 + 4].to_vec();
    swapped.extend(&body[..first]);
    assert_eq!(
        decode(signed(), &swapped, 4096),
        Err(ChunkError::Signature("a chunk"))
    );
}

#[test]
fn more_or_less_than_was_declared_is_refused() {
    for declared in [0, 66559, 66561] {
        let decoder = Decoder::new(Some(signing(SEED)), &[], declared).unwrap();
        assert!(
            matches!(
                decode(decoder, &example(), 4096),
                Err(ChunkError::Length { .. })
            ),
            "{declared}"
        );
    }
}

fn unsigned(declared: u64) -> Decoder {
    Decoder::new(None, &["x-amz-checksum-crc32".into()], declared).unwrap()
}

#[test]
fn an_unsigned_body_is_held_against_its_checksum() {
    let body = b"5\r\n12345\r\n4\r\n6789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    for size in [1, 3, 100] {
        assert_eq!(decode(unsigned(9), body, size).unwrap(), b"123456789");
    }
    let text = String::from_utf8(body.to_vec()).unwrap();
    for (from, to) in [
        ("12345", "12346"),
        ("y/Q5Jg==", "y/Q5Jw=="),
        ("crc32:", "crc32c:"),
        ("x-amz-checksum-crc32:y/Q5Jg==\r\n", ""),
        (
            "x-amz-checksum-crc32",
            "x-amz-checksum-crc32:y/Q5Jg==\r\nx-amz-checksum-crc32",
        ),
        ("5\r\n12345", "6\r\n12345"),
        ("5\r\n", "5;chunk-signature=00\r\n"),
        ("5\r\n", "+5\r\n"),
        ("5\r\n", "\r\n"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        assert!(
            decode(unsigned(9), changed.as_bytes(), 5).is_err(),
            "{from}"
        );
    }
}

#[test]
fn the_published_example_with_a_trailer_decodes() {
    let mut body = Vec::new();
    for (size, signature) in [
        (
            65536,
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        ),
        (
            1024,
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        ),
        (
            0,
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ),
    ] {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(vec![b'a'; size]);
        if size > 0 {
            body.extend(b"\r\n");
        }
    }
    body.extend(b"x-amz-checksum-crc32c:sOO8/Q==\r\n");
    body.extend(b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n");
    let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    let names = ["x-amz-checksum-crc32c".to_owned()];
    let decoder = Decoder::new(Some(signing(seed)), &names, 66560).unwrap();
    assert_eq!(decode(decoder, &body, 1000).unwrap(), vec![b'a'; 66560]);
}

#[test]
fn a_signed_trailer_is_held_against_its_signature() {
    let seed = "00".repeat(32);
    let sign = |text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key());
        hex::encode(hmac::sign(&key, text.as_bytes()))
    };
    let scope = "20130524/us-east-1/s3/aws4_request";
    let chunk = |before: &str, data: &[u8]| {
        let hash = sha256(data);
        sign(&format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{DATE}\n{scope}\n{before}\n{EMPTY_SHA256}\n{hash}"
        ))
    };
    let one = chunk(&seed, b"123456789");
    let last = chunk(&one, b"");
    let trailer = "x-amz-checksum-crc32c:4waSgw==\n";
    let hash = sha256(trailer.as_bytes());
    let signed = sign(&format!(
        "AWS4-HMAC-SHA256-TRAILER\n{DATE}\n{scope}\n{last}\n{hash}"
    ));
    let body = format!(
        "9;chunk-signature={one}\r\n123456789\r\n0;chunk-signature={last}\r\n\
         x-amz-checksum-crc32c:4waSgw==\r\nx-amz-trailer-signature:{signed}\r\n\r\n"
    );
    let decoder = || {
        let names = ["x-amz-checksum-crc32c".to_owned()];
        Decoder::new(Some(signing(&seed)), &names, 9).unwrap()
    };
    assert_eq!(
        decode(decoder(), body.as_bytes(), 10).unwrap(),
        b"123456789"
    );
    for (from, to) in [
        (signed.as_str(), &*"0".repeat(64)),
        ("4waSgw==", "4waSgg=="),
        (&format!("x-amz-trailer-signature:{signed}\r\n"), ""),
    ] {
        let changed = body.replacen(from, to, 1);
        assert!(decode(decoder(), changed.as_bytes(), 10).is_err(), "{from}");
    }
}

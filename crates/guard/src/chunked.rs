//! `aws-chunked`: a body in chunks, each with a signature that rests on the one before it.
//!
//! ```text
//! 10000;chunk-signature=…CRLF
//! (65536 bytes)CRLF
//! 0;chunk-signature=…CRLF
//! x-amz-checksum-crc32:…CRLF
//! x-amz-trailer-signature:…CRLF
//! CRLF
//! ```
//!
//! After AWS's "Signature calculations for the Authorization header: transferring payload in multiple chunks". The
//! first signature is that of the request. `STREAMING-UNSIGNED-PAYLOAD-TRAILER` has no signatures: there the
//! connection alone vouches for the body, and the checksum for its transport.

use std::collections::VecDeque;

use aws_lc_rs::{constant_time, digest, hmac};
use hyper::body::Bytes;

use crate::checksum::Checksum;

/// What signs the chunks of one request.
pub(crate) struct ChunkKey {
    pub(crate) key: [u8; 32],
    /// `YYYYMMDDTHHMMSSZ`, as the request has it.
    pub(crate) date: String,
    /// `YYYYMMDD/region/service/aws4_request`.
    pub(crate) scope: String,
    /// The signature of the request, in hex.
    pub(crate) seed: String,
}

impl Drop for ChunkKey {
    fn drop(&mut self) {
        self.key.fill(0);
    }
}

/// Why a streamed body is not the one that was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// It does not have the form.
    #[error("the chunks do not read: {0}")]
    Malformed(&'static str),
    /// A chunk larger than is taken.
    #[error("a signed chunk has {bytes} bytes and at most {limit} are taken")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most.
        limit: u64,
    },
    /// A chunk or the trailer was not signed so.
    #[error("the signature of {0} does not match")]
    Signature(&'static str),
    /// More or fewer bytes than the request said.
    #[error("the chunks hold {found} bytes and the request said {declared}")]
    Length {
        /// What came.
        found: u64,
        /// What was declared.
        declared: u64,
    },
    /// Another body than the sender's.
    #[error("{name} of the body is another one than its trailer says")]
    Checksum {
        /// The trailer.
        name: String,
    },
}

/// Takes a body apart as it comes, and gives its bytes only when they are vouched for.
pub(crate) struct Decoder {
    signing: Option<ChunkKey>,
    /// The checksums that the request announced, by the names of their trailers.
    checksums: Vec<(String, Checksum)>,
    declared: u64,
    found: u64,
    /// What came and is not read yet.
    pending: Vec<u8>,
    state: State,
    /// What may be given away.
    ready: VecDeque<Bytes>,
}

enum State {
    /// The line before a chunk.
    Header,
    /// Inside a chunk that is given away as it comes.
    Flowing { left: u64 },
    /// Inside a chunk that waits for its whole length.
    Whole { bytes: usize, signature: String },
    /// The line end after a chunk.
    LineEnd,
    /// After the last chunk.
    Trailer,
    /// Everything was found right.
    Done,
}

impl Decoder {
    /// A body whose chunks are signed by `signing`, or not signed. `trailers` are the names that the request announced.
    pub(crate) fn new(
        signing: Option<ChunkKey>,
        trailers: &[String],
        declared: u64,
    ) -> Result<Decoder, ChunkError> {
        let mut checksums = Vec::new();
        for name in trailers {
            let checksum = Checksum::of_trailer(name).ok_or(ChunkError::Malformed(
                "a trailer is no checksum that is known",
            ))?;
            checksums.push((name.clone(), checksum));
        }
        Ok(Decoder {
            signing,
            checksums,
            declared,
            found: 0,
            pending: Vec::new(),
            state: State::Header,
            ready: VecDeque::new(),
        })
    }

    /// Takes the next bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let before = (at, self.is_trailer());
            at = self.step(at)?;
            if (at, self.is_trailer()) == before {
                break;
            }
        }
        self.pending.drain(..at);
        Ok(())
    }

    /// The body has come to its end: says whether that is the end that was signed.
    pub(crate) fn finish(&mut self) -> Result<(), ChunkError> {
        if !self.is_trailer() {
            return Err(ChunkError::Malformed("they end before the last chunk"));
        }
        let text = std::mem::take(&mut self.pending);
        self.trailer(&text)?;
        if self.found != self.declared {
            return Err(ChunkError::Length {
                found: self.found,
                declared: self.declared,
            });
        }
        self.state = State::Done;
        Ok(())
    }

    /// The next bytes that may be given away. The last of them stay until [`Decoder::finish`] found all right.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if self.ready.len() > 1 || matches!(self.state, State::Done) {
            return self.ready.pop_front();
        }
        None
    }

    fn is_trailer(&self) -> bool {
        matches!(self.state, State::Trailer | State::Done)
    }

    /// Reads one piece from `at`. Gives where the next one begins; `at` itself where more must come first.
    fn step(&mut self, at: usize) -> Result<usize, ChunkError> {
        let rest = &self.pending[at..];
        match &mut self.state {
            State::Header => {
                let Some(end) = find_line_end(rest) else {
                    if rest.len() > HEADER_BYTES_MAX {
                        return Err(ChunkError::Malformed(
                            "the line before a chunk does not end",
                        ));
                    }
                    return Ok(at);
                };
                let line = std::str::from_utf8(&rest[..end])
                    .map_err(|_| ChunkError::Malformed("the line before a chunk is no text"))?;
                let (bytes, signature) = read_header(line, self.signing.is_some())?;
                let next = at + end + 2;
                self.begin(bytes, signature)?;
                Ok(next)
            }
            State::Flowing { left } => {
                let take = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                if take == 0 {
                    return Ok(at);
                }
                *left -= take as u64;
                let done = *left == 0;
                let piece = Bytes::copy_from_slice(&rest[..take]);
                if done {
                    self.state = State::LineEnd;
                }
                self.give(piece)?;
                Ok(at + take)
            }
            State::Whole { bytes, signature } => {
                let (bytes, signature) = (*bytes, std::mem::take(signature));
                let Some(data) = rest.get(..bytes) else {
                    self.state = State::Whole { bytes, signature };
                    return Ok(at);
                };
                let data = Bytes::copy_from_slice(data);
                self.check_chunk(&data, signature)?;
                self.state = State::LineEnd;
                self.give(data)?;
                Ok(at + bytes)
            }
            State::LineEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.state = State::Header;
                    Ok(at + 2)
                }
                [] | [b'\r'] => Ok(at),
                _ => Err(ChunkError::Malformed("a chunk is longer than it said")),
            },
            State::Trailer | State::Done => {
                if rest.len() > TRAILER_BYTES_MAX {
                    return Err(ChunkError::Malformed("the trailer does not end"));
                }
                Ok(at)
            }
        }
    }

    fn begin(&mut self, bytes: u64, signature: Option<String>) -> Result<(), ChunkError> {
        if bytes == 0 {
            if let Some(signature) = signature {
                self.check_chunk(&Bytes::new(), signature)?;
            }
            self.state = State::Trailer;
            return Ok(());
        }
        if self.found.saturating_add(bytes) > self.declared {
            return Err(ChunkError::Length {
                found: self.found.saturating_add(bytes),
                declared: self.declared,
            });
        }
        self.state = match signature {
            None => State::Flowing { left: bytes },
            Some(signature) => {
                let size = usize::try_from(bytes).unwrap_or(usize::MAX);
                if bytes > CHUNK_BYTES_MAX {
                    return Err(ChunkError::TooLarge {
                        bytes,
                        limit: CHUNK_BYTES_MAX,
                    });
                }
                State::Whole {
                    bytes: size,
                    signature,
                }
            }
        };
        Ok(())
    }

    fn give(&mut self, piece: Bytes) -> Result<(), ChunkError> {
        self.found += piece.len() as u64;
        for (_, checksum) in &mut self.checksums {
            checksum.update(&piece);
        }
        self.ready.push_back(piece);
        Ok(())
    }

    /// Holds a chunk against its signature, which then is what the next one rests on.
    fn check_chunk(&mut self, data: &[u8], signature: String) -> Result<(), ChunkError> {
        // Cannot fail: only a signed body has signatures.
        let Some(signing) = &mut self.signing else {
            return Err(ChunkError::Signature("a chunk"));
        };
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{EMPTY_SHA256}\n{}",
            signing.date,
            signing.scope,
            signing.seed,
            sha256(data)
        );
        if !signing.is_signature(&text, &signature) {
            return Err(ChunkError::Signature("a chunk"));
        }
        signing.seed = signature;
        Ok(())
    }

    /// What follows the last chunk: nothing, or the announced trailers and their signature.
    fn trailer(&mut self, text: &[u8]) -> Result<(), ChunkError> {
        let text = std::str::from_utf8(text)
            .map_err(|_| ChunkError::Malformed("the trailer is no text"))?;
        let mut given: Vec<(String, String)> = Vec::new();
        let mut signature = None;
        // Some clients put an empty line before the signature, some a bare line end behind a trailer.
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .ok_or(ChunkError::Malformed("a trailer has no name"))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if signature.is_some() {
                return Err(ChunkError::Malformed(
                    "something follows the trailer's signature",
                ));
            }
            if name == "x-amz-trailer-signature" {
                signature = Some(value);
            } else if given.iter().any(|(known, _)| *known == name) {
                return Err(ChunkError::Malformed("a trailer stands twice"));
            } else {
                given.push((name, value));
            }
        }
        given.sort();
        let announced = |name: &str| self.checksums.iter().any(|(known, _)| known == name);
        if given.len() != self.checksums.len() || !given.iter().all(|(name, _)| announced(name)) {
            return Err(ChunkError::Malformed(
                "the trailers are not those that x-amz-trailer announced",
            ));
        }
        if let Some(signing) = &self.signing {
            let signed = !given.is_empty();
            if signed != signature.is_some() {
                return Err(ChunkError::Signature("the trailer"));
            }
            let lines: String = given
                .iter()
                .map(|(name, value)| format!("{name}:{value}\n"))
                .collect();
            let text = format!(
                "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
                signing.date,
                signing.scope,
                signing.seed,
                sha256(lines.as_bytes())
            );
            if signature.is_some_and(|signature| !signing.is_signature(&text, &signature)) {
                return Err(ChunkError::Signature("the trailer"));
            }
        } else if signature.is_some() {
            return Err(ChunkError::Malformed(
                "an unsigned body has a signed trailer",
            ));
        }
        for (name, checksum) in self.checksums.drain(..) {
            let found = checksum.finish();
            if !given
                .iter()
                .any(|(known, value)| *known == name && *value == found)
            {
                return Err(ChunkError::Checksum { name });
            }
        }
        Ok(())
    }
}

impl ChunkKey {
    fn is_signature(&self, text: &str, signature: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        let expected = hex::encode(hmac::sign(&key, text.as_bytes()));
        constant_time::verify_slices_are_equal(expected.as_bytes(), signature.as_bytes()).is_ok()
    }
}

/// Size and signature of a chunk. A signed body has a signature in each, an unsigned one in none.
fn read_header(line: &str, signed: bool) -> Result<(u64, Option<String>), ChunkError> {
    let (size, extension) = match line.split_once(';') {
        Some((size, extension)) => (size, Some(extension)),
        None => (line, None),
    };
    if size.is_empty() || size.len() > 16 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ChunkError::Malformed(
            "a chunk's size is no hexadecimal number",
        ));
    }
    let bytes = u64::from_str_radix(size, 16)
        .map_err(|_| ChunkError::Malformed("a chunk's size is no hexadecimal number"))?;
    let signature = extension.map(|extension| {
        extension
            .strip_prefix("chunk-signature=")
            .filter(|signature| signature.len() == 64)
    });
    match (signed, signature) {
        (true, Some(Some(signature))) => Ok((bytes, Some(signature.to_owned()))),
        (false, None) => Ok((bytes, None)),
        (true, _) => Err(ChunkError::Malformed("a chunk has no signature")),
        (false, Some(_)) => Err(ChunkError::Malformed("an unsigned body has a signed chunk")),
    }
}

fn find_line_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n")
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// SHA-256 of nothing, which stands in each chunk's string to sign.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The longest line before a chunk: a size, a signature and their names take 100 bytes.
const HEADER_BYTES_MAX: usize = 256;

/// The longest trailer: a few checksums and a signature.
const TRAILER_BYTES_MAX: usize = 4096;

/// The largest signed chunk, which is held in memory until its signature is checked. Clients send 64 KiB to 1 MiB.
const CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;

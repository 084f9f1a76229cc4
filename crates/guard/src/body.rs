//! A body that gives its bytes only as far as the signature vouches for them.
//!
//! The last piece is held back until everything was found right. A service that counts the bytes of `Content-Length`
//! and stops there never has the whole of a wrong body.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::chunked::{ChunkError, Decoder};
use crate::refused::Refused;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyRefused {
    /// The connection, or whatever the body comes from.
    #[error("the body did not come whole: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// It is not the body that was signed.
    #[error("the body is not the one that was signed: {0}")]
    NotSigned(String),
}

/// A body under guard.
pub struct GuardedBody<B> {
    inner: B,
    check: Check,
    /// Bytes that may be given away now.
    ready: VecDeque<Bytes>,
    /// How many bytes are still to be given away, where that is known.
    left: Option<u64>,
    ended: bool,
    /// Where the layer learns that the body was refused.
    verdict: Verdict,
}

/// What became of a body, for whoever answers the request.
pub(crate) type Verdict = Arc<OnceLock<Refused>>;

enum Check {
    /// Nothing is to be held against it any more.
    Nothing,
    /// It must have this hash.
    Hash {
        context: Option<digest::Context>,
        expected: Vec<u8>,
        held: Option<Bytes>,
    },
    /// It comes in chunks.
    Chunks(Box<Decoder>),
}

impl<B> GuardedBody<B> {
    fn new(inner: B, check: Check, left: Option<u64>) -> GuardedBody<B> {
        GuardedBody {
            inner,
            check,
            ready: VecDeque::new(),
            left,
            ended: false,
            verdict: Verdict::default(),
        }
    }

    /// A body that the signature leaves out, and that was accepted so.
    pub(crate) fn unchecked(inner: B, left: Option<u64>) -> GuardedBody<B> {
        GuardedBody::new(inner, Check::Nothing, left)
    }

    /// A body that was read and checked already.
    pub(crate) fn whole(inner: B, bytes: Bytes) -> GuardedBody<B> {
        let mut body = GuardedBody::new(inner, Check::Nothing, Some(bytes.len() as u64));
        // What comes after was read off.
        body.ended = true;
        if !bytes.is_empty() {
            body.ready.push_back(bytes);
        }
        body
    }

    /// A body of this hash, in hex.
    pub(crate) fn of_hash(inner: B, expected: &str, left: Option<u64>) -> GuardedBody<B> {
        let check = Check::Hash {
            context: Some(digest::Context::new(&digest::SHA256)),
            expected: expected.to_ascii_lowercase().into_bytes(),
            held: None,
        };
        GuardedBody::new(inner, check, left)
    }

    /// A body in chunks, of so many bytes once they are decoded.
    pub(crate) fn of_chunks(inner: B, decoder: Decoder, decoded: u64) -> GuardedBody<B> {
        let check = Check::Chunks(Box::new(decoder));
        GuardedBody::new(inner, check, Some(decoded))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    fn refuse(&mut self, refused: Refused) -> BodyRefused {
        self.ended = true;
        self.ready.clear();
        let reason = refused.reason.clone();
        // The first refusal stays.
        let _ = self.verdict.set(refused);
        BodyRefused::NotSigned(reason)
    }

    /// Takes a piece of what came.
    fn take(&mut self, data: Bytes) -> Result<(), BodyRefused> {
        match &mut self.check {
            Check::Nothing => self.ready.push_back(data),
            Check::Hash { context, held, .. } => {
                if data.is_empty() {
                    return Ok(());
                }
                if let Some(context) = context {
                    context.update(&data);
                }
                self.ready.extend(held.replace(data));
            }
            Check::Chunks(decoder) => {
                let pushed = decoder.push(&data);
                self.ready.extend(std::iter::from_fn(|| decoder.next()));
                if let Err(error) = pushed {
                    return Err(self.refuse(of_chunks(&error)));
                }
            }
        }
        Ok(())
    }

    /// What came was all of it.
    fn finish(&mut self) -> Result<(), BodyRefused> {
        self.ended = true;
        match &mut self.check {
            Check::Nothing => {}
            Check::Hash {
                context,
                expected,
                held,
            } => {
                let found = context.take().map(|context| hex::encode(context.finish()));
                let held = held.take();
                if found.as_deref().map(str::as_bytes) != Some(expected.as_slice()) {
                    return Err(self.refuse(hash_mismatch()));
                }
                self.ready.extend(held);
            }
            Check::Chunks(decoder) => {
                let finished = decoder.finish();
                if let Err(error) = finished {
                    return Err(self.refuse(of_chunks(&error)));
                }
                self.ready.extend(std::iter::from_fn(|| decoder.next()));
            }
        }
        Ok(())
    }
}

/// The refusal of a body with another hash.
pub(crate) fn hash_mismatch() -> Refused {
    Refused::new(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        400,
    )
}

pub(crate) fn of_chunks(error: &ChunkError) -> Refused {
    let (code, status) = match error {
        ChunkError::Malformed(_) | ChunkError::Length { .. } => ("IncompleteBody", 400),
        ChunkError::TooLarge { .. } => ("InvalidChunkSizeError", 400),
        ChunkError::Signature(_) => ("SignatureDoesNotMatch", 403),
        ChunkError::Checksum { .. } => ("BadDigest", 400),
    };
    Refused::new(code, &error.to_string(), status)
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyRefused;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyRefused>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                if let Some(left) = &mut this.left {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let outcome = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                // Trailers of HTTP are signed by nobody: they go no further.
                Some(Ok(frame)) => frame.into_data().map_or(Ok(()), |data| this.take(data)),
                Some(Err(error)) => {
                    this.ended = true;
                    Err(BodyRefused::Broken(error.into()))
                }
                None => this.finish(),
            };
            if let Err(error) = outcome {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

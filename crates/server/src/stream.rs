//! Frames on their way from a thread that blocks to a connection that must not: a bounded queue between the two.
//!
//! Either end may go away. A producer learns of it at its next frame, a connection at once.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bowline_service::Error;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

use crate::connection::InFlight;

/// The end that blocks.
pub(crate) struct Producer(Arc<Shared>);

/// The end that is an answer's body.
pub(crate) struct Frames {
    shared: Arc<Shared>,
    beat: Option<Pin<Box<Sleep>>>,
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The connection ended.
    Gone,
    /// There was no room for as long as the producer would wait.
    Stalled,
    /// There was room now and then, for less than a receiver must take.
    Slow,
    /// The producer's `stop` said so.
    Stopped,
}

struct Shared {
    state: Mutex<State>,
    /// A frame was taken, or the receiver has gone.
    room: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    /// Whether the answer has begun: its status is out, or is about to be.
    begun: bool,
    /// What it was refused with, where it never began.
    refused: Option<Error>,
    /// Nothing comes after what is in the queue.
    ended: bool,
    /// Nothing comes after what was taken, and the end is missing.
    cut: bool,
    receiver_gone: bool,
    waker: Option<Waker>,
    /// Keeps the connection from being idle while the work goes on in silence.
    in_flight: Option<InFlight>,
}

/// A queue with its two ends.
pub(crate) fn open() -> (Producer, Frames) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        room: Condvar::new(),
    });
    let frames = Frames {
        shared: shared.clone(),
        beat: None,
    };
    (Producer(shared), frames)
}

impl Producer {
    /// Whether nobody takes frames any more.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.lock().receiver_gone
    }

    /// Puts a frame into the queue, when there is room. Waits for that until `patience` is over, or `stop` says so.
    pub(crate) fn push(
        &self,
        frame: Bytes,
        patience: Duration,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), Refused> {
        let begun = Instant::now();
        let mut state = self.0.lock();
        loop {
            if state.receiver_gone {
                return Err(Refused::Gone);
            }
            if stop() {
                return Err(Refused::Stopped);
            }
            if state.queue.len() < FRAMES_AHEAD {
                break;
            }
            if begun.elapsed() >= patience {
                return Err(Refused::Stalled);
            }
            let (woken, _) = self
                .0
                .room
                .wait_timeout(state, LOOK_EVERY)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
        }
        state.begun = true;
        state.queue.push_back(frame);
        self.0.wake(state);
        Ok(())
    }

    /// Ends the answer with its last frame, for which there is always room.
    pub(crate) fn end(self, last: Bytes) {
        let mut state = self.0.lock();
        if !state.receiver_gone {
            state.queue.push_back(last);
        }
        state.begun = true;
        state.ended = true;
        self.0.leave(state);
    }

    /// Ends an answer with an error: as its last frame where it has begun, else instead of it.
    pub(crate) fn fail(self, error: Error, last: impl FnOnce(&Error) -> Bytes) {
        let mut state = self.0.lock();
        if state.begun {
            drop(state);
            let last = last(&error);
            return self.end(last);
        }
        state.refused = Some(error);
        state.ended = true;
        self.0.leave(state);
    }
}

/// A producer that ended in no other way cuts the answer off: what has come is not the whole.
impl Drop for Producer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !state.ended {
            state.cut = true;
            state.queue.clear();
            self.0.leave(state);
        }
    }
}

impl Frames {
    /// Waits for the first frame, but not for ever. The error where it was refused instead.
    pub(crate) async fn first(&self) -> Result<(), Error> {
        let begun = std::future::poll_fn(|cx| {
            let mut state = self.shared.lock();
            if let Some(error) = state.refused.take() {
                return Poll::Ready(Err(error));
            }
            if state.cut {
                return Poll::Ready(Err(Error::internal("a transfer ended without a word")));
            }
            if state.begun {
                return Poll::Ready(Ok(()));
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        });
        match tokio::time::timeout(BEAT, begun).await {
            Ok(begun) => begun,
            Err(_) => {
                let mut state = self.shared.lock();
                state.begun = true;
                // The error may have come at that very moment.
                state.refused.take().map_or(Ok(()), Err)
            }
        }
    }

    /// Holds a request in flight for as long as the work goes on.
    pub(crate) fn hold(&self, in_flight: InFlight) {
        let mut state = self.shared.lock();
        if !state.ended && !state.cut {
            state.in_flight = Some(in_flight);
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let taken = {
            let mut state = self.shared.lock();
            let taken = state.queue.pop_front();
            if taken.is_none() {
                if state.cut {
                    let error = io::Error::other("the transfer was cut off");
                    return Poll::Ready(Some(Err(error)));
                }
                if state.ended {
                    return Poll::Ready(None);
                }
                state.waker = Some(cx.waker().clone());
            }
            taken
        };
        if let Some(frame) = taken {
            self.shared.room.notify_one();
            self.beat = None;
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        let beat = self
            .beat
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(BEAT)));
        if beat.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.beat = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\n")))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        state.ended && state.queue.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receiver_gone = true;
        state.queue.clear();
        self.shared.leave(state);
        self.shared.room.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn leave(&self, mut state: MutexGuard<'_, State>) {
        let in_flight = state.in_flight.take();
        self.wake(state);
        drop(in_flight);
    }
}

/// Frames that wait to be sent: enough that disk and network work side by side, few enough that a client who does
/// not read costs 1 MiB and no more.
const FRAMES_AHEAD: usize = 8;
/// How often a waiting producer looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long an answer is silent before an empty line says that the work goes on.
const BEAT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const SOON: Duration = Duration::from_millis(50);

    fn push(producer: &Producer, text: &'static str) -> Result<(), Refused> {
        producer.push(Bytes::from_static(text.as_bytes()), SOON, &mut || false)
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(work)
    }

    fn all(frames: Frames) -> Result<Vec<u8>, io::Error> {
        run(frames.collect()).map(|whole| whole.to_bytes().to_vec())
    }

    #[test]
    fn frames_come_in_order_and_end_with_the_last() {
        let (producer, frames) = open();
        push(&producer, "a").unwrap();
        push(&producer, "b").unwrap();
        producer.end("c".into());
        run(frames.first()).unwrap();
        assert_eq!(all(frames).unwrap(), b"abc");
    }

    #[test]
    fn no_more_frames_wait_than_are_allowed() {
        let (producer, frames) = open();
        for _ in 0..FRAMES_AHEAD {
            push(&producer, "a").unwrap();
        }
        assert_eq!(push(&producer, "a"), Err(Refused::Stalled));
        drop(producer);
        assert!(frames.shared.lock().queue.is_empty(), "they are let go");
        assert!(all(frames).is_err(), "a cut answer is not a whole one");
    }

    #[test]
    fn a_producer_that_waits_hears_that_it_should_stop_or_that_nobody_is_there() {
        let (producer, frames) = open();
        while push(&producer, "a").is_ok() {}
        let long = Duration::from_secs(60);
        let mut looks = 0;
        let stopped = producer.push("a".into(), long, &mut || {
            looks += 1;
            looks > 2
        });
        assert_eq!(stopped, Err(Refused::Stopped));
        let waiting = std::thread::spawn(move || {
            let refused = producer.push("a".into(), long, &mut || false);
            (refused, producer.is_alone())
        });
        std::thread::sleep(SOON);
        drop(frames);
        assert_eq!(waiting.join().unwrap(), (Err(Refused::Gone), true));
    }

    #[test]
    fn an_error_before_the_first_frame_stands_instead_of_the_answer() {
        let (producer, frames) = open();
        producer.fail(Error::Busy, |_| unreachable!("no frame tells it"));
        assert!(matches!(run(frames.first()), Err(Error::Busy)));

        let (producer, frames) = open();
        push(&producer, "a").unwrap();
        producer.fail(Error::Busy, |error| error.to_string().into());
        run(frames.first()).unwrap();
        assert!(all(frames).unwrap().starts_with(b"atoo many requests"));
    }

    #[test]
    fn a_producer_lost_before_the_first_frame_is_our_fault() {
        let (producer, frames) = open();
        drop(producer);
        let error = run(frames.first()).unwrap_err();
        assert_eq!(error.code(), "internal");
    }
}

//! Transfers: operations whose answer is long. Progress and bytes travel in frames, then comes the result.
//!
//! Neither end ever holds the whole: the server a few frames, the client one line.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_service::{
    Error, Kind, Progress, PublicError, Service, Sink, Transfer, dispatch_transfer, permit_transfer,
};
use hyper::body::Bytes;
use tokio::sync::watch;

use crate::frame::{FRAMES, Frame, Step, result_line};
use crate::limits::PACE_BYTES;
use crate::message::{Held, Response, Via, log_fault, streamed};
use crate::operations::{refuse, request};
use crate::pool::Share;
use crate::router::{Router, caller};
use crate::stream::{self, Frames, Producer, Refused};
use crate::transport::{Endpoint, Signing, TransportError};

/// Runs the transfer a request names.
pub(crate) async fn serve(
    router: &Router,
    name: &str,
    held: Held,
    via: &Via,
    request_id: &str,
) -> Response {
    match begin(router, name, held, via, request_id).await {
        Ok(frames) => streamed(200, FRAMES, frames),
        Err(error) => refuse(&error, request_id),
    }
}

async fn begin(
    router: &Router,
    name: &str,
    held: Held,
    via: &Via,
    request_id: &str,
) -> Result<Frames, Error> {
    let Held { request, memory } = held;
    // 1. Who asks, and whether they may, is found out among the readers: what a forged signature or a missing
    //    permission costs, no transfer waits for.
    let (named, asked_via) = (name.to_owned(), via.clone());
    let rates = router.rates.clone();
    let identify = move |service: &Service| {
        let caller = caller(service, &rates, &request, &asked_via)?;
        permit_transfer(&named, &request.body, service, &caller)?;
        Ok((request, caller))
    };
    let (request, caller) = router.run(via, Share::Read, identify).await?;
    // 2. The work, on a thread of its own.
    let place = router.transfer_place(via)?;
    let (producer, frames) = stream::open();
    let mut output = Output::new(producer, router, request_id);
    let (service, name) = (router.service.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || {
        let answer = dispatch_transfer(&name, &request.body, &service, &caller, &mut output);
        // Before the end is told: whoever reads it may ask for the next transfer at once.
        drop((place, memory));
        output.finish(answer);
    });
    // 3. Until something comes: a refusal has a status of its own.
    frames.first().await?;
    Ok(frames)
}

/// What a transfer gives, on its way into frames.
struct Output {
    /// Nothing once the last frame is on its way.
    producer: Option<Producer>,
    gathered: Vec<u8>,
    told: Option<(&'static str, Instant)>,
    refused: Option<Refused>,
    patience: Duration,
    pace: Pace,
    grace: Duration,
    stopped: watch::Receiver<bool>,
    stopped_at: Option<Instant>,
    request_id: String,
}

impl Output {
    fn new(producer: Producer, router: &Router, request_id: &str) -> Output {
        Output {
            producer: Some(producer),
            gathered: Vec::new(),
            told: None,
            refused: None,
            patience: router.limits.idle_time,
            pace: Pace::new(router.limits.pace_time),
            // Half the drain for what is nearly done; the other half to tell the others.
            grace: router.limits.drain_time / 2,
            stopped: router.stopped.clone(),
            stopped_at: None,
            request_id: request_id.into(),
        }
    }

    fn push(&mut self, frame: impl Into<Bytes>) -> Result<(), Error> {
        let frame = frame.into();
        let Output {
            producer,
            pace,
            stopped,
            stopped_at,
            grace,
            ..
        } = self;
        let mut stop =
            || *stopped.borrow() && stopped_at.get_or_insert_with(Instant::now).elapsed() >= *grace;
        let mut patience = self.patience;
        let pushed = loop {
            let Some(producer) = producer else {
                break Err(Refused::Gone);
            };
            // No longer than until the receiver's pace is looked at again.
            let (begun, wait) = (Instant::now(), patience.min(pace.left()));
            let pushed = producer.push(frame.clone(), wait, &mut stop);
            let waited = begun.elapsed();
            let given = if pushed.is_ok() { frame.len() } else { 0 };
            let kept = pace.keeps(given, waited);
            patience = patience.saturating_sub(waited);
            match pushed {
                Err(Refused::Stalled) if patience.is_zero() => break pushed,
                Err(Refused::Stalled) if kept => {}
                Err(Refused::Stalled) => break Err(Refused::Slow),
                Ok(()) | Err(_) => break pushed,
            }
        };
        pushed.map_err(|refused| {
            self.refused = Some(refused);
            Error::ReceiverGone {
                reason: refused.reason().into(),
            }
        })
    }

    /// Sends the bytes gathered so far.
    fn flush(&mut self) -> Result<(), Error> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let line = Frame::Bytes(STANDARD.encode(&self.gathered).into()).line();
        self.gathered.clear();
        self.pace.bound = true;
        self.push(line)
    }

    fn finish(mut self, answer: Result<Vec<u8>, Error>) {
        let answer = answer.and_then(|answer| self.flush().map(|()| answer));
        let Some(producer) = self.producer.take() else {
            return;
        };
        match (answer, self.refused) {
            (Ok(answer), _) => producer.end(result_line(&answer).into()),
            (Err(_), Some(Refused::Stopped)) => {
                let stopping = PublicError {
                    kind: Kind::Unavailable,
                    code: Refused::Stopped.code().into(),
                    message: Refused::Stopped.reason().into(),
                };
                producer.end(Frame::Error(stopping).line().into());
            }
            // Nobody reads a last frame. What is not sent yet is let go, and the answer cut off.
            (Err(error), Some(Refused::Gone | Refused::Stalled | Refused::Slow)) => {
                tracing::debug!(request_id = self.request_id, %error, "a transfer ended early");
            }
            (Err(error), None) => fail(producer, error, &self.request_id),
        }
    }
}

/// How fast a receiver takes what waits for it. Only the time spent waiting counts: a disk may be as slow as it is.
struct Pace {
    /// Whether there is anything to carry: progress alone is told as it goes.
    bound: bool,
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Pace {
        Pace {
            bound: false,
            window,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// How much longer may be waited before it must be asked again.
    fn left(&self) -> Duration {
        if self.bound {
            self.window.saturating_sub(self.waited)
        } else {
            Duration::MAX
        }
    }

    /// Counts what was given, and how long that was waited for. Says whether the receiver is fast enough so far.
    fn keeps(&mut self, bytes: usize, waited: Duration) -> bool {
        if !self.bound {
            return true;
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited += waited;
        if self.waited < self.window {
            return true;
        }
        let enough = self.bytes >= self.least();
        if enough {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        enough
    }

    /// Bytes that must have been given when a window is over.
    fn least(&self) -> u64 {
        // No window is so long that this is cut off.
        u64::try_from(self.window.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_mul(PACE_BYTES)
            / 1_000
    }
}

/// A panic ends here: the caller is told that it is our fault, the others go on.
impl Drop for Output {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            let error = Error::internal("a transfer panicked");
            fail(producer, error, &self.request_id);
        }
    }
}

fn fail(producer: Producer, error: Error, request_id: &str) {
    // Where the answer has not begun, whoever waits for it writes the fault down.
    producer.fail(error, |error| {
        log_fault(error, request_id);
        Frame::Error(error.public()).line().into()
    });
}

impl Sink for Output {
    fn progress(&mut self, progress: Progress) -> Result<(), Error> {
        let soon = self.told.is_some_and(|(step, at)| {
            step == progress.step && at.elapsed() < PROGRESS_EVERY && progress.done < progress.total
        });
        if soon && !self.producer.as_ref().is_none_or(Producer::is_alone) {
            return Ok(());
        }
        self.flush()?;
        self.told = Some((progress.step, Instant::now()));
        self.push(Frame::Progress(Step::from(progress)).line())
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.gathered.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.gathered.extend_from_slice(now);
            bytes = later;
            if self.gathered.len() == PIECE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }
}

impl Refused {
    fn code(self) -> &'static str {
        match self {
            Refused::Gone | Refused::Stalled | Refused::Slow => "receiver_gone",
            Refused::Stopped => "server_stopping",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Refused::Gone => "its connection ended",
            Refused::Stalled => "it took nothing for as long as a connection may be idle",
            Refused::Slow => {
                "it took less than 64 KiB a second, for as long as a receiver may be slow"
            }
            Refused::Stopped => "the server stops, and the transfer is not done: ask again",
        }
    }
}

/// Runs a transfer at an endpoint, and hands to `sink` what comes, as it comes.
///
/// What the sink was given is whole only if this succeeds. What the sink refuses ends the transfer, and is
/// [`TransportError::Sink`].
pub fn transfer<T: Transfer>(
    endpoint: &Endpoint,
    signing: Option<&dyn Signing>,
    transfer: &T,
    sink: &mut dyn Sink,
) -> Result<T::Answer, TransportError> {
    let request = request(endpoint, signing, T::NAME, transfer)?;
    endpoint.send_for_lines(&request, |status, line| take(status, line, sink))
}

/// Takes one line of an answer; the answer proper where it is the last.
fn take<A: serde::de::DeserializeOwned>(
    status: u16,
    line: &[u8],
    sink: &mut dyn Sink,
) -> Result<Option<A>, TransportError> {
    let unreadable = |error: &dyn std::fmt::Display| TransportError::Answer {
        reason: error.to_string(),
    };
    match serde_json::from_slice::<Frame<'_>>(line) {
        Ok(Frame::Progress(Step { step, done, total })) => {
            let step = known(&step);
            sink.progress(Progress { step, done, total })
                .map_err(TransportError::Sink)?;
            Ok(None)
        }
        Ok(Frame::Bytes(text)) => {
            let bytes = STANDARD
                .decode(text.as_bytes())
                .map_err(|error| unreadable(&error))?;
            sink.bytes(&bytes).map_err(TransportError::Sink)?;
            Ok(None)
        }
        Ok(Frame::Result(answer)) => serde_json::from_str(answer.get())
            .map(Some)
            .map_err(|error| unreadable(&error)),
        Ok(Frame::Error(error)) => Err(TransportError::Refused(error)),
        Err(_) => Err(TransportError::without_form(status, line)),
    }
}

/// The name of a step for as long as the process lives, as [`Progress`] has it. A server that makes up ever new
/// names gets one for all of them.
fn known(step: &str) -> &'static str {
    static KNOWN: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.iter().find(|known| **known == step) {
        return found;
    }
    if known.len() == STEPS_MAX || step.len() > STEP_BYTES_MAX {
        return "working";
    }
    let step: &'static str = Box::leak(step.into());
    known.push(step);
    step
}

/// Bytes in one frame, before base64: few enough for a line that any reader takes, many enough that a frame costs
/// little beside them.
const PIECE_BYTES: usize = 64 * 1024;
/// How often progress in the same step is told: a bar does not move faster for the eye.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Names of steps a client keeps.
const STEPS_MAX: usize = 64;
/// The longest of them.
const STEP_BYTES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_slow_by_what_it_took_while_it_was_waited_for() {
        let minute = Duration::from_secs(60);
        let least = 60 * PACE_BYTES as usize;
        let second = Duration::from_secs(1);
        let bound = || Pace {
            bound: true,
            ..Pace::new(minute)
        };
        // One frame after 59 s leaves a second for all the others.
        let mut slow = bound();
        assert!(slow.keeps(65_536, 59 * second));
        assert_eq!(slow.left(), second);
        assert!(!slow.keeps(65_536, second));
        assert_eq!(slow.left(), Duration::ZERO);
        // What was enough for one window does not pay for the next.
        let mut enough = bound();
        assert!(enough.keeps(9 * least, 59 * second));
        assert!(enough.keeps(0, second));
        assert_eq!(enough.left(), minute);
        assert!(!enough.keeps(least - 1, minute));
        // Progress alone is never too slow.
        let mut progress = Pace::new(minute);
        assert!(progress.keeps(100, 10 * minute));
        assert_eq!(progress.left(), Duration::MAX);
    }

    #[test]
    fn names_of_steps_are_kept_once_and_not_without_end() {
        assert!(std::ptr::eq(known("copying"), known("copying")));
        assert_eq!(known(&"a".repeat(STEP_BYTES_MAX + 1)), "working");
        for step in 0..10 * STEPS_MAX {
            known(&step.to_string());
        }
        assert_eq!(known("one too many"), "working");
        assert_eq!(known("copying"), "copying");
    }
}

//! Whether the store takes commits. When it does not, the log says so once, and whoever balances load is told.

use std::sync::atomic::{AtomicU8, Ordering};

use bowline_service::{Error, StoreError};
use tokio::sync::Notify;

use crate::pool::Share;

/// What the last answers told of commits. Shared by whatever runs operations; one atomic read an answer.
#[derive(Default)]
pub(crate) struct Commits {
    /// 0 while they are taken; else one more than the place in [`CODES`] of why not.
    refused: AtomicU8,
    /// Something was written, it seems: worth trying at once.
    hope: Notify,
}

impl Commits {
    /// The code of what commits are refused with, until one succeeds.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        let refused = self.refused.load(Ordering::Relaxed);
        CODES.get(usize::from(refused).checked_sub(1)?).copied()
    }

    /// Learns from an answer of an operation.
    pub(crate) fn learn<T>(&self, share: Share, answer: &Result<T, Error>) {
        match answer {
            // It may have found that there was nothing to write: whether commits are taken again, a trial tells.
            Ok(_) if share == Share::Write && self.refused().is_some() => self.hope.notify_one(),
            Ok(_) => {}
            // To a reader it is one record that cannot be told of; the store may go on.
            Err(Error::Store(StoreError::Unknown { .. })) if share != Share::Write => {}
            Err(error) => {
                self.refuse(error);
            }
        }
    }

    /// Notes that commits are refused, if this error says so. Says whether it does.
    pub(crate) fn refuse(&self, error: &Error) -> bool {
        let Some(cause) = cause(error) else {
            return false;
        };
        if self.refused.swap(cause + 1, Ordering::Relaxed) == 0 {
            // Quoted, as every detail from elsewhere. Once: what fails now fails for everybody.
            tracing::error!(code = %error.code(), reason = ?error.to_string(), "commits are refused; /readyz says so until one succeeds");
        }
        true
    }

    /// Notes that one was taken.
    pub(crate) fn accept(&self) {
        if self.refused.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!("commits are taken again");
        }
    }

    /// Returns when it is worth a try.
    pub(crate) async fn hope(&self) {
        self.hope.notified().await;
    }
}

/// The place in [`CODES`] of a store's refusal that has nothing to do with what was asked.
fn cause(error: &Error) -> Option<u8> {
    match error {
        Error::Store(StoreError::Unavailable { .. }) => Some(0),
        Error::Store(StoreError::Unknown { .. }) => Some(1),
        Error::Store(StoreError::Corrupt { .. }) => Some(2),
        _ => None,
    }
}

/// The codes of these refusals, as the answers have them.
const CODES: [&str; 3] = ["store_unavailable", "outcome_unknown", "store_damaged"];

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    type Lines = Arc<Mutex<Vec<(Level, String)>>>;

    /// Keeps what is logged.
    struct Kept(Lines);

    #[derive(Default)]
    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.push_str(&format!("{field}={value:?} "));
        }
    }

    impl Subscriber for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line::default();
            event.record(&mut line);
            let kept = (*event.metadata().level(), line.0);
            self.0.lock().unwrap().push(kept);
        }
    }

    fn full() -> Error {
        let reason = "the disk is full".into();
        Error::Store(StoreError::Unavailable { reason })
    }

    fn unknown() -> Error {
        let reason = "a sync failed".into();
        Error::Store(StoreError::Unknown { reason })
    }

    fn damaged() -> Error {
        let reason = "a record".into();
        Error::Store(StoreError::Corrupt { reason })
    }

    #[test]
    fn the_log_says_once_that_commits_are_refused_and_once_that_they_are_taken() {
        let lines = Lines::default();
        tracing::subscriber::with_default(Kept(lines.clone()), || {
            let commits = Commits::default();
            commits.accept();
            for _ in 0..3 {
                commits.learn::<()>(Share::Write, &Err(full()));
            }
            commits.learn::<()>(Share::Write, &Err(unknown()));
            commits.accept();
            commits.accept();
        });
        let lines = lines.lock().unwrap();
        let [(first, refused), (second, taken)] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!((*first, *second), (Level::ERROR, Level::INFO));
        assert!(refused.contains("the disk is full"), "{refused}");
        assert!(refused.contains("code=store_unavailable"), "{refused}");
        assert!(taken.contains("commits are taken again"), "{taken}");
    }

    #[test]
    fn the_code_is_that_of_the_answers() {
        for error in [full(), unknown(), damaged()] {
            let commits = Commits::default();
            commits.refuse(&error);
            assert_eq!(commits.refused(), Some(&*error.code()));
        }
    }

    #[test]
    fn what_says_nothing_of_commits_changes_nothing() {
        let commits = Commits::default();
        commits.learn::<()>(Share::Write, &Err(Error::Busy));
        commits.learn::<()>(Share::Read, &Err(unknown()));
        commits.learn(Share::Write, &Ok(()));
        assert_eq!(commits.refused(), None);
        commits.refuse(&full());
        // Neither a read nor an operation that perhaps wrote nothing proves anything.
        commits.learn(Share::Read, &Ok(()));
        commits.learn(Share::Write, &Ok(()));
        assert_eq!(commits.refused(), Some("store_unavailable"));
    }
}

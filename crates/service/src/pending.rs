//! Answers that wait for a commit: whatever is decided but not yet on the disk.
//!
//! Nothing of an answer gets out before its commit is made, whether somebody waits for that or is called back.

use std::sync::Arc;

use bowline_store::{Commit, Committed, StoreError};
use bowline_x509::Time;

use crate::audit::Event;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::record::Record;
use crate::service::Service;
use crate::subjects::Sighting;

/// What an operation answers once its effect is durable. [`Service::submit`] sees to that.
#[must_use = "nothing is written, and nothing answered, before it is submitted"]
pub struct Pending<T> {
    commit: Commit,
    written: Written,
    answer: T,
}

/// What this process remembers of a commit that was made.
struct Written {
    now: Time,
    time_noted: bool,
    sighting: Option<Sighting>,
}

impl<T> Pending<T> {
    /// Makes another answer of it, while nothing is written.
    pub(crate) fn try_map<U>(
        self,
        make: impl FnOnce(T) -> Result<U, Error>,
    ) -> Result<Pending<U>, Error> {
        Ok(Pending {
            commit: self.commit,
            written: self.written,
            answer: make(self.answer)?,
        })
    }

    /// Has a sighting remembered that is in the commit.
    pub(crate) fn with_sighting(mut self, sighting: Option<Sighting>) -> Pending<T> {
        self.written.sighting = sighting;
        self
    }
}

impl Service {
    /// An effect together with the event that tells of it, not committed yet.
    pub(crate) fn prepare(
        &self,
        commit: Commit,
        caller: &Caller,
        now: Time,
        event: Event,
    ) -> Result<Pending<()>, Error> {
        let record = event.record(caller, now, &*self.entropy);
        let (commit, time_noted) = self.note_time(commit, now)?;
        Ok(Pending {
            commit: commit.append(keyspace::events(), record.encode()?),
            written: Written {
                now,
                time_noted,
                sighting: None,
            },
            answer: (),
        })
    }

    /// Commits, and waits until that is durable.
    pub(crate) fn finish<T>(&self, pending: Pending<T>) -> Result<T, Error> {
        self.store.commit(pending.commit)?;
        self.remember(pending.written);
        Ok(pending.answer)
    }

    /// Commits without waiting. `answered` hears the answer once it is durable, or why it is not, on a thread of the
    /// store or on this one; it must be quick, and must not ask the service for anything.
    pub fn submit<T: Send + 'static>(
        self: &Arc<Service>,
        pending: Pending<T>,
        answered: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) {
        let waiting = Waiting(Some(Box::new(answered)));
        let service = Arc::clone(self);
        let Pending {
            commit,
            written,
            answer,
        } = pending;
        let committed = move |committed: Result<Committed, StoreError>| {
            let answer = committed.map(|_| {
                service.remember(written);
                answer
            });
            waiting.tell(answer.map_err(Error::from));
        };
        self.store.submit(commit, Box::new(committed));
    }

    fn remember(&self, written: Written) {
        self.time_passed(written.now, written.time_noted);
        self.keep_sighting(written.sighting, written.now);
    }
}

/// Who waits for an answer, and hears of it whatever becomes of the store.
struct Waiting<T>(Option<Answered<T>>);

type Answered<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

impl<T> Waiting<T> {
    fn tell(mut self, answer: Result<T, Error>) {
        if let Some(answered) = self.0.take() {
            answered(answer);
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Some(answered) = self.0.take() {
            let reason = "the store ended without an answer".to_owned();
            answered(Err(StoreError::Unknown { reason }.into()));
        }
    }
}

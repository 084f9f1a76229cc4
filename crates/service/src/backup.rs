//! `backup`: a checkpoint of the store, given to the caller while the home goes on.
//!
//! Keys in it stay sealed, and what opens them is no part of the store: a backup alone reveals no key.

use std::io::{self, Write};

use bowline_store::{CheckpointError, Commit, Progress};
use bowline_x509::Time;
use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::error::Error;
use crate::operation::{Sink, Transfer};
use crate::service::Service;

/// Copies the whole store, as it is after the last commit that has returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// The number of the last commit in it.
    pub last_commit: u64,
    /// When that commit was written, if the store tells.
    pub written_at: Option<Time>,
    /// How many records it holds.
    pub records: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Transfer for Backup {
    const NAME: &'static str = "backup";
    type Answer = BackupSummary;

    fn permit(&self, service: &Service, caller: &Caller) -> Result<(), Error> {
        service.authorize(caller, "bowline:Backup", "*")
    }

    fn run(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<BackupSummary, Error> {
        self.permit(service, caller)?;
        service.tell_copy(caller, Event::BackedUp {})?;
        // 1. Progress is told between the bytes: both go the same way, and the store gives them in turn.
        let shared = std::cell::RefCell::new(Shared { sink, failed: None });
        let mut output = Output(&shared);
        let mut progress = |progress| shared.borrow_mut().progress(progress);
        let written = service.store.checkpoint(&mut output, &mut progress);
        let failed = shared.into_inner().failed;
        // 2. Why the receiver takes no more is what there is to tell.
        if let Some(error) = failed {
            return Err(error);
        }
        let summary = written.map_err(|error| match error {
            CheckpointError::Store(error) => Error::Store(error),
            CheckpointError::Output(error) => Error::internal(error.to_string()),
        })?;
        Ok(BackupSummary {
            last_commit: summary.header.sequence,
            written_at: i64::try_from(summary.header.written_at)
                .ok()
                .filter(|seconds| *seconds > 0)
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            records: summary.records,
            bytes: summary.bytes,
        })
    }
}

impl Service {
    /// Writes down that somebody gets a copy, before the first byte of it. The operator on this machine gets it on a full
    /// disk too: he could copy the files, and needs it most then.
    pub(crate) fn tell_copy(&self, caller: &Caller, event: Event) -> Result<(), Error> {
        match self.commit(Commit::new(), caller, self.now(), event) {
            Err(_) if matches!(caller, Caller::Operator) => Ok(()),
            told => told,
        }
    }
}

/// A sink that the store writes to and reports to, until it takes no more.
struct Shared<'a> {
    sink: &'a mut dyn Sink,
    failed: Option<Error>,
}

impl Shared<'_> {
    fn progress(&mut self, progress: Progress) {
        if self.failed.is_none() {
            self.failed = self.sink.progress(progress).err();
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let gone = || io::Error::other("the receiver takes no more");
        if self.failed.is_some() {
            return Err(gone());
        }
        self.sink.bytes(bytes).map_err(|error| {
            self.failed = Some(error);
            gone()
        })
    }
}

struct Output<'a, 'b>(&'a std::cell::RefCell<Shared<'b>>);

impl Write for Output<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().bytes(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

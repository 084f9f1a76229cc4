//! Where blocking work runs: a bounded number of waiting writers, and shares of their own for those who must
//! not wait behind them.
//!
//! Operations block on the store's sync, and many waiting together share one. So the bound is
//! wide; past it a caller hears at once that it should come back, instead of waiting in memory.

use std::sync::Arc;

use bowline_service::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

/// Bounds the operations in flight.
#[derive(Clone)]
pub(crate) struct Pool {
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    publication: Arc<Semaphore>,
    operator: Arc<Semaphore>,
    threads: usize,
}

/// Which share of the pool an operation runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// May wait for the store's sync.
    Write,
    /// Only reads; never waits behind writers.
    Read,
    /// What everybody may fetch: revocations are told while the server is too busy to do anything else.
    Publication,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Pool {
        let share = |size: usize| Arc::new(Semaphore::new(size));
        Pool {
            writers: share(limits.writers),
            readers: share(limits.readers),
            publication: share(PUBLICATION_MAX),
            operator: share(OPERATOR_MAX),
            threads: limits.writers + limits.readers + PUBLICATION_MAX + OPERATOR_MAX,
        }
    }

    /// The threads the runtime must have for all shares to be real.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on a thread that may block.
    pub(crate) async fn run<T, F>(&self, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce() -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        run(self.place(share).ok_or(Error::Busy)?, work).await
    }

    /// The same for the operator on this machine, who finds a place when strangers have taken every other.
    pub(crate) async fn run_for_operator<T, F>(&self, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce() -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let place = self.place(share);
        let place = place.or_else(|| self.operator.clone().try_acquire_owned().ok());
        run(place.ok_or(Error::Busy)?, work).await
    }

    fn place(&self, share: Share) -> Option<OwnedSemaphorePermit> {
        let semaphore = match share {
            Share::Write => &self.writers,
            Share::Read => &self.readers,
            Share::Publication => &self.publication,
        };
        semaphore.clone().try_acquire_owned().ok()
    }
}

async fn run<T, F>(place: OwnedSemaphorePermit, work: F) -> Result<T, Error>
where
    F: FnOnce() -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    let work = tokio::task::spawn_blocking(move || {
        let answer = work();
        drop(place);
        answer
    });
    match work.await {
        Ok(answer) => answer,
        // The one place where a panic in an operation ends: the caller gets 500, the others go on.
        Err(_) => Err(Error::internal("an operation panicked")),
    }
}

/// Fetches of roots, certificates and CRLs that are not in memory.
const PUBLICATION_MAX: usize = 8;
/// Places that only the operator on this machine may take.
const OPERATOR_MAX: usize = 16;

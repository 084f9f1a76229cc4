//! Where blocking work runs: a bounded number of waiting writers, and shares of their own for those who must
//! not wait behind them.
//!
//! Operations block on the store's sync, and many waiting together share one. So the bound is
//! wide; past it a caller hears at once that it should come back, instead of waiting in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    transfers: Arc<Semaphore>,
    operator_transfers: Arc<Semaphore>,
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
            transfers: share(TRANSFERS_MAX),
            operator_transfers: share(OPERATOR_TRANSFERS_MAX),
            threads: limits.writers
                + limits.readers
                + PUBLICATION_MAX
                + OPERATOR_MAX
                + TRANSFERS_MAX
                + OPERATOR_TRANSFERS_MAX,
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
        let place = self.place(share).ok_or(Error::Busy)?;
        self.run_at(place, share, work).await
    }

    /// The same for the operator on this machine, who finds a place when strangers have taken every other.
    pub(crate) async fn run_for_operator<T, F>(&self, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce() -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let place = self.place(share);
        let place = place.or_else(|| self.operator.clone().try_acquire_owned().ok());
        self.run_at(place.ok_or(Error::Busy)?, share, work).await
    }

    async fn run_at<T, F>(
        &self,
        place: OwnedSemaphorePermit,
        share: Share,
        work: F,
    ) -> Result<T, Error>
    where
        F: FnOnce() -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let place = Arc::new(Mutex::new(Some(place)));
        let held = place.clone();
        let mut work = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(take(&held));
            answer
        });
        // A read that takes long is no read: a refused operation is told to the log before it is answered, and
        // waits for the disk with the writers. On a slow disk, refusals would shut the others out.
        let answer = if share == Share::Read {
            match tokio::time::timeout(READ_TIME, &mut work).await {
                Ok(answer) => answer,
                Err(_) => {
                    if let Some(among_writers) = self.place(Share::Write)
                        && let Some(held) = &mut *lock(&place)
                    {
                        *held = among_writers;
                    }
                    work.await
                }
            }
        } else {
            work.await
        };
        match answer {
            Ok(answer) => answer,
            // The one place where a panic in an operation ends: the caller gets 500, the others go on.
            Err(_) => Err(Error::internal("an operation panicked")),
        }
    }

    /// A place for a transfer, which is given back when dropped. It takes a thread that may block.
    pub(crate) fn transfer(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = self.transfers.clone().try_acquire_owned();
        place.map_err(|_| Error::Busy)
    }

    /// The same for the operator on this machine.
    pub(crate) fn transfer_for_operator(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.transfer().or_else(|_| {
            let place = self.operator_transfers.clone().try_acquire_owned();
            place.map_err(|_| Error::Busy)
        })
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

/// The place some work runs at. Nothing once it is done.
type Place = Mutex<Option<OwnedSemaphorePermit>>;

fn lock(place: &Place) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(place: &Place) -> Option<OwnedSemaphorePermit> {
    lock(place).take()
}

/// How long work may take among the readers. A read of an index takes a thousandth of it.
const READ_TIME: Duration = Duration::from_millis(250);
/// Fetches of roots, certificates and CRLs that are not in memory.
const PUBLICATION_MAX: usize = 8;
/// Places that only the operator on this machine may take.
const OPERATOR_MAX: usize = 16;
/// Transfers at once. Each reads the whole store: two already share what the disk gives to one, and more would
/// only take longer, and take it from the writers.
const TRANSFERS_MAX: usize = 2;
/// One more, which only the operator on this machine may take: a backup does not wait for others' reports.
const OPERATOR_TRANSFERS_MAX: usize = 1;

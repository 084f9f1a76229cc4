//! Where blocking work runs: a bounded number of waiting writers, and a share that only reads may use.
//!
//! Operations block on the store's sync, and many waiting together share one. So the bound is
//! wide; past it a caller hears at once that it should come back, instead of waiting in memory.

use std::sync::Arc;

use bowline_service::Error;
use tokio::sync::Semaphore;

/// Bounds the operations in flight.
#[derive(Clone)]
pub(crate) struct Pool {
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// Which share of the pool an operation runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// May wait for the store's sync.
    Write,
    /// Only reads; never waits behind writers.
    Read,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool {
            writers: Arc::new(Semaphore::new(WRITERS_MAX)),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// The threads the runtime must have for both shares to be real.
    pub(crate) const THREADS: usize = WRITERS_MAX + READERS_MAX;

    /// Runs `work` on a thread that may block.
    pub(crate) async fn run<T, F>(&self, share: Share, work: F) -> Result<T, Error>
    where
        F: FnOnce() -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let semaphore = match share {
            Share::Write => &self.writers,
            Share::Read => &self.readers,
        };
        let permit = semaphore
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::Busy)?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match work.await {
            Ok(answer) => answer,
            // The one place where a panic in an operation ends: the caller gets 500, the others go on.
            Err(_) => Err(Error::internal("an operation panicked")),
        }
    }
}

/// Operations that may wait for a sync together. Group commit needs many waiting at once.
const WRITERS_MAX: usize = 192;
/// Operations that only read.
const READERS_MAX: usize = 32;

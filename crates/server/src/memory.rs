//! The memory that requests take, all connections together.

use std::sync::Arc;

use bowline_service::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on the bytes of requests held at once. Past it a caller hears at once that it should come back.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    pub(crate) fn new(bytes: usize) -> Memory {
        Memory(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes memory until the answer is dropped.
    pub(crate) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::Busy)?;
        let taken = self.0.clone().try_acquire_many_owned(bytes);
        taken.map_err(|_| Error::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_when_taken_and_there_again_when_given_back() {
        let memory = Memory::new(10);
        let held = memory.take(8).unwrap();
        assert!(matches!(memory.take(3), Err(Error::Busy)));
        drop(held);
        assert!(memory.take(10).is_ok());
    }
}

//! The memory that requests and answers take, all connections together.

use std::sync::Arc;

use bowline_service::Error;
use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on bytes held at once. Past it a caller hears at once that it should come back.
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

    /// Bytes that take memory until the last of them is dropped.
    pub(crate) fn hold(&self, bytes: Vec<u8>) -> Result<Bytes, Error> {
        let taken = self.take(bytes.len())?;
        Ok(Bytes::from_owner(Held {
            bytes,
            _taken: taken,
        }))
    }
}

struct Held {
    bytes: Vec<u8>,
    _taken: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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

    #[test]
    fn bytes_take_memory_until_the_last_part_of_them_is_gone() {
        let memory = Memory::new(10);
        let bytes = memory.hold(vec![7; 8]).unwrap();
        let part = bytes.slice(1..2);
        drop(bytes);
        assert!(matches!(memory.hold(vec![7; 3]), Err(Error::Busy)));
        assert_eq!(&part[..], [7]);
        drop(part);
        assert!(memory.hold(vec![7; 10]).is_ok());
    }
}

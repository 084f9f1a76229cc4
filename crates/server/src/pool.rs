//! Where blocking work runs: a bounded number of waiting writers, and shares of their own for those who must
//! not wait behind them.
//!
//! Operations block on the store's sync, and many waiting together share one. So the bound is
//! wide; past it a caller hears at once that it should come back, instead of waiting in memory.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_service::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

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
    hands: Arc<Hands>,
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
        let hands = Hands::new();
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
                + OPERATOR_TRANSFERS_MAX
                + hands.most,
            hands: Arc::new(hands),
        }
    }

    /// The threads the runtime must have for all shares to be real.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Has a writer's work begun by one of a few threads, and waits for an answer that comes when it comes: no thread
    /// waits for the disk. The place among the writers is held until then, whether or not the caller still waits.
    pub(crate) async fn begin<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(Answer<T>) + Send + 'static,
        T: Send + 'static,
    {
        let place = self.place(Share::Write).ok_or(Error::Busy)?;
        self.begin_at(place, work).await
    }

    /// The same for the operator on this machine.
    pub(crate) async fn begin_for_operator<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(Answer<T>) + Send + 'static,
        T: Send + 'static,
    {
        let place = self.place(Share::Write);
        let place = place.or_else(|| self.operator.clone().try_acquire_owned().ok());
        self.begin_at(place.ok_or(Error::Busy)?, work).await
    }

    async fn begin_at<T, F>(&self, place: OwnedSemaphorePermit, work: F) -> Result<T, Error>
    where
        F: FnOnce(Answer<T>) + Send + 'static,
        T: Send + 'static,
    {
        let (sender, answered) = oneshot::channel();
        let answer = Answer { place, sender };
        self.hands.take(Box::new(move || work(answer)));
        match answered.await {
            Ok(answer) => answer,
            // Who is to answer answers, or has panicked.
            Err(_) => Err(Error::internal("an operation panicked")),
        }
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

/// Where an answer goes that comes later, with the place that is held for it.
pub(crate) struct Answer<T> {
    place: OwnedSemaphorePermit,
    sender: oneshot::Sender<Result<T, Error>>,
}

impl<T> Answer<T> {
    /// Gives the answer, to whoever still waits.
    pub(crate) fn give(self, answer: Result<T, Error>) {
        // Before the answer is seen: who has it may ask again.
        drop(self.place);
        let _ = self.sender.send(answer);
    }
}

/// A few threads that begin the work of many. One that has done something takes what is next without sleeping, so that
/// a crowd of requests costs a crowd of signatures and no crowd of threads.
struct Hands {
    queue: Mutex<Queue>,
    most: usize,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    busy: usize,
}

impl Hands {
    fn new() -> Hands {
        let cores = std::thread::available_parallelism();
        Hands {
            queue: Mutex::default(),
            most: cores.map_or(1, usize::from),
        }
    }

    /// Has work done soon.
    fn take(self: &Arc<Hands>, work: Work) {
        let mut queue = self.lock();
        queue.waiting.push_back(work);
        if queue.busy < self.most {
            queue.busy += 1;
            drop(queue);
            let hands = self.clone();
            tokio::task::spawn_blocking(move || hands.work());
        }
    }

    /// Works until there is nothing left.
    fn work(&self) {
        while let Some(work) = self.next() {
            // Where a panic in an operation ends: its caller is told by the answer that is dropped.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(work));
        }
    }

    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.busy -= 1;
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool(writers: usize) -> Pool {
        Pool::new(&Limits {
            writers,
            ..Limits::default()
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_place_is_held_until_the_answer_is_given() {
        let pool = pool(1);
        let (begun, answers) = mpsc::channel();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.begin(move |answer| begun.send(answer).unwrap()).await }
        });
        // The thread that began it is free again, the place is not.
        let answer: Answer<u8> = answers.recv().unwrap();
        let second = pool.begin(|answer| answer.give(Ok(2))).await;
        assert!(matches!(second, Err(Error::Busy)));
        answer.give(Ok(1));
        assert_eq!(first.await.unwrap().unwrap(), 1);
        assert_eq!(pool.begin(|answer| answer.give(Ok(3))).await.unwrap(), 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_caller_who_goes_away_leaves_the_place_held_and_the_work_done() {
        let pool = pool(1);
        let (begun, answers) = mpsc::channel();
        let gone = tokio::spawn({
            let pool = pool.clone();
            async move { pool.begin(move |answer| begun.send(answer).unwrap()).await }
        });
        let answer: Answer<u8> = answers.recv().unwrap();
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let second = pool.begin(|answer| answer.give(Ok(2))).await;
        assert!(matches!(second, Err(Error::Busy)));
        answer.give(Ok(1));
        assert!(pool.begin(|answer| answer.give(Ok(3))).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_told_to_its_caller_and_to_nobody_else() {
        let pool = pool(1);
        // As many as there are threads, and more: none of them may be lost.
        for _ in 0..4 * pool.hands.most {
            let panicked = pool.begin::<u8, _>(|_| panic!("in an operation")).await;
            assert!(matches!(panicked, Err(Error::Internal { .. })));
        }
        assert_eq!(pool.begin(|answer| answer.give(Ok(1))).await.unwrap(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_of_a_crowd_are_answered() {
        let pool = pool(1000);
        let asked: Vec<_> = (0..1000)
            .map(|number| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.begin(move |answer| answer.give(Ok(number))).await })
            })
            .collect();
        for (number, answer) in asked.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().unwrap(), number);
        }
        assert_eq!(pool.hands.lock().waiting.len(), 0);
    }
}

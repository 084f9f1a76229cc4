//! How an engine is opened: for long, or for one command.

/// What a process that opens a home expects to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// How much of the index sled may keep in memory.
    pub cache_bytes: u64,
    /// How many commits may wait; one more is [`Unavailable`](bowline_store::StoreError::Unavailable).
    pub queue_commits: usize,
    /// How much of the journal is read back at opening although the index has it already, newest segments
    /// first, to find damage while the index could still make up for it.
    pub verify_bytes: u64,
    /// A journal that, with the newest checkpoint, is shorter than this is read into memory instead of
    /// starting sled. The index on disk
    /// then stays behind until the next opening that uses it.
    pub memory_journal_bytes: u64,
    /// Below so many free bytes nothing is committed any more, but for
    /// [what takes away](bowline_store::Commit::from_reserve), which is committed down to a quarter of it: sled does
    /// not survive a full disk, the journal does. Reads go on. A quarter of it must be free to open the index.
    pub reserve_bytes: u64,
    /// How much the journal grows before a checkpoint is made in the background, or half of the last
    /// checkpoint if that is more; `u64::MAX` makes none.
    pub checkpoint_bytes: u64,
}

/// sled's cache: its own default of 1 GiB is for machines that do nothing else. It takes about three times as
/// much in the end, beside 150 MiB for a million certificates: with 64 MiB that was 420 MiB in all, with this
/// 330 MiB.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Several times the callers a busy server has waiting, and 1 GiB of the largest commits.
const QUEUE_COMMITS: usize = 1_024;

/// Eight times the largest group: its place in the journal, and what sled writes of it and of older records it
/// moves, until the next group asks again.
const RESERVE_BYTES: u64 = 32 * 1024 * 1024;

/// What reads in the time that starting sled takes: about 5 ms of one core.
const ONE_SHOT_JOURNAL_BYTES: u64 = 4 * 1024 * 1024;

/// What reads in half a second, so that a start stays short whatever the home holds; all of it is verified
/// by each checkpoint.
const SERVER_VERIFY_BYTES: u64 = 128 * 1024 * 1024;

/// What a rebuild reads in a moment, and a checkpoint of a small home is written from in another.
const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

impl SledOptions {
    /// For a process that stays: the newest part of the journal is verified, the index is used, and
    /// checkpoints are made.
    pub fn server() -> SledOptions {
        SledOptions {
            cache_bytes: CACHE_BYTES,
            queue_commits: QUEUE_COMMITS,
            verify_bytes: SERVER_VERIFY_BYTES,
            memory_journal_bytes: 0,
            reserve_bytes: RESERVE_BYTES,
            checkpoint_bytes: CHECKPOINT_BYTES,
        }
    }

    /// For a process that does one thing and ends: a short journal is read, a long one is left to the index.
    pub fn one_shot() -> SledOptions {
        SledOptions {
            cache_bytes: CACHE_BYTES,
            queue_commits: QUEUE_COMMITS,
            verify_bytes: ONE_SHOT_JOURNAL_BYTES,
            memory_journal_bytes: ONE_SHOT_JOURNAL_BYTES,
            reserve_bytes: RESERVE_BYTES,
            checkpoint_bytes: u64::MAX,
        }
    }
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions::server()
    }
}

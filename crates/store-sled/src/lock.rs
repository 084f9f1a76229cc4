//! The lock on a home, and the notes its holder leaves for the next one.
//!
//! Whoever holds `lock` owns the journal and the index; nothing beside it is read, removed or moved without.
//! The notes are one small block, rewritten in place: who holds the lock, what the last holder acknowledged,
//! and in which state it left the index.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::OpenError;

/// The file's name inside the home.
pub(crate) const LOCK_FILE: &str = "lock";

/// The notes' length: below a disk sector, so that a power cut leaves the old ones or the new ones.
const NOTES_BYTES: usize = 256;

/// The first line; the number changes when the notes' meaning does.
const NOTES_TITLE: &str = "bowline home lock 1";

/// How often and how patiently a lock held by someone is tried again: [`holder`] takes it for an instant.
const ATTEMPTS: u32 = 5;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(1);

/// Who has a home open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process, unless it has not written it down yet.
    pub pid: Option<u32>,
}

/// Tells whether some process, perhaps this one, has the home open, and which.
///
/// The answer may be out of date when it arrives: to act on the home, open it.
pub fn holder(home: &Path) -> io::Result<Option<Holder>> {
    for path in [home, &home.join(LOCK_FILE)] {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Ok(Some(Holder {
                    pid: noted_pid(home),
                }));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// The process that the notes name, if there are any.
fn noted_pid(home: &Path) -> Option<u32> {
    let file = File::open(home.join(LOCK_FILE)).ok()?;
    read_notes(&file).map(|notes| notes.pid)
}

/// What the last holder left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) pid: u32,
    pub(crate) index: IndexState,
    /// The last commit whose caller may have been told that it is durable.
    pub(crate) acknowledged: u64,
}

/// How far the files of the index can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexState {
    /// There has never been one.
    Unused,
    /// In use under this boot of the machine. The index does not sync what it writes, so that its files
    /// outlive the process that wrote them, but not the boot.
    Open(Boot),
    /// Closed in good order, and synced.
    Clean,
    /// Something read from it was wrong, or it was being made.
    Damaged,
}

/// One start of the machine; none where the system does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot(Option<String>);

impl Boot {
    pub(crate) fn current() -> Boot {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Boot(id.map(|id| id.trim().to_owned()))
    }

    /// A boot of this name, for tests.
    #[cfg(test)]
    pub(crate) fn named(id: &str) -> Boot {
        Boot(Some(id.to_owned()))
    }

    /// Two unknown boots are not the same one.
    pub(crate) fn same_as(&self, other: &Boot) -> bool {
        self.0.is_some() && self.0 == other.0
    }
}

/// The held lock. Dropping it lets the home go.
#[derive(Debug)]
pub(crate) struct HomeLock {
    /// The home itself, locked too: the file can be removed while it is held, and made once more.
    _directory: File,
    file: File,
    path: PathBuf,
    notes: Notes,
}

impl HomeLock {
    /// Takes the lock, creating it in a new home, and returns what the last holder noted: none in a new home,
    /// or where the notes cannot be read.
    pub(crate) fn take(home: &Path) -> Result<(HomeLock, Option<Notes>), OpenError> {
        let path = home.join(LOCK_FILE);
        let failed = |doing| move |source| OpenError::io(doing, &home.join(LOCK_FILE), source);
        let refused = |path: &Path, error| match error {
            TryLockError::WouldBlock => OpenError::Locked {
                home: home.to_owned(),
                pid: noted_pid(home),
            },
            TryLockError::Error(source) => OpenError::io("lock", path, source),
        };
        let directory = File::open(home).map_err(|source| OpenError::io("open", home, source))?;
        try_lock(&directory).map_err(|error| refused(home, error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open"))?;
        try_lock(&file).map_err(|error| refused(&path, error))?;
        let previous = read_notes(&file);
        let notes = Notes {
            pid: std::process::id(),
            index: previous
                .as_ref()
                .map_or(IndexState::Unused, |notes| notes.index.clone()),
            acknowledged: previous.as_ref().map_or(0, |notes| notes.acknowledged),
        };
        let lock = HomeLock {
            _directory: directory,
            file,
            path,
            notes,
        };
        // Notes that cannot be read stay as they are until the home is known to be whole; a second
        // attempt must find as little reason to trust the index as the first did.
        if previous.is_some() {
            lock.write().map_err(failed("write"))?;
        }
        Ok((lock, previous))
    }

    /// Notes the state of the index, and makes that durable: power may fail right after.
    pub(crate) fn set_index(&mut self, index: IndexState) -> io::Result<()> {
        self.notes.index = index;
        self.write()?;
        self.file.sync_data()
    }

    /// Notes the state of the index; power failing right after may leave the older note.
    pub(crate) fn set_index_unsynced(&mut self, index: IndexState) -> io::Result<()> {
        self.notes.index = index;
        self.write()
    }

    /// Notes the last commit that is durable, before anyone is told. Not synced: the journal is what is
    /// durable, this only tells a torn tail from a damaged record after a killed process.
    pub(crate) fn set_acknowledged(&mut self, sequence: u64) -> io::Result<()> {
        self.notes.acknowledged = sequence;
        self.write()
    }

    /// What the notes say of the index now.
    pub(crate) fn index(&self) -> &IndexState {
        &self.notes.index
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&self.notes.encode(), 0)
    }
}

fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(ATTEMPT_INTERVAL),
            decided => return decided,
        }
    }
    file.try_lock()
}

fn read_notes(file: &File) -> Option<Notes> {
    let mut bytes = [0; NOTES_BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Notes::decode(&bytes)
}

impl Notes {
    fn encode(&self) -> [u8; NOTES_BYTES] {
        let index = match &self.index {
            IndexState::Unused => "unused".to_owned(),
            IndexState::Open(Boot(Some(id))) => format!("open {id}"),
            IndexState::Open(Boot(None)) => "open".to_owned(),
            IndexState::Clean => "clean".to_owned(),
            IndexState::Damaged => "damaged".to_owned(),
        };
        let text = format!(
            "{NOTES_TITLE}\npid {}\nindex {index}\nacknowledged {}\n",
            self.pid, self.acknowledged
        );
        let text = format!("{text}check {:08x}\n", crc32fast::hash(text.as_bytes()));
        let mut bytes = [b' '; NOTES_BYTES];
        // Fits: a boot id is 36 bytes, the numbers at most 30, the words below 80.
        let length = text.len().min(NOTES_BYTES);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Notes> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (body, check) = text.split_at(text.find("check ")?);
        let check = check.strip_prefix("check ")?.trim_end();
        if check != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != NOTES_TITLE {
            return None;
        }
        let pid = lines.next()?.strip_prefix("pid ")?.parse().ok()?;
        let index = match lines.next()?.strip_prefix("index ")? {
            "unused" => IndexState::Unused,
            "clean" => IndexState::Clean,
            "damaged" => IndexState::Damaged,
            "open" => IndexState::Open(Boot(None)),
            open => IndexState::Open(Boot(Some(open.strip_prefix("open ")?.to_owned()))),
        };
        let acknowledged = lines.next()?.strip_prefix("acknowledged ")?.parse().ok()?;
        Some(Notes {
            pid,
            index,
            acknowledged,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(index: IndexState) -> Notes {
        Notes {
            pid: u32::MAX,
            index,
            acknowledged: u64::MAX,
        }
    }

    #[test]
    fn notes_come_back_as_they_were_written() {
        let boot = Boot(Some("ddc7a9cf-2194-4310-b218-d6f0e967d65c".to_owned()));
        for index in [
            IndexState::Unused,
            IndexState::Open(boot),
            IndexState::Open(Boot(None)),
            IndexState::Clean,
            IndexState::Damaged,
        ] {
            assert_eq!(
                Notes::decode(&notes(index.clone()).encode()),
                Some(notes(index))
            );
        }
    }

    #[test]
    fn notes_with_a_flipped_bit_are_not_believed() {
        let whole = notes(IndexState::Clean).encode();
        let written = whole.trim_ascii_end().len();
        for bit in 0..written * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Notes::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn an_unknown_boot_is_never_the_same_one() {
        assert!(!Boot(None).same_as(&Boot(None)));
        assert!(Boot::current().same_as(&Boot::current()) || Boot::current() == Boot(None));
    }

    #[test]
    fn removing_the_lock_file_does_not_give_a_held_home_to_another() {
        let home = tempfile::tempdir().unwrap();
        let (lock, _) = HomeLock::take(home.path()).unwrap();
        std::fs::remove_file(home.path().join(LOCK_FILE)).unwrap();
        let error = HomeLock::take(home.path()).unwrap_err();
        assert!(
            matches!(error, OpenError::Locked { pid: None, .. }),
            "{error}"
        );
        assert_eq!(holder(home.path()).unwrap(), Some(Holder { pid: None }));
        drop(lock);
        HomeLock::take(home.path()).unwrap();
    }

    #[test]
    fn a_second_taker_learns_the_pid_of_the_first() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(holder(home.path()).unwrap(), None);
        let (mut lock, previous) = HomeLock::take(home.path()).unwrap();
        assert_eq!(previous, None);
        lock.set_acknowledged(7).unwrap();
        let pid = Some(std::process::id());
        assert_eq!(holder(home.path()).unwrap(), Some(Holder { pid }));
        let error = HomeLock::take(home.path()).unwrap_err();
        assert!(
            matches!(error, OpenError::Locked { pid: named, .. } if named == pid),
            "{error}"
        );
        drop(lock);
        assert_eq!(holder(home.path()).unwrap(), None);
        let (_, previous) = HomeLock::take(home.path()).unwrap();
        assert_eq!(previous.unwrap().acknowledged, 7);
    }
}

//! The journal: every commit, in order, in checksummed records that are synced before anyone is answered.
//!
//! It is the truth; everything else in the home that can be read from it can be made again from it.

mod disk;
mod format;
mod read;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_store::Effect;

pub(crate) use disk::{Disk, SystemDisk};
pub(crate) use format::{Checksum, FIRST_LINK};
use format::{FORMAT, HEADER_BYTES, Header, RecordBuilder};
pub(crate) use read::{Ending, Replayed, Segment, TornTail, read, segments, start_of};

use crate::OpenError;

/// The directory's name inside the home.
pub(crate) const JOURNAL_DIRECTORY: &str = "journal";

/// How long a segment grows before the next is begun: short enough to be read into memory whole.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

const SEGMENT_EXTENSION: &str = "journal";

/// A place between two records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last commit before it; 0 at the very start.
    pub(crate) sequence: u64,
    /// The first commit of the segment it is in.
    pub(crate) segment: u64,
    /// The offset in that segment; 0 is before the header.
    pub(crate) offset: u64,
    /// The checksum of the record before it.
    pub(crate) link: Checksum,
}

impl Position {
    /// Before the first record of all.
    pub(crate) const START: Position = Position {
        sequence: 0,
        segment: 1,
        offset: 0,
        link: FIRST_LINK,
    };
}

/// The path of the segment that begins with this commit; names sort as numbers do.
pub(crate) fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.{SEGMENT_EXTENSION}"))
}

fn segment_of_name(name: &str) -> Option<u64> {
    let (digits, extension) = name.split_once('.')?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let first = digits.parse().ok().filter(|first| *first > 0)?;
    (plain && extension == SEGMENT_EXTENSION).then_some(first)
}

/// Makes the journal's directory in a new home; its name becomes durable with the next segment.
pub(crate) fn create_directory(home: &Path) -> Result<PathBuf, OpenError> {
    let path = home.join(JOURNAL_DIRECTORY);
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(OpenError::io("create", &path, error))
        }
        _ => Ok(path),
    }
}

/// Makes names in a directory survive power loss.
pub(crate) fn sync_directory(path: &Path) -> Result<(), OpenError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| OpenError::io("sync", path, source))
}

/// How a file system with too little room is refused.
pub(crate) fn disk_is_full(free: u64, needed: u64) -> String {
    format!("the disk is full, free some: it has {free} bytes left, and {needed} are needed")
}

/// Why a group is not in the journal.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// Nothing of it is left there; the next group may succeed.
    NotWritten(io::Error),
    /// Nothing of it is there, but a sync failed. Nothing may be written after it.
    Stopped(io::Error),
    /// It may or may not survive. Nothing may be written after it.
    Unknown(io::Error),
}

/// The journal, open at its end.
pub(crate) struct Journal {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    file: Option<File>,
    position: Position,
    record: RecordBuilder,
    segment_bytes: u64,
    /// Whether the directory's own name is known to be durable.
    is_named: bool,
}

/// Begins the journal of a home whose earlier commits, up to `sequence`, are in a checkpoint: one segment,
/// durable and without a record.
pub(crate) fn begin_behind(
    home: &Path,
    sequence: u64,
    link: Checksum,
    disk: Arc<dyn Disk>,
) -> Result<(), OpenError> {
    let directory = create_directory(home)?;
    let position = Position {
        sequence,
        // Cannot overflow: no checkpoint ends with the last number.
        segment: sequence + 1,
        offset: 0,
        link,
    };
    let path = segment_path(&directory, position.segment);
    let mut journal = Journal::at(directory, disk, None, position);
    match journal.begin_segment() {
        Ok(_) => Ok(()),
        Err(
            AppendError::NotWritten(source)
            | AppendError::Stopped(source)
            | AppendError::Unknown(source),
        ) => Err(OpenError::io("write", &path, source)),
    }
}

/// Removes a journal that never held a commit. Whether it was one: any other is left as it is.
pub(crate) fn remove_without_records(home: &Path) -> Result<bool, OpenError> {
    let directory = home.join(JOURNAL_DIRECTORY);
    let segments = match segments(&directory) {
        Err(OpenError::Io { source, .. })
            if matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(false);
        }
        segments => segments?,
    };
    let failed = |source| OpenError::io("list", &directory, source);
    let files = fs::read_dir(&directory).map_err(failed)?.count();
    let without = |segment: &Segment| segment.bytes <= HEADER_BYTES as u64;
    if files != segments.len() || !segments.iter().all(without) {
        return Ok(false);
    }
    for segment in segments {
        fs::remove_file(&segment.path)
            .map_err(|source| OpenError::io("remove", &segment.path, source))?;
    }
    fs::remove_dir(&directory).map_err(|source| OpenError::io("remove", &directory, source))?;
    Ok(true)
}

impl Journal {
    /// Opens the end that [`read`] found, after cutting off what was torn.
    pub(crate) fn open(
        directory: PathBuf,
        ending: &Ending,
        acknowledged: u64,
        disk: Arc<dyn Disk>,
    ) -> Result<Journal, OpenError> {
        let position = ending.position.clone();
        let path = segment_path(&directory, position.segment);
        // 1. The torn tail goes, and with it a segment that never got its header.
        if let Some(torn) = &ending.torn {
            cut(&directory, torn)?;
        }
        // A segment without a record may have a name that is not durable yet, so it is begun once more.
        if position.offset <= HEADER_BYTES as u64 {
            return Ok(Journal::at(directory, disk, None, position));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| OpenError::io("open", &path, source))?;
        // 2. A record that was read back, but of which nobody knows whether its sync succeeded, is written
        //    once more: after a failed sync the system may hold it in memory alone and call it clean.
        if position.sequence > acknowledged
            && let Some(start) = ending.last_record
        {
            write_again(&*disk, &file, start, position.offset)
                .map_err(|source| OpenError::io("write", &path, source))?;
        }
        Ok(Journal::at(directory, disk, Some(file), position))
    }

    fn at(
        directory: PathBuf,
        disk: Arc<dyn Disk>,
        file: Option<File>,
        position: Position,
    ) -> Journal {
        Journal {
            directory,
            disk,
            file,
            position,
            record: RecordBuilder::default(),
            segment_bytes: SEGMENT_BYTES,
            is_named: false,
        }
    }

    /// Begins segments at another length, so that a test sees several.
    #[cfg(test)]
    pub(crate) fn rotate_at(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
    }

    /// Begins a group.
    pub(crate) fn begin(&mut self) {
        self.record.clear();
    }

    /// Adds a commit to the group.
    pub(crate) fn push(&mut self, effect: &Effect) {
        self.record.push(effect);
    }

    /// Writes the group and syncs it. The new end, once it is durable.
    pub(crate) fn append(&mut self, written_at: u64) -> Result<&Position, AppendError> {
        // 1. A segment to write to.
        let file = match self.file.take() {
            Some(file) if self.position.offset < self.segment_bytes => file,
            _ => self.begin_segment()?,
        };
        let file = self.file.insert(file);

        // 2. One write. What a failed one left is cut off again.
        let first = self.position.sequence + 1;
        let commits = u64::from(self.record.commits());
        let (bytes, link) = self.record.finish(first, written_at, &self.position.link);
        let offset = self.position.offset;
        if let Err(error) = self.disk.write(file, bytes, offset) {
            return match file.set_len(offset) {
                Ok(()) => Err(AppendError::NotWritten(error)),
                Err(_) => Err(AppendError::Unknown(error)),
            };
        }

        // 3. One sync. After a failed one nobody can tell what is on the disk.
        self.disk.sync(file).map_err(AppendError::Unknown)?;
        self.position.sequence += commits;
        self.position.offset += bytes.len() as u64;
        self.position.link = link;
        Ok(&self.position)
    }

    /// The file, the header and the name are durable before a record is written.
    fn begin_segment(&mut self) -> Result<File, AppendError> {
        let first = self.position.sequence + 1;
        let path = segment_path(&self.directory, first);
        // A file of this name can only be what an earlier attempt left: a header, or less. One that is whole
        // stays whole while it is written again, as it may be the only segment beside a checkpoint.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(AppendError::NotWritten)?;
        let header = Header {
            format: FORMAT,
            first,
            previous: self.position.link,
        };
        self.disk
            .write(&file, &header.encode(), 0)
            .and_then(|()| file.set_len(HEADER_BYTES as u64))
            .map_err(AppendError::NotWritten)?;
        // A failed sync may not be asked again: the next would succeed over what was lost.
        self.disk.sync(&file).map_err(AppendError::Stopped)?;
        self.sync_names(&self.directory)?;
        // The directory may be new too, or be from a process that was killed before it came this far.
        if let Some(home) = self.directory.parent().filter(|_| !self.is_named) {
            self.sync_names(home)?;
        }
        self.is_named = true;
        self.position.segment = first;
        self.position.offset = HEADER_BYTES as u64;
        Ok(file)
    }
}

impl Journal {
    fn sync_names(&self, path: &Path) -> Result<(), AppendError> {
        let directory = File::open(path).map_err(AppendError::NotWritten)?;
        self.disk
            .sync_directory(&directory)
            .map_err(AppendError::Stopped)
    }

    /// How many bytes the file system still takes; none where it does not tell.
    pub(crate) fn free(&self) -> Option<u64> {
        self.disk.free(&self.directory)
    }
}

fn cut(directory: &Path, torn: &TornTail) -> Result<(), OpenError> {
    if torn.offset == 0 {
        fs::remove_file(&torn.path)
            .map_err(|source| OpenError::io("remove", &torn.path, source))?;
        return sync_directory(directory);
    }
    let cut = || {
        let file = OpenOptions::new().write(true).open(&torn.path)?;
        file.set_len(torn.offset)?;
        file.sync_all()
    };
    cut().map_err(|source| OpenError::io("cut", &torn.path, source))
}

fn write_again(disk: &dyn Disk, file: &File, start: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    // Cannot truncate: one record is far below 4 GiB.
    let mut bytes = vec![0; (end - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    disk.write(file, &bytes, start)?;
    disk.sync(file)
}

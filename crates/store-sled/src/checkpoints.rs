//! The directory of checkpoints: their names, how one is put there, and which are kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bowline_store::checkpoint::{Header, Reader, Summary, Writer};

use crate::OpenError;
use crate::journal::{self, Disk};
use crate::merge::{MergeError, Workshop, read_error};

/// The directory's name inside the home.
pub(crate) const CHECKPOINT_DIRECTORY: &str = "checkpoint";

/// How many are kept. The journal reaches back to the oldest of them, so that any one may be damaged.
pub(crate) const KEPT: usize = 2;

/// How much is written between two syncs: a commit's sync waits for what the file system has gathered, and
/// who wants the home back waits for the last of it.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

const EXTENSION: &str = "checkpoint";

/// One that is being written, and has no meaning yet.
const UNFINISHED_EXTENSION: &str = "checkpoint.new";

/// One that is not what was written, set aside for whoever wants to look.
const DAMAGED_EXTENSION: &str = "checkpoint.damaged";

const RUN_EXTENSION: &str = "run";

/// A checkpoint's file whose header reads.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) header: Header,
}

/// A checkpoint that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DamagedCheckpoint {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) why: String,
}

/// Puts all entries of a checkpoint into its writer.
type Fill<'a> = &'a mut dyn FnMut(&mut Writer<&mut dyn Write>) -> Result<(), MergeError>;

/// What lies in the directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Newest first.
    pub(crate) checkpoints: Vec<CheckpointFile>,
    /// Whose headers do not read.
    pub(crate) damaged: Vec<DamagedCheckpoint>,
    /// Unfinished checkpoints and runs, which nobody misses.
    pub(crate) leftovers: Vec<PathBuf>,
    /// Damaged checkpoints that were set aside before.
    pub(crate) set_aside: Vec<PathBuf>,
}

pub(crate) fn directory(home: &Path) -> PathBuf {
    home.join(CHECKPOINT_DIRECTORY)
}

pub(crate) fn path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:020}.{EXTENSION}"))
}

/// Makes the directory; its name becomes durable with each checkpoint.
pub(crate) fn create_directory(directory: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(OpenError::io("create", directory, error))
        }
        _ => Ok(()),
    }
}

/// Makes names in a directory survive power loss.
fn sync_names(directory: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    let names = File::open(directory).map_err(|source| OpenError::io("open", directory, source))?;
    disk.sync_directory(&names)
        .map_err(|source| OpenError::io("sync", directory, source))
}

/// What is in the directory; files of other names are not ours and left alone.
pub(crate) fn list(directory: &Path) -> Result<Listing, OpenError> {
    let failed = |source| OpenError::io("list", directory, source);
    let mut listing = Listing::default();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let Some((digits, extension)) = name.to_str().and_then(|name| name.split_once('.')) else {
            continue;
        };
        let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        match (plain, extension) {
            (true, EXTENSION) => {}
            (true, UNFINISHED_EXTENSION | RUN_EXTENSION) => {
                listing.leftovers.push(path);
                continue;
            }
            (true, DAMAGED_EXTENSION) => {
                listing.set_aside.push(path);
                continue;
            }
            _ => continue,
        }
        let bytes = match entry.metadata() {
            // Pruned between the two calls.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(failed)?.len(),
        };
        match header(&path, digits) {
            Ok(header) => listing.checkpoints.push(CheckpointFile {
                path,
                bytes,
                header,
            }),
            Err(MergeError::Checkpoint { file, offset, why }) => {
                listing
                    .damaged
                    .push(DamagedCheckpoint { file, offset, why });
            }
            Err(error) => return Err(error.into_open(&path)),
        }
    }
    let newest_first = |file: &CheckpointFile| std::cmp::Reverse(file.header.sequence);
    listing.checkpoints.sort_by_key(newest_first);
    Ok(listing)
}

fn header(path: &Path, digits: &str) -> Result<Header, MergeError> {
    let file = File::open(path).map_err(|source| OpenError::io("open", path, source))?;
    let reader = Reader::open(file).map_err(|error| read_error(path.to_owned(), error))?;
    let header = reader.header().clone();
    // The last number has no successor, so nothing could follow it.
    match digits.parse() == Ok(header.sequence) && header.sequence < u64::MAX {
        true => Ok(header),
        false => Err(MergeError::Checkpoint {
            file: path.to_owned(),
            offset: 0,
            why: format!("it says that it ends with commit {}", header.sequence),
        }),
    }
}

/// Removes what was left unfinished. How many files that were.
pub(crate) fn remove_leftovers(listing: &Listing) -> Result<u64, OpenError> {
    for path in &listing.leftovers {
        fs::remove_file(path).map_err(|source| OpenError::io("remove", path, source))?;
    }
    Ok(listing.leftovers.len() as u64)
}

/// Gives a damaged checkpoint another name, under which nobody reads it.
pub(crate) fn set_aside(damaged: &DamagedCheckpoint) -> Result<PathBuf, OpenError> {
    let aside = damaged.file.with_extension(DAMAGED_EXTENSION);
    fs::rename(&damaged.file, &aside)
        .map_err(|source| OpenError::io("rename", &damaged.file, source))?;
    damaged
        .file
        .parent()
        .map_or(Ok(()), journal::sync_directory)?;
    Ok(aside)
}

/// Writes a checkpoint under its final name; or nothing is left of it.
pub(crate) fn write(
    workshop: &Workshop,
    header: &Header,
    fill: Fill<'_>,
) -> Result<Summary, MergeError> {
    let directory = &workshop.directory;
    create_directory(directory)?;
    let path = path(directory, header.sequence);
    let unfinished = path.with_extension(UNFINISHED_EXTENSION);
    let written = write_as(workshop, &unfinished, header, fill);
    let named = written.and_then(|summary| {
        // The directory's own name each time: who made it may have been killed before it was durable, and
        // segments are removed because of what is in it.
        if let Some(home) = directory.parent() {
            sync_names(home, &*workshop.disk)?;
        }
        fs::rename(&unfinished, &path)
            .map_err(|source| OpenError::io("rename in", directory, source))?;
        sync_names(directory, &*workshop.disk)?;
        Ok(summary)
    });
    if named.is_err() {
        // What stays is removed when the home is opened next.
        let _ = fs::remove_file(&unfinished);
    }
    named
}

fn write_as(
    workshop: &Workshop,
    path: &Path,
    header: &Header,
    fill: Fill<'_>,
) -> Result<Summary, MergeError> {
    let failed = |source| MergeError::from(OpenError::io("write", path, source));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut output = SyncedFile {
        workshop,
        file: &file,
        offset: 0,
        synced: 0,
    };
    let result = (|| {
        let output: &mut dyn Write = &mut output;
        let mut writer = Writer::begin(output, header).map_err(MergeError::Output)?;
        fill(&mut writer)?;
        let (_, summary) = writer.finish().map_err(MergeError::Output)?;
        Ok(summary)
    })();
    let summary = match result {
        Err(MergeError::Output(source)) => return Err(failed(source)),
        result => result?,
    };
    workshop.disk.sync(&file).map_err(failed)?;
    Ok(summary)
}

/// A file that is synced every few MiB, and stops while the disk has its reserve.
struct SyncedFile<'a> {
    workshop: &'a Workshop,
    file: &'a File,
    offset: u64,
    synced: u64,
}

impl Write for SyncedFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Workshop { disk, .. } = self.workshop;
        if self.offset == 0 || self.offset - self.synced >= SYNC_BYTES {
            self.workshop
                .check_room(SYNC_BYTES)
                .map_err(io::Error::other)?;
            disk.sync(self.file)?;
            self.synced = self.offset;
        }
        disk.write(self.file, bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes all but the newest checkpoints, the segments that those do not need, and `aside`.
///
/// Segments go oldest first, so that what is left always begins somewhere and has no gap; the last one stays.
pub(crate) fn prune(
    directory: &Path,
    journal: &Path,
    aside: &[PathBuf],
    disk: &dyn Disk,
) -> Result<(), OpenError> {
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::io("remove", path, error))
        }
        _ => Ok(()),
    };
    let listing = list(directory)?;
    if let Some(oldest) = listing.checkpoints.get(KEPT - 1) {
        let segments = journal::segments(journal)?;
        let covered = segments
            .windows(2)
            .take_while(|pair| pair[1].first <= oldest.header.sequence + 1);
        let covered: Vec<&Path> = covered.map(|pair| pair[0].path.as_path()).collect();
        for path in &covered {
            remove(path)?;
        }
        if !covered.is_empty() {
            sync_names(journal, disk)?;
        }
    }
    let old = listing.checkpoints.iter().skip(KEPT).map(|file| &file.path);
    for path in old.chain(aside) {
        remove(path)?;
    }
    sync_names(directory, disk)
}

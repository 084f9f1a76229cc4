//! The calls that get bytes onto the disk and ask for its room, so that a test can let them fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes and syncs the files of the journal and of checkpoints.
pub(crate) trait Disk: Send + Sync {
    /// All bytes at the offset.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once the file's bytes and length survive power loss.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Returns once the names in the directory survive power loss.
    fn sync_directory(&self, directory: &File) -> io::Result<()>;

    /// How many bytes the file system of the path still takes; none where it does not tell.
    fn free(&self, path: &Path) -> Option<u64>;
}

/// The disk the file is on.
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        directory.sync_all()
    }

    fn free(&self, path: &Path) -> Option<u64> {
        let space = rustix::fs::statvfs(path).ok()?;
        // Some network file systems answer with zeros.
        (space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize))
    }
}

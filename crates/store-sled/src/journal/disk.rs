//! The two calls a journal makes to get bytes onto the disk, so that a test can let them fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Writes and syncs the journal's files.
pub(crate) trait Disk: Send {
    /// All bytes at the offset.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once the file's bytes and length survive power loss.
    fn sync(&self, file: &File) -> io::Result<()>;
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
}

//! A disk that fails when it is told to.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::journal::{Disk, SystemDisk};

/// A disk that can be told to fail, and to hold a sync until it is let go.
#[derive(Clone)]
pub(super) struct TestDisk(pub(super) Arc<TestDiskState>);

pub(super) struct TestDiskState {
    pub(super) fail_writes: AtomicBool,
    /// Whether the beginnings of checkpoints fail.
    pub(super) fail_checkpoints: AtomicBool,
    /// Called before anything is written or synced.
    watcher: Mutex<Box<dyn FnMut() + Send>>,
    pub(super) free: AtomicU64,
    /// How often the free bytes are asked for before there are none.
    pub(super) free_answers: AtomicUsize,
    /// Syncs are counted from 1; this one and all later fail.
    pub(super) fail_from_sync: AtomicUsize,
    pub(super) syncs: AtomicUsize,
    /// The inodes of the directories whose names were synced.
    synced_directories: Mutex<Vec<u64>>,
    pub(super) held: Mutex<bool>,
    pub(super) released: Condvar,
}

impl Default for TestDisk {
    fn default() -> TestDisk {
        TestDisk(Arc::new(TestDiskState {
            fail_writes: AtomicBool::new(false),
            fail_checkpoints: AtomicBool::new(false),
            watcher: Mutex::new(Box::new(|| {})),
            free: AtomicU64::new(u64::MAX),
            free_answers: AtomicUsize::new(usize::MAX),
            fail_from_sync: AtomicUsize::new(usize::MAX),
            syncs: AtomicUsize::new(0),
            synced_directories: Mutex::new(Vec::new()),
            held: Mutex::new(false),
            released: Condvar::new(),
        }))
    }
}

impl Disk for TestDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        (self.0.watcher.lock().unwrap())();
        if self.0.fail_checkpoints.load(Ordering::SeqCst) && bytes.starts_with(b"BOWLCKPT") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.0.fail_writes.load(Ordering::SeqCst) {
            // As a full disk does: part of it arrives.
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        (self.0.watcher.lock().unwrap())();
        let number = self.0.syncs.fetch_add(1, Ordering::SeqCst) + 1;
        let mut held = self.0.held.lock().unwrap();
        while *held {
            held = self.0.released.wait(held).unwrap();
        }
        drop(held);
        match number >= self.0.fail_from_sync.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the cable came loose")),
            false => SystemDisk.sync(file),
        }
    }

    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        let inode = directory.metadata()?.ino();
        self.sync(directory)?;
        self.0.synced_directories.lock().unwrap().push(inode);
        Ok(())
    }

    fn free(&self, _: &Path) -> Option<u64> {
        let left = self.0.free_answers.load(Ordering::SeqCst);
        let next = left.saturating_sub(1);
        self.0.free_answers.store(next, Ordering::SeqCst);
        match left {
            0 => Some(0),
            _ => Some(self.0.free.load(Ordering::SeqCst)),
        }
    }
}

impl TestDisk {
    pub(super) fn watch(&self, watcher: Box<dyn FnMut() + Send>) {
        *self.0.watcher.lock().unwrap() = watcher;
    }

    /// Whether the names in a directory were synced.
    pub(super) fn has_synced(&self, directory: &Path) -> bool {
        let inode = directory.metadata().unwrap().ino();
        let synced = self.0.synced_directories.lock().unwrap();
        synced.contains(&inode)
    }

    pub(super) fn hold(&self) {
        *self.0.held.lock().unwrap() = true;
    }

    pub(super) fn release(&self) {
        *self.0.held.lock().unwrap() = false;
        self.0.released.notify_all();
    }

    pub(super) fn syncs(&self) -> usize {
        self.0.syncs.load(Ordering::SeqCst)
    }

    /// Waits until a sync is under way, so that what is committed now joins the next group.
    pub(super) fn wait_for_sync(&self, before: usize) {
        while self.syncs() == before {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

//! What needs a look inside: a disk that fails, groups, short segments, another boot.

mod applier;
mod checkpoints;
mod damage;
mod disk;
mod examination;
mod groups;
mod restores;
mod room;
mod segments;

use std::path::Path;
use std::sync::Arc;

use bowline_store::{Commit, Key, Value};

use crate::{SledOptions, SledStore};
use disk::TestDisk;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn value(text: &str) -> Value {
    Value::new(text).unwrap()
}

fn put(name: &str, text: &str) -> Commit {
    Commit::new().put(key(name), value(text))
}

fn open_on(home: &Path, disk: &TestDisk) -> SledStore {
    SledStore::open_with(home, &SledOptions::server(), Arc::new(disk.clone())).unwrap()
}

fn reopen(home: &Path) -> SledStore {
    SledStore::open(home, &SledOptions::server()).unwrap()
}

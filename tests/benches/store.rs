//! Commits of 64 writers on the embedded engine, beside a file that is appended to and synced.

use crate::Arguments;
use crate::report::Report;
use crate::sample::{Sample, Samples, concurrently, on_this_thread, timed};
use crate::scene::directory;
use bowline_store::{Commit, Key, Store, Value};
use bowline_store_sled::{SledOptions, SledStore};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const WRITERS: usize = 64;

/// Commits of each writer in a round.
const EACH: usize = 100;

const ROUNDS: u32 = 5;

/// Bytes of a record, about those of a certificate with its index entries.
const RECORD: usize = 1_000;

/// Bytes of an event.
const EVENT: usize = 400;

pub fn run(arguments: &Arguments, report: &mut Report) {
    let directory = directory();
    let home = directory.path().join("home");
    std::fs::create_dir(&home).expect("the directory is new");
    let store = SledStore::open(&home, &SledOptions::server()).expect("an empty directory");
    let each = EACH * arguments.times as usize;
    let (mut plain, mut ours) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        plain.push(append(&directory.path().join("plain"), each));
        let writers = (0..WRITERS).map(|writer| {
            let store = &store;
            move || write(store, round, writer, each)
        });
        ours.push(concurrently(writers.collect()));
    }
    report.compare("store, 64 writers, put and append", &plain, &ours);
    report.note("primitive: append, one sync each 64", &plain);
}

fn write(store: &SledStore, round: u32, writer: usize, each: usize) -> Vec<Duration> {
    let events = Key::new("event/").expect("a short key");
    let mut waits = Vec::with_capacity(each);
    for number in 0..each {
        let key = Key::new(format!("record/{round:04}/{writer:04}/{number:06}"));
        let key = key.expect("a short key");
        let record = Value::new(vec![0x5a; RECORD]).expect("a short value");
        let event = Value::new(vec![0x5a; EVENT]).expect("a short value");
        let commit = Commit::new()
            .expect_absent(key.clone())
            .put(key, record)
            .append(events.clone(), event);
        timed(&mut waits, || store.commit(commit)).expect("the disk takes it");
    }
    waits
}

/// The same bytes, in groups as large as the writers could form at best.
fn append(path: &Path, each: usize) -> Sample {
    let mut file = File::create(path).expect("the directory is writable");
    let group = vec![0x5a; WRITERS * (RECORD + EVENT)];
    let mut sample = on_this_thread(each as u64, &mut || {
        file.write_all(&group).expect("the disk takes it");
        file.sync_data().expect("the disk takes it");
    });
    sample.operations *= WRITERS as u64;
    sample
}

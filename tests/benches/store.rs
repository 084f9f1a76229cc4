//! Durable issue, the commits of issuing on the engine itself, and a file that is appended to and synced: 64
//! writers each, the same bytes, in one run.
//!
//! The commits are real ones: a service on the memory engine issues, and what it commits is written down.

use crate::Arguments;
use crate::report::Report;
use crate::sample::{Samples, concurrently, timed};
use crate::scene::{Scene, directory, request};
use bowline_service::{Caller, KeySpec, Operation, PrivateKey, certification_request};
use bowline_store::checkpoint::Summary;
use bowline_store::{
    CheckpointError, Commit, Committed, Finding, Key, MemoryStore, Progress, Store, StoreError,
    Value,
};
use bowline_store_sled::{SledOptions, SledStore};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const WRITERS: usize = 64;

/// Commits of each writer in a round.
const EACH: usize = 100;

const ROUNDS: usize = 3;

/// The share of the engine's rate that issuing must reach with all it does beside committing.
const ISSUE_BAR: f64 = 0.6;

/// The share of a plain file's rate that the engine must reach.
const ENGINE_BAR: f64 = 0.5;

pub fn run(arguments: &Arguments, report: &mut Report) {
    let each = EACH * arguments.times as usize;
    let (base, commits) = recorded(ROUNDS * WRITERS * each);
    let directory = directory();
    let home = directory.path().join("home");
    std::fs::create_dir(&home).expect("the directory is new");
    let store = SledStore::open(&home, &SledOptions::server()).expect("an empty directory");
    for commit in base {
        store.commit(commit).expect("the first commits of a home");
    }
    let scene = Scene::durable();
    scene.leaf("first");
    let key = PrivateKey::generate(KeySpec::P256).expect("a key can be generated");
    let csr = certification_request(&key).expect("a fresh key signs");

    let (mut plain, mut engine) = (Samples::default(), Samples::default());
    let mut issue = Samples::default();
    for (round, commits) in commits.chunks(WRITERS * each).enumerate() {
        let shares = || commits.chunks(each);
        let file = Appended::create(&directory.path().join(format!("plain-{round}")));
        let appending = shares().map(|share| {
            let file = &file;
            move || file.take(share)
        });
        plain.push(concurrently(appending.collect()));
        let committing = shares().map(|share| {
            let store = &store;
            move || commit(store, share)
        });
        engine.push(concurrently(committing.collect()));
        let issuing = (0..WRITERS).map(|writer| {
            let (scene, csr) = (&scene, &csr);
            move || {
                let mut waits = Vec::with_capacity(each);
                for _ in 0..each {
                    let operation = request(&format!("host-{round}-{writer}"), csr);
                    timed(&mut waits, || {
                        operation.run(&scene.service, &Caller::Operator)
                    })
                    .expect("the operator may issue");
                }
                waits
            }
        });
        issue.push(concurrently(issuing.collect()));
    }
    report.note("append and one sync a group, 64 writers", &plain);
    report.note("the same commits on the engine, 64 writers", &engine);
    report.note("issue, durable, 64 callers", &issue);
    let rate = |samples: &Samples| samples.throughput();
    report.at_least(
        "rate of the engine ÷ rate of append and sync",
        rate(&engine) / rate(&plain),
        ENGINE_BAR,
    );
    report.at_least(
        "rate of durable issue ÷ rate of its commits on the engine",
        rate(&issue) / rate(&engine),
        ISSUE_BAR,
    );
}

fn commit(store: &SledStore, commits: &[Commit]) -> Vec<Duration> {
    let mut waits = Vec::with_capacity(commits.len());
    for commit in commits.iter().cloned() {
        timed(&mut waits, || store.commit(commit)).expect("the disk takes it");
    }
    waits
}

/// What a home commits before it issues, and then so many issued certificates.
fn recorded(count: usize) -> (Vec<Commit>, Vec<Commit>) {
    let recorder = Arc::new(Recorder::default());
    let scene = Scene::on(recorder.clone(), None);
    let base = recorder.taken();
    let key = PrivateKey::generate(KeySpec::P256).expect("a key can be generated");
    let csr = certification_request(&key).expect("a fresh key signs");
    for number in 0..count {
        let issued = request(&format!("host-{}", number % WRITERS), &csr)
            .run(&scene.service, &Caller::Operator);
        issued.expect("the operator may issue");
    }
    (base, recorder.taken())
}

/// The memory engine, which writes down what it is asked to commit.
#[derive(Default)]
struct Recorder {
    store: MemoryStore,
    commits: Mutex<Vec<Commit>>,
}

impl Recorder {
    fn taken(&self) -> Vec<Commit> {
        std::mem::take(&mut *self.commits.lock().expect("no writer panics"))
    }
}

impl Store for Recorder {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.store.get(key)
    }

    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.store.scan(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.commits
            .lock()
            .expect("no writer panics")
            .push(commit.clone());
        self.store.commit(commit)
    }

    fn checkpoint(
        &self,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, CheckpointError> {
        self.store.checkpoint(output, progress)
    }

    fn examine(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Finding>, StoreError> {
        self.store.examine(progress)
    }
}

/// A file whose writers hand their bytes over; one of them writes all that is there and syncs once.
struct Appended {
    file: File,
    pending: Mutex<Pending>,
    synced: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The group being filled, and how many are durable.
    filling: u64,
    durable: u64,
    writing: bool,
}

impl Appended {
    fn create(path: &Path) -> Appended {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        Appended {
            file: file.expect("the directory is writable"),
            pending: Mutex::default(),
            synced: Condvar::new(),
        }
    }

    fn take(&self, commits: &[Commit]) -> Vec<Duration> {
        let mut waits = Vec::with_capacity(commits.len());
        for commit in commits {
            // As long as the commit's keys and values.
            let bytes = vec![0x5a; commit.bytes()];
            timed(&mut waits, || self.append(&bytes));
        }
        waits
    }

    fn append(&self, bytes: &[u8]) {
        let mut state = self.pending.lock().expect("no writer panics");
        state.bytes.extend_from_slice(bytes);
        let mine = state.filling;
        while state.durable <= mine {
            if state.writing {
                state = self.synced.wait(state).expect("no writer panics");
                continue;
            }
            state.writing = true;
            let group = state.filling;
            state.filling += 1;
            let bytes = std::mem::take(&mut state.bytes);
            drop(state);
            (&self.file).write_all(&bytes).expect("the disk takes it");
            self.file.sync_data().expect("the disk takes it");
            state = self.pending.lock().expect("no writer panics");
            state.writing = false;
            state.durable = group + 1;
            self.synced.notify_all();
        }
    }
}

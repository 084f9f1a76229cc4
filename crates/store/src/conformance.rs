//! The promise of [`Store`], run against an engine. Every engine's tests call this.
//!
//! A broken promise panics with the sentence that was broken, as a test does.

mod appends;
mod checkpoints;
mod commits;
mod concurrency;
mod limits;
mod model;
mod reopening;
mod scans;

use crate::{Commit, Key, Store, StoreError, Value};

/// Runs every promise that needs no restart. `fresh` makes an empty store each time.
pub fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    commits::run(fresh);
    appends::run(fresh);
    scans::run(fresh);
    limits::run(fresh);
    concurrency::run(fresh);
    checkpoints::run(fresh);
    model::run(&*fresh());
}

/// Runs every promise against an engine that outlives its process, restarts included.
///
/// `fresh` makes an empty store each time; `reopen` drops the store it is given, which is always the one
/// that `fresh` or `reopen` made last, and opens the same records again.
pub fn run_durable(
    fresh: &dyn Fn() -> Box<dyn Store>,
    reopen: &dyn Fn(Box<dyn Store>) -> Box<dyn Store>,
) {
    run(fresh);
    reopening::run(fresh, reopen);
    checkpoints::run_durable(fresh, reopen);
}

/// Drops a store and opens it again.
type Reopen<'a> = &'a dyn Fn(Box<dyn Store>) -> Box<dyn Store>;

fn key(text: &str) -> Key {
    // The suite's own keys are short.
    Key::new(text).expect("a short key")
}

fn value(text: &str) -> Value {
    Value::new(text).expect("a short value")
}

fn done(store: &dyn Store, commit: Commit) -> crate::Committed {
    store
        .commit(commit.clone())
        .unwrap_or_else(|error| panic!("a commit that holds is applied: {commit:?}: {error}"))
}

fn get(store: &dyn Store, key: &Key) -> Option<Value> {
    store
        .get(key)
        .unwrap_or_else(|error| panic!("a key can be read: {key}: {error}"))
}

fn scan(store: &dyn Store, prefix: &str, after: Option<&Key>, limit: usize) -> Vec<(Key, Value)> {
    store
        .scan(&key(prefix), after, limit)
        .unwrap_or_else(|error| panic!("a prefix can be scanned: {prefix}: {error}"))
}

/// Every record, a page at a time.
fn everything(store: &dyn Store) -> Vec<(Key, Value)> {
    let mut all: Vec<(Key, Value)> = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        let page = scan(store, "", after.as_ref(), 7);
        let short = page.len() < 7;
        all.extend(page);
        if short {
            return all;
        }
    }
}

fn conflict(text: &str) -> StoreError {
    StoreError::Conflict { key: key(text) }
}

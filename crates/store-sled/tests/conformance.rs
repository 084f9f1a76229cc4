//! The promise of the store, kept by the embedded engine: with sled, from memory, and across restarts.

use std::cell::RefCell;

use bowline_store::{Store, conformance};
use bowline_store_sled::{SledOptions, SledStore};
use tempfile::TempDir;

fn check(options: &SledOptions) {
    let home: RefCell<Option<TempDir>> = RefCell::new(None);
    let open = || -> Box<dyn Store> {
        let home = home.borrow();
        let path = home.as_ref().expect("fresh comes first").path();
        Box::new(SledStore::open(path, options).expect("the home opens"))
    };
    let fresh = || {
        home.replace(Some(tempfile::tempdir().unwrap()));
        open()
    };
    let reopen = |store: Box<dyn Store>| {
        drop(store);
        open()
    };
    conformance::run_durable(&fresh, &reopen);
}

#[test]
fn the_engine_keeps_the_promise_with_sled() {
    check(&SledOptions::server());
}

#[test]
fn the_engine_keeps_the_promise_from_memory() {
    check(&SledOptions::one_shot());
}

#[test]
fn the_engine_keeps_the_promise_where_memory_gives_way_to_sled() {
    check(&SledOptions {
        memory_journal_bytes: 4 * 1024,
        verify_bytes: 1024,
        ..SledOptions::one_shot()
    });
}

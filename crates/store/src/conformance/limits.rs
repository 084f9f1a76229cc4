//! What is at a limit is taken; what is over it is refused, and nothing of it written.

use super::{done, everything, get, key, value};
use crate::{
    COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, Commit, KEY_BYTES_MAX, Key, LimitError,
    SCAN_RECORDS_MAX, Store, StoreError, VALUE_BYTES_MAX, Value,
};

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    the_longest_key_and_value_come_back(&*fresh());
    the_largest_commit_is_applied(&*fresh());
    what_is_over_a_limit_is_refused(&*fresh());
    a_scan_returns_up_to_1000_records(&*fresh());
}

fn long(bytes: usize) -> Value {
    // The suite stays within the limit.
    Value::new(vec![0xa5; bytes]).expect("a value within the limit")
}

fn the_longest_key_and_value_come_back(store: &dyn Store) {
    let name = Key::new(vec![0xff; KEY_BYTES_MAX]).expect("a key within the limit");
    done(
        store,
        Commit::new().put(name.clone(), long(VALUE_BYTES_MAX)),
    );
    assert_eq!(get(store, &name), Some(long(VALUE_BYTES_MAX)));
    assert_eq!(everything(store), [(name, long(VALUE_BYTES_MAX))]);
    let prefix = Key::new(vec![0xfe; KEY_BYTES_MAX - 8]).expect("a key within the limit");
    let answer = done(store, Commit::new().append(prefix, long(VALUE_BYTES_MAX)));
    let appended = get(store, &answer.appended[0].key);
    assert_eq!(appended, Some(long(VALUE_BYTES_MAX)));
}

fn the_largest_commit_is_applied(store: &dyn Store) {
    let each = COMMIT_BYTES_MAX / COMMIT_OPERATIONS_MAX;
    let names: Vec<Key> = (0..COMMIT_OPERATIONS_MAX)
        .map(|n| key(&format!("{n:08}")))
        .collect();
    let commit = names.iter().fold(Commit::new(), |commit, name| {
        commit.put(name.clone(), long(each - name.len()))
    });
    assert_eq!(
        (commit.operations(), commit.bytes()),
        (64, COMMIT_BYTES_MAX)
    );
    done(store, commit);
    assert_eq!(everything(store).len(), COMMIT_OPERATIONS_MAX);
}

fn what_is_over_a_limit_is_refused(store: &dyn Store) {
    let many = (0..=COMMIT_OPERATIONS_MAX).fold(Commit::new(), |commit, n| {
        commit.put(key(&n.to_string()), value(""))
    });
    let large = (0..17).fold(Commit::new(), |commit, n| {
        commit.put(key(&n.to_string()), long(VALUE_BYTES_MAX))
    });
    let twice = Commit::new().put(key("a"), value("1")).delete(key("a"));
    let nameless = Commit::new().put(Key::empty(), value("1"));
    for commit in [many, large, twice, nameless] {
        let answer = store.commit(commit.clone());
        assert!(
            matches!(answer, Err(StoreError::Limit(_))),
            "{} operations, {} bytes: {answer:?}",
            commit.operations(),
            commit.bytes()
        );
    }
    assert_eq!(everything(store), [], "nothing was written");
    assert_eq!(
        get(store, &Key::empty()),
        None,
        "the empty key names no record"
    );
}

fn a_scan_returns_up_to_1000_records(store: &dyn Store) {
    for hundred in 0..17 {
        let commit = (0..64).fold(Commit::new(), |commit, n| {
            commit.put(key(&format!("{hundred:02}{n:02}")), value(""))
        });
        done(store, commit);
    }
    let found = store.scan(&Key::empty(), None, SCAN_RECORDS_MAX);
    assert_eq!(found.map(|found| found.len()), Ok(1_000));
    assert_eq!(
        store.scan(&Key::empty(), None, SCAN_RECORDS_MAX + 1),
        Err(StoreError::Limit(LimitError::ScanTooLong {
            records: 1_001
        })),
        "a shortened answer would look like the end"
    );
}

//! Appends are numbered 1, 2, 3 … in commit order, whatever happens in between.

use super::{conflict, done, everything, get, key, value};
use crate::{Appended, Commit, Store};

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    numbers_start_at_1_and_are_dense(&*fresh());
    one_commit_may_append_twice_to_a_prefix(&*fresh());
    prefixes_count_apart(&*fresh());
    a_conflict_takes_no_number(&*fresh());
    a_deleted_number_is_not_given_again(&*fresh());
    an_append_never_overwrites(&*fresh());
}

fn numbers(store: &dyn Store, commit: Commit) -> Vec<u64> {
    let appended = done(store, commit).appended;
    appended.iter().map(|appended| appended.number).collect()
}

fn append(prefix: &str) -> Commit {
    Commit::new().append(key(prefix), value("x"))
}

fn numbers_start_at_1_and_are_dense(store: &dyn Store) {
    for number in 1..=300u64 {
        let text = format!("event {number}");
        let answer = done(store, Commit::new().append(key("e/"), value(&text)));
        let mut bytes = b"e/".to_vec();
        bytes.extend_from_slice(&number.to_be_bytes());
        let at = crate::Key::new(bytes).expect("a short key");
        let expected = Appended {
            key: at.clone(),
            number,
        };
        assert_eq!(answer.appended, [expected], "prefix and big-endian number");
        assert_eq!(get(store, &at), Some(value(&text)), "the append is there");
    }
    let texts: Vec<_> = everything(store)
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let ordered: Vec<_> = (1..=300).map(|n| value(&format!("event {n}"))).collect();
    assert_eq!(texts, ordered, "a scan returns appends in commit order");
}

fn one_commit_may_append_twice_to_a_prefix(store: &dyn Store) {
    let commit = append("e/")
        .append(key("f/"), value("other"))
        .append(key("e/"), value("y"));
    assert_eq!(
        numbers(store, commit),
        [1, 1, 2],
        "in the order they were added"
    );
    assert_eq!(numbers(store, append("e/")), [3]);
}

fn prefixes_count_apart(store: &dyn Store) {
    assert_eq!(numbers(store, append("e/")), [1]);
    assert_eq!(numbers(store, append("e")), [1]);
    assert_eq!(numbers(store, append("e/f")), [1]);
    assert_eq!(numbers(store, append("e/")), [2]);
}

fn a_conflict_takes_no_number(store: &dyn Store) {
    assert_eq!(numbers(store, append("e/")), [1]);
    done(store, Commit::new().put(key("a"), value("1")));
    let failing = append("e/").expect_absent(key("a"));
    assert_eq!(store.commit(failing), Err(conflict("a")));
    assert_eq!(numbers(store, append("e/")), [2]);
}

fn a_deleted_number_is_not_given_again(store: &dyn Store) {
    assert_eq!(
        numbers(store, append("e/").append(key("e/"), value("y"))),
        [1, 2]
    );
    let second = key("e/").numbered(2).expect("a short key");
    done(store, Commit::new().delete(second));
    assert_eq!(numbers(store, append("e/")), [3]);
}

fn an_append_never_overwrites(store: &dyn Store) {
    let first = key("e/").numbered(1).expect("a short key");
    let conflict = crate::StoreError::Conflict { key: first.clone() };
    let both = append("e/").put(first.clone(), value("put"));
    assert_eq!(
        store.commit(both),
        Err(conflict.clone()),
        "in the same commit"
    );
    done(store, Commit::new().put(first.clone(), value("put")));
    assert_eq!(store.commit(append("e/")), Err(conflict), "an older record");
    assert_eq!(get(store, &first), Some(value("put")));
}

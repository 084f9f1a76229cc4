//! Scans return what lies under a prefix, in bytewise order, a page at a time.

use super::{done, everything, scan, value};
use crate::{Commit, Key, Store};

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    keys_are_ordered_bytewise(&*fresh());
    a_prefix_selects_what_starts_with_it(&*fresh());
    pages_join_without_gap_or_repeat(&*fresh());
    after_may_be_any_key(&*fresh());
}

fn keys_are_ordered_bytewise(store: &dyn Store) {
    let names: [&[u8]; 8] = [
        b"\x00",
        b"\x00\x00",
        b"\x01",
        b"A",
        b"a",
        b"a\x00",
        b"\x7f",
        b"\xff\xff",
    ];
    let mut keys: Vec<Key> = names
        .map(|name| Key::new(name).expect("a short key"))
        .into();
    for key in keys.iter().rev() {
        done(store, Commit::new().put(key.clone(), value("x")));
    }
    keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let found: Vec<Key> = everything(store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        found, keys,
        "bytes are compared without sign, shorter first"
    );
}

fn a_prefix_selects_what_starts_with_it(store: &dyn Store) {
    let names: [&[u8]; 6] = [b"a", b"a/", b"a/1", b"a/\xff\xff", b"a0", b"b"];
    for name in names {
        let key = Key::new(name).expect("a short key");
        done(store, Commit::new().put(key, value("x")));
    }
    let count = |prefix: &str| scan(store, prefix, None, 1_000).len();
    assert_eq!(count("a/"), 3);
    assert_eq!(count("a"), 5);
    assert_eq!(count(""), 6, "the empty prefix selects everything");
    assert_eq!(count("a/2"), 0);
    assert_eq!(count("c"), 0);
    let end = Key::new(b"a/\xff").expect("a short key");
    let found = store.scan(&end, None, 1_000).map(|found| found.len());
    assert_eq!(found, Ok(1), "a prefix that ends with the highest byte");
}

fn pages_join_without_gap_or_repeat(store: &dyn Store) {
    for number in 0..100 {
        let key = super::key(&format!("k/{number:03}"));
        done(store, Commit::new().put(key, value(&number.to_string())));
    }
    done(store, Commit::new().put(super::key("j"), value("before")));
    done(store, Commit::new().put(super::key("l"), value("behind")));
    for limit in [1, 3, 50, 100, 1_000] {
        let mut found = Vec::new();
        loop {
            let after = found.last().map(|(key, _): &(Key, _)| key.clone());
            let page = scan(store, "k/", after.as_ref(), limit);
            assert!(page.len() <= limit, "at most the limit");
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let values: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
        let expected: Vec<_> = (0..100).map(|n| value(&n.to_string())).collect();
        assert_eq!(values, expected, "pages of {limit}");
    }
    assert_eq!(scan(store, "k/", None, 0), [], "a page of none");
}

fn after_may_be_any_key(store: &dyn Store) {
    for name in ["a", "m/1", "m/3", "z"] {
        done(store, Commit::new().put(super::key(name), value(name)));
    }
    let found = |after: &str| -> Vec<String> {
        let records = scan(store, "m/", Some(&super::key(after)), 10);
        records
            .into_iter()
            .map(|(key, _)| key.to_string())
            .collect()
    };
    assert_eq!(found(""), ["m/1", "m/3"], "before everything");
    assert_eq!(found("a"), ["m/1", "m/3"], "before the prefix");
    assert_eq!(found("m/"), ["m/1", "m/3"], "the prefix itself");
    assert_eq!(found("m/1"), ["m/3"], "a record");
    assert_eq!(found("m/2"), ["m/3"], "between records");
    assert_eq!(found("m/3"), [""; 0], "the last record");
    assert_eq!(found("n"), [""; 0], "behind the prefix");
    assert_eq!(found("zz"), [""; 0], "behind everything");
}

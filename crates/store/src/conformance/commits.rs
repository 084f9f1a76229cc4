//! Expectations decide, and a commit is applied whole or not at all.

use super::{conflict, done, everything, get, key, value};
use crate::{Appended, Commit, Committed, Store};

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    puts_and_deletes_are_seen_by_the_next_read(&*fresh());
    an_empty_value_is_a_record(&*fresh());
    an_absent_record_meets_only_absent(&*fresh());
    a_present_record_meets_only_its_value(&*fresh());
    a_failed_expectation_writes_nothing(&*fresh());
    a_commit_may_only_ask(&*fresh());
    a_record_may_be_expected_and_written(&*fresh());
    deleting_nothing_is_fine(&*fresh());
    nobody_need_wait_for_a_commit(&*fresh());
}

fn puts_and_deletes_are_seen_by_the_next_read(store: &dyn Store) {
    assert_eq!(get(store, &key("a")), None, "a fresh store is empty");
    let answer = done(store, Commit::new().put(key("a"), value("1")));
    assert_eq!(answer, Committed::default(), "a put has no number");
    assert_eq!(get(store, &key("a")), Some(value("1")), "a put is seen");
    done(store, Commit::new().put(key("a"), value("2")));
    assert_eq!(get(store, &key("a")), Some(value("2")), "a put replaces");
    done(store, Commit::new().delete(key("a")));
    assert_eq!(get(store, &key("a")), None, "a delete is seen");
}

fn an_empty_value_is_a_record(store: &dyn Store) {
    done(store, Commit::new().put(key("a"), value("")));
    assert_eq!(
        get(store, &key("a")),
        Some(value("")),
        "empty is not absent"
    );
    let absent = Commit::new().expect_absent(key("a"));
    assert_eq!(
        store.commit(absent),
        Err(conflict("a")),
        "empty is not absent"
    );
    done(store, Commit::new().expect_equals(key("a"), value("")));
}

fn an_absent_record_meets_only_absent(store: &dyn Store) {
    done(store, Commit::new().expect_absent(key("a")));
    let equals = Commit::new().expect_equals(key("a"), value(""));
    assert_eq!(
        store.commit(equals),
        Err(conflict("a")),
        "nothing equals nothing"
    );
}

fn a_present_record_meets_only_its_value(store: &dyn Store) {
    done(store, Commit::new().put(key("a"), value("1")));
    let put = || Commit::new().put(key("b"), value("1"));
    let wrong = [
        put().expect_absent(key("a")),
        put().expect_equals(key("a"), value("")),
        put().expect_equals(key("a"), value("10")),
        put().expect_equals(key("a"), value("2")),
    ];
    for commit in wrong {
        assert_eq!(
            store.commit(commit.clone()),
            Err(conflict("a")),
            "{commit:?}"
        );
    }
    done(store, put().expect_equals(key("a"), value("1")));
}

fn a_failed_expectation_writes_nothing(store: &dyn Store) {
    done(
        store,
        Commit::new()
            .put(key("a"), value("1"))
            .put(key("b"), value("1")),
    );
    let before = everything(store);
    let commit = Commit::new()
        .put(key("a"), value("2"))
        .delete(key("b"))
        .put(key("c"), value("2"))
        .append(key("e/"), value("2"))
        .expect_equals(key("a"), value("1"))
        .expect_absent(key("b"));
    assert_eq!(
        store.commit(commit),
        Err(conflict("b")),
        "the conflict names the record"
    );
    assert_eq!(everything(store), before, "a conflict writes nothing");
}

fn a_commit_may_only_ask(store: &dyn Store) {
    assert_eq!(done(store, Commit::new()), Committed::default());
    done(store, Commit::new().put(key("a"), value("1")));
    done(store, Commit::new().expect_equals(key("a"), value("1")));
    let stale = Commit::new().expect_absent(key("a"));
    assert_eq!(store.commit(stale), Err(conflict("a")));
}

fn a_record_may_be_expected_and_written(store: &dyn Store) {
    let create = || {
        Commit::new()
            .expect_absent(key("a"))
            .put(key("a"), value("1"))
    };
    done(store, create());
    assert_eq!(store.commit(create()), Err(conflict("a")), "created once");
    let remove = Commit::new()
        .expect_equals(key("a"), value("1"))
        .delete(key("a"));
    done(store, remove);
    done(store, create());
}

fn deleting_nothing_is_fine(store: &dyn Store) {
    done(store, Commit::new().delete(key("a")));
    assert_eq!(everything(store), []);
}

fn nobody_need_wait_for_a_commit(store: &dyn Store) {
    let (answer, answers) = std::sync::mpsc::channel();
    let commits = [
        Commit::new().put(key("a"), value("1")),
        Commit::new()
            .expect_absent(key("a"))
            .put(key("b"), value("1")),
        Commit::new().append(key("n/"), value("1")),
    ];
    for (place, commit) in commits.into_iter().enumerate() {
        let answer = answer.clone();
        let tell = move |told| answer.send((place, told)).expect("the test listens");
        store.submit(commit, Box::new(tell));
    }
    drop(answer);
    let mut told: Vec<_> = answers.iter().collect();
    told.sort_by_key(|(place, _)| *place);
    let appended = Appended {
        key: key("n/").numbered(1).expect("a short key"),
        number: 1,
    };
    let numbered = Committed {
        appended: vec![appended],
    };
    let expected = [Ok(Committed::default()), Err(conflict("a")), Ok(numbered)];
    let expected: Vec<_> = expected.into_iter().enumerate().collect();
    assert_eq!(
        told, expected,
        "each is answered once, in the order they took effect"
    );
    assert_eq!(get(store, &key("a")), Some(value("1")), "answered is seen");
    assert_eq!(get(store, &key("b")), None, "refused is not");
}

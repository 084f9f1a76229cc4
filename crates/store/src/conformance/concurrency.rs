//! Commits take effect one after the other, however many callers there are.

use std::collections::BTreeSet;

use super::{done, get, key, value};
use crate::{Commit, Store, StoreError, Value};

/// Enough that an engine forms groups.
const CALLERS: usize = 64;

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    one_of_many_creators_wins(&*fresh());
    no_update_is_lost(&*fresh());
    numbers_are_dense_under_many_callers(&*fresh());
    a_read_sees_what_returned_before_it(&*fresh());
}

fn by_all<T: Send>(work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| scope.spawn(move || work(caller)))
            .collect();
        let results = callers.into_iter().map(std::thread::ScopedJoinHandle::join);
        results
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn one_of_many_creators_wins(store: &dyn Store) {
    let answers = by_all(&|caller| {
        let mine = value(&caller.to_string());
        store.commit(Commit::new().expect_absent(key("a")).put(key("a"), mine))
    });
    let winners: Vec<usize> = (0..CALLERS).filter(|n| answers[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "one creator wins");
    assert_eq!(get(store, &key("a")), Some(value(&winners[0].to_string())));
    for answer in answers.into_iter().filter(Result::is_err) {
        assert_eq!(answer, Err(super::conflict("a")), "the others are told");
    }
}

fn no_update_is_lost(store: &dyn Store) {
    const EACH: usize = 5;
    done(store, Commit::new().put(key("count"), value("0")));
    by_all(&|_| {
        let mut left = EACH;
        while left > 0 {
            let seen = get(store, &key("count")).expect("the count exists");
            let next = value(&(number(&seen) + 1).to_string());
            let commit = Commit::new()
                .expect_equals(key("count"), seen)
                .put(key("count"), next);
            match store.commit(commit) {
                Ok(_) => left -= 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("a commit is applied or in conflict: {error}"),
            }
        }
    });
    let count = get(store, &key("count")).map(|count| number(&count));
    assert_eq!(count, Some(CALLERS * EACH), "every update counts");
}

fn number(value: &Value) -> usize {
    let text = std::str::from_utf8(value.as_bytes()).expect("the suite writes text");
    text.parse().expect("the suite writes numbers")
}

fn numbers_are_dense_under_many_callers(store: &dyn Store) {
    const EACH: u64 = 20;
    let numbers = by_all(&|caller| {
        let mut mine = Vec::new();
        for _ in 0..EACH {
            let text = value(&caller.to_string());
            let answer = done(store, Commit::new().append(key("e/"), text));
            mine.push(answer.appended[0].number);
        }
        assert!(mine.is_sorted(), "a caller's own appends keep their order");
        mine
    });
    let given: BTreeSet<u64> = numbers.into_iter().flatten().collect();
    let dense: BTreeSet<u64> = (1..=CALLERS as u64 * EACH).collect();
    assert_eq!(given, dense, "no number is missing or given twice");
}

fn a_read_sees_what_returned_before_it(store: &dyn Store) {
    by_all(&|caller| {
        let name = key(&format!("own/{caller}"));
        for round in 0..10 {
            let mine = value(&round.to_string());
            done(store, Commit::new().put(name.clone(), mine.clone()));
            assert_eq!(get(store, &name), Some(mine.clone()), "a get sees it");
            let found = store.scan(&name, None, 1).expect("a prefix can be scanned");
            assert_eq!(found, [(name.clone(), mine)], "a scan sees it");
        }
    });
}

//! What was acknowledged is there after a restart, and goes on where it was.

use super::model::{Dice, Model};
use super::{Reopen, done, everything, key, value};
use crate::{Commit, Store};

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>, reopen: Reopen<'_>) {
    an_empty_store_stays_empty(fresh(), reopen);
    records_outlive_a_restart(fresh(), reopen);
    numbers_go_on_after_a_restart(fresh(), reopen);
    a_history_with_restarts_matches_the_model(fresh(), reopen);
}

fn an_empty_store_stays_empty(store: Box<dyn Store>, reopen: Reopen<'_>) {
    assert_eq!(everything(&*reopen(reopen(store))), []);
}

fn records_outlive_a_restart(store: Box<dyn Store>, reopen: Reopen<'_>) {
    done(
        &*store,
        Commit::new()
            .put(key("a"), value("1"))
            .put(key("b"), value("")),
    );
    done(
        &*store,
        Commit::new().delete(key("a")).put(key("c"), value("3")),
    );
    let before = everything(&*store);
    let store = reopen(store);
    assert_eq!(everything(&*store), before);
    done(&*store, Commit::new().expect_equals(key("c"), value("3")));
    assert_eq!(
        everything(&*reopen(store)),
        before,
        "reading changes nothing"
    );
}

fn numbers_go_on_after_a_restart(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    for number in 1..=5 {
        let answer = done(&*store, Commit::new().append(key("e/"), value("x")));
        let appended = &answer.appended[0];
        assert_eq!(appended.number, number);
        // Even the highest number is not given again when its record is gone.
        done(&*store, Commit::new().delete(appended.key.clone()));
        store = reopen(store);
    }
}

fn a_history_with_restarts_matches_the_model(mut store: Box<dyn Store>, reopen: Reopen<'_>) {
    let mut model = Model::default();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for step in 0..200 {
        model.step(&*store, &mut dice, step);
        if step % 20 == 19 {
            store = reopen(store);
            let expected = Vec::from_iter(model.records.clone());
            assert_eq!(everything(&*store), expected, "step {step}");
        }
    }
}

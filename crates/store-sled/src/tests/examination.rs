//! What an examination finds.

use bowline_store::{Finding, Severity, Store, StoreError};

use super::{key, put, reopen, value};
use crate::index::Changes;
use crate::{Action, SledOptions, SledStore};

fn examine(store: &SledStore) -> Vec<Finding> {
    store.examine(&mut |_| {}).unwrap()
}

fn filled(home: &std::path::Path) -> SledStore {
    let store = reopen(home);
    for n in 0..60 {
        let commit = put(&format!("k{n:02}"), "x").append(key("e/"), value("y"));
        store.commit(commit).unwrap();
    }
    store
}

#[test]
fn records_that_the_index_lost_changed_or_invented_are_found_by_name() {
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path());
    assert_eq!(examine(&store), []);
    let mut changes = Changes::default();
    changes.records.insert(key("k03"), None);
    changes.records.insert(key("k05"), Some(value("z")));
    changes.records.insert(key("k055"), Some(value("z")));
    changes.numbers.insert(key("e/"), 59);
    store.falsify(changes);
    let findings = examine(&store);
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    let (missing, wrong, unknown) = (
        "index_record_missing",
        "index_record_wrong",
        "index_record_unknown",
    );
    assert_eq!(codes, [missing, wrong, unknown, wrong]);
    for (finding, name) in findings.iter().zip(["k03", "k05", "k055", "under e/"]) {
        assert!(finding.what.contains(name), "{finding:?}");
        assert_eq!(finding.severity, Severity::Critical);
    }
    drop(store);
    let store = reopen(home.path());
    assert_eq!(
        examine(&store),
        [],
        "opening compares a small home, and makes the index again"
    );
}

/// Larger than a home that is compared whenever it is opened.
#[test]
fn an_index_known_to_be_wrong_answers_nothing_more_and_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    let text = "x".repeat(60_000);
    for n in 0..320 {
        store.commit(put(&format!("k{n}"), &text)).unwrap();
    }
    let mut changes = Changes::default();
    changes.records.insert(key("k7"), None);
    store.falsify(changes);
    let findings = examine(&store);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].code, "index_record_missing");
    let refused = store.get(&key("k7"));
    assert!(
        matches!(&refused, Err(StoreError::Unavailable { reason }) if reason.contains("k7")),
        "{refused:?}"
    );
    drop(store);
    let store = reopen(home.path());
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::RebuiltIndex { .. }]),
        "{actions:?}"
    );
    assert!(store.get(&key("k7")).unwrap().is_some());
}

#[test]
fn of_many_findings_the_first_are_told_and_the_rest_counted() {
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path());
    let mut changes = Changes::default();
    for n in 0..50 {
        changes.records.insert(key(&format!("k{n:02}")), None);
    }
    store.falsify(changes);
    let findings = examine(&store);
    assert_eq!(findings.len(), 21);
    assert!(findings[20].what.contains("30 more"), "{:?}", findings[20]);
}

#[test]
fn a_damaged_checkpoint_is_a_warning_while_the_journal_makes_up_for_it() {
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path());
    store.keep().unwrap();
    assert_eq!(examine(&store), []);
    let path = home
        .path()
        .join("checkpoint/00000000000000000060.checkpoint");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for in_memory in [false, true] {
        let memory;
        let store = match in_memory {
            false => &store,
            true => {
                let copied = tempfile::tempdir().unwrap();
                let to = copied.path().join("journal");
                std::fs::create_dir(&to).unwrap();
                let name = "00000000000000000001.journal";
                std::fs::copy(home.path().join("journal").join(name), to.join(name)).unwrap();
                let opened = SledStore::open(copied.path(), &SledOptions::one_shot()).unwrap();
                // What is damaged after it was opened.
                std::fs::create_dir(copied.path().join("checkpoint")).unwrap();
                let name = path.file_name().unwrap();
                std::fs::copy(&path, copied.path().join("checkpoint").join(name)).unwrap();
                memory = (opened, copied);
                &memory.0
            }
        };
        let findings = examine(store);
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["checkpoint_damaged"]);
        assert_eq!(findings[0].severity, Severity::Warning);
    }
}

#[test]
fn two_examinations_at_a_time_are_one_too_many() {
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path());
    let mut second = None;
    let first = store.examine(&mut |_| {
        second.get_or_insert_with(|| store.examine(&mut |_| {}).is_err());
    });
    assert_eq!(first, Ok(vec![]));
    assert_ne!(second, Some(false));
}

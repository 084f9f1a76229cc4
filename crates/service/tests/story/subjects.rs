//! Who was seen, since when, and with which certificates.

use std::sync::Arc;

use bowline_service::{
    Caller, Clock, ListSubjects, Operation, RevocationReason, RevokeCertificate, ShowSubject,
    SubjectView,
};
use bowline_store::{Key, Store};

use crate::OPERATOR;
use crate::world::{Holder, World};

fn subjects(world: &World) -> Vec<SubjectView> {
    ListSubjects::default()
        .run(&world.service, &OPERATOR)
        .unwrap()
        .subjects
}

fn show(world: &World, subject: &str) -> SubjectView {
    let show = ShowSubject {
        subject: subject.into(),
    };
    show.run(&world.service, &OPERATOR).unwrap()
}

fn exchange(world: &World, holder: &Holder) -> String {
    world.exchange(holder, "reader").unwrap().subject_arn
}

#[test]
fn a_subject_is_there_once_it_traded_a_certificate() {
    let world = World::new();
    world.role("reader");
    let first = world.issue("web-1", &["reader"]);
    assert!(subjects(&world).is_empty());
    let arn = exchange(&world, &first);
    let began = world.clock.now();
    let subject = show(&world, &arn);
    assert_eq!(subject.arn, arn);
    assert_eq!(subject.x509_subject, first.issued.subject);
    assert!(subject.enabled);
    assert_eq!((subject.created_at, subject.last_seen_at), (began, began));
    assert_eq!(show(&world, &subject.subject_id), subject);
    let [credential] = &subject.credentials[..] else {
        panic!("{subject:?}")
    };
    assert_eq!(credential.serial, first.issued.serial);
    assert_eq!(credential.not_after, first.issued.not_after);
    assert!(
        credential.issuer.contains("Issuing CA"),
        "{}",
        credential.issuer
    );
    assert!(credential.enabled && !credential.failed);

    // Another certificate of the same name is another credential of the same subject.
    world.pass(10);
    let second = world.issue("web-1", &["reader"]);
    assert_eq!(exchange(&world, &second), arn);
    let subject = show(&world, &arn);
    assert_eq!(subject.created_at, began);
    assert_eq!(subject.last_seen_at, world.clock.now());
    let serials: Vec<&str> = subject
        .credentials
        .iter()
        .map(|one| one.serial.as_str())
        .collect();
    assert_eq!(serials, [&*second.issued.serial, &*first.issued.serial]);
    assert_eq!(subjects(&world).len(), 1);
    assert!(subjects(&world)[0].credentials.is_empty());
}

#[test]
fn a_subject_is_written_once_a_minute() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let arn = exchange(&world, &holder);
    let began = world.clock.now();
    world.pass(59);
    exchange(&world, &holder);
    assert_eq!(show(&world, &arn).last_seen_at, began);
    world.pass(1);
    exchange(&world, &holder);
    let subject = show(&world, &arn);
    assert_eq!(subject.last_seen_at, world.clock.now());
    assert_eq!(subject.created_at, began);
    // A clock that goes back does not blind it.
    world.pass(-90);
    exchange(&world, &holder);
    assert_eq!(show(&world, &arn).last_seen_at, world.clock.now());
}

#[test]
fn a_refusal_after_a_good_path_is_seen_and_marked() {
    let world = World::new();
    world.role("reader");
    world.role("writer");
    let holder = world.issue("web-1", &["reader"]);
    world.exchange(&holder, "writer").unwrap_err();
    let seen = subjects(&world);
    assert!(show(&world, &seen[0].subject_id).credentials[0].failed);
    let arn = exchange(&world, &holder);
    assert!(!show(&world, &arn).credentials[0].failed);
    world.exchange(&holder, "writer").unwrap_err();
    assert!(show(&world, &arn).credentials[0].failed);
}

#[test]
fn no_stranger_becomes_a_subject() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let foreign = World::new();
    foreign.role("reader");
    let stranger = foreign.issue("web-2", &["reader"]);
    let ask = world.session_ask(&holder, "reader");
    world.exchange_as(&stranger, &ask).unwrap_err();
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    world.exchange(&holder, "reader").unwrap_err();
    assert!(subjects(&world).is_empty());
    let prefix = Key::new("subject").unwrap();
    assert!(world.store.scan(&prefix, None, 10).unwrap().is_empty());
}

#[test]
fn sessions_of_one_subject_at_once_do_not_hinder_each_other() {
    let world = Arc::new(World::new());
    world.role("reader");
    let holders: Vec<Holder> = (0..8).map(|_| world.issue("web-1", &["reader"])).collect();
    std::thread::scope(|scope| {
        for holder in &holders {
            scope.spawn(|| (0..10).for_each(|_| drop(exchange(&world, holder))));
        }
    });
    let seen = subjects(&world);
    assert_eq!(seen.len(), 1);
    assert_eq!(show(&world, &seen[0].subject_id).credentials.len(), 8);
}

#[test]
fn subjects_are_listed_in_pages_and_found_by_id_or_arn() {
    let world = World::new();
    world.role("reader");
    let mut arns: Vec<String> = (0..5)
        .map(|n| exchange(&world, &world.issue(&format!("web-{n}"), &["reader"])))
        .collect();
    arns.sort();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let ask = ListSubjects {
            limit: Some(2),
            after,
        };
        let page = ask.run(&world.service, &OPERATOR).unwrap();
        found.extend(page.subjects.into_iter().map(|subject| subject.arn));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, arns);
    let find = |subject: &str| {
        let show = ShowSubject {
            subject: subject.into(),
        };
        show.run(&world.service, &OPERATOR)
            .map_err(|error| error.code().into_owned())
    };
    let elsewhere = arns[0].replace("us-east-1", "eu-west-1");
    for unknown in ["web-0", "", &elsewhere] {
        assert_eq!(find(unknown).unwrap_err(), "subject_unknown", "{unknown}");
    }
    let nobody = Caller::Nobody { source: None };
    let refused = ListSubjects::default()
        .run(&world.service, &nobody)
        .unwrap_err();
    assert_eq!(&*refused.code(), "credentials_needed");
}

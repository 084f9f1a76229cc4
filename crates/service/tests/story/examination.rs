//! Examining a home: nothing to find in a good one, and every kind of contradiction in a bad one.

use bowline_service::{
    AcceptClock, Caller, Clock, Error, Examination, Examine, Operation, Progress, RevocationReason,
    RevokeCertificate, Severity, ShowRevocationList, Sink, Store, Transfer,
};
use bowline_store::{Commit, Key, Value};

use crate::world::World;

/// Takes progress and drops it.
struct Nothing;

impl Sink for Nothing {
    fn progress(&mut self, _progress: Progress) -> Result<(), Error> {
        Ok(())
    }

    fn bytes(&mut self, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

fn examine(world: &World) -> Examination {
    Examine {}
        .run(&world.service, &Caller::Operator, &mut Nothing)
        .unwrap()
}

fn codes(world: &World) -> Vec<(Severity, String)> {
    let findings = examine(world).findings;
    let mut codes: Vec<_> = findings
        .into_iter()
        .map(|finding| (finding.severity, finding.code))
        .collect();
    codes.dedup();
    codes
}

fn keys(world: &World, prefix: &str) -> Vec<(Key, Value)> {
    world
        .store
        .scan(&Key::new(prefix).unwrap(), None, 1_000)
        .unwrap()
}

fn delete(world: &World, key: &Key) {
    world
        .store
        .commit(Commit::new().delete(key.clone()))
        .unwrap();
}

/// A home with a certificate, a revoked one, and a signed log.
fn home() -> World {
    let world = World::new();
    world.issue("web-1", &[]);
    world.issue("web-2", &[]);
    RevokeCertificate {
        certificate: "web-2".into(),
        reason: RevocationReason::KeyCompromise,
    }
    .run(&world.service, &Caller::Operator)
    .unwrap();
    world.service.sign_log_checkpoint().unwrap();
    world
}

#[test]
fn nothing_is_found_in_a_good_home() {
    let world = home();
    let examination = examine(&world);
    assert_eq!(examination.findings, []);
    assert!(examination.records > 20, "{examination:?}");
}

#[test]
fn every_missing_record_is_missed() {
    for (prefix, code) in [
        ("certificate-name/", "certificate_key_missing"),
        ("certificate-end/", "certificate_key_missing"),
        ("certificate/", "certificate_missing"),
        ("revocation/", "revocation_missing"),
        ("event/", "log_gap"),
        ("authority/issuing", "certificate_orphaned"),
        ("trust-anchor-name/", "name_wrong"),
        ("profile-name/", "name_wrong"),
        ("authority-key/issuing", "authority_key_missing"),
    ] {
        let world = home();
        delete(&world, &keys(&world, prefix)[0].0);
        let found = codes(&world.on(world.store.clone()));
        assert!(
            found.contains(&(Severity::Critical, code.into())),
            "{prefix}: {found:?}"
        );
    }
}

#[test]
fn a_rewritten_event_is_noticed_by_what_was_signed() {
    let world = home();
    let (key, value) = keys(&world, "event/").remove(0);
    let text = String::from_utf8(value.as_bytes().to_vec()).unwrap();
    let rewritten = text.replace(r#""caller":"operator""#, r#""caller":"somebody""#);
    assert_ne!(text, rewritten);
    let rewritten = Value::new(rewritten).unwrap();
    world
        .store
        .commit(Commit::new().put(key, rewritten))
        .unwrap();
    let found = codes(&world);
    assert_eq!(found, [(Severity::Critical, "log_rewritten".into())]);
}

#[test]
fn a_clock_behind_the_log_is_told() {
    let world = home();
    world.pass(-3_600);
    let found = codes(&world);
    assert_eq!(found, [(Severity::Critical, "clock_behind".into())]);
    AcceptClock {}
        .run(&world.service, &Caller::Operator)
        .unwrap();
    assert_eq!(codes(&world), []);
}

#[test]
fn what_ends_soon_is_a_warning_and_what_has_ended_is_critical() {
    let world = home();
    let end = world.made.authorities[1].not_after;
    let left = (end - world.clock.now()).num_seconds();
    world.pass(left - 86_400);
    assert!(codes(&world).contains(&(Severity::Warning, "authority_ending".into())));
    world.pass(2 * 86_400);
    assert!(codes(&world).contains(&(Severity::Critical, "authority_ending".into())));
}

#[test]
fn a_revoked_certificate_is_on_the_published_list() {
    let world = home();
    ShowRevocationList {
        authority: "issuing".into(),
        fresh: false,
    }
    .run(&world.service, &Caller::Operator)
    .unwrap();
    assert_eq!(codes(&world), []);
    // A revocation that came into the store past the program.
    let (key, value) = keys(&world, "revocation/").remove(0);
    let mut bytes = key.into_bytes();
    let last = bytes.len() - 1;
    bytes[last] = if bytes[last] == b'0' { b'1' } else { b'0' };
    let put = Commit::new().put(Key::new(bytes).unwrap(), value);
    world.store.commit(put).unwrap();
    assert_eq!(
        codes(&world),
        [(Severity::Critical, "revocation_not_listed".into())]
    );
}

#[test]
fn only_who_may_examines() {
    let world = home();
    let refused = Examine {}.run(
        &world.service,
        &Caller::Nobody { source: None },
        &mut Nothing,
    );
    assert!(refused.is_err());
}

//! What was refused: an event each for those who are known, a sum a minute for those who are not.

use std::net::IpAddr;

use bowline_service::{
    Caller, Channel, Clock, CreateRole, CreateSession, CreateTrustAnchor, KeySpec, Operation,
    PrivateKey, RenewCertificate, RevocationReason, RevokeCertificate, SessionAsk, Store,
    WireRequest, certification_request, dispatch, renewal_proof,
};

use bowline_store::Key;

use crate::OPERATOR;
use crate::log::{events, events_of};
use crate::world::World;

fn stranger(n: u8) -> Caller {
    Caller::Nobody {
        source: Some([192, 0, 2, n].into()),
    }
}

fn nonsense() -> CreateSession {
    CreateSession {
        request: WireRequest {
            method: "POST".into(),
            target: "/sessions".into(),
            headers: vec![("host".into(), "ca.test".into())],
            body: Vec::new(),
        },
    }
}

#[test]
fn strangers_are_counted_by_source_and_minute() {
    let world = World::new();
    let before = events(&world).len();
    for _ in 0..5 {
        nonsense().run(&world.service, &stranger(1)).unwrap_err();
    }
    nonsense().run(&world.service, &stranger(2)).unwrap_err();
    let mut request = nonsense().request;
    request
        .headers
        .push(("authorization".into(), "AWS4-X509-nonsense".into()));
    let source: IpAddr = [192, 0, 2, 1].into();
    assert!(
        world
            .service
            .identify(&request, &Channel::from_source(Some(source)))
            .is_err()
    );
    // Nothing is written while the minute lasts.
    world.service.tick().unwrap();
    assert_eq!(events(&world).len(), before);

    world.pass(60);
    world.service.tick().unwrap();
    let summed = events_of(&world, "requests_refused");
    assert_eq!(summed.len(), 2, "{summed:?}");
    assert_eq!(summed[0]["source"], "192.0.2.1");
    assert_eq!(summed[0]["caller"], "nobody");
    assert_eq!(summed[1]["source"], "192.0.2.2");
    let count = |event: &serde_json::Value| -> u64 {
        let codes = event["codes"].as_object().unwrap();
        codes.values().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!((count(&summed[0]), count(&summed[1])), (6, 1));
    // Once.
    world.pass(60);
    world.service.tick().unwrap();
    assert_eq!(events_of(&world, "requests_refused").len(), 2);
}

#[test]
fn a_flood_of_strangers_is_a_few_events_and_none_is_lost() {
    let world = World::new();
    for n in 0..2_000_u32 {
        let source = IpAddr::V4((n + 0x0a00_0000).into());
        world.service.note_refusal(Some(source), "untrusted_issuer");
    }
    // At the end of a process the minute need not be over.
    world.service.settle().unwrap();
    let summed = events_of(&world, "requests_refused");
    assert_eq!(summed.len(), 33);
    let total: u64 = summed
        .iter()
        .map(|event| event["codes"]["untrusted_issuer"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 2_000);
    assert_eq!(
        summed
            .iter()
            .filter(|event| event["others"] == true)
            .count(),
        1
    );
}

#[test]
fn a_refused_issuance_is_an_event_that_says_why() {
    let world = World::new();
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let mut ask = world.ask_for("web-1", &[], &key);
    ask.certificate_profile = "ghost".into();
    let refused = ask.perform(&world.service, &OPERATOR).unwrap_err();
    let told = events_of(&world, "operation_refused");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["operation"], "issue-certificate");
    assert_eq!(told[0]["code"], *refused.code());
    assert_eq!(told[0]["reason"], refused.to_string());
    assert_eq!(told[0]["caller"], "operator");

    // The same by its name on the wire, and of one that does not even read; but not of what only reads.
    let input = serde_json::to_vec(&{
        let mut ask = world.ask_for("", &[], &key);
        ask.names.clear();
        ask
    })
    .unwrap();
    dispatch("issue-certificate", &input, &world.service, &OPERATOR).unwrap_err();
    assert_eq!(events_of(&world, "operation_refused").len(), 2);
    dispatch("issue-certificate", b"{}", &world.service, &OPERATOR).unwrap_err();
    assert_eq!(events_of(&world, "operation_refused").len(), 3);
    dispatch(
        "show-role",
        br#"{"role":"ghost"}"#,
        &world.service,
        &OPERATOR,
    )
    .unwrap_err();
    assert_eq!(events_of(&world, "operation_refused").len(), 3);
}

#[test]
fn what_a_session_may_not_do_is_told_once() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let credentials = world.exchange(&holder, "reader").unwrap();
    let request = world.signed_call(&credentials);
    let caller = world
        .service
        .identify(&request, &Channel::default())
        .unwrap();
    let role = CreateRole {
        name: "mine".into(),
        allow: vec!["*".into()],
        on: vec!["*".into()],
        ..CreateRole::default()
    };
    let refused = role.perform(&world.service, &caller).unwrap_err();
    assert_eq!(&*refused.code(), "not_authorized");
    assert_eq!(events_of(&world, "action_denied").len(), 1);
    assert_eq!(events_of(&world, "operation_refused").len(), 0);
    let again = crate::initialize()
        .perform(&world.service, &caller)
        .unwrap_err();
    assert_eq!(&*again.code(), "operator_only");
    let told = events_of(&world, "operation_refused");
    assert_eq!(told.len(), 1);
    assert!(
        told[0]["caller"]
            .as_str()
            .unwrap()
            .contains("assumed-role/reader/")
    );
}

#[test]
fn strangers_who_ask_to_change_something_are_counted() {
    let world = World::new();
    let anchor = CreateTrustAnchor {
        name: "mine".into(),
        bundle: Some(String::new()),
        authority: None,
        disabled: false,
        if_missing: false,
    };
    anchor.perform(&world.service, &stranger(7)).unwrap_err();
    nonsense()
        .perform(&world.service, &stranger(7))
        .unwrap_err();
    world.service.settle().unwrap();
    let summed = events_of(&world, "requests_refused");
    assert_eq!(summed.len(), 1);
    let codes = summed[0]["codes"].as_object().unwrap();
    assert_eq!(codes["credentials_needed"], 1);
    assert_eq!(codes.len(), 2, "{codes:?}");
}

#[test]
fn a_refused_renewal_is_an_event_once_the_key_was_proved() {
    let world = World::new();
    let old = world.issue("web-1", &[]);
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let csr = certification_request(&key).unwrap();
    let renew = |signer: &PrivateKey| {
        let proof =
            renewal_proof(&old.issued.certificate, &csr, signer, world.clock.now()).unwrap();
        let ask = RenewCertificate {
            certificate: old.issued.certificate.clone(),
            csr: csr.clone(),
            signed_at: world.clock.now(),
            proof,
        };
        ask.perform(&world.service, &stranger(1)).map(|_| ())
    };
    renew(&key).unwrap_err();
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    renew(&old.key).unwrap_err();
    let told = events_of(&world, "renewal_refused");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["code"], "certificate_revoked");
    assert_eq!(told[0]["serial"], old.issued.serial);
    assert_eq!(told[0]["source"], "192.0.2.1");
    world.service.settle().unwrap();
    let summed = events_of(&world, "requests_refused");
    assert_eq!(summed[0]["codes"]["renewal_proof_invalid"], 1);
    assert_eq!(summed[0]["codes"].as_object().unwrap().len(), 1);
}

#[test]
fn an_exchange_with_an_unknown_certificate_is_no_event_and_a_known_one_is() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let foreign = World::new();
    foreign.role("reader");
    let stranger = foreign.issue("web-1", &["reader"]);
    let mut ask = world.session_ask(&holder, "reader");
    let before = events(&world).len();
    world.exchange_as(&stranger, &ask).unwrap_err();
    assert_eq!(events(&world).len(), before);
    ask.role_arn.push_str("-ghost");
    world.exchange_as(&holder, &ask).unwrap_err();
    assert_eq!(events_of(&world, "session_denied").len(), 1);
    world.service.settle().unwrap();
    let summed = events_of(&world, "requests_refused");
    assert_eq!(summed.len(), 1);
    let count: Vec<_> = summed[0]["codes"].as_object().unwrap().values().collect();
    assert_eq!(count, [1]);
}

#[test]
fn one_that_is_refused_all_the_time_fills_no_disk() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &Caller::Operator).unwrap();
    let ask = SessionAsk {
        role_arn: format!("arn:{}", "x".repeat(60_000)),
        ..world.session_ask(&holder, "reader")
    };
    let size = || {
        let events = world.store.scan(&Key::new("event/").unwrap(), None, 1_000);
        let events = events.unwrap();
        let bytes: usize = events.iter().map(|(_, value)| value.len()).sum();
        (events.len(), bytes)
    };
    let (events, bytes) = size();
    for _ in 0..100 {
        world.exchange_as(&holder, &ask).unwrap_err();
    }
    world.pass(60);
    world.service.tick().unwrap();
    let (told, taken) = size();
    // Thirty of them, and one that counts the other seventy.
    assert_eq!(told - events, 31);
    assert!(taken - bytes < 31 * 4_000, "{} bytes", taken - bytes);
}

#[test]
fn what_does_not_even_read_is_counted() {
    let world = World::new();
    for operation in ["create-session", "renew-certificate", "get-caller-identity"] {
        dispatch(operation, b"nonsense", &world.service, &stranger(7)).unwrap_err();
    }
    world.pass(60);
    world.service.tick().unwrap();
    let told = events_of(&world, "requests_refused");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["codes"]["operation_input_malformed"], 3);
}

//! `POST /v1/<operation>`: who may, and how refusals look.

use bowline_service::{Kind, OPERATIONS, TRANSFERS, WireRequest};
use serde_json::Value;

use crate::client::{Raw, Reply, send};
use crate::world::{World, post};

fn check_refused(reply: &Reply, status: u16, kind: &str, code: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    assert_eq!(reply.text().matches('\n').count(), 1, "one frame");
    let error = &reply.json()["error"];
    assert_eq!(
        (&error["kind"], &error["code"]),
        (&Value::from(kind), &Value::from(code)),
        "{error}"
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty())
    );
}

#[test]
fn an_administrator_may_and_others_may_not() {
    let world = World::new();
    let host = world.plain();
    let list = || post("/v1/list-certificates", &host, "{}");
    let operator = world.issue_as("boss", "administrator", "operator");
    let administrator = world.exchange(&operator, "administrator");
    let reply = send(&host, &world.signed(list(), &administrator, "bowline"));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.json()["result"].is_object(), "{reply:?}");

    let reader = world.exchange(&world.issue("web-1", "reader"), "reader");
    let reply = send(&host, &world.signed(list(), &reader, "bowline"));
    check_refused(&reply, 403, "denied", "not_authorized");
    check_refused(&send(&host, &list()), 403, "denied", "credentials_needed");

    let mut forged = world.signed(list(), &administrator, "bowline");
    forged.body = b"{ }".to_vec();
    check_refused(
        &send(&host, &forged),
        401,
        "unauthenticated",
        "signature_mismatch",
    );
    let for_sts = world.signed(list(), &administrator, "sts");
    assert_eq!(
        send(&host, &for_sts).status,
        401,
        "a signature for another service"
    );
}

#[test]
fn nobody_may_do_what_is_not_public() {
    let world = World::new();
    let host = world.plain();
    let public = [
        "list-authorities",
        "show-authority",
        "show-bundle",
        "show-revocation-list",
        "show-log-key",
        "prove-consistency",
        "show-openid-configuration",
        "show-jwks",
    ];
    let mut seen = 0;
    let all = OPERATIONS.iter().chain(TRANSFERS);
    for name in all.filter(|name| !public.contains(name)) {
        let inputs = [
            "{}",
            r#"{"name":"default"}"#,
            r#"{"profile":"none"}"#,
            r#"{"role":"none"}"#,
            r#"{"trust_anchor":"none"}"#,
            r#"{"certificate":"none","reason":"keyCompromise"}"#,
        ];
        for input in inputs {
            let reply = send(&host, &post(&format!("/v1/{name}"), &host, input));
            assert!(
                (400..=403).contains(&reply.status),
                "{name} {input}: {reply:?}"
            );
            let told = ["operators", "there are:"]
                .iter()
                .any(|word| reply.text().contains(word));
            assert!(!told, "{name} {input} tells names: {}", reply.text());
            seen += 1;
        }
    }
    assert!(seen >= 100, "only {seen} tries");
}

#[test]
fn input_that_does_not_read_says_so() {
    let world = World::new();
    let host = world.plain();
    for (name, body) in [
        ("list-authorities", "{"),
        ("list-authorities", ""),
        ("list-authorities", "{\"unknown\":1}"),
        ("create-role", "7"),
        ("list-authorities", "\u{feff}{}"),
    ] {
        let reply = send(&host, &post(&format!("/v1/{name}"), &host, body));
        check_refused(&reply, 400, "invalid", "operation_input_malformed");
    }
    let deep = "[".repeat(100_000);
    let reply = send(&host, &post("/v1/create-role", &host, deep));
    check_refused(&reply, 400, "invalid", "operation_input_malformed");
}

#[test]
fn an_operation_that_nobody_has_is_not_found() {
    let world = World::new();
    let host = world.plain();
    for name in [
        "",
        "no-such",
        "../sessions",
        "%6cist-authorities",
        "LIST-AUTHORITIES",
        "authorize/",
    ] {
        let reply = send(&host, &post(&format!("/v1/{name}"), &host, "{}"));
        check_refused(&reply, 404, "not_found", "operation_unknown");
    }
}

#[test]
fn a_body_over_1_mib_is_refused_and_one_under_is_read() {
    let world = World::new();
    let host = world.plain();
    let of = |length: usize| -> WireRequest {
        let mut body = b"{}".to_vec();
        body.resize(length, b' ');
        post("/v1/list-authorities", &host, body)
    };
    assert_eq!(send(&host, &of(1024 * 1024)).status, 200);
    check_refused(
        &send(&host, &of(1024 * 1024 + 1)),
        400,
        "invalid",
        "body_too_long",
    );
}

#[test]
fn the_control_socket_speaks_for_the_operator() {
    let world = World::new();
    let reply = Raw::unix(&world.socket()).send(&post("/v1/list-certificates", "localhost", "{}"));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn every_kind_has_its_status() {
    let world = World::new();
    let control = |name: &str, body: &str| {
        Raw::unix(&world.socket()).send(&post(&format!("/v1/{name}"), "localhost", body))
    };
    let role = r#"{"name":"twice","allow":["s3:*"],"on":["*"]}"#;
    assert_eq!(control("create-role", role).status, 200);
    check_refused(&control("create-role", role), 409, "conflict", "exists");
    check_refused(
        &control("show-role", r#"{"role":"none"}"#),
        404,
        "not_found",
        "role_unknown",
    );
    world.stage.reads_panic(true);
    let reply = control("list-roles", "{}");
    world.stage.reads_panic(false);
    check_refused(&reply, 500, "internal", "internal");
    assert!(
        !reply.text().contains("panic"),
        "faults are told to the log only: {reply:?}"
    );
    assert_eq!(control("list-roles", "{}").status, 200, "the others go on");
    let kind: Kind = serde_json::from_value(reply.json()["error"]["kind"].clone()).unwrap();
    assert_eq!(kind, Kind::Internal);
}

//! A store that takes no commits: it is said, and taken back, where who balances load and who reads the log see it.

use std::time::{Duration, Instant};

use bowline_server::Limits;
use bowline_service::{
    Caller, CreateProvider, DeleteProvider, DeleteRole, Error, Operation, RetireSessionKey,
    RevokeOlderSessions, RevokeSessions, Service, ShowRevocationList, UpdateProfile, UpdateRole,
    UpdateTrustAnchor,
};

use crate::client::{get, send};
use crate::world::{World, post};

/// The tick is longer than the test, so that nothing but an answer tells.
fn never_ticking() -> Limits {
    Limits {
        tick: Duration::from_secs(600),
        ..Limits::default()
    }
}

fn wait_until_ready(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(&world.plain(), "/readyz").status != 200 {
        assert!(Instant::now() < deadline, "it is never ready again");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn exchange(world: &World) -> u16 {
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    world.stage.writers_fail(true);
    send(&host, &request).status
}

#[test]
fn a_server_whose_commits_are_refused_is_not_ready_and_still_alive() {
    let world = World::within(never_ticking());
    let host = world.plain();
    assert_eq!(get(&host, "/readyz").status, 200);
    assert_eq!(exchange(&world), 503);
    let reply = get(&host, "/readyz");
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert_eq!(reply.text(), "commits are refused [store_unavailable]\n");
    assert_eq!(get(&host, "/healthz").status, 200);
    assert_eq!(get(&host, "/roots.pem").status, 200, "reads go on");
    assert_eq!(get(&host, "/readyz").status, 503, "a read proves nothing");
}

#[test]
fn one_commit_that_succeeds_makes_it_ready_again() {
    let world = World::within(never_ticking());
    let host = world.plain();
    assert_eq!(exchange(&world), 503);
    assert_eq!(get(&host, "/readyz").status, 503);
    world.stage.writers_fail(false);
    let holder = world.issue("web-2", "reader");
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &request).status, 201);
    wait_until_ready(&world);
}

#[test]
fn a_server_that_nobody_asks_finds_out_by_itself() {
    let world = World::within(Limits {
        tick: Duration::from_millis(30),
        ..Limits::default()
    });
    let host = world.plain();
    assert_eq!(exchange(&world), 503);
    // Ticks that are refused too do not take it back.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(get(&host, "/readyz").status, 503);
    world.stage.writers_fail(false);
    wait_until_ready(&world);
}

/// Whoever can fill a disk must not go on because of it.
#[test]
fn on_a_full_disk_rights_are_taken_away_and_none_are_given() {
    let world = World::within(never_ticking());
    let host = world.plain();
    world.role("writer");
    CreateProvider {
        name: "ci".into(),
        issuer: Some("https://ci.example".into()),
        audiences: vec!["bowline".into()],
        jwks_url: Some("https://ci.example/keys".into()),
        ..CreateProvider::default()
    }
    .run(&world.service, &Caller::Operator)
    .unwrap();
    let holder = world.issue("web-1", "reader");
    let credentials = world.exchange(&holder, "reader");
    let exchange = || world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    let whoami = || {
        let asked = post("/", &host, "Action=GetCallerIdentity&Version=2011-06-15");
        send(&host, &world.signed(asked, &credentials, "sts")).status
    };
    assert_eq!(whoami(), 200);

    world.stage.disk_full(true);
    assert_eq!(send(&host, &exchange()).status, 503);
    world.revoke("web-1");
    assert_eq!(whoami(), 403);
    let service = &*world.service;
    let role = |role: &str| UpdateRole {
        role: role.into(),
        ..UpdateRole::default()
    };
    let put = UpdateRole {
        put_policies: vec![("more".into(), POLICY.into())],
        ..role("writer")
    };
    assert_eq!(run(service, put), Err("store_unavailable".into()));
    let disabled = UpdateRole {
        enabled: Some(false),
        ..role("writer")
    };
    let without_policy = UpdateRole {
        delete_policies: vec!["inline".into()],
        ..role("writer")
    };
    let older = RevokeOlderSessions {
        role: "writer".into(),
    };
    let deleted = DeleteRole {
        role: "writer".into(),
        force: true,
    };
    let all = RevokeSessions {
        all: true,
        reason: "the disk is full".into(),
        ..RevokeSessions::default()
    };
    let anchor = UpdateTrustAnchor {
        trust_anchor: "default".into(),
        bundle: None,
        enabled: Some(false),
    };
    let profile = UpdateProfile {
        profile: "default".into(),
        enabled: Some(false),
        ..UpdateProfile::default()
    };
    let provider = DeleteProvider {
        provider: "ci".into(),
    };
    let list = ShowRevocationList {
        authority: "issuing".into(),
        fresh: true,
    };
    for taken in [
        run(service, disabled),
        run(service, without_policy),
        run(service, older),
        run(service, deleted),
        run(service, all),
        run(service, RetireSessionKey { key: 1, now: true }),
        run(service, anchor),
        run(service, profile),
        run(service, provider),
        run(service, list),
    ] {
        assert_eq!(taken, Ok(()));
    }
    assert_eq!(get(&host, "/readyz").status, 503, "rights cannot be given");

    world.stage.disk_full(false);
    // It is found out by the next who writes.
    world.role("writer");
}

/// A policy that gives more.
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

fn run<O: Operation>(service: &Service, operation: O) -> Result<(), String> {
    let answer = operation.run(service, &Caller::Operator);
    answer
        .map(drop)
        .map_err(|error: Error| error.code().into_owned())
}

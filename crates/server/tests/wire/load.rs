//! Under load: what is over a bound is told to come back, and a slow disk slows nobody but those who write.

use std::time::{Duration, Instant};

use bowline_server::Limits;
use bowline_service::WireRequest;

use crate::client::{Raw, Reply, bytes_of, get, send};
use crate::world::{ByCredentials, World, post};

/// Asks, and leaves the answer for later.
fn begin(raw: Raw, request: &WireRequest) -> Raw {
    let mut raw = raw;
    raw.write(&bytes_of(request));
    raw
}

fn fetch(path: &str) -> WireRequest {
    let mut request = post(path, "a", "");
    request.method = "GET".into();
    request
}

fn identity(world: &World, who: &ByCredentials<'_>) -> WireRequest {
    let mut request = post(
        "/",
        &world.plain(),
        "Action=GetCallerIdentity&Version=2011-06-15",
    );
    let form = "application/x-www-form-urlencoded";
    request.headers.push(("content-type".into(), form.into()));
    world.signed(request, &who.1, "sts")
}

fn check_come_back(reply: &Reply, form: &str) {
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert!(reply.text().contains(form), "{reply:?}");
}

#[test]
fn every_dialect_over_its_bound_says_when_to_come_back() {
    let world = World::within(Limits {
        writers: 1,
        readers: 1,
        ..Limits::default()
    });
    let host = world.plain();
    let administrator = world.administrator();
    let holder = world.issue("web-1", "reader");
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    let identity = identity(&world, &administrator);
    let list = post("/v1/list-authorities", &host, "{}");
    assert_eq!(send(&host, &identity).status, 200);
    assert_eq!(get(&host, "/crl/issuing.crl").status, 200);

    world.stage.hold_readers();
    let mut held = vec![
        begin(Raw::plain(&host), &exchange),
        begin(Raw::plain(&host), &identity),
    ];
    world.stage.wait_for_readers(2);
    for _ in 0..8 {
        held.push(begin(Raw::plain(&host), &fetch("/roots.pem")));
    }
    world.stage.wait_for_readers(10);
    check_come_back(&send(&host, &exchange), "\"code\":\"busy\"");
    check_come_back(&send(&host, &identity), "<Code>ServiceUnavailable</Code>");
    check_come_back(&send(&host, &list), "\"code\":\"busy\"");
    check_come_back(&send(&host, &post("/v1/backup", &host, "{}")), "busy");
    check_come_back(&get(&host, "/roots.pem"), "[busy]");
    check_come_back(&get(&host, "/readyz"), "[busy]");
    // What is in memory needs no place.
    assert_eq!(get(&host, "/crl/issuing.crl").status, 200);
    assert_eq!(get(&host, "/healthz").status, 200);
    // The operator's own places end too.
    for _ in 0..16 {
        held.push(begin(Raw::unix(&world.socket()), &list));
    }
    world.stage.wait_for_readers(26);
    check_come_back(&Raw::unix(&world.socket()).send(&list), "busy");

    world.stage.release_readers();
    for (place, raw) in held.iter_mut().enumerate() {
        let status = raw.read().status;
        assert_eq!(status, if place == 0 { 201 } else { 200 }, "{place}");
    }
}

#[test]
fn a_slow_disk_slows_writers_and_nobody_else() {
    let world = World::new();
    let host = world.plain();
    let administrator = world.administrator();
    let holder = world.issue("web-1", "reader");
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(get(&host, "/crl/issuing.crl").status, 200);
    world.stage.hold_writers();
    let mut writers: Vec<Raw> = (0..100)
        .map(|_| begin(Raw::plain(&host), &exchange))
        .collect();
    world.stage.wait_for_writers(100);

    let list = post("/v1/list-certificates", &host, "{}");
    let list = world.signed(list, &administrator.1, "bowline");
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(send(&host, &list).status, 200);
        assert_eq!(send(&host, &identity(&world, &administrator)).status, 200);
        for path in [
            "/roots.pem",
            "/ca/issuing.crt",
            "/crl/issuing.crl",
            "/healthz",
            "/readyz",
        ] {
            assert_eq!(get(&host, path).status, 200, "{path}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    world.stage.release_writers();
    for writer in &mut writers {
        assert_eq!(writer.read().status, 201);
    }
}

#[test]
fn fetches_of_a_stale_list_wait_for_one_signature_and_take_one_place() {
    let world = World::new();
    let host = world.plain();
    world.issue("web-1", "reader");
    let before = get(&host, "/crl/issuing.crl");
    world.revoke("web-1");
    world.stage.hold_writers();
    let mut fetches: Vec<Raw> = (0..20)
        .map(|_| begin(Raw::plain(&host), &fetch("/crl/issuing.crl")))
        .collect();
    world.stage.wait_for_writers(1);
    // Clients that go away leave their turn to nobody while its work goes on.
    fetches.truncate(10);
    assert_eq!(get(&host, "/roots.pem").status, 200);
    assert_eq!(get(&host, "/readyz").status, 200);
    world.stage.release_writers();
    let lists: Vec<Reply> = fetches.iter_mut().map(Raw::read).collect();
    for list in &lists {
        assert_eq!((list.status, &list.body), (200, &lists[0].body));
    }
    assert_ne!(lists[0].body, before.body);
}

#[test]
fn a_fetch_of_a_stale_list_does_not_wait_for_ever() {
    let world = World::new();
    let host = world.plain();
    world.issue("web-1", "reader");
    world.revoke("web-1");
    world.stage.hold_writers();
    let mut first = begin(Raw::plain(&host), &fetch("/crl/issuing.crl"));
    world.stage.wait_for_writers(1);
    let begun = Instant::now();
    check_come_back(&get(&host, "/crl/issuing.crl"), "[busy]");
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    world.stage.release_writers();
    assert_eq!(first.read().status, 200);
}

#[test]
fn refusals_that_wait_for_a_slow_disk_do_not_shut_readers_out() {
    let world = World::within(Limits {
        readers: 4,
        ..Limits::default()
    });
    let host = world.plain();
    let reader = world.exchange(&world.issue("web-1", "reader"), "reader");
    let list = post("/v1/list-certificates", &host, "{}");
    let refused = world.signed(list, &reader, "bowline");
    world.stage.hold_writers();
    let mut waiting: Vec<Raw> = (0..4).map(|_| begin(Raw::plain(&host), &refused)).collect();
    world.stage.wait_for_writers(4);
    let authorities = post("/v1/list-authorities", &host, "{}");
    let deadline = Instant::now() + Duration::from_secs(5);
    while send(&host, &authorities).status != 200 {
        assert!(Instant::now() < deadline, "four refusals hold all places");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.stage.release_writers();
    for raw in &mut waiting {
        assert_eq!(raw.read().status, 403);
    }
}

#[test]
fn answers_wait_to_be_sent_in_a_bounded_part_of_the_memory() {
    let world = World::within(Limits {
        answer_bytes: 10,
        ..Limits::default()
    });
    let host = world.plain();
    check_come_back(&get(&host, "/roots.pem"), "[busy]");
    // The one that was just signed is counted; the same list in memory is there once for everybody.
    get(&host, "/crl/issuing.crl");
    assert_eq!(get(&host, "/crl/issuing.crl").status, 200);
    // What tells of an effect is never refused.
    let holder = world.issue("web-1", "reader");
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &exchange).status, 201);
}

//! How much one address and one access key may ask, and signed requests that come twice.

use std::num::NonZeroU32;

use bowline_server::{Limits, RateLimit};
use bowline_service::{SessionCredentials, WireRequest};

use crate::client::{Raw, Reply, get, send};
use crate::world::{World, post};

fn a_second(count: u32) -> Option<RateLimit> {
    Some(RateLimit {
        per_second: NonZeroU32::new(count).unwrap(),
        on_loopback: true,
    })
}

fn whoami(world: &World, credentials: &SessionCredentials) -> WireRequest {
    let mut request = post(
        "/",
        &world.plain(),
        "Action=GetCallerIdentity&Version=2011-06-15",
    );
    let form = "application/x-www-form-urlencoded";
    request.headers.push(("content-type".into(), form.into()));
    world.signed(request, credentials, "sts")
}

fn check_throttled(reply: &Reply, form: &str) {
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, "1"),
        "{reply:?}"
    );
    assert!(reply.text().contains(form), "{reply:?}");
}

#[test]
fn an_address_without_credentials_is_slowed_down_in_every_dialect() {
    let world = World::within(Limits {
        rate_per_address: a_second(1),
        ..Limits::default()
    });
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &exchange).status, 201);
    let refused = send(&host, &exchange);
    check_throttled(&refused, "rate_exceeded");
    assert_eq!(refused.header("x-amzn-errortype"), "ThrottlingException");
    check_throttled(
        &send(&host, &post("/", &host, "Action=X")),
        "<Code>Throttling</Code>",
    );
    check_throttled(
        &send(&host, &post("/v1/list-authorities", &host, "{}")),
        "rate_exceeded",
    );
    // What everybody may fetch is not counted, and the operator on the machine is nobody's address.
    for _ in 0..3 {
        assert_eq!(get(&host, "/roots.pem").status, 200);
        let list = post("/v1/list-authorities", "localhost", "{}");
        assert_eq!(Raw::unix(&world.socket()).send(&list).status, 200);
    }
}

#[test]
fn a_key_counts_for_itself_and_not_for_its_address() {
    let world = World::within(Limits {
        rate_per_address: a_second(2),
        rate_per_key: a_second(4),
        ..Limits::default()
    });
    let host = world.plain();
    let one = world.exchange(&world.issue("web-1", "reader"), "reader");
    let two = world.exchange(&world.issue("web-2", "reader"), "reader");
    let statuses = |credentials: &SessionCredentials, count: usize| {
        let request = whoami(&world, credentials);
        let statuses = (0..count).map(|_| send(&host, &request).status);
        statuses.collect::<Vec<_>>()
    };
    let of_one = statuses(&one, 12);
    assert_eq!(
        of_one[..4],
        [200; 4],
        "more than the address has, one after the other"
    );
    assert!(of_one.contains(&429), "{of_one:?}");
    assert_eq!(statuses(&two, 1), [200], "the other key has its own");
}

#[test]
fn this_machine_is_not_slowed_down_unless_it_is_asked_for() {
    let world = World::within(Limits {
        rate_per_address: RateLimit::of_others(1),
        rate_per_key: RateLimit::of_others(1),
        ..Limits::default()
    });
    let host = world.plain();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    for _ in 0..20 {
        assert_eq!(send(&host, &whoami(&world, &credentials)).status, 200);
    }
}

#[test]
fn a_signed_request_is_answered_once_where_that_is_asked_for() {
    let world = World::within(Limits {
        refuse_replays: true,
        ..Limits::default()
    });
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &exchange).status, 201);
    let again = send(&host, &exchange);
    assert_eq!(
        (again.status, again.json()["error"]["code"].as_str()),
        (403, Some("request_replayed"))
    );
    // The certificate itself may come again, with a request of its own.
    world.pass(1);
    let next = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &next).status, 201);

    let credentials = world.exchange(&holder, "reader");
    let identity = whoami(&world, &credentials);
    assert_eq!(send(&host, &identity).status, 200);
    let again = send(&host, &identity);
    assert_eq!(again.status, 403);
    assert!(again.text().contains("request_replayed"), "{again:?}");
    // A forged one is refused as such, and keeps nobody's place.
    let mut forged = whoami(&world, &credentials);
    world.pass(1);
    let honest = whoami(&world, &credentials);
    forged.headers.clone_from(&honest.headers);
    forged.body.extend_from_slice(b"&a=b");
    assert!(
        send(&host, &forged)
            .text()
            .contains("SignatureDoesNotMatch")
    );
    assert_eq!(send(&host, &honest).status, 200);
}

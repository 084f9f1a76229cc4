//! What strangers may cost: headers, time, places, memory.

use std::time::{Duration, Instant};

use bowline_server::Limits;

use crate::client::{Raw, bytes_of, get, head_of, send, send_http2};
use crate::world::{World, post, short};

#[test]
fn headers_up_to_128_kib_are_read_and_more_are_told_so() {
    let world = World::new();
    let ask = |bytes: usize| {
        let mut raw = Raw::plain(&world.plain());
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: {}\r\n\r\n",
            "a".repeat(bytes)
        );
        raw.write(head.as_bytes());
        let status = raw.read().status;
        (status, raw)
    };
    let (status, mut raw) = ask(126 * 1024);
    assert_eq!(status, 200);
    raw.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(raw.read().status, 200, "the connection goes on");
    for over in [129 * 1024, 1024 * 1024] {
        let (status, mut raw) = ask(over);
        assert_eq!(status, 431, "{over}");
        assert!(raw.ended());
    }
}

#[test]
fn the_129th_header_is_one_too_many() {
    let world = World::new();
    let ask = |count: usize| {
        let mut request = post("/healthz", "a", "");
        request.method = "GET".into();
        request
            .headers
            .extend((1..count).map(|place| (format!("x-{place}"), "a".into())));
        request
    };
    for (count, status) in [(128, 200), (129, 431)] {
        let mut bytes = head_of(&ask(count));
        bytes.extend_from_slice(b"\r\n");
        assert_eq!(
            Raw::plain(&world.plain()).write(&bytes).read().status,
            status,
            "{count}"
        );
    }
    let over_http2 = send_http2(&world.plain(), None, &[ask(129), ask(130)]);
    let statuses: Vec<u16> = over_http2.iter().map(|reply| reply.status).collect();
    // HTTP/2 has no host header beside its authority: one fewer.
    assert_eq!(statuses, [200, 431]);
}

#[test]
fn who_says_nothing_is_let_go() {
    let world = World::within(short());
    let begun = Instant::now();
    let mut silent = Raw::plain(&world.plain());
    let mut without_handshake = Raw::over(std::net::TcpStream::connect(world.tls()).unwrap());
    let mut after_handshake = Raw::tls(&world.tls(), &world.root());
    assert!(silent.ended());
    assert!(without_handshake.ended());
    assert!(after_handshake.ended());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn slow_headers_end_the_connection() {
    let world = World::within(short());
    let begun = Instant::now();
    let mut raw = Raw::plain(&world.plain());
    let mut drops =
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter();
    while raw.try_write(&[*drops.next().unwrap_or(&b'a')]).is_ok() {
        std::thread::sleep(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(8), "it still listens");
    }
}

#[test]
fn slow_bodies_are_told_to_come_back() {
    let world = World::within(short());
    let mut raw = Raw::plain(&world.plain());
    raw.write(b"POST /sessions HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{");
    let reply = raw.read();
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, "1"),
        "{reply:?}"
    );
    assert_eq!(reply.json()["error"]["code"], "body_too_slow");
    assert!(raw.ended());
}

#[test]
fn an_idle_connection_of_http2_is_let_go_too() {
    let world = World::within(short());
    let mut raw = Raw::plain(&world.plain());
    raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let begun = Instant::now();
    while !raw.ended() {}
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_busy_connection_is_not_idle() {
    let world = World::within(short());
    let mut raw = Raw::plain(&world.plain());
    for _ in 0..6 {
        raw.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(raw.read().status, 200);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_client_that_waits_for_a_slow_operation_is_not_idle() {
    let world = World::within(short());
    let holder = world.issue("web-1", "reader");
    let host = world.plain();
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    world.stage.hold_writers();
    let mut raw = Raw::plain(&host);
    raw.write(&bytes_of(&request));
    world.stage.wait_for_writers(1);
    std::thread::sleep(Duration::from_millis(1_500));
    world.stage.release_writers();
    assert_eq!(raw.read().status, 201);
}

#[test]
fn a_full_pool_says_when_to_come_back_and_still_tells_revocations() {
    let world = World::within(Limits {
        writers: 1,
        readers: 1,
        ..Limits::default()
    });
    let holder = world.issue("web-1", "reader");
    let host = world.plain();
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    world.stage.hold_writers();
    let mut first = Raw::plain(&host);
    first.write(&bytes_of(&request));
    world.stage.wait_for_writers(1);

    let refused = send(&host, &request);
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, "1"),
        "{refused:?}"
    );
    assert_eq!(
        refused.header("x-amzn-errortype"),
        "ServiceUnavailableException"
    );
    let operation = send(
        &host,
        &post(
            "/v1/show-revocation-list",
            &host,
            "{\"authority\":\"issuing\"}",
        ),
    );
    assert_eq!(
        (operation.status, operation.header("retry-after")),
        (503, "1")
    );
    assert_eq!(operation.json()["error"]["code"], "busy");
    // What never waits behind writers.
    assert_eq!(get(&host, "/roots.pem").status, 200);
    assert_eq!(get(&host, "/readyz").status, 200);
    assert_eq!(
        send(&host, &post("/v1/list-authorities", &host, "{}")).status,
        200
    );
    // The operator on the machine has places of his own.
    let mut operator = Raw::unix(&world.socket());
    operator.write(&bytes_of(&post(
        "/v1/show-revocation-list",
        "localhost",
        "{\"authority\":\"issuing\"}",
    )));
    world.stage.wait_for_writers(2);

    world.stage.release_writers();
    assert_eq!(first.read().status, 201);
    assert_eq!(operator.read().status, 200);
    assert_eq!(get(&host, "/crl/issuing.crl").status, 200);
}

#[test]
fn memory_taken_by_others_is_a_reason_to_come_back() {
    let world = World::within(Limits {
        request_bytes: 100_000,
        ..Limits::default()
    });
    let host = world.plain();
    let other = || {
        send(
            &host,
            &post("/v1/list-authorities", &host, vec![b' '; 20_000]),
        )
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut big = loop {
        let mut big = Raw::plain(&host);
        big.write(
            b"POST /v1/list-authorities HTTP/1.1\r\nhost: a\r\ncontent-length: 90001\r\n\r\n",
        );
        big.write(&[b' '; 90_000]);
        // Time to arrive. Else it is the other one that is there first.
        std::thread::sleep(Duration::from_millis(100));
        let refused = other();
        if refused.status == 503 {
            assert_eq!(refused.header("retry-after"), "1");
            break big;
        }
        assert!(Instant::now() < deadline, "the memory is never taken");
    };
    // Announcing much takes nothing.
    let mut announced = Raw::plain(&host);
    announced
        .write(b"POST /v1/list-authorities HTTP/1.1\r\nhost: a\r\ncontent-length: 90000\r\n\r\n");
    big.write(b" ");
    assert_eq!(big.read().status, 400);
    while other().status != 400 {
        assert!(Instant::now() < deadline, "the memory is never given back");
    }
}

#[test]
fn connections_over_the_limit_are_told_so_and_the_control_socket_is_not_theirs() {
    let world = World::within(Limits {
        connections: 2,
        ..Limits::default()
    });
    let held = [Raw::plain(&world.plain()), Raw::plain(&world.plain())];
    let mut third = Raw::plain(&world.plain());
    third.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    let told = third.read();
    assert_eq!((told.status, told.header("retry-after")), (503, "1"));
    assert!(told.text().contains("too many connections"));
    assert!(third.ended());
    // Over TLS it would cost a handshake to say so.
    let mut fourth = Raw::over(std::net::TcpStream::connect(world.tls()).unwrap());
    assert!(fourth.ended());
    let reply = Raw::unix(&world.socket()).send(&post("/v1/list-roles", "localhost", "{}"));
    assert_eq!(reply.status, 200);
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut raw = Raw::plain(&world.plain());
        let _ = raw.try_write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
        if raw.try_read().is_ok_and(|reply| reply.status == 200) {
            break;
        }
        assert!(Instant::now() < deadline, "no place came free");
    }
}

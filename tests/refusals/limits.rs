//! More than is read: bodies and headers over their limits.

use crate::refusal::State;
use crate::scene::Scene;

/// The longest body of an exchange.
const BODY_MAX: usize = 64 * 1024;

/// The most bytes of headers.
const HEADERS_MAX: usize = 128 * 1024;

fn head(scene: &Scene, length: usize) -> String {
    let host = scene.server.http().trim_start_matches("http://");
    format!(
        "POST /sessions HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n"
    )
}

#[test]
fn a_body_over_64_kib_is_refused_and_one_of_64_kib_is_read() {
    let scene = Scene::new();
    let before = State::of(&scene.home);
    let send = |length: usize| {
        let head = head(&scene, length) + "\r\n";
        scene.send_bytes(&[head.as_bytes(), &vec![b' '; length]])
    };
    send(BODY_MAX).check(403, "missing_authentication", &[]);
    send(BODY_MAX + 1).check(400, "body_too_long", &["65536"]);
    assert_eq!(State::of(&scene.home), before, "something has changed");
}

#[test]
fn a_chunked_body_over_64_kib_is_refused() {
    let scene = Scene::new();
    let host = scene.server.http().trim_start_matches("http://");
    let head = format!(
        "POST /sessions HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunk = format!(
        "{:x}\r\n{}\r\n0\r\n\r\n",
        BODY_MAX + 1,
        " ".repeat(BODY_MAX + 1)
    );
    let answer = scene.send_bytes(&[head.as_bytes(), chunk.as_bytes()]);
    answer.check(400, "body_too_long", &["65536"]);
}

#[test]
fn headers_over_128_kib_are_refused() {
    let scene = Scene::new();
    let before = State::of(&scene.home);
    let long = format!(
        "{}x-long: {}\r\n\r\n",
        head(&scene, 0),
        "a".repeat(HEADERS_MAX)
    );
    let answer = scene.send_bytes(&[long.as_bytes()]);
    assert_eq!(answer.status, 431, "{answer:?}");
    let many = head(&scene, 0) + &"x-many: a\r\n".repeat(200) + "\r\n";
    let answer = scene.send_bytes(&[many.as_bytes()]);
    assert_eq!(answer.status, 431, "{answer:?}");
    // Nothing of it holds up the next one.
    scene.accepted(&scene.exchange());
    assert_eq!(State::of(&scene.home), before, "something has changed");
}

#[test]
fn an_operation_that_does_not_read_is_refused() {
    let scene = Scene::new();
    let before = State::of(&scene.home);
    let host = scene.server.http().trim_start_matches("http://");
    let send = |operation: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST /v1/{operation} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        scene.send_bytes(&[request.as_bytes()])
    };
    for (operation, body, status, code) in [
        ("authorize", "garbage", 400, "operation_input_malformed"),
        ("authorize", "{}", 400, "operation_input_malformed"),
        ("frobnicate", "{}", 404, "operation_unknown"),
        (
            "create-role",
            "{\"name\":\"reader\"}",
            403,
            "credentials_needed",
        ),
    ] {
        let answer = send(operation, body);
        assert_eq!(answer.status, status, "{operation} {body}: {answer:?}");
        assert_eq!(
            answer.body["error"]["code"], code,
            "{operation} {body}: {answer:?}"
        );
    }
    assert_eq!(State::of(&scene.home), before, "something has changed");
}

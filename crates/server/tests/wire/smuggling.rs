//! Requests that two readers could read differently, and bytes that are no request.

use crate::client::{Raw, Reply};
use crate::world::World;

/// What comes back for raw bytes, until the server hangs up or waits.
fn answers(world: &World, bytes: &str) -> (Vec<Reply>, bool) {
    let mut raw = Raw::plain(&world.plain());
    let _ = raw.try_write(bytes.as_bytes());
    let mut replies = Vec::new();
    while let Ok(reply) = raw.try_read() {
        let last = reply.header("connection") == "close";
        replies.push(reply);
        if last {
            break;
        }
    }
    let ended = raw.ended();
    (replies, ended)
}

/// The hidden request behind an ambiguous one is never answered, and the connection ends. On every dialect that is
/// posted to: one that read the request answers in its own way.
fn check(headers: &str, body: &str, statuses: &[u16]) {
    let world = World::within(crate::world::short());
    check_at(&world, "/sessions", headers, body, statuses);
    // What an exchange without a signature is answered, is no parameter for STS, and no action for a proxy.
    let statuses: Vec<u16> = statuses.iter().map(|_| 400).collect();
    for path in ["/", "/v1/authorize", "/v1/authorize/proxy"] {
        check_at(&world, path, headers, body, &statuses);
    }
}

fn check_at(world: &World, path: &str, headers: &str, body: &str, statuses: &[u16]) {
    let hidden = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let bytes = format!("POST {path} HTTP/1.1\r\n{headers}\r\n{body}{hidden}");
    let (replies, ended) = answers(world, &bytes);
    let seen: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(seen, statuses, "{bytes:?}");
    assert!(ended, "{bytes:?}");
    assert!(
        replies.iter().all(|reply| reply.text() != "ok\n"),
        "{bytes:?}"
    );
}

#[test]
fn a_length_and_a_coding_together_never_reach_a_second_request() {
    let chunks = "0\r\n\r\n";
    // The coding counts, and the connection ends after the one answer.
    check(
        "host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
        chunks,
        &[403],
    );
    check(
        "host: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        chunks,
        &[403],
    );
}

#[test]
fn two_lengths_are_refused() {
    check(
        "host: a\r\ncontent-length: 0\r\ncontent-length: 5\r\n",
        "",
        &[400],
    );
    check("host: a\r\ncontent-length: 5, 5\r\n", "", &[400]);
    check("host: a\r\ncontent-length: +5\r\n", "", &[400]);
    check("host: a\r\ncontent-length: -1\r\n", "", &[400]);
}

#[test]
fn codings_that_are_not_chunked_alone_are_refused() {
    check(
        "host: a\r\ntransfer-encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
        &[400],
    );
    check(
        "host: a\r\ntransfer-encoding: chunked, gzip\r\n",
        "0\r\n\r\n",
        &[400],
    );
    check(
        "host: a\r\ntransfer-encoding: xchunked\r\n",
        "0\r\n\r\n",
        &[400],
    );
    check(
        "host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "0\r\n\r\n",
        &[400],
    );
}

#[test]
fn a_request_names_one_host() {
    check("", "", &[400]);
    check("host: a\r\nhost: a\r\n", "", &[400]);
}

#[test]
fn folded_and_broken_headers_are_refused() {
    check("host: a\r\nx-a: b\r\n  c\r\n", "", &[400]);
    check("host: a\r\nx a: b\r\n", "", &[400]);
    check("host : a\r\n", "", &[400]);
    check("host: a\r\nx-a: \0\r\n", "", &[400]);
}

#[test]
fn a_bare_line_feed_ends_a_line_and_hides_nothing() {
    // RFC 9112 §2.2 lets a recipient take it for the end of a line. Then what stands behind is a header, and counts.
    check("host: a\nhost: b\r\n", "", &[400]);
    check(
        "host: a\r\ncontent-length: 0\ncontent-length: 5\r\n",
        "",
        &[400],
    );
    check(
        "host: a\r\nx-a: b\ntransfer-encoding: gzip\r\n",
        "0\r\n\r\n",
        &[400],
    );
    check(
        "host: a\r\nx-a: b\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "0\r\n\r\n",
        &[403],
    );
    // A bare carriage return is none.
    check(
        "host: a\r\nx-a: b\rtransfer-encoding: chunked\r\n",
        "",
        &[400],
    );
}

#[test]
fn broken_chunks_are_refused() {
    check(
        "host: a\r\ntransfer-encoding: chunked\r\n",
        "zz\r\n",
        &[400],
    );
    check(
        "host: a\r\ntransfer-encoding: chunked\r\n",
        "ffffffffffffffffff\r\n",
        &[400],
    );
}

#[test]
fn garbage_costs_the_connection_and_nothing_else() {
    let world = World::within(crate::world::short());
    for garbage in [
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1 \r\nhost: a b\r\nx\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame of any kind at all",
    ] {
        let mut raw = Raw::plain(&world.plain());
        let _ = raw.try_write(garbage.as_bytes());
        while raw.try_read().is_ok() {}
        assert!(raw.ended(), "{garbage:?}");
    }
    assert_eq!(crate::client::get(&world.plain(), "/healthz").status, 200);
}

#[test]
fn target_and_host_must_name_one_server() {
    let world = World::new();
    let mut raw = Raw::plain(&world.plain());
    raw.write(b"GET http://a/healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(raw.read().status, 200);
    raw.write(b"GET http://a/healthz HTTP/1.1\r\nhost: b\r\n\r\n");
    assert_eq!(raw.read().status, 400);
    assert!(raw.ended());
}

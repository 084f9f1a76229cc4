//! Proxies ask: as nginx does, with the original request in headers, and as Envoy does, with it behind our path.

use bowline_service::{SessionCredentials, WireRequest};

use crate::client::{Raw, Reply, bytes_of, send};
use crate::world::{World, post};

const BACKEND: &str = "s3.example:9000";

/// A request to the service behind the proxy, signed for S3.
fn signed(
    world: &World,
    credentials: &SessionCredentials,
    method: &str,
    target: &str,
) -> WireRequest {
    let mut request = post(target, BACKEND, "");
    request.method = method.into();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let hash = ("x-amz-content-sha256".into(), empty.into());
    request.headers.push(hash);
    world.signed(request, credentials, "s3")
}

/// What nginx makes of it.
fn by_nginx(original: &WireRequest) -> WireRequest {
    let mut headers = original.headers.clone();
    headers.push(("x-original-method".into(), original.method.clone()));
    headers.push(("x-original-uri".into(), original.target.clone()));
    WireRequest {
        method: "GET".into(),
        target: "/v1/authorize/proxy/s3".into(),
        headers,
        body: Vec::new(),
    }
}

/// What Envoy makes of it.
fn by_envoy(original: &WireRequest) -> WireRequest {
    let mut asked = original.clone();
    asked.target = format!("/v1/authorize/proxy/s3{}", original.target);
    asked
}

fn check(reply: &Reply, status: u16, reason: &str) {
    assert_eq!(
        (reply.status, reply.header("x-auth-reason")),
        (status, reason),
        "{reply:?}"
    );
    assert_eq!(
        reply.header("x-auth-decision-id"),
        reply.header("x-amzn-requestid")
    );
    let named = !reply.header("x-auth-principal").is_empty();
    assert_eq!(named, status == 200, "{reply:?}");
}

#[test]
fn both_proxies_are_told_who_may_go_on() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let credentials = world.exchange(&holder, "reader");
    for form in [by_nginx, by_envoy] {
        let ask = |method, target| {
            send(
                &world.plain(),
                &form(&signed(&world, &credentials, method, target)),
            )
        };
        let allowed = ask("GET", "/data/report.csv?versionId=1");
        check(&allowed, 403, "implicit-deny");
        let allowed = ask("GET", "/data/a%20b/report.csv");
        check(&allowed, 200, "allow");
        let arn = format!(
            "arn:aws:sts::000000000000:assumed-role/reader/{}",
            holder.issued.serial
        );
        assert_eq!(allowed.header("x-auth-principal"), arn);
        assert_eq!(allowed.header("x-auth-session").len(), 32);
        assert!(
            allowed.header("x-auth-source-identity").contains("web-1"),
            "{allowed:?}"
        );
        assert_eq!(allowed.header("x-auth-payload"), "verified");
        check(&ask("HEAD", "/data/report.csv"), 200, "allow");
        check(&ask("PUT", "/data/report.csv"), 403, "implicit-deny");
        check(&ask("GET", "/other/report.csv"), 403, "implicit-deny");
    }
    world.revoke("web-1");
    let original = signed(&world, &credentials, "GET", "/data/report.csv");
    for form in [by_nginx, by_envoy] {
        let refused = send(&world.plain(), &form(&original));
        check(&refused, 401, "session-ended-by-revocation");
    }
}

#[test]
fn a_changed_request_and_an_unsigned_one_are_not_authenticated() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let mut original = signed(&world, &credentials, "GET", "/data/report.csv");
    original.target = "/data/other.csv".into();
    check(
        &send(&world.plain(), &by_nginx(&original)),
        401,
        "signature-mismatch",
    );
    original.headers.retain(|(name, _)| name == "host");
    check(
        &send(&world.plain(), &by_envoy(&original)),
        401,
        "missing-authentication",
    );
}

#[test]
fn a_body_that_nobody_hashed_is_not_taken_for_granted() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    // All but S3 leave the hash of the body out of the headers.
    let original = post("/reports", BACKEND, "body");
    let original = world.signed(original, &credentials, "execute-api");
    let named = |mut asked: WireRequest| {
        asked.target = asked.target.replace("/s3", "/named");
        for (name, value) in [
            ("x-bowline-action", "execute-api:Invoke"),
            (
                "x-bowline-resource",
                "arn:aws:execute-api:us-east-1:000000000000:reports",
            ),
        ] {
            asked.headers.push((name.into(), value.into()));
        }
        asked
    };
    let mut asked = named(by_nginx(&original));
    asked
        .headers
        .push(("x-original-content-length".into(), "4".into()));
    check(&send(&world.plain(), &asked), 401, "payload-hash-required");
    // Envoy can send the body along.
    let asked = named(by_envoy(&original));
    check(&send(&world.plain(), &asked), 403, "implicit-deny");
    let mut changed = asked.clone();
    changed.body = b"other".to_vec();
    check(&send(&world.plain(), &changed), 401, "signature-mismatch");
    let mut cut = asked;
    cut.headers
        .push(("x-envoy-auth-partial-body".into(), "true".into()));
    check(&send(&world.plain(), &cut), 401, "payload-hash-required");
}

#[test]
fn a_proxy_may_name_action_and_resource_and_its_client_may_not() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let mut original = post("/reports/7", BACKEND, "");
    original.method = "GET".into();
    let original = world.signed(original, &credentials, "s3");
    let named = |target: &str, action: &str| {
        let mut asked = by_nginx(&original);
        asked.target = target.into();
        for (name, value) in [
            ("x-bowline-action", action),
            ("x-bowline-resource", "arn:aws:s3:::data/7"),
        ] {
            asked.headers.push((name.into(), value.into()));
        }
        send(&world.plain(), &asked)
    };
    check(
        &named("/v1/authorize/proxy/named", "s3:GetObject"),
        200,
        "allow",
    );
    check(
        &named("/v1/authorize/proxy/named", "s3:PutObject"),
        403,
        "implicit-deny",
    );
    check(
        &named("/v1/authorize/proxy/named", "dynamodb:GetItem"),
        401,
        "service-not-allowed",
    );
    check(
        &named("/v1/authorize/proxy/s3", "s3:GetObject"),
        400,
        "proxy-header-malformed",
    );
    check(
        &named("/v1/authorize/proxy", "s3:GetObject"),
        400,
        "proxy-header-malformed",
    );
}

#[test]
fn what_the_proxy_leaves_out_is_told() {
    let world = World::new();
    let asked = send(&world.plain(), &post("/v1/authorize/proxy", BACKEND, ""));
    check(&asked, 400, "proxy-header-missing");
    assert!(asked.text().contains("x-original-method"), "{asked:?}");
}

/// What nginx makes of it, with one more line that its client wrote.
fn by_nginx_with(original: &WireRequest, line: &[u8]) -> Vec<u8> {
    let bytes = bytes_of(&by_nginx(original));
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    [&bytes[..end], b"\r\n", line, &bytes[end..]].concat()
}

#[test]
fn no_header_that_a_server_behind_reads_is_overlooked() {
    let world = World::new();
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let original = signed(&world, &credentials, "GET", "/data/report.csv");
    for (line, status) in [
        (&b"x-other: 1"[..], 200),
        (b"x-other: \xa0", 200),
        (b"x-amz-copy-source: /secret/key", 401),
        // A server behind that reads Latin-1 trims this to the line above.
        (b"x-amz-copy-source: /secret/key\xa0", 400),
        // One with variables for headers (RFC 3875) reads these two as the line above, and as one of ours.
        (b"x_amz_copy_source: /secret/key", 400),
        (b"X_Auth-Principal: arn:aws:iam::1:root", 400),
    ] {
        let mut raw = Raw::plain(&world.plain());
        let reply = raw.write(&by_nginx_with(&original, line)).read();
        assert_eq!(reply.status, status, "{}: {reply:?}", line.escape_ascii());
    }
}

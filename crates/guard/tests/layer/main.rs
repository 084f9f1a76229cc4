//! A guard before a service: what comes through, what does not, and what becomes of bodies on the way.

#[cfg(feature = "s3s")]
mod storage;
mod world;

use std::sync::Arc;
use std::time::Duration;

use bowline_guard::{Allowed, Endpoint, Guard, GuardLayer, Remote};
use http::StatusCode;
use world::{Answer, World, chunked, send};

/// Every way to the answer that needs no server.
fn layer(world: &World) -> GuardLayer {
    GuardLayer::s3(
        Arc::new(Guard::in_process(world.service.clone())),
        Vec::new(),
    )
}

#[tokio::test]
async fn what_is_allowed_comes_through_with_who_it_is_and_without_its_signature() {
    let world = World::new();
    let request = world.signed("PUT", "/data/batch/a?x-id=PutObject", &[], b"words");
    let answer = send(&layer(&world), request).await;
    let seen = answer.seen.expect("the service was asked");
    assert_eq!(seen.body, b"words");
    assert_eq!(seen.uri, "/data/batch/a?x-id=PutObject");
    for gone in [
        "authorization",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
    let Allowed {
        who,
        operation,
        key,
        ..
    } = seen.allowed.expect("it came through the layer");
    assert!(who.principal_arn.contains(":assumed-role/batch/"));
    assert_eq!(
        (operation.as_deref(), key.as_deref()),
        (Some("PutObject"), Some("batch/a"))
    );
}

#[tokio::test]
async fn what_is_refused_is_answered_as_s3_does_and_goes_no_further() {
    let world = World::new();
    let layer = layer(&world);
    let check = async |request, status: u16, says: &str| {
        let Answer {
            status: found,
            text,
            seen,
        } = send(&layer, request).await;
        assert_eq!(found.as_u16(), status, "{text}");
        assert!(text.contains(says), "{text}");
        assert!(seen.is_none());
    };
    check(
        world.signed("PUT", "/data/other/a", &[], b""),
        403,
        "<Code>AccessDenied</Code>",
    )
    .await;
    check(
        world.signed("PUT", "/data/batch/a?unknown", &[], b""),
        501,
        "<Code>NotImplemented</Code>",
    )
    .await;
    let mut tampered = world.signed("PUT", "/data/batch/a", &[], b"");
    *tampered.uri_mut() = "/data/batch/b".parse().unwrap();
    check(tampered, 403, "<Code>SignatureDoesNotMatch</Code>").await;
    let bare = http::Request::get("/data/batch/a").header("host", "s3.test");
    check(
        bare.body(world::body(b"")).unwrap(),
        403,
        "<Code>AccessDenied</Code>",
    )
    .await;
    let head = send(&layer, world.signed("HEAD", "/data/other/a", &[], b"")).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (403, ""));
}

#[tokio::test]
async fn a_body_that_is_not_the_signed_one_never_arrives_whole() {
    let world = World::new();
    let layer = layer(&world);
    for (signed, sent) in [
        (&b"words"[..], &b"wordz"[..]),
        (b"words", b"word"),
        (b"words", b"wordss"),
        (b"words", b""),
        (b"", b"words"),
    ] {
        let mut request = world.signed("PUT", "/data/batch/a", &[], signed);
        *request.body_mut() = world::body(sent);
        let answer = send(&layer, request).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{sent:?}");
        assert!(
            answer.text.contains("XAmzContentSHA256Mismatch"),
            "{}",
            answer.text
        );
        let seen = answer.seen.map(|seen| seen.body).unwrap_or_default();
        assert!(
            seen.len() < sent.len() || sent.is_empty(),
            "{seen:?} of {sent:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_of_signed_chunks_arrives_decoded_and_a_changed_one_does_not() {
    let world = World::new();
    let layer = layer(&world);
    let whole = send(
        &layer,
        chunked(&world, &[b"first ", b"second"], |body| body),
    )
    .await;
    let seen = whole.seen.expect("the service was asked");
    assert_eq!(seen.body, b"first second");
    assert_eq!(seen.headers["content-length"], "12");
    assert_eq!(seen.headers["content-encoding"], "gzip");
    assert!(!seen.headers.contains_key("x-amz-decoded-content-length"));

    let changed = |mut body: Vec<u8>| {
        let at = body.windows(6).position(|part| part == b"second").unwrap();
        body[at] = b'S';
        body
    };
    let refused = send(&layer, chunked(&world, &[b"first ", b"second"], changed)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text.contains("SignatureDoesNotMatch"),
        "{}",
        refused.text
    );
    assert!(refused.seen.is_none_or(|seen| seen.body.len() < 12));
    let cut = |mut body: Vec<u8>| {
        body.truncate(body.len() - 90);
        body
    };
    let refused = send(&layer, chunked(&world, &[b"first ", b"second"], cut)).await;
    assert!(refused.text.contains("IncompleteBody"), "{}", refused.text);
}

#[tokio::test]
async fn an_unsigned_body_needs_tls_or_a_word() {
    let world = World::new();
    let unsigned = || world.presigned("PUT", "/data/batch/a", b"words");
    let clear = send(&layer(&world), unsigned()).await;
    assert_eq!(clear.status, StatusCode::BAD_REQUEST);
    assert!(
        clear.text.contains("did not come over TLS"),
        "{}",
        clear.text
    );
    let told = send(&layer(&world).with_unsigned_bodies(), unsigned()).await;
    assert_eq!(told.seen.expect("it was let through").body, b"words");
    let mut over_tls = unsigned();
    over_tls.extensions_mut().insert(bowline_guard::Peer {
        tls: true,
        ..bowline_guard::Peer::default()
    });
    let seen = send(&layer(&world), over_tls)
        .await
        .seen
        .expect("it was let through");
    assert_eq!(
        (seen.body.as_slice(), seen.uri.as_str()),
        (&b"words"[..], "/data/batch/a")
    );
    // A download has no body to speak of.
    let read = send(&layer(&world), world.presigned("GET", "/data/batch/a", b"")).await;
    assert!(read.seen.is_some());
}

#[tokio::test]
async fn a_list_of_keys_is_decided_key_by_key_and_arrives() {
    let world = World::new();
    let layer = layer(&world);
    let list = |key: &str| {
        let body = format!("<Delete><Object><Key>{key}</Key></Object></Delete>");
        world.signed("POST", "/data?delete", &[], body.as_bytes())
    };
    let seen = send(&layer, list("batch/a"))
        .await
        .seen
        .expect("it is allowed");
    assert!(seen.body.starts_with(b"<Delete>"));
    let refused = send(&layer, list("other/a")).await;
    assert!(
        refused.text.contains("arn:aws:s3:::data/other/a"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn a_target_of_another_host_than_the_signed_one_is_refused() {
    let world = World::new();
    let guard = Arc::new(Guard::in_process(world.service.clone()));
    // Decided for the bucket data, and to a server that goes by the target the bucket secret.
    let layer = GuardLayer::s3(guard, vec!["s3.test".into()]);
    let mut request = world.signed("GET", "/data/batch/a", &[], b"");
    *request.uri_mut() = "http://secret.s3.test/data/batch/a".parse().unwrap();
    let refused = send(&layer, request).await;
    assert!(refused.seen.is_none());
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    // The same host in both is no other one, and one alone will do.
    let mut request = world.signed("GET", "/data/batch/a", &[], b"");
    *request.uri_mut() = "http://s3.test/data/batch/a".parse().unwrap();
    assert!(send(&layer, request).await.seen.is_some());
    let mut request = world.signed("GET", "/data/batch/a", &[], b"");
    *request.uri_mut() = "http://s3.test/data/batch/a".parse().unwrap();
    request.headers_mut().remove("host");
    assert!(send(&layer, request).await.seen.is_some());
}

#[tokio::test]
async fn tags_are_decided_by_the_body_that_arrives() {
    let world = World::new();
    let body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let tagged = world.signed("PUT", "/data/batch/a?tagging", &[], body);
    let seen = send(&layer(&world), tagged).await.seen;
    assert_eq!(seen.expect("it is allowed").body, body);
    let unread = world.signed("PUT", "/data/batch/a?tagging", &[], b"<Tagging/>");
    let refused = send(&layer(&world), unread).await;
    assert!(refused.text.contains("MalformedXML"), "{}", refused.text);
}

#[tokio::test]
async fn another_service_says_itself_what_a_request_is() {
    let world = World::new();
    let guard = Arc::new(Guard::in_process(world.service.clone()));
    let layer = GuardLayer::named(guard, |parts| match parts.uri.path() {
        "/jobs" => Some(("jobs:Start".into(), "arn:aws:jobs:::job/one".into())),
        "/payroll" => Some(("jobs:Pay".into(), "arn:aws:jobs:::job/one".into())),
        _ => None,
    });
    let started = send(&layer, world.signed_for("jobs", "POST", "/jobs", b"{}")).await;
    let seen = started.seen.expect("it is allowed");
    assert_eq!(seen.body, b"{}");
    assert!(seen.headers.contains_key("authorization"));
    for (path, says) in [("/payroll", "jobs:Pay"), ("/else", "none that is known")] {
        let refused = send(&layer, world.signed_for("jobs", "POST", path, b"{}")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(
            refused.text.starts_with("{\"__type\":\"AccessDenied\""),
            "{}",
            refused.text
        );
        assert!(refused.text.contains(says), "{}", refused.text);
    }
    let mut changed = world.signed_for("jobs", "POST", "/jobs", b"{}");
    *changed.body_mut() = world::body(b"{\"all\":1}");
    assert!(
        send(&layer, changed)
            .await
            .text
            .contains("SignatureDoesNotMatch")
    );
}

#[test]
fn a_server_is_asked_and_its_answers_are_the_same() {
    // The server has a runtime of its own, which begins and ends outside of ours.
    let world = World::served();
    let ours = tokio::runtime::Runtime::new().expect("a runtime can be made");
    ours.block_on(ask_the_server(&world));
}

async fn ask_the_server(world: &World) {
    let endpoint = || Endpoint::parse(&world.url(), None).unwrap();
    let asking = Guard::asking(Remote::new(endpoint()));
    let identity = world.identity("storage");
    let keys = Guard::with_keys(
        Remote::new(endpoint()).with_identity(identity),
        Duration::from_secs(30),
    );
    for guard in [asking, keys] {
        let layer = GuardLayer::s3(Arc::new(guard), Vec::new());
        for _ in 0..2 {
            let answer = send(&layer, world.signed("PUT", "/data/batch/a", &[], b"words")).await;
            assert_eq!(answer.seen.expect(&answer.text).body, b"words");
        }
        let refused = send(&layer, world.signed("PUT", "/data/other/a", &[], b"")).await;
        assert!(
            refused.text.contains("<Code>AccessDenied</Code>"),
            "{}",
            refused.text
        );
        let mut tampered = world.signed("PUT", "/data/batch/a", &[], b"");
        *tampered.uri_mut() = "/data/batch/b".parse().unwrap();
        let refused = send(&layer, tampered).await;
        assert!(
            refused.text.contains("SignatureDoesNotMatch"),
            "{}",
            refused.text
        );
    }
    // Chunks need a key, which who only asks has not.
    let stream = || chunked(world, &[b"words"], |body| body);
    let layer = GuardLayer::s3(Arc::new(Guard::asking(Remote::new(endpoint()))), Vec::new());
    let refused = send(&layer, stream()).await;
    assert_eq!(
        refused.status,
        StatusCode::NOT_IMPLEMENTED,
        "{}",
        refused.text
    );
    // A key that is not kept is good for the request that it was got for.
    for (name, kept) in [("storage-2", 30), ("storage-3", 0)] {
        let remote = Remote::new(endpoint()).with_identity(world.identity(name));
        let guard = Guard::with_keys(remote, Duration::from_secs(kept));
        let layer = GuardLayer::s3(Arc::new(guard), Vec::new());
        let answer = send(&layer, stream()).await;
        assert_eq!(answer.seen.expect(&answer.text).body, b"words");
    }
}

#[tokio::test]
async fn where_nobody_answers_nothing_goes_through() {
    let world = World::new();
    // Nobody listens there: ports below 1024 are root's, and nothing is served on the first.
    let endpoint = || Endpoint::parse("http://127.0.0.1:1", None).unwrap();
    for guard in [
        Guard::asking(Remote::new(endpoint())),
        Guard::with_keys(Remote::new(endpoint()), Duration::from_secs(30)),
    ] {
        let layer = GuardLayer::s3(Arc::new(guard), Vec::new());
        let answer = send(&layer, world.signed("PUT", "/data/batch/a", &[], b"")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.seen.is_none());
    }
}

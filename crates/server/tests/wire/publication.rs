//! What everybody may fetch.

use bowline_service::{Caller, Operation, ShowRevocationList};
use bowline_x509::{Certificate, CertificateList, SerialNumber, pem};

use crate::client::{get, request};
use crate::world::World;

fn crl(world: &World) -> CertificateList {
    let reply = get(&world.plain(), "/crl/issuing.crl");
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "application/pkix-crl")
    );
    assert_eq!(reply.header("cache-control"), "max-age=1");
    CertificateList::from_der(&reply.body).unwrap()
}

#[test]
fn roots_and_certificates_are_given_to_everybody() {
    let world = World::new();
    let roots = get(&world.plain(), "/roots.pem");
    assert_eq!(
        (roots.status, roots.header("content-type")),
        (200, "application/x-pem-file")
    );
    let roots = pem::certificates(&roots.body).unwrap();
    assert_eq!(roots.len(), 1);
    assert_eq!(roots[0].der(), world.root());

    for authority in &world.made.authorities {
        let reply = get(&world.plain(), &format!("/ca/{}.crt", authority.id));
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, "application/pkix-cert")
        );
        assert_eq!(
            Certificate::from_der(&reply.body).unwrap().der(),
            authority.certificate
        );
    }
}

#[test]
fn a_revocation_shows_on_the_next_fetch() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let serial: SerialNumber = format!("0x{}", holder.issued.serial).parse().unwrap();
    let before = crl(&world);
    assert!(before.revoked(&serial).is_none());
    world.revoke("web-1");
    let after = crl(&world);
    assert!(after.revoked(&serial).is_some());
    assert!(after.number() > before.number());
    let issuing = world
        .made
        .authorities
        .iter()
        .find(|authority| authority.id == "issuing")
        .unwrap();
    let issuing = Certificate::from_der(&issuing.certificate).unwrap();
    after
        .verify_signed_by(issuing.public_key().unwrap())
        .unwrap();
}

#[test]
fn fetching_does_not_make_us_sign() {
    let world = World::new();
    let first = crl(&world).number();
    let address = world.plain();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(get(&address, "/crl/issuing.crl").status, 200);
                }
            });
        }
    });
    assert_eq!(crl(&world).number(), first);
    // Asking for a new signature takes a permission.
    let fresh = ShowRevocationList {
        authority: "issuing".into(),
        fresh: true,
    };
    let refused = fresh
        .run(&world.service, &Caller::Nobody { source: None })
        .unwrap_err();
    assert_eq!(refused.code(), "credentials_needed");
}

#[test]
fn health_and_readiness_are_told_apart() {
    let world = World::new();
    assert_eq!(get(&world.plain(), "/healthz").text(), "ok\n");
    assert_eq!(get(&world.plain(), "/readyz").text(), "ready\n");
    world.stage.reads_panic(true);
    let reply = get(&world.plain(), "/readyz");
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert_eq!(get(&world.plain(), "/healthz").status, 200);
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    let world = World::new();
    for target in [
        "/roots.pem",
        "/ca/issuing.crt",
        "/crl/issuing.crl",
        "/healthz",
    ] {
        let (whole, head) = (
            get(&world.plain(), target),
            request(&world.plain(), "HEAD", target),
        );
        assert_eq!(head.status, 200, "{target}");
        assert_eq!(
            head.header("content-length"),
            whole.body.len().to_string(),
            "{target}"
        );
        assert_eq!(head.header("content-type"), whole.header("content-type"));
    }
    let over_http2 = crate::client::send_http2(
        &world.tls(),
        Some(&world.root()),
        &[bowline_service::WireRequest {
            method: "HEAD".into(),
            target: "/roots.pem".into(),
            headers: Vec::new(),
            body: Vec::new(),
        }],
    );
    assert_eq!((over_http2[0].status, over_http2[0].body.len()), (200, 0));
    assert_ne!(over_http2[0].header("content-length"), "0");
}

#[test]
fn what_is_not_there_is_not_found() {
    let world = World::new();
    for target in [
        "/crl/none.crl",
        "/ca/none.crt",
        "/ca/..crt",
        "/crl/issuing.crt",
        "/v1/list-roles",
        "/x%0ay",
        "/sessions",
    ] {
        let reply = get(&world.plain(), target);
        assert_eq!(reply.status, 404, "{target}: {reply:?}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
}

#[test]
fn no_spelling_of_a_path_but_one_is_served() {
    let world = World::new();
    for target in [
        "/sessions/",
        "//sessions",
        "/./sessions",
        "/%73essions",
        "/v1/../sessions",
        "/SESSIONS",
    ] {
        assert_eq!(
            request(&world.plain(), "POST", target).status,
            404,
            "{target}"
        );
    }
    assert_eq!(request(&world.plain(), "POST", "%2fsessions").status, 400);
}

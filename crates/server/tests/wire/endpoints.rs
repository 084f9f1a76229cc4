//! The client's half against the real other half.

use std::io::{Read, Write};
use std::net::TcpListener;

use bowline_server::{Endpoint, TransportError, Trust, operations, sessions};
use bowline_service::{
    CreateRole, Kind, ListAuthorities, ListCertificates, ListRoles, PublicError, ShowRole,
};
use bowline_x509::Certificate;

use crate::world::{ByCredentials, World, short};

fn refusal<T: std::fmt::Debug>(result: Result<T, TransportError>) -> PublicError {
    match result {
        Err(TransportError::Refused(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_control_socket_runs_operations_as_the_operator() {
    let world = World::new();
    let endpoint = Endpoint::ControlSocket(world.socket());
    let roles = operations::call(&endpoint, None, &ListRoles {}).unwrap();
    assert!(roles.iter().any(|role| role.name == "reader"));
    let none = ShowRole {
        role: "none".into(),
    };
    let error = refusal(operations::call(&endpoint, None, &none));
    assert_eq!((error.kind, &*error.code), (Kind::NotFound, "role_unknown"));
}

#[test]
fn over_tls_a_signature_says_who_asks() {
    let world = World::new();
    let operator = world.issue_as("boss", "administrator", "operator");
    let credentials = world.exchange(&operator, "administrator");
    let signing = ByCredentials(&world, credentials);
    let role = CreateRole {
        name: "remote".into(),
        allow: vec!["s3:*".into()],
        on: vec!["*".into()],
        ..CreateRole::default()
    };
    let made = operations::call(&world.endpoint(), Some(&signing), &role).unwrap();
    assert_eq!(made.name, "remote");
    let error = refusal(operations::call(&world.endpoint(), None, &ListRoles {}));
    assert_eq!(
        (error.kind, &*error.code),
        (Kind::Denied, "credentials_needed")
    );
}

#[test]
fn a_fingerprint_is_enough_to_find_the_root_and_a_wrong_one_finds_nobody() {
    let world = World::new();
    let root = Certificate::from_der(&world.root()).unwrap();
    let url = format!("https://{}", world.tls());
    let with = |fingerprint| Endpoint::parse(&url, Some(Trust::Fingerprint(fingerprint))).unwrap();
    let call = |endpoint: &Endpoint| operations::call(endpoint, None, &ListAuthorities {});
    assert_eq!(
        call(&with(root.fingerprint())).unwrap().len(),
        world.made.authorities.len()
    );

    let mut wrong = root.fingerprint();
    wrong[0] ^= 1;
    assert!(matches!(
        call(&with(wrong)),
        Err(TransportError::Fingerprint { .. })
    ));
    // The leaf's own fingerprint is of no root.
    let issuing = Certificate::from_der(&world.made.authorities[1].certificate).unwrap();
    assert!(matches!(
        call(&with(issuing.fingerprint())),
        Err(TransportError::Fingerprint { .. })
    ));
}

/// Somebody in the middle who hands out the true root and cannot speak for it.
#[test]
fn the_true_root_from_the_wrong_server_is_not_enough() {
    let (world, other) = (World::new(), World::new());
    let root = Certificate::from_der(&world.root()).unwrap();
    let url = format!("https://{}", other.tls());
    for trust in [
        Trust::Roots(vec![world.root()]),
        Trust::Roots(Vec::new()),
        Trust::Fingerprint(root.fingerprint()),
    ] {
        let endpoint = Endpoint::parse(&url, Some(trust.clone())).unwrap();
        let result = operations::call(&endpoint, None, &ListAuthorities {});
        match (&trust, result) {
            (Trust::Roots(_), Err(TransportError::Connect { .. })) => {}
            (Trust::Fingerprint(_), Err(TransportError::Fingerprint { .. })) => {}
            (_, other) => panic!("{trust:?}: {other:?}"),
        }
    }
    let nobody = Endpoint::parse(&url, None).unwrap();
    let error = operations::call(&nobody, None, &ListAuthorities {}).unwrap_err();
    assert!(error.to_string().contains("--root"), "{error}");
}

#[test]
fn a_session_is_created_and_its_refusal_is_what_it_would_be_at_home() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let endpoint = world.endpoint();
    let request = || {
        world.session_request(
            &holder,
            &world.ask(&holder, "reader"),
            &endpoint.authority(),
        )
    };
    let session = sessions::create_session(&endpoint, &request()).unwrap();
    assert_eq!(session.source_identity, "CN=web-1");
    assert_eq!(session.role_arn, crate::world::role_arn("reader"));
    world.revoke("web-1");
    let error = refusal(sessions::create_session(&endpoint, &request()));
    assert_eq!(
        (error.kind, &*error.code),
        (Kind::Unauthenticated, "certificate_revoked")
    );
    assert!(
        error.message.starts_with("Certificate revoked"),
        "{}",
        error.message
    );
}

/// A server that answers every request with these bytes.
fn impostor(answer: &'static str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut scratch = [0; 4096];
        let _ = stream.read(&mut scratch);
        let _ = stream.write_all(answer.as_bytes());
    });
    Endpoint::parse(&format!("http://{address}"), None).unwrap()
}

#[test]
fn an_answer_that_is_none_of_ours_is_told_and_quoted() {
    let page = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 11\r\n\r\n<h1>\u{1b}[2J</h";
    let error = operations::call(&impostor(page), None, &ListAuthorities {}).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("status 502") && text.contains("<h1>") && !text.contains('\u{1b}'),
        "{text}"
    );
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"result\":";
    let error = operations::call(&impostor(cut), None, &ListAuthorities {}).unwrap_err();
    assert!(matches!(error, TransportError::Broken { .. }), "{error}");
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let error = operations::call(&impostor(empty), None, &ListAuthorities {}).unwrap_err();
    assert!(matches!(error, TransportError::Answer { .. }), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let mut world = World::within(short());
    let (endpoint, socket) = (world.endpoint(), Endpoint::ControlSocket(world.socket()));
    world.running.take().unwrap().stop();
    for endpoint in [endpoint, socket] {
        let list = ListCertificates::default();
        let error = operations::call(&endpoint, None, &list).unwrap_err();
        assert!(matches!(error, TransportError::Connect { .. }), "{error}");
    }
}

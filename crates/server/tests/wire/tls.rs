//! TLS: a chain that verifies, under the right names, renewed in time; the protocols it agrees on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_server::Limits;
use bowline_service::{Clock, PrivateKey};
use bowline_x509::Certificate;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, SignatureScheme, StreamOwned};

use crate::client::{Raw, handshake, tls_config};
use crate::world::{World, short};

fn leaf(world: &World) -> Certificate {
    let stream = TcpStream::connect(world.tls()).unwrap();
    let stream = handshake(stream, "127.0.0.1", tls_config(&world.root(), &[])).unwrap();
    Certificate::from_der(&stream.conn.peer_certificates().unwrap()[0]).unwrap()
}

#[test]
fn the_chain_verifies_from_the_root_under_the_names_given_and_no_other() {
    let world = World::new();
    let connect = |name: &str, root: &[u8]| {
        let stream = TcpStream::connect(world.tls()).unwrap();
        handshake(stream, name, tls_config(root, &[])).map(|_| ())
    };
    connect("127.0.0.1", &world.root()).unwrap();
    connect("localhost", &world.root()).unwrap();
    assert!(connect("elsewhere.test", &world.root()).is_err());
    assert!(
        connect("localhost", &World::silent().root()).is_err(),
        "another root"
    );
}

#[test]
fn what_is_agreed_on_is_what_is_spoken() {
    let world = World::within(short());
    let agreed = |offered: &[&[u8]]| {
        let stream = TcpStream::connect(world.tls()).unwrap();
        let stream = handshake(stream, "localhost", tls_config(&world.root(), offered)).unwrap();
        (
            stream.conn.alpn_protocol().map(<[u8]>::to_vec),
            Raw::over(stream),
        )
    };
    assert_eq!(agreed(&[b"h2", b"http/1.1"]).0.unwrap(), b"h2");
    assert_eq!(agreed(&[]).0, None);
    let (protocol, mut raw) = agreed(&[b"http/1.1"]);
    assert_eq!(protocol.unwrap(), b"http/1.1");
    raw.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(raw.read().status, 200);
    // Who agreed on HTTP/2 and speaks HTTP/1.1 is not listened to.
    let (_, mut raw) = agreed(&[b"h2"]);
    let _ = raw.try_write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(raw.try_read().is_err());
}

#[test]
fn the_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    // The past, so that what the server shows is good by the client's clock at every step.
    let ago = 120 * 24 * 3600;
    let mut world = World::made(ago);
    let names = ["localhost".to_owned()];
    let sample = world.service.issue_server_certificate(&names).unwrap();
    let validity = Certificate::from_der(&sample.chain[0]).unwrap().validity();
    let backdated = (world.clock.now() - validity.not_before).num_seconds();
    let due_after = (validity.not_after - validity.not_before).num_seconds() * 2 / 3 - backdated;
    world.pass(ago - due_after);
    world.serve(Limits {
        renewal_check: Duration::from_millis(20),
        ..Limits::default()
    });
    let first = leaf(&world);

    world.pass(due_after - 30);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(leaf(&world).serial(), first.serial(), "not before its time");
    world.pass(30);
    let deadline = Instant::now() + Duration::from_secs(5);
    while leaf(&world).serial() == first.serial() {
        assert!(Instant::now() < deadline, "it is never renewed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(leaf(&world).validity().not_after > first.validity().not_after);
}

/// A client that shows a certificate, with whatever key.
fn showing(world: &World, certificates: &[Vec<u8>], key: &PrivateKey) -> ClientConfig {
    let chain = certificates.iter().cloned().map(CertificateDer::from);
    let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    // Not `from_der`: that would compare the key with the certificate, which is what the server has to do.
    let shown = Arc::new(CertifiedKey::new(chain.collect(), key));
    let mut config = tls_config(&world.root(), &[]);
    config.client_auth_cert_resolver = Arc::new(Shows(shown));
    config
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        assert!(hints.is_empty(), "strangers learn nothing of whom we trust");
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether a connection with this configuration is served. TLS 1.3 tells a refused certificate only after the
/// client's part of the handshake.
fn served(world: &World, config: ClientConfig) -> bool {
    let stream = TcpStream::connect(world.tls()).unwrap();
    let Ok(stream) = handshake(stream, "localhost", config) else {
        return false;
    };
    let mut raw = Raw::over(stream);
    raw.try_write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .is_ok()
        && raw.try_read().is_ok_and(|reply| reply.status == 200)
}

#[test]
fn a_shown_certificate_needs_its_key_and_nobody_needs_to_show_one() {
    let world = World::new();
    let (holder, other) = (
        world.issue("web-1", "reader"),
        world.issue("web-2", "reader"),
    );
    assert!(served(&world, tls_config(&world.root(), &[])));
    let certificates = holder.certificates();
    assert!(served(&world, showing(&world, &certificates, &holder.key)));
    assert!(!served(&world, showing(&world, &certificates, &other.key)));
}

#[test]
fn a_shown_certificate_may_be_of_anybody() {
    let world = World::new();
    let stranger = World::silent().issue("web-1", "reader");
    let certificates = stranger.certificates();
    assert!(served(
        &world,
        showing(&world, &certificates, &stranger.key)
    ));
}

#[test]
fn a_shown_chain_has_five_certificates_beside_the_leaf_at_most() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let chain = |count: usize| {
        let mut all = vec![holder.issued.certificate.clone()];
        all.extend((0..count).map(|_| holder.issued.chain[0].clone()));
        showing(&world, &all, &holder.key)
    };
    assert!(served(&world, chain(5)));
    assert!(!served(&world, chain(6)));
}

#[test]
fn no_connection_is_resumed_so_that_each_proves_its_own_key() {
    let world = World::new();
    let holder = world.issue("web-1", "reader");
    let config = Arc::new(showing(&world, &holder.certificates(), &holder.key));
    for _ in 0..3 {
        let mut stream = TcpStream::connect(world.tls()).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(config.clone(), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        let mut stream = StreamOwned::new(connection, stream);
        // Tickets come with the first answer.
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
    }
}

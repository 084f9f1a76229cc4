//! TLS: a chain that verifies, under the right names, renewed in time; the protocols it agrees on.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use bowline_server::Limits;
use bowline_service::Clock;
use bowline_x509::Certificate;

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

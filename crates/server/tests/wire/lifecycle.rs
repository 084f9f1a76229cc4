//! Starting, stopping, and what survives.

use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use bowline_server::ServeError;

use crate::client::{Raw, bytes_of, get, send};
use crate::world::{World, post, short};

#[test]
fn the_control_socket_is_the_owners_and_goes_with_the_server() {
    let mut world = World::new();
    let found = std::fs::symlink_metadata(world.socket()).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    world.running.take().unwrap().stop();
    assert!(!world.socket().exists());
}

#[test]
fn a_left_over_socket_is_replaced_and_nothing_else_is() {
    let mut world = World::silent();
    drop(UnixListener::bind(world.socket()).unwrap());
    assert!(
        UnixStream::connect(world.socket()).is_err(),
        "nobody listens"
    );
    world.serve(short());
    let reply = Raw::unix(&world.socket()).send(&post("/v1/list-roles", "localhost", "{}"));
    assert_eq!(reply.status, 200);
    world.running.take().unwrap().stop();

    std::fs::write(world.socket(), "dear diary").unwrap();
    let refused = bowline_server::serve(world.service.clone(), world.config());
    assert!(matches!(refused, Err(ServeError::Listen { .. })));
    assert_eq!(
        std::fs::read_to_string(world.socket()).unwrap(),
        "dear diary"
    );
}

#[test]
fn an_address_in_use_is_named_and_leaves_nothing_running() {
    let mut world = World::new();
    let mut config = world.config();
    config.control_socket = Some(world.folder.path().join("second.sock"));
    config.plain = world.running.as_ref().unwrap().plain;
    let taken = world.plain();
    match bowline_server::serve(world.service.clone(), config) {
        Err(ServeError::Listen { at, .. }) => assert_eq!(at, taken),
        other => panic!("{:?}", other.err()),
    }
    assert!(!world.folder.path().join("second.sock").exists());
    world.running.take().unwrap().stop();
}

#[test]
fn a_panic_in_an_operation_is_one_callers_500() {
    let world = World::new();
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let request = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    world.stage.reads_panic(true);
    let reply = send(&host, &request);
    assert_eq!(
        (reply.status, reply.header("x-amzn-errortype")),
        (500, "InternalServerException")
    );
    assert!(!reply.text().contains("the test wants"), "{reply:?}");
    assert_eq!(get(&host, "/healthz").status, 200, "the server goes on");
    world.stage.reads_panic(false);
    assert_eq!(send(&host, &request).status, 201);
}

#[test]
fn a_stop_lets_requests_in_flight_finish_and_takes_no_new_ones() {
    let mut world = World::within(short());
    let holder = world.issue("web-1", "reader");
    let (plain, tls, root) = (world.plain(), world.tls(), world.root());
    let ask = world.ask(&holder, "reader");
    let mut over_plain = Raw::plain(&plain);
    let mut over_tls = Raw::tls(&tls, &root);
    let mut idle = Raw::plain(&plain);
    idle.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(idle.read().status, 200);
    let mut silent = Raw::plain(&plain);
    world.stage.hold_writers();
    over_plain.write(&bytes_of(&world.session_request(&holder, &ask, &plain)));
    over_tls.write(&bytes_of(&world.session_request(&holder, &ask, &tls)));
    world.stage.wait_for_writers(2);

    let running = world.running.take().unwrap();
    let begun = Instant::now();
    let stopping = std::thread::spawn(move || running.stop());
    let deadline = begun + Duration::from_secs(5);
    while TcpStream::connect(&plain).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(idle.ended() && silent.ended());
    assert!(!stopping.is_finished(), "two requests are in flight");
    world.stage.release_writers();
    for raw in [&mut over_plain, &mut over_tls] {
        let reply = raw.read();
        assert_eq!(reply.status, 201);
        assert_eq!(reply.header("connection"), "close");
    }
    stopping.join().unwrap();
    assert!(
        begun.elapsed() < short().drain_time,
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let mut world = World::within(short());
    let holder = world.issue("web-1", "reader");
    let plain = world.plain();
    world.stage.hold_writers();
    let mut stuck = Raw::plain(&plain);
    stuck.write(&bytes_of(&world.session_request(
        &holder,
        &world.ask(&holder, "reader"),
        &plain,
    )));
    world.stage.wait_for_writers(1);
    let half_said = TcpStream::connect(world.tls()).unwrap();
    let begun = Instant::now();
    world.running.take().unwrap().stop();
    assert!(
        begun.elapsed() < short().drain_time + Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(stuck.ended());
    drop(half_said);
    world.stage.release_writers();
}

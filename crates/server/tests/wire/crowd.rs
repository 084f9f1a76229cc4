//! A thousand clients who are slow on purpose, and a thousand who say nothing: the others do not notice.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bowline_server::Limits;
use bowline_service::WireRequest;

use crate::client::{Raw, get};
use crate::world::{World, post};

const CROWD: usize = 1_000;

/// Requests of somebody honest, one after the other over one connection.
const SAMPLES: usize = 400;

/// Below this a latency is noise of a machine that runs other tests beside.
const UNNOTICED: Duration = Duration::from_millis(25);

fn identity(world: &World) -> WireRequest {
    let credentials = world.exchange(&world.issue("web-1", "reader"), "reader");
    let mut request = post(
        "/",
        &world.plain(),
        "Action=GetCallerIdentity&Version=2011-06-15",
    );
    let form = "application/x-www-form-urlencoded";
    request.headers.push(("content-type".into(), form.into()));
    world.signed(request, &credentials, "sts")
}

/// The 99th of a hundred.
fn p99(world: &World, request: &WireRequest) -> Duration {
    let mut raw = Raw::plain(&world.plain());
    let mut took: Vec<Duration> = (0..SAMPLES)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(raw.send(request).status, 200);
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[SAMPLES * 99 / 100]
}

/// Ends the trickle, however the test ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn crowd(world: &World) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(world.plain()).expect("there is a place");
    (0..CROWD).map(connect).collect()
}

#[track_caller]
fn check(alone: Duration, beside: Duration) {
    println!("p99 alone {alone:?}, beside the crowd {beside:?}");
    assert!(
        beside < (alone * 2).max(UNNOTICED),
        "{alone:?} became {beside:?}"
    );
}

#[test]
fn a_thousand_who_trickle_slow_nobody_down_and_are_let_go() {
    let world = World::within(Limits {
        header_time: Duration::from_secs(4),
        ..Limits::default()
    });
    let request = identity(&world);
    let alone = p99(&world, &request);
    let (slow, done) = (crowd(&world), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _end = End(&done);
        scope.spawn(|| {
            let mut drops = b"POST / HTTP/1.1\r\nhost: a\r\nx-a: "
                .iter()
                .chain([&b'a'; 4_096]);
            while !done.load(Ordering::Relaxed) {
                let drop = [*drops.next().unwrap_or(&b'a')];
                for mut stream in &slow {
                    // Who was let go already stays so.
                    let _ = stream.write(&drop);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let beside = p99(&world, &request);
        check(alone, beside);
        // A place taken so is given back after the time that headers may take, however many bytes came.
        let deadline = Instant::now() + Duration::from_secs(20);
        let gone = |stream: &TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let gone = match stream.peek(&mut [0]) {
                Ok(_) => true,
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            };
            stream.set_nonblocking(false).unwrap();
            gone
        };
        while !slow.iter().all(gone) {
            assert!(Instant::now() < deadline, "some trickle for ever");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn a_thousand_idle_connections_slow_nobody_down() {
    let world = World::new();
    let request = identity(&world);
    let alone = p99(&world, &request);
    // They have asked once, so they may stand for a minute.
    let mut idle: Vec<Raw> = crowd(&world).into_iter().map(Raw::over).collect();
    for raw in &mut idle {
        raw.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(raw.read().status, 200);
    }
    check(alone, p99(&world, &request));
    assert_eq!(get(&world.plain(), "/readyz").status, 200);
    // None of them was let go for it.
    for raw in &mut idle {
        raw.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(raw.read().status, 200);
    }
}

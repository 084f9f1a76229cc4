//! Transfers: what arrives, what it costs when the other end misbehaves, and how it ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use bowline_server::{Endpoint, Limits, Signing, TransportError, operations};
use bowline_service::{Backup, BackupSummary, Error, Kind, ListEvents, Progress, Sink};
use bowline_store::checkpoint::Reader;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::{Raw, bytes_of, get, send, send_http2};
use crate::stage::Copying;
use crate::world::{ByCredentials, World, post, short};

/// Keeps what comes, until it has enough.
struct Kept {
    bytes: Vec<u8>,
    steps: Vec<Progress>,
    most: usize,
}

impl Kept {
    fn all() -> Kept {
        Kept::up_to(usize::MAX)
    }

    fn up_to(most: usize) -> Kept {
        Kept {
            bytes: Vec::new(),
            steps: Vec::new(),
            most,
        }
    }
}

impl Sink for Kept {
    fn progress(&mut self, progress: Progress) -> Result<(), Error> {
        self.steps.push(progress);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(Error::internal("the disk is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

fn backup(
    endpoint: &Endpoint,
    signing: Option<&dyn Signing>,
    kept: &mut Kept,
) -> Result<BackupSummary, TransportError> {
    operations::transfer(endpoint, signing, &Backup {}, kept)
}

fn refused(result: Result<BackupSummary, TransportError>) -> (Kind, String) {
    match result {
        Err(TransportError::Refused(error)) => (error.kind, error.code.into_owned()),
        other => panic!("{other:?}"),
    }
}

fn check_whole(summary: &BackupSummary, kept: &Kept) {
    assert_eq!(summary.bytes, kept.bytes.len() as u64);
    let mut reader = Reader::open(&kept.bytes[..]).unwrap();
    let mut records = 0;
    while reader.next().unwrap().is_some() {
        records += 1;
    }
    assert!(records >= summary.records && summary.records > 10);
}

#[test]
fn a_backup_arrives_whole_over_every_way() {
    let world = World::new();
    // More than one frame, and not a multiple of one.
    for number in 0..60 {
        world.issue(&format!("web-{number}"), "reader");
    }
    let administrator = world.administrator();
    let plain = Endpoint::parse(&format!("http://{}", world.plain()), None).unwrap();
    let ways: [(Endpoint, Option<&dyn Signing>); 3] = [
        (world.control(), None),
        (plain, Some(&administrator)),
        (world.endpoint(), Some(&administrator)),
    ];
    for (endpoint, signing) in ways {
        let mut kept = Kept::all();
        let summary = backup(&endpoint, signing, &mut kept).unwrap();
        check_whole(&summary, &kept);
        assert!(kept.bytes.len() > 64 * 1024, "{}", kept.bytes.len());
        assert_eq!(kept.steps.len(), 1, "{:?}", kept.steps);
    }
}

#[test]
fn http_2_carries_a_transfer_too() {
    let world = World::new();
    let host = world.plain();
    let ByCredentials(_, credentials) = world.administrator();
    let signed = world.signed(post("/v1/backup", &host, "{}"), &credentials, "bowline");
    let replies = send_http2(&host, None, &[signed]);
    assert_eq!(replies[0].status, 200);
    assert_eq!(replies[0].header("content-type"), "application/x-ndjson");
    let last = replies[0].text().lines().last().unwrap();
    assert!(last.starts_with("{\"result\":{\"last_commit\":"), "{last}");
}

#[test]
fn a_refusal_before_the_first_frame_has_the_status_of_its_kind() {
    let world = World::new();
    let host = world.plain();
    let nobody = send(&host, &post("/v1/backup", &host, "{}"));
    assert_eq!(nobody.status, 403);
    assert_eq!(nobody.json()["error"]["code"], "credentials_needed");
    let malformed = Raw::unix(&world.socket()).send(&post("/v1/backup", "localhost", "7"));
    assert_eq!(malformed.status, 400);
    assert_eq!(
        malformed.json()["error"]["code"],
        "operation_input_malformed"
    );
    let reader = world.exchange(&world.issue("web-1", "reader"), "reader");
    let mut kept = Kept::all();
    let result = backup(
        &world.endpoint(),
        Some(&ByCredentials(&world, reader)),
        &mut kept,
    );
    assert_eq!(refused(result), (Kind::Denied, "not_authorized".into()));
    world.stage.copying(Copying::Refused);
    let reply = Raw::unix(&world.socket()).send(&post("/v1/backup", "localhost", "{}"));
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert_eq!(reply.json()["error"]["code"], "store_unavailable");
    assert!(kept.bytes.is_empty());
}

#[test]
fn what_goes_wrong_later_is_the_last_frame() {
    let world = World::new();
    for copying in [Copying::Damaged(200_000), Copying::Panics(200_000)] {
        world.stage.copying(copying);
        let mut kept = Kept::all();
        let (kind, code) = refused(backup(&world.control(), None, &mut kept));
        assert_eq!(kind, Kind::Internal, "{code}");
        // What was not sent yet when it went wrong stays away.
        assert_eq!(kept.bytes.len(), 200_000 / 65_536 * 65_536);
    }
    // What went wrong before a whole frame was there is refused as if nothing had been.
    world.stage.copying(Copying::Panics(10));
    let reply = Raw::unix(&world.socket()).send(&post("/v1/backup", "localhost", "{}"));
    assert_eq!(reply.status, 500);
    assert!(!reply.text().contains("the test wants"), "{reply:?}");
    world.stage.copying(Copying::Whole);
    let mut kept = Kept::all();
    let summary = backup(&world.control(), None, &mut kept).unwrap();
    check_whole(&summary, &kept);
}

#[test]
fn a_silence_of_the_work_is_no_idleness_of_the_connection() {
    let world = World::within(short());
    world
        .stage
        .copying(Copying::Slow(3 * short().idle_time + short().drain_time));
    let mut kept = Kept::all();
    let summary = backup(&world.control(), None, &mut kept).unwrap();
    check_whole(&summary, &kept);
}

#[test]
fn a_third_transfer_is_told_to_come_back_and_the_operator_is_not() {
    let world = World::new();
    let host = world.plain();
    let ByCredentials(_, credentials) = world.administrator();
    let ask = || world.signed(post("/v1/backup", &host, "{}"), &credentials, "bowline");
    world.stage.copying(Copying::Endless);
    let held: Vec<Raw> = (0..2)
        .map(|_| {
            let mut raw = Raw::plain(&host);
            raw.write(&bytes_of(&ask()));
            raw
        })
        .collect();
    world.stage.wait_for_copies(2);
    let third = send(&host, &ask());
    assert_eq!((third.status, third.header("retry-after")), (503, "1"));
    assert_eq!(third.json()["error"]["code"], "busy");
    // A stranger is told what strangers are told, whoever else is at work.
    assert_eq!(
        send(&host, &post("/v1/list-authorities", &host, "{}")).status,
        200
    );

    let mut operator = Raw::unix(&world.socket());
    operator.write(&bytes_of(&post("/v1/backup", "localhost", "{}")));
    world.stage.wait_for_copies(3);
    let fourth = Raw::unix(&world.socket()).send(&post("/v1/backup", "localhost", "{}"));
    assert_eq!(fourth.status, 503, "three are all there are");
    drop((held, operator));
    world.stage.wait_for_copies(0);
    world.stage.copying(Copying::Whole);
    assert!(backup(&world.control(), None, &mut Kept::all()).is_ok());
}

#[test]
fn who_may_not_is_refused_before_a_place_is_asked_for_and_the_log_tells_it_once() {
    let world = World::new();
    let host = world.plain();
    let reader = world.exchange(&world.issue("web-1", "reader"), "reader");
    let ByCredentials(_, administrator) = world.administrator();
    let ask = |credentials| world.signed(post("/v1/backup", &host, "{}"), credentials, "bowline");
    world.stage.copying(Copying::Endless);
    let _held: Vec<Raw> = (0..2)
        .map(|_| {
            let mut raw = Raw::plain(&host);
            raw.write(&bytes_of(&ask(&administrator)));
            raw
        })
        .collect();
    world.stage.wait_for_copies(2);
    // Were a place asked for first, it would be busy.
    let denied = send(&host, &ask(&reader));
    assert_eq!(denied.status, 403, "{denied:?}");
    assert_eq!(denied.json()["error"]["code"], "not_authorized");
    assert_eq!(send(&host, &ask(&administrator)).status, 503);
    let mut kept = Kept::all();
    let listed = ListEvents {
        event: Some("action_denied".into()),
        ..ListEvents::default()
    };
    let listed = operations::transfer(&world.control(), None, &listed, &mut kept).unwrap();
    assert_eq!(listed.listed, 1, "{:?}", String::from_utf8(kept.bytes));
}

/// Reads so many bytes every 50 ms, until there is an end or the test lets go.
fn read_slowly(socket: &std::path::Path, bytes: usize) -> std::sync::mpsc::Sender<()> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream
        .write_all(&bytes_of(&post("/v1/backup", "localhost", "{}")))
        .unwrap();
    let (keep, kept) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; bytes];
        let more = Duration::from_millis(50);
        while kept.recv_timeout(more) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            && stream.read(&mut buffer).is_ok_and(|read| read > 0)
        {}
    });
    keep
}

#[test]
fn who_reads_but_too_slowly_loses_the_transfer() {
    let world = World::within(Limits {
        pace_time: Duration::from_secs(1),
        ..Limits::default()
    });
    world.stage.copying(Copying::Endless);
    // 20 KB a second, and never idle for long.
    let slow = read_slowly(&world.socket(), 1_000);
    world.stage.wait_for_copies(1);
    world.stage.wait_for_copies(0);
    drop(slow);
    // Several times what must be taken is taken for as long as it is asked for.
    let steady = read_slowly(&world.socket(), 32 * 1024);
    world.stage.wait_for_copies(1);
    std::thread::sleep(Duration::from_secs(4));
    world.stage.wait_for_copies(1);
    drop(steady);
    world.stage.wait_for_copies(0);
}

#[test]
fn who_does_not_read_loses_the_transfer_and_then_the_connection() {
    let world = World::within(short());
    world.stage.copying(Copying::Endless);
    let mut raw = Raw::unix(&world.socket());
    raw.write(&bytes_of(&post("/v1/backup", "localhost", "{}")));
    world.stage.wait_for_copies(1);
    let begun = Instant::now();
    world.stage.wait_for_copies(0);
    assert!(begun.elapsed() < Duration::from_secs(3));
    // What the kernel holds may still be read; then there is an end, and no result before it.
    let deadline = Instant::now() + 2 * short().idle_time + short().drain_time;
    std::thread::sleep(deadline - Instant::now());
    let rest = raw.rest();
    assert!(!rest.windows(8).any(|window| window == b"\"result\""));
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it is not told as whole");
}

#[test]
fn a_stalled_stream_of_http_2_ends_alone() {
    let world = World::within(short());
    let host = world.plain();
    let ByCredentials(_, credentials) = world.administrator();
    world.stage.copying(Copying::Endless);
    let ask = |path: &str| {
        let signed = world.signed(post(path, &host, "{}"), &credentials, "bowline");
        let mut builder = http::Request::post(format!("http://{host}{path}"));
        for (name, value) in signed.headers.iter().filter(|(name, _)| name != "host") {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(Bytes::from(signed.body))).unwrap()
    };
    // A thread of its own keeps the connection going.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut sender = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(&host).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender
    });
    let unread = runtime
        .block_on(sender.send_request(ask("/v1/backup")))
        .unwrap();
    world.stage.wait_for_copies(1);
    world.stage.wait_for_copies(0);
    let other = runtime.block_on(sender.send_request(ask("/v1/list-roles")));
    assert_eq!(other.unwrap().status(), 200);
    drop(unread);
}

#[test]
fn who_goes_away_ends_the_work() {
    let world = World::new();
    world.stage.copying(Copying::Endless);
    let mut raw = Raw::plain(&world.plain());
    let ByCredentials(_, credentials) = world.administrator();
    let ask = post("/v1/backup", &world.plain(), "{}");
    raw.write(&bytes_of(&world.signed(ask, &credentials, "bowline")));
    world.stage.wait_for_copies(1);
    drop(raw);
    let begun = Instant::now();
    world.stage.wait_for_copies(0);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_sink_that_refuses_ends_the_transfer_and_is_told_as_itself() {
    let world = World::new();
    world.stage.copying(Copying::Endless);
    let mut kept = Kept::up_to(40 * 1024 * 1024);
    match backup(&world.control(), None, &mut kept) {
        Err(TransportError::Sink(error)) => {
            assert_eq!(error.to_string(), "internal error: the disk is full");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        kept.bytes.len(),
        40 * 1024 * 1024,
        "the others came as they went"
    );
    world.stage.wait_for_copies(0);
}

#[test]
fn a_stop_ends_transfers_and_says_so_while_a_writer_is_held() {
    let mut world = World::within(short());
    world.stage.copying(Copying::Endless);
    let (endpoint, unread) = (world.control(), world.socket());
    let reading = std::thread::spawn(move || {
        let mut kept = Discarded;
        operations::transfer(&endpoint, None, &Backup {}, &mut kept)
    });
    let mut not_reading = Raw::unix(&unread);
    not_reading.write(&bytes_of(&post("/v1/backup", "localhost", "{}")));
    world.stage.wait_for_copies(2);
    let holder = world.issue("web-1", "reader");
    let plain = world.plain();
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &plain);
    world.stage.hold_writers();
    let mut stuck = Raw::plain(&plain);
    stuck.write(&bytes_of(&exchange));
    world.stage.wait_for_writers(1);

    let begun = Instant::now();
    world.running.take().unwrap().stop();
    let took = begun.elapsed();
    assert!(
        took < short().drain_time + short().leave_time + Duration::from_secs(1),
        "{took:?}"
    );
    assert_eq!(
        refused(reading.join().unwrap()),
        (Kind::Unavailable, "server_stopping".into())
    );
    world.stage.wait_for_copies(0);
    world.stage.release_writers();
}

struct Discarded;

impl Sink for Discarded {
    fn progress(&mut self, _progress: Progress) -> Result<(), Error> {
        Ok(())
    }

    fn bytes(&mut self, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn two_stalled_transfers_leave_everything_else_alone() {
    let world = World::within(Limits {
        writers: 1,
        readers: 1,
        ..Limits::default()
    });
    world.stage.copying(Copying::Endless);
    let mut stalled: Vec<Raw> = (0..2).map(|_| Raw::unix(&world.socket())).collect();
    for (place, raw) in stalled.iter_mut().enumerate() {
        raw.write(&bytes_of(&post("/v1/backup", "localhost", "{}")));
        world.stage.wait_for_copies(place + 1);
    }
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &exchange).status, 201);
    assert_eq!(get(&host, "/crl/issuing.crl").status, 200);
    assert_eq!(get(&host, "/readyz").status, 200);
}

/// A server that answers one request with these bytes and hangs up.
fn answering(answer: &'static [u8]) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer);
    });
    Endpoint::Plain { authority }
}

#[test]
fn an_answer_without_its_end_is_never_taken_for_a_whole_one() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    for (body, told) in [
        ("", "ended before its result"),
        ("{\"bytes\":\"AAAA\"}\n", "ended before its result"),
        ("\n\n{\"bytes\":\"AAAA\"}\n\n", "ended before its result"),
        ("{\"bytes\":\"AAAA\"}\n{\"resu", "is this a Bowline server?"),
        ("{\"bytes\":\"A%AA\"}\n", "does not read"),
        ("<html>no</html>", "status 200: \"<html>no</html>\""),
        ("{\"result\":7}\n", "does not read"),
    ] {
        let answer: &'static str = format!("{head}{body}").leak();
        match backup(&answering(answer.as_bytes()), None, &mut Kept::all()) {
            Err(error @ (TransportError::Broken { .. } | TransportError::Answer { .. })) => {
                assert!(error.to_string().contains(told), "{body}: {error}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    // Cut off within a chunk.
    let cut = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{\"bytes\":\"AAAA\"}\n";
    let broken = backup(&answering(cut), None, &mut Kept::all());
    assert!(
        matches!(broken, Err(TransportError::Broken { .. })),
        "{broken:?}"
    );
}

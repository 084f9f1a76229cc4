//! The event log over HTTP: checkpoints that follow the events, tiles that never change, entries on demand. And what
//! the server does by itself: signing, and summing up refusals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bowline_server::{Limits, TransportError, operations};
use bowline_service::{
    Caller, Checkpoint, Error, ListEvents, Progress, SignLogCheckpoint, Sink, Transfer,
    VerifierKey, leaf_hash,
};
use serde_json::Value;

use crate::client::{Reply, get, request, send};
use crate::world::{World, post, short};

/// Ticks so often that a test need not wait.
fn ticking() -> Limits {
    Limits {
        tick: Duration::from_millis(30),
        ..short()
    }
}

/// A world that signs nothing by itself, with a checkpoint over what there is.
fn signed(publish_events: bool) -> (World, u64) {
    let mut world = World::silent();
    let config = bowline_server::Config {
        publish_events,
        ..world.config()
    };
    let limits = Limits::default();
    let running = bowline_server::serve_within(world.service.clone(), config, limits).unwrap();
    world.running = Some(running);
    let checkpoint = operations::call(&world.control(), None, &SignLogCheckpoint {}).unwrap();
    (world, checkpoint.size)
}

fn open(world: &World, note: &str) -> Checkpoint {
    let key = get(&world.plain(), "/log/key");
    let key = VerifierKey::parse(key.text().trim_end()).unwrap();
    Checkpoint::open(note, &key).unwrap()
}

fn size_over_http(world: &World) -> u64 {
    let reply = get(&world.plain(), "/log/checkpoint");
    assert_eq!(reply.status, 200);
    open(world, reply.text()).size
}

fn wait_until(otherwise: &str, there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !there() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn check_type(reply: &Reply, content_type: &str, cache: &str) {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), content_type);
    assert_eq!(reply.header("cache-control"), cache);
}

#[test]
fn a_checkpoint_follows_the_events_by_itself() {
    let world = World::within(ticking());
    wait_until("nothing is signed", || {
        get(&world.plain(), "/log/checkpoint").status == 200
    });
    let before = size_over_http(&world);
    world.issue("web-1", "reader");
    world.pass(61);
    wait_until("the new event is not signed", || {
        size_over_http(&world) > before
    });
    let checkpoint = get(&world.plain(), "/log/checkpoint");
    check_type(&checkpoint, "text/plain; charset=utf-8", "max-age=1");
    let key = get(&world.plain(), "/log/key");
    check_type(&key, "text/plain; charset=utf-8", "max-age=3600");
    assert_eq!(key.text().lines().count(), 1);
}

#[test]
fn tiles_and_entries_are_what_was_signed() {
    let (world, size) = signed(true);
    assert!((3..256).contains(&size), "{size} events");
    let kept = "public, max-age=604800, immutable";
    let tile = get(&world.plain(), &format!("/log/tile/0/000.p/{size}"));
    check_type(&tile, "application/octet-stream", kept);
    let bundle = get(&world.plain(), &format!("/log/tile/entries/000.p/{size}"));
    check_type(&bundle, "application/octet-stream", kept);
    let mut entries = &bundle.body[..];
    let mut hashes = Vec::new();
    while let Some((length, rest)) = entries.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        let _: Value = serde_json::from_slice(entry).unwrap();
        hashes.extend_from_slice(&leaf_hash(entry)[..]);
        entries = rest;
    }
    assert_eq!(hashes, tile.body);
    assert_eq!(tile.body.len() as u64, 32 * size);
    // A part of it is a tile too, over plain HTTP and TLS alike, and to HEAD.
    let part = request(&world.plain(), "HEAD", "/log/tile/0/000.p/2");
    assert_eq!((part.status, part.header("content-length")), (200, "64"));
    let over_tls = crate::client::send_http2(
        &world.tls(),
        Some(&world.root()),
        &[bowline_service::WireRequest {
            method: "GET".into(),
            target: "/log/tile/0/000.p/2".into(),
            headers: Vec::new(),
            body: Vec::new(),
        }],
    );
    assert_eq!(over_tls[0].body, tile.body[..64]);
}

#[test]
fn entries_are_published_only_where_that_was_asked_for() {
    let (world, size) = signed(false);
    let path = format!("/log/tile/entries/000.p/{size}");
    let reply = get(&world.plain(), &path);
    assert_eq!(reply.status, 404);
    assert!(!reply.text().contains("event"), "{reply:?}");
    let hashes = get(&world.plain(), &format!("/log/tile/0/000.p/{size}"));
    assert_eq!(hashes.status, 200);
}

#[test]
fn what_is_not_in_the_tree_is_not_found_and_no_tile_has_two_paths() {
    let (world, size) = signed(true);
    let more = size + 1;
    for path in [
        "",
        "/",
        "/checkpoint/",
        "/checkpoints",
        "/keys",
        "/tile",
        "/tile/",
        "/tile/0",
        "/tile/0/",
        "/tile/0/0",
        "/tile/0/000",
        "/tile/0/001",
        "/tile/1/000.p/1",
        "/tile/00/000.p/1",
        "/tile/0/x000/000.p/1",
        "/tile/0/000.p/01",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/1/",
        "/tile//0/000.p/1",
        "/tile/0/%3000.p/1",
        "/tile/64/000.p/1",
        "/tile/-1/000.p/1",
        "/tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "/tile/entries",
        "/tile/entries/",
        "/tile/entries/0/000.p/1",
        "/tile/entries/000",
        &format!("/tile/0/000.p/{more}"),
        &format!("/tile/entries/000.p/{more}"),
    ] {
        let reply = get(&world.plain(), &format!("/log{path}"));
        assert_eq!(reply.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let reply = request(&world.plain(), method, "/log/checkpoint");
        assert_eq!(reply.status, 404, "{method}");
    }
}

#[test]
fn a_stop_signs_what_is_new() {
    let mut world = World::within(short());
    let holder = world.issue("web-1", "reader");
    let host = world.plain();
    let exchange = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    assert_eq!(send(&host, &exchange).status, 201);
    // Refused in this very minute.
    assert_eq!(send(&host, &post("/sessions", &host, "{}")).status, 403);
    world.running.take().unwrap().stop();
    let mut kept = Kept::default();
    let listing = ListEvents::default();
    listing
        .run(&world.service, &Caller::Operator, &mut kept)
        .unwrap();
    let events = kept.lines();
    let note = world.service.log_checkpoint().unwrap().unwrap();
    assert_eq!(note.lines().nth(1).unwrap(), events.len().to_string());
    let kinds: Vec<&Value> = events.iter().map(|event| &event["event"]).collect();
    assert!(kinds.contains(&&"session_created".into()), "{kinds:?}");
    assert!(kinds.contains(&&"requests_refused".into()), "{kinds:?}");
}

#[test]
fn a_tick_that_fails_is_tried_again_and_one_that_hangs_holds_up_nobody() {
    let mut world = World::within(ticking());
    wait_until("nothing is signed", || {
        get(&world.plain(), "/log/checkpoint").status == 200
    });
    world.issue("web-1", "reader");
    world.stage.writers_fail(true);
    world.pass(61);
    std::thread::sleep(Duration::from_millis(200));
    world.stage.writers_fail(false);
    let before = size_over_http(&world);
    world.issue("web-2", "reader");
    world.pass(61);
    wait_until("it gave up", || size_over_http(&world) > before);

    let stage = world.stage.clone();
    world.issue("web-3", "reader");
    stage.hold_writers();
    world.pass(61);
    stage.wait_for_writers(1);
    assert_eq!(get(&world.plain(), "/healthz").status, 200);
    assert_eq!(get(&world.plain(), "/log/checkpoint").status, 200);
    let begun = Instant::now();
    world.running.take().unwrap().stop();
    let took = begun.elapsed();
    assert!(
        took < short().leave_time + Duration::from_secs(1),
        "{took:?}"
    );
    stage.release_writers();
}

/// Keeps lines of JSON.
#[derive(Default)]
struct Kept(Vec<u8>);

impl Kept {
    fn lines(&self) -> Vec<Value> {
        let lines = self.0.split(|&byte| byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Sink for Kept {
    fn progress(&mut self, _progress: Progress) -> Result<(), Error> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn events(world: &World, ask: ListEvents) -> Vec<Value> {
    let mut kept = Kept::default();
    operations::transfer(&world.control(), None, &ask, &mut kept).unwrap();
    kept.lines()
}

#[test]
fn refusals_of_strangers_are_summed_up_and_each_is_counted_once() {
    let world = World::within(ticking());
    let host = world.plain();
    let holder = world.issue("web-1", "reader");
    let mut forged = world.session_request(&holder, &world.ask(&holder, "reader"), &host);
    forged.body.push(b' ');
    let asked = [
        (post("/sessions", &host, "{}"), 3),
        (forged, 2),
        (post("/sessions", &host, vec![b' '; 70_000]), 4),
        (post("/", &host, "Action=AssumeRole"), 5),
        (post("/", &host, "Action=GetCallerIdentity"), 2),
        (post("/v1/create-role", &host, "7"), 6),
        (post("/v1/no-such", &host, "{}"), 7),
        (post("/v1/backup", &host, "{}"), 8),
        (post("/v1/backup", &host, "7"), 3),
        (post("/v1/list-certificates", &host, "{}"), 4),
        (
            post(
                "/v1/revoke-certificate",
                &host,
                r#"{"certificate":"web-1","reason":"keyCompromise"}"#,
            ),
            9,
        ),
    ];
    let mut count = 0;
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    for (request, times) in &asked {
        for _ in 0..*times {
            let reply = send(&host, request);
            assert!((400..500).contains(&reply.status), "{reply:?}");
            let code = code_of(&reply);
            *codes.entry(code).or_default() += 1;
            count += 1;
        }
    }
    // The operator on the machine is no stranger.
    let refused = operations::transfer(
        &world.control(),
        None,
        &ListEvents {
            certificate: Some("no serial".into()),
            ..ListEvents::default()
        },
        &mut Kept::default(),
    );
    assert!(
        matches!(refused, Err(TransportError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(count, 53);

    world.pass(61);
    let summed = || {
        let ask = ListEvents {
            event: Some("requests_refused".into()),
            ..ListEvents::default()
        };
        let mut summed: BTreeMap<String, u64> = BTreeMap::new();
        for event in events(&world, ask) {
            assert_eq!(event["source"], "127.0.0.1", "{event}");
            for (code, times) in event["codes"].as_object().unwrap() {
                *summed.entry(code.clone()).or_default() += times.as_u64().unwrap();
            }
        }
        summed
    };
    wait_until("no summary is written", || !summed().is_empty());
    assert_eq!(summed(), codes);
}

/// The stable code in an answer of any dialect.
fn code_of(reply: &Reply) -> String {
    match serde_json::from_slice::<Value>(&reply.body) {
        Ok(value) => value["error"]["code"].as_str().unwrap().into(),
        Err(_) => {
            let text = reply.text();
            let (start, end) = (text.rfind('[').unwrap(), text.rfind(']').unwrap());
            text[start + 1..end].into()
        }
    }
}

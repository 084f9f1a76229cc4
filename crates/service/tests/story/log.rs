//! The log of a whole story: signed, proved, served, exported, and told apart from every other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_service::{
    Caller, Change, Checkpoint, EntryBundle, Error, ExportLog, Hash, Kind, ListEvents, LogError,
    Operation, Progress, ProveConsistency, ProveEvent, RevocationReason, RevokeCertificate,
    Service, ShowLogKey, ShowRevocationList, Sink, SystemEntropy, Transfer, UnsealKey, VerifierKey,
    leaf_hash, verify_consistency, verify_inclusion, verify_log,
};
use bowline_store::{Commit, Committed, Key, MemoryStore, Store, StoreError, Value};
use serde_json::Value as Json;

use crate::OPERATOR;
use crate::world::{TestClock, World, initialize};

/// Takes a transfer into memory.
#[derive(Default)]
pub struct Taken {
    pub bytes: Vec<u8>,
    pub progress: Vec<Progress>,
}

impl Sink for Taken {
    fn progress(&mut self, progress: Progress) -> Result<(), Error> {
        self.progress.push(progress);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// The events that a listing gives.
pub fn list(world: &World, ask: ListEvents) -> Vec<Json> {
    let mut taken = Taken::default();
    let listed = ask.run(&world.service, &OPERATOR, &mut taken).unwrap();
    let events: Vec<Json> = taken
        .bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(listed.listed, events.len() as u64);
    events
}

/// Every event, oldest first.
pub fn events(world: &World) -> Vec<Json> {
    list(world, ListEvents::default())
}

/// Every event of a kind.
pub fn events_of(world: &World, kind: &str) -> Vec<Json> {
    let ask = ListEvents {
        event: Some(kind.into()),
        ..ListEvents::default()
    };
    list(world, ask)
}

fn export(service: &Service) -> Vec<u8> {
    let mut taken = Taken::default();
    ExportLog {}.run(service, &OPERATOR, &mut taken).unwrap();
    let last = taken.progress.last().unwrap();
    assert!(last.done <= last.total && last.total <= taken.bytes.len() as u64);
    taken.bytes
}

fn key(service: &Service) -> String {
    ShowLogKey {}.run(service, &OPERATOR).unwrap().vkey
}

/// The size of the last checkpoint. Each export is an event of its own.
fn signed(service: &Service) -> u64 {
    let note = service.log_checkpoint().unwrap().unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

fn verify(service: &Service, export: &[u8], since: Option<&str>) -> Result<u64, LogError> {
    let mut input = export;
    verify_log(&mut input, &key(service), since, &mut |_| {}).map(|log| log.size)
}

fn changes(service: &Service, export: &[u8], since: Option<&str>) -> Vec<Change> {
    match verify(service, export, since) {
        Err(LogError::Tampered(tampering)) => tampering.changes,
        other => panic!("not found: {other:?}"),
    }
}

fn event_key(number: u64) -> Key {
    Key::new("event/").unwrap().numbered(number).unwrap()
}

pub fn key_of(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Appends events of no meaning, so that there are so many.
pub fn fill(store: &dyn Store, count: usize) {
    for start in (0..count).step_by(64) {
        let mut commit = Commit::new();
        for n in start..(start + 64).min(count) {
            let text = format!(
                "\x01{{\"at\":\"2026-10-01T00:00:00Z\",\"caller\":\"test\",\"event\":\"test\",\"n\":{n}}}"
            );
            commit = commit.append(key_of("event/"), Value::new(text).unwrap());
        }
        store.commit(commit).unwrap();
    }
}

/// Something of everything that writes an event.
pub fn story() -> World {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    world.exchange(&holder, "reader").unwrap();
    world.exchange(&holder, "ghost").unwrap_err();
    let list = ShowRevocationList {
        authority: "issuing".into(),
        fresh: true,
    };
    list.run(&world.service, &OPERATOR).unwrap();
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    world
}

#[test]
fn an_exported_log_verifies_with_nothing_but_its_key() {
    let world = story();
    let told = events(&world);
    let kinds: Vec<&str> = told
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "initialized",
            "log_key_created",
            "role_created",
            "certificate_issued",
            "session_created",
            "session_denied",
            "revocation_list_signed",
            "certificate_revoked",
        ]
    );
    let exported = export(&world.service);
    // That it was exported is in it.
    assert_eq!(verify(&world.service, &exported, None).unwrap(), 9);
    assert_eq!(told[1]["vkey"], key(&world.service));
    // Signing writes no event: it would never end.
    world.service.sign_log_checkpoint().unwrap();
    assert_eq!(events(&world).len(), 9);
}

#[test]
fn what_is_done_to_the_store_is_named_by_the_export() {
    let world = story();
    let unsigned = world.store.get(&key_of("log-key")).unwrap().unwrap();
    let honest = world.service.sign_log_checkpoint().unwrap();
    let original = world.store.get(&event_key(4)).unwrap().unwrap();
    let text = String::from_utf8(original.as_bytes().to_vec()).unwrap();
    let edited = Value::new(text.replace("web-1", "web-2")).unwrap();
    let put = |value: &Value| {
        let commit = Commit::new().put(event_key(4), value.clone());
        world.store.commit(commit).unwrap();
    };

    put(&edited);
    let found = changes(&world.service, &export(&world.service), None);
    assert_eq!(found, [Change::Edited { number: 4 }]);
    world
        .store
        .commit(Commit::new().delete(event_key(4)))
        .unwrap();
    let found = changes(&world.service, &export(&world.service), None);
    assert_eq!(found, [Change::Removed { number: 4 }]);
    put(&original);

    // Somebody who holds the home and its keys, as they were before anything was signed, makes everything again. The older
    // checkpoint still tells.
    put(&edited);
    let mut forget = Commit::new()
        .delete(key_of("log-checkpoint-latest"))
        .put(key_of("log-key"), unsigned);
    let checkpoints = world.store.scan(&key_of("log-checkpoint/"), None, 9);
    for (key, _) in checkpoints.unwrap() {
        forget = forget.delete(key);
    }
    world.store.commit(forget).unwrap();
    let rewritten = export(&world.service);
    let size = signed(&world.service);
    assert_eq!(verify(&world.service, &rewritten, None).unwrap(), size);
    let found = changes(&world.service, &rewritten, Some(&honest.note));
    assert_eq!(found, [Change::Rewritten { size: 8 }]);
}

#[test]
fn a_checkpoint_that_does_not_follow_from_the_last_is_never_signed() {
    let world = story();
    fill(&*world.store, 300);
    world.service.sign_log_checkpoint().unwrap();
    let tile = key_of("log-tile/0/").numbered(1).unwrap();
    let mut bytes = world.store.get(&tile).unwrap().unwrap().into_bytes();
    bytes[5] ^= 1;
    let commit = Commit::new().put(tile, Value::new(bytes).unwrap());
    world.store.commit(commit).unwrap();
    world.issue("web-2", &[]);
    let refused = world.service.sign_log_checkpoint().unwrap_err();
    assert_eq!(&*refused.code(), "log_damaged", "{refused}");
}

#[test]
fn a_missing_event_is_never_signed_over() {
    let world = story();
    world.service.sign_log_checkpoint().unwrap();
    world.issue("web-2", &[]);
    world.issue("web-3", &[]);
    world
        .store
        .commit(Commit::new().delete(event_key(9)))
        .unwrap();
    // Where the next event is gone nothing is new; once it is there the gap behind it shows.
    assert_eq!(world.service.sign_log_checkpoint().unwrap().size, 8);
    world.issue("web-4", &[]);
    let commit = Commit::new().put(event_key(9), Value::new("\x01{}").unwrap());
    world.store.commit(commit).unwrap();
    world
        .store
        .commit(Commit::new().delete(event_key(10)))
        .unwrap();
    let refused = world.service.sign_log_checkpoint().unwrap_err();
    assert!(
        refused.to_string().contains("event 10 is missing"),
        "{refused}"
    );
}

#[test]
fn every_event_and_every_pair_of_checkpoints_is_proved() {
    let world = story();
    let mut checkpoints = vec![world.service.sign_log_checkpoint().unwrap()];
    for count in [1, 247, 1, 300, 64] {
        fill(&*world.store, count);
        checkpoints.push(world.service.sign_log_checkpoint().unwrap());
    }
    let key = VerifierKey::parse(&key(&world.service)).unwrap();
    let hashes = |texts: &[String]| -> Vec<Hash> {
        texts
            .iter()
            .map(|text| STANDARD.decode(text).unwrap().try_into().unwrap())
            .collect()
    };
    let last = checkpoints.last().unwrap().size;
    assert_eq!(last, 621);
    let mut proved = 0;
    for checkpoint in &checkpoints {
        let root = Checkpoint::open(&checkpoint.note, &key).unwrap().root;
        for number in (1..=checkpoint.size).step_by(7) {
            let ask = ProveEvent {
                number,
                size: Some(checkpoint.size),
            };
            let proof = ask.run(&world.service, &OPERATOR).unwrap();
            assert_eq!(proof.checkpoint, checkpoint.note);
            let leaf = leaf_hash(proof.entry.as_bytes());
            let path = hashes(&proof.hashes);
            assert!(verify_inclusion(
                number - 1,
                &leaf,
                checkpoint.size,
                &root,
                &path
            ));
            assert!(
                proof
                    .proof
                    .starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {}\n", number - 1))
            );
            assert!(proof.proof.ends_with(&format!("\n\n{}", checkpoint.note)));
            proved += 1;
        }
        for from in checkpoints
            .iter()
            .filter(|from| from.size <= checkpoint.size)
        {
            let ask = ProveConsistency {
                from: from.size,
                to: Some(checkpoint.size),
            };
            let nobody = Caller::Nobody { source: None };
            let proof = ask.run(&world.service, &nobody).unwrap();
            assert_eq!(proof.from_checkpoint.as_ref(), Some(&from.note));
            let from_root = Checkpoint::open(&from.note, &key).unwrap().root;
            let path = hashes(&proof.hashes);
            assert!(verify_consistency(
                from.size,
                &from_root,
                checkpoint.size,
                &root,
                &path
            ));
            proved += 1;
        }
    }
    assert!(proved > 250, "{proved}");

    // An event after the last checkpoint has one signed for it.
    world.issue("web-2", &[]);
    let ask = |number, size| ProveEvent { number, size }.run(&world.service, &OPERATOR);
    assert_eq!(ask(622, None).unwrap().size, 622);
    let code = |answer: Result<_, Error>| answer.map(|_| ()).unwrap_err().code().into_owned();
    assert_eq!(code(ask(623, None)), "event_unknown");
    assert_eq!(code(ask(0, None)), "event_unknown");
    assert_eq!(code(ask(9, Some(8))), "event_after_checkpoint");
    assert_eq!(code(ask(1, Some(100))), "log_checkpoint_unknown");
    let pair = |from, to| ProveConsistency { from, to }.run(&world.service, &OPERATOR);
    assert_eq!(pair(0, None).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(pair(623, None).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn whoever_mirrors_tiles_and_entries_gets_the_signed_root() {
    let world = story();
    assert_eq!(world.service.log_checkpoint().unwrap(), None);
    assert_eq!(world.service.log_tile("0/000.p/1").unwrap(), None);
    fill(&*world.store, 70_000 - 8);
    world.service.tick().unwrap();
    world.issue("not-signed-yet", &[]);
    let key = VerifierKey::parse(&world.service.log_key().unwrap().unwrap()).unwrap();
    let note = world.service.log_checkpoint().unwrap().unwrap();
    let checkpoint = Checkpoint::open(&note, &key).unwrap();
    assert_eq!(checkpoint.size, 70_000);

    // The example of the standard: 273 full tiles and one of 112, one full and one of 17, one of 1.
    let tile = |path: &str| world.service.log_tile(path).unwrap();
    for (path, there) in [
        ("0/272", true),
        ("0/273", false),
        ("0/273.p/112", true),
        ("0/273.p/113", false),
        ("0/273.p/1", true),
        ("0/274.p/1", false),
        ("1/000", true),
        ("1/001.p/17", true),
        ("1/001.p/18", false),
        ("2/000.p/1", true),
        ("3/000.p/1", false),
        ("0/0", false),
        ("../settings", false),
        ("entries/000", false),
    ] {
        assert_eq!(tile(path).is_some(), there, "{path}");
    }
    let mut entries = 0;
    for index in 0..274_u64 {
        let (suffix, width) = if index == 273 {
            (".p/112", 112)
        } else {
            ("", 256)
        };
        let path = format!("{index:03}{suffix}");
        let bundle = world.service.log_entries(&path).unwrap().unwrap();
        let leaves: Vec<u8> = EntryBundle::entries(&bundle)
            .unwrap()
            .iter()
            .flat_map(|entry| leaf_hash(entry))
            .collect();
        assert_eq!(leaves.len(), width * 32);
        assert_eq!(tile(&format!("0/{path}")).unwrap(), leaves);
        entries += width;
    }
    assert_eq!(entries, 70_000);
    assert_eq!(world.service.log_entries("273.p/113").unwrap(), None);
    assert_eq!(world.service.log_entries("274").unwrap(), None);
    let exported = export(&world.service);
    assert_eq!(
        verify(&world.service, &exported, Some(&note)).unwrap(),
        signed(&world.service)
    );
}

/// A store that takes a number of commits, and then none.
struct Failing {
    store: Arc<MemoryStore>,
    left: AtomicUsize,
}

impl Store for Failing {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.store.get(key)
    }

    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.store.scan(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match left {
            Ok(_) => self.store.commit(commit),
            Err(_) => Err(StoreError::Unavailable {
                reason: "the test ends here".into(),
            }),
        }
    }

    fn checkpoint(
        &self,
        output: &mut dyn std::io::Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<bowline_store::checkpoint::Summary, bowline_store::CheckpointError> {
        self.store.checkpoint(output, progress)
    }

    fn examine(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<bowline_store::Finding>, StoreError> {
        self.store.examine(progress)
    }
}

/// A home in a store of our own, opened again and again.
struct Home {
    store: Arc<MemoryStore>,
    clock: Arc<TestClock>,
    unseal: UnsealKey,
}

impl Home {
    fn new() -> Home {
        let home = Home {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(TestClock::at(1_790_000_000)),
            unseal: UnsealKey::generate(&SystemEntropy).0,
        };
        initialize().run(&home.open(usize::MAX), &OPERATOR).unwrap();
        home
    }

    fn open(&self, commits: usize) -> Service {
        let store = Arc::new(Failing {
            store: self.store.clone(),
            left: AtomicUsize::new(commits),
        });
        let unseal = Some(self.unseal.clone());
        Service::new(store, self.clock.clone(), Arc::new(SystemEntropy), unseal)
    }
}

#[test]
fn signing_goes_on_where_it_was_interrupted() {
    let home = Home::new();
    home.open(usize::MAX).sign_log_checkpoint().unwrap();
    fill(&*home.store, 30_000);
    let mut interrupted = 0;
    let signed = loop {
        // Each time it comes to one more of its commits.
        match home.open(interrupted).sign_log_checkpoint() {
            Ok(signed) => break signed,
            Err(error) => assert_eq!(error.kind(), Kind::Unavailable, "{error}"),
        }
        let service = home.open(0);
        assert!(service.log_checkpoint().unwrap().unwrap().contains("\n2\n"));
        interrupted += 1;
    };
    assert!(interrupted >= 3, "{interrupted}");
    assert_eq!(signed.size, 30_002);
    let service = home.open(usize::MAX);
    let exported = export(&service);
    let size = verify(&service, &exported, None).unwrap();
    assert_eq!((size, size >= 30_002), (self::signed(&service), true));
}

#[test]
fn those_who_sign_at_once_sign_one_log() {
    let home = Home::new();
    let signers: Vec<Service> = (0..4).map(|_| home.open(usize::MAX)).collect();
    let notes: BTreeSet<String> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..40).for_each(|_| fill(&*home.store, 100)));
        let signing: Vec<_> = signers
            .iter()
            .map(|service| {
                scope.spawn(|| {
                    let mut notes = Vec::new();
                    for _ in 0..40 {
                        match service.sign_log_checkpoint() {
                            Ok(signed) => notes.push(signed.note),
                            // Others were faster each time: that is what a conflict is for.
                            Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error}"),
                        }
                    }
                    notes
                })
            })
            .collect();
        writer.join().unwrap();
        signing
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(!notes.is_empty());
    let service = home.open(usize::MAX);
    let exported = export(&service);
    for note in &notes {
        let size = verify(&service, &exported, Some(note)).unwrap();
        assert_eq!((size, size >= 4_002), (signed(&service), true));
    }
}

#[test]
fn an_older_home_begins_its_log_when_it_is_first_signed() {
    let world = story();
    let mut commit = Commit::new();
    for record in ["log", "log-key"] {
        commit = commit.delete(key_of(record));
    }
    world.store.commit(commit).unwrap();
    assert_eq!(world.service.log_key().unwrap(), None);
    assert_eq!(
        &*ShowLogKey {}
            .run(&world.service, &OPERATOR)
            .unwrap_err()
            .code(),
        "log_not_begun"
    );
    world.service.tick().unwrap();
    let created = events_of(&world, "log_key_created");
    assert_eq!(created.len(), 2);
    assert_eq!(created[1]["vkey"], key(&world.service));
    assert_eq!(created[1]["caller"], "bowline");
    assert_eq!(
        verify(&world.service, &export(&world.service), None).unwrap(),
        signed(&world.service)
    );
}

#[test]
fn a_home_without_its_keys_exports_what_was_signed() {
    let home = Home::new();
    let locked = || {
        Service::new(
            home.store.clone(),
            home.clock.clone(),
            Arc::new(SystemEntropy),
            None,
        )
    };
    let mut taken = Taken::default();
    let refused = ExportLog {}
        .run(&locked(), &OPERATOR, &mut taken)
        .unwrap_err();
    assert_eq!(&*refused.code(), "log_not_begun");
    let size = home.open(usize::MAX).sign_log_checkpoint().unwrap().size;
    fill(&*home.store, 10);
    locked().tick().unwrap();
    assert_eq!(verify(&locked(), &export(&locked()), None).unwrap(), size);
}

#[test]
fn only_who_may_read_the_log_reads_it() {
    let world = story();
    world.service.tick().unwrap();
    let nobody = Caller::Nobody { source: None };
    let mut taken = Taken::default();
    let export = ExportLog {}
        .run(&world.service, &nobody, &mut taken)
        .unwrap_err();
    let list = ListEvents::default()
        .run(&world.service, &nobody, &mut taken)
        .unwrap_err();
    let prove = ProveEvent {
        number: 1,
        size: None,
    }
    .run(&world.service, &nobody)
    .unwrap_err();
    for refused in [export, list, prove] {
        assert_eq!(&*refused.code(), "credentials_needed");
    }
    assert!(taken.bytes.is_empty());
    assert!(ShowLogKey {}.run(&world.service, &nobody).is_ok());
}

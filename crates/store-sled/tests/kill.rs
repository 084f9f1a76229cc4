//! A process is killed at any moment; what it acknowledged is there.
//!
//! The test starts its own binary as the victim. `KILL_ROUNDS` sets how many are killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bowline_store::{Commit, Key, Store, Value};
use bowline_store_sled::{Action, OpenError, SledOptions, SledStore};

const HOME: &str = "BOWLINE_KILL_HOME";
const ROUND: &str = "BOWLINE_KILL_ROUND";
const ROUNDS: u64 = 30;

/// A checkpoint waits for the home to grow by half, so only those of young homes are made all the time.
const ROUNDS_A_HOME: u64 = 10;

/// Enough that the kill meets a group.
const WRITERS: u64 = 4;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn value(text: &str) -> Value {
    Value::new(text).unwrap()
}

fn options(round: u64) -> SledOptions {
    match round % 4 {
        0 => SledOptions::one_shot(),
        // A checkpoint is always being made.
        1 | 3 => SledOptions {
            checkpoint_bytes: 1,
            ..SledOptions::server()
        },
        _ => SledOptions::server(),
    }
}

/// The victim: commits until it is killed, and says what was acknowledged. Does nothing in a normal run.
#[test]
fn the_victim() {
    let Ok(home) = std::env::var(HOME) else {
        return;
    };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = open(Path::new(&home), &options(round));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("{round}.{writer}.{n}");
                    let commit = Commit::new()
                        .expect_absent(key(&format!("k/{name}")))
                        .put(key(&format!("k/{name}")), value(&name.repeat(40)))
                        .append(key("e/"), value(&name));
                    let number = store.commit(commit).unwrap().appended[0].number;
                    // One write call a line, so that a line is whole or absent.
                    let line = format!("ack {name} {number}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// After a kill, the system may hold the lock for an instant.
fn open(home: &Path, options: &SledOptions) -> SledStore {
    let started = Instant::now();
    loop {
        match SledStore::open(home, options) {
            Err(OpenError::Locked { .. }) if started.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.expect("a killed home opens"),
        }
    }
}

/// When a victim is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after it was started: it may be opening the home.
    AfterStart(Duration),
    /// So long after its first commit was acknowledged.
    AfterCommit(Duration),
}

/// Starts a victim, kills it at the moment, and returns what it acknowledged.
fn kill_one(home: &Path, round: u64, moment: Moment) -> Vec<(String, u64)> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["the_victim", "--exact", "--nocapture", "--test-threads=1"])
        .env(HOME, home)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let (committed, first) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in output.lines().map_while(Result::ok) {
            // The harness writes its own words before the first.
            let Some((_, words)) = line.split_once("ack ") else {
                continue;
            };
            let (name, number) = words.split_once(' ').unwrap();
            acknowledged.push((name.to_owned(), number.parse().unwrap()));
            let _ = committed.send(());
        }
        acknowledged
    });
    match moment {
        Moment::AfterStart(wait) => std::thread::sleep(wait),
        Moment::AfterCommit(wait) => {
            first.recv().expect("a victim that is left alone commits");
            std::thread::sleep(wait);
        }
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    reader.join().unwrap()
}

/// Every record, checked against its event: each commit is there whole, and the numbers are dense.
fn check_whole(store: &SledStore) -> u64 {
    let mut events = 0;
    let mut after = None;
    loop {
        let page = store.scan(&key("e/"), after.as_ref(), 1_000).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (at, name) in page {
            events += 1;
            assert_eq!(at, key("e/").numbered(events).unwrap(), "numbers are dense");
            let name = std::str::from_utf8(name.as_bytes()).unwrap().to_owned();
            let record = store.get(&key(&format!("k/{name}"))).unwrap();
            assert_eq!(record, Some(value(&name.repeat(40))), "half a commit");
        }
    }
    let mut records = 0;
    let mut after = None;
    loop {
        let page = store.scan(&key("k/"), after.as_ref(), 1_000).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        records += page.len() as u64;
    }
    assert_eq!(records, events, "half a commit");
    events
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let rounds = std::env::var("KILL_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |text| {
        text.parse().expect("KILL_ROUNDS is a number")
    });
    let mut home = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    let (mut kept, mut more) = (0, 0);
    let (mut silent, mut replayed, mut rebuilt, mut torn, mut unfinished) = (0, 0, 0, 0, 0);
    let mut present = 0;
    for round in 0..rounds {
        if round % ROUNDS_A_HOME == 0 {
            home = tempfile::tempdir().unwrap();
            kept += acknowledged.len() as u64;
            more += present - acknowledged.len() as u64;
            acknowledged.clear();
        }
        if round % 5 == 4 {
            // The kill may then meet the rebuild.
            std::fs::remove_dir_all(home.path().join("index")).ok();
        }
        let wait = Duration::from_micros(random() % 40_000);
        let moment = match round % 3 {
            2 => Moment::AfterStart(wait),
            _ => Moment::AfterCommit(wait),
        };
        let fresh = kill_one(home.path(), round, moment);
        silent += u64::from(fresh.is_empty());
        let first = acknowledged.len();
        acknowledged.extend(fresh);

        let store = open(home.path(), &options(round / 2));
        for action in &store.opening().actions {
            match action {
                Action::Replayed { .. } => replayed += 1,
                Action::RebuiltIndex { .. } => rebuilt += 1,
                Action::CutTornTail { .. } => torn += 1,
                Action::RemovedUnfinishedSnapshot { .. } => {}
                Action::RemovedUnfinishedCheckpoint { .. } => unfinished += 1,
                Action::DamagedCheckpoint { .. } | Action::DamagedHistory { .. } => {
                    panic!("a kill damages no checkpoint: {action}")
                }
            }
        }
        // All of this round's, and of the others every few rounds.
        let from = if round % 10 == 9 || round + 1 == rounds {
            0
        } else {
            first
        };
        for (name, number) in &acknowledged[from..] {
            let at = key("e/").numbered(*number).unwrap();
            assert_eq!(
                store.get(&at),
                Ok(Some(value(name))),
                "round {round}, killed {moment:?}: an acknowledged commit is lost"
            );
        }
        present = check_whole(&store);
        assert!(present >= acknowledged.len() as u64);
    }
    println!(
        "{rounds} kills ({silent} before the first commit), {} acknowledged, 0 lost, {} more found; \
         {replayed} replayed, {rebuilt} rebuilt, {torn} torn tails cut, {unfinished} checkpoints interrupted",
        kept + acknowledged.len() as u64,
        more + present - acknowledged.len() as u64
    );
    assert!(
        rounds < 10 || silent < rounds,
        "no victim lived long enough to commit"
    );
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

//! Go's own packages for signed notes and tile logs judge the log of events: as it is served, as a mirror has it,
//! and in single proofs. Whatever is changed in a copy, they refuse.

use crate::scene::log_judge;
use bowline_tests::{Finished, Home, Server, run};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// More events than a tile has hashes, so that there is a second level, and a full tile beside one that is not.
const EVENTS_MIN: u64 = 300;

/// Where in a file a bit is flipped, in parts of its length.
const PLACES: [f64; 4] = [0.0, 0.3, 0.6, 0.95];

/// A served log that grew past one tile, with checkpoints from on the way.
struct Grown {
    home: Home,
    server: Server,
    key: String,
    checkpoints: Vec<PathBuf>,
}

impl Grown {
    fn new() -> Grown {
        let home = Home::initialized();
        home.succeed(["issue", "web-1"]);
        let mut checkpoints = vec![keep_checkpoint(&home, "small.txt")];
        let server = publish(&home);
        grow(&home, 200);
        checkpoints.push(keep_checkpoint(&home, "one-tile.txt"));
        grow(&home, 90);
        home.succeed(["issue", "web-2"]);
        home.succeed(["cert", "revoke", "web-1"]);
        checkpoints.push(keep_checkpoint(&home, "two-tiles.txt"));
        while size_of(&keep_checkpoint(&home, "last.txt")) < EVENTS_MIN {
            grow(&home, 1);
        }
        Grown {
            key: home.succeed(["audit", "key"]),
            checkpoints,
            home,
            server,
        }
    }

    fn url(&self) -> String {
        format!("{}/log", self.server.http())
    }

    /// A copy of everything that is served, in a directory of the work directory.
    #[track_caller]
    fn mirror(&self, judge: &Path, name: &str) -> PathBuf {
        let copy = self.home.file(name);
        let copied = judge_of(&self.home, judge, ["mirror", &self.url(), path(&copy)]);
        copied.expect_success();
        copy
    }

    fn verify(&self, judge: &Path, log: &str, key: &str, earlier: &[PathBuf]) -> Finished {
        let earlier = earlier.iter().map(|file| path(file));
        judge_of(
            &self.home,
            judge,
            ["verify", log, key].into_iter().chain(earlier),
        )
    }
}

fn judge_of<'a>(
    home: &Home,
    judge: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Finished {
    run(home.command(judge).args(arguments))
}

fn path(file: &Path) -> &str {
    file.to_str().expect("temporary paths are text")
}

fn publish(home: &Home) -> Server {
    let published = Server::attempt(home, |command| {
        command.arg("--publish-events");
    });
    published.unwrap_or_else(|ended| panic!("the server ended at once\n{ended}"))
}

/// Has a checkpoint signed over everything so far, and keeps it.
#[track_caller]
fn keep_checkpoint(home: &Home, name: &str) -> PathBuf {
    home.write(name, &home.succeed(["audit", "checkpoint"]))
}

/// How many events a checkpoint is over: its second line.
fn size_of(checkpoint: &Path) -> u64 {
    let text = std::fs::read_to_string(checkpoint).expect("it was just written");
    let size = text.lines().nth(1).and_then(|line| line.parse().ok());
    size.unwrap_or_else(|| panic!("no size in {text}"))
}

/// So many CRLs are signed, each an event with a number of its own, over the control socket: starting a command for
/// each would take ten times as long.
fn grow(home: &Home, events: usize) {
    let body = r#"{"authority":"issuing","fresh":true}"#;
    let request = format!(
        "POST /v1/show-revocation-list HTTP/1.1\r\nhost: bowline\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..events {
        let socket = UnixStream::connect(home.path().join("control.sock"));
        let mut socket = socket.expect("the server listens");
        socket
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut answer = String::new();
        socket
            .read_to_string(&mut answer)
            .expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn a_served_log_verifies_and_grew_out_of_every_checkpoint_kept() {
    let Some(judge) = log_judge() else { return };
    let log = Grown::new();
    let verified = log
        .verify(judge, &log.url(), &log.key, &log.checkpoints)
        .expect_success()
        .json();
    assert!(verified["size"].as_u64() >= Some(EVENTS_MIN), "{verified}");
    // Two of entries, and one over the first of them.
    assert_eq!(verified["tiles"], 3, "{verified}");
    assert_eq!(verified["grown_from"], 3, "{verified}");
}

#[test]
fn whatever_is_changed_in_a_mirror_is_noticed() {
    let Some(judge) = log_judge() else { return };
    let log = Grown::new();
    let copy = log.mirror(judge, "mirror");
    let verify = || log.verify(judge, path(&copy), &log.key, &log.checkpoints);
    verify().expect_success();

    let mut changed = 0;
    for name in [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/*",
        "tile/1/000.p/*",
        "tile/entries/000",
        "tile/entries/001.p/*",
    ] {
        let file = the_file(&copy, name);
        let whole = std::fs::read(&file).expect("a mirrored file is readable");
        let mut try_with = |bytes: &[u8], what: &str| {
            std::fs::write(&file, bytes).expect("a mirrored file is writable");
            let refused = verify();
            assert!(refused.code == Some(1), "{name}: {what} passed\n{refused}");
            changed += 1;
        };
        for place in PLACES {
            let mut bytes = whole.clone();
            let at = (bytes.len() as f64 * place) as usize;
            bytes[at] ^= 1;
            try_with(&bytes, &format!("a flipped bit at {at}"));
        }
        try_with(&whole[..whole.len() - 1], "a cut end");
        std::fs::write(&file, &whole).expect("a mirrored file is writable");
    }
    assert_eq!(changed, 30);

    // Whole entries: moved, left out, put in twice.
    let file = copy.join("tile/entries/000");
    let whole = std::fs::read(&file).expect("a mirrored file is readable");
    let entries = entries(&whole);
    assert_eq!(entries.len(), 256);
    let mut moved = entries.clone();
    moved.swap(100, 101);
    assert_ne!(moved, entries);
    let mut left_out = entries.clone();
    left_out.remove(7);
    let mut twice = entries.clone();
    twice.insert(7, entries[7].clone());
    for (what, entries) in [("moved", moved), ("left out", left_out), ("twice", twice)] {
        std::fs::write(&file, entries.concat()).expect("a mirrored file is writable");
        let refused = verify();
        assert!(refused.code == Some(1), "an entry {what} passed\n{refused}");
    }
    std::fs::write(&file, &whole).expect("a mirrored file is writable");
    verify().expect_success();
}

/// The one file of a mirror with a name, or with a width that is not known beforehand.
fn the_file(copy: &Path, name: &str) -> PathBuf {
    let Some(folder) = name.strip_suffix("/*") else {
        return copy.join(name);
    };
    let entries = std::fs::read_dir(copy.join(folder)).expect("a mirrored directory is readable");
    let mut files = entries.map(|entry| entry.expect("a directory entry is readable").path());
    let file = files.next().expect("a partial tile is there");
    assert_eq!(files.next(), None);
    file
}

/// The entries of a bundle, each with the two bytes of its length.
fn entries(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let [high, low, ..] = bytes {
        let (entry, rest) = bytes.split_at(2 + usize::from(u16::from_be_bytes([*high, *low])));
        entries.push(entry.to_vec());
        bytes = rest;
    }
    entries
}

#[test]
fn another_key_and_another_log_are_refused() {
    let Some(judge) = log_judge() else { return };
    let log = Grown::new();
    let other = Home::initialized();
    let others_key = other.succeed(["audit", "key"]);
    let refused = log.verify(judge, &log.url(), &others_key, &[]);
    assert!(refused.stderr.contains("another key"), "{refused}");
    // A mirror that says so itself is not believed either: the checkpoint is not signed with it.
    let copy = log.mirror(judge, "mirror");
    std::fs::write(copy.join("key"), &others_key).expect("a mirrored file is writable");
    let refused = log.verify(judge, path(&copy), &others_key, &[]);
    assert!(refused.stderr.contains("the checkpoint"), "{refused}");
    let others = log
        .home
        .write("others.txt", &other.succeed(["audit", "checkpoint"]));
    let refused = log.verify(judge, &log.url(), &log.key, &[others]);
    assert!(refused.stderr.contains("the checkpoint"), "{refused}");
}

#[test]
fn a_history_that_the_holder_of_the_key_rewrote_does_not_grow_out_of_what_was_kept() {
    let Some(judge) = log_judge() else { return };
    // Two homes with one past and one key.
    let home = Home::initialized();
    home.succeed(["audit", "checkpoint"]);
    let forked = Home::empty();
    let copied = run(forked
        .command(Path::new("cp"))
        .arg("-a")
        .args([home.path(), forked.path()]));
    copied.expect_success();

    home.succeed(["issue", "web-1"]);
    let kept = forked.write("kept.txt", &home.succeed(["audit", "checkpoint"]));
    forked.succeed(["issue", "web-2"]);
    forked.succeed(["issue", "web-3"]);
    let key = home.succeed(["audit", "key"]);
    assert_eq!(forked.succeed(["audit", "key"]), key);
    let last = keep_checkpoint(&forked, "last.txt");
    assert!(size_of(&last) > size_of(&kept));

    let server = publish(&forked);
    let url = format!("{}/log", server.http());
    // By itself it is a good log.
    judge_of(&forked, judge, ["verify", &url, &key]).expect_success();
    judge_of(&forked, judge, ["verify", &url, &key, path(&last)]).expect_success();
    let refused = judge_of(&forked, judge, ["verify", &url, &key, path(&kept)]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("entries: "), "{refused}");
}

#[test]
fn single_proofs_hold_and_prove_nothing_else() {
    let Some(judge) = log_judge() else { return };
    let log = Grown::new();
    let home = &log.home;

    // 1. That an event is in the log: at both ends, and on both sides of a full tile.
    let size = size_of(&keep_checkpoint(home, "whole.txt"));
    for number in [1, 2, 256, 257, size - 1, size] {
        let proved = home.json(["audit", "prove", &number.to_string()]);
        let text = |member: &str| proved[member].as_str().expect("a text").to_owned();
        let entry = home.write("entry.json", &text("entry"));
        let proof = home.write("proof.txt", &text("proof"));
        let check = |entry: &Path, proof: &Path| {
            judge_of(home, judge, ["record", &log.key, path(entry), path(proof)])
        };
        check(&entry, &proof).expect_success();
        let edited = home.write("edited.json", &text("entry").replacen('2', "3", 1));
        assert_eq!(check(&edited, &proof).code, Some(1), "event {number}");
        let index = number - 1;
        let neighbour = format!("index {}\n", index ^ 1);
        let moved = text("proof").replacen(&format!("index {index}\n"), &neighbour, 1);
        let moved = home.write("moved.txt", &moved);
        assert_eq!(check(&entry, &moved).code, Some(1), "event {number}");
    }

    // 2. That the log only grew, between any two checkpoints.
    let files = &log.checkpoints;
    for (from, to) in [(0, 1), (0, 2), (1, 2)] {
        let sizes = [&files[from], &files[to]].map(|file| size_of(file).to_string());
        let proof = home.succeed(["audit", "consistency", &sizes[0], &sizes[1]]);
        let check = |proof: &str| {
            let proof = home.write("growth.txt", proof);
            let trees = [path(&files[from]), path(&files[to])];
            judge_of(
                home,
                judge,
                ["growth", &log.key, trees[0], trees[1], path(&proof)],
            )
        };
        check(&proof).expect_success();
        let mut lines: Vec<&str> = proof.lines().collect();
        assert!(lines.len() > 1, "{proof}");
        lines.reverse();
        assert_eq!(check(&lines.join("\n")).code, Some(1), "{sizes:?}");
    }
}

#[test]
fn without_being_told_to_a_server_publishes_hashes_and_no_events() {
    let Some(judge) = log_judge() else { return };
    let home = Home::initialized();
    let checkpoint = keep_checkpoint(&home, "kept.txt");
    let server = Server::start(&home);
    let url = format!("{}/log", server.http());
    let key = home.succeed(["audit", "key"]);
    let refused = judge_of(&home, judge, ["verify", &url, &key]);
    let first = format!("tile/entries/000.p/{}: 404", size_of(&checkpoint));
    assert!(refused.stderr.contains(&first), "{refused}");
}

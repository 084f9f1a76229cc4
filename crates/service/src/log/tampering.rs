//! Whoever changes an exported log is found out: more than a thousand ways, and each plain one by its name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::Signer;

use super::changes::Change;
use super::checkpoint::Checkpoint;
use super::lines::{FORMAT, Header, push_checkpoint, push_event, push_header, push_tile};
use super::note::{VerifierKey, sign};
use super::tile::{Edge, TILE_HASHES, Tile};
use super::tree::{Hash, leaf_hash};
use super::verdict::{LogError, Tampering};
use super::verify::verify_log;
use crate::keys::{KeySpec, PrivateKey};

/// A log of our own, to be tampered with.
struct Log {
    signer: PrivateKey,
    key: VerifierKey,
    entries: Vec<String>,
}

fn entry(number: usize) -> String {
    format!(r#"{{"at":"2026-01-01T00:00:00Z","caller":"operator","event":"test","n":{number}}}"#)
}

impl Log {
    fn new(size: usize) -> Log {
        let signer = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let bits = signer.public_key().key_bits().try_into().unwrap();
        Log {
            key: VerifierKey::new("test/1", bits).unwrap(),
            signer,
            entries: (1..=size).map(entry).collect(),
        }
    }

    fn checkpoint(&self, size: usize) -> String {
        let mut edge = Edge::new();
        for entry in &self.entries[..size] {
            edge.push(leaf_hash(entry.as_bytes()), &mut |_, _| {});
        }
        self.sign(size as u64, edge.root())
    }

    fn sign(&self, size: u64, root: Hash) -> String {
        let checkpoint = Checkpoint {
            origin: self.key.name().into(),
            size,
            root,
        };
        sign(&checkpoint.text(), self.key.name(), &self.signer).unwrap()
    }

    fn export(&self) -> Vec<String> {
        self.export_with(&self.checkpoint(self.entries.len()))
    }

    /// The lines of an export, each with its end.
    fn export_with(&self, checkpoint: &str) -> Vec<String> {
        let size = self.entries.len() as u64;
        let (mut edge, mut tiles) = (Edge::new(), Vec::new());
        for entry in &self.entries {
            let mut keep = |tile: Tile, hashes: &[Hash]| tiles.push((tile, hashes.concat()));
            edge.push(leaf_hash(entry.as_bytes()), &mut keep);
        }
        tiles.extend(edge.tiles().map(|(tile, hashes)| (tile, hashes.concat())));
        tiles.sort_by_key(|(tile, _)| {
            (
                tile.index << (8 * (u32::from(tile.level) + 1)),
                u8::MAX - tile.level,
            )
        });
        let mut lines = Vec::new();
        let mut push = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut line = Vec::new();
            write(&mut line);
            lines.push(String::from_utf8(line).unwrap());
        };
        let header = Header {
            format: FORMAT,
            origin: self.key.name().into(),
            vkey: self.key.to_string(),
            size,
            until: self.entries.last().map(|_| "2026-01-01T00:00:00Z".into()),
        };
        push(&|line| push_header(line, &header).unwrap());
        for (tile, bytes) in &tiles {
            push(&|line| push_tile(line, *tile, bytes).unwrap());
            if tile.level == 0 {
                let start = tile.index as usize * TILE_HASHES;
                for number in start..start + tile.width {
                    push(&|line| push_event(line, number as u64 + 1, &self.entries[number]));
                }
            }
        }
        push(&|line| push_checkpoint(line, checkpoint).unwrap());
        lines
    }

    fn verify(&self, lines: &[String]) -> Result<u64, LogError> {
        self.verify_bytes(lines.concat().as_bytes(), None)
    }

    fn verify_bytes(&self, mut bytes: &[u8], since: Option<&str>) -> Result<u64, LogError> {
        verify_log(&mut bytes, &self.key.to_string(), since, &mut |_| {}).map(|log| log.size)
    }

    fn changes(&self, lines: &[String]) -> Vec<Change> {
        changes(self.verify(lines))
    }
}

fn changes(verified: Result<u64, LogError>) -> Vec<Change> {
    match verified {
        Err(LogError::Tampered(Tampering { changes, more: 0 })) => changes,
        other => panic!("not found: {other:?}"),
    }
}

/// The line of an event.
fn line_of(lines: &[String], number: usize) -> usize {
    let start = format!("{{\"number\":{number},");
    lines
        .iter()
        .position(|line| line.starts_with(&start))
        .unwrap()
}

fn is_tile(line: &str) -> bool {
    line.starts_with("{\"tile\"")
}

/// Draws that are the same in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn a_whole_log_is_verified_at_every_kind_of_size() {
    for size in [
        0, 1, 2, 255, 256, 257, 511, 512, 513, 700, 65_536, 65_537, 66_000,
    ] {
        let log = Log::new(size);
        assert_eq!(log.verify(&log.export()).unwrap(), size as u64, "{size}");
    }
}

#[test]
fn every_plain_change_of_one_event_is_found_and_named() {
    let mut tampered = 0;
    for size in [1, 3, 256, 257, 300, 600] {
        let log = Log::new(size);
        let whole = log.export();
        let step = (size / 60).max(1);
        for number in (1..=size).step_by(step) {
            let at = line_of(&whole, number);
            let event = number as u64;

            // Edited in the text, and in a way that keeps it JSON.
            let mut lines = whole.clone();
            lines[at] = lines[at].replace("operator", "somebody");
            assert_eq!(log.changes(&lines)[0], Change::Edited { number: event });
            // The last event's time is in the header too.
            let mut lines = whole.clone();
            lines[at] = lines[at].replace("\"test\"", "\"tent\"");
            assert_eq!(log.changes(&lines), [Change::Edited { number: event }]);

            // Removed; with the numbers after it kept, and counted anew.
            let mut lines = whole.clone();
            lines.remove(at);
            let expected = if number == size {
                Change::Truncated { after: event - 1 }
            } else {
                Change::Removed { number: event }
            };
            assert_eq!(
                log.changes(&lines),
                std::slice::from_ref(&expected),
                "{number} of {size}"
            );
            for number in number + 1..=size {
                let at = line_of(&lines, number);
                lines[at] = lines[at].replacen(
                    &format!("\"number\":{number},"),
                    &format!("\"number\":{},", number - 1),
                    1,
                );
            }
            assert_eq!(log.changes(&lines), [expected], "{number} of {size}");

            // Inserted: something new, and a copy.
            let mut lines = whole.clone();
            lines.insert(at, lines[at].replace("operator", "somebody"));
            assert_eq!(
                log.changes(&lines),
                [Change::Inserted { after: event - 1 }],
                "{number} of {size}"
            );
            let mut lines = whole.clone();
            lines.insert(at + 1, lines[at].clone());
            let copied = log.changes(&lines);
            lines[at + 1] = "nonsense\n".into();
            let line = at as u64 + 2;
            assert_eq!(
                log.changes(&lines),
                [Change::Line { line }],
                "{number} of {size}"
            );
            assert!(
                matches!(copied[..], [Change::Inserted { after }] if after + 1 >= event && after <= event),
                "{copied:?}"
            );

            // Another number.
            let mut lines = whole.clone();
            lines[at] = lines[at].replacen("\"number\":", "\"number\":9", 1);
            assert!(matches!(
                log.changes(&lines)[..],
                [Change::Renumbered { number, .. }] if number == event
            ));
            tampered += 7;
        }
    }
    assert!(tampered >= 1_000, "{tampered}");
}

#[test]
fn two_swapped_events_are_named_wherever_they_stand() {
    let log = Log::new(600);
    let whole = log.export();
    let mut draws = Draws(1);
    for round in 0..200 {
        let one = 1 + draws.below(600);
        let other = match round % 2 {
            0 => 1 + one % 600,
            _ => 1 + draws.below(600),
        };
        if one == other {
            continue;
        }
        let (first, second) = (line_of(&whole, one), line_of(&whole, other));
        let mut lines = whole.clone();
        lines.swap(first, second);
        let changes = log.changes(&lines);
        let named = [one, other].map(|number| Change::Reordered {
            number: number as u64,
        });
        assert!(
            !changes.is_empty() && changes.iter().all(|change| named.contains(change)),
            "{one} {other}: {changes:?}"
        );
    }
}

#[test]
fn a_log_that_was_cut_off_is_told_so_wherever_it_was_cut() {
    let log = Log::new(300);
    let whole = log.export();
    let bytes = whole.concat().into_bytes();
    // Between lines: everything from a line on is gone.
    for at in 1..whole.len() {
        let events = whole[..at]
            .iter()
            .filter(|line| line.starts_with("{\"n"))
            .count();
        let after = events as u64;
        assert!(
            log.changes(&whole[..at])
                .contains(&Change::Truncated { after }),
            "{at}"
        );
        // And with the checkpoint put behind it.
        let with_end = [&whole[..at], &whole[whole.len() - 1..]].concat();
        if after < 300 {
            assert!(
                log.changes(&with_end)
                    .contains(&Change::Truncated { after }),
                "{at}"
            );
        }
    }
    // Anywhere: also by the very last byte.
    let mut draws = Draws(2);
    for round in 0..300 {
        let end = match round {
            0 => bytes.len() - 1,
            _ => draws.below(bytes.len()),
        };
        match log.verify_bytes(&bytes[..end], None) {
            Err(LogError::Tampered(tampering)) => assert!(
                tampering
                    .changes
                    .iter()
                    .any(|change| matches!(change, Change::Truncated { .. })),
                "{end}: {tampering:?}"
            ),
            Err(LogError::NotALog) => {}
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let log = Log::new(300);
    let bytes = log.export().concat().into_bytes();
    let mut draws = Draws(3);
    let mut flipped = bytes.clone();
    for _ in 0..1_500 {
        let (at, bit) = (draws.below(bytes.len()), draws.below(8));
        flipped[at] ^= 1 << bit;
        assert!(
            log.verify_bytes(&flipped, None).is_err(),
            "byte {at}, bit {bit}"
        );
        flipped[at] ^= 1 << bit;
    }
    // Every bit of the first and the last line, where a change has the most to gain.
    let log = Log::new(2);
    let bytes = log.export().concat().into_bytes();
    let mut flipped = bytes.clone();
    let last = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap();
    let first = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    for at in (0..=first).chain(last..bytes.len()) {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            assert!(
                log.verify_bytes(&flipped, None).is_err(),
                "byte {at}, bit {bit}"
            );
            flipped[at] ^= 1 << bit;
        }
    }
    assert!(log.verify_bytes(&flipped, None).is_ok());
}

#[test]
fn a_changed_tile_is_named_and_the_events_below_are_not_blamed() {
    for size in [3, 256, 300, 600, 66_000] {
        let log = Log::new(size);
        let whole = log.export();
        let tiles: Vec<usize> = (0..whole.len()).filter(|&at| is_tile(&whole[at])).collect();
        // The first ones are one of every level.
        for &at in tiles.iter().take(3) {
            let name = {
                let form: serde_json::Value = serde_json::from_str(&whole[at]).unwrap();
                let bytes = STANDARD
                    .decode(form["tile"]["hashes"].as_str().unwrap())
                    .unwrap();
                Tile {
                    level: form["tile"]["level"].as_u64().unwrap() as u8,
                    index: form["tile"]["index"].as_u64().unwrap(),
                    width: bytes.len() / 32,
                }
                .path()
            };
            let only = [Change::Tile { tile: name }];
            // A hash in it is another.
            let mut lines = whole.clone();
            let hash = lines[at].find("hashes\":\"").unwrap() + 9;
            let other = if lines[at].as_bytes()[hash] == b'A' {
                "B"
            } else {
                "A"
            };
            lines[at].replace_range(hash..=hash, other);
            assert_eq!(log.changes(&lines), only, "{at} of {size}");
            // It does not read.
            let mut lines = whole.clone();
            lines[at].truncate(20);
            lines[at].push('\n');
            assert_eq!(log.changes(&lines), only, "{at} of {size}");
            // It is gone.
            let mut lines = whole.clone();
            lines.remove(at);
            assert_eq!(log.changes(&lines), only, "{at} of {size}");
            // It is there twice.
            let mut lines = whole.clone();
            lines.insert(at, lines[at].clone());
            assert_eq!(
                log.changes(&lines),
                [Change::Line {
                    line: at as u64 + 2
                }],
                "{at} of {size}"
            );
        }
    }
}

/// Puts another event into the log and computes every hash anew, up to a level.
fn recompute(log: &Log, number: usize, levels: u8) -> Vec<String> {
    let signed = log.checkpoint(log.entries.len());
    let mut forged = Log {
        signer: PrivateKey::generate(KeySpec::Ed25519).unwrap(),
        key: log.key.clone(),
        entries: log.entries.clone(),
    };
    forged.entries[number - 1] = entry(9_999_999);
    let mut lines = forged.export_with(&signed);
    for (line, honest) in lines.iter_mut().zip(log.export()) {
        let above =
            (levels..8).any(|level| line.starts_with(&format!("{{\"tile\":{{\"level\":{level},")));
        if above {
            *line = honest;
        }
    }
    lines
}

#[test]
fn a_forgery_with_hashes_computed_anew_is_named_as_the_smallest_range_that_disagrees() {
    let log = Log::new(66_000);
    let range = |first, last| [Change::Recomputed { first, last }];
    assert_eq!(
        log.changes(&recompute(&log, 300, 0)),
        [Change::Edited { number: 300 }]
    );
    assert_eq!(log.changes(&recompute(&log, 300, 1)), range(257, 512));
    // The tiles above the first 65,536 events disagree with each other, which is found before any event.
    let found = log.changes(&recompute(&log, 300, 2));
    assert!(
        found.contains(&Change::Tile {
            tile: "1/000".into()
        }) || found == range(1, 65_536),
        "{found:?}"
    );
    assert_eq!(log.changes(&recompute(&log, 300, 8)), range(1, 66_000));

    // What an earlier checkpoint proves is out of the question.
    let since = log.checkpoint(65_900);
    let forged = recompute(&log, 65_950, 8).concat();
    assert_eq!(
        changes(log.verify_bytes(forged.as_bytes(), Some(&since))),
        range(65_901, 66_000)
    );
}

#[test]
fn a_log_rewritten_and_signed_again_is_found_by_an_earlier_checkpoint() {
    let mut log = Log::new(600);
    let earlier: Vec<(u64, String)> = [1, 256, 300, 599]
        .map(|size| (size as u64, log.checkpoint(size)))
        .into();
    let honest = log.export().concat();
    for (_, since) in &earlier {
        assert_eq!(
            log.verify_bytes(honest.as_bytes(), Some(since)).unwrap(),
            600
        );
    }
    log.entries[0] = entry(9_999_999);
    let rewritten = log.export().concat();
    // Alone it cannot be told from an honest log.
    assert_eq!(log.verify_bytes(rewritten.as_bytes(), None).unwrap(), 600);
    for (size, since) in &earlier {
        assert_eq!(
            changes(log.verify_bytes(rewritten.as_bytes(), Some(since))),
            [Change::Rewritten { size: *size }]
        );
    }
    log.entries[0] = entry(1);
    log.entries.truncate(300);
    let older = log.export().concat();
    assert_eq!(
        changes(log.verify_bytes(older.as_bytes(), Some(&earlier[3].1))),
        [Change::Older {
            size: 300,
            since: 599
        }]
    );
    let stranger = Log::new(600).checkpoint(300);
    assert!(matches!(
        log.verify_bytes(older.as_bytes(), Some(&stranger)),
        Err(LogError::Since(_))
    ));
}

#[test]
fn a_log_is_held_against_checkpoints_of_the_one_it_says_it_follows() {
    let old = Log::new(300);
    let since = old.checkpoint(257);
    let follows = |key: &VerifierKey, event: &str| {
        format!(r#"{{"at":"2026-01-01T00:00:00Z","event":"{event}","follows":"{key}"}}"#)
    };
    let signer = PrivateKey::generate(KeySpec::Ed25519).unwrap();
    let bits = signer.public_key().key_bits().try_into().unwrap();
    let mut log = Log {
        key: VerifierKey::new("test/2", bits).unwrap(),
        signer,
        entries: old.entries.clone(),
    };
    log.entries.push(follows(&old.key, "log_key_created"));
    log.entries.push(entry(302));
    let honest = log.export().concat();
    let held =
        |log: &Log, since: &str| log.verify_bytes(log.export().concat().as_bytes(), Some(since));
    assert_eq!(
        log.verify_bytes(honest.as_bytes(), Some(&since)).unwrap(),
        302
    );
    // Changed before it began, and signed by it.
    log.entries[6] = entry(9_999_999);
    assert_eq!(
        changes(held(&log, &since)),
        [Change::Rewritten { size: 257 }]
    );
    log.entries[6] = entry(7);
    // A checkpoint that its key did not sign, and the key of a log that it does not follow.
    let forged = since.replacen("257", "256", 1);
    assert!(matches!(held(&log, &forged), Err(LogError::Since(_))));
    let stranger = Log::new(300).checkpoint(257);
    assert!(matches!(held(&log, &stranger), Err(LogError::Since(_))));
    for told in [
        follows(&Log::new(1).key, "log_key_created"),
        follows(&old.key, "log_key_created_not"),
    ] {
        log.entries[300] = told;
        assert!(matches!(held(&log, &since), Err(LogError::Since(_))));
    }
    // What is not signed itself tells nothing.
    let told = honest.replace("log_key_created", "log_key_cheated");
    assert!(matches!(
        log.verify_bytes(told.as_bytes(), Some(&since)),
        Err(LogError::Tampered(_))
    ));
}

#[test]
fn another_checkpoint_or_another_key_is_found() {
    let log = Log::new(300);
    let whole = log.export();
    let replaced = |note: &str| {
        let mut lines = whole.clone();
        let last = lines.last_mut().unwrap();
        last.clear();
        let mut line = Vec::new();
        push_checkpoint(&mut line, note).unwrap();
        last.push_str(&String::from_utf8(line).unwrap());
        log.changes(&lines)
    };
    let header = Change::Header {
        member: "size".into(),
    };
    assert_eq!(replaced(&log.checkpoint(200)), [header]);
    assert_eq!(
        replaced(&log.sign(300, [7; 32])),
        [Change::Recomputed {
            first: 1,
            last: 300
        }]
    );
    for note in ["", "x\n", &Log::new(300).checkpoint(300)] {
        assert!(
            matches!(replaced(note)[..], [Change::Checkpoint { .. }]),
            "{note}"
        );
    }
    let mut trailing = whole.clone();
    trailing.push(whole[1].clone());
    assert_eq!(
        log.changes(&trailing),
        [Change::Line {
            line: whole.len() as u64 + 1
        }]
    );

    let forged = whole[line_of(&whole, 300)].replace("300", "301");
    for behind in [
        forged.clone(),
        forged.trim_end().into(),
        "x".into(),
        "\n".into(),
        "\r".into(),
        "x".repeat(400_000),
    ] {
        let mut trailing = whole.clone();
        trailing.push(behind);
        let line = whole.len() as u64 + 1;
        assert_eq!(log.changes(&trailing), [Change::Line { line }]);
    }
    // Others than we see a line more where a line is divided.
    for number in 0..whole.len() {
        for divided in [
            whole[number].replacen(',', ",\r", 1),
            whole[number].replacen('\n', "\r\n", 1),
        ] {
            let mut lines = whole.clone();
            if lines[number] != divided {
                lines[number] = divided;
                assert!(log.verify(&lines).is_err(), "{number}");
            }
        }
    }

    let other = Log::new(1);
    let verified = other.verify_bytes(whole.concat().as_bytes(), None);
    let changes = changes(verified);
    assert!(
        changes
            .iter()
            .any(|change| matches!(change, Change::Checkpoint { .. })),
        "{changes:?}"
    );
    assert!(matches!(
        verify_log(&mut &b""[..], "key", None, &mut |_| {}),
        Err(LogError::Key(_))
    ));
}

#[test]
fn every_member_of_the_header_is_held_against_the_log() {
    let log = Log::new(300);
    let whole = log.export();
    for (from, to, member) in [
        ("\"origin\":\"test/1\"", "\"origin\":\"test/2\"", "origin"),
        ("\"vkey\":\"test/1+", "\"vkey\":\"test/2+", "vkey"),
        ("\"size\":300", "\"size\":400", "size"),
        ("\"size\":300", "\"size\":18446744073709551615", "size"),
        ("\"size\":300", "\"size\":200", "size"),
        ("2026-01-01T", "2026-01-02T", "until"),
    ] {
        let mut lines = whole.clone();
        assert!(lines[0].contains(from));
        lines[0] = lines[0].replacen(from, to, 1);
        let member = Change::Header {
            member: member.into(),
        };
        assert!(log.changes(&lines).contains(&member), "{to}");
    }
    let mut lines = whole.clone();
    lines[0] = lines[0].replacen("\"format\":1", "\"format\":2", 1);
    assert!(matches!(
        log.verify(&lines),
        Err(LogError::NewerFormat { found: 2 })
    ));
    assert!(matches!(log.verify(&[]), Err(LogError::NotALog)));
}

#[test]
fn a_log_that_promises_more_than_can_be_looked_for_is_refused_at_once() {
    let log = Log::new(300);
    for index in [1_u64 << 40, 1 << 54, u64::MAX >> 8, u64::MAX] {
        let mut lines = log.export();
        lines[0] = lines[0].replacen("\"size\":300", &format!("\"size\":{}", u64::MAX), 1);
        let far = lines[1].replacen("\"index\":0", &format!("\"index\":{index}"), 1);
        lines.push(far);
        match log.verify(&lines) {
            Err(LogError::Tampered(tampering)) => assert!(!tampering.changes.is_empty()),
            other => panic!("{other:?}"),
        }
        let last = lines.len() - 2;
        lines.remove(last);
        assert!(matches!(log.verify(&lines), Err(LogError::Tampered(_))));
    }
}

#[test]
fn a_log_full_of_nonsense_is_refused_within_bounds() {
    let log = Log::new(2);
    let header = log.export()[0].replace("\"size\":2", "\"size\":1000000000");
    let mut text = header;
    for number in 1..40_000_u64 {
        text.push_str(&format!("{{\"number\":{number},\"entry\":{{}}}}\n"));
    }
    match log.verify_bytes(text.as_bytes(), None) {
        Err(LogError::Tampered(tampering)) => {
            assert!(tampering.more > 0 && tampering.changes.len() <= 10_000);
        }
        other => panic!("{other:?}"),
    }
}

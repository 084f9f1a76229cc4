//! A home that a later program wrote is refused by name, and is as it was afterwards.

use crate::golden::{FIRST, Golden, SECOND, check_health, files};
use aws_lc_rs::digest::{SHA256, digest};
use bowline_store::Value;
use bowline_store::checkpoint::{Entry, Reader, Writer};
use bowline_tests::{Finished, Home, Server, run_within};
use std::fs::{File, read, read_dir, write};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a command may take to refuse. A server that starts instead would never end.
const REFUSE_MAX: Duration = Duration::from_secs(20);

/// Where the number of the format is in the header of a journal segment, and of a checkpoint.
const FORMAT_AT: std::ops::Range<usize> = 8..12;

/// What the checksum covers that follows in the header of a segment.
const SEGMENT_COVERED: usize = 52;

/// What the checksum covers that follows in the header of a checkpoint.
const CHECKPOINT_COVERED: usize = 60;

/// Commands that only read, that write, that copy, and that stay.
const COMMANDS: [&[&str]; 7] = [
    &["cert", "list"],
    &["issue", "web-9"],
    &["cert", "revoke", "web-1"],
    &["ca", "crl", "--all"],
    &["backup", "no.backup"],
    &["audit", "export", "no.jsonl"],
    &[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--plain-listen",
        "127.0.0.1:0",
    ],
];

/// Raises the format of a file's header by one, with the checksum that belongs to it. Gives the number that was.
fn raise(file: &Path, covered: usize) -> u32 {
    let mut bytes = read(file).expect("a golden file is readable");
    let format = u32::from_be_bytes(bytes[FORMAT_AT].try_into().expect("four bytes"));
    bytes[FORMAT_AT].copy_from_slice(&(format + 1).to_be_bytes());
    let checksum = digest(&SHA256, &bytes[..covered]);
    bytes[covered..covered + 32].copy_from_slice(checksum.as_ref());
    write(file, bytes).expect("a copy is writable");
    format
}

/// The files of a folder, the oldest first.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = read_dir(folder).expect("the folder is there");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry is readable").path())
        .collect();
    found.sort();
    found
}

/// Everything but who holds the lock and what can be made again: the lock names the process, and the index's own
/// files change by being opened.
fn truth(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = files(&home.path());
    found.retain(|(path, _)| path != Path::new("lock") && !path.starts_with("index"));
    assert!(found.len() >= 2, "only {} files", found.len());
    found
}

/// Every command refuses, saying which file has which format, and changes nothing.
#[track_caller]
fn check_refused(home: &Home, file: &Path, found: u32, known: u32) {
    let before = truth(home);
    let name = file
        .file_name()
        .expect("a file has a name")
        .to_string_lossy()
        .into_owned();
    let sentence = format!(
        "{name} has format {found}, newer than the {known} this program knows; use the program that wrote it"
    );
    for command in COMMANDS {
        let refused = run_within(&mut home.bowline(command), REFUSE_MAX);
        assert_eq!(refused.code, Some(75), "{refused}");
        assert!(refused.stderr.contains(&sentence), "{refused}");
        assert!(refused.stderr.contains("[home_does_not_open]"), "{refused}");
        assert!(truth(home) == before, "changed by\n{refused}");
    }
    for command in [&["doctor"] as &[&str], &["doctor", "--repair"]] {
        let found = home.run(command);
        assert_eq!(found.code, Some(4), "{found}");
        assert!(found.stdout.contains(&sentence), "{found}");
        assert!(truth(home) == before, "changed by\n{found}");
    }
    assert!(!home.file("no.backup").exists() && !home.file("no.jsonl").exists());
}

/// What the later program finds afterwards: its home, whole.
#[track_caller]
fn check_whole_again(golden: &Golden, home: &Home, file: &Path, was: &[u8]) {
    write(file, was).expect("a copy is writable");
    golden.check(home);
}

#[test]
fn a_journal_of_a_newer_format_is_refused() {
    for golden in [&FIRST, &SECOND] {
        let home = golden.copy();
        let newest = in_folder(&home.path().join("journal")).pop();
        let file = newest.expect("a home has a journal");
        let was = read(&file).expect("a golden file is readable");
        // The first home's is raised past everything this program reads.
        let mut found = raise(&file, SEGMENT_COVERED) + 1;
        if golden.folder == FIRST.folder {
            found = raise(&file, SEGMENT_COVERED) + 1;
        }
        check_refused(&home, &file, found, found - 1);
        check_whole_again(golden, &home, &file, &was);
    }
}

#[test]
fn a_checkpoint_of_a_newer_format_is_refused() {
    let home = SECOND.copy();
    let file = in_folder(&home.path().join("checkpoint")).remove(0);
    let was = read(&file).expect("a golden file is readable");
    let known = raise(&file, CHECKPOINT_COVERED);
    check_refused(&home, &file, known + 1, known);
    check_whole_again(&SECOND, &home, &file, &was);
}

#[test]
fn a_newer_checkpoint_is_not_passed_over_for_an_older_one() {
    let home = SECOND.copy();
    // A backup is a checkpoint of the last commit.
    home.succeed(["backup", "last.backup"]);
    let backup = home.file("last.backup");
    let source = BufReader::new(File::open(&backup).expect("it was just written"));
    let sequence = Reader::open(source)
        .expect("it was read back")
        .header()
        .sequence;
    let file = home
        .path()
        .join(format!("checkpoint/{sequence:020}.checkpoint"));
    let was = read(&backup).expect("it was just written");
    write(&file, &was).expect("a copy is writable");
    assert_eq!(in_folder(&home.path().join("checkpoint")).len(), 2);
    SECOND.check(&home);
    let known = raise(&file, CHECKPOINT_COVERED);
    check_refused(&home, &file, known + 1, known);
    check_whole_again(&SECOND, &home, &file, &was);
}

#[test]
fn a_backup_of_a_newer_format_is_refused() {
    let home = SECOND.copy();
    home.succeed(["backup", "newer.backup"]);
    let known = raise(&home.file("newer.backup"), CHECKPOINT_COVERED);
    let refused = restore(&home, "newer.backup").expect_failure();
    assert_eq!(refused.code, Some(75), "{refused}");
    let sentence = format!(
        "format {} is newer than the {known} this program knows",
        known + 1
    );
    assert!(refused.stderr.contains(&sentence), "{refused}");
    assert!(
        refused.stderr.contains("[backup_newer_format]"),
        "{refused}"
    );
    assert_nothing_restored(&home);
}

/// What tells of a record that is newer.
enum Teller {
    /// Without it there is no home.
    Restore,
    /// A command that needs it, and the doctor.
    Command(&'static [&'static str]),
    /// An event is a leaf whatever its form, so that the log goes on.
    Doctor,
}

/// The kinds of records of a home: those with a slash have several.
const RECORDS: [(&str, Teller); 17] = [
    ("settings", Teller::Restore),
    ("passage", Teller::Restore),
    ("master", Teller::Restore),
    ("key-ring", Teller::Restore),
    ("log", Teller::Restore),
    ("authority/", Teller::Restore),
    ("crl-number/", Teller::Restore),
    ("authority-key/", Teller::Command(&["issue", "web-9"])),
    (
        "certificate/",
        Teller::Command(&["cert", "list", "--expired"]),
    ),
    (
        "revocation/",
        Teller::Command(&["cert", "list", "--expired"]),
    ),
    ("trust-anchor/", Teller::Command(&["anchor", "list"])),
    (
        "trust-anchor-name/",
        Teller::Command(&["anchor", "show", "default"]),
    ),
    ("profile/", Teller::Command(&["profile", "list"])),
    (
        "profile-name/",
        Teller::Command(&["profile", "show", "default"]),
    ),
    ("role/", Teller::Command(&["role", "list"])),
    ("subject/", Teller::Command(&["subject", "list"])),
    ("event/", Teller::Doctor),
];

#[test]
fn a_record_of_a_newer_format_is_refused_and_never_guessed() {
    let home = SECOND.copy();
    check_health(&home);
    home.succeed(["backup", "whole.backup"]);
    for (kind, teller) in RECORDS {
        let raised = raise_records(&home.file("whole.backup"), &home.file("newer.backup"), kind);
        assert!(raised > 0, "no {kind}");
        let restored = restore(&home, "newer.backup");
        match teller {
            Teller::Restore => {
                check_says_newer(kind, &restored);
                assert_nothing_restored(&home);
                continue;
            }
            Teller::Command(command) => {
                restored.expect_success();
                let at = ["--home", "restored"];
                check_says_newer(kind, &home.run(command.iter().chain(&at)));
            }
            Teller::Doctor => {
                restored.expect_success();
            }
        }
        let doctor = home.run(["doctor", "--home", "restored"]);
        assert_eq!(doctor.code, Some(4), "{kind}\n{doctor}");
        std::fs::remove_dir_all(home.file("restored")).expect("it was restored");
    }
}

/// The refusal names the record, both numbers, and what to do.
#[track_caller]
fn check_says_newer(kind: &str, refused: &Finished) {
    assert_eq!(refused.code, Some(75), "{kind}\n{refused}");
    for part in [
        "has format 2 and this program knows 1",
        "written by a newer program; use that one",
        "[record_format_unknown]",
    ] {
        assert!(refused.stderr.contains(part), "{kind}\n{refused}");
    }
}

/// Restores into `restored` beside the copy, with the golden home's own key.
fn restore(home: &Home, backup: &str) -> Finished {
    let key = home.path().join("unseal.key").display().to_string();
    home.run([
        "restore",
        backup,
        "--home",
        "restored",
        "--unseal-key",
        &key,
    ])
}

#[track_caller]
fn assert_nothing_restored(home: &Home) {
    let left = in_folder(&home.work());
    let left = left.iter().find(|path| path.is_dir());
    assert_eq!(left, None, "a part of a home");
}

/// Copies a backup with the format byte of every record of a kind raised by one; says how many there were.
fn raise_records(from: &Path, to: &Path, kind: &str) -> usize {
    let source = BufReader::new(File::open(from).expect("it was just written"));
    let mut reader = Reader::open(source).expect("it was read back when it was written");
    let output = BufWriter::new(File::create(to).expect("the work directory is writable"));
    let mut writer = Writer::begin(output, reader.header()).expect("a disk with room");
    let mut raised = 0;
    while let Some(entry) = reader.next().expect("it was read back when it was written") {
        let entry = match entry {
            Entry::Record(key, value) if is_kind(key.as_bytes(), kind) => {
                raised += 1;
                let mut bytes = value.as_bytes().to_vec();
                bytes[0] += 1;
                Entry::Record(key, Value::new(bytes).expect("it has the same length"))
            }
            entry => entry,
        };
        writer.push(&entry).expect("the same order");
    }
    writer.finish().expect("a disk with room");
    raised
}

fn is_kind(key: &[u8], kind: &str) -> bool {
    match kind.ends_with('/') {
        true => key.starts_with(kind.as_bytes()),
        false => key == kind.as_bytes(),
    }
}

#[test]
fn an_index_that_was_opened_before_the_refusal_is_not_believed() {
    // A server looks at the index before it refuses the journal; nothing of that may be believed afterwards.
    let home = FIRST.copy();
    let file = in_folder(&home.path().join("journal")).remove(0);
    let was = read(&file).expect("a golden file is readable");
    raise(&file, SEGMENT_COVERED);
    raise(&file, SEGMENT_COVERED);
    for _ in 0..3 {
        let refused = run_within(&mut home.bowline(COMMANDS[6]), REFUSE_MAX);
        assert_eq!(refused.code, Some(75), "{refused}");
    }
    write(&file, &was).expect("a copy is writable");
    let server = Server::start(&home);
    FIRST.check(&home);
    check_health(&home);
    assert!(server.stop().success());
}

//! `age` itself opens our encrypted backups and makes ones that we restore, and openssl judges what a restored home
//! signs.

use crate::scene::{Leaf, age, openssl};
use bowline_tests::{Finished, Home, run};
use std::fs::{read, write};
use std::path::{Path, PathBuf};

/// An age identity: the file that opens, and who it is.
struct Identity {
    file: PathBuf,
    recipient: String,
}

impl Identity {
    #[track_caller]
    fn new(home: &Home, age: &Path, name: &str) -> Identity {
        let file = home.file(name);
        let keygen = age.with_file_name("age-keygen");
        run(home.command(&keygen).arg("-o").arg(&file)).expect_success();
        let said = run(home.command(&keygen).arg("-y").arg(&file)).expect_success();
        let recipient = said.stdout.trim().to_owned();
        assert!(recipient.starts_with("age1"), "{recipient}");
        Identity { file, recipient }
    }
}

/// `age -d`, with one identity.
fn open(home: &Home, age: &Path, identity: &Identity, from: &str, to: &str) -> Finished {
    let mut command = home.command(age);
    command.args(["-d", "-o", to, "-i"]).arg(&identity.file);
    run(command.arg(from))
}

/// A home with a certificate that is good and one that is revoked, and a copy of its key from the safe.
fn home() -> Home {
    let home = Home::initialized();
    home.succeed(["issue", "web-1"]);
    home.succeed(["issue", "web-2"]);
    home.succeed(["cert", "revoke", "web-2"]);
    let key = read(home.path().join("unseal.key")).expect("a home has its key");
    write(home.file("safe.key"), key).expect("the work directory is writable");
    home
}

/// `bowline restore FILE --home restored …`
fn restore(home: &Home, file: &str, more: &[&str]) -> Finished {
    let arguments = ["restore", file, "--home", "restored"];
    home.run(
        arguments
            .iter()
            .chain(&["--unseal-key", "safe.key"])
            .chain(more),
    )
}

#[track_caller]
fn check_restored(home: &Home) {
    let names = |home_arguments: &[&str]| {
        let list = ["cert", "list", "--expired", "--output", "json"];
        home.succeed(list.iter().chain(home_arguments))
    };
    assert_eq!(names(&["--home", "restored"]), names(&[]));
    let doctor = home.json(["doctor", "--home", "restored"]);
    assert_eq!(doctor["status"], "ok", "{doctor}");
}

#[test]
fn age_opens_what_we_encrypted_and_finds_what_we_restore_from() {
    let Some(age) = age() else { return };
    let home = home();
    let (one, other) = (
        Identity::new(&home, age, "one.txt"),
        Identity::new(&home, age, "other.txt"),
    );
    let stranger = Identity::new(&home, age, "stranger.txt");
    home.write(
        "recipients.txt",
        &format!("# operators\n{}\n", other.recipient),
    );
    home.succeed([
        "backup",
        "secret.age",
        "--recipient",
        &one.recipient,
        "--recipient",
        "recipients.txt",
    ]);
    // 1. We open it ourselves; what was in it is the checkpoint that the new home begins with.
    let mine = one.file.display().to_string();
    restore(&home, "secret.age", &["--identity", &mine]).expect_success();
    check_restored(&home);
    let checkpoints = std::fs::read_dir(home.file("restored/checkpoint")).expect("it has one");
    let first = checkpoints.map(|entry| entry.expect("a directory entry is readable").path());
    let ours = read(first.min().expect("it has one")).expect("a checkpoint is readable");

    // 2. age opens it, with either identity, and finds the same bytes; nobody else does.
    let secret = read(home.file("secret.age")).expect("a backup is readable");
    assert!(!secret.windows(8).any(|bytes| bytes == &ours[..8]));
    for identity in [&one, &other] {
        let _ = std::fs::remove_file(home.file("opened.backup"));
        open(&home, age, identity, "secret.age", "opened.backup").expect_success();
        let opened = read(home.file("opened.backup")).expect("age wrote it");
        assert!(opened == ours, "age found other bytes");
    }
    open(&home, age, &stranger, "secret.age", "no.backup").expect_failure();

    // 3. What age wrote is a backup like any other.
    std::fs::remove_dir_all(home.file("restored")).expect("it was restored");
    restore(&home, "opened.backup", &[]).expect_success();
    check_restored(&home);
}

#[test]
fn what_age_encrypted_is_restored_with_its_identity_alone() {
    let Some(age) = age() else { return };
    let home = home();
    let one = Identity::new(&home, age, "one.txt");
    let stranger = Identity::new(&home, age, "stranger.txt");
    home.succeed(["backup", "plain.backup"]);
    let mut command = home.command(age);
    command.args(["-r", &one.recipient, "-o", "secret.age", "plain.backup"]);
    run(&mut command).expect_success();

    // 1. Without the identity, or with another: nothing.
    let refused = restore(&home, "secret.age", &[]).expect_failure();
    assert!(refused.stderr.contains("--identity"), "{refused}");
    let mine = stranger.file.display().to_string();
    restore(&home, "secret.age", &["--identity", &mine]).expect_failure();

    // 2. With a flipped bit, or cut off: nothing.
    let mine = one.file.display().to_string();
    let whole = read(home.file("secret.age")).expect("age wrote it");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [flipped, whole[..whole.len() - 1].to_vec()] {
        write(home.file("damaged.age"), damaged).expect("the work directory is writable");
        restore(&home, "damaged.age", &["--identity", &mine]).expect_failure();
    }
    assert!(!home.file("restored").exists());

    // 3. With it: the home.
    restore(&home, "secret.age", &["--identity", &mine]).expect_success();
    check_restored(&home);
}

#[test]
fn openssl_believes_what_a_restored_home_signs() {
    let Some(openssl) = openssl() else { return };
    let home = home();
    home.succeed(["backup", "plain.backup"]);
    // Published after the backup: a revocation the backup does not know, in a list with a higher number.
    home.succeed(["cert", "revoke", "web-1"]);
    home.write("published.pem", &home.succeed(["ca", "crl"]));
    restore(&home, "plain.backup", &["--crl", "published.pem"]).expect_success();

    let restored =
        |arguments: &[&str]| home.succeed(arguments.iter().chain(&["--home", "restored"]));
    let roots = home.write("roots.pem", &restored(&["ca", "bundle"]));
    restored(&["issue", "web-3", "--out", "."]);
    let leaf = Leaf::at(&home.work(), "web-3");
    let list = home.write("restored.pem", &restored(&["ca", "crl"]));
    let lists = home.write("all.pem", &restored(&["ca", "crl", "--all"]));

    // 1. The CRL: signed by the authority, and newer than the one that was published.
    let mut command = home.command(openssl);
    command.args(["crl", "-noout", "-verify", "-in"]).arg(&list);
    let verified = run(command.arg("-CAfile").arg(&leaf.chain)).expect_success();
    // Some versions exit with 0 whatever they find.
    let said = format!("{}{}", verified.stdout, verified.stderr);
    assert!(said.contains("verify OK"), "{verified}");
    let before = crl_number(&home, openssl, "published.pem");
    let after = crl_number(&home, openssl, "restored.pem");
    assert!(after > before, "{after} after {before}");

    // 2. The chain of what it issued, with every CRL; and nothing that was revoked before or after the backup.
    let verify = |leaf: &Leaf| {
        let mut command = home.command(openssl);
        command.args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"]);
        command.arg(&roots).arg("-CRLfile").arg(&lists);
        run(command
            .arg("-untrusted")
            .arg(&leaf.chain)
            .arg(&leaf.certificate))
    };
    verify(&leaf).expect_success();
    for name in ["web-1", "web-2"] {
        let refused = verify(&Leaf::at(&home.work(), name)).expect_failure();
        assert!(refused.stderr.contains("certificate revoked"), "{refused}");
    }
}

/// The number of a CRL, as openssl reads it (RFC 5280 §5.2.3).
#[track_caller]
fn crl_number(home: &Home, openssl: &Path, file: &str) -> u128 {
    let mut command = home.command(openssl);
    let said = run(command.args(["crl", "-noout", "-crlnumber", "-in", file])).expect_success();
    let digits = said.stdout.trim().trim_start_matches("crlNumber=");
    let digits = digits.trim_start_matches("0x");
    u128::from_str_radix(digits, 16).unwrap_or_else(|e| panic!("no CRL number: {e}\n{said}"))
}

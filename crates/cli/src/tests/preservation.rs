//! Backups, and homes made of them.

use std::fs::File;
use std::os::unix::fs::symlink;

use super::*;

/// Some names in a directory begin so.
fn names(directory: &Path, beginning: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(beginning)).collect()
}

/// The key file of the bench's home, as an argument.
fn unseal(bench: &Bench) -> String {
    let file = bench.home().join("unseal.key");
    format!("--unseal-key {}", file.display())
}

#[test]
fn a_restored_home_goes_on_like_the_old_one() {
    let bench = Bench::empty();
    // The journal goes by the machine's clock.
    *bench.clock.0.lock().unwrap() = SystemClock.now();
    bench.succeed("init");
    bench.succeed("role create web --allow s3:GetObject --on arn:aws:s3:::data/*");
    bench.succeed("issue web-1 --role web");
    bench.succeed("issue web-2 --role web");
    bench.succeed("cert revoke web-2");
    let made = bench.json("backup home.backup");
    let size = fs::metadata(bench.file("home.backup")).unwrap().len();
    assert_eq!(made["bytes"], size);
    assert_eq!(mode(&bench.file("home.backup")), 0o600);
    bench.wait(TimeDelta::minutes(120) - TimeDelta::seconds(1));

    let told = bench.succeed(&format!(
        "restore home.backup --home new {}",
        unseal(&bench)
    ));
    for fact in ["1 h 59 min before now", "is not in it", "keys         open"] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert_eq!(mode(&bench.file("new")), 0o700);
    assert_eq!(mode(&bench.file("new/unseal.key")), 0o600);
    assert_eq!(names(&bench.file("."), "new"), ["new"]);
    // It exchanges, refuses, issues and revokes.
    bench.succeed("credentials web-1 --home new");
    bench.refuse("credentials web-2 --home new", 4, "revoked");
    bench.succeed("issue web-3 --role web --home new");
    bench.succeed("cert revoke web-1 --home new");
    bench.refuse("credentials web-1 --home new", 4, "revoked");
    bench.succeed("doctor --home new");
    // The old one knows nothing of it.
    bench.succeed("credentials web-1");
}

#[test]
fn a_backup_is_written_over_nothing_unless_forced() {
    let bench = Bench::with_home();
    bench.succeed("backup home.backup");
    bench.refuse("backup home.backup", 7, "--force");
    bench.succeed("backup home.backup --force");
    symlink("nowhere", bench.file("link")).unwrap();
    bench.refuse("backup link", 7, "--force");
    bench.refuse("backup no/such/place", 6, "no/such/place");
    assert_eq!(names(&bench.file("."), ".bowline-"), Vec::<String>::new());
}

#[test]
fn what_an_interrupted_backup_left_is_removed_by_the_next() {
    let bench = Bench::with_home();
    fs::write(bench.file(".bowline-backup-left"), "half").unwrap();
    let held = File::create(bench.file(".bowline-backup-held")).unwrap();
    held.lock().unwrap();
    let told = bench.run("backup home.backup");
    assert!(
        told.messages.contains(".bowline-backup-left"),
        "{}",
        told.messages
    );
    assert_eq!(
        names(&bench.file("."), ".bowline-"),
        [".bowline-backup-held"]
    );
}

#[test]
fn a_damaged_backup_is_refused_by_the_place_and_nothing_is_made() {
    let bench = Bench::with_web();
    bench.succeed("backup home.backup");
    let whole = fs::read(bench.file("home.backup")).unwrap();
    let mut flipped = whole.clone();
    flipped[300] ^= 1;
    for (damaged, says) in [
        (&flipped[..], "offset 92"),
        (&whole[..whole.len() - 1], "ends too early"),
        (&b"dear"[..], "does not begin like"),
        (&b"age-encryption.org/v1\n"[..], "--identity"),
    ] {
        fs::write(bench.file("damaged"), damaged).unwrap();
        bench.refuse(
            &format!("restore damaged --home new {}", unseal(&bench)),
            3,
            says,
        );
    }
    assert_eq!(names(&bench.file("."), "new"), Vec::<String>::new());
}

#[test]
fn an_encrypted_backup_opens_for_its_recipients_and_for_nobody_else() {
    let bench = Bench::with_web();
    let keys = [0, 1, 2].map(|_| age::x25519::Identity::generate());
    for (name, key) in ["one", "two", "other"].iter().zip(&keys) {
        use age::secrecy::ExposeSecret;
        let text = format!("# created\n{}\n", key.to_string().expose_secret());
        fs::write(bench.file(name), text).unwrap();
    }
    fs::write(
        bench.file("team"),
        format!("# the safe\n{}\n", keys[1].to_public()),
    )
    .unwrap();
    let line = format!(
        "backup sealed --recipient {} --recipient team",
        keys[0].to_public()
    );
    let made = bench.json(&line);
    assert_eq!(made["recipients"], 2);
    let file = fs::read(bench.file("sealed")).unwrap();
    assert!(file.starts_with(b"age-encryption.org/v1\n"));
    assert!(!file.windows(8).any(|bytes| bytes == b"BOWLCKPT"));

    let key = unseal(&bench);
    bench.refuse(&format!("restore sealed --home new {key}"), 3, "--identity");
    bench.refuse(
        &format!("restore sealed --home new {key} --identity other"),
        4,
        "any of the identities",
    );
    bench.refuse(
        &format!("restore sealed --home new {key} --identity team"),
        3,
        "AGE-SECRET-KEY-1",
    );
    for name in ["one", "two"] {
        bench.succeed(&format!(
            "restore sealed --home by-{name} {key} --identity {name}"
        ));
        bench.succeed(&format!("credentials web-1 --home by-{name}"));
    }
    // Damage is noticed under encryption too, and where it is cut off.
    fs::write(bench.file("cut"), &file[..file.len() - 1]).unwrap();
    bench.refuse(
        &format!("restore cut --home new {key} --identity one"),
        3,
        "offset",
    );
    fs::write(bench.file("cut"), &file[..100]).unwrap();
    bench.refuse(
        &format!("restore cut --home new {key} --identity one"),
        3,
        "cut off",
    );
    bench.refuse("backup other-file --recipient age1nobody", 3, "age1nobody");
}

#[test]
fn without_its_key_a_restored_home_verifies_and_signs_nothing() {
    let bench = Bench::with_web();
    bench.succeed("backup home.backup");
    let told = bench.succeed("restore home.backup --home new");
    assert!(
        told.contains("signs nothing") && told.contains("To open the keys"),
        "{told}"
    );
    assert!(!bench.file("new/unseal.key").exists());
    bench.succeed("cert show web-1 --home new");
    bench.refuse("issue web-2 --role web --home new", 3, "unseal.key");
    // The right key, put in later, opens it.
    let key = fs::read(bench.home().join("unseal.key")).unwrap();
    crate::files::create_secret(&bench.file("new/unseal.key"), &key).unwrap();
    bench.succeed("issue web-2 --role web --home new");
}

#[test]
fn a_key_that_does_not_open_the_backup_makes_no_home() {
    let bench = Bench::with_home();
    bench.succeed("backup home.backup");
    fs::write(bench.file("wrong"), [7; 32]).unwrap();
    bench.refuse(
        "restore home.backup --home new --unseal-key wrong",
        4,
        "wrong: ",
    );
    fs::write(bench.file("short"), [7; 31]).unwrap();
    bench.refuse(
        "restore home.backup --home new --unseal-key short",
        3,
        "32 bytes",
    );
    fs::write(bench.file("phrase"), "correct horse\n").unwrap();
    bench.refuse(
        "restore home.backup --home new --key-password-file phrase",
        3,
        "unseal.key",
    );
    assert_eq!(names(&bench.file("."), "new"), Vec::<String>::new());
}

#[test]
fn a_home_under_a_passphrase_is_restored_with_it() {
    let bench = Bench::empty();
    fs::write(bench.file("phrase"), "correct horse\n").unwrap();
    bench.succeed("init --key-password-file phrase");
    let told = bench.succeed("backup home.backup --key-password-file phrase");
    assert!(told.contains("passphrase"), "{told}");
    bench.succeed("restore home.backup --home new --key-password-file phrase");
    bench.succeed("ca crl --home new --key-password-file phrase");
    // A passphrase that is set for another home is not in the way of a key that is named.
    let mut other = Bench::with_home();
    other.succeed("backup home.backup");
    let file = bench.file("phrase").display().to_string();
    other
        .variables
        .push(("BOWLINE_KEY_PASSWORD_FILE".into(), file));
    other.succeed(&format!(
        "restore home.backup --home new {}",
        unseal(&other)
    ));
}

#[test]
fn restore_takes_the_place_of_nothing_unless_forced() {
    let bench = Bench::with_web();
    bench.succeed("backup home.backup");
    let key = unseal(&bench);
    let line = format!("restore home.backup --home ../home {key}");
    bench.refuse(&line, 7, "--force");
    fs::create_dir(bench.file("letters")).unwrap();
    fs::write(bench.file("letters/one.txt"), "dear").unwrap();
    bench.refuse(
        "restore home.backup --home letters --force",
        7,
        "other files",
    );
    fs::create_dir(bench.file("empty")).unwrap();
    bench.succeed(&format!("restore home.backup --home empty {key}"));

    // One that is open stays where it is.
    let held = bowline_store_sled::SledStore::open(
        &bench.home(),
        &bowline_store_sled::SledOptions::one_shot(),
    );
    bench.refuse(&format!("{line} --force"), 75, "in use");
    drop(held);

    bench.succeed("issue web-2 --role web");
    fs::copy(bench.home().join("unseal.key"), bench.file("key")).unwrap();
    let told = bench.json("restore home.backup --home ../home --unseal-key key --force");
    let aside = told["moved_aside"].as_str().unwrap();
    assert!(aside.ends_with("home.replaced-20260601T120000Z"), "{aside}");
    bench.refuse("cert show web-2", 6, "web-2");
    bench.succeed(&format!("cert show web-2 --home {aside}"));
}

#[test]
fn an_old_home_that_cannot_be_moved_aside_stays_as_it_is() {
    let bench = Bench::with_web();
    bench.succeed("backup home.backup");
    let key = unseal(&bench);
    // Its own name fits a file system, and the one it would get does not.
    let long = "h".repeat(234);
    bench.succeed(&format!("restore home.backup --home {long} {key}"));
    bench.succeed(&format!("issue web-2 --role web --home {long}"));
    let line = format!("restore home.backup --home {long} --force {key}");
    let refused = bench.run(&line);
    assert_ne!(refused.code, 0, "{}", refused.messages);
    bench.succeed(&format!("cert show web-2 --home {long}"));
    assert_eq!(names(&bench.file("."), "hhh"), [long]);
}

#[test]
fn restore_wants_to_hear_where() {
    let mut bench = Bench::with_home();
    bench.succeed("backup home.backup");
    bench.variables.clear();
    bench.refuse("restore home.backup", 2, "--home");
    bench.refuse(
        "restore home.backup --home new --server http://127.0.0.1:1",
        2,
        "--server",
    );
    bench.refuse("restore nothing.backup --home new", 6, "nothing.backup");
}

#[test]
fn what_an_interrupted_restore_left_is_removed_by_the_next() {
    let bench = Bench::with_home();
    bench.succeed("backup home.backup");
    fs::create_dir_all(bench.file("new.restoring-left/home/journal")).unwrap();
    fs::create_dir(bench.file("new.restoring-held")).unwrap();
    let held = File::open(bench.file("new.restoring-held")).unwrap();
    held.lock().unwrap();
    let told = bench.run("restore home.backup --home new");
    assert!(
        told.messages.contains("new.restoring-left"),
        "{}",
        told.messages
    );
    assert_eq!(
        names(&bench.file("."), "new.restoring"),
        ["new.restoring-held"]
    );
}

#[test]
fn revocations_after_the_backup_come_from_crls() {
    let bench = Bench::with_web();
    for name in ["web-2", "web-3"] {
        bench.succeed(&format!("issue {name} --role web"));
    }
    bench.succeed("cert revoke web-2");
    bench.succeed("ca crl issuing");
    bench.succeed("backup home.backup");
    bench.succeed("cert revoke web-1");
    bench.succeed("issue late --role web");
    bench.succeed("cert revoke late");
    fs::write(bench.file("crls.pem"), bench.succeed("ca crl --all")).unwrap();
    let published = bench.json("ca crl issuing")["number"].as_u64().unwrap();

    let key = unseal(&bench);
    bench.succeed(&format!("restore home.backup --home forgetful {key}"));
    bench.succeed("credentials web-1 --home forgetful");
    let told = bench.json(&format!(
        "restore home.backup --home new {key} --crl crls.pem"
    ));
    assert_eq!(
        (&told["revocations_added"], &told["revocations_known"]),
        (&2.into(), &1.into())
    );
    for name in ["web-1", "web-2"] {
        bench.refuse(&format!("credentials {name} --home new"), 4, "revoked");
    }
    bench.succeed("credentials web-3 --home new");
    // What was issued after the backup is known by its CRL alone: it gets no credentials, and stays on the CRL.
    bench.refuse(
        "credentials late --home new",
        4,
        "not among those we issued",
    );
    assert_eq!(bench.json("ca crl issuing --home new")["entries"], 3);
    for home in ["new", "forgetful"] {
        let next = bench.json(&format!("ca crl issuing --home {home}"));
        assert!(
            next["number"].as_u64().unwrap() > published + 1_000,
            "{next}"
        );
        bench.succeed(&format!("doctor --home {home}"));
    }
    // Lists of others are refused, and no home is made.
    let other = Bench::with_home();
    fs::write(bench.file("other.pem"), other.succeed("ca crl --all")).unwrap();
    bench.refuse(
        &format!("restore home.backup --home none {key} --crl other.pem"),
        3,
        "authority of this home",
    );
    fs::write(bench.file("letter"), "dear").unwrap();
    bench.refuse(
        &format!("restore home.backup --home none {key} --crl letter"),
        3,
        "letter: ",
    );
    assert_eq!(names(&bench.file("."), "none"), Vec::<String>::new());
}

#[test]
fn of_two_restores_at_the_same_time_one_makes_the_home() {
    let bench = Bench::with_home();
    bench.succeed("backup home.backup");
    let codes: Vec<u8> = std::thread::scope(|scope| {
        let runs = [0, 1].map(|_| scope.spawn(|| bench.run("restore home.backup --home new").code));
        runs.map(|run| run.join().unwrap()).to_vec()
    });
    assert!(
        codes.contains(&0) && codes.iter().all(|code| [0, 7].contains(code)),
        "{codes:?}"
    );
    assert_eq!(names(&bench.file("."), "new"), ["new"]);
    bench.succeed("cert list --home new");
}

//! Making homes, and finding them.

use super::*;

#[test]
fn a_second_init_is_a_conflict_and_changes_nothing() {
    let bench = Bench::with_home();
    let before = bench.succeed("ca bundle");
    bench.refuse("init", 7, "initialized already");
    assert_eq!(bench.succeed("ca bundle"), before);
    bench.succeed("init --if-missing");
}

#[test]
fn init_tells_what_was_made_and_what_a_copy_is_worth() {
    let bench = Bench::empty();
    let told = bench.succeed("init --name Example");
    for fact in [
        "CN=Example Root CA",
        "CN=Example Issuing CA",
        "fingerprint",
        "whoever copies the home then holds the CA",
        "bowline role create",
    ] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert_eq!(mode(&bench.home()), 0o700);
    assert_eq!(mode(&bench.home().join("unseal.key")), 0o600);
}

#[test]
fn an_init_that_fails_leaves_no_half_home() {
    let bench = Bench::empty();
    bench.refuse("init --account 12", 3, "12");
    assert!(!bench.home().exists());
    // A directory that was there stays, as empty of secrets as it was.
    fs::create_dir(bench.home()).unwrap();
    bench.refuse("init --account 12", 3, "12");
    assert!(!bench.home().join("unseal.key").exists() && !bench.home().join("journal").exists());
    fs::remove_dir_all(bench.home()).unwrap();
    // One that died before its commit left a key; the next one goes on from there.
    fs::create_dir(bench.home()).unwrap();
    fs::set_permissions(bench.home(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(bench.home().join("lock"), "").unwrap();
    crate::files::create_secret(&bench.home().join("unseal.key"), &[7; 32]).unwrap();
    bench.succeed("init");
    bench.succeed("role list");
}

#[test]
fn an_offline_root_never_enters_the_home() {
    let bench = Bench::empty();
    bench.succeed("init --offline-root stick");
    assert!(
        bench
            .read("stick/root_ca_key")
            .contains("BEGIN PRIVATE KEY")
    );
    assert_eq!(mode(&bench.file("stick/root_ca_key")), 0o600);
    assert_eq!(bench.read("stick/root_ca.crt"), bench.succeed("ca bundle"));
    assert_eq!(bench.json("ca show root")["key"], "offline");
    // The root's was signed while its key was there.
    let lists = bench.succeed("ca crl --all");
    assert_eq!(lists.matches("BEGIN X509 CRL").count(), 3);
}

#[test]
fn a_home_under_a_passphrase_opens_with_it_only() {
    let mut bench = Bench::empty();
    fs::write(bench.file("passphrase"), "correct horse\n").unwrap();
    fs::write(bench.file("other"), "wrong horse\n").unwrap();
    bench.succeed("init --key-password-file passphrase --offline-root stick");
    assert!(!bench.home().join("unseal.key").exists());
    assert!(
        bench
            .read("stick/root_ca_key")
            .contains("BEGIN ENCRYPTED PRIVATE KEY")
    );
    bench.refuse("ca crl", 3, "--key-password-file");
    bench.refuse(
        "ca crl --key-password-file other",
        4,
        "does not open this home",
    );
    bench.succeed("ca crl --key-password-file passphrase");
    let file = bench.file("passphrase").display().to_string();
    bench
        .variables
        .push(("BOWLINE_KEY_PASSWORD_FILE".into(), file));
    bench.succeed("ca crl");
}

#[test]
fn a_missing_home_lists_where_it_was_looked_for() {
    let mut bench = Bench::empty();
    let home = bench.home().display().to_string();
    bench.refuse("role list", 6, &home);
    bench.refuse("role list --home elsewhere", 6, "elsewhere (--home)");
    assert!(!bench.home().exists());
    bench.variables = vec![("XDG_DATA_HOME".into(), "/nowhere/data".into())];
    if !Path::new("/var/lib/bowline").exists() {
        bench.refuse(
            "role list",
            6,
            "/var/lib/bowline (the system's home), /nowhere/data/bowline (XDG_DATA_HOME)",
        );
    }
}

#[test]
fn a_home_that_others_can_enter_is_not_used() {
    let bench = Bench::with_home();
    fs::set_permissions(bench.home(), fs::Permissions::from_mode(0o755)).unwrap();
    bench.refuse("role list", 5, "chmod 700");
}

#[test]
fn verify_needs_no_home_and_exits_4_for_a_chain_that_is_not_good() {
    let mut bench = Bench::with_web();
    fs::write(bench.file("roots.pem"), bench.succeed("ca bundle")).unwrap();
    fs::write(bench.file("crls.pem"), bench.succeed("ca crl --all")).unwrap();
    bench.variables.clear();
    let told = bench.succeed("verify web-1.crt --anchor roots.pem --crl crls.pem --purpose client");
    assert!(told.contains("CN=web-1"), "{told}");
    bench.refuse(
        "verify web-1.crt --anchor roots.pem --at 2027-01-01T00:00:00Z",
        4,
        "2026-06-02",
    );
    bench.refuse("verify web-1.crt --anchor web-1.key", 3, "");
    bench.refuse("verify nobody.crt --anchor roots.pem", 6, "nobody.crt");
}

#[test]
fn an_offline_root_is_not_written_over_another() {
    let bench = Bench::empty();
    fs::create_dir(bench.file("stick")).unwrap();
    fs::write(bench.file("stick/root_ca_key"), "precious").unwrap();
    bench.refuse("init --offline-root stick", 7, "--offline-root");
    assert_eq!(bench.read("stick/root_ca_key"), "precious");
    assert!(!bench.home().exists());
}

#[test]
fn verify_names_the_file_that_does_not_read() {
    let bench = Bench::with_web();
    fs::write(bench.file("roots.pem"), bench.succeed("ca bundle")).unwrap();
    fs::write(bench.file("letter.txt"), "dear\n").unwrap();
    for line in [
        "verify letter.txt --anchor roots.pem",
        "verify web-1.crt --anchor letter.txt",
        "verify web-1.crt --anchor roots.pem --intermediates letter.txt",
        "verify web-1.crt --anchor roots.pem --crl letter.txt",
    ] {
        bench.refuse(line, 3, "letter.txt: ");
    }
}

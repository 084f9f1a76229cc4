//! The doctor.

use std::os::unix::net::UnixListener;

use super::*;

/// The findings' codes.
fn codes(finished: &Finished) -> Vec<String> {
    let report: Value = serde_json::from_str(&finished.output).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let code = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
    findings.iter().map(code).collect()
}

#[track_caller]
fn doctor(bench: &Bench, line: &str, exit: u8, expected: &[&str]) {
    let finished = bench.run(format!("doctor --output json {line}").trim_end());
    assert_eq!(
        finished.code, exit,
        "{}{}",
        finished.output, finished.messages
    );
    assert_eq!(codes(&finished), expected, "{}", finished.output);
}

#[test]
fn a_home_in_order_has_no_findings() {
    let bench = Bench::with_web();
    bench.succeed("cert revoke web-1");
    bench.succeed("ca crl --all");
    doctor(&bench, "", 0, &[]);
    let told = bench.succeed("doctor");
    assert!(told.contains("status   ok"), "{told}");
}

#[test]
fn open_modes_are_critical_and_repaired() {
    let bench = Bench::with_home();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(&bench.home());
    open(&bench.home().join("unseal.key"));
    // The home does not open because of it, which is not told twice.
    doctor(&bench, "", 4, &["mode_too_open", "mode_too_open"]);
    let told = bench.run("doctor");
    assert!(told.output.contains("--repair"), "{}", told.output);
    doctor(&bench, "--repair", 0, &[]);
    assert_eq!(mode(&bench.home()), 0o700);
    assert_eq!(mode(&bench.home().join("unseal.key")), 0o600);
    doctor(&bench, "", 0, &[]);
}

#[test]
fn what_lies_about_is_told_and_removed() {
    let bench = Bench::with_home();
    drop(UnixListener::bind(bench.home().join("control.sock")).unwrap());
    fs::set_permissions(
        bench.home().join("control.sock"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    doctor(&bench, "", 2, &["control_socket_stale"]);
    let left = bench.directory.path().join("home.restoring-left");
    fs::create_dir(&left).unwrap();
    doctor(
        &bench,
        "",
        2,
        &["control_socket_stale", "restore_interrupted"],
    );
    fs::create_dir(left.join("home")).unwrap();
    doctor(
        &bench,
        "",
        3,
        &["restore_interrupted", "control_socket_stale"],
    );
    doctor(&bench, "--repair", 0, &[]);
    assert!(!left.exists() && !bench.home().join("control.sock").exists());
}

#[test]
fn a_home_without_its_key_is_told_so() {
    let bench = Bench::with_home();
    fs::remove_file(bench.home().join("unseal.key")).unwrap();
    doctor(&bench, "", 4, &["unseal_key_missing"]);
    let told = bench.run("doctor");
    assert!(told.output.contains("put it back"), "{}", told.output);
}

#[test]
fn a_home_under_a_passphrase_needs_no_key_file() {
    let bench = Bench::empty();
    fs::write(bench.file("passphrase"), "correct horse\n").unwrap();
    bench.succeed("init --key-password-file passphrase --offline-root stick");
    doctor(&bench, "", 2, &["home_locked"]);
}

#[test]
fn a_home_that_does_not_open_is_critical_and_says_what_to_do() {
    let bench = Bench::with_web();
    let journal = fs::read_dir(bench.home().join("journal")).unwrap();
    let segment = journal.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    doctor(&bench, "", 4, &["home_does_not_open"]);
    let told = bench.run("doctor --repair");
    assert!(told.output.contains("bowline restore"), "{}", told.output);
}

#[test]
fn a_certificate_near_its_end_is_a_warning_in_time() {
    let bench = Bench::with_home();
    bench.wait(TimeDelta::days(3652 - 20));
    let finished = bench.run("doctor --output json");
    assert!([3, 4].contains(&finished.code), "{}", finished.output);
    assert!(
        codes(&finished)
            .iter()
            .any(|code| code == "authority_ending"),
        "{}",
        finished.output
    );
}

#[test]
fn a_damaged_index_is_told_and_made_again() {
    let bench = Bench::with_web();
    // A server uses the index on the disk; one command need not.
    let store = bowline_store_sled::SledStore::open(
        &bench.home(),
        &bowline_store_sled::SledOptions::server(),
    );
    drop(store.unwrap());
    doctor(&bench, "", 0, &[]);
    let file = bench.home().join("index/db");
    let mut bytes = fs::read(&file).unwrap();
    let name = bytes.windows(5).position(|text| text == b"web-1").unwrap();
    bytes[name] ^= 1;
    fs::write(&file, bytes).unwrap();

    let told = bench.run("doctor --output json");
    assert!([2, 4].contains(&told.code), "{}", told.output);
    let code = codes(&told).remove(0);
    assert!(
        code.starts_with("index_") || code == "home_repaired",
        "{code}"
    );
    bench.run("doctor --repair");
    doctor(&bench, "", 0, &[]);
    bench.succeed("cert show web-1");
}

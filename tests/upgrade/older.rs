//! A home that an earlier program wrote opens, holds everything, and goes on.

use crate::golden::{ALL, FIRST, Golden, check_health, lines};
use bowline_tests::{Home, Server};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many first openings are cut off, spread over the time that one takes.
const KILLS: u32 = 10;

#[test]
fn every_record_is_there_for_a_command_and_for_a_server() {
    for golden in &ALL {
        let home = golden.copy();
        golden.check(&home);
        check_health(&home);
        let server = Server::start(&home);
        golden.check(&home);
        check_health(&home);
        assert!(server.stop().success());
        golden.check(&home);
        check_health(&home);
    }
}

#[test]
fn every_record_is_there_if_a_server_is_the_first_to_open_it() {
    for golden in &ALL {
        let home = golden.copy();
        let server = Server::start(&home);
        golden.check(&home);
        check_health(&home);
        server.kill();
        golden.check(&home);
        check_health(&home);
    }
}

#[test]
fn an_index_that_was_lost_is_made_again() {
    let home = FIRST.copy();
    std::fs::remove_dir_all(home.path().join("index")).expect("the first home has an index");
    let server = Server::start(&home);
    FIRST.check(&home);
    check_health(&home);
    assert!(server.stop().success());
}

#[test]
fn it_issues_revokes_and_signs_as_before() {
    for golden in &ALL {
        let home = golden.copy();
        go_on(&home, "before");
        let server = Server::start(&home);
        go_on(&home, "while");
        assert!(server.stop().success());
        go_on(&home, "after");
        golden.check(&home);
        check_health(&home);
    }
}

/// Issues, trades, revokes, and has it on a CRL with a new number.
#[track_caller]
fn go_on(home: &Home, name: &str) {
    let roots = home.write("roots.pem", &home.succeed(["ca", "bundle"]));
    let roots = roots.display().to_string();
    let before = crl(home);
    home.succeed(["issue", name, "--role", "reader"]);
    home.succeed(["credentials", name]);
    let leaf = format!("{name}.crt");
    home.succeed(["verify", &leaf, "--anchor", &roots, "--crl", "all.pem"]);

    home.succeed(["cert", "revoke", name]);
    let after = crl(home);
    assert!(after["crl_number"].as_u64() > before["crl_number"].as_u64());
    let refused = home.run(["verify", &leaf, "--anchor", &roots, "--crl", "all.pem"]);
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(refused.stderr.contains("revoked"), "{refused}");
    let refused = home.run(["credentials", name]).expect_failure();
    assert!(
        refused.stderr.contains("[certificate_revoked]"),
        "{refused}"
    );
}

/// Has all CRLs signed, into `all.pem`; gives the event of the issuing authority's.
#[track_caller]
fn crl(home: &Home) -> serde_json::Value {
    home.write("all.pem", &home.succeed(["ca", "crl", "--all"]));
    let signed = ["--event", "revocation_list_signed", "--newest-first"];
    let events = home.succeed(["audit", "list", "--output", "json"].iter().chain(&signed));
    let issuing = |event: &serde_json::Value| event["authority"] == "issuing";
    lines(&events)
        .into_iter()
        .find(issuing)
        .expect("it was just signed")
}

#[test]
fn its_backup_is_a_home_and_its_log_verifies() {
    for golden in &ALL {
        let home = golden.copy();
        // 1. The log, also where it was never signed, with everything that was in it.
        home.write("log.key", &home.succeed(["audit", "key"]));
        home.succeed(["audit", "export", "log.jsonl"]);
        home.succeed(["audit", "verify", "log.jsonl", "--key", "log.key"]);

        // 2. A backup, and what it becomes.
        home.succeed(["backup", "golden.backup"]);
        let key = home.path().join("unseal.key").display().to_string();
        std::fs::rename(home.path(), home.directory().join("old")).expect("our own directory");
        let key = key.replace("/home/", "/old/");
        home.succeed(["restore", "golden.backup", "--unseal-key", &key]);
        golden.check(&home);
        check_health(&home);
        go_on(&home, "restored");
        home.write("log.key", &home.succeed(["audit", "key"]));
        home.succeed(["audit", "export", "log.jsonl", "--force"]);
        home.succeed(["audit", "verify", "log.jsonl", "--key", "log.key"]);
    }
}

#[test]
fn a_kill_at_any_time_of_the_first_opening_loses_nothing() {
    for golden in &ALL {
        let whole = first_opening(golden);
        let again = golden.copy();
        let mut cut_off = 0;
        for kill in 0..KILLS {
            // From the first instant to a little after it listens.
            let after = whole * (2 * kill + 1) / (2 * KILLS - 4);
            let home = golden.copy();
            cut_off += u32::from(open_for(&home, after));
            golden.check(&home);
            check_health(&home);
            // And one home that is never left alone.
            cut_off += u32::from(open_for(&again, after));
        }
        golden.check(&again);
        check_health(&again);
        let server = Server::start(&again);
        golden.check(&again);
        check_health(&again);
        assert!(server.stop().success());
        println!(
            "  golden {}: {} first openings of {whole:.0?} killed, {cut_off} of them before they were done",
            golden.folder,
            2 * KILLS
        );
        assert!(cut_off > 0, "every opening was done before it was killed");
    }
}

/// How long it takes until a server has the home.
fn first_opening(golden: &Golden) -> Duration {
    let home = golden.copy();
    let started = Instant::now();
    let server = Server::start(&home);
    let took = started.elapsed();
    server.kill();
    took
}

/// Starts a server and kills it after a time; says whether it had not got to listening yet.
fn open_for(home: &Home, time: Duration) -> bool {
    let ready = home.file("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut command: Command = home.bowline(["serve", "--listen", "127.0.0.1:0"]);
    command
        .args(["--plain-listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = command.spawn().expect("the program starts");
    sleep(time);
    server.kill().expect("our own child can be killed");
    server.wait().expect("our own child can be waited for");
    !ready.exists()
}

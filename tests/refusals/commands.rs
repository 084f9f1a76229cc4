//! Commands with files that do not read, homes that are not there, and homes that are taken.

use crate::refusal::{State, as_json, refusal, refused};
use bowline_tests::{Home, Server, run};
use std::path::Path;

const BROKEN_PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn files_that_are_no_certificates_are_refused_by_name() {
    let home = Home::initialized();
    home.succeed(["issue", "web-1"]);
    home.write("letter.txt", "dear\n");
    home.write("broken.pem", BROKEN_PEM);
    home.write("empty.pem", "");
    // A SEQUENCE that promises more than there is.
    std::fs::write(home.file("cut.der"), [0x30, 0x82, 0x01, 0x00, 0x30]).expect("writable");
    std::fs::write(home.file("noise.bin"), [0xff, 0xfe, 0x00, 0x80]).expect("writable");
    for (file, code) in [
        ("letter.txt", "pem_malformed"),
        ("noise.bin", "pem_malformed"),
        ("broken.pem", "pem_malformed"),
        ("cut.der", "certificate_malformed"),
        ("empty.pem", "no_certificate"),
    ] {
        let says = [file];
        let refusal = || refusal(3, code, &says);
        let bundle: [&str; 5] = ["anchor", "create", "partner", "--bundle", file];
        refused(
            &home,
            &[
                (&bundle[..], refusal()),
                (
                    &["anchor", "update", "default", "--bundle", file],
                    refusal(),
                ),
                (&["cert", "inspect", file], refusal()),
                (&["verify", file, "--anchor", "web-1.crt"], refusal()),
                (&["verify", "web-1.crt", "--anchor", file], refusal()),
                (&["cert", "renew", file, "web-1.key"], refusal()),
            ],
        );
    }
}

#[test]
fn files_that_are_no_certification_requests_are_refused_by_name() {
    let home = Home::initialized();
    home.write("letter.txt", "dear\n");
    home.write("certificate.pem", BROKEN_PEM);
    std::fs::write(home.file("cut.der"), [0x30, 0x82, 0x01, 0x00, 0x30]).expect("writable");
    let issue = |file: &'static str| ["issue", "web-1", "--csr", file];
    refused(
        &home,
        &[
            (
                &issue("letter.txt"),
                refusal(3, "pem_malformed", &["letter.txt"]),
            ),
            (
                &issue("certificate.pem"),
                refusal(
                    3,
                    "certification_request_missing",
                    &["certificate.pem", "CERTIFICATE REQUEST"],
                ),
            ),
            (
                &issue("cut.der"),
                refusal(3, "certification_request_refused", &[]),
            ),
            (&issue("nowhere.csr"), refusal(6, "file", &["nowhere.csr"])),
        ],
    );
}

#[test]
fn policies_that_do_not_read_are_refused_with_the_place() {
    let home = Home::initialized();
    home.write("letter.txt", "dear\n");
    home.write("empty.json", "");
    home.write(
        "twice.json",
        r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#,
    );
    home.write(
        "unknown.json",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Colour":"red"}]}"#,
    );
    for (file, code, says) in [
        ("letter.txt", "policy_not_json", ["JSON", "1:1"]),
        ("empty.json", "policy_not_json", ["JSON", "at "]),
        (
            "twice.json",
            "policy_duplicate_element",
            ["\"Version\"", "1:25"],
        ),
        (
            "unknown.json",
            "policy_unknown_element",
            ["\"Colour\"", "at 1:"],
        ),
    ] {
        let says = [file, says[0], says[1]];
        let refusal = || refusal(3, code, &says);
        let role: [&str; 5] = ["role", "create", "reader", "--policy-file", file];
        refused(
            &home,
            &[
                (&role[..], refusal()),
                (
                    &["profile", "create", "narrow", "--session-policy-file", file],
                    refusal(),
                ),
                // Above all an empty file must not take a session policy away.
                (
                    &[
                        "profile",
                        "update",
                        "default",
                        "--session-policy-file",
                        file,
                    ],
                    refusal(),
                ),
            ],
        );
    }
}

#[test]
fn a_second_home_in_the_same_place_is_refused_and_the_first_one_stays() {
    let home = Home::initialized();
    let key = || std::fs::read(home.path().join("unseal.key")).expect("readable");
    let (before, roots) = (key(), home.succeed(["ca", "bundle"]));
    let again = || refusal(7, "already_initialized", &["--home"]);
    refused(&home, &[(&["init"], again())]);
    let server = Server::start(&home);
    refused(&home, &[(&["init"], again())]);
    assert!(server.stop().success());
    assert_eq!(key(), before);
    assert_eq!(home.succeed(["ca", "bundle"]), roots);
    home.succeed(["init", "--if-missing"]);
}

#[test]
fn a_missing_home_is_refused_with_the_places_looked_at_and_none_is_made() {
    let home = Home::empty();
    let path = home.path().display().to_string();
    let missing = |says: &[&str], command: &mut std::process::Command| {
        refusal(6, "home_missing", says).check(&run(as_json(command)));
        assert!(!home.path().exists());
    };
    let fix = "bowline init";
    missing(
        &[&path, "BOWLINE_HOME", fix],
        &mut home.bowline(["issue", "web-1"]),
    );
    let named = home.file("elsewhere").display().to_string();
    missing(
        &[&named, "--home", fix],
        &mut home.bowline(["role", "list", "--home", &named]),
    );
    missing(
        &[&path],
        &mut home.bowline(["serve", "--listen", "127.0.0.1:0"]),
    );
    if !Path::new("/var/lib/bowline/lock").exists() {
        let mut command = home.bowline(["cert", "list"]);
        command.env_remove("BOWLINE_HOME");
        let user = ".local/share/bowline";
        missing(&["/var/lib/bowline", user, "HOME", fix], &mut command);
    }
}

#[test]
fn a_second_server_of_the_same_home_is_refused_and_names_the_first() {
    let home = Home::initialized();
    let server = Server::start(&home);
    let before = State::of(&home);
    let again = run(as_json(&mut home.bowline([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--plain-listen",
        "none",
    ])));
    let first = server.id().to_string();
    let place = home.path().display().to_string();
    refusal(75, "home_does_not_open", &[&first, &place]).check(&again);
    // The first one goes on.
    assert_eq!(State::of(&home), before);
    home.succeed(["issue", "web-1"]);
    assert!(server.stop().success());
}

#[test]
fn what_the_command_line_does_not_take_is_a_usage_error() {
    let home = Home::initialized();
    let before = State::of(&home);
    for arguments in [
        &["issue", "../web-1"][..],
        &["issue", ""],
        &["issue", "web-1", "--not-after", "soon"],
        &["issue", "web-1", "--kty", "RSA", "--size", "1024"],
        &["role", "create", "reader"],
        &["frobnicate"],
    ] {
        let refused = home.run(arguments);
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(!refused.stderr.is_empty(), "{refused}");
    }
    assert_eq!(State::of(&home), before);
}

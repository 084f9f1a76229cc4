//! Certification requests that ask for what their certificate profile does not give.

use crate::refusal::{Refusal, refusal, refused};
use crate::scene::{P256, RSA_1024, openssl};
use bowline_tests::{Home, run};
use std::path::Path;

fn request(home: &Home, openssl: &Path, key: &str, subject: &str, extension: Option<&str>) {
    let mut command = home.command(openssl);
    command
        .args(["req", "-new", "-nodes", "-keyout", "web-1.own", "-out"])
        .args(["web-1.csr", "-subj", subject])
        .args(key.split(' '));
    if let Some(extension) = extension {
        command.args(["-addext", extension]);
    }
    run(&mut command).expect_success();
}

const ISSUE: [&str; 4] = ["issue", "web-1", "--csr", "web-1.csr"];

#[track_caller]
fn request_is_refused(key: &str, subject: &str, extension: Option<&str>, refusal: Refusal<'_>) {
    let Some(openssl) = openssl() else { return };
    let home = Home::initialized();
    request(&home, openssl, key, subject, extension);
    refused(&home, &[(&ISSUE, refusal)]);
}

#[test]
fn a_request_for_nothing_but_a_name_is_certified() {
    let Some(openssl) = openssl() else { return };
    let home = Home::initialized();
    let names = Some("subjectAltName=DNS:web-1.example");
    request(&home, openssl, P256, "/CN=web-1", names);
    home.succeed(ISSUE);
}

#[test]
fn a_request_for_a_unit_is_refused() {
    request_is_refused(
        P256,
        "/CN=web-1/OU=administrator",
        None,
        refusal(
            3,
            "request_asks_for_role",
            &["\"administrator\"", "no request can"],
        ),
    );
}

#[test]
fn a_request_to_become_an_authority_is_refused() {
    request_is_refused(
        P256,
        "/CN=web-1",
        Some("basicConstraints=critical,CA:TRUE"),
        refusal(
            3,
            "request_asks_for_authority",
            &["CA:TRUE", "profile workload", "CA:FALSE"],
        ),
    );
}

#[test]
fn a_request_for_another_key_usage_is_refused() {
    request_is_refused(
        P256,
        "/CN=web-1",
        Some("keyUsage=keyCertSign"),
        refusal(
            3,
            "request_key_usage_not_allowed",
            &["keyCertSign", "digitalSignature"],
        ),
    );
}

#[test]
fn a_request_in_another_name_is_refused() {
    request_is_refused(
        P256,
        "/CN=web-2",
        None,
        refusal(
            3,
            "request_common_name_differs",
            &["\"web-2\"", "\"web-1\""],
        ),
    );
}

#[test]
fn a_request_of_a_short_key_is_refused() {
    request_is_refused(
        RSA_1024,
        "/CN=web-1",
        None,
        refusal(3, "certification_request_refused", &["1024", "2048"]),
    );
}

#[test]
fn a_request_that_does_not_prove_its_key_is_refused() {
    let Some(openssl) = openssl() else { return };
    let home = Home::initialized();
    request(&home, openssl, P256, "/CN=web-1", None);
    let mut command = home.command(openssl);
    command.args([
        "req",
        "-in",
        "web-1.csr",
        "-outform",
        "DER",
        "-out",
        "web-1.der",
    ]);
    run(&mut command).expect_success();
    let mut der = std::fs::read(home.file("web-1.der")).expect("just made");
    // The last byte belongs to the signature.
    *der.last_mut().expect("not empty") ^= 1;
    std::fs::write(home.file("web-1.csr"), der).expect("the work directory is writable");
    let code = "certification_request_refused";
    refused(&home, &[(&ISSUE, refusal(3, code, &["signature"]))]);
}

#[test]
fn a_hundred_years_are_refused() {
    let Some(openssl) = openssl() else { return };
    let home = Home::initialized();
    request(&home, openssl, P256, "/CN=web-1", None);
    let asking = |until: &'static str| [ISSUE.as_slice(), &["--not-after", until]].concat();
    let (beyond, long) = (asking("100y"), asking("9y"));
    let exceeds = refusal(3, "not_after_exceeds_issuer", &["issuer's certificate"]);
    let too_long = refusal(3, "validity_too_long", &["profile workload", "7862400"]);
    refused(&home, &[(&beyond, exceeds), (&long, too_long)]);
}

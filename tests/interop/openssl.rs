//! openssl judges what we issue, with its strict checks and every CRL of the chain.

use crate::scene::{Leaf, Scene, openssl};
use bowline_tests::{Finished, run};
use std::path::Path;

/// `openssl verify` with fresh CRLs of every authority.
fn verify(scene: &Scene, openssl: &Path, leaf: &Leaf) -> Finished {
    let crls = scene
        .home
        .write("crls.pem", &scene.home.succeed(["ca", "crl", "--all"]));
    let mut command = scene.home.command(openssl);
    command
        .args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"])
        .arg(&scene.roots)
        .arg("-CRLfile")
        .arg(crls)
        .arg("-untrusted")
        .arg(&leaf.chain)
        .arg(&leaf.certificate);
    run(&mut command)
}

#[track_caller]
fn check(key: &[&str]) {
    let Some(openssl) = openssl() else { return };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", key);
    let accepted = verify(&scene, openssl, &leaf).expect_success();
    assert!(accepted.stdout.contains("web-1.crt: OK"), "{accepted}");
}

#[test]
fn a_p256_chain_passes_the_strict_checks() {
    check(&[]);
}

#[test]
fn a_p384_chain_passes_the_strict_checks() {
    check(&["--kty", "EC", "--crv", "P-384"]);
}

#[test]
fn an_rsa_chain_passes_the_strict_checks() {
    check(&["--kty", "RSA"]);
}

#[test]
fn a_chain_with_names_passes_the_strict_checks() {
    check(&[
        "--san",
        "web-1.example",
        "--san",
        "10.0.0.1",
        "--san",
        "spiffe://example/web-1",
    ]);
}

#[test]
fn a_revoked_certificate_is_refused_and_its_neighbour_is_not() {
    let Some(openssl) = openssl() else { return };
    let scene = Scene::new();
    let revoked = scene.issue("web-1", &[]);
    let neighbour = scene.issue("web-2", &[]);
    scene.home.succeed(["cert", "revoke", "web-1"]);
    let refused = verify(&scene, openssl, &revoked).expect_failure();
    assert!(refused.stderr.contains("certificate revoked"), "{refused}");
    verify(&scene, openssl, &neighbour).expect_success();
}

#[test]
fn the_key_that_issue_wrote_belongs_to_the_certificate() {
    let Some(openssl) = openssl() else { return };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let certificate = leaf.certificate.display().to_string();
    let key = leaf.key.display().to_string();
    let certified = scene.openssl(openssl, ["x509", "-noout", "-pubkey", "-in", &certificate]);
    let held = scene.openssl(openssl, ["pkey", "-pubout", "-in", &key]);
    assert_eq!(certified.stdout, held.stdout);
}

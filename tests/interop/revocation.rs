//! What a revocation ends, and how fast, as the real clients see it.

use crate::scene::{Credentials, Scene, aws, exchange_refusal, python};
use std::time::{Duration, Instant};

/// How long a revocation may take to be answered. The exchange that starts after the answer is
/// already refused, so this is all the time there is.
const REVOKE_MAX: Duration = Duration::from_secs(1);

#[test]
fn a_revoked_certificate_gets_nothing_and_loses_what_it_had() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let scene = Scene::new();
    let names = scene.names();
    let leaf = scene.issue("web-1", &[]);
    let traded = scene.python_exchange(python, &leaf, None, &names);
    let credentials = Credentials::of(&traded.expect_success().json());
    scene.aws_whoami(aws, &credentials).expect_success();

    let started = Instant::now();
    scene.home.succeed(["cert", "revoke", "web-1"]);
    let taken = started.elapsed();
    assert!(taken <= REVOKE_MAX, "revoking took {taken:?}");

    let message = exchange_refusal(scene.python_exchange(python, &leaf, None, &names));
    assert!(message.starts_with("Certificate revoked"), "{message}");

    let dead = scene.aws_whoami(aws, &credentials).expect_failure();
    let codes = ["ExpiredToken", "InvalidClientTokenId"];
    assert!(
        codes.iter().any(|code| dead.stderr.contains(code)),
        "{dead}"
    );
    let dead = scene.python_whoami(python, &credentials).expect_failure();
    assert_eq!(dead.json()["Refused"]["Status"], 403);
}

#[test]
fn a_neighbour_keeps_its_credentials() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let scene = Scene::new();
    let names = scene.names();
    let neighbour = scene.issue("web-2", &[]);
    scene.issue("web-1", &[]);
    let traded = scene.python_exchange(python, &neighbour, None, &names);
    let credentials = Credentials::of(&traded.expect_success().json());
    scene.home.succeed(["cert", "revoke", "web-1"]);
    scene.aws_whoami(aws, &credentials).expect_success();
    scene
        .python_exchange(python, &neighbour, None, &names)
        .expect_success();
}

#[test]
fn a_revocation_outlives_a_restart_of_the_server() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    let names = scene.names();
    let leaf = scene.issue("web-1", &[]);
    scene.home.succeed(["cert", "revoke", "web-1"]);
    let scene = scene.restarted();
    let message = exchange_refusal(scene.python_exchange(python, &leaf, None, &names));
    assert!(message.starts_with("Certificate revoked"), "{message}");
}

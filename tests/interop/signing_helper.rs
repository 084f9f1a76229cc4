//! AWS's own `aws_signing_helper credential-process`, over http and https.

use crate::scene::{Credentials, ROLE, Scene, aws, openssl, signing_helper};

/// Trades over both schemes, with and without the intermediate, and uses the result.
#[track_caller]
fn check(key: &[&str]) {
    let (Some(helper), Some(aws), Some(openssl)) = (signing_helper(), aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let names = scene.names();
    let leaf = scene.issue("web-1", key);
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    for endpoint in [scene.server.http(), scene.server.https()] {
        for intermediates in [None, Some(leaf.chain.as_path())] {
            let traded = scene.helper_exchange(helper, endpoint, &leaf, intermediates, &names);
            let answer = traded.expect_success().json();
            assert_eq!(answer["Version"], 1);
            let expiration = answer["Expiration"].as_str().unwrap_or_default();
            assert!(
                expiration.len() == 20 && expiration.ends_with('Z'),
                "{expiration}"
            );

            let credentials = Credentials::of(&answer);
            let said = scene.aws_whoami(aws, &credentials).expect_success().json();
            assert_eq!(said["Arn"], expected.as_str());
        }
    }
}

#[test]
fn a_p256_leaf_gets_credentials() {
    check(&[]);
}

#[test]
fn a_p384_leaf_gets_credentials() {
    check(&["--kty", "EC", "--crv", "P-384"]);
}

#[test]
fn an_rsa_leaf_gets_credentials() {
    check(&["--kty", "RSA"]);
}

#[test]
fn a_revoked_certificate_is_refused_with_the_reason() {
    let Some(helper) = signing_helper() else {
        return;
    };
    let scene = Scene::new();
    let names = scene.names();
    let leaf = scene.issue("web-1", &[]);
    scene.home.succeed(["cert", "revoke", "web-1"]);
    let traded = scene.helper_exchange(helper, scene.server.http(), &leaf, None, &names);
    let refused = traded.expect_failure();
    assert!(
        refused.stderr.contains("AccessDeniedException"),
        "{refused}"
    );
    assert!(refused.stderr.contains("Certificate revoked"), "{refused}");
}

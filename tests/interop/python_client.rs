//! `iam-rolesanywhere-session` trades certificates over TLS; boto3 and the AWS command line use what
//! it gets.

use crate::scene::{ACCOUNT, Credentials, ROLE, Scene, aws, exchange_refusal, openssl, python};

/// Issues with this key, trades with and without the intermediate, and asks who the result is.
#[track_caller]
fn check(key: &[&str], algorithm: &str) {
    let (Some(python), Some(aws), Some(openssl)) = (python(), aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let names = scene.names();
    let leaf = scene.issue("web-1", key);
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    for chain in [None, Some(leaf.chain.as_path())] {
        let traded = scene.python_exchange(python, &leaf, chain, &names);
        let answer = traded.expect_success().json();
        assert_eq!(answer["Algorithm"], algorithm);
        assert_eq!(answer["Identity"]["Arn"], expected.as_str());
        assert_eq!(answer["Identity"]["Account"], ACCOUNT);

        let credentials = Credentials::of(&answer);
        let said = scene.aws_whoami(aws, &credentials).expect_success().json();
        assert_eq!(said, answer["Identity"], "aws and boto3 disagree");
    }
}

#[test]
fn a_p256_leaf_gets_credentials() {
    check(&["--kty", "EC", "--crv", "P-256"], "AWS4-X509-ECDSA-SHA256");
}

#[test]
fn a_p384_leaf_gets_credentials() {
    check(&["--kty", "EC", "--crv", "P-384"], "AWS4-X509-ECDSA-SHA256");
}

#[test]
fn an_rsa_leaf_gets_credentials() {
    check(&["--kty", "RSA"], "AWS4-X509-RSA-SHA256");
}

#[test]
fn a_presigned_identity_url_is_answered() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let traded = scene.python_exchange(python, &leaf, None, &scene.names());
    let credentials = Credentials::of(&traded.expect_success().json());

    let signed = scene.python_presign(python, &credentials);
    let url = signed.expect_success().json()["Url"]
        .as_str()
        .unwrap_or_default()
        .to_string();
    let fetch = "import ssl, sys, urllib.request\n\
        roots = ssl.create_default_context(cafile=sys.argv[2])\n\
        print(urllib.request.urlopen(sys.argv[1], context=roots).read().decode())";
    let roots = scene.roots.display().to_string();
    let answer = scene
        .python_line(python, fetch, &[&url, &roots])
        .expect_success();
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    assert!(
        answer.stdout.contains(&format!("<Arn>{expected}</Arn>")),
        "{answer}"
    );
}

#[test]
fn a_role_that_the_profile_lacks_is_refused_with_its_name() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let mut names = scene.names();
    names.role = names.role.replace(ROLE, "no-such-role");

    let message = exchange_refusal(scene.python_exchange(python, &leaf, None, &names));
    assert!(
        message.starts_with("Unable to assume role for "),
        "{message}"
    );
    assert!(message.contains("no-such-role"), "{message}");
}

#[test]
fn credentials_with_another_session_token_are_refused() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let scene = Scene::new();
    let names = scene.names();
    let one = scene.python_exchange(python, &scene.issue("web-1", &[]), None, &names);
    let two = scene.python_exchange(python, &scene.issue("web-2", &[]), None, &names);
    let mut mixed = one.expect_success().json();
    mixed["SessionToken"] = two.expect_success().json()["SessionToken"].clone();
    let refused = scene
        .aws_whoami(aws, &Credentials::of(&mixed))
        .expect_failure();
    assert!(refused.stderr.contains("InvalidClientTokenId"), "{refused}");
}

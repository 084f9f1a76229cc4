//! A CA that openssl made becomes a trust anchor, and its leaf gets credentials.

use crate::scene::{
    Credentials, Leaf, Names, Scene, aws, exchange_refusal, openssl, python, signing_helper,
};
use std::path::Path;

const PARTNER: &str = "partner";

/// Makes the CA (P-384, SHA-384: the Python client then names an algorithm after the certificate's
/// own hash), a leaf below it, and everything that lets the leaf in.
fn partner(scene: &Scene, openssl: &Path) -> (Leaf, Names) {
    make_authority(scene, openssl);
    scene
        .home
        .succeed(["anchor", "create", PARTNER, "--bundle", "partner-ca.pem"]);
    let anchor = scene.home.arn("anchor", PARTNER);
    let trust_policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "rolesanywhere.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": {
                "ArnEquals": {"aws:SourceArn": anchor},
                "StringEquals": {"aws:PrincipalTag/x509Subject/CN": "partner-1"}
            }
        }]
    });
    scene.home.write("trust.json", &trust_policy.to_string());
    scene.home.succeed(["profile", "create", PARTNER]);
    scene.home.succeed([
        "role",
        "create",
        PARTNER,
        "--allow",
        "s3:GetObject",
        "--on",
        "arn:aws:s3:::partner/*",
        "--trust-policy-file",
        "trust.json",
        "--profile",
        PARTNER,
    ]);
    let names = Names {
        anchor,
        profile: scene.home.arn("profile", PARTNER),
        role: scene.home.arn("role", PARTNER),
    };
    (sign_leaf(scene, openssl, "partner-1"), names)
}

fn make_authority(scene: &Scene, openssl: &Path) {
    scene.openssl(
        openssl,
        [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:secp384r1",
            "-nodes",
            "-sha384",
            "-days",
            "30",
            "-subj",
            "/O=Partner/CN=Partner Root",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout",
            "partner-ca.key",
            "-out",
            "partner-ca.pem",
        ],
    );
}

fn sign_leaf(scene: &Scene, openssl: &Path, name: &str) -> Leaf {
    let subject = format!("/O=Partner/CN={name}");
    let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
    scene.openssl(
        openssl,
        [
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ],
    );
    scene.home.write(
        "leaf.cnf",
        "basicConstraints=critical,CA:FALSE\n\
         keyUsage=critical,digitalSignature\n\
         extendedKeyUsage=clientAuth\n\
         subjectKeyIdentifier=hash\n\
         authorityKeyIdentifier=keyid:always\n",
    );
    scene.openssl(
        openssl,
        [
            "x509",
            "-req",
            "-sha384",
            "-days",
            "7",
            "-in",
            &request,
            "-CA",
            "partner-ca.pem",
            "-CAkey",
            "partner-ca.key",
            "-CAcreateserial",
            "-extfile",
            "leaf.cnf",
            "-out",
            &format!("{name}.crt"),
        ],
    );
    Leaf::at(&scene.home.work(), name)
}

#[test]
fn its_leaf_gets_credentials_with_the_python_client() {
    let (Some(python), Some(aws), Some(openssl)) = (python(), aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let (leaf, names) = partner(&scene, openssl);
    let traded = scene.python_exchange(python, &leaf, None, &names);
    let answer = traded.expect_success().json();
    assert_eq!(answer["Algorithm"], "AWS4-X509-ECDSA-SHA384");
    let said = scene
        .aws_whoami(aws, &Credentials::of(&answer))
        .expect_success()
        .json();
    assert_eq!(
        said["Arn"],
        scene.session_arn(openssl, &leaf, PARTNER).as_str()
    );
}

#[test]
fn its_leaf_gets_credentials_with_the_signing_helper() {
    let (Some(helper), Some(aws), Some(openssl)) = (signing_helper(), aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let (leaf, names) = partner(&scene, openssl);
    for endpoint in [scene.server.http(), scene.server.https()] {
        let traded = scene.helper_exchange(helper, endpoint, &leaf, None, &names);
        let answer = traded.expect_success().json();
        let said = scene
            .aws_whoami(aws, &Credentials::of(&answer))
            .expect_success()
            .json();
        assert_eq!(
            said["Arn"],
            scene.session_arn(openssl, &leaf, PARTNER).as_str()
        );
    }
}

#[test]
fn another_leaf_of_it_is_refused_by_the_roles_trust_policy() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let (_, names) = partner(&scene, openssl);
    let other = sign_leaf(&scene, openssl, "partner-2");
    let message = exchange_refusal(scene.python_exchange(python, &other, None, &names));
    assert!(message.starts_with("Unable to assume role"), "{message}");
}

#[test]
fn its_leaf_is_not_trusted_by_our_own_anchor() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let (leaf, mut names) = partner(&scene, openssl);
    names.anchor = scene.names().anchor;
    let message = exchange_refusal(scene.python_exchange(python, &leaf, None, &names));
    assert!(
        message.starts_with("Untrusted signing certificate"),
        "{message}"
    );
}

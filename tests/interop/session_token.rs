//! `GetSessionToken` with a client certificate, a second factor, and the role that asks for it; messages of refusals and
//! access keys, read by boto3 and the AWS command line.

use std::path::Path;
use std::process::Command;

use bowline_tests::{Finished, run};
use serde_json::{Value, json};

use crate::scene::{ACCOUNT, Credentials, Leaf, Scene, aws, python, without_outside_aws};

/// boto3's STS client, one call.
struct Sts<'a> {
    scene: &'a Scene,
    python: &'a Path,
}

impl Sts<'_> {
    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/session_token.py");
        let mut command = self.scene.home.command(self.python);
        without_outside_aws(&mut command).arg(script);
        command
    }

    fn call(
        &self,
        operation: &str,
        parameters: &Value,
        with: impl FnOnce(&mut Command),
    ) -> Finished {
        let mut command = self.command();
        command
            .args(["call", "--sts", self.scene.server.https(), "--verify"])
            .arg(&self.scene.roots);
        with(&mut command);
        run(command.arg(operation).arg(parameters.to_string()))
    }

    /// With a client certificate, unsigned.
    fn shown(&self, leaf: &Leaf, parameters: &Value) -> Finished {
        self.call("get_session_token", parameters, |command| {
            command
                .arg("--certificate")
                .arg(&leaf.certificate)
                .arg("--private-key")
                .arg(&leaf.key);
        })
    }

    /// Signed with credentials.
    fn signed(&self, credentials: &Credentials, operation: &str, parameters: &Value) -> Finished {
        self.call(operation, parameters, |command| {
            credentials.hand_to(command);
        })
    }

    /// What the authenticator shows, some steps away from now.
    fn code(&self, secret: &str, steps: &str) -> String {
        let mut command = self.command();
        command.args(["code", secret, "--steps", steps]);
        let shown = run(&mut command).expect_success().json();
        shown["Code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The credentials of an answer of STS.
fn credentials(answer: &Value) -> Credentials {
    Credentials::of(&answer["Credentials"])
}

/// The code and the message of a refusal.
#[track_caller]
fn refusal(finished: Finished) -> (String, String) {
    let refused = finished.expect_failure();
    let error = refused.json()["Refused"].clone();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("Code"), text("Message"))
}

/// A role that only `user` may take, and only with a second factor.
fn vault(scene: &Scene, user: &str) {
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": { "AWS": user },
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } },
        },
    });
    scene.home.write("trust.json", &trust.to_string());
    scene.home.succeed([
        "role",
        "create",
        "vault",
        "--allow",
        "sts:DecodeAuthorizationMessage,sts:GetAccessKeyInfo",
        "--on",
        "*",
        "--trust-policy-file",
        "trust.json",
    ]);
}

#[test]
fn a_certificate_with_a_code_takes_a_role_that_asks_for_one() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    let sts = Sts {
        scene: &scene,
        python,
    };
    let leaf = scene.issue("alice", &[]);
    let made = scene.home.succeed([
        "mfa",
        "enable",
        "--certificate",
        "alice.crt",
        "--output",
        "json",
    ]);
    let made: Value = serde_json::from_str(&made).expect("one JSON document");
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    let (serial, secret) = (text("serial_number"), text("secret"));
    let (first, second) = (sts.code(&secret, "-1"), sts.code(&secret, "0"));
    scene
        .home
        .succeed(["mfa", "confirm", serial.as_str(), &first, &second]);

    // As itself, without a code.
    let plain = sts.shown(&leaf, &json!({})).expect_success().json();
    let plain = credentials(&plain);
    let who = sts
        .signed(&plain, "get_caller_identity", &json!({}))
        .expect_success()
        .json();
    let user = who["Arn"].as_str().unwrap_or_default().to_owned();
    assert!(
        user.starts_with(&format!("arn:aws:iam::{ACCOUNT}:user/")),
        "{who}"
    );
    assert!(
        who["UserId"]
            .as_str()
            .unwrap_or_default()
            .starts_with("AIDA"),
        "{who}"
    );
    vault(&scene, &user);
    let role = format!("arn:aws:iam::{ACCOUNT}:role/vault");
    let assume = json!({ "RoleArn": role, "RoleSessionName": "work" });
    let (code, message) = refusal(sts.signed(&plain, "assume_role", &assume));
    assert_eq!(code, "AccessDenied", "{message}");
    // A session is no certificate.
    let (code, message) = refusal(sts.signed(&plain, "get_session_token", &json!({})));
    assert_eq!(code, "AccessDenied");
    assert!(
        message.contains("Cannot call GetSessionToken with session credentials"),
        "{message}"
    );

    // The second of the codes that proved the device is used up: the next one is taken.
    let wrong = json!({ "SerialNumber": serial, "TokenCode": second });
    let (code, message) = refusal(sts.shown(&leaf, &wrong));
    assert_eq!(code, "AccessDenied");
    assert!(
        message.starts_with("MultiFactorAuthentication failed"),
        "{message}"
    );
    let right = json!({ "SerialNumber": serial, "TokenCode": sts.code(&secret, "1"), "DurationSeconds": 900 });
    let with = credentials(&sts.shown(&leaf, &right).expect_success().json());
    let assumed = sts
        .signed(&with, "assume_role", &assume)
        .expect_success()
        .json();
    let arn = assumed["AssumedRoleUser"]["Arn"].as_str();
    let expected = format!("arn:aws:sts::{ACCOUNT}:assumed-role/vault/work");
    assert_eq!(arn, Some(expected.as_str()));
    // The same code a second time is refused.
    let (_, message) = refusal(sts.shown(&leaf, &right));
    assert!(message.contains("accepted once"), "{message}");
}

#[test]
fn a_refusal_is_decoded_by_who_may_and_an_access_key_has_an_account() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let scene = Scene::new();
    let sts = Sts {
        scene: &scene,
        python,
    };
    scene.home.succeed([
        "role",
        "create",
        "auditor",
        "--allow",
        "sts:DecodeAuthorizationMessage,sts:GetAccessKeyInfo",
        "--on",
        "*",
        "--for",
        "CN=auditor",
    ]);
    let trade = |name: &str, role: &str| {
        scene.issue(name, &[]);
        let answer = scene
            .home
            .succeed(["credentials", name, "--role", role, "--format", "json"]);
        Credentials::of(&serde_json::from_str(&answer).expect("one JSON document"))
    };
    let reader = trade("web-1", crate::scene::ROLE);
    let auditor = trade("auditor", "auditor");

    let encoded = json!({ "EncodedMessage": "nonsense" });
    let (code, message) = refusal(sts.signed(&reader, "decode_authorization_message", &encoded));
    assert_eq!(code, "AccessDenied");
    let (said, message) = message
        .split_once("Encoded authorization failure message: ")
        .unwrap_or_else(|| panic!("no message in {message}"));
    assert!(
        said.contains("sts:DecodeAuthorizationMessage") && !said.contains("because"),
        "{said}"
    );
    // Our code in brackets ends every message of STS.
    let message = message.split(' ').next().unwrap_or_default();

    let decoded = sts
        .signed(
            &auditor,
            "decode_authorization_message",
            &json!({ "EncodedMessage": message }),
        )
        .expect_success()
        .json();
    let decoded: Value =
        serde_json::from_str(decoded["DecodedMessage"].as_str().unwrap_or("")).expect("JSON");
    assert_eq!(decoded["allowed"], false);
    assert_eq!(
        decoded["context"]["action"],
        "sts:DecodeAuthorizationMessage"
    );
    let (code, _) = refusal(sts.signed(&auditor, "decode_authorization_message", &encoded));
    assert_eq!(code, "InvalidAuthorizationMessageException");

    let ask = |arguments: &[&str]| {
        let mut command = scene.home.command(aws);
        without_outside_aws(auditor.hand_to(&mut command))
            .arg("sts")
            .args(arguments)
            .args([
                "--output",
                "json",
                "--region",
                "us-east-1",
                "--endpoint-url",
                scene.server.https(),
            ])
            .arg("--ca-bundle")
            .arg(&scene.roots);
        run(&mut command)
    };
    let key = reader.access_key_id();
    let info = ask(&["get-access-key-info", "--access-key-id", key]);
    assert_eq!(info.expect_success().json()["Account"], ACCOUNT);
    let unknown = ask(&[
        "get-access-key-info",
        "--access-key-id",
        "ASIAIOSFODNN7EXAMPLE",
    ]);
    let unknown = unknown.expect_failure();
    assert!(unknown.stderr.contains("ValidationError"), "{unknown}");
    let decoded = ask(&["decode-authorization-message", "--encoded-message", message]);
    assert!(decoded.expect_success().json()["DecodedMessage"].is_string());
}

//! Every operation of STS, once by boto3 and once by the AWS command line: the two must read the same answer, or the
//! same refusal.

use crate::scene::{ACCOUNT, Credentials, Leaf, Scene, aws, python, without_outside_aws};
use bowline_tests::{Finished, run};
use serde_json::{Value, json};
use std::path::Path;

/// The issuer of our own tokens, which nobody has to reach: its keys are given in a file.
const ISSUER: &str = "https://sts.example";

/// A server that issues tokens and believes them, a role of certificates, and one for everybody else.
struct Stage {
    scene: Scene,
    python: &'static Path,
    aws: &'static Path,
    credentials: Credentials,
    leaf: Leaf,
}

impl Stage {
    fn new() -> Option<Stage> {
        let (python, aws) = (python()?, aws()?);
        let scene = Scene::new();
        let home = &scene.home;
        home.succeed(["settings", "set", "url", ISSUER]);
        home.succeed(["role", "create", "caller", "--allow", "sts:*", "--on", "*"]);
        home.succeed(["issue", "host-1", "--role", "caller"]);
        let given = home.succeed(["credentials", "host-1", "--format", "json"]);
        let credentials = Credentials::of(&serde_json::from_str(&given).expect("JSON"));
        let leaf = Leaf::at(&home.work(), "host-1");
        Some(Stage {
            scene,
            python,
            aws,
            credentials,
            leaf,
        })
    }

    /// A role that takes whom the principal names.
    fn role(&self, name: &str, action: &str, principal: &Value) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": principal, "Action": [action, "sts:TagSession", "sts:SetSourceIdentity"]}});
        let file = format!("{name}.json");
        self.scene.home.write(&file, &trust.to_string());
        self.scene.home.succeed([
            "role",
            "create",
            name,
            "--allow",
            "s3:GetObject",
            "--on",
            "*",
            "--trust-policy-file",
            &file,
            "--any-identity",
        ]);
        self.scene.home.arn("role", name)
    }

    fn boto3(&self, operation: &str, parameters: &Value) -> Finished {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/session_token.py");
        let mut command = self.scene.home.command(self.python);
        without_outside_aws(self.credentials.hand_to(&mut command))
            .arg(script)
            .args(["call", "--sts", self.scene.server.https(), "--verify"])
            .arg(&self.scene.roots);
        if operation == "GetSessionToken" {
            command.arg("--certificate").arg(&self.leaf.certificate);
            command.arg("--private-key").arg(&self.leaf.key);
        }
        run(command
            .arg(cased(operation, '_'))
            .arg(parameters.to_string()))
    }

    fn command_line(&self, operation: &str, parameters: &Value) -> Finished {
        let mut command = self.scene.home.command(self.aws);
        without_outside_aws(self.credentials.hand_to(&mut command))
            .args(["sts", &cased(operation, '-'), "--output", "json"])
            .args([
                "--region",
                "us-east-1",
                "--endpoint-url",
                self.scene.server.https(),
            ])
            .arg("--ca-bundle")
            .arg(&self.scene.roots)
            .args(["--cli-input-json", &parameters.to_string()]);
        run(&mut command)
    }

    /// The answer that boto3 got; the command line must have got all of its members too.
    #[track_caller]
    fn answered(&self, operation: &str, parameters: &Value) -> Value {
        let answer = self.boto3(operation, parameters).expect_success().json();
        let said = self
            .command_line(operation, parameters)
            .expect_success()
            .json();
        let mut known = members(&answer);
        // The command line brings a model of its own, which is older than these.
        known.retain(|name| !name.starts_with("SessionToken"));
        assert_eq!(known, members(&said), "{operation}");
        answer
    }

    /// Both were refused with this code.
    #[track_caller]
    fn refused(&self, operation: &str, parameters: &Value, code: &str) -> String {
        let refusal = self.boto3(operation, parameters).expect_failure().json();
        assert!(refusal.to_string().contains(code), "{operation}: {refusal}");
        let said = self.command_line(operation, parameters).expect_failure();
        assert!(said.stderr.contains(code), "{operation}: {said}");
        said.stderr
    }
}

/// `AssumeRoleWithSAML` as either client spells it.
fn cased(operation: &str, between: char) -> String {
    let mut out = String::new();
    let mut upper_before = true;
    for letter in operation.chars() {
        if letter.is_uppercase() && !upper_before {
            out.push(between);
        }
        upper_before = letter.is_uppercase();
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn members(value: &Value) -> Vec<String> {
    let mut all: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(name, value)| {
            let inside = members(value)
                .into_iter()
                .map(|inner| format!("{name}.{inner}"));
            [name.clone()].into_iter().chain(inside).collect::<Vec<_>>()
        })
        .collect();
    all.sort();
    all
}

#[test]
fn every_operation_is_read_by_boto3_and_by_the_command_line() {
    let Some(stage) = Stage::new() else { return };
    let identity = stage.answered("GetCallerIdentity", &json!({}));
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/caller/");
    assert!(
        identity["Arn"]
            .as_str()
            .is_some_and(|it| it.starts_with(&arn)),
        "{identity}"
    );

    // 1. From session to session.
    let role = stage.role("next", "sts:AssumeRole", &json!({"AWS": ACCOUNT}));
    let assumed = stage.answered(
        "AssumeRole",
        &json!({"RoleArn": role, "RoleSessionName": "smoke", "DurationSeconds": 900,
            "Policy": r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
            "Tags": [{"Key": "team", "Value": "é b"}, {"Key": "empty", "Value": ""}]}),
    );
    let user = assumed["AssumedRoleUser"]["Arn"]
        .as_str()
        .unwrap_or_default();
    assert_eq!(
        user,
        format!("arn:aws:sts::{ACCOUNT}:assumed-role/next/smoke")
    );
    assert!(
        assumed["PackedPolicySize"]
            .as_u64()
            .is_some_and(|it| it > 0),
        "{assumed}"
    );
    assert!(assumed["Credentials"]["SessionToken"].is_string());
    let closed = json!({"RoleArn": role, "RoleSessionName": "a b"});
    stage.refused("AssumeRole", &closed, "ValidationError");
    let other = stage.role("closed", "sts:AssumeRole", &json!({"AWS": "999999999999"}));
    let other = json!({"RoleArn": other, "RoleSessionName": "smoke"});
    let said = stage.refused("AssumeRole", &other, "AccessDenied");
    let (_, rest) = said
        .split_once("failure message: ")
        .expect("the reason, encoded");
    let message = rest.split_whitespace().next().unwrap_or_default();
    let decoded = stage.answered(
        "DecodeAuthorizationMessage",
        &json!({"EncodedMessage": message}),
    );
    assert!(
        decoded["DecodedMessage"]
            .as_str()
            .is_some_and(|it| it.contains("sts:AssumeRole"))
    );

    // 2. Out with a token of ours, and in again with it.
    let asked = json!({"Audience": ["smoke"], "SigningAlgorithm": "ES384", "DurationSeconds": 300});
    let token = stage.answered("GetWebIdentityToken", &asked);
    let keys = fetch(&stage, "/.well-known/jwks.json");
    assert!(
        keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()),
        "{keys}"
    );
    assert_eq!(
        fetch(&stage, "/.well-known/openid-configuration")["issuer"],
        ISSUER
    );
    stage.scene.home.write("jwks.json", &keys.to_string());
    stage.scene.home.succeed([
        "provider",
        "create",
        "self",
        "--issuer",
        ISSUER,
        "--audience",
        "smoke",
        "--jwks-file",
        "jwks.json",
    ]);
    let provider = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/sts.example");
    let federated = json!({"Federated": provider});
    let role = stage.role("federated", "sts:AssumeRoleWithWebIdentity", &federated);
    let mut trade = json!({"RoleArn": role, "RoleSessionName": "smoke",
        "WebIdentityToken": token["WebIdentityToken"]});
    let traded = stage.answered("AssumeRoleWithWebIdentity", &trade);
    assert_eq!(traded["Audience"], "smoke");
    assert_eq!(traded["Provider"], ISSUER);
    trade["WebIdentityToken"] = "not.a.token".into();
    stage.refused("AssumeRoleWithWebIdentity", &trade, "InvalidIdentityToken");
    let assertion = json!({"RoleArn": role, "PrincipalArn": format!("arn:aws:iam::{ACCOUNT}:saml-provider/none"),
        "SAMLAssertion": "bm90IGFuIGFzc2VydGlvbg=="});
    stage.refused("AssumeRoleWithSAML", &assertion, "InvalidIdentityToken");

    // 3. The certificate as itself. The command line has no client certificates.
    let own = stage
        .boto3("GetSessionToken", &json!({}))
        .expect_success()
        .json();
    assert!(own["Credentials"]["Expiration"].is_string(), "{own}");
    let by_session = stage
        .command_line("GetSessionToken", &json!({}))
        .expect_failure();
    assert!(by_session.stderr.contains("AccessDenied"), "{by_session}");

    // 4. The small ones.
    let key = own["Credentials"]["AccessKeyId"].clone();
    let info = stage.answered("GetAccessKeyInfo", &json!({"AccessKeyId": key}));
    assert_eq!(info["Account"], ACCOUNT);
    let message = json!({"EncodedMessage": "nothing"});
    stage.refused(
        "DecodeAuthorizationMessage",
        &message,
        "InvalidAuthorizationMessageException",
    );

    // 5. What has no meaning here.
    let said = stage.refused(
        "GetFederationToken",
        &json!({"Name": "broker"}),
        "InvalidAction",
    );
    assert!(said.contains("take AssumeRole"), "{said}");
}

fn fetch(stage: &Stage, path: &str) -> Value {
    let program =
        "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
    let url = format!("{}{path}", stage.scene.server.http());
    let fetched = stage.scene.python_line(stage.python, program, &[&url]);
    fetched.expect_success().json()
}

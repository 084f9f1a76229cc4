//! Identities that others vouch for, and ours for others: a token issuer and a SAML provider made of other people's
//! libraries (PyJWT, signxml), brought by boto3 and the AWS command line.

use crate::scene::{ACCOUNT, Credentials, Scene, aws, python, without_outside_aws};
use bowline_tests::{Finished, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROLE: &str = "deployer";

fn role_arn() -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}")
}

/// A server, and the folder in which the other side keeps its keys.
struct Story<'a> {
    scene: Scene,
    python: &'a Path,
    folder: PathBuf,
}

/// The issuer's process. Its standard input keeps it alive.
struct Issuer {
    process: Child,
    url: String,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl<'a> Story<'a> {
    fn new(python: &'a Path) -> Story<'a> {
        let scene = Scene::new();
        let folder = scene.home.work();
        Story {
            scene,
            python,
            folder,
        }
    }

    fn command(&self, subcommand: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/federation.py");
        let mut command = self.scene.home.command(self.python);
        without_outside_aws(&mut command)
            .arg(script)
            .arg(subcommand)
            .arg("--folder")
            .arg(&self.folder)
            .args(["--sts", self.scene.server.https(), "--verify"])
            .arg(&self.scene.roots)
            .args(["--role", &role_arn()]);
        command
    }

    fn run(&self, subcommand: &str, arguments: &[&str]) -> Finished {
        run(self.command(subcommand).args(arguments))
    }

    fn start_issuer(&self) -> Issuer {
        let mut process = self
            .command("issuer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Issuer {
            process,
            url: said["issuer"].as_str().unwrap().into(),
        }
    }

    /// The role, for those whom a provider vouches for under a condition.
    fn role(&self, provider: &str, action: &str, condition: &Value) {
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": [action, "sts:TagSession"],
            "Condition": condition,
        }]});
        let file = self.scene.home.write("trust.json", &trust.to_string());
        let allow = [
            "--allow",
            "s3:GetObject",
            "--on",
            "*",
            "--trust-policy-file",
        ];
        self.scene.home.succeed(
            ["role", "create", ROLE]
                .into_iter()
                .chain(allow)
                .chain([file.to_str().unwrap()]),
        );
    }

    /// An issuer that is believed, and the role for tokens of one organization.
    fn with_issuer(&self, keys: &[&str]) -> Issuer {
        let issuer = self.start_issuer();
        let create = [
            "provider",
            "create",
            "ci",
            "--audience",
            "bowline",
            "--issuer",
            &issuer.url,
        ];
        self.scene.home.succeed(create.iter().chain(keys));
        let name = issuer.url.strip_prefix("http://").unwrap();
        self.role(
            &format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"),
            "sts:AssumeRoleWithWebIdentity",
            &json!({
                "StringLike": {format!("{name}:sub"): "repo:acme/*"},
                "StringEquals": {format!("{name}:aud"): "bowline"},
            }),
        );
        issuer
    }

    fn token(&self, issuer: &Issuer, arguments: &[&str]) -> Value {
        let all = [&["--issuer", issuer.url.as_str()], arguments].concat();
        self.run("token", &all).expect_success().json()
    }
}

/// The session that the issuer's tokens become, under the name they are traded with.
fn session_arn(name: &str) -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{name}")
}

#[test]
fn a_token_of_every_algorithm_is_traded_by_boto3() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    // By discovery: the issuer says itself where its keys are.
    let issuer = story.with_issuer(&[]);
    for algorithm in ["RS256", "ES256", "ES384", "EdDSA"] {
        story.token(&issuer, &["--algorithm", algorithm]);
        let answer = story.run("assume", &[]).expect_success().json();
        assert_eq!(answer["Arn"], session_arn("build-7"), "{algorithm}");
        assert_eq!(answer["Subject"], "repo:acme/app");
        assert_eq!(answer["Provider"], issuer.url.as_str());
        assert_eq!(answer["Audience"], "bowline");
    }
}

#[test]
fn the_aws_command_line_and_an_sdk_by_itself_trade_a_token() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let story = Story::new(python);
    let issuer = story.with_issuer(&[]);
    let token = story.token(&issuer, &[]);
    let https = story.scene.server.https();

    let mut command = story.scene.home.command(aws);
    without_outside_aws(&mut command)
        .args(["sts", "assume-role-with-web-identity", "--output", "json"])
        .args([
            "--region",
            "us-east-1",
            "--endpoint-url",
            https,
            "--role-arn",
            &role_arn(),
        ])
        .args(["--role-session-name", "from-cli", "--web-identity-token"])
        .arg(token["Token"].as_str().unwrap())
        .arg("--ca-bundle")
        .arg(&story.scene.roots);
    let answer = run(&mut command).expect_success().json();
    assert_eq!(answer["AssumedRoleUser"]["Arn"], session_arn("from-cli"));
    let credentials = Credentials::of(&answer["Credentials"]);
    let said = story
        .scene
        .aws_whoami(aws, &credentials)
        .expect_success()
        .json();
    assert_eq!(said["Arn"], session_arn("from-cli"));

    // As in a pod: nothing but variables.
    let mut command = story.command("by-itself");
    command
        .env("AWS_ROLE_ARN", role_arn())
        .env("AWS_ROLE_SESSION_NAME", "pod")
        .env(
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            token["File"].as_str().unwrap(),
        )
        .env("AWS_ENDPOINT_URL_STS", https)
        .env("AWS_CA_BUNDLE", &story.scene.roots)
        .env("AWS_REGION", "us-east-1");
    let said = run(&mut command).expect_success().json();
    assert_eq!(said["Arn"], session_arn("pod"));
}

#[test]
fn tokens_that_are_not_believed_are_refused_with_the_codes_of_aws() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    let issuer = story.with_issuer(&[]);
    let refusal = |arguments: &[&str]| {
        story.token(&issuer, arguments);
        let answer = story.run("assume", &[]).expect_failure().json();
        (
            answer["Code"].as_str().unwrap().to_owned(),
            answer["Status"].as_i64().unwrap(),
        )
    };
    assert_eq!(
        refusal(&["--subject", "repo:evil/app"]),
        ("AccessDenied".into(), 403)
    );
    assert_eq!(
        refusal(&["--audience", "other"]),
        ("InvalidIdentityToken".into(), 400)
    );
    let unknown = ["--issuer", "https://issuer.example"];
    assert_eq!(refusal(&unknown), ("InvalidIdentityToken".into(), 400));
}

#[test]
fn keys_by_url_are_fetched_and_an_issuer_that_is_gone_is_said() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    let issuer = story.with_issuer(&[]);
    let home = &story.scene.home;
    let url = format!("{}/jwks", issuer.url);
    home.succeed(["provider", "update", "ci", "--jwks-url", &url]);
    story.token(&issuer, &[]);
    story.run("assume", &[]).expect_success();

    // A provider that was changed is asked anew, and there is nobody any more.
    drop(issuer);
    home.succeed([
        "provider",
        "update",
        "ci",
        "--audience",
        "bowline",
        "--audience",
        "more",
    ]);
    let answer = story.run("assume", &[]).expect_failure().json();
    assert_eq!(answer["Code"], "IDPCommunicationError", "{answer}");
}

#[test]
fn a_token_of_ours_is_verified_by_its_discovery_document() {
    let Some(python) = python() else { return };
    let story = Story::new(python);
    let home = &story.scene.home;
    home.succeed(["settings", "set", "url", story.scene.server.https()]);
    let allow = "sts:GetWebIdentityToken,sts:TagGetWebIdentityToken";
    home.succeed([
        "role",
        "create",
        "vault-client",
        "--allow",
        allow,
        "--on",
        "*",
    ]);
    home.succeed(["issue", "web-1", "--role", "vault-client"]);
    let leaf = crate::scene::Leaf::at(&home.work(), "web-1");
    let mut names = story.scene.names();
    names.role = home.arn("role", "vault-client");
    let traded = story.scene.python_exchange(python, &leaf, None, &names);
    let credentials = Credentials::of(&traded.expect_success().json());
    for algorithm in ["RS256", "ES384"] {
        let mut command = story.command("verify-ours");
        credentials.hand_to(command.args(["--algorithm", algorithm]));
        let claims = run(&mut command).expect_success().json();
        assert_eq!(claims["sub"], names.role.as_str());
        assert_eq!(claims["iss"], story.scene.server.https());
        let about = &claims["https://sts.amazonaws.com/"];
        assert_eq!(about["request_tags"]["job"], "7");
        assert_eq!(about["aws_account"], ACCOUNT);
    }

    // The same documents as files, for any web server.
    let site = home.work().join("site");
    home.succeed(["provider", "export-keys", site.to_str().unwrap()]);
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(site.join(".well-known").join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(read("jwks.json")["keys"].as_array().unwrap().len(), 2);
    assert_eq!(
        read("openid-configuration")["issuer"],
        story.scene.server.https()
    );
}

/// A SAML provider with a key of this kind, and the role for it.
fn saml_story<'a>(python: &'a Path, algorithm: &str) -> Story<'a> {
    let story = Story::new(python);
    let made = story
        .run("metadata", &["--algorithm", algorithm])
        .expect_success()
        .json();
    let file = made["Metadata"].as_str().unwrap();
    story
        .scene
        .home
        .succeed(["provider", "create", "corp", "--saml-metadata", file]);
    story.role(
        &principal(),
        "sts:AssumeRoleWithSAML",
        &json!({"StringEquals": {"saml:aud": "https://signin.aws.amazon.com/saml", "saml:sub": "anna & co"}}),
    );
    story
}

fn principal() -> String {
    format!("arn:aws:iam::{ACCOUNT}:saml-provider/corp")
}

#[test]
fn an_assertion_signed_by_another_library_is_traded_by_boto3() {
    let Some(python) = python() else { return };
    for algorithm in ["RS256", "ES256"] {
        let story = saml_story(python, algorithm);
        for (id, signed) in [("_a1", "assertion"), ("_a2", "response"), ("_a3", "both")] {
            let principal = principal();
            let arguments = [
                "--principal",
                &principal,
                "--algorithm",
                algorithm,
                "--id",
                id,
                "--signed",
                signed,
            ];
            let answer = story.run("saml", &arguments).expect_success().json();
            assert_eq!(
                answer["Arn"],
                session_arn("anna@acme"),
                "{algorithm} {signed}"
            );
            assert_eq!(answer["Subject"], "anna & co");
            assert_eq!(answer["SubjectType"], "persistent");
            assert_eq!(answer["Issuer"], "https://idp.example/saml");

            // The id was used; whatever else is new.
            let again = story.run("saml", &arguments).expect_failure().json();
            assert_eq!(again["Code"], "IDPRejectedClaim", "{again}");
        }
    }
}

#[test]
fn a_forged_assertion_is_refused() {
    let Some(python) = python() else { return };
    let story = saml_story(python, "RS256");
    let principal = principal();
    for signed in ["assertion", "response", "neither"] {
        let arguments = ["--principal", &principal, "--signed", signed, "--forge"];
        let refused = story.run("saml", &arguments).expect_failure().json();
        assert_eq!(refused["Code"], "InvalidIdentityToken", "{refused}");
        assert_eq!(refused["Status"], 400);
    }
}

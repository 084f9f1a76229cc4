//! AssumeRole, asked by boto3 and by the AWS command line.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use bowline_tests::{Finished, run};
use serde_json::{Value, json};

use crate::scene::{ACCOUNT, Credentials, Scene, aws, python, without_outside_aws};

const OTHER_ACCOUNT: &str = "222222222222";

/// A server with a role `web` for certificates, and roles that its sessions may assume, or may not.
struct Stage {
    scene: Scene,
    credentials: Credentials,
}

impl Stage {
    fn new() -> Stage {
        let scene = Scene::new();
        let home = &scene.home;
        home.succeed(["role", "create", "web", "--allow", "sts:*", "--on", "*"]);
        let stage = Stage {
            credentials: {
                home.succeed(["issue", "web-1", "--role", "web"]);
                let given = home.succeed(["credentials", "web-1", "--role", "web"]);
                Credentials::of(&serde_json::from_str(&given).unwrap())
            },
            scene,
        };
        stage.role("deploy", &json!({ "AWS": ACCOUNT }), &json!({}), &[]);
        stage.role("closed", &json!({ "AWS": "999999999999" }), &json!({}), &[]);
        let agreed = json!({ "StringEquals": { "sts:ExternalId": "k-7" } });
        stage.role("partner", &json!({ "AWS": ACCOUNT }), &agreed, &[]);
        let team = json!({ "StringEquals": { "aws:PrincipalTag/team": "blue" } });
        stage.role("blue", &json!({ "AWS": ACCOUNT }), &team, &[]);
        let long = ["--max-duration", "12h"];
        stage.role("long", &json!({ "AWS": ACCOUNT }), &json!({}), &long);
        let other = ["--account", OTHER_ACCOUNT];
        stage.role("elsewhere", &json!({ "AWS": ACCOUNT }), &json!({}), &other);
        stage
    }

    fn role(&self, name: &str, principal: &Value, condition: &Value, more: &[&str]) {
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": principal,
                "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                "Condition": condition,
            },
        });
        let file = format!("{name}.json");
        self.scene.home.write(&file, &trust.to_string());
        let create = ["role", "create", name, "--allow", "sts:*,s3:*", "--on", "*"];
        let trust = ["--trust-policy-file", &file];
        let arguments = create.iter().chain(&trust).chain(more);
        self.scene.home.succeed(arguments);
    }

    /// What boto3 got for each step.
    #[track_caller]
    fn steps(&self, python: &Path, steps: &Value) -> Vec<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/assume_role.py");
        let mut command = self.scene.home.command(python);
        self.credentials.hand_to(without_outside_aws(&mut command));
        let mut child = command
            .arg(script)
            .arg(self.scene.server.https())
            .arg(&self.scene.roots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = steps.to_string();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// `aws sts assume-role …`
    fn aws(&self, aws: &Path, arguments: &[&str]) -> Finished {
        let mut command = self.scene.home.command(aws);
        self.credentials.hand_to(without_outside_aws(&mut command));
        command
            .args(["sts", "assume-role", "--output", "json"])
            .args(["--region", "us-east-1"])
            .args(["--endpoint-url", self.scene.server.https()])
            .arg("--ca-bundle")
            .arg(&self.scene.roots)
            .args(arguments);
        run(&mut command)
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// A step with further parameters.
fn step(role: &str, more: &Value) -> Value {
    let mut ask = json!({ "RoleArn": role, "RoleSessionName": "night-7" });
    for (name, value) in more.as_object().unwrap() {
        ask[name] = value.clone();
    }
    json!({ "ask": ask })
}

#[track_caller]
fn refusal(result: &Value) -> (&str, &str) {
    let refused = &result["Refused"];
    let text = |name: &str| {
        refused[name]
            .as_str()
            .unwrap_or_else(|| panic!("not refused: {result}"))
    };
    (text("Code"), text("Message"))
}

#[test]
fn boto3_assumes_roles_of_both_accounts_and_carries_on_what_stays() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let elsewhere = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/elsewhere");
    let mut tagged = step(
        &arn("deploy"),
        &json!({
            "Tags": [{ "Key": "team", "Value": "blue" }, { "Key": "cost", "Value": "7" }],
            "TransitiveTagKeys": ["team"],
            "DurationSeconds": 1800,
        }),
    );
    tagged["keep"] = json!("tagged");
    let mut onward = step(&arn("blue"), &json!({}));
    onward["as"] = json!("tagged");
    let mut overridden = step(
        &arn("deploy"),
        &json!({ "Tags": [{ "Key": "Team", "Value": "red" }] }),
    );
    overridden["as"] = json!("tagged");
    let steps = json!([
        step(&elsewhere, &json!({})),
        tagged,
        onward,
        overridden,
        step(&arn("blue"), &json!({})),
    ]);
    let results = stage.steps(python, &steps);

    let other = &results[0];
    let session = format!("arn:aws:sts::{OTHER_ACCOUNT}:assumed-role/elsewhere/night-7");
    assert_eq!(other["Arn"], session.as_str());
    assert_eq!(other["Identity"], session.as_str());
    assert_eq!(other["Account"], OTHER_ACCOUNT);
    assert_eq!(other["UserId"], other["AssumedRoleId"]);
    assert_eq!(other["SourceIdentity"], "CN=web-1", "it stays, unasked");
    assert!((1..=100).contains(&other["PackedPolicySize"].as_u64().unwrap()));

    let deploy = format!("arn:aws:sts::{ACCOUNT}:assumed-role/deploy/night-7");
    assert_eq!(results[1]["Identity"], deploy.as_str());
    // Only the transitive tag opens the third role, and nobody can change it on the way.
    let blue = format!("arn:aws:sts::{ACCOUNT}:assumed-role/blue/night-7");
    assert_eq!(results[2]["Identity"], blue.as_str());
    let (code, message) = refusal(&results[3]);
    assert_eq!(code, "ValidationError");
    assert!(message.contains("transitive"), "{message}");
    assert_eq!(refusal(&results[4]).0, "AccessDenied");
}

#[test]
fn session_policies_narrow_what_boto3_may_do_next() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let allow = |action: &str| {
        json!({
            "Version": "2012-10-17",
            "Statement": { "Effect": "Allow", "Action": action, "Resource": "*" },
        })
        .to_string()
    };
    let home = &stage.scene.home;
    home.write("s3-only.json", &allow("s3:*"));
    home.succeed([
        "policy",
        "create",
        "s3-only",
        "--policy-file",
        "s3-only.json",
    ]);
    home.write("sts-only.json", &allow("sts:*"));
    home.succeed([
        "policy",
        "create",
        "sts-only",
        "--policy-file",
        "sts-only.json",
    ]);
    let policy = |name: &str| json!({ "arn": format!("arn:aws:iam::{ACCOUNT}:policy/{name}") });
    let mut steps = Vec::new();
    for (name, more) in [
        ("inline", json!({ "Policy": allow("s3:*") })),
        ("managed", json!({ "PolicyArns": [policy("s3-only")] })),
        (
            "both",
            json!({ "PolicyArns": [policy("s3-only"), policy("sts-only")] }),
        ),
    ] {
        let mut narrowed = step(&arn("deploy"), &more);
        narrowed["keep"] = json!(name);
        let mut next = step(&arn("long"), &json!({}));
        next["as"] = json!(name);
        steps.extend([narrowed, next]);
    }
    steps.push(step(
        &arn("deploy"),
        &json!({ "PolicyArns": [policy("missing")] }),
    ));
    let read_only = json!({ "arn": "arn:aws:iam::aws:policy/ReadOnlyAccess" });
    steps.push(step(&arn("deploy"), &json!({ "PolicyArns": [read_only] })));
    steps.push(step(
        &arn("deploy"),
        &json!({ "Policy": "{\"Statement\":[}" }),
    ));
    let results = stage.steps(python, &json!(steps));
    assert_eq!(refusal(&results[1]).0, "AccessDenied");
    assert_eq!(refusal(&results[3]).0, "AccessDenied");
    // One of the two allows it: together they are one layer.
    assert!(results[5]["Arn"].is_string(), "{}", results[5]);
    for (at, code) in [
        (6, "ValidationError"),
        (7, "ValidationError"),
        (8, "MalformedPolicyDocument"),
    ] {
        assert_eq!(refusal(&results[at]).0, code, "{}", results[at]);
    }
    assert!(refusal(&results[7]).1.contains("policies of AWS"));
}

#[test]
fn refusals_have_the_codes_and_words_that_people_search_for() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    let closed = arn("closed");
    let absent = arn("absent");
    let denied =
        |role: &str| format!("is not authorized to perform: sts:AssumeRole on resource: {role}");
    let chaining = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
    let name = "1 validation error detected: Value 'x' at 'roleSessionName' failed to satisfy constraint: Member must \
                have length greater than or equal to 2";
    let too_much = (0..50)
        .map(|n| json!({ "Key": format!("key-{n}"), "Value": noise(n, 256) }))
        .collect::<Vec<_>>();
    let cases: [(Value, &str, String); 9] = [
        (step(&closed, &json!({})), "AccessDenied", denied(&closed)),
        (step(&absent, &json!({})), "AccessDenied", denied(&absent)),
        (
            step(&arn("partner"), &json!({})),
            "AccessDenied",
            denied(&arn("partner")),
        ),
        (
            step(&arn("partner"), &json!({ "ExternalId": "k-8" })),
            "AccessDenied",
            denied(&arn("partner")),
        ),
        (
            step(&arn("long"), &json!({ "DurationSeconds": 7200 })),
            "ValidationError",
            chaining.to_owned(),
        ),
        (
            step(&arn("deploy"), &json!({ "RoleSessionName": "x" })),
            "ValidationError",
            name.to_owned(),
        ),
        (
            step(&arn("deploy"), &json!({ "SourceIdentity": "somebody" })),
            "AccessDenied",
            "CN=web-1".to_owned(),
        ),
        (
            step(&arn("deploy"), &json!({ "TransitiveTagKeys": ["team"] })),
            "ValidationError",
            "team".to_owned(),
        ),
        (
            step(&arn("deploy"), &json!({ "Tags": too_much })),
            "PackedPolicyTooLarge",
            "4096".to_owned(),
        ),
    ];
    let steps: Vec<Value> = cases.iter().map(|(step, _, _)| step.clone()).collect();
    let results = stage.steps(python, &json!(steps));
    for ((step, code, words), result) in cases.iter().zip(&results) {
        let (said, message) = refusal(result);
        assert_eq!(said, *code, "{step}: {message}");
        assert!(message.contains(words), "{step}: {message}");
    }
    let fine = stage.steps(
        python,
        &json!([step(&arn("partner"), &json!({ "ExternalId": "k-7" }))]),
    );
    assert!(fine[0]["Arn"].is_string(), "{}", fine[0]);
}

/// Letters and digits without a pattern, which do not get shorter by deflating.
fn noise(seed: u64, characters: usize) -> String {
    let mut state = seed + 1;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 33) as u32 % 36, 36).unwrap()
    })
    .take(characters)
    .collect()
}

#[test]
fn the_aws_command_line_assumes_roles() {
    let Some(aws) = aws() else { return };
    let stage = Stage::new();
    let role = arn("deploy");
    let named = ["--role-arn", &role, "--role-session-name", "cli-7"];
    let tags = [
        "--tags",
        "Key=team,Value=blue",
        "--transitive-tag-keys",
        "team",
    ];
    let asked: Vec<&str> = named.iter().chain(&tags).copied().collect();
    let assumed = stage.aws(aws, &asked).expect_success().json();
    let credentials = Credentials::of(&assumed["Credentials"]);
    let session = format!("arn:aws:sts::{ACCOUNT}:assumed-role/deploy/cli-7");
    assert_eq!(assumed["AssumedRoleUser"]["Arn"], session.as_str());
    let identity = stage.scene.aws_whoami(aws, &credentials).expect_success();
    assert_eq!(identity.json()["Arn"], session.as_str());

    let closed = arn("closed");
    let named = ["--role-arn", &closed, "--role-session-name", "cli-7"];
    let refused = stage.aws(aws, &named).expect_failure();
    let said = refused.stderr;
    assert!(said.contains("(AccessDenied)"), "{said}");
    assert!(
        said.contains("is not authorized to perform: sts:AssumeRole"),
        "{said}"
    );
}

//! The commands that hand credentials to other people's programs: `sandbox`, `aws-config`, `presign`, and certificates
//! of any age, as boto3 and the AWS command line find them.

use std::fs::{Permissions, create_dir, read_dir, read_to_string, set_permissions, write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bowline_tests::{Finished, Home, run, with_usual_signals};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::scene::{ACCOUNT, ROLE, Scene, aws, exchange_refusal, openssl, python};

/// Asks STS who one is, with whatever boto3 finds by itself; with a profile if one is named.
const WHOAMI: &str = "\
import json, sys, boto3
from botocore.config import Config
once = Config(retries={'total_max_attempts': 1}, connect_timeout=10, read_timeout=20)
session = boto3.Session(profile_name=sys.argv[1] if len(sys.argv) > 1 else None)
answer = session.client('sts', config=once).get_caller_identity()
print(json.dumps({name: answer[name] for name in ('Arn', 'Account', 'UserId')}))";

/// How long something that happens by itself may take, on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what a killed sandbox leaves may stay: its janitor gives the command two seconds.
const GONE_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Two roles and a certificate for each.
const TWO: &str = "\
[[role]]
name = \"reader\"
allow = [\"s3:GetObject\"]
on = [\"*\"]
[[role]]
name = \"writer\"
allow = [\"s3:PutObject\"]
on = [\"*\"]
[[certificate]]
name = \"web-1\"
roles = [\"reader\"]
[[certificate]]
name = \"web-2\"
roles = [\"writer\"]
";

/// What a key looks like that somebody left behind years ago.
const LEFT_OVER: &str = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = left\n";

fn role_of(arn: &Value) -> &str {
    let arn = arn.as_str().unwrap_or_default();
    let role = arn.strip_prefix(&format!("arn:aws:sts::{ACCOUNT}:assumed-role/"));
    role.and_then(|rest| rest.split('/').next()).unwrap_or(arn)
}

#[track_caller]
fn wait_for(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        sleep(POLL);
    }
}

// The sandbox.

/// A directory in which sandboxes are made and nothing may stay.
struct Yard {
    home: Home,
}

impl Yard {
    fn new() -> Yard {
        let home = Home::empty();
        create_dir(home.file("tmp")).unwrap();
        Yard { home }
    }

    /// `bowline sandbox …` without a home, and with an environment that would mislead every SDK.
    fn sandbox(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.bowline(["sandbox"].iter().chain(arguments));
        command
            .env_remove("BOWLINE_HOME")
            .env("TMPDIR", self.home.file("tmp"))
            .env("AWS_PAGER", "")
            .env("AWS_ACCESS_KEY_ID", "AKIALEFT")
            .env("AWS_SECRET_ACCESS_KEY", "left")
            .env("AWS_PROFILE", "no-such-profile")
            .env("AWS_CA_BUNDLE", "no-such-file")
            .env("BOWLINE_SERVER", "https://127.0.0.1:1");
        command
    }

    /// What sandboxes left.
    fn left(&self) -> Vec<PathBuf> {
        let entries = read_dir(self.home.file("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// A sandbox whose command has said where it is.
struct Running {
    child: Child,
    directory: PathBuf,
    address: String,
    command: Pid,
}

impl Running {
    /// A shell script that goes on until a signal ends it. What it does before that is the caller's.
    fn start(yard: &Yard, script: &str) -> Running {
        let facts = yard.home.file("facts");
        let script = format!(
            "echo \"$BOWLINE_SANDBOX $BOWLINE_SANDBOX_HTTP $$\" > facts.new; {script}; mv facts.new facts; while :; do sleep 0.05; done"
        );
        let child = with_usual_signals(&yard.sandbox(&["--", "sh", "-c", &script]))
            // In the foreground of a terminal the terminal would tell the command itself.
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the command", PATIENCE, || facts.exists());
        let told = read_to_string(&facts).unwrap();
        let words: Vec<&str> = told.split_whitespace().collect();
        let [directory, url, pid] = words[..] else {
            panic!("{told}")
        };
        let running = Running {
            child,
            directory: directory.into(),
            address: url.trim_start_matches("http://").into(),
            command: Pid::from_raw(pid.parse().unwrap()).unwrap(),
        };
        assert!(running.directory.join("home").is_dir());
        assert!(TcpStream::connect(&running.address).is_ok());
        running
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits until directory, server and command are gone. Says how long that took.
    #[track_caller]
    fn gone(&self, yard: &Yard) -> Duration {
        let began = Instant::now();
        wait_for("the command's end", GONE_MAX, || {
            test_kill_process(self.command).is_err() || is_unreaped(self.command)
        });
        wait_for("the server's end", GONE_MAX, || {
            TcpStream::connect(&self.address).is_err()
        });
        wait_for("the removal", GONE_MAX, || yard.left().is_empty());
        assert!(!self.directory.exists());
        began.elapsed()
    }
}

/// Whether a process has ended, and waits for an init that asks for its exit code.
fn is_unreaped(process: Pid) -> bool {
    let stat = read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.starts_with(" Z"))
    })
}

#[test]
fn the_aws_command_line_and_boto3_need_nothing_but_the_sandbox() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let yard = Yard::new();
    let aws = aws.to_str().unwrap();
    let said = run(&mut yard.sandbox(&["--", aws, "sts", "get-caller-identity"]));
    assert_eq!(role_of(&said.expect_success().json()["Arn"]), "sandbox");
    let python = python.to_str().unwrap();
    let said = run(&mut yard.sandbox(&["--", python, "-c", WHOAMI])).expect_success();
    assert_eq!(role_of(&said.json()["Arn"]), "sandbox");
    assert_eq!(said.stderr, "");
    assert_eq!(yard.left(), [] as [PathBuf; 0]);
}

#[test]
fn every_certificate_of_a_file_is_a_profile() {
    let (Some(python), Some(aws)) = (python(), aws()) else {
        return;
    };
    let yard = Yard::new();
    yard.home.write("ci.toml", TWO);
    let script = "set -e
        \"$0\" sts get-caller-identity --query Arn
        \"$0\" sts get-caller-identity --query Arn --profile web-1
        \"$0\" sts get-caller-identity --query Arn --profile web-2
        unset AWS_ACCESS_KEY_ID; AWS_PROFILE=web-2 \"$0\" sts get-caller-identity --query Arn
        \"$1\" -c \"$2\" web-2";
    let mut command = yard.sandbox(&["--apply", "ci.toml", "--", "sh", "-c", script]);
    let said = run(command.arg(aws).arg(python).arg(WHOAMI)).expect_success();
    let arns: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}")))
        .collect();
    let last = &arns[4]["Arn"];
    let roles: Vec<&str> = arns[..4].iter().chain([last]).map(role_of).collect();
    assert_eq!(roles, ["reader", "reader", "writer", "writer", "writer"]);
}

#[test]
fn a_sandbox_ends_as_its_command_does() {
    let yard = Yard::new();
    let plain = yard.home.write("plain", "echo no\n");
    set_permissions(&plain, Permissions::from_mode(0o644)).unwrap();
    let check = |command: &[&str], code: i32| {
        let arguments: Vec<&str> = ["--"].iter().chain(command).copied().collect();
        let finished = run(&mut yard.sandbox(&arguments));
        assert_eq!(finished.code, Some(code), "{finished}");
        assert_eq!(yard.left(), [] as [PathBuf; 0], "{finished}");
    };
    check(&["true"], 0);
    check(&["sh", "-c", "exit 7"], 7);
    check(&["sh", "-c", "kill -TERM $$"], 143);
    check(&["sh", "-c", "kill -KILL $$"], 137);
    check(&["no-such-command"], 127);
    check(&[plain.to_str().unwrap()], 126);
}

#[test]
fn a_file_that_does_not_fit_starts_nothing_and_leaves_nothing() {
    let yard = Yard::new();
    yard.home
        .write("ci.toml", &TWO.replace("[\"writer\"]", "[\"none\"]"));
    for file in ["ci.toml", "missing.toml"] {
        let refused = run(&mut yard.sandbox(&["--apply", file, "--", "touch", "started"]));
        let refused = refused.expect_failure();
        assert!(!refused.stderr.contains("panicked"), "{refused}");
        assert!(!yard.home.file("started").exists(), "{refused}");
        assert_eq!(yard.left(), [] as [PathBuf; 0], "{refused}");
    }
}

#[test]
fn a_signal_to_a_sandbox_is_its_commands() {
    for (name, signal) in [
        ("TERM", Signal::TERM),
        ("INT", Signal::INT),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
    ] {
        let yard = Yard::new();
        let mut running = Running::start(&yard, &format!("trap 'exit 9' {name}"));
        running.signal(signal);
        assert_eq!(running.child.wait().unwrap().code(), Some(9), "{name}");
        // The command's end is the sandbox's, and everything is gone by then.
        assert!(TcpStream::connect(&running.address).is_err(), "{name}");
        assert_eq!(yard.left(), [] as [PathBuf; 0], "{name}");
    }
}

#[test]
fn nothing_stays_of_a_sandbox_that_was_terminated_or_killed() {
    for (name, signal, script) in [
        ("SIGTERM", Signal::TERM, "true"),
        ("SIGKILL", Signal::KILL, "true"),
        // Who asks to end a command that does not want to must make it.
        ("SIGKILL, deaf command", Signal::KILL, "trap '' TERM"),
    ] {
        let yard = Yard::new();
        let mut running = Running::start(&yard, script);
        running.signal(signal);
        let taken = running.gone(&yard);
        println!("{name}: gone after {taken:?}");
        let status = running.child.wait().unwrap();
        match signal {
            Signal::KILL => assert_eq!(status.code(), None, "{name}"),
            _ => assert_eq!(status.code(), Some(143), "{name}"),
        }
    }
}

#[test]
fn a_sandbox_killed_before_its_command_leaves_nothing() {
    let yard = Yard::new();
    for after in [20, 60, 120] {
        let mut child = yard.sandbox(&["--", "true"]).spawn().unwrap();
        sleep(Duration::from_millis(after));
        let _ = child.kill();
        child.wait().unwrap();
        wait_for("the removal", GONE_MAX, || yard.left().is_empty());
    }
}

#[test]
fn how_long_a_sandbox_takes_is_told() {
    let yard = Yard::new();
    let mut taken: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            run(&mut yard.sandbox(&["--", "true"])).expect_success();
            began.elapsed()
        })
        .collect();
    taken.sort();
    println!(
        "a sandbox around `true`: median {:?} of {taken:?}",
        taken[2]
    );
}

// The profile.

/// The AWS command line with a home directory and nothing else.
fn profiled(home: &Home, aws: &Path, profile: &[&str]) -> Command {
    let mut command = home.command(aws);
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_PAGER", "")
        .args(["sts", "get-caller-identity", "--output", "json"])
        .args(profile);
    command
}

/// The same, where the profile does not say where STS is.
fn profiled_at(scene: &Scene, aws: &Path, profile: &[&str]) -> Command {
    let mut command = profiled(&scene.home, aws, profile);
    command.env("AWS_ENDPOINT_URL_STS", scene.server.http());
    command
}

/// `bowline aws-config …`; the files are in the home directory unless a test says otherwise.
fn aws_config(scene: &Scene, arguments: &[&str]) -> Command {
    let lines = ["aws-config", "web-1"];
    scene.home.bowline(lines.iter().chain(arguments))
}

/// One of the two files, with its directory.
fn aws_file(home: &Home, name: &str) -> PathBuf {
    let directory = home.directory().join(".aws");
    let _ = create_dir(&directory);
    directory.join(name)
}

#[test]
fn a_written_profile_trades_at_the_home_or_at_the_server() {
    let (Some(aws), Some(openssl)) = (aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    run(&mut aws_config(&scene, &["--write"])).expect_success();
    let said = run(&mut profiled_at(&scene, aws, &["--profile", "web-1"])).expect_success();
    assert_eq!(said.json()["Arn"], expected.as_str());

    // With the server named there, the command line needs no endpoint and no roots from anywhere else, and no home.
    let root = scene.roots.to_str().unwrap();
    let url = scene.server.https();
    let far = ["--profile-name", "far", "--server", url, "--root", root];
    run(aws_config(&scene, &far)
        .arg("--write")
        .env_remove("BOWLINE_HOME"))
    .expect_success();
    let said = run(&mut profiled(&scene.home, aws, &["--profile", "far"])).expect_success();
    assert_eq!(said.json()["Arn"], expected.as_str());
    // The first one is as it was.
    run(&mut profiled_at(&scene, aws, &["--profile", "web-1"])).expect_success();
}

#[test]
fn every_other_byte_of_the_config_stays() {
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let config = aws_file(&scene.home, "config");
    let before = "# mine, since 2019\n[default]\nregion=eu-west-1  \n\tcli_pager=\n\n; tabs\tand  spaces\n[profile old]\nrole_arn = x\ns3 =\n    addressing_style = path\n";
    let after = "\n# about the last\n[profile last]\nregion = r";
    write(&config, format!("{before}{after}")).unwrap();
    set_permissions(&config, Permissions::from_mode(0o640)).unwrap();
    run(&mut aws_config(&scene, &["--write"])).expect_success();
    let written = read_to_string(&config).unwrap();
    let rest = written.strip_prefix(&format!("{before}{after}\n\n"));
    let section = rest.unwrap_or_else(|| panic!("{written}"));
    assert!(section.starts_with("[profile web-1]\n"), "{written}");
    assert_eq!(section.matches('[').count(), 1, "{written}");

    // Once more is refused, and changes nothing.
    let refused = run(&mut aws_config(&scene, &["--write"]));
    assert_eq!(refused.code, Some(7), "{refused}");
    assert_eq!(read_to_string(&config).unwrap(), written);

    // A profile in the middle is replaced in its place.
    let stale = "[profile web-1]\nregion = nowhere\ncredential_process = gone\n";
    write(&config, format!("{before}{stale}{after}")).unwrap();
    run(&mut aws_config(&scene, &["--write", "--force"])).expect_success();
    let written = read_to_string(&config).unwrap();
    assert_eq!(written, format!("{before}{section}{after}"));
}

/// Something left over, what `--check` says of it, and what the real command line does with it.
struct LeftOver<'a> {
    credentials: &'a str,
    config: &'a str,
    variables: &'a [(&'a str, &'a str)],
    named: &'a str,
    /// What the command line says because it took it; `None` where only other SDKs would.
    said: Option<&'a str>,
}

#[test]
fn a_left_over_is_found_and_the_aws_command_line_really_takes_it() {
    let Some(aws) = aws() else { return };
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    run(&mut aws_config(&scene, &["--write"])).expect_success();
    let config = aws_file(&scene.home, "config");
    let credentials = aws_file(&scene.home, "credentials");
    let written = read_to_string(&config).unwrap();
    scene.home.write("token", "not a token");
    let role = format!("role_arn = arn:aws:iam::{ACCOUNT}:role/{ROLE}\n");
    let web_identity = format!("[web-1]\n{role}web_identity_token_file = token\n");
    let source = format!("[web-1]\n{role}source_profile = x\n[x]\n{LEFT_OVER}");
    let key = format!("[web-1]\n{LEFT_OVER}");
    let role_arn = format!("arn:aws:iam::{ACCOUNT}:role/{ROLE}");
    let none = LeftOver {
        credentials: "",
        config: "",
        variables: &[],
        named: "",
        said: None,
    };
    let cases = [
        LeftOver {
            credentials: &key,
            named: "aws_access_key_id",
            said: Some("InvalidClientTokenId"),
            ..none
        },
        LeftOver {
            variables: &[
                ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
                ("AWS_SECRET_ACCESS_KEY", "left"),
            ],
            named: "AWS_ACCESS_KEY_ID",
            said: Some("InvalidClientTokenId"),
            ..none
        },
        LeftOver {
            variables: &[
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "token"),
                ("AWS_ROLE_ARN", &role_arn),
            ],
            named: "AWS_WEB_IDENTITY_TOKEN_FILE",
            said: Some("AssumeRoleWithWebIdentity"),
            ..none
        },
        LeftOver {
            credentials: &web_identity,
            named: "web_identity_token_file",
            said: Some("AssumeRoleWithWebIdentity"),
            ..none
        },
        LeftOver {
            credentials: &source,
            named: "role_arn",
            said: Some("AssumeRole"),
            ..none
        },
        LeftOver {
            config: "role_arn = arn:aws:iam::1:role/x\nsource_profile = x\n",
            named: "role_arn",
            said: Some("source_profile \"x\""),
            ..none
        },
        // Go's and JavaScript's SDKs take it; this one does not.
        LeftOver {
            config: LEFT_OVER,
            named: "aws_access_key_id",
            ..none
        },
    ];
    for case in cases {
        write(&config, format!("{written}{}", case.config)).unwrap();
        write(&credentials, case.credentials).unwrap();
        let variables = || case.variables.iter().copied();
        let checked = run(aws_config(&scene, &["--check"]).envs(variables()));
        assert_eq!(checked.code, Some(3), "{checked}");
        let warned = format!("WARNING: {}", case.named);
        assert!(checked.stdout.contains(&warned), "{checked}");

        // AWS_PROFILE, as programs are run: --profile would win over the environment's keys.
        let mut command = profiled_at(&scene, aws, &[]);
        let said = run(command.env("AWS_PROFILE", "web-1").envs(variables()));
        match case.said {
            Some(words) => assert!(said.expect_failure().stderr.contains(words), "{words}"),
            None => drop(said.expect_success()),
        }
    }
    write(&config, &written).unwrap();
    write(&credentials, format!("[other]\n{LEFT_OVER}")).unwrap();
    run(&mut aws_config(&scene, &["--check"])).expect_success();
    run(profiled_at(&scene, aws, &[]).env("AWS_PROFILE", "web-1")).expect_success();
}

// Presigned URLs.

/// What our server decides on a presigned URL, as a storage server would ask it.
fn decision(scene: &Scene, python: &Path, method: &str, url: &str) -> Value {
    let (host, target) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap_or_else(|| panic!("{url}"));
    let asked = json!({"method": method, "target": format!("/{target}"), "headers": [["host", host]],
        "source_ip": "192.0.2.1", "tls": false});
    let program = "\
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {'content-type': 'application/json'})
print(urllib.request.urlopen(request).read().decode())";
    let path = format!("{}/v1/authorize", scene.server.http());
    let answer = scene.python_line(python, program, &[&path, &asked.to_string()]);
    answer.expect_success().json()["result"].take()
}

#[test]
fn a_presigned_url_lives_until_its_end_or_the_revocation() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    let write = ["role", "create", "writer", "--allow", "s3:PutObject"];
    let on = ["--on", "arn:aws:s3:::data/in/*"];
    scene.home.succeed(write.iter().chain(&on));
    scene.issue("web-1", &[]);
    scene.home.succeed(["issue", "web-2", "--role", "writer"]);
    let presigned = |name: &str, object: &str, method: &str, more: &[&str]| {
        let line = ["presign", name, object, "--method", method];
        let at = ["--endpoint-url", "http://storage.example:9000"];
        let said = scene.home.json(line.iter().chain(&at).chain(more));
        said["url"].as_str().unwrap().to_owned()
    };
    let get = presigned("web-1", "s3://data/a b+é.csv", "get", &[]);
    let put = presigned("web-2", "s3://data/in/x", "put", &[]);
    let short = presigned("web-1", "s3://data/x", "get", &["--expires", "1s"]);
    let decide = |method: &str, url: &str| decision(&scene, python, method, url);

    let answer = decide("GET", &get);
    assert_eq!(answer["decision"], "allow", "{answer}");
    assert_eq!(answer["key"], "a b+é.csv", "{answer}");
    assert_eq!(decide("PUT", &put)["decision"], "allow");
    // The URL is for its method, its object and what the role may.
    assert_eq!(decide("PUT", &get)["decision"], "unauthenticated");
    let other = get.replace(".csv", ".txt");
    assert_eq!(decide("GET", &other)["decision"], "unauthenticated");
    let deleted = presigned("web-2", "s3://data/in/x", "delete", &[]);
    assert_eq!(decide("DELETE", &deleted)["decision"], "implicit_deny");

    sleep(Duration::from_secs(2));
    let late = decide("GET", &short);
    assert_eq!(late["decision"], "unauthenticated", "{late}");
    assert_eq!(late["error"]["code"], "AccessDenied", "{late}");
    assert_eq!(late["error"]["message"], "Request has expired", "{late}");

    scene.home.succeed(["cert", "revoke", "web-1"]);
    let revoked = decide("GET", &get);
    assert_eq!(revoked["decision"], "unauthenticated", "{revoked}");
    assert_eq!(revoked["error"]["code"], "ExpiredToken", "{revoked}");
    assert_eq!(decide("PUT", &put)["decision"], "allow");
}

// Certificates of any age.

#[test]
fn certificates_that_are_over_or_not_yet_good_are_refused_for_that() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    let refusal = |name: &str, dates: &[&str]| -> (String, Finished) {
        let leaf = scene.issue(name, dates);
        let traded = scene.python_exchange(python, &leaf, None, &scene.names());
        (
            exchange_refusal(traded),
            scene.home.run(["credentials", name]).expect_failure(),
        )
    };
    let (wire, here) = refusal("long-gone", &["--not-before", "-3d", "--not-after", "-2d"]);
    assert!(wire.contains("[leaf_expired]"), "{wire}");
    assert_eq!(here.code, Some(4), "{here}");
    let (wire, here) = refusal("early", &["--not-before", "1h", "--not-after", "2h"]);
    assert!(wire.contains("[leaf_not_yet_valid]"), "{wire}");
    assert_eq!(here.code, Some(4), "{here}");

    // Over a network nobody may choose the past.
    let alice = [
        "--certificate-profile",
        "operator",
        "--role",
        "administrator",
    ];
    scene.home.succeed(["issue", "alice"].iter().chain(&alice));
    let mut command = scene.home.bowline(["issue", "other", "--role", ROLE]);
    command
        .args(["--not-before", "-3d", "--not-after", "-2d"])
        .args(["--server", scene.server.https(), "--as", "alice.crt"])
        .arg("--root")
        .arg(&scene.roots);
    run(&mut command).expect_failure();
}

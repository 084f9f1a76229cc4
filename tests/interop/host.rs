//! Credentials on a host, found by AWS's own SDKs: through `credential_process`, the instance metadata service, the
//! container endpoint, `exec` and the credentials file.

use std::fs::Permissions;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bowline_tests::{Finished, bowline_binary, run, run_within, with_usual_signals};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::scene::{ROLE, Scene, aws, openssl, python};

/// Asks STS who one is, with whatever credentials boto3 finds by itself.
const WHOAMI: &str = "\
import json, os, boto3
from botocore.config import Config
once = Config(retries={'total_max_attempts': 1}, connect_timeout=10, read_timeout=20)
sts = boto3.client('sts', endpoint_url=os.environ.get('STS'), config=once)
answer = sts.get_caller_identity()
print(json.dumps({name: answer[name] for name in ('Arn', 'Account', 'UserId')}))";

/// How long something that happens by itself may take, on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// `bowline host serve` for the length of one test.
struct HostServe {
    child: Child,
    url: String,
    container: String,
    token: String,
}

impl HostServe {
    /// Serves the credentials of `web-1`, with the flags of the helper.
    fn start(scene: &Scene) -> HostServe {
        let ready = scene.home.file("host-ready.json");
        let token = scene.home.file("token");
        let _ = std::fs::remove_file(&ready);
        let mut command = scene.home.bowline(["host", "serve", "--port", "0"]);
        command
            .args(flags(scene))
            .arg("--container-token-file")
            .arg(&token)
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(scene.home.file("host.log")).unwrap());
        let child = command.spawn().unwrap();
        wait_for("host serve", || ready.exists());
        let urls: Value = serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
        let text = |name: &str| urls[name].as_str().unwrap().to_owned();
        HostServe {
            child,
            url: text("url"),
            container: text("container"),
            token: std::fs::read_to_string(&token).unwrap(),
        }
    }

    /// What the container form gives now.
    fn credentials(&self, scene: &Scene, python: &Path) -> Finished {
        let program = "\
import os, sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={'Authorization': os.environ['TOKEN']})
print(urllib.request.urlopen(request).read().decode())";
        let mut command = bare(scene, python);
        command
            .env("TOKEN", &self.token)
            .args(["-c", program, &self.container]);
        run(&mut command)
    }
}

impl Drop for HostServe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The flags of `aws_signing_helper` for the certificate `web-1` at this server.
fn flags(scene: &Scene) -> Vec<String> {
    let names = scene.names();
    let file = |name: &str| scene.home.file(name).display().to_string();
    [
        ("--endpoint", scene.server.http().to_owned()),
        ("--certificate", file("web-1.crt")),
        ("--private-key", file("web-1.key")),
        ("--trust-anchor-arn", names.anchor),
        ("--profile-arn", names.profile),
        ("--role-arn", names.role),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

/// A program that finds no credentials but those a test gives it.
fn bare(scene: &Scene, program: &Path) -> Command {
    let mut command = scene.home.command(program);
    command
        .env("AWS_CONFIG_FILE", "no-such-file")
        .env("AWS_SHARED_CREDENTIALS_FILE", "no-such-file")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .env("STS", scene.server.http());
    command
}

/// boto3 says who it is.
fn whoami(scene: &Scene, python: &Path) -> Command {
    let mut command = bare(scene, python);
    command.args(["-c", WHOAMI]);
    command
}

#[track_caller]
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come to it");
        sleep(POLL);
    }
}

#[track_caller]
fn key_of(finished: &Finished) -> String {
    let key = finished.json()["AccessKeyId"].as_str().map(str::to_owned);
    key.unwrap_or_else(|| panic!("no credentials\n{finished}"))
}

#[test]
fn boto3_gets_credentials_from_a_credential_process() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let line = format!(
        "[default]\ncredential_process = {} credential-process {}\n",
        bowline_binary().display(),
        flags(&scene).join(" ")
    );
    let config = scene.home.write("config", &line);
    let mut command = whoami(&scene, python);
    command.env("AWS_CONFIG_FILE", &config);
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    assert_eq!(
        run(&mut command).expect_success().json()["Arn"],
        expected.as_str()
    );
}

#[test]
fn boto3_gets_credentials_from_the_instance_metadata_service() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let served = HostServe::start(&scene);
    let mut command = whoami(&scene, python);
    command
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &served.url);
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    assert_eq!(
        run(&mut command).expect_success().json()["Arn"],
        expected.as_str()
    );
}

#[test]
fn boto3_and_the_aws_command_line_get_credentials_from_the_container_endpoint() {
    let (Some(python), Some(aws), Some(openssl)) = (python(), aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let served = HostServe::start(&scene);
    let expected = scene.session_arn(openssl, &leaf, ROLE);

    let mut boto3 = whoami(&scene, python);
    boto3
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &served.container)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", &served.token);
    assert_eq!(
        run(&mut boto3).expect_success().json()["Arn"],
        expected.as_str()
    );

    let mut line = bare(&scene, aws);
    line.args(["sts", "get-caller-identity", "--output", "json"])
        .args(["--endpoint-url", scene.server.http()])
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &served.container)
        .env(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            scene.home.file("token"),
        );
    assert_eq!(
        run(&mut line).expect_success().json()["Arn"],
        expected.as_str()
    );

    let mut wrong = whoami(&scene, python);
    wrong
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &served.container)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "another");
    run(&mut wrong).expect_failure();
}

#[test]
fn the_aws_command_line_reads_the_file_that_update_wrote() {
    let (Some(aws), Some(openssl)) = (aws(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let before = "# mine\n[other]\naws_access_key_id = AKIAOTHER\n";
    let file = scene.home.write("credentials", before);
    let mut update = scene
        .home
        .bowline(["host", "update", "--once", "--profile", "web"]);
    update
        .args(flags(&scene))
        .env("AWS_SHARED_CREDENTIALS_FILE", &file);
    run(&mut update).expect_success();

    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(before), "{written}");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut line = bare(&scene, aws);
    line.args([
        "sts",
        "get-caller-identity",
        "--output",
        "json",
        "--profile",
        "web",
    ])
    .args(["--endpoint-url", scene.server.http()])
    .env("AWS_SHARED_CREDENTIALS_FILE", &file);
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    assert_eq!(
        run(&mut line).expect_success().json()["Arn"],
        expected.as_str()
    );
}

#[test]
fn a_program_under_exec_and_its_children_have_credentials_whatever_else_lies_about() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    let leaf = scene.issue("web-1", &[]);
    let left = "[default]\naws_access_key_id = AKIALEFT\naws_secret_access_key = left\n";
    let file = scene.home.write("left", left);
    let boto = "[Credentials]\naws_access_key_id = AKIALEFT\naws_secret_access_key = left\n";
    let mut command = scene
        .home
        .bowline(["exec", "web-1", "--server", scene.server.https()]);
    command
        .arg("--root")
        .arg(&scene.roots)
        .args(["--", "sh", "-c", "\"$0\" -c \"$1\""])
        .arg(python)
        .arg(WHOAMI)
        .env_remove("BOWLINE_HOME")
        .env("AWS_ACCESS_KEY_ID", "AKIALEFT")
        .env("AWS_SECRET_ACCESS_KEY", "left")
        .env("AWS_ACCESS_KEY", "AKIALEFT")
        .env("AWS_SECRET_KEY", "left")
        .env("AWS_PROFILE", "no-such-profile")
        .env(
            "AWS_CONFIG_FILE",
            scene
                .home
                .write("config", "[profile default]\ncredential_process = false\n"),
        )
        .env("BOTO_CONFIG", scene.home.write("boto", boto))
        // Believed already, and not the server's.
        .env("AWS_CA_BUNDLE", scene.home.write("others.pem", ""))
        .env("AWS_SHARED_CREDENTIALS_FILE", &file);
    let finished = run(&mut command).expect_success();
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    assert_eq!(finished.json()["Arn"], expected.as_str());
    assert_eq!(finished.stderr, "");
}

#[test]
fn exec_ends_as_its_command_does() {
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let not_executable = scene.home.write("plain", "echo no\n");
    std::fs::set_permissions(&not_executable, Permissions::from_mode(0o644)).unwrap();
    let check = |command: &[&str], code: i32| {
        let arguments = ["exec", "web-1", "--"].iter().chain(command);
        let finished = scene.home.run(arguments);
        assert_eq!(finished.code, Some(code), "{finished}");
    };
    check(&["true"], 0);
    check(&["sh", "-c", "exit 7"], 7);
    check(&["sh", "-c", "kill -TERM $$"], 143);
    check(&["no-such-command"], 127);
    check(&[not_executable.to_str().unwrap()], 126);
    // Without credentials nothing is started.
    let refused = scene
        .home
        .run(["exec", "web-1", "--role", "none", "--", "touch", "started"]);
    assert_eq!(refused.code, Some(5), "{refused}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
    assert!(!scene.home.file("started").exists());
}

#[test]
fn exec_passes_signals_on_and_takes_its_endpoint_along() {
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let script = "trap 'exit 9' \"$0\"; echo \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\" > uri.new; mv uri.new uri; while :; do sleep 0.05; done";
    for (name, signal) in [
        ("TERM", Signal::TERM),
        ("INT", Signal::INT),
        ("HUP", Signal::HUP),
        ("QUIT", Signal::QUIT),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
    ] {
        let uri = scene.home.file("uri");
        let _ = std::fs::remove_file(&uri);
        let line = ["exec", "web-1", "--", "sh", "-c", script, name];
        let mut command = with_usual_signals(&scene.home.bowline(line));
        // A group of its own: in the foreground of a terminal the terminal would tell the command itself.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the command", || uri.exists());
        let told = std::fs::read_to_string(&uri).unwrap();
        let address = told
            .trim()
            .trim_start_matches("http://")
            .trim_end_matches("/credentials");
        assert!(TcpStream::connect(address).is_ok(), "{told}");

        let raw = i32::try_from(child.id()).unwrap();
        kill_process(Pid::from_raw(raw).unwrap(), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9), "{name}");
        assert!(TcpStream::connect(address).is_err(), "{told}");
    }
}

#[test]
fn a_replaced_certificate_is_traded_without_a_restart() {
    let (Some(python), Some(openssl)) = (python(), openssl()) else {
        return;
    };
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let served = HostServe::start(&scene);
    let old = key_of(&served.credentials(&scene, python).expect_success());
    scene
        .home
        .succeed(["cert", "renew", "web-1.crt", "web-1.key"]);
    wait_for("the new certificate", || {
        key_of(&served.credentials(&scene, python).expect_success()) != old
    });
    let leaf = crate::scene::Leaf::at(&scene.home.work(), "web-1");
    let expected = scene.session_arn(openssl, &leaf, ROLE);
    let mut boto3 = whoami(&scene, python);
    boto3
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &served.container)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", &served.token);
    assert_eq!(
        run(&mut boto3).expect_success().json()["Arn"],
        expected.as_str()
    );
}

#[test]
fn good_credentials_are_served_while_the_server_is_down() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let served = HostServe::start(&scene);
    let before = key_of(&served.credentials(&scene, python).expect_success());
    let Scene {
        home,
        server,
        roots,
    } = scene;
    server.stop();
    // Replaced files make a trade due, which fails.
    let certificate = home.file("web-1.crt");
    let text = std::fs::read_to_string(&certificate).unwrap();
    std::fs::write(&certificate, text + "\n").unwrap();
    let server = bowline_tests::Server::start(&home);
    let scene = Scene {
        home,
        server,
        roots,
    };
    let log = scene.home.file("host.log");
    wait_for("a trade that fails", || {
        let served = served.credentials(&scene, python).expect_success();
        assert_eq!(key_of(&served), before);
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("no new credentials")
    });
}

#[test]
fn a_web_page_gets_nothing_from_the_endpoint() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let served = HostServe::start(&scene);
    let program = "\
import sys, urllib.error, urllib.request
url, name, value = sys.argv[1:]
request = urllib.request.Request(url + 'latest/api/token', method='PUT', headers={name: value})
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)";
    let status = |name: &str, value: &str| {
        let mut command = bare(&scene, python);
        command.args(["-c", program, &served.url, name, value]);
        run(&mut command).expect_success().stdout.trim().to_owned()
    };
    assert_eq!(status("X-Nothing", "1"), "200");
    assert_eq!(status("Origin", "http://evil.example"), "403");
    assert_eq!(status("Sec-Fetch-Site", "cross-site"), "403");
    assert_eq!(status("Host", "evil.example"), "403");
    assert_eq!(status("X-Forwarded-For", "192.0.2.1"), "400");
}

#[test]
fn fifty_processes_at_once_make_one_session() {
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let process = |cache: &[&str]| {
        let mut command = scene.home.bowline(["credential-process"]);
        command.args(flags(&scene)).args(cache);
        command
    };
    let keys: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|_| {
                let mut command = process(&[]);
                scope
                    .spawn(move || key_of(&run_within(&mut command, PATIENCE * 4).expect_success()))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let sessions = scene.home.succeed(["audit", "list", "--output", "json"]);
    let created = sessions
        .lines()
        .filter(|line| line.contains(&keys[0]))
        .count();
    assert_eq!(created, 1, "{sessions}");
    // Another question, and the wish for none, are other sessions.
    let fresh = key_of(&run(&mut process(&["--no-cache"])).expect_success());
    let other = key_of(&run(&mut process(&["--session-duration", "900"])).expect_success());
    assert!(fresh != keys[0] && other != keys[0] && fresh != other);
}

#[test]
fn a_name_is_enough_where_a_server_is_named() {
    let Some(python) = python() else { return };
    let scene = Scene::new();
    scene.issue("web-1", &[]);
    let process = || {
        let mut command = scene.home.bowline(["credential-process", "web-1"]);
        command
            .args(["--server", scene.server.https(), "--root"])
            .arg(&scene.roots);
        run(&mut command).expect_success()
    };
    let credentials = process().json();
    assert_eq!(credentials["Version"], 1);
    assert_eq!(process().json(), credentials);
    let files = PathBuf::from(scene.home.directory()).join(".cache/bowline/credentials");
    assert!(std::fs::read_dir(files).unwrap().count() >= 1);
    let mut boto3 = whoami(&scene, python);
    for (variable, member) in [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ] {
        boto3.env(variable, credentials[member].as_str().unwrap());
    }
    run(&mut boto3).expect_success();
}

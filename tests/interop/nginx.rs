//! A real nginx asks before every request: the configuration of the document, boto3 and the AWS command line before
//! it, a service that trusts it behind.

use crate::scene::{Credentials, Scene, aws, nginx, python, without_outside_aws};
use bowline_tests::{Finished, run, workspace_root};
use serde_json::Value;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to listen, on a machine that is busy compiling.
const START_MAX: Duration = Duration::from_secs(30);

/// The role that reads and writes one prefix of one bucket.
const ROLE: &str = "batch";

const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::data/in/*"},
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::data",
   "Condition": {"StringLike": {"s3:prefix": "in/*"}}}]}"#;

/// A program that ends with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bowline, nginx as the document sets it up, and a service behind.
struct Stage {
    scene: Scene,
    python: PathBuf,
    url: String,
    _service: Started,
    _nginx: Started,
}

impl Stage {
    fn new(python: &Path, nginx: &Path) -> Stage {
        let scene = Scene::new();
        scene.home.write("policy.json", POLICY);
        scene
            .home
            .succeed(["role", "create", ROLE, "--policy-file", "policy.json"]);
        scene.home.succeed(["issue", "host-1", "--role", ROLE]);
        let file = scene.home.file("service.port");
        let mut service = scene.home.command(python);
        service.arg(script()).arg("serve").arg(&file);
        let service = start(&mut service);
        let port = wait_for(|| {
            std::fs::read_to_string(&file)
                .ok()
                .filter(|it| !it.is_empty())
        });
        let listen = free_port();
        let asked = scene.server.http().trim_start_matches("http://");
        let configuration = documented()
            .replace("127.0.0.1:8080", asked)
            .replace("127.0.0.1:9001", &format!("127.0.0.1:{port}"))
            .replace("127.0.0.1:9000", &format!("127.0.0.1:{listen}"));
        let folder = scene.home.file("proxy");
        std::fs::create_dir_all(folder.join("tmp")).expect("the work directory is writable");
        std::fs::write(folder.join("nginx.conf"), configuration)
            .expect("the work directory is writable");
        let mut proxy = scene.home.command(nginx);
        proxy.arg("-p").arg(&folder).args(["-c", "nginx.conf"]);
        proxy.args(["-g", "daemon off; master_process off;"]);
        let proxy = start(&mut proxy);
        wait_for(|| TcpStream::connect(("127.0.0.1", listen)).ok());
        Stage {
            scene,
            python: python.into(),
            url: format!("http://127.0.0.1:{listen}"),
            _service: service,
            _nginx: proxy,
        }
    }

    fn credentials(&self) -> Credentials {
        let arguments = ["credentials", "host-1", "--format", "json"];
        let answer = run(&mut self.scene.home.bowline(arguments)).expect_success();
        Credentials::of(&answer.json())
    }

    /// boto3 through the proxy.
    fn boto3(&self, credentials: &Credentials, command: &str, arguments: &[&str]) -> Finished {
        let mut python = self.scene.home.command(&self.python);
        without_outside_aws(credentials.hand_to(&mut python));
        python.arg(script()).args([command, &self.url]);
        run(python.args(arguments))
    }

    fn refused(&self, credentials: &Credentials, command: &str, arguments: &[&str]) -> Value {
        self.boto3(credentials, command, arguments)
            .expect_failure()
            .json()
    }
}

fn script() -> PathBuf {
    workspace_root().join("tests/interop/s3_behind_proxy.py")
}

/// The block of the document that is nginx's.
fn documented() -> String {
    let page = workspace_root().join("docs/proxies.md");
    let page = std::fs::read_to_string(page).expect("the document is there");
    let (_, rest) = page
        .split_once("```nginx\n")
        .expect("it has a block for nginx");
    let (block, _) = rest.split_once("```").expect("the block ends");
    block.to_owned()
}

fn start(command: &mut Command) -> Started {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    Started(command.spawn().expect("the program starts"))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + START_MAX;
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn reason(status: u16, reason: &str) -> Value {
    serde_json::json!({"Status": status, "Reason": reason})
}

#[test]
fn boto3_and_the_command_line_work_through_nginx_as_far_as_the_policy_goes() {
    let (Some(python), Some(aws), Some(nginx)) = (python(), aws(), nginx()) else {
        return;
    };
    let stage = Stage::new(python, nginx);
    let credentials = stage.credentials();
    let ok = |command: &str, arguments: &[&str]| {
        stage
            .boto3(&credentials, command, arguments)
            .expect_success()
            .json()
    };
    // 1. What is allowed reaches the service, with the caller's name and without forged ones.
    let put = ok("put", &["data", "in/ü b+c.txt", "hello"]);
    let principal = put["Seen"]["x-auth-principal"].as_str().unwrap_or_default();
    assert!(
        principal.starts_with("arn:aws:sts::000000000000:assumed-role/batch/"),
        "{put}"
    );
    assert!(
        put["Seen"]["x-auth-source-identity"]
            .as_str()
            .is_some_and(|it| it.contains("host-1"))
    );
    assert_eq!(ok("get", &["data", "in/ü b+c.txt"])["Text"], "hello");
    assert_eq!(ok("listed", &["data", "in/"])["Keys"][0], "in/ü b+c.txt");
    let forged = ok("forged", &["data", "in/ü b+c.txt"]);
    assert_eq!(forged["Seen"]["x-auth-principal"], principal);
    assert!(
        !forged["Seen"].to_string().contains("somebody-else"),
        "{forged}"
    );
    let with_length = ok(
        "put_with_signed_length",
        &["data", "in/b.txt", "with length"],
    );
    assert_eq!(with_length["Status"], 200, "{with_length}");
    // 2. What is not, does not.
    let denied = reason(403, "implicit-deny");
    assert_eq!(
        stage.refused(&credentials, "put", &["data", "out/a.txt", "x"]),
        denied
    );
    assert_eq!(
        stage.refused(&credentials, "get", &["other", "in/a.txt"]),
        denied
    );
    assert_eq!(
        stage.refused(&credentials, "listed", &["data", "out/"]),
        denied
    );
    assert_eq!(
        stage.refused(&credentials, "forged", &["data", "out/a.txt"]),
        denied
    );
    let bare = format!("{}/data/in/b.txt", stage.url);
    assert_eq!(ok("url", &[&bare]), reason(401, "missing-authentication"));
    // 3. The AWS command line, and a presigned URL.
    let copied = stage.aws(aws, &credentials, &["cp", "s3://data/in/b.txt", "-"]);
    assert_eq!(copied.expect_success().stdout, "with length");
    let refused = stage.aws(aws, &credentials, &["cp", "s3://other/in/b.txt", "-"]);
    assert!(refused.expect_failure().stderr.contains("403"));
    let presigned = ok("presign", &["data", "in/b.txt"]);
    assert_eq!(
        (&presigned["Status"], &presigned["Text"]),
        (&200.into(), &"with length".into())
    );
    // 4. Revoked, all of it ends with the next request.
    stage.scene.home.succeed(["cert", "revoke", "host-1"]);
    let ended = reason(401, "session-ended-by-revocation");
    assert_eq!(
        stage.refused(&credentials, "get", &["data", "in/b.txt"]),
        ended
    );
    let url = presigned["Url"].as_str().unwrap_or_default();
    assert_eq!(ok("url", &[url]), ended);
}

impl Stage {
    fn aws(&self, aws: &Path, credentials: &Credentials, arguments: &[&str]) -> Finished {
        let mut command = self.scene.home.command(aws);
        without_outside_aws(credentials.hand_to(&mut command))
            .args(["s3", "--region", "us-east-1", "--endpoint-url", &self.url])
            .args(arguments);
        run(&mut command)
    }
}

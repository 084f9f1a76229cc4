//! The part of the story on a host: what keeps credentials there, and the sandbox.

use crate::calls::Door;
use crate::ledger::Kind;
use crate::story::Story;
use bowline_tests::Server;
use serde_json::Value;
use std::fs::{File, create_dir, read, read_to_string};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long something that happens by itself may take, on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(30);

impl Story {
    /// The commands that keep credentials on a host.
    pub fn on_the_host(&mut self, server: &Server) {
        let url = server.https();
        let asked = format!("--server {url} --root roots.pem");
        for _ in 0..2 {
            let given = self.succeed(&format!("credential-process web-1 {asked}"));
            self.credentials("credential-process", &given);
        }
        self.fail(&format!("credential-process web-4 {asked}"));
        create_dir(self.home.directory().join(".aws")).expect("the directory is writable");
        let mut update = self.home.bowline(
            format!("host update web-2 --once --profile web --log-format json {asked}").split(' '),
        );
        self.run_as("host update", &mut update).expect_success();
        let file = self.home.directory().join(".aws/credentials");
        let written = read_to_string(file).expect("update wrote it");
        self.credentials("host update", &written);

        let script = "echo \"$AWS_CONTAINER_AUTHORIZATION_TOKEN\" > exec.token";
        let mut exec = self
            .home
            .bowline(format!("exec web-1 {asked} -- sh -c").split(' '));
        self.run_as("exec", exec.arg(script)).expect_success();
        let token = self.text("exec.token");
        self.ledger.text(Kind::ContainerToken, "exec", &token);
        self.serve_on_the_host(&asked);
        self.succeed("aws-config web-1 --write");
        self.succeed("aws-config web-1 --check");
        let mut check = self.home.bowline("aws-config web-1 --check".split(' '));
        let session = self.ledger.secrets.len();
        check
            .env("AWS_ACCESS_KEY_ID", "AKIALEFTOVERKEY")
            .env("AWS_SECRET_ACCESS_KEY", LEFT_OVER);
        self.ledger
            .text(Kind::SecretAccessKey, "left over", LEFT_OVER);
        assert!(self.ledger.secrets.len() > session);
        self.run_as("aws-config", &mut check).expect_failure();
    }

    fn serve_on_the_host(&mut self, asked: &str) {
        let ready = self.home.file("host.ready");
        let line = format!(
            "host serve web-1 {asked} --port 0 --log-format json --container-token-file host.token --ready-file host.ready"
        );
        let mut child = self
            .home
            .bowline(line.split(' '))
            .stdin(Stdio::null())
            .stdout(File::create(self.home.file("host.out")).expect("writable"))
            .stderr(File::create(self.home.file("host.log")).expect("writable"))
            .spawn()
            .expect("the program starts");
        let deadline = Instant::now() + PATIENCE;
        while !ready.exists() {
            assert!(Instant::now() < deadline, "host serve does not listen");
            sleep(Duration::from_millis(20));
        }
        let urls: Value = serde_json::from_str(&self.text("host.ready")).expect("JSON");
        let url = urls["container"].as_str().expect("a URL").to_owned();
        let token = self.text("host.token").trim().to_owned();
        self.ledger.text(Kind::ContainerToken, "host serve", &token);
        let door = Door::at(&url);
        for (shown, status) in [
            (token.clone(), 200),
            (format!("{token}x"), 401),
            (String::new(), 401),
        ] {
            let answer = door.send(
                "GET",
                "/credentials",
                &[("authorization".into(), shown)],
                b"",
            );
            let answer = self.answer("container", answer);
            assert!(
                answer.status == status || (answer.status >= 400 && status >= 400),
                "{}",
                answer.text
            );
            if status == 200 {
                self.credentials("host serve", &answer.text);
            }
        }
        let wrong_place = format!("/credentials?token={token}");
        let answer = door.send("GET", &wrong_place, &[], b"");
        self.answer("container", answer);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// A home, a server and a command that are gone afterwards; the command copies them.
    pub fn in_a_sandbox(&mut self) {
        let script = "env > sandbox.env; cp -r \"$BOWLINE_SANDBOX\" sandbox 2>/dev/null; exit 3";
        let mut command = self.home.bowline("sandbox -- sh -c".split(' '));
        let finished = self.run_as("sandbox", command.arg(script));
        assert_eq!(finished.code, Some(3), "{finished}");
        let environment = self.text("sandbox.env");
        self.credentials("sandbox", &environment);
        self.private_key("sandbox/sandbox.key");
        let unseal = read(self.home.file("sandbox/home/unseal.key")).expect("it was copied");
        self.ledger.bytes(Kind::UnsealKey, "the sandbox", &unseal);
    }
}

/// What somebody left in an environment.
const LEFT_OVER: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYLEFTOVERKEY0";

//! One long story on the real program that meets every secret there is: what it makes goes into the ledger, what it
//! writes into the traces.

use crate::calls::{Answer, Credentials, Door, members, totp};
use crate::ledger::{Kind, Ledger};
use crate::traces::{Traces, Watch};
use bowline_service::{Clock, SystemClock};
use bowline_tests::{Clients, Finished, Home, Server, clients, run};
use serde_json::{Value, json};
use std::fs::{File, read, read_to_string};
use std::path::Path;
use std::process::Command;

/// The issuer of our own tokens, which nobody has to reach: its keys are given in a file.
const ISSUER: &str = "https://sts.example";
/// What opens the second home, and the encrypted key.
const PASSPHRASE: &str = "nine-Muses-ate-42-plums-in-Ithaca";
const KEY_PASSWORD: &str = "seven-Fates-spun-19-yarns-in-Delphi";

/// The run so far.
pub struct Story {
    pub home: Home,
    pub ledger: Ledger,
    pub traces: Traces,
}

/// Tells it from its beginning to its end.
pub fn told() -> Story {
    let mut story = Story {
        home: Home::empty(),
        ledger: Ledger::default(),
        traces: Traces::default(),
    };
    let watch = Watch::over(story.home.directory());
    story.first_home();
    story.second_home();
    watch.into_traces(&mut story.traces);
    let directory = story.home.directory().to_owned();
    story.traces.add_files(&directory);
    story
}

impl Story {
    /// Runs one of our commands, whose first words name it.
    fn run(&mut self, line: &str) -> Finished {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = self.home.bowline(&words);
        self.run_as(words[0], &mut command)
    }

    pub fn run_as(&mut self, name: &str, command: &mut Command) -> Finished {
        let finished = run(command);
        self.traces.add_finished(name, &finished);
        finished
    }

    #[track_caller]
    pub fn succeed(&mut self, line: &str) -> String {
        self.run(line).expect_success().stdout
    }

    #[track_caller]
    pub fn fail(&mut self, line: &str) {
        let refused = self.run(line).expect_failure();
        assert!(!refused.stderr.contains("panicked"), "{refused}");
    }

    pub fn text(&self, name: &str) -> String {
        read_to_string(self.home.file(name)).expect("a file that was just made")
    }

    pub fn private_key(&mut self, file: &str) {
        let pem = self.text(file);
        self.ledger.private_key(file, &pem);
    }

    /// Puts the secrets of an answer into the ledger.
    pub fn credentials(&mut self, name: &str, text: &str) -> Credentials {
        let credentials = Credentials::of(text);
        let (key, token) = (&credentials.secret_access_key, &credentials.session_token);
        self.ledger.text(Kind::SecretAccessKey, name, key);
        self.ledger.text(Kind::SessionToken, name, token);
        credentials
    }

    fn serve(&mut self, more: &[&str]) -> Server {
        let output = File::create(self.home.file("serve.out")).expect("the directory is writable");
        let started = Server::attempt(&self.home, |command| {
            command.args(more).stdout(output);
        });
        started.unwrap_or_else(|ended| panic!("the server ended at once\n{ended}"))
    }

    /// Ends a server and keeps what it wrote, before another writes over it.
    fn stop(&mut self, server: Server) {
        // The server takes its ready file away when it ends.
        let ready = read(self.home.file("ready.json")).expect("the server wrote it");
        self.traces.add("ready file of serve", ready);
        assert!(server.stop().success());
        for (place, file) in [
            ("log of serve", "serve.log"),
            ("stdout of serve", "serve.out"),
        ] {
            let bytes = read(self.home.file(file)).expect("the server wrote it");
            self.traces.add(place, bytes);
        }
    }

    /// Sends a request, and keeps the answer as one or as a refusal.
    pub fn answer(&mut self, name: &str, answer: Answer) -> Answer {
        let what = match answer.status {
            200..=299 => "answer",
            _ => "refusal",
        };
        self.traces
            .add(format!("{what} {name}"), answer.text.as_bytes());
        answer
    }

    // The first home: its keys under unseal.key.

    fn first_home(&mut self) {
        self.make();
        let server = self.serve(&["--log-format", "json"]);
        let door = Door::of(&self.home, server.http());
        let session = self.trade(&door);
        self.call_sts(&door, &session);
        self.relying(&door, &session);
        self.federate(&door, &session);
        self.second_factor(&server);
        self.on_the_host(&server);
        self.in_a_sandbox();
        self.misuse();
        self.end_sessions(&door, &session);
        self.look_back();
        self.stop(server);
    }

    fn make(&mut self) {
        self.succeed("init --offline-root ../root");
        let root = read_to_string(self.home.directory().join("root/root_ca_key"));
        self.ledger
            .private_key("root", &root.expect("init wrote it"));
        let unseal = read(self.home.path().join("unseal.key")).expect("init wrote it");
        self.ledger
            .bytes(Kind::UnsealKey, "the first home", &unseal);
        self.succeed("settings set url https://sts.example");
        self.succeed("role create s3-reader --allow * --on *");
        for (name, key) in [
            ("web-1", "--kty EC"),
            ("web-2", "--kty EC --crv P-384"),
            ("web-3", "--kty RSA"),
            ("web-4", "--kty OKP --crv Ed25519"),
        ] {
            self.succeed(&format!("issue {name} --role s3-reader {key}"));
            self.private_key(&format!("{name}.key"));
        }
        let given = self.succeed("credentials web-1");
        self.credentials("credentials", &given);
        let given = self.succeed("credentials operator --format env");
        self.credentials("credentials operator", &given);
        self.fail("credentials web-1 --role none");
        self.fail("issue web-1 --role s3-reader");
        self.encrypted_key();
    }

    fn encrypted_key(&mut self) {
        let Some(openssl) = Clients::need(&clients().openssl) else {
            return;
        };
        self.home.write("key.passphrase", KEY_PASSWORD);
        self.home
            .write("wrong.passphrase", "six-Furies-lost-77-keys-in-Argos");
        for text in [KEY_PASSWORD, "six-Furies-lost-77-keys-in-Argos"] {
            self.ledger.text(Kind::Passphrase, "key password", text);
        }
        let line = "pkcs8 -topk8 -in web-1.key -out sealed.key -passout file:key.passphrase";
        run(self.home.command(openssl).args(line.split(' '))).expect_success();
        self.home.write("sealed.crt", &self.text("web-1.crt"));
        let given = self.succeed("credentials sealed --password-file key.passphrase");
        self.credentials("credentials sealed", &given);
        self.fail("credentials sealed --password-file wrong.passphrase");
        self.fail("credentials sealed");
    }

    /// Exchanges over the wire, good and bad.
    fn trade(&mut self, door: &Door) -> Credentials {
        let answer = door.exchange("web-1", |_| {});
        let answer = self.answer("exchange", answer);
        assert_eq!(answer.status, 201, "{}", answer.text);
        let session = self.credentials("exchange", &answer.text);
        let bad: [fn(&mut bowline_service::WireRequest); 3] = [
            |request| {
                request
                    .headers
                    .retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
            },
            |request| request.body.extend(b" "),
            |request| {
                for (name, value) in &mut request.headers {
                    if name.eq_ignore_ascii_case("authorization") {
                        value.replace_range(value.len() - 4.., "0000");
                    }
                }
            },
        ];
        for bend in bad {
            let answer = door.exchange("web-2", bend);
            let refused = self.answer("exchange", answer);
            assert!(refused.status >= 400, "{}", refused.text);
        }
        session
    }

    fn call_sts(&mut self, door: &Door, session: &Credentials) {
        let said = door.sts(session, &[("Action", "GetCallerIdentity")]);
        assert_eq!(self.answer("GetCallerIdentity", said).status, 200);
        let trust = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow",
            "Principal": {"AWS": "000000000000"}, "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"]}});
        self.home.write("next.json", &trust.to_string());
        self.succeed("role create next --allow s3:GetObject --on * --trust-policy-file next.json");
        let role = self.home.arn("role", "next");
        let mut asked = [
            ("Action", "AssumeRole"),
            ("RoleArn", role.as_str()),
            ("RoleSessionName", "story"),
        ];
        let answer = door.sts(session, &asked);
        let answer = self.answer("AssumeRole", answer);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let assumed = self.credentials("AssumeRole", &answer.text);
        asked[1].1 = "arn:aws:iam::000000000000:role/none";
        let refused = door.sts(&assumed, &asked);
        assert!(self.answer("AssumeRole", refused).status >= 400);

        // Wrong signatures, swapped tokens, and the members of a credential in each other's places.
        let (one, two) = (session.clone(), assumed);
        let wrong = [
            Credentials {
                session_token: two.session_token.clone(),
                ..one.clone()
            },
            Credentials {
                secret_access_key: two.secret_access_key.clone(),
                ..one.clone()
            },
            Credentials {
                access_key_id: one.secret_access_key.clone(),
                ..one.clone()
            },
            Credentials {
                session_token: one.secret_access_key.clone(),
                ..one.clone()
            },
            Credentials {
                access_key_id: one.session_token.clone(),
                ..one.clone()
            },
        ];
        for (at, credentials) in wrong.iter().enumerate() {
            let name = match at {
                0 | 1 => "GetCallerIdentity",
                _ => "misplaced in GetCallerIdentity",
            };
            let answer = door.sts(credentials, &[("Action", "GetCallerIdentity")]);
            let refused = self.answer(name, answer);
            assert!(refused.status >= 400, "{}", refused.text);
        }
        // Parameters that hold what they should not.
        for parameter in [
            ("Action", session.session_token.as_str()),
            ("RoleArn", &session.session_token),
            ("DurationSeconds", &session.session_token),
            ("Version", &session.secret_access_key),
        ] {
            let mut line = vec![("RoleSessionName", "story")];
            if parameter.0 != "Action" {
                line.push(("Action", "AssumeRole"));
            }
            line.push(parameter);
            let answer = door.sts(session, &line);
            let refused = self.answer("misplaced in AssumeRole", answer);
            assert!(refused.status >= 400, "{}", refused.text);
        }
        // A presigned URL has the token in its query, which servers like to log.
        let url = door.presigned(
            "/?Action=GetCallerIdentity&Version=2011-06-15",
            session,
            "sts",
        );
        let answer = door.send("GET", &url, &[], b"");
        assert_eq!(self.answer("GetCallerIdentity", answer).status, 200);
        for target in [
            url.replace("Signature=", "Signature=0"),
            format!("/nothing{}", &url[1..]),
        ] {
            let answer = door.send("GET", &target, &[], b"");
            assert!(self.answer("GetCallerIdentity", answer).status >= 400);
        }
        self.boto3(session, door);
    }

    /// The same by boto3, if it is here.
    fn boto3(&mut self, session: &Credentials, door: &Door) {
        let Some(python) = Clients::need(&clients().python) else {
            return;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/session_token.py");
        let role = json!({"RoleArn": self.home.arn("role", "next"), "RoleSessionName": "boto3"});
        for (operation, parameters) in [("get_caller_identity", json!({})), ("assume_role", role)] {
            let mut command = self.home.command(python);
            command.arg(&script).args(["call", "--sts", door.url()]);
            command.args(["--verify", "roots.pem", operation]);
            let said = run(session.hand_to(command.arg(parameters.to_string()))).expect_success();
            if operation == "assume_role" {
                self.credentials("boto3", &said.stdout);
            }
            self.traces.add_finished("boto3", &said);
        }
    }

    /// What relying services ask, and what `presign` makes for them.
    fn relying(&mut self, door: &Door, session: &Credentials) {
        let at = "--endpoint-url http://storage.example:9000 --output json";
        let said = self.succeed(&format!("presign web-1 s3://data/x {at}"));
        let url: Value = serde_json::from_str(&said).expect("JSON");
        let url = url["url"].as_str().expect("a URL").to_owned();
        let token = url
            .split("X-Amz-Security-Token=")
            .nth(1)
            .and_then(|rest| rest.split('&').next());
        let token = token
            .expect("a token")
            .replace("%2B", "+")
            .replace("%2F", "/")
            .replace("%3D", "=");
        self.ledger.text(Kind::SessionToken, "presign", &token);
        let target = url.replace("http://storage.example:9000", "");
        let asked = json!({"method": "GET", "target": target, "headers": [["host", "storage.example:9000"]]});
        let allowed = door.call("authorize", &asked, None);
        let allowed = self.answer("authorize", allowed);
        assert!(allowed.text.contains("\"allow\""), "{}", allowed.text);

        // A key for S3, for a request of this session.
        let headers = [("host".to_owned(), "storage.example".to_owned())];
        let signed = session.signed("GET", "/data/x", &headers, b"", "s3");
        let key = session.signing_key("s3");
        self.ledger.bytes(Kind::SigningKey, "get-signing-key", &key);
        let asked =
            json!({"method": "GET", "target": "/data/x", "headers": signed, "service": "s3"});
        let given = door.call("get-signing-key", &asked, Some(session));
        let given = self.answer("get-signing-key", given);
        assert_eq!(given.status, 200, "{}", given.text);
        let asked =
            json!({"method": "PUT", "target": "/data/x", "headers": signed, "service": "s3"});
        let refused = door.call("get-signing-key", &asked, Some(session));
        self.answer("get-signing-key", refused);

        // Members that hold what they should not, and bodies that are cut off.
        let misplaced =
            json!({"method": "GET", "target": "/", "headers": [], "tls": session.session_token});
        let refused = door.call("authorize", &misplaced, None);
        assert!(self.answer("misplaced in authorize", refused).status >= 400);
        let whole = json!({"target": target, "headers": signed, "method": "GET"}).to_string();
        let refused = door.send(
            "POST",
            "/v1/authorize",
            &[],
            &whole.as_bytes()[..whole.len() - 5],
        );
        assert!(self.answer("authorize", refused).status >= 400);
        let unknown = json!({"secret_access_key": session.secret_access_key});
        let refused = door.call("list-roles", &unknown, Some(session));
        self.answer("list-roles", refused);
    }

    /// A token of ours, and back in with it.
    fn federate(&mut self, door: &Door, session: &Credentials) {
        let asked = [
            ("Action", "GetWebIdentityToken"),
            ("Audience.member.1", "story"),
            ("SigningAlgorithm", "ES384"),
        ];
        let answer = door.sts(session, &asked);
        let answer = self.answer("GetWebIdentityToken", answer);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let token = members(&answer.text, "WebIdentityToken");
        // Head and claims alone open nothing; the signature does.
        self.ledger
            .text(Kind::IdentityToken, "GetWebIdentityToken", &token);
        let signature = token.rsplit('.').next().expect("three parts").to_owned();
        self.ledger
            .text(Kind::IdentityToken, "its signature", &signature);
        let keys = door.send("GET", "/.well-known/jwks.json", &[], b"");
        self.home.write("jwks.json", &keys.body());
        self.succeed(&format!(
            "provider create self --issuer {ISSUER} --audience story --jwks-file jwks.json"
        ));
        let trust = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow",
            "Principal": {"Federated": "arn:aws:iam::000000000000:oidc-provider/sts.example"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringLike": {"sts.example:sub": "arn:aws:iam::000000000000:*"}}}});
        self.home.write("federated.json", &trust.to_string());
        self.succeed(
            "role create federated --allow s3:GetObject --on * --trust-policy-file federated.json",
        );
        let role = self.home.arn("role", "federated");
        let cut = &token[..token.len() - 8];
        let bent = format!("{cut}AAAAAAAA");
        let upside_down = format!("{signature}.{signature}.{signature}");
        for (token, status) in [
            (token.as_str(), 200),
            (cut, 400),
            (&bent, 400),
            (&upside_down, 400),
            (&signature, 400),
        ] {
            let asked = [
                ("Action", "AssumeRoleWithWebIdentity"),
                ("RoleArn", role.as_str()),
                ("RoleSessionName", "story"),
                ("WebIdentityToken", token),
            ];
            let answer = door.sts_unsigned(&asked);
            let answer = self.answer("AssumeRoleWithWebIdentity", answer);
            assert_eq!(answer.status, status, "{}", answer.text);
            if status == 200 {
                self.credentials("AssumeRoleWithWebIdentity", &answer.text);
            }
        }
    }

    fn second_factor(&mut self, server: &Server) {
        let said = self.run_as(
            "mfa enable",
            &mut self
                .home
                .bowline("mfa enable --certificate web-1.crt --output json".split(' ')),
        );
        let device = said.expect_success().json();
        let secret = device["secret"].as_str().expect("a secret").to_owned();
        let serial = device["serial_number"]
            .as_str()
            .expect("a number")
            .to_owned();
        self.ledger.text(Kind::Authenticator, "mfa enable", &secret);
        self.ledger.bytes(
            Kind::Authenticator,
            "mfa enable, decoded",
            &crate::calls::base32(&secret),
        );
        let subject = device["subject_id"].as_str().expect("an id").to_owned();
        let now = SystemClock.now().timestamp();
        let code = |step: i64| totp(&secret, now / 30 + step);
        self.fail(&format!(
            "mfa confirm {subject} {} {}",
            code(-5000),
            code(5000)
        ));
        self.succeed(&format!("mfa confirm {subject} {} {}", code(-1), code(0)));
        self.succeed("mfa list");
        let Some(python) = Clients::need(&clients().python) else {
            return;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/session_token.py");
        for (code, good) in [(code(1), true), ("000000".into(), false)] {
            let asked = json!({"SerialNumber": serial, "TokenCode": code});
            let mut command = self.home.command(python);
            command
                .arg(&script)
                .args(["call", "--sts", server.https(), "--verify", "roots.pem"]);
            command.args("--certificate web-1.crt --private-key web-1.key".split(' '));
            let said = run(command.arg("get_session_token").arg(asked.to_string()));
            assert_eq!(said.code == Some(0), good, "{said}");
            if good {
                self.credentials("GetSessionToken", &said.stdout);
            }
            self.traces
                .add_finished(if good { "boto3" } else { "boto3, refused" }, &said);
        }
    }

    /// Files with secrets, given where other files are read.
    fn misuse(&mut self) {
        self.home.write("secret.passphrase", PASSPHRASE);
        self.ledger
            .text(Kind::Passphrase, "the second home", PASSPHRASE);
        for file in [
            "web-1.key",
            "secret.passphrase",
            "../home/unseal.key",
            "host.token",
        ] {
            for line in [
                "cert inspect FILE",
                "verify FILE",
                "role create x --policy-file FILE",
                "role create x --allow s3:GetObject --on * --trust-policy-file FILE",
                "provider create x --issuer https://x.example --audience x --jwks-file FILE",
                "provider create x --saml-metadata FILE",
                "issue x --role s3-reader --csr FILE",
                "mfa enable --certificate FILE",
                "sandbox --apply FILE -- true",
                "role list --server https://127.0.0.1:1 --root FILE",
                "restore FILE --home ../restored",
                "backup other.bowline --recipient FILE",
                "credential-process --certificate FILE --private-key FILE",
                "role list --as FILE --server https://127.0.0.1:1 --root roots.pem",
            ] {
                self.fail(&line.replace("FILE", file));
            }
        }
    }

    fn end_sessions(&mut self, door: &Door, session: &Credentials) {
        self.succeed("session list --output json");
        self.succeed(&format!("session show {}", session.access_key_id));
        self.succeed("session key publish");
        self.succeed("session key activate");
        self.succeed("session key drop 1");
        let answer = door.sts(session, &[("Action", "GetCallerIdentity")]);
        assert!(self.answer("GetCallerIdentity", answer).status >= 400);
        let answer = door.exchange("web-3", |_| {});
        let answer = self.answer("exchange", answer);
        let session = self.credentials("exchange", &answer.text);
        self.succeed("session revoke --role s3-reader --reason story");
        let answer = door.sts(&session, &[("Action", "GetCallerIdentity")]);
        assert!(self.answer("GetCallerIdentity", answer).status >= 400);
        self.succeed("cert revoke web-2");
        let answer = door.exchange("web-2", |_| {});
        assert!(self.answer("exchange", answer).status >= 400);
    }

    /// The log, the examination and the copies.
    fn look_back(&mut self) {
        let list = self.succeed("audit list --output json");
        assert!(list.lines().count() > 30, "{list}");
        self.succeed("audit list --format csv");
        self.succeed("audit export log.jsonl");
        self.run("doctor");
        self.run("doctor --output json");
        self.succeed("backup copy.bowline");
        self.succeed("restore copy.bowline --home ../restored --unseal-key ../home/unseal.key");
        let Some(age) = Clients::need(&clients().age) else {
            return;
        };
        let mut keygen = self.home.command(&age.with_file_name("age-keygen"));
        run(keygen.args(["-o", "identity.age"])).expect_success();
        let identity = self.text("identity.age");
        let line = |mark: &str| {
            identity
                .split_whitespace()
                .find(|it| it.starts_with(mark))
                .map(str::to_owned)
        };
        let (secret, recipient) = (line("AGE-SECRET-KEY-"), line("age1"));
        let secret = secret.expect("an identity");
        // Most of it is nearly as good as all of it, and messages like to cut off what is long.
        for text in [&secret[..], &secret[..48]] {
            self.ledger.text(Kind::BackupIdentity, "age", text);
        }
        self.succeed(&format!(
            "backup sealed.bowline --recipient {}",
            recipient.expect("a recipient")
        ));
        self.fail("backup other.bowline --recipient identity.age");
        self.fail("restore sealed.bowline --home ../again --identity secret.passphrase");
        self.fail("restore copy.bowline --home ../again --identity identity.age --unseal-key identity.age");
        self.succeed("restore sealed.bowline --home ../again --identity identity.age --unseal-key ../home/unseal.key");
    }

    // The second home: its keys under a passphrase, its server logging for people.

    fn second_home(&mut self) {
        let second = self.home.directory().join("second");
        let password = ["--key-password-file", "secret.passphrase"];
        let line = |story: &mut Story, words: &str, good: bool| {
            let mut command = story.home.bowline(words.split(' '));
            command.env("BOWLINE_HOME", &second);
            let name = words.split(' ').next().unwrap_or_default();
            let finished = story.run_as(name, &mut command);
            assert_eq!(finished.code == Some(0), good, "{finished}");
            finished.stdout
        };
        let known = "--key-password-file secret.passphrase";
        line(self, &format!("init {known}"), true);
        line(
            self,
            "issue late --key-password-file wrong.passphrase",
            false,
        );
        line(self, "issue late", false);
        line(
            self,
            &format!("role create s3-reader --allow * --on * {known}"),
            true,
        );
        line(self, &format!("issue late --role s3-reader {known}"), true);
        self.private_key("late.key");
        let output = File::create(self.home.file("serve.out")).expect("writable");
        let server = Server::attempt(&self.home, |command| {
            command
                .env("BOWLINE_HOME", &second)
                .args(password)
                .stdout(output);
        });
        let server = server.unwrap_or_else(|ended| panic!("the server ended at once\n{ended}"));
        let given = line(self, "credentials late", true);
        let session = self.credentials("the second home", &given);
        let door = Door::at(server.http());
        let answer = door.sts(&session, &[("Action", "GetCallerIdentity")]);
        assert_eq!(self.answer("GetCallerIdentity", answer).status, 200);
        let swapped = Credentials {
            access_key_id: session.secret_access_key.clone(),
            ..session
        };
        let answer = door.sts(&swapped, &[("Action", "GetCallerIdentity")]);
        assert!(self.answer("misplaced in GetCallerIdentity", answer).status >= 400);
        line(self, "audit list --output json", true);
        line(self, "backup second.bowline", true);
        self.stop(server);
    }
}

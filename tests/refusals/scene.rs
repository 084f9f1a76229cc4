//! Certificates and requests that are wrong in one place, and the answers to them over a bare socket.

use crate::refusal::State;
use bowline_service::{
    Clock, PrivateKey, SessionAsk, SystemClock, Time, WireRequest, certificates_from_pem,
    session_request,
};
use bowline_tests::{Clients, Home, Server, clients, run};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// The role of the scene, its profile and anchor, and the certificate that can have it.
pub const ROLE: &str = "s3-reader";
pub const LEAF: &str = "web-1";

/// A home with a role, a server, and a certificate of its own CA.
pub struct Scene {
    pub home: Home,
    pub server: Server,
}

/// A request in the making. Everything can be bent before it is signed, and after.
pub struct Exchange {
    pub anchor: String,
    pub profile: String,
    pub role: String,
    pub duration: Option<u32>,
    pub region: String,
    pub at: Time,
    pub certificates: Vec<Vec<u8>>,
    pub key: PrivateKey,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

/// The current time, whole seconds.
pub fn now() -> Time {
    SystemClock.now()
}

/// openssl, without which nothing wrong can be made.
pub fn openssl() -> Option<&'static Path> {
    Clients::need(&clients().openssl)
}

impl Scene {
    pub fn new() -> Scene {
        let home = Home::initialized();
        home.succeed([
            "role",
            "create",
            ROLE,
            "--allow",
            "s3:GetObject",
            "--on",
            "arn:aws:s3:::data/*",
        ]);
        home.succeed(["issue", LEAF, "--role", ROLE]);
        let server = Server::start(&home);
        Scene { home, server }
    }

    /// The exchange that is in order: each test bends it in one place.
    pub fn exchange(&self) -> Exchange {
        self.exchange_of(LEAF, ["default", "default", ROLE])
    }

    /// The exchange of these files' certificate: names of anchor, profile and role.
    pub fn exchange_of(&self, leaf: &str, names: [&str; 3]) -> Exchange {
        let [anchor, profile, role] = names;
        let key = self.read(&format!("{leaf}.key"));
        Exchange {
            anchor: self.home.arn("anchor", anchor),
            profile: self.home.arn("profile", profile),
            role: self.home.arn("role", role),
            duration: None,
            region: "us-east-1".into(),
            at: now(),
            certificates: self.certificates(&format!("{leaf}.crt")),
            key: PrivateKey::from_pem(&key, None).expect("a key that was just made"),
        }
    }

    /// The certificates of a file in the work directory, DER.
    pub fn certificates(&self, name: &str) -> Vec<Vec<u8>> {
        certificates_from_pem(&self.read(name)).expect("certificates that were just made")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.home.file(name)).expect("a file that was just made")
    }

    /// A signed request.
    pub fn sign(&self, exchange: &Exchange) -> WireRequest {
        let ask = SessionAsk {
            role_arn: exchange.role.clone(),
            profile_arn: exchange.profile.clone(),
            trust_anchor_arn: exchange.anchor.clone(),
            duration_seconds: exchange.duration,
            role_session_name: None,
        };
        session_request(
            &ask,
            self.authority(),
            &exchange.certificates,
            &exchange.key,
            &exchange.region,
            exchange.at,
        )
        .expect("a request that can be signed")
    }

    fn authority(&self) -> &str {
        self.server.http().trim_start_matches("http://")
    }

    /// Sends a request as it is.
    pub fn send(&self, request: &WireRequest) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = request.body.len();
        head.push_str(&format!(
            "content-length: {length}\r\nconnection: close\r\n\r\n"
        ));
        self.send_bytes(&[head.as_bytes(), &request.body])
    }

    /// Sends bytes, and reads until the server closes.
    pub fn send_bytes(&self, pieces: &[&[u8]]) -> Answer {
        let mut stream = TcpStream::connect(self.authority()).expect("the server listens");
        for piece in pieces {
            // A server that has heard enough closes; its answer is there all the same.
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer::read(&String::from_utf8_lossy(&bytes))
    }

    /// A request that must be answered with credentials, so that the refusals around it mean something.
    #[track_caller]
    pub fn accepted(&self, exchange: &Exchange) {
        let answer = self.send(&self.sign(exchange));
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// A request that must be refused, and change nothing.
    #[track_caller]
    pub fn refused(&self, request: &WireRequest, status: u16, code: &str, says: &[&str]) {
        let before = State::of(&self.home);
        let answer = self.send(request);
        answer.check(status, code, says);
        assert_eq!(State::of(&self.home), before, "something has changed");
    }

    /// Signs and sends an exchange, which must be refused.
    #[track_caller]
    pub fn refuses(&self, exchange: &Exchange, status: u16, code: &str, says: &[&str]) {
        self.refused(&self.sign(exchange), status, code, says);
    }
}

impl Answer {
    fn read(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("not an answer: {text:?}")),
            head: head.into(),
            body: serde_json::from_str(body).unwrap_or(Value::String(body.into())),
        }
    }

    /// Holds a refusal by `POST /sessions` against what must be said.
    #[track_caller]
    pub fn check(&self, status: u16, code: &str, says: &[&str]) {
        assert_eq!(self.status, status, "status\n{self:?}");
        assert_eq!(self.body["error"]["code"], code, "stable code\n{self:?}");
        let message = self.body["message"].as_str().unwrap_or_default();
        assert!(message.ends_with(&format!("[{code}]")), "{self:?}");
        for words in says {
            assert!(
                message.contains(words),
                "the message lacks {words:?}\n{self:?}"
            );
        }
        assert!(self.head.contains("x-amzn-errortype: "), "{self:?}");
    }
}

/// A CA that openssl makes in the work directory, for everything we would never issue.
pub struct Foreign<'a> {
    home: &'a Home,
    openssl: &'a Path,
}

/// What a foreign certificate is like; each test bends one thing.
pub struct Wanted<'a> {
    pub key: &'a str,
    pub digest: &'a str,
    pub extensions: &'a str,
    pub from: String,
    pub until: String,
}

impl Wanted<'_> {
    /// A certificate as workloads have it.
    pub fn leaf() -> Wanted<'static> {
        Wanted {
            key: P256,
            digest: "sha256",
            extensions: "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n",
            from: moment(now() - HOUR),
            until: moment(now() + HOUR),
        }
    }

    /// A CA certificate.
    pub fn authority() -> Wanted<'static> {
        Wanted {
            extensions: "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n",
            ..Wanted::leaf()
        }
    }
}

/// A time as openssl reads it.
pub fn moment(time: Time) -> String {
    time.format("%Y%m%d%H%M%SZ").to_string()
}

impl<'a> Foreign<'a> {
    pub fn new(home: &'a Home, openssl: &'a Path) -> Foreign<'a> {
        home.write(
            "ca.cnf",
            "[ca]\ndefault_ca=it\n[it]\nnew_certs_dir=.\ndatabase=index.txt\nrand_serial=yes\npolicy=any\nunique_subject=no\n\
             [any]\ncommonName=supplied\n[req]\ndistinguished_name=dn\n[dn]\n",
        );
        home.write("index.txt", "");
        Foreign { home, openssl }
    }

    /// Makes a key and a certificate, `NAME.key` and `NAME.crt`; signed by itself where `issuer` is its own name.
    pub fn make(&self, name: &str, issuer: &str, wanted: &Wanted<'_>) {
        let (key, csr) = (format!("{name}.key"), format!("{name}.csr"));
        let subject = format!("/CN={name}");
        let mut request = vec!["req", "-new", "-config", "ca.cnf", "-nodes"];
        request.extend(wanted.key.split(' '));
        request.extend(["-subj", &subject, "-keyout", &key, "-out", &csr]);
        self.run(&request);
        self.home.write("extensions.cnf", wanted.extensions);
        let (issuer_key, issuer_certificate) = (format!("{issuer}.key"), format!("{issuer}.crt"));
        let out = format!("{name}.crt");
        let mut sign = vec!["ca", "-batch", "-notext", "-config", "ca.cnf"];
        sign.extend(["-md", wanted.digest, "-in", &csr, "-out", &out]);
        sign.extend(["-keyfile", &issuer_key, "-extfile", "extensions.cnf"]);
        sign.extend(["-startdate", &wanted.from, "-enddate", &wanted.until]);
        match issuer == name {
            true => sign.push("-selfsign"),
            false => sign.extend(["-cert", &issuer_certificate]),
        }
        self.run(&sign);
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) {
        run(self.home.command(self.openssl).args(arguments)).expect_success();
    }
}

/// Arguments of `openssl req` for a new key.
pub const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
pub const RSA_1024: &str = "-newkey rsa:1024";

pub const HOUR: std::time::Duration = std::time::Duration::from_secs(60 * 60);

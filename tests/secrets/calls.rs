//! Requests by hand, and what their answers hold.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use bowline_service::{
    Clock, PrivateKey, SessionAsk, SystemClock, WireRequest, certificates_from_pem, session_request,
};
use bowline_sigv4::{Body, SignedRequest, presign, sign_hmac, signing_key};
use bowline_tests::Home;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

const REGION: &str = "us-east-1";

/// Where a server is, and who may trade there.
pub struct Door {
    url: String,
    work: PathBuf,
    ask: SessionAsk,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    /// Head and body.
    pub text: String,
}

impl Answer {
    pub fn body(&self) -> String {
        let parts = self.text.split_once("\r\n\r\n");
        parts.map_or("", |(_, body)| body).to_owned()
    }
}

/// Credentials as a client keeps them.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
}

impl Credentials {
    /// Reads them out of any form that they are given in.
    #[track_caller]
    pub fn of(text: &str) -> Credentials {
        let one = |names: [&str; 4]| {
            let found = names.iter().map(|name| members(text, name));
            let found = found.into_iter().find(|value| !value.is_empty());
            found.unwrap_or_else(|| panic!("no {} in {text}", names[0]))
        };
        Credentials {
            access_key_id: one([
                "AccessKeyId",
                "accessKeyId",
                "AWS_ACCESS_KEY_ID",
                "aws_access_key_id",
            ]),
            secret_access_key: one([
                "SecretAccessKey",
                "secretAccessKey",
                "AWS_SECRET_ACCESS_KEY",
                "aws_secret_access_key",
            ]),
            session_token: match members(text, "Token") {
                token if !token.is_empty() => token,
                _ => one([
                    "SessionToken",
                    "sessionToken",
                    "AWS_SESSION_TOKEN",
                    "aws_session_token",
                ]),
            },
        }
    }

    pub fn hand_to<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", &self.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_access_key)
            .env("AWS_SESSION_TOKEN", &self.session_token)
    }

    fn signing(&self) -> bowline_sigv4::Credentials<'_> {
        bowline_sigv4::Credentials {
            access_key_id: &self.access_key_id,
            secret: &self.secret_access_key,
            session_token: Some(&self.session_token),
        }
    }

    /// The headers of a request, signed.
    pub fn signed(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
        service: &str,
    ) -> Vec<(String, String)> {
        let request = SignedRequest::new(method, target, headers, Body::Bytes(body));
        let added = sign_hmac(
            &request,
            &self.signing(),
            REGION,
            service,
            SystemClock.now(),
        );
        [headers, &added.expect("a request that can be signed")].concat()
    }

    /// What a relying service gets to verify today's requests by.
    pub fn signing_key(&self, service: &str) -> [u8; 32] {
        let date = SystemClock.now().format("%Y%m%d").to_string();
        *signing_key(&self.secret_access_key, &date, REGION, service).as_bytes()
    }
}

impl Door {
    /// The server of a home that has the usual names, and role `s3-reader`. Writes its roots beside.
    pub fn of(home: &Home, url: &str) -> Door {
        home.write("roots.pem", &home.succeed(["ca", "bundle"]));
        Door {
            ask: SessionAsk {
                role_arn: home.arn("role", "s3-reader"),
                profile_arn: home.arn("profile", "default"),
                trust_anchor_arn: home.arn("anchor", "default"),
                duration_seconds: None,
                role_session_name: None,
            },
            work: home.work(),
            ..Door::at(url)
        }
    }

    /// A server at which nothing is traded.
    pub fn at(url: &str) -> Door {
        let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
        Door {
            url: origin.join("/"),
            work: PathBuf::new(),
            ask: SessionAsk {
                role_arn: String::new(),
                profile_arn: String::new(),
                trust_anchor_arn: String::new(),
                duration_seconds: None,
                role_session_name: None,
            },
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Trades a certificate, with a request that was bent after it was signed.
    pub fn exchange(&self, name: &str, bend: impl FnOnce(&mut WireRequest)) -> Answer {
        let file = |end: &str| {
            std::fs::read(self.work.join(format!("{name}.{end}"))).expect("it was issued")
        };
        let certificates = certificates_from_pem(&file("crt")).expect("certificates");
        let key = PrivateKey::from_pem(&file("key"), None).expect("a key");
        let now = SystemClock.now();
        let request = session_request(
            &self.ask,
            self.authority(),
            &certificates,
            &key,
            REGION,
            now,
        );
        let mut request = request.expect("a request that can be signed");
        bend(&mut request);
        let headers: Vec<(String, String)> = request.headers.into_iter().collect();
        self.send(&request.method, &request.target, &headers, &request.body)
    }

    /// A call of STS, signed in its header.
    pub fn sts(&self, credentials: &Credentials, parameters: &[(&str, &str)]) -> Answer {
        let body = form(parameters);
        let headers = credentials.signed("POST", "/", &self.form_headers(), body.as_bytes(), "sts");
        self.send("POST", "/", &headers, body.as_bytes())
    }

    /// One that nobody signs.
    pub fn sts_unsigned(&self, parameters: &[(&str, &str)]) -> Answer {
        self.send(
            "POST",
            "/",
            &self.form_headers(),
            form(parameters).as_bytes(),
        )
    }

    fn form_headers(&self) -> [(String, String); 2] {
        [
            ("host".into(), self.authority().into()),
            (
                "content-type".into(),
                "application/x-www-form-urlencoded".into(),
            ),
        ]
    }

    /// An operation of ours.
    pub fn call(&self, operation: &str, body: &Value, credentials: Option<&Credentials>) -> Answer {
        let (target, body) = (format!("/v1/{operation}"), body.to_string());
        let headers = vec![
            ("host".into(), self.authority().into()),
            ("content-type".into(), "application/json".into()),
        ];
        let headers = match credentials {
            Some(credentials) => {
                credentials.signed("POST", &target, &headers, body.as_bytes(), "bowline")
            }
            None => headers,
        };
        self.send("POST", &target, &headers, body.as_bytes())
    }

    /// A target with the signature in its query.
    pub fn presigned(&self, target: &str, credentials: &Credentials, service: &str) -> String {
        let headers = [("host", self.authority())];
        let request = SignedRequest::new("GET", target, &headers, Body::Bytes(b""));
        let now = SystemClock.now();
        let minute = now + std::time::Duration::from_secs(60) - now;
        let url = presign(
            &request,
            &credentials.signing(),
            REGION,
            service,
            minute,
            now,
        );
        url.expect("a URL that can be signed")
    }

    /// Sends a request as it is, and reads until the server closes.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str(&format!("host: {}\r\n", self.authority()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!(
            "content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        ));
        let mut stream = TcpStream::connect(self.authority()).expect("the server listens");
        // A server that has heard enough closes; its answer is there all the same.
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body));
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("not an answer: {text:?}")),
            text,
        }
    }
}

fn form(parameters: &[(&str, &str)]) -> String {
    let version = [("Version", "2011-06-15")];
    let told = parameters.iter().any(|(name, _)| *name == "Version");
    let all = parameters.iter().chain(version.iter().filter(|_| !told));
    let pairs: Vec<String> = all
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    pairs.join("&")
}

fn encoded(value: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let one = |byte: u8| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(one).collect()
}

/// The value of a member in JSON, XML, an environment or an INI file; empty if there is none.
pub fn members(text: &str, name: &str) -> String {
    for (before, after) in [
        (format!("\"{name}\":\""), '"'),
        (format!("\"{name}\": \""), '"'),
        (format!("<{name}>"), '<'),
        (format!("{name}="), '\n'),
        (format!("{name} = "), '\n'),
    ] {
        if let Some((_, rest)) = text.split_once(&before) {
            let value = rest.split(after).next().unwrap_or_default();
            return value.trim().trim_matches(['\'', '"']).to_owned();
        }
    }
    String::new()
}

/// What an authenticator shows (RFC 6238).
pub fn totp(secret: &str, step: i64) -> String {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret));
    let tag = sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let word = tag[at..at + 4]
        .iter()
        .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// RFC 4648 §6, without padding.
pub fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => continue,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

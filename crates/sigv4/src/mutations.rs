//! Every captured and every signed request, changed in one place, thousands of times over.
//!
//! The rule: what is still accepted means what the original meant. What a request means is worked out here a second
//! time and on its own: method, path, query, signed headers and all `x-amz-*`, authentication, body. It does not
//! depend on
//!
//! - headers that are neither signed nor `x-amz-*`: anybody may add, change, repeat and move them;
//! - the order of headers of different names, capitals in their names, white space around and inside their values;
//! - the order of the fields of an `Authorization` header, and spaces between them;
//! - the order of query parameters, empty ones (`a&&b`), a missing `=`, and how bytes are percent-encoded;
//! - `.`, `..` and empty segments of a path that is not S3's;
//! - for AWS4-X509, the path and the port of the host, which clients leave out of what they sign.

use crate::fixtures::{P256, RSA, Sent, SentBody, captures, noon, vectors};
use crate::{Credentials, Rules, hmac, presign, sign_hmac, sign_x509, x509};
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};

/// The access key of all requests, and its secret.
const ACCESS_KEY_ID: &str = "ASIATESTTESTTESTTEST";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// In values longer than this only some places are changed: a token or certificate is one long text.
const EVERY_PLACE_UP_TO: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Hmac { s3: bool },
    X509,
}

fn accepted(sent: &Sent, scheme: Scheme, original: &Sent) -> bool {
    let rules = Rules::for_relying_services();
    match scheme {
        Scheme::Hmac { .. } => {
            let now = hmac::Presented::parse(&original.request(), &rules);
            let now = now.unwrap().signed_at();
            hmac::Presented::parse_at(&sent.request(), &rules, now)
                // Another access key has another secret, or none.
                .map(|presented| (presented.access_key_id() == ACCESS_KEY_ID, presented))
                .is_ok_and(|(known, presented)| known && presented.verify(SECRET, now).is_ok())
        }
        Scheme::X509 => x509::Presented::parse(&sent.request(), &Rules::default())
            .and_then(|presented| presented.verify(noon()))
            .is_ok(),
    }
}

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    method: String,
    path: Vec<u8>,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    authorization: BTreeSet<String>,
    headers: BTreeMap<String, Vec<Vec<u8>>>,
    body: Vec<u8>,
}

fn meaning(sent: &Sent, scheme: Scheme) -> Meaning {
    let (path, query) = sent.target.split_once('?').unwrap_or((&sent.target, ""));
    let query: Vec<_> = query.split('&').filter(|part| !part.is_empty()).collect();
    let mut query: Vec<_> = query
        .into_iter()
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect();
    query.sort();
    let authorization: BTreeSet<String> = sent
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .flat_map(|value| {
            let fields: Vec<String> = value.split([',', ' ', '\t']).map(str::to_owned).collect();
            fields
        })
        .filter(|field| !field.is_empty())
        .collect();
    let signed = authorization
        .iter()
        .find_map(|field| field.strip_prefix("SignedHeaders=").map(str::to_owned));
    let signed = signed.unwrap_or_else(|| {
        let value = query
            .iter()
            .find(|(name, _)| name == b"X-Amz-SignedHeaders");
        value.map_or(String::new(), |(_, value)| {
            String::from_utf8_lossy(value).into_owned()
        })
    });
    let mut headers: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (name, value) in &sent.headers {
        let name = name.to_ascii_lowercase();
        if signed.split(';').any(|signed| signed == name) || name.starts_with("x-amz-") {
            let mut value = spaced(value);
            if scheme == Scheme::X509 && name == "host" {
                value = value.split(|byte| *byte == b':').next().unwrap().to_vec();
            }
            headers.entry(name).or_default().push(value);
        }
    }
    let path = match scheme {
        Scheme::Hmac { s3: true } => unescaped(path),
        Scheme::Hmac { s3: false } => resolved(path),
        Scheme::X509 => Vec::new(),
    };
    let body = match &sent.body {
        SentBody::Bytes(bytes) => bytes.clone(),
        SentBody::Hash(hash) => hash.to_vec(),
        SentBody::Unknown => Vec::new(),
    };
    Meaning {
        method: sent.method.clone(),
        path,
        query,
        authorization,
        headers,
        body,
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn spaced(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace);
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

fn resolved(path: &str) -> Vec<u8> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').filter(|s| !matches!(*s, "" | ".")) {
        if segment == ".." {
            kept.pop();
        } else {
            kept.push(segment);
        }
    }
    let mut out = format!("/{}", kept.join("/")).into_bytes();
    if path.ends_with('/') && !kept.is_empty() {
        out.push(b'/');
    }
    out
}

/// Every way in which one text is changed at one place.
fn texts(text: &[u8]) -> Vec<Vec<u8>> {
    let step = 1 + text.len() / EVERY_PLACE_UP_TO;
    let mut all = Vec::new();
    for at in (0..text.len()).step_by(step) {
        let (head, tail) = text.split_at(at);
        let byte = tail[0];
        let mut with = |middle: &[u8], tail: &[u8]| all.push([head, middle, tail].concat());
        with(&[byte ^ 0x01], &tail[1..]);
        with(&[byte ^ 0x20], &tail[1..]);
        with(&[byte, byte], &tail[1..]);
        with(&[], &tail[1..]);
        with(b" ", tail);
        with(b"0", tail);
        with(format!("%{byte:02x}").as_bytes(), &tail[1..]);
        if let Some(next) = tail.get(1) {
            with(&[*next, byte], &tail[2..]);
        }
    }
    all.push([text, b"&"].concat());
    all.push([text, b" "].concat());
    all.push(text[..text.len() / 2].to_vec());
    all.push(Vec::new());
    all
}

fn targets(sent: &Sent) -> Vec<String> {
    let mut all: Vec<String> = texts(sent.target.as_bytes())
        .into_iter()
        .filter_map(|bytes| String::from_utf8(bytes).ok())
        .collect();
    let (path, query) = sent.target.split_once('?').unwrap_or((&sent.target, ""));
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    for more in [
        "x=1",
        "X-Amz-Extra=1",
        "x-amz-security-token=other",
        "X-Amz-Signature=0",
    ] {
        let joined = if query.is_empty() {
            more.into()
        } else {
            format!("{query}&{more}")
        };
        all.push(format!("{path}?{joined}"));
    }
    for at in 0..parts.len() {
        let mut without = parts.clone();
        let part = without.remove(at);
        all.push(format!("{path}?{}", without.join("&")));
        all.push(format!("{path}?{query}&{part}"));
        without.insert(0, part);
        all.push(format!("{path}?{}", without.join("&&")));
    }
    all.push(format!("/.{}", sent.target));
    all.push(format!("/{}", sent.target));
    all.push(format!("https://other.example{}", sent.target));
    all.push(sent.target.replacen('/', "/x/../", 1));
    all
}

fn mutants(sent: &Sent) -> Vec<Sent> {
    let mut all = Vec::new();
    for method in ["GET", "PUT", "POST", "DELETE", "get", "G ET", ""] {
        let method = method.to_owned();
        all.push(Sent {
            method,
            ..sent.clone()
        });
    }
    for target in targets(sent) {
        all.push(Sent {
            target,
            ..sent.clone()
        });
    }
    let mut headers = Vec::new();
    for (at, (name, value)) in sent.headers.iter().enumerate() {
        for text in texts(value) {
            let mut changed = sent.headers.clone();
            changed[at].1 = text;
            headers.push(changed);
        }
        let mut changed = sent.headers.clone();
        changed.remove(at);
        headers.push(changed.clone());
        changed.insert(0, (name.to_ascii_uppercase(), value.clone()));
        headers.push(changed.clone());
        changed.push((name.clone(), value.clone()));
        headers.push(changed.clone());
        changed.push((format!("{name}-"), b"other".to_vec()));
        headers.push(changed);
        let mut again = sent.headers.clone();
        again.push((name.clone(), b"other".to_vec()));
        headers.push(again);
    }
    for (name, value) in [
        ("x-amz-acl", "public-read"),
        ("X-Amz-Security-Token", "another"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-copy-source", "/other/secret"),
        ("authorization", "Basic eDp5"),
        ("x-forwarded-host", "other.example"),
        ("accept", "text/html"),
        ("date", "Mon, 01 Jun 2026 12:00:00 GMT"),
    ] {
        let mut more = sent.headers.clone();
        more.push((name.to_owned(), value.as_bytes().to_vec()));
        headers.push(more);
    }
    let mut reversed = sent.headers.clone();
    reversed.reverse();
    headers.push(reversed);
    for headers in headers {
        all.push(Sent {
            headers,
            ..sent.clone()
        });
    }
    let bodies = match &sent.body {
        SentBody::Bytes(bytes) => {
            let more = [bytes.as_slice(), b"x"].concat();
            let bodies = texts(bytes).into_iter().chain([more]);
            bodies.map(SentBody::Bytes).collect()
        }
        SentBody::Hash(hash) => (0..32)
            .map(|at| {
                let mut other = *hash;
                other[at] ^= 1;
                SentBody::Hash(other)
            })
            .collect(),
        SentBody::Unknown => Vec::new(),
    };
    for body in bodies {
        all.push(Sent {
            body,
            ..sent.clone()
        });
    }
    all
}

/// How many mutants there were, and how many of them meant the same and were accepted.
fn judge(name: &str, sent: &Sent, scheme: Scheme) -> (usize, usize) {
    assert!(accepted(sent, scheme, sent), "{name}: the original itself");
    let means = meaning(sent, scheme);
    let mutants = mutants(sent);
    let mut equal = 0;
    for mutant in &mutants {
        if !accepted(mutant, scheme, sent) {
            continue;
        }
        let unsigned_body = covers_no_body(sent);
        let mut found = meaning(mutant, scheme);
        if unsigned_body {
            // The signature says so itself, and whoever verifies it is told.
            found.body.clone_from(&means.body);
        }
        assert_eq!(found, means, "{name}: accepted, and it means another thing");
        equal += 1;
    }
    (mutants.len(), equal)
}

/// Whether the signature leaves the body out, or knows only the hash it declares.
fn covers_no_body(sent: &Sent) -> bool {
    let rules = Rules::for_relying_services();
    let presented = hmac::Presented::parse(&sent.request(), &rules);
    presented.is_ok_and(|presented| {
        let now = presented.signed_at();
        let proof = presented.verify(SECRET, now);
        proof.is_ok_and(|proof| {
            matches!(
                proof.payload(),
                crate::Payload::Unsigned | crate::Payload::Streaming
            )
        })
    })
}

fn check(all: impl Iterator<Item = (String, Sent, Scheme)>, at_least: usize) {
    let (mut tried, mut equal, mut requests) = (0, 0, 0);
    for (name, sent, scheme) in all {
        let (of_this, same) = judge(&name, &sent, scheme);
        assert!(
            same > 0,
            "{name}: not even an added unsigned header is let by"
        );
        (tried, equal, requests) = (tried + of_this, equal + same, requests + 1);
    }
    println!("{requests} requests, {tried} mutants, {equal} of them the same request");
    assert!(
        tried >= at_least,
        "{tried} mutants are too few to say anything"
    );
    assert!(equal * 3 < tried, "{equal} of {tried} accepted");
}

#[test]
fn no_mutant_of_a_captured_request_means_another_thing() {
    let all = captures().into_iter().filter_map(|capture| {
        // An old curl signs the query unsorted, and is refused as it is.
        (capture.tag != "curl-sigv4-q").then(|| {
            let sent = capture.sent();
            let s3 = service_of(&sent) == "s3";
            (capture.tag.clone(), sent, Scheme::Hmac { s3 })
        })
    });
    check(all, 20_000);
}

fn service_of(sent: &Sent) -> String {
    let rules = Rules::for_relying_services();
    let presented = hmac::Presented::parse(&sent.request(), &rules).unwrap();
    presented.scope().service.clone()
}

fn signed(service: &str, query_form: bool) -> Sent {
    let headers = [
        ("Host", "h.example:8443"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("X-Amz-Meta-Note", "two  words"),
        ("User-Agent", "tester"),
    ];
    let target = "/a/b%20c/d~e?list-type=2&prefix=x%2Fy&empty";
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let mut sent = Sent::new("POST", target, &headers, body);
    let credentials = Credentials {
        access_key_id: ACCESS_KEY_ID,
        secret: SECRET,
        session_token: Some("token/with+signs=="),
    };
    let request = sent.request();
    if query_form {
        let life = TimeDelta::seconds(60);
        sent.target = presign(&request, &credentials, "us-east-1", service, life, noon()).unwrap();
        return sent;
    }
    let added = sign_hmac(&request, &credentials, "us-east-1", service, noon()).unwrap();
    // The user agent stays outside, as proxies need it.
    sent.with(added)
}

#[test]
fn no_mutant_of_a_signed_request_means_another_thing() {
    let services = ["sts", "s3", "execute-api"];
    let all = services.into_iter().flat_map(|service| {
        [false, true].map(|query_form| {
            let s3 = service == "s3";
            let name = format!("{service}, in the query: {query_form}");
            (name, signed(service, query_form), Scheme::Hmac { s3 })
        })
    });
    check(all, 5_000);
}

#[test]
fn no_mutant_of_an_exchange_means_another_thing() {
    let mut all: Vec<_> = vectors()
        .iter()
        .filter(|vector| vector.expect == "valid")
        .map(|vector| (vector.name.clone(), vector.sent(), Scheme::X509))
        .collect();
    for (name, key) in [("P-256", &*P256), ("RSA", &*RSA)] {
        let headers = [
            ("Host", "h.example:8443"),
            ("Content-Type", "application/json"),
        ];
        let target = "/sessions?profileArn=arn%3Aaws%3Ax&roleArn=y";
        let sent = Sent::new("POST", target, &headers, "{\"durationSeconds\":900}");
        let leaf = &key.certificate;
        let added = sign_x509(&sent.request(), leaf, &[], key, "us-east-1", noon()).unwrap();
        all.push((name.to_owned(), sent.with(added), Scheme::X509));
    }
    assert!(all.len() >= 3, "{}", all.len());
    check(all.into_iter(), 2_000);
}

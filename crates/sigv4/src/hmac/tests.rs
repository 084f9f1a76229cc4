//! Requests of real clients, then the rules one by one.

use super::*;
use crate::fixtures::{Sent, SentBody, captures, noon};
use crate::{Credentials, presign, sign_hmac};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn relying() -> Rules {
    Rules::for_relying_services()
}

fn verify(sent: &Sent, rules: &Rules, now: Time) -> Result<Verified, SignatureError> {
    Presented::parse(&sent.request(), rules)?.verify(SECRET, now)
}

/// A signature does not depend on the clock, so each capture is judged at its own date.
fn verify_at_its_date(sent: &Sent) -> Result<Verified, &'static str> {
    let presented = Presented::parse(&sent.request(), &relying()).map_err(|e| e.code())?;
    let now = presented.signed_at();
    presented.verify(SECRET, now).map_err(|e| e.code())
}

#[test]
fn requests_of_real_clients_verify() {
    let captures = captures();
    assert_eq!(captures.len(), 21);
    let mut verified = 0;
    for capture in &captures {
        match (capture.tag.as_str(), verify_at_its_date(&capture.sent())) {
            // An old curl signs the query unsorted.
            ("curl-sigv4-q", result) => assert_eq!(result.err(), Some("signature_mismatch")),
            (tag, Ok(proof)) => {
                assert_eq!(proof.access_key_id(), "ASIATESTTESTTESTTEST", "{tag}");
                assert_eq!(
                    proof.session_token(),
                    Some("TOKEN/with+special=chars=="),
                    "{tag}"
                );
                verified += 1;
            }
            (tag, Err(code)) => panic!("{tag}: {code}"),
        }
    }
    assert_eq!(verified, 20);
}

#[test]
fn a_signature_version_2_url_is_answered_with_the_fix() {
    // What `aws s3 presign` of version 1 makes for us-east-1 with an endpoint of one's own.
    let target = "/b/k?AWSAccessKeyId=ASIATESTTESTTESTTEST&Signature=x%2By%3D&x-amz-security-token=T&Expires=1795302000";
    let sent = Sent::new("GET", target, &[("host", "h")], "");
    let error = verify(&sent, &relying(), noon()).unwrap_err();
    assert_eq!(error, SignatureError::SignatureVersion2);
    let fix = "aws configure set default.s3.signature_version s3v4";
    assert!(error.to_string().contains(fix));
    let header = [("host", "h"), ("authorization", "AWS ASIA:c2ln")];
    let sent = Sent::new("GET", "/b/k", &header, "");
    assert_eq!(
        verify(&sent, &relying(), noon()).unwrap_err(),
        SignatureError::SignatureVersion2
    );
}

/// Every byte that is signed matters: path, query, method, body, and each signed header.
#[test]
fn no_changed_byte_passes() {
    let mut changed = 0;
    let mut check = |sent: &Sent, what: &str| {
        changed += 1;
        assert!(verify_at_its_date(sent).is_err(), "{what}: {sent:?}");
    };
    for capture in captures() {
        let sent = capture.sent();
        let Ok(proof) = verify_at_its_date(&sent) else {
            continue;
        };
        // What `..` takes back may change: only what is left of a path is signed, where signers normalise.
        let start = match (proof.scope().service.as_str(), sent.target.find("/../")) {
            ("s3", _) | (_, None) => 1,
            (_, Some(at)) => at + "/../".len(),
        };
        for at in start..sent.target.len() {
            let mut other = sent.clone();
            // To another digit or letter, and never only to another case: `%2f` is `%2F`.
            let byte = match sent.target.as_bytes()[at] {
                b'8' => '9',
                _ => '8',
            };
            other.target.replace_range(at..=at, &byte.to_string());
            check(&other, "target");
        }
        let mut other = sent.clone();
        other.method.push('X');
        check(&other, "method");
        for name in proof.signed_headers() {
            let index = sent
                .headers
                .iter()
                .position(|(n, _)| n.eq_ignore_ascii_case(name))
                .unwrap();
            for at in 0..sent.headers[index].1.len() {
                let mut other = sent.clone();
                let byte = &mut other.headers[index].1[at];
                // A tab for a space, or two spaces for one, mean the same.
                *byte = if *byte == b'!' { b'#' } else { b'!' };
                check(&other, name);
            }
            let mut other = sent.clone();
            other.headers.remove(index);
            check(&other, name);
        }
        if proof.payload() == Payload::Verified {
            let mut other = sent.clone();
            match &mut other.body {
                SentBody::Bytes(bytes) if bytes.is_empty() => bytes.push(0),
                SentBody::Bytes(bytes) => bytes[0] ^= 1,
                SentBody::Hash(hash) => hash[0] ^= 1,
                SentBody::Unknown => unreachable!("captures come with their bodies"),
            }
            check(&other, "body");
        }
    }
    // A loop that saw nothing would pass too.
    assert!(changed > 3000, "{changed}");
}

fn credentials(token: Option<&str>) -> Credentials<'_> {
    Credentials {
        access_key_id: "ASIATESTTESTTESTTEST",
        secret: SECRET,
        session_token: token,
    }
}

fn signed(sent: &Sent, service: &str) -> Sent {
    let added = sign_hmac(
        &sent.request(),
        &credentials(Some("T")),
        "us-east-1",
        service,
        noon(),
    );
    sent.clone().with(added.unwrap())
}

fn plain() -> Sent {
    Sent::new(
        "POST",
        "/a?b=c",
        &[("Host", "h:8443"), ("x-amz-meta", "m")],
        "body",
    )
}

#[test]
fn what_was_proved_can_be_asked_for() {
    let sent = signed(&plain(), "sts");
    let proof = verify(&sent, &Rules::default(), noon()).unwrap();
    assert_eq!(proof.form(), Form::Header);
    assert_eq!(proof.scope().region, "us-east-1");
    assert_eq!(proof.scope().service, "sts");
    assert_eq!(proof.scope().date, "20260601");
    assert_eq!(proof.signed_at(), noon());
    assert_eq!(proof.payload(), Payload::Verified);
    assert_eq!(
        proof.signed_headers().collect::<Vec<_>>(),
        ["host", "x-amz-date", "x-amz-meta", "x-amz-security-token"]
    );
    assert!(!format!("{proof:?}").contains("session_token"));
}

#[test]
fn a_kept_signing_key_verifies_and_another_days_does_not() {
    let sent = signed(&plain(), "sts");
    let key = Presented::parse(&sent.request(), &Rules::default())
        .unwrap()
        .signing_key(SECRET);
    let with = |key: &SigningKey| {
        Presented::parse(&sent.request(), &Rules::default())
            .unwrap()
            .verify_with_key(key, noon())
            .map(|_| ())
    };
    assert_eq!(with(&key), Ok(()));
    let other = signing_key(SECRET, "20260602", "us-east-1", "sts");
    assert_eq!(with(&other), Err(SignatureError::SignatureMismatch));
    let wrong = Presented::parse(&sent.request(), &Rules::default())
        .unwrap()
        .verify("another secret", noon());
    assert_eq!(wrong.err(), Some(SignatureError::SignatureMismatch));
}

#[test]
fn the_window_depends_on_service_and_form() {
    let at = |sent: &Sent, seconds: i64| {
        verify(sent, &relying(), noon() + TimeDelta::seconds(seconds))
            .map(|_| ())
            .map_err(|e| e.code())
    };
    let sts = signed(&plain(), "sts");
    assert_eq!(at(&sts, 300), Ok(()));
    assert_eq!(at(&sts, 301), Err("request_expired"));
    assert_eq!(at(&sts, -300), Ok(()));
    assert_eq!(at(&sts, -301), Err("request_not_yet_valid"));
    let s3 = signed(&plain(), "s3");
    assert_eq!(at(&s3, 900), Ok(()));
    assert_eq!(at(&s3, 901), Err("request_expired"));
    let url = presigned(&plain(), "s3", 3600);
    assert_eq!(at(&url, 3600), Ok(()));
    assert_eq!(at(&url, 3601), Err("presigned_url_expired"));
    assert_eq!(at(&url, -900), Ok(()));
    assert_eq!(at(&url, -901), Err("request_not_yet_valid"));
    let week = presigned(&plain(), "sts", PRESIGNED_SECONDS_MAX);
    assert_eq!(at(&week, PRESIGNED_SECONDS_MAX), Ok(()));
    assert_eq!(at(&week, -301), Err("request_not_yet_valid"));
}

fn presigned(sent: &Sent, service: &str, seconds: i64) -> Sent {
    let target = presign(
        &sent.request(),
        &credentials(Some("T/+=")),
        "us-east-1",
        service,
        TimeDelta::seconds(seconds),
        noon(),
    );
    Sent {
        target: target.unwrap(),
        ..sent.clone()
    }
}

#[test]
fn a_presigned_s3_url_leaves_the_body_out_and_others_do_not() {
    let mut s3 = presigned(&plain(), "s3", 60);
    s3.body = SentBody::Unknown;
    let proof = verify(&s3, &relying(), noon()).unwrap();
    assert_eq!(proof.form(), Form::Query);
    assert_eq!(proof.payload(), Payload::Unsigned);
    assert_eq!(proof.session_token(), Some("T/+="));
    assert_eq!(
        verify(&s3, &Rules::default(), noon()).unwrap_err().code(),
        "unsigned_payload"
    );
    let mut sts = presigned(&plain(), "sts", 60);
    assert_eq!(
        verify(&sts, &Rules::default(), noon()).unwrap().payload(),
        Payload::Verified
    );
    sts.body = SentBody::Bytes(b"Body".to_vec());
    assert_eq!(
        verify(&sts, &Rules::default(), noon()).unwrap_err(),
        SignatureError::SignatureMismatch
    );
    sts.body = SentBody::Unknown;
    assert_eq!(
        verify(&sts, &Rules::default(), noon()).unwrap_err(),
        SignatureError::PayloadHashRequired
    );
}

#[test]
fn a_presigned_url_may_declare_its_payload_mode_in_the_query() {
    let mut sent = plain();
    sent.target = "/k?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD".to_owned();
    let url = presigned(&sent, "execute-api", 60);
    let proof = verify(&url, &relying(), noon()).unwrap();
    assert_eq!(proof.payload(), Payload::Unsigned);
}

#[test]
fn a_body_that_is_not_seen_stays_declared() {
    let mut sent = signed(&plain(), "s3");
    sent.body = SentBody::Unknown;
    let hash = payload::sha256(b"body");
    let proof = verify(&sent, &Rules::default(), noon()).unwrap();
    assert_eq!(proof.payload(), Payload::Declared(hash));
}

#[test]
fn an_absolute_presigned_url_names_its_host_itself() {
    let mut sent = plain();
    sent.headers.remove(0);
    sent.target = "https://bucket.example:8443/key".to_owned();
    let url = presigned(&sent, "s3", 60);
    assert!(
        url.target
            .starts_with("https://bucket.example:8443/key?X-Amz-Algorithm=")
    );
    assert!(verify(&url, &relying(), noon()).is_ok());
    let mut other = url.clone();
    other.target = other.target.replacen("bucket", "b", 1);
    assert!(verify(&other, &relying(), noon()).is_err());
}

#[test]
fn without_x_amz_date_a_signed_date_header_is_taken() {
    // Signed by hand: signers that still do this are older than sign_hmac.
    for date in ["20260601T120000Z", "Mon, 01 Jun 2026 12:00:00 GMT"] {
        let canonical = format!(
            "GET\n/\n\ndate:{date}\nhost:h\n\ndate;host\n{}",
            hex::encode(payload::sha256(b""))
        );
        let text = format!(
            "AWS4-HMAC-SHA256\n20260601T120000Z\n20260601/us-east-1/sts/aws4_request\n{}",
            hex::encode(payload::sha256(canonical.as_bytes()))
        );
        let key = signing_key(SECRET, "20260601", "us-east-1", "sts");
        let signature = hex::encode(key.sign(text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=A/20260601/us-east-1/sts/aws4_request, SignedHeaders=date;host, Signature={signature}"
        );
        let headers = [
            ("host", "h"),
            ("date", date),
            ("authorization", authorization.as_str()),
        ];
        let sent = Sent::new("GET", "/", &headers, "");
        assert!(verify(&sent, &Rules::default(), noon()).is_ok(), "{date}");
        let mut unsigned = sent.clone();
        unsigned.replace(
            "authorization",
            "SignedHeaders=date;host",
            "SignedHeaders=host",
        );
        assert_eq!(
            verify(&unsigned, &Rules::default(), noon()).unwrap_err(),
            SignatureError::UnsignedHeader {
                name: "date".to_owned()
            }
        );
    }
}

#[test]
fn other_services_may_sign_a_path_raw_or_normalised() {
    let paths = [
        ("/a//b/../c", "/a//b/../c"),
        ("/a//b/../c", "/a/c"),
        ("/./", "/"),
    ];
    for (wire, signed_path) in paths {
        let mut sent = plain();
        sent.target = signed_path.to_owned();
        let canonical = |path: &str| {
            let date = "x-amz-date:20260601T120000Z";
            format!(
                "POST\n{path}\n\nhost:h\n{date}\n\nhost;x-amz-date\n{}",
                hex::encode(payload::sha256(b""))
            )
        };
        let text = format!(
            "AWS4-HMAC-SHA256\n20260601T120000Z\n20260601/r/sts/aws4_request\n{}",
            hex::encode(payload::sha256(canonical(signed_path).as_bytes()))
        );
        let signature = signing_key(SECRET, "20260601", "r", "sts").sign(text.as_bytes());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=A/20260601/r/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
            hex::encode(signature)
        );
        let headers = [
            ("host", "h"),
            ("x-amz-date", "20260601T120000Z"),
            ("authorization", authorization.as_str()),
        ];
        let sent = Sent::new("POST", wire, &headers, "");
        assert!(
            verify(&sent, &Rules::default(), noon()).is_ok(),
            "{wire} {signed_path}"
        );
        let elsewhere = Sent::new("POST", "/a/d", &headers, "");
        assert!(verify(&elsewhere, &Rules::default(), noon()).is_err());
    }
}

//! One request for every way to be refused, against the list of codes itself.

use crate::fixtures::{ED25519, P256, RSA, Sent, SentBody, TestKey, certificates, noon};
use crate::{
    Allowed, Credentials, HEADER_BYTES_MAX, HEADERS_MAX, PARAMETERS_MAX, Rules, SignatureError,
    TARGET_BYTES_MAX, hmac, presign, sign_hmac, sign_x509, x509,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::Certificate;
use chrono::TimeDelta;
use std::collections::BTreeSet;

const CREDENTIALS: Credentials<'static> = Credentials {
    access_key_id: "ASIATESTTESTTESTTEST",
    secret: "secret",
    session_token: Some("token"),
};

fn plain() -> Sent {
    let headers = [("Host", "h.example"), ("Content-Type", "text/plain")];
    Sent::new("POST", "/a?b=c", &headers, "body")
}

fn header_form(service: &str) -> Sent {
    let sent = plain();
    let added = sign_hmac(&sent.request(), &CREDENTIALS, "us-east-1", service, noon());
    sent.with(added.unwrap())
}

fn query_form() -> Sent {
    let mut sent = plain();
    let life = TimeDelta::seconds(60);
    let request = sent.request();
    sent.target = presign(&request, &CREDENTIALS, "us-east-1", "sts", life, noon()).unwrap();
    sent
}

fn x509_form() -> Sent {
    let headers = [("Host", "h.example")];
    let sent = Sent::new("POST", "/sessions", &headers, "{}");
    let key = &*P256;
    let added = sign_x509(
        &sent.request(),
        &key.certificate,
        &[],
        key,
        "us-east-1",
        noon(),
    );
    sent.with(added.unwrap())
}

fn hmac_code(sent: &Sent, rules: &Rules, seconds: i64) -> &'static str {
    let now = noon() + TimeDelta::seconds(seconds);
    hmac::Presented::parse(&sent.request(), rules)
        .and_then(|presented| presented.verify("secret", now))
        .map_or_else(|e| e.code(), |_| "accepted")
}

fn x509_code(sent: &Sent) -> &'static str {
    x509::Presented::parse(&sent.request(), &Rules::default())
        .and_then(|presented| presented.verify(noon()))
        .map_or_else(|e| e.code(), |_| "accepted")
}

/// A change to a request, and the code it must be refused with.
type Case = (&'static str, fn(&mut Sent));

const HEADER_CASES: &[Case] = &[
    ("missing_authentication", |s| {
        s.headers.retain(|(n, _)| n != "authorization");
    }),
    ("ambiguous_authentication", |s| {
        s.target += "&X-Amz-Signature=0";
    }),
    ("ambiguous_authentication", |s| {
        s.target += "&X-Amz-Security-Token=other";
    }),
    ("ambiguous_authentication", |s| {
        s.target += "&X-Amz-Date=20260601T120000Z";
    }),
    ("signature_version_2", |s| {
        s.set("authorization", "AWS A:c2ln");
    }),
    ("unsupported_algorithm", |s| {
        s.replace(
            "authorization",
            "AWS4-HMAC-SHA256",
            "AWS4-ECDSA-P256-SHA256",
        );
    }),
    ("unsupported_algorithm", |s| {
        s.set("authorization", "Bearer x");
    }),
    ("malformed_authorization", |s| {
        s.replace("authorization", "Signature=", "Signature:");
    }),
    ("missing_parameter", |s| {
        s.replace("authorization", "SignedHeaders=", "Signature=");
        let value = s.text("authorization");
        let (start, _) = value.rsplit_once(',').unwrap();
        s.set("authorization", start);
    }),
    ("missing_parameter", |s| {
        s.headers.retain(|(n, _)| n != "x-amz-date");
    }),
    ("repeated_header", |s| {
        let again = s.text("authorization").into_bytes();
        s.headers.push(("Authorization".to_owned(), again));
    }),
    ("repeated_header", |s| {
        s.headers.push(("HOST".to_owned(), b"h.example".to_vec()));
    }),
    ("repeated_parameter", |s| {
        s.target += "&X-Amz-Target=1&x-amz-target=2";
    }),
    ("malformed_header", |s| {
        s.set("x-a", "1\r\nx-amz-acl: public");
    }),
    ("malformed_header", |s| {
        s.headers.retain(|(n, _)| n != "authorization");
        s.headers.push(("authorization".to_owned(), vec![0xff]));
    }),
    ("malformed_target", |s| s.target += "%"),
    ("malformed_target", |s| s.target = "/../../etc".to_owned()),
    ("malformed_target", |s| s.target = "a".to_owned()),
    ("malformed_method", |s| s.method = "PO ST".to_owned()),
    ("host_conflict", |s| {
        s.target = format!("https://other.example{}", s.target);
    }),
    ("too_many_headers", |s| {
        s.headers
            .extend((0..HEADERS_MAX).map(|_| ("a".to_owned(), Vec::new())));
    }),
    ("headers_too_large", |s| {
        s.set("a", &"b".repeat(HEADER_BYTES_MAX));
    }),
    ("target_too_long", |s| {
        s.target += &"a".repeat(TARGET_BYTES_MAX);
    }),
    ("too_many_parameters", |s| {
        s.target += &"&a".repeat(PARAMETERS_MAX);
    }),
    ("malformed_signed_headers", |s| {
        s.replace("authorization", "content-type;host", "host;content-type");
    }),
    ("unsigned_header", |s| {
        s.replace("authorization", "content-type;host;", "content-type;");
    }),
    ("unsigned_header", |s| s.set("X-Amz-Acl", "public-read")),
    ("unsigned_header", |s| {
        s.replace("authorization", ";x-amz-security-token", "");
    }),
    ("signed_header_absent", |s| {
        s.headers.retain(|(n, _)| n != "Content-Type");
    }),
    ("malformed_date", |s| {
        s.set("x-amz-date", "2026-06-01T12:00:00Z");
    }),
    ("malformed_scope", |s| {
        s.replace("authorization", "/aws4_request", "");
    }),
    ("scope_terminator", |s| {
        s.replace("authorization", "/aws4_request", "/aws4");
    }),
    ("scope_faults", |s| {
        s.replace("authorization", "/us-east-1/sts/", "/eu-west-1/ec2/");
    }),
    ("scope_date_mismatch", |s| {
        s.replace("authorization", "/20260601/", "/20260531/");
    }),
    ("region_not_allowed", |s| {
        s.replace("authorization", "/us-east-1/", "/eu-west-1/");
    }),
    ("service_not_allowed", |s| {
        s.replace("authorization", "/sts/", "/ec2/");
    }),
    ("unknown_payload_mode", |s| {
        s.set("x-amz-content-sha256", "STREAMING-NEW");
        s.replace("authorization", "host;", "host;x-amz-content-sha256;");
    }),
    ("payload_hash_mismatch", |s| {
        s.set("x-amz-content-sha256", &"0".repeat(64));
        s.replace("authorization", "host;", "host;x-amz-content-sha256;");
    }),
    ("payload_hash_required", |s| s.body = SentBody::Unknown),
    ("unsigned_payload", |s| {
        s.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        s.replace("authorization", "host;", "host;x-amz-content-sha256;");
    }),
    ("malformed_signature", |s| {
        let value = s.text("authorization");
        s.set("authorization", &value[..value.len() - 1]);
    }),
    ("malformed_signature", |s| {
        let value = s.text("authorization");
        let at = value.len() - 64;
        let (start, signature) = value.split_at(at);
        s.set(
            "authorization",
            &format!("{start}{}", "A".repeat(signature.len())),
        );
    }),
    ("signature_mismatch", |s| {
        s.body = SentBody::Bytes(Vec::new());
    }),
    ("signature_mismatch", |s| s.method = "PUT".to_owned()),
];

const QUERY_CASES: &[Case] = &[
    ("signature_version_2", |s| {
        s.target = "/b?AWSAccessKeyId=A&Signature=b&Expires=1".to_owned();
    }),
    ("ambiguous_authentication", |s| {
        s.set("authorization", "Basic eDp5");
    }),
    ("ambiguous_authentication", |s| {
        s.set("x-amz-security-token", "other");
    }),
    ("ambiguous_authentication", |s| {
        s.target += "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD";
        s.set("x-amz-content-sha256", &"0".repeat(64));
        s.target = s.target.replace(
            "content-type%3Bhost",
            "content-type%3Bhost%3Bx-amz-content-sha256",
        );
    }),
    ("unsupported_algorithm", |s| {
        s.target = s.target.replace("AWS4-HMAC-SHA256", "AWS4-X509-RSA-SHA256");
    }),
    ("missing_parameter", |s| {
        s.target = s.target.replace("X-Amz-Expires", "Expires");
    }),
    ("repeated_parameter", |s| {
        s.target += "&X-Amz-Security-Token=token";
    }),
    ("malformed_expires", |s| {
        s.target = s.target.replace("Expires=60", "Expires=604801");
    }),
    ("malformed_expires", |s| {
        s.target = s.target.replace("Expires=60", "Expires=0");
    }),
    ("malformed_expires", |s| {
        s.target = s.target.replace("Expires=60", "Expires=%2B60");
    }),
    ("malformed_expires", |s| {
        s.target = s.target.replace("Expires=60", "Expires=-60");
    }),
    ("malformed_target", |s| {
        s.target = s.target.replace("SignedHeaders=", "SignedHeaders=%FF");
    }),
    ("signature_mismatch", |s| {
        s.target = s.target.replace("Expires=60", "Expires=61");
    }),
    ("signature_mismatch", |s| s.target += "&d=e"),
];

const X509_CASES: &[Case] = &[
    ("missing_authentication", |s| {
        s.headers.retain(|(n, _)| n != "authorization");
    }),
    ("missing_parameter", |s| {
        s.headers.retain(|(n, _)| n != "x-amz-x509");
        s.replace("authorization", ";x-amz-x509", "");
    }),
    ("missing_parameter", |s| {
        s.headers.retain(|(n, _)| n != "authorization");
        s.target += "?X-Amz-Signature=0";
    }),
    ("ambiguous_authentication", |s| {
        s.target += "?X-Amz-Signature=0";
    }),
    ("ml_dsa_unsupported", |s| {
        s.replace("authorization", "AWS4-X509-ECDSA-SHA256", "AWS4-X509-MLDSA");
    }),
    ("service_not_allowed", |s| {
        s.replace("authorization", "/rolesanywhere/", "/s3/");
    }),
    ("malformed_certificate", |s| s.set("x-amz-x509", "AAAA")),
    ("serial_mismatch", |s| {
        s.replace("authorization", "Credential=", "Credential=0");
    }),
    ("algorithm_key_mismatch", |s| {
        s.replace("authorization", "ECDSA", "RSA");
    }),
    ("malformed_signature", |s| {
        s.replace("authorization", "Signature=", "Signature=a");
    }),
    ("malformed_signature", |s| {
        s.replace("authorization", "Signature=", "Signature=AB");
    }),
    ("malformed_signature", |s| {
        let long = "ab".repeat(5000);
        s.replace("authorization", "Signature=", &format!("Signature={long}"));
    }),
    ("signature_mismatch", |s| {
        s.replace("authorization", "Signature=30", "Signature=31");
    }),
    ("ed25519_unsupported", |s| {
        with_leaf(s, &ED25519.certificate);
    }),
    ("key_not_accepted", |s| {
        // A byte of the key's point changed: it is no longer on its curve.
        let mut der = P256.certificate.der().to_vec();
        let key = P256.certificate.public_key().unwrap().key_bits();
        let at = der.windows(key.len()).position(|w| w == key).unwrap();
        der[at + 10] ^= 1;
        with_leaf(s, &Certificate::from_der(&der).unwrap());
    }),
    ("chain_too_long", |s| {
        let texts: Vec<_> = certificates(6)
            .iter()
            .map(|c| STANDARD.encode(c.der()))
            .collect();
        s.set("x-amz-x509-chain", &texts.join(","));
        s.replace(
            "authorization",
            ";x-amz-x509",
            ";x-amz-x509;x-amz-x509-chain",
        );
    }),
    ("repeated_header", |s| {
        let again = s.text("x-amz-x509").into_bytes();
        s.headers.push(("X-Amz-X509".to_owned(), again));
    }),
];

fn with_leaf(sent: &mut Sent, leaf: &Certificate) {
    let old = P256.certificate.serial().to_decimal();
    let new = leaf.serial().to_decimal();
    sent.set("x-amz-x509", &STANDARD.encode(leaf.der()));
    sent.replace(
        "authorization",
        &format!("Credential={old}/"),
        &format!("Credential={new}/"),
    );
}

/// The codes in the source of the error, so that a new one cannot be forgotten here.
fn all_codes() -> BTreeSet<&'static str> {
    include_str!("error.rs")
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","))
        .collect()
}

#[test]
fn every_refusal_is_reached_by_a_request() {
    let rules = Rules {
        regions: Allowed::only(["us-east-1"]),
        services: Allowed::only(["sts", "s3"]),
        ..Rules::default()
    };
    let mut seen = BTreeSet::new();
    let mut check = |expected: &'static str, code: &'static str, what: String| {
        assert_eq!(code, expected, "{what}");
        seen.insert(code);
    };
    assert_eq!(hmac_code(&header_form("sts"), &rules, 0), "accepted");
    for (i, (expected, change)) in HEADER_CASES.iter().enumerate() {
        let mut sent = header_form("sts");
        change(&mut sent);
        check(expected, hmac_code(&sent, &rules, 0), format!("header {i}"));
    }
    assert_eq!(hmac_code(&query_form(), &rules, 0), "accepted");
    for (i, (expected, change)) in QUERY_CASES.iter().enumerate() {
        let mut sent = query_form();
        change(&mut sent);
        check(expected, hmac_code(&sent, &rules, 0), format!("query {i}"));
    }
    assert_eq!(x509_code(&x509_form()), "accepted");
    for (i, (expected, change)) in X509_CASES.iter().enumerate() {
        let mut sent = x509_form();
        change(&mut sent);
        check(expected, x509_code(&sent), format!("x509 {i}"));
    }
    let times = [
        ("request_expired", header_form("sts"), 301),
        ("request_not_yet_valid", header_form("sts"), -301),
        ("presigned_url_expired", query_form(), 61),
    ];
    for (expected, sent, seconds) in times {
        check(
            expected,
            hmac_code(&sent, &rules, seconds),
            expected.to_owned(),
        );
    }
    let other: &TestKey = &RSA;
    let failed = sign_x509(
        &plain().request(),
        &P256.certificate,
        &[],
        other,
        "r",
        noon(),
    );
    check(
        "signing_failed",
        failed.unwrap_err().code(),
        "signing".to_owned(),
    );
    let codes = all_codes();
    assert_eq!(codes.len(), 44);
    assert_eq!(seen, codes);
}

/// Faults in the order in which AWS finds them, each in a request that has all the later ones as well.
#[test]
fn of_many_faults_the_first_in_the_order_of_aws_is_told() {
    let rules = Rules {
        regions: Allowed::only(["us-east-1"]),
        services: Allowed::only(["sts"]),
        ..Rules::default()
    };
    let faults: [Case; 8] = [
        ("malformed_target", |s| s.target += "&%"),
        ("ambiguous_authentication", |s| {
            s.target += "&X-Amz-Algorithm=AWS4-HMAC-SHA256";
        }),
        ("unsupported_algorithm", |s| {
            s.replace("authorization", "AWS4-HMAC-SHA256", "AWS5-HMAC-SHA256");
        }),
        ("missing_parameter", |s| {
            s.replace("authorization", ", Signature=", ";");
        }),
        ("unsigned_header", |s| {
            s.replace("authorization", "content-type;host;", "content-type;");
        }),
        ("malformed_date", |s| s.set("x-amz-date", "yesterday")),
        ("request_expired", |s| {
            s.set("x-amz-date", "20260601T115000Z");
        }),
        ("scope_faults", |s| {
            s.replace("authorization", "/20260601/us-east-1/", "/20260531/mars-1/");
        }),
    ];
    for first in 0..faults.len() {
        let mut sent = header_form("sts");
        // The last first: a later fault must not hide the place of an earlier one.
        for (_, change) in faults[first..].iter().rev() {
            // A date that does not read is not an old one too.
            change(&mut sent);
        }
        let told = hmac::Presented::parse_at(&sent.request(), &rules, noon());
        assert_eq!(told.unwrap_err().code(), faults[first].0, "{sent:?}");
    }
    // The form of the credential comes after the date.
    let mut sent = header_form("sts");
    sent.replace("authorization", "/aws4_request", "");
    sent.set("x-amz-date", "20260601T115000Z");
    let told = hmac::Presented::parse_at(&sent.request(), &rules, noon());
    assert_eq!(told.unwrap_err().code(), "request_expired");
}

#[test]
fn messages_are_lower_case_and_name_what_they_found() {
    let error = SignatureError::ServiceNotAllowed {
        service: "ec2".to_owned(),
        allowed: "sts, s3".to_owned(),
    };
    assert_eq!(
        error.to_string(),
        "service ec2 is not accepted, only sts, s3"
    );
    let error = SignatureError::RequestExpired {
        signed_at: noon(),
        now: noon() + TimeDelta::seconds(301),
        allowed_seconds: 300,
    };
    assert_eq!(
        error.to_string(),
        "the request of 2026-06-01T12:00:00Z is too old at 2026-06-01T12:05:01Z: the window is 300 s"
    );
}

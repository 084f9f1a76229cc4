//! The vectors, then the quirks of the clients one by one.

use super::*;
use crate::fixtures::{
    ED25519, P256, P384, P521, RSA, Sent, SentBody, TestKey, certificates, noon, vectors,
};
use crate::sign_x509;

fn verify(sent: &Sent) -> Result<Authenticated, SignatureError> {
    Presented::parse(&sent.request(), &Rules::default())?.verify(noon())
}

fn code(sent: &Sent) -> &'static str {
    verify(sent).map_or_else(|e| e.code(), |_| "accepted")
}

#[test]
fn the_vectors_verify_and_are_canonicalised_as_written() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let name = &vector.name;
        assert_eq!(vector.expect, "valid", "{name}");
        let sent = vector.sent();
        let request = sent.request();
        let presented = Presented::parse(&request, &Rules::default()).unwrap();
        let canonical = presented.canonical_request();
        assert_eq!(
            String::from_utf8_lossy(&canonical),
            vector.canonical_request,
            "{name}"
        );
        assert_eq!(
            hex::encode(sha256(&canonical)),
            vector.canonical_request_sha256,
            "{name}"
        );
        assert_eq!(
            String::from_utf8_lossy(&presented.string_to_sign()),
            vector.string_to_sign,
            "{name}"
        );
        let proof = presented.verify(noon()).unwrap();
        let serial = proof.leaf().serial();
        assert_eq!(serial.to_decimal(), vector.serial_decimal, "{name}");
        assert_eq!(
            serial.to_hex().trim_start_matches('0'),
            vector.serial_hex,
            "{name}"
        );
        assert_eq!(proof.region(), "us-east-1");
        assert_eq!(proof.signed_at(), noon());
        assert_eq!(
            proof.chain().len(),
            usize::from(name == "rsa-2048-query-chain")
        );
    }
}

/// Body, date, host, serial, leaf, chain, signature, query: one byte each.
#[test]
fn no_vector_survives_a_changed_byte() {
    let mut changed = 0;
    let mut check = |sent: &Sent, what: &str| {
        changed += 1;
        assert_ne!(code(sent), "accepted", "{what}");
    };
    for vector in vectors() {
        let sent = vector.sent();
        let SentBody::Bytes(body) = &sent.body else {
            unreachable!("vectors come with their bodies");
        };
        for at in 0..body.len() {
            let mut other = sent.clone();
            let mut bytes = body.clone();
            bytes[at] ^= 1;
            other.body = SentBody::Bytes(bytes);
            check(&other, "body");
        }
        for at in "/sessions".len() + 1..sent.target.len() {
            let mut other = sent.clone();
            let byte = if sent.target.as_bytes()[at] == b'8' {
                "9"
            } else {
                "8"
            };
            other.target.replace_range(at..=at, byte);
            check(&other, "query");
        }
        for (index, (name, value)) in sent.headers.iter().enumerate() {
            if ["user-agent", "accept-encoding"].contains(&name.as_str()) {
                continue;
            }
            // Long headers are sampled, so that the test stays quick.
            for at in (0..value.len()).step_by(1 + value.len() / 100) {
                let mut other = sent.clone();
                let byte = &mut other.headers[index].1[at];
                *byte = match byte {
                    b'0'..=b'8' | b'A'..=b'Y' | b'a'..=b'y' => *byte + 1,
                    _ => b'0',
                };
                check(&other, name);
            }
        }
    }
    // A loop that saw nothing would pass too.
    assert!(changed > 1500, "{changed}");
}

fn create_session(target: &str, headers: &[(&str, &str)]) -> Sent {
    let mut all = vec![
        ("Host", "127.0.0.1:8443"),
        ("content-type", "application/json"),
    ];
    all.extend(headers);
    Sent::new("POST", target, &all, "{\"durationSeconds\":3600}")
}

fn sign(sent: &Sent, key: &TestKey, chain: &[Certificate]) -> Sent {
    let added = sign_x509(
        &sent.request(),
        &key.certificate,
        chain,
        key,
        "us-east-1",
        noon(),
    );
    sent.clone().with(added.unwrap())
}

#[test]
fn every_kind_of_key_signs_and_verifies() {
    let chain = certificates(5);
    for key in [&*P256, &*P384, &*P521, &*RSA] {
        let sent = sign(&create_session("/sessions?a=b", &[]), key, &chain);
        let proof = verify(&sent).unwrap();
        assert_eq!(proof.leaf().der(), key.certificate.der());
        assert_eq!(proof.chain().len(), 5);
    }
}

/// Signs a canonical request as a client would that spells it in its own way.
fn sign_as(sent: &Sent, label: &str, path: &str, query: &str, host: &str) -> Sent {
    let leaf = STANDARD.encode(P256.certificate.der());
    let SentBody::Bytes(body) = &sent.body else {
        unreachable!("these tests send bodies");
    };
    let canonical = format!(
        "POST\n{path}\n{query}\nhost:{host}\nx-amz-date:20260601T120000Z\nx-amz-x509:{leaf}\n\nhost;x-amz-date;x-amz-x509\n{}",
        hex::encode(sha256(body))
    );
    let scope = "20260601/us-east-1/rolesanywhere/aws4_request";
    let text = format!(
        "{label}\n20260601T120000Z\n{scope}\n{}",
        hex::encode(sha256(canonical.as_bytes()))
    );
    use bowline_x509::Signer;
    let signature = P256
        .sign(SignatureAlgorithm::EcdsaSha256, text.as_bytes())
        .unwrap();
    let serial = P256.certificate.serial().to_decimal();
    let mut sent = sent.clone();
    sent.set("x-amz-date", "20260601T120000Z");
    sent.set("x-amz-x509", &leaf);
    sent.set(
        "authorization",
        &format!(
            "{label} Credential={serial}/{scope}, SignedHeaders=host;x-amz-date;x-amz-x509, Signature={}",
            hex::encode(signature)
        ),
    );
    sent
}

const LABEL: &str = "AWS4-X509-ECDSA-SHA256";

#[test]
fn the_client_that_always_signs_sessions_is_accepted_under_any_base_path() {
    for wire in ["/sessions", "/base/sessions", "/base//sessions", "/"] {
        let sent = create_session(wire, &[]);
        let fixed = sign_as(&sent, LABEL, "/sessions", "", "127.0.0.1:8443");
        assert_eq!(code(&fixed), "accepted", "{wire}");
        let own = sign_as(&sent, LABEL, wire, "", "127.0.0.1:8443");
        assert_eq!(code(&own), "accepted", "{wire}");
        let other = sign_as(&sent, LABEL, "/other", "", "127.0.0.1:8443");
        assert_eq!(code(&other), "signature_mismatch", "{wire}");
    }
    let sent = create_session("/base//sessions", &[]);
    let normalised = sign_as(&sent, LABEL, "/base/sessions", "", "127.0.0.1:8443");
    assert_eq!(code(&normalised), "accepted");
}

#[test]
fn the_client_that_signs_its_host_without_the_port_is_accepted() {
    let sent = create_session("/sessions", &[]);
    assert_eq!(
        code(&sign_as(&sent, LABEL, "/sessions", "", "127.0.0.1")),
        "accepted"
    );
    for host in ["127.0.0.1:443", "127.0.0.1:", "127.0.0.2", ""] {
        assert_eq!(
            code(&sign_as(&sent, LABEL, "/sessions", "", host)),
            "signature_mismatch",
            "{host}"
        );
    }
    let mut bare = create_session("/sessions", &[]);
    bare.set("host", "127.0.0.1");
    assert_eq!(
        code(&sign_as(&bare, LABEL, "/sessions", "", "127.0.0.1:8443")),
        "signature_mismatch"
    );
}

#[test]
fn ports_are_stripped_from_names_and_addresses() {
    let cases = [
        ("h:1", Some("h")),
        ("[::1]:8443", Some("[::1]")),
        ("[::1]", None),
        ("h", None),
        ("h:", None),
        (":1", None),
        ("", None),
    ];
    for (host, plain) in cases {
        assert_eq!(
            without_port(host.as_bytes()),
            plain.map(str::as_bytes),
            "{host}"
        );
    }
}

#[test]
fn equals_signs_in_query_values_may_be_encoded_once_or_twice() {
    let sent = create_session("/sessions?b=x%3D&a=1", &[]);
    for query in ["a=1&b=x%3D", "a=1&b=x%253D"] {
        assert_eq!(
            code(&sign_as(&sent, LABEL, "/sessions", query, "127.0.0.1:8443")),
            "accepted",
            "{query}"
        );
    }
    assert_eq!(
        code(&sign_as(
            &sent,
            LABEL,
            "/sessions",
            "a=1&b=x%25253D",
            "127.0.0.1:8443"
        )),
        "signature_mismatch"
    );
}

#[test]
fn labels_count_by_key_family_and_stand_verbatim_in_what_is_signed() {
    let sent = create_session("/sessions", &[]);
    let host = "127.0.0.1:8443";
    for label in ["AWS4-X509-ECDSA-SHA384", "AWS4-X509-ECDSA-SHA512"] {
        let signed = sign_as(&sent, label, "/sessions", "", host);
        assert_eq!(code(&signed), "accepted", "{label}");
        let mut relabelled = signed.clone();
        relabelled.replace("authorization", label, LABEL);
        assert_eq!(code(&relabelled), "signature_mismatch", "{label}");
    }
    let rsa = sign_as(&sent, "AWS4-X509-RSA-SHA256", "/sessions", "", host);
    assert_eq!(code(&rsa), "algorithm_key_mismatch");
    let cases = [
        ("AWS4-X509-MLDSA", "ml_dsa_unsupported"),
        ("AWS4-X509-RSAPSS-SHA256", "unsupported_algorithm"),
        ("AWS4-X509-ECDSA-SHA1", "unsupported_algorithm"),
        ("AWS4-HMAC-SHA256", "unsupported_algorithm"),
    ];
    for (label, expected) in cases {
        let signed = sign_as(&sent, label, "/sessions", "", host);
        assert_eq!(code(&signed), expected, "{label}");
    }
}

fn with_chain(chain: &[&Certificate]) -> Result<usize, &'static str> {
    let texts: Vec<_> = chain.iter().map(|c| STANDARD.encode(c.der())).collect();
    let header = texts.join(",");
    let sent = create_session("/sessions", &[("x-amz-x509-chain", &header)]);
    // Signs whatever chain header is there already.
    let sent = sign(&sent, &P256, &[]);
    verify(&sent)
        .map(|proof| proof.chain().len())
        .map_err(|e| e.code())
}

#[test]
fn a_chain_may_repeat_the_leaf_and_itself_but_holds_five_others_at_most() {
    let others = certificates(6);
    let leaf = &P256.certificate;
    let five: Vec<_> = others[..5].iter().collect();
    let six: Vec<_> = others.iter().collect();
    assert_eq!(with_chain(&five), Ok(5));
    assert_eq!(with_chain(&six), Err("chain_too_long"));
    let with_leaf: Vec<_> = [leaf].into_iter().chain(five.clone()).collect();
    assert_eq!(with_chain(&with_leaf), Ok(5));
    let doubled: Vec<_> = with_leaf.iter().chain(&with_leaf).copied().collect();
    assert_eq!(with_chain(&doubled), Ok(5));
    assert_eq!(with_chain(&[leaf]), Ok(0));
}

#[test]
fn a_certificate_header_holds_exactly_one_certificate() {
    let der = P256.certificate.der();
    let mut trailing = der.to_vec();
    trailing.push(0);
    let twice = [der, der].concat();
    let bad = [
        STANDARD.encode(&trailing),
        STANDARD.encode(&twice),
        STANDARD.encode(&der[..der.len() - 1]),
        format!("{0},{0}", STANDARD.encode(der)),
        STANDARD.encode(der).trim_end_matches('=').to_owned() + "A",
        "-----BEGIN CERTIFICATE-----".to_owned(),
        String::new(),
    ];
    for value in &bad {
        let mut sent = sign(&create_session("/sessions", &[]), &P256, &[]);
        sent.set("x-amz-x509", value);
        assert_eq!(code(&sent), "malformed_certificate", "{value}");
        let header = [("x-amz-x509-chain", value.as_str())];
        let sent = sign(&create_session("/sessions", &header), &P256, &[]);
        if value.contains(',') {
            assert_eq!(code(&sent), "accepted");
        } else {
            assert_eq!(code(&sent), "malformed_certificate", "{value}");
        }
    }
}

#[test]
fn an_unsigned_chain_header_is_refused() {
    let mut sent = sign(&create_session("/sessions", &[]), &P256, &[]);
    let chain = STANDARD.encode(certificates(1)[0].der());
    sent.set("X-Amz-X509-Chain", &chain);
    assert_eq!(
        verify(&sent).unwrap_err(),
        SignatureError::UnsignedHeader {
            name: "x-amz-x509-chain".to_owned()
        }
    );
}

#[test]
fn the_body_is_always_signed() {
    let mut sent = sign(
        &create_session("/sessions", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]),
        &P256,
        &[],
    );
    assert_eq!(code(&sent), "accepted");
    sent.body = SentBody::Bytes(b"{}".to_vec());
    assert_eq!(code(&sent), "signature_mismatch");
    sent.body = SentBody::Unknown;
    assert_eq!(code(&sent), "payload_hash_required");
}

#[test]
fn rules_may_name_regions_and_another_service() {
    let sent = sign(&create_session("/sessions", &[]), &P256, &[]);
    let check = |rules: Rules| {
        Presented::parse(&sent.request(), &rules)
            .map(|_| ())
            .map_err(|e| e.code())
    };
    assert_eq!(check(Rules::default()), Ok(()));
    let regions = |names: &[&str]| Rules {
        regions: Allowed::only(names.iter().copied()),
        ..Rules::default()
    };
    assert_eq!(check(regions(&["us-east-1"])), Ok(()));
    assert_eq!(check(regions(&["eu-west-1"])), Err("region_not_allowed"));
    let services = |names: &[&str]| Rules {
        services: Allowed::only(names.iter().copied()),
        ..Rules::default()
    };
    assert_eq!(check(services(&["bowline", "rolesanywhere"])), Ok(()));
    assert_eq!(check(services(&["bowline"])), Err("service_not_allowed"));
}

#[test]
fn the_window_is_five_minutes_either_way() {
    let sent = sign(&create_session("/sessions", &[]), &P256, &[]);
    let at = |seconds: i64| {
        Presented::parse(&sent.request(), &Rules::default())
            .unwrap()
            .verify(noon() + chrono::TimeDelta::seconds(seconds))
            .map(|_| ())
            .map_err(|e| e.code())
    };
    assert_eq!(at(300), Ok(()));
    assert_eq!(at(-300), Ok(()));
    assert_eq!(at(301), Err("request_expired"));
    assert_eq!(at(-301), Err("request_not_yet_valid"));
}

#[test]
fn signing_refuses_what_would_not_verify() {
    let sent = create_session("/sessions", &[]);
    let sign = |key: &TestKey, certificate: &Certificate, chain: &[Certificate]| {
        sign_x509(&sent.request(), certificate, chain, key, "r", noon()).map_err(|e| e.code())
    };
    let six = certificates(6);
    assert_eq!(sign(&P256, &P256.certificate, &six), Err("chain_too_long"));
    assert_eq!(sign(&P256, &RSA.certificate, &[]), Err("signing_failed"));
    assert_eq!(
        sign(&ED25519, &ED25519.certificate, &[]),
        Err("ed25519_unsupported")
    );
}

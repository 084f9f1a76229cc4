use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::fixture::{CN, Leaf, O, OU, directory_name, dns, email, uri};
use crate::mapping::CertificateField;

fn subject(
    attributes: &[(&'static str, &str)],
    names: Vec<Vec<u8>>,
    mappings: &AttributeMappings,
) -> Subject {
    let leaf = Leaf {
        names,
        ..Leaf::new(attributes)
    };
    Subject::from_certificate(&leaf.issue(), [9; 20], mappings)
}

/// The tags besides the issuer's, as `key=value`.
fn lines(subject: &Subject) -> Vec<String> {
    let lines = subject
        .tags
        .iter()
        .map(|tag| format!("{}={}", tag.key(), tag.value()));
    lines
        .filter(|line| !line.starts_with("x509Issuer/"))
        .collect()
}

/// The source identity of every case whose common name cannot be one: the serial number of the fixture's leaves.
const BY_SERIAL: &str = "ID=1f71c5";

const L61: &str = "a123456789012345678901234567890123456789012345678901234567890";
const L62: &str = "a1234567890123456789012345678901234567890123456789012345678901";
const L64: &str = "a123456789012345678901234567890123456789012345678901234567890123";
const L65: &str = "a1234567890123456789012345678901234567890123456789012345678901234";
const LIKE_PREFIXED: &str = "CN=45678901234567890123456789012345678901234567890123456789012";
const LIKE_SERIAL: &str = "ID=45678901234567890123456789012345678901234567890123456789012";
const WIDE_256: &str = concat!(
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
);

/// Subject, tags besides the issuer's, keys of dropped tags, source identity.
type Case<'a> = (
    &'a [(&'static str, &'a str)],
    &'a [&'a str],
    &'a [&'a str],
    &'a str,
);

#[test]
fn awkward_subjects_become_the_tags_and_the_source_identity_that_are_documented() {
    let wide = format!("x509Subject/O={WIDE_256}");
    let too_wide = format!("{WIDE_256}x");
    let l61 = format!("x509Subject/CN={L61}");
    let l62 = format!("x509Subject/CN={L62}");
    let l64 = format!("x509Subject/CN={L64}");
    let l65 = format!("x509Subject/CN={L65}");
    let prefixed_61 = format!("CN={L61}");
    let like_prefixed = format!("x509Subject/CN={LIKE_PREFIXED}");
    let like_serial = format!("x509Subject/CN={LIKE_SERIAL}");
    let cases: &[Case<'_>] = &[
        // Plain names.
        (&[(CN, "Alice")], &["x509Subject/CN=Alice"], &[], "CN=Alice"),
        (&[(CN, "a")], &["x509Subject/CN=a"], &[], "CN=a"),
        (
            &[(CN, "web-1.example.com")],
            &["x509Subject/CN=web-1.example.com"],
            &[],
            "CN=web-1.example.com",
        ),
        (
            &[(CN, "alice@example.com")],
            &["x509Subject/CN=alice@example.com"],
            &[],
            "CN=alice@example.com",
        ),
        (
            &[(CN, "a_b+c=d.e-f")],
            &["x509Subject/CN=a_b+c=d.e-f"],
            &[],
            "CN=a_b+c=d.e-f",
        ),
        (
            &[(O, "Acme"), (CN, "x")],
            &["x509Subject/O=Acme", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        (
            &[(CN, "x"), (O, "Acme")],
            &["x509Subject/CN=x", "x509Subject/O=Acme"],
            &[],
            "CN=x",
        ),
        // No common name, or not one.
        (&[(O, "Acme")], &["x509Subject/O=Acme"], &[], BY_SERIAL),
        (
            &[(CN, "admin"), (CN, "web")],
            &["x509Subject/CN=admin/web"],
            &[],
            BY_SERIAL,
        ),
        (
            &[(CN, "web"), (CN, "web")],
            &["x509Subject/CN=web/web"],
            &[],
            BY_SERIAL,
        ),
        // Repeats are joined in certificate order, wherever they stand.
        (
            &[(OU, "Security"), (OU, "Engineering"), (CN, "x")],
            &["x509Subject/OU=Security/Engineering", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        (
            &[(OU, "b"), (CN, "x"), (OU, "a"), (OU, "c")],
            &["x509Subject/OU=b/a/c", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        (
            &[(OU, "a/b"), (CN, "x")],
            &["x509Subject/OU=a/b", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        // Characters that a tag holds and a source identity does not.
        (
            &[(CN, "Batch Server 1")],
            &["x509Subject/CN=Batch Server 1"],
            &[],
            BY_SERIAL,
        ),
        (&[(CN, "a:b")], &["x509Subject/CN=a:b"], &[], BY_SERIAL),
        (&[(CN, "a/b")], &["x509Subject/CN=a/b"], &[], BY_SERIAL),
        (&[(CN, "Büro")], &["x509Subject/CN=Büro"], &[], BY_SERIAL),
        (&[(CN, "東京")], &["x509Subject/CN=東京"], &[], BY_SERIAL),
        (
            &[(CN, "Αθήνα ٣")],
            &["x509Subject/CN=Αθήνα ٣"],
            &[],
            BY_SERIAL,
        ),
        (
            &[(CN, "a\u{a0}b")],
            &["x509Subject/CN=a\u{a0}b"],
            &[],
            BY_SERIAL,
        ),
        // Characters that a source identity holds and a tag does not.
        (&[(CN, "Acme,Inc")], &[], &["x509Subject/CN"], "CN=Acme,Inc"),
        // Characters that neither holds.
        (&[(CN, "*")], &[], &["x509Subject/CN"], BY_SERIAL),
        (
            &[(CN, "*.example.com")],
            &[],
            &["x509Subject/CN"],
            BY_SERIAL,
        ),
        (&[(CN, "a?")], &[], &["x509Subject/CN"], BY_SERIAL),
        (
            &[(CN, "${aws:username}")],
            &[],
            &["x509Subject/CN"],
            BY_SERIAL,
        ),
        (&[(CN, "O'Brien")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a&b")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a\"b")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a(b)")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a\nb")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a\tb")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a\u{0}b")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "a\u{200b}b")], &[], &["x509Subject/CN"], BY_SERIAL),
        (&[(CN, "😀")], &[], &["x509Subject/CN"], BY_SERIAL),
        (
            &[(O, "Acme, Inc."), (CN, "x")],
            &["x509Subject/CN=x"],
            &["x509Subject/O"],
            "CN=x",
        ),
        // One bad value spoils its attribute, not the others.
        (
            &[(OU, "a"), (OU, "b*"), (CN, "x")],
            &["x509Subject/CN=x"],
            &["x509Subject/OU"],
            "CN=x",
        ),
        // Lengths.
        (&[(CN, L61)], &[&l61], &[], &prefixed_61),
        (&[(CN, L62)], &[&l62], &[], L62),
        (&[(CN, L64)], &[&l64], &[], L64),
        (&[(CN, L65)], &[&l65], &[], BY_SERIAL),
        (
            &[(O, WIDE_256), (CN, "x")],
            &[&wide, "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        (
            &[(O, &too_wide), (CN, "x")],
            &["x509Subject/CN=x"],
            &["x509Subject/O"],
            "CN=x",
        ),
        // Names that would pass for another subject's identity.
        (&[(CN, LIKE_PREFIXED)], &[&like_prefixed], &[], BY_SERIAL),
        (&[(CN, LIKE_SERIAL)], &[&like_serial], &[], BY_SERIAL),
        (
            &[(CN, "ID=1f71c5")],
            &["x509Subject/CN=ID=1f71c5"],
            &[],
            "CN=ID=1f71c5",
        ),
        // Attributes with and without a short name.
        (
            &[("2.5.4.5", "42"), (CN, "x")],
            &["x509Subject/serialNumber=42", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        (
            &[("0.9.2342.19200300.100.1.1", "u1")],
            &["x509Subject/UID=u1"],
            &[],
            BY_SERIAL,
        ),
        (
            &[
                ("0.9.2342.19200300.100.1.25", "com"),
                ("0.9.2342.19200300.100.1.25", "example"),
                (CN, "x"),
            ],
            &["x509Subject/DC=com/example", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
        (
            &[("1.3.6.1.4.1.99999.1", "own"), (CN, "x")],
            &["x509Subject/1.3.6.1.4.1.99999.1=own", "x509Subject/CN=x"],
            &[],
            "CN=x",
        ),
    ];
    for (attributes, tags, dropped, source_identity) in cases {
        let subject = subject(attributes, Vec::new(), &AttributeMappings::default());
        assert_eq!(lines(&subject), *tags, "tags of {attributes:?}");
        let keys: Vec<&str> = subject.dropped.iter().map(|tag| tag.key.as_str()).collect();
        assert_eq!(keys, *dropped, "dropped tags of {attributes:?}");
        assert_eq!(
            subject.source_identity, *source_identity,
            "source identity of {attributes:?}"
        );
        assert!(
            SESSION_NAME.fits(&subject.source_identity),
            "{attributes:?}"
        );
    }
}

#[test]
fn the_issuer_gives_tags_of_its_own() {
    let subject = subject(&[(CN, "x")], Vec::new(), &AttributeMappings::default());
    let issuer: Vec<String> = subject
        .tags
        .iter()
        .take(3)
        .map(|tag| format!("{}={}", tag.key(), tag.value()))
        .collect();
    assert_eq!(
        issuer,
        [
            "x509Issuer/C=US",
            "x509Issuer/O=Example",
            "x509Issuer/CN=Test Root"
        ]
    );
}

#[test]
fn only_the_first_name_of_each_kind_becomes_a_tag() {
    let names = vec![
        email("a@example.com"),
        dns("first.example"),
        uri("spiffe://example.com/first"),
        dns("second.example"),
        uri("spiffe://example.com/second"),
        directory_name(&[(OU, "a"), (OU, "b"), (CN, "first")]),
        directory_name(&[(O, "other"), (CN, "second")]),
    ];
    let subject = subject(&[(CN, "x")], names, &AttributeMappings::default());
    assert_eq!(
        lines(&subject),
        [
            "x509SAN/DNS=first.example",
            "x509SAN/URI=spiffe://example.com/first",
            "x509SAN/Name/OU=a/b",
            "x509SAN/Name/CN=first",
            "x509Subject/CN=x"
        ]
    );
}

#[test]
fn a_wildcard_dns_name_is_dropped_and_the_next_one_does_not_take_its_place() {
    let subject = subject(
        &[(CN, "x")],
        vec![dns("*.example"), dns("a.example")],
        &AttributeMappings::default(),
    );
    assert_eq!(lines(&subject), ["x509Subject/CN=x"]);
    assert_eq!(subject.dropped[0].key, "x509SAN/DNS");
    assert!(
        subject.dropped[0].why.contains('*'),
        "{}",
        subject.dropped[0].why
    );
}

#[test]
fn rules_name_attributes_by_short_name_in_any_case_or_by_identifier() {
    let mut mappings = AttributeMappings::none();
    mappings
        .put(CertificateField::Subject, &["cn", "2.5.4.11", "L"])
        .unwrap();
    mappings
        .put(CertificateField::SubjectAlternativeName, &["Name/O"])
        .unwrap();
    let names = vec![dns("a.example"), directory_name(&[(O, "inner"), (CN, "n")])];
    let subject = subject(
        &[(O, "Acme"), (OU, "a"), (OU, "b"), (CN, "x")],
        names,
        &mappings,
    );
    assert_eq!(
        lines(&subject),
        [
            "x509SAN/Name/O=inner",
            "x509Subject/CN=x",
            "x509Subject/2.5.4.11=a/b"
        ]
    );
    assert_eq!(subject.tags.len(), 3, "the issuer is not mapped");
}

#[test]
fn two_rules_that_find_the_same_attribute_make_one_tag() {
    let mut mappings = AttributeMappings::none();
    mappings
        .put(CertificateField::Subject, &["*", "CN", "cn", "O"])
        .unwrap();
    let subject = subject(&[(O, "Acme, Inc."), (CN, "x")], Vec::new(), &mappings);
    assert_eq!(lines(&subject), ["x509Subject/CN=x"]);
    assert_eq!(subject.dropped.len(), 1);
}

#[test]
fn without_rules_there_are_no_tags_and_the_identity_stays() {
    let subject = subject(
        &[(CN, "x")],
        vec![dns("a.example")],
        &AttributeMappings::none(),
    );
    assert!(subject.tags.is_empty() && subject.dropped.is_empty());
    assert_eq!(subject.source_identity, "CN=x");
}

#[test]
fn the_serial_number_is_padded_to_whole_octets() {
    for (serial, text) in [
        (&[0x01, 0x23][..], "0123"),
        (&[0x45, 0x67], "4567"),
        (&[0x10, 0x00], "1000"),
        (&[7], "07"),
        (&[0x00, 0xff], "ff"),
    ] {
        let leaf = Leaf {
            serial: serial.to_vec(),
            ..Leaf::new(&[(O, "Acme")])
        };
        let subject =
            Subject::from_certificate(&leaf.issue(), [9; 20], &AttributeMappings::default());
        assert_eq!(subject.source_identity, format!("ID={text}"));
        assert_eq!(subject.default_session_name, text);
    }
}

#[test]
fn certificates_of_one_name_are_one_subject() {
    let id = |leaf: &Leaf| {
        Subject::from_certificate(&leaf.issue(), [9; 20], &AttributeMappings::default()).id
    };
    let first = id(&Leaf::new(&[(O, "Acme"), (CN, "x")]));
    assert_eq!(
        first,
        id(&Leaf {
            serial: vec![9],
            names: vec![dns("a.example")],
            ..Leaf::new(&[(O, "Acme"), (CN, "x")])
        })
    );
    assert_ne!(first, id(&Leaf::new(&[(CN, "x"), (O, "Acme")])));
    assert_eq!(first.to_string().as_bytes()[14], b'8');
}

#[test]
fn a_path_tells_the_issuers_key() {
    let path = Leaf::new(&[(CN, "x")]).verified();
    let subject = Subject::from_path(&path, &AttributeMappings::default());
    assert_eq!(
        subject.certificate.issuer_key_id,
        path.anchor().public_key().unwrap().key_id()
    );
    assert_eq!(subject.certificate.fingerprint, path.leaf().fingerprint());
}

#[test]
fn the_published_requests_give_the_published_tags() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!(
        "../../../../tests/vectors/roles-anywhere-vectors.json"
    ))
    .unwrap();
    let leaf = |name: &str| {
        let vector = vectors["vectors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|vector| vector["name"] == name)
            .unwrap();
        let headers = vector["headers"].as_array().unwrap();
        let value = headers
            .iter()
            .find(|header| header[0] == "x-amz-x509")
            .unwrap()[1]
            .as_str()
            .unwrap();
        Certificate::from_der(&STANDARD.decode(value).unwrap()).unwrap()
    };
    for (name, tags, source_identity, session_name) in [
        (
            "ec-p256-body",
            &[
                "x509Issuer/C=US",
                "x509Issuer/O=Example",
                "x509Issuer/CN=Vector Root",
                "x509SAN/DNS=example.com",
                "x509SAN/URI=spiffe://example.com/workload/alice",
                "x509Subject/CN=Alice",
            ][..],
            "CN=Alice",
            "1f71c5114a119fc0cc5a5a52fb3720ad",
        ),
        (
            "rsa-2048-query-chain",
            &[
                "x509Issuer/O=Example",
                "x509Issuer/CN=Vector Issuing CA",
                "x509Subject/CN=rsa-client",
                "x509Subject/OU=Security",
            ],
            "CN=rsa-client",
            "0123",
        ),
        (
            "ec-p384-label-sha384",
            &[
                "x509Issuer/C=US",
                "x509Issuer/O=Example",
                "x509Issuer/CN=Vector Root",
                "x509Subject/CN=sha384-signed",
            ],
            "CN=sha384-signed",
            "2001",
        ),
    ] {
        let subject =
            Subject::from_certificate(&leaf(name), [9; 20], &AttributeMappings::default());
        let found: Vec<String> = subject
            .tags
            .iter()
            .map(|tag| format!("{}={}", tag.key(), tag.value()))
            .collect();
        assert_eq!(found, tags, "{name}");
        assert_eq!(subject.source_identity, source_identity, "{name}");
        assert_eq!(subject.default_session_name, session_name, "{name}");
    }
}

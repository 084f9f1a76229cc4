use proptest::prelude::*;

use super::*;
use crate::KeyAlgorithm;
use crate::fixtures::{Damage, TestSigner, fixture};

fn refused(der: &[u8]) -> String {
    CertificationRequest::from_der(der).unwrap_err().to_string()
}

#[test]
fn a_request_of_openssl_is_read() {
    let request = CertificationRequest::from_der(&fixture!("request")).unwrap();
    assert_eq!(request.subject(), crate::fixtures::leaf().subject());
    assert_eq!(request.public_key().algorithm(), KeyAlgorithm::P256);
    assert!(request.requested_names().is_empty());
    assert!(!request.asks_for_ca());
}

#[test]
fn a_p384_key_that_signed_with_sha256_is_still_a_p384_key() {
    let request = CertificationRequest::from_der(&fixture!("request_p384_sha256")).unwrap();
    assert_eq!(request.public_key().algorithm(), KeyAlgorithm::P384);
    assert_eq!(
        request.signature_algorithm(),
        SignatureAlgorithm::EcdsaSha256
    );
}

#[test]
fn rsa_pss_proves_possession_too() {
    let request = CertificationRequest::from_der(&fixture!("request_rsa_pss")).unwrap();
    assert_eq!(
        request.signature_algorithm(),
        SignatureAlgorithm::RsaPssSha256
    );
}

#[test]
fn what_is_asked_for_can_be_seen() {
    let request = CertificationRequest::from_der(&fixture!("request_asks_for_ca")).unwrap();
    assert!(request.asks_for_ca());
    assert_eq!(
        request.requested_basic_constraints(),
        Some(BasicConstraints {
            ca: true,
            path_len: Some(3)
        })
    );
    assert_eq!(request.requested_key_usage(), Some(KeyUsage::KEY_CERT_SIGN));
    assert_eq!(
        request.requested_names(),
        [GeneralName::Dns("evil.example".into())]
    );
    let names: Vec<String> = request
        .requested_extensions()
        .iter()
        .map(Extension::name)
        .collect();
    assert_eq!(
        names,
        [
            "basicConstraints",
            "keyUsage",
            "subjectAltName",
            "subjectKeyIdentifier"
        ]
    );
}

#[test]
fn weak_keys_and_signatures_are_refused() {
    assert_eq!(
        refused(&fixture!("request_sha1")),
        "the certification request does not prove possession of its key: signature algorithm RSA with SHA-1 is not accepted"
    );
    assert_eq!(
        refused(&fixture!("request_rsa1024")),
        "key of the certification request: RSA key of 1024 bits is outside 2048 to 8192"
    );
}

#[test]
fn a_changed_request_proves_nothing() {
    let mut der = fixture!("request");
    let at = der.windows(3).rposition(|bytes| bytes == b"web").unwrap();
    der[at] = b'W';
    assert!(matches!(
        CertificationRequest::from_der(&der),
        Err(RequestError::ProofOfPossession(_))
    ));
}

#[test]
fn a_request_for_anothers_key_is_refused() {
    let (own, other) = (TestSigner::new(), TestSigner::new());
    let info = info(other.public_key().spki_der(), &[]);
    assert!(matches!(
        CertificationRequest::from_der(&own.wrap(&info)),
        Err(RequestError::ProofOfPossession(SignatureError::Key(
            KeyError::BadSignature { .. }
        )))
    ));
}

#[test]
fn what_is_created_is_read() {
    let signer = TestSigner::new();
    let subject: DistinguishedName = "CN=web,O=Example".parse().unwrap();
    let names = [
        GeneralName::detect("web.example").unwrap(),
        GeneralName::detect("10.0.0.1").unwrap(),
    ];
    let der = CertificationRequest::create(&subject, &names, &signer).unwrap();
    let request = CertificationRequest::from_der(&der).unwrap();
    assert_eq!(request.subject(), &subject);
    assert_eq!(request.requested_names(), names);
    assert_eq!(request.public_key(), signer.public_key());
    assert!(!request.requested_extensions()[0].critical);

    let nameless =
        CertificationRequest::create(&DistinguishedName::empty(), &names, &signer).unwrap();
    assert!(
        CertificationRequest::from_der(&nameless)
            .unwrap()
            .requested_extensions()[0]
            .critical
    );
    let bare = CertificationRequest::create(&subject, &[], &signer).unwrap();
    assert!(
        CertificationRequest::from_der(&bare)
            .unwrap()
            .requested_extensions()
            .is_empty()
    );
}

/// CertificationRequestInfo with these attributes.
fn info(spki: &[u8], attributes: &[u8]) -> Vec<u8> {
    let subject: DistinguishedName = "CN=x".parse().unwrap();
    asn1::sequence(&[
        &asn1::unsigned(0),
        subject.as_der(),
        spki,
        &asn1::element(0xa0, attributes),
    ])
}

fn with_attributes(attributes: &[u8]) -> Result<CertificationRequest, RequestError> {
    let signer = TestSigner::new();
    CertificationRequest::from_der(&signer.wrap(&info(signer.public_key().spki_der(), attributes)))
}

fn extension_request(extensions: &[Extension]) -> Vec<u8> {
    let values = asn1::element(asn1::SET, &Extension::list_to_der(extensions));
    asn1::sequence(&[&asn1::oid(&oid::EXTENSION_REQUEST), &values])
}

#[test]
fn a_repeated_wish_is_refused() {
    let san = |name| {
        Extension::new(
            oid::SUBJECT_ALT_NAME,
            false,
            GeneralName::list_to_der(&[GeneralName::dns(name).unwrap()]),
        )
    };
    let twice = extension_request(&[san("a"), san("b")]);
    assert_eq!(
        with_attributes(&twice).unwrap_err().to_string(),
        "the certification request has subjectAltName twice"
    );
    let once = extension_request(&[san("a")]);
    assert_eq!(
        with_attributes(&[once.clone(), once].concat())
            .unwrap_err()
            .to_string(),
        "the certification request has extensionRequest twice"
    );
}

#[test]
fn a_malformed_wish_is_refused() {
    let bad = extension_request(&[Extension::new(oid::BASIC_CONSTRAINTS, false, vec![1])]);
    assert!(matches!(
        with_attributes(&bad),
        Err(RequestError::Extension(_))
    ));
}

#[test]
fn other_attributes_are_passed_over() {
    let challenge = asn1::sequence(&[
        &asn1::oid(&ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.7")),
        &asn1::element(asn1::SET, &asn1::element(asn1::UTF8_STRING, b"secret")),
    ]);
    assert!(
        with_attributes(&challenge)
            .unwrap()
            .requested_extensions()
            .is_empty()
    );
}

#[test]
fn every_cut_and_every_surplus_is_refused() {
    let mut der = fixture!("request");
    for len in 0..der.len() {
        assert!(
            CertificationRequest::from_der(&der[..len]).is_err(),
            "{len} bytes"
        );
    }
    der.push(0);
    assert!(refused(&der).contains("1 bytes follow"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_requests_are_refused(pss in any::<bool>(), damages in proptest::collection::vec(Damage::any(), 1..4)) {
        let whole = if pss { fixture!("request_rsa_pss") } else { fixture!("request_asks_for_ca") };
        let mut der = whole.clone();
        damages.iter().for_each(|damage| damage.apply(&mut der));
        // A signature that still verifies is one over the same bytes.
        if let Ok(request) = CertificationRequest::from_der(&der) {
            let original = CertificationRequest::from_der(&whole).unwrap();
            prop_assert_eq!(request.subject(), original.subject());
            prop_assert_eq!(request.requested_extensions(), original.requested_extensions());
        }
    }
}

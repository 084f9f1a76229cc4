use proptest::prelude::*;

use super::*;
use crate::fixtures::{Damage, TestSigner, fixture, intermediate, leaf, root};
use crate::{Signer, TimeEncoding, time_to_der};

#[test]
fn the_chain_verifies_link_by_link_and_not_otherwise() {
    let (root, intermediate, leaf) = (root(), intermediate(), leaf());
    let key = |certificate: &Certificate| certificate.public_key().unwrap().clone();
    assert_eq!(leaf.verify_signed_by(&key(&intermediate)), Ok(()));
    assert_eq!(intermediate.verify_signed_by(&key(&root)), Ok(()));
    assert_eq!(root.verify_signed_by(&key(&root)), Ok(()));
    assert!(matches!(
        leaf.verify_signed_by(&key(&root)),
        Err(SignatureError::Key(KeyError::BadSignature { .. }))
    ));
    assert!(matches!(
        leaf.verify_signed_by(&key(&leaf)),
        Err(SignatureError::Key(KeyError::BadSignature { .. }))
    ));
}

#[test]
fn fields_are_what_openssl_was_told() {
    let leaf = leaf();
    assert_eq!(leaf.version(), 2);
    assert_eq!(leaf.serial().to_hex(), "ff00000000000000000000000000000001");
    assert!(leaf.serial().is_conforming());
    assert_eq!(
        leaf.issuer().to_string(),
        "CN=Fixture Issuing,O=Fixture Trust\\, GmbH"
    );
    assert_eq!(leaf.issuer(), intermediate().subject());
    assert_eq!(
        leaf.signature_algorithm(),
        Some(SignatureAlgorithm::EcdsaSha384)
    );
    assert_eq!(
        leaf.basic_constraints(),
        Some(BasicConstraints {
            ca: false,
            path_len: None
        })
    );
    assert_eq!(
        leaf.extended_key_usage(),
        Some([oid::CLIENT_AUTH, oid::SERVER_AUTH].as_slice())
    );
    assert_eq!(leaf.authority_key_id(), intermediate().subject_key_id());
    assert_eq!(leaf.inner_algorithm_der(), leaf.outer_algorithm_der());
    assert!(!leaf.has_issuer_unique_id() && !leaf.has_subject_unique_id());
    assert!(leaf.malformed_extensions().is_empty());
    assert_eq!(leaf.repeated_extension(), None);
    assert!(!leaf.is_ca() && !leaf.is_self_issued());
    assert!(leaf.extension(&oid::CERTIFICATE_POLICIES).is_some());
    assert!(leaf.extension(&oid::KEY_USAGE).unwrap().critical);
    let issuers = (
        ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2"),
        "URI:http://ca.fixture.example/root.crt",
    );
    let access = &leaf.authority_info_access()[0];
    assert_eq!((access.0, access.1.to_string().as_str()), issuers);

    let root = root();
    assert!(root.is_ca() && root.is_self_issued());
    assert_eq!(
        intermediate().basic_constraints(),
        Some(BasicConstraints {
            ca: true,
            path_len: Some(0)
        })
    );
}

#[test]
fn times_tell_how_they_were_written() {
    let leaf = leaf();
    assert_eq!(leaf.not_before().encoding, TimeEncoding::Utc);
    assert_eq!(leaf.not_after().encoding, TimeEncoding::Generalized);
    assert!(leaf.not_before().is_conforming() && leaf.not_after().is_conforming());
    let validity = leaf.validity();
    assert_eq!((validity.not_after - validity.not_before).num_days(), 36500);
}

#[test]
fn the_fingerprint_is_sha256_of_the_bytes() {
    let leaf = leaf();
    let digest = digest::digest(&digest::SHA256, &fixture!("leaf"));
    assert_eq!(leaf.fingerprint(), digest.as_ref());
}

#[test]
fn foreign_serials_are_read_and_told_apart() {
    for (der, shown) in [
        (fixture!("serial_negative"), "-fb"),
        (fixture!("serial_zero"), "00"),
        (
            fixture!("serial_long"),
            "7f112233445566778899aabbccddeeff00112233445566",
        ),
    ] {
        let certificate = Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.serial().to_hex(), shown);
        assert!(!certificate.serial().is_conforming(), "{shown}");
    }
}

#[test]
fn a_version_1_certificate_is_read() {
    let certificate = Certificate::from_der(&fixture!("version1")).unwrap();
    assert_eq!(certificate.version(), 0);
    assert!(certificate.extensions().is_empty());
}

#[test]
fn a_malformed_extension_is_reported_and_not_taken_for_absent() {
    let certificate = Certificate::from_der(&fixture!("bad_key_usage")).unwrap();
    assert_eq!(certificate.key_usage(), None);
    let [error] = certificate.malformed_extensions() else {
        panic!("one malformed extension")
    };
    assert_eq!(error.oid, oid::KEY_USAGE);
    assert_eq!(
        error.to_string(),
        "extension keyUsage is malformed: keyUsage has tag 0x04, expected 0x03"
    );
}

/// A certificate put together by hand.
struct Parts {
    version: Vec<u8>,
    serial: Vec<u8>,
    inner_algorithm: Vec<u8>,
    not_before: Vec<u8>,
    unique_ids: Vec<u8>,
    extensions: Vec<Extension>,
}

impl Parts {
    fn good() -> Parts {
        Parts {
            version: vec![0xa0, 3, 2, 1, 2],
            serial: vec![2, 1, 1],
            inner_algorithm: SignatureAlgorithm::EcdsaSha256.to_der(),
            not_before: time_to_der("2026-01-01T00:00:00Z".parse().unwrap()),
            unique_ids: Vec::new(),
            extensions: Vec::new(),
        }
    }

    fn der(&self, signer: &TestSigner) -> Vec<u8> {
        let not_after = time_to_der("2027-01-01T00:00:00Z".parse().unwrap());
        let extensions = match self.extensions.as_slice() {
            [] => Vec::new(),
            extensions => asn1::element(0xa3, &Extension::list_to_der(extensions)),
        };
        let name = "CN=parts".parse::<DistinguishedName>().unwrap();
        signer.wrap(&asn1::sequence(&[
            &self.version,
            &self.serial,
            &self.inner_algorithm,
            name.as_der(),
            &asn1::sequence(&[&self.not_before, &not_after]),
            name.as_der(),
            signer.public_key().spki_der(),
            &self.unique_ids,
            &extensions,
        ]))
    }

    fn read(&self) -> Result<Certificate, CertificateError> {
        Certificate::from_der(&self.der(&TestSigner::new()))
    }
}

#[test]
fn a_certificate_put_together_by_hand_is_good() {
    let signer = TestSigner::new();
    let certificate = Certificate::from_der(&Parts::good().der(&signer)).unwrap();
    assert_eq!(certificate.verify_signed_by(signer.public_key()), Ok(()));
}

#[test]
fn a_repeated_extension_is_reported_and_the_first_counts() {
    let ca = BasicConstraints {
        ca: true,
        path_len: None,
    }
    .to_der();
    let no_ca = BasicConstraints {
        ca: false,
        path_len: None,
    }
    .to_der();
    let extension = |value: &Vec<u8>| Extension::new(oid::BASIC_CONSTRAINTS, true, value.clone());
    let parts = Parts {
        extensions: vec![extension(&no_ca), extension(&ca)],
        ..Parts::good()
    };
    let certificate = parts.read().unwrap();
    assert_eq!(
        certificate.repeated_extension().map(|it| it.oid),
        Some(oid::BASIC_CONSTRAINTS)
    );
    assert!(!certificate.is_ca());
}

#[test]
fn differing_algorithms_are_kept_apart_and_do_not_verify() {
    let signer = TestSigner::new();
    let parts = Parts {
        inner_algorithm: SignatureAlgorithm::EcdsaSha384.to_der(),
        ..Parts::good()
    };
    let certificate = Certificate::from_der(&parts.der(&signer)).unwrap();
    assert_ne!(
        certificate.inner_algorithm_der(),
        certificate.outer_algorithm_der()
    );
    assert_eq!(
        certificate.verify_signed_by(signer.public_key()),
        Err(SignatureError::AlgorithmsDiffer)
    );
}

#[test]
fn unique_identifiers_are_seen() {
    let parts = Parts {
        unique_ids: vec![0x81, 2, 0, 1, 0x82, 2, 0, 1],
        ..Parts::good()
    };
    let certificate = parts.read().unwrap();
    assert!(certificate.has_issuer_unique_id() && certificate.has_subject_unique_id());
}

#[test]
fn a_late_date_in_the_wrong_type_is_read_and_told() {
    let parts = Parts {
        not_before: asn1::element(asn1::GENERALIZED_TIME, b"20260101000000Z"),
        ..Parts::good()
    };
    assert!(!parts.read().unwrap().not_before().is_conforming());
}

#[test]
fn what_is_not_der_is_refused() {
    let refused = |parts: Parts| parts.read().unwrap_err().to_string();
    assert!(
        refused(Parts {
            serial: vec![2, 2, 0, 1],
            ..Parts::good()
        })
        .contains("as few octets")
    );
    assert!(
        refused(Parts {
            serial: vec![2, 0],
            ..Parts::good()
        })
        .contains("at least one octet")
    );
    assert!(
        refused(Parts {
            serial: vec![2, 0x81, 1, 1],
            ..Parts::good()
        })
        .contains("shortest form")
    );
    assert!(
        refused(Parts {
            serial: [vec![2, 65], vec![1; 65]].concat(),
            ..Parts::good()
        })
        .contains("at most 64")
    );
    let time = |digits: &[u8]| Parts {
        not_before: asn1::element(asn1::UTC_TIME, digits),
        ..Parts::good()
    };
    for digits in [
        "2601010000Z",
        "260101000000+0000",
        "261301000000Z",
        "260230000000Z",
        "260101000060Z",
        "260101000000",
    ] {
        assert!(
            refused(time(digits.as_bytes())).contains("YYMMDDHHMMSSZ"),
            "{digits}"
        );
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut der = fixture!("leaf");
    der.push(0);
    assert_eq!(
        Certificate::from_der(&der),
        Err(DerError::Trailing {
            field: "certificate",
            bytes: 1
        }
        .into())
    );
}

#[test]
fn every_cut_is_refused() {
    let der = fixture!("leaf");
    for len in 0..der.len() {
        assert!(Certificate::from_der(&der[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn huge_input_is_refused_before_it_is_read() {
    let error = Certificate::from_der(&vec![0x30; CERTIFICATE_OCTETS_MAX + 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not a certificate: certificate has 65537, at most 65536 are read"
    );
}

/// Asks a certificate everything, as proof that nothing panics, and checks that what is cut out lies in place.
fn ask_everything(certificate: &Certificate) {
    let _ = format!(
        "{certificate:?} {} {}",
        certificate.issuer(),
        certificate.signature_algorithm_name()
    );
    for name in certificate.subject_alt_names() {
        let _ = name.to_string();
    }
    let _ = certificate.serial().to_decimal();
    if let Ok(key) = certificate.public_key() {
        let _ = certificate.verify_signed_by(key);
    }
    let again = Certificate::from_der(certificate.der()).unwrap();
    assert_eq!(again.tbs_der(), certificate.tbs_der());
    assert!(certificate.der().len() > certificate.tbs_der().len() + certificate.signature().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_certificates_are_read_or_refused(which in 0..5usize, damages in proptest::collection::vec(Damage::any(), 1..4)) {
        let mut der = match which {
            0 => fixture!("leaf"),
            1 => fixture!("intermediate"),
            2 => fixture!("rsa_pss_sha256"),
            3 => fixture!("ed25519"),
            _ => fixture!("serial_negative"),
        };
        let whole = der.clone();
        damages.iter().for_each(|damage| damage.apply(&mut der));
        if let Ok(certificate) = Certificate::from_der(&der) {
            ask_everything(&certificate);
            // Whatever was changed in the signed part, the signature notices.
            if which == 3 && certificate.tbs_der() != Certificate::from_der(&whole).unwrap().tbs_der() {
                let original = Certificate::from_der(&whole).unwrap();
                prop_assert!(certificate.verify_signed_by(original.public_key().unwrap()).is_err());
            }
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Certificate::from_der(&bytes).is_err());
    }
}

#[test]
fn a_second_reader_sees_the_same() {
    use der::{Decode, Encode};
    let certificates = [
        fixture!("root"),
        fixture!("intermediate"),
        fixture!("leaf"),
        fixture!("rsa_pss_sha512"),
        fixture!("ed25519"),
        fixture!("ecdsa_p521_sha512"),
        fixture!("version1"),
        fixture!("weak_rsa_sha1"),
    ];
    for der in certificates {
        let ours = Certificate::from_der(&der).unwrap();
        let theirs = x509_cert::Certificate::from_der(&der).unwrap();
        let tbs = theirs.tbs_certificate();
        assert_eq!(ours.tbs_der(), tbs.to_der().unwrap());
        assert_eq!(
            ours.serial().to_der(),
            tbs.serial_number().to_der().unwrap()
        );
        assert_eq!(ours.issuer().as_der(), tbs.issuer().to_der().unwrap());
        assert_eq!(ours.subject().as_der(), tbs.subject().to_der().unwrap());
        assert_eq!(
            ours.spki_der(),
            tbs.subject_public_key_info().to_der().unwrap()
        );
        assert_eq!(ours.signature(), theirs.signature().raw_bytes());
        let seconds = |time: crate::Time| u64::try_from(time.timestamp()).unwrap();
        let validity = tbs.validity();
        assert_eq!(
            seconds(ours.validity().not_before),
            validity.not_before.to_unix_duration().as_secs()
        );
        assert_eq!(
            seconds(ours.validity().not_after),
            validity.not_after.to_unix_duration().as_secs()
        );
        let extensions: Vec<(ObjectIdentifier, bool, &[u8])> = tbs
            .extensions()
            .into_iter()
            .flatten()
            .map(|it| (it.extn_id, it.critical, it.extn_value.as_bytes()))
            .collect();
        let ours: Vec<(ObjectIdentifier, bool, &[u8])> = ours
            .extensions()
            .iter()
            .map(|it| (it.oid, it.critical, it.value.as_slice()))
            .collect();
        assert_eq!(ours, extensions);
    }
}

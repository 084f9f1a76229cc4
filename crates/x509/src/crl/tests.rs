use proptest::prelude::*;

use super::*;
use crate::fixtures::{Damage, TestSigner, fixture, intermediate, root};
use crate::{Signer, time_to_der};

fn serial(text: &str) -> SerialNumber {
    text.parse().unwrap()
}

#[test]
fn a_list_of_openssl_is_read() {
    let list = CertificateList::from_der(&fixture!("crl")).unwrap();
    assert_eq!(list.issuer(), root().subject());
    assert_eq!(list.number(), Some(0x1234));
    assert_eq!(list.authority_key_id(), root().subject_key_id());
    assert_eq!(list.version(), 1);
    assert_eq!(
        (list.next_update().unwrap() - list.this_update()).num_days(),
        36500
    );
    assert_eq!(list.len(), 3);
    assert!(!list.is_delta() && list.issuing_distribution_point().is_none());

    let entry = list
        .revoked(&serial("ff00000000000000000000000000000001"))
        .unwrap();
    assert_eq!(entry.reason, RevocationReason::KeyCompromise);
    assert_eq!(
        entry.revoked_at,
        "2026-01-02T03:04:05Z".parse::<Time>().unwrap()
    );
    assert_eq!(
        list.revoked(&serial("02")).unwrap().reason,
        RevocationReason::Unspecified
    );
    let known = list.revoked(&serial("0x0303")).unwrap();
    assert_eq!(
        known.invalid_since,
        Some("2026-03-01T00:00:00Z".parse::<Time>().unwrap())
    );
    assert_eq!(list.revoked(&serial("03")), None);
}

#[test]
fn its_issuer_signed_it_and_nobody_else() {
    let list = CertificateList::from_der(&fixture!("crl")).unwrap();
    assert_eq!(list.verify_signed_by(root().public_key().unwrap()), Ok(()));
    assert!(
        list.verify_signed_by(intermediate().public_key().unwrap())
            .is_err()
    );
}

#[test]
fn an_empty_list_is_read() {
    let list = CertificateList::from_der(&fixture!("crl_empty")).unwrap();
    assert!(list.is_empty());
    assert_eq!(list.verify_signed_by(root().public_key().unwrap()), Ok(()));
}

#[test]
fn a_partial_list_says_so() {
    let list = CertificateList::from_der(&fixture!("crl_user_only")).unwrap();
    let point = list.issuing_distribution_point().unwrap();
    assert!(point.only_user && !point.only_ca && !point.only_some_reasons && !point.only_attribute);
    assert_eq!(
        point.names,
        [GeneralName::Uri(
            "http://crl.fixture.example/user.crl".into()
        )]
    );
    assert!(
        CertificateList::from_der(&fixture!("crl_delta"))
            .unwrap()
            .is_delta()
    );
}

#[test]
fn indirect_lists_and_unknown_critical_extensions_are_refused() {
    let refused = |der: &[u8]| CertificateList::from_der(der).unwrap_err().to_string();
    assert_eq!(
        refused(&fixture!("crl_indirect")),
        "indirect CRLs are not accepted: it lists certificates of issuers other than CN=Fixture Root,O=Fixture Trust\\, GmbH,C=DE"
    );
    assert_eq!(
        refused(&fixture!("crl_unknown_critical")),
        "CRL has the critical extension 1.2.3.4, which is not understood"
    );
}

/// A list put together by hand: entries, then extensions.
fn list(
    version: &[u8],
    entries: &[Vec<u8>],
    extensions: &[Extension],
) -> Result<CertificateList, CrlError> {
    let now = time_to_der("2026-01-01T00:00:00Z".parse().unwrap());
    let name: DistinguishedName = "CN=lists".parse().unwrap();
    let algorithm = SignatureAlgorithm::EcdsaSha256.to_der();
    let entries = if entries.is_empty() {
        Vec::new()
    } else {
        asn1::element(asn1::SEQUENCE, &entries.concat())
    };
    let extensions = match extensions {
        [] => Vec::new(),
        extensions => asn1::element(0xa0, &Extension::list_to_der(extensions)),
    };
    let signer = TestSigner::new();
    let der = signer.wrap(&asn1::sequence(&[
        version,
        &algorithm,
        name.as_der(),
        &now,
        &now,
        &entries,
        &extensions,
    ]));
    let list = CertificateList::from_der(&der)?;
    assert_eq!(list.verify_signed_by(signer.public_key()), Ok(()));
    Ok(list)
}

fn entry(serial: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let when = time_to_der("2026-01-01T00:00:00Z".parse().unwrap());
    let extensions = if extensions.is_empty() {
        Vec::new()
    } else {
        Extension::list_to_der(extensions)
    };
    asn1::sequence(&[&asn1::element(asn1::INTEGER, serial), &when, &extensions])
}

const V2: &[u8] = &[2, 1, 1];

#[test]
fn entries_about_other_issuers_are_refused() {
    let names =
        GeneralName::list_to_der(&[GeneralName::DirectoryName("CN=other".parse().unwrap())]);
    for critical in [true, false] {
        let extension = Extension::new(oid::CERTIFICATE_ISSUER, critical, names.clone());
        assert!(matches!(
            list(V2, &[entry(&[1], &[extension])], &[]),
            Err(CrlError::Indirect { .. })
        ));
    }
}

#[test]
fn entries_with_unknown_extensions_are_refused_if_critical() {
    let unknown = |critical| {
        Extension::new(
            ObjectIdentifier::new_unwrap("1.2.3.4"),
            critical,
            vec![5, 0],
        )
    };
    assert!(list(V2, &[entry(&[1], &[unknown(false)])], &[]).is_ok());
    assert!(matches!(
        list(V2, &[entry(&[1], &[unknown(true)])], &[]),
        Err(CrlError::UnknownCriticalExtension { .. })
    ));
}

#[test]
fn reasons_that_do_not_exist_are_refused() {
    let reason = |code| Extension::new(oid::REASON_CODE, false, vec![asn1::ENUMERATED, 1, code]);
    assert_eq!(
        list(V2, &[entry(&[1], &[reason(8)])], &[])
            .unwrap()
            .revoked(&serial("01"))
            .unwrap()
            .reason,
        RevocationReason::RemoveFromCrl
    );
    assert!(matches!(
        list(V2, &[entry(&[1], &[reason(7)])], &[]),
        Err(CrlError::Extension(_))
    ));
}

#[test]
fn a_serial_listed_twice_is_refused() {
    let entries = [entry(&[1], &[]), entry(&[1], &[])];
    assert_eq!(
        list(V2, &entries, &[]).unwrap_err().to_string(),
        "CRL lists serial 01 twice"
    );
}

#[test]
fn positive_and_negative_serials_with_the_same_octets_differ() {
    let list = list(V2, &[entry(&[0x80], &[])], &[]).unwrap();
    assert_eq!(list.revoked(&serial("80")), None);
}

#[test]
fn versions_must_fit() {
    assert_eq!(list(&[], &[], &[]).unwrap().version(), 0);
    let number = Extension::new(oid::CRL_NUMBER, false, vec![2, 1, 1]);
    assert!(matches!(
        list(&[], &[], std::slice::from_ref(&number)),
        Err(CrlError::Version { found: 0 })
    ));
    assert!(matches!(
        list(&[2, 1, 2], &[], &[]),
        Err(CrlError::Version { found: 2 })
    ));
    assert!(matches!(
        list(V2, &[], &[number.clone(), number]),
        Err(CrlError::RepeatedExtension { .. })
    ));
}

#[test]
fn large_numbers_are_kept() {
    let number = |content: &[u8]| {
        Extension::new(
            oid::CRL_NUMBER,
            false,
            asn1::element(asn1::INTEGER, content),
        )
    };
    let large = list(V2, &[], &[number(&[1; 20])]).unwrap();
    assert_eq!(large.number(), None);
    assert_eq!(large.number_octets(), Some([1; 20].as_slice()));
    assert_eq!(
        list(V2, &[], &[number(&[0, 0xff])]).unwrap().number(),
        Some(255)
    );
    assert!(list(V2, &[], &[number(&[0xff])]).is_err(), "negative");
    assert!(list(V2, &[], &[number(&[1; 22])]).is_err(), "too long");
}

#[test]
fn ten_thousand_entries_are_found_again() {
    let entries: Vec<Vec<u8>> = (0..10_000u32)
        .map(|number| entry(&[&[1], &number.to_be_bytes()[..]].concat(), &[]))
        .collect();
    let list = list(V2, &entries, &[]).unwrap();
    assert_eq!(list.len(), 10_000);
    assert!(list.revoked(&serial("01000003e7")).is_some());
    assert!(list.revoked(&serial("0100002710")).is_none());
}

#[test]
fn every_cut_is_refused() {
    let der = fixture!("crl");
    for len in 0..der.len() {
        assert!(
            CertificateList::from_der(&der[..len]).is_err(),
            "{len} bytes"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_lists_do_not_verify(damages in proptest::collection::vec(Damage::any(), 1..4)) {
        let whole = CertificateList::from_der(&fixture!("crl")).unwrap();
        let mut der = whole.der().to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut der));
        if let Ok(list) = CertificateList::from_der(&der) {
            let verified = list.verify_signed_by(root().public_key().unwrap()).is_ok();
            prop_assert!(!verified || list.tbs_der() == whole.tbs_der());
        }
    }
}

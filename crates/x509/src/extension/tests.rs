use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::fixtures::{intermediate, leaf};

fn der(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

#[test]
fn basic_constraints_survive_their_der() {
    for (ca, path_len, encoded) in [
        (false, None, "3000"),
        (true, None, "30030101ff"),
        (true, Some(0), "30060101ff020100"),
        (true, Some(200), "30070101ff020200c8"),
    ] {
        let constraints = BasicConstraints { ca, path_len };
        assert_eq!(hex::encode(constraints.to_der()), encoded);
        assert_eq!(BasicConstraints::from_der(&der(encoded)), Ok(constraints));
    }
    assert!(
        BasicConstraints::from_der(&der("30060101ff0201ff")).is_err(),
        "negative length"
    );
    assert!(
        BasicConstraints::from_der(&der("3003010101")).is_err(),
        "BER boolean"
    );
    assert!(
        BasicConstraints::from_der(&der("30050101ff0500")).is_err(),
        "more than there is"
    );
}

#[test]
fn key_usage_has_the_bits_openssl_wrote() {
    let usage = leaf().key_usage().unwrap();
    assert_eq!(usage.to_string(), "digitalSignature, keyEncipherment");
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extension = leaf().extension(&oid::KEY_USAGE).unwrap().clone();
    assert_eq!(usage.to_der(), extension.value);
}

#[test]
fn every_key_usage_survives_its_der() {
    for bits in [
        KeyUsage::default(),
        KeyUsage::DECIPHER_ONLY,
        KeyUsage::KEY_CERT_SIGN.union(KeyUsage::CRL_SIGN),
        KeyUsage::DIGITAL_SIGNATURE.union(KeyUsage::DECIPHER_ONLY),
        KeyUsage::ENCIPHER_ONLY,
    ] {
        assert_eq!(KeyUsage::from_der(&bits.to_der()), Ok(bits));
    }
    assert_eq!(hex::encode(KeyUsage::DECIPHER_ONLY.to_der()), "0303070080");
    assert_eq!(
        hex::encode(KeyUsage::KEY_CERT_SIGN.union(KeyUsage::CRL_SIGN).to_der()),
        "03020106"
    );
}

#[test]
fn key_usage_with_unused_bits_set_is_refused() {
    assert!(KeyUsage::from_der(&der("03020781")).is_err());
    assert!(KeyUsage::from_der(&der("03020880")).is_err());
    assert!(KeyUsage::from_der(&der("0300")).is_err());
    assert!(KeyUsage::from_der(&der("030101")).is_err());
}

#[test]
fn name_constraints_are_read() {
    let intermediate = intermediate();
    let constraints = intermediate.name_constraints().unwrap();
    let range = AddressRange {
        address: [10, 0, 0, 0].into(),
        mask: [255, 0, 0, 0].into(),
    };
    let permitted = [
        ConstrainedName::Dns("fixture.example".into()),
        ConstrainedName::Ip(range),
    ];
    assert_eq!(constraints.permitted, permitted);
    assert_eq!(
        constraints.excluded,
        [ConstrainedName::Email("bad.example".into())]
    );
}

#[test]
fn name_constraints_without_subtrees_or_with_bounds_are_refused() {
    assert!(NameConstraints::from_der(&der("3000")).is_err());
    assert!(NameConstraints::from_der(&der("3002a000")).is_err());
    assert!(
        NameConstraints::from_der(&der("3007a00530038201 61".replace(' ', "").as_str())).is_ok()
    );
    assert!(
        NameConstraints::from_der(&der("300aa0083006820161800101")).is_err(),
        "minimum of 1"
    );
}

#[test]
fn address_ranges_hold_what_agrees_under_the_mask() {
    let range = AddressRange {
        address: [10, 1, 2, 3].into(),
        mask: [255, 0, 0, 0].into(),
    };
    assert!(range.contains([10, 9, 9, 9].into()));
    assert!(!range.contains([11, 1, 2, 3].into()));
    assert!(!range.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert_eq!(range.prefix_len(), Some(8));
    let all = AddressRange {
        address: [0, 0, 0, 0].into(),
        mask: [0, 0, 0, 0].into(),
    };
    assert_eq!(all.prefix_len(), Some(0));
    let one = AddressRange {
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        mask: IpAddr::V6(Ipv6Addr::from([0xff; 16])),
    };
    assert_eq!(one.prefix_len(), Some(128));
    let holes = AddressRange {
        address: [10, 0, 0, 0].into(),
        mask: [255, 0, 255, 0].into(),
    };
    assert_eq!(holes.prefix_len(), None);
}

#[test]
fn extensions_survive_their_der() {
    let extensions = leaf().extensions().to_vec();
    assert_eq!(
        Extension::list_from_der(&Extension::list_to_der(&extensions)).unwrap(),
        extensions
    );
}

#[test]
fn an_empty_extension_list_is_refused() {
    assert!(Extension::list_from_der(&der("3000")).is_err());
}

#[test]
fn key_purposes_are_at_least_one() {
    assert!(extended_key_usage(&der("3000")).is_err());
}

#[test]
fn distribution_points_by_uri_are_found() {
    let uris = leaf().crl_distribution_points();
    assert_eq!(
        uris,
        [
            "http://crl.fixture.example/root.crl",
            "ldap://ldap.fixture.example/cn=root"
        ]
    );
}

#[test]
fn authority_key_identifier_is_read_whole() {
    let intermediate = intermediate();
    let identifier = intermediate.authority_key_identifier().unwrap();
    assert_eq!(
        identifier.key_id.as_deref(),
        crate::fixtures::root().subject_key_id()
    );
    assert_eq!(
        identifier.issuer,
        [GeneralName::DirectoryName(
            crate::fixtures::root().subject().clone()
        )]
    );
    assert_eq!(
        identifier.serial.as_deref(),
        Some(crate::fixtures::root().serial().integer_content())
    );
    let short = AuthorityKeyIdentifier::key_id_to_der(&[1, 2]);
    assert_eq!(
        AuthorityKeyIdentifier::from_der(&short).unwrap().key_id,
        Some(vec![1, 2])
    );
}

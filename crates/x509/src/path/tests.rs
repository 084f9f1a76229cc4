//! Paths of certificates made on the spot, at fixed times.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData, RevokedCertParams, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::*;

mod profile;
mod refusals;
mod revocation;
mod search;

/// The moment of every question, 2026-06-01T12:00:00Z.
const NOW: i64 = 1_780_315_200;
const DAY: i64 = 24 * 60 * 60;

fn now() -> Time {
    at(0)
}

/// So many days from now.
fn at(days: i64) -> Time {
    Time::from_timestamp(NOW + days * DAY, 0).expect("a date of this century")
}

fn moment(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW + days * DAY).expect("a date of this century")
}

/// A CA with its key.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

impl Authority {
    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

type Change<'a> = dyn Fn(&mut CertificateParams) + 'a;

fn as_is(_: &mut CertificateParams) {}

fn ca_params(name: &str, change: &Change<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(0x1001u64));
    (params.not_before, params.not_after) = (moment(-100), moment(1000));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    params
}

fn root_with(name: &str, change: &Change<'_>) -> Authority {
    let params = ca_params(name, change);
    let key = KeyPair::generate().unwrap();
    let certificate = read(params.self_signed(&key).unwrap().der());
    Authority {
        params,
        key,
        certificate,
    }
}

fn root() -> Authority {
    root_with("root", &as_is)
}

fn intermediate_with(parent: &Authority, name: &str, change: &Change<'_>) -> Authority {
    let mut params = ca_params(name, &as_is);
    params.use_authority_key_identifier_extension = true;
    params.not_after = moment(500);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = read(params.signed_by(&key, &parent.issuer()).unwrap().der());
    Authority {
        params,
        key,
        certificate,
    }
}

fn intermediate(parent: &Authority, name: &str) -> Authority {
    intermediate_with(parent, name, &as_is)
}

/// The leaf's serial number.
const LEAF_SERIAL: u64 = 0x1f71;

fn leaf_params(change: &Change<'_>) -> CertificateParams {
    let mut params =
        CertificateParams::new(vec!["web-1.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "web-1");
    params.serial_number = Some(SerialNumber::from(LEAF_SERIAL));
    (params.not_before, params.not_after) = (moment(-1), moment(1));
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    change(&mut params);
    params
}

fn leaf_with(issuer: &Authority, change: &Change<'_>) -> Certificate {
    leaf_of(issuer, &KeyPair::generate().unwrap(), change)
}

fn leaf_of(issuer: &Authority, key: &impl PublicKeyData, change: &Change<'_>) -> Certificate {
    read(
        leaf_params(change)
            .signed_by(key, &issuer.issuer())
            .unwrap()
            .der(),
    )
}

fn leaf(issuer: &Authority) -> Certificate {
    leaf_with(issuer, &as_is)
}

fn read(der: &[u8]) -> Certificate {
    Certificate::from_der(der).unwrap()
}

/// An extension made by hand.
fn custom(oid: &[u64], critical: bool, value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value.to_vec());
    extension.set_criticality(critical);
    extension
}

/// Rules that ask for nothing beyond a path.
fn plain() -> PathRules {
    PathRules {
        strict: false,
        ..PathRules::strict()
    }
}

fn ask(
    leaf: &Certificate,
    intermediates: &[&Authority],
    anchor: &Authority,
    rules: &PathRules,
) -> Result<VerifiedPath, PathError> {
    let intermediates: Vec<Certificate> = intermediates
        .iter()
        .map(|ca| ca.certificate.clone())
        .collect();
    verify(
        leaf,
        &intermediates,
        std::slice::from_ref(&anchor.certificate),
        &[],
        rules,
        now(),
    )
}

/// The refusal, which must have this code.
#[track_caller]
fn refused(code: &str, answer: Result<VerifiedPath, PathError>) -> PathError {
    let error = answer.expect_err("a refusal");
    assert_eq!(error.code(), code, "{error}");
    error
}

#[test]
fn a_leaf_under_a_root_is_accepted_under_every_rule_set() {
    let root = root();
    let leaf = leaf(&root);
    for rules in [PathRules::strict(), PathRules::authentication(), plain()] {
        let path = ask(&leaf, &[], &root, &rules).unwrap();
        assert_eq!(
            path.certificates(),
            [leaf.clone(), root.certificate.clone()]
        );
        assert_eq!((path.leaf(), path.anchor()), (&leaf, &root.certificate));
    }
}

#[test]
fn the_path_is_good_until_its_first_end() {
    let root = root();
    let short = intermediate_with(&root, "short", &|params| {
        params.not_after = moment(0) + time::Duration::hours(1);
    });
    let leaf = leaf(&short);
    let path = ask(&leaf, &[&short], &root, &PathRules::strict()).unwrap();
    assert_eq!(path.good_until(), now() + chrono::Duration::hours(1));
    let ending = root_with("root", &|params| params.not_after = moment(0));
    let path = ask(
        &leaf_with(&ending, &as_is),
        &[],
        &ending,
        &PathRules::strict(),
    )
    .unwrap();
    assert_eq!(
        path.good_until(),
        now(),
        "the anchor ends too, and its last second counts"
    );
}

#[test]
fn both_ends_of_the_validity_are_included() {
    let root = root();
    let leaf = leaf(&root);
    let anchors = [root.certificate.clone()];
    let validity = leaf.validity();
    let second = chrono::Duration::seconds(1);
    let code = |now| {
        verify(&leaf, &[], &anchors, &[], &plain(), now)
            .map_err(|error| error.code())
            .map(|_| ())
    };
    assert_eq!(code(validity.not_before), Ok(()));
    assert_eq!(code(validity.not_after), Ok(()));
    assert_eq!(
        code(validity.not_before - second),
        Err("leaf_not_yet_valid")
    );
    assert_eq!(code(validity.not_after + second), Err("leaf_expired"));
}

#[test]
fn names_are_those_of_the_certificate_and_never_its_common_name() {
    let root = root();
    let leaf = leaf_with(&root, &|params| {
        params
            .subject_alt_names
            .push(SanType::DnsName("*.wild.example".try_into().unwrap()));
        params
            .subject_alt_names
            .push(SanType::Rfc822Name("Joe@Mail.example".try_into().unwrap()));
        params
            .subject_alt_names
            .push(SanType::URI("spiffe://example/web".try_into().unwrap()));
    });
    let code = |names: &[GeneralName]| {
        let rules = PathRules {
            names: names.to_vec(),
            ..PathRules::strict()
        };
        ask(&leaf, &[], &root, &rules)
            .map_err(|error| error.code())
            .map(|_| ())
    };
    let dns = |name: &str| GeneralName::Dns(name.to_owned());
    let email = |name: &str| GeneralName::Email(name.to_owned());
    let ip = |address: [u8; 4]| GeneralName::Ip(IpAddr::V4(Ipv4Addr::from(address)));
    let borne = [
        dns("web-1.example"),
        dns("WEB-1.example"),
        dns("a.wild.example"),
        ip([192, 0, 2, 7]),
        email("Joe@mail.EXAMPLE"),
        GeneralName::Uri("spiffe://example/web".to_owned()),
    ];
    assert_eq!(code(&borne), Ok(()), "all of them at once");
    let foreign = [
        dns("web-1"),
        dns("web-2.example"),
        dns("a.b.wild.example"),
        dns("wild.example"),
        dns("192.0.2.7"),
        ip([192, 0, 2, 8]),
        email("joe@mail.example"),
        GeneralName::Uri("spiffe://example/web-2".to_owned()),
    ];
    for name in foreign {
        assert_eq!(
            code(&[dns("web-1.example"), name.clone()]),
            Err("name_mismatch"),
            "{name}"
        );
    }
}

#[test]
fn a_refusal_names_the_certificate_the_rule_and_both_values() {
    let root = root();
    let expired = leaf_with(&root, &|params| {
        params.not_after = moment(0) - time::Duration::hours(2);
    });
    let error = ask(&expired, &[], &root, &plain()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "certificate CN=web-1 expired at 2026-06-01T10:00:00Z; it is now 2026-06-01T12:00:00Z"
    );
}

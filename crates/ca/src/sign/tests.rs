use super::*;
use crate::testing::{
    BadSigner, TestSigner, dns, drafted, issuing_below, name, now, root_of, serial, subject, urls,
    world,
};
use crate::{Asked, CertificateProfile, Subject, SubjectName};
use bowline_x509::path::{self, PathRules, Purpose};
use proptest::prelude::*;

fn issued(profile: &CertificateProfile, subject: &Subject) -> Certificate {
    drafted(profile, subject)
        .unwrap()
        .sign(&world().issuing, &world().issuing_signer)
        .unwrap()
}

fn rules(purpose: Purpose) -> PathRules {
    PathRules {
        purpose,
        ..PathRules::strict()
    }
}

#[test]
fn root_issuing_and_leaf_make_a_valid_path_for_their_purposes() {
    let world = world();
    for (profile, client, server) in [
        ("workload", true, true),
        ("server", false, true),
        ("client", true, false),
        ("operator", true, false),
    ] {
        let mut subject = subject("web-1");
        if server {
            subject.names = vec![dns("web.example")];
        }
        let leaf = issued(&CertificateProfile::named(profile).unwrap(), &subject);
        for (purpose, expected) in [
            (Purpose::Client, client),
            (Purpose::Server, server),
            (Purpose::Any, true),
        ] {
            let verified = path::verify(
                &leaf,
                std::slice::from_ref(world.issuing.certificate()),
                std::slice::from_ref(world.root.certificate()),
                &[],
                &rules(purpose),
                now(),
            );
            assert_eq!(
                verified.is_ok(),
                expected,
                "{profile} {purpose:?} {:?}",
                verified.err()
            );
        }
    }
}

#[test]
fn every_kind_of_key_signs_and_is_signed() {
    for authority_signer in TestSigner::of_every_kind() {
        let root = root_of(authority_signer);
        for key in TestSigner::of_every_kind() {
            let subject = Subject {
                public_key: key.public_key().clone(),
                ..subject("web-1")
            };
            let draft = CertificateProfile::workload()
                .draft(&subject, &Asked::default(), &root, serial(9), now())
                .unwrap();
            let leaf = draft.sign(&root, authority_signer).unwrap();
            let anchors = std::slice::from_ref(root.certificate());
            let verified = path::verify(&leaf, &[], anchors, &[], &rules(Purpose::Client), now());
            assert!(
                verified.is_ok(),
                "{:?} {:?}",
                authority_signer.public_key().algorithm(),
                verified.err()
            );
        }
    }
}

#[test]
fn an_issuing_authority_of_every_kind_stands_below_a_root_of_every_kind() {
    for root_signer in TestSigner::of_every_kind() {
        let root = root_of(root_signer);
        for signer in TestSigner::of_every_kind() {
            assert_eq!(
                issuing_below(&root, root_signer, signer).path_length(),
                Some(0)
            );
        }
    }
}

#[test]
fn key_identifiers_point_from_each_certificate_to_its_issuer() {
    let world = world();
    let leaf = issued(&CertificateProfile::workload(), &subject("web-1"));
    let (issuing, root) = (world.issuing.certificate(), world.root.certificate());
    assert_eq!(leaf.authority_key_id(), issuing.subject_key_id());
    assert_eq!(issuing.authority_key_id(), root.subject_key_id());
    assert_eq!(root.authority_key_id(), root.subject_key_id());
    for certificate in [&leaf, issuing, root] {
        let key_id = certificate.public_key().unwrap().key_id();
        assert_eq!(certificate.subject_key_id(), Some(&key_id[..]));
    }
}

#[test]
fn the_extensions_are_those_of_the_profile_with_rfc_criticality() {
    let world = world();
    let named = Subject {
        names: vec![dns("web.example")],
        ..subject("web-1")
    };
    let leaf = issued(&CertificateProfile::workload(), &named);
    let shown = |certificate: &Certificate| {
        let shown = certificate
            .extensions()
            .iter()
            .map(|found| format!("{}{}", found.name(), if found.critical { "!" } else { "" }));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        shown(&leaf),
        "authorityKeyIdentifier subjectAltName keyUsage! extKeyUsage cRLDistributionPoints subjectKeyIdentifier \
         basicConstraints! authorityInfoAccess"
    );
    assert_eq!(
        shown(world.root.certificate()),
        "authorityKeyIdentifier keyUsage! subjectKeyIdentifier basicConstraints!"
    );
    assert_eq!(leaf.crl_distribution_points(), [urls().crl]);
    let [(method, place)] = leaf.authority_info_access() else {
        panic!("one access description")
    };
    assert_eq!(*method, ID_AD_CA_ISSUERS);
    assert_eq!(*place, GeneralName::Uri(urls().ca_certificate));
    assert!(!leaf.is_ca() && leaf.basic_constraints().is_some());
    let nameless = Subject {
        name: SubjectName::Distinguished(DistinguishedName::empty()),
        ..named
    };
    assert!(shown(&issued(&CertificateProfile::workload(), &nameless)).contains("subjectAltName!"));
}

#[test]
fn the_authorities_of_the_usual_pair_are_as_intended() {
    let world = world();
    let (root, issuing) = (world.root.certificate(), world.issuing.certificate());
    let constraints = |certificate: &Certificate| {
        certificate
            .basic_constraints()
            .map(|found| (found.ca, found.path_len))
    };
    assert_eq!(constraints(root), Some((true, Some(1))));
    assert_eq!(constraints(issuing), Some((true, Some(0))));
    assert_eq!(
        root.signature_algorithm(),
        Some(SignatureAlgorithm::EcdsaSha384)
    );
    assert_eq!(
        issuing.signature_algorithm(),
        Some(SignatureAlgorithm::EcdsaSha384)
    );
    for certificate in [root, issuing] {
        let usages: Vec<_> = certificate.key_usage().unwrap().names().collect();
        assert_eq!(usages, ["keyCertSign", "cRLSign"]);
        assert_eq!(certificate.extended_key_usage(), None);
    }
    assert_eq!(root.validity(), issuing.validity());
}

#[test]
fn an_authority_carries_the_addresses_of_its_issuer_and_a_root_none() {
    let (root_signer, signer) = (TestSigner::p256(), TestSigner::p256());
    let root = root_of(&root_signer).certificate().clone();
    assert!(root.crl_distribution_points().is_empty() && root.authority_info_access().is_empty());
    let published = crate::AuthorityUrls {
        crl: "http://ca.example/crl/root.crl".to_owned(),
        ..urls()
    };
    let root = Authority::new(root, Vec::new(), Some(published)).unwrap();
    let issuing = issuing_below(&root, &root_signer, &signer);
    assert_eq!(
        issuing.certificate().crl_distribution_points(),
        ["http://ca.example/crl/root.crl"]
    );
}

#[test]
fn p384_roots_are_deterministic() {
    let signer = TestSigner::p384(3);
    let [first, second] = [(); 2].map(|()| root_of(&signer));
    assert_eq!(first.certificate().der(), second.certificate().der());
}

#[test]
fn a_draft_is_signed_by_the_authority_it_was_made_for_and_no_other() {
    let world = world();
    let other_signer = TestSigner::p256();
    let other = issuing_below(&world.root, &world.root_signer, &other_signer);
    let draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
    let error = draft.sign(&other, &other_signer).unwrap_err();
    assert_eq!(error.code(), "drafted_for_other_authority");
    assert!(
        error.to_string().contains(&hex(world.issuing.key_id()))
            && error.to_string().contains(&hex(other.key_id()))
    );
}

#[test]
fn a_signer_with_another_key_is_refused_before_it_signs() {
    let draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
    let error = draft
        .sign(&world().issuing, &TestSigner::p256())
        .unwrap_err();
    assert_eq!(error.code(), "signer_is_not_the_authority");
    let key = TestSigner::p256();
    let root = CertificateProfile::root();
    let draft = root
        .draft_root(
            &name("CN=Test"),
            key.public_key(),
            &Asked::default(),
            serial(1),
            now(),
        )
        .unwrap();
    assert_eq!(
        draft.sign(&TestSigner::p256()).unwrap_err().code(),
        "signer_is_not_the_authority"
    );
}

#[test]
fn a_signers_refusal_arrives_in_its_own_words() {
    let signer = BadSigner {
        honest: &world().issuing_signer,
        refusal: Some("key is locked"),
    };
    // The second name is one that rcgen cannot hold.
    for text in ["CN=web-1", "CN=web-1,CN=web-2"] {
        let subject = Subject {
            name: SubjectName::Distinguished(name(text)),
            ..subject("web-1")
        };
        let draft = drafted(&CertificateProfile::workload(), &subject).unwrap();
        let error = draft.sign(&world().issuing, &signer).unwrap_err();
        assert_eq!(error.to_string(), "cannot sign: key is locked");
        assert_eq!(error.code(), "signer_refused");
    }
}

#[test]
fn a_signature_over_something_else_is_never_let_out() {
    for honest in TestSigner::of_every_kind() {
        let root = root_of(honest);
        let signer = BadSigner {
            honest,
            refusal: None,
        };
        let draft = CertificateProfile::workload().draft(
            &subject("a"),
            &Asked::default(),
            &root,
            serial(9),
            now(),
        );
        assert_eq!(
            draft.unwrap().sign(&root, &signer).unwrap_err().code(),
            "own_signature_wrong"
        );
    }
}

#[test]
fn the_second_implementation_judges_p384_by_itself() {
    let signer = TestSigner::p384(3);
    let root = root_of(&signer);
    let certificate = root.certificate();
    let key = signer.public_key();
    assert!(second_opinion(key, certificate.tbs_der(), certificate.signature()).is_ok());
    let mut changed = certificate.tbs_der().to_vec();
    changed[40] ^= 1;
    assert!(second_opinion(key, &changed, certificate.signature()).is_err());
    let other = TestSigner::p384(4);
    assert!(
        second_opinion(
            other.public_key(),
            certificate.tbs_der(),
            certificate.signature()
        )
        .is_err()
    );
    assert!(second_opinion(key, certificate.tbs_der(), &[0x30, 0]).is_err());
}

#[test]
fn whatever_differs_from_the_draft_is_caught_by_name() {
    let drafts = || {
        drafted(
            &CertificateProfile::workload(),
            &Subject {
                names: vec![dns("a.b")],
                ..subject("web-1")
            },
        )
    };
    let certificate = drafts()
        .unwrap()
        .sign(&world().issuing, &world().issuing_signer)
        .unwrap();
    let field = |change: fn(&mut Draft)| {
        let mut draft = drafts().unwrap();
        change(&mut draft);
        match draft.compare(&certificate) {
            Err(IssueError::DiffersFromDraft { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert!(drafts().unwrap().compare(&certificate).is_ok());
    assert_eq!(field(|draft| draft.issuer = name("CN=Other")), "issuer");
    assert_eq!(field(|draft| draft.subject = name("CN=Other")), "subject");
    assert_eq!(field(|draft| draft.serial = serial(8)), "serial number");
    assert_eq!(
        field(|draft| draft.validity.not_before -= chrono::TimeDelta::seconds(1)),
        "notBefore"
    );
    assert_eq!(
        field(|draft| draft.validity.not_after += chrono::TimeDelta::seconds(1)),
        "notAfter"
    );
    assert_eq!(
        field(|draft| draft.public_key = TestSigner::p256().public_key().clone()),
        "public key"
    );
    assert_eq!(
        field(|draft| draft.names.clear()),
        "subject alternative names"
    );
    assert_eq!(
        field(|draft| draft.kind = CertificateKind::Authority { path_length: None }),
        "basic constraints"
    );
    assert_eq!(field(|draft| draft.key_usages.clear()), "key usage");
    assert_eq!(
        field(|draft| draft.key_purposes.truncate(1)),
        "extended key usage"
    );
    assert_eq!(
        field(|draft| draft.authority_key_id[0] ^= 1),
        "authority key identifier"
    );
    assert_eq!(field(|draft| draft.urls = None), "CRL distribution points");
    assert_eq!(
        field(|draft| draft.urls = Some(crate::AuthorityUrls {
            ca_certificate: "http://a".to_owned(),
            ..urls()
        })),
        "authority information access"
    );
}

#[test]
fn an_extension_that_differs_from_the_draft_is_caught() {
    let draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
    let der = through_rcgen::certificate(&draft, &world().issuing_signer)
        .unwrap()
        .unwrap();
    draft
        .compare(&Certificate::from_der(&der).unwrap())
        .unwrap();
    let changed = |from: [u8; 8], last: u8| {
        let mut der = der.clone();
        let at = der.windows(8).position(|window| window == from).unwrap();
        der[at + 7] = last;
        match draft.compare(&Certificate::from_der(&der).unwrap()) {
            Err(IssueError::DiffersFromDraft { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    // authorityInfoAccess becomes subjectInfoAccess; keyUsage is no longer critical.
    assert_eq!(
        changed([0x2b, 6, 1, 5, 5, 7, 1, 1], 11),
        "authority information access"
    );
    assert_eq!(
        changed([6, 3, 0x55, 0x1d, 0x0f, 1, 1, 0xff], 0),
        "extensions"
    );
}

#[test]
fn a_thousand_serials_come_out_as_they_went_in() {
    let signer = TestSigner::ed25519();
    let root = root_of(&signer);
    let mut drawn = [0u8; 16];
    for round in 0..1_000u32 {
        // A walk over patterns: every first octet, high bits set and clear, zeros in front.
        drawn[0] = (round % 256) as u8;
        drawn[1] = if round % 3 == 0 { 0 } else { round as u8 };
        drawn[12..].copy_from_slice(&round.wrapping_mul(2_654_435_761).to_be_bytes());
        let serial = SerialNumber::from_random(drawn);
        let draft = CertificateProfile::client()
            .draft(
                &subject("a"),
                &Asked::default(),
                &root,
                serial.clone(),
                now(),
            )
            .unwrap();
        let certificate = draft.sign(&root, &signer).unwrap();
        let encoded = serial.to_der();
        assert!(encoded.len() <= 22 && encoded[2] & 0x80 == 0);
        // SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, INTEGER serial …
        assert!(
            certificate
                .tbs_der()
                .windows(encoded.len())
                .take(16)
                .any(|window| window == encoded)
        );
        assert_eq!(certificate.serial(), &serial);
    }
}

#[test]
fn twenty_octets_are_a_serial() {
    let mut longest = [0xff; 20];
    longest[0] = 0x7f;
    let serial = SerialNumber::from_bytes(&longest).unwrap();
    let world = world();
    let profile = CertificateProfile::workload();
    let draft = profile
        .draft(
            &subject("a"),
            &Asked::default(),
            &world.issuing,
            serial.clone(),
            now(),
        )
        .unwrap();
    assert_eq!(
        draft
            .sign(&world.issuing, &world.issuing_signer)
            .unwrap()
            .serial(),
        &serial
    );
}

fn alternative_names() -> impl Strategy<Value = Vec<GeneralName>> {
    let one = prop_oneof![
        "[a-z][a-z0-9-]{0,20}[a-z0-9](\\.[a-z][a-z0-9]{0,9}){0,3}".prop_map(GeneralName::Dns),
        any::<[u8; 4]>().prop_map(|octets| GeneralName::Ip(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| GeneralName::Ip(octets.into())),
        "[a-z]{1,8}://[a-z]{1,20}/[!#$%&'()*+,./:;=?@_~a-zA-Z0-9-]{0,40}"
            .prop_map(GeneralName::Uri),
        "[a-z0-9]{1,20}@[a-z]{1,10}\\.example".prop_map(GeneralName::Email),
    ];
    proptest::collection::vec(one, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_certificate_says_what_its_draft_said(
        common_name in "[^\\p{C}\\p{Z}]{1,64}",
        names in alternative_names(),
        roles in proptest::collection::vec("[a-zA-Z0-9+=.@_-]{1,15}", 0..4),
        drawn in any::<[u8; 16]>(),
        ahead in 0i64..80 * 86_400,
        length in 1i64..86_400,
    ) {
        let world = world();
        let subject = Subject { names, roles, ..subject(&common_name) };
        let not_before = now() + chrono::TimeDelta::seconds(ahead);
        let asked = Asked {
            not_before: Some(not_before),
            not_after: Some(not_before + chrono::TimeDelta::seconds(length)), ..Asked::default() };
        let serial = SerialNumber::from_random(drawn);
        let draft = CertificateProfile::workload().draft(&subject, &asked, &world.issuing, serial.clone(), now()).unwrap();
        let (subject_name, names) = (draft.subject().clone(), draft.names().to_vec());
        let certificate = draft.sign(&world.issuing, &world.issuing_signer).unwrap();
        prop_assert_eq!(certificate.subject(), &subject_name);
        prop_assert_eq!(certificate.subject().common_name(), Some(common_name.as_str()));
        prop_assert_eq!(certificate.issuer(), world.issuing.subject());
        prop_assert_eq!(certificate.subject_alt_names(), &names[..]);
        prop_assert_eq!(certificate.serial(), &serial);
        prop_assert_eq!(certificate.validity().not_before, asked.not_before.unwrap());
        prop_assert_eq!(certificate.validity().not_after, asked.not_after.unwrap());
        prop_assert_eq!(certificate.public_key().unwrap(), &subject.public_key);
        prop_assert!(certificate.malformed_extensions().is_empty());
        let mut roles = subject.roles.clone();
        let mut seen = Vec::new();
        roles.retain(|role| { let new = !seen.contains(role); seen.push(role.clone()); new });
        prop_assert_eq!(crate::roles_of(certificate.subject()), roles);
    }
}

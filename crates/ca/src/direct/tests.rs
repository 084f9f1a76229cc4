use super::*;
use crate::testing::{TestSigner, dns, drafted, name, now, root_of, serial, subject, world};
use crate::{Asked, CertificateProfile, Subject, SubjectName, through_rcgen};
use bowline_x509::Certificate;

/// What rcgen makes of a draft, without the signature.
fn by_rcgen(draft: &Draft, signer: &dyn Signer) -> Option<Vec<u8>> {
    let der = through_rcgen::certificate(draft, signer).unwrap()?;
    Some(Certificate::from_der(&der).unwrap().tbs_der().to_vec())
}

fn by_us(draft: &Draft, signer: &dyn Signer) -> Vec<u8> {
    Certificate::from_der(&certificate(draft, signer).unwrap())
        .unwrap()
        .tbs_der()
        .to_vec()
}

#[test]
fn both_builders_write_the_same_bytes() {
    let world = world();
    let all_names = vec![
        dns("web.example"),
        GeneralName::Ip([10, 0, 0, 1].into()),
        GeneralName::Ip([0x20; 16].into()),
        GeneralName::Uri("spiffe://example/web".to_owned()),
        GeneralName::Email("ann@web.example".to_owned()),
    ];
    let named = Subject {
        names: all_names,
        roles: vec!["s3-reader".to_owned()],
        ..subject("wéb-1")
    };
    let nameless = Subject {
        name: SubjectName::Distinguished(DistinguishedName::empty()),
        roles: Vec::new(),
        ..named.clone()
    };
    let foreign = Subject {
        name: SubjectName::Distinguished(name(
            "CN=web,emailAddress=a@b.example,serialNumber=7,O=Example,C=DE",
        )),
        ..subject("web-1")
    };
    for key in TestSigner::of_every_kind() {
        for subject in [&named, &nameless, &foreign, &subject("web-1")] {
            let subject = Subject {
                public_key: key.public_key().clone(),
                ..subject.clone()
            };
            let draft = drafted(&CertificateProfile::workload(), &subject).unwrap();
            assert_eq!(
                by_rcgen(&draft, &world.issuing_signer),
                Some(by_us(&draft, &world.issuing_signer))
            );
        }
    }
}

#[test]
fn both_builders_write_the_same_bytes_for_authorities() {
    for signer in TestSigner::of_every_kind() {
        let root = root_of(signer);
        let issuing = CertificateProfile::issuing();
        let (subject, key) = (name("CN=Test Issuing CA"), signer.public_key());
        let draft = issuing
            .draft_authority(&subject, key, &Asked::default(), &root, serial(2), now())
            .unwrap();
        assert_eq!(by_rcgen(&draft, signer), Some(by_us(&draft, signer)));
    }
}

#[test]
fn names_that_rcgen_cannot_hold_are_issued_all_the_same() {
    let world = world();
    for text in [
        "CN=web-1,CN=web-2",
        "CN=web-1+UID=7",
        "CN=web-1,DC=web,DC=example",
        "CN=web-1,O=Example,O=Other",
        "CN=a+CN=b,CN=c",
    ] {
        let subject = Subject {
            name: SubjectName::Distinguished(name(text)),
            ..subject("web-1")
        };
        let draft = drafted(&CertificateProfile::workload(), &subject).unwrap();
        assert_eq!(by_rcgen(&draft, &world.issuing_signer), None, "{text}");
        let certificate = draft.sign(&world.issuing, &world.issuing_signer).unwrap();
        assert_eq!(certificate.subject(), &name(text));
    }
}

#[test]
fn an_authority_whose_own_name_rcgen_cannot_hold_issues_all_the_same() {
    for text in [
        "CN=Test CA,DC=web,DC=example",
        "CN=Test CA+UID=7",
        "CN=Test CA,O=Example,O=Other",
    ] {
        let signer = TestSigner::p256();
        let (profile, key) = (CertificateProfile::root(), signer.public_key());
        let draft = profile
            .draft_root(&name(text), key, &Asked::default(), serial(1), now())
            .unwrap();
        let root = crate::Authority::new(draft.sign(&signer).unwrap(), Vec::new(), None).unwrap();
        let draft = CertificateProfile::workload()
            .draft(
                &subject("web-1"),
                &Asked::default(),
                &root,
                serial(9),
                now(),
            )
            .unwrap();
        assert_eq!(by_rcgen(&draft, &signer), None);
        let leaf = draft.sign(&root, &signer).unwrap();
        assert_eq!(
            leaf.issuer().as_der(),
            root.certificate().subject().as_der()
        );
    }
}

#[test]
fn alternative_names_that_rcgen_cannot_hold_are_written_as_they_are() {
    let world = world();
    let mut draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
    // No built-in profile allows these; a certificate of another authority may have them.
    draft.names = vec![
        GeneralName::DirectoryName(name("CN=web,OU=unit")),
        GeneralName::Other(vec![0x88, 0x01, 0x2a]),
        dns("web.example"),
    ];
    let names = draft.names.clone();
    assert_eq!(by_rcgen(&draft, &world.issuing_signer), None);
    let certificate = draft.sign(&world.issuing, &world.issuing_signer).unwrap();
    assert_eq!(certificate.subject_alt_names(), names);
}

#[test]
fn string_types_are_kept() {
    // CN=web-1 as PrintableString and as TeletexString.
    for tag in [0x13, 0x14] {
        let der = [
            &[
                0x30, 0x10, 0x31, 0x0e, 0x30, 0x0c, 0x06, 3, 0x55, 4, 3, tag, 5,
            ][..],
            b"web-1",
        ]
        .concat();
        let mut draft = drafted(&CertificateProfile::workload(), &subject("web-1")).unwrap();
        draft.subject = DistinguishedName::from_der(&der).unwrap();
        let certificate = draft
            .sign(&world().issuing, &world().issuing_signer)
            .unwrap();
        assert_eq!(certificate.subject().as_der(), der);
    }
}

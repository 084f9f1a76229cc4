use super::*;
use crate::testing::{TestSigner, dns, drafted, name};
use bowline_x509::{BasicConstraints, Extension, KeyUsage as RequestedUsage};
use der::Encode;

fn request_of(
    signer: &TestSigner,
    subject: &str,
    extensions: &[Extension],
) -> CertificationRequest {
    let subject = if subject.is_empty() {
        DistinguishedName::empty()
    } else {
        name(subject)
    };
    let der = CertificationRequest::create_with_extensions(&subject, extensions, signer).unwrap();
    CertificationRequest::from_der(&der).unwrap()
}

fn request(subject: &str, extensions: &[Extension]) -> CertificationRequest {
    request_of(&TestSigner::of_every_kind()[0], subject, extensions)
}

fn answer(
    profile: &CertificateProfile,
    request: &CertificationRequest,
) -> Result<Subject, ProfileError> {
    profile.subject_of_request(request, "web-1", Vec::new(), Vec::new())
}

fn refusal(request: &CertificationRequest) -> (&'static str, String) {
    let error = answer(&CertificateProfile::workload(), request).unwrap_err();
    (error.code(), error.to_string())
}

fn extension(oid: ObjectIdentifier, value: Vec<u8>) -> Extension {
    Extension::new(oid, false, value)
}

fn names(names: &[GeneralName]) -> Extension {
    extension(ID_CE_SUBJECT_ALT_NAME, GeneralName::list_to_der(names))
}

fn usages(usage: RequestedUsage) -> Extension {
    extension(ID_CE_KEY_USAGE, usage.to_der())
}

fn purposes(purposes: &[ObjectIdentifier]) -> Extension {
    extension(ID_CE_EXT_KEY_USAGE, purposes.to_vec().to_der().unwrap())
}

fn constraints(ca: bool, path_len: Option<u32>) -> Extension {
    extension(
        ID_CE_BASIC_CONSTRAINTS,
        BasicConstraints { ca, path_len }.to_der(),
    )
}

#[test]
fn the_key_and_the_names_are_taken() {
    let request = request("CN=web-1", &[names(&[dns("b.example"), dns("a.example")])]);
    let profile = CertificateProfile::workload();
    let roles = vec!["s3-reader".to_owned()];
    let subject = profile
        .subject_of_request(&request, "web-1", vec![dns("a.example")], roles)
        .unwrap();
    assert_eq!(&subject.public_key, request.public_key());
    let draft = drafted(&profile, &subject).unwrap();
    assert_eq!(draft.names(), [dns("a.example"), dns("b.example")]);
    assert_eq!(draft.subject(), &name("CN=web-1,OU=s3-reader"));
}

#[test]
fn an_empty_subject_is_fine_and_the_name_is_the_callers() {
    let subject = answer(&CertificateProfile::workload(), &request("", &[])).unwrap();
    assert_eq!(subject.name, SubjectName::CommonName("web-1".to_owned()));
}

#[test]
fn another_common_name_is_refused_with_both() {
    for (subject, requested) in [
        ("CN=web-2", "web-2"),
        ("CN=WEB-1", "WEB-1"),
        ("CN=web-1 x", "web-1 x"),
        ("CN=web-1,CN=root", "root"),
    ] {
        let (code, message) = refusal(&request(subject, &[]));
        assert_eq!(code, "request_common_name_differs");
        assert_eq!(
            message,
            format!(
                "the request's common name is {requested:?}, and the certificate is for \"web-1\""
            )
        );
    }
}

#[test]
fn no_request_can_ask_for_a_role() {
    for subject in [
        "CN=web-1,OU=administrator",
        "OU=administrator,CN=web-1",
        "OU=administrator",
        "CN=web-1+OU=administrator",
    ] {
        let (code, message) = refusal(&request(subject, &[]));
        assert_eq!(code, "request_asks_for_role");
        assert_eq!(
            message,
            "the request asks for the organizational unit \"administrator\", and no request can ask for a role"
        );
    }
}

#[test]
fn other_attributes_are_refused_by_name() {
    let (code, message) = refusal(&request("CN=web-1,O=Example", &[]));
    assert_eq!(code, "request_subject_attribute_not_allowed");
    assert_eq!(
        message,
        "the request asks for O=Example in the subject, and certificate profile workload gives only a common name"
    );
}

#[test]
fn no_request_makes_an_authority() {
    for path_len in [None, Some(0), Some(1)] {
        let (code, message) = refusal(&request("CN=web-1", &[constraints(true, path_len)]));
        assert_eq!(code, "request_asks_for_authority");
        assert_eq!(
            message,
            "the request asks for CA:TRUE, and certificate profile workload gives CA:FALSE"
        );
    }
    assert!(
        answer(
            &CertificateProfile::workload(),
            &request("CN=web-1", &[constraints(false, None)])
        )
        .is_ok()
    );
}

#[test]
fn key_usages_beyond_the_profile_are_refused_by_name() {
    let signature = RequestedUsage::DIGITAL_SIGNATURE;
    assert!(
        answer(
            &CertificateProfile::workload(),
            &request("CN=web-1", &[usages(signature)])
        )
        .is_ok()
    );
    for (usage, named) in [
        (RequestedUsage::KEY_CERT_SIGN, "keyCertSign"),
        (RequestedUsage::CRL_SIGN, "cRLSign"),
        (RequestedUsage::NON_REPUDIATION, "nonRepudiation"),
        (RequestedUsage::KEY_ENCIPHERMENT, "keyEncipherment"),
        (RequestedUsage::DECIPHER_ONLY, "decipherOnly"),
    ] {
        let (code, message) = refusal(&request("CN=web-1", &[usages(signature.union(usage))]));
        assert_eq!(code, "request_key_usage_not_allowed");
        assert_eq!(
            message,
            format!(
                "the request asks for key usage {named}, and certificate profile workload gives digitalSignature"
            )
        );
    }
}

#[test]
fn an_rsa_key_may_ask_for_key_encipherment() {
    let rsa = &TestSigner::of_every_kind()[3];
    let usage = RequestedUsage::DIGITAL_SIGNATURE.union(RequestedUsage::KEY_ENCIPHERMENT);
    assert!(
        answer(
            &CertificateProfile::workload(),
            &request_of(rsa, "CN=web-1", &[usages(usage)])
        )
        .is_ok()
    );
}

#[test]
fn key_purposes_beyond_the_profile_are_refused_by_name() {
    let (server, client) = (KeyPurpose::ServerAuth.oid(), KeyPurpose::ClientAuth.oid());
    let signing = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
    let any = ObjectIdentifier::new_unwrap("2.5.29.37.0");
    assert!(
        answer(
            &CertificateProfile::workload(),
            &request("CN=web-1", &[purposes(&[client, server])])
        )
        .is_ok()
    );
    let to_client = |wanted: &[ObjectIdentifier]| {
        let error = answer(
            &CertificateProfile::client(),
            &request("CN=web-1", &[purposes(wanted)]),
        )
        .unwrap_err();
        assert_eq!(error.code(), "request_extended_key_usage_not_allowed");
        error.to_string()
    };
    let gives = "and certificate profile client gives clientAuth";
    assert_eq!(
        to_client(&[server]),
        format!("the request asks for extended key usage serverAuth, {gives}")
    );
    assert_eq!(
        to_client(&[client, signing]),
        format!("the request asks for extended key usage 1.3.6.1.5.5.7.3.3, {gives}")
    );
    assert!(to_client(&[any]).contains("2.5.29.37.0"));
}

#[test]
fn extensions_that_no_profile_gives_are_refused_critical_or_not() {
    for critical in [false, true] {
        for (oid, named) in [
            ("1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.1"),
            ("2.5.29.30", "nameConstraints"),
        ] {
            let oid = ObjectIdentifier::new_unwrap(oid);
            let (code, message) = refusal(&request(
                "CN=web-1",
                &[Extension::new(oid, critical, vec![5, 0])],
            ));
            assert_eq!(code, "request_extension_not_allowed");
            assert!(
                message.starts_with(&format!("the request asks for the extension {named}, ")),
                "{message}"
            );
        }
    }
}

#[test]
fn a_requested_key_identifier_is_computed_and_not_copied() {
    let request = request(
        "CN=web-1",
        &[extension(
            ID_CE_SUBJECT_KEY_IDENTIFIER,
            vec![4, 2, 0xab, 0xcd],
        )],
    );
    let profile = CertificateProfile::workload();
    let draft = drafted(&profile, &answer(&profile, &request).unwrap()).unwrap();
    let world = crate::testing::world();
    let certificate = draft.sign(&world.issuing, &world.issuing_signer).unwrap();
    assert_eq!(
        certificate.subject_key_id(),
        Some(&request.public_key().key_id()[..])
    );
}

#[test]
fn the_one_forbidden_requested_name_is_found_wherever_it_stands() {
    let profile = CertificateProfile::workload();
    for count in [1, 2, 10, 40] {
        for forbidden in 0..count {
            let mut list: Vec<_> = (0..count)
                .map(|index| dns(&format!("web-{index}.example")))
                .collect();
            list[forbidden] = GeneralName::DirectoryName(name("CN=administrator"));
            let subject = answer(&profile, &request("CN=web-1", &[names(&list)])).unwrap();
            let error = drafted(&profile, &subject).unwrap_err();
            assert_eq!(error.code(), "name_kind_not_allowed");
            assert!(
                error.to_string().contains("dirName:CN=administrator"),
                "{error}"
            );
        }
    }
}

use super::*;
use crate::testing::{TestSigner, issuing_below, name, now, root_of, serial, subject, urls, world};
use crate::{Asked, CertificateProfile};
use bowline_x509::Signer as _;

/// The code of the refusal.
fn code(certificate: &Certificate, chain: &[Certificate]) -> &'static str {
    Authority::new(certificate.clone(), chain.to_vec(), None)
        .map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_root_and_an_issuing_authority_are_authorities() {
    let world = world();
    assert_eq!(world.root.chain().len(), 0);
    assert_eq!(world.root.root().der(), world.root.certificate().der());
    assert_eq!(world.issuing.root().der(), world.root.certificate().der());
    assert_eq!(
        (world.root.path_length(), world.issuing.path_length()),
        (Some(1), Some(0))
    );
    assert_eq!(
        world.issuing.key_id(),
        world.issuing_signer.public_key().key_id()
    );
}

#[test]
fn an_end_entity_is_no_authority() {
    let signer = TestSigner::p256();
    let root = root_of(&signer);
    let draft = CertificateProfile::workload().draft(
        &subject("web-1"),
        &Asked::default(),
        &root,
        serial(9),
        now(),
    );
    let leaf = draft.unwrap().sign(&root, &signer).unwrap();
    let error = Authority::new(leaf, vec![root.certificate().clone()], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate of CN=web-1 has no CA:TRUE in its basic constraints and cannot issue"
    );
    assert_eq!(error.code(), "authority_is_not_ca");
}

#[test]
fn a_chain_leads_to_a_root() {
    let (root_signer, issuing_signer) = (TestSigner::p256(), TestSigner::p256());
    let root = root_of(&root_signer);
    let issuing = issuing_below(&root, &root_signer, &issuing_signer);
    let (root, issuing) = (root.certificate(), issuing.certificate());
    assert_eq!(code(issuing, std::slice::from_ref(root)), "ok");
    assert_eq!(code(issuing, &[]), "authority_chain_without_root");
    assert_eq!(
        code(issuing, std::slice::from_ref(issuing)),
        "authority_chain_broken"
    );
    assert_eq!(
        code(root, std::slice::from_ref(issuing)),
        "authority_chain_broken"
    );
    assert_eq!(
        code(issuing, &[issuing.clone(), root.clone()]),
        "authority_chain_broken"
    );
}

#[test]
fn a_root_of_the_same_name_and_another_key_does_not_fit() {
    let (root_signer, issuing_signer) = (TestSigner::p256(), TestSigner::p256());
    let issuing = issuing_below(&root_of(&root_signer), &root_signer, &issuing_signer);
    let imposter = root_of(&TestSigner::p256());
    assert_eq!(
        code(
            issuing.certificate(),
            std::slice::from_ref(imposter.certificate())
        ),
        "authority_chain_signature_wrong"
    );
}

#[test]
fn more_authorities_than_the_path_length_allows_do_not_fit() {
    let signer = TestSigner::p256();
    let root = root_of(&signer);
    let issuing = issuing_below(&root, &signer, &signer);
    // A root of path length 1 stands twice in the chain, so that two authorities are below its upper place.
    let error = Authority::new(
        issuing.certificate().clone(),
        vec![root.certificate().clone(), root.certificate().clone()],
        None,
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "CN=Test Root CA allows path length 1, and 2 authorities stand below it"
    );
}

#[test]
fn authorities_below_the_issuing_one_are_refused_with_both_path_lengths() {
    let world = world();
    let profile = CertificateProfile::issuing();
    let key = world.issuing_signer.public_key();
    let draft = profile.draft_authority(
        &name("CN=Deeper CA"),
        key,
        &Asked::default(),
        &world.issuing,
        serial(3),
        now(),
    );
    let error = draft.unwrap_err();
    assert_eq!(
        error.to_string(),
        "an authority with path length 0 cannot be issued under path length 0: it must be less"
    );
    let draft = CertificateProfile::root().draft_authority(
        &name("CN=As Deep CA"),
        key,
        &Asked::default(),
        &world.root,
        serial(3),
        now(),
    );
    assert_eq!(draft.unwrap_err().code(), "path_length_exceeded");
}

#[test]
fn addresses_are_plain_http_urls() {
    let world = world();
    let code = |url: &str| {
        let mut codes = Vec::new();
        for wrong in [
            AuthorityUrls {
                crl: url.to_owned(),
                ..urls()
            },
            AuthorityUrls {
                ca_certificate: url.to_owned(),
                ..urls()
            },
        ] {
            let authority =
                Authority::new(world.root.certificate().clone(), Vec::new(), Some(wrong));
            codes.push(authority.map_or_else(|error| error.code(), |_| "ok"));
        }
        assert_eq!(codes[0], codes[1], "{url}");
        codes[0]
    };
    for good in [
        "http://ca.example/crl",
        "https://[::1]:8443/crl?x=1",
        "http://a",
    ] {
        assert_eq!(code(good), "ok", "{good}");
    }
    let long = format!("http://{}", "a".repeat(1024));
    for bad in [
        "",
        "ca.example/crl",
        "ftp://ca.example",
        "http://",
        "http:///crl",
        "http://a b",
        "http://ä",
        &long,
    ] {
        assert_eq!(code(bad), "authority_url_not_accepted", "{bad}");
    }
}

/// A root whose draft was changed before it was signed.
fn root_with(change: fn(&mut crate::Draft)) -> Certificate {
    let signer = TestSigner::p256();
    let profile = CertificateProfile::root();
    let (subject, asked) = (name("CN=Test"), Asked::default());
    let mut draft = profile
        .draft_root(&subject, signer.public_key(), &asked, serial(1), now())
        .unwrap();
    change(&mut draft.0);
    draft.sign(&signer).unwrap()
}

/// The same certificate with some octets replaced by as many others. Its signature no longer fits.
fn tampered(certificate: &Certificate, from: &[u8], to: &[u8]) -> Certificate {
    let mut der = certificate.der().to_vec();
    let at = der
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    der[at..at + from.len()].copy_from_slice(to);
    Certificate::from_der(&der).unwrap()
}

#[test]
fn a_certificate_without_the_marks_of_an_authority_is_refused() {
    let end_entity = root_with(|draft| draft.kind = crate::CertificateKind::EndEntity);
    assert_eq!(code(&end_entity, &[]), "authority_is_not_ca");
    let no_usage = root_with(|draft| draft.key_usages = vec![crate::KeyUsage::CrlSign]);
    assert_eq!(code(&no_usage, &[]), "authority_may_not_sign_certificates");
    let nameless = root_with(|draft| {
        draft.subject = DistinguishedName::empty();
        draft.issuer = DistinguishedName::empty();
    });
    assert_eq!(code(&nameless, &[]), "authority_subject_empty");
}

#[test]
fn a_certificate_without_a_key_identifier_or_with_a_strange_key_is_refused() {
    let root = root_with(|_| {});
    assert_eq!(code(&root, &[]), "ok");
    // subjectKeyIdentifier becomes an extension that nobody knows.
    let unknown = tampered(&root, &[6, 3, 0x55, 0x1d, 0x0e], &[6, 3, 0x55, 0x1d, 0x7f]);
    assert_eq!(code(&unknown, &[]), "authority_key_id_missing");
    // prime256v1 becomes a curve that nobody accepts.
    let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let strange = tampered(&root, &curve, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 6]);
    assert_eq!(code(&strange, &[]), "authority_key_not_accepted");
    // A root whose signature is not its own.
    let name = tampered(&root, b"Test", b"Tess");
    assert_eq!(code(&name, &[]), "authority_chain_without_root");
    let serial = tampered(&root, &[2, 1, 1, 0x30], &[2, 1, 2, 0x30]);
    assert_eq!(code(&serial, &[]), "authority_chain_signature_wrong");
}

//! SAML assertions: what is read of a good one, and what becomes of those that were changed, wrapped or replayed elsewhere.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::nodeset::NodeSet;

use super::{account, now};
use crate::federation::{
    AcceptedEndpoints, AssertionRefusal, IdentityProvider, ProviderError, SAML_AUDIENCE,
    SAML_RECIPIENT, SamlIdentity, SamlMetadata, SamlProvider, verify_saml_assertion,
};

/// A signing key with its certificate.
pub(super) struct Signer {
    pub(super) certificate: Vec<u8>,
    key: Key,
}

enum Key {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    pub(super) fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Signer {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["idp.example".into()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        let pkcs8 = pair.serialize_der();
        let key = if algorithm == &rcgen::PKCS_RSA_SHA256 {
            Key::Rsa(RsaKeyPair::from_pkcs8(&pkcs8).unwrap())
        } else {
            Key::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap())
        };
        Signer {
            certificate: certificate.der().to_vec(),
            key,
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.key {
            Key::P256(key) => key.sign(&rng, message).unwrap().as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    fn method(&self) -> &'static str {
        match self.key {
            Key::P256(_) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Key::Rsa(_) => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        }
    }
}

pub(super) fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256))
}

pub(super) fn provider_of(signer: &Signer) -> SamlProvider {
    SamlProvider {
        name: "corp".into(),
        account: account(),
        metadata: SamlMetadata::parse(&metadata(signer)).unwrap(),
        revision: 1,
        created_at: now(),
        updated_at: now(),
    }
}

fn metadata(signer: &Signer) -> String {
    let certificate = STANDARD.encode(&signer.certificate);
    format!(
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" xmlns:ds=\"{DS}\" entityID=\"https://idp.example\" validUntil=\"2027-01-01T00:00:00Z\">\
         <md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"><md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
         <md:KeyDescriptor use=\"encryption\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

pub(super) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/analyst";
const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/corp";

/// An assertion, not signed yet, with the id `a1`.
pub(super) fn assertion() -> String {
    format!(
        "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"a1\" Version=\"2.0\" IssueInstant=\"2026-06-01T11:59:00Z\">\
         <saml:Issuer>https://idp.example</saml:Issuer>\
         <saml:Subject><saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">anna</saml:NameID>\
         <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData Recipient=\"{SAML_RECIPIENT}\" NotOnOrAfter=\"2026-06-01T12:05:00Z\"/></saml:SubjectConfirmation></saml:Subject>\
         <saml:Conditions NotBefore=\"2026-06-01T11:59:00Z\" NotOnOrAfter=\"2026-06-01T12:04:00Z\"><saml:AudienceRestriction><saml:Audience>{SAML_AUDIENCE}</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
         <saml:AuthnStatement AuthnInstant=\"2026-06-01T11:59:00Z\" SessionNotOnOrAfter=\"2026-06-01T20:00:00Z\"/>\
         <saml:AttributeStatement>{}{}{}{}{}{}{}</saml:AttributeStatement></saml:Assertion>",
        attribute(
            "https://aws.amazon.com/SAML/Attributes/Role",
            &[
                &format!("{ROLE},{PROVIDER}"),
                &format!("{PROVIDER}, arn:aws:iam::123456789012:role/other")
            ]
        ),
        attribute(
            "https://aws.amazon.com/SAML/Attributes/RoleSessionName",
            &["anna@acme"]
        ),
        attribute(
            "https://aws.amazon.com/SAML/Attributes/SessionDuration",
            &["7200"]
        ),
        attribute(
            "https://aws.amazon.com/SAML/Attributes/PrincipalTag:Team",
            &["red"]
        ),
        attribute(
            "https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys",
            &["Team"]
        ),
        attribute(
            "https://aws.amazon.com/SAML/Attributes/SourceIdentity",
            &["anna"]
        ),
        attribute("urn:oid:1.3.6.1.4.1.5923.1.1.1.1", &["staff", "member"]),
    )
}

fn attribute(name: &str, values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("<saml:AttributeValue>{value}</saml:AttributeValue>"))
        .collect();
    format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>")
}

/// A response around something.
pub(super) fn response(content: &str) -> String {
    format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"r1\" Version=\"2.0\" IssueInstant=\"2026-06-01T11:59:00Z\" Destination=\"{SAML_RECIPIENT}\">\
         <saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">https://idp.example</saml:Issuer>\
         <samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>{content}</samlp:Response>"
    )
}

/// How a signature says what it signs.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) canonicalization: String,
    pub(super) method: String,
    pub(super) transforms: String,
    pub(super) digest: String,
    pub(super) uri: String,
    /// Stands after the one reference.
    pub(super) more: String,
    /// Stands after the signature value.
    pub(super) key_info: String,
}

pub(super) fn form(signer: &Signer, id: &str) -> Form {
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    Form {
        canonicalization: exclusive.into(),
        method: signer.method().into(),
        transforms: format!(
            "<ds:Transform Algorithm=\"{DS}enveloped-signature\"></ds:Transform><ds:Transform Algorithm=\"{exclusive}\"></ds:Transform>"
        ),
        digest: "http://www.w3.org/2001/04/xmlenc#sha256".into(),
        uri: format!("#{id}"),
        more: String::new(),
        key_info: String::new(),
    }
}

/// The canonical octets of the element with an id.
pub(super) fn canonical(text: &str, id: &str) -> Vec<u8> {
    let document = uppsala::parse(text).unwrap();
    let element = document
        .descendants(document.root())
        .into_iter()
        .find(|node| document.get_attribute(*node, "ID") == Some(id))
        .unwrap();
    let nodes = NodeSet::tree_without_comments(element, &document);
    canonicalize_doc::<&str>(&document, C14nMode::Exclusive, Some(&nodes), &[]).unwrap()
}

/// The signature over the element with an id, as it stands in the text.
pub(super) fn signature(text: &str, id: &str, signer: &Signer, form: &Form) -> String {
    let digest = STANDARD.encode(digest(&SHA256, &canonical(text, id)));
    let Form {
        canonicalization,
        method,
        transforms,
        digest: digest_method,
        uri,
        more,
        key_info,
    } = form;
    let reference = format!(
        "<ds:Reference URI=\"{uri}\"><ds:Transforms>{transforms}</ds:Transforms><ds:DigestMethod Algorithm=\"{digest_method}\"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>{more}"
    );
    let parts = format!(
        "<ds:CanonicalizationMethod Algorithm=\"{canonicalization}\"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod>{reference}"
    );
    // By hand, not by the library: its canonical form is what this text is.
    let octets = format!("<ds:SignedInfo xmlns:ds=\"{DS}\">{parts}</ds:SignedInfo>");
    let value = STANDARD.encode(signer.sign(octets.as_bytes()));
    format!(
        "<ds:Signature xmlns:ds=\"{DS}\"><ds:SignedInfo>{parts}</ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue>{key_info}</ds:Signature>"
    )
}

/// Puts a signature after the first issuer in a text.
pub(super) fn insert(text: &str, signature: &str) -> String {
    text.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
}

pub(super) fn signed(assertion: &str, signer: &Signer) -> String {
    insert(
        assertion,
        &signature(assertion, "a1", signer, &form(signer, "a1")),
    )
}

pub(super) fn accepted() -> AcceptedEndpoints {
    AcceptedEndpoints {
        audiences: vec![SAML_AUDIENCE.into()],
        recipients: vec![SAML_RECIPIENT.into()],
    }
}

pub(super) fn verify_with(
    text: &str,
    provider: &SamlProvider,
) -> Result<SamlIdentity, AssertionRefusal> {
    let encoded = STANDARD.encode(text);
    verify_saml_assertion(&encoded, provider, "aws", ROLE, &accepted(), now())
}

pub(super) fn verify(text: &str) -> Result<SamlIdentity, AssertionRefusal> {
    verify_with(text, &provider_of(signer()))
}

/// What becomes of an assertion with something in it replaced before it is signed.
fn altered(from: &str, to: &str) -> Result<SamlIdentity, AssertionRefusal> {
    let assertion = assertion();
    assert!(assertion.contains(from), "{from}");
    verify(&response(&signed(&assertion.replace(from, to), signer())))
}

#[test]
fn a_signed_assertion_becomes_an_identity() {
    let id = verify(&response(&signed(&assertion(), signer()))).unwrap();
    assert_eq!(id.role_session_name, "anna@acme");
    assert_eq!(id.session_duration, Some(7200));
    assert_eq!(id.subject_type, "persistent");
    assert_eq!(id.assertion_id, "a1");
    assert_eq!(id.assertion_end.to_rfc3339(), "2026-06-01T12:04:00+00:00");
    let identity = id.identity;
    assert_eq!(identity.provider_arn, PROVIDER);
    assert_eq!(identity.subject, "anna");
    assert_eq!(identity.issuer, "https://idp.example");
    assert_eq!(identity.audience, SAML_RECIPIENT);
    assert_eq!(identity.source_identity.as_deref(), Some("anna"));
    assert_eq!(identity.transitive_tag_keys, ["Team"]);
    assert_eq!(
        identity.not_after.unwrap().to_rfc3339(),
        "2026-06-01T20:00:00+00:00"
    );
    for (key, values) in [
        ("saml:aud", vec![SAML_RECIPIENT]),
        ("saml:iss", vec!["https://idp.example"]),
        ("saml:sub", vec!["anna"]),
        ("saml:sub_type", vec!["persistent"]),
        ("saml:doc", vec!["123456789012/corp"]),
        ("saml:edupersonaffiliation", vec!["staff", "member"]),
        // SHA-1 of https://idp.example123456789012/corp, worked out with sha1sum.
        ("saml:namequalifier", vec!["39jJqmN7NZK8bgXNpJN4CWtSfOY="]),
    ] {
        assert_eq!(identity.keys[key], values, "{key}");
    }
}

#[test]
fn response_assertion_or_both_may_be_signed_with_rsa_too() {
    let rsa = Signer::new(&rcgen::PKCS_RSA_SHA256);
    for signer in [signer(), &rsa] {
        let provider = provider_of(signer);
        for inner in [assertion(), signed(&assertion(), signer)] {
            let plain = response(&inner);
            let outer = insert(
                &plain,
                &signature(&plain, "r1", signer, &form(signer, "r1")),
            );
            assert_eq!(
                verify_with(&outer, &provider).unwrap().identity.subject,
                "anna"
            );
        }
    }
    assert_eq!(
        verify(&response(&assertion())).unwrap_err(),
        AssertionRefusal::Unsigned
    );
}

#[test]
fn inclusive_prefixes_are_kept_as_they_are_signed() {
    let assertion = assertion().replacen(
        "<saml:Assertion ",
        "<saml:Assertion xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" ",
        1,
    );
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let mut form = form(signer(), "a1");
    form.transforms = form.transforms.replace(
        &format!("\"{exclusive}\"></ds:Transform>"),
        &format!("\"{exclusive}\"><ec:InclusiveNamespaces xmlns:ec=\"{exclusive}\" PrefixList=\"xs\"></ec:InclusiveNamespaces></ds:Transform>"),
    );
    // With the prefix in the list its declaration is signed too.
    let text = response(&assertion);
    let document = uppsala::parse(&text).unwrap();
    let element = document.get_elements_by_tag_name("Assertion")[0];
    let nodes = NodeSet::tree_without_comments(element, &document);
    let octets = canonicalize_doc(&document, C14nMode::Exclusive, Some(&nodes), &["xs"]).unwrap();
    assert!(String::from_utf8_lossy(&octets).contains("xmlns:xs"));
    let plain = STANDARD.encode(digest(&SHA256, &canonical(&assertion, "a1")));
    let whole = STANDARD.encode(digest(&SHA256, &octets));
    let parts = signature(&assertion, "a1", signer(), &form);
    let info = parts
        .split_once("<ds:SignedInfo>")
        .unwrap()
        .1
        .split_once("</ds:SignedInfo>")
        .unwrap()
        .0
        .replace(&plain, &whole);
    let octets = format!("<ds:SignedInfo xmlns:ds=\"{DS}\">{info}</ds:SignedInfo>");
    let value = STANDARD.encode(signer().sign(octets.as_bytes()));
    let signature = format!(
        "<ds:Signature xmlns:ds=\"{DS}\"><ds:SignedInfo>{info}</ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>"
    );
    assert!(verify(&response(&insert(&assertion, &signature))).is_ok());
}

#[test]
fn what_an_assertion_must_say_it_says() {
    let recipient = format!("Recipient=\"{SAML_RECIPIENT}\"");
    for (from, to, expected) in [
        (
            "12:05:00Z",
            "12:00:00Z",
            "the assertion's confirmation's end was",
        ),
        ("12:04:00Z", "12:00:00Z", "the assertion's end was"),
        (
            "T20:00:00Z",
            "T12:00:00Z",
            "the assertion's session's end was",
        ),
        (
            "NotBefore=\"2026-06-01T11:59:00Z\"",
            "NotBefore=\"2026-06-01T12:01:01Z\"",
            "the assertion's beginning is",
        ),
        (
            "IssueInstant=\"2026-06-01T11:59:00Z\"",
            "IssueInstant=\"2026-06-01T12:01:01Z\"",
            "the assertion's issue instant is",
        ),
        (
            " NotOnOrAfter=\"2026-06-01T12:05:00Z\"",
            "",
            "SubjectConfirmationData: its NotOnOrAfter",
        ),
        (
            &recipient,
            "Recipient=\"https://else.example\"",
            "the assertion is to be delivered to",
        ),
        (&recipient, "", "the assertion is to be delivered to"),
        (
            "cm:bearer",
            "cm:holder-of-key",
            "SubjectConfirmation: there is none for a bearer",
        ),
        (SAML_AUDIENCE, "urn:else", "the assertion is for urn:else"),
        (
            ">https://idp.example<",
            ">https://else.example<",
            "the assertion is of issuer",
        ),
        (
            "<saml:AudienceRestriction>",
            "<saml:Condition/><saml:AudienceRestriction>",
            "Conditions: they hold one",
        ),
        (
            "saml:AudienceRestriction>",
            "saml:OneTimeUse>",
            "AudienceRestriction: it is missing",
        ),
        (
            "Version=\"2.0\"",
            "Version=\"1.1\"",
            "Assertion: its version",
        ),
        (
            ">anna</saml:NameID>",
            "></saml:NameID>",
            "NameID: it is empty",
        ),
        (
            "role/analyst",
            "role/else",
            "the assertion does not let its subject take role",
        ),
        (
            "saml-provider/corp<",
            "saml-provider/else<",
            "the assertion does not let its subject take role",
        ),
        (
            ">anna@acme<",
            ">anna acme<",
            "the assertion's attribute RoleSessionName cannot be used",
        ),
        (
            "RoleSessionName",
            "Name",
            "the assertion's attribute RoleSessionName cannot be used: it is missing",
        ),
        (
            ">7200<",
            ">10<",
            "the assertion's attribute SessionDuration cannot be used",
        ),
        (
            ">Team<",
            ">Other<",
            "the assertion's attribute TransitiveTagKeys cannot be used",
        ),
    ] {
        let refused = altered(from, to).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{to}: {refused}");
    }
}

#[test]
fn an_assertion_is_remembered_until_its_last_confirmation_ends() {
    let confirmation = |end: &str| {
        format!(
            "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData NotOnOrAfter=\"{end}\" Recipient=\"{SAML_RECIPIENT}\"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>"
        )
    };
    let assertion = assertion()
        .replace("</saml:Subject>", &confirmation("2026-06-01T12:09:00Z"))
        .replace(
            "NotOnOrAfter=\"2026-06-01T12:04:00Z\"",
            "NotOnOrAfter=\"2026-06-01T12:30:00Z\"",
        );
    let id = verify(&response(&signed(&assertion, signer()))).unwrap();
    assert_eq!(id.assertion_end.to_rfc3339(), "2026-06-01T12:09:00+00:00");
}

#[test]
fn a_failed_login_and_encrypted_parts_are_said() {
    let good = response(&signed(&assertion(), signer()));
    let failed = good.replace("status:Success", "status:AuthnFailed");
    assert!(matches!(
        verify(&failed).unwrap_err(),
        AssertionRefusal::Status { .. }
    ));
    let elsewhere = good.replace(
        "Destination=\"https://signin",
        "Destination=\"https://other",
    );
    assert!(matches!(
        verify(&elsewhere).unwrap_err(),
        AssertionRefusal::Recipient { .. }
    ));
    let encrypted =
        response("<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>");
    assert!(matches!(
        verify(&encrypted).unwrap_err(),
        AssertionRefusal::Shape {
            element: "EncryptedAssertion",
            ..
        }
    ));
}

#[test]
fn metadata_says_who_and_with_which_keys() {
    let text = metadata(signer());
    let read = SamlMetadata::parse(&text).unwrap();
    assert_eq!(read.entity_id, "https://idp.example");
    assert_eq!(read.certificates.len(), 1);
    for (from, to) in [
        ("entityID=\"https://idp.example\"", ""),
        ("use=\"signing\"", "use=\"encryption\""),
        ("IDPSSODescriptor", "SPSSODescriptor"),
        ("<ds:X509Certificate>", "<ds:X509Certificate>!"),
        ("<ds:X509Certificate>", "<ds:X509Certificate>AAAA"),
        ("<md:Entity", "<!DOCTYPE x><md:Entity"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        assert!(SamlMetadata::parse(&changed).is_err(), "{to}");
    }
    let mut provider = provider_of(signer());
    provider.metadata.valid_until = Some(now());
    let good = response(&signed(&assertion(), signer()));
    assert!(matches!(
        verify_with(&good, &provider).unwrap_err(),
        AssertionRefusal::MetadataEnded { .. }
    ));
    assert!(matches!(
        IdentityProvider::Saml(provider).validate(now()),
        Err(ProviderError::MetadataEnded { .. })
    ));
}

#[test]
fn a_record_reads_as_it_was_written() {
    let provider = IdentityProvider::Saml(provider_of(signer()));
    let text = serde_json::to_string(&provider).unwrap();
    let read: IdentityProvider = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    assert_eq!(read.arn("aws"), PROVIDER);
}

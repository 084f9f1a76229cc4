//! Assertions of a SAML identity provider, each good for one session.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_service::{
    AssumeRoleWithSaml, Caller, Clock, CreateProvider, Error, IssueCertificate, KeySpec, Operation,
    PrivateKey, SamlRole, Service, certification_request,
};
use bowline_store::Store;
use serde_json::json;

use super::{Issuer, ROLE, STRANGER, Stage, refused};
use crate::OPERATOR;
use crate::world::World;

/// A SAML identity provider: a key, and its certificate from the home's own CA, whose key alone counts.
struct Saml {
    key: EcdsaKeyPair,
    metadata: String,
}

impl Saml {
    fn new(service: &Service) -> Saml {
        let pair = PrivateKey::generate(KeySpec::P256).unwrap();
        let issued = IssueCertificate {
            name: "idp".into(),
            names: vec!["idp.test".into()],
            roles: Vec::new(),
            not_before: None,
            not_after: None,
            certificate_profile: "workload".into(),
            csr: certification_request(&pair).unwrap(),
        }
        .run(service, &OPERATOR)
        .unwrap();
        let pem = pair.to_pem();
        let pkcs8 = STANDARD
            .decode(
                pem.lines()
                    .filter(|line| !line.starts_with('-'))
                    .collect::<String>(),
            )
            .unwrap();
        let certificate = STANDARD.encode(&issued.certificate);
        Saml {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap(),
            metadata: format!(
                r#"<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.test"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor></EntityDescriptor>"#
            ),
        }
    }

    /// A response in which the assertion with this id is signed. Written in canonical form by hand.
    fn response(&self, id: &str, now: chrono::DateTime<chrono::Utc>) -> String {
        let at = |seconds| bowline_service::format_time(now + chrono::TimeDelta::seconds(seconds));
        let attribute = |name: &str, value: &str| {
            format!(
                r#"<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/{name}"><saml:AttributeValue>{value}</saml:AttributeValue></saml:Attribute>"#
            )
        };
        let head = format!(
            r#"<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" IssueInstant="{}" Version="2.0"><saml:Issuer>https://idp.test</saml:Issuer>"#,
            at(0)
        );
        let body = format!(
            r#"<saml:Subject><saml:NameID>anna</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{}" Recipient="http://ca.test/saml"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotOnOrAfter="{}"><saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="{}" SessionNotOnOrAfter="{}"></saml:AuthnStatement><saml:AttributeStatement>{}{}</saml:AttributeStatement></saml:Assertion>"#,
            at(300),
            at(300),
            at(0),
            at(1_800),
            attribute(
                "Role",
                &format!("{ROLE},arn:aws:iam::000000000000:saml-provider/corp")
            ),
            attribute("RoleSessionName", "anna"),
        );
        let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
        let ds = "http://www.w3.org/2000/09/xmldsig#";
        let digest = STANDARD.encode(digest(&SHA256, format!("{head}{body}").as_bytes()));
        let info = |namespace: &str| {
            format!(
                r##"<ds:SignedInfo{namespace}><ds:CanonicalizationMethod Algorithm="{exclusive}"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="{ds}enveloped-signature"></ds:Transform><ds:Transform Algorithm="{exclusive}"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"##
            )
        };
        let octets = info(&format!(" xmlns:ds=\"{ds}\""));
        let value = self
            .key
            .sign(&SystemRandom::new(), octets.as_bytes())
            .unwrap();
        let signature = format!(
            r#"<ds:Signature xmlns:ds="{ds}">{}<ds:SignatureValue>{}</ds:SignatureValue></ds:Signature>"#,
            info(""),
            STANDARD.encode(value.as_ref())
        );
        let response = format!(
            r#"<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="r-{id}" Version="2.0"><p:Status><p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></p:Status>{head}{signature}{body}</p:Response>"#
        );
        STANDARD.encode(response)
    }
}

fn assume_with_saml(service: &Service, provider: &str, assertion: &str) -> Result<SamlRole, Error> {
    AssumeRoleWithSaml {
        role_arn: ROLE.into(),
        principal_arn: format!("arn:aws:iam::000000000000:saml-provider/{provider}"),
        saml_assertion: assertion.to_owned().into(),
        policy: None,
        policy_arns: Vec::new(),
        duration_seconds: None,
        minimum_session_token_size: None,
    }
    .perform(service, &STRANGER)
}

#[test]
fn an_assertion_becomes_credentials_once() {
    let world = World::new();
    let saml = Saml::new(&world.service);
    let view = CreateProvider {
        name: "corp".into(),
        saml_metadata: Some(saml.metadata.clone()),
        ..CreateProvider::default()
    }
    .run(&world.service, &OPERATOR)
    .unwrap();
    assert_eq!(view.issuer, "https://idp.test");
    let stage = Stage {
        world,
        issuer: Issuer::new(),
    };
    stage.role("saml-provider/corp", "sts:AssumeRoleWithSAML", json!({
        "StringEquals": {"saml:aud": "http://ca.test/saml", "saml:sub": "anna", "saml:doc": "000000000000/corp"},
    }));
    let assume = |assertion: &str| assume_with_saml(&stage.world.service, "corp", assertion);

    let assertion = saml.response("a1", stage.world.clock.now());
    let answer = assume(&assertion).unwrap();
    assert_eq!(answer.subject, "anna");
    assert_eq!(answer.issuer, "https://idp.test");
    assert_eq!(
        answer.assumed.assumed_role_arn,
        "arn:aws:sts::000000000000:assumed-role/deployer/anna"
    );
    // No longer than the provider says, whatever the role allows.
    let left = answer.assumed.credentials.expiration - stage.world.clock.now();
    assert_eq!(left.num_seconds(), 1_800);
    let Caller::Session { .. } = stage.caller(&answer.assumed) else {
        panic!("credentials without a session");
    };

    refused(
        assume(&assertion),
        "saml_assertion_used",
        Some("IDPRejectedClaim"),
    );
    assume(&saml.response("a2", stage.world.clock.now())).unwrap();
    let late = saml.response("a3", stage.world.clock.now());
    stage.world.pass(300);
    refused(
        assume(&late),
        "saml_assertion_expired",
        Some("ExpiredTokenException"),
    );
    // Another process on the store may have a clock that is behind: there it is not over yet.
    assume(&saml.response("b1", stage.world.clock.now())).unwrap();
    stage.world.pass(-10);
    refused(
        assume(&assertion),
        "saml_assertion_used",
        Some("IDPRejectedClaim"),
    );
    // What is over is forgotten, and what is not is not.
    stage.world.pass(10 + 20 * 60);
    let fresh = saml.response("a4", stage.world.clock.now());
    assume(&fresh).unwrap();
    refused(
        assume(&fresh),
        "saml_assertion_used",
        Some("IDPRejectedClaim"),
    );
    let kept = bowline_store::Key::new("saml-assertion/").unwrap();
    assert_eq!(stage.world.store.scan(&kept, None, 10).unwrap().len(), 1);

    let of_another = bowline_service::UpdateProvider {
        provider: "corp".into(),
        saml_metadata: Some(
            saml.metadata
                .replace("https://idp.test", "https://else.test"),
        ),
        ..bowline_service::UpdateProvider::default()
    };
    refused(
        of_another.run(&stage.world.service, &OPERATOR),
        "provider_entity_other",
        None,
    );

    let forged = Saml::new(&stage.world.service).response("a5", stage.world.clock.now());
    refused(
        assume(&forged),
        "saml_assertion_invalid",
        Some("InvalidIdentityToken"),
    );
    refused(
        assume_with_saml(&stage.world.service, "else", &fresh),
        "saml_provider_unknown",
        Some("InvalidIdentityToken"),
    );
}

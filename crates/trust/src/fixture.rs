//! Certificates, records and requests for the tests of this crate.
//!
//! Certificates are written octet by octet: issuing libraries refuse the names and numbers that these tests are about.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use bowline_policy::{NamedPolicy, Policy, PolicyKind};
use bowline_x509::path::{PathRules, VerifiedPath, verify};
use bowline_x509::{Certificate, Time};

use crate::{
    AnchorSource, Asker, CertificateAsker, Denial, Grant, Profile, Role, RoleId, RolePolicy,
    SessionRequest, Settings, TrustAnchor, Uuid, authorize,
};

pub(crate) const CN: &str = "2.5.4.3";
pub(crate) const O: &str = "2.5.4.10";
pub(crate) const OU: &str = "2.5.4.11";

/// Noon of the day on which every test happens.
pub(crate) fn now() -> Time {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// A leaf to be issued by the one CA of the tests.
pub(crate) struct Leaf {
    /// The subject: attributes as type and value, in the order of the certificate.
    pub(crate) subject: Vec<(&'static str, String)>,
    /// The content octets of the serial number's INTEGER.
    pub(crate) serial: Vec<u8>,
    /// General names in DER.
    pub(crate) names: Vec<Vec<u8>>,
    pub(crate) not_after: &'static str,
}

impl Leaf {
    pub(crate) fn new(subject: &[(&'static str, &str)]) -> Leaf {
        Leaf {
            subject: subject
                .iter()
                .map(|(oid, value)| (*oid, (*value).to_owned()))
                .collect(),
            serial: vec![0x1f, 0x71, 0xc5],
            names: Vec::new(),
            not_after: "260602120000Z",
        }
    }

    pub(crate) fn issue(&self) -> Certificate {
        let (_, key) = authority();
        let mut extensions = vec![
            extension("2.5.29.19", &sequence(&[])),
            extension("2.5.29.15", &[0x03, 0x02, 0x07, 0x80]),
            extension("2.5.29.35", &sequence(&[&tlv(0x80, &[7; 20])])),
        ];
        if !self.names.is_empty() {
            extensions.push(extension("2.5.29.17", &tlv(0x30, &self.names.concat())));
        }
        let subject: Vec<(&str, &str)> = self
            .subject
            .iter()
            .map(|(oid, value)| (*oid, value.as_str()))
            .collect();
        let times = ("260601000000Z", self.not_after);
        certificate(
            &self.serial,
            &subject,
            times,
            leaf_key().public_key().as_ref(),
            &extensions,
            key,
        )
    }

    pub(crate) fn verified(&self) -> VerifiedPath {
        let leaf = self.issue();
        verify(
            &leaf,
            &[],
            std::slice::from_ref(&authority().0),
            &[],
            &PathRules::authentication(),
            now(),
        )
        .unwrap()
    }
}

/// The CA of the tests: `C=US, O=Example, CN=Test Root`.
pub(crate) fn authority() -> &'static (Certificate, EcdsaKeyPair) {
    static AUTHORITY: OnceLock<(Certificate, EcdsaKeyPair)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = key();
        let subject = AUTHORITY_NAME;
        let extensions = [
            extension("2.5.29.19", &sequence(&[&[0x01, 0x01, 0xff]])),
            extension("2.5.29.15", &[0x03, 0x02, 0x01, 0x06]),
            extension("2.5.29.14", &tlv(0x04, &[7; 20])),
        ];
        let times = ("260101000000Z", "360101000000Z");
        let root = certificate(
            &[1],
            &subject,
            times,
            key.public_key().as_ref(),
            &extensions,
            &key,
        );
        (root, key)
    })
}

const AUTHORITY_NAME: [(&str, &str); 3] = [("2.5.4.6", "US"), (O, "Example"), (CN, "Test Root")];

fn leaf_key() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(key)
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

fn certificate(
    serial: &[u8],
    subject: &[(&str, &str)],
    times: (&str, &str),
    public_key: &[u8],
    extensions: &[Vec<u8>],
    issuer_key: &EcdsaKeyPair,
) -> Certificate {
    let algorithm = sequence(&[&oid("1.2.840.10045.4.3.2")]);
    let spki_algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
    let tbs = sequence(&[
        &tlv(0xa0, &tlv(0x02, &[2])),
        &tlv(0x02, serial),
        &algorithm,
        &name(&AUTHORITY_NAME),
        &sequence(&[
            &tlv(0x17, times.0.as_bytes()),
            &tlv(0x17, times.1.as_bytes()),
        ]),
        &name(subject),
        &sequence(&[&spki_algorithm, &bit_string(public_key)]),
        &tlv(0xa3, &tlv(0x30, &extensions.concat())),
    ]);
    let signature = issuer_key.sign(&SystemRandom::new(), &tbs).unwrap();
    Certificate::from_der(&sequence(&[
        &tbs,
        &algorithm,
        &bit_string(signature.as_ref()),
    ]))
    .unwrap()
}

/// A Name, each attribute in a relative name of its own.
pub(crate) fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(kind, value)| {
            let string = if *kind == "2.5.4.6" { 0x13 } else { 0x0c };
            tlv(
                0x31,
                &sequence(&[&oid(kind), &tlv(string, value.as_bytes())]),
            )
        })
        .collect();
    tlv(0x30, &rdns.concat())
}

pub(crate) fn dns(text: &str) -> Vec<u8> {
    tlv(0x82, text.as_bytes())
}

pub(crate) fn uri(text: &str) -> Vec<u8> {
    tlv(0x86, text.as_bytes())
}

pub(crate) fn email(text: &str) -> Vec<u8> {
    tlv(0x81, text.as_bytes())
}

pub(crate) fn directory_name(attributes: &[(&str, &str)]) -> Vec<u8> {
    tlv(0xa4, &name(attributes))
}

fn extension(kind: &str, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if matches!(kind, "2.5.29.19" | "2.5.29.15") {
        &[0x01, 0x01, 0xff]
    } else {
        &[]
    };
    sequence(&[&oid(kind), critical, &tlv(0x04, value)])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

fn oid(text: &str) -> Vec<u8> {
    let arcs: Vec<u32> = text.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = vec![u8::try_from(arcs[0] * 40 + arcs[1]).unwrap()];
    for arc in &arcs[2..] {
        let mut septets = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            septets.insert(0, (rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(septets);
    }
    tlv(0x06, &content)
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(short as u8),
        long @ 128..=255 => out.extend([0x81, long as u8]),
        longer => out.extend([0x82, (longer >> 8) as u8, longer as u8]),
    }
    out.extend(content);
    out
}

/// Everything a request for a session needs, good unless a test changes it.
pub(crate) struct Story {
    pub(crate) path: VerifiedPath,
    pub(crate) trust_anchor: TrustAnchor,
    pub(crate) profile: Profile,
    pub(crate) role: Role,
    pub(crate) duration_seconds: Option<u32>,
    pub(crate) role_session_name: Option<String>,
    pub(crate) session_policies: Vec<NamedPolicy>,
    pub(crate) now: Time,
    pub(crate) settings: Settings,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story::of(&Leaf::new(&[(O, "Example"), (OU, "web"), (CN, "web-1")]))
    }

    pub(crate) fn of(leaf: &Leaf) -> Story {
        let account = "123456789012".parse().unwrap();
        let made = "2026-01-01T00:00:00Z".parse().unwrap();
        let source = AnchorSource::CertificateBundle(vec![authority().0.clone()]);
        let mut profile = Profile::new(Uuid::from_random([2; 16]), account, "default", made);
        profile.role_arns = vec!["arn:aws:iam::123456789012:role/app/web".to_owned()];
        let mut role = Role::new(
            RoleId::from_random([3; 10]),
            account,
            "web",
            trust_policy(THREE_ACTIONS, ""),
            made,
        );
        role.path = "/app/".to_owned();
        role.identity_policies.push(RolePolicy {
            name: "read".to_owned(),
            policy: allow("s3:GetObject", PolicyKind::Identity),
        });
        Story {
            path: leaf.verified(),
            trust_anchor: TrustAnchor::new(
                Uuid::from_random([1; 16]),
                account,
                "site",
                source,
                made,
            ),
            profile,
            role,
            duration_seconds: None,
            role_session_name: None,
            session_policies: Vec::new(),
            now: now(),
            settings: Settings::default(),
        }
    }

    pub(crate) fn request(&self) -> SessionRequest<'_> {
        SessionRequest {
            asker: Asker::Certificate(CertificateAsker {
                path: &self.path,
                trust_anchor: &self.trust_anchor,
                profile: &self.profile,
                role: &self.role,
            }),
            partition: "aws",
            region: "us-east-1",
            duration_seconds: self.duration_seconds,
            role_session_name: self.role_session_name.as_deref(),
            session_policies: &self.session_policies,
            token_bytes_min: 0,
            now: self.now,
            source_ip: Some("192.0.2.7".parse().unwrap()),
            settings: self.settings,
        }
    }

    pub(crate) fn decide(&self) -> Result<Grant, Denial> {
        authorize(&self.request())
    }
}

pub(crate) const THREE_ACTIONS: &str =
    r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#;

/// A trust policy that allows actions to the service, on a condition (a JSON object, or nothing).
pub(crate) fn trust_policy(actions: &str, condition: &str) -> Policy {
    let condition = if condition.is_empty() {
        String::new()
    } else {
        format!(r#","Condition":{condition}"#)
    };
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"rolesanywhere.amazonaws.com"}},"Action":{actions}{condition}}}]}}"#
    );
    Policy::parse(&text, PolicyKind::Trust).unwrap()
}

/// A policy that allows one action on everything.
pub(crate) fn allow(action: &str, kind: PolicyKind) -> Policy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
    );
    Policy::parse(&text, kind).unwrap()
}

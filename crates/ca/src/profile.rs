//! What a certificate may contain: the built-in profiles and their rules.
//!
//! A profile is the only source of key usages, extended key usages, the CA flag and lifetimes; nobody who asks for a
//! certificate can bring them along.

use std::borrow::Cow;

use bowline_x509::{GeneralName, KeyAlgorithm, PublicKey};
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use serde::Serialize;

use crate::error::{ProfileError, shown};
use crate::names::{NameKind, NamePattern, NameRules};

/// What certificates of one purpose may contain and how long they last.
///
/// Not to be confused with a Roles Anywhere profile, which says what sessions may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateProfile {
    name: Cow<'static, str>,
    description: Cow<'static, str>,
    kind: CertificateKind,
    key_usages: Vec<KeyUsage>,
    key_purposes: Vec<KeyPurpose>,
    key_kinds: Vec<KeyKind>,
    names: NameRules,
    roles: bool,
    #[serde(rename = "default_validity_seconds", serialize_with = "seconds")]
    default_validity: TimeDelta,
    #[serde(rename = "max_validity_seconds", serialize_with = "seconds")]
    max_validity: TimeDelta,
    #[serde(rename = "backdate_seconds", serialize_with = "seconds")]
    backdate: TimeDelta,
}

/// Whether a certificate may issue others (RFC 5280 §4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CertificateKind {
    /// `CA:FALSE`.
    EndEntity,
    /// `CA:TRUE`, with this many authorities allowed below it.
    Authority {
        /// pathLenConstraint; absent means any depth.
        path_length: Option<u8>,
    },
}

/// A bit of the key usage extension that some profile sets (RFC 5280 §4.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyUsage {
    /// Signatures other than those on certificates and CRLs.
    DigitalSignature,
    /// Key transport, which only RSA keys do.
    KeyEncipherment,
    /// Signatures on certificates.
    KeyCertSign,
    /// Signatures on CRLs.
    #[serde(rename = "cRLSign")]
    CrlSign,
}

impl KeyUsage {
    /// The RFC's name of the bit.
    pub fn name(self) -> &'static str {
        match self {
            KeyUsage::DigitalSignature => "digitalSignature",
            KeyUsage::KeyEncipherment => "keyEncipherment",
            KeyUsage::KeyCertSign => "keyCertSign",
            KeyUsage::CrlSign => "cRLSign",
        }
    }
}

/// A KeyPurposeId of the extended key usage extension (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyPurpose {
    /// id-kp-serverAuth.
    ServerAuth,
    /// id-kp-clientAuth.
    ClientAuth,
}

impl KeyPurpose {
    /// Its object identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            KeyPurpose::ServerAuth => ID_KP_SERVER_AUTH,
            KeyPurpose::ClientAuth => ID_KP_CLIENT_AUTH,
        }
    }

    /// The RFC's name, without the prefix.
    pub fn name(self) -> &'static str {
        match self {
            KeyPurpose::ServerAuth => "serverAuth",
            KeyPurpose::ClientAuth => "clientAuth",
        }
    }
}

/// A kind of subject key. Weak keys of any kind never become a [`PublicKey`] in the first place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum KeyKind {
    /// RSA.
    #[serde(rename = "RSA")]
    Rsa,
    /// NIST P-256.
    #[serde(rename = "P-256")]
    P256,
    /// NIST P-384.
    #[serde(rename = "P-384")]
    P384,
    /// NIST P-521.
    #[serde(rename = "P-521")]
    P521,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// Every kind, the usual choice first.
    pub const ALL: [KeyKind; 5] = [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::P521,
        KeyKind::Rsa,
        KeyKind::Ed25519,
    ];

    /// The kind an algorithm is of.
    pub fn of(algorithm: KeyAlgorithm) -> KeyKind {
        match algorithm {
            KeyAlgorithm::Rsa { .. } => KeyKind::Rsa,
            KeyAlgorithm::P256 => KeyKind::P256,
            KeyAlgorithm::P384 => KeyKind::P384,
            KeyAlgorithm::P521 => KeyKind::P521,
            KeyAlgorithm::Ed25519 => KeyKind::Ed25519,
        }
    }

    /// The name people know.
    pub fn name(self) -> &'static str {
        match self {
            KeyKind::Rsa => "RSA",
            KeyKind::P256 => "P-256",
            KeyKind::P384 => "P-384",
            KeyKind::P521 => "P-521",
            KeyKind::Ed25519 => "Ed25519",
        }
    }
}

impl CertificateProfile {
    /// The names of the built-in profiles: first those for end entities, then those for authorities.
    pub const NAMES: [&'static str; 6] = [
        "workload", "server", "client", "operator", "root", "issuing",
    ];

    /// The built-in profile of that name.
    pub fn named(name: &str) -> Result<CertificateProfile, ProfileError> {
        match name {
            "workload" => Ok(CertificateProfile::workload()),
            "server" => Ok(CertificateProfile::server()),
            "client" => Ok(CertificateProfile::client()),
            "operator" => Ok(CertificateProfile::operator()),
            "root" => Ok(CertificateProfile::root()),
            "issuing" => Ok(CertificateProfile::issuing()),
            _ => Err(ProfileError::UnknownProfile {
                name: shown(name),
                known: CertificateProfile::NAMES.join(", "),
            }),
        }
    }

    /// For a program that both calls and is called; its certificate buys credentials.
    pub fn workload() -> CertificateProfile {
        CertificateProfile {
            name: "workload".into(),
            description: "a program that calls and is called".into(),
            names: NameRules::new(&[NameKind::Dns, NameKind::Ip, NameKind::Uri, NameKind::Email]),
            key_purposes: vec![KeyPurpose::ServerAuth, KeyPurpose::ClientAuth],
            roles: true,
            ..CertificateProfile::end_entity()
        }
    }

    /// For a TLS server, wildcards allowed. Carries no roles.
    pub fn server() -> CertificateProfile {
        CertificateProfile {
            name: "server".into(),
            description: "a TLS server".into(),
            names: NameRules::new(&[NameKind::Dns, NameKind::Ip]).with_wildcards(),
            key_purposes: vec![KeyPurpose::ServerAuth],
            ..CertificateProfile::end_entity()
        }
    }

    /// For a program that only calls others.
    pub fn client() -> CertificateProfile {
        CertificateProfile {
            name: "client".into(),
            description: "a program that only calls others".into(),
            names: NameRules::new(&[NameKind::Dns, NameKind::Uri, NameKind::Email]),
            key_purposes: vec![KeyPurpose::ClientAuth],
            roles: true,
            ..CertificateProfile::end_entity()
        }
    }

    /// For a person who runs this authority. Shorter at most than a workload's, because it opens more.
    pub fn operator() -> CertificateProfile {
        CertificateProfile {
            name: "operator".into(),
            description: "a person who runs this authority".into(),
            names: NameRules::new(&[NameKind::Email, NameKind::Uri]),
            key_purposes: vec![KeyPurpose::ClientAuth],
            roles: true,
            max_validity: OPERATOR_VALIDITY_MAX,
            ..CertificateProfile::end_entity()
        }
    }

    /// A self-signed root with one layer of authorities under it: path length 1.
    pub fn root() -> CertificateProfile {
        CertificateProfile {
            name: "root".into(),
            description: "a self-signed root authority".into(),
            kind: CertificateKind::Authority {
                path_length: Some(1),
            },
            max_validity: ROOT_VALIDITY_MAX,
            ..CertificateProfile::authority()
        }
    }

    /// An authority that issues end-entity certificates only: path length 0.
    pub fn issuing() -> CertificateProfile {
        CertificateProfile {
            name: "issuing".into(),
            description: "an authority that issues end-entity certificates".into(),
            kind: CertificateKind::Authority {
                path_length: Some(0),
            },
            ..CertificateProfile::authority()
        }
    }

    /// What the profiles for end entities share.
    fn end_entity() -> CertificateProfile {
        CertificateProfile {
            name: "".into(),
            description: "".into(),
            kind: CertificateKind::EndEntity,
            key_usages: vec![KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment],
            key_purposes: Vec::new(),
            key_kinds: KeyKind::ALL.to_vec(),
            names: NameRules::new(&[]),
            roles: false,
            default_validity: END_ENTITY_VALIDITY,
            max_validity: END_ENTITY_VALIDITY_MAX,
            backdate: BACKDATE,
        }
    }

    /// What the profiles for authorities share.
    fn authority() -> CertificateProfile {
        CertificateProfile {
            key_usages: vec![KeyUsage::KeyCertSign, KeyUsage::CrlSign],
            default_validity: AUTHORITY_VALIDITY,
            max_validity: AUTHORITY_VALIDITY_MAX,
            ..CertificateProfile::end_entity()
        }
    }

    /// The same profile, but every subject alternative name must match one of the patterns.
    pub fn restricted_to(mut self, permitted: Vec<NamePattern>) -> CertificateProfile {
        self.names = self.names.restricted_to(permitted);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whom it is for, in a few words.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether its certificates are authorities', and how deep.
    pub fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// Whether it makes authorities.
    pub fn is_authority(&self) -> bool {
        matches!(self.kind, CertificateKind::Authority { .. })
    }

    /// The key usage bits for a key: keyEncipherment is for RSA only (RFC 8813 §3 forbids it for elliptic curves).
    pub fn key_usages(&self, algorithm: KeyAlgorithm) -> Vec<KeyUsage> {
        let transports_keys = KeyKind::of(algorithm) == KeyKind::Rsa;
        let usages = self.key_usages.iter().copied();
        usages
            .filter(|usage| transports_keys || *usage != KeyUsage::KeyEncipherment)
            .collect()
    }

    /// The extended key usages.
    pub fn key_purposes(&self) -> &[KeyPurpose] {
        &self.key_purposes
    }

    /// The kinds of subject key it accepts.
    pub fn key_kinds(&self) -> &[KeyKind] {
        &self.key_kinds
    }

    /// The rules for subject alternative names.
    pub fn name_rules(&self) -> &NameRules {
        &self.names
    }

    /// Whether its subjects may carry roles.
    pub fn allows_roles(&self) -> bool {
        self.roles
    }

    /// How long a certificate lasts when nobody says otherwise, both ends and the backdating included.
    pub fn default_validity(&self) -> TimeDelta {
        self.default_validity
    }

    /// The longest a certificate may last, both ends and the backdating included.
    pub fn max_validity(&self) -> TimeDelta {
        self.max_validity
    }

    /// How far before its issue a certificate begins, for clocks that are behind.
    pub fn backdate(&self) -> TimeDelta {
        self.backdate
    }

    /// Judges a subject key.
    pub(crate) fn check_key(&self, key: &PublicKey) -> Result<(), ProfileError> {
        let kind = KeyKind::of(key.algorithm());
        if !self.key_kinds.contains(&kind) {
            return Err(ProfileError::KeyKind {
                profile: self.name.to_string(),
                given: kind.name(),
                allowed: joined(self.key_kinds.iter().map(|kind| kind.name())),
            });
        }
        Ok(())
    }

    /// Judges every subject alternative name by itself, then their number.
    pub(crate) fn check_names(&self, names: &[GeneralName]) -> Result<(), ProfileError> {
        for name in names {
            self.names.check(&self.name, name)?;
        }
        if names.len() > NAMES_MAX {
            return Err(ProfileError::TooManyNames { count: names.len() });
        }
        Ok(())
    }
}

/// Words joined for a message.
pub(crate) fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// Durations are shown as seconds, as the errors count them.
fn seconds<S: serde::Serializer>(duration: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(duration.num_seconds())
}

/// How many subject alternative names a certificate may have. The store keeps an index entry for each, in one commit.
pub const NAMES_MAX: usize = 40;

/// How long an end entity's certificate lasts by default: a day, so that a stolen key is soon worthless.
const END_ENTITY_VALIDITY: TimeDelta = TimeDelta::days(1);

/// The longest an end entity's certificate lasts: 90 days, and one so that "90 days from now" fits with its backdating.
const END_ENTITY_VALIDITY_MAX: TimeDelta = TimeDelta::days(90 + 1);

/// The longest an operator's certificate lasts: a week, and a day for the backdating.
const OPERATOR_VALIDITY_MAX: TimeDelta = TimeDelta::days(7 + 1);

/// How long an authority's certificate lasts by default: ten years.
const AUTHORITY_VALIDITY: TimeDelta = TimeDelta::days(10 * 365);

/// The longest an issuing authority's certificate lasts: ten years with their leap days, and a day for the backdating.
const AUTHORITY_VALIDITY_MAX: TimeDelta = TimeDelta::days(10 * 365 + 3 + 1);

/// The longest a root's certificate lasts: 25 years with their leap days, and a day for the backdating.
const ROOT_VALIDITY_MAX: TimeDelta = TimeDelta::days(25 * 365 + 7 + 1);

/// How far certificates begin before now. Hosts whose clock is behind by less accept a fresh certificate at once.
const BACKDATE: TimeDelta = TimeDelta::minutes(5);

#[cfg(test)]
mod tests {
    use bowline_x509::Signer as _;

    use super::*;
    use crate::testing::TestSigner;

    #[test]
    fn every_listed_name_is_a_profile_of_that_name() {
        for name in CertificateProfile::NAMES {
            assert_eq!(CertificateProfile::named(name).unwrap().name(), name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_list_of_known_ones() {
        let error = CertificateProfile::named("sub-ca").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no certificate profile \"sub-ca\": known are workload, server, client, operator, root, issuing"
        );
        assert_eq!(error.code(), "unknown_certificate_profile");
    }

    #[test]
    fn key_encipherment_is_for_rsa_keys_only() {
        let profile = CertificateProfile::workload();
        assert!(
            profile
                .key_usages(KeyAlgorithm::Rsa { bits: 2048 })
                .contains(&KeyUsage::KeyEncipherment)
        );
        for algorithm in [
            KeyAlgorithm::P256,
            KeyAlgorithm::P384,
            KeyAlgorithm::P521,
            KeyAlgorithm::Ed25519,
        ] {
            assert_eq!(profile.key_usages(algorithm), [KeyUsage::DigitalSignature]);
        }
    }

    #[test]
    fn only_the_authority_profiles_may_sign_certificates() {
        for name in CertificateProfile::NAMES {
            let profile = CertificateProfile::named(name).unwrap();
            let signs = profile
                .key_usages(KeyAlgorithm::P256)
                .contains(&KeyUsage::KeyCertSign);
            assert_eq!(signs, profile.is_authority(), "{name}");
            assert_eq!(signs, ["root", "issuing"].contains(&name), "{name}");
        }
    }

    #[test]
    fn kinds_of_key_that_a_profile_does_without_are_refused() {
        let mut profile = CertificateProfile::workload();
        profile.key_kinds = vec![KeyKind::P256, KeyKind::Rsa];
        for (signer, accepted) in TestSigner::of_every_kind()
            .iter()
            .zip([true, false, false, true, false])
        {
            assert_eq!(
                CertificateProfile::workload().check_key(signer.public_key()),
                Ok(())
            );
            assert_eq!(profile.check_key(signer.public_key()).is_ok(), accepted);
        }
        let ed25519 = TestSigner::of_every_kind()[4].public_key();
        assert_eq!(
            profile.check_key(ed25519).unwrap_err().to_string(),
            "certificate profile workload does not accept Ed25519 keys: it accepts P-256, RSA"
        );
    }

    #[test]
    fn profiles_are_shown_with_their_rules() {
        let shown = serde_json::to_value(CertificateProfile::issuing()).unwrap();
        assert_eq!(
            shown["kind"],
            serde_json::json!({"kind": "authority", "path_length": 0})
        );
        assert_eq!(
            shown["key_usages"],
            serde_json::json!(["keyCertSign", "cRLSign"])
        );
        let shown = serde_json::to_value(CertificateProfile::workload()).unwrap();
        assert_eq!(shown["default_validity_seconds"], 86_400);
        assert_eq!(shown["backdate_seconds"], 300);
        assert_eq!(
            shown["key_purposes"],
            serde_json::json!(["serverAuth", "clientAuth"])
        );
        assert_eq!(
            shown["key_kinds"],
            serde_json::json!(["P-256", "P-384", "P-521", "RSA", "Ed25519"])
        );
        assert_eq!(
            shown["names"]["kinds"],
            serde_json::json!(["DNS", "IP", "URI", "email"])
        );
    }

    #[test]
    fn no_default_is_over_its_maximum() {
        for name in CertificateProfile::NAMES {
            let profile = CertificateProfile::named(name).unwrap();
            assert!(
                profile.default_validity() <= profile.max_validity(),
                "{name}"
            );
            assert!(profile.backdate() < profile.default_validity(), "{name}");
        }
    }
}

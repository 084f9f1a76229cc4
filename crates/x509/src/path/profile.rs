//! What RFC 5280 asks of issuers, where a validator may shrug: the strict rules.
//!
//! Many certificates in use break one of these and still prove what they say, so they bind only where the caller asks
//! for strictness: on our own output, and when judging whether another CA's output will be accepted elsewhere.

use crate::oid;
use crate::path::Purpose;
use crate::path::checks::{name_of, position};
use crate::path::error::{PathError, Position};
use crate::{Certificate, ConstrainedName, GeneralName, KeyAlgorithm, PublicKey};

/// A rule of the RFC 5280 profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileRule {
    /// UTCTime through 2049, GeneralizedTime from 2050.
    TimeEncoding,
    /// Positive, and at most 20 octets.
    SerialNumber,
    /// Every certificate names its issuer.
    IssuerEmpty,
    /// Without a subject, the alternative name is all there is.
    SubjectAltNameNotCritical,
    /// Beside a subject, the alternative name is not critical.
    SubjectAltNameCritical,
    /// Each name has the form of its kind.
    SubjectAltNameForm,
    /// The issuer's key is named, except on a root.
    AuthorityKeyIdMissing,
    /// By its identifier, not by issuer and serial alone.
    AuthorityKeyIdWithoutKey,
    /// Issuer and serial number go together.
    AuthorityKeyIdIncomplete,
    /// It names the key that signed.
    AuthorityKeyIdMismatch,
    /// A CA names its own key.
    SubjectKeyIdMissing,
    /// On a CA the extension is critical.
    BasicConstraintsNotCritical,
    /// A path length means nothing without cA.
    PathLengthWithoutCa,
    /// At least one use is named.
    KeyUsageEmpty,
    /// Only CAs sign certificates.
    KeyCertSignWithoutCa,
    /// A root's purposes are for those who trust it to decide.
    ExtendedKeyUsageOnRoot,
    /// A certificate asked about one purpose does not claim all.
    AnyPurpose,
    /// Only CAs are constrained in names.
    NameConstraintsOnLeaf,
    /// Whoever does not understand the constraint must refuse.
    NameConstraintsNotCritical,
    /// Each base has the form of its kind.
    NameConstraintsForm,
    /// Whoever does not understand the constraint must refuse.
    PolicyConstraintsNotCritical,
    /// Whoever does not understand the constraint must refuse.
    InhibitAnyPolicyNotCritical,
    /// One instance of each extension.
    ExtensionRepeated,
    /// The modulus fills whole octets.
    RsaModulusOctets,
    /// Every CRL is numbered.
    CrlNumberMissing,
    /// The number is never critical.
    CrlNumberCritical,
    /// Every CRL says when the next is due.
    CrlNextUpdateMissing,
}

impl ProfileRule {
    /// Every rule.
    pub const ALL: [ProfileRule; 27] = [
        ProfileRule::TimeEncoding,
        ProfileRule::SerialNumber,
        ProfileRule::IssuerEmpty,
        ProfileRule::SubjectAltNameNotCritical,
        ProfileRule::SubjectAltNameCritical,
        ProfileRule::SubjectAltNameForm,
        ProfileRule::AuthorityKeyIdMissing,
        ProfileRule::AuthorityKeyIdWithoutKey,
        ProfileRule::AuthorityKeyIdIncomplete,
        ProfileRule::AuthorityKeyIdMismatch,
        ProfileRule::SubjectKeyIdMissing,
        ProfileRule::BasicConstraintsNotCritical,
        ProfileRule::PathLengthWithoutCa,
        ProfileRule::KeyUsageEmpty,
        ProfileRule::KeyCertSignWithoutCa,
        ProfileRule::ExtendedKeyUsageOnRoot,
        ProfileRule::AnyPurpose,
        ProfileRule::NameConstraintsOnLeaf,
        ProfileRule::NameConstraintsNotCritical,
        ProfileRule::NameConstraintsForm,
        ProfileRule::PolicyConstraintsNotCritical,
        ProfileRule::InhibitAnyPolicyNotCritical,
        ProfileRule::ExtensionRepeated,
        ProfileRule::RsaModulusOctets,
        ProfileRule::CrlNumberMissing,
        ProfileRule::CrlNumberCritical,
        ProfileRule::CrlNextUpdateMissing,
    ];

    /// The stable name of a refusal under this rule.
    pub fn code(self) -> &'static str {
        self.facts().0
    }

    /// Where RFC 5280 states it.
    pub fn section(self) -> &'static str {
        self.facts().1
    }

    /// The rule in words.
    pub fn text(self) -> &'static str {
        self.facts().2
    }

    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            ProfileRule::TimeEncoding => (
                "profile_time_encoding",
                "§4.1.2.5",
                "a time is a UTCTime through 2049 and a GeneralizedTime from 2050",
            ),
            ProfileRule::SerialNumber => (
                "profile_serial_number",
                "§4.1.2.2",
                "a serial number is positive and at most 20 octets",
            ),
            ProfileRule::IssuerEmpty => (
                "profile_issuer_empty",
                "§4.1.2.4",
                "the issuer is not empty",
            ),
            ProfileRule::SubjectAltNameNotCritical => (
                "profile_san_not_critical",
                "§4.1.2.6",
                "without a subject, a critical subject alternative name is there",
            ),
            ProfileRule::SubjectAltNameCritical => (
                "profile_san_critical",
                "§4.2.1.6",
                "beside a subject, the subject alternative name is not critical",
            ),
            ProfileRule::SubjectAltNameForm => (
                "profile_san_form",
                "§4.2.1.6",
                "a subject alternative name has the form of its kind",
            ),
            ProfileRule::AuthorityKeyIdMissing => (
                "profile_aki_missing",
                "§4.2.1.1",
                "all but self-signed certificates name their issuer's key",
            ),
            ProfileRule::AuthorityKeyIdWithoutKey => (
                "profile_aki_without_key",
                "§4.2.1.1",
                "an authority key identifier has the field keyIdentifier",
            ),
            ProfileRule::AuthorityKeyIdIncomplete => (
                "profile_aki_incomplete",
                "§4.2.1.1",
                "authorityCertIssuer and authorityCertSerialNumber are both there, or neither",
            ),
            ProfileRule::AuthorityKeyIdMismatch => (
                "profile_aki_mismatch",
                "§4.2.1.1",
                "the authority key identifier is the issuer's subject key identifier",
            ),
            ProfileRule::SubjectKeyIdMissing => (
                "profile_ski_missing",
                "§4.2.1.2",
                "a CA has a subject key identifier",
            ),
            ProfileRule::BasicConstraintsNotCritical => (
                "profile_basic_constraints_not_critical",
                "§4.2.1.9",
                "the basic constraints of a CA are critical",
            ),
            ProfileRule::PathLengthWithoutCa => (
                "profile_path_length_without_ca",
                "§4.2.1.9",
                "only a CA has a path length",
            ),
            ProfileRule::KeyUsageEmpty => (
                "profile_key_usage_empty",
                "§4.2.1.3",
                "a key usage names one use or more",
            ),
            ProfileRule::KeyCertSignWithoutCa => (
                "profile_key_cert_sign_without_ca",
                "§4.2.1.3",
                "only a CA has the key usage keyCertSign",
            ),
            ProfileRule::ExtendedKeyUsageOnRoot => (
                "profile_extended_key_usage_on_root",
                "§4.2.1.12",
                "a root has no extended key usage",
            ),
            ProfileRule::AnyPurpose => (
                "profile_any_purpose",
                "§4.2.1.12",
                "a certificate for one purpose does not list anyExtendedKeyUsage beside it",
            ),
            ProfileRule::NameConstraintsOnLeaf => (
                "profile_name_constraints_on_leaf",
                "§4.2.1.10",
                "only a CA has name constraints",
            ),
            ProfileRule::NameConstraintsNotCritical => (
                "profile_name_constraints_not_critical",
                "§4.2.1.10",
                "name constraints are critical",
            ),
            ProfileRule::NameConstraintsForm => (
                "profile_name_constraints_form",
                "§4.2.1.10",
                "a constrained subtree has the form of its kind, without minimum and maximum",
            ),
            ProfileRule::PolicyConstraintsNotCritical => (
                "profile_policy_constraints_not_critical",
                "§4.2.1.11",
                "policy constraints are critical",
            ),
            ProfileRule::InhibitAnyPolicyNotCritical => (
                "profile_inhibit_any_policy_not_critical",
                "§4.2.1.14",
                "inhibitAnyPolicy is critical",
            ),
            ProfileRule::ExtensionRepeated => (
                "profile_extension_repeated",
                "§4.2",
                "an extension appears at most once",
            ),
            ProfileRule::RsaModulusOctets => (
                "profile_rsa_modulus_octets",
                "§4.1.2.7",
                "the length of an RSA modulus is a multiple of 8 bits",
            ),
            ProfileRule::CrlNumberMissing => {
                ("profile_crl_number_missing", "§5.2.3", "a CRL has a number")
            }
            ProfileRule::CrlNumberCritical => (
                "profile_crl_number_critical",
                "§5.2.3",
                "the number of a CRL is not critical",
            ),
            ProfileRule::CrlNextUpdateMissing => (
                "profile_crl_next_update_missing",
                "§5.1.2.5",
                "a CRL says when the next is due",
            ),
        }
    }
}

/// Checks every certificate of a path, leaf first.
pub(super) fn check(path: &[&Certificate], purpose: Purpose) -> Result<(), PathError> {
    for (index, certificate) in path.iter().enumerate() {
        let position = position(index, path.len());
        let result =
            certificate_rules(position, certificate, path.get(index + 1).copied(), purpose);
        result.map_err(|Broken { rule, found }| PathError::Profile {
            position,
            subject: name_of(certificate),
            rule,
            found,
        })?;
    }
    Ok(())
}

/// A broken rule, and what was found.
struct Broken {
    rule: ProfileRule,
    found: String,
}

fn certificate_rules(
    position: Position,
    certificate: &Certificate,
    issuer: Option<&Certificate>,
    purpose: Purpose,
) -> Result<(), Broken> {
    let ca = position != Position::Leaf;
    if let Some(extension) = certificate.repeated_extension() {
        return broken(
            ProfileRule::ExtensionRepeated,
            &format!("{} twice", extension.name()),
        );
    }
    names(certificate, position)?;
    purposes(certificate, position, purpose)?;
    key_identifiers(certificate, issuer, ca)?;
    constraints(certificate, ca)?;
    let conforming =
        certificate.not_before().is_conforming() && certificate.not_after().is_conforming();
    demand(conforming, ProfileRule::TimeEncoding, "the other")?;
    match certificate.public_key().map(PublicKey::algorithm) {
        Ok(KeyAlgorithm::Rsa { bits }) if bits % 8 != 0 => {
            broken(ProfileRule::RsaModulusOctets, &format!("{bits} bits"))
        }
        _ => Ok(()),
    }
}

/// Serial number, issuer, subject, subject alternative name.
fn names(certificate: &Certificate, position: Position) -> Result<(), Broken> {
    let serial = certificate.serial();
    // An anchor is trusted by its key; some that all the world trusts bear the number 0.
    let numbered = position == Position::Anchor || serial.is_conforming();
    demand(numbered, ProfileRule::SerialNumber, &serial.to_hex())?;
    // With it, the subject of every CA on the path is not empty either.
    demand(
        !certificate.issuer().is_empty(),
        ProfileRule::IssuerEmpty,
        "no attributes",
    )?;
    let alternative = certificate
        .extension(&oid::SUBJECT_ALT_NAME)
        .map(|extension| extension.critical);
    if certificate.subject().is_empty() {
        let found = if alternative.is_some() {
            "one that is not critical"
        } else {
            "none"
        };
        demand(
            alternative == Some(true),
            ProfileRule::SubjectAltNameNotCritical,
            found,
        )?;
    } else {
        demand(
            alternative != Some(true),
            ProfileRule::SubjectAltNameCritical,
            "a critical one",
        )?;
    }
    for name in certificate.subject_alt_names() {
        let fault = match name {
            GeneralName::Dns(name) => GeneralName::dns(name).err(),
            GeneralName::Email(name) => GeneralName::email(name).err(),
            GeneralName::Uri(name) => GeneralName::uri(name).err(),
            GeneralName::Ip(_) | GeneralName::DirectoryName(_) | GeneralName::Other(_) => None,
        };
        if let Some(fault) = fault {
            return broken(ProfileRule::SubjectAltNameForm, &fault.to_string());
        }
    }
    Ok(())
}

/// Extended key usage beyond whether it names the purpose asked for.
fn purposes(certificate: &Certificate, position: Position, purpose: Purpose) -> Result<(), Broken> {
    let Some(purposes) = certificate.extended_key_usage() else {
        return Ok(());
    };
    let root = position == Position::Anchor && certificate.is_self_issued();
    demand(!root, ProfileRule::ExtendedKeyUsageOnRoot, "one")?;
    let any = position == Position::Leaf && purposes.contains(&oid::ANY_EXTENDED_KEY_USAGE);
    demand(
        !any || purpose == Purpose::Any,
        ProfileRule::AnyPurpose,
        "it",
    )
}

/// Authority and subject key identifier.
fn key_identifiers(
    certificate: &Certificate,
    issuer: Option<&Certificate>,
    ca: bool,
) -> Result<(), Broken> {
    demand(
        !ca || certificate.subject_key_id().is_some(),
        ProfileRule::SubjectKeyIdMissing,
        "none",
    )?;
    let Some(authority) = certificate.authority_key_identifier() else {
        // An anchor that is not self-signed is a CA that another signed, and names that CA's key like any other.
        let root = issuer.is_none() && certificate.is_self_issued();
        return demand(root, ProfileRule::AuthorityKeyIdMissing, "none");
    };
    let complete = authority.issuer.is_empty() == authority.serial.is_none();
    demand(
        complete,
        ProfileRule::AuthorityKeyIdIncomplete,
        "one of them",
    )?;
    let Some(key) = &authority.key_id else {
        return broken(ProfileRule::AuthorityKeyIdWithoutKey, "none");
    };
    let signer = issuer.or(certificate.is_self_issued().then_some(certificate));
    match signer.and_then(Certificate::subject_key_id) {
        Some(expected) if expected != key => {
            let found = format!(
                "{} where the issuer has {}",
                hex::encode(key),
                hex::encode(expected)
            );
            broken(ProfileRule::AuthorityKeyIdMismatch, &found)
        }
        _ => Ok(()),
    }
}

/// Basic constraints, key usage, constraints on policies and names.
fn constraints(certificate: &Certificate, ca: bool) -> Result<(), Broken> {
    if let Some(basic) = certificate.basic_constraints() {
        let critical = certificate
            .extension(&oid::BASIC_CONSTRAINTS)
            .is_some_and(|extension| extension.critical);
        demand(
            critical || !basic.ca,
            ProfileRule::BasicConstraintsNotCritical,
            "not critical",
        )?;
        demand(
            basic.ca || basic.path_len.is_none(),
            ProfileRule::PathLengthWithoutCa,
            "one without cA",
        )?;
    }
    if let Some(usage) = certificate.key_usage() {
        demand(!usage.is_empty(), ProfileRule::KeyUsageEmpty, "none")?;
        demand(
            ca || !usage.key_cert_sign(),
            ProfileRule::KeyCertSignWithoutCa,
            "it on an end entity",
        )?;
    }
    let shrugged = |oid| {
        certificate
            .extension(&oid)
            .is_some_and(|extension| !extension.critical)
    };
    demand(
        !shrugged(oid::POLICY_CONSTRAINTS),
        ProfileRule::PolicyConstraintsNotCritical,
        "not critical",
    )?;
    demand(
        !shrugged(oid::INHIBIT_ANY_POLICY),
        ProfileRule::InhibitAnyPolicyNotCritical,
        "not critical",
    )?;
    let Some(constraints) = certificate.name_constraints() else {
        return Ok(());
    };
    demand(
        ca,
        ProfileRule::NameConstraintsOnLeaf,
        "them on an end entity",
    )?;
    let critical = certificate
        .extension(&oid::NAME_CONSTRAINTS)
        .is_some_and(|extension| extension.critical);
    demand(
        critical,
        ProfileRule::NameConstraintsNotCritical,
        "not critical",
    )?;
    match constraints
        .permitted
        .iter()
        .chain(&constraints.excluded)
        .find(|base| !is_well_formed(base))
    {
        None => Ok(()),
        Some(base) => broken(ProfileRule::NameConstraintsForm, &format!("{base:?}")),
    }
}

/// Whether a base of a name constraint has the form of its kind. Unlike a URI's, a host name's never begins with a dot.
fn is_well_formed(base: &ConstrainedName) -> bool {
    let host = |name: &str| !name.starts_with('*') && GeneralName::dns(name).is_ok();
    let domain = |name: &str| host(name.strip_prefix('.').unwrap_or(name));
    match base {
        // The empty name stands for all names.
        ConstrainedName::Dns(name) => name.is_empty() || host(name),
        ConstrainedName::Email(name) => domain(name) || GeneralName::email(name).is_ok(),
        ConstrainedName::Uri(name) => domain(name),
        ConstrainedName::Ip(range) => range.prefix_len().is_some(),
        ConstrainedName::DirectoryName(_) | ConstrainedName::Other(_) => true,
    }
}

fn demand(holds: bool, rule: ProfileRule, found: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { broken(rule, found) }
}

fn broken(rule: ProfileRule, found: &str) -> Result<(), Broken> {
    Err(Broken {
        rule,
        found: found.to_owned(),
    })
}

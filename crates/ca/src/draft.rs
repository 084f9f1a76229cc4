//! A draft: everything a certificate will say, judged and fixed before anything is signed.

use bowline_x509::{
    Certificate, DistinguishedName, GeneralName, NameError, PublicKey, SerialNumber, Time, Validity,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATIONAL_UNIT_NAME};
use der::{Decode, Encode};
use x509_cert::name::RdnSequence;

use crate::authority::{Authority, AuthorityUrls};
use crate::error::{ProfileError, shown};
use crate::profile::{CertificateKind, CertificateProfile, KeyPurpose, KeyUsage, NAMES_MAX};
use crate::validity::{self, Asked};

/// Whom a certificate is for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The subject's name.
    pub name: SubjectName,
    /// Its subject alternative names; repeats count once, and hosts are written in lower case.
    pub names: Vec<GeneralName>,
    /// The roles it may take, written into one organizational unit. Ask whether the caller may pass them before.
    pub roles: Vec<String>,
    /// The key that is certified. Ask for proof of possession before.
    pub public_key: PublicKey,
}

/// How a subject's distinguished name comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    /// The unit of the roles, if any, and this common name.
    CommonName(String),
    /// The unit of the roles, if any, and these attributes, which bring no unit of their own.
    Distinguished(DistinguishedName),
}

/// A certificate that may be issued and is not yet signed. Signing uses it up, so it is issued once.
#[derive(Debug)]
pub struct Draft {
    pub(crate) profile: String,
    /// The issuing certificate; absent where a key signs for itself.
    pub(crate) issuing: Option<Certificate>,
    pub(crate) issuer: DistinguishedName,
    pub(crate) authority_key_id: Vec<u8>,
    pub(crate) subject: DistinguishedName,
    pub(crate) names: Vec<GeneralName>,
    pub(crate) public_key: PublicKey,
    pub(crate) serial: SerialNumber,
    pub(crate) validity: Validity,
    pub(crate) shortened_from: Option<Time>,
    pub(crate) kind: CertificateKind,
    pub(crate) key_usages: Vec<KeyUsage>,
    pub(crate) key_purposes: Vec<KeyPurpose>,
    pub(crate) urls: Option<AuthorityUrls>,
}

/// A root's certificate before its own key has signed it.
#[derive(Debug)]
pub struct RootDraft(pub(crate) Draft);

impl CertificateProfile {
    /// Drafts an end entity's certificate, or names the rule that stands against it.
    pub fn draft(
        &self,
        subject: &Subject,
        asked: &Asked,
        authority: &Authority,
        serial: SerialNumber,
        now: Time,
    ) -> Result<Draft, ProfileError> {
        if self.is_authority() {
            return Err(ProfileError::AuthorityProfile {
                profile: self.name().to_owned(),
            });
        }
        let name = subject_name(self, subject)?;
        let granted = validity::grant(
            self,
            self.default_validity(),
            *asked,
            Some(authority.certificate()),
            now,
        )?;
        self.under(
            authority,
            name,
            &subject.names,
            &subject.public_key,
            serial,
            granted,
        )
    }

    /// Drafts the certificate of an authority below another.
    pub fn draft_authority(
        &self,
        subject: &DistinguishedName,
        public_key: &PublicKey,
        asked: &Asked,
        parent: &Authority,
        serial: SerialNumber,
        now: Time,
    ) -> Result<Draft, ProfileError> {
        let path_length = self.authority_path_length()?;
        if let Some(issuer) = parent.path_length()
            && path_length.is_none_or(|asked| u32::from(asked) >= issuer)
        {
            let asked = path_length.map_or_else(|| "any".to_owned(), |length| length.to_string());
            return Err(ProfileError::PathLength { issuer, asked });
        }
        check_authority_name(subject)?;
        let granted = validity::grant(
            self,
            self.default_validity(),
            *asked,
            Some(parent.certificate()),
            now,
        )?;
        self.under(parent, subject.clone(), &[], public_key, serial, granted)
    }

    /// Drafts the certificate of a root, which its own key will sign.
    pub fn draft_root(
        &self,
        subject: &DistinguishedName,
        public_key: &PublicKey,
        asked: &Asked,
        serial: SerialNumber,
        now: Time,
    ) -> Result<RootDraft, ProfileError> {
        self.authority_path_length()?;
        check_authority_name(subject)?;
        self.check_key(public_key)?;
        check_serial(&serial)?;
        let granted = validity::grant(self, self.default_validity(), *asked, None, now)?;
        Ok(RootDraft(Draft {
            profile: self.name().to_owned(),
            issuing: None,
            issuer: subject.clone(),
            authority_key_id: public_key.key_id().to_vec(),
            subject: subject.clone(),
            names: Vec::new(),
            public_key: public_key.clone(),
            serial,
            validity: granted.validity,
            shortened_from: granted.shortened_from,
            kind: self.kind(),
            key_usages: self.key_usages(public_key.algorithm()),
            key_purposes: self.key_purposes().to_vec(),
            urls: None,
        }))
    }

    /// What every draft below an authority has in common, from the judged name and period on.
    pub(crate) fn under(
        &self,
        authority: &Authority,
        subject: DistinguishedName,
        names: &[GeneralName],
        public_key: &PublicKey,
        serial: SerialNumber,
        granted: validity::Granted,
    ) -> Result<Draft, ProfileError> {
        self.check_key(public_key)?;
        check_serial(&serial)?;
        if names.len() > GIVEN_NAMES_MAX {
            return Err(ProfileError::TooManyNames { count: names.len() });
        }
        let mut distinct: Vec<GeneralName> = Vec::with_capacity(names.len());
        for name in names {
            // Hosts are the same in any case (RFC 5280 §7.2); an index by name wants one spelling.
            let name = match name {
                GeneralName::Dns(host) => GeneralName::Dns(host.to_ascii_lowercase()),
                other => other.clone(),
            };
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        self.check_names(&distinct)?;
        if subject.is_empty() && distinct.is_empty() {
            return Err(ProfileError::EmptySubject {
                rule: "without a subject there must be an alternative name",
            });
        }
        Ok(Draft {
            profile: self.name().to_owned(),
            issuing: Some(authority.certificate().clone()),
            issuer: authority.subject().clone(),
            authority_key_id: authority.key_id().to_vec(),
            subject,
            names: distinct,
            public_key: public_key.clone(),
            serial,
            validity: granted.validity,
            shortened_from: granted.shortened_from,
            kind: self.kind(),
            key_usages: self.key_usages(public_key.algorithm()),
            key_purposes: self.key_purposes().to_vec(),
            urls: authority.urls().cloned(),
        })
    }

    /// The path length of an authority's profile.
    fn authority_path_length(&self) -> Result<Option<u8>, ProfileError> {
        match self.kind() {
            CertificateKind::Authority { path_length } => Ok(path_length),
            CertificateKind::EndEntity => Err(ProfileError::EndEntityProfile {
                profile: self.name().to_owned(),
            }),
        }
    }
}

impl Draft {
    /// The name of the profile that made it.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// The issuer's name.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The subject's name.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The subject alternative names.
    pub fn names(&self) -> &[GeneralName] {
        &self.names
    }

    /// The roles in the subject, as other programs will read them.
    pub fn roles(&self) -> Vec<String> {
        roles_of(&self.subject)
    }

    /// The key that is certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The serial number.
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The period.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Where the period would have ended, had the issuer not ended first.
    pub fn shortened_from(&self) -> Option<Time> {
        self.shortened_from
    }

    /// Whether it is an authority's.
    pub fn is_authority(&self) -> bool {
        matches!(self.kind, CertificateKind::Authority { .. })
    }

    /// The key usage bits.
    pub fn key_usages(&self) -> &[KeyUsage] {
        &self.key_usages
    }

    /// The extended key usages.
    pub fn key_purposes(&self) -> &[KeyPurpose] {
        &self.key_purposes
    }
}

impl RootDraft {
    /// What it says.
    pub fn draft(&self) -> &Draft {
        &self.0
    }
}

/// The roles in a subject's organizational units, as [`Subject::roles`] wrote them.
pub fn roles_of(subject: &DistinguishedName) -> Vec<String> {
    let units = subject
        .attributes()
        .filter(|attribute| attribute.oid == ORGANIZATIONAL_UNIT_NAME);
    let roles = units.flat_map(|unit| {
        unit.value
            .split(ROLE_SEPARATOR)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    roles.filter(|role| !role.is_empty()).collect()
}

/// Builds and judges an end entity's distinguished name: the roles' unit first, then the rest.
fn subject_name(
    profile: &CertificateProfile,
    subject: &Subject,
) -> Result<DistinguishedName, ProfileError> {
    let unit = unit_of_roles(profile, &subject.roles)?;
    let unit = unit
        .iter()
        .map(|unit| (ORGANIZATIONAL_UNIT_NAME, unit.as_str()));
    match &subject.name {
        SubjectName::CommonName(name) => {
            check_common_name(name)?;
            let attributes: Vec<_> = unit.chain([(COMMON_NAME, name.as_str())]).collect();
            named(&attributes)
        }
        SubjectName::Distinguished(name) => {
            check_attributes(name)?;
            let unit: Vec<_> = unit.collect();
            if unit.is_empty() {
                Ok(name.clone())
            } else {
                one_after_other(&named(&unit)?, name)
            }
        }
    }
}

/// The attributes as a name.
fn named(attributes: &[(ObjectIdentifier, &str)]) -> Result<DistinguishedName, ProfileError> {
    let given = || {
        attributes
            .iter()
            .map(|(_, value)| *value)
            .collect::<Vec<_>>()
            .join(", ")
    };
    DistinguishedName::from_attributes(attributes).map_err(|error| malformed(given(), &error))
}

/// The relative names of both, each as it stands.
fn one_after_other(
    first: &DistinguishedName,
    rest: &DistinguishedName,
) -> Result<DistinguishedName, ProfileError> {
    let joined = || -> der::Result<Vec<u8>> {
        let mut names = RdnSequence::from_der(first.as_der())?;
        RdnSequence::from_der(rest.as_der())?
            .iter()
            .for_each(|name| names.push(name.clone()));
        names.to_der()
    };
    let joined = joined().map_err(|error| ProfileError::SubjectSyntax {
        given: rest.to_string(),
        reason: error.to_string(),
    })?;
    DistinguishedName::from_der(&joined).map_err(|error| malformed(rest.to_string(), &error))
}

/// A name that cannot be written.
fn malformed(given: String, error: &NameError) -> ProfileError {
    ProfileError::SubjectSyntax {
        given,
        reason: error.to_string(),
    }
}

/// The roles as one organizational unit.
fn unit_of_roles(
    profile: &CertificateProfile,
    roles: &[String],
) -> Result<Option<String>, ProfileError> {
    if roles.is_empty() {
        return Ok(None);
    }
    for role in roles {
        // IAM allows a comma too, which the values of session tags do not: such a unit would reach no trust policy.
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || "+=.@-_".contains(character);
        if role.is_empty() || role.len() > ROLE_CHARACTERS_MAX || !role.chars().all(allowed) {
            return Err(ProfileError::RoleName { role: shown(role) });
        }
    }
    let mut distinct: Vec<&str> = Vec::with_capacity(roles.len());
    for role in roles {
        if !distinct.contains(&role.as_str()) {
            distinct.push(role);
        }
    }
    let joined = distinct.join(ROLE_SEPARATOR);
    if !profile.allows_roles() {
        return Err(ProfileError::RolesNotAllowed {
            profile: profile.name().to_owned(),
            roles: joined,
        });
    }
    let length = joined.len();
    if length > UNIT_CHARACTERS_MAX {
        return Err(ProfileError::RolesTooLong {
            joined,
            length,
            allowed: UNIT_CHARACTERS_MAX,
        });
    }
    Ok(Some(joined))
}

/// A name given as attributes: within RFC 5280's bounds, common names as ever, and no unit.
fn check_attributes(name: &DistinguishedName) -> Result<(), ProfileError> {
    name.check_issuable()
        .map_err(|error| malformed(name.to_string(), &error))?;
    for attribute in name.attributes() {
        if attribute.oid == ORGANIZATIONAL_UNIT_NAME {
            return Err(ProfileError::UnitInSubject {
                unit: shown(&attribute.value),
            });
        }
        if attribute.oid == COMMON_NAME {
            check_common_name(&attribute.value)?;
        }
    }
    Ok(())
}

/// An authority's name: not empty (RFC 5280 §4.1.2.6), and no unit that a trust policy could take for a role.
fn check_authority_name(name: &DistinguishedName) -> Result<(), ProfileError> {
    if name.is_empty() {
        return Err(ProfileError::EmptySubject {
            rule: "an authority's subject becomes the issuer of others",
        });
    }
    check_attributes(name)
}

/// One to 64 printable characters (RFC 5280 appendix A.1, ub-common-name).
pub(crate) fn check_common_name(name: &str) -> Result<(), ProfileError> {
    let refuse = |rule| {
        Err(ProfileError::CommonName {
            given: shown(name),
            rule,
        })
    };
    let length = name.chars().count();
    if length == 0 || length > COMMON_NAME_CHARACTERS_MAX {
        return refuse("it has 1 to 64 characters");
    }
    if name.chars().any(char::is_control) {
        return refuse("it has no control characters");
    }
    if name.trim() != name {
        return refuse("it neither begins nor ends with a space");
    }
    Ok(())
}

/// RFC 5280 §4.1.2.2.
fn check_serial(serial: &SerialNumber) -> Result<(), ProfileError> {
    if serial.is_conforming() {
        Ok(())
    } else {
        Err(ProfileError::Serial {
            serial: serial.to_hex(),
        })
    }
}

/// Between roles in one organizational unit. It cannot be part of a role's name.
const ROLE_SEPARATOR: &str = "/";

/// How many names may be given, repeats included: each is compared with those before it.
const GIVEN_NAMES_MAX: usize = 4 * NAMES_MAX;

/// The longest role name, as IAM has it.
const ROLE_CHARACTERS_MAX: usize = 64;

/// RFC 5280 appendix A.1, ub-organizational-unit-name.
const UNIT_CHARACTERS_MAX: usize = 64;

/// RFC 5280 appendix A.1, ub-common-name.
const COMMON_NAME_CHARACTERS_MAX: usize = 64;

#[cfg(test)]
mod tests;

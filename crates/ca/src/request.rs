//! What a certification request may contribute: its key, and the alternative names that the profile allows.
//!
//! Whatever else it asks for is refused by name, never dropped in silence: who asks for a role or for `CA:TRUE` should
//! hear that it will not happen. Nothing is copied from a request that the profile does not give anyway.

use bowline_x509::{CertificationRequest, DistinguishedName, GeneralName};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATIONAL_UNIT_NAME};
use const_oid::db::rfc5280::{
    ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
};

use crate::draft::{Subject, SubjectName};
use crate::error::{ProfileError, shown};
use crate::profile::{CertificateProfile, KeyPurpose, KeyUsage, joined};
use crate::renewal::{purpose_name, purpose_names};

impl CertificateProfile {
    /// The subject of a request: named by the caller, with the request's key.
    ///
    /// Its alternative names are the caller's, followed by the request's. Each is judged alike when it is drafted, so
    /// look at [`Draft::names`](crate::Draft::names) before deciding whether the caller may have them all.
    pub fn subject_of_request(
        &self,
        request: &CertificationRequest,
        common_name: &str,
        names: Vec<GeneralName>,
        roles: Vec<String>,
    ) -> Result<Subject, ProfileError> {
        self.check_requested_subject(request.subject(), common_name)?;
        self.check_requested_extensions(request)?;
        let mut names = names;
        names.extend(request.requested_names());
        Ok(Subject {
            name: SubjectName::CommonName(common_name.to_owned()),
            names,
            roles,
            public_key: request.public_key().clone(),
        })
    }

    /// An empty subject, or the common name that the caller gave and nothing more.
    fn check_requested_subject(
        &self,
        subject: &DistinguishedName,
        given: &str,
    ) -> Result<(), ProfileError> {
        for attribute in subject.attributes() {
            if attribute.oid == ORGANIZATIONAL_UNIT_NAME {
                return Err(ProfileError::RequestedUnit {
                    unit: shown(&attribute.value),
                });
            }
            if attribute.oid != COMMON_NAME {
                let attribute = shown(&format!("{}={}", attribute.label(), attribute.value));
                return Err(ProfileError::RequestedAttribute {
                    profile: self.name().to_owned(),
                    attribute,
                });
            }
            if attribute.value != given {
                let requested = shown(&attribute.value);
                return Err(ProfileError::RequestedCommonName {
                    requested,
                    given: given.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The requested extensions against what the profile gives.
    fn check_requested_extensions(
        &self,
        request: &CertificationRequest,
    ) -> Result<(), ProfileError> {
        let profile = || self.name().to_owned();
        if request.asks_for_ca() && !self.is_authority() {
            return Err(ProfileError::RequestedAuthority { profile: profile() });
        }
        if let Some(requested) = request.requested_key_usage() {
            let given = self.key_usages(request.public_key().algorithm());
            let given: Vec<&str> = given.into_iter().map(KeyUsage::name).collect();
            if let Some(usage) = requested.names().find(|usage| !given.contains(usage)) {
                let given = joined(given.into_iter());
                return Err(ProfileError::RequestedKeyUsage {
                    profile: profile(),
                    usage,
                    given,
                });
            }
        }
        if let Some(requested) = request.requested_extended_key_usage() {
            let given: Vec<_> = self
                .key_purposes()
                .iter()
                .copied()
                .map(KeyPurpose::oid)
                .collect();
            if let Some(purpose) = requested.iter().find(|purpose| !given.contains(purpose)) {
                let (purpose, given) = (purpose_name(purpose), purpose_names(&given));
                return Err(ProfileError::RequestedKeyPurpose {
                    profile: profile(),
                    purpose,
                    given,
                });
            }
        }
        let mut others = request.requested_extensions().iter();
        match others.find(|extension| !JUDGED_EXTENSIONS.contains(&extension.oid)) {
            Some(other) => Err(ProfileError::RequestedExtension {
                profile: profile(),
                extension: other.name(),
            }),
            None => Ok(()),
        }
    }
}

/// Extensions that a request may bring: judged above, judged as names when drafted, or (the key identifier) computed by
/// us from the same key.
const JUDGED_EXTENSIONS: [ObjectIdentifier; 5] = [
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER,
];

#[cfg(test)]
mod tests;

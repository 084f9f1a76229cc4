//! What `sandbox --apply` puts into a new home: a TOML document whose tables are operations by their nouns.

use std::path::Path;

use bowline_service::{CreateProfile, CreateRole};
use serde::Deserialize;

use crate::caller::Connection;
use crate::error::Error;

/// Everything to make, in this order: roles, profiles, certificates.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    /// Roles, with the members of the operation `create-role`.
    role: Vec<CreateRole>,
    /// Further profiles, with the members of the operation `create-profile`.
    profile: Vec<CreateProfile>,
    /// Certificates. The first one's credentials are what the command finds in its environment.
    certificate: Vec<Certificate>,
}

/// A certificate to issue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// Its common name, and the name of its files.
    pub(super) name: String,
    /// The roles it can be traded for. Its credentials are of the first.
    pub(super) roles: Vec<String>,
    /// Its subject alternative names.
    #[serde(default)]
    pub(super) names: Vec<String>,
}

impl Document {
    /// One role that may do everything, and a certificate for it.
    pub(super) fn usual() -> Document {
        Document {
            role: vec![CreateRole {
                name: USUAL.into(),
                allow: vec!["*".into()],
                on: vec!["*".into()],
                max_duration_seconds: Some(SESSION_SECONDS),
                ..CreateRole::default()
            }],
            certificate: vec![Certificate {
                name: USUAL.into(),
                roles: vec![USUAL.into()],
                names: Vec::new(),
            }],
            ..Document::default()
        }
    }

    /// Reads a document.
    pub(super) fn read(path: &Path, text: &str) -> Result<Document, Error> {
        let document: Document = toml::from_str(text).map_err(|error| {
            // Without the line itself: somebody may have named a file with a secret.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            Error::Usage(format!(
                "{} does not say what to make: line {line}: {}",
                path.display(),
                error.message().trim()
            ))
        })?;
        match document
            .certificate
            .iter()
            .find(|certificate| certificate.roles.is_empty())
        {
            Some(certificate) => Err(Error::Usage(format!(
                "{}: certificate {:?} has no roles to be traded for",
                path.display(),
                certificate.name
            ))),
            None => Ok(document),
        }
    }

    /// The certificates to issue.
    pub(super) fn certificates(&self) -> &[Certificate] {
        &self.certificate
    }

    /// Makes everything but the certificates.
    pub(super) fn apply(&mut self, connection: &Connection) -> Result<(), Error> {
        for mut role in self.role.drain(..) {
            // Sessions shall last as long as a job may.
            role.max_duration_seconds.get_or_insert(SESSION_SECONDS);
            connection.call(role)?;
        }
        for profile in self.profile.drain(..) {
            connection.call(profile)?;
        }
        Ok(())
    }
}

/// The role, and the certificate, of a sandbox that was told nothing.
pub(super) const USUAL: &str = "sandbox";

/// How long the sessions of a sandbox last, in seconds: as long as a session can (IAM), because what reads its
/// credentials from the environment cannot refresh them.
pub(super) const SESSION_SECONDS: u32 = 43_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Document, Error> {
        Document::read(Path::new("sandbox.toml"), text)
    }

    #[test]
    fn a_document_names_roles_and_certificates() {
        let document = read(
            "[[role]]\nname = \"reader\"\nallow = [\"s3:GetObject\"]\non = [\"*\"]\n[[certificate]]\nname = \"web-1\"\nroles = [\"reader\"]\n",
        );
        let document = document.unwrap();
        assert_eq!(document.role[0].allow, ["s3:GetObject"]);
        assert_eq!(document.certificates()[0].name, "web-1");
    }

    #[test]
    fn a_member_that_nothing_has_is_refused_with_its_place() {
        for text in [
            "[[role]]\nname = \"r\"\nallows = []\n",
            "[[rolle]]\nname = \"r\"\n",
            "[[certificate]]\nname = \"c\"\nroles = []\n",
            "role = 1\n",
            "[[role",
        ] {
            let refused = read(text).unwrap_err().to_string();
            assert!(refused.starts_with("sandbox.toml"), "{refused}");
        }
    }

    #[test]
    fn a_refusal_has_the_line_and_not_what_stands_there() {
        let refused = read("# one\nnine-Muses ate plums\n")
            .unwrap_err()
            .to_string();
        assert!(refused.contains("line 2"), "{refused}");
        assert!(!refused.contains("plums"), "{refused}");
    }
}

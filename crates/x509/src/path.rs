//! The verified path: from a leaf over intermediates to a trust anchor (RFC 5280 §6).
//!
//! rustls-webpki decides: it searches, verifies every signature, and applies validity, basic constraints, extended key
//! usage and name constraints. Each path it finds is then judged by what webpki leaves to its caller: the anchor's own
//! validity, constraints and key usage, the leaf's key usage, revocation, and the RFC 5280 profile where strict rules
//! ask for it. These judgements can refuse a path and never make one; webpki goes on with the next candidate, and the
//! first judgement is the error. When webpki finds no path at all, [`diagnose`] says which certificate broke which rule.
//!
//! A leaf that is itself an anchor is refused, as [`PathError::NotACa`] or [`PathError::LeafIsCa`]: an anchor is a CA
//! and a leaf is not, so no certificate can be both.

mod checks;
mod constraints;
mod diagnosis;
mod error;
mod names;
mod profile;
mod revocation;
mod search;
#[cfg(test)]
mod tests;

use crate::oid::ObjectIdentifier;

pub use diagnosis::diagnose;
pub use error::{PathError, Position};
pub use profile::ProfileRule;

use crate::{Certificate, CertificateList, GeneralName, Time};

/// What a path must satisfy beyond being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRules {
    /// Whether every certificate, and every CRL used, keeps to the profile RFC 5280 sets for issuers.
    pub strict: bool,
    /// What the leaf is to be used for.
    pub purpose: Purpose,
    /// How many intermediates a path may have, self-issued ones not counted. Beyond [`PATH_INTERMEDIATES_MAX`] none are found.
    pub max_intermediates: usize,
    /// The names the leaf must bear, all of them. A common name is never one.
    pub names: Vec<GeneralName>,
    /// Whether key usage must be present: keyCertSign on CAs, digitalSignature on the leaf. Without this, it must allow
    /// these uses where it is present.
    pub require_key_usage: bool,
    /// Whether the leaf must have a subject.
    pub require_subject: bool,
    /// Whether a certificate is refused when no CRL speaks of it.
    pub require_crl: bool,
    /// Whether a CRL past its nextUpdate still serves.
    pub crl_grace: bool,
}

impl PathRules {
    /// The profile of RFC 5280 in full, for any purpose and any name. A certificate without a CRL passes.
    pub fn strict() -> PathRules {
        PathRules {
            strict: true,
            require_key_usage: false,
            require_subject: false,
            ..PathRules::authentication()
        }
    }

    /// What it takes to authenticate by a signature, as the trust model of IAM Roles Anywhere has it: key usage on every
    /// certificate and a named leaf, and otherwise other people's CAs as they are.
    pub fn authentication() -> PathRules {
        PathRules {
            strict: false,
            purpose: Purpose::Any,
            max_intermediates: PATH_INTERMEDIATES_MAX,
            names: Vec::new(),
            require_key_usage: true,
            require_subject: true,
            require_crl: false,
            crl_grace: false,
        }
    }
}

/// What a leaf is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Purpose {
    /// Whatever its holder likes: extended key usage is not asked about.
    #[default]
    Any,
    /// To authenticate a TLS client.
    Client,
    /// To authenticate a TLS server.
    Server,
}

impl Purpose {
    /// The key purpose that an extended key usage must list (RFC 5280 §4.2.1.12).
    fn key_purpose(self) -> Option<ObjectIdentifier> {
        match self {
            Purpose::Any => None,
            Purpose::Client => Some(crate::oid::CLIENT_AUTH),
            Purpose::Server => Some(crate::oid::SERVER_AUTH),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Purpose::Any => "any purpose",
            Purpose::Client => "clientAuth",
            Purpose::Server => "serverAuth",
        }
    }
}

/// A path that was verified. Only [`verify`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedPath {
    certificates: Vec<Certificate>,
    good_until: Time,
}

impl VerifiedPath {
    /// The certificate whose path this is.
    pub fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    /// The whole path, leaf first and anchor last: two certificates at least.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The anchor it ends in.
    pub fn anchor(&self) -> &Certificate {
        &self.certificates[self.certificates.len() - 1]
    }

    /// The last second at which the same question has the same answer: the earliest notAfter on the path, the anchor's
    /// included, or nextUpdate of a CRL that spoke for it.
    pub fn good_until(&self) -> Time {
        self.good_until
    }
}

/// Finds and verifies a path from the leaf to one of the anchors.
///
/// Intermediates may come in any order, with repeats, with the leaf or the root among them; the answer does not depend
/// on it. CRLs may be of any CA; those of others are not looked at, and those used are verified here under the key of
/// the CA on the path.
pub fn verify(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &[Certificate],
    crls: &[CertificateList],
    rules: &PathRules,
    now: Time,
) -> Result<VerifiedPath, PathError> {
    let question = Question::new(leaf, intermediates, anchors, crls, rules, now)?;
    let found =
        search::find(&question).map_err(|refusal| diagnosis::explain(&question, refusal))?;
    names::check(leaf, &rules.names)?;
    Ok(VerifiedPath {
        certificates: found.path.into_iter().cloned().collect(),
        good_until: found.good_until,
    })
}

/// What is asked, with the intermediates in a fixed order and without repeats.
struct Question<'a> {
    leaf: &'a Certificate,
    intermediates: Vec<&'a Certificate>,
    anchors: &'a [Certificate],
    crls: revocation::Lists<'a>,
    rules: &'a PathRules,
    now: Time,
}

impl<'a> Question<'a> {
    fn new(
        leaf: &'a Certificate,
        intermediates: &'a [Certificate],
        anchors: &'a [Certificate],
        crls: &'a [CertificateList],
        rules: &'a PathRules,
        now: Time,
    ) -> Result<Question<'a>, PathError> {
        if anchors.is_empty() {
            return Err(PathError::NoAnchors);
        }
        if intermediates.len() > SEARCHED_INTERMEDIATES_MAX {
            let given = intermediates.len();
            return Err(PathError::TooManyCertificates {
                given,
                allowed: SEARCHED_INTERMEDIATES_MAX,
            });
        }
        let mut intermediates: Vec<&Certificate> = intermediates
            .iter()
            .filter(|intermediate| intermediate.der() != leaf.der())
            .collect();
        // The longest-lived first: of two paths, the one that stays good longer is found.
        intermediates.sort_by(|a, b| {
            b.validity()
                .not_after
                .cmp(&a.validity().not_after)
                .then_with(|| a.der().cmp(b.der()))
        });
        intermediates.dedup_by(|a, b| a.der() == b.der());
        Ok(Question {
            leaf,
            intermediates,
            anchors,
            crls: revocation::Lists::new(crls),
            rules,
            now,
        })
    }

    /// Judges a path whose signatures hold. The answer is until when it stays good.
    fn judge(&self, path: &[&Certificate]) -> Result<Time, PathError> {
        checks::check(path, self.rules, self.now)?;
        constraints::check_subject_emails(path)?;
        if self.rules.strict {
            profile::check(path, self.rules.purpose)?;
        }
        let fresh_until = self.crls.check(path, self.rules, self.now)?;
        let ends = path
            .iter()
            .map(|certificate| certificate.validity().not_after);
        Ok(ends.chain(fresh_until).min().unwrap_or(self.now))
    }
}

/// How many intermediates a path can have at most, which is webpki's own limit.
pub const PATH_INTERMEDIATES_MAX: usize = 6;

/// How many intermediates may be given: several paths' worth, and few enough to search.
pub const SEARCHED_INTERMEDIATES_MAX: usize = 32;

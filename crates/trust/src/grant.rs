//! The one decision of the system: who gets credentials of which role.

use bowline_x509::Time;

use crate::claims::Claims;
use crate::denial::Denial;
use crate::explanation::Explanation;
use crate::facts::Facts;
use crate::keyring::token_bytes;
use crate::payload::Packed;
use crate::request::SessionRequest;
use crate::rule::Rule;
use crate::subject::Subject;

/// Decides whether the request gets a session: the first rule that it breaks, or what it is granted.
pub fn authorize(request: &SessionRequest<'_>) -> Result<Grant, Denial> {
    let mut facts = Facts::of(request);
    for rule in Rule::ALL {
        if rule.concerns(&request.asker) {
            rule.check(&mut facts, None)?;
        }
    }
    Ok(facts.grant())
}

/// Decides as [`authorize`] does, and tells of every rule what it looked at and what it found.
///
/// Rules after the first broken one are checked too, so that everything wrong is seen at once.
pub fn explain(request: &SessionRequest<'_>) -> Explanation {
    let mut facts = Facts::of(request);
    let checks: Vec<_> = Rule::ALL
        .into_iter()
        .filter(|rule| rule.concerns(&request.asker))
        .map(|rule| {
            let mut trace = None;
            let outcome = rule.check(&mut facts, Some(&mut trace));
            (rule, outcome, rule.facts(&mut facts), trace)
        })
        .collect();
    Explanation::new(checks, || facts.grant())
}

/// A session that may be, made only by [`authorize`] and [`explain`]; [`crate::KeyRing::seal`] makes credentials of it.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(crate) claims: Claims,
    pub(crate) packed: Packed,
    pub(crate) token_bytes_min: usize,
    pub(crate) certificate: Option<GrantedCertificate>,
}

/// The certificate that a session is granted to.
#[derive(Debug, Clone)]
pub struct GrantedCertificate {
    /// Whose certificate it is.
    pub subject: Subject,
    /// The ARN of the subject.
    pub subject_arn: String,
    /// The ARN of the trust anchor.
    pub trust_anchor_arn: String,
    /// The ARN of the profile; none for a certificate as itself.
    pub profile_arn: Option<String>,
}

impl Grant {
    /// The facts that the session will carry.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The certificate that asked, if one did.
    pub fn certificate(&self) -> Option<&GrantedCertificate> {
        self.certificate.as_ref()
    }

    /// When the session ends by itself.
    pub fn expires_at(&self) -> Time {
        self.claims.expires_at
    }

    /// How many bytes the token of the session has.
    pub fn token_bytes(&self) -> usize {
        token_bytes(&self.packed, self.token_bytes_min)
    }

    pub(crate) fn packed(&self) -> &Packed {
        &self.packed
    }

    pub(crate) fn token_bytes_min(&self) -> usize {
        self.token_bytes_min
    }
}

#[cfg(test)]
mod tests;

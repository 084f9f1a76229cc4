//! Revocation by CRL (RFC 5280 §6.3): which lists speak of a certificate, and what they say.
//!
//! A list speaks where it bears the issuer's name, in whatever spelling, or the issuer's key identifier, and its signature
//! verifies under the key of that CA on the path: never by name alone. One that bears the identifier and another name
//! revokes and does not vouch. Every certificate but the anchor is looked up. What a list says of revocation counts even when the
//! list is old; that it says nothing counts only while the list is current and covers the certificate.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::asn1::{self, Cursor};
use crate::oid;
use crate::path::PathRules;
use crate::path::checks::{name_of, position};
use crate::path::error::{PathError, Position};
use crate::path::profile::ProfileRule;
use crate::{Certificate, CertificateList, GeneralName, RevocationReason, SerialNumber, Time};

/// The lists at hand, each verified at most once under each key.
pub(super) struct Lists<'a> {
    lists: &'a [CertificateList],
    verified: RefCell<HashMap<(usize, Vec<u8>), bool>>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(lists: &'a [CertificateList]) -> Lists<'a> {
        Lists {
            lists,
            verified: RefCell::new(HashMap::new()),
        }
    }

    /// Looks up every certificate of a path but the anchor. The answer is until when the lists used stay current.
    pub(super) fn check(
        &self,
        path: &[&Certificate],
        rules: &PathRules,
        now: Time,
    ) -> Result<Option<Time>, PathError> {
        let mut current_until = None;
        for (index, pair) in path.windows(2).enumerate() {
            let subject = Looked {
                certificate: pair[0],
                issuer: pair[1],
                position: position(index, path.len()),
            };
            let speaking = self.speaking(&subject, rules)?;
            subject.not_revoked(&speaking, now)?;
            let until = subject.covered_until(&speaking, rules, now)?;
            current_until = [current_until, until].into_iter().flatten().min();
        }
        Ok(current_until)
    }

    /// The lists that bear the issuer's name or key identifier, and its signature.
    fn speaking(
        &self,
        subject: &Looked<'_>,
        rules: &PathRules,
    ) -> Result<Vec<&'a CertificateList>, PathError> {
        let issuer = subject.issuer;
        let is_namesake = |list: &CertificateList| list.issuer().matches(issuer.subject());
        let names_key = |list: &CertificateList| match issuer.subject_key_id() {
            Some(own) => list.authority_key_id() == Some(own),
            None => false,
        };
        let speaking: Vec<&CertificateList> = self
            .lists
            .iter()
            .enumerate()
            .filter(|(_, list)| is_namesake(list) || names_key(list))
            .filter(|(index, list)| self.is_signed(*index, list, issuer))
            .map(|(_, list)| list)
            .collect();
        if speaking.is_empty() {
            // A list that names another key is another CA's of that name, or of this CA's former key.
            let claims =
                |list: &CertificateList| match (list.authority_key_id(), issuer.subject_key_id()) {
                    (Some(claimed), Some(own)) => claimed == own,
                    _ => true,
                };
            return match self
                .lists
                .iter()
                .any(|list| is_namesake(list) && claims(list))
            {
                true => Err(PathError::CrlSignatureInvalid {
                    issuer: name_of(issuer),
                }),
                false => Ok(speaking),
            };
        }
        if issuer.key_usage().is_some_and(|usage| !usage.crl_sign()) {
            return Err(PathError::CrlSignerNotAllowed {
                issuer: name_of(issuer),
            });
        }
        if rules.strict {
            speaking
                .iter()
                .try_for_each(|list| numbered(list, issuer))?;
        }
        Ok(speaking)
    }

    fn is_signed(&self, index: usize, list: &CertificateList, issuer: &Certificate) -> bool {
        let mut verified = self.verified.borrow_mut();
        *verified
            .entry((index, issuer.spki_der().to_vec()))
            .or_insert_with(|| {
                issuer
                    .public_key()
                    .is_ok_and(|key| list.verify_signed_by(key).is_ok())
            })
    }
}

/// A certificate that is looked up, and the CA on the path that issued it.
struct Looked<'a> {
    certificate: &'a Certificate,
    issuer: &'a Certificate,
    position: Position,
}

impl Looked<'_> {
    fn not_revoked(&self, speaking: &[&CertificateList], now: Time) -> Result<(), PathError> {
        let serial = self.certificate.serial();
        for list in speaking.iter().filter(|list| list.this_update() <= now) {
            let Some(entry) = list.revoked(serial) else {
                continue;
            };
            let released = match entry.reason {
                RevocationReason::RemoveFromCrl => true,
                // Hold is the one reason that can be taken back (RFC 5280 §5.3.1), by a later list of the same scope.
                RevocationReason::CertificateHold => speaking.iter().any(|later| {
                    later.this_update() > list.this_update()
                        && later.this_update() <= now
                        && later.issuer().matches(list.issuer())
                        && later.issuing_distribution_point() == list.issuing_distribution_point()
                        && releases(later, serial)
                }),
                _ => false,
            };
            if !released {
                return Err(PathError::Revoked {
                    position: self.position,
                    subject: name_of(self.certificate),
                    serial: serial.to_hex(),
                    revoked_at: entry.revoked_at,
                    reason: entry.reason,
                });
            }
        }
        Ok(())
    }

    /// Until when a list that covers the certificate stays current; none if no list does and none must.
    fn covered_until(
        &self,
        speaking: &[&CertificateList],
        rules: &PathRules,
        now: Time,
    ) -> Result<Option<Time>, PathError> {
        let covering: Vec<&&CertificateList> = speaking
            .iter()
            .filter(|list| list.issuer().matches(self.issuer.subject()))
            .filter(|list| covers(list, self.certificate))
            .collect();
        let issuer = || name_of(self.issuer);
        let Some(latest) = covering.iter().max_by_key(|list| list.this_update()) else {
            return match rules.require_crl {
                true => Err(PathError::CrlMissing {
                    position: self.position,
                    subject: name_of(self.certificate),
                    issuer: issuer(),
                }),
                false => Ok(None),
            };
        };
        let issued = || covering.iter().filter(|list| list.this_update() <= now);
        let ends = issued().filter_map(|list| list.next_update());
        match ends.max() {
            Some(next_update) if now <= next_update => Ok(Some(next_update)),
            _ if issued().next().is_some() && rules.crl_grace => Ok(None),
            Some(next_update) => Err(PathError::CrlExpired {
                issuer: issuer(),
                next_update,
                now,
            }),
            // A list that never ends would vouch for ever.
            None if issued().next().is_some() => Err(PathError::CrlProfile {
                issuer: issuer(),
                rule: ProfileRule::CrlNextUpdateMissing,
                found: "none".to_owned(),
            }),
            None => Err(PathError::CrlNotYetValid {
                issuer: issuer(),
                this_update: latest.this_update(),
                now,
            }),
        }
    }
}

/// Whether a later list takes a hold back: a full one by not listing it, a delta by saying so.
fn releases(list: &CertificateList, serial: &SerialNumber) -> bool {
    match list.revoked(serial) {
        None => !list.is_delta(),
        Some(entry) => entry.reason == RevocationReason::RemoveFromCrl,
    }
}

/// Whether the list would list the certificate if it were revoked (RFC 5280 §6.3.3 (b)).
fn covers(list: &CertificateList, certificate: &Certificate) -> bool {
    if list.is_delta() {
        return false;
    }
    let Some(scope) = list.issuing_distribution_point() else {
        return true;
    };
    let kind = if certificate.is_ca() {
        !scope.only_user
    } else {
        !scope.only_ca
    };
    let place = if scope.names.is_empty() {
        !has_relative_place(list)
    } else {
        certificate
            .crl_distribution_points()
            .into_iter()
            .any(|uri| scope.names.contains(&GeneralName::Uri(uri)))
    };
    kind && place && !scope.only_attribute && !scope.only_some_reasons
}

/// Whether the list is one of several, told apart by a name relative to the issuer's, which no certificate here is
/// matched against.
fn has_relative_place(list: &CertificateList) -> bool {
    let scope = list
        .extensions()
        .iter()
        .find(|extension| extension.oid == oid::ISSUING_DISTRIBUTION_POINT);
    scope.is_some_and(|scope| {
        let fields = Cursor::only(&scope.value, asn1::SEQUENCE, "issuingDistributionPoint");
        fields.is_ok_and(|fields| fields.inside().peek_tag() == Some(asn1::context_constructed(0)))
    })
}

/// What RFC 5280 §5.2.3 asks of those who issue lists.
fn numbered(list: &CertificateList, issuer: &Certificate) -> Result<(), PathError> {
    let number = list
        .extensions()
        .iter()
        .find(|extension| extension.oid == oid::CRL_NUMBER);
    let (rule, found) = match number {
        None => (ProfileRule::CrlNumberMissing, "none"),
        Some(number) if number.critical => (ProfileRule::CrlNumberCritical, "a critical one"),
        Some(_) => return Ok(()),
    };
    Err(PathError::CrlProfile {
        issuer: name_of(issuer),
        rule,
        found: found.to_owned(),
    })
}

//! Why there is no path: walks from the leaf towards the anchors and names the first broken rule.
//!
//! It explains a closed door and cannot open one: all it returns is an error.

use crate::path::checks::{self, name_of};
use crate::path::error::{PathError, Position};
use crate::path::search::{Refusal, is_signed};
use crate::path::{PATH_INTERMEDIATES_MAX, PathRules, Question, constraints};
use crate::{Certificate, CertificateList, Time};

/// Says why this leaf has no path under these rules. Ask only after [`super::verify`] has refused, whose error is this
/// same explanation: of a path that is accepted it can only say that it found nothing wrong.
pub fn diagnose(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &[Certificate],
    crls: &[CertificateList],
    rules: &PathRules,
    now: Time,
) -> PathError {
    match super::verify(leaf, intermediates, anchors, crls, rules, now) {
        Err(refusal) => refusal,
        Ok(_) => PathError::NotAccepted {
            subject: name_of(leaf),
            reason: "no rule is broken".to_owned(),
        },
    }
}

/// Turns webpki's refusal into the broken rule, with the certificate and both values.
pub(super) fn explain(question: &Question<'_>, refusal: Refusal) -> PathError {
    let error = match refusal {
        Refusal::Judged(refusal) => return refusal,
        Refusal::NoPath(error) => error,
    };
    let limit = match error {
        webpki::Error::MaximumSignatureChecksExceeded => Some("signature checks"),
        webpki::Error::MaximumPathBuildCallsExceeded => Some("path-building steps"),
        webpki::Error::MaximumNameConstraintComparisonsExceeded => {
            Some("name constraint comparisons")
        }
        _ => None,
    };
    if let Some(limit) = limit {
        return PathError::SearchLimit {
            subject: name_of(question.leaf),
            limit,
        };
    }
    let walk = Walk::from(question);
    if !walk.anchored {
        return walk.broken_off(question);
    }
    match question.judge(&walk.path) {
        Err(refusal) => refusal,
        Ok(_) => in_webpki_words(&walk.path, &error),
    }
}

/// The best that can be walked: to an anchor if possible, else as far as possible.
struct Walk<'a> {
    path: Vec<&'a Certificate>,
    anchored: bool,
    /// A CA that bears the name of the last one's issuer and did not sign it.
    namesake: Option<&'a Certificate>,
}

impl<'a> Walk<'a> {
    fn from(question: &Question<'a>) -> Walk<'a> {
        let mut signatures_left = WALKED_SIGNATURES_MAX;
        Walk::on(question, vec![question.leaf], &mut signatures_left)
    }

    fn on(
        question: &Question<'a>,
        path: Vec<&'a Certificate>,
        signatures_left: &mut usize,
    ) -> Walk<'a> {
        let head = path[path.len() - 1];
        let mut best = Walk {
            path,
            anchored: false,
            namesake: None,
        };
        let mut anchors: Vec<&Certificate> = question
            .anchors
            .iter()
            .filter(|anchor| anchor.subject() == head.issuer())
            .collect();
        // Of two anchors with one name, one that is valid now explains more.
        anchors.sort_by_key(|anchor| !anchor.validity().contains(question.now));
        for anchor in anchors {
            if is_signed(head, anchor, signatures_left) {
                best.path.push(anchor);
                best.anchored = true;
                return best;
            }
            best.namesake = Some(anchor);
        }
        let stem = best.path.clone();
        for &issuer in &question.intermediates {
            if issuer.subject() != head.issuer()
                || stem.iter().any(|known| known.der() == issuer.der())
            {
                continue;
            }
            if !is_signed(head, issuer, signatures_left) {
                best.namesake.get_or_insert(issuer);
                continue;
            }
            let further = Walk::on(
                question,
                stem.iter().copied().chain([issuer]).collect(),
                signatures_left,
            );
            if further.anchored || further.path.len() > best.path.len() {
                best = further;
            }
            if best.anchored {
                return best;
            }
        }
        best
    }

    /// Why the walk ends before an anchor.
    fn broken_off(&self, question: &Question<'_>) -> PathError {
        for (index, certificate) in self.path.iter().enumerate() {
            let position = position(index);
            let readable = checks::form(position, certificate, question.rules);
            if let Err(refusal) = readable.and_then(|()| checks::algorithms(position, certificate))
            {
                return refusal;
            }
        }
        let last = self.path[self.path.len() - 1];
        let position = position(self.path.len() - 1);
        let Some(namesake) = self.namesake else {
            return PathError::UntrustedIssuer {
                position,
                subject: name_of(last),
                issuer: if last.is_self_issued() {
                    name_of(last)
                } else {
                    last.issuer().to_string()
                },
            };
        };
        let is_anchor = question
            .anchors
            .iter()
            .any(|anchor| anchor.der() == namesake.der());
        let namesake_position = if is_anchor {
            Position::Anchor
        } else {
            Position::Intermediate
        };
        if let Err(refusal) = checks::algorithms(namesake_position, namesake) {
            return refusal;
        }
        PathError::SignatureInvalid {
            position,
            subject: name_of(last),
            issuer: name_of(namesake),
        }
    }
}

/// Where a certificate of a walk that reached no anchor stands.
fn position(index: usize) -> Position {
    if index == 0 {
        Position::Leaf
    } else {
        Position::Intermediate
    }
}

/// What webpki alone found wrong with a path that passes every check here, signatures included.
fn in_webpki_words(path: &[&Certificate], error: &webpki::Error) -> PathError {
    let subject = name_of(path[0]);
    let found = path.len() - 2;
    if found > PATH_INTERMEDIATES_MAX {
        return PathError::ChainTooLong {
            subject,
            found,
            allowed: PATH_INTERMEDIATES_MAX,
        };
    }
    // webpki counts self-issued CAs too, which the check here does not.
    let counted = (1..path.len()).find_map(|index| {
        checks::path_length(checks::position(index, path.len()), path[index], index - 1).err()
    });
    if let Some(refusal) = counted.or_else(|| constraints::broken(path)) {
        return refusal;
    }
    PathError::NotAccepted {
        subject,
        reason: reason(error),
    }
}

fn reason(error: &webpki::Error) -> String {
    match error {
        webpki::Error::EmptyEkuExtension => "its extended key usage is empty".to_owned(),
        webpki::Error::UnsupportedCertVersion => {
            "a certificate is not of X.509 version 3".to_owned()
        }
        webpki::Error::ExtensionValueInvalid => "an extension is malformed or repeated".to_owned(),
        other => format!("the validator says {other:?}"),
    }
}

/// How many signatures a walk verifies at most; webpki's own limit is as large.
const WALKED_SIGNATURES_MAX: usize = 100;

//! What holds on every accepted path, strict or not, beyond the search and the signatures.
//!
//! Some of it webpki has decided already; it is repeated here because the anchor is outside webpki's view, and because
//! a refusal is explained by the same code that refuses.

use crate::oid::{self, ObjectIdentifier};

use crate::path::error::{PathError, Position};
use crate::path::{PathRules, Purpose};
use crate::{Certificate, KeyUsage, Time};

/// Checks a path, leaf first and anchor last.
pub(super) fn check(path: &[&Certificate], rules: &PathRules, now: Time) -> Result<(), PathError> {
    for (index, certificate) in path.iter().enumerate() {
        let position = position(index, path.len());
        form(position, certificate, rules)?;
        algorithms(position, certificate)?;
        validity(position, certificate, now)?;
        role(position, certificate, rules)?;
        critical_extensions(position, certificate)?;
        purpose(position, certificate, rules)?;
    }
    lengths(path, rules)
}

/// Where the certificate at this place of a path of this length stands.
pub(super) fn position(index: usize, length: usize) -> Position {
    match index {
        0 => Position::Leaf,
        _ if index + 1 == length => Position::Anchor,
        _ => Position::Intermediate,
    }
}

/// What is read from the certificate is what stands in it.
pub(super) fn form(
    position: Position,
    certificate: &Certificate,
    rules: &PathRules,
) -> Result<(), PathError> {
    let subject = || name_of(certificate);
    if certificate.version() != VERSION_3 {
        let version = certificate.version().saturating_add(1);
        return Err(PathError::UnsupportedVersion {
            position,
            subject: subject(),
            version,
        });
    }
    if certificate.inner_algorithm_der() != certificate.outer_algorithm_der() {
        return Err(PathError::AlgorithmsDiffer {
            position,
            subject: subject(),
        });
    }
    // A malformed extension reads as absent; absent, it would limit nothing.
    let relied_on = |oid: &ObjectIdentifier| rules.strict || UNDERSTOOD.contains(oid);
    match certificate
        .malformed_extensions()
        .iter()
        .find(|error| relied_on(&error.oid))
    {
        None => Ok(()),
        Some(error) => Err(PathError::MalformedExtension {
            position,
            subject: subject(),
            reason: error.to_string(),
        }),
    }
}

/// Key and signature are of an accepted kind and strength.
pub(super) fn algorithms(position: Position, certificate: &Certificate) -> Result<(), PathError> {
    certificate
        .public_key()
        .map_err(|error| PathError::WeakKey {
            position,
            subject: name_of(certificate),
            reason: error.to_string(),
        })?;
    // A root's signature on itself proves nothing, so its algorithm weakens nothing.
    let proves = position != Position::Anchor || !certificate.is_self_issued();
    if proves && certificate.signature_algorithm().is_none() {
        let algorithm = certificate.signature_algorithm_name();
        return Err(PathError::WeakSignatureAlgorithm {
            position,
            subject: name_of(certificate),
            algorithm,
        });
    }
    Ok(())
}

fn validity(position: Position, certificate: &Certificate, now: Time) -> Result<(), PathError> {
    let validity = certificate.validity();
    if validity.contains(now) {
        return Ok(());
    }
    let subject = name_of(certificate);
    Err(if now < validity.not_before {
        PathError::NotYetValid {
            position,
            subject,
            not_before: validity.not_before,
            now,
        }
    } else {
        PathError::Expired {
            position,
            subject,
            not_after: validity.not_after,
            now,
        }
    })
}

/// The leaf may sign messages and is no CA; the others are CAs that may sign certificates.
fn role(position: Position, certificate: &Certificate, rules: &PathRules) -> Result<(), PathError> {
    let subject = || name_of(certificate);
    let usage = certificate.key_usage();
    let present = usage.is_some();
    match position {
        Position::Leaf if certificate.is_ca() => Err(PathError::LeafIsCa { subject: subject() }),
        Position::Leaf if rules.require_subject && certificate.subject().is_empty() => {
            Err(PathError::SubjectEmpty {
                serial: certificate.serial().to_hex(),
                issuer: certificate.issuer().to_string(),
            })
        }
        Position::Leaf => match usage.map_or(!rules.require_key_usage, KeyUsage::digital_signature)
        {
            true => Ok(()),
            false => Err(PathError::MissingDigitalSignature {
                subject: subject(),
                present,
            }),
        },
        _ if !certificate.is_ca() => Err(PathError::NotACa {
            position,
            subject: subject(),
        }),
        _ => match usage.map_or(!rules.require_key_usage, KeyUsage::key_cert_sign) {
            true => Ok(()),
            false => Err(PathError::MissingKeyCertSign {
                position,
                subject: subject(),
                present,
            }),
        },
    }
}

fn critical_extensions(position: Position, certificate: &Certificate) -> Result<(), PathError> {
    let unknown = certificate.extensions().iter().find(|extension| {
        // Key identifiers and the like are hints, which nobody enforces: critical, they demand what is not done.
        extension.critical && !UNDERSTOOD.contains(&extension.oid)
    });
    match unknown {
        None => Ok(()),
        Some(extension) => Err(PathError::UnknownCriticalExtension {
            position,
            subject: name_of(certificate),
            extension: extension.name(),
        }),
    }
}

/// An extended key usage, where there is one, names the purpose asked for. The anchor's is its keeper's business.
fn purpose(
    position: Position,
    certificate: &Certificate,
    rules: &PathRules,
) -> Result<(), PathError> {
    let (Some(wanted), Some(present)) = (
        rules.purpose.key_purpose(),
        certificate.extended_key_usage(),
    ) else {
        return Ok(());
    };
    if position == Position::Anchor || present.contains(&wanted) {
        return Ok(());
    }
    Err(PathError::WrongPurpose {
        position,
        subject: name_of(certificate),
        wanted: rules.purpose.name(),
        present: present.iter().map(purpose_name).collect(),
    })
}

fn purpose_name(oid: &ObjectIdentifier) -> String {
    match [Purpose::Client, Purpose::Server]
        .iter()
        .find(|purpose| purpose.key_purpose() == Some(*oid))
    {
        Some(purpose) => purpose.name().to_owned(),
        None => oid.to_string(),
    }
}

/// The caller's limit and each CA's own (RFC 5280 §4.2.1.9). Self-issued intermediates, which only roll a key over, do
/// not count.
fn lengths(path: &[&Certificate], rules: &PathRules) -> Result<(), PathError> {
    let last = path.len().saturating_sub(1);
    let between = |end: usize| {
        path.iter()
            .take(end)
            .skip(1)
            .filter(|certificate| !certificate.is_self_issued())
            .count()
    };
    for index in 1..path.len() {
        path_length(position(index, path.len()), path[index], between(index))?;
    }
    let found = between(last);
    if found > rules.max_intermediates {
        return Err(PathError::ChainTooLong {
            subject: name_of(path[0]),
            found,
            allowed: rules.max_intermediates,
        });
    }
    Ok(())
}

/// A CA's own limit on how many CAs stand between it and the leaf.
pub(super) fn path_length(
    position: Position,
    ca: &Certificate,
    found: usize,
) -> Result<(), PathError> {
    match ca
        .basic_constraints()
        .and_then(|basic| basic.path_len)
        .map(|allowed| allowed as usize)
    {
        Some(allowed) if found > allowed => Err(PathError::PathLengthExceeded {
            position,
            subject: name_of(ca),
            allowed,
            found,
        }),
        _ => Ok(()),
    }
}

/// The subject, or what else identifies a certificate without one.
pub(super) fn name_of(certificate: &Certificate) -> String {
    if certificate.subject().is_empty() {
        return format!("without subject (serial {})", certificate.serial().to_hex());
    }
    certificate.subject().to_string()
}

/// The extensions that may be critical because their meaning is enforced, by webpki or here.
const UNDERSTOOD: [ObjectIdentifier; 6] = [
    oid::KEY_USAGE,
    oid::SUBJECT_ALT_NAME,
    oid::BASIC_CONSTRAINTS,
    oid::NAME_CONSTRAINTS,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::EXTENDED_KEY_USAGE,
];

/// Version 3 as it is encoded (RFC 5280 §4.1.2.1).
const VERSION_3: u64 = 2;

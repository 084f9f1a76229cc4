//! Name constraints (RFC 5280 §4.2.1.10): those on email addresses in subjects, which webpki does not look at, and which
//! name broke which CA's constraints, told after webpki has refused.

use crate::oid;
use crate::path::checks::{name_of, position};
use crate::path::error::PathError;
use crate::{Certificate, ConstrainedName, GeneralName};

/// Checks the email addresses in the subjects of certificates without one among their alternative names. An address or
/// a constraint of doubtful form refuses.
pub(super) fn check_subject_emails(path: &[&Certificate]) -> Result<(), PathError> {
    for (below, certificate) in path.iter().enumerate() {
        let mut names = certificate.subject_alt_names().iter();
        if names.any(|name| matches!(name, GeneralName::Email(_))) {
            continue;
        }
        for address in certificate.subject().values(&oid::EMAIL_ADDRESS) {
            for ca in &path[below + 1..] {
                if let Some(constraint) = forbidding(ca, address) {
                    return Err(PathError::NameConstraint {
                        position: position(below, path.len()),
                        subject: name_of(certificate),
                        constrained_by: name_of(ca),
                        name: GeneralName::Email(address.to_owned()).to_string(),
                        constraint,
                    });
                }
            }
        }
    }
    Ok(())
}

/// The constraint of this CA that stands against the address, in words.
fn forbidding(ca: &Certificate, address: &str) -> Option<String> {
    let constraints = ca.name_constraints()?;
    let is_email = |base: &&ConstrainedName| matches!(base, ConstrainedName::Email(_));
    let mut excluded = constraints.excluded.iter().filter(is_email);
    if let Some(base) = excluded.find(|base| holds(base, address) != Some(false)) {
        return Some(format!("{} is excluded", shown(base)));
    }
    let permitted: Vec<_> = constraints.permitted.iter().filter(is_email).collect();
    let is_permitted = permitted
        .iter()
        .any(|base| holds(base, address) == Some(true));
    (!permitted.is_empty() && !is_permitted).then(|| only_permitted(&permitted))
}

/// Whether the address lies in the subtree; none where that is in doubt.
fn holds(base: &ConstrainedName, address: &str) -> Option<bool> {
    let ConstrainedName::Email(base) = base else {
        return Some(false);
    };
    let (local, host) = mailbox(address)?;
    if base.contains('@') {
        let (base_local, base_host) = mailbox(base)?;
        return match host.eq_ignore_ascii_case(base_host) {
            true if local == base_local => Some(true),
            // Who may differ in case only is for the host to say (RFC 5280 §7.5).
            true if local.eq_ignore_ascii_case(base_local) => None,
            _ => Some(false),
        };
    }
    match base.strip_prefix('.') {
        Some(domain) if is_host(domain) => {
            let (host, base) = (host.to_ascii_lowercase(), base.to_ascii_lowercase());
            Some(host.ends_with(&base))
        }
        None if is_host(base) => Some(host.eq_ignore_ascii_case(base)),
        _ => None,
    }
}

/// The parts of an address of the plain form, which can be read in one way only.
fn mailbox(address: &str) -> Option<(&str, &str)> {
    let (local, host) = address.split_once('@')?;
    let is_plain = |local: &str| {
        local
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    (!local.is_empty() && is_plain(local) && is_host(host)).then_some((local, host))
}

/// Whether it is labels between dots and nothing else.
fn is_host(host: &str) -> bool {
    host.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    })
}

/// The first name on the path that a CA above it does not allow; the anchor's constraints first.
pub(super) fn broken(path: &[&Certificate]) -> Option<PathError> {
    let constraining = (1..path.len())
        .rev()
        .filter_map(|index| Some((index, path[index].name_constraints()?)));
    for (index, constraints) in constraining {
        for (below, certificate) in path[..index].iter().enumerate().rev() {
            let position = position(below, path.len());
            let (subject, constrained_by) = (name_of(certificate), name_of(path[index]));
            for name in names(certificate) {
                let of_kind = |list: &[ConstrainedName]| -> Vec<ConstrainedName> {
                    list.iter()
                        .filter(|base| kind(base) == name.kind())
                        .cloned()
                        .collect()
                };
                let (permitted, excluded) = (
                    of_kind(&constraints.permitted),
                    of_kind(&constraints.excluded),
                );
                if permitted.is_empty() && excluded.is_empty() {
                    continue;
                }
                if !matches!(name, GeneralName::Dns(_) | GeneralName::Ip(_)) {
                    let name = name.to_string();
                    return Some(PathError::NameConstraintUnsupported {
                        position,
                        subject,
                        constrained_by,
                        name,
                    });
                }
                let constraint = match excluded.iter().find(|base| overlaps(base, &name)) {
                    Some(base) => format!("{} is excluded", shown(base)),
                    None if permitted.is_empty()
                        || permitted.iter().any(|base| contains(base, &name)) =>
                    {
                        continue;
                    }
                    None => only_permitted(&permitted.iter().collect::<Vec<_>>()),
                };
                let name = name.to_string();
                return Some(PathError::NameConstraint {
                    position,
                    subject,
                    constrained_by,
                    name,
                    constraint,
                });
            }
        }
    }
    None
}

/// All names of a certificate, the subject among them.
fn names(certificate: &Certificate) -> Vec<GeneralName> {
    let subject = certificate.subject();
    let subject = (!subject.is_empty()).then(|| GeneralName::DirectoryName(subject.clone()));
    certificate
        .subject_alt_names()
        .iter()
        .cloned()
        .chain(subject)
        .collect()
}

fn kind(base: &ConstrainedName) -> &'static str {
    match base {
        ConstrainedName::Dns(_) => "DNS",
        ConstrainedName::Ip(_) => "IP",
        ConstrainedName::Uri(_) => "URI",
        ConstrainedName::Email(_) => "email",
        ConstrainedName::DirectoryName(_) => "dirName",
        ConstrainedName::Other(_) => "other",
    }
}

fn contains(base: &ConstrainedName, name: &GeneralName) -> bool {
    match (base, name) {
        (ConstrainedName::Dns(base), GeneralName::Dns(name)) => is_below(name, base),
        (ConstrainedName::Ip(range), GeneralName::Ip(address)) => range.contains(*address),
        _ => false,
    }
}

/// Whether the name, or one that its wildcard stands for, lies in the subtree.
fn overlaps(base: &ConstrainedName, name: &GeneralName) -> bool {
    let wildcard = match (base, name) {
        (ConstrainedName::Dns(base), GeneralName::Dns(name)) => {
            name.strip_prefix("*.").is_some_and(|parent| {
                base.split_once('.')
                    .is_some_and(|(_, above)| above.eq_ignore_ascii_case(parent))
            })
        }
        _ => false,
    };
    wildcard || contains(base, name)
}

fn is_below(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    base.is_empty()
        || name == base
        || name
            .strip_suffix(&base)
            .is_some_and(|rest| base.starts_with('.') || rest.ends_with('.'))
}

fn only_permitted(bases: &[&ConstrainedName]) -> String {
    let bases: Vec<String> = bases.iter().map(|base| shown(base)).collect();
    format!("only {} is permitted", bases.join(", "))
}

fn shown(base: &ConstrainedName) -> String {
    match base {
        ConstrainedName::Dns(name) => format!("DNS:{name}"),
        ConstrainedName::Ip(range) => match range.prefix_len() {
            Some(length) => format!("IP:{}/{length}", range.address),
            None => format!("IP:{} under the mask {}", range.address, range.mask),
        },
        ConstrainedName::Uri(name) => format!("URI:{name}"),
        ConstrainedName::Email(name) => format!("email:{name}"),
        ConstrainedName::DirectoryName(name) => format!("dirName:{name}"),
        ConstrainedName::Other(der) => format!("other:{}", hex::encode(der)),
    }
}

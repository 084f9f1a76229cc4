//! Which name broke which CA's name constraints (RFC 5280 §4.2.1.10), told after webpki has refused.

use crate::path::checks::{name_of, position};
use crate::path::error::PathError;
use crate::{Certificate, ConstrainedName, GeneralName};

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
                    None => format!(
                        "only {} is permitted",
                        permitted.iter().map(shown).collect::<Vec<_>>().join(", ")
                    ),
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

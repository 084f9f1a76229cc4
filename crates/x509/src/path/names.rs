//! Whether a leaf bears the names asked for (RFC 9525 §6): by subject alternative name, never by common name.

use rustls_pki_types::{CertificateDer, DnsName, ServerName};
use webpki::EndEntityCert;

use crate::path::checks::name_of;
use crate::path::error::PathError;
use crate::{Certificate, GeneralName};

/// Checks that the leaf bears every one of the names.
pub(super) fn check(leaf: &Certificate, names: &[GeneralName]) -> Result<(), PathError> {
    match names.iter().find(|name| !bears(leaf, name)) {
        None => Ok(()),
        Some(wanted) => Err(PathError::NameMismatch {
            subject: name_of(leaf),
            wanted: wanted.to_string(),
            present: leaf
                .subject_alt_names()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }),
    }
}

fn bears(leaf: &Certificate, wanted: &GeneralName) -> bool {
    let der = CertificateDer::from(leaf.der());
    let by_webpki = |name: &ServerName<'_>| {
        EndEntityCert::try_from(&der)
            .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok())
    };
    match wanted {
        // Wildcards in the certificate are matched; what is asked for is one host.
        GeneralName::Dns(name) => {
            DnsName::try_from(name.as_str()).is_ok_and(|name| by_webpki(&ServerName::DnsName(name)))
        }
        GeneralName::Ip(address) => by_webpki(&ServerName::from(*address)),
        GeneralName::Email(wanted) => leaf.subject_alt_names().iter().any(|name| match name {
            GeneralName::Email(present) => is_same_mailbox(present, wanted),
            _ => false,
        }),
        GeneralName::Uri(_) | GeneralName::DirectoryName(_) | GeneralName::Other(_) => {
            leaf.subject_alt_names().contains(wanted)
        }
    }
}

/// Mailboxes are compared with the local part as it stands and the host without case (RFC 5280 §7.5).
fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((local, host)), Some((other_local, other_host))) => {
            local == other_local && host.eq_ignore_ascii_case(other_host)
        }
        _ => false,
    }
}

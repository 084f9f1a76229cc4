//! `bowline cert`: the certificates that were issued, and certificate files.

mod renew;

use std::path::PathBuf;

use bowline_service::{
    CertificateDetails, CertificatePage, CertificateSummary, CertificateView, ListCertificates,
    RevocationReason, RevokeCertificate, RevokedCertificates, ShowCertificate, format_time,
    inspect, pem_of,
};
use clap::{Args, Subcommand};

use crate::arguments::OutputFormat;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{Facts, table};

/// Certificates: list, show, inspect, renew, revoke
#[derive(Debug, Args)]
pub(crate) struct Cert {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
    Inspect(Inspect),
    Renew(renew::Renew),
    NeedsRenewal(renew::NeedsRenewal),
    Revoke(Revoke),
}

impl Cert {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
            Action::Inspect(inspect) => inspect.run(context),
            Action::Renew(renew) => renew.run(context),
            Action::NeedsRenewal(ask) => ask.run(context),
            Action::Revoke(revoke) => revoke.run(context),
        }
    }
}

/// List certificates, first the one that ends first
#[derive(Debug, Args)]
struct List {
    /// Only those issued for this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Also those that have expired
    #[arg(long)]
    expired: bool,

    /// How many at most [default: all]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut after = None;
        let mut found: Vec<CertificateSummary> = Vec::new();
        while left > 0 {
            let page = ListCertificates {
                name: self.name.clone(),
                expired: self.expired,
                limit: Some(left.min(PAGE)),
                after,
            };
            let CertificatePage { certificates, next } = connection.call(page)?;
            left -= certificates.len().min(left);
            // For programs nothing is held back: a long inventory streams.
            match context.format() {
                OutputFormat::Json => {
                    context.print_list(&certificates, "")?;
                }
                OutputFormat::Text => found.extend(certificates),
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        match context.format() {
            OutputFormat::Json => Ok(Exit::SUCCESS),
            OutputFormat::Text => context.print_list(&found, summaries(&found)),
        }
    }
}

fn summaries(certificates: &[CertificateSummary]) -> String {
    let rows = certificates.iter().map(|certificate| {
        let CertificateSummary {
            name,
            subject,
            status,
            serial,
            not_after,
            ..
        } = certificate;
        let status = status.as_str().into();
        vec![
            name.clone(),
            status,
            format_time(*not_after),
            subject.clone(),
            format!("0x{serial}"),
        ]
    });
    table(&["name", "status", "until", "subject", "serial"], rows)
}

/// Show a certificate that was issued here
#[derive(Debug, Args)]
struct Show {
    /// Its serial number (0x… or with colons), or a name for its latest
    #[arg(value_name = "CERTIFICATE")]
    certificate: String,

    /// Print it as PEM instead
    #[arg(long)]
    pem: bool,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let view = context.connect()?.call(ShowCertificate {
            certificate: self.certificate,
        })?;
        if self.pem {
            context.write(pem_of(std::slice::from_ref(&view.certificate)))?;
            return Ok(Exit::SUCCESS);
        }
        let CertificateView {
            summary,
            renews,
            details,
            ..
        } = &view;
        let revoked = summary.revoked.as_ref();
        let facts = Facts::new()
            .fact("name", &summary.name)
            .fact("status", summary.status.as_str())
            .maybe(
                "revoked",
                revoked.map(|revoked| format!("{} ({})", format_time(revoked.at), revoked.reason)),
            )
            .fact("authority", &summary.authority)
            .fact("certificate profile", &summary.certificate_profile)
            .time("issued", summary.issued)
            .maybe(
                "renews",
                renews.as_ref().map(|serial| format!("0x{serial}")),
            );
        let text = format!("{facts}{}", facts_of(details));
        context.print(&view, text)
    }
}

/// Show what the certificates in a file say. Needs no home
#[derive(Debug, Args)]
struct Inspect {
    /// The file, PEM or DER; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Inspect {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let pem = pem_of(&context.read_certificates(&self.file)?);
        let certificates = inspect(pem.as_bytes())?;
        let text: Vec<String> = certificates
            .iter()
            .map(|certificate| facts_of(certificate).to_string())
            .collect();
        context.print_list(&certificates, text.join("\n"))
    }
}

fn facts_of(certificate: &CertificateDetails) -> Facts {
    let authority = match (certificate.ca, certificate.path_length) {
        (false, _) => "no".into(),
        (true, None) => "yes".into(),
        (true, Some(length)) => format!("yes, with at most {length} below"),
    };
    Facts::new()
        .fact("subject", &certificate.subject)
        .each("name", &certificate.names)
        .fact("issuer", &certificate.issuer)
        .fact("serial", format_args!("0x{}", certificate.serial))
        .fact("", &certificate.serial_decimal)
        .time("from", certificate.not_before)
        .time("until", certificate.not_after)
        .fact("key", &certificate.key)
        .fact("signed with", &certificate.signature_algorithm)
        .fact("authority", authority)
        .each("key usage", &certificate.key_usage)
        .each("extended key usage", &certificate.extended_key_usage)
        .maybe("subject key id", certificate.subject_key_id.as_ref())
        .maybe("authority key id", certificate.authority_key_id.as_ref())
        .each("CRL at", &certificate.crl_distribution_points)
        .fact("fingerprint", &certificate.fingerprint)
}

/// Revoke a certificate, or all unexpired certificates of a name
///
/// The certificate is refused from now on, and every session it was traded for has ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline cert revoke web-1 --reason keyCompromise
  bowline cert revoke 0x1f7130d4")]
struct Revoke {
    /// Its serial number (0x… or with colons), or a name
    #[arg(value_name = "CERTIFICATE")]
    certificate: String,

    /// Why (RFC 5280 §5.3.1): unspecified, keyCompromise, cACompromise, affiliationChanged, superseded,
    /// cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise
    #[arg(long, value_name = "REASON", default_value = "unspecified", value_parser = reason)]
    reason: RevocationReason,
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not a reason of RFC 5280 §5.3.1, as in keyCompromise or superseded")
    })
}

impl Revoke {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let revoke = RevokeCertificate {
            certificate: self.certificate,
            reason: self.reason,
        };
        let answer = context.connect()?.call(revoke)?;
        let RevokedCertificates {
            revoked,
            already_revoked,
        } = &answer;
        let mut text = summaries(revoked);
        if revoked.is_empty() {
            text.push_str("nothing is revoked that was not before\n");
        } else {
            text.push_str("their sessions have ended\n");
        }
        if !already_revoked.is_empty() {
            text.push_str("\nrevoked before:\n");
            text.push_str(&summaries(already_revoked));
        }
        context.print(&answer, text)
    }
}

/// How many certificates are asked for at once: the most a page has.
const PAGE: usize = 1_000;

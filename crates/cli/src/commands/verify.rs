//! `bowline verify`: is this chain good. Needs no home.

use std::path::PathBuf;

use bowline_service::{Kind, Time, VerifyAsk, format_time, pem_of, verify};
use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Facts;
use crate::times;

/// Verify a certificate up to a trust anchor, by the whole profile of RFC 5280
///
/// Needs no home. Exits 0 if the chain is good, 4 if not, with the rule and both values on standard error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline verify web-1.crt --anchor roots.pem
  bowline verify web-1.crt --anchor roots.pem --crl crls.pem --at 2026-06-01T12:00:00Z --purpose client")]
pub(crate) struct Verify {
    /// The certificate, PEM or DER; others in the same file count as intermediates; - is standard input
    #[arg(value_name = "LEAF")]
    leaf: PathBuf,

    /// What is trusted, PEM or DER
    #[arg(long, value_name = "FILE", required = true)]
    anchor: Vec<PathBuf>,

    /// Certificates between leaf and anchor, PEM or DER
    #[arg(long, value_name = "FILE")]
    intermediates: Vec<PathBuf>,

    /// CRLs, PEM or DER; with any, every certificate of the path needs one
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,

    /// The time to verify for, with its offset [default: now]
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    at: Option<Time>,

    /// What the certificate shall be good for: any, client or server
    #[arg(
        long,
        value_name = "PURPOSE",
        default_value = "any",
        hide_possible_values = true
    )]
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Purpose {
    /// Whatever it says.
    Any,
    /// A TLS client.
    Client,
    /// A TLS server.
    Server,
}

impl Verify {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let ask = VerifyAsk {
            leaf: pem_of(&context.read_certificates(&self.leaf)?).into(),
            anchors: certificates(context, &self.anchor)?,
            intermediates: certificates(context, &self.intermediates)?,
            crls: read_all(context, &self.crl)?,
            at: self.at.unwrap_or_else(|| context.now()),
            purpose: match self.purpose {
                Purpose::Any => bowline_service::Purpose::Any,
                Purpose::Client => bowline_service::Purpose::Client,
                Purpose::Server => bowline_service::Purpose::Server,
            },
        };
        let chain = verify(&ask).map_err(|error| match self.crl.as_slice() {
            // The certificates have been read: what does not read is a CRL.
            [crl] if error.kind() == Kind::Invalid => Error::in_file(crl)(error),
            _ => error.into(),
        })?;
        let facts = Facts::new()
            .fact(
                "valid",
                format_args!("until {}", format_time(chain.good_until)),
            )
            .each("path", &chain.subjects);
        context.print(&chain, facts)
    }
}

/// The certificates of all files in one PEM text.
fn certificates(context: &mut Context<'_>, files: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let mut all = String::new();
    for file in files {
        all.push_str(&pem_of(&context.read_certificates(file)?));
    }
    Ok(all.into())
}

/// The content of all files in one. Of several, each must be PEM: two DER documents in a row are none.
fn read_all(context: &mut Context<'_>, files: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    for file in files {
        if !all.is_empty() && !all.ends_with(b"\n") {
            all.push(b'\n');
        }
        all.extend(context.read(file)?);
    }
    Ok(all)
}

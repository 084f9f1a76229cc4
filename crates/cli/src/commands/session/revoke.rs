//! `bowline session revoke`: credentials that stop working now.

use bowline_service::{Moment, RevokeSessions, format_time};
use clap::{ArgGroup, Args};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Facts;
use crate::times;

/// End sessions before their time: their credentials stop working at once, everywhere
///
/// What was assumed from a session that ends, ends with it. Who still may get credentials can get new ones: revoke the
/// certificate, disable the trust anchor or change the role to stop that too.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["sessions", "role", "profile", "anchor", "subject", "certificate", "provider", "all"]),
    after_help = "\
Examples:
  bowline session revoke ASIAA2Q7EXAMPLEXAMPL --reason 'found in a build log'
  bowline session revoke --role s3-reader --older-than 1h
  bowline session revoke --certificate web-1 --reason 'host reinstalled'"
)]
pub(super) struct Revoke {
    /// Sessions, by their ids or access key ids
    #[arg(value_name = "SESSION")]
    sessions: Vec<String>,

    /// All of this role, by name or ARN
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// All that this profile allowed, by name, id or ARN
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// All whose certificate this trust anchor vouched for, by name, id or ARN
    #[arg(long, value_name = "ANCHOR")]
    anchor: Option<String>,

    /// All of this subject, by id, ARN or whole name, as in CN=web-1,OU=s3-reader
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    /// All of this certificate: a serial number, a name for all its unexpired ones, or a SHA-256 fingerprint
    #[arg(long, value_name = "CERTIFICATE")]
    certificate: Option<String>,

    /// All that this identity provider vouched for, by name or ARN; one that was deleted, by its ARN
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,

    /// All there are
    #[arg(long)]
    all: bool,

    /// Only those that began so long ago, or by this time
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    older_than: Option<Moment>,

    /// Why, for the log
    #[arg(long, value_name = "TEXT", default_value = "not said")]
    reason: String,
}

impl Revoke {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let revoked = connection.call(RevokeSessions {
            sessions: self.sessions,
            role: self.role,
            profile: self.profile,
            trust_anchor: self.anchor,
            subject: self.subject,
            certificate: self.certificate.map(without_colons),
            provider: self.provider,
            all: self.all,
            older_than: self.older_than.map(|moment| match moment {
                Moment::In(seconds) => Moment::In(-seconds),
                Moment::At(time) => Moment::At(time),
            }),
            reason: self.reason,
        })?;
        let facts = Facts::new()
            .fact("ended", &revoked.scope)
            .each("", &revoked.ids)
            .fact("begun by", format_time(revoked.until));
        context.print(&revoked, facts)
    }
}

/// A fingerprint as it is printed by others is taken without its colons; a serial number keeps them.
pub(super) fn without_colons(text: String) -> String {
    let digits = text.replace(':', "");
    let is_fingerprint = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_fingerprint {
        digits.to_lowercase()
    } else {
        text
    }
}

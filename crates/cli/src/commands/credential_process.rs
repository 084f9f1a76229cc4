//! `bowline credential-process`: what `aws_signing_helper credential-process` does, with its flags, and a cache.

use clap::Args;

use crate::commands::credentials::{self, CredentialsFormat};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::keeper::cache::Cache;
use crate::keeper::{Draw, Source};

/// Trade a certificate for credentials at any Roles Anywhere endpoint, with the flags of aws_signing_helper
///
/// A `credential_process` line ports by changing the name of the program; with NAME it needs no ARNs. TLS is believed
/// by --root or --fingerprint, else by AWS_CA_BUNDLE or SSL_CERT_FILE, else by the roots of the system.
///
/// Credentials are kept in $XDG_CACHE_HOME/bowline (~/.cache/bowline), readable by their owner only, and printed again
/// until less than 5 minutes or a tenth of their life remains. A session that is revoked is refused where it is used,
/// not here.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples, in ~/.aws/config:
  credential_process = bowline credential-process /etc/web/web-1 --server https://ca.example:8443 --root /etc/web/roots.pem
  credential_process = bowline credential-process --endpoint https://ca.example:8443 --root /etc/web/roots.pem
    --certificate /etc/web/web-1.crt --private-key /etc/web/web-1.key --trust-anchor-arn … --profile-arn … --role-arn …")]
pub(crate) struct CredentialProcess {
    #[command(flatten)]
    source: Source,

    /// Trade at every call, and keep nothing
    #[arg(long)]
    no_cache: bool,
}

impl CredentialProcess {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let cache = match self.no_cache {
            true => None,
            false => {
                let parts = self.source.parts(context)?;
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                Cache::of(&context.environment().variables, &parts)
            }
        };
        let credentials = match cache {
            None => self.source.trade(context)?,
            Some(cache) => {
                let now = context.now();
                let draw = Draw::from(&*context.entropy());
                let mut told = Vec::new();
                let source = &self.source;
                let given = cache.through(now, draw, || source.trade(context), &mut |text| {
                    told.push(text);
                });
                for text in told {
                    context.hint(format_args!("bowline: {text}"));
                }
                given?
            }
        };
        credentials::print(context, &credentials, CredentialsFormat::Json)
    }
}

//! `bowline cert renew` and `bowline cert needs-renewal`: what a timer runs.

use std::path::PathBuf;
use std::time::Duration;

use bowline_service::{
    ExpiresIn, KeySpec, PrivateKey, RenewCertificate, certification_request, format_time, inspect,
    needs_renewal, renewal_proof,
};
use clap::Args;
use serde::Serialize;

use crate::commands::issue::KeyArguments;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::pair::{NewPair, Pair, PairFiles, finish_interrupted, lock_directory};
use crate::render::Facts;
use crate::times;

/// Renew a certificate that has not expired: the same names, for as long again
///
/// The certificate itself is the authority: whoever holds its key may renew it, and nothing else is asked. A new
/// key is made unless --keep-key is given. Certificate and key are each replaced in one step, the certificate
/// first, with the new key already on the disk beside the old one (KEY.new): a crash never leaves a certificate
/// without its key, and the next renewal finishes what was cut off.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline cert renew web-1.crt web-1.key
  bowline cert needs-renewal web-1.crt && bowline cert renew web-1.crt web-1.key")]
pub(super) struct Renew {
    /// The certificate's file
    #[arg(value_name = "CRT")]
    certificate: PathBuf,

    /// Its key's file
    #[arg(value_name = "KEY")]
    key: PathBuf,

    /// Go on with the same key
    #[arg(long, conflicts_with_all = ["kty", "crv", "size"])]
    keep_key: bool,

    /// A file with the password of the key file; the new key is encrypted under it too
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    #[command(flatten)]
    new_key: KeyArguments,
}

/// What came of it.
#[derive(Serialize)]
struct Renewed<'a> {
    certificate_file: &'a PathBuf,
    key_file: &'a PathBuf,
    new_key: bool,
    serial: &'a str,
    subject: &'a str,
    not_after: String,
}

impl Renew {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let mut pair_files = PairFiles::around(&context.path(&self.certificate));
        pair_files.key = context.path(&self.key);
        let password = context.password(self.password_file.as_deref())?;
        let password = password.as_ref().map(|password| password.as_slice());
        let spec = self.new_key.spec()?;

        // 1. The pair as it is, once nobody else is replacing it.
        let lock = lock_directory(&pair_files.key)?;
        if finish_interrupted(&pair_files, password)? {
            context.hint("a renewal that was cut off is finished: its key is in place");
        }
        let old = Pair::load(&pair_files.certificate, &pair_files.key, password)?;

        // 2. The key, on the disk before it is certified.
        let connection = context.connect()?;
        let made = match self.keep_key {
            true => None,
            false => Some(PrivateKey::generate(
                spec.or(old.key.spec()).unwrap_or(KeySpec::P256),
            )?),
        };
        let csr = match &made {
            Some(key) => certification_request(key)?,
            None => certification_request(&old.key)?,
        };
        let signed_at = context.now();
        let proof = renewal_proof(old.leaf(), &csr, &old.key, signed_at)?;
        let new = match (&made, password) {
            (None, _) => NewPair::keeping_key(pair_files, Some(lock)),
            (Some(key), None) => NewPair::replacing(pair_files, key.to_pem().as_bytes(), lock)?,
            (Some(key), Some(password)) => {
                let pem = key.to_encrypted_pem(password, &*context.entropy())?;
                NewPair::replacing(pair_files, pem.as_bytes(), lock)?
            }
        };

        // 3. The certificate, and both to their places.
        let renewed = connection.call(RenewCertificate {
            certificate: old.leaf().to_vec(),
            csr,
            signed_at,
            proof,
        });
        let renewed = match renewed {
            Ok(renewed) => renewed,
            Err(error) => {
                new.abandon(&error);
                return Err(error);
            }
        };
        let files = new.finish(&renewed.certificate, &renewed.chain)?;
        let answer = Renewed {
            certificate_file: &files.certificate,
            key_file: &files.key,
            new_key: made.is_some(),
            serial: &renewed.serial,
            subject: &renewed.subject,
            not_after: format_time(renewed.not_after),
        };
        let key = if answer.new_key { "new" } else { "the same" };
        let facts = Facts::new()
            .fact("certificate", files.certificate.display())
            .fact("key", format_args!("{} ({key})", files.key.display()))
            .fact("subject", answer.subject)
            .fact("serial", format_args!("0x{}", answer.serial))
            .fact("until", &answer.not_after);
        context.print(&answer, facts)
    }
}

/// Tell by the exit code whether a certificate is due for renewal. Needs no home
///
/// Exits 0 if it is due, 1 if it is not, 2 if the file is missing, 255 on any other error.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bowline cert needs-renewal web-1.crt --expires-in 8h || exit 0"
)]
pub(super) struct NeedsRenewal {
    /// The certificate's file, PEM or DER
    #[arg(value_name = "CRT")]
    certificate: PathBuf,

    /// Due when less than this is left (8h), or when this much of its life is over (75%) [default: 66%]
    #[arg(long, value_name = "DURATION|PERCENT", value_parser = expires_in)]
    expires_in: Option<ExpiresIn>,
}

/// The answer for programs.
#[derive(Serialize)]
struct Due {
    needs_renewal: bool,
    not_after: String,
}

impl NeedsRenewal {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        self.ask(context).or_else(|error| {
            // A timer reads the number, a person the sentence.
            let format = context.format();
            error.report(format, context.environment().messages);
            Ok(match error.is_missing_file() {
                true => Exit::FILE_MISSING,
                false => Exit::ERROR_OF_NEEDS_RENEWAL,
            })
        })
    }

    fn ask(&self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let text = files::read(&context.path(&self.certificate))?;
        let now = context.now();
        let due = needs_renewal(&text, self.expires_in.unwrap_or_default(), now)
            .map_err(Error::in_file(&self.certificate))?;
        let not_after = inspect(&text)?.first().map_or(now, |leaf| leaf.not_after);
        let left = (not_after - now).to_std().unwrap_or(Duration::ZERO);
        let answer = Due {
            needs_renewal: due,
            not_after: format_time(not_after),
        };
        let verdict = if due {
            "needs renewal"
        } else {
            "needs no renewal"
        };
        let text = format!(
            "{} {verdict}: {} left, until {}\n",
            self.certificate.display(),
            times::in_words(left),
            answer.not_after
        );
        context.print(&answer, text)?;
        Ok(if due { Exit::SUCCESS } else { Exit::NOT_DUE })
    }
}

/// Reads `8h` or `75%`.
fn expires_in(text: &str) -> Result<ExpiresIn, String> {
    let refuse = || format!("{text:?} is neither a duration (8h) nor a percentage from 0% to 100%");
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = percent.parse().map_err(|_| refuse())?;
        return if percent <= 100 {
            Ok(ExpiresIn::Percent(percent))
        } else {
            Err(refuse())
        };
    }
    let window = humantime::parse_duration(text).map_err(|_| refuse())?;
    chrono::TimeDelta::from_std(window)
        .map(ExpiresIn::Duration)
        .map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_duration_or_a_percentage() {
        assert_eq!(expires_in("75%"), Ok(ExpiresIn::Percent(75)));
        assert_eq!(
            expires_in("8h"),
            Ok(ExpiresIn::Duration(chrono::TimeDelta::hours(8)))
        );
        for text in ["101%", "-1%", "%", "", "soon"] {
            assert!(expires_in(text).is_err(), "{text}");
        }
    }
}

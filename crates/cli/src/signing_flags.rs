//! The flags of `aws_signing_helper`: which certificate signs, with what key, and what it is traded for where.
//!
//! Every flag of that program is taken or refused with the reason, so that a `credential_process` line ports by
//! changing the program's name. `bowline credential-process`, `bowline host …` and the program under that other name
//! share these.

use std::path::{Path, PathBuf};

use bowline_server::{Endpoint, Trust, sessions, system_roots};
use bowline_service::{Secret, SessionAsk, SessionCredentials, Time, session_request};
use clap::Args;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::Error;
use crate::home::variable;
use crate::keys::{KeySource, KeySourceError, Password, Pkcs11Uri, Place};
use crate::pair::read_certificates;

/// Which certificate, and with what key.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Certificate and key")]
pub(crate) struct KeyFlags {
    /// The certificate: a file (PEM, DER or PKCS#12; other certificates and the key may be in it) or a pkcs11: URI
    #[arg(long, value_name = "FILE|URI")]
    pub(crate) certificate: Option<String>,

    /// The private key: a file (PEM or DER, encrypted or not; PKCS#12) or a pkcs11: URI [default: where the
    /// certificate is]
    #[arg(long, value_name = "FILE|URI", conflicts_with_all = ["cert_selector", "system_store_name", "system_store_location", "use_latest_expiring_certificate"])]
    pub(crate) private_key: Option<String>,

    /// A file with intermediates to send along
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cert_selector", "use_latest_expiring_certificate"])]
    pub(crate) intermediates: Option<PathBuf>,

    /// A file with the password of an encrypted key or PKCS#12 file, or the PIN of a token; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs8_password")]
    pub(crate) password_file: Option<PathBuf>,

    /// The password itself. Everybody on this machine can read a command line: --password-file is better
    #[arg(long, value_name = "PASSWORD", value_parser = secret, conflicts_with = "tpm_key_password")]
    pub(crate) pkcs8_password: Option<Secret>,

    /// The PKCS#11 library [default: the one the URI names, else p11-kit-proxy.so]
    #[arg(long, value_name = "LIBRARY")]
    pub(crate) pkcs11_lib: Option<PathBuf>,

    /// Give the token its PIN again for keys that want it before each signature
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, conflicts_with_all = ["cert_selector", "system_store_name", "system_store_location", "use_latest_expiring_certificate", "tpm_key_password", "no_tpm_key_password"])]
    pub(crate) reuse_pin: bool,

    /// Say on standard error what is done
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub(crate) debug: bool,

    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Flags for keys in places that are not reached from here. They are known so that the reason can be told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Elsewhere {
    #[arg(long, hide = true, conflicts_with_all = ["certificate", "tpm_key_password", "no_tpm_key_password"])]
    cert_selector: Option<String>,
    #[arg(long, hide = true, conflicts_with = "certificate")]
    system_store_name: Option<String>,
    #[arg(long, hide = true, conflicts_with = "certificate")]
    system_store_location: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    use_latest_expiring_certificate: bool,
    #[arg(long, hide = true, value_parser = secret)]
    tpm_key_password: Option<Secret>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", conflicts_with = "tpm_key_password")]
    no_tpm_key_password: bool,
}

/// What a certificate is traded for, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct TradeFlags {
    /// Which certificate, and with what key.
    #[command(flatten)]
    pub(crate) keys: KeyFlags,

    /// The trust anchor
    #[arg(long, value_name = "ARN", help_heading = "Trade")]
    pub(crate) trust_anchor_arn: String,

    /// The profile
    #[arg(long, value_name = "ARN", help_heading = "Trade")]
    pub(crate) profile_arn: String,

    /// The role
    #[arg(long, value_name = "ARN", help_heading = "Trade")]
    pub(crate) role_arn: String,

    /// The region to sign for [default: the trust anchor's]
    #[arg(long, value_name = "REGION", help_heading = "Trade")]
    pub(crate) region: Option<String>,

    /// Where to trade [env, before the flag: AWS_ENDPOINT_URL_ROLESANYWHERE, AWS_ENDPOINT_URL] [default: AWS's endpoint
    /// of the region]
    #[arg(long, value_name = "URL", help_heading = "Trade")]
    pub(crate) endpoint: Option<String>,

    /// How long the credentials shall last, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(900..=43_200), help_heading = "Trade")]
    pub(crate) session_duration: u32,

    /// A name for the session, where the profile accepts one
    #[arg(long, value_name = "NAME", help_heading = "Trade")]
    pub(crate) role_session_name: Option<String>,

    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    no_verify_ssl: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    with_proxy: bool,
}

/// A trade whose every part was named, so that nothing is asked before it. It can be made again and again: certificate
/// and key are read anew each time.
#[derive(Clone)]
pub(crate) struct DirectTrade {
    /// Whose certificate.
    pub(crate) source: KeySource,
    /// With whom.
    pub(crate) endpoint: Endpoint,
    /// For what.
    pub(crate) ask: SessionAsk,
    /// The region of the signature's scope.
    pub(crate) region: String,
}

impl DirectTrade {
    /// Trades the certificate for credentials.
    pub(crate) fn credentials(&self, now: Time) -> Result<SessionCredentials, Error> {
        let pair = self.source.load()?;
        let authority = self.endpoint.authority();
        let request = session_request(
            &self.ask,
            &authority,
            &pair.certificates,
            &pair.key,
            &self.region,
            now,
        )?;
        Ok(sessions::create_session(&self.endpoint, &request)?)
    }
}

impl TradeFlags {
    /// What is to be traded. Nothing is read but what says whom to believe.
    pub(crate) fn trade(&self, context: &mut Context<'_>) -> Result<DirectTrade, Error> {
        if self.no_verify_ssl {
            return Err(Error::Usage(
                "--no-verify-ssl: TLS is always verified here: give --root FILE or --fingerprint HASH of the server's root, or name its file in AWS_CA_BUNDLE".into(),
            ));
        }
        if self.with_proxy {
            refuse_proxy(context)?;
        }
        let source = self.keys.source(context)?;
        if source.certificate.is_none() {
            return Err(Error::Usage(
                "--certificate is needed: a file, or the PKCS#11 URI of a certificate in a token"
                    .into(),
            ));
        }
        let (anchor, profile) = (
            region_of(&self.trust_anchor_arn)?,
            region_of(&self.profile_arn)?,
        );
        if anchor != profile {
            return Err(Error::Usage(format!(
                "the trust anchor is in {anchor} and the profile in {profile}: they have to be in one region"
            )));
        }
        let region = self.region.clone().unwrap_or(anchor);
        let endpoint = self.endpoint(context, &region)?;
        if self.keys.debug {
            let authority = endpoint.authority();
            context.hint(format_args!(
                "POST /sessions at {authority} for {region}: {}",
                self.role_arn
            ));
        }
        Ok(DirectTrade {
            source,
            endpoint,
            ask: SessionAsk {
                role_arn: self.role_arn.clone(),
                profile_arn: self.profile_arn.clone(),
                trust_anchor_arn: self.trust_anchor_arn.clone(),
                duration_seconds: Some(self.session_duration),
                role_session_name: self.role_session_name.clone(),
            },
            region,
        })
    }

    fn endpoint(&self, context: &mut Context<'_>, region: &str) -> Result<Endpoint, Error> {
        // The environment beats the flag, as in that program.
        let variables = &context.environment().variables;
        let told = ["AWS_ENDPOINT_URL_ROLESANYWHERE", "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| variable(variables, name))
            .and_then(|url| url.to_str())
            .map(str::to_owned);
        let url = told.or_else(|| self.endpoint.clone());
        let url = url.unwrap_or_else(|| {
            let partition = self.trust_anchor_arn.split(':').nth(1);
            format!(
                "https://rolesanywhere.{region}.{}",
                domain_of(partition.unwrap_or_default())
            )
        });
        let trust = match context.trust()? {
            Some(trust) => Some(trust),
            None if url.starts_with("https://") => Some(Trust::Roots(outside_roots(context)?)),
            None => None,
        };
        Ok(Endpoint::parse(&url, trust)?)
    }
}

impl KeyFlags {
    /// Where certificate and key are.
    pub(crate) fn source(&self, context: &mut Context<'_>) -> Result<KeySource, Error> {
        self.elsewhere.refuse()?;
        let certificate = self.place(context, "--certificate", &self.certificate)?;
        let key = self.place(context, "--private-key", &self.private_key)?;
        if self.pkcs8_password.is_some() {
            context.hint(
                "--pkcs8-password can be read by everybody on this machine: --password-file FILE is better",
            );
        }
        let password = match (&self.pkcs8_password, &self.password_file) {
            (Some(password), _) => {
                let password = password.reveal().as_bytes().to_vec();
                Some(Password::Given(Zeroizing::new(password)))
            }
            // Standard input can be read but once.
            (None, Some(file)) if file == Path::new("-") => {
                context.password(Some(file))?.map(Password::Given)
            }
            (None, Some(file)) => Some(Password::File(context.path(file))),
            (None, None) => None,
        };
        Ok(KeySource {
            certificate,
            key,
            intermediates: self.intermediates.as_deref().map(|file| context.path(file)),
            password,
            module: self.pkcs11_lib.clone(),
            reuse_pin: self.reuse_pin,
        })
    }

    fn place(
        &self,
        context: &Context<'_>,
        flag: &'static str,
        text: &Option<String>,
    ) -> Result<Option<Place>, Error> {
        let Some(text) = text else { return Ok(None) };
        if Pkcs11Uri::is_meant(text) {
            return Ok(Some(Place::Token(Pkcs11Uri::parse(text)?)));
        }
        if text.starts_with("handle:") {
            return Err(KeySourceError::Unsupported {
                what: format!("{flag} {text}"),
                why: TPM,
            }
            .into());
        }
        Ok(Some(Place::File(context.path(Path::new(text)))))
    }
}

impl Elsewhere {
    fn refuse(&self) -> Result<(), Error> {
        let refused = [
            ("--cert-selector", self.cert_selector.is_some(), STORES),
            (
                "--system-store-name",
                self.system_store_name.is_some(),
                STORES,
            ),
            (
                "--system-store-location",
                self.system_store_location.is_some(),
                STORES,
            ),
            (
                "--use-latest-expiring-certificate",
                self.use_latest_expiring_certificate,
                STORES,
            ),
            ("--tpm-key-password", self.tpm_key_password.is_some(), TPM),
            ("--no-tpm-key-password", self.no_tpm_key_password, TPM),
        ];
        match refused.iter().find(|(_, given, _)| *given) {
            Some((flag, _, why)) => Err(Error::Usage(format!(
                "{flag}: {why}; keys are read from files and from PKCS#11 tokens"
            ))),
            None => Ok(()),
        }
    }
}

/// For clap: a text that no message shows.
pub(crate) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text.to_owned()))
}

/// Without a proxy in the environment, the flag changes nothing.
fn refuse_proxy(context: &mut Context<'_>) -> Result<(), Error> {
    let variables = &context.environment().variables;
    let proxy = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
        .iter()
        .find(|name| variable(variables, name).is_some());
    match proxy {
        Some(name) => Err(Error::Usage(format!(
            "--with-proxy: {name} names a proxy, and connections go only straight from here"
        ))),
        None => Ok(()),
    }
}

/// The fourth part of an ARN.
fn region_of(arn: &str) -> Result<String, Error> {
    let region = arn.split(':').nth(3).filter(|region| !region.is_empty());
    region.map(str::to_owned).ok_or_else(|| {
        Error::Usage(format!(
            "{arn} names no region: arn:aws:rolesanywhere:REGION:… is expected"
        ))
    })
}

/// Where AWS's endpoints of a partition are.
fn domain_of(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "amazonaws.com.cn",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        _ => "amazonaws.com",
    }
}

/// The roots that other programs on this machine believe.
fn outside_roots(context: &mut Context<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let variables = &context.environment().variables;
    let named = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"]
        .iter()
        .find_map(|name| variable(variables, name))
        .map(PathBuf::from);
    if let Some(named) = named {
        return read_certificates(&context.path(&named));
    }
    match system_roots() {
        none if none.is_empty() => Err(Error::Usage(
            "no roots are found on this system: give --root FILE, or name one in AWS_CA_BUNDLE"
                .into(),
        )),
        roots => Ok(roots),
    }
}

const STORES: &str =
    "there is no certificate store of the system here, as Windows and macOS have one";
const TPM: &str =
    "keys of a TPM are used here only through its PKCS#11 module (tpm2-pkcs11), by a pkcs11: URI";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_the_trust_anchors() {
        assert_eq!(
            region_of("arn:aws:rolesanywhere:eu-west-1:1:trust-anchor/x").unwrap(),
            "eu-west-1"
        );
        for arn in ["", "arn:aws:iam::1:role/x"] {
            assert!(matches!(region_of(arn), Err(Error::Usage(_))), "{arn}");
        }
    }
}

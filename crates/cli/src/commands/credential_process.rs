//! `bowline credential-process`: what `aws_signing_helper credential-process` does, with its flags.

use std::path::{Path, PathBuf};

use bowline_server::{Endpoint, Trust, sessions};
use bowline_service::{SessionAsk, certificates_from_pem, session_request};
use clap::Args;

use crate::commands::credentials::{self, CredentialsFormat};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::variable;
use crate::pair::{Pair, read_certificates};

/// Trade a certificate for credentials at any Roles Anywhere endpoint, with the flags of aws_signing_helper
///
/// A `credential_process` line ports by changing the name of the program. TLS is believed by --root or
/// --fingerprint, else by AWS_CA_BUNDLE or SSL_CERT_FILE, else by the roots of the system. Flags of that program
/// for keys that are not in files, for proxies and for skipping TLS verification are refused by name.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, in ~/.aws/config:
  credential_process = bowline credential-process --endpoint https://ca.example:8443 --root /etc/web/roots.pem
    --certificate /etc/web/web-1.crt --private-key /etc/web/web-1.key --trust-anchor-arn … --profile-arn … --role-arn …")]
pub(crate) struct CredentialProcess {
    /// The certificate's file; intermediates may follow in it
    #[arg(long, value_name = "FILE", required_unless_present_any = REFUSED)]
    certificate: Option<PathBuf>,

    /// The private key's file
    #[arg(long, value_name = "FILE", required_unless_present_any = REFUSED)]
    private_key: Option<PathBuf>,

    /// A file with intermediates to send
    #[arg(long, value_name = "FILE")]
    intermediates: Option<PathBuf>,

    /// The trust anchor
    #[arg(long, value_name = "ARN")]
    trust_anchor_arn: String,

    /// The profile
    #[arg(long, value_name = "ARN")]
    profile_arn: String,

    /// The role
    #[arg(long, value_name = "ARN")]
    role_arn: String,

    /// The region to sign for [default: the trust anchor's]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    /// Where to trade [default: AWS's endpoint of the region]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    /// How long the credentials shall last, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(900..=43_200))]
    session_duration: u32,

    /// A name for the session, where the profile accepts one
    #[arg(long, value_name = "NAME")]
    role_session_name: Option<String>,

    /// The password of an encrypted key. Others on this machine can read a command line: prefer a key file of mode 0600
    #[arg(long, value_name = "PASSWORD")]
    pkcs8_password: Option<String>,

    /// Say on standard error what is asked of whom
    #[arg(long)]
    debug: bool,

    #[arg(long, hide = true, num_args = 0..=1, value_name = "BOOL", default_missing_value = "true")]
    no_verify_ssl: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, value_name = "BOOL", default_missing_value = "true")]
    with_proxy: Option<bool>,
    #[arg(long, hide = true)]
    cert_selector: Option<String>,
    #[arg(long, hide = true)]
    system_store_name: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, value_name = "BOOL", default_missing_value = "true")]
    use_latest_expiring_certificate: Option<bool>,
    #[arg(long, hide = true)]
    pkcs11_lib: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, value_name = "BOOL", default_missing_value = "true")]
    reuse_pin: Option<bool>,
    #[arg(long, hide = true)]
    tpm_key_password: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, value_name = "BOOL", default_missing_value = "true")]
    no_tpm_key_password: Option<bool>,
}

/// The flags that stand for a key elsewhere; a line with one of them is refused with the reason, not for lacking a file.
const REFUSED: [&str; 6] = [
    "cert_selector",
    "system_store_name",
    "pkcs11_lib",
    "tpm_key_password",
    "no_tpm_key_password",
    "reuse_pin",
];

impl CredentialProcess {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        self.refuse_what_is_not_done()?;
        let (Some(certificate), Some(key)) = (&self.certificate, &self.private_key) else {
            return Err(Error::Usage(
                "--certificate FILE and --private-key FILE are needed".into(),
            ));
        };
        refuse_uri("--certificate", certificate)?;
        refuse_uri("--private-key", key)?;
        let region = match &self.region {
            Some(region) => region.clone(),
            None => region_of(&self.trust_anchor_arn)?,
        };
        let password = self.pkcs8_password.as_ref().map(String::as_bytes);
        let mut pair = Pair::load(&context.path(certificate), &context.path(key), password)?;
        if let Some(intermediates) = &self.intermediates {
            pair.certificates
                .extend(read_certificates(&context.path(intermediates))?);
        }
        let endpoint = self.endpoint(context, &region)?;
        let ask = SessionAsk {
            role_arn: self.role_arn.clone(),
            profile_arn: self.profile_arn.clone(),
            trust_anchor_arn: self.trust_anchor_arn.clone(),
            duration_seconds: Some(self.session_duration),
            role_session_name: self.role_session_name.clone(),
        };
        let request = session_request(
            &ask,
            &endpoint.authority(),
            &pair.certificates,
            &pair.key,
            &region,
            context.now(),
        )?;
        if self.debug {
            let authority = endpoint.authority();
            context.hint(format_args!(
                "POST /sessions at {authority} for {region}: {} with {} certificates",
                self.role_arn,
                pair.certificates.len()
            ));
        }
        let credentials = sessions::create_session(&endpoint, &request)?;
        credentials::print(context, &credentials, CredentialsFormat::Json)
    }

    fn refuse_what_is_not_done(&self) -> Result<(), Error> {
        let not_files = "keys in PKCS#11 modules, TPMs and system stores are not read: give --certificate FILE and --private-key FILE";
        let unverified = "TLS is always verified here: give --root FILE or --fingerprint HASH of the server's root";
        let refused = [
            ("--cert-selector", self.cert_selector.is_some(), not_files),
            (
                "--system-store-name",
                self.system_store_name.is_some(),
                not_files,
            ),
            (
                "--use-latest-expiring-certificate",
                self.use_latest_expiring_certificate == Some(true),
                not_files,
            ),
            ("--pkcs11-lib", self.pkcs11_lib.is_some(), not_files),
            ("--reuse-pin", self.reuse_pin == Some(true), not_files),
            (
                "--tpm-key-password",
                self.tpm_key_password.is_some(),
                not_files,
            ),
            (
                "--no-tpm-key-password",
                self.no_tpm_key_password == Some(true),
                not_files,
            ),
            (
                "--with-proxy",
                self.with_proxy == Some(true),
                "proxies are not used: leave it out",
            ),
            (
                "--no-verify-ssl",
                self.no_verify_ssl == Some(true),
                unverified,
            ),
        ];
        match refused.iter().find(|(_, given, _)| *given) {
            Some((flag, _, why)) => Err(Error::Usage(format!("{flag}: {why}"))),
            None => Ok(()),
        }
    }

    fn endpoint(&self, context: &mut Context<'_>, region: &str) -> Result<Endpoint, Error> {
        // The environment beats the flag, as in that program.
        let variables = &context.environment().variables;
        let told = variable(variables, "AWS_ENDPOINT_URL_ROLESANYWHERE")
            .and_then(|url| url.to_str())
            .map(str::to_owned);
        let url = told.or_else(|| self.endpoint.clone());
        let url = url.unwrap_or_else(|| format!("https://rolesanywhere.{region}.amazonaws.com"));
        let trust = match context.trust()? {
            Some(trust) => Some(trust),
            None if url.starts_with("https://") => Some(Trust::Roots(outside_roots(context)?)),
            None => None,
        };
        Ok(Endpoint::parse(&url, trust)?)
    }
}

fn refuse_uri(flag: &str, path: &Path) -> Result<(), Error> {
    let text = path.to_string_lossy();
    match text.starts_with("pkcs11:") || text.starts_with("handle:") {
        true => Err(Error::Usage(format!("{flag} {text}: only files are read"))),
        false => Ok(()),
    }
}

/// The fourth part of an ARN.
fn region_of(arn: &str) -> Result<String, Error> {
    let region = arn.split(':').nth(3).filter(|region| !region.is_empty());
    region
        .map(str::to_owned)
        .ok_or_else(|| Error::Usage(format!("{arn} names no region: give --region")))
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
    let system = SYSTEM_ROOTS
        .iter()
        .map(Path::new)
        .find(|file| file.exists());
    let Some(system) = system else {
        return Err(Error::Usage(
            "no roots are found on this system: give --root FILE".into(),
        ));
    };
    let text = files::read(system)?;
    // Somebody else's list: an entry that does not read is left out, the others serve.
    let text = String::from_utf8_lossy(&text);
    let blocks = text.split_inclusive("-----END CERTIFICATE-----");
    Ok(blocks
        .filter_map(|block| certificates_from_pem(block.as_bytes()).ok())
        .flatten()
        .collect())
}

/// Where distributions keep their roots: Debian and its kin, Red Hat and its kin, Alpine and macOS.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

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

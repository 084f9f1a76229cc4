//! `bowline host read-certificate-data`: what `aws_signing_helper` tells of a certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_service::{KeyAlgorithm, certificate_sha1, inspect, public_key_of};
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::keys::Place;
use crate::signing_flags::KeyFlags;

/// Tell what a certificate is, or which certificates a token has
///
/// Of a file: one JSON document with the kind of key, the certificate, its serial number in decimal and the signature
/// algorithms. Of a pkcs11: URI: a list of what it finds, with the URI that finds each alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline host read-certificate-data --certificate web-1.crt
  bowline host read-certificate-data --certificate pkcs11: --pkcs11-lib /usr/lib/softhsm/libsofthsm2.so")]
pub(crate) struct ReadCertificateData {
    #[command(flatten)]
    keys: KeyFlags,
}

/// What is told of a file, member for member as the other program does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateData {
    key_type: &'static str,
    certificate_data: String,
    serial_number: String,
    supported_algorithms: [String; 3],
}

impl ReadCertificateData {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let source = self.keys.source(context)?;
        match &source.certificate {
            Some(Place::File(_)) => {
                let certificates = source.certificates()?;
                let text = serde_json::to_string(&data(&certificates[0])?).map_err(|error| {
                    bowline_service::Error::internal(format!(
                        "certificate data could not be encoded: {error}"
                    ))
                })?;
                context.write(text)?;
            }
            Some(Place::Token(uri)) => {
                let found = source.list(uri)?;
                let heading = match found.is_empty() {
                    true => "No matching identities",
                    false => "Matching identities",
                };
                context.write(format_args!("{heading}\n"))?;
                for (at, (der, uri)) in found.iter().enumerate() {
                    let details = inspect(der)?;
                    // Cannot be empty: inspect gives at least one certificate, or an error.
                    let details = &details[0];
                    context.write(format_args!(
                        "{}) {} \"{}\"\n\tURI: {uri}\n\tIssuer: {}\n\tSerial: {}\n",
                        at + 1,
                        certificate_sha1(der),
                        details.subject,
                        details.issuer,
                        details.serial.to_uppercase()
                    ))?;
                }
            }
            None => {
                return Err(Error::Usage(
                    "--certificate is needed: a file, or the PKCS#11 URI of certificates in a token"
                        .into(),
                ));
            }
        }
        Ok(Exit::SUCCESS)
    }
}

fn data(certificate: &[u8]) -> Result<CertificateData, Error> {
    let key_type = match public_key_of(certificate)?.algorithm() {
        KeyAlgorithm::Rsa { .. } => "RSA",
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => "EC",
        // No request of Roles Anywhere is signed with it, so that program has no word for it.
        KeyAlgorithm::Ed25519 => "",
    };
    let mut details = inspect(certificate)?;
    Ok(CertificateData {
        key_type,
        certificate_data: STANDARD.encode(certificate),
        serial_number: details.swap_remove(0).serial_decimal,
        supported_algorithms: ["SHA256", "SHA384", "SHA512"]
            .map(|digest| format!("{key_type}{digest}")),
    })
}

//! `bowline host sign-string`: whether a key signs, told by a signature over a fixed text.

use bowline_service::{KeyAlgorithm, SignError, SignatureAlgorithm, Signer, prehashed};
use clap::{Args, ValueEnum};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::signing_flags::KeyFlags;

/// Sign a fixed text with a key, to see that it works
///
/// The text is that of aws_signing_helper: `AWS Roles Anywhere Credential Helper Signing Test`, `1`, and the SHA-256 of
/// `IAM RA` and the public key. So both programs say the same of the same RSA key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline host sign-string --private-key web-1.key
  bowline host sign-string --certificate 'pkcs11:token=host?pin-source=/etc/host.pin' --format text")]
pub(crate) struct SignString {
    #[command(flatten)]
    keys: KeyFlags,

    /// How to print the signature: json and text are hexadecimal, bin its octets
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "json",
        hide_possible_values = true
    )]
    format: Format,

    /// The hash: SHA256, SHA384 or SHA512
    #[arg(
        long,
        value_name = "DIGEST",
        default_value = "SHA256",
        hide_possible_values = true
    )]
    digest: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Hexadecimal digits between quotation marks.
    Json,
    /// Hexadecimal digits.
    Text,
    /// The octets.
    Bin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Digest {
    #[value(name = "SHA256")]
    Sha256,
    #[value(name = "SHA384")]
    Sha384,
    #[value(name = "SHA512")]
    Sha512,
}

impl SignString {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let source = self.keys.source(context)?;
        if source.certificate.is_none() && source.key.is_none() {
            return Err(Error::Usage(
                "--private-key is needed, or --certificate of a file or token that holds the key too".into(),
            ));
        }
        let key = source.key()?;
        let public = key.public_key();
        let algorithm = algorithm(public.algorithm(), self.digest)?;
        if self.keys.debug {
            context.hint(format_args!(
                "{algorithm} with a {} key over the fixed text",
                public.algorithm()
            ));
        }
        let signature = fixed_text(public.key_bits())
            .and_then(|text| key.sign(algorithm, &text))
            .map_err(bowline_service::Error::from)?;
        match self.format {
            Format::Json => context.write(format_args!("\"{}\"", hex(&signature)))?,
            Format::Text => context.write(hex(&signature))?,
            Format::Bin => {
                let output = &mut context.environment().output;
                output.write_all(&signature).map_err(Error::output)?;
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// The text, from the public key as certificates carry it: the point of a curve, or PKCS#1 of RSA.
fn fixed_text(public_key: &[u8]) -> Result<Vec<u8>, SignError> {
    // What is signed for ECDSA with SHA-256 is the SHA-256.
    let key = prehashed(
        SignatureAlgorithm::EcdsaSha256,
        &[b"IAM RA", public_key].concat(),
    )?;
    let text = b"AWS Roles Anywhere Credential Helper Signing Test1";
    Ok([text.as_slice(), &key].concat())
}

fn algorithm(key: KeyAlgorithm, digest: Digest) -> Result<SignatureAlgorithm, Error> {
    Ok(match (key, digest) {
        (KeyAlgorithm::Rsa { .. }, Digest::Sha256) => SignatureAlgorithm::RsaPkcs1Sha256,
        (KeyAlgorithm::Rsa { .. }, Digest::Sha384) => SignatureAlgorithm::RsaPkcs1Sha384,
        (KeyAlgorithm::Rsa { .. }, Digest::Sha512) => SignatureAlgorithm::RsaPkcs1Sha512,
        (KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521, Digest::Sha256) => {
            SignatureAlgorithm::EcdsaSha256
        }
        (KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521, Digest::Sha384) => {
            SignatureAlgorithm::EcdsaSha384
        }
        (KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521, Digest::Sha512) => {
            SignatureAlgorithm::EcdsaSha512
        }
        (KeyAlgorithm::Ed25519, _) => {
            return Err(Error::Usage(
                "Ed25519 keys sign no request of Roles Anywhere: RSA and EC keys do".into(),
            ));
        }
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Why a certificate and its key could not be had from where they are said to be.

use std::path::PathBuf;

use bowline_service::Kind;

/// Why a certificate and its key could not be had from where they are said to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySourceError {
    /// A place for keys that this program does not reach.
    #[error(
        "{what}: {why}; keys are read from files (PEM, DER, PKCS#8 encrypted or not, PKCS#12) and from PKCS#11 tokens"
    )]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// The encryption of PEM before PKCS#8.
    #[error(
        "the key is encrypted as OpenSSL did before PKCS#8, with one MD5 over the password: convert it with `openssl pkcs8 -topk8 -scrypt`"
    )]
    OldEncryption,
    /// A PKCS#12 file that cannot be used.
    #[error("the PKCS#12 file does not read: {reason}")]
    Pkcs12 {
        /// Why.
        reason: String,
    },
    /// Not RFC 7512. The URI itself is not shown: it may carry a PIN.
    #[error(
        "the PKCS#11 URI does not read: {reason}; write pkcs11:token=…;object=…;id=%01?pin-source=FILE (RFC 7512)"
    )]
    Uri {
        /// What is wrong with it.
        reason: String,
    },
    /// The module cannot be used.
    #[error("the PKCS#11 module {} fails: {reason}", module.display())]
    Module {
        /// The library.
        module: PathBuf,
        /// What it, or the system, said.
        reason: String,
    },
    /// No PIN, or a wrong one.
    #[error("token {token:?} {reason}")]
    Pin {
        /// The token's label.
        token: String,
        /// What is the matter.
        reason: &'static str,
    },
    /// Nothing like that there.
    #[error("{} has no {what} for {uri}{hint}", module.display())]
    NotFound {
        /// Token, certificate or private key.
        what: &'static str,
        /// The library.
        module: PathBuf,
        /// What was looked for, without a PIN.
        uri: String,
        /// What may help.
        hint: &'static str,
    },
    /// A token's key of another kind than the certificate's.
    #[error("the private key that {uri} finds is not the certificate's")]
    KeyOfAnother {
        /// What was looked for, without a PIN.
        uri: String,
    },
    /// More than one thing like that.
    #[error("{count} {what} match {uri}: say which with token=, object= or id=")]
    Ambiguous {
        /// Tokens, certificates or private keys.
        what: &'static str,
        /// How many.
        count: usize,
        /// What was looked for, without a PIN.
        uri: String,
    },
}

impl KeySourceError {
    /// What it means.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            KeySourceError::Unsupported { .. }
            | KeySourceError::OldEncryption
            | KeySourceError::Pkcs12 { .. }
            | KeySourceError::Uri { .. }
            | KeySourceError::KeyOfAnother { .. }
            | KeySourceError::Ambiguous { .. } => Kind::Invalid,
            KeySourceError::Module { .. } => Kind::Unavailable,
            KeySourceError::Pin { .. } => Kind::Unauthenticated,
            KeySourceError::NotFound { .. } => Kind::NotFound,
        }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            KeySourceError::Unsupported { .. } => "key_source_unsupported",
            KeySourceError::OldEncryption => "private_key_encryption_old",
            KeySourceError::Pkcs12 { .. } => "pkcs12_unreadable",
            KeySourceError::Uri { .. } => "pkcs11_uri_invalid",
            KeySourceError::Module { .. } => "pkcs11_module",
            KeySourceError::Pin { .. } => "pkcs11_pin",
            KeySourceError::NotFound { .. } => "pkcs11_not_found",
            KeySourceError::KeyOfAnother { .. } => "key_of_another",
            KeySourceError::Ambiguous { .. } => "pkcs11_ambiguous",
        }
    }
}

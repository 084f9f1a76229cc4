//! The seam to private keys: whoever holds one signs behind this trait.

use crate::{PublicKey, SignatureAlgorithm};

/// A private key that can be asked for signatures and never shown.
///
/// Implementations may block: a hardware module or a key service takes its time.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs the message itself, not its hash. ECDSA signatures are DER.
    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Why a signer gave no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: {reason}")]
pub struct SignError {
    /// What stands in the way: "key is locked", "RSA-PSS is not supported by this key".
    pub reason: String,
}

impl SignError {
    /// From the reason.
    pub fn new(reason: impl Into<String>) -> SignError {
        SignError {
            reason: reason.into(),
        }
    }
}

//! Temporary credentials: what a client gets, and the random bytes they are made of.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::NONCE_LEN;
use bowline_x509::Time;
use zeroize::Zeroizing;

use crate::ids::{IdError, base32, excerpt, from_base32};

/// The access key id of temporary credentials: `ASIA` and 16 characters that hold the key id and 72 random bits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKeyId {
    text: String,
    kid: u8,
}

impl AccessKeyId {
    pub(crate) fn new(kid: u8, random: [u8; 9]) -> AccessKeyId {
        let mut bytes = [0; 10];
        bytes[0] = kid;
        bytes[1..].copy_from_slice(&random);
        AccessKeyId {
            text: format!("{ACCESS_KEY_PREFIX}{}", base32(&bytes)),
            kid,
        }
    }

    /// The text, 20 characters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id of the key that made it.
    pub fn kid(&self) -> u8 {
        self.kid
    }
}

impl FromStr for AccessKeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<AccessKeyId, IdError> {
        text.strip_prefix(ACCESS_KEY_PREFIX)
            .and_then(from_base32)
            .map(|bytes| AccessKeyId {
                text: text.to_owned(),
                kid: bytes[0],
            })
            .ok_or_else(|| IdError::AccessKey {
                begins: excerpt(&text.chars().take(SHOWN_CHARACTERS).collect::<String>()),
                characters: text.chars().count(),
            })
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The random bytes of one set of credentials, drawn by the caller from a cryptographic source.
#[derive(Clone)]
pub struct Draw {
    /// What makes the access key id unguessable and unique.
    pub access_key_id: [u8; 9],
    /// The id of the session, for the audit log.
    pub session_id: [u8; 16],
    /// The nonce of the token's seal.
    pub nonce: [u8; NONCE_LEN],
}

impl From<[u8; 37]> for Draw {
    /// Cuts one draw of 37 bytes into its three parts.
    fn from(bytes: [u8; 37]) -> Draw {
        let mut draw = Draw {
            access_key_id: [0; 9],
            session_id: [0; 16],
            nonce: [0; NONCE_LEN],
        };
        draw.access_key_id.copy_from_slice(&bytes[..9]);
        draw.session_id.copy_from_slice(&bytes[9..25]);
        draw.nonce.copy_from_slice(&bytes[25..]);
        draw
    }
}

/// What a client gets: the two keys, the token, and when they end.
#[derive(Clone)]
pub struct TemporaryCredentials {
    /// Public half: names the credentials in every signed request.
    pub access_key_id: AccessKeyId,
    /// Secret half, 40 characters; wiped from memory when dropped.
    pub secret_access_key: Zeroizing<String>,
    /// The sealed session; sent beside every signed request.
    pub session_token: String,
    /// When the credentials stop being accepted.
    pub expiration: Time,
    /// The token's share of the largest token, in percent.
    pub packed_policy_size: u8,
    /// The id of the session, for the audit log.
    pub session_id: [u8; 16],
}

impl fmt::Debug for TemporaryCredentials {
    /// Leaves out the secret and the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemporaryCredentials")
            .field("access_key_id", &self.access_key_id)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// As many characters as tell what kind of key id somebody meant.
const SHOWN_CHARACTERS: usize = 4;

/// What AWS begins the access key id of temporary credentials with.
const ACCESS_KEY_PREFIX: &str = "ASIA";

/// The prefix and 80 bits in base32.
pub(crate) const ACCESS_KEY_ID_LEN: usize = 20;

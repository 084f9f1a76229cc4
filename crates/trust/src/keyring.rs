//! The keys behind temporary credentials: sealing session tokens, opening them, and deriving the secrets.
//!
//! Nothing is stored for a session. The secret key is derived from the access key id alone, so a verifier can check a
//! signature before it has seen the token; the token is sealed to that access key id, so the token of one session never
//! opens under the key of another.

mod messages;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline_x509::Time;
use zeroize::Zeroizing;

use crate::claims::Claims;
use crate::credentials::{ACCESS_KEY_ID_LEN, AccessKeyId, Draw, TemporaryCredentials};
use crate::grant::Grant;
use crate::ids::IdError;
use crate::payload::{Packed, Unreadable, read_payload, read_payload_of_version_one};
use crate::session::Session;

pub use messages::{MESSAGE_TEXT_MAX, MessageError};

/// The keys by their id, and the one that seals now.
///
/// Each key is 32 random bytes; what it seals and derives never leaves this type as a key. To rotate, add a key, make it
/// current, and drop the old one once its last session has ended. Dropping a key ends every session it sealed, at once.
pub struct KeyRing {
    current: u8,
    keys: BTreeMap<u8, DerivedKeys>,
}

/// What is derived from one root: no two purposes share a key.
struct DerivedKeys {
    secrets: hkdf::Prk,
    tokens: LessSafeKey,
    messages: LessSafeKey,
}

impl KeyRing {
    /// Derives the keys of every root, each under its id; the caller wipes the roots.
    pub fn new<'a>(
        current: u8,
        roots: impl IntoIterator<Item = (u8, &'a [u8; ROOT_LEN])>,
    ) -> Result<KeyRing, KeyRingError> {
        let mut keys = BTreeMap::new();
        for (kid, root) in roots {
            if keys.insert(kid, DerivedKeys::of(root)).is_some() {
                return Err(KeyRingError::Repeated { kid });
            }
        }
        if !keys.contains_key(&current) {
            return Err(KeyRingError::CurrentMissing { kid: current });
        }
        Ok(KeyRing { current, keys })
    }

    /// The id of the key that seals new sessions.
    pub fn current(&self) -> u8 {
        self.current
    }

    /// The ids of every key that still opens sessions.
    pub fn ids(&self) -> impl Iterator<Item = u8> + '_ {
        self.keys.keys().copied()
    }

    /// Makes the credentials of a grant. The same draw must never serve twice.
    ///
    /// The token's size was a rule of the grant, so that it fits.
    pub fn seal(&self, grant: &Grant, draw: &Draw) -> TemporaryCredentials {
        let packed = grant.packed();
        // A payload that makes the token at least as long as was asked for.
        let payload_bytes_min = (grant.token_bytes_min() * 3)
            .div_ceil(4)
            .saturating_sub(FRAME_LEN);
        let payload = packed.to_payload(&draw.session_id, payload_bytes_min);
        self.seal_payload(payload, grant.claims(), draw)
    }

    fn seal_payload(&self, payload: Vec<u8>, claims: &Claims, draw: &Draw) -> TemporaryCredentials {
        // Cannot fail: `new` refused a ring without its current key.
        let keys = self.keys.get(&self.current).expect("current key");
        let access_key_id = AccessKeyId::new(self.current, draw.access_key_id);

        let mut sealed = payload;
        keys.tokens
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(draw.nonce),
                Aad::from(bound_to(TOKEN_VERSION, self.current, &access_key_id)),
                &mut sealed,
            )
            // Cannot fail: the AEAD only refuses texts of many gigabytes.
            .expect("sealing a short text");
        let mut token = Vec::with_capacity(HEADER_LEN + sealed.len());
        token.extend([TOKEN_VERSION, self.current]);
        token.extend(draw.nonce);
        token.extend(sealed);
        let session_token = URL_SAFE_NO_PAD.encode(token);

        TemporaryCredentials {
            secret_access_key: keys.secret(&access_key_id),
            access_key_id,
            packed_policy_size: packed_percentage(session_token.len()),
            session_token,
            session_id: draw.session_id,
            expiration: claims.expires_at,
        }
    }

    /// The secret access key that belongs to an access key id; no token is needed, and none is vouched for.
    ///
    /// That a secret can be derived says nothing about the session: only [`KeyRing::open`] does.
    pub fn secret_for(&self, access_key_id: &str) -> Result<Zeroizing<String>, TokenError> {
        let access_key_id: AccessKeyId = access_key_id.parse()?;
        Ok(self.keys_of(access_key_id.kid())?.secret(&access_key_id))
    }

    /// Opens the token of an access key id: its seal, its key, its time.
    ///
    /// Whether the session was ended early is not in the token: see [`Session::ended_by`] and [`Session::layers`].
    pub fn open(&self, access_key_id: &str, token: &str, now: Time) -> Result<Session, TokenError> {
        let access_key_id: AccessKeyId = access_key_id.parse()?;
        let keys = self.keys_of(access_key_id.kid())?;

        // 1. Read the frame. The limit comes first: nobody makes us decode a megabyte.
        if token.len() > TOKEN_BYTES_OPENED_MAX {
            return Err(TokenError::TooLong {
                bytes: token.len(),
                limit: TOKEN_BYTES_OPENED_MAX,
            });
        }
        let frame = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| TokenError::Malformed {
                why: "not base64url",
            })?;
        let Some((header, sealed)) = frame.split_at_checked(HEADER_LEN) else {
            return Err(TokenError::Malformed {
                why: "shorter than its header",
            });
        };
        let (version, kid) = (header[0], header[1]);
        if !TOKEN_VERSIONS.contains(&version) {
            return Err(TokenError::UnknownVersion { version });
        }
        if kid != access_key_id.kid() {
            return Err(TokenError::OtherKey {
                token: kid,
                access_key: access_key_id.kid(),
            });
        }
        let nonce =
            Nonce::try_assume_unique_for_key(&header[HEADER_LEN - NONCE_LEN..]).map_err(|_| {
                TokenError::Malformed {
                    why: "shorter than its header",
                }
            })?;

        // 2. Break the seal.
        let mut sealed = sealed.to_vec();
        let payload = keys
            .tokens
            .open_in_place(
                nonce,
                Aad::from(bound_to(version, kid, &access_key_id)),
                &mut sealed,
            )
            .map_err(|_| TokenError::NotAuthentic)?;

        // 3. Read what we once wrote, and hold it against the clock.
        let unreadable = |Unreadable { why }| TokenError::Malformed { why };
        let (session_id, claims) = match version {
            1 => read_payload_of_version_one(payload),
            _ => read_payload(payload),
        }
        .map_err(unreadable)?;
        let session = Session::new(session_id, claims).map_err(unreadable)?;
        session.check_time(now)?;
        Ok(session)
    }

    fn keys_of(&self, kid: u8) -> Result<&DerivedKeys, TokenError> {
        self.keys.get(&kid).ok_or(TokenError::UnknownKey { kid })
    }
}

impl fmt::Debug for KeyRing {
    /// Prints ids only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.ids().collect();
        f.debug_struct("KeyRing")
            .field("current", &self.current)
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

impl DerivedKeys {
    fn of(root: &[u8; ROOT_LEN]) -> DerivedKeys {
        // The root is uniformly random, so it is a pseudorandom key as it stands (RFC 5869 §3.3).
        let root = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, root);
        let secrets = Zeroizing::new(expand::<32>(&root, &[SECRETS_LABEL]));
        let seal = |label| {
            let key = Zeroizing::new(expand::<32>(&root, &[label]));
            // Cannot fail: the algorithm's keys are 32 bytes long.
            LessSafeKey::new(UnboundKey::new(&aead::AES_256_GCM_SIV, &*key).expect("32 bytes"))
        };
        DerivedKeys {
            secrets: hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*secrets),
            tokens: seal(TOKENS_LABEL),
            messages: seal(MESSAGES_LABEL),
        }
    }

    fn secret(&self, access_key_id: &AccessKeyId) -> Zeroizing<String> {
        let bytes = Zeroizing::new(expand::<SECRET_LEN>(
            &self.secrets,
            &[SECRET_LABEL, access_key_id.as_str().as_bytes()],
        ));
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
    }
}

/// HKDF-Expand (RFC 5869 §2.3). The labels are fixed texts and the access key id has a fixed length, so no two
/// inputs run together into one.
fn expand<const LEN: usize>(key: &hkdf::Prk, info: &[&[u8]]) -> [u8; LEN] {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; LEN];
    key.expand(info, Length(LEN))
        .and_then(|okm| okm.fill(&mut out))
        // Cannot fail: the lengths agree and are far below 255 hashes.
        .expect("expanding a short key");
    out
}

/// What a token is sealed to besides its payload.
fn bound_to(version: u8, kid: u8, access_key_id: &AccessKeyId) -> [u8; 2 + ACCESS_KEY_ID_LEN] {
    let mut bound = [0; 2 + ACCESS_KEY_ID_LEN];
    bound[0] = version;
    bound[1] = kid;
    bound[2..].copy_from_slice(access_key_id.as_str().as_bytes());
    bound
}

/// How many bytes the token of these claims takes; the drawn bytes do not change it.
pub(crate) fn token_bytes(packed: &Packed, bytes_min: usize) -> usize {
    let frame = FRAME_LEN + packed.payload_len();
    // As base64 without padding; the least is rounded as the payload's is.
    let padded = (bytes_min * 3).div_ceil(4);
    (frame.max(padded) * 4).div_ceil(3)
}

/// The share of the largest token that this one uses, rounded up.
fn packed_percentage(bytes: usize) -> u8 {
    u8::try_from((bytes * 100).div_ceil(TOKEN_BYTES_MAX)).unwrap_or(u8::MAX)
}

/// Why a ring of keys cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// Two roots share an id.
    #[error("session key {kid} is given twice")]
    Repeated {
        /// The id.
        kid: u8,
    },
    /// The key that should seal is not among them.
    #[error("session key {kid} is named as current but is not given")]
    CurrentMissing {
        /// The id.
        kid: u8,
    },
}

/// Why an access key id or a session token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The access key id is not one of temporary credentials.
    #[error(transparent)]
    AccessKeyId(#[from] IdError),
    /// The key that made the credentials is not in the ring (any more).
    #[error(
        "session key {kid} is not known: the credentials are not ours, or their key was retired"
    )]
    UnknownKey {
        /// The id in the access key id.
        kid: u8,
    },
    /// The token is longer than any we make.
    #[error("the session token has {bytes} bytes and none of ours has more than {limit}")]
    TooLong {
        /// The size given.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The token does not have the form of one.
    #[error("the session token is malformed: {why}")]
    Malformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token was made by another version of this program.
    #[error(
        "the session token has version {version} and only versions {} to {} are understood", TOKEN_VERSIONS.start(), TOKEN_VERSIONS.end()
    )]
    UnknownVersion {
        /// The version given.
        version: u8,
    },
    /// Token and access key id name different keys.
    #[error(
        "the session token was sealed with key {token} but the access key id belongs to key {access_key}"
    )]
    OtherKey {
        /// The key in the token.
        token: u8,
        /// The key in the access key id.
        access_key: u8,
    },
    /// The seal is broken: changed, forged, or the token of another access key id.
    #[error("the session token does not belong to this access key id, or was changed")]
    NotAuthentic,
    /// The session is over.
    #[error("the session ended at {} and it is {}", stamp(.expired_at), stamp(.now))]
    Expired {
        /// When it ended.
        expired_at: Time,
        /// The time of the attempt.
        now: Time,
    },
    /// The session has not begun, beyond what clocks may differ.
    #[error("the session begins at {} and it is only {}", stamp(.issued_at), stamp(.now))]
    IssuedInFuture {
        /// When it begins.
        issued_at: Time,
        /// The time of the attempt.
        now: Time,
    },
}

impl TokenError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            TokenError::AccessKeyId(_) => "malformed_access_key_id",
            TokenError::UnknownKey { .. } => "unknown_session_key",
            TokenError::TooLong { .. } => "session_token_too_long",
            TokenError::Malformed { .. } => "malformed_session_token",
            TokenError::UnknownVersion { .. } => "unknown_session_token_version",
            TokenError::OtherKey { .. } => "session_token_of_another_key",
            TokenError::NotAuthentic => "session_token_not_authentic",
            TokenError::Expired { .. } => "session_expired",
            TokenError::IssuedInFuture { .. } => "session_issued_in_future",
        }
    }
}

/// A time as messages print it.
pub(crate) fn stamp(time: &Time) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Bytes of a root key: as many as the cipher's key has.
pub const ROOT_LEN: usize = 32;

/// The largest token in bytes that is made, as STS limits it. A presigned URL carries the token among much else, and
/// proxies accept request lines of 8 KiB by default.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// The largest token in bytes that is opened: earlier programs made longer ones.
const TOKEN_BYTES_OPENED_MAX: usize = 6_144;

/// The layout of token and payload, and the algorithms. Any change to them takes the next number.
const TOKEN_VERSION: u8 = 2;

/// The versions that are opened. Version 1 had the payload as CBOR, never deflated nor padded.
const TOKEN_VERSIONS: RangeInclusive<u8> = 1..=TOKEN_VERSION;

/// Bytes of a token around its payload: the header, and the tag of the seal (RFC 8452 §4).
const FRAME_LEN: usize = HEADER_LEN + 16;

/// Version, key id, nonce.
const HEADER_LEN: usize = 2 + NONCE_LEN;

/// Bytes behind a secret access key: 240 bits, 40 characters in base64.
const SECRET_LEN: usize = 30;

const SECRETS_LABEL: &[u8] = b"bowline/session/secrets/v1";
const TOKENS_LABEL: &[u8] = b"bowline/session/tokens/v1";
const MESSAGES_LABEL: &[u8] = b"bowline/session/messages/v1";
const SECRET_LABEL: &[u8] = b"secret/v1";

#[cfg(test)]
mod tests;

//! Secrets at rest: AES-256-GCM-SIV under a master key, each bound to its place in the store.
//!
//! The master key is random and itself sealed in the store under a key-encryption key, which
//! comes from `unseal.key` or from a passphrase (scrypt). So a passphrase can be changed
//! without touching the secrets, and a wrong one is told apart from a damaged store.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::environment::{Entropy, draw};
use crate::error::Error;

/// What opens a home: the bytes of `unseal.key`, or a passphrase.
#[derive(Clone)]
pub enum UnsealKey {
    /// 32 random bytes, kept in a file of the home that only its owner can read.
    File(Zeroizing<[u8; 32]>),
    /// A passphrase, stretched with scrypt.
    Passphrase(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for UnsealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            UnsealKey::File(_) => "UnsealKey::File(..)",
            UnsealKey::Passphrase(_) => "UnsealKey::Passphrase(..)",
        })
    }
}

impl UnsealKey {
    /// Reads the content of `unseal.key`.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let key: [u8; 32] = bytes.try_into().map_err(|_| Error::UnsealKeyLength {
            length: bytes.len(),
        })?;
        Ok(UnsealKey::File(Zeroizing::new(key)))
    }

    /// Takes a passphrase as typed into a file: one line end at its end does not count.
    pub fn from_passphrase(bytes: &[u8]) -> Result<Self, Error> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() < PASSPHRASE_MIN {
            return Err(Error::PassphraseTooShort { length: line.len() });
        }
        Ok(UnsealKey::Passphrase(Zeroizing::new(line.to_vec())))
    }

    /// Draws a fresh key for `unseal.key`.
    pub fn generate(entropy: &dyn Entropy) -> (Self, Zeroizing<[u8; 32]>) {
        let bytes = Zeroizing::new(draw::<32>(entropy));
        (UnsealKey::File(bytes.clone()), bytes)
    }
}

/// How the master key is sealed; a record of the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedMaster {
    method: Method,
    sealed: Vec<u8>,
}

impl SealedMaster {
    /// What is missing where nothing to open it was given.
    pub(crate) fn without_key(&self) -> Error {
        match self.method {
            Method::KeyFile => Error::Locked,
            Method::Passphrase { .. } => Error::PassphraseNeeded,
        }
    }

    /// Whether a key file opens it, and no passphrase.
    pub(crate) fn is_under_key_file(&self) -> bool {
        matches!(self.method, Method::KeyFile)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Method {
    KeyFile,
    Passphrase {
        salt: [u8; 16],
        log_n: u8,
        r: u32,
        p: u32,
    },
}

/// Seals and opens the secrets of one home. Wiped when dropped.
pub struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// Draws a master key and seals it under `unseal`.
    pub(crate) fn create(
        unseal: &UnsealKey,
        entropy: &dyn Entropy,
    ) -> Result<(Sealer, SealedMaster), Error> {
        let master = Zeroizing::new(draw::<32>(entropy));
        let method = match unseal {
            UnsealKey::File(_) => Method::KeyFile,
            UnsealKey::Passphrase(_) => Method::Passphrase {
                salt: draw(entropy),
                log_n: SCRYPT_LOG_N,
                r: SCRYPT_R,
                p: SCRYPT_P,
            },
        };
        let outer = Sealer::from_key(&*key_encryption_key(unseal, &method)?);
        let sealed = outer.seal(MASTER_PLACE, &*master, entropy);
        Ok((Sealer::from_key(&master), SealedMaster { method, sealed }))
    }

    /// Opens the master key of a home.
    pub(crate) fn open_master(record: &SealedMaster, unseal: &UnsealKey) -> Result<Sealer, Error> {
        let outer = Sealer::from_key(&*key_encryption_key(unseal, &record.method)?);
        let master = outer
            .open(MASTER_PLACE, &record.sealed)
            .map_err(|_| match unseal {
                UnsealKey::File(_) => Error::UnsealKeyWrong,
                UnsealKey::Passphrase(_) => Error::PassphraseWrong,
            })?;
        let master: Zeroizing<[u8; 32]> = Zeroizing::new(
            master
                .as_slice()
                .try_into()
                .map_err(|_| Error::internal("the master key is not 32 bytes"))?,
        );
        Ok(Sealer::from_key(&master))
    }

    fn from_key(key: &[u8; 32]) -> Sealer {
        // Cannot fail: the array has the algorithm's key length.
        Sealer {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).expect("a 32-byte key")),
        }
    }

    /// Encrypts `secret` for `place`; at any other place it will not open.
    pub(crate) fn seal(&self, place: &[u8], secret: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let nonce = draw::<NONCE_LEN>(entropy);
        let mut buffer = Zeroizing::new(secret.to_vec());
        // In place would leave the plaintext in the part of a buffer that a reallocation gave back.
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place),
                &mut buffer,
            )
            // Cannot fail: fails only over the algorithm's limit of 2^36 bytes, and a value ends at 64 KiB.
            .expect("a secret is small");
        let mut sealed = Vec::with_capacity(NONCE_LEN + buffer.len() + tag.as_ref().len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&buffer);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Decrypts what [`Sealer::seal`] made for the same place.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let broken = || {
            Error::internal(
                "a sealed secret does not open: it was changed, moved, or sealed under another key",
            )
        };
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut buffer = Zeroizing::new(rest.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(place), &mut buffer)
            .map_err(|_| broken())?
            .len();
        buffer[length..].zeroize();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Turns what the operator holds into the key that opens the master key.
fn key_encryption_key(unseal: &UnsealKey, method: &Method) -> Result<Zeroizing<[u8; 32]>, Error> {
    match (unseal, method) {
        (UnsealKey::File(key), Method::KeyFile) => Ok(key.clone()),
        (UnsealKey::Passphrase(passphrase), Method::Passphrase { salt, log_n, r, p }) => {
            if *log_n > SCRYPT_LOG_N_MAX || *r > SCRYPT_R || *p > SCRYPT_P_MAX {
                return Err(Error::internal(
                    "the record of the passphrase asks for more memory than this program gives scrypt",
                ));
            }
            let params = scrypt::Params::new(*log_n, *r, *p).map_err(|_| {
                Error::internal("the record of the passphrase has impossible scrypt parameters")
            })?;
            let mut key = Zeroizing::new([0; 32]);
            // Cannot fail: fails only for an output of no bytes or over 128 GiB.
            scrypt::scrypt(passphrase, salt, &params, &mut *key).expect("a 32-byte output");
            Ok(key)
        }
        (UnsealKey::File(_), Method::Passphrase { .. }) => Err(Error::PassphraseNeeded),
        (UnsealKey::Passphrase(_), Method::KeyFile) => Err(Error::PassphraseNotUsed),
    }
}

/// The place of the master key itself.
const MASTER_PLACE: &[u8] = b"bowline master key v1";

/// The shortest passphrase taken, in bytes. Below it scrypt cannot help.
pub const PASSPHRASE_MIN: usize = 8;

/// scrypt cost: N = 2^15, r = 8 takes 32 MiB and about a tenth of a second, once a start.
const SCRYPT_LOG_N: u8 = 15;
/// scrypt block size.
const SCRYPT_R: u32 = 8;
/// scrypt parallelism.
const SCRYPT_P: u32 = 1;
/// The most rounds after one another that a record may ask for.
const SCRYPT_P_MAX: u32 = 4;
/// The most a record may ask for: N = 2^20 takes 1 GiB, beyond which opening a home would be a way to stop the machine.
const SCRYPT_LOG_N_MAX: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemEntropy;

    fn file_sealer() -> Sealer {
        Sealer::create(&UnsealKey::generate(&SystemEntropy).0, &SystemEntropy)
            .unwrap()
            .0
    }

    #[test]
    fn a_secret_opens_at_its_place_only() {
        let sealer = file_sealer();
        let sealed = sealer.seal(b"key/root", b"secret", &SystemEntropy);
        assert_eq!(*sealer.open(b"key/root", &sealed).unwrap(), b"secret");
        assert!(sealer.open(b"key/issuing", &sealed).is_err());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let sealer = file_sealer();
        let sealed = sealer.seal(b"place", b"secret", &SystemEntropy);
        for index in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[index] ^= 1;
            assert!(sealer.open(b"place", &flipped).is_err(), "byte {index}");
        }
        assert!(sealer.open(b"place", &sealed[..5]).is_err());
    }

    #[test]
    fn the_master_key_opens_again_under_the_same_passphrase_only() {
        let right = UnsealKey::from_passphrase(b"correct horse\n").unwrap();
        let (sealer, record) = Sealer::create(&right, &SystemEntropy).unwrap();
        let sealed = sealer.seal(b"place", b"secret", &SystemEntropy);

        let again = Sealer::open_master(
            &record,
            &UnsealKey::from_passphrase(b"correct horse").unwrap(),
        )
        .unwrap();
        assert_eq!(*again.open(b"place", &sealed).unwrap(), b"secret");

        let wrong = UnsealKey::from_passphrase(b"wrong horse").unwrap();
        assert!(matches!(
            Sealer::open_master(&record, &wrong),
            Err(Error::PassphraseWrong)
        ));
        let file = UnsealKey::generate(&SystemEntropy).0;
        assert!(matches!(
            Sealer::open_master(&record, &file),
            Err(Error::PassphraseNeeded)
        ));
    }

    #[test]
    fn a_passphrase_given_to_a_home_with_a_key_file_is_refused() {
        let (file, _) = UnsealKey::generate(&SystemEntropy);
        let (_, record) = Sealer::create(&file, &SystemEntropy).unwrap();
        let passphrase = UnsealKey::from_passphrase(b"correct horse").unwrap();
        assert!(matches!(
            Sealer::open_master(&record, &passphrase),
            Err(Error::PassphraseNotUsed)
        ));
        let other = UnsealKey::generate(&SystemEntropy).0;
        assert!(matches!(
            Sealer::open_master(&record, &other),
            Err(Error::UnsealKeyWrong)
        ));
    }

    #[test]
    fn short_passphrases_and_key_files_are_refused() {
        assert!(matches!(
            UnsealKey::from_passphrase(b"short\n"),
            Err(Error::PassphraseTooShort { length: 5 })
        ));
        assert!(matches!(
            UnsealKey::from_file_bytes(&[0; 31]),
            Err(Error::UnsealKeyLength { length: 31 })
        ));
    }
}

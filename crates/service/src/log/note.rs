//! Signed notes (C2SP signed-note): a text, and lines that say who signed it.
//!
//! Only Ed25519 signatures are made and verified. Lines of other keys are read over, as the standard wants, so that
//! witnesses may add theirs.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::{SignError, SignatureAlgorithm, Signer};
use std::fmt;

/// The public key of a signer of notes, by which its notes are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: [u8; KEY_BYTES],
}

impl VerifierKey {
    /// The key of a signer of this name. A name has neither spaces nor a plus.
    pub fn new(name: &str, key: [u8; KEY_BYTES]) -> Result<VerifierKey, NoteError> {
        if !is_name(name) {
            return Err(NoteError::KeyMalformed {
                why: "its name is empty, too long, or has a space or a plus",
            });
        }
        Ok(VerifierKey {
            name: name.into(),
            id: key_id(name, &key),
            key,
        })
    }

    /// Reads `NAME+HASH+KEY`: the name, eight hexadecimal digits, and base64 of the kind of key and the key.
    pub fn parse(text: &str) -> Result<VerifierKey, NoteError> {
        let malformed = |why| NoteError::KeyMalformed { why };
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("it is not NAME+HASH+KEY"));
        };
        let bytes = STANDARD
            .decode(key)
            .map_err(|_| malformed("its last part is not base64"))?;
        let key = match bytes.split_first() {
            Some((&ED25519_KIND, key)) => key,
            Some((&kind, _)) => return Err(NoteError::KeyKind { kind }),
            None => return Err(malformed("its last part is empty")),
        };
        let key: [u8; KEY_BYTES] = key
            .try_into()
            .map_err(|_| malformed("an Ed25519 key has 32 bytes"))?;
        let key = VerifierKey::new(name, key)?;
        if hex::encode(key.id) != hash {
            return Err(malformed(
                "its hash is not that of its name and key: a character was lost or changed",
            ));
        }
        Ok(key)
    }

    /// Who signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// `NAME+HASH+KEY`.
impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_KIND];
        key.extend_from_slice(&self.key);
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex::encode(self.id),
            STANDARD.encode(key)
        )
    }
}

/// A note as it was read. What its text says counts only once [`SignedNote::verify`] agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl SignedNote {
    /// Reads a note: text, an empty line, signature lines.
    pub fn parse(note: &str) -> Result<SignedNote, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { bytes: note.len() });
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::ControlCharacter);
        }
        // The last empty line divides: a text may have some of its own.
        let at = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        let mut signatures = Vec::new();
        for (index, line) in lines.split('\n').enumerate() {
            if index >= SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(signature(line).ok_or(NoteError::SignatureLine { line: index + 1 })?);
        }
        Ok(SignedNote {
            text: text.into(),
            signatures,
        })
    }

    /// The text, whoever signed it, if anybody did.
    pub(crate) fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The text, if this key signed it. A signature in its name that does not verify spoils the note.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut signed = false;
        for signature in &self.signatures {
            if signature.name != key.name || signature.id != key.id {
                continue;
            }
            UnparsedPublicKey::new(&ED25519, key.key)
                .verify(self.text.as_bytes(), &signature.signature)
                .map_err(|_| NoteError::SignatureWrong {
                    name: key.name.clone(),
                })?;
            signed = true;
        }
        if signed {
            Ok(&self.text)
        } else {
            Err(NoteError::NotSigned {
                name: key.name.clone(),
            })
        }
    }
}

/// Signs a text that ends with a line end. The signer is an Ed25519 key.
pub fn sign(text: &str, name: &str, signer: &dyn Signer) -> Result<String, SignError> {
    let key: [u8; KEY_BYTES] =
        signer
            .public_key()
            .key_bits()
            .try_into()
            .map_err(|_| SignError {
                reason: "a note is signed with an Ed25519 key".into(),
            })?;
    let mut signature = key_id(name, &key).to_vec();
    signature.extend(signer.sign(SignatureAlgorithm::Ed25519, text.as_bytes())?);
    Ok(format!(
        "{text}\n{SIGNATURE_MARK}{name} {}\n",
        STANDARD.encode(signature)
    ))
}

/// Why a note or a key is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A key that does not read.
    #[error("the log key does not read: {why}; give it as it was shown, NAME+HASH+KEY")]
    KeyMalformed {
        /// What is wrong.
        why: &'static str,
    },
    /// A key of another kind.
    #[error("the log key is of kind {kind}: kind {ED25519_KIND}, Ed25519, is supported")]
    KeyKind {
        /// The number of its kind.
        kind: u8,
    },
    /// A long note.
    #[error("a note of {bytes} bytes is over the limit of {NOTE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A note that is no text.
    #[error("the note has a control character, which a note never has")]
    ControlCharacter,
    /// A note without an empty line and signatures behind it.
    #[error("the note has no signatures: they follow its last empty line, and end with a line end")]
    NoSignatures,
    /// Many signatures.
    #[error("the note has more than {SIGNATURES_MAX} signatures, the most that are read")]
    TooManySignatures,
    /// A signature that does not read.
    #[error("signature line {line} of the note does not read")]
    SignatureLine {
        /// Which, counted from 1.
        line: usize,
    },
    /// A note of others.
    #[error("the note is not signed by the key of {name}")]
    NotSigned {
        /// Whose signature was wanted.
        name: String,
    },
    /// A forged note.
    #[error("the note bears a signature of {name} that its key did not make")]
    SignatureWrong {
        /// Whose signature it says it is.
        name: String,
    },
}

fn signature(line: &str) -> Option<NoteSignature> {
    let (name, signature) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !signature.is_empty()).then(|| NoteSignature {
        name: name.into(),
        id: *id,
        signature: signature.to_vec(),
    })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// The first bytes of a hash over name and key: enough to find a key by, nothing to trust.
fn key_id(name: &str, key: &[u8; KEY_BYTES]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', ED25519_KIND]);
    bytes.extend_from_slice(key);
    let hash = digest(&SHA256, &bytes);
    let mut id = [0; 4];
    id.copy_from_slice(&hash.as_ref()[..4]);
    id
}

/// What a signature line begins with: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// The number of Ed25519 among the kinds of signatures (C2SP signed-note, "Signature types").
const ED25519_KIND: u8 = 1;
/// The bytes of an Ed25519 public key.
const KEY_BYTES: usize = 32;
/// The longest note that is read: 40 signatures of the longest kind known, with room for the text.
const NOTE_BYTES_MAX: usize = 256 * 1024;
/// The most signatures that are read. The standard wants 16 or more to be.
const SIGNATURES_MAX: usize = 64;
/// The longest name of a signer, in bytes.
const NAME_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeySpec, PrivateKey};

    /// The example of Go's package note, whose format became the standard.
    const NAME: &str = "PeterNeumann";
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn published() -> PrivateKey {
        let seed = STANDARD.decode(SEED).unwrap();
        // RFC 8410 §7: the fixed beginning of a PKCS#8 Ed25519 key, then the seed.
        let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
        der.extend_from_slice(&seed[1..]);
        PrivateKey::from_der(&der).unwrap()
    }

    #[test]
    fn the_published_note_verifies_and_is_what_its_key_signs() {
        let note = format!("{TEXT}\n{SIGNATURE}");
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(SignedNote::parse(&note).unwrap().verify(&key), Ok(TEXT));
        assert_eq!(sign(TEXT, NAME, &published()).unwrap(), note);
    }

    #[test]
    fn lines_of_strangers_are_read_over_and_a_forged_one_spoils_the_note() {
        let key = VerifierKey::parse(KEY).unwrap();
        let stranger = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let own = |name| {
            let note = sign(TEXT, name, &stranger).unwrap();
            note[TEXT.len() + 1..].to_owned()
        };
        // The same name under another key is another signer.
        let both = format!("{TEXT}\n{}{}{SIGNATURE}", own("witness"), own(NAME));
        assert_eq!(SignedNote::parse(&both).unwrap().verify(&key), Ok(TEXT));
        let only = format!("{TEXT}\n{}", own("witness"));
        assert_eq!(
            SignedNote::parse(&only).unwrap().verify(&key),
            Err(NoteError::NotSigned { name: NAME.into() })
        );
        let mut forged = STANDARD
            .decode(SIGNATURE.trim_end().rsplit(' ').next().unwrap())
            .unwrap();
        forged[10] ^= 1;
        let forged = format!("— {NAME} {}\n", STANDARD.encode(forged));
        let note = format!("{TEXT}\n{SIGNATURE}{forged}");
        assert_eq!(
            SignedNote::parse(&note).unwrap().verify(&key),
            Err(NoteError::SignatureWrong { name: NAME.into() })
        );
        let other = format!("{}\n{SIGNATURE}", TEXT.replace("don't", "do"));
        assert!(SignedNote::parse(&other).unwrap().verify(&key).is_err());
    }

    #[test]
    fn a_text_may_have_empty_lines() {
        let signer = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let note = sign("one\n\ntwo\n", "log", &signer).unwrap();
        let key = signer.public_key().key_bits().try_into().unwrap();
        let key = VerifierKey::new("log", key).unwrap();
        let parsed = SignedNote::parse(&note).unwrap();
        assert_eq!(parsed.verify(&key), Ok("one\n\ntwo\n"));
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let signature = SIGNATURE.trim_end();
        for note in [
            String::new(),
            "\n".into(),
            "text\n".into(),
            format!("text\n{SIGNATURE}"),
            format!("text\n\n{signature}"),
            "text\n\n".into(),
            "text\n\n\n".into(),
            format!("text\r\n\n{SIGNATURE}"),
            format!("text\n\n{}", SIGNATURE.replace('—', "-")),
            format!("text\n\n{SIGNATURE}\n"),
            "text\n\n— name\n".into(),
            "text\n\n— name AAAA\n".into(),
            "text\n\n— na+me AAAAAAAA\n".into(),
            "text\n\n— name AAAA AAAA\n".into(),
            "text\n\n— name AAAAAAB=\n".into(),
            format!("text\n\n{}", SIGNATURE.repeat(SIGNATURES_MAX + 1)),
            format!("{}\n\n{SIGNATURE}", "a".repeat(NOTE_BYTES_MAX)),
        ] {
            assert!(SignedNote::parse(&note).is_err(), "{note:.60}");
        }
        assert!(SignedNote::parse(&format!("text\n\n{}", SIGNATURE.repeat(16))).is_ok());
    }

    #[test]
    fn a_key_with_a_slip_of_the_pen_is_refused() {
        for key in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNewmann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX",
            "PeterNeumann+c74f20a3+ARpc",
            "PeterNeumann+c74f20a3+",
            "PeterNeumann+c74f20a3+!",
        ] {
            assert!(
                matches!(VerifierKey::parse(key), Err(NoteError::KeyMalformed { .. })),
                "{key}"
            );
        }
        assert_eq!(
            VerifierKey::parse(
                "PeterNeumann+c74f20a3+AhpcAgcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
            ),
            Err(NoteError::KeyKind { kind: 2 })
        );
    }
}

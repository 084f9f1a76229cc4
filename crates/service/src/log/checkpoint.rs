//! What the log promises (C2SP tlog-checkpoint): its name, its size and its root, in a signed note.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{NoteError, SignedNote, VerifierKey};
use super::tile::parse_number;
use super::tree::Hash;

/// How large a log was, and the root over all its entries then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root)
        )
    }

    /// Reads a text. Lines after the third are others' affair; they are signed, and say nothing here.
    pub fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        if origin.is_empty() || lines.any(str::is_empty) {
            return None;
        }
        Some(Checkpoint {
            origin: origin.into(),
            size: parse_number(size)?,
            root: STANDARD.decode(root).ok()?.try_into().ok()?,
        })
    }

    /// Reads a note and verifies that the log itself signed it: with its key, under its name.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Checkpoint, CheckpointError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse(note.verify(key)?).ok_or(CheckpointError::Text)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                found: checkpoint.origin,
                expected: key.name().into(),
            });
        }
        Ok(checkpoint)
    }
}

/// Why a checkpoint is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note, or who signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A note that is no checkpoint.
    #[error("the signed text is not a checkpoint: an origin, a size and a root, a line each")]
    Text,
    /// Another log of the same signer.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    Origin {
        /// The name it has.
        found: String,
        /// The name of the key.
        expected: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeySpec, PrivateKey};
    use crate::log::note::sign;
    use bowline_x509::Signer;

    /// The example of the standard.
    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_published_text_reads_and_is_written_the_same() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.text(), TEXT);
        let longer = format!("{TEXT}an extension\n");
        assert_eq!(Checkpoint::parse(&longer), Some(checkpoint));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            String::new(),
            "o\n1\n".into(),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\n\n"),
            "o\n1\nAAAA\n".into(),
            format!("o\n1\n{}\n", root.replace("2I=", "2J=")),
        ] {
            assert_eq!(Checkpoint::parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_logs_own_name_and_key_make_a_checkpoint() {
        let signer = PrivateKey::generate(KeySpec::Ed25519).unwrap();
        let bits: [u8; 32] = signer.public_key().key_bits().try_into().unwrap();
        let key = VerifierKey::new("example.com/behind-the-sofa", bits).unwrap();
        let note = sign(TEXT, key.name(), &signer).unwrap();
        assert_eq!(Checkpoint::open(&note, &key).unwrap().text(), TEXT);
        let other = VerifierKey::new("other", bits).unwrap();
        assert!(matches!(
            Checkpoint::open(&note, &other),
            Err(CheckpointError::Note(NoteError::NotSigned { .. }))
        ));
        let note = sign(TEXT, "other", &signer).unwrap();
        assert!(matches!(
            Checkpoint::open(&note, &other),
            Err(CheckpointError::Origin { .. })
        ));
        let note = sign("some text\n", "other", &signer).unwrap();
        assert_eq!(Checkpoint::open(&note, &other), Err(CheckpointError::Text));
    }
}

//! The keys of age: recipients, which a backup is encrypted to, and identities, which open it.

use std::path::Path;

use age::x25519;
use age::{Identity, IdentityFile};

use crate::error::Error;

/// Whom a backup is encrypted to.
pub(crate) struct Recipients(Vec<x25519::Recipient>);

/// What opens a backup.
pub(crate) type Identities = Vec<Box<dyn Identity>>;

impl Recipients {
    /// Reads what `--recipient` was given: each a recipient, or a file with one a line.
    pub(crate) fn read(
        given: &[String],
        mut file: impl FnMut(&Path) -> Result<String, Error>,
    ) -> Result<Recipients, Error> {
        let mut recipients = Vec::new();
        for text in given {
            if text.starts_with(RECIPIENT) {
                recipients.push(recipient(text)?);
                continue;
            }
            let path = Path::new(text);
            let lines = file(path)?;
            let found = recipients.len();
            for (at, line) in lines.lines().map(str::trim).enumerate() {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                // By its number alone: a file named by mistake may hold an identity, or a passphrase.
                let refused = |_| {
                    Error::in_file(path)(Error::RecipientInvalid {
                        text: format!("line {}", at + 1),
                    })
                };
                recipients.push(recipient(line).map_err(refused)?);
            }
            if recipients.len() == found {
                return Err(Error::in_file(path)(Error::RecipientInvalid {
                    text: "an empty file".into(),
                }));
            }
        }
        Ok(Recipients(recipients))
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient)
    }
}

fn recipient(text: &str) -> Result<x25519::Recipient, Error> {
    text.parse().map_err(|_| Error::RecipientInvalid {
        text: text.chars().take(EXCERPT_CHARACTERS).collect(),
    })
}

/// The identities in a file.
pub(crate) fn identities_in(path: &Path, text: &[u8]) -> Result<Identities, Error> {
    let refuse = |reason: String| Error::IdentityInvalid {
        path: path.to_owned(),
        reason,
    };
    let file = IdentityFile::from_buffer(text).map_err(|error| refuse(error.to_string()))?;
    let identities = file
        .into_identities()
        .map_err(|error| refuse(error.to_string()))?;
    match identities.is_empty() {
        true => Err(refuse("there is none in it".into())),
        false => Ok(identities),
    }
}

/// An identity that lives as long as this command: with its recipient added to those of a backup, what was
/// written can be read back and checked, and then nobody has it any more.
pub(crate) fn passing_identity() -> (x25519::Recipient, Identities) {
    let identity = x25519::Identity::generate();
    (identity.to_public(), vec![Box::new(identity)])
}

/// How a recipient begins.
const RECIPIENT: &str = "age1";
/// Enough of a wrong recipient to find it by; a whole one has 62 characters.
const EXCERPT_CHARACTERS: usize = 62;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str], content: &str) -> Result<Recipients, Error> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        Recipients::read(&given, |_| Ok(content.to_owned()))
    }

    #[test]
    fn recipients_come_one_by_one_and_from_files() {
        let text = || x25519::Identity::generate().to_public().to_string();
        let (one, two, three) = (text(), text(), text());
        let file = format!("# the safe\n{two}\n\n{three}\n");
        assert_eq!(read(&[&one, "team.txt"], &file).unwrap().count(), 3);
    }

    #[test]
    fn what_is_no_recipient_is_refused_where_it_stands() {
        for (given, content) in [
            ("age1nobody", ""),
            ("team.txt", "bob"),
            ("team.txt", "# none\n"),
        ] {
            let refused = read(&[given], content).err().expect("it is refused");
            assert_eq!(refused.code(), "recipient_invalid", "{given}: {refused}");
        }
    }
}

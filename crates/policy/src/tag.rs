//! Session tags and their limits.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key and a value within the limits STS sets for session tags.
///
/// Certificate values may break those limits (`O=Acme, Inc.` has a comma). Keep such a value
/// verbatim in a [`Context`](crate::Context); make a tag with [`Tag::replacing`] only where the
/// wire form is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Tag {
    key: String,
    value: String,
}

impl Tag {
    /// Checks both limits and both alphabets.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Result<Self, TagError> {
        let (key, value) = (key.into(), value.into());
        let characters = key.chars().count();
        if characters == 0 || characters > TAG_KEY_CHARACTERS_MAX {
            return Err(TagError::KeyLength {
                characters,
                limit: TAG_KEY_CHARACTERS_MAX,
            });
        }
        let characters = value.chars().count();
        if characters > TAG_VALUE_CHARACTERS_MAX {
            return Err(TagError::ValueLength {
                key,
                characters,
                limit: TAG_VALUE_CHARACTERS_MAX,
            });
        }
        if let Some(character) = key.chars().find(|c| !is_tag_character(*c)) {
            return Err(TagError::KeyCharacter { key, character });
        }
        if let Some(character) = value.chars().find(|c| !is_tag_character(*c)) {
            return Err(TagError::ValueCharacter { key, character });
        }
        Ok(Self { key, value })
    }

    /// Writes `_` for every character of the value the wire form cannot carry, and cuts the value
    /// at its limit. The key must be within its limits already.
    pub fn replacing(key: impl Into<String>, value: &str) -> Result<Self, TagError> {
        let fit = |c| if is_tag_character(c) { c } else { '_' };
        let value: String = value
            .chars()
            .map(fit)
            .take(TAG_VALUE_CHARACTERS_MAX)
            .collect();
        Self::new(key, value)
    }

    /// The key, in the case it was written; keys compare without regard to case.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value; may be empty.
    pub fn value(&self) -> &str {
        &self.value
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    key: String,
    value: String,
}

impl TryFrom<Parts> for Tag {
    type Error = TagError;

    fn try_from(parts: Parts) -> Result<Self, TagError> {
        Self::new(parts.key, parts.value)
    }
}

/// Why a key and value are not a [`Tag`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TagError {
    /// The key is empty or too long.
    #[error("a tag key has 1 to {limit} characters, not {characters}")]
    KeyLength {
        /// What was given.
        characters: usize,
        /// [`TAG_KEY_CHARACTERS_MAX`].
        limit: usize,
    },
    /// The value is too long.
    #[error("the value of tag \"{key}\" has {characters} characters, the limit is {limit}")]
    ValueLength {
        /// Whose value.
        key: String,
        /// What was given.
        characters: usize,
        /// [`TAG_VALUE_CHARACTERS_MAX`].
        limit: usize,
    },
    /// The key has a character outside the alphabet.
    #[error(
        "tag key \"{key}\" holds {character:?}; letters, digits, spaces and _.:/=+-@ are allowed"
    )]
    KeyCharacter {
        /// The key.
        key: String,
        /// The first such character.
        character: char,
    },
    /// The value has a character outside the alphabet.
    #[error(
        "the value of tag \"{key}\" holds {character:?}; letters, digits, spaces and _.:/=+-@ are allowed"
    )]
    ValueCharacter {
        /// Whose value.
        key: String,
        /// The first such character.
        character: char,
    },
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`, with the combining letters that Rust calls alphabetic.
fn is_tag_character(c: char) -> bool {
    let separator = c.is_whitespace() && !c.is_control();
    c.is_alphabetic() || c.is_numeric() || separator || "_.:/=+-@".contains(c)
}

/// The longest tag key, in characters (STS `TagSession`).
pub const TAG_KEY_CHARACTERS_MAX: usize = 128;
/// The longest tag value, in characters (STS `TagSession`).
pub const TAG_VALUE_CHARACTERS_MAX: usize = 256;
/// The most tags one session carries (STS `TagSession`).
pub const SESSION_TAGS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_takes_letters_digits_spaces_and_a_few_signs() {
        assert!(Tag::new("x509Subject/CN", "Büro 7 @ a.b:c=d+e-f_g/h").is_ok());
        assert!(Tag::new("k", "").is_ok());
    }

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(Tag::new("ä".repeat(128), "ä".repeat(256)).is_ok());
        assert!(Tag::new("ä".repeat(129), "").is_err());
        assert!(Tag::new("k", "ä".repeat(257)).is_err());
        assert!(Tag::new("", "v").is_err());
    }

    #[test]
    fn commas_quotes_parentheses_and_line_ends_are_refused() {
        for value in ["Acme, Inc.", "a'b", "a\"b", "a(b)", "a\nb", "a\tb", "*"] {
            assert!(Tag::new("k", value).is_err(), "{value:?}");
            assert!(Tag::new(value, "v").is_err(), "{value:?}");
        }
    }

    #[test]
    fn replacing_never_drops_a_character() {
        assert_eq!(
            Tag::replacing("O", "Acme, Inc.").unwrap().value(),
            "Acme_ Inc."
        );
        assert_eq!(
            Tag::replacing("O", &"(".repeat(300)).unwrap().value().len(),
            256
        );
        assert!(Tag::replacing("a,b", "v").is_err());
    }

    #[test]
    fn a_stored_tag_is_checked_again() {
        assert!(serde_json::from_str::<Tag>(r#"{"key":"a","value":"b"}"#).is_ok());
        assert!(serde_json::from_str::<Tag>(r#"{"key":"","value":"b"}"#).is_err());
    }
}

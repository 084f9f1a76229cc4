//! Keys and values: bytes with a length that was checked.

use std::fmt;

use crate::{KEY_BYTES_MAX, LimitError, NUMBER_BYTES, VALUE_BYTES_MAX};

/// The name of a record, ordered bytewise; also the prefix of a scan or an append.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// At most [`KEY_BYTES_MAX`] bytes. The empty key is the prefix of everything, but names no record.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Key, LimitError> {
        let bytes = bytes.into();
        if bytes.len() > KEY_BYTES_MAX {
            return Err(LimitError::KeyTooLong { bytes: bytes.len() });
        }
        Ok(Key(bytes))
    }

    /// The empty key: the prefix of every record.
    pub const fn empty() -> Key {
        Key(Vec::new())
    }

    /// The key an append to this prefix gets with `number`.
    pub fn numbered(&self, number: u64) -> Result<Key, LimitError> {
        let mut bytes = Vec::with_capacity(self.0.len() + NUMBER_BYTES);
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&number.to_be_bytes());
        Key::new(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the prefix of every record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this key lies under `prefix`.
    pub fn starts_with(&self, prefix: &Key) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&str> for Key {
    type Error = LimitError;
    fn try_from(text: &str) -> Result<Key, LimitError> {
        Key::new(text.as_bytes())
    }
}

impl TryFrom<Vec<u8>> for Key {
    type Error = LimitError;
    fn try_from(bytes: Vec<u8>) -> Result<Key, LimitError> {
        Key::new(bytes)
    }
}

/// As text with escapes: keys appear in messages, and most are readable.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(\"{self}\")")
    }
}

/// What a record holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Vec<u8>);

impl Value {
    /// At most [`VALUE_BYTES_MAX`] bytes; none is fine.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Value, LimitError> {
        let bytes = bytes.into();
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(LimitError::ValueTooLong { bytes: bytes.len() });
        }
        Ok(Value(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes; the record exists all the same.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for Value {
    type Error = LimitError;
    fn try_from(bytes: Vec<u8>) -> Result<Value, LimitError> {
        Value::new(bytes)
    }
}

/// The length alone: values hold sealed secrets and people's names, and debug output ends up in logs.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_at_most_512_bytes() {
        assert!(Key::new(vec![0; 512]).is_ok());
        let error = Key::new(vec![0; 513]).unwrap_err();
        assert_eq!(error, LimitError::KeyTooLong { bytes: 513 });
        assert_eq!(
            error.to_string(),
            "key of 513 bytes is over the store's 512"
        );
    }

    #[test]
    fn a_value_has_at_most_64_kib() {
        assert!(Value::new(vec![0; 65_536]).is_ok());
        assert_eq!(
            Value::new(vec![0; 65_537]),
            Err(LimitError::ValueTooLong { bytes: 65_537 })
        );
    }

    #[test]
    fn numbered_keys_sort_as_their_numbers() {
        let prefix = Key::new("event/").unwrap();
        let mut keys: Vec<Key> = [256u64, 1, u64::MAX, 2, 255]
            .map(|number| prefix.numbered(number).unwrap())
            .into();
        keys.sort();
        let sorted = [1u64, 2, 255, 256, u64::MAX].map(|number| prefix.numbered(number).unwrap());
        assert_eq!(keys, sorted);
    }

    #[test]
    fn an_append_prefix_leaves_room_for_the_number() {
        assert!(Key::new(vec![0; 504]).unwrap().numbered(1).is_ok());
        assert!(Key::new(vec![0; 505]).unwrap().numbered(1).is_err());
    }

    #[test]
    fn debug_output_of_a_value_does_not_show_it() {
        assert_eq!(
            format!("{:?}", Value::new("secret").unwrap()),
            "Value(6 bytes)"
        );
        assert_eq!(
            format!("{:?}", Key::new("a\0b").unwrap()),
            "Key(\"a\\x00b\")"
        );
    }
}

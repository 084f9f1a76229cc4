//! What a record looks like in the store: one byte that names the format, then JSON.
//!
//! A home written by a newer program is refused by the number, not misread.

use bowline_store::{Key, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Something kept in the store.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The number of the form this program writes.
    const FORMAT: u8 = 1;
    /// What it is, for messages: "role".
    const WHAT: &'static str;

    /// The bytes to store.
    fn encode(&self) -> Result<Value, Error> {
        let mut bytes = vec![Self::FORMAT];
        serde_json::to_writer(&mut bytes, self).map_err(|error| {
            Error::internal(format!("a {} could not be encoded: {error}", Self::WHAT))
        })?;
        Value::new(bytes).map_err(|limit| Error::RecordTooLong {
            what: Self::WHAT,
            limit,
        })
    }

    /// Reads what [`Record::encode`] wrote.
    fn decode(key: &Key, value: &Value) -> Result<Self, Error> {
        decode(key, value)
    }
}

/// Reads a record of the form this program writes.
pub(crate) fn decode<R: Record>(key: &Key, value: &Value) -> Result<R, Error> {
    match value.as_bytes().split_first() {
        Some((&format, body)) if format == R::FORMAT => {
            serde_json::from_slice(body).map_err(|error| {
                Error::internal(format!("the {} at {key} does not read: {error}", R::WHAT))
            })
        }
        Some((&format, _)) => Err(Error::RecordFormat {
            what: R::WHAT,
            found: format,
            known: R::FORMAT,
        }),
        None => Err(Error::internal(format!(
            "the {} at {key} is empty",
            R::WHAT
        ))),
    }
}

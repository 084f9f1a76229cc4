//! Forms that cross a wire in more than one operation.

use std::fmt;
use std::time::Duration;

use bowline_x509::Time;
use serde::{Deserialize, Serialize};

/// A request as it came over the wire, for operations that verify its signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireRequest {
    /// The method, in capitals.
    pub method: String,
    /// The raw path and query, exactly as sent.
    pub target: String,
    /// The headers in order, repeats kept.
    pub headers: Vec<(String, String)>,
    /// The body as sent, after any chunked coding is taken off.
    #[serde(default, with = "base64_bytes")]
    pub body: Vec<u8>,
}

impl fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers carry session tokens: never into a log.
        write!(
            f,
            "{} {} ({} headers, {} bytes)",
            self.method,
            self.target.split('?').next().unwrap_or(""),
            self.headers.len(),
            self.body.len()
        )
    }
}

impl WireRequest {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A point in time as an operator writes it: `2026-06-01T12:00:00Z`, or `24h` from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// This very time.
    At(Time),
    /// So many seconds from now.
    In(i64),
}

impl Moment {
    /// The time meant, if it is one that exists.
    pub(crate) fn resolve(self, now: Time) -> Option<Time> {
        match self {
            Moment::At(time) => Some(time),
            Moment::In(seconds) => now.checked_add_signed(chrono::TimeDelta::try_seconds(seconds)?),
        }
    }
}

impl From<Duration> for Moment {
    fn from(duration: Duration) -> Moment {
        Moment::In(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
    }
}

/// Bytes as standard base64 text.
pub(crate) mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}

/// A list of DER documents as base64 texts.
pub(crate) mod base64_list {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        list: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        list.iter()
            .map(|bytes| STANDARD.encode(bytes))
            .collect::<Vec<_>>()
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| STANDARD.decode(text).map_err(de::Error::custom))
            .collect()
    }
}

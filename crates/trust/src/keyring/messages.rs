//! Messages that pass through other hands: sealed here, opened here, and nothing to whoever carries them.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use super::KeyRing;

impl KeyRing {
    /// Seals a message as text of the alphabet of URLs (RFC 4648 §5). It opens under the same label only, so that a
    /// message for one purpose never passes for one of another. The same draw must never serve twice.
    pub fn seal_message(&self, label: &str, message: &[u8], draw: [u8; NONCE_LEN]) -> String {
        // Cannot fail: `new` refused a ring without its current key.
        let keys = self.keys.get(&self.current).expect("current key");
        let mut sealed = message.to_vec();
        keys.messages
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(draw),
                Aad::from(bound_to(self.current, label)),
                &mut sealed,
            )
            // Cannot fail: the AEAD only refuses texts of many gigabytes.
            .expect("sealing a short text");
        let mut frame = Vec::with_capacity(HEADER_LEN + sealed.len());
        frame.extend([MESSAGE_VERSION, self.current]);
        frame.extend(draw);
        frame.extend(sealed);
        URL_SAFE_NO_PAD.encode(frame)
    }

    /// Opens what [`KeyRing::seal_message`] made under the same label, as long as the key that sealed it is kept.
    pub fn open_message(
        &self,
        label: &str,
        text: &str,
    ) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        if text.len() > MESSAGE_TEXT_MAX {
            return Err(MessageError::TooLong {
                bytes: text.len(),
                limit: MESSAGE_TEXT_MAX,
            });
        }
        let frame = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| MessageError::Malformed)?;
        let [MESSAGE_VERSION, kid, rest @ ..] = frame.as_slice() else {
            return Err(MessageError::Malformed);
        };
        let (nonce, sealed) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(MessageError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| MessageError::Malformed)?;
        let keys = self
            .keys
            .get(kid)
            .ok_or(MessageError::UnknownKey { kid: *kid })?;
        open(&keys.messages, nonce, &bound_to(*kid, label), sealed)
    }
}

fn open(
    key: &LessSafeKey,
    nonce: Nonce,
    bound: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, MessageError> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(bound), &mut buffer)
        .map_err(|_| MessageError::NotAuthentic)?
        .len();
    buffer[length..].zeroize();
    buffer.truncate(length);
    Ok(buffer)
}

/// What a message is sealed to. The label comes last, so that no two labels run into something else.
fn bound_to(kid: u8, label: &str) -> Vec<u8> {
    let mut bound = vec![MESSAGE_VERSION, kid];
    bound.extend_from_slice(label.as_bytes());
    bound
}

/// Why a message is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The text does not have the form of a sealed message.
    #[error("the message is malformed: it was changed, or is none of ours")]
    Malformed,
    /// The text is longer than any we make.
    #[error("the message has {bytes} bytes and none of ours has more than {limit}")]
    TooLong {
        /// The size given.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The key that sealed it is not in the ring (any more).
    #[error(
        "session key {kid}, which sealed the message, is not known: it was retired, or is none of ours"
    )]
    UnknownKey {
        /// The id in the message.
        kid: u8,
    },
    /// The seal is broken, or for another purpose.
    #[error("the message was changed, or is no message of this kind")]
    NotAuthentic,
}

/// The longest sealed message that is read: longer texts are none of ours, and nobody makes us decode them.
pub const MESSAGE_TEXT_MAX: usize = 16 * 1024;

/// The layout and the algorithm. Any change to them takes the next number.
const MESSAGE_VERSION: u8 = 1;
/// Version, key id, nonce.
const HEADER_LEN: usize = 2 + NONCE_LEN;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ROOT_LEN;

    fn ring(ids: &[u8]) -> KeyRing {
        let roots: Vec<(u8, [u8; ROOT_LEN])> = ids.iter().map(|id| (*id, [*id; 32])).collect();
        KeyRing::new(ids[0], roots.iter().map(|(id, root)| (*id, root))).unwrap()
    }

    #[test]
    fn a_message_opens_under_its_label_only() {
        let text = ring(&[1]).seal_message("decision", b"denied", [7; NONCE_LEN]);
        assert_eq!(
            *ring(&[1]).open_message("decision", &text).unwrap(),
            b"denied"
        );
        assert_eq!(
            ring(&[1]).open_message("page", &text).unwrap_err(),
            MessageError::NotAuthentic
        );
    }

    #[test]
    fn a_message_opens_as_long_as_its_key_is_kept() {
        let text = ring(&[1]).seal_message("decision", b"denied", [7; NONCE_LEN]);
        assert!(ring(&[2, 1]).open_message("decision", &text).is_ok());
        assert_eq!(
            ring(&[2]).open_message("decision", &text).unwrap_err(),
            MessageError::UnknownKey { kid: 1 }
        );
    }

    #[test]
    fn a_changed_message_does_not_open() {
        let ring = ring(&[1]);
        let text = ring.seal_message("decision", b"denied", [7; NONCE_LEN]);
        let frame = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(
                ring.open_message("decision", &changed).is_err(),
                "byte {at}"
            );
        }
        for text in [
            "",
            "A",
            "AQ",
            "not base64!",
            &"A".repeat(MESSAGE_TEXT_MAX + 1),
        ] {
            assert!(ring.open_message("decision", text).is_err(), "{text:.20}");
        }
    }
}

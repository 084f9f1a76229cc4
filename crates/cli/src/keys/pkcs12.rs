//! PKCS#12 files (RFC 7292): a key and its certificates under one password.

use bowline_service::PrivateKey;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as ReadError;

use super::error::KeySourceError;
use crate::error::Error;

/// What a PKCS#12 file holds.
pub(super) struct Contents {
    /// Its certificates, in the order of the file.
    pub(super) certificates: Vec<Vec<u8>>,
    /// Its keys, mostly one.
    pub(super) keys: Vec<PrivateKey>,
}

/// Whether a file begins as PKCS#12 does: a SEQUENCE, in it the version, INTEGER 3 (RFC 7292 §4). No certificate and
/// no key does.
pub(super) fn is_pkcs12(bytes: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = bytes else {
        return false;
    };
    // X.690 §8.1.3: how many octets of a long length follow. 0x80 is the indefinite form, which BER allows here.
    let octets = match length {
        0x81..=0x84 => usize::from(length & 0x0f),
        _ => 0,
    };
    rest.get(octets..)
        .is_some_and(|content| content.starts_with(&[0x02, 0x01, 0x03]))
}

/// Reads one. Without a password the empty one is tried: it is what "no password" means to the tools that write these
/// files.
pub(super) fn read(bytes: &[u8], password: Option<&[u8]>) -> Result<Contents, Error> {
    let text =
        std::str::from_utf8(password.unwrap_or_default()).map_err(|_| KeySourceError::Pkcs12 {
            reason: "its password has to be UTF-8".into(),
        })?;
    let archive =
        Pkcs12Archive::from_pkcs12(bytes, text).map_err(|error| refuse(&error, password))?;
    let keys = archive
        .keys
        .iter()
        .map(|bag| PrivateKey::from_der(bag.key.as_der()))
        .collect::<Result<_, _>>()?;
    let certificates = archive
        .certs
        .iter()
        .map(|bag| bag.cert.as_der().to_vec())
        .collect();
    Ok(Contents { certificates, keys })
}

fn refuse(error: &ReadError, password: Option<&[u8]>) -> Error {
    match (error, password) {
        // The code over the whole file is made with the password.
        (ReadError::MacError(_), None) => bowline_service::Error::PrivateKeyEncrypted.into(),
        (ReadError::MacError(_), Some(_)) => bowline_service::Error::PrivateKeyPasswordWrong.into(),
        (error, _) => KeySourceError::Pkcs12 {
            reason: error.to_string(),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_version_3_is_pkcs12_and_nothing_else() {
        for (bytes, is) in [
            (&[0x30, 0x10, 0x02, 0x01, 0x03][..], true),
            (&[0x30, 0x81, 0x90, 0x02, 0x01, 0x03], true),
            (&[0x30, 0x82, 0x09, 0x00, 0x02, 0x01, 0x03], true),
            (&[0x30, 0x80, 0x02, 0x01, 0x03], true),
            // PKCS#8 has version 0 or 1, SEC1 has 1, PKCS#1 has 0; a certificate begins with another SEQUENCE.
            (&[0x30, 0x10, 0x02, 0x01, 0x00], false),
            (&[0x30, 0x77, 0x02, 0x01, 0x01], false),
            (&[0x30, 0x82, 0x09, 0x00, 0x30, 0x82], false),
            (&[0x30, 0x84, 0x00], false),
            (b"-----BEGIN", false),
            (&[], false),
        ] {
            assert_eq!(is_pkcs12(bytes), is, "{bytes:02x?}");
        }
    }
}

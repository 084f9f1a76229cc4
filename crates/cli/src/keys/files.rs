//! Certificates and keys in files: PEM or DER, both in one file, or PKCS#12.

use std::path::Path;

use bowline_service::PrivateKey;
use zeroize::Zeroizing;

use super::error::KeySourceError;
use super::{leaf_first, pkcs12};
use crate::error::Error;
use crate::files;
use crate::pair::{certificates_in, new_key_file};

/// Reads certificates and the key of one of them, that one first. Without a key file, the key is in the certificate's.
pub(super) fn read(
    certificate: &Path,
    key: Option<&Path>,
    password: Option<&[u8]>,
) -> Result<(Vec<Vec<u8>>, PrivateKey), Error> {
    let bytes = Zeroizing::new(files::read(certificate)?);
    let (certificates, keys) = match pkcs12::is_pkcs12(&bytes) {
        true => {
            let contents = pkcs12::read(&bytes, password).map_err(Error::in_file(certificate))?;
            if contents.certificates.is_empty() {
                return Err(Error::NoCertificate {
                    path: certificate.to_owned(),
                });
            }
            (contents.certificates, Some(contents.keys))
        }
        false => (certificates_in(certificate, &bytes)?, None),
    };
    let keys = match (key, keys) {
        (Some(key), _) => read_keys(key, password)?,
        (None, Some(keys)) if keys.is_empty() => {
            return Err(Error::in_file(certificate)(keyless()));
        }
        (None, Some(keys)) => keys,
        (None, None) => keys_in(&bytes, password).map_err(Error::in_file(certificate))?,
    };
    let key = key.unwrap_or(certificate);
    for private in keys {
        if let Some(certificates) = leaf_first(&certificates, &private) {
            return Ok((certificates, private));
        }
    }
    // A renewal that was cut off between its two files leaves the key here.
    if let Ok(keys) = read_keys(&new_key_file(key), password) {
        for private in keys {
            if let Some(certificates) = leaf_first(&certificates, &private) {
                return Ok((certificates, private));
            }
        }
    }
    Err(Error::KeyOfAnother {
        key: key.to_owned(),
        certificate: certificate.to_owned(),
    })
}

/// The certificates of a file, in the file's order.
pub(super) fn read_certificates(
    path: &Path,
    password: Option<&[u8]>,
) -> Result<Vec<Vec<u8>>, Error> {
    let bytes = Zeroizing::new(files::read(path)?);
    if pkcs12::is_pkcs12(&bytes) {
        let contents = pkcs12::read(&bytes, password).map_err(Error::in_file(path))?;
        return match contents.certificates.is_empty() {
            true => Err(Error::NoCertificate {
                path: path.to_owned(),
            }),
            false => Ok(contents.certificates),
        };
    }
    certificates_in(path, &bytes)
}

/// The keys of a file, at least one.
pub(super) fn read_keys(path: &Path, password: Option<&[u8]>) -> Result<Vec<PrivateKey>, Error> {
    let bytes = Zeroizing::new(files::read(path)?);
    keys_in(&bytes, password).map_err(Error::in_file(path))
}

fn keys_in(bytes: &[u8], password: Option<&[u8]>) -> Result<Vec<PrivateKey>, Error> {
    if pkcs12::is_pkcs12(bytes) {
        let keys = pkcs12::read(bytes, password)?.keys;
        return match keys.is_empty() {
            true => Err(keyless()),
            false => Ok(keys),
        };
    }
    if contains(bytes, b"-----BEGIN TSS2 PRIVATE KEY-----") {
        return Err(KeySourceError::Unsupported {
            what: "TSS2 PRIVATE KEY".into(),
            why: "keys of a TPM are not used here",
        }
        .into());
    }
    // RFC 1421 §4.6.1.1, as OpenSSL writes it.
    if contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return Err(KeySourceError::OldEncryption.into());
    }
    Ok(vec![PrivateKey::from_file(bytes, password)?])
}

fn keyless() -> Error {
    KeySourceError::Pkcs12 {
        reason: "there is no private key in it".into(),
    }
    .into()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

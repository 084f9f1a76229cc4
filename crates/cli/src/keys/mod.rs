//! Where a certificate and its key come from: files of any usual kind, or a PKCS#11 token.
//!
//! A [`KeySource`] is only a description. It is read anew for every trade, so that a certificate that is replaced under
//! a running program is picked up, and a key is in memory no longer than it signs.

// Without tokens, what is said of them is read and refused.
#![cfg_attr(not(feature = "pkcs11"), allow(dead_code))]

mod error;
mod files;
#[cfg(feature = "pkcs11")]
mod module;
mod pkcs12;
mod uri;

use std::path::{Path, PathBuf};

use bowline_service::{
    KeySpec, PrivateKey, PublicKey, SignError, SignatureAlgorithm, Signer, inspect, public_key_of,
};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::pair::{Pair, read_certificates};

pub(crate) use self::error::KeySourceError;
pub(crate) use self::uri::Pkcs11Uri;

/// Something that signs, wherever its secret is. A key that was read is wiped when this is dropped.
pub(crate) struct Key(Box<dyn Signer>);

impl Key {
    /// The kind of key it is, where that kind can be generated.
    pub(crate) fn spec(&self) -> Option<KeySpec> {
        KeySpec::like(self.public_key().algorithm())
    }
}

impl From<PrivateKey> for Key {
    fn from(key: PrivateKey) -> Key {
        Key(Box::new(key))
    }
}

impl Signer for Key {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(algorithm, message)
    }
}

/// Where a certificate or a key is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file.
    File(PathBuf),
    /// In a token.
    Token(Pkcs11Uri),
}

/// The password of a file with a key, or the PIN of a token.
#[derive(Clone)]
pub(crate) enum Password {
    /// Given once.
    Given(Zeroizing<Vec<u8>>),
    /// The first line of a file, read whenever it is needed.
    File(PathBuf),
}

/// Where a certificate and its key are.
#[derive(Clone)]
pub(crate) struct KeySource {
    /// The certificate; other certificates may be beside it.
    pub(crate) certificate: Option<Place>,
    /// The key; where the certificate is, if not given.
    pub(crate) key: Option<Place>,
    /// A file with certificates to send along.
    pub(crate) intermediates: Option<PathBuf>,
    /// What opens the key.
    pub(crate) password: Option<Password>,
    /// The PKCS#11 module.
    pub(crate) module: Option<PathBuf>,
    /// Whether a token may be given its PIN again for each signature.
    pub(crate) reuse_pin: bool,
}

impl KeySource {
    /// Certificate and key of two files.
    pub(crate) fn of_files(
        certificate: &Path,
        key: &Path,
        password: Option<Zeroizing<Vec<u8>>>,
    ) -> KeySource {
        KeySource {
            certificate: Some(Place::File(certificate.to_owned())),
            key: Some(Place::File(key.to_owned())),
            intermediates: None,
            password: password.map(Password::Given),
            module: None,
            reuse_pin: false,
        }
    }

    /// Reads the certificate and what goes with it, and gets hold of the key.
    pub(crate) fn load(&self) -> Result<Pair, Error> {
        let password = self.password()?;
        let (mut certificates, key) = match (&self.certificate, &self.key) {
            (Some(Place::File(certificate)), key @ (None | Some(Place::File(_)))) => {
                let key = match key {
                    Some(Place::File(key)) => Some(key.as_path()),
                    _ => None,
                };
                let password = password.as_ref().map(|password| password.as_slice());
                let (certificates, key) = files::read(certificate, key, password)?;
                (certificates, Key::from(key))
            }
            (Some(Place::File(certificate)), Some(Place::Token(key))) => {
                let certificates = files::read_certificates(certificate, None)?;
                let certificates = end_entity_first(certificates);
                let key = self.token_key(key, certificates.first(), password)?;
                (certificates, key)
            }
            (Some(Place::Token(certificate)), key) => self.in_token(certificate, key, password)?,
            (None, _) => return Err(Error::Usage(CERTIFICATE_NEEDED.into())),
        };
        if let Some(intermediates) = &self.intermediates {
            certificates.extend(read_certificates(intermediates)?);
        }
        // A certificate that is sent twice only takes the place of another: there are at most five.
        let mut unique: Vec<Vec<u8>> = Vec::new();
        for certificate in certificates {
            if !unique.contains(&certificate) {
                unique.push(certificate);
            }
        }
        Ok(Pair {
            name: self.name(),
            certificates: unique,
            key,
        })
    }

    /// Reads the certificates alone, as they are in their file, or the one of a token: at least one. No key is touched.
    pub(crate) fn certificates(&self) -> Result<Vec<Vec<u8>>, Error> {
        match &self.certificate {
            Some(Place::File(path)) => {
                let password = self.password()?;
                let password = password.as_ref().map(|password| password.as_slice());
                files::read_certificates(path, password)
            }
            Some(Place::Token(uri)) => self.certificate_of_token(uri),
            None => Err(Error::Usage(CERTIFICATE_NEEDED.into())),
        }
    }

    /// Gets hold of the key alone; the certificate is looked at only if there is one.
    pub(crate) fn key(&self) -> Result<Key, Error> {
        match (&self.certificate, &self.key) {
            (None, Some(Place::File(key))) => {
                let password = self.password()?;
                let password = password.as_ref().map(|password| password.as_slice());
                let mut keys = files::read_keys(key, password)?;
                // Cannot be empty: read_keys gives at least one.
                Ok(keys.swap_remove(0).into())
            }
            (None, Some(Place::Token(key))) => self.token_key(key, None, self.password()?),
            _ => self.load().map(|pair| pair.key),
        }
    }

    /// The files that are read for it. When one of them changes, another certificate may be meant.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let in_file = |place: &Option<Place>| match place {
            Some(Place::File(path)) => Some(path.clone()),
            Some(Place::Token(_)) | None => None,
        };
        let parts = [in_file(&self.certificate), in_file(&self.key)];
        parts
            .into_iter()
            .chain([self.intermediates.clone()])
            .flatten()
            .collect()
    }

    fn password(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        Ok(match &self.password {
            None => None,
            Some(Password::Given(password)) => Some(password.clone()),
            Some(Password::File(path)) => {
                let bytes = Zeroizing::new(crate::files::read(path)?);
                Some(crate::files::first_line(&bytes))
            }
        })
    }

    /// How the certificate is called where it needs a name.
    fn name(&self) -> String {
        match &self.certificate {
            Some(Place::File(path)) => path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            Some(Place::Token(_)) | None => "token".into(),
        }
    }
}

#[cfg(feature = "pkcs11")]
impl KeySource {
    fn module(&self, uri: &Pkcs11Uri, pin: Option<Zeroizing<Vec<u8>>>) -> module::Module {
        module::Module::of(self.module.as_deref(), uri, pin, self.reuse_pin)
    }

    fn token_key(
        &self,
        uri: &Pkcs11Uri,
        certificate: Option<&Vec<u8>>,
        pin: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Key, Error> {
        let module = self.module(uri, pin);
        let key = match certificate {
            Some(certificate) => module.key(uri.clone(), certificate)?,
            None => {
                let certificate = module.certificate_beside(uri)?;
                module.key_beside(uri.clone(), certificate)?
            }
        };
        Ok(Key(Box::new(key)))
    }

    fn in_token(
        &self,
        certificate: &Pkcs11Uri,
        key: &Option<Place>,
        password: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(Vec<Vec<u8>>, Key), Error> {
        let module = self.module(certificate, password.clone());
        let found = module.certificate(certificate)?;
        let leaf = found.der.clone();
        let key = match key {
            None => Key(Box::new(module.key_beside(certificate.clone(), found)?)),
            Some(Place::Token(key)) => self.token_key(key, Some(&leaf), password)?,
            Some(Place::File(key)) => {
                let password = password.as_ref().map(|password| password.as_slice());
                let fits = |private: &PrivateKey| {
                    leaf_first(std::slice::from_ref(&leaf), private).is_some()
                };
                let mut keys = files::read_keys(key, password)?.into_iter();
                let private = keys.find(fits).ok_or_else(|| Error::KeyOfAnother {
                    key: key.clone(),
                    certificate: PathBuf::from(&found.uri),
                })?;
                private.into()
            }
        };
        Ok((vec![leaf], key))
    }

    fn certificate_of_token(&self, uri: &Pkcs11Uri) -> Result<Vec<Vec<u8>>, Error> {
        let found = self.module(uri, self.password()?).certificate(uri)?;
        Ok(vec![found.der])
    }

    /// The certificates that a URI finds in tokens, each with the URI that finds it alone.
    pub(crate) fn list(&self, uri: &Pkcs11Uri) -> Result<Vec<(Vec<u8>, String)>, Error> {
        let found = self.module(uri, self.password()?).certificates(uri)?;
        Ok(found
            .into_iter()
            .map(|certificate| (certificate.der, certificate.uri))
            .collect())
    }
}

#[cfg(not(feature = "pkcs11"))]
impl KeySource {
    fn token_key(
        &self,
        uri: &Pkcs11Uri,
        _certificate: Option<&Vec<u8>>,
        _pin: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Key, Error> {
        Err(without_modules(uri))
    }

    fn in_token(
        &self,
        certificate: &Pkcs11Uri,
        _key: &Option<Place>,
        _password: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(Vec<Vec<u8>>, Key), Error> {
        Err(without_modules(certificate))
    }

    fn certificate_of_token(&self, uri: &Pkcs11Uri) -> Result<Vec<Vec<u8>>, Error> {
        Err(without_modules(uri))
    }

    /// The certificates that a URI finds in tokens.
    pub(crate) fn list(&self, uri: &Pkcs11Uri) -> Result<Vec<(Vec<u8>, String)>, Error> {
        Err(without_modules(uri))
    }
}

#[cfg(not(feature = "pkcs11"))]
fn without_modules(uri: &Pkcs11Uri) -> Error {
    KeySourceError::Unsupported {
        what: uri.shown(),
        why: "this program was built without the feature pkcs11",
    }
    .into()
}

/// Puts the certificate that a key is of first, and the others behind it in their order. Nothing if it is of none.
fn leaf_first(certificates: &[Vec<u8>], key: &dyn Signer) -> Option<Vec<Vec<u8>>> {
    let is_of = |certificate: &Vec<u8>| {
        public_key_of(certificate)
            .is_ok_and(|public| public.spki_der() == key.public_key().spki_der())
    };
    let leaf = certificates.iter().position(is_of)?;
    let mut ordered = vec![certificates[leaf].clone()];
    let others = certificates.iter().enumerate();
    ordered.extend(
        others
            .filter(|(at, _)| *at != leaf)
            .map(|(_, der)| der.clone()),
    );
    Some(ordered)
}

/// The same where the key cannot be looked at: the first certificate that is no authority's.
fn end_entity_first(mut certificates: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let is_end_entity = |certificate: &Vec<u8>| {
        inspect(certificate).is_ok_and(|details| details.first().is_some_and(|one| !one.ca))
    };
    if let Some(leaf) = certificates.iter().position(is_end_entity) {
        let leaf = certificates.remove(leaf);
        certificates.insert(0, leaf);
    }
    certificates
}

const CERTIFICATE_NEEDED: &str =
    "--certificate is needed: a file, or the PKCS#11 URI of a certificate in a token";

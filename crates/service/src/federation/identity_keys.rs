//! The keys that sign tokens of our own: one RSA-2048 and one P-384, made when they are first needed.
//!
//! A retired key is published until the last token it may have signed has ended and every copy of the key set that was
//! fetched before has gone old. Its private half is thrown away at once.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline_store::{Commit, StoreError};
use bowline_trust::TokenAlgorithm;
use bowline_x509::{KeyAlgorithm, PublicKey, Signer, Time};
use chrono::TimeDelta;
use der::asn1::UintRef;
use der::{Decode, Reader, SliceReader};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::identity_token::DURATION_SECONDS;
use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::error::{Error, FederationError};
use crate::keys::{KeySpec, PrivateKey};
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;

/// The identity keys of a home.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityKeys {
    keys: Vec<IdentityKey>,
    revision: u64,
}

impl Record for IdentityKeys {
    const WHAT: &'static str = "identity keys record";
}

/// One key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityKey {
    /// The thumbprint of its public half (RFC 7638).
    id: String,
    algorithm: TokenAlgorithm,
    /// SubjectPublicKeyInfo, DER.
    #[serde(with = "crate::wire::base64_bytes")]
    public: Vec<u8>,
    /// The private half, sealed for its place; none once it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<crate::service::SealedSecret>,
    created: Time,
    /// Until when it is published, once it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published_until: Option<Time>,
}

/// The algorithms that tokens of ours are signed with.
pub(super) const ALGORITHMS: [TokenAlgorithm; 2] = [TokenAlgorithm::Rs256, TokenAlgorithm::Es384];

impl IdentityKeys {
    fn active(&self, algorithm: TokenAlgorithm) -> Option<&IdentityKey> {
        self.keys
            .iter()
            .find(|key| key.algorithm == algorithm && key.published_until.is_none())
    }

    /// The keys that tokens are verified with, as a JSON Web Key Set.
    pub(super) fn published(&self, now: Time) -> Result<Value, Error> {
        let keys = self
            .keys
            .iter()
            .filter(|key| key.published_until.is_none_or(|until| now < until))
            .map(IdentityKey::to_jwk)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "keys": keys }))
    }

    /// Adds a new key, and retires the one before.
    fn renew(
        &mut self,
        service: &Service,
        algorithm: TokenAlgorithm,
        now: Time,
    ) -> Result<(), Error> {
        let spec = match algorithm {
            TokenAlgorithm::Es384 => KeySpec::P384,
            TokenAlgorithm::Rs256 | TokenAlgorithm::Es256 | TokenAlgorithm::EdDsa => {
                KeySpec::Rsa2048
            }
        };
        let pair = PrivateKey::generate(spec)?;
        let id = thumbprint(pair.public_key())?;
        let place = keyspace::identity_key_place(&id);
        let sealed = service
            .sealer()?
            .seal(place.as_bytes(), pair.pkcs8(), &*service.entropy);
        for key in &mut self.keys {
            if key.algorithm == algorithm && key.published_until.is_none() {
                key.published_until = Some(now + PUBLISHED_FOR);
                key.sealed = None;
            }
        }
        self.keys.push(IdentityKey {
            id,
            algorithm,
            public: pair.public_key().spki_der().to_vec(),
            sealed: Some(crate::service::SealedSecret { sealed }),
            created: now,
            published_until: None,
        });
        Ok(())
    }

    fn view(&self) -> IdentityKeysView {
        IdentityKeysView {
            keys: self
                .keys
                .iter()
                .map(|key| IdentityKeyView {
                    id: key.id.clone(),
                    algorithm: key.algorithm.to_string(),
                    created: key.created,
                    published_until: key.published_until,
                })
                .collect(),
        }
    }
}

impl IdentityKey {
    fn to_jwk(&self) -> Result<Value, Error> {
        let mut jwk = jwk(&PublicKey::from_spki_der(&self.public).map_err(Error::Key)?)?;
        jwk["kid"] = self.id.as_str().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm.as_str().into();
        Ok(jwk)
    }
}

impl Service {
    pub(super) fn identity_keys(&self) -> Result<Option<Loaded<IdentityKeys>>, Error> {
        self.load(&keyspace::identity_keys())
    }

    /// The key that signs with an algorithm, and its id. The first that is asked for is made.
    pub(super) fn identity_key(
        &self,
        algorithm: TokenAlgorithm,
        caller: &Caller,
        now: Time,
    ) -> Result<(String, Arc<PrivateKey>), Error> {
        for attempt in 1.. {
            let record = self.identity_keys()?;
            if let Some(key) = record.as_ref().and_then(|record| record.active(algorithm)) {
                return Ok((key.id.clone(), self.open_identity_key(key)?));
            }
            match self.renew_identity_keys(record, &[algorithm], false, caller, now) {
                Ok(_) => {}
                // Another made one meanwhile: that one it is.
                Err(Error::Store(StoreError::Conflict { .. })) if attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::internal("a loop that returns did not"))
    }

    fn open_identity_key(&self, key: &IdentityKey) -> Result<Arc<PrivateKey>, Error> {
        let place = keyspace::identity_key_place(&key.id);
        if let Some(pair) = self.cache.signer(&place) {
            return Ok(pair);
        }
        let sealed = key
            .sealed
            .as_ref()
            .ok_or_else(|| Error::internal("an identity key in use has no private half"))?;
        let pkcs8 = self.sealer()?.open(place.as_bytes(), &sealed.sealed)?;
        let pair = Arc::new(PrivateKey::from_der(&pkcs8)?);
        self.cache.keep_signer(&place, pair.clone());
        Ok(pair)
    }

    /// Makes new keys, retires those before them, and forgets those that nobody needs, or all if they are withdrawn.
    fn renew_identity_keys(
        &self,
        old: Option<Loaded<IdentityKeys>>,
        algorithms: &[TokenAlgorithm],
        withdraw: bool,
        caller: &Caller,
        now: Time,
    ) -> Result<IdentityKeys, Error> {
        let mut keys = old
            .as_deref()
            .map(|old| (**old).clone())
            .unwrap_or_default();
        keys.keys
            .retain(|key| key.published_until.is_none_or(|until| now < until));
        let retired_before: Vec<String> = retired(&keys);
        if !withdraw && retired_before.len() + algorithms.len() > RETIRED_MAX {
            let count = retired_before.len();
            return Err(FederationError::IdentityKeysMany { count }.into());
        }
        for algorithm in algorithms {
            keys.renew(self, *algorithm, now)?;
        }
        let retired_now = retired(&keys);
        if withdraw {
            keys.keys.retain(|key| key.published_until.is_none());
        }
        keys.revision += 1;
        let place = keyspace::identity_keys();
        let commit = match &old {
            Some(old) => old.expect_unchanged(Commit::new(), place.clone()),
            None => Commit::new().expect_absent(place.clone()),
        };
        let event = Event::IdentityKeysRenewed {
            keys: algorithms
                .iter()
                .filter_map(|algorithm| keys.active(*algorithm))
                .map(|key| key.id.clone())
                .collect(),
            retired: retired_now
                .into_iter()
                .filter(|id| withdraw || !retired_before.contains(id))
                .collect(),
            withdrawn: withdraw,
        };
        self.commit(commit.put(place, keys.encode()?), caller, now, event)?;
        Ok(keys)
    }
}

fn retired(keys: &IdentityKeys) -> Vec<String> {
    let retired = keys.keys.iter().filter(|key| key.published_until.is_some());
    retired.map(|key| key.id.clone()).collect()
}

/// A public key as a JSON Web Key (RFC 7518 §6), with the members that its thumbprint is over.
fn jwk(key: &PublicKey) -> Result<Value, Error> {
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match key.algorithm() {
        KeyAlgorithm::P384 => {
            // An uncompressed point (SEC 1 §2.3.3): 4, x and y.
            let (x, y) = key
                .key_bits()
                .get(1..)
                .filter(|point| point.len() == 96)
                .map(|point| point.split_at(48))
                .ok_or_else(|| Error::internal("a P-384 key is not an uncompressed point"))?;
            Ok(json!({ "kty": "EC", "crv": "P-384", "x": base64(x), "y": base64(y) }))
        }
        KeyAlgorithm::Rsa { .. } => {
            let (modulus, exponent) = rsa_numbers(key.key_bits())
                .map_err(|_| Error::internal("an RSA key is not an RSAPublicKey"))?;
            Ok(json!({ "kty": "RSA", "n": base64(&modulus), "e": base64(&exponent) }))
        }
        KeyAlgorithm::P256 | KeyAlgorithm::P521 | KeyAlgorithm::Ed25519 => {
            Err(Error::internal("an identity key is neither RSA nor P-384"))
        }
    }
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 §A.1.1).
fn rsa_numbers(key: &[u8]) -> der::Result<(Vec<u8>, Vec<u8>)> {
    SliceReader::new(key)?.sequence(|reader| {
        let modulus = UintRef::decode(reader)?;
        let exponent = UintRef::decode(reader)?;
        Ok((modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec()))
    })
}

/// RFC 7638 §3: SHA-256 over the members that make the key, in the order of their names, which is how they are written.
fn thumbprint(key: &PublicKey) -> Result<String, Error> {
    let members = jwk(key)?.to_string();
    Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes())))
}

/// The identity keys as they are shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityKeysView {
    /// All that are published.
    pub keys: Vec<IdentityKeyView>,
}

/// One identity key as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityKeyView {
    /// Its id in tokens and in the key set.
    pub id: String,
    /// RS256 or ES384.
    pub algorithm: String,
    /// When it was made.
    pub created: Time,
    /// Until when it is published, once it is retired.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published_until: Option<Time>,
}

/// Makes new keys for tokens of our own. Those before sign nothing more, and are published until their last token ended.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotateIdentityKeys {
    /// Whether those before are published no longer either, because somebody else may have one: tokens that they signed
    /// are then worth nothing to whoever reads the key set again.
    pub withdraw: bool,
}

impl Operation for RotateIdentityKeys {
    const NAME: &'static str = "rotate-identity-keys";
    type Answer = IdentityKeysView;

    fn run(self, service: &Service, caller: &Caller) -> Result<IdentityKeysView, Error> {
        service.authorize(caller, "bowline:RotateIdentityKeys", "*")?;
        service.settings()?;
        let (old, now) = (service.identity_keys()?, service.now());
        service.check_clock(now)?;
        let keys = service.renew_identity_keys(old, &ALGORITHMS, self.withdraw, caller, now)?;
        Ok(keys.view())
    }
}

/// How long a retired key is published: the longest token, and a day for those who keep a key set that long.
const PUBLISHED_FOR: TimeDelta = TimeDelta::seconds(*DURATION_SECONDS.end() as i64 + 24 * 60 * 60);
/// The most retired keys at once: a renewal an hour of one algorithm, or a record that ends at 64 KiB.
const RETIRED_MAX: usize = 32;
/// How often the first key is tried again after somebody else made one meanwhile.
const ATTEMPTS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_that_of_the_standard() {
        // RFC 7638 §3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let modulus = URL_SAFE_NO_PAD.decode(n).unwrap();
        let numbers = [
            &[0x02, 0x82, 0x01, 0x01, 0x00],
            &modulus[..],
            &[0x02, 0x03, 1, 0, 1],
        ]
        .concat();
        let key = [&[0x30, 0x82, 0x01, 0x0a], &numbers[..]].concat();
        let (modulus, exponent) = rsa_numbers(&key).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(modulus), n);
        assert_eq!(exponent, [1, 0, 1]);
        let members = json!({ "kty": "RSA", "n": n, "e": "AQAB" }).to_string();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes())),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }
}

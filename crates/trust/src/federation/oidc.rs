//! Web identity tokens: JSON Web Tokens of an OpenID Connect provider (RFC 7519, OpenID Connect Core §3.1.3.7).
//!
//! Decided here: which key may verify is the provider's to say, never the token's. Of its header only the algorithm's
//! name and the key id are read, the first against the provider's list and the key's own kind; `jku`, `jwk`, `x5u` and
//! `x5c` are not looked at, and an extension that must be understood is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline_x509::Time;
use chrono::DateTime;
use serde_json::{Map, Value};

use super::jwk::JwkSet;
use super::provider::{OidcProvider, TokenAlgorithm};
use super::refusal::TokenRefusal;
use super::tags::{SessionTags, source_identity};
use super::{CLOCK_SKEW_MAX, json};
use crate::federated::{FederatedIdentity, FederationKind};
use crate::ids::excerpt;

/// Verifies a token of a provider: who it says somebody is.
pub fn verify_web_identity(
    token: &str,
    provider: &OidcProvider,
    partition: &str,
    keys: &JwkSet,
    now: Time,
) -> Result<FederatedIdentity, TokenRefusal> {
    PresentedToken::parse(token)?.verify(provider, partition, keys, now)
}

/// A token that reads and is not believed yet.
pub struct PresentedToken<'a> {
    /// Header and claims as they came: what is signed.
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: String,
    key_id: Option<String>,
    claims: Map<String, Value>,
    issuer: String,
}

impl<'a> PresentedToken<'a> {
    /// Reads the three parts of a token (RFC 7515 §3.1). Nothing of it is proved.
    pub fn parse(token: &'a str) -> Result<PresentedToken<'a>, TokenRefusal> {
        let characters = token.len();
        if !TOKEN_CHARACTERS.contains(&characters) {
            return Err(TokenRefusal::Length {
                characters,
                least: *TOKEN_CHARACTERS.start(),
                most: *TOKEN_CHARACTERS.end(),
            });
        }
        let malformed = |why| TokenRefusal::Malformed { why };
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(malformed(match parts.len() {
                5 => "it has the five parts of an encrypted token",
                _ => "it has not three parts with two points between them",
            }));
        };
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| malformed("a part is not base64url without padding"))
        };
        let signature = decode(signature)?;
        let header = json::object(&decode(header)?).ok_or_else(|| {
            malformed("its header is not an object in which each name stands once")
        })?;
        let claims = json::object(&decode(claims)?).ok_or_else(|| {
            malformed("its claims are not an object in which each name stands once")
        })?;
        if header.contains_key("crit") {
            return Err(TokenRefusal::Critical);
        }
        // RFC 8725 §3.11: a logout token or a security event of the same issuer says nothing about who is here.
        if let Some(found) = header.get("typ") {
            let name = found.as_str().unwrap_or_default().to_ascii_lowercase();
            let name = name.strip_prefix("application/").unwrap_or(&name);
            if !TYPES.contains(&name) {
                return Err(TokenRefusal::Type {
                    found: excerpt(&found.to_string()),
                });
            }
        }
        let Some(Value::String(algorithm)) = header.get("alg") else {
            return Err(malformed("its header names no algorithm"));
        };
        let key_id = match header.get("kid") {
            Some(Value::String(id)) => Some(id.clone()),
            None => None,
            Some(_) => return Err(malformed("its key id is not a text")),
        };
        let issuer = text(&claims, "iss")?.to_owned();
        let signed_length = token.rfind('.').unwrap_or(token.len());
        Ok(PresentedToken {
            signed: &token[..signed_length],
            signature,
            algorithm: algorithm.clone(),
            key_id,
            claims,
            issuer,
        })
    }

    /// Whose token it says it is: for finding the provider, not for believing it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether one of the keys could have signed it. Where none could, the issuer may have newer ones.
    pub fn fits(&self, keys: &JwkSet) -> bool {
        TokenAlgorithm::from_header(&self.algorithm)
            .is_some_and(|algorithm| keys.has(self.key_id.as_deref(), algorithm))
    }

    /// Checks everything that needs no key: what fails here is not worth fetching one.
    pub fn check(&self, provider: &OidcProvider, now: Time) -> Result<(), TokenRefusal> {
        self.checked(provider, now).map(|_| ())
    }

    /// Verifies the token under the keys of its provider.
    pub fn verify(
        &self,
        provider: &OidcProvider,
        partition: &str,
        keys: &JwkSet,
        now: Time,
    ) -> Result<FederatedIdentity, TokenRefusal> {
        // 1. What the token says, and whether it may.
        let checked = self.checked(provider, now)?;

        // 2. Whether a key of the provider said it.
        let key_id = self.key_id.as_deref();
        if !keys.has(key_id, checked.algorithm) {
            return Err(TokenRefusal::KeyUnknown {
                key: excerpt(key_id.unwrap_or("(none)")),
                algorithm: checked.algorithm,
                provider: provider.name.clone(),
            });
        }
        if !keys.verifies(
            key_id,
            checked.algorithm,
            self.signed.as_bytes(),
            &self.signature,
        ) {
            return Err(TokenRefusal::Signature {
                provider: provider.name.clone(),
            });
        }

        // 3. What a session takes over.
        let tags = self.session_tags()?;
        let source_identity = match self.claims.get(SOURCE_IDENTITY_CLAIM) {
            None => None,
            Some(value) => {
                let given = value.as_str().ok_or_else(|| "it is not a text".to_owned());
                let given = given.and_then(source_identity);
                Some(given.map_err(|why| TokenRefusal::SessionClaim {
                    claim: SOURCE_IDENTITY_CLAIM.into(),
                    why,
                })?)
            }
        };
        Ok(FederatedIdentity {
            kind: FederationKind::WebIdentity,
            provider_arn: provider.arn(partition),
            keys: self.condition_keys(provider, &checked),
            subject: checked.subject,
            issuer: self.issuer.clone(),
            audience: checked.audience,
            tags: tags.tags,
            transitive_tag_keys: tags.transitive,
            source_identity,
            not_after: None,
        })
    }

    fn checked(&self, provider: &OidcProvider, now: Time) -> Result<Checked, TokenRefusal> {
        let name = || provider.name.clone();
        if self.issuer != provider.issuer {
            return Err(TokenRefusal::Issuer {
                found: excerpt(&self.issuer),
                provider: name(),
                expected: provider.issuer.clone(),
            });
        }
        let algorithm = TokenAlgorithm::from_header(&self.algorithm)
            .filter(|algorithm| provider.algorithms.contains(algorithm))
            .ok_or_else(|| TokenRefusal::Algorithm {
                algorithm: excerpt(&self.algorithm),
                provider: name(),
                allowed: provider.algorithms.clone(),
            })?;
        let audiences = self.audiences()?;
        let registered = |audience: &&str| provider.audiences.iter().any(|known| known == audience);
        if !audiences.iter().any(registered) {
            return Err(TokenRefusal::Audience {
                found: excerpt(&audiences.join(", ")),
                provider: name(),
            });
        }
        let authorized_party = self.optional_text("azp")?;
        let audience = match audiences[..] {
            [one] => one,
            // OpenID Connect Core §3.1.3.7: a token for several must say for whom of them it was made.
            _ => authorized_party
                .filter(|party| audiences.contains(party) && registered(party))
                .ok_or_else(|| TokenRefusal::AuthorizedParty {
                    found: excerpt(authorized_party.unwrap_or("(none)")),
                    provider: name(),
                })?,
        };
        let subject = text(&self.claims, "sub")?;
        if subject.is_empty() || subject.chars().count() > SUBJECT_CHARACTERS_MAX {
            return Err(TokenRefusal::Claim {
                claim: "sub",
                expected: "a text of 1 to 255 characters",
            });
        }
        let Some(at) = self.time("exp")? else {
            return Err(TokenRefusal::Claim {
                claim: "exp",
                expected: "a time",
            });
        };
        if at <= now {
            return Err(TokenRefusal::Expired { at, now });
        }
        for claim in ["nbf", "iat"] {
            if let Some(at) = self.time(claim)?
                && at > now + CLOCK_SKEW_MAX
            {
                return Err(TokenRefusal::Early { claim, at, now });
            }
        }
        Ok(Checked {
            algorithm,
            subject: subject.to_owned(),
            audience: audience.to_owned(),
            audiences: audiences.into_iter().map(str::to_owned).collect(),
            authorized_party: authorized_party.map(str::to_owned),
        })
    }

    /// For whom the token is: a text, or a list of them (RFC 7519 §4.1.3).
    fn audiences(&self) -> Result<Vec<&str>, TokenRefusal> {
        let refuse = || TokenRefusal::Claim {
            claim: "aud",
            expected: "a text or a list of texts",
        };
        match self.claims.get("aud") {
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(several)) => several
                .iter()
                .map(|one| one.as_str().ok_or_else(refuse))
                .collect(),
            _ => Err(refuse()),
        }
    }

    fn optional_text(&self, claim: &'static str) -> Result<Option<&str>, TokenRefusal> {
        match self.claims.get(claim) {
            None => Ok(None),
            Some(_) => text(&self.claims, claim).map(Some),
        }
    }

    /// A NumericDate (RFC 7519 §2), whose fraction is cut off.
    fn time(&self, claim: &'static str) -> Result<Option<Time>, TokenRefusal> {
        let Some(value) = self.claims.get(claim) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| {
            let seconds = value.as_f64()?.floor();
            // Past this no calendar of ours goes, and the cast below is exact.
            (seconds.abs() < 8e12).then_some(seconds as i64)
        });
        seconds
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .map(Some)
            .ok_or(TokenRefusal::Claim {
                claim,
                expected: "a time",
            })
    }

    /// Claims as condition keys: every claim on the first level that is a text, a truth value, a number, or a list of
    /// those, under the issuer's name.
    fn condition_keys(
        &self,
        provider: &OidcProvider,
        checked: &Checked,
    ) -> BTreeMap<String, Vec<String>> {
        let prefix = provider.without_scheme();
        let mut keys = BTreeMap::new();
        let mut set = |claim: &str, values: Vec<String>| {
            keys.insert(format!("{prefix}:{claim}"), values);
        };
        // Policies compare keys without regard to case: `SUB` must not pass for `sub`, nor one claim for another.
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let twice: BTreeSet<String> = self
            .claims
            .keys()
            .map(|claim| claim.to_ascii_lowercase())
            .filter(|folded| !seen.insert(folded.clone()))
            .collect();
        for (claim, value) in &self.claims {
            let folded = claim.to_ascii_lowercase();
            if OWN_KEYS.contains(&folded.as_str()) || twice.contains(&folded) || !is_key(claim) {
                continue;
            }
            if let Some(values) = simple(value) {
                set(claim, values);
            }
        }
        set("sub", vec![checked.subject.clone()]);
        // IAM has who asked for the token (`azp`) here. But whoever it is for can bring it to us, and would then pass for
        // whoever asked them.
        set("aud", vec![checked.audience.clone()]);
        if let Some(party) = &checked.authorized_party {
            set("azp", vec![party.clone()]);
            set("oaud", checked.audiences.clone());
        }
        keys
    }

    /// The session tags of a token: as one object, or each as a claim of its own, as IAM reads them.
    fn session_tags(&self) -> Result<SessionTags, TokenRefusal> {
        let mut tags = SessionTags::default();
        let mut transitive = Vec::new();
        for (claim, value) in &self.claims {
            let refuse = |why: String| TokenRefusal::SessionClaim {
                claim: excerpt(claim),
                why,
            };
            if claim == TAGS_CLAIM {
                let object = value
                    .as_object()
                    .ok_or_else(|| refuse("it is not an object".into()))?;
                let principal = object.get("principal_tags");
                let principal = principal.map(|tags| {
                    tags.as_object()
                        .ok_or_else(|| refuse("principal_tags is not an object".into()))
                });
                for (key, value) in principal.transpose()?.into_iter().flatten() {
                    add_tag(&mut tags, key, value).map_err(refuse)?;
                }
                if let Some(keys) = object.get("transitive_tag_keys") {
                    transitive.extend(texts(keys).map_err(refuse)?);
                }
            } else if let Some(key) = claim
                .strip_prefix(TAGS_CLAIM)
                .and_then(|rest| rest.strip_prefix("/principal_tags/"))
            {
                add_tag(&mut tags, key, value).map_err(refuse)?;
            } else if claim
                .strip_prefix(TAGS_CLAIM)
                .is_some_and(|rest| rest == "/transitive_tag_keys")
            {
                transitive.extend(texts(value).map_err(refuse)?);
            }
        }
        tags.set_transitive(transitive)
            .map_err(|why| TokenRefusal::SessionClaim {
                claim: TAGS_CLAIM.into(),
                why,
            })?;
        Ok(tags)
    }
}

/// What a token says, once it may.
struct Checked {
    algorithm: TokenAlgorithm,
    subject: String,
    /// The audience it was made for, one of the provider's.
    audience: String,
    audiences: Vec<String>,
    authorized_party: Option<String>,
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<&'a str, TokenRefusal> {
    claims
        .get(claim)
        .and_then(Value::as_str)
        .ok_or(TokenRefusal::Claim {
            claim,
            expected: "a text",
        })
}

fn add_tag(tags: &mut SessionTags, key: &str, value: &Value) -> Result<(), String> {
    match &texts(value)?[..] {
        [one] => tags.add(key, one),
        values => Err(format!("tag {key} has {} values, not one", values.len())),
    }
}

/// A text, or a list of them.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "it holds what is not a text".to_owned())
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// The values of a claim that a condition can compare.
fn simple(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Bool(truth) => Some(vec![truth.to_string()]),
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Array(values) => values
            .iter()
            .map(|value| match value {
                Value::Array(_) => None,
                value => simple(value)?.pop(),
            })
            .collect(),
        Value::Null | Value::Object(_) => None,
    }
}

/// Whether a claim can be a condition key. A claim that begins like a port could pass for a key of another issuer, on
/// that port and perhaps with a path.
fn is_key(claim: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/@+".contains(&byte);
    let like_a_port = claim.contains(':') && claim.starts_with(|c: char| c.is_ascii_digit());
    (1..=KEY_CHARACTERS_MAX).contains(&claim.len()) && claim.bytes().all(allowed) && !like_a_port
}

/// How long a token is: the limits of STS.
pub const TOKEN_CHARACTERS: RangeInclusive<usize> = 4..=20_000;
/// The longest subject (OpenID Connect Core §2).
const SUBJECT_CHARACTERS_MAX: usize = 255;
/// The longest claim that is a condition key.
const KEY_CHARACTERS_MAX: usize = 128;
/// Types of a header that are tokens about whoever brings them (RFC 7519 §5.1, RFC 9068 §2.1).
const TYPES: [&str; 3] = ["jwt", "jose", "at+jwt"];
/// Condition keys that are set from what was checked, not from a claim of the name.
const OWN_KEYS: [&str; 4] = ["sub", "aud", "azp", "oaud"];
/// The claim with session tags.
const TAGS_CLAIM: &str = "https://aws.amazon.com/tags";
/// The claim with who is behind the session.
const SOURCE_IDENTITY_CLAIM: &str = "https://aws.amazon.com/source_identity";

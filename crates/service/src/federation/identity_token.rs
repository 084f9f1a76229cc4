//! Tokens of our own: whoever has a session can show another system, by a signed token, which role it has.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline_policy::{SESSION_TAGS_MAX, Tag};
use bowline_trust::{Claims, TokenAlgorithm, Uuid};
use bowline_x509::{SignatureAlgorithm, Signer, Time};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::identity_keys::ALGORITHMS;
use crate::audit::Event;
use crate::authorization::ContextValue;
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::{Error, FederationError, StsError};
use crate::keys::PrivateKey;
use crate::operation::Operation;
use crate::service::Service;
use crate::sessions::Secret;
use crate::settings::Settings;

/// Makes a token that says who the calling session is, for other systems (OpenID Connect).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GetWebIdentityToken {
    /// For whom it is: 1 to 10.
    pub audiences: Vec<String>,
    /// RS256 or ES384.
    pub signing_algorithm: String,
    /// How long it lasts: 60 to 3,600 seconds, 300 if not given.
    pub duration_seconds: Option<u32>,
    /// What it shall say beside.
    pub tags: Vec<(String, String)>,
}

/// A token of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityToken {
    /// The token: whoever has it is believed to be its subject.
    pub web_identity_token: Secret,
    /// When it ends.
    pub expiration: Time,
}

impl Operation for GetWebIdentityToken {
    const NAME: &'static str = "get-web-identity-token";
    type Answer = IdentityToken;

    fn run(self, service: &Service, caller: &Caller) -> Result<IdentityToken, Error> {
        // 1. Who asks, and whether they may.
        let Caller::Session { session, .. } = caller else {
            return Err(StsError::SessionNeeded {
                action: "GetWebIdentityToken",
            }
            .into());
        };
        let claims = session.claims();
        let request = self.checked()?;
        let keys = request.condition_keys();
        service.authorize_with(caller, "sts:GetWebIdentityToken", "*", &keys)?;
        if !request.tags.is_empty() {
            service.authorize_with(caller, "sts:TagGetWebIdentityToken", "*", &keys)?;
        }

        // 2. What the token says, which a wrong clock would have it say for too long.
        let (settings, now) = (service.settings()?, service.now());
        service.check_clock(now)?;
        let issuer = settings.identity_issuer()?;
        let expiration = now + TimeDelta::seconds(request.duration.into());
        if expiration > claims.expires_at {
            return Err(FederationError::TokenOutlivesSession {
                asked: request.duration.into(),
                left: (claims.expires_at - now).num_seconds(),
            }
            .into());
        }
        let id = Uuid::from_random(draw(&*service.entropy)).to_string();
        let said = request.claims(claims, &settings, &issuer, &id, now, expiration);

        // 3. Signed, and told before it is given.
        let (key_id, key) = service.identity_key(request.algorithm, caller, now)?;
        let token = signed(request.algorithm, &key_id, &key, &said)?;
        if token.len() > TOKEN_CHARACTERS_MAX {
            return Err(FederationError::TokenTooLong {
                length: token.len(),
                limit: TOKEN_CHARACTERS_MAX,
            }
            .into());
        }
        let event = Event::IdentityTokenIssued {
            token: id,
            subject: subject(claims),
            audiences: request.audiences,
            key: key_id,
            expires: expiration,
        };
        service.commit(bowline_store::Commit::new(), caller, now, event)?;
        Ok(IdentityToken {
            web_identity_token: token.into(),
            expiration,
        })
    }
}

/// A request within its limits.
struct Request {
    audiences: Vec<String>,
    algorithm: TokenAlgorithm,
    duration: u32,
    tags: Vec<Tag>,
}

impl GetWebIdentityToken {
    fn checked(self) -> Result<Request, Error> {
        let refuse = |parameter, rule, found: &str| {
            let found: String = found.chars().take(FOUND_CHARACTERS_MAX).collect();
            FederationError::TokenParameter {
                parameter,
                rule,
                found,
            }
        };
        if !(1..=AUDIENCES_MAX).contains(&self.audiences.len()) {
            let count = self.audiences.len().to_string();
            return Err(refuse("Audience", "1 to 10 audiences", &count).into());
        }
        if let Some(audience) = self
            .audiences
            .iter()
            .find(|audience| !(1..=AUDIENCE_CHARACTERS_MAX).contains(&audience.chars().count()))
        {
            return Err(refuse("Audience", "1 to 1,000 characters each", audience).into());
        }
        let algorithm = ALGORITHMS
            .into_iter()
            .find(|algorithm| algorithm.as_str() == self.signing_algorithm)
            .ok_or_else(|| {
                refuse(
                    "SigningAlgorithm",
                    "RS256 or ES384",
                    &format!("{:?}", self.signing_algorithm),
                )
            })?;
        let duration = self.duration_seconds.unwrap_or(DURATION_SECONDS_DEFAULT);
        if !DURATION_SECONDS.contains(&duration) {
            let rule = "60 to 3,600 seconds";
            return Err(refuse("DurationSeconds", rule, &duration.to_string()).into());
        }
        if self.tags.len() > SESSION_TAGS_MAX {
            let count = self.tags.len().to_string();
            return Err(refuse("Tags", "at most 50 tags", &count).into());
        }
        let mut tags: Vec<Tag> = Vec::new();
        for (key, value) in self.tags {
            let tag = Tag::new(key, value).map_err(|error| {
                refuse(
                    "Tags",
                    "keys and values as tags have them",
                    &error.to_string(),
                )
            })?;
            let again = |other: &Tag| other.key().to_lowercase() == tag.key().to_lowercase();
            if tags.iter().any(again) {
                return Err(refuse("Tags", "each key once", tag.key()).into());
            }
            tags.push(tag);
        }
        Ok(Request {
            audiences: self.audiences,
            algorithm,
            duration,
            tags,
        })
    }
}

impl Request {
    /// What a policy may test of the request.
    fn condition_keys(&self) -> BTreeMap<String, ContextValue> {
        let mut keys = BTreeMap::from([
            (
                "sts:IdentityTokenAudience".to_owned(),
                ContextValue::Many(self.audiences.clone()),
            ),
            (
                "sts:SigningAlgorithm".to_owned(),
                ContextValue::One(self.algorithm.to_string()),
            ),
            (
                "sts:DurationSeconds".to_owned(),
                ContextValue::One(self.duration.to_string()),
            ),
        ]);
        if !self.tags.is_empty() {
            let names = self.tags.iter().map(|tag| tag.key().to_owned()).collect();
            keys.insert("aws:TagKeys".into(), ContextValue::Many(names));
        }
        for tag in &self.tags {
            keys.insert(
                format!("aws:RequestTag/{}", tag.key()),
                ContextValue::One(tag.value().to_owned()),
            );
        }
        keys
    }

    fn claims(
        &self,
        session: &Claims,
        settings: &Settings,
        issuer: &str,
        id: &str,
        now: Time,
        expiration: Time,
    ) -> Value {
        let mut about = Map::from_iter([
            ("aws_account".to_owned(), json!(session.account)),
            ("source_region".to_owned(), json!(settings.region)),
            ("principal_id".to_owned(), json!(session.principal_arn())),
            (
                "original_session_exp".to_owned(),
                json!(crate::format_time(session.expires_at)),
            ),
        ]);
        if let Some(identity) = &session.source_identity {
            about.insert("source_identity".into(), json!(identity));
        }
        for (name, tags) in [
            ("principal_tags", &session.tags),
            ("request_tags", &self.tags),
        ] {
            if !tags.is_empty() {
                let tags: Map<String, Value> = tags
                    .iter()
                    .map(|tag| (tag.key().to_owned(), json!(tag.value())))
                    .collect();
                about.insert(name.into(), tags.into());
            }
        }
        let audience = match self.audiences.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        json!({
            "iss": issuer,
            "sub": subject(session),
            "aud": audience,
            "iat": now.timestamp(),
            "nbf": now.timestamp(),
            "exp": expiration.timestamp(),
            "jti": id,
            "https://sts.amazonaws.com/": about,
        })
    }
}

/// Whom a token speaks of: the role, the same for every session of it; or the certificate as itself.
fn subject(claims: &Claims) -> String {
    claims.role_arn().unwrap_or_else(|| claims.principal_arn())
}

impl Settings {
    /// What tokens of ours say they come from.
    pub(super) fn identity_issuer(&self) -> Result<String, Error> {
        let url = self.url.as_deref().ok_or(FederationError::UrlMissing)?;
        Ok(url.trim_end_matches('/').to_owned())
    }
}

/// The token in its compact form (RFC 7515 §3.1).
fn signed(
    algorithm: TokenAlgorithm,
    key_id: &str,
    key: &PrivateKey,
    claims: &Value,
) -> Result<String, Error> {
    let header = json!({ "alg": algorithm.as_str(), "kid": key_id, "typ": "JWT" });
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut token = base64(header.to_string().as_bytes());
    token.push('.');
    token.push_str(&base64(claims.to_string().as_bytes()));
    let signature = match algorithm {
        TokenAlgorithm::Es384 => {
            let der = key.sign(SignatureAlgorithm::EcdsaSha384, token.as_bytes())?;
            // RFC 7518 §3.4: two numbers of 48 octets, not DER.
            p384::ecdsa::Signature::from_der(&der)
                .map_err(|_| Error::internal("a P-384 signature is not one"))?
                .to_bytes()
                .to_vec()
        }
        TokenAlgorithm::Rs256 | TokenAlgorithm::Es256 | TokenAlgorithm::EdDsa => {
            key.sign(SignatureAlgorithm::RsaPkcs1Sha256, token.as_bytes())?
        }
    };
    token.push('.');
    token.push_str(&base64(&signature));
    Ok(token)
}

/// How long a token may last, in seconds: the limits of STS.
pub(super) const DURATION_SECONDS: RangeInclusive<u32> = 60..=3_600;
/// How long it lasts where nothing is asked.
const DURATION_SECONDS_DEFAULT: u32 = 300;
/// The most audiences: the limit of STS.
const AUDIENCES_MAX: usize = 10;
/// The longest audience: the limit of STS.
const AUDIENCE_CHARACTERS_MAX: usize = 1_000;
/// The longest token: it goes into an HTTP header, of which common servers take 8 KiB.
const TOKEN_CHARACTERS_MAX: usize = 8 * 1024;
/// How much of a refused parameter is told.
const FOUND_CHARACTERS_MAX: usize = 80;

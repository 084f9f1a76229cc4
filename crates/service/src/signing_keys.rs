//! Keys for relying services that verify by themselves: derived for one session, day, region and service.
//!
//! Signature Version 4 narrows a secret in steps; its last step before the signature is a key for one access key id,
//! day, region and service. A relying service that holds it checks the signatures of that session for itself until the
//! day ends. A key stolen from it signs nothing for any other service, and the secret does not follow from it.
//!
//! A key is given for a request that came: the request is verified here first, with its token and everything the
//! session rests on. With it come the facts of the session and the policies that bind it, so that the relying service
//! decides as this one would. It may keep all of that for [`DerivedKey::cache_seconds`]; so long it may take until it
//! learns of a revocation or a changed policy.
//!
//! No event tells of a key: it is read about once a minute for each session, and the session's beginning stands in the
//! log. Refusals do too.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_policy::{
    AccountId, Context, Layers, NamedPolicy, Policy, PolicyKind, Principal, SessionLayer,
};
use bowline_sigv4::{Allowed, Rules, SignedRequest, hmac};
use bowline_trust::Session;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authorization::{
    Authorization, Bound, CACHE_SECONDS_MAX, ContextValue, Signatory, known_body, payload_hash,
    shown_certificate,
};
use crate::caller::Caller;
use crate::error::{Error, RelyingError};
use crate::identity::CONTROL_SERVICE;
use crate::operation::Operation;
use crate::service::Service;
use crate::sessions::Secret;

/// Verifies a signed request, and gives what is needed to verify others of its session, day, region and service.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetSigningKey {
    /// The method.
    pub method: String,
    /// The raw path and query, exactly as the relying service received them.
    pub target: String,
    /// The headers in order, repeats kept, as received.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body in hex, where the signature covers the body and no header names its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<String>,
    /// The body itself, base64, in place of its hash.
    #[serde(
        default,
        with = "crate::authorization::optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub body: Option<Vec<u8>>,
    /// The service that the relying service is: `s3`. The request must be signed for it.
    pub service: String,
    /// SHA-256, in hex, of the certificate whose key the client proved over TLS to the relying service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_sha256: Option<String>,
}

/// What a relying service gets for a request that came to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningKeyAnswer {
    /// The request is right, and this verifies its like.
    Key(Box<DerivedKey>),
    /// The request is not believed.
    Refused(Box<Authorization>),
}

/// A key, whose it is, and what binds them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DerivedKey {
    /// 32 bytes, base64: HMAC-SHA256 with it signs.
    pub signing_key: Secret,
    /// Whose key it is.
    pub access_key_id: String,
    /// The day it signs for: `YYYYMMDD`.
    pub date: String,
    /// The region it signs for.
    pub region: String,
    /// The service it signs for.
    pub service: String,
    /// Who signs with it.
    #[serde(flatten)]
    pub who: Signatory,
    /// The account of resources of which nobody says otherwise.
    pub account: String,
    /// The partition of their ARNs.
    pub partition: String,
    /// The condition keys that the session answers, without those of the time.
    pub keys: BTreeMap<String, ContextValue>,
    /// When a second factor was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_at: Option<Time>,
    /// SHA-256, in hex, of the certificate that must be shown over TLS beside every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// What binds them.
    pub policies: BindingPolicies,
    /// For how long all of this may be kept.
    pub cache_seconds: u32,
}

/// The policies of a decision, by the part each plays. An absent layer limits nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BindingPolicies {
    /// What nobody may exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Vec<PolicyText>>,
    /// What the role is allowed.
    pub identity: Vec<PolicyText>,
    /// What the role may not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Vec<PolicyText>>,
    /// What narrows the session: one layer after the other, each must allow.
    pub sessions: Vec<LayerText>,
}

/// Session policies that were passed together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerText {
    /// `profile`, `request`, ….
    pub name: String,
    /// One Allow among them suffices.
    pub policies: Vec<PolicyText>,
}

/// A policy as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyText {
    /// `role/web/inline`.
    pub name: String,
    /// Its JSON text.
    pub document: String,
    /// What it is read as.
    pub kind: PolicyKind,
}

impl Operation for GetSigningKey {
    const NAME: &'static str = "get-signing-key";
    type Answer = SigningKeyAnswer;

    /// For the operator on this machine, and for relying services whose credentials allow it.
    fn run(self, service: &Service, caller: &Caller) -> Result<SigningKeyAnswer, Error> {
        // 1. May the relying service have keys for this service.
        let settings = service.settings()?;
        let resource = format!(
            "arn:{}:bowline:{}:{}:signing-key/{}",
            settings.partition, settings.region, settings.account, self.service
        );
        service.authorize(caller, "bowline:GetSigningKey", &resource)?;
        if OURS.contains(&self.service.as_str()) {
            return Err(RelyingError::ServiceOurs {
                service: self.service,
            }
            .into());
        }
        // 2. Who signed the request that came.
        let now = service.now();
        let rules = Rules {
            services: Allowed::only([self.service.as_str()]),
            ..Rules::for_relying_services()
        };
        let shown = shown_certificate(self.client_certificate_sha256.as_deref())?;
        let hash = payload_hash(self.payload_sha256.as_deref())?;
        let body = known_body(self.body.as_deref(), hash);
        let signed = SignedRequest::new(&self.method, &self.target, &self.headers, body);
        let believed = service
            .authenticate(&signed, &rules, shown, now)
            .and_then(|(session, _)| Ok((service.bound(&session, now)?, session)));
        let (bound, session) = match believed {
            Ok(believed) => believed,
            Err(error) if error.is_authentication() => {
                service.note_refused(None, &error);
                return Ok(SigningKeyAnswer::Refused(Box::new(
                    Authorization::unauthenticated(&error),
                )));
            }
            Err(error) => return Err(error),
        };
        // 3. Their key, for the scope of that very signature.
        let presented = hmac::Presented::parse(&signed, &rules)?;
        let secret = service.key_ring()?.secret_for(presented.access_key_id())?;
        let key = presented.signing_key(&secret);
        let encoded = Zeroizing::new(STANDARD.encode(key.as_bytes()));
        let scope = presented.scope();
        let claims = session.claims();
        let left = claims.expires_at.signed_duration_since(now).num_seconds();
        Ok(SigningKeyAnswer::Key(Box::new(DerivedKey {
            signing_key: Secret::from(encoded.to_string()),
            access_key_id: presented.access_key_id().into(),
            date: scope.date.clone(),
            region: scope.region.clone(),
            service: scope.service.clone(),
            who: Signatory::of(&session),
            account: bound.account.to_string(),
            partition: claims.partition.clone(),
            keys: fixed_keys(&session, now),
            mfa_at: claims.mfa_at,
            certificate_sha256: claims.confirmation.map(hex::encode),
            policies: BindingPolicies::of(&bound.layers),
            cache_seconds: u32::try_from(left).unwrap_or(0).min(CACHE_SECONDS_MAX),
        })))
    }
}

impl DerivedKey {
    /// The key itself. `None` where it is none.
    pub fn key(&self) -> Option<Zeroizing<[u8; 32]>> {
        let bytes = Zeroizing::new(STANDARD.decode(self.signing_key.reveal()).ok()?);
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(&bytes);
        Some(key)
    }

    /// The session, ready to be decided on, without the condition keys of the time.
    pub fn bound(&self) -> Result<Bound, Error> {
        let broken = |what: &str| Error::internal(format!("{what} of a derived key does not read"));
        let account: AccountId = self.account.parse()?;
        let session_name = self.who.principal_arn.rsplit('/').next();
        let principal = if self.who.role.is_empty() {
            let arn = self.who.principal_arn.parse();
            Principal::Named(arn.map_err(|_| broken("the principal"))?)
        } else {
            let role = self.who.role.parse().map_err(|_| broken("the role"))?;
            Principal::assumed_role(role, session_name.unwrap_or_default())
                .map_err(|_| broken("the session's name"))?
        };
        let mut keys = Context::new();
        for (key, value) in &self.keys {
            match value {
                ContextValue::One(value) => keys.set(key, value.as_str()),
                ContextValue::Many(values) => {
                    keys.set_many(key, values.iter().map(String::as_str));
                }
            }
        }
        Ok(Bound {
            principal,
            account,
            keys,
            layers: self.policies.layers()?,
        })
    }

    /// Sets the condition keys of the time in what [`DerivedKey::bound`] gave.
    pub fn at(&self, mut bound: Bound, now: Time) -> Bound {
        bound.keys.set("aws:CurrentTime", crate::format_time(now));
        bound.keys.set("aws:EpochTime", now.timestamp().to_string());
        if let Some(at) = self.mfa_at {
            let age = now.signed_duration_since(at).num_seconds().max(0);
            bound.keys.set("aws:MultiFactorAuthAge", age.to_string());
        }
        bound
    }
}

/// The condition keys that stay the same as long as the session lives.
fn fixed_keys(session: &Session, now: Time) -> BTreeMap<String, ContextValue> {
    let context = session.context_keys(now);
    context
        .iter()
        .filter(|(key, _)| !KEYS_OF_THE_TIME.contains(key))
        .map(|(key, values)| {
            let value = match values {
                [one] => ContextValue::One(one.clone()),
                many => ContextValue::Many(many.to_vec()),
            };
            (key.to_owned(), value)
        })
        .collect()
}

impl BindingPolicies {
    fn of(layers: &Layers) -> BindingPolicies {
        BindingPolicies {
            guardrail: layers.guardrail.as_deref().map(texts),
            identity: texts(&layers.identity),
            boundary: layers.boundary.as_deref().map(texts),
            sessions: layers
                .sessions
                .iter()
                .map(|layer| LayerText {
                    name: layer.name.to_string(),
                    policies: texts(&layer.policies),
                })
                .collect(),
        }
    }

    fn layers(&self) -> Result<Layers, Error> {
        let optional = |texts: &Option<Vec<PolicyText>>| -> Result<_, Error> {
            texts.as_deref().map(policies).transpose()
        };
        Ok(Layers {
            guardrail: optional(&self.guardrail)?,
            identity: policies(&self.identity)?,
            boundary: optional(&self.boundary)?,
            sessions: self
                .sessions
                .iter()
                .map(|layer| {
                    let policies = policies(&layer.policies)?;
                    Ok(SessionLayer::new(layer.name.as_str(), policies))
                })
                .collect::<Result<_, Error>>()?,
            resource: None,
        })
    }
}

fn texts(policies: &[NamedPolicy]) -> Vec<PolicyText> {
    policies
        .iter()
        .map(|named| PolicyText {
            name: named.name.to_string(),
            document: named.policy.text().into(),
            kind: named.policy.kind(),
        })
        .collect()
}

fn policies(texts: &[PolicyText]) -> Result<Vec<NamedPolicy>, Error> {
    texts
        .iter()
        .map(|text| {
            let policy = Policy::parse(&text.document, text.kind)?;
            Ok(NamedPolicy::new(text.name.as_str(), policy))
        })
        .collect()
}

/// Our own services. Whoever held a key for one of them could act here as the session.
const OURS: &[&str] = &[CONTROL_SERVICE, "sts", "rolesanywhere", "iam", "acm-pca"];

/// The condition keys that change while the session stays the same.
const KEYS_OF_THE_TIME: &[&str] = &["aws:CurrentTime", "aws:EpochTime", "aws:MultiFactorAuthAge"];

//! The answer to a relying service.

use std::collections::BTreeMap;

use bowline_policy::Effect;
use bowline_sigv4::Payload;
use bowline_trust::Session;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use super::CACHE_SECONDS_MAX;
use super::decision::{Decided, MatchedStatement};
use super::s3_errors::ServiceError;
use crate::error::Error;
use crate::s3::S3Error;

/// A decision for a relying service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authorization {
    /// `allow`, `explicit_deny`, `implicit_deny`, or `unauthenticated`.
    pub decision: String,
    /// Why, in one sentence.
    pub reason: String,
    /// The stable code of a refused signature or session, or of a request that is not mapped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The status to answer with: 200, 401 or 403.
    pub http_status: u16,
    /// The same refusal as S3 puts it, with S3's status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<ServiceError>,
    /// Who signed.
    #[serde(flatten)]
    pub who: Option<Signatory>,
    /// The operation of S3, where the request itself said what it asks for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// The bucket of that operation, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bucket: Option<String>,
    /// The key of that operation, decoded, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What the signature says of the body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<SignedPayload>,
    /// From when on this very request is refused: its own end, or that of its credentials.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub valid_until: Option<Time>,
    /// For how many seconds the answer may be used again for the very same request. Who does so learns of a
    /// revocation that much later.
    #[serde(default)]
    pub cache_ttl: u32,
    /// The statements that decided: layer, policy, statement.
    #[serde(default)]
    pub matched: Vec<MatchedStatement>,
    /// How the decision came about, to be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub explain: Option<String>,
    /// The action and the resource that were decided on: of several, those that were refused.
    #[serde(skip)]
    pub(crate) asked: Option<(String, String)>,
}

/// What a signature says of the body it came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignedPayload {
    /// The body of the hash that was given is the one that was signed.
    Verified,
    /// A body with this SHA-256 (hex) was signed: compare before acting on the one received.
    Declared(String),
    /// Nothing: any body would do.
    Unsigned,
    /// The body is a stream of chunks with signatures of their own, which nobody has checked yet.
    Streaming,
}

impl From<Payload> for SignedPayload {
    fn from(payload: Payload) -> SignedPayload {
        match payload {
            Payload::Verified => SignedPayload::Verified,
            Payload::Declared(hash) => SignedPayload::Declared(hex::encode(hash)),
            Payload::Unsigned => SignedPayload::Unsigned,
            Payload::Streaming => SignedPayload::Streaming,
        }
    }
}

/// Whose credentials signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signatory {
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub principal_arn: String,
    /// The role's ARN; empty for a certificate that acts as itself.
    pub role: String,
    /// Who the certificate is; empty where nobody said.
    pub source_identity: String,
    /// The session's id in hex.
    pub session_id: String,
    /// When the credentials end.
    pub expires: Time,
    /// The session's tags.
    pub tags: BTreeMap<String, String>,
}

impl Signatory {
    pub(crate) fn of(session: &Session) -> Signatory {
        let claims = session.claims();
        Signatory {
            principal_arn: claims.principal_arn(),
            role: claims.role_arn().unwrap_or_default(),
            source_identity: claims.source_identity.clone().unwrap_or_default(),
            session_id: hex::encode(session.id()),
            expires: claims.expires_at,
            tags: claims
                .tags
                .iter()
                .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
                .collect(),
        }
    }
}

impl Authorization {
    /// Adds who signed, and how long the answer holds.
    pub(super) fn by(mut self, who: Signatory, now: Time) -> Authorization {
        let until = self
            .valid_until
            .map_or(who.expires, |until| until.min(who.expires));
        self.valid_until = Some(until);
        if self.allowed() {
            let left = until.signed_duration_since(now).num_seconds();
            self.cache_ttl = u32::try_from(left).unwrap_or(0).min(CACHE_SECONDS_MAX);
        }
        self.who = Some(who);
        self
    }

    fn refused(decision: &str, reason: String, http_status: u16) -> Authorization {
        Authorization {
            decision: decision.into(),
            reason,
            code: None,
            http_status,
            error: None,
            who: None,
            operation: None,
            bucket: None,
            key: None,
            payload: None,
            valid_until: None,
            cache_ttl: 0,
            matched: Vec::new(),
            explain: None,
            asked: None,
        }
    }

    /// The answer to a request that nobody is believed to have signed.
    pub fn unauthenticated(error: &Error) -> Authorization {
        let public = error.public();
        Authorization {
            code: Some(public.code.into_owned()),
            error: Some(error.s3_error()),
            ..Authorization::refused("unauthenticated", public.message, 401)
        }
    }

    pub(super) fn unmapped(error: &S3Error) -> Authorization {
        let (code, status) = error.s3_code();
        let reason = error.to_string();
        Authorization {
            code: Some(error.code().into()),
            error: Some(ServiceError::new(code, reason.as_str(), status)),
            ..Authorization::refused(Effect::ImplicitDeny.as_str(), reason, 403)
        }
    }

    pub(super) fn decided(decided: &Decided, s3: bool) -> Authorization {
        let allowed = decided.decision.is_allowed();
        let sentence = decided.sentence.clone();
        let error =
            (s3 && !allowed).then(|| ServiceError::new("AccessDenied", sentence.as_str(), 403));
        Authorization {
            error,
            matched: decided.matched(),
            asked: Some(decided.asked.clone()),
            explain: decided.trace.as_ref().map(ToString::to_string),
            ..Authorization::refused(
                decided.decision.effect.as_str(),
                sentence,
                if allowed { 200 } else { 403 },
            )
        }
    }

    /// Whether the relying service shall go on.
    pub fn allowed(&self) -> bool {
        self.decision == Effect::Allow.as_str()
    }
}

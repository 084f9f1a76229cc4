//! Deciding for a relying service: may whoever signed this request do that.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bowline_policy::{Arn, Decision, Effect, Request, Trace, evaluate, evaluate_traced};
use bowline_sigv4::{Allowed, Body, Payload, Rules, SignedRequest};
use bowline_trust::{Role, Session};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::service::Service;

/// Verifies a signed request and decides whether its signer may take an action on a resource.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// The method.
    pub method: String,
    /// The raw path and query, exactly as the relying service received them.
    pub target: String,
    /// The headers in order, repeats kept, as received.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body in hex, where the signature covers the body and no header names its hash.
    #[serde(default)]
    pub payload_sha256: Option<String>,
    /// The action to decide: `s3:GetObject`.
    pub action: String,
    /// The service that clients sign for; `generic` for any. That of the action if not given: a request signed for one
    /// service must not open another.
    #[serde(default)]
    pub service: Option<String>,
    /// The resource to decide on, an ARN.
    pub resource: String,
    /// Condition keys that the relying service vouches for.
    #[serde(default)]
    pub context: BTreeMap<String, ContextValue>,
    /// Where the request came from, for `aws:SourceIp`.
    #[serde(default)]
    pub source_ip: Option<IpAddr>,
    /// Whether it came over TLS, for `aws:SecureTransport`.
    #[serde(default)]
    pub tls: bool,
    /// Whether to say how the decision came about.
    #[serde(default)]
    pub explain: bool,
}

/// The value of a condition key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ContextValue {
    /// One value.
    One(String),
    /// A set of values.
    Many(Vec<String>),
}

/// A decision for a relying service.
#[derive(Debug, Serialize, Deserialize)]
pub struct Authorization {
    /// `allow`, `explicit_deny`, `implicit_deny`, or `unauthenticated`.
    pub decision: String,
    /// Why, in one sentence.
    pub reason: String,
    /// The stable code of a refused signature or session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The status to answer with.
    pub http_status: u16,
    /// Who signed.
    #[serde(flatten)]
    pub who: Option<Signatory>,
    /// What the signature says of the body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<SignedPayload>,
    /// The statements that decided: layer, policy, statement.
    #[serde(default)]
    pub matched: Vec<MatchedStatement>,
    /// How the decision came about, to be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub explain: Option<String>,
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Signatory {
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub principal_arn: String,
    /// The role's ARN.
    pub role: String,
    /// Who the certificate is.
    pub source_identity: String,
    /// The session's id in hex.
    pub session_id: String,
    /// When the credentials end.
    pub expires: Time,
    /// The session's tags.
    pub tags: BTreeMap<String, String>,
}

/// A statement that decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MatchedStatement {
    /// `identity`, `session/profile`, ….
    pub layer: String,
    /// The policy's name: `role/web/inline`.
    pub policy: String,
    /// The statement's Sid, or its place counted from 0.
    pub statement: String,
}

impl Operation for Authorize {
    const NAME: &'static str = "authorize";
    type Answer = Authorization;

    /// For relying services on this machine, and for sessions that may ask from elsewhere.
    fn run(self, service: &Service, caller: &Caller) -> Result<Authorization, Error> {
        if !caller.is_local() {
            service.authorize(caller, "bowline:Authorize", &self.resource)?;
        }
        if self
            .action
            .split_once(':')
            .is_none_or(|(service, name)| service.is_empty() || name.is_empty())
        {
            return Err(Error::ActionInvalid {
                action: self.action,
            });
        }
        // A name that is no ARN would slip past every Deny that is written for ARNs.
        if self.resource != "*" && self.resource.parse::<Arn>().is_err() {
            return Err(Error::ResourceInvalid {
                resource: self.resource,
            });
        }
        let now = service.now();
        let body = self.body()?;
        let signed = SignedRequest::new(&self.method, &self.target, &self.headers, body);
        let (session, payload) = match service.authenticate(&signed, &self.rules(), now) {
            Ok(authenticated) => authenticated,
            Err(error) if error.is_authentication() => {
                service.note_refused(self.source_ip, &error);
                return Ok(Authorization::unauthenticated(&error));
            }
            Err(error) => return Err(error),
        };
        let mut given = self.context;
        given.retain(|key, _| !key.eq_ignore_ascii_case("aws:SecureTransport"));
        given.insert(
            "aws:SecureTransport".into(),
            ContextValue::One(self.tls.to_string()),
        );
        let decided = match service.evaluate(
            &session,
            self.source_ip,
            &self.action,
            &self.resource,
            &given,
            now,
            self.explain,
        ) {
            Ok(decided) => decided,
            Err(error) if error.is_authentication() => {
                return Ok(Authorization::unauthenticated(&error));
            }
            Err(error) => return Err(error),
        };
        Ok(Authorization::decided(&session, payload, &decided))
    }
}

impl Authorize {
    /// A signature for one service says nothing to another.
    fn rules(&self) -> Rules {
        let action = self.action.split(':').next().unwrap_or_default();
        let services = match self.service.as_deref() {
            Some("generic") => Allowed::Any,
            Some(service) => Allowed::only([service]),
            None => Allowed::only([action.to_ascii_lowercase()]),
        };
        Rules {
            services,
            ..Rules::for_relying_services()
        }
    }

    fn body(&self) -> Result<Body<'static>, Error> {
        let Some(text) = &self.payload_sha256 else {
            return Ok(Body::Unknown);
        };
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash)
            .map_err(|_| Error::PayloadHashInvalid { length: text.len() })?;
        Ok(Body::Hash(hash))
    }
}

impl Authorization {
    fn unauthenticated(error: &Error) -> Authorization {
        let public = error.public();
        Authorization {
            decision: "unauthenticated".into(),
            reason: public.message,
            code: Some(public.code.into_owned()),
            http_status: 401,
            who: None,
            payload: None,
            matched: Vec::new(),
            explain: None,
        }
    }

    fn decided(session: &Session, payload: Payload, decided: &Decided) -> Authorization {
        let claims = session.claims();
        Authorization {
            decision: decided.decision.effect.as_str().into(),
            reason: decided.sentence.clone(),
            code: None,
            http_status: if decided.decision.is_allowed() {
                200
            } else {
                403
            },
            who: Some(Signatory {
                principal_arn: claims.assumed_role_arn(),
                role: claims.role_arn(),
                source_identity: claims.source_identity.clone(),
                session_id: hex::encode(session.id()),
                expires: claims.expires_at,
                tags: claims
                    .tags
                    .iter()
                    .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
                    .collect(),
            }),
            payload: Some(payload.into()),
            matched: decided.matched(),
            explain: decided.trace.as_ref().map(ToString::to_string),
        }
    }

    /// Whether the relying service shall go on.
    pub fn allowed(&self) -> bool {
        self.decision == Effect::Allow.as_str()
    }
}

/// A decision with its sentence.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) sentence: String,
    trace: Option<Trace>,
}

impl Decided {
    fn matched(&self) -> Vec<MatchedStatement> {
        self.decision
            .matched
            .iter()
            .map(|matched| MatchedStatement {
                layer: matched.layer.to_string(),
                policy: matched.policy.to_string(),
                statement: matched.statement.to_string(),
            })
            .collect()
    }
}

impl Service {
    /// What the policies of a session say to an action. The role is read now: a change of its policies acts at once.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one part of the question"
    )]
    pub(crate) fn evaluate(
        &self,
        session: &Session,
        source: Option<IpAddr>,
        action: &str,
        resource: &str,
        given: &BTreeMap<String, ContextValue>,
        now: Time,
        traced: bool,
    ) -> Result<Decided, Error> {
        let claims = session.claims();
        let role = self
            .load::<Role>(&keyspace::role(&claims.role_name)?)?
            .ok_or_else(|| Error::SessionRoleGone {
                role: claims.role_name.clone(),
            })?;
        let layers = session.layers(&role, None)?;
        let mut context = session.context_keys(now);
        for (key, value) in given {
            // Nothing a relying service sends may stand in for what the session itself says.
            if RESERVED
                .iter()
                .any(|reserved| key.to_ascii_lowercase().starts_with(reserved))
            {
                return Err(Error::ContextKeyReserved { key: key.clone() });
            }
            match value {
                ContextValue::One(value) => context.set(key, value.as_str()),
                ContextValue::Many(values) => {
                    context.set_many(key, values.iter().map(String::as_str));
                }
            }
        }
        if let Some(address) = source {
            context.set("aws:SourceIp", address.to_canonical().to_string());
        }
        let request = Request {
            principal: session.principal().clone(),
            action: action.into(),
            resource: resource.into(),
            account: claims.account,
            context,
        };
        let (decision, trace) = if traced {
            let (decision, trace) = evaluate_traced(&layers, &request);
            (decision, Some(trace))
        } else {
            (evaluate(&layers, &request), None)
        };
        let sentence = decision.message(&request);
        Ok(Decided {
            decision,
            sentence,
            trace,
        })
    }
}

/// Condition keys that only a session, or the service itself, may set. Lower case.
const RESERVED: &[&str] = &[
    "aws:principal",
    "aws:userid",
    "aws:username",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:tokenissuetime",
    "aws:currenttime",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauth",
    "aws:viaawsservice",
    "sts:",
];

//! Deciding for a relying service: may whoever signed this request do that.
//!
//! The relying service passes on what it received: method, raw target, headers. It names the action and the resource,
//! or leaves both out: then the request is one of S3 and says so itself.

mod answer;
mod decision;
mod s3_errors;
mod signature_keys;

pub use answer::{Authorization, Signatory, SignedPayload};
pub use decision::{Bound, Circumstances, ContextValue, Decided, MatchedStatement, Question};
pub use s3_errors::ServiceError;
pub(crate) use signature_keys::Presigned;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bowline_policy::{AccountId, Arn};
use bowline_sigv4::{Allowed, Body, Payload, Rules, SignedRequest, hmac};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::error::{Error, RelyingError};
use crate::operation::Operation;
use crate::s3::{S3Call, S3Error, S3Question, S3Request, map_s3};
use crate::service::Service;
use signature_keys::signature_keys;

/// Verifies a signed request and decides whether its signer may do what it asks for.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// The method.
    pub method: String,
    /// The raw path and query, exactly as the relying service received them.
    pub target: String,
    /// The headers in order, repeats kept, as received.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body in hex, where the signature covers the body and no header names its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<String>,
    /// The body itself, base64, in place of its hash. S3's `DeleteObjects` needs it: the keys stand in it.
    #[serde(
        default,
        with = "optional_base64",
        skip_serializing_if = "Option::is_none"
    )]
    pub body: Option<Vec<u8>>,
    /// The action to decide: `s3:GetObject`. Left out together with the resource, the request itself says what of S3
    /// it asks for, and all of that must be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The resource to decide on, an ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The service that clients sign for; `generic` for any. That of the action if not given: a request signed for one
    /// service must not open another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The account that the resource belongs to; that of its ARN, or else the home's, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_account: Option<String>,
    /// The names that the S3 service answers under: `bucket.NAME` in the `Host` header names a bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_hosts: Vec<String>,
    /// SHA-256, in hex, of the certificate whose key the client proved over TLS to the relying service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_sha256: Option<String>,
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

/// What has to be allowed.
enum Asked<'a> {
    /// One action on one resource, as the relying service named them.
    Named { action: &'a str, resource: &'a str },
    /// What the request asks of S3.
    Mapped(S3Call),
    /// A request of S3 that is not mapped: nobody may make it.
    Unmapped(S3Error),
}

impl Operation for Authorize {
    const NAME: &'static str = "authorize";
    type Answer = Authorization;

    /// For relying services on this machine, and for sessions that may ask from elsewhere.
    fn run(self, service: &Service, caller: &Caller) -> Result<Authorization, Error> {
        self.ask(service, caller)
    }
}

impl Authorize {
    /// The operation, for those who keep the request.
    pub fn ask(&self, service: &Service, caller: &Caller) -> Result<Authorization, Error> {
        // 1. What is asked, and may it be asked.
        let settings = service.settings()?;
        let asked = self.asked(&settings.partition)?;
        if !caller.is_local() {
            for resource in asked.resources() {
                service.authorize(caller, "bowline:Authorize", resource)?;
            }
        }
        let account = self.account()?;
        let shown = shown_certificate(self.client_certificate_sha256.as_deref())?;
        // 2. Who signed.
        let now = service.now();
        let rules = asked.rules(self.service.as_deref());
        let signed = self.signed()?;
        let (session, payload) = match service.authenticate(&signed, &rules, shown, now) {
            Ok(authenticated) => authenticated,
            Err(error) if error.is_authentication() => {
                service.note_refused(self.source_ip, &error);
                return Ok(Authorization::unauthenticated(&error));
            }
            Err(error) => return Err(error),
        };
        let bound = match service.bound(&session, now) {
            Ok(bound) => bound,
            Err(error) if error.is_authentication() => {
                return Ok(Authorization::unauthenticated(&error));
            }
            Err(error) => return Err(error),
        };
        // 3. May they.
        let answer = self.decided(&asked, account, &bound, payload, now)?;
        let answer = answer.by(Signatory::of(&session), now);
        service.veiled_decision(caller, &session, self, answer, now)
    }

    /// A request of S3, which tells itself what it asks for.
    pub fn s3(method: &str, target: &str, headers: Vec<(String, String)>) -> Authorize {
        Authorize {
            method: method.into(),
            target: target.into(),
            headers,
            ..Authorize::default()
        }
    }

    /// Decides for a signer whom somebody else verified: a relying service that holds their key and what binds them.
    ///
    /// `presented` is the same request as the verifier read it, `bound` has the condition keys of the time.
    pub fn decide_verified(
        &self,
        verified: &hmac::Verified,
        bound: &Bound,
        who: Signatory,
        partition: &str,
        now: Time,
    ) -> Result<Authorization, Error> {
        let asked = self.asked(partition)?;
        let account = self.account()?;
        let answer = self.decided(&asked, account, bound, verified.payload(), now)?;
        Ok(answer.by(who, now))
    }

    /// What a verifier accepts of this request: a signature for one service says nothing to another.
    pub fn rules(&self, partition: &str) -> Result<Rules, Error> {
        Ok(self.asked(partition)?.rules(self.service.as_deref()))
    }

    /// The request as verifiers read it.
    pub fn signed(&self) -> Result<SignedRequest<'_>, Error> {
        let hash = payload_hash(self.payload_sha256.as_deref())?;
        let body = known_body(self.body.as_deref(), hash);
        Ok(SignedRequest::new(
            &self.method,
            &self.target,
            &self.headers,
            body,
        ))
    }

    fn decided(
        &self,
        asked: &Asked<'_>,
        account: Option<AccountId>,
        bound: &Bound,
        payload: Payload,
        now: Time,
    ) -> Result<Authorization, Error> {
        // 1. What the request itself tells.
        let presigned = Presigned::of(&self.target);
        let mut given = self.context.clone();
        given.retain(|key, _| !key.eq_ignore_ascii_case("aws:SecureTransport"));
        given.insert(
            "aws:SecureTransport".into(),
            ContextValue::One(self.tls.to_string()),
        );
        if asked.is_s3() {
            let (target, headers) = (&self.target, &self.headers);
            signature_keys(target, headers, presigned.as_ref(), now, &mut given);
            if let Some(account) = account {
                let account = ContextValue::One(account.to_string());
                given.insert("s3:ResourceAccount".into(), account);
            }
        }
        // 2. What the policies say to it.
        let circumstances = Circumstances {
            source: self.source_ip,
            given: &given,
            traced: self.explain,
        };
        let mut answer = match asked.decide(bound, account, &circumstances)? {
            Ok(decided) => Authorization::decided(&decided, asked.is_s3()),
            Err(unmapped) => Authorization::unmapped(unmapped),
        };
        if let Asked::Mapped(call) = asked {
            answer.operation = Some(call.operation.into());
            answer.bucket.clone_from(&call.bucket);
            answer.key.clone_from(&call.key);
        }
        answer.payload = Some(payload.into());
        answer.valid_until = presigned.map(|presigned| presigned.until);
        Ok(answer)
    }

    fn asked(&self, partition: &str) -> Result<Asked<'_>, Error> {
        match (self.action.as_deref(), self.resource.as_deref()) {
            (Some(action), Some(resource)) => {
                check_named(action, resource)?;
                Ok(Asked::Named { action, resource })
            }
            (None, None) if matches!(self.service.as_deref(), None | Some("s3")) => {
                let request = S3Request {
                    method: &self.method,
                    target: &self.target,
                    headers: &self.headers,
                    body: self.body.as_deref(),
                    hosts: &self.virtual_hosts,
                    partition,
                };
                Ok(match map_s3(&request) {
                    Ok(call) => Asked::Mapped(call),
                    Err(error) => Asked::Unmapped(error),
                })
            }
            (None, None) => Err(RelyingError::NothingNamed {
                service: self.service.clone().unwrap_or_default(),
            }
            .into()),
            (Some(_), None) | (None, Some(_)) => Err(RelyingError::HalfNamed.into()),
        }
    }

    fn account(&self) -> Result<Option<AccountId>, Error> {
        Ok(match &self.resource_account {
            Some(account) => Some(account.parse()?),
            None => None,
        })
    }
}

fn check_named(action: &str, resource: &str) -> Result<(), Error> {
    if action
        .split_once(':')
        .is_none_or(|(service, name)| service.is_empty() || name.is_empty())
    {
        return Err(Error::ActionInvalid {
            action: action.into(),
        });
    }
    // A name that is no ARN would slip past every Deny that is written for ARNs.
    if resource != "*" && resource.parse::<Arn>().is_err() {
        return Err(Error::ResourceInvalid {
            resource: resource.into(),
        });
    }
    Ok(())
}

/// The hash of a body that a relying service gives.
pub(crate) fn payload_hash(text: Option<&str>) -> Result<Option<[u8; 32]>, Error> {
    let Some(text) = text else { return Ok(None) };
    let hash = sha256_of_hex(text).ok_or(Error::PayloadHashInvalid { length: text.len() })?;
    Ok(Some(hash))
}

/// What a relying service lets us know of a body.
pub(crate) fn known_body(body: Option<&[u8]>, hash: Option<[u8; 32]>) -> Body<'_> {
    match (body, hash) {
        (Some(body), _) => Body::Bytes(body),
        (None, Some(hash)) => Body::Hash(hash),
        (None, None) => Body::Unknown,
    }
}

/// The fingerprint that a relying service gives for the certificate it was shown.
pub(crate) fn shown_certificate(text: Option<&str>) -> Result<Option<[u8; 32]>, Error> {
    let Some(text) = text else { return Ok(None) };
    let hash = sha256_of_hex(text).ok_or(RelyingError::CertificateHash { length: text.len() })?;
    Ok(Some(hash))
}

fn sha256_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

impl Asked<'_> {
    fn rules(&self, service: Option<&str>) -> Rules {
        let services = match (service, self) {
            (Some("generic"), _) => Allowed::Any,
            (Some(service), _) => Allowed::only([service]),
            (None, Asked::Named { action, .. }) => {
                let service = action.split(':').next().unwrap_or_default();
                Allowed::only([service.to_ascii_lowercase()])
            }
            (None, Asked::Mapped(_) | Asked::Unmapped(_)) => Allowed::only(["s3"]),
        };
        Rules {
            services,
            ..Rules::for_relying_services()
        }
    }

    fn is_s3(&self) -> bool {
        match self {
            Asked::Named { action, .. } => action
                .get(..3)
                .is_some_and(|service| service.eq_ignore_ascii_case("s3:")),
            Asked::Mapped(_) | Asked::Unmapped(_) => true,
        }
    }

    /// Each resource once.
    fn resources(&self) -> BTreeSet<&str> {
        match self {
            Asked::Named { resource, .. } => BTreeSet::from([*resource]),
            Asked::Mapped(call) => call
                .questions
                .iter()
                .map(|question| question.resource.as_str())
                .collect(),
            Asked::Unmapped(_) => BTreeSet::from(["*"]),
        }
    }

    /// The first refusal, or else the last permission.
    fn decide(
        &self,
        bound: &Bound,
        account: Option<AccountId>,
        circumstances: &Circumstances<'_>,
    ) -> Result<Result<Decided, &S3Error>, Error> {
        match self {
            Asked::Named { action, resource } => {
                let question = Question {
                    action,
                    resource,
                    account,
                    keys: None,
                };
                bound.decide(&question, circumstances).map(Ok)
            }
            Asked::Mapped(call) => {
                decide_all(bound, &call.questions, account, circumstances).map(Ok)
            }
            Asked::Unmapped(error) => Ok(Err(error)),
        }
    }
}

/// Decides what a request of S3 asks for: the first refusal, or else the last permission.
pub fn decide_all(
    bound: &Bound,
    questions: &[S3Question],
    account: Option<AccountId>,
    circumstances: &Circumstances<'_>,
) -> Result<Decided, Error> {
    let mut last = None;
    for asked in questions {
        let question = Question {
            action: asked.action,
            resource: &asked.resource,
            account,
            keys: Some(&asked.keys),
        };
        let decided = bound.decide(&question, circumstances)?;
        if !decided.decision.is_allowed() {
            return Ok(decided);
        }
        last = Some(decided);
    }
    // A request that asks for nothing is none.
    last.ok_or_else(|| Error::internal("a request of S3 was mapped to no question"))
}

/// For how long an answer may be kept, and a derived key: so long a revocation may take to be noticed by those who
/// keep them.
pub(crate) const CACHE_SECONDS_MAX: u32 = 60;

/// Bytes that may be there, as standard base64 text.
pub(crate) mod optional_base64 {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde passes the field as it is")]
    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_some(&STANDARD.encode(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(de::Error::custom))
            .transpose()
    }
}

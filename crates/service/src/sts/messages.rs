//! What a refusal keeps from whoever is refused: sealed, for those to open who may know (DecodeAuthorizationMessage).
//!
//! Which policy refused, and what it was held against, tells an intruder where to try next; and the owner of the role
//! needs just that. So the refused is given a message that says nothing to him, and that he can hand on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bowline_policy::{Context, Decision, Effect};
use bowline_sigv4::SignatureError;
use bowline_trust::{Denial, Session};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::brief;
use crate::authorization::{Authorization, Authorize, ContextValue, MatchedStatement};
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::{Error, StsError};
use crate::operation::Operation;
use crate::service::Service;

/// A refusal, with everything that it rests on.
pub(crate) struct Denied<'a> {
    /// Who was refused.
    pub(crate) session: &'a Session,
    /// The action.
    pub(crate) action: &'a str,
    /// The resource.
    pub(crate) resource: &'a str,
    /// Whether a statement denies it, rather than none allowing it.
    pub(crate) explicit: bool,
    /// The statements that deny it.
    pub(crate) matched: &'a [MatchedStatement],
    /// Why, for those who may know.
    pub(crate) reason: &'a str,
    /// Where the request came from.
    pub(crate) source: Option<IpAddr>,
    /// The condition keys of the request.
    pub(crate) given: &'a BTreeMap<String, ContextValue>,
    /// When.
    pub(crate) now: Time,
}

impl Denied<'_> {
    /// The condition keys as they were asked about.
    fn conditions(&self) -> Context {
        let mut context = self.session.context_keys(self.now);
        for (key, value) in self.given {
            match value {
                ContextValue::One(value) => context.set(key, value.as_str()),
                ContextValue::Many(values) => {
                    context.set_many(key, values.iter().map(String::as_str));
                }
            }
        }
        if let Some(address) = self.source {
            context.set("aws:SourceIp", address.to_canonical().to_string());
        }
        context
    }

    /// The document that a decoded message is, in the form of AWS.
    fn document(&self) -> String {
        let claims = self.session.claims();
        let statements: Vec<Value> = self
            .matched
            .iter()
            .take(STATEMENTS_MAX)
            .map(|matched| {
                json!({
                    "statementId": matched.statement,
                    "effect": "DENY",
                    "sourcePolicyId": matched.policy,
                    "layer": matched.layer,
                })
            })
            .collect();
        let mut document = json!({
            "allowed": false,
            "explicitDeny": self.explicit,
            "matchedStatements": { "items": statements },
            "failures": { "items": [{ "reason": brief(self.reason.to_owned()) }] },
            "context": {
                "principal": { "id": claims.user_id(), "arn": claims.principal_arn() },
                "action": brief(self.action.to_owned()),
                "resource": brief(self.resource.to_owned()),
            },
        });
        let mut left = DOCUMENT_BYTES_MAX.saturating_sub(document.to_string().len());
        let (mut conditions, mut omitted) = (Vec::new(), 0);
        for (key, values) in self.conditions().iter() {
            let values: Vec<Value> = values
                .iter()
                .map(|value| json!({ "value": value }))
                .collect();
            let item = json!({ "key": key, "values": { "items": values } });
            match left.checked_sub(item.to_string().len()) {
                Some(rest) => {
                    left = rest;
                    conditions.push(item);
                }
                None => omitted += 1,
            }
        }
        document["context"]["conditions"] = json!({ "items": conditions });
        if omitted > 0 {
            document["context"]["conditions"]["omitted"] = json!(omitted);
        }
        document.to_string()
    }
}

impl Service {
    /// Why a session was refused, in words for that session: the reason if it may explain decisions about the resource,
    /// else a message for somebody who may.
    pub(crate) fn reason_for(&self, denied: &Denied<'_>) -> Result<String, Error> {
        match self.may_explain(denied)? {
            true => Ok(denied.reason.to_owned()),
            false => Ok(format!("{ENCODED}{}", self.encoded_denial(denied)?)),
        }
    }

    /// Whether who was refused may know why.
    fn may_explain(&self, denied: &Denied<'_>) -> Result<bool, Error> {
        self.may_know(denied.session, denied.source, denied.resource, denied.now)
    }

    /// Whether a session may know why something about a resource was refused.
    fn may_know(
        &self,
        session: &Session,
        source: Option<IpAddr>,
        resource: &str,
        now: Time,
    ) -> Result<bool, Error> {
        let given = BTreeMap::new();
        let decided = self.evaluate(session, source, EXPLAIN, resource, &given, now, false)?;
        Ok(decided.decision.is_allowed())
    }

    /// The refusal of a role, as the session that asked for it may read it: what the policies said is left to a message,
    /// unless the session may explain decisions about the role.
    pub(crate) fn veiled(&self, caller: &Caller, refusal: Error, now: Time) -> Error {
        let Caller::Session { session, source } = caller else {
            return refusal;
        };
        let Error::SessionDenied { denial, .. } = &refusal else {
            return refusal;
        };
        let Denial::NotAuthorized {
            principal,
            role_arn,
            action,
            decision,
        } = &**denial
        else {
            return refusal;
        };
        let denied = Denied {
            session,
            action,
            resource: role_arn,
            explicit: decision.effect == Effect::ExplicitDeny,
            matched: &statements(decision),
            reason: &denial.to_string(),
            source: *source,
            given: &BTreeMap::new(),
            now,
        };
        match self.may_explain(&denied) {
            Ok(true) => refusal,
            Ok(false) => match self.encoded_denial(&denied) {
                Ok(message) => StsError::AssumeRoleRefused {
                    principal: principal.clone(),
                    action,
                    role_arn: role_arn.clone(),
                    message: format!("{ENCODED}{message}"),
                }
                .into(),
                Err(error) => error,
            },
            Err(error) => error,
        }
    }

    /// A decision for a relying service elsewhere, as that may read it: why it is a refusal is left to a message, unless
    /// the relying service may explain decisions about the resource.
    pub(crate) fn veiled_decision(
        &self,
        caller: &Caller,
        signer: &Session,
        ask: &Authorize,
        mut answer: Authorization,
        now: Time,
    ) -> Result<Authorization, Error> {
        let Caller::Session { session, source } = caller else {
            return Ok(answer);
        };
        // A code says that it was no policy which refused.
        if caller.is_local() || answer.allowed() || answer.code.is_some() {
            return Ok(answer);
        }
        let Some((action, resource)) = answer.asked.clone() else {
            return Err(Error::internal("a refusal does not say what was refused"));
        };
        let denied = Denied {
            session: signer,
            action: &action,
            resource: &resource,
            explicit: answer.decision == Effect::ExplicitDeny.as_str(),
            matched: &answer.matched,
            reason: &answer.reason,
            source: ask.source_ip,
            given: &ask.context,
            now,
        };
        if self.may_know(session, *source, &resource, now)? {
            return Ok(answer);
        }
        let sentence = format!(
            "User: {} is not authorized to perform: {action} on resource: {resource}. {ENCODED}{}",
            signer.claims().principal_arn(),
            self.encoded_denial(&denied)?
        );
        if let Some(error) = &mut answer.error {
            error.message.clone_from(&sentence);
        }
        answer.reason = sentence;
        answer.matched.clear();
        answer.explain = None;
        Ok(answer)
    }

    /// A refusal as a message that [`DecodeAuthorizationMessage`] opens.
    pub(crate) fn encoded_denial(&self, denied: &Denied<'_>) -> Result<String, Error> {
        let ring = self.key_ring()?;
        let draw = draw(&*self.entropy);
        Ok(ring.seal_message(LABEL, denied.document().as_bytes(), draw))
    }
}

/// The statements that a decision rests on.
pub(crate) fn statements(decision: &Decision) -> Vec<MatchedStatement> {
    decision
        .matched
        .iter()
        .map(|matched| MatchedStatement {
            layer: matched.layer.to_string(),
            policy: matched.policy.to_string(),
            statement: matched.statement.to_string(),
        })
        .collect()
}

/// Opens the message that a refusal came with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeAuthorizationMessage {
    /// The message, as the refusal had it.
    pub encoded_message: String,
}

/// What a message says.
#[derive(Debug, Serialize, Deserialize)]
pub struct DecodedMessage {
    /// A JSON document.
    pub decoded_message: String,
}

impl Operation for DecodeAuthorizationMessage {
    const NAME: &'static str = "decode-authorization-message";
    type Answer = DecodedMessage;

    fn run(self, service: &Service, caller: &Caller) -> Result<DecodedMessage, Error> {
        known(caller)?;
        service.authorize(caller, "sts:DecodeAuthorizationMessage", "*")?;
        let message = self.encoded_message.trim();
        let opened = service
            .key_ring()?
            .open_message(LABEL, message)
            .map_err(StsError::Message)?;
        let decoded_message = String::from_utf8(opened.to_vec())
            .map_err(|_| Error::internal("a message that was sealed here is not UTF-8"))?;
        Ok(DecodedMessage { decoded_message })
    }
}

/// Tells the account that an access key belongs to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetAccessKeyInfo {
    /// Its id.
    pub access_key_id: String,
}

/// Whose an access key is.
#[derive(Debug, Serialize, Deserialize)]
pub struct AccessKeyInfo {
    /// The account of the home that gave it out.
    pub account: String,
}

impl Operation for GetAccessKeyInfo {
    const NAME: &'static str = "get-access-key-info";
    type Answer = AccessKeyInfo;

    fn run(self, service: &Service, caller: &Caller) -> Result<AccessKeyInfo, Error> {
        known(caller)?;
        service.authorize(caller, "sts:GetAccessKeyInfo", "*")?;
        // An id names the key that its secret is derived from; of whom it was given to it says nothing.
        if service.key_ring()?.secret_for(&self.access_key_id).is_err() {
            return Err(StsError::AccessKeyUnknown {
                access_key_id: brief(self.access_key_id),
            }
            .into());
        }
        Ok(AccessKeyInfo {
            account: service.settings()?.account.clone(),
        })
    }
}

/// Refuses who did not say who they are, as STS does.
fn known(caller: &Caller) -> Result<(), Error> {
    match caller {
        Caller::Operator | Caller::Session { .. } => Ok(()),
        Caller::Certificate { .. } | Caller::Nobody { .. } => {
            Err(Error::Signature(SignatureError::MissingAuthentication))
        }
    }
}

/// What whoever wants reasons must be allowed, on the resource that the refusal was about.
const EXPLAIN: &str = "bowline:ExplainDecision";

/// What stands before a message, in the words of AWS.
const ENCODED: &str = "Encoded authorization failure message: ";

/// What messages of refusals are sealed as, so that none for another purpose is decoded here.
const LABEL: &str = "authorization";

/// How long a document may become by its condition keys, in bytes: base64 makes it a third longer, and sealing adds
/// some, so that it stays under the 10,240 that STS has for an encoded message.
const DOCUMENT_BYTES_MAX: usize = 7_000;

/// How many of the statements that refused are named. One is enough to refuse.
const STATEMENTS_MAX: usize = 10;

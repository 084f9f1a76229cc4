//! The decision itself: who asks, the policies that bind them, and one question after the other.
//!
//! The same code decides here and in relying services that hold a session's facts for a while.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use bowline_policy::{
    AccountId, Arn, Context, Decision, Layers, Principal, Request, Trace, evaluate, evaluate_traced,
};
use bowline_trust::Session;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::service::Service;

/// The value of a condition key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ContextValue {
    /// One value.
    One(String),
    /// A set of values.
    Many(Vec<String>),
}

/// Who asks, and what they may do: everything of a decision that one session's requests share.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Who asks.
    pub principal: Principal,
    /// The home's account: that of resources of which neither the question nor their ARN says otherwise. Never that of
    /// the session, or a role of another account would be at home everywhere.
    pub account: AccountId,
    /// The condition keys that the session answers, those of the time included.
    pub keys: Context,
    /// The policies.
    pub layers: Layers,
}

/// One thing that must be allowed.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// `s3:PutObject`.
    pub action: &'a str,
    /// An ARN, or `*`.
    pub resource: &'a str,
    /// The account that the resource belongs to; that of its ARN, or else the home's, where nobody says otherwise.
    pub account: Option<AccountId>,
    /// Condition keys of this question alone. They go before those that all share.
    pub keys: Option<&'a BTreeMap<String, ContextValue>>,
}

/// The condition keys of a request, shared by its questions.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// What the relying service vouches for.
    pub given: &'a BTreeMap<String, ContextValue>,
    /// Whether to say how the decision came about.
    pub traced: bool,
}

/// A decision with its sentence.
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The sentence that SDK users know.
    pub sentence: String,
    /// The action that was asked about, and the resource.
    pub(crate) asked: (String, String),
    pub(crate) trace: Option<Trace>,
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

impl Decided {
    pub(super) fn matched(&self) -> Vec<MatchedStatement> {
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

impl Bound {
    /// Decides one question.
    ///
    /// Refused where somebody vouches for a key that tells who signed: only the session itself says that.
    pub fn decide(
        &self,
        question: &Question<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Result<Decided, Error> {
        let mut context = self.keys.clone();
        for (key, value) in circumstances.given {
            if is_reserved(key) {
                return Err(Error::ContextKeyReserved { key: key.clone() });
            }
            set(&mut context, key, value);
        }
        if let Some(address) = circumstances.source {
            context.set("aws:SourceIp", address.to_canonical().to_string());
        }
        for (key, value) in question.keys.into_iter().flatten() {
            set(&mut context, key, value);
        }
        let request = Request {
            principal: self.principal.clone(),
            action: question.action.into(),
            resource: question.resource.into(),
            account: question
                .account
                .or_else(|| question.resource.parse::<Arn>().ok()?.account_id())
                .unwrap_or(self.account),
            context,
        };
        let (decision, trace) = if circumstances.traced {
            let (decision, trace) = evaluate_traced(&self.layers, &request);
            (decision, Some(trace))
        } else {
            (evaluate(&self.layers, &request), None)
        };
        let sentence = decision.message(&request);
        Ok(Decided {
            decision,
            sentence,
            asked: (request.action, request.resource),
            trace,
        })
    }
}

fn set(context: &mut Context, key: &str, value: &ContextValue) {
    match value {
        ContextValue::One(value) => context.set(key, value.as_str()),
        ContextValue::Many(values) => context.set_many(key, values.iter().map(String::as_str)),
    }
}

fn is_reserved(key: &str) -> bool {
    let key: Cow<'_, str> = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        key.to_ascii_lowercase().into()
    } else {
        key.into()
    };
    RESERVED.iter().any(|reserved| key.starts_with(reserved))
}

impl Service {
    /// A session, ready to be decided on. The role is read now: a change of its policies acts at once.
    pub(crate) fn bound(&self, session: &Session, now: Time) -> Result<Bound, Error> {
        Ok(Bound {
            principal: session.principal().clone(),
            account: self.settings()?.account_id()?,
            keys: session.context_keys(now),
            layers: self.session_layers(session)?,
        })
    }

    /// What the policies of a session say to one action of our own, which vouches for its keys itself.
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
        keys: &BTreeMap<String, ContextValue>,
        now: Time,
        traced: bool,
    ) -> Result<Decided, Error> {
        let question = Question {
            action,
            resource,
            account: None,
            keys: Some(keys),
        };
        let circumstances = Circumstances {
            source,
            given: &BTreeMap::new(),
            traced,
        };
        self.bound(session, now)?.decide(&question, &circumstances)
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

//! The answer to a request, in the words SDK users know.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::error::Position;
use crate::request::Request;

/// The answer, the layer that made it, and the statements it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Yes, or which kind of no.
    pub effect: Effect,
    /// The layer that decided: the one that granted, or the first one that refused.
    pub layer: Layer,
    /// On an explicit deny every statement that denies; on an allow every statement that allows;
    /// on an implicit deny none.
    pub matched: Vec<Matched>,
    /// Whether the evaluation was ended by [`STEPS_MAX`](crate::STEPS_MAX), which denies.
    pub limit_reached: bool,
}

impl Decision {
    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// The reason as a clause, worded as AWS words it: `because no session policy allows the
    /// s3:PutObject action`, `with an explicit deny in a session policy`.
    pub fn reason(&self, action: &str) -> String {
        if self.limit_reached {
            let limit = crate::STEPS_MAX;
            return format!("because the evaluation took more than {limit} steps");
        }
        let policy = self.layer.noun();
        match self.effect {
            Effect::Allow => format!(
                "because {} allows the {action} action",
                with_article(policy)
            ),
            Effect::ExplicitDeny => format!("with an explicit deny in {}", with_article(policy)),
            Effect::ImplicitDeny => format!("because no {policy} allows the {action} action"),
        }
    }

    /// The whole sentence SDK users know: `User: … is not authorized to perform: … on resource: …
    /// because …`.
    pub fn message(&self, request: &Request) -> String {
        let verb = if self.is_allowed() { "is" } else { "is not" };
        format!(
            "User: {} {verb} authorized to perform: {} on resource: {} {}",
            request.principal,
            request.action,
            request.resource,
            self.reason(&request.action)
        )
    }
}

/// The three possible answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Every layer that must allow does, and nothing denies.
    Allow,
    /// A statement denies.
    ExplicitDeny,
    /// A layer that must allow does not.
    ImplicitDeny,
}

impl Effect {
    /// The stable name: `allow`, `explicit_deny`, `implicit_deny`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::ExplicitDeny => "explicit_deny",
            Self::ImplicitDeny => "implicit_deny",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A layer of policies, in the order they are consulted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Service control policies.
    Guardrail,
    /// The policy of the resource.
    Resource,
    /// The trust policy of the role to be assumed.
    Trust,
    /// The policies of the role or user.
    Identity,
    /// The permissions boundary.
    Boundary,
    /// Session policies, with the name of their layer.
    Session(Arc<str>),
}

impl Layer {
    fn noun(&self) -> &'static str {
        match self {
            Self::Guardrail => "service control policy",
            Self::Resource => "resource-based policy",
            Self::Trust => "role trust policy",
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session(_) => "session policy",
        }
    }
}

/// `guardrail`, `resource`, `trust`, `identity`, `boundary`, `session/NAME`.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guardrail => f.write_str("guardrail"),
            Self::Resource => f.write_str("resource"),
            Self::Trust => f.write_str("trust"),
            Self::Identity => f.write_str("identity"),
            Self::Boundary => f.write_str("boundary"),
            Self::Session(name) if name.is_empty() => f.write_str("session"),
            Self::Session(name) => write!(f, "session/{name}"),
        }
    }
}

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A statement that bears on the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// The layer its policy stands in.
    pub layer: Layer,
    /// The name of its policy.
    #[serde(serialize_with = "as_text")]
    pub policy: Arc<str>,
    /// Which statement of the policy.
    pub statement: StatementRef,
}

/// `session/profile profile/default#ReadOnly (3:7)`.
impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statement = &self.statement;
        let position = statement.position;
        write!(f, "{} {}#{statement} ({position})", self.layer, self.policy)
    }
}

/// Which statement of a policy: by its Sid, or else by its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementRef {
    /// The Sid, where it has one.
    #[serde(serialize_with = "as_optional_text")]
    pub sid: Option<Arc<str>>,
    /// Counted from 0.
    pub index: usize,
    /// Where the statement begins in the policy's text.
    pub position: Position,
}

/// The Sid, else the index.
impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sid {
            Some(sid) => f.write_str(sid),
            None => self.index.fmt(f),
        }
    }
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with('i') { "an" } else { "a" };
    format!("{article} {noun}")
}

pub(crate) fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn as_optional_text<S: Serializer>(
    text: &Option<Arc<str>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

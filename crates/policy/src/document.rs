//! A policy: its text, checked against the grammar and compiled once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{PolicyError, Problem};
use crate::source::{Member, Node, Source};
use crate::statement::Statement;

/// A policy document that keeps to the grammar. Cloning is cheap.
#[derive(Clone)]
pub struct Policy {
    inner: Arc<Inner>,
}

struct Inner {
    text: Box<str>,
    kind: PolicyKind,
    statements: Vec<Statement>,
}

impl Policy {
    /// Reads a document and refuses whatever the grammar, or this kind of policy, does not have.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        let (source, root) = Source::open(text)?;
        let members = source.object(root, POLICY)?;
        let mut version = Version::V2008;
        let mut statements = None;
        // 1. The elements around the statements. The version may stand after them.
        for Member { name, at, value } in members {
            match &*name {
                "Version" => version = Version::parse(&source, value)?,
                "Id" => {
                    source.string(value, "Id")?;
                }
                "Statement" => statements = Some(value),
                _ => {
                    let problem = Problem::UnknownElement {
                        name: name.into_owned(),
                        place: POLICY,
                    };
                    return Err(source.error(at, problem));
                }
            }
        }
        let missing = Problem::Missing {
            element: "Statement",
            place: POLICY,
        };
        let statements = statements.ok_or_else(|| source.error(root, missing))?;
        // 2. The statements, in order.
        let statements = source
            .one_or_many(statements)?
            .into_iter()
            .enumerate()
            .map(|(index, node)| Statement::compile(&source, node, index, kind, version))
            .collect::<Result<Vec<_>, _>>()?;
        // 3. What binds them together.
        let mut seen = BTreeSet::new();
        for statement in &statements {
            let sid = statement.reference.sid.as_deref().unwrap_or_default();
            if !sid.is_empty() && !seen.insert(sid) {
                return Err(PolicyError {
                    position: statement.reference.position,
                    problem: Problem::DuplicateSid {
                        sid: sid.to_owned(),
                    },
                });
            }
        }
        let inner = Inner {
            text: text.into(),
            kind,
            statements,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// What the policy is for.
    pub fn kind(&self) -> PolicyKind {
        self.inner.kind
    }

    /// How many statements it has.
    pub fn statement_count(&self) -> usize {
        self.inner.statements.len()
    }

    /// The size that quotas count: characters without white space.
    pub fn quota_characters(&self) -> usize {
        let counted = |c: &char| !c.is_whitespace();
        self.inner.text.chars().filter(counted).count()
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.inner.statements
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("kind", &self.inner.kind)
            .field("text", &self.inner.text)
            .finish()
    }
}

/// Policies are equal when their kinds and texts are.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.inner.kind == other.inner.kind && self.inner.text == other.inner.text
    }
}

impl Eq for Policy {}

/// What a policy is for; the elements it may have depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyKind {
    /// What a role or user is allowed.
    Identity,
    /// What narrows one session.
    Session,
    /// What a role or user may not exceed.
    Boundary,
    /// What nobody may exceed.
    Guardrail,
    /// Who may assume a role.
    Trust,
    /// Who may use a resource.
    Resource,
}

impl PolicyKind {
    /// The most characters, white space not counted, that AWS lets such a policy have.
    ///
    /// Parsing does not enforce it: a document is read wherever it comes from, and what may be
    /// stored or sent is for the caller to say.
    pub fn quota_characters(self) -> usize {
        match self {
            Self::Identity => 10_240,
            Self::Session => 2_048,
            Self::Boundary => 6_144,
            Self::Guardrail => 5_120,
            Self::Trust => 4_096,
            Self::Resource => 20_480,
        }
    }

    /// Whether its statements name principals.
    pub(crate) fn names_principals(self) -> bool {
        matches!(self, Self::Trust | Self::Resource)
    }
}

/// With its article: `a trust policy`.
impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "an identity policy",
            Self::Session => "a session policy",
            Self::Boundary => "a permissions boundary",
            Self::Guardrail => "a guardrail",
            Self::Trust => "a trust policy",
            Self::Resource => "a resource policy",
        })
    }
}

/// The version of the language. Only the newer one has variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V2008,
    V2012,
}

impl Version {
    fn parse<'a>(source: &Source<'a>, node: Node<'a>) -> Result<Self, PolicyError> {
        match &*source.string(node, "Version")? {
            "2012-10-17" => Ok(Self::V2012),
            "2008-10-17" => Ok(Self::V2008),
            other => {
                let found = other.to_owned();
                Err(source.error(node, Problem::Version { found }))
            }
        }
    }
}

/// The most bytes of text that are read: twice the largest body the control plane takes, so only
/// a local file can be refused for it.
pub const POLICY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The deepest nesting of objects and arrays. The grammar itself reaches 6: document, statements,
/// statement, condition, operator, values.
pub const NESTING_MAX: usize = 8;

const POLICY: &str = "the policy";

#[cfg(test)]
mod tests;

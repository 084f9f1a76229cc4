//! Why a policy is refused, and where.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::document::PolicyKind;

/// A policy that is refused: the place and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem} (at {position})")]
pub struct PolicyError {
    /// Where the offending element begins.
    pub position: Position,
    /// Which rule, with what was found.
    pub problem: Problem,
}

impl PolicyError {
    /// The stable name of the rule.
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }
}

/// A place in a policy's text, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// `12:7`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The rule a policy breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// More text than is read.
    #[error("a policy of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What was given.
        bytes: usize,
        /// [`POLICY_BYTES_MAX`](crate::POLICY_BYTES_MAX).
        limit: usize,
    },
    /// Deeper than a policy can be.
    #[error("the document nests deeper than {limit} levels")]
    TooDeep {
        /// [`NESTING_MAX`](crate::NESTING_MAX).
        limit: usize,
    },
    /// Not JSON.
    #[error("not valid JSON: {message}")]
    Syntax {
        /// What the reader says.
        message: String,
    },
    /// Another JSON type than the element takes.
    #[error("{element} must be {expected}, not {found}")]
    Type {
        /// The element.
        element: String,
        /// What it takes.
        expected: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// A name the grammar does not have; names are case-sensitive.
    #[error("there is no element \"{name}\" in {place}")]
    UnknownElement {
        /// The name.
        name: String,
        /// The object it stands in.
        place: &'static str,
    },
    /// The same name twice in one object.
    #[error("\"{name}\" occurs twice in {place}")]
    Duplicate {
        /// The name.
        name: String,
        /// The object it stands in.
        place: String,
    },
    /// A required element is not there.
    #[error("{place} has no {element}")]
    Missing {
        /// What is required.
        element: &'static str,
        /// The object that lacks it.
        place: &'static str,
    },
    /// Two elements that exclude each other.
    #[error("{first} and {second} exclude each other")]
    Exclusive {
        /// The one.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A list or object that must hold something.
    #[error("{element} is empty")]
    Empty {
        /// The element.
        element: String,
    },
    /// An element that this kind of policy does not have.
    #[error("{element} is not possible in {kind}")]
    NotInKind {
        /// The element, with its value where that matters.
        element: &'static str,
        /// The kind of policy.
        kind: PolicyKind,
    },
    /// A version of the language that does not exist.
    #[error("the version is 2012-10-17 or 2008-10-17, not \"{found}\"")]
    Version {
        /// What was given.
        found: String,
    },
    /// Neither `Allow` nor `Deny`.
    #[error("Effect is \"Allow\" or \"Deny\", not \"{found}\"")]
    Effect {
        /// What was given.
        found: String,
    },
    /// The same Sid twice.
    #[error("the Sid \"{sid}\" is used twice")]
    DuplicateSid {
        /// The Sid.
        sid: String,
    },
    /// Not an action pattern.
    #[error(
        "an action is \"*\" or \"service:Name\" of letters, digits, - _ . * and ?, not \"{found}\""
    )]
    Action {
        /// What was given.
        found: String,
    },
    /// An action that has no meaning in a trust policy.
    #[error("\"{found}\" is no action of a trust policy; those are {known}")]
    TrustAction {
        /// What was given.
        found: String,
        /// The actions there are.
        known: String,
    },
    /// Not a resource pattern.
    #[error("a resource is \"*\" or an ARN with six fields, not \"{found}\"")]
    Resource {
        /// What was given.
        found: String,
    },
    /// Not a principal.
    #[error("\"{found}\" is not a principal: {reason}")]
    Principal {
        /// What was given.
        found: String,
        /// The rule.
        reason: &'static str,
    },
    /// Not a condition operator.
    #[error("there is no condition operator \"{found}\"")]
    Operator {
        /// What was given.
        found: String,
    },
    /// Not a condition key.
    #[error("a condition key is \"prefix:name\", not \"{found}\"")]
    ConditionKey {
        /// What was given.
        found: String,
    },
    /// An operator that never matches a key with several values.
    #[error("{key} has several values: {operator} needs ForAllValues: or ForAnyValue: before it")]
    Multivalued {
        /// The key.
        key: String,
        /// The operator.
        operator: String,
    },
    /// A `${…}` that cannot be read.
    #[error("the variable in \"{found}\" is not valid: {reason}")]
    Variable {
        /// The value that holds it.
        found: String,
        /// The rule.
        reason: &'static str,
    },
    /// A `${…}` where none is possible.
    #[error("\"{found}\" has a variable where none is possible: {place}")]
    VariablePlace {
        /// The value that holds it.
        found: String,
        /// Where variables are possible instead.
        place: &'static str,
    },
}

impl Problem {
    /// The stable name of the rule.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "policy_too_large",
            Self::TooDeep { .. } => "policy_too_deep",
            Self::Syntax { .. } => "policy_not_json",
            Self::Type { .. } => "policy_wrong_type",
            Self::UnknownElement { .. } => "policy_unknown_element",
            Self::Duplicate { .. } => "policy_duplicate_element",
            Self::Missing { .. } => "policy_missing_element",
            Self::Exclusive { .. } => "policy_exclusive_elements",
            Self::Empty { .. } => "policy_empty_element",
            Self::NotInKind { .. } => "policy_element_not_in_kind",
            Self::Version { .. } => "policy_unknown_version",
            Self::Effect { .. } => "policy_unknown_effect",
            Self::DuplicateSid { .. } => "policy_duplicate_sid",
            Self::Action { .. } => "policy_bad_action",
            Self::TrustAction { .. } => "policy_not_a_trust_action",
            Self::Resource { .. } => "policy_bad_resource",
            Self::Principal { .. } => "policy_bad_principal",
            Self::Operator { .. } => "policy_unknown_operator",
            Self::ConditionKey { .. } => "policy_bad_condition_key",
            Self::Multivalued { .. } => "policy_missing_qualifier",
            Self::Variable { .. } => "policy_bad_variable",
            Self::VariablePlace { .. } => "policy_variable_not_possible",
        }
    }
}

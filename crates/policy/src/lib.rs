//! The IAM policy language: parse, evaluate in layers, explain.
//!
//! A [`Policy`] is parsed and compiled once; [`evaluate`] holds a [`Request`] against [`Layers`]
//! of policies and gives a [`Decision`]; [`evaluate_traced`] is the same evaluation, watched, and
//! gives a [`Trace`] too. Nothing here reads files, clocks or the network: what a policy may ask
//! about stands in the request's [`Context`].
//!
//! # Where the language leaves a choice
//!
//! Documents
//! - Operator names are read in any case and printed in the documented one. The same operator
//!   twice in one condition, or one key twice in one operator block in different case, is refused.
//! - Empty lists of actions, resources, principals or condition values are refused, and so is an
//!   empty operator block. An empty `Condition` and an empty list of statements are accepted:
//!   the second allows nothing.
//! - A Sid may be used once in a policy; its alphabet is not restricted, nor is the text's.
//! - `Resource` is optional in resource policies: absent, it is what the policy hangs on.
//! - Actions of a trust policy must begin with `sts:` and match one of [`TRUST_ACTIONS`]; its
//!   `"Principal": {"AWS": "*"}` is accepted as AWS accepts it, `"Principal": "*"` is not.
//! - A principal is `*` (alone, under `AWS`), an account id, a full ARN, a service or a provider;
//!   the identifiers AWS shows in place of deleted principals are refused.
//! - [`MULTIVALUED_KEYS`] need a set qualifier; an operator without one is refused.
//! - Variables outside field 6 of a resource and outside String and ARN operators are refused
//!   under version 2012-10-17 and are literal text under 2008-10-17.
//! - Sizes: [`POLICY_BYTES_MAX`] and [`NESTING_MAX`] bound what is read. The quotas of AWS
//!   ([`PolicyKind::quota_characters`]) are for the caller to apply.
//!
//! Conditions
//! - A value of the wrong type, on either side, equals nothing: positive operators fail, negated
//!   ones hold. Nothing is refused for it, because the documents say `1abc` never matches.
//! - `ForAnyValue:…IfExists` holds where the key is missing.
//! - Under a set qualifier a key of nothing but empty strings counts as missing.
//! - A key set with several values never matches an operator without a set qualifier, not even
//!   a negated one and not even when it holds one value.
//! - Four digits are a year; any other run of digits is seconds since 1970. More than nine digits
//!   of a fraction are cut off.
//! - IPv4, IPv6 and IPv4-mapped addresses never match each other: give addresses in one form.
//! - `ArnEquals` is `ArnLike`; a lone `*` matches every ARN.
//! - Keys fold ASCII case; `…IgnoreCase` folds Unicode lower case.
//!
//! Combining
//! - Inside a session layer one Allow suffices; every layer must allow; a Deny counts anywhere.
//! - A resource policy that names everybody is an allowance like naming the role: boundaries and
//!   session policies still narrow it. One that names the account leaves the decision to the
//!   account's own policies.
//! - Services, federated principals and strangers have no policies: the resource policy decides,
//!   within whatever guardrail, boundary and session layers are given.
//! - Trust policies and the policies of KMS keys must allow even inside their own account.
//! - An evaluation that takes more than [`STEPS_MAX`] steps denies and says so.

mod arn;
mod condition;
mod context;
mod decision;
mod document;
mod error;
mod evaluate;
mod operator;
mod pattern;
mod principal;
mod request;
mod source;
mod statement;
mod tag;
mod trace;
mod value;

pub use arn::{ARN_BYTES_MAX, AccountId, AccountIdError, Arn, ArnError};
pub use condition::MULTIVALUED_KEYS;
pub use context::Context;
pub use decision::{Decision, Effect, Layer, Matched, StatementRef};
pub use document::{NESTING_MAX, POLICY_BYTES_MAX, Policy, PolicyKind};
pub use error::{PolicyError, Position, Problem};
pub use evaluate::{STEPS_MAX, evaluate, evaluate_traced, evaluate_trust, evaluate_trust_traced};
pub use principal::Principal;
pub use request::{Layers, NamedPolicy, Request, SessionLayer};
pub use statement::TRUST_ACTIONS;
pub use tag::{SESSION_TAGS_MAX, TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX, Tag, TagError};
pub use trace::{FailedTest, LayerResult, LayerTrace, NEAREST_MAX, NearMiss, Trace, Why};

//! What is asked, and the policies it is held against.

use std::sync::Arc;

use crate::arn::AccountId;
use crate::context::Context;
use crate::document::Policy;
use crate::principal::Principal;

/// One question: may this principal do this to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub principal: Principal,
    /// The action, such as `s3:GetObject`; compared without regard to case.
    pub action: String,
    /// The ARN of the resource, or `*` for an action that has none.
    pub resource: String,
    /// The account that owns the resource. S3 names do not tell it, so the caller must.
    pub account: AccountId,
    /// Condition keys.
    pub context: Context,
}

/// A policy with the name that traces show, such as `role/web/inline`.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Where the policy comes from.
    pub name: Arc<str>,
    /// The policy.
    pub policy: Policy,
}

impl NamedPolicy {
    /// Names a policy.
    pub fn new(name: impl Into<Arc<str>>, policy: Policy) -> Self {
        Self {
            name: name.into(),
            policy,
        }
    }
}

/// Every policy that bears on a request, by the part it plays.
///
/// An absent layer (`None`, or no session layer) limits nothing. A present layer without a
/// matching Allow denies, an empty one too.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// What nobody in the organisation may exceed (service control policies).
    pub guardrail: Option<Vec<NamedPolicy>>,
    /// What the role or user is allowed.
    pub identity: Vec<NamedPolicy>,
    /// What the role or user may not exceed.
    pub boundary: Option<Vec<NamedPolicy>>,
    /// What narrows the session: one Allow inside a layer suffices, every layer must allow.
    pub sessions: Vec<SessionLayer>,
    /// What the resource says: a bucket policy, or the trust policy of a role to be assumed.
    pub resource: Option<NamedPolicy>,
}

/// Session policies that were passed together: inline and managed ones of one call.
#[derive(Debug, Clone)]
pub struct SessionLayer {
    /// Shown in traces as `session/NAME`: `profile`, `request`.
    pub name: Arc<str>,
    /// One Allow among them suffices.
    pub policies: Vec<NamedPolicy>,
}

impl SessionLayer {
    /// Names a layer.
    pub fn new(name: impl Into<Arc<str>>, policies: Vec<NamedPolicy>) -> Self {
        Self {
            name: name.into(),
            policies,
        }
    }
}

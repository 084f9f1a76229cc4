//! `policy`: decisions over layers of policies.

use std::collections::BTreeMap;

use bowline_policy::{
    AccountId, Context, Layers, NamedPolicy, Policy, PolicyKind, Principal, Request, SessionLayer,
    evaluate,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Rejection, read, reject};
use crate::authorization::ContextValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyCase<'a> {
    #[serde(rename = "id")]
    _id: Value,
    request: PolicyRequestCase,
    // Documents stay text: a parsed value would have lost repeated keys.
    #[serde(borrow)]
    identity: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    session: Option<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    boundary: Option<&'a RawValue>,
    #[serde(default, borrow)]
    guardrail: Option<&'a RawValue>,
    #[serde(default, borrow)]
    resource_policy: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyRequestCase {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, ContextValue>,
}

impl PolicyCase<'_> {
    pub(super) fn answer(&self) -> Result<Value, Rejection> {
        let layers = Layers {
            guardrail: documents(self.guardrail, "guardrail", PolicyKind::Guardrail)?,
            identity: named("identity", &self.identity, PolicyKind::Identity)?,
            boundary: documents(self.boundary, "boundary", PolicyKind::Boundary)?,
            sessions: match &self.session {
                Some(policies) => vec![SessionLayer::new(
                    "session",
                    named("session", policies, PolicyKind::Session)?,
                )],
                None => Vec::new(),
            },
            resource: match self.resource_policy {
                Some(document) if document.get() != "null" => Some(NamedPolicy::new(
                    "resource/0",
                    resource_policy(document, &self.request)?,
                )),
                Some(_) | None => None,
            },
        };
        let request = self.request.request()?;
        let decision = evaluate(&layers, &request);
        let matched: Vec<Value> = decision
            .matched
            .iter()
            .map(|matched| {
                json!({
                    "layer": matched.layer.to_string(),
                    "policy": &*matched.policy,
                    "statement": matched.statement.to_string(),
                })
            })
            .collect();
        Ok(
            json!({ "decision": decision.effect.as_str(), "matched": matched, "detail": decision.message(&request) }),
        )
    }
}

impl PolicyRequestCase {
    fn request(&self) -> Result<Request, Rejection> {
        let malformed = |what: &str, error: &dyn std::fmt::Display| {
            reject("case_malformed", format!("{what}: {error}"))
        };
        let principal: Principal = self
            .principal
            .parse()
            .map_err(|error| malformed("principal", &error))?;
        let account = match &self.account {
            Some(text) => text
                .parse::<AccountId>()
                .map_err(|error| malformed("account", &error))?,
            None => principal
                .account()
                .ok_or_else(|| reject("case_malformed", "the request names no account"))?,
        };
        let mut context = Context::new();
        for (key, value) in &self.context {
            match value {
                ContextValue::One(value) => context.set(key, value.as_str()),
                ContextValue::Many(values) => {
                    context.set_many(key, values.iter().map(String::as_str));
                }
            }
        }
        Ok(Request {
            principal,
            action: self.action.clone(),
            resource: self.resource.clone(),
            account,
            context,
        })
    }
}

/// One document, a list of them, or none.
fn documents(
    raw: Option<&RawValue>,
    layer: &str,
    kind: PolicyKind,
) -> Result<Option<Vec<NamedPolicy>>, Rejection> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else {
        return Ok(None);
    };
    let list = if raw.get().starts_with('[') {
        read::<Vec<&RawValue>>(raw.get())?
    } else {
        vec![raw]
    };
    named(layer, &list, kind).map(Some)
}

fn named(
    layer: &str,
    documents: &[&RawValue],
    kind: PolicyKind,
) -> Result<Vec<NamedPolicy>, Rejection> {
    documents
        .iter()
        .enumerate()
        .map(|(index, document)| {
            Ok(NamedPolicy::new(
                format!("{layer}/{index}"),
                Policy::parse(document.get(), kind)?,
            ))
        })
        .collect()
}

/// The policy of a role is its trust policy; that of anything else a resource policy.
fn resource_policy(document: &RawValue, request: &PolicyRequestCase) -> Result<Policy, Rejection> {
    let of_role = request.action.to_ascii_lowercase().starts_with("sts:")
        && request.resource.split(':').nth(2) == Some("iam")
        && request
            .resource
            .splitn(6, ':')
            .nth(5)
            .is_some_and(|name| name.starts_with("role/"));
    let kind = if of_role {
        PolicyKind::Trust
    } else {
        PolicyKind::Resource
    };
    Ok(Policy::parse(document.get(), kind)?)
}

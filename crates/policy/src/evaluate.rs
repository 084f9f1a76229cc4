//! Holds a request against its layers of policies.

use std::ops::ControlFlow;

use crate::decision::{Decision, Effect, Layer, Matched};
use crate::document::PolicyKind;
use crate::pattern::Steps;
use crate::principal::Named;
use crate::request::{Layers, NamedPolicy, Request};
use crate::statement::{Statement, Uncovered, resource_fields};
use crate::trace::{Element, Failure, Recorder, Trace, Why};

/// Decides a request.
pub fn evaluate(layers: &Layers, request: &Request) -> Decision {
    run(layers, request, STEPS_MAX, &mut Silent)
}

/// Decides a request and tells how: the same evaluation, watched.
pub fn evaluate_traced(layers: &Layers, request: &Request) -> (Decision, Trace) {
    let mut recorder = Recorder::new(request);
    let decision = run(layers, request, STEPS_MAX, &mut recorder);
    let trace = recorder.finish(&decision);
    (decision, trace)
}

/// Decides by one trust policy alone, for a principal that has no policies of its own.
///
/// Assuming a role from the session of another role needs [`evaluate`] with the session's own
/// layers beside the trust policy.
pub fn evaluate_trust(trust: &NamedPolicy, request: &Request) -> Decision {
    evaluate(&trust_alone(trust), request)
}

/// As [`evaluate_trust`], and tells how.
pub fn evaluate_trust_traced(trust: &NamedPolicy, request: &Request) -> (Decision, Trace) {
    evaluate_traced(&trust_alone(trust), request)
}

/// Watches an evaluation. It can look at every test, and decide nothing.
pub(crate) trait Observer<'a> {
    /// A test of a statement failed; `Break` skips the statement's other tests.
    fn failed(&mut self, failure: Failure<'a>) -> ControlFlow<()>;

    /// All tests of a statement are done.
    fn statement_done(&mut self, _policy: &'a NamedPolicy, _statement: &'a Statement) {}

    /// All policies of a layer are done.
    fn layer_done(&mut self, _layer: Layer, _outcome: Option<&Outcome>) {}
}

/// Watches nothing, at no cost.
struct Silent;

impl<'a> Observer<'a> for Silent {
    fn failed(&mut self, _: Failure<'a>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// What a present layer says.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) denies: Vec<Matched>,
    pub(crate) allows: Vec<Matched>,
    /// How closely its Allow statements name the principal.
    named: Option<Named>,
}

impl Outcome {
    fn allows(&self) -> bool {
        !self.allows.is_empty()
    }
}

/// The request, prepared once.
struct Question<'a> {
    request: &'a Request,
    resource: Option<[&'a str; 6]>,
    steps: Steps,
}

fn run<'a, O: Observer<'a>>(
    layers: &'a Layers,
    request: &'a Request,
    steps_max: u64,
    observer: &mut O,
) -> Decision {
    let question = Question {
        request,
        resource: resource_fields(&request.resource),
        steps: Steps::new(steps_max),
    };
    // 1. Ask every layer; a Deny counts wherever it stands.
    let guardrail = layers.guardrail.as_deref();
    let guardrail = ask(Layer::Guardrail, guardrail, &question, observer);
    let resource_layer = resource_layer(layers);
    let resource = layers.resource.as_ref().map(std::slice::from_ref);
    let resource = ask(resource_layer.clone(), resource, &question, observer);
    let has_identity = request.principal.has_identity();
    let identity = (has_identity || !layers.identity.is_empty()).then_some(&*layers.identity);
    let identity = ask(Layer::Identity, identity, &question, observer);
    let boundary = ask(
        Layer::Boundary,
        layers.boundary.as_deref(),
        &question,
        observer,
    );
    let mut sessions = Vec::with_capacity(layers.sessions.len());
    for session in &layers.sessions {
        let layer = Layer::Session(session.name.clone());
        sessions.push((
            layer.clone(),
            ask(layer, Some(&session.policies), &question, observer),
        ));
    }
    let answers = Answers {
        guardrail,
        resource_layer,
        resource,
        identity,
        boundary,
        sessions,
    };
    // 2. Combine what they say.
    let (effect, layer) = answers.combine(layers, &question);
    // 3. An evaluation cut short has seen too little to allow anything.
    let limit_reached = question.steps.left() == 0;
    let effect = match effect {
        Effect::Allow if limit_reached => Effect::ImplicitDeny,
        effect => effect,
    };
    Decision {
        effect,
        layer,
        matched: answers.matched(effect),
        limit_reached,
    }
}

/// What every layer says; absent ones say nothing.
struct Answers {
    guardrail: Option<Outcome>,
    resource_layer: Layer,
    resource: Option<Outcome>,
    identity: Option<Outcome>,
    boundary: Option<Outcome>,
    sessions: Vec<(Layer, Option<Outcome>)>,
}

impl Answers {
    /// The evaluation logic of AWS, in its order.
    fn combine(&self, layers: &Layers, question: &Question<'_>) -> (Effect, Layer) {
        let request = question.request;
        // 1. An explicit deny anywhere.
        if let Some(deny) = self.all().find_map(|outcome| outcome.denies.first()) {
            return (Effect::ExplicitDeny, deny.layer.clone());
        }
        let refuse = |layer: Layer| (Effect::ImplicitDeny, layer);
        // 2. The guardrail.
        if refuses(self.guardrail.as_ref()) {
            return refuse(Layer::Guardrail);
        }
        // 3. The resource policy. It must allow where the principal has no policies of its own,
        //    where it belongs to another account, and where the service wants it so.
        let named = self.resource.as_ref().and_then(|outcome| outcome.named);
        let same_account = request.principal.account() == Some(request.account);
        let has_identity = request.principal.has_identity();
        let must_allow = !has_identity || !same_account || insists(layers, question);
        if must_allow && named.is_none() {
            return refuse(self.resource_layer.clone());
        }
        let granted_by_resource = (same_account || !has_identity) && named >= Some(Named::Role);
        let itself = same_account && named == Some(Named::Itself);
        if itself && request.principal.is_session() {
            return (Effect::Allow, self.resource_layer.clone());
        }
        // 4. The identity policies.
        let granted_by_identity =
            has_identity && self.identity.as_ref().is_some_and(Outcome::allows);
        if !granted_by_resource && !granted_by_identity {
            return refuse(Layer::Identity);
        }
        // 5. The boundary; a user whom the resource names is past it. 6. Every session layer.
        if !itself && refuses(self.boundary.as_ref()) {
            return refuse(Layer::Boundary);
        }
        let narrowing = self.sessions.iter();
        if let Some((layer, _)) = narrowing.clone().find(|(_, said)| refuses(said.as_ref())) {
            return refuse(layer.clone());
        }
        // 7. Nothing is left to object.
        let layer = if granted_by_identity {
            Layer::Identity
        } else {
            self.resource_layer.clone()
        };
        (Effect::Allow, layer)
    }

    /// The statements an answer rests on.
    fn matched(self, effect: Effect) -> Vec<Matched> {
        let sessions = self.sessions.into_iter().map(|(_, outcome)| outcome);
        [self.guardrail, self.resource, self.identity, self.boundary]
            .into_iter()
            .chain(sessions)
            .flatten()
            .flat_map(|outcome| match effect {
                Effect::Allow => outcome.allows,
                Effect::ExplicitDeny => outcome.denies,
                Effect::ImplicitDeny => Vec::new(),
            })
            .collect()
    }

    fn all(&self) -> impl Iterator<Item = &Outcome> {
        [
            &self.guardrail,
            &self.resource,
            &self.identity,
            &self.boundary,
        ]
        .into_iter()
        .chain(self.sessions.iter().map(|(_, outcome)| outcome))
        .flatten()
    }
}

/// A present layer that does not allow; an absent one refuses nothing.
fn refuses(outcome: Option<&Outcome>) -> bool {
    outcome.is_some_and(|outcome| !outcome.allows())
}

/// Trust policies, and the policies of some services, must allow even inside their own account.
fn insists(layers: &Layers, question: &Question<'_>) -> bool {
    let Some(resource) = &layers.resource else {
        return false;
    };
    let service = question.resource.map_or("", |fields| fields[2]);
    resource.policy.kind() == PolicyKind::Trust || INSISTENT_SERVICES.contains(&service)
}

fn resource_layer(layers: &Layers) -> Layer {
    match &layers.resource {
        Some(named) if named.policy.kind() == PolicyKind::Trust => Layer::Trust,
        _ => Layer::Resource,
    }
}

/// Asks the policies of one layer. `None` where the layer is absent.
fn ask<'a, O: Observer<'a>>(
    layer: Layer,
    policies: Option<&'a [NamedPolicy]>,
    question: &Question<'a>,
    observer: &mut O,
) -> Option<Outcome> {
    let Some(policies) = policies else {
        observer.layer_done(layer, None);
        return None;
    };
    let mut outcome = Outcome::default();
    for policy in policies {
        for statement in policy.policy.statements() {
            let applies = test(statement, question, observer);
            observer.statement_done(policy, statement);
            let Some(named) = applies else { continue };
            let matched = Matched {
                layer: layer.clone(),
                policy: policy.name.clone(),
                statement: statement.reference.clone(),
            };
            if statement.denies {
                outcome.denies.push(matched);
            } else {
                outcome.allows.push(matched);
                outcome.named = outcome.named.max(Some(named));
            }
        }
    }
    observer.layer_done(layer, Some(&outcome));
    Some(outcome)
}

/// Whether a statement applies, and how closely it names the principal.
fn test<'a, O: Observer<'a>>(
    statement: &'a Statement,
    question: &Question<'a>,
    observer: &mut O,
) -> Option<Named> {
    let Question {
        request,
        resource,
        steps,
    } = question;
    let context = &request.context;
    let mut applies = true;
    let mut fail = |element, why| {
        applies = false;
        observer.failed(Failure { element, why })
    };
    let mut tests = || -> ControlFlow<(), Named> {
        // The cheapest test that fails most often comes first.
        if !statement.actions.covers(&request.action, context, steps) {
            fail(Element::Action(&statement.actions), Why::Action)?;
        }
        let mut named = Named::Role;
        if let Some(choice) = &statement.principals {
            match choice.names(&request.principal, steps) {
                Some(closeness) => named = closeness,
                None => fail(Element::Principal(choice), Why::Principal)?,
            }
        }
        if let Some(choice) = &statement.resources {
            let covered = choice.covers(resource.as_ref(), context, steps);
            if let Err(Uncovered { unresolved }) = covered {
                let why = if unresolved {
                    Why::VariableMissing
                } else {
                    Why::Resource
                };
                fail(Element::Resource(choice), why)?;
            }
        }
        for condition in &statement.conditions {
            if let Err(why) = condition.holds(context, steps) {
                fail(Element::Condition(condition), why)?;
            }
        }
        ControlFlow::Continue(named)
    };
    match tests() {
        ControlFlow::Continue(named) if applies => Some(named),
        _ => None,
    }
}

fn trust_alone(trust: &NamedPolicy) -> Layers {
    Layers {
        resource: Some(trust.clone()),
        ..Layers::default()
    }
}

/// The most steps one evaluation takes: comparisons of a token, a value or 32 bytes. Honest
/// requests take hundreds; the limit ends a pattern made to be slow after a fraction of a second.
pub const STEPS_MAX: u64 = 1 << 26;

/// Services whose resource policies must allow explicitly.
const INSISTENT_SERVICES: [&str; 1] = ["kms"];

#[cfg(test)]
mod tests;

//! One statement of a policy, compiled.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use crate::arn::split_fields;
use crate::condition::Condition;
use crate::context::{Context, fold};
use crate::decision::StatementRef;
use crate::document::{PolicyKind, Version};
use crate::error::{PolicyError, Problem};
use crate::operator::Operator;
use crate::pattern::{Case, Pattern, Steps, Syntax, Unresolved, Variable};
use crate::principal::{Entry, Named, Principal};
use crate::source::{Member, Node, Source};

/// Effect, and the tests that must all hold for it.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) reference: StatementRef,
    pub(crate) denies: bool,
    pub(crate) principals: Option<Choice<Entry>>,
    pub(crate) actions: Choice<ActionPattern>,
    /// Absent where the policy hangs on the resource itself.
    pub(crate) resources: Option<Choice<ResourcePattern>>,
    pub(crate) conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, and so on.
#[derive(Debug)]
pub(crate) struct Choice<T> {
    pub(crate) element: &'static str,
    pub(crate) negated: bool,
    pub(crate) entries: Vec<T>,
}

/// A pattern of actions, with its text.
#[derive(Debug)]
pub(crate) struct ActionPattern {
    text: Box<str>,
    pattern: Pattern,
}

/// A pattern of resources, with its text.
#[derive(Debug)]
pub(crate) struct ResourcePattern {
    text: Box<str>,
    /// None for the bare `*`, else six.
    fields: Vec<Pattern>,
}

impl Statement {
    /// Checks one statement against the grammar and the kind of policy.
    pub(crate) fn compile<'a>(
        source: &Source<'a>,
        node: Node<'a>,
        index: usize,
        kind: PolicyKind,
        version: Version,
    ) -> Result<Self, PolicyError> {
        let reader = Reader {
            source,
            kind,
            variables: version == Version::V2012,
        };
        let (mut sid, mut effect) = (None, None);
        let (mut principals, mut actions, mut resources) = (None, None, None);
        let mut conditions = Vec::new();
        // 1. Every element that is there, in whatever order.
        for Member { name, at, value } in source.object(node, STATEMENT)? {
            match &*name {
                "Sid" => sid = Some(source.string(value, "Sid")?),
                "Effect" => effect = Some(reader.denies(value)?),
                "Action" => reader.put(at, &mut actions, reader.actions("Action", value)?)?,
                "NotAction" => reader.put(at, &mut actions, reader.actions("NotAction", value)?)?,
                "Resource" => {
                    reader.put(at, &mut resources, reader.resources("Resource", at, value)?)?;
                }
                "NotResource" => {
                    reader.put(
                        at,
                        &mut resources,
                        reader.resources("NotResource", at, value)?,
                    )?;
                }
                "Principal" => {
                    reader.put(
                        at,
                        &mut principals,
                        reader.principals("Principal", at, value)?,
                    )?;
                }
                "NotPrincipal" => {
                    let read = reader.principals("NotPrincipal", at, value)?;
                    reader.put(at, &mut principals, read)?;
                }
                "Condition" => conditions = reader.conditions(value)?,
                _ => {
                    let problem = Problem::UnknownElement {
                        name: name.into_owned(),
                        place: STATEMENT,
                    };
                    return Err(source.error(at, problem));
                }
            }
        }
        // 2. Every element that must be there.
        let missing = |element| {
            let place = STATEMENT;
            source.error(node, Problem::Missing { element, place })
        };
        let denies = effect.ok_or_else(|| missing("Effect"))?;
        let actions = actions.ok_or_else(|| missing("Action or NotAction"))?;
        if kind.names_principals() && principals.is_none() {
            return Err(missing("Principal or NotPrincipal"));
        }
        if !kind.names_principals() && resources.is_none() {
            return Err(missing("Resource or NotResource"));
        }
        let reference = StatementRef {
            sid: sid
                .filter(|sid| !sid.is_empty())
                .map(|sid| sid.as_ref().into()),
            index,
            position: source.position(node),
        };
        Ok(Self {
            reference,
            denies,
            principals,
            actions,
            resources,
            conditions,
        })
    }

    /// The variables of resources and conditions.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let resources = self.resources.iter().flat_map(|choice| &choice.entries);
        resources
            .flat_map(|pattern| pattern.fields.iter().flat_map(Pattern::variables))
            .chain(self.conditions.iter().flat_map(Condition::variables))
    }
}

impl Choice<Entry> {
    /// How closely the statement names the principal, if it does.
    pub(crate) fn names(&self, principal: &Principal, steps: &Steps) -> Option<Named> {
        steps.take(self.entries.len());
        let closest = self.entries.iter().filter_map(|e| e.names(principal)).max();
        if self.negated {
            // Everybody but a few is no one in particular.
            closest.is_none().then_some(Named::Role)
        } else {
            closest
        }
    }
}

impl Choice<ActionPattern> {
    /// Whether the statement speaks of the action.
    pub(crate) fn covers(&self, action: &str, context: &Context, steps: &Steps) -> bool {
        let matches = |entry: &ActionPattern| {
            let matched = entry.pattern.matches(action, Case::Ignored, context, steps);
            matched == Ok(true)
        };
        self.entries.iter().any(matches) != self.negated
    }
}

impl Choice<ResourcePattern> {
    /// Whether the statement speaks of the resource, cut by [`resource_fields`]. A pattern whose variable has no value
    /// matches nothing, so it fails `Resource` and satisfies `NotResource`.
    pub(crate) fn covers(
        &self,
        fields: Option<&[&str; 6]>,
        context: &Context,
        steps: &Steps,
    ) -> Result<(), Uncovered> {
        let mut unresolved = false;
        let mut covered = false;
        for entry in &self.entries {
            match entry.matches(fields, context, steps) {
                Ok(true) => {
                    covered = true;
                    break;
                }
                Ok(false) => {}
                Err(Unresolved) => unresolved = true,
            }
        }
        if covered != self.negated {
            Ok(())
        } else {
            Err(Uncovered { unresolved })
        }
    }
}

/// A resource a statement does not speak of.
pub(crate) struct Uncovered {
    /// Whether a variable without a value is among the reasons.
    pub(crate) unresolved: bool,
}

impl ResourcePattern {
    fn matches(
        &self,
        fields: Option<&[&str; 6]>,
        context: &Context,
        steps: &Steps,
    ) -> Result<bool, Unresolved> {
        if !steps.take(1) {
            return Ok(false);
        }
        if self.fields.is_empty() {
            return Ok(true);
        }
        let Some(fields) = fields else {
            return Ok(false); // An action without a resource, or a name that is no ARN.
        };
        for (pattern, field) in self.fields.iter().zip(fields) {
            if !pattern.matches(field, Case::Sensitive, context, steps)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl fmt::Display for ActionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Cuts the resource of a request for [`Choice::covers`].
pub(crate) fn resource_fields(resource: &str) -> Option<[&str; 6]> {
    split_fields(resource)
}

/// Reads the elements of a statement.
struct Reader<'s, 'a> {
    source: &'s Source<'a>,
    kind: PolicyKind,
    variables: bool,
}

impl<'a> Reader<'_, 'a> {
    fn denies(&self, node: Node<'a>) -> Result<bool, PolicyError> {
        match &*self.source.string(node, "Effect")? {
            "Allow" => Ok(false),
            "Deny" => Ok(true),
            other => {
                let found = other.to_owned();
                Err(self.source.error(node, Problem::Effect { found }))
            }
        }
    }

    /// Keeps an element, unless its opposite is there already.
    fn put<T>(
        &self,
        at: Node<'a>,
        slot: &mut Option<Choice<T>>,
        read: Choice<T>,
    ) -> Result<(), PolicyError> {
        if let Some(other) = slot {
            let problem = Problem::Exclusive {
                first: other.element,
                second: read.element,
            };
            return Err(self.source.error(at, problem));
        }
        *slot = Some(read);
        Ok(())
    }

    fn actions(
        &self,
        element: &'static str,
        node: Node<'a>,
    ) -> Result<Choice<ActionPattern>, PolicyError> {
        let read = |text: Cow<'_, str>| {
            let pattern = ActionPattern::parse(&text)?;
            if self.kind == PolicyKind::Trust && !pattern.is_trust_action() {
                return Err(Problem::TrustAction {
                    found: text.into_owned(),
                    known: TRUST_ACTIONS.join(", "),
                });
            }
            Ok(pattern)
        };
        self.choice(element, element == "NotAction", node, read)
    }

    fn resources(
        &self,
        element: &'static str,
        at: Node<'a>,
        node: Node<'a>,
    ) -> Result<Choice<ResourcePattern>, PolicyError> {
        if self.kind == PolicyKind::Trust {
            return Err(self.not_in_kind(element, at));
        }
        let read = |text: Cow<'_, str>| ResourcePattern::parse(&text, self.variables);
        self.choice(element, element == "NotResource", node, read)
    }

    fn principals(
        &self,
        element: &'static str,
        at: Node<'a>,
        node: Node<'a>,
    ) -> Result<Choice<Entry>, PolicyError> {
        let negated = element == "NotPrincipal";
        let trust = self.kind == PolicyKind::Trust;
        if !self.kind.names_principals() || (trust && negated) {
            return Err(self.not_in_kind(element, at));
        }
        if let Ok(text) = self.source.string(node, element) {
            if text != "*" {
                let problem = Problem::Principal {
                    found: text.into_owned(),
                    reason: "write {\"AWS\": …} or {\"Service\": …}",
                };
                return Err(self.source.error(node, problem));
            }
            if trust {
                return Err(self.not_in_kind("\"Principal\": \"*\"", at));
            }
            return Ok(Choice {
                element,
                negated,
                entries: vec![Entry::Everyone],
            });
        }
        let mut entries = Vec::new();
        for Member { name, value, .. } in self.source.object(node, element)? {
            let read = |text: Cow<'_, str>| Entry::parse(&name, &text);
            entries.extend(self.choice(element, negated, value, read)?.entries);
        }
        self.not_empty(element, entries.len(), node)?;
        Ok(Choice {
            element,
            negated,
            entries,
        })
    }

    fn conditions(&self, node: Node<'a>) -> Result<Vec<Condition>, PolicyError> {
        let mut conditions = Vec::new();
        let mut operators = BTreeSet::new();
        for block in self.source.object(node, "Condition")? {
            let error = |problem| self.source.error(block.at, problem);
            let Some(operator) = Operator::parse(&block.name) else {
                let found = block.name.into_owned();
                return Err(error(Problem::Operator { found }));
            };
            let name = operator.to_string();
            if !operators.insert(operator) {
                let place = "Condition".to_owned();
                return Err(error(Problem::Duplicate { name, place }));
            }
            let keys = self.source.object(block.value, &name)?;
            self.not_empty(&name, keys.len(), block.value)?;
            let mut folded = BTreeSet::new();
            for Member {
                name: key,
                at,
                value,
            } in keys
            {
                if !folded.insert(fold(&key)) {
                    let problem = Problem::Duplicate {
                        name: key.into_owned(),
                        place: name,
                    };
                    return Err(self.source.error(at, problem));
                }
                let nodes = self.source.one_or_many(value)?;
                self.not_empty(&key, nodes.len(), value)?;
                let texts = nodes.into_iter().map(|node| {
                    let text = self.source.scalar(node, "a condition value")?;
                    Ok(text.into_owned())
                });
                let texts = texts.collect::<Result<Vec<_>, PolicyError>>()?;
                let condition = Condition::compile(operator, &key, texts, self.variables)
                    .map_err(|problem| self.source.error(at, problem))?;
                conditions.push(condition);
            }
        }
        Ok(conditions)
    }

    /// A string or a list of them, each read by `read`.
    fn choice<T>(
        &self,
        element: &'static str,
        negated: bool,
        node: Node<'a>,
        read: impl Fn(Cow<'_, str>) -> Result<T, Problem>,
    ) -> Result<Choice<T>, PolicyError> {
        let nodes = self.source.one_or_many(node)?;
        self.not_empty(element, nodes.len(), node)?;
        let entries = nodes.into_iter().map(|node| {
            let text = self.source.string(node, element)?;
            read(text).map_err(|problem| self.source.error(node, problem))
        });
        Ok(Choice {
            element,
            negated,
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    fn not_empty(&self, element: &str, length: usize, node: Node<'a>) -> Result<(), PolicyError> {
        if length > 0 {
            return Ok(());
        }
        let element = element.to_owned();
        Err(self.source.error(node, Problem::Empty { element }))
    }

    fn not_in_kind(&self, element: &'static str, at: Node<'a>) -> PolicyError {
        let kind = self.kind;
        self.source.error(at, Problem::NotInKind { element, kind })
    }
}

impl ActionPattern {
    fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.*?".contains(c);
        let named = text.split_once(':').is_some_and(|(service, name)| {
            !service.is_empty()
                && !name.is_empty()
                && (service.chars().chain(name.chars())).all(allowed)
        });
        if text != "*" && !named {
            return Err(Problem::Action {
                found: text.to_owned(),
            });
        }
        let syntax = Syntax {
            wildcards: true,
            variables: false,
        };
        Ok(Self {
            text: text.into(),
            pattern: Pattern::parse(text, syntax)?,
        })
    }

    /// Whether it is written for STS and can match an action a trust policy decides.
    fn is_trust_action(&self) -> bool {
        let service = self.text.split(':').next().unwrap_or_default();
        let steps = Steps::new(u64::MAX);
        let context = Context::new();
        let matches = |action: &&str| {
            let matched = self
                .pattern
                .matches(action, Case::Ignored, &context, &steps);
            matched == Ok(true)
        };
        service.eq_ignore_ascii_case("sts") && TRUST_ACTIONS.iter().any(matches)
    }
}

impl ResourcePattern {
    fn parse(text: &str, variables: bool) -> Result<Self, Problem> {
        if text == "*" {
            return Ok(Self {
                text: text.into(),
                fields: Vec::new(),
            });
        }
        let invalid = || Problem::Resource {
            found: text.to_owned(),
        };
        let parts = split_fields(text).ok_or_else(invalid)?;
        if parts[0] != "arn" {
            return Err(invalid());
        }
        if variables && parts[..5].iter().any(|part| part.contains("${")) {
            return Err(Problem::VariablePlace {
                found: text.to_owned(),
                place: "in resources only the part after the fifth colon has them",
            });
        }
        let syntax = Syntax {
            wildcards: true,
            variables,
        };
        let fields = parts.iter().map(|part| Pattern::parse(part, syntax));
        Ok(Self {
            text: text.into(),
            fields: fields.collect::<Result<_, _>>()?,
        })
    }
}

/// The actions a role's trust policy decides.
pub const TRUST_ACTIONS: [&str; 6] = [
    "sts:AssumeRole",
    "sts:TagSession",
    "sts:SetSourceIdentity",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:SetContext",
];

const STATEMENT: &str = "the statement";

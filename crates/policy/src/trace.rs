//! How a decision came about: every layer, the statements that nearly applied, and why they did not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::condition::Condition;
use crate::decision::{Decision, Effect, Layer, Matched, StatementRef, as_text};
use crate::evaluate::{Observer, Outcome};
use crate::principal::Entry;
use crate::request::{NamedPolicy, Request};
use crate::statement::{ActionPattern, Choice, ResourcePattern, Statement};

/// The account of one evaluation. Prints as text, one line first; serializes with the same facts.
///
/// It holds values of the request: show it to those who may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The answer.
    pub decision: Effect,
    /// The layer that decided.
    pub layer: Layer,
    /// The reason as a clause: `because …` or `with an explicit deny in …`.
    pub reason: String,
    /// Who asked.
    pub principal: String,
    /// What was to be done.
    pub action: String,
    /// To what.
    pub resource: String,
    /// Every layer, in the order of consultation, absent ones too.
    pub layers: Vec<LayerTrace>,
    /// Keys that statements about the action asked for and the request lacks.
    pub missing_keys: BTreeSet<String>,
    /// Keys that statements about the action asked for, with their values.
    pub used_keys: BTreeMap<String, Vec<String>>,
}

/// What one layer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerTrace {
    /// Which layer.
    pub layer: Layer,
    /// What it said.
    pub result: LayerResult,
    /// The statements that denied, else those that allowed.
    pub matched: Vec<Matched>,
    /// Where none allowed: the Allow statements that failed the fewest tests, at most
    /// [`NEAREST_MAX`].
    pub nearest: Vec<NearMiss>,
}

/// What a layer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerResult {
    /// Not there, so it limits nothing.
    Absent,
    /// There, and nothing in it applies.
    None,
    /// A statement allows and none denies.
    Allow,
    /// A statement denies.
    Deny,
}

/// An Allow statement that did not apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// The name of its policy.
    #[serde(serialize_with = "as_text")]
    pub policy: Arc<str>,
    /// Which statement.
    pub statement: StatementRef,
    /// How many tests it makes.
    pub tests: usize,
    /// Those that failed.
    pub failed: Vec<FailedTest>,
}

/// A test that failed, with both values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedTest {
    /// `Action`, `NotResource`, `Condition`, …
    pub element: &'static str,
    /// The operator of a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The key of a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the policy asks for.
    pub want: String,
    /// What the request has.
    pub got: String,
    /// Why it failed.
    pub why: Why,
}

/// Why a test failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Another action.
    Action,
    /// Another resource.
    Resource,
    /// Another principal.
    Principal,
    /// The key has another value.
    Value,
    /// The request lacks the key.
    MissingKey,
    /// The key has several values and the operator no `ForAllValues` or `ForAnyValue`.
    MultivalueNeedsQualifier,
    /// The key's value is not of the operator's type.
    BadType,
    /// The policy's value has a variable that the request does not fill.
    VariableMissing,
}

impl Why {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Resource => "resource",
            Self::Principal => "principal",
            Self::Value => "value",
            Self::MissingKey => "missing-key",
            Self::MultivalueNeedsQualifier => "multivalue-needs-qualifier",
            Self::BadType => "bad-type",
            Self::VariableMissing => "variable-missing",
        }
    }
}

/// A failed test while the evaluation runs: references only.
#[derive(Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) element: Element<'a>,
    pub(crate) why: Why,
}

/// What was tested.
#[derive(Clone, Copy)]
pub(crate) enum Element<'a> {
    Action(&'a Choice<ActionPattern>),
    Principal(&'a Choice<Entry>),
    Resource(&'a Choice<ResourcePattern>),
    Condition(&'a Condition),
}

/// Writes a [`Trace`] while it watches.
pub(crate) struct Recorder<'a> {
    request: &'a Request,
    /// Of the statement being tested.
    failures: Vec<Failure<'a>>,
    /// Of the layer being asked, by failed tests.
    nearest: Vec<NearMiss>,
    layers: Vec<LayerTrace>,
    missing_keys: BTreeSet<String>,
    used_keys: BTreeMap<String, Vec<String>>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(request: &'a Request) -> Self {
        Self {
            request,
            failures: Vec::new(),
            nearest: Vec::new(),
            layers: Vec::new(),
            missing_keys: BTreeSet::new(),
            used_keys: BTreeMap::new(),
        }
    }

    pub(crate) fn finish(self, decision: &Decision) -> Trace {
        Trace {
            decision: decision.effect,
            layer: decision.layer.clone(),
            reason: decision.reason(&self.request.action),
            principal: self.request.principal.to_string(),
            action: self.request.action.clone(),
            resource: self.request.resource.clone(),
            layers: self.layers,
            missing_keys: self.missing_keys,
            used_keys: self.used_keys,
        }
    }

    fn note_keys(&mut self, statement: &Statement) {
        let context = &self.request.context;
        for condition in &statement.conditions {
            match condition.entry(context) {
                Some(entry) => {
                    let values = entry.values.clone();
                    self.used_keys.insert(entry.name.to_string(), values);
                }
                None => {
                    self.missing_keys.insert(condition.key.to_string());
                }
            }
        }
        for variable in statement.variables() {
            match variable.value(context) {
                Some(value) => {
                    let values = vec![value.to_owned()];
                    self.used_keys.insert(variable.key.to_string(), values);
                }
                None if variable.has_default() => {}
                None => {
                    self.missing_keys.insert(variable.key.to_string());
                }
            }
        }
    }

    fn note_near_miss(&mut self, policy: &NamedPolicy, statement: &Statement) {
        let failed = self.failures.len();
        let place = self
            .nearest
            .partition_point(|miss| miss.failed.len() <= failed);
        if place == NEAREST_MAX {
            return;
        }
        let optional = [
            statement.principals.is_some(),
            statement.resources.is_some(),
        ];
        let optional = optional.into_iter().filter(|there| *there).count();
        let miss = NearMiss {
            policy: policy.name.clone(),
            statement: statement.reference.clone(),
            tests: 1 + optional + statement.conditions.len(),
            failed: self
                .failures
                .iter()
                .map(|f| f.render(self.request))
                .collect(),
        };
        self.nearest.insert(place, miss);
        self.nearest.truncate(NEAREST_MAX);
    }
}

impl<'a> Observer<'a> for Recorder<'a> {
    fn failed(&mut self, failure: Failure<'a>) -> ControlFlow<()> {
        self.failures.push(failure);
        ControlFlow::Continue(())
    }

    fn statement_done(&mut self, policy: &'a NamedPolicy, statement: &'a Statement) {
        let other_action = self.failures.iter().any(|f| f.why == Why::Action);
        if !other_action {
            self.note_keys(statement);
        }
        if !statement.denies && !self.failures.is_empty() {
            self.note_near_miss(policy, statement);
        }
        self.failures.clear();
    }

    fn layer_done(&mut self, layer: Layer, outcome: Option<&Outcome>) {
        let nearest = std::mem::take(&mut self.nearest);
        let (result, matched) = match outcome {
            None => (LayerResult::Absent, Vec::new()),
            Some(o) if !o.denies.is_empty() => (LayerResult::Deny, o.denies.clone()),
            Some(o) if !o.allows.is_empty() => (LayerResult::Allow, o.allows.clone()),
            Some(_) => (LayerResult::None, Vec::new()),
        };
        let misses_matter = result == LayerResult::None;
        self.layers.push(LayerTrace {
            layer,
            result,
            matched,
            nearest: if misses_matter { nearest } else { Vec::new() },
        });
    }
}

impl Failure<'_> {
    fn render(&self, request: &Request) -> FailedTest {
        let test = |element, want, got: String| FailedTest {
            element,
            operator: None,
            key: None,
            want,
            got,
            why: self.why,
        };
        match self.element {
            Element::Action(choice) => test(choice.element, wanted(choice), request.action.clone()),
            Element::Principal(choice) => test(
                choice.element,
                wanted(choice),
                request.principal.to_string(),
            ),
            Element::Resource(choice) => {
                test(choice.element, wanted(choice), request.resource.clone())
            }
            Element::Condition(condition) => {
                let values = condition.entry(&request.context).map(|entry| &entry.values);
                FailedTest {
                    operator: Some(condition.operator.to_string()),
                    key: Some(condition.key.to_string()),
                    ..test(
                        "Condition",
                        joined(condition.values.iter().map(|value| &value.text)),
                        values.map_or_else(String::new, joined),
                    )
                }
            }
        }
    }
}

fn wanted<T: fmt::Display>(choice: &Choice<T>) -> String {
    joined(&choice.entries)
}

/// `a|b|c`, the first [`VALUES_SHOWN_MAX`].
fn joined<T: fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut values = values.into_iter();
    let mut shown: Vec<String> = Vec::new();
    for value in values.by_ref().take(VALUES_SHOWN_MAX) {
        shown.push(value.to_string());
    }
    let more = values.count();
    if more > 0 {
        shown.push(format!("… {more} more"));
    }
    shown.join("|")
}

/// One line with the answer, then the reason, the layers, the nearest misses and the keys.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match self.decision {
            Effect::Allow => "ALLOW",
            Effect::ExplicitDeny => "DENY (explicit)",
            Effect::ImplicitDeny => "DENY (implicit)",
        };
        let (action, resource) = (printable(&self.action), printable(&self.resource));
        writeln!(f, "{answer}  {action}  {resource}")?;
        let (word, clause) = self.reason.split_once(' ').unwrap_or_default();
        writeln!(f, " {word:<8} {} (layer {})", printable(clause), self.layer)?;
        let layers: Vec<String> = self.layers.iter().map(ToString::to_string).collect();
        writeln!(f, " layers   {}", layers.join(" | "))?;
        for layer in &self.layers {
            for miss in &layer.nearest {
                writeln!(f, " nearest  {} {miss}", layer.layer)?;
            }
        }
        let missing = joined(self.missing_keys.iter().map(|key| printable(key)));
        let used = self.used_keys.iter();
        let used =
            joined(used.map(|(key, values)| printable(&format!("{key}={}", joined(values)))));
        let dash = |text: String| if text.is_empty() { "–".into() } else { text };
        writeln!(f, " missing  {}    used  {}", dash(missing), dash(used))?;
        write!(f, " who      {}", printable(&self.principal))
    }
}

/// `identity ALLOW role/web/inline#Read`, `boundary –`.
impl fmt::Display for LayerTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = match self.result {
            LayerResult::Absent => "–",
            LayerResult::None => "NONE",
            LayerResult::Allow => "ALLOW",
            LayerResult::Deny => "DENY",
        };
        write!(f, "{} {result}", self.layer)?;
        let statements = self.matched.iter().take(VALUES_SHOWN_MAX);
        for Matched {
            policy, statement, ..
        } in statements
        {
            let position = statement.position;
            write!(
                f,
                " {}#{} ({position})",
                printable(policy),
                printable(&statement.to_string())
            )?;
        }
        Ok(())
    }
}

/// `batch-ro#ReadOnly (12:7)  Action want s3:Get* got s3:PutObject (action)  1 of 3 tests failed`.
impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, statement) = (printable(&self.policy), self.statement.to_string());
        let position = self.statement.position;
        write!(f, "{policy}#{} ({position})", printable(&statement))?;
        for test in self.failed.iter().take(VALUES_SHOWN_MAX) {
            write!(f, "  {test}")?;
        }
        let (failed, tests) = (self.failed.len(), self.tests);
        write!(f, "  {failed} of {tests} tests failed")
    }
}

/// `StringEquals aws:PrincipalTag/team want a|b got c (value)`.
impl fmt::Display for FailedTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.operator, &self.key) {
            (Some(operator), Some(key)) => write!(f, "{operator} {}", printable(key))?,
            _ => f.write_str(self.element)?,
        }
        let got = match &*self.got {
            "" => "–".to_owned(),
            got => printable(got),
        };
        let (want, why) = (printable(&self.want), self.why.as_str());
        write!(f, "  want {want}  got {got} ({why})")
    }
}

/// On one line, and not longer than a reader takes in: what a request sends must not draw lines
/// of its own into the account.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(TEXT_SHOWN_MAX));
    for (count, character) in text.chars().enumerate() {
        if count == TEXT_SHOWN_MAX {
            shown.push('…');
            break;
        }
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The most near misses told for one layer.
pub const NEAREST_MAX: usize = 3;

/// The most values shown of one list.
const VALUES_SHOWN_MAX: usize = 8;

/// The most characters shown of one text.
const TEXT_SHOWN_MAX: usize = 400;

#[cfg(test)]
mod tests;

//! Conditions: one operator, one key, the policy's values.

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::arn::split_fields;
use crate::context::{Context, Entry, fold};
use crate::error::Problem;
use crate::operator::{Operator, Qualifier, Test};
use crate::pattern::{Case, Pattern, Steps, Syntax, Unresolved, Variable};
use crate::trace::Why;
use crate::value::{Decimal, Moment, Network, binary, boolean};

/// One key under one operator.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) operator: Operator,
    /// As written.
    pub(crate) key: Box<str>,
    folded: Box<str>,
    pub(crate) values: Vec<Value>,
}

/// One value of the policy: its text, and what it was compiled to.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) text: Box<str>,
    wanted: Wanted,
}

/// A value that does not fit its operator compiles to `None`: it equals nothing.
#[derive(Debug, Clone)]
enum Wanted {
    Text(Pattern),
    Decimal,
    Moment(Option<Moment>),
    Boolean(Option<bool>),
    Binary(Option<Vec<u8>>),
    Network(Option<Network>),
    /// Six fields; one field is the bare `*`, or an ARN that a variable brings.
    Arn(Vec<Pattern>),
}

/// What one request value is to one policy value.
enum Comparison {
    Match,
    Differs,
    /// The request's value is not of the operator's type.
    BadType,
    Unresolved,
}

impl Condition {
    /// Compiles a key with its values. `variables` is false under the version of 2008.
    pub(crate) fn compile(
        operator: Operator,
        key: &str,
        texts: Vec<String>,
        variables: bool,
    ) -> Result<Self, Problem> {
        let valid = key.split_once(':').is_some_and(|(prefix, name)| {
            !prefix.is_empty() && !name.is_empty() && !key.chars().any(char::is_control)
        });
        if !valid {
            return Err(Problem::ConditionKey {
                found: key.to_owned(),
            });
        }
        let folded = fold(key);
        let plain = operator.qualifier.is_none() && operator.test != Test::Null;
        if plain && MULTIVALUED_KEYS.iter().any(|known| fold(known) == folded) {
            return Err(Problem::Multivalued {
                key: key.to_owned(),
                operator: operator.to_string(),
            });
        }
        let values = texts.into_iter().map(|text| {
            let wanted = Wanted::compile(operator.test, &text, variables)?;
            let text = text.into_boxed_str();
            Ok(Value { text, wanted })
        });
        Ok(Self {
            operator,
            key: key.into(),
            folded: folded.into(),
            values: values.collect::<Result<_, _>>()?,
        })
    }

    /// The request's entry for the key.
    pub(crate) fn entry<'a>(&self, context: &'a Context) -> Option<&'a Entry> {
        context.entry(&self.folded)
    }

    /// The variables of all values.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.values
            .iter()
            .flat_map(|value| value.wanted.variables())
    }

    /// Whether the request satisfies the condition, and if not, why.
    pub(crate) fn holds(&self, context: &Context, steps: &Steps) -> Result<(), Why> {
        let entry = self.entry(context);
        if self.operator.test == Test::Null {
            let asked = |value: &Value| match value.wanted {
                Wanted::Boolean(Some(absent)) => absent == entry.is_none(),
                _ => false,
            };
            return verdict(self.values.iter().any(asked), Why::Value);
        }
        // Under a set qualifier a key of nothing but empty strings is a null data set.
        let entry = entry.filter(|entry| {
            self.operator.qualifier.is_none() || entry.values.iter().any(|value| !value.is_empty())
        });
        let Some(entry) = entry else {
            let holds = match self.operator.qualifier {
                Some(Qualifier::ForAllValues) => true,
                Some(Qualifier::ForAnyValue) => self.operator.if_exists,
                None => self.operator.if_exists || self.operator.test.is_negated(),
            };
            return verdict(holds, Why::MissingKey);
        };
        match self.operator.qualifier {
            None if entry.multivalued => Err(Why::MultivalueNeedsQualifier),
            None => {
                let value = entry.values.first().map_or("", String::as_str);
                self.holds_for(value, context, steps)
            }
            Some(Qualifier::ForAllValues) => entry
                .values
                .iter()
                .try_for_each(|value| self.holds_for(value, context, steps)),
            Some(Qualifier::ForAnyValue) => {
                let mut why = Why::Value;
                for value in &entry.values {
                    match self.holds_for(value, context, steps) {
                        Ok(()) => return Ok(()),
                        Err(reason) => why = reason,
                    }
                }
                Err(why)
            }
        }
    }

    /// One of the policy's values matches, or for a negated operator none does.
    fn holds_for(&self, given: &str, context: &Context, steps: &Steps) -> Result<(), Why> {
        let negated = self.operator.test.is_negated();
        let mut why = Why::Value;
        for value in &self.values {
            if !steps.take(1) {
                return Err(Why::Value);
            }
            match value.compare(self.operator.test, given, context, steps) {
                Comparison::Match => return verdict(!negated, Why::Value),
                Comparison::Differs => {}
                Comparison::BadType => why = Why::BadType,
                Comparison::Unresolved => why = Why::VariableMissing,
            }
        }
        verdict(negated, why)
    }
}

impl Value {
    fn compare(&self, test: Test, given: &str, context: &Context, steps: &Steps) -> Comparison {
        match &self.wanted {
            Wanted::Text(pattern) => {
                let matched = match test {
                    Test::StringEqualsIgnoreCase | Test::StringNotEqualsIgnoreCase => pattern
                        .resolve(context)
                        .map(|text| same_ignoring_case(&text, given)),
                    _ => pattern.matches(given, Case::Sensitive, context, steps),
                };
                Comparison::from(matched)
            }
            Wanted::Decimal => match (Decimal::parse(given), Decimal::parse(&self.text)) {
                (None, _) => Comparison::BadType,
                (Some(_), None) => Comparison::Differs,
                (Some(given), Some(wanted)) => ordered(test, given.compare(wanted)),
            },
            Wanted::Moment(wanted) => match (Moment::parse(given), wanted) {
                (None, _) => Comparison::BadType,
                (Some(_), None) => Comparison::Differs,
                (Some(given), Some(wanted)) => ordered(test, given.cmp(wanted)),
            },
            Wanted::Boolean(wanted) => match boolean(given) {
                None => Comparison::BadType,
                given => Comparison::from(Ok(given == *wanted)),
            },
            Wanted::Binary(wanted) => match binary(given) {
                None => Comparison::BadType,
                given => Comparison::from(Ok(given == *wanted)),
            },
            Wanted::Network(wanted) => match given.parse::<IpAddr>() {
                Err(_) => Comparison::BadType,
                Ok(given) => {
                    Comparison::from(Ok(wanted.is_some_and(|network| network.contains(given))))
                }
            },
            Wanted::Arn(fields) => compare_arn(fields, given, context, steps),
        }
    }
}

impl Wanted {
    fn compile(test: Test, text: &str, variables: bool) -> Result<Self, Problem> {
        use Test as T;
        let syntax = |wildcards| Syntax {
            wildcards,
            variables,
        };
        let is_text = matches!(
            test,
            T::StringEquals
                | T::StringNotEquals
                | T::StringEqualsIgnoreCase
                | T::StringNotEqualsIgnoreCase
                | T::StringLike
                | T::StringNotLike
                | T::ArnEquals
                | T::ArnNotEquals
                | T::ArnLike
                | T::ArnNotLike
        );
        if variables && !is_text && text.contains("${") {
            return Err(Problem::VariablePlace {
                found: text.to_owned(),
                place: "in conditions only String and ARN operators have them",
            });
        }
        Ok(match test {
            T::StringLike | T::StringNotLike => Self::Text(Pattern::parse(text, syntax(true))?),
            T::StringEquals
            | T::StringNotEquals
            | T::StringEqualsIgnoreCase
            | T::StringNotEqualsIgnoreCase => Self::Text(Pattern::parse(text, syntax(false))?),
            T::ArnEquals | T::ArnNotEquals | T::ArnLike | T::ArnNotLike => {
                Self::Arn(Pattern::parse_fields(text, syntax(true))?)
            }
            T::NumericEquals
            | T::NumericNotEquals
            | T::NumericLessThan
            | T::NumericLessThanEquals
            | T::NumericGreaterThan
            | T::NumericGreaterThanEquals => Self::Decimal,
            T::DateEquals
            | T::DateNotEquals
            | T::DateLessThan
            | T::DateLessThanEquals
            | T::DateGreaterThan
            | T::DateGreaterThanEquals => Self::Moment(Moment::parse(text)),
            T::Bool | T::Null => Self::Boolean(boolean(text)),
            T::BinaryEquals => Self::Binary(binary(text)),
            T::IpAddress | T::NotIpAddress => Self::Network(Network::parse(text)),
        })
    }

    fn variables(&self) -> impl Iterator<Item = &Variable> {
        let patterns = match self {
            Self::Text(pattern) => std::slice::from_ref(pattern),
            Self::Arn(fields) => fields,
            _ => &[],
        };
        patterns.iter().flat_map(Pattern::variables)
    }
}

impl From<Result<bool, Unresolved>> for Comparison {
    fn from(matched: Result<bool, Unresolved>) -> Self {
        match matched {
            Ok(true) => Self::Match,
            Ok(false) => Self::Differs,
            Err(Unresolved) => Self::Unresolved,
        }
    }
}

/// Field by field, so that `*` never crosses a colon before the sixth field.
fn compare_arn(wanted: &[Pattern], given: &str, context: &Context, steps: &Steps) -> Comparison {
    let Some(fields) = split_fields(given) else {
        return Comparison::BadType;
    };
    let matches =
        |pattern: &Pattern, text: &str| pattern.matches(text, Case::Sensitive, context, steps);
    if let [whole] = wanted {
        // The bare star, or `${key}` that stands for a whole ARN.
        let possible = whole.is_any() || (whole.has_variables() && !whole.has_wildcards());
        return Comparison::from(matches(whole, given).map(|matched| matched && possible));
    }
    if wanted.len() != fields.len() {
        return Comparison::Differs;
    }
    for (pattern, field) in wanted.iter().zip(fields) {
        match matches(pattern, field) {
            Ok(true) => {}
            other => return Comparison::from(other),
        }
    }
    Comparison::Match
}

/// What the order of the request's value to the policy's means to a test.
fn ordered(test: Test, order: Ordering) -> Comparison {
    let matched = match test {
        Test::NumericLessThan | Test::DateLessThan => order.is_lt(),
        Test::NumericLessThanEquals | Test::DateLessThanEquals => order.is_le(),
        Test::NumericGreaterThan | Test::DateGreaterThan => order.is_gt(),
        Test::NumericGreaterThanEquals | Test::DateGreaterThanEquals => order.is_ge(),
        _ => order.is_eq(),
    };
    Comparison::from(Ok(matched))
}

fn same_ignoring_case(a: &str, b: &str) -> bool {
    let lower = |text: &'_ str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && lower(a) == lower(b))
}

fn verdict(holds: bool, why: Why) -> Result<(), Why> {
    if holds { Ok(()) } else { Err(why) }
}

/// Keys that carry several values. Under an operator without a set qualifier they never match,
/// which would silently disarm a Deny; so such a policy is refused.
pub const MULTIVALUED_KEYS: [&str; 6] = [
    "aws:TagKeys",
    "aws:CalledVia",
    "aws:PrincipalOrgPaths",
    "aws:PrincipalServiceNamesList",
    "aws:ResourceOrgPaths",
    "aws:SourceOrgPaths",
];

#[cfg(test)]
mod tests;

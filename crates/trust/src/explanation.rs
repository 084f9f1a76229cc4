//! A decision told rule by rule.

use std::fmt;

use bowline_policy::Trace;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::denial::Denial;
use crate::grant::Grant;
use crate::rule::Rule;

/// The decision about a request, with every rule's outcome.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The rules in the order of the decision.
    pub checks: Vec<Check>,
    /// What [`crate::authorize`] answers for the same request.
    pub decision: Result<Grant, Denial>,
}

/// One rule's part in a decision.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its place, counted from 1.
    pub number: usize,
    /// The rule.
    pub rule: Rule,
    /// Kept, or how it was broken.
    pub outcome: Result<(), Denial>,
    /// What it looked at, as label and value.
    pub facts: Vec<(&'static str, String)>,
    /// How the trust policy was read, where the rule asks it.
    pub trace: Option<Trace>,
}

type Checked = (
    Rule,
    Result<(), Denial>,
    Vec<(&'static str, String)>,
    Option<Trace>,
);

impl Explanation {
    pub(crate) fn new(
        checked: impl IntoIterator<Item = Checked>,
        grant: impl FnOnce() -> Grant,
    ) -> Explanation {
        let checks: Vec<Check> = (1..)
            .zip(checked)
            .map(|(number, (rule, outcome, facts, trace))| Check {
                number,
                rule,
                outcome,
                facts,
                trace,
            })
            .collect();
        let decision = match checks.iter().find_map(|check| check.outcome.as_ref().err()) {
            Some(denial) => Err(denial.clone()),
            None => Ok(grant()),
        };
        Explanation { checks, decision }
    }

    /// Whether the request is granted.
    pub fn is_allowed(&self) -> bool {
        self.decision.is_ok()
    }

    /// The first rule that is broken.
    pub fn first_broken(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.outcome.is_err())
    }
}

impl fmt::Display for Explanation {
    /// The answer first, then the rules by number, each with what it looked at.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Ok(grant) => writeln!(f, "ALLOW {}", grant.claims().principal_arn())?,
            Err(denial) => {
                writeln!(f, "DENY {}", denial.code())?;
                writeln!(f, "  because {denial}")?;
                writeln!(f, "  fix     {}", denial.fix())?;
            }
        }
        for check in &self.checks {
            let mark = if check.outcome.is_ok() {
                "ok  "
            } else {
                "FAIL"
            };
            writeln!(f, "{:>3}. {mark} {}", check.number, check.rule.title())?;
            if let Err(denial) = &check.outcome {
                writeln!(f, "          {denial}")?;
            }
            for (label, value) in &check.facts {
                writeln!(f, "          {label}: {value}")?;
            }
            if let (Err(_), Some(trace)) = (&check.outcome, &check.trace) {
                for line in trace.to_string().lines() {
                    writeln!(f, "          | {line}")?;
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Explanation", 5)?;
        out.serialize_field("decision", if self.is_allowed() { "allow" } else { "deny" })?;
        let denial = self.decision.as_ref().err();
        out.serialize_field("code", &denial.map(Denial::code))?;
        out.serialize_field("reason", &denial.map(ToString::to_string))?;
        out.serialize_field("fix", &denial.map(Denial::fix))?;
        out.serialize_field("checks", &self.checks)?;
        out.end()
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Check", 6)?;
        out.serialize_field("number", &self.number)?;
        out.serialize_field("rule", self.rule.as_str())?;
        out.serialize_field("outcome", if self.outcome.is_ok() { "ok" } else { "fail" })?;
        out.serialize_field(
            "reason",
            &self.outcome.as_ref().err().map(ToString::to_string),
        )?;
        out.serialize_field("facts", &self.facts)?;
        out.serialize_field("trace", &self.trace)?;
        out.end()
    }
}

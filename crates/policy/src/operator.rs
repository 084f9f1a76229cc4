//! The names of condition operators.

use std::fmt;

/// A condition operator with its set qualifier and its `IfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Operator {
    pub(crate) qualifier: Option<Qualifier>,
    pub(crate) test: Test,
    pub(crate) if_exists: bool,
}

/// How a test treats a key with several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Qualifier {
    ForAllValues,
    ForAnyValue,
}

/// What is compared, and how. `Not…` forms are true where none of the policy's values match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    StringEquals,
    StringNotEquals,
    StringEqualsIgnoreCase,
    StringNotEqualsIgnoreCase,
    StringLike,
    StringNotLike,
    NumericEquals,
    NumericNotEquals,
    NumericLessThan,
    NumericLessThanEquals,
    NumericGreaterThan,
    NumericGreaterThanEquals,
    DateEquals,
    DateNotEquals,
    DateLessThan,
    DateLessThanEquals,
    DateGreaterThan,
    DateGreaterThanEquals,
    Bool,
    BinaryEquals,
    IpAddress,
    NotIpAddress,
    ArnEquals,
    ArnNotEquals,
    ArnLike,
    ArnNotLike,
    Null,
}

impl Operator {
    /// Reads a name in any case; `None` for what is no operator.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (qualifier, rest) = match name.split_once(':') {
            None => (None, name),
            Some((set, rest)) if set.eq_ignore_ascii_case("ForAllValues") => {
                (Some(Qualifier::ForAllValues), rest)
            }
            Some((set, rest)) if set.eq_ignore_ascii_case("ForAnyValue") => {
                (Some(Qualifier::ForAnyValue), rest)
            }
            Some(_) => return None,
        };
        let cut = rest.len().checked_sub(IF_EXISTS.len());
        let if_exists = cut
            .and_then(|cut| rest.get(cut..))
            .is_some_and(|end| end.eq_ignore_ascii_case(IF_EXISTS));
        let base = match cut {
            Some(cut) if if_exists => &rest[..cut],
            _ => rest,
        };
        let (_, test) = TESTS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(base))?;
        // Null asks whether the key exists, so it has no IfExists form.
        if if_exists && *test == Test::Null {
            return None;
        }
        Some(Self {
            qualifier,
            test: *test,
            if_exists,
        })
    }
}

impl Test {
    /// Whether the test is true where none of the policy's values match.
    pub(crate) fn is_negated(self) -> bool {
        matches!(
            self,
            Self::StringNotEquals
                | Self::StringNotEqualsIgnoreCase
                | Self::StringNotLike
                | Self::NumericNotEquals
                | Self::DateNotEquals
                | Self::NotIpAddress
                | Self::ArnNotEquals
                | Self::ArnNotLike
        )
    }
}

/// The documented spelling.
impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.qualifier {
            Some(Qualifier::ForAllValues) => f.write_str("ForAllValues:")?,
            Some(Qualifier::ForAnyValue) => f.write_str("ForAnyValue:")?,
            None => {}
        }
        let name = TESTS.iter().find(|(_, test)| *test == self.test);
        f.write_str(name.map_or("", |(name, _)| name))?;
        f.write_str(if self.if_exists { IF_EXISTS } else { "" })
    }
}

const IF_EXISTS: &str = "IfExists";

/// Every operator there is.
const TESTS: [(&str, Test); 27] = [
    ("StringEquals", Test::StringEquals),
    ("StringNotEquals", Test::StringNotEquals),
    ("StringEqualsIgnoreCase", Test::StringEqualsIgnoreCase),
    ("StringNotEqualsIgnoreCase", Test::StringNotEqualsIgnoreCase),
    ("StringLike", Test::StringLike),
    ("StringNotLike", Test::StringNotLike),
    ("NumericEquals", Test::NumericEquals),
    ("NumericNotEquals", Test::NumericNotEquals),
    ("NumericLessThan", Test::NumericLessThan),
    ("NumericLessThanEquals", Test::NumericLessThanEquals),
    ("NumericGreaterThan", Test::NumericGreaterThan),
    ("NumericGreaterThanEquals", Test::NumericGreaterThanEquals),
    ("DateEquals", Test::DateEquals),
    ("DateNotEquals", Test::DateNotEquals),
    ("DateLessThan", Test::DateLessThan),
    ("DateLessThanEquals", Test::DateLessThanEquals),
    ("DateGreaterThan", Test::DateGreaterThan),
    ("DateGreaterThanEquals", Test::DateGreaterThanEquals),
    ("Bool", Test::Bool),
    ("BinaryEquals", Test::BinaryEquals),
    ("IpAddress", Test::IpAddress),
    ("NotIpAddress", Test::NotIpAddress),
    ("ArnEquals", Test::ArnEquals),
    ("ArnNotEquals", Test::ArnNotEquals),
    ("ArnLike", Test::ArnLike),
    ("ArnNotLike", Test::ArnNotLike),
    ("Null", Test::Null),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_prints_and_parses_in_every_form() {
        let mut seen = 0;
        for (name, test) in TESTS {
            for set in ["", "ForAllValues:", "ForAnyValue:"] {
                for suffix in ["", "IfExists"] {
                    let text = format!("{set}{name}{suffix}");
                    let parsed = Operator::parse(&text.to_uppercase());
                    if test == Test::Null && !suffix.is_empty() {
                        assert_eq!(parsed, None, "{text}");
                        continue;
                    }
                    assert_eq!(parsed.unwrap().to_string(), text);
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 27 * 6 - 3);
    }

    #[test]
    fn near_misses_are_no_operators() {
        for name in [
            "",
            "StringEqual",
            "IfExists",
            "ForAllValues:",
            "ForSomeValues:StringEquals",
            "StringEqualsIfExistsIfExists",
            "BinaryNotEquals",
            " StringEquals",
            "BoolNot",
            "ForAnyValue:ForAllValues:StringEquals",
            "ßIfExists",
        ] {
            assert_eq!(Operator::parse(name), None, "{name}");
        }
    }
}

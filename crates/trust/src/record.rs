//! What trust anchors, profiles and roles have in common: limits, patterns, refusals, and policies stored as text.

use bowline_policy::{Policy, PolicyKind};

use crate::ids::excerpt;

/// Why a trust anchor, profile or role is not acceptable as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A text does not fit its pattern.
    #[error("{field} `{value}` is not allowed: it takes {rule}")]
    Pattern {
        /// Which field.
        field: &'static str,
        /// What it was, cut to a readable length.
        value: String,
        /// What it may be.
        rule: &'static str,
    },
    /// A number is outside its range.
    #[error("{field} of {value} is outside {least} to {most}")]
    Range {
        /// Which field, with its unit.
        field: &'static str,
        /// What it was.
        value: u32,
        /// The least allowed.
        least: u32,
        /// The most allowed.
        most: u32,
    },
    /// A list or text is too long.
    #[error("{field}: {count} {unit} are over the limit of {limit}")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// What is counted.
        unit: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Something that must be there is not.
    #[error("{field} is empty")]
    Empty {
        /// Which field.
        field: &'static str,
    },
    /// Something is there twice.
    #[error("{field} names `{value}` twice")]
    Repeated {
        /// Which field.
        field: &'static str,
        /// What is repeated.
        value: String,
    },
    /// A certificate of the bundle cannot vouch for others.
    #[error("Incorrect basic constraints for CA certificate: `{subject}` {why}")]
    NotAuthority {
        /// The subject of the certificate.
        subject: String,
        /// What it lacks.
        why: &'static str,
    },
}

impl RecordError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            RecordError::Pattern { .. } => "invalid_text",
            RecordError::Range { .. } => "out_of_range",
            RecordError::TooMany { .. } => "over_limit",
            RecordError::Empty { .. } => "empty_field",
            RecordError::Repeated { .. } => "repeated_value",
            RecordError::NotAuthority { .. } => "not_a_certificate_authority",
        }
    }
}

/// A set of allowed characters and lengths, said in words as well.
pub(crate) struct Pattern {
    pub(crate) allowed: fn(char) -> bool,
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) rule: &'static str,
}

impl Pattern {
    pub(crate) fn fits(&self, text: &str) -> bool {
        (self.least..=self.most).contains(&text.chars().count()) && text.chars().all(self.allowed)
    }

    pub(crate) fn check(&self, field: &'static str, text: &str) -> Result<(), RecordError> {
        if self.fits(text) {
            return Ok(());
        }
        Err(RecordError::Pattern {
            field,
            value: excerpt(text),
            rule: self.rule,
        })
    }
}

/// The characters that IAM and STS allow in names: `[\w+=,.@-]`, ASCII only.
pub(crate) fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

pub(crate) fn check_range(
    field: &'static str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), RecordError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(RecordError::Range {
        field,
        value,
        least: *range.start(),
        most: *range.end(),
    })
}

pub(crate) fn check_count(
    field: &'static str,
    unit: &'static str,
    count: usize,
    limit: usize,
) -> Result<(), RecordError> {
    if count <= limit {
        return Ok(());
    }
    Err(RecordError::TooMany {
        field,
        count,
        unit,
        limit,
    })
}

pub(crate) fn check_distinct<'a>(
    field: &'static str,
    values: impl IntoIterator<Item = &'a str>,
) -> Result<(), RecordError> {
    let mut seen = std::collections::HashSet::new();
    match values.into_iter().find(|value| !seen.insert(*value)) {
        Some(value) => Err(RecordError::Repeated {
            field,
            value: excerpt(value),
        }),
        None => Ok(()),
    }
}

/// Whether policies that share a quota keep within it.
pub(crate) fn check_quota<'a>(
    field: &'static str,
    kind: PolicyKind,
    policies: impl IntoIterator<Item = &'a Policy>,
) -> Result<(), RecordError> {
    let characters = policies.into_iter().map(Policy::quota_characters).sum();
    check_count(
        field,
        "characters without white space",
        characters,
        kind.quota_characters(),
    )
}

/// Names of trust anchors and profiles.
pub(crate) const RESOURCE_NAME: Pattern = Pattern {
    allowed: |c| c.is_ascii_alphanumeric() || " -_".contains(c),
    least: 1,
    most: 255,
    rule: "1 to 255 of letters, digits, space, - and _",
};

/// Names of roles.
pub(crate) const ROLE_NAME: Pattern = Pattern {
    allowed: is_name_character,
    least: 1,
    most: 64,
    rule: "1 to 64 of letters, digits and _+=,.@-",
};

/// Names of a role's policies.
pub(crate) const POLICY_NAME: Pattern = Pattern {
    allowed: is_name_character,
    least: 1,
    most: 128,
    rule: "1 to 128 of letters, digits and _+=,.@-",
};

/// Session names and source identities (STS).
pub(crate) const SESSION_NAME: Pattern = Pattern {
    allowed: is_name_character,
    least: 2,
    most: 64,
    rule: "2 to 64 of letters, digits and _+=,.@-",
};

/// Policies are stored as the text their author wrote, and read once, when the record is.
pub(crate) mod policy_text {
    use bowline_policy::{Policy, PolicyKind};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        policy: &Policy,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        policy.text().serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        kind: PolicyKind,
    ) -> Result<Policy, D::Error> {
        Policy::parse(&String::deserialize(deserializer)?, kind).map_err(serde::de::Error::custom)
    }

    pub(crate) fn identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        read(deserializer, PolicyKind::Identity)
    }

    pub(crate) fn boundary<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        read(deserializer, PolicyKind::Boundary)
    }

    pub(crate) fn trust<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        read(deserializer, PolicyKind::Trust)
    }

    pub(crate) fn session<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        read(deserializer, PolicyKind::Session)
    }

    /// A session policy that may be absent.
    pub(crate) mod optional_session {
        use super::{Deserialize, Deserializer, Policy, PolicyKind, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            policy: &Option<Policy>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            policy.as_ref().map(Policy::text).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Policy>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| {
                    Policy::parse(&text, PolicyKind::Session).map_err(serde::de::Error::custom)
                })
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests;

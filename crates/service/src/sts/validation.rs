//! The limits of what a call of STS may be given, and the words in which AWS says that they are broken.

use crate::error::StsError;

/// Collects what is wrong with the parameters of a call, so that all of it is said at once.
#[derive(Default)]
pub(crate) struct Validation {
    failures: Vec<String>,
}

impl Validation {
    /// The length of a text in characters.
    pub(crate) fn length(
        &mut self,
        parameter: &str,
        value: &str,
        least: usize,
        most: usize,
    ) -> &mut Validation {
        let length = value.chars().count();
        if length < least {
            let constraint = format!("Member must have length greater than or equal to {least}");
            self.fail(parameter, value, &constraint);
        } else if length > most {
            let constraint = format!("Member must have length less than or equal to {most}");
            self.fail(parameter, value, &constraint);
        }
        self
    }

    /// The characters of a text; `pattern` says in the message which are allowed.
    pub(crate) fn pattern(
        &mut self,
        parameter: &str,
        value: &str,
        pattern: &str,
        allowed: impl Fn(char) -> bool,
    ) -> &mut Validation {
        if !value.chars().all(allowed) {
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.fail(parameter, value, &constraint);
        }
        self
    }

    /// The size of a number.
    pub(crate) fn range(
        &mut self,
        parameter: &str,
        value: Option<u32>,
        range: &std::ops::RangeInclusive<u32>,
    ) -> &mut Validation {
        let Some(value) = value else {
            return self;
        };
        if value < *range.start() {
            let constraint = format!(
                "Member must have value greater than or equal to {}",
                range.start()
            );
            self.fail(parameter, &value.to_string(), &constraint);
        } else if value > *range.end() {
            let constraint = format!(
                "Member must have value less than or equal to {}",
                range.end()
            );
            self.fail(parameter, &value.to_string(), &constraint);
        }
        self
    }

    /// How many members a list has. Past that they are not looked at: the answer would grow with the call.
    pub(crate) fn count(&mut self, parameter: &str, count: usize, most: usize) -> &mut Validation {
        if count > most {
            let constraint = format!("Member must have length less than or equal to {most}");
            self.fail(parameter, &format!("{count} members"), &constraint);
        }
        self
    }

    /// The ARN of a role to be assumed.
    pub(crate) fn role_arn(&mut self, arn: &str) -> &mut Validation {
        self.length("roleArn", arn, 20, 2_048)
    }

    /// A session's name.
    pub(crate) fn role_session_name(&mut self, name: &str) -> &mut Validation {
        self.length("roleSessionName", name, 2, 64).pattern(
            "roleSessionName",
            name,
            r"[\w+=,.@-]*",
            is_name_character,
        )
    }

    /// What narrows the session and how long it lasts, as in every call that assumes a role.
    pub(crate) fn session(
        &mut self,
        policy: Option<&str>,
        policy_arns: &[String],
        duration_seconds: Option<u32>,
        minimum_session_token_size: Option<u32>,
    ) -> &mut Validation {
        if let Some(policy) = policy {
            self.length("policy", policy, 1, usize::MAX);
        }
        self.count("policyArns", policy_arns.len(), POLICY_ARNS_MAX);
        let looked_at = policy_arns.iter().take(POLICY_ARNS_MAX);
        for (number, arn) in (1..).zip(looked_at) {
            self.length(&format!("policyArns.{number}.member.arn"), arn, 20, 2_048);
        }
        self.range("durationSeconds", duration_seconds, &(900..=43_200))
            .range(
                "minimumSessionTokenSize",
                minimum_session_token_size,
                &(0..=4_096),
            )
    }

    /// Session tags.
    pub(crate) fn tags(&mut self, tags: &[(String, String)]) -> &mut Validation {
        self.count("tags", tags.len(), TAGS_MAX);
        for (number, (key, value)) in (1..).zip(tags.iter().take(TAGS_MAX)) {
            let parameter = format!("tags.{number}.member.key");
            self.length(&parameter, key, 1, 128);
            self.pattern(&parameter, key, TAG_PATTERN, is_tag_character);
            if key.to_ascii_lowercase().starts_with("aws:") {
                self.fail(&parameter, key, "Member must not begin with aws:");
            }
            let parameter = format!("tags.{number}.member.value");
            self.length(&parameter, value, 0, 256);
            self.pattern(&parameter, value, TAG_PATTERN, is_tag_character);
        }
        self
    }

    /// Nothing was wrong, or all that was.
    pub(crate) fn finish(&mut self) -> Result<(), StsError> {
        match std::mem::take(&mut self.failures) {
            failures if failures.is_empty() => Ok(()),
            failures => Err(StsError::Validation { failures }),
        }
    }

    fn fail(&mut self, parameter: &str, value: &str, constraint: &str) {
        let shown: String = value.chars().take(VALUE_CHARACTERS_MAX).collect();
        self.failures.push(format!(
            "Value '{shown}' at '{parameter}' failed to satisfy constraint: {constraint}"
        ));
    }
}

/// The characters of session names and source identities: `[\w+=,.@-]`, ASCII only.
pub(crate) fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

/// The characters of tags; what the letters and spaces of Unicode are is decided where tags are made.
fn is_tag_character(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() && !c.is_control() || "_.:/=+-@".contains(c)
}

/// The most managed policies that narrow a session (STS).
const POLICY_ARNS_MAX: usize = 10;

/// The most session tags (STS).
const TAGS_MAX: usize = 50;

const TAG_PATTERN: &str = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*";

/// How much of a refused value is repeated: enough to know it again.
const VALUE_CHARACTERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(validate: impl for<'a> FnOnce(&'a mut Validation) -> &'a mut Validation) -> String {
        let mut validation = Validation::default();
        validate(&mut validation);
        validation
            .finish()
            .map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    #[test]
    fn limits_are_told_in_the_words_of_aws() {
        for (told, expected) in [
            (said(|v| v.role_session_name("ok")), "fine"),
            (
                said(|v| v.role_session_name("x")),
                "1 validation error detected: Value 'x' at 'roleSessionName' failed to satisfy constraint: Member must \
                 have length greater than or equal to 2",
            ),
            (
                said(|v| v.role_session_name("a b")),
                r"1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
            ),
            (
                said(|v| v.session(None, &[], Some(899), None)),
                "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must \
                 have value greater than or equal to 900",
            ),
            (
                said(|v| v.session(None, &[], Some(43_201), Some(4_096))),
                "1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: Member \
                 must have value less than or equal to 43200",
            ),
        ] {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let told = said(|v| {
            v.role_arn("arn")
                .session(Some(""), &vec!["x".repeat(20); 11], None, None)
        });
        assert!(told.starts_with("3 validation errors detected: "), "{told}");
        assert!(told.contains("; Value '' at 'policy'"), "{told}");
    }

    #[test]
    fn what_is_told_does_not_grow_with_what_is_asked() {
        let arns = |count| vec!["x".to_owned(); count];
        let told = |count| said(|v| v.session(None, &arns(count), None, None));
        assert!(told(10).starts_with("10 validation errors detected: "));
        assert!(told(30_000).len() < told(10).len() + 200);
        let tags = vec![("*".to_owned(), "*".to_owned()); 30_000];
        assert!(said(|v| v.tags(&tags)).starts_with("101 validation errors detected: "));
    }

    #[test]
    fn tags_keep_their_limits() {
        let tag = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        let long = "v".repeat(257);
        for (tags, fine) in [
            (tag("Project", "Ünder construction: a/b"), true),
            (tag("Project", ""), true),
            (tag("", "x"), false),
            (tag("a*", "x"), false),
            (tag("a", "x\u{7}"), false),
            (tag("aws:x", "x"), false),
            (tag("a", &long), false),
        ] {
            assert_eq!(said(|v| v.tags(&tags)) == "fine", fine, "{tags:?}");
        }
    }
}

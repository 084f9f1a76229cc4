//! Which events somebody asked for. Members are looked for by their names, so events that a newer program wrote are
//! found too.

use std::net::IpAddr;

use bowline_x509::{SerialNumber, Time};
use serde_json::Value;

use super::listing::{ListEvents, Outcome};
use crate::audit::is_refusal;
use crate::error::Error;

/// The filters of a listing, ready to be compared.
pub(super) struct Filter {
    from: Option<Time>,
    to: Option<Time>,
    subject: Option<String>,
    serial: Option<String>,
    role: Option<String>,
    outcome: Option<Outcome>,
    event: Option<String>,
    source: Option<IpAddr>,
}

impl Filter {
    pub(super) fn new(ask: &ListEvents) -> Result<Filter, Error> {
        let serial = match &ask.certificate {
            Some(text) => Some(text.parse::<SerialNumber>()?.to_hex()),
            None => None,
        };
        Ok(Filter {
            from: ask.from,
            to: ask.to,
            subject: ask.subject.as_ref().map(|text| text.to_lowercase()),
            serial,
            role: ask.role.clone(),
            outcome: ask.outcome,
            event: ask.event.clone(),
            source: ask.source.map(|source| source.to_canonical()),
        })
    }

    /// Whether an event is among those asked for. One that does not read is, unless something is asked of it.
    pub(super) fn takes(&self, entry: &[u8]) -> bool {
        if self.is_open() {
            return true;
        }
        let Ok(event) = serde_json::from_slice::<Value>(entry) else {
            return false;
        };
        let text = |member: &str| event.get(member).and_then(Value::as_str);
        let at = || text("at").and_then(crate::parse_time);
        let kind = text("event").unwrap_or_default();
        self.from
            .is_none_or(|from| at().is_some_and(|at| from <= at))
            && self.to.is_none_or(|to| at().is_some_and(|at| at < to))
            && self.event.as_deref().is_none_or(|event| event == kind)
            && self
                .outcome
                .is_none_or(|outcome| (outcome == Outcome::Refused) == is_refusal(kind))
            && self.source.is_none_or(|source| {
                text("source")
                    .and_then(|text| text.parse::<IpAddr>().ok())
                    .is_some_and(|from| from.to_canonical() == source)
            })
            && self.serial.as_deref().is_none_or(|serial| {
                ["serial", "renews", "serials"]
                    .iter()
                    .any(|member| any_text(event.get(member), |text| text == serial))
            })
            && self.subject.as_deref().is_none_or(|pattern| {
                text("subject").is_some_and(|subject| is_subject(pattern, subject))
                    || any_text(event.get("names"), |name| is_name(pattern, name))
            })
            && self.role.as_deref().is_none_or(|role| {
                ["role", "roles"]
                    .iter()
                    .any(|member| any_text(event.get(member), |text| is_role(role, text)))
                    || text("caller").is_some_and(|caller| acts_as(role, caller))
                    || text("subject").is_some_and(|subject| carries(role, subject))
            })
    }

    fn is_open(&self) -> bool {
        self.from.is_none()
            && self.to.is_none()
            && self.subject.is_none()
            && self.serial.is_none()
            && self.role.is_none()
            && self.outcome.is_none()
            && self.event.is_none()
            && self.source.is_none()
    }
}

/// Whether a member is a text, or a list with a text, of which something holds.
fn any_text(member: Option<&Value>, holds: impl Fn(&str) -> bool) -> bool {
    match member {
        Some(Value::String(text)) => holds(text),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(holds),
        _ => false,
    }
}

/// Whether a pattern is the whole of a subject, or of one of its attributes' values.
pub(crate) fn is_subject(pattern: &str, subject: &str) -> bool {
    matches(pattern, subject) || attributes(subject).any(|(_, value)| matches(pattern, &value))
}

/// Whether a pattern is an alternative name; the events have `DNS:web.test` and its like.
fn is_name(pattern: &str, name: &str) -> bool {
    matches(pattern, name)
        || name
            .split_once(':')
            .is_some_and(|(_, value)| matches(pattern, value))
}

/// Whether an ARN or a name is that of a role.
pub(crate) fn is_role(role: &str, text: &str) -> bool {
    text == role
        || text
            .split_once(":role/")
            .is_some_and(|(_, path)| path.rsplit('/').next() == Some(role))
}

/// Whether a caller is a session of a role: `…:assumed-role/ROLE/SESSION`.
fn acts_as(role: &str, caller: &str) -> bool {
    let name = role.rsplit('/').next().unwrap_or(role);
    caller
        .split_once(":assumed-role/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .is_some_and(|(assumed, _)| assumed == name)
}

/// Whether a certificate's subject names a role, as the ones issued here do in their OU.
fn carries(role: &str, subject: &str) -> bool {
    let name = role.rsplit('/').next().unwrap_or(role);
    attributes(subject)
        .any(|(label, value)| label == "OU" && value.split('/').any(|part| part == name))
}

/// The attributes of a subject as RFC 4514 writes it, with what was escaped as it was meant.
fn attributes(subject: &str) -> impl Iterator<Item = (String, String)> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in subject.chars() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            ',' | '+' if !escaped => parts.push(String::new()),
            _ => {
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
        escaped = false;
    }
    parts.into_iter().filter_map(|part| {
        let (label, value) = part.split_once('=')?;
        Some((label.trim().to_owned(), value.to_owned()))
    })
}

/// Whether a text is a pattern in lower case, in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, fits) in [
            ("web-1", "WEB-1", true),
            ("web-1", "web-10", false),
            ("web-*", "web-10", true),
            ("*", "", true),
            ("*.test", "a.test", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_subject_is_found_by_a_whole_value() {
        let subject = "CN=web-1\\, north,OU=reader/writer+O=Example";
        for (pattern, fits) in [
            ("web-1, north", true),
            ("web-1", false),
            ("web-1*", true),
            ("example", true),
            ("cn=web-1\\, north,ou=reader/writer+o=example", true),
            ("reader", false),
        ] {
            assert_eq!(is_subject(pattern, subject), fits, "{pattern}");
        }
        assert!(carries("reader", subject));
        assert!(carries("arn:aws:iam::000000000000:role/writer", subject));
        assert!(!carries("read", subject));
    }

    #[test]
    fn a_role_is_found_by_its_name_and_its_arn() {
        let arn = "arn:aws:iam::000000000000:role/ops/reader";
        assert!(is_role("reader", arn));
        assert!(is_role(arn, arn));
        assert!(!is_role("ops", arn));
        let caller = "arn:aws:sts::000000000000:assumed-role/reader/web-1";
        assert!(acts_as("reader", caller) && acts_as(arn, caller));
        assert!(!acts_as("web-1", caller));
    }
}

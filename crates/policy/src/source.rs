//! Reads JSON the strict way: every value keeps its place in the text, a name that occurs twice
//! in one object is an error, numbers keep their digits.
//!
//! `serde_json::Value` would keep the last of two equal names and round numbers to `f64`; a
//! policy that two readers understand differently is a way around it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{PolicyError, Position, Problem};
use crate::{NESTING_MAX, POLICY_BYTES_MAX};

/// The text of a policy.
pub(crate) struct Source<'a> {
    text: &'a str,
    /// The last place asked for, so that places asked for in order cost one walk together.
    cursor: Cell<(usize, Position)>,
}

/// One value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    raw: &'a str,
    offset: usize,
}

/// One name of an object with its value.
pub(crate) struct Member<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Of the name.
    pub(crate) at: Node<'a>,
    pub(crate) value: Node<'a>,
}

impl<'a> Source<'a> {
    /// Checks size, depth and syntax, and gives the outermost value.
    pub(crate) fn open(text: &'a str) -> Result<(Self, Node<'a>), PolicyError> {
        let source = Self {
            text,
            cursor: Cell::new((0, START)),
        };
        let start = Node {
            raw: text,
            offset: 0,
        };
        if text.len() > POLICY_BYTES_MAX {
            let problem = Problem::TooLarge {
                bytes: text.len(),
                limit: POLICY_BYTES_MAX,
            };
            return Err(source.error(start, problem));
        }
        if let Some(offset) = first_too_deep(text) {
            let problem = Problem::TooDeep { limit: NESTING_MAX };
            return Err(source.error(Node { raw: "", offset }, problem));
        }
        let whole: &RawValue =
            serde_json::from_str(text).map_err(|error| source.syntax(start, &error))?;
        let node = source.node(whole);
        Ok((source, node))
    }

    /// The members of an object, in order. `place` says in errors which object it is.
    pub(crate) fn object(
        &self,
        node: Node<'a>,
        place: &str,
    ) -> Result<Vec<Member<'a>>, PolicyError> {
        if !node.raw.starts_with('{') {
            return Err(self.wrong_type(node, place, "an object"));
        }
        let RawObject(raw) =
            serde_json::from_str(node.raw).map_err(|error| self.syntax(node, &error))?;
        let mut seen = BTreeSet::new();
        let mut members = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            let at = self.node(name);
            let name = self.text_of(at)?;
            if !seen.insert(name.clone()) {
                let problem = Problem::Duplicate {
                    name: name.into_owned(),
                    place: place.to_owned(),
                };
                return Err(self.error(at, problem));
            }
            let value = self.node(value);
            members.push(Member { name, at, value });
        }
        Ok(members)
    }

    /// The elements of an array, or the one value that stands in place of an array of one.
    pub(crate) fn one_or_many(&self, node: Node<'a>) -> Result<Vec<Node<'a>>, PolicyError> {
        if !node.raw.starts_with('[') {
            return Ok(vec![node]);
        }
        let raw: Vec<&'a RawValue> =
            serde_json::from_str(node.raw).map_err(|error| self.syntax(node, &error))?;
        Ok(raw.into_iter().map(|value| self.node(value)).collect())
    }

    /// A string. `element` says in errors what should have been one.
    pub(crate) fn string(
        &self,
        node: Node<'a>,
        element: &str,
    ) -> Result<Cow<'a, str>, PolicyError> {
        if !node.raw.starts_with('"') {
            return Err(self.wrong_type(node, element, "a string"));
        }
        self.text_of(node)
    }

    /// A string, or the text of a number or boolean as it is written.
    pub(crate) fn scalar(
        &self,
        node: Node<'a>,
        element: &str,
    ) -> Result<Cow<'a, str>, PolicyError> {
        match node.raw.as_bytes().first() {
            Some(b'"') => self.text_of(node),
            Some(b'{' | b'[' | b'n') | None => {
                Err(self.wrong_type(node, element, "a string, number or boolean"))
            }
            Some(_) => Ok(Cow::Borrowed(node.raw)),
        }
    }

    /// An error at a value.
    pub(crate) fn error(&self, node: Node<'_>, problem: Problem) -> PolicyError {
        PolicyError {
            position: self.position(node),
            problem,
        }
    }

    /// Line and column of a value.
    pub(crate) fn position(&self, node: Node<'_>) -> Position {
        self.position_at(node.offset)
    }

    fn position_at(&self, offset: usize) -> Position {
        let (mut from, mut position) = self.cursor.get();
        if from > offset {
            (from, position) = (0, START);
        }
        for character in self.text.get(from..offset).unwrap_or_default().chars() {
            if character == '\n' {
                position.line += 1;
                position.column = 1;
            } else {
                position.column += 1;
            }
        }
        self.cursor.set((offset, position));
        position
    }

    /// Finds a value's place from where it lies in memory: all of them borrow from one text.
    fn node(&self, value: &'a RawValue) -> Node<'a> {
        let raw = value.get();
        Node {
            raw,
            offset: raw.as_ptr() as usize - self.text.as_ptr() as usize,
        }
    }

    fn text_of(&self, node: Node<'a>) -> Result<Cow<'a, str>, PolicyError> {
        let inner = node.raw.strip_prefix('"').and_then(|s| s.strip_suffix('"'));
        match inner {
            Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
            _ => serde_json::from_str::<String>(node.raw)
                .map(Cow::Owned)
                .map_err(|error| self.syntax(node, &error)),
        }
    }

    fn wrong_type(&self, node: Node<'_>, element: &str, expected: &'static str) -> PolicyError {
        let problem = Problem::Type {
            element: element.to_owned(),
            expected,
            found: node.type_name(),
        };
        self.error(node, problem)
    }

    /// An error of the JSON reader, which counts from the beginning of what it was given.
    fn syntax(&self, node: Node<'_>, error: &serde_json::Error) -> PolicyError {
        let lines_before = error.line().saturating_sub(1);
        let line_start = match lines_before {
            0 => 0,
            n => node
                .raw
                .match_indices('\n')
                .nth(n - 1)
                .map_or(0, |(at, _)| at + 1),
        };
        // The reader counts bytes; land on the character it stopped in.
        let mut at = (line_start + error.column().saturating_sub(1)).min(node.raw.len());
        while !node.raw.is_char_boundary(at) {
            at -= 1;
        }
        let text = error.to_string();
        let message = match text.rfind(" at line ") {
            Some(end) => text[..end].to_owned(),
            None => text,
        };
        PolicyError {
            position: self.position_at(node.offset + at),
            problem: Problem::Syntax { message },
        }
    }
}

impl Node<'_> {
    fn type_name(self) -> &'static str {
        match self.raw.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }
}

/// Names and values of an object, in order, repeats kept.
struct RawObject<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The offset of the first bracket that opens a level too many.
fn first_too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Some(offset);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

const START: Position = Position { line: 1, column: 1 };

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Vec<String>, PolicyError> {
        let (source, node) = Source::open(text)?;
        let members = source.object(node, "the test")?;
        Ok(members.into_iter().map(|m| m.name.into_owned()).collect())
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused_where_it_stands() {
        let error = members("{\"a\": 1,\n  \"\\u0061\": 2}").unwrap_err();
        assert_eq!(error.code(), "policy_duplicate_element");
        assert_eq!(error.position.to_string(), "2:3");
    }

    #[test]
    fn names_keep_their_order_and_case() {
        assert_eq!(members(r#"{"b":1,"a":2,"A":3}"#).unwrap(), ["b", "a", "A"]);
    }

    #[test]
    fn syntax_errors_have_their_place() {
        let error = members("{\n  \"a\": 1,,\n}").unwrap_err();
        assert_eq!(error.code(), "policy_not_json");
        assert_eq!(error.position.to_string(), "2:10");
        for text in [
            "",
            "{",
            "{} x",
            "{\"a\":\"\\ud800\"}x",
            "\u{feff}{}",
            "{'a':1}",
        ] {
            assert!(members(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_not_a_string() {
        let (source, node) = Source::open(r#""\ud800""#).unwrap();
        assert!(source.string(node, "the test").is_err());
    }

    #[test]
    fn columns_count_characters() {
        let (source, node) = Source::open("[\"äöü\", 7]").unwrap();
        let nodes = source.one_or_many(node).unwrap();
        assert_eq!(source.position(nodes[1]).to_string(), "1:9");
        assert_eq!(source.position(nodes[0]).to_string(), "1:2");
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let deep = format!(
            "{}{}",
            "[".repeat(NESTING_MAX + 1),
            "]".repeat(NESTING_MAX + 1)
        );
        assert_eq!(members(&deep).unwrap_err().code(), "policy_too_deep");
        let text = format!("{{\"a\": \"\\\"{}\"}}", "[".repeat(100));
        assert!(members(&text).is_ok());
        assert!(members(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let (source, node) = Source::open("10.10000000000000000000000001").unwrap();
        let text = source.scalar(node, "the test").unwrap();
        assert_eq!(text, "10.10000000000000000000000001");
    }
}

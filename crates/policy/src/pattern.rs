//! Patterns with wildcards and variables, compiled once and matched without backtracking trees.

use std::borrow::Cow;
use std::cell::Cell;

use crate::context::{Context, fold};
use crate::error::Problem;

/// Text with wildcards and variables, as tokens. What a variable stands for is always literal:
/// a `*` in a tag value is a star, a `${…}` in it is not looked up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    Fixed(Vec<Token<Box<str>>>),
    /// With at least one variable.
    Templated(Vec<Part>),
}

/// What a pattern is made of once its variables are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<S> {
    Literal(S),
    /// `*`: any run of characters, an empty one too.
    Any,
    /// `?`: exactly one character.
    One,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Token(Token<Box<str>>),
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// As written.
    pub(crate) key: Box<str>,
    folded: Box<str>,
    default: Option<Box<str>>,
}

/// What in a text is more than a literal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    pub(crate) wildcards: bool,
    pub(crate) variables: bool,
}

/// A variable without a value: the pattern that holds it matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unresolved;

/// Counts the work of one evaluation and ends it at a limit.
#[derive(Debug)]
pub(crate) struct Steps {
    left: Cell<u64>,
}

impl Steps {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            left: Cell::new(limit),
        }
    }

    /// Takes `count` steps; false once there are none left.
    #[inline]
    pub(crate) fn take(&self, count: usize) -> bool {
        let left = self.left.get().saturating_sub(count as u64);
        self.left.set(left);
        left > 0
    }

    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let (piece, after) = variable(rest).map_err(|reason| Problem::Variable {
                    found: text.to_owned(),
                    reason,
                })?;
                match piece {
                    Piece::Escaped(character) => literal.push(character),
                    Piece::Variable(variable) => {
                        flush(&mut literal, &mut parts);
                        parts.push(Part::Variable(variable));
                    }
                }
                rest = after;
                continue;
            }
            match character {
                '*' if syntax.wildcards => {
                    flush(&mut literal, &mut parts);
                    parts.push(Part::Token(Token::Any));
                }
                '?' if syntax.wildcards => {
                    flush(&mut literal, &mut parts);
                    parts.push(Part::Token(Token::One));
                }
                _ => literal.push(character),
            }
            rest = &rest[character.len_utf8()..];
        }
        flush(&mut literal, &mut parts);
        Ok(Self::from_parts(parts))
    }

    /// Reads field-wise: cuts at every colon outside variables, up to the fifth.
    pub(crate) fn parse_fields(text: &str, syntax: Syntax) -> Result<Vec<Self>, Problem> {
        let mut fields = Vec::with_capacity(6);
        let mut start = 0;
        let mut at = 0;
        while at < text.len() && fields.len() < 5 {
            let rest = &text[at..];
            if syntax.variables && rest.starts_with("${") {
                // A malformed one is reported when its field is parsed.
                at += variable(rest).map_or(2, |(_, after)| rest.len() - after.len());
            } else if rest.starts_with(':') {
                fields.push(Self::parse(&text[start..at], syntax)?);
                at += 1;
                start = at;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        fields.push(Self::parse(&text[start..], syntax)?);
        Ok(fields)
    }

    fn from_parts(mut parts: Vec<Part>) -> Self {
        normalise(&mut parts);
        if parts.iter().any(|part| matches!(part, Part::Variable(_))) {
            return Self::Templated(parts);
        }
        let token = |part| match part {
            Part::Token(token) => Some(token),
            Part::Variable(_) => None,
        };
        Self::Fixed(parts.into_iter().filter_map(token).collect())
    }

    /// Whether it holds a wildcard outside of variables.
    pub(crate) fn has_wildcards(&self) -> bool {
        let wild = |token: &Token<Box<str>>| matches!(token, Token::Any | Token::One);
        match self {
            Self::Fixed(tokens) => tokens.iter().any(wild),
            Self::Templated(parts) => parts
                .iter()
                .any(|part| matches!(part, Part::Token(token) if wild(token))),
        }
    }

    /// Whether it is a `*` alone.
    pub(crate) fn is_any(&self) -> bool {
        matches!(self, Self::Fixed(tokens) if matches!(tokens.as_slice(), [Token::Any]))
    }

    pub(crate) fn has_variables(&self) -> bool {
        matches!(self, Self::Templated(_))
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let parts = match self {
            Self::Fixed(_) => &[],
            Self::Templated(parts) => parts.as_slice(),
        };
        parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Token(_) => None,
        })
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(
        &self,
        text: &str,
        case: Case,
        context: &Context,
        steps: &Steps,
    ) -> Result<bool, Unresolved> {
        match self {
            Self::Fixed(tokens) => Ok(glob(tokens, text, case, steps)),
            Self::Templated(parts) => {
                let mut tokens = Vec::with_capacity(parts.len());
                for part in parts {
                    tokens.push(match part {
                        Part::Token(Token::Literal(literal)) => Token::Literal(&**literal),
                        Part::Token(Token::Any) => Token::Any,
                        Part::Token(Token::One) => Token::One,
                        Part::Variable(variable) => Token::Literal(variable.resolve(context)?),
                    });
                }
                Ok(glob(&tokens, text, case, steps))
            }
        }
    }

    /// The text a pattern without wildcards stands for.
    pub(crate) fn resolve(&self, context: &Context) -> Result<Cow<'_, str>, Unresolved> {
        if let Self::Fixed(tokens) = self
            && let [Token::Literal(literal)] = tokens.as_slice()
        {
            return Ok(Cow::Borrowed(literal));
        }
        let mut text = String::new();
        match self {
            Self::Fixed(tokens) => tokens.iter().for_each(|token| {
                if let Token::Literal(literal) = token {
                    text.push_str(literal);
                }
            }),
            Self::Templated(parts) => {
                for part in parts {
                    match part {
                        Part::Token(Token::Literal(literal)) => text.push_str(literal),
                        Part::Token(_) => {}
                        Part::Variable(variable) => text.push_str(variable.resolve(context)?),
                    }
                }
            }
        }
        Ok(Cow::Owned(text))
    }
}

impl Variable {
    /// The value of a single-valued key, else the default.
    fn resolve<'a>(&'a self, context: &'a Context) -> Result<&'a str, Unresolved> {
        self.value(context)
            .or(self.default.as_deref())
            .ok_or(Unresolved)
    }

    /// The value of the key, if it has exactly one.
    pub(crate) fn value<'a>(&self, context: &'a Context) -> Option<&'a str> {
        let entry = context.entry(&self.folded)?;
        if entry.multivalued {
            return None;
        }
        entry.values.first().map(String::as_str)
    }

    pub(crate) fn has_default(&self) -> bool {
        self.default.is_some()
    }
}

/// Whether ASCII letters of either case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Ignored,
}

/// Two pointers: on a mismatch the last `*` takes one character more. Earlier stars need no second
/// try, because the leftmost place for what stands between two stars is as good as any later one.
/// So no more than text × pattern steps, and no memory.
fn glob<S: AsRef<str>>(tokens: &[Token<S>], text: &str, case: Case, steps: &Steps) -> bool {
    let (mut token, mut at) = (0, 0);
    // The token after the last star, and where in the text it was tried last.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let rest = &text[at..];
        if !steps.take(1) {
            return false;
        }
        let width = match tokens.get(token) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Token::Any) => {
                token += 1;
                match tokens.get(token..) {
                    None | Some([]) => return true,
                    // Only one place is left for the last literal: the end.
                    Some([Token::Literal(last)]) => {
                        let last = last.as_ref();
                        return steps.take(last.len() / BYTES_PER_STEP)
                            && ends_with(rest, last, case);
                    }
                    Some(_) => {}
                }
                star = Some((token, at));
                continue;
            }
            Some(Token::One) => rest.chars().next().map(char::len_utf8),
            Some(Token::Literal(literal)) => {
                let literal = literal.as_ref();
                if !steps.take(literal.len() / BYTES_PER_STEP) {
                    return false;
                }
                starts_with(rest, literal, case).then_some(literal.len())
            }
        };
        if let Some(width) = width {
            at += width;
            token += 1;
            continue;
        }
        let Some((after, tried)) = star else {
            return false;
        };
        let Some(skipped) = text[tried..].chars().next() else {
            return false;
        };
        at = tried + skipped.len_utf8();
        token = after;
        star = Some((after, at));
    }
}

fn starts_with(text: &str, literal: &str, case: Case) -> bool {
    let (text, literal) = (text.as_bytes(), literal.as_bytes());
    let Some(head) = text.get(..literal.len()) else {
        return false;
    };
    match case {
        Case::Sensitive => head == literal,
        Case::Ignored => head.eq_ignore_ascii_case(literal),
    }
}

fn ends_with(text: &str, literal: &str, case: Case) -> bool {
    let (text, literal) = (text.as_bytes(), literal.as_bytes());
    let Some(from) = text.len().checked_sub(literal.len()) else {
        return false;
    };
    match case {
        Case::Sensitive => &text[from..] == literal,
        Case::Ignored => text[from..].eq_ignore_ascii_case(literal),
    }
}

/// Puts the `?` of a run of wildcards before its one `*`, which means the same.
fn normalise(parts: &mut Vec<Part>) {
    let mut normal: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts.drain(..) {
        let after_any = matches!(normal.last(), Some(Part::Token(Token::Any)));
        match part {
            Part::Token(Token::Any) if after_any => {}
            Part::Token(Token::One) if after_any => {
                let any = normal.len() - 1;
                normal.insert(any, Part::Token(Token::One));
            }
            other => normal.push(other),
        }
    }
    *parts = normal;
}

enum Piece {
    Escaped(char),
    Variable(Variable),
}

/// Reads the `${…}` at the beginning of `text`; gives what follows it.
fn variable(text: &str) -> Result<(Piece, &str), &'static str> {
    let inner = &text[2..];
    for (escape, character) in [("*}", '*'), ("?}", '?'), ("$}", '$')] {
        if let Some(rest) = inner.strip_prefix(escape) {
            return Ok((Piece::Escaped(character), rest));
        }
    }
    let end = inner
        .find([',', '}'])
        .ok_or("it does not end with a closing brace")?;
    let key = &inner[..end];
    if key.is_empty() {
        return Err("it has no name");
    }
    if key.contains(|c: char| c.is_whitespace() || c.is_control() || "{$'\"*?".contains(c)) {
        return Err("its name holds a space, a brace, a quote, a wildcard or a dollar sign");
    }
    let (default, rest) = if inner[end..].starts_with('}') {
        (None, &inner[end + 1..])
    } else {
        let quoted = inner[end + 1..].trim_start_matches(' ');
        let default = quoted
            .strip_prefix('\'')
            .ok_or("its default does not stand in single quotes")?;
        let close = default
            .find('\'')
            .ok_or("its default does not end with a single quote")?;
        let rest = default[close + 1..]
            .strip_prefix('}')
            .ok_or("its default is not followed by a closing brace")?;
        (Some(default[..close].into()), rest)
    };
    let variable = Variable {
        key: key.into(),
        folded: fold(key).into(),
        default,
    };
    Ok((Piece::Variable(variable), rest))
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        let text = std::mem::take(literal).into_boxed_str();
        parts.push(Part::Token(Token::Literal(text)));
    }
}

/// A comparison of this many bytes counts as a further step: memory is compared many bytes at a
/// time, so counting each would end honest evaluations early.
const BYTES_PER_STEP: usize = 32;

#[cfg(test)]
mod tests;

//! The XML of request bodies, read so strictly that no other reader can find other things in it.
//!
//! Elements, the namespace of the root alone, text, the five named entities and numeric ones. Comments, CDATA sections,
//! processing instructions and document types are refused, because readers differ in what they make of them.

use super::S3Error;

/// What is still to be read.
pub(super) struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Begins a document with its root, `<NAME>` or the same with the namespace that most clients write.
    pub(super) fn new(body: &'a [u8], root: &str) -> Result<Reader<'a>, S3Error> {
        if body.len() > BODY_BYTES_MAX {
            return refuse("it is longer than 2 MiB");
        }
        let Ok(rest) = std::str::from_utf8(body) else {
            return refuse("it is no UTF-8");
        };
        let mut reader = Reader { rest };
        reader.declaration()?;
        reader.space();
        reader.open_root(root)?;
        Ok(reader)
    }

    /// Whether an element ends here; then it is read over.
    pub(super) fn closes(&mut self, name: &str) -> bool {
        self.space();
        self.takes(&format!("</{name}>"))
    }

    /// Whether an element without anything in it stands here; then it is read over.
    pub(super) fn is_empty(&mut self, name: &str) -> bool {
        self.space();
        self.takes(&format!("<{name}/>")) || self.takes(&format!("<{name} />"))
    }

    /// Refuses what follows the root.
    pub(super) fn end(&mut self) -> Result<(), S3Error> {
        self.space();
        match self.rest {
            "" => Ok(()),
            _ => refuse("something follows its end"),
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches(SPACE);
    }

    /// The XML declaration, which may be there.
    fn declaration(&mut self) -> Result<(), S3Error> {
        self.takes("\u{feff}");
        if self.rest.starts_with("<?xml ") {
            let Some((declaration, rest)) = self.rest.split_once("?>") else {
                return refuse("its declaration does not end");
            };
            if let Some((_, encoding)) = declaration.split_once("encoding=") {
                let mut parts = encoding.splitn(3, ['"', '\'']);
                let named = (parts.next() == Some("")).then(|| parts.next()).flatten();
                if !named.is_some_and(|name| name.eq_ignore_ascii_case("utf-8")) {
                    return refuse("its encoding is not UTF-8");
                }
            } else if declaration.contains("encoding") {
                return refuse("its declaration does not read");
            }
            self.rest = rest;
        }
        Ok(())
    }

    fn open_root(&mut self, root: &str) -> Result<(), S3Error> {
        if self.takes(&format!("<{root}>")) {
            return Ok(());
        }
        for quote in ['"', '\''] {
            for slash in ["", "/"] {
                if self.takes(&format!("<{root} xmlns={quote}{NAMESPACE}{slash}{quote}>")) {
                    return Ok(());
                }
            }
        }
        refuse("it does not begin with the element that is due, plain or in the namespace of S3")
    }

    /// The name of the element that begins here.
    pub(super) fn open(&mut self) -> Result<&'a str, S3Error> {
        let element = self
            .rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .filter(|(name, _)| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        match element {
            Some((name, rest)) => {
                self.rest = rest;
                Ok(name)
            }
            None => refuse("something other than a plain element stands where one is due"),
        }
    }

    /// The text of an element, to its end.
    pub(super) fn text_until(&mut self, name: &str) -> Result<String, S3Error> {
        let Some((text, rest)) = self.rest.split_once('<') else {
            return refuse("an element does not end");
        };
        let closing = rest
            .strip_prefix('/')
            .and_then(|rest| rest.strip_prefix(name))
            .and_then(|rest| rest.strip_prefix('>'));
        let Some(rest) = closing else {
            return refuse("an element holds something other than text");
        };
        self.rest = rest;
        unescape(text)
    }
}

fn unescape(text: &str) -> Result<String, S3Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once(';') else {
            return refuse("an entity does not end");
        };
        let character = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => numeric(name),
        };
        let Some(character) = character else {
            return refuse("an entity is none of XML's own");
        };
        out.push(character);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn numeric(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let (digits, base) = match digits.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    // `from_str_radix` takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, base).ok()?)
}

/// Refuses a text that some readers take for another.
pub(super) fn check_space(text: &str) -> Result<(), S3Error> {
    match text.trim() == text {
        true => Ok(()),
        false => refuse("a text begins or ends with white space, which some readers take away"),
    }
}

pub(super) fn refuse<T>(reason: &'static str) -> Result<T, S3Error> {
    Err(S3Error::Body { reason })
}

/// White space of XML.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01";

/// The longest body: a thousand of the longest keys with what stands around them.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

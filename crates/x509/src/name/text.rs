//! The text of distinguished names, both ways (RFC 4514).

use std::fmt::{self, Write};
use std::str::FromStr;

use super::{Attribute, DistinguishedName, NameError, attribute_type};
use crate::asn1::Cursor;
use crate::oid::ObjectIdentifier;

impl fmt::Display for DistinguishedName {
    /// Writes RFC 4514 §2: relative names in reverse order, `+` inside one, `,` between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Reversed by relative name; inside one, the order of the certificate stays.
        let mut end = self.attributes.len();
        while end > 0 {
            let rdn = self.attributes[end - 1].rdn;
            let start = self.attributes[..end]
                .iter()
                .rposition(|attribute| attribute.rdn != rdn)
                .map_or(0, |at| at + 1);
            if end != self.attributes.len() {
                f.write_char(',')?;
            }
            for (index, attribute) in self.attributes[start..end].iter().enumerate() {
                if index > 0 {
                    f.write_char('+')?;
                }
                write_attribute(f, attribute)?;
            }
            end = start;
        }
        Ok(())
    }
}

fn write_attribute(f: &mut fmt::Formatter<'_>, attribute: &Attribute) -> fmt::Result {
    write!(f, "{}=", attribute.label())?;
    if attribute.short_name().is_none() || !attribute.is_text {
        // RFC 4514 §2.4: without a keyword there is no agreed text, so the DER is written.
        return write!(f, "#{}", hex::encode(&attribute.value_der));
    }
    let last = attribute.value.chars().count().saturating_sub(1);
    for (index, character) in attribute.value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{character}")?,
            ' ' if index == 0 || index == last => f.write_str("\\ ")?,
            '#' if index == 0 => f.write_str("\\#")?,
            // Only NUL must be escaped; a line break in a log line is no better.
            character if character.is_control() => {
                let mut utf8 = [0; 4];
                for octet in character.encode_utf8(&mut utf8).bytes() {
                    write!(f, "\\{octet:02x}")?;
                }
            }
            character => f.write_char(character)?,
        }
    }
    Ok(())
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    /// Reads RFC 4514 §3. Keywords may be in any case, and spaces may follow `,` and `+`; the empty text is the empty name.
    fn from_str(text: &str) -> Result<DistinguishedName, NameError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(NameError::TooLarge {
                unit: "bytes of text",
                found: text.len(),
                allowed: TEXT_BYTES_MAX,
            });
        }
        if text.is_empty() {
            return Ok(DistinguishedName::empty());
        }
        let mut parser = Parser {
            characters: text.chars().collect(),
            position: 0,
        };
        let mut rdns = vec![vec![parser.attribute()?]];
        while let Some(separator) = parser.take() {
            let attribute = parser.attribute()?;
            match (separator, rdns.last_mut()) {
                ('+', Some(rdn)) => rdn.push(attribute),
                _ => rdns.push(vec![attribute]),
            }
        }
        rdns.reverse();
        DistinguishedName::encode(&rdns)
    }
}

struct Parser {
    characters: Vec<char>,
    position: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += 1;
        Some(character)
    }

    fn error(&self, rule: &'static str) -> NameError {
        NameError::Text {
            position: self.position + 1,
            rule,
        }
    }

    /// `type=value`, up to a `,` or `+` or the end.
    fn attribute(&mut self) -> Result<(ObjectIdentifier, Vec<u8>), NameError> {
        while self.peek() == Some(' ') {
            self.position += 1;
        }
        let mut keyword = String::new();
        loop {
            match self.take() {
                Some('=') => break,
                Some(character)
                    if character.is_ascii_alphanumeric() || "-. ".contains(character) =>
                {
                    keyword.push(character);
                }
                _ => {
                    self.position = self.position.saturating_sub(1);
                    return Err(self.error("an attribute type and = are expected"));
                }
            }
        }
        let keyword = keyword.trim_end();
        let unknown = || NameError::UnknownType {
            keyword: keyword.chars().take(SHOWN_CHARS_MAX).collect(),
        };
        let oid = attribute_type::from_keyword(keyword).ok_or_else(unknown)?;
        while self.peek() == Some(' ') {
            self.position += 1;
        }
        let value = if self.peek() == Some('#') {
            self.hexadecimal()?
        } else {
            attribute_type::encode_value(&oid, &self.string()?)
        };
        Ok((oid, value))
    }

    /// `#` and the hexadecimal of one DER element.
    fn hexadecimal(&mut self) -> Result<Vec<u8>, NameError> {
        self.position += 1;
        let mut digits = String::new();
        while let Some(digit) = self
            .peek()
            .filter(|character| !matches!(character, ',' | '+'))
        {
            digits.push(digit);
            self.position += 1;
        }
        let value = hex::decode(digits.trim_end())
            .map_err(|_| self.error("hexadecimal digits in pairs follow #"))?;
        let mut cursor = Cursor::new(&value);
        cursor.any("attribute value")?;
        cursor.end("attribute value")?;
        Ok(value)
    }

    /// A value with its escapes undone (RFC 4514 §3).
    fn string(&mut self) -> Result<String, NameError> {
        let mut value: Vec<u8> = Vec::new();
        // Spaces that nobody escaped are dropped at the end.
        let mut kept = 0;
        while let Some(character) = self
            .peek()
            .filter(|character| !matches!(character, ',' | '+'))
        {
            match character {
                '\\' => {
                    self.position += 1;
                    value.push(self.escape()?);
                    kept = value.len();
                    continue;
                }
                '"' | ';' | '<' | '>' => {
                    return Err(self.error("one of \" ; < > must be escaped with \\"));
                }
                '\0' => return Err(self.error("a NUL must be written \\00")),
                character => {
                    let mut utf8 = [0; 4];
                    value.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                    if character != ' ' {
                        kept = value.len();
                    }
                }
            }
            self.position += 1;
        }
        value.truncate(kept);
        String::from_utf8(value).map_err(|_| self.error("the escaped octets are not UTF-8"))
    }

    /// What follows a backslash: a special character, or two hexadecimal digits of an octet.
    fn escape(&mut self) -> Result<u8, NameError> {
        let rule = "after \\ comes one of \" + , ; < > # = \\, a space, or two hexadecimal digits";
        let first = self.take().ok_or_else(|| self.error(rule))?;
        if let '"' | '+' | ',' | ';' | '<' | '>' | '#' | '=' | '\\' | ' ' = first {
            // Cannot truncate: all of these are ASCII.
            return Ok(first as u8);
        }
        let second = self.take().and_then(|digit| digit.to_digit(16));
        match (first.to_digit(16), second) {
            // Cannot truncate: two hexadecimal digits.
            (Some(high), Some(low)) => Ok((high << 4 | low) as u8),
            _ => Err(self.error(rule)),
        }
    }
}

/// The longest text read, in bytes: escaping can make it three times its DER.
const TEXT_BYTES_MAX: usize = 48 << 10;

/// How much of a wrong keyword an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 40;

//! PKCS#11 URIs (RFC 7512): which object of which token is meant, and where its PIN is.

use std::path::PathBuf;

use bowline_service::Secret;

use super::error::KeySourceError;

/// What a URI says. It is a search: what it leaves out matches anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pkcs11Uri {
    /// The path as it was written, for messages: it carries no PIN.
    path: String,
    /// What must be true of the token and its slot, each by the attribute's name.
    token: Vec<(&'static str, String)>,
    /// The slot's number.
    pub(super) slot_id: Option<u64>,
    /// The object's label, CKA_LABEL.
    pub(super) object: Option<String>,
    /// The object's identifier, CKA_ID.
    pub(super) id: Option<Vec<u8>>,
    /// Where the PIN is.
    pub(super) pin: Option<Pin>,
    /// The library, where the URI names it.
    pub(super) module: Option<PathBuf>,
}

/// Where a PIN is.
#[derive(Clone, Debug)]
pub(super) enum Pin {
    /// In the URI, where everybody on this machine can read it.
    Value(Secret),
    /// In a file.
    Source(PathBuf),
}

impl Pkcs11Uri {
    /// Whether a text is meant as one.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len())
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Pkcs11Uri, KeySourceError> {
        let refuse = |reason: String| KeySourceError::Uri { reason };
        if !Pkcs11Uri::is_meant(text) {
            return Err(refuse(format!("it does not begin with {SCHEME}")));
        }
        let rest = &text[SCHEME.len()..];
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Pkcs11Uri {
            path: path.to_owned(),
            ..Pkcs11Uri::default()
        };
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in attributes(path, ';').map_err(refuse)? {
            // RFC 7512 §2.3: no attribute twice in a path.
            if seen.contains(&name) {
                return Err(refuse(format!("{name} is given twice")));
            }
            seen.push(name);
            let text = || {
                String::from_utf8(value.clone()).map_err(|_| refuse(format!("{name} is no UTF-8")))
            };
            match name {
                "object" => uri.object = Some(text()?),
                "id" => uri.id = Some(value),
                "slot-id" => {
                    let number = text()?.parse().ok();
                    uri.slot_id =
                        Some(number.ok_or_else(|| refuse("slot-id is no number".into()))?);
                }
                // A certificate and its key go by one URI: what is looked for decides the class.
                "type" => match text()?.as_str() {
                    "cert" | "private" | "public" => {}
                    other => {
                        return Err(refuse(format!(
                            "type={other} holds neither certificate nor key"
                        )));
                    }
                },
                _ => match TOKEN_ATTRIBUTES.iter().find(|known| **known == name) {
                    Some(known) => uri.token.push((known, text()?)),
                    // It would narrow the search in a way that is not understood: another object could be found.
                    None => return Err(refuse(format!("{name} is no attribute of its path"))),
                },
            }
        }
        for (name, value) in attributes(query, '&').map_err(refuse)? {
            let text =
                String::from_utf8(value).map_err(|_| refuse(format!("{name} is no UTF-8")))?;
            match name {
                "pin-value" => uri.pin = Some(Pin::Value(Secret::from(text))),
                "pin-source" if text.starts_with('|') => {
                    return Err(refuse(
                        "pin-source names a program, and only files are read".into(),
                    ));
                }
                "pin-source" => {
                    let path = text.strip_prefix("file://").unwrap_or(&text);
                    let path = path.strip_prefix("file:").unwrap_or(path);
                    uri.pin = Some(Pin::Source(path.into()));
                }
                "module-path" => uri.module = Some(text.into()),
                "module-name" => {
                    uri.module
                        .get_or_insert_with(|| format!("lib{text}.so").into());
                }
                // RFC 7512 §2.4: others may be there for others.
                _ => {}
            }
        }
        Ok(uri)
    }

    /// Whether a token is meant. `fact` gives what is true of it, by the attribute's name.
    pub(super) fn matches(&self, fact: impl Fn(&str) -> String) -> bool {
        self.token
            .iter()
            // Tokens pad their texts with spaces.
            .all(|(name, wanted)| fact(name).trim_end() == wanted.trim_end())
    }

    /// How it is shown, without its PIN.
    pub(super) fn shown(&self) -> String {
        format!("{SCHEME}{}", self.path)
    }
}

/// Writes a URI of a certificate: what tells it from the others of its token.
pub(super) fn uri_of(token: &[(&str, &str)], id: &[u8], object: &str) -> String {
    let mut parts: Vec<String> = token
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", encoded(value.as_bytes())))
        .collect();
    if !id.is_empty() {
        let octets: String = id.iter().map(|octet| format!("%{octet:02X}")).collect();
        parts.push(format!("id={octets}"));
    }
    if !object.is_empty() {
        parts.push(format!("object={}", encoded(object.as_bytes())));
    }
    parts.push("type=cert".into());
    format!("{SCHEME}{}", parts.join(";"))
}

/// Attributes with their values decoded (RFC 3986 §2.1).
fn attributes(text: &str, separator: char) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let written = text.split(separator).filter(|part| !part.is_empty());
    written
        .map(|part| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| "an attribute has no value".to_owned())?;
            let value = decoded(value)
                .ok_or_else(|| format!("{name} has a % without two hexadecimal digits"))?;
            Ok((name, value))
        })
        .collect()
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            octets.push(*first);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        // from_str_radix would take a sign.
        let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        octets.push(u8::from_str_radix(digits, 16).ok().filter(|_| plain)?);
        rest = &after[2..];
    }
    Some(octets)
}

fn encoded(octets: &[u8]) -> String {
    octets
        .iter()
        .map(|octet| match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*octet).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

const SCHEME: &str = "pkcs11:";
/// What a path may say of a token, its slot and its library (RFC 7512 §2.3).
const TOKEN_ATTRIBUTES: [&str; 9] = [
    "token",
    "manufacturer",
    "serial",
    "model",
    "slot-description",
    "slot-manufacturer",
    "library-manufacturer",
    "library-description",
    "library-version",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reason: &str) {
        let error = Pkcs11Uri::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(!error.contains("1234"), "{error}");
    }

    #[test]
    fn a_uri_names_a_token_an_object_and_where_the_pin_is() {
        let uri = Pkcs11Uri::parse(
            "pkcs11:token=my%20token;serial=7;object=web;id=%01%ab;slot-id=3;type=private?pin-source=file:/etc/pin&module-path=/l.so",
        )
        .unwrap();
        assert_eq!(uri.object.as_deref(), Some("web"));
        assert_eq!(uri.id.as_deref(), Some(&[0x01, 0xab][..]));
        assert_eq!(uri.slot_id, Some(3));
        assert!(matches!(&uri.pin, Some(Pin::Source(path)) if path == "/etc/pin"));
        assert_eq!(uri.module, Some("/l.so".into()));
        let token = |name: &str| match name {
            "token" => "my token    ".to_owned(),
            _ => "7".to_owned(),
        };
        assert!(uri.matches(token));
        assert!(!uri.matches(|_| "another".into()));
    }

    #[test]
    fn a_pin_in_a_uri_is_never_shown() {
        let uri = Pkcs11Uri::parse("pkcs11:token=a?pin-value=1234").unwrap();
        assert!(matches!(&uri.pin, Some(Pin::Value(pin)) if pin.reveal() == "1234"));
        assert_eq!(uri.shown(), "pkcs11:token=a");
        assert!(!format!("{uri:?}").contains("1234"));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_showing_it() {
        check("pkcs12:token=a", "does not begin");
        check("pkcs11:pin-value=1234", "pin-value is no attribute");
        check("pkcs11:token=a;token=b", "token is given twice");
        check("pkcs11:id=%4", "%");
        check("pkcs11:id=%+1", "%");
        check("pkcs11:token", "no value");
        check("pkcs11:slot-id=x", "no number");
        check("pkcs11:type=data", "type=data");
        check("pkcs11:token=a?pin-source=|cat", "program");
    }

    #[test]
    fn what_is_listed_reads_back() {
        let written = uri_of(&[("token", "a b;c"), ("model", "")], &[0, 255], "web/1");
        let uri = Pkcs11Uri::parse(&written).unwrap();
        assert_eq!(uri.id.as_deref(), Some(&[0, 255][..]));
        assert_eq!(uri.object.as_deref(), Some("web/1"));
        assert!(uri.matches(|_| "a b;c".into()));
    }
}

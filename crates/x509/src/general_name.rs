//! General names: what a subjectAltName lists (RFC 5280 §4.2.1.6).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::asn1::{self, Cursor, DerError, Element};
use crate::name::{DistinguishedName, NameError};

/// One of the names a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GeneralName {
    /// A host name, perhaps with `*` as its first label.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI such as a SPIFFE ID.
    Uri(String),
    /// A mailbox.
    Email(String),
    /// A distinguished name.
    DirectoryName(DistinguishedName),
    /// Another kind (otherName, registeredID, …), as the DER of the GeneralName.
    Other(Vec<u8>),
}

/// Why some text is not a general name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GeneralNameError {
    /// Not a host name.
    #[error("{name:?} is not a DNS name: {rule}")]
    Dns {
        /// What was given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Not a URI.
    #[error("{name:?} is not a URI: {rule}")]
    Uri {
        /// What was given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Not a mailbox.
    #[error("{name:?} is not an email address: {rule}")]
    Email {
        /// What was given.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Not an address.
    #[error("{name:?} is not an IP address")]
    Ip {
        /// What was given.
        name: String,
    },
    /// Not a directory name.
    #[error("directory name: {0}")]
    DirectoryName(#[from] NameError),
    /// Not the hexadecimal of the DER of a GeneralName.
    #[error("{name:?} is not the hexadecimal of a DER GeneralName")]
    Other {
        /// What was given.
        name: String,
    },
    /// No kind of name is written before the colon.
    #[error("{name:?} has no kind: write DNS:, IP:, URI:, email: or dirName: before it")]
    Untyped {
        /// What was given.
        name: String,
    },
}

impl GeneralName {
    /// Tells the kind from the look: an address, `scheme://` a URI, `@` a mailbox, anything else a host name.
    /// A kind written before it (`URI:urn:x`, `DNS:web`) is obeyed.
    pub fn detect(text: &str) -> Result<GeneralName, GeneralNameError> {
        match text.parse() {
            Err(GeneralNameError::Untyped { .. }) => {}
            Ok(GeneralName::Dns(name)) => return GeneralName::dns(&name),
            Ok(GeneralName::Uri(name)) => return GeneralName::uri(&name),
            Ok(GeneralName::Email(name)) => return GeneralName::email(&name),
            other => return other,
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(GeneralName::Ip(address))
        } else if text.contains("://") {
            GeneralName::uri(text)
        } else if text.contains('@') {
            GeneralName::email(text)
        } else {
            GeneralName::dns(text)
        }
    }

    /// A host name in the preferred syntax of RFC 1034 §3.5, lower-cased; `*` may stand alone as the first of several labels.
    pub fn dns(name: &str) -> Result<GeneralName, GeneralNameError> {
        let refuse = |rule| {
            Err(GeneralNameError::Dns {
                name: shorten(name),
                rule,
            })
        };
        let host = match name.strip_prefix("*.") {
            Some(rest) => rest,
            None if name == "*" => return refuse("a wildcard needs a name to its right"),
            None => name,
        };
        match host_name_fault(host).or((name.len() > DNS_NAME_MAX).then_some(NAME_TOO_LONG)) {
            Some(rule) => refuse(rule),
            None => Ok(GeneralName::Dns(name.to_ascii_lowercase())),
        }
    }

    /// A URI with its scheme (RFC 3986 §3.1); after `//` a host must follow, unless the scheme is `file`.
    pub fn uri(name: &str) -> Result<GeneralName, GeneralNameError> {
        let refuse = |rule| {
            Err(GeneralNameError::Uri {
                name: shorten(name),
                rule,
            })
        };
        let Some((scheme, rest)) = name.split_once(':') else {
            return refuse("it has no scheme");
        };
        let scheme_tail = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(scheme_tail)
        {
            return refuse("a scheme is a letter and then letters, digits, +, - and .");
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("only printable ASCII may stand in it; percent-encode the rest");
        }
        if name.bytes().any(|byte| b"\"<>\\^`{|}".contains(&byte)) {
            return refuse("one of \" < > \\ ^ ` { | } must be percent-encoded");
        }
        let authority = rest
            .strip_prefix("//")
            .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        if rest.is_empty()
            || authority.is_some_and(str::is_empty) && !scheme.eq_ignore_ascii_case("file")
        {
            return refuse("nothing follows the scheme");
        }
        if name.len() > NAME_BYTES_MAX {
            return refuse(NAME_TOO_LONG);
        }
        Ok(GeneralName::Uri(name.to_owned()))
    }

    /// A mailbox: `local@host` (RFC 5321 §4.1.2, without quoted local parts and address literals).
    pub fn email(name: &str) -> Result<GeneralName, GeneralNameError> {
        let refuse = |rule| {
            Err(GeneralNameError::Email {
                name: shorten(name),
                rule,
            })
        };
        let Some((local, host)) = name.split_once('@') else {
            return refuse("it has no @");
        };
        let atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
        if !local.is_ascii() {
            return refuse("an internationalised local part has no place in an rfc822Name");
        }
        if local.is_empty() || local.len() > LOCAL_PART_MAX || !local.bytes().all(atom) {
            return refuse("the part before @ is 1 to 64 letters, digits and !#$%&'*+-/=?^_`{|}~.");
        }
        if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
            return refuse("a dot may not begin or end the part before @, nor follow another");
        }
        match host_name_fault(host) {
            Some(rule) => refuse(rule),
            None => Ok(GeneralName::Email(name.to_owned())),
        }
    }

    /// Reads one GeneralName. Content is taken as it is: whether a foreign host name is well formed is for others to judge.
    pub(crate) fn from_element(element: &Element<'_>) -> Result<GeneralName, DerError> {
        let content = element.content;
        let text = |field| {
            if !content.is_ascii() {
                return Err(DerError::Value {
                    field,
                    rule: "an IA5String holds ASCII only",
                });
            }
            // Cannot lose anything: ASCII.
            Ok(String::from_utf8_lossy(content).into_owned())
        };
        match element.tag {
            EMAIL => text("rfc822Name").map(GeneralName::Email),
            DNS => text("dNSName").map(GeneralName::Dns),
            URI => text("uniformResourceIdentifier").map(GeneralName::Uri),
            IP => {
                let field = "iPAddress";
                if let Ok(octets) = <[u8; 4]>::try_from(content) {
                    Ok(GeneralName::Ip(Ipv4Addr::from(octets).into()))
                } else if let Ok(octets) = <[u8; 16]>::try_from(content) {
                    Ok(GeneralName::Ip(Ipv6Addr::from(octets).into()))
                } else {
                    Err(DerError::Value {
                        field,
                        rule: "an address has 4 or 16 octets",
                    })
                }
            }
            DIRECTORY_NAME => {
                let field = "directoryName";
                DistinguishedName::from_der(content)
                    .map(GeneralName::DirectoryName)
                    .map_err(|error| match error {
                        NameError::Der(error) => error,
                        _ => DerError::Value {
                            field,
                            rule: "a name of bounded size is expected",
                        },
                    })
            }
            OTHER_NAME | X400_ADDRESS | EDI_PARTY_NAME | REGISTERED_ID => {
                Ok(GeneralName::Other(element.der.to_vec()))
            }
            found => Err(DerError::Tag {
                field: "general name",
                expected: DNS,
                found,
            }),
        }
    }

    /// Reads one GeneralName and nothing after it.
    pub fn from_der(der: &[u8]) -> Result<GeneralName, DerError> {
        let mut cursor = Cursor::new(der);
        let element = cursor.any("general name")?;
        cursor.end("general name")?;
        GeneralName::from_element(&element)
    }

    /// Encodes one GeneralName.
    pub fn to_der(&self) -> Vec<u8> {
        match self {
            GeneralName::Dns(name) => asn1::element(DNS, name.as_bytes()),
            GeneralName::Ip(IpAddr::V4(address)) => asn1::element(IP, &address.octets()),
            GeneralName::Ip(IpAddr::V6(address)) => asn1::element(IP, &address.octets()),
            GeneralName::Uri(name) => asn1::element(URI, name.as_bytes()),
            GeneralName::Email(name) => asn1::element(EMAIL, name.as_bytes()),
            GeneralName::DirectoryName(name) => asn1::element(DIRECTORY_NAME, name.as_der()),
            GeneralName::Other(der) => der.clone(),
        }
    }

    /// Reads GeneralNames, the content of a subjectAltName.
    pub fn list_from_der(der: &[u8]) -> Result<Vec<GeneralName>, DerError> {
        let field = "general names";
        let list = Cursor::only(der, asn1::SEQUENCE, field)?.inside();
        GeneralName::list(list, field)
    }

    /// Reads GeneralNames to the end of the cursor; at least one.
    pub(crate) fn list(
        mut list: Cursor<'_>,
        field: &'static str,
    ) -> Result<Vec<GeneralName>, DerError> {
        let mut names = Vec::new();
        while !list.is_empty() {
            names.push(GeneralName::from_element(&list.any(field)?)?);
        }
        if names.is_empty() {
            Err(DerError::Missing { field })
        } else {
            Ok(names)
        }
    }

    /// Encodes GeneralNames, the content of a subjectAltName.
    pub fn list_to_der(names: &[GeneralName]) -> Vec<u8> {
        let names: Vec<Vec<u8>> = names.iter().map(GeneralName::to_der).collect();
        asn1::element(asn1::SEQUENCE, &names.concat())
    }

    /// The kind, as it is written before the name: `DNS`, `IP`, `URI`, `email`, `dirName`, `other`.
    pub fn kind(&self) -> &'static str {
        match self {
            GeneralName::Dns(_) => "DNS",
            GeneralName::Ip(_) => "IP",
            GeneralName::Uri(_) => "URI",
            GeneralName::Email(_) => "email",
            GeneralName::DirectoryName(_) => "dirName",
            GeneralName::Other(_) => "other",
        }
    }

    /// The name without its kind.
    pub fn value(&self) -> String {
        match self {
            GeneralName::Dns(name) | GeneralName::Uri(name) | GeneralName::Email(name) => {
                name.clone()
            }
            GeneralName::Ip(address) => address.to_string(),
            GeneralName::DirectoryName(name) => name.to_string(),
            GeneralName::Other(der) => hex::encode(der),
        }
    }
}

impl fmt::Display for GeneralName {
    /// Writes the kind, a colon, and the name: `DNS:web.example`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.value())
    }
}

impl FromStr for GeneralName {
    type Err = GeneralNameError;

    /// Reads what `Display` writes. Names of the three text kinds are taken as they stand, so that foreign ones survive;
    /// [`GeneralName::detect`] is for what people type.
    fn from_str(text: &str) -> Result<GeneralName, GeneralNameError> {
        let untyped = || GeneralNameError::Untyped {
            name: shorten(text),
        };
        let (kind, name) = text.split_once(':').ok_or_else(untyped)?;
        let plain = |name: &str| name.is_ascii().then(|| name.to_owned());
        if kind.eq_ignore_ascii_case("DNS") {
            plain(name)
                .map(GeneralName::Dns)
                .ok_or(GeneralNameError::Dns {
                    name: shorten(name),
                    rule: PUNYCODE,
                })
        } else if kind.eq_ignore_ascii_case("URI") {
            let rule = "only ASCII may stand in it; percent-encode the rest";
            plain(name)
                .map(GeneralName::Uri)
                .ok_or(GeneralNameError::Uri {
                    name: shorten(name),
                    rule,
                })
        } else if kind.eq_ignore_ascii_case("email") {
            plain(name)
                .map(GeneralName::Email)
                .ok_or(GeneralNameError::Email {
                    name: shorten(name),
                    rule: PUNYCODE,
                })
        } else if kind.eq_ignore_ascii_case("IP") {
            let address = name.parse().map_err(|_| GeneralNameError::Ip {
                name: shorten(name),
            })?;
            Ok(GeneralName::Ip(address))
        } else if kind.eq_ignore_ascii_case("dirName") {
            Ok(GeneralName::DirectoryName(name.parse()?))
        } else if kind.eq_ignore_ascii_case("other") {
            let other = || GeneralNameError::Other {
                name: shorten(name),
            };
            let der = hex::decode(name).map_err(|_| other())?;
            GeneralName::from_der(&der).map_err(|_| other())
        } else {
            Err(untyped())
        }
    }
}

crate::text_serde!(GeneralName);

/// What keeps some text from being a host name.
fn host_name_fault(host: &str) -> Option<&'static str> {
    if !host.is_ascii() {
        return Some(PUNYCODE);
    }
    if host.is_empty() {
        return Some("it is empty");
    }
    if host.len() > DNS_NAME_MAX {
        return Some(NAME_TOO_LONG);
    }
    for label in host.split('.') {
        if label.is_empty() {
            return Some("a label between dots is empty");
        }
        if label.len() > DNS_LABEL_MAX {
            return Some("a label is longer than 63 characters");
        }
        if label.contains('*') {
            return Some("a wildcard may only be the whole of the first label");
        }
        if !label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Some("labels are letters, digits and hyphens");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a label may not begin or end with a hyphen");
        }
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("it ends in a number, like an IP address, and is none");
    }
    None
}

fn shorten(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

const PUNYCODE: &str = "it is internationalised; write it in punycode (xn--…)";
const NAME_TOO_LONG: &str = "it is too long";

/// Longest host name, in characters (RFC 1034 §3.1: 255 octets on the wire).
const DNS_NAME_MAX: usize = 253;

/// Longest label, in characters (RFC 1034 §3.1).
const DNS_LABEL_MAX: usize = 63;

/// Longest part before the @, in octets (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;

/// Longest URI, in octets: the bound SPIFFE sets, and what browsers and proxies bear.
const NAME_BYTES_MAX: usize = 2048;

/// How much of a wrong text an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

const OTHER_NAME: u8 = asn1::context_constructed(0);
const EMAIL: u8 = asn1::context(1);
const DNS: u8 = asn1::context(2);
const X400_ADDRESS: u8 = asn1::context_constructed(3);
const DIRECTORY_NAME: u8 = asn1::context_constructed(4);
const EDI_PARTY_NAME: u8 = asn1::context_constructed(5);
const URI: u8 = asn1::context(6);
const IP: u8 = asn1::context(7);
const REGISTERED_ID: u8 = asn1::context(8);

#[cfg(test)]
mod tests;

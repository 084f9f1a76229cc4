//! Reading XML: no DTD, no entities but the five of XML itself, bounded depth, and names with their namespaces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::Time;
use uppsala::{Document, NodeId, NodeKind, Parser};

use super::refusal::AssertionRefusal;

/// Namespace of SAML assertions.
pub(crate) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Namespace of SAML requests and responses.
pub(crate) const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Namespace of XML signatures.
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Namespace of SAML metadata.
const MD: &str = "urn:oasis:names:tc:SAML:2.0:metadata";

/// Parses a document.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, AssertionRefusal> {
    // The library compares every attribute of an element with every other. No `<` stands in an attribute's value
    // (XML 1.0 §2.3), so this counts at least as many as there are.
    let crowded = |part: &str| part.bytes().filter(|byte| *byte == b'=').count() > ATTRIBUTES_MAX;
    if text.split('<').any(crowded) {
        return Err(AssertionRefusal::Xml {
            why: format!("an element has more than {ATTRIBUTES_MAX} attributes"),
        });
    }
    // Canonicalized, the name of a namespace stands in every element that uses its prefix: long ones would make megabytes
    // out of a small message.
    if text.split("xmlns").skip(1).any(is_long_name) {
        return Err(AssertionRefusal::Xml {
            why: format!("a namespace has a name of more than {NAMESPACE_BYTES_MAX} bytes"),
        });
    }
    Parser::new()
        .with_forbid_dtd(true)
        .with_forbid_entities(true)
        .with_max_depth(DEPTH_MAX)
        .parse(text)
        .map_err(|error| AssertionRefusal::Xml {
            why: crate::ids::excerpt(&error.to_string()),
        })
}

/// Whether a value of an attribute, up to whose `=` the name goes on, is longer than a namespace's name.
fn is_long_name(rest: &str) -> bool {
    let Some((_, value)) = rest.split_once('=') else {
        return false;
    };
    let mut characters = value.trim_start().chars();
    match characters.next() {
        Some(quote @ ('"' | '\'')) => characters
            .as_str()
            .bytes()
            .take(NAMESPACE_BYTES_MAX + 1)
            .all(|byte| char::from(byte) != quote),
        Some(_) | None => false,
    }
}

/// The outermost element, if it has that name.
pub(crate) fn root(
    document: &Document<'_>,
    namespace: &str,
    name: &'static str,
) -> Result<NodeId, AssertionRefusal> {
    document
        .document_element()
        .filter(|id| is(document, *id, namespace, name))
        .ok_or(AssertionRefusal::Shape {
            element: name,
            why: "the document is not one",
        })
}

/// Whether a node is an element of that name.
pub(crate) fn is(document: &Document<'_>, id: NodeId, namespace: &str, name: &str) -> bool {
    document
        .element(id)
        .is_some_and(|element| element.matches_name_ns(namespace, name))
}

/// The elements directly inside an element.
pub(crate) fn elements(document: &Document<'_>, parent: NodeId) -> Vec<NodeId> {
    let mut children = document.children(parent);
    children.retain(|id| document.element(*id).is_some());
    children
}

/// The elements of a name directly inside an element.
pub(crate) fn children(
    document: &Document<'_>,
    parent: NodeId,
    namespace: &str,
    name: &str,
) -> Vec<NodeId> {
    let mut children = elements(document, parent);
    children.retain(|id| is(document, *id, namespace, name));
    children
}

/// The one element of a name directly inside an element.
pub(crate) fn only(
    document: &Document<'_>,
    parent: NodeId,
    namespace: &str,
    name: &'static str,
) -> Result<NodeId, AssertionRefusal> {
    match children(document, parent, namespace, name)[..] {
        [one] => Ok(one),
        [] => Err(AssertionRefusal::Shape {
            element: name,
            why: "it is missing",
        }),
        _ => Err(AssertionRefusal::Shape {
            element: name,
            why: "it stands more than once",
        }),
    }
}

/// The text of an element that holds nothing else, the white space around it taken off.
pub(crate) fn text(
    document: &Document<'_>,
    id: NodeId,
    element: &'static str,
) -> Result<String, AssertionRefusal> {
    let mut text = String::new();
    for child in document.children(id) {
        match document.node_kind(child) {
            Some(NodeKind::Text(part) | NodeKind::CData(part)) => text.push_str(part),
            // Where two readers might read two texts, neither is right.
            _ => {
                return Err(AssertionRefusal::Shape {
                    element,
                    why: "it holds more than text",
                });
            }
        }
    }
    Ok(trimmed(&text).to_owned())
}

/// A text without the white space around it: that of XML (§2.3) only. Somebody whose name ends with a space of Unicode is
/// somebody else.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// An attribute without a namespace, as all of SAML's are.
pub(crate) fn attribute<'d>(document: &'d Document<'_>, id: NodeId, name: &str) -> Option<&'d str> {
    document
        .element(id)?
        .attributes
        .iter()
        .find(|attribute| {
            attribute.name.namespace_uri.is_none() && attribute.name.local_name == name
        })
        .map(|attribute| &*attribute.value)
}

/// An attribute that holds a time (SAML Core §1.3.3).
pub(crate) fn time(
    document: &Document<'_>,
    id: NodeId,
    name: &'static str,
) -> Result<Option<Time>, AssertionRefusal> {
    let Some(text) = attribute(document, id, name) else {
        return Ok(None);
    };
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| Some(time.to_utc()))
        .map_err(|_| AssertionRefusal::Shape {
            element: name,
            why: "it is not a time in UTC",
        })
}

/// Base64 with white space anywhere, as XML signatures and certificates are wrapped.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let compact: String = text
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .collect();
    STANDARD.decode(compact).ok()
}

/// What is read of metadata: the entity id, the certificates that sign (DER), and until when it is good.
pub(crate) type Metadata = (String, Vec<Vec<u8>>, Option<Time>);

/// Reads the metadata of one identity provider (SAML Metadata 2.0 §2.3.2, §2.4.3).
pub(crate) fn read_metadata(text: &str) -> Result<Metadata, AssertionRefusal> {
    let document = parse(text)?;
    let shape = |element, why| AssertionRefusal::Shape { element, why };
    let entity = root(&document, MD, "EntityDescriptor")?;
    let entity_id = attribute(&document, entity, "entityID")
        .filter(|id| !id.is_empty() && id.chars().count() <= ENTITY_ID_CHARACTERS_MAX)
        .ok_or(shape(
            "EntityDescriptor",
            "its entityID is missing or over 1,024 characters",
        ))?;
    let provider = only(&document, entity, MD, "IDPSSODescriptor")?;
    let ends = [
        time(&document, entity, "validUntil")?,
        time(&document, provider, "validUntil")?,
    ];
    let mut certificates = Vec::new();
    for key in children(&document, provider, MD, "KeyDescriptor") {
        if attribute(&document, key, "use").is_some_and(|usage| usage != "signing") {
            continue;
        }
        let info = only(&document, key, DS, "KeyInfo")?;
        for data in children(&document, info, DS, "X509Data") {
            for certificate in children(&document, data, DS, "X509Certificate") {
                let encoded = self::text(&document, certificate, "X509Certificate")?;
                certificates
                    .push(base64(&encoded).ok_or(shape("X509Certificate", "it is not base64"))?);
            }
        }
    }
    match certificates.len() {
        0 => Err(shape(
            "IDPSSODescriptor",
            "it has no KeyDescriptor for signing with an X509Certificate",
        )),
        1..=CERTIFICATES_MAX => Ok((
            entity_id.to_owned(),
            certificates,
            ends.into_iter().flatten().min(),
        )),
        _ => Err(shape(
            "IDPSSODescriptor",
            "it has more than 10 certificates",
        )),
    }
}

/// How deep elements may lie in each other. A response with all it may hold is about 12 deep.
const DEPTH_MAX: u32 = 64;
/// The most attributes and namespaces of an element. Those of SAML have up to ten.
const ATTRIBUTES_MAX: usize = 256;
/// The longest name of a namespace. Those of SAML and XML signatures have up to 60 characters.
const NAMESPACE_BYTES_MAX: usize = 256;
/// The longest entity id (SAML Metadata 2.0 §2.2.1).
const ENTITY_ID_CHARACTERS_MAX: usize = 1024;
/// The most certificates of a provider: two during a rollover, and some to spare.
const CERTIFICATES_MAX: usize = 10;

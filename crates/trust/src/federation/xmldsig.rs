//! Enveloped XML signatures in the one form that SAML has (SAML Core §5.4, XML Signature 1.1).
//!
//! Parsing and canonicalization are the library's; the form, which is small and closed, is checked here: one reference
//! to the element around the signature by its id, two transforms, algorithms out of a list, keys from the metadata only.
//!
//! **What was signed is what is read.** The octets whose digest was compared are given back, and only they are read
//! further, so that there is no second element that could be read in the place of the signed one. The same holds for
//! `SignedInfo`: what it says is read out of the octets whose signature was verified.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, UnparsedPublicKey,
};
use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::nodeset::NodeSet;
use bowline_x509::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use uppsala::{Document, NodeId};

use super::refusal::AssertionRefusal;
use super::xml::{self, DS};
use crate::ids::excerpt;

/// Verifies the signature that an element envelops, and gives the canonical text of what was signed.
pub(crate) fn verify_enveloped(
    document: &Document<'_>,
    element: NodeId,
    signature: NodeId,
    keys: &[&PublicKey],
    provider: &str,
) -> Result<String, AssertionRefusal> {
    // 1. The signature's parts, in their order; whatever it holds in itself is not taken.
    let parts = xml::elements(document, signature);
    let named = |id: Option<&NodeId>, name| id.is_some_and(|id| xml::is(document, *id, DS, name));
    let fits = named(parts.first(), "SignedInfo")
        && named(parts.get(1), "SignatureValue")
        && (parts.len() == 2 || (parts.len() == 3 && named(parts.last(), "KeyInfo")));
    let (Some(&signed_info), Some(&value), true) = (parts.first(), parts.get(1), fits) else {
        return Err(form(
            "it is not SignedInfo, SignatureValue and perhaps KeyInfo",
        ));
    };

    // 2. What it says, as the octets that are signed. Nobody has vouched for it yet, so that it must be small.
    let is_element = |id: &&NodeId| document.element(**id).is_some();
    if document
        .descendants(signed_info)
        .iter()
        .filter(is_element)
        .count()
        > SIGNED_INFO_ELEMENTS_MAX
    {
        return Err(form(
            "its SignedInfo has more elements than one reference needs",
        ));
    }
    let method = xml::only(document, signed_info, DS, "CanonicalizationMethod")?;
    let prefixes = canonicalization(document, method)?;
    let octets = canonical(
        document,
        &NodeSet::tree_without_comments(signed_info, document),
        &prefixes,
    )?;
    let signed = SignedInfo::read(&octets)?;
    if signed.prefixes != prefixes {
        return Err(form("its canonicalization reads in two ways"));
    }

    // 3. Whether a key of the provider signed that.
    let value = xml::base64(&xml::text(document, value, "SignatureValue")?)
        .ok_or_else(|| form("its SignatureValue is not base64"))?;
    if !keys
        .iter()
        .any(|key| signed.method.verifies(key, octets.as_bytes(), &value))
    {
        return Err(AssertionRefusal::Signature {
            provider: provider.into(),
        });
    }

    // 4. Whether it is about the element around it, as it stands there without the signature.
    let id = xml::attribute(document, element, "ID").unwrap_or_default();
    if id.is_empty() || signed.id != id {
        return Err(form("its reference is not to the element around it"));
    }
    let content = NodeSet::tree_without_comments(element, document)
        .subtract(&NodeSet::tree_with_comments(signature, document));
    let content = canonical(document, &content, &signed.content_prefixes)?;
    let found = digest::digest(signed.digest, content.as_bytes());
    if found.as_ref() != signed.digest_value {
        return Err(AssertionRefusal::Digest);
    }
    Ok(content)
}

/// What a SignedInfo says.
struct SignedInfo {
    prefixes: Vec<String>,
    method: Method,
    /// The id that the one reference names.
    id: String,
    content_prefixes: Vec<String>,
    digest: &'static digest::Algorithm,
    digest_value: Vec<u8>,
}

impl SignedInfo {
    fn read(octets: &str) -> Result<SignedInfo, AssertionRefusal> {
        let document = &xml::parse(octets)?;
        let info = xml::root(document, DS, "SignedInfo")?;
        let method = xml::only(document, info, DS, "CanonicalizationMethod")?;
        let prefixes = canonicalization(document, method)?;
        let method = xml::only(document, info, DS, "SignatureMethod")?;
        if !xml::elements(document, method).is_empty() {
            return Err(form("its SignatureMethod has parameters"));
        }
        let method = Method::read(algorithm(document, method))?;

        let reference = xml::only(document, info, DS, "Reference")?;
        let id = xml::attribute(document, reference, "URI")
            .and_then(|uri| uri.strip_prefix('#'))
            .ok_or_else(|| form("its reference is not to an id of the document"))?;
        let transforms = xml::only(document, reference, DS, "Transforms")?;
        let [enveloped, exclusive] = xml::elements(document, transforms)[..] else {
            return Err(form(
                "its transforms are not enveloped-signature, then exclusive canonicalization",
            ));
        };
        if algorithm(document, enveloped) != ENVELOPED {
            return Err(not_taken(algorithm(document, enveloped)));
        }
        let content_prefixes = canonicalization(document, exclusive)?;

        let digest = xml::only(document, reference, DS, "DigestMethod")?;
        let digest = match algorithm(document, digest) {
            "http://www.w3.org/2001/04/xmlenc#sha256" => &digest::SHA256,
            "http://www.w3.org/2001/04/xmldsig-more#sha384" => &digest::SHA384,
            "http://www.w3.org/2001/04/xmlenc#sha512" => &digest::SHA512,
            other => return Err(not_taken(other)),
        };
        let value = xml::only(document, reference, DS, "DigestValue")?;
        let digest_value = xml::base64(&xml::text(document, value, "DigestValue")?)
            .ok_or_else(|| form("its DigestValue is not base64"))?;
        Ok(SignedInfo {
            prefixes,
            method,
            id: id.to_owned(),
            content_prefixes,
            digest,
            digest_value,
        })
    }
}

/// A signature algorithm (XML Signature 1.1 §6.4, RFC 9231 §2.3).
#[derive(Clone, Copy)]
enum Method {
    Rsa(SignatureAlgorithm),
    /// On P-256, P-384 or P-521, each with the digest of its length.
    Ecdsa(KeyAlgorithm),
}

impl Method {
    fn read(identifier: &str) -> Result<Method, AssertionRefusal> {
        let Some(name) = identifier.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#") else {
            return Err(not_taken(identifier));
        };
        Ok(match name {
            "rsa-sha256" => Method::Rsa(SignatureAlgorithm::RsaPkcs1Sha256),
            "rsa-sha384" => Method::Rsa(SignatureAlgorithm::RsaPkcs1Sha384),
            "rsa-sha512" => Method::Rsa(SignatureAlgorithm::RsaPkcs1Sha512),
            "ecdsa-sha256" => Method::Ecdsa(KeyAlgorithm::P256),
            "ecdsa-sha384" => Method::Ecdsa(KeyAlgorithm::P384),
            "ecdsa-sha512" => Method::Ecdsa(KeyAlgorithm::P521),
            _ => return Err(not_taken(identifier)),
        })
    }

    fn verifies(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Method::Rsa(algorithm) => key.verify(algorithm, message, signature).is_ok(),
            Method::Ecdsa(curve) => {
                // Two numbers of the curve's length, not DER (XML Signature 1.1 §6.4.3).
                let verifier = match curve {
                    KeyAlgorithm::P256 => &ECDSA_P256_SHA256_FIXED,
                    KeyAlgorithm::P384 => &ECDSA_P384_SHA384_FIXED,
                    KeyAlgorithm::P521 => &ECDSA_P521_SHA512_FIXED,
                    KeyAlgorithm::Rsa { .. } | KeyAlgorithm::Ed25519 => return false,
                };
                key.algorithm() == curve
                    && UnparsedPublicKey::new(verifier, key.key_bits())
                        .verify(message, signature)
                        .is_ok()
            }
        }
    }
}

/// The prefixes that an exclusive canonicalization treats inclusively (Exclusive XML Canonicalization §4).
fn canonicalization(
    document: &Document<'_>,
    method: NodeId,
) -> Result<Vec<String>, AssertionRefusal> {
    let name = algorithm(document, method);
    if name != EXCLUSIVE {
        return Err(not_taken(name));
    }
    match xml::elements(document, method)[..] {
        [] => Ok(Vec::new()),
        [one] if xml::is(document, one, EXCLUSIVE, "InclusiveNamespaces") => {
            let list = xml::attribute(document, one, "PrefixList").unwrap_or_default();
            let prefixes: Vec<_> = list.split_ascii_whitespace().map(str::to_owned).collect();
            // Each is looked for at each element.
            if prefixes.len() > PREFIXES_MAX {
                return Err(form("its PrefixList names more than 32 prefixes"));
            }
            Ok(prefixes)
        }
        _ => Err(form("its canonicalization has parameters of another kind")),
    }
}

fn algorithm<'d>(document: &'d Document<'_>, id: NodeId) -> &'d str {
    xml::attribute(document, id, "Algorithm").unwrap_or_default()
}

fn canonical(
    document: &Document<'_>,
    nodes: &NodeSet,
    prefixes: &[String],
) -> Result<String, AssertionRefusal> {
    canonicalize_doc(document, C14nMode::Exclusive, Some(nodes), prefixes)
        .ok()
        .and_then(|octets| String::from_utf8(octets).ok())
        .ok_or_else(|| form("what it signs cannot be canonicalized"))
}

fn form(why: &'static str) -> AssertionRefusal {
    AssertionRefusal::SignatureForm { why }
}

fn not_taken(algorithm: &str) -> AssertionRefusal {
    AssertionRefusal::Algorithm {
        algorithm: excerpt(algorithm),
    }
}

/// The most elements in a SignedInfo. One with all it may hold has 11.
const SIGNED_INFO_ELEMENTS_MAX: usize = 16;
/// The most prefixes that are treated inclusively. Signers name one to three.
const PREFIXES_MAX: usize = 32;
/// Takes the signature out of what it signs (XML Signature 1.1 §6.6.4).
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// Exclusive canonicalization without comments.
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

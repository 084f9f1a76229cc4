//! Why a token or an assertion is not believed: every rule that can fail, with the values that broke it.

use bowline_x509::Time;

use super::provider::TokenAlgorithm;
use crate::keyring::stamp;

/// Why a web identity token is not believed. Values out of the token are cut short; they are the caller's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Too short or too long.
    #[error("a web identity token has {least} to {most} characters, not {characters}")]
    Length {
        /// How long it is.
        characters: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Not a signed token.
    #[error("the token is not a signed JSON Web Token: {why}")]
    Malformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// An algorithm that the provider does not use, or that nobody should.
    #[error("the token is signed with {algorithm} and provider {provider} takes {}", listed(.allowed))]
    Algorithm {
        /// That of its header.
        algorithm: String,
        /// The provider's name.
        provider: String,
        /// What the provider takes.
        allowed: Vec<TokenAlgorithm>,
    },
    /// An extension that must be understood.
    #[error("the token's header has extensions that must be understood (crit), and none is")]
    Critical,
    /// Another kind of token.
    #[error("the token is of type {found}: an ID token or access token (JWT, at+jwt) is taken")]
    Type {
        /// That of its header.
        found: String,
    },
    /// Somebody else's token.
    #[error("the token is of issuer {found} and provider {provider} is {expected}")]
    Issuer {
        /// The `iss` of the token.
        found: String,
        /// The provider's name.
        provider: String,
        /// The provider's issuer.
        expected: String,
    },
    /// For somebody else.
    #[error("the token is for {found}, which is none of the audiences of provider {provider}")]
    Audience {
        /// The `aud` of the token.
        found: String,
        /// The provider's name.
        provider: String,
    },
    /// For several, and not for whom of them it was made.
    #[error(
        "the token is for several audiences and its authorized party (azp) {found} is none of them that is an audience of provider {provider}"
    )]
    AuthorizedParty {
        /// The `azp` of the token.
        found: String,
        /// The provider's name.
        provider: String,
    },
    /// Over.
    #[error("the token ended at {} and it is {}: get a new one", stamp(.at), stamp(.now))]
    Expired {
        /// Its `exp`.
        at: Time,
        /// The time.
        now: Time,
    },
    /// Not begun.
    #[error("the token's {claim} is {} and it is {}: clocks may differ by 60 s", stamp(.at), stamp(.now))]
    Early {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// Its value.
        at: Time,
        /// The time.
        now: Time,
    },
    /// A claim is not there, or not of its type.
    #[error("the token's claim {claim} is missing or not {expected}")]
    Claim {
        /// Its name.
        claim: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A claim for the session that no session can carry.
    #[error("the token's claim {claim} cannot be used: {why}")]
    SessionClaim {
        /// Its name.
        claim: String,
        /// What is wrong with it.
        why: String,
    },
    /// No key that could have signed it.
    #[error("no key of provider {provider} fits the token: it names key {key}, and {algorithm}")]
    KeyUnknown {
        /// The key id of its header.
        key: String,
        /// The algorithm of its header.
        algorithm: TokenAlgorithm,
        /// The provider's name.
        provider: String,
    },
    /// Another key signed it, or it was changed.
    #[error("the token's signature is not that of a key of provider {provider}")]
    Signature {
        /// The provider's name.
        provider: String,
    },
}

/// Why a SAML assertion, or a provider's metadata, is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionRefusal {
    /// Too short or too long.
    #[error("a SAML assertion has {least} to {most} characters of base64, not {characters}")]
    Length {
        /// How long it is.
        characters: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Not base64 of text.
    #[error("the assertion is not base64 of UTF-8 text")]
    Encoding,
    /// Not XML that is read.
    #[error("the XML does not read: {why}")]
    Xml {
        /// What the parser said.
        why: String,
    },
    /// Not of the shape that is read.
    #[error("{element}: {why}")]
    Shape {
        /// The element.
        element: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two elements with one id: what is signed could be another than what is read.
    #[error("the id `{id}` stands at more than one element")]
    IdTwice {
        /// The id.
        id: String,
    },
    /// Nothing is signed.
    #[error("neither the response nor its assertion is signed")]
    Unsigned,
    /// A signature of a form that is not taken.
    #[error("the signature is of a form that is not taken: {why}")]
    SignatureForm {
        /// What is wrong with it.
        why: &'static str,
    },
    /// An algorithm that is not taken.
    #[error(
        "the signature uses `{algorithm}`: RSA and ECDSA with SHA-256, SHA-384 or SHA-512, exclusive canonicalization and the enveloped-signature transform are taken"
    )]
    Algorithm {
        /// Its identifier.
        algorithm: String,
    },
    /// The signed content was changed.
    #[error("the signed element is not what was signed: its digest differs")]
    Digest,
    /// Another key signed it.
    #[error(
        "the signature was made by none of the certificates in the metadata of provider {provider}"
    )]
    Signature {
        /// The provider's name.
        provider: String,
    },
    /// The metadata is no longer to be used.
    #[error("the metadata of provider {provider} was valid until {}: upload newer", stamp(.until))]
    MetadataEnded {
        /// The provider's name.
        provider: String,
        /// Until when.
        until: Time,
    },
    /// Somebody else's assertion.
    #[error("the assertion is of issuer {found} and provider {provider} is {expected}")]
    Issuer {
        /// Its issuer.
        found: String,
        /// The provider's name.
        provider: String,
        /// The entity id in the provider's metadata.
        expected: String,
    },
    /// The provider says that it did not authenticate anybody.
    #[error("the provider reports {status}")]
    Status {
        /// The status code.
        status: String,
    },
    /// For somebody else.
    #[error("the assertion is for {found}: {accepted} is accepted")]
    Audience {
        /// Its audiences.
        found: String,
        /// What is accepted.
        accepted: String,
    },
    /// Delivered elsewhere.
    #[error("the assertion is to be delivered to {found}: {accepted} is accepted")]
    Recipient {
        /// Its recipients.
        found: String,
        /// What is accepted.
        accepted: String,
    },
    /// Over.
    #[error("the assertion's {what} was {} and it is {}: sign in again", stamp(.at), stamp(.now))]
    Expired {
        /// Which of its ends.
        what: &'static str,
        /// When.
        at: Time,
        /// The time.
        now: Time,
    },
    /// Not begun.
    #[error("the assertion's {what} is {} and it is {}: clocks may differ by 60 s", stamp(.at), stamp(.now))]
    Early {
        /// Which of its beginnings.
        what: &'static str,
        /// When.
        at: Time,
        /// The time.
        now: Time,
    },
    /// An attribute that is needed, or that no session can carry.
    #[error("the assertion's attribute {attribute} cannot be used: {why}")]
    Attribute {
        /// Its name.
        attribute: String,
        /// What is wrong with it.
        why: String,
    },
    /// The role that is asked for is not among those of the assertion.
    #[error(
        "the assertion does not let its subject take role {role} through provider {provider}: its Role attribute names {}", listed(.named)
    )]
    RoleNotNamed {
        /// The role asked for.
        role: String,
        /// The provider asked for.
        provider: String,
        /// The roles it names.
        named: Vec<String>,
    },
}

/// Things one after the other, or the word for none.
fn listed<T: ToString>(things: &[T]) -> String {
    match things {
        [] => "none".into(),
        some => some.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    }
}

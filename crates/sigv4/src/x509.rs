//! AWS4-X509: verifying requests that were signed with the key of a certificate, as CreateSession is.
//!
//! Proves that the sender holds the leaf's key and meant this query, these headers and this body; not the path,
//! for which one client always signs `/sessions`. Whether the leaf is to be trusted is path validation's question.

use crate::canonical::{SignedHeaders, Spelling, canonical_request, string_to_sign};
use crate::error::{SignatureError, quoted};
use crate::payload::{self, PayloadLine, sha256};
use crate::request::{SignedRequest, View};
use crate::rules::{Allowed, Rules, Window};
use crate::scope::{Authorization, Scope, Timestamp, split_credential, split_scheme};
use crate::uri::{self, EqualsSign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::{Certificate, KeyAlgorithm, PublicKey, SignatureAlgorithm, Time};
use std::borrow::Cow;
use std::fmt;

/// The most certificates beside the leaf, as IAM Roles Anywhere has it.
pub const CHAIN_MAX: usize = 5;

/// The service name in the scope.
pub const SERVICE: &str = "rolesanywhere";

/// The path AWS's own client signs whatever the path of its endpoint is.
const SESSIONS_PATH: &[u8] = b"/sessions";

/// The header of the leaf: base64 of its DER.
pub(crate) const LEAF_HEADER: &str = "x-amz-x509";

/// The header of the chain: base64 of each DER, joined by commas.
pub(crate) const CHAIN_HEADER: &str = "x-amz-x509-chain";

/// The longest signature: RSA with 16384 bits has 2048 bytes.
const SIGNATURE_BYTES_MAX: usize = 2048;

const ALLOWED: &str = "AWS4-X509-RSA-SHA256, AWS4-X509-ECDSA-SHA256";

/// The kinds of keys that AWS4-X509 signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    Ec,
}

impl Family {
    /// Which family a label names. One client takes the hash of the certificate's own signature into the label
    /// although it signs over SHA-256 like all others; so the hash is read past.
    fn of_label(label: &str) -> Result<Family, SignatureError> {
        match label {
            "AWS4-X509-RSA-SHA256" | "AWS4-X509-RSA-SHA384" | "AWS4-X509-RSA-SHA512" => {
                Ok(Family::Rsa)
            }
            "AWS4-X509-ECDSA-SHA256" | "AWS4-X509-ECDSA-SHA384" | "AWS4-X509-ECDSA-SHA512" => {
                Ok(Family::Ec)
            }
            "AWS4-X509-MLDSA" => Err(SignatureError::MlDsaUnsupported),
            other => Err(SignatureError::UnsupportedAlgorithm {
                algorithm: quoted(other),
                allowed: ALLOWED,
            }),
        }
    }

    pub fn of_key(key: &PublicKey) -> Result<Family, SignatureError> {
        match key.algorithm() {
            KeyAlgorithm::Rsa { .. } => Ok(Family::Rsa),
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => Ok(Family::Ec),
            KeyAlgorithm::Ed25519 => Err(SignatureError::Ed25519Unsupported),
        }
    }

    /// The label a signer sends.
    pub fn label(self) -> &'static str {
        match self {
            Family::Rsa => "AWS4-X509-RSA-SHA256",
            Family::Ec => "AWS4-X509-ECDSA-SHA256",
        }
    }

    /// Always over SHA-256, whatever the curve or the label.
    pub fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Family::Rsa => SignatureAlgorithm::RsaPkcs1Sha256,
            Family::Ec => SignatureAlgorithm::EcdsaSha256,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Family::Rsa => "RSA",
            Family::Ec => "EC",
        }
    }
}

/// What a request claims. Nothing in it is proved before [`Presented::verify`].
pub struct Presented<'a> {
    view: View<'a>,
    algorithm: &'a str,
    family: Family,
    scope: Scope,
    timestamp: Timestamp,
    window: Window,
    signed_headers: SignedHeaders,
    signature: Vec<u8>,
    line: PayloadLine,
    leaf: Certificate,
    chain: Vec<Certificate>,
    path_is_signed: bool,
}

/// A request whose sender holds the leaf's key, dated inside the window.
///
/// Only [`Presented::verify`] makes one. The leaf is not yet trusted, and the chain proves nothing by itself.
pub struct Authenticated {
    leaf: Certificate,
    chain: Vec<Certificate>,
    region: String,
    signed_at: Time,
}

impl<'a> Presented<'a> {
    /// Takes the path on the wire for what was signed, and nothing else.
    ///
    /// AWS's client signs `/sessions` whatever the path of the endpoint, so an exchange accepts that anywhere. Where one
    /// server answers several paths, a signature for one must not open another.
    #[must_use]
    pub fn bound_to_path(mut self) -> Presented<'a> {
        self.path_is_signed = true;
        self
    }

    /// Reads the authentication of a request and checks everything that needs no signature and no clock.
    pub fn parse(
        request: &'a SignedRequest<'a>,
        rules: &Rules,
    ) -> Result<Presented<'a>, SignatureError> {
        let missing = |name| SignatureError::MissingParameter { names: vec![name] };
        // 1. One well-formed, unambiguous authentication.
        let view = View::new(request)?;
        if view.query.has("X-Amz-Signature") {
            return Err(match view.header("authorization") {
                Some(_) => SignatureError::AmbiguousAuthentication {
                    parameter: "X-Amz-Signature".to_owned(),
                },
                None => missing("Authorization"),
            });
        }
        let value = view
            .header_text("authorization")?
            .ok_or(SignatureError::MissingAuthentication)?;
        let (label, rest) = split_scheme(value);
        let family = Family::of_label(label)?;
        let date = view.header_text("x-amz-date")?;
        let authorization = Authorization::parse(rest, date.is_none().then_some("x-amz-date"))?;
        let signature = read_signature(authorization.signature)?;
        let timestamp = Timestamp::parse(date.unwrap_or_default())?;
        // 2. Scope.
        let credential = split_credential(authorization.credential)?;
        let scope = credential.scope(
            &timestamp,
            rules.check_region(credential.region),
            check_service(credential.service, rules),
        )?;
        let serial = credential.id;
        // 3. Signed headers; being x-amz-*, both certificate headers and the date are among them.
        let signed_headers = SignedHeaders::parse(authorization.signed_headers, &view)?;
        // 4. Certificates.
        let leaf = view.header(LEAF_HEADER).ok_or(missing("x-amz-x509"))?;
        let leaf = read_certificate(LEAF_HEADER, leaf)?;
        let number = leaf.serial().to_decimal();
        if serial != number {
            return Err(SignatureError::SerialMismatch {
                credential: serial.to_owned(),
                certificate: number,
            });
        }
        let key_family = Family::of_key(key_of(&leaf)?)?;
        if key_family != family {
            return Err(SignatureError::AlgorithmKeyMismatch {
                algorithm: label.to_owned(),
                key: key_family.name(),
            });
        }
        let chain = match view.header(CHAIN_HEADER) {
            Some(value) => read_chain(value, &leaf)?,
            None => Vec::new(),
        };
        // 5. Body: always part of the signature.
        let line = payload::of_body(view.body)?;
        Ok(Presented {
            view,
            algorithm: label,
            family,
            window: Window {
                skew: rules.skew_of(&scope.service),
                expires: None,
            },
            scope,
            timestamp,
            signed_headers,
            signature,
            line,
            leaf,
            chain,
            path_is_signed: false,
        })
    }

    /// The certificate whose key is claimed.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// The other certificates of the request, without the leaf and repeats, in no certain order.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The day, region and service the signature is for.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The date of the request.
    pub fn signed_at(&self) -> Time {
        self.timestamp.time
    }

    /// Checks the date, then the signature, under the leaf's key.
    pub fn verify(self, now: Time) -> Result<Authenticated, SignatureError> {
        self.window.check(self.timestamp.time, now)?;
        let key = key_of(&self.leaf)?;
        let algorithm = self.family.algorithm();
        let matches = self
            .texts()?
            .any(|text| key.verify(algorithm, &text, &self.signature).is_ok());
        if !matches {
            return Err(SignatureError::SignatureMismatch);
        }
        Ok(Authenticated {
            signed_at: self.timestamp.time,
            region: self.scope.region,
            leaf: self.leaf,
            chain: self.chain,
        })
    }

    /// The canonical request in its first spelling, for comparing with a client's own.
    pub fn canonical_request(&self) -> Vec<u8> {
        self.canonical(&Spelling {
            path: SESSIONS_PATH,
            equals: EqualsSign::Once,
            without: None,
            host: self.host(),
        })
    }

    /// The string to sign of [`Presented::canonical_request`].
    pub fn string_to_sign(&self) -> Vec<u8> {
        self.text(&self.canonical_request())
    }

    fn canonical(&self, spelling: &Spelling<'_>) -> Vec<u8> {
        canonical_request(
            &self.view,
            spelling,
            &self.signed_headers,
            self.line.text.as_bytes(),
        )
    }

    fn text(&self, canonical_request: &[u8]) -> Vec<u8> {
        let hash = sha256(canonical_request);
        string_to_sign(self.algorithm, &self.timestamp, &self.scope, &hash)
    }

    fn host(&self) -> &'a [u8] {
        // SignedHeaders::parse made sure that there is a host.
        self.view.host.unwrap_or_default()
    }

    /// The strings that clients sign for one request, the likeliest first, made only as far as they are asked for:
    /// paths (AWS's client signs `/sessions` whatever the endpoint), hosts (one leaves the port out),
    /// `=` in query values (encoded once or twice).
    fn texts(&self) -> Result<impl Iterator<Item = Vec<u8>> + '_, SignatureError> {
        let wire = uri::encoded_again(self.view.path)?;
        let mut paths = Vec::new();
        if !self.path_is_signed {
            paths.push(Cow::Borrowed(SESSIONS_PATH));
        }
        if self.path_is_signed || *wire != *SESSIONS_PATH {
            paths.push(wire);
        }
        if let Some(path) = uri::normalised(self.view.path)? {
            let path = uri::encoded_again(&path)?.into_owned();
            if self.path_is_signed || path != SESSIONS_PATH {
                paths.push(Cow::Owned(path));
            }
        }
        let hosts = [Some(self.host()), without_port(self.host())];
        let twice = self.view.query.has_equals_sign_in_a_value();
        let equals = [Some(EqualsSign::Once), twice.then_some(EqualsSign::Twice)];
        let spellings = paths.into_iter().flat_map(move |path| {
            hosts.into_iter().flatten().flat_map(move |host| {
                let path = path.clone();
                equals
                    .into_iter()
                    .flatten()
                    .map(move |equals| (path.clone(), host, equals))
            })
        });
        Ok(spellings.map(|(path, host, equals)| {
            self.text(&self.canonical(&Spelling {
                path: &path,
                equals,
                without: None,
                host,
            }))
        }))
    }
}

impl Authenticated {
    /// The certificate whose key signed.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// The other certificates of the request, without the leaf and repeats, in no certain order.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The region of the scope.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The date of the request.
    pub fn signed_at(&self) -> Time {
        self.signed_at
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("algorithm", &self.algorithm)
            .field("serial", &self.leaf.serial().to_hex())
            .field("scope", &self.scope)
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("serial", &self.leaf.serial().to_hex())
            .field("region", &self.region)
            .field("signed_at", &self.signed_at)
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn check_service(service: &str, rules: &Rules) -> Result<(), SignatureError> {
    if rules.services == Allowed::Any && service != SERVICE {
        return Err(SignatureError::ServiceNotAllowed {
            service: service.to_owned(),
            allowed: SERVICE.to_owned(),
        });
    }
    rules.check_service(service)
}

fn read_signature(text: &str) -> Result<Vec<u8>, SignatureError> {
    let malformed = |reason| SignatureError::MalformedSignature { reason };
    if text.is_empty() || text.len() > 2 * SIGNATURE_BYTES_MAX {
        return Err(malformed("it is empty or longer than any key's signature"));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(malformed("it is not in lower-case hexadecimal digits"));
    }
    hex::decode(text).map_err(|_| malformed("it is not in lower-case hexadecimal digits"))
}

pub(crate) fn key_of(leaf: &Certificate) -> Result<&PublicKey, SignatureError> {
    leaf.public_key()
        .map_err(|error| SignatureError::KeyNotAccepted {
            reason: error.to_string(),
        })
}

fn read_certificate(header: &'static str, text: &[u8]) -> Result<Certificate, SignatureError> {
    let malformed = |reason: String| SignatureError::MalformedCertificate { header, reason };
    let der = STANDARD
        .decode(text)
        .map_err(|error| malformed(format!("not standard base64: {error}")))?;
    Certificate::from_der(&der).map_err(|error| malformed(error.to_string()))
}

/// Some clients repeat the leaf, or send a certificate twice: only distinct others count.
fn read_chain(value: &[u8], leaf: &Certificate) -> Result<Vec<Certificate>, SignatureError> {
    let mut texts: Vec<&[u8]> = Vec::new();
    for text in value.split(|b| *b == b',') {
        let text = text.trim_ascii();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    // The leaf may be among them; nothing beyond is parsed for a stranger.
    if texts.len() > CHAIN_MAX + 1 {
        return Err(SignatureError::ChainTooLong {
            count: texts.len(),
            limit: CHAIN_MAX,
        });
    }
    let mut chain: Vec<Certificate> = Vec::with_capacity(texts.len());
    for text in texts {
        let certificate = read_certificate(CHAIN_HEADER, text)?;
        if certificate.der() != leaf.der() {
            chain.push(certificate);
        }
    }
    if chain.len() > CHAIN_MAX {
        return Err(SignatureError::ChainTooLong {
            count: chain.len(),
            limit: CHAIN_MAX,
        });
    }
    Ok(chain)
}

/// The host without its port, where it has one.
fn without_port(host: &[u8]) -> Option<&[u8]> {
    let colon = host.iter().rposition(|b| *b == b':')?;
    let port = &host[colon + 1..];
    (colon > 0 && !port.is_empty() && port.iter().all(u8::is_ascii_digit)).then(|| &host[..colon])
}

#[cfg(test)]
mod tests;

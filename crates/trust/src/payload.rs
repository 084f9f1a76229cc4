//! How a session is written into a token.
//!
//! The payload is CBOR with integer keys (RFC 8949), so that it is short and can grow: a key that is not known is
//! skipped, a key never changes its meaning. What only some sessions have is left out of the others. Long claims are
//! deflated (RFC 1951).

use bowline_policy::{AccountId, NamedPolicy, Policy, PolicyKind, SessionLayer, Tag};
use bowline_x509::{SerialNumber, Time};
use chrono::DateTime;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use crate::claims::{
    CHAIN_MAX, CertificateClaim, CertificateOrigin, ChainLink, ChainRole, Claims, FederatedOrigin,
    Origin, RoleSession, SessionPrincipal, UserSession,
};
use crate::ids::{RoleId, Uuid};

/// The claims of a session as they go into a token, but for the session's id.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    deflated: bool,
    body: Vec<u8>,
}

impl Packed {
    /// Writes claims as short as they get.
    pub(crate) fn of(claims: &Claims) -> Packed {
        let body = claims.to_cbor();
        if (DEFLATE_BYTES_MIN..=INFLATED_BYTES_MAX).contains(&body.len()) {
            let deflated = compress_to_vec(&body, DEFLATE_LEVEL);
            if deflated.len() < body.len() {
                return Packed {
                    deflated: true,
                    body: deflated,
                };
            }
        }
        Packed {
            deflated: false,
            body,
        }
    }

    /// How many bytes [`Packed::to_payload`] makes of it without padding.
    pub(crate) fn payload_len(&self) -> usize {
        PAYLOAD_HEADER_LEN + self.body.len()
    }

    /// The payload of a token: a header, the claims, and zeros up to a length.
    pub(crate) fn to_payload(&self, session_id: &[u8; 16], bytes_min: usize) -> Vec<u8> {
        // Cannot be more: the size was a rule of the grant, and no token is that long.
        let length = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        let size = self.payload_len().max(bytes_min);
        // Room for the seal's tag, so that nothing is moved.
        let mut payload = Vec::with_capacity(size + TAG_ROOM);
        payload.push(u8::from(self.deflated));
        payload.extend(length.to_be_bytes());
        payload.extend(session_id);
        payload.extend(&self.body);
        payload.resize(size, 0);
        payload
    }
}

/// Reads what [`Packed::to_payload`] wrote.
pub(crate) fn read_payload(payload: &[u8]) -> Result<([u8; 16], Claims), Unreadable> {
    let (header, rest) = payload
        .split_first_chunk::<PAYLOAD_HEADER_LEN>()
        .ok_or(unreadable("it is shorter than its header"))?;
    let [encoding, high, low, id @ ..] = header;
    let body = rest
        .get(..usize::from(u16::from_be_bytes([*high, *low])))
        .ok_or(unreadable("it is shorter than it says"))?;
    let claims = match encoding {
        0 => Claims::from_cbor(body)?,
        1 => {
            let body = decompress_to_vec_with_limit(body, INFLATED_BYTES_MAX)
                .map_err(|_| unreadable("it does not inflate"))?;
            Claims::from_cbor(&body)?
        }
        _ => return Err(unreadable("its encoding is unknown")),
    };
    Ok((*id, claims))
}

/// Reads the payload of version 1, which is CBOR as it stands and holds the session's id too.
pub(crate) fn read_payload_of_version_one(bytes: &[u8]) -> Result<([u8; 16], Claims), Unreadable> {
    let payload = Payload::read(bytes)?;
    let id = payload
        .session_id
        .as_ref()
        .map(|id| **id)
        .ok_or(unreadable("it does not tell its session"))?;
    Ok((id, payload.claims()?))
}

impl Claims {
    pub(crate) fn to_cbor(&self) -> Vec<u8> {
        let mut payload = Payload {
            session_id: None,
            issued_at: self.issued_at.timestamp(),
            expires_at: self.expires_at.timestamp(),
            account: self.account.to_string(),
            partition: self.partition.clone(),
            role: None,
            session_name: None,
            source_identity: self.source_identity.clone(),
            trust_anchor: None,
            profile: None,
            subject: None,
            certificate: None,
            tags: self.tags.iter().map(TagPart::of).collect(),
            layers: self.layers.iter().map(LayerPart::of).collect(),
            user: None,
            web_identity: None,
            saml: None,
            chain: self
                .chain
                .iter()
                .map(|link| LinkPart::of(link, self))
                .collect(),
            transitive_tag_keys: self.transitive_tag_keys.clone(),
            mfa_at: self.mfa_at.map(|at| at.timestamp()),
            confirmation: self.confirmation.map(ByteArray::from),
            not_after: None,
        };
        match &self.principal {
            SessionPrincipal::Role(role) => {
                payload.role = Some(RolePart {
                    id: (*role.id.as_bytes()).into(),
                    path: role.path.clone(),
                    name: role.name.clone(),
                });
                payload.session_name = Some(role.session_name.clone());
            }
            SessionPrincipal::User(user) => {
                payload.user = Some(UserPart {
                    path: user.path.clone(),
                    name: user.name.clone(),
                    id: (*user.id.as_bytes()).into(),
                });
            }
        }
        match &self.origin {
            Origin::Certificate(origin) => {
                payload.trust_anchor = Some((*origin.trust_anchor.as_bytes()).into());
                payload.profile = origin.profile.map(|id| (*id.as_bytes()).into());
                payload.subject = Some((*origin.subject.as_bytes()).into());
                payload.certificate = Some(CertificatePart {
                    issuer_key_id: origin.certificate.issuer_key_id.into(),
                    serial: origin.certificate.serial.as_bytes().to_vec().into(),
                    fingerprint: origin.certificate.fingerprint.into(),
                });
                payload.not_after = origin.certificate.not_after.map(|at| at.timestamp());
            }
            Origin::WebIdentity(origin) => payload.web_identity = Some(FederatedPart::of(origin)),
            Origin::Saml(origin) => payload.saml = Some(FederatedPart::of(origin)),
        }
        // Cannot fail: writing to a vector does not, and no field has an encoder that refuses.
        minicbor::to_vec(payload).expect("encoding into memory")
    }

    fn from_cbor(bytes: &[u8]) -> Result<Claims, Unreadable> {
        Payload::read(bytes)?.claims()
    }
}

impl Payload {
    fn read(bytes: &[u8]) -> Result<Payload, Unreadable> {
        minicbor::decode(bytes).map_err(|_| unreadable("its payload is not ours"))
    }

    /// The claims again. The seal already vouches for them; a refusal means that the program changed.
    fn claims(self) -> Result<Claims, Unreadable> {
        let payload = self;
        let account = payload
            .account
            .parse()
            .map_err(|_| unreadable("its account is not one"))?;
        let principal = match (payload.role, payload.session_name, payload.user) {
            (Some(role), Some(session_name), None) => SessionPrincipal::Role(RoleSession {
                id: RoleId::from_random(*role.id),
                path: role.path,
                name: role.name,
                session_name,
            }),
            (None, None, Some(user)) => SessionPrincipal::User(UserSession {
                path: user.path,
                name: user.name,
                id: Uuid::from_bytes(*user.id),
            }),
            _ => return Err(unreadable("it is not of one principal")),
        };
        let certificate = match (payload.trust_anchor, payload.subject, payload.certificate) {
            (Some(trust_anchor), Some(subject), Some(certificate)) => Some(CertificateOrigin {
                trust_anchor: Uuid::from_bytes(*trust_anchor),
                profile: payload.profile.map(|id| Uuid::from_bytes(*id)),
                subject: Uuid::from_bytes(*subject),
                certificate: certificate.read(payload.not_after)?,
            }),
            (None, None, None) => None,
            _ => return Err(unreadable("its certificate is told in part")),
        };
        let origin = match (certificate, payload.web_identity, payload.saml) {
            (Some(origin), None, None) => Origin::Certificate(origin),
            (None, Some(origin), None) => Origin::WebIdentity(origin.read()),
            (None, None, Some(origin)) => Origin::Saml(origin.read()),
            _ => return Err(unreadable("it is not of one origin")),
        };
        if payload.chain.len() > CHAIN_MAX {
            return Err(unreadable("its chain is longer than any we make"));
        }
        Ok(Claims {
            partition: payload.partition,
            principal,
            source_identity: payload.source_identity,
            origin,
            chain: payload
                .chain
                .into_iter()
                .map(|link| link.read(account))
                .collect::<Result<_, _>>()?,
            tags: payload
                .tags
                .into_iter()
                .map(TagPart::read)
                .collect::<Result<_, _>>()?,
            transitive_tag_keys: payload.transitive_tag_keys,
            layers: payload
                .layers
                .into_iter()
                .map(LayerPart::read)
                .collect::<Result<_, _>>()?,
            issued_at: time(payload.issued_at)?,
            expires_at: time(payload.expires_at)?,
            mfa_at: payload.mfa_at.map(time).transpose()?,
            confirmation: payload.confirmation.map(|hash| *hash),
            account,
        })
    }
}

/// Why a payload could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) why: &'static str,
}

fn unreadable(why: &'static str) -> Unreadable {
    Unreadable { why }
}

fn time(seconds: i64) -> Result<Time, Unreadable> {
    DateTime::from_timestamp(seconds, 0).ok_or(unreadable("a time is out of range"))
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Payload {
    /// In version 1 only.
    #[n(0)]
    session_id: Option<ByteArray<16>>,
    #[n(1)]
    issued_at: i64,
    #[n(2)]
    expires_at: i64,
    #[n(3)]
    account: String,
    #[n(4)]
    partition: String,
    #[n(5)]
    role: Option<RolePart>,
    #[n(6)]
    session_name: Option<String>,
    #[n(7)]
    source_identity: Option<String>,
    #[n(8)]
    trust_anchor: Option<ByteArray<16>>,
    #[n(9)]
    profile: Option<ByteArray<16>>,
    #[n(10)]
    subject: Option<ByteArray<16>>,
    #[n(11)]
    certificate: Option<CertificatePart>,
    #[n(12)]
    tags: Vec<TagPart>,
    #[n(13)]
    layers: Vec<LayerPart>,
    #[n(14)]
    user: Option<UserPart>,
    #[n(15)]
    web_identity: Option<FederatedPart>,
    #[n(16)]
    saml: Option<FederatedPart>,
    #[n(17)]
    #[cbor(default)]
    chain: Vec<LinkPart>,
    #[n(18)]
    #[cbor(default)]
    transitive_tag_keys: Vec<String>,
    #[n(19)]
    mfa_at: Option<i64>,
    #[n(20)]
    confirmation: Option<ByteArray<32>>,
    /// The last second of the certificate.
    #[n(21)]
    not_after: Option<i64>,
}

#[derive(Encode, Decode)]
struct RolePart {
    #[n(0)]
    id: ByteArray<10>,
    #[n(1)]
    path: String,
    #[n(2)]
    name: String,
}

#[derive(Encode, Decode)]
struct UserPart {
    #[n(0)]
    path: String,
    #[n(1)]
    name: String,
    #[n(2)]
    id: ByteArray<16>,
}

#[derive(Encode, Decode)]
struct CertificatePart {
    #[n(0)]
    issuer_key_id: ByteArray<20>,
    #[n(1)]
    serial: minicbor::bytes::ByteVec,
    #[n(2)]
    fingerprint: ByteArray<32>,
}

impl CertificatePart {
    fn read(self, not_after: Option<i64>) -> Result<CertificateClaim, Unreadable> {
        Ok(CertificateClaim {
            not_after: not_after.map(time).transpose()?,
            issuer_key_id: *self.issuer_key_id,
            serial: SerialNumber::from_bytes(&self.serial)
                .map_err(|_| unreadable("its serial number is not one"))?,
            fingerprint: *self.fingerprint,
        })
    }
}

#[derive(Encode, Decode)]
struct FederatedPart {
    #[n(0)]
    provider_arn: String,
    #[n(1)]
    subject: String,
    #[n(2)]
    audience: String,
}

impl FederatedPart {
    fn of(origin: &FederatedOrigin) -> FederatedPart {
        FederatedPart {
            provider_arn: origin.provider_arn.clone(),
            subject: origin.subject.clone(),
            audience: origin.audience.clone(),
        }
    }

    fn read(self) -> FederatedOrigin {
        FederatedOrigin {
            provider_arn: self.provider_arn,
            subject: self.subject,
            audience: self.audience,
        }
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct LinkPart {
    #[n(0)]
    session_id: ByteArray<16>,
    #[n(1)]
    issued_at: i64,
    #[n(2)]
    role_id: Option<ByteArray<10>>,
    #[n(3)]
    role_name: Option<String>,
    /// Only where it is another account than the session's.
    #[n(4)]
    account: Option<String>,
}

impl LinkPart {
    fn of(link: &ChainLink, claims: &Claims) -> LinkPart {
        let role = link.role.as_ref();
        LinkPart {
            session_id: link.session_id.into(),
            issued_at: link.issued_at.timestamp(),
            role_id: role.map(|role| (*role.id.as_bytes()).into()),
            role_name: role.map(|role| role.name.clone()),
            account: role
                .filter(|role| role.account != claims.account)
                .map(|role| role.account.to_string()),
        }
    }

    fn read(self, own: AccountId) -> Result<ChainLink, Unreadable> {
        let account = match self.account {
            Some(text) => text
                .parse()
                .map_err(|_| unreadable("an account of its chain is not one"))?,
            None => own,
        };
        let role = match (self.role_id, self.role_name) {
            (Some(id), Some(name)) => Some(ChainRole {
                account,
                id: RoleId::from_random(*id),
                name,
            }),
            (None, None) => None,
            _ => return Err(unreadable("a role of its chain is told in part")),
        };
        Ok(ChainLink {
            session_id: *self.session_id,
            role,
            issued_at: time(self.issued_at)?,
        })
    }
}

/// A tag; the beginnings that nearly every key shares are one number.
#[derive(Encode, Decode)]
struct TagPart {
    #[n(0)]
    prefix: u8,
    #[n(1)]
    rest: String,
    #[n(2)]
    value: String,
}

impl TagPart {
    fn of(tag: &Tag) -> TagPart {
        let (prefix, rest) = TAG_PREFIXES
            .iter()
            .enumerate()
            .rev()
            .find_map(|(number, prefix)| Some((number, tag.key().strip_prefix(prefix)?)))
            .unwrap_or((0, tag.key()));
        // Cannot fail: there are four prefixes.
        let prefix = u8::try_from(prefix).expect("a small number");
        TagPart {
            prefix,
            rest: rest.to_owned(),
            value: tag.value().to_owned(),
        }
    }

    fn read(self) -> Result<Tag, Unreadable> {
        let prefix = TAG_PREFIXES
            .get(usize::from(self.prefix))
            .ok_or(Unreadable {
                why: "a tag has an unknown prefix",
            })?;
        Tag::new(format!("{prefix}{}", self.rest), self.value).map_err(|_| Unreadable {
            why: "a tag is not one",
        })
    }
}

#[derive(Encode, Decode)]
struct LayerPart {
    #[n(0)]
    name: String,
    #[n(1)]
    policies: Vec<PolicyPart>,
}

#[derive(Encode, Decode)]
struct PolicyPart {
    #[n(0)]
    name: String,
    #[n(1)]
    text: String,
}

impl LayerPart {
    fn of(layer: &SessionLayer) -> LayerPart {
        let policies = layer
            .policies
            .iter()
            .map(|named| PolicyPart {
                name: named.name.to_string(),
                text: minified(named.policy.text()),
            })
            .collect();
        LayerPart {
            name: layer.name.to_string(),
            policies,
        }
    }

    fn read(self) -> Result<SessionLayer, Unreadable> {
        let policies = self
            .policies
            .into_iter()
            .map(|part| {
                let policy =
                    Policy::parse(&part.text, PolicyKind::Session).map_err(|_| Unreadable {
                        why: "a session policy is not one",
                    })?;
                Ok(NamedPolicy::new(part.name, policy))
            })
            .collect::<Result<_, _>>()?;
        Ok(SessionLayer::new(self.name, policies))
    }
}

/// A JSON text without the white space between its tokens: the same document in fewer bytes.
pub(crate) fn minified(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
        } else if !matches!(c, ' ' | '\t' | '\n' | '\r') {
            in_string = c == '"';
            out.push(c);
        }
    }
    out
}

/// The beginnings of tag keys by their number in a token. Append only: numbers in living tokens keep their meaning.
const TAG_PREFIXES: [&str; 4] = ["", "x509Subject/", "x509Issuer/", "x509SAN/"];

/// The encoding, the length of the claims, and the id of the session.
const PAYLOAD_HEADER_LEN: usize = 1 + 2 + 16;

/// Bytes of the seal's tag, and some more.
const TAG_ROOM: usize = 32;

/// From how many bytes on claims are deflated, if they get shorter by it. Below, a token is short enough, and the
/// exchange is to be fast.
const DEFLATE_BYTES_MIN: usize = 1_024;

/// Of miniz's levels the one where more work gains nothing on texts this short.
const DEFLATE_LEVEL: u8 = 6;

/// The most bytes that the claims of a token inflate to: four times what fits in without, which policies with much
/// repetition do reach, and no more, so that nobody makes us unpack a mountain.
const INFLATED_BYTES_MAX: usize = 16 * 1_024;

#[cfg(test)]
mod tests;

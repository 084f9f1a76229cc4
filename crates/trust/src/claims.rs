//! What a session is: the facts that a grant fixes, a token carries and a service reads.
//!
//! The payload of a token is CBOR with integer keys (RFC 8949), so that it is short and can grow: a key that is not
//! known is skipped, a key never changes its meaning.

use bowline_policy::{AccountId, NamedPolicy, Policy, PolicyKind, SessionLayer, Tag};
use bowline_x509::{SerialNumber, Time};
use chrono::DateTime;
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::arns;
use crate::ids::{RoleId, Uuid};

/// The facts of one session, fixed when it was granted.
///
/// What the role allows is not among them: identity policies and boundary are looked up when they are needed, so that
/// a change to the role acts at once. The session policies are, because they belong to the session.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The partition of every ARN, such as `aws`.
    pub partition: String,
    /// The account that the role belongs to.
    pub account: AccountId,
    /// The role's unique id; a role created again under the same name has another one.
    pub role_id: RoleId,
    /// The role's path, `/` or `/…/`.
    pub role_path: String,
    /// The role's name.
    pub role_name: String,
    /// The name of the session within the role.
    pub session_name: String,
    /// Who is behind the session; cannot change while it lives.
    pub source_identity: String,
    /// The trust anchor that vouched for the certificate.
    pub trust_anchor: Uuid,
    /// The profile that allowed the role.
    pub profile: Uuid,
    /// The subject of the certificate.
    pub subject: Uuid,
    /// The certificate that was traded.
    pub certificate: CertificateClaim,
    /// The session tags.
    pub tags: Vec<Tag>,
    /// The session policies in layers: inside a layer any may allow, across layers each must.
    pub layers: Vec<SessionLayer>,
    /// When the session began.
    pub issued_at: Time,
    /// When it ends by itself; from this second on it is over.
    pub expires_at: Time,
}

/// Which certificate a session was traded for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateClaim {
    /// The key id of the issuer (RFC 5280 §4.2.1.2 (1)); with the serial it names one certificate.
    pub issuer_key_id: [u8; 20],
    /// The serial number.
    pub serial: SerialNumber,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

impl Claims {
    /// The ARN of the role.
    pub fn role_arn(&self) -> String {
        arns::role_arn(
            &self.partition,
            &self.account,
            &self.role_path,
            &self.role_name,
        )
    }

    /// The ARN of the session: the assumed role, without the role's path.
    pub fn assumed_role_arn(&self) -> String {
        arns::assumed_role_arn(
            &self.partition,
            &self.account,
            &self.role_name,
            &self.session_name,
        )
    }

    /// `AROA…:session name`, the `aws:userid` of the session.
    pub fn assumed_role_id(&self) -> String {
        format!("{}:{}", self.role_id, self.session_name)
    }

    pub(crate) fn to_cbor(&self, session_id: &[u8; 16]) -> Vec<u8> {
        let payload = Payload {
            session_id: (*session_id).into(),
            issued_at: self.issued_at.timestamp(),
            expires_at: self.expires_at.timestamp(),
            account: self.account.to_string(),
            partition: self.partition.clone(),
            role: RolePart {
                id: (*self.role_id.as_bytes()).into(),
                path: self.role_path.clone(),
                name: self.role_name.clone(),
            },
            session_name: self.session_name.clone(),
            source_identity: self.source_identity.clone(),
            trust_anchor: (*self.trust_anchor.as_bytes()).into(),
            profile: (*self.profile.as_bytes()).into(),
            subject: (*self.subject.as_bytes()).into(),
            certificate: CertificatePart {
                issuer_key_id: self.certificate.issuer_key_id.into(),
                serial: self.certificate.serial.as_bytes().to_vec().into(),
                fingerprint: self.certificate.fingerprint.into(),
            },
            tags: self.tags.iter().map(TagPart::of).collect(),
            layers: self.layers.iter().map(LayerPart::of).collect(),
        };
        // Cannot fail: writing to a vector does not, and no field has an encoder that refuses.
        minicbor::to_vec(payload).expect("encoding into memory")
    }

    /// Reads what `to_cbor` wrote. The seal already vouches for it; a refusal means that the program changed.
    pub(crate) fn from_cbor(bytes: &[u8]) -> Result<([u8; 16], Claims), Unreadable> {
        let payload: Payload = minicbor::decode(bytes).map_err(|_| Unreadable {
            why: "its payload is not ours",
        })?;
        let time = |seconds| {
            DateTime::from_timestamp(seconds, 0).ok_or(Unreadable {
                why: "a time is out of range",
            })
        };
        let claims = Claims {
            partition: payload.partition,
            account: payload.account.parse().map_err(|_| Unreadable {
                why: "its account is not one",
            })?,
            role_id: RoleId::from_random(*payload.role.id),
            role_path: payload.role.path,
            role_name: payload.role.name,
            session_name: payload.session_name,
            source_identity: payload.source_identity,
            trust_anchor: Uuid::from_bytes(*payload.trust_anchor),
            profile: Uuid::from_bytes(*payload.profile),
            subject: Uuid::from_bytes(*payload.subject),
            certificate: CertificateClaim {
                issuer_key_id: *payload.certificate.issuer_key_id,
                serial: SerialNumber::from_bytes(&payload.certificate.serial).map_err(|_| {
                    Unreadable {
                        why: "its serial number is not one",
                    }
                })?,
                fingerprint: *payload.certificate.fingerprint,
            },
            tags: payload
                .tags
                .into_iter()
                .map(TagPart::read)
                .collect::<Result<_, _>>()?,
            layers: payload
                .layers
                .into_iter()
                .map(LayerPart::read)
                .collect::<Result<_, _>>()?,
            issued_at: time(payload.issued_at)?,
            expires_at: time(payload.expires_at)?,
        };
        Ok((*payload.session_id, claims))
    }
}

/// Why a payload could not be read.
pub(crate) struct Unreadable {
    pub(crate) why: &'static str,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Payload {
    #[n(0)]
    session_id: ByteArray<16>,
    #[n(1)]
    issued_at: i64,
    #[n(2)]
    expires_at: i64,
    #[n(3)]
    account: String,
    #[n(4)]
    partition: String,
    #[n(5)]
    role: RolePart,
    #[n(6)]
    session_name: String,
    #[n(7)]
    source_identity: String,
    #[n(8)]
    trust_anchor: ByteArray<16>,
    #[n(9)]
    profile: ByteArray<16>,
    #[n(10)]
    subject: ByteArray<16>,
    #[n(11)]
    certificate: CertificatePart,
    #[n(12)]
    tags: Vec<TagPart>,
    #[n(13)]
    layers: Vec<LayerPart>,
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
struct CertificatePart {
    #[n(0)]
    issuer_key_id: ByteArray<20>,
    #[n(1)]
    serial: minicbor::bytes::ByteVec,
    #[n(2)]
    fingerprint: ByteArray<32>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minifying_removes_space_between_tokens_only() {
        assert_eq!(
            minified("{ \"a b\" :\n\t[ 1 , \"c \\\" } d\" ] }\r\n"),
            "{\"a b\":[1,\"c \\\" } d\"]}"
        );
        assert_eq!(
            minified("\"ends in a backslash \\\\\" , \" x \""),
            "\"ends in a backslash \\\\\",\" x \""
        );
    }

    #[test]
    fn a_tag_key_is_written_with_its_prefix_number() {
        for (key, prefix, rest) in [
            ("x509Subject/CN", 1, "CN"),
            ("x509Issuer/O", 2, "O"),
            ("x509SAN/Name/CN", 3, "Name/CN"),
            ("team", 0, "team"),
        ] {
            let part = TagPart::of(&Tag::new(key, "v").unwrap());
            assert_eq!((part.prefix, part.rest.as_str()), (prefix, rest), "{key}");
            assert_eq!(part.read().ok().unwrap().key(), key);
        }
    }

    #[test]
    fn an_unknown_prefix_number_is_refused() {
        let part = TagPart {
            prefix: 4,
            rest: "CN".into(),
            value: "v".into(),
        };
        assert!(part.read().is_err());
    }
}

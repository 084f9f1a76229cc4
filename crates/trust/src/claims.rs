//! What a session is: the facts that a grant fixes, a token carries and a service reads.

use bowline_policy::{AccountId, SessionLayer, Tag};
use bowline_x509::{SerialNumber, Time};

use crate::arns;
use crate::ids::{RoleId, Uuid, base32};

/// The facts of one session, fixed when it was granted.
///
/// What the role allows is not among them: identity policies and boundary are looked up when they are needed, so that
/// a change to the role acts at once. The session policies are, because they belong to the session.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The partition of every ARN, such as `aws`.
    pub partition: String,
    /// The account that the principal belongs to.
    pub account: AccountId,
    /// As whom the session acts.
    pub principal: SessionPrincipal,
    /// Who is behind the session; once it is set it stays, through every role that is assumed further.
    pub source_identity: Option<String>,
    /// With what the first session of the chain was got.
    pub origin: Origin,
    /// The sessions that this one was assumed from, oldest first; at most [`CHAIN_MAX`].
    pub chain: Vec<ChainLink>,
    /// The session tags.
    pub tags: Vec<Tag>,
    /// The keys of those tags that every session assumed from this one has too.
    pub transitive_tag_keys: Vec<String>,
    /// The session policies in layers: inside a layer any may allow, across layers each must.
    pub layers: Vec<SessionLayer>,
    /// When the session began.
    pub issued_at: Time,
    /// When it ends by itself; from this second on it is over.
    pub expires_at: Time,
    /// When somebody last proved to hold a second factor, if that was asked.
    pub mfa_at: Option<Time>,
    /// SHA-256 of the certificate that must be shown over TLS beside every request, in a sender-constrained session.
    pub confirmation: Option<[u8; 32]>,
}

/// As whom a session acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionPrincipal {
    /// As a role.
    Role(RoleSession),
    /// As the holder of a certificate.
    User(UserSession),
}

/// A session of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    /// The role's unique id; a role created again under the same name has another one.
    pub id: RoleId,
    /// The role's path, `/` or `/…/`.
    pub path: String,
    /// The role's name.
    pub name: String,
    /// The name of the session within the role.
    pub session_name: String,
}

/// A session of a certificate as itself. It has no policies of its own: it may do what resources and trust policies
/// allow it by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// `/<trust anchor id>/`, so that two anchors never share a user.
    pub path: String,
    /// The name, made from the certificate's subject.
    pub name: String,
    /// The id of the subject.
    pub id: Uuid,
}

/// With what the first session of a chain was got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// With a certificate.
    Certificate(CertificateOrigin),
    /// With the token of an OpenID Connect provider.
    WebIdentity(FederatedOrigin),
    /// With the assertion of a SAML provider.
    Saml(FederatedOrigin),
}

/// The certificate that was traded, and what it was traded under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOrigin {
    /// The trust anchor that vouched for the certificate.
    pub trust_anchor: Uuid,
    /// The profile that allowed the role; none for a certificate as itself.
    pub profile: Option<Uuid>,
    /// The subject of the certificate.
    pub subject: Uuid,
    /// The certificate.
    pub certificate: CertificateClaim,
}

/// Whom an identity provider vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedOrigin {
    /// The provider's ARN.
    pub provider_arn: String,
    /// Who it is, as the provider says.
    pub subject: String,
    /// For whom the provider said it.
    pub audience: String,
}

/// A session that another one was assumed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLink {
    /// Its id.
    pub session_id: [u8; 16],
    /// Its role; none for a session of a certificate as itself.
    pub role: Option<ChainRole>,
    /// When it began.
    pub issued_at: Time,
}

/// The role of a session that another one was assumed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRole {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its unique id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
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
    /// The last second it is good for; none in tokens of earlier programs.
    pub not_after: Option<Time>,
}

impl Claims {
    /// The role, if the session acts as one.
    pub fn role(&self) -> Option<&RoleSession> {
        match &self.principal {
            SessionPrincipal::Role(role) => Some(role),
            SessionPrincipal::User(_) => None,
        }
    }

    /// The name of the session within its role; of a certificate as itself its name.
    pub fn session_name(&self) -> &str {
        match &self.principal {
            SessionPrincipal::Role(role) => &role.session_name,
            SessionPrincipal::User(user) => &user.name,
        }
    }

    /// The certificate at the root of the chain, if there is one.
    pub fn certificate(&self) -> Option<&CertificateOrigin> {
        match &self.origin {
            Origin::Certificate(origin) => Some(origin),
            Origin::WebIdentity(_) | Origin::Saml(_) => None,
        }
    }

    /// Whom an identity provider vouched for at the root of the chain, if one did.
    pub fn federated(&self) -> Option<&FederatedOrigin> {
        match &self.origin {
            Origin::Certificate(_) => None,
            Origin::WebIdentity(origin) | Origin::Saml(origin) => Some(origin),
        }
    }

    /// Whether the tag of a key stays with every session assumed from this one. Keys compare without regard to case.
    pub fn is_transitive(&self, key: &str) -> bool {
        self.transitive_tag_keys
            .iter()
            .any(|known| known.eq_ignore_ascii_case(key))
    }

    /// The ARN of the role, if the session acts as one.
    pub fn role_arn(&self) -> Option<String> {
        self.role()
            .map(|role| arns::role_arn(&self.partition, &self.account, &role.path, &role.name))
    }

    /// The ARN of the session: the assumed role, without the role's path; or the user.
    pub fn principal_arn(&self) -> String {
        match &self.principal {
            SessionPrincipal::Role(role) => arns::assumed_role_arn(
                &self.partition,
                &self.account,
                &role.name,
                &role.session_name,
            ),
            SessionPrincipal::User(user) => {
                arns::user_arn(&self.partition, &self.account, &user.path, &user.name)
            }
        }
    }

    /// The `aws:userid` of the session: `AROA…:session name` of a role, `AIDA…` of a certificate as itself.
    pub fn user_id(&self) -> String {
        match &self.principal {
            SessionPrincipal::Role(role) => format!("{}:{}", role.id, role.session_name),
            SessionPrincipal::User(user) => {
                // Without the marks of version and variant, which all ids share.
                let [a, b, c, d, e, f, _, _, _, g, h, i, j, ..] = *user.id.as_bytes();
                format!(
                    "{USER_ID_PREFIX}{}",
                    base32(&[a, b, c, d, e, f, g, h, i, j])
                )
            }
        }
    }
}

/// The most sessions that one may rest on. Each is looked at with every request, and the token names them all; who
/// needs more has lost sight of who acts.
pub const CHAIN_MAX: usize = 8;

/// What AWS begins the unique ids of users with.
const USER_ID_PREFIX: &str = "AIDA";

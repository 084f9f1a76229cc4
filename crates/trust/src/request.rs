//! Who asks for a session, of which role, and what is asked for with it.

use std::net::IpAddr;

use bowline_policy::{Layers, NamedPolicy, Tag};
use bowline_x509::Time;
use bowline_x509::path::VerifiedPath;

use crate::anchor::TrustAnchor;
use crate::federated::FederatedIdentity;
use crate::profile::Profile;
use crate::role::Role;
use crate::session::Session;

/// A request for a session, by somebody who has proved who they are.
#[derive(Clone, Copy)]
pub struct SessionRequest<'a> {
    /// Who asks, and for the session of which role.
    pub asker: Asker<'a>,
    /// The partition of every ARN, such as `aws`.
    pub partition: &'a str,
    /// The region of the endpoint.
    pub region: &'a str,
    /// How long the session shall last, in seconds; none leaves it to the profile, or to the default.
    pub duration_seconds: Option<u32>,
    /// What the session shall be called; none leaves it to the certificate's serial number.
    pub role_session_name: Option<&'a str>,
    /// Policies by which the caller narrows the session further; empty for none. Managed ones are named by their ARN.
    pub session_policies: &'a [NamedPolicy],
    /// How long the token shall be at least, in bytes; 0 for as short as it can be.
    pub token_bytes_min: usize,
    /// The time.
    pub now: Time,
    /// Where the request came from, if that is known.
    pub source_ip: Option<IpAddr>,
    /// How the rules are set.
    pub settings: Settings,
}

/// Who asks for a session.
#[derive(Clone, Copy)]
pub enum Asker<'a> {
    /// Who holds the key of a certificate, for a session of a role (`CreateSession`).
    Certificate(CertificateAsker<'a>),
    /// Who holds the key of a certificate, for a session as itself (`GetSessionToken`).
    Itself(ItselfAsker<'a>),
    /// Who holds temporary credentials, for a session of a further role (`AssumeRole`).
    Session(SessionAsker<'a>),
    /// Whom an identity provider vouches for (`AssumeRoleWithWebIdentity`, `AssumeRoleWithSAML`).
    Federated(FederatedAsker<'a>),
}

/// A verified certificate that asks for a session of a role.
///
/// That the caller holds the certificate's key is proved by the signature of the request, before it comes here.
#[derive(Clone, Copy)]
pub struct CertificateAsker<'a> {
    /// The certificate, verified against the trust anchor's certificates.
    pub path: &'a VerifiedPath,
    /// The trust anchor named in the request.
    pub trust_anchor: &'a TrustAnchor,
    /// The profile named in the request.
    pub profile: &'a Profile,
    /// The role named in the request.
    pub role: &'a Role,
}

/// A verified certificate that asks for a session as itself; its key was proved.
#[derive(Clone, Copy)]
pub struct ItselfAsker<'a> {
    /// The certificate, verified against the trust anchor's certificates.
    pub path: &'a VerifiedPath,
    /// The trust anchor.
    pub trust_anchor: &'a TrustAnchor,
    /// When the caller proved to hold a second factor: now, if at all.
    pub mfa_at: Option<Time>,
}

/// A session that asks for a session of a further role.
///
/// That the caller holds its credentials is proved by the signature of the request, and that it lives, before it comes
/// here.
#[derive(Clone, Copy)]
pub struct SessionAsker<'a> {
    /// The session.
    pub session: &'a Session,
    /// The policies that bind it as they are now: identity, boundary, session layers, without a resource.
    pub layers: &'a Layers,
    /// The role to be assumed.
    pub role: &'a Role,
    /// Tags for the new session.
    pub tags: &'a [Tag],
    /// The keys of those that stay with every session assumed further.
    pub transitive_tag_keys: &'a [String],
    /// What the role's owner agreed on with the caller, so that nobody else is served in the caller's name.
    pub external_id: Option<&'a str>,
    /// Who is behind the new session; must agree with what the asking session says already.
    pub source_identity: Option<&'a str>,
    /// When the caller proved to hold a second factor with this very request: now, if at all.
    pub mfa_at: Option<Time>,
}

/// A verified statement of an identity provider, brought for a session of a role.
#[derive(Clone, Copy)]
pub struct FederatedAsker<'a> {
    /// Whom it vouches for.
    pub identity: &'a FederatedIdentity,
    /// The role to be assumed.
    pub role: &'a Role,
}

impl<'a> Asker<'a> {
    /// The role that is asked for; none by a certificate that asks as itself.
    pub fn role(&self) -> Option<&'a Role> {
        match self {
            Asker::Certificate(asker) => Some(asker.role),
            Asker::Session(asker) => Some(asker.role),
            Asker::Federated(asker) => Some(asker.role),
            Asker::Itself(_) => None,
        }
    }

    /// The certificate and its trust anchor, where a certificate asks.
    pub(crate) fn certificate(&self) -> Option<(&'a VerifiedPath, &'a TrustAnchor)> {
        match self {
            Asker::Certificate(asker) => Some((asker.path, asker.trust_anchor)),
            Asker::Itself(asker) => Some((asker.path, asker.trust_anchor)),
            Asker::Session(_) | Asker::Federated(_) => None,
        }
    }

    pub(crate) fn profile(&self) -> Option<&'a Profile> {
        match self {
            Asker::Certificate(asker) => Some(asker.profile),
            Asker::Itself(_) | Asker::Session(_) | Asker::Federated(_) => None,
        }
    }
}

/// Settings of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether credentials end with the certificate at the root of their chain at the latest. AWS lets them outlive it.
    pub credentials_end_with_certificate: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            credentials_end_with_certificate: true,
        }
    }
}

//! An opened session, as the services that rely on it see it.

use bowline_policy::{ArnError, Context, Layers, NamedPolicy, Principal};
use bowline_x509::Time;
use chrono::TimeDelta;

use crate::claims::{ChainRole, Claims, Origin, SessionPrincipal};
use crate::ids::RoleId;
use crate::keyring::{TokenError, stamp};
use crate::payload::Unreadable;
use crate::role::Role;

/// A session whose token was opened: authentic, and within its time when it was.
///
/// It may have been ended early all the same: hold it against the watermarks ([`Session::ended_by`]), against the
/// record of its certificate, and against the role as it is now ([`Session::layers`] does).
#[derive(Debug, Clone)]
pub struct Session {
    id: [u8; 16],
    claims: Claims,
    principal: Principal,
    /// The keys that stay the same as long as the session lives.
    context: Context,
}

impl Session {
    pub(crate) fn new(id: [u8; 16], claims: Claims) -> Result<Session, Unreadable> {
        let principal = principal(&claims).map_err(|_| Unreadable {
            why: "its principal is not one",
        })?;
        Ok(Session {
            id,
            context: fixed_keys(&claims),
            claims,
            principal,
        })
    }

    /// The random id that the audit log knows the session by.
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// The facts fixed when the session was granted.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Whether the session has begun and is not over. [`crate::KeyRing::open`] asks too; ask again of a session that
    /// was opened earlier.
    pub fn check_time(&self, now: Time) -> Result<(), TokenError> {
        let Claims {
            issued_at,
            expires_at,
            ..
        } = self.claims;
        if issued_at - now > ISSUED_AHEAD_MAX {
            return Err(TokenError::IssuedInFuture { issued_at, now });
        }
        if expires_at <= now {
            return Err(TokenError::Expired {
                expired_at: expires_at,
                now,
            });
        }
        Ok(())
    }

    /// The session as a policy's principal.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The condition keys that the session itself answers; the caller adds those of the request at hand.
    ///
    /// `aws:username` is absent from sessions of a role.
    pub fn context_keys(&self, now: Time) -> Context {
        let mut context = self
            .context
            .clone()
            .with("aws:CurrentTime", stamp(&now))
            .with("aws:EpochTime", now.timestamp().to_string());
        if let Some(at) = self.claims.mfa_at {
            let age = (now - at).num_seconds().max(0);
            context.set("aws:MultiFactorAuthAge", age.to_string());
        }
        context
    }

    /// The policies that bind the session: the role's as they are now, the session's as they were granted.
    ///
    /// `role` is the session's role as it is found now; a session of a certificate as itself has none, and no policies
    /// of its own. Refused when the role is gone, is not the one the session was granted for, or is disabled: then the
    /// session is over.
    pub fn layers(
        &self,
        role: Option<&Role>,
        guardrail: Option<Vec<NamedPolicy>>,
    ) -> Result<Layers, RoleGone> {
        let SessionPrincipal::Role(granted) = &self.claims.principal else {
            return Ok(Layers {
                guardrail,
                sessions: self.claims.layers.clone(),
                ..Layers::default()
            });
        };
        let role = alive(role, granted.id, &granted.name)?;
        Ok(Layers {
            guardrail,
            identity: role.identity_layer(),
            boundary: role.boundary_layer(),
            sessions: self.claims.layers.clone(),
            resource: None,
        })
    }

    /// Whether a watermark ends this session.
    ///
    /// Times are whole seconds, so a session of the watermark's own second ends too: it may have begun before.
    pub fn ended_by(&self, watermark: &Watermark) -> bool {
        self.claims.issued_at <= watermark.not_before
    }
}

impl ChainRole {
    /// Whether the role still stands, as it is found now. With one that is gone, is another by now, or is disabled, its
    /// sessions are over, and so is whatever was assumed from them.
    pub fn check(&self, role: Option<&Role>) -> Result<(), RoleGone> {
        alive(role, self.id, &self.name).map(drop)
    }
}

/// The role that was granted, if it is that one still and works.
fn alive<'a>(role: Option<&'a Role>, granted: RoleId, name: &str) -> Result<&'a Role, RoleGone> {
    let name = || name.to_owned();
    match role {
        None => Err(RoleGone::Deleted { name: name() }),
        Some(role) if role.id != granted => Err(RoleGone::Recreated {
            name: name(),
            was: granted,
            is: role.id,
        }),
        Some(role) if !role.enabled => Err(RoleGone::Disabled { name: name() }),
        Some(role) => Ok(role),
    }
}

/// The session as the policy language knows it.
fn principal(claims: &Claims) -> Result<Principal, ArnError> {
    match (claims.role_arn(), &claims.principal) {
        (Some(role_arn), SessionPrincipal::Role(role)) => {
            Principal::assumed_role(role_arn.parse()?, &role.session_name)
        }
        _ => Ok(Principal::Named(claims.principal_arn().parse()?)),
    }
}

fn fixed_keys(claims: &Claims) -> Context {
    let role_arn = claims.role_arn();
    let mut context = Context::new()
        .with("aws:PrincipalAccount", claims.account.as_str())
        .with("aws:userid", claims.user_id())
        .with("aws:TokenIssueTime", stamp(&claims.issued_at))
        .with("aws:PrincipalIsAWSService", "false")
        .with("aws:ViaAWSService", "false")
        .with(
            "aws:MultiFactorAuthPresent",
            claims.mfa_at.is_some().to_string(),
        );
    match &claims.principal {
        SessionPrincipal::Role(_) => context.set("aws:PrincipalType", "AssumedRole"),
        SessionPrincipal::User(user) => {
            context.set("aws:PrincipalType", "User");
            context.set("aws:username", user.name.as_str());
        }
    }
    context.set(
        "aws:PrincipalArn",
        role_arn.unwrap_or_else(|| claims.principal_arn()),
    );
    if let Some(identity) = &claims.source_identity {
        context.set("aws:SourceIdentity", identity.as_str());
    }
    if let (Origin::WebIdentity(origin) | Origin::Saml(origin), []) =
        (&claims.origin, claims.chain.as_slice())
    {
        context.set("aws:FederatedProvider", origin.provider_arn.as_str());
    }
    for tag in &claims.tags {
        context.set(&format!("aws:PrincipalTag/{}", tag.key()), tag.value());
    }
    context
}

/// Ends every session of some scope (a role, a profile, an anchor, a certificate, one session) that began at or
/// before a time. Which scope is the keeper's knowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// Sessions that began at this second or earlier are over.
    pub not_before: Time,
}

/// Why the role as it is now ends a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleGone {
    /// The role was deleted.
    #[error("the session's role {name} is gone")]
    Deleted {
        /// The name it had.
        name: String,
    },
    /// The role was deleted, and another one bears its name.
    #[error(
        "the session belongs to a role {name} with id {was}, which was deleted; the role of that name now has id {is}"
    )]
    Recreated {
        /// The name both bear.
        name: String,
        /// The id when the session was granted.
        was: RoleId,
        /// The id now.
        is: RoleId,
    },
    /// The role was disabled.
    #[error("role {name} is disabled")]
    Disabled {
        /// The name.
        name: String,
    },
}

impl RoleGone {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            RoleGone::Deleted { .. } => "session_role_gone",
            RoleGone::Recreated { .. } => "role_recreated",
            RoleGone::Disabled { .. } => "role_disabled",
        }
    }
}

/// How far ahead of our clock a session may begin: replicas of one service differ by seconds.
const ISSUED_AHEAD_MAX: TimeDelta = TimeDelta::seconds(60);

#[cfg(test)]
mod tests;

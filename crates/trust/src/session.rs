//! An opened session, as the services that rely on it see it.

use bowline_policy::{Context, Layers, NamedPolicy, Principal};
use bowline_x509::Time;
use chrono::TimeDelta;

use crate::claims::{Claims, Unreadable};
use crate::ids::RoleId;
use crate::keyring::{TokenError, stamp};
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
        let principal = claims
            .role_arn()
            .parse()
            .and_then(|role_arn| Principal::assumed_role(role_arn, &claims.session_name))
            .map_err(|_| Unreadable {
                why: "its role is not one",
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
    /// `aws:username` is absent, as for every role session.
    pub fn context_keys(&self, now: Time) -> Context {
        self.context
            .clone()
            .with("aws:CurrentTime", stamp(&now))
            .with("aws:EpochTime", now.timestamp().to_string())
    }

    /// The policies that bind the session: the role's as they are now, the session's as they were granted.
    ///
    /// Refused when the role is not the one the session was granted for, or is disabled: then the session is over.
    pub fn layers(
        &self,
        role: &Role,
        guardrail: Option<Vec<NamedPolicy>>,
    ) -> Result<Layers, RoleGone> {
        if role.id != self.claims.role_id {
            return Err(RoleGone::Recreated {
                name: role.name.clone(),
                was: self.claims.role_id,
                is: role.id,
            });
        }
        if !role.enabled {
            return Err(RoleGone::Disabled {
                name: role.name.clone(),
            });
        }
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

fn fixed_keys(claims: &Claims) -> Context {
    let mut context = Context::new()
        .with("aws:PrincipalArn", claims.role_arn())
        .with("aws:PrincipalAccount", claims.account.as_str())
        .with("aws:PrincipalType", "AssumedRole")
        .with("aws:userid", claims.assumed_role_id())
        .with("aws:SourceIdentity", claims.source_identity.as_str())
        .with("aws:TokenIssueTime", stamp(&claims.issued_at))
        .with("aws:PrincipalIsAWSService", "false")
        .with("aws:ViaAWSService", "false");
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
            RoleGone::Recreated { .. } => "role_recreated",
            RoleGone::Disabled { .. } => "role_disabled",
        }
    }
}

/// How far ahead of our clock a session may begin: replicas of one service differ by seconds.
const ISSUED_AHEAD_MAX: TimeDelta = TimeDelta::seconds(60);

#[cfg(test)]
mod tests;

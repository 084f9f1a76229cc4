//! What can be wrong about ending sessions, and about the keys behind them.

use bowline_x509::Time;

use super::Kind;
use crate::life::KeyState;

/// Why a session is over, why sessions are not ended, or their keys not changed.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// A session that was ended before its time.
    #[error("the session was revoked, {}: get new credentials, if that is still allowed", revoked(.scope))]
    SessionRevoked {
        /// What was ended: `role`.
        scope: &'static str,
    },
    /// Credentials that count only beside a certificate, and came without it.
    #[error(
        "these credentials count only over TLS with the certificate they are bound to, and {}",
        match .shown { true => "another one was shown", false => "none was shown" }
    )]
    CertificateNotShown {
        /// Whether any certificate was shown.
        shown: bool,
    },
    /// No such session.
    #[error(
        "no session of the last {hours} hours is called {session:?}: `bowline session list` lists those that live"
    )]
    SessionUnknown {
        /// What was asked for.
        session: String,
        /// How far back the log was read.
        hours: i64,
    },
    /// Sessions of a role or an identity provider that is not there, and not named as a deleted one is.
    #[error(
        "there is no {} {name:?}; there are: {}; the sessions of one that was deleted go by its ARN, {arn}, which `bowline audit list` tells",
        match .is_role { true => "role", false => "identity provider" }, super::listed(.known)
    )]
    SessionsOfUnknown {
        /// Whether it is a role.
        is_role: bool,
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
        /// How such an ARN begins.
        arn: String,
    },
    /// Nothing to end, or too many things at once.
    #[error(
        "{given} kinds of sessions are named: name one of sessions, a role, a profile, a trust anchor, a subject, a certificate, a provider, or all"
    )]
    ScopesNamed {
        /// How many kinds were named.
        given: usize,
    },
    /// Many things to end at once.
    #[error("{count} sessions or certificates are named at once and {limit} are taken")]
    TooManyNamed {
        /// How many there are.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// A time that has not come.
    #[error(
        "sessions that will have begun by {} cannot be ended now, at {}: ending what may not exist yet is done by a policy",
        crate::format_time(*.until), crate::format_time(*.now)
    )]
    EndAhead {
        /// The time given.
        until: Time,
        /// The time of the service.
        now: Time,
    },
    /// A time for single sessions.
    #[error("a session is ended whenever it began: leave the time out")]
    EndTimeForSession,
    /// A reason that is no short text.
    #[error("a reason is one line of 1 to {limit} bytes, not {length}")]
    ReasonInvalid {
        /// Its length.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// Many marks.
    #[error(
        "the limit of {limit} ended sessions, certificates and subjects is reached: end the sessions of a role, a profile or a trust anchor instead, which takes one mark for all of them"
    )]
    TooManyEnds {
        /// The most.
        limit: usize,
    },
    /// No such key.
    #[error("there is no session key {key}: there are {known:?}")]
    KeyUnknown {
        /// What was asked for.
        key: u8,
        /// Those there are.
        known: Vec<u8>,
    },
    /// Every key does something already.
    #[error("no session key is published: publish one with `bowline session key publish`")]
    NoKeyPublished,
    /// A key that was in use already.
    #[error(
        "session key {key} is {}: only a published key is made active, and none a second time",
        .state.as_str()
    )]
    KeyNotPublished {
        /// The key.
        key: u8,
        /// What it does.
        state: KeyState,
    },
    /// The key that seals.
    #[error(
        "session key {key} is the active one: make another active first, with `bowline session key publish` and `bowline session key activate`"
    )]
    KeyActive {
        /// The key.
        key: u8,
    },
    /// A key whose sessions live.
    #[error(
        "sessions that session key {key} sealed may live until {}: retire it after that, or end them now with `bowline session key drop {key}`",
        crate::format_time(*.until)
    )]
    KeyInUse {
        /// The key.
        key: u8,
        /// When the last of them has ended.
        until: Time,
    },
    /// Many keys.
    #[error("{limit} session keys are the most at once: retire one first")]
    TooManyKeys {
        /// The most.
        limit: usize,
    },
}

/// What was ended, in words.
fn revoked(scope: &str) -> &'static str {
    match scope {
        "session" => "it or one that it was assumed from",
        "role" => "with all of its role or of one that it was assumed from",
        "profile" => "with all of its profile",
        "anchor" => "with all of its trust anchor",
        "subject" => "with all of its subject",
        "certificate" => "with all of its certificate",
        "provider" => "with all of its identity provider",
        _ => "with all that had begun by then",
    }
}

impl LifeError {
    /// What it means, and its stable code.
    pub(crate) fn classify(&self) -> (Kind, &'static str) {
        match self {
            LifeError::SessionRevoked { .. } => (Kind::Unauthenticated, "session_revoked"),
            LifeError::CertificateNotShown { .. } => {
                (Kind::Unauthenticated, "session_certificate_not_shown")
            }
            LifeError::SessionUnknown { .. } => (Kind::NotFound, "session_unknown"),
            LifeError::SessionsOfUnknown { is_role: true, .. } => (Kind::NotFound, "role_unknown"),
            LifeError::SessionsOfUnknown { .. } => (Kind::NotFound, "provider_unknown"),
            LifeError::ScopesNamed { .. } => (Kind::Invalid, "session_scopes_named"),
            LifeError::TooManyNamed { .. } => (Kind::Limit, "session_names_limit"),
            LifeError::EndAhead { .. } => (Kind::Invalid, "session_end_ahead"),
            LifeError::EndTimeForSession => (Kind::Invalid, "session_end_time"),
            LifeError::ReasonInvalid { .. } => (Kind::Invalid, "session_end_reason"),
            LifeError::TooManyEnds { .. } => (Kind::Limit, "session_ends_limit"),
            LifeError::KeyUnknown { .. } => (Kind::NotFound, "session_key_unknown"),
            LifeError::NoKeyPublished => (Kind::Conflict, "no_session_key_published"),
            LifeError::KeyNotPublished { .. } => (Kind::Conflict, "session_key_not_published"),
            LifeError::KeyActive { .. } => (Kind::Conflict, "session_key_active"),
            LifeError::KeyInUse { .. } => (Kind::Conflict, "session_key_in_use"),
            LifeError::TooManyKeys { .. } => (Kind::Limit, "session_keys_limit"),
        }
    }

    /// The code an STS client expects, where the kind alone does not say it.
    pub(crate) fn sts_code(&self) -> Option<&'static str> {
        match self {
            LifeError::SessionRevoked { .. } => Some("ExpiredToken"),
            LifeError::CertificateNotShown { .. } => Some("InvalidClientTokenId"),
            LifeError::SessionUnknown { .. }
            | LifeError::SessionsOfUnknown { .. }
            | LifeError::ScopesNamed { .. }
            | LifeError::TooManyNamed { .. }
            | LifeError::EndAhead { .. }
            | LifeError::EndTimeForSession
            | LifeError::ReasonInvalid { .. }
            | LifeError::TooManyEnds { .. }
            | LifeError::KeyUnknown { .. }
            | LifeError::NoKeyPublished
            | LifeError::KeyNotPublished { .. }
            | LifeError::KeyActive { .. }
            | LifeError::KeyInUse { .. }
            | LifeError::TooManyKeys { .. } => None,
        }
    }
}

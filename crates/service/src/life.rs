//! The life of a session after it was granted: what ends it before its time, who is told, and the keys behind it.
//!
//! Nothing is stored for a session. [`ends`] keeps marks that end many at once, and [`revoking`] sets them; [`listing`]
//! reads from the log which sessions there are, and [`judging`] whether they live; [`key_ring`] is the record of the keys
//! that seal and open sessions, and [`keys`] changes it.

mod ends;
mod judging;
mod key_ring;
mod keys;
mod listing;
mod revoking;

use chrono::TimeDelta;

pub use key_ring::KeyState;
pub use keys::{
    ActivateSessionKey, ChangedSessionKeys, ListSessionKeys, PublishSessionKey, RetireSessionKey,
    SessionKeyList, SessionKeyView,
};
pub use listing::{ListSessions, ListedSessions, SessionState, SessionView, ShowSession};
pub use revoking::{RevokeSessions, RevokedSessions};

pub(crate) use ends::{Ended, EndsCache, Scope, check_end};
pub(crate) use key_ring::{KeyRingCache, SessionKeys};

/// The longest that any session lives: 36 hours, of a certificate as itself (GetSessionToken). What ended sessions is
/// forgotten after it.
pub(crate) const SESSION_LIFE_MAX: TimeDelta = TimeDelta::hours(36);

/// How much longer everything about a session is kept than by its own time: clocks differ, and replicas finish what they
/// have begun.
pub(crate) const MARGIN: TimeDelta = TimeDelta::hours(1);
